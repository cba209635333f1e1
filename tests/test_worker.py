"""Files are read in processes that can be killed: what runs away or crashes fails alone, and nothing is left behind."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentreview import pool, worker
from agentreview.model import Decision, FileChange, Outcome
from agentreview.policies import compare
from agentreview.policies.compare import FileResult
from agentreview.policies.nearby import Nearby
from agentreview.syntax.imports import Paths
from agentreview.worker import Reviewers
from engine import IMPORTS, UNAUDITED, change, engine, review_in_workers, verdict
from syntax_helpers import RUNS_AWAY
from waiting import ended, eventually

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to kill without fork")
QUICK = "limits.file_seconds = 1\n"  # twenty times what any file here takes that does not run away
REAL = worker.review_file


def act(path_to_action, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the reading of some files misbehave; the others are read as always."""

    def review(one: FileChange, engine_) -> FileResult:
        action = path_to_action.get(one.path)
        if action is not None:
            action()
        return REAL(one, engine_)

    monkeypatch.setattr(worker, "review_file", review)


def spin() -> None:
    while True:
        pass


def many(count: int, *, big: bool = False) -> list[FileChange]:
    """Small files, or files that are together just above what makes a second process worth it."""
    rows = pool.PARALLEL_BYTES // count // len("filler = 1\n") + 1 if big else 0
    body = IMPORTS + UNAUDITED + "filler = 1\n" * rows
    return [change(f"app/v{n}.py", None, body.replace("detail", f"detail{n}")) for n in range(count)]


def processor_time() -> float:
    """Of this process and of its children that have ended: other than the clock on the wall, a busy machine leaves it."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


def children() -> set[str]:
    """The processes that this one started and that are there, also as zombies; other tests may have left some waiting."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    ).stdout
    return {line.split()[0] for line in listed.splitlines() if line.split()[1] != "ps"}


@pytest.mark.parametrize("big", [False, True], ids=["one process", "several"])
def test_results_come_in_the_order_of_the_changes(big):
    changes = many(9, big=big)
    results = review_in_workers(changes, engine())
    assert [r.path for r in results] == [c.path for c in changes]
    assert all(r.claims and r.reviewed and not r.failed for r in results)


def test_nothing_to_read_starts_nothing():
    assert review_in_workers([], engine()) == []


def test_a_file_that_runs_away_is_killed_and_fails_alone(monkeypatch):
    act({"app/v1.py": spin}, monkeypatch)
    before = processor_time()
    results = review_in_workers(many(3), engine(QUICK))
    assert processor_time() - before < 10
    assert [bool(r.failed) for r in results] == [False, True, False]
    assert "within 1 s of processor time" in results[1].failed
    assert "file_seconds" in results[1].failed


def test_a_program_on_which_the_parser_never_ends_fails_alone():
    files = [*many(1), change("web/page.tsx", None, RUNS_AWAY)]
    results = review_in_workers(files, engine(QUICK))
    assert [bool(r.failed) for r in results] == [False, True]
    assert "within 1 s of processor time" in results[1].failed


def test_a_file_that_runs_away_makes_the_answer_incomplete(monkeypatch):
    act({"app/clean.py": spin}, monkeypatch)
    answer = verdict(change("app/clean.py", None, "x = 1\n"), facts=QUICK)
    assert answer.decision is Decision.INCOMPLETE
    assert all(r.outcome is Outcome.FAILED and "app/clean.py" in r.reason for r in answer.runs)


@pytest.mark.parametrize(
    "crash",
    [
        lambda: os._exit(3),
        lambda: (faulthandler.disable(), os.kill(os.getpid(), signal.SIGSEGV)),
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        lambda: (_ for _ in ()).throw(RecursionError),
        lambda: (_ for _ in ()).throw(MemoryError),
        lambda: (_ for _ in ()).throw(KeyError("a bug")),
        lambda: (_ for _ in ()).throw(SystemExit(0)),
    ],
    ids=["exit", "segfault", "killed", "recursion", "memory", "bug", "system-exit"],
)
def test_a_crash_fails_only_the_file_it_was_reading(crash, monkeypatch, capfd):
    act({"app/v1.py": crash}, monkeypatch)
    results = review_in_workers(many(4), engine())
    assert [bool(r.failed) for r in results] == [False, True, False, False]
    assert [r.path for r in results] == [f"app/v{n}.py" for n in range(4)]
    assert "Traceback" not in capfd.readouterr().err


