"""How long sessions and audit rows live, read from settings: numbers with a place, never a judgement."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from agentreview.detect.text import any_of

SETTINGS_NAMES = frozenset(
    "application.properties application.yml application.yaml application-prod.properties application-prod.yml web.xml "
    ".env.example settings.yml config.yml config.yaml".split()
)
"""Files beside source code that hold settings of a server."""

_UNITS = {
    "ms": 0.001, "milli": 0.001, "s": 1, "sec": 1, "second": 1, "seconds": 1, "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600, "d": 86_400, "day": 86_400, "days": 86_400, "week": 604_800, "weeks": 604_800,
    "year": 31_536_000, "years": 31_536_000, "y": 31_536_000,
}  # fmt: skip

_NUMBER = r"((?:\d[\d_]{0,9}(?:\.\d+)?)(?:\s*\*\s*\d[\d_]{0,9}){0,4})"
_DELTA = re.compile(r"(?:timedelta|timedelta64)\(([^)]{1,80})\)")
_PART = re.compile(rf"(\w+)\s*=\s*{_NUMBER}")
_RUBY = re.compile(r"(\d+)\.(seconds?|minutes?|hours?|days?|weeks?|years?)\b")
_DURATION = re.compile(r"[\"']?\b(\d+)\s?(ms|s|m|h|d|min|minutes?|hours?|days?|seconds?)\b")
_ISO = re.compile(r"\bP(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?\b")
_GO = re.compile(r"(\d+)\s*\*\s*time\.(Second|Minute|Hour)|time\.(Second|Minute|Hour)\s*\*\s*(\d+)")
_PLAIN = re.compile(_NUMBER)

_IDLE = re.compile(
    r"\b((?:SESSION|Session|session|AUTO_?LOGOUT|USER|user)[_.-]?(?:IDLE|Idle|idle|INACTIVITY|Inactivity|inactivity)(?![a-z])\w*|IDLE_TIME"
    r"|(?:IDLE|INACTIVITY)_SESSION\w*|INACTIVITY_TIMEOUT\w*|inactivityTimeout\w*|SESSION_EXPIRE_SECONDS|SESSION_SECURITY_EXPIRE_AFTER"
    r"|SESSION_TIMEOUT\w*|sessionTimeout\w*|session[.-]timeout|timeout_in|PERMANENT_SESSION_LIFETIME)\b[\"']?\]?\s*(?:[:=]|>)\s*(.{1,120})"
)
_ABSOLUTE = re.compile(
    r"(?i)\b(SESSION_COOKIE_AGE|REFRESH_TOKEN_LIFETIME|SESSION_MAX_AGE|(?<!PERMANENT_)SESSION_LIFETIME\w*|ABSOLUTE_(?:TIMEOUT|LIFETIME|SESSION)\w*|SESSION_ABSOLUTE\w*|REFRESH_TOKEN_EXPIR\w*"
    r"|expire_after)\b[\"']?\]?\s*[:=]\s*(.{1,120})"
)
_MAX_AGE = re.compile(r"\bmax(?:A|_a)ge\b[\"']?\s*[:=]\s*(.{1,80})")
_AUDIT_KEPT = re.compile(
    r"(?i)\b(\w*AUDIT\w*(?:RETENTION|KEEP|RETAIN|TTL|EXPIR)\w*|audit[\w.-]*(?:retention|keep|ttl)[\w.-]*)\b[\"']?\s*[:=]\s*(.{1,80})"
)


def session_file(text: str) -> tuple[bool, bool]:
    """Whether a file (in lower case) sets session cookies up, and whether it renews them with every request."""
    cookies = any(
        word in text for word in ("express-session", "cookie-session", "session({", "nextauth", "iron-session")
    )
    return cookies, "rolling: true" in text or "session_save_every_request = true" in text


def settings(path: str, text: str, *, cookies: bool, rolling: bool) -> Iterator[tuple[str, str]]:
    """(fact, number) for what a line sets. ``cookies`` and ``rolling`` are what :func:`session_file` says of the file."""
    idle = _IDLE.search(text)
    if idle:
        yield from _life("idle", _seconds(idle[1], idle[2], path))
    lasting = _ABSOLUTE.search(text)
    if lasting:
        renewed = rolling and lasting[1].upper() == "SESSION_COOKIE_AGE"
        yield from _life("idle" if renewed else "absolute", _seconds(lasting[1], lasting[2], path))
    age = _MAX_AGE.search(text) if cookies else None
    if age:
        number = _product(age[1]) or 0
        milliseconds = number > 10_000_000
        seconds = _seconds("maxAge", age[1], path, default=0.001 if milliseconds or "1000" in age[1] else 1)
        yield from _life("idle" if rolling else "absolute", seconds if seconds >= 600 else 0)
    kept = _AUDIT_KEPT.search(text) if "udit" in text or "UDIT" in text else None
    if kept:
        years = int(_seconds(kept[1], kept[2], path, default=86_400) // 31_536_000)
        if 0 < years < 100:
            yield "retention.audit_years", str(years)


SETTING_HINTS = any_of(
    "session idle logout timeout_in inactivity refresh_token expire_after absolute maxage max_age audit"
)
"""Words of the lines that may set one of them."""


def _life(kind: str, seconds: float) -> Iterator[tuple[str, str]]:
    if not 0 < seconds <= 86_400 * 3660:
        return
    if kind == "idle":
        yield "session.idle_minutes", str(max(1, math.ceil(seconds / 60)))
    else:
        yield "session.absolute_hours", str(max(1, math.ceil(seconds / 3600)))


def _seconds(name: str, value: str, path: str, default: float = 1) -> float:
    """Read a number with its unit: the value's own, else the name's (``_MINUTES``), else ``default`` seconds."""
    delta = _DELTA.search(value)
    if delta:
        parts = [(_UNITS.get(unit, 0), _product(amount) or 0) for unit, amount in _PART.findall(delta[1])]
        return sum(size * amount for size, amount in parts)
    ruby = _RUBY.search(value)
    if ruby:
        return int(ruby[1]) * _UNITS[ruby[2]]
    go = _GO.search(value)
    if go:
        return int(go[1] or go[4]) * _UNITS[(go[2] or go[3]).lower()]
    iso = _ISO.search(value)
    if iso and any(iso.groups()):
        return sum(int(part or 0) * size for part, size in zip(iso.groups(), (86_400, 3600, 60), strict=True))
    duration = _DURATION.match(value.strip())
    if duration:
        return int(duration[1]) * _UNITS[duration[2]]
    number = _product(value)
    if number is None:
        return 0
    named = [part.lower() for part in re.split(r"[._\W]+|(?<=[a-z])(?=[A-Z])", name) if part]
    unit = next((_UNITS[part] for part in reversed(named) if part in _WORDS), None)
    if unit is None and path.endswith(".xml"):
        unit = 60  # <session-timeout> of web.xml
    return number * (default if unit is None else unit)


_WORDS = frozenset(
    {"seconds", "second", "sec", "minutes", "minute", "min", "hours", "hour", "days", "day", "years", "year", "ms"}
)


def _product(value: str) -> float | None:
    found = _PLAIN.match(value.strip(" \t\"'(<>"))
    if not found:
        return None
    out = 1.0
    for part in found[1].split("*"):
        out *= float(part.strip().replace("_", ""))
    return out if out < 1e12 else None
