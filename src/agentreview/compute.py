"""A snapshot to a verdict: policies, anchoring, waivers, triage. Touches nothing but the processes that read files."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from agentreview import waiverfile, waivers
from agentreview.anchor import anchor, fingerprint
from agentreview.config import CONFIG_NAME, PYPROJECT_NAME, Config, Level, load_config
from agentreview.errors import ConfigError
from agentreview.model import (
    NOT_CONFIGURED,
    NOT_CONFIRMED,
    REVIEWER,
    AgentRun,
    Asked,
    Confidence,
    FileChange,
    Finding,
    Outcome,
    Rule,
    Skipped,
    Snapshot,
    Status,
    Verdict,
    older,
    settled_by,
)
from agentreview.policies.checks import VERSION_FORMS
from agentreview.policies.compare import Claimed, Engine, built_in, review_file
from agentreview.policies.load import GUARD_FORMS, Catalogue, load
from agentreview.policies.project import Loaded, known_ids, load_with
from agentreview.policies.run import review_changes
from agentreview.records import replace
from agentreview.syntax import SKIP_REASONS
from agentreview.triage import decide, order, settle
from agentreview.waiverfile import WAIVERS_NAME
from agentreview.worker import Reviewers, examine_in_workers

if TYPE_CHECKING:
    from agentreview.policies.around import Around, Trees
    from agentreview.reviewers.run import Read

Progress = Callable[[int, int], None]
Told = Callable[[str, str], None]  # (kind, text) of what model reviewers do: see agentreview.reviewers.run
Known = Callable[[], Sequence[Finding]]
WHOLE = "the project's facts as a whole"
UNREAD_EDIT = "with it policies find something new in the file, or cannot read it"
EDITS = 8  # of the findings of one change, for how many an edit is looked for
ELSEWHERE = "left to another shard"  # why an agent was not asked here
_NO_TERMS = waivers.Terms(today="")  # nothing read from a file, so nothing expires


_SAMPLE = b"""\
import logging
from django.contrib.auth.decorators import login_required
from django.db import models
from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from clinic.audit import audit_log
logger = logging.getLogger(__name__)
class Visit(models.Model):
    clinic = models.ForeignKey("Clinic", on_delete=models.CASCADE)
@login_required
def visit_update(request, pk):
    visit = get_object_or_404(Visit, pk=pk, clinic=request.user.clinic)
    if not request.user.has_perm("clinic.change_visit"):
        raise PermissionDenied
    visit.token_hash = f"{request.POST['room']}-{visit.pk}"
    try:
        visit.save()
    except ValueError as error:
        logger.warning("visit %s: %s", visit.pk, error)
    audit_log(request.user, "update", visit)
    return JsonResponse({"rooms": [v.room for v in Visit.objects.filter(clinic=visit.clinic).order_by("room")]})
