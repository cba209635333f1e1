"""``agentreview eval``: how good reviewers are, on labelled changes."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentreview.commands.shared import CONTEXT, emit
from agentreview.console import is_terminal, say
from agentreview.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from agentreview.config import Config
    from agentreview.evaluation.cases import Case
    from agentreview.evaluation.play import Ready
    from agentreview.evaluation.scores import Played, Rate, Scores
    from agentreview.llm import Backend, Failure

SCHEMA = "agentreview/eval/1"
_RATES = (
    ("recall", "defects found, blocking"),
    ("recall_shown", "defects found, blocking or advice"),
    ("precision", "blocking findings that are right"),
    ("noise", "harmless changes blocked"),
    ("noise_shown", "harmless changes with advice"),
    ("flips", "cases that flip between runs"),
    ("over_refuted", "right claims refuted"),
    ("anchored", "claims with a proved line"),
    ("edits", "claims with an edit"),
)


@click.command(
    "eval",
    context_settings=CONTEXT,
    short_help="How good reviewers are, on labelled changes.",
    epilog="""\b
A case is a directory CASES/<name>/ with
  before/        the files as they were; may be missing
  after/         the files as they are
  expected.json  {"defects": [{"path": "app/views.py", "lines": [12, 15], "rules": ["tenancy.query-scope"]}]}
No defects: a harmless change. "lines" are of the new side and may be left out; "rules" and "cwe" say which findings count.

\b
Examples:
  agentreview eval cases --reviewers tenant-isolation --repeat 3 --record answers
  agentreview eval cases --reviewers tenant-isolation --replay answers     no network, no cost
  agentreview eval cases --reviewers plain                                 the baseline: the diff alone
  agentreview eval --policies tenancy                                      policies alone, on their own examples

