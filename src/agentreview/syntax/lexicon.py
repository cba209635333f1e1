"""Which names mean what in this project: PHI, people, tenants. Built-in vocabulary plus the project's facts."""

from __future__ import annotations

from functools import lru_cache

from agentreview import vocabulary
from agentreview.facts import Facts
from agentreview.lazyre import lazy
from agentreview.syntax.frameworks import Framework

# Names a tenant key goes by when the project has not said ([facts.tenant] key). Compared without underscores, lower case.
TENANT_WORDS = (
    "tenant|org|organization|organisation|workspace|clinic|practice|facility|hospital|company|"
    "customeraccount|team|agency|institution|healthsystem|department|site|domain|environment|project"
).split("|")
_DEFAULT_TENANT = frozenset(
    form
    for word in TENANT_WORDS[:16]
    if word not in ("department", "site", "domain")
    for form in (word, word + "id", word + "slug", word + "uuid", word + "ids")
)
_OWNERS = frozenset(
    "user userid owner ownerid createdby createdbyid author authorid member memberid account accountid assignee recipient profile userprofile".split()
)
_SUFFIX = lazy(
    r"(?<=[A-Za-z])(s?Repository|s?Repo|Service|Model|Manager|Store|Dao|Serializer|Form|Schema|Entity|Delegate|QuerySet|Queryset)$"
)
_KEYS = frozenset("id pk uuid slug guid key code token externalid publicid number email username hash".split())
_NAME = lazy(r"^[A-Za-z_$][\w$*.]*[!?]?$")
_FILTERS = "before_action|around_action|after_action|prepend_before_action|append_before_action"  # name their method


# Models and people that are everyday words outside health care: PHI only in files that speak of patients, or by facts.
_EVERYDAY = frozenset(
    "condition claim visit coverage procedure observation referral appointment admission specimen".split()
)
_ANYBODY = frozenset(
    "member subscriber resident participant subject dependent person chart admission consultation insured".split()
)
_CLINICAL = lazy(
    r"(?i)patient(?!ly)|clinic|medical|medication|diagnosis|diagnoses|\bencounters?\b(?! an)|encounter_|physician|nurse|hospital|\bfhir|\bhl7|"
    r"\b(?:ehr|emr|phi)\b|hipaa|prescription|therap|symptom|pharmac|\bicd|loinc|snomed|healthcare|health_|_health\b|lab_?result|allerg|immuni[sz]"
)


# Parts of which a text must hold one for that pattern to match; finding them is thirty times faster.
_STEMS = tuple(
    "patient clinic medic diagnos encounter physician nurse hospital fhir hl7 ehr emr phi hipaa prescription therap symptom"
    " pharmac icd loinc snomed healthcare health_ _health lab_result labresult allerg immuni".split()
)


def _is_clinical(text: str) -> bool:
    folded = text.casefold()
    return any(stem in folded for stem in _STEMS) and _CLINICAL.search(text) is not None


def flat(name: str) -> str:
    """Lower case without underscores: ``org_id`` and ``orgId`` are one name."""
    return name.replace("_", "").replace("-", "").lower()


