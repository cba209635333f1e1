"""Filters of a controller that hold for fewer of its actions than before: ``only`` got shorter, or an action is skipped now."""

from __future__ import annotations

from collections.abc import Iterator

from agentreview.lazyre import lazy
from agentreview.policies.loss import ACCESS, Loss
from agentreview.syntax.ruby_filters import FILTERS, filters, holds, limits, named
from agentreview.syntax.tree import Unit

_ABOUT_ACCESS = lazy(
    r"authenticat|authori[sz]|login|logged|signed|require|ensure|verify|check|permission|admin|access|owner|member|tenant|protect|guard|"
    r"doorkeeper|restrict|deny|forbid|role|staff|current_user"
)
_FORGERY = "verify_authenticity_token"  # about another site's form, not about who may


def narrowed(old: Unit, new: Unit) -> Iterator[Loss]:
    """What each filter that is still there, or that a base class adds, no longer runs around."""
    actions = [n for n in _methods(old) if n in _methods(new)]
    had, has = _running(old, actions), _running(new, actions)
    off_before, off_now = _skipped(old, actions), _skipped(new, actions)
    fresh = set(has) - set(had)
    for name, (covered, line) in had.items():
        if name in has:
            lost = [
                a for a in actions if a in covered - off_before.get(name, (frozenset(), 0))[0] and a not in has[name][0]
            ]
            if lost and _told(name):
                yield Loss(ACCESS, "the filter", f"{name} of {', '.join(lost[:4])}", line, has[name][1], sure=not fresh)
    for name, (skipped, line) in off_now.items():
        lost = [a for a in actions if a in skipped - off_before.get(name, (frozenset(), 0))[0]]
        if name not in had and name in has:
            continue
        if lost and _told(name):
            yield Loss(ACCESS, "the filter", f"{name} of {', '.join(lost[:4])}", line, line, sure=not fresh)


def _told(name: str) -> bool:
    return name != _FORGERY and _ABOUT_ACCESS.search(name) is not None


def _methods(unit: Unit) -> list[str]:
    return [c.name for c in unit.children if c.kind == "function" and c.exported and not c.anonymous]


Coverage = dict[str, tuple[frozenset[str], int]]


def _running(unit: Unit, actions: list[str]) -> Coverage:
    return _covered(unit, actions, skips=False)


def _skipped(unit: Unit, actions: list[str]) -> Coverage:
    return _covered(unit, actions, skips=True)


def _covered(unit: Unit, actions: list[str], *, skips: bool) -> Coverage:
    out: Coverage = {}
    for macro, call in filters(unit):
        if (macro in FILTERS) is skips:
            continue
        only, but = limits(call)
        held = frozenset(a for a in actions if holds(a, only, but))
        for name in named(call):
            known = out.get(name, (frozenset(), call.line))
            out[name] = (known[0] | held, known[1])
    return out
