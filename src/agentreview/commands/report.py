"""``agentreview report``: a page for people, of what is reviewed now or of what receipts say of a period."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentreview.commands.shared import CONTEXT, emit, left_out, worktree_option
from agentreview.console import say
from agentreview.errors import AgentReviewError, ExitCode, IncompleteError, UsageError

if TYPE_CHECKING:
    from agentreview.git import Repository
    from agentreview.model import Verdict
    from agentreview.reporters.page.chart import Judged
    from agentreview.reporters.page.findings import Line
    from agentreview.reporters.page.report import Part

STDOUT = "-"


@click.command(
    "report",
    context_settings=CONTEXT,
    short_help="A page for people: findings, or a period for an auditor.",
    epilog="""\b
Examples:
  agentreview report --html report.html                   what is staged here
  agentreview report --html report.html --all-worktrees   what is staged in every worktree
  agentreview report --html report.html --range origin/main...HEAD
  agentreview report --html q4.html --period 2026-Q4      what receipts say of that quarter
  agentreview report --html n.html --period 2026-11-02..2026-11-13 --of origin/main

The page is one file that needs no network. The exit code is that of the review: 0 passed, 1 blocked, 3 incomplete.
Of a period nothing is reviewed: 0, or 3 where signatures could not be checked. Receipts of others come with
`agentreview receipts fetch`.""",
)
@click.option("--html", "file", metavar="FILE", required=True, help="Where the page goes; - is stdout.")
@click.option("--all-worktrees", "everywhere", is_flag=True, help="What is staged in every worktree, on one page.")
@click.option("--range", "span", metavar="BASE..HEAD", default="", help="A range instead of what is staged.")
@click.option("--commit", "commit", metavar="SHA", default="", help="One commit against its first parent.")
@click.option(
    "--period",
    "days",
    metavar="PERIOD",
    default="",
    help="For an auditor: who committed what under which verdict in 2026-Q4, 2026-11, 2026 or FROM..TO.",
)
@click.option(
    "--of", "revision", metavar="REVISION", default="", help="With --period: the commits up to here. Default: HEAD."
)
@click.option(
    "--allowed-signers",
    "signers",
    metavar="FILE",
    help="With --period: whose ssh key is whose. Default: HEAD's .agentreview/allowed_signers, else git's own.",
)
@worktree_option
def command(
    *,
    file: str,
    everywhere: bool,
    span: str,
    commit: str,
    days: str,
    revision: str,
    signers: str | None,
    worktree: str | None,
) -> int:
    """Write a page: the decision, every finding with its code before and after, waivers, what nobody looked at, and how
    verdicts went over time. It is reviewed first, unless the verdict is known.

    With --period the page is a record for an auditor: each commit with its receipt and the state of its signature, what was
    let through and why, waivers, commits without a receipt, policies in force and what they cite, and how to verify it.
    """
    if sum(map(bool, (everywhere, span, commit, days))) > 1:
        raise UsageError("--all-worktrees, --range, --commit and --period exclude each other", fix="Give one of them")
    if (revision or signers is not None) and not days:
        raise UsageError("--of and --allowed-signers go with --period", fix="Give --period as well, or leave them out")
    if days:
        return _period(file, worktree, days, revision or "HEAD", signers)
    if everywhere:
        return _everywhere(file, worktree)
    return _one(file, worktree, span, commit)


def _one(file: str, worktree: str | None, span: str, commit: str) -> int:
    from agentreview.git import open_repository
    from agentreview.model import Asked
    from agentreview.reporters.page.report import Part, page
    from agentreview.reporters.summary import EXIT_CODES, decision_line
    from agentreview.review import judge_commit, judge_index, judge_spec

    repo = open_repository(worktree)
    asked = Asked(surface="run")
    if span:
        verdict = judge_spec(repo, span, asked=asked)
    elif commit:
        verdict = judge_commit(repo, commit, asked=asked)
    else:
        verdict = judge_index(repo, asked=asked)
    path = verdict.worktree or repo.root
    part = Part(path=path, branch=verdict.branch, verdict=verdict, sides=_sides(repo, verdict))
    _write(file, page([part], _history(repo)))
    say(decision_line(verdict))
    return int(EXIT_CODES[verdict.decision])


def _everywhere(file: str, worktree: str | None) -> int:
    from agentreview.everywhere import review_everywhere, worst
    from agentreview.git import open_repository
    from agentreview.reporters.page.report import Part, page
    from agentreview.reporters.summary import count

    found = list(review_everywhere((), worktree))
    parts: list[Part] = []
    history: tuple[Judged, ...] | None = None  # the same for all worktrees; not told where none could be read
    for one in found:
        sides: dict[str, tuple[Line, ...]] = {}
        if one.verdict is not None:
            repo = open_repository(one.path)
            sides = _sides(repo, one.verdict)
            history = _history(repo) if history is None else history
        parts.append(
            Part(path=one.path, branch=one.branch, verdict=one.verdict, error=one.error, left_out=one.left_out, sides=sides)
        )  # fmt: skip
    _write(file, page(parts, history))
    code = worst(found)
    say(f"{count(len(found), 'worktree')}: {_counted(parts)}")
    return int(code)


def _period(file: str, worktree: str | None, days: str, revision: str, signers: str | None) -> int:
    import time

    from agentreview.commands.receipts import allowed_signers
    from agentreview.git import open_repository
    from agentreview.period import audit, period
    from agentreview.reporters.page.audit import page, summary
    from agentreview.snapshot import head, resolve
    from agentreview.version import engine_version

    span = period(days)
    repo = open_repository(worktree)
    tip = resolve(repo, revision, "commit")
    branch = (head(repo)[1] or "") if revision == "HEAD" else revision
    allowed, source = allowed_signers(repo, signers)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    name = Path(repo.root).name
    found = audit(
        repo, tip, branch, span, name=name, allowed=allowed, signers=source, now=now, version=engine_version()
    )  # fmt: skip
    _write(file, page(found))
    say(summary(found))
    if found.unchecked:
        raise IncompleteError(f"signatures cannot be checked: {found.unchecked}", fix="Install OpenSSH, and try again")
    return int(ExitCode.PASS)


def _counted(parts: Sequence[Part]) -> str:
    words = {"block": "blocked", "pass": "passed", "incomplete": "incomplete"}
    states = [
        words[part.verdict.decision.value] if part.verdict else "left out" if part.left_out else "not judged"
        for part in parts
    ]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))


def _sides(repo: Repository, verdict: Verdict) -> dict[str, tuple[Line, ...]]:
    """Code before and after; where it cannot be read again each finding still has the lines it came with."""
    from agentreview.sides import both_sides

    try:
        return both_sides(repo, verdict)
    except AgentReviewError:
        return {}


def _history(repo: Repository) -> tuple[Judged, ...]:
    from agentreview.ledger import everything
    from agentreview.reporters.page.chart import Judged

    found = [one.receipt for one in everything(repo)]
    left_out(found.count(None))
    return tuple(Judged(at=one.at, decision=one.decision) for one in found if one is not None)


def _write(file: str, text: str) -> None:
    if file == STDOUT:
        emit(text)
        return
    try:
        Path(file).write_bytes(text.encode("utf-8", "backslashreplace"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"the page cannot be written to {file}: {reason}", fix="Name a file in a directory that exists and can be written"
        ) from error  # fmt: skip
    say(f"the page is in {file}")
