"""What a project gives a new worktree: ``[worktree]``, for ``agentreview worktree add``."""

from __future__ import annotations

from typing import Any

from agentreview.records import dataclass

from .checked import KeyPath, Reader, shown
from .lazyre import lazy

ENV_FILE = ".agentreview.env"
STEP = 100  # ports from one worktree to the next: room for what a project numbers one after the other
HIGHEST = 65_535
MAX_COMMANDS = 20
_VARIABLE = lazy(r"[A-Z][A-Z0-9_]{0,63}")
_FILE = lazy(r"\.?[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = ("GIT_", "AGENTREVIEW_", "LD_", "DYLD_", "COMPOSE_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """``setup``: commands as lists of words, run one after the other in a new worktree, never by a shell.

    ``env_file`` is the file that is written there. ``ports``: variables with the port of the main worktree; each new
    worktree gets them with its own offset, a multiple of ``STEP``.
    """

    setup: tuple[tuple[str, ...], ...] = ()
    env_file: str = ENV_FILE
    ports: tuple[tuple[str, int], ...] = ()


def read_rooms(reader: Reader, value: Any) -> Rooms:
    """Check ``[worktree]``."""
    table = reader.table(value, ("worktree",), ("setup", "env_file", "ports"))
    file = reader.string(table.get("env_file", ENV_FILE), ("worktree", "env_file"))
    if not _FILE.fullmatch(file) or file.lower().startswith(".git"):
        fix = f'Write a name without a folder, such as "{ENV_FILE}" or ".env"'
        reader.fail(("worktree", "env_file"), f"{shown(file)} is no file name for it", fix)
    return Rooms(
        setup=_setup(reader, table.get("setup", [])), env_file=file, ports=_ports(reader, table.get("ports", {}))
    )


def _setup(reader: Reader, value: Any) -> tuple[tuple[str, ...], ...]:
    key: KeyPath = ("worktree", "setup")
    commands = reader.array(value, key, "commands")
    if len(commands) > MAX_COMMANDS:
        reader.fail(key, f"worktree.setup has {len(commands)} commands, at most {MAX_COMMANDS}", "Put them in a script")
    found = []
    for number, words in enumerate(commands):
        here: KeyPath = (*key, number)
        if isinstance(words, str):
            fix = f"Write its words, no shell reads it: [{', '.join(shown(word) for word in words.split()[:8])}]"
            reader.fail(here, f"worktree.setup[{number}] is one string", fix)
        listed = reader.array(words, here, "words")
        if not listed:
            reader.fail(here, f"worktree.setup[{number}] is empty", "Fill it in or delete it")
        found.append(tuple(reader.string(word, (*here, at)) for at, word in enumerate(listed)))
    return tuple(found)


def _ports(reader: Reader, value: Any) -> tuple[tuple[str, int], ...]:
    key: KeyPath = ("worktree", "ports")
    if not isinstance(value, dict):
        reader.table(value, key, ())
    found: dict[str, int] = {}
    for name, port in value.items():
        here: KeyPath = (*key, name)
        if not _VARIABLE.fullmatch(name) or name.startswith(_RESERVED) or name in ("PATH", "PORT_OFFSET"):
            reader.fail(here, f"{shown(name)} is no name for a port's variable", 'Use capitals, such as "WEB_PORT"')
        found[name] = reader.number(port, here, 1, HIGHEST - STEP, whole=True)
        same = next((n for n, p in found.items() if n != name and (p - found[name]) % STEP == 0), None)
        if same is not None:
            fix = f"Let them differ by something else: worktrees are {STEP} ports apart, so two of them would meet"
            reader.fail(here, f"worktree.ports.{name} and {same} differ by a multiple of {STEP}", fix)
    return tuple(sorted(found.items()))
