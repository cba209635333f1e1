"""Statements of one unit: assignments, parameters, exceptions, and what local names hold."""

from __future__ import annotations

import re

from agentreview.lazyre import lazy
from agentreview.records import replace
from agentreview.syntax.facts import Fact
from agentreview.syntax.frameworks import SWITCHES, Entry
from agentreview.syntax.lexicon import flat, resource_name
from agentreview.syntax.names import (
    annotated,
    inert_type,
    last_name,
    name_expr,
    names_in,
    parameter_expr,
    type_resource,
)
from agentreview.syntax.patterns import Glob, Link, chain, names
from agentreview.syntax.sinks import KEYED
from agentreview.syntax.spelling import Spelling
from agentreview.syntax.tree import Arg, Expr, Stmt, Unit, subexpressions
from agentreview.syntax.values import NOTHING, PHI_NAME, PHI_OBJECT, Value

_SENT = frozenset(
    {"Header", "Query", "Body", "Headers", "Path", "Param", "Form", "Cookie"}
    | {"RequestParam", "RequestHeader", "PathVariable", "QueryParam", "HeaderParam", "PathParam", "CookieValue"}
)  # how a parameter says the client fills it

_DECORATED = frozenset("Body Param Query Headers Req".split())
_DECORATED_JAVA = frozenset(
    "Body QueryValue RequestBody RequestParam PathVariable RequestHeader RequestPart ModelAttribute CookieValue MatrixVariable "
    "PathParam QueryParam FormParam HeaderParam CookieParam BeanParam Argument InputArgument".split()
)
_BODIES = frozenset({"RequestBody", "ModelAttribute"})  # a whole request body, in the type that the parameter names

_NOT_INPUT = frozenset(
    "self cls this request req res response reply next session db conn info context ctx user current_user currentUser background_tasks "
    "websocket settings tx client logger log root parent obj _root _parent _ __ _info".split()
)
# Parameters the framework fills with something of its own.
_PROVIDED = frozenset("Depends Security Inject Ctx Context Root Parent Info PubSub ConnectedSocket".split())
_INERT_TYPES = frozenset(
    "int float bool UUID UUID4 Decimal date datetime number boolean Number bigint ObjectId "
    "Long Integer Short Boolean Double long double short LocalDate LocalDateTime Instant ZonedDateTime OffsetDateTime BigDecimal".split()
)
_FAILED = lazy(r"[45]\d\d$")  # the status of an answer
_SERVICE_TYPES = frozenset(
    "Session AsyncSession Request Response HttpRequest HttpResponse BackgroundTasks User CurrentUser Connection WebSocket NextFunction NextResponse NextRequest Settings "
    "HttpServletRequest HttpServletResponse ServletRequest ServletResponse Model ModelMap Pageable Sort BindingResult Errors Principal Authentication "
    "Locale HttpSession RedirectAttributes UriComponentsBuilder WebRequest NativeWebRequest SecurityContext UriInfo HttpHeaders ServerWebExchange "
    "ServerHttpRequest SseEmitter SessionStatus DataFetchingEnvironment AsyncResponse".split()
)


def _fills(filled: Glob, position: int, name: str) -> bool:
    """Whether the client fills a name: by where its parameter stands, or by what it is called."""
    return filled.matches(str(position)) or filled.matches(name)


