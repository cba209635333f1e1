"""All policies over all changed files, in killable workers; then what only the whole change can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from agentreview.config import Level
from agentreview.globs import matches
from agentreview.model import Claim, FileChange, Skipped
from agentreview.policies import gate, gatefiles, lines, secrets, waived
from agentreview.policies.compare import Claimed, Engine, FileResult, review_file
from agentreview.policies.load import GUARD_FORMS, Check, Policy
from agentreview.policies.nearby import Nearby
from agentreview.policies.paths import path_classes
from agentreview.policies.project import policy_id
from agentreview.policies.removed import Removal, asked_less
from agentreview.records import dataclass
from agentreview.syntax.parse import language_of

if TYPE_CHECKING:
    from agentreview.policies.around import Around

Runner = Callable[[Sequence[FileChange], Engine, Callable[[], bool]], list[FileResult]]
Look = Callable[[], "Around"]
_ROUNDS = 5  # of asking for other files: settings first, then as many hops as names are followed


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Claims of the whole change; ``failed`` are (path, reason) pairs that make the answer incomplete."""

    claims: tuple[Claimed, ...]
    skipped: tuple[Skipped, ...]
    failed: tuple[tuple[str, str], ...]
    files: int


def in_process(
    changes: Sequence[FileChange], engine: Engine, _meanwhile: Callable[[], bool] = lambda: False
) -> list[FileResult]:
    """Review files one after the other in this process (tests and self-tests; no time limit)."""
    return [review_file(change, engine) for change in changes]


def review_changes(
    changes: Sequence[FileChange], engine: Engine, runner: Runner = in_process, look: Look | None = None
) -> Reviewed:
    """Return every claim about a change, what was skipped and what failed.

    ``look`` opens the other files of the two trees; without it a control that lives elsewhere is not known.
    """
    excluded = [c for c in changes if matches(c.path, engine.config.exclude)]
    reviewed = [c for c in changes if not matches(c.path, engine.config.exclude)]
    engine.nearby = (Nearby(None, {}), Nearby(None, {})) if look is not None else None
    around = look() if look is not None and (sides := _sides(reviewed)) else None
    if around is not None:
        around.open(sides, engine)
    ahead: list[tuple[Claim, ...]] = []
    across = _across(changes, excluded, engine)

    def step() -> bool:
        ahead.extend(one := tuple(islice(across, 1)))
        return bool(one)

    results = runner(reviewed, engine, step)  # the workers read the files, and this process does not wait for them
    for _ in range(_ROUNDS if look is not None else 0):
        asking = [n for n, result in enumerate(results) if result.before or result.after]
        if asking and around is None and look is not None:
            around = look()
        if not asking or around is None or not around.provide([results[n] for n in asking], engine):
            break
        again = runner([reviewed[n] for n in asking], engine, step)
        for n, result in zip(asking, again, strict=True):
            results[n] = result
    for change, result in zip(reviewed, results, strict=True):
        read = (change.after if result.reviewed else None, change.before if result.old_read else None)
        engine.ended |= {(change.path, content) for content in read if content is not None}
    claims: list[Claimed] = []
    seen: Counter[tuple[str, str, str]] = Counter()
    for claim in (claim for found in (*ahead, *across) for claim in found):
        key = (claim.rule, claim.path, claim.identity)
        seen[key] += 1
        claims.append(Claimed(claim, seen[key], existing=False))
    untested = frozenset(p.id for p in engine.policies if any(c.form == "untested" for c in p.checks))
    tested = any(
        "tests" in path_classes(c.path, engine.config.facts.tests.paths) and c.after is not None for c in changes
    )
    for result in results:
        claims.extend(c for c in result.claims if not (tested and c.claim.rule in untested))
    claims.extend(_not_moved(results, changes))
    skipped = [Skipped(path=c.path, reason="excluded", detail=_by(c.path, engine.config.exclude)) for c in excluded]
    skipped.extend(r.skipped for r in results if r.skipped is not None)
    failed = tuple((r.path, r.failed) for r in results if r.failed)
    return Reviewed(tuple(claims), tuple(skipped), failed, sum(r.reviewed for r in results))


def alone(change: FileChange, engine: Engine) -> tuple[FileResult, list[Claimed]]:
    """Review one file by itself, in this process, with what is known of the others; a control that moved counts as gone."""
    result = review_file(change, engine)
    seen: Counter[tuple[str, str, str]] = Counter()
    claims: list[Claimed] = []
    gone: Counter[tuple[str, str, str]] = Counter()
    for removal in result.removals:
        key = (removal.claim.rule, removal.claim.unit, removal.claim.identity)
        gone[key] += 1
        claims += [Claimed(removal.claim, 1, existing=False)] if gone[key] == 1 else []
    for claim in (claim for found in _across([change], [], engine) for claim in found):
        key = (claim.rule, claim.path, claim.identity)
        seen[key] += 1
        claims.append(Claimed(claim, seen[key], existing=False))
    return result, [*result.claims, *claims]


