"""What every lowerer shares: the ast-grep edge, node helpers, and the bookkeeping of units."""

from __future__ import annotations

from ast_grep_py import SgNode, SgRoot

from agentreview.syntax.tree import Expr, Module, Stmt, Unit

# Deeper nesting than this is not code a person wrote; the lowerers recurse once or twice per level.
MAX_DEPTH = 400


class DoesNotParseError(Exception):
    """The grammar found an error. ``line`` is 1-based. Patterns silently miss inside such a file: it must be skipped."""

    def __init__(self, line: int) -> None:
        super().__init__(f"syntax error near line {line}")
        self.line = line


class TooDeepError(Exception):
    """Nested beyond :data:`MAX_DEPTH`: not analysed, and that is said."""


def parse(source: str, grammar: str) -> SgNode:
    """Parse and return the root node.

    Raises :class:`DoesNotParseError` for ERROR nodes and for the zero-width tokens that tree-sitter invents when
    it recovers (``def f(:`` has no ERROR node at all).
    """
    root = SgRoot(source, grammar).root()
    error = root.find(kind="ERROR")
    if error is not None:
        raise DoesNotParseError(error.range().start.line + 1)
    stack = [(root, 0)]
    while stack:
        node, depth = stack.pop()
        children = node.children()
        if children:
            if depth > MAX_DEPTH * 4:
                raise TooDeepError
            stack.extend((child, depth + 1) for child in children)
        elif node.is_named() and node.kind() not in _MAY_BE_EMPTY:
            span = node.range()
            if span.start.index == span.end.index and node is not root and depth:
                raise DoesNotParseError(span.start.line + 1)
    return root


# Named leaves that are legitimately empty: f"" parts, an empty block's body, an empty template.
_MAY_BE_EMPTY = frozenset({"string_content", "string_fragment", "block", "module", "program", "jsx_text", "empty_statement", "format_specifier"})


def named(node: SgNode) -> list[SgNode]:
    """Return the named children without comments."""
    return [child for child in node.children() if child.is_named() and child.kind() != "comment"]


class Lowering:
    """State of lowering one file: the unit being built, all units, comments, imports."""

    def __init__(self, source: str, language: str) -> None:
        self.source = source
        self.language = language
        self.imports: dict[str, str] = {}
        self.units: list[Unit] = []
        self.depth = 0
        end_line = source.count("\n") + 1
        self.root = Unit("module", "<module>", "<module>", 1, end_line, 0, len(source), header_line=1)
        self.units.append(self.root)
        self.current = self.root

    def enter(self, kind: str, name: str, node: SgNode, *, header: SgNode | None = None, anonymous: bool = False) -> Unit:
        """Open a unit below the current one and make it current. Leave it with :meth:`leave`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooDeepError
        span = node.range()
        parent = self.current
        qualname = name if parent.kind == "module" else f"{parent.qualname}.{name}"
        header_line = (header.range().start.line if header is not None else span.start.line) + 1
        unit = Unit(
            kind, name, qualname, span.start.line + 1, span.end.line + 1, span.start.index, span.end.index,
            parent=parent, anonymous=anonymous, header_line=header_line,
        )  # fmt: skip
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

    def expr(self, kind: str, node: SgNode, **fields: object) -> Expr:
        """Make an expression that spans ``node``."""
        span = node.range()
        return Expr(kind, span.start.index, span.end.index, span.start.line + 1, span.end.line + 1, **fields)  # type: ignore[arg-type]

    def stmt(self, kind: str, node: SgNode, **fields: object) -> Stmt:
        """Make a statement that spans ``node``."""
        span = node.range()
        return Stmt(kind, span.start.line + 1, span.end.line + 1, span.start.index, span.end.index, **fields)  # type: ignore[arg-type]

    def module(self, root: SgNode) -> Module:
        """Finish: the module with its comments."""
        comments = tuple((c.range().start.line + 1, c.text()) for c in root.find_all(kind="comment"))
        return Module(self.language, self.source, self.root, tuple(self.units), self.imports, comments)
