"""What a call that shows, sends or keeps a value is given: which labels leave, where to, and under which key."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview import vocabulary
from agentreview.lazyre import lazy
from agentreview.records import dataclass
from agentreview.syntax.lexicon import Lexicon, resource_name
from agentreview.syntax.names import names_in
from agentreview.syntax.patterns import Link, chain
from agentreview.syntax.tree import LITERAL, Arg, Expr, subexpressions
from agentreview.syntax.values import Evaluator

# Sinks whose labels are what they reveal; of the keyed ones it also matters what they are filed under.
SINKS = frozenset(
    {"log", "raise", "respond", "send", "prompt", "url", "client-store", "cache", "store-file", "enqueue"}
)
KEYED = frozenset({"cache", "store-file", "enqueue"})
_URL_NAMES = frozenset(
    "filename download_name attachment_filename url href path to pathname params query kwargs values args search searchParams queryParams subject filename Key".split()
)
_BUILDERS = frozenset(
    "set append setHeader header reverse reverse_lazy url_for urlencode quote quote_plus URLSearchParams stringify encodeURIComponent build_absolute_uri push replace navigate queryParam queryParams pathSegment buildAndExpand QueryEscape PathEscape JoinPath".split()
)
_KEY_NAMES = frozenset(
    "upload_to key Key name cache_key cacheKey bucket_key object_name blob_name path filename file_name index channel room topic queue namespace collection_name".split()
)
# Where a store keeps tenants apart beside the key, and calls that look through a whole store.
_SPACES = frozenset(
    "Bucket bucket bucket_name index index_name namespace container container_name collection_name filter filters where query_filter".split()
)
_SEARCHES = frozenset(
    "query search similarity_search similarity_search_with_score asimilarity_search max_marginal_relevance_search".split()
)
_LISTS_FIELDS = frozenset({"only", "serializer", "each_serializer", "blueprint"})  # of `render json: patient`
_TABLE_NAMES = ("model_name", "name", "table_name", "table", "tableName", "old_name")
_MESSAGE = lazy(r"(?i)mail|sms|message|^create$|^send$|notify")
_CONTACT = lazy(
    r"(?i)(?:^|[._])(?:e?mail|email_?address|phone|phone_?number|mobile|mobile_?number|cell_?phone|telephone)$"
)
_OVERVIEW = lazy(
    r"(?i)(?:^|[^a-z])(report|dashboard|summary|stats|statistics|invoice|order|customer|document|message|member)s?(?:[^a-z]|$)"
)
_URL_TEXT = lazy(r"^(?:https?://\S+|/[\w./{}-]*|[\w./{}-]*)[?&/][\w./={}&%-]*\{\}")
_FILE_NAME = lazy(r"(?i)filename\*?=[^;]*\{\}")
_ROUTES = frozenset("path re_path Route add_url_rule add_api_route".split())
_ROUTE_FIELD = lazy(r"[{<:](?:\w+:)?(\w+)")
_PLAIN = lazy(r"(?i)^(?P<scheme>http|ws|ftp|ldap|amqp|redis)://(?P<host>\[[^\]]*\]|[^/:?#{}\s]+)(?P<hole>\{\})?")
_ADDRESS = lazy(r"(?i)^\w+://(?P<host>\[[^\]]*\]|[^/:?#{}\s]+)(?P<hole>\{\})?")
_LOCAL = lazy(
    r"(?i)^(?:localhost|127\.|0\.0\.0\.0|\[?::1|10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|169\.254\.|host\.docker\.internal)|^[^.]+$|\.(?:local|localhost|internal|test|invalid|example|svc|lan)$|\.svc\.|\.cluster\.|(?:^|\.)example\.(?:com|org|net)$|(?:^|\.)w3\.org$|(?:^|\.)schemas?\.|(?:^|\.)xmlsoap\.org$"
)


@dataclass(frozen=True, slots=True)
class Sink:
    """``labels`` of what is shown; ``resource`` of what the key names; ``scoped``: the key names the tenant; ``text``: the key."""

    labels: tuple[tuple[str, str], ...] = ()
    resource: str = ""
    scoped: bool = False
    tainted: bool = False
    text: str = ""


def read_sink(concept: str, links: list[Link], evaluator: Evaluator, lexicon: Lexicon) -> Sink:
    """Read the arguments of a sink's chain."""
    labels: set[tuple[str, str]] = set()
    for arg in _shown(concept, links):
        labels |= _labels(arg, evaluator, lexicon)
    if concept == "url" and links[-1].name in _ROUTES:
        labels |= _routed(links[-1], lexicon)
    if concept in ("send", "url") and _MESSAGE.search(
        links[-1].name
    ):  # the patient's own address is where it goes, not what it says
        labels = {label for label in labels if not _CONTACT.search(label[1])}
    if concept == "send" and _inside(links, evaluator):
        labels = set()
    if concept == "respond" and any(a.name in _LISTS_FIELDS for a in links[-1].args or ()):
        labels = {label for label in labels if label[0] == "phi-field"}
    if concept not in KEYED:
        return Sink(tuple(sorted(labels)))
    key = _key(links, concept)
    around = [n for link in links for a in link.args or () if a.name in _SPACES for n in (a.name, *names_in(a.value))]
    apart = any(
        _tenantish(word, lexicon) for n in around for word in _words(n)
    )  # a bucket, namespace or filter of the tenant
    if key is not None and key.name == "upload_to" and key.value.kind != "str":
        return Sink(tuple(sorted(labels)), scoped=True)  # a function makes the path
    if key is None:
        searched = links[-2].name if len(links) > 1 and links[-1].name in _SEARCHES else ""
        return Sink(tuple(sorted(labels)), resource=searched, scoped=apart)
    exprs = [key.value, *(evaluator.assigned[n] for n in _locals(key.value) if n in evaluator.assigned)]
    named = [n for e in exprs for n in names_in(e)]
    spelled = " ".join(n for n in named if n)
    values = evaluator.value(key.value)
    words = [w for n in named for w in _words(n)]
    return Sink(
        tuple(sorted(labels)),
        resource=_subject(named, lexicon),
        scoped=apart
        or values.scoped
        or values.caller
        or any(lexicon.tenant_key(w) or _tenantish(w, lexicon) for w in words),
        tainted=values.request and not values.inert,
        text=spelled[:200],
    )


