"""Two trees -> every file that differs between them, proved.

The raw listing is the inventory. Patch text is only a rendering of it: mapped to it by order and count, and proved by
rebuilding each blob (:mod:`agentreview.diff`). Whatever does not add up is an IncompleteError, never fewer changes.
Contents come from git's objects: the work tree may differ, be filtered, or lead out of the repository through a link.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agentreview import git
from agentreview.diff import parse_patch, split_blocks
from agentreview.errors import IncompleteError
from agentreview.git import Repository, shown, text
from agentreview.model import FileChange, Hunk
from agentreview.records import dataclass

SIZE_LIMIT = 2 * 1024 * 1024  # bytes of one version of a file; larger ones are opaque
TOTAL_LIMIT = 256 * 1024 * 1024  # bytes of text in one snapshot
_BATCH = 32 * 1024 * 1024  # bytes of blobs read at a time
_HEAVY = 4 * 1024 * 1024  # bytes of opaque content that may pass through the patch unused
_ARGUMENTS = 64 * 1024  # bytes of path arguments for one command

_ABSENT, _SYMLINK, _SUBMODULE = "000000", "120000", "160000"
_TOO_LARGE = "too large"
_LFS = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]+\n)*oid sha256:[0-9a-f]{64}\nsize [0-9]+\n?"
)
_RAW = ("diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--ignore-submodules=none")
_PATCH = (
    *("diff-tree", "-r", "-p", "-U3", "--inter-hunk-context=0", "--full-index", "--text", "--no-ext-diff"),
    *("--no-textconv", "--no-color", "--no-relative", "--src-prefix=a/", "--dst-prefix=b/", "--diff-algorithm=myers"),
    *("--ignore-submodules=none", "--submodule=short"),
)
_RENAMES = ("-M50%", "-l400")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One line of the raw listing."""

    status: str
    path: str
    old_path: str | None = None
    old_mode: str
    new_mode: str
    old_oid: str
    new_oid: str

    @property
    def blobs(self) -> tuple[str, ...]:
        """The object ids of those sides that are regular files."""
        sides = ((self.old_mode, self.old_oid), (self.new_mode, self.new_oid))
        return tuple(oid for mode, oid in sides if _is_file(mode))

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """What a listing without renames says about the same change."""
        if self.old_path is None:
            return ((self.path, self.old_mode, self.new_mode, self.old_oid, self.new_oid),)
        zero = "0" * len(self.old_oid)
        return (
            (self.old_path, self.old_mode, _ABSENT, self.old_oid, zero),
            (self.path, _ABSENT, self.new_mode, zero, self.new_oid),
        )


def changes(repo: Repository, base: str, tree: str, *, limit: int = SIZE_LIMIT) -> tuple[FileChange, ...]:
    """Return every file that differs between two trees, ordered by path.

    ``limit`` is the size in bytes above which a file is opaque and not read. Raises IncompleteError when an object
    cannot be read, the change is too large to hold, or git's outputs contradict each other.
    """
    inventory = _listing(repo, "--no-renames", base, tree)
    sizes = git.blob_sizes(repo, (oid for entry in inventory for oid in entry.blobs))
    contents, reasons = _contents(repo, sizes, limit)
    heavy = _heavy(inventory, sizes, reasons)
    excludes = tuple(f":(top,exclude,literal){git.argument(path)}" for path in heavy)
    env = {"GIT_LITERAL_PATHSPECS": "0"} if heavy else {}
    entries = tuple(entry for entry in inventory if entry.path not in heavy)
    options: tuple[str, ...] = ("--no-renames",)
    if {"A", "D"} <= {entry.status for entry in entries}:
        options = _RENAMES
        paired = _listing(repo, *options, base, tree, *excludes, env=env)
        if sorted(part for e in paired for part in e.parts) != sorted(part for e in entries for part in e.parts):
            raise _mismatch("pairing renames changed the list of files")
        entries = paired

    blocks = split_blocks(git.run(repo, *_PATCH, *options, base, tree, *excludes, env=env)) if entries else ()
    if len(blocks) != sum(_block_count(entry) for entry in entries):
        raise _mismatch(f"there are {len(blocks)} patches for {len(entries)} changed files")
    # A file that was binary and is text now: its old bytes are needed for the proof and for nothing else.
    readable = [entry for entry in entries if _opaque(entry, reasons) is None]
    proof = {**contents, **git.read_blobs(repo, {oid for e in readable for oid in e.blobs} - contents.keys())}
    found = [_change(entry, (), contents, reasons) for entry in inventory if entry.path in heavy]
    position = 0
    for entry in entries:
        position += _block_count(entry)
        hunks = _hunks(entry, blocks[position - 1], proof) if _opaque(entry, reasons) is None else ()
        found.append(_change(entry, hunks, contents, reasons))
    return tuple(sorted(found, key=lambda change: change.path.encode("utf-8", "surrogateescape")))


def _listing(repo: Repository, *args: str, env: Mapping[str, str] | None = None) -> tuple[_Entry, ...]:
    """Read the raw listing of two trees."""
    fields = iter(text(git.run(repo, *_RAW, *args, env=env)).split("\0")[:-1])
    entries: list[_Entry] = []
    for facts in fields:
        parts = facts.removeprefix(":").split(" ")
        if len(parts) != 5 or parts[4][:1] not in "AMDTR":
            raise _mismatch(f"git listed a change as {shown(facts)}")
        renamed = parts[4].startswith("R")
        first = next(fields, "")
        entries.append(
            _Entry(
                status=parts[4][:1],
                path=next(fields, "") if renamed else first,
                old_path=first if renamed else None,
                old_mode=parts[0],
                new_mode=parts[1],
                old_oid=parts[2],
                new_oid=parts[3],
            )
        )
    return tuple(entries)


