"""The lines of a change around each finding, as they were before and as they are after it. For people; nothing is decided by it.

A finding comes with the lines of one side, and with what must not be shown hidden in them. The other side is read from the
change again and masked in the same way; where a finding hides more than credentials (data of a person, the value it is
about), the other side of that file is not shown at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agentreview.anchor import FRAME
from agentreview.changes import changes
from agentreview.git import Repository
from agentreview.model import FileChange, Finding, Verdict
from agentreview.policies.secrets import mask
from agentreview.reporters.page.findings import LONGEST, Line
from agentreview.syntax.parse import text_of

AROUND = FRAME + 1  # lines above and below what the finding is about
MOST = 40  # lines shown of one finding


def both_sides(repo: Repository, verdict: Verdict) -> dict[str, tuple[Line, ...]]:
    """Return the lines around every finding that can be shown so, by fingerprint. Raises IncompleteError."""
    if not verdict.findings or verdict.base == verdict.tree:
        return {}
    return dict(_shown(changes(repo, verdict.base, verdict.tree), verdict.findings))


def _shown(found: Iterable[FileChange], findings: Iterable[Finding]) -> Iterator[tuple[str, tuple[Line, ...]]]:
    by_path: dict[str, FileChange] = {}
    for change in found:
        by_path[change.path] = change
        by_path.setdefault(change.old_path or change.path, change)
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        grouped.setdefault(finding.path, []).append(finding)
    for path, group in grouped.items():
        known = by_path.get(path)
        if known is None or known.opaque or not known.hunks:
            continue
        sides = {side: _lines(data) for side, data in (("before", known.before), ("after", known.after))}
        if not all(_plain(one, sides[one.side]) for one in group):
            continue
        merged = merge(known, sides["before"], sides["after"])
        for one in (one for one in group if one.frame):
            yield one.fingerprint, around(one, merged)


def _lines(data: bytes | None) -> list[str]:
    return text_of(data).split("\n") if data else []


def _plain(finding: Finding, lines: list[str]) -> bool:
    """Whether the finding shows its lines with credentials hidden and nothing more."""
    return all(
        0 < number <= len(lines) and mask(lines[number - 1])[:LONGEST] == shown for number, shown in finding.frame
    )


def merge(change: FileChange, before: list[str], after: list[str]) -> list[tuple[int, int, str]]:
    """Return (old number, new number, text) of the whole file; a line of one side has 0 for the other."""
    found: list[tuple[int, int, str]] = []
    gone = {number for hunk in change.hunks for number in hunk.removed}
    come = {number for hunk in change.hunks for number in hunk.added}
    old, new = 1, 1
    while old <= len(before) or new <= len(after):
        if old in gone and old <= len(before):
            found.append((old, 0, before[old - 1]))
            old += 1
        elif new in come and new <= len(after):
            found.append((0, new, after[new - 1]))
            new += 1
        elif new <= len(after):
            found.append((old, new, after[new - 1]))
            old, new = old + 1, new + 1
        else:
            break
    if found and not found[-1][2]:
        found.pop()  # what is behind the last line end
    return found


def around(finding: Finding, merged: list[tuple[int, int, str]]) -> tuple[Line, ...]:
    """Cut the lines around a finding, and mark its own."""
    after = finding.side == "after"
    lines = range(finding.start_line, finding.end_line + 1)
    own = [index for index, (old, new, _) in enumerate(merged) if (new if after else old) in lines]
    if not own:
        return ()
    first, last = max(0, own[0] - AROUND), min(len(merged), own[-1] + AROUND + 1)
    marked = set(own)
    return tuple(
        Line(old=old, new=new, text=mask(text)[:LONGEST], marked=index in marked)
        for index, (old, new, text) in enumerate(merged[first : min(last, first + MOST)], first)
    )
