"""The form that compares lifetimes: a session, a token or a cookie that now lives longer than before, or than the project allows."""

from __future__ import annotations

from collections.abc import Iterator

from agentreview.lazyre import lazy
from agentreview.model import Claim
from agentreview.policies.claims import View, make_claim
from agentreview.policies.load import Check, Policy
from agentreview.syntax.facts import Fact
from agentreview.syntax.patterns import chain
from agentreview.syntax.tree import Expr, Unit, expressions, statements, subexpressions, words_of

# Settings that say how long somebody stays signed in; what they count in by default, in seconds.
_LIFETIMES = {
    name: scale
    for scale, names in (
        (
            1,
            "SESSION_COOKIE_AGE REMEMBER_COOKIE_DURATION PERMANENT_SESSION_LIFETIME ACCESS_TOKEN_LIFETIME"
            " JWT_ACCESS_TOKEN_EXPIRES SESSION_IDLE_TIMEOUT SESSION_TIMEOUT SESSION_SECURITY_EXPIRE_AFTER SLIDING_TOKEN_LIFETIME"
            " expiresIn sessionMaxAge idleTimeout sessionTimeout"
            " timeout_in expire_after session_timeout idle_timeout access_token_expires_in"
            " setMaxInactiveInterval maxInactiveIntervalInSeconds"
            " exp expiresAt",  # claims: now plus how long
        ),
        (
            60,
            "ACCESS_TOKEN_EXPIRE_MINUTES JWT_EXPIRE_MINUTES SESSION_TIMEOUT_MINUTES TOKEN_EXPIRE_MINUTES IDLE_TIMEOUT_MINUTES",
        ),
        (3600, "SESSION_TIMEOUT_HOURS TOKEN_EXPIRE_HOURS JWT_EXPIRE_HOURS"),
        (0, "maxAge cookieMaxAge"),  # seconds or milliseconds: by what is around it
    )
    for name in names.split()
}
_ENDS_WITH_BROWSER = "SESSION_EXPIRE_AT_BROWSER_CLOSE"
_SAID = frozenset({*_LIFETIMES, _ENDS_WITH_BROWSER, "MaxAge", "ExpiresAt"})  # the last two: maxAge and expiresAt in Go
_SIGNS = lazy(r"^(?:sign|signAsync|encode|create_access_token|SignJWT)$")
_FOR_EVER = 1e18
_UNITS = {
    "days": 86_400,
    "hours": 3_600,
    "minutes": 60,
    "seconds": 1,
    "weeks": 604_800,
    "months": 2_629_746,
    "years": 31_556_952,
}
_TEXT = lazy(
    r"^\s*(\d{1,9}(?:\.\d+)?)\s*(ms|s|sec|secs|seconds?|m|min|mins|minutes?|h|hrs?|hours?|d|days?|w|weeks?|y|years?)?\s*$"
)
_SCALE = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_NOT_A_SESSION = lazy(
    r"(?i)refresh|device|remember|cache|static|asset|cors|service|invite|reset|verif|download|signed|presign|csrf|locale|theme"
)


def lifetimes(view: View) -> dict[tuple[str, str], tuple[float, Expr, Unit]]:
    """(unit, setting) to seconds, for every lifetime the file sets in numbers."""
    out: dict[tuple[str, str], tuple[float, Expr, Unit]] = {}
    if words_of(view.analysis.module).isdisjoint(_SAID):
        return out
    for unit in view.analysis.module.units:
        if unit.kind == "class" or unit.anonymous:
            continue
        for stmt in statements(unit.body):
            pairs = [(_place(t), stmt.value) for t in stmt.targets if stmt.value is not None]
            for expr in expressions(stmt):
                parts = list(subexpressions(expr))
                named = [(a.name, a.value) for part in parts for a in part.args if a.name]
                called_with = (p for p in parts if p.kind == "call" and p.base is not None and len(p.args) == 1)
                pairs.extend(
                    (p.base.name, p.args[0].value) for p in called_with if p.base is not None and p.base.kind == "attr"
                )
                if any(name in _SAID for name, _ in named):
                    called = (part.base.name for part in parts if part.kind == "call" and part.base is not None)
                    if not _NOT_A_SESSION.search(" ".join(called)):
                        pairs.extend(named)
            for name, value in pairs:
                if name == _ENDS_WITH_BROWSER and value is not None and value.name in ("True", "False"):
                    out[(unit.qualname, name)] = (0.0 if value.name == "True" else _FOR_EVER, value, unit)
                scale = _LIFETIMES.get(name)
                if scale is None or value is None:
                    continue
                seconds = _seconds(value, scale or 1)
                if name in ("exp", "expiresAt") and value.kind == "call":  # time.Now().Add(24 * time.Hour).Unix()
                    added = [a.value for p in subexpressions(value) if chain(p)[-1].name == "Add" for a in p.args]
                    seconds = next((s for s in (_seconds(a, 1) for a in added) if s), None)
                elif name in ("exp", "expiresAt") and value.kind == "bin" and value.items:
                    seconds = next((s for s in (_seconds(i, 1) for i in value.items[1:]) if s), None)
                if scale == 0 and seconds is not None and seconds >= 1_000_000:
                    seconds /= 1000
                if seconds is not None:
                    out.setdefault((unit.qualname, name), (seconds, value, unit))
    return out


