"""Small questions about names: the last of a chain, those inside an argument, the resource of a type."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.globs import matches
from agentreview.lazyre import lazy
from agentreview.syntax.frameworks import Entry, LazyEntry
from agentreview.syntax.lexicon import resource_name
from agentreview.syntax.patterns import Link, chain, glob
from agentreview.syntax.tree import Expr, Param, Unit, subexpressions


def compiled(value: object) -> Entry:
    """The entry behind what the index holds."""
    if not isinstance(value, LazyEntry):
        raise TypeError("the index holds what matchers() filed")
    return value.get()


def class_rows(links: list[Link]) -> bool:
    """``self.get_queryset().filter(…)``: which rows the view may see is decided, and judged, in get_queryset."""
    return (
        len(links) > 2
        and links[0].name in ("self", "super")
        and links[1].name in ("get_queryset", "filter_queryset", "get_object")
    )


_CONSTANT = lazy(r"://|(?i:^\s*(?:select|insert|update|delete|with)\s)")


def constants(module: Unit) -> Iterator[tuple[str, Expr]]:
    """Addresses and statements that a module keeps under a name: what a function does with the name, it does with them."""
    for stmt in module.body:
        if stmt.kind == "assign" and len(stmt.targets) == 1 and stmt.targets[0].kind == "name":
            value = stmt.value
            if value is not None and value.kind == "str" and _CONSTANT.search(value.name[:200]):
                yield stmt.targets[0].name, value


def annotated(value: Expr | None) -> bool:
    """Whether a type brings a dependency along: ``Annotated[User, Depends(require("read"))]``."""
    return value is not None and value.kind == "sub" and any(link.name == "Annotated" for link in chain(value))


def as_written(source: str, expr: Expr) -> str:
    """A dotted name whose last part stands as it is in the source: Go's `h.Show` is a method as often as a field."""
    dotted = ".".join(link.name for link in chain(expr))
    if expr.kind != "attr":
        return dotted
    last = re.search(r"\w+$", source[expr.start : expr.end])
    return dotted.rpartition(".")[0] + "." + last[0] if last is not None and "." in dotted else dotted


def bare_link(name: str) -> Link:
    """A link that is only a name."""
    return Link(name, None, None, Expr("name", 0, 0, 1, 1, name=name))


def name_expr(name: str, unit: Unit) -> Expr:
    """An expression that is only a name, at the start of the unit."""
    return Expr("name", unit.start, unit.start, unit.line, unit.line, name=name)


def parameter_expr(name: str, unit: Unit, source: str) -> Expr:
    """Where a parameter's name stands in the source; parameters carry no span of their own."""
    found = re.compile(rf"\b{re.escape(name)}\b").search(
        source, unit.start + max(source[unit.start : unit.end].find("("), 0)
    )
    start = found.start() if found else unit.start
    line = source.count("\n", 0, start) + 1
    return Expr("name", start, start + len(name), line, line, name=name)


def names_in(expr: Expr | None) -> list[str]:
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


def has_argument(expr: Expr, name: str | None, key: str, value: str) -> bool:
    """Whether an argument is ``key=value`` (keyword, or property of an object argument). ``*`` = any value."""
    if name == key and value.startswith("["):
        return any(glob(value).matches(n) for n in names_in(expr))
    if name == key:
        return value == "*" or (expr.kind in ("const", "str", "name") and expr.name.lower() == value.lower())
    return any(has_argument(a.value, a.name, key, value) for a in expr.args) if expr.kind == "dict" else False


def last_name(expr: Expr | None) -> str:
    """The last name of a chain."""
    if expr is None:
        return ""
    links = chain(expr)
    return links[-1].name


def root_name(expr: Expr | None) -> str:
    """The first name of a chain that is a class."""
    return next((link.name for link in chain(expr) if link.name[:1].isupper()), "") if expr is not None else ""


