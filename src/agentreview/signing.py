"""Edge: ``ssh-keygen``, and who is asking. Signatures are made without asking anybody: no prompt, no terminal.

A receipt is signed with the key that ``[receipts] signing_key`` names, else with git's own where that is an ssh key
(``gpg.format = ssh`` and ``user.signingkey``). Whoever can read the key can sign: a key that the reviewed agent can
read proves no more than that this machine wrote the receipt.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentreview import git
from agentreview.git import Repository

if TYPE_CHECKING:
    from subprocess import CompletedProcess

NAMESPACE = "agentreview"
SECONDS = 10
UNKNOWN = "unknown"


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
    when = "".join(char for char in at if char.isdigit())[:14]
    with tempfile.TemporaryDirectory(prefix="agentreview-") as scratch:
        signers, armored = Path(scratch, "allowed_signers"), Path(scratch, "signature")
        signers.write_text(allowed, encoding="utf-8", errors="surrogateescape")
        armored.write_text(signature, encoding="ascii")
        common = ("-f", str(signers), "-s", str(armored), f"-Overify-time={when}Z")
        found = _keygen("-Y", "find-principals", *common)
        for principal in found.stdout.decode("utf-8", "replace").split("\n") if not found.returncode else ():
            if not principal.strip():
                continue
            done = _keygen("-Y", "verify", *common, "-n", NAMESPACE, "-I", principal, stdin=data)
            if done.returncode == 0:
                return principal
    return ""


def fingerprint(armored: str) -> str:
    """Return ``SHA256:…`` of the public key inside an armored signature, or ""."""
    import base64
    import hashlib
    import struct

    body = "".join(line for line in armored.splitlines() if not line.startswith("-"))
    try:
        blob = base64.b64decode(body, validate=True)
        if blob[:6] != b"SSHSIG":
            return ""
        (size,) = struct.unpack(">I", blob[10:14])
        key = blob[14 : 14 + size]
    except (ValueError, struct.error):
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _keygen(*args: str, stdin: bytes = b"") -> CompletedProcess[bytes]:
    """Run ssh-keygen in a session of its own, where there is no terminal to ask on. OSError with the reason in words."""
    import subprocess

    # A key with a passphrase that no agent holds must fail, not ask: the commit waits for this.
    env = {**os.environ, "SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force", "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["ssh-keygen", *args],  # noqa: S607 - found on the PATH, like git
            input=stdin, capture_output=True, check=False, timeout=SECONDS, start_new_session=True, env=env,
        )  # fmt: skip
    except FileNotFoundError:
        raise OSError("there is no ssh-keygen on the PATH") from None
    except subprocess.TimeoutExpired:
        raise OSError(f"ssh-keygen did not answer within {SECONDS} seconds") from None
