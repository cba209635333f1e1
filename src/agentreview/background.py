"""Edge: the review computed in a child process that starts before git is asked anything.

Loading the policies and the parser takes as long as reading the change out of git does, so on two cores they overlap:
the child is forked first, imports the engine, and waits on a pipe for the snapshot. It hands back the finished verdict
(or the expected error). Its own workers are the ones that read files (:mod:`agentreview.worker`).
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agentreview.errors import AgentReviewError, IncompleteError

if TYPE_CHECKING:
    from agentreview.model import Asked, Finding, Snapshot, Verdict
    from agentreview.policies.around import Trees

_SIZE = struct.Struct(">Q")
Files = Mapping[str, bytes]
Progress = Callable[[int, int], None]
Told = Callable[[str, str], None]


class Reviewer:
    """A child that computes one verdict. Use :meth:`verdict` once, or :meth:`cancel`."""

    def __init__(self) -> None:
        self.pid = 0
        if not hasattr(os, "fork"):
            return
        to_read, self.to_child = os.pipe()
        self.from_child, to_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self.to_child)
                os.close(self.from_child)
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                _serve(to_read, to_write)
                status = 0
            finally:
                os._exit(status)
        os.close(to_read)
        os.close(to_write)

    def __enter__(self) -> Reviewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def verdict(
        self, snapshot: Snapshot, files: Files, progress: Progress | None = None, trees: Trees | None = None, *,
        today: str, accepted: Mapping[str, str] | None = None, packs: Collection[str] | None = None,
        known: Callable[[], Sequence[Finding]] = tuple, asked: Asked | None = None, tell: Told | None = None,
        landed: bytes | None = None,
    ) -> Verdict:  # fmt: skip
        """Return the verdict of a snapshot under the configuration in ``files`` (path -> content).

        ``trees`` answers the child when it asks for other files of the reviewed trees; ``today``, ``accepted`` and
        ``landed`` are the terms of waivers; ``packs`` limits who is asked; ``known`` is asked at the end for findings that no policy
        makes; ``asked`` are the model reviewers, of whom ``tell`` hears.

        Raises what the review raises (ConfigError …), and IncompleteError when the child died.
        """
        if not self.pid:
            from agentreview.compute import compute

            return compute(
                snapshot, files, progress, trees, today=today, accepted=accepted, packs=packs, known=known, asked=asked, tell=tell,
                landed=landed,
            )  # fmt: skip
        try:
            terms = {"today": today, "accepted": accepted, "packs": packs, "asked": asked, "landed": landed}
            _send(self.to_child, (snapshot, dict(files), progress is not None, trees is not None, terms))
            while (message := _receive(self.from_child)) is not None:
                kind, value = message
                if kind == "verdict":
                    verdict: Verdict = value
                    return verdict
                if kind == "error":
                    raise value
                if kind == "ask":
                    name, arguments = value
                    _send(self.to_child, known() if name == "findings" else getattr(trees, name)(*arguments))
                    continue
                hears = tell if kind == "told" else progress
                if hears is not None:
                    hears(*value)
        except BrokenPipeError:
            pass
        finally:
            self.cancel()
        raise IncompleteError(
            "the review process ended without an answer",
            fix="Run `agentreview` again; `agentreview doctor` checks the installation",
        )

    def cancel(self) -> None:
        """End the child, whatever it is doing. Safe to call twice."""
        if not self.pid:
            return
        pid, self.pid = self.pid, 0
        os.close(self.to_child)
        os.close(self.from_child)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _serve(pipe: int, answer: int) -> None:
    failed: Exception | None = None
    try:
        from agentreview.compute import compute, warm

        warm()
    except Exception as error:  # noqa: BLE001 - told when somebody asks, like what fails in the review itself
        failed = _carried(error)
    message = _receive(pipe)
    if message is None:
        return
    snapshot, files, wants_progress, has_trees, terms = message
    report = (lambda done, total: _send(answer, ("progress", (done, total)))) if wants_progress else None
    if failed is None:
        try:
            parent = _Asking(pipe, answer)
            trees = parent if has_trees else None
            tell = lambda kind, text: _send(answer, ("told", (kind, text)))  # noqa: E731
            verdict = compute(snapshot, files, report, trees, known=parent.findings, tell=tell, **terms)
            _send(answer, ("verdict", verdict))
        except Exception as error:  # noqa: BLE001 - a bug must reach the parent, which reports it in one line
            failed = _carried(error)
    if failed is not None:
        _send(answer, ("error", failed))


class _Asking:
    """The child's side of :class:`agentreview.policies.around.Trees`: the parent has git, and answers."""

    def __init__(self, pipe: int, answer: int) -> None:
        self.pipe, self.answer = pipe, answer

    def _ask(self, name: str, *arguments: object) -> Any:
        _send(self.answer, ("ask", (name, arguments)))
        return _receive(self.pipe)

    def listing(self, tree: str) -> Mapping[str, str]:
        return self._ask("listing", tree) or {}

    def read(self, blobs: Sequence[str], limit: int) -> Mapping[str, bytes]:
        return self._ask("read", list(blobs), limit) or {}

    def findings(self) -> Sequence[Finding]:
        """Those that no policy makes."""
        return self._ask("findings") or ()

    def known(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return self._ask("known", list(keys)) or {}

    def keep(self, summaries: Mapping[str, bytes]) -> None:
        self._ask("keep", dict(summaries))


def _carried(error: Exception) -> Exception:
    """What crosses the pipe: expected errors whole, anything else as the text of its traceback."""
    if isinstance(error, AgentReviewError):
        return error
    import traceback

    return RuntimeError("".join(traceback.format_exception(error)))


def _send(pipe: int, value: object) -> None:
    body = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    data = memoryview(_SIZE.pack(len(body)) + body)
    while data:
        data = data[os.write(pipe, data[: 1 << 20]) :]


def _receive(pipe: int) -> Any:
    """Return the next message, or ``None`` at the end of the pipe."""
    header = _exactly(pipe, _SIZE.size)
    if header is None:
        return None
    body = _exactly(pipe, _SIZE.unpack(header)[0])
    return None if body is None else pickle.loads(body)  # noqa: S301 - between a process and its own fork


def _exactly(pipe: int, size: int) -> bytes | None:
    parts = []
    while size:
        part = os.read(pipe, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
