"""What one worktree has of its own: the workflow and reviewers of its reviews, and its offset of ports.

``agentreview worktree add`` writes it into the worktree's own git directory, where it goes with ``git worktree remove``:

    <git dir>/agentreview-room.json     the values below
    <git dir>/agentreview-as            only where a workflow or reviewer was chosen: what kept verdicts are named by

It lies beside ``agentreview/`` and not in it: that one may be deleted at any time. The hook in shell reads the second
file, so that a verdict without these reviewers is none here. Standard library only at the top: a commit waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentreview.errors import UsageError
from agentreview.git import shown
from agentreview.model import Asked
from agentreview.records import dataclass, replace
from agentreview.store import read, write

FILE = "agentreview-room.json"
NAMED_BY = "agentreview-as"
SCHEMA = "agentreview/room/1"
_LOCK = "agentreview/rooms.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """``start`` is the commit that ``branch`` began at. ``workflow`` and ``profiles`` are "" and () where none was asked for."""

    name: str
    branch: str
    start: str
    workflow: str = ""
    profiles: tuple[str, ...] = ()
    offset: int = 0
    compose: str = ""
    env_file: str = ""


def read_room(git_dir: str | Path) -> Room | None:
    """Return the room of a worktree, None where it has none. Raises UsageError for a file that is none of ours."""
    path = Path(git_dir, FILE)
    if not os.path.lexists(path):
        return None
    import json

    held = read(path)
    if held is None and not os.path.lexists(path):  # the worktree is being removed
        return None
    try:
        room = _room(json.loads((held or b"").decode("utf-8")))
    except ValueError:
        room = None
    if room is None:
        raise UsageError(
            f"{shown(str(path))} does not say how this worktree is reviewed: it was edited or cut off",
            fix="Delete it, or remove the worktree and add it again: agentreview worktree remove, then add",
        )
    return room


def _room(found: Any) -> Room | None:
    texts = ("name", "branch", "start", "workflow", "compose", "env_file")
    if not isinstance(found, dict) or found.keys() != {"schema", "profiles", "offset", *texts}:
        return None
    who = found["profiles"]
    if found.pop("schema") != SCHEMA or type(found["offset"]) is not int or not isinstance(who, list):
        return None
    if not all(isinstance(word, str) for word in (*who, *(found[name] for name in texts))):
        return None
    return Room(**{**found, "profiles": tuple(who)})


def write_room(git_dir: str | Path, room: Room, named_by: str) -> None:
    """Keep a room; ``named_by`` is what names the verdicts of its reviewers, "" where it chose none. Raises OSError."""
    import json

    values = {name: getattr(room, name) for name in Room.__dataclass_fields__}
    write(Path(git_dir, FILE), (json.dumps({"schema": SCHEMA, **values}, indent=2) + "\n").encode("utf-8"))
    if named_by:
        write(Path(git_dir, NAMED_BY), f"{named_by}\n".encode("ascii"))


def in_room(git_dir: str, asked: Asked) -> Asked:
    """Ask for what a worktree was made with, unless somebody asks for something else."""
    if asked.names or asked.workflow:
        return asked
    room = read_room(git_dir)
    if room is None or not (room.workflow or room.profiles):
        return asked
    return replace(asked, workflow=room.workflow, more=room.profiles, room=True)


def named_by(asked: Asked) -> str:
    """Name the verdicts of these reviewers: those that the configuration enables need no name, it is in the tree."""
    if not (asked.names or asked.workflow or asked.more):
        return ""
    from agentreview.canonical import digest

    more = [sorted(asked.more)] if asked.more else []
    return f".r{digest([sorted(asked.names), asked.workflow, *more], size=8)[3:]}"


def kept_here(git_dir: str) -> str:
    """Name what the verdicts of a worktree are kept under, when nobody asks for other reviewers."""
    from agentreview.version import engine_version

    return engine_version() + named_by(in_room(git_dir, Asked()))


def all_rooms(common_dir: str) -> dict[str, Room]:
    """Return every room of a repository by the git directory of its worktree, those of missing ones too."""
    found: dict[str, Room] = {}
    try:
        folders = sorted(Path(common_dir, "worktrees").iterdir())
    except OSError:
        return found
    for folder in folders:
        room = read_room(folder)
        if room is not None:
            found[str(folder)] = room
    return found


@contextmanager
def one_at_a_time(common_dir: str) -> Iterator[None]:
    """Hold the lock under which offsets are given out. Raises OSError."""
    import fcntl

    path = Path(common_dir, _LOCK)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
