"""Edge: where receipts are kept. A directory that all worktrees share, and the ref ``refs/agentreview/receipts``.

A hook only writes a file, to ``<git common dir>/agentreview/receipts/new/``: under a temporary name, then renamed. It
goes onto the ref with the next push, or with any ``agentreview receipts`` command, or when many have gathered; from then
on it lies in ``receipts/<two digits>/<content key>/<id>.json``, in the directory and in the ref's tree alike.

The ref is a line of commits over a tree that only grows. It is moved by ``git fast-import``, which compares and swaps:
whoever comes second sees that the new commit does not contain the ref's, and does it again. (Notes lose entries when two
worktrees add at once, without an error.) What comes from other clones is data: only files that are what their names say
are taken over.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from agentreview import git
from agentreview.errors import IncompleteError, UsageError
from agentreview.git import Repository, complaint, shown
from agentreview.receipts import Receipt, identifier, parse
from agentreview.records import dataclass, field

REF = "refs/agentreview/receipts"
REMOTES = "refs/agentreview/remotes/"
LOST = "no receipt of this review could be written"
GATHERED = 256  # new receipts after which a hook puts them onto the ref
TRIES = 60
MAX_READ = 64 * 1024 * 1024  # bytes of receipts read from the ref at a time

_NEW = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{64})\.json")
_PATH = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{62})/([0-9a-f]{64})\.json")
_QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "maintenance.auto=false")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file that is named like a receipt; ``wrong`` says why it is none."""

    path: str
    data: bytes
    receipt: Receipt | None
    wrong: str = ""

    @property
    def id(self) -> str:
        """The id that its name gives it."""
        return self.path[-69:-5]


@dataclass(slots=True)
class _Commit:
    """What one commit does to the ref's tree."""

    message: str
    files: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    merged: str = ""
    forward: bool = False  # nothing to add to ``merged``: the ref just goes there

    @property
    def empty(self) -> bool:
        return not (self.files or self.blobs or self.gone or self.merged)


# -- keeping one -------------------------------------------------------------------------------------------------------


def keep(repo: Repository, data: bytes, key: str) -> str | None:
    """Keep a receipt; returns a one-line warning when that was not possible, None otherwise."""
    folder = Path(repo.store_dir, "receipts", "new")
    temporary = folder / f".{os.getpid()}-{time.monotonic_ns()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(folder / f"{key}.{identifier(data)}.json")
        gathered = len(_names(folder)) >= GATHERED
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = error.strerror or type(error).__name__
        return f"{LOST}: {reason} ({folder})"
    if gathered:
        with suppress(IncompleteError):  # the next push does it, or says why not
            publish(repo)
    return None


def publish(repo: Repository) -> int:
    """Put what was written here since the last time onto the ref; returns how many receipts.

    Raises IncompleteError when the ref cannot be moved; nothing is lost then.
    """
    if not any(_new_files(repo)):
        return 0
    with _turn(repo):
        done = _move(repo, lambda _: _Commit(message="receipts", files=_pending(repo)))
        for file, path in _new_files(repo):
            target = Path(repo.store_dir, "receipts", path)
            if path in done.files:
                with suppress(OSError):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    file.replace(target)
    return len(done.files)


def _pending(repo: Repository) -> dict[str, bytes]:
    found = {}
    for file, path in _new_files(repo):
        with suppress(OSError):  # another process was faster
            data = file.read_bytes()
            if _named(path, data):  # else it stays where it is, and is named as bad wherever receipts are checked
                found[path] = data
    return found


def _new_files(repo: Repository) -> Iterator[tuple[Path, str]]:
    """Yield each new receipt with the path it gets on the ref."""
    folder = Path(repo.store_dir, "receipts", "new")
    for name in _names(folder):
        if match := _NEW.fullmatch(name):
            key, one = match.groups()
            yield folder / name, f"{key[:2]}/{key}/{one}.json"


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is wanted, and the hook path
    except OSError:
        return []


