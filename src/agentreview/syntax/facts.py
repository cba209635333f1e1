"""What the code of one file does, in framework-neutral words: facts, found once per file version.

:func:`analyse` reads every unit of a module in document order and returns an :class:`Analysis`. Facts of anonymous
callbacks belong to the unit around them (a transaction callback is part of its handler); route handlers are units of
their own. :mod:`agentreview.syntax.reach` answers which facts hold for a unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from agentreview.globs import matches as path_matches
from agentreview.syntax.frameworks import Entry, LazyEntry, Matchers
from agentreview.syntax.lexicon import Lexicon, resource_name
from agentreview.syntax.patterns import Link, chain, names
from agentreview.syntax.queries import Predicate, is_statement, predicate, sql_of
from agentreview.syntax.tree import Expr, Handler, Module, Param, Stmt, Unit, subexpressions
from agentreview.syntax.values import NOTHING, Evaluator, Value

_DATA = frozenset({"read", "write", "delete"})
_SINKS = frozenset({"log", "raise", "respond", "send"})
_VALUES = frozenset({"request", "caller", "redact"})  # say what an expression is; the evaluator uses them, they are no facts
_NOT_INPUT = frozenset(
    "self cls this request req res response reply next session db conn info context ctx user current_user currentUser background_tasks "
    "websocket settings tx client logger log args".split()
)
_SERVICE_TYPES = frozenset("Session AsyncSession Request Response HttpRequest HttpResponse BackgroundTasks User CurrentUser Connection WebSocket NextFunction NextResponse NextRequest Settings".split())
_FILTERS = frozenset("filter filter_by where andWhere exclude get_queryset scoped".split())
_COMPARISONS = frozenset({"==", "!=", "===", "!==", "is", "is not", "in", "not in", "<>"})
_SENT = frozenset({"Header", "Query", "Body", "Headers", "Path", "Param", "Form", "Cookie"})  # how a parameter says the client fills it
_CREATES = frozenset("create acreate save asave add add_all merge insert insertMany createMany createManyAndReturn bulk_create abulk_create bulkCreate values bulk_insert_mappings".split())
_QUESTION = re.compile(r"auth(?!or)|authori[sz]e|permi|allow|check|ensure|assert|require|verify|forbid|deny|guard|^(?:can|may|is_same|has)_?[a-zA-Z]|accessible|visible|_for_user|ForUser", re.IGNORECASE)
_HOOK_DECORATORS = frozenset({"before_request", "before_app_request", "middleware"})


@dataclass(slots=True, eq=False, repr=False)
class Fact:
    """One thing the code does. ``call`` is its callee chain, ``labels`` what a sink would reveal."""

    concept: str
    unit: Unit
    start: int
    end: int
    line: int
    end_line: int
    call: str
    resource: str = ""
    phi: bool = False
    certain: bool = True
    keyed: bool = False
    scoped: bool = False
    owned: bool = False
    single: bool = False
    bulk: bool = False
    dynamic: bool = False
    tainted: bool = False
    explicit: bool = False
    text: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    framework: str = ""
    via: str = ""  # the helper or base class that lends it


@dataclass(slots=True, eq=False, repr=False)
class Endpoint:
    """A unit that answers requests: where it is registered and what runs in front of it."""

    unit: Unit
    framework: str
    router: str = ""
    path: str = ""
    line: int = 0
    guessed: bool = False  # by the name of its first parameter alone: a helper or a middleware looks the same


@dataclass(slots=True, eq=False, repr=False)
class UnitFacts:
    """Facts a unit itself holds: in its body, its decorators and parameters; and the helpers it calls."""

    unit: Unit
    facts: list[Fact] = field(default_factory=list)
    calls: list[tuple[str, Expr]] = field(default_factory=list)  # names of possible helpers: ``foo``, ``self.foo``
    tries: list[Stmt] = field(default_factory=list)
    catches: list[tuple[Expr, Unit]] = field(default_factory=list)  # promise.catch(callback)
    suppressed: list[Stmt] = field(default_factory=list)  # with suppress(...)
    tenant_inputs: list[Expr] = field(default_factory=list)
    questions: set[str] = field(default_factory=set)  # callees that are given the caller, or ask by their name


@dataclass(slots=True, eq=False, repr=False)
class Analysis:
    """Everything known of one version of one file."""

    module: Module
    path: str
    units: dict[int, UnitFacts]
    endpoints: dict[int, Endpoint]
    routers: dict[str, list[Fact]]
    hooks: list[Unit]
    lexicon: Lexicon
    names: dict[str, Unit]
    shows_tenant: bool = False

    def own(self, unit: Unit) -> UnitFacts:
        """Facts of a unit (empty for one that was merged into another)."""
        return self.units.get(id(unit)) or UnitFacts(unit)


def analyse(module: Module, path: str, matchers: Matchers, lexicon: Lexicon) -> Analysis:
    """Read every unit of the module. Linear in its size."""
    reader = _Reader(module, path, matchers, lexicon.for_file(path, module.source))
    return reader.run()


class _Reader:
    def __init__(self, module: Module, path: str, matchers: Matchers, lexicon: Lexicon) -> None:
        self.module, self.path, self.matchers, self.lexicon = module, path, matchers, lexicon
        self.active = matchers.active(module.imports.values())
        by_name: dict[str, Unit] = {}
        for unit in module.units:
            if unit.kind != "module" and not unit.anonymous:
                by_name.setdefault(unit.qualname, unit)
        self.analysis = Analysis(module, path, {}, {}, {}, [], lexicon, by_name)
        self.class_env: dict[int, dict[str, Value]] = {}
        self.pending_routes: list[tuple[str, Endpoint, list[Fact]]] = []
        self.concepts_memo: dict[str, frozenset[str]] = {}
        self.handlers: dict[int, tuple[Endpoint, list[Fact]]] = {}

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
        for name, endpoint, controls in self.pending_routes:
            for unit in by_short.get(name.rsplit(".", 1)[-1], ())[:1]:
                known = self.analysis.endpoints.get(id(unit))
                if known is None:
                    self.analysis.endpoints[id(unit)] = Endpoint(unit, endpoint.framework, endpoint.router, endpoint.path, endpoint.line)
                self.analysis.own(unit).facts.extend(replace(f, unit=unit) for f in controls)
                self.reread(unit)
        for unit in self.module.units:
            if unit.kind == "class":
                self.limited(unit)
        return self.analysis

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

    def read(self, unit: Unit, endpoint: Endpoint | None = None, controls: Iterable[Fact] = ()) -> None:
        own = UnitFacts(unit)
        self.analysis.units[id(unit)] = own
        state = _Scope(self, own)
        if endpoint is not None:
            self.analysis.endpoints[id(unit)] = endpoint
            own.facts.extend(controls)
        self.decorators(unit, own)
        if unit.kind == "class":
            self.class_facts(unit, own)
        elif unit.kind == "function":
            self.named_endpoint(unit)
            state.bind_params(unit, is_endpoint=id(unit) in self.analysis.endpoints)
        if unit.kind == "function" and unit.parent is not None:
            cls = unit.parent if unit.parent.kind == "class" else None
            if cls is not None:
                held = self.class_env.get(id(cls), {})
                state.evaluator.env.update(held)
                row = held.get("self.get_queryset")
                for param in unit.params if row is not None else ():
                    if row is not None and param.name in ("serializer", "form", "instance"):  # perform_create(self, serializer)
                        state.evaluator.env[param.name] = replace(state.evaluator.env.get(param.name, NOTHING), resource=row.resource)
        state.body(unit.body)

    # -- matching ----------------------------------------------------------------------------------------------

    def entries(self, links: list[Link], *, decorator: bool = False) -> list[tuple[Entry, int, bool]]:
        """Entries that the longest matching prefix of the chain spells, with the captured link."""
        index = self.matchers.decorators if decorator else self.matchers.calls
        for size in range(len(links), 0, -1):
            part = links[:size]
            out = []
            for pattern, value in index.candidates(part):
                entry = _entry(value)
                if entry.framework in self.active and self.conditions(entry, part):
                    _, captured, argument = pattern.match(part)
                    out.append((entry, captured, argument))
            if any(entry.concept not in _VALUES for entry, _, _ in out) or (out and size == len(links)):
                return out
        return []

    def classify(self, links: list[Link]) -> frozenset[str]:
        """Concepts of :data:`_VALUES` that any prefix of the chain spells."""
        key = names(links)
        known = self.concepts_memo.get(key)
        if known is None:
            found = set()
            for size in range(len(links), 0, -1):
                for _, value in self.matchers.calls.candidates(links[:size]):
                    if isinstance(value, LazyEntry) and value.concept in _VALUES and value.framework in self.active:
                        found.add(value.concept)
            known = self.concepts_memo[key] = frozenset(found)
        return known

    def conditions(self, entry: Entry, links: list[Link]) -> bool:
        if entry.object is not None and (len(links) < 2 or not entry.object.matches(links[-2].name)):
            return False
        if entry.kind == "call" and links[-1].args is None and entry.concept not in _VALUES and entry.concept != "scope":
            if entry.concept != "authn" or not links[-1].name.startswith("is"):  # request.user.is_staff is a question too
                return False
        args = [a for link in links for a in (link.args or ())]
        for pairs, wanted in ((entry.where, True), (entry.unless_where, False)):
            for key, value in pairs:
                hit = any(_has(a.value, a.name, key, value) for a in args)
                if hit is not wanted:
                    return False
        return not (entry.argument is not None and not any(entry.argument.matches(n) for a in args for n in _names_in(a.value)))

    def decorators(self, unit: Unit, own: UnitFacts) -> None:
        for decorator in unit.decorators:
            links = chain(decorator)
            if links[-1].name in _HOOK_DECORATORS:
                self.analysis.hooks.append(unit)
            for entry, _, _ in self.entries(links, decorator=True):
                if entry.concept == "endpoint":
                    path = next((a.value.name for a in links[-1].args or () if a.value.kind in ("str", "fstr")), "")
                    router = links[-2].name if len(links) > 1 else ""
                    if unit.kind == "function":
                        self.analysis.endpoints[id(unit)] = Endpoint(unit, entry.framework, router, path, decorator.line)
                    continue
                own.facts.append(self.fact(entry, unit, decorator, links))
            for sub in subexpressions(decorator):
                if sub is not decorator and sub.kind in ("name", "attr", "call"):
                    for entry, _, _ in self.entries(chain(sub), decorator=True):
                        if entry.concept in ("authn", "audit", "opening", "scope", "object-check", "membership"):
                            own.facts.append(self.fact(entry, unit, sub, chain(sub)))
                    if sub.kind == "name":
                        own.calls.append((sub.name, sub))

    def fact(self, entry: Entry, unit: Unit, expr: Expr, links: list[Link]) -> Fact:
        return Fact(
            entry.concept, unit, expr.start, expr.end, expr.line, expr.end_line, names(links)[-100:],
            single=entry.single, bulk=entry.bulk, framework=entry.framework, explicit=entry.concept == "opening",
        )  # fmt: skip

    # -- classes -----------------------------------------------------------------------------------------------

    def class_values(self, unit: Unit) -> dict[str, Value]:
        """``self.x`` of a class: repositories by type, the model of a generic view."""
        env: dict[str, Value] = {}
        evaluator = Evaluator(self.lexicon, self.classify)
        for stmt in unit.body:
            if stmt.kind == "assign" and stmt.targets and stmt.targets[0].kind == "name":
                name = stmt.targets[0].name
                resource = ""
                if name in ("queryset", "model", "serializer_class", "form_class", "resource"):
                    resource = _root_name(stmt.value)
                elif stmt.value is not None and stmt.op == ":":
                    resource = _type_resource(stmt.value)
                if resource and resource[:1].isupper():
                    env[f"self.{name}"] = Value(resource=resource_name(resource), record=name != "serializer_class")
        for child in unit.children:
            if child.name == "constructor":
                for param in child.params:
                    resource = _type_resource(param.annotation) or _decorated_resource(param)
                    if resource:
                        env[f"self.{param.name}"] = Value(resource=resource_name(resource))
        main = env.get("self.queryset") or env.get("self.model") or env.get("self.serializer_class")
        if main is not None:
            row = replace(main, record=True)
            for name in ("get_object", "get_queryset", "object", "queryset", "model"):
                env.setdefault(f"self.{name}", row)
        del evaluator
        return env

    def class_facts(self, unit: Unit, own: UnitFacts) -> None:
        env = self.class_env[id(unit)]
        main = env.get("self.queryset") or env.get("self.model") or env.get("self.serializer_class") or NOTHING
        for base in unit.bases:
            name = _last_name(base)
            for entry in self.matchers.kinds.get("base", ()):
                if entry.framework in self.active and entry.globs is not None and entry.globs.matches(name):
                    fact = self.fact(entry, unit, base, chain(base))
                    if entry.concept.startswith("generic-"):
                        fact.scoped, fact.owned = main.scoped, main.owned
                        fact.resource, fact.phi = main.resource, self.lexicon.phi_resource(main.resource)
                        self.analysis.endpoints.setdefault(id(unit), Endpoint(unit, entry.framework, line=unit.header_line))
                    own.facts.append(fact)
        for stmt in unit.body:
            if stmt.kind == "assign" and stmt.targets and stmt.targets[0].kind == "name":
                own.facts.extend(self.attribute_facts(unit, stmt.targets[0].name, stmt))

    def attribute_facts(self, unit: Unit, name: str, stmt: Stmt) -> Iterator[Fact]:
        """Facts that an assignment to a class attribute, a setting or ``row.attribute`` spells."""
        for entry in self.matchers.kinds.get("attribute", ()):
            if entry.framework in self.active and entry.globs is not None and entry.globs.matches(name):
                inside = _names_in(stmt.value) or ["[]"]
                if entry.value is not None and not any(entry.value.matches(n) for n in inside):
                    continue
                if entry.unless is not None and any(entry.unless.matches(n) for n in inside):
                    continue
                call = f"{name} = {', '.join(inside)}"[:100]
                yield Fact(entry.concept, unit, stmt.start, stmt.end, stmt.line, stmt.end_line, call, framework=entry.framework, explicit=entry.concept == "opening")

    def named_endpoint(self, unit: Unit) -> None:
        """Endpoints by method name and base class, by first parameter, by file and function name."""
        parent = unit.parent
        for entry in self.matchers.kinds.get("method", ()):
            if entry.concept == "endpoint" and entry.framework in self.active and parent is not None and parent.kind == "class" and entry.globs is not None and entry.globs.matches(unit.name):
                if entry.base is not None and any(entry.base.matches(_last_name(b)) for b in parent.bases):
                    self.analysis.endpoints.setdefault(id(unit), Endpoint(unit, entry.framework, line=unit.header_line))
        if parent is not None and parent.kind == "module":
            for entry in self.matchers.kinds.get("function_param", ()):
                if entry.framework in self.active and unit.params and entry.globs is not None and entry.globs.matches(unit.params[0].name) and not unit.name.startswith("_"):
                    self.analysis.endpoints.setdefault(id(unit), Endpoint(unit, entry.framework, line=unit.header_line, guessed=True))
            for entry in self.matchers.kinds.get("file", ()):
                if entry.function is not None and entry.function.matches(unit.name) and unit.exported and _path_matches(self.path, entry.text):
                    where = re.split(r"(?:^|/)(?:app|pages)/", self.path)[-1]
                    self.analysis.endpoints.setdefault(id(unit), Endpoint(unit, entry.framework, path=where, line=unit.header_line))

    def param_facts(self, unit: Unit, param: Param, own: UnitFacts) -> bool:
        """Facts of one parameter (dependencies, annotated types). True when it carries the verified caller."""
        caller = False
        sources = [e for e in (param.annotation, param.default, *param.decorators) if e is not None]
        for source in sources:
            for sub in subexpressions(source):
                if sub.kind == "call":
                    links = chain(sub)
                    inside = [n for a in links[-1].args or () for n in _names_in(a.value)]
                    own.calls.extend((n, sub) for n in inside if "." not in n)
                    for entry in self.matchers.kinds.get("param", ()):
                        if entry.framework in self.active and entry.globs is not None and entry.globs.matches(links[-1].name):
                            if entry.argument is None or any(entry.argument.matches(n) for n in inside):
                                own.facts.append(self.fact(entry, unit, sub, links))
                                caller = caller or entry.concept in ("authn", "caller")
                elif sub.kind == "name":
                    for entry in self.matchers.kinds.get("annotation", ()):
                        if entry.framework in self.active and entry.globs is not None and entry.globs.matches(sub.name):
                            own.facts.append(self.fact(entry, unit, sub, chain(sub)))
                            caller = caller or entry.concept in ("authn", "caller")
        return caller


class _Scope:
    """Reads one unit's body: keeps the environment, finds facts, descends into callbacks."""

    def __init__(self, reader: _Reader, own: UnitFacts) -> None:
        self.reader, self.own, self.unit = reader, own, own.unit
        self.lexicon = reader.lexicon
        self.evaluator = Evaluator(reader.lexicon, reader.classify)
        self.dirty: dict[str, Stmt] = {}
        self.depth = 0

    def bind_params(self, unit: Unit, *, is_endpoint: bool) -> None:
        for param in unit.params:
            caller = self.reader.param_facts(unit, param, self.own)
            resource = _type_resource(param.annotation)
            type_name = _last_name(param.annotation) if param.annotation is not None else ""
            decorated = any(chain(d)[-1].name in ("Body", "Param", "Query", "Headers", "Req") for d in param.decorators)
            client = decorated or (
                is_endpoint and not caller and param.name not in _NOT_INPUT and type_name not in _SERVICE_TYPES
                and not any(chain(e)[-1].name in ("Depends", "Security", "Inject") for e in (param.default,) if e is not None)
            )  # fmt: skip
            chosen = [chain(e)[-1].name for e in (param.default, *param.decorators) if e is not None and e.kind in ("call", "name")]
            if client and param.name and self.lexicon.tenant_key(param.name.removeprefix("x_")):
                endpoint = self.reader.analysis.endpoints.get(id(unit))
                if _SENT & {*chosen} or (endpoint is not None and re.search(rf"[{{<:]{re.escape(param.name)}\b", endpoint.path)):
                    self.own.tenant_inputs.append(_parameter(param.name, unit, self.reader.module.source))
            for name in (param.name, *param.names):
                if not name:
                    continue
                record = bool(resource) and self.lexicon.phi_resource(resource) and not client
                known = Value(resource=resource if record else "", record=record, request=client and name not in _NOT_INPUT, caller=caller)
                if record or known.request or caller:
                    label = NOTHING if record else self.evaluator.chain_value(_name_expr(name, unit), 0)
                    self.evaluator.env[name] = replace(known, labels=label.labels if not caller else frozenset())

    def body(self, stmts: tuple[Stmt, ...]) -> None:
        for stmt in stmts:
            self.statement(stmt)

    def statement(self, stmt: Stmt) -> None:
        kind = stmt.kind
        if kind in ("def", "class", "import"):
            return
        if kind == "assign":
            self.switched(stmt)
            self.assign(stmt)
        else:
            if stmt.value is not None:
                self.visit(stmt.value)
            for target in stmt.targets:
                self.visit(target)
        if kind in ("for", "with") and stmt.targets:
            self.bind(stmt.targets, stmt.value)
        if kind == "with" and stmt.value is not None and chain(stmt.value)[-1].name == "suppress":
            self.own.suppressed.append(stmt)
        if kind == "raise" and stmt.value is not None:
            self.raised(stmt)
        if kind == "return" and stmt.value is not None and self.unit.kind == "function":
            labels = tuple(sorted(self.evaluator.revealed(stmt.value)))
            if labels:
                self.own.facts.append(Fact("respond", self.unit, stmt.start, stmt.end, stmt.line, stmt.end_line, "return", labels=labels))
        if kind == "try":
            self.own.tries.append(stmt)
        self.body(stmt.body)
        for handler in stmt.handlers:
            self.body(handler.body)
        self.body(stmt.orelse)
        self.body(stmt.final)

    def switched(self, stmt: Stmt) -> None:
        """``patient.skip_history_when_saving = True``: assignments that framework files spell as calls."""
        for target in stmt.targets:
            if target.kind == "attr":
                links = chain(target)
                links[-1] = Link(links[-1].name, (), None, target)
                for entry, captured, argument in self.reader.entries(links):
                    if entry.concept == "audit-off":
                        fact = self.reader.fact(entry, self.unit, target, links)
                        fact.resource = self.captured(links, captured, argument=argument) if captured >= 0 else self._resource_of(target.base) if target.base else ""
                        fact.phi = self.lexicon.phi_resource(fact.resource)
                        self.own.facts.append(fact)

    def raised(self, stmt: Stmt) -> None:
        value = stmt.value
        if value is None:
            return
        labels: set[tuple[str, str]] = set()
        links = chain(value)
        for link in links:
            for arg in link.args or ():
                labels |= self.evaluator.revealed(arg.value)
        if links[-1].args is None:  # raise PermissionDenied
            called = [*links[:-1], Link(links[-1].name, (), links[-1].key, links[-1].expr)]
            self.own.facts.extend(self.reader.fact(e, self.unit, value, links) for e, _, _ in self.reader.entries(called) if e.concept in ("authn", "deny"))
        self.own.facts.append(Fact("raise", self.unit, stmt.start, stmt.end, stmt.line, stmt.end_line, names(links)[-100:], labels=tuple(sorted(labels))))

    def assign(self, stmt: Stmt) -> None:
        if stmt.value is not None:
            self.visit(stmt.value)
        for target in stmt.targets:
            if target.kind == "name" and self.unit.kind == "module":  # settings: MIDDLEWARE = [...], AUDIT_ENABLED = False
                self.own.facts.extend(self.reader.attribute_facts(self.unit, target.name, stmt))
            if target.kind == "attr" and self.unit.kind != "class":  # row.skip_history_when_saving = True
                self.own.facts.extend(f for f in self.reader.attribute_facts(self.unit, target.name, stmt) if f.concept == "audit-off")
            if target.kind in ("attr", "sub"):
                self.visit(target)
                if target.kind == "attr" and target.base is not None:
                    row = self.evaluator.value(target.base)
                    if row.record and row.resource and row.certain:
                        self.dirty[row.resource] = stmt
        self.bind(stmt.targets, stmt.value, augmented=stmt.op not in ("=", ":"))
        if stmt.value is not None and len(stmt.targets) == 1 and stmt.targets[0].kind == "name":
            self.evaluator.assigned[stmt.targets[0].name] = stmt.value
            if stmt.value.kind == "call":
                self.router(stmt.targets[0].name, stmt.value)

    def router(self, name: str, call: Expr) -> None:
        """``router = APIRouter(dependencies=[…])``: what holds for everything registered on it."""
        links = chain(call)
        for entry in self.reader.matchers.kinds.get("keyword", ()):
            if entry.framework in self.reader.active and entry.of is not None and entry.of.matches(links[-1].name):
                for arg in links[-1].args or ():
                    if arg.name == entry.text and (entry.argument is None or any(entry.argument.matches(n) for n in _names_in(arg.value))):
                        self.reader.analysis.routers.setdefault(name, []).append(self.reader.fact(entry, self.unit, call, links))

    def bind(self, targets: tuple[Expr, ...], source: Expr | None, *, augmented: bool = False) -> None:
        value = self.evaluator.value(source)
        env = self.evaluator.env
        for target in targets:
            if target.kind == "name":
                if augmented and target.name in env:
                    old = env[target.name]
                    value = replace(old, labels=old.labels | value.labels, request=old.request or value.request)
                env[target.name] = value
            elif target.kind == "dict":  # const { orgId, from } = req.body
                for arg in target.args:
                    bound = arg.value
                    if bound.kind == "name" and arg.name:
                        part = self.evaluator._field(replace(value, body=False), arg.name, [_link("_"), _link(arg.name)], 1)  # noqa: SLF001
                        env[bound.name] = part
                        if value.request and self.lexicon.tenant_key(arg.name):
                            self.own.tenant_inputs.append(bound)
            elif target.kind == "list":
                for item in target.items:
                    if item.kind == "name":
                        env[item.name] = value
            elif target.kind == "attr" and target.base is not None and target.base.kind == "name" and target.base.name in ("self", "this"):
                env[f"self.{target.name}"] = value

    # -- expressions -------------------------------------------------------------------------------------------

    def visit(self, expr: Expr) -> None:
        self.depth += 1
        if self.depth <= 200:
            self._visit(expr)
        self.depth -= 1

    def _visit(self, expr: Expr) -> None:
        kind = expr.kind
        if kind in ("call", "attr", "sub"):
            links = chain(expr)
            root = links[0]
            if root.name == "?" and root.expr.kind not in ("call", "attr", "sub", "name"):
                self.visit(root.expr)
            for link in links:
                if link.key is not None:
                    self.visit(link.key)
                for arg in link.args or ():
                    if arg.value.kind != "func":
                        self.visit(arg.value)
            self.spelled(expr, links)
            for link in links:
                for arg in link.args or ():
                    if arg.value.kind == "func" and arg.value.unit is not None:
                        self.callback(arg.value.unit)
            return
        if kind == "func" and expr.unit is not None:
            if expr.unit.anonymous:
                self.callback(expr.unit)
            return
        if kind == "other" and expr.name == ":=" and len(expr.items) == 2:
            self.visit(expr.items[1])
            self.bind(expr.items[:1], expr.items[1])
            return
        for item in expr.items:
            self.visit(item)
        for arg in expr.args:
            self.visit(arg.value)
        if kind == "bin" and len(expr.items) == 2 and expr.name.strip() in _COMPARISONS:
            self.compared(expr)

    def compared(self, expr: Expr) -> None:
        """``org_id != request.user.org_id`` is a membership check, ``note.author_id == user.id`` an object check."""
        left, right = self.evaluator.value(expr.items[0]), self.evaluator.value(expr.items[1])
        if left.caller == right.caller:
            return
        side, other = (expr.items[0], right) if left.caller else (expr.items[1], left)
        del other
        foreign = expr.items[1] if side is expr.items[0] else expr.items[0]
        if foreign.kind not in ("name", "attr", "sub", "call") or foreign.name in ("None", "null") or chain(foreign)[0].name[:1].isupper():
            return  # ``Draft.org_id == user.org_id`` is a column expression of a query
        last = chain(foreign)[-1]
        name = last.key.name if last.key is not None and last.key.kind == "str" else last.name
        concept = "membership" if self.lexicon.tenant_key(name) else "object-check" if self.lexicon.owner_key(name) or len(chain(foreign)) > 1 else ""
        if concept:
            text = f"{names(chain(foreign))} {expr.name.strip()} {names(chain(side))}"
            self.own.facts.append(Fact(concept, self.unit, expr.start, expr.end, expr.line, expr.end_line, text[-100:], framework="comparison"))

    def callback(self, unit: Unit) -> None:
        if id(unit) in self.reader.handlers:
            endpoint, controls = self.reader.handlers[id(unit)]
            self.reader.read(unit, endpoint, controls)
            return
        if not unit.anonymous:
            return
        self.bind_params(unit, is_endpoint=False)
        self.body(unit.body)

    def spelled(self, expr: Expr, links: list[Link]) -> None:
        """Record the facts one chain spells, and its helpers, routes and client-sent tenant keys."""
        if links[-1].args is not None:
            last = links[-1]
            if _QUESTION.search(last.name) or any(self.evaluator.value(a.value).caller for a in last.args):
                self.own.questions.add(last.name)
            if len(links) == 1:
                self.own.calls.append((last.name, expr))
            elif len(links) == 2 and links[0].name in ("self", "this", "cls", "super"):
                self.own.calls.append((f"self.{last.name}", expr))
            if last.name == "catch" and last.args and last.args[0].value.unit is not None:
                self.own.catches.append((expr, last.args[0].value.unit))
            if last.name in ("commit", "flush") and self.dirty:
                for resource, stmt in self.dirty.items():
                    self.own.facts.append(Fact("write", self.unit, stmt.start, stmt.end, stmt.line, stmt.end_line, f"{resource} attributes, then {names(links)}", resource=resource, phi=self.lexicon.phi_resource(resource)))
                self.dirty.clear()
        if self._tenant_input(expr, links):
            self.own.tenant_inputs.append(expr)
        matched = self.reader.entries(links)
        if links[-1].name in _FILTERS and links[-1].args is not None:
            self.filtered(expr, links)
        concepts = {entry.concept for entry, _, _ in matched}
        drop = ({"read", "write"} if "delete" in concepts else {"read"} if "write" in concepts else set()) | ({"log"} if "audit" in concepts else set())
        seen: set[str] = set()
        for entry, captured, argument in matched:
            if entry.kind == "route":
                self.route(entry, expr, links)
                continue
            concept = entry.concept
            if concept in _VALUES or concept in drop or concept in seen:
                continue
            seen.add(concept)
            fact = self.reader.fact(entry, self.unit, expr, links)
            if concept in _DATA:
                self.query(fact, entry, expr, links, captured, argument)
            elif concept == "raw-sql":
                self.sql(fact, expr, links)
                if not is_statement(fact.text):
                    continue
            elif concept in _SINKS:
                labels = {label for link in links for a in link.args or () for label in self._argument_labels(a.name, a.value)}
                fact.labels = tuple(sorted(labels))
            elif captured >= 0 or argument:
                fact.resource = self.captured(links, captured, argument=argument)
                fact.phi = self.lexicon.phi_resource(fact.resource)
            self.own.facts.append(fact)

    def filtered(self, expr: Expr, links: list[Link]) -> None:
        """``qs.filter(org=…)`` on something unknown: no query of its own, but it limits what the variable holds."""
        found = predicate(links, self.evaluator, self.lexicon)
        if found.scoped or found.owned:
            self.own.facts.append(Fact("filter", self.unit, expr.start, expr.end, expr.line, expr.end_line, names(links)[-100:], scoped=found.scoped, owned=found.owned))
            self.reader.analysis.shows_tenant |= found.mentions_tenant
            held = self.evaluator.chain_value(expr, 0)
            self.narrowed(self.evaluator.env.get(links[0].name, NOTHING).resource, found)
            self.evaluator.known.setdefault(id(expr), replace(held, scoped=held.scoped or found.scoped, owned=held.owned or found.owned))

    def narrowed(self, resource: str, found: Predicate) -> None:
        """``rows = rows.filter(org=…)``: an earlier query of these rows is limited in a later step."""
        for earlier in self.own.facts if resource and (found.scoped or found.owned) else ():
            if earlier.concept == "read" and earlier.resource == resource:
                earlier.scoped, earlier.owned = earlier.scoped or found.scoped, earlier.owned or found.owned

    def _argument_labels(self, name: str | None, value: Expr) -> set[tuple[str, str]]:
        labels = set(self.evaluator.revealed(value))
        if name and not labels and value.kind in ("name", "attr", "sub") and self.lexicon.field_tier(name) == "strong":
            labels.add(("phi-field", name))
        return labels

    def query(self, fact: Fact, entry: Entry, expr: Expr, links: list[Link], captured: int, argument: bool) -> None:
        if entry.resource >= 0:
            args = links[-1].args or ()
            fact.resource = self._resource_of(args[entry.resource].value) if entry.resource < len(args) else ""
        else:
            fact.resource = self.captured(links, captured, argument=argument)
        fact.phi = self.lexicon.phi_resource(fact.resource)
        found: Predicate = predicate(links, self.evaluator, self.lexicon)
        base = self.evaluator.env.get(links[0].name, NOTHING)
        held = self.evaluator.env.get(f"self.{links[1].name}", NOTHING) if len(links) > 1 and links[0].name in ("self", "this") else NOTHING
        if not fact.resource and held.resource:  # self.get_object(): the row of the class's model
            fact.resource, fact.phi = held.resource, self.lexicon.phi_resource(held.resource)
        fact.keyed = found.keyed and not (fact.concept == "write" and links[-1].name in _CREATES)
        fact.scoped = found.scoped or base.scoped or held.scoped or _class_rows(links)
        fact.owned = found.owned or base.owned or held.owned
        fact.tainted = found.request
        fact.single = fact.single or found.single
        if found.mentions_tenant:
            self.reader.analysis.shows_tenant = True
        if base.resource == fact.resource:
            self.narrowed(fact.resource, found)
        self.evaluator.known[id(expr)] = Value(resource=fact.resource, record=bool(fact.resource), scoped=fact.scoped, owned=fact.owned, keyed=fact.keyed)

    def captured(self, links: list[Link], index: int, *, argument: bool) -> str:
        if index < 0:
            return ""
        link = links[index]
        if argument:
            return self._resource_of(link.args[0].value) if link.args else ""
        if index == 1 and links[0].name in ("self", "this"):
            held = self.evaluator.env.get(f"self.{link.name}")
            if held is not None and held.resource:
                return held.resource
        if index == 0:
            if link.name in ("self", "this", "cls"):
                return self.unit.parent.name if self.unit.parent is not None and self.unit.parent.kind == "class" else ""
            held = self.evaluator.env.get(link.name)
            if held is not None and held.resource:
                return held.resource
        return resource_name(link.name)

    def _resource_of(self, expr: Expr) -> str:
        value = self.evaluator.value(expr)
        if value.resource:
            return value.resource
        if expr.kind == "str":
            return resource_name(expr.name)
        if expr.kind == "list" and expr.items:
            return self._resource_of(expr.items[0])
        links = chain(expr)
        root = links[0].name
        if root == "?" or (root in ("self", "this") and len(links) < 2):
            return ""
        pick = next((link.name for link in links if link.name[:1].isupper()), root if root not in ("self", "this") else links[1].name)
        return resource_name(pick)

    def sql(self, fact: Fact, expr: Expr, links: list[Link]) -> None:
        parsed = sql_of(links, self.evaluator)
        fact.text, fact.dynamic, fact.tainted = parsed.text, parsed.dynamic, parsed.tainted
        fact.scoped = any(self.lexicon.tenant_key(word) for word in parsed.words)
        if fact.scoped:
            self.reader.analysis.shows_tenant = True
        self.reader.analysis.shows_tenant |= fact.scoped
        fact.resource = parsed.table
        fact.phi = self.lexicon.phi_resource(parsed.table)

    def _tenant_input(self, expr: Expr, links: list[Link]) -> bool:
        last = links[-1]
        name = ""
        if last.key is not None and last.key.kind == "str":
            name = last.key.name
        elif last.args and last.args[0].value.kind == "str":
            name = last.args[0].value.name
        elif last.args is None and len(links) > 1:
            name = last.name
        name = name.lower().removeprefix("x-").replace("-", "_")
        if not name or not self.lexicon.tenant_key(name) or "caller" in self.reader.classify(links):
            return False
        held = self.evaluator.env.get(links[0].name, NOTHING)
        return "request" in self.reader.classify(links) or (len(links) + (last.key is not None) > 1 and held.request and not held.resource)

    def route(self, entry: Entry, expr: Expr, links: list[Link]) -> None:
        """``router.get(path, ...middleware, handler)``."""
        args = links[-1].args or ()
        if len(args) < 2:
            return
        path = args[0].value.name if args[0].value.kind in ("str", "fstr") else ""
        router = links[-2].name if len(links) > 1 else ""
        endpoint = Endpoint(self.unit, entry.framework, router, path, expr.line)
        controls: list[Fact] = []
        handlers: list[Unit] = []
        named: list[str] = []
        for position, arg in enumerate(args[1:], 2):
            inner = [s.unit for s in subexpressions(arg.value) if s.kind == "func" and s.unit is not None]
            if inner:
                handlers.append(inner[0])
            for item in arg.value.items if arg.value.kind == "list" else (arg.value,):
                if item.kind in ("name", "attr", "call"):
                    controls.extend(self.middleware(item))
                    if position == len(args) and item.kind != "call":
                        named.append(chain(item)[-1].name)
        for unit in handlers:
            unit_endpoint = Endpoint(unit, entry.framework, router, path, expr.line)
            self.reader.handlers[id(unit)] = (unit_endpoint, [replace(f, unit=unit) for f in controls])
        for name in named:
            self.reader.pending_routes.append((name, endpoint, controls))

    def middleware(self, expr: Expr) -> list[Fact]:
        out: list[Fact] = []
        links = chain(expr)
        if links[-1].args is None:
            links = [*links[:-1], Link(links[-1].name, (), links[-1].key, links[-1].expr)]
        for entry, _, _ in (*self.reader.entries(links, decorator=True), *self.reader.entries(links)):
            if entry.concept not in _DATA and entry.concept not in _VALUES and entry.kind != "route" and not any(f.concept == entry.concept for f in out):
                fact = self.reader.fact(entry, self.unit, expr, links)
                fact.framework = "route"
                out.append(fact)
        return out


