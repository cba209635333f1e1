"""``agentreview ci`` and ``agentreview merge-reports``: what a pipeline runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentreview.commands.run import Counter, Teller, deliver, parse_targets
from agentreview.commands.shared import CONTEXT, color_option, worktree_option
from agentreview.console import is_terminal, say
from agentreview.errors import ExitCode, UsageError
from agentreview.reporters import REPORTERS

if TYPE_CHECKING:
    from agentreview.commands.run import Target
    from agentreview.model import Verdict

_FORMATS = f"How to report: {', '.join(REPORTERS)}; several times, with =FILE into that file. Default: github in GitHub Actions, else terminal."


@click.command(
    "ci",
    context_settings=CONTEXT,
    short_help="Judge a branch by the rules of what it goes into.",
    epilog="""\b
Examples:
  agentreview ci                                    in GitHub Actions, GitLab, Azure, Jenkins, Buildkite, Bitbucket
  agentreview ci --base origin/main                 anywhere else
  agentreview ci --format junit=report.xml --format gitlab=codequality.json
  agentreview ci --shard 1/3 --format json=1.json   in three jobs, then: agentreview merge-reports 1.json 2.json 3.json

The exit code says what was decided: agentreview --help lists them.""",
)
@click.option(
    "--base",
    metavar="REF",
    help="What the change goes into: its tip's configuration, approvers and signers are the rules.",
)
@click.option("--head", metavar="REF", help="The tip of the change. Default: what the CI says, else HEAD.")
@click.option("--format", "-f", "formats", multiple=True, metavar="FORMAT[=FILE]", help=_FORMATS)
@click.option("--shard", "part", metavar="I/N", help="Ask only the I-th part of the policy packs, for matrix jobs.")
@worktree_option
@color_option
@click.option("--quiet", "-q", is_flag=True, help="Say nothing about what needs nobody's attention.")
@click.option("--verbose", "-v", is_flag=True, help="Show in full what is otherwise counted: advice, old debt, files.")
def ci_command(
    *, base: str | None, head: str | None, formats: tuple[str, ...], part: str | None, worktree: str | None, color: str,
    quiet: bool, verbose: bool,
) -> int:  # fmt: skip
    """Review everything a branch adds, from the merge base on, by the rules of what it goes into.

    Configuration, approvers and signers are read from the base: a branch cannot loosen its own gate. Waivers that the
    base does not have count only where a listed approver signed the commit. Which commits a gate saw is looked up in
    the receipts that are here (agentreview receipts fetch brings those of the remote); [ci] require_receipts says what
    a missing one does.
    """
    from agentreview.ci import shard, subject
    from agentreview.git import open_repository
    from agentreview.policies.project import known_ids
    from agentreview.review import judge_for_ci
    from agentreview.surroundings import configuration

    github = os.environ.get("GITHUB_ACTIONS") == "true"
    targets = parse_targets(formats or (("github",) if github else ("terminal",)), None)
    repo = open_repository(worktree)
    found = subject(repo, os.environ, lambda path: Path(path).read_bytes(), base=base, head=head)
    packs = None
    if part is not None:
        ids = known_ids(configuration(repo, found.policy))
        packs = shard(part, sorted({name.partition(".")[0] for name in ids}))
    say(f"reviewing {found.about}: {found.base[:12]}..{found.head[:12]}, by the rules of {found.policy[:12]}")
    with Counter(shown=not quiet and is_terminal(sys.stderr)) as counter:
        verdict = judge_for_ci(
            repo, found.base, found.head, found.policy, source=found.source, packs=packs, progress=counter if counter.shown else None,
            tell=Teller(quiet=quiet),
        )  # fmt: skip
    if packs is not None:
        say(f"shard {part}: {', '.join(packs) or 'no pack is left for it'}; the other packs are other shards'")
    return _report(verdict, targets, color=color, quiet=quiet, verbose=verbose, summary=github)


@click.command("merge-reports", context_settings=CONTEXT, short_help="Put the json reports of all shards together.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--format", "-f", "formats", multiple=True, metavar="FORMAT[=FILE]", help=_FORMATS)
@color_option
@click.option("--quiet", "-q", is_flag=True, help="Say nothing about what needs nobody's attention.")
@click.option("--verbose", "-v", is_flag=True, help="Show in full what is otherwise counted.")
def merge_command(*, files: tuple[str, ...], formats: tuple[str, ...], color: str, quiet: bool, verbose: bool) -> int:
    """Merge the json reports of `agentreview ci --shard` into one verdict, with its exit code.

    A shard whose report is missing makes the verdict incomplete: what nobody asked is not clean.
    """
    from agentreview.ci import merge

    github = os.environ.get("GITHUB_ACTIONS") == "true"
    targets = parse_targets(formats or (("github",) if github else ("terminal",)), None)
    return _report(
        merge([_read(file) for file in files]), targets, color=color, quiet=quiet, verbose=verbose, summary=github
    )


def _read(file: str) -> Verdict:
    from agentreview.reporters.jsonreport import loads

    try:
        return loads(Path(file).read_text("ascii"))
    except OSError as error:
        raise UsageError(
            f"the report {file} cannot be read: {error.strerror}", fix="Name the json reports of all shards"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{file} is no json report of this version: {error}", fix="Make it with --format json=FILE"
        ) from error


def _report(
    verdict: Verdict, targets: tuple[Target, ...], *, color: str, quiet: bool, verbose: bool, summary: bool
) -> int:
    from agentreview.reporters.summary import EXIT_CODES, decision_line

    failed = [e for t in targets if (e := deliver(t, verdict, color=color, quiet=quiet, verbose=verbose)) is not None]
    file = os.environ.get("GITHUB_STEP_SUMMARY", "") if summary else ""
    if file:
        try:
            with Path(file).open("a", encoding="utf-8", errors="backslashreplace") as page:
                page.write(REPORTERS["markdown"](verdict, quiet=quiet, verbose=verbose))
        except OSError as error:
            say(f"the step summary cannot be written: {error.strerror}; the report above is complete")
    if failed or not any(target.file == "-" for target in targets):
        say(decision_line(verdict))
    if failed:
        raise failed[0]
    return int(EXIT_CODES.get(verdict.decision, ExitCode.BUG))
