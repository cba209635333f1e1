"""Where each key of a TOML document is: to word an error, and to edit a value in place. The parser itself does not say.

The text has already been parsed, so it is valid TOML and the scan may trust its grammar.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress

from agentreview.records import dataclass, field

Key = tuple[str | int, ...]

_BARE_END = frozenset(",]}\n#")


def key_lines(text: str, decode: Callable[[str], str]) -> dict[Key, int]:
    r"""Map every key and table header to its 1-based line; members of arrays count from 0 (``("a", 0, "b")``).

    ``decode`` turns a quoted TOML string, quotes included, into its value. Line ends must be ``\n``.
    """
    return layout(text, decode).lines


@dataclass(slots=True)
class Layout:
    """Where things stand. ``headers``: tables with a ``[header]`` of their own, to the offset of its bracket.

    ``values``: keys outside inline tables and arrays, each with its header, and start and end of the value.
    """

    lines: dict[Key, int] = field(default_factory=dict)
    headers: dict[Key, int] = field(default_factory=dict)
    values: dict[Key, tuple[Key, int, int]] = field(default_factory=dict)


def layout(text: str, decode: Callable[[str], str]) -> Layout:
    """Say where every key, header and value is; see :func:`key_lines` for the arguments."""
    scan = _Scan(text, decode)
    with suppress(IndexError, ValueError, RecursionError):  # what was found by then is right: enclosing tables
        scan.document()
    return scan.found


class _Scan:
    def __init__(self, text: str, decode: Callable[[str], str]) -> None:
        self.text = text
        self.decode = decode
        self.at = 0
        self.found = Layout()
        self.inline = 0
        self.arrays: dict[Key, int] = {}  # array of tables -> index of its newest member
        self.ends = [i for i, char in enumerate(text) if char == "\n"]

    def note(self, key: Key, at: int) -> None:
        self.found.lines.setdefault(key, bisect_left(self.ends, at) + 1)

    def document(self) -> None:
        table: Key = ()
        while self.skip():
            if self.text[self.at] != "[":
                self.pair(table)
                continue
            start = self.at
            double = self.text.startswith("[[", start)
            self.at += 2 if double else 1
            parts = self.dotted()
            table = ()
            for number, part in enumerate(parts):
                table = (*table, part)
                if double and number == len(parts) - 1:
                    self.arrays[table] = self.arrays.get(table, -1) + 1
                self.note(table, start)
                if table in self.arrays:
                    table = (*table, self.arrays[table])
                    self.note(table, start)
            self.found.headers.setdefault(table, start)
            self.at += 2 if double else 1

    def skip(self, *, newlines: bool = True) -> bool:
        """Skip blanks and comments; false at the end of the text."""
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "#" and newlines:
                end = self.text.find("\n", self.at)
                self.at = end if end >= 0 else len(self.text)
            elif char in " \t\r" or (newlines and char == "\n"):
                self.at += 1
            else:
                return True
        return False

    def dotted(self) -> list[str]:
        parts = []
        while True:
            self.skip(newlines=False)
            start = self.at
            if self.text[start] in "\"'":
                self.string()
                parts.append(self.decode(self.text[start : self.at]))
            else:
                while self.text[self.at] not in " \t=.]":
                    self.at += 1
                parts.append(self.text[start : self.at])
            self.skip(newlines=False)
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def pair(self, table: Key) -> None:
        start, key = self.at, table
        for part in self.dotted():
            key = (*key, part)
            self.note(key, start)
        self.at += 1  # =
        self.skip(newlines=False)
        start = self.at
        self.value(key)
        if not self.inline:
            self.found.values.setdefault(key, (table, start, start + len(self.text[start : self.at].rstrip())))

    def value(self, key: Key) -> None:
        self.skip()
        char = self.text[self.at]
        if char in "\"'":
            self.string()
        elif char in "[{":
            self.at += 1
            self.inline += 1
            index = 0
            while self.skip() and self.text[self.at] not in "]}":
                if char == "{":
                    self.pair(key)
                else:
                    self.note((*key, index), self.at)
                    self.value((*key, index))
                    index += 1
                if self.skip() and self.text[self.at] == ",":
                    self.at += 1
            self.inline -= 1
            self.at += 1
        else:
            while self.at < len(self.text) and self.text[self.at] not in _BARE_END:
                self.at += 1

    def string(self) -> None:
        quote = self.text[self.at]
        fence = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(fence)
        while not self.text.startswith(fence, self.at):
            if self.text[self.at] == "\\" and quote == '"':
                self.at += 1
            self.at += 1
            if self.at > len(self.text):
                raise IndexError(self.at)
        self.at += len(fence)
        while len(fence) == 3 and self.text.startswith(quote, self.at):
            self.at += 1  # up to two more quotes belong to the string
