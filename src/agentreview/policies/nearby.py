"""What other files of the reviewed tree lend to a unit: imported helpers, bases, decorators, mounts, and settings.

Read on demand: a check asks only when it would otherwise claim that a control is missing, and the answer may be "not read
yet". Then the file is reviewed again once the files it asked for are read (:func:`agentreview.policies.run.review_changes`).
Nothing is ever read from the work tree. Bounded in hops, in files of one question, and in files of one review.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from posixpath import dirname
from typing import Any

from agentreview.facts import AutomaticAudit
from agentreview.lazyre import lazy
from agentreview.records import dataclass, field
from agentreview.syntax.facts import Analysis, Fact
from agentreview.syntax.imports import MANAGERS, Paths, imported, locate
from agentreview.syntax.names import names_in
from agentreview.syntax.patterns import chain, names
from agentreview.syntax.reach import CONTROLS, _with_bases, called_by, enclosing_class, resolve
from agentreview.syntax.ruby_filters import holds
from agentreview.syntax.ruby_rows import model_name
from agentreview.syntax.tree import Expr, Unit

MAX_HOPS = 3
MAX_LOOKED_AT = 60  # (file, symbol) pairs of one question
MAX_SETTINGS = 40  # files that may say something about a whole project
# Files that by their name hold settings, mounts, guards of a whole application, or an automatic trail.
_SETTINGS = lazy(
    r"(?:^|/)(?:settings(?:/[^/]+|[\w.-]*)?|conf(?:ig)?/settings/[^/]+|urls|main|app|api|asgi|wsgi|server|routers?|routes|signals|receivers|"
    r"audit\w*|apps|application|create_app|__init__|extensions|database|db|models/base)\.py$"
    r"|(?:^|/)(?:app|main|server|index|routes?|router|middleware|proxy|app\.module|auth\.module|root|trpc|hooks\.server)\.[cm]?[jt]sx?$"
    r"|(?:^|/)\w*(?:[sS]ecurity|[aA]udit|ResourceServer|WebConfig|AuthConfig)\w*(?:\.subscriber|\.middleware|\.interceptor)?\.(?:[jt]s|java|kt)$"
    r"|(?:^|/)\w*(?:main|server|routes?|router|routing|app|api|http|handlers?|middleware)\w*(?<!_test)\.go$"
    r"|(?:^|/)(?:[^/]*[_.-])?(?:rls|row_level|row-level|security|policies|isolation|audit_trigger|triggers)(?:[_.-][^/]*)?\.(?:sql|py)$"
)
_SPEAK = (".py", ".js", ".jsx", ".ts", ".tsx", ".cjs", ".mjs", ".cts", ".mts", ".java", ".kt", ".go", ".sql")
_FAMILY = {"typescript": "js", "javascript": "js"}
Summary = dict[str, Any]  # made by agentreview.syntax.summary, which is loaded only when a file is read


@dataclass(slots=True, eq=False)
class Wants:
    """What a review asked for and did not have."""

    listing: bool = False
    paths: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return self.listing or bool(self.paths)


class Nearby:
    """One tree's other files, as far as they are read. ``summaries`` holds None for a file that could not be read."""

    def __init__(self, paths: Paths | None, summaries: Mapping[str, Summary | None]) -> None:
        self.paths, self.summaries = paths, summaries
        self.wants = Wants()

    def _summary(self, path: str) -> Summary | None:
        if path not in self.summaries:
            self.wants.paths.add(path)
            return None
        return self.summaries[path]

    def lent(self, analysis: Analysis, unit: Unit) -> list[Fact]:
        """Controls that other files lend to a unit, ``via`` naming the place. Empty while something is still unread."""
        if self.paths is None:
            self.wants.listing = True
            return []
        seeds = list(_names(analysis, unit))
        out = [fact for dotted, at in seeds for fact in self._follow(analysis, unit, dotted, at)]
        if id(unit) in analysis.endpoints or any(id(c) in analysis.endpoints for c in unit.children):
            out.extend(self._mounted(analysis, unit))
        return out

    def bases_known(self, analysis: Analysis, unit: Unit) -> bool:
        """Whether every base class the project defines was found and read: then what they do not hold is not there."""
        if self.paths is None:
            self.wants.listing = True
            return False
        cls = unit if unit.kind == "class" else enclosing_class(unit)
        todo = [(analysis.path, b) for c in (_with_bases(analysis, cls) if cls else ()) for b in _bases(analysis, c)]
        seen = set(todo)
        for importer, dotted in todo:
            places = locate(self.paths, importer, analysis.module.language, dotted)
            if not places and _outside(dotted):
                continue
            for path, symbol in places[:3]:
                summary = self._summary(path)
                found = _look_up(summary, symbol, dotted) if summary is not None else None
                if found is not None:
                    more = [(path, base) for base in found[2] if (path, base) not in seen]
                    seen.update(more)
                    todo.extend(more if len(todo) < MAX_LOOKED_AT else ())
                    break
            else:
                return False
        return True

    def access_default(self, analysis: Analysis) -> str:
        """What an endpoint without a word on it does by the nearest settings of its language: deny, allow, or unknown."""
        best = -1
        answers: set[str] = set()
        for path, summary in self._settings(analysis):
            if not summary["default"] or _family(summary["language"] or _by_name(path)) != _family(
                analysis.module.language
            ):
                continue
            near = _common(path, analysis.path)
            if near > best:
                best, answers = near, set()
            if near == best:
                answers |= {value for value, _ in summary["default"]}
        return answers.pop() if len(answers) == 1 else ""

    def place_access(self, analysis: Analysis, unit: Unit) -> str:
        """What a filter chain says of the endpoint's path: deny, allow, or nothing. Its first pattern that fits counts."""
        endpoint = analysis.endpoints.get(id(unit))
        if endpoint is None or not endpoint.path.startswith("/") or analysis.module.language != "java":
            return ""
        verbs = {v for d in unit.decorators for v in _verbs(d)}
        for _, summary in self._settings(analysis):
            for method, pattern, answer in summary.get("places", ()):
                if (not method or method in verbs or "ANY" in verbs) and _ant(pattern).fullmatch(endpoint.path):
                    return str(answer)
        return ""

    def automatic(self, analysis: Analysis, resource: str) -> tuple[AutomaticAudit, ...]:
        """Audit trails that need no call: where the model is defined, and in signals, listeners and triggers."""
        found: list[AutomaticAudit] = []
        for _, summary in [*self._settings(analysis), *self._model(analysis, resource)]:
            for how, model, _ in summary["automatic"]:
                found.append(AutomaticAudit(models=(model,) if model else (), how=how))
        return tuple(found)

    def scoped_model(self, analysis: Analysis, resource: str) -> bool:
        """Whether the model's own file limits its rows to a tenant: ``@TenantId``, ``@Filter``."""
        name = f"{resource[:1].upper()}{resource[1:]}"
        held = [row for _, summary in self._model(analysis, resource) for row in summary["symbols"].get(name, ((),))[0]]
        return any(row[0] == "scope" for row in held)

    def _model(self, analysis: Analysis, resource: str) -> Iterator[tuple[str, Summary]]:
        """The file that defines a model: where its name is imported from; in Java also by the name of the file alone."""
        if self.paths is None:
            self.wants.listing = True
            return
        language = analysis.module.language
        own = imported(analysis, model_name(resource) if language == "ruby" else resource)
        places = [path for path, _ in locate(self.paths, analysis.path, language, own)[:3]] if own else []
        if not places and language == "java" and resource.isidentifier():
            places = self.paths.ending(f"{resource[:1].upper()}{resource[1:]}.java")[:2]
        for path in places:
            summary = self._summary(path)
            if summary is not None:
                yield path, summary

    def row_security(self, analysis: Analysis) -> frozenset[str]:
        """Tables (lower case) on which a migration or a schema switches row-level security on."""
        return frozenset(table for _, summary in self._settings(analysis) for table in summary["rls"])

    # -- following names -------------------------------------------------------------------------------------------

    def _follow(self, analysis: Analysis, unit: Unit, dotted: str, at: Expr | None) -> Iterator[Fact]:
        paths = self.paths
        if paths is None:
            return
        language = analysis.module.language
        seen: set[tuple[str, str]] = set()
        row = [(analysis.path, dotted)]
        for _ in range(MAX_HOPS):
            below: list[tuple[str, str]] = []
            for importer, name in row:
                for path, symbol in locate(paths, importer, language, name):
                    if (path, symbol) in seen or len(seen) >= MAX_LOOKED_AT or path == analysis.path:
                        continue
                    seen.add((path, symbol))
                    summary = self._summary(path)
                    if summary is None:
                        continue
                    found = _look_up(summary, symbol, name)
                    if found is None:
                        below.extend(_passed_on(path, summary, symbol))
                        continue
                    facts, uses, bases = found
                    method = symbol.rpartition(".")[2]
                    fallen = language == "ruby" and not method[:1].isupper() and not _defines(summary, symbol)
                    rows = fallen or symbol.partition(".")[2].partition(".")[0] in MANAGERS
                    for concept, call, line, *limits in facts:
                        if rows and concept != "scope":
                            continue
                        if not limits or unit.kind == "class" or holds(unit.name, *map(frozenset, limits)):
                            yield _fact(unit, at, concept, call, f"{symbol or name} ({path}:{line})")
                    if fallen:  # a method that this class may have from its base
                        below.extend((path, f"{base}.{method}") for base in bases)
                    elif rows:  # a model: what it declares limits its rows, and is no call of anybody
                        below.extend((path, f"{base}.objects") for base in bases)
                    else:
                        below.extend((path, one) for one in (*uses, *bases))
                    if language != "go":
                        break
            row = below

    def _mounted(self, analysis: Analysis, unit: Unit) -> Iterator[Fact]:
        if self.paths is None:
            return
        cls = unit if unit.kind == "class" else enclosing_class(unit)
        endpoint = analysis.endpoints.get(id(unit))
        mine = {
            "",
            unit.name,
            unit.qualname,
            cls.name if cls is not None else unit.name,
            endpoint.router if endpoint else "",
        }
        if analysis.module.language == "go":  # a method stands for itself, and in the function that registers it
            around = [u.name for u in _outward(unit)]
            mine = {unit.name, unit.qualname, *around}
        for path, summary in self._settings(analysis):
            for target, facts in summary["mounts"]:
                for place, symbol in locate(self.paths, path, summary["language"], target):
                    first = symbol.split(".")[0] if summary["language"] != "go" else symbol.rsplit(".", 1)[-1]
                    if place == analysis.path and (symbol in mine or first in mine):
                        for concept, call, line, *_ in facts:
                            yield _fact(unit, None, concept, call, f"{path}:{line}")

    def _settings(self, analysis: Analysis) -> Iterator[tuple[str, Summary]]:
        if self.paths is None:
            self.wants.listing = True
            return
        for path in settings_near(self.paths, analysis.path):
            summary = self._summary(path)
            if summary is not None:
                yield path, summary


