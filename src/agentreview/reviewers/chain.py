"""One group of units through one reviewer: asked, repaired once, and what would block put to a second reader."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from agentreview.canonical import digest
from agentreview.llm import Answer, Backend, Block, Failure, Request, failed
from agentreview.model import Confidence, Finding, Rule
from agentreview.records import dataclass, field, replace
from agentreview.reviewers import answers, prompts
from agentreview.reviewers.answers import BadAnswerError, Review, Said, Settled
from agentreview.reviewers.convergence import Known
from agentreview.reviewers.packets import Packet
from agentreview.reviewers.profiles import Profile
from agentreview.reviewers.shown import Shown
from agentreview.reviewers.workflows import Workflow

MAX_TOKENS = 16_000  # of one answer, thinking included


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A reviewer ready to ask: its profile, its closed list, its models, and what its requests have in common."""

    profile: Profile
    rules: Mapping[str, Rule]
    model: str
    effort: str
    refute_model: str
    max_tokens: int
    refute_max_tokens: int
    system: tuple[Block, ...]
    refute_system: tuple[Block, ...]
    workflow: Workflow | None
    blocks: Callable[[Rule], bool]  # whether a claim of the rule would block if it stands


@dataclass(slots=True)
class Result:
    """What came of one group: answers by unit id, and why there are none for the others."""

    known: dict[str, Known] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)  # (unit label or '', reason: detail)
    seconds: float = 0.0
    whole: set[str] = field(default_factory=set)  # units that were sent in part first, and then whole


def request_of(reader: Reader, packets: Sequence[Packet]) -> Request:
    """The first request about some units."""
    message = prompts.review_message(packets, reader.workflow)
    return Request(
        id=f"{reader.profile.agent}#{digest(message, size=6)[3:]}",
        model=reader.model,
        system=reader.system,
        messages=(("user", message),),
        schema=answers.REVIEW_SCHEMA,
        max_tokens=reader.max_tokens,
        effort=reader.effort or None,
    )


def follow(reader: Reader, packets: Sequence[Packet], shown: Shown, backend: Backend, deadline: float | None) -> Result:
    """Ask, check, repair, refute. Never raises for anything a model or a server can answer."""
    result = Result()
    first = request_of(reader, packets)
    given = _ask(backend, first, deadline, result)
    if isinstance(given, Failure):
        result.failures.append(("", told(given)))
        return result
    checked = _review(given, reader, packets, shown)
    refused = _refused(checked, packets)
    if refused:
        result.whole = {packet.id for packet in refused}
        later = follow(reader, refused, shown, backend, deadline)
        result.known |= later.known
        result.failures += later.failures
        result.seconds += later.seconds
        packets = [packet for packet in packets if packet.id not in result.whole]
        if not packets:
            return result
        checked = _review(given, reader, packets, shown, result.whole)
    if isinstance(checked, Failure) or checked.problems:
        problems = [checked.detail] if isinstance(checked, Failure) else list(checked.problems)
        second = _ask(backend, _again(first, given, problems), deadline, result)
        repaired = second if isinstance(second, Failure) else _review(second, reader, packets, shown, result.whole)
        if isinstance(repaired, Failure):
            if isinstance(checked, Failure):
                result.failures.append(("", told(repaired if isinstance(second, Failure) else checked)))
                return result
        elif isinstance(checked, Failure) or len(repaired.problems) <= len(checked.problems):
            checked = repaired
    assert isinstance(checked, Review)  # noqa: S101 - a failed one has returned above
    unread = set(checked.unread)
    for packet in packets:
        if packet.id in unread:
            result.failures.append((place(packet), "wrong-schema: the answer does not vouch for this unit"))
    _second(reader, [p for p in packets if p.id not in unread], checked, shown, backend, deadline, result)
    return result


def place(packet: Packet) -> str:
    """Name a unit for people."""
    return f"{packet.piece.path} {packet.piece.label}"


