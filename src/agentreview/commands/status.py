"""``agentreview status``: every worktree, what is staged there, and what is known of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentreview.commands.shared import CONTEXT, color_option, emit, worktree_option
from agentreview.console import colored, is_terminal
from agentreview.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from agentreview.glance import Glance
    from agentreview.overview import Row

SCHEMA = "agentreview/status/1"
HEADS = ("worktree", "branch", "staged", "unstaged", "verdict")
_ANSI = {"blocked": "1;31", "incomplete": "33", "passed": "32", "cannot be read": "33", "unmerged": "33"}
_CLEAR = "\x1b[H\x1b[2J"


@click.command(
    "status",
    context_settings=CONTEXT,
    short_help="Every worktree: what is staged, and its verdict.",
    epilog="""\b
Examples:
  agentreview status            all worktrees of this repository
  agentreview status --watch    again every two seconds, until Ctrl-C
  agentreview status --json     for programs

Nothing is reviewed and no index is locked: `agentreview run --all-worktrees` reviews what is staged everywhere.""",
)
@worktree_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--watch", is_flag=True, help="Show it again every --interval seconds, until Ctrl-C.")
@click.option(
    "--interval", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, help="Seconds, for --watch."
)
@color_option
@click.pass_obj
def command(
    begun: Sequence[Glance], *, worktree: str | None, as_json: bool, watch: bool, interval: float, color: str
) -> int:
    """Show every worktree of the repository: branch, staged and unstaged files, and the verdict of what is staged.

    From any worktree, or from the bare repository. A worktree that cannot be read is shown with the reason, and the exit
    code is 3 then.
    """
    from agentreview.overview import UNREADABLE, rows

    if as_json and watch:
        raise UsageError("--json and --watch exclude each other", fix="Ask for --json as often as you like")
    painted = colored(sys.stdout, color)
    while True:
        found = rows(worktree, begun)
        begun = ()
        if as_json:
            emit(
                json.dumps(
                    {
                        "schema": SCHEMA,
                        "worktrees": [_json(row) for row in found],
                        "unreadable_cost_lines": max((row.unread_costs for row in found), default=0),
                    },
                    indent=2,
                )
                + "\n"
            )
        else:
            emit((_CLEAR if watch and is_terminal(sys.stdout) else "") + _table(found, painted=painted))
        if not watch:
            return int(ExitCode.INCOMPLETE if any(row.state == UNREADABLE for row in found) else ExitCode.PASS)
        time.sleep(interval)


def _json(row: Row) -> dict[str, Any]:
    return {
        "path": row.path,
        "branch": row.branch,
        "state": row.state,
        "detached": row.detached,
        "locked": row.locked,
        "workflow": row.workflow or None,
        "staged": row.staged,
        "unstaged": row.unstaged,
        "blocking": row.blocking,
        "advisory": row.advisory,
        "waived": row.waived,
        "not_reviewed": row.unread,
        "unfinished": row.unfinished,
        "age_seconds": None if row.kept is None else round(max(0.0, time.time() - row.kept)),
        "dollars_today": round(row.dollars, 4),
        "why": row.why or None,
    }


def _table(found: Sequence[Row], *, painted: bool) -> str:
    """Return aligned columns, what each row cannot say in them below it, the counts, and what to do next."""
    from agentreview.overview import summary
    from agentreview.reporters.text import defuse, escape

    cells = [HEADS, *(_cells(row) for row in found)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(HEADS) - 1)]
    lines = []
    for number, row in enumerate(cells):
        left = [
            text.rjust(w) if n in (2, 3) else text.ljust(w)
            for n, (text, w) in enumerate(zip(row, widths, strict=False))
        ]
        style = _ANSI.get(found[number - 1].state, "") if number else ""
        last = f"\x1b[{style}m{row[-1]}\x1b[0m" if painted and style else row[-1]
        lines.append("  ".join((*left, last)))
        if number and found[number - 1].why:
            lines.append(f"  {escape(found[number - 1].why)}")
    lines += ["", summary(found)]
    unread = max((row.unread_costs for row in found), default=0)
    if unread:
        lines.append(
            f"costs of today: {unread} line{'' if unread == 1 else 's'} cannot be read, so more was spent than is shown: agentreview costs"
        )
    lines += [f"next: {step}" for step in _next(found)]
    return "\n".join(map(defuse, lines)) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    from agentreview.overview import on, said, short
    from agentreview.reporters.text import escape

    counts = ["-" if number is None else str(number) for number in (row.staged, row.unstaged)]
    return (escape(short(row.path, str(Path.cwd()))), escape(on(row)), *counts, said(row, time.time()))


def _next(found: Sequence[Row]) -> list[str]:
    from agentreview.overview import UNREVIEWED
    from agentreview.reporters.text import escape

    steps = []
    blocked = next((row for row in found if row.state in ("blocked", "incomplete")), None)
    if blocked is not None:
        steps.append(f"agentreview --worktree {escape(_quoted(blocked.path))}   shows what to clear there")
    if any(row.state == UNREVIEWED for row in found):
        steps.append("agentreview run --all-worktrees   reviews what is staged and not reviewed")
    return steps


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)
