"""Which facts hold for a unit: its own, its class's, its router's, its file's, and those of helpers it calls.

A control found anywhere in reach counts as present; "on every path" is a question for a reader, not for this.
"""

from __future__ import annotations

from bisect import bisect_left

from agentreview.records import replace
from agentreview.syntax.facts import Analysis, Fact
from agentreview.syntax.patterns import chain
from agentreview.syntax.tree import Expr, Unit

MAX_HOPS = 3
# What a module-level statement or a class lends to everything in it.
CONTROLS = frozenset(
    {
        "authn",
        "audit",
        "scope",
        "object-check",
        "membership",
        "opening",
        "trail",
        "token-check",
        "validate",
        "redact",
        "sanitize",
    }
)
# Methods that run around every handler of a class.
_CLASS_HOOKS = frozenset(
    "initial dispatch setup check_permissions get_permissions permission_denied check_object_permissions get_queryset get_object "
    "perform_create perform_update perform_destroy perform_authentication finalize_response test_func has_permission initialize_request".split()
)


def own_and_helpers(analysis: Analysis, unit: Unit) -> list[Fact]:
    """Facts in the unit's body and in same-file helpers it calls; a helper's facts sit at the call, ``via`` names it."""
    known = analysis.lent.get(id(unit))
    if known is None:
        known = list(analysis.own(unit).facts)
        for helper, expr in _helpers(analysis, unit):
            known.extend(_moved(fact, unit, expr, helper) for fact in analysis.own(helper).facts)
        analysis.lent[id(unit)] = known
    return list(known)


def _wraps_another(analysis: Analysis, fact: Fact, unit: Unit) -> bool:
    """Whether a call of the module stands around another endpoint: ``export const show = withAuth(async () => …)``."""
    if fact.start <= unit.start < fact.end:
        return False
    if analysis.starts is None:
        analysis.starts = sorted(e.unit.start for e in analysis.endpoints.values())
    return bisect_left(analysis.starts, fact.start) < bisect_left(analysis.starts, fact.end)


def called_by(analysis: Analysis, unit: Unit) -> list[Unit]:
    """Same-file helpers that a unit calls, and theirs, nearest first."""
    return [helper for helper, _ in _helpers(analysis, unit)]


def _helpers(analysis: Analysis, unit: Unit) -> list[tuple[Unit, Expr]]:
    """Helpers with the call in the unit that leads to them. In breadth: a long way round must not hide a short one."""
    seen = {id(unit)}
    out: list[tuple[Unit, Expr]] = []
    row: list[tuple[Unit, Expr | None]] = [(unit, None)]
    for _ in range(MAX_HOPS):
        below: list[tuple[Unit, Expr]] = []
        for caller, first in row:
            for name, expr in analysis.own(caller).calls:
                helper = resolve(analysis, caller, name)
                if helper is not None and id(helper) not in seen:
                    seen.add(id(helper))
                    below.append((helper, first or expr))
        out.extend(below)
        row = list(below)
    return out


def _moved(fact: Fact, unit: Unit, expr: Expr, helper: Unit) -> Fact:
    via = f"{helper.name} (line {fact.line})" if not fact.via else fact.via
    return replace(fact, unit=unit, start=expr.start, end=expr.end, line=expr.line, end_line=expr.end_line, via=via)


def resolve(analysis: Analysis, unit: Unit, name: str) -> Unit | None:
    """Find the same-file function a call names: ``foo``, or ``self.foo`` in the class or its same-file bases."""
    if name.startswith("self."):
        cls = enclosing_class(unit)
        for owner in _with_bases(analysis, cls) if cls is not None else ():
            found = analysis.names.get(f"{owner.qualname}.{name[5:]}")
            if found is not None and found is not unit:
                return found
        if cls is None and analysis.module.language == "go":  # a method whose type stands in another file
            return analysis.names.get(f"{receiver(unit)}.{name[5:]}")
        return None
    scope: Unit | None = unit
    while scope is not None:
        prefix = "" if scope.kind == "module" else scope.qualname + "."
        found = analysis.names.get(prefix + name)
        if found is not None and found.kind == "function" and found is not unit:
            return found
        scope = scope.parent
    return resolve(analysis, unit, f"self.{name}") if analysis.module.language == "ruby" else None


def receiver(unit: Unit) -> str:
    """Name of the type a Go method belongs to, wherever the type is declared; '' of a function."""
    node: Unit | None = unit
    while node is not None and node.kind == "function":
        if node.parent is not None and node.parent.kind != "function":
            return node.qualname.rpartition(".")[0]
        node = node.parent
    return ""


def enclosing_class(unit: Unit) -> Unit | None:
    """The class a method belongs to."""
    node = unit.parent
    while node is not None and node.kind == "function":
        node = node.parent
    return node if node is not None and node.kind == "class" else None


def _with_bases(analysis: Analysis, cls: Unit) -> list[Unit]:
    out = [cls]
    for current in out:
        for base in current.bases:
            found = analysis.names.get(chain(base)[-1].name) or _sibling(analysis, current, chain(base)[-1].name)
            if found is not None and found.kind == "class" and found not in out and len(out) < 10:
                out.append(found)
    return out


def _sibling(analysis: Analysis, cls: Unit, name: str) -> Unit | None:
    """A class in the same module or class as another."""
    outer, _, _ = cls.qualname.rpartition(".")
    return analysis.names.get(f"{outer}.{name}") if outer else None


def in_reach(analysis: Analysis, unit: Unit) -> list[Fact]:
    """Every fact that holds for the unit, nearest first."""
    out = own_and_helpers(analysis, unit)
    ruby = analysis.module.language == "ruby"  # a class's filters call its methods
    cls = unit if unit.kind == "class" else enclosing_class(unit)
    if cls is not None:
        for owner in _with_bases(analysis, cls):
            for fact in own_and_helpers(analysis, owner) if ruby else analysis.own(owner).facts:
                if fact.concept in CONTROLS and (unit.kind == "class" or fact.holds_for(unit.name)):
                    out.append(fact)
                elif fact.concept == "authn" and unit.name in fact.but:  # left out by name: public on purpose
                    out.append(replace(fact, concept="opening"))
            for child in owner.children:
                if (
                    child is not unit
                    and child.kind == "function"
                    and (child.name in _CLASS_HOOKS or unit.kind == "class")
                ):
                    out.extend(f for f in own_and_helpers(analysis, child) if f.concept in CONTROLS)
    endpoint = analysis.endpoints.get(id(unit))
    parent = unit.parent if endpoint is None or not endpoint.placed else None
    while parent is not None and parent.kind == "function":  # a handler inside a factory, a closure
        out.extend(f for f in analysis.own(parent).facts if f.concept in CONTROLS)
        parent = parent.parent
    if endpoint is not None:
        out.extend(analysis.routers.get(endpoint.router, ()))
        out.extend(
            f
            for f in analysis.own(analysis.module.root).facts
            if f.concept in CONTROLS and f.line <= max(endpoint.line, 1) and not _wraps_another(analysis, f, unit)
        )
        for hook in analysis.hooks:
            out.extend(f for f in own_and_helpers(analysis, hook) if f.concept in CONTROLS)
    return out
