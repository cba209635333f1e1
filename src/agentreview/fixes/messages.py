"""Values in a message: which place of it shows which, and taking one out with the words that introduce it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from agentreview.lazyre import lazy
from agentreview.records import dataclass
from agentreview.syntax.tree import Expr, Module

Change = tuple[int, int, str]  # (start, end, text) of the source

_PERCENT = lazy(r"%(?:\(\w+\))?[-#0-9.+ ]*[sdrifvqocjO]")
_BRACES = lazy(r"\{\w*(?:![rsa])?(?::[^{}]*)?\}")
_OPENING = lazy(r"(?:\$|#)?\{\s*$")
_CLOSING = lazy(r"\s*(?:![rsa])?(?::[^{}\"']*)?\}")
_ENTRY = lazy(r"(?:([\"']?)[A-Za-z_][\w-]*\1\s*(?:=>|=|:)\s*)$")
_AROUND = lazy(r"[\s,;:|/()\[\]<>=#.&+-]*")
_WORDS = lazy(r"[A-Za-z]+")
_CONNECTING = frozenset("and with for of on from at by in to the a aged born is was has whose as".split())
_FIELDS = frozenset(
    "mrn ssn dob name names phone tel email mail address number no surname first last full given family middle birth date day id record chart".split()
)
_PAIRS = {"(": ")", "[": "]", "<": ">"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: as which one of what ``parent`` has; ``hole`` is the part of the message that shows it."""

    parent: Expr
    index: int
    value: Expr
    hole: tuple[int, int] | None = None
    before: int = 0  # where the text begins that introduces it
    first: bool = False  # nothing of the message is shown before it but text
    listed: bool = True  # it is one of several with commas between them, not a part of the text


def place_of(module: Module, exprs: Sequence[Expr], sink: Expr, start: int, end: int) -> Place | None:
    """Return where the value with this span stands, seen through conversions (``str(value)``) and an object of it alone."""
    for parent in exprs:
        held = [arg.value for arg in parent.args] if parent.kind in ("call", "dict") else list(parent.items)
        for index, value in enumerate(held):
            if (value.start, value.end) != (start, end):
                continue
            alone = len(held) == 1 and parent is not sink
            if alone and (parent.kind == "dict" or (parent.kind == "call" and _message(parent) is None)):
                return place_of(module, exprs, sink, parent.start, parent.end)
            return _placed(module, parent, index, value)
    return None


def _placed(module: Module, parent: Expr, index: int, value: Expr) -> Place | None:
    source = module.source
    if parent.kind == "fstr":
        opens, closes = _last_opening(source, parent.start, value.start), _CLOSING.match(source, value.end)
        if opens is None or closes is None:
            return _printed(source, parent, index, value)
        ended = _CLOSING.match(source, parent.items[index - 1].end) if index else None
        before = ended.end() if ended else _inside(source, parent)
        return Place(parent, index, value, (opens, closes.end()), before, not index, listed=False)
    if parent.kind == "call" and (message := _message(parent)) is not None:
        if parent.args[index].name is not None:
            return _by_name(source, parent, index, value, message)
        first = 0 if message is not parent.args[0].value else 1
        return _in_message(source, message, Place(parent, index, value), index - first)
    if parent.kind == "list":
        return Place(parent, index, value)
    return Place(parent, index, value) if parent.kind in ("call", "dict", "bin") else None


def formatted(module: Module, exprs: Sequence[Expr], place: Place) -> Place:
    """The same for the values of ``"…" % (a, b)``, whose message stands beside the tuple."""
    for one in exprs:
        if one.kind == "bin" and one.name == "%" and len(one.items) == 2 and one.items[0].kind == "str":
            if one.items[1] is place.parent:
                return _in_message(module.source, one.items[0], place, place.index) or place
            if one is place.parent and place.index == 1:
                return _in_message(module.source, one.items[0], place, 0) or place
    return place


def _message(call: Expr) -> Expr | None:
    """The text that a call fills in: ``"…".format(…)``, or its first argument."""
    if call.base is not None and call.base.kind == "attr" and call.base.name == "format":
        return call.base.base if call.base.base is not None and call.base.base.kind == "str" else None
    first = call.args[0] if call.args else None
    return first.value if first is not None and first.name is None and first.value.kind == "str" else None