def _entry(value: object) -> Entry:
    if not isinstance(value, LazyEntry):
        raise TypeError("the index holds what matchers() filed")
    return value.get()


# -- small helpers -------------------------------------------------------------------------------------------------


def _class_rows(links: list[Link]) -> bool:
    """``self.get_queryset().filter(…)``: which rows the view may see is decided, and judged, in get_queryset."""
    return len(links) > 2 and links[0].name in ("self", "super") and links[1].name in ("get_queryset", "filter_queryset", "get_object")


def _link(name: str) -> Link:
    return Link(name, None, None, Expr("name", 0, 0, 1, 1, name=name))


def _name_expr(name: str, unit: Unit) -> Expr:
    return Expr("name", unit.start, unit.start, unit.line, unit.line, name=name)


def _parameter(name: str, unit: Unit, source: str) -> Expr:
    """Where a parameter's name stands in the source; parameters carry no span of their own."""
    found = re.compile(rf"\b{re.escape(name)}\b").search(source, unit.start + max(source[unit.start : unit.end].find("("), 0))
    start = found.start() if found else unit.start
    line = source.count("\n", 0, start) + 1
    return Expr("name", start, start + len(name), line, line, name=name)


def _names_in(expr: Expr | None) -> list[str]:
    """Dotted and last names, strings and constants inside an expression."""
    out: list[str] = []
    for sub in subexpressions(expr) if expr is not None else ():
        if sub.kind in ("name", "attr"):
            dotted = ".".join(link.name for link in chain(sub))
            out.append(dotted)
            if "." in dotted:
                out.append(dotted.rsplit(".", 1)[-1])
        elif sub.kind in ("str", "fstr", "const"):
            out.append(sub.name)
    return out


