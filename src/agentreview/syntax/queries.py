"""What a query says: which keys select rows, whose they are, and what raw SQL mentions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.lazyre import lazy
from agentreview.records import dataclass, replace
from agentreview.syntax.lexicon import Lexicon, flat
from agentreview.syntax.patterns import Link, chain
from agentreview.syntax.tree import LITERAL, Arg, Expr
from agentreview.syntax.values import Evaluator
from agentreview.syntax.worded import spelled_out

_TABLE = lazy(r"\b(?:from|join|update|into|table)\s+[\"'`\[]?(?:[a-z_][\w]*\.)?[\"'`\[]?([a-z_]\w*)", re.IGNORECASE)
_STATEMENT = lazy(
    r"\b(?:select|insert|update|delete|from|where|join|order\s+by|group\s+by|limit|set|alter|create|drop|truncate|call|exec|with|values|union|and|or)\b",
    re.IGNORECASE,
)
_WORD = lazy(r"[A-Za-z_]\w*")
_SINGLE = frozenset(
    "get get_or_404 first_or_404 get_object_or_404 one one_or_none findUnique findUniqueOrThrow findFirst findFirstOrThrow findOne findOneBy findOneOrFail findOneByOrFail findByPk findById".split()
)
NUMBERS = frozenset(
    "count exists aggregate countDocuments estimatedDocumentCount countBy groupBy acount aexists".split()
)
# What a bulk form answers with is how many rows it changed.
COUNTS = frozenset("update aupdate bulk_update abulk_update delete adelete updateMany deleteMany createMany".split())
_CAPABILITY = lazy(r"(?:token|secret|signature)(?:hash)?$")  # a row's own secret, that a link carries
_BUILT = lazy(r"(?:[a-z](?:Where|Filter|Scope)|where)(?:Input|Clause|Query|Condition)?$")  # envelopeWhereInput
_OPERATORS = frozenset("Q and_ or_ not_ eq inArray and or where filter filter_by In Equal".split())
_IDENTITY = frozenset({"id", "pk", "uuid", "guid"})
_TAGS = frozenset({"sql"})  # template tags that bind their holes as parameters
_NAMED = frozenset("eq where andWhere whereIn in match".split())
_UPDATES = frozenset(
    "update updateMany updateManyAndReturn upsert findByIdAndUpdate findOneAndUpdate updateOne aupdate update! update_all update_columns update_column update_attribute update_attributes upsert_all insert_all".split()
)
_SETS = frozenset("Updates Update UpdateColumn UpdateColumns Assign Attrs".split())  # GORM: what a row becomes
_WRITTEN = frozenset("data set create update values $set".split())
_LIST_ONLY = frozenset(
    "select include orderBy order_by only values defer fields attributes columns take skip limit prefetch_related select_related update_fields".split()
)


@dataclass(frozen=True, slots=True)
class Predicate:
    """``keyed``: a row key comes from the client; ``request``: anything does; ``scoped``/``owned``: limited to the
    tenant / the caller; ``single``: asks for one row; ``mentions_tenant``: a tenant key occurs at all; ``alone``: the key
    from the client is the only condition; ``capability``: the client sent the row's own secret.
    """

    keyed: bool = False
    request: bool = False
    scoped: bool = False
    owned: bool = False
    single: bool = False
    mentions_tenant: bool = False
    alone: bool = False
    capability: bool = False
    countable: bool = False


def predicate(links: list[Link], evaluator: Evaluator, lexicon: Lexicon) -> Predicate:
    """Read the arguments of every call in the chain."""
    keyed = request = scoped = owned = mentions = capability = countable = False
    conditions = 0
    single = any(link.name in _SINGLE for link in links if link.args is not None)
    for link in links:
        if link.name in _LIST_ONLY:
            continue
        if evaluator.ruby and link.name in _CLAUSES and _names_tenant(link, lexicon):
            mentions = scoped = True
        for key, value in _pairs(_conditions(link, evaluator.language), evaluator):
            if (key is not None and key in _LIST_ONLY) or value.kind == "dict":
                continue  # the parts of a dict come one by one
            conditions += value.kind != "const"
            known = evaluator.value(value)
            tenant = (key is not None and lexicon.tenant_key(key)) or (
                value.kind in ("name", "attr", "sub", "call") and _tenantish(value, lexicon)
            )
            if tenant:
                mentions = scoped = True
            if not tenant and (
                known.caller
                or (key is not None and lexicon.owner_key(key) and not known.request)
                or (
                    key in ("id", "pk")
                    and value.kind == "attr"
                    and value.base is not None
                    and lexicon.owner_key(value.base.name)
                    and not known.request
                )
            ):
                owned = True
            if known.scoped:
                scoped = True
            if known.owned:
                owned = True
            if known.request:
                request = True
                if key is None or lexicon.row_key(key):
                    keyed = True
                    countable |= known.number
                    single = single or (key is not None and flat(key) in _IDENTITY)
                if key is not None and _CAPABILITY.search(flat(key)):
                    owned = capability = True  # who knows the secret may have the row
            if value.kind not in ("dict", "list", "const") and (
                key in ("where", "options")
                or (value.kind == "name" and not known.request and _BUILT.search(value.name))
            ):
                scoped = owned = True  # the predicate is built elsewhere: judged there, not here
            if known.record and known.certain and not known.request:
                owned = owned or known.owned
                scoped = scoped or known.scoped
    alone = keyed and conditions == 1
    return Predicate(keyed, request, scoped, owned, single, mentions, alone, capability, countable)


_CLAUSES = frozenset("where rewhere find_by find_by! exists? find_by_sql having joins".split())


def _names_tenant(link: Link, lexicon: Lexicon) -> bool:
    """``where("clinic_id = ? AND id = ?", …)``: the text of a condition speaks of the tenant's column."""
    text = link.args[0].value if link.args else None
    return text is not None and text.kind in ("str", "fstr") and any(map(lexicon.tenant_key, _WORD.findall(text.name)))


