"""Reading data models out of source lines: Django, SQLAlchemy, SQLModel, TypeORM, Prisma.

Line based on purpose: it must get through any file, half-written ones included, in one linear pass. Lines are cut
before a pattern sees them, so no pattern can run away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.lazyre import lazy
from agentreview.records import dataclass

LINE_LIMIT = 400  # characters of a line that are looked at

Lines = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column or relation of a model. ``target`` is the model or table it refers to; ``path`` is set if inherited."""

    name: str
    line: int
    text: str
    target: str = ""
    long_text: bool = False
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model as the source spells it; ``table`` where the source names it.

    ``bases`` are names of what it extends; ``declared`` is false for a bare table (SQL, a migration), whose class may be declared elsewhere.
    """

    name: str
    path: str
    line: int
    text: str
    fields: tuple[Field, ...]
    table: str = ""
    declared: bool = True
    bases: tuple[str, ...] = ()
    abstract: bool = False  # only lends its fields


_PY_CLASS = lazy(r"class\s+(\w+)\s*(?:\(([^)]*))?")
_PY_FIELD = lazy(r"\s+(\w+)\s*(?::[^=]*)?=\s*(?:(\w+)\.)?(\w*Field|ForeignKey|Column|mapped_column|relationship)\(")
_PY_TYPED = lazy(r"\s+(\w+)\s*:\s*([\w\[\]\"'| .]+)")
_PY_TARGET = lazy(r"(?:ForeignKey|OneToOneField|ManyToManyField|relationship)\(\s*(?:to\s*=\s*)?[\"']?([\w.]+)")
_PY_TABLE = lazy(r"\s+(?:__tablename__|db_table)\s*=\s*[\"']([\w.]+)[\"']")
_PY_ABSTRACT = lazy(r"\s+(?:abstract|__abstract__)\s*=\s*True")
_PY_NOT_A_MODEL = lazy(r"Serializer|Form\b|Filter|Schema\b|Factory|TestCase|Resource\b|Index\b")
_NOT_COLUMNS = frozenset(
    {"serializers", "forms", "filters", "django_filters", "graphene", "fields", "indexes", "faker"}
)
_STRING_TARGET = lazy(r"\s*(?:to\s*=\s*)?[\"']?([A-Za-z_][\w.]*)")

_TS_CLASS = lazy(r"\s*(?:export\s+)?(?:default\s+)?(?:abstract\s+)?class\s+(\w+)")
_TS_ENTITY = lazy(r"\s*@(?:Entity|Schema|Table)\b\(?\s*(?:\{\s*(?:name|tableName|collection):\s*)?(?:['\"`](\w+))?")
_TS_FIELD = lazy(r"\s*(?:(?:public|private|protected|readonly|declare)\s+)*(\w+)[?!]?\s*:\s*([\w.]+)")
_TS_TARGET = lazy(r"@(?:ManyToOne|OneToOne)\(\s*(?:\(\s*\w*\s*\)\s*=>\s*(\w+)|['\"](\w+)['\"])")

_PRISMA_MODEL = lazy(r"\s*model\s+(\w+)\s*\{")
_PRISMA_FIELD = lazy(r"\s+(\w+)\s+([A-Z]\w*)")
_PRISMA_MAP = lazy(r"\s*@@map\(\s*(?:name:\s*)?\"(\w+)\"")


def source_lines(data: bytes) -> Lines:
    """Decode a file into (number, text) pairs without blank and comment lines."""
    text = data.decode("utf-8", "replace")
    numbered = ((number, line[:LINE_LIMIT]) for number, line in enumerate(text.split("\n"), 1))
    return tuple((number, line) for number, line in numbered if line.strip() and not is_comment(line))


def is_comment(line: str) -> bool:
    """Whether the whole line is a comment in one of the languages read here."""
    return line.lstrip().startswith(("#", "//", "/*", "* ", "--"))


def models_in(path: str, lines: Lines) -> tuple[Model, ...]:
    """Every model in one file, in order."""
    if path.endswith(".py"):
        return tuple(_python(path, lines))
    if path.endswith(".prisma"):
        return tuple(_prisma(path, lines))
    if path.endswith((".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".mts")):
        return tuple(_typeorm(path, lines))
    return ()


def _python(path: str, lines: Lines) -> Iterator[Model]:
    at = 0
    while at < len(lines):
        number, text = lines[at]
        at += 1
        head = _PY_CLASS.match(text)
        if not head or _PY_NOT_A_MODEL.search(head[2] or ""):
            continue
        typed = "table=True" in text.replace(" ", "")
        fields: list[Field] = []
        table = ""
        abstract = head[1].endswith("Mixin") or head[1].startswith(("Abstract", "Base"))
        while at < len(lines) and lines[at][1][0] in " \t)":
            line = lines[at]
            after = lines[at + 1][1] if at + 1 < len(lines) else ""
            at += 1
            named = _PY_TABLE.match(line[1])
            table = named[1] if named else table
            abstract = abstract or _PY_ABSTRACT.match(line[1]) is not None
            field = _python_field(line, after, typed=typed)
            if field:
                fields.append(field)
        bases = tuple(base.strip().rpartition(".")[2] for base in (head[2] or "").split(",") if "=" not in base)
        if fields or any(bases):
            yield Model(
                name=head[1], path=path, line=number, text=text.strip(), fields=tuple(fields), table=table, bases=bases,
                abstract=abstract,
            )  # fmt: skip


def _python_field(line: tuple[int, str], after: str, *, typed: bool) -> Field | None:
    number, text = line
    found = _PY_FIELD.match(text)
    if found and found[2] in _NOT_COLUMNS:
        return None
    if not found:
        hinted = _PY_TYPED.match(text)
        if not hinted or not (typed or "Mapped[" in text):
            return None
        return Field(name=hinted[1], line=number, text=text.strip())
    target = _PY_TARGET.search(text) or (_STRING_TARGET.match(after) if text.rstrip().endswith("(") else None)
    reference = any(word in text for word in ("ForeignKey(", "OneToOneField(", "ManyToManyField(", "relationship("))
    return Field(
        name=found[1],
        line=number,
        text=text.strip(),
        target=target[1] if target and reference else "",
        long_text=found[3].endswith("TextField") or "Text" in text.partition("(")[2],
    )


def _typeorm(path: str, lines: Lines) -> Iterator[Model]:
    entity: tuple[str, int] | None = None
    current: tuple[str, int, str, str] | None = None
    fields: list[Field] = []
    target = decorated = ""
    for number, text in lines:
        named = _TS_ENTITY.match(text)
        if named:
            entity = (named[1] or "", number)
            continue
        head = _TS_CLASS.match(text)
        if head and entity:
            current, entity, fields = (head[1], number, text.strip(), entity[0]), None, []
            continue
        if current and text.startswith("}"):
            name, line, shown, table = current
            yield Model(name=name, path=path, line=line, text=shown, fields=tuple(fields), table=table)
            current = None
        if not current:
            continue
        relation = _TS_TARGET.search(text)
        if relation:
            target = relation[1] or relation[2]
        decorated = text if text.lstrip().startswith("@") else decorated
        bare = re.sub(r"^\s*@\w+\(.{0,200}?\)\s+(?=[a-z])", "  ", text)
        field = _TS_FIELD.match(bare)
        if field and not bare.lstrip().startswith("@"):
            long_text = "text" in decorated.lower()
            fields.append(Field(name=field[1], line=number, text=text.strip(), target=target, long_text=long_text))
            target = decorated = ""


def _prisma(path: str, lines: Lines) -> Iterator[Model]:
    current: tuple[str, int, str] | None = None
    fields: list[Field] = []
    table = ""
    for number, text in lines:
        head = _PRISMA_MODEL.match(text)
        if head:
            current, fields, table = (head[1], number, text.strip()), [], ""
            continue
        if current and text.lstrip().startswith("}"):
            yield Model(name=current[0], path=path, line=current[1], text=current[2], fields=tuple(fields), table=table)
            current = None
        mapped = _PRISMA_MAP.match(text)
        table = mapped[1] if mapped else table
        field = _PRISMA_FIELD.match(text)
        if current and field:
            relation = field[2] if "@relation" in text else ""
            fields.append(
                Field(name=field[1], line=number, text=text.strip(), target=relation, long_text="@db.Text" in text)
            )
