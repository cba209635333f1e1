"""Edge: an edit for a finding of the last review, and putting it into the work tree.

An edit is of the file as it was reviewed. It is applied where that is what is staged, to lines of the work tree's file
that are the same there, in one step, and never through a link. What it comes to is what the next review says.
"""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path

from agentreview.errors import UsageError
from agentreview.fixes.edits import applied, lines_of
from agentreview.git import Repository, attempt, complaint, read_file, shown
from agentreview.model import Edit, Finding, Replacement, Verdict
from agentreview.records import dataclass, replace
from agentreview.snapshot import base_tree, staged_tree

MOST_BYTES = 4 * 1024 * 1024  # of a file of the work tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was written. ``staged``: the file had nothing else that was not staged, and is staged with the edit."""

    path: str
    staged: bool


def edit_for(repo: Repository, verdict: Verdict, finding: Finding) -> Edit | None:
    """Return the edit that the review proposed, or look for one: only what blocks has one already."""
    if finding.edit is not None:
        return finding.edit
    if not finding.agent.startswith("policy:"):
        return None
    from agentreview.changes import changes
    from agentreview.config import load_config
    from agentreview.fixes.proposing import propose_in_workers
    from agentreview.policies.compare import Engine
    from agentreview.policies.project import load_with
    from agentreview.surroundings import configuration
    from agentreview.worker import examine_in_workers

    change = next((one for one in changes(repo, verdict.base, verdict.tree) if one.path == finding.path), None)
    if change is None:
        return None
    files = configuration(repo, verdict.tree)
    loaded = load_with(files, examine_in_workers)
    engine = Engine(loaded.catalogue, load_config(files.get, known_policies=loaded.catalogue.ids()))
    return propose_in_workers([(finding, change)], engine)[0]


def reviewed_file(repo: Repository, verdict: Verdict, path: str) -> bytes:
    """Return the file that an edit is of. Raises UsageError when it is not what is staged any more."""
    reviewed, staged = (read_file(repo, tree, path) for tree in (verdict.tree, staged_tree(repo)))
    if reviewed is None or (reviewed != staged and not refused_all(repo, verdict)):
        raise UsageError(
            f"{shown(path)} is staged otherwise than it was reviewed",
            fix="Run agentreview again, then fix what it says",
        )
    return reviewed


def refused_all(repo: Repository, verdict: Verdict) -> bool:
    """Whether ``git commit -a`` was refused: its index is gone, nothing is staged, and the work tree is what was reviewed."""
    if staged_tree(repo) != base_tree(repo):
        return False
    return attempt(repo, "diff", "--quiet", "--no-ext-diff", "--no-textconv", verdict.tree, "--")[0] == 0


def stage_all(repo: Repository) -> None:
    """Stage what ``git commit -a`` would take. Raises UsageError."""
    status, _, error = attempt(repo, "add", "-u")
    if status:
        fix = "Stage your changes, review them, and try again: git add -u; agentreview"
        raise UsageError(f"git cannot stage what was reviewed: {complaint(error)}", fix=fix)


def apply(repo: Repository, edit: Edit, reviewed: bytes) -> Applied:
    """Write the edit into the work tree's file, and stage it where nothing else of the file waits. Raises UsageError."""
    place = _place(repo, edit.path)
    held, mode = _read(place)
    same = _plain(held) == _plain(reviewed)
    moved = edit if same else _moved(edit, reviewed, held)
    new = applied(moved, held) if moved is not None else None
    if new is None:
        fix = "Stage your changes of these lines or take them back, then run agentreview and this again"
        raise UsageError(f"{shown(edit.path)} has other lines in the work tree than were reviewed there", fix=fix)
    _write(place, new, mode)
    if same:
        status, _, error = attempt(repo, "add", "--", edit.path)
        if status:
            raise UsageError(
                f"{shown(edit.path)} was changed, and git cannot stage it: {complaint(error)}",
                fix=f"Stage it yourself: git add {shown(edit.path)}",
            )
    return Applied(path=edit.path, staged=same)


def _place(repo: Repository, path: str) -> Path:
    """Return where the file is, if every step to it is a directory of this work tree. Raises UsageError."""
    parts = path.split("/")
    fix = "Make the change by hand, where it belongs"
    if path.startswith("/") or not all(parts) or {".", ".."} & set(parts) or parts[0].lower() == ".git":
        raise UsageError(f"{shown(path)} is no file of the work tree", fix=fix)
    place = Path(repo.root)
    for part in parts:
        place /= os.fsdecode(part.encode("utf-8", "surrogateescape"))
        if place.is_symlink():
            raise UsageError(f"{shown(str(place))} is a link, and what it leads to is not changed", fix=fix)
    return place


def _read(place: Path) -> tuple[bytes, int]:
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
                raise UsageError(f"{shown(str(place))} is no file that can be changed", fix="Make the change by hand")
            return file.read(), stat.S_IMODE(found.st_mode)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{shown(str(place))} cannot be read: {reason}", fix="Check out the file first") from error


def _write(place: Path, data: bytes, mode: int) -> None:
    temporary = place.with_name(f".{place.name[:100]}.{os.getpid()}.agentreview")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
        temporary.replace(place)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{shown(str(place))} cannot be written: {reason}", fix="Make it writable") from error


def _plain(data: bytes) -> bytes:
    """The text without what line ends may differ in between a blob and a checkout."""
    return data.replace(b"\r\n", b"\n")


def _moved(edit: Edit, reviewed: bytes, held: bytes) -> Edit | None:
    """Return the edit for lines that stand elsewhere in a file that has other changes too; None where they changed."""
    old, new = lines_of(_plain(reviewed)), lines_of(_plain(held))
    if old is None or new is None:
        return None
    same = [
        (a, b, c)
        for tag, a, b, c, _ in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if tag == "equal"
    ]
    found = []
    for one in edit.replacements:
        first, last = max(0, one.start - 2), min(len(old), one.end + 1)  # with the line before and after
        block = next(((a, c) for a, b, c in same if a <= first and last <= b), None)
        if block is None:
            return None
        shift = block[1] - block[0]
        found.append(Replacement(start=one.start + shift, end=one.end + shift, lines=one.lines))
    return replace(edit, replacements=tuple(found))
