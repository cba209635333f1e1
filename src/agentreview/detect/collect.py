"""Everything noticed while reading files, and what follows from it: which models hold PHI, and what is worth offering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from agentreview.detect.tenancy import global_models, tenancy
from agentreview.detect.values import Detection, Found
from agentreview.detect_models import Field, Model
from agentreview.records import replace
from agentreview.vocabulary import is_phi_model, phi_tier, words

TOP = 10  # values offered for a fact of names
TOP_MODELS = 60
_KEPT = 5000  # different values remembered for one fact

_DOUBTS: Mapping[tuple[str, str], str] = {
    ("audit.reads", "middleware"): "only if it records who saw which record",
    ("audit.delivery", "outbox"): "only if nothing can lose the event",
    ("egress.approved", ""): "only with a contract: name it",
    ("egress.llm_clients", ""): "only with a contract and no retention",
    ("tenant.unscoped_in", ""): "only if queries there cross tenants on purpose",
}
"""Values that would silence findings and that no line of code can show: (fact, value or nothing for all of them)."""

_NAMES = (
    *("frameworks", "audit.decorators", "audit.bases", "tenant.scoped_by", "tenant.job_base", "tenant.cache_wrappers"),
    *("tenant.unscoped_in", "access.decorators", "access.guards", "access.public_markers", "egress.redactors"),
    *("egress.approved", "tests.paths", "tests.synthetic_markers", "retention.stores"),
)
_EVERYDAY = frozenset(
    "condition claim visit coverage procedure observation referral appointment admission specimen servicerequest service_request".split()
)
_CLINICAL = frozenset(
    "patient mrn emr ehr ssn diagnosis diagnoses icd snomed loinc rxnorm ndc cpt hcpcs medication medications prescription "
    "prescriptions dosage allergy allergies immunization immunizations vaccination mbi hicn medicare medicaid blood clinical "
    "health medical lab specimen hiv disability mental therapy".split()
)
"""Words of columns that only records of patients have."""
_SENSITIVE = frozenset(
    "psychotherapy psychiatric psychiatry psychology substance addiction detox hiv std sti genetic genomic genome abortion "
    "contraception reproductive fertility suicide overdose methadone buprenorphine".split()
)
_ORGANISATIONS = frozenset(
    "organisation organization org tenant team company account workspace subscription customer".split()
)


class Collected:
    """What was seen; :meth:`detection` draws the conclusions."""

    def __init__(self) -> None:
        self.first: dict[tuple[str, str], Found] = {}
        self.counts: dict[str, Counter[str]] = {}
        self.models: list[Model] = []
        self.everything: list[tuple[str, str, int, str]] = []  # automatic audit that names no model

    def add(self, fact: str, value: str, path: str, line: int, text: str) -> None:
        """Count a value; the first place is remembered."""
        counts = self.counts.setdefault(fact, Counter())
        if value not in counts and len(counts) >= _KEPT:
            return
        counts[value] += 1
        if counts[value] == 1:
            self.first[fact, value] = Found(value=value, count=1, path=path, line=line, text=text.strip())

    def best(self, fact: str, top: int = TOP, *, least: int = 1) -> tuple[Found, ...]:
        """The most frequent values."""
        counts = self.counts.get(fact, Counter())
        return tuple(
            replace(
                self.first[fact, value],
                count=count,
                doubt=_DOUBTS.get((fact, value)) or _DOUBTS.get((fact, ""), ""),
            )
            for value, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]
            if count >= least
        )

    def detection(self, *, files: int, unread: int) -> Detection:
        """Draw the conclusions."""
        self.models = list(_declared_once(_inherited(self.models)))
        phi = self._phi_models()
        facts: dict[str, tuple[Found, ...]] = {
            "phi.models": tuple(found for model, found in phi if model.declared)[:TOP_MODELS],
            "phi.sensitive": tuple(found for _, found in phi if _SENSITIVE & set(words(found.value)))[:TOP],
        }
        for model, _ in phi:
            for field in model.fields:
                self._phi_field(model, field)
            if model.table:
                self.add("phi.tables", model.table, model.path, model.line, model.text)
        names = {model.name for model, _ in phi}
        for how, path, line, text in self.everything:
            for name in sorted(names):
                self.add("audit.automatic", f"{how}:{name}", path, line, text)
        for fact in ("phi.tables", "phi.fields", "phi.model_fields", "phi.free_text", "audit.automatic"):
            facts[fact] = self.best(fact, TOP_MODELS)
        for fact in _NAMES:
            facts[fact] = self.best(fact)
        facts["audit.calls"] = self._audit_calls()
        facts["egress.llm_clients"] = tuple(
            one for one in self.best("egress.llm_clients", 50) if _llm_client(one.value)
        )[:TOP]
        facts["access.object_checks"] = self.best("access.object_checks", least=2)
        for fact in ("audit.reads", "audit.delivery"):
            facts[fact] = self.best(fact, 3)
        # Where files disagree, the answer that makes more findings comes first.
        facts["access.default"] = tuple(sorted(self.best("access.default", 2), key=lambda found: found.value))
        for fact in ("session.idle_minutes", "session.absolute_hours", "retention.audit_years"):
            facts[fact] = self._largest(fact)
        facts.update(tenancy(self.models, names, self.best("tenant.isolation", 2), self.best("tenant.sources", 500)))
        facts["tenant.global_models"] = global_models(self.models, facts.get("tenant.key", ()), names)
        if not facts.get("tenant.key"):
            facts["tenant.unscoped_in"] = ()
        return Detection(
            facts=tuple((fact, found) for fact, found in sorted(facts.items()) if found),
            notes=tuple(self._notes(facts)),
            files=files,
            unread=unread,
        )

    def _audit_calls(self) -> tuple[Found, ...]:
        """A name that ends in another one adds nothing: ``auditLog.create`` covers ``org.auditLog.create``."""
        found = self.best("audit.calls", TOP * 2)
        known = {one.value for one in found}
        kept = [one for one in found if not any(one.value.endswith(f".{other}") for other in known)]
        return tuple(kept[:TOP])

    def _largest(self, fact: str) -> tuple[Found, ...]:
        """Numbers: the largest is what the project allows; the others are told beside it."""
        return tuple(sorted(self.best(fact, 50), key=lambda found: -int(found.value))[:3])

    def _phi_models(self) -> list[tuple[Model, Found]]:
        first: dict[str, tuple[Model, Found]] = {}
        clinical = False
        for model in self.models:
            tiers = [_tier(model, field) for field in model.fields]
            likely = sum(tier is not None for tier in tiers)
            named = is_phi_model(model.name)
            if not _bookkeeping(model.name) and (named or (likely > 1 and "strong" in tiers)):
                first.setdefault(model.name, (model, _found(model, max(likely, 1))))
                clinical = clinical or (named and model.name.lower() not in _EVERYDAY) or _speaks_of_patients(model)
        if not clinical:  # a claim, a visit and a subscriber may be anything where nothing else speaks of patients
            return []
        targets = {
            spelling.lower() for model, _ in first.values() for spelling in (model.name, model.table) if spelling
        }
        for model in self.models:
            to_phi = next((field for field in model.fields if _refers(field, targets)), None)
            if to_phi and model.name not in first and not _bookkeeping(model.name):
                place = to_phi.path or model.path
                found = Found(value=model.name, count=1, path=place, line=to_phi.line, text=to_phi.text)
                first[model.name] = (model, found)
        return sorted(first.values(), key=lambda pair: (-pair[1].count, pair[0].name))

    def _phi_field(self, model: Model, field: Field) -> None:
        tier = _tier(model, field)
        if tier:
            fact = "phi.fields" if tier == "strong" else "phi.model_fields"
            self.add(fact, field.name, field.path or model.path, field.line, field.text)
        if field.long_text and not field.target:
            self.add("phi.free_text", field.name, field.path or model.path, field.line, field.text)

    def _notes(self, facts: Mapping[str, tuple[Found, ...]]) -> Iterable[str]:
        for found in self.best("libraries"):
            yield f"{found.value} is a dependency ({found.path}:{found.line}): it writes an audit trail of its own"
        for found in facts.get("egress.approved", ()):
            where = f"{found.path}:{found.line}"
            yield f"{found.value} sends data outside ({where}): approve it with its contract or leave it out"
        if len(facts.get("access.default", ())) > 1:
            yield "some settings refuse by default and some allow: check facts.access.default"
        frameworks = {found.value for found in facts.get("frameworks", ())}
        if "drf" in frameworks and not facts.get("access.default"):
            yield "no DEFAULT_PERMISSION_CLASSES was found: Django REST framework then lets everybody in"


def _speaks_of_patients(model: Model) -> bool:
    return any(phi_tier(field.name) == "strong" and _CLINICAL & set(words(field.name)) for field in model.fields)


def _llm_client(name: str) -> bool:
    """Whether a name is of something that makes or is a model client: ``get_llm``, ``openai_client``, ``createChatModel``."""
    tokens = words(name)
    if not {"llm", "openai", "anthropic", "bedrock", "gemini", "vertex"} & set(tokens) and tokens[-2:] != (
        "chat",
        "model",
    ):
        return False
    return tokens[-1] in _CLIENTS


_CLIENTS = frozenset("client model llm openai anthropic chain bedrock gemini vertex".split())


def _inherited(models: Iterable[Model]) -> Iterable[Model]:
    """Models with the columns their bases lend them, three levels up; what only lends, or has no column, is left out."""
    models = list(models)
    known = {model.name: model for model in models if model.fields or any(model.bases)}
    for model in models:
        fields = dict.fromkeys(model.fields)
        above, seen = list(model.bases), {model.name}
        for _ in range(3):
            lenders = [known[base] for base in above if base in known and base not in seen]
            seen |= {base.name for base in lenders}
            fields.update(
                dict.fromkeys(replace(one, path=one.path or base.path) for base in lenders for one in base.fields)
            )
            above = [name for base in lenders for name in base.bases]
        if fields and not model.abstract:
            yield replace(model, fields=tuple(fields))


def _declared_once(models: Iterable[Model]) -> Iterable[Model]:
    """Every declared model, and the bare tables that none of them stands for."""
    models = list(models)
    declared = {spelled for model in models if model.declared for spelled in (model.name.lower(), model.table.lower())}
    for model in models:
        if model.declared or not {model.name.lower(), model.table.lower()} & declared:
            yield model


def _tier(model: Model, field: Field) -> str | None:
    """How far a column names PHI. A reference names another row; a team's claim id is not a patient's."""
    tokens = words(field.name)
    if field.target or (tokens and tokens[0] in _ORGANISATIONS):
        return None
    if _ORGANISATIONS & set(words(model.name)) and phi_tier(field.name) == "context":
        return None
    return phi_tier(field.name)


def _found(model: Model, count: int) -> Found:
    return Found(value=model.name, count=count, path=model.path, line=model.line, text=model.text)


def _bookkeeping(name: str) -> bool:
    """Audit and history tables, and users, are about access to PHI, or not about patients at all."""
    return bool({"audit", "audits", "log", "logs", "history", "historical", "user", "users"} & set(words(name)))


def _refers(field: Field, targets: set[str]) -> bool:
    parts = field.target.lower().split(".")
    return bool(field.target) and (parts[-1] in targets or (len(parts) > 1 and parts[-2] in targets))
