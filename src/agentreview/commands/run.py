"""``agentreview run``: review a change and report it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentreview.commands.shared import CONTEXT, color_option, worktree_option
from agentreview.console import colored, is_terminal, output, say, width, write
from agentreview.errors import ExitCode, UsageError
from agentreview.model import Asked
from agentreview.records import dataclass
from agentreview.reporters import REPORTERS

if TYPE_CHECKING:
    from agentreview.git import Repository
    from agentreview.model import Verdict

STDOUT = "-"
TOGETHER = {"terminal", "github"}  # what may share stdout: lines for people, and lines the CI picks out of a log
PROGRESS_AFTER = 1.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One report: its format, and the file it goes to (``-`` is stdout)."""

    format: str
    file: str


@click.command(
    "run",
    context_settings=CONTEXT,
    short_help="Review the staged change (the default command).",
    epilog="""\b
Examples:
  agentreview                                      what is staged here
  agentreview --worktree ../agent-2                what is staged in another worktree
  agentreview run --all-worktrees                  what is staged in all of them
  agentreview --range origin/main...HEAD           what this branch adds
  agentreview --commit HEAD                        the last commit
  agentreview --format terminal --format sarif=out.sarif
  agentreview --format json --output report.json

The exit code says what was decided: agentreview --help lists them.""",
)
@worktree_option
@click.option(
    "--all-worktrees", "everywhere", is_flag=True, help="Review what is staged in every worktree, at the same time."
)
@click.option(
    "--range",
    "span",
    metavar="BASE..HEAD",
    help="Review a range instead of the index. BASE...HEAD starts at the merge base.",
)
@click.option("--commit", "commit", metavar="SHA", help="Review one commit against its first parent.")
@click.option(
    "--format",
    "-f",
    "formats",
    multiple=True,
    metavar="FORMAT[=FILE]",
    help=f"How to report: {', '.join(REPORTERS)}. May be given several times; with =FILE it goes to that file, else to"
    " stdout. Without this option: terminal.",
)
@click.option("--output", "-o", "to_file", metavar="FILE", help="Write the last --format to FILE instead of stdout.")
@click.option("--fresh", is_flag=True, help="Review again even if the verdict or a reviewer's answer is known.")
@click.option(
    "--reviewers",
    metavar="NAME,...",
    help="Ask these model reviewers instead of those that the configuration enables.",
)
@click.option(
    "--workflow", metavar="NAME", default="", help="Review as this kind of work: feature, bug-fix, refactoring."
)
@click.option("--explain-routing", is_flag=True, help="Say which model each reviewer asks, and why.")
@click.option(
    "--dry-run", is_flag=True, help="Show what would be sent to which model at which price, and send nothing."
)
@click.option(
    "--debug-requests", metavar="FILE", default="", help="Write all that is sent to models and comes back to FILE."
)
@color_option
@click.option("--quiet", "-q", is_flag=True, help="Say nothing about what needs nobody's attention.")
@click.option("--verbose", "-v", is_flag=True, help="Show in full what is otherwise counted: advice, old debt, files.")
def command(
    *,
    worktree: str | None,
    everywhere: bool,
    span: str | None,
    commit: str | None,
    formats: tuple[str, ...],
    to_file: str | None,
    fresh: bool,
    reviewers: str | None,
    workflow: str,
    explain_routing: bool,
    dry_run: bool,
    debug_requests: str,
    color: str,
    quiet: bool,
    verbose: bool,
) -> int:
    """Review the staged change and report what has to be cleared before it is committed.

    The subject is what git would commit, never the files as they lie in the work tree: the index by default, or a
    range or a commit. Neither is changed. Reports go to stdout, progress and errors to stderr.
    """
    if span is not None and commit is not None:
        raise UsageError("--range and --commit exclude each other", fix="Give one of them")
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other", fix="Give one of them")
    targets = parse_targets(formats, to_file)
    if everywhere:
        if span or commit or reviewers is not None or workflow or explain_routing or dry_run or debug_requests:
            raise UsageError(
                "--all-worktrees reviews what is staged, as each worktree's own configuration has it",
                fix="Leave the other options out, or name one worktree with --worktree PATH",
            )
        from agentreview.commands.allworktrees import run_everywhere

        return run_everywhere(worktree, targets, fresh=fresh, color=color, quiet=quiet, verbose=verbose)
    from agentreview.git import open_repository

    repo = open_repository(worktree)
    names = tuple(name.strip() for name in (reviewers or "").split(",") if name.strip())
    if reviewers is not None and not names:
        raise UsageError("--reviewers names nobody", fix="Write --reviewers NAME,NAME, or leave it out")
    asked = Asked(names=names, workflow=workflow, surface="run", fresh=fresh, dry=dry_run, log=debug_requests)
    tell = Teller(quiet=quiet, routing=explain_routing or dry_run)
    verdict = _judge(repo, span, commit, asked=asked, fresh=fresh or explain_routing, quiet=quiet, tell=tell)
    if dry_run:
        if not tell.sent:
            say("nothing would be sent: no reviewer is asked, or every answer is known (--fresh asks again)")
        return int(ExitCode.PASS)
    failed = [
        error
        for target in targets
        if (error := deliver(target, verdict, color=color, quiet=quiet, verbose=verbose)) is not None
    ]
    _afterwards(verdict, targets, quiet=quiet, failed=bool(failed))
    if failed:
        raise failed[0]
    return _exit_code(verdict)