def told(failure: Failure) -> str:
    """A failure as the reason of a run."""
    return f"{failure.reason}: {failure.detail}"


def _ask(backend: Backend, request: Request, deadline: float | None, result: Result) -> Answer | Failure:
    given = backend.ask(request, deadline)
    if isinstance(given, Failure):
        return given
    result.seconds += given.seconds
    return given


def _refused(checked: Review | Failure, packets: Sequence[Packet]) -> list[Packet]:
    """Units, whole, of which part was shown and that was not enough to vouch for them or to settle a suspect."""
    if isinstance(checked, Failure):
        return []
    open_ = {one.id for one in checked.suspects if one.verdict == "needs_context"}
    return [
        one.whole
        for one in packets
        if one.whole is not None
        and (one.id in checked.unread or any(name in open_ - one.undecided for name, _ in one.asked))
    ]


def _review(
    given: Answer, reader: Reader, packets: Sequence[Packet], shown: Shown, without: Collection[str] = ()
) -> Review | Failure:
    """Check an answer; what it says of the units ``without`` is another answer's."""
    try:
        value = answers.parsed(given.text, answers.REVIEW_SCHEMA)
    except BadAnswerError as error:
        return failed(error.reason, error.detail, given.usage)
    value = {**value, "claims": [one for one in value["claims"] if one["unit"] not in without]}
    return answers.review(value, packets, frozenset(reader.rules), shown)


@dataclass(slots=True)
class _Unit:
    packet: Packet
    claims: list[list[Any]] = field(default_factory=list)  # [Said, verdict, reason]
    suspects: dict[str, Settled] = field(default_factory=dict)  # by id


def _second(
    reader: Reader, packets: Sequence[Packet], checked: Review, shown: Shown, backend: Backend, deadline: float | None, result: Result,
) -> None:  # fmt: skip
    """Put what would block, or would stop blocking, to a second reader, and write down what is known of each unit."""
    units = {packet.id: _Unit(packet) for packet in packets}
    suspects = {name: finding for packet in packets for name, finding in packet.asked}
    for one in checked.suspects:
        unit = units.get(one.id.partition(".")[0])
        if unit is not None:
            unit.suspects[one.id] = (
                one if not one.why_not else replace(one, verdict="needs_context", reason=one.why_not)
            )
    for said in checked.claims:
        unit = units.get(said.unit)
        if unit is not None and not _already_known(said, unit):
            unit.claims.append([said, "", ""])
    asked: dict[str, tuple[Packet, Rule, str, Any]] = {}
    for unit in units.values():
        for entry in unit.claims:
            said = entry[0]
            if said.place is not None and said.introduced and reader.blocks(reader.rules[said.rule]):
                asked[f"C{len(asked) + 1}"] = (unit.packet, reader.rules[said.rule], _worded(said), entry)
        for name, one in unit.suspects.items():
            finding = suspects[name]
            rule = reader.rules[finding.rule]
            certain = finding.confidence is Confidence.HIGH
            if (one.verdict == "upheld" and reader.blocks(rule)) or (one.verdict == "cleared" and certain):
                asked[f"C{len(asked) + 1}"] = (unit.packet, rule, _question(finding, one), (unit, name))
    said_of = _refuted(reader, asked, shown, backend, deadline, result) if asked else {}
    failed = {packet.id for name, (packet, _, _, _) in asked.items() if name not in said_of}
    for name, verdict in said_of.items():
        target = asked[name][3]
        if isinstance(target, list):
            target[1:] = [verdict.verdict, verdict.reason]
        else:
            unit, suspect = target
            unit.suspects[suspect] = _both(unit.suspects[suspect], verdict)
    for unit in units.values():
        if unit.packet.id in failed:  # nothing is kept of it, and nothing of it blocks
            for name, one in unit.suspects.items():
                unit.suspects[name] = replace(one, verdict="needs_context")
        claims = tuple((said, verdict, reason) for said, verdict, reason in unit.claims)
        settled = tuple((suspects[name].fingerprint, one) for name, one in sorted(unit.suspects.items()))
        result.known[unit.packet.id] = Known(claims, settled)


