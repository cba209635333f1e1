"""Model reviewers over one change: who is asked, what is sent, what came of it. Pure but for the trees, the store and the backend.

Everything is prepared before anything is sent. Groups of units are followed at the same time, each to its end; an
answer is kept as soon as it is verified, so that an interruption loses only what was under way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from agentreview.canonical import digest
from agentreview.config import Config, Level
from agentreview.globs import matches
from agentreview.llm import Backend, Failure
from agentreview.masking import Table, open_table
from agentreview.model import BY_WORKFLOW, AgentRun, Asked, FileChange, Finding, Outcome, Rule, Snapshot
from agentreview.policies.compare import Engine
from agentreview.policies.load import Catalogue
from agentreview.records import dataclass, field
from agentreview.reviewers import conclude, prompts
from agentreview.reviewers.chain import Reader, Result, follow, place, request_of, told
from agentreview.reviewers.context import Context, Material, context
from agentreview.reviewers.convergence import Answers, Known, unit_key
from agentreview.reviewers.nearby import Around
from agentreview.reviewers.packets import Packet, grouped, packet
from agentreview.reviewers.profiles import Profile, chosen, closed_list, profiles
from agentreview.reviewers.routing import Route, risk, route
from agentreview.reviewers.rules import BY_ID
from agentreview.reviewers.shown import Shown
from agentreview.reviewers.units import Piece, Version, pieces
from agentreview.reviewers.workflows import Workflow, choose, workflows

if TYPE_CHECKING:
    from agentreview.policies.around import Trees

GROUP_TOKENS = 24_000  # of packets in one request
PARALLEL = 16  # requests under way
Told = Callable[[str, str], None]  # (kind, text): routing | reading | done | dry-run


@dataclass(frozen=True, slots=True)
class Read:
    """What reviewers add to a review: the findings with suspects settled and claims added, their runs, and notes."""

    findings: list[Finding]
    runs: tuple[AgentRun, ...] = ()
    notes: tuple[str, ...] = ()
    rules: Mapping[str, Rule] = field(default_factory=dict)


@dataclass(slots=True)
class _Work:
    """One reviewer's part: what it reads, what is known already, what came of the rest."""

    profile: Profile
    rules: Mapping[str, Rule]
    route: Route
    model: str
    packets: list[Packet]
    keys: dict[str, str]
    reader: Reader | None = None
    known: dict[str, Known] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def open(self) -> list[Packet]:
        """Units that nobody answered yet."""
        return [one for one in self.packets if one.id not in self.known]


def read(
    asked: Asked, snapshot: Snapshot, findings: Sequence[Finding], engine: Engine, trees: Trees | None, *,
    catalogue: Catalogue | None = None, backend: Backend | Failure | None = None, say: Told = lambda _kind, _text: None,
) -> Read:  # fmt: skip
    """Have the reviewers read a change that the policies have judged.

    ``catalogue`` are all policies where the engine runs only some; ``backend`` is the configured one when not given.
    """
    config = engine.config
    material = Material(trees, asked.rules or snapshot.base, asked.rules or snapshot.tree)
    settings = material.settings()
    known = profiles(settings)
    own = workflows(settings)
    workflow = choose(own, asked.workflow, snapshot.branch)
    names = asked.names or config.reviewers.enabled
    where = "--reviewers" if asked.names else "[reviewers] enabled"
    who = chosen((*names, *(workflow.agents if workflow is not None else ())), known, where=where)
    around = context(material, settings, who, config.reviewers.never_send)
    units, withheld = _units(snapshot.changes, engine)
    shown = Shown(open_table(asked.store) if asked.store else Table())
    works = _prepared(who, units, findings, engine, catalogue or engine.catalogue, trees, snapshot, shown)
    _ready(works, around, workflow, config, shown)
    answers = Answers(asked.store)
    for work in works:
        assert work.reader is not None  # noqa: S101 - made in the line above
        for one in work.packets:
            work.keys[one.id] = _key(work, one, around, workflow)
            found = None if asked.fresh else answers.load(work.keys[one.id], one.id, shown)
            if found is not None:
                work.known[one.id] = found
        say(
            "routing",
            f"{work.profile.name}: {work.route.tier} ({work.model}, effort {work.route.effort}): {work.route.why}",
        )
    if asked.dry:
        _dry(works, say)
    else:
        _follow(works, shown, answers, asked, config, backend, say)
    return _concluded(works, findings, config, asked, (*_notes(who, around, withheld), *_of(workflow, snapshot, asked)))


