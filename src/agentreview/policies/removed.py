"""Something was taken away: controls the version before had and this one has nowhere in reach."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from agentreview.facts import Facts
from agentreview.lazyre import lazy
from agentreview.model import Claim, Evidence, FileChange, Hit, Hunk
from agentreview.policies.claims import View, fill
from agentreview.policies.guards import called_anew, calls_of, dependencies
from agentreview.policies.load import Check, Policy
from agentreview.policies.loosened import losses, vanished
from agentreview.policies.loss import Loss
from agentreview.policies.paths import path_classes
from agentreview.policies.weakened import gone, is_test, thresholds, title, weakened
from agentreview.records import dataclass, replace
from agentreview.syntax.facts import Analysis, Fact
from agentreview.syntax.names import last_name
from agentreview.syntax.parse import text_of
from agentreview.syntax.tree import Module, Unit

_DATA = frozenset({"read", "write", "delete", "raw-sql", "generic-read", "generic-write"})
_DENIAL = lazy(
    r"\b40[13]\b|forbidden|permission|unauthor|authoriz|notallowed|accessdenied|notauthenticated", re.IGNORECASE
)
_REFUSES = lazy(r"\b40[134]\b|Forbidden\b|PermissionDenied\b|AccessDenied\b")  # it is what answers, not what asks


@dataclass(slots=True, eq=False)
class Removal:
    """A claim that holds unless the control of this concept turned up elsewhere in the change."""

    claim: Claim
    concept: str


def removals(policy: Policy, change: FileChange, before: View, after: View | None) -> list[Removal]:
    """Compare the two versions unit by unit. A unit that is gone took its controls with it: that is silent."""
    if set(policy.skip) & path_classes(change.path, before.facts.tests.paths):
        return []
    out: list[Removal] = []
    for check in policy.checks:
        if check.form == "loosened" and after is not None:
            out.extend(_loosened(policy, check, change, before, after))
        if check.form == "weakened" and after is not None:
            out.extend(_weakened(policy, check, change, before, after))
        if check.form == "removed":
            if after is None:
                out.extend(_deleted_module(policy, check, change, before))
            else:
                out.extend(_units(policy, check, change, before, after))
    return out


def _loosened(policy: Policy, check: Check, change: FileChange, before: View, after: View) -> Iterator[Removal]:
    """Controls that are still there and hold less (:mod:`agentreview.policies.loosened`)."""
    about = dict(check.when).get("about")
    told: set[tuple[str, str]] = set()
    for unit, new, loss in _losses(before.analysis, after.analysis):
        if loss.kind != about or (loss.text, unit.name) in told:
            continue
        told.add((loss.text, unit.name))
        gone = Fact("loosened", unit, 0, 0, loss.line, loss.line, f"{loss.what} {loss.text}".strip()[:200])
        claim = _claim(policy, check, change, before, after, unit, new, gone, asked=not loss.sure)
        yield Removal(replace(claim, identity=f"loosened:{loss.what}{loss.text}"[:300]), loss.concept)


def _losses(before: Analysis, after: Analysis) -> list[tuple[Unit, Unit, Loss]]:
    """Each unit that holds less, as it was and as it is. Worked out once: several policies ask, and every round again."""
    if before.compared is None or before.compared[0] is not after:
        old_module, new_module = before.module, after.module
        now = {u.qualname: u for u in new_module.units}
        pairs = [(u, now[u.qualname]) for u in old_module.units if not u.anonymous and u.qualname in now]
        found = [
            (u, new, loss)
            for u, new in pairs
            if _differs(old_module, u, new_module, new)
            for loss in losses(old_module, u, new_module, new)
        ]
        left = [(u, u.parent, loss) for u, loss in vanished(old_module, new_module) if u.parent is not None]
        before.compared = after, found + [(u, now[parent.qualname], loss) for u, parent, loss in left]
    known: list[tuple[Unit, Unit, Loss]] = before.compared[1]
    return known


def _weakened(policy: Policy, check: Check, change: FileChange, before: View, after: View) -> Iterator[Removal]:
    """Tests that prove less (:mod:`agentreview.policies.weakened`)."""
    if "tests" not in path_classes(change.path, before.facts.tests.paths):
        return
    old_module, new_module = before.analysis.module, after.analysis.module
    now = {title(u): u for u in new_module.units}
    known = {title(u) for u in old_module.units}
    added = any(is_test(u) and title(u) not in known for u in new_module.units)
    for unit in old_module.units:
        if unit.name == "<callback>":
            continue  # told with the function around it
        if old_module.language == "ruby" and (unit.anonymous or _GROUP.match(unit.name)):
            continue  # each example is a unit of its own there
        new = now.get(title(unit))
        found: Iterable[Loss] = ()
        if new is None and not added:  # else it may have been renamed, or several became one
            new, found = new_module.root, gone(old_module, unit)
        elif new is not None and (new.qualname != unit.qualname or _differs(old_module, unit, new_module, new)):
            found = weakened(old_module, unit, new_module, new)
        for loss in found:
            if new is None:
                continue
            lost = Fact("weakened", unit, 0, 0, loss.line, loss.line, f"{loss.what} {loss.text}".strip()[:200])
            claim = _claim(policy, check, change, before, after, unit, new, lost, asked=not loss.sure)
            yield Removal(replace(claim, identity=f"weakened:{loss.what}{loss.text}"[:300]), "")


def asked_less(policy: Policy, check: Check, change: FileChange, facts: Facts) -> Iterator[Claim]:
    """Coverage that the settings of the test runner ask less of than before."""
    if change.before is None or change.after is None:
        return
    after = text_of(change.after)
    for line, what in thresholds(change.path, text_of(change.before), after):
        names = {"unit": change.path.rsplit("/", 1)[-1], "call": f"the threshold {what}", "value": what}
        yield Claim(
            rule=policy.id, path=change.path, unit="", start_line=line, end_line=line, quote=after.split("\n")[line - 1], side="after",
            identity=f"weakened:{what}", message=fill(check.message, names), fix=fill(check.fix or policy.rule.fix, names), hit=check.hit,
            evidence=(), confirmed=facts.settle(policy.needs), severity=check.severity,
        )  # fmt: skip


_GROUP = lazy(r"(?:describe|context|feature|shared_\w+)\(")


def _differs(before: Module, old: Unit, after: Module, new: Unit) -> bool:
    return before.source[old.start : old.end] != after.source[new.start : new.end]


def _units(policy: Policy, check: Check, change: FileChange, before: View, after: View) -> Iterator[Removal]:
    # What was read, in order: the units of the module, and registrations of handlers that stand in other files.
    now = {own.unit.qualname: own.unit for own in after.analysis.units.values()}
    around: set[tuple[str, int]] = set()
    for unit in [own.unit for own in before.analysis.units.values()]:
        new = now.get(unit.qualname)
        if new is not None and "trail" in check.concepts:
            yield from _who_and_when(policy, check, change, before, after, unit, new)
        if new is None:
            yield from _hook(policy, check, change, before, after, unit)
            yield from _listener(policy, check, change, before, after, unit)
        if new is None or (unit.kind == "module" and "trail" not in check.concepts and "audit" not in check.concepts):
            continue
        old_own, new_own = before.analysis.own(unit).facts, after.analysis.own(new).facts
        if (
            any(f.concept in _DATA for f in old_own)
            and not any(f.concept in _DATA for f in new_own)
            and id(new) not in after.analysis.endpoints
            and new.kind == "function"
        ):
            continue  # what was guarded is gone too, or moved out
        said = ""
        # A new call that is given the caller, or asks by its name, may be the same check in other words: advice then.
        fresh = _asked(after, new) - _asked(before, unit)
        in_front = _in_front(new) - _in_front(unit)
        asked = bool(fresh or in_front)
        tamed = (
            any(_TAMES.search(name) for name in _called(new) - _called(unit)) if "sanitize" in check.concepts else False
        )
        for concept in check.concepts:
            gone = _missing(concept, old_own, new_own)
            if gone is None or _reach(concept, after, new) >= _reach(concept, before, unit):
                continue
            if _reworded(gone, fresh) or _said_once(gone, before, new_own, after):
                continue
            if concept == "sanitize" and _other_sink(old_own, new_own):
                continue
            if (
                _LISTED.search(gone.call)
                and not _ACTING & {f.concept for f in (*old_own, *new_own)}
                and id(new) not in after.analysis.endpoints
                and called_anew(unit, new)
            ):
                continue  # a question about a list that stood in front of nothing, asked of something else now
            if gone.framework == "comparison" and _asking(new_own) >= _asking(old_own):
                continue  # the caller is compared with something else now
            if (
                concept == "validate"
                and id(new) not in after.analysis.endpoints
                and not any(f.concept in _DATA for f in new_own)
            ):
                continue  # a form or page that parses its own state guards nothing
            if concept == "authn" and after.facts.access.default == "deny" and new.kind != "module":
                continue
            if concept in ("object-check", "membership", "scope") and _limited(new_own) > _limited(old_own):
                continue  # the check became a predicate of the query
            if _elsewhere(concept, before, unit, after, new):
                continue
            said += concept
            if gone.end and not unit.start <= gone.start < unit.end:
                if (concept, gone.start) in around:
                    continue  # it stood in front of a whole group: said once
                around.add((concept, gone.start))
            # One of several ways to verify went; whether what is left is enough is a question.
            left = concept == "token-check" and any(f.concept == concept and f.call == gone.call for f in new_own)
            shown = concept in ("authn", "object-check", "membership") and bool(_HOOKS & _called(new))
            perhaps = asked or left or shown or (tamed and concept == "sanitize")
            what = "the refusal " if _REFUSES.search(before.analysis.module.source[gone.start : gone.end]) else ""
            yield Removal(
                _claim(policy, check, change, before, after, unit, new, gone, what=what, asked=perhaps), concept
            )
        if (
            "scope" in check.concepts
            and _limited(new_own) < _limited(old_own)
            and _questions(new_own) <= _questions(old_own)
        ):
            for gone in _unscoped(old_own, new_own):
                yield Removal(
                    _claim(
                        policy,
                        check,
                        change,
                        before,
                        after,
                        unit,
                        new,
                        gone,
                        what="the tenant predicate of ",
                        asked=asked,
                    ),
                    "query-scope",
                )
        if "authn" in check.concepts and "authn" not in said:
            lost = _denials(old_own, before) - _denials(new_own, after)
            if lost > 0 and not in_front and _denials_in_reach(before, unit) > _denials_in_reach(after, new):
                gone = next(f for f in old_own if _is_denial(f, before))
                yield Removal(
                    _claim(policy, check, change, before, after, unit, new, gone, what="the refusal ", asked=asked),
                    "denial",
                )


def _asked(view: View, unit: Unit) -> set[str]:
    """Questions that a function asks, or the methods of a class: what a class declared, they may ask now."""
    members = [unit, *(child for child in unit.children if unit.kind == "class")]
    return {name for member in members for name in view.analysis.own(member).questions}


def _in_front(unit: Unit) -> set[str]:
    """Dependencies in front of a function that check by their name: ``dependencies=[Depends(check_builder)]``."""
    return {name for name in map(last_name, dependencies(unit)) if _STRONG.search(name)}


def _elsewhere(concept: str, before: View, old: Unit, after: View, new: Unit) -> bool:
    """Whether another file now lends the control that this one lost: a helper, a base class, a mount that was there already."""
    now = sum(f.concept == concept for f in after.from_elsewhere(new))
    return now > sum(f.concept == concept for f in before.from_elsewhere(old)) if now else False


def _hook(policy: Policy, check: Check, change: FileChange, before: View, after: View, unit: Unit) -> Iterator[Removal]:
    """A method that the framework calls by itself is gone with the check in it, and its class is still there."""
    cls = unit.parent
    if unit.kind != "function" or cls is None or cls.kind != "class" or id(unit) in before.analysis.endpoints:
        return
    language = (
        before.analysis.module.language
    )  # where a compiler looks, nobody calls a method by itself but an override
    if language == "go" or (language == "java" and not any(last_name(d) == "Override" for d in unit.decorators)):
        return
    new = next((u for u in after.analysis.module.units if u.kind == "class" and u.qualname == cls.qualname), None)
    if new is None or {last_name(b) for b in new.bases} != {last_name(b) for b in cls.bases}:
        return  # another base class may do it now
    if re.search(rf"\b{re.escape(unit.name)}\b", after.analysis.module.source) or re.search(
        rf"(?:self|this|cls)\.{re.escape(unit.name)}\b", before.analysis.module.source
    ):
        return
    if before.analysis.module.language == "ruby" and before.analysis.module.source.count(unit.name) > 1:
        return  # called by its bare name
    if any(f.concept in _DATA for f in before.analysis.own(unit).facts):
        return
    for concept in check.concepts:
        gone = next(
            (f for f in before.analysis.own(unit).facts if f.concept == concept and concept != "validate"), None
        )
        if gone is not None:
            yield Removal(
                _claim(policy, check, change, before, after, unit, new, gone, what=f"{unit.name} with "), concept
            )
            return


# A component that calls these runs in the browser: what it asks decides what is shown there, and protects nothing.
_HOOKS = frozenset("useState useEffect useReducer useRef useMemo useCallback useLayoutEffect".split())
_TAMES = lazy(r"(?i)safe|saniti|valid|clean|escape|allow|trusted|encod|confine")


def _called(unit: Unit) -> set[str]:
    return {name for name, _ in calls_of(unit)}


_WHO_AND_WHEN = lazy(
    r"(?i)^(?:created|updated|modified|deleted|approved|signed|accessed|last_accessed)_?(?:by|at|on)(?:_?id)?$"
)


def _who_and_when(
    policy: Policy, check: Check, change: FileChange, before: View, after: View, unit: Unit, new: Unit
) -> Iterator[Removal]:
    """A model of patients no longer keeps who changed a row, or when."""
    if unit.kind != "class" or not before.analysis.lexicon.phi_resource(unit.name):
        return
    if {last_name(b) for b in unit.bases} != {last_name(b) for b in new.bases}:
        return  # a base class may keep them now
    kept = {t.name for s in new.body for t in s.targets}
    for stmt in unit.body:
        lost = next((t.name for t in stmt.targets if _WHO_AND_WHEN.match(t.name) and t.name not in kept), "")
        if lost:
            fact = Fact("trail", unit, stmt.start, stmt.end, stmt.line, stmt.end_line, lost, resource=unit.name)
            yield Removal(
                _claim(policy, check, change, before, after, unit, new, fact, what="the column "), f"column:{lost}"
            )


_LISTENS = frozenset("listens_for receiver connect EventSubscriber on_event".split())


def _listener(
    policy: Policy, check: Check, change: FileChange, before: View, after: View, unit: Unit
) -> Iterator[Removal]:
    """A function that an event called by itself is gone, and the record it wrote with it."""
    if unit.kind == "module" or not any(last_name(d) in _LISTENS for d in unit.decorators):
        return
    for concept in ("audit", "trail"):
        lost = next((f for f in before.analysis.own(unit).facts if f.concept == concept), None)
        if lost is not None and concept in check.concepts:
            root = after.analysis.module.root
            yield Removal(
                _claim(policy, check, change, before, after, unit, root, lost, what="the listener with "), concept
            )
            return


_STRONG = lazy(
    r"authori[sz]|permi|^is_?same|^(?:check|ensure|assert|require|verify|enforce)_?[A-Z_a-z]|can[A-Z_]|^can$|access|guard|owner",
    re.IGNORECASE,
)


def _reworded(gone: Fact, fresh: set[str]) -> bool:
    """A comparison that became a named check, or a check that became one whose name contains its name."""
    callee = gone.call.rsplit(".", 1)[-1].lower()
    if gone.framework == "comparison":
        return any(_STRONG.search(name) for name in fresh)
    return len(callee) >= 4 and any(callee in name.lower() for name in fresh)


def _said_once(gone: Fact, before: View, now: list[Fact], after: View) -> bool:
    """The very same call is still made in the unit: it was made twice, and its answer is kept now."""
    if gone.concept not in ("sanitize", "object-check", "membership") or gone.end <= gone.start:
        return False
    text = before.analysis.module.source[gone.start : gone.end]
    return any(
        f.concept == gone.concept and not f.via and after.analysis.module.source[f.start : f.end] == text for f in now
    )


_ACTING = frozenset({"exec", "fetch", "file-path", "template", "eval", "markup", "open-redirect", "raw-sql"})


_LISTED = lazy(r"(?:^|\.)(?:include\?|includes|has|contains|containsKey|in\?|key\?|has_key\?|member\?|cover\?)$")


def _other_sink(old: list[Fact], new: list[Fact]) -> bool:
    """What the guard stood in front of was replaced as well, perhaps by something that guards itself."""
    had = {f.call for f in old if f.concept in _ACTING}
    return bool(had) and not had & {f.call for f in new}


def _missing(concept: str, old: list[Fact], new: list[Fact]) -> Fact | None:
    """The first control of this concept that is no longer among the unit's own, by callee and resource."""
    have: Counter[tuple[str, str]] = Counter(
        (f.call.rsplit(".", 1)[-1], f.resource) for f in new if f.concept == concept
    )
    missing = None
    for fact in old:
        if fact.concept != concept:
            continue
        key = (fact.call.rsplit(".", 1)[-1], fact.resource)
        if have[key] > 0:
            have[key] -= 1
        elif missing is None:
            missing = fact
    old_count = sum(f.concept == concept for f in old)
    new_count = sum(f.concept == concept for f in new)
    return missing if new_count < old_count else None


