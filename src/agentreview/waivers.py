"""Which findings are accepted, and why each waiver that does not count does not. Pure: the date is a parameter.

A comment ``agentreview: ignore[rule-id] reason`` covers one rule on its line and the next, or in the lines of the
finding. An entry of the waivers file covers one finding by its fingerprint, until its end. There is no blanket form.

A waiver that the change under review adds covers what it names and is itself a finding (``conduct.waiver-added``).
Where ``Terms.accepted`` is given, as in CI, it covers nothing unless it is listed there: :func:`accepted_records`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from agentreview.model import Claim, Finding, Hit, Origin, Status, Waiver
from agentreview.policies.waived import Inline, find
from agentreview.records import dataclass, field, replace
from agentreview.waiverfile import WAIVERS_NAME, Record, Waivers, added, written

__all__ = ["RULE", "Applied", "Inline", "Seen", "Signature", "Terms", "accepted_records", "apply", "approver", "find"]

RULE = "conduct.waiver-added"  # no waiver covers it
NO_WAIVERS = Waivers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What decides whether a waiver counts, beside what it says. ``today`` is an ISO date, in UTC.

    ``accepted`` maps the ids of new waivers that somebody settled to who did; ``None``: new ones count, and are said.
    Where it is given, new is what is not in ``landed``, the waivers of the base.
    """

    today: str
    max_days: int = 365
    accepted: Mapping[str, str] | None = None
    landed: Waivers = Waivers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A finding that is not reported, in code that the change does not touch: a waiver of it is no stale one."""

    fingerprint: str
    rule: str
    path: str
    start_line: int
    end_line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The two versions of the waivers file, and what the review can tell about waivers that match nothing.

    ``standing``: rules that look at a whole file, not only at what a change does to it. ``looked_at``: the files they
    looked at. ``gone``: old path -> new path, "" for a deleted file.
    """

    before: Waivers = NO_WAIVERS
    after: Waivers = NO_WAIVERS
    touched: bool = False
    standing: Collection[str] = ()
    looked_at: Collection[str] = ()
    gone: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The findings with their waivers, what is to be said about waivers, and until when this answer holds.

    ``granted`` are claims of :data:`RULE` about comments that the change adds, or that now cover something else.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    granted: tuple[Claim, ...] = ()
    until: str = ""


def apply(
    findings: Iterable[Finding], inline: Sequence[Inline], terms: Terms, files: Files, seen: Sequence[Seen] = ()
) -> Applied:
    """Mark the findings that a waiver covers."""
    records = {record.fingerprint: record for record in files.after.records}
    fresh = {record.id for record in added(files.before, files.after)}
    used: set[int] = set()
    granted: dict[int, Claim] = {}
    matched: list[Record] = []
    notes: list[str] = []
    out: list[Finding] = []
    for finding in findings:
        record = records.get(finding.fingerprint)
        if record is not None and finding.rule != RULE:
            matched.append(record)
            why = _why_not(record, finding, terms, new=record.id in fresh)
            if not why:
                who = (terms.accepted or {}).get(record.id, "")
                out.append(replace(finding, status=Status.WAIVED, waiver=_of(record, record.id in fresh, who)))
                continue
            notes.append(f"{WAIVERS_NAME}:{record.line}: the waiver of {record.rule} in {record.path} does not count: {why}")  # fmt: skip
        comment = _comment(finding, inline)
        if comment is None:
            out.append(finding)
            continue
        used.add(id(comment))
        new = comment.added_here or finding.origin is Origin.INTRODUCED
        who = (terms.accepted or {}).get(comment.id, "")
        if new and terms.accepted is not None and comment.id not in terms.accepted:
            notes.append(f"{comment.path}:{comment.line}: the waiver of {comment.rule} does not count: {_UNSIGNED}")
            out.append(finding)
            continue
        if new and not who:
            granted[id(comment)] = _grant(comment)
        waiver = Waiver(
            rule=comment.rule, path=comment.path, line=comment.line, reason=comment.reason, added_here=new, approved_by=who,
        )  # fmt: skip
        out.append(replace(finding, status=Status.WAIVED, waiver=waiver))
    notes += _about_comments(inline, used, files, seen)
    names = {finding.fingerprint for finding in out} | {one.fingerprint for one in seen}
    notes += _about_records(files, terms, names)
    dated = files.after.records if files.touched else matched
    return Applied(
        findings=tuple(out),
        notes=tuple(dict.fromkeys(notes)),
        granted=tuple(granted.values()),
        until=min((day for record in dated for day in _turns(record, terms.today)), default=""),
    )


_UNSIGNED = "this change adds it, and nobody of [waivers] approvers has signed the commit that does"


def _of(record: Record, new: bool, who: str) -> Waiver:  # noqa: FBT001
    return Waiver(
        rule=record.rule, path=WAIVERS_NAME, line=record.line, reason=record.reason, added_here=new, source="file",
        person=record.person, created=record.created, expires=record.expires, approved_by=who,
    )  # fmt: skip


def _why_not(record: Record, finding: Finding, terms: Terms, *, new: bool) -> str:
    """Say why a waiver does not cover the finding whose fingerprint it has, or ""."""
    said, true = (record.rule, record.path, record.unit), (finding.rule, written(finding.path), written(finding.unit))
    if said != true:
        # A reader of the file believes what it says in clear, so that has to be what it waives.
        wrong = next(n for n, pair in enumerate(zip(said, true, strict=True)) if pair[0] != pair[1])
        return f"its {('rule', 'path', 'unit')[wrong]} is not that of the finding, which is {finding.rule} in {finding.path} ({finding.unit})"
    if new and terms.accepted is not None and record.id not in terms.accepted:
        return _UNSIGNED
    return _untimely(record, terms)


