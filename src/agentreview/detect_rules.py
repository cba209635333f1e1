"""What lines alone say in any file: the default of endpoints, and trails that need no call. A review asks this too."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .detect_models import Lines
from .lazyre import lazy

_FASTAPI_DENY = lazy(r"\bFastAPI\([^()]*dependencies\s*=\s*\[.*(?:Depends|Security)\(")
_APP_USE_AUTH = lazy(
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
    if "LoginRequiredMiddleware" in text and "import" not in text and not text.startswith("class "):
        return "deny"
    if re.search(r"provide:\s*APP_GUARD", text) or _APP_USE_AUTH.match(text):
        return "deny"
    if "FastAPI(" in text and _FASTAPI_DENY.search(block.partition(")]")[0]):
        return "deny"
    return ""


_REGISTER = lazy(r"\b(?:auditlog|simple_history)\.register\(\s*([A-Z]\w*)")
# What records every model of a project by itself. Reversion is not among them: it records inside of a revision only.
_EVERYTHING = {
    "signals": lazy(r"[\"']easyaudit[\"']|^\s*AUDITLOG_INCLUDE_ALL_MODELS\s*=\s*True"),
    "triggers": lazy(r"\bversioning_manager\.init\("),
}
_RECEIVER = lazy(r"@receiver\(.*\b(?:post|pre)_(?:save|delete)\b")
_SENDER = lazy(r"sender\s*=\s*[\"']?([\w.]+)")
_LISTENS = lazy(r"listens_for\(\s*([\w.]+)\s*,\s*[\"'](?:after|before)_(?:insert|update|delete|flush)")
_SUBSCRIBER = lazy(r"\bEntitySubscriberInterface(?:<\s*(\w+)\s*>)?")
_TRIGGER = lazy(r"CREATE (?:OR REPLACE )?TRIGGER\s+(\S{1,80})", re.I)
_TRIGGER_ON = lazy(r"\bON\s+[\"`]?(?:\w+\.)?[\"`]?(\w+)", re.I)
_CLASS = lazy(r"^\s*class (?:\w+::)*(\w+)")
_RUBY_TRAIL = lazy(r"^\s+(?:has_paper_trail|audited|acts_as_audited|has_logidze|track_history)\b(?!\s*=)")


_JAVA_TYPE = lazy(r"^\s*(?:(?:public|abstract|final|sealed|static)\s+)*(?:class|record|interface)\s+(\w+)")
_JAVA_TRAIL = lazy(
    r"^\s*@(?:Audited\b|JaversSpringDataAuditable\b|JaversAuditable\b|EntityListeners\(.*[Aa]udit(?!ingEntity))"
)
_ROWS_OF = lazy(r"\b(?:extends|implements)\s+\w*(?:Repository|Dao)\w*<\s*(\w+)")


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
    in_path = "audit" in path.lower()
    audits = in_path or any("audit" in text.lower() for _, text in lines)
    current = ""
    tracked = ""
    for at, (number, text) in enumerate(lines):
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
        if _RECEIVER.search(text) and (in_path or _writes_trail(lines, at)):
            sender = _SENDER.search(text)
            yield "signals", sender[1].rpartition(".")[2] if sender else "", number, text
        listens = _LISTENS.search(text)
        if listens:
            name = listens[1].rpartition(".")[2]
            yield "signals", "" if name in {"Session", "Mapper", "mapper", "Base"} else name, number, text
        subscriber = _SUBSCRIBER.search(text)
        if subscriber and "import" not in text:
            yield "subscriber", subscriber[1] or "", number, text
        if "$extends(" in text and "query" in _block(lines, at):
            yield "subscriber", "", number, text
        trigger = _TRIGGER.search(text)
        block = _block(lines, at) if trigger else ""
        on = _TRIGGER_ON.search(block[block.find(trigger[0]) + len(trigger[0]) :]) if trigger else None
        if trigger and on and "audit" in block.lower():
            yield "triggers", on[1], number, text


def _writes_trail(lines: Lines, at: int) -> bool:
    """Whether the receiver below speaks of a trail: a file that has one may also send notifications."""
    for number, (_, text) in enumerate(lines[at + 1 : at + 30]):
        if number > 1 and not text.startswith((" ", "\t", ")", "@")):
            return False
        if "audit" in text.lower() or "logentry" in text.lower() or "history" in text.lower():
            return True
    return False


def _block(lines: Lines, at: int) -> str:
    return " ".join(line for _, line in lines[at : at + 4])
