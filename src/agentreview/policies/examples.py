"""The fenced examples of policy files: their tests, and what a reader learns from. Never on the hook path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from agentreview.errors import ConfigError
from agentreview.policies.load import policies_dir, sources


@dataclass(frozen=True, slots=True)
class Example:
    """A fenced example of a policy: ``before`` is empty unless the example shows a change."""

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


_FENCE = re.compile(r"^```(\w+) (bad|good) ([\w.+-]+)((?: \w+=[^:]*?)*)\s*:\s*(.+)$")
_DEFAULT_PATH = {
    "python": "app/views.py",
    "typescript": "src/routes.ts",
    "tsx": "src/page.tsx",
    "javascript": "src/routes.js",
    "ruby": "app/controllers/records_controller.rb",
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
            out.extend(_examples(data.decode("utf-8"), policy, str(place / name)))
    return tuple(out)


def _examples(text: str, policy: str, where: str) -> list[Example]:
    out: list[Example] = []
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        match = _FENCE.match(line)
        if match is None:
            if re.match(r"^```\w+ (bad|good)\b", line):
                raise ConfigError(
                    "an example fence reads: ```LANGUAGE bad|good FRAMEWORK [path=…]: title",
                    path=where,
                    line=number,
                    fix="See policies/README.md",
                )
            continue
        start = number
        while number < len(lines) and not lines[number].startswith("```"):
            number += 1
        language, verdict, framework, attributes, title = match.groups()
        options = dict(part.split("=", 1) for part in re.findall(r" (\w+=[^:]*?)(?= \w+=|$)", attributes or ""))
        body = lines[start:number]
        before, after = _sides(body)
        out.append(
            Example(
                policy,
                start,
                language,
                verdict == "good",
                framework,
                title,
                options.get("path", _DEFAULT_PATH.get(language, "file.txt")).strip(),
                expand(before),
                expand(after),
                options.get("facts", "").strip(),
            )
        )
        number += 1
    return out


_MARK = re.compile(r"^\s*(?:#|//|--)\s*--- (before|after)\s*$")


def _sides(body: list[str]) -> tuple[str, str]:
    sides: dict[str, list[str]] = {"before": [], "after": []}
    current = "after"
    for line in body:
        mark = _MARK.match(line)
        if mark:
            current = mark.group(1)
        else:
            sides[current].append(line)
    return ("\n".join(sides["before"]) + "\n" if sides["before"] else ""), "\n".join(sides["after"]) + "\n"


_HOLE = re.compile(r"\{\{(hex|base64|alnum|digits|upper):(\d{1,3})\}\}")
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