def _named(path: str, data: bytes) -> bool:
    """Whether the file's name is the hash of its bytes."""
    return path.endswith(f"/{identifier(data)}.json")


# -- the ref -----------------------------------------------------------------------------------------------------------


def _move(repo: Repository, make: Callable[[str], _Commit]) -> _Commit:
    """Add a commit to the ref, made for the tip it has; again for the new tip when somebody else was faster."""
    error = b""
    for attempt in range(TRIES):
        tip = _tip(repo)
        commit = make(tip)
        if commit.empty:
            return commit
        if commit.forward:
            status, _, error = git.attempt(
                repo, *_QUIET, "update-ref", REF, commit.merged, tip or "0" * repo.oid_length
            )
        else:
            status, _, error = git.attempt(
                repo, *_QUIET, "fast-import", "--quiet", "--done", stdin=_stream(commit, tip)
            )
        if status == 0:
            return commit
        time.sleep(min(0.01 * 2**attempt, 0.5) * os.urandom(1)[0] / 255)  # to come at another time than the others
    raise IncompleteError(
        f"{REF} cannot be moved: {complaint(error)}",
        fix="The receipts are kept; try again with: agentreview receipts list",
    )


def _stream(commit: _Commit, tip: str) -> bytes:
    """Write the commit for fast-import. Paths are of a closed form, and need no quotes."""
    message = commit.message.encode()
    parts = [f"commit {REF}\ncommitter agentreview <agentreview> {int(time.time())} +0000\n".encode()]
    parts.append(b"data %d\n%s\n" % (len(message), message))
    parts += [f"{word} {oid}\n".encode() for word, oid in (("from", tip), ("merge", commit.merged)) if oid]
    parts += [f"D {path}\n".encode() for path in sorted(commit.gone)]
    parts += [f"M 100644 {oid} {path}\n".encode() for path, oid in sorted(commit.blobs.items())]
    for path, data in sorted(commit.files.items()):
        parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
    return b"".join([*parts, b"done\n"])


def _tip(repo: Repository, ref: str = REF) -> str:
    return git.text(git.run(repo, "rev-parse", "-q", "--verify", f"{ref}^{{commit}}", check=False)).strip()


def _listing(repo: Repository, commit: str, *paths: str) -> dict[str, str]:
    """Return path -> blob of everything that is named like a receipt; of ``paths`` (directories) only, if given."""
    if not commit:
        return {}
    out = git.run(repo, "ls-tree", "-r", "-z", "--full-tree", commit, *(("--", *paths) if paths else ()))
    found = {}
    for line in git.text(out).split("\0")[:-1]:
        facts, _, path = line.partition("\t")
        mode, _, oid = facts.split(" ")
        if mode.startswith("100") and _PATH.fullmatch(path):
            found[path] = oid
    return found


@contextmanager
def _turn(repo: Repository) -> Iterator[None]:
    """Let writers of this machine come one after the other, so that they seldom have to do it again. A courtesy."""
    import fcntl

    path = Path(repo.store_dir, "receipts", "lock")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield
        return
    try:
        for _ in range(100):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


# -- finding -----------------------------------------------------------------------------------------------------------


def find(repo: Repository, keys: Iterable[str]) -> dict[str, tuple[Receipt, ...]]:
    """Return the receipts of each content key, from the directory and from the ref, the newest first.

    What is no receipt, or not of that key, is none: :func:`search` says so.
    """
    return search(repo, keys)[0]


