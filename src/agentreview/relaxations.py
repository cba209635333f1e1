"""What in a new configuration loosens the gate. Used by the policy about changes to the gate's own files.

A fact that clears findings loosens it when it appears, a fact that makes findings when it disappears; a fact that
is merely different is named when nobody can tell from the value alone which of the two it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Config, InCi, Limits, Waiving
    from .facts import Facts
    from .modelsettings import Models, Reviewers
    from .roomsettings import Rooms

CLEARS: tuple[str, ...] = (
    "phi.not_phi",
    "phi.treatment_paths",
    "phi.derived_fields",
    "audit.calls",
    "audit.decorators",
    "audit.bases",
    "audit.layers",
    "tenant.aliases",
    "tenant.sources",
    "tenant.scoped_by",
    "tenant.global_models",
    "tenant.unscoped_in",
    "tenant.job_base",
    "tenant.cache_wrappers",
    "access.decorators",
    "access.guards",
    "access.object_checks",
    "access.public_markers",
    "access.tenant_is_enough_for",
    "egress.redactors",
    "egress.llm_clients",
    "egress.redacted_loggers",
    "tests.paths",
    "tests.synthetic_markers",
)
"""Facts whose every entry clears findings."""

RAISES: tuple[str, ...] = (
    "frameworks",
    "phi.models",
    "phi.tables",
    "phi.fields",
    "phi.model_fields",
    "phi.free_text",
    "phi.sensitive",
    "audit.fields",
    "tenant.models",
    "retention.stores",
)
"""Facts whose every entry makes findings."""

_STRICTNESS: dict[str, dict[str, int]] = {
    "audit.reads": {"": 2, "explicit": 2, "middleware": 1, "none": 0},
    "audit.delivery": {"": 2, "transaction": 2, "outbox": 1, "async": 0},
    "tenant.isolation": {"": 2, "row": 2, "rls": 1, "schema": 1, "database": 1, "none": 0},
    "access.default": {"": 1, "allow": 1, "deny": 0},
}
"""How much a policy still asks of the code under each value; less is looser."""


def relaxations(old: Config, new: Config) -> tuple[str, ...]:
    """One sentence each, in a stable order. Values were checked to be printable when they were read."""
    return (
        *_levels(old, new),
        *_limits(old.limits, new.limits),
        *_waiving(old.waivers, new.waivers),
        *_models(old.models, new.models),
        *_reviewers(old.reviewers, new.reviewers),
        *_in_ci(old.ci, new.ci),
        *_rooms(old.worktree, new.worktree),
        *_facts(old.facts, new.facts),
    )


def _levels(old: Config, new: Config) -> Iterator[str]:
    if new.block_at.rank > old.block_at.rank:
        yield f"block_at raised from {old.block_at.value} to {new.block_at.value}"
    for pack in sorted({name for name, _ in (*old.packs, *new.packs)}):
        before, after = old.level(f"{pack}."), new.level(f"{pack}.")
        if after.rank < before.rank:
            yield f"pack {pack} lowered from {before.value} to {after.value}"
    for policy in sorted({name for name, _ in (*old.policies, *new.policies)}):
        before, after = old.level(policy), new.level(policy)
        if after.rank < before.rank:
            yield f"policy {policy} lowered from {before.value} to {after.value}"
    for glob in new.exclude:
        if glob not in old.exclude:
            yield f"exclude added: '{glob}' is no longer reviewed"


def _limits(old: Limits, new: Limits) -> Iterator[str]:
    for name in ("max_file_bytes", "max_lines", "file_seconds"):
        before, after = getattr(old, name), getattr(new, name)
        if after < before:
            yield f"limits.{name} lowered from {before:g} to {after:g}: more files are skipped"


def _waiving(old: Waiving, new: Waiving) -> Iterator[str]:
    if new.max_days > old.max_days:
        yield f"waivers.max_days raised from {old.max_days} to {new.max_days}"
    yield from (f"waivers.approvers now lists '{one}'" for one in new.approvers if one not in old.approvers)
    if (old.on_new, new.on_new) == ("block", "advise"):
        yield "waivers.on_new lowered from block to advise"


def _models(old: Models, new: Models) -> Iterator[str]:
    """Nobody can tell from an id which model reads better, so every other one is named."""
    if old.provider != new.provider:
        yield f"models.provider changed from {old.provider} to {new.provider}: code goes to another party"
    if old.stated != new.stated:
        before, after = old.tiers, new.tiers
        for tier in before:
            if before[tier].id != after[tier].id:
                yield f"models.{tier} changed from '{before[tier].id}' to '{after[tier].id}'"


def _reviewers(old: Reviewers, new: Reviewers) -> Iterator[str]:
    yield from (f"reviewers.enabled no longer lists '{one}'" for one in old.enabled if one not in new.enabled)
    for name in ("on_incomplete_hook", "on_incomplete_ci"):
        if (getattr(old, name), getattr(new, name)) == ("block", "warn"):
            yield f"reviewers.{name} lowered from block to warn"
    for glob in old.never_send:
        if glob not in new.never_send:
            yield f"reviewers.never_send no longer lists '{glob}': it may leave the machine"
    if old.refute_tier != new.refute_tier:
        yield f"reviewers.refute_tier changed from {old.refute_tier} to {new.refute_tier}"
    for name in ("tokens_per_run", "money_per_run", "money_per_worktree", "money_per_day"):
        before, after = getattr(old, name), getattr(new, name)
        if after > before:
            yield f"reviewers.{name} raised from {before:g} to {after:g}"


def _in_ci(old: InCi, new: InCi) -> Iterator[str]:
    before, after = old.require_receipts, new.require_receipts
    if after.rank < before.rank:
        yield f"ci.require_receipts lowered from {before.value} to {after.value}"


def _rooms(old: Rooms, new: Rooms) -> Iterator[str]:
    """What a set-up command does nobody can tell: it may take the hooks out of a worktree as well."""
    for words in new.setup:
        if words not in old.setup:
            yield f"worktree.setup now runs '{' '.join(words)}' in every new worktree"


def _facts(old: Facts, new: Facts) -> Iterator[str]:
    yield from _confirmations(old, new)
    for fact in CLEARS:
        had = _get(old, fact)
        yield from (f"facts.{fact} now clears findings with '{one}'" for one in _get(new, fact) if one not in had)
    for fact in RAISES:
        has = _get(new, fact)
        yield from (f"facts.{fact} no longer lists '{one}'" for one in _get(old, fact) if one not in has)
    if new.tenant.models and not old.tenant.models:
        yield "facts.tenant.models set for the first time: models it does not list may no longer be checked"
    for fact, order in _STRICTNESS.items():
        before, after = str(_get(old, fact)), str(_get(new, fact))
        if order[after] < order[before]:
            yield f"facts.{fact} changed from '{before or 'unset'}' to '{after or 'unset'}'"
    if old.tenant.key != new.tenant.key:
        yield f"facts.tenant.key changed from '{old.tenant.key or 'unset'}' to '{new.tenant.key or 'unset'}'"
    yield from _structured(old, new)
    yield from _numbers(old, new)


def _confirmations(old: Facts, new: Facts) -> Iterator[str]:
    """Confirming makes suspects block, so it is no loosening; taking a name away, or putting another in its place, is."""
    if old.confirmed_by and old.confirmed_by != new.confirmed_by:
        yield f"facts.confirmed_by changed from '{old.confirmed_by}' to '{new.confirmed_by or 'nobody'}'"
    now = dict(new.confirmed)
    for fact, person in old.confirmed:
        if now.get(fact) != person and (fact in now or not new.confirmer(fact)):
            yield f"facts.confirmed: {fact} changed from '{person}' to '{now.get(fact, 'nobody')}'"


def _structured(old: Facts, new: Facts) -> Iterator[str]:
    had = {(model, one.how) for one in old.audit.automatic for model in one.models}
    for automatic in new.audit.automatic:
        for model in automatic.models:
            if (model, automatic.how) not in had:
                yield f"facts.audit.automatic now counts writes of '{model}' as audited by {automatic.how}"
    for approved in new.egress.approved:
        before = next((one for one in old.egress.approved if one.match == approved.match), None)
        added = [one for one in approved.allows if before is None or one not in before.allows]
        if before is None:
            yield f"facts.egress.approved now allows '{approved.match}' ({approved.contract})"
        elif added or before.contract != approved.contract or (before.allows and not approved.allows):
            yield f"facts.egress.approved changed what '{approved.match}' may receive ({approved.contract})"


def _numbers(old: Facts, new: Facts) -> Iterator[str]:
    for fact, longer_is_looser in (
        ("retention.audit_years", False),
        ("session.idle_minutes", True),
        ("session.absolute_hours", True),
    ):
        before, after = _get(old, fact), _get(new, fact)
        if before and (not after or (after > before) is longer_is_looser) and after != before:
            yield f"facts.{fact} changed from {before} to {after or 'unset'}"


def _get(facts: Facts, dotted: str) -> Any:
    value: Any = facts
    for name in dotted.split("."):
        value = getattr(value, name)
    return value