def _place(target: Expr) -> str:
    """``X``, ``config.X`` and ``config["X"]`` set the same setting."""
    if target.kind == "sub":
        return target.items[0].name if target.items and target.items[0].kind == "str" else ""
    return target.name if target.kind in ("name", "attr") else ""


def _seconds(value: Expr, scale: float, depth: int = 0) -> float | None:
    """Seconds of ``60 * 15``, ``timedelta(minutes=15)``, ``"15m"``; None for anything that is not a plain number."""
    if depth > 6:
        return None
    if value.kind == "const":
        try:
            return float(value.name.replace("_", "")) * scale
        except ValueError:
            return None
    if value.kind == "str":
        found = _TEXT.match(value.name)
        if not found:
            return None
        unit = found[2] or ""
        key = "ms" if unit == "ms" else unit[:1]
        return float(found[1]) * (_SCALE.get(key, scale) if unit else scale)
    if value.kind == "bin" and value.name.strip() == "*":
        product = scale
        for item in value.items:
            part = _seconds(item, 1, depth + 1)
            if part is None:
                return None
            product *= part
        return product
    if value.kind == "attr" and value.base is not None and value.base.kind == "const":  # 15.minutes
        each = _UNITS.get(f"{value.name.removesuffix('s')}s")
        number = _seconds(value.base, 1, depth + 1)
        return number * each if each is not None and number is not None else None
    if value.kind == "attr" and value.base is not None and value.base.name in ("time", "Duration"):  # 24 * time.Hour
        return _UNITS.get(f"{value.name.lower()}s")
    if value.kind == "call" and len(value.args) == 1 and chain(value)[0].name == "Duration":  # Duration.ofMinutes(15)
        each = _UNITS.get(chain(value)[-1].name.removeprefix("of").lower())
        number = _seconds(value.args[0].value, 1, depth + 1)
        return number * each if each is not None and number is not None else None
    if value.kind == "call" and chain(value)[-1].name == "timedelta":
        total = 0.0
        for arg in value.args:
            part = _seconds(arg.value, 1, depth + 1)
            if part is None or arg.name not in _UNITS:
                return None
            total += part * _UNITS[arg.name]
        return total
    return None


def grown(policy: Policy, check: Check, before: View | None, after: View) -> Iterator[Claim]:
    """Claim lifetimes that grew, and new ones above what the project allows."""
    had = lifetimes(before) if before is not None else {}
    session = after.facts.session
    limit = session.idle_minutes * 60 or session.absolute_hours * 3600
    for (_, name), (seconds, value, unit) in sorted(lifetimes(after).items(), key=lambda item: item[1][1].start):
        old = had.get((unit.qualname, name))
        if old is not None and seconds <= old[0]:
            continue
        if old is None and (seconds == _FOR_EVER or not (limit and seconds > limit)):
            continue
        if limit and seconds <= limit:
            continue
        said = f"{name} = {_shown(seconds)}" + (
            f" (was {_shown(old[0])})" if old is not None else f" (the project allows {_shown(limit)})"
        )
        fact = Fact("grown", unit, value.start, value.end, value.line, value.end_line, name)
        yield make_claim(policy, check, after, unit, fact=fact, identity=f"grown:{name}", value=said)
    for (unit_name, name), (seconds, _, old_unit) in had.items():
        if name in ("exp", "expiresIn"):
            yield from _endless(
                policy, check, after, unit_name, f"{name} was {_shown(seconds)}, and nothing ends it now", old_unit
            )


def _endless(policy: Policy, check: Check, after: View, name: str, said: str, old: Unit) -> Iterator[Claim]:
    """A token that is still signed in the same place, and no longer ends."""
    unit = after.analysis.names.get(name) or (after.analysis.module.root if old.kind == "module" else None)
    if unit is None:
        return
    parts = [sub for stmt in statements(unit.body) for expr in expressions(stmt) for sub in subexpressions(expr)]
    named = {a.name for part in parts for a in part.args} | {
        _place(t) for s in statements(unit.body) for t in s.targets
    }
    signed = next((sub for sub in parts if sub.kind == "call" and _SIGNS.match(chain(sub)[-1].name)), None)
    if signed is not None and not named & {"exp", "expiresIn"}:
        fact = Fact("grown", unit, signed.start, signed.end, signed.line, signed.end_line, chain(signed)[-1].name)
        yield make_claim(policy, check, after, unit, fact=fact, identity="grown:endless", value=said)


def _shown(seconds: float) -> str:
    if seconds == _FOR_EVER:
        return "until it times out"
    if not seconds:
        return "until the browser closes"
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {name}"
    return f"{seconds:g} s"
