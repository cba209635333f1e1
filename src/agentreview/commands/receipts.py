"""``receipts``: what was reviewed here and elsewhere: list, show, verify, push, fetch, export, prune."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentreview.commands.shared import CONTEXT, emit, left_out, worktree_option
from agentreview.console import say
from agentreview.errors import ExitCode, IncompleteError, UsageError

if TYPE_CHECKING:
    from agentreview.git import Repository
    from agentreview.ledger import Stored
    from agentreview.receipts import Receipt

SHORT = 12  # digits of an id that a list shows
YEARS = 6  # 45 CFR 164.316(b)(2)(i): how long required documentation is kept


@click.group("receipts", context_settings=CONTEXT, short_help="What was reviewed: list, verify, push, fetch, export.")
def group() -> None:
    """Receipts say what was reviewed, by which agents and settings, and what was decided: one file for each review.

    They are kept in the repository, on refs/agentreview/receipts, and are signed with your ssh key where git signs with
    one (gpg.format = ssh) or [receipts] signing_key names one. Without a signature a receipt is advisory.
    """


@group.command("list", context_settings=CONTEXT, short_help="List the newest receipts.")
@click.option("-n", "number", default=20, show_default=True, metavar="NUMBER", help="How many; 0 lists all.")
@worktree_option
def list_command(*, number: int, worktree: str | None) -> int:
    """List receipts, the newest first: id, time, decision, files, standing and person."""
    from agentreview.reporters.text import escape

    _, stored = _everything(worktree)
    found = sorted(_sound(stored), key=lambda one: (one.at, one.id), reverse=True)
    for one in found[:number] if number > 0 else found:
        standing = "signed" if one.signed else "advisory"
        files = f"{len(one.entries):>4} {'file ' if len(one.entries) == 1 else 'files'}"
        said = f"{one.at}  {one.decision:<10}  {files}  {standing:<8}  {one.person}"
        emit(f"{one.id[:SHORT]}  {escape(said)}{escape(f'  bypass: {one.bypass}') if one.bypass else ''}\n")
    if not found:
        say("there are no receipts yet: a review writes one; agentreview receipts fetch brings those of a remote")
    left_out(len(stored) - len(found))
    return int(ExitCode.PASS)


@group.command("show", context_settings=CONTEXT, short_help="Show one receipt in full.")
@click.argument("name", metavar="ID")
@worktree_option
def show_command(*, name: str, worktree: str | None) -> int:
    """Print a receipt as JSON. ID may be shortened."""
    one = _named(_everything(worktree)[1], name)
    emit(json.dumps(json.loads(one.data), indent=2) + "\n")
    return int(ExitCode.PASS)


@group.command("verify", context_settings=CONTEXT, short_help="Check receipts.")
@click.argument("names", metavar="[ID]...", nargs=-1)
@click.option(
    "--allowed-signers",
    "signers",
    metavar="FILE",
    help="Whose ssh key is whose, as in ssh-keygen(1). Default: HEAD's .agentreview/allowed_signers, else git's own.",
)
@click.option("--require-signed", is_flag=True, help="An advisory receipt is a bad one.")
@worktree_option
def verify_command(*, names: tuple[str, ...], signers: str | None, require_signed: bool, worktree: str | None) -> int:
    """Check that receipts are what they say: name, contents, signature, and the trees they are about.

    A receipt is bad when its file was changed, when its signature is not a good one of an allowed signer, or when the two
    trees differ by something else than it covers. Exits 1 when one is bad, 3 when one you named is about trees that are
    not in this repository.
    """
    from agentreview.reporters.text import escape

    repo, stored = _everything(worktree)
    chosen = [_named_file(stored, name) for name in names] if names else stored
    allowed, _ = allowed_signers(repo, signers)
    counts: dict[str, int] = {}
    for one in chosen:
        word, why = _checked(repo, one, allowed, require_signed=require_signed)
        counts[word] = counts.get(word, 0) + 1
        if names or word in ("bad", "unknown"):
            emit(f"{one.path[-69:][:SHORT]}  {word:<8}  {escape(why)}\n")
    emit(", ".join(f"{count} {word}" for word, count in sorted(counts.items())) + "\n" if counts else "no receipts\n")
    if counts.get("bad"):
        return int(ExitCode.BLOCKED)
    return int(ExitCode.INCOMPLETE if names and counts.get("unknown") else ExitCode.PASS)


def _checked(repo: Repository, one: Stored, allowed: str, *, require_signed: bool) -> tuple[str, str]:
    """Return ``good``, ``advisory``, ``unknown`` (its trees are not here) or ``bad``, and a reason."""
    from agentreview.history import key_here
    from agentreview.receipts import preauthenticated
    from agentreview.signing import verify

    receipt = one.receipt
    if receipt is None:
        return "bad", one.wrong
    try:
        who = (
            verify(preauthenticated(receipt.statement), receipt.signature, allowed, receipt.at)
            if receipt.signed
            else ""
        )
    except OSError as error:
        raise IncompleteError(f"signatures cannot be checked: {error}", fix="Install OpenSSH, and try again") from error
    if receipt.signed and not who:
        return "bad", "the signature is not a good one of an allowed signer"
    if require_signed and not receipt.signed:
        return "bad", "it is not signed"
    key = key_here(repo, receipt.base, receipt.tree)
    if key is None:
        return "unknown", f"its trees are not in this repository ({receipt.base[:SHORT]}, {receipt.tree[:SHORT]})"
    if key != receipt.key:
        return "bad", "its two trees differ by something else than it covers"
    return ("good", f"signed by {who}") if who else ("advisory", "not signed")


def allowed_signers(repo: Repository, file: str | None) -> tuple[str, str]:
    """Return the text of the allowed signers that count, and where it is from, in words. UsageError for an unreadable file."""
    from agentreview.git import config_values, read_file, text
    from agentreview.waiverfile import SIGNERS_NAME

    if file is None:
        held = read_file(repo, "HEAD", SIGNERS_NAME) if _has_head(repo) else None
        if held is not None:
            return text(held), f"HEAD's {SIGNERS_NAME}"
        values = config_values(repo, "gpg.ssh.allowedSignersFile")
        if not values:
            return "", "none are set"
        file = str(Path(values[-1].value).expanduser())
    try:
        return text(Path(file).read_bytes()), file
    except OSError as error:
        raise UsageError(
            f"the allowed signers cannot be read: {error.strerror} ({file})", fix="Give --allowed-signers FILE"
        ) from error


def _has_head(repo: Repository) -> bool:
    from agentreview.git import attempt

    return attempt(repo, "rev-parse", "--verify", "-q", "HEAD")[0] == 0


@group.command("push", context_settings=CONTEXT, short_help="Push receipts to a remote.")
@click.argument("remote", default="origin")
@worktree_option
def push_command(*, remote: str, worktree: str | None) -> int:
    """Push refs/agentreview/receipts. Receipts that others pushed meanwhile are joined with yours, none is lost."""
    from agentreview.git import open_repository
    from agentreview.ledger import push

    taken = push(open_repository(worktree), remote)
    say(f"the receipts are on {remote}" + (f"; {taken} came from there" if taken else ""))
    return int(ExitCode.PASS)


@group.command("fetch", context_settings=CONTEXT, short_help="Fetch the receipts of a remote.")
@click.argument("remote", default="origin")
@worktree_option
def fetch_command(*, remote: str, worktree: str | None) -> int:
    """Fetch refs/agentreview/receipts and join it with yours. Files that are not what their names say are left."""
    from agentreview.git import open_repository
    from agentreview.ledger import fetch, publish
    from agentreview.reporters.text import escape

    repo = open_repository(worktree)
    publish(repo)
    taken, left = fetch(
        repo, remote, lambda one: say(f"receipt {one.path[-69:][:SHORT]} is refused: {escape(one.wrong)}")
    )
    new = "1 receipt is new" if taken == 1 else f"{taken} receipts are new"
    say(new + (f"; {left} files are no receipts and were left" if left else ""))
    return int(ExitCode.PASS)


@group.command("export", context_settings=CONTEXT, short_help="Print receipts as DSSE envelopes.")
@click.argument("names", metavar="[ID]...", nargs=-1)
@worktree_option
def export_command(*, names: tuple[str, ...], worktree: str | None) -> int:
    """Print receipts as DSSE envelopes of in-toto statements, one JSON object a line."""
    from agentreview.receipts import dsse

    _, stored = _everything(worktree)
    for one in [_named(stored, name) for name in names] if names else _sound(stored):
        emit(json.dumps(dsse(one), separators=(",", ":"), sort_keys=True) + "\n")
    if not names:
        left_out(sum(one.receipt is None for one in stored))
    return int(ExitCode.PASS)


@group.command("prune", context_settings=CONTEXT, short_help="Forget old receipts.")
@click.option(
    "--older-than", metavar="DAYS", default=YEARS * 365 + 2, show_default=True, type=click.IntRange(min=1), help="Days."
)
@worktree_option
def prune_command(*, older_than: int, worktree: str | None) -> int:
    """Forget the receipts of reviews that are older than some days; by default, than six years.

    They are evidence: ask whoever answers for compliance first. A remote and its other clones forget them with the next
    `agentreview receipts push` and `fetch`.
    """
    from agentreview.git import open_repository
    from agentreview.ledger import prune

    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - older_than * 86_400))
    say(f"{prune(open_repository(worktree), before)} receipts are forgotten")
    return int(ExitCode.PASS)


def _everything(worktree: str | None) -> tuple[Repository, list[Stored]]:
    from agentreview.git import open_repository
    from agentreview.ledger import everything, publish

    repo = open_repository(worktree)
    publish(repo)
    return repo, list(everything(repo))


def _sound(stored: list[Stored]) -> Iterator[Receipt]:
    return (one.receipt for one in stored if one.receipt is not None)


def _named_file(stored: list[Stored], name: str) -> Stored:
    """Return the file whose id begins with ``name``. Raises UsageError when there is not exactly one."""
    wanted = name.lower()
    found = [one for one in stored if wanted and one.path[-69:-5].startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{name} names {len(found)} receipts", fix="Give more characters")
    raise UsageError(f"there is no receipt {name!r} here", fix="See: agentreview receipts list -n 0")


def _named(stored: list[Stored], name: str) -> Receipt:
    one = _named_file(stored, name)
    if one.receipt is None:
        raise UsageError(f"{name} is no receipt: {one.wrong}", fix="See: agentreview receipts verify")
    return one.receipt
