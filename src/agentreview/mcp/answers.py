"""What the tools take and give, as pydantic models: their JSON schemas are what clients see and validate against.

Every text that may come from the repository is escaped on the way in, as in a report: an answer holds no hidden characters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from agentreview.model import Finding, Status, Verdict
from agentreview.reporters.summary import advice, citations, handles, questions, tally, unfinished
from agentreview.reporters.text import escape


def _escaped(value: object) -> object:
    return escape(value) if isinstance(value, str) else value


def _one_line(value: object) -> object:
    return escape(" ".join(value.split())) if isinstance(value, str) else value


def _code_line(value: object) -> object:
    return "\t".join(map(escape, value.split("\t"))) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_escaped)]
Prose = Annotated[str, BeforeValidator(_one_line)]
CodeLine = Annotated[str, BeforeValidator(_code_line)]
Severity = Literal["low", "medium", "high", "critical"]
Decision = Literal["pass", "block", "incomplete", "nothing_staged", "not_reviewed"]
SHOWN = (Status.BLOCKING, Status.ADVISORY, Status.WAIVED)  # what was there before is counted only


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


_WORKTREE = Field(
    default=None,
    max_length=4096,
    description="Path of the worktree, one that `status` names. Without it: the one this server was started in.",
)


class ReviewArguments(_Arguments):
    """Of review_staged."""

    worktree: str | None = _WORKTREE


class ListArguments(_Arguments):
    """Of list_findings."""

    worktree: str | None = _WORKTREE
    severity: Severity | None = Field(default=None, description="Only findings at least this severe.")
    blocking: bool | None = Field(default=None, description="true: only what blocks. false: only what does not.")
    path: str | None = Field(default=None, max_length=4096, description="Only this file, or what is below this folder.")


class ExplainArguments(_Arguments):
    """Of explain."""

    name: str = Field(
        min_length=1,
        max_length=200,
        description="A finding as a report names it (b2:94dcf40b), or a policy (hipaa.audit-phi-read).",
    )
    worktree: str | None = _WORKTREE


class StatusArguments(_Arguments):
    """Of status: none."""


class Line(BaseModel):
    """One line of code around a finding. ``marked``: the finding is about it."""

    number: int
    text: Text
    marked: bool


class Place(BaseModel):
    """Another place that supports a finding."""

    path: Text
    line: int
    shows: Text
    quote: Text


class Lines(BaseModel):
    """Lines ``start`` to ``end`` of the staged file become ``lines``; ``end`` before ``start`` inserts before that line."""

    start: int
    end: int
    lines: list[CodeLine]


class EditAnswer(BaseModel):
    """An edit after which policies find nothing new. ``by`` says whose it is: read one of a ``reviewer:`` before you make it."""

    by: Text
    note: Prose
    changes: list[Lines]
    command: Text


class FindingAnswer(BaseModel):
    """One finding. ``removed``: the code is as it was before the change, which took it away."""

    id: Text
    rule: Text
    title: Text
    severity: Severity
    confidence: str
    status: Literal["blocking", "advisory", "waived"]
    path: Text
    line: int
    end_line: int
    unit: Text
    removed: bool
    message: Prose
    why: Prose
    fix: Prose
    settles: list[Prose]
    citations: Text
    code: list[Line]
    evidence: list[Place]
    edit: EditAnswer | None = None


class NotReviewed(BaseModel):
    """A file of the change that was not reviewed."""

    path: Text
    reason: Text


class Unfinished(BaseModel):
    """An agent that did not finish; a required one makes the answer incomplete."""

    agent: Text
    required: bool
    reason: Prose
    do: Text


class ReviewAnswer(BaseModel):
    """What is known of the staged change of one worktree.

    ``findings`` may be a selection: ``total`` says how many there are. With the decision ``not_reviewed`` nothing is
    known, and ``reason`` says why.
    """

    decision: Decision
    reason: Prose = ""
    worktree: Text = ""
    branch: Text | None = None
    base: str = ""
    tree: str = ""
    files_reviewed: int = 0
    counts: dict[str, int] = Field(default_factory=dict)
    total: int = 0
    findings: list[FindingAnswer] = Field(default_factory=list)
    not_reviewed: list[NotReviewed] = Field(default_factory=list)
    unfinished: list[Unfinished] = Field(default_factory=list)
    notes: list[Prose] = Field(default_factory=list)


class WorktreeAnswer(BaseModel):
    """One worktree, as `agentreview status --json` has it; ``why`` says what is wrong where it cannot be read."""

    path: Text
    branch: Text | None
    state: str
    detached: bool
    locked: bool
    workflow: Text | None
    staged: int | None
    unstaged: int | None
    blocking: int
    advisory: int
    waived: int
    not_reviewed: int
    unfinished: int
    age_seconds: float | None
    dollars_today: float
    why: Prose | None


class StatusAnswer(BaseModel):
    """All worktrees. ``reason`` is set where there is nothing to say of any."""

    worktrees: list[WorktreeAnswer] = Field(default_factory=list)
    unreadable_cost_lines: int = 0
    reason: Prose = ""


def reviewed(verdict: Verdict, chosen: Iterable[Finding] | None = None) -> ReviewAnswer:
    """Put a verdict into an answer, with all findings or the chosen ones."""
    names = handles(verdict)
    shown = [finding for finding in verdict.findings if finding.status in SHOWN]
    picked = shown if chosen is None else list(chosen)
    picked.sort(key=lambda f: (SHOWN.index(f.status), f.path, f.start_line, f.rule, f.fingerprint))
    empty = verdict.base == verdict.tree
    return ReviewAnswer(
        decision="nothing_staged" if empty else verdict.decision.value,
        reason="nothing is staged, so there was nothing to review: git add the change first" if empty else "",
        worktree=verdict.worktree or "",
        branch=verdict.branch,
        base=verdict.base,
        tree=verdict.tree,
        files_reviewed=verdict.files,
        counts=tally(verdict),
        total=len(shown),
        findings=[_finding(finding, names[finding.fingerprint]) for finding in picked],
        not_reviewed=[NotReviewed(path=skip.path, reason=skip.reason) for skip in verdict.skipped],
        unfinished=[
            Unfinished(agent=run.agent, required=run.required, reason=run.reason or "no reason given", do=advice(run))
            for run in unfinished(verdict)
        ],
        notes=list(verdict.notes),
    )


def _edit(finding: Finding, name: str) -> EditAnswer | None:
    if finding.edit is None:
        return None
    changes = [Lines(start=one.start, end=one.end, lines=list(one.lines)) for one in finding.edit.replacements]
    return EditAnswer(
        by=finding.agent, note=finding.edit.note, changes=changes, command=f"agentreview fix {name} --apply"
    )


def _finding(finding: Finding, name: str) -> FindingAnswer:
    frame = finding.frame or tuple(enumerate(finding.excerpt.split("\n"), finding.start_line))
    told: dict[str, Any] = {
        "severity": finding.severity.value,
        "confidence": finding.confidence.value,
        "status": finding.status.value,
    }
    told |= {
        field: getattr(finding, field)
        for field in ("rule", "title", "path", "end_line", "unit", "message", "why", "fix")
    }
    return FindingAnswer(
        **told,
        id=name,
        line=finding.start_line,
        removed=finding.side == "before",
        settles=questions(finding),
        citations=citations(finding),
        code=[
            Line(number=number, text=text.expandtabs(4), marked=finding.start_line <= number <= finding.end_line)
            for number, text in frame
        ],
        evidence=[Place(path=at.path, line=at.line, shows=at.shows, quote=at.quote) for at in finding.evidence],
        edit=_edit(finding, name),
    )
