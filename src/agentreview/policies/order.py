"""The form that looks at the order of decorators and middleware: what runs first, and what a refused caller still reaches."""

from __future__ import annotations

from collections.abc import Iterator

from agentreview.model import Claim
from agentreview.policies.claims import View, make_claim
from agentreview.policies.load import Check, Policy


def order(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    """Claim units whose decorator of ``concepts`` stands outside (above) one of ``unless``: it runs for the refused too."""
    told: set[int] = set()
    for own in view.analysis.units.values():
        route = [f for f in own.facts if f.framework == "route"]  # router.get(path, audit, requireAuth, handler)
        first = next((f for f in route if f.concept in check.concepts), None)
        if first is None or first.start in told:
            continue  # what a router uses is said once
        told.add(first.start)
        if any(f.concept in check.unless and f.start > first.start for f in route):
            yield make_claim(policy, check, view, own.unit, fact=first, identity=f"order:{first.call}")
    if view.analysis.module.language == "ruby":
        yield from _filters(policy, check, view)
    if view.analysis.module.language != "python":  # Nest runs guards first, wherever their decorator stands
        return
    for own in view.analysis.units.values():
        spans = [(d.start, d.end) for d in own.unit.decorators]
        at: dict[str, list[int]] = {"outer": [], "inner": []}
        for fact in own.facts:
            place = next((n for n, (start, end) in enumerate(spans) if start <= fact.start and fact.end <= end), None)
            if place is not None and fact.concept in check.concepts:
                at["outer"].append(place)
            elif place is not None and fact.concept in check.unless:
                at["inner"].append(place)
        if at["outer"] and at["inner"] and min(at["outer"]) < min(at["inner"]):
            outer = own.unit.decorators[min(at["outer"])]
            fact = next(f for f in own.facts if f.concept in check.concepts and outer.start <= f.start <= outer.end)
            yield make_claim(policy, check, view, own.unit, fact=fact, identity=f"order:{fact.call}")


def _filters(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    """Filters of a controller run in the order in which they stand, those of its base classes first."""
    for own in view.analysis.units.values():
        run = [
            f for f in own.facts if own.unit.kind == "class" and f.call.startswith(("before_action", "around_action"))
        ]
        first = next((f for f in run if f.concept in check.concepts), None)
        if first is not None and any(f.concept in check.unless and f.start > first.start for f in run):
            yield make_claim(policy, check, view, own.unit, fact=first, identity=f"order:{first.call}")
