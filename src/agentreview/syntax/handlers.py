"""Functions that answer because something is given them: routes, procedures, resolvers, queue workers.

The call that takes a function says what answers and, by its receiver and its other arguments, what stands in front:
``router.get(path, requireAuth, handler)``, ``protectedProcedure.input(schema).query(handler)``,
``server.route({ preHandler: verifyToken, handler })``, ``new Worker("mail", handler)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from agentreview.records import dataclass, field, replace
from agentreview.syntax.facts import Endpoint, Fact, UnitFacts
from agentreview.syntax.frameworks import VALUES, Entry
from agentreview.syntax.patterns import Link, chain, glob, names
from agentreview.syntax.tree import Arg, Expr, Param, Stmt, Unit, subexpressions

if TYPE_CHECKING:
    from agentreview.syntax.spelling import Spelling

# Concepts that the call which registers a handler spells for it: ``server.get(path, { schema }, handler)``.
HANDED = frozenset("authn opening object-check membership scope audit validate token-check sanitize redact".split())
_DATA = frozenset({"read", "write", "delete"})
_FUNCTIONS = ("name", "attr")  # besides a function itself: what refers to one
# Properties of an options object that hold what runs before the handler.
_BEFORE = glob("pre*|on[A-Z]*|before*|middleware*|use|guards|auth|permission*|extensions|dependencies")
VERBS = frozenset("get post put patch delete del all".split())  # of routes, with a path and a handler
_PREFIXES = frozenset({"route", "path"})  # router.route("/patients/:id").get(show).put(update)
_HOPS = 3  # from a constant to those it is made of
_PARTS = 200  # of one constant that are looked at


@dataclass(slots=True)
class Taken:
    """What a call says of the functions it takes: controls in front, and names that may be helpers."""

    controls: list[Fact] = field(default_factory=list)
    calls: list[tuple[str, Expr]] = field(default_factory=list)

    def add(self, facts: Iterable[Fact]) -> None:
        """Add controls that are not there yet."""
        known = {(f.concept, f.call) for f in self.controls}
        self.controls.extend(f for f in facts if (f.concept, f.call) not in known)


def route(
    spelling: Spelling, entry: Entry, expr: Expr, links: list[Link], earlier: Iterable[Expr] = (), held: str = ""
) -> None:
    """``router.get(path, ...middleware, handler)``, ``router.route(path).get(handler)``.

    ``earlier`` are the middleware of the same chain: ``new Hono().use(requireAuth).get(path, handler)``. ``held`` is the
    name that the router has, where the chain begins with what made it.
    """
    args = links[-1].args or ()
    path = args[0].value.name if args and args[0].value.kind in ("str", "fstr") else ""
    rest = args[1:] if path else args
    if not path:
        prefix = next((link.args[0].value for link in links[:-1] if link.name in _PREFIXES and link.args), None)
        if len(args) < 2 and prefix is None:
            return
        path = prefix.name if prefix is not None and prefix.kind in ("str", "fstr") else ""
        rest = args if prefix is not None else args[1:]
    router = held or (links[-2].name if len(links) > 1 else "")
    taken = Taken()
    units: list[Unit] = []
    named: list[str] = []
    _spelled(spelling, expr, _ends(links), taken)
    for item in earlier:
        _control(spelling, item, taken)
    for position, arg in enumerate(rest, 1):
        found = [s.unit for s in subexpressions(arg.value) if s.kind == "func" and s.unit is not None]
        if found and arg.value.kind != "dict":
            units.append(found[0])
        if arg.value.kind == "dict":
            _options(spelling, arg.value.args, taken)
        for item in arg.value.items if arg.value.kind == "list" else (arg.value,):
            if item.kind in ("name", "attr", "call"):
                _control(spelling, item, taken)
                if position == len(rest) and item.kind != "call":
                    named.append(chain(item)[-1].name)
    _register(spelling, Endpoint(spelling.unit, entry.framework, router, path, expr.line), taken, units, named)


def chained(spelling: Spelling, links: list[Link], maker: list[Link]) -> None:
    """The routes in the middle of a chain: ``app.get("/a", show).post("/b", requireAuth, create)``.

    ``maker`` is what made the name that the chain begins with, where only that tells that it is a router.
    """
    held = links[0].name if maker else ""
    links = [*maker, *links[1:]] if maker else links
    earlier: list[Expr] = []
    for size in range(1, len(links) + 1):
        part = links[:size]
        args = part[-1].args
        if args is None:
            continue
        entry = next((e for e, _, _ in spelling.reader.entries(_ends(part)) if e.kind == "route"), None)
        if entry is None or size <= len(maker):
            earlier.extend(a.value for a in args if a.value.kind in ("name", "attr", "call"))
        else:
            at = args[0].value if args and size < len(links) else part[-1].expr
            route(spelling, entry, at, part, earlier, held)


def _ends(links: list[Link]) -> list[Link]:
    """What a route is told by: the middle of a chain of hundreds of them says nothing, and costs."""
    return [*links[:2], *links[-2:]] if len(links) > 4 else links


def handler(spelling: Spelling, entry: Entry, expr: Expr, links: list[Link]) -> None:
    """``procedure.input(schema).mutation(handler)``, ``agenda.define(name, handler)``, ``field({ resolve: handler })``."""
    taken = Taken()
    given: list[Expr] = []
    _spelled(spelling, expr, links, taken)
    for link in links[:-1]:
        _control(spelling, link.expr, taken)
        for arg in link.args or ():
            _control(spelling, arg.value, taken)
    for arg in links[-1].args or ():
        if entry.property is not None:
            given.extend(_held(arg, entry))
        elif arg.value.kind == "func" or arg.value.kind in _FUNCTIONS:
            given.append(arg.value)
        if arg.value.kind == "dict":
            _options(spelling, arg.value.args, taken)
        elif arg.name:
            _options(spelling, (arg,), taken)
        else:
            _control(spelling, arg.value, taken)
    units = [e.unit for e in given if e.kind == "func" and e.unit is not None]
    named = [chain(e)[-1].name for e in given if e.kind in _FUNCTIONS]
    if entry.concept != "endpoint":
        taken.controls.append(spelling.reader.fact(entry, spelling.unit, expr, links))
        _register(spelling, None, taken, units, named)
        return
    label = next((a.value.name for a in links[-1].args or () if a.value.kind == "str"), "")
    found = Endpoint(spelling.unit, entry.framework, "", label, expr.line, shaped=entry.shaped, client=entry.client)
    _register(spelling, found, taken, units, named)


def _held(arg: Arg, entry: Entry) -> list[Expr]:
    """Functions under the entry's property: of an object argument, or a keyword."""
    if entry.property is not None and arg.name and entry.property.matches(arg.name):
        return [arg.value]
    parts = arg.value.args if arg.value.kind == "dict" else ()
    return [p.value for p in parts if p.name and entry.property is not None and entry.property.matches(p.name)]


