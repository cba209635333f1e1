"""Call patterns over receiver chains: the small language framework files are written in.

``Patient.objects.filter(org=o).first()`` is the chain ``Patient.objects.filter.first``. A pattern is a dotted list of
segments that must match the whole chain:

    name            that name                     a|b            either
    get_*|*Mixin    globs (``*`` only)            **             any number of segments, also none
    $R              any one segment, captured     select($R)     a call whose first argument names the resource
    $R:*Repo|*Dao   one of these, captured

Matching is linear in practice: every pattern is filed under the literal names its last fixed segment allows, chains look
up only those, and the answer for a chain of names is remembered.
"""

from __future__ import annotations

import re
from operator import attrgetter

from agentreview.lazyre import lazy
from agentreview.records import dataclass
from agentreview.syntax.tree import Arg, Expr


@dataclass(slots=True, eq=False, repr=False)
class Link:
    """One segment of a chain: its name, the arguments if it is called, the subscript key if it has one."""

    name: str
    args: tuple[Arg, ...] | None
    key: Expr | None
    expr: Expr


def chain(expr: Expr) -> list[Link]:
    """Flatten a name/attribute/call/subscript expression, root first. Any other root is the link ``?``."""
    if expr.links is None:
        expr.links = tuple(_chain(expr))
    return list(expr.links)


def _chain(expr: Expr) -> list[Link]:
    back: list[Link] = []
    args: tuple[Arg, ...] | None = None
    key: Expr | None = None
    node: Expr | None = expr
    top: Expr | None = None
    while node is not None:
        kind = node.kind
        if kind == "call":
            if args is not None:
                back.append(Link("()", args, key, top or node))
                key = None
            args = node.args
            top = top or node
            node = node.base
        elif kind == "sub":
            key = node.items[0] if node.items else None
            top = top or node
            node = node.base
        elif kind == "attr":
            back.append(Link(node.name, args, key, top or node))
            args = key = top = None
            node = node.base
        else:
            back.append(Link(node.name if kind == "name" else "?", args, key, top or node))
            break
    back.reverse()
    return back


def names(links: list[Link]) -> str:
    """Return the chain as dotted text."""
    return ".".join(link.name for link in links)


@dataclass(slots=True, eq=False, repr=False)
class Glob:
    """Alternatives of names. The common shapes are string operations: compiling a regex costs more than a whole file."""

    literals: frozenset[str]
    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    wild: tuple[str, ...] = ()
    anything: bool = False
    _regex: re.Pattern[str] | None = None
    _steps: tuple[tuple[re.Pattern[str], ...], ...] = ()

    def matches(self, name: str) -> bool:
        """Whether the name is one of the alternatives."""
        if name in self.literals or self.anything or name.startswith(self.prefixes) or name.endswith(self.suffixes):
            return True
        if self.inner and any(part in name for part in self.inner):
            return True
        if self.wild:
            if self._regex is None:
                few = [p for p in self.wild if p.count("*") <= _FEW]
                self._regex = re.compile(
                    "|".join("".join(_piece(t) for t in _TOKENS.split(p)) for p in few) or "(?!)", re.DOTALL
                )
                self._steps = tuple(_stepwise(p) for p in self.wild if p.count("*") > _FEW)
            return self._regex.fullmatch(name) is not None or any(_in_order(steps, name) for steps in self._steps)
        return False


_TOKENS = lazy(r"(\*|\[[A-Za-z0-9_*-]+\])")  # [*] is a star
_FEW = 3  # stars that a regex may try in every combination; patterns of a project may have any number
_GLOBS: dict[str, Glob] = {}
_ALTERNATIVES = lazy(r"\|(?=\*\*\.)")


