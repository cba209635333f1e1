"""Errors of controls that nobody heeds, in languages that return them: ``_ = audit.Write(…)``, ``if err != nil { log }``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentreview.syntax.facts import Fact
from agentreview.syntax.tree import Expr, Stmt, Unit, expressions, subexpressions

Swallowed = tuple[Fact, tuple[int, int], int]  # the control, the lines that swallow it, statements around it
_NOTHING = frozenset({"nil"})


def unheeded(unit: Unit, controls: Sequence[Fact], refusals: Sequence[Fact]) -> Iterator[Swallowed]:
    """Controls of a unit (and of the functions inside it) whose error is dropped, or looked at and not acted upon."""
    bodies = [unit.body]
    for child in unit.children:
        if child.anonymous:
            bodies.extend(_all(child))
    for body in bodies:
        yield from _block(body, controls, refusals)


def _all(unit: Unit) -> list[tuple[Stmt, ...]]:
    return [unit.body, *(body for child in unit.children if child.anonymous for body in _all(child))]


def _block(body: tuple[Stmt, ...], controls: Sequence[Fact], refusals: Sequence[Fact]) -> Iterator[Swallowed]:
    for at, stmt in enumerate(body):
        for inner in (stmt.body, stmt.orelse):
            yield from _block(inner, controls, refusals)
        guard = next((f for f in controls if stmt.start <= f.start and f.end <= stmt.end), None)
        if stmt.kind != "assign" or guard is None or (guard.concept == "audit" and guard.via):
            continue
        targets = [t.name for target in stmt.targets for t in (target.items or (target,))]
        if targets and all(name == "_" for name in targets):
            yield guard, (stmt.line, stmt.end_line), 1
            continue
        following = body[at + 1] if at + 1 < len(body) else None
        if following is None or following.kind != "if" or following.value is None or not targets:
            continue
        error = targets[-1]
        if (
            _asks(following.value, error, "==")
            and following.value.kind == "bin"
            and following.value.name.strip() == "&&"
        ):
            if _ends(following.body, refusals) and not following.orelse:  # if err == nil && !ok { refuse }
                yield guard, (following.line, following.line), 1
        elif _asks(following.value, error, "!=") and all(name == "_" for name in targets[:-1]):
            goes_on = not _ends(following.body, refusals) and not (guard.concept != "audit" and _kept(following.body))
            if goes_on and (guard.concept == "audit" or len(body) > at + 2):
                yield guard, (following.line, following.end_line), 1


def _asks(condition: Expr, error: str, sign: str) -> bool:
    """Whether a condition holds ``err != nil`` (or ``==``) of this error."""
    for sub in subexpressions(condition):
        if sub.kind == "bin" and sub.name.strip() == sign and len(sub.items) == 2:
            left, right = sub.items
            if left.name == error and right.name in _NOTHING:
                return True
    return False


def _ends(body: tuple[Stmt, ...], refusals: Sequence[Fact]) -> bool:
    """Whether a block leaves the function, the loop or the program, or answers with a refusal."""
    for stmt in body:
        if stmt.kind in ("return", "raise") or (stmt.kind == "other" and stmt.op in ("continue", "break", "goto")):
            return True
        if any(stmt.start <= f.start < stmt.end for f in refusals):
            return True
        if _ends(stmt.body, refusals) or _ends(stmt.orelse, refusals):
            return True
    return False


def _kept(body: tuple[Stmt, ...]) -> bool:
    """Whether the outcome is kept in a variable, or handed to a function that may act: whoever reads it decides."""
    return any(stmt.kind == "assign" or any(_hands_error(e) for e in expressions(stmt)) for stmt in body)


def _hands_error(expr: Expr) -> bool:
    return any(
        s.kind == "call" and s.base is not None and s.base.name in ("append", "send", "Send")
        for s in subexpressions(expr)
    )
