"""Forms about code that runs without a request: background jobs, and functions whose answers are remembered."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview import vocabulary
from agentreview.model import Claim
from agentreview.policies.claims import View, identity_of, make_claim
from agentreview.policies.filters import belongs_to_tenant, silenced
from agentreview.policies.load import Check, Policy
from agentreview.syntax.names import last_name, names_in
from agentreview.syntax.reach import enclosing_class
from agentreview.syntax.tree import Unit

_SELF = frozenset({"self", "cls", "this"})


def memo(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    """Functions that remember rows of a tenant's table and are not told which tenant asks."""
    for unit in _functions(view):
        around = view.analysis.own(unit.parent).facts if unit.parent is not None and unit.parent.kind == "class" else []
        how = {fact.concept for fact in (*view.analysis.own(unit).facts, *around)}
        if "page-cache" in how and "vary" not in how:
            yield from _by_address(policy, check, view, unit)
        elif "memo" in how:
            yield from _unscoped(policy, check, view, unit)


def job(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    """Jobs with an argument that names a row and none that names the tenant, which then work on a tenant's table."""
    bases = set(view.facts.tenant.job_base)
    for unit in _functions(view):
        if not any(f.concept == "job" for f in view.analysis.own(unit).facts) and not _in_job_class(view, unit):
            continue
        cls = enclosing_class(unit)
        named = {n for d in unit.decorators for n in names_in(d)} | {last_name(b) for b in (cls.bases if cls else ())}
        if named & bases or not [p for p in unit.params if p.name not in _SELF]:
            continue
        yield from _unscoped(policy, check, view, unit)


def _by_address(policy: Policy, check: Check, view: View, unit: Unit) -> Iterator[Claim]:
    """A whole answer kept by its address: a query limited to the caller's tenant does not help the next caller."""
    if silenced(policy, check, view, unit):
        return
    facts = view.in_reach(unit)
    fact = next((f for f in facts if f.concept in check.concepts and belongs_to_tenant(f, view)), None)
    if fact is not None and not any(f.concept in check.unless for f in facts):
        yield make_claim(policy, check, view, unit, fact=fact, identity=identity_of(fact))


def _in_job_class(view: View, unit: Unit) -> bool:
    cls = unit.parent
    return (
        cls is not None
        and cls.kind == "class"
        and unit.name in ("run", "perform", "handle", "process")
        and any(f.concept == "job" for f in view.analysis.own(cls).facts)
    )


def _functions(view: View) -> Iterator[Unit]:
    for unit in view.analysis.module.units:
        if unit.kind == "function" and id(unit) in view.analysis.units:
            yield unit


def _unscoped(policy: Policy, check: Check, view: View, unit: Unit) -> Iterator[Claim]:
    if silenced(policy, check, view, unit) or _knows_tenant(view, unit):
        return
    facts = view.analysis.own(unit).facts
    fact = next((f for f in facts if f.concept in check.concepts and not f.scoped and belongs_to_tenant(f, view)), None)
    if fact is None or any(f.concept in check.unless for f in view.in_reach(unit)) or _elsewhere(check, view, unit):
        return
    yield make_claim(policy, check, view, unit, fact=fact, identity=identity_of(fact))


def _knows_tenant(view: View, unit: Unit) -> bool:
    lexicon = view.analysis.lexicon
    names = [n for p in unit.params for n in (p.name, *p.names)]
    keys = [
        a.value.name
        for d in unit.decorators
        for a in d.args
        if a.name in ("key", "keyGenerator") and a.value.kind == "str"
    ]
    if keys:  # @Cacheable(key = "#id"): what the key is made of counts, not what else the method is given
        names = [word for key in keys for word in re.findall(r"[A-Za-z_]+", key)]
    return any(lexicon.tenant_key(n) or any(lexicon.tenant_key(w) for w in vocabulary.words(n)) for n in names if n)


def _elsewhere(check: Check, view: View, unit: Unit) -> bool:
    return any(f.concept in check.unless for f in view.from_elsewhere(unit))
