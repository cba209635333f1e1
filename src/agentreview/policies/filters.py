"""Whether a trigger counts: the filters of ``when``, and the places where a policy does not apply."""

from __future__ import annotations

from agentreview.facts import AutomaticAudit, Facts
from agentreview.globs import matches as path_matches
from agentreview.lazyre import lazy
from agentreview.policies.claims import View
from agentreview.policies.derived import only_derived
from agentreview.policies.guards import own_statements
from agentreview.policies.lines import is_trail
from agentreview.policies.load import Check, Policy
from agentreview.policies.paths import path_classes
from agentreview.syntax.facts import Endpoint, Fact
from agentreview.syntax.patterns import glob
from agentreview.syntax.queries import NUMBERS
from agentreview.syntax.reach import own_and_helpers
from agentreview.syntax.tree import Unit, expressions, subexpressions

_MANY = frozenset("filter exclude all where deleteMany destroy delete_all truncate Delete andWhere execute".split())
_READS = frozenset({"read", "generic-read"})


_HANDLERS = glob("*view*|*api*|*handler*|*endpoint*|*controller*|*route*|*resource*")


def ambient(check: Check, view: View) -> bool:
    """A control that is on for the whole project by a fact."""
    return "authn" in check.require and view.facts.access.default == "deny"


def automatic(fact: Fact, check: Check, facts: Facts) -> bool:
    """The trail records this by itself: signals do not fire for bulk calls, triggers do."""
    if "audit" not in check.require:
        return False
    if fact.concept in _READS:
        return facts.audit.reads in ("middleware", "none")
    if only_derived(fact, facts):
        return True
    return any(records(automatic, fact) for automatic in facts.audit.automatic)


def allowed(fact: Fact, facts: Facts) -> bool:
    """Whether the project approved where this goes: a destination with a contract, a model client, a logger that redacts."""
    egress = facts.egress
    names = {
        "send": [one.match for one in egress.approved],
        "overshare": [one.match for one in egress.approved],
        "prompt": [*egress.llm_clients, *(one.match for one in egress.approved)],
        "log": [*egress.redacted_loggers, *(one.match for one in egress.approved)],
        "cache": list(facts.tenant.cache_wrappers),
    }.get(fact.concept, [])
    chain = f".{fact.call}."
    return any(f".{name}." in chain or (name and name in fact.text) for name in names)


def records(trail: AutomaticAudit, fact: Fact) -> bool:
    """Whether a trail that needs no call sees this write: signals and subscribers are not sent for bulk calls."""
    covered = not trail.models or any(fact.resource.lower() in (m.lower(), m.lower() + "s") for m in trail.models)
    return covered and (trail.how == "triggers" or not fact.bulk)


