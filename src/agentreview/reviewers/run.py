"""Model reviewers over one change: who is asked, what is sent, what came of it. Pure but for the trees, the store and the backend.

Everything is prepared before anything is sent (:mod:`agentreview.reviewers.sending`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentreview.canonical import digest
from agentreview.config import Config, Level
from agentreview.errors import ConfigError
from agentreview.globs import matches
from agentreview.llm import Backend, Failure
from agentreview.masking import Table, open_table
from agentreview.model import BY_WORKFLOW, AgentRun, Asked, FileChange, Finding, Outcome, Rule, Severity, Snapshot
from agentreview.policies.compare import Engine
from agentreview.policies.load import Catalogue
from agentreview.records import dataclass, field, replace
from agentreview.reviewers import conclude, prompts
from agentreview.reviewers.addressed import RULE, addressed
from agentreview.reviewers.again import cut, sight
from agentreview.reviewers.chain import MAX_TOKENS, Reader, place
from agentreview.reviewers.context import Context, Material, context
from agentreview.reviewers.convergence import Answers, unit_key
from agentreview.reviewers.nearby import Around, Hop
from agentreview.reviewers.packets import Packet, named_at, packet, shorter
from agentreview.reviewers.profiles import PLAIN, Profile, chosen, closed_list, profiles
from agentreview.reviewers.routing import risk, route
from agentreview.reviewers.rules import BY_ID
from agentreview.reviewers.sending import Seen, Told, Work, configured, follow_all, may_send, show, warm
from agentreview.reviewers.shown import Shown
from agentreview.reviewers.units import PROSE, Piece, numbers, pieces, plain, unsendable
from agentreview.reviewers.workflows import Workflow, choose, workflows

if TYPE_CHECKING:
    from agentreview.policies.around import Trees


@dataclass(frozen=True, slots=True)
class Read:
    """What reviewers add to a review: the findings with suspects settled and claims added, their runs, and notes.

    ``refuted`` are claims that a second reader showed to be wrong; they are in no report but as a note.
    """

    findings: list[Finding]
    runs: tuple[AgentRun, ...] = ()
    notes: tuple[str, ...] = ()
    rules: Mapping[str, Rule] = field(default_factory=dict)
    refuted: tuple[Finding, ...] = ()
    block_at: Severity | None = None  # of the workflow, where it is stricter


def read(
    asked: Asked, snapshot: Snapshot, findings: Sequence[Finding], engine: Engine, trees: Trees | None, *,
    catalogue: Catalogue | None = None, backend: Backend | Failure | None = None, say: Told = lambda _kind, _text: None,
) -> Read:  # fmt: skip
    """Have the reviewers read a change that the policies have judged.

    ``catalogue`` are all policies where the engine runs only some; ``backend`` is the configured one when not given.
    """
    config = engine.config
    material, settings, known, own = _settings(asked, snapshot, trees)
    workflow = choose(own, asked.workflow, snapshot.branch)
    names = asked.names or config.reviewers.enabled
    where = "--reviewers" if asked.names else "[reviewers] enabled"
    chosen(asked.more, known, where="agentreview worktree add --profile, of this worktree,")
    who = chosen((*names, *asked.more, *(workflow.agents if workflow is not None else ())), known, where=where)
    around = context(material, settings, who, config.reviewers.never_send)
    asking = backend
    if asking is None and not asked.dry:
        asking = configured(asked, config, snapshot.worktree or "")
    units, withheld = _units(snapshot.changes, engine)
    shown = Shown(open_table(asked.store) if asked.store else Table())
    spoken = addressed(snapshot.changes, config)
    works = _routed(who, units, findings, engine, catalogue or engine.catalogue)
    _ready(works, around, workflow, config, shown)
    answers = Answers(asked.store)
    changed = {p.path: p.new for p in units if p.new is not None}
    near = Around(trees, snapshot.tree, engine, changed, config.reviewers.never_send)
    for piece in {id(p): p for w in works if w.profile.name != PLAIN for p in w.pieces}.values():
        near.hops(piece)  # all of them now: it forks, which nobody may who has threads, as loading the SDK does
    for work in works:
        rests_on = _rests_on(work, around, workflow)
        for number, piece in enumerate(work.pieces, 1):
            hops = [] if work.profile.name == PLAIN else near.hops(piece)
            one = packet(number, piece, shown, hops, work.told, frozenset(work.rules))
            work.keys[one.id] = unit_key({**rests_on, "unit": one.key})
            found = None if asked.fresh else answers.load(work.keys[one.id], one.id, shown)
            if found is not None:
                work.known[one.id] = found
            else:
                if may_send(asked, config):
                    warm(asking)  # now it is known that something is sent: the SDK loads while other packets are made
                one = _again(
                    work,
                    one,
                    hops,
                    unit_key({**rests_on, "last": [piece.path, piece.name, piece.kind]}),
                    answers,
                    asked,
                    shown,
                )
            work.packets.append(one)
        _linked(work, config, shown)
        say(
            "routing",
            f"{work.profile.name}: {work.route.tier} ({work.model}, effort {work.route.effort}): {work.route.why}",
        )
    if asked.dry:
        show(works, config, say)
    elif asking is not None and any(work.open for work in works):
        follow_all(works, shown, answers, asked, config, asking, say)
    notes = (*_notes(who, around, withheld), *_of(workflow, own, snapshot, asked))
    said = _concluded(works, [*findings, *spoken], config, asked, notes, shown)
    return replace(said, block_at=_threshold(workflow, config))


def _settings(
    asked: Asked, snapshot: Snapshot, trees: Trees | None
) -> tuple[Material, dict[str, bytes], dict[str, Profile], dict[str, Workflow]]:
    """Return who may review, as it was before the change.

    What the change makes of it is read too, so that a mistake stops the change that brings it; and it is what counts
    where there was a mistake before, or nobody could correct it. Raises ConfigError.
    """
    after = Material(trees, asked.rules or snapshot.tree, asked.rules or snapshot.tree)
    mended = after.settings()
    corrected = profiles(mended), workflows(mended)
    if asked.rules or snapshot.base == snapshot.tree:
        return after, mended, *corrected
    before = Material(trees, snapshot.base, snapshot.tree)
    settings = before.settings()
    try:
        return before, settings, profiles(settings, before.added), workflows(settings)
    except ConfigError:
        return after, mended, *corrected


def _units(changes: Iterable[FileChange], engine: Engine) -> tuple[list[Piece], dict[str, list[str]]]:
    """Changed units of what may be sent, and the paths that are not, by reason. Prose and data are no code: not named."""
    config = engine.config
    out: list[Piece] = []
    withheld: dict[str, list[str]] = {}
    for change in changes:
        both = (change.path, change.old_path or change.path)
        why = (
            "never_send" if any(matches(path, config.reviewers.never_send) for path in both)
            else change.opaque or ("excluded" if matches(change.path, config.exclude) else unsendable(change, config.limits))
        )  # fmt: skip
        if not why:
            out += pieces(change, engine)
        elif why != PROSE:
            withheld.setdefault(why, []).append(change.path)
    return out, withheld


def _threshold(workflow: Workflow | None, config: Config) -> Severity:
    """From which severity on a finding blocks: the configured one, or a workflow's where that is stricter."""
    stated = workflow.block_at if workflow is not None else None
    return stated if stated is not None and stated.rank < config.block_at.rank else config.block_at