"""


def warm() -> None:
    """Get ready for a review of Python, while somebody else reads the change. Other languages load when they occur.

    Reading one small file compiles most of the patterns that any file needs.
    """
    catalogue = load()
    built_in(catalogue.frameworks, "python").active(())
    sample = FileChange(path="clinic/views.py", status="A", after=_SAMPLE)
    review_file(sample, Engine(catalogue, Config()))


def compute(
    snapshot: Snapshot, files: Mapping[str, bytes], progress: Progress | None = None, trees: Trees | None = None, *,
    today: str, accepted: Mapping[str, str] | None = None, packs: Collection[str] | None = None, known: Known = tuple,
    asked: Asked | None = None, tell: Told | None = None, landed: bytes | None = None,
) -> Verdict:  # fmt: skip
    """Review under the configuration and the waivers in ``files`` (path -> content). ConfigError for a mistake there.

    ``today`` (ISO, UTC) decides which waivers have expired; ``accepted``: :class:`agentreview.waivers.Terms`; ``packs``: only
    these are asked, and the others are said to be left out. ``known`` is asked last for findings that nobody here
    makes: waivers apply to them, and one that is blocking stays so otherwise. ``asked``: the model reviewers, of whom ``tell`` hears.
    Where ``accepted`` is given, ``files`` are those of a base that the change brings nothing into: nothing of what it started from
    counts beside them, because whoever forks chooses that. ``landed`` is then the waivers file of the base.
    """
    loaded = load_with(files, examine_in_workers)
    config = load_config(files.get, known_policies=loaded.catalogue.ids())
    guard = _guard(snapshot, files, config) if accepted is None else config
    terms = waivers.Terms(today=today, max_days=guard.waivers.max_days, accepted=accepted, landed=_landed(landed))
    return review_snapshot(
        snapshot,
        config,
        progress,
        guard=guard,
        trees=trees,
        terms=terms,
        waiver_file=files.get(WAIVERS_NAME),
        packs=packs,
        loaded=loaded,
        known=known,
        asked=asked,
        tell=tell,
    )


def _guard(snapshot: Snapshot, files: Mapping[str, bytes], config: Config) -> Config:
    """The configuration the change started from: a change cannot switch off the policy that looks at the switch."""
    names = (CONFIG_NAME, PYPROJECT_NAME)
    touched = [(c, name) for c in snapshot.changes for name in names if name in (c.path, c.old_path)]
    if not touched:
        return config
    held = {name: change.content_before(name) for change, name in touched}
    before = {name: text for name, text in {**files, **held}.items() if text is not None}
    try:
        return load_config(
            before.get, known_policies=known_ids((*files, *(c.old_path or c.path for c in snapshot.changes)))
        )
    except ConfigError:
        return Config()


def review_snapshot(
    snapshot: Snapshot, config: Config, progress: Progress | None = None, *, guard: Config | None = None, trees: Trees | None = None,
    terms: waivers.Terms = _NO_TERMS, waiver_file: bytes | None = None, packs: Collection[str] | None = None,
    loaded: Loaded | None = None, known: Known = tuple, asked: Asked | None = None, tell: Told | None = None,
) -> Verdict:  # fmt: skip
    """Compute the verdict of a snapshot: policies, anchoring, waivers, triage.

    Touches nothing outside the process but what ``trees`` reads: other files of the two trees, when a finding rests on them.
    ``loaded`` are the policies; the built-in ones alone when it is not given.
    """
    started = time.perf_counter()
    loaded = loaded or Loaded(load())
    whole = loaded.catalogue
    reads = asked is not None and bool(asked.names or asked.workflow or asked.more or config.reviewers.enabled)
    elsewhere = asked is not None and asked.elsewhere
    # Of several shards, the one that asks the reviewers shows them what all policies find.
    catalogue = whole if packs is None or (reads and not elsewhere) else _part(whole, packs)
    engine = Engine(catalogue, config, guard)
    guards = {p.id for p in catalogue.policies if any(check.form in GUARD_FORMS for check in p.checks)}
    files = _waiver_files(snapshot, waiver_file, engine, terms)  # read first: a mistake in it needs no review
    look = partial(_around, trees, snapshot) if trees is not None else None
    with Reviewers(progress) as reviewers:
        reviewed = review_changes(snapshot.changes, engine, reviewers, look)
    rules = {p.id: p.rule for p in catalogue.policies}
    claims = [c for c in reviewed.claims if _mine(c.claim.rule, packs)]
    shown = [c for c in claims if c.touched]
    findings, unanchored = _anchored(snapshot, shown, rules)
    read = None
    if asked is not None and reads and not elsewhere:
        others_too, _ = _anchored(snapshot, [c for c in reviewed.claims if c.touched], rules)
        read = _asked(asked, snapshot, others_too, engine, whole, trees, tell)
        findings = [
            f for f in read.findings if _mine(f.rule, packs) or f.agent.startswith(REVIEWER) or settled_by(f)[0]
        ]
        config = replace(config, block_at=read.block_at or config.block_at)
        rules = {**read.rules, **rules}
    others = known()
    findings = [*findings, *others]
    unread = {s.path for s in reviewed.skipped} | {path for path, _ in reviewed.failed}
    files = replace(files, looked_at=frozenset(files.looked_at) - unread)
    inline = [w for change in snapshot.changes for w in waivers.find(change)]
    applied = waivers.apply(findings, inline, terms, files, _seen(c for c in claims if not c.touched))
    waived = [f for f in applied.findings if not _is_settled(f, files, terms)]
    if engine.guard.level(waivers.RULE) is not Level.OFF and waivers.RULE in rules:
        said, _ = _anchored(
            snapshot, (Claimed(claim, n, existing=False) for n, claim in enumerate(applied.granted, 1)), rules
        )
        waived += said
    # What is known to block does so whatever severities do: it is not about code, but about who answers for it.
    sure = {f.fingerprint for f in others if f.status is Status.BLOCKING}
    settled = order(
        f if f.fingerprint in sure else settle(f, engine.guard if f.rule in guards else config) for f in waived
    )
    settled, dropped = _with_edits(settled, snapshot, engine)
    failed = [f"{path}: {reason}" for path, reason in (*reviewed.failed, *unanchored)]
    runs = []
    ids_known = sorted((*(p.id for p in whole.policies), *(name for name, _ in loaded.unchecked)))
    for pack in sorted({name.partition(".")[0] for name in ids_known}):
        agent = f"policy:{pack}"
        if packs is not None and pack not in packs:
            runs.append(
                AgentRun(agent=agent, digest=whole.digest, outcome=Outcome.SKIPPED, required=False, reason=ELSEWHERE)
            )
            continue
        ids = tuple(name for name in ids_known if name.startswith(f"{pack}.") and config.level(name) is not Level.OFF)
        untold = [*failed, *(f"{name}: {reason}" for name, reason in loaded.unchecked if name in ids)]
        outcome = Outcome.FAILED if untold and ids else Outcome.COMPLETED if ids else Outcome.OFF
        reason = "; ".join(untold) if untold and ids else "" if ids else f"switched off in {config.path}"
        runs.append(
            AgentRun(
                agent=agent, digest=catalogue.digest, outcome=outcome, required=bool(ids), reason=reason, rules=ids
            )
        )
    runs += read.runs if read is not None else ()
    if asked is not None and elsewhere:
        runs += [
            AgentRun(
                agent=f"{REVIEWER}{name}",
                digest=config.digest,
                outcome=Outcome.SKIPPED,
                required=False,
                reason=ELSEWHERE,
            )
            for name in asked.names or config.reviewers.enabled
        ]
    used = {f.rule for f in settled}
    return Verdict(
        decision=decide(settled, runs), base=snapshot.base, tree=snapshot.tree, findings=settled, runs=tuple(runs), skipped=_described(reviewed.skipped),
        rules=tuple(rules[r] for r in sorted(used & rules.keys())), notes=(*loaded.notes, *(read.notes if read is not None else ()), *dropped, *applied.notes, *_unsettled((f for f in settled if f.rule not in guards), config, catalogue), *_older(len(claims) - len(shown))), files=reviewed.files,
        until=applied.until, configuration=config.digest, configured_in=config.path or "",
        worktree=snapshot.worktree, branch=snapshot.branch, source=snapshot.source, seconds=round(time.perf_counter() - started, 3),
    )  # fmt: skip


def _part(whole: Catalogue, packs: Collection[str]) -> Catalogue:
    """The policies of some packs, and those of others to which they yield: or both would be reported in the end."""
    by_id = {p.id: p for p in whole.policies}
    wanted: set[str] = set()
    todo = [p.id for p in whole.policies if p.pack in packs]
    while todo:
        one = by_id.get(todo.pop())
        if one is not None and one.id not in wanted:
            wanted.add(one.id)
            todo.append(one.superseded_by)
    return replace(whole, policies=tuple(p for p in whole.policies if p.id in wanted))


def _mine(rule: str, packs: Collection[str] | None) -> bool:
    """Whether this shard reports a rule."""
    return packs is None or rule.partition(".")[0] in packs


def _asked(
    asked: Asked, snapshot: Snapshot, findings: Sequence[Finding], engine: Engine, whole: Catalogue, trees: Trees | None, tell: Told | None
) -> Read:  # fmt: skip
    """Have the model reviewers read the change; nothing is imported where none is wanted."""
    from agentreview.reviewers.run import read

    return read(
        asked, snapshot, findings, engine, trees, catalogue=whole, say=tell or (lambda _kind, _text: None)
    )  # fmt: skip


def _with_edits(
    findings: tuple[Finding, ...], snapshot: Snapshot, engine: Engine
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Propose edits for what blocks, as far as there are few: whoever is refused reads on anyway.

    Those that reviewers propose are reviewed as well; a note says which of them are not offered, and why.
    """
    by_path = {change.path: change for change in snapshot.changes}
    by_rule = [
        f for f in findings if f.status is Status.BLOCKING and f.path in by_path and f.agent.startswith("policy:")
    ]
    by_model = [f for f in findings if f.edit is not None and f.path in by_path]
    if not by_rule and not by_model:
        return findings, ()
    from agentreview.fixes.proposing import propose_in_workers

    wanted = [*by_rule[:EDITS], *by_model[:EDITS]]
    found = propose_in_workers([(f, by_path[f.path]) for f in wanted], engine)
    edits = {f.fingerprint: edit for f, edit in zip(wanted, found, strict=True)}
    notes = tuple(
        f"{f.agent}: its edit for {f.rule} in {f.path} is not offered: "
        f"{UNREAD_EDIT if f.fingerprint in edits else f'policies read only {EDITS} of them'}"
        for f in by_model
        if edits.get(f.fingerprint) is None
    )
    return tuple(replace(f, edit=edits.get(f.fingerprint)) for f in findings), notes


