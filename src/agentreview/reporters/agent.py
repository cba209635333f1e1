"""For the coding agent that has to clear the findings: short, imperative, one block a finding, in a stable order.

No colours, no width, nothing folded: an agent reads it from a pipe. What comes from the repository is escaped and
stands after a bar, so that no line of code can pass for a line of the report.
"""

from __future__ import annotations

from collections.abc import Iterator

from agentreview.model import REVIEWER, Decision, Edit, Finding, Verdict
from agentreview.reporters.summary import (
    advice,
    bucket,
    commit_row,
    count,
    coverage_line,
    decision_line,
    handles,
    questions,
    refused_rows,
    skipped_by_reason,
    uncovered,
    unfinished,
)
from agentreview.reporters.text import defuse, escape

WIDEST = 240  # characters of a line of code
LISTED = 20  # unread files named for each reason


def render(
    verdict: Verdict,
    *,
    color: bool = False,  # noqa: ARG001
    width: int = 100,  # noqa: ARG001
    verbose: bool = False,
    quiet: bool = False,
) -> str:
    """Render what to do. Advice comes in one line each (in full if ``verbose``, not at all if ``quiet``)."""
    handle = handles(verdict)
    order = sorted(verdict.findings, key=lambda f: (f.path, f.start_line, f.rule, f.fingerprint))
    blocking = [f for f in order if bucket(f) == "blocking"]
    advisory = [f for f in order if bucket(f) == "advisory"]
    lines = [decision_line(verdict)]
    for run in unfinished(verdict):
        lines += ["", f"NOT FINISHED {run.agent}: {run.reason or 'no reason given'}", f"  do: {advice(run)}"]
    made: dict[Edit, str] = {}  # one edit often clears what two policies say of the same lines
    for number, finding in enumerate(blocking, 1):
        same = made.setdefault(finding.edit, f"FIX {number}") if finding.edit is not None else ""
        first = "" if same == f"FIX {number}" else same
        lines += ["", *_block(finding, f"FIX {number} of {len(blocking)}", handle[finding.fingerprint], first)]
    if advisory and not quiet:
        lines += ["", f"CONSIDER ({count(len(advisory), 'question')} that nothing blocks on)"]
        for finding in advisory:
            if verbose:
                lines += ["", *_block(finding, "CONSIDER", handle[finding.fingerprint])]
            else:
                lines.append(f"- {finding.rule} {quoted(finding.path)}:{finding.start_line} {finding.message}")
    for reason, skips in skipped_by_reason(verdict).items():
        named = ", ".join(quoted(skip.path) for skip in skips[:LISTED])
        more = f" and {len(skips) - LISTED} more" if len(skips) > LISTED else ""
        lines += ["", f"NOT REVIEWED ({reason}): {named}{more}"]
    if coverage_line(verdict) and verdict.coverage:
        rows = [*map(commit_row, uncovered(verdict)[:LISTED]), *refused_rows(verdict.coverage), *verdict.coverage.notes]
        lines += ["", f"COMMITS {coverage_line(verdict)}", *(f"- {_one_line(row)}" for row in rows)]
    if verdict.decision is Decision.BLOCK:
        lines += [
            "",
            "THEN stage the changes (git add) and commit again: the same review runs on what is staged.",
            "Do not skip the hook, weaken a test or add a waiver: each is found, here or in CI. If a finding is wrong, say so to the person you work for.",
        ]
    return "\n".join(defuse(escape(line)) for line in lines) + "\n"


def quoted(path: str) -> str:
    """A name of a file, in quotes where it could pass for words of a sentence."""
    return f'"{path}"' if any(char.isspace() for char in path) else path


def _block(finding: Finding, label: str, handle: str, same: str = "") -> Iterator[str]:
    gone = ", as it was before this change" if finding.side == "before" else ""
    unit = f" in {finding.unit}" if finding.unit else ""
    yield f"{label} [{finding.rule}] {quoted(finding.path)}:{finding.start_line}{unit}{gone}"
    mark = "-" if finding.side == "before" else ">"
    for number, text in finding.frame or tuple(enumerate(finding.excerpt.split("\n"), finding.start_line)):
        marked = finding.start_line <= number <= finding.end_line
        yield f"  {mark if marked else ' '}{number:>5} | {text.expandtabs(4)[:WIDEST]}".rstrip()
    yield f"  what: {_one_line(finding.message)}"
    if finding.why:
        yield f"  why: {_one_line(finding.why)}"
    if finding.fix:
        yield f"  do: {_one_line(finding.fix)}"
    if same:
        yield f"  or: the edit of {same} clears this as well"
    elif finding.edit is not None:
        run = f"agentreview fix {handle}"
        by_model = finding.agent.startswith(REVIEWER)
        told = f"look at: {run}, and make it with --apply" if by_model else f"run: {run} --apply"
        yield f"  or {told} ({_one_line(finding.edit.note)})"
    for item in finding.evidence:
        yield f"  see: {quoted(item.path)}:{item.line} {_one_line(item.shows)}{f' | {item.quote.strip()[:WIDEST]}' if item.quote else ''}"
    for need in questions(finding):
        yield f"  settles it: {_one_line(need)}"
    yield f"  checked again by: git commit, or agentreview --format agent (this finding is {handle})"


def _one_line(text: str) -> str:
    return " ".join(text.split())