def _routed(
    who: Sequence[Profile], units: Sequence[Piece], findings: Sequence[Finding], engine: Engine, catalogue: Catalogue
) -> list[Work]:
    """Each reviewer with the units it reads, the riskiest first, and the model that reads them."""
    config = engine.config
    every = {**{p.id: p.rule for p in catalogue.policies}, **BY_ID}
    new = [f for f in findings if f.origin.value == "introduced"]
    works = []
    for profile in who:
        ids = closed_list(profile, catalogue.ids())
        rules = {i: every[i] for i in ids if i in every and config.level(i) is not Level.OFF}
        bare = profile.name == PLAIN
        told_of = [] if bare else new
        everything = (
            [p for c in {id(u.change): u.change for u in units}.values() for p in plain(c, engine)] if bare else units
        )
        mine = [p for p in everything if not profile.files or matches(p.path, profile.files)]
        mine.sort(key=lambda p: (-risk(p, told_of), p.path, p.first))
        chosen_route = route(profile, mine, [f for f in told_of if f.rule in rules or f.rule.startswith("conduct.")])
        works.append(Work(profile, rules, chosen_route, config.models.tiers[chosen_route.tier].id, mine, told_of))
    return works


def _ready(works: Sequence[Work], around: Context, workflow: Workflow | None, config: Config, shown: Shown) -> None:
    """Give each reviewer what its requests have in common."""
    shared, second = prompts.shared(around, shown), prompts.refute_system(around, shown)
    threshold = _threshold(workflow, config)
    second_model = config.models.tiers[config.reviewers.refute_tier]
    for work in works:
        gate = work.profile.gate == "block"

        def blocks(rule: Rule, gate: bool = gate) -> bool:  # noqa: FBT001
            return gate and rule.severity.rank >= threshold.rank and config.level(rule.id) is Level.ON

        work.reader = Reader(
            profile=work.profile,
            rules=work.rules,
            model=work.model,
            effort=work.route.effort,
            refute_model=second_model.id,
            max_tokens=min(MAX_TOKENS, config.models.tiers[work.route.tier].max_output),
            refute_max_tokens=min(MAX_TOKENS, second_model.max_output),
            system=(shared, prompts.role(work.profile, list(work.rules.values()))),
            refute_system=second,
            workflow=workflow,
            blocks=blocks,
        )


