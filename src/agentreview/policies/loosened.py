"""A control that is still there and holds less: a condition narrowed, an argument dropped, a switch off, a list shorter.

Each detector compares one unit of the version before with the same unit now and yields what it lost. ``kind`` says
what the control was about: ``access`` (who may) or ``input`` (what may go through: validation, escaping, masking).
Only changes that can only loosen are told: a condition that gained an alternative of its own was rewritten, and
whether the new one is stronger is not for this module.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from agentreview.lazyre import lazy
from agentreview.policies.filtered import narrowed
from agentreview.policies.guards import called_anew, calls_of, opened, own_statements, taken_away
from agentreview.policies.literals import forgotten
from agentreview.policies.loss import ACCESS, INPUT, Loss
from agentreview.syntax.patterns import chain
from agentreview.syntax.tree import Expr, Module, Stmt, Unit

_ABOUT_ACCESS = lazy(
    r"perm(?!anent)|role|admin|owner|author(?!s?_name)|staff|superuser|member|tenant|organi[sz]ation|workspace|\buser\b|current_?user|\bsession\b|login|guest|scope|polic|\bacl\b|internal|privilege|allowed_?to|\bcan[A-Z_]|is_?(?:self|me)\b",
    re.IGNORECASE,
)
_REFUSES = lazy(
    r"\braise\b|\bthrow\b|return\s+(?:False|false|None|null|undefined)?\s*;?\s*$|\b4(?:0[0134]|22|29)\b|forbid|unauthor|denied|\babort\b|\breject|invalid|redirect|\bnext\(\s*\w*[eE]rr|return [^;]*\b(?:[eE]rr\w*|errors?\.|false\b)"
)
_VALIDATOR = lazy(
    r"^_*(?:validate|check|ensure|verify|assert|sanitise|sanitize|authorize|authorise|require|enforce|deny|guard|is_?safe|is_?valid|is_?allowed|can_|can[A-Z]|has_?perm|may_)",
    re.IGNORECASE,
)
_ASKS = lazy(r"perm|authori[sz]e|^can_|^can[A-Z]|_can_|access|allowed|policy|entitle", re.IGNORECASE)
_BOUNDARY = lazy(
    r"safe|allow|whitelist|permitted|valid|signature|origin|scheme|hostname|netloc|private|loopback|\.\.|relative|startswith|startsWith|traversal|extension|mime|content_?type|csrf|nonce",
    re.IGNORECASE,
)
# Keywords that protect when they are on.
_PROTECTING = {
    "SameSite": INPUT, "sameSite": INPUT, "samesite": INPUT, "same_site": INPUT, "Secure": INPUT, "HttpOnly": INPUT, "autoescape": INPUT, "hide_parameters": INPUT, "httponly": INPUT, "httpOnly": INPUT, "secure": INPUT, "escape": INPUT, "sanitize": INPUT,
    "mask": INPUT, "redact": INPUT, "strict": INPUT, "verify_signature": INPUT, "verify_exp": INPUT, "read_only": ACCESS, "readOnly": ACCESS,
    "check_permissions": ACCESS, "permission_required": ACCESS, "permission": ACCESS, "permissions": ACCESS, "permission_classes": ACCESS,
    "raise_exception": ACCESS, "login_required": ACCESS, "requires_auth": ACCESS, "auth": ACCESS, "dependencies": ACCESS,
}  # fmt: skip
_HIDES = lazy(r"(?:mask|block|redact|scrub|hide)_?(?:all|every|text|inputs?|media|values?)", re.IGNORECASE)
# A row that has to belong to another: ``comment.task_id != task.id``.
_SAME_ROW = lazy(
    r"[\w.]*\b\w*(?:[iI][dD]|_id|[uU]uid|owner|Owner)\b\s*(?:!==?|<>|is not)\s*[\w.]*\b\w*(?:[iI][dD]|_id|[uU]uid|owner|Owner)\b"
)
_NULL_CHECK = lazy(r"(?:is not None|!==? ?(?:null|undefined)|is None|typeof )")
_OFF = lazy(r"(?:False|false|None|null|undefined|0|\[\]|\(\)|\{\})$")
_KEPT_OUT = lazy(
    r"(?:^|_)(?:exclude[ds]?|sensitive|redact|mask(?:ed)?|hidden|blacklist|denylist|blocklist|forbidden|protected|censor|scrub|filtered|filter_parameters|secrets?|confidential|pii|phi)(?:_|$)",
    re.IGNORECASE,
)
_ASKED_FOR = lazy(
    r"^(?:permission_classes|authentication_classes|permission_required|guards|use_?guards|validators|read_?only_?fields|required_(?:permissions|scopes|roles)|(?:not|non|denied|restricted|forbidden)_\w*(?:scopes|permissions|roles|fields))$",
    re.IGNORECASE,
)
_GRANTED = lazy(
    r"(?:^|_)(?:viewer|guest|reader|public|anonymous|anon|default|member|basic|contributor|student|customer|patient|observer|external)\w*?_?(?:scopes|permissions|perms|privileges|rights|abilities)$",
    re.IGNORECASE,
)


def losses(before: Module, old: Unit, after: Module, new: Unit) -> Iterator[Loss]:
    """Everything the unit lost, nearest to certain first."""
    yield from _conditions(before, old, after, new)
    yield from _refusals(before, old, after, new)
    yield from _arguments(old, new)
    yield from taken_away(before, old, after, new)
    yield from _switches(before, old, after, new)
    yield from _lists(before, old, after, new)
    yield from _narrowing(old, new)
    yield from forgotten(old, new)
    yield from opened(before, old, after, new)
    if before.language != "ruby":
        yield from _predicates(_keys(old), _keys(new))
    elif old.kind == "function":  # where a chain begins with the class that is asked
        for root in {chain(call)[0].name for _, call in calls_of(old)}:
            yield from _predicates(_keys(old, root), _keys(new, root))
    if old.kind == new.kind == "class":
        yield from narrowed(old, new)


_MASKS = lazy(r"sensitive|censor|redact|mask(?:ed)?_|_mask|obfuscat|scrub|anonymi", re.IGNORECASE)


def vanished(before: Module, after: Module) -> Iterator[tuple[Unit, Loss]]:
    """Methods that are gone from a class that is still there, and that nobody called by name: the framework did.

    A serializer's ``validate_document``, a model's ``to_objectchange``: no line elsewhere shows that they are missing.
    """
    now = {u.qualname for u in after.units}
    for unit in before.units:
        parent = unit.parent
        if (
            unit.kind == "function"
            and not unit.anonymous
            and parent is not None
            and parent.kind == "class"
            and unit.qualname not in now
            and parent.qualname in now
            and not re.search(rf"(?:self|this|cls)\.{re.escape(unit.name)}\b", before.source)
            and not re.search(rf"\b{re.escape(unit.name)}\b", after.source)
            and not (before.language == "ruby" and len(re.findall(rf"\b{re.escape(unit.name)}\b", before.source)) > 1)
        ):
            text = before.source[unit.start : unit.end]
            if _MASKS.search(text) and len(_MASKS.findall(text)) >= 2:
                yield unit, Loss(INPUT, "the masking in", unit.name, unit.header_line or unit.line)


def _text(module: Module, node: Expr | Stmt) -> str:
    return " ".join(module.source[node.start : node.end].replace('"', "'").split())


# -- conditions --------------------------------------------------------------------------------------------------

Alternatives = frozenset[frozenset[str]]


def _conditions(before: Module, old: Unit, after: Module, new: Unit) -> Iterator[Loss]:
    """``if a or b: refuse`` that became ``if a: refuse``, and ``if a: refuse`` that became ``if a and b: refuse``."""
    had, has = _refusing(before, old), _refusing(after, new)
    unchanged = Counter(text for _, _, text in has)
    left: list[tuple[Alternatives, Stmt, str]] = []
    for row in had:
        if unchanged[row[2]] > 0:
            unchanged[row[2]] -= 1
        else:
            left.append(row)
    same = Counter(text for _, _, text in had)
    fresh = []
    for row in has:
        if same[row[2]] > 0:
            same[row[2]] -= 1
        else:
            fresh.append(row)
    for alternatives, stmt, text in left:
        for now, place, _ in fresh:
            lost = _weaker(alternatives, now)
            if lost:
                kind = ACCESS if _ABOUT_ACCESS.search(lost) else INPUT
                yield Loss(kind, "a condition of the refusal:", lost, stmt.line, place.line, sure=False)
                break
        else:
            if not fresh and not called_anew(old, new) and len(has) < len(had):
                if _SAME_ROW.search(text):
                    yield Loss(ACCESS, "the refusal if", text, stmt.line)
                elif _BOUNDARY.search(text) and not _ABOUT_ACCESS.search(text):
                    yield Loss(INPUT, "the refusal if", text, stmt.line, sure=False)


def _refusing(module: Module, unit: Unit) -> list[tuple[Alternatives, Stmt, str]]:
    out = []
    for stmt in own_statements(unit):
        if stmt.kind == "if" and stmt.value is not None and stmt.body and len(stmt.body) <= 4:
            last = _text(module, stmt.body[-1])[:300]
            if _REFUSES.search(last):
                out.append((_alternatives(module, stmt.value), stmt, _text(module, stmt.value)[:300]))
    return out[:60]


def _alternatives(module: Module, expr: Expr) -> Alternatives:
    return frozenset(
        frozenset(_text(module, part) for part in _operands(option, ("and", "&&")))
        for option in _operands(expr, ("or", "||"))
    )


def _operands(expr: Expr, operators: tuple[str, ...]) -> list[Expr]:
    if expr.kind == "bin" and expr.name.strip() in operators:
        return [part for item in expr.items for part in _operands(item, operators)]
    return [expr]


def _weaker(before: Alternatives, after: Alternatives) -> str:
    """What the new condition no longer refuses, as text; '' unless it can only be weaker."""
    # In an order of their own: that of a set of texts is another one in every process.
    had, has = (sorted(options, key=sorted) for options in (before, after))
    kept = [option for option in had if any(now <= option for now in has)]
    lost = [option for option in had if option not in kept]
    if not lost:
        return ""
    for option in lost:
        narrowed = next((now for now in has if option < now), None)
        if narrowed is not None and all(_NULL_CHECK.search(part) for part in narrowed - option):
            continue  # what cannot be there cannot be asked
        if narrowed is not None and all(any(now >= old for old in had) for now in has):
            return " and ".join(sorted(narrowed - option)) + " is now needed as well"
    if kept and all(any(now <= option for option in had) for now in has):
        return " or ".join(" and ".join(sorted(option)) for option in lost)
    return ""


# -- refusals of a validator -------------------------------------------------------------------------------------


def _refusals(before: Module, old: Unit, after: Module, new: Unit) -> Iterator[Loss]:
    if old.kind != "function" or not _VALIDATOR.search(old.name):
        return
    had, has = _exits(before, old), _exits(after, new)
    if has and len(has) < len(had) and _size(new) < _size(old) and not called_anew(old, new):
        gone = next((s for s in had if _text(before, s) not in {_text(after, t) for t in has}), had[-1])
        text = f"{old.name} {_text(before, gone)}"
        if not _BOUNDARY.search(text.partition(" ")[2]) and not _ABOUT_ACCESS.search(text):
            return
        yield Loss(
            ACCESS if _ABOUT_ACCESS.search(text) else INPUT,
            "a refusal:",
            _text(before, gone)[:120],
            gone.line,
            sure=False,
        )


def _exits(module: Module, unit: Unit) -> list[Stmt]:
    return [
        s
        for s in own_statements(unit)
        if s.kind == "raise"
        or (s.kind == "return" and re.fullmatch(r"return (?:False|false);?", _text(module, s)[:20]))
    ]


def _size(unit: Unit) -> int:
    return sum(1 for _ in own_statements(unit))


# -- arguments, switches, lists ----------------------------------------------------------------------------------


def _arguments(old: Unit, new: Unit) -> Iterator[Loss]:
    """``user.has_perm(perm, obj)`` that became ``user.has_perm(perm)``: asked about anything, not about this one."""
    had, has = _asked(old), _asked(new)
    for name, calls in had.items():
        now = has.get(name, [])
        if len(now) == len(calls) and sum(map(_arity, now)) < sum(map(_arity, calls)):
            pair = next(((a, b) for a, b in zip(calls, now, strict=True) if _arity(b) < _arity(a)), None)
            if pair is not None:
                yield Loss(ACCESS, "what it asks about,", f"an argument of {name}", pair[0].line, pair[1].line)


# Lists of names in Ruby: one less permits less.
_LISTS = frozenset(
    "permit attr_accessor attr_accessible cattr_accessor mattr_accessor store_accessor permitted_attributes".split()
)


def _asked(unit: Unit) -> dict[str, list[Expr]]:
    out: dict[str, list[Expr]] = {}
    for name, call in calls_of(unit):
        if _ASKS.search(name) and not name[:1].isupper() and name not in _LISTS:
            out.setdefault(name, []).append(call)
    return out


def _arity(call: Expr) -> int:
    return 99 if any(a.spread for a in call.args) else len(call.args)


def _switches(before: Module, old: Unit, after: Module, new: Unit) -> Iterator[Loss]:
    had, has = _protected(before, old), _protected(after, new)
    count_old, count_new = Counter(n for n, _ in calls_of(old)), Counter(n for n, _ in calls_of(new))
    for key, lines in had.items():
        callee, keyword = key
        if len(has.get(key, ())) < len(lines) and 0 < count_old[callee] <= count_new[callee]:
            yield Loss(protects(keyword), "the protection", f"{keyword} of {callee}(…)", lines[0])


def _protected(module: Module, unit: Unit) -> dict[tuple[str, str], list[int]]:
    out: dict[tuple[str, str], list[int]] = {}
    for name, call in calls_of(unit):
        pairs = list(call.args)
        for arg in call.args:
            if arg.value.kind == "dict":
                pairs.extend(arg.value.args)
        for arg in pairs:
            if arg.name and protects(arg.name) and not _OFF.match(_text(module, arg.value)):
                out.setdefault((name, arg.name), []).append(arg.value.line)
    return out


def protects(keyword: str) -> str:
    """What a keyword protects when it is on: ``access``, ``input``, or "" for one that does not."""
    return _PROTECTING.get(keyword, "") or (INPUT if _HIDES.match(keyword) else "")


def _lists(before: Module, old: Unit, after: Module, new: Unit) -> Iterator[Loss]:
    had, has = _named_lists(before, old), _named_lists(after, new)
    for name, (members, line) in had.items():
        now = has.get(name)
        if now is None:
            continue
        gone, come = members - now[0], now[0] - members
        last = name.rsplit(":", 1)[-1]
        if gone and not come and (_KEPT_OUT.search(last) or _ASKED_FOR.search(last)):
            kind = ACCESS if _ASKED_FOR.search(last) else INPUT
            yield Loss(kind, "", f"{', '.join(sorted(gone)[:4])} in {last}", line, now[1])
        if (
            come
            and not gone
            and _GRANTED.search(last)
            and not _KEPT_OUT.search(last)
            and not last.lower().startswith(("not_", "non_"))
        ):
            yield Loss(ACCESS, "the limit:", f"{last} now also holds {', '.join(sorted(come)[:4])}", line, now[1])


def _named_lists(module: Module, unit: Unit) -> dict[str, tuple[frozenset[str], int]]:
    out: dict[str, tuple[frozenset[str], int]] = {}

    def put(name: str, value: Expr) -> None:
        items = value.items if value.kind == "list" else ()
        if value.kind == "call" and len(value.args) == 1 and value.args[0].value.kind == "list":
            items = value.args[0].value.items  # frozenset([...]), tuple([...])
        if items and len(items) <= 400 and all(i.kind in ("str", "name", "attr", "const") for i in items):
            out.setdefault(name, (frozenset(_text(module, i) for i in items), value.line))

    for stmt in own_statements(unit):
        if (
            stmt.kind == "assign"
            and stmt.value is not None
            and len(stmt.targets) == 1
            and stmt.targets[0].kind in ("name", "attr")
        ):
            put(stmt.targets[0].name, stmt.value)
    for name, call in calls_of(unit):
        if name == "UseGuards":
            plain = [a.value for a in call.args]
            if plain:
                out.setdefault(f"{name}:guards", (frozenset(_text(module, v) for v in plain), call.line))
        for arg in call.args:
            if arg.name:
                put(f"{name}:{arg.name}", arg.value)
            if arg.value.kind == "dict":
                for inner in arg.value.args:
                    if inner.name:
                        put(f"{name}:{inner.name}", inner.value)
    return out


_NARROWS = frozenset("pick omit strict only permit exclude".split())


def _narrowing(old: Unit, new: Unit) -> Iterator[Loss]:
    """``schema(UserInput.pick({name}))`` that became ``schema(UserInput)``: more may come in than before."""
    had, has = _narrowed(old), _narrowed(new)
    still = {chain(call)[0].name for _, call in calls_of(new)} | {
        a.value.name for _, call in calls_of(new) for a in call.args if a.value.kind == "name"
    }
    for (root, name), lines in had.items():
        if root[:1].isupper() and len(has.get((root, name), ())) < len(lines) and root in still:
            others = sum(len(v) for (r, _), v in has.items() if r == root)
            if others < sum(len(v) for (r, _), v in had.items() if r == root):
                yield Loss(ACCESS, "the limit", f"{root}.{name}(…)", lines[0])


def _narrowed(unit: Unit) -> dict[tuple[str, str], list[int]]:
    out: dict[tuple[str, str], list[int]] = {}
    for name, call in calls_of(unit):
        if name in _NARROWS:
            out.setdefault((chain(call)[0].name, name), []).append(call.line)
    return out


_QUERIES = frozenset(
    "get filter filter_by where Where And andWhere get_object_or_404 aget_object_or_404 get_list_or_404 get_or_404 first findOne findFirst findFirstOrThrow "
    "findUnique findMany findAll findByPk find find_by find_one update updateMany delete deleteMany destroy count exists get_one and_ And".split()
)
_PARENT = lazy(
    r"^(?!id$|pk$|_id$)\w*?(?:_id|Id|ID|_pk|_uuid|_slug)$|^(?:owner|user|author|project|workspace|team|organi[sz]ation|tenant|account|company|parent|document|patient|created_by)$"
)
_CONDITION = lazy(r"\b([A-Za-z_]+)\s*(?:=|IN|in|==)\s*(?:\?|:\w+|%s|\$\d)")


def _predicates(had: dict[str, list[int]], has: dict[str, list[int]]) -> Iterator[Loss]:
    """``get(pk=pk, project_id=project_id)`` that became ``get(pk=pk)``: any row, not only one of that parent."""
    if set(has) - set(had) or not any(key in has for key in ("id", "pk", "_id", "uuid", "slug", "ID")):
        return
    for key, lines in had.items():
        if key not in has and _PARENT.match(key):
            yield Loss(ACCESS, "the condition", f"{key} of the query", lines[0])


def _keys(unit: Unit, root: str = "") -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for name, call in calls_of(unit):
        if name not in _QUERIES or (root and chain(call)[0].name != root):
            continue
        for arg in call.args:
            found = [arg.name] if arg.name else []
            if arg.value.kind == "dict":
                for inner in arg.value.args:
                    found.append(inner.name or "")
                    if inner.value.kind == "dict":
                        found.extend(deep.name or "" for deep in inner.value.args)
            elif arg.value.kind == "str":
                found.extend(_CONDITION.findall(arg.value.name))
            for key in found:
                if key:
                    out.setdefault(key.rsplit("__", 1)[-1] if key.endswith(("__id", "__pk")) else key, []).append(
                        call.line
                    )
    return out
