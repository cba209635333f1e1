"""The form that finds controls whose failure is swallowed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agentreview.model import Claim, Hit
from agentreview.policies.claims import View, make_claim
from agentreview.policies.granted import SPOKEN, defaults
from agentreview.policies.load import Check, Policy
from agentreview.policies.unheeded import unheeded
from agentreview.records import replace
from agentreview.syntax.facts import Fact, UnitFacts
from agentreview.syntax.reach import own_and_helpers
from agentreview.syntax.tree import Expr, Handler, Stmt, Unit, statements, text, words_of

_NOTHING = frozenset({"null", "undefined", "false"})


def swallow(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    """Claim every handler that lets the code go on as if the failed control had passed."""
    if "audit" in check.concepts and view.facts.audit.delivery == "outbox":
        check = replace(check, concepts=tuple(c for c in check.concepts if c != "audit"))
    source = view.analysis.module.source
    spoken = (
        "??" in source or "||" in source or not words_of(view.analysis.module).isdisjoint(("or", "OR", "allSettled"))
    ) and SPOKEN.search(source) is not None
    for own in list(view.analysis.units.values()):
        for guard, hit in () if not spoken else defaults(own, check.concepts):
            at = (guard.line, guard.end_line)
            yield make_claim(
                policy, check, view, own.unit, fact=guard, identity=f"default:{guard.call}", at=at, hit=hit
            )
        returned = view.analysis.module.language == "go"  # errors are values there, not exceptions
        if not (own.tries or own.catches or own.suppressed or (returned and own.unit.kind == "function")):
            continue
        refusals = {
            f.start for f in own.facts if f.concept in ("deny", "raise")
        }  # return 403 is an answer, not a check that can fail
        every = own_and_helpers(view.analysis, own.unit)
        answers = {(f.call, f.via) for f in every if f.concept == "deny"}  # the same of a helper's
        held = [
            f
            for f in every
            if f.concept in check.concepts and f.start not in refusals and (f.call, f.via) not in answers
        ]
        denied = [f for f in own.facts if f.concept == "deny"]
        dropped = unheeded(own.unit, held, denied) if returned else _swallowed(view, own, held)
        for guard, lines, statements_around in dropped:
            # An audit write among much other work: what fails may be the work, which then did not happen either.
            busy = guard.concept == "audit" and statements_around > 4
            hit = Hit.SUSPECT if busy else check.hit
            identity = f"swallow:{guard.call}"
            yield make_claim(policy, check, view, own.unit, fact=guard, identity=identity, at=lines, hit=hit)


def _swallowed(view: View, own: UnitFacts, held: list[Fact]) -> Iterator[tuple[Fact, tuple[int, int], int]]:
    """Controls whose failure is swallowed: (control, lines that swallow it, statements around the control)."""
    for stmt in own.tries:
        guard = _inside(held, stmt.body)
        for handler in stmt.handlers if guard is not None else ():
            if guard is not None and _falls_open(stmt, handler, view, own.unit, guard):
                yield guard, (handler.line, handler.end_line), len(list(statements(stmt.body)))
    for expr, callback in own.catches:
        guard = next((f for f in held if expr.start <= f.start and f.end <= expr.end), None)
        if guard is None or any(s.kind == "raise" for s in statements(callback.body)):
            continue
        if guard.concept != "audit" and _kept(own.unit, expr, callback):
            continue
        if not _denies(view, own.unit, callback.start, callback.end):
            yield guard, (callback.line, callback.end_line), 1
    for stmt in own.suppressed:
        guard = _inside(held, stmt.body)
        if guard is not None:
            yield guard, (stmt.line, stmt.line), 1


def _kept(unit: Unit, expr: Expr, callback: Unit) -> bool:
    """``const user = await verify(token).catch(() => null)``: the outcome is in a variable, whoever reads it decides."""
    nothing = all(s.kind == "return" and s.value is not None and s.value.name in _NOTHING for s in callback.body)
    return nothing and any(
        s.kind == "assign" and s.value is not None and s.start <= expr.start < s.end for s in statements(unit.body)
    )


def _inside(facts: Iterable[Fact], body: tuple[Stmt, ...]) -> Fact | None:
    if not body:
        return None
    start, end = body[0].start, body[-1].end
    return next((f for f in facts if start <= f.start and f.end <= end), None)


def _denies(view: View, unit: Unit, start: int, end: int) -> bool:
    return any(f.concept in ("deny", "raise") and start <= f.start < end for f in own_and_helpers(view.analysis, unit))


def _falls_open(tried: Stmt, handler: Handler, view: View, unit: Unit, guard: Fact) -> bool:
    """Whether a failing check leaves the code running as if it had passed."""
    if guard.concept == "audit" and guard.via:
        return False  # the try is about the work that audits, not about the audit call
    returns = False
    for stmt in statements(handler.body):
        if stmt.kind == "raise":
            return False
        if stmt.kind == "return":
            if stmt.value is not None and stmt.value.kind == "const" and stmt.value.name in ("True", "true"):
                return True
            returns = True
        if stmt.kind == "other" and stmt.op in ("continue", "break"):
            returns = True
        if stmt.kind == "assign" and guard.concept != "audit":
            return False  # the outcome is kept in a variable: whoever reads it decides
        if stmt.value is not None and text(view.analysis.module, stmt.value).startswith(
            ("sys.exit", "process.exit", "abort(", "next(e", "reject(", "done(e", "cb(e")
        ):
            return False
    if returns or _denies(view, unit, handler.start, handler.end):
        return False
    return guard.concept == "audit" or _reached_unchecked(tried, view, unit, guard)


def _reached_unchecked(tried: Stmt, view: View, unit: Unit, guard: Fact) -> bool:
    """Whether guarded code runs after the handler: work inside the try is skipped with the check that failed."""
    at = next((n for n, s in enumerate(tried.body) if s.start <= guard.start < s.end), len(tried.body))
    holder = tried.body[at] if at < len(tried.body) else None
    if holder is not None and (
        holder.kind == "return"
        or (holder.kind == "assign" and all(t.kind in ("name", "list", "dict") for t in holder.targets))
    ):
        return False  # what follows is the failure's path, or the outcome is in a variable that the code looks at
    if tried.orelse or any(s.kind != "assign" for s in tried.body[at + 1 :]):
        return False
    rest = _rest(unit.body, tried)
    if not rest:
        return True  # the whole function is the check, or a callback
    first = rest[0]
    refuses = first.kind == "raise" or (
        first.kind == "return"
        and (first.value is None or first.value.name in ("False", "false", "None", "null", "undefined"))
    )
    return not refuses and not (first.kind == "return" and _denies(view, unit, first.start, first.end))


def _rest(body: tuple[Stmt, ...], wanted: Stmt) -> tuple[Stmt, ...] | None:
    """Statements that run after one of the body's, nested blocks included; the next round of a loop is not followed."""
    for at, stmt in enumerate(body):
        if stmt is wanted:
            return body[at + 1 :]
        for block in (stmt.body, stmt.orelse, stmt.final, *(h.body for h in stmt.handlers)):
            found = _rest(block, wanted)
            if found is not None:
                return found if stmt.kind in ("for", "while") and found else found + body[at + 1 :]
    return None
