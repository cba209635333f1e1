"""One hop away from a changed unit: what it calls, what it derives from, the models it reads, and who calls it.

Read from the reviewed tree, in bounds. What is not found is simply not shown; nothing is assumed of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import takewhile
from posixpath import dirname

from agentreview.policies.around import Trees
from agentreview.policies.compare import Engine
from agentreview.records import dataclass, field
from agentreview.reviewers.units import Piece, Spans, Version
from agentreview.syntax.facts import Analysis
from agentreview.syntax.imports import Paths, imported, locate
from agentreview.syntax.parse import language_of
from agentreview.syntax.patterns import chain
from agentreview.syntax.reach import enclosing_class, resolve
from agentreview.syntax.tree import Unit, dotted

MAX_HOPS = 10  # of one unit
MAX_LINES = 40  # of one hop
MAX_CALLERS = 5
MAX_TRIED = 8  # files that hold a call of that name, and are parsed to see
SEARCHED = 300  # files in which callers are looked for
MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Hop:
    """Lines of another unit, and why they are shown. ``at`` are those that call, where it is a caller."""

    why: str
    version: Version
    unit: Unit
    spans: Spans
    at: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """How people call it."""
        return self.unit.qualname


@dataclass(slots=True, eq=False)
class Around:
    """The reviewed tree, read as far as packets need it."""

    trees: Trees | None
    tree: str
    engine: Engine
    changed: Mapping[str, Version]
    excluded: tuple[str, ...] = ()  # globs: never read for anybody
    _listing: Mapping[str, str] | None = None
    _paths: Paths | None = None
    _read: dict[str, Version | None] = field(default_factory=dict)
    _searched: dict[str, dict[str, bytes]] = field(default_factory=dict)  # by suffix
    _hops: dict[int, list[Hop]] = field(default_factory=dict)  # by the piece's identity

    def listing(self) -> Mapping[str, str]:
        """Paths of the tree, and their blobs."""
        if self._listing is None:
            from agentreview.globs import matches

            found = self.trees.listing(self.tree) if self.trees is not None else {}
            self._listing = {p: oid for p, oid in found.items() if not matches(p, self.excluded)}
        return self._listing

    def paths(self) -> Paths:
        """The same, filed for look-ups."""
        if self._paths is None:
            self._paths = Paths(self.listing())
        return self._paths

    def version(self, path: str) -> Version | None:
        """Return a file of the tree, read and parsed once."""
        if path in self.changed:
            return self.changed[path]
        if path not in self._read:
            blob = self.listing().get(path)
            data = self.trees.read([blob], MAX_BYTES).get(blob) if self.trees is not None and blob else None
            self._read[path] = Version.of(path, data, self.engine) if data is not None else None
        return self._read[path]

    def hops(self, piece: Piece) -> list[Hop]:
        """What lies one hop away, nearest first, each once."""
        known = self._hops.get(id(piece))
        if known is not None:
            return known
        out: list[Hop] = []
        self._hops[id(piece)] = out
        seen: set[tuple[str, str]] = {(piece.path, piece.name)}
        for hop in self._all(piece):
            if (hop.version.path, hop.name) not in seen and len(out) < MAX_HOPS:
                seen.add((hop.version.path, hop.name))
                out.append(hop)
        return out

    def _all(self, piece: Piece) -> Iterator[Hop]:
        if piece.new is None or piece.new.analysis is None or piece.unit is None:
            return
        analysis, unit = piece.new.analysis, piece.unit
        cls = unit if unit.kind == "class" else enclosing_class(unit)
        for base in cls.bases if cls is not None else ():
            yield from self._named(piece.new, analysis, chain(base)[-1].name, dotted(base), "base class")
        for decorator in unit.decorators:
            yield from self._named(piece.new, analysis, "", dotted(decorator), "decorator")
        for name, _ in analysis.own(unit).calls:
            helper = resolve(analysis, unit, name)
            if helper is not None:
                yield Hop("called", piece.new, helper, _lines(piece.new, helper))
            else:
                yield from self._named(piece.new, analysis, "", name, "called")
        for fact in piece.facts:
            if fact.resource:
                yield from self._named(piece.new, analysis, fact.resource, fact.resource, "model")
        yield from self._callers(piece, analysis, unit)

    def _named(self, version: Version, analysis: Analysis, local: str, name: str, why: str) -> Iterator[Hop]:
        if not name:
            return
        here = analysis.names.get(local or name)
        if here is not None and here.kind == "class":
            yield Hop(why, version, here, _lines(version, here))
            return
        target = imported(analysis, name)
        if not target:
            return
        for path, symbol in locate(self.paths(), version.path, analysis.module.language, target)[:3]:
            found = self.version(path)
            if found is None or found.analysis is None:
                continue
            unit = _find(found.analysis, symbol)
            if unit is not None:
                yield Hop(why, found, unit, _lines(found, unit))
                return

    def _callers(self, piece: Piece, analysis: Analysis, unit: Unit) -> Iterator[Hop]:
        """Who calls a function that was there before: in the same file, then in files near it."""
        if unit.kind != "function" or piece.old is None or id(unit) in analysis.endpoints or piece.new is None:
            return
        left = MAX_CALLERS
        for other in analysis.module.units:
            if not left or other is unit:
                continue
            lines = [e.line for n, e in analysis.own(other).calls if resolve(analysis, other, n) is unit]
            if lines:
                left -= 1
                yield Hop("caller", piece.new, other, _lines(piece.new, other), tuple(lines[:MAX_CALLERS]))
        if unit.name.startswith("__") or unit.name == "constructor":
            return  # a name that every class has says nothing about who calls it
        call, home = f"{unit.name}(".encode(), dirname(piece.path)
        holding = [path for path, data in self._code(piece).items() if path != piece.path and call in data]
        holding.sort(key=lambda path: (-_common(home, dirname(path)), path))
        for path in holding[:MAX_TRIED]:
            if not left:
                return
            found = self.version(path)
            if found is None or found.analysis is None:
                continue
            for other in found.analysis.module.units:
                calls = [(n, e) for n, e in found.analysis.own(other).calls if n.rpartition(".")[2] == unit.name]
                if left and calls:
                    left -= 1
                    at = calls[0][1].line
                    spans = ((max(other.line, at - 6), min(other.end_line, at + 6)),)
                    yield Hop("caller", found, other, spans, (at,))

    def _code(self, piece: Piece) -> dict[str, bytes]:
        """Contents of code files that end as this one does, those near any changed file first; read once a review.

        Which files these are depends on the whole change and not on the unit asked about first: or its neighbours,
        and with them its kept answer, would depend on who else is reviewing.
        """
        suffix = piece.path.rpartition(".")[2]
        if suffix not in self._searched:
            ours = {p: v for p, v in self.changed.items() if p.endswith(f".{suffix}")}
            homes = {dirname(p) for p in ours}
            shared: dict[str, int] = {}
            found = [p for p in self.listing() if p.endswith(f".{suffix}") and p not in ours and language_of(p, b"")]
            for folder in {dirname(p) for p in found}:
                shared[folder] = max((_common(home, folder) for home in homes), default=0)
            near = sorted(found, key=lambda p: (-shared[dirname(p)], p))[:SEARCHED]
            blobs = {p: self.listing()[p] for p in near}
            data = self.trees.read(list(blobs.values()), MAX_BYTES) if self.trees is not None and blobs else {}
            self._searched[suffix] = {p: data[oid] for p, oid in blobs.items() if oid in data}
            self._searched[suffix].update({p: v.content for p, v in ours.items()})
        return self._searched[suffix]


def _common(a: str, b: str) -> int:
    """How many leading folders two paths share."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(a.split("/"), b.split("/"), strict=False))))


def _find(analysis: Analysis, symbol: str) -> Unit | None:
    """The unit a symbol means: ``Patient.objects.get`` is the class Patient."""
    parts = symbol.split(".")
    for size in range(len(parts), 0, -1):
        found = analysis.names.get(".".join(parts[:size]))
        if found is not None:
            return found
    return None


def _lines(version: Version, unit: Unit) -> Spans:
    return ((unit.line, min(unit.end_line, unit.line + MAX_LINES - 1, len(version.lines))),)
