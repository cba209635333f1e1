"""GitLab Code Quality: a JSON list that merge requests show beside the changed lines.

The format has findings only, and an empty list reads as clean. So what could not be reviewed is an entry too: an
agent that did not finish is a ``blocker`` on the first reviewed path GitLab can show, files that were not read are
``info``. Fields as GitLab's documentation of the report artifact names them: description, check_name, fingerprint
(unique within the report), severity (info, minor, major, critical, blocker), location.path, location.lines.begin.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from agentreview.canonical import digest
from agentreview.model import Decision, Finding, Severity, Status, Verdict
from agentreview.reporters.summary import (
    advice,
    bucket,
    citations,
    commit_row,
    coverage_line,
    decision_line,
    refused_rows,
    skipped_by_reason,
    uncovered,
    unfinished,
)
from agentreview.reporters.text import escape

_SEVERITIES = {Severity.LOW: "minor", Severity.MEDIUM: "major", Severity.HIGH: "critical", Severity.CRITICAL: "blocker"}


def render(
    verdict: Verdict,
    *,
    color: bool = False,  # noqa: ARG001
    width: int = 100,  # noqa: ARG001
    verbose: bool = False,
    quiet: bool = False,
) -> str:
    """Render the list. Old debt and waived findings are listed only if ``verbose``; ``quiet`` leaves unread files out."""
    shown = {"blocking", "advisory"} | ({"existing", "waived"} if verbose else set())
    entries = [
        *_unfinished(verdict),
        *(_finding(finding) for finding in verdict.findings if bucket(finding) in shown),
        *([] if quiet else _skipped(verdict)),
        *_commits(verdict),
    ]
    return json.dumps(entries, indent=2) + "\n"


def _finding(finding: Finding) -> dict[str, Any]:
    before = f" (line {finding.start_line} before this change)" if finding.side == "before" else ""
    state = "" if finding.status is Status.BLOCKING else f"{bucket(finding)}: "
    parts = [f"{state}{finding.message}{before}", f"Fix: {finding.fix}" if finding.fix else ""]
    cited = citations(finding)
    text = " ".join(part for part in (*parts, f"[{cited}]" if cited else "") if part)
    severity = _SEVERITIES[finding.severity] if finding.status is Status.BLOCKING else "minor"
    line = 1 if finding.side == "before" else max(finding.start_line, 1)
    return _entry(text, finding.rule, finding.fingerprint, severity, finding.path, line)


def _unfinished(verdict: Verdict) -> Iterator[dict[str, Any]]:
    runs = unfinished(verdict)
    if verdict.decision is Decision.INCOMPLETE and not runs:
        yield _entry(decision_line(verdict), "agentreview.incomplete", "incomplete", "blocker", ".", 1)
    for run in runs:
        text = f"{run.agent} {run.outcome.value}: {run.reason or 'no reason given'}; {advice(run)}"
        severity = "blocker" if run.required else "minor"
        yield _entry(text, "agentreview.incomplete", f"{run.agent}:{run.reason}", severity, ".", 1)


def _skipped(verdict: Verdict) -> Iterator[dict[str, Any]]:
    for reason, skips in skipped_by_reason(verdict).items():
        for skip in skips:
            text = f"not reviewed: {reason}{f' ({skip.detail})' if skip.detail else ''}"
            yield _entry(text, "agentreview.not-reviewed", f"{reason}:{skip.path}", "info", skip.path, 1)


def _commits(verdict: Verdict) -> Iterator[dict[str, Any]]:
    """One entry where a commit has no receipt, or a receipt is refused; where all is well the list stays as it is."""
    rows = [*map(commit_row, uncovered(verdict)), *(refused_rows(verdict.coverage) if verdict.coverage else ())]
    if rows:
        text = f"{coverage_line(verdict)}: {'; '.join(rows)}"
        yield _entry(text, "agentreview.commits", f"commits:{verdict.base}:{verdict.tree}", "info", ".", 1)


def _entry(text: str, check: str, key: str, severity: str, path: str, line: int) -> dict[str, Any]:
    return {
        "description": escape(text)[:4000],
        "check_name": escape(check),
        "fingerprint": digest(key.encode("utf-8", "surrogateescape")),
        "severity": severity,
        "location": {"path": escape(path), "lines": {"begin": line}},
    }
