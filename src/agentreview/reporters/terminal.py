"""The report for a person, and for a coding agent that reads nothing else: what, where, why, and what to do.

Everything that comes from the repository is escaped and indented, so that no message or code can pass for a line of
this report: apart from file names, only the report's own words start in the first column. The last line decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from agentreview.model import REVIEWER, Decision, Finding, Hit, Skipped, Status, Verdict
from agentreview.reporters.summary import (
    BEYOND,
    LOOK_ALIKE,
    advice,
    bucket,
    citations,
    commit_row,
    count,
    counts_line,
    coverage_line,
    decision_line,
    handles,
    off_line,
    questions,
    refused_rows,
    skipped_by_reason,
    tally,
    uncovered,
    unfinished,
    waived_by,
    waiving_comment,
)
from agentreview.reporters.text import code, defuse, escape, wrap

SHOWN = 10  # files listed for one reason, unless verbose
FRAME = 14  # lines of a code frame
ALIKE = 2  # more findings of one rule in one file that are shown each

Paint = Callable[[str, str], str]  # (text, style) -> text

_ANSI = {
    "bold": "1",
    "dim": "2",
    "red": "1;31",
    "yellow": "33",
    "green": "32",
    "cyan": "36",
    "critical": "1;31",
    "high": "1;31",
    "medium": "33",
    "low": "36",
}
# Code that would have been reviewed if it could have been: named on every pass, not only counted.
_UNREAD_CODE = frozenset({"does not parse", "too large", "generated"})
_RANK = {"blocking": 0, "advisory": 1, "existing": 2}


def render(
    verdict: Verdict, *, color: bool = False, width: int = 100, verbose: bool = False, quiet: bool = False
) -> str:
    """Render the verdict for a terminal. See :class:`agentreview.reporters.Render` for the options."""
    paint: Paint = (lambda text, style: f"\x1b[{_ANSI[style]}m{text}\x1b[0m") if color else (lambda text, _: text)
    width = max(width, 40)
    passed = verdict.decision is Decision.PASS
    untold = verdict.skipped or unfinished(verdict)
    if passed and quiet and not untold:
        return ""
    told = (
        verdict.notes
        or any(bucket(finding) != "existing" for finding in verdict.findings)
        or any(skip.reason in _UNREAD_CODE for skip in verdict.skipped)
        or _to_tell_of_commits(verdict)
    )
    if passed and not verbose and not unfinished(verdict) and (quiet or not told):
        return _one_line(verdict, paint) + "\n"
    lines = [
        *_findings(verdict, paint, width, verbose=verbose, quiet=quiet),
        *([] if quiet else _waived(verdict, paint)),
        *_not_reviewed(verdict, paint, verbose=verbose),
        *_agents(verdict, paint, width),
        *([] if quiet else _notes(verdict, paint, width)),
        *_commits(verdict, paint, width, verbose=verbose),
        *(_beyond(paint, width) if verbose else []),
        escape(counts_line(verdict)) + (" (already judged: from the store)" if verdict.cached else ""),
        paint(escape(decision_line(verdict)), _decision_style(verdict)),
    ]
    return "\n".join(map(defuse, lines)) + "\n"


def _one_line(verdict: Verdict, paint: Paint) -> str:
    """Report a pass with nothing to tell: what was read, and what was not and why."""
    if not (verdict.files or verdict.skipped or verdict.findings):
        return paint("PASSED", "green") + ": nothing to review"
    reasons = [f"{escape(reason)}: {len(skips)}" for reason, skips in skipped_by_reason(verdict).items()]
    because = f" ({', '.join(reasons)}; -v lists them)" if reasons else ""
    read = f"{count(verdict.files, 'file') if verdict.files else 'no file'} reviewed"
    found = [f", {number} {name}" for name, number in tally(verdict).items() if number and name != "skipped"]
    passed = paint("PASSED", _decision_style(verdict))
    off = escape(off_line(verdict))
    commits = f"; {escape(coverage_line(verdict))}" if coverage_line(verdict) else ""
    return f"{passed}: {read}, {len(verdict.skipped)} not reviewed{because}{''.join(found)}{off}{commits}"


def _decision_style(verdict: Verdict) -> str:
    """Green is only for a pass for which something was read."""
    styles = {Decision.PASS: "green", Decision.BLOCK: "red", Decision.INCOMPLETE: "yellow"}
    unread = verdict.decision is Decision.PASS and verdict.skipped and not verdict.files
    return "yellow" if unread else styles[verdict.decision]


def _order(finding: Finding) -> tuple[int, int, str, int, str]:
    return (_RANK[bucket(finding)], -finding.severity.rank, finding.path, finding.start_line, finding.rule)


def _findings(verdict: Verdict, paint: Paint, width: int, *, verbose: bool, quiet: bool) -> Iterator[str]:
    """Show the findings that are not waived, grouped by file; files and findings worst first."""
    shown = {"blocking"} | (set() if quiet else {"advisory"}) | ({"existing"} if verbose else set())
    groups: dict[str, list[Finding]] = {}
    for finding in sorted((f for f in verdict.findings if bucket(f) in shown), key=_order):
        groups.setdefault(finding.path, []).append(finding)
    handle = handles(verdict)
    explained: set[str] = set()
    for path, findings in groups.items():
        yield paint(escape(path), "bold")
        for (_, in_full), same in groupby(findings, key=lambda f: (f.rule, _in_full(f, verbose=verbose))):
            first, *rest = same
            if in_full:
                for finding in (first, *rest):
                    name = handle[finding.fingerprint]
                    yield from _full(finding, name, paint, width, again=finding.rule in explained)
                    explained.add(finding.rule)
                    yield ""
                continue
            folded = rest if len(rest) > ALIKE and not verbose else []
            for finding in (first, *([] if folded else rest)):
                yield from _compact(finding, handle[finding.fingerprint], paint, width)
                if not folded:
                    yield ""
            if folded:
                yield from ("    " + line for line in wrap(_alike(folded), width - 4))
                yield ""


def _in_full(finding: Finding, *, verbose: bool) -> bool:
    return finding.status is Status.BLOCKING or (verbose and bucket(finding) == "advisory")


def _alike(findings: Sequence[Finding]) -> str:
    """Where else the same policy has advice: one line says it, where a page of it would hide what matters."""
    places = (f"{f.start_line} in {f.unit}" if f.unit else str(f.start_line) for f in findings)
    return f"The same policy at {len(findings)} more places (-v shows them): line {', '.join(places)}"


def _where(finding: Finding) -> str:
    unit = f" in {finding.unit}" if finding.unit else ""
    gone = " (as it was before this change)" if finding.side == "before" else ""
    return escape(f"{finding.path}:{finding.start_line}{unit}") + gone


def _kind(finding: Finding) -> str:
    by = f", by {escape(finding.agent)}" if finding.agent.startswith(REVIEWER) else ""
    return bucket(finding) + (", suspect" if finding.hit is Hit.SUSPECT else "") + by


def _compact(finding: Finding, handle: str, paint: Paint, width: int) -> Iterator[str]:
    """What does not block, in a few lines."""
    head = f"{escape(finding.rule)}  {_where(finding)}  [{_kind(finding)}, {escape(handle)}]"
    yield f"  {paint(finding.severity.value, finding.severity.value)} {head}"
    yield from ("    " + line for line in wrap(finding.message, width - 4))


def _full(finding: Finding, handle: str, paint: Paint, width: int, *, again: bool = False) -> Iterator[str]:
    """One finding with everything needed to clear it; ``again``: why the rule exists was said above."""
    name = escape(handle)
    title = paint(escape(f"{finding.rule}: {finding.title}"), "bold")
    yield f"  {paint(finding.severity.value.upper(), finding.severity.value)} {title} [{_kind(finding)}]"
    yield "  " + _where(finding)
    yield from _frame(finding, paint, width)
    yield from ("    " + line for line in wrap(finding.message, width - 4))
    cited = citations(finding)
    why = "see above" if again else finding.why
    yield from _field("why", f"{why} [{cited}]".strip() if cited and not again else why, paint, width)
    yield from _field("fix", finding.fix, paint, width)
    for item in finding.evidence:
        quote = f" `{code(item.quote.strip(), width // 2)}`" if item.quote else ""
        yield f"    {paint('evidence:', 'cyan')} {escape(f'{item.path}:{item.line}')} {escape(item.shows)}{quote}"
    for need in questions(finding):
        yield from _field("to settle it", need, paint, width)
    if finding.edit is not None:
        apply = "" if finding.agent.startswith(REVIEWER) else " --apply"
        yield f"    {paint('edit:', 'cyan')} agentreview fix {name}{apply}   ({escape(finding.edit.note)})"
    yield f"    {paint('explain:', 'cyan')} agentreview explain {name}"
    yield f"    {paint('waive:', 'cyan')} {_how_to_waive(finding, name)}"


def _field(label: str, text: str, paint: Paint, width: int) -> Iterator[str]:
    if not text.strip():
        return
    first, *rest = wrap(f"{label}: {text.strip()}", width - 6)
    painted = paint(f"{label}:", "cyan") + first[len(label) + 1 :]
    yield "    " + painted
    yield from ("      " + line for line in rest)


def _how_to_waive(finding: Finding, handle: str) -> str:
    if finding.rule == "conduct.waiver-added":
        return "a person settles it, no waiver does"
    words = waiving_comment(finding)
    if words is None:
        return f'agentreview waive {handle} --reason "<why>"'
    return f"{escape(words)}   (on line {finding.start_line} or the line above)"


def _frame(finding: Finding, paint: Paint, width: int) -> Iterator[str]:
    """Show the code with line numbers, the excerpt's lines marked: ``>`` as it is now, ``-`` as it was."""
    excerpt = finding.excerpt.splitlines()
    frame = finding.frame or tuple(enumerate(excerpt, finding.start_line))
    if not frame:
        return
    marker = "-" if finding.side == "before" else ">"
    digits = max(len(str(number)) for number, _ in frame)
    focus = excerpt[0].strip() if excerpt else ""
    first = next((index for index, (number, _) in enumerate(frame) if number >= finding.start_line), 0)
    window = frame[max(0, first - 3) :] if len(frame) > FRAME else frame
    yield ""
    for number, text in window[:FRAME]:
        marked = finding.start_line <= number <= finding.end_line
        shown = code(text, width - digits - 9, focus=focus if marked else "")
        gutter = f"{marker if marked else ' '} {number:>{digits}} |"
        yield f"    {paint(gutter, 'red' if marked else 'dim')} {shown}".rstrip()
    if len(window) > FRAME:
        yield f"      {'':{digits}} … {count(len(window) - FRAME, 'more line')}"
    yield ""