def members(spelling: Spelling, entry: Entry, value: Expr) -> None:
    """``{ Query: { patient: (parent, args, context) => … } }``: the functions of an object answer."""
    units: list[Unit] = []
    named: list[str] = []
    for arg in value.args:
        inner = arg.value
        if inner.kind == "func" and inner.unit is not None:
            units.append(inner.unit)
        elif inner.kind == "call":  # authenticated(async (parent, args) => …)
            units.extend(a.value.unit for a in inner.args if a.value.kind == "func" and a.value.unit is not None)
        elif inner.kind == "name":
            named.append(inner.name)
    found = Endpoint(spelling.unit, entry.framework, line=value.line, shaped=entry.shaped, client=entry.client)
    _register(spelling, found, Taken(), units, named)


def middleware(spelling: Spelling, expr: Expr) -> list[Fact]:
    """Controls that an argument names: ``requireAuth``, ``requireRole("admin")``, ``passport.authenticate("jwt")``."""
    out: list[Fact] = []
    links = chain(expr)
    if links[-1].args is None:
        links = [*links[:-1], Link(links[-1].name, (), links[-1].key, links[-1].expr)]
    reader = spelling.reader
    for entry, _, _ in (*reader.entries(links, decorator=True), *reader.entries(links)):
        if (
            entry.concept not in _DATA
            and entry.concept not in VALUES
            and entry.kind not in ("route", "handler")
            and not any(f.concept == entry.concept for f in out)
        ):
            fact = reader.fact(entry, spelling.unit, expr, links)
            fact.framework = "route"
            out.append(fact)
    return out


def _spelled(spelling: Spelling, expr: Expr, links: list[Link], taken: Taken) -> None:
    """Controls that the whole call spells beside its handler: the schema among its options."""
    found = [e for e, _, _ in spelling.reader.entries(links) if e.kind == "call" and e.concept in HANDED]
    taken.add(replace(spelling.reader.fact(e, spelling.unit, expr, links), framework="route") for e in found)


def _options(spelling: Spelling, args: Iterable[Arg], taken: Taken) -> None:
    for arg in args:
        if arg.name and _BEFORE.matches(arg.name):
            for item in arg.value.items if arg.value.kind == "list" else (arg.value,):
                _control(spelling, item, taken)


def _control(spelling: Spelling, item: Expr, taken: Taken) -> None:
    """What an argument or a link of the receiver controls: by its name, and by what the constant of that name holds."""
    if item.kind not in ("name", "attr", "call"):
        return
    taken.add(middleware(spelling, item))
    if item.kind == "call":  # dependencies=[Depends(current_user)]
        holder = UnitFacts(spelling.unit)
        spelling.reader.param_facts(spelling.unit, Param("", default=item), holder)
        taken.add(replace(f, framework="route") for f in holder.facts if f.concept in HANDED)
        taken.calls.extend(holder.calls)
    taken.calls.append((names(chain(item)), item))
    taken.add(_constant(spelling, chain(item)[0].name, item.start, _HOPS))


def _constant(spelling: Spelling, name: str, at: int, hops: int) -> list[Fact]:
    """Controls in the module's constant of this name: ``const isAuthed = t.middleware(…)``, ``base.use(isAuthed)``.

    ``at`` is where it is named: a statement lends nothing to what stands in it.
    """
    reader = spelling.reader
    stmt: Stmt | None = reader.made.get(name)
    if stmt is None or stmt.value is None or hops == 0 or stmt.start <= at < stmt.end:
        return []
    known = reader.lending.get(name)
    if known is not None:
        return known
    out = [
        replace(f, framework="route")
        for f in reader.analysis.own(reader.module.root).facts
        if stmt.start <= f.start < stmt.end and f.concept not in _DATA
    ]
    for sub in islice(subexpressions(stmt.value), _PARTS):
        if sub.kind == "name":
            out.extend(middleware(spelling, sub))
            out.extend(_constant(spelling, sub.name, at, hops - 1) if sub.name != name else ())
    reader.lending[name] = out
    return out


def _register(
    spelling: Spelling, endpoint: Endpoint | None, taken: Taken, units: Iterable[Unit], named: Iterable[str]
) -> None:
    for unit in units:
        mine = replace(endpoint, unit=unit) if endpoint is not None else None
        spelling.reader.handlers[id(unit)] = (mine, [replace(f, unit=unit) for f in taken.controls], taken.calls)
    for name in named:
        spelling.reader.pending_routes.append((name, endpoint, taken.controls, taken.calls))