def _questions(facts: list[Fact]) -> int:
    return sum(f.concept in ("object-check", "membership", "scope") for f in facts)


def _asking(facts: list[Fact]) -> int:
    return sum(f.concept in ("object-check", "membership") for f in facts)


def _limited(facts: list[Fact]) -> int:
    return sum(f.scoped + f.owned for f in facts if f.concept in ("read", "write", "delete"))


def _reach(concept: str, view: View, unit: Unit) -> int:
    return sum(f.concept == concept for f in view.in_reach(unit))


def _unscoped(old: list[Fact], new: list[Fact]) -> Iterator[Fact]:
    """Queries of a resource that were limited to the tenant (or the caller) and still run, unlimited."""
    for resource in {f.resource for f in old if f.concept in ("read", "write", "delete") and f.resource}:
        before = [f for f in old if f.resource == resource and f.concept in ("read", "write", "delete")]
        after = [f for f in new if f.resource == resource and f.concept in ("read", "write", "delete")]
        for attribute in ("scoped", "owned"):
            had, has = sum(getattr(f, attribute) for f in before), sum(getattr(f, attribute) for f in after)
            bare_before, bare_after = len(before) - had, len(after) - has
            if has < had and bare_after > bare_before:
                yield next(f for f in before if getattr(f, attribute))
                break


