"""Lines as a model sees them: ``42:9f3c|code``, with secrets replaced and hidden characters escaped; and the way back.

The hash is of the line as it stands in the blob, so an answer that cites line, hash and text can be proved against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agentreview.canonical import digest
from agentreview.masking import Table, mask, unmask, visible
from agentreview.records import dataclass, field
from agentreview.reviewers.units import Version

WIDEST = 600  # characters of a line; the rest of it is said to be left out
CUT = " …[line cut]"


def line_hash(text: str) -> str:
    """Four hexadecimal digits that name a line by its text, not by its number."""
    return digest(text.rstrip().encode("utf-8", "surrogatepass"), size=2)[3:]


@dataclass(slots=True)
class Shown:
    """What one review shows. ``table`` knows what placeholders stand for: it never leaves the machine."""

    table: Table
    _lines: dict[int, list[str]] = field(default_factory=dict)
    _versions: dict[tuple[str, str], Version] = field(default_factory=dict)

    def add(self, version: Version, side: str) -> None:
        """Make a version of a file citable: ``side`` is after, or before."""
        for name in (version.path, self.word(version.path)):  # the second is how a strange name is shown
            self._versions.setdefault((name, side), version)

    def version(self, path: str, side: str) -> Version | None:
        """Return the version that was shown."""
        return self._versions.get((path, side))

    def text(self, text: str) -> str:
        """Mask and escape prose: a message, a reason."""
        return visible(mask(text, self.table))

    def word(self, text: str) -> str:
        """The same on one line: names and messages must not look like lines of a packet."""
        return " ".join(self.text(text).split())

    def lines(self, version: Version) -> list[str]:
        """Return every line of a version as it is shown, without number and hash."""
        known = self._lines.get(id(version))
        if known is None:
            masked = mask("\n".join(version.lines), self.table).split("\n")
            known = self._lines[id(version)] = [_cut(visible(line.rstrip("\r"))) for line in masked]
        return known

    def rows(self, version: Version, side: str, numbers: Iterable[int]) -> list[str]:
        """Return lines with number and hash, ready to be sent; gaps are shown as such."""
        self.add(version, side)
        shown = self.lines(version)
        out: list[str] = []
        last = 0
        for number in numbers:
            if not 1 <= number <= len(shown):
                continue
            if last and number > last + 1:
                out.append("   …")
            out.append(f"{number}:{line_hash(version.lines[number - 1])}|{shown[number - 1]}")
            last = number
        return out

    def unmasked(self, text: str) -> str:
        """Put back what placeholders stand for. Only for what stays on this machine."""
        return unmask(text, self.table)


def _cut(line: str) -> str:
    return line if len(line) <= WIDEST else line[:WIDEST] + CUT


@dataclass(frozen=True, slots=True)
class Place:
    """A line that was proved: where it is in the blob."""

    path: str
    side: str
    line: int
    text: str


def prove(shown: Shown, cited: Mapping[str, object], side: str = "after") -> Place | str:
    """Prove path, line, hash and quote of an answer against the blob; a sentence says why not.

    All three must agree: the hash is the line's, and the quote is text of the line as it was shown.
    """
    path, line = str(cited.get("path", "")), cited.get("line")
    version = shown.version(path, side)
    if version is None:
        return f"{path or 'no file'} was not shown ({side})"
    path = version.path
    if not isinstance(line, int) or isinstance(line, bool) or not 1 <= line <= len(version.lines):
        return f"{path} has no line {line}"
    there = version.lines[line - 1]
    if str(cited.get("hash", "")) != line_hash(there):
        return f"{path}:{line} has another hash"
    quote, seen = _flat(str(cited.get("quote", ""))), _flat(shown.lines(version)[line - 1].removesuffix(CUT))
    if not quote or quote not in seen or (len(quote) < min(len(seen), 8)):
        return f"{path}:{line} does not hold the quoted text"
    return Place(path, side, line, there)


def _flat(text: str) -> str:
    return " ".join(text.split())
