"""What may be set in ``agentreview.toml``: every key, an example of a value, and what it means.

Data alone. Read where a mistake is worded (:mod:`agentreview.checked`), where init writes the first file, where facts
are explained and where the documentation is built. Tests keep it complete, and have the parser agree with the choices.
"""

from __future__ import annotations

SETTINGS: tuple[tuple[str, str, str], ...] = (
    ("block_at", '"high"', "low | medium | high | critical: the mildest finding that blocks"),
    ("exclude", '["vendor/"]', "globs from the root: * ? ** and a trailing / for a directory; listed as not reviewed"),
    ("packs.hipaa", '"on"', "on | advisory | off"),
    ('policies."hipaa.phi-in-logs"', '"advisory"', "on | advisory | off: a policy's own setting beats its pack's"),
    ("limits.max_file_bytes", "1048576", "larger files are listed as not reviewed, never as clean"),
    ("limits.max_lines", "20000", "longer files likewise"),
    ("limits.file_seconds", "5.0", "files that take more seconds of processor time likewise"),
    ("waivers.max_days", "365", "the longest time for which a finding may be accepted"),
    (
        "waivers.approvers",
        '["dana@clinic.example"]',
        "whose signature settles a new waiver in CI; or SHA256:… of a key",
    ),
    ("waivers.on_new", '"advise"', "advise | block: what the hooks do with a waiver that the change itself adds"),
    ("receipts.signing_key", '"~/.ssh/id_ed25519"', "a file, or a public key that an agent holds; default: git's own"),
    ("receipts.push", '"never"', "never | with-commits: push receipts where commits are pushed"),
    ("models.provider", '"anthropic"', "anthropic | bedrock | vertex"),
    ("models.fast", '"claude-haiku-5-5"', "the id of a model, as the provider writes it"),
    ("models.standard", '"claude-sonnet-5-5"', "likewise"),
    (
        "models.deep",
        '{ id = "claude-opus-5-5", input = 4.0, output = 20.0 }',
        "likewise; or with prices, in dollars per million tokens; also cache_read, cache_write, context, max_output",
    ),
    ("reviewers.enabled", '["tenant-isolation", "hipaa-compliance"]', "whom the hooks and CI ask"),
    ("reviewers.hook_seconds", "25", "how long a hook waits; 0: it only looks answers up"),
    ("reviewers.on_incomplete_hook", '"block"', "block | warn: a required reviewer that did not finish"),
    ("reviewers.on_incomplete_ci", '"block"', "block | warn"),
    ("reviewers.never_send", '["contracts/"]', "globs of what stays on this machine, listed as not reviewed"),
    ("reviewers.refute_tier", '"standard"', "fast | standard | deep: who tries to refute what would block"),
    ("reviewers.tokens_per_run", "1000000", "a cap: what does not fit is not sent, and not clean"),
    ("reviewers.money_per_run", "2.0", "dollars, likewise"),
    ("reviewers.money_per_worktree", "50.0", "dollars, for as long as the worktree exists"),
    ("reviewers.money_per_day", "20.0", "dollars, all worktrees of the repository together; days are UTC"),
    ("ci.require_receipts", '"report"', "off | report | any | signed: what CI makes of a commit without a receipt"),
    ("worktree.setup", '[["npm", "ci"]]', "commands as lists of words, run there, as the default branch has them"),
    ("worktree.env_file", '".agentreview.env"', "written there, ignored by git; .env is what compose reads by itself"),
    ("worktree.ports", "{ WEB_PORT = 8000 }", "of the main worktree; each new one has them with its own offset"),
)
"""Every setting that is no fact, in the order of the first file. Of packs and policies one stands for all."""

TABLES = {
    "packs": "what a pack of policies may do, by its name",
    "policies": "what one policy may do, by its id in quotes",
    "models": "which model each tier of the reviewers is; agentreview ships ids and prices",
    "reviewers": "model reviewers: none runs unless it is named here",
    "worktree": "what agentreview worktree add gives a new worktree",
    "facts.phi": "which names carry protected health information",
    "facts.audit": "how this project writes its audit trail",
    "facts.tenant": "how one customer's rows are kept from another's",
    "facts.access": "who may call what",
    "facts.egress": "what leaves the system, and what cleans it before",
    "facts.retention": "how long audit rows stay, and where copies live",
    "facts.session": "the longest sessions the project allows",
    "facts.tests": "where tests are, and what marks their data as invented",
}
"""What a table is about, where its keys do not say it."""

CONFIRMATION = (
    (
        "facts.confirmed_by",
        '"dana@clinic.example"',
        "the person who checked all of the facts; until then suspects stay advice",
    ),
    (
        "facts.confirmed.tenant",
        '"dana@clinic.example"',
        'the same for a section, or for one fact in quotes: "phi.models"',
    ),
)
"""How a person puts a name under the facts: agentreview facts confirm writes it."""