def _in_message(source: str, message: Expr, place: Place, number: int) -> Place | None:
    """The place with the hole of this number, if the message has it."""
    holes = list(_PERCENT.finditer(source, message.start, message.end)) or list(
        _BRACES.finditer(source, message.start, message.end)
    )
    if number < 0:
        return None
    if number >= len(holes):
        return place
    before = holes[number - 1].end() if number else _inside(source, message)
    return Place(place.parent, place.index, place.value, holes[number].span(), before, not number)


def _printed(source: str, parent: Expr, index: int, value: Expr) -> Place | None:
    """A value of ``fmt.Sprintf("…", a, b)``, which is read as one text with holes."""
    start = _inside(source, parent)
    end = parent.items[0].start
    holes = list(_PERCENT.finditer(source, start, end))
    if "(" not in source[parent.start : start] or len(holes) != len(parent.items):
        return None
    return Place(parent, index, value, holes[index].span(), holes[index - 1].end() if index else start, not index)


def _by_name(source: str, parent: Expr, index: int, value: Expr, message: Expr) -> Place:
    """A keyword: of ``"{name}".format(name=…)`` with its hole, of a logger without one."""
    name, before, first = parent.args[index].name, _inside(source, message), True
    for hole in _BRACES.finditer(source, message.start, message.end):
        if hole[0].strip("{}").partition("!")[0].partition(":")[0] == name:
            return Place(parent, index, value, hole.span(), before, first)
        before, first = hole.end(), False
    return Place(parent, index, value)


def _last_opening(source: str, low: int, high: int) -> int | None:
    match = _OPENING.search(source[low:high])
    return low + match.start() if match else None


def _inside(source: str, text: Expr) -> int:
    """Where the contents of a string begin."""
    start = text.start
    while start < text.end and source[start] not in "\"'`":
        start += 1
    quote = source[start : start + 3]
    return start + (3 if quote in ('"""', "'''") else 1)


def taken_out(module: Module, place: Place, owner: str, field: str) -> list[Change] | None:
    """Return the changes that take a value out of what shows it; None where words would be left that say too much."""
    source, parent = module.source, place.parent
    changes: list[Change] = []
    if place.hole is not None:
        start, end = place.hole
        introduced = source[place.before : start]
        if place.first or not _only_labels(introduced, owner, field):
            return None
        bracket = _PAIRS.get(introduced.rstrip()[-1:])
        end += bool(bracket) and source[end : end + 1] == bracket
        if bracket and source[end - 1] != bracket:
            return None
        changes.append((place.before, end, ""))
    if not place.listed:
        return changes
    if parent.kind == "bin":
        return _unchained(place, owner, field) if parent.name == "+" else None
    start, end = place.value.start, place.value.end
    key = _ENTRY.search(source[max(0, start - 80) : start])
    if key and (parent.kind == "dict" or (parent.kind == "call" and parent.args[place.index].name)):
        start -= len(key[0])
    comma = re.search(r",\s*$", source[parent.start : start])
    if comma is not None:
        start = parent.start + comma.start()
    else:
        after = re.match(r"\s*,\s*", source[end : parent.end])
        if after is None:
            return None
        end += after.end()
    return [*changes, (start, end, "")]


def _unchained(place: Place, owner: str, field: str) -> list[Change] | None:
    """Take an operand out of ``"a " + b + " c " + d``, with the text before it that introduces it."""
    items, index = place.parent.items, place.index
    if index < 2 or items[index - 1].kind != "str" or not _only_labels(items[index - 1].name, owner, field):
        return None
    if _PAIRS.get(items[index - 1].name.rstrip()[-1:]):
        return None
    return [(items[index - 2].end, items[index].end, "")]


def _only_labels(text: str, owner: str, field: str) -> bool:
    """Whether a piece of a message only names or joins the value behind it."""
    mine = {word.lower() for word in _WORDS.findall(re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", f"{owner} {field}"))}
    allowed: Collection[str] = mine | _CONNECTING | _FIELDS
    rest = _WORDS.sub("", text)
    return all(word.lower() in allowed for word in _WORDS.findall(text)) and bool(_AROUND.fullmatch(rest))