@lru_cache(maxsize=4)
def settings_in(paths: Paths) -> tuple[str, ...]:
    """Files of a tree that may speak for the whole application. A search of every path: once for each tree."""
    return tuple(p for p in paths.all if p.endswith(_SPEAK) and speaks(p) and "node_modules/" not in p)


def speaks(path: str) -> bool:
    """Whether the pattern is found in a path. It tells by the name, or by one folder with it: nothing else is searched."""
    folder, _, name = path.rpartition("/")
    if _SETTINGS.match(name):
        return True
    return folder.endswith(("settings", "models")) and bool(_SETTINGS.match(f"{folder.rpartition('/')[2]}/{name}"))


@lru_cache(maxsize=512)
def settings_near(paths: Paths, importer: str) -> tuple[str, ...]:
    """Those of :func:`settings_in` that are nearest to a file, in order; a bounded number."""
    found = (p for p in settings_in(paths) if p != importer)
    return tuple(sorted(found, key=lambda p: (-_common(p, importer), p.count("/"), p))[:MAX_SETTINGS])


def _common(one: str, other: str) -> int:
    count = 0
    for left, right in zip(dirname(one).split("/"), dirname(other).split("/"), strict=False):
        if left != right:
            break
        count += 1
    return count


def _outward(unit: Unit) -> Iterator[Unit]:
    """The functions around a unit."""
    node = unit.parent
    while node is not None:
        if node.kind == "function":
            yield node
        node = node.parent


