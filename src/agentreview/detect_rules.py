"""What detection looks for, as tables: names of packages, and patterns, each of which sees one cut line at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .detect_models import Lines
from .vocabulary import words

SOURCE_SUFFIXES = (".py", ".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".prisma", ".sql")
DEPENDENCY_FILES = frozenset({"pyproject.toml", "setup.cfg", "Pipfile", "package.json"})
SKIPPED_DIRECTORIES = frozenset(
    {"node_modules", "vendor", "dist", "build", ".venv", "venv", ".git", "site-packages", "__pycache__", ".next"}
)
DEPENDENCY_NAME = (
    re.compile(r"(?:^|[\"'])\s*([A-Za-z0-9][\w.-]{0,60})\s*(?:\[[\w,-]{0,60}\])?\s*(?=[<>=~!;,\"'@]|$)"),
    re.compile(r"^\s*\"([@\w./-]{1,80})\"\s*:\s*\""),
)
"""Dependency names on a line of a Python file, and of ``package.json``."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _table(fact: str, **names: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """Map packages to (fact, value); the value of a library to decide about is the package itself."""
    own = fact.endswith("libraries")
    return {
        package: ((fact, package if own else value),)
        for value, packages in names.items()
        for package in packages.split()
    }


FRAMEWORKS: dict[str, tuple[tuple[str, str], ...]] = {
    **_table(
        "frameworks",
        django="django",
        drf="djangorestframework rest-framework",
        fastapi="fastapi",
        flask="flask",
        sqlalchemy="sqlalchemy sqlmodel flask-sqlalchemy",
        celery="celery",
        express="express",
        nestjs="@nestjs/core @nestjs/common",
        nextjs="next",
        prisma="prisma @prisma/client",
        typeorm="typeorm @nestjs/typeorm",
        sequelize="sequelize",
        mongoose="mongoose",
        trpc="@trpc/server",
        graphql="@apollo/server graphql-yoga type-graphql graphene graphene-django strawberry-graphql ariadne",
        fastify="fastify",
        hono="hono",
        koa="koa @koa/router koa-router",
        queues="bullmq bull agenda pg-boss inngest dramatiq rq huey arq",
        drizzle="drizzle-orm knex kysely",
        supabase="@supabase/supabase-js",
        litestar="litestar",
        aiohttp="aiohttp",
        sanic="sanic",
        tornado="tornado",
        tortoise="tortoise-orm peewee",
        mongodb="mongodb pymongo motor mongoengine beanie",
    ),
    **_table("tests.synthetic_markers", faker="faker @faker-js/faker", synthea="synthea", factory="factory-boy"),
}
"""Package or module name to the fact it shows."""

LIBRARIES: dict[str, tuple[tuple[str, str], ...]] = {
    **_table(
        "libraries",
        audit="django-auditlog django-simple-history django-pghistory django-easy-audit django-reversion pgtrigger "
        "sqlalchemy-continuum postgresql-audit audited paper-trail typeorm-auditing nestjs-audit",
    ),
    **_table(
        "egress.libraries",
        egress="sentry-sdk @sentry/node @sentry/nextjs openai anthropic @anthropic-ai/sdk langchain posthog "
        "posthog-node mixpanel segment-analytics-python @segment/analytics-node "
        "twilio sendgrid datadog rollbar bugsnag slack-sdk",
    ),
}
"""Dependencies a person should decide about: audit trails, and what sends data outside."""

TEST_PATHS = (
    "**/tests/**",
    "**/test/**",
    "**/__tests__/**",
    "**/e2e/**",
    "test_*.py",
    "*_test.py",
    "*.spec.ts",
    "*.test.ts",
    "*.test.tsx",
    "*.spec.js",
    "*.test.js",
    "conftest.py",
)

_LISTED = r"([\w., ]{1,200})"
_AUDIT_NAME = r"(\w*(?:[Aa]udit|[Pp]hi_?[Aa]ccess|[Aa]ccess_?[Ll]og)\w*)"
NAMES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("audit.decorators", re.compile(r"^\s*@(?:\w+\.)?" + _AUDIT_NAME)),
    ("audit.bases", re.compile(r"^\s*(?:export )?class \w+\s*\((?:[^)]*?[ ,.(])?" + _AUDIT_NAME + r"\s*[,)]")),
    ("audit.bases", re.compile(r"^\s*(?:export )?(?:abstract )?class \w+ extends " + _AUDIT_NAME)),
    (
        "tenant.scoped_by",
        re.compile(r"^class (\w*(?:Tenant|Org|Facility|Clinic|Scoped)\w*)\([\w.]*(?:Manager|QuerySet)\b"),
    ),
    ("tenant.scoped_by", re.compile(r"^\s*(?:async )?(?:def|function) (for_?(?:tenant|org|facility|clinic)\w*)", re.I)),
    (
        "access.decorators",
        re.compile(r"^\s*@(?:\w+\.)?(\w*(?:login_required|permission_required|requires?_\w+|Roles))\b"),
    ),
    ("access.guards", re.compile(r"\bpermission_classes\s*=\s*[\[(]\s*" + _LISTED)),
    ("access.guards", re.compile(r"@UseGuards\(" + _LISTED)),
    ("access.guards", re.compile(r"\b(?:Depends|Security)\(\s*((?:\w+\.)?(?:get_)?(?:current|require|auth)\w*)")),
    (
        "access.guards",
        re.compile(r"\.(?:get|post|put|patch|delete|use)\(.{0,80}?\b(require\w+|authenticate\w*|ensure\w+)"),
    ),
    ("access.public_markers", re.compile(r"^\s*(@(?:\w*[Pp]ublic\w*|SkipAuth\w*|AllowAnonymous|allow_anonymous))\b")),
    (
        "access.object_checks",
        re.compile(
            r"\b(has_\w*perm\w*|check_\w*(?:perm|access|owner|member)\w*|can_[a-z]\w+|can[A-Z](?:ccess|iew|dit)\w*"
            r"|authorize\w*|assertCan\w*|require_(?:role|scope|access|member)\w*|get_\w+_queryset"
            r"|build\w*WhereQuery|get\w*WhereInput)\s*\("
        ),
    ),
    ("egress.redactors", re.compile(r"\b((?:redact|scrub|de_?identify|anonymi[sz]e|mask_?(?:phi|pii|ssn))\w*)\s*\(")),
)
"""Facts that are names on one line: the group is the value, or several separated by commas.

