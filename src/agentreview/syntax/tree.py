r"""The small language-neutral tree that every lowerer produces and every fact is read from.

A file becomes a :class:`Module` of nested :class:`Unit`\ s (module, class, function, method, callback) with
statements and expressions. It keeps what policies ask about (calls and their arguments, attribute chains,
assignments, returns, raises, handlers, decorators, bases) and forgets the rest. It is not a faithful syntax tree:
parentheses, ``await``, casts and type assertions are transparent, and what has no meaning here becomes ``other``
with its children.

These classes are plain slotted dataclasses, not frozen ones: a file has tens of thousands of nodes, they are built
once by one lowerer, and freezing tripled the cost. Nothing outside this package changes them. Offsets are character
offsets into ``Module.source``; lines are 1-based.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentreview.lazyre import lazy
from agentreview.records import dataclass, field

# Expression kinds:
#   name   identifier                          name
#   attr   base.name                           base, name         (?. too)
#   sub    base[items[0]]                      base, items
#   call   base(args)                          base, args         (new X(), tagged templates, decorators with arguments;
#                                                                  name = "literal" for a struct literal)
#   str    plain string                        name = its text
#   fstr   string with interpolations          name = literal text with {} for each hole, items = the holes
#   const  number, true, null, None, regex     name = source text
#   dict   object/dict literal                 args (Arg.name = constant key)
#   list   list, tuple, set, array             items
#   bin    binary, boolean, comparison         name = operator, items = operands (a flat list for long chains)
#   not    negation                            items
#   cond   a if c else b / c ? a : b           items = (test, then, else)
#   func   lambda, arrow, function expression  unit
#   spread *x, **x, ...x                       items
#   other  anything else                       items

LITERAL = "literal"


@dataclass(slots=True, eq=False, repr=False)
class Arg:
    """An argument, a dict entry or an object property. ``name`` is the keyword or constant key, else ``None``."""

    name: str | None
    value: Expr
    spread: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Expr:
    """One expression. Which fields are filled depends on ``kind``: see the table above."""

    kind: str
    start: int
    end: int
    line: int
    end_line: int
    name: str = ""
    base: Expr | None = None
    items: tuple[Expr, ...] = ()
    args: tuple[Arg, ...] = ()
    unit: Unit | None = None
    links: tuple[Any, ...] | None = None  # its chain, once somebody asked (:func:`agentreview.syntax.patterns.chain`)


@dataclass(slots=True, eq=False, repr=False)
class Param:
    """A parameter. A destructured one has ``name == ""`` and its bound names in ``names``."""

    name: str
    annotation: Expr | None = None
    default: Expr | None = None
    decorators: tuple[Expr, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(slots=True, eq=False, repr=False)
class Handler:
    """An ``except``/``catch`` clause. ``types`` is empty for a bare one."""

    types: tuple[Expr, ...]
    name: str
    body: tuple[Stmt, ...]
    line: int
    end_line: int
    start: int
    end: int


@dataclass(slots=True, eq=False, repr=False)
class Stmt:
    """One statement.

    kinds: ``expr`` (value) · ``assign`` (targets, value; ``op`` is ``=`` or ``+=``…) · ``return`` (value) · ``raise``
    (value; ``throw`` too) · ``assert`` (value) · ``if`` (value, body, orelse) · ``for`` (targets, value, body) ·
    ``while`` (value, body) · ``try`` (body, handlers, orelse, final) · ``with`` (value = the context expression, targets,
    body; several items nest) · ``def``/``class`` (unit) · ``import`` · ``block`` (body) · ``other`` (value, body).
    """

    kind: str
    line: int
    end_line: int
    start: int
    end: int
    value: Expr | None = None
    targets: tuple[Expr, ...] = ()
    op: str = ""
    body: tuple[Stmt, ...] = ()
    orelse: tuple[Stmt, ...] = ()
    handlers: tuple[Handler, ...] = ()
    final: tuple[Stmt, ...] = ()
    unit: Unit | None = None


@dataclass(slots=True, eq=False, repr=False)
class Unit:
    """A module, class, function, method or callback.

    ``name`` is ``<module>`` for the module; an anonymous function takes the name of the variable or property it is
    assigned to, or of the call it is an argument of with its first string argument (``router.get('/patients/:id')``),
    else ``<callback>``. ``qualname`` joins the names from the outermost with dots. ``call`` is the call expression an
    anonymous function is an argument of. ``anonymous`` functions that are not handlers belong to the function around
    them: their code is read as part of it.
    """

    kind: str  # module | class | function
    name: str
    qualname: str
    line: int
    end_line: int
    start: int
    end: int
    parent: Unit | None = None
    params: tuple[Param, ...] = ()
    returns: Expr | None = None  # the declared type of what it returns, where that decides (Python, Java, Go)
    decorators: tuple[Expr, ...] = ()
    bases: tuple[Expr, ...] = ()
    body: tuple[Stmt, ...] = ()
    children: list[Unit] = field(default_factory=list)
    call: Expr | None = None
    anonymous: bool = False
    exported: bool = False
    header_line: int = 0  # line of the name, not of the first decorator
    calls: tuple[tuple[str, Expr], ...] | None = (
        None  # once somebody asked (:func:`agentreview.policies.guards.calls_of`)
    )


@dataclass(slots=True, eq=False, repr=False)
class Module:
    """One version of one file. ``imports`` maps a local name to the dotted module or symbol it came from."""

    language: str
    source: str
    root: Unit
    units: tuple[Unit, ...]
    imports: dict[str, str]
    comments: tuple[tuple[int, str], ...]  # (line, text)
    words: frozenset[str] | None = None  # see words_of


_WORD = lazy(r"\w+")


def words_of(module: Module) -> frozenset[str]:
    """Every word of the source, found once: cheaper to ask than a search of the whole text for each question."""
    if module.words is None:
        module.words = frozenset(_WORD.findall(module.source))
    return module.words


def text(module: Module, node: Expr | Stmt | Unit | Handler) -> str:
    """Return the node's source text."""
    return module.source[node.start : node.end]


