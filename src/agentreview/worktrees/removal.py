"""Taking a worktree away, when nothing is lost by it: what would be is named, with the way to keep it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from agentreview.errors import AgentReviewError, UsageError
from agentreview.git import (
    Repository,
    WorktreeInfo,
    administer,
    common_directory,
    complaint,
    open_repository,
    run,
    shown,
    text,
)
from agentreview.history import Standing, commits, settled
from agentreview.records import dataclass
from agentreview.review import utc_date
from agentreview.room import Room
from agentreview.worktrees.adding import reader
from agentreview.worktrees.listing import find, git_dir_of

NAMED = 3  # paths and commits that a refusal names
_STATUS = ("status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none")
_UNDER_WAY = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or git am",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisect",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Something that would be gone, and how it is kept."""

    what: str
    keep: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was taken away. ``head`` is the commit it was at; ``branch`` is "" where it was detached."""

    path: str
    branch: str
    head: str
    branch_deleted: bool
    lost: tuple[Loss, ...] = ()
    room: Room | None = None


def remove(where: str, name: str, *, force: bool = False, keep_branch: bool = False) -> Removed:
    """Remove a worktree, and the branch that ``add`` made for it. Receipts and kept verdicts stay.

    Raises UsageError where work would be lost, unless ``force``.
    """
    info, room = find(where, name)
    common = common_directory(where)
    git_dir = git_dir_of(common, info.path)
    if not git_dir:
        raise UsageError(f"{shown(info.path)} is the repository itself, not a worktree of it", fix="Name another one")
    if Path(os.path.realpath(".")).is_relative_to(os.path.realpath(info.path)):
        raise UsageError("you are in that worktree", fix=f"Run it elsewhere: cd {shown(os.path.dirname(common))}")  # noqa: PTH120
    ours = room is not None and room.branch == info.branch and not keep_branch
    lost = losses(info, git_dir, reader(common, info.head or "0" * 40), branch_goes=ours)
    if lost and not force:
        raise UsageError(
            f"{shown(info.path)} holds what would be lost: {'; '.join(loss.what for loss in lost)}",
            fix=_sentence(f"{'; '.join(dict.fromkeys(loss.keep for loss in lost))}; or drop it: --force"),
        )
    there = os.path.lexists(info.path)
    options = ("--force", "--force") if force or not there else ()
    status, _, error = _administer(common, "worktree", "remove", *options, info.path)
    if status:
        raise UsageError(
            f"git cannot remove {shown(info.path)}: {complaint(error)}",
            fix="Put that right, or delete the directory and run it again",
        )
    deleted = ours and _delete(common, info)
    return Removed(
        path=info.path, branch=info.branch or "", head=info.head, branch_deleted=deleted, lost=lost, room=room
    )


def _administer(common: str, *args: str) -> tuple[int, bytes, bytes]:
    """Run git with the git directory named: where it is bare, git may be told not to look for it (safe.bareRepository)."""
    return administer(common, *args, env={"GIT_DIR": common})


def _delete(common: str, info: WorktreeInfo) -> bool:
    """Delete the branch if it is where it was looked at, and checked out nowhere else."""
    heads = text(_administer(common, "worktree", "list", "--porcelain")[1]).split("\n")
    if f"branch refs/heads/{info.branch}" in heads:
        return False
    status = _administer(common, "update-ref", "--no-deref", "-d", f"refs/heads/{info.branch}", info.head)[0]
    if status == 0:
        _administer(common, "config", "--local", "--remove-section", f"branch.{info.branch}")
    return status == 0


def losses(info: WorktreeInfo, git_dir: str, objects: Repository, *, branch_goes: bool) -> tuple[Loss, ...]:
    """Name everything in a worktree that is nowhere else."""
    found: list[Loss] = []
    here = shown(info.path)
    if info.locked:
        why = _first_line(Path(git_dir, "locked"))
        found.append(
            Loss(what=f"it is locked{f' ({why})' if why else ''}", keep=f"unlock it: git worktree unlock {here}")
        )
    found += [
        Loss(what=f"{said} is under way", keep=f"finish or abort it in {here}")
        for name, said in _UNDER_WAY.items()
        if os.path.lexists(f"{git_dir}/{name}")
    ]
    keep = f"commit it: git -C {here} add -A && git -C {here} commit"
    if os.path.isdir(info.path):  # noqa: PTH112
        found += [Loss(what=what, keep=keep) for what in _uncommitted(info.path)]
    elif staged := _staged_only(git_dir, objects):
        tree = f"GIT_DIR={shown(git_dir)} git write-tree"
        found.append(Loss(what=f"{staged}, in its index", keep=f"{tree} names a tree that holds it"))
    modules = Path(git_dir, "modules")
    if modules.is_dir() and any(modules.iterdir()):
        found.append(Loss(what="submodules with repositories of their own", keep="push what they have"))
    if info.head and (branch_goes or not info.branch):
        found += _unmerged(info, objects)
    return tuple(found)


def _uncommitted(path: str) -> list[str]:
    """Say what is staged, not staged, unmerged and not tracked. What cannot be looked at is said as well."""
    try:
        entries = run(open_repository(path), *_STATUS).split(b"\0")
    except AgentReviewError as error:
        return [f"nobody can say what is in it ({error.message})"]
    staged, unstaged, unmerged, untracked = [], [], [], []
    for entry in map(text, entries):
        name = entry.split(" ", 8)[-1]
        if entry.startswith("1 "):
            staged += [name] if entry[2] != "." else []
            unstaged += [name] if entry[3] != "." else []
        elif entry.startswith("u "):
            unmerged.append(entry.split(" ", 10)[-1])
        elif entry.startswith("? "):
            untracked.append(entry[2:])
    groups = {"staged": staged, "changed and not staged": unstaged, "unmerged": unmerged, "not tracked": untracked}
    return [f"{_files(names)} {word}: {_named(names)}" for word, names in groups.items() if names]


def _staged_only(git_dir: str, objects: Repository) -> str:
    """Say what is staged in a worktree whose directory is gone: its index is still there."""
    if not os.path.exists(f"{git_dir}/index"):  # noqa: PTH110
        return ""
    pinned = {"GIT_DIR": git_dir, "GIT_INDEX_FILE": f"{git_dir}/index"}
    status, out, _ = administer(
        objects.common_dir, "diff-index", "--cached", "--name-only", "-z", "--no-renames", "HEAD", "--", env=pinned
    )
    names = text(out).split("\0")[:-1] if status == 0 else []
    return f"{_files(names)} staged: {_named(names)}" if names else ""


def _unmerged(info: WorktreeInfo, objects: Repository) -> list[Loss]:
    """Commits that no other branch, no tag and no remote has, and which of them nobody reviewed."""
    elsewhere = ("--not", "--remotes", "--tags", *((f"--exclude={info.branch}",) if info.branch else ()), "--branches")
    found = commits(objects, info.head, *elsewhere)
    if not found:
        return []
    known = settled(objects, [(one.base, one.tree) for one in found], today=utc_date())
    missing = [one.oid[:12] for one, state in zip(found, known, strict=True) if state.standing is Standing.MISSING]
    many = f"{len(found)} commit{'' if len(found) == 1 else 's'} that no other branch, tag or remote has"
    unseen = f", {len(missing)} of them without a review ({_named(missing)})" if missing else ""
    if info.branch:
        keep = f"push or merge {shown(info.branch)}, or keep the branch alone: --keep-branch"
    else:
        keep = f"give them a branch: git branch NAME {info.head[:12]}"
    return [Loss(what=f"{many}: {_named([one.oid[:12] for one in reversed(found)])}{unseen}", keep=keep)]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _files(names: Sequence[str]) -> str:
    return f"{len(names)} file{'' if len(names) == 1 else 's'}"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(shown(name) for name in names[:NAMED]) + more


def _first_line(path: Path) -> str:
    try:
        return shown(path.read_text("utf-8", "replace").strip().partition("\n")[0])[:200]
    except OSError:
        return ""