def test_every_file_may_crash(monkeypatch):
    changes = many(5)
    act({c.path: lambda: os._exit(1) for c in changes}, monkeypatch)
    assert all(r.failed for r in review_in_workers(changes, engine()))


def test_a_sleeping_file_is_ended_by_the_clock(monkeypatch):
    monkeypatch.setattr(pool, "WALL_FACTOR", 1.0)
    act({"app/v0.py": lambda: time.sleep(600)}, monkeypatch)
    started = time.monotonic()
    results = review_in_workers(many(2), engine("limits.file_seconds = 3\n"))
    assert time.monotonic() - started < 120
    assert [bool(r.failed) for r in results] == [True, False]


def test_the_time_in_which_everything_stood_still_is_not_counted(monkeypatch):
    """A commit that is stopped with Ctrl-Z, or a machine that is: the workers had no time either."""
    real, skipped = pool.select.select, []

    def stopped(pipes: list[int], *rest: Any) -> object:
        if rest[-1] and not skipped:  # while it waits
            skipped.append(True)
            clock = time.monotonic
            monkeypatch.setattr(pool.time, "monotonic", lambda: clock() + 3600)
            return [], [], []
        return real(pipes, *rest)

    monkeypatch.setattr(pool.select, "select", stopped)
    act({"app/v0.py": lambda: time.sleep(0.5)}, monkeypatch)
    assert not any(r.failed for r in review_in_workers(many(2), engine()))
    assert skipped


def test_nothing_is_left_behind(monkeypatch):
    act({"app/v1.py": lambda: os._exit(1), "app/v2.py": spin}, monkeypatch)
    review_in_workers(many(2), engine())
    before = (open_files(), children())
    review_in_workers(many(4, big=True), engine(QUICK))
    assert open_files() <= before[0]
    assert children() <= before[1]


def test_an_interrupt_ends_the_workers_and_passes_on(monkeypatch):
    act({"app/v0.py": spin}, monkeypatch)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = (open_files(), children())
    with pytest.raises(KeyboardInterrupt):
        review_in_workers(many(2), engine("limits.file_seconds = 30\n"), interrupt)
    assert open_files() <= before[0]
    assert children() <= before[1]


def test_progress_counts_up_to_all(monkeypatch):
    seen: list[tuple[int, int]] = []
    review_in_workers(many(6), engine(), lambda done, total: seen.append((done, total)))
    assert seen[-1] == (6, 6)
    assert seen == sorted(seen)


def test_a_claim_larger_than_a_pipe_comes_through(monkeypatch):
    big = "x" * 3_000_000
    monkeypatch.setattr(worker, "review_file", lambda one, _: FileResult(one.path, failed=big))
    results = review_in_workers(many(3), engine())
    assert [len(r.failed) for r in results] == [3_000_000] * 3


def test_the_number_of_workers_does_not_change_the_verdict(monkeypatch):
    changes = many(8, big=True)
    answers = []
    for cores in (1, 2, 7):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        answers.append(replace(verdict(*changes), seconds=0))
    assert answers[0] == answers[1] == answers[2]


def test_a_chain_of_thousands_of_calls_is_answered_or_said_not_to_be():
    """Quadratic matching on a hostile chain ends at the limit, as not checked, never as clean and never much later."""
    before = processor_time()
    answer = verdict(
        change("app/a.py", None, "x = a" + ".filter(org=1)" * 4_000 + "\n"), facts="limits.file_seconds = 0.3\n"
    )
    assert processor_time() - before < 15
    assert answer.decision is Decision.INCOMPLETE


def test_the_workers_do_not_write_to_the_streams_of_the_parent():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from engine import change, engine, review_in_workers\n"
        "from agentreview import worker\n"
        "def boom(*_): raise RuntimeError('a bug')\n"
        "worker.review_file = boom\n"
        "print('once', end='')\n"
        "assert review_in_workers([change('a.py', None, 'x = 1')], engine())[0].failed\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "once"
    assert done.stderr == ""


# ---- a file that is reviewed again


