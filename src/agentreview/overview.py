"""Every worktree of a repository at a glance: what is staged, and what is known of it.

Reads only. Nothing is reviewed, no index is refreshed or locked (``git status`` runs without optional locks), so it can
be asked as often as anybody likes while agents work. A worktree that cannot be read is a row that says why.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from agentreview.errors import AgentReviewError
from agentreview.git import Repository, WorktreeInfo, list_below, open_repository, read_files, run, worktrees_from
from agentreview.model import Decision, Status, Verdict
from agentreview.records import dataclass, replace
from agentreview.review import known_verdict, last_verdict, utc_date
from agentreview.snapshot import base_tree, staged_tree

AT_ONCE = 8
_STATUS = ("status", "--porcelain=v2", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=none")

# What a row can say of what is staged.
NOTHING, UNREVIEWED, UNMERGED, UNREADABLE = "nothing staged", "not reviewed", "unmerged", "cannot be read"
BARE, GONE = "bare", "gone"
DECIDED = {Decision.PASS: "passed", Decision.BLOCK: "blocked", Decision.INCOMPLETE: "incomplete"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One worktree. Counts are ``None`` where there is nothing to count; ``age`` is seconds since the verdict."""

    path: str
    branch: str | None
    state: str
    locked: bool = False
    detached: bool = False
    workflow: str = ""
    staged: int | None = None
    unstaged: int | None = None
    blocking: int = 0
    advisory: int = 0
    waived: int = 0
    unread: int = 0  # files that were not reviewed
    age: float | None = None
    dollars: float = 0.0  # of model reviewers, today
    why: str = ""  # of a row that cannot be read


def rows(path: str | None = None) -> tuple[Row, ...]:
    """Look at every worktree of the repository at ``path`` (or here), the main one first. UsageError for no repository."""
    found = worktrees_from(path)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return tuple(pool.map(_row, found))


def _row(info: WorktreeInfo) -> Row:
    row = Row(path=info.path, branch=info.branch, state=BARE, locked=info.locked, detached=info.detached)
    if info.bare:
        return row
    if info.prunable:
        return replace(row, state=GONE, why="its directory is gone: git worktree prune")
    try:
        return _read(row)
    except AgentReviewError as error:
        return replace(row, state=UNREADABLE, why=f"{error.message}. {error.fix}")


def _read(row: Row) -> Row:
    repo = open_repository(row.path)
    staged, unstaged, unmerged = _counts(run(repo, *_STATUS))
    row = replace(row, staged=staged, unstaged=unstaged)
    base = base_tree(repo)
    row = replace(row, workflow=workflow_here(repo, base, row.branch), dollars=_spent(repo))
    if unmerged:
        return replace(row, state=UNMERGED)
    if not staged:
        return replace(row, state=NOTHING)
    tree = staged_tree(repo)
    kept = known_verdict(repo, base, tree)
    if kept is not None:
        return _judged(row, *kept)
    last = last_verdict(repo)  # an incomplete one is kept nowhere else
    if last is not None and (last.base, last.tree, last.decision) == (base, tree, Decision.INCOMPLETE):
        return _judged(row, last, None)
    return replace(row, state=UNREVIEWED)


def _judged(row: Row, verdict: Verdict, kept: float | None) -> Row:
    counts = Counter(finding.status for finding in verdict.findings)
    return replace(
        row,
        state=DECIDED[verdict.decision],
        blocking=counts[Status.BLOCKING],
        advisory=counts[Status.ADVISORY],
        waived=counts[Status.WAIVED],
        unread=len(verdict.skipped),
        age=None if kept is None else max(0.0, time.time() - kept),
    )


def _counts(porcelain: bytes) -> tuple[int, int, int]:
    """Count staged, unstaged and unmerged paths of ``git status --porcelain=v2 -z``."""
    staged = unstaged = unmerged = 0
    for line in porcelain.split(b"\0"):
        if line.startswith(b"u "):
            unmerged += 1
        elif line.startswith((b"1 ", b"2 ")):
            staged += line[2:3] != b"."
            unstaged += line[3:4] != b"."
    return staged, unstaged, unmerged


def workflow_here(repo: Repository, tree: str, branch: str | None) -> str:
    """The workflow this worktree was made with, else the project's for this branch, by the committed settings, or ""."""
    from agentreview.reviewers.workflows import FOLDER, choose, workflows
    from agentreview.room import read_room

    room = read_room(repo.git_dir)
    if room is not None and room.workflow:
        return room.workflow
    paths = [entry.path for entry in list_below(repo, tree, (FOLDER,))]
    found = choose(workflows(read_files(repo, tree, paths)), "", branch) if paths else None
    return found.name if found is not None else ""


def _spent(repo: Repository) -> float:
    from agentreview.spend import Ledger

    entries, _ = Ledger(repo.store_dir, repo.state_dir).read(utc_date())
    return sum(entry.dollars for entry in entries if entry.worktree == repo.root)


def summary(found: Sequence[Row]) -> str:
    """``4 worktrees: 1 blocked, 2 passed, 1 not reviewed``."""
    counts = Counter(row.state for row in found)
    order = ("blocked", "incomplete", UNREADABLE, UNMERGED, UNREVIEWED, "passed", NOTHING, GONE, BARE)
    parts = [f"{counts[state]} {state}" for state in order if counts[state]]
    many = f"{len(found)} worktree{'' if len(found) == 1 else 's'}"
    return f"{many}: {', '.join(parts)}"
