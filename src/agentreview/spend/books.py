"""What was spent, and what is reserved: files that parallel worktrees share, read and written under one lock."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentreview.llm import Usage
from agentreview.records import dataclass, replace

LONGEST = 3600.0  # seconds after which a reservation is given up


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that was paid for. ``assumed``: nobody said what it cost, so it is the most that it can have."""

    day: str
    agent: str
    worktree: str
    model: str
    usage: Usage
    dollars: float
    reason: str = ""  # of the failure, "" for an answer
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room below the caps for one request that is under way."""

    name: str
    entry: Entry


class Ledger:
    """The files above. ``clock`` is seconds since 1970; tests set it. Methods raise OSError where a disk refuses."""

    def __init__(self, store_dir: str | Path, state_dir: str | Path, *, clock: Callable[[], float] = time.time) -> None:
        self._root = Path(store_dir, "spend")
        self._spent = Path(state_dir, "spent")
        self._clock = clock

    def today(self) -> str:
        """The day in UTC, as ``2026-11-25``: a cap per day must not depend on whose clock zone counts."""
        return time.strftime("%Y-%m-%d", time.gmtime(self._clock()))

    def reserve(self, entry: Entry, caps: Mapping[str, float]) -> Reservation | str:
        """Reserve ``entry.dollars``, or name the cap that forbids it: ``worktree`` or ``day``.

        A cap that only forbids it as long as others are under way is named with a ``*``: ask again.
        """
        with self._locked():
            reserved = self._open()
            under_way = sum(dollars for _, dollars in reserved)
            mine = sum(dollars for worktree, dollars in reserved if worktree == entry.worktree)
            today = sum(e.dollars for e in self.entries(self.today()))
            spent = {"worktree": self.spent_here(), "day": today}
            waiting = {"worktree": mine, "day": under_way}
            for name, cap in caps.items():
                if spent[name] + entry.dollars > cap:
                    return name
                if spent[name] + waiting[name] + entry.dollars > cap:
                    return f"{name}*"
            name = f"{os.getpid()}-{threading.get_ident()}-{time.monotonic_ns()}"
            folder = self._root / "open"
            folder.mkdir(parents=True, exist_ok=True)
            until = self._clock() + LONGEST
            _write(folder / name, _line(entry) | {"pid": os.getpid(), "until": until, "spent": str(self._spent)})
            return Reservation(name, entry)

    def settle(self, reservation: Reservation, entry: Entry | None) -> None:
        """Put what a request did cost in the place of its reservation; ``None`` for nothing."""
        with self._locked():
            if entry is not None:
                self._book(entry, self._spent)
            (self._root / "open" / reservation.name).unlink(missing_ok=True)

    def entries(self, day: str) -> list[Entry]:
        """Everything of one day. A line that is not one counts as nothing; :meth:`read` counts those."""
        return self.read(day)[0]

    def read(self, day: str) -> tuple[list[Entry], int]:
        """Everything of one day, and how many lines cannot be read; a file that cannot be is one."""
        try:
            lines = (self._root / day).read_bytes().splitlines()
        except FileNotFoundError:
            return [], 0
        except OSError:
            return [], 1
        found = [_entry(line) for line in lines if line]
        good = [entry for entry in found if entry is not None]
        return good, len(found) - len(good)

    def days(self) -> list[str]:
        """The days on which something was spent, in order."""
        try:
            names = os.listdir(self._root)  # noqa: PTH208
        except FileNotFoundError:
            return []
        return sorted(name for name in names if len(name) == 10 and name[4] == name[7] == "-")

    def spent_here(self) -> float:
        """Dollars of this worktree so far."""
        return _dollars(self._spent)

    def _book(self, entry: Entry, spent: Path) -> None:
        data = json.dumps(_line(entry), sort_keys=True, separators=(",", ":")) + "\n"
        handle = os.open(self._root / entry.day, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        with os.fdopen(handle, "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            if end and file.seek(end - 1) >= 0 and file.read(1) != b"\n":  # somebody was killed while writing
                data = "\n" + data
            file.write(data.encode("ascii"))
        if entry.dollars and spent.parent.parent.is_dir():  # the worktree may be gone by now
            spent.parent.mkdir(exist_ok=True)
            temporary = spent.with_name(f".spent-{os.getpid()}")
            temporary.write_text(repr(_dollars(spent) + entry.dollars), encoding="ascii")
            temporary.replace(spent)

    def _note(self, path: Path) -> None:
        """Leave a line that cannot be read in the books of today for a reservation that cannot be: it is counted there."""
        handle = os.open(self._root / self.today(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(f"\nreservation {path.name} cannot be read\n".encode())

    def _open(self) -> list[tuple[str, float]]:
        """Worktree and dollars of the requests under way; what their process left behind is booked."""
        out = []
        for path in sorted((self._root / "open").glob("[0-9]*")):
            try:
                kept = json.loads(path.read_bytes())
                entry = _entry(path.read_bytes())
                alive = kept["until"] > self._clock() and _alive(kept["pid"])
            except (OSError, ValueError, KeyError, TypeError):
                entry, alive = None, False
                self._note(path)
            if entry is not None and alive:
                out.append((entry.worktree, entry.dollars))
                continue
            if entry is not None:
                self._book(
                    replace(entry, reason="interrupted", assumed=True), Path(str(kept.get("spent") or os.devnull))
                )
            path.unlink(missing_ok=True)
        return out

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl

        self._root.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _dollars(file: Path) -> float:
    """Read what one worktree has spent. OSError where that cannot be known: as 0 it would lift the cap."""
    try:
        return max(0.0, float(file.read_text(encoding="ascii")))
    except FileNotFoundError:
        return 0.0
    except ValueError as error:
        raise OSError(errno.EINVAL, f"{file} is no number: delete it", str(file)) from error


def _line(entry: Entry) -> dict[str, Any]:
    return {
        "day": entry.day,
        "agent": entry.agent,
        "worktree": entry.worktree,
        "model": entry.model,
        "tokens": [
            entry.usage.input_tokens,
            entry.usage.output_tokens,
            entry.usage.cache_read,
            entry.usage.cache_write,
        ],
        "dollars": entry.dollars,
        "reason": entry.reason,
        "assumed": entry.assumed,
    }


def _entry(line: bytes) -> Entry | None:
    try:
        value = json.loads(line)
        tokens = [int(count) for count in value["tokens"]]
        words = [str(value[name]) for name in ("day", "agent", "worktree", "model")]
        dollars = float(value["dollars"])
        day, agent, worktree, model = words
        reason, assumed = str(value["reason"]), bool(value["assumed"])
        entry = Entry(day, agent, worktree, model, Usage(*tokens), dollars, reason, assumed)
    except (ValueError, KeyError, TypeError):
        return None
    return entry if dollars >= 0 and dollars != float("inf") else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's
        return True
    return True


def _write(path: Path, value: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(value), encoding="ascii")
    temporary.replace(path)
