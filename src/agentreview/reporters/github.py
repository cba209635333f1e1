"""Workflow commands for GitHub Actions: annotations on the changed lines of a pull request.

The escapes are those of GitHub's toolkit (``%``, CR and LF in data; ``:`` and ``,`` too in properties). A runner also
obeys older ``##[`` markers anywhere in a line, so text goes through :func:`~agentreview.reporters.text.escape` first.
GitHub shows ten errors, ten warnings and ten notices of a step, so what matters most comes first, and the last line,
plain text in the log, counts everything.
"""

from __future__ import annotations

from collections.abc import Iterator

from agentreview.model import Decision, Finding, Verdict
from agentreview.reporters.summary import (
    LOOK_ALIKE,
    advice,
    bucket,
    citations,
    commit_row,
    count,
    counts_line,
    coverage_line,
    decision_line,
    edit_told,
    handles,
    questions,
    refused_rows,
    skipped_by_reason,
    uncovered,
    unfinished,
    waived_by,
)
from agentreview.reporters.text import defuse, escape

LONGEST = 4000  # characters of one message
LISTED = 10  # paths named in one notice

_COMMANDS = {"blocking": "error", "advisory": "warning", "existing": "notice", "waived": "notice"}


def render(
    verdict: Verdict,
    *,
    color: bool = False,  # noqa: ARG001
    width: int = 100,  # noqa: ARG001
    verbose: bool = False,
    quiet: bool = False,
) -> str:
    """Render annotations. Old debt is annotated only if ``verbose``; ``quiet`` leaves out the notices about a pass."""
    if (
        quiet
        and verdict.decision is Decision.PASS
        and not verdict.skipped
        and not unfinished(verdict)
        and not any(_commits(verdict))
    ):
        return ""
    lines = [
        *_incomplete(verdict),
        *_findings(verdict, verbose=verbose, quiet=quiet),
        *_skipped(verdict),
        *_commits(verdict),
        *([] if quiet else [_command("notice", note, title="agentreview") for note in verdict.notes]),
        *([defuse(escape(line))] if (line := coverage_line(verdict)) else []),
        defuse(escape(f"{decision_line(verdict)} [{counts_line(verdict)}]")),
    ]
    return "\n".join(lines) + "\n"


def _incomplete(verdict: Verdict) -> Iterator[str]:
    if verdict.decision is Decision.INCOMPLETE:
        yield _command("error", decision_line(verdict), title="agentreview: INCOMPLETE")
    for run in unfinished(verdict):
        what = f"agent {run.agent} {run.outcome.value}"
        message = f"{run.reason or 'no reason given'}\n{advice(run)}"
        yield _command("error" if run.required else "warning", message, title=what)


def _findings(verdict: Verdict, *, verbose: bool, quiet: bool) -> Iterator[str]:
    handle = handles(verdict)
    order = list(_COMMANDS)
    left_out = {"existing"} if not verbose else set()
    left_out |= {"waived"} if quiet else set()
    shown = [finding for finding in verdict.findings if bucket(finding) not in left_out]
    shown.sort(key=lambda f: (order.index(bucket(f)), -f.severity.rank, f.path, f.start_line, f.rule))
    for finding in shown:
        kind = bucket(finding)
        title = f"{finding.severity.value} {finding.rule}: {finding.title}"
        place = {"file": finding.path}
        if finding.side == "after":  # lines of the old file would point at something else
            place |= {
                "line": str(max(finding.start_line, 1)),
                "endLine": str(max(finding.end_line, finding.start_line, 1)),
            }
        prefix = "" if kind in ("blocking", "advisory") else f"{kind}: "
        message = _message(finding, handle[finding.fingerprint])
        yield _command(_COMMANDS[kind], message, **place, title=prefix + title)


def _message(finding: Finding, handle: str) -> str:
    cited = citations(finding)
    where = f" (line {finding.start_line} before this change)" if finding.side == "before" else ""
    does, rows = edit_told(finding)
    parts = [
        finding.message + where,
        f"Waived{waived_by(finding.waiver)}: {finding.waiver.reason}" if finding.waiver else "",
        f"Why: {finding.why}" if finding.why else "",
        f"[{cited}]" if cited else "",
        f"Fix: {finding.fix}" if finding.fix else "",
        *(f"To settle it: {need}" for need in questions(finding)),
        f"Explain: agentreview explain {handle}",
    ]
    said = "\n".join(part for part in parts if part)
    edit = "\n".join(["", f"Edit: {does}", *rows]) if does else ""
    return said + edit if len(said + edit) <= LONGEST else said  # part of an edit could be taken for the whole


def _skipped(verdict: Verdict) -> Iterator[str]:
    """One notice for each reason: notices are shown ten a step, files are many."""
    for reason, skips in skipped_by_reason(verdict).items():
        paths = [skip.path + (f" ({skip.detail})" if skip.detail else "") for skip in skips[:LISTED]]
        more = [f"… and {len(skips) - LISTED} more"] if len(skips) > LISTED else []
        title = f"Not reviewed: {count(len(skips), 'file')}, {reason}"
        yield _command("notice", "\n".join([*paths, *more]), title=title)


def _commits(verdict: Verdict) -> Iterator[str]:
    """One annotation for the commits that no gate saw, one for receipts that are refused."""
    missing = uncovered(verdict)
    if missing:
        more = [f"… and {len(missing) - LISTED} more"] if len(missing) > LISTED else []
        rows = [*map(commit_row, missing[:LISTED]), *more, LOOK_ALIKE]
        yield _command(
            "notice", "\n".join(rows), title=f"{count(len(missing), 'commit')} without a receipt that counts"
        )
    if verdict.coverage and verdict.coverage.refused:
        rows = refused_rows(verdict.coverage)
        yield _command("warning", "\n".join(rows[:LISTED]), title=f"{count(len(rows), 'receipt')} refused")
    for note in verdict.coverage.notes if verdict.coverage else ():
        yield _command("notice", note, title="agentreview")


def _command(name: str, message: str, **properties: str) -> str:
    """One workflow command on one line, whatever the parts hold."""
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {listed}::{_data(message)}"


def _data(text: str) -> str:
    lines = text[:LONGEST].replace("\r\n", "\n").split("\n")
    return "\n".join(map(escape, lines)).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return escape(text).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