def picks(links: list[Link]) -> bool:
    """Whether a query names the columns it wants: ``select: {…}``, ``.only(…)``, ``.values(…)`` with names."""
    for link in links:
        args = link.args or ()
        if link.name in ("only", "values", "values_list", "with_only_columns", "load_only", "pick") and args:
            return True
        for arg in args:
            keys = [a.name for a in arg.value.args] if arg.value.kind == "dict" else [arg.name]
            if any(key in ("select", "attributes", "fields", "columns", "projection") for key in keys):
                return True
    return False


def _conditions(link: Link, language: str = "") -> tuple[Arg, ...]:
    """The arguments that choose rows: what an update writes (``data``, ``.update(signed_by=…)``) chooses none."""
    args = link.args or ()
    if link.name in _SETS:
        return ()
    if args and language in ("go", "java"):
        args = spelled_out(link, args, language)
    if link.name in _NAMED and len(args) > 1 and args[0].value.kind == "str":
        return (Arg(args[0].value.name.rsplit(".", 1)[-1], args[-1].value),)  # .where("org_id", orgId), .eq("id", id)
    if link.name not in _UPDATES:
        return args
    if len(args) > 1 and args[-1].name is None and args[-1].value.kind == "dict":
        args = args[:-1]  # repo.update({ id }, { signedBy })
    kept = (a for a in args if a.name is None or a.name in ("where", "criteria", "id", "pk"))
    return tuple(
        replace(a, value=replace(a.value, args=tuple(p for p in a.value.args if p.name not in _WRITTEN)))
        if a.value.kind == "dict"
        else a
        for a in kept
    )


def _tenantish(expr: Expr, lexicon: Lexicon) -> bool:
    links = chain(expr)
    last = links[-1]
    name = last.key.name if last.key is not None and last.key.kind == "str" else last.name
    dotted = ".".join(link.name for link in links)
    return lexicon.tenant_key(name) or any(
        dotted == source or dotted.startswith(source + ".") for source in lexicon.facts.tenant.sources
    )


def _pairs(args: tuple[Arg, ...], evaluator: Evaluator, depth: int = 0) -> Iterator[tuple[str | None, Expr]]:
    """Yield (key, value) of keywords, object properties, comparisons and nested conditions."""
    if depth > 8:
        return
    for arg in args:
        if arg.name not in _LIST_ONLY:  # include: { team: true } shows a tenant and limits nothing
            yield from _pair(arg.name, arg.value, evaluator, depth, spread=arg.spread)


def _operator(value: Expr) -> bool:
    return chain(value)[-1].name in _OPERATORS