def parse_targets(formats: tuple[str, ...], to_file: str | None) -> tuple[Target, ...]:
    """Read ``--format`` and ``--output``. Raises UsageError for what cannot be meant."""
    targets = []
    for text in formats or ("terminal",):
        name, equals, file = text.partition("=")
        if name not in REPORTERS:
            raise UsageError(f"unknown format {name!r}", fix=f"Use one of {', '.join(REPORTERS)}")
        if equals and not file:
            raise UsageError(f"--format {name}= names no file", fix=f"Write {name}=FILE, or {name} for stdout")
        targets.append(Target(format=name, file=file or STDOUT))
    if to_file is not None:
        last = targets[-1]
        if not to_file:
            raise UsageError("--output names no file", fix="Write --output FILE")
        if last.file != STDOUT:
            raise UsageError(
                f"the last --format already goes to {last.file}, so --output {to_file} says it twice",
                fix="Give each format its file as FORMAT=FILE",
            )
        targets[-1] = Target(format=last.format, file=to_file)
    on_stdout = [target.format for target in targets if target.file == STDOUT]
    if len(on_stdout) > 1 and (not TOGETHER.issuperset(on_stdout) or len(set(on_stdout)) < len(on_stdout)):
        raise UsageError(
            f"{' and '.join(on_stdout)} would be mixed on stdout", fix="Give all but one a file: --format sarif=FILE"
        )
    files = [os.path.realpath(target.file) for target in targets if target.file != STDOUT]
    twice = next((file for file in files if files.count(file) > 1), None)
    if twice is not None:
        raise UsageError(f"two formats go to {twice}", fix="Give each a file of its own")
    return tuple(targets)


class Teller:
    """Says what model reviewers do: on stderr while they read, and on stdout what a dry run would send."""

    def __init__(self, *, quiet: bool, routing: bool = False) -> None:
        self.quiet, self.routing = quiet, routing
        self.sent = 0

    def __call__(self, kind: str, text: str) -> None:
        """Print one event; the text may hold anything from the repository."""
        from agentreview.reporters.text import escape

        if kind == "dry-run":
            self.sent += 1
            output("\n".join(escape(line) for line in text.split("\n")) + "\n")
        elif (kind == "routing" and self.routing) or (kind not in ("routing",) and not self.quiet):
            say(escape(text))


def _judge(
    repo: Repository, span: str | None, commit: str | None, *, asked: Asked, fresh: bool, quiet: bool, tell: Teller
) -> Verdict:
    from agentreview.review import judge_commit, judge_index, judge_spec

    with Counter(shown=not quiet and is_terminal(sys.stderr)) as counter:
        progress = counter if counter.shown else None
        if span is not None:
            return judge_spec(repo, span, fresh=fresh, progress=progress, asked=asked, tell=tell)
        if commit is not None:
            return judge_commit(repo, commit, fresh=fresh, progress=progress, asked=asked, tell=tell)
        return judge_index(repo, fresh=fresh, progress=progress, asked=asked, tell=tell)


class Counter:
    """A line on stderr that counts files, once the review takes longer than people wait without wondering."""

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self.started = time.monotonic()
        self.text = ""

    def __enter__(self) -> Counter:
        """Start."""
        return self

    def __call__(self, done: int, total: int) -> None:
        """Say how many files are reviewed."""
        text = f"reviewing: {done} of {total} files"
        if self.shown and text != self.text and time.monotonic() - self.started >= PROGRESS_AFTER:
            write(f"\r{text}\x1b[K")
            self.text = text

    def __exit__(self, *_: object) -> None:
        """Clear the line, whatever happened."""
        if self.text:
            write("\r\x1b[K")


def deliver(target: Target, verdict: Verdict, *, color: str, quiet: bool, verbose: bool) -> UsageError | None:
    """Render one report and put it where it belongs. Returns what went wrong: the other reports are still due."""
    stdout = target.file == STDOUT
    text = REPORTERS[target.format](
        verdict,
        color=target.format == "terminal" and (colored(sys.stdout, color) if stdout else color == "always"),
        width=width(sys.stdout) if stdout else 100,
        verbose=verbose,
        quiet=quiet,
    )
    try:
        if stdout:
            output(text)
        else:
            with Path(target.file).open("wb") as file:
                file.write(text.encode("utf-8", "backslashreplace"))
    except (OSError, ValueError) as error:
        where = "stdout" if stdout else target.file
        reason = error.strerror if isinstance(error, OSError) else error
        return UsageError(
            f"the {target.format} report cannot be written to {where}: {reason}",
            fix="Name a file in a directory that exists and can be written",
        )
    return None


def _afterwards(verdict: Verdict, targets: tuple[Target, ...], *, quiet: bool, failed: bool) -> None:
    """Say on stderr what the reports did not: the decision when it went into files, and that nothing was staged."""
    from agentreview.reporters.summary import decision_line

    if failed or (not quiet and all(target.file != STDOUT for target in targets)):
        say(decision_line(verdict))
    if quiet or any(target.format != "terminal" for target in targets):
        return
    if verdict.base == verdict.tree and verdict.source.startswith(("index", "worktree")):
        say("nothing is staged: git add what is to be reviewed, or give --range BASE..HEAD or --commit SHA")


def _exit_code(verdict: Verdict) -> int:
    from agentreview.reporters.summary import EXIT_CODES

    return int(EXIT_CODES.get(verdict.decision, ExitCode.BUG))
