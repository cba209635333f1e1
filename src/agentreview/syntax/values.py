"""What a value may be: a record of a resource, PHI, client input, the verified caller. Flow inside one unit.

The evaluator never runs anything. It follows names through assignments in document order (a later plain assignment
replaces an earlier one), attribute access, subscripts, f-strings and templates, concatenation, dict and list literals,
conditional expressions, and calls that hand their argument on (``str``, ``json.dumps``, ``.strip()``). A call it does
not know ends the flow: a helper's result is not assumed to be PHI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agentreview.lazyre import lazy
from agentreview.records import dataclass, replace
from agentreview.syntax.lexicon import Lexicon, resource_name
from agentreview.syntax.names import bare_link
from agentreview.syntax.patterns import Link, chain
from agentreview.syntax.tree import LITERAL, Arg, Expr

PHI_FIELD, PHI_OBJECT, PHI_NAME, REQUEST_BODY, SECRET = "phi-field", "phi-object", "phi-name", "request-body", "secret"


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a value. ``labels`` are (kind, source text) pairs of what it would reveal if printed."""

    resource: str = ""
    record: bool = False  # a whole row (or rows) of the resource
    certain: bool = True  # False: only the variable's name says it is such a record
    labels: frozenset[tuple[str, str]] = frozenset()
    request: bool = False  # chosen by the client
    number: bool = False  # a whole number, so that the next one is known
    inert: bool = False  # a number, an id, a yes or no: chosen by the client and good for nothing but itself
    body: bool = False  # a whole request body
    caller: bool = False  # the verified caller, or something of theirs
    scoped: bool = False  # rows already limited to a tenant
    owned: bool = False  # rows already limited to the caller
    keyed: bool = False


NOTHING = Value()

COMPREHENSIONS = frozenset(
    {"generator_expression", "list_comprehension", "set_comprehension", "dictionary_comprehension"}
)
_PASS_ON = frozenset(
    "str repr dict list tuple sorted set vars asdict model_to_dict dumps stringify String JSON format join strip lstrip rstrip lower upper "
    "title capitalize encode decode toString trim toLowerCase toUpperCase concat to_dict dict model_dump json toJSON values copy "
    "first last get one scalar one_or_none next iter map filter slice substring replace split data serialize to_representation inspect "
    "unwrap_or assign fromEntries entries".split()
)
_MAPS = frozenset("map flatMap flat_map collect filter_map".split())
# The same in Ruby, whose names mean other things elsewhere (`fetch` there looks into a hash).
_RUBY_PASS_ON = _PASS_ON | frozenset(
    "to_s to_str to_json as_json to_h to_hash to_a to_yaml to_xml to_param to_sym attributes serializable_hash pretty_inspect squish chomp "
    "downcase upcase titleize humanize classify camelize underscore truncate presence dup freeze html_safe raw compact uniq flatten reverse sort take "
    "to_sentence with_indifferent_access deep_symbolize_keys symbolize_keys stringify_keys permit permit! require expect fetch dig to_unsafe_h "
    "to_unsafe_hash merge except decode64 urlsafe_decode64 strict_decode64 unpack1 gsub sub tr encode force_encoding unescape decode_www_form_component "
    "delete_prefix delete_suffix scrub lines chars".split()
)
_LOOKS_UP = frozenset({"get"})
_RUBY_LOOKS_UP = frozenset({"get", "fetch", "dig", "require", "expect"})
_BODIES = frozenset("body data json POST form get_json".split())
_RUBY_BODIES = frozenset(
    "params body read raw_post request_parameters query_parameters inspect to_s to_json as_json to_yaml to_h to_unsafe_h to_unsafe_hash permit!".split()
)
_PICKS = frozenset("as_json to_json serializable_hash slice pluck pick values_at".split())
_SHOWS = lazy(r"(?:Serializer|Presenter|Decorator|Blueprint|Resource|Representer|Facade)$")  # names its fields
_HASHES = frozenset(
    "permit permit! slice except merge to_unsafe_h to_unsafe_hash to_h select reject".split()
)  # no text
_RUNS = frozenset(
    "execute exec scalar scalars scalar_one scalar_one_or_none one one_or_none first all unique mappings fetch_one fetch_all first_or_404 one_or_404".split()
)
_CLEAR = frozenset(
    "len bool type isinstance hash id int count exists Boolean typeof hasattr callable sum any all is_valid size length to_i to_f to_d to_date Integer Float".split()
)
_URL_MAKERS = frozenset("URL URI Pathname Path PurePath urljoin unquote quote_plus PosixPath Request".split())
_SAFE_FIELDS = frozenset(
    "id pk uuid ids length count __class__ __name__ size status status_code statusCode class object_id model_name cache_key".split()
)
_SECRET_WORDS = (
    "password",
    "passwd",
    "secret",
    "apikey",
    "accesstoken",
    "refreshtoken",
    "privatekey",
    "idtoken",
    "clientsecret",
    "authtoken",
    "bearertoken",
    "credential",
    "credentials",
)


