"""Naming the record instead of showing it: a person's data in a log line or an error becomes the record's id."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.fixes.edits import replacing
from agentreview.fixes.messages import Change, Place, formatted, place_of, taken_out
from agentreview.lazyre import lazy
from agentreview.model import Edit, Finding
from agentreview.syntax.facts import Analysis, Fact
from agentreview.syntax.tree import Expr, Module, expressions, statements, subexpressions

_ID = {"python": "id", "typescript": "id", "javascript": "id", "ruby": "id", "go": "ID", "java": "getId()"}
_SHOWN = ("log", "raise", "respond")
_KEY = lazy(r"([\"']?)([A-Za-z_]\w*)\1(\s*(?:=|:)\s*)$")
_FIELD_WORD = lazy(
    r"(?i)\b(mrn|ssn|dob|name|phone|email|address|number|surname|birth ?date|date of birth)([ :=#]*(?:[$#]?\{)?)$"
)
_DUMPED = lazy(r"\.(?:inspect|to_s|to_json|as_json|attributes|toString\(\)|__dict__)(?![\w.(\[])")
_PART = lazy(r"\s*(?:\?\.|[.\[(])")


def identified(finding: Finding, analysis: Analysis) -> Iterator[Edit]:
    """Yield edits that show ids in the place of what the sinks on the finding's lines show."""
    module = analysis.module
    facts = [
        fact
        for own in analysis.units.values()
        for fact in own.facts
        if fact.concept in _SHOWN
        and fact.labels
        and fact.line <= finding.end_line
        and fact.end_line >= finding.start_line
    ]
    for fact in sorted(facts, key=lambda f: (f.line != finding.start_line, f.end - f.start)):
        swaps = _swaps(module, fact)
        if swaps and (edit := _edit(finding.path, module, fact, swaps)) is not None:
            yield edit


def _swaps(module: Module, fact: Fact) -> list[tuple[int, int, str]]:
    """Return (start, end, text) for each expression that shows a person's data; nothing where one has no record."""
    found: dict[tuple[int, int], str] = {}
    region = module.source[fact.start : fact.end]
    for kind, label in fact.labels:
        owner, dot, name = label.rpartition(".")
        if kind == "phi-field" and dot:
            letters = "_?".join(re.escape(part) for part in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name))
            pattern = rf"\b({re.escape(owner)})(\??\.)(?i:(?:get_?)?{letters})\b(?:\(\))?"
            for match in re.finditer(pattern, region):
                start, end = fact.start + match.start(), fact.start + match.end()
                if _PART.match(module.source, end):
                    return []  # something is done with the value that an id has not
                found[start, end] = f"{match[1]}{match[2]}{_id(module)}"
        elif kind == "phi-object":
            for expr in _within(module, fact):
                if expr.kind != "name" or expr.name.lower() != label.lower():
                    continue
                dumped = _DUMPED.match(module.source, expr.end)
                if dumped or _whole(module, fact, expr):
                    found[expr.start, dumped.end() if dumped else expr.end] = (
                        f"{module.source[expr.start : expr.end]}.{_id(module)}"
                    )
    return [(start, end, text) for (start, end), text in sorted(found.items())]


def _id(module: Module) -> str:
    django = any(name.split(".")[0] == "django" for name in module.imports.values())
    return "pk" if module.language == "python" and django else _ID.get(module.language, "id")


def _within(module: Module, fact: Fact) -> Iterator[Expr]:
    for unit in module.units:
        for stmt in statements(unit.body):
            if stmt.start < fact.end and fact.start < stmt.end:
                for root in expressions(stmt):
                    yield from (e for e in subexpressions(root) if fact.start <= e.start and e.end <= fact.end)


def _whole(module: Module, fact: Fact, expr: Expr) -> bool:
    """Whether the record itself is shown there: not a part of it, not the key of a property, not what is called."""
    around = module.source[expr.end : fact.end].lstrip()[:1]
    before = module.source[fact.start : expr.start].rstrip()[-1:]
    return around in (",", ")", "}", ".") and before in ("(", ",", "{", "=", ":") and around != "."


