"""Rewrites of single lines that are the same everywhere: a switch back on, a mark taken out, a safe call of the same shape."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agentreview.fixes.edits import lines_of, replacing
from agentreview.lazyre import lazy
from agentreview.model import Edit, FileChange, Finding, Replacement
from agentreview.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class Rewrite:
    """``policies`` whose findings it answers, by id or pack; an empty ``into`` for a whole line takes the line out."""

    policies: tuple[str, ...]
    pattern: re.Pattern[str]
    into: str
    note: str


_TLS = ("hipaa.encryption",)
_SCOPE = ("tenancy.isolation-disabled",)
_ON = "switched on"
REWRITES = (
    Rewrite(_TLS, lazy(r"\bverify(\s*[=:]\s*)False\b"), r"verify\1True", "the certificate is checked"),
    Rewrite(_TLS, lazy(r"\brejectUnauthorized(\s*:\s*)false\b"), r"rejectUnauthorized\1true", "the certificate is checked"),
    Rewrite(_TLS, lazy(r"\bInsecureSkipVerify(\s*:\s*)true\b"), r"InsecureSkipVerify\1false", "the certificate is checked"),
    Rewrite(_TLS, lazy(r"\bVERIFY_NONE\b"), "VERIFY_PEER", "the certificate is checked"),
    Rewrite(_TLS, lazy(r"\bsslmode=(?:disable|allow|prefer)\b"), "sslmode=require", "the connection is encrypted"),
    Rewrite(_TLS, lazy(r"\b(sslmode[\"']?\s*[:=]\s*[\"'])(?:disable|allow|prefer)\b"), r"\1require", "the connection is encrypted"),
    Rewrite(_TLS, lazy(r"\b(useSSL|ssl|tls|encrypt)=false\b"), r"\1=true", "the connection is encrypted"),
    Rewrite(_TLS, lazy(r"\b(ssl|tls|secure|encrypt)(\s*:\s*)false\b"), r"\1\2true", "the connection is encrypted"),
    Rewrite(_TLS, lazy(r"\b(\w*(?:SECURE|SSL|TLS)\w*)(\s*=\s*)False\b"), r"\1\2True", _ON),
    Rewrite(_TLS, lazy(r"\b(ssl|use_tls|use_ssl|encrypt)(\s*=\s*)False\b"), r"\1\2True", "the connection is encrypted"),
    Rewrite(_TLS, lazy(r"\b(\w*encrypt\w*)(\s*[=:]\s*)false\b"), r"\1\2true", "stored encrypted"),
    Rewrite(_TLS, lazy(r"\bhttp://(?!localhost|127\.)"), "https://", "spoken to over TLS"),
    Rewrite(_TLS, lazy(r"\bredis://"), "rediss://", "spoken to over TLS"),
    Rewrite(_TLS, lazy(r"(\bminVersion\s*:\s*[\"'])TLSv1(?:\.[01])?(?=[\"'])"), r"\1TLSv1.2", "no version that is broken"),
    Rewrite(_TLS, lazy(r"(NODE_TLS_REJECT_UNAUTHORIZED\s*[=:]\s*[\"']?)0"), r"\g<1>1", "the certificate is checked"),
    Rewrite(_TLS, lazy(r"\.setSSLHostnameVerifier\((?:\w+\.)*NoopHostnameVerifier(?:\.INSTANCE)?\)"), "", "the name in the certificate is checked"),
    Rewrite(("access.csrf-cors",), lazy(r"^\s*@method_decorator\(csrf_exempt\b.*\)\s*$"), "", "cross-site protection stays on"),
    Rewrite(("access.csrf-cors",), lazy(r"([\"']WTF_CSRF_ENABLED[\"']\]?\s*[=:]\s*)False\b"), r"\1True", _ON),
    Rewrite(("access.csrf-cors",), lazy(r"(\bsameSite\s*:\s*[\"'])none(?=[\"'])"), r"\1lax", "the session stays on this site"),
    Rewrite(("access.csrf-cors",), lazy(r"\.csrf\(\s*(\w+)\s*->\s*\1\.disable\(\)\s*\)"), "", "cross-site protection stays on"),
    Rewrite(("access.csrf-cors",), lazy(r"(\ballow_credentials\s*=\s*)True\b"), r"\1False", "to every origin, and without the user's session"),
    Rewrite(("access.csrf-cors",), lazy(r"(\b(?:credentials|AllowCredentials)\s*:\s*)true\b"), r"\1false", "to every origin, and without the user's session"),
    Rewrite(_SCOPE, lazy(r"\.unscoped\(\)|\.unscoped(?=\.)"), "", "within the tenant again"),
    Rewrite(_SCOPE, lazy(r"\.all_objects\b"), ".objects", "within the tenant again"),
    Rewrite(_SCOPE, lazy(r"\bActsAsTenant\.without_tenant\s*\{\s*([^{}|]+?)\s*\}"), r"\1", "within the tenant again"),
    Rewrite(_SCOPE, lazy(r"^.*\bSET (?:LOCAL |SESSION )?row_security\s*(?:=|TO)\s*(?:off|false)\b.*$"), "", "row-level security stays on"),
    Rewrite(_SCOPE, lazy(r"^\s*(?:\w+\.)*(?:set_schema_to_public|disableFilter|disable_filter)\([^()]*\);?\s*$"), "", "within the tenant again"),
    Rewrite(_SCOPE, lazy(r"\bSECURITY DEFINER\b"), "SECURITY INVOKER", "with the caller's rights"),
    Rewrite(_SCOPE, lazy(r"(?<=[\"'])SET (?!LOCAL\b)(?=\w+\.\w+)"), "SET LOCAL ", "for this transaction alone"),
    Rewrite(("hipaa.audit-bypass",), lazy(r"^\s*(?:[\w.]+\.)?skip_history_when_saving\s*=\s*True\s*$|^\s*@NotAudited\s*$"), "", "the audit trail stays on"),
    Rewrite(("hipaa.audit-bypass",), lazy(r"\bSkipHooks(\s*:\s*)true\b"), r"SkipHooks\1false", "the audit trail stays on"),
    Rewrite(("hipaa.phi-in-logs",), lazy(r"\blogging(\s*:\s*)true\b"), r"logging\1false", "statements without their values"),
    Rewrite(("hipaa.phi-in-logs",), lazy(r"([\"']django\.db\.backends[\"'].*[\"']level[\"']\s*:\s*[\"'])DEBUG"), r"\1INFO", "statements without their values"),
    Rewrite(("hipaa.retention-deletion",), lazy(r"\bon_delete(\s*=\s*(?:models\.)?)CASCADE\b"), r"on_delete\1PROTECT", "kept while anything points here"),
    Rewrite(("hipaa.retention-deletion",), lazy(r"\bon_delete=models\.CASCADE\b"), "on_delete=models.PROTECT", "kept while anything points here"),
    Rewrite(("hipaa.retention-deletion",), lazy(r"\bON DELETE CASCADE\b"), "ON DELETE RESTRICT", "kept while anything points here"),
    Rewrite(("hipaa.retention-deletion",), lazy(r"(\bonDelete\s*:\s*[\"'])CASCADE(?=[\"'])"), r"\1RESTRICT", "kept while anything points here"),
    Rewrite(("hipaa.retention-deletion",), lazy(r"\bdependent:\s*:(?:destroy|delete_all|delete)\b"), "dependent: :restrict_with_error", "kept while anything points here"),
    Rewrite(("injection.template",), lazy(r"\bautoescape(\s*:\s*)false\b"), r"autoescape\1true", "what is put into pages is escaped"),
    Rewrite(("injection.template",), lazy(r"\b((?:jinja2\.)?Environment)\((?!.*autoescape)(?=\w)"), r"\1(autoescape=True, ", "what is put into pages is escaped"),
    Rewrite(("injection.template",), lazy(r"\bMarkup\(f([\"'])((?:(?!\1)[^{}\\])*)\{(\w+)\}((?:(?!\1)[^{}\\])*)\1\)"), r"Markup(\1\2{}\4\1).format(\3)", "the value is escaped"),
    Rewrite(("injection.template",), lazy(r"\btemplate\.HTML\(((?:[^()]|\([^()]*\))*)\)"), r"\1", "the value is escaped"),
    Rewrite(("injection.template",), lazy(r"<(\w+)((?:\s[^<>{}]*)?)\s+dangerouslySetInnerHTML=\{\{\s*__html:\s*([\w.]+)\s*\}\}\s*/>"), r"<\1\2>{\3}</\1>", "the value is escaped"),
    Rewrite(("injection.template",), lazy(r"\.innerHTML(\s*=\s*)(?=[\w.]+;?\s*$)"), r".textContent\1", "text, and no markup"),
    Rewrite(("injection.template",), lazy(r"\brender_template_string\(([\"'])((?:(?!\1)[^{}\\])*)\1\s*\+\s*(\w+)\s*\+\s*\1((?:(?!\1)[^{}\\])*)\1\)"), r"render_template_string(\1\2{{ \3 }}\4\1, \3=\3)", "a value of the template, which escapes it"),
    Rewrite(("conduct.gate-tampered",), lazy(r"(\bagentreview\b.*?)\s*(?:\|\|\s*(?:true|:|exit 0)|;\s*true)\s*$"), r"\1", "its verdict counts"),
    Rewrite(("conduct.gate-tampered",), lazy(r"[\"']--no-verify[\"'],\s*| --no-verify\b"), "", "the hooks run"),
    Rewrite(("conduct.gate-tampered",), lazy(r"^\s*git config (?:--\w+ )*core\.hooksPath\b.*$"), "", "the hooks run"),
    Rewrite(("access.csrf-cors",), lazy(r"^\s*@(?:\w+\.)?csrf_exempt\s*$"), "", "cross-site protection stays on"),
    Rewrite(("access.csrf-cors",), lazy(r"^\s*skip_before_action\s+:verify_authenticity_token.*$"), "", "cross-site protection stays on"),
    Rewrite(("access.csrf-cors",), lazy(r"\b(CORS_(?:ALLOW_ALL_ORIGINS|ORIGIN_ALLOW_ALL))(\s*=\s*)True\b"), r"\1\2False", "not every origin"),
    Rewrite(("access.csrf-cors",), lazy(r"\b(CSRF_COOKIE_SECURE|WTF_CSRF_ENABLED)(\s*=\s*)False\b"), r"\1\2True", _ON),
    Rewrite(("access.insecure-randomness",), lazy(r"\brandom\.(choices?|randint|randrange|sample|random|getrandbits|randbytes|shuffle|uniform)\("), r"random.SystemRandom().\1(", "the system's generator, which nobody can predict"),
    Rewrite(("access.insecure-randomness",), lazy(r"\bMath\.random\(\)\.toString\(\d+\)(?:\.\w+\([^()]*\))*"), "crypto.randomUUID()", "a generator that nobody can predict"),
    Rewrite(("injection.eval",), lazy(r"\byaml\.(?:unsafe_load|full_load|load)\(([^()]*?(?:\([^()]*\))?[^(),]*)(?:,\s*Loader=[\w.]+)?\)"), r"yaml.safe_load(\1)", "loads data and no objects"),
    Rewrite(("hipaa.phi-in-logs",), lazy(r"\becho(\s*=\s*)True\b"), r"echo\1True, hide_parameters=True", "statements without their values"),
    Rewrite(("conduct.suppression-added",), lazy(r"^\s*(?:#|//)\s*(?:nosec|noqa|nosemgrep|eslint-disable|NOSONAR|nolint|rubocop:disable|codeql|lgtm|pragma|gitleaks|brakeman|ruff|flake8|pylint)\b.*$"), "", "the check is heard again"),
    Rewrite(("conduct.suppression-added",), lazy(r"^\s*/\*\s*eslint-disable[^*]*\*/\s*$"), "", "the check is heard again"),
    Rewrite(("conduct.suppression-added",), lazy(r"^\s*@Suppress(?:FB)?Warnings\([^)]*\)\s*$"), "", "the check is heard again"),
    Rewrite(("conduct.suppression-added",), lazy(r"\s*(?:#|//)\s*#?\s*(?:nosec|noqa|nosemgrep|eslint-disable-line|NOSONAR|nolint|rubocop:disable|codeql|lgtm|pragma|gitleaks|brakeman)\b.*$"), "", "the check is heard again"),
    Rewrite(("conduct.test-weakened",), lazy(r"\b(it|test|describe|context)\.(?:only|skip|todo)\("), r"\1(", "runs with the others"),
    Rewrite(("conduct.test-weakened",), lazy(r"\b[xf](it|describe|test)\("), r"\1(", "runs with the others"),
    Rewrite(("conduct.test-weakened",), lazy(r"^\s*@(?:pytest\.mark\.(?:skip|xfail)|unittest\.skip|Disabled|Ignore)\b.*$"), "", "runs again"),
    Rewrite(("conduct.test-weakened",), lazy(r"^\s*(?:t\.Skip(?:f|Now)?\(.*\)|skip(?:\s+[\"'].*)?|pytest\.skip\(.*\))\s*$"), "", "runs again"),
)  # fmt: skip
_PYTHON_SECRET = lazy(r"^(\s*)([A-Z][A-Z0-9_]*)(\s*(?::\s*str\s*)?=\s*)([\"'])[^\"']+\4(\s*)$")
_JS_SECRET = lazy(
    r"^(\s*(?:export )?(?:const|let|var) )([A-Za-z_]\w*)((?::\s*string)?\s*=\s*)([\"'`])[^\"'`$]+\4(;?\s*)$"
)
_RUBY_SECRET = lazy(r"^(\s*)([A-Z][\w.]*)(\s*=\s*)([\"'])[^\"'#]+\4(\s*)$")
_PYTHON_DEFAULT = lazy(r"\bos\.(?:environ\.get|getenv)\(\s*[\"'](\w+)[\"']\s*,\s*[\"'][^\"']{8,}[\"']\s*\)")
_PYTHON_KEYWORD = lazy(r"[(,]\s*(\w+)\s*=\s*([\"'][^\"'{}\\\s]{8,}[\"'])(?=\s*[,)])")
_JS_PROPERTY = lazy(r"(?:^|[{,])\s*(\w+)\s*:\s*([\"'][^\"'\\\s]{8,}[\"'])(?=\s*[,}]|\s*$)")
_PYTHON_IMPORT = lazy(r"^(?:import|from)\s")


def rewritten(finding: Finding, change: FileChange) -> Iterator[Edit]:
    """Yield edits of the finding's own lines, one for each rewrite that fits."""
    lines = lines_of(change.after or b"")
    if lines is None or finding.side == "before":
        return
    above = 3 if finding.rule == "conduct.test-weakened" else 0  # its marks stand above what they are about
    for number in range(
        max(1, finding.start_line - above), min(finding.end_line, finding.start_line + 20, len(lines)) + 1
    ):
        line = lines[number - 1]
        for one in REWRITES:
            if finding.rule not in one.policies:
                continue
            new, count = one.pattern.subn(one.into, line)
            if count and new != line:
                yield replacing(change.path, one.note, number, number, [new] if new.strip() else [])
        if finding.rule == "secrets.hardcoded":
            yield from _from_environment(change.path, lines, number)
    if finding.rule == "hipaa.audit-order":
        yield from _swapped(change.path, lines, finding)


