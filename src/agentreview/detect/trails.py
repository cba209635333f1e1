"""How a project writes its audit trail: calls, trails that need none, what is recorded of reads, and when it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.detect.names import DEFINES
from agentreview.detect_models import Lines
from agentreview.detect_rules import automatic_audit
from agentreview.vocabulary import words

_CALLS = re.compile(r"(?<![\w.@:])((?:\w{1,60}\??\.){0,4}\w{1,60}[!]?)\s*\(")
_RUBY_CALLS = re.compile(r"(?<![\w.@:])((?:[\w:]{1,60}\.){1,4}\w{1,60}!?)[ (](?=[\w:\"'@{(])")
_AUDITS = ("audit", "phi_access", "phiaccess")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_READS = _names(
    "filter all get first last find one many unique list count exists query select values order exclude is has format parse "
    "fetch render generate validate map to use should can with mock import init setup configure new start stop reset "
    "clear register download export search push append extend sort keys items join split includes reduce slice concat "
    "serialize deserialize load read open close print describe it expect assert length size close connect where "
    "sum group paginate stringify json repr str len type isinstance super getattr setattr enable disable verify build on set "
    "download make handle upload toggle show hide go navigate clean purge run flush check test"
)
"""First words of what is done with a trail that records nothing."""
_PARTS = _names(
    "schema array middleware module repository controller dto config type props page table view router serializer admin "
    "filter viewset test tests spec form enum builder factory provider interceptor listener subscriber error exception "
    "register service snapshot name path url id option options client pdf csv click button dialog modal label html filters equals changed updated enabled"
)
"""Last words of names that are a part of the program, not an act."""
_RECORDS = _names("event log entry record trail")
_DATABASES = _names(
    "prisma tx trx db database client manager repo repos repository conn connection session ctx self this"
)
_NOT_CALLS = _names("if while for switch catch return function await def elif and or not in assert with")


def audit_calls(path: str, text: str) -> Iterator[str]:
    """Names to list for calls on this line that write an audit event: neither reads nor definitions."""
    if path.endswith(".sql") or DEFINES.match(text):
        return
    pattern = _RUBY_CALLS if path.endswith(".rb") else _CALLS
    for callee in pattern.findall(text):
        name = _audit_call(callee.replace("?.", "."), jvm=path.endswith((".java", ".kt")))
        if name:
            yield name


def _audit_call(callee: str, *, jvm: bool) -> str:
    if not any(word in callee.lower() for word in _AUDITS):
        return ""
    parts = callee.split(".")
    while len(parts) > 1 and parts[0].lower() in _DATABASES:
        parts = parts[1:]
    if len(parts) > 1 and len(parts[0]) <= 2:  # s.audit.Record: a receiver of Go
        parts = parts[1:]
    name, own = ".".join(parts), parts[-1]
    last = words(own)
    if not last or own in _NOT_CALLS or last[0] in _READS or last[-1] in _PARTS:
        return ""
    if own[:1].isupper() and len(parts) == 1 and (jvm or (last[-1] not in _RECORDS and not _go_like(own))):
        return ""  # a class that is no record: AuditSerializer(), AuditModule()
    if not any(word in own.lower() for word in _AUDITS) and not _acts(last):
        return ""  # audit.something: only what writes
    return name


_ACTS = _names(
    "record log write create add save insert emit track publish send store append event info notice warn success failure "
    "action access view update delete audit persist post enqueue perform delay dispatch bulk report"
)


def _acts(last: tuple[str, ...]) -> bool:
    return last[0] in _ACTS or last[-1] in _ACTS


def _go_like(name: str) -> bool:
    return words(name)[0] in _ACTS  # RecordAuditEvent(), in Go


# -- trails that need no call: what a review asks of lines too, and hooks that only detection looks for

_GORM_HOOK = re.compile(r"^func \(\w+ \*?(\w+)\) (?:After|Before)(?:Create|Update|Save|Delete)\(\w+ \*gorm\.DB\)")
_GORM_CALLBACK = re.compile(r"\.Callback\(\)\.(?:Create|Update|Delete)\(\)\.(?:After|Before|Register)")
_MONGOOSE = re.compile(r"\b(\w+?)Schema\.(?:post|pre)\(\s*\[?['\"](?:save|remove|findOneAndUpdate|updateOne|deleteOne)")
_SEQUELIZE = re.compile(r"(?:(\w+)|sequelize)\.addHook\(\s*['\"](?:after|before)(?:Create|Update|Destroy|Save|Bulk\w+)")
_MARKS = (
    *("audit", "history", "pgtrigger", "versioned", "versioning", "trigger", "paper_trail", "logidze", "javers"),
    *("entitylisteners", "pghistory"),
)


def trails(path: str, lines: Lines, text: str) -> Iterator[tuple[str, str, int, str]]:
    """(how, model or nothing for all of them, line, text). ``text`` is the whole file in lower case."""
    if path.endswith(".go"):
        yield from _go(lines, text)
    elif any(mark in text for mark in _MARKS) or "audit" in path.lower():
        yield from automatic_audit(path, lines)
        if path.endswith((".ts", ".js", ".mjs", ".cjs", ".mts")) and "audit" in text:
            yield from _hooks(lines, text)


def _go(lines: Lines, text: str) -> Iterator[tuple[str, str, int, str]]:
    if "audit" not in text or "gorm" not in text:
        return
    for at, (number, line) in enumerate(lines):
        hook = _GORM_HOOK.match(line)
        if hook and "audit" in _around(lines, at, 0, 15):
            yield "signals", hook[1], number, line
        elif _GORM_CALLBACK.search(line) and "audit" in _around(lines, at, 3, 4):
            yield "signals", "", number, line


def _around(lines: Lines, at: int, before: int, after: int) -> str:
    return " ".join(text for _, text in lines[max(0, at - before) : at + after]).lower()


def _hooks(lines: Lines, text: str) -> Iterator[tuple[str, str, int, str]]:
    if not any(mark in text for mark in (".post(", ".pre(", "addhook(")):
        return
    for number, line in lines:
        found = _MONGOOSE.search(line)
        if found:
            yield "signals", found[1][:1].upper() + found[1][1:], number, line
        hook = _SEQUELIZE.search(line)
        if hook:
            yield "subscriber", "" if hook[1] in (None, "sequelize", "db", "this") else hook[1], number, line


# -- reads, and when an event is written

_READ_WORDS = re.compile(r"[\"'_.]?\b(?:read|view|viewed|access|accessed|retrieve|retrieved|list|opened)\b", re.I)
_MIDDLEWARE = re.compile(
    r"[\"'][\w.]*\b(\w*(?:Audit|AccessLog)\w*Middleware)[\"']|\.use\(\s*(\w*[aA]udit\w*)|\b(\w*Audit\w*Interceptor)\b.*(?:APP_INTERCEPTOR|addInterceptor|useGlobalInterceptors)"
)
_ASYNC = re.compile(
    r"\b\w*[aA]udit\w*(?:\.\w+)?\.(?:delay|apply_async|perform_later|perform_async|send_task|delay_on_commit)\b|\.(?:add|enqueue|publish)\(\s*['\"][\w.:-]*audit|^\s*go (?:\w+\.)*\w*[aA]udit"
)
_OUTBOX = re.compile(r"\b\w*[aA]udit\w*[oO]utbox\w*|\b\w*[oO]utbox\w*[aA]udit\w*")
_TRANSACTION = re.compile(
    r"\btransaction\.atomic\b|\$transaction\(|@Transactional\b|\.transaction\(|\.Transaction\(func|session\.begin\(|\btransaction do\b|begin_nested\("
)
_NEAR = 12  # lines after a transaction begins that are taken for its body


def reading(calls: list[str], text: str) -> bool:
    """Whether an audit call on this line records a read: by its name or its arguments."""
    return any({"read", "view", "viewed", "access", "accessed", "retrieve"} & set(words(one)) for one in calls) or bool(
        calls and _READ_WORDS.search(text)
    )


def read_middleware(text: str) -> str:
    """Name a middleware or interceptor that this line registers and that by its name audits requests."""
    found = _MIDDLEWARE.search(text)
    return next(filter(None, found.groups()), "") if found else ""


def delivery(text: str) -> str:
    """``async`` or ``outbox`` where the line hands an event to something that writes it later."""
    if _OUTBOX.search(text):
        return "outbox"
    return "async" if _ASYNC.search(text) else ""


def in_transaction(lines: Lines, at: int) -> bool:
    """Whether a transaction begins on one of the lines before in the same function, or in front of it."""
    defined = False
    for _, text in reversed(lines[max(0, at - _NEAR) : at + 1]):
        if defined and not text.lstrip().startswith("@"):
            return False
        if _TRANSACTION.search(text):
            return True
        defined = defined or DEFINES.match(text) is not None
    return False
