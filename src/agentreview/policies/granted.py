"""What counts when a check says nothing, or when nobody looks at what it said: ``?? true``, ``|| "admin"``, ``allSettled``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from agentreview.lazyre import lazy
from agentreview.model import Hit
from agentreview.policies.guards import own_statements
from agentreview.syntax.facts import Fact, UnitFacts
from agentreview.syntax.patterns import chain
from agentreview.syntax.tree import expressions, subexpressions

SPOKEN = lazy(
    r"(?:\?\?|\|\||\bor)\s*(?:true\b|True\b|[\"'](?:admin|owner|super|root|staff))|\ballSettled\b", re.IGNORECASE
)
_GRANTS = frozenset({"True", "true"})
_HIGHEST = lazy(r"(?i)^(?:admin|administrator|owner|superuser|super_?admin|root|staff)$")
_RANK = lazy(r"(?i)(?:^|_)(?:roles?|permissions?|scopes?|access_?level)$|(?:Role|Permission|Scope)s?$")


def defaults(own: UnitFacts, concepts: Iterable[str]) -> Iterator[tuple[Fact, Hit]]:
    """What counts when a check says nothing: ``await check(user) ?? true``, ``user.role || "admin"``."""
    held = [f for f in own.facts if f.concept in concepts and f.concept != "audit"]
    for stmt in own_statements(own.unit):
        for expr in expressions(stmt):
            for sub in subexpressions(expr):
                if sub.kind == "bin" and sub.name.strip() in ("??", "||", "or") and len(sub.items) > 1:
                    first, last = sub.items[0], sub.items[-1]
                    guard = next((f for f in held if first.start <= f.start and f.end <= first.end), None)
                    if guard is not None and last.kind == "const" and last.name in _GRANTS:
                        yield guard, Hit.VIOLATION
                    names = [link.name for part in subexpressions(first) for link in chain(part)]
                    words = [*names, *(p.name for p in subexpressions(first) if p.kind == "str")]
                    if last.kind == "str" and _HIGHEST.match(last.name) and any(_RANK.search(w) for w in words):
                        at = Fact(
                            "authn", own.unit, sub.start, sub.end, sub.line, sub.end_line, f"{words[-1]} … {last.name}"
                        )
                        yield at, Hit.SUSPECT
        links = chain(stmt.value) if stmt.kind == "expr" and stmt.value is not None else []
        if links and links[-1].name == "allSettled":
            guard = next((f for f in held if stmt.start <= f.start and f.end <= stmt.end), None)
            if guard is not None:
                yield guard, Hit.VIOLATION
