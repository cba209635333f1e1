"""Edge: the verdicts that are already known, on disk. Disposable: deleting all of it only costs time.

Shared by all worktrees, one immutable file per judged change::

    <git common dir>/agentreview/verdicts/<version>/<base tree>-<tree>
        pass | block          or, where a waiver begins or ends on a day: pass 20270222
        b2:<seal of the key, the decision and the report>
        <report JSON>

Files are written under a temporary name and renamed, so a reader sees a whole one or none. Whatever does not
hold its seal is a miss, never a verdict. Nothing in here is executed or unpickled. The native hooks read the
first two lines (``hooks/lookup.sh``).

Per worktree, ``<git dir>/agentreview/judged`` says what the commit in progress was judged on.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

from agentreview.records import dataclass

from .canonical import digest
from .model import Decision

KEEP = 2000  # verdict files; a report is a few kilobytes
STALE_SECONDS = 86_400.0  # temporary files of killed processes

_OID = re.compile(r"[0-9a-f]{40,64}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]*")
_JUDGED = re.compile(rb"([0-9a-f]{40,64})\n([0-9a-f]{40,64})\n(pass|block|incomplete)( amend)?\n([0-9]{1,18})\n")
_DAY = re.compile(r"[0-9]{8}")
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the pre-commit hook judged for the commit in progress. ``process`` is the git process that commits.

    ``amend``: ``base`` is what the replaced commit stood on, so the whole of the new one was judged.
    """

    base: str
    tree: str
    decision: str
    process: int
    amend: bool = False