FACTS: tuple[tuple[str, str, str], ...] = (
    (
        "frameworks",
        '["django", "drf"]',
        "what the code is written with: for a reader, since files show it by what they import",
    ),
    ("phi.models", '["Patient", "Encounter"]', "models whose rows are PHI, added to the built-in ones"),
    ("phi.tables", '["patients"]', "their tables, for raw SQL; else derived from the models"),
    ("phi.fields", '["ssn", "mrn"]', "PHI on any object"),
    ("phi.model_fields", '["name", "email"]', "PHI only on a PHI object"),
    ("phi.free_text", '["notes"]', "free text: never safe by masking fields"),
    ("phi.not_phi", '["PatientPortalTheme"]', "names that look like PHI and are not"),
    ("phi.sensitive", '["PsychotherapyNote"]', "models one severity step up"),
    ("phi.treatment_paths", '["apps/chart/**"]', "where treatment needs the whole record: 164.502(b)(2)(i)"),
    ("phi.derived_fields", '["last_seen_at"]', "writes to these alone need no audit event"),
    ("audit.calls", '["audit_log"]', "functions that write an audit event"),
    ("audit.decorators", '["audited"]', "decorators that do"),
    ("audit.bases", '["AuditedAccessMixin"]', "base classes that do"),
    (
        "audit.automatic",
        '[{ models = ["Patient"], how = "signals" }]',
        "signals | triggers | subscriber: needs no call",
    ),
    ("audit.reads", '"explicit"', "explicit | middleware | none: how reads are audited"),
    (
        "audit.fields",
        '["actor", "action", "object_id", "tenant", "outcome"]',
        "what every event must hold: for a reader, no policy looks at it",
    ),
    ("audit.delivery", '"transaction"', "transaction | outbox | async"),
    ("audit.layers", '["PatientRepository"]', "layers that audit for their callers"),
    ("tenant.isolation", '"row"', "row | rls | schema | database | none"),
    ("tenant.key", '"org_id"', "the column that says whose row it is"),
    ("tenant.aliases", '["org", "organization_id"]', "other spellings of it"),
    ("tenant.models", '["Patient", "Invoice"]', "models that carry it"),
    ("tenant.sources", '["request.user.org"]', "where the caller's verified tenant comes from"),
    ("tenant.scoped_by", '["OrgManager", "forTenant"]', "managers and helpers that scope a query"),
    ("tenant.global_models", '["Icd10Code"]', "models shared by all tenants"),
    ("tenant.unscoped_in", '["**/management/commands/**"]', "where queries may cross tenants"),
    ("tenant.job_base", '["TenantTask"]', "background jobs that set the tenant"),
    ("tenant.cache_wrappers", '["tenant_cache"]', "caches that put the tenant into the key"),
    ("access.default", '"deny"', "deny | allow: an endpoint without a word on it"),
    ("access.evidence", '"config/settings.py:36 DEFAULT_PERMISSION_CLASSES"', "where that is said: for a reader"),
    ("access.decorators", '["permission_required"]', "decorators that ask for a permission"),
    ("access.guards", '["IsAuthenticated"]', "permission classes, guards, dependencies, middleware"),
    ("access.object_checks", '["authorize"]', "calls that check one object against the caller"),
    ("access.public_markers", '["@public_endpoint"]', "marks of endpoints that are public on purpose"),
    ("access.tenant_is_enough_for", '["Appointment"]', "models every member of the tenant may see"),
    ("egress.redactors", '["redact"]', "calls whose result is no longer PHI"),
    (
        "egress.approved",
        '[{ match = "sentry_sdk", contract = "BAA 2026-02", allows = ["ids"] }]',
        "who may receive what",
    ),
    ("egress.llm_clients", '["clinical_llm"]', "model clients with a contract and no retention"),
    ("egress.redacted_loggers", '["audit_safe_logger"]', "loggers configured to redact"),
    ("retention.audit_years", "6", "the project's decision, for a reader: the rule sets no period for logs"),
    ("retention.stores", '["db", "search", "cache"]', "where copies live"),
    ("session.idle_minutes", "15", "the longest idle session; the rule names no number"),
    ("session.absolute_hours", "12", "the longest session"),
    ("tests.paths", '["**/tests/**"]', "where test code is"),
    ("tests.synthetic_markers", '["faker"]', "what marks test data as invented"),
)
"""Every fact: its dotted name below ``facts``, an example, and what it means."""

MEANINGS = {fact: meaning for fact, _, meaning in FACTS}
"""What each fact means, in a few words."""


def split(key: str) -> tuple[str, str]:
    """Return the table and the name of a dotted key; the name may be quoted and hold dots itself."""
    table, quote, name = key.partition('."')
    if quote:
        return table, f'"{name}'
    table, _, name = key.rpartition(".")
    return table, name


def written(key: str) -> str:
    """Return a key as it is set, with an example: ``max_lines = 20000``; "" for what is no key."""
    rows = (*SETTINGS, *CONFIRMATION, *((f"facts.{fact}", example, "") for fact, example, _ in FACTS))
    return next((f"{split(name)[1]} = {example}" for name, example, _ in rows if name == key), "")
