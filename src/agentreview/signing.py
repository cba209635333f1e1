"""Edge: ``ssh-keygen``, and who is asking. Signatures are made without asking anybody: no prompt, no terminal.

A receipt is signed with the key that ``[receipts] signing_key`` names, else with git's own where that is an ssh key
(``gpg.format = ssh`` and ``user.signingkey``). Whoever can read the key can sign: a key that the reviewed agent can
read proves no more than that this machine wrote the receipt.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from agentreview import git
from agentreview.git import Repository
from agentreview.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from subprocess import CompletedProcess, Popen

NAMESPACE = "agentreview"
SECONDS = 10
AT_ONCE = 8  # checks that run at the same time
UNKNOWN = "unknown"
_ANYBODY = ("-Y", "check-novalidate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who commits here, and the ssh key git signs with: a path, a literal public key, or ""."""

    person: str
    key: str = ""


def signer(repo: Repository) -> Signer:
    """Ask git, once. ``person`` is "unknown" where git does not know."""
    _, out, _ = git.attempt(repo, "var", "-l")
    values: dict[str, str] = {}
    for line in git.text(out).split("\n"):
        name, equals, value = line.partition("=")
        if equals:
            values[name] = value  # the last one counts, and what git makes itself comes last
    person = values.get("GIT_COMMITTER_IDENT", "").rpartition("> ")[0]
    key = values.get("user.signingkey", "") if values.get("gpg.format") == "ssh" else ""
    return Signer(person=git.shown(f"{person}>") if person else UNKNOWN, key=key)


def sign(key: str, data: bytes) -> tuple[str, str]:
    """Return the armored signature and the fingerprint of the key. Raises OSError with a reason in words.

    ``key`` is what git's ``user.signingkey`` may be: a file (private, or public with the key in an agent), or the
    public key itself.
    """
    import tempfile

    literal = key.removeprefix("key::")
    with tempfile.TemporaryDirectory(prefix="agentreview-") as scratch:
        if literal != key or key.startswith(("ssh-", "ecdsa-", "sk-")):
            file = Path(scratch, "key.pub")
            file.write_text(literal + "\n", encoding="utf-8")
            options = ["-U"]
        else:
            file, options = Path(key).expanduser(), []
            if not file.is_absolute():
                raise OSError("the signing key is no absolute path")
        done = _keygen("-Y", "sign", *options, "-n", NAMESPACE, "-f", str(file), stdin=data)
        armored = done.stdout.decode("ascii", "replace")
        if done.returncode or not armored.startswith("-----BEGIN SSH SIGNATURE-----"):
            raise OSError(f"the receipt could not be signed: {git.complaint(done.stderr)}")
    return armored, fingerprint(armored)


def verify(data: bytes, signature: str, allowed: str, at: str) -> str:
    """Return the principal of ``allowed`` (an allowed-signers file's text) whose good signature this is, or "".

    ``at`` is the ISO time to which a limited key has to be valid.
    """
    import tempfile

    if not signature.isascii() or not allowed.strip():
        return ""
    with tempfile.TemporaryDirectory(prefix="agentreview-") as scratch:
        signers, armored = Path(scratch, "allowed_signers"), Path(scratch, "signature")
        signers.write_text(allowed, encoding="utf-8", errors="surrogateescape")
        armored.write_text(signature, encoding="ascii")
        common = ("-f", str(signers), "-s", str(armored), f"-Overify-time={_moment(at)}")
        found = _keygen("-Y", "find-principals", *common)
        for principal in found.stdout.decode("utf-8", "replace").split("\n") if not found.returncode else ():
            if not principal.strip():
                continue
            done = _keygen("-Y", "verify", *common, "-n", NAMESPACE, "-I", principal, stdin=data)
            if done.returncode == 0:
                return principal
    return ""


