"""Every worktree of a repository at a glance: what is staged, and what is known of it.

Nothing is reviewed or changed, no index is refreshed or locked (``git status`` runs without optional locks), so it can
be asked as often as anybody likes while agents work. A worktree that cannot be read is a row that says why.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from agentreview.errors import AgentReviewError, UsageError
from agentreview.git import Repository, WorktreeInfo, list_below, open_repository, read_files, run
from agentreview.glance import AT_ONCE, Commit, Glance, commits, glances
from agentreview.model import Decision, Status, Verdict
from agentreview.records import dataclass, replace
from agentreview.reporters.summary import unfinished
from agentreview.review import known_verdict, last_verdict, never_judged, utc_date
from agentreview.snapshot import base_tree, head, staged_tree, staged_tree_kept
from agentreview.version import engine_version

# What a row can say of what is staged.
NOTHING, UNREVIEWED, UNMERGED, UNREADABLE = "nothing staged", "not reviewed", "unmerged", "cannot be read"
BARE, GONE = "bare", "gone"
DECIDED = {Decision.PASS: "passed", Decision.BLOCK: "blocked", Decision.INCOMPLETE: "incomplete"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One worktree. Counts are ``None`` where there is nothing to count; ``kept`` is when the verdict was, since 1970."""

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
    unfinished: int = 0  # agents, required or not, whose answer is missing
    kept: float | None = None
    dollars: float = 0.0  # of model reviewers, today
    unread_costs: int = 0  # lines in today's books, which all worktrees share, that cannot be read
    why: str = ""  # of a row that cannot be read
    git_dir: str = ""
    subject: tuple[str, str] | None = None  # base and tree of what is staged
    verdict: Verdict | None = None


def rows(path: str | None = None, begun: Sequence[Glance] = ()) -> tuple[Row, ...]:
    """Look at every worktree of the repository at ``path`` (or here), the main one first. UsageError for no repository.

    ``begun`` is a look at the same ones that began already.
    """
    found = begun or glances(path)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        known = pool.submit(commits, path, [glance.info for glance in found])
        return tuple(pool.map(lambda glance: _row(glance, known.result), found))


def look(info: WorktreeInfo) -> Row:
    """Look at one worktree without the files in it: unstaged ones are not counted."""
    return _asked(info, _staged)


def _asked(info: WorktreeInfo, read: Callable[[Row], Row]) -> Row:
    row = Row(path=info.path, branch=info.branch, state=BARE, locked=info.locked, detached=info.detached)
    if info.bare:
        return row
    if info.prunable:
        return replace(row, state=GONE, why="its directory is gone: git worktree prune")
    try:
        return read(row)
    except AgentReviewError as error:
        if not os.path.lexists(row.path):  # removed meanwhile, not made yet, or locked and elsewhere just now
            return replace(row, state=GONE, why="its directory is not there")
        return replace(row, state=UNREADABLE, why=f"{error.message}. {error.fix}")


def _row(glance: Glance, known: Callable[[], Mapping[str, Commit]]) -> Row:
    from agentreview.room import FILE

    def read(row: Row) -> Row:
        repo = open_repository(row.path)
        seen = glance.seen(repo)
        commit = known().get(seen.commit)
        base = commit.tree if commit is not None else base_tree(repo)
        if seen.branch != "(detached)":  # a branch may be called so: then git's list has told
            row = replace(row, branch=seen.branch, detached=False)
        row = replace(row, git_dir=repo.git_dir)
        row = _charged(replace(row, staged=seen.staged, unstaged=seen.unstaged), repo)
        if commit is None or commit.workflows or os.path.lexists(f"{repo.git_dir}/{FILE}"):
            row = replace(row, workflow=workflow_here(repo, base, row.branch))
        if seen.unmerged:
            return replace(row, state=UNMERGED)
        if not seen.staged:
            return replace(row, state=NOTHING)
        if never_judged(repo, base):
            return replace(row, state=UNREVIEWED)
        return _known(row, repo, base, staged_tree_kept(repo))

    return _asked(glance.info, read)


