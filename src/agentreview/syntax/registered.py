"""Handlers that a registration names, in languages where it stands in another file as often as not (Go).

``r.Get("/patients/{id}", h.Show)`` joins the route with the function when the file holds it. When another file does, the
registration is an endpoint of its own, for what stands in front of it. Functions with the parameters of a handler are
endpoints too: only guessed, because their route may be anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentreview.lazyre import lazy
from agentreview.records import dataclass, replace
from agentreview.syntax.facts import Endpoint, Fact, UnitFacts
from agentreview.syntax.frameworks import Entry
from agentreview.syntax.names import as_written, last_name
from agentreview.syntax.patterns import Link, chain, names
from agentreview.syntax.reach import enclosing_class, receiver
from agentreview.syntax.routers import controls_of
from agentreview.syntax.tree import LITERAL, Arg, Expr, Unit, expressions, statements, subexpressions

if TYPE_CHECKING:
    from agentreview.syntax.reader import Reader
    from agentreview.syntax.spelling import Spelling

# "GET /x/{id}", "/x", "" in a group, "GET" alone
_ROUTE = lazy(r"(?:(?:[A-Z]+ )?[\w.*{}:-]*/\S*|[A-Z]+|\*?)$")
_PATH_NAME = lazy(r"(?i)path|route|uri|endpoint|prefix|pattern")
Call = tuple[str, Expr]


@dataclass(slots=True, eq=False, repr=False)
class Pending:
    """A registration: which unit the handler is, is known at the end of the file."""

    names: tuple[str, ...]
    endpoint: Endpoint
    controls: list[Fact]
    calls: list[Call]
    expr: Expr


def register(spelling: Spelling, entry: Entry, expr: Expr, links: list[Link]) -> None:
    """``r.Get(path, handler)``, ``g.GET(path, mw, handler)``, ``mux.Handle(path, mw(http.HandlerFunc(handler)))``."""
    reader = spelling.reader
    at = next((n for n in range(len(links) - 1, -1, -1) if len(links[n].args or ()) >= 2), -1)
    args = (links[at].args or ()) if at >= 0 else ()
    if not args or not _is_route(reader, args):
        return
    first = args[0].value
    path = "".join(s.name for s in subexpressions(first) if s.kind in ("str", "fstr"))
    if path.isupper():  # Handle("GET", "/x", h)
        path = next((a.value.name for a in args[1:2] if a.value.kind == "str"), "")
    front = reader.routers.front(links[at].expr)
    router = links[at - 1].name if at else ""
    endpoint = Endpoint(spelling.unit, entry.framework, router, path, expr.line, placed=front is not None)
    controls: list[Fact] = []
    calls: list[Call] = []
    handlers: list[Unit] = []
    named: list[str] = []
    expected = args[entry.at].value if -len(args) <= entry.at < len(args) else args[-1].value
    for arg in args[1:]:
        handlers.extend(s.unit for s in subexpressions(arg.value) if s.kind == "func" and s.unit is not None)
        for item in reader.routers.spread(arg.value):
            if item.kind not in ("name", "attr", "call"):
                continue
            controls.extend(controls_of(reader, spelling.unit, item))
            calls.append((as_written(reader.module.source, item), item))
            if item is expected and item.kind != "call":
                named.append(as_written(reader.module.source, item))
            elif item is expected:
                named.extend(_inside(spelling, item, controls, calls))
    if front is not None:
        controls.extend(front[0])
        calls.extend(front[1])
    if handlers:
        found = handlers[0]
        reader.handlers[id(found)] = (replace(endpoint, unit=found), [replace(f, unit=found) for f in controls], calls)
    elif named:
        reader.registrations.append(Pending(tuple(named), endpoint, controls, calls, links[at].expr))


def _is_route(reader: Reader, args: tuple[Arg, ...]) -> bool:
    """Whether the arguments are a path and a handler: ``client.Get(ctx, key)`` is no route, a router under a path neither."""
    first = args[0].value
    if any(id(a.value) in reader.routers.mounts for a in args):
        return False
    if first.kind in ("name", "attr"):  # a constant: paths.Patient, uriAdmin
        return chain(first)[0].name in reader.module.imports or _PATH_NAME.search(first.name) is not None
    texts = [s for s in subexpressions(first) if s.kind in ("str", "fstr")]
    return any(_ROUTE.match(t.name) for t in texts)


def _inside(spelling: Spelling, call: Expr, controls: list[Fact], calls: list[Call]) -> list[str]:
    """Names a wrapped handler may have: ``http.HandlerFunc(h.Show)``, ``mw(Audit, h.Show)``, ``showPatient(store)``."""
    out: list[str] = []
    for sub in subexpressions(call):
        if sub.kind in ("name", "attr") and sub is not call.base:
            held = controls_of(spelling.reader, spelling.unit, sub)
            controls.extend(f for f in held if not any(f.concept == c.concept for c in controls))
            name = as_written(spelling.reader.module.source, sub)
            calls.append((name, sub))
            out.append(name)
    return [*out, names(chain(call))]


# -- at the end of the file --------------------------------------------------------------------------------------


def join(reader: Reader) -> None:
    """Join routes with the handlers they name, and remember what goes to other files behind which controls."""
    by_short: dict[str, list[Unit]] = {}
    for function in reader.module.units:
        if function.kind == "function" and not function.anonymous:
            by_short.setdefault(function.name, []).append(function)
    for route in reader.registrations:
        unit = _handler(reader, route, by_short)
        if unit is None:
            _elsewhere(reader, route)
            continue
        known = reader.analysis.endpoints.get(id(unit))
        if known is None or known.guessed:
            reader.analysis.endpoints[id(unit)] = replace(route.endpoint, unit=unit)
        reader.analysis.own(unit).facts.extend(replace(f, unit=unit) for f in route.controls)
        reader.reread(unit)
        reader.analysis.own(unit).calls.extend(route.calls)
    for name, router in reader.routers.handed:
        reader.analysis.handed.append((typed(reader, name), router.front()[0]))


def _handler(reader: Reader, route: Pending, by_short: dict[str, list[Unit]]) -> Unit | None:
    """The unit of this file that a route names: of several, the one that looks like a handler."""
    units = [
        u
        for n in route.names
        if n.partition(".")[0] not in reader.module.imports
        for u in by_short.get(n.rsplit(".", 1)[-1], ())[:1]
    ]
    known = next((u for u in units if id(u) in reader.analysis.endpoints), None)
    return known or next((u for u in units if not _wraps(u)), None)


def _wraps(unit: Unit) -> bool:
    return any(p.annotation is not None and "Handler" in last_name(p.annotation) for p in unit.params)


def _elsewhere(reader: Reader, route: Pending) -> None:
    """A route to a handler of another file: a unit that is only the registration."""
    expr, around = route.expr, route.endpoint.unit
    name = f"{chain(expr)[-1].name} {route.endpoint.path or route.names[-1]}"[:100]
    qualname = name if around.kind == "module" else f"{around.qualname}.{name}"
    unit = Unit(
        "function", name, qualname, expr.line, expr.end_line, expr.start, expr.end, parent=around, header_line=expr.line
    )
    reader.analysis.endpoints[id(unit)] = replace(route.endpoint, unit=unit, handler=route.names[0])
    own = reader.analysis.units[id(unit)] = UnitFacts(unit)
    own.facts.extend(replace(f, unit=unit) for f in route.controls)
    named = [(typed(reader, n, around), expr) for n in route.names]
    own.calls.extend([*named, *route.calls])
    reader.analysis.handed.extend((n, route.controls) for n, _ in named)


def typed(reader: Reader, name: str, unit: Unit | None = None) -> str:
    """``h.Show`` as a method of what ``h`` is, where this file says it: a type, or the package that made it."""
    root, _, rest = name.partition(".")
    if root in ("self", "this") and rest and unit is not None:
        cls = enclosing_class(unit)
        first, _, last = rest.partition(".")
        if cls is not None and last:
            kind = reader.members.get(id(cls), {}).get(first, "")
            return f"{kind}.{last}" if kind else name
        kind = cls.name if cls is not None else receiver(unit)
        return f"{kind}.{rest}" if kind else name
    kind = reader.kinds_of_names().get(root, "")
    return f"{kind}.{rest}" if kind and rest else name


def kinds_of_names(reader: Reader) -> dict[str, str]:
    """What local names are, by the types of parameters and by the package or constructor that made them."""
    out: dict[str, str] = {}
    for unit in reader.module.units:
        for param in unit.params:
            if param.name and param.annotation is not None:
                out.setdefault(param.name, names(chain(param.annotation)))
        for stmt in statements(unit.body):
            if stmt.kind != "assign" or stmt.value is None or not stmt.targets:
                continue
            target = stmt.targets[0].items[0] if stmt.targets[0].items else stmt.targets[0]
            made = chain(stmt.value)
            if target.kind != "name":
                continue
            if stmt.value.name == LITERAL:
                out.setdefault(target.name, names(made))
            elif len(made) > 1 and made[0].name in reader.module.imports:
                out.setdefault(target.name, made[0].name)
            elif len(made) == 1 and made[0].name.startswith("New") and made[0].args is not None:
                out.setdefault(target.name, made[0].name[3:])
    return out


# -- by their signatures -----------------------------------------------------------------------------------------


def signed(reader: Reader, unit: Unit, own: UnitFacts) -> None:
    """Endpoints and jobs by the types of their parameters and result, and functions that return such a function."""
    for entry in reader.matchers.kinds.get("signature", ()):
        if entry.framework not in reader.active:
            continue
        made = [child for child in unit.children if child.anonymous and _has_signature(child, entry)]
        back = [s for s in statements(unit.body) if s.kind == "return"] if made else []
        returned = [child for child in made if any(s.start <= child.start and child.end <= s.end for s in back)]
        found = unit if _has_signature(unit, entry) else returned[0] if returned and not _wraps(unit) else None
        if found is None or _passes_on(found, entry):
            continue
        if entry.concept == "endpoint":
            endpoint = Endpoint(unit, entry.framework, line=unit.header_line, guessed=True)
            reader.analysis.endpoints.setdefault(id(unit), endpoint)
        else:
            line = unit.header_line or unit.line
            own.facts.append(
                Fact(entry.concept, unit, unit.start, unit.start, line, line, unit.name, framework=entry.framework)
            )
        return


def _has_signature(unit: Unit, entry: Entry) -> bool:
    """Whether the function's parameters, and its result, have exactly the types of the entry."""
    if entry.signature is None or unit.kind != "function":
        return False
    types, answer = entry.signature
    given = [names(chain(p.annotation)) for p in unit.params if p.annotation is not None]
    if len(given) != len(types) or len(given) != len(unit.params):
        return False
    result = "" if unit.returns is None else names(chain(unit.returns))
    return (answer.matches(result) if answer is not None else not result) and all(
        wanted.matches(kind) for wanted, kind in zip(types, given, strict=True)
    )


def _passes_on(unit: Unit, entry: Entry) -> bool:
    """Whether the function calls one of the names that a middleware calls to go on."""
    if entry.unless is None:
        return False
    held = (sub for stmt in statements(unit.body) for expr in expressions(stmt) for sub in subexpressions(expr))
    called = (chain(sub) for sub in held if sub.kind == "call")
    return any(entry.unless.matches(names(links)) for links in called)
