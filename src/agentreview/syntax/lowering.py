"""What every lowerer shares: the ast-grep edge, node helpers, and the bookkeeping of units."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from ast_grep_py import Config, SgNode, SgRoot

from agentreview.syntax.tree import Arg, Expr, Module, Stmt, Unit

# Deeper nesting than this is not code a person wrote. A level costs at most four Python frames, and the interpreter
# allows 1,000. Long chains (a.b().c(), a + b + c, else if) are not nesting: the lowerers walk them in loops.
MAX_DEPTH = 200

# Named nodes that the grammars allow between any two tokens.
EXTRAS = frozenset({"comment", "line_continuation", "html_comment", "line_comment", "block_comment"})

# Zero-width nodes that valid code has: the root of an empty file, what an empty raw string of Go holds, and the `!` that
# tree-sitter-typescript invents in styled.p<Props>`...`.
_MAY_BE_EMPTY = frozenset({"module", "program", "raw_string_literal_content", "!"})
_BROKEN: Config = {"rule": {"any": [{"kind": "ERROR"}, {"regex": "^$"}]}}


class DoesNotParseError(Exception):
    """The grammar found an error. ``line`` is 1-based. Patterns silently miss in such a file: it must be skipped."""

    def __init__(self, line: int) -> None:
        super().__init__(f"syntax error near line {line}")
        self.line = line


class TooDeepError(Exception):
    """Nested beyond :data:`MAX_DEPTH`: not analysed, and that is said."""


def unchecked(source: str, grammar: str) -> SgNode:
    """Parse and return the root node, errors and all."""
    try:
        return SgRoot(source, grammar).root()
    except UnicodeEncodeError as error:  # a lone surrogate: no file holds one, but a caller's decoding may
        raise DoesNotParseError(source.count("\n", 0, error.start) + 1) from None


def parse(source: str, grammar: str) -> SgNode:
    """Parse and return the root node.

    Raises :class:`DoesNotParseError` for ERROR nodes and for the zero-width tokens that tree-sitter invents when
    it recovers (``def f(:`` and ``if (a) {`` have no ERROR node at all).
    """
    root = unchecked(source, grammar)
    for node in root.find_all(_BROKEN):
        if node.kind() not in _MAY_BE_EMPTY:
            raise DoesNotParseError(node.range().start.line + 1)
    return root


def named(node: SgNode) -> list[SgNode]:
    """Return the named children without comments and line continuations."""
    return [child for child in node.named_children() if child.kind() not in EXTRAS]


class Lowering:
    """State of lowering one file: the unit being built, all units, comments, imports."""

    def __init__(self, source: str, language: str) -> None:
        self.source = source
        self.language = language
        self.imports: dict[str, str] = {}
        self.units: list[Unit] = []
        self.depth = 0
        # Offset of every newline, then one that is never reached.
        self.newlines = [end - 1 for end in accumulate(len(line) + 1 for line in source.split("\n"))]
        self.root = Unit("module", "<module>", "<module>", 1, len(self.newlines), 0, len(source), header_line=1)
        self.units.append(self.root)
        self.current = self.root

    def enter(
        self,
        kind: str,
        name: str,
        node: SgNode,
        *,
        header: SgNode | None = None,
        first: SgNode | None = None,
        anonymous: bool = False,
    ) -> Unit:
        """Open a unit below the current one and make it current. Leave it with :meth:`leave`.

        ``header`` is the node of the name; ``first`` is where the unit begins when that is before ``node``.
        """
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooDeepError
        start, end, line, end_line = self.span(node)
        if first is not None:
            start, _, line, _ = self.span(first)
        parent = self.current
        qualname = name if parent.kind == "module" else f"{parent.qualname}.{name}"
        header_line = self.span(header)[2] if header is not None else line
        unit = Unit(
            kind,
            name,
            qualname,
            line,
            end_line,
            start,
            end,
            parent=parent,
            anonymous=anonymous,
            header_line=header_line,
        )
        parent.children.append(unit)
        self.units.append(unit)
        self.current = unit
        return unit

    def leave(self) -> None:
        """Close the current unit."""
        self.depth -= 1
        parent = self.current.parent
        if parent is not None:
            self.current = parent

    def deeper(self) -> None:
        """Count one level of nesting. The caller takes it back; after TooDeepError nobody does."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooDeepError

    def span(self, node: SgNode) -> tuple[int, int, int, int]:
        """Return start, end, line, end_line.

        Not from ``node.range()``: that counts the characters of the line up to the node, which is quadratic on a
        minified file. The edit that deletes the node knows both offsets.
        """
        edit = node.replace("")
        start, end = edit.start_pos, edit.end_pos
        before = bisect_left(self.newlines, start)
        after = before if end <= self.newlines[before] else bisect_left(self.newlines, end, before)
        return start, end, before + 1, after + 1

    def expr(
        self,
        kind: str,
        node: SgNode,
        name: str = "",
        base: Expr | None = None,
        items: tuple[Expr, ...] = (),
        args: tuple[Arg, ...] = (),
        unit: Unit | None = None,
    ) -> Expr:
        """Make an expression that spans ``node``."""
        edit = node.replace("")  # span() by hand: this is the hottest line there is
        start, end = edit.start_pos, edit.end_pos
        newlines = self.newlines
        before = bisect_left(newlines, start)
        after = before if end <= newlines[before] else bisect_left(newlines, end, before)
        return Expr(kind, start, end, before + 1, after + 1, name, base, items, args, unit)

    def leaf(self, kind: str, node: SgNode) -> Expr:
        """Make an expression named by its own text."""
        edit = node.replace("")
        start, end = edit.start_pos, edit.end_pos
        newlines = self.newlines
        before = bisect_left(newlines, start)
        after = before if end <= newlines[before] else bisect_left(newlines, end, before)
        return Expr(kind, start, end, before + 1, after + 1, self.source[start:end])

    def between(self, kind: str, first: Expr, last: Expr, name: str = "", items: tuple[Expr, ...] = ()) -> Expr:
        """Make an expression that reaches from one expression to another."""
        return Expr(kind, first.start, last.end, first.line, last.end_line, name, None, items)

    def stmt(self, kind: str, node: SgNode, **fields: object) -> Stmt:
        """Make a statement that spans ``node``."""
        start, end, line, end_line = self.span(node)
        return Stmt(kind, line, end_line, start, end, **fields)  # type: ignore[arg-type]

    def unit_stmt(self, unit: Unit) -> Stmt:
        """Make the ``def`` or ``class`` statement of a unit."""
        return Stmt(
            "class" if unit.kind == "class" else "def", unit.line, unit.end_line, unit.start, unit.end, unit=unit
        )

    def text(self, node: SgNode) -> str:
        """Return the node's text in the source as it was given."""
        edit = node.replace("")
        return self.source[edit.start_pos : edit.end_pos]

    def module(self, root: SgNode) -> Module:
        """Finish: the module with its comments."""
        comments = tuple((self.span(c)[2], self.text(c)) for c in root.find_all(kind="comment"))
        return Module(self.language, self.source, self.root, tuple(self.units), self.imports, comments)