def _untimely(record: Record, terms: Terms) -> str:
    if record.expires < terms.today:
        return f"it expired on {record.expires}; fix the finding, or: agentreview waive {record.fingerprint} --reason …"
    days = _days(record.created, record.expires)
    if days > terms.max_days:
        return f"it runs for {days} days, at most {terms.max_days} are allowed ([waivers] max_days)"
    return f"it is dated {record.created}, in the future" if _days(terms.today, record.created) > 1 else ""


def _days(first: str, last: str) -> int:
    from datetime import date

    return (date.fromisoformat(last) - date.fromisoformat(first)).days


def _turns(record: Record, today: str) -> list[str]:
    """Days after today on which a waiver begins or ceases to count."""
    from datetime import date, timedelta

    day, after = timedelta(days=1), date.fromisoformat(record.expires)
    begins = date.fromisoformat(record.created)
    turns = [after + day if after < date.max else after, begins - day if begins > date.min else begins]
    return [turn.isoformat() for turn in turns if turn.isoformat() > today]


def _comment(finding: Finding, inline: Iterable[Inline]) -> Inline | None:
    for waiver in inline:
        if (
            not waiver.problem
            and waiver.rule == finding.rule != RULE
            and waiver.path == finding.path
            and finding.side == "after"
            and finding.start_line - 1 <= waiver.line <= finding.end_line
        ):
            return waiver
    return None


def _grant(comment: Inline) -> Claim:
    what = "this change waives" if comment.added_here else "this waiver was there before, and now also covers"
    return Claim(
        rule=RULE, path=comment.path, unit="<module>", start_line=comment.line, end_line=comment.line, quote=comment.text,
        identity=f"waiver:{comment.rule}:{comment.reason}", message=f"{what} {comment.rule} here: {comment.reason}", hit=Hit.VIOLATION,
    )  # fmt: skip


def _about_comments(inline: Iterable[Inline], used: Collection[int], files: Files, seen: Sequence[Seen]) -> list[str]:
    notes = []
    for comment in inline:
        where = f"{comment.path}:{comment.line}"
        if comment.problem:
            notes.append(f"{where}: this waiver does not count: {comment.problem}")
        elif comment.rule == RULE:
            notes.append(f"{where}: this waiver does not count: {RULE} cannot be waived, a person settles it")
        elif (
            id(comment) not in used
            and not _covers(comment, seen)
            # A rule about what a change does says nothing about lines that stay: the comment may be for those.
            and (comment.added_here or comment.rule in files.standing)
        ):
            notes.append(f"{where}: the waiver of {comment.rule} matches no finding: remove it")
    return notes


def _covers(comment: Inline, seen: Iterable[Seen]) -> bool:
    return any(
        one.rule == comment.rule and one.path == comment.path and one.start_line - 1 <= comment.line <= one.end_line
        for one in seen
    )


def _about_records(files: Files, terms: Terms, names: Collection[str]) -> list[str]:
    """Malformed entries always; the others where the change touches their file, or the file of waivers itself."""
    notes = [f"{WAIVERS_NAME}:{line}: this waiver does not count: {why}" for line, why in files.after.problems]
    gone = {written(old): new for old, new in files.gone.items()}
    looked_at = {written(path) for path in files.looked_at}
    for record in files.after.records:
        where = f"{WAIVERS_NAME}:{record.line}: the waiver of {record.rule} in {record.path}"
        if record.rule == RULE:
            notes.append(f"{where} does not count: {RULE} cannot be waived, a person settles it")
        elif record.fingerprint in names:
            continue
        elif record.path in gone:
            now = f"is {gone[record.path]} now, so its findings have other names" if gone[record.path] else "is deleted"
            notes.append(f"{where} is stale: the file {now}. Remove it")
        elif record.path in looked_at and record.rule in files.standing:
            notes.append(f"{where} ({record.unit}) is stale: the finding is gone. Remove it")
        elif files.touched and (why := _untimely(record, terms)):
            notes.append(f"{where} does not count: {why}")
    return notes


# -- who may settle a new waiver ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What git says of a commit's signature: ``%G?``, ``%GS`` and ``%GF``."""

    status: str
    signer: str = ""
    key: str = ""


def approver(signature: Signature, approvers: Iterable[str]) -> str:
    """Return which of the approvers made a good signature, or "".

    A key's fingerprint proves itself. An address counts only where git trusts that the key is the address's (``G``):
    by the allowed signers of the base for ssh, by the keyring's trust for gpg.
    """
    if signature.status not in ("G", "U"):
        return ""
    _, _, inner = signature.signer.rpartition("<")
    address = inner.rstrip(">").strip().casefold()
    for one in approvers:
        if "@" in one:
            if signature.status == "G" and one.casefold() == address:
                return one
        elif one.rstrip("=") == signature.key.rstrip("="):
            return one
    return ""


def accepted_records(
    before: Waivers, after: Waivers, introduced: Mapping[str, Signature], approvers: Iterable[str]
) -> dict[str, str]:
    """Return the new entries that count in CI: id -> who settled it.

    ``introduced`` has, for each id, the signature of the commit that brought exactly this entry in.
    """
    names = tuple(approvers)
    found = {
        record.id: approver(introduced[record.id], names) for record in added(before, after) if record.id in introduced
    }
    return {record: who for record, who in found.items() if who}
