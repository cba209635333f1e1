"""Edits of one file by whole lines: made, applied, and shown as a diff. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from agentreview.model import Edit, FileChange, Hunk, Replacement
from agentreview.records import replace


def lines_of(data: bytes) -> list[str] | None:
    r"""Return the lines of a text without their ``\n``, a ``\r`` kept; None for what is not UTF-8."""
    try:
        return data.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        return None


def applied(edit: Edit, data: bytes) -> bytes | None:
    """Return the file with the edit in it, None where it does not fit. Line ends are those of the lines around."""
    lines = lines_of(data)
    if lines is None:
        return None
    ended = "\r" if sum(line.endswith("\r") for line in lines) * 2 > len(lines) - 1 else ""
    last = len(lines) + 1
    for one in sorted(edit.replacements, key=lambda r: (r.start, r.end), reverse=True):
        if not (1 <= one.start <= one.end + 1 <= last) or one.end > len(lines):
            return None
        if one.end >= last:  # two of them meet
            return None
        last = one.start
        lines[one.start - 1 : one.end] = [line.rstrip("\r") + ended for line in one.lines]
    return "\n".join(lines).encode("utf-8")


def replacing(path: str, note: str, start: int, end: int, lines: Sequence[str]) -> Edit:
    """Make an edit of one place; ``end`` before ``start`` inserts before that line."""
    return Edit(path=path, note=note, replacements=(Replacement(start=start, end=end, lines=tuple(lines)),))


def diff(edit: Edit, data: bytes) -> str:
    """Return the edit as a unified diff. The text is the repository's: escape it before it is printed."""
    new = applied(edit, data)
    old, now = (lines_of(one) if one is not None else None for one in (data, new))
    if old is None or now is None:
        return ""
    rows = difflib.unified_diff(old, now, f"a/{edit.path}", f"b/{edit.path}", lineterm="", n=3)
    return "\n".join(row.rstrip("\r") for row in rows) + "\n"


def changed(change: FileChange, after: bytes) -> FileChange:
    """Return the same change of a file, ending in ``after``."""
    old, new = ((data or b"").split(b"\n") for data in (change.before, after))
    hunks = tuple(
        Hunk(
            old_start=a1 + 1, old_lines=a2 - a1, new_start=b1 + 1, new_lines=b2 - b1,
            removed=tuple(range(a1 + 1, a2 + 1)), added=tuple(range(b1 + 1, b2 + 1)),
        )
        for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if tag != "equal"
    )  # fmt: skip
    if change.before is None:
        hunks = (Hunk(old_start=0, old_lines=0, new_start=1, new_lines=len(new), added=tuple(range(1, len(new) + 1))),)
    return replace(change, after=after, hunks=hunks)