def _from_environment(path: str, lines: Sequence[str], number: int) -> Iterator[Edit]:
    """Read a credential where it is set: ``API_KEY = os.environ["API_KEY"]``."""
    line, note = lines[number - 1].rstrip("\r"), "read from the environment, where it has to be set now"
    if path.endswith(".py"):
        for text in _read_by_python(line):
            yield _with_os(replacing(path, note, number, number, [text]), lines)
    elif re.search(r"\.[cm]?[jt]sx?$", path):
        cast = " as string" if re.search(r"\.[cm]?tsx?$", path) else ""
        if match := _JS_SECRET.match(line):
            text = f"{match[1]}{match[2]}{match[3]}process.env.{_variable(match[2])}{cast}{match[5]}"
            yield replacing(path, note, number, number, [text])
        for match in _JS_PROPERTY.finditer(line):
            text = f"{line[: match.start(2)]}process.env.{_variable(match[1])}{cast}{line[match.end(2) :]}"
            yield replacing(path, note, number, number, [text])
    elif path.endswith(".rb") and (match := _RUBY_SECRET.match(line)):
        text = f'{match[1]}{match[2]}{match[3]}ENV.fetch("{_variable(match[2])}")'
        yield replacing(path, note, number, number, [text])


def _read_by_python(line: str) -> Iterator[str]:
    if match := _PYTHON_SECRET.match(line):
        yield f'{match[1]}{match[2]}{match[3]}os.environ["{match[2]}"]'
    for match in _PYTHON_DEFAULT.finditer(line):
        yield f'{line[: match.start()]}os.environ["{match[1]}"]{line[match.end() :]}'
    for match in _PYTHON_KEYWORD.finditer(line):
        yield f'{line[: match.start(2)]}os.environ["{_variable(match[1])}"]{line[match.end(2) :]}'


