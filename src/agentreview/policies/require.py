"""The form that asks for a control: a trigger without it in reach, and what its siblings say."""

from __future__ import annotations

from collections.abc import Iterator

from agentreview.model import Claim, Hit
from agentreview.policies.claims import View, identity_of, make_claim
from agentreview.policies.filters import _HANDLERS, ambient, automatic, passes, records, silenced
from agentreview.policies.load import Check, Policy
from agentreview.policies.nearby import useful
from agentreview.syntax.facts import Analysis, Fact
from agentreview.syntax.patterns import chain
from agentreview.syntax.reach import called_by, enclosing_class, own_and_helpers, resolve
from agentreview.syntax.tree import Unit

_WRITES = frozenset({"write", "delete", "generic-write"})
_READS = frozenset({"read", "generic-read"})


def units_in(where: str, analysis: Analysis) -> Iterator[Unit]:
    """Yield the units a check looks at: ``endpoint``, ``unit`` (any function), ``class`` or ``module``."""
    if where == "endpoint":
        for endpoint in analysis.endpoints.values():
            yield endpoint.unit
    else:
        wanted = {"unit": "function", "class": "class", "module": "module"}.get(where, "function")
        for unit in analysis.module.units:
            if unit.kind == wanted and id(unit) in analysis.units:
                yield unit


_GENERIC_METHODS = frozenset(
    "create update partial_update destroy list retrieve perform_create perform_update perform_destroy form_valid".split()
)
_MUTATING = frozenset(
    "put patch delete perform_create perform_update perform_destroy create update partial_update destroy form_valid".split()
)


def _mutates(unit: Unit) -> bool:
    """Whether a request that reaches this endpoint changes something, by its verb (POST may be a search)."""
    named = (unit.parent is not None and unit.parent.kind == "class") or unit.name.isupper()
    verbs = {unit.name.lower()} if named else set()
    verbs |= {chain(d)[-1].name.lower() for d in unit.decorators}
    if unit.call is not None:
        verbs.add(chain(unit.call)[-1].name.lower())
    return bool(verbs & _MUTATING) and not verbs & {"get", "route", "action"}


def _called_here(analysis: Analysis, where: str) -> frozenset[int]:
    """Functions that another unit of the file calls: what they do is judged there, with what their callers control.

    A route of its own is reached without its callers, so of endpoints only guessed ones count, and only when an
    endpoint that is judged calls them.
    """
    if where != "endpoint":
        found = (resolve(analysis, own.unit, name) for own in analysis.units.values() for name, _ in own.calls)
        return frozenset(id(unit) for unit in found if unit is not None)
    out: set[int] = set()
    for key, endpoint in analysis.endpoints.items():
        if key not in out:
            out |= {
                id(u) for u in called_by(analysis, endpoint.unit) if u is not endpoint.unit and _is_guessed(analysis, u)
            }
    return frozenset(out)


def _is_guessed(analysis: Analysis, unit: Unit) -> bool:
    endpoint = analysis.endpoints.get(id(unit))
    return endpoint is not None and endpoint.guessed


