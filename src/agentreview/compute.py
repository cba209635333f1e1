"""A snapshot to a verdict: policies, anchoring, waivers, triage. Touches nothing but the processes that read files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from agentreview import waivers
from agentreview.anchor import anchor
from agentreview.config import CONFIG_NAME, PYPROJECT_NAME, Config, Level, load_config
from agentreview.errors import ConfigError
from agentreview.model import (
    NOT_CONFIGURED,
    NOT_CONFIRMED,
    AgentRun,
    Confidence,
    Finding,
    Outcome,
    Rule,
    Skipped,
    Snapshot,
    Status,
    Verdict,
)
from agentreview.policies.compare import Claimed, Engine, built_in
from agentreview.policies.load import Catalogue, load
from agentreview.policies.run import review_changes
from agentreview.syntax import SKIP_REASONS
from agentreview.triage import decide, order, settle
from agentreview.worker import review_in_workers

if TYPE_CHECKING:
    from agentreview.policies.around import Around, Trees

Progress = Callable[[int, int], None]
WHOLE = "the project's facts as a whole"


def warm() -> None:
    """Load what a review of Python needs, while somebody else reads the change. Other languages load when they occur."""
    from agentreview.syntax import parse, python, reader  # noqa: F401 - imported for their cost, not their names

    built_in(load().frameworks, "python")


def compute(
    snapshot: Snapshot, files: Mapping[str, bytes], progress: Progress | None = None, trees: Trees | None = None
) -> Verdict:
    """Review under the configuration in ``files`` (path -> content). Raises ConfigError for a mistake in it."""
    config = load_config(files.get, known_policies=load().ids())
    return review_snapshot(snapshot, config, progress, guard=_guard(snapshot, files, config), trees=trees)


def _guard(snapshot: Snapshot, files: Mapping[str, bytes], config: Config) -> Config:
    """The configuration the change started from: a change cannot switch off the policy that looks at the switch."""
    names = (CONFIG_NAME, PYPROJECT_NAME)
    touched = [(c, name) for c in snapshot.changes for name in names if name in (c.path, c.old_path)]
    if not touched:
        return config
    held = {name: change.content_before(name) for change, name in touched}
    before = {name: text for name, text in {**files, **held}.items() if text is not None}
    try:
        return load_config(before.get, known_policies=load().ids())
    except ConfigError:
        return Config()


def review_snapshot(
    snapshot: Snapshot, config: Config, progress: Progress | None = None, *, guard: Config | None = None, trees: Trees | None = None,
) -> Verdict:  # fmt: skip
    """Compute the verdict of a snapshot: policies, anchoring, waivers, triage.

    Touches nothing outside the process but what ``trees`` reads: other files of the two trees, when a finding rests on them.
    """
    started = time.perf_counter()
    catalogue = load()
    engine = Engine(catalogue, config, guard)
    guards = {p.id for p in catalogue.policies if any(check.form == "gate" for check in p.checks)}
    look = partial(_around, trees, snapshot) if trees is not None else None
    reviewed = review_changes(
        snapshot.changes, engine, lambda changes, run: review_in_workers(changes, run, progress), look
    )
    rules = {p.id: p.rule for p in catalogue.policies}
    shown = [c for c in reviewed.claims if c.touched]
    findings, unanchored = _anchored(snapshot, shown, rules)
    inline = [w for change in snapshot.changes for w in waivers.find(change)]
    waived, notes = waivers.apply(findings, inline)
    settled = order(settle(f, engine.guard if f.rule in guards else config) for f in waived)
    failed = [f"{path}: {reason}" for path, reason in (*reviewed.failed, *unanchored)]
    runs = []
    for pack in sorted({p.pack for p in catalogue.policies}):
        ids = tuple(p.id for p in catalogue.policies if p.pack == pack and config.level(p.id) is not Level.OFF)
        outcome = Outcome.FAILED if failed and ids else Outcome.COMPLETED if ids else Outcome.OFF
        reason = "; ".join(failed) if failed and ids else "" if ids else f"switched off in {config.path}"
        agent = f"policy:{pack}"
        runs.append(
            AgentRun(
                agent=agent, digest=catalogue.digest, outcome=outcome, required=bool(ids), reason=reason, rules=ids
            )
        )
    used = {f.rule for f in settled}
    return Verdict(
        decision=decide(settled, runs), base=snapshot.base, tree=snapshot.tree, findings=settled, runs=tuple(runs), skipped=_described(reviewed.skipped),
        rules=tuple(rules[r] for r in sorted(used)), notes=(*notes, *_unsettled((f for f in settled if f.rule not in guards), config, catalogue), *_elsewhere(len(reviewed.claims) - len(shown))), files=reviewed.files,
        worktree=snapshot.worktree, branch=snapshot.branch, source=snapshot.source, seconds=round(time.perf_counter() - started, 3),
    )  # fmt: skip


def _around(trees: Trees, snapshot: Snapshot) -> Around:
    from agentreview.policies.around import Around
    from agentreview.worker import summarise_in_workers

    return Around(trees, snapshot.base, snapshot.tree, summarise_in_workers)


def _anchored(
    snapshot: Snapshot, claims: Iterable[Claimed], rules: Mapping[str, Rule]
) -> tuple[list[Finding], list[tuple[str, str]]]:
    by_path = {c.path: c for c in snapshot.changes}
    findings: list[Finding] = []
    unanchored: list[tuple[str, str]] = []
    seen: set[str] = set()
    for claimed in claims:
        claim = claimed.claim
        rule = rules[claim.rule]
        found = anchor(
            claim,
            rule,
            by_path[claim.path],
            occurrence=claimed.occurrence,
            existing=claimed.existing,
            agent=f"policy:{rule.pack}",
        )
        if found is None:
            # A policy's own claim must be where it says: if it is not, nothing else it said can be trusted.
            unanchored.append(
                (claim.path, f"{claim.rule} points at line {claim.start_line}, which does not hold what it quotes")
            )
        elif found.fingerprint not in seen:
            seen.add(found.fingerprint)
            findings.append(found)
    return findings, unanchored


def _described(skipped: tuple[Skipped, ...]) -> tuple[Skipped, ...]:
    return tuple(
        sorted(
            (replace(s, detail=s.detail or SKIP_REASONS.get(s.reason, "")) for s in skipped),
            key=lambda s: (s.reason, s.path),
        )
    )


def _elsewhere(count: int) -> tuple[str, ...]:
    """Old findings in code the change does not touch: counted, not listed."""
    if not count:
        return ()
    return (
        f"{count} older {'finding' if count == 1 else 'findings'} in parts of these files that the change does not touch: not shown, never blocking",
    )


def _unsettled(findings: Iterable[Finding], config: Config, catalogue: Catalogue) -> tuple[str, ...]:
    """Say once which facts keep suspects of this change from blocking: those not configured, then those not confirmed.

    A suspect that would not block anyway (its policy is advisory, its severity too low) needs no fact, and a question
    about the gate itself goes to a person whatever the facts say.
    """
    asking = {
        f.rule
        for f in findings
        if f.status is Status.ADVISORY
        and f.confidence is not Confidence.HIGH
        and f.severity.rank >= config.block_at.rank
        and config.level(f.rule) is Level.ON
    }
    facts = config.facts
    unset: dict[str, list[str]] = {}
    unchecked: dict[str, list[str]] = {}
    for policy in catalogue.policies:
        if policy.id not in asking:
            continue
        missing = [need for need in policy.needs if not facts.is_set(need)]
        for need in missing:
            unset.setdefault(need, []).append(policy.id)
        if not missing:
            for need in [n for n in policy.needs if not facts.confirmer(n)] or ([] if policy.needs else [WHOLE]):
                unchecked.setdefault(need, []).append(policy.id)
    return (
        *(f"{NOT_CONFIGURED}{line}: agentreview init" for _, line in _together(unset)),
        *(
            f"{NOT_CONFIRMED}{line}: agentreview facts confirm{''.join(f' {n}' for n in named if n != WHOLE)}"
            for named, line in _together(unchecked)
        ),
    )


def _together(needed: Mapping[str, list[str]]) -> Iterator[tuple[list[str], str]]:
    """Facts that the same policies need, in one line."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for fact, ids in sorted(needed.items()):
        groups.setdefault(tuple(ids), []).append(fact)
    for policies, named in groups.items():
        verb = "asks" if len(policies) == 1 else "ask"
        yield named, f"{', '.join(named)} ({', '.join(policies)} {verb} instead of blocking)"
