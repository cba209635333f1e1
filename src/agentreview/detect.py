"""Proposing a project's facts from its own files, each with the place that shows it. For ``agentreview init``.

Detection is a proposal, never a verdict: until a person confirms it, hits that rest on it stay advice. It reads
lines with patterns, no parser, so that any file can be read; files, lines and findings are bounded. Not on the hook
path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .detect_models import LINE_LIMIT, Field, Lines, Model, models_in, source_lines
from .detect_render import render
from .detect_rules import (
    AUDIT_CALLS,
    DEPENDENCY_FILES,
    DEPENDENCY_NAME,
    FRAMEWORKS,
    ISOLATION,
    LIBRARIES,
    NAMES,
    NOT_TENANT,
    SKIPPED_DIRECTORIES,
    SOURCE_SUFFIXES,
    TENANT_WORDS,
    TEST_PATHS,
    access_default,
    audit_call,
    automatic_audit,
    tenant_source,
)
from .globs import matches
from .vocabulary import is_phi_model, phi_tier, words

__all__ = ["Detection", "Found", "detect", "render"]

MAX_FILES = 20_000
MAX_FILE_BYTES = 512 * 1024
BATCH = 200
TOP = 10  # values offered for a fact of names
TOP_MODELS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One proposed value: how often it was seen, and the first place that shows it (untrusted text)."""

    value: str
    count: int
    path: str
    line: int
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What was found: fact (``phi.models``) to values, best first. ``audit.automatic`` values are ``how:Model``.

    ``notes`` are plain sentences about what a person should look at; ``unread`` counts files left out by a bound.
    """

    facts: tuple[tuple[str, tuple[Found, ...]], ...] = ()
    notes: tuple[str, ...] = ()
    files: int = 0
    unread: int = 0

    def get(self, fact: str) -> tuple[Found, ...]:
        """Return the values proposed for a fact, best first; none when nothing was found."""
        return dict(self.facts).get(fact, ())

    def values(self, fact: str) -> tuple[str, ...]:
        """Return just the values proposed for a fact."""
        return tuple(found.value for found in self.get(fact))


def detect(paths: Iterable[str], read: Callable[[Sequence[str]], Mapping[str, bytes]]) -> Detection:
    """Read the files that can show a fact and propose what they show.

    ``paths`` are all paths of the tree; ``read`` returns the contents of those it is asked for (a missing one is left
    out) and is called with a bounded number at a time. Nothing is executed and nothing else is read.
    """
    every = sorted(set(paths))
    wanted = [path for path in every if _candidate(path)]
    wanted.sort(key=lambda path: path.rpartition("/")[2] not in DEPENDENCY_FILES)
    seen = _Seen()
    for path in every:
        for glob in TEST_PATHS:
            if matches(path, [glob]):
                seen.add("tests.paths", glob, path, 0, "")
    files = unread = 0
    for start in range(0, min(len(wanted), MAX_FILES), BATCH):
        contents = read(wanted[start : start + BATCH])
        for path in wanted[start : min(start + BATCH, MAX_FILES)]:
            data = contents.get(path)
            if data is None or len(data) > MAX_FILE_BYTES or b"\0" in data[:8000]:
                unread += 1
                continue
            files += 1
            seen.file(path, data)
    return seen.detection(files=files, unread=unread + max(0, len(wanted) - MAX_FILES))


def _candidate(path: str) -> bool:
    *directories, name = path.split("/")
    if not SKIPPED_DIRECTORIES.isdisjoint(directories) or name.endswith((".min.js", ".d.ts")):
        return False
    return name in DEPENDENCY_FILES or name.startswith("requirements") or name.endswith(SOURCE_SUFFIXES)


class _Seen:
    """Everything noticed while reading; :meth:`detection` draws the conclusions."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, list[Found]]] = {}
        self.counts: dict[str, Counter[str]] = {}
        self.models: list[Model] = []
        self.everything: list[tuple[str, str, int, str]] = []  # automatic audit that names no model

    def add(self, fact: str, value: str, path: str, line: int, text: str) -> None:
        counts = self.counts.setdefault(fact, Counter())
        if value not in counts and len(counts) >= 5000:
            return
        counts[value] += 1
        self.found.setdefault(fact, {}).setdefault(
            value, [Found(value=value, count=1, path=path, line=line, text=text.strip())]
        )

    def file(self, path: str, data: bytes) -> None:
        name = path.rpartition("/")[2]
        lines = source_lines(data)
        if name in DEPENDENCY_FILES or name.startswith("requirements"):
            self.dependencies(path, name, data)
            return
        test = matches(path, TEST_PATHS)
        self.imports(path, lines)
        if test:
            return
        self.models.extend(models_in(path, lines))
        self.names(path, lines)
        for how, model, line, text in automatic_audit(path, lines):
            if model:
                self.add("audit.automatic", f"{how}:{model}", path, line, text)
            else:
                self.everything.append((how, path, line, text))

    def dependencies(self, path: str, name: str, data: bytes) -> None:
        for number, raw in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
            text = raw[:LINE_LIMIT]
            for found in DEPENDENCY_NAME[name.endswith(".json")].findall(text):
                package = found.lower().replace("_", "-")
                for fact, value in (*FRAMEWORKS.get(package, ()), *LIBRARIES.get(package, ())):
                    self.add(fact, value, path, number, text)

    def imports(self, path: str, lines: Lines) -> None:
        for number, text in lines:
            if "import" not in text and "require(" not in text:
                continue
            for word in text.replace("'", '"').replace('"', " ").replace(".", " ").replace("(", " ").split():
                for fact, value in FRAMEWORKS.get(word.rstrip(";,)").replace("_", "-"), ()):
                    self.add(fact, value, path, number, text)

    def names(self, path: str, lines: Lines) -> None:
        for at, (number, text) in enumerate(lines):
            for fact, pattern in NAMES:
                for found in pattern.findall(text):
                    for part in found.split(","):
                        value = part.strip(" ()[]'\"").removeprefix("permissions.")
                        if value and value != "AllowAny" and not (fact == "audit.bases" and value.endswith("Model")):
                            self.add(fact, value, path, number, text)
            for mode, pattern in ISOLATION:
                if pattern.search(text):
                    self.add("tenant.isolation", mode, path, number, text)
            lower = text.lower()
            called = ("audit" in lower or "phi" in lower) and not path.endswith(".sql")
            for callee in AUDIT_CALLS.findall(text) if called else ():
                name = audit_call(callee, text)
                if name:
                    self.add("audit.calls", name, path, number, text)
            for source in tenant_source(text):
                self.add("tenant.sources", source, path, number, text)
            default = access_default(lines, at)
            if default:
                self.add("access.default", default, path, number, text)

    # -- conclusions

    def best(self, fact: str, top: int = TOP, *, least: int = 1) -> tuple[Found, ...]:
        counts = self.counts.get(fact, Counter())
        return tuple(
            Found(value=value, count=count, path=first.path, line=first.line, text=first.text)
            for value, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]
            if count >= least
            for first in self.found[fact][value]
        )

    def detection(self, *, files: int, unread: int) -> Detection:
        phi = self.phi_models()
        facts: dict[str, tuple[Found, ...]] = {"phi.models": tuple(found for _, found in phi)[:TOP_MODELS]}
        for model, _ in phi:
            for field in model.fields:
                self.phi_field(model, field)
        names = {model.name for model, _ in phi}
        for how, path, line, text in self.everything:
            for name in sorted(names):
                self.add("audit.automatic", f"{how}:{name}", path, line, text)
        for fact in ("phi.tables", "phi.fields", "phi.model_fields", "phi.free_text", "audit.automatic"):
            facts[fact] = self.best(fact, TOP_MODELS)
        for fact in ("frameworks", "audit.calls", "audit.decorators", "audit.bases", "tenant.scoped_by",
                     "access.decorators", "access.guards", "access.public_markers", "egress.redactors", "tests.paths",
                     "tests.synthetic_markers", "egress.libraries"):  # fmt: skip
            facts[fact] = self.best(fact)
        facts["access.object_checks"] = self.best("access.object_checks", least=2)
        facts["access.default"] = self.best("access.default", 2)
        facts.update(self.tenancy(names))
        return Detection(
            facts=tuple((fact, found) for fact, found in sorted(facts.items()) if found),
            notes=tuple(self.notes(facts)),
            files=files,
            unread=unread,
        )

    def phi_models(self) -> list[tuple[Model, Found]]:
        first: dict[str, tuple[Model, Found]] = {}
        for model in self.models:
            tiers = [phi_tier(field.name) for field in model.fields]
            likely = sum(tier is not None for tier in tiers)
            if not _bookkeeping(model.name) and (is_phi_model(model.name) or (likely > 1 and "strong" in tiers)):
                first.setdefault(model.name, (model, _found(model, max(likely, 1))))
        targets = {
            spelling.lower() for model, _ in first.values() for spelling in (model.name, model.table) if spelling
        }
        for model in self.models:
            to_phi = next((field for field in model.fields if _refers(field, targets)), None)
            if to_phi and model.name not in first and not _bookkeeping(model.name):
                found = Found(value=model.name, count=1, path=model.path, line=to_phi.line, text=to_phi.text)
                first[model.name] = (model, found)
        return sorted(first.values(), key=lambda pair: (-pair[1].count, pair[0].name))

    def phi_field(self, model: Model, field: Field) -> None:
        tier = phi_tier(field.name)
        if tier and not field.target:
            fact = "phi.fields" if tier == "strong" else "phi.model_fields"
            self.add(fact, field.name, model.path, field.line, field.text)
        if field.long_text and not field.target:
            self.add("phi.free_text", field.name, model.path, field.line, field.text)
        if model.table and field is model.fields[0]:
            self.add("phi.tables", model.table, model.path, model.line, model.text)

    def tenancy(self, phi: set[str]) -> dict[str, tuple[Found, ...]]:
        """Take as the key the reference most models share, minus people; named tenants win over mere frequency."""
        holders: dict[str, set[str]] = {}
        spellings: dict[str, Counter[str]] = {}
        places: dict[str, tuple[Model, Field]] = {}
        for model in self.models:
            for field in model.fields:
                stem = _stem(field, phi)
                if stem:
                    holders.setdefault(stem, set()).add(model.name)
                    spellings.setdefault(stem, Counter())[field.name] += 1
                    places.setdefault(stem, (model, field))
        total = len({model.name for model in self.models})
        users = {stem for stem, names in holders.items() if any(words(name)[-1:] == ("user",) for name in names)}
        ranked = sorted(
            (stem for stem in holders if _tenant_like(stem, len(holders[stem]), total)),
            key=lambda stem: (stem not in TENANT_WORDS, -len(holders[stem]), stem not in users, stem),
        )[:3]
        isolation = self.best("tenant.isolation", 1)
        if not ranked:
            return {"tenant.isolation": isolation}
        keys = []
        for stem in ranked:
            model, field = places[stem]
            name = spellings[stem].most_common(1)[0][0]
            keys.append(Found(value=name, count=len(holders[stem]), path=model.path, line=field.line, text=field.text))
        stem, key = ranked[0], keys[0]
        spelled = [name for name, _ in spellings[stem].most_common() if name != key.value]
        sources = [one for one in self.best("tenant.sources", 500) if _same_stem(one.value, stem)]
        row = (Found(value="row", count=key.count, path=key.path, line=key.line, text=key.text),)
        carriers = sorted({model.name: model for model in self.models if model.name in holders[stem]}.items())
        return {
            "tenant.key": tuple(keys),
            "tenant.aliases": tuple(
                Found(value=name, count=spellings[stem][name], path=key.path, line=key.line) for name in spelled[:TOP]
            ),
            "tenant.models": tuple(_found(model, 1) for _, model in carriers[:TOP_MODELS]),
            "tenant.sources": tuple(sources[:TOP]),
            "tenant.isolation": isolation or row,
        }

    def notes(self, facts: Mapping[str, tuple[Found, ...]]) -> Iterable[str]:
        for found in self.best("libraries"):
            yield f"{found.value} is a dependency ({found.path}:{found.line}): it writes an audit trail of its own"
        for found in facts.get("egress.libraries", ()):
            where = f"{found.path}:{found.line}"
            yield f"{found.value} sends data outside ({where}): approve it with its contract or leave it out"
        if len(facts.get("access.default", ())) > 1:
            yield "some settings refuse by default and some allow: check facts.access.default"


def _found(model: Model, count: int) -> Found:
    return Found(value=model.name, count=count, path=model.path, line=model.line, text=model.text)


def _bookkeeping(name: str) -> bool:
    """Audit and history tables, and users, are about access to PHI, or not about patients at all."""
    return bool({"audit", "audits", "log", "logs", "history", "historical", "user", "users"} & set(words(name)))


def _refers(field: Field, targets: set[str]) -> bool:
    parts = field.target.lower().split(".")
    return bool(field.target) and (parts[-1] in targets or (len(parts) > 1 and parts[-2] in targets))


def _stem(field: Field, phi: set[str]) -> str:
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
    return (stem in TENANT_WORDS and count > 1) or (count >= 3 and count * 10 >= total * 3)


def _same_stem(source: str, stem: str) -> bool:
    tokens = words(source.rpartition(".")[2])
    return "_".join(tokens[:-1] if len(tokens) > 1 and tokens[-1] == "id" else tokens) == stem