def _variable(name: str) -> str:
    """``Stripe.apiKey`` as the name of a variable of the environment."""
    return re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).upper()


def _with_os(edit: Edit, lines: Sequence[str]) -> Edit:
    if any(re.match(r"import os\b", other) for other in lines):
        return edit
    at = next((n for n, other in enumerate(lines, 1) if _PYTHON_IMPORT.match(other) and "__future__" not in other), 0)
    at = at or _first_code(lines)
    return replace(edit, replacements=(*edit.replacements, Replacement(start=at, end=at - 1, lines=("import os",))))


def _first_code(lines: Sequence[str]) -> int:
    """The first line below comments, where an import may stand; a file that begins with a docstring has it below."""
    inside = False
    for number, line in enumerate(lines, 1):
        text = line.strip()
        quotes = text.count('"""')
        if inside or text.startswith('"""'):
            inside = inside != (quotes % 2 == 1)
            continue
        if text and not text.startswith("#") and "__future__" not in text:
            return number
    return 1


def _swapped(path: str, lines: Sequence[str], finding: Finding) -> Iterator[Edit]:
    """Put a decorator below the next ones, one after the other."""
    first = finding.start_line
    last = first
    while last < len(lines) and lines[last].lstrip().startswith("@") and last - first < 4:
        last += 1
        moved = [*lines[first:last], lines[first - 1]]
        yield replacing(path, "inside the check, so that it runs for those who may", first, last, moved)