_GLOBAL = frozenset(
    "user users customuser account accounts session sessions permission group contenttype language country currency".split()
)
# Endpoints that are open by nature, by whole words: "*health*" would open health_records, "*ping*" shipping.
_OPEN_FLOW = lazy(
    r"(?:^| )(?:log ?in|log ?out|sign ?in|sign ?out|sign ?up|register|web ?hooks?|callback|password (?:\w+ )?reset|reset (?:\w+ )?password|forgot|"
    r"o ?auth|sso|saml|obtain (?:\w+ )?token|refresh (?:\w+ )?token|token (?:\w+ )?refresh|unsubscribe|opt ?out|captcha|favicon|robots|sitemap|"
    r"open ?api|swagger|well known|auth config|locales|public|static)(?= |$)"
)
_PROBE = lazy(
    r"(?:get )?(?:health(?: ?checks?|z)?|ready|readyz|readiness|alive|alivez|live|livez|liveness|ping|metrics|docs)"
    r"(?: (?:check|probe|status|view|endpoint|handler|controller|route))*"
)
_OPEN_PLACES = glob(
    "* /version|* /api/version|* /status|* /api/status|* /error|token *|* /token|index /|home /|root /|read_root /"
)
_WORDS = lazy(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def excused(check: Check, view: View, unit: Unit, fact: Fact) -> bool:
    """Whether this is the place that may do it, by its own name: the check's ``silent``."""
    names = (unit.qualname, view.analysis.path, fact.resource, fact.call)
    return bool(check.silent) and any(glob(check.silent).matches(name.lower()) for name in names)


def _open_by_nature(unit: Unit, endpoint: Endpoint | None) -> bool:
    path = endpoint.path if endpoint is not None else ""
    named = unit.qualname.split(".")
    if endpoint is not None and endpoint.handler:  # not by the function that registers it
        named = endpoint.handler.split(".")[-1:]
    for part in (*named, *path.split("/")):
        words = " ".join(_WORDS.findall(part)).lower()
        if _OPEN_FLOW.search(words) or _PROBE.fullmatch(words):
            return True
    return _OPEN_PLACES.matches(f"{unit.qualname} {path}".lower())


def silenced(policy: Policy, check: Check, view: View, unit: Unit) -> bool:
    """Places where the policy does not apply by the project's facts or by what the unit is."""
    facts, path = view.facts, view.analysis.path
    if policy.id == "hipaa.minimum-necessary" and path_matches(path, facts.phi.treatment_paths):
        return True  # 45 CFR 164.502(b)(2)(i): treatment
    if policy.id.startswith("tenancy.") and "tainted" not in {k for k, _ in check.when}:
        # Forced row-level security answers a missing predicate; it does not answer who chose the tenant.
        separate = ("schema", "database", "none", "rls") if check.form == "require" else ("schema", "database", "none")
        if facts.tenant.isolation in separate or path_matches(path, facts.tenant.unscoped_in):
            return True
    if "authn" in check.require:
        endpoint = view.analysis.endpoints.get(id(unit))
        # Whatever it is called: what works on health data is not open.
        return _open_by_nature(unit, endpoint) and not any(f.phi for f in view.in_reach(unit))
    return policy.id == "tenancy.raw-sql" and facts.tenant.isolation == "rls"


def passes(fact: Fact, check: Check, view: View, unit: Unit) -> bool:
    """Whether a fact passes every filter of the check's ``when``."""
    if allowed(fact, view.facts) or ("audit" in (*check.require, *check.unless) and only_derived(fact, view.facts)):
        return False
    if "audit" in check.require and fact.concept == "read" and fact.call.rpartition(".")[2] in NUMBERS:
        return False  # a number shows no row
    if "bulk" in dict(check.when) and any(records(trail, fact) for trail in view.facts.audit.automatic):
        return False  # a trail by triggers sees bulk calls
    for key, value in check.when:
        if key == "resource" and not _is_resource(fact, str(value), view, unit):
            return False
        if key == "keyed" and not fact.keyed:
            return False
        if (
            key == "single"
            and fact.resource
            and fact.resource.lower() in {m.lower() for m in view.facts.access.tenant_is_enough_for}
        ):
            return False
        if key == "explicit" and any(f.concept == "opening" for f in view.in_reach(unit)) is not bool(value):
            return False
        if key == "scoped" and unit.kind == "class" and bool(_class_limits(view, unit)) is bool(value):
            continue
        if key == "place" and value not in path_classes(view.analysis.path):
            return False
        if key == "unit" and not glob(str(value)).matches(unit.qualname):
            return False
        if key in ("countable", "single", "bulk", "scoped", "owned", "dynamic", "tainted") and bool(
            getattr(fact, key)
        ) is not bool(value):
            return False
        if key == "trail" and not (fact.phi or is_trail(fact.resource) or is_trail(fact.text)):
            return False
        if key == "many" and (fact.single or not (fact.bulk or _MANY & set(fact.call.split(".")))):
            return False
        if key == "tenant-column" and not view.analysis.lexicon.tenant_key(fact.text):
            return False
        if key == "labelled" and not fact.labels:
            return False
        if key == "also" and not any(
            f.concept in str(value).split("|") and f.phi >= fact.phi for f in own_and_helpers(view.analysis, unit)
        ):
            return False
        if key == "beside" and str(value) not in view.analysis.module.source:
            return False
        if key == "nested" and not _nested(fact, view, unit):
            return False
        if key == "named" and not _NAMED[str(value)].search(" ".join(given_names(fact))):
            return False
        if key == "text" and not glob(str(value)).matches(fact.text if fact.text else fact.call):
            return False
    return True


_ROUTE_ID = lazy(r"[:{<\[](?:\w+:)?(\w+)")
_NO_ID = frozenset("self cls this request req res response args kwargs ctx context format".split())


def _nested(fact: Fact, view: View, unit: Unit) -> bool:
    """Whether the address names a parent and the row, and the row is looked up by its own id and nothing else.

    ``/projects/{project_id}/estimates/{estimate_id}``: a permission asked for the project says nothing about an estimate of
    another one. Silent where the parent is compared with anything afterwards.
    """
    endpoint = view.analysis.endpoints.get(id(unit))
    if not fact.alone or endpoint is None:
        return False
    lexicon = view.analysis.lexicon
    named = _ROUTE_ID.findall(endpoint.path) or [p.name for p in unit.params if p.annotation is None or not p.default]
    ids = {name for name in named if name not in _NO_ID and (lexicon.row_key(name) or lexicon.tenant_key(name))}
    return len(ids) > 1 and not ids & _compared(unit)


def _compared(unit: Unit) -> set[str]:
    out: set[str] = set()
    for stmt in own_statements(unit):
        for expr in expressions(stmt):
            for sub in subexpressions(expr):
                if sub.kind == "bin" and sub.name.strip() in ("==", "!=", "===", "!==", "is", "is not", "in", "not in"):
                    out |= {
                        part.name
                        for item in sub.items
                        for part in subexpressions(item)
                        if part.kind in ("name", "attr")
                    }
    return out


# What a value is for, by the names around it: the function, the variable, the field, the keyword.
_NAMED = {
    "credential": lazy(
        r"(?i)token|secret|passw|passcode|passphrase|\botp|_otp|otp_|verification_?code|reset_?code|invite_?code|confirm\w*_?code|auth\w*_?code|access_?code|access_?key|api_?key|\bpin\b|pin_?code|nonce|\bsalt\b|_salt|csrf|\bstate\b|session_?id|session_?key|signing_?key|share_?(?:key|id|link)|magic_?link|credential|verifier|\bcode_?challenge"
    ),
}


def given_names(fact: Fact) -> list[str]:
    """Names a value is given on its way out of the statement: targets, keywords, keys, the function it is returned from."""
    unit = fact.unit
    out: list[str] = []
    returned = False
    for stmt in own_statements(unit):
        if not stmt.start <= fact.start < stmt.end or stmt.body:
            continue
        out.extend(name for target in stmt.targets for name in (target.name,) if name)
        returned = returned or stmt.kind == "return"
        for expr in expressions(stmt):
            for sub in subexpressions(expr):
                out.extend(a.name for a in sub.args if a.name and a.value.start <= fact.start < a.value.end)
    if returned or not out:
        out.append(unit.name)
        if unit.parent is not None and unit.parent.kind == "class":
            out.append(unit.parent.name)
    return out


def _class_limits(view: View, unit: Unit) -> bool:
    """Whether a generic view's get_queryset limits the rows, to a tenant or to the caller."""
    for child in unit.children:
        if child.name in ("get_queryset", "get_object", "filter_queryset"):
            return (
                any(f.scoped or f.owned for f in own_and_helpers(view.analysis, child))
                or not view.analysis.own(child).facts
            )
    return any(f.scoped or f.owned for f in view.analysis.own(unit).facts)


def _is_resource(fact: Fact, value: str, view: View, unit: Unit) -> bool:
    if value == "any":
        return True
    if value == "phi":
        if fact.concept == "opening":
            return any(f.phi for member in (unit, *unit.children) for f in own_and_helpers(view.analysis, member))
        if fact.concept == "temp-file":
            return _works_on_phi(view, unit)
        return fact.phi or (not fact.resource and fact.concept in ("audit-off", "trail") and _touches_phi(view, unit))
    if value == "tenant":
        return belongs_to_tenant(fact, view)
    return glob(value).matches(fact.resource)


def belongs_to_tenant(fact: Fact, view: View) -> bool:
    """Whether rows of the fact's resource belong to a tenant: as the project says, else where anything here shows a tenant."""
    said = view.analysis.lexicon.tenant_resource(fact.resource)
    if said is not None:
        return said
    if not fact.resource or view.analysis.lexicon.tenant_key(fact.resource) or fact.resource.lower() in _GLOBAL:
        return False
    return fact.phi or view.analysis.lexicon.tenant_configured or view.analysis.shows_tenant


def _works_on_phi(view: View, unit: Unit) -> bool:
    """Whether a unit holds health data: it reads it, is handed it by name, or spells a field of it."""
    lexicon = view.analysis.lexicon
    if any(f.phi or any(kind.startswith("phi-") for kind, _ in f.labels) for f in own_and_helpers(view.analysis, unit)):
        return True
    return any(lexicon.is_person(p.name) or lexicon.phi_variable(p.name) for p in unit.params)


def _touches_phi(view: View, unit: Unit) -> bool:
    return any(f.phi for f in view.in_reach(unit)) or any(
        f.phi for own in view.analysis.units.values() for f in own.facts
    )
