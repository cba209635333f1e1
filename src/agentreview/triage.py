"""Findings and runs to a decision. Pure: the same inputs give the same verdict, in any order they arrive."""

from __future__ import annotations

from collections.abc import Iterable

from agentreview.config import Config, Level
from agentreview.model import AgentRun, Confidence, Decision, Finding, Origin, Outcome, Status
from agentreview.records import replace
from agentreview.waivers import RULE


def settle(finding: Finding, config: Config) -> Finding:
    """Give one finding its status: blocking only when new, severe enough, certain, and its policy is on."""
    if finding.status is Status.WAIVED:
        return finding
    if finding.origin is Origin.EXISTING:
        return replace(finding, status=Status.EXISTING)
    blocks = (
        not (finding.rule == RULE and config.waivers.on_new == "advise")
        and finding.confidence is Confidence.HIGH
        and finding.severity.rank >= config.block_at.rank
        and config.level(finding.rule) is Level.ON
    )
    return replace(finding, status=Status.BLOCKING if blocks else Status.ADVISORY)


def decide(findings: Iterable[Finding], runs: Iterable[AgentRun]) -> Decision:
    """BLOCK when anything blocks; else INCOMPLETE when something required did not finish; else PASS."""
    if any(f.status is Status.BLOCKING for f in findings):
        return Decision.BLOCK
    if any(r.required and r.outcome in (Outcome.FAILED, Outcome.SKIPPED) for r in runs):
        return Decision.INCOMPLETE
    return Decision.PASS


def order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Worst first, then by place: the one order every report uses."""
    status = {Status.BLOCKING: 0, Status.ADVISORY: 1, Status.WAIVED: 2, Status.EXISTING: 3}
    return tuple(
        sorted(
            findings,
            key=lambda f: (
                status[f.status],
                -f.severity.rank,
                f.origin is Origin.EXISTING,
                f.path,
                f.start_line,
                f.rule,
                f.fingerprint,
            ),
        )
    )
