"""Values with sensible defaults, so that a test names only what it is about."""

from __future__ import annotations

from typing import Any

from agentreview.model import (
    AgentRun,
    Confidence,
    Decision,
    Finding,
    Hit,
    Origin,
    Outcome,
    Rule,
    Severity,
    Skipped,
    Status,
    Verdict,
    Waiver,
)

FRAME = (
    (12, "@login_required"),
    (13, "def patient_detail(request, pk):"),
    (14, "    patient = Patient.objects.get(pk=pk)"),
    (15, '    return render(request, "patient.html", {"patient": patient})'),
)


def finding(**overrides: Any) -> Finding:
    """A blocking finding in ``clinic/views.py``; give only what differs."""
    values: dict[str, Any] = {
        "fingerprint": "b2:9f3c21ab44d0e17755aa01c2d3e4f506",
        "rule": "hipaa.audit-phi-read",
        "title": "Reading patient data is audit-logged",
        "severity": Severity.HIGH,
        "confidence": Confidence.HIGH,
        "hit": Hit.VIOLATION,
        "origin": Origin.INTRODUCED,
        "status": Status.BLOCKING,
        "agent": "hipaa",
        "path": "clinic/views.py",
        "start_line": 14,
        "end_line": 14,
        "unit": "patient_detail",
        "message": "patient_detail reads Patient and writes no audit entry.",
        "excerpt": "    patient = Patient.objects.get(pk=pk)",
        "fix": "Call audit(request.user, 'read', patient) before the response.",
        "why": "Without an entry nobody can tell who saw a record.",
        "cwe": ("CWE-778",),
        "references": ("45 CFR 164.312(b)",),
        "frame": FRAME,
    }
    return Finding(**{**values, **overrides})


def waived(**overrides: Any) -> Finding:
    """The same finding, accepted by an inline comment."""
    line = overrides.get("start_line", 14)
    waiver = Waiver(rule="hipaa.audit-phi-read", path="clinic/views.py", line=line, reason="the middleware audits")
    return finding(**{"status": Status.WAIVED, "waiver": waiver, **overrides})


def rule(**overrides: Any) -> Rule:
    """The rule of :func:`finding`."""
    values: dict[str, Any] = {
        "id": "hipaa.audit-phi-read",
        "title": "Reading patient data is audit-logged",
        "severity": Severity.HIGH,
        "pack": "hipaa",
        "why": "Without an entry nobody can tell who saw a record.",
        "fix": "Write an audit entry for each access.",
        "help": "Access to **patient data** leaves an audit entry.",
        "cwe": ("CWE-778",),
        "references": ("45 CFR 164.312(b)",),
    }
    return Rule(**{**values, **overrides})


def run(**overrides: Any) -> AgentRun:
    """A completed, required run of the hipaa agent."""
    values: dict[str, Any] = {"agent": "hipaa", "digest": "b2:00ff", "outcome": Outcome.COMPLETED}
    return AgentRun(**{**values, **overrides})


def skipped(path: str = "README.md", reason: str = "language", detail: str = "") -> Skipped:
    """A file that was not reviewed."""
    return Skipped(path=path, reason=reason, detail=detail)


def verdict(*findings: Finding, **overrides: Any) -> Verdict:
    """A verdict over ``findings``: it blocks when one of them does, and it read one file."""
    blocks = any(item.status is Status.BLOCKING for item in findings)
    values: dict[str, Any] = {
        "decision": Decision.BLOCK if blocks else Decision.PASS,
        "base": "1" * 40,
        "tree": "2" * 40,
        "findings": findings,
        "files": 1,
        "version": "0.1.0",
        "branch": "feature/portal",
    }
    return Verdict(**{**values, **overrides})
