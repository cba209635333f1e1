"""Draw docs/blocked-commit.svg: the blocked commit as the demonstration really prints it. Run with `make picture`.

Plain SVG and no script: text in a monospace font, with the colours of the terminal report in a light and a dark set.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from html import escape
from pathlib import Path

PICTURE = Path(__file__).with_name("blocked-commit.svg")
FIRST = '$ git commit -m "Show a patient"'
LAST = "BLOCKED: "

ROWS, COLUMNS = 24, 100
ADVANCE, LEADING, SIZE, MARGIN, BAR = 8.43, 19, 14, 18, 34  # pixels; ADVANCE is a cell of the widest usual font
_ANSI = re.compile(r"\x1b\[([0-9;]*)m")
_CLASSES = {"1": "b", "2": "d", "1;31": "r", "31": "r", "33": "y", "32": "g", "36": "c"}
_FONT = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
_PARTS = ("rect", "circle", "text", ".d", ".r", ".y", ".g", ".c")
_LIGHT = ("#ffffff", "#d0d7de", "#1f2328", "#656d76", "#c11c28", "#875e00", "#1a6f37", "#0a5f73")
_DARK = ("#0d1117", "#30363d", "#e6edf3", "#9198a1", "#ff7b72", "#d8a734", "#56d364", "#56c8d8")


def demonstration() -> str:
    """Run `agentreview demo` in a terminal of its own and return everything it shows. Raises when it fails."""
    pid, terminal = pty.fork()
    if pid == 0:
        for name in ("NO_COLOR", "FORCE_COLOR"):
            os.environ.pop(name, None)
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "agentreview", "demo"])  # noqa: S606 - there is no shell to start it with
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    shown = b""
    while part := _read(terminal):
        shown += part
    os.close(terminal)
    text = shown.decode("utf-8").replace("\r\n", "\n")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise SystemExit(f"{text}\nthe demonstration failed with {status}")
    return text


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that the other end was closed
        return b""


def blocked(text: str) -> list[str]:
    """Cut the refused commit out of what the demonstration prints, colours kept."""
    lines = text.splitlines()
    plain = [_ANSI.sub("", line) for line in lines]
    start = plain.index(FIRST)
    end = next(number for number in range(start, len(plain)) if plain[number].startswith(LAST))
    return lines[start : end + 1]


def spans(line: str) -> str:
    """Turn one line with ANSI colours into text elements."""
    out, style = [], ""
    for number, part in enumerate(_ANSI.split(line)):
        if number % 2:
            style = _CLASSES.get(part, "")
        elif part:
            text = escape(part)
            out.append(f'<tspan class="{style}">{text}</tspan>' if style else text)
    return "".join(out)


def style(colors: tuple[str, ...]) -> str:
    """Return one set of colours as style rules."""
    rules = [f"{part} {{ fill: {color} }}" for part, color in zip(_PARTS, colors, strict=True)]
    return " ".join([*rules, f"rect {{ stroke: {colors[1]} }}"])


def draw(lines: list[str]) -> str:
    """Lay the lines out below each other in a frame."""
    columns = max(len(_ANSI.sub("", line)) for line in lines)
    width, height = round(columns * ADVANCE) + 2 * MARGIN, len(lines) * LEADING + BAR + MARGIN
    first = BAR + SIZE
    texts = [
        f'  <text x="{MARGIN}" y="{first + number * LEADING}" xml:space="preserve">{spans(line)}</text>'
        for number, line in enumerate(lines)
        if line
    ]
    dots = [f'  <circle cx="{MARGIN + 6 + 20 * number}" cy="18" r="6"/>' for number in range(3)]
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" \
aria-labelledby="title">
  <title id="title">A commit refused by agentreview, in a terminal</title>
  <style>
    text {{ font: {SIZE}px {_FONT}; white-space: pre }} .b, .r {{ font-weight: bold }}
    {style(_LIGHT)}
    @media (prefers-color-scheme: dark) {{
      {style(_DARK)}
    }}
  </style>
  <rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>
{chr(10).join([*dots, *texts])}
</svg>
"""


if __name__ == "__main__":
    PICTURE.write_text(draw(blocked(demonstration())), encoding="utf-8")