def _is_denial(fact: Fact, view: View) -> bool:
    return (
        fact.concept in ("deny", "raise")
        and not fact.via
        and _DENIAL.search(view.analysis.module.source[fact.start : fact.end]) is not None
    )


def _denials(facts: list[Fact], view: View) -> int:
    return len({fact.line for fact in facts if _is_denial(fact, view)})


def _denials_in_reach(view: View, unit: Unit) -> int:
    own = _denials(view.analysis.own(unit).facts, view)
    return own + sum(
        1
        for f in view.in_reach(unit)
        if f.concept in ("authn", "object-check", "membership") or (f.via and f.concept in ("deny", "raise"))
    )


def _deleted_module(policy: Policy, check: Check, change: FileChange, before: View) -> Iterator[Removal]:
    """A whole file is gone: silent, unless recording was its purpose."""
    name = change.path.rsplit("/", 1)[-1].lower()
    facts = [
        f
        for own in before.analysis.units.values()
        for f in own.facts
        if f.concept in check.concepts and f.concept in ("audit", "trail")
    ]
    if "audit" in name and facts:
        yield Removal(
            _claim(policy, check, change, before, None, facts[0].unit, None, facts[0], what="with the file "),
            facts[0].concept,
        )


def _claim(
    policy: Policy, check: Check, change: FileChange, before: View, after: View | None, old: Unit, new: Unit | None, gone: Fact, *, what: str = "", asked: bool = False,
) -> Claim:  # fmt: skip
    quote = before.quote(gone.line)
    line = map_line(change.hunks, gone.line) if after is not None else gone.line
    if after is not None and new is not None:
        line = min(max(line, new.line), new.end_line)
        while line > new.line and not after.quote(line).strip():
            line -= 1
    unit = old.qualname if old.kind != "module" else "this module"
    names = {
        "unit": unit,
        "resource": gone.resource or "the record",
        "call": what + gone.call,
        "value": (what if what.startswith("the ") else "") + gone.call,
        "line": str(gone.line),
        "tenant": before.facts.tenant.key or "the tenant key",
    }
    view = after if after is not None else before
    return Claim(
        rule=policy.id, path=change.path, unit=old.qualname, start_line=line, end_line=line, quote=view.quote(line), side="after" if after is not None else "before",
        identity=f"removed:{gone.concept}:{gone.call}", message=fill(check.message, names), fix=fill(check.fix or policy.rule.fix, names), hit=Hit.SUSPECT if asked else check.hit,
        evidence=(Evidence(path=change.old_path or change.path, line=gone.line, shows="was here before this change", quote=quote.strip()),),
        confirmed=before.facts.settle(policy.needs),
    )  # fmt: skip


def map_line(hunks: tuple[Hunk, ...], line: int) -> int:
    """Where a line of the old side would be on the new side; a removed line maps to where it was taken out."""
    shift = 0
    for hunk in hunks:
        if line < hunk.old_start:
            break
        if line < hunk.old_start + hunk.old_lines:
            kept = sum(1 for n in range(hunk.old_start, line) if n not in hunk.removed)
            position = hunk.new_start
            for number in range(hunk.new_start, hunk.new_start + hunk.new_lines):
                if kept == 0:
                    break
                if number not in hunk.added:
                    kept -= 1
                position = number + 1
            return max(position, 1)
        shift = (hunk.new_start + hunk.new_lines) - (hunk.old_start + hunk.old_lines)
    return max(line + shift, 1)
