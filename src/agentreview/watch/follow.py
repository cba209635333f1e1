"""Edge: follows every worktree of a repository, and has what is staged there reviewed as soon as it settles.

What changes an index, a HEAD or the list of worktrees makes a file event in git's own directories; only those are followed,
never the work trees, and nothing is asked again and again. A look reads (:mod:`agentreview.overview`), a review is a process of
its own (:mod:`agentreview.everywhere`): it keeps the verdict, so that the commit which comes next only looks it up.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from agentreview.errors import IncompleteError
from agentreview.everywhere import Reviewed, answered, command
from agentreview.git import WorktreeInfo, common_directory, shown, worktrees_from
from agentreview.overview import GONE, UNREADABLE, Row, look
from agentreview.watch import board as boards
from agentreview.watch.board import LOOKING, Board, News, Place

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

SETTLE = 0.15  # seconds without an event, before somebody looks
AT_MOST = 10  # times that long, if the events never end
LATER = 300.0  # seconds until everything is looked at again: an event may have been lost, and days end
OFTEN = 5.0  # the same, where something cannot be heard
STEP_MS = 60  # the listening thread asks for events this often
GRACE = 2.0  # seconds that a review has to end by itself
_NOISE = ("index.lock", "agentreview", "agentreview-hooks", "objects", "gc.pid", "gc.log")

Hear = Callable[[Board, Sequence[News]], None]


class Follower:
    """Follows until it is cancelled. ``hear`` is told the whole board and what is new, in the event loop."""

    def __init__(self, path: str | None, hear: Hear, *, settle: float = SETTLE) -> None:
        self.hear, self.settle = hear, settle
        self.board: Board = ()
        self.common = common_directory(path)
        self._infos: dict[str, WorktreeInfo] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, tuple[asyncio.TimerHandle, float]] = {}
        self._listeners: list[Listener] = []
        self._in_time: asyncio.TimerHandle | None = None
        self._deaf = False  # a path has no name that can be followed
        self._lost: set[str] = set()  # paths that went since they were followed, and may be there again
        self._looking: set[str] = set()
        self._slots = asyncio.Semaphore(max(2, os.cpu_count() or 2))

    async def run(self) -> None:
        """Follow. Raises what the first look at the repository raises, and whatever goes wrong later."""
        self._loop = asyncio.get_running_loop()
        self._failed: asyncio.Future[None] = self._loop.create_future()
        try:
            self._looking.add("")  # what happens meanwhile is listed after it
            await self._list()
            self._looking.discard("")
            self._later()
            await self._failed
        finally:
            self._failed.cancel()
            for handle in (self._in_time, *(handle for handle, _ in self._timers.values())):
                if handle is not None:
                    handle.cancel()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            for listener in self._listeners:
                listener.close()

    def again(self, path: str) -> None:
        """Review what is staged there once more, whatever is known of it."""
        place = boards.find(self.board, path)
        if place is not None and place.row.subject is not None and place.reviewing != place.row.subject:
            self._start(self._review(path, place.row.subject, ("--fresh",)))

    # -- which worktrees there are ---------------------------------------------------------------------------------

    async def _list(self) -> None:
        """Ask git for the worktrees, follow their directories, and look at those that are new or were not read."""
        lost = self._listen(self._infos.values())  # before the question: what changes after the answer is heard
        infos = await asyncio.to_thread(worktrees_from, self.common, git_dir=True)
        lost |= self._listen(infos)
        before = {place.row.path: place.row for place in self.board}
        self._infos = {info.path: info for info in infos}
        rows = [_first(info) for info in infos]
        self._take(boards.listed(self.board, rows))
        for row in rows:
            was = before.get(row.path)
            if was is None or was.state in (LOOKING, GONE, UNREADABLE) or row.state == GONE or was.locked != row.locked:
                lost.add(row.path)
            if not lost.isdisjoint((row.path, f"{row.path}/.git", *_own(was.git_dir if was is not None else ""))):
                self._soon(row.path, 0.0)

    def _listen(self, infos: Iterable[WorktreeInfo]) -> set[str]:
        """Follow these worktrees from now on; returns what was not followed until now although it looked so.

        The new listener hears before the old one stops: nothing is missed.
        """
        links = {f"{info.path}/.git" for info in infos if not info.bare and not info.prunable}
        found = _followed(self.common) | {link for link in links if Path(link).is_file()}
        folders = sorted(filter(_heard, found))
        was, self._deaf = self._deaf, len(folders) < len(found)
        if self._deaf and not was and self._in_time is not None:
            self._in_time.cancel()
            self._in_time = self._loop.call_later(OFTEN, self._later)
        if self._listeners and self._listeners[-1].paths == folders and not self._lost:
            return set()
        lost, self._lost = self._lost, set()
        new = Listener(folders, lambda paths: self._loop.call_soon_threadsafe(self._events, paths))
        for old in self._listeners:
            old.replaced()
        self._listeners = [*(old for old in self._listeners if old.alive()), new]
        return lost

    # -- events ----------------------------------------------------------------------------------------------------

    def _events(self, paths: Iterable[str]) -> None:
        if self._failed.done():
            return  # it ends, and begins nothing more
        owners = {place.row.git_dir: place.row.path for place in self.board if place.row.git_dir}
        followed = frozenset(self._listeners[-1].paths)
        for path in paths:
            if path in followed:
                self._lost.add(path)
                self._soon("", self.settle)
            folder, _, name = path.rpartition("/")
            if name in _NOISE:
                continue
            folder = folder.removesuffix("/logs").removesuffix("/reftable")
            owner = owners.get(folder)
            lists = folder == f"{self.common}/worktrees" or name in ("worktrees", "locked", "gitdir", ".git", "logs")
            if owner is not None:
                self._soon(owner, self.settle)
            if lists or owner is None:
                self._soon("", self.settle)

    def _soon(self, path: str, seconds: float) -> None:
        """Look at a worktree ("": at which there are) when nothing more has happened to it for so long."""
        now = self._loop.time()
        handle, first = self._timers.pop(path, (None, now))
        if handle is not None:
            handle.cancel()
        when = max(now, min(now + seconds, first + max(seconds, AT_MOST * self.settle)))
        self._timers[path] = (self._loop.call_at(when, self._ring, path), first)

    def _ring(self, path: str) -> None:
        self._timers.pop(path, None)
        if path in self._looking:
            self._soon(path, self.settle)
        else:
            self._looking.add(path)
            self._start(self._look(path) if path else self._list(), path)

    def _later(self) -> None:
        """Look at everything once in a while, although nothing was heard."""
        for path in ("", *self._infos) if self._in_time is not None else ():
            self._soon(path, 0.0)
        self._in_time = self._loop.call_later(OFTEN if self._deaf else LATER, self._later)

    async def _look(self, path: str) -> None:
        info = self._infos.get(path)
        if info is None:
            return
        row = await asyncio.to_thread(look, info)
        if row.state == UNREADABLE and not row.locked and not Path(path).is_dir():
            self._soon("", self.settle)  # it is being removed
            return
        if path not in self._infos:
            return
        self._take(boards.looked(self.board, row))
        place = boards.find(self.board, path)
        subject = boards.due(place) if place is not None else None
        if subject is not None:
            self._start(self._review(path, subject))

    # -- reviews ---------------------------------------------------------------------------------------------------

    async def _review(self, path: str, subject: boards.Subject, options: Sequence[str] = ()) -> None:
        self._take(boards.started(self.board, path, subject))
        async with self._slots:
            place = boards.find(self.board, path)
            if place is None or place.reviewing != subject or place.row.subject != subject:
                self._take(boards.dropped(self.board, path, subject))
                return
            reviewed = await _reviewed(place, options, self.common)
        self._take(boards.ended(self.board, subject, reviewed, time.time()))
        of = (reviewed.verdict.base, reviewed.verdict.tree) if reviewed.verdict is not None else subject
        place = boards.find(self.board, path)
        if place is not None and place.row.subject != of:
            self._soon(path, 0.0)

    # -- all of it -------------------------------------------------------------------------------------------------

    def _take(self, board: Board) -> None:
        if board != self.board:
            before, self.board = self.board, board
            self.hear(board, boards.news(before, board))

    def _start(self, work: Coroutine[Any, Any, None], looking: str | None = None) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if looking is not None:
                self._looking.discard(looking)
            error = None if task.cancelled() else task.exception()
            if error is not None and not self._failed.done():
                self._failed.set_exception(error)

        task.add_done_callback(done)


class Listener:
    """A thread that hears what happens to some paths, until it is stopped. IncompleteError where the system refuses.

    Where it cannot hear any more it tells all its paths, as if each had gone.
    """

    def __init__(self, paths: list[str], tell: Callable[[set[str]], object]) -> None:
        from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

        self.paths = paths
        self._replaced, self._closed = Event(), Event()
        try:
            watcher = RustNotify(paths, False, False, 0, False, True)  # noqa: FBT003 - it takes no keywords
        except (OSError, ValueError, WatchfilesRustInternalError) as error:
            raise IncompleteError(
                f"git's directories cannot be followed: {shown(str(error))}",
                fix="Raise the limit of file watches (Linux: sysctl fs.inotify.max_user_watches and max_user_instances), or use agentreview status",
            ) from error
        self._thread = Thread(target=self._hear, args=(watcher, tell), daemon=True)
        self._thread.start()

    def replaced(self) -> None:
        """Tell what was heard until now, and end: another one hears from here on."""
        self._replaced.set()

    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End, and wait for it."""
        self._closed.set()
        self._thread.join()

    def _hear(self, watcher: RustNotify, tell: Callable[[set[str]], object]) -> None:
        from watchfiles._rust_notify import WatchfilesRustInternalError

        with watcher:
            last = False
            while not last:
                last = self._replaced.is_set()
                try:
                    found = watcher.watch(2 * STEP_MS, STEP_MS, 10 * STEP_MS, self._closed)
                except WatchfilesRustInternalError:  # for good, and for as little as a name that is not UTF-8
                    found, last = {(0, path) for path in self.paths}, True
                if isinstance(found, set):
                    with suppress(RuntimeError):  # the loop has ended
                        tell({path for _, path in found})
                elif found == "stop":
                    return


