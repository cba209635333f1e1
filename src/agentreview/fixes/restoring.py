"""Putting back what a change took away: the statement, with the import it needs, or the lines as they were."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from agentreview.fixes.edits import lines_of, replacing
from agentreview.lazyre import lazy
from agentreview.model import Edit, FileChange, Finding, Replacement
from agentreview.records import dataclass, replace

MOST_LINES = 12  # of one place that is put back as it was
PLACES = 3  # that are tried, the nearest first
BACK, AS_BEFORE = "put back what was here before", "these lines as they were before"
REVERTED = ("conduct.test-weakened", "hipaa.session-timeout")  # what is there now proves or allows something else
_WHOLE = "conduct.gate-tampered"  # a part of an entry of a settings file is none
_WORD = lazy(r"[A-Za-z_]\w*")
_IMPORT = lazy(
    r"^\s*(?:import\b|from\s+\S+\s+import\b|(?:const|let|var)\s+.*\brequire\(|require(?:_relative)?\b|use\b)"
)
_MAKES = lazy(r"^\s*(?:const |let |var )?([A-Za-z_]\w*)\s*(?::=|=(?!=))")
_DEFINES = lazy(r"^\s*(?:export\s+)?(?:default\s+)?(?:async\s+)?(?:def|class|function|func|interface)\b")
_NAMES = lazy(r"(?<![.\w])[A-Za-z_]\w*(?!\s*=[^=])")
_STRINGS = lazy(r"\"[^\"]*\"|'[^']*'")
_OPENS, _CLOSES = "([{", ")]}"


@dataclass(frozen=True, slots=True)
class Block:
    """One place where the versions differ: 0-based half-open lines before, and now."""

    old: tuple[int, int]
    new: tuple[int, int]


def restored(finding: Finding, change: FileChange) -> Iterator[Edit]:
    """Yield edits that put lines back, the smallest first."""
    before, after = lines_of(change.before or b""), lines_of(change.after or b"")
    if change.before is None or change.after is None or before is None or after is None:
        return
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    blocks = [Block((a, b), (c, d)) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]
    blocks = [b for b in blocks if any(map(str.strip, [*before[slice(*b.old)], *after[slice(*b.new)]]))]
    lost = _lost_line(finding)
    places = _nearest(blocks, finding, lost)[:PLACES]
    for block in places:
        (i1, i2), (j1, j2) = block.old, block.new
        if i1 == i2:
            continue
        first, last = _statement(before, i1, i2, lost - 1 if i1 < lost <= i2 else i1)
        gone, whole = before[first : last + 1], before[i1:i2]
        gone = whole if finding.rule == _WHOLE else gone
        if len(whole) > MOST_LINES or j2 - j1 > MOST_LINES:
            continue
        rewritten = j1 < j2 and _alike(whole, after[j1:j2])
        tried = [] if rewritten else [(BACK, j1, gone)] if gone == whole else [(BACK, j1, gone), (BACK, j1, whole)]
        if rewritten or (j1 < j2 and finding.rule in REVERTED):
            tried.append((AS_BEFORE, j2, whole))
        for note, end, lines in tried:
            edit = replacing(change.path, note, j1 + 1, end, lines)
            if _sound(lines, before, after, edit, blocks, block):
                yield _with_imports(edit, lines, before, after, blocks, (block,))
    yield from _all_of_it(places, change.path, before, after, blocks)


def _all_of_it(
    places: Sequence[Block], path: str, before: Sequence[str], after: Sequence[str], blocks: Sequence[Block]
) -> Iterator[Edit]:
    """Two or three places near each other, as they were: a value that was checked is used again where it was."""
    mine = [b for b in places if not any(_IMPORT.match(line) for line in before[b.old[0] : b.old[1]])]
    mine = [b for b in mine if b.old[0] < b.old[1]]  # what is only new is somebody's work: nothing to put back there
    sizes = [max(b.old[1] - b.old[0], b.new[1] - b.new[0]) for b in mine]
    far = max((b.new[0] for b in mine), default=0) - min((b.new[0] for b in mine), default=0)
    if len(mine) < 2 or sum(sizes) > MOST_LINES or far > 3 * MOST_LINES:
        return
    edit = Edit(
        path=path,
        note=AS_BEFORE,
        replacements=tuple(
            Replacement(start=b.new[0] + 1, end=b.new[1], lines=tuple(before[b.old[0] : b.old[1]])) for b in mine
        ),
    )
    lines = [line for b in mine for line in before[b.old[0] : b.old[1]]]
    yield _with_imports(edit, lines, before, after, blocks, mine)


def _sound(
    put_back: Sequence[str],
    before: Sequence[str],
    after: Sequence[str],
    edit: Edit,
    blocks: Sequence[Block],
    mine: Block,
) -> bool:
    """Whether what is put back can mean here what it meant: its names are there, and what it makes is used."""
    full = _with_imports(edit, put_back, before, after, blocks, (mine,))
    there = {word for line in after for word in _WORD.findall(line)}
    there |= {
        word for one in full.replacements for line in one.lines for word in _WORD.findall(line) if _IMPORT.match(line)
    }
    declared = _in_class(before, mine.old[0])
    made = [] if declared else [match[1] for line in put_back if (match := _MAKES.match(line))]
    names = {word for line in put_back for word in _NAMES.findall(_STRINGS.sub("", line))} - set(made)
    local = {match[1] for line in before if (match := _MAKES.match(line))}
    if any(name in local and name not in there for name in names):
        return False
    if any(_DEFINES.match(line) and line in after for line in put_back):
        return False  # it would be there twice
    rest = " ".join(after)
    later = " ".join(put_back[1:])
    return all(re.search(rf"\b{name}\b", rest) or len(re.findall(rf"\b{name}\b", later)) > 0 for name in made)


def _in_class(lines: Sequence[str], number: int) -> bool:
    """Whether a line stands in the body of a class itself: what is assigned there is declared."""
    depth = len(lines[number]) - len(lines[number].lstrip())
    above = (line for line in reversed(lines[:number]) if line.strip() and len(line) - len(line.lstrip()) < depth)
    return depth > 0 and next(above, "").lstrip().startswith("class ")


def _lost_line(finding: Finding) -> int:
    """The line before the change that the finding is about, 0 where it does not say."""
    if finding.side == "before":
        return finding.start_line
    return next((one.line for one in finding.evidence if "before this change" in one.shows), 0)


def _nearest(blocks: Sequence[Block], finding: Finding, lost: int) -> list[Block]:
    def far(block: Block) -> tuple[int, int]:
        (i1, i2), (j1, j2) = block.old, block.new
        if lost:
            return (0 if i1 < lost <= i2 else 1, abs(i1 + 1 - lost))
        inside = j1 <= finding.end_line and finding.start_line <= max(j2, j1 + 1) + 1
        return (0 if inside else 1, abs(j1 + 1 - finding.start_line))

    return sorted(blocks, key=far)


def _statement(lines: Sequence[str], start: int, end: int, line: int) -> tuple[int, int]:
    """Return the lines of the statement around one, within bounds, by the brackets it opens and closes."""
    depth, first = 0, start
    for number in range(start, end):
        if depth <= 0 and number <= line:
            first = number
        text = re.sub(r"\"[^\"]*\"|'[^']*'|`[^`]*`", "", lines[number])
        depth += sum(c in _OPENS for c in text) - sum(c in _CLOSES for c in text)
        if number >= line and depth <= 0:
            return first, number
    return first, end - 1


def _alike(old: Sequence[str], new: Sequence[str]) -> bool:
    """Whether lines were rewritten: together, or one of them, they read alike."""
    texts = [" ".join(" ".join(lines).split()) for lines in (old, new)]
    if difflib.SequenceMatcher(None, texts[0], texts[1]).ratio() > 0.5:
        return True
    return any(
        len(one.strip()) > 3 and difflib.SequenceMatcher(None, one.strip(), other.strip()).ratio() > 0.6
        for one in old
        for other in new
    )


def _with_imports(
    edit: Edit,
    put_back: Sequence[str],
    before: Sequence[str],
    after: Sequence[str],
    blocks: Sequence[Block],
    mine: Sequence[Block],
) -> Edit:
    """Put back the imports too that were taken out with what they were for."""
    words = {word for line in put_back for word in _WORD.findall(line)}
    known = {word for line in after for word in _WORD.findall(line)}
    more = []
    for block in blocks:
        lines = [line for line in before[block.old[0] : block.old[1]] if _IMPORT.match(line)]
        needed = [line for line in lines if words & (set(_WORD.findall(line)) - known)]
        if block in mine or not needed:
            continue
        at, end = block.new[0] + 1, block.new[0]
        if any(
            _IMPORT.match(line) and _alike(line, other)
            for line in needed
            for other in after[block.new[0] : block.new[1]]
        ):
            end = block.new[1]  # the line names less than it did
        more.append(Replacement(start=at, end=end, lines=tuple(needed)))
    return replace(edit, replacements=(*edit.replacements, *more)) if more else edit
