"""The worktrees of a repository: what each was made with, and whether its gate is in place."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from agentreview import doctor
from agentreview.checked import nearest
from agentreview.errors import AgentReviewError, UsageError
from agentreview.git import WorktreeInfo, common_directory, shown, worktrees_from
from agentreview.overview import workflow_here
from agentreview.records import dataclass, replace
from agentreview.room import Room, all_rooms
from agentreview.snapshot import base_tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One worktree in the list. ``offset`` is None for one that ``add`` did not make; ``gate`` None for a bare repository."""

    info: WorktreeInfo
    workflow: str = ""
    profiles: tuple[str, ...] = ()
    offset: int | None = None
    name: str = ""
    compose: str = ""
    gate: doctor.Check | None = None


def listed(where: str) -> tuple[Listed, ...]:
    """Look at every worktree: what it was made with, and whether git fires the hooks there."""
    found = worktrees_from(where)
    rooms = rooms_by_path(common_directory(where))
    with ThreadPoolExecutor(4) as pool:
        return tuple(pool.map(lambda info: _listed(info, rooms.get(info.path)), found))


def rooms_by_path(common: str) -> Mapping[str, Room]:
    """Return rooms by the path of their worktree, missing ones too."""
    return {path: room for git_dir, room in all_rooms(common).items() if (path := worktree_of(git_dir))}


def git_dir_of(common: str, path: str) -> str:
    """Return the git directory of the linked worktree at ``path``, "" where it is none."""
    try:
        folders = sorted(Path(common, "worktrees").iterdir())
    except OSError:
        return ""
    return next((str(one) for one in folders if worktree_of(str(one)) == os.path.normpath(path)), "")


def worktree_of(git_dir: str) -> str:
    """Return the path of a linked worktree by its git directory, as git writes it there; "" when it does not."""
    try:
        line = os.fsdecode(Path(git_dir, "gitdir").read_bytes()).removesuffix("\n")
    except OSError:
        return ""
    return os.path.normpath(os.path.join(git_dir, line, ".."))  # noqa: PTH118 - relative ones too (git 2.48)


def _listed(info: WorktreeInfo, room: Room | None) -> Listed:
    row = Listed(info=info)
    if room is not None:
        row = replace(
            row,
            workflow=room.workflow,
            profiles=room.profiles,
            offset=room.offset,
            name=room.name,
            compose=room.compose,
        )
    if info.bare:
        return row
    check, repo = doctor.gate(info)
    if repo is not None and not row.workflow:
        with suppress(AgentReviewError):
            row = replace(row, workflow=workflow_here(repo, base_tree(repo), info.branch))
    return replace(row, gate=check)


def find(where: str, name: str) -> tuple[WorktreeInfo, Room | None]:
    """Return the worktree of this name, path or branch. Raises UsageError when there is not exactly one."""
    found = worktrees_from(where)
    rooms = rooms_by_path(common_directory(where))
    by_path = [one for one in found if os.path.realpath(one.path) == os.path.realpath(Path(where, name))]
    by_name = [one for one in found if (room := rooms.get(one.path)) is not None and room.name == name]
    loosely = [one for one in found if name in (one.branch, Path(one.path).name)]
    hits = by_name or by_path or loosely
    if len(hits) == 1:
        return hits[0], rooms.get(hits[0].path)
    if hits:
        raise UsageError(f"{shown(name)} names {len(hits)} worktrees", fix=f"Give the path: {_paths(hits)}")
    known = {(rooms[one.path].name if one.path in rooms else one.path) for one in found[1:]}
    raise UsageError(f"there is no worktree {shown(name)}", fix=nearest(name, known) if known else "There is only one")


def _paths(hits: Sequence[WorktreeInfo]) -> str:
    return ", ".join(shown(one.path) for one in hits)