def _units(changes: Iterable[FileChange], engine: Engine) -> tuple[list[Piece], list[str]]:
    """Changed units of what may be sent, and the paths that are withheld."""
    never, excluded = engine.config.reviewers.never_send, engine.config.exclude
    out: list[Piece] = []
    withheld: list[str] = []
    for change in changes:
        both = (change.path, change.old_path or change.path)
        if any(matches(path, never) for path in both):
            withheld.append(change.path)
        elif change.opaque is None and not matches(change.path, excluded):
            out += pieces(change, engine)
    return out, withheld


def _prepared(
    who: Sequence[Profile], units: Sequence[Piece], findings: Sequence[Finding], engine: Engine, catalogue: Catalogue, trees: Trees | None,
    snapshot: Snapshot, shown: Shown,
) -> list[_Work]:  # fmt: skip
    config = engine.config
    changed: dict[str, Version] = {p.path: p.new for p in units if p.new is not None}
    around = Around(trees, snapshot.tree, engine, changed, config.reviewers.never_send)
    every = {**{p.id: p.rule for p in catalogue.policies}, **BY_ID}
    new = [f for f in findings if f.origin.value == "introduced"]
    hops = {id(piece): around.hops(piece) for piece in units}
    works = []
    for profile in who:
        ids = closed_list(profile, catalogue.ids())
        rules = {i: every[i] for i in ids if i in every and config.level(i) is not Level.OFF}
        mine = [p for p in units if not profile.files or matches(p.path, profile.files)]
        mine.sort(key=lambda p: (-risk(p, new), p.path, p.first))
        chosen_route = route(profile, mine, [f for f in new if f.rule in rules])
        made = [packet(n, p, shown, hops[id(p)], new, frozenset(rules)) for n, p in enumerate(mine, 1)]
        model = config.models.tiers[chosen_route.tier].id
        works.append(_Work(profile, rules, chosen_route, model, made, {}))
    return works


def _ready(works: Sequence[_Work], around: Context, workflow: Workflow | None, config: Config, shown: Shown) -> None:
    """Give each reviewer what its requests have in common."""
    shared, second = prompts.shared(around, shown), prompts.refute_system(around, shown)
    threshold = config.block_at
    if workflow is not None and workflow.block_at is not None and workflow.block_at.rank < threshold.rank:
        threshold = workflow.block_at
    for work in works:
        gate = work.profile.gate == "block"

        def blocks(rule: Rule, gate: bool = gate) -> bool:  # noqa: FBT001
            return gate and rule.severity.rank >= threshold.rank and config.level(rule.id) is Level.ON

        work.reader = Reader(
            profile=work.profile,
            rules=work.rules,
            model=work.model,
            effort=work.route.effort,
            refute_model=config.models.tiers[config.reviewers.refute_tier].id,
            system=(shared, prompts.role(work.profile, list(work.rules.values()))),
            refute_system=second,
            workflow=workflow,
            blocks=blocks,
        )


def _key(work: _Work, one: Packet, around: Context, workflow: Workflow | None) -> str:
    assert work.reader is not None  # noqa: S101 - see read
    return unit_key(
        {
            "prompt": prompts.VERSION,
            "profile": work.profile.digest,
            "rules": {name: digest([rule.title, rule.severity.value, rule.help]) for name, rule in work.rules.items()},
            "blocking": sorted(name for name, rule in work.rules.items() if work.reader.blocks(rule)),
            "models": [work.model, work.route.effort, work.reader.refute_model],
            "unit": one.key,
            "context": around.digest,
            "workflow": [] if workflow is None else [workflow.name, *workflow.questions, workflow.body],
        }
    )


def _follow(
    works: Sequence[_Work], shown: Shown, answers: Answers, asked: Asked, config: Config, backend: Backend | Failure | None, say: Told,
) -> None:  # fmt: skip
    """Ask about every unit that is open, all groups at once."""
    jobs = [(work, group) for work in works for group in grouped(work.open, GROUP_TOKENS)]
    if not jobs:
        return
    seconds = config.reviewers.hook_seconds if asked.surface == "hook" else None
    if seconds == 0:
        why = Failure("timeout", "hook_seconds = 0 only looks answers up. Finish the review with: agentreview run")
        for work, _ in jobs:
            work.failures = [("", told(why))]
        return
    if backend is None:
        from agentreview.llm import backend as configured

        backend = configured(os.environ, config)
    if isinstance(backend, Failure):
        for work, _ in jobs:
            work.failures = [("", told(backend))]
        return
    deadline = None if seconds is None else time.monotonic() + seconds
    asking: Backend = backend
    for work in works:
        if work.open:
            say("reading", f"{work.profile.name} reads {_units_of(work.open)} ({work.model})")

    def one(job: tuple[_Work, list[Packet]]) -> Result:
        assert job[0].reader is not None  # noqa: S101 - see read
        return follow(job[0].reader, job[1], shown, asking, deadline)

    with ThreadPoolExecutor(min(PARALLEL, len(jobs))) as pool:
        running = {pool.submit(one, job): job for job in jobs}
        for done in as_completed(running):
            work, group = running[done]
            result = done.result()
            work.seconds = max(work.seconds, result.seconds)
            work.failures += result.failures
            for unit in group:
                if unit.id in result.known:
                    work.known[unit.id] = result.known[unit.id]
                    if not result.failures:
                        answers.save(work.keys[unit.id], result.known[unit.id])
            say("done", f"{work.profile.name} has read {_units_of(group)} in {result.seconds:.1f} s")


