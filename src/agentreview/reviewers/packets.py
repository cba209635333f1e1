"""What is sent of a change: a packet for each changed unit, with what lies one hop away and what is already known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agentreview.canonical import digest
from agentreview.model import Finding
from agentreview.records import dataclass, replace
from agentreview.reviewers.nearby import Hop
from agentreview.reviewers.shown import Shown
from agentreview.reviewers.units import MODULE, Piece, Spans, Version, merged, numbers
from agentreview.syntax.facts import Fact

TOKEN = 3.2  # characters of code, roughly and on the safe side
MAX_FACTS = 12
READ_BEFORE = "read before"


@dataclass(frozen=True, slots=True)
class Cut:
    """Which lines are shown of a unit that was read whole before, and of its neighbours; of those in ``named`` only the name.

    ``edited`` are lines that differ since then, and ``said`` is what a reading held against the unit: it is asked about again.
    ``undecided`` are suspects, by fingerprint, that showing all of it did not settle.
    """

    after: Spans
    before: Spans
    hops: tuple[Spans, ...]
    edited: frozenset[int]
    named: tuple[str, ...]
    said: tuple[str, ...]
    undecided: frozenset[str]
    elsewhere: tuple[str, ...] = ()  # neighbours that are units of the same request


@dataclass(frozen=True, slots=True, eq=False)
class Packet:
    """One unit, ready to be sent. ``id`` names it in the answer, ``key`` is its content without line numbers.

    Where it shows only part of what was read before, ``whole`` is all of it, and would not settle ``undecided``.
    """

    id: str
    piece: Piece
    text: str
    key: str
    asked: tuple[tuple[str, Finding], ...]  # (id in the answer, deterministic suspect)
    known: tuple[Finding, ...] = ()  # deterministic violations: settled, and only told
    whole: Packet | None = None
    undecided: frozenset[str] = frozenset()  # of ``asked``, by id

    @property
    def tokens(self) -> int:
        """About how many tokens the text costs."""
        return tokens(self.text)


def tokens(text: str) -> int:
    """Estimate tokens of a text."""
    return int(len(text) / TOKEN) + 1


def packet(
    number: int, piece: Piece, shown: Shown, hops: Sequence[Hop], findings: Iterable[Finding], rules: frozenset[str]
) -> Packet:
    """Make the packet of one unit for a reviewer who may speak of ``rules``."""
    name = f"U{number}"
    mine = [f for f in findings if concerns(piece, f)]
    asked = tuple(
        (f"{name}.S{n}", f)
        for n, f in enumerate([f for f in mine if f.hit.value == "suspect" and f.rule in rules], 1)
    )  # fmt: skip
    known = tuple(f for f in mine if f.hit.value == "violation")
    body = list(_body(name, piece, shown, hops, asked, known))
    return Packet(name, piece, "\n".join(body), content_key(piece, hops, mine), asked, known)


def shorter(one: Packet, shown: Shown, hops: Sequence[Hop], cut: Cut) -> Packet:
    """The same unit with less shown of it; the packet itself where that is not less."""
    one = one.whole or one
    body = "\n".join(_body(one.id, one.piece, shown, hops, one.asked, one.known, cut))
    if len(body) >= len(one.text):
        return one
    undecided = frozenset(name for name, finding in one.asked if finding.fingerprint in cut.undecided)
    return replace(one, text=body, whole=one, undecided=undecided)


def concerns(piece: Piece, finding: Finding) -> bool:
    """Whether a deterministic finding is about this unit."""
    if finding.path != piece.path:
        return False
    named = finding.unit if finding.unit != MODULE else ""
    return named == piece.name if named or piece.name else piece.holds(finding.start_line, finding.side)


def _body(
    name: str, piece: Piece, shown: Shown, hops: Sequence[Hop], asked: Sequence[tuple[str, Finding]], known: Sequence[Finding],
    cut: Cut | None = None,
) -> Iterator[str]:  # fmt: skip
    what = {"function": "function", "class": "class, its head and changed lines", "module": "top level of the file"}
    before = f"; {READ_BEFORE}" if cut is not None else ""
    yield f"== {name}: {shown.word(piece.path)} {shown.word(piece.name)} ({what.get(piece.kind, 'changed lines')}{before})"
    if piece.new is not None and piece.after:
        head = above(piece.new, piece)
        if cut is None:
            yield f"-- after, {shown.word(piece.path)}{_changed(piece.added)}"
            yield from shown.rows(piece.new, "after", numbers(merged([*head, *piece.after])))
        else:
            since = f" (changed since then: {_ranges(sorted(cut.edited))})" if cut.edited else ""
            yield f"-- after{_changed(piece.added)}{since}"
            yield from shown.rows(piece.new, "after", numbers(merged([*named_at(piece), *cut.after])))
    else:
        yield "-- after: it is gone"
    if piece.old is not None and piece.before and piece.removed:
        gone = piece.before if cut is None else cut.before
        where = f", {shown.word(piece.old.path)}" if cut is None or piece.old.path != piece.path else ""
        yield f"-- before{where}{_changed(piece.removed)}{'' if gone else f': {READ_BEFORE}'}"
        yield from shown.rows(piece.old, "before", numbers(gone))
    elif piece.old is None or not piece.before:
        yield "-- before: it is new"
    elif piece.added:
        yield "-- before: the same without the changed lines"
    for hop, spans in zip(hops, [hop.spans for hop in hops] if cut is None else cut.hops, strict=True):
        if spans:
            part = f" ({READ_BEFORE})" if spans != hop.spans else ""
            yield f"-- {hop.why}: {shown.word(hop.version.path)} {shown.word(hop.name)}{part}"
            yield from shown.rows(hop.version, "after", numbers(spans))
    if cut is not None and cut.elsewhere:
        yield f"-- shown as units of their own: {', '.join(map(shown.word, cut.elsewhere))}"
    if cut is not None and cut.named:
        yield f"-- {READ_BEFORE}, and the same: {', '.join(map(shown.word, cut.named))}"
    facts = [f for f in piece.facts if cut is None or f.line in cut.edited][:MAX_FACTS]
    if facts:
        yield "-- what tools see in it"
        yield from (f"   line {f.line}: {shown.word(_said(f))}" for f in facts)
    if known:
        yield "-- already reported, settled: say nothing more about these"
        told = [f": {shown.word(f.message)}" if cut is None else "" for f in known]
        yield from (f"   {f.rule}, line {f.start_line}{words}" for f, words in zip(known, told, strict=True))
    if cut is not None and cut.said:
        yield "-- held against it before it was edited again: claim it again where it still stands"
        yield from (f"   {shown.word(one)}" for one in cut.said)
    if asked:
        yield "-- suspects: settle each of these"
        yield from (f"   {i}: {f.rule}, line {f.start_line} ({f.side}): {shown.word(f.message)}" for i, f in asked)


def _changed(lines: tuple[int, ...]) -> str:
    return f" (changed lines: {_ranges(lines)})" if lines else ""


def _ranges(lines: Iterable[int]) -> str:
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in merged([(n, n) for n in lines]))


def above(version: Version, piece: Piece) -> Spans:
    """Heads of the classes around a function: decorators, name, bases, and what is set there in the first lines."""
    unit, out = piece.unit, []
    if unit is None or piece.kind != "function":
        return ()
    node = unit.parent
    while node is not None and node.kind != "module":
        inner = min((c.line for c in node.children if c.line > node.line), default=node.end_line + 1)
        last = max(node.header_line, node.line)
        out.append((node.line, min(max(last, min(inner - 1, last + 8)), len(version.lines))))
        node = node.parent
    return merged(out)


def named_at(piece: Piece) -> Spans:
    """Lines with the names of the classes around a function."""
    node, out = piece.unit.parent if piece.unit is not None and piece.kind == "function" else None, []
    while node is not None and node.kind != "module":
        at = max(node.header_line, node.line)
        out.append((at, at))
        node = node.parent
    return merged(out)


def _said(fact: Fact) -> str:
    about = f" of {fact.resource}" if fact.resource else ""
    via = f", through {fact.via}" if fact.via else ""
    return f"{fact.concept}{about}{' (health information)' if fact.phi else ''}: {fact.call}{via}"


def content_key(piece: Piece, hops: Sequence[Hop], findings: Iterable[Finding]) -> str:
    """Digest of everything a packet says but line numbers: a unit that only moved keeps its answers."""
    return digest(
        {
            "path": piece.path,
            "name": piece.name,
            "kind": piece.kind,
            "after": text_at(piece.new, piece.after),
            "before": text_at(piece.old, piece.before if piece.removed else ()),
            "added": text_at(piece.new, merged([(n, n) for n in piece.added])),
            "removed": text_at(piece.old, merged([(n, n) for n in piece.removed])),
            "head": text_at(piece.new, above(piece.new, piece)) if piece.new is not None else "",
            "near": sorted([hop.why, hop.version.path, hop.name, text_at(hop.version, hop.spans)] for hop in hops),
            "known": sorted([f.rule, f.hit.value, f.fingerprint] for f in findings),
        }
    )


def text_at(version: Version | None, spans: Spans) -> str:
    """Those lines of a version, as one text."""
    return "\n".join(version.lines[n - 1] for n in numbers(spans) if n <= len(version.lines)) if version else ""


def grouped(packets: Sequence[Packet], limit: int) -> list[list[Packet]]:
    """Put packets into as few requests as ``limit`` tokens each allow; one that is larger goes alone."""
    out: list[list[Packet]] = []
    room = 0
    for one in packets:
        if not out or one.tokens > room:
            out.append([])
            room = limit
        out[-1].append(one)
        room -= one.tokens
    return out
