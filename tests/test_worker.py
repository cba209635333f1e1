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

import pytest

from agentreview import worker
from agentreview.model import Decision, FileChange, Outcome
from agentreview.policies.compare import FileResult
from agentreview.worker import review_in_workers
from engine import IMPORTS, UNAUDITED, change, engine, verdict

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to kill without fork")
QUICK = "limits.file_seconds = 0.3\n"
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


def many(count: int, size: int = 0) -> list[FileChange]:
    body = IMPORTS + UNAUDITED + "filler = 1\n" * size
    return [change(f"app/v{n}.py", None, body.replace("detail", f"detail{n}")) for n in range(count)]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


def children() -> str:
    return subprocess.run(
        ["ps", "-o", "pid=,stat=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    ).stdout


@pytest.mark.parametrize("size", [0, 8_000])
def test_results_come_in_the_order_of_the_changes(size):
    """With one process and with several: the second size is above what makes more than one worth it."""
    changes = many(9, size)
    results = review_in_workers(changes, engine())
    assert [r.path for r in results] == [c.path for c in changes]
    assert all(r.claims and r.reviewed and not r.failed for r in results)


def test_nothing_to_read_starts_nothing():
    assert review_in_workers([], engine()) == []


def test_a_file_that_runs_away_is_killed_and_fails_alone(monkeypatch):
    act({"app/v1.py": spin}, monkeypatch)
    started = time.monotonic()
    results = review_in_workers(many(3), engine(QUICK))
    assert time.monotonic() - started < 10
    assert [bool(r.failed) for r in results] == [False, True, False]
    assert "0.3 s of processor time" in results[1].failed
    assert "file_seconds" in results[1].failed


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
    monkeypatch.setattr(worker, "WALL_FACTOR", 1.0)
    act({"app/v0.py": lambda: time.sleep(60)}, monkeypatch)
    started = time.monotonic()
    results = review_in_workers(many(2), engine("limits.file_seconds = 0.5\n"))
    assert time.monotonic() - started < 20
    assert [bool(r.failed) for r in results] == [True, False]


def test_nothing_is_left_behind(monkeypatch):
    act({"app/v1.py": lambda: os._exit(1), "app/v2.py": spin}, monkeypatch)
    review_in_workers(many(2), engine())
    before = open_files()
    review_in_workers(many(4, 6_000), engine(QUICK))
    assert open_files() == before
    assert "Z" not in children()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_an_interrupt_ends_the_workers_and_passes_on(monkeypatch):
    act({"app/v0.py": spin}, monkeypatch)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = open_files()
    with pytest.raises(KeyboardInterrupt):
        review_in_workers(many(2), engine("limits.file_seconds = 30\n"), interrupt)
    assert open_files() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


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
    changes = many(8, 6_000)
    answers = []
    for cores in (1, 2, 7):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        answers.append(replace(verdict(*changes), seconds=0))
    assert answers[0] == answers[1] == answers[2]


def test_a_chain_of_thousands_of_calls_is_answered_or_said_not_to_be():
    """Quadratic matching on a hostile chain ends at the limit, as not checked, never as clean and never much later."""
    started = time.monotonic()
    answer = verdict(change("app/a.py", None, "x = a" + ".filter(org=1)" * 4_000 + "\n"), facts=QUICK)
    assert time.monotonic() - started < 15
    assert answer.decision is Decision.INCOMPLETE


def test_the_workers_do_not_write_to_the_streams_of_the_parent():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from engine import change, engine\n"
        "from agentreview import worker\n"
        "def boom(*_): raise RuntimeError('a bug')\n"
        "worker.review_file = boom\n"
        "print('once', end='')\n"
        "assert worker.review_in_workers([change('a.py', None, 'x = 1')], engine())[0].failed\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "once"
    assert done.stderr == ""
