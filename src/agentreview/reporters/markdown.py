"""Markdown for pull-request comments and the step summary of a CI run.

Everything from the repository is escaped twice: what is not printable is shown as its code, and what Markdown, HTML
and the host would obey (links, mentions, headings, tables, tags) is text. Code stands in a fence that is longer than
any run of backticks in it.
"""

from __future__ import annotations

import re
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
)
from agentreview.reporters.text import defuse, escape

LONGEST = 60_000  # characters: comments on GitHub hold 65,536, and what does not fit has to be said
LISTED = 50  # unread files named for each reason
_MARKS = {Decision.PASS: "✅", Decision.BLOCK: "⛔", Decision.INCOMPLETE: "⚠️"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-!|>~$:]|(?<=^\d)\.)")


def render(
    verdict: Verdict,
    *,
    color: bool = False,  # noqa: ARG001
    width: int = 100,  # noqa: ARG001
    verbose: bool = False,
    quiet: bool = False,
) -> str:
    """Render the report. Old debt is listed only if ``verbose``; ``quiet`` leaves out advice and notes."""
    unread = verdict.decision is Decision.PASS and verdict.skipped and not verdict.files
    mark = "⚠️" if unread else _MARKS[verdict.decision]
    blocks = [f"## {mark} {plain(decision_line(verdict))}", plain(counts_line(verdict)), *_runs(verdict)]
    handle = handles(verdict)
    order = ["blocking", *([] if quiet else ["advisory"]), "waived", *(["existing"] if verbose else [])]
    for kind in order:
        found = [f for f in verdict.findings if bucket(f) == kind]
        found.sort(key=lambda f: (-f.severity.rank, f.path, f.start_line, f.rule))
        if not found:
            continue
        if kind == "blocking":
            blocks += [part for f in found for part in _full(f, handle[f.fingerprint])]
        else:
            rows = [_row(f, handle[f.fingerprint]) for f in found]
            blocks.append(_folded(f"{count(len(found), 'finding')} {kind}", rows))
    for reason, skips in skipped_by_reason(verdict).items():
        rows = [f"- {plain(s.path)}{f': {plain(s.detail)}' if s.detail else ''}" for s in skips[:LISTED]]
        rows += [f"- … and {len(skips) - LISTED} more"] if len(skips) > LISTED else []
        blocks.append(_folded(f"not reviewed: {count(len(skips), 'file')}, {plain(reason)}", rows))
    blocks += _commits(verdict)
    blocks += [] if quiet else [f"> {plain(note)}" for note in verdict.notes]
    return _bounded(blocks)


def plain(text: str) -> str:
    """One line of untrusted text as Markdown that shows exactly that text."""
    shown = escape(" ".join(text.split("\n")))
    shown = _SPECIAL.sub(r"\\\1", shown).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"(?i)\b(www)(?=\.)", r"\1&#8203;", shown.replace("@", "&#64;"))


def fenced(text: str) -> str:
    """Code in a fence that nothing in it can close."""
    lines = [defuse(escape(line)) for line in text.split("\n")]
    ticks = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, ticks + 1)
    return "\n".join([fence, *lines, fence])


def _runs(verdict: Verdict) -> Iterator[str]:
    for run in unfinished(verdict):
        what = f"{run.agent} {run.outcome.value}: {run.reason or 'no reason given'}. {advice(run)}"
        yield f"- **{'required' if run.required else 'optional'}** {plain(what)}"


def _commits(verdict: Verdict) -> Iterator[str]:
    if verdict.coverage is None or not verdict.coverage.commits:
        return
    missing = uncovered(verdict)
    yield plain(coverage_line(verdict))
    rows = [f"- {plain(commit_row(one))}" for one in missing[:LISTED]]
    rows += [f"- … and {len(missing) - LISTED} more"] if len(missing) > LISTED else []
    if rows:
        yield _folded(f"{count(len(missing), 'commit')} without a receipt that counts", [*rows, "", LOOK_ALIKE])
    yield from (f"> {plain(row)}" for row in (*refused_rows(verdict.coverage), *verdict.coverage.notes))


def _full(finding: Finding, handle: str) -> Iterator[str]:
    gone = " (before this change)" if finding.side == "before" else ""
    unit = f" in {finding.unit}" if finding.unit else ""
    yield f"### {finding.severity.value.upper()} {plain(f'{finding.rule}: {finding.title}')}"
    yield plain(f"{finding.path}:{finding.start_line}{unit}{gone}")
    if finding.frame or finding.excerpt:
        mark = "-" if finding.side == "before" else ">"
        frame = finding.frame or tuple(enumerate(finding.excerpt.split("\n"), finding.start_line))
        yield fenced(
            "\n".join(
                f"{mark if finding.start_line <= n <= finding.end_line else ' '} {n:>4} | {text[:300]}"
                for n, text in frame
            )
        )
    cited = citations(finding)
    said = [
        finding.message,
        f"**Why:** {plain(finding.why)}{f' [{plain(cited)}]' if cited else ''}" if finding.why else "",
    ]
    yield plain(said[0])
    if said[1]:
        yield said[1]
    if finding.fix:
        yield f"**Fix:** {plain(finding.fix)}"
    does, rows = edit_told(finding)
    if does:
        yield f"**Edit:** {plain(does)}"
        if rows:
            yield fenced("\n".join(rows))
    for need in questions(finding):
        yield f"**To settle it:** {plain(need)}"
    yield f"`agentreview explain {handle}`"


def _row(finding: Finding, handle: str) -> str:
    waiver = f" Waived: {plain(finding.waiver.reason)}" if finding.waiver else ""
    where = plain(f"{finding.path}:{finding.start_line}")
    return f"- {finding.severity.value} {plain(finding.rule)} {where} {plain(finding.message)}{waiver} (`{handle}`)"


def _folded(title: str, rows: list[str]) -> str:
    return "\n".join([f"<details><summary>{title}</summary>", "", *rows, "", "</details>"])


def _bounded(blocks: list[str]) -> str:
    """Join the blocks, and say how many did not fit: a host that cuts a comment does so without a word."""
    kept: list[str] = []
    size = 0
    for number, block in enumerate(blocks):
        if size + len(block) > LONGEST:
            kept.append(
                f"**{len(blocks) - number} more parts do not fit here: the json and sarif reports have all of it.**"
            )
            break
        kept.append(block)
        size += len(block) + 2
    return "\n\n".join(kept) + "\n"