def require(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    """Claim every unit that has the trigger and none of the required controls in reach."""
    per_query = {"scoped", "owned", "keyed"} & {k for k, _ in check.when}
    units = list(units_in(check.where, view.analysis))
    helpers = _called_here(view.analysis, check.where) if check.where in ("unit", "endpoint") else frozenset()
    told: set[int] = set()
    claimed: dict[int, str] = {}
    for unit in units:
        if id(unit) in helpers:
            continue
        reach = view.in_reach(unit)
        if any(f.concept in check.require for f in reach) or silenced(policy, check, view, unit):
            continue
        if any(f.concept in check.unless for f in reach):
            continue
        raised = bool(check.siblings) and _siblings_have(check, view, unit, units)
        if check.siblings == "only" and not raised:
            continue
        if ambient(check, view):
            continue
        hit = Hit.VIOLATION if raised else check.hit
        if not check.concepts or check.concepts == ("endpoint",):
            if (
                _only_guessed(view, unit, reach, raised=raised)
                or _lent(check, view, unit)
                or _refused(check, view, unit, reach)
            ):
                continue
            if view.analysis.module.language == "go":
                hit = Hit.SUSPECT  # open routes stand between closed ones, and what closes them is code anywhere
            inherits = _inherits(view, unit)
            if inherits and not raised:
                continue
            cls = _class_of(unit)
            if cls is not None and view.analysis.module.language == "python":
                if id(cls) in told:
                    continue  # a Python class is closed or open as a whole: said once
                told.add(id(cls))
            if inherits or (
                _has_settings(view, unit) and not any(f.phi for f in (*view.analysis.own(cls or unit).facts, *reach))
            ):
                hit = Hit.SUSPECT  # a base class or the framework's settings may close it
            yield make_claim(policy, check, view, unit, line=unit.header_line or unit.line, identity=unit.name, hit=hit)
            continue
        source = own_and_helpers(view.analysis, unit) if unit.kind != "class" else view.analysis.own(unit).facts
        triggers = [
            f
            for f in source
            if f.concept in check.concepts and passes(f, check, view, unit) and not automatic(f, check, view.facts)
        ]
        if not triggers:
            continue
        if set(check.concepts) <= _READS and _mutates(unit):
            continue  # what it changes is what it shows; the look-ups on the way are internal
        triggers = _left(triggers, check, view, unit)
        if not triggers:
            continue
        if unit.kind == "class":
            claimed[id(unit)] = triggers[0].resource
        elif (
            unit.parent is not None
            and unit.name in _GENERIC_METHODS
            and claimed.get(id(unit.parent)) == triggers[0].resource
        ):
            continue  # a hook of the generic view, which is claimed as a whole
        for trigger in triggers if per_query else triggers[:1]:
            others = [f for f in triggers if f is not trigger] if not per_query else []
            yield make_claim(
                policy,
                check,
                view,
                unit,
                fact=trigger,
                identity=identity_of(trigger) if per_query else trigger.resource or trigger.call,
                hit=hit,
                others=others,
            )


def _lent(check: Check, view: View, unit: Unit) -> bool:
    """Whether another file lends the control. Asked last: the answer may cost reading files."""
    return useful(view.from_elsewhere(unit), (*check.require, *check.unless))


def _refused(check: Check, view: View, unit: Unit, reach: list[Fact]) -> bool:
    """Whether the project's own settings refuse an endpoint that says nothing, or open it and it shows no health data."""
    if "authn" in check.require and view.nearby is not None:
        said = view.nearby.place_access(view.analysis, unit)
        if said:
            return said == "deny" or not any(f.phi for f in reach)
    return "authn" in check.require and view.nearby is not None and view.nearby.access_default(view.analysis) == "deny"


def _left(triggers: list[Fact], check: Check, view: View, unit: Unit) -> list[Fact]:
    """Triggers that neither a control in another file nor an automatic trail answers."""
    if not triggers or view.nearby is None:
        return triggers
    if _lent(check, view, unit):
        return []
    if "audit" in check.require:
        known = {f.resource: view.nearby.automatic(view.analysis, f.resource) for f in triggers if f.concept in _WRITES}
        return [f for f in triggers if not any(records(one, f) for one in known.get(f.resource, ()))]
    if "scope" in check.require:
        secured = view.nearby.row_security(view.analysis)
        if view.analysis.module.language == "java":
            triggers = [f for f in triggers if not view.nearby.scoped_model(view.analysis, f.resource)]
        return [f for f in triggers if not {f.resource.lower(), f.resource.lower() + "s"} & secured]
    return triggers


def _siblings_have(check: Check, view: View, unit: Unit, units: list[Unit]) -> bool:
    """Whether at least two others of the file, and most of them, have the control; another class counts once."""
    mine = _class_of(unit)
    have: dict[int, bool] = {}
    for other in units:
        cls = _class_of(other)
        if other is unit or (cls is mine and cls is not None and cls in (unit, other)):
            continue
        key = id(other) if cls is None or cls is mine else id(cls)
        have[key] = have.get(key, True) and any(f.concept in check.require for f in view.in_reach(other))
    return sum(have.values()) >= 2 and sum(have.values()) * 2 > len(have)


def _class_of(unit: Unit) -> Unit | None:
    return unit if unit.kind == "class" else enclosing_class(unit)


_FRAMEWORKS = (
    "django",
    "rest_framework",
    "flask",
    "starlette",
    "fastapi",
    "ninja",
    "sqlalchemy",
    "typing",
    "abc",
    "@nestjs",
    "drf_",
    "graphene",
    "strawberry",
    "litestar",
    "aiohttp",
    "sanic",
    "tornado",
    "falcon",
    "celery",
    "ActionController",
    "ActiveRecord",
    "ActiveSupport",
    "Pundit",
    "CanCan",
    "Devise",
    "Sidekiq",
    "Sinatra",
    "Grape",
)


def _inherits(view: View, unit: Unit) -> bool:
    """Whether a base class of the project, in another file, may carry the control."""
    cls = _class_of(unit)
    if cls is None or (view.nearby is not None and view.nearby.bases_known(view.analysis, unit)):
        return False
    for base in cls.bases:
        root = chain(base)[0].name
        found = view.analysis.names.get(root)
        if found is not None and found is not cls:
            if _inherits(view, found):
                return True
        elif (
            not view.analysis.module.imports.get(root, root).startswith(_FRAMEWORKS)
            and root in view.analysis.module.imports
        ):
            return True
    return False


def _has_settings(view: View, unit: Unit) -> bool:
    endpoint = view.analysis.endpoints.get(id(unit))
    return endpoint is not None and endpoint.framework in ("drf", "django")  # REST_FRAMEWORK, LoginRequiredMiddleware


def _only_guessed(view: View, unit: Unit, reach: list[Fact], *, raised: bool) -> bool:
    """A function that only looks like a handler, and has nothing to protect or stands where no handlers are.

    In JavaScript such a handler's route is in another file, and so is the control: only siblings say that it is missing.
    """
    endpoint = view.analysis.endpoints.get(id(unit))
    if endpoint is None or not endpoint.guessed:
        return False
    if view.analysis.module.language != "python":
        return not raised
    return not _HANDLERS.matches(view.analysis.path) or not any(
        f.concept in _WRITES | _READS | {"raw-sql"} for f in reach
    )
