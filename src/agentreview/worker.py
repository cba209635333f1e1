"""Edge: review files in child processes that can be killed.

A grammar or a matcher may run away on a hostile file, and the parser never gives the interpreter back while it runs:
no thread and no signal handler could stop it. So files are read in forked workers, each under a timer of the kernel
(``ITIMER_PROF`` with its default action, which ends the process), and a file whose worker died is *not checked*, with
the reason. The limit counts processor time, so a busy machine does not change a verdict; a much longer wall clock
limit stops a worker that sleeps.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentreview.model import FileChange
from agentreview.policies.compare import Engine, FileResult, review_file

if TYPE_CHECKING:
    from agentreview.policies.compiling import Source
    from agentreview.policies.examples import Example
    from agentreview.policies.load import Catalogue
    from agentreview.policies.selftest import Examined, Outcome

WALL_FACTOR = 12.0
EXAMPLE_SECONDS = 5.0  # of processor time for one example, or for all of one project policy when it is loaded
_PARALLEL_BYTES = 150_000  # below this a second process costs more than it brings
_HEADER = struct.Struct(">iI")  # file number (-1 - n: about to start n), length of the pickle


def review_in_workers(
    changes: Sequence[FileChange], engine: Engine, progress: Callable[[int, int], None] | None = None
) -> list[FileResult]:
    """Review every file; results in the order of ``changes``. A worker's death fails only the file it was reading."""
    work = Work(
        sizes=[len(c.after or b"") + len(c.before or b"") for c in changes],
        do=lambda n: review_file(changes[n], engine),
        failed=lambda n, why: FileResult(changes[n].path, failed=why),
        seconds=engine.config.limits.file_seconds,
    )
    return _run(work, progress)


def summarise_in_workers(files: Sequence[tuple[str, bytes]], engine: Engine) -> list[dict[str, Any] | None]:
    """Summarise other files of the tree; one that its worker dies on lends nothing (and is not taken to be read)."""
    from agentreview.policies.around import summary

    work = Work(
        sizes=[len(content) for _, content in files],
        do=lambda n: summary(*files[n], engine),
        failed=lambda _n, _why: None,
        seconds=engine.config.limits.file_seconds,
    )
    return _run(work, None)


def examine_in_workers(sources: Sequence[Source], catalogue: Catalogue) -> list[Examined]:
    """Run the examples of project policies that were not seen before; one that runs away is unchecked."""
    from agentreview.policies.selftest import Examined, examine

    work = Work(
        sizes=[_PARALLEL_BYTES] * len(sources),
        do=lambda n: examine(sources[n], catalogue),
        failed=lambda _n, why: Examined(unchecked=f"its examples were {why}"),
        seconds=EXAMPLE_SECONDS,
        limit="for the examples of one policy",
    )
    return _run(work, None)


def run_examples(examples: Sequence[tuple[Example, Catalogue]]) -> list[Outcome]:
    """Run examples, each alone with its policy; one that runs away is unchecked."""
    from agentreview.policies.selftest import Outcome, Word, run_example

    work = Work(
        sizes=[_PARALLEL_BYTES] * len(examples),
        do=lambda n: run_example(*examples[n]),
        failed=lambda n, why: Outcome(examples[n][0], Word.UNCHECKED, reason=why),
        seconds=EXAMPLE_SECONDS,
        limit="for one example",
    )
    return _run(work, None)


@dataclass(frozen=True, slots=True)
class Work:
    """Numbered jobs of known size: what does one, what stands for one that was killed, the processor time it may take.

    ``limit`` says where that time is set.
    """

    sizes: Sequence[int]
    do: Callable[[int], Any]
    failed: Callable[[int, str], Any]
    seconds: float
    limit: str = "([limits] file_seconds)"


