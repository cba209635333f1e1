"""Expressions to facts: reads, writes, sinks, raw SQL, routes, comparisons with the caller."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentreview.lazyre import lazy
from agentreview.records import replace
from agentreview.syntax.facts import Fact, UnitFacts
from agentreview.syntax.frameworks import BY_NAME, LAST, SQL_TEXT, VALUES, Entry
from agentreview.syntax.handlers import HANDED, VERBS, chained, handler, members
from agentreview.syntax.imports import MANAGERS
from agentreview.syntax.lexicon import resource_name
from agentreview.syntax.names import class_rows, compiled, named_resource
from agentreview.syntax.patterns import Link, chain, names
from agentreview.syntax.queries import COUNTS, NUMBERS, Predicate, is_statement, picks, predicate, sql_of
from agentreview.syntax.registered import register
from agentreview.syntax.ruby_filters import FILTERS, limits, named
from agentreview.syntax.ruby_rows import associated, clauses_of, constant, counted, model_name, subject
from agentreview.syntax.sinks import (
    KEYED,
    SINKS,
    added_here,
    dropped,
    guessable,
    may_be_empty,
    plain_address,
    read_sink,
    sent_in_query,
    shape,
    undone,
    url_shaped,
)
from agentreview.syntax.tree import LITERAL, Arg, Expr, Stmt, Unit, subexpressions
from agentreview.syntax.values import COMPREHENSIONS, NOTHING, Evaluator, Value

if TYPE_CHECKING:
    from agentreview.syntax.reader import Reader

_DATA = frozenset({"read", "write", "delete"})
# What acts on a value, and the arguments that say on what; the rest (a request's body, a file's text) is only carried.
_ACTING = frozenset({"exec", "fetch", "file-path", "template", "eval", "markup", "open-redirect"})
_ACTED_ON = frozenset(
    "__html url uri path file filename file_path filepath src dst source command cmd args template string host hostname address name to href baseURL base_url".split()
)
_WRITTEN = frozenset({"data", "set", "values", "$set", "update", "create", "defaults", "attributes"})
# Calls that keep what they are given as a row; and classes that are no row: what checks or carries the input.
_STORES = frozenset(
    "create acreate update updateOne updateMany findByIdAndUpdate findOneAndUpdate insert insertOne insertMany save upsert merge assign "
    "get_or_create update_or_create bulkCreate build set copyProperties assign_attributes create! update! update_attributes".split()
)
_POINTER = lazy(r"(.+?)(?:_id|Id|ID)$")
_SETTER = lazy(r"set([A-Z]\w*)Id$")
_NO_POINTER = lazy(
    r"(?i)^(?:external|stripe|client|device|session|request|correlation|message|event|trace|transaction|public|legacy|remote|google|github|slack|parent|thread|idempotency|product)_?id$"
)
_RECORD = lazy(
    r"(?:Serializer|Form|Schema|Dto|DTO|Validator|Response|Request|Error|Exception|Input|Params|Query|Filter|Command|Event|Message|Client|Context|Parser|Builder|Map|Set|Promise|Date|URL|Headers|FormData|Blob|File|Array|Object|Worker|Proxy|Buffer|View|Table)$"
)
_WORDS = lazy(r"[\w$]+")
_STORE_TYPES = (
    "Repository",
    "Repo",
    "Dao",
    "DAO",
    "Mapper",
    "Store",
    "Queries",
    "EntityManager",
    "JdbcTemplate",
    "SecureRandom",
)
_TYPED = frozenset({"go", "java"})
_ROUTING = frozenset({"route", "handler", "register", "use", "group"})
_NAMED_ON_SAVING = frozenset({"send_file", "send_data"})  # `filename:` is what the browser calls it
_TEMPLATES = frozenset({"template", "source", "string", "template_string", "inline"})
_DISPATCH = frozenset("send public_send __send__ const_get constantize method".split())  # what is called, not with what
_EVERYTHING = frozenset({"permit!", "to_unsafe_h", "to_unsafe_hash"})
_FILTERS = frozenset("filter filter_by where andWhere exclude get_queryset scoped".split())
# Methods that hand one element after the other to a function.
_EACH = frozenset(
    "map forEach filter find some every flatMap findIndex each each_with_index collect select reject find_each flat_map filter_map "
    "each_entry sort_by group_by sum partition each_pair tap then".split()
)
_BY_MAKER = _ACTING | {"raw-sql"}
_RUNS = frozenset("execute executemany fetch fetchrow fetchval query raw".split())
_COMPARISONS = frozenset({"==", "!=", "===", "!==", "is", "is not", "in", "not in", "<>"})
_CREATES = frozenset(
    "create acreate save asave add add_all merge insert insertMany createMany createManyAndReturn bulk_create abulk_create bulkCreate values bulk_insert_mappings "
    "saveAll saveAndFlush persist Create CreateInBatches Save Insert create! insert! insert_all insert_all! upsert_all import import! first_or_create first_or_create!".split()
)
_CREATE = lazy(r"(?:[cC]reate|[iI]nsert|Add|Save)[A-Z]")
QUESTION = lazy(
    r"auth(?!or)|authori[sz]e|permi|(?:^|_)perms?(?:_|$)|allow|check|ensure|assert|require|verify|forbid|deny|guard|is_?(?:staff|admin|superuser|owner|member|manager|moderator|authenticated|allowed)|(?:throw|raise|abort|fail)_?(?:if|unless)|^(?:can|may|is_same|has)_?[a-zA-Z]|accessible|visible|_for_user|ForUser",
    re.IGNORECASE,
)
_HOOK_DECORATORS = frozenset({"before_request", "before_app_request", "middleware"})


class Spelling:
    """The expression side of one unit: the facts that chains spell, with what is known of their arguments."""

    def __init__(self, reader: Reader, own: UnitFacts) -> None:
        self.reader, self.own, self.unit = reader, own, own.unit
        self.lexicon = reader.lexicon
        self.evaluator = Evaluator(reader.lexicon, reader.classify, reader.module.language)
        self.evaluator.assigned.update(reader.constants)
        self.dirty: dict[str, Stmt] = {}
        self.each: set[str] = set()  # variables of loops: `notify(user) if user != current_user` asks for no right
        self.depth = 0
        self.shaped = ""  # the type an answer is cut to
        self.queries: dict[str, Fact] = {}  # reads that wait in a name until somebody asks for their rows
        self.shown: set[str] = set()  # names whose rows somebody asks for
        self.counted: set[str] = set()  # names of which somebody asks how many
        self.answers = "respond"  # what a return does with its value; in a tool that a model calls: "prompt"

    def body(self, stmts: tuple[Stmt, ...]) -> None:
        """Read statements; the statement side provides it."""
        raise NotImplementedError

    def bind(self, targets: tuple[Expr, ...], source: Expr | None, *, augmented: bool = False) -> None:
        """Remember what names hold; the statement side provides it."""
        raise NotImplementedError

    def bind_params(self, unit: Unit, *, is_endpoint: bool) -> None:
        """Remember what parameters hold; the statement side provides it."""
        raise NotImplementedError

    def visit(self, expr: Expr) -> None:
        self.depth += 1
        if expr.kind == "name" and expr.name in self.reader.methods:
            self.own.calls.append((expr.name, expr))
        if self.depth <= 200:
            self._visit(expr)
        self.depth -= 1

    def _visit(self, expr: Expr) -> None:
        kind = expr.kind
        if url_shaped(expr):
            shown = tuple(
                sorted(label for label in self.evaluator.value(expr).labels if label[0].startswith("phi-field"))
            )
            if guessable(expr):
                self.own.facts.append(self.reader.fact_at("guessable", self.unit, expr, shape(expr)))
            if shown:
                text = shape(expr)[:80]
                self.own.facts.append(
                    Fact("url", self.unit, expr.start, expr.end, expr.line, expr.end_line, text, labels=shown)
                )
        if kind == "name":
            self.shown.add(expr.name)
        if kind in ("call", "attr", "sub"):
            links = chain(expr)
            counts = len(links) > 1 and links[1].name in NUMBERS
            (self.counted if counts else self.shown).add(links[0].name)
            outer, root = self.answers, links[0]
            if links[-1].args is not None and "model-tool" in self.reader.classify(links):
                self.answers = "prompt"
            if root.args is None and root.name in self.reader.methods and root.name not in self.evaluator.env:
                self.own.calls.append((root.name, expr))
            if root.name == "?":
                inner = root.expr
                while inner.base is not None:  # func() { … }(): called where it stands
                    inner = inner.base
                if inner.kind not in ("call", "attr", "sub", "name"):
                    self.visit(inner)
            for link in links:
                if link.key is not None:
                    self.visit(link.key)
                for arg in link.args or ():
                    if arg.value.kind != "func":
                        self.visit(arg.value)
            self.spelled(expr, links)
            before = len(self.own.facts)
            for link in links:
                for arg in link.args or ():
                    if arg.value.kind == "func" and arg.value.unit is not None:
                        self.callback(arg.value.unit, self.element(link))
            self.answers = outer
            if self.unit.kind == "class" and expr.kind == "call":
                self.limited(expr, self.own.facts[before:])
            return
        if kind == "func" and expr.unit is not None:
            if expr.unit.anonymous:
                self.callback(expr.unit)
            elif self.answers == "prompt":  # tool({ execute: async () => … })
                self.reader.tools.add(id(expr.unit))
            return
        if kind == "other" and expr.name == ":=" and len(expr.items) == 2:
            self.visit(expr.items[1])
            self.bind(expr.items[:1], expr.items[1])
            return
        if kind == "dict" and self.reader.answering:
            self.answering(expr.args)
        if kind == "other" and expr.name in COMPREHENSIONS:
            with self.evaluator.loops_of(expr):
                for item in expr.items:
                    self.visit(item)
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
        if (
            expr.name.strip() in ("in", "not in")
            and (left.request or self.host(expr.items[0]))
            and (
                expr.items[1].kind in ("list", "dict")
                or chain(expr.items[1])[-1].name.lstrip("_")[:1].isupper()
                or "allow" in chain(expr.items[1])[-1].name
            )
        ):
            text = f"{names(chain(expr.items[0]))} in {names(chain(expr.items[1]))}"
            self.own.facts.append(
                Fact("sanitize", self.unit, expr.start, expr.end, expr.line, expr.end_line, text[-100:])
            )
        if left.caller == right.caller:
            return
        side = expr.items[0] if left.caller else expr.items[1]
        foreign = expr.items[1] if side is expr.items[0] else expr.items[0]
        if (
            foreign.kind not in ("name", "attr", "sub", "call")
            or foreign.name in ("None", "null", "nil")
            or (foreign.kind == "name" and foreign.name in self.each)
            or chain(foreign)[0].name[:1].isupper()
        ):
            return  # ``Draft.org_id == user.org_id`` is a column expression of a query
        last = chain(foreign)[-1]
        name = last.key.name if last.key is not None and last.key.kind == "str" else last.name
        concept = (
            "membership"
            if self.lexicon.tenant_key(name)
            else "object-check"
            if self.lexicon.owner_key(name) or len(chain(foreign)) > 1
            else ""
        )
        if concept:
            text = f"{names(chain(foreign))} {expr.name.strip()} {names(chain(side))}"
            self.own.facts.append(
                Fact(
                    concept,
                    self.unit,
                    expr.start,
                    expr.end,
                    expr.line,
                    expr.end_line,
                    text[-100:],
                    framework="comparison",
                )
            )

    def host(self, expr: Expr) -> bool:
        """``urlsplit(url).hostname``, also under a name: a part of an address that the client chose."""
        for _ in range(3):
            links = chain(expr)
            if links[0].name in ("urlsplit", "urlparse") and links[0].args:
                return self.evaluator.value(links[0].args[0].value).request
            made = self.evaluator.assigned.get(links[0].name)
            if made is None:
                return False
            expr = made
        return False

    def answering(self, args: tuple[Arg, ...]) -> None:
        """Objects whose functions answer, by the names they stand under: ``{ Query: {…}, Mutation: {…} }``."""
        for entry in self.reader.answering:
            for arg in args:
                if arg.name and arg.value.kind == "dict" and entry.globs is not None and entry.globs.matches(arg.name):
                    members(self, entry, arg.value)

    def element(self, link: Link) -> Value:
        """What ``rows.map(row => …)`` gives its function: one of the rows."""
        receiver = link.expr.base
        if link.name not in _EACH or receiver is None or receiver.kind != "attr" or receiver.base is None:
            return NOTHING
        return replace(self.rows(receiver.base), body=False)

    def limited(self, call: Expr, facts: list[Fact]) -> None:
        """``before_action :x, only: :show`` holds for one method."""
        only, but = limits(call)
        for fact in facts:
            fact.only, fact.but = only, but

    def callback(self, unit: Unit, element: Value = NOTHING) -> None:
        if id(unit) in self.reader.handlers:
            self.reader.read(unit)
            return
        if not unit.anonymous:
            return
        self.bind_params(unit, is_endpoint=False)
        if element is not NOTHING and unit.params:
            first = unit.params[0]
            self.each.update(n for n in (first.name, *first.names) if n)
            for name in (first.name, *first.names):
                if name and self.evaluator.env.get(name, NOTHING) is NOTHING:
                    self.evaluator.env[name] = self.evaluator.part(element, name) if name in first.names else element
        self.body(unit.body)

    def rows(self, expr: Expr) -> Value:
        """What a loop runs over; in Ruby ``Patient.due`` are patients."""
        held = self.evaluator.value(expr)
        if self.reader.ruby and not held.record and expr.kind in ("attr", "call"):
            resource = constant([link.name for link in chain(expr)])
            if self.lexicon.phi_resource(resource):
                return Value(resource=resource, record=True)
        return held

    def spelled(self, expr: Expr, links: list[Link]) -> None:
        """Record the facts one chain spells, and its helpers, routes and client-sent tenant keys."""
        if len(links) > 2 and links[1].name in MANAGERS:
            self.remote(links[:2], expr)
        if self.evaluator.language in _TYPED:
            links = self.by_type(links)
        if links[-1].args is not None:
            last = links[-1]
            receiver = expr.base.base if expr.base is not None and expr.base.kind == "attr" else None
            parties = [a.value for a in last.args or ()] + ([receiver] if receiver is not None else [])
            if QUESTION.search(last.name) or any(self.evaluator.value(one).caller for one in parties):
                self.own.questions.add(last.name)
            if len(links) == 1:
                self.own.calls.append((last.name, expr))
                if last.name in FILTERS and self.unit.kind == "class" and not any(limits(expr)):
                    self.own.calls.extend((name, expr) for name in named(expr))
            elif len(links) == 2 and links[0].name in ("self", "this", "cls", "super"):
                self.own.calls.append((f"self.{last.name}", expr))
            elif len(links) < 4:
                self.remote(links, expr)
            if last.name == "catch" and last.args and last.args[0].value.unit is not None:
                self.own.catches.append((expr, last.args[0].value.unit))
            if last.name in ("commit", "flush") and self.dirty:
                for resource, stmt in self.dirty.items():
                    self.own.facts.append(
                        Fact(
                            "write",
                            self.unit,
                            stmt.start,
                            stmt.end,
                            stmt.line,
                            stmt.end_line,
                            f"{resource} attributes, then {names(links)}",
                            resource=resource,
                            phi=self.lexicon.phi_resource(resource),
                        )
                    )
                self.dirty.clear()
        if self._tenant_input(links):
            self.own.tenant_inputs.append(expr)
        asked = sent_in_query(links)
        if asked and self.lexicon.field_tier(asked) == "strong" and "request" in self.reader.classify(links):
            self.own.facts.append(
                Fact(
                    "query-string",
                    self.unit,
                    expr.start,
                    expr.end,
                    expr.line,
                    expr.end_line,
                    names(links)[-100:],
                    labels=(("phi-field", asked),),
                )
            )
        matched, size = self.reader.longest(links)
        if len(links) == 1 and not matched:
            matched = self.reader.by_module(links[0])
        if len(links) > 1 and links[0].name in self.evaluator.assigned:
            matched = [*matched, *self.by_maker(links, matched)]
        self.sql_texts(links)
        if links[-1].args and self.reader.fills:
            self.received(links)
        if links[-1].args is not None:
            self.whole_body(expr, links, stored=any(e.concept == "write" for e, _, _ in matched))
            self.references(expr, links)
            if any(e.concept in ("fetch", "send", "connect") for e, _, _ in matched):
                address = plain_address(links, self.evaluator)
                if address:
                    self.own.facts.append(
                        Fact("insecure", self.unit, expr.start, expr.end, expr.line, expr.end_line, address[:100])
                    )
        if links[-1].name in _FILTERS and links[-1].args is not None:
            self.filtered(expr, links)
        concepts = {entry.concept for entry, _, _ in matched}
        drop = ({"read", "write"} if "delete" in concepts else {"read"} if "write" in concepts else set()) | (
            {"log"} if "audit" in concepts else set()
        )
        given = next((entry for entry, _, _ in matched if entry.kind in ("route", "handler", "register")), None)
        maker: list[Link] = []
        if given is None and len(links) > 1 and links[-1].name in VERBS and len(links[-1].args or ()) > 1:
            given, maker = self.by_router(links)
        if given is not None and given.kind == "register":
            register(self, given, expr, links)
        elif given is not None:
            chained(self, links, maker) if given.kind == "route" else handler(self, given, expr, links)
            drop |= HANDED  # what stands in front of a handler holds for it alone
        seen: set[str] = set()
        for entry, captured, argument in matched:
            concept = entry.concept
            if entry.kind in _ROUTING or concept in VALUES or concept in drop or concept in seen or concept == SQL_TEXT:
                continue
            seen.add(concept)
            fact = self.reader.fact(entry, self.unit, expr, links)
            if self.unit.kind == "class" and expr.kind == "call":
                self.limited(expr, [fact])
                said = " ".join(f":{name}" for name in named(expr)) if self.reader.ruby else ""
                fact.call = f"{fact.call} {said}".strip()[:100]
            if concept in _DATA:
                self.query(fact, entry, expr, links, captured, argument=argument, size=size)
            elif concept == "raw-sql":
                self.sql(fact, links)
                if not (
                    is_statement(fact.text) if not self.reader.ruby else fact.dynamic or is_statement(fact.text or "-")
                ):
                    continue
                if fact.tainted:  # said once, for the whole statement
                    self.own.facts[:] = [f for f in self.own.facts if f.concept != SQL_TEXT or f.start < expr.start]
            elif concept in _ACTING or concept in SINKS:
                self.handed(fact, entry, links[:size] if concept in KEYED or concept in _ACTING else links)
            elif concept == "scope-off":  # Invoice.unscoped().findAll({ where: { orgId } }) names the tenant itself
                fact.scoped = predicate(links, self.evaluator, self.lexicon).scoped
            elif concept in ("expire", "cascade"):
                self.expiring(fact, links)
            elif concept in ("drop", "drop-constraint", "loosen-column"):
                fact.resource, fact.text = dropped(links)
                if undone(self.unit.name) or added_here(self.reader.module.source, links):
                    continue
                if concept == "loosen-column" and not may_be_empty(links):
                    continue
                fact.phi = self.lexicon.phi_resource(fact.resource)
            elif concept == "nosql":
                fact.tainted = any(self.chosen_query(a.value) for a in links[-1].args or ())
            elif captured >= 0 or argument:
                fact.resource = self.captured(links, captured, argument=argument)
                fact.phi = self.lexicon.phi_resource(fact.resource)
            elif concept == "related-field":
                rows = next((a.value for a in links[-1].args or () if a.name == "queryset"), None)
                fact.resource = self._resource_of(rows) if rows is not None else ""
                fact.phi = self.lexicon.phi_resource(fact.resource)
            self.own.facts.append(fact)

    def unmasked(self, links: list[Link], labels: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """Labels that the logger's own configuration does not mask: ``pino({ redact: ["*.ssn", "patient"] })``.

        It masks properties of objects by their names; what was put into a text is out of its sight.
        """
        held = self.reader.analysis.routers.get(links[0].name, ())
        paths = [_WORDS.findall(path) for f in held if f.concept == "redact" for path in f.text.split()]
        masked = {path[-1] for path in paths if path}
        if not masked or not labels:
            return labels
        kept: set[tuple[str, str]] = set()
        todo = [arg for link in links for arg in link.args or ()]
        for arg in todo:
            value = arg.value
            if value.kind == "dict":
                open_ = [part for part in value.args if part.name not in masked]
                todo.extend(part for part in open_ if part.value.kind == "dict")
                value = replace(value, args=tuple(part for part in open_ if part.value.kind != "dict"))
            kept |= self.evaluator.revealed(value)
        return tuple(label for label in labels if label in kept)

    def by_type(self, links: list[Link]) -> list[Link]:
        """``patients.findById(id)`` where ``patients`` is declared a PatientRepository reads ``PatientRepository.findById``."""
        members = self.reader.members.get(id(self.unit.parent), {}) if self.unit.parent is not None else {}
        at = 1 if links[0].name in ("self", "this") and len(links) > 2 else 0
        kind = members.get(links[at].name, "").rpartition(".")[2] if len(links) > 1 else ""
        local = self.evaluator.language == "java" and len(links) > 1 and not kind
        made = self.evaluator.assigned.get(links[0].name) if local else None
        if made is not None and made.kind == "call":  # SecureRandom random = new SecureRandom()
            kind = chain(made)[-1].name
        if not kind.endswith(_STORE_TYPES):
            return links
        return [*links[:at], replace(links[at], name=kind), *links[at + 1 :]]

    def remote(self, links: list[Link], expr: Expr) -> None:
        """Remember a call of something imported: ``services.load()``, ``this.patients.load()`` of a known type."""
        root, module = links[0].name, self.reader.module
        members = self.reader.members.get(id(self.unit.parent), {}) if self.unit.parent is not None else {}
        if root in ("self", "this") and len(links) == 3 and links[1].name in members:
            self.own.calls.append((f"{members[links[1].name]}.{links[2].name}", expr))
        elif root in members and len(links) == 2:
            self.own.calls.append((f"{members[root]}.{links[1].name}", expr))
        elif root in module.imports or (len(links) == 2 and root[:1].isupper() and module.language in ("java", "ruby")):
            self.own.calls.append((".".join(link.name for link in links), expr))

    def expiring(self, fact: Fact, links: list[Link]) -> None:
        """Whose rows go: the class that holds the cascade, or what the chain names."""
        named = [link.name for link in links]
        fact.text = " ".join((*named, *(a.value.name for a in links[-1].args or () if a.value.kind == "str")))
        health = next((resource_name(n) for n in named if self.lexicon.phi_resource(resource_name(n))), named[0])
        fact.resource = self.unit.name if self.unit.kind == "class" else health
        fact.phi = self.lexicon.phi_resource(fact.resource)

    def handed(self, fact: Fact, entry: Entry, links: list[Link]) -> None:
        """Fill in what a sink is given: what it acts on, what it reveals, under which key."""
        if fact.concept in _ACTING:
            fact.tainted = self.acted_on(entry, links)
            return
        found = read_sink(fact.concept, links, self.evaluator, self.lexicon)
        fact.labels = found.labels if fact.concept != "log" else self.unmasked(links, found.labels)
        fact.resource, fact.scoped = found.resource, found.scoped
        fact.tainted, fact.text = found.tainted, found.text
        if fact.concept == "store-file" and self.unit.kind == "class":  # a field of a model: its rows' files
            fact.resource = fact.resource or self.unit.name
        fact.phi = self.lexicon.phi_resource(fact.resource)
        self.reader.analysis.shows_tenant |= found.scoped

    def acted_on(self, entry: Entry, links: list[Link]) -> bool:
        """Whether what the call acts on is text the client chose."""
        concept = entry.concept
        for link in links:
            args = link.args or ()
            both = link.name in ("request", "move", "copy", "rename", "replace", "copyfile", "copytree")
            wanted = entry.acts or ((0, 1) if both else (0,))
            for position, arg in enumerate(args):
                if arg.name is None and (position in wanted or (concept == "eval" and link.name not in _DISPATCH)):
                    values = [arg.value]
                    if arg.value.kind == "dict":  # axios({ url })
                        values = [a.value for a in arg.value.args if a.name in _ACTED_ON]
                elif (
                    arg.name in (_TEMPLATES if concept == "template" else _ACTED_ON)
                    and link.name not in _NAMED_ON_SAVING
                ):
                    values = [arg.value]
                else:
                    continue
                for value in values:
                    found = self.evaluator.value(value)
                    if (
                        found.request
                        and not found.inert
                        and not (concept in ("fetch", "open-redirect") and self.fixed_start(value))
                    ):
                        return True
        return False

    def fixed_start(self, value: Expr) -> bool:
        """Whether an address begins with something that is no text of the client's."""
        if value.kind == "name":
            value = self.evaluator.assigned.get(value.name, value)
        if _fixed_start(value):
            return True
        while value.kind == "bin" and value.name.strip() == "+" and value.items and value.items[0].kind == "bin":
            value = value.items[0]  # ``BASE + "/" + x`` is ``(BASE + "/") + x``
        added = value.kind == "bin" and value.name.strip() == "+"
        leads = (added or (value.kind == "fstr" and value.name.startswith("{}"))) and len(value.items) > 1
        if leads and value.items[0].kind in ("name", "attr", "call"):
            return not self.evaluator.value(value.items[0]).request
        return False

    def filtered(self, expr: Expr, links: list[Link]) -> None:
        """``qs.filter(org=…)`` on something unknown: no query of its own, but it limits what the variable holds."""
        found = predicate(links, self.evaluator, self.lexicon)
        if found.scoped or found.owned:
            self.own.facts.append(
                Fact(
                    "filter",
                    self.unit,
                    expr.start,
                    expr.end,
                    expr.line,
                    expr.end_line,
                    names(links)[-100:],
                    scoped=found.scoped,
                    owned=found.owned,
                )
            )
            self.reader.analysis.shows_tenant |= found.mentions_tenant
            held = self.evaluator.chain_value(expr, 0)
            self.narrowed(self.evaluator.env.get(links[0].name, NOTHING).resource, found)
            self.evaluator.known.setdefault(
                id(expr), replace(held, scoped=held.scoped or found.scoped, owned=held.owned or found.owned)
            )

    def narrowed(self, resource: str, found: Predicate) -> None:
        """``rows = rows.filter(org=…)``: an earlier query of these rows is limited in a later step."""
        for earlier in self.own.facts if resource and (found.scoped or found.owned) else ():
            if earlier.concept == "read" and earlier.resource == resource:
                earlier.scoped, earlier.owned = earlier.scoped or found.scoped, earlier.owned or found.owned

    def chosen_query(self, value: Expr) -> bool:
        """Whether the client may send an operator: a whole body as the filter, ``$where`` of its text, a bare field."""
        if self.evaluator.value(value).body:
            return True
        if value.kind != "dict":
            return False
        for arg in value.args:
            known = self.evaluator.value(arg.value)
            typed = self.evaluator.language in _TYPED  # a field of a type is text or a number
            if known.request and not known.inert and not typed and arg.value.kind in ("name", "attr", "sub"):
                return True
            if arg.name == "$where" and known.request:
                return True
        return False

    def whole_body(self, expr: Expr, links: list[Link], *, stored: bool) -> None:
        """``Patient(**request.data)``, ``create(req.body)``, ``Object.assign(row, req.body)``, ``setattr(row, key, …)``."""
        last = links[-1]
        args = last.args or ()
        if (
            last.name == "permit!"
            and len(links) > 1
            and (links[-2].key is not None or links[-2].name in ("require", "fetch"))
        ):
            held = links[-2].key or (links[-2].args[0].value if links[-2].args else None)
            self.assigned_whole(expr, links, model_name(held.name) if held is not None and held.kind == "str" else "")
            return
        if last.name == "setattr" and len(links) == 1 and len(args) == 3:
            if self.evaluator.value(args[1].value).body:
                self.assigned_whole(expr, links, self._resource_of(args[0].value))
            return
        made = (
            len(links) == 1
            and last.name[:1].isupper()
            and not last.name.isupper()
            and _RECORD.search(last.name) is None
        )
        kept = last.name in _STORES
        if self.evaluator.language in _TYPED:  # a type says which fields there are: only the store's own call counts
            made, kept = False, stored
        if not (made or kept):
            return
        for arg in args:
            parts = [(arg.name, arg.value, arg.spread)]
            if arg.value.kind == "dict":
                parts = [(a.name, a.value, a.spread) for a in arg.value.args]
            for name, value, spread in parts:
                if (name is None or name in _WRITTEN) and self.is_body(
                    value, spread=spread or value.kind == "spread", made=made
                ):
                    target = links[0].name if made else self.captured(links, max(len(links) - 2, 0), argument=False)
                    if self.evaluator.language in _TYPED:
                        target = self.evaluator.value(value).resource or target
                        if _RECORD.search(target):
                            return
                    self.assigned_whole(expr, links, resource_name(target))
                    return

    def references(self, expr: Expr, links: list[Link]) -> None:
        """``create(patient_id=request.data["patient_id"])``, ``connect: { id: req.body.wardId }``: a pointer the client chose."""
        last = links[-1]
        made = len(links) == 1 and last.name[:1].isupper() and _RECORD.search(last.name) is None
        if self.evaluator.language == "go":
            made = last.expr.name == LITERAL and _RECORD.search(last.name) is None
        elif self.evaluator.language == "java" and len(last.args or ()) == 1:
            pointed = _SETTER.match(last.name)
            if pointed is not None:  # appointment.setPatientId(body.patientId())
                given = (last.args or ())[0].value
                last = Link("set", (Arg(f"{pointed[1][:1].lower()}{pointed[1][1:]}Id", given),), None, expr)
                made = True
        if len(links) > 2 and last.name in ("set", "add") and self.evaluator.value(links[0].expr).record:
            self.pointed(expr, links)
        if not made and last.name not in _STORES:
            return
        stack = [(a.name, a.value, "") for a in last.args or ()]
        for _ in range(60):
            if not stack:
                return
            name, value, outer = stack.pop()
            if value.kind == "dict":
                stack.extend(
                    (a.name, a.value, name or outer) for a in value.args if name not in ("where", "select", "include")
                )
                continue
            pointer = outer if outer and name in ("id", "connect") and outer not in _WRITTEN else name or ""
            column = _POINTER.match(pointer) if name not in ("id", "connect") else re.match(r"(.+)", pointer)
            if (
                column is None
                or _NO_POINTER.search(pointer)
                or self.lexicon.tenant_key(pointer)
                or self.lexicon.owner_key(pointer)
            ):
                continue
            known = self.evaluator.value(value)
            if known.request and not known.caller and not known.scoped:
                shown = self.reader.module.source[value.start : value.end][:60]
                fact = Fact(
                    "reference",
                    self.unit,
                    expr.start,
                    expr.end,
                    value.line,
                    value.line,
                    f"{names(links)[-60:]}({pointer}={shown})",
                )
                fact.resource = resource_name(column[1])
                fact.phi = self.lexicon.phi_resource(fact.resource)
                self.own.facts.append(fact)

    def pointed(self, expr: Expr, links: list[Link]) -> None:
        """``encounter.team.set(request.data["ids"])``: many pointers the client chose."""
        chosen = next((a.value for a in links[-1].args or () if self.evaluator.value(a.value).request), None)
        if chosen is not None and not self.evaluator.value(chosen).scoped:
            fact = self.reader.fact_at("reference", self.unit, expr, f"{names(links)[-60:]}")
            fact.resource = resource_name(links[-2].name)
            fact.phi = self.lexicon.phi_resource(fact.resource)
            self.own.facts.append(fact)

    def is_body(self, value: Expr, *, spread: bool, made: bool) -> bool:
        """Whether an argument is a whole request body: spread, or as it came (into a class only where that copies it)."""
        inner = value.items[0] if value.kind == "spread" and value.items else value
        if self.reader.ruby:  # Rails refuses a bare `params`
            held = self.evaluator.assigned.get(inner.name, inner) if inner.kind == "name" else inner
            spelled = {link.name for link in chain(held)} if held.kind in ("call", "attr") else set()
            return bool(spelled & _EVERYTHING) and self.evaluator.value(inner).body
        if inner.kind not in ("name", "attr", "call"):
            return value.kind == "dict" and any(
                self.is_body(a.value, spread=a.spread, made=False) for a in value.args if a.spread or a.name is None
            )
        return (spread or not made or self.reader.module.language != "python") and self.evaluator.value(inner).body

    def assigned_whole(self, expr: Expr, links: list[Link], resource: str) -> None:
        fact = Fact(
            "mass-assign",
            self.unit,
            expr.start,
            expr.end,
            expr.line,
            expr.end_line,
            names(links)[-100:],
            resource=resource,
        )
        fact.phi = self.lexicon.phi_resource(resource)
        self.own.facts.append(fact)

    def query(
        self, fact: Fact, entry: Entry, expr: Expr, links: list[Link], captured: int, *, argument: bool, size: int
    ) -> None:
        part = links[:size]  # without what is done with the answer: db.First(&patient, id).Error
        filled = self.filled(entry, part)
        if entry.resource >= 0:
            args = part[-1].args or ()
            fact.resource = self._resource_of(args[entry.resource].value) if entry.resource < len(args) else ""
        elif entry.resource == BY_NAME:
            fact.resource, one = named_resource(part)
            fact.single = fact.single or one
        else:
            fact.resource = self.captured(links, captured, argument=argument)
        fact.phi = self.lexicon.phi_resource(fact.resource)
        found: Predicate = predicate(links, self.evaluator, self.lexicon)
        base = self.evaluator.env.get(links[0].name, NOTHING)
        held = (
            self.evaluator.env.get(f"self.{links[1].name}", NOTHING)
            if len(links) > 1 and links[0].name in ("self", "this")
            else NOTHING
        )
        if not fact.resource and held.resource:  # self.get_object(): the row of the class's model
            fact.resource, fact.phi = held.resource, self.lexicon.phi_resource(held.resource)
        creates = part[-1].name in _CREATES or (entry.resource == BY_NAME and _CREATE.match(part[-1].name) is not None)
        fact.keyed = found.keyed and not (fact.concept == "write" and creates)
        fact.scoped = found.scoped or base.scoped or held.scoped or class_rows(links)
        fact.owned = found.owned or base.owned or held.owned
        fact.alone = fact.keyed and found.alone and not base.record and not held.record
        if self.reader.ruby and associated(links):
            # current_user.patients.find(…), @ward.patients.find(…): whoever found the owner decided about the rest
            fact.keyed = fact.keyed and (fact.concept == "read" or fact.bulk)  # a row that is there is not looked up
            fact.owned = fact.owned or len(links) > 2 or "caller" in self.reader.classify(links)
            fact.scoped = fact.scoped or any(
                self.lexicon.tenant_key(link.name.removeprefix("current_")) for link in links[:-1]
            )
        fact.tainted = found.request
        fact.single, fact.countable = fact.single or found.single, found.countable
        if found.mentions_tenant:
            self.reader.analysis.shows_tenant = True
        if fact.concept == "read":
            self.proved(fact, links, found)
        if base.resource == fact.resource:
            self.narrowed(fact.resource, found)
        held_now = Value(
            resource=fact.resource,
            record=bool(fact.resource)
            and links[-1].name not in (NUMBERS | COUNTS if entry.bulk else NUMBERS)
            and not (self.reader.ruby and counted(links)),
            certain=not picks(links),
            scoped=fact.scoped,
            owned=fact.owned,
            keyed=fact.keyed,
        )
        if filled:  # db.First(&patient, id): the row is in the argument, what comes back is an error
            self.evaluator.env[filled] = held_now
            held_now = NOTHING
        elif self.evaluator.language == "go" and fact.concept != "read":
            held_now = NOTHING
        self.evaluator.known[id(expr)] = held_now

    def filled(self, entry: Entry, links: list[Link]) -> str:
        """The local name that a call fills instead of answering: ``db.First(&patient)``, ``c.Bind(&input)``."""
        args = links[-1].args or ()
        at = len(args) - 1 if entry.fills == LAST else entry.fills
        arg = args[at].value if 0 <= at < len(args) else None
        return arg.name if arg is not None and arg.kind == "name" else ""

    def received(self, links: list[Link]) -> None:
        """``json.NewDecoder(r.Body).Decode(&input)``: from here on the variable is what the client sent."""
        for _, value in self.reader.matchers.calls.candidates(links):
            entry = compiled(value)
            if entry.concept != "request" or entry.fills < 0 or entry.framework not in self.reader.active:
                continue
            if self.reader.conditions(entry, links) and (not entry.from_request or self.sent(links, entry.fills)):
                name = self.filled(entry, links)
                if name:
                    known = self.evaluator.env.get(name, NOTHING)
                    self.evaluator.env[name] = Value(resource=known.resource, request=True, body=True)

    def sent(self, links: list[Link], but: int) -> bool:
        """Whether one of the arguments, or what the method is called on, comes from the client."""
        values = [
            a.value
            for n, link in enumerate(links)
            for p, a in enumerate(link.args or ())
            if n < len(links) - 1 or p != but
        ]
        held = self.evaluator.env.get(links[0].name, NOTHING)
        return held.request or any(self.evaluator.value(value).request for value in values)

    def proved(self, fact: Fact, links: list[Link], found: Predicate) -> None:
        """A look-up that is a check: of the tenant's own row with the caller in its predicate, of a row by its secret."""
        concept = "token-check" if found.capability else ""
        if fact.owned and self.lexicon.tenant_key(fact.resource):
            parts = [sub for link in links for arg in link.args or () for sub in subexpressions(arg.value)]
            named = any(self.evaluator.value(one).caller for one in parts if one.kind in ("name", "attr"))
            named = named or (self.reader.ruby and found.keyed and associated(links))  # current_user.clinics.find(id)
            concept = "membership" if named else concept
        if concept:
            self.own.facts.append(replace(fact, concept=concept, framework="look-up"))

    def captured(self, links: list[Link], index: int, *, argument: bool) -> str:
        if index < 0:
            return ""
        if self.reader.ruby and not argument:
            return model_name(self._captured(links, subject(links, index, self.lexicon), argument=argument))
        return self._captured(links, index, argument=argument)

    def _captured(self, links: list[Link], index: int, *, argument: bool) -> str:
        link = links[index]
        if link.name == "get_model" and link.args:  # apps.get_model("clinic", "Encounter"): in migrations
            said = [a.value.name.rpartition(".")[2] for a in link.args if a.value.kind == "str"]
            return resource_name(said[-1]) if said else ""
        if argument:
            return self._resource_of(link.args[0].value) if link.args else ""
        if link.key is not None and link.key.kind == "str":  # db["patients"].find_one(…)
            return resource_name(link.key.name)
        if index == 1 and links[0].name in ("self", "this"):
            held = self.evaluator.env.get(f"self.{link.name}")
            if held is not None and held.resource:
                return held.resource
        if index == 0:
            if link.name in ("self", "this", "cls"):
                return (
                    self.unit.parent.name if self.unit.parent is not None and self.unit.parent.kind == "class" else ""
                )
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
        pick = next(
            (link.name for link in links if link.name[:1].isupper()),
            root if root not in ("self", "this") else links[1].name,
        )
        return resource_name(pick)

    def by_maker(self, links: list[Link], known: list[tuple[Entry, int, bool]]) -> list[tuple[Entry, int, bool]]:
        """``with connection.cursor() as c: c.execute(…)``, ``client = AsyncClient(); client.get(…)``: by what made the name."""
        made = self.evaluator.assigned[links[0].name]
        maker = chain(made) if made.kind == "call" else []
        if not maker or not (maker[-1].name[:1].isupper() or links[1].name in _RUNS):
            return []
        had = {entry.concept for entry, _, _ in known}
        found, _ = self.reader.longest([*maker, *links[1:]])
        return [row for row in found if row[0].concept in _BY_MAKER and row[0].concept not in had]

    def by_router(self, links: list[Link]) -> tuple[Entry | None, list[Link]]:
        """``const patients = Router(); patients.get(path, show)``: a router under any name, told by what made it."""
        made = self.evaluator.assigned.get(links[0].name)
        maker = chain(made) if made is not None and made.kind == "call" else []
        found, _ = self.reader.longest([*maker, *links[1:]]) if maker else ([], 0)
        return next(((entry, maker) for entry, _, _ in found if entry.kind == "route"), (None, []))

    def sql_texts(self, links: list[Link]) -> None:
        """Pieces of SQL that the client had a hand in, wherever in the chain: ``qb.where(`x = '${q}'`).getMany()``."""
        wanted = self.reader.matchers.routing.get(SQL_TEXT, ())
        for position, link in enumerate(links):
            if link.args and link.name in wanted and self.reader.spells(links[: position + 1], SQL_TEXT):
                fact = self.reader.fact_at(SQL_TEXT, self.unit, link.expr, names(links[: position + 1])[-100:])
                self.sql(fact, [link])
                chosen = [self.evaluator.value(a.value) for a in link.args[:1]]
                fact.tainted |= any(v.request and not v.inert for v in chosen)
                if fact.tainted and not any(f.start == fact.start and f.concept == SQL_TEXT for f in self.own.facts):
                    self.own.facts.append(fact)

    def sql(self, fact: Fact, links: list[Link]) -> None:
        parsed = clauses_of(links, self.evaluator) if self.reader.ruby else sql_of(links, self.evaluator)
        fact.text, fact.dynamic, fact.tainted = parsed.text, parsed.dynamic, parsed.tainted
        named = any(self.lexicon.tenant_key(word) for word in parsed.words)
        # A tenant filter of the ORM reaches what is written in its own language.
        through = self.evaluator.language == "java" and any(link.name == "createQuery" for link in links)
        fact.scoped = named or through
        self.reader.analysis.shows_tenant |= named
        fact.resource = parsed.table
        fact.phi = self.lexicon.phi_resource(parsed.table)

    def _tenant_input(self, links: list[Link]) -> bool:
        last = links[-1]
        name = ""
        if last.key is not None and last.key.kind == "str":
            name = last.key.name
        elif last.args and last.args[0].value.kind == "str":
            name = last.args[0].value.name
        elif last.args is None and len(links) > 1:
            name = last.name
            at = links[-2].key
            if at is not None and at.kind == "str" and self.reader.module.language in ("python", "ruby"):
                return False  # ``params[:plan].org``: a row from a caller; what a client sends has no methods
        if last.name == "permit":
            name = next(
                (
                    a.value.name
                    for a in last.args or ()
                    if a.value.kind == "str" and self.lexicon.tenant_key(a.value.name)
                ),
                name,
            )
        name = name.lower().removeprefix("x-").replace("-", "_")
        if not name or not self.lexicon.tenant_key(name) or "caller" in self.reader.classify(links):
            return False
        held = self.evaluator.env.get(links[0].name, NOTHING)
        return "request" in self.reader.classify(links) or (
            len(links) + (last.key is not None) > 1 and held.request and (held.body or not held.resource)
        )


def _fixed_start(value: Expr) -> bool:
    """``f"https://api.example.org/{x}"``, ``BASE + path``: the client chooses a path on a host that is fixed."""
    if value.kind == "fstr":
        constant = bool(value.items) and chain(value.items[0])[-1].name.isupper()
        return not re.match(r"(?:https?://)?\{\}", value.name) or constant
    if value.kind == "bin" and value.items:
        first = value.items[0]
        return first.kind == "str" or first.name.isupper()
    return value.kind == "str"
