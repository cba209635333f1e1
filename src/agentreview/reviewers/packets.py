"""What is sent of a change: a packet for each changed unit, with what lies one hop away and what is already known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agentreview.canonical import digest
from agentreview.model import Finding
from agentreview.records import dataclass
from agentreview.reviewers.nearby import Hop
from agentreview.reviewers.shown import Shown
from agentreview.reviewers.units import MODULE, Piece, Spans, Version, merged, numbers
from agentreview.syntax.facts import Fact

TOKEN = 3.2  # characters of code, roughly and on the safe side
MAX_FACTS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Packet:
    """One unit, ready to be sent. ``id`` names it in the answer, ``key`` is its content without line numbers."""

    id: str
    piece: Piece
    text: str
    key: str
    asked: tuple[tuple[str, Finding], ...]  # (id in the answer, deterministic suspect)
    known: tuple[Finding, ...] = ()  # deterministic violations: settled, and only told

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


def concerns(piece: Piece, finding: Finding) -> bool:
    """Whether a deterministic finding is about this unit."""
    if finding.path != piece.path:
        return False
    named = finding.unit if finding.unit != MODULE else ""
    return named == piece.name if named or piece.name else piece.holds(finding.start_line, finding.side)


def _body(
    name: str, piece: Piece, shown: Shown, hops: Sequence[Hop], asked: Sequence[tuple[str, Finding]], known: Sequence[Finding],
) -> Iterator[str]:  # fmt: skip
    what = {"function": "function", "class": "class, its head and changed lines", "module": "top level of the file"}
    yield f"== {name}: {shown.word(piece.path)} {shown.word(piece.name)} ({what.get(piece.kind, 'changed lines')})"
    if piece.new is not None and piece.after:
        head = _above(piece.new, piece)
        yield f"-- after, {shown.word(piece.path)}{_changed(piece.added)}"
        yield from shown.rows(piece.new, "after", numbers(merged([*head, *piece.after])))
    else:
        yield "-- after: it is gone"
    if piece.old is not None and piece.before and piece.removed:
        yield f"-- before, {shown.word(piece.old.path)}{_changed(piece.removed)}"
        yield from shown.rows(piece.old, "before", numbers(piece.before))
    elif piece.old is None or not piece.before:
        yield "-- before: it is new"
    elif piece.added:
        yield "-- before: the same without the changed lines"
    for hop in hops:
        yield f"-- {hop.why}: {shown.word(hop.version.path)} {shown.word(hop.name)}"
        yield from shown.rows(hop.version, "after", numbers(hop.spans))
    if piece.facts:
        yield "-- what tools see in it"
        yield from (f"   line {f.line}: {shown.word(_said(f))}" for f in piece.facts[:MAX_FACTS])
    if known:
        yield "-- already reported, settled: say nothing more about these"
        yield from (f"   {f.rule}, line {f.start_line}: {shown.word(f.message)}" for f in known)
    if asked:
        yield "-- suspects: settle each of these"
        yield from (f"   {i}: {f.rule}, line {f.start_line} ({f.side}): {shown.word(f.message)}" for i, f in asked)


def _changed(lines: tuple[int, ...]) -> str:
    return f" (changed lines: {_ranges(lines)})" if lines else ""


def _ranges(lines: Iterable[int]) -> str:
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in merged([(n, n) for n in lines]))


def _above(version: Version, piece: Piece) -> Spans:
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
            "after": _text(piece.new, piece.after),
            "before": _text(piece.old, piece.before if piece.removed else ()),
            "added": _text(piece.new, merged([(n, n) for n in piece.added])),
            "removed": _text(piece.old, merged([(n, n) for n in piece.removed])),
            "head": _text(piece.new, _above(piece.new, piece)) if piece.new is not None else "",
            "near": sorted([hop.why, hop.version.path, hop.name, _text(hop.version, hop.spans)] for hop in hops),
            "known": sorted([f.rule, f.hit.value, f.fingerprint] for f in findings),
        }
    )


def _text(version: Version | None, spans: Spans) -> str:
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
