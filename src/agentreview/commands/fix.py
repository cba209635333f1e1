"""``agentreview fix FINDING``: the edit that makes a finding go away, shown or applied."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from agentreview.commands.explain import named_finding
from agentreview.commands.shared import CONTEXT, color_option, emit, worktree_option
from agentreview.console import colored, say
from agentreview.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from agentreview.git import Repository
    from agentreview.model import Edit, Finding, Verdict


@click.command(
    "fix",
    context_settings=CONTEXT,
    short_help="The edit that makes a finding go away, if one is known.",
    epilog="""\b
Examples:
  agentreview fix b2:94dcf40b            show it as a diff
  agentreview fix b2:94dcf40b --apply    make it, stage it, and review again

An edit is known where it is mechanical: a control put back, an id in the place of a person's data, a switch on again, a
value as a parameter. It was reviewed before it is shown: the finding is gone after it, and no other came.
One that a model reviewer proposes is marked as that reviewer's. Policies find nothing new with it; whether it clears the
reviewer's finding, the reviewer says when it reads again.""",
)
@click.argument("name", metavar="FINDING")
@click.option("--apply", "wanted", is_flag=True, help="Change the file, stage it, and review what is staged.")
@worktree_option
@color_option
def command(*, name: str, wanted: bool, worktree: str | None, color: str) -> int:
    """Show the edit that makes a finding of this worktree's last review go away, or make it.

    FINDING is the name a report prints (b2:94dcf40b) or the beginning of it. Only lines are changed that are as they
    were reviewed, in the work tree as well. The file is staged where nothing else in it waits to be; then what is staged
    is reviewed again, and the exit code is that of the review. Without an edit one line says what to do instead.
    """
    from agentreview.fixes.edits import diff
    from agentreview.fixing import edit_for, reviewed_file
    from agentreview.git import open_repository

    repo = open_repository(worktree)
    verdict, finding = named_finding(repo, name, [])
    if not verdict.source.startswith(("index", "worktree")):
        raise UsageError(f"the last review here was of a {verdict.source}", fix="Review what is staged: agentreview")
    reviewed = reviewed_file(repo, verdict, finding.path)
    edit = edit_for(repo, verdict, finding)
    if edit is None:
        raise UsageError(
            f"no edit is known for {finding.rule} in {finding.path}:{finding.start_line}", fix=_one_line(finding.fix)
        )
    if not wanted:
        emit(_painted(diff(edit, reviewed), painted=colored(sys.stdout, color)))
        say(f"{edit.note}; to make it: agentreview fix {name} --apply")
        return int(ExitCode.PASS)
    return _applied(repo, verdict, finding, edit, reviewed)


def _applied(repo: Repository, verdict: Verdict, finding: Finding, edit: Edit, reviewed: bytes) -> int:
    from agentreview.fixing import apply, refused_all, stage_all
    from agentreview.model import Asked
    from agentreview.reporters.summary import EXIT_CODES, advice, decision_line, unfinished
    from agentreview.reporters.text import escape
    from agentreview.review import judge_index

    if refused_all(repo, verdict):
        stage_all(repo)
        emit("staged what git commit -a takes, as it was reviewed\n")
    done = apply(repo, edit, reviewed)
    emit(f"changed {escape(done.path)}: {escape(edit.note)}\n")
    if not done.staged:
        raise UsageError(
            f"{done.path} has other changes that are not staged, so it was changed and not staged",
            fix=f"Stage what belongs to it, then review: git add -p {done.path}",
        )
    again = judge_index(repo, asked=Asked(surface="run"))
    left = [one for one in again.findings if one.fingerprint == finding.fingerprint]
    new = {one.fingerprint for one in again.findings} - {one.fingerprint for one in verdict.findings}
    more = f"; {len(new)} other came of it" if new else ""
    emit(f"{finding.rule} is {'still there' if left else 'gone'}{more}\n{escape(decision_line(again))}\n")
    for run in unfinished(again):
        say(f"{run.agent} did not finish: {run.reason or 'no reason given'}; {advice(run)}")
    return int(EXIT_CODES[again.decision])


def _painted(text: str, *, painted: bool) -> str:
    """Escape a diff line by line, and colour what is added and taken away."""
    from agentreview.reporters.text import defuse, escape

    out = []
    for line in text.removesuffix("\n").split("\n"):
        shown = defuse(escape(line.expandtabs(4)))
        style = (
            "32" if line.startswith("+") else "31" if line.startswith("-") else "36" if line.startswith("@@") else ""
        )
        out.append(f"\x1b[{style}m{shown}\x1b[0m" if painted and style else shown)
    return "\n".join(out) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split()) or "agentreview explain says more"
