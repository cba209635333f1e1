"""One file as detection reads it: its lines, and a way to the lines that hold a word, without looking at the others."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from agentreview.detect_models import Lines, source_lines


class AnyOf:
    """Some words in lower case, and a pattern for any of them: most files hold none, which ``in`` finds out fastest."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.pattern = re.compile("|".join(map(re.escape, words)))


def any_of(words: str) -> AnyOf:
    """Words separated by blanks."""
    return AnyOf(*words.split())


class Source:
    """A file's lines without comments; ``lower`` is all of them in lower case, joined."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.lines: Lines = source_lines(data)
        lower = [text.lower() for _, text in self.lines]
        self.lower = "\n".join(lower)
        self.starts = [0, *accumulate(len(text) + 1 for text in lower)]

    def having(self, any_of: AnyOf) -> Iterator[tuple[int, int, str]]:
        """(index, number, text) of every line that holds one of the words, each once."""
        last = -1
        if not any(word in self.lower for word in any_of.words):
            return
        for found in any_of.pattern.finditer(self.lower):
            at = bisect_right(self.starts, found.start()) - 1
            if at != last and at < len(self.lines):
                last = at
                number, text = self.lines[at]
                yield at, number, text
