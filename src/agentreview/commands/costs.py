"""``agentreview costs``: what model reviewers have cost in this repository."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from agentreview.commands.shared import CONTEXT, checked_day, emit, reviewed_config, worktree_option
from agentreview.console import say

if TYPE_CHECKING:
    from agentreview.config import Config
    from agentreview.spend import Entry, Ledger

SCHEMA = "agentreview/costs/1"
_COLUMNS = ("requests", "sent", "answered", "from cache", "dollars")


@click.command(
    "costs",
    context_settings=CONTEXT,
    short_help="What model reviewers have cost here.",
    epilog="""\b
Examples:
  agentreview costs                        by day, all worktrees together
  agentreview costs --by agent --since 2026-11-01
  agentreview costs --json

Days are in UTC. A cost marked ~ holds requests whose answer never came: for those it is the most they can have cost.""",
)
@click.option(
    "--by",
    type=click.Choice(["day", "agent", "worktree"]),
    default="day",
    show_default=True,
    help="What to add up by.",
)
@click.option("--since", metavar="DATE", default="", help="Leave out the days before, as 2026-11-01.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@worktree_option
def command(*, by: str, since: str, as_json: bool, worktree: str | None) -> int:
    """Add up what was sent to models, what came back, and what it cost, with what the caps leave.

    It counts what the provider counted. Nothing is sent.
    """
    from agentreview.errors import ExitCode, UsageError
    from agentreview.git import open_repository
    from agentreview.spend import Ledger

    checked_day(since)
    repo = open_repository(worktree)
    config = reviewed_config(repo)
    ledger = Ledger(repo.store_dir, repo.state_dir)
    entries: list[Entry] = []
    unreadable = 0
    try:
        days = ledger.days()
        ledger.spent_here()
    except OSError as error:
        raise UsageError(
            f"what was spent cannot be read: {error.strerror or error}",
            fix=f"It is kept in {repo.store_dir}/spend and {repo.state_dir}/spent",
        ) from error
    for day in days:
        if day >= since:
            found, bad = ledger.read(day)
            entries += found
            unreadable += bad
    rows = _rows(entries, by)
    if as_json:
        emit(_json(rows, by, entries, ledger, config, unreadable))
    else:
        emit(_table(rows, by, entries, ledger, config))
    if unreadable:
        say(
            f"{unreadable} line{'' if unreadable == 1 else 's'} below {repo.store_dir}/spend cannot be read, so more was spent"
            " than is shown. Each day is a file there: take out the lines that are no JSON"
        )
    return int(ExitCode.PASS)


def _rows(entries: Sequence[Entry], by: str) -> list[tuple[str, list[Entry]]]:
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(str(getattr(entry, by)), []).append(entry)
    return sorted(groups.items())


def _added(entries: Sequence[Entry]) -> dict[str, Any]:
    return {
        "requests": len(entries),
        "input_tokens": sum(e.usage.input_tokens + e.usage.cache_write for e in entries),
        "output_tokens": sum(e.usage.output_tokens for e in entries),
        "cache_read_tokens": sum(e.usage.cache_read for e in entries),
        "dollars": round(sum(e.dollars for e in entries), 6),
        "assumed_dollars": round(sum(e.dollars for e in entries if e.assumed), 6),
        "failed": sum(bool(e.reason) for e in entries),
    }


def _caps(ledger: Ledger, config: Config) -> dict[str, dict[str, float]]:
    today = sum(entry.dollars for entry in ledger.entries(ledger.today()))
    return {
        "day": {"spent": round(today, 6), "cap": config.reviewers.money_per_day},
        "worktree": {"spent": round(ledger.spent_here(), 6), "cap": config.reviewers.money_per_worktree},
    }


def _json(
    rows: Sequence[tuple[str, Sequence[Entry]]], by: str, entries: Sequence[Entry], ledger: Ledger, config: Config, bad: int
) -> str:  # fmt: skip
    value = {
        "schema": SCHEMA,
        "by": by,
        "rows": [{by: name} | _added(group) for name, group in rows],
        "total": _added(entries),
        "caps": _caps(ledger, config),
        "unreadable_lines": bad,
    }
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _table(
    rows: Sequence[tuple[str, Sequence[Entry]]], by: str, entries: Sequence[Entry], ledger: Ledger, config: Config
) -> str:
    from agentreview.reporters.text import escape

    if not entries:
        return "nothing was sent to a model\n"
    cells: list[tuple[str, ...]] = [(by, *_COLUMNS)]
    for name, group in [*rows, ("total", entries)]:
        one = _added(group)
        numbers = (one["requests"], one["input_tokens"], one["output_tokens"], one["cache_read_tokens"])
        mark = "~" if one["assumed_dollars"] else ""
        cells.append((escape(name), *(f"{number:,}" for number in numbers), f"{mark}${one['dollars']:.4f}"))
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]) for row in cells]  # fmt: skip
    caps = _caps(ledger, config)
    words = {"day": "today, all worktrees", "worktree": "this worktree"}
    left = "; ".join(f"{words[name]}: ${one['spent']:.4f} of ${one['cap']:g}" for name, one in caps.items())
    return "\n".join([*lines, "", left, ""])