def _units_of(packets: Sequence[Packet]) -> str:
    return "1 unit" if len(packets) == 1 else f"{len(packets)} units"


def _dry(works: Sequence[_Work], say: Told) -> None:
    """Show exactly what would be sent."""
    for work in works:
        assert work.reader is not None  # noqa: S101 - see read
        for group in grouped(work.open, GROUP_TOKENS):
            request = request_of(work.reader, group)
            body = [f"to {request.model} as {request.id}"]
            body += [f"[system{', cached' if block.cached else ''}]\n{block.text}" for block in request.system]
            body += [f"[{who}]\n{text}" for who, text in request.messages]
            say("dry-run", "\n".join(body))


def _concluded(
    works: Sequence[_Work], findings: Sequence[Finding], config: Config, asked: Asked, notes: Iterable[str]
) -> Read:
    reviewed = [(w.profile, one, w.known[one.id]) for w in works for one in w.packets if one.id in w.known]
    rules = {name: rule for work in works for name, rule in work.rules.items()}
    readers = {work.profile.name: work.reader for work in works}

    def blocks(profile: Profile, rule: Rule) -> bool:
        reader = readers[profile.name]
        return reader is not None and reader.blocks(rule)

    claimed, refuted = conclude.claimed(reviewed, rules, blocks)
    there = {f.fingerprint for f in findings}
    added = [f for f in claimed if f.fingerprint not in there]
    runs = tuple(_run(work, config, asked) for work in works)
    return Read([*conclude.settled(findings, reviewed), *added], runs, (*notes, *refuted), rules)


def _run(work: _Work, config: Config, asked: Asked) -> AgentRun:
    """One reviewer's run; never completed while a unit of the change has no answer."""
    reasons = [f"{where}: {why}" if where else why for where, why in dict.fromkeys(work.failures)]
    if work.open:
        named = ", ".join(place(one) for one in work.open[:8])
        more = f" and {len(work.open) - 8} more" if len(work.open) > 8 else ""
        reasons.append(f"not reviewed: {named}{more}")
    on_incomplete = config.reviewers.on_incomplete_ci if asked.surface == "ci" else config.reviewers.on_incomplete_hook
    required = work.profile.required and on_incomplete == "block"
    if reasons and work.profile.required and not required:
        reasons.append(
            f"it is required, and on_incomplete_{'ci' if asked.surface == 'ci' else 'hook'} = warn lets the change pass"
        )
    return AgentRun(
        agent=work.profile.agent,
        digest=digest([prompts.VERSION, work.profile.digest, work.model, work.route.effort, sorted(work.rules)]),
        outcome=Outcome.FAILED if reasons else Outcome.COMPLETED,
        required=required,
        reason="; ".join(reasons),
        cached=bool(work.packets) and not work.seconds and not reasons,
        seconds=round(work.seconds, 3),
        rules=tuple(sorted(work.rules)),
    )


def _notes(who: Sequence[Profile], around: Context, withheld: Sequence[str]) -> tuple[str, ...]:
    out = [note for one in who for note in one.notes]
    out += around.notes
    if around.files:
        out.append(f"reviewers know {', '.join(path for path, _ in around.files)}")
    if withheld:
        out.append(f"sent to no model (never_send), so no reviewer has read it: {', '.join(sorted(withheld))}")
    return tuple(out)


def _of(workflow: Workflow | None, snapshot: Snapshot, asked: Asked) -> tuple[str, ...]:
    if workflow is None:
        return ()
    by = "--workflow" if asked.workflow else f"the branch {snapshot.branch}"
    return (f"{BY_WORKFLOW}{workflow.name}, by {by}",)
