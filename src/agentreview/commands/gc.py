"""``agentreview gc``: remove what may go of the files that agentreview keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agentreview.commands.shared import CONTEXT, emit, worktree_option
from agentreview.errors import ExitCode

if TYPE_CHECKING:
    from agentreview.housekeeping import Collected

_MEGABYTE = 1024 * 1024


@click.command("gc", context_settings=CONTEXT, short_help="Remove kept files that are old or too many.")
@click.option(
    "--older-than", metavar="DAYS", default=90, show_default=True, type=click.IntRange(min=0), help="Age in days."
)
@click.option(
    "--max-size", metavar="MB", default=256, show_default=True, type=click.IntRange(min=0), help="Size of the caches."
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@worktree_option
def gc_command(*, older_than: int, max_size: int, dry_run: bool, worktree: str | None) -> int:
    """Remove kept verdicts, summaries and records of learn that are old, then the oldest that are too much.

    And copies of receipts that are on the ref, what killed processes and vanished worktrees left, and old compiled
    policies of yours. A receipt that is nowhere else stays. It can run while others commit; what goes costs the next
    review some time and nothing else. One review in 256 does the same by itself.
    """
    from agentreview.git import open_repository
    from agentreview.housekeeping import collect
    from agentreview.policies.load import cache_dir

    repo = open_repository(worktree)
    done = collect(repo, max_age_days=older_than, max_bytes=max_size * _MEGABYTE, dry_run=dry_run, cache=cache_dir())
    emit("\n".join(_lines(done, dry_run=dry_run)) + "\n")
    return int(ExitCode.PASS)


def _lines(done: Collected, *, dry_run: bool) -> list[str]:
    what = ", ".join(f"{count} {kind}" for kind, count in done.files.items()) or "nothing"
    lines = [f"{'would remove' if dry_run else 'removed'}: {what}; {_size(done.bytes)}. Kept: {_size(done.kept)}"]
    if done.unpublished:
        lines.append(f"receipts that are only in this clone: {done.unpublished}, kept; agentreview receipts push")
    if done.vanished:
        lines.append(f"worktrees that are gone: {done.vanished}; git worktree prune forgets them")
    return lines


def _size(size: int) -> str:
    return f"{size / _MEGABYTE:.1f} MB" if size >= _MEGABYTE else f"{size / 1024:.1f} KB"
