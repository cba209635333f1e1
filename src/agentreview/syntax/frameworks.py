"""Framework files, compiled: how each framework spells the concepts.

The loader (:mod:`agentreview.policies.load`) turns the YAML into plain dictionaries once and caches them as JSON;
this module makes the matchers from those.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

from agentreview.records import dataclass
from agentreview.syntax.patterns import Glob, Index, compile_patterns, filing_names, glob

CONCEPTS = frozenset(
    "endpoint job authn opening object-check audit audit-off read write delete raw-sql log respond raise send request "
    "caller redact membership scope deny validate generic-read generic-write trail token-check "
    "unescaped sanitize exec fetch file-path template eval markup open-redirect random "
    "prompt url client-store insecure scope-off cache store-file enqueue csrf-off cors-open drop all-fields mass-assign nosql expire reference connect temp-file dump overshare query-string model-tool cascade "
    "memo page-cache vary related-field cors-all cors-credentials unlisted guessable loosen-column drop-constraint sql-text".split()
)
# These say what an expression is, for the evaluator of values: they are no facts of their own.
SWITCHES = frozenset(
    {"audit-off", "insecure", "csrf-off", "cors-open", "dump", "overshare"}
)  # set once, hold from then on
VALUES = frozenset({"request", "caller", "redact", "model-tool"})
KINDS = frozenset(
    "call assign decorator base attribute method function_param signature route register use group handler member directive file param annotation keyword".split()
)
SQL_TEXT = "sql-text"  # stands in the middle of a chain: looked for link by link
_FILED = (
    "call",
    "route",
    "register",
    "use",
    "group",
    "handler",
    "decorator",
    "assign",
)  # kinds that are filed by the names in them
MODIFIERS = frozenset(
    "single bulk object where unless_where value unless argument resource of function property client shaped fills acts at".split()
)
LAST = 99  # of the argument that is filled: the last one
BY_NAME = -2  # of a resource: the callee's own name says it


@dataclass(slots=True, eq=False, repr=False)
class Entry:
    """One spelling of one concept."""

    framework: str
    concept: str
    kind: str
    text: str
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
    fills: int = -1  # the argument that holds the answer afterwards
    from_request: bool = False  # fills only from what the client sent
    acts: tuple[int, ...] = ()  # which arguments say on what; without it the first
    at: int = -1  # which argument of a registration is the handler
    signature: tuple[tuple[Glob, ...], Glob | None] | None = None
    of: Glob | None = None
    function: Glob | None = None
    base: Glob | None = None
    property: Glob | None = None
    client: Glob | None = None
    shaped: bool = False
    place: int = 0


class Framework:
    """A framework file: its entries, and the imports that make it active (none = always)."""

    __slots__ = ("entries", "id", "imports", "languages")

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.id = str(data["id"])
        self.languages = frozenset(data["languages"])
        self.imports = tuple(data.get("imports") or ())
        self.entries = [(concept, raw) for concept, raws in data["concepts"].items() for raw in raws or ()]


class LazyEntry:
    """An entry that is compiled when a chain first matches its pattern: most files need few of them."""

    __slots__ = ("_entry", "concept", "framework", "raw")

    def __init__(self, framework: str, concept: str, raw: str | Mapping[str, Any]) -> None:
        self.framework, self.concept, self.raw = framework, concept, raw
        self._entry: Entry | None = None

    def get(self) -> Entry:
        """Return the compiled entry."""
        if self._entry is None:
            self._entry = compile_entry(self.framework, self.concept, self.raw)
        return self._entry


class Matchers:
    """All entries for one language, filed for fast look-up. ``imports`` says when a framework is active.

    A framework is filed when a module first uses it: most reviews need few of them. Entries are looked up in the order of
    the frameworks, whichever was filed first.
    """

    __slots__ = ("_by_module", "_waiting", "assigns", "calls", "decorators", "fills", "imports", "kinds", "routing")

    def __init__(self, frameworks: Iterable[Framework] = ()) -> None:
        self.calls, self.decorators, self.assigns = Index(), Index(), Index()
        self.routing: dict[str, set[str]] = {}  # last names of calls that register, make groups, or stand in front
        self.fills = False  # whether any entry hands values over in arguments
        self.kinds: dict[str, list[Entry]] = {}
        self.imports: dict[str, tuple[str, ...]] = {}
        self._by_module: dict[str, tuple[str, ...]] = {}
        self._waiting: dict[str, tuple[int, Framework]] = {}
        for place, framework in enumerate(frameworks):
            self.imports[framework.id] = framework.imports
            self._waiting[framework.id] = (place * 10_000, framework)

    def active(self, imported: Iterable[str]) -> frozenset[str]:
        """Return the ids of the frameworks a module with these imports uses."""
        found = {framework for module in {"", *imported} for framework in self._used(module)}
        for framework in sorted(found & self._waiting.keys()):
            self._file(*self._waiting.pop(framework))
        return frozenset(found)

    def _used(self, module: str) -> tuple[str, ...]:
        """The frameworks that importing this module means; those that are always there for no module."""
        known = self._by_module.get(module)
        if known is None:
            known = self._by_module[module] = tuple(
                framework
                for framework, prefixes in self.imports.items()
                if (not prefixes and not module)
                or any(
                    module == p or module.startswith((p + ".", p + "/")) or (p[0] == "*" and module.endswith(p[1:]))
                    for p in prefixes
                )
            )
        return known

    def _file(self, place: int, framework: Framework) -> None:
        for number, (concept, raw) in enumerate(framework.entries, place):
            kind = "call" if isinstance(raw, str) else next((k for k in _FILED if k in raw), "")
            if kind:
                text = raw if isinstance(raw, str) else str(raw[kind])
                index = {"decorator": self.decorators, "assign": self.assigns}.get(kind, self.calls)
                index.add(text, LazyEntry(framework.id, concept, raw), number)
                self.fills = self.fills or (concept == "request" and "fills" in raw and not isinstance(raw, str))
                if kind in ("register", "use", "group") or concept == SQL_TEXT:
                    self.routing.setdefault(concept if concept == SQL_TEXT else kind, set()).update(filing_names(text))
            else:
                entry = compile_entry(framework.id, concept, raw)
                entry.place = number
                insort(self.kinds.setdefault(entry.kind, []), entry, key=attrgetter("place"))


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
    entry = Entry(
        framework, concept, kind, text,
        single=bool(data.get("single")), bulk=bool(data.get("bulk")), shaped=bool(data.get("shaped")),
        resource=BY_NAME if data.get("resource") == "name" else int(data.get("resource", -1)),
        fills=LAST if data.get("fills") == "last" else int(data.get("fills", -1)), acts=_positions(data.get("acts")),
        from_request=data.get("argument") == "$request", at=int(data.get("at", -1)),
        where=_pairs(data.get("where")), unless_where=_pairs(data.get("unless_where")),
    )  # fmt: skip
    if kind in _FILED:
        compile_patterns(text)  # only to say what is wrong with it: the index compiles its own when it is needed
    elif kind == "signature":
        given, arrow, answer = text.partition("->")
        types = tuple(glob(part.strip()) for part in given.split(",") if part.strip())
        entry.signature = (types, glob(answer.strip()) if arrow else None)
    else:
        entry.globs = glob(text)
    for name in ("object", "value", "unless", "argument", "of", "function", "property", "client"):
        if name in data and data[name] != "$request":
            setattr(entry, name, glob(str(data[name])))
    if kind == "method":
        entry.base = glob(str(data.get("base", "*")))
    return entry


def _positions(value: Any) -> tuple[int, ...]:
    """``acts: 2`` is the third argument, ``[0, 1]`` the first two, ``all`` every one."""
    if value == "all":
        return tuple(range(30))
    return tuple(value) if isinstance(value, list) else () if value is None else (int(value),)


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    return tuple((str(key), _constant(wanted)) for key, wanted in dict(value or {}).items())


def _constant(value: Any) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    return str(value)


def compile_framework(data: Mapping[str, Any]) -> Framework:
    """Check every entry of a framework file. Raises ValueError naming the entry that is wrong."""
    for concept, raws in data["concepts"].items():
        for number, raw in enumerate(raws or (), 1):
            try:
                compile_entry(data["id"], concept, raw)
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{concept} entry {number}: {error}") from error
    return Framework(data)


def matchers(frameworks: Iterable[Framework], language: str) -> Matchers:
    """The matchers of the frameworks of this language."""
    return Matchers(f for f in frameworks if language in f.languages)
