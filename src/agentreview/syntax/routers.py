"""What stands in front of a route by where it is registered: groups, sub-routers, and what their routers use.

For frameworks whose routers are values (Go): ``api := r.Group("/api", Auth())``, ``r.Route("/x", func(r chi.Router) {…})``,
``r.With(Auth).Get(…)``, ``http.ListenAndServe(addr, auth(mux))``. The framework files say which calls make a group, which
add to a router and which register a handler; this follows the values, in one file. The order of the calls does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentreview.records import dataclass, field
from agentreview.syntax.facts import Fact
from agentreview.syntax.frameworks import VALUES
from agentreview.syntax.names import as_written, compiled
from agentreview.syntax.patterns import Link, chain, names
from agentreview.syntax.tree import Expr, Stmt, Unit, expressions, statements, subexpressions

if TYPE_CHECKING:
    from agentreview.syntax.reader import Reader

_DATA = frozenset({"read", "write", "delete", "raw-sql"})
Call = tuple[str, Expr]


def controls_of(reader: Reader, unit: Unit, expr: Expr) -> list[Fact]:
    """Controls that a middleware, a wrapper or a decorator spells, one of each concept."""
    out: list[Fact] = []
    links = chain(expr)
    if links[-1].args is None:
        links = [*links[:-1], Link(links[-1].name, (), links[-1].key, links[-1].expr)]
    for entry, _, _ in (*reader.entries(links, decorator=True), *reader.entries(links)):
        if (
            entry.concept not in _DATA
            and entry.concept not in VALUES
            and entry.kind in ("call", "decorator")
            and not any(f.concept == entry.concept for f in out)
        ):
            fact = reader.fact(entry, unit, expr, links)
            fact.framework = "route"
            out.append(fact)
    return out


@dataclass(slots=True, eq=False, repr=False)
class Router:
    """One router or group: what it uses, and the routers it is registered on."""

    controls: list[Fact] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    parents: list[Router] = field(default_factory=list)

    def front(self) -> tuple[list[Fact], list[Call]]:
        """Everything in front of what is registered here, nearest first."""
        row = [self]
        for router in row:
            row.extend(p for p in router.parents if p not in row and len(row) < 50)
        return [f for r in row for f in r.controls], [c for r in row for c in r.calls]


class Scope(dict[str, Router]):
    """Routers by the names that hold them; an inner function sees those around it."""

    def __init__(self, outer: Scope | None = None) -> None:
        super().__init__()
        self.outer = outer

    def find(self, name: str) -> Router | None:
        """The router a name holds."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope:
                return scope[name]
            scope = scope.outer
        return None

    def outermost(self) -> Scope:
        """The scope of the function itself."""
        scope = self
        while scope.outer is not None:
            scope = scope.outer
        return scope


