r"""Patch text of one file -> proved hunks. The only module that imports unidiff.

A patch is only a rendering, so nothing here is believed: hunks are consumed by their counts (a changed line may read
``diff --git`` or ``@@``), and every parse is proved by rebuilding the new blob from the old one, byte for byte.
unidiff gets one file at a time under a constant name, decoded as latin-1 (every byte survives) and split at ``\n``
only: whole patches, odd names, other encodings and other line ends are where it was seen to lose changes.
"""

from __future__ import annotations

import re
from io import StringIO

from agentreview.errors import IncompleteError
from agentreview.model import Hunk

_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_FIX = "Nothing was reviewed; please report this with the output of `git --version`"


def split_blocks(patch: bytes) -> tuple[bytes, ...]:
    """Split ``git diff-tree -p`` output into one entry a file block: its hunks without any header (``b""``: none).

    Raises IncompleteError when the text is not what its own counts promise.
    """
    blocks: list[bytes] = []
    block_open = False
    first = -1  # where the hunks of the open block start
    old = new = position = 0  # lines of the current hunk still to come on either side
    lines = patch.split(b"\n")
    if lines.pop():
        raise _mismatch("the patch ends in the middle of a line")
    for line in lines:
        kind = line[:1]
        if old or new:
            if kind == b"+":
                new -= 1
            elif kind == b"-":
                old -= 1
            elif kind in (b" ", b""):
                old -= 1
                new -= 1
            elif kind != b"\\":
                raise _mismatch("a hunk is shorter than its header says")
            if old < 0 or new < 0:
                raise _mismatch("a hunk is longer than its header says")
        elif kind == b"d" and line.startswith(b"diff --git "):
            if block_open:
                blocks.append(patch[first:position] if first >= 0 else b"")
            block_open, first = True, -1
        elif header := _HUNK.match(line):
            if not block_open:
                raise _mismatch("a hunk belongs to no file")
            if first < 0:
                first = position
            old, new = (1 if count is None else int(count) for count in header.groups())
        elif not block_open or (first >= 0 and kind != b"\\"):
            raise _mismatch("there is text outside the hunks")
        position += len(line) + 1
    if old or new:
        raise _mismatch("the last hunk is cut off")
    if block_open:
        blocks.append(patch[first:] if first >= 0 else b"")
    return tuple(blocks)


def parse_patch(block: bytes, before: bytes, after: bytes) -> tuple[Hunk, ...]:
    """Parse one block of :func:`split_blocks` and prove it: the hunks applied to ``before`` must give ``after``.

    Line numbers are proved with it. Raises IncompleteError when unidiff cannot parse the block or the proof fails.
    """
    if not block:
        if before != after:
            raise _mismatch("a changed file has no hunks")
        return ()
    from unidiff.errors import UnidiffParseError
    from unidiff.patch import PatchSet

    text = "--- a/f\n+++ b/f\n" + block.decode("latin-1")
    try:
        files = PatchSet(StringIO(text, newline="\n"))
    except (UnidiffParseError, ValueError, AssertionError) as error:
        raise _mismatch("a hunk cannot be parsed") from error
    if len(files) != 1 or not files[0]:
        raise _mismatch(f"one file's hunks were read as {len(files)} files")

    source = _lines(before)
    result: list[str] = []
    hunks: list[Hunk] = []
    at = 0  # the first line of source not consumed yet
    for hunk in files[0]:
        start = hunk.source_start - 1 if hunk.source_length else hunk.source_start
        if not at <= start <= len(source):
            raise _mismatch("hunks overlap or lie outside the file")
        result += source[at:start]
        at = start
        if hunk.target_start != len(result) + bool(hunk.target_length):
            raise _mismatch("a hunk's new line number is wrong")
        added: list[int] = []
        removed: list[int] = []
        last = ""
        for line in hunk:
            kind = line.line_type
            if kind == "+":
                result.append(line.value)
                added.append(len(result))
            elif kind == "\\":  # "\ No newline at end of file", about the line before it
                if last == "+":
                    result[-1] = result[-1][:-1]
            else:
                if at >= len(source) or line.value.removesuffix("\n") != source[at].removesuffix("\n"):
                    raise _mismatch("a hunk does not fit the old file")
                if kind == "-":
                    removed.append(at + 1)
                else:
                    result.append(source[at])
                at += 1
            last = kind
        hunks.append(
            Hunk(
                old_start=hunk.source_start,
                old_lines=hunk.source_length,
                new_start=hunk.target_start,
                new_lines=hunk.target_length,
                added=tuple(added),
                removed=tuple(removed),
            )
        )
    result += source[at:]
    if "".join(result).encode("latin-1") != after:
        raise _mismatch("the hunks do not rebuild the new file")
    return tuple(hunks)


def _lines(data: bytes) -> list[str]:
    """Lines with their ends, in latin-1. Not ``splitlines``, which also splits at form feeds and carriage returns."""
    parts = data.decode("latin-1").split("\n")
    lines = [part + "\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def _mismatch(what: str) -> IncompleteError:
    return IncompleteError(f"diff mismatch: {what}", fix=_FIX)
