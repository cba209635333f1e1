"""Edge: the commits reviewed in a pool of processes, each of which takes one commit at a time.

A process is forked with the engine loaded, so a commit costs no start. It reads the two trees from git and computes the
verdict as ``agentreview --commit`` does, with the files in killable workers of its own. When a process dies, the commit
it had is recorded as not reviewed, and another process takes its place. Each has a process group of its own: an
interrupt reaches only the parent, which then ends the whole group, git and workers included.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from agentreview.changes import SIZE_LIMIT, changes
from agentreview.compute import review_snapshot, warm
from agentreview.config import Config
from agentreview.errors import AgentReviewError
from agentreview.git import Repository
from agentreview.learn.history import Commit
from agentreview.learn.record import Record, record_of
from agentreview.model import Snapshot
from agentreview.policies.load import Catalogue
from agentreview.policies.project import Loaded
from agentreview.records import dataclass
from agentreview.surroundings import GitTrees

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

Done = Callable[[Commit, Record], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What every commit is judged by: the repository, the configuration, the version that summaries are kept under, and
    the policies (None: the built-in ones).
    """

    repo: Repository
    config: Config
    version: str
    catalogue: Catalogue | None = None


def judge(gate: Gate, commit: Commit) -> Record:
    """Review one commit in this process. Whatever goes wrong is in the record.

    Waivers in comments count, they are in the tree; those of the waivers file do not: what a person has accepted since
    says nothing about how often a policy finds something.
    """
    if commit.why_not:
        return Record(failed=commit.why_not)
    started = _processor_time()
    try:
        limit = max(gate.config.limits.max_file_bytes, SIZE_LIMIT)
        snapshot = Snapshot(
            base=commit.base, tree=commit.tree, commit=commit.sha, source=f"commit {commit.sha[:12]}",
            changes=changes(gate.repo, commit.base, commit.tree, limit=limit),
        )  # fmt: skip
        loaded = Loaded(gate.catalogue) if gate.catalogue is not None else None
        verdict = review_snapshot(snapshot, gate.config, trees=GitTrees(gate.repo, gate.version), loaded=loaded)
        return record_of(verdict, gate.config, seconds=_processor_time() - started)
    except AgentReviewError as error:
        return Record(failed=str(error))
    except Exception as error:  # noqa: BLE001 - a bug in the review of one commit must not cost the others
        what = type(error).__name__
        return Record(failed=f"a bug in agentreview ({what}): agentreview --commit {commit.sha[:12]} shows it")


def _processor_time() -> float:
    """Seconds of processor time so far, of this process and of those it has waited for: git, and what reads files."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def replay(gate: Gate, commits: Iterable[Commit], jobs: int, done: Done) -> None:
    """Review the commits, ``jobs`` at a time, and call ``done`` with each as it is finished, in any order.

    Leaves no process behind, whatever is raised by ``done`` or by an interrupt.
    """
    from multiprocessing.connection import wait

    todo = deque(commits)
    workers: dict[Connection, _Worker] = {}
    if todo:
        warm()
    try:
        for _ in range(min(jobs, len(todo))):
            _start(gate, todo.popleft(), workers)
        while workers:
            for pipe in wait(list(workers)):
                worker = workers[pipe]  # type: ignore[index]  # only pipes were given
                record = worker.answer()
                commit = worker.commit
                if record is None:
                    del workers[worker.pipe]
                    record = Record(failed=worker.end())
                    if todo:
                        _start(gate, todo.popleft(), workers)
                elif todo:
                    worker.take(todo.popleft())
                else:
                    del workers[worker.pipe]
                    worker.end()
                done(commit, record)
    finally:
        for worker in workers.values():
            worker.end()


def _start(gate: Gate, commit: Commit, workers: dict[Connection, _Worker]) -> None:
    worker = _Worker(gate, commit, tuple(workers))
    workers[worker.pipe] = worker


class _Worker:
    """One process, the commit it has, and the pipe between."""

    def __init__(self, gate: Gate, commit: Commit, others: tuple[Connection, ...]) -> None:
        import multiprocessing

        context = multiprocessing.get_context("fork")
        self.pipe, child = context.Pipe()
        # A copy of the parent's end would keep a process waiting for a parent that is gone.
        self.process: ForkProcess = context.Process(target=_serve, args=(gate, child, (self.pipe, *others)))
        self.process.start()
        child.close()
        self.take(commit)

    def take(self, commit: Commit) -> None:
        """Hand over the next commit. That the process is gone shows when the answer is read."""
        self.commit = commit
        with suppress(OSError):
            self.pipe.send(commit)

    def answer(self) -> Record | None:
        """Return the record, or None when the process died."""
        try:
            record: Record = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return record

    def end(self) -> str:
        """End the process and all that it started; say how it had ended."""
        if self.process.pid:  # 0 would be our own group
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()  # should it have no group yet
        self.process.join()
        self.pipe.close()
        return f"the process that reviewed it ended unexpectedly (status {self.process.exitcode})"


def _serve(gate: Gate, pipe: Connection, inherited: tuple[Connection, ...]) -> None:
    with suppress(OSError):
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for other in inherited:
        other.close()
    while True:
        try:
            commit: Commit = pipe.recv()
            pipe.send(judge(gate, commit))
        except (EOFError, OSError):  # nobody asks any more
            return
