"""Edge: which commits of a CI run's range a gate saw, by the receipts at hand. It takes the place of no review.

Whatever this says, the policies run over the whole range. A receipt fits a commit by its two trees, or by the path, mode
and content of every file before and after (:class:`agentreview.model.Cover`), never by a patch id. Whether it is signed
is judged by the allowed signers of the base; one that is not what it says counts nowhere, and is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agentreview import git, ledger, signing
from agentreview.canonical import digest
from agentreview.config import Config, Level, Requirement
from agentreview.git import Repository, text
from agentreview.history import Commit, commits, cover, raw_entries
from agentreview.model import (
    CommitSeen,
    Confidence,
    Cover,
    Coverage,
    Decision,
    Finding,
    Hit,
    Origin,
    RefusedReceipt,
    Rule,
    Severity,
    Status,
)
from agentreview.receipts import UNREVIEWED, Entry, Receipt, content_key, preauthenticated
from agentreview.records import dataclass, replace
from agentreview.reporters.summary import count
from agentreview.waiverfile import SIGNERS_NAME

NO_RECEIPT = "no receipt"
BYPASSED = Rule(
    id="conduct.review-bypassed",
    title="Every change is reviewed, or somebody answers for letting it through",
    severity=Severity.HIGH,
    pack="conduct",
    why="A commit was let through without a review, by a person who said why. Whether that is acceptable is not theirs alone to say.",
    fix="Have the change looked at, and let an approver accept the bypass: agentreview waive, in a commit that the approver signs.",
    cwe=("CWE-693",),
    references=("SOC 2 CC8.1",),
)
UNSEEN = Rule(
    id="conduct.commit-without-receipt",
    title="Every commit has a receipt of its review",
    severity=Severity.HIGH,
    pack="conduct",
    why="The base asks for a receipt of every commit ([ci] require_receipts), and this one has none that counts. Skipped hooks, hooks that are"
    " not installed, a rebase over changed files and an edit on the web all look like this.",
    fix="Review it where it was made, and bring the receipt along: agentreview --commit SHA, then agentreview receipts push; in CI fetch them"
    " first: agentreview receipts fetch. Or let an approver accept it: agentreview waive, in a commit that the approver signs.",
    cwe=("CWE-693",),
    references=("SOC 2 CC8.1",),
)
_CLOSE = {Cover.EXACT: 0, Cover.MESSAGE_ONLY: 1, Cover.SAME_BLOBS: 2}


@dataclass(frozen=True, slots=True)
class _Change:
    """A commit, what it changes, and the receipts with the same content key."""

    commit: Commit
    entries: tuple[Entry, ...]
    key: str
    receipts: tuple[Receipt, ...]


def coverage(
    repo: Repository, base: str, head: str, config: Config, *, policy: str, today: str
) -> tuple[Coverage, tuple[Finding, ...]]:
    """Say what receipts know of the commits between two, and what follows from it.

    ``policy`` is the commit whose allowed signers and ``config`` count. A bypass that no review followed is a finding;
    so is a commit without a receipt where ``[ci] require_receipts`` asks for one. Raises IncompleteError where history
    is missing.
    """
    from agentreview.policies.secrets import mask

    listed = commits(repo, head, f"^{base}")
    entries = raw_entries(repo, [(one.base, one.tree) for one in listed])
    keys = [content_key(one) for one in entries]
    known, misnamed = ledger.search(repo, (key for key, one in zip(keys, entries, strict=True) if one))
    changes = [
        _Change(replace(one, subject=mask(one.subject)), rows, key, known.get(key, ()))
        for one, rows, key in zip(listed, entries, keys, strict=True)
    ]
    allowed = text(git.read_file(repo, policy, SIGNERS_NAME) or b"")
    signed, notes = _signed(changes, allowed, today)
    refused = [RefusedReceipt(id=one.path[-69:-5], why=one.wrong) for one in misnamed]
    refused += [RefusedReceipt(id=name, why=wrong) for name, (_, wrong) in sorted(signed.items()) if wrong]
    bad = {one.path[3:67] for one in misnamed}
    seen = tuple(_seen(one, signed, config, today, refused=one.key in bad) for one in changes)
    if changes and not any(one.receipts for one in changes) and not ledger.any_here(repo):
        notes += ("there are no receipts in this clone: agentreview receipts fetch brings those of the remote",)
    found = Coverage(
        required=config.ci.require_receipts.value,
        signers=sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in allowed.split("\n")),
        commits=seen, refused=tuple(refused), notes=notes,
    )  # fmt: skip
    findings = {f.fingerprint: f for f in _findings(changes, seen, config)}
    return found, tuple(findings.values())


def _signed(changes: Sequence[_Change], allowed: str, today: str) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    """Check each distinct signature that could matter once; returns id -> (principal, what is wrong), and notes."""
    chosen = {one.id: one for change in changes for one in _passed(change, today) if one.signed}
    ordered = list(chosen.values())
    try:
        checked = signing.examine([(preauthenticated(r.statement), r.signature, r.at) for r in ordered], allowed)
    except OSError as error:
        return {}, (f"signatures of receipts were not checked, so that all count as advisory: {error}",)
    return {receipt.id: result for receipt, result in zip(ordered, checked, strict=True)}, ()


def _passed(change: _Change, today: str) -> list[Receipt]:
    """The receipts of a review that passed and still holds, the closest first, then the newest."""
    commit = change.commit
    found = [r for r in change.receipts if r.decision == Decision.PASS.value and not _expired(r, today)]
    return sorted(found, key=lambda r: _CLOSE[cover(r, commit.base, commit.tree, commit.oid)])


def _expired(receipt: Receipt, today: str) -> bool:
    return bool(receipt.expires) and receipt.expires < today


def _seen(
    change: _Change, signed: Mapping[str, tuple[str, str]], config: Config, today: str, *, refused: bool
) -> CommitSeen:
    commit = change.commit
    said = CommitSeen(oid=commit.oid, subject=commit.subject, cover=Cover.EMPTY)
    if not change.entries:
        return said
    sound = [r for r in _passed(change, today) if not signed.get(r.id, ("", ""))[1]]
    receipt = next((r for r in sound if signed.get(r.id, ("", ""))[0]), sound[0] if sound else None)
    if receipt is None:
        return replace(
            said, cover=None, why=_why(change, today, refused=refused or len(sound) < len(_passed(change, today)))
        )
    return replace(
        said, cover=cover(receipt, commit.base, commit.tree, commit.oid), receipt=receipt.id,
        signed_by=signed.get(receipt.id, ("", ""))[0], other_settings=receipt.configuration != config.digest,
    )  # fmt: skip


def _why(change: _Change, today: str, *, refused: bool) -> str:
    """What is known of a commit that no receipt covers."""
    bypass = _bypass(change)
    if bypass is not None:
        return f"let through without a review by {bypass.person}: {bypass.bypass}"
    if refused:
        return "its only receipt is refused"
    if any(r.decision == Decision.BLOCK.value for r in change.receipts):
        return "a review refused it"
    if any(_expired(r, today) for r in change.receipts):
        return "its review rests on a waiver that has expired"
    return NO_RECEIPT


def _bypass(change: _Change) -> Receipt | None:
    return next((r for r in change.receipts if r.decision == UNREVIEWED), None)


def _findings(changes: Sequence[_Change], seen: Sequence[CommitSeen], config: Config) -> Iterator[Finding]:
    """Findings are named by the content of the change, so that a waiver of one survives a rebase."""
    wanted = config.ci.require_receipts
    for change, one in zip(changes, seen, strict=True):
        bypass = _bypass(change)
        where = f"commit {one.oid[:12]} ({count(len(change.entries), 'file')})"
        if one.cover is None and bypass is not None:
            # What severities block is about code; this is about who answers for it.
            status = Status.BLOCKING if config.level(BYPASSED.id) is Level.ON else Status.ADVISORY
            yield _finding(
                BYPASSED, change, status, f"{where} was not reviewed: {bypass.person} let it through: {bypass.bypass}"
            )
        elif one.cover is None and wanted in (Requirement.ANY, Requirement.SIGNED):
            yield _finding(
                UNSEEN,
                change,
                Status.BLOCKING,
                f"{where} has no receipt that counts: {one.why}. Its subject: {one.subject}",
            )
        elif one.cover not in (None, Cover.EMPTY) and wanted is Requirement.SIGNED and not one.signed_by:
            said = "is covered by an advisory receipt only: nobody whom the base knows signed it"
            yield _finding(UNSEEN, change, Status.BLOCKING, f"{where} {said}. Its subject: {one.subject}")


def _finding(rule: Rule, change: _Change, status: Status, message: str) -> Finding:
    return Finding(
        fingerprint=digest({"rule": rule.id, "change": change.key}, size=10), rule=rule.id, title=rule.title, severity=rule.severity,
        confidence=Confidence.HIGH, hit=Hit.VIOLATION, origin=Origin.INTRODUCED, status=status, agent="policy:conduct", unit="", excerpt="",
        path=next((e.path for e in change.entries if e.new_mode != "000000"), change.entries[0].path), start_line=1, end_line=1,
        message=message, why=rule.why, fix=rule.fix, cwe=rule.cwe, references=rule.references,
    )  # fmt: skip
