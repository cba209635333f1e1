"""What a project says about model reviewers: the ``[models]`` and ``[reviewers]`` tables.

Ids, prices and sizes of models are data (``models.json``), read only when a reviewer is about to be asked. The name
in a table beats the shipped one; an id that the data does not know has no price, which is not a price of zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from agentreview.lazyre import lazy
from agentreview.records import dataclass, replace

from .checked import KeyPath, Reader, shown

TIERS = ("fast", "standard", "deep")
PROVIDERS = ("anthropic", "bedrock", "vertex")
# What reviewers may claim beside the policies (agentreview.reviewers.rules), so that [packs] and [policies] can name it.
REVIEW_RULES = (
    *(
        f"review.{name}"
        for name in "access architecture behaviour-changed client-trust concurrency contract data-loss duplicate".split()
    ),
    *(f"review.{name}" for name in "error-path interface proves-nothing unbounded-work untested wrong-result".split()),
    "conduct.reviewer-addressed",
)
MODELS_FILE = Path(__file__).with_name("models.json")

_ID = lazy(r"[A-Za-z0-9][A-Za-z0-9._:@/-]*")
_PROFILE = lazy(r"[a-z0-9][a-z0-9_-]*")
_MODEL_RANGES: Mapping[str, tuple[float, float]] = {
    "input": (0, 10_000),
    "output": (0, 10_000),
    "cache_read": (0, 10_000),
    "cache_write": (0, 10_000),
    "context": (1_000, 100_000_000),
    "max_output": (256, 10_000_000),
}
_REVIEWER_RANGES: Mapping[str, tuple[float, float]] = {
    "hook_seconds": (0, 3600),
    "tokens_per_run": (0, 1_000_000_000),
    "money_per_run": (0, 1_000_000),
    "money_per_worktree": (0, 1_000_000),
    "money_per_day": (0, 1_000_000),
}
_WHOLE = ("context", "max_output", "tokens_per_run")


@dataclass(frozen=True, slots=True)
class Model:
    """One model: prices in dollars per million tokens (``None`` = not known), sizes in tokens."""

    id: str
    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    context: int = 200_000
    max_output: int = 32_000

    @property
    def priced(self) -> bool:
        """Whether all four prices are known."""
        return None not in (self.input, self.output, self.cache_read, self.cache_write)

    def cost(self, *, input_tokens: int, output_tokens: int, cache_read: int = 0, cache_write: int = 0) -> float | None:
        """Return dollars, or ``None`` where a price is missing. The four counts do not overlap."""
        if self.input is None or self.output is None or self.cache_read is None or self.cache_write is None:
            return None
        millionths = input_tokens * self.input + output_tokens * self.output
        return (millionths + cache_read * self.cache_read + cache_write * self.cache_write) / 1_000_000


@dataclass(frozen=True, slots=True)
class Models:
    """Which model each tier is. ``stated`` holds what the configuration says, by tier and key."""

    provider: str = "anthropic"
    stated: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = ()

    @property
    def tiers(self) -> dict[str, Model]:
        """``fast``, ``standard`` and ``deep``, each with id, prices and sizes."""
        said = {tier: dict(keys) for tier, keys in self.stated}
        found = {}
        for tier in TIERS:
            keys = said.get(tier, {})
            model = known_model(keys.get("id") or _shipped()["tiers"][tier])
            model = replace(model, **keys)
            if "input" in keys and "cache_read" not in keys:  # as the shipped prices stand to each other
                model = replace(model, cache_read=keys["input"] * 0.1)
            if "input" in keys and "cache_write" not in keys:
                model = replace(model, cache_write=keys["input"] * 1.25)
            found[tier] = model
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewers:
    """Which model reviewers run unasked, within which time, tokens and dollars, and what they never see.

    ``hook_seconds`` 0: the hook only looks answers up. A cap of 0 sends nothing. ``money_per_worktree`` counts as
    long as the worktree exists, ``money_per_day`` all worktrees of the repository in one day (UTC).
    """

    enabled: tuple[str, ...] = ()
    hook_seconds: float = 25.0
    on_incomplete_hook: str = "block"
    on_incomplete_ci: str = "block"
    never_send: tuple[str, ...] = ()
    refute_tier: str = "standard"
    tokens_per_run: int = 1_000_000
    money_per_run: float = 2.0
    money_per_worktree: float = 50.0
    money_per_day: float = 20.0


@cache
def _shipped() -> dict[str, Any]:
    import json

    shipped: dict[str, Any] = json.loads(MODELS_FILE.read_text(encoding="utf-8"))
    return shipped


def known_model(name: str) -> Model:
    """Return what the shipped data says of this id, or a model without prices."""
    return Model(name, **_shipped()["dollars_per_million_tokens"].get(name, {}))


def read_models(reader: Reader, value: Any) -> Models:
    """Check ``[models]``: ``fast = "id"``, or a table with the id, its prices and its sizes."""
    table = reader.table(value, ("models",), ("provider", *TIERS))
    provider = reader.choice(table.get("provider", "anthropic"), ("models", "provider"), PROVIDERS)
    stated = ((tier, _tier(reader, table[tier], ("models", tier))) for tier in TIERS if tier in table)
    return Models(provider, tuple(stated))


def _tier(reader: Reader, value: Any, key: KeyPath) -> tuple[tuple[str, Any], ...]:
    if isinstance(value, str):
        return (("id", _model_id(reader, value, key)),)
    table = reader.table(value, key, ("id", *_MODEL_RANGES))
    checked: dict[str, Any] = {}
    for name, item in table.items():
        here = (*key, name)
        if name == "id":
            checked[name] = _model_id(reader, item, here)
        else:
            checked[name] = reader.number(item, here, *_MODEL_RANGES[name], whole=name in _WHOLE)
    if ("input" in checked) != ("output" in checked):
        reader.fail(key, "one of the two prices is missing", "Give input and output, in dollars per million tokens")
    return tuple(sorted(checked.items()))


def _model_id(reader: Reader, value: Any, key: KeyPath) -> str:
    name = reader.string(value, key)
    if not _ID.fullmatch(name):
        reader.fail(
            key, f"{shown(name)} is not the id of a model", 'Write it as the provider does: "claude-sonnet-5-5"'
        )
    return name


def read_reviewers(reader: Reader, value: Any) -> Reviewers:
    """Check ``[reviewers]``. Whether a profile of that name exists is known only with the reviewed tree."""
    known = tuple(Reviewers.__dataclass_fields__)
    table = reader.table(value, ("reviewers",), known)
    checked: dict[str, Any] = {}
    for name, item in table.items():
        key: KeyPath = ("reviewers", name)
        if name == "enabled":
            checked[name] = reader.strings(item, key)
            for index, profile in enumerate(checked[name]):
                if not _PROFILE.fullmatch(profile):
                    fix = 'Write the name in its front matter, such as "tenant-isolation"'
                    reader.fail((*key, index), f"{shown(profile)} is not the name of a profile", fix)
        elif name == "never_send":
            checked[name] = reader.strings(item, key, glob=True)
        elif name == "refute_tier":
            checked[name] = reader.choice(item, key, TIERS)
        elif name in _REVIEWER_RANGES:
            checked[name] = reader.number(item, key, *_REVIEWER_RANGES[name], whole=name in _WHOLE)
        else:
            checked[name] = reader.choice(item, key, ("block", "warn"))
    return Reviewers(**checked)
