"""Which column keeps tenants apart: the reference most models share, minus people; named tenants win over frequency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Set

from agentreview.detect.values import Found
from agentreview.detect_models import Field, Model
from agentreview.vocabulary import is_phi_model, words

TOP = 10
TOP_MODELS = 60
UNSCOPED = (
    "**/management/commands/**",
    "**/backoffice/**",
    "**/superadmin/**",
    "**/super_admin/**",
    "**/platform_admin/**",
    "**/ops/**",
    "**/lib/tasks/**",
)
"""Where operators' code usually is, that works on all tenants."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TENANT_WORDS = _names(
    "tenant org organization organisation facility clinic practice hospital site team workspace company account "
    "customer business institution"
)
NOT_TENANT = _names(
    "user owner author creator parent actor session role status type content request external internal object uuid stripe legacy version revision"
)
_REFERENCE_DATA = _names(
    "code codes country countries state states currency language locale timezone icd icd10 icd11 loinc snomed cpt ndc rxnorm "
    "drug formulary plan permission specialty taxonomy terminology feature flag district category lookup translation"
)
_OWN = _names("get current my the caller")


def tenancy(
    models: Sequence[Model], phi: Set[str], isolation: tuple[Found, ...], sources: tuple[Found, ...]
) -> dict[str, tuple[Found, ...]]:
    """Propose the tenant facts; nothing but the isolation where no column is shared by enough models."""
    declared = [model for model in models if model.declared]
    models = declared if len(declared) >= 3 else models  # migrations name tables that are long gone
    holders: dict[str, set[str]] = {}
    spellings: dict[str, Counter[str]] = {}
    places: dict[str, tuple[Model, Field]] = {}
    for model in models:
        for field in model.fields:
            stem = _stem(field, phi)
            if stem:
                holders.setdefault(stem, set()).add(model.name)
                spellings.setdefault(stem, Counter())[field.name] += 1
                places.setdefault(stem, (model, field))
    total = len({model.name for model in models})
    users = {stem for stem, names in holders.items() if any(words(name)[-1:] == ("user",) for name in names)}
    ranked = sorted(
        (stem for stem in holders if _tenant_like(stem, len(holders[stem]), total)),
        key=lambda stem: (stem not in TENANT_WORDS, -len(holders[stem]), stem not in users, stem),
    )
    most = max(ranked, key=lambda stem: len(holders[stem]), default="")
    if most and len(holders[most]) * 2 >= total and len(holders[most]) >= max(10, 4 * len(holders[ranked[0]])):
        ranked = [
            most,
            *(stem for stem in ranked if stem != most),
        ]  # organisations of projects: rows belong to projects
    ranked = ranked[:3]
    if not ranked:
        return {"tenant.isolation": isolation[:1]}
    keys = []
    for stem in ranked:
        model, field = places[stem]
        name = spellings[stem].most_common(1)[0][0]
        keys.append(
            Found(value=name, count=len(holders[stem]), path=field.path or model.path, line=field.line, text=field.text)
        )
    stem, key = ranked[0], keys[0]
    spelled = [name for name, _ in spellings[stem].most_common() if name != key.value]
    held = [one for one in sources if _holds(one.value, stem)]
    row = (Found(value="row", count=key.count, path=key.path, line=key.line, text=key.text),)
    carriers = sorted({model.name: model for model in models if model.name in holders[stem]}.items())
    return {
        "tenant.key": tuple(keys),
        "tenant.aliases": tuple(
            Found(value=name, count=spellings[stem][name], path=key.path, line=key.line) for name in spelled[:TOP]
        ),
        "tenant.models": tuple(_found(model) for _, model in carriers[:TOP_MODELS]),
        "tenant.sources": tuple(held[:TOP]),
        "tenant.isolation": isolation[:1] or row,
    }


def global_models(models: Iterable[Model], keys: tuple[Found, ...], phi: Set[str]) -> tuple[Found, ...]:
    """Models of reference data that no tenant owns, by their name; only where other models carry the key."""
    if not keys:
        return ()
    stem = _reference(keys[0].value)
    out = {}
    for model in models:
        named = words(model.name)
        if (
            not named
            or not model.declared
            or named[0] in ("base", "abstract", "user")
            or named[-1] not in _REFERENCE_DATA
            or model.name in phi
            or is_phi_model(model.name)
        ):
            continue
        if not any(_reference(field.name) == stem for field in model.fields):
            out[model.name] = Found(
                value=model.name, count=1, path=model.path, line=model.line, text=model.text,
                doubt=f"it has no {keys[0].value}; only if its rows belong to nobody",
            )  # fmt: skip
    return tuple(found for _, found in sorted(out.items()))[:TOP]


def _found(model: Model) -> Found:
    return Found(value=model.name, count=1, path=model.path, line=model.line, text=model.text)


def _reference(name: str) -> str:
    tokens = words(name)
    return "_".join(tokens[:-1] if len(tokens) > 1 and tokens[-1] == "id" else tokens)


def _stem(field: Field, phi: Set[str]) -> str:
    """``org``, ``org_id`` and ``orgId`` are one reference; references to people, PHI and parents are none."""
    tokens = words(field.name)
    reference = bool(field.target) or (len(tokens) > 1 and tokens[-1] == "id")
    if len(tokens) > 1 and tokens[-1] == "id":
        tokens = tokens[:-1]
    stem = "_".join(tokens)
    if not reference or not tokens or tokens[-1] == "by" or NOT_TENANT & set(tokens) or is_phi_model(stem):
        return ""
    return "" if field.target.rpartition(".")[2] in phi else stem


def _tenant_like(stem: str, count: int, total: int) -> bool:
    return (stem in TENANT_WORDS and count > 1 and count * 25 >= total) or (count >= 3 and count * 10 >= total * 3)


def _holds(source: str, stem: str) -> bool:
    """Whether an expression of the caller holds the tenant, by its last name: ``user.org_id``, ``getCurrentTenant``."""
    tokens = [token for token in words(source.rpartition(".")[2]) if token not in _OWN]
    if len(tokens) > 1 and tokens[-1] == "id":
        tokens = tokens[:-1]
    return "_".join(tokens) == stem