def glob(text: str) -> Glob:
    """Compile ``a|b|*c``. ``[xX]`` sets are allowed; nothing else of a regular expression is."""
    known = _GLOBS.get(text)
    if known is None:
        shapes: dict[str, list[str]] = {"literals": [], "prefixes": [], "suffixes": [], "inner": [], "wild": []}
        anything = False
        for part in (p.strip() for p in text.split("|")):
            body = part.strip("*")
            if not part:
                continue
            if not body:
                anything = True
            elif "*" in body or ("[" in body and part != "[]"):
                shapes["wild"].append(part)
            elif part == body:
                shapes["literals"].append(part)
            elif part.startswith("*") and part.endswith("*"):
                shapes["inner"].append(body)
            else:
                shapes["suffixes" if part.startswith("*") else "prefixes"].append(body)
        known = _GLOBS[text] = Glob(
            frozenset(shapes["literals"]),
            tuple(shapes["prefixes"]),
            tuple(shapes["suffixes"]),
            tuple(shapes["inner"]),
            tuple(shapes["wild"]),
            anything,
        )
    return known


def _piece(token: str) -> str:
    if token == "*":
        return ".*"
    ranges = re.findall(r"(.)-(.)", token)
    is_set = _TOKENS.fullmatch(token) is not None and all(first <= last for first, last in ranges)
    return token if is_set else re.escape(token)


def _stepwise(pattern: str) -> tuple[re.Pattern[str], ...]:
    """The texts between the stars, each of a fixed length."""
    steps = [""]
    for token in _TOKENS.split(pattern):
        if token == "*":
            steps.append("")
        else:
            steps[-1] += _piece(token)
    return tuple(re.compile(step, re.DOTALL) for step in steps)


def _in_order(steps: tuple[re.Pattern[str], ...], name: str) -> bool:
    """Whether the texts follow each other, the first at the start and the last at the end. Takes the leftmost each
    time, which is as good as any other, so nothing is tried twice.
    """
    first = steps[0].match(name)
    if first is None:
        return False
    at = first.end()
    for step in steps[1:-1]:
        found = step.search(name, at)
        if found is None:
            return False
        at = found.end()
    return any(steps[-1].fullmatch(name, start) is not None for start in range(at, len(name) + 1))


@dataclass(slots=True, frozen=True)
class _Segment:
    kind: str  # name | any | capture
    glob: Glob | None = None
    captures_argument: bool = False


@dataclass(slots=True, frozen=True)
class Pattern:
    """A compiled call pattern."""

    segments: tuple[_Segment, ...]

    def match(self, links: list[Link]) -> tuple[bool, int, bool]:
        """Return (matched, index of the captured link or -1, whether the capture is that link's first argument)."""
        last = self.segments[-1]
        if last.glob is not None and not last.glob.matches(links[-1].name):
            return False, -1, False  # most patterns end here: trying every start would be quadratic on long chains
        found = self._walk(links, 0, 0)
        return (False, -1, False) if found is None else (True, *found)

    def _walk(self, links: list[Link], at: int, seg: int) -> tuple[int, bool] | None:
        segments = self.segments
        captured: tuple[int, bool] = (-1, False)
        while seg < len(segments):
            segment = segments[seg]
            if segment.kind == "any":
                if seg + 1 == len(segments):
                    return captured
                for start in range(at, len(links)):
                    found = self._walk(links, start, seg + 1)
                    if found is not None:
                        return found if found[0] >= 0 else captured
                return None
            if at >= len(links):
                return None
            link = links[at]
            if segment.glob is not None and not segment.glob.matches(link.name):
                return None
            if segment.kind == "capture":
                captured = (at, False)
            if segment.captures_argument:
                if not link.args:
                    return None
                captured = (at, True)
            at += 1
            seg += 1
        return captured if at == len(links) else None


def compile_patterns(text: str) -> tuple[Pattern, ...]:
    """Compile ``pattern|**.pattern``: a bar in front of ``**.`` separates whole patterns, any other bar names."""
    return tuple(compile_pattern(part) for part in _ALTERNATIVES.split(text))


