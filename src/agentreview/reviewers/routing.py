"""Which tier reads a change when a profile says ``auto``: by the facts in it, never by a model's guess."""

from __future__ import annotations

from collections.abc import Iterable

from agentreview.model import Finding
from agentreview.records import dataclass
from agentreview.reviewers.profiles import Profile
from agentreview.reviewers.units import Piece
from agentreview.syntax.facts import Fact
from agentreview.syntax.values import PHI_FIELD, PHI_OBJECT

SMALL = 40  # lines
EFFORT = {"fast": "low", "standard": "medium", "deep": "high"}
# What makes a mistake expensive, by the facts a unit holds.
_SENSITIVE = {
    "authn": "who signs in",
    "opening": "what is open to everybody",
    "object-check": "who may see which record",
    "membership": "who belongs to whom",
    "scope": "which tenant's rows",
    "scope-off": "which tenant's rows",
    "token-check": "tokens",
    "audit": "the audit trail",
    "trail": "the audit trail",
    "raw-sql": "SQL",
    "delete": "deleting",
    "redact": "what is hidden",
    "prompt": "prompts of models",
    "exec": "running commands",
    "csrf-off": "cross-site protection",
}
_PACKS = frozenset(
    ("hipaa", "tenancy", "access", "data", "injection", "secrets", "conduct")
)  # conduct: what was taken away


@dataclass(frozen=True, slots=True)
class Route:
    """A tier, an effort, and why."""

    tier: str
    effort: str
    why: str


def risk(piece: Piece, findings: Iterable[Finding]) -> int:
    """How much a mistake in this unit would cost, 0 or more: what is sent first when not all of it can be."""
    concepts = {fact.concept for fact in piece.facts}
    hits = sum(f.path == piece.path and f.unit == piece.name for f in findings)
    return 4 * hits + 2 * len(concepts & _SENSITIVE.keys()) + 2 * any(map(_of_health, piece.facts)) + bool(piece.facts)


def _of_health(fact: Fact) -> bool:
    """Whether it is about a record of health information, or shows such a field: ``logger.info(patient.mrn)``."""
    return fact.phi or any(kind in (PHI_FIELD, PHI_OBJECT) for kind, _ in fact.labels)


def route(profile: Profile, pieces: Iterable[Piece], findings: Iterable[Finding]) -> Route:
    """Choose the tier of one profile for these units."""
    if profile.tier != "auto":
        return Route(profile.tier, profile.effort or EFFORT[profile.tier], f"the profile asks for {profile.tier}")
    every = list(pieces)
    found = sorted({f.rule for f in findings if f.rule.partition(".")[0] in _PACKS})
    touched = sorted(
        {
            *(_SENSITIVE[f.concept] for p in every for f in p.facts if f.concept in _SENSITIVE),
            *("health information" for p in every if any(map(_of_health, p.facts))),
        }
    )
    lines = sum(len(p.added) + len(p.removed) for p in every)
    if found or touched:
        reasons = [f"it touches {', '.join(touched)}"] if touched else []
        reasons += [f"policies ask about {', '.join(found[:4])}"] if found else []
        tier, why = "deep", "; ".join(reasons)
    elif lines <= SMALL and not any(p.facts for p in every):
        tier, why = "fast", f"{lines} changed lines, and no fact about access, tenants or health information"
    else:
        tier, why = "standard", f"{lines} changed lines, and nothing about access, tenants or health information"
    return Route(tier, profile.effort or EFFORT[tier], why)
