"""The edit that a reviewer proposes with a claim: untrusted like all it says, and proved before anybody is shown it.

It replaces lines of the claim's own unit that were shown whole, named by number and hash, by a few lines of plain text. What
stands for a masked value goes back in only where that value stood, and only on this machine. Whether the file is right with it
is not said here: all policies read it (:mod:`agentreview.fixes.proposing`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentreview.canonical import digest
from agentreview.lazyre import lazy
from agentreview.masking import placeholders, visible
from agentreview.model import Edit, Replacement
from agentreview.policies.gate import is_gate_file
from agentreview.records import dataclass
from agentreview.reviewers.addressed import speaks
from agentreview.reviewers.packets import Packet
from agentreview.reviewers.shown import CUT, Shown, line_hash
from agentreview.reviewers.units import Piece, Version

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["line", "hash", "end_line", "end_hash", "lines"],
    "properties": {
        "line": {"type": "integer"},
        "hash": {"type": "string"},
        "end_line": {"type": "integer"},
        "end_hash": {"type": "string"},
        "lines": {"type": "array", "items": {"type": "string"}},
    },
}
MOST_REPLACED, MOST_LINES, LONGEST = 24, 40, 300  # lines replaced, lines put there, characters of one

_SILENCES = lazy(
    r"(?i)agentreview|\bno(?:qa|sec|sonar|semgrep|lint)\b|\bpragma\b|\blgtm\b|\bcodeql\b|suppress(?:fb)?warnings|\btype:\s*ignore|\bts-(?:ignore|nocheck|expect-error)"
    r"|\b(?:istanbul|c8|v8|coverage|prettier|deno-lint|gitleaks|brakeman|semgrep|mypy|pyright|ruff|flake8|bandit|checkov|tfsec|trivy|sonar)\b\W{0,3}\s*(?:ignore|allow|skip|noqa|disable|exclude)"
    r"|\b(?:eslint|pylint|rubocop|stylelint|tslint|biome|detekt|ktlint|phpcs|swiftlint|checkstyle)\b\W{0,3}\s*(?:disable|ignore|off|todo)"
)
_REMARK = lazy(r"^\s*(?:#|//|/\*|\*|--|<!--).*$|\s(?:#|//)\s.*$")


@dataclass(frozen=True, slots=True)
class Proposal:
    """Lines of a file after the change, by where they begin and a digest of each, and what stands there instead, still masked."""

    path: str
    start: int
    old: tuple[str, ...]
    lines: tuple[str, ...]

    @property
    def end(self) -> int:
        """The last line that is replaced."""
        return self.start + len(self.old) - 1


def proposal(claim: Mapping[str, Any], packet: Packet, shown: Shown) -> tuple[Proposal | None, str]:
    """Return the edit in a claim, or why it is none; nothing twice where the claim has none."""
    raw = claim.get("edit")
    if not raw:
        return None, ""
    if not isinstance(raw, dict) or not isinstance(raw.get("lines"), list):
        return None, "it has another form than was asked for"
    first, last = raw.get("line"), raw.get("end_line")
    lines = [part for one in raw["lines"] for part in str(one).split("\n")]
    version, piece = packet.piece.new, packet.piece
    if version is None or is_gate_file(piece.path):
        return None, f"{piece.path} is not for a reviewer to change"
    if type(first) is not int or type(last) is not int or not 1 <= first <= last <= len(version.lines):
        return None, f"{piece.path} has no such lines"
    if last - first >= MOST_REPLACED or len(lines) > MOST_LINES:
        return None, "it is larger than a few lines"
    old = [line.rstrip("\r") for line in version.lines[first - 1 : last]]
    if (raw.get("hash"), raw.get("end_hash")) != (line_hash(old[0]), line_hash(old[-1])):
        return None, f"{piece.path}:{first} or {last} has another hash"
    if not all(_was_shown(packet, number, version) for number in range(first, last + 1)):
        return None, f"{piece.path}:{first} to {last} was not all shown as part of {packet.id}"
    if any(len(line) > LONGEST or visible(line) != line for line in lines):
        return None, "it holds hidden characters, or lines that are too long"
    why = _unlike(lines, old, shown.lines(version)[first - 1 : last])
    return (None, why) if why else (Proposal(piece.path, first, tuple(map(_mark, old)), tuple(lines)), "")


def _was_shown(packet: Packet, number: int, version: Version) -> bool:
    """Whether a line is the unit's own and the reader saw all of it, as it is; of blank ones nothing is to be seen."""
    line = version.lines[number - 1].rstrip("\r")
    if not packet.piece.holds(number, "after") or visible(line) != line:
        return False
    begins = f"\n{number}:{line_hash(line)}|"
    _, found, rest = packet.text.partition(begins)
    return not line.strip() or (bool(found) and not rest.partition("\n")[0].endswith(CUT))


