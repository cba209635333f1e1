"""The fenced examples of policy files: their tests, and what a reader learns from. Never on the hook path."""

from __future__ import annotations

import re
from pathlib import Path

from agentreview.errors import ConfigError
from agentreview.lazyre import lazy
from agentreview.policies.load import policies_dir, sources
from agentreview.records import dataclass

FORM = "```LANGUAGE bad|good FRAMEWORK [path=…] [facts=…]: title"


@dataclass(frozen=True, slots=True)
class Example:
    """A fenced example of a policy: ``before`` is empty unless the example shows a change.

    ``line`` is that of the fence in ``file``; the other two say which line of the file each line of a side stands on.
    """

    policy: str
    line: int
    language: str
    good: bool
    framework: str
    title: str
    path: str
    before: str
    after: str
    facts: str = ""
    file: str = ""
    before_lines: tuple[int, ...] = ()
    after_lines: tuple[int, ...] = ()

    def line_of(self, number: int, side: str = "after") -> int:
        """Return the line of the file where a 1-based line of the example's code stands."""
        lines = self.after_lines if side == "after" else self.before_lines
        return lines[min(max(number, 1), len(lines)) - 1] if lines else self.line


_FENCE = lazy(r"^```(\w+) (bad|good) ([\w.+-]+)((?: \w+=[^:]*?)*)\s*:\s*(.+)$")
_DEFAULT_PATH = {
    "python": "app/views.py",
    "typescript": "src/routes.ts",
    "tsx": "src/page.tsx",
    "javascript": "src/routes.js",
    "ruby": "app/controllers/records_controller.rb",
    "go": "api/handlers.go",
    "java": "src/main/java/org/clinic/Records.java",
    "toml": "agentreview.toml",
    "yaml": "ci.yml",
    "sh": "run.sh",
}


def examples(root: Path | None = None, only: str = "") -> tuple[Example, ...]:
    """Return the fenced examples of every policy below ``root``."""
    place = root or policies_dir()
    out: list[Example] = []
    for name, data in sources(place).items():
        policy = name.removesuffix(".md").replace("/", ".")
        if name.endswith(".md") and (not only or policy == only):
            out.extend(examples_of(data.decode("utf-8"), policy, str(place / name)))
    return tuple(out)


def examples_of(text: str, policy: str, where: str) -> list[Example]:
    """Return the fenced examples of one policy's text. Raises ConfigError for a fence that is almost one."""
    out: list[Example] = []
    lines = text.replace("\r\n", "\n").split("\n")
    number = 0
    below = False  # the heading that the examples stand under
    while number < len(lines):
        line = lines[number]
        number += 1
        below = below or line.startswith("## Examples")
        if not line.startswith("```"):
            continue
        start = number
        while number < len(lines) and not lines[number].startswith("```"):
            number += 1
        match = _FENCE.match(line)
        if match is None:
            if below or re.match(r"^```\w+ (bad|good)\b", line):
                raise ConfigError("this fence is no example", path=where, line=start, fix=f"It reads: {FORM}")
            number += 1
            continue
        if number == len(lines) or lines[number].rstrip() != "```":
            raise ConfigError("this example does not end", path=where, line=start, fix="Close it with a line ```")
        language, verdict, framework, attributes, title = match.groups()
        options = dict(part.split("=", 1) for part in re.findall(r" (\w+=[^:]*?)(?= \w+=|$)", attributes or ""))
        odd = next((name for name in options if name not in ("path", "facts")), "")
        if odd:
            raise ConfigError(f"unknown setting {odd!r} of an example", path=where, line=start, fix=f"It reads: {FORM}")
        before, after = _sides(lines[start:number], start + 1)
        out.append(
            Example(
                policy, start, language, verdict == "good", framework, title,
                options.get("path", _DEFAULT_PATH.get(language, "file.txt")).strip(), expand(_code(before)),
                expand(_code(after) or "\n"), options.get("facts", "").strip(), where, tuple(n for n, _ in before), tuple(n for n, _ in after),
            )
        )  # fmt: skip
        number += 1
    return out


_MARK = lazy(r"^\s*(?:#|//|--)\s*--- (before|after)\s*$")
_Side = list[tuple[int, str]]


def _sides(body: list[str], first: int) -> tuple[_Side, _Side]:
    """Return the lines of both sides with their numbers in the file."""
    sides: dict[str, _Side] = {"before": [], "after": []}
    current = "after"
    for number, line in enumerate(body, first):
        mark = _MARK.match(line)
        if mark:
            current = mark.group(1)
        else:
            sides[current].append((number, line))
    return sides["before"], sides["after"]


def _code(side: _Side) -> str:
    return "".join(f"{line}\n" for _, line in side)


_HOLE = lazy(r"\{\{(hex|base64|alnum|digits|upper):(\d{1,3})\}\}")
_ALPHABETS = {
    "hex": "0123456789abcdef",
    "base64": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "alnum": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    "digits": "0123456789",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
}


def expand(text: str) -> str:
    """Replace ``{{hex:40}}`` and the like by a fixed random-looking value, so that no example holds a real-looking secret."""
    import hashlib

    def value(match: re.Match[str]) -> str:
        alphabet, size = _ALPHABETS[match.group(1)], int(match.group(2))
        stream = b"".join(
            hashlib.sha256(f"{match.group(0)}{match.start()}{i}".encode()).digest() for i in range(size // 32 + 1)
        )
        return "".join(alphabet[b % len(alphabet)] for b in stream[:size])

    return _HOLE.sub(value, text)
