"""Naming the record instead of showing it: a person's data in a log line or an error becomes the record's id."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.fixes.edits import replacing
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
_PLACEHOLDER = lazy(r"%[-#0-9.+ ]*[sdrifv]")
_NEEDED = lazy(r"\w(?<!%[sdrifv])$")  # a word before a place: it says what is shown there


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
                found[start, end] = f"{match[1]}{match[2]}{_id(module)}"
        elif kind == "phi-object":
            for expr in _within(module, fact):
                if expr.kind == "name" and expr.name.lower() == label.lower() and _whole(module, fact, expr):
                    found[expr.start, expr.end] = f"{module.source[expr.start : expr.end]}.{_id(module)}"
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
    text = source[start:end]
    for a, b, new in reversed(swaps):
        low, high = a - start, b - start
        text = _named(text, low, high, new, module)
    text = _once(text, [new for _, _, new in swaps])
    if any(len(re.findall(rf"(?<![\w.]){re.escape(new)}(?!\w)", text)) > 1 for _, _, new in swaps):
        return None  # a sentence that says the same twice is no message
    if module.language == "go":  # whatever type the id has
        if re.search(r"\bStr(?:ing)?\(", text):
            return None
        text = re.sub(r"%[sqd]", "%v", text)
    first = source.count("\n", 0, start) + 1
    return replacing(
        path,
        "the record's id instead of what it holds",
        first,
        first + source.count("\n", start, end),
        text.split("\n"),
    )


def _named(text: str, low: int, high: int, new: str, module: Module) -> str:
    """Put an expression in place of another; its keyword says what it is now."""
    key = _KEY.search(text[:low])
    after = text[high:].lstrip()[:1]
    if (
        key is None
        or after not in (",", ")", "}")
        or text[key.start() : low].count("{")
        or key[2] in ("error", "detail", "message", "msg")
    ):
        shorthand = (
            text[:low].rstrip()[-1:] in ("{", ",")
            and after in (",", "}")
            and module.language in ("typescript", "javascript")
        )
        if shorthand and "${" not in text[max(0, low - 2) : low] and _in_object(text[:low]):
            return f"{text[:low]}{_property(new, module)}: {new}{text[high:]}"
        return _called(text[:low], new) + new + text[high:]
    return f"{text[: key.start()]}{key[1]}{_property(new, module)}{key[1]}{key[3]}{new}{text[high:]}"


def _called(before: str, new: str) -> str:
    """Say what is shown now: ``no chart for MRN `` becomes ``no chart for patient ``."""
    match = _FIELD_WORD.search(before)
    return before if match is None else f"{before[: match.start(1)]}{re.split(r'[^A-Za-z]+', new)[0]}{match[2]}"


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


def _once(text: str, shown: list[str]) -> str:
    """Show an id once: a second one goes, with its place in the message."""
    for new in dict.fromkeys(shown):
        holes = list(re.finditer(rf"(?:\$|#)?\{{{re.escape(new)}(?:![rsa])?\}}", text))
        for hole in reversed(holes[1:]):
            text = _cut(text, hole.start(), hole.end())
        arguments = list(re.finditer(rf",\s*{re.escape(new)}(?=\s*[,)])", text))
        formats = list(_PLACEHOLDER.finditer(text[: arguments[0].start()])) if arguments else []
        for argument in reversed(arguments[1:]):
            number = text[arguments[0].start() : argument.start()].count(",") + _before(
                text, arguments[0].start(), formats
            )
            if number < len(formats):
                shorter = text[: argument.start()] + text[argument.end() :]
                cut = _cut(shorter, formats[number].start(), formats[number].end())
                text = cut if cut != shorter else text
    return text


def _before(text: str, start: int, formats: list[re.Match[str]]) -> int:
    """Count the arguments that stand between the message and the first id."""
    return text[formats[-1].end() : start].count(",") if formats else 0


def _cut(text: str, start: int, end: int) -> str:
    """Take a place out of a message, with the brackets around it and the space before; a word before it needs it."""
    bracketed = text[start - 1 : start] in ("(", "[", "<") and text[end : end + 1] in (")", "]", ">")
    if not bracketed and _NEEDED.search(text[:start].rstrip()):
        return text
    if text[start - 1 : start] in ("(", "[", "<") and text[end : end + 1] in (")", "]", ">"):
        start, end = start - 1, end + 1
    while start and text[start - 1] == " ":
        start -= 1
    return text[:start] + text[end:]
