"""What a model answered, as values: parsed tolerantly, checked strictly, and proved line by line. Nothing in it is executed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentreview.lazyre import lazy
from agentreview.records import dataclass
from agentreview.reviewers import proposed
from agentreview.reviewers.packets import Packet
from agentreview.reviewers.proposed import Proposal
from agentreview.reviewers.shown import Place, Shown, prove

MAX_TEXT = 1200  # characters of anything a model says
MAX_CLAIMS = 60  # of one answer

_TEXT: dict[str, Any] = {"type": "string"}
_SIDE: dict[str, Any] = {"type": "string", "enum": ["after", "before"]}
_CITED: dict[str, Any] = {"path": _TEXT, "side": _SIDE, "line": {"type": "integer"}, "hash": _TEXT, "quote": _TEXT}


def _object(*, optional: Mapping[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": {**properties, **(optional or {})},
    }


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


REVIEW_SCHEMA = _object(
    reviewed=_list(_TEXT),
    claims=_list(
        _object(
            unit=_TEXT, rule=_TEXT, **_CITED, message=_TEXT, who=_TEXT, request=_TEXT, consequence=_TEXT, looked_for=_list(_TEXT),
            introduced={"type": "boolean"}, evidence=_list(_object(**_CITED, shows=_TEXT)), fix=_TEXT,
            optional={"edit": proposed.SCHEMA},
        )
    ),
    suspects=_list(
        _object(
            id=_TEXT, verdict={"type": "string", "enum": ["upheld", "cleared", "needs_context"]}, **_CITED, reason=_TEXT
        )
    ),
)  # fmt: skip
REFUTE_SCHEMA = _object(
    verdicts=_list(
        _object(
            id=_TEXT, verdict={"type": "string", "enum": ["upheld", "refuted", "needs_context"]}, **_CITED, reason=_TEXT
        )
    )
)  # fmt: skip

_FENCED = lazy(r"```(?:json)?\s*\n(.*?)```", 16)  # re.DOTALL


@dataclass(frozen=True, slots=True)
class Cited:
    """A proved line with what is said of it."""

    place: Place
    said: str


@dataclass(frozen=True, slots=True)
class Said:
    """A claim of a reviewer about one unit. ``place`` is None when it could not be proved; ``why_not`` says why.

    ``no_edit`` says why the edit that came with it is none.
    """

    unit: str
    rule: str
    message: str
    scenario: str
    fix: str
    looked_for: tuple[str, ...] = ()
    introduced: bool = True
    place: Place | None = None
    why_not: str = ""
    evidence: tuple[Cited, ...] = ()
    edit: Proposal | None = None
    no_edit: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a reviewer says of a suspect: ``upheld``, ``cleared`` or ``needs_context``, with the line that shows it."""

    id: str
    verdict: str
    reason: str
    place: Place | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """One checked answer. ``problems`` are what a repair request names; ``unread`` units that it does not vouch for."""

    claims: tuple[Said, ...] = ()
    suspects: tuple[Settled, ...] = ()
    unread: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class BadAnswerError(ValueError):
    """An answer that cannot be used at all. ``reason``: ``unparsable`` or ``wrong-schema``."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def parsed(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object in an answer: the whole text, a fenced block, or the first object in it. Raises BadAnswerError.

    Servers may ignore the schema they were given, and models may talk around it.
    """
    wrong = ""
    for candidate in _candidates(text):
        try:
            value = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            wrong = next(mistakes(value, schema), "")
            if not wrong:
                return value
    raise (
        BadAnswerError("wrong-schema", wrong) if wrong else BadAnswerError("unparsable", "no JSON object in the answer")
    )


def _candidates(text: str) -> Iterator[str]:
    yield text
    yield from (found[1] for found in _FENCED.finditer(text))
    start = text.find("{")
    decoder = json.JSONDecoder()
    for _ in range(8):
        if start < 0:
            return
        try:
            _, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        yield text[start:end]
        start = text.find("{", end)


