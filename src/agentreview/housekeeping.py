"""Edge: what may go of the files that agentreview keeps. Bounds them by age and by size, and never loses evidence.

Verdicts, summaries and records of learn are caches: without them the next run takes longer. Receipts are evidence: only
the copy in the directory of one that is on the ref may go, never one that is not. What models cost, and the key that
masked text was made with, are not touched. Safe while others commit: a file that goes is a miss for whoever reads it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import AgentReviewError
from .git import Repository

CACHES = ("verdicts", "summaries", "reviews", "learn")  # below the store; everything else there is kept
MAX_AGE_DAYS = 90
MAX_BYTES = 256 * 1024 * 1024
ABANDONED_SECONDS = 86_400.0  # temporary files, and copies of an index, that killed processes left


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What went, or would go: files and bytes of each kind; ``kept`` bytes are left in the caches.

    ``unpublished`` receipts are only in this clone; ``vanished`` worktrees are those git would prune.
    """

    files: dict[str, int]
    bytes: int
    kept: int
    unpublished: int
    vanished: int


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    kind: str
    size: int
    changed: float


def collect(
    repo: Repository,
    *,
    max_age_days: float = MAX_AGE_DAYS,
    max_bytes: int = MAX_BYTES,
    dry_run: bool = False,
    cache: Path | None = None,
    now: float | None = None,
) -> Collected:
    """Remove what is too old, then the oldest until the caches of the repository fit ``max_bytes``. Raises nothing.

    ``cache`` is the user's directory of compiled policies; of that only what is too old goes. A file dated in the
    future (the clock was set back) is as good as new, and goes last.
    """
    moment = time.time() if now is None else now
    oldest = moment - max_age_days * 86_400
    doomed: list[_File] = []
    caches: list[_File] = []
    for kind in CACHES:
        caches += _below(Path(repo.store_dir, kind), kind)
    files_of_receipts = list(_below(Path(repo.store_dir, "receipts"), "receipts"))
    temporary = [file for file in [*caches, *files_of_receipts] if Path(file.path).name.startswith(".")]
    doomed += [file for file in temporary if file.changed < moment - ABANDONED_SECONDS]
    caches = [file for file in caches if file not in temporary]
    doomed += [file for file in caches if file.changed < oldest]
    fresh = sorted((file for file in caches if file.changed >= oldest), key=lambda file: file.changed)
    total = sum(file.size for file in fresh)
    for file in fresh:
        if total <= max_bytes:
            break
        doomed.append(file)
        total -= file.size
    if cache is not None:
        doomed += [file for file in _below(cache, "compiled policies") if file.changed < oldest]
    published, unpublished = _receipts(repo)
    doomed += [file for file in published if file.changed < oldest]
    states, vanished = _states(repo)
    doomed += [file for file in states if file.kind == "worktrees" or file.changed < moment - ABANDONED_SECONDS]
    files: dict[str, int] = {}
    gone = 0
    for file in doomed:
        if dry_run or _removed(file.path):
            files[file.kind] = files.get(file.kind, 0) + 1
            gone += file.size
    if not dry_run:
        _without_empty_folders(Path(repo.store_dir))
    return Collected(files=files, bytes=gone, kept=total, unpublished=unpublished, vanished=vanished)


def _below(folder: Path, kind: str) -> Iterator[_File]:
    """Yield the regular files below a folder; links are neither followed nor touched."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = f"{place}/{name}"
            with suppress(OSError):  # another process was faster
                found = os.lstat(path)
                if os.path.isfile(path) and not os.path.islink(path):  # noqa: PTH113, PTH114
                    yield _File(path, kind, found.st_size, found.st_mtime)


def _receipts(repo: Repository) -> tuple[list[_File], int]:
    """Return the copies of receipts that the ref has as well, and how many receipts only the directory has."""
    from .ledger import on_ref

    root = Path(repo.store_dir, "receipts")
    here = [
        file
        for file in _below(root, "receipts")
        if file.path.endswith(".json") and "/." not in file.path[len(str(root)) :]
    ]
    try:
        there = on_ref(repo) if here else frozenset[str]()
    except AgentReviewError:  # the ref cannot be read, so no copy is known to be one
        there = frozenset()
    copies = [file for file in here if os.path.relpath(file.path, root) in there]
    return copies, len(here) - len(copies)


def _states(repo: Repository) -> tuple[list[_File], int]:
    """Return copies of an index in any worktree, and everything of worktrees that are gone; and how many are gone."""
    own = Path(repo.common_dir, "agentreview")
    found = [file for file in _flat(own, "copies of an index") if _is_copy(file.path)]
    vanished = 0
    for place in Path(repo.common_dir, "worktrees").glob("*"):
        state = place / "agentreview"
        if _vanished(place):
            vanished += 1
            found += _below(state, "worktrees")
        else:
            found += [file for file in _flat(state, "copies of an index") if _is_copy(file.path)]
    return found, vanished


def _vanished(place: Path) -> bool:
    """Whether a linked worktree is gone for good: not locked, and the directory that it names is not there."""
    try:
        named = (place / "gitdir").read_bytes().rstrip(b"\n")
    except OSError:
        return False
    link = place / os.fsdecode(named)  # relative ones start here (git 2.48)
    return bool(named) and not (place / "locked").exists() and not os.path.lexists(link)


def _flat(folder: Path, kind: str) -> list[_File]:
    return [file for file in _below(folder, kind) if os.path.dirname(file.path) == str(folder)]  # noqa: PTH120


def _is_copy(path: str) -> bool:
    return Path(path).name.startswith(("index.", "."))


def _removed(path: str) -> bool:
    try:
        os.unlink(path)  # noqa: PTH108
    except OSError:  # another process was faster, or nobody may
        return False
    return True


def _without_empty_folders(store: Path) -> None:
    """Remove the folders of old versions that are empty now; one that somebody just filled stays."""
    for kind in CACHES:
        for place, _, _ in os.walk(store / kind, topdown=False):
            with suppress(OSError):
                if place != str(store / kind):
                    os.rmdir(place)  # noqa: PTH106