def _routed(link: Link, lexicon: Lexicon) -> set[tuple[str, str]]:
    """Fields in a route: ``path("by-mrn/<str:mrn>/", …)``."""
    text = next((a.value.name for a in link.args or () if a.value.kind == "str"), "")
    return {("phi-field", name) for name in _ROUTE_FIELD.findall(text) if lexicon.field_tier(name) == "strong"}


def _shown(concept: str, links: list[Link]) -> Iterator[Arg]:
    for link in links:
        args = link.args or ()
        if concept != "url" or link.name in _BUILDERS or link.name.endswith(("_path", "_url")):
            yield from args
            continue
        for position, arg in enumerate(args):
            if arg.name in _URL_NAMES or (arg.name is None and position == 0):
                if arg.value.kind == "dict" and arg.name is None:  # axios({ url, data })
                    yield from (a for a in arg.value.args if a.name in _URL_NAMES)
                else:
                    yield arg


def _labels(arg: Arg, evaluator: Evaluator, lexicon: Lexicon) -> set[tuple[str, str]]:
    labels = set(evaluator.revealed(arg.value))
    if (
        arg.name
        and not labels
        and arg.value.kind in ("name", "attr", "sub")
        and lexicon.field_tier(arg.name) == "strong"
    ):
        labels.add(("phi-field", arg.name))
    return labels


def _key(links: list[Link], concept: str) -> Arg | None:
    """The argument that files the value: a cache key, an object name, the payload of a job."""
    args = links[-1].args or ()
    if concept == "enqueue":
        return Arg(None, Expr("list", 0, 0, 0, 0, items=tuple(a.value for a in args))) if args else None
    for arg in args:
        if arg.name in _KEY_NAMES:
            return arg
        if arg.value.kind == "dict" or arg.value.name == LITERAL:
            found = next((a for a in arg.value.args if a.name in _KEY_NAMES), None)
            if found is not None:
                return found
    return next(
        (
            a
            for a in args
            if a.name is None
            and a.value.kind in ("str", "fstr", "bin", "name", "attr", "call", "list")
            and not (a.value.kind in ("name", "call") and _context(a.value))
        ),
        None,
    )