def subexpressions(expr: Expr) -> Iterator[Expr]:
    """Yield ``expr`` and everything below it in document order, without entering nested functions."""
    stack = [expr]
    while stack:
        node = stack.pop()
        yield node
        if node.args:
            stack.extend([arg.value for arg in reversed(node.args)])
        if node.items:
            stack.extend(reversed(node.items))
        if node.base is not None:
            stack.append(node.base)


def statements(body: tuple[Stmt, ...]) -> Iterator[Stmt]:
    """Yield every statement of a body in document order, nested blocks included, nested units not."""
    stack = list(reversed(body))
    while stack:
        stmt = stack.pop()
        yield stmt
        if stmt.final:
            stack.extend(reversed(stmt.final))
        if stmt.orelse:
            stack.extend(reversed(stmt.orelse))
        for handler in reversed(stmt.handlers):
            stack.extend(reversed(handler.body))
        if stmt.body:
            stack.extend(reversed(stmt.body))


def expressions(stmt: Stmt) -> Iterator[Expr]:
    """Yield the expressions a statement itself holds (not those of its nested blocks)."""
    yield from stmt.targets
    if stmt.value is not None:
        yield stmt.value


def dotted(expr: Expr | None) -> str:
    """``a.b.c`` for a plain chain of names, calls and subscripts elided (``a.b().c`` -> ``a.b.c``); '' if it has no root name."""
    parts: list[str] = []
    while expr is not None:
        if expr.kind == "name":
            parts.append(expr.name)
            return ".".join(reversed(parts))
        if expr.kind == "attr":
            parts.append(expr.name)
            expr = expr.base
        elif expr.kind in ("call", "sub"):
            expr = expr.base
        else:
            return ""
    return ""