def search(repo: Repository, keys: Iterable[str]) -> tuple[dict[str, tuple[Receipt, ...]], tuple[Stored, ...]]:
    """Return what :func:`find` does, and the files that are named like a receipt of these keys and are none."""
    wanted = tuple(dict.fromkeys(keys))
    found: dict[str, dict[str, Receipt]] = {key: {} for key in wanted}
    sources = [(path, file) for file, path in _new_files(repo) if path[3:67] in found]
    for key in wanted:
        folder = Path(repo.store_dir, "receipts", key[:2], key)
        sources += [(f"{key[:2]}/{key}/{name}", folder / name) for name in _names(folder)]
    stored = [one for path, file in sources if _PATH.fullmatch(path) and (one := _local(path, file)) is not None]
    known = {one.path for one in stored if one.receipt is not None}
    tip = _tip(repo)
    for first in range(0, len(wanted) if tip else 0, 500):
        listed = _listing(repo, tip, *(f"{key[:2]}/{key}" for key in wanted[first : first + 500]))
        stored += _read(repo, {path: oid for path, oid in listed.items() if path not in known})
    for one in stored:
        if one.receipt is not None:
            found[one.receipt.key][one.receipt.id] = one.receipt
    refused = {one.path: one for one in stored if one.receipt is None}
    return {
        key: tuple(sorted(ones.values(), key=lambda one: (one.at, one.id), reverse=True)) for key, ones in found.items()
    }, tuple(refused[path] for path in sorted(refused))


def any_here(repo: Repository) -> bool:
    """Whether this clone has any receipts at all, of whatever change."""
    root = Path(repo.store_dir, "receipts")
    return bool(_tip(repo)) or any(_new_files(repo)) or any(root.glob("??/*/*.json"))


def everything(repo: Repository) -> Iterator[Stored]:
    """Yield every receipt there is, once, in the order of their paths; also what is only named like one."""
    root = Path(repo.store_dir, "receipts")
    files = {path: file for file, path in _new_files(repo)}
    for file in root.glob("??/*/*.json"):
        path = file.relative_to(root).as_posix()
        if _PATH.fullmatch(path):
            files[path] = file
    on_ref = _listing(repo, _tip(repo))
    local = [_local(path, file) for path, file in files.items() if path not in on_ref]
    yield from sorted((*(one for one in local if one is not None), *_read(repo, on_ref)), key=lambda one: one.path)


def _read(repo: Repository, blobs: Mapping[str, str]) -> list[Stored]:
    """Read files of the ref, a bounded amount at a time."""
    sizes = git.blob_sizes(repo, blobs.values())
    found: list[Stored] = []
    batch: list[str] = []
    weight = 0
    for path in sorted(blobs):
        size = sizes[blobs[path]]
        if size > MAX_READ:
            found.append(Stored(path=path, data=b"", receipt=None, wrong="too large"))
            continue
        if weight + size > MAX_READ:
            found += _contents(repo, blobs, batch)
            batch, weight = [], 0
        batch.append(path)
        weight += size
    return [*found, *_contents(repo, blobs, batch)]


def _contents(repo: Repository, blobs: Mapping[str, str], paths: Iterable[str]) -> list[Stored]:
    names = list(paths)
    contents = git.read_blobs(repo, (blobs[path] for path in names))
    return [_stored(path, contents[blobs[path]]) for path in names]


def _stored(path: str, data: bytes) -> Stored:
    """Check a file against its name."""
    if not _named(path, data):
        return Stored(path=path, data=data, receipt=None, wrong="its name is not the hash of its bytes")
    try:
        receipt = parse(data)
    except ValueError as error:
        return Stored(path=path, data=data, receipt=None, wrong=str(error))
    if receipt.key != path[3:67]:
        return Stored(path=path, data=data, receipt=None, wrong="it lies under the key of another change")
    return Stored(path=path, data=data, receipt=receipt)