def _edit(path: str, module: Module, fact: Fact, swaps: list[tuple[int, int, str]]) -> Edit | None:
    source = module.source
    start = source.rfind("\n", 0, fact.start) + 1
    end = source.find("\n", fact.end)
    end = len(source) if end < 0 else end
    changes = _changes(module, fact, swaps, start)
    if changes is None:
        return None
    text, last = source[start:end], end
    for a, b, new in sorted(changes, reverse=True):
        if b > last:
            return None  # two of them meet
        text, last = text[: a - start] + new + text[b - start :], a
    if module.language == "go":  # whatever type the id has
        text = re.sub(r"%[sqd]", "%v", text)
        for _, _, new in swaps:
            pair = rf'\b(?:Str|String|Any)\("[^"]*", {re.escape(new)}\)'
            text = re.sub(pair, f'Any("{_property(new, module)}", {new})', text)
    first = source.count("\n", 0, start) + 1
    return replacing(
        path,
        "the record's id instead of what it holds",
        first,
        first + source.count("\n", start, end),
        text.split("\n"),
    )


def _changes(module: Module, fact: Fact, swaps: list[tuple[int, int, str]], line: int) -> list[Change] | None:
    """Show each record once, by its id; what else was shown of it goes with the words for it. None where words would be left."""
    exprs = list(_within(module, fact))
    sink = max(exprs, key=lambda e: e.end - e.start, default=None)
    if sink is None or "%(" in module.source[fact.start : fact.end]:  # places by name: a key is one of the message
        return None
    ids = {new for _, _, new in swaps}
    there = [(e.start, e.end, text) for e in exprs if (text := module.source[e.start : e.end]) in ids]
    changes: list[Change] = []
    shown: set[str] = set()
    for start, end, new in sorted({*swaps, *there}):
        place = place_of(module, exprs, sink, start, end)
        place = formatted(module, exprs, place) if place is not None else None
        if new not in shown:
            shown.add(new)
            changes += [] if (start, end, new) in there else _named(module, line, start, end, new, place)
            continue
        field = re.split(r"\W+", module.source[start:end].rstrip("()"))[-1]
        gone = taken_out(module, place, re.split(r"\W+", new)[0], field) if place is not None else None
        if gone is None:
            return None
        changes += gone
    return changes


def _named(module: Module, line: int, start: int, end: int, new: str, place: Place | None) -> list[Change]:
    """Put an expression in place of another; the keyword or the word in front of it says what it is now."""
    source = module.source
    before, after = source[line:start], source[end:].lstrip()[:1]
    key = _KEY.search(before)
    if (
        key is not None
        and after in (",", ")", "}")
        and not before[key.start() :].count("{")
        and key[2] not in ("error", "detail", "message", "msg")
        and (place is None or place.hole is None or place.value.end < place.hole[0])
    ):
        return [(line + key.start(), end, f"{key[1]}{_property(new, module)}{key[1]}{key[3]}{new}")]
    script = module.language in ("typescript", "javascript")
    shorthand = before.rstrip()[-1:] in ("{", ",") and after in (",", "}") and script
    if shorthand and "${" not in before[-2:] and _in_object(before):
        return [(start, end, f"{_property(new, module)}: {new}")]
    shows = place.hole[0] if place is not None and place.hole is not None and place.hole[1] <= start else start
    word = _FIELD_WORD.search(source[line:shows]) if shows >= line else None
    called = [] if word is None else [(line + word.start(1), line + word.end(1), re.split(r"[^A-Za-z]+", new)[0])]
    return [*called, (start, end, new)]


def _in_object(text: str) -> bool:
    """Whether the innermost bracket that is open at the end of the text is a brace."""
    stack = []
    for char in text:
        if char in "([{":
            stack.append(char)
        elif char in ")]}" and stack:
            stack.pop()
    return stack[-1:] == ["{"]


def _property(new: str, module: Module) -> str:
    owner = re.split(r"\W+", new)[0]
    return f"{owner}Id" if module.language in ("typescript", "javascript") else f"{owner}_id"
