"""``install``, ``uninstall``, ``init``, ``doctor``, ``demo`` and ``hook``: the gate around the review."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentreview.commands.shared import CONTEXT, color_option, emit, reviewed_tree, worktree_option
from agentreview.console import width
from agentreview.errors import ConfigError, ExitCode, UsageError

if TYPE_CHECKING:
    from agentreview.detect import Detection
    from agentreview.git import Repository
    from agentreview.install import InstallReport

FOUND = (
    ("frameworks", "frameworks"),
    ("phi.models", "PHI models"),
    ("phi.fields", "PHI fields"),
    ("audit.calls", "audit calls"),
    ("audit.automatic", "automatic audit"),
    ("tenant.key", "tenant key"),
    ("access.default", "access by default"),
    ("access.guards", "guards"),
    ("access.decorators", "permission decorators"),
)
NAMES = 6  # values listed for one fact


@click.command("install", context_settings=CONTEXT, short_help="Put the hooks into this repository.")
@click.option("--native", is_flag=True, help="Write git hooks even where a hook manager is in use.")
@click.option("--force", is_flag=True, help="Also where the hooks directory is shared or versioned.")
@worktree_option
def install_command(*, native: bool, force: bool, worktree: str | None) -> int:
    """Put the hooks where git looks for them, once for all worktrees of the repository.

    A hook that is there already is kept and runs first. Where pre-commit, prek, lefthook or husky is in use, that is
    used instead, or the entry to add to its configuration is printed.
    """
    from agentreview.git import open_repository
    from agentreview.install import install

    return _installed(install(open_repository(worktree), native=native, force=force))


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
    elif report.done and report.front_end == "native":
        lines.insert(0, f"git hooks in {escape(str(report.hooks_dir))}")
    emit("\n".join(lines) + "\n")
    return int(ExitCode.PASS if report.done else ExitCode.USAGE)


@click.command("init", context_settings=CONTEXT, short_help="Write a configuration with what is found here.")
@click.option("--force", is_flag=True, help="Replace the agentreview.toml that is there.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the file instead of writing it.")
@worktree_option
def init_command(*, force: bool, to_stdout: bool, worktree: str | None) -> int:
    """Write agentreview.toml: every setting explained, and the facts found in this repository.

    Each fact stands below the place that shows it. Until a person has checked them and said so (facts.confirmed_by),
    findings that rest on them are shown as advice and do not block.
    """
    from agentreview.config import CONFIG_NAME
    from agentreview.detect import render
    from agentreview.git import open_repository

    repo = open_repository(worktree)
    target = Path(repo.root) / CONFIG_NAME
    if not to_stdout:
        if os.path.lexists(target) and not force:
            raise UsageError(
                f"{target} is there already", fix="Edit it; --stdout shows a new proposal, --force replaces it"
            )
        _refuse_second_table(Path(repo.root))
    detection = detected(repo)
    text = render(detection)
    if to_stdout:
        emit(text)
        return int(ExitCode.PASS)
    _write(target, text)
    emit("\n".join([f"wrote {CONFIG_NAME}", *_summary(detection), *_next_steps(repo)]) + "\n")
    return int(ExitCode.PASS)


def detected(repo: Repository) -> Detection:
    """Look for facts in the staged tree (HEAD's while there are unmerged paths)."""
    from agentreview.detect import MAX_FILE_BYTES, detect
    from agentreview.git import blob_sizes, read_blobs, tree_files

    oids = {
        entry.path: entry.oid for entry in tree_files(repo, reviewed_tree(repo)) if entry.mode in {"100644", "100755"}
    }

    def read(paths: Sequence[str]) -> Mapping[str, bytes]:
        sizes = blob_sizes(repo, (oids[path] for path in paths))
        small = [path for path in paths if sizes[oids[path]] <= MAX_FILE_BYTES]
        blobs = read_blobs(repo, (oids[path] for path in small))
        return {path: blobs[oids[path]] for path in small}

    return detect(oids, read)


def _refuse_second_table(root: Path) -> None:
    """Raise UsageError where pyproject.toml configures agentreview: a second configuration stops every review."""
    from agentreview.config import CONFIG_NAME, PYPROJECT_NAME, load_config

    try:
        data = (root / PYPROJECT_NAME).read_bytes()
    except OSError:
        return
    try:
        load_config({CONFIG_NAME: b"", PYPROJECT_NAME: data}.get, known_policies=())
    except ConfigError as error:
        raise UsageError(
            f"[tool.agentreview] in {root / PYPROJECT_NAME} configures agentreview already",
            fix="Edit it there; agentreview init --stdout shows a proposal",
        ) from error


def _write(target: Path, text: str) -> None:
    """Put the file there in one step; a link of that name is replaced, not followed."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(
            f"{target} cannot be written: {error.strerror or error}", fix="Make it writable, or use --stdout"
        ) from error


def _summary(detection: Detection) -> list[str]:
    from agentreview.reporters.text import clip, escape

    lines = [f"read {detection.files} files" if detection.files else "there is no code to read yet: all examples"]
    for fact, title in FOUND:
        values = detection.values(fact)
        if values:
            more = f", and {len(values) - NAMES} more" if len(values) > NAMES else ""
            names = clip(escape(", ".join(values[:NAMES])), width(sys.stdout) - 30)
            lines.append(f"  {title + ':':<23}{names}{more}")
    if detection.files and len(lines) == 1:
        lines.append("  nothing that agentreview knows: the file holds commented examples")
    return lines


def _next_steps(repo: Repository) -> list[str]:
    from agentreview.config import CONFIG_NAME
    from agentreview.install import is_ours

    steps = [
        f"read {CONFIG_NAME}, correct the facts, and put your e-mail address into facts.confirmed_by",
        f"git add {CONFIG_NAME}: a review uses the staged file",
    ]
    if not is_ours(Path(repo.hooks_dir, "pre-commit")):
        steps.append("agentreview install, if commits here are not gated yet")
    return ["next:", *(f"  {number}. {step}" for number, step in enumerate(steps, 1))]


@click.command("doctor", context_settings=CONTEXT, short_help="Check that the gate is really in place.")
@worktree_option
def doctor_command(*, worktree: str | None) -> int:
    """Look at everything a commit depends on here: git, hooks in every worktree, store, policies, configuration.

    Changes nothing. Exits 0 when nothing failed, else 2.
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
