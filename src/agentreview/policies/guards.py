"""Guards by their names: a check that nothing in the framework files spells, and a wrapper that hid or disarmed a value.

Projects call their checks what they like, but they call them something that says so: ``throwIfNoEntitlement``,
``hasSubPerm``, ``validateQueryTables``, ``FilterListsByPerm``. What counts is that one stood in a function, decided there
(it throws by its name, or a refusal follows it), and is gone while the function is still there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agentreview.lazyre import lazy
from agentreview.policies.loss import ACCESS, INPUT, Loss
from agentreview.syntax.patterns import chain
from agentreview.syntax.tree import Expr, Module, Stmt, Unit, expressions, statements, subexpressions

_THROWS = lazy(
    r"^_*(?:(?:throw|raise|abort|deny|forbid|fail|reject|refuse)_?(?i:if|unless|when|without|not?)|(?:check|ensure|assert|require|verify|enforce|authori[sz]e|must|validate|guard)(?=$|[A-Z_.]))"
)
_ANSWERS = lazy(
    r"^_*(?:has|can|may|is|user_?(?:has|can|is)|check|ensure|verify|validate|authori[sz]e)_?(?=$|[A-Z_a-z])|(?i:perm(?!anent)|authori[sz]ed|allowed|accessible)"
)
_ABOUT = lazy(
    r"(?i)perm(?!anent)|authori[sz]|access|entitle|role|owner|member|tenant|admin|allowed|polic[yi]|scope|privilege|grant|^_*can(?=[A-Z_])|^_*may(?=[A-Z_])"
)
_EDGE = lazy(
    r"(?i)ur[il]|path|host|ssrf|origin|signature|csrf|token|sql|quer|html|xss|redirect|upload|nonce|captcha|recaptcha"
)
_LIMITS = lazy(
    r"(?i)by_?(?:perm|access|role|user|tenant|org|owner)|(?:permitted|accessible|visible|allowed)_?(?:for|to|by|only)?"
)
_SETS = lazy(r"^_*set(?=[A-Z_])")  # it is told what may, and asks nothing
_WRAPS = lazy(
    r"(?i)^_*(?:redact|mask|scrub|obfuscate|anonymi[sz]e|de_?identify|pseudonymi[sz]e|encrypt|saniti[sz]e|escape|quote|(?:get|to|as)_?(?:redact|mask|scrubb|obfuscat|anonymi[sz]|encrypt|saniti[sz]|escap)ed)"
)
_SAFE = lazy(r"(?i)safe|saniti|valid|clean|escape|allow|trusted|encod|confine|redact|mask|scrub|encrypt|summar")
_REFUSAL = lazy(
    r"\braise\b|\bthrow\b|\breturn\b[^;]*\b(?:[eE]rr\w*|false|False|None|null|nil)\b|return;?\s*$|\b4(?:0[0134]|22)\b|(?i:forbid|unauthor|denied|abort|reject|redirect)|\bnext\("
)


def taken_away(before: Module, old: Unit, after: Module, new: Unit) -> Iterator[Loss]:
    """Named checks that decided in the unit and are gone from it, and values that are no longer wrapped."""
    if old.kind == "class":
        return
    had, has = _named(before, old), _named(after, new)
    fresh = set(has) - set(had)
    asks = any(_THROWS.search(name) or _ABOUT.search(name) or _SAFE.search(name) for name in fresh)
    # Most of it is gone: perhaps what was guarded is, too. And a module is all its handlers at once.
    coarse = _size(new) * 2 < _size(old) or old.kind == "module"
    deciding = _deciding(before, old)
    lent = _lent(old, after, new)
    for name, found in had.items():
        if len(has.get(name, ())) >= len(found) or name in lent:
            continue
        line = found[0].line
        about = ACCESS if _ABOUT.search(name) else INPUT
        if _said_again(before, found, after, has.get(name, ())):
            continue
        if name in deciding:
            if about == INPUT and name.lstrip("_").startswith("check") and not _EDGE.search(name):
                continue  # ``checkIfRulesHaveChanged``: a page that looks after itself
            sure = (about == ACCESS or _EDGE.search(name) is not None) and not asks and not coarse
            yield Loss(about, "the check", f"{name}(…)", deciding[name], sure=sure, concept=_concept(name))
        elif _WRAPS.search(name) and not any(_WRAPS.search(n) or _SAFE.search(n) for n in fresh):
            text = after.source[new.body[0].start : new.end] if new.body else ""
            bare = next((c for c in found if c.args and _still(before, c.args[0].value, text)), None)
            if bare is not None:
                yield Loss(
                    INPUT,
                    "what hid or disarmed a value:",
                    f"{name}(…)",
                    bare.line,
                    sure=not coarse,
                    concept=_concept(name),
                )
        elif _LIMITS.search(name) and _ABOUT.search(name) and not _SETS.match(name):
            yield Loss(ACCESS, "the limit", f"{name}(…)", line, sure=not asks and not coarse, concept=_concept(name))


def _lent(old: Unit, after: Module, new: Unit) -> set[str]:
    """What functions of this file call that the unit calls now and did not before: a check that several make is one of its own."""
    fresh = {name for name, _ in calls_of(new)} - {name for name, _ in calls_of(old)}
    return {name for unit in after.units if unit.name in fresh and unit is not new for name, _ in calls_of(unit)}


def _concept(name: str) -> str:
    return f"guard:{name.rpartition('.')[2]}"


def _said_again(before: Module, had: list[Expr], after: Module, has: Sequence[Expr]) -> bool:
    """Whether each call that was made is still made in the same words: it was made twice, and its answer is kept now."""
    now = {after.source[call.start : call.end] for call in has}
    return all(before.source[call.start : call.end] in now for call in had)


def _still(module: Module, value: Expr, text: str) -> bool:
    """Whether what was wrapped is still used, by its own text: long enough to be more than a common word."""
    said = module.source[value.start : value.end].strip()
    return (
        value.kind in ("name", "attr", "sub", "call")
        and len(said) > 2
        and re.search(rf"(?<![\w.]){re.escape(said)}(?!\w)", text) is not None
    )


_FEW = lazy(r"(?i)admin|super_?user|staff(?!_id)|owner|\broot\b")
_FRONT = lazy(
    r"(?i)role|auth|perm|requir|secured|guard|polic|access|admin|staff|superuser|owner|check|verify|ensure|user"
)


def opened(before: Module, old: Unit, after: Module, new: Unit) -> Iterator[Loss]:
    """``Depends(check_admin)`` that became ``Depends(check_user)``: still asked who comes, and no longer one of few."""
    had, has = _front(before, old), _front(after, new)
    few = [text for text in had if _FEW.search(text)]
    if few and len(has) >= len(had) and not any(_FEW.search(text) for text in has):
        yield Loss(ACCESS, "in front of it", few[0][:80], had[few[0]], sure=False)


def dependencies(unit: Unit) -> list[Expr]:
    """What stands in ``Depends(…)`` in front of a function: in its decorators, and in types and defaults of its parameters."""
    handed = [e for p in unit.params for e in (p.annotation, p.default) if e is not None]
    calls = [c for e in (*unit.decorators, *handed) for c in subexpressions(e) if c.kind == "call" and c.args]
    return [c.args[0].value for c in calls if chain(c)[-1].name in ("Depends", "Security")]


def _front(module: Module, unit: Unit) -> dict[str, int]:
    """What stands in front of a function and asks: decorators by their names, and dependencies, with their lines."""
    asked = dependencies(unit)
    asked += [d for d in unit.decorators if "/" not in module.source[d.start : d.end]]
    said = ((" ".join(module.source[e.start : e.end].split()), e) for e in asked if _FRONT.search(chain(e)[-1].name))
    return {text: e.line for text, e in said}


_PACKAGES = frozenset("validate check guard ensure verify enforce".split())


def _said(module: Module, call: Expr) -> str:
    """The last name of a callee; in Go with a package that says what its functions are for: ``validate.WebhookURL``."""
    links = chain(call)
    packaged = module.language == "go" and len(links) == 2 and links[0].name in _PACKAGES
    return f"{links[0].name}.{links[1].name}" if packaged else links[-1].name


def _named(module: Module, unit: Unit) -> dict[str, list[Expr]]:
    out: dict[str, list[Expr]] = {}
    for _, call in calls_of(unit):
        name = _said(module, call)
        if (
            _THROWS.search(name)
            or _ANSWERS.search(name)
            or _ABOUT.search(name)
            or _WRAPS.search(name)
            or _SAFE.search(name)
            or _LIMITS.search(name)
        ):
            out.setdefault(name, []).append(call)
    return out


def _deciding(module: Module, unit: Unit) -> dict[str, int]:
    """Callees that decide whether the function goes on, with the line: they stand alone and throw by their name, are asked
    in the condition of a refusal, or fill the variable that the next one asks.
    """
    out: dict[str, int] = {}
    filled: dict[str, str] = {}
    for stmt in own_statements(unit):
        called = [
            (_said(module, e), e.line)
            for source in expressions(stmt)
            for e in subexpressions(source)
            if e.kind == "call"
        ]
        if stmt.kind == "expr":
            out.update({name: line for name, line in called[:1] if _THROWS.search(name)})
        elif stmt.kind == "assign":
            asked = [name for name, _ in called if _THROWS.search(name) or _ANSWERS.search(name)]
            for target in stmt.targets:
                for part in subexpressions(target):
                    if part.kind == "name":
                        filled[part.name] = asked[0] if asked else ""
        elif stmt.kind == "if" and stmt.value is not None and _refuses(module, stmt):
            out.update({name: line for name, line in called if _THROWS.search(name) or _ANSWERS.search(name)})
            for part in subexpressions(stmt.value):
                if part.kind == "name" and filled.get(part.name):
                    out.setdefault(filled[part.name], stmt.line)
        elif stmt.kind == "return" and called and _ABOUT.search(called[0][0]) and _THROWS.search(called[0][0]):
            out.update(dict(called[:1]))
    return out


def _refuses(module: Module, stmt: Stmt) -> bool:
    if not stmt.body or len(stmt.body) > 4:
        return False
    last = stmt.body[-1]
    return _REFUSAL.search(" ".join(module.source[last.start : last.end].split())[:300]) is not None


def _size(unit: Unit) -> int:
    return sum(1 for _ in own_statements(unit))


def own_statements(unit: Unit) -> Iterator[Stmt]:
    """Statements of a unit and of the anonymous functions in it, bounded."""
    stack = [unit]
    for _ in range(400):
        if not stack:
            return
        node = stack.pop()
        yield from statements(node.body)
        stack.extend(child for child in node.children if child.anonymous)


def calls_of(unit: Unit) -> tuple[tuple[str, Expr], ...]:
    """Every call of a unit and of its decorators, by the last name of its callee; bounded. Found once: every comparison asks."""
    if unit.calls is None:
        sources = [e for stmt in own_statements(unit) for e in expressions(stmt)]
        found = [sub for source in (*unit.decorators, *sources) for sub in subexpressions(source) if sub.kind == "call"]
        unit.calls = tuple((chain(sub)[-1].name, sub) for sub in found[:2000])
    return unit.calls


_SAYS = frozenset("Log Logf Println Printf print println printf log info debug".split())


def called_anew(old: Unit, new: Unit) -> bool:
    """Whether the unit calls something by a name it did not call before: what is gone may be in there. Prints hold nothing."""
    return bool({name for name, _ in calls_of(new)} - {name for name, _ in calls_of(old)} - _SAYS)