def _already_known(said: Said, unit: _Unit) -> bool:
    """Whether a claim repeats a violation, or the suspect it was asked about; the latter then counts as upheld."""
    if any(f.rule == said.rule for f in unit.packet.known):
        return True
    for name, finding in unit.packet.asked:
        one = unit.suspects.get(name)
        if finding.rule != said.rule or (one is not None and one.verdict == "cleared"):
            continue
        if said.place is not None and said.introduced and (one is None or one.verdict == "needs_context"):
            unit.suspects[name] = Settled(name, "upheld", f"{said.message} {said.scenario}", said.place)
        return True
    return False


def _worded(said: Said) -> str:
    assert said.place is not None  # noqa: S101 - only proved claims are put to the second reader
    parts = [f"{said.rule} at {said.place.path}:{said.place.line} ({said.place.side}): {said.message}", said.scenario]
    parts += [f"Looked for: {', '.join(said.looked_for)}."] if said.looked_for else []
    return " ".join(part for part in parts if part)


def _question(finding: Finding, one: Settled) -> str:
    where = f"{finding.rule} at {finding.path}:{finding.start_line} ({finding.side}): {finding.message}"
    if one.verdict == "upheld":
        return f"{where} {one.reason}"
    return f"{where} A first reader holds that this is wrong: {one.reason}"


def _both(first: Settled, second: Settled) -> Settled:
    """What two readers say of a suspect: it is upheld or cleared only where they agree."""
    agree = {("upheld", "upheld"), ("cleared", "refuted")}
    if (first.verdict, second.verdict) in agree:
        return replace(first, place=first.place or second.place)
    reason = f"two readers disagree: {first.reason} / {second.reason}"
    return replace(first, verdict="needs_context", reason=reason, place=None)


def _refuted(
    reader: Reader, asked: Mapping[str, tuple[Packet, Rule, str, Any]], shown: Shown, backend: Backend, deadline: float | None,
    result: Result,
) -> dict[str, Settled]:  # fmt: skip
    """Return the second reader's verdicts by claim; none, and a failure, when there is no usable answer."""
    packets = list({packet.id: packet.whole or packet for packet, _, _, _ in asked.values()}.values())
    claims = [(name, rule, shown.word(said)) for name, (_, rule, said, _) in asked.items()]
    message = prompts.refute_message(packets, claims)
    request = Request(
        id=f"{reader.profile.agent}.refute#{digest(message, size=6)[3:]}", model=reader.refute_model, system=reader.refute_system,
        messages=(("user", message),), schema=answers.REFUTE_SCHEMA, max_tokens=reader.refute_max_tokens, effort=reader.effort or None,
    )  # fmt: skip
    given = _ask(backend, request, deadline, result)
    value = _verdicts(given)
    if isinstance(given, Answer) and isinstance(value, Failure):
        value = _verdicts(_ask(backend, _again(request, given, [value.detail]), deadline, result))
    if isinstance(value, Failure):
        result.failures.append(("the second reader", told(value)))
        return {}
    return answers.verdicts(value, list(asked), shown)


def _verdicts(given: Answer | Failure) -> dict[str, Any] | Failure:
    if isinstance(given, Failure):
        return given
    try:
        return answers.parsed(given.text, answers.REFUTE_SCHEMA)
    except BadAnswerError as error:
        return failed(error.reason, error.detail, given.usage)


def _again(request: Request, given: Answer, problems: Sequence[str]) -> Request:
    """The same conversation, with what is wrong about its answer: asked once."""
    said = ("assistant", given.text or "(nothing)"), ("user", prompts.repair_message(problems))
    return replace(request, id=f"{request.id}.repair", messages=(*request.messages, *said))