def type_resource(annotation: Expr | None) -> str:
    """Resource of a type: ``Patient``, ``models.Patient``, ``Repository<Patient>``, ``list[Patient]``, ``Patient | None``."""
    if annotation is None:
        return ""
    if annotation.kind == "sub" and annotation.items:
        return type_resource(annotation.items[0])
    if annotation.kind in ("other", "bin", "list"):
        return next((r for r in map(type_resource, annotation.items) if r), "")
    if annotation.kind == "str":
        return annotation.name if annotation.name[:1].isupper() and annotation.name.isidentifier() else ""
    name = last_name(annotation)
    return name if name[:1].isupper() and not name.isupper() else ""


_CONTAINERS = frozenset(
    "list tuple set frozenset Sequence Iterable Collection Iterator List Tuple Set Array ReadonlyArray Optional None undefined null".split()
)


def inert_type(annotation: Expr | None, inert: frozenset[str]) -> bool:
    """Whether a type holds nothing but such values: ``int``, ``list[int]``, ``number[]``, ``UUID | None``."""
    names = [] if annotation is None else [n.rsplit(".", 1)[-1] for n in names_in(annotation)]
    return any(n in inert for n in names) and all(n in inert or n in _CONTAINERS for n in names)


def shaped_as(unit: Unit) -> str:
    """The type an endpoint's answer is cut to: ``response_model=PatientCard``, ``-> PatientCard``."""
    for decorator in unit.decorators:
        for arg in chain(decorator)[-1].args or ():
            if arg.name == "response_model":
                return type_resource(arg.value)
    return type_resource(unit.returns)


def decorated_resource(param: Param) -> str:
    """The resource a parameter decorator names: ``@InjectRepository(Patient)``."""
    for decorator in param.decorators:
        for arg in chain(decorator)[-1].args or ():
            name = root_name(arg.value)
            if name:
                return name
    return ""


_VERB = lazy(
    r"^(?:get|find|list|fetch|load|read|search|select|query|lookup|count|create|insert|add|save|store|put|update|upsert|set|patch|delete|remove|archive|purge)"
    r"(?:All|One|Many|Or|First|By(?=[A-Z]\w*$))?(?=[A-Z]|$)",
    re.IGNORECASE,
)
_DETAIL = lazy(
    r"(?:By|For|With|From|In|Of|Where|And|Tx|Ctx|WithContext|Details?|Record|Row|Rows|Records)(?=[A-Z]|$).*$"
)
_SEVERAL = lazy(r"^(?i:list|search|select|query|count|find_?all|get_?all)(?=[A-Z]|$)")


def named_resource(links: list[Link]) -> tuple[str, bool]:
    """(resource, whether one row) by the callee's name: ``store.GetPatientByID`` is one Patient, ``ListPatients`` several."""
    name = links[-1].name
    verb = _VERB.match(name)
    noun = _DETAIL.sub("", name[verb.end() :]) if verb is not None else ""
    if not noun:
        return (resource_name(links[-2].name) if len(links) > 1 else ""), not _SEVERAL.match(name)
    many = noun.endswith("s") and not noun.endswith(("ss", "us", "is"))
    one = f"{noun[:-3]}y" if noun.endswith("ies") else noun[:-1] if many else noun
    return one, not many and not _SEVERAL.match(name)


_PLACED = frozenset({"RequestMapping", "Path", "Controller", "Client", "HttpExchange"})


def whole_path(unit: Unit, path: str) -> str:
    """The path of an endpoint below its class: ``@RequestMapping("/patients")`` and ``@GetMapping("/{id}")``, ``@Path`` beside ``@GET``."""

    def said(one: Unit) -> str:
        held = [d for d in one.decorators if chain(d)[-1].name in _PLACED]
        found = (a.value for d in held for a in chain(d)[-1].args or () if a.name in (None, "value", "path"))
        return next((s.name for value in found for s in subexpressions(value) if s.kind == "str"), "")

    outer = said(unit.parent) if unit.parent is not None and unit.parent.kind == "class" else ""
    own = path or said(unit)
    parts = [part.strip("/") for part in (outer, own) if part.strip("/")]
    return "/" + "/".join(parts) if parts else ""


def path_matches(path: str, pattern: str) -> bool:
    """``**/route.ts|**/pages/api/**``: any of the globs."""
    return matches(path, [p.strip() for p in pattern.split("|")])
