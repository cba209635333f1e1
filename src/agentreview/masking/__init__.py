"""What is changed in text before it leaves the machine: secrets and data of people, hidden characters, fences.

Hiding too much costs a reviewer little, because a value keeps its placeholder wherever it stands; hiding too little
cannot be taken back. So what is masked here is wider than what a policy would report. Placeholders come from a key
that never leaves the machine: a plain digest of a nine-digit number could be reversed by trying all of them.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator
from pathlib import Path

from agentreview.lazyre import lazy

from .identifiers import spans
from .rows import names

KEY_BYTES = 32
_PIECE, _OVERLAP = 4_000, 400  # characters of a line looked at together: padding must not hide anything
_LONGEST = 20_000  # a longer line is for no reader: from there on it is one value
_PLACEHOLDER = lazy(r"MASKED_[A-Z]+_[0-9a-f]{8,32}")
_ANY = lazy(r"MASKED_\w*")
_REST = lazy(r"MASKED_REST_[0-9a-f]{8,32}$")
_PEM = lazy(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(.*?)(?:-----END|\Z)", 16)  # re.DOTALL
_KEY_LINE = lazy(r"[A-Za-z0-9+/=]{8,}")


class Table:
    """Which placeholder stands for which value. With the same key, the same value always has the same one."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or os.urandom(KEY_BYTES)
        self._values: dict[str, str] = {}
        self._names: dict[tuple[str, str], str] = {}

    def __len__(self) -> int:
        return len(self._values)

    def name(self, kind: str, value: str) -> str:
        """Return the placeholder of a value, new or known."""
        known = self._names.get((kind, value))
        if known is not None:
            return known
        tag = hmac.new(self._key, f"{kind}\0{value}".encode("utf-8", "surrogatepass"), "sha256").hexdigest()
        size = 8
        while self._values.get(f"MASKED_{kind}_{tag[:size]}", value) != value:
            size += 4
        name = f"MASKED_{kind}_{tag[:size]}"
        self._values[name] = value
        self._names[kind, value] = name
        return name

    def value(self, name: str) -> str:
        """Return what a placeholder stands for, or the text itself where it is none of this table."""
        return self._values.get(name, name)


def open_table(store_dir: str | Path) -> Table:
    """Return a table whose key belongs to this repository, so that placeholders are the same in every run and worktree.

    Where the key cannot be kept, it is a new one each time: masking does not depend on a disk.
    """
    path = Path(store_dir, "masking.key")
    fresh = os.urandom(KEY_BYTES)
    temporary = path.with_name(f".masking-{os.getpid()}-{fresh[:6].hex()}")
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(fresh)
            try:
                os.link(temporary, path)  # only one of several processes gets its key there
            except FileExistsError:
                pass
            finally:
                temporary.unlink(missing_ok=True)
        key = path.read_bytes()
    except OSError:
        return Table(fresh)
    return Table(key if len(key) == KEY_BYTES else fresh)


def mask(text: str, table: Table) -> str:
    """Put a placeholder where a credential or an identifier of a person stands. Lines stay lines; masking twice is once."""
    found = [(a, b, "SECRET") for a, b in _key_lines(text)] if "PRIVATE KEY" in text else []
    found += [(a, b, "NAME") for a, b in names(text) if "\n" not in text[a:b]]
    found.sort(reverse=True)
    out, offset = [], 0
    for line in text.split("\n"):
        inside = []
        while found and found[-1][0] <= offset + len(line):
            start, end, kind = found.pop()
            inside.append((start - offset, end - offset, kind))
        out.append(_masked(line, inside, table))
        offset += len(line) + 1
    return "\n".join(out)


def unmask(text: str, table: Table) -> str:
    """Put the values back."""
    return _PLACEHOLDER.sub(lambda match: table.value(match[0]), text) if "MASKED_" in text else text


def placeholders(text: str) -> list[str]:
    """Return the placeholders in a text, also such as no table made."""
    return _ANY.findall(text)


def visible(text: str) -> str:
    r"""Show every character that a reader would not see or be misled by as ``\u202e``; line ends and tabs stay."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(char if char in "\n\t" or _shows(char) else _escaped(char) for char in text)


def fenced(text: str, label: str, boundary: str) -> str:
    """Put untrusted text between two lines that it cannot contain. ``label`` says what it is, in our own words."""
    inner = visible(text).replace(boundary, "fence")
    return f"<{boundary} {label}>\n{inner}\n</{boundary}>"


def _shows(char: str) -> bool:
    code = ord(char)
    return char.isprintable() and not (0xFE00 <= code <= 0xFE0E or 0xE0100 <= code <= 0xE01EF or code in _BLANKS)


_BLANKS = frozenset((0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x2800, 0x3164, 0xFFA0))
"""Printable, as Python sees it, and yet nothing is there."""


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _masked(line: str, found: list[tuple[int, int, str]], table: Table) -> str:
    if not line.strip():
        return line
    there = _REST.search(line)  # masked before, so it ends already
    limit = len(line) if there is not None and table.value(there[0]) != there[0] else _LONGEST
    looked_at = line[: limit + _OVERLAP]
    for start in range(0, len(looked_at), _PIECE - _OVERLAP):
        found += ((start + a, start + b, kind) for a, b, kind in spans(looked_at[start : start + _PIECE]))
        if start + _PIECE >= len(looked_at):
            break
    end = len(line)
    if end > len(looked_at):
        end = min([limit, *(a for a, b, _ in found if a < limit < b)])
    out, done = [], 0
    for start, stop, kind in _joined(line, found):
        if stop <= end:
            out += [line[done:start], table.name(kind, line[start:stop])]
            done = stop
    out.append(line[done:end])
    return "".join(out) + (table.name("REST", line[end:]) if end < len(line) else "")


def _joined(line: str, found: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Join what overlaps, and leave placeholders that are there already alone."""
    there = [match.span() for match in _PLACEHOLDER.finditer(line)]
    out: list[tuple[int, int, str]] = []
    for start, end, kind in sorted(found, key=lambda span: (span[0], -span[1])):
        if end <= start or any(start < b and a < end for a, b in there):
            continue
        if out and start < out[-1][1]:
            first = out.pop()
            out.append((first[0], max(first[1], end), "SECRET" if "SECRET" in (first[2], kind) else first[2]))
        else:
            out.append((start, end, kind))
    return out


def _key_lines(text: str) -> Iterator[tuple[int, int]]:
    """Where the lines of private keys are, the short last one included."""
    for block in _PEM.finditer(text):
        for line in _KEY_LINE.finditer(text, block.start(1), block.end(1)):
            yield line.span()