def mistakes(value: Any, schema: Mapping[str, Any], where: str = "answer") -> Iterator[str]:
    """Say what in a value is not as the schema says. Unknown keys are no mistake: they are not read; nor is what is optional."""
    kinds: Mapping[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
    wanted = schema["type"]
    if not isinstance(value, kinds[wanted]) or (wanted == "integer" and isinstance(value, bool)):
        yield f"{where} is no {wanted}"
    elif wanted == "object":
        for name in schema["required"]:
            if name not in value:
                yield f"{where}.{name} is missing"
            else:
                yield from mistakes(value[name], schema["properties"][name], f"{where}.{name}")
    elif wanted == "array":
        for index, item in enumerate(value):
            yield from mistakes(item, schema["items"], f"{where}[{index}]")
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{where} is none of {', '.join(schema['enum'])}"


def review(answer: Mapping[str, Any], packets: Sequence[Packet], rules: frozenset[str], shown: Shown) -> Review:
    """Check one parsed answer against what was sent."""
    by_id = {packet.id: packet for packet in packets}
    problems: list[str] = []
    claims: list[Said] = []
    for raw in answer["claims"][:MAX_CLAIMS]:
        packet = by_id.get(raw["unit"])
        if packet is None or raw["rule"] not in rules:
            what = "a unit that was not sent" if packet is None else "a rule that is not in the closed list"
            problems.append(f"a claim names {what}: {_short(raw['unit'])}, {_short(raw['rule'])}")
            continue
        said = _claim(raw, packet, shown)
        if said.why_not:
            problems.append(f"claim {said.rule} in {said.unit}: {said.why_not}")
        claims.append(said)
    asked = {name for packet in packets for name, _ in packet.asked}
    settled: dict[str, Settled] = {}
    for raw in answer["suspects"]:
        if raw["id"] in asked and raw["id"] not in settled:
            one = settled[raw["id"]] = _settled(raw, shown)
            if one.why_not:
                problems.append(f"suspect {one.id}: {one.why_not}")
    problems += [f"suspect {name} is not settled" for name in sorted(asked - settled.keys())]
    named = set(answer["reviewed"])
    unread = tuple(packet.id for packet in packets if packet.id not in named)
    problems += [f"{name} is not in reviewed" for name in unread]
    return Review(tuple(claims), tuple(settled.values()), unread, tuple(problems))


def _claim(raw: Mapping[str, Any], packet: Packet, shown: Shown) -> Said:
    place, why_not = proof(raw, shown, code=False)
    scenario = [_text(raw[key], shown) for key in ("who", "request", "consequence")]
    if place is not None:
        if place.path != _path(packet, place.side) or not packet.piece.holds(place.line, place.side):
            why_not = f"{place.path}:{place.line} is outside of {packet.id}"
        elif not all(scenario):
            why_not = "it does not say who does what, and what happens then"
        if why_not:
            place = None
    evidence = []
    for item in raw["evidence"][:8]:
        proved = prove(shown, item, item["side"])
        if isinstance(proved, Place):
            evidence.append(Cited(proved, _text(item["shows"], shown)))
    edit, no_edit = proposed.proposal(raw, packet, shown) if place is not None else (None, "")
    who, request, consequence = scenario
    return Said(
        unit=packet.id,
        rule=raw["rule"],
        message=_text(raw["message"], shown) or "no message",
        scenario=": ".join(part for part in (who, ", ".join(p for p in (request, consequence) if p)) if part),
        fix=_text(raw["fix"], shown),
        looked_for=tuple(_text(one, shown) for one in raw["looked_for"][:12]),
        introduced=raw["introduced"],
        place=place,
        why_not=why_not,
        evidence=tuple(evidence),
        edit=edit,
        no_edit=no_edit,
    )


def _path(packet: Packet, side: str) -> str:
    change = packet.piece.change
    return change.path if side == "after" else change.old_path or change.path


def _settled(raw: Mapping[str, Any], shown: Shown) -> Settled:
    place, why_not = proof(raw, shown, code=raw["verdict"] == "cleared")
    if raw["verdict"] == "needs_context":
        place, why_not = None, ""
    return Settled(raw["id"], raw["verdict"], _text(raw["reason"], shown), place, why_not)


def proof(raw: Mapping[str, Any], shown: Shown, *, code: bool) -> tuple[Place | None, str]:
    """Prove the line of a verdict. With ``code`` it has to be code that runs: no comment clears anything."""
    place = prove(shown, raw, raw["side"])
    if isinstance(place, str):
        return None, place
    if code and not runs(place, raw["quote"], shown):
        return None, f"{place.path}:{place.line} is a comment or text, and proves nothing"
    return place, ""


_COMMENT = lazy(r"#|//|/\*|\*(?:\s|/|$)|--|<!--|\"\"\"|'''")


def runs(place: Place, quote: str, shown: Shown) -> bool:
    """Whether a quoted line holds code in the quoted part: not a comment, a text that stands alone, or an import."""
    version = shown.version(place.path, place.side)
    line = place.text.strip()
    if version is None or _COMMENT.match(line) or not any(char.isalnum() for char in line):
        return False
    if version.analysis is None:
        return True
    module = version.analysis.module
    for number, text in module.comments:
        first, _, _ = text.partition("\n")
        if number == place.line and first.strip():
            before, _, _ = line.partition(first.strip())
            kept = " ".join(before.split()).strip("#/ *")
            wanted = " ".join(quote.split())
            if not kept or not any(char.isalnum() for char in kept) or wanted in " ".join(first.split()):
                return False
        if number < place.line <= number + text.count("\n"):
            return False
    return not any(first <= place.line <= last for first, last in _texts(version.analysis))


def _texts(analysis: Any) -> Iterator[tuple[int, int]]:
    """Lines of strings that stand alone: documentation, or code that somebody took out."""
    from agentreview.syntax.tree import statements

    for unit in analysis.module.units:
        for stmt in statements(unit.body):
            if stmt.kind == "expr" and stmt.value is not None and stmt.value.kind in ("str", "fstr"):
                yield stmt.line, stmt.end_line


def verdicts(answer: Mapping[str, Any], asked: Sequence[str], shown: Shown) -> dict[str, Settled]:
    """Check the second reader's answer: what it does not prove, or does not say, is ``needs_context``."""
    out: dict[str, Settled] = {}
    for raw in answer["verdicts"]:
        name, verdict, reason = raw["id"], raw["verdict"], _text(raw["reason"], shown)
        if name not in asked or name in out:
            continue
        place, why_not = proof(raw, shown, code=verdict == "refuted")
        if verdict == "refuted" and why_not:
            verdict = "needs_context"
            reason = f"{reason} (refuted without a proof: {why_not})"
        out[name] = Settled(name, verdict, reason, place, why_not)
    for name in asked:
        out.setdefault(name, Settled(name, "needs_context", "the second reader did not answer"))
    return out


def _text(value: str, shown: Shown) -> str:
    """What a model says, as one bounded line; placeholders become what they stand for, here only."""
    return " ".join(shown.unmasked(value[:MAX_TEXT]).split())


def _short(value: str) -> str:
    return ascii(value[:40])
