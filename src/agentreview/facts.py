"""What a project tells the tool about itself: the ``[facts.*]`` tables of the configuration, as values.

Standard library only, imports nothing of ours. Everything is optional and empty means *unset*: the built-in
vocabulary and the framework files apply. Names of fields and tables are the names in the configuration file;
:mod:`agentreview.config` derives its schema from these classes, so a field added here is a key there.
"""

from __future__ import annotations

from collections.abc import Iterable

from agentreview.records import dataclass, fields, is_dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PhiFacts:
    """Which names carry protected health information."""

    models: tuple[str, ...] = ()  # added to the built-in ones, never instead of them
    tables: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()  # PHI on any object
    model_fields: tuple[str, ...] = ()  # PHI only on a PHI object
    free_text: tuple[str, ...] = ()  # never safe by masking fields
    not_phi: tuple[str, ...] = ()  # look like PHI and are not
    sensitive: tuple[str, ...] = ()  # models one severity step up
    treatment_paths: tuple[str, ...] = ()  # globs
    derived_fields: tuple[str, ...] = ()  # writes to these alone need no audit event


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomaticAudit:
    """Models whose writes are audited without a call in sight. ``how``: signals, triggers or subscriber."""

    models: tuple[str, ...]
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFacts:
    """How this project writes its audit trail."""

    calls: tuple[str, ...] = ()
    decorators: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    automatic: tuple[AutomaticAudit, ...] = ()
    reads: str = ""  # explicit | middleware | none
    fields: tuple[str, ...] = ()
    delivery: str = ""  # transaction | outbox | async
    layers: tuple[str, ...] = ()  # repositories or services that audit for their callers


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantFacts:
    """How one customer's rows are kept from another's."""

    isolation: str = ""  # row | rls | schema | database | none
    key: str = ""
    aliases: tuple[str, ...] = ()
    models: tuple[str, ...] = ()  # models that carry the key
    sources: tuple[str, ...] = ()  # expressions that hold the caller's verified tenant
    scoped_by: tuple[str, ...] = ()
    global_models: tuple[str, ...] = ()
    unscoped_in: tuple[str, ...] = ()  # globs
    job_base: tuple[str, ...] = ()
    cache_wrappers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessFacts:
    """Who may call what."""

    default: str = ""  # deny | allow: what an endpoint without a word on it does
    evidence: str = ""
    decorators: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    object_checks: tuple[str, ...] = ()
    public_markers: tuple[str, ...] = ()
    tenant_is_enough_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A destination with a contract: what it is called in the code, the contract, what it may receive."""

    match: str
    contract: str = ""
    allows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressFacts:
    """What leaves the system, and what cleans it before."""

    redactors: tuple[str, ...] = ()
    approved: tuple[Approved, ...] = ()
    llm_clients: tuple[str, ...] = ()
    redacted_loggers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionFacts:
    """How long audit rows stay (years; the project's decision, 0 = unset) and where copies live."""

    audit_years: int = 0
    stores: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """The longest sessions the project allows; 0 = unset."""

    idle_minutes: int = 0
    absolute_hours: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFacts:
    """Where tests are (globs), and what marks their data as invented."""

    __test__ = False  # not a test class, whatever its name

    paths: tuple[str, ...] = ()
    synthetic_markers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All of ``[facts]``. Until a person confirmed the facts it rests on, a suspect stays advice.

    ``confirmed_by`` confirms everything; ``confirmed`` parts of it: ``tenant`` or ``tenant.key`` to who checked it.
    ``none`` holds the lists the file states as empty (``automatic = []``): "there is none" is an answer, no gap.
    """

    confirmed_by: str = ""
    confirmed: tuple[tuple[str, str], ...] = ()
    none: tuple[str, ...] = ()  # no key of the file
    frameworks: tuple[str, ...] = ()
    phi: PhiFacts = PhiFacts()
    audit: AuditFacts = AuditFacts()
    tenant: TenantFacts = TenantFacts()
    access: AccessFacts = AccessFacts()
    egress: EgressFacts = EgressFacts()
    retention: RetentionFacts = RetentionFacts()
    session: SessionFacts = SessionFacts()
    tests: TestFacts = TestFacts()

    def get(self, fact: str) -> object:
        """Return the value of ``tenant.key`` and the like; ``None`` for what is no fact."""
        value: object = self
        for part in fact.split("."):
            value = getattr(value, part, None)
        return value

    def is_set(self, fact: str) -> bool:
        """Whether the configuration answers it: with a value, or by saying that there is none."""
        return bool(self.get(fact)) or fact in self.none

    def confirmer(self, fact: str) -> str:
        """Return who put their name under the fact, or nothing."""
        people = dict(self.confirmed)
        section = fact.partition(".")[0]
        return people.get(fact) or people.get(section) or self.confirmed_by.strip()

    def settle(self, needs: Iterable[str]) -> bool:
        """Whether what rests on these facts is certain: each is set, and a person confirmed it.

        What names no fact rests on the project as a whole, so only ``confirmed_by`` settles it.
        """
        wanted = tuple(needs)
        if not wanted:
            return bool(self.confirmed_by.strip())
        return all(self.is_set(fact) and self.confirmer(fact) for fact in wanted)


CHOICES: dict[str, tuple[str, ...]] = {
    "audit.reads": ("explicit", "middleware", "none"),
    "audit.delivery": ("transaction", "outbox", "async"),
    "audit.automatic.how": ("signals", "triggers", "subscriber"),
    "tenant.isolation": ("row", "rls", "schema", "database", "none"),
    "access.default": ("deny", "allow"),
}
"""The closed lists: ``table.key`` below ``[facts]`` to its values; the empty string (unset) is allowed too."""

GLOBS: frozenset[str] = frozenset({"phi.treatment_paths", "tenant.unscoped_in", "tests.paths"})
"""The facts that are path globs (see :mod:`agentreview.globs`); every other string is a name or plain text."""

SECTIONS: dict[str, tuple[str, ...]] = {
    one.name: tuple(key.name for key in fields(one.default)) for one in fields(Facts) if is_dataclass(one.default)
}
"""The tables below ``[facts]``, each with its keys, in the order of the file."""

KEYS: tuple[str, ...] = ("frameworks", *(f"{section}.{key}" for section, keys in SECTIONS.items() for key in keys))
"""Every fact by its dotted name."""
