"""From what reviewers said to findings and runs. Pure: nothing here asks anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from agentreview.anchor import anchor
from agentreview.model import SETTLED, Claim, Confidence, Evidence, Finding, Hit, Rule
from agentreview.records import replace
from agentreview.reviewers.answers import Said, Settled
from agentreview.reviewers.convergence import Known
from agentreview.reviewers.packets import Packet
from agentreview.reviewers.profiles import Profile
from agentreview.reviewers.proposed import edit_of

NEEDS = "context that was not shown"
Reviewed = tuple[Profile, Packet, Known]


def settled(findings: Iterable[Finding], reviewed: Sequence[Reviewed]) -> list[Finding]:
    """Settle deterministic suspects: upheld beats cleared, and a violation is never touched."""
    said: dict[str, list[tuple[Profile, Settled]]] = {}
    for one, _, known in reviewed:
        for print_, verdict in known.suspects:
            said.setdefault(print_, []).append((one, verdict))
    return [_settle(f, said.get(f.fingerprint, [])) if f.hit is Hit.SUSPECT else f for f in findings]


def _settle(finding: Finding, said: Sequence[tuple[Profile, Settled]]) -> Finding:
    for wanted in SETTLED:
        for one, verdict in said:
            if verdict.verdict != wanted or verdict.place is None:
                continue
            if wanted == "upheld" and one.gate != "block":
                continue
            at = verdict.place
            shows = f"{wanted} by {one.agent}: {verdict.reason}"
            evidence = Evidence(path=at.path, line=at.line, shows=shows, quote=at.text.strip()[:300])
            confidence = Confidence.HIGH if wanted == "upheld" else Confidence.LOW
            where = f"{at.path}:{at.line}"
            message = f"{finding.message} ({wanted} by {one.agent} at {where}: {verdict.reason})"
            return replace(
                finding, confidence=confidence, needs=(), message=message, evidence=(*finding.evidence, evidence)
            )
    return finding


def claimed(
    reviewed: Sequence[Reviewed],
    rules: Mapping[str, Rule],
    blocks: Callable[[Profile, Rule], bool],
    unmask: Callable[[str], str],
) -> tuple[list[Finding], list[str], list[Finding]]:
    """Return the reviewers' own findings, each rule of a unit once, notes about claims that were refuted, and those."""
    out: dict[str, Finding] = {}
    notes: list[str] = []
    dismissed: list[Finding] = []
    for one, packet, known in sorted(reviewed, key=lambda r: (r[1].piece.path, r[1].piece.first, r[0].name)):
        seen: dict[str, int] = {}
        for said, verdict, reason in sorted(known.claims, key=lambda c: c[0].place.line if c[0].place else 0):
            rule = rules.get(said.rule)
            if rule is None:
                continue
            if verdict == "refuted":
                notes.append(f"{one.agent}: a claim of {said.rule} in {packet.piece.path} was refuted: {reason[:300]}")
                was = _finding(one, packet, said, verdict, reason, rule, 1, would=False)
                dismissed += [was] if was is not None else []
                continue
            seen[said.rule] = seen.get(said.rule, 0) + 1
            found = _finding(one, packet, said, verdict, reason, rule, seen[said.rule], would=blocks(one, rule))
            if found is None:
                continue
            found, no_edit = _with_edit(found, one, packet, said, unmask)
            if no_edit:
                notes.append(f"{one.agent}: its edit for {said.rule} in {packet.piece.path} is not offered: {no_edit}")
            first = out.get(found.fingerprint)
            if first is None or (first.confidence is not Confidence.HIGH and found.confidence is Confidence.HIGH):
                out[found.fingerprint] = found
    return list(out.values()), notes, dismissed


def _with_edit(
    found: Finding, one: Profile, packet: Packet, said: Said, unmask: Callable[[str], str]
) -> tuple[Finding, str]:
    """The finding with the edit that its reviewer proposes; the second value says why it has none where one was proposed."""
    if said.edit is None or found.path != said.edit.path:
        return found, said.no_edit
    edit = edit_of(said.edit, packet.piece, unmask, one.agent)
    return (replace(found, edit=edit), "") if edit is not None else (found, "it cannot be put together any more")


def _finding(
    one: Profile, packet: Packet, said: Said, verdict: str, reason: str, rule: Rule, occurrence: int, *, would: bool
) -> Finding | None:
    """Anchor one claim. Its identity is rule and unit: neither wording nor the chosen line changes it."""
    piece, at = packet.piece, said.place
    side = at.side if at is not None else "after" if piece.after else "before"
    version = piece.new if side == "after" else piece.old
    line = at.line if at is not None else (piece.after or piece.before or ((1, 1),))[0][0]
    if version is None or not 1 <= line <= len(version.lines):
        return None
    text = version.lines[line - 1]
    identity = "reviewer" if piece.name else f"reviewer:{' '.join(text.split())}"
    stands = at is not None and verdict == "upheld" and one.gate == "block"
    message = said.message if at is not None else f"not anchored ({said.why_not}), so it never blocks: {said.message}"
    needs = (reason or NEEDS,) if verdict == "needs_context" else ()
    claim = Claim(
        rule=said.rule, path=piece.path, unit=piece.name, start_line=line, end_line=line, quote=text.strip(), identity=identity,
        message=f"{message.rstrip('. ')}. {said.scenario}".strip(), hit=Hit.VIOLATION if stands else Hit.SUSPECT, side=side, fix=said.fix,
        evidence=tuple(Evidence(path=e.place.path, line=e.place.line, shows=e.said, quote=e.place.text.strip()[:300]) for e in said.evidence),
        needs=needs,
    )  # fmt: skip
    found = anchor(claim, rule, piece.change, occurrence=occurrence, existing=not said.introduced, agent=one.agent)
    if found is None:
        return None
    low = at is None or (would and not stands)
    return replace(found, confidence=Confidence.LOW) if low and not stands else found
