"""Edge: jobs done in child processes that can be killed. Knows nothing of what the jobs are.

A grammar or a matcher may run away on a hostile file, and the parser never gives the interpreter back while it runs:
no thread and no signal handler could stop it. So jobs are done in forked workers, each under a timer of the kernel
(``ITIMER_PROF`` with its default action, which ends the process), and a job whose worker died has *failed*, with the
reason. The limit counts processor time, so a busy machine does not change a verdict; a much longer wall clock limit
stops a worker that sleeps.

A worker whose jobs may come again stays, and gets them again: what it has kept of them need not be made twice.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from agentreview.records import dataclass

WALL_FACTOR = 12.0
STEP = 0.5  # seconds to wait for a word of the workers
PARALLEL_BYTES = 150_000  # below this a second process costs more than it brings
_HEADER = struct.Struct(">iI")  # job number (-1 - n: about to start n), length of the pickle


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
    told: Callable[[Any], None] | None = None  # takes in what a worker is told before it does a job again


def run(work: Work, progress: Callable[[int, int], None] | None = None) -> list[Any]:
    """Do every job once; results in order."""
    pool = Pool(work)
    try:
        return pool.run(range(len(work.sizes)), progress)
    finally:
        pool.close()


class Pool:
    """The workers of one piece of work, and which of them has which job."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.workers: list[Worker] = []

    def run(
        self,
        jobs: Sequence[int],
        progress: Callable[[int, int], None] | None = None,
        news: Callable[[Worker], object] = lambda _: None,
        meanwhile: Callable[[], bool] = lambda: False,
    ) -> list[Any]:
        """Do the jobs; results in their order. One that was done before goes to the worker that did it, with ``news``.

        ``meanwhile`` does a step of something else while there is nothing to take from the workers; False when that is done.
        """
        if not jobs:
            return []
        if not hasattr(os, "fork"):
            return [self.work.do(n) for n in jobs]
        results: dict[int, Any] = {}
        busy = [worker for worker in self.workers if worker.again([n for n in jobs if n in worker.had], news)]
        self._start([n for n in jobs if not any(n in worker.todo for worker in busy)], busy)
        idle = False
        before = time.monotonic()
        while busy:
            ready, _, _ = select.select([w.pipe for w in busy], [], [], STEP if idle else 0)
            now = time.monotonic()
            passed, before = min(now - before, 2 * STEP), now  # longer: this process was stopped, and its workers too
            if not ready and not idle:
                idle = not meanwhile()
                continue
            for worker in list(busy):
                if worker.pipe in ready:
                    worker.read(results)
                if worker.ended or worker.overdue(passed):
                    busy.remove(worker)
                    self.workers.remove(worker)
                    left = worker.finish(results)
                    if left:
                        self._add(left, busy)
                elif not worker.todo:
                    busy.remove(worker)
            if progress is not None:
                progress(len(results), len(jobs))
        return [results[n] for n in jobs]

    def _start(self, jobs: Sequence[int], busy: list[Worker]) -> None:
        """Deal jobs that no worker has: big files first, in turn, so that the shares take about the same time."""
        if jobs:
            sizes = self.work.sizes
            ranked = sorted(jobs, key=lambda n: -sizes[n])
            many = sum(sizes[n] for n in jobs) > PARALLEL_BYTES
            count = min(max(1, os.cpu_count() or 1), 4, len(jobs)) if many else 1
            for n in range(count):
                self._add(ranked[n::count], busy)

    def _add(self, jobs: Sequence[int], busy: list[Worker]) -> None:
        worker = Worker(self.work, jobs)
        self.workers.append(worker)
        busy.append(worker)

    def close(self) -> None:
        """End every worker, whatever it is doing."""
        for worker in self.workers:
            worker.kill()
        self.workers = []


class Worker:
    """One child: the jobs it was given, the one it is doing, and the pipes: its results come, later jobs go."""

    def __init__(self, work: Work, todo: Sequence[int]) -> None:
        self.work = work
        self.todo = list(todo)
        self.had = frozenset(todo)
        self.knows: object = None  # what it was told: whoever tells it more keeps account here
        self.limit = work.seconds
        self.current = -1
        self.buffer = b""
        self.ended = False
        self.silent = 0.0
        self.pipe, child = os.pipe()
        orders, self.orders = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self.pipe)
                os.close(self.orders)
                _work(work, self.todo, child, orders)
                status = 0
            finally:
                os._exit(status)
        os.close(child)
        os.close(orders)

    def again(self, jobs: Sequence[int], news: Callable[[Worker], object]) -> bool:
        """Give it jobs that it had before; False when there are none. That it is gone shows when results are read."""
        if jobs:
            self.todo = list(jobs)
            self.silent = 0.0
            body = pickle.dumps((news(self), self.todo), protocol=pickle.HIGHEST_PROTOCOL)
            with suppress(BrokenPipeError):
                _write(self.orders, 0, body)
        return bool(jobs)

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
            self.silent = 0.0
            if number < 0:
                self.current = -1 - number
            else:
                results[number] = pickle.loads(body)  # noqa: S301 - our own child, through our own pipe
                self.todo.remove(number)
                self.current = -1

    def overdue(self, passed: float) -> bool:
        """Whether the child has said nothing for far longer than a job may take, now that ``passed`` seconds more have."""
        self.silent += passed
        return self.silent > self.limit * WALL_FACTOR

    def finish(self, results: dict[int, Any]) -> list[int]:
        """Reap the child; the job it died on has failed, with the reason. Returns the jobs that are left."""
        waited = not self.ended  # it said nothing for too long, and is ended here
        status = self.kill()
        if not self.todo:
            return []
        # A child that died before it announced a job would die again on the first one.
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
            os.close(self.orders)
            self.pid = 0
        return self.status


def _work(work: Work, todo: Sequence[int], pipe: int, orders: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    while True:
        for number in todo:
            _write(pipe, -1 - number, b"")
            signal.setitimer(signal.ITIMER_PROF, work.seconds)
            result = work.do(number)
            signal.setitimer(signal.ITIMER_PROF, 0)
            _write(pipe, number, pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL))
        if work.told is None:
            return
        header = _exactly(orders, _HEADER.size)
        if not header:  # nobody asks again
            return
        news, todo = pickle.loads(_exactly(orders, _HEADER.unpack(header)[1]))  # noqa: S301 - our own parent
        work.told(news)


def _exactly(pipe: int, size: int) -> bytes:
    """Read that many bytes; fewer only at the end of the pipe."""
    parts = []
    while size and (part := os.read(pipe, min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _write(pipe: int, number: int, body: bytes) -> None:
    data = _HEADER.pack(number, len(body)) + body
    while data:
        data = data[os.write(pipe, data) :]
