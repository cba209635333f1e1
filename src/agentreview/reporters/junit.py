"""JUnit XML: what Jenkins, Azure, CircleCI, Buildkite, Bitbucket and GitLab show as test results.

One suite for each agent. A blocking finding is a failure, a run that did not finish is an error, a file that was not
read and an accepted finding are skipped tests with the reason; an agent with nothing to say is one passed test. The
elements are those of the schema that Jenkins publishes; text is XML 1.0 with what it cannot hold shown escaped.
"""

from __future__ import annotations

from xml.sax.saxutils import escape as xml
from xml.sax.saxutils import quoteattr

from agentreview.model import Finding, Verdict
from agentreview.records import dataclass
from agentreview.reporters.summary import (
    advice,
    bucket,
    citations,
    commit_row,
    coverage_line,
    decision_line,
    edit_told,
    refused_rows,
    uncovered,
    unfinished,
)
from agentreview.reporters.text import defuse, escape

_FILES = "files"
_COMMITS = "commits"


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    outcome: str = ""  # failure | error | skipped | "" for passed
    message: str = ""
    text: str = ""
    path: str = ""
    line: int = 0


def render(
    verdict: Verdict,
    *,
    color: bool = False,  # noqa: ARG001
    width: int = 100,  # noqa: ARG001
    verbose: bool = False,
    quiet: bool = False,
) -> str:
    """Render the suites. Advice is in the output of its suite; old debt is shown only if ``verbose``."""
    suites: dict[str, list[_Case]] = {}
    broken = {run.agent for run in unfinished(verdict)}
    for run in verdict.runs:
        cases = suites.setdefault(run.agent, [])
        if run.agent in broken:
            outcome = "error" if run.required else "skipped"
            cases.append(_Case("review", outcome, run.reason or "no reason given", advice(run)))
        elif not any(f.agent == run.agent and bucket(f) in ("blocking", "waived") for f in verdict.findings):
            cases.append(_Case("review", *(("skipped", run.reason) if run.outcome.value == "off" else ())))
    shown = {"blocking", "waived"} | ({"existing"} if verbose else set())
    notes: dict[str, list[str]] = {}
    for finding in verdict.findings:
        if bucket(finding) == "advisory":
            notes.setdefault(finding.agent, []).append(escape(_advice(finding)))
        elif bucket(finding) in shown:
            suites.setdefault(finding.agent, []).append(_case(finding))
    if not quiet:
        for skip in verdict.skipped:
            reason = skip.reason + (f" ({skip.detail})" if skip.detail else "")
            suites.setdefault(_FILES, []).append(_Case(skip.path, "skipped", f"not reviewed: {reason}", path=skip.path))
    if coverage_line(verdict) and verdict.coverage:
        untold = [*map(commit_row, uncovered(verdict)), *refused_rows(verdict.coverage), *verdict.coverage.notes]
        suites[_COMMITS] = [_Case(row, "skipped", row) for row in untold] or [_Case("receipts")]
        notes[_COMMITS] = [escape(coverage_line(verdict))]
    for agent in notes:
        suites.setdefault(agent, [_Case("review")])
    if not suites:
        suites = {_FILES: [_Case("nothing to review")]}
    rows = [
        f"<testsuites {_counts([c for cases in suites.values() for c in cases])} name={_attr(decision_line(verdict))}>"
    ]
    for agent, cases in suites.items():
        rows.append(f"  <testsuite name={_attr(agent)} {_counts(cases)}>")
        rows.extend(_element(agent, case) for case in cases)
        if notes.get(agent):
            rows.append(f"    <system-out>{_text(chr(10).join(notes[agent]))}</system-out>")
        rows.append("  </testsuite>")
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', *rows, "</testsuites>"]) + "\n"


def _case(finding: Finding) -> _Case:
    where = f"{finding.path}:{finding.start_line}" + (" before this change" if finding.side == "before" else "")
    name = f"{finding.rule} {where}{f' in {finding.unit}' if finding.unit else ''}"
    if bucket(finding) == "waived":
        reason = finding.waiver.reason if finding.waiver else ""
        return _Case(name, "skipped", f"waived: {reason}", path=finding.path, line=finding.start_line)
    if bucket(finding) == "existing":
        return _Case(name, "skipped", "it was there before this change", path=finding.path, line=finding.start_line)
    cited = citations(finding)
    parts = [escape(where), finding.excerpt, f"why: {finding.why} [{cited}]" if cited else f"why: {finding.why}"]
    does, rows = edit_told(finding)
    parts += [
        f"fix: {finding.fix}",
        *([f"edit: {does}", *rows] if does else []),
        f"explain: agentreview explain {finding.fingerprint}",
    ]
    return _Case(name, "failure", finding.message, "\n".join(parts), finding.path, finding.start_line)


def _advice(finding: Finding) -> str:
    return f"advice: {finding.path}:{finding.start_line} {finding.rule}: {finding.message} fix: {finding.fix}"


def _counts(cases: list[_Case]) -> str:
    of = {name: sum(case.outcome == name for case in cases) for name in ("failure", "error", "skipped")}
    return f'tests="{len(cases)}" failures="{of["failure"]}" errors="{of["error"]}" skipped="{of["skipped"]}"'


def _element(agent: str, case: _Case) -> str:
    place = f' file={_attr(case.path)} line="{max(case.line, 1)}"' if case.path else ""
    opening = f"    <testcase classname={_attr('agentreview.' + agent)} name={_attr(case.name)}{place}"
    if not case.outcome:
        return opening + "/>"
    kind = f" type={_attr(case.name.split(' ', 1)[0])}" if case.outcome != "skipped" else ""
    body = f"<{case.outcome} message={_attr(case.message)}{kind}>{_text(case.text)}</{case.outcome}>"
    return f"{opening}>{body}</testcase>"


def _attr(text: str) -> str:
    return quoteattr(escape(text))


def _text(text: str) -> str:
    return xml("\n".join(defuse(escape(line)) for line in text.split("\n")))
