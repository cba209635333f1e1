"""The check forms that look at one version of one file: require, present, flow, swallow, input, match.

Each returns claims about that version; :mod:`agentreview.policies.compare` decides which of them the change introduced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from agentreview.facts import Facts
from agentreview.globs import matches as path_matches
from agentreview.model import Claim, Evidence, Hit
from agentreview.policies.load import Check, Policy
from agentreview.policies.paths import path_classes
from agentreview.syntax.facts import Analysis, Fact
from agentreview.syntax.patterns import chain, glob
from agentreview.syntax.reach import enclosing_class, in_reach, own_and_helpers, resolve
from agentreview.syntax.tree import Handler, Stmt, Unit, statements, text

_WRITES = frozenset({"write", "delete", "generic-write"})
_READS = frozenset({"read", "generic-read"})


@dataclass(slots=True, eq=False, repr=False)
class View:
    """One version of a file as the checks see it; facts in reach are worked out once per unit."""

    analysis: Analysis
    facts: Facts
    reach: dict[int, list[Fact]]
    lines: list[str]

    @classmethod
    def of(cls, analysis: Analysis, facts: Facts) -> View:
        """Wrap an analysis."""
        return cls(analysis, facts, {}, analysis.module.source.split("\n"))

    def in_reach(self, unit: Unit) -> list[Fact]:
        """Facts that hold for the unit."""
        known = self.reach.get(id(unit))
        if known is None:
            known = self.reach[id(unit)] = in_reach(self.analysis, unit)
        return known

    def quote(self, line: int) -> str:
        """Text of a 1-based line."""
        return self.lines[line - 1] if 0 < line <= len(self.lines) else ""


def evaluate(policy: Policy, view: View) -> list[Claim]:
    """Return every claim of the policy about this version. One place is claimed once, by its strongest check."""
    path = view.analysis.path
    if set(policy.skip) & path_classes(path, view.facts.tests.paths):
        return []
    best: dict[tuple[str, int], Claim] = {}
    for check in policy.checks:
        form = _FORMS.get(check.form)
        for claim in form(policy, check, view) if form is not None else ():
            key = (claim.unit, claim.start_line)
            known = best.get(key)
            if known is None or (known.hit is Hit.SUSPECT and claim.hit is Hit.VIOLATION):
                best[key] = claim
    return list(best.values())


# -- require -------------------------------------------------------------------------------------------------------


def _units(where: str, analysis: Analysis) -> Iterator[Unit]:
    if where == "endpoint":
        for endpoint in analysis.endpoints.values():
            yield endpoint.unit
    else:
        wanted = {"unit": "function", "class": "class", "module": "module"}.get(where, "function")
        for unit in analysis.module.units:
            if unit.kind == wanted and id(unit) in analysis.units:
                yield unit


_GENERIC_METHODS = frozenset("create update partial_update destroy list retrieve perform_create perform_update perform_destroy form_valid".split())
_MUTATING = frozenset("put patch delete perform_create perform_update perform_destroy create update partial_update destroy form_valid".split())


def _mutates(unit: Unit) -> bool:
    """Whether a request that reaches this endpoint changes something, by its verb (POST may be a search)."""
    named = (unit.parent is not None and unit.parent.kind == "class") or unit.name.isupper()
    verbs = {unit.name.lower()} if named else set()
    verbs |= {chain(d)[-1].name.lower() for d in unit.decorators}
    if unit.call is not None:
        verbs.add(chain(unit.call)[-1].name.lower())
    return bool(verbs & _MUTATING) and not verbs & {"get", "route", "action"}


def _called_here(analysis: Analysis) -> frozenset[int]:
    """Functions that another unit of the file calls: what they do is judged there, with what their callers control."""
    found = (resolve(analysis, own.unit, name) for own in analysis.units.values() for name, _ in own.calls)
    return frozenset(id(unit) for unit in found if unit is not None)


def _require(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    if "request" in check.concepts:
        yield from _input(policy, replace(check, unless=(*check.unless, *check.require)), view)
        return
    per_query = {"scoped", "owned", "keyed"} & {k for k, _ in check.when}
    units = list(_units(check.where, view.analysis))
    helpers = _called_here(view.analysis) if check.where in ("unit", "endpoint") else frozenset()
    told: set[int] = set()
    claimed: dict[int, str] = {}
    for unit in units:
        if id(unit) in helpers:
            continue
        reach = view.in_reach(unit)
        if any(f.concept in check.require for f in reach) or _silenced(policy, check, view, unit):
            continue
        if any(f.concept in check.unless for f in reach):
            continue
        raised = bool(check.siblings) and _siblings_have(check, view, unit, units)
        if check.siblings == "only" and not raised:
            continue
        if _ambient(check, view):
            continue
        hit = Hit.VIOLATION if raised else check.hit
        if not check.concepts or check.concepts == ("endpoint",):
            if _only_guessed(view, unit, reach, raised=raised) or (not raised and _inherits(view, unit)):
                continue
            cls = _class_of(unit)
            if cls is not None and view.analysis.module.language == "python":
                if id(cls) in told:
                    continue  # a Python class is closed or open as a whole: said once
                told.add(id(cls))
            if _inherits(view, unit) or (_has_settings(view, unit) and not any(f.phi for f in (*view.analysis.own(cls or unit).facts, *reach))):
                hit = Hit.SUSPECT  # a base class or the framework's settings may close it
            yield _claim(policy, check, view, unit, line=unit.header_line or unit.line, identity=unit.name, hit=hit)
            continue
        source = own_and_helpers(view.analysis, unit) if unit.kind != "class" else view.analysis.own(unit).facts
        triggers = [f for f in source if f.concept in check.concepts and _passes(f, check, view, unit) and not _automatic(f, check, view.facts)]
        if not triggers:
            continue
        if set(check.concepts) <= _READS and _mutates(unit):
            continue  # what it changes is what it shows; the look-ups on the way are internal
        if unit.kind == "class":
            claimed[id(unit)] = triggers[0].resource
        elif unit.parent is not None and unit.name in _GENERIC_METHODS and claimed.get(id(unit.parent)) == triggers[0].resource:
            continue  # a hook of the generic view, which is claimed as a whole
        for trigger in triggers if per_query else triggers[:1]:
            others = [f for f in triggers if f is not trigger] if not per_query else []
            yield _claim(policy, check, view, unit, fact=trigger, identity=_identity(trigger) if per_query else trigger.resource or trigger.call, hit=hit, others=others)


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


_FRAMEWORKS = ("django", "rest_framework", "flask", "starlette", "fastapi", "ninja", "sqlalchemy", "typing", "abc", "@nestjs", "drf_")


def _inherits(view: View, unit: Unit) -> bool:
    """Whether a base class of the project, in another file, may carry the control."""
    cls = _class_of(unit)
    if cls is None:
        return False
    for base in cls.bases:
        root = chain(base)[0].name
        found = view.analysis.names.get(root)
        if found is not None and found is not cls:
            if _inherits(view, found):
                return True
        elif not view.analysis.module.imports.get(root, root).startswith(_FRAMEWORKS) and root in view.analysis.module.imports:
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
    return not _HANDLERS.matches(view.analysis.path) or not any(f.concept in _WRITES | _READS | {"raw-sql"} for f in reach)


_HANDLERS = glob("*view*|*api*|*handler*|*endpoint*|*controller*|*route*|*resource*")


def _ambient(check: Check, view: View) -> bool:
    """A control that is on for the whole project by a fact."""
    return "authn" in check.require and view.facts.access.default == "deny"


def _automatic(fact: Fact, check: Check, facts: Facts) -> bool:
    """The trail records this by itself: signals do not fire for bulk calls, triggers do."""
    if "audit" not in check.require:
        return False
    if fact.concept in _READS:
        return facts.audit.reads in ("middleware", "none")
    for automatic in facts.audit.automatic:
        covered = not automatic.models or any(fact.resource.lower() in (m.lower(), m.lower() + "s") for m in automatic.models)
        if covered and (automatic.how == "triggers" or not fact.bulk):
            return True
    return False


_GLOBAL = frozenset("user users customuser account accounts session sessions permission group contenttype language country currency".split())
_PUBLIC_NAMES = glob(
    "*health*|*ready*|*alive*|*liveness*|*ping*|*metrics*|*login*|*log_in*|*signin*|*sign_in*|*signup*|*sign_up*|*register*|*logout*|*webhook*|*callback*|"
    "*favicon*|*robots*|*sitemap*|*openapi*|*swagger*|*docs*|*password*reset*|*reset*password*|*forgot*|*oauth*|*sso*|*saml*|*obtain*token*|*refresh*token*|*token*refresh*|token *|* /token|*public*|*static*|* /version|* /api/version|* /status|* /api/status|*unsubscribe*|*opt_out*|*optout*|*auth.config*|*captcha*|*well-known*|*locales*|index /|home /|root /|read_root /"
)


def _silenced(policy: Policy, check: Check, view: View, unit: Unit) -> bool:
    """Places where the policy does not apply by the project's facts or by what the unit is."""
    facts, path = view.facts, view.analysis.path
    if policy.id.startswith("tenancy.") and "tainted" not in {k for k, _ in check.when}:
        # Forced row-level security answers a missing predicate; it does not answer who chose the tenant.
        separate = ("schema", "database", "none", "rls") if check.form == "require" else ("schema", "database", "none")
        if facts.tenant.isolation in separate or path_matches(path, facts.tenant.unscoped_in):
            return True
    if "authn" in check.require:
        endpoint = view.analysis.endpoints.get(id(unit))
        name = (unit.qualname + " " + (endpoint.path if endpoint else "")).lower()
        return _PUBLIC_NAMES.matches(name)
    return policy.id == "tenancy.raw-sql" and facts.tenant.isolation == "rls"


