"""Fenced examples, run through the same code as a review: a policy that misses its own bad example is broken, not quiet."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from agentreview.config import Config, parse_config
from agentreview.errors import ConfigError
from agentreview.model import FileChange, Hunk
from agentreview.policies.compare import Claimed, Engine
from agentreview.policies.compiling import Source, try_rules
from agentreview.policies.examples import Example, examples_of
from agentreview.policies.load import Catalogue, Check, Policy
from agentreview.policies.paths import path_classes
from agentreview.policies.run import Reviewed, review_changes
from agentreview.policies.yamlfile import YamlReader, decoded, front_matter
from agentreview.records import dataclass, replace

_ANY_FILE = ("gate", "secrets", "lines", "fixture")  # forms that read files no parser knows


class Word(str, Enum):
    """What came of an example. Only the first two are as they should be."""

    REPORTED = "reported"  # bad, and found
    QUIET = "quiet"  # good, and silent
    MISSING = "missing"  # bad, and not found
    NOISY = "noisy"  # good, but found
    UNCHECKED = "unchecked"  # not read, or not within the time: says nothing

    @property
    def right(self) -> bool:
        """Whether the example is what it says."""
        return self in (Word.REPORTED, Word.QUIET)


@dataclass(frozen=True, slots=True)
class Said:
    """One finding on an example: its line in the policy's file, that line's text, and the message."""

    line: int
    code: str
    hit: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One example's result. ``said`` are the policy's findings on it; ``where`` is the trigger of one that is missing."""

    example: Example
    word: Word
    said: tuple[Said, ...] = ()
    reason: str = ""
    where: Said | None = None

    @property
    def passed(self) -> bool:
        """Whether the example is what it says."""
        return self.word.right


@dataclass(frozen=True, slots=True)
class Examined:
    """What the examples of a project policy showed when it was loaded.

    ``error`` makes it unusable; ``unchecked`` says why nothing is known; ``failing`` are examples that are not as they
    say, in a policy that works all the same.
    """

    error: ConfigError | None = None
    unchecked: str = ""
    failing: tuple[str, ...] = ()


def run_example(example: Example, catalogue: Catalogue) -> Outcome:
    """Run one example alone with its policy."""
    alone = tuple(p for p in catalogue.policies if p.id == example.policy)
    reviewed = _review(example, catalogue, alone)
    said = tuple(_said(example, c) for c in reviewed.claims if c.claim.rule == example.policy and not c.existing)
    reason = _unread(reviewed, alone)
    if reason:
        return Outcome(example, Word.UNCHECKED, said, reason)
    if example.good:
        return Outcome(example, Word.NOISY if said else Word.QUIET, said)
    if said:
        return Outcome(example, Word.REPORTED, said)
    skipped = sorted({name for p in alone for name in p.skip} & path_classes(example.path))
    if skipped:
        return Outcome(
            example, Word.MISSING, (), f"the policy skips {', '.join(skipped)}, and its path is {example.path}"
        )
    where = _trigger(example, catalogue, alone)
    seen = "the trigger is seen here, and something in reach satisfies or excuses it"
    return Outcome(example, Word.MISSING, (), seen if where else "nothing in it is what the checks look for", where)


def _review(example: Example, catalogue: Catalogue, policies: tuple[Policy, ...]) -> Reviewed:
    config = Config()
    if example.facts:
        toml = "\n".join(f"facts.{part.strip()}" for part in example.facts.split(";"))
        try:
            config = parse_config(toml.encode(), path="facts", known_policies=catalogue.ids())
        except ConfigError as error:
            message = f"facts= of this example: {error.message.partition(': ')[2]}"
            raise ConfigError(message, path=example.file, line=example.line, fix=error.fix) from error
    change = change_of(example.path, example.before, example.after)
    return review_changes([change], Engine(replace(catalogue, policies=policies), config))


def _said(example: Example, claimed: Claimed) -> Said:
    claim = claimed.claim
    return Said(example.line_of(claim.start_line, claim.side), claim.quote, claim.hit.value, claim.message)


def _unread(reviewed: Reviewed, policies: Sequence[Policy]) -> str:
    if reviewed.failed:
        return f"failed: {reviewed.failed[0][1]}"
    needs_code = not any(check.form in _ANY_FILE for policy in policies for check in policy.checks)
    unread = [s for s in reviewed.skipped if needs_code or s.reason not in ("language", "not code")]
    return f"not reviewed: {unread[0].reason} {unread[0].detail}".strip() if unread else ""


