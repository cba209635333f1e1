"""Backends around another one: a log of what was sent, answers that are kept, and kept answers instead of a network."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agentreview.canonical import canonical_json

from .values import REASONS, Answer, Backend, Failure, Request, Usage, failed, request_digest


class Logged:
    """Writes every request and its outcome to a file that only its owner can read, one JSON line each.

    What it writes is what was sent: masked, and without keys, which are in no request. Raises OSError at once when the
    file cannot be written, because somebody asked for it.
    """

    def __init__(self, inner: Backend, path: Path) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        self._file = os.fdopen(os.open(path, flags, 0o600), "ab")
        os.fchmod(self._file.fileno(), 0o600)  # it may have been there, for everybody to read

    def warm(self) -> None:
        """Get ready to send."""
        _told(self._inner, "warm")

    def stop(self) -> None:
        """Send nothing more."""
        _told(self._inner, "stop")

    def ask(self, request: Request, deadline: float | None) -> Answer | Failure:
        """Ask, and write down both sides."""
        begun = time.monotonic()
        outcome = self._inner.ask(request, deadline)
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": round(time.monotonic() - begun, 3),
            "request": asdict(request),
            "outcome": _encoded(outcome),
        }
        with self._lock:
            self._file.write(canonical_json(line) + b"\n")
            self._file.flush()
        return outcome

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Recorder:
    """Keeps every answer in a directory, so that a :class:`Replayer` can give it again. Failures are not kept.

    The same request asked again is kept again: that is how often an answer changes.
    """

    def __init__(self, inner: Backend, folder: Path) -> None:
        self._inner = inner
        self._folder = folder
        self._lock = threading.Lock()
        self._times: Counter[str] = Counter()
        folder.mkdir(parents=True, exist_ok=True)

    def warm(self) -> None:
        """Get ready to send."""
        _told(self._inner, "warm")

    def stop(self) -> None:
        """Send nothing more."""
        _told(self._inner, "stop")

    def ask(self, request: Request, deadline: float | None) -> Answer | Failure:
        """Ask, and keep the answer."""
        outcome = self._inner.ask(request, deadline)
        if isinstance(outcome, Answer):
            name = request_digest(request)
            with self._lock:
                self._times[name] += 1
                number = self._times[name]
            value = {"request": name, "agent": request.id.partition("#")[0], "outcome": _encoded(outcome)}
            path = _path(self._folder, name, number)
            temporary = path.with_name(f".{path.name}-{os.getpid()}")
            temporary.write_bytes(canonical_json(value) + b"\n")
            temporary.replace(path)
        return outcome


class Replayer:
    """Gives kept answers, each request's in the order in which they were kept, and over again. Sends nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._times: Counter[str] = Counter()

    def ask(self, request: Request, deadline: float | None) -> Answer | Failure:  # noqa: ARG002 - nothing to wait for
        """Look the answer up."""
        name = request_digest(request)
        with self._lock:
            self._times[name] += 1
            number = self._times[name]
        kept = 1
        while kept < number and _path(self._folder, name, kept + 1).exists():
            kept += 1
        path = _path(self._folder, name, (number - 1) % kept + 1)
        try:
            value = json.loads(path.read_bytes())
            return _decoded(value["outcome"])
        except FileNotFoundError:
            agent = request.id.partition("#")[0]
            return Failure("offline", f"no answer to this request of {agent} was recorded. Record it with --record")
        except (OSError, ValueError, KeyError, TypeError):
            return failed("unparsable", f"the recorded answer {path.name} cannot be read")


def _path(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name.removeprefix('b2:')}.{number}.json"


def _told(inner: Backend, what: str) -> None:
    """Pass on what only some backends have a use for."""
    heard = getattr(inner, what, None)
    if heard is not None:
        heard()


def _encoded(outcome: Answer | Failure) -> dict[str, Any]:
    return {"kind": "answer" if isinstance(outcome, Answer) else "failure", **asdict(outcome)}


def _decoded(value: dict[str, Any]) -> Answer | Failure:
    usage = Usage(**value["usage"]) if value["usage"] is not None else None
    if value["kind"] == "answer" and usage is not None:
        return Answer(
            str(value["text"]), str(value["stop_reason"]), usage, float(value["seconds"]), str(value["model"])
        )
    if value["reason"] not in REASONS:
        raise ValueError("an unknown reason")
    return Failure(str(value["reason"]), str(value["detail"]), usage)