def _waived(verdict: Verdict, paint: Paint) -> Iterator[str]:
    waived = [finding for finding in verdict.findings if finding.status is Status.WAIVED]
    if not waived:
        return
    yield paint(f"Waived ({len(waived)})", "bold")
    for finding in sorted(waived, key=lambda f: (f.path, f.start_line, f.rule)):
        waiver = finding.waiver
        reason = waiver.reason if waiver else ""
        by = escape(waived_by(waiver)) if waiver else ""
        here = paint(by, "yellow") if waiver and waiver.added_here and not waiver.approved_by else by
        name = f"{finding.severity.value} {escape(finding.rule)}"
        yield f"  {name}  {_where(finding)}: {escape(reason) or 'no reason given'}{here}"
    yield ""


def _not_reviewed(verdict: Verdict, paint: Paint, *, verbose: bool) -> Iterator[str]:
    if not verdict.skipped:
        return
    yield paint(f"Not reviewed ({count(len(verdict.skipped), 'file')})", "yellow")
    if len(verdict.skipped) <= SHOWN:
        for skip in verdict.skipped:
            yield f"  {escape(skip.path)}: {escape(skip.reason or 'no reason given')}{_detail(skip)}"
    else:
        for reason, skips in skipped_by_reason(verdict).items():
            yield f"  {escape(reason)} ({count(len(skips), 'file')})"
            shown = skips if verbose else skips[:SHOWN]
            yield from (f"    {escape(skip.path)}{_detail(skip)}" for skip in shown)
            if len(skips) > len(shown):
                yield f"    … and {len(skips) - len(shown)} more (-v lists them)"
    yield ""


