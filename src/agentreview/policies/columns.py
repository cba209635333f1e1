"""Forms about the columns of a model: uniqueness without the tenant, and a plain column between encrypted ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentreview.lazyre import lazy
from agentreview.model import Claim
from agentreview.policies.claims import View, make_claim
from agentreview.policies.load import Check, Policy
from agentreview.records import dataclass
from agentreview.syntax.facts import Fact
from agentreview.syntax.names import names_in
from agentreview.syntax.patterns import chain
from agentreview.syntax.tree import Arg, Expr, Stmt, Unit, expressions, statements, subexpressions

_RANDOM = lazy(
    r"(?i)(?:^|_)(?:id|pk|uuid|guid|token|hash|secret|key|nonce|checksum|digest|fingerprint|external_?id|public_?id|session|otp|signature|subdomain|schema_?name|domain)(?:$|_)|(?:uuid|token|hash|digest|checksum|guid)$"
)
_HUMP = lazy(r"(?<=[a-z0-9])(?=[A-Z])")
_ACCOUNT = lazy(
    r"(?i)^(?:custom|abstract|base)?(?:user|account|tenant|org|organi[sz]ation|company|workspace|team|login)s?(?:model|entity)?$"
)
_ENCRYPTED = lazy(r"(?i)encrypt|pgp|cipher|vault|fernet|secure(?:char|text)field")


@dataclass(frozen=True, slots=True)
class Column:
    """One column as the class body spells it: its calls (the field's own, and decorators before it)."""

    name: str
    stmt: Stmt
    calls: tuple[Expr, ...]


def columns(unit: Unit) -> Iterator[Column]:
    """Columns of a class: ``mrn = CharField(…)``, ``mrn: Mapped[str] = mapped_column(…)``, ``@Column(…) mrn: string``."""
    pending: list[Expr] = []
    for stmt in unit.body:
        if stmt.kind == "expr" and stmt.value is not None and stmt.value.kind in ("call", "name"):
            pending.append(stmt.value)
        elif stmt.kind == "assign" and stmt.targets and stmt.targets[0].kind == "name":
            own = [stmt.value] if stmt.value is not None and stmt.value.kind == "call" else []
            if own or pending:
                yield Column(stmt.targets[0].name, stmt, (*pending, *own))
            pending = []
        else:
            pending = []


def _says(call: Expr, key: str) -> bool:
    return any(_true(a, key) for a in call.args)


def _true(arg: Arg, key: str) -> bool:
    if arg.name == key:
        return arg.value.kind == "const" and arg.value.name.lower() == "true"
    return arg.name is None and arg.value.kind == "dict" and any(_true(a, key) for a in arg.value.args)


def unique(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    """Columns of a model with the tenant key that are unique over all tenants."""
    lexicon = view.analysis.lexicon
    if view.facts.tenant.isolation in ("schema", "database", "none"):
        return
    for unit in view.analysis.module.units:
        if unit.kind != "class" or _ACCOUNT.match(unit.name) or lexicon.tenant_resource(unit.name) is False:
            continue
        if view.analysis.module.language == "ruby":
            yield from (
                _claim(policy, check, view, unit, s.start, s, v)
                for s, v in validated(unit, lexicon.tenant_key)
                if not _RANDOM.search(v)
            )
            continue
        held = list(columns(unit))
        typed = view.analysis.module.language in ("go", "java")  # a field needs no annotation there to be a column
        fields = [t.name for s in unit.body for t in s.targets if s.kind == "assign"] if typed else []
        if not any(lexicon.tenant_key(name) for name in (*fields, *(c.name for c in held))):
            continue
        for column, together in _indexes(held):
            if not any(lexicon.tenant_key(n) or _RANDOM.search(n) for n in together) and not _by_nature(column):
                yield _claim(policy, check, view, unit, column.stmt.start, column.stmt, ", ".join(together))
        for column in held:
            if any(_says(call, "unique") for call in column.calls) and not _by_nature(column):
                yield _claim(policy, check, view, unit, column.stmt.start, column.stmt, column.name)
        for stmt, names in _constraints(unit):
            if names and not any(lexicon.tenant_key(n) or _RANDOM.search(n) for n in names):
                yield _claim(policy, check, view, unit, stmt.start, stmt, ", ".join(names))
    for name, described in _schemas(view):
        if not any(a.name and lexicon.tenant_key(a.name) for a in described.args) or _ACCOUNT.match(name):
            continue
        for arg in described.args:
            if arg.name and _true(Arg(None, arg.value), "unique") and not _RANDOM.search(arg.name):
                at = arg.value
                fact = Fact(
                    check.form,
                    view.analysis.module.root,
                    at.start,
                    at.end,
                    at.line,
                    at.end_line,
                    arg.name,
                    resource=name,
                )
                yield make_claim(
                    policy,
                    check,
                    view,
                    view.analysis.module.root,
                    fact=fact,
                    identity=f"unique:{name}:{arg.name}",
                    value=arg.name,
                )


def _indexes(held: list[Column]) -> Iterator[tuple[Column, list[str]]]:
    """Unique indexes that tags of fields name: ``gorm:"uniqueIndex:org_mrn"`` on two of them is one index over both."""
    found: dict[str, list[Column]] = {}
    for column in held:
        for arg in (a for call in column.calls for a in call.args if a.name == "unique" and a.value.kind == "str"):
            index = arg.value.name.partition(",")[0]
            found.setdefault(index or column.name, []).append(column)
    for members in found.values():
        yield members[0], [c.name for c in members]


def _schemas(view: View) -> Iterator[tuple[str, Expr]]:
    """Tables that a call describes: ``sequelize.define("Patient", {…})``, ``Patient.init({…})``, ``new Schema({…})``."""
    for unit in view.analysis.module.units:
        for stmt in statements(unit.body) if unit.kind != "class" else ():
            for expr in expressions(stmt):
                for sub in subexpressions(expr):
                    links = chain(sub) if sub.kind == "call" else []
                    if not links or links[-1].name not in ("define", "init", "Schema"):
                        continue
                    args = links[-1].args or ()
                    described = next((a.value for a in args if a.value.kind == "dict"), None)
                    named = next((a.value.name for a in args if a.value.kind == "str"), "")
                    assigned = stmt.targets[0].name if stmt.targets else ""
                    if described is not None:
                        yield named or assigned or links[0].name, described


_OWNERS = frozenset("belongs_to acts_as_tenant multi_tenant belongs_to_tenant".split())


def validated(unit: Unit, tenant_key: Callable[[str], bool]) -> Iterator[tuple[Stmt, str]]:
    """Rails: columns of a model that belongs to a tenant, and that a validation keeps unique over all tenants."""
    calls = [(s, s.value) for s in unit.body if s.kind == "expr" and s.value is not None and s.value.kind == "call"]
    names = [(s, chain(c)[-1].name, c) for s, c in calls]
    if not any(
        name in _OWNERS and any(tenant_key(a.value.name) for a in call.args if a.value.kind == "str")
        for _, name, call in names
    ):
        return
    for stmt, name, call in names:
        scope: Expr | None = None
        if name == "validates_uniqueness_of":
            scope = next((a.value for a in call.args if a.name == "scope"), None)
        elif name == "validates":
            given = next((a.value for a in call.args if a.name == "uniqueness"), None)
            if given is None or given.name == "false":
                continue
            scope = next((a.value for a in given.args if a.name == "scope"), None)
        else:
            continue
        if not any(tenant_key(n) for n in names_in(scope)):
            yield stmt, ", ".join(a.value.name for a in call.args if a.name is None and a.value.kind == "str")


def _by_nature(column: Column) -> bool:
    """A value nobody chooses, or that is one to one with the tenant."""
    kinds = {chain(c)[-1].name for c in column.calls} | {
        n.rsplit(".", 1)[-1] for c in column.calls for n in names_in(c)
    }
    return bool(_RANDOM.search(_HUMP.sub("_", column.name))) or any(
        k in ("UUIDField", "OneToOneField", "OneToOne", "UUID", "Uuid", "uuid", "uuid4") for k in kinds
    )


def _constraints(unit: Unit) -> Iterator[tuple[Stmt, list[str]]]:
    """``UniqueConstraint("mrn")``, ``unique_together``, ``@Unique(["mrn"])``, ``@Index(["mrn"], { unique: true })``."""
    inner = [c for c in unit.children if c.kind == "class" and c.name == "Meta"]
    for stmt in (s for one in (unit, *inner) for s in one.body):
        if stmt.value is None:
            continue
        if stmt.targets and stmt.targets[0].name == "unique_together":
            yield from ((stmt, names) for names in _together(stmt.value))
            continue
        for sub in subexpressions(stmt.value):
            name = chain(sub)[-1].name if sub.kind == "call" else ""
            if name != "UniqueConstraint" and not (name == "Index" and _says(sub, "unique")):
                continue
            if not any(a.name in ("condition", "postgresql_where", "sqlite_where") for a in sub.args):
                listed = _listed(sub)
                yield stmt, listed[1:] if name == "Index" and not any(a.name == "fields" for a in sub.args) else listed
    for decorator in unit.decorators:
        name = chain(decorator)[-1].name
        if name == "Unique" or (name == "Index" and _says(decorator, "unique")):
            at = Stmt("expr", decorator.line, decorator.end_line, decorator.start, decorator.end, value=decorator)
            yield at, _listed(decorator)
        if name == "Table":  # @Table(uniqueConstraints = @UniqueConstraint(columnNames = {…}))
            for sub in subexpressions(decorator):
                listed = [n for a in sub.args if a.name in ("columnNames", "columnList") for n in _names_of(a.value)]
                last = chain(sub)[-1].name if sub.kind == "call" else ""
                if listed and (last == "UniqueConstraint" or (last == "Index" and _says(sub, "unique"))):
                    yield Stmt("expr", sub.line, sub.end_line, sub.start, sub.end, value=sub), listed


def _names_of(value: Expr) -> list[str]:
    return [n.strip() for s in subexpressions(value) if s.kind == "str" for n in s.name.split(",") if n.strip()]


def _together(value: Expr) -> list[list[str]]:
    rows = [i for i in value.items if i.kind == "list"] or [value]
    return [[i.name for i in row.items if i.kind == "str"] for row in rows]


def _listed(call: Expr) -> list[str]:
    out = []
    for arg in call.args:
        if arg.name in ("name", "condition", "deferrable"):
            continue
        if arg.value.kind == "str" and arg.name is None:
            out.append(arg.value.name)
        elif arg.value.kind == "list":
            out.extend(i.name for i in arg.value.items if i.kind == "str")
    return out


def plain_column(policy: Policy, check: Check, view: View) -> Iterator[Claim]:
    """A column with health data that is stored as it is, in a class (or file) whose other such columns are encrypted."""
    lexicon = view.analysis.lexicon
    models = [(u, list(columns(u))) for u in view.analysis.module.units if u.kind == "class"]
    for unit, held in models:
        encrypted = [c for c in held if _is_encrypted(c)]
        if not encrypted:
            continue
        for column in held:
            tier = lexicon.field_tier(column.name)
            sensitive = tier == "strong" or (tier == "context" and lexicon.phi_resource(unit.name))
            if sensitive and not _is_encrypted(column) and _stores_text(column):
                yield _claim(policy, check, view, unit, column.stmt.start, column.stmt, column.name)


def _is_encrypted(column: Column) -> bool:
    return any(
        _ENCRYPTED.search(n) for c in column.calls for n in (".".join(link.name for link in chain(c)), *names_in(c))
    )


def _stores_text(column: Column) -> bool:
    kinds = {chain(c)[-1].name for c in column.calls}
    return not kinds & {
        "ForeignKey",
        "OneToOneField",
        "ManyToManyField",
        "ManyToOne",
        "OneToMany",
        "ManyToMany",
        "OneToOne",
        "relationship",
        "BooleanField",
        "property",
    }


def _claim(policy: Policy, check: Check, view: View, unit: Unit, start: int, stmt: Stmt, value: str) -> Claim:
    fact = Fact(check.form, unit, start, stmt.end, stmt.line, stmt.end_line, value, resource=unit.name)
    return make_claim(policy, check, view, unit, fact=fact, identity=f"{check.form}:{value}", value=value)
