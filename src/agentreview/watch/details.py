"""What the board says of one worktree: its findings in order, and texts to read or to copy."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from agentreview.everywhere import START
from agentreview.model import REVIEWER, Finding, Status, Verdict
from agentreview.records import replace
from agentreview.reporters import REPORTERS
from agentreview.reporters.summary import decision_line, skipped_by_reason, unfinished
from agentreview.reporters.text import escape
from agentreview.watch.board import Place

_ORDER = {Status.BLOCKING: 0, Status.ADVISORY: 1, Status.WAIVED: 2}


def listed(place: Place | None) -> list[Finding]:
    """Return the findings of a worktree, what blocks first; old ones are left to the report."""
    verdict = place.row.verdict if place is not None else None
    found = [f for f in verdict.findings if f.status in _ORDER] if verdict is not None else []
    return sorted(found, key=lambda f: (_ORDER[f.status], -f.severity.rank, f.path, f.start_line, f.rule))


def headline(finding: Finding) -> str:
    """One escaped line: ``BLOCKING high hipaa.audit-phi-read clinic/views.py:12 message``."""
    word = finding.status.value.upper() if finding.status is Status.BLOCKING else finding.status.value
    where = f"{finding.path}:{finding.start_line}"
    return escape(f"{word:<8} {finding.severity.value:<8} {finding.rule}  {where}  {' '.join(finding.message.split())}")


def told(place: Place) -> Sequence[str]:
    """What has to be known besides findings, unescaped: the decision, what did not finish, and what was not read."""
    lines = [place.row.why] if place.row.why else []
    verdict = place.row.verdict
    if verdict is None:
        return lines or [f"{place.row.path}: {place.row.state}"]
    lines.append(decision_line(verdict))
    lines += [f"not finished: {run.agent}: {run.reason or 'no reason given'}" for run in unfinished(verdict)]
    for reason, skips in skipped_by_reason(verdict).items():
        lines.append(
            f"not reviewed ({reason}): {', '.join(skip.path for skip in skips[:5])}{' …' if skips[5:] else ''}"
        )
    return lines


def alone(verdict: Verdict, finding: Finding) -> Verdict:
    """Return the verdict with this one finding."""
    return replace(verdict, findings=(finding,), notes=(), skipped=())


def instructions(verdict: Verdict) -> str:
    """What an agent is told to do about it."""
    return REPORTERS["agent"](verdict)


def is_reviewers(finding: Finding) -> bool:
    """Whether a model reviewer says so."""
    return finding.agent.startswith(REVIEWER)


def packet(path: str, finding: Finding | None) -> list[str]:
    """Return what prints what model reviewers would be sent of what is staged there, or what the finding's reviewer gets."""
    names = ("--reviewers", finding.agent.removeprefix(REVIEWER)) if finding and is_reviewers(finding) else ()
    return [sys.executable, "-c", START, "run", "--worktree", path, "--dry-run", "--fresh", *names]