def _rests_on(work: Work, around: Context, workflow: Workflow | None) -> dict[str, Any]:
    """Everything an answer rests on but the unit itself."""
    assert work.reader is not None  # noqa: S101 - see read
    return {
        "prompt": prompts.VERSION,
        "profile": work.profile.digest,
        "rules": {name: digest([rule.title, rule.severity.value, rule.help]) for name, rule in work.rules.items()},
        "blocking": sorted(name for name, rule in work.rules.items() if work.reader.blocks(rule)),
        "models": [work.model, work.route.effort, work.reader.refute_model],
        "context": around.digest,
        "workflow": [] if workflow is None else [workflow.name, *workflow.questions, workflow.body],
    }


def _again(
    work: Work, one: Packet, hops: Sequence[Hop], name: str, answers: Answers, asked: Asked, shown: Shown
) -> Packet:
    """Show of a unit that was read before only what is needed. CI, ``--fresh`` and the baseline read everything whole."""
    now = sight(one.piece, hops)
    whole = asked.fresh or asked.surface == "ci" or work.profile.name == PLAIN
    earlier = None if whole else answers.earlier(name)
    less = cut(one.piece, hops, earlier) if earlier is not None else None
    work.seen[one.id] = Seen(name, now, earlier.sight if earlier is not None and less is not None else None)
    if less is None:
        return one
    work.cuts[one.id] = tuple(hops), less
    return shorter(one, shown, hops, less)


def _linked(work: Work, config: Config, shown: Shown) -> None:
    """Show nothing twice in one request: a neighbour that is a unit there itself is named."""
    cuts = {one.id: work.cuts[one.id] for one in work.open if one.whole is not None}
    if not cuts or len(work.groups(config)) > 1:
        return
    there = {(p.piece.path, p.piece.name): p for p in work.open if p.piece.name and p.piece.after}
    lines = {
        p.id: {*numbers(named_at(p.piece)), *numbers(cuts[p.id][1].after if p.id in cuts else p.piece.after)}
        for p in there.values()
    }
    for at, one in enumerate(work.packets):
        if one.id not in cuts:
            continue
        hops, less = cuts[one.id]
        spans, elsewhere = list(less.hops), []
        for number, hop in enumerate(hops):
            other = there.get((hop.version.path, hop.name))
            if other is not None and spans[number] and set(numbers(spans[number])) <= lines[other.id]:
                elsewhere.append(f"{hop.why} {hop.name} ({other.id})")
                spans[number] = ()
        if elsewhere:
            work.packets[at] = shorter(one, shown, hops, replace(less, hops=tuple(spans), elsewhere=tuple(elsewhere)))


def _concluded(
    works: Sequence[Work], findings: Sequence[Finding], config: Config, asked: Asked, notes: Iterable[str], shown: Shown
) -> Read:
    reviewed = [(w.profile, one, w.known[one.id]) for w in works for one in w.packets if one.id in w.known]
    rules = {RULE.id: RULE, **{name: rule for work in works for name, rule in work.rules.items()}}
    readers = {work.profile.name: work.reader for work in works}

    def blocks(profile: Profile, rule: Rule) -> bool:
        reader = readers[profile.name]
        return reader is not None and reader.blocks(rule)

    claimed, refuted, dismissed = conclude.claimed(reviewed, rules, blocks, shown.unmasked)
    there = {f.fingerprint for f in findings}
    added = [f for f in claimed if f.fingerprint not in there]
    runs = tuple(_run(work, config, asked) for work in works)
    return Read([*conclude.settled(findings, reviewed), *added], runs, (*notes, *refuted), rules, tuple(dismissed))


def _run(work: Work, config: Config, asked: Asked) -> AgentRun:
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
        model=work.model,
        prompt="" if work.reader is None else digest([prompts.VERSION, [block.text for block in work.reader.system]]),
    )


def _notes(who: Sequence[Profile], around: Context, withheld: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    out = [note for one in who for note in one.notes]
    out += around.notes
    if around.files:
        out.append(f"reviewers know {', '.join(path for path, _ in around.files)}")
    for why, paths in sorted(withheld.items()):
        named = ", ".join(sorted(paths)[:20]) + (f" and {len(paths) - 20} more" if len(paths) > 20 else "")
        out.append(f"sent to no model ({why}), so no reviewer has read it: {named}")
    return tuple(out)


def _of(workflow: Workflow | None, own: Mapping[str, Workflow], snapshot: Snapshot, asked: Asked) -> tuple[str, ...]:
    if workflow is None:
        by_branch = any(one.branches for one in own.values())  # then another branch may get another answer
        return (f"{BY_WORKFLOW}none: none of this project is for the branch {snapshot.branch}",) if by_branch else ()
    by = (
        "the choice of this worktree"
        if asked.room
        else "--workflow"
        if asked.workflow
        else f"the branch {snapshot.branch}"
    )
    return (f"{BY_WORKFLOW}{workflow.name}, by {by}",)
