"""Names of people in rows whose columns are named: INSERT statements, and text with a line of headings above it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentreview.lazyre import lazy

NAME_COLUMN = lazy(
    r"(?i)(?:\w{0,30}[_ .-])?(?:first|last|full|given|family|middle|maiden|preferred|patient|member|subscriber|guarantor|beneficiary|contact)[_ -]?names?"
    r"|(?:\w{0,30}_)?(?:surname|forename|lname|fname)|next[_ -]?of[_ -]?kin"
)
_INSERT = lazy(r"(?is)\binsert\s+into\s+[\w.\"`\[\]]{1,120}\s*\(([^()]{3,2000})\)\s*values\s*")
_VALUE = lazy(r"(?is)\s*(?:'((?:[^'\\]|\\.|''){0,400})'|\"((?:[^\"\\]|\\.){0,400})\"|([^,()'\"]{0,200}))\s*")
_HEADING = lazy(r"[\"']?[A-Za-z_][\w .#/-]{0,40}[\"']?")
_MAX_ROWS = 2_000


def names(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every value in a column that holds names of people, anywhere in a text."""
    yield from _inserted(text)
    yield from _listed(text)


def _inserted(text: str) -> Iterator[tuple[int, int]]:
    for found in _INSERT.finditer(text):
        at = found.end()
        wanted = _columns([one.strip().strip("\"'`[]") for one in found[1].split(",")])
        for _ in range(_MAX_ROWS if wanted else 0):
            if text[at : at + 1] != "(":
                break
            at, column = at + 1, 0
            while True:
                value = _VALUE.match(text, at)
                if value is None:
                    return
                group = 1 if value[1] is not None else 2
                if column in wanted and value[group]:
                    yield value.span(group)
                at, column = value.end(), column + 1
                if text[at : at + 1] != ",":
                    break
                at += 1
            if text[at : at + 1] != ")":
                break
            at += 1
            while text[at : at + 1] and text[at] in ", \t\r\n":
                at += 1


def _listed(text: str) -> Iterator[tuple[int, int]]:
    """Rows below a line of headings, as long as they have as many cells; one without a digit in any cell is no row of data."""
    start, wanted, cells, mark = 0, frozenset[int](), 0, ""
    for line in text.split("\n"):
        head = _heading(line)
        if head is not None:
            mark, cells, wanted = head
        elif not wanted:
            pass
        elif mark not in line:
            wanted = frozenset()
        elif line.count(mark) + 1 == cells and any(char.isdigit() for char in line):
            at = start
            for column, cell in enumerate(line.split(mark)):
                inner = cell.strip(" \t\r\"'")
                if column in wanted and inner and any(char.isalpha() for char in inner):
                    begin = at + cell.index(inner)
                    yield begin, begin + len(inner)
                at += len(cell) + 1
        start += len(line) + 1


def _heading(line: str) -> tuple[str, int, frozenset[int]] | None:
    """Read a line of headings: its separator, how many cells, and which of them are names. At least three, one of them a name."""
    if not 8 <= len(line) <= 2_000:
        return None
    for mark in ",;\t|":
        cells = line.rstrip("\r").split(mark) if line.count(mark) > 1 else []
        if cells and all(_HEADING.fullmatch(cell.strip(" \t")) for cell in cells):
            wanted = _columns([cell.strip(" \t\"'") for cell in cells])
            return (mark, len(cells), wanted) if wanted else None
    return None


def _columns(cells: Sequence[str]) -> frozenset[int]:
    return frozenset(number for number, cell in enumerate(cells) if NAME_COLUMN.fullmatch(cell))
