"""``agentreview learn``: what the policies would have done to the history of this repository."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from agentreview.commands.shared import CONTEXT, emit, reviewed_config, worktree_option
from agentreview.console import is_terminal, say, width
from agentreview.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentreview.detect import Detection
    from agentreview.git import Repository
    from agentreview.learn.history import Commit
    from agentreview.learn.record import Kept, Record
    from agentreview.learn.replay import Gate

COMMITS = 200
MOST_COMMITS = 10_000
MOST_JOBS = 8  # by default; each holds the two versions of a whole commit in memory


@click.command(
    "learn",
    context_settings=CONTEXT,
    short_help="What the policies would have done to the history here.",
    epilog="""\b
Examples:
  agentreview learn                                   the newest 200 commits
  agentreview learn --range v1.0..main --samples 10   a release, with more to look at
  agentreview learn --format json

Exits 0, or 3 when some commit could not be reviewed; the report names it. It is a report: it never exits 1.""",
)
@click.option(
    "--commits",
    "limit",
    type=click.IntRange(1, MOST_COMMITS),
    default=COMMITS,
    show_default=True,
    help="How many commits, the newest first; merges do not count.",
)
@click.option("--range", "span", metavar="BASE..HEAD", help="The commits of a range instead of those of HEAD.")
@click.option(
    "--jobs", "-j", type=click.IntRange(1, 64), help="How many commits at a time.  [default: one for each core]"
)
@click.option(
    "--format",
    "-f",
    "form",
    type=click.Choice(["terminal", "json", "markdown"]),
    default="terminal",
    show_default=True,
    help="How to report. json has everything.",
)
@click.option(
    "--samples", type=click.IntRange(0, 10), default=3, show_default=True, help="Findings to show of each policy."
)
@click.option("--fresh", is_flag=True, help="Review every commit again, also those that are known.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@worktree_option
def command(
    *,
    limit: int,
    span: str | None,
    jobs: int | None,
    form: str,
    samples: int,
    fresh: bool,
    quiet: bool,
    worktree: str | None,
) -> int:
    """Review past commits, each against its parent, and report what every policy would have done to them.

    All of them are judged by the configuration and the facts that are staged here now, not by their own. From what
    comes out, facts and settings are proposed as TOML. Nothing is changed: not the work tree, the index or the hooks.

    What is reviewed is kept beside the verdicts, so an interrupted run goes on where it was, and after an edit of the
    configuration everything is reviewed anew.
    """
    from agentreview.commands.policies import reviewed
    from agentreview.git import open_repository
    from agentreview.learn import propose, render, report
    from agentreview.learn.history import read_history
    from agentreview.learn.record import Kept
    from agentreview.learn.replay import Gate
    from agentreview.version import engine_version

    repo = open_repository(worktree)
    history = read_history(repo, span, limit)
    config, here = reviewed_config(repo), reviewed(worktree)
    if here.mistake is not None:
        raise here.mistake
    catalogue = here.catalogue
    gate = Gate(repo=repo, config=config, version=engine_version(), catalogue=catalogue)
    kept = Kept(store_dir=repo.store_dir, version=gate.version, configuration=f"{config.digest} {catalogue.digest}")
    records = {} if fresh else _known(kept, history.commits)
    known = len(records)
    try:
        _replay(gate, kept, history.commits, records, jobs or _cores(), shown=not quiet and is_terminal(sys.stderr))
    except KeyboardInterrupt:
        say(
            f"interrupted: {len(records)} of {len(history.commits)} commits are reviewed and kept; "
            "the same command (without --fresh) goes on from there"
        )
        return int(ExitCode.INTERRUPTED)
    added = report.add_up(history, records, catalogue.policies, config, version=gate.version, known=known)
    proposals = propose.propose(added, lambda: _detected(repo))
    toml = propose.snippet(proposals, config)
    if form == "json":
        emit(render.to_json(added, proposals, toml))
    elif form == "markdown":
        emit(render.markdown(added, toml, samples=samples))
    else:
        emit(render.terminal(added, toml, width=width(sys.stdout), samples=samples))
    return int(render.exit_code(added))


def _known(kept: Kept, commits: Sequence[Commit]) -> dict[str, Record]:
    found = ((commit.sha, kept.load(commit.base, commit.tree)) for commit in commits if not commit.why_not)
    return {sha: record for sha, record in found if record is not None}


def _replay(
    gate: Gate, kept: Kept, commits: Sequence[Commit], records: dict[str, Record], jobs: int, *, shown: bool
) -> None:
    """Review what has no record yet, and keep each as soon as it is there. Progress goes to stderr when ``shown``."""
    from agentreview.learn.replay import replay

    todo = [commit for commit in commits if commit.sha not in records]
    warnings: list[str] = []
    bar = click.progressbar(length=len(commits), label="reviewing commits", file=sys.stderr) if shown and todo else None

    def done(commit: Commit, record: Record) -> None:
        warning = kept.save(commit.base, commit.tree, record)
        if warning:
            warnings.append(warning)
        records[commit.sha] = record
        if bar is not None:
            bar.update(1)

    if bar is None:
        replay(gate, todo, jobs, done)
    else:
        with bar:
            bar.update(len(records))
            replay(gate, todo, jobs, done)
    if warnings:
        say(f"the results could not be kept, so the next run reviews again: {warnings[0]}")
    elif todo:
        kept.prune()


def _cores() -> int:
    try:
        return min(len(os.sched_getaffinity(0)), MOST_JOBS)
    except AttributeError:  # macOS
        return min(os.cpu_count() or 1, MOST_JOBS)


def _detected(repo: Repository) -> Detection:
    from agentreview.commands.init import detected

    return detected(repo)