def _contents(repo: Repository, sizes: Mapping[str, int], limit: int) -> tuple[dict[str, bytes], dict[str, str]]:
    """Read what is text, and say of each other blob why it is not. Binary content is not kept."""
    reasons = {oid: _TOO_LARGE for oid, size in sizes.items() if size > limit}
    contents: dict[str, bytes] = {}
    for batch in _batches({oid: size for oid, size in sizes.items() if oid not in reasons}):
        for oid, data in git.read_blobs(repo, batch).items():
            if reason := _not_text(data):
                reasons[oid] = reason
            else:
                contents[oid] = data
        if sum(map(len, contents.values())) > TOTAL_LIMIT:
            raise IncompleteError(
                f"the change has over {TOTAL_LIMIT >> 20} MiB of text, too much to review at once",
                fix="Commit it in smaller parts",
            )
    return contents, reasons


def _batches(sizes: Mapping[str, int]) -> Iterable[list[str]]:
    batch: list[str] = []
    pending = 0
    for oid, size in sizes.items():
        batch.append(oid)
        pending += size
        if pending > _BATCH:
            yield batch
            batch, pending = [], 0
    if batch:
        yield batch


def _not_text(data: bytes) -> str | None:
    """Say why a blob cannot be reviewed as text. Bytes that are not UTF-8 can: many sources are latin-1.

    A NUL counts wherever it is: git looks at the first 8000 bytes only. A pointer must be nothing but a pointer.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "binary (UTF-16 text)"
    if b"\0" in data:
        return "binary"
    return "git-lfs pointer" if _LFS.fullmatch(data) else None


def _opaque(entry: _Entry, reasons: Mapping[str, str]) -> str | None:
    """Say why a change cannot be reviewed: what the new side is decides, or the old one of a deletion."""
    gone = entry.new_mode == _ABSENT
    mode, oid = (entry.old_mode, entry.old_oid) if gone else (entry.new_mode, entry.new_oid)
    if not _is_file(mode):
        return {_SYMLINK: "symlink", _SUBMODULE: "submodule"}.get(mode, f"mode {mode}")
    if _TOO_LARGE in {reasons.get(blob) for blob in entry.blobs}:
        return _TOO_LARGE
    return reasons.get(oid)


def _heavy(inventory: Iterable[_Entry], sizes: Mapping[str, int], reasons: Mapping[str, str]) -> frozenset[str]:
    """Choose the opaque files to leave out of the patch, so that their content does not fill the memory.

    A path that is also a directory on the other side stays in: leaving it out would take those files with it.
    """
    weights = {e.path: sum(sizes[oid] for oid in e.blobs) for e in inventory if _opaque(e, reasons)}
    excess = sum(weights.values())
    chosen: set[str] = set()
    if excess > _HEAVY:
        directories = {path[:end] for e in inventory for path in (e.path,) for end in _slashes(path)}
        room = _ARGUMENTS
        for path in sorted(weights.keys() - directories, key=lambda path: (-weights[path], path)):
            room -= len(path.encode("utf-8", "surrogateescape")) + 32
            if room < 0:
                break
            chosen.add(path)
            excess -= weights[path]
    if excess > TOTAL_LIMIT:
        raise IncompleteError(
            f"the change has {excess >> 20} MiB of binary files, too much to read at once",
            fix="Commit them in smaller parts",
        )
    return frozenset(chosen)


def _slashes(path: str) -> list[int]:
    return [index for index, character in enumerate(path) if character == "/"]


def _block_count(entry: _Entry) -> int:
    return 2 if entry.status == "T" else 1  # a type change is shown as a deletion and a creation


def _hunks(entry: _Entry, block: bytes, blobs: Mapping[str, bytes]) -> tuple[Hunk, ...]:
    """Prove one change; ``block`` is its last patch block."""
    before = blobs[entry.old_oid] if _is_file(entry.old_mode) and entry.status != "T" else b""
    return parse_patch(block, before, blobs[entry.new_oid] if _is_file(entry.new_mode) else b"")


def _change(
    entry: _Entry, hunks: tuple[Hunk, ...], contents: Mapping[str, bytes], reasons: Mapping[str, str]
) -> FileChange:
    return FileChange(
        path=entry.path,
        status=entry.status,
        old_path=entry.old_path,
        old_mode=entry.old_mode,
        new_mode=entry.new_mode,
        old_oid=entry.old_oid,
        new_oid=entry.new_oid,
        before=contents.get(entry.old_oid) if _is_file(entry.old_mode) else None,
        after=contents.get(entry.new_oid) if _is_file(entry.new_mode) else None,
        hunks=hunks,
        opaque=_opaque(entry, reasons),
    )


def _is_file(mode: str) -> bool:
    return mode.startswith("100")


def _mismatch(what: str) -> IncompleteError:
    return IncompleteError(
        f"diff mismatch: {what}", fix="Nothing was reviewed; please report this with the output of `git --version`"
    )
