"""Facts that are names on one line, as a table: what to look for, in which files, and a word that must be there first."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.detect.text import AnyOf, any_of
from agentreview.records import dataclass

PY = (".py",)
JS = (".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".mts")
JVM = (".java", ".kt")
GO = (".go",)
RUBY = (".rb",)
SQL = (".sql",)

DEFINES = re.compile(
    r"^\s*(?:(?:export|async|default|public|private|protected|internal|static|final|abstract|override|suspend) )*"
    r"(?:def|class|function|interface|import|from|func|fun|module|type|enum|record|trait)\b"
    r"|^\s*(?:(?:public|private|protected|static|final|abstract|synchronized) )+(?:[\w<>\[\], .?]{1,80} )?\w+\s*\("
)
"""A line that defines or imports a name, instead of using it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One way a fact is spelled. The groups of the pattern are the value, or several separated by commas.

    ``hints`` finds, in lower case, the lines that are looked at. ``calls``: not on lines that define a name.
    """

    fact: str
    pattern: re.Pattern[str]
    hints: AnyOf
    suffixes: tuple[str, ...] = ()
    calls: bool = False

    def values(self, text: str) -> Iterator[str]:
        """Yield the names on a line."""
        if self.calls and DEFINES.match(text):
            return
        for match in self.pattern.finditer(text):
            for group in match.groups():
                for part in (group or "").split(","):
                    value = part.strip(" ()[]'\":").removeprefix("permissions.")
                    if value:
                        yield value


def _rule(fact: str, pattern: str, hints: str, *suffixes: str, flags: int = 0, calls: bool = False) -> Rule:
    return Rule(fact, re.compile(pattern, flags), any_of(hints), suffixes, calls)


_LISTED = r"([\w., ]{1,200})"
_AUDIT = r"(\w{0,40}(?:[Aa]udit|[Pp]hi_?[Aa]ccess|[Aa]ccess_?[Ll]og)\w{0,40})"
_AUDITS = "audit phi_access phiaccess accesslog access_log"
_TENANT = r"(?:tenant|org|organi[sz]ation|facility|clinic|practice|hospital|workspace|team|company)"
_TENANTS = "tenant org facility clinic practice hospital workspace team company"
_TENANT_NAME = r"(?:Tenant|Org(?:ani[sz]ation)?|Facility|Clinic|Practice|Hospital|Workspace|Team|Company)"
_SCOPED = rf"(?:for|with|in|by|scope|scoped)_?(?:current_?)?(?:to_?|by_?)?{_TENANT}"

RULES: tuple[Rule, ...] = (
    # -- audit. Bases that end in Model are the usual name for created_at and updated_at columns.
    _rule("audit.decorators", rf"^\s*@(?:\w+\.)?{_AUDIT}(?<!Aware)\b", _AUDITS, *PY, *JS, *JVM),
    _rule("audit.bases", rf"^\s*class \w+\s*\((?:[^)]*?[ ,.(])?{_AUDIT}(?<!Model)\s*[,)]", _AUDITS, *PY),
    _rule("audit.bases", rf"^\s*(?:export |default |abstract )*class \w+ extends {_AUDIT}(?<!Model)\b", _AUDITS, *JS),
    _rule("audit.bases", rf"\bclass \w+(?:<[^>]*>)? extends (?!\w*(?:Entity|Model)\b){_AUDIT}", _AUDITS, *JVM),
    _rule("audit.bases", rf"^\s*include (?:\w+::)*{_AUDIT}\s*$", _AUDITS, *RUBY),
    # -- tenancy
    _rule("tenant.scoped_by", r"^class (\w*(?:Tenant|Org|Facility|Clinic|Scoped)\w*)\([\w.]*(?:Manager|QuerySet)\b",
          "manager queryset", *PY),
    _rule("tenant.scoped_by", rf"^class (\w*{_TENANT_NAME}(?:Scoped|Filtered|Filter|Aware|Query[Ss]et)\w*|\w*Tenant\w*Mixin)\b",
          "scoped filter aware queryset mixin", *PY),
    _rule("tenant.scoped_by", rf"^\s*(?:async )?def (?:self\.)?({_SCOPED}\w*)", _TENANTS, *PY, *RUBY, flags=re.I),
    _rule("tenant.scoped_by", rf"^\s*(?:export )?(?:async )?(?:function |const |public |static ){{0,3}}({_SCOPED}\w*)\s*(?:=\s*(?:async\s*)?\(|\()[^;]*(?:\{{|=>|\($|,$)",
          _TENANTS, *JS, flags=re.I),
    _rule("tenant.scoped_by", rf"^func (?:\([^)]*\) )?({_SCOPED}\w*|\w*{_TENANT_NAME}Scope)\(", _TENANTS, *GO, flags=re.I),
    _rule("tenant.scoped_by", r"@(TenantScoped|TenantFiltered|CurrentTenantRequired)\b", "tenant", *JVM),
    _rule("tenant.scoped_by", r"^\s*(acts_as_tenant|multi_tenant)\b", "tenant", *RUBY),
    _rule("tenant.scoped_by", rf"^\s*scope :({_SCOPED}\w*)", "scope", *RUBY),
    _rule("tenant.job_base", rf"^\s*(?:export |default |public |abstract )*class ((?:Base|Abstract)?{_TENANT_NAME}(?:Aware|Scoped|Bound|Context|Isolated)?(?:Celery)?(?:Task|Job|Worker|Processor|Consumer)(?:Base|Mixin)?)\b",
          "task job worker processor consumer"),
    _rule("tenant.cache_wrappers",
          rf"^\s*(?:export )?(?:async )?(?:(?:def|class|function|func(?: \([^)]*\))?) |const (?=\w+\s*=\s*(?:async\s*)?\())"
          rf"((?:get_)?{_TENANT}_?\w{{0,12}}cached?(?:_?key)?|cached?_?(?:for|by|per|in)_?{_TENANT})\b", "cache", flags=re.I),
    # -- access
    _rule("access.decorators", r"^\s*@(?:\w+\.)?(\w*(?:login_required|permission_required|requires?_(?:login|auth|perm|role|scope|user|admin|staff|superuser|access|capab|tenant|org|member|clinic)\w*|requires?_\w*permission\w*|Roles)|(?:Require|Requires|Has|Check)(?:Permission|Role|Auth|Scope|Privilege)\w*|PreAuthorize|PostAuthorize|Secured|RolesAllowed|Authorize[ds]?)\b",
          "login_required permission role require auth secured scope privilege", *PY, *JS, *JVM),
    _rule("access.guards", rf"\bpermission_classes\s*=\s*[\[(]\s*{_LISTED}", "permission_classes", *PY),
    _rule("access.guards", r"\b(?:Depends|Security)\(\s*((?:\w+\.)?(?:get_)?(?:current|require|auth)\w*)", "depends( security(", *PY),
    _rule("access.guards", rf"@UseGuards\({_LISTED}", "useguards", *JS),
    _rule("access.guards", r"\.(?:get|post|put|patch|delete|use|all)\(.{0,80}?\b(require[A-Z_]\w+|authenticate\w*|ensure[A-Z_]\w+)",
          "require authenticate ensure", *JS),
    _rule("access.guards", r"\b((?:authenticated|protected|authed|private|admin)\w{0,20}Procedure)\b", "procedure", *JS),
    _rule("access.guards", r"(?:\.(?:Use|With|Wrap)\(|\.(?:Group|Get|GET|Post|POST|Put|PUT|Delete|DELETE|Patch|PATCH|Handle|HandleFunc)\(\s*[\"`]/)"
          r".{0,80}?\b((?:\w+\.)?(?:\w*[aA]uthenticat\w*|\w*[aA]uthoriz\w*|[rR]equire[A-Z]\w*|[aA]uth(?:Required|Middleware|Guard|Token|Session|User)?|[jJ][wW][tT]\w*|[cC]heck(?:Auth|Login|Session)\w*)(?<!Handler))(?:\(|\)|,)",
          "auth require jwt check", *GO),
    _rule("access.guards", r"^\s*before_action :((?:authenticate|authorize)_?\w*[!?]?|require_(?:login|user|admin|auth|oauth|role|permission|scope|signed)\w*[!?]?"
          r"|(?:ensure|check|verify)_(?:logged|signed|admin|auth|permission|access)\w*[!?]?)", "before_action", *RUBY),
    _rule("access.public_markers", r"^\s*(@(?:\w*[Pp]ublic\w*|SkipAuth\w*|AllowAnonymous|allow_anonymous|PermitAll|AnonymousAllowed|NoAuth))\b",
          "public skipauth anonymous permitall noauth", *PY, *JS, *JVM),
    _rule("access.public_markers", r"\b(public\w{0,20}Procedure)\b", "procedure", *JS),
    _rule("access.object_checks",
          r"\b(has_\w*perm\w*|check_\w*(?:perm|access|owner|member)\w*|can_[a-z]\w+|can[A-Z](?:ccess|iew|dit)\w*"
          r"|authorize\w*|assertCan\w*|require_(?:role|scope|access|member)\w*|get_\w+_queryset"
          r"|build\w*WhereQuery|get\w*WhereInput)\s*\(",
          "perm check_ can authorize assert require_ _queryset where", *PY, *JS, calls=True),
    _rule("access.object_checks",
          r"\b((?:[hH]as|[cC]heck|[vV]erify|[aA]ssert|[eE]nsure|[vV]alidate)\w{0,20}(?:Permission|Access|Ownership|Membership|Privilege)\w*"
          r"|(?:[cC]heck|[vV]erify|[aA]ssert|[eE]nsure)\w{0,20}Owner\w*|[cC]an(?:Access|View|Read|Edit|Update|Delete|Manage)\w*"
          r"|[iI]s(?:Owner|Member)(?:Of)?|[aA]uthori[sz]e(?:(?!Http|Requests|Exchange)[A-Z]\w*)?|Enforce)\s*\(",
          "permission access owner membership privilege can ismember authori enforce", *JVM, *GO, calls=True),
    _rule("access.object_checks", r"^\s*(authorize!?|policy_scope)[ (]", "authorize policy_scope", *RUBY),
    _rule("access.object_checks", r"[ (=](policy_scope)\(", "policy_scope", *RUBY),
    # -- what leaves the system
    _rule("egress.redactors", r"\b((?:redact(?!ion|ed)|scrub(?!bed)|de_?identify|anonymi[sz]e|mask_?(?:phi|pii|ssn))\w*)\s*\(",
          "redact scrub identify anonymi mask", *PY, *JS, *JVM, *GO, *RUBY, flags=re.I),
    _rule("egress.llm_clients",
          r"^\s*(?:export )?(?:async )?(?:def|function|const|func(?: \([^)]*\))?) ((?:get|make|create|build|new)?_?\w{0,20}(?:llm|openai|anthropic|bedrock|chat_?model|azure_?ai|vertex_?ai|gemini)\w{0,20})\b",
          "llm openai anthropic bedrock chat azure vertex gemini", *PY, *JS, *GO, flags=re.I),
)  # fmt: skip
"""Every rule."""

ISOLATION: tuple[tuple[str, AnyOf, re.Pattern[str]], ...] = (
    (
        "rls",
        AnyOf("row level security", "create policy", "current_setting("),
        re.compile(r"ENABLE ROW LEVEL SECURITY|CREATE POLICY [\"`]?\w+[\"`]? ON\b|current_setting\(\s*'app\.", re.I),
    ),
    (
        "schema",
        any_of("django_tenants tenantmixin schema_context apartment:: multitenancy multi_tenancy search_path"),
        re.compile(
            r"\bdjango_tenants\b|\bTenantMixin\b|\bschema_context\(|\bApartment::Tenant\b|MultiTenancyStrategy\.SCHEMA"
            r"|multi_?tenancy['\"]?\s*[:=,]\s*['\"]?SCHEMA|SET search_path\s*(?:TO|=)?\s*[\"'`]?\s*(?:%|\{|\$(?!user)|\+|\"\s*\+|#\{)",
            re.I,
        ),
    ),
    (
        "database",
        any_of("multitenan multi_tenan databaserouter dbrouter routingdatasource"),
        re.compile(
            r"MultiTenancyStrategy\.DATABASE|multi_?tenancy['\"]?\s*[:=,]\s*['\"]?DATABASE|class \w*Tenant\w*(?:Database|Db)Router\b"
            r"|class \w*Tenant\w* extends AbstractRoutingDataSource|extends AbstractDataSourceBasedMultiTenant",
            re.I,
        ),
    ),
    (
        "row",
        any_of("@tenantid acts_as_tenant filterdef"),
        re.compile(r"@TenantId\b|^\s*acts_as_tenant\b|@FilterDef\(\s*name\s*=\s*\"\w*tenant", re.I),
    ),
)
"""How tenants are kept apart: the mode, what finds lines to look at (in lower case), and what shows it there."""

_TENANT_SOURCE = re.compile(
    r"\b((?:request\.user|request\.auth|request|req\.auth|req\.user|req\.session|req|current_user|currentUser|"
    r"ctx\.user|ctx\.session\.user|ctx\.session|ctx\.auth|ctx|session\.user|session|principal|claims|user|authUser|Current|\w*TenantContext)"
    r"\.[A-Za-z_]\w{1,40})\b"
)
SOURCE_HINTS = any_of("req. request. ctx. current session. principal. claims. user. tenantcontext")


def tenant_source(text: str) -> Iterator[str]:
    """Expressions that hold something of the caller: ``request.user.org``. Filtered by the key once it is known."""
    yield from (found for found in _TENANT_SOURCE.findall(text) if not found.startswith(("request.get", "req.get")))
