"""The check forms that look at one version of one file, in a table.

Each returns claims about that version; :mod:`agentreview.policies.compare` decides which of them the change introduced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from agentreview.lazyre import lazy
from agentreview.model import Claim, Hit
from agentreview.policies.claims import View, identity_of, make_claim
from agentreview.policies.columns import plain_column, unique
from agentreview.policies.filters import allowed, excused, passes, records, silenced
from agentreview.policies.load import Check, Policy
from agentreview.policies.nearby import useful
from agentreview.policies.order import order
from agentreview.policies.paths import path_classes
from agentreview.policies.require import require, units_in
from agentreview.policies.swallow import swallow
from agentreview.policies.tenants import job, memo
from agentreview.syntax.facts import Fact
from agentreview.syntax.patterns import glob
from agentreview.syntax.tree import Unit


def evaluate(policy: Policy, view: View) -> list[Claim]:
    """Return every claim of the policy about this version. One place is claimed by one check, its strongest.

    That check may have several claims there (two calls on one line): which of them is new is the comparison's to say.
    """
    path = view.analysis.path
    if set(policy.skip) & path_classes(path, view.facts.tests.paths):
        return []
    best: dict[tuple[str, int], list[Claim]] = {}
    for check in policy.checks:
        form = _FORMS.get(check.form)
        mine: dict[tuple[str, int], list[Claim]] = {}
        for claim in form(policy, check, view) if form is not None else ():
            mine.setdefault((claim.unit, claim.start_line), []).append(claim)
        for key, claims in mine.items():
            known = best.get(key)
            if known is None or (known[0].hit is Hit.SUSPECT and claims[0].hit is Hit.VIOLATION):
                best[key] = claims
    return [claim for claims in best.values() for claim in claims]


def _present(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    for unit in [u for u in view.analysis.module.units if id(u) in view.analysis.units]:
        if check.where == "endpoint" and id(unit) not in view.analysis.endpoints:
            in_endpoint_class = unit.kind == "class" and any(id(c) in view.analysis.endpoints for c in unit.children)
            if not in_endpoint_class:
                continue
        if silenced(policy, check, view, unit):
            continue
        for fact in view.analysis.own(unit).facts:
            if (
                fact.concept in check.concepts
                and not excused(check, view, unit, fact)
                and passes(fact, check, view, unit)
                and not (fact.concept == "opening" and _asks(view, unit))
                and not any(f.concept in check.unless for f in view.in_reach(unit))
                and not ("audit" in check.unless and fact.concept in ("write", "delete") and _recorded(fact, view))
            ):
                yield make_claim(policy, check, view, unit, fact=fact, identity=identity_of(fact))


def _recorded(fact: Fact, view: View) -> bool:
    """Whether a trail that needs no call sees this write: triggers see what per-row hooks do not."""
    if any(records(one, fact) for one in view.facts.audit.automatic):
        return True
    model = view.analysis.names.get(fact.resource)
    if model is not None and any(f.concept == "trail" and f.bulk for f in view.analysis.own(model).facts):
        return True
    return view.nearby is not None and any(
        records(one, fact) for one in view.nearby.automatic(view.analysis, fact.resource)
    )


def _asks(view: View, unit: Unit) -> bool:
    """Whether the code of a function that is opened to anyone asks who is calling by itself."""
    start = min((s.start for s in unit.body), default=unit.end)
    return unit.kind == "function" and any(
        f.concept in ("authn", "object-check", "membership") and f.start >= start and f.framework != "route"
        for f in view.analysis.own(unit).facts
    )


def _flow(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    for own in view.analysis.units.values():
        for fact in own.facts:
            if fact.concept not in check.sinks or not fact.labels:
                continue
            shown = sorted({name for kind, name in fact.labels if kind in check.sources})
            if shown and not allowed(fact, view.facts) and not silenced(policy, check, view, own.unit):
                yield make_claim(
                    policy,
                    check,
                    view,
                    own.unit,
                    fact=fact,
                    identity=f"{fact.call}<-{','.join(shown)}",
                    value=", ".join(shown[:4]),
                )


def _input(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    """A tenant key that the client sends (``request.data["org_id"]``, ``const { orgId } = req.body``)."""
    for unit in units_in(check.where, view.analysis):
        held = view.in_reach(unit)
        if silenced(policy, check, view, unit) or any(f.concept in check.unless for f in held):
            continue
        if any(f.concept == "authn" and _CONSOLE.search(f.call) for f in held):
            continue
        said: set[str] = set()
        if view.analysis.own(unit).tenant_inputs and useful(view.from_elsewhere(unit), check.unless):
            continue
        for expr in view.analysis.own(unit).tenant_inputs:
            value = " ".join(view.analysis.module.source[expr.start : expr.end].split())[:80]
            key = re.sub(r"\W+", " ", value).split()[-1:] or [value]
            if key[0] in said:
                continue
            said.add(key[0])
            fact = Fact("request", unit, expr.start, expr.end, expr.line, expr.end_line, value)
            yield make_claim(policy, check, view, unit, fact=fact, identity=value, value=value)


_CONSOLE = lazy(r"(?i)super_?(?:user|admin)|is_staff|staff_member|staff_only|staff_required")


def _match(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    module = view.analysis.module
    if module.language != ("typescript" if check.language == "tsx" else check.language):
        return
    text_filter = dict(check.when).get("text")  # which files the rule is for: parsing again costs
    if text_filter is not None and not glob(str(text_filter)).matches(module.source):
        return
    from agentreview.syntax.match import find

    for first, last, found in find(module.source, check.language, json.loads(check.rule)):
        unit = max(
            (u for u in module.units if u.line <= first <= u.end_line),
            key=lambda u: (u.line, -u.end_line),
            default=module.root,
        )
        flat = " ".join(found.split())[:120]
        fact = Fact("match", unit, 0, 0, first, last, flat)
        yield make_claim(policy, check, view, unit, fact=fact, identity=flat)


_VERBS = {"write": "change", "generic-write": "change", "delete": "delete"}


def _untested(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    """Endpoints that work on health data; dropped again when the change touches a test (agentreview.policies.run)."""
    for unit in units_in("endpoint", view.analysis):
        endpoint = view.analysis.endpoints[id(unit)]
        if endpoint.guessed or silenced(policy, check, view, unit):
            continue
        fact = next((f for f in view.in_reach(unit) if f.phi and f.concept in check.concepts and not f.via), None)
        if fact is not None:
            yield make_claim(
                policy,
                check,
                view,
                unit,
                line=unit.header_line or unit.line,
                identity=unit.name,
                value=f"{_VERBS.get(fact.concept, 'see')} {fact.resource}",
            )


_FORMS: dict[str, Callable[[Policy, Check, View], Iterator[Claim]]] = {
    "require": require,
    "present": _present,
    "flow": _flow,
    "swallow": swallow,
    "input": _input,
    "match": _match,
    "unique": unique,
    "plain-column": plain_column,
    "order": order,
    "untested": _untested,
    "memo": memo,
    "job": job,
}
VERSION_FORMS = frozenset(_FORMS)  # what looks at one whole version of a file, not only at what a change does to it
