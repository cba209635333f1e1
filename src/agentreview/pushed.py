"""What a push brings to a remote, commit by commit: receipts are looked up, what has none is reviewed.

A commit stays in the history that is pushed. Still, a finding that a later commit of the same push takes away does not
hold it up; a credential does, because whoever can read the history has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentreview.console import say
from agentreview.errors import ExitCode, IncompleteError
from agentreview.git import Repository, run, shown, text
from agentreview.history import Commit, Settled, Standing, commits, settled
from agentreview.model import Decision, Finding, Status, Verdict
from agentreview.records import dataclass
from agentreview.reporters.summary import EXIT_CODES, count
from agentreview.snapshot import empty_tree, resolved

OWN_REFS = "refs/agentreview/"  # receipts: not code
ONE_BY_ONE = 40  # commits without a receipt up to which each is reviewed by itself
STAYS = "secrets"  # the pack whose findings a later commit does not take away
LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One line of pre-push's input: what is pushed, where to, and what the remote has there ("" = nothing)."""

    local: str
    remote_ref: str
    known: str


def updates(lines: str) -> tuple[Update, ...]:
    """Read pre-push's input; deletions and our own refs bring no code. Raises IncompleteError for anything else."""
    found = []
    for line in filter(None, lines.split("\n")):  # a manager between may have cut the last line's end off
        fields = line.rsplit(" ", 3)
        if len(fields) != 4:
            raise IncompleteError("git's list of pushed refs cannot be read", fix="Push again; see agentreview doctor")
        _, local, remote_ref, known = fields
        if local.strip("0") and not remote_ref.startswith(OWN_REFS):
            found.append(Update(local=local, remote_ref=remote_ref, known=known if known.strip("0") else ""))
    return tuple(found)


def span_of(repo: Repository, remote: str, update: Update) -> tuple[str, tuple[str, ...]]:
    """Return the pushed commit, and what to leave out: all that the remote is known to have. Raises IncompleteError."""
    head = resolved(repo, update.local, "commit")
    if not head:
        raise IncompleteError(
            f"{update.local[:12]} is pushed to {shown(update.remote_ref)}, but is not a commit",
            fix="Push it with --no-verify if that is intended",
        )
    there = resolved(repo, update.known, "commit") if update.known else None
    if there:
        return head, (f"^{there}", *_remotes(repo, remote))
    return head, _remotes(repo, remote)


def _remotes(repo: Repository, remote: str) -> tuple[str, ...]:
    """Leave out the branches of that remote; of all remotes, where it has none that are known here."""
    tracked = remote and run(repo, "for-each-ref", "--count=1", f"refs/remotes/{remote}/", check=False).strip()
    return ("--not", f"--remotes={remote}" if tracked else "--remotes")


def settle(repo: Repository, spans: Iterable[tuple[str, tuple[str, ...]]]) -> int:
    """Review what has no receipt in each span (head, what to leave out); returns an exit code. Says what matters."""
    from agentreview.review import utc_date

    worst = ExitCode.PASS
    told: set[str] = set()
    for head, without in dict.fromkeys(spans):
        listed = [one for one in commits(repo, head, *without) if one.oid not in told]
        told |= {one.oid for one in listed}
        known = settled(repo, [(one.base, one.tree) for one in listed], today=utc_date())
        _tell_bypasses(listed, known)
        missing = [one for one, state in zip(listed, known, strict=True) if state.standing is Standing.MISSING]
        code = _review(repo, head, listed, missing) if missing else ExitCode.PASS
        if code is ExitCode.PASS:
            _tell_counts(known, len(missing))
        if code is ExitCode.BLOCKED or worst is ExitCode.PASS:
            worst = code
    return worst