class Lexicon:
    """Answers about names, remembered. One per configuration."""

    def __init__(self, facts: Facts, *, clinical: bool = True) -> None:
        self.facts = facts
        self.clinical = clinical
        self._elsewhere: Lexicon | None = None
        self._own_models = frozenset(flat(n).removesuffix("s") for n in (*facts.phi.models, *facts.phi.tables))
        tenant = facts.tenant
        own = {flat(n) for n in (tenant.key, *tenant.aliases) if n}
        own |= {n.removesuffix("id") for n in own if n.endswith("id") and len(n) > 4} | {
            n + "id" for n in own if not n.endswith("id")
        }
        self.tenant_keys = frozenset(own) or _DEFAULT_TENANT
        self.tenant_configured = bool(own)
        self.tenant_models = frozenset(flat(n) for n in tenant.models)
        self.global_models = frozenset(flat(n) for n in tenant.global_models)
        self.field_tier = lru_cache(maxsize=20_000)(self._field_tier)
        self.phi_resource = lru_cache(maxsize=5_000)(self._phi_resource)
        self.is_person = lru_cache(maxsize=5_000)(self._is_person)

    def for_file(self, path: str, source: str) -> Lexicon:
        """The lexicon for one file: outside health care a claim is a token's, a member is a colleague, a visit is a hit."""
        if not self.clinical or _is_clinical(source) or _is_clinical(path):
            return self
        if self._elsewhere is None:
            self._elsewhere = Lexicon(self.facts, clinical=False)
        return self._elsewhere

    def _is_person(self, name: str) -> bool:
        if not vocabulary.is_person_object(name):
            return False
        return (
            self.clinical
            or not flat(name).removesuffix("s").endswith(tuple(_ANYBODY))
            or flat(name).removesuffix("s") in self._own_models
        )

    def phi_variable(self, name: str) -> bool:
        """Whether a variable nobody told us about holds a record: ``prescription`` does, ``condition`` may be anything."""
        one = flat(name).removesuffix("s")
        return not name[:1].isupper() and self.phi_resource(name) and (one not in _EVERYDAY or one in self._own_models)

    def _field_tier(self, name: str) -> str | None:
        if not name or name.isupper() or (name[0].isupper() and not name.isupper()):
            return None
        phi = self.facts.phi
        return vocabulary.phi_tier(
            name, extra_strong=phi.fields, extra_context=(*phi.model_fields, *phi.free_text), not_phi=phi.not_phi
        )

    def _phi_resource(self, name: str) -> bool:
        if not name:
            return False
        phi = self.facts.phi
        one = flat(name).removesuffix("s")
        if not self.clinical and one in _EVERYDAY and one not in self._own_models:
            return False
        return vocabulary.is_phi_model(name, (*phi.models, *phi.tables), phi.not_phi)

    def tenant_key(self, name: str) -> bool:
        """Whether a column, keyword or variable name is the tenant key or an alias (``org``, ``org_id``, ``x__org_id``)."""
        return any(flat(part) in self.tenant_keys for part in name.split("__"))

    def owner_key(self, name: str) -> bool:
        """Whether a column name points at a person who owns the row."""
        return any(flat(part) in _OWNERS for part in name.split("__"))

    def row_key(self, name: str) -> bool:
        """Whether a column name identifies one row."""
        last = (
            flat(name.rsplit("__", maxsplit=1)[-1])
            if name.rsplit("__", maxsplit=1)[-1] not in ("in", "exact", "iexact")
            else flat(name.split("__")[-2] if "__" in name else name)
        )
        return last in _KEYS or last.endswith(("id", "uuid", "pk", "slug"))

    def tenant_resource(self, name: str) -> bool | None:
        """Whether rows of this resource belong to a tenant; ``None`` when the project has not said."""
        key = flat(name)
        singular = key.removesuffix("s")
        if key in self.global_models or singular in self.global_models:
            return False
        if self.tenant_models:
            return key in self.tenant_models or singular in self.tenant_models or singular + "s" in self.tenant_models
        return None


def resource_name(name: str) -> str:
    """Normalise a captured name to the resource it stands for (``patientRepository`` -> ``patient``)."""
    short = _SUFFIX.sub("", name)
    return short or name


def project_framework(facts: Facts, language: str) -> Framework:
    """Turn the names of ``[facts]`` into entries, so that a fact works in every policy without code."""

    def calls(*names: str) -> list[object]:
        return [f"**.{n}" for n in names if _NAME.match(n) and "*" not in n.split(".")]

    def everywhere(*names: str) -> list[object]:
        good = [n for n in names if _NAME.match(n)]
        joined = "|".join(n.rsplit(".", 1)[-1] for n in good)
        if not good:
            return []
        return [
            *calls(*good),
            {"decorator": f"**.{joined}"},
            {"base": joined},
            {"param": "*", "argument": joined},
            {"annotation": joined},
            *([{"call": _FILTERS, "argument": joined}] if language == "ruby" else []),
        ]

    audit, access, tenant = facts.audit, facts.access, facts.tenant
    concepts: dict[str, list[object]] = {
        "audit": [
            *calls(*audit.calls),
            *everywhere(*audit.decorators),
            *everywhere(*audit.bases),
            *everywhere(*audit.layers),
        ],
        "authn": [
            *everywhere(*access.guards),
            *everywhere(*access.decorators),
            *([{"attribute": "permission_classes", "value": "|".join(access.guards)}] if access.guards else []),
        ],
        "object-check": calls(*access.object_checks),
        "opening": everywhere(*(m.lstrip("@") for m in access.public_markers)),
        "scope": [*calls(*tenant.scoped_by), *everywhere(*tenant.scoped_by)],
        "redact": calls(*facts.egress.redactors),
        "log": [],
    }
    return Framework({"id": "project", "languages": [language], "imports": [], "concepts": concepts})
