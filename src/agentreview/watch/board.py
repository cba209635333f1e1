"""What the live board knows, and what follows from news: values and pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agentreview.everywhere import Reviewed
from agentreview.model import Decision, Finding, Status, Verdict
from agentreview.overview import DECIDED, UNREVIEWED, Row, judged, said
from agentreview.records import dataclass, replace
from agentreview.reporters.summary import count

LOOKING = "looking"  # the state of a row before the first look
INCOMPLETE = DECIDED[Decision.INCOMPLETE]
BLOCKED = DECIDED[Decision.BLOCK]
Subject = tuple[str, str]  # base and tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One worktree on the board. ``reviewing``: what is under review there; ``alarmed``: the blocking findings that were told."""

    row: Row
    reviewing: Subject | None = None
    alarmed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One line about one worktree, unescaped. ``alarm``: something blocks that did not before."""

    path: str
    branch: str | None
    text: str
    alarm: bool = False


Board = tuple[Place, ...]  # in git's order


def listed(board: Board, rows: Sequence[Row]) -> Board:
    """Take in which worktrees there are: new ones as their rows say, known ones as they are."""
    known = {place.row.path: place for place in board}
    return tuple(known.get(row.path) or Place(row=row) for row in rows)


def looked(board: Board, row: Row) -> Board:
    """Take in a look at one worktree. What is known of the same change stays: not every verdict is kept on disk."""

    def after(place: Place) -> Place:
        was = place.row
        if row.state == UNREVIEWED and was.subject == row.subject and was.state not in (UNREVIEWED, LOOKING):
            return replace(place, row=replace(was, branch=row.branch, detached=row.detached, dollars=row.dollars))
        return _settled(replace(place, row=row))

    return _at(board, row.path, after)


def started(board: Board, path: str, subject: Subject) -> Board:
    """Take in that a review of what is staged there began."""
    return _at(board, path, lambda place: replace(place, reviewing=subject))


def dropped(board: Board, path: str, subject: Subject) -> Board:
    """Take in that a review of ``subject`` will not take place: something else is staged by now."""
    return _at(board, path, lambda place: replace(place, reviewing=None) if place.reviewing == subject else place)


def ended(board: Board, subject: Subject, reviewed: Reviewed, now: float) -> Board:
    """Take in the answer of a review that began for ``subject``. One of another change than what is staged now is no answer."""

    def after(place: Place) -> Place:
        if place.reviewing == subject:
            place = replace(place, reviewing=None)
        verdict = reviewed.verdict
        of = subject if verdict is None else (verdict.base, verdict.tree)
        if of != place.row.subject:
            return place
        if verdict is None:
            row = replace(
                place.row, state=INCOMPLETE, why=reviewed.error, verdict=None, blocking=0, advisory=0, waived=0
            )
            return replace(place, row=replace(row, unread=0, unfinished=0, kept=None))
        return _settled(replace(place, row=replace(judged(place.row, verdict, now), why="")))

    return _at(board, reviewed.path, after)


def due(place: Place) -> Subject | None:
    """What has to be reviewed there: a change that nobody judged, and that nobody is judging."""
    subject = place.row.subject
    return subject if place.row.state == UNREVIEWED and subject != place.reviewing else None


def find(board: Board, path: str) -> Place | None:
    """Return the worktree at ``path``."""
    return next((place for place in board if place.row.path == path), None)


def news(before: Board, after: Board) -> list[News]:
    """Say what became different, one line a worktree, in git's order; those that are gone last."""
    old = {place.row.path: place for place in before}
    found = [one for place in after if (one := _news(old.pop(place.row.path, None), place)) is not None]
    gone = [place.row for place in old.values() if place.row.state != LOOKING]
    return found + [News(path=row.path, branch=row.branch, text="removed") for row in gone]


def words(place: Place, now: float) -> str:
    """Put the state of a place into words: ``reviewing 3 staged files``, or those of :func:`agentreview.overview.said`."""
    if _busy(place):
        return f"reviewing {count(place.row.staged or 0, 'staged file')}"
    return said(place.row, now)


def blocking(verdict: Verdict | None) -> list[Finding]:
    """Return what blocks, the worst first."""
    found = [finding for finding in verdict.findings if finding.status is Status.BLOCKING] if verdict else []
    return sorted(found, key=lambda f: (-f.severity.rank, f.path, f.start_line, f.rule))


def _at(board: Board, path: str, change: Callable[[Place], Place]) -> Board:
    return tuple(change(place) if place.row.path == path else place for place in board)


def _busy(place: Place) -> bool:
    """Whether what is staged there is under review. Until that ends, nothing else is told of it: not what a look finds on disk."""
    return place.reviewing is not None and place.reviewing == place.row.subject


def _settled(place: Place) -> Place:
    """Remember what blocks and is told, until the change is another one that does not."""
    if _busy(place):
        return place
    if place.row.state == BLOCKED:
        return replace(place, alarmed=frozenset(finding.fingerprint for finding in blocking(place.row.verdict)))
    keeps = place.row.state in (UNREVIEWED, INCOMPLETE)
    return place if keeps else replace(place, alarmed=frozenset())


def _news(before: Place | None, after: Place) -> News | None:
    if after.row.state == LOOKING:
        return None
    was = before.row if before is not None and before.row.state != LOOKING else None
    text = ""
    if _busy(after):
        if before is None or before.reviewing != after.reviewing:
            text = f"reviewing {count(after.row.staged or 0, 'staged file')}"
    elif after.row.state != UNREVIEWED:
        ended = before is not None and _busy(before)
        if was is None or ended or _told(was) != _told(after.row):
            text = _text(after.row)
    if not text:
        return None
    seen = before.alarmed if before is not None else frozenset()
    fresh = was is not None or (before is not None and before.reviewing is not None)
    alarm = fresh and after.row.state == BLOCKED and not after.alarmed <= seen
    return News(path=after.row.path, branch=after.row.branch, text=text, alarm=alarm)


def _told(row: Row) -> object:
    found = row.verdict.findings if row.verdict is not None else ()
    return row.state, row.subject, row.why, row.branch, row.locked, found


def _text(row: Row) -> str:
    parts = [said(replace(row, kept=None, dollars=0.0), 0.0)]
    if row.why:
        parts.append(row.why)
    stops = blocking(row.verdict)
    if stops:
        more = f" and {len(stops) - 1} more" if len(stops) > 1 else ""
        parts.append(f"{stops[0].rule} at {stops[0].path}:{stops[0].start_line}{more}")
    return "; ".join(parts)
