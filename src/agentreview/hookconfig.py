"""Hooks named by git's configuration (git 2.54 and newer), which no ``core.hooksPath`` and no hook manager replaces.

    [hook "agentreview-pre-commit"]
        command = '<git common dir>/agentreview-hooks/pre-commit'
        event = pre-commit

Older versions of git ignore such sections without a word, so they are only written where git knows them. The scripts
are the same as those of a hooks directory. They lie in the common directory, and not below ``agentreview/``: that one
may be deleted at any time.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from agentreview.records import dataclass

from .callers import STAGES
from .errors import IncompleteError, UsageError
from .git import Repository, attempt, complaint, git_version, text

MINIMUM_GIT = (2, 54)
FOLDER = "agentreview-hooks"
PREFIX = "agentreview-"
SHOW = "git config --show-origin --get-regexp '^hook[.]'"
_OFF, _ON = re.compile(r"|false|no|off|[+-]?0+[kmg]?", re.I), re.compile(r"true|yes|on|[+-]?[0-9]+[kmg]?", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredHook:
    """One ``hook.<name>`` section: ``enabled`` unless some configuration says otherwise."""

    name: str
    command: str = ""
    events: tuple[str, ...] = ()
    enabled: bool = True

    @property
    def ours(self) -> bool:
        """Whether install wrote it."""
        return self.name.startswith(PREFIX) and self.name.removeprefix(PREFIX) in STAGES


def understood(repo: Repository) -> bool:
    """Whether this git runs hooks that its configuration names."""
    return git_version(repo) >= MINIMUM_GIT


def configured(repo: Repository) -> tuple[ConfiguredHook, ...]:
    """Read every ``hook.<name>`` section that holds here, ours and others, weakest scope first."""
    status, out, error = attempt(repo, "config", "-z", "--get-regexp", r"^hook\..*\.(command|event|enabled)$")
    if status not in (0, 1):
        raise IncompleteError(f"git config failed: {complaint(error)}", fix="Repair the configuration file")
    found: dict[str, ConfiguredHook] = {}
    for entry in text(out).split("\0")[:-1]:
        key, _, value = entry.partition("\n")  # git runs no hook at all where a key has no value
        name, _, word = key.removeprefix("hook.").rpartition(".")
        old = found.get(name, ConfiguredHook(name=name))
        command, events, enabled = old.command, old.events, old.enabled
        if word == "command":
            command = value
        elif word == "event":
            events = (*events, value) if value else ()  # an empty one takes back those before it
        else:
            enabled = not _OFF.fullmatch(value) and (enabled or _ON.fullmatch(value) is not None)  # the rest is ignored
        found[name] = ConfiguredHook(name=name, command=command, events=events, enabled=enabled)
    return tuple(found.values())


def our_scripts(repo: Repository) -> dict[str, Path]:
    """Return the script of each stage for which a section of ours is in force."""
    found = configured(repo)
    off = {hook.name for hook in found if not hook.enabled}  # hook.pre-commit.enabled is about every hook of that event
    ours = [hook for hook in found if hook.ours and hook.enabled]
    return {
        stage: script(hook.command) for hook in ours for stage in STAGES if stage in hook.events and stage not in off
    }


def script(command: str) -> Path:
    """Return the file that a command of ours names; one that nobody can read names no file."""
    try:
        return Path(shlex.split(command)[0])
    except (ValueError, IndexError):
        return Path(command)


def folder(repo: Repository) -> Path:
    """Return where the scripts are."""
    return Path(repo.common_dir, FOLDER)


def refusal(repo: Repository) -> str:
    """Return why git runs no hook here at all, "" where it does: its configuration of any hook may be a fatal mistake."""
    status, _, error = attempt(repo, "hook", "list", STAGES[0])
    return complaint(error) if status > 1 else ""


def add(repo: Repository, scripts: Mapping[str, Path]) -> None:
    """Write a section for each stage into the repository's own configuration, in place of an old one."""
    for stage, path in scripts.items():
        name = f"hook.{PREFIX}{stage}"
        attempt(repo, "config", "--local", "--unset-all", f"{name}.enabled")  # there is none, mostly
        _set(repo, f"{name}.command", shlex.quote(str(path)))
        _set(repo, f"{name}.event", stage)


def remove(repo: Repository) -> tuple[str, ...]:
    """Take our sections out of the repository's own configuration; returns their names."""
    status, out, _ = attempt(repo, "config", "--local", "-z", "--name-only", "--get-regexp", rf"^hook\.{PREFIX}")
    keys = text(out).split("\0")[:-1] if status == 0 else []
    names = tuple(dict.fromkeys(key.removeprefix("hook.").rpartition(".")[0] for key in keys))
    for name in names:
        status, _, error = attempt(repo, "config", "--local", "--remove-section", f"hook.{name}")
        if status:
            raise UsageError(
                f"git config cannot remove hook.{name}: {complaint(error)}",
                fix="Make .git/config writable, then run agentreview uninstall again",
            )
    return names


def _set(repo: Repository, key: str, value: str) -> None:
    status, _, error = attempt(repo, "config", "--local", "--replace-all", key, value)
    if status:
        raise UsageError(
            f"git config cannot set {key}: {complaint(error)}",
            fix="Make .git/config writable, then run agentreview install again",
        )