def _passes(fact: Fact, check: Check, view: View, unit: Unit) -> bool:
    for key, value in check.when:
        if key == "resource" and not _is_resource(fact, str(value), view, unit):
            return False
        if key == "keyed" and not fact.keyed:
            return False
        if key == "single" and fact.resource and fact.resource.lower() in {m.lower() for m in view.facts.access.tenant_is_enough_for}:
            return False
        if key == "explicit" and any(f.concept == "opening" for f in view.in_reach(unit)) is not bool(value):
            return False
        if key == "scoped" and unit.kind == "class" and bool(_class_limits(view, unit)) is bool(value):
            continue
        if key in ("single", "bulk", "scoped", "owned", "dynamic", "tainted") and bool(getattr(fact, key)) is not bool(value):
            return False
        if key == "also" and not any(f.concept in str(value).split("|") and f.phi >= fact.phi for f in own_and_helpers(view.analysis, unit)):
            return False
        if key == "text" and not glob(str(value)).matches(fact.text if fact.text else fact.call):
            return False
    return True


def _class_limits(view: View, unit: Unit) -> bool:
    """Whether a generic view's get_queryset limits the rows, to a tenant or to the caller."""
    for child in unit.children:
        if child.name in ("get_queryset", "get_object", "filter_queryset"):
            return any(f.scoped or f.owned for f in own_and_helpers(view.analysis, child)) or not view.analysis.own(child).facts
    return any(f.scoped or f.owned for f in view.analysis.own(unit).facts)


