"""What is sent about a unit that was read whole before: what differs since then, and of the rest the lines that decide.

A unit is read whole first, and whatever may have been wrong with it then is carried on in words until a reading no longer says so. Of
a neighbour that is the same as it was, only its head, what tools see in it and what was quoted of it is shown again; a
neighbour that changed is shown as ever. Whoever reads may refuse: then the unit is sent whole (:mod:`agentreview.reviewers.chain`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agentreview.canonical import digest
from agentreview.lazyre import lazy
from agentreview.records import dataclass
from agentreview.reviewers.nearby import Hop
from agentreview.reviewers.packets import Cut, above, text_at
from agentreview.reviewers.units import Piece, Spans, Version, clusters, merged, numbers
from agentreview.syntax.tree import Unit

SMALL = 16  # lines up to which a unit is shown whole again
NEAR = 4  # lines around what differs
FEW = 4  # lines that the change took away, up to which they are always shown
SHORT_HOP = 4  # lines up to which a neighbour is shown whole again
ALIKE = 0.5  # of its lines, below which a unit counts as another one
_MAX_FACTS = 8
_MAX_SAID = 6
_COMMON = 8  # lines that may hold a name and still be told apart by it
_NAME = lazy(r"[A-Za-z_][A-Za-z0-9_]{2,}")
_WORDS = frozenset(
    "and async await class const def else elif except export final for from function func if import let new not null None "
    "package private protected public raise return self static super then this throw true True false False try var void while with".split()
)


Marks = tuple[str, ...]  # a short digest of each line


@dataclass(frozen=True, slots=True)
class Sight:
    """What was shown of a unit when it was read whole: its lines, what it was before the change, what lay around it by name."""

    lines: Marks
    before: str
    near: tuple[tuple[str, Marks], ...]


@dataclass(frozen=True, slots=True)
class Quoted:
    """A line that a reading rested on, by its text."""

    path: str
    side: str
    text: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """The last whole reading of a unit, and what is said of it since: (rule, words) that stand, and lines that were quoted.

    ``undecided`` are suspects, by fingerprint, that no reading could settle.
    """

    sight: Sight
    said: tuple[tuple[str, str], ...] = ()
    quoted: tuple[Quoted, ...] = ()
    undecided: frozenset[str] = frozenset()


def sight(piece: Piece, hops: Sequence[Hop]) -> Sight:
    """What a whole packet shows of a unit."""
    return Sight(
        _marks(piece.new, piece.after),
        digest(_before(piece)),
        tuple((_name(hop), _marks(hop.version, hop.spans)) for hop in hops),
    )


def cut(piece: Piece, hops: Sequence[Hop], earlier: Earlier) -> Cut | None:
    """Return what of a unit is worth showing again, or None where it has to be shown whole."""
    if (
        piece.new is None
        or not piece.after
        or not earlier.sight.lines
        or digest(_before(piece)) != earlier.sight.before
    ):
        return None
    edited = _edited(earlier.sight.lines, piece.new, piece.after)
    if edited is None:
        return None
    known = dict(earlier.sight.near)
    if not edited and known.keys() - {_name(hop) for hop in hops}:
        return None  # something around it has gone, and nothing that is shown would say so
    differ = [_edited(known.get(_name(hop), ()), hop.version, hop.spans) for hop in hops]
    words = {word for n in edited for word in _NAME.findall(piece.new.lines[n - 1])} - _WORDS
    words |= {_last(hop) for hop, lines in zip(hops, differ, strict=True) if lines is None or lines}
    near, named = [], []
    for hop, lines in zip(hops, differ, strict=True):
        shown = hop.spans if lines is None else _outline(hop, lines, earlier)
        only_head = not lines and shown != hop.spans and set(numbers(shown)) <= set(_head(hop.unit))
        if only_head and _last(hop) not in words:
            named.append(hop.name)
            shown = ()
        near.append(shown)
    return Cut(
        after=_unit(piece, edited, words, earlier),
        before=_removed(piece, edited),
        hops=tuple(near),
        edited=edited,
        named=tuple(dict.fromkeys(named)),
        said=tuple(f"{rule}: {said}" for rule, said in earlier.said[:_MAX_SAID]),
        undecided=earlier.undecided,
    )


def _edited(before: Marks, version: Version, spans: Spans) -> frozenset[int] | None:
    """Which lines differ since then, those beside a gap included; None when it is hardly the same any more, or is new."""
    from difflib import SequenceMatcher

    shown, after = list(numbers(spans)), _marks(version, spans)
    if before == after:
        return frozenset()
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < ALIKE:
        return None
    out: set[int] = set()
    for kind, _, _, first, last in matcher.get_opcodes():
        if kind != "equal":
            out.update(range(first, last) if first < last else range(max(first - 1, 0), min(first + 1, len(after))))
    return frozenset(shown[n] for n in out)


def _unit(piece: Piece, edited: frozenset[int], words: Iterable[str], earlier: Earlier) -> Spans:
    """Lines of the unit: all of a small one, else what differs, what speaks of the same names, and what decides."""
    assert piece.new is not None  # noqa: S101 - see cut
    shown, lines = list(numbers(piece.after)), piece.new.lines
    if len(shown) <= SMALL:
        return _written(piece.new, shown)
    holding = [[n for n in shown if word in lines[n - 1]] for word in sorted(words)]
    keep = {n for found in holding if len(found) <= _COMMON for n in found}
    keep.update(numbers(clusters(edited, NEAR, shown[0], shown[-1])))
    keep.update(_head(piece.unit) if piece.unit is not None and piece.kind != "module" else shown[:1])
    keep.update(fact.line for fact in piece.facts[:_MAX_FACTS])
    keep.update(_quoted(piece.new, "after", earlier))
    return _written(piece.new, keep & set(shown))


def _removed(piece: Piece, edited: frozenset[int]) -> Spans:
    """What the change took away where it was edited again, or little; what it took away elsewhere was read."""
    if piece.old is None or not piece.removed:
        return ()
    mine = set(piece.removed)
    gone: set[int] = set()
    for hunk in piece.change.hunks:
        there = {*hunk.added, hunk.new_start, hunk.new_start + 1}
        if there & edited:
            gone.update(mine & set(hunk.removed))
    if not gone and len(mine) <= FEW:
        return _written(piece.old, sorted(mine))
    return _written(piece.old, numbers(_within(clusters(gone, 1, 1, len(piece.old.lines)), piece.before)))


def _outline(hop: Hop, edited: frozenset[int], earlier: Earlier) -> Spans:
    """Of a neighbour that was read: its head, what differs since, what tools see in it, what was quoted of it."""
    shown = list(numbers(hop.spans))
    if len(shown) <= SHORT_HOP:
        return hop.spans
    keep = {*_head(hop.unit), *hop.at, *numbers(clusters(edited, 2, shown[0], shown[-1]))}
    if hop.version.analysis is not None and not hop.at:
        keep.update(fact.line for fact in hop.version.analysis.own(hop.unit).facts[:_MAX_FACTS])
    keep.update(_quoted(hop.version, "after", earlier))
    return _written(hop.version, keep & set(shown))


def _head(unit: Unit) -> range:
    return range(unit.line, max(unit.line, min(unit.header_line, unit.line + 6)) + 1)


def _written(version: Version, lines: Iterable[int]) -> Spans:
    """Those lines, but blank ones."""
    return merged([(n, n) for n in lines if version.lines[n - 1].strip()])


def _quoted(version: Version, side: str, earlier: Earlier) -> Iterator[int]:
    wanted = {one.text for one in earlier.quoted if one.path == version.path and one.side == side}
    if wanted:
        yield from (n for n, line in enumerate(version.lines, 1) if line in wanted)


def _within(spans: Spans, limit: Spans) -> Spans:
    return merged([(max(a, c), min(b, d)) for a, b in spans for c, d in limit])


def _before(piece: Piece) -> list[str]:
    """What it was, and what stands around it: where that is another one, the unit is another one."""
    head = text_at(piece.new, above(piece.new, piece)) if piece.new is not None else ""
    return [text_at(piece.old, piece.before if piece.removed else ()), head]


def _name(hop: Hop) -> str:
    return digest([hop.why, hop.version.path, hop.name], size=8)[3:]


def _last(hop: Hop) -> str:
    return hop.name.rpartition(".")[2]


def _marks(version: Version | None, spans: Spans) -> Marks:
    lines = [] if version is None else version.lines
    return tuple(
        digest(lines[n - 1].encode("utf-8", "surrogatepass"), size=5)[3:] for n in numbers(spans) if n <= len(lines)
    )


def encoded(earlier: Earlier) -> dict[str, Any]:
    """The same, as it is kept."""
    one = earlier.sight
    quoted = [[q.path, q.side, q.text] for q in earlier.quoted]
    return {
        "lines": list(one.lines),
        "before": one.before,
        "near": list(one.near),
        "said": [list(s) for s in earlier.said],
        "undecided": sorted(earlier.undecided),
        "quoted": quoted,
    }


def decoded(raw: Mapping[str, Any]) -> Earlier:
    """Read it back. Raises ValueError, KeyError or TypeError for anything else."""
    seen = Sight(
        tuple(map(str, raw["lines"])),
        str(raw["before"]),
        tuple((str(name), tuple(map(str, marks))) for name, marks in raw["near"]),
    )
    said = tuple((str(rule), str(words)) for rule, words in raw["said"])
    quoted = tuple(Quoted(str(p), str(s), str(t)) for p, s, t in raw["quoted"])
    return Earlier(seen, said, quoted, frozenset(map(str, raw["undecided"])))