def examine(signed: Sequence[tuple[bytes, str, str]], allowed: str) -> list[tuple[str, str]]:
    """Check many signatures, several at a time: each is (data, armored signature, ISO time it was made at).

    Returns for each the principal of ``allowed`` whose good signature it is, and what is wrong with it: two empty texts
    mean a good signature by nobody whom ``allowed`` knows. Raises OSError where there is no ssh-keygen.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="agentreview-") as scratch:
        signers = Path(scratch, "allowed_signers")
        signers.write_text(allowed, encoding="utf-8", errors="surrogateescape")
        asked, likely = [], []
        for number, (_, armored, at) in enumerate(signed):
            file = Path(scratch, f"{number}.sig")
            file.write_text(armored, encoding="ascii", errors="replace")
            likely.append(_likely(armored, allowed))
            known = ("-Y", "verify", "-f", str(signers), "-I", likely[-1], f"-Overify-time={_moment(at)}")
            asked.append((*(known if likely[-1] else _ANYBODY), "-n", NAMESPACE, "-s", str(file)))
        good = _keygen_many(asked, [data for data, _, _ in signed])
        found = []
        for number, (data, armored, at) in enumerate(signed):
            who = likely[number] if good[number] else ""
            if not who and (likely[number] or _may_know(armored, allowed)):
                who = verify(data, armored, allowed, at)
                if not who and not good[number]:
                    again = (*_ANYBODY, "-n", NAMESPACE, "-s", str(Path(scratch, f"{number}.sig")))
                    good[number] = _keygen_many([again], [data])[0]
            found.append((who, "" if who or good[number] else "its signature is not one of what it says"))
    return found


def _likely(armored: str, allowed: str) -> str:
    """The principal of the first line that names the very key of a signature in plain words, "" where none does."""
    blob = _public_key(armored)
    for line in allowed.split("\n") if blob else ():
        words = line.split()
        if blob in words[1:] and not words[0].startswith("#") and not set(words[0]) & set('"*?!'):
            return words[0].partition(",")[0]
    return ""


def _may_know(armored: str, allowed: str) -> bool:
    """Whether the allowed signers could know the key all the same: by a pattern, or by who certified it."""
    return "cert-authority" in allowed or (bool(blob := _public_key(armored)) and blob in allowed)


def fingerprint(armored: str) -> str:
    """Return ``SHA256:…`` of the public key inside an armored signature, or ""."""
    import base64
    import hashlib

    blob = _public_key(armored)
    if not blob:
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(blob)).digest()).decode().rstrip("=")


def _public_key(armored: str) -> str:
    """Return the public key inside an armored signature, as a line of allowed signers has it, or ""."""
    import base64
    import struct

    body = "".join(line for line in armored.splitlines() if not line.startswith("-"))
    try:
        blob = base64.b64decode(body, validate=True)
        if blob[:6] != b"SSHSIG":
            return ""
        (size,) = struct.unpack(">I", blob[10:14])
    except (ValueError, struct.error):
        return ""
    return base64.b64encode(blob[14 : 14 + size]).decode()


def _moment(at: str) -> str:
    return f"{''.join(char for char in at if char.isdigit())[:14]}Z"


def _keygen(*args: str, stdin: bytes = b"") -> CompletedProcess[bytes]:
    """Run ssh-keygen in a session of its own, where there is no terminal to ask on. OSError with the reason in words."""
    import subprocess

    process = _start(args)
    try:
        out, error = process.communicate(stdin, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise OSError(f"ssh-keygen did not answer within {SECONDS} seconds") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def _keygen_many(asked: Sequence[tuple[str, ...]], data: Sequence[bytes]) -> list[bool]:
    """Run ssh-keygen several times at once; returns which succeeded. One that does not answer has not."""
    import subprocess

    good: list[bool] = []
    for first in range(0, len(asked), AT_ONCE):
        started = [_start(args) for args in asked[first : first + AT_ONCE]]
        for process, given in zip(started, data[first : first + AT_ONCE], strict=True):
            try:
                process.communicate(given, timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
            good.append(process.returncode == 0)
    return good


def _start(args: tuple[str, ...]) -> Popen[bytes]:
    import subprocess

    # A key with a passphrase that no agent holds must fail, not ask: the commit waits for this.
    env = {**os.environ, "SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force", "LC_ALL": "C"}
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            ["ssh-keygen", *args],  # noqa: S607 - found on the PATH, like git
            stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, env=env,
        )  # fmt: skip
    except FileNotFoundError:
        raise OSError("there is no ssh-keygen on the PATH") from None