def _first(info: WorktreeInfo) -> Row:
    row = Row(path=info.path, branch=info.branch, state=LOOKING, locked=info.locked, detached=info.detached)
    return look(info) if info.bare or info.prunable else row


def _followed(common: str) -> set[str]:
    """Git's directories in which an index, a HEAD or a worktree changes: few, and none that holds objects or many refs."""
    admin = f"{common}/worktrees"
    try:
        names = os.listdir(admin)  # noqa: PTH208
    except FileNotFoundError:  # it comes with the first worktree, and goes with the last
        names = []
    found = (path for git_dir in (common, *(f"{admin}/{name}" for name in names)) for path in _own(git_dir))
    return {folder for folder in (*found, admin) if Path(folder).is_dir()}


def _own(git_dir: str) -> tuple[str, str, str]:
    """A git directory, and where it keeps the log of its HEAD; a reftable has every HEAD as well."""
    return git_dir, f"{git_dir}/logs", f"{git_dir}/reftable"


def _heard(path: str) -> bool:
    """Whether the library takes the name: one that is not UTF-8 it cannot."""
    try:
        return bool(path.encode())
    except UnicodeEncodeError:
        return False


async def _reviewed(place: Place, options: Sequence[str], folder: str) -> Reviewed:
    code, out, err = await ended(command(place.row.path, options), folder)
    return answered(place.row.path, place.row.branch, code, out, err)


async def ended(argv: Sequence[str], folder: str) -> tuple[int, bytes, bytes]:
    """Run a program to its end, in a process group of its own: whatever ends this one, nothing of it stays."""
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=nothing, stdout=pipe, stderr=pipe, start_new_session=True, cwd=folder
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            _signal(process.pid, signal.SIGINT)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), GRACE)
            _signal(process.pid, signal.SIGKILL)
            await process.wait()
    return int(process.returncode or 0), out, err


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