def _is_resource(fact: Fact, value: str, view: View, unit: Unit) -> bool:
    if value == "any":
        return True
    if value == "phi":
        if fact.concept == "opening":
            return any(f.phi for member in (unit, *unit.children) for f in own_and_helpers(view.analysis, member))
        return fact.phi or (not fact.resource and fact.concept in ("audit-off", "trail") and _touches_phi(view, unit))
    if value == "tenant":
        said = view.analysis.lexicon.tenant_resource(fact.resource)
        if said is not None:
            return said
        if not fact.resource or view.analysis.lexicon.tenant_key(fact.resource) or fact.resource.lower() in _GLOBAL:
            return False
        return fact.phi or view.analysis.lexicon.tenant_configured or view.analysis.shows_tenant
    return glob(value).matches(fact.resource)


def _touches_phi(view: View, unit: Unit) -> bool:
    return any(f.phi for f in view.in_reach(unit)) or any(f.phi for own in view.analysis.units.values() for f in own.facts)


# -- present, flow, input, match -----------------------------------------------------------------------------------


def _present(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    for unit in [u for u in view.analysis.module.units if id(u) in view.analysis.units]:
        if check.where == "endpoint" and id(unit) not in view.analysis.endpoints:
            in_endpoint_class = unit.kind == "class" and any(id(c) in view.analysis.endpoints for c in unit.children)
            if not in_endpoint_class:
                continue
        if _silenced(policy, check, view, unit):
            continue
        for fact in view.analysis.own(unit).facts:
            if fact.concept in check.concepts and _passes(fact, check, view, unit) and not any(f.concept in check.unless for f in view.in_reach(unit)):
                yield _claim(policy, check, view, unit, fact=fact, identity=_identity(fact))


def _flow(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    for own in view.analysis.units.values():
        for fact in own.facts:
            if fact.concept not in check.sinks or not fact.labels:
                continue
            shown = sorted({name for kind, name in fact.labels if kind in check.sources})
            if shown:
                yield _claim(policy, check, view, own.unit, fact=fact, identity=f"{fact.call}<-{','.join(shown)}", value=", ".join(shown[:4]))


def _input(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    """A tenant key that the client sends (``request.data["org_id"]``, ``const { orgId } = req.body``)."""
    for unit in _units(check.where, view.analysis):
        if _silenced(policy, check, view, unit) or any(f.concept in check.unless for f in view.in_reach(unit)):
            continue
        said: set[str] = set()
        for expr in view.analysis.own(unit).tenant_inputs:
            value = " ".join(view.analysis.module.source[expr.start : expr.end].split())[:80]
            key = re.sub(r"\W+", " ", value).split()[-1:] or [value]
            if key[0] in said:
                continue
            said.add(key[0])
            fact = Fact("request", unit, expr.start, expr.end, expr.line, expr.end_line, value)
            yield _claim(policy, check, view, unit, fact=fact, identity=value, value=value)


def _match(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    module = view.analysis.module
    if module.language != ("typescript" if check.language == "tsx" else check.language):
        return
    text_filter = dict(check.when).get("text")  # which files the rule is for: parsing again costs
    if text_filter is not None and not glob(str(text_filter)).matches(module.source):
        return
    from agentreview.syntax.match import find

    for first, last, found in find(module.source, check.language, json.loads(check.rule)):
        unit = max((u for u in module.units if u.line <= first <= u.end_line), key=lambda u: (u.line, -u.end_line), default=module.root)
        flat = " ".join(found.split())[:120]
        fact = Fact("match", unit, 0, 0, first, last, flat)
        yield _claim(policy, check, view, unit, fact=fact, identity=flat)


# -- swallow -------------------------------------------------------------------------------------------------------


def _swallow(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    if "audit" in check.concepts and view.facts.audit.delivery == "outbox":
        check = replace(check, concepts=tuple(c for c in check.concepts if c != "audit"))
    for own in list(view.analysis.units.values()):
        if not (own.tries or own.catches or own.suppressed):
            continue
        refusals = {f.start for f in own.facts if f.concept in ("deny", "raise")}  # return 403 is an answer, not a check that can fail
        held = [f for f in own_and_helpers(view.analysis, own.unit) if f.concept in check.concepts and f.start not in refusals]
        for stmt in own.tries:
            guard = _inside(held, stmt.body)
            for handler in stmt.handlers if guard is not None else ():
                if guard is not None and _falls_open(stmt, handler, view, own.unit, guard):
                    # An audit write among much other work: what fails may be the work, which then did not happen either.
                    hit = Hit.SUSPECT if guard.concept == "audit" and len(list(statements(stmt.body))) > 4 else check.hit
                    yield _claim(policy, check, view, own.unit, fact=guard, identity=f"swallow:{guard.call}", at=(handler.line, handler.end_line), hit=hit)
        for expr, callback in own.catches:
            guard = next((f for f in held if expr.start <= f.start and f.end <= expr.end), None)
            if guard is not None and not any(s.kind == "raise" for s in statements(callback.body)) and not _denies(view, own.unit, callback.start, callback.end):
                yield _claim(policy, check, view, own.unit, fact=guard, identity=f"swallow:{guard.call}", at=(callback.line, callback.end_line))
        for stmt in own.suppressed:
            guard = _inside(held, stmt.body)
            if guard is not None:
                yield _claim(policy, check, view, own.unit, fact=guard, identity=f"swallow:{guard.call}", at=(stmt.line, stmt.line))


def _inside(facts: Iterable[Fact], body: tuple[Stmt, ...]) -> Fact | None:
    if not body:
        return None
    start, end = body[0].start, body[-1].end
    return next((f for f in facts if start <= f.start and f.end <= end), None)


def _denies(view: View, unit: Unit, start: int, end: int) -> bool:
    return any(f.concept in ("deny", "raise") and start <= f.start < end for f in own_and_helpers(view.analysis, unit))


def _falls_open(tried: Stmt, handler: Handler, view: View, unit: Unit, guard: Fact) -> bool:
    """Whether a failing check leaves the code running as if it had passed."""
    if guard.concept == "audit" and guard.via:
        return False  # the try is about the work that audits, not about the audit call
    returns = False
    for stmt in statements(handler.body):
        if stmt.kind == "raise":
            return False
        if stmt.kind == "return":
            if stmt.value is not None and stmt.value.kind == "const" and stmt.value.name in ("True", "true"):
                return True
            returns = True
        if stmt.kind == "other" and stmt.op in ("continue", "break"):
            returns = True
        if stmt.kind == "assign" and guard.concept != "audit":
            return False  # the outcome is kept in a variable: whoever reads it decides
        if stmt.value is not None and text(view.analysis.module, stmt.value).startswith(("sys.exit", "process.exit", "abort(", "next(e", "reject(", "done(e", "cb(e")):
            return False
    if returns or _denies(view, unit, handler.start, handler.end):
        return False
    return guard.concept == "audit" or _reached_unchecked(tried, view, unit, guard)


def _reached_unchecked(tried: Stmt, view: View, unit: Unit, guard: Fact) -> bool:
    """Whether guarded code runs after the handler: work inside the try is skipped with the check that failed."""
    at = next((n for n, s in enumerate(tried.body) if s.start <= guard.start < s.end), len(tried.body))
    holder = tried.body[at] if at < len(tried.body) else None
    if holder is not None and (holder.kind == "return" or (holder.kind == "assign" and all(t.kind in ("name", "list", "dict") for t in holder.targets))):
        return False  # what follows is the failure's path, or the outcome is in a variable that the code looks at
    if tried.orelse or any(s.kind != "assign" for s in tried.body[at + 1 :]):
        return False
    rest = _rest(unit.body, tried)
    if not rest:
        return True  # the whole function is the check, or a callback
    first = rest[0]
    refuses = first.kind == "raise" or (first.kind == "return" and (first.value is None or first.value.name in ("False", "false", "None", "null", "undefined")))
    return not refuses and not (first.kind == "return" and _denies(view, unit, first.start, first.end))


def _rest(body: tuple[Stmt, ...], wanted: Stmt) -> tuple[Stmt, ...] | None:
    """Statements that run after one of the body's, nested blocks included; the next round of a loop is not followed."""
    for at, stmt in enumerate(body):
        if stmt is wanted:
            return body[at + 1 :]
        for block in (stmt.body, stmt.orelse, stmt.final, *(h.body for h in stmt.handlers)):
            found = _rest(block, wanted)
            if found is not None:
                return found if stmt.kind in ("for", "while") and found else found + body[at + 1 :]
    return None


# -- claims --------------------------------------------------------------------------------------------------------


def _identity(fact: Fact) -> str:
    return f"{fact.concept}:{fact.call}"


def _claim(
    policy: Policy, check: Check, view: View, unit: Unit, *, identity: str, fact: Fact | None = None, line: int = 0, hit: Hit | None = None,
    others: Iterable[Fact] = (), value: str = "", at: tuple[int, int] | None = None,
) -> Claim:  # fmt: skip
    start = at[0] if at else fact.line if fact else line
    end = at[1] if at else min(fact.end_line, fact.line + 15) if fact else line
    names = {
        "unit": _unit_name(unit), "resource": (fact.resource if fact else "") or "the record", "call": fact.call if fact else unit.name,
        "value": value, "line": str(start), "tenant": view.facts.tenant.key or "the tenant key",
    }  # fmt: skip
    evidence = [Evidence(path=view.analysis.path, line=f.line, shows=f"also {f.concept} of {f.resource or f.call}", quote=view.quote(f.line).strip()) for f in list(others)[:3]]
    if fact is not None and fact.via:
        evidence.insert(0, Evidence(path=view.analysis.path, line=fact.line, shows=f"through {fact.via}", quote=view.quote(fact.line).strip()))
    if at is not None and fact is not None:
        evidence.insert(0, Evidence(path=view.analysis.path, line=fact.line, shows="the call whose failure is swallowed", quote=view.quote(fact.line).strip()))
    used = hit or check.hit
    return Claim(
        rule=policy.id, path=view.analysis.path, unit=unit.qualname, start_line=start, end_line=max(start, end), quote=view.quote(start), identity=identity,
        message=fill(check.message or policy.rule.title, names), fix=fill(check.fix or policy.rule.fix, names), hit=used, evidence=tuple(evidence),
        needs=tuple(n for n in policy.needs if not is_set(view.facts, n)) if used is Hit.SUSPECT else (),
        confirmed=view.facts.confirmed and all(is_set(view.facts, n) for n in policy.needs),
    )  # fmt: skip


def _unit_name(unit: Unit) -> str:
    return "this module" if unit.kind == "module" else unit.qualname


def fill(template: str, names: dict[str, str]) -> str:
    """Replace ``{name}`` placeholders; anything else in braces stays as it is (examples of code hold braces)."""
    for name, value in names.items():
        template = template.replace("{" + name + "}", value)
    return template


def is_set(facts: Facts, dotted: str) -> bool:
    """Whether ``phi.models`` and the like is set in the configuration."""
    value: object = facts
    for part in dotted.split("."):
        value = getattr(value, part, None)
    return bool(value)


_FORMS: dict[str, Callable[[Policy, Check, View], Iterator[Claim]]] = {
    "require": _require,
    "present": _present,
    "flow": _flow,
    "swallow": _swallow,
    "input": _input,
    "match": _match,
}