def _context(value: Expr) -> bool:
    """Whether an argument is only the context of the call, as Go has it in front of the key."""
    return value.name in ("ctx", "context") or (
        value.base is not None and value.base.name in ("Context", "Background", "TODO")
    )


def _locals(expr: Expr) -> list[str]:
    return [sub.name for sub in subexpressions(expr) if sub.kind == "name"]


def _words(text: str) -> list[str]:
    return [w for part in re.split(r"[^A-Za-z0-9_]+", text) if part for w in (part, *part.split("_"))]


def _tenantish(word: str, lexicon: Lexicon) -> bool:
    return any(lexicon.tenant_key(part) for part in vocabulary.words(word))


def _subject(named: list[str], lexicon: Lexicon) -> str:
    """What a key is about, by the words in it: a record of patients, a model of tenants, an overview of many rows."""
    for name in named:
        for word in re.split(r"[^A-Za-z0-9]+", name):
            stem = re.sub(r"(?i)_?ids?$", "", word)
            if stem and (lexicon.phi_resource(stem) or lexicon.phi_resource(word) or lexicon.tenant_resource(stem)):
                return resource_name(stem)
    for name in named:
        found = _OVERVIEW.search(re.sub(r"([a-z])([A-Z])", r"\1_\2", name))
        if found:
            return found[1].lower()
    return ""


def plain_address(links: list[Link], evaluator: Evaluator) -> str:
    """Where a call speaks to without encryption: ``http://`` in its address, and not this machine or network."""
    for text in _addresses(links, evaluator):
        found = _PLAIN.match(text)
        if found and not found["hole"] and not _LOCAL.search(found["host"]):
            return f"{found['scheme']}://{found['host']}"
    return ""


def _inside(links: list[Link], evaluator: Evaluator) -> bool:
    """Whether a call speaks to this machine or network."""
    found = [m for m in (_ADDRESS.match(text) for text in _addresses(links, evaluator)) if m]
    return bool(found) and all(not m["hole"] and _LOCAL.search(m["host"]) for m in found)


def _addresses(links: list[Link], evaluator: Evaluator) -> Iterator[str]:
    """Texts of the first arguments, through local and module names."""
    for link in links:
        for arg in (link.args or ())[:2]:
            value = arg.value
            for _ in range(3):  # URL + path, f"{URL}/path", URL
                if (value.kind == "bin" and value.items) or (value.kind == "fstr" and value.name.startswith("{}")):
                    value = value.items[0]
                elif value.kind == "name":
                    value = evaluator.assigned.get(value.name, value)
            if value.kind in ("str", "fstr"):
                yield value.name


def shape(expr: Expr) -> str:
    """The text of ``f"/p/{x}"`` and of ``"/p/" + x``, with {} for what is put in."""
    if expr.kind == "fstr":
        return expr.name
    if expr.kind == "bin" and expr.name.strip() == "+" and len(expr.items) < 20:
        return "".join(i.name if i.kind in ("str", "fstr") else "{}" for i in expr.items)
    return ""


def url_shaped(expr: Expr) -> bool:
    """Whether a string with holes is an address whose path or query a hole fills, or names a file for a download."""
    text = shape(expr)
    if not text or len(text) > 300:
        return False
    return (" " not in text.strip() and _URL_TEXT.match(text) is not None) or _FILE_NAME.search(text) is not None


_OPEN_ADDRESS = lazy(
    r"(?i)(?:^|[/_-])(?:invites?|invitations?|shares?|shared|public|join|accept|magic|unsubscribe|downloads?)/(?:[\w-]*/)?\{\}"
)
_KEPT_FILE = lazy(r"(?i)\{\}[\w.-]*\.(?:pdf|csv|xlsx?|zip|json|xml|docx?|png|jpe?g)$")
_COUNTED = frozenset("id pk number seq sequence counter index".split())
_CLOCKS = frozenset("time time_ns now utcnow timestamp today strftime getTime valueOf".split())
_RANDOM = ("uuid", "token", "hash", "secret", "random", "nonce")


