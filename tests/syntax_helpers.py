"""Short forms of the lowered tree for assertions, and the check that everything lies where it should."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from agentreview.pool import Work, run
from agentreview.syntax.parse import NotReviewed, parse_source
from agentreview.syntax.tree import Expr, Module, Stmt, Unit, expressions


def unit(module: Module, name: str) -> Unit:
    """Return the first unit of that name."""
    return next(u for u in module.units if u.name == name)


def shown(expr: Expr | None) -> str:
    """Render an expression on one line: chains as they are written, functions as <qualname>."""
    if expr is None:
        return ""
    kind, name = expr.kind, expr.name
    items = ",".join(shown(item) for item in expr.items)
    args = ",".join(
        ("**" if a.spread and kind == "dict" else "*" if a.spread else "")
        + (f"{a.name}=" if a.name is not None else "")
        + shown(a.value)
        for a in expr.args
    )
    if kind == "bin":
        return "(" + f" {name} ".join(shown(item) for item in expr.items) + ")"
    if kind == "cond":
        test, then, other = expr.items
        return f"({shown(test)} ? {shown(then)} : {shown(other)})"
    return {
        "name": name,
        "const": name,
        "attr": f"{shown(expr.base)}.{name}",
        "sub": f"{shown(expr.base)}[{items}]",
        "call": f"{shown(expr.base)}({args})",
        "str": repr(name),
        "fstr": f"f{name!r}[{items}]",
        "dict": f"{{{args}}}",
        "list": f"[{items}]",
        "func": f"<{expr.unit.qualname if expr.unit else ''}>",
        "spread": f"*{items}",
        "not": f"not({items})",
        "other": f"other({items})",
    }[kind]


RUNS_AWAY = "((`${''\\n'`}`:({t "
"""As TSX: on this the parser never ends (tree-sitter-typescript 0.23). Found by chance, and made small."""


def in_its_time(look: Callable[[], list[str]]) -> list[str]:
    """What a look at a broken program finds wrong, in a process that can be killed, as reviews have them.

    On some broken programs a parser runs away. That is no answer, but it is one that reviews know: it is not counted.
    """

    def safe(_: int) -> list[str]:
        try:
            return look()
        except Exception:  # noqa: BLE001 - told by the test that asked
            return [traceback.format_exc()]

    work = Work(sizes=(0,), do=safe, failed=lambda _, why: [] if "processor time" in why else [why], seconds=5.0)
    found: list[str] = run(work)[0]
    return found


def outside(path: str, source: str) -> list[str]:
    """Units of a file that lie outside of it; of one that is refused as a value, nothing."""
    found = parse_source(path, source.encode())
    if isinstance(found, NotReviewed):
        return []
    lines = source.count("\n") + 1
    inside = [0 <= u.start <= u.end <= len(source) and 1 <= u.line <= u.end_line <= lines for u in found.units]
    return [u.qualname for u, good in zip(found.units, inside, strict=True) if not good]


def misplaced(module: Module) -> list[str]:
    """Every node that lies outside the source or its parent, or whose lines do not belong to its offsets."""
    wrong: list[str] = []
    starts = [0, *(i + 1 for i, c in enumerate(module.source) if c == "\n")]

    def line_of(offset: int) -> int:
        low, high = 0, len(starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if starts[middle] <= offset else (low, middle)
        return low + 1

    def check(what: str, node: Expr | Stmt | Unit, start: int, end: int) -> None:
        if not start <= node.start <= node.end <= end:
            wrong.append(f"{what} {node.kind} {node.start}-{node.end} is outside {start}-{end}")
        elif (node.line, node.end_line) != (line_of(node.start), line_of(node.end)):
            wrong.append(f"{what} {node.kind} {node.start}-{node.end} is not on lines {node.line}-{node.end_line}")

    def check_expr(expr: Expr, start: int, end: int) -> None:
        stack = [(expr, start, end)]
        while stack:
            node, low, high = stack.pop()
            check("expression", node, low, high)
            below = (*node.items, *(a.value for a in node.args), *((node.base,) if node.base is not None else ()))
            stack.extend((child, node.start, node.end) for child in below)

    for found in module.units:
        parent = found.parent or module.root
        check("unit", found, parent.start, parent.end)
        held = [e for p in found.params for e in (p.annotation, p.default, *p.decorators) if e is not None]
        for expr in (*held, *found.bases):
            check_expr(expr, found.start, found.end)
        for expr in found.decorators:  # a wrapper reaches beyond the function it wraps
            check_expr(expr, parent.start, parent.end)
        stack = [(stmt, found.start, found.end) for stmt in found.body]
        while stack:
            stmt, low, high = stack.pop()
            check("statement", stmt, low, high)
            for expr in expressions(stmt):
                check_expr(expr, stmt.start, stmt.end)
            below = (*stmt.body, *(s for h in stmt.handlers for s in h.body), *stmt.orelse, *stmt.final)
            stack.extend((child, stmt.start, stmt.end) for child in below)
    order = [u.start for u in module.units if not u.decorators]
    if order != sorted(order):
        wrong.append("units are not in document order")
    return wrong