class Evaluator:
    """Evaluates expressions in an environment that the unit reader updates as it goes."""

    def __init__(self, lexicon: Lexicon, classify: Callable[[list[Link]], frozenset[str]], language: str = "") -> None:
        self.lexicon = lexicon
        self.language = language
        self.ruby = language == "ruby"
        self.passes_on = _RUBY_PASS_ON if self.ruby else _PASS_ON
        self.looks_up = _RUBY_LOOKS_UP if self.ruby else _LOOKS_UP
        self.classify = classify  # concepts (request, caller, redact) a chain spells
        self.env: dict[str, Value] = {}
        self.assigned: dict[str, Expr] = {}  # what each local name was last assigned
        self.known: dict[int, Value] = {}  # id(expr) -> value of a chain that is a read or a write

    def value(self, expr: Expr | None, depth: int = 0) -> Value:
        """Return what is known of an expression; :data:`NOTHING` for what is not."""
        if expr is None or depth > 60:
            return NOTHING
        kind = expr.kind
        if kind in ("name", "attr", "call", "sub"):
            known = self.known.get(id(expr))
            return known if known is not None else self.chain_value(expr, depth)
        if kind in ("fstr", "list", "spread"):
            return self._union([self.value(e, depth + 1) for e in expr.items])
        if kind == "bin":
            if expr.name.strip() in ("+", "%", "||", "??", "or", "|", "and", "&&"):
                return self._union([self.value(e, depth + 1) for e in expr.items])
            return NOTHING
        if kind == "cond":
            return self._union([self.value(e, depth + 1) for e in expr.items[1:]])
        if kind == "dict":
            return self._dict(expr, depth)
        if kind == "other":
            if expr.name in COMPREHENSIONS:
                with self.loops_of(expr, depth):
                    return self._union([self.value(e, depth + 1) for e in expr.items[:1]])
            return self._union([self.value(e, depth + 1) for e in expr.items]) if len(expr.items) == 1 else NOTHING
        return NOTHING

    @contextmanager
    def loops_of(self, expr: Expr, depth: int = 0) -> Iterator[None]:
        """Inside a comprehension: its loop variables hold what they run over."""
        before = dict(self.env)
        for clause in expr.items[1:]:
            if clause.name == "for_in_clause" and len(clause.items) > 1:
                element = replace(self.value(clause.items[1], depth + 1), body=False)
                for target in (clause.items[0], *clause.items[0].items):
                    if target.kind == "name":
                        self.env[target.name] = element
        try:
            yield
        finally:
            self.env.clear()
            self.env.update(before)

    def revealed(self, expr: Expr | None) -> frozenset[tuple[str, str]]:
        """Return the labels a sink would print: fields, and whole records."""
        value = self.value(expr)
        labels = set(value.labels)
        if value.record and value.resource and self.lexicon.phi_resource(value.resource):
            labels.add((PHI_OBJECT if value.certain else PHI_NAME, _short(expr)))
        if value.body:
            labels.add((REQUEST_BODY, _short(expr)))
        return frozenset(labels)

    def _dict(self, expr: Expr, depth: int) -> Value:
        values = []
        for arg in expr.args:
            value = self.value(arg.value, depth + 1)
            labels = set(value.labels)
            if value.record and value.resource and self.lexicon.phi_resource(value.resource):
                named = arg.value.kind == "attr" and arg.name is not None  # {"notes": patient.notes}: a chosen field
                kind = PHI_NAME if not value.certain else PHI_FIELD if named else PHI_OBJECT
                labels.add((kind, arg.name or _short(arg.value)))
            if (
                arg.name
                and arg.value.kind in ("name", "attr", "sub")
                and not value.labels
                and self.lexicon.field_tier(arg.name) == "strong"
                and not _flagged(arg.value)
            ):
                labels.add((PHI_FIELD, arg.name))
            values.append(replace(value, labels=frozenset(labels), record=False, resource="", body=value.body))
        return self._union(values)

    def _union(self, values: list[Value]) -> Value:
        labels: set[tuple[str, str]] = set()
        request = body = caller = False
        inert = all(value.inert for value in values if value.request)
        resource, certain = "", True
        for value in values:
            labels |= value.labels
            request |= value.request
            body |= value.body
            caller |= value.caller
            if value.record and value.resource:
                if self.lexicon.phi_resource(value.resource):
                    labels.add((PHI_OBJECT if value.certain else PHI_NAME, value.resource))
                resource, certain = resource or value.resource, certain and value.certain
        return Value(labels=frozenset(labels), request=request, inert=request and inert, body=body, caller=caller)

    def chain_value(self, expr: Expr, depth: int) -> Value:
        """Follow ``root.a.b(c)["d"]`` link by link."""
        links = chain(expr)
        concepts = self.classify(links)
        if "redact" in concepts:
            return NOTHING
        if "sanitize" in concepts:
            return Value(request=True, inert=True)
        dumped = _dump(links)
        if dumped:
            return Value(labels=frozenset({(SECRET, dumped)}))
        value = self._root(links, depth)
        for index, link in enumerate(links):
            if index == 0 and link.args is None:
                value = self._key(value, link)
                continue
            if link.args is not None and self.language == "java" and index and links[index - 1].name in _MAKERS:
                value = self._union([self.value(a.value, depth + 1) for a in link.args])  # Paths.get(folder, name)
            elif link.args is not None:
                value = (
                    self._call(value, link, index, depth)
                    if self.language != "go"
                    else self._go_call(value, links, index, depth)
                )
            else:
                value = self._field(value, link.name, links, index)
            value = self._key(value, link)
        if "caller" in concepts:
            value = replace(value, caller=True, request=False, body=False)
        elif "request" in concepts:
            whole = links[-1].key is None and not (links[-1].args and links[-1].args[0].value.kind == "str")
            last = (
                links[-2].name
                if len(links) > 1 and links[-1].name in ("items", "entries", "dict", "copy")
                else links[-1].name
            )
            value = replace(
                value,
                request=True,
                body=whole and last in (_RUBY_BODIES if self.ruby else _BODIES),
            )
            if self.ruby:
                named = any(link.key is not None for link in links) and last not in ("permit!", "to_unsafe_h")
                listed = last.endswith("_params") and links[-1].key is None  # def patient_params
                value = replace(
                    value, body=(value.body or listed) and not named, inert=value.inert or listed or last in _HASHES
                )
        return value

    def _root(self, links: list[Link], depth: int) -> Value:
        root = links[0]
        if root.name == "?":
            return (
                self.value(root.expr, depth + 1) if root.expr.kind not in ("attr", "call", "sub", "name") else NOTHING
            )
        if root.name in ("self", "this") and len(links) > 1:
            held = self.env.get(f"self.{links[1].name}")
            if held is not None:
                return held
        held = self.env.get(root.name)
        if held is not None:
            if not held.labels and not held.inert and _secret(root.name) and self._unmasked(root.name):
                return replace(held, labels=frozenset({(SECRET, root.name)}))
            return held
        if root.args is not None:
            return NOTHING
        if self.lexicon.is_person(root.name) or self.lexicon.phi_variable(root.name):
            return Value(resource=root.name, record=True, certain=False, labels=self._own_label(root.name))
        return Value(labels=self._own_label(root.name))

    def _unmasked(self, name: str) -> bool:
        """Whether what a name was last assigned is something as it came, not a mask, a length, a literal or a yes or no."""
        source = self.assigned.get(name)
        if source is None:
            return True
        if source.kind not in ("call", "attr", "sub", "fstr", "other"):
            return False
        links = chain(source)
        return not (self.classify(links) & {"redact", "sanitize"}) and links[-1].name not in _CLEAR

    def _own_label(self, name: str) -> frozenset[tuple[str, str]]:
        if (
            self.lexicon.field_tier(name) == "strong"
            and not self.lexicon.phi_resource(name)
            and not self.lexicon.is_person(name)
        ):
            return frozenset({(PHI_FIELD, name)})
        if _secret(name):
            return frozenset({(SECRET, name)})
        return frozenset()

    def _field(self, value: Value, name: str, links: list[Link], index: int) -> Value:
        base = links[index - 1].name
        if base in ("self", "this", "cls") and index == 1:
            return (
                value
                if f"self.{name}" in self.env
                else Value(
                    labels=self._own_label(name),
                    resource=name if self.lexicon.is_person(name) else "",
                    record=self.lexicon.is_person(name),
                    certain=False,
                )
            )
        if name in _SAFE_FIELDS:
            return Value(request=value.request, inert=value.inert, caller=value.caller, keyed=value.keyed)
        source = f"{base}.{name}"
        tier = self.lexicon.field_tier(name)
        personal = (value.record and self.lexicon.phi_resource(value.resource)) or self.lexicon.is_person(base)
        if self.lexicon.is_person(name) or (
            value.record and not name[:1].isupper() and self.lexicon.phi_resource(name)
        ):
            labels = frozenset({(PHI_FIELD, source)}) if tier == "strong" and personal else frozenset()
            return Value(
                resource=name,
                record=True,
                certain=value.certain and value.record,
                labels=labels,
                request=value.request,
                scoped=value.scoped,
                owned=value.owned,
            )
        if tier == "strong" or (tier == "context" and personal):
            return Value(labels=frozenset({(PHI_FIELD, source)}), request=value.request, caller=value.caller)
        if _secret(name) and not (self.language in ("java", "go") and name.isupper() and base[:1].isupper()):
            return Value(labels=frozenset({(SECRET, source)}), request=value.request)  # but a member of an enumeration
        if name in ("data", "validated_data", "cleaned_data", "__dict__", "objects") and value.record:
            return value
        return Value(
            request=value.request,
            inert=value.inert,
            caller=value.caller,
            labels=frozenset(v for v in value.labels if v[0] == REQUEST_BODY),
            scoped=value.scoped,
            owned=value.owned,
            keyed=value.keyed,
        )

    def part(self, value: Value, name: str, base: str = "_") -> Value:
        """What a value holds under a key: ``row["name"]`` with ``base`` row, ``const { name } = row``."""
        links = [bare_link(base), bare_link(name)]
        return self._field(replace(value, body=False), name, links, 1)

    def _key(self, value: Value, link: Link) -> Value:
        if link.key is None:
            return value
        if link.key.kind == "str":
            return self.part(value, link.key.name, link.name)
        return replace(value, body=False)

    def _go_call(self, value: Value, links: list[Link], index: int, depth: int) -> Value:
        """A capital says nothing of a class in Go: struct literals are marked, methods without arguments read like fields."""
        link = links[index]
        name, args = link.name, link.args or ()
        passed = self._union([self.value(a.value, depth + 1) for a in args])
        if link.expr.name == LITERAL:
            resource = resource_name(name)
            record = self.lexicon.phi_resource(resource)
            labels = frozenset() if record else passed.labels
            return Value(resource=resource, record=record, labels=labels, request=passed.request, caller=passed.caller)
        if name in _COUNTS or (index and links[index - 1].name in _INERT_PACKAGES):
            return Value(request=passed.request or value.request, inert=True)
        if name in _HANDED_ON:
            return self._union([value, passed]) if index else passed
        if index and not args and value.record and name[:1].isupper():
            return self._field(value, name[:1].lower() + name[1:], links, index)
        return Value(request=value.request, inert=value.inert, caller=value.caller) if index else NOTHING

    def _made(self, rows: Value, maker: Expr, depth: int) -> Value | None:
        """What ``rows.map(…)`` holds: what its function makes of each row, ``(row) => ({ id: row.id })`` or ``toView``."""
        unit = maker.unit
        if unit is None:
            by_name = maker.kind in ("name", "attr") and maker.name not in self.passes_on
            return Value(request=rows.request) if by_name else None
        last = unit.body[-1] if unit.body else None
        if last is None or last.kind not in ("return", "expr"):
            return None
        before = dict(self.env)
        for param in unit.params[:1]:
            self.env.update({name: self.part(rows, name) for name in param.names})
            self.env[param.name] = replace(rows, body=False)
        try:
            return self.value(last.value, depth + 1)
        finally:
            self.env.clear()
            self.env.update(before)

    def _call(self, value: Value, link: Link, index: int, depth: int) -> Value:
        args = link.args or ()
        name = link.name
        if name in ("items", "entries", "dict", "copy") and value.body:
            return value
        if name in _CLEAR or name.endswith("?"):
            chosen = value.request if index else any(self.value(a.value, depth + 1).request for a in args)
            return Value(request=chosen, inert=True)
        if name in self.looks_up and args and args[0].value.kind == "str" and index:
            return self.part(value, args[0].value.name, name)
        if self.ruby and value.record and name in _PICKS:
            chosen_fields = list(_picked(args))
            if chosen_fields:
                parts = [self._field(value, one, [link, link], 1) for one in chosen_fields]
                return Value(labels=frozenset(label for part in parts for label in part.labels), request=value.request)
        if value.record and name in _MAPS and len(args) == 1:
            made = self._made(value, args[0].value, depth)
            if made is not None:
                return made
        inner = [self.value(a.value, depth + 1) for a in args]
        if self.language == "java" and name in _WRAPS and index:  # ResponseEntity.ok(patient), Path.of(dir, name)
            return self._union([value, *inner])
        if index and name in _RUNS:  # session.scalar(select(Patient)), result.scalar_one()
            rows = value if value.record else next((v for v in inner if v.record), None)
            if rows is not None:
                return rows
        passed = self._union(inner)
        if name in ("int", "UUID", "Number", "parseInt", "uuid", "BigInt", "ObjectId"):
            number = name in ("int", "Number", "parseInt", "BigInt")
            return Value(request=passed.request, inert=True, number=number)
        if name[:1].isupper():  # a class: a form, serializer or record made from the arguments
            resource = resource_name(name) if not (self.ruby and _SHOWS.search(name)) else ""
            record = self.lexicon.phi_resource(resource)
            return Value(
                resource=resource, record=record, labels=frozenset(), request=passed.request, caller=passed.caller
            )
        if name in self.passes_on:
            if index == 0:
                return passed
            if self.ruby and not value.record:  # Base64.decode64(params[:rows])
                return self._union([value, passed])
            if value.record and name in (
                "first",
                "last",
                "get",
                "one",
                "scalar",
                "one_or_none",
                "filter",
                "copy",
                "values",
                "slice",
            ):
                return value
            return (
                self._union([value, passed])
                if name
                in (
                    "format",
                    "join",
                    "concat",
                    "replace",
                    "map",
                    "dumps",
                    "stringify",
                    "inspect",
                    "serialize",
                    "assign",
                    "pformat",
                    "join",
                    "joinpath",
                    "resolve",
                )
                else value
                if not value.record
                else self._union([value])
            )
        if (
            index
            and value.record
            and name
            in (
                "all",
                "order_by",
                "select_related",
                "prefetch_related",
                "exclude",
                "distinct",
                "only",
                "defer",
                "where",
                "limit",
                "scalars",
                "unwrap",
                "refresh_from_db",
            )
        ):
            return value
        if name in (
            "parse",
            "safeParse",
            "parseAsync",
            "validate",
        ):  # schema.parse(req.body): still chosen by the client
            return Value(request=passed.request or value.request)
        if index == 0 and name in _URL_MAKERS:
            return Value(request=passed.request, inert=passed.inert)
        return Value(request=value.request, inert=value.inert, caller=value.caller) if index else NOTHING