def guessable(expr: Expr) -> bool:
    """``f"/invite/{invite.id}"``, ``f"exports/{int(time.time())}.csv"``: whoever has one address knows the next."""
    text = shape(expr)
    holes = [i for i in expr.items if expr.kind == "fstr" or i.kind not in ("str", "fstr")]
    named = [[link.name for sub in subexpressions(hole) for link in chain(sub)] for hole in holes]
    if any(part in name.lower() for names in named for name in names for part in _RANDOM):
        return False
    timed = any(_CLOCKS.intersection(names) for names in named)
    counted = any(chain(hole)[-1].name in _COUNTED for hole in holes)
    opens = _OPEN_ADDRESS.search(text) is not None and (timed or counted)
    return opens or (timed and _KEPT_FILE.search(text) is not None)


_QUERIES = frozenset("GET args query query_params queryParams searchParams queryStringParameters".split())


def sent_in_query(links: list[Link]) -> str:
    """The name of what is read from the address: ``request.GET["ssn"]``, ``req.query.ssn``, ``request.args.get("ssn")``."""
    at = next((n for n, link in enumerate(links) if n and link.name in _QUERIES), 0)
    if not at:
        return ""
    last = links[-1]
    if last.key is not None and last.key.kind == "str":
        return last.key.name
    if (
        at == len(links) - 2
        and last.args
        and last.name in ("get", "getlist", "getAll")
        and last.args[0].value.kind == "str"
    ):
        return last.args[0].value.name
    return last.name if at == len(links) - 2 and last.args is None else ""


def dropped(links: list[Link]) -> tuple[str, str]:
    """(table or model, column) that a schema operation takes away: ``RemoveField("patient", "org")``, ``drop_column``."""
    args = links[-1].args or ()
    named = {a.name: a.value.name for a in args if a.name and a.value.kind == "str"}
    plain = [a.value.name for a in args if a.name is None and a.value.kind == "str"]
    table = next((named[n] for n in _TABLE_NAMES if n in named), "") or (plain[0] if plain else "")
    column = (
        named.get("name", "")
        if "model_name" in named
        else named.get("column_name", "") or (plain[1] if len(plain) > 1 else "")
    )
    outer = next((n.args[0].value.name for n in links[:-1] if n.args and n.args[0].value.kind == "str"), "")
    if outer and len(plain) == 1 and not named:  # knex.schema.table("patients", t => t.dropColumn("mrn"))
        table, column = outer, plain[0]
    if links[-1].name == "drop_constraint" and len(plain) > 1:  # the name of the rule comes first
        table, column = plain[1], plain[0]
    return resource_name(table.rpartition(".")[2]), column


def may_be_empty(links: list[Link]) -> bool:
    """Whether an operation says that a column may be empty from now on."""
    parts = [p for a in links[-1].args or () for p in subexpressions(a.value)]
    named = [*(links[-1].args or ()), *(a for p in parts for a in p.args)]
    return any(a.name in ("null", "nullable", "allowNull") and a.value.name.lower() == "true" for a in named)


_WAYS_BACK = frozenset("downgrade down reverse backwards rollback revert undo reverse_code backward".split())
_ADDS = lazy(r"(?:add_column|AddField|addColumn|create_table|CreateModel|createTable)[( ]([^)\n]{0,300})")


def undone(unit: str) -> bool:
    """Whether a function is the way back of a migration."""
    return unit in _WAYS_BACK


def added_here(source: str, links: list[Link]) -> bool:
    """Whether the same file adds what it drops: every text that names it stands in an operation that adds."""
    said = [a.value.name for a in links[-1].args or () if a.value.kind == "str"]
    if not said or not _ADDS.search(source):
        return False
    return any(
        all(re.search(rf"[\"':]{re.escape(one)}\b", match[1]) for one in said) for match in _ADDS.finditer(source)
    )