def log_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Note which process reads which version of which file."""
    log = folder / "read.txt"
    real = compare.analyse

    def noted(module, path, *rest):
        with log.open("a") as file:
            file.write(f"{os.getpid()} {path}\n")
        return real(module, path, *rest)

    monkeypatch.setattr(compare, "analyse", noted)
    return log


def asking(monkeypatch: pytest.MonkeyPatch, *paths: str) -> None:
    """Let these files ask for another file, every time."""

    def review(one: FileChange, engine_) -> FileResult:
        result = REAL(one, engine_)
        if one.path in paths:
            result.after.paths.add("elsewhere.py")
        return result

    monkeypatch.setattr(worker, "review_file", review)


@pytest.mark.parametrize("big", [False, True], ids=["one process", "several"])
def test_a_file_that_is_reviewed_again_is_not_read_again(big, tmp_path, monkeypatch):
    changes = many(6, big=big)
    again = [changes[4], changes[1]]
    asking(monkeypatch, *(c.path for c in again))
    log = log_of(tmp_path, monkeypatch)
    with Reviewers() as reviewers:
        first = reviewers(changes, engine())
        second = reviewers(again, engine())
        third = reviewers(again, engine())
    assert len(log.read_text().splitlines()) == len(changes)
    assert [r.path for r in second] == [c.path for c in again]
    by_path = {r.path: r for r in first}
    for result in (*second, *third):
        assert [c.claim for c in result.claims] == [c.claim for c in by_path[result.path].claims]


def test_what_other_files_say_reaches_the_worker_that_has_the_file(monkeypatch):
    """The paths of the trees and the summaries, also those that come later."""
    seen: list[str] = []
    real = REAL

    def review(one: FileChange, engine_) -> FileResult:
        result = real(one, engine_)
        before, after = engine_.nearby
        result.failed = f"{sorted(after.paths.all) if after.paths else None} {sorted(after.summaries)} {before.paths is after.paths}"
        result.after.paths.add("elsewhere.py")
        return result

    monkeypatch.setattr(worker, "review_file", review)
    one = replace_engine()
    paths = Paths(["a.py", "b.py"])
    with Reviewers() as reviewers:
        for nearby in (Nearby(None, {}), Nearby(paths, {}), Nearby(paths, {"b.py": None})):
            one.nearby = (Nearby(None, {}), nearby)
            seen += [r.failed for r in reviewers(CHANGES, one)]
    assert seen == ["None [] True", "['a.py', 'b.py'] [] False", "['a.py', 'b.py'] ['b.py'] False"]


CHANGES = many(1)


def replace_engine() -> compare.Engine:
    return compare.Engine(engine().catalogue, engine().config)


def test_a_worker_that_died_in_between_is_said_and_the_others_are_reviewed_again(monkeypatch):
    changes = many(4, big=True)
    asking(monkeypatch, *(c.path for c in changes))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with Reviewers() as reviewers:
        reviewers(changes, engine())
        victim = reviewers.pool.workers[0]
        os.kill(victim.pid, signal.SIGKILL)
        results = reviewers(changes, engine())
    failed = [r.path for r in results if r.failed]
    assert len(failed) == 1
    assert [r.path for r in results] == [c.path for c in changes]


def test_a_file_that_runs_away_the_second_time_fails_alone(monkeypatch):
    changes = many(3)
    times: dict[str, int] = {}

    def review(one: FileChange, engine_) -> FileResult:
        times[one.path] = times.get(one.path, 0) + 1
        if one.path == "app/v1.py" and times[one.path] == 2:
            spin()
        result = REAL(one, engine_)
        result.after.paths.add("elsewhere.py")
        return result

    monkeypatch.setattr(worker, "review_file", review)
    with Reviewers() as reviewers:
        assert not any(r.failed for r in reviewers(changes, engine(QUICK)))
        assert [bool(r.failed) for r in reviewers(changes, engine(QUICK))] == [False, True, False]


def test_nothing_is_left_behind_by_workers_that_wait(monkeypatch):
    before = (open_files(), children())
    with Reviewers() as reviewers:
        reviewers(many(4, big=True), engine())
    assert open_files() <= before[0]
    assert children() <= before[1]


def test_workers_that_wait_end_with_their_parent():
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from engine import engine\n"
        "from test_worker import many\n"
        "from agentreview.worker import Reviewers\n"
        "os.cpu_count = lambda: 3\n"
        "reviewers = Reviewers().__enter__()\n"
        "reviewers(many(6, big=True), engine())\n"
        "print(*(w.pid for w in reviewers.pool.workers), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)], capture_output=True, text=True, check=False
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 3
    eventually(lambda: all(map(ended, pids)))
