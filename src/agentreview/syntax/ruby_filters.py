"""Filters of controllers: which methods a ``before_action`` runs around.

What a filter is by its name (authentication, an audit record) is a fact of the class, limited to some of its methods by
``only`` and ``except`` (:func:`limits`). What its method does is found through an invisible decorator of every method it
runs around (:func:`distribute`).
"""

from __future__ import annotations

from collections.abc import Iterator

from agentreview.lazyre import lazy
from agentreview.syntax.tree import Expr, Stmt, Unit, expressions, statements, subexpressions

FILTERS = frozenset(
    f"{place}{when}_{what}"
    for place in ("", "prepend_", "append_")
    for when in ("before", "around", "after")
    for what in ("action", "filter")
)
SKIPS = frozenset(
    f"skip_{when}{what}" for when in ("before_", "around_", "after_", "") for what in ("action", "filter")
)
# Macros that take methods by name without making them actions.
_NAMING = FILTERS | SKIPS | {"helper_method", "rescue_from", "layout", "hide_action", "delegate", "alias_method"}


def limits(call: Expr) -> tuple[frozenset[str], frozenset[str]]:
    """(only, except) of a filter call; both empty for one that holds everywhere."""
    found = {arg.name: frozenset(_said(arg.value)) for arg in call.args if arg.name in ("only", "except")}
    return found.get("only", frozenset()), found.get("except", frozenset())


def _said(value: Expr) -> list[str]:
    return [i.name for i in (value.items if value.kind == "list" else (value,)) if i.kind == "str"]


def named(call: Expr) -> list[str]:
    """The methods a filter call names."""
    return [arg.value.name for arg in call.args if arg.name is None and arg.value.kind == "str"]


def macro(stmt: Stmt) -> tuple[str, Expr] | None:
    """(name, call) of a class-level call without a receiver."""
    value = stmt.value
    if stmt.kind != "expr" or value is None or value.kind != "call" or value.base is None or value.base.kind != "name":
        return None
    return value.base.name, value


def filters(unit: Unit) -> Iterator[tuple[str, Expr]]:
    """Calls that add or skip filters in a class body, in order."""
    for stmt in statements(unit.body):
        found = macro(stmt)
        if found is not None and (found[0] in FILTERS or found[0] in SKIPS):
            yield found


def holds(name: str, only: frozenset[str], but: frozenset[str]) -> bool:
    """Whether something limited like this holds for a method."""
    return (not only or name in only) and name not in but


def distribute(unit: Unit) -> None:
    """Give each public method the filters that run around it, and take the methods that are filters out of the public ones."""
    running: list[tuple[str, frozenset[str], frozenset[str]]] = []
    skipped: list[tuple[str, frozenset[str], frozenset[str]]] = []
    taken: set[str] = set()
    for stmt in statements(unit.body):
        found = macro(stmt)
        if found is None or found[0] not in _NAMING:
            continue
        name, call = found
        taken.update(named(call))
        taken.update(n for arg in call.args if arg.name in ("with", "if", "unless") for n in _said(arg.value))
        if name in FILTERS or name in SKIPS:
            only, but = limits(call)
            (running if name in FILTERS else skipped).extend((one, only, but) for one in named(call))
    for child in unit.children:
        if child.kind != "function" or child.anonymous:
            continue
        if child.name in taken:
            child.exported = False
        if not child.exported:
            continue
        around = [
            one
            for one, only, but in running
            if holds(child.name, only, but) and not any(s == one and holds(child.name, o, b) for s, o, b in skipped)
        ]
        if around:
            line = child.header_line
            items = tuple(Expr("name", child.start, child.start, line, line, name) for name in dict.fromkeys(around))
            child.decorators = (Expr("other", child.start, child.start, line, line, "filters", items=items),)


_BASES = lazy(r"^(?:Application|Base|Abstract)|^(?:\w*Base)$|BaseController$")
_ACTION = lazy(r"[a-z]\w*")


def is_action(unit: Unit) -> bool:
    """Whether a method of a controller answers requests: public, without parameters, and not of a base class."""
    return (
        unit.exported
        and not unit.params
        and _ACTION.fullmatch(unit.name) is not None
        and unit.name != "initialize"
        and (unit.parent is None or _BASES.search(unit.parent.name) is None)
        and (unit.name in _REST or not _only_computes(unit))
    )


_REST = frozenset("index show new create edit update destroy".split())
# What a method of a controller does that answers a request; and what it reads of one.
_ANSWERS = frozenset(
    "render redirect_to redirect_back head respond_to respond_with send_data send_file send_stream params session cookies flash request response "
    "authorize authorize! policy_scope super fresh_when stale? expires_in sign_in sign_out reset_session raise".split()
)


def _only_computes(unit: Unit) -> bool:
    """Whether a method answers nothing and keeps nothing: a helper that somebody forgot to make private."""
    last = unit.body[-1] if unit.body else None
    if last is not None and last.kind == "assign" and last.op == "||=":
        return True  # def current_facility; @current_facility ||= …
    if last is None or last.kind not in ("expr", "return") or last.value is None:
        return False
    if last.value.kind == "call" and last.value.base is not None and last.value.base.kind == "name":
        return False  # answers through another method, as far as can be seen
    for owner in (unit, *(child for child in unit.children if child.anonymous)):
        for stmt in statements(owner.body):
            for expr in expressions(stmt):
                for sub in subexpressions(expr):
                    if sub.kind == "name" and (sub.name in _ANSWERS or sub.name == "self"):
                        return False
    return True