def _has(expr: Expr, name: str | None, key: str, value: str) -> bool:
    """Whether an argument is ``key=value`` (keyword, or property of an object argument). ``*`` = any value."""
    if name == key:
        return value == "*" or (expr.kind in ("const", "str", "name") and expr.name.lower() == value.lower())
    return any(_has(a.value, a.name, key, value) for a in expr.args) if expr.kind == "dict" else False


def _last_name(expr: Expr | None) -> str:
    if expr is None:
        return ""
    links = chain(expr)
    return links[-1].name


def _root_name(expr: Expr | None) -> str:
    return next((link.name for link in chain(expr) if link.name[:1].isupper()), "") if expr is not None else ""


def _type_resource(annotation: Expr | None) -> str:
    """Resource of a type: ``Patient``, ``models.Patient``, ``Repository<Patient>``, ``list[Patient]``, ``Patient | None``."""
    if annotation is None:
        return ""
    if annotation.kind == "sub" and annotation.items:
        return _type_resource(annotation.items[0])
    if annotation.kind in ("other", "bin", "list"):
        return next((r for r in map(_type_resource, annotation.items) if r), "")
    if annotation.kind == "str":
        return annotation.name if annotation.name[:1].isupper() and annotation.name.isidentifier() else ""
    name = _last_name(annotation)
    return name if name[:1].isupper() and not name.isupper() else ""


def _decorated_resource(param: Param) -> str:
    for decorator in param.decorators:
        for arg in chain(decorator)[-1].args or ():
            name = _root_name(arg.value)
            if name:
                return name
    return ""


def _path_matches(path: str, pattern: str) -> bool:
    """``**/route.ts|**/pages/api/**``: any of the globs."""
    return path_matches(path, [p.strip() for p in pattern.split("|")])


def handler_reach(handler: Handler) -> tuple[int, int]:
    """Span of an except/catch clause as offsets."""
    return handler.start, handler.end
