"""What git says of every worktree of a repository: the part of a look at all of them that waits for git.

It needs git and little else, so that ``agentreview status`` begins it before the rest of the program is loaded, and two
cores do both at the same time. Reads only: no index is refreshed or locked (``git status`` runs without optional locks).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from agentreview.git import Repository, WorktreeInfo, begin, object_kinds, run, text, worktrees_from
from agentreview.records import dataclass

AT_ONCE = 8
_STATUS = (
    *("-c", "core.preloadIndex=false"),  # its threads cost more than they bring where many run at the same time
    *("status", "--porcelain=v2", "--branch", "--no-ahead-behind", "-z"),
    *("--untracked-files=no", "--no-renames", "--ignore-submodules=none"),
)


@dataclass(frozen=True, slots=True)
class Commit:
    """What a look has to know of the commit that a worktree stands on: its tree, and whether that has workflows."""

    tree: str
    workflows: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What ``git status --branch`` says: the commit ("" before the first), the branch, and how many paths differ."""

    commit: str
    branch: str  # "(detached)" where there is none
    staged: int
    unstaged: int
    unmerged: int


@dataclass(frozen=True, slots=True)
class Glance:
    """One worktree, and what git says of it: ``seen`` waits for the answer, and raises AgentReviewError for none."""

    info: WorktreeInfo
    seen: Callable[[Repository], Seen]


def glances(path: str | None = None) -> tuple[Glance, ...]:
    """Begin to look at every worktree of the repository at ``path``, or here, the main one first. UsageError for none."""
    found = worktrees_from(path)
    first = [info.path for info in found if not (info.bare or info.prunable)][:AT_ONCE]
    begun = {path: begin(path, *_STATUS) for path in first}
    return tuple(Glance(info, partial(_seen, begun.get(info.path))) for info in found)


def _seen(begun: Callable[[], tuple[int, bytes, bytes]] | None, repo: Repository) -> Seen:
    if begun is not None:
        status, out, _ = begun()
        if status == 0:
            return _read(out)
    return _read(run(repo, *_STATUS))


def commits(path: str | None, found: Sequence[WorktreeInfo]) -> dict[str, Commit]:
    """Ask about the commits of all worktrees at once: one process instead of two for each of them."""
    from agentreview.reviewers.workflows import FOLDER

    wanted = tuple(dict.fromkeys(info.head for info in found if info.head))
    kinds = object_kinds(path, [name for oid in wanted for name in (f"{oid}^{{tree}}", f"{oid}:{FOLDER}")])
    pairs = zip(kinds[::2], kinds[1::2], strict=False)
    return {
        oid: Commit(tree, kind != "missing")
        for oid, ((tree, is_tree), (_, kind)) in zip(wanted, pairs, strict=False)
        if is_tree == "tree"
    }


def _read(porcelain: bytes) -> Seen:
    """Read ``git status --porcelain=v2 --branch -z``."""
    commit = branch = ""
    staged = unstaged = unmerged = 0
    for line in porcelain.split(b"\0"):
        if line.startswith(b"u "):
            unmerged += 1
        elif line.startswith((b"1 ", b"2 ")):
            staged += line[2:3] != b"."
            unstaged += line[3:4] != b"."
        elif line.startswith(b"# branch.oid "):
            commit = text(line[13:]).replace("(initial)", "")
        elif line.startswith(b"# branch.head "):
            branch = text(line[14:])
    return Seen(commit, branch, staged, unstaged, unmerged)