def receipts_along(repo: Repository, remote: str, update: Update) -> None:
    """Put new receipts onto the ref, and push it where ``[receipts] push`` says so. A failure stops no push."""
    from agentreview.errors import AgentReviewError
    from agentreview.issuing import settings
    from agentreview.ledger import publish, push
    from agentreview.snapshot import resolve
    from agentreview.surroundings import configuration

    try:
        publish(repo)
        if remote and settings(configuration(repo, resolve(repo, update.local, "tree"))).push == "with-commits":
            push(repo, remote)
    except AgentReviewError as error:
        say(str(error))


def _review(repo: Repository, head: str, listed: Sequence[Commit], missing: Sequence[Commit]) -> ExitCode:
    from agentreview.review import judge_range

    whole: Verdict | None = None

    def all_of_it() -> Verdict:
        """From where the commits depart to their head: what is left when all of them are there."""
        nonlocal whole
        if whole is None:
            whole = judge_range(repo, _start(repo, head, listed), head)
        return whole

    if len(missing) > ONE_BY_ONE:
        say(f"{len(missing)} commits have no receipt: reviewed as one change, so that only what is left of them counts")
        _show(all_of_it())
        return EXIT_CODES[all_of_it().decision]
    worst = ExitCode.PASS
    for one in missing:
        verdict = judge_range(repo, one.parent or one.base, one.oid)
        if verdict.decision is Decision.PASS:
            continue
        if len(listed) > 1 and not _stays(verdict, all_of_it()):
            what = "could not be reviewed" if verdict.decision is Decision.INCOMPLETE else "has findings"
            say(f"commit {one.oid[:12]} {what}, which a later commit of this push takes away")
            continue
        say(f"commit {one.oid[:12]}:")
        _show(verdict)
        code = EXIT_CODES[verdict.decision]
        if code is ExitCode.BLOCKED or worst is ExitCode.PASS:
            worst = code
    return worst


def _stays(verdict: Verdict, whole: Verdict) -> bool:
    """Whether something of a commit's verdict still holds for all of the push, or stays in the history."""
    if verdict.decision is Decision.INCOMPLETE:
        return whole.decision is Decision.INCOMPLETE
    if whole.decision is Decision.INCOMPLETE:
        return True
    left = {finding.fingerprint for finding in _blocking(whole)}
    return not verdict.findings or any(
        finding.fingerprint in left or finding.rule.partition(".")[0] == STAYS for finding in _blocking(verdict)
    )


def _blocking(verdict: Verdict) -> list[Finding]:
    return [finding for finding in verdict.findings if finding.status is Status.BLOCKING]


def _start(repo: Repository, head: str, listed: Sequence[Commit]) -> str:
    """Return the commit that the listed ones depart from; the empty tree when there is none."""
    inside = {one.oid for one in listed}
    border = list(dict.fromkeys(one.parent for one in listed if one.parent and one.parent not in inside))
    if not border:
        return empty_tree(repo)
    found = text(run(repo, "merge-base", "--octopus", head, *border[:200], check=False)).split()
    return found[0] if found else empty_tree(repo)


def _tell_bypasses(listed: Sequence[Commit], known: Sequence[Settled]) -> None:
    for one, state in zip(listed, known, strict=True):
        if state.standing is Standing.BYPASSED and state.receipt is not None:
            receipt = state.receipt
            say(f"commit {one.oid[:12]} was not reviewed: {receipt.person} let it through: {receipt.bypass}; CI fails until that is waived")  # fmt: skip


def _tell_counts(known: Sequence[Settled], now: int) -> None:
    """One line, unless every commit had its own receipt: then there is nothing to say."""
    carried = sum(state.standing is Standing.CARRIED for state in known)
    if now or carried:
        parts = [
            f"{now} reviewed now" if now else "",
            f"{carried} carried over from before a rebase" if carried else "",
        ]
        say(f"{count(len(known), 'commit')} pushed, {', '.join(part for part in parts if part)}")


def _show(verdict: Verdict) -> None:
    from agentreview.console import write
    from agentreview.review import render_for_hook

    text_ = render_for_hook(verdict)
    if text_:
        write(text_ if text_.endswith("\n") else text_ + "\n")