def _staged(row: Row) -> Row:
    repo = open_repository(row.path)
    base, branch = head(repo)
    row = _charged(replace(row, git_dir=repo.git_dir, branch=branch, detached=branch is None), repo)
    row = replace(row, workflow=workflow_here(repo, base, branch))
    try:
        tree = staged_tree(repo)
    except UsageError:  # all that it can mean here
        return replace(row, state=UNMERGED)
    if tree == base:
        return replace(row, state=NOTHING, staged=0)
    names = run(repo, "diff-tree", "-r", "-z", "--no-renames", "--name-only", base, tree)
    return _known(replace(row, staged=names.count(b"\0")), repo, base, tree)


def _known(row: Row, repo: Repository, base: str, tree: str) -> Row:
    """Return the row with what is known of its staged change."""
    row = replace(row, subject=(base, tree))
    kept = known_verdict(repo, base, tree)
    if kept is not None:
        return judged(row, *kept)
    last = last_verdict(repo)  # one of which something did not finish is kept nowhere else
    if last is not None and (last.base, last.tree, last.version) == (base, tree, engine_version()):
        return judged(row, last, None)
    return replace(row, state=UNREVIEWED)


def judged(row: Row, verdict: Verdict, kept: float | None) -> Row:
    """Return the row with a verdict of what is staged there, kept at that time (seconds since 1970)."""
    counts = Counter(finding.status for finding in verdict.findings)
    return replace(
        row,
        state=DECIDED[verdict.decision],
        blocking=counts[Status.BLOCKING],
        advisory=counts[Status.ADVISORY],
        waived=counts[Status.WAIVED],
        unread=len(verdict.skipped),
        unfinished=len(unfinished(verdict)),
        verdict=verdict,
        kept=kept,
    )


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


def _charged(row: Row, repo: Repository) -> Row:
    """Return the row with what this worktree spent today, as far as that can be read."""
    today = utc_date()
    if not os.path.lexists(f"{repo.store_dir}/spend/{today}"):
        return row
    from agentreview.spend import Ledger

    entries, unread = Ledger(repo.store_dir, repo.state_dir).read(today)
    dollars = sum(entry.dollars for entry in entries if entry.worktree == repo.root)
    return replace(row, dollars=dollars, unread_costs=unread)


def summary(found: Sequence[Row]) -> str:
    """``4 worktrees: 1 blocked, 2 passed, 1 not reviewed``."""
    counts = Counter(row.state for row in found)
    order = ("blocked", "incomplete", UNREADABLE, UNMERGED, UNREVIEWED, "passed", NOTHING, GONE, BARE)
    parts = [f"{counts[state]} {state}" for state in order if counts[state]]
    many = f"{len(found)} worktree{'' if len(found) == 1 else 's'}"
    return f"{many}: {', '.join(parts)}"


def said(row: Row, now: float) -> str:
    """Put the state of a row into words: ``BLOCKED: 1 blocking, 3 s ago``. ``now`` is in seconds since 1970."""
    told = [
        f"{number} {word}"
        for number, word in (
            (row.blocking, "blocking"),
            (row.advisory, "advisory"),
            (row.waived, "waived"),
            (row.unread, "not reviewed"),
            (row.unfinished, "unfinished"),
        )
        if number
    ]
    if row.kept is not None:
        told.append(f"{ago(max(0.0, now - row.kept))} ago")
    if row.dollars:
        told.append(f"{'at least ' if row.unread_costs else ''}{row.dollars:.2f} $ today")
    if row.locked:
        told.append("locked")
    state = row.state.upper() if row.state in ("blocked", "incomplete") else row.state
    return f"{state}: {', '.join(told)}" if told else state


def short(path: str, start: str) -> str:
    """Return the path as seen from a directory, where that is the shorter way to say it."""
    here = os.path.relpath(path, start)
    return path if len(path) <= len(here) or here.startswith("../..") else here


def on(row: Row) -> str:
    """Return the branch, and the workflow that the project has for it."""
    branch = row.branch or ("(detached)" if row.detached else "-")
    return f"{branch} [{row.workflow}]" if row.workflow else branch


def ago(seconds: float) -> str:
    """``3 s``, ``5 min``, ``2 h``."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