class Routers:
    """Every router of a file, and what is registered on it."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.kinds = {kind: frozenset(reader.matchers.routing.get(kind, ())) for kind in ("register", "use", "group")}
        self.made: dict[int, Router] = {}
        self.routes: dict[int, Router] = {}
        self.fields = Scope()
        self.mounts: set[int] = set()  # arguments that are routers themselves
        self.params: dict[tuple[int, int], Router] = {}
        self.returned: dict[int, list[Router]] = {}
        self.handed: list[tuple[str, Router]] = []  # routers given to functions of other files
        self._lists: dict[str, tuple[Expr, ...]] | None = None
        self.bound: list[tuple[str, int, Router]] = []
        if self.kinds["group"] or self.kinds["use"]:
            for unit in reader.module.units:
                if unit.kind != "class" and not unit.anonymous:
                    self.enter(unit, Scope())
            self.link()

    def front(self, call: Expr) -> tuple[list[Fact], list[Call]] | None:
        """What stands in front of the route that ``call`` registers; ``None`` when it is none of ours."""
        router = self.routes.get(id(call))
        return router.front() if router is not None else None

    # -- the walk -----------------------------------------------------------------------------------------------

    def enter(self, unit: Unit, scope: Scope) -> None:
        for position, param in enumerate(unit.params):
            if param.annotation is not None and chain(param.annotation)[-1].name in _ROUTER_TYPES:
                scope[param.name] = self.params[id(unit), position] = Router()
        self.walk(unit, unit, scope)

    def walk(self, unit: Unit, body: Unit, scope: Scope) -> None:
        for stmt in statements(body.body):
            for expr in expressions(stmt):
                for sub in subexpressions(expr):
                    if sub.kind == "call":
                        self.call(unit, sub, scope)
                    elif sub.kind == "func" and sub.unit is not None and id(sub) not in self.made:
                        self.walk(unit, sub.unit, Scope(scope))
            self.kept(unit, stmt, scope)

    def kept(self, unit: Unit, stmt: Stmt, scope: Scope) -> None:
        """``g := r.Group(…)``, ``s.router = r``, ``return r``."""
        value = stmt.value
        if stmt.kind == "return" and value is not None:
            router = self.known(value, scope)
            if router is not None:
                self.returned.setdefault(id(unit), []).append(router)
        if stmt.kind != "assign" or value is None or len(stmt.targets) != 1:
            return
        router = self.known(value, scope)
        target = stmt.targets[0]
        if router is not None and target.kind == "name":
            scope[target.name] = router
        elif router is not None and target.kind == "attr":
            self.fields[names(chain(target))] = router

    def known(self, expr: Expr, scope: Scope) -> Router | None:
        """The router an expression is, if it is one that is known already or a group of one."""
        if expr.kind == "name":
            return scope.find(expr.name)
        if expr.kind == "attr":
            return self.fields.find(names(chain(expr)))
        if expr.kind == "call":
            return self.made.get(id(expr))
        return None

    def receiver(self, unit: Unit, expr: Expr | None, scope: Scope) -> Router:
        """The router that a method is called on; one nobody has seen is made."""
        if expr is None or expr.kind not in ("name", "attr", "call"):
            return Router()
        if expr.kind == "call":
            known = self.made.get(id(expr))
            if known is None:
                base = expr.base
                if base is not None and base.kind == "attr" and base.name in self.kinds["group"]:
                    self.call(unit, expr, scope)
                    known = self.made.get(id(expr))
                inner = base.base if base is not None and base.kind == "attr" else None
                known = known or self.receiver(unit, inner, scope)  # r.PathPrefix("/x").Methods("GET")
            return known
        if expr.kind == "name":
            if expr.name in self.reader.module.imports:
                return self.fields.setdefault(expr.name, Router())
            return scope.find(expr.name) or scope.outermost().setdefault(expr.name, Router())
        return self.fields.setdefault(names(chain(expr)), Router())

    def call(self, unit: Unit, call: Expr, scope: Scope) -> None:
        base = call.base
        kind = self.kind_of(call) if base is not None and base.kind == "attr" else ""
        if base is None or id(call) in self.made:
            return
        if kind == "register":
            router = self.receiver(unit, base.base, scope)
            self.routes[id(call)] = router
            for arg in call.args:
                self.mounted(arg.value, router, scope)
        elif kind == "use":
            router = self.receiver(unit, base.base, scope)
            self.used(unit, call, router)
        elif kind == "group":
            router = self.made[id(call)] = Router(parents=[self.receiver(unit, base.base, scope)])
            self.used(unit, call, router)
            for arg in call.args:
                self.mounted(arg.value, router, scope)
                if arg.value.kind == "func" and arg.value.unit is not None:
                    self.made[id(arg.value)] = router
                    inner = Scope(scope)
                    inner.update({p.name: router for p in arg.value.unit.params[:1]})
                    self.walk(unit, arg.value.unit, inner)
        else:
            self.wrapped(unit, call, scope)

    def kind_of(self, call: Expr) -> str:
        base = call.base
        if base is None or not any(base.name in found for found in self.kinds.values()):
            return ""
        links = chain(call)
        for _, value in self.reader.matchers.calls.candidates(links):
            entry = compiled(value)
            if (
                entry.kind in self.kinds
                and entry.framework in self.reader.active
                and self.reader.conditions(entry, links)
            ):
                return entry.kind
        return ""

    def lists(self) -> dict[str, tuple[Expr, ...]]:
        """``commonAuth := []Middleware{RequireToken, …}``: lists of middleware by name; made once."""
        if self._lists is None:
            self._lists = {}
            for unit in self.reader.module.units:
                for stmt in statements(unit.body):
                    if (
                        stmt.kind == "assign"
                        and stmt.value is not None
                        and stmt.value.kind == "list"
                        and len(stmt.targets) == 1
                    ):
                        self._lists.setdefault(stmt.targets[0].name, stmt.value.items)
        return self._lists

    def spread(self, expr: Expr, depth: int = 0) -> list[Expr]:
        """``append(commonAuth, mw...)`` and named lists, as what is in them."""
        if expr.kind == "name" and expr.name in self.lists() and depth < 5:
            return [e for item in self.lists()[expr.name] for e in self.spread(item, depth + 1)]
        if expr.kind == "call" and expr.base is not None and expr.base.name == "append" and depth < 5:
            return [e for arg in expr.args for e in self.spread(arg.value, depth + 1)]
        return [expr]

    def used(self, unit: Unit, call: Expr, router: Router) -> None:
        for value in [e for arg in call.args for e in self.spread(arg.value)]:
            if value.kind in ("name", "attr", "call"):
                router.controls.extend(controls_of(self.reader, unit, value))
                router.calls.append((as_written(self.reader.module.source, value), value))

    def mounted(self, value: Expr, router: Router, scope: Scope) -> None:
        """``r.Mount("/x", sub)``, ``r.Mount("/x", patientRoutes())``, ``http.Handle("/", auth(mux))``."""
        known = self.known(value, scope)
        if known is not None and known is not router:
            known.parents.append(router)
            self.mounts.add(id(value))
        elif value.kind == "call" and not value.args:
            self.bound.append((names(chain(value)), -1, router))

    def wrapped(self, unit: Unit, call: Expr, scope: Scope) -> None:
        """``auth(mux)``: what wraps a router stands in front of it; any other function registers on it."""
        for position, arg in enumerate(call.args):
            router = self.known(arg.value, scope)
            if router is None and arg.value.kind == "call" and self.kind_of(arg.value) == "group":
                router = self.receiver(unit, arg.value, scope)
            if router is None:
                continue
            held = controls_of(self.reader, unit, call)
            router.controls.extend(held)
            router.calls.append((names(chain(call)), call))
            if not held:
                self.bound.append((names(chain(call)), position, router))

    def link(self) -> None:
        """Join what functions of this file are given, and remember what goes to others."""
        by_name: dict[str, list[Unit]] = {}
        for unit in self.reader.module.units:
            if unit.kind == "function" and not unit.anonymous:
                by_name.setdefault(unit.name, []).append(unit)
        for name, position, router in self.bound:
            root, dot, last = name.rpartition(".")
            foreign = root.partition(".")[0] in self.reader.module.imports
            here = (
                []
                if foreign
                else [
                    u for u in by_name.get(last, []) if bool(dot) is (u.parent is not None and u.parent.kind == "class")
                ]
            )
            for unit in here:
                found = self.returned.get(id(unit), ()) if position < 0 else (self.params.get((id(unit), position)),)
                for inner in found:
                    if inner is not None and inner is not router:
                        inner.parents.append(router)
            if not here:
                self.handed.append((name, router))


_ROUTER_TYPES = frozenset("Router RouterGroup Engine IRouter IRoutes Echo Group App ServeMux Mux Routes Chain".split())