def _unlike(lines: Sequence[str], old: Sequence[str], seen: Sequence[str]) -> str:
    """Say what in the new lines must not come from a reviewer, given those they replace, and those as they were shown."""
    new, was = "\n".join(lines), "\n".join(old)
    if set(placeholders(new)) - set(placeholders("\n".join(seen))):
        return "it holds a placeholder of a value that is not in the lines it replaces"
    if any(not char.isascii() and char not in was for char in new):
        return "it brings characters that are not in the lines it replaces"
    if Counter(_words(new)) - Counter(_words(was)):
        return "it would silence a check"
    if any(speaks(line) for line in lines if line not in old):
        return "it speaks to a reviewer"
    if _code(lines) == _code(seen):
        return "it changes no code"
    return ""


def _words(text: str) -> list[str]:
    return [match[0].lower() for match in _SILENCES.finditer(text)]


def _code(lines: Sequence[str]) -> list[str]:
    told = (" ".join(_REMARK.sub("", line).split()) for line in lines)
    return [line for line in told if line]


def edit_of(one: Proposal, piece: Piece, unmask: Callable[[str], str], agent: str) -> Edit | None:
    """Return the edit with its values put back; None where a value is not known here, or the lines are another unit's."""
    lines = tuple(unmask(line) for line in one.lines)
    if piece.new is None or one.path != piece.path or any(_unknown(line, piece.new, one) for line in lines):
        return None
    if not all(piece.holds(number, "after") for number in range(one.start, one.end + 1)):
        return None
    note = f"proposed by {agent}, a model, and by no policy: read it first"
    return Edit(path=one.path, note=note, replacements=(Replacement(start=one.start, end=one.end, lines=lines),))


def _unknown(line: str, version: Version, one: Proposal) -> bool:
    there = "\n".join(version.lines[one.start - 1 : one.end])
    return any(name not in there for name in placeholders(line))


def encoded(one: Proposal | None) -> list[Any] | None:
    """The same, as it is kept: without what placeholders stand for."""
    return None if one is None else [one.path, one.start, list(one.old), list(one.lines)]


def decoded(raw: Any, shown: Shown, moved: int) -> Proposal | None:
    """Find a kept edit's lines again, near to where they were plus ``moved``. Raises ValueError or TypeError for nonsense."""
    if raw is None:
        return None
    path, start, old, lines = raw
    version = shown.version(str(path), "after")
    if version is None:
        return None
    marks = [_mark(line.rstrip("\r")) for line in version.lines]
    at = [n for n in range(1, len(marks) - len(old) + 2) if marks[n - 1 : n - 1 + len(old)] == old]
    if not at or not old:
        return None
    return Proposal(
        str(path), min(at, key=lambda n: abs(n - start - moved)), tuple(map(str, old)), tuple(map(str, lines))
    )


def _mark(line: str) -> str:
    return digest(line.encode("utf-8", "surrogatepass"), size=8)[3:]
