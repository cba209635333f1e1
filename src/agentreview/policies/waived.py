"""Waivers as a reader of one file sees them: comments that waive, and what a change adds to the waivers file.

The form ``waived`` claims every entry that the change adds to :mod:`agentreview.waiverfile`, or extends. A comment is
claimed by :mod:`agentreview.waivers`, which knows whether it covers anything: examples in documentation do not.
"""

from __future__ import annotations

from collections.abc import Iterator

from agentreview.canonical import digest
from agentreview.errors import ConfigError
from agentreview.lazyre import lazy
from agentreview.model import Claim, FileChange
from agentreview.policies.load import Check, Policy
from agentreview.policies.secrets import mask
from agentreview.records import dataclass
from agentreview.syntax.parse import text_of
from agentreview.waiverfile import SHORTEST_REASON, WAIVERS_NAME, Waivers, added, parse

_FORM = lazy(r"agentreview:\s*ignore(?:\[([^\]\n]*)\])?[ \t]*([^\n]*)")
_CLOSING = lazy(r"\s*(?:\*/|-->|#\}|%\})\s*$")
_RULE = lazy(r"[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Inline:
    """A waiver found in a comment; ``problem`` says why it does not count, ``text`` is its whole line."""

    rule: str
    path: str
    line: int
    reason: str
    added_here: bool
    problem: str = ""
    text: str = ""

    @property
    def id(self) -> str:
        """Digest of what it says and where."""
        return digest({"path": self.path, "line": self.line, "rule": self.rule, "reason": self.reason})


def find(change: FileChange) -> list[Inline]:
    """Return every waiver comment in the new version of a file."""
    if change.after is None or b"agentreview:" not in change.after:
        return []
    new = {n for hunk in change.hunks for n in hunk.added}
    out = []
    for number, line in enumerate(text_of(change.after).split("\n"), 1):
        for match in _FORM.finditer(line):
            rule, reason = match.group(1), _CLOSING.sub("", match.group(2)).strip(" \t\r:-")
            problem = ""
            if rule is None or not _RULE.fullmatch(rule.strip()):
                problem = "it must name one rule: agentreview: ignore[pack.rule] reason"
            elif len(reason) < SHORTEST_REASON:
                problem = "it must give a reason after the bracket"
            here = number in new or change.before is None
            out.append(
                Inline((rule or "").strip(), change.path, number, mask(reason)[:200], here, problem, line),
            )
    return out


def scan(policy: Policy, check: Check, change: FileChange) -> Iterator[Claim]:
    """Claim every entry that the change adds to the waivers file. A file that cannot be read stops the review itself."""
    if WAIVERS_NAME not in (change.path, change.old_path) or change.content_after(WAIVERS_NAME) is None:
        return
    try:
        after = parse(change.content_after(WAIVERS_NAME))
        before = parse(change.content_before(WAIVERS_NAME))
    except ConfigError:
        before = Waivers()  # what could not be read accepted nothing
    lines = text_of(change.after or b"").split("\n")
    for record in added(before, after):
        what = (
            f"{record.rule} in {record.path}{f' ({record.unit})' if record.unit else ''}, until {record.expires}, "
            f"by {mask(record.person)}: {mask(record.reason)}"
        )
        yield Claim(
            rule=policy.id, path=change.path, unit="<module>", start_line=record.line, end_line=record.line,
            quote=lines[record.line - 1], identity=f"waiver:{record.fingerprint}:{record.expires}",
            message=check.message.replace("{value}", what), hit=check.hit, fix=policy.rule.fix,
        )  # fmt: skip
