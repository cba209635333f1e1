"""Conditions of a query that stand in words: in the text of a clause, in the name of a method."""

from __future__ import annotations

import re

from agentreview.lazyre import lazy
from agentreview.syntax.patterns import Link, chain
from agentreview.syntax.tree import Arg, Expr

_PLACE = lazy(r"\?|\$\d|@\w|%s")
_COLUMN = lazy(
    r"([A-Za-z_][\w.]*)[\"'`]?\s*(?:=|<>|!=|>=?|<=?|\bIN\b|\bLIKE\b)\s*(?:ANY\s*)?\(?\s*(?:\?|\$\d+|@\w+|%s)",
    re.IGNORECASE,
)
_DERIVED = lazy(r"(?:[a-z]+|[A-Z][a-z]+)(?:[A-Z]\w*?)?By([A-Z]\w*)$")
_STORE_CALL = lazy(r"[A-Za-z][a-z]+[A-Z]")  # GetPatient, listVisits: no key by itself
_QUALIFIER = lazy(
    r"(?:IgnoreCase|In|Is|Equals|Containing|StartingWith|Like|OrderBy\w*|(?:And)?DeletedFalse|Null|NotNull|True|False|ForUpdate|Tx)$"
)


def spelled_out(link: Link, args: tuple[Arg, ...], language: str) -> tuple[Arg, ...]:
    """Conditions in words: ``Where("id = ? AND org_id = ?", id, org)``, ``findByIdAndOrgId(id, org)``."""
    if args[0].value.kind == "name" and args[0].value.name in ("ctx", "context", "c", "tx"):
        args = args[1:]
    at = next((n for n, a in enumerate(args) if a.value.kind == "str" and _PLACE.search(a.value.name)), None)
    if at is not None:
        columns = _COLUMN.findall(args[at].value.name)
        values = args[at + 1 :]
        named = [Arg(name.rsplit(".", 1)[-1], a.value) for name, a in zip(columns, values, strict=False)]
        return (*args[:at], *named, *values[len(named) :])
    derived = _DERIVED.match(link.name)
    if derived is not None and args:
        keys = [_QUALIFIER.sub("", key) for key in re.split(r"(?<=[a-z0-9DI])(?:And|Or)(?=[A-Z])", derived[1])]
        if len(keys) <= len(args):
            named = [Arg(key[:1].lower() + key[1:], a.value) for key, a in zip(keys, args, strict=False)]
            return (*named, *args[len(named) :])
    if language == "go" and _STORE_CALL.match(link.name):
        return tuple(a if a.name is not None else Arg(_called(a.value), a.value) for a in args)
    return args


def _called(value: Expr) -> str | None:
    """What a plain argument is called: a variable, a field, the parameter of the route it is taken from."""
    links = chain(value)
    text = next((a.value.name for a in links[-1].args or () if a.value.kind == "str"), "")
    if value.kind == "call":
        return text or None
    return links[-1].name if value.kind in ("name", "attr") else None