def _verbs(decorator: Expr) -> list[str]:
    """``@GetMapping``, ``@GET``, ``@RequestMapping(method = RequestMethod.GET)``: the verbs; ANY where it names none."""
    last = chain(decorator)[-1]
    if last.name != "RequestMapping":
        return [last.name.removesuffix("Mapping").upper()]
    said = [n for a in last.args or () if a.name == "method" for n in names_in(a.value)]
    return [n.rpartition(".")[2] for n in said] or ["ANY"]


@lru_cache(maxsize=2_000)
def _ant(pattern: str) -> re.Pattern[str]:
    """``/patients/**`` (and what lies at its root), ``/x/*``, ``/x/{id}`` as a regex."""
    parts = re.split(r"(/\*\*|\*\*|\*|\?|\{[^{}]*\})", pattern if pattern.startswith("/") else "/" + pattern)
    spelled = {"/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(spelled.get(p) or ("[^/]*" if p.startswith("{") else re.escape(p)) for p in parts))


def _family(language: str) -> str:
    return _FAMILY.get(language, language)


def _by_name(path: str) -> str:
    return {"py": "python", "java": "java", "kt": "java", "go": "go", "rb": "ruby"}.get(
        path.rpartition(".")[2], "javascript"
    )


def _names(analysis: Analysis, unit: Unit) -> Iterator[tuple[str, Expr | None]]:
    """Imported names that a unit rests on: what it and its helpers call, its decorators, its class's bases."""
    seen: set[str] = set()
    cls = unit if unit.kind == "class" else enclosing_class(unit)
    holders = [unit, *called_by(analysis, unit)]
    for owner in _with_bases(analysis, cls) if cls is not None else ():
        holders.append(owner)
        for base in owner.bases:
            dotted = imported(analysis, names(chain(base)))
            if dotted and dotted not in seen:
                seen.add(dotted)
                yield dotted, None
    inherited = _bases(analysis, cls) if cls is not None and analysis.module.language == "ruby" else []
    for holder in holders:
        for name, expr in analysis.own(holder).calls:
            wanted = [imported(analysis, name)]
            if inherited and "." not in name and resolve(analysis, holder, name) is None:  # a method of a base class
                wanted.extend(f"{base}.{name}" for base in inherited)
            for dotted in wanted:
                if dotted and dotted not in seen:
                    seen.add(dotted)
                    yield dotted, expr if holder is unit else None


def _bases(analysis: Analysis, cls: Unit) -> list[str]:
    return [b for b in (imported(analysis, names(chain(base))) for base in cls.bases) if b]


_LIBRARIES = lazy(
    r"^(?:django|rest_framework|flask|starlette|fastapi|ninja|sqlalchemy|typing|abc|enum|pydantic|celery|graphene|strawberry|drf_\w+|"
    r"@nestjs|@\w+/\w+|java|javax|jakarta|org\.springframework|lombok|io\.\w+|react|express|"
    r"Action\w+|Active[A-Z]\w+|Rails|Pundit|CanCan|Devise|Sidekiq|Sinatra|Grape)(?:[./]|$)"
)


def _outside(dotted: str) -> bool:
    """Whether a name is a library's: nobody finds it in the tree, and the framework files know what it does."""
    return not dotted.startswith((".", "@/", "~/")) and _LIBRARIES.match(dotted) is not None


def _look_up(summary: Summary, symbol: str, name: str) -> list[Any] | None:
    """A symbol of a file: by its name, as a method of whatever the file exports, or the only thing a module exports."""
    symbols: dict[str, list[Any]] = summary["symbols"]
    if summary["language"] == "ruby":
        return _look_up_ruby(symbols, symbol)
    found = symbols.get(symbol) or symbols.get(symbol.split(".", maxsplit=1)[0] if "." in symbol else symbol)
    if "." in symbol and symbol not in symbols:
        last = symbol.rsplit(".", 1)[-1]
        methods = [entry for key, entry in symbols.items() if key.endswith("." + last)]
        found = methods[0] if len(methods) == 1 else found
    if found is None and summary["language"] == "go":
        methods = [entry for key, entry in symbols.items() if key.rsplit(".", 1)[-1] == symbol]
        found = methods[0] if len(methods) == 1 else None
    if found is None and not symbol:  # import auth from "./auth"
        top = [entry for key, entry in symbols.items() if "." not in key]
        stem = re.split(r"[/.]", name)[-1]
        found = symbols.get(stem) or (top[0] if len(top) == 1 else None)
    return found


def _look_up_ruby(symbols: Mapping[str, list[Any]], symbol: str) -> list[Any] | None:
    """A class, or a method of it, wherever in the modules of a file it stands; the class for a method it does not have."""
    while symbol:
        found = symbols.get(symbol) or next(
            (entry for key, entry in symbols.items() if key.endswith(f".{symbol}")), None
        )
        if found is not None:
            return found
        symbol = symbol.rpartition(".")[0]
    return None


def _defines(summary: Summary, symbol: str) -> bool:
    """Whether a Ruby file has this very method, and not only its class."""
    return any(key == symbol or key.endswith(f".{symbol}") for key in summary["symbols"])


def _passed_on(path: str, summary: Summary, symbol: str) -> Iterable[tuple[str, str]]:
    """Where a name comes from that a file only hands on: an ``__init__.py``, an ``index.ts``."""
    head, _, rest = symbol.partition(".")
    source = summary["imports"].get(head)
    if source:
        yield path, f"{source}.{rest}" if rest else source
        return
    for module in summary["reexports"][:20]:
        yield path, f"{module}.{symbol}" if symbol else module


def _fact(unit: Unit, at: Expr | None, concept: str, call: str, via: str) -> Fact:
    line = at.line if at is not None else unit.header_line or unit.line
    start, end = (at.start, at.end) if at is not None else (unit.start, unit.start)
    last = at.end_line if at is not None else line
    return Fact(concept, unit, start, end, line, last, call, framework="nearby", via=via)


def useful(facts: Iterable[Fact], concepts: Iterable[str]) -> bool:
    """Whether one of the lent facts is a control of these concepts."""
    wanted = frozenset(concepts) & CONTROLS
    return any(fact.concept in wanted for fact in facts)