def _run(work: Work, progress: Callable[[int, int], None] | None) -> list[Any]:
    jobs = range(len(work.sizes))
    if not jobs:
        return []
    if not hasattr(os, "fork"):
        return [work.do(n) for n in jobs]
    results: dict[int, Any] = {}
    # Big files first, dealt in turn: the shares take about the same time.
    ranked = sorted(jobs, key=lambda n: -work.sizes[n])
    count = min(max(1, os.cpu_count() or 1), 4, len(jobs)) if sum(work.sizes) > _PARALLEL_BYTES else 1
    workers = [_Worker(work, ranked[n::count]) for n in range(count)]
    try:
        while workers:
            ready, _, _ = select.select([w.pipe for w in workers], [], [], 0.5)
            for worker in list(workers):
                if worker.pipe in ready:
                    worker.read(results)
                if worker.ended or worker.overdue():
                    workers.remove(worker)
                    left = worker.finish(results)
                    if left:
                        workers.append(_Worker(work, left))
            if progress is not None:
                progress(len(results), len(jobs))
    finally:
        for worker in workers:
            worker.kill()
    return [results[n] for n in jobs]


class _Worker:
    """One child: the files it was given, the one it is reading, the pipe its results come through."""

    def __init__(self, work: Work, todo: Sequence[int]) -> None:
        self.work = work
        self.todo = list(todo)
        self.limit = work.seconds
        self.current = -1
        self.buffer = b""
        self.ended = False
        self.since = time.monotonic()
        self.pipe, child = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self.pipe)
                _work(work, self.todo, child)
                status = 0
            finally:
                os._exit(status)
        os.close(child)

    def read(self, results: dict[int, Any]) -> None:
        """Take what the child has written."""
        data = os.read(self.pipe, 1 << 20)
        if not data:
            self.ended = True
        self.buffer += data
        while len(self.buffer) >= _HEADER.size:
            number, size = _HEADER.unpack_from(self.buffer)
            if len(self.buffer) < _HEADER.size + size:
                return
            body = self.buffer[_HEADER.size : _HEADER.size + size]
            self.buffer = self.buffer[_HEADER.size + size :]
            self.since = time.monotonic()
            if number < 0:
                self.current = -1 - number
            else:
                results[number] = pickle.loads(body)  # noqa: S301 - our own child, through our own pipe
                self.todo.remove(number)
                self.current = -1

    def overdue(self) -> bool:
        """Whether the child has said nothing for far longer than a file may take."""
        return time.monotonic() - self.since > self.limit * WALL_FACTOR

    def finish(self, results: dict[int, Any]) -> list[int]:
        """Reap the child; the file it died on is failed with the reason. Returns the files that are left."""
        waited = not self.ended  # it said nothing for too long, and is ended here
        status = self.kill()
        if not self.todo:
            return []
        # A child that died before it announced a file would die again on the first one.
        guilty = self.current if self.current in self.todo else self.todo[0]
        slow = waited or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF)
        reason = (
            f"not checked within {self.limit:g} s of processor time {self.work.limit}"
            if slow
            else f"the analyser stopped unexpectedly (status {status})"
        )
        results[guilty] = self.work.failed(guilty, reason)
        self.todo.remove(guilty)
        return self.todo

    def kill(self) -> int:
        """End the child and return its wait status."""
        if self.pid:
            if not self.ended:
                try:
                    os.kill(self.pid, signal.SIGKILL)
                except ProcessLookupError:
                    self.ended = True
            _, self.status = os.waitpid(self.pid, 0)
            os.close(self.pipe)
            self.pid = 0
        return self.status


def _work(work: Work, todo: Sequence[int], pipe: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for number in todo:
        _write(pipe, -1 - number, b"")
        signal.setitimer(signal.ITIMER_PROF, work.seconds)
        result = work.do(number)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(pipe, number, pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL))


def _write(pipe: int, number: int, body: bytes) -> None:
    data = _HEADER.pack(number, len(body)) + body
    while data:
        data = data[os.write(pipe, data) :]
