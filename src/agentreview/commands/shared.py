"""What several commands need: the repository they work on, its configuration, and how they print."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import click

from agentreview.checked import nearest
from agentreview.console import output, say
from agentreview.errors import UsageError

if TYPE_CHECKING:
    from agentreview.config import Config
    from agentreview.git import Repository

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def worktree_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--worktree PATH``, the same for every command that reads a repository."""
    option = click.option(
        "--worktree",
        metavar="PATH",
        help="Work on the worktree at PATH instead of the one you are in.",
    )
    return option(command)


def color_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--color``, the same for every command that colours."""
    option = click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="Colour the terminal report. auto: only on a terminal; NO_COLOR and FORCE_COLOR count.",
    )
    return option(command)


def emit(text: str) -> None:
    """Print to stdout what was asked for. Raises UsageError when stdout cannot take it."""
    try:
        output(text)
    except OSError as error:
        raise UsageError(
            f"the output cannot be written: {error.strerror or error}", fix="Check what stdout is connected to"
        ) from error


def left_out(number: int) -> None:
    """Say on stderr how many files that are named like receipts are none, and so are not in what was printed."""
    if number:
        say(
            f"{number} file{'' if number == 1 else 's'} named like a receipt cannot be read as one and"
            f" {'is' if number == 1 else 'are'} left out. See why: agentreview receipts verify"
        )


def reviewed_config(repo: Repository) -> Config:
    """Read the configuration the next commit would be reviewed with: the staged one, else HEAD's. ConfigError."""
    from agentreview.review import read_config

    return read_config(repo, reviewed_tree(repo))


def reviewed_tree(repo: Repository) -> str:
    """Return the staged tree, or HEAD's while there are unmerged paths."""
    from agentreview.snapshot import base_tree, staged_tree

    try:
        return staged_tree(repo)
    except UsageError:
        return base_tree(repo)


def unknown(what: str, name: str, known: Collection[str], *, more: str = "") -> UsageError:
    """Word the error for a name that is none of the known ones, with the nearest."""
    return UsageError(f"unknown {what} {name!r}", fix=f"{nearest(name, known)}{more}")


def checked_day(text: str) -> None:
    """Refuse what is no day of the calendar: nothing would be left of it, which looks like nothing having been there."""
    from datetime import date

    try:
        good = not text or date.fromisoformat(text).isoformat() == text  # newer Pythons take other forms as well
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"{text!r} is not a date", fix="Write it as 2026-10-01")