Bases that end in Model are left out: AuditModel is the usual name for created_at and updated_at columns.
"""

ISOLATION: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("rls", re.compile(r"ENABLE ROW LEVEL SECURITY|CREATE POLICY \w|current_setting\(\s*'app\.", re.I)),
    ("schema", re.compile(r"\bdjango_tenants\b|\bTenantMixin\b|\bschema_context\(|SET search_path", re.I)),
)

TENANT_WORDS = _names(
    "tenant org organization organisation facility clinic practice hospital site team workspace company account "
    "customer business institution"
)
NOT_TENANT = _names(
    "user owner author creator parent actor session role status type content request external object uuid stripe"
)

AUDIT_CALLS = re.compile(r"(?<![\w.@])((?:\w{1,60}\.){0,4}\w{1,60})\s*\(")
_READS = _names("filter all get first last find one many unique list count exists query select values order exclude")
_RECORDS = frozenset({"event", "log", "entry", "record", "trail"})
_DEFINES = re.compile(
    r"^\s*(?:(?:export|async|default|public|private|static) )*(?:def|class|function|interface|import|from)\b"
)

_TENANT_SOURCE = re.compile(
    r"\b((?:request\.user|request\.auth|request|req\.auth|req\.user|req\.session|req|current_user|ctx\.user|ctx)"
    r"\.[A-Za-z_]\w{1,40})\b(?!\()"
)


def audit_call(callee: str, text: str) -> str:
    """Return the name to list for a call that writes an audit event, or nothing: reads and definitions do not."""
    if "audit" not in callee.lower() and "phi_access" not in callee.lower() and "phiaccess" not in callee.lower():
        return ""
    name = callee.removeprefix("self.").removeprefix("this.").removeprefix("await.")
    last = words(name.rpartition(".")[2])
    if _DEFINES.match(text) or not last or not _READS.isdisjoint(last) or last[-1] == "register":
        return ""
    own = name.rpartition(".")[2]
    if own[:1].isupper() and last[-1] not in _RECORDS:
        return ""  # a class that is no record: AuditSerializer(), AuditModule()
    return name


def tenant_source(text: str) -> Iterator[str]:
    """Expressions that hold something of the caller: ``request.user.org``. Filtered by the key once it is known."""
    if "req" in text or "ctx" in text or "current_user" in text:
        yield from _TENANT_SOURCE.findall(text)


_FASTAPI_DENY = re.compile(r"\bFastAPI\([^()]*dependencies\s*=\s*\[.*(?:Depends|Security)\(")
_APP_USE_AUTH = re.compile(
    r"^\s*app\.use\(\s*(?:\w+\.)?(?:\w*[aA]uthenticat\w*|require[A-Z_]\w*|passport\.authenticate|\w*[aA]uth(?:Guard|Middleware)?)\b"
)


_DEFAULT_WORDS = ("DEFAULT_PERMISSION_CLASSES", "LoginRequiredMiddleware", "APP_GUARD", "app.use(", "FastAPI(")


def access_default(lines: Lines, at: int) -> str:
    """Say what line ``at``, with a few after it, makes the default for every endpoint: deny, allow, or nothing."""
    text = lines[at][1]
    if not any(word in text for word in _DEFAULT_WORDS):
        return ""
    block = " ".join(line for _, line in lines[at : at + 6])
    if "DEFAULT_PERMISSION_CLASSES" in text:
        return "allow" if "AllowAny" in block else "deny" if re.search(r"Is\w+|\w*Permission\w*s?\b", block) else ""
    if "LoginRequiredMiddleware" in text and "import" not in text:
        return "deny"
    if re.search(r"provide:\s*APP_GUARD", text) or _APP_USE_AUTH.match(text):
        return "deny"
    if "FastAPI(" in text and _FASTAPI_DENY.search(block.partition(")]")[0]):
        return "deny"
    return ""


_REGISTER = re.compile(r"\b(?:auditlog|simple_history)\.register\(\s*([A-Z]\w*)")
# What records every model of a project by itself. Reversion is not among them: it records inside of a revision only.
_EVERYTHING = {
    "signals": re.compile(r"[\"']easyaudit[\"']|^\s*AUDITLOG_INCLUDE_ALL_MODELS\s*=\s*True"),
    "triggers": re.compile(r"\bversioning_manager\.init\("),
}
_RECEIVER = re.compile(r"@receiver\(.*\b(?:post|pre)_(?:save|delete)\b")
_SENDER = re.compile(r"sender\s*=\s*[\"']?([\w.]+)")
_LISTENS = re.compile(r"listens_for\(\s*([\w.]+)\s*,\s*[\"'](?:after|before)_(?:insert|update|delete|flush)")
_SUBSCRIBER = re.compile(r"\bEntitySubscriberInterface(?:<\s*(\w+)\s*>)?")
_TRIGGER = re.compile(r"CREATE (?:OR REPLACE )?TRIGGER\s+(\S{1,80})", re.I)
_TRIGGER_ON = re.compile(r"\bON\s+[\"`]?(?:\w+\.)?[\"`]?(\w+)", re.I)
_CLASS = re.compile(r"^\s*class (?:\w+::)*(\w+)")
_RUBY_TRAIL = re.compile(r"^\s+(?:has_paper_trail|audited|acts_as_audited|has_logidze|track_history)\b(?!\s*=)")


_JAVA_TYPE = re.compile(r"^\s*(?:(?:public|abstract|final|sealed|static)\s+)*(?:class|record|interface)\s+(\w+)")
_JAVA_TRAIL = re.compile(
    r"^\s*@(?:Audited\b|JaversSpringDataAuditable\b|JaversAuditable\b|EntityListeners\(.*[Aa]udit(?!ingEntity))"
)
_ROWS_OF = re.compile(r"\b(?:extends|implements)\s+\w*(?:Repository|Dao)\w*<\s*(\w+)")


def _java_trails(lines: Lines) -> Iterator[tuple[str, str, int, str]]:
    """Envers and listeners on an entity, JaVers on its repository. They see what goes through the persistence context."""
    listens = any(word in text for _, text in lines for word in ("hibernate.envers", "javers", "EntityListeners"))
    current, marked = "", False
    for number, text in lines if listens else ():
        marked = marked or _JAVA_TRAIL.match(text) is not None
        head = _JAVA_TYPE.match(text)
        if head:
            rows = _ROWS_OF.search(text)
            current = rows[1] if rows else head[1]
        if marked and current and (head or not text.lstrip().startswith("@")):
            yield "subscriber", current, number, text
            marked = False


def automatic_audit(path: str, lines: Lines) -> Iterator[tuple[str, str, int, str]]:
    """(how, model or nothing for all of them, line, text) for every audit trail that needs no call."""
    if path.endswith(".java"):
        yield from _java_trails(lines)
    audits = "audit" in path.lower() or any("audit" in text.lower() for _, text in lines)
    current = ""
    tracked = ""
    for at, (number, text) in enumerate(lines):
        block = " ".join(line for _, line in lines[at : at + 4])
        head = _CLASS.match(text)
        if head:
            current = head[1]
            if tracked:
                yield tracked, current, number, text
            tracked = ""
        if text.lstrip().startswith("@"):
            tracked = (
                "triggers" if "pghistory.track" in text else "signals" if "@auditlog.register" in text else tracked
            )
        for how, pattern in _EVERYTHING.items():
            if pattern.search(text):
                yield how, "", number, text
        registered = _REGISTER.search(text)
        if registered:
            yield "signals", registered[1], number, text
        if path.endswith(".rb") and current and _RUBY_TRAIL.match(text):
            yield "triggers" if "logidze" in text else "signals", current, number, text
        if ("HistoricalRecords(" in text or "__versioned__ =" in text) and current:
            yield "signals", current, number, text
        if not audits:
            continue
        if _RECEIVER.search(text):
            sender = _SENDER.search(text)
            yield "signals", sender[1].rpartition(".")[2] if sender else "", number, text
        listens = _LISTENS.search(text)
        if listens:
            name = listens[1].rpartition(".")[2]
            yield "signals", "" if name in {"Session", "Mapper", "mapper", "Base"} else name, number, text
        subscriber = _SUBSCRIBER.search(text)
        if subscriber and "import" not in text:
            yield "subscriber", subscriber[1] or "", number, text
        if "$extends(" in text and "query" in block:
            yield "subscriber", "", number, text
        trigger = _TRIGGER.search(text)
        on = _TRIGGER_ON.search(block[block.find(trigger[0]) + len(trigger[0]) :]) if trigger else None
        if trigger and on and "audit" in block.lower():
            yield "triggers", on[1], number, text
