"""Pages of the documentation, played: what their blocks say is typed, and what is printed is compared with what they show.

In a page, ``console`` blocks hold commands after ``$`` and all that they print (``...`` stands for what varies, a line or
a part of one), ``sh`` blocks hold commands alone. Comments, which no reader sees, say what a block cannot (those of
``docs/generate.py`` are passed over)::

    <!-- start: empty -->       no repository: the page makes its own
    <!-- needs: git 2.54 -->    the page is played with a newer git only
    <!-- needs: a model -->     and this one with a server that answers as a model would
    <!-- file: PATH -->         the next block is the text of this file
    <!-- exits 1 -->            how the last command of the next block ends; else with 0
    <!-- not run: REASON -->    the next block cannot be played here
    <!-- run: COMMANDS -->      typed here, and not shown
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^(`{3,})([\w-]*)(.*)$")
COMMENT = re.compile(
    r"<!--\s*(start|needs|file|exits|not run|run|toctree|generate|include|code host):?\s*(.*?)\s*-->", re.DOTALL
)
ENDED = re.compile(r"\n?\x1e(\d+) (\d+)\x1e\n")
SHELLS = ("console", "sh")


@dataclass(frozen=True)
class Block:
    """A fenced block, or the commands of a ``run`` comment (language ``run``), with the line it begins in."""

    line: int
    language: str
    text: str
    said: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    """What is typed at once, where that stands, what it has to print (``None``: anything) and how it ends."""

    line: int
    text: str
    shown: str | None
    code: int = 0


def blocks(page: str) -> list[Block]:
    """Every fenced block of a page, and every ``run`` comment, in order."""
    found: list[Block] = []
    said: dict[str, str] = {}
    lines = page.split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        if fence := FENCE.match(line):
            end = next(n for n in range(number + 1, len(lines)) if lines[n] == fence[1])
            found.append(Block(number + 1, fence[2], "".join(f"{one}\n" for one in lines[number + 1 : end]), said))
            said, number = {}, end
        elif line.startswith("<!--"):
            end = next(n for n in range(number, len(lines)) if "-->" in lines[n])
            comment = COMMENT.fullmatch("\n".join(lines[number : end + 1]).strip())
            assert comment, f"line {number + 1}: {line} is not a comment that is understood"
            if comment[1] == "run":
                found.append(Block(number + 1, "run", comment[2] + "\n"))
            elif comment[1] in ("file", "exits", "not run"):
                said[comment[1]] = comment[2]
            number = end
        elif line.strip():
            assert not said, f"line {number + 1}: {said} stands before no block"
        number += 1
    return found


def about(page: str, name: str) -> str:
    """What a comment says of the whole page: ``start`` or ``needs``, or nothing."""
    return next((comment[2] for comment in COMMENT.finditer(page) if comment[1] == name), "")


def commands(block: Block) -> list[Command]:
    """What is typed in a block; a ``console`` block says for each command what it prints."""
    code = int(block.said.get("exits", "0"))
    if block.language != "console":
        return [Command(block.line, block.text, None, code)]
    found: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            found.append((number, line[2:] + "\n", []))
        elif line.startswith(">") and not found[-1][2]:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line[2:]}\n", [])
        else:
            found[-1][2].append(line)
    last = len(found) - 1
    return [
        Command(line, text, "\n".join(shown), code if n == last else 0) for n, (line, text, shown) in enumerate(found)
    ]


def pattern(shown: str) -> re.Pattern[str]:
    """Match what is printed against what is shown: a line of ``...`` is any lines, ``...`` in a line anything in it."""
    parts = []
    for line in shown.rstrip("\n").split("\n"):
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(r"[^\n]*?".join(re.escape(part) for part in line.rstrip().split("...")) + r"[ ]*\n")
    return re.compile("".join(parts) if shown else "")


def play(page: str, cwd: Path, env: dict[str, str], script: Path) -> list[str]:
    """Write the files and type the commands of a page, in one shell; returns what is not as the page says."""
    typed: list[Command] = []
    text = ""
    for block in blocks(page):
        if "not run" in block.said:
            continue
        if "file" in block.said:
            path = block.said["file"]
            text += f"mkdir -p $(dirname {path})\ncat >{path} <<'END OF THE FILE'\n{block.text}END OF THE FILE\n"
        elif block.language in (*SHELLS, "run"):
            for command in commands(block):
                halt = command.shown is None and command.code == 0
                text += f"{'set -e' if halt else 'set +e'}\n{command.text}"
                text += f"printf '\\n\\036%s %s\\036\\n' {len(typed)} $?\n"
                typed.append(command)
    script.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["bash", script], cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False
    )  # fmt: skip
    parts = ENDED.split(done.stdout.decode("utf-8", "replace"))
    printed = {
        int(number): (int(code), out) for out, number, code in zip(parts[::3], parts[1::3], parts[2::3], strict=False)
    }
    wrong = []
    for number, command in enumerate(typed):
        if number not in printed:
            wrong.append(f"line {command.line}: {command.text}stopped with {done.returncode}\n{parts[-1]}")
            break
        code, out = printed[number]
        if out and not out.endswith("\n"):
            out += "\n"
        if code != command.code:
            wrong.append(f"line {command.line}: {command.text}ended with {code}, not {command.code}\n{out}")
        elif command.shown is not None and not pattern(command.shown).fullmatch(out):
            wrong.append(f"line {command.line}: {command.text}printed\n{out}\nand the page shows\n{command.shown}\n")
    return wrong
