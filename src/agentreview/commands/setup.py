"""``install``, ``uninstall``, ``doctor``, ``demo`` and ``hook``: the gate around the review."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agentreview.commands.shared import CONTEXT, color_option, emit, worktree_option
from agentreview.errors import ExitCode

if TYPE_CHECKING:
    from agentreview.install import InstallReport


@click.command("install", context_settings=CONTEXT, short_help="Put the hooks into this repository.")
@click.option("--native", is_flag=True, help="Write git hooks even where a hook manager is in use.")
@click.option("--config", is_flag=True, help="Name the hooks in .git/config: git 2.54 or newer.")
@click.option("--force", is_flag=True, help="Also where the hooks directory is shared or versioned.")
@worktree_option
def install_command(*, native: bool, config: bool, force: bool, worktree: str | None) -> int:
    """Put the hooks where git looks for them, once for all worktrees of the repository.

    A hook that is there already is kept and runs first. Where pre-commit, prek, lefthook or husky is in use, that is
    used instead, or the entry to add to its configuration is printed. With --config git runs them whatever
    core.hooksPath says, and beside any hook manager.
    """
    from agentreview.git import open_repository
    from agentreview.install import install

    return _installed(install(open_repository(worktree), native=native, config=config, force=force))


@click.command("uninstall", context_settings=CONTEXT, short_help="Take the hooks out again.")
@worktree_option
def uninstall_command(*, worktree: str | None) -> int:
    """Remove the hooks, and put back as they were the ones that were there before."""
    from agentreview.git import open_repository
    from agentreview.install import uninstall

    return _installed(uninstall(open_repository(worktree)))


def _installed(report: InstallReport) -> int:
    from agentreview.reporters.text import escape

    lines = [escape(line) for line in report.lines]
    if report.entry:
        lines += ["", *(escape(line) for line in report.entry.rstrip("\n").split("\n"))]
    elif report.done and report.front_end in {"native", "config"}:
        named = "hooks named in .git/config, in" if report.front_end == "config" else "git hooks in"
        lines.insert(0, f"{named} {escape(str(report.hooks_dir))}")
    emit("\n".join(lines) + "\n")
    return int(ExitCode.PASS if report.done else ExitCode.USAGE)


@click.command("doctor", context_settings=CONTEXT, short_help="Check that the gate is really in place.")
@worktree_option
def doctor_command(*, worktree: str | None) -> int:
    """Look at everything a commit depends on here: git, hooks in every worktree, store, policies, configuration.

    In every worktree git is made to run the hooks that are ours, with a probe that they answer. Changes nothing.
    Exits 0 when nothing failed, else 2.
    """
    from agentreview.doctor import FAIL, diagnose, render
    from agentreview.git import open_repository

    checks = diagnose(open_repository(worktree))
    emit(render(checks))
    return int(ExitCode.USAGE if any(check.status == FAIL for check in checks) else ExitCode.PASS)


@click.command(
    "demo", context_settings=CONTEXT, short_help="Show a blocked commit and its fix, in a scratch repository."
)
@click.option("--keep", is_flag=True, help="Keep the repository and say where it is.")
@color_option
def demo_command(*, keep: bool, color: str) -> int:
    """Build a small clinic in a temporary repository, commit a view that leaves no trail, and the fixed one.

    Real git, the real hooks, no key and no network. Exits 0 when the first commit was blocked and the second passed.
    """
    from agentreview.demo import demo

    return demo(keep=keep, color=color)


@click.command(
    "hook",
    context_settings={**CONTEXT, "ignore_unknown_options": True},
    short_help="What the hooks run; not meant to be typed.",
)
@click.argument("name")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def hook_command(*, name: str, args: tuple[str, ...]) -> int:
    """Run one hook: pre-commit, pre-merge-commit, prepare-commit-msg, pre-push, or auto.

    `agentreview install` writes hooks that call this. A hook manager calls `agentreview hook auto`, which finds out
    from its caller which hook it is. ARGS are the hook's own arguments; pre-push reads git's list of refs from
    standard input. Everything is printed to stderr.
    """
    from agentreview.hook import main

    return main(name, args)
