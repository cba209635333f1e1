"""The first ``agentreview.toml``, written from what detection found: every setting, explained, with its evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentreview.facts import CHOICES
from agentreview.tomledit import quoted

if TYPE_CHECKING:
    from agentreview.detect.values import Detection, Found

_HEAD = """\
# agentreview configuration. Every setting is optional; what is commented out is an example.
# A change to this file is itself reported, so that the gate cannot be loosened unseen.

# block_at = "high"            # low | medium | high | critical: the mildest finding that blocks
# exclude = ["vendor/"]        # globs from the root: * ? ** and a trailing / for a directory

[packs]
# hipaa = "on"                 # on | advisory | off

[policies]
# "hipaa.phi-in-logs" = "advisory"    # a policy's own setting beats its pack's

[limits]
# max_file_bytes = 1048576     # larger files are listed as not reviewed, never as clean
# max_lines = 20000
# file_seconds = 5.0

[waivers]
# max_days = 365               # the longest time for which a finding may be accepted
# approvers = ["dana@clinic.example"]    # whose signature settles a new waiver in CI
# on_new = "advise"            # advise | block: what the hooks do with a waiver that the change itself adds

[receipts]
# signing_key = "~/.ssh/id_ed25519"      # default: the ssh key that git signs with
# push = "never"               # never | with-commits: push receipts where commits are pushed

[models]                       # which model each tier of the reviewers is; agentreview ships ids and prices
# provider = "anthropic"       # anthropic | bedrock | vertex
# fast = "claude-haiku-5-5"
# standard = "claude-sonnet-5-5"
# deep = { id = "claude-opus-5-5", input = 4.0, output = 20.0 }    # dollars per million tokens

[reviewers]                    # model reviewers: none runs unless it is named here
# enabled = ["tenant-isolation", "hipaa-compliance"]
# hook_seconds = 25            # 0: a hook only looks answers up
# on_incomplete_hook = "block" # block | warn: a required reviewer that did not finish
# on_incomplete_ci = "block"
# never_send = ["contracts/"]  # what stays on this machine, listed as not reviewed
# refute_tier = "standard"     # fast | standard | deep: who tries to refute what would block
# tokens_per_run = 1000000
# money_per_run = 2.0          # dollars; also per worktree, and per day for all worktrees together
# money_per_worktree = 50.0
# money_per_day = 20.0

[ci]
# require_receipts = "report"  # off | report | any | signed: what CI makes of a commit without a receipt of its review

# ---- Facts about this project -------------------------------------------------------------------------
# Written by detection: a proposal, each value below the place that shows it. Read them, correct them, then put your
# name under all of them (agentreview facts confirm) or under a part (agentreview facts confirm tenant phi.models).
# Confirming says: these names are right, and what is not listed does not count. A list written as [] says that there
# is none. Until then findings that rest on these facts are shown as advice and do not block.
"""

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
"""Every fact: its dotted name, an example, and what it means. A test keeps it complete."""

MEANINGS = {fact: meaning for fact, _, meaning in FACTS}
"""What each fact means, in a few words."""

_TEXT = 100


def render(detection: Detection) -> str:
    """Write the whole file. Whatever was detected is active below its evidence, the rest is a commented example.

    Everything from the repository is untrusted: it is cut, escaped, and either a comment or a quoted string.
    """
    lines = [_HEAD, *(f"# Note: {safe(note, 300)}" for note in detection.notes)]
    if detection.unread:
        lines.append(f"# Note: {detection.unread} files were too large, binary or too many, and were not looked at")
    lines += ["[facts]", 'confirmed_by = ""    # the person who checked all of the facts below']
    table = ""
    for fact, example, meaning in FACTS:
        section, _, key = fact.rpartition(".")
        if section != table:
            lines += ["", f"[facts.{section}]"]
            table = section
        lines.append(f"# {meaning}" if section else f"\n# {meaning}")
        found = list(active(detection, fact, key))
        lines += found or [f"# {key} = {example}"]
    return "\n".join(lines) + "\n"


def active(detection: Detection, fact: str, key: str) -> Iterator[str]:
    """Lines that set a fact under the name ``key``: each value below its evidence, what is in doubt as a comment."""
    found = [one for one in detection.get(fact) if _usable(one.value)]
    sure = [one for one in found if not one.doubt]
    if fact == "access.evidence":
        default = detection.get("access.default")
        if default:
            yield f"{key} = {quoted(safe(f'{default[0].path}:{default[0].line} {default[0].text}', 200))}"
    elif not found:
        return
    elif fact == "audit.automatic":
        yield from _automatic(found, key)
    elif fact == "egress.approved":
        yield from _approved(found, key)
    elif fact in CHOICES or fact in SINGLE:
        for number, one in enumerate(found[:3]):
            yield _evidence(one)
            first = not number and not one.doubt
            value = one.value if one.value.isdecimal() and fact in NUMBERS else quoted(one.value)
            yield f"{'' if first else '# or: ' if sure else '# '}{key} = {value}"
    else:
        yield from _list(sure, key)
        yield from _offered([one for one in found if one.doubt], key)


SINGLE = frozenset({"tenant.key", "session.idle_minutes", "session.absolute_hours", "retention.audit_years"})
NUMBERS = SINGLE - {"tenant.key"}


def _list(found: list[Found], key: str) -> Iterator[str]:
    if found:
        yield f"{key} = ["
        for one in found:
            yield "  " + _evidence(one)
            yield f"  {quoted(one.value)},"
        yield "]"


def _offered(found: list[Found], key: str) -> Iterator[str]:
    """Values in doubt, as a comment: each with its place and what would have to be true."""
    for one in found:
        yield _evidence(one)
    if found:
        yield f"# {key} = [{', '.join(quoted(one.value) for one in found)}]   # {safe(found[0].doubt)}"


def _approved(found: list[Found], key: str) -> Iterator[str]:
    """Destinations, as a comment: nothing in the code can show a contract."""
    for one in found:
        yield _evidence(one)
    yield f"# {key} = ["
    for one in found:
        yield f'#   {{ match = {quoted(one.value)}, contract = "BAA of …", allows = ["ids"] }},'
    yield "# ]"


def _automatic(found: list[Found], key: str) -> Iterator[str]:
    yield f"{key} = ["
    for how in CHOICES["audit.automatic.how"]:
        mine = [one for one in found if one.value.startswith(how + ":")]
        for one in mine:
            yield "  " + _evidence(one)
        if mine:
            models = ", ".join(quoted(one.value.partition(":")[2]) for one in mine)
            yield f'  {{ models = [{models}], how = "{how}" }},'
    yield "]"


def _evidence(found: Found) -> str:
    where = f"{safe(found.path)}:{found.line}" if found.line else safe(found.path)
    times = f" (seen {found.count} times)" if found.count > 1 else ""
    return f"# {where} {safe(found.text)}".rstrip() + times


def _usable(value: str) -> bool:
    return bool(value.strip()) and len(value) <= 200 and value.isprintable()


def safe(text: str, limit: int = _TEXT) -> str:
    """Cut untrusted text to one printable line; whatever is invisible or a lone surrogate is escaped."""
    shown = text[:limit] + ("…" if len(text) > limit else "")
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in shown)