def _landed(data: bytes | None) -> waiverfile.Waivers:
    """The waivers of the base; what cannot be read accepts nothing."""
    try:
        return waiverfile.parse(data)
    except ConfigError:
        return waiverfile.Waivers()


def _waiver_files(snapshot: Snapshot, data: bytes | None, engine: Engine, terms: waivers.Terms) -> waivers.Files:
    """Both versions of the waivers file, and what in the change a waiver may have been about."""
    touched = [c for c in snapshot.changes if WAIVERS_NAME in (c.path, c.old_path)]
    held = next((c.content_before(WAIVERS_NAME) for c in touched), None) if touched else data
    before = terms.landed if terms.accepted is not None else _landed(held)
    moved = {c.old_path: c.path for c in snapshot.changes if c.old_path}
    deleted = {c.path: "" for c in snapshot.changes if c.status == "D"}
    return waivers.Files(
        before=before,
        after=waiverfile.parse(data),
        touched=bool(touched),
        standing=frozenset(p.id for p in engine.policies if all(check.form in VERSION_FORMS for check in p.checks)),
        looked_at=frozenset(c.path for c in snapshot.changes if c.after is not None),
        gone={**moved, **deleted},
    )


def _seen(claims: Iterable[Claimed]) -> list[waivers.Seen]:
    return [
        waivers.Seen(
            fingerprint=fingerprint(c.claim.rule, c.claim.path, c.claim.unit, c.claim.identity, c.occurrence),
            rule=c.claim.rule, path=c.claim.path, start_line=c.claim.start_line, end_line=c.claim.end_line,
        )
        for c in claims
    ]  # fmt: skip


def _is_settled(finding: Finding, files: waivers.Files, terms: waivers.Terms) -> bool:
    """Whether this says that the change adds an entry to the waivers file that an approver has signed for."""
    if finding.rule != waivers.RULE or finding.path != WAIVERS_NAME:
        return False
    return any(r.line == finding.start_line and r.id in (terms.accepted or {}) for r in files.after.records)


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


def _older(count: int) -> tuple[str, ...]:
    return (older(count),) if count else ()


def _unsettled(findings: Iterable[Finding], config: Config, catalogue: Catalogue) -> tuple[str, ...]:
    """Say once which facts keep suspects of this change from blocking: those not configured, then those not confirmed.

    A suspect that would not block anyway (its policy is advisory, its severity too low) needs no fact, and a question
    about the gate itself goes to a person whatever the facts say.
    """
    asking = {
        f.rule
        for f in findings
        if f.status is Status.ADVISORY
        and f.confidence is Confidence.MEDIUM
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
