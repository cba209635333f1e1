"""``agentreview watch``: the live board of all worktrees, or a line for each event where there is no terminal."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentreview.commands.shared import CONTEXT, worktree_option
from agentreview.console import is_terminal, output, write
from agentreview.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from agentreview.watch.board import Board, News


@click.command(
    "watch",
    context_settings=CONTEXT,
    short_help="A live board of all worktrees, reviewed as they are staged.",
    epilog="""\b
Examples:
  agentreview watch              the board; ? lists its keys
  agentreview watch --plain      one line an event, for a log or a pipe

A review that is done here is kept: the commit that follows only looks it up. Model reviewers that the configuration
enables are asked as `agentreview run` asks them, within their caps. Needs the extra: pip install 'agentreview-gate[watch]'""",
)
@worktree_option
@click.option(
    "--plain", is_flag=True, help="One line an event instead of the board. So it is where stdout is no terminal."
)
@click.option("--bell/--no-bell", default=True, show_default=True, help="Ring the terminal when a change is blocked.")
@click.option(
    "--settle",
    type=click.FloatRange(0.05, 60),
    default=0.15,
    show_default=True,
    help="Seconds without another git add before a review begins.",
)
def command(*, worktree: str | None, plain: bool, bell: bool, settle: float) -> int:
    """Follow every worktree of the repository: review what is staged as soon as it settles, and show what blocks.

    Git's own directories are followed by file events; work trees are not read, and no index is locked.
    """
    plain = plain or not is_terminal(sys.stdout) or not is_terminal(sys.stdin)
    wanted = ("watchfiles",) if plain else ("watchfiles", "textual")
    if any(find_spec(name) is None for name in wanted):
        raise UsageError(
            f"agentreview watch needs {' and '.join(wanted)}", fix="Install them: pip install 'agentreview-gate[watch]'"
        )
    if plain:
        import asyncio

        return asyncio.run(_plain(worktree, bell=bell, settle=settle))
    from agentreview.watch.app import show

    return show(worktree, bell=bell, settle=settle)


async def _plain(path: str | None, *, bell: bool, settle: float) -> int:
    import asyncio

    from agentreview.watch.follow import Follower

    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()
    here = str(Path.cwd())

    def end(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    def hear(_: Board, news: Sequence[News]) -> None:
        if not _printed("".join(_line(one, here) for one in news)):
            end(ExitCode.PASS)  # nobody reads any more
        if bell and any(one.alarm for one in news) and is_terminal(sys.stderr):
            write("\a")

    follower = Follower(path, hear, settle=settle)
    _printed(f"following the worktrees of {_shown(follower.common)}, until Ctrl-C\n")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end, ExitCode.INTERRUPTED)
    following = asyncio.ensure_future(follower.run())
    await asyncio.wait((following, ended), return_when=asyncio.FIRST_COMPLETED)
    if following.done():
        following.result()
    following.cancel()
    await asyncio.wait((following,))
    return int(ended.result())


def _printed(text: str) -> bool:
    """Print to stdout; returns whether anybody reads. UsageError when it cannot be written."""
    try:
        return output(text)
    except OSError as error:
        raise UsageError(
            f"the output cannot be written: {error.strerror or error}", fix="Check what stdout is connected to"
        ) from error


def _line(one: News, here: str) -> str:
    """``12:03:44 ../agent-2 (feature/bill): BLOCKED: …``."""
    from agentreview.overview import short

    branch = f" ({_shown(one.branch)})" if one.branch else ""
    return f"{time.strftime('%H:%M:%S')} {_shown(short(one.path, here))}{branch}: {_shown(one.text)}\n"


def _shown(text: str) -> str:
    from agentreview.reporters.text import escape

    return escape(text)
