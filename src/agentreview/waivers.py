"""Inline waivers: ``agentreview: ignore[rule-id] reason`` in a comment, anywhere in the finding's span or the line above.

One rule and a reason, always: there is no blanket form. A waiver that matches nothing is said; one that the change
under review adds is marked, because whoever wrote the code wrote it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from agentreview.model import FileChange, Finding, Status, Waiver
from agentreview.policies.secrets import mask
from agentreview.syntax.parse import text_of

_FORM = re.compile(r"agentreview:\s*ignore(?:\[([^\]\n]*)\])?[ \t]*([^\n]*)")
_CLOSING = re.compile(r"\s*(?:\*/|-->|#\}|%\})\s*$")
_RULE = re.compile(r"[a-z]+\.[a-z-]+")


@dataclass(frozen=True, slots=True)
class Inline:
    """A waiver found in a file; ``problem`` says why it does not count."""

    rule: str
    path: str
    line: int
    reason: str
    added_here: bool
    problem: str = ""


def find(change: FileChange) -> list[Inline]:
    """Return every waiver comment in the new version of a file."""
    if change.after is None or b"agentreview:" not in change.after:
        return []
    added = {n for hunk in change.hunks for n in hunk.added}
    out = []
    for number, line in enumerate(text_of(change.after).split("\n"), 1):
        for match in _FORM.finditer(line):
            rule, reason = match.group(1), _CLOSING.sub("", match.group(2)).strip(" \t\r:-")
            problem = ""
            if rule is None or not _RULE.fullmatch(rule.strip()):
                problem = "it must name one rule: agentreview: ignore[pack.rule] reason"
            elif len(reason) < 3:
                problem = "it must give a reason after the bracket"
            out.append(
                Inline(
                    (rule or "").strip(),
                    change.path,
                    number,
                    mask(reason)[:200],
                    number in added or change.before is None,
                    problem,
                )
            )
    return out


def apply(findings: Iterable[Finding], inline: Iterable[Inline]) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Mark waived findings. Returns them with notes about waivers that are malformed or match nothing."""
    waivers = list(inline)
    used: set[int] = set()
    out = []
    for finding in findings:
        hit = next(
            (
                w
                for w in waivers
                if not w.problem
                and w.rule == finding.rule
                and w.path == finding.path
                and finding.side == "after"
                and finding.start_line - 1 <= w.line <= finding.end_line
            ),
            None,
        )
        if hit is None:
            out.append(finding)
            continue
        used.add(id(hit))
        out.append(
            replace(
                finding,
                status=Status.WAIVED,
                waiver=Waiver(
                    rule=hit.rule, path=hit.path, line=hit.line, reason=hit.reason, added_here=hit.added_here
                ),
            )
        )
    notes = []
    for waiver in waivers:
        where = f"{waiver.path}:{waiver.line}"
        if waiver.problem:
            notes.append(f"{where}: this waiver does not count: {waiver.problem}")
        elif id(waiver) not in used:
            notes.append(f"{where}: the waiver of {waiver.rule} matches no finding: remove it")
    return tuple(out), tuple(notes)