def _pair(
    name: str | None, value: Expr, evaluator: Evaluator, depth: int, *, spread: bool = False
) -> Iterator[tuple[str | None, Expr]]:
    if value.kind == "dict":
        if name is not None:
            yield name, value
        yield from _pairs(value.args, evaluator, depth + 1)
    elif value.kind == "list":
        for item in value.items:
            yield from _pair(name, item, evaluator, depth + 1)
    elif value.kind == "bin" and len(value.items) == 2 and not value.name.strip().startswith(("+", "-", "*")):
        left = value.items[0]
        if value.name.strip() in ("&", "|", "and", "or", "&&", "||", "??"):
            for item in value.items:
                yield from _pair(None, item, evaluator, depth + 1)
        else:
            yield (chain(left)[-1].name if left.kind in ("attr", "name", "call", "sub") else None), value.items[1]
    elif value.kind == "bin":
        for item in value.items:
            yield from _pair(name, item, evaluator, depth + 1)
    elif value.kind == "call" and value.name == LITERAL:
        if name is not None:
            yield name, value
        yield from _pairs(value.args, evaluator, depth + 1)
    elif value.kind == "call" and depth < 8 and (name is None or (name == "where" and _operator(value))):
        links = chain(value)
        yield None, value
        if _operator(value) or (len(links) > 1 and links[0].name in ("select", "query", "Op", "literal")):
            inner = links[-1].args or ()
            if links[-1].name in ("eq", "inArray") and len(inner) == 2:
                left = inner[0].value
                yield (
                    (
                        left.name
                        if left.kind == "str"
                        else chain(left)[-1].name
                        if left.kind in ("attr", "name")
                        else None
                    ),
                    inner[1].value,
                )
            for link in links:
                yield from _pairs(link.args or (), evaluator, depth + 1)
    elif value.kind == "func" and name == "where" and value.unit is not None and depth < 8:
        answers = [s.value for s in value.unit.body if s.kind == "return" and s.value is not None]
        for answer in answers:  # where: (patients, { eq }) => eq(patients.id, id)
            yield from _pair("where", answer, evaluator, depth + 1)
    elif value.kind == "spread" or spread:
        yield "where", value  # built elsewhere
    elif value.kind == "name" and name is None and value.name in evaluator.assigned and depth < 8:
        built = evaluator.assigned[value.name]
        if built.kind == "dict":
            yield from _pair(None, built, evaluator, depth + 1)  # const options = { where: … }; Model.findAll(options)
        else:
            yield name, value
    else:
        yield name, value


@dataclass(frozen=True, slots=True)
class Sql:
    """Text of a raw statement (holes as ``{}``), its first table, and whether values or client input are spliced in."""

    text: str = ""
    table: str = ""
    dynamic: bool = False
    tainted: bool = False
    words: tuple[str, ...] = ()


def sql_of(links: list[Link], evaluator: Evaluator) -> Sql:
    """Read the statement out of the first text argument of the chain, following one local variable."""
    tagged = False
    for link in links:
        for arg in link.args or ():
            expr: Expr | None = arg.value
            if expr is not None and expr.kind == "name" and expr.name in evaluator.assigned:
                expr = evaluator.assigned[expr.name]
            parts = list(_texts(expr))
            if not parts:
                continue
            # A tagged template (prisma.$queryRaw`…${id}`) binds its holes as parameters: only the Unsafe forms splice.
            tagged = (
                expr is not None
                and expr.kind == "fstr"
                and ((link.name.startswith("$") and "Unsafe" not in link.name) or link.name in _TAGS)
            )
            text = " ".join(p for p, _ in parts)
            holes = [h for _, hs in parts for h in hs]
            table = _TABLE.search(text)
            words = tuple(dict.fromkeys(_WORD.findall(text)))
            names = tuple(chain(h)[-1].name for h in holes if h.kind in ("name", "attr"))
            return Sql(
                text[:2000], table.group(1) if table else "",
                dynamic=bool(holes) and not tagged,
                tainted=not tagged and any(v.request and not v.inert for v in map(evaluator.value, holes)),
                words=words + (names if tagged else ()),
            )  # fmt: skip
    return Sql()


def is_statement(text: str) -> bool:
    """Whether text handed to ``execute`` or ``get`` reads like SQL: key-value stores have these methods too."""
    return not text or _STATEMENT.search(text) is not None


def _texts(expr: Expr | None) -> Iterator[tuple[str, tuple[Expr, ...]]]:
    if expr is None:
        return
    if expr.kind == "str":
        yield expr.name, ()
    elif expr.kind == "fstr":
        yield expr.name, expr.items
    elif expr.kind == "list":  # extra(where=[…])
        for item in expr.items[:8]:
            yield from _texts(item)
    elif expr.kind == "bin" and expr.name.strip() in ("+", "%"):
        for item in expr.items:
            inner = list(_texts(item))
            if inner:
                yield from inner
            elif item.kind != "const":
                yield "{}", tuple(item.items) if item.kind == "list" else (item,)
    elif expr.kind == "call":
        links = chain(expr)
        if (links[-1].name == "format" and links[0].expr.kind in ("str", "other")) or (
            links[-1].name == "format"
            and expr.base is not None
            and expr.base.base is not None
            and expr.base.base.kind == "str"
        ):
            base = expr.base.base if expr.base is not None else None
            yield (base.name if base is not None else ""), tuple(a.value for a in expr.args)
        elif links[-1].name in _TAGS and expr.args and expr.args[0].value.kind == "fstr":
            yield expr.args[0].value.name, ()  # sql`… ${id}`: bound
        elif links[-1].name in ("text", "SQL", "raw", "sql", "RawSQL", "dedent", "literal") and expr.args:
            yield from _texts(expr.args[0].value)
