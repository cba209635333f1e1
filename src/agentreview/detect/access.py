"""What a project does with an endpoint that says nothing about access, in the frameworks whose files show it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.detect.text import AnyOf, Source, any_of
from agentreview.detect_models import Lines
from agentreview.detect_rules import access_default

_SPRING = re.compile(
    r"any(?:Request|Exchange)\(\)\s*\.\s*(authenticated|fullyAuthenticated|hasRole|hasAnyRole|hasAuthority|hasAnyAuthority"
    r"|denyAll|access|permitAll)\b"
)
_RAILS = re.compile(
    r"^\s*before_action :(?:authenticate\w*[!?]?|require_(?:login|user|authentication)\w*|login_required)(?!.*\b(?:only|if):)"
)
_GO = re.compile(
    r"^\s*(?:r|router|app|e|engine|mux|srv|server|root)\.Use\(.*\b(?:\w+\.)?(?:\w*[aA]uthenticat\w*|[rR]equireAuth\w*"
    r"|[aA]uth(?:Required|Middleware|Guard)?\w*|[jJ][wW][tT]\w*)\b"
)
_FASTIFY = re.compile(
    r"\.addHook\(\s*['\"](?:onRequest|preHandler|preValidation)['\"]\s*,.*\b\w*(?:[aA]uth|requireUser|verifyJwt)\w*"
)
_HONO = re.compile(r"^\s*app\.use\(\s*['\"](?:\*|/\*)['\"]\s*,\s*(?:\w+\.)?\w*[aA]uth\w*")
_NEST_GLOBAL = re.compile(r"\.useGlobalGuards\(.*\b\w*(?:[aA]uth|Jwt|Session)\w*Guard")
_FLASK_HOOK = re.compile(r"^\s*@(?:app|application)\.before_request\b")
_FLASK_REFUSES = re.compile(
    r"\babort\(\s*(?:401|403)|unauthorized\(|redirect\(.*login|login_required|verify_jwt|current_user\.is_auth"
)

_HINTS: dict[str, AnyOf] = {
    ".java": any_of("anyrequest anyexchange"),
    ".kt": any_of("anyrequest anyexchange"),
    ".rb": any_of("before_action"),
    ".go": any_of(".use("),
    ".py": any_of("default_permission_classes loginrequiredmiddleware fastapi( before_request"),
}
_JS_HINTS = any_of("app_guard app.use( addhook( useglobalguards(")
_BASES = ("application_controller.rb", "base_controller.rb", "api_controller.rb")


def defaults(source: Source) -> Iterator[tuple[str, int, str]]:
    """(deny or allow, line, text) for every line that says what an endpoint without a word on it does."""
    suffix = "." + source.path.rpartition(".")[2]
    asked = {".java": _spring, ".kt": _spring, ".rb": _rails, ".go": _go, ".py": _flask}.get(suffix, _javascript)
    if suffix == ".rb" and source.path.rpartition("/")[2] not in _BASES:
        return
    for at, number, text in source.having(_HINTS.get(suffix, _JS_HINTS)):
        said = asked(source.lines, at)
        if said:
            yield said, number, text


def _spring(lines: Lines, at: int) -> str:
    here = lines[at][1]
    if "anyRequest" not in here and "anyExchange" not in here:
        return ""
    found = _SPRING.search(" ".join(text.strip() for _, text in lines[at : at + 3]))
    return "" if found is None else "allow" if found[1] == "permitAll" else "deny"


def _rails(lines: Lines, at: int) -> str:
    return "deny" if _RAILS.match(lines[at][1]) else ""


def _go(lines: Lines, at: int) -> str:
    return "deny" if _GO.match(lines[at][1]) else ""


def _flask(lines: Lines, at: int) -> str:
    text = lines[at][1]
    if _FLASK_HOOK.match(text) and _FLASK_REFUSES.search(" ".join(line for _, line in lines[at : at + 8])):
        return "deny"
    return access_default(lines, at)


def _javascript(lines: Lines, at: int) -> str:
    text = lines[at][1]
    if _FASTIFY.search(text) or _HONO.match(text) or _NEST_GLOBAL.search(text):
        return "deny"
    return access_default(lines, at)