def _sides(changes: Sequence[FileChange]) -> list[int]:
    """Which versions hold code: 0 before, 1 after."""
    texts = [[(c.old_path or c.path, c.before) for c in changes], [(c.path, c.after) for c in changes]]
    return [
        n for n, side in enumerate(texts) if any(text is not None and language_of(path, text) for path, text in side)
    ]


def _across(
    changes: Sequence[FileChange], excluded: Sequence[FileChange], engine: Engine
) -> Iterator[tuple[Claim, ...]]:
    """What needs no facts of the code, file by file: about the gate itself, credentials, lines, what a test asks less."""
    secrets.mask('token = "?"')  # what every finding is shown through: its patterns, before they are waited for
    policies = (*engine.policies, *_guards(engine))
    # Also the project's policies that the change adds or takes away: either version of the configuration may name them.
    known = engine.catalogue.ids() | {
        name for c in changes for name in map(policy_id, (c.path, c.old_path or "")) if name
    }
    for change in changes:  # the gate guards itself also in excluded files
        for policy in policies:
            for check in policy.checks:
                yield tuple(_found(policy, check, change, known, engine, excluded=change in excluded))


def _found(
    policy: Policy, check: Check, change: FileChange, known: frozenset[str], engine: Engine, *, excluded: bool
) -> Iterable[Claim]:
    facts = engine.config.facts
    if check.form == "gate":
        found: Iterable[Claim] = gate.scan(policy, check, change, known)
        return [*found, *gatefiles.scan(policy, check, change, engine)] if gatefiles.concerns(change) else found
    if check.form == "waived":
        return waived.scan(policy, check, change)
    if excluded:
        return ()
    if check.form == "secrets":
        return secrets.scan(policy, check, change)
    if check.form == "lines":
        return lines.scan(policy, check, change, engine.lexicon, facts)
    if check.form == "unique" and change.path.endswith(".prisma"):
        from agentreview.policies import schema

        return schema.unique(policy, check, change, engine.lexicon, facts)
    if check.form == "weakened":
        return asked_less(policy, check, change, facts)
    if check.form == "fixture":
        from agentreview.policies import fixtures

        return fixtures.scan(policy, check, change, facts)
    return ()


def _by(path: str, globs: Sequence[str]) -> str:
    return f"by exclude = '{next(one for one in globs if matches(path, (one,)))}'"


def _guards(engine: Engine) -> tuple[Policy, ...]:
    """Policies over the gate itself that the change's own configuration switches off, and the one before did not."""
    kept = tuple(p for p in engine.catalogue.policies if any(check.form in GUARD_FORMS for check in p.checks))
    return tuple(p for p in kept if p not in engine.policies and engine.guard.level(p.id) is not Level.OFF)


def _not_moved(results: Sequence[FileResult], changes: Sequence[FileChange]) -> list[Claimed]:
    """Keep removals whose control did not turn up elsewhere in the change."""
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for result in results:
        for concept, (old, new) in result.totals.items():
            before[concept] += old
            after[concept] += new
    out: list[Claimed] = []
    seen: Counter[tuple[str, str, str, str]] = Counter()
    for result in results:
        for removal in result.removals:
            if _moved(removal, before, after) or _named_elsewhere(removal, changes):
                continue
            claim = removal.claim
            key = (claim.rule, claim.path, claim.unit, claim.identity)
            seen[key] += 1
            if seen[key] == 1 and not any(
                (c.claim.rule, c.claim.path, c.claim.unit, c.claim.start_line)
                == (claim.rule, claim.path, claim.unit, claim.start_line)
                for c in out
            ):
                out.append(Claimed(claim, seen[key], existing=False))
    return out


def _named_elsewhere(removal: Removal, changes: Sequence[FileChange]) -> bool:
    """Whether a guard that is known by its name alone is called as often in the whole change as before."""
    kind, _, name = removal.concept.partition(":")
    if kind != "guard":
        return False
    call = f"{name}(".encode()
    return sum((c.after or b"").count(call) for c in changes) >= sum((c.before or b"").count(call) for c in changes)


def _moved(removal: Removal, before: Counter[str], after: Counter[str]) -> bool:
    return removal.concept in before and after[removal.concept] >= before[removal.concept]