def compile_pattern(text: str) -> Pattern:
    """Compile one pattern; raises ValueError with the reason when it cannot match anything."""
    segments: list[_Segment] = []
    for raw in _split(text):
        token = raw
        if token == "**":
            segments.append(_Segment("any"))
            continue
        argument = token.endswith("($R)")
        token = token.removesuffix("($R)").removesuffix("()")
        if token == "$R" or token.startswith("$R:"):
            segments.append(_Segment("capture", glob(token[3:]) if token[3:] else None))
        elif not token or token == "$" or "(" in token or ")" in token or token.startswith("$R"):
            raise ValueError(f"bad segment {raw!r}")
        else:
            segments.append(_Segment("name", None if token == "*" else glob(token), captures_argument=argument))
    if not segments or all(s.kind == "any" for s in segments):
        raise ValueError("a pattern needs at least one name")
    return Pattern(tuple(segments))


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(".")]


class Filed:
    """Pattern text filed with what it stands for; compiled the first time a chain holds one of its names."""

    __slots__ = ("_patterns", "place", "text", "value")

    def __init__(self, text: str, value: object, place: int) -> None:
        self.text = text
        self.value = value
        self.place = place
        self._patterns: tuple[Pattern, ...] | None = None

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """Its patterns, compiled."""
        if self._patterns is None:
            self._patterns = compile_patterns(self.text)
        return self._patterns

    def first(self, links: list[Link]) -> Pattern | None:
        """The first of its patterns that matches the chain."""
        return next((pattern for pattern in self.patterns if pattern.match(links)[0]), None)

    def may_end(self, name: str) -> bool:
        """Whether a chain whose last link has this name can match at all."""
        ends = (pattern.segments[-1].glob for pattern in self.patterns)
        return any(end is None or end.matches(name) for end in ends)


def filing_names(text: str) -> tuple[str, ...]:
    """Names of which a chain must hold one to match: those of the last segment without a glob; () if there is none."""
    out: list[str] = []
    for part in _ALTERNATIVES.split(text):
        for raw in reversed(part.split(".")):
            token = raw.strip().removesuffix("($R)").removesuffix("()").removeprefix("$R:")
            if "*" not in token and "$" not in token and "[" not in token:
                out.extend(name.strip() for name in token.split("|"))
                break
        else:
            return ()
    return tuple(out)


_place = attrgetter("place")


class Index:
    """Pattern texts filed by name; the answer for a chain of names is remembered."""

    __slots__ = ("by_end", "by_name", "loose", "memo")

    def __init__(self) -> None:
        self.by_name: dict[str, list[Filed]] = {}
        self.loose: list[Filed] = []
        self.by_end: dict[str, list[Filed]] = {}  # those of the loose ones that a chain with this last name can match
        self.memo: dict[str, list[tuple[Pattern, object]]] = {}

    def add(self, text: str, value: object, place: int = 0) -> None:
        """File a pattern under its rarest names, at its place among the others."""
        filed = Filed(text, value, place)
        names = filing_names(text)
        for row in [self.by_name.setdefault(name, []) for name in names] if names else [self.loose]:
            row.append(filed)
            if len(row) > 1 and row[-2].place > place:
                row.sort(key=_place)
        self.memo.clear()
        self.by_end.clear()

    def candidates(self, links: list[Link]) -> list[tuple[Pattern, object]]:
        """Return the patterns that match this chain with what they stand for (other conditions are the caller's)."""
        key = ".".join([link.name + ("()" if link.args else "") for link in links])
        known = self.memo.get(key)
        if known is None:
            known = []
            seen: set[int] = set()
            for filed in (f for link in links for f in self.by_name.get(link.name, ())):
                if id(filed) not in seen:
                    seen.add(id(filed))
                    pattern = filed.first(links)
                    if pattern is not None:
                        known.append((pattern, filed.value))
            for filed in self._loose(links[-1].name):
                pattern = filed.first(links)
                if pattern is not None:
                    known.append((pattern, filed.value))
            if len(self.memo) < 50_000:
                self.memo[key] = known
        return known

    def _loose(self, end: str) -> list[Filed]:
        known = self.by_end.get(end)
        if known is None:
            known = [filed for filed in self.loose if filed.may_end(end)]
            if len(self.by_end) < 50_000:
                self.by_end[end] = known
        return known