def _local(path: str, file: Path) -> Stored | None:
    """Read a file of the directory; None for one that somebody has moved away meanwhile."""
    try:
        if file.is_symlink() or not file.is_file():
            return (
                Stored(path=path, data=b"", receipt=None, wrong="it is no regular file")
                if os.path.lexists(file)
                else None
            )
        return _stored(path, file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        return Stored(path=path, data=b"", receipt=None, wrong=f"it cannot be read: {error.strerror}")


# -- other clones ------------------------------------------------------------------------------------------------------


def fetch(repo: Repository, remote: str, refused: Callable[[Stored], object] = bool) -> tuple[int, int]:
    """Take over the receipts of a remote; returns how many were new, and how many files were none and were left.

    ``refused`` is called with each of those that is named like a receipt. Raises UsageError when the remote does not answer.
    """
    tracking = f"{REMOTES}{_safe(remote)}"
    options = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--quiet")
    status, _, error = git.attempt(repo, *_QUIET, "fetch", *options, "--end-of-options", remote, f"+{REF}:{tracking}")
    if status:
        if b"couldn't find remote ref" in error:
            return 0, 0
        raise UsageError(f"git fetch {shown(remote)} failed: {complaint(error)}", fix="Check the remote: git remote -v")
    return _join(repo, _tip(repo, tracking), refused)


def push(repo: Repository, remote: str) -> int:
    """Publish, and push the ref; returns how many receipts came from the remote on the way.

    Raises UsageError when the remote refuses for another reason than that somebody was faster.
    """
    publish(repo)
    if not _tip(repo):
        return 0
    taken = 0
    for _ in range(TRIES):
        options = ("--no-verify", "--quiet", "--no-recurse-submodules", "--no-follow-tags")
        status, _, error = git.attempt(repo, *_QUIET, "push", *options, "--end-of-options", remote, f"{REF}:{REF}")
        if status == 0:
            return taken
        if not any(word in error for word in (b"[rejected]", b"cannot lock ref", b"failed to update ref")):
            break
        taken += fetch(repo, remote)[0]
    raise UsageError(
        f"git push {shown(remote)} {REF} failed: {complaint(error)}", fix="Check the remote: git remote -v"
    )


def _join(repo: Repository, theirs: str, refused: Callable[[Stored], object]) -> tuple[int, int]:
    """Add what another clone has; what either of the two has pruned since they last met stays away."""
    counts = (0, 0)
    wrong: list[Stored] = []

    def make(tip: str) -> _Commit:
        nonlocal counts, wrong
        commit = _Commit(message="receipts of another clone")
        met = git.text(git.run(repo, "merge-base", tip, theirs, check=False)).strip() if tip else ""
        counts = (0, 0)
        if met == theirs:
            return commit
        mine, other, before = _listing(repo, tip), _listing(repo, theirs), _listing(repo, met)
        new = {path: oid for path, oid in other.items() if path not in mine and path not in before}
        wrong = [one for one in _read(repo, new) if one.receipt is None]
        bad = {one.path for one in wrong}
        commit.blobs = {path: oid for path, oid in new.items() if path not in bad}
        commit.gone = {path for path in before if path in mine and path not in other}
        commit.merged = theirs
        odd = len(git.text(git.run(repo, "ls-tree", "-r", "-z", theirs)).split("\0")) - 1 - len(other)
        odd += sum(other.get(path, oid) != oid for path, oid in mine.items())  # what is here already stays as it is
        commit.forward = met == tip and not bad and not odd
        counts = (len(commit.blobs), len(bad) + odd)
        return commit

    with _turn(repo):
        _move(repo, make)
    for one in wrong:
        refused(one)
    return counts


def _safe(remote: str) -> str:
    """A name for the remote's receipts here, whatever the remote is called."""
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}", remote)
    return remote if plain else identifier(remote.encode("utf-8", "surrogateescape"))[:40]


def on_ref(repo: Repository) -> frozenset[str]:
    """Return the path of every receipt that is on the ref."""
    return frozenset(_listing(repo, _tip(repo)))


def prune(repo: Repository, before: str) -> int:
    """Forget the receipts of reviews before a time (ISO, UTC), in the directory and on the ref; returns how many."""
    publish(repo)
    doomed = {one.path for one in everything(repo) if one.receipt is not None and one.receipt.at < before}
    if doomed:
        with _turn(repo):
            _move(repo, lambda tip: _Commit(message="prune", gone=doomed & _listing(repo, tip).keys()))
    for path in doomed:
        with suppress(OSError):
            Path(repo.store_dir, "receipts", path).unlink()
    return len(doomed)
