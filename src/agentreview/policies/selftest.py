"""Every fenced example of every policy, run: a policy that misses its own bad example is broken, not quiet."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from agentreview.config import Config, parse_config
from agentreview.model import FileChange, Hunk
from agentreview.policies.compare import Engine
from agentreview.policies.examples import Example, examples
from agentreview.policies.load import Catalogue, load
from agentreview.policies.run import review_changes


@dataclass(frozen=True, slots=True)
class Outcome:
    """One example's result; ``said`` are the policy's findings on it."""

    example: Example
    passed: bool
    said: tuple[str, ...]
    reason: str = ""


def run(root: Path | None = None, only: str = "") -> list[Outcome]:
    """Run the examples of all policies, or of one."""
    catalogue = load(root)
    return [run_example(example, catalogue) for example in examples(root, only)]


def run_example(example: Example, catalogue: Catalogue) -> Outcome:
    """Run one example alone with its policy."""
    config = Config()
    if example.facts:
        toml = "\n".join(f"facts.{part.strip()}" for part in example.facts.split(";"))
        config = parse_config(toml.encode(), path="example", known_policies=catalogue.ids())
    change = change_of(example.path, example.before, example.after)
    alone = replace(catalogue, policies=tuple(p for p in catalogue.policies if p.id == example.policy))
    reviewed = review_changes([change], Engine(alone, config))
    said = [c for c in reviewed.claims if c.claim.rule == example.policy and not c.existing]
    lines = tuple(f"line {c.claim.start_line} {c.claim.hit.value}: {c.claim.message}" for c in said)
    unread = (
        [s for s in reviewed.skipped if s.reason not in ("language", "not code")]
        if not example.policy.startswith(("conduct.gate", "secrets."))
        else []
    )
    reason = (
        f"not reviewed: {unread[0].reason} {unread[0].detail}"
        if unread
        else f"failed: {reviewed.failed[0][1]}"
        if reviewed.failed
        else ""
    )
    return Outcome(example, bool(said) is not example.good and not reason, lines, reason)


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


def main() -> int:
    """Print one line an example; exit 1 when any fails."""
    outcomes = run(only=sys.argv[1] if len(sys.argv) > 1 else "")
    for outcome in outcomes:
        example = outcome.example
        verdict = "ok  " if outcome.passed else "FAIL"
        sys.stdout.write(
            f"{verdict} {example.policy}:{example.line} {'good' if example.good else 'bad'} {example.framework}: {example.title}\n"
        )
        if not outcome.passed or outcome.reason:
            for said in outcome.said or ("(no finding)",):
                sys.stdout.write(f"       {said}\n")
            if outcome.reason:
                sys.stdout.write(f"       {outcome.reason}\n")
    failed = sum(not o.passed for o in outcomes)
    sys.stdout.write(f"{len(outcomes) - failed} passed, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
