r"""Untrusted text made safe to show: paths, code, messages and reasons all come from the repository under review.

A terminal obeys escape sequences, a reader is fooled by bidirectional and invisible characters, and a CI log obeys
command markers. So what is not a printable character is shown as ``\x1b`` or ``\u202e``, and markers are broken.
"""

from __future__ import annotations

_COMMENTS = {
    "//": "js jsx mjs cjs ts tsx mts cts java go kt kts scala swift c h cc cpp hpp cs rs php dart groovy gradle proto"
    " prisma scss less jsonc",
    "--": "sql lua hs",
    "<!-- -->": "html htm xml svg md vue svelte",
    "/* */": "css",
    "": "json csv lock ipynb pem txt",  # no comments at all
}
_STYLES = {suffix: style for style, suffixes in _COMMENTS.items() for suffix in suffixes.split()}


def escape(text: str) -> str:
    r"""Show every character that is not printable, line ends included, and break markers that CI logs obey.

    Controls, bidirectional and zero-width characters, Unicode tags, variation selectors used to hide text, private and
    unassigned code points, and the lone surrogates that stand for undecodable bytes (shown as that byte: ``\xff``).
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(map(_visible, text))
    if "##" in text:  # ##[group], ##vso[task…], ##teamcity[…: obeyed anywhere in a line
        import re

        text = re.sub(r"##(?=\w*\[)", r"#\\x23", text)
    return text


def _visible(char: str) -> str:
    code = ord(char)
    if char.isprintable() and not (0xFE00 <= code <= 0xFE0E or 0xE0100 <= code <= 0xE01EF):
        return char
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def defuse(line: str) -> str:
    """Break a ``::`` that begins a line: there GitHub's runner takes it for a command, whatever the format."""
    body = line.lstrip()
    return line[: len(line) - len(body)] + "\\x3a" + body[1:] if body.startswith("::") else line


def cells(text: str) -> int:
    """How many terminal cells escaped text takes: East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def clip(text: str, width: int) -> str:
    """Cut escaped text to ``width`` cells, the last one an ellipsis."""
    if cells(text) <= width:
        return text
    kept = text[: max(width - 1, 0)]
    while kept and cells(kept) > width - 1:
        kept = kept[:-1]
    return kept + "…"


def code(text: str, width: int, *, focus: str = "") -> str:
    """One line of source: tabs expanded, escaped, cut to width. A cut keeps the part that begins with ``focus``."""
    text = text.rstrip("\r\n").expandtabs(4)
    start = text.find(focus.expandtabs(4)) if focus else 0
    if start > 0 and start + len(focus) > width:
        text = "…" + text[max(0, start - width // 4) :]
    return clip(escape(text[: width * 4]), width)  # the slice keeps a megabyte of minified code cheap


def wrap(text: str, width: int, *, limit: int = 40) -> list[str]:
    """Escape prose and break it into lines of at most ``width`` cells; after ``limit`` lines it says that it stops.

    Line ends in the text stay line ends, with their indentation (a fix may show code). Over-long words are broken,
    not cut, so that they can be put together again.
    """
    lines: list[str] = []
    most = width * (limit + 1)  # enough characters for one line too many: a megabyte must not be wrapped to be dropped
    for paragraph in text.expandtabs(4).replace("\r\n", "\n").split("\n"):
        lines += _fill(escape(paragraph[:most].rstrip()), width)
        if len(lines) > limit or len(paragraph) > most:
            return [*lines[: limit - 1], "… (cut; the json report has all of it)"]
    return lines


def _fill(paragraph: str, width: int) -> list[str]:
    indent = " " * min(len(paragraph) - len(paragraph.lstrip(" ")), width // 3)
    room = max(width - len(indent), 8)
    lines: list[str] = []
    line = ""
    for part in paragraph.split():
        word = part
        if line and cells(line) + 1 + cells(word) <= room:
            line += " " + word
            continue
        if line:
            lines.append(indent + line)
        while cells(word) > room:
            head = clip(word, room)[:-1] or word[:1]
            lines.append(indent + head)
            word = word[len(head) :]
        line = word
    return [*lines, indent + line] if line else lines


def comment(path: str, body: str) -> str | None:
    """``body`` as a comment in the language of ``path``; None where the language has no comments (JSON)."""
    name = path.rsplit("/", 1)[-1].lower()
    if path.startswith(".agents/policies/"):
        return f"# {body}"  # in the front matter, where the gate looks
    style = _STYLES.get(name.rsplit(".", 1)[-1], "#") if "." in name else "#"
    opening, _, closing = style.partition(" ")
    return f"{opening} {body} {closing}".rstrip() if style else None