@dataclass(frozen=True, slots=True)
class Store:
    """Verdicts by (base tree, tree, version) in ``store_dir``, and this worktree's record in ``state_dir``."""

    store_dir: str
    state_dir: str

    def load(self, base: str, tree: str, version: str, *, today: str = "") -> tuple[str, bytes] | None:
        """Return the decision (``pass`` or ``block``) and the report bytes, or None when there is any doubt.

        ``today`` is an ISO date, by default the clock's: a verdict is doubtful from the day it was kept ``until``.
        """
        path = self._path(base, tree, version)
        data = read(path) if path else None
        if data is None:
            return None
        word, _, rest = data.partition(b"\n")
        seal, _, body = rest.partition(b"\n")
        line = word.decode("ascii", "replace")
        decision, dated, until = line.partition(" ")
        if decision not in {Decision.PASS.value, Decision.BLOCK.value} or (dated and not _DAY.fullmatch(until)):
            return None
        if seal.decode("ascii", "replace") != _seal(base, tree, version, line, body):
            return None
        if until and (today or time.strftime("%Y-%m-%d", time.gmtime())).replace("-", "") >= until:
            return None
        return decision, body

    def kept_at(self, base: str, tree: str, version: str) -> float | None:
        """When a verdict was kept, in seconds since 1970; None when there is none."""
        path = self._path(base, tree, version)
        try:
            return None if path is None else path.stat().st_mtime
        except OSError:
            return None

    def any_of(self, base: str, version: str) -> bool:
        """Whether a verdict is kept of any change of this base tree."""
        names = (path.name for path in _entries(Path(self.store_dir, "verdicts", version)))
        return any(name.startswith(f"{base}-") for name in names)

    def save(self, base: str, tree: str, version: str, decision: str, body: bytes, *, until: str = "") -> str | None:
        """Keep a verdict; returns a one-line warning when that was not possible, None otherwise.

        INCOMPLETE is never kept: what could not be reviewed may be reviewable next time. ``until`` is the first day
        (ISO) on which the verdict may be another one.
        """
        word = Decision(decision).value
        path = self._path(base, tree, version)
        if word == Decision.INCOMPLETE.value or path is None:
            return None
        if until:
            word += f" {until.replace('-', '')}"
        head = f"{word}\n{_seal(base, tree, version, word, body)}\n".encode("ascii")
        try:
            write(path, head + body)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return f"the verdict could not be kept, so the next run reviews again: {reason} ({self.store_dir})"
        if tree.startswith("00"):  # one change in 256 pays for tidying up
            self.prune()
        return None

    def prune(self, keep: int = KEEP) -> int:
        """Remove all but the newest ``keep`` verdicts, and what killed processes left; returns how many files."""
        verdicts: list[tuple[float, Path]] = []
        doomed: list[Path] = []
        old = time.time() - STALE_SECONDS
        versions = _entries(Path(self.store_dir, "verdicts"))
        for version in versions:
            for path, seen in ((path, _modified(path)) for path in _entries(version)):
                if not path.name.startswith("."):
                    verdicts.append((seen, path))
                elif seen < old:
                    doomed.append(path)
        copies = (path for path in _entries(Path(self.state_dir)) if path.name.startswith("index."))
        doomed += [path for path in copies if _modified(path) < old]
        verdicts.sort(key=lambda item: item[0], reverse=True)
        doomed += [path for _, path in verdicts[keep:]]
        removed = sum(_removed(path.unlink) for path in doomed)
        for version in versions:
            _removed(version.rmdir)  # the empty ones go
        return removed

    def write_judged(self, base: str, tree: str, decision: str, process: int, *, amend: bool = False) -> str | None:
        """Record what was judged for the commit that ``process`` is making; returns a warning line or None."""
        word = Decision(decision).value + (" amend" if amend else "")
        data = f"{base}\n{tree}\n{word}\n{process}\n".encode("ascii")
        try:
            write(Path(self.state_dir, "judged"), data)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return f"the tree cannot be compared again before the commit: {reason} ({self.state_dir})"
        return None

    def read_judged(self) -> Judged | None:
        """Return the record, or None when there is none or it is not one."""
        record = _JUDGED.fullmatch(read(Path(self.state_dir, "judged")) or b"")
        if record is None:
            return None
        base, tree, decision, amend, process = ((field or b"").decode("ascii") for field in record.groups())
        return Judged(base=base, tree=tree, decision=decision, process=int(process), amend=bool(amend))

    def recordable(self) -> bool:
        """Whether :meth:`write_judged` can work at all here, by trying. Without a record nobody can tell what was judged."""
        probe = Path(self.state_dir, f".probe-{os.getpid()}")
        try:
            write(probe, b"x" * 200)  # as much as a record: a full disk may still make an empty file
            probe.unlink()
        except OSError:
            return False
        return True

    def clear_judged(self) -> None:
        """Forget the record; a record that cannot be removed is harmless, it is bound to its process."""
        _removed(Path(self.state_dir, "judged").unlink)

    def _path(self, base: str, tree: str, version: str) -> Path | None:
        if not (_OID.fullmatch(base) and _OID.fullmatch(tree) and _VERSION.fullmatch(version)):
            return None
        return Path(self.store_dir, "verdicts", version, f"{base}-{tree}")


def _seal(base: str, tree: str, version: str, line: str, body: bytes) -> str:
    return digest("\n".join((base, tree, version, line, "")).encode("ascii") + body)


def read(path: Path) -> bytes | None:
    """Return the bytes of a regular file, else None. Neither follows a link nor waits on a pipe somebody put there."""
    try:
        handle = os.open(path, _READ)
    except OSError:
        return None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            return None
        with open(handle, "rb", closefd=False) as file:
            return file.read()
    except OSError:
        return None
    finally:
        os.close(handle)


def write(path: Path, data: bytes) -> None:
    """Write all of it or nothing under that name; raises OSError."""
    temporary = path.parent / f".{os.getpid()}-{time.monotonic_ns()}"
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileNotFoundError:  # somebody tidied the empty folder away in between
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _removed(remove: Callable[[], None]) -> bool:
    try:
        remove()
    except OSError:  # another process was faster, or nobody may
        return False
    return True


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
