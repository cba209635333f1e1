"""What the literals of a unit lost: the owner's condition of a statement, keys of what was validated, names that a redactor
goes by, fields it blanks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from agentreview.lazyre import lazy
from agentreview.policies.guards import called_anew, own_statements
from agentreview.policies.loss import ACCESS, INPUT, Loss
from agentreview.syntax.patterns import chain
from agentreview.syntax.tree import Expr, Unit, expressions, subexpressions

_STATEMENT = lazy(
    r"^\s*(?:(?P<select>select)\b.*?\bfrom|(?P<update>update)|(?P<delete>delete)\s+from)\s+[\"`\[]?(?P<table>[\w.]+)(?P<rest>.*?)\bwhere\b(?P<where>.*)$",
    re.IGNORECASE | re.DOTALL,
)
_CONDITION = lazy(r"([A-Za-z_]\w*)[\"`\]]?\s*(?:=|\bin\b|<>|!=|\bis\b|[<>]=?|\blike\b)", re.IGNORECASE)
_HOLDER = lazy(
    r"^(?:tenant|org|organi[sz]ation|workspace|account|company|team|practice|clinic|facility|project|customer|owner|user|member|patient)_?(?:id|uuid|pk)$",
    re.IGNORECASE,
)
_REDACTS = lazy(
    r"[rR]edact|[sS]crub|[cC]ensor|[oO]bfuscat|[aA]nonymi[sz]|(?<![A-Za-z])mask_?(?=$|[A-Z_.])|Mask(?:ed|ing)?(?=$|[A-Z_.])|(?<![A-Za-z])masked"
)


_SURELY = lazy(r"(?i)redact|scrub|censor|obfuscat|anonymi")  # a mask may also be how a date is typed


def forgotten(old: Unit, new: Unit) -> Iterator[Loss]:
    """What the unit's literals held before and no longer hold."""
    if old.kind == "class":
        return
    yield from _conditions(old, new)
    yield from _unchecked(old, new)
    if _REDACTS.search(old.qualname):
        yield from _names(old, new)
        yield from _fields(old, new)


def _conditions(old: Unit, new: Unit) -> Iterator[Loss]:
    """``WHERE key = $1 AND tenant_id = $2`` that became ``WHERE key = $1``: the same statement, for anybody's rows."""
    had, has = _statements(old), _statements(new)
    for key, before in had.items():
        after = has.get(key, [])
        if len(after) != len(before):
            continue
        asked, asks = (Counter(name for names, _ in rows for name in names) for rows in (before, after))
        lost = sorted(name for name in asked - asks if _HOLDER.match(name))
        if lost and not any(_HOLDER.match(name) for name in asks - asked):
            line = next(line for names, line in before if lost[0] in names)
            sure = not asks - asked and not called_anew(old, new)
            yield Loss(ACCESS, "the condition", f"{lost[0]} of the query", line, sure=sure)


def _statements(unit: Unit) -> dict[tuple[str, str], list[tuple[list[str], int]]]:
    out: dict[tuple[str, str], list[tuple[list[str], int]]] = {}
    for expr in _literals(unit, "str", "fstr"):
        found = _STATEMENT.match(expr.name[:4000]) if len(expr.name) > 20 else None
        if found is not None:
            verb = next(v for v in ("select", "update", "delete") if found[v])
            names = [name.lower() for name in _CONDITION.findall(found["where"])]
            out.setdefault((verb, found["table"].lower()), []).append((names, expr.line))
    return out


_CHECKED = frozenset("cleaned_data validated_data".split())
_RAW = frozenset("POST GET data args form json values query_params".split())


def _unchecked(old: Unit, new: Unit) -> Iterator[Loss]:
    """``form.cleaned_data["day"]`` that became ``request.POST["day"]``: as it was sent, not as it was checked."""
    had, has = _keys(old), _keys(new)
    for (kind, key), line in had.items():
        sent = has.get(("sent", key))
        if kind == "checked" and sent and ("checked", key) not in has and ("sent", key) not in had:
            yield Loss(INPUT, "the checked value of", repr(key), line, sent)


def _keys(unit: Unit) -> dict[tuple[str, str], int]:
    out: dict[tuple[str, str], int] = {}
    for expr in _literals(unit, "sub", "call"):
        links = chain(expr)
        last = links[-1]
        held, key = (links[:-1], last.args[0].value) if last.name == "get" and last.args else (links, last.key)
        if key is not None and key.kind == "str" and len(held) > 1:
            if held[-1].name in _CHECKED:
                out.setdefault(("checked", key.name), expr.line)
            elif held[-1].name in _RAW and held[-2].name == "request":
                out.setdefault(("sent", key.name), expr.line)
    return out


def _names(old: Unit, new: Unit) -> Iterator[Loss]:
    """A list of names in a redactor that is one shorter: ``["quantity", "unitPrice"].map(…)``."""
    had, has = _lists(old), _lists(new)
    for members, line in had:
        if any(members == now for now, _ in has):
            continue
        for now, at in has:
            if now < members and len(now) * 2 >= len(members) and all(now != other for other, _ in had):
                gone = ", ".join(sorted(members - now)[:4])
                sure = _SURELY.search(old.qualname) is not None
                yield Loss(INPUT, "", f"{gone} among the names that {old.name} goes by", line, at, sure=sure)
                break


def _lists(unit: Unit) -> list[tuple[frozenset[str], int]]:
    lists = [e for e in _literals(unit, "list") if len(e.items) > 1 and all(i.kind == "str" for i in e.items)]
    return [(frozenset(item.name for item in e.items), e.line) for e in lists[:40]]


def _fields(old: Unit, new: Unit) -> Iterator[Loss]:
    """``application.clientCert = "***"`` that is gone from a function which still blanks other fields."""
    if not _REDACTS.search(old.name) or called_anew(old, new):
        return
    had, has = _blanked(old), _blanked(new)
    gone = [name for name in had if name not in has]
    if gone and has:  # the field itself may be gone: advice
        shown = ", ".join(sorted(gone)[:4])
        yield Loss(INPUT, "", f"{shown} among the fields that {old.name} blanks", had[gone[0]], sure=False)


def _blanked(unit: Unit) -> dict[str, int]:
    return {
        target.name: stmt.line
        for stmt in own_statements(unit)
        if stmt.kind == "assign" and stmt.value is not None and stmt.value.kind in ("str", "const")
        for target in stmt.targets
        if target.kind == "attr"
    }


def _literals(unit: Unit, *kinds: str) -> Iterator[Expr]:
    for stmt in own_statements(unit):
        for source in expressions(stmt):
            yield from (expr for expr in subexpressions(source) if expr.kind in kinds)
