"""Draw docs/blocked-commit.svg: the blocked commit as the demonstration really prints it. Run with `make picture`.

Plain SVG and no script: text in a monospace font, with the colours of the terminal report in a light and a dark set.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import escape
from pathlib import Path

PICTURE = Path(__file__).with_name("blocked-commit.svg")
FIRST = '$ git commit -m "Show a patient"'
LAST = "BLOCKED: "

ADVANCE, LEADING, SIZE, MARGIN, BAR = 8.43, 19, 14, 18, 34  # pixels; ADVANCE is a cell of the widest usual font
_ANSI = re.compile(r"\x1b\[([0-9;]*)m")
_CLASSES = {"1": "b", "2": "d", "1;31": "r", "31": "r", "33": "y", "32": "g", "36": "c"}

STYLE = """\
    svg { --paper: #ffffff; --edge: #d0d7de; --ink: #1f2328; --dim: #656d76;
          --red: #c11c28; --yellow: #875e00; --green: #1a6f37; --cyan: #0a5f73; }
    @media (prefers-color-scheme: dark) {
      svg { --paper: #0d1117; --edge: #30363d; --ink: #e6edf3; --dim: #9198a1;
            --red: #ff7b72; --yellow: #d8a734; --green: #56d364; --cyan: #56c8d8; }
    }
    rect { fill: var(--paper); stroke: var(--edge); }
    circle { fill: var(--edge); }
    text { fill: var(--ink); font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
           white-space: pre; }
    .b { font-weight: bold } .d { fill: var(--dim) } .y { fill: var(--yellow) } .g { fill: var(--green) }
    .c { fill: var(--cyan) } .r { fill: var(--red); font-weight: bold }"""


def demonstration(*, color: bool) -> str:
    """Run `agentreview demo` and return everything it prints."""
    looks = {"FORCE_COLOR": "1"} if color else {"NO_COLOR": "1"}
    env = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR"}}
    argv = [sys.executable, "-m", "agentreview", "demo", "--color", "always" if color else "never"]
    done = subprocess.run(argv, env={**env, **looks}, capture_output=True, text=True, encoding="utf-8", check=True)
    return done.stdout


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
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
            ' role="img" aria-labelledby="title">',
            '  <title id="title">A commit refused by agentreview, in a terminal</title>',
            "  <style>",
            STYLE,
            "  </style>",
            f'  <rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
            *dots,
            *texts,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(blocked(demonstration(color=True))), encoding="utf-8")