# Java: static makers that keep what they are given.
_WRAPS = frozenset(
    "ok body of ofNullable just valueOf writeValueAsString writeValueAsBytes formatted append asList singletonList create fromUriString "
    "fromHttpUrl accepted created getBytes entity withBody status success".split()
)
_MAKERS = frozenset({"Paths", "Path", "URI"})
# Go: what hands its argument on, and packages and conversions that answer with something inert.
_HANDED_ON = frozenset(
    "TrimSpace Trim TrimPrefix TrimSuffix TrimLeft TrimRight ToLower ToUpper Title Replace ReplaceAll Join Split Fields Sprint Sprintln "
    "Quote PathUnescape QueryUnescape Marshal MarshalIndent NewReader NewDecoder LimitReader MaxBytesReader NopCloser NewBuffer NewBufferString string byte append Clone ReadAll "
    "Any String Stringer Reflect Object Strings Group Str Interface Dict FromSlash".split()
)
_COUNTS = frozenset("len cap int int32 int64 uint uint32 uint64 float64 bool".split())
_INERT_PACKAGES = frozenset("strconv uuid time utf8 ulid xid".split())


# Addresses of stores and brokers hold a user and a password; what a token endpoint answers holds the tokens.
_CONNECTION = lazy(
    r"(?:redis|rabbit(?:mq)?|amqp|broker|celery|postgres(?:ql)?|pg|mongo(?:db)?|mysql|database|db|sqlalchemy|smtp|ldap|sentry|s3|kafka)[_a-z]*(?:url|uri|dsn|connectionstring)$|connectionstring$|^dsn$"
)
_TOKEN_ANSWER = lazy(
    r"^(?:oauth|auth|access|refresh|id|parsed|new|api|bearer|session|jwt)?token(?:res|resp|response|result|data|payload|json|info)$"
)
_SENT = frozenset("authorization proxyauthorization setcookie xapikey".split())
_SETTINGS = frozenset("settings config app_settings appsettings configuration app_config appconfig".split())