def _trigger(example: Example, catalogue: Catalogue, policies: tuple[Policy, ...]) -> Said | None:
    """Find what a check would report if nothing could satisfy it: where the author has to look."""
    bare = tuple(
        replace(p, checks=tuple(replace(c, require=(), unless=()) for c in p.checks if c.require or c.unless))
        for p in policies
    )
    found = (
        [c for c in _review(example, catalogue, bare).claims if not c.existing] if any(p.checks for p in bare) else []
    )
    return _said(example, found[0]) if found else None


# -- loading a project's policy for the first time -----------------------------------------------------------------


def examine(source: Source, catalogue: Catalogue) -> Examined:
    """Run the examples of a project policy of ``catalogue``: each of its checks has to find a bad one."""
    try:
        return _examined(source, catalogue)
    except ConfigError as error:
        return Examined(error=error)


def _examined(source: Source, catalogue: Catalogue) -> Examined:
    text = decoded(source.data, source.path)
    _, lines, _, _ = front_matter(text, source.path)
    reader = YamlReader(source.path, lines)
    [policy] = [p for p in catalogue.policies if p.id == source.id]
    rules = {"checks": [{"form": c.form, "language": c.language, "rule": c.rule} for c in policy.checks]}
    try_rules(rules, source.path, lines)
    found = examples_of(text, source.id, source.path)
    bad = [example for example in found if not example.good]
    if not bad:
        reader.fail((), "there is no bad example, so nothing shows that it finds anything", "Add one below ## Examples")
    for number, check in enumerate(policy.checks):
        alone = replace(catalogue, policies=(replace(policy, checks=(check,)),))
        outcomes = []
        for example in bad:
            outcomes.append(run_example(example, alone))
            if outcomes[-1].word is Word.REPORTED:
                break
        else:
            key, why = _explained(("checks", number), check, outcomes)
            reader.fail(
                key, f"this check finds none of its own bad examples: {why}", f"agentreview policies test {source.path}"
            )
    failing = (run_example(example, catalogue) for example in found)
    return Examined(
        failing=tuple(f"{o.example.file}:{o.example.line} is {o.word.value}" for o in failing if not o.passed)
    )


def _explained(
    key: tuple[str | int, ...], check: Check, outcomes: Sequence[Outcome]
) -> tuple[tuple[str | int, ...], str]:
    """Say why a check finds nothing, and at which key: an unparsable pattern matches nothing, without a word."""
    if check.form == "match":
        for inner, pattern in _patterns(json.loads(check.rule)):
            if not parses(pattern, check.language):
                return (*key, "rule", *inner), f"the pattern {pattern[:80]!r} does not parse as {check.language}"
    unread = next((o for o in outcomes if o.word is Word.UNCHECKED), None)
    told = unread or outcomes[0]
    return key, f"line {(told.where.line if told.where else told.example.line)}: {told.reason}"


def _patterns(rule: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every pattern of a rule that has to parse by itself, with its place in the rule."""
    items = rule.items() if isinstance(rule, dict) else enumerate(rule) if isinstance(rule, list) else ()
    for name, value in items:
        if name == "pattern" and isinstance(value, str):
            yield (name,), value
        elif name == "pattern" and isinstance(value, dict) and isinstance(value.get("context"), str):
            yield (name, "context"), value["context"]
        else:
            yield from (((name, *inner), text) for inner, text in _patterns(value))


def parses(pattern: str, language: str) -> bool:
    """Whether a pattern is code once its placeholders are names. ast-grep does not say it when one is not."""
    from agentreview.syntax.match import find

    code = re.sub(r"\$+([A-Z_][A-Z0-9_]*)?", lambda m: f"x{(m.group(1) or '').lower()}", pattern)
    return not find(code, language, {"kind": "ERROR"})


def change_of(path: str, before: str, after: str) -> FileChange:
    """Make a change out of two texts; an empty ``before`` is an added file."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    hunks = []
    for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            hunks.append(
                Hunk(
                    old_start=a1 + 1,
                    old_lines=a2 - a1,
                    new_start=b1 + 1,
                    new_lines=b2 - b1,
                    added=tuple(range(b1 + 1, b2 + 1)),
                    removed=tuple(range(a1 + 1, a2 + 1)),
                )
            )
    return FileChange(
        path=path, status="M" if before else "A", before=before.encode() if before else None, after=after.encode(), hunks=tuple(hunks),
        old_mode="100644" if before else "000000", new_mode="100644",
    )  # fmt: skip


def tally(outcomes: Sequence[Outcome]) -> Mapping[Word, int]:
    """Count the outcomes by their word."""
    return {word: sum(o.word is word for o in outcomes) for word in Word}
