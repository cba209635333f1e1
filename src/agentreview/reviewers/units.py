"""What a change touched, as units: a function, the head of a class, a stretch of lines of anything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agentreview.config import Limits
from agentreview.lazyre import lazy
from agentreview.model import FileChange
from agentreview.policies.compare import Engine
from agentreview.pool import Work, run
from agentreview.records import dataclass, field
from agentreview.syntax.facts import Analysis, Fact
from agentreview.syntax.parse import generated, is_code, language_of, text_of
from agentreview.syntax.tree import Unit

MODULE = "<module>"  # the unit of what stands in no function or class
PROSE = "not code"
_LOCKS = lazy(
    r"(?:^|/)(?:package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|[Pp]ipfile\.lock|go\.sum|Gemfile\.lock|[\w.-]+\.lock(?:b|file)?)$|\.(?:snap|map)$"
)
_SETTINGS = lazy(
    r"(?:^|/)(?:\.env[\w.-]*|Makefile|Procfile|[^/]*\.(?:ya?ml|toml|json5?|ini|cfg|conf|properties|xml|gradle|tf|sql|proto|graphqls?|prisma))$"
)
AROUND = 12  # lines around a change outside functions
WHOLE = 160  # lines up to which a function is shown whole
Spans = tuple[tuple[int, int], ...]  # first and last line, in order, apart from each other


@dataclass(slots=True, eq=False)
class Version:
    """One version of one file: its lines, and its facts where a lowerer reads it."""

    path: str
    content: bytes
    lines: list[str]
    analysis: Analysis | None

    @classmethod
    def of(cls, path: str, content: bytes, engine: Engine) -> Version:
        """Read one blob. One whose reading does not come to an end has lines, and no facts."""
        found = engine.analyse(path, content) if _ends(path, content, engine) else None
        return cls(path, content, text_of(content).split("\n"), found if isinstance(found, Analysis) else None)


def _ends(path: str, content: bytes, engine: Engine) -> bool:
    """Whether reading it ends in its time. On some files a parser runs away, and nothing in this process could stop it."""
    found = language_of(path, content)
    if found is None or (path, content) in engine.ended:
        return True
    engine.matchers(found[0])  # once, here, for all that are tried
    work = Work(
        sizes=(len(content),),
        do=lambda _: engine.analyse(path, content) is not None,
        failed=lambda _n, _why: False,
        seconds=engine.config.limits.file_seconds,
    )
    return bool(run(work)[0])


@dataclass(slots=True, eq=False)
class Piece:
    """A changed unit: where it is on both sides, and what it does. ``name`` is '' outside of functions and classes.

    ``inside`` are all lines it owns after the change, of which only ``after`` are shown when it is long.
    """

    change: FileChange
    name: str
    kind: str  # function | class | module | lines
    before: Spans = ()
    after: Spans = ()
    inside: Spans = ()
    gone: Spans = ()  # lines that it owns before the change
    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    old: Version | None = None
    new: Version | None = None
    unit: Unit | None = None  # after the change
    facts: tuple[Fact, ...] = ()

    @property
    def path(self) -> str:
        """Where it is after the change, or was before it went."""
        return self.change.path

    @property
    def first(self) -> int:
        """Its first line, for the order of a report."""
        return (self.after or self.before or ((0, 0),))[0][0]

    @property
    def label(self) -> str:
        """How people call it."""
        return self.name or f"lines {self.first} to {(self.after or self.before)[-1][1]}"

    def holds(self, line: int, side: str) -> bool:
        """Whether a line of one side belongs to it."""
        return any(a <= line <= b for a, b in (self.inside if side == "after" else self.gone))


@dataclass(slots=True)
class _Touched:
    unit: Unit | None = None
    lines: list[int] = field(default_factory=list)


def pieces(change: FileChange, engine: Engine) -> list[Piece]:
    """Divide what a change touched of one file into units, in the order of the file."""
    old = Version.of(change.old_path or change.path, change.before, engine) if change.before is not None else None
    new = Version.of(change.path, change.after, engine) if change.after is not None else None
    added = sorted({n for h in change.hunks for n in h.added})
    removed = sorted({n for h in change.hunks for n in h.removed})
    # Where lines only went, the place they went from belongs to the change as well.
    places = [min(max(h.new_start, 1), len(new.lines)) for h in change.hunks if not h.added] if new is not None else []
    after = _touched(new, sorted({*added, *places}))
    before = _touched(old, removed)
    known = {} if new is None or new.analysis is None else {u.qualname: u for u in new.analysis.module.units}
    out = []
    for key in dict.fromkeys((*after, *before)):
        name, kind = key
        there, gone = after.get(key), before.get(key)
        unit = there.unit if there is not None else known.get(name)
        out.append(_piece(change, name, kind, old, new, unit, there, gone))
    return sorted((p for p in out if p.before or p.after), key=lambda p: (p.first, p.name))


def unsendable(change: FileChange, limits: Limits) -> str:
    """Say why a changed file is not worth sending, or ''. What nobody wrote, nobody has to have read."""
    for path, content in ((change.path, change.after), (change.old_path or change.path, change.before)):
        if content is None:
            continue
        if path.startswith((".agentreview/", ".agents/")) or path == "agentreview.toml":
            return PROSE  # the gate itself: policies watch it, and no model is asked
        if _LOCKS.search(path) or generated(path, content):
            return "generated"
        if len(content) > limits.max_file_bytes or content.count(b"\n") >= limits.max_lines:
            return "too large"
        known = language_of(path, content) or is_code(path, content) or _SETTINGS.search(path)
        return "" if known else PROSE
    return PROSE


def plain(change: FileChange, engine: Engine) -> list[Piece]:
    """The changed lines with some around each, and nothing else: what the baseline reader is shown."""
    old = Version.of(change.old_path or change.path, change.before, engine) if change.before is not None else None
    new = Version.of(change.path, change.after, engine) if change.after is not None else None
    added = tuple(sorted({n for h in change.hunks for n in h.added}))
    removed = tuple(sorted({n for h in change.hunks for n in h.removed}))
    places = [max(h.new_start, 1) for h in change.hunks if not h.added]
    after = clusters((*added, *places), AROUND, 1, len(new.lines)) if new is not None else ()
    before = merged([(n, n) for n in removed])
    if not (after or before):
        return []
    return [
        Piece(
            change=change, name="", kind="lines", old=old, new=new, added=added, removed=removed,
            after=after, inside=after, before=before, gone=before,
        )
    ]  # fmt: skip


def _piece(
    change: FileChange, name: str, kind: str, old: Version | None, new: Version | None, unit: Unit | None,
    there: _Touched | None, gone: _Touched | None,
) -> Piece:  # fmt: skip
    was = gone.unit if gone is not None else None
    if was is None and old is not None and old.analysis is not None and kind == "function":
        was = next((u for u in old.analysis.module.units if u.qualname == name and u.kind == kind), None)
    facts: tuple[Fact, ...] = ()
    if unit is not None and new is not None and new.analysis is not None:
        facts = tuple(new.analysis.own(unit).facts)
    added = tuple(there.lines) if there is not None else ()
    removed = tuple(gone.lines) if gone is not None else ()
    after, inside = _spans(new, unit, kind, added)
    before, owned = _spans(old, was, kind, removed)
    return Piece(
        change=change, name=name, kind=kind, old=old, new=new, unit=unit, facts=facts, added=added, removed=removed,
        after=after, inside=inside, before=before, gone=owned,
    )  # fmt: skip


def _touched(version: Version | None, lines: Sequence[int]) -> dict[tuple[str, str], _Touched]:
    """Map (name, kind) of the innermost unit around each line to its lines."""
    out: dict[tuple[str, str], _Touched] = {}
    if version is None:
        return out
    for line in lines:
        if version.analysis is not None and not version.lines[line - 1].strip():
            continue  # a blank line between two functions is nobody's
        unit = owner(version.analysis, line) if version.analysis is not None else None
        name = unit.qualname if unit is not None and unit.kind != "module" else ""
        kind = "lines" if unit is None else unit.kind
        one = out.setdefault((name, kind), _Touched(unit))
        one.lines.append(line)
    return out


def owner(analysis: Analysis, line: int) -> Unit:
    """Innermost function around a line that has a name, else the class, else the module."""
    best = analysis.module.root
    for unit in analysis.module.units:
        inside = unit.kind != "module" and unit.line <= line <= unit.end_line
        if inside and not (unit.anonymous and id(unit) not in analysis.endpoints):
            smaller = unit.end_line - unit.line <= best.end_line - best.line
            if best.kind == "module" or smaller:
                best = unit
    return best


def _spans(version: Version | None, unit: Unit | None, kind: str, lines: Sequence[int]) -> tuple[Spans, Spans]:
    """Return what is shown of one side, and what the unit owns there."""
    if version is None or (unit is None and not lines):
        return (), ()
    last = len(version.lines)
    if kind == "function" and unit is not None:
        start, end = unit.line, min(unit.end_line, last)
        if end - start < WHOLE:
            return ((start, end),), ((start, end),)
        near = clusters(lines, 25, start, end)
        return merged([(start, min(start + 3, end)), *near]), ((start, end),)
    if kind == "class" and unit is not None:
        inner = [c.line for c in unit.children if c.line > unit.line]
        head = (unit.line, min(max(unit.header_line, unit.line) + 2, (min(inner) - 1) if inner else unit.end_line))
        near = clusters(lines, 4, unit.line, min(unit.end_line, last))
        return merged([(head[0], max(head)), *near]), near
    near = clusters(lines, AROUND if kind == "lines" else 2, 1, last)
    return near, near


def clusters(lines: Iterable[int], around: int, low: int, high: int) -> Spans:
    """Lines with some more around each, joined where they meet."""
    return merged([(max(n - around, low), min(n + around, high)) for n in lines])


def merged(spans: Iterable[tuple[int, int]]) -> Spans:
    """Join spans that touch or overlap."""
    out: list[tuple[int, int]] = []
    for first, last in sorted(s for s in spans if s[0] <= s[1]):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        else:
            out.append((first, last))
    return tuple(out)


def numbers(spans: Spans) -> Iterator[int]:
    """Every line of some spans."""
    for first, last in spans:
        yield from range(first, last + 1)
