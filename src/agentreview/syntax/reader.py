"""One file to its analysis: units, classes, endpoints, and which framework entries a chain spells."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.lazyre import lazy
from agentreview.records import replace
from agentreview.syntax.facts import Analysis, Endpoint, Fact, UnitFacts
from agentreview.syntax.frameworks import SWITCHES, VALUES, Entry, LazyEntry, Matchers
from agentreview.syntax.handlers import HANDED
from agentreview.syntax.lexicon import Lexicon, resource_name
from agentreview.syntax.names import (
    annotated,
    compiled,
    constants,
    decorated_resource,
    has_argument,
    last_name,
    names_in,
    path_matches,
    root_name,
    shaped_as,
    type_resource,
    whole_path,
)
from agentreview.syntax.patterns import Glob, Link, chain, names
from agentreview.syntax.queries import Sql, sql_of
from agentreview.syntax.registered import Pending, join, kinds_of_names, signed
from agentreview.syntax.routers import Routers
from agentreview.syntax.ruby_filters import is_action
from agentreview.syntax.ruby_rows import instance_rows
from agentreview.syntax.scope import Scope
from agentreview.syntax.spelling import QUESTION
from agentreview.syntax.tree import Expr, Module, Param, Stmt, Unit, subexpressions
from agentreview.syntax.values import NOTHING, Evaluator, Value

_OPTIONS = frozenset({"Meta", "Config", "Arguments"})  # inner classes that say which model the outer one is about
_ROUTE_NAME = lazy(r"[{<:](?:\w+:)?(\w+)")
_AUDIT_MODULE = lazy(r"(?:^|[./])(audit(?:[_-]?(?:log|logger|trail|events?|service))?)$", re.IGNORECASE)
_LONG_CHAIN = 100  # links; matching every prefix is quadratic, and no code that a person wrote is that long
_HOOK_DECORATORS = frozenset({"before_request", "before_app_request", "middleware"})
_WHERE_IT_HOLDS = frozenset({"only", "except"})  # of a filter: methods, not what it is


def _prefixes(length: int) -> Iterator[int]:
    """Lengths of the prefixes of a chain that may spell something, longest first: of an endless one the whole and its first links."""
    if length > _LONG_CHAIN:
        yield length
    yield from range(min(length, _LONG_CHAIN), 0, -1)


class Reader:
    """Reads every unit of a module once, in document order."""

    def __init__(self, module: Module, path: str, matchers: Matchers, lexicon: Lexicon) -> None:
        self.module, self.path, self.matchers, self.lexicon = module, path, matchers, lexicon
        self.active = matchers.active(module.imports.values())
        self.ruby = module.language == "ruby"
        by_name: dict[str, Unit] = {}
        for unit in module.units:
            if unit.kind != "module" and not unit.anonymous:
                by_name.setdefault(unit.qualname, unit)
        self.analysis = Analysis(module, path, {}, {}, {}, [], lexicon, by_name)
        # A bare word may call a method in Ruby: those that this file has, by name.
        self.methods = frozenset(u.name for u in module.units if u.kind == "function") if self.ruby else frozenset()
        self.class_env: dict[int, dict[str, Value]] = {}
        self.members: dict[int, dict[str, str]] = {}  # of a class: what its fields are instances of, by their types
        self.pending_routes: list[tuple[str, Endpoint | None, list[Fact], list[tuple[str, Expr]]]] = []
        self.concepts_memo: dict[str, frozenset[str]] = {}
        self.handlers: dict[int, tuple[Endpoint | None, list[Fact], list[tuple[str, Expr]]]] = {}
        self.answering = [e for e in matchers.kinds.get("member", ()) if e.framework in self.active]
        self.tools: set[int] = set()  # functions that a model calls
        self.constants = dict(constants(module.root))
        self.fills = matchers.fills  # whether any framework of the language hands values over in arguments
        self.registrations: list[Pending] = []
        self._kinds: dict[str, str] | None = None
        self.routers = Routers(self)
        self.lending: dict[str, list[Fact]] = {}  # controls of those in ``made`` that somebody asked for
        self.made = {  # names of the module and what makes them
            stmt.targets[0].name: stmt
            for stmt in module.root.body
            if stmt.kind == "assign" and len(stmt.targets) == 1 and stmt.targets[0].kind == "name"
        }

    # -- the walk ----------------------------------------------------------------------------------------------

    def run(self) -> Analysis:
        for unit in self.module.units:
            if unit.kind == "class":
                self.class_env[id(unit)] = self.class_values(unit)
        for unit in self.module.units:
            if not unit.anonymous:
                self.read(unit)
        by_short: dict[str, list[Unit]] = {}
        for unit in self.module.units:
            if unit.kind == "function" and not unit.anonymous:
                by_short.setdefault(unit.name, []).append(unit)
        for name, endpoint, controls, calls in self.pending_routes:
            for unit in by_short.get(name.rsplit(".", 1)[-1], ())[:1]:
                if endpoint is not None and id(unit) not in self.analysis.endpoints:
                    self.analysis.endpoints[id(unit)] = replace(endpoint, unit=unit)
                lent = [replace(f, unit=unit, framework="route") for f in controls]
                self.analysis.own(unit).facts.extend(lent)
                self.reread(unit)
                self.analysis.own(unit).calls.extend(calls)
        join(self)
        for unit in self.module.units:
            if unit.kind == "class":
                self.limited(unit)
        for endpoint in self.analysis.endpoints.values():
            self.route_names(endpoint)
        for name, stmt in self.made.items():
            if annotated(stmt.value) and self.module.language == "python":
                own = UnitFacts(self.module.root)
                self.param_facts(self.module.root, Param(name, annotation=stmt.value), own)
                if own.facts:
                    self.analysis.routers[name] = own.facts
        return self.analysis

    def route_names(self, endpoint: Endpoint) -> None:
        """``/patients/by-ssn/{ssn}``, ``@router.get("/search") def search(ssn: str)``: what is asked for in the address."""
        unit = endpoint.unit
        sent = set(_ROUTE_NAME.findall(endpoint.path))
        if any(chain(d)[-1].name == "get" for d in unit.decorators):
            for param in unit.params:
                plain = param.default is None or param.default.kind != "call" or last_name(param.default) == "Query"
                if plain and param.name not in sent and self.lexicon.field_tier(param.name) == "strong":
                    self.analysis.own(unit).facts.append(
                        Fact(
                            "query-string",
                            unit,
                            unit.start,
                            unit.start,
                            unit.header_line or unit.line,
                            unit.header_line or unit.line,
                            f"?{param.name}=",
                            labels=(("phi-field", param.name),),
                        )
                    )
        for name in _ROUTE_NAME.findall(endpoint.path):
            if self.lexicon.field_tier(name) == "strong":
                line = endpoint.line or endpoint.unit.line
                self.analysis.own(unit).facts.append(
                    Fact(
                        "url",
                        unit,
                        unit.start,
                        unit.start,
                        line,
                        line,
                        endpoint.path[:80],
                        labels=(("phi-field", name),),
                    )
                )

    def limited(self, unit: Unit) -> None:
        """A generic view serves what its ``get_queryset`` leaves; one that calls elsewhere is judged there."""
        method = next((child for child in unit.children if child.name == "get_queryset"), None)
        if method is None:
            return
        reads = [f for f in self.analysis.own(method).facts if f.concept == "read"]
        for fact in self.analysis.own(unit).facts:
            if fact.concept.startswith("generic-"):
                fact.scoped = not reads or any(f.scoped for f in reads)
                fact.owned = not reads or any(f.owned for f in reads)

    def reread(self, unit: Unit) -> None:
        """Read a handler again now that it is known to be an endpoint: its parameters are client input."""
        extra = [f for f in self.analysis.own(unit).facts if f.framework == "route"]
        self.read(unit)
        self.analysis.own(unit).facts.extend(extra)

    def read(self, unit: Unit) -> None:
        own = UnitFacts(unit)
        endpoint, controls, calls = self.handlers.get(id(unit), (None, [], []))
        own.calls.extend(calls)
        self.analysis.units[id(unit)] = own
        state = Scope(self, own)
        own.facts.extend(controls)
        if endpoint is not None:
            self.analysis.endpoints[id(unit)] = endpoint
        self.decorators(unit, own)
        if id(unit) in self.tools or any(fact.concept == "model-tool" for fact in own.facts):
            state.answers = "prompt"
        known = self.analysis.endpoints.get(id(unit))
        state.shaped = ("a schema" if known.shaped else shaped_as(unit)) if known is not None else ""
        if unit.kind == "class":
            self.class_facts(unit, own)
        elif unit.kind == "function":
            signed(self, unit, own)
            self.named_endpoint(unit)
            state.bind_params(unit, is_endpoint=id(unit) in self.analysis.endpoints)
        if unit.kind == "function" and unit.parent is not None:
            cls = unit.parent if unit.parent.kind == "class" else None
            if cls is not None:
                held = self.class_env.get(id(cls), {})
                state.evaluator.env.update(held)
                row = held.get("self.get_queryset")
                for param in unit.params if row is not None else ():
                    if row is not None and param.name in (
                        "serializer",
                        "form",
                        "instance",
                    ):  # perform_create(self, serializer)
                        state.evaluator.env[param.name] = replace(
                            state.evaluator.env.get(param.name, NOTHING), resource=row.resource
                        )
        state.body(unit.body)
        if self.module.language == "python":  # rows = …filter(…); rows.exists(): a number is asked for, and no row
            unread = [fact for name, fact in state.queries.items() if name in state.counted - state.shown]
            for fact in unread:
                fact.call = f"{fact.call}.count"

    # -- matching ----------------------------------------------------------------------------------------------

    def kinds_of_names(self) -> dict[str, str]:
        """What local names are, by types and constructors; made once."""
        if self._kinds is None:
            self._kinds = kinds_of_names(self)
        return self._kinds

    def entries(self, links: list[Link], *, decorator: bool = False) -> list[tuple[Entry, int, bool]]:
        """Entries that the longest matching prefix of the chain spells, with the captured link."""
        return self.longest(links, decorator=decorator)[0]

    def longest(self, links: list[Link], *, decorator: bool = False) -> tuple[list[tuple[Entry, int, bool]], int]:
        """Those entries, and how many links the prefix has."""
        index = self.matchers.decorators if decorator else self.matchers.calls
        for size in _prefixes(len(links)):
            part = links[:size]
            out = []
            for pattern, value in index.candidates(part):
                entry = compiled(value)
                if entry.framework in self.active and self.conditions(entry, part):
                    _, captured, argument = pattern.match(part)
                    out.append((entry, captured, argument))
            if any(entry.concept not in VALUES for entry, _, _ in out) or (out and size == len(links)):
                return out, size
        return [], 0

    def by_module(self, link: Link) -> list[tuple[Entry, int, bool]]:
        """Audit entries that a bare name spells with its module in front: ``from .audit import record`` is ``audit.record``."""
        module, _, symbol = self.module.imports.get(link.name, "").rpartition(".")
        last = _AUDIT_MODULE.search(module)
        if last is None or link.args is None or not symbol:
            return []
        links = [Link(last[1].replace("-", "_"), None, None, link.expr), Link(symbol, link.args, link.key, link.expr)]
        return [found for found in self.longest(links)[0] if found[0].concept == "audit"]

    def spells(self, links: list[Link], concept: str) -> bool:
        """Whether exactly these links spell a concept."""
        found = (
            compiled(v)
            for _, v in self.matchers.calls.candidates(links)
            if isinstance(v, LazyEntry) and v.concept == concept
        )
        return any(entry.framework in self.active and self.conditions(entry, links) for entry in found)

    def assigned(self, links: list[Link]) -> list[Entry]:
        """Entries that an assignment to this place spells (``localStorage.draft = …``)."""
        found = (compiled(value) for _, value in self.matchers.assigns.candidates(links))
        return [entry for entry in found if entry.framework in self.active and self.conditions(entry, links)]

    def classify(self, links: list[Link]) -> frozenset[str]:
        """Concepts of :data:`VALUES` that any prefix of the chain spells."""
        key = names(links)
        known = self.concepts_memo.get(key)
        if known is None:
            found = set()
            for size in _prefixes(len(links)):
                for _, value in self.matchers.calls.candidates(links[:size]):
                    if (
                        isinstance(value, LazyEntry)
                        and (value.concept in VALUES or value.concept == "sanitize")
                        and value.framework in self.active
                        and not (isinstance(value.raw, dict) and "fills" in value.raw)
                    ):
                        found.add(value.concept)
            known = self.concepts_memo[key] = frozenset(found)
        return known

    def conditions(self, entry: Entry, links: list[Link]) -> bool:
        if entry.object is not None and (len(links) < 2 or not entry.object.matches(links[-2].name)):
            return False
        if (
            entry.kind in ("call", "handler")
            and links[-1].args is None
            and entry.concept not in VALUES
            and entry.concept != "scope"
            and (entry.concept != "authn" or not links[-1].name.startswith("is"))  # request.user.is_staff asks too
        ):
            return False
        args = [a for link in links for a in (link.args or ()) if a.name not in _WHERE_IT_HOLDS]
        for pairs, wanted in ((entry.where, True), (entry.unless_where, False)):
            for key, value in pairs:
                hit = any(has_argument(a.value, a.name, key, value) for a in args)
                if hit is not wanted:
                    return False
        if entry.kind == "decorator" and entry.unless is not None and entry.unless.matches(links[-1].name):
            return False
        return not (
            entry.argument is not None and not any(entry.argument.matches(n) for a in args for n in names_in(a.value))
        )

    def decorators(self, unit: Unit, own: UnitFacts) -> None:
        for decorator in unit.decorators:
            links = chain(decorator)
            if QUESTION.search(links[-1].name):
                own.questions.add(links[-1].name)
            if links[-1].name in _HOOK_DECORATORS:
                self.analysis.hooks.append(unit)
            for entry, _, _ in self.entries(links, decorator=True):
                if entry.of is not None and (unit.parent is None or not entry.of.matches(unit.parent.name)):
                    continue
                if entry.concept == "endpoint":
                    path = next((a.value.name for a in links[-1].args or () if a.value.kind in ("str", "fstr")), "")
                    router = links[-2].name if len(links) > 1 else ""
                    if self.module.language == "java":
                        path = whole_path(unit, path)
                    if unit.kind == "function" and (
                        self.module.language != "java" or unit.body
                    ):  # else a client's interface
                        self.analysis.endpoints[id(unit)] = Endpoint(
                            unit,
                            entry.framework,
                            router,
                            path,
                            decorator.line,
                            shaped=entry.shaped,
                            client=entry.client,
                        )
                    continue
                fact = self.fact(entry, unit, decorator, links)
                if entry.concept in ("write", "delete", "raw-sql"):
                    self.stated(fact, unit)
                own.facts.append(fact)
            for sub in subexpressions(decorator):
                if sub is not decorator and sub.kind in ("name", "attr", "call"):
                    for entry, _, _ in self.entries(chain(sub), decorator=True):
                        if entry.concept in ("authn", "audit", "opening", "scope", "object-check", "membership"):
                            own.facts.append(self.fact(entry, unit, sub, chain(sub)))
                    if sub.kind == "name":
                        own.calls.append((sub.name, sub))
                    for entry, _, _ in self.entries(chain(sub)) if sub.kind == "call" else ():
                        if (
                            entry.concept in SWITCHES
                        ):  # @Module({ imports: [TypeOrmModule.forRoot({ logging: true })] })
                            own.facts.append(self.fact(entry, unit, sub, chain(sub)))
            if links[-1].name and len(links) < 4:
                own.calls.append((names(links), decorator))

    def stated(self, fact: Fact, unit: Unit) -> None:
        """``@Modifying @Query("update Patient p set …")``: a statement that an annotation holds, on the rows of a repository."""
        texts = [chain(d) for d in unit.decorators if chain(d)[-1].name == "Query"]
        parsed = next((sql_of(t, Evaluator(self.lexicon, self.classify, self.module.language)) for t in texts), Sql())
        base = next((b for b in (unit.parent.bases if unit.parent is not None else ()) if b.kind == "sub"), None)
        fact.resource = resource_name(parsed.table or type_resource(base))
        fact.phi = self.lexicon.phi_resource(fact.resource)
        fact.text = parsed.text
        fact.scoped = any(self.lexicon.tenant_key(word) for word in parsed.words)
        self.analysis.shows_tenant |= fact.scoped

    def fact_at(self, concept: str, unit: Unit, expr: Expr, call: str) -> Fact:
        """A fact that no entry spells."""
        return Fact(concept, unit, expr.start, expr.end, expr.line, expr.end_line, call[:100])

    def fact(self, entry: Entry, unit: Unit, expr: Expr, links: list[Link]) -> Fact:
        return Fact(
            entry.concept, unit, expr.start, expr.end, expr.line, expr.end_line, names(links)[-100:],
            single=entry.single, bulk=entry.bulk, framework=entry.framework,
        )  # fmt: skip

    # -- classes -----------------------------------------------------------------------------------------------

    def class_values(self, unit: Unit) -> dict[str, Value]:
        """``self.x`` of a class: repositories by type, the model of a generic view."""
        env: dict[str, Value] = {}
        for stmt in unit.body:
            if stmt.kind == "assign" and stmt.targets and stmt.targets[0].kind == "name":
                name = stmt.targets[0].name
                resource = ""
                if name in ("queryset", "model", "serializer_class", "form_class", "resource"):
                    resource = root_name(stmt.value)
                elif stmt.value is not None and stmt.op == ":":
                    resource = type_resource(stmt.value)
                made = chain(stmt.value) if self.module.language == "java" and stmt.value is not None else []
                if stmt.op == "=" and len(made) == 1 and made[0].args is not None:  # private final X x = new X()
                    self.members.setdefault(id(unit), {})[name] = made[0].name
                if stmt.op == ":" and stmt.value is not None:
                    whole = names(chain(stmt.value)) if self.module.language == "go" else last_name(stmt.value)
                    self.members.setdefault(id(unit), {})[name] = whole
                if resource and resource[:1].isupper():
                    env[f"self.{name}"] = Value(resource=resource_name(resource), record=name != "serializer_class")
        for child in unit.children:
            if self.ruby:
                env.update(instance_rows(child))
            if child.name == "constructor":
                for param in child.params:
                    if param.annotation is not None:
                        self.members.setdefault(id(unit), {})[param.name] = last_name(param.annotation)
                    resource = type_resource(param.annotation) or decorated_resource(param)
                    if resource:
                        env[f"self.{param.name}"] = Value(resource=resource_name(resource))
        main = env.get("self.queryset") or env.get("self.model") or env.get("self.serializer_class")
        if main is not None:
            row = replace(main, record=True)
            for name in ("get_object", "get_queryset", "object", "queryset", "model"):
                env.setdefault(f"self.{name}", row)
        return env

    def class_facts(self, unit: Unit, own: UnitFacts) -> None:
        env = self.class_env[id(unit)]
        main = env.get("self.queryset") or env.get("self.model") or env.get("self.serializer_class") or NOTHING
        for base in unit.bases:
            name = last_name(base)
            dotted = names(chain(base))
            for entry in self.matchers.kinds.get("base", ()):
                if (
                    entry.framework in self.active
                    and entry.globs is not None
                    and (entry.globs.matches(name) or entry.globs.matches(dotted))
                ):
                    fact = self.fact(entry, unit, base, chain(base))
                    if entry.concept.startswith("generic-"):
                        fact.scoped, fact.owned = main.scoped, main.owned
                        fact.resource, fact.phi = main.resource, self.lexicon.phi_resource(main.resource)
                        self.analysis.endpoints.setdefault(
                            id(unit), Endpoint(unit, entry.framework, line=unit.header_line)
                        )
                    own.facts.append(fact)
        assigned = [s for s in unit.body if s.kind == "assign" and s.targets and s.targets[0].kind == "name"]
        for stmt in assigned:
            own.facts.extend(self.attribute_facts(unit, stmt.targets[0].name, stmt))
        model = (
            next((root_name(s.value) for s in assigned if s.targets[0].name == "model"), "")
            if unit.name in _OPTIONS
            else ""
        )
        if unit.name not in _OPTIONS and any(f.concept == "all-fields" for f in own.facts):
            inner = [s for child in unit.children if child.name in _OPTIONS for s in child.body if s.targets]
            said = {s.targets[0].name: s for s in inner}
            model = root_name(said["model"].value) if "model" in said and "fields" not in said else ""
        for fact in own.facts if model else ():
            if not fact.resource:
                fact.resource, fact.phi = resource_name(model), self.lexicon.phi_resource(model)
        if unit.name in _OPTIONS and unit.parent is not None and unit.parent.kind == "class":
            lifted = [
                f for f in own.facts if f.concept in HANDED
            ]  # what a class says in its options, it says of itself
            own.facts[:] = [f for f in own.facts if f not in lifted]
            self.analysis.own(unit.parent).facts.extend(lifted)

    def attribute_facts(self, unit: Unit, name: str, stmt: Stmt, owner: str = "") -> Iterator[Fact]:
        """Facts that an assignment to a class attribute, a setting or ``owner.attribute`` spells."""
        for entry in self.matchers.kinds.get("attribute", ()):
            if entry.framework in self.active and entry.globs is not None and entry.globs.matches(name):
                if owner and entry.object is not None and not entry.object.matches(owner):
                    continue
                inside = names_in(stmt.value) or ["[]"]
                if entry.value is not None and not any(entry.value.matches(n) for n in inside):
                    continue
                if entry.unless is not None and any(entry.unless.matches(n) for n in inside):
                    continue
                call = f"{name} = {', '.join(inside)}"[:100]
                yield Fact(
                    entry.concept,
                    unit,
                    stmt.start,
                    stmt.end,
                    stmt.line,
                    stmt.end_line,
                    call,
                    framework=entry.framework,
                )

    def named_endpoint(self, unit: Unit) -> None:
        """Endpoints by method name and base class, by first parameter, by file and function name."""
        parent = unit.parent
        for entry in self.matchers.kinds.get("method", ()):
            if (
                entry.concept == "endpoint"
                and entry.framework in self.active
                and parent is not None
                and parent.kind == "class"
                and entry.globs is not None
                and entry.globs.matches(unit.name)
                and entry.base is not None
                and _of_such_a_class(entry.base, parent)
                and (entry.of is None or entry.of.matches(parent.name))
                and (not self.ruby or is_action(unit))
            ):
                # resolve_patient answers for the attribute ``patient``, whose keywords hold for it
                router = unit.name.removeprefix(entry.text.removesuffix("*")) if entry.text.endswith("_*") else ""
                self.analysis.endpoints.setdefault(
                    id(unit),
                    Endpoint(
                        unit, entry.framework, router, line=unit.header_line, shaped=entry.shaped, client=entry.client
                    ),
                )
        for entry in self.matchers.kinds.get("directive", ()):
            if entry.framework in self.active and (
                _directive(unit.body) == entry.text
                or (unit.exported and parent is self.module.root and _directive(parent.body) == entry.text)
            ):
                self.analysis.endpoints.setdefault(id(unit), Endpoint(unit, entry.framework, line=unit.header_line))
        if parent is not None and parent.kind == "module":
            for entry in self.matchers.kinds.get("function_param", ()):
                if (
                    entry.framework in self.active
                    and unit.params
                    and entry.globs is not None
                    and entry.globs.matches(unit.params[0].name)
                    and not unit.name.startswith("_")
                ):
                    self.analysis.endpoints.setdefault(
                        id(unit), Endpoint(unit, entry.framework, line=unit.header_line, guessed=True)
                    )
            for entry in self.matchers.kinds.get("file", ()):
                if (
                    entry.function is not None
                    and entry.function.matches(unit.name)
                    and unit.exported
                    and path_matches(self.path, entry.text)
                ):
                    where = re.split(r"(?:^|/)(?:app|pages)/", self.path)[-1]
                    self.analysis.endpoints.setdefault(
                        id(unit), Endpoint(unit, entry.framework, path=where, line=unit.header_line)
                    )

    def param_facts(self, unit: Unit, param: Param, own: UnitFacts) -> bool:
        """Facts of one parameter (dependencies, annotated types). True when it carries the verified caller."""
        caller = False
        given = self.aliased(unit, param.annotation, own)
        sources = [e for e in (given, param.default, *param.decorators) if e is not None]
        for source in sources:
            for sub in subexpressions(source):
                if sub.kind == "call":
                    links = chain(sub)
                    inside = [n for a in links[-1].args or () for n in names_in(a.value)]
                    own.calls.extend((n, sub) for n in inside if "." not in n)
                    for entry in self.matchers.kinds.get("param", ()):
                        if (
                            entry.framework in self.active
                            and entry.globs is not None
                            and entry.globs.matches(links[-1].name)
                            and (entry.argument is None or any(entry.argument.matches(n) for n in inside))
                        ):
                            own.facts.append(self.fact(entry, unit, sub, links))
                            caller = caller or entry.concept in ("authn", "caller")
                elif sub.kind == "name":
                    for entry in self.matchers.kinds.get("annotation", ()):
                        if entry.framework in self.active and entry.globs is not None and entry.globs.matches(sub.name):
                            own.facts.append(self.fact(entry, unit, sub, chain(sub)))
                            caller = caller or entry.concept in ("authn", "caller")
        return caller

    def aliased(self, unit: Unit, annotation: Expr | None, own: UnitFacts) -> Expr | None:
        """What a type stands for: ``Reader = Annotated[User, Depends(require("read"))]``, here or in another file."""
        if self.module.language != "python" or annotation is None or annotation.kind != "name":
            return annotation
        stmt = self.made.get(annotation.name)
        if stmt is not None and annotated(stmt.value):
            return stmt.value
        if unit.decorators and annotation.name in self.module.imports:
            own.calls.append((annotation.name, annotation))
        return annotation


def _of_such_a_class(wanted: Glob, cls: Unit) -> bool:
    """Whether a class has such a base; any class that is not made to be mixed into one, where the base does not matter."""
    if wanted.anything:
        return not cls.name.endswith(("Mixin", "Base")) and not cls.name.startswith(("Base", "Abstract"))
    return any(wanted.matches(last_name(base)) or wanted.matches(names(chain(base))) for base in cls.bases)


def _directive(body: tuple[Stmt, ...]) -> str:
    """The text a body begins with, alone in its statement: ``"use server"``."""
    first = next((s for s in body if s.kind != "import"), None)
    return (
        first.value.name
        if first is not None and first.kind == "expr" and first.value is not None and first.value.kind == "str"
        else ""
    )
