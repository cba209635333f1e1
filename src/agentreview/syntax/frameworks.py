"""Framework files, compiled: how each framework spells the concepts.

The loader (:mod:`agentreview.policies.load`) turns the YAML into plain dictionaries once and caches them as JSON;
this module makes the matchers from those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentreview.syntax.patterns import Glob, Index, Pattern, compile_patterns, glob

CONCEPTS = frozenset(
    "endpoint job authn opening object-check audit audit-off read write delete raw-sql log respond raise send request "
    "caller redact membership scope deny validate generic-read generic-write trail token-check".split()
)
KINDS = frozenset("call decorator base attribute method function_param route file param annotation keyword import".split())
MODIFIERS = frozenset(
    "single bulk object where unless_where value unless argument resource of function explicit phi".split()
)


@dataclass(slots=True, eq=False)
class Entry:
    """One spelling of one concept."""

    framework: str
    concept: str
    kind: str
    text: str
    patterns: tuple[Pattern, ...] = ()
    globs: Glob | None = None
    object: Glob | None = None
    single: bool = False
    bulk: bool = False
    where: tuple[tuple[str, str], ...] = ()
    unless_where: tuple[tuple[str, str], ...] = ()
    value: Glob | None = None
    unless: Glob | None = None
    argument: Glob | None = None
    resource: int = -1
    of: Glob | None = None
    function: Glob | None = None
    base: Glob | None = None


@dataclass(slots=True, eq=False)
class Framework:
    """A framework file: its entries, and the imports that make it active (none = always)."""

    id: str
    languages: frozenset[str]
    imports: tuple[str, ...]
    entries: tuple[Entry, ...]


@dataclass(slots=True)
class Matchers:
    """All entries for one language, filed for fast look-up. ``imports`` says when a framework is active."""

    calls: Index = field(default_factory=Index)
    decorators: Index = field(default_factory=Index)
    kinds: dict[str, list[Entry]] = field(default_factory=dict)
    imports: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def active(self, imported: Iterable[str]) -> frozenset[str]:
        """Return the ids of the frameworks a module with these imports uses."""
        modules = tuple(imported)
        out = set()
        for framework, prefixes in self.imports.items():
            if not prefixes or any(m == p or m.startswith((p + ".", p + "/")) for p in prefixes for m in modules):
                out.add(framework)
        return frozenset(out)


def compile_entry(framework: str, concept: str, raw: str | Mapping[str, Any]) -> Entry:
    """Compile one entry. Raises ValueError saying what is wrong with it."""
    data: Mapping[str, Any] = {"call": raw} if isinstance(raw, str) else raw
    if concept not in CONCEPTS:
        raise ValueError(f"unknown concept {concept!r}")
    kinds = [key for key in data if key in KINDS]
    main = [k for k in kinds if not (k == "base" and "method" in data)]
    if len(main) != 1:
        raise ValueError(f"an entry has exactly one of {', '.join(sorted(KINDS))}; this one has {kinds or 'none'}")
    unknown = set(data) - KINDS - MODIFIERS
    if unknown:
        raise ValueError(f"unknown key {sorted(unknown)[0]!r}")
    kind = main[0]
    text = str(data[kind])
    pairs = {k: tuple((str(a), _constant(b)) for a, b in dict(data.get(k, {})).items()) for k in ("where", "unless_where")}
    entry = Entry(
        framework, concept, kind, text,
        single=bool(data.get("single")), bulk=bool(data.get("bulk")), resource=int(data.get("resource", -1)), **pairs,
    )  # fmt: skip
    if kind in ("call", "decorator", "route"):
        entry.patterns = compile_patterns(text)
    else:
        entry.globs = glob(text)
    for name in ("object", "value", "unless", "argument", "of", "function"):
        if name in data:
            setattr(entry, name, glob(str(data[name])))
    if kind == "method":
        entry.base = glob(str(data.get("base", "*")))
    return entry


def _constant(value: Any) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    return str(value)


def compile_framework(data: Mapping[str, Any]) -> Framework:
    """Compile a framework file's data. Raises ValueError naming the entry that is wrong."""
    entries: list[Entry] = []
    for concept, raws in data["concepts"].items():
        for number, raw in enumerate(raws or (), 1):
            try:
                entries.append(compile_entry(data["id"], concept, raw))
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{concept} entry {number}: {error}") from error
    return Framework(data["id"], frozenset(data["languages"]), tuple(data.get("imports") or ()), tuple(entries))


def matchers(frameworks: Iterable[Framework], language: str) -> Matchers:
    """File every entry of the frameworks of this language."""
    out = Matchers()
    for framework in frameworks:
        if language not in framework.languages:
            continue
        out.imports[framework.id] = framework.imports
        for entry in framework.entries:
            if entry.kind in ("call", "route", "decorator"):
                index = out.decorators if entry.kind == "decorator" else out.calls
                for pattern in entry.patterns:
                    index.add(pattern, entry)
            else:
                out.kinds.setdefault(entry.kind, []).append(entry)
    return out