class Scope(Spelling):
    """Reads one unit's body in document order and keeps the environment."""

    def bind_params(self, unit: Unit, *, is_endpoint: bool) -> None:
        endpoint = self.reader.analysis.endpoints.get(id(unit))
        filled = endpoint.client if endpoint is not None else None
        for position, param in enumerate(unit.params):
            caller = self.reader.param_facts(unit, param, self.own)
            if param.name and inert_type(param.annotation, _INERT_TYPES):
                self.evaluator.env[param.name] = Value(inert=True)  # patients: list[int] are no records
            resource = type_resource(param.annotation)
            type_name = last_name(param.annotation) if param.annotation is not None else ""
            sent = _DECORATED_JAVA if self.evaluator.language == "java" else _DECORATED
            decorated = any(chain(d)[-1].name in sent for d in param.decorators)
            beside = subexpressions(param.annotation) if param.annotation and annotated(param.annotation) else ()
            marks = [*(e for e in beside if e.kind == "call"), *(e for e in (param.default, *param.decorators) if e)]
            provided = any(chain(e)[-1].name in _PROVIDED for e in marks)
            if filled is not None:
                client = any(_fills(filled, position, name) for name in (param.name, *param.names))
            else:
                client = decorated or (
                    is_endpoint and self.evaluator.language != "go" and not caller and not provided
                    and param.name not in _NOT_INPUT and type_name not in _SERVICE_TYPES
                )  # fmt: skip
            chosen = [chain(e)[-1].name for e in marks if e.kind in ("call", "name")]
            if (
                client
                and param.name
                and self.lexicon.tenant_key(param.name.removeprefix("x_"))
                and (
                    _SENT & {*chosen}
                    or (endpoint is not None and re.search(rf"[{{<:]{re.escape(param.name)}\b", endpoint.path))
                )
            ):
                self.own.tenant_inputs.append(parameter_expr(param.name, unit, self.reader.module.source))
            for name in (param.name, *param.names):
                if not name:
                    continue
                record = bool(resource) and self.lexicon.phi_resource(resource) and not client
                body = bool(_BODIES & {chain(d)[-1].name for d in param.decorators})
                known = Value(
                    resource=resource if record or body else "",
                    record=record,
                    request=client
                    and (decorated or name not in _NOT_INPUT)
                    and (filled is None or _fills(filled, position, name)),
                    inert=type_name in _INERT_TYPES,
                    body=body,
                    number=type_name in ("int", "number", "Number", "bigint", "Long", "Integer", "Int"),
                    caller=caller,
                )
                if record or known.request or caller:
                    label = NOTHING if record else self.evaluator.chain_value(name_expr(name, unit), 0)
                    self.evaluator.env[name] = replace(known, labels=label.labels if not caller else frozenset())

    def body(self, stmts: tuple[Stmt, ...]) -> None:
        for stmt in stmts:
            following: Stmt | None = stmt
            while following is not None:
                following = self.statement(following)

    def statement(self, stmt: Stmt) -> Stmt | None:
        """Read one statement. Returns its ``else if``, which the caller reads next: such chains are long, not deep."""
        kind = stmt.kind
        if kind in ("def", "class", "import"):
            return None
        if stmt.op == "@" and stmt.value is not None:  # an annotation of a field
            links = chain(stmt.value)
            for entry, _, _ in self.reader.entries(links, decorator=True):
                if entry.concept != "endpoint":
                    self.own.facts.append(self.reader.fact(entry, self.unit, stmt.value, links))
            return None
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
            if kind == "with" and stmt.targets[0].kind == "name" and stmt.value is not None:
                self.evaluator.assigned[stmt.targets[0].name] = stmt.value
            if kind == "for":
                self.each.update(t.name for t in stmt.targets if t.kind == "name")
            if kind == "for" and self.reader.ruby and stmt.value is not None and stmt.targets[0].kind == "name":
                self.evaluator.env[stmt.targets[0].name] = self.rows(stmt.value)
        if kind == "with" and stmt.value is not None and chain(stmt.value)[-1].name == "suppress":
            self.own.suppressed.append(stmt)
        if kind == "raise" and stmt.value is not None:
            self.raised(stmt)
        if kind == "return" and stmt.value is not None and self.evaluator.language == "go":
            self.refused(stmt.value)
        if (
            kind == "return"
            and stmt.value is not None
            and (id(self.unit) in self.reader.analysis.endpoints or self.answers == "prompt")
        ):
            answer = stmt.value
            failed = answer.kind == "list" and len(answer.items) > 1 and _FAILED.match(answer.items[1].name)
            if failed and answer.items[0].kind == "call":  # return jsonify(error=…), 409
                shown = [self.evaluator.revealed(a.value) for a in answer.items[0].args]
                labels = tuple(sorted({label for one in shown for label in one}))
            else:
                labels = tuple(sorted(self.evaluator.revealed(answer)))
                whole = {PHI_OBJECT, PHI_NAME}
                if self.shaped and not self.cut_to_itself(answer, {text for kind, text in labels if kind in whole}):
                    labels = tuple(label for label in labels if label[0] not in whole)
            if labels:
                self.own.facts.append(
                    Fact(
                        "raise" if failed else self.answers,
                        self.unit,
                        stmt.start,
                        stmt.end,
                        stmt.line,
                        stmt.end_line,
                        "return",
                        labels=labels,
                    )
                )
        if kind == "try":
            self.own.tries.append(stmt)
        before = len(self.own.facts)
        self.body(stmt.body)
        if kind == "if" and self.reader.ruby and stmt.value is not None:
            self.asked(stmt, self.own.facts[before:])
        for handler in stmt.handlers:
            self.body(handler.body)
        if kind == "if" and len(stmt.orelse) == 1 and stmt.orelse[0].kind == "if":
            return stmt.orelse[0]
        self.body(stmt.orelse)
        self.body(stmt.final)
        return None

    def cut_to_itself(self, answer: Expr, shown: set[str]) -> bool:
        """Whether the type that an answer is cut to is the record's own: ``Patient``, ``ResponseEntity<Patient>``."""
        known = self.evaluator.value(answer)
        return flat(self.shaped) in {flat(known.resource), *map(flat, shown)}

    def refused(self, value: Expr) -> None:
        """``return nil, ErrForbidden``: an error by name, in a language whose refusals are returned."""
        for item in value.items if value.kind == "list" else (value,):
            if item.kind in ("name", "attr"):
                links = chain(item)
                called = [*links[:-1], Link(links[-1].name, (), links[-1].key, links[-1].expr)]
                self.own.facts.extend(
                    self.reader.fact(e, self.unit, item, links)
                    for e, _, _ in self.reader.entries(called)
                    if e.concept in ("authn", "deny")
                )

    def asked(self, stmt: Stmt, inside: list[Fact]) -> None:
        """Ruby: ``redirect_to root_path unless current_user.clinician?`` asks who is calling, whatever the question is called."""
        asks = stmt.value
        if asks is not None and any(f.concept == "deny" for f in inside):
            for sub in subexpressions(asks):
                if sub.kind in ("name", "attr", "call") and "caller" in self.reader.classify(chain(sub)):
                    self.own.facts.append(
                        Fact(
                            "authn", self.unit, asks.start, asks.end, asks.line, asks.end_line, names(chain(sub))[-100:]
                        )
                    )
                    return

    def switched(self, stmt: Stmt) -> None:
        """``patient.skip_history_when_saving = True``: assignments that framework files spell as calls."""
        for target in stmt.targets:
            if target.kind == "attr":
                links = chain(target)
                links[-1] = Link(
                    links[-1].name, (Arg(None, stmt.value),) if stmt.value is not None else (), None, target
                )
                for entry, captured, argument in self.reader.entries(links):
                    if entry.concept == "audit-off":
                        fact = self.reader.fact(entry, self.unit, target, links)
                        fact.resource = (
                            self.captured(links, captured, argument=argument)
                            if captured >= 0
                            else self._resource_of(target.base)
                            if target.base
                            else ""
                        )
                        fact.phi = self.lexicon.phi_resource(fact.resource)
                        self.own.facts.append(fact)

    def placed(self, stmt: Stmt, target: Expr, value: Expr) -> None:
        """``session.verify = False`` switches something off; ``localStorage.draft = …`` hands a value on."""
        links = chain(target)
        last = links[-1]
        name = last.key.name if last.key is not None and last.key.kind == "str" else last.name
        if self.unit.kind != "class":
            owner = last.name if name != last.name else links[-2].name if len(links) > 1 else ""
            self.own.facts.extend(
                f for f in self.reader.attribute_facts(self.unit, name, stmt, owner) if f.concept in SWITCHES
            )
        for handed in (value, last.key):
            links[-1] = Link(last.name, (Arg(None, handed),), last.key, last.expr) if handed is not None else last
            for entry in self.reader.assigned(links) if handed is not None else ():
                if (entry.concept in KEYED) is (handed is last.key):  # CARDS[key] = row is filed under its key
                    self.assigned_to(entry, target, links)

    def assigned_to(self, entry: Entry, target: Expr, links: list[Link]) -> None:
        """Record what an assignment to this place spells."""
        fact = self.reader.fact(entry, self.unit, target, links)
        self.handed(fact, entry, links)
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
            self.own.facts.extend(
                self.reader.fact(e, self.unit, value, links)
                for e, _, _ in self.reader.entries(called)
                if e.concept in ("authn", "deny")
            )
        self.own.facts.append(
            Fact(
                "raise",
                self.unit,
                stmt.start,
                stmt.end,
                stmt.line,
                stmt.end_line,
                names(links)[-100:],
                labels=tuple(sorted(labels)),
            )
        )

    def assign(self, stmt: Stmt) -> None:
        if stmt.value is not None:
            if stmt.value.kind == "dict" and len(stmt.targets) == 1:
                self.answering((Arg(stmt.targets[0].name, stmt.value),))
            self.visit(stmt.value)
        for target in stmt.targets:
            if (
                target.kind == "name" and self.unit.kind == "module"
            ):  # settings: MIDDLEWARE = [...], AUDIT_ENABLED = False
                self.own.facts.extend(self.reader.attribute_facts(self.unit, target.name, stmt))
            if target.kind in ("attr", "sub") and stmt.value is not None:
                self.placed(stmt, target, stmt.value)
            if target.kind in ("attr", "sub"):
                self.visit(target)
                if target.kind == "attr" and target.base is not None:
                    row = self.evaluator.value(target.base)
                    if row.record and row.resource and row.certain:
                        self.dirty[row.resource] = stmt
        if self.own.facts and len(stmt.targets) == 1 and stmt.targets[0].kind == "name" and stmt.value is not None:
            last = self.own.facts[-1]
            if (
                last.concept == "read"
                and (last.start, last.end) == (stmt.value.start, stmt.value.end)
                and not last.single
            ):
                self.queries[stmt.targets[0].name] = last
                self.shown.discard(stmt.targets[0].name)
        if stmt.op == ":" and self.evaluator.language == "go" and self.unit.kind != "class":
            for target in stmt.targets:  # var patient models.Patient: nothing in it yet
                self.evaluator.env[target.name] = Value(resource=resource_name(type_resource(stmt.value)))
            return
        self.bind(stmt.targets, stmt.value, augmented=stmt.op not in ("=", ":"))
        if stmt.value is not None and len(stmt.targets) == 1 and stmt.targets[0].kind == "name":
            self.evaluator.assigned[stmt.targets[0].name] = stmt.value
            if stmt.value.kind == "call":
                self.router(stmt.targets[0].name, stmt.value)

    def router(self, name: str, call: Expr) -> None:
        """``router = APIRouter(dependencies=[…])``: what holds for everything registered on it."""
        links = chain(call)
        args = links[-1].args or ()
        given = (*args, *(part for a in args if a.value.kind == "dict" for part in a.value.args))
        for entry in self.reader.matchers.kinds.get("keyword", ()):
            if entry.framework in self.reader.active and entry.of is not None and entry.of.matches(links[-1].name):
                for arg in given:
                    if arg.name == entry.text and (
                        entry.argument is None or any(entry.argument.matches(n) for n in names_in(arg.value))
                    ):
                        fact = self.reader.fact(entry, self.unit, call, links)
                        fact.text = " ".join(names_in(arg.value))
                        self.reader.analysis.routers.setdefault(name, []).append(fact)

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
                        env[bound.name] = self.evaluator.part(value, arg.name)
                        if value.request and self.lexicon.tenant_key(arg.name):
                            self.own.tenant_inputs.append(bound)
            elif target.kind == "list":
                for position, item in enumerate(target.items):
                    if item.kind == "name":  # patient, err := store.Get(…): only the first is what was asked for
                        env[item.name] = value if position == 0 or self.evaluator.language != "go" else NOTHING
            elif (
                target.kind == "attr"
                and target.base is not None
                and target.base.kind == "name"
                and target.base.name in ("self", "this")
            ):
                env[f"self.{target.name}"] = value

    # -- expressions -------------------------------------------------------------------------------------------
