"""Setting one value in a TOML text and leaving every other byte as it is: comments, order, blank lines.

Not a writer of TOML. It knows the layouts people use, and says nothing where it does not: whoever calls it parses the
result and compares the two documents, which is the proof.
"""

from __future__ import annotations

import re

from .tomlscan import Key, Layout

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def put(text: str, layout: Layout, key: Key, value: str) -> str | None:
    r"""Return the text with ``key`` set to ``value`` (written as TOML), or ``None`` where that takes a person.

    ``layout`` is that of the text. An existing value is replaced; a new one goes below the last of its table; a table
    that has no header gets one before its first sub-table, else at the end of what it belongs to. Line ends are ``\n``.
    """
    if key in layout.values:
        _, start, end = layout.values[key]
        return text[:start] + value + text[end:]
    if key in layout.lines:
        return None  # a table, or inside one that stands on one line
    table = key[:-1]
    members = [held for held in layout.values if held[: len(table)] == table and layout.values[held][0] == table]
    if members:
        return _after(text, max(layout.values[held][2] for held in members), f"{_dotted(key[-1:])} = {value}")
    if table in layout.headers:
        return _after(text, layout.headers[table], f"{_dotted(key[-1:])} = {value}")
    if table in layout.values:
        return None
    dotted = [held for held in layout.values if held[: len(table)] == table]
    if dotted:  # facts.tenant.key = "org" under another header
        header, _, end = layout.values[dotted[-1]]
        if len(header) < len(table):
            return _after(text, end, f"{_dotted(key[len(header) :])} = {value}")
    return _new_table(text, layout, table, f"{_dotted(key[-1:])} = {value}")


def _new_table(text: str, layout: Layout, table: Key, line: str) -> str:
    below = [at for header, at in layout.headers.items() if header[: len(table)] == table]
    if below:
        at = _before_comments(text, min(below))
        return f"{text[:at]}[{_dotted(table)}]\n{line}\n\n{text[at:]}"
    parent = layout.headers.get(table[:-1])
    after = [at for at in layout.headers.values() if parent is not None and at > parent]
    if after:
        at = _before_comments(text, min(after))
        return f"{text[:at]}[{_dotted(table)}]\n{line}\n\n{text[at:]}"
    gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
    return f"{text}{gap}[{_dotted(table)}]\n{line}\n"


def _after(text: str, at: int, line: str) -> str:
    end = text.find("\n", at)
    if end < 0:
        return f"{text}\n{line}\n"
    return f"{text[: end + 1]}{line}\n{text[end + 1 :]}"


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
