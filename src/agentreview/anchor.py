"""Claims to findings: a claim counts only where its quote is really found in the reviewed text."""

from __future__ import annotations

from functools import lru_cache

from agentreview.canonical import digest
from agentreview.model import Claim, Confidence, FileChange, Finding, Hit, Origin, Rule, Status
from agentreview.policies.secrets import mask as masked
from agentreview.policies.secrets import unnamed
from agentreview.records import replace
from agentreview.syntax.parse import text_of

FRAME = 2  # lines of context above and below


@lru_cache(maxsize=16)
def _lines(content: bytes) -> tuple[str, ...]:
    """Lines of a blob; a file with many findings is divided once."""
    return tuple(text_of(content).split("\n"))


def fingerprint(rule: str, path: str, unit: str, identity: str, occurrence: int) -> str:
    """Identity of a finding: survives moved lines, changed wording and edits elsewhere in the unit."""
    return digest(
        {"rule": rule, "path": path, "unit": unit, "identity": " ".join(identity.split()), "occurrence": occurrence},
        size=10,
    )


def anchor(
    claim: Claim, rule: Rule, change: FileChange, *, occurrence: int, existing: bool, agent: str
) -> Finding | None:
    """Return the finding, or ``None`` when the quote is not at its line in the blob the claim names.

    Confidence is computed: a violation is high; a suspect is high only when every project fact it rests on was
    confirmed by a person, else medium. Status is provisional here; triage decides it.
    """
    content = change.after if claim.side == "after" else change.before
    if content is None:
        return None
    lines = _lines(content)
    if not 1 <= claim.start_line <= len(lines):
        return None
    here = lines[claim.start_line - 1]
    if claim.quote.strip() not in (here.strip(), masked(here).strip()) and "[hidden]" not in claim.quote:
        return None
    end = min(max(claim.end_line, claim.start_line), len(lines))
    first, last = max(1, claim.start_line - FRAME), min(len(lines), max(end, claim.start_line) + FRAME)
    mask = unnamed if claim.personal else masked
    hidden = {claim.start_line: mask(claim.quote)} if "[hidden]" in claim.quote else {}
    confidence = Confidence.HIGH if claim.hit is Hit.VIOLATION or claim.confirmed else Confidence.MEDIUM
    return Finding(
        fingerprint=fingerprint(claim.rule, claim.path, claim.unit, claim.identity, occurrence),
        rule=claim.rule, title=rule.title, severity=claim.severity or rule.severity, confidence=confidence, hit=claim.hit,
        origin=Origin.EXISTING if existing else Origin.INTRODUCED, status=Status.ADVISORY, agent=agent,
        path=claim.path if claim.side == "after" else change.old_path or claim.path, start_line=claim.start_line, end_line=end,
        unit=masked(claim.unit), message=masked(claim.message), excerpt=hidden.get(claim.start_line, mask(here)).strip()[:300], fix=masked(claim.fix or rule.fix), side=claim.side,
        why=_first_paragraph(rule.why), cwe=rule.cwe, references=rule.references, needs=claim.needs,
        evidence=tuple(replace(e, quote=mask(e.quote), shows=mask(e.shows)) for e in claim.evidence),
        frame=tuple((n, hidden.get(n) or mask(lines[n - 1])[:400]) for n in range(first, min(last, first + 30) + 1)),
    )  # fmt: skip


def _first_paragraph(text: str) -> str:
    return " ".join(text.strip().split("\n\n", 1)[0].split())