Exits 0, or 3 when some run did not finish: the report says which and why. It never exits 1.""",
)
@click.argument("cases", required=False, metavar="[CASES]")
@click.option("--policies", metavar="NAME,...", help="Take the examples of these policies or packs; 'all' for all.")
@click.option("--manifest", metavar="FILE", help="CASES holds repositories with a staged change; FILE labels them.")
@click.option("--only", metavar="ID,...", default="", help="Only these cases.")
@click.option("--reviewers", metavar="NAME,...", help="Who reads; 'none' for policies alone.  [default: those enabled]")
@click.option("--repeat", type=click.IntRange(1, 50), default=1, show_default=True, help="How often each case is read.")
@click.option("--record", metavar="DIR", help="Keep every answer in DIR.")
@click.option("--replay", metavar="DIR", help="Take the answers from DIR, and send nothing.")
@click.option(
    "--max-dollars", type=click.FloatRange(0), default=5.0, show_default=True, help="Spend no more in this run."
)
@click.option(
    "--jobs", "-j", type=click.IntRange(1, 32), default=4, show_default=True, help="How many cases at a time."
)
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
@click.option("--verbose", "-v", is_flag=True, help="List every case that is not as it should be.")
def command(
    *,
    cases: str | None,
    policies: str | None,
    manifest: str | None,
    only: str,
    reviewers: str | None,
    repeat: int,
    record: str | None,
    replay: str | None,
    max_dollars: float,
    jobs: int,
    as_json: bool,
    verbose: bool,
) -> int:
    """Have reviewers read labelled changes, and count what they find, miss, invent and take back, and what it costs.

    It counts blocking findings of policies and reviewers together, as a commit would meet them. The models are those of
    the configuration that is staged here, else the shipped ones. Kept answers of reviews are neither used nor made.
    """
    from agentreview.evaluation.play import play_all, prepared
    from agentreview.evaluation.scores import score

    if record and replay:
        raise UsageError("--record and --replay exclude each other", fix="Record first, then replay")
    chosen = _cases(cases, policies, manifest, _names(only))
    config = _config(max_dollars)
    who = config.reviewers.enabled if reviewers is None else () if reviewers == "none" else _names(reviewers)
    played: list[Played] = []
    total = len(chosen) * repeat
    shown = is_terminal(sys.stderr)
    interrupted = False
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="agentreview-eval-", ignore_cleanup_errors=True))
        )
        backend = _backend(config, folder, record, replay) if who else _nobody()
        ready: list[Ready] = []
        bar = stack.enter_context(click.progressbar(length=total, label="reading", file=sys.stderr)) if shown else None

        def done(one: Played) -> None:
            played.append(one)
            if bar is not None:
                bar.update(1)

        try:
            ready += prepared(chosen, folder, config)
            work = [(one, number) for number in range(1, repeat + 1) for one in ready]
            play_all(work, who, backend, folder / "store", threads=jobs, done=done)
        except KeyboardInterrupt:
            interrupted = True
            stop = getattr(backend, "stop", None)
            if stop is not None:
                stop()
    played.sort(key=lambda one: ([case.id for case in chosen].index(one.case), one.number))
    scores = score(chosen, played)
    emit(_json(chosen, played, scores, who) if as_json else _text(chosen, played, scores, who, verbose=verbose))
    if interrupted:
        say(f"interrupted: {len(played)} of {total} runs are counted")
        sys.stdout.flush()
        os._exit(ExitCode.INTERRUPTED)  # threads may still wait for a server, and the interpreter would wait for them
    return int(ExitCode.INCOMPLETE if scores.unfinished else ExitCode.PASS)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _cases(cases: str | None, policies: str | None, manifest: str | None, only: Sequence[str]) -> tuple[Case, ...]:
    from agentreview.evaluation.cases import from_directory, from_manifest, from_policies

    if (cases is None) == (policies is None):
        raise UsageError("name either CASES or --policies", fix="agentreview eval --help has examples")
    if policies is not None:
        return from_policies(() if policies == "all" else _names(policies))
    assert cases is not None  # noqa: S101 - one of the two is given
    if manifest is not None:
        return from_manifest(Path(cases).absolute(), Path(manifest), only)
    return from_directory(Path(cases), only)


def _config(max_dollars: float) -> Config:
    """Take models and reviewers from the configuration of the repository around, if there is one."""
    from agentreview.commands.shared import reviewed_config
    from agentreview.config import Config
    from agentreview.git import open_repository

    try:
        repo = open_repository()
    except UsageError:
        config = Config()
    else:
        config = reviewed_config(repo)
    plenty = 1_000_000_000
    limits = replace(
        config.reviewers,
        tokens_per_run=plenty,
        money_per_run=max_dollars,
        money_per_worktree=float(plenty),
        money_per_day=float(plenty),
    )
    return replace(config, reviewers=limits)


def _backend(config: Config, folder: Path, record: str | None, replay: str | None) -> Backend | Failure:
    from agentreview.llm import Failure, Recorder, Replayer, backend
    from agentreview.spend import Ledger, Metered

    if replay is not None:
        if not Path(replay).is_dir():
            raise UsageError(f"{replay} is not a directory", fix="Record answers there first, with --record")
        return Replayer(Path(replay))
    found: Backend | Failure = backend(os.environ, config)
    if isinstance(found, Failure):
        raise UsageError(found.detail.rpartition(". ")[0], fix=found.detail.rpartition(". ")[2])
    if record is not None:
        try:
            found = Recorder(found, Path(record))
        except OSError as error:
            raise UsageError(f"{record} cannot be written: {error.strerror}", fix="Name another directory") from error
    return Metered(found, config, Ledger(folder / "ledger", folder / "ledger" / "state"), "eval")


def _nobody() -> Failure:
    from agentreview.llm import failed

    return failed("offline", "no reviewer was named")


def _text(
    cases: Sequence[Case], played: Sequence[Played], scores: Scores, who: Sequence[str], *, verbose: bool
) -> str:  # fmt: skip
    from agentreview.reporters.text import escape

    readers = ", ".join(who) or "none: policies alone"
    bad = sum(bool(case.defects) for case in cases)
    lines = [
        f"{bad} changes with a defect, {len(cases) - bad} harmless; {scores.runs} runs",
        f"reviewers: {readers}",
        "",
    ]
    width = max(len(words) for _, words in _RATES)
    for name, words in _RATES:
        rate: Rate = getattr(scores, name)
        share = f"{rate.share:7.1%}" if rate.share is not None else "      -"
        lines.append(f"{words:<{width}}  {share}   {rate.count} of {rate.of}")
    lines += [
        "",
        f"{scores.requests:,} requests, {scores.tokens:,} tokens, ${scores.dollars:.4f}; "
        f"{scores.median_seconds:.1f} s a run (median), {scores.seconds:.1f} s together",
    ]
    wrong = list(_wrong(cases, played))
    if wrong and verbose:
        lines += ["", *(escape(line) for line in wrong)]
    elif wrong:
        lines += ["", f"{len(wrong)} cases are not as they should be: --verbose lists them"]
    if scores.unfinished:
        lines += ["", f"{scores.unfinished} of {scores.runs} runs did not finish, and count for nothing:"]
        reasons = [f"  {one.case}: {one.failures[0]}" for one in played if one.failures]
        lines += [escape(reason) for reason in reasons[: len(reasons) if verbose else 5]]
        lines += [f"  and {len(reasons) - 5} more"] if len(reasons) > 5 and not verbose else []
    return "\n".join([*lines, ""])


def _wrong(cases: Sequence[Case], played: Sequence[Played]) -> list[str]:
    """One line for every case that a finished run got wrong."""
    from agentreview.evaluation.scores import counted, found

    out = []
    for case in cases:
        runs = [one for one in played if one.case == case.id and not one.failures]
        missed = invented = 0
        for one in runs:
            blocking = [shot for shot in counted(case, one.shots) if shot.blocking and not shot.refuted]
            missed += bool(case.defects) and found(case, blocking) != set(case.groups)
            invented += not case.defects and bool(blocking)
        if missed or invented:
            out.append(
                f"{case.id}: {'missed' if missed else 'blocked, and harmless'} in {missed or invented} of {len(runs)}"
            )
    return out


def _json(cases: Sequence[Case], played: Sequence[Played], scores: Scores, who: Sequence[str]) -> str:
    rates = {name: asdict(getattr(scores, name)) | {"share": getattr(scores, name).share} for name, _ in _RATES}
    value: dict[str, Any] = {
        "schema": SCHEMA,
        "reviewers": list(who),
        "scores": asdict(scores) | rates,
        "cases": [
            {"id": case.id, "defects": [asdict(defect) for defect in case.defects], "about": list(case.about)}
            for case in cases
        ],
        "runs": [asdict(one) for one in played],
    }
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
