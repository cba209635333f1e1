"""Setting a value in a TOML text and leaving every other byte as it is: comments, order, blank lines.

Not a writer of TOML. It knows the layouts people use, and says nothing where it does not: whoever calls it parses the
result and compares the two documents, which is the proof.
"""

from __future__ import annotations

import re

from agentreview.records import dataclass

from .tomlscan import Key, Layout

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a new key goes: an offset at the beginning of a line, the name to give it there, and a header it needs."""

    at: int
    name: str
    header: str = ""


def put(text: str, layout: Layout, key: Key, value: str) -> str | None:
    r"""Return the text with ``key`` set to ``value`` (written as TOML), or ``None`` where that takes a person.

    ``layout`` is that of the text, whose line ends are ``\n``. An existing value is replaced.
    """
    if key in layout.values:
        _, start, end = layout.values[key]
        return text[:start] + value + text[end:]
    spot = spot_for(text, layout, key)
    return insert(text, spot, f"{spot.name} = {value}") if spot else None


def spot_for(text: str, layout: Layout, key: Key) -> Spot | None:
    """Return where a key that is not there yet goes, or ``None`` where that takes a person.

    Below the last key of its table; a table that has no header gets one before its first sub-table, else at the end
    of what it belongs to.
    """
    if key in layout.lines:
        return None  # it is there, as a table or inside one that stands on one line
    table = key[:-1]
    members = [held for held in layout.values if held[: len(table)] == table and layout.values[held][0] == table]
    if members:
        return Spot(_next_line(text, max(layout.values[held][2] for held in members)), _dotted(key[-1:]))
    if table in layout.headers:
        return Spot(_next_line(text, layout.headers[table]), _dotted(key[-1:]))
    if table in layout.values:
        return None
    dotted = [held for held in layout.values if held[: len(table)] == table]
    if dotted:  # facts.tenant.key = "org" under another header
        header, _, end = layout.values[dotted[-1]]
        if len(header) < len(table):
            return Spot(_next_line(text, end), _dotted(key[len(header) :]))
    return _new_table(text, layout, table, _dotted(key[-1:]))


def insert(text: str, spot: Spot, block: str) -> str:
    """Return the text with a block of whole lines at the spot."""
    before, after = text[: spot.at], text[spot.at :]
    if before and not before.endswith("\n"):
        before += "\n"
    if not spot.header:
        return f"{before}{block}\n{after}"
    gap = "" if not before or before.endswith("\n\n") or after else "\n"
    return f"{before}{gap}[{spot.header}]\n{block}\n" + (f"\n{after}" if after else "")


def _new_table(text: str, layout: Layout, table: Key, name: str) -> Spot:
    below = [at for header, at in layout.headers.items() if header[: len(table)] == table]
    parent = layout.headers.get(table[:-1])
    after = below or [at for at in layout.headers.values() if parent is not None and at > parent]
    return Spot(_before_comments(text, min(after)) if after else len(text), name, _dotted(table))


def _next_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _before_comments(text: str, at: int) -> int:
    """Where the comment lines directly above a line begin: they speak of what follows."""
    start = text.rfind("\n", 0, at) + 1
    while start:
        above = text.rfind("\n", 0, start - 1) + 1
        if not text[above:start].lstrip(" \t").startswith("#"):
            return start
        start = above
    return start


def _dotted(key: Key) -> str:
    return ".".join(str(part) if _BARE.fullmatch(str(part)) else quoted(str(part)) for part in key)


def quoted(value: str) -> str:
    """Write printable text as a TOML string."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
