"""Writes that set nothing but derived fields (``[facts.phi] derived_fields``): a counter, the time of the last visit."""

from __future__ import annotations

from collections.abc import Iterator

from agentreview.facts import Facts
from agentreview.policies.guards import own_statements
from agentreview.syntax.facts import Fact
from agentreview.syntax.lexicon import flat
from agentreview.syntax.tree import Arg, Expr, expressions, subexpressions

_UPDATES = frozenset("update save updateMany update_many updateOne update_one findByIdAndUpdate aupdate asave".split())
_WRAPPERS = ("data", "$set")  # prisma.patient.update({where, data: {…}}), collection.updateOne({…}, {$set: {…}})


def only_derived(fact: Fact, facts: Facts) -> bool:
    """Whether every field this write names is a derived one. A write that names none may change anything."""
    allowed = {flat(name) for name in facts.phi.derived_fields}
    if not allowed or fact.concept != "write" or fact.via:
        return False
    written = {flat(name) for name in _written(fact)}
    return bool(written) and written <= allowed


def _written(fact: Fact) -> Iterator[str]:
    for stmt in own_statements(fact.unit):
        if not (stmt.start <= fact.start and fact.end <= stmt.end) or stmt.body:
            continue
        for expr in expressions(stmt):
            for call in subexpressions(expr):
                inside = fact.start <= call.end <= fact.end
                if call.kind == "call" and inside and call.base is not None and call.base.name in _UPDATES:
                    yield from _fields(call)


def _fields(call: Expr) -> Iterator[str]:
    for arg in call.args:
        if arg.name == "update_fields":
            yield from (item.name for item in arg.value.items)
        elif arg.name is not None:
            yield arg.name
        elif arg.value.kind == "dict" and not arg.spread:
            yield from _keys(arg.value.args)
        elif arg.spread:
            yield "**"


def _keys(entries: tuple[Arg, ...]) -> Iterator[str]:
    inner = next((entry.value for entry in entries if entry.name in _WRAPPERS and entry.value.kind == "dict"), None)
    if inner is not None:
        entries = inner.args
    elif any(entry.name == "where" for entry in entries):
        return
    yield from (entry.name or "**" for entry in entries)
