"""Surface: the command line. Parses, calls one command, and keeps the exit codes of :mod:`agentreview.errors`.

Click's own codes collide with ours: a usage error, an abort and a reader that went away exit 1, "blocked", the last one
even with ``standalone_mode=False``. So its ``main`` is not used, and everything it raises is mapped here.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, MutableMapping, Sequence
from importlib import import_module
from typing import Any

import click

from agentreview.commands.shared import CONTEXT, emit
from agentreview.console import discard_output, guarded
from agentreview.errors import ExitCode, UsageError

NAME = "agentreview"
COMPLETE = "_AGENTREVIEW_COMPLETE"  # click's shell completion: bash_source, zsh_source, fish_source …
OWN_OPTIONS = frozenset({"-h", "--help", "--version"})
HELP_WIDTH = 100

EPILOG = """\b
`agentreview` alone is `agentreview run`, with all its options:
  agentreview                              review what is staged here
  agentreview --range origin/main...HEAD   review what this branch adds
  agentreview --format json                for programs; run --help lists the rest
  agentreview run --help                   everything else

\b
Exit codes:
    0  passed: nothing blocks (and whatever was not reviewed is listed)
    1  blocked: findings must be cleared first
    2  the command line, the configuration, or the repository's state needs a correction
    3  incomplete: something could not be reviewed, so this is not a pass
    4  a bug in agentreview; set AGENTREVIEW_DEBUG=1 to see the details
  130  interrupted
"""


# Where each command is, in agentreview.commands. One is imported when it is asked for: loading all of them takes as long
# as everything else that a short command does.
COMMANDS = {
    "run": "run.command",
    "status": "status.command",
    "worktree": "worktree.group",
    "watch": "watch.command",
    "install": "setup.install_command",
    "uninstall": "setup.uninstall_command",
    "init": "init.command",
    "facts": "facts.group",
    "policies": "authoring.group",
    "ci": "ci.ci_command",
    "merge-reports": "ci.merge_command",
    "learn": "learn.command",
    "costs": "costs.command",
    "eval": "evaluate.command",
    "explain": "explain.command",
    "fix": "fix.command",
    "waive": "waive.command",
    "receipts": "receipts.group",
    "log": "log.command",
    "report": "report.command",
    "doctor": "setup.doctor_command",
    "gc": "gc.gc_command",
    "demo": "setup.demo_command",
    "hook": "setup.hook_command",
    "agent-hook": "agenthook.command",
    "mcp": "mcp.command",
}


class Commands(MutableMapping[str, click.Command]):
    """The commands by name, each imported when somebody looks at it."""

    def __init__(self) -> None:
        self._found: dict[str, click.Command] = {}
        self._where = dict(COMMANDS)

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._found:
            module, _, attribute = self._where[name].partition(".")
            self._found[name] = getattr(import_module(f"agentreview.commands.{module}"), attribute)
        return self._found[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._where[name], self._found[name] = "", command

    def __delitem__(self, name: str) -> None:
        del self._where[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)


class DefaultGroup(click.Group):
    """A group for which ``run`` may be left out: ``agentreview --format json``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert ``run`` where no command is named; ``help X`` is ``X --help``."""
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        if not args or (args[0].startswith("-") and args[0] not in OWN_OPTIONS):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the nearest."""
        if args and self.get_command(ctx, args[0]) is None:
            from agentreview.checked import nearest

            raise UsageError(f"unknown command {args[0]!r}", fix=nearest(args[0], self.commands))
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    if value:
        from agentreview.version import engine_version

        emit(f"{NAME} {engine_version()}\n")
        ctx.exit(ExitCode.PASS)


@click.group(
    NAME, cls=DefaultGroup, commands=Commands(), context_settings=CONTEXT, epilog=EPILOG, no_args_is_help=False
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
def group() -> None:
    """Review a change before it is committed: policies over the staged diff, in milliseconds, without a network.

    Findings that block say what is wrong, where, why it matters and how to fix it. The hooks that `agentreview
    install` writes refuse the commit until they are cleared.
    """


def main(arguments: Sequence[str], begun: object = ()) -> int:
    """Run the command line and return its exit code. Every failure is one line on stderr.

    ``begun`` is what was begun for the command already; it knows what it is.
    """
    return guarded(lambda: _run(list(arguments), begun))


def help_text() -> str:
    """Return what ``agentreview --help`` prints on a terminal of 100 columns, without running anything."""
    context = click.Context(group, info_name=NAME, terminal_width=HELP_WIDTH, **_settings())
    return group.get_help(context) + "\n"


def _settings() -> dict[str, Any]:
    return {**CONTEXT, "max_content_width": HELP_WIDTH}


def _run(arguments: list[str], begun: object) -> int:
    asked = os.environ.get(COMPLETE)
    if asked:
        from click.shell_completion import shell_complete

        return shell_complete(group, {}, NAME, COMPLETE, asked)
    try:
        with group.make_context(NAME, arguments, obj=begun) as context:
            return int(group.invoke(context) or ExitCode.PASS)
    except click.exceptions.Exit as done:  # help and version
        return done.exit_code
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.ClickException as error:
        raise _worded(error) from error
    except BrokenPipeError:  # the reader of the help went away
        discard_output()
        return int(ExitCode.PASS)
    except OSError as error:  # click's own printing of help
        if error.filename is not None or error.errno != errno.ENOSPC:
            raise
        discard_output()
        raise UsageError(
            "the output cannot be written: the disk is full", fix="Check what stdout is connected to"
        ) from error


def _worded(error: click.ClickException) -> UsageError:
    """Put click's complaint into one line that ends with where to read on."""
    said = " ".join(error.format_message().split()).removesuffix(".")
    context = getattr(error, "ctx", None)
    where = f"See: {context.command_path if context else NAME} --help"
    return UsageError(f"{said} {where}") if said.endswith(("?", ")")) else UsageError(said, fix=where)