def _detail(skip: Skipped) -> str:
    return f" ({escape(skip.detail)})" if skip.detail else ""


def _agents(verdict: Verdict, paint: Paint, width: int) -> Iterator[str]:
    runs = unfinished(verdict)
    if not runs:
        return
    yield paint(f"Did not finish ({count(len(runs), 'agent')})", "yellow")
    for run in runs:
        need = "required" if run.required else "not required"
        reason = run.reason or "no reason given"
        first, *rest = wrap(f"{run.agent} ({need}) {run.outcome.value}: {reason}", width - 4) or [run.outcome.value]
        yield "  " + first
        yield from ("    " + line for line in rest)
        yield "    " + advice(run)
    yield ""


def _notes(verdict: Verdict, paint: Paint, width: int) -> Iterator[str]:
    for note in verdict.notes:
        first, *rest = wrap(note, width - 6) or [""]
        yield f"{paint('note:', 'cyan')} {first}"
        yield from ("  " + line for line in rest)
    if verdict.notes:
        yield ""


def _to_tell_of_commits(verdict: Verdict) -> bool:
    return bool(uncovered(verdict) or (verdict.coverage and (verdict.coverage.refused or verdict.coverage.notes)))


def _commits(verdict: Verdict, paint: Paint, width: int, *, verbose: bool) -> Iterator[str]:
    """Which commits a gate saw: one line where all of them, else those that none saw, and the receipts that are refused."""
    if verdict.coverage is None or not verdict.coverage.commits:
        return
    missing, refused = uncovered(verdict), refused_rows(verdict.coverage)
    style = "yellow" if missing or refused else "bold"
    yield from (paint(line, style) for line in wrap(coverage_line(verdict), width))
    shown = missing if verbose else missing[: 2 * SHOWN]
    rows = [*map(commit_row, shown), *refused, *verdict.coverage.notes]
    for row in rows:
        first, *rest = wrap(row, width - 4) or [""]
        yield "  " + first
        yield from ("    " + line for line in rest)
    if len(missing) > len(shown):
        yield f"  … and {len(missing) - len(shown)} more (-v lists them)"
    if missing:
        yield from ("  " + line for line in wrap(LOOK_ALIKE, width - 2))
    yield ""


def _beyond(paint: Paint, width: int) -> Iterator[str]:
    """What the report leaves open, whatever it found."""
    for sentence in BEYOND:
        yield from (paint(line, "dim") for line in wrap(sentence, width))
    yield ""
