"""What is in force for every project fact, where it comes from, and which policies rest on it: values, no printing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agentreview.commands.configfile import table_of
from agentreview.config import CONFIG_NAME, Config, Level, file_layout
from agentreview.facts import KEYS, Approved, AutomaticAudit, Facts
from agentreview.model import Hit
from agentreview.records import dataclass
from agentreview.vocabulary import CONTEXT, PHI_MODELS, STRONG

if TYPE_CHECKING:
    from agentreview.detect import Detection, Found
    from agentreview.git import Repository
    from agentreview.policies.load import Catalogue, Policy

_NAMES = "what the framework files know"
BUILT_IN: Mapping[str, str] = {
    "phi.models": f"{len(PHI_MODELS)} built-in names (patient, encounter, lab result, …)",
    "phi.tables": "the models' names in the plural",
    "phi.fields": f"{len(STRONG)} built-in names (ssn, mrn, diagnosis, …)",
    "phi.model_fields": f"{len(CONTEXT)} built-in names (first name, address, phone, …)",
    "audit.calls": _NAMES,
    "audit.decorators": _NAMES,
    "audit.bases": _NAMES,
    "tenant.key": "the usual names (org, tenant, clinic, facility, …)",
    "tenant.sources": _NAMES,
    "tenant.scoped_by": _NAMES,
    "access.default": "the framework's settings, where they are found",
    "access.decorators": _NAMES,
    "access.guards": _NAMES,
    "access.object_checks": _NAMES,
    "access.public_markers": _NAMES,
    "egress.redactors": _NAMES,
    "tests.paths": "the usual places (tests/, test_*.py, *.spec.ts, …)",
}
"""What applies where the configuration says nothing; what it says is added to names, and replaces a single value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fact. ``value`` is what the configuration says, ``None`` when it says nothing; ``line`` is 0 then.

    ``found`` is what detection shows in the tree and the configuration does not have. ``needed_by`` are the policies
    that ask until the fact is set and confirmed, ``used_by`` the other ones whose answer it can change.
    """

    fact: str
    value: Any
    line: int
    confirmed_by: str
    found: tuple[Found, ...]
    needed_by: tuple[str, ...]
    used_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One policy whose suspects would block: the facts it needs that are not set, or not confirmed."""

    policy: str
    unset: tuple[str, ...]
    unconfirmed: tuple[str, ...]
    settled: bool


def rows(config: Config, lines: Mapping[str, int], catalogue: Catalogue, detection: Detection) -> tuple[Row, ...]:
    """Return every fact, in the order of the file. ``lines`` says where the configuration sets each."""
    from agentreview.policies.uses import uses

    reading = {policy.id: uses(policy) for policy in catalogue.policies if config.level(policy.id) is not Level.OFF}
    asking = {policy.id: set(policy.needs) for policy in catalogue.policies if _asks(policy)}
    found = []
    for fact in KEYS:
        needed = tuple(one for one in reading if fact in asking.get(one, ()))
        set_here = config.facts.is_set(fact)
        found.append(
            Row(
                fact=fact,
                value=plain(config.facts.get(fact)) if set_here else None,
                line=lines.get(fact, 0) if set_here else 0,
                confirmed_by=config.facts.confirmer(fact) if set_here else "",
                found=unlisted(config.facts, fact, detection),
                needed_by=needed,
                used_by=tuple(one for one, facts in reading.items() if fact in facts and one not in needed),
            )
        )
    return tuple(found)


def standings(config: Config, catalogue: Catalogue) -> tuple[Standing, ...]:
    """Say of every policy that may block with a suspect what it still waits for."""
    facts = config.facts
    return tuple(
        Standing(
            policy=policy.id,
            unset=tuple(need for need in policy.needs if not facts.is_set(need)),
            unconfirmed=tuple(need for need in policy.needs if facts.is_set(need) and not facts.confirmer(need)),
            settled=facts.settle(policy.needs),
        )
        for policy in catalogue.policies
        if _asks(policy) and config.level(policy.id) is Level.ON and policy.rule.severity.rank >= config.block_at.rank
    )


def _asks(policy: Policy) -> bool:
    return any(check.hit is Hit.SUSPECT for check in policy.checks)


def plain(value: object) -> Any:
    """Return a fact's value as what JSON can hold."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, AutomaticAudit):
        return {"models": list(value.models), "how": value.how}
    if isinstance(value, Approved):
        return {"match": value.match, "contract": value.contract, "allows": list(value.allows)}
    return value


def unlisted(facts: Facts, fact: str, detection: Detection) -> tuple[Found, ...]:
    """Return what detection shows and the configuration does not have; of a single value only another best one."""
    value, found = facts.get(fact), detection.get(fact)
    if fact == "audit.automatic":
        listed = {f"{one.how}:{model}" for one in facts.audit.automatic for model in one.models}
    elif fact == "egress.approved":
        listed = {one.match for one in facts.egress.approved}
    elif isinstance(value, tuple):
        listed = set(map(str, value))
    else:
        return () if value and found and found[0].value == str(value) else found[:1] if value else found
    return tuple(one for one in found if one.value not in listed)


def fact_lines(repo: Repository, tree: str, path: str) -> dict[str, int]:
    """Return the line of every fact that the configuration file of the tree sets."""
    from agentreview.git import read_file

    data = read_file(repo, tree, path)
    if data is None:
        return {}
    base = table_of(path)
    _, layout = file_layout(data, path)
    return dict(_facts_in(layout.lines, base))


def _facts_in(lines: Mapping[tuple[str | int, ...], int], base: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    for fact in KEYS:
        key = (*base, *fact.split("."))
        if key in lines:
            yield fact, lines[key]


def where(config: Config) -> str:
    """Name the configuration: its file, or that there is none."""
    return config.path or f"no configuration ({CONFIG_NAME} is not there)"
