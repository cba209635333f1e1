"""Which project facts change what a policy says, read off the policy's own data: its concepts, filters and forms.

``needs`` are the facts a policy names itself: a suspect asks until they are set and confirmed. What is listed here is
more: whatever the engine looks up on the way. Not on the hook path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agentreview.policies.load import Check, Policy

WITHOUT_EFFECT: Mapping[str, str] = {
    "frameworks": "frameworks are recognised by what a file imports",
    "audit.fields": "for a reader",
    "access.evidence": "for a reader",
    "retention.audit_years": "for a reader",
}
"""Facts that no policy looks at in this version, and why they can be written down all the same."""

_PHI = ("phi.models", "phi.tables", "phi.not_phi")
_PHI_FIELDS = (*_PHI, "phi.fields", "phi.model_fields", "phi.free_text")
_TENANT_NAMES = ("tenant.key", "tenant.aliases")
_TENANT_TABLES = (*_TENANT_NAMES, "tenant.models", "tenant.global_models")
_SCOPED = (*_TENANT_NAMES, "tenant.sources")

_CONCEPTS: Mapping[str, tuple[str, ...]] = {
    "audit": ("audit.calls", "audit.decorators", "audit.bases", "audit.layers"),
    "authn": ("access.decorators", "access.guards"),
    "opening": ("access.public_markers",),
    "object-check": ("access.object_checks",),
    "scope": ("tenant.scoped_by",),
    "redact": ("egress.redactors",),
    "send": ("egress.approved",),
    "prompt": ("egress.approved", "egress.llm_clients"),
    "log": ("egress.redacted_loggers",),
    "cache": ("tenant.cache_wrappers",),
}
"""What the project's own names stand for, and where values may go."""

_FILTERS: Mapping[tuple[str, object], tuple[str, ...]] = {
    ("resource", "phi"): (*_PHI, "phi.sensitive"),
    ("resource", "record"): (*_PHI, "phi.sensitive"),
    ("resource", "tenant"): (*_TENANT_TABLES, *_PHI, "phi.sensitive"),
    ("scoped", False): _SCOPED,
    ("scoped", True): _SCOPED,
    ("tenant-column", True): _TENANT_NAMES,
    ("single", True): ("access.tenant_is_enough_for",),
}

_FORMS: Mapping[str, tuple[str, ...]] = {
    "input": _SCOPED,
    "unique": ("tenant.isolation", *_TENANT_NAMES, "tenant.global_models"),
    "job": (*_TENANT_TABLES, "tenant.job_base", *_PHI),
    "memo": (*_TENANT_TABLES, *_PHI),
    "grown": ("session.idle_minutes", "session.absolute_hours"),
    "plain-column": _PHI_FIELDS,
    "fixture": ("tests.paths", "tests.synthetic_markers"),
    "weakened": ("tests.paths",),
    "untested": ("tests.paths",),
}


def uses(policy: Policy) -> frozenset[str]:
    """Facts that can change what this policy says, those it needs included."""
    found = {*policy.needs, *(fact for check in policy.checks for fact in _of_check(check))}
    if "tests" in policy.skip:
        found.add("tests.paths")
    if policy.id.startswith("tenancy."):
        found |= {"tenant.isolation", "tenant.unscoped_in"}
    if policy.id == "hipaa.minimum-necessary":
        found.add("phi.treatment_paths")
    return frozenset(found)


def _of_check(check: Check) -> Iterator[str]:
    for concept in {*check.concepts, *check.require, *check.unless, *check.sinks}:
        yield from _CONCEPTS.get(concept, ())
    for key, value in check.when:
        yield from _FILTERS.get((key, value), ())
    if any(source.startswith("phi-") for source in check.sources):
        yield from _PHI_FIELDS
    yield from _FORMS.get(check.form, ())
    if "audit" in check.require:
        yield from ("audit.automatic", "audit.reads", "phi.derived_fields")
    if "authn" in check.require or (check.form == "removed" and "authn" in check.concepts):
        yield "access.default"
    if check.form == "swallow" and "audit" in check.concepts:
        yield "audit.delivery"