def _secret(name: str) -> bool:
    flat = name.replace("_", "").replace("-", "").lower()
    if flat in _SENT or _TOKEN_ANSWER.match(flat) or _CONNECTION.match(flat):
        return True
    return (
        flat.endswith(_SECRET_WORDS)
        and (not name[:1].isupper() or name.isupper())
        and not flat.startswith(
            (
                "has",
                "is",
                "show",
                "forgot",
                "reset",
                "change",
                "no",
                "missing",
                "invalid",
                "wrong",
                "require",
                "need",
                "use",
                "enable",
                "disable",
                "allow",
                "with",
            )
        )
    )


def _picked(args: tuple[Arg, ...]) -> Iterator[str]:
    """Ruby: the fields that ``as_json(only: %i[id name])`` and ``slice(:id, :name)`` name."""
    for arg in args:
        if arg.name == "only":
            yield from (i.name for i in (arg.value, *arg.value.items) if i.kind == "str")
        elif arg.name is None and arg.value.kind == "str":
            yield arg.value.name


def _flagged(expr: Expr) -> bool:
    return expr.name.startswith(("is", "has", "num", "count"))


def _short(expr: Expr | None) -> str:
    if expr is None:
        return "value"
    text = ".".join(link.name for link in chain(expr)) if expr.kind in ("name", "attr", "call", "sub") else expr.name
    return text[:60] or "value"


def _dump(links: list[Link]) -> str:
    """``settings.json()``, ``os.environ``, ``process.env``: everything at once, unless somebody chose what."""
    spelled = [link.name for link in links]
    if links[-1].key is None and links[-1].args is None and spelled in (["os", "environ"], ["process", "env"]):
        return ".".join(spelled)
    if len(links) > 1 and spelled[0].lower() in _SETTINGS and links[1].args is not None:
        chosen = any(a.name in ("include", "exclude") for a in links[1].args)
        if (
            spelled[1] in ("json", "dict", "model_dump", "model_dump_json", "to_dict", "as_dict", "toJSON")
            and not chosen
        ):
            return f"{spelled[0]}.{spelled[1]}()"
    return ""
