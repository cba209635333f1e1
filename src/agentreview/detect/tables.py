"""Data models of the other stacks, read from lines: JPA, Go structs, Rails schemas, SQL, and schemas built in JavaScript."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.detect_models import Field, Lines, Model
from agentreview.records import dataclass, field
from agentreview.vocabulary import singular


@dataclass(slots=True)
class _Open:
    """A model that is being read."""

    name: str
    line: int
    text: str
    table: str = ""
    indent: int = 0
    declared: bool = True
    bases: tuple[str, ...] = ()
    abstract: bool = False
    fields: list[Field] = field(default_factory=list)

    def model(self, path: str) -> Model:
        return Model(
            name=self.name, path=path, line=self.line, text=self.text.strip(), fields=tuple(self.fields), table=self.table,
            declared=self.declared, bases=self.bases, abstract=self.abstract,
        )  # fmt: skip


def tables_in(path: str, lines: Lines, text: str) -> Iterator[Model]:
    """Every model in one file, in order. ``text`` is the file in lower case: a look for fixed words first."""
    if path.endswith((".java", ".kt")):
        if "@entity" in text or "@document" in text or "@mappedsuperclass" in text:
            yield from _jpa(path, lines)
    elif path.endswith(".go"):
        if any(word in text for word in ('gorm:"', "gorm.model", 'db:"', 'bun:"', 'bson:"', 'xorm:"', "ent.schema")):
            yield from _structs(path, lines)
    elif path.endswith(".rb"):
        if "create_table" in text and path.endswith(("schema.rb", "_schema.rb")):
            yield from _rails(path, lines)
    elif path.endswith(".sql"):
        if "create table" in text:
            yield from _sql(path, lines)
    elif path.endswith((".py", ".prisma")):
        return
    elif any(word in text for word in ("schema(", ".define(", ".init(", "table(")):
        yield from _built(path, lines)


_JPA_ENTITY = re.compile(r"^\s*@(?:Entity|Document|MappedSuperclass)\b")
_JPA_TABLE = re.compile(r"@(?:Table|Document|Entity)\(.*?(?:name|collection)\s*=\s*\"(?:\w+\.)?(\w+)\"")
_JPA_CLASS = re.compile(
    r"^\s*(?:(?:public|abstract|final|open|data|sealed|internal) )*class (\w+)(?:<[^>]*>)?(?:\s+extends (\w+))?"
)
_JPA_FIELD = re.compile(
    r"^\s+(?:(?:private|protected|public|final|transient|volatile) )+(?!static\b|class\b)([\w<>?,. \[\]]{1,80}?)\s+(\w+)\s*(?:=[^;]*)?;"
)
_KOTLIN_FIELD = re.compile(r"^\s+(?:(?:private|protected|override|lateinit|open) )*va[lr] (\w+)\s*:\s*([\w<>?.]+)")


def _jpa(path: str, lines: Lines) -> Iterator[Model]:
    pending: list[str] = []
    entity = False
    current: _Open | None = None
    for number, text in lines:
        if current is not None and text.startswith("}"):
            yield current.model(path)
            current = None
        stripped = text.lstrip()
        if stripped.startswith("@"):
            pending.append(text)
            entity = entity or (current is None and _JPA_ENTITY.match(text) is not None)
        head = _JPA_CLASS.match(text)
        if head and entity and current is None:
            table = next((found[1] for one in pending if (found := _JPA_TABLE.search(one))), "")
            lends = any("@MappedSuperclass" in one for one in pending)
            current, entity = _Open(head[1], number, text, table, bases=(head[2] or "",), abstract=lends), False
            pending = []
            continue
        found = _JPA_FIELD.match(_bare(text)) if current is not None else None
        kotlin = (
            _KOTLIN_FIELD.match(_bare(text)) if current is not None and not found and path.endswith(".kt") else None
        )
        if current is not None and (found or kotlin):
            kind, name = (found[1], found[2]) if found else (kotlin[2], kotlin[1]) if kotlin else ("", "")
            above = " ".join((*pending, text))
            to = kind.strip(" ?") if "@ManyToOne" in above or "@OneToOne" in above else ""
            long_text = "@Lob" in above or 'columnDefinition = "text' in above.replace("TEXT", "text")
            current.fields.append(Field(name=name, line=number, text=text.strip(), target=to, long_text=long_text))
        if not stripped.startswith("@") or found or kotlin:
            pending = []
    if current is not None:
        yield current.model(path)


def _bare(text: str) -> str:
    """Without annotations in front of the declaration on the same line."""
    return re.sub(r"^(\s+)(?:@\w+(?:\([^()]{0,200}\))?\s+)+", r"\1", text)


_STRUCT = re.compile(r"^type (\w+) struct\s*\{")
_STRUCT_FIELD = re.compile(r"^\s+([A-Z]\w*)\s+([*\[\]\w.]+)")
_STORED = re.compile(r"gorm:\"|\bgorm\.Model\b|\bdb:\"|\bbun:\"|\bbson:\"|\bxorm:\"|\bpg:\"")
_TABLE_NAME = re.compile(r"^func \((?:\w+\s+)?\*?(\w+)\) TableName\(\) string(?:\s*\{\s*return \"(?:\w+\.)?(\w+)\")?")
_RETURNED = re.compile(r"^\s*return \"(?:\w+\.)?(\w+)\"")
_ENT_SCHEMA = re.compile(r"^\s+ent\.Schema\b")
_ENT_FIELD = re.compile(r"\bfield\.(\w+)\(\"(\w+)\"")
_ENT_EDGE = re.compile(r"\bedge\.(?:From|To)\(\"(\w+)\",\s*(\w+)\.Type\)")


def _structs(path: str, lines: Lines) -> Iterator[Model]:
    names = {
        found[1]: found[2] or _return_of(lines, at)
        for at, (_, text) in enumerate(lines)
        if (found := _TABLE_NAME.match(text))
    }
    current: _Open | None = None
    stored = ent = False
    schema: _Open | None = None
    for number, text in lines:
        head = _STRUCT.match(text)
        if head:
            current, stored = _Open(head[1], number, text, names.get(head[1], "")), False
            continue
        if current is not None and text.startswith("}"):
            if stored and current.fields:
                yield current.model(path)
            current = None
        if current is not None:
            ent = ent or _ENT_SCHEMA.match(text) is not None
            schema = current if ent and schema is None else schema
            stored = stored or _STORED.search(text) is not None
            found = _STRUCT_FIELD.match(text)
            if found:
                kind = found[2].lstrip("*[]")
                to = kind if kind[:1].isupper() else ""
                current.fields.append(
                    Field(name=found[1], line=number, text=text.strip(), target=to, long_text="type:text" in text)
                )
        elif schema is not None:
            for kind, name in _ENT_FIELD.findall(text):
                schema.fields.append(Field(name=name, line=number, text=text.strip(), long_text=kind == "Text"))
            for name, to in _ENT_EDGE.findall(text):
                schema.fields.append(Field(name=name, line=number, text=text.strip(), target=to))
    if schema is not None and schema.fields:
        yield schema.model(path)


def _return_of(lines: Lines, at: int) -> str:
    found = _RETURNED.match(lines[at + 1][1]) if at + 1 < len(lines) else None
    return found[1] if found else ""


_CREATE = re.compile(r"^\s*create_table [\"':](\w+)")
_COLUMN = re.compile(r"^\s*t\.(\w+) [\"':](\w+)")


def _rails(path: str, lines: Lines) -> Iterator[Model]:
    current: _Open | None = None
    for number, text in lines:
        head = _CREATE.match(text)
        if head:
            current = _Open(class_name(head[1]), number, text, head[1])
        elif current is not None and text.strip() == "end":
            yield current.model(path)
            current = None
        elif current is not None:
            found = _COLUMN.match(text)
            if found and found[1] not in ("index", "check_constraint"):
                kind, name = found[1], found[2]
                to = class_name(name) if kind in ("references", "belongs_to") else ""
                current.fields.append(
                    Field(name=name, line=number, text=text.strip(), target=to, long_text=kind == "text")
                )


def class_name(table: str) -> str:
    """``lab_results`` is ``LabResult``."""
    return "".join(part[:1].upper() + part[1:] for part in singular(table.replace("_", " ")).split())


_SQL_TABLE = re.compile(r"^\s*CREATE TABLE (?:IF NOT EXISTS )?(?:[\"`\[]?\w+[\"`\]]?\.)?[\"`\[]?(\w+)[\"`\]]?", re.I)
_SQL_COLUMN = re.compile(r"^\s+[\"`\[]?([A-Za-z_]\w*)[\"`\]]?\s+[A-Za-z]\w*")
_SQL_TARGET = re.compile(r"\bREFERENCES\s+(?:[\"`\[]?\w+[\"`\]]?\.)?[\"`\[]?(\w+)", re.I)
_SQL_WORDS = frozenset(
    "primary constraint unique foreign key check index exclude like period references on using with".split()
)


def _sql(path: str, lines: Lines) -> Iterator[Model]:
    current: _Open | None = None
    for number, text in lines:
        head = _SQL_TABLE.match(text)
        if head:
            current = _Open(
                class_name(head[1].lower() if head[1].isupper() else head[1]), number, text, head[1], declared=False
            )
            continue
        if current is not None and text.lstrip().startswith(")"):
            yield current.model(path)
            current = None
        found = _SQL_COLUMN.match(text) if current is not None else None
        if current is not None and found and found[1].lower() not in _SQL_WORDS:
            to = _SQL_TARGET.search(text)
            current.fields.append(Field(name=found[1], line=number, text=text.strip(), target=to[1] if to else ""))


_BUILT = (
    re.compile(r"\.define\(\s*['\"](?P<name>\w+)['\"]\s*,\s*\{"),  # Sequelize
    re.compile(r"^\s*(?P<name>[A-Z]\w*)\.init\(\s*\{?\s*$"),
    re.compile(r"\b(?:const|let|var) (?P<name>\w+?)_?[sS]chema\b[^=]*=\s*(?:new )?(?:\w+\.)?Schema(?:<[^>]*>)?\(\s*\{?\s*$"),  # Mongoose
    re.compile(r"\b(?:const|let) \w+\s*=\s*(?:pg|mysql|sqlite|\w+\.)?[tT]able\(\s*['\"](?P<table>\w+)['\"]\s*,\s*\{"),  # Drizzle
    re.compile(r"\.createTable\(\s*['\"](?P<table>\w+)['\"]"),  # Knex
)  # fmt: skip
_BUILT_FIELD = re.compile(r"^\s+['\"]?([A-Za-z_]\w*)['\"]?\s*:\s*(.*)")
_KNEX_FIELD = re.compile(r"^\s+\w+\.(\w+)\(\s*['\"](\w+)['\"]")
_BUILT_TARGET = re.compile(
    r"\bref:\s*['\"](\w+)['\"]|\.references\(\s*\(\)\s*(?::[^=]*)?=>\s*(\w+)\.|\.inTable\(\s*['\"](\w+)['\"]"
)


def _built(path: str, lines: Lines) -> Iterator[Model]:
    current: _Open | None = None
    inner = -1
    for number, text in lines:
        indent = len(text) - len(text.lstrip())
        head = next((found for pattern in _BUILT if (found := pattern.search(text))), None)
        if head:
            if current is not None and current.fields:
                yield current.model(path)
            named = head.groupdict()
            table = named.get("table") or ""
            name = named.get("name") or class_name(table)
            declared = ".createTable" not in text
            current, inner = _Open(name[:1].upper() + name[1:], number, text, table, indent, declared=declared), -1
            continue
        if current is None:
            continue
        if indent <= current.indent and text.lstrip()[:1] in ("}", ")"):
            if current.fields:
                yield current.model(path)
            current = None
            continue
        field_ = _BUILT_FIELD.match(text) if current.declared else None
        knex = _KNEX_FIELD.match(text) if not current.declared else None
        if field_ and text.lstrip() != "{":
            inner = indent if inner < 0 else inner
            if indent == inner:
                to = _BUILT_TARGET.search(text)
                long_text = re.match(r"text\(|DataTypes\.TEXT|\{ type: DataTypes\.TEXT", field_[2]) is not None
                target = next(filter(None, to.groups()), "") if to else ""
                current.fields.append(
                    Field(name=field_[1], line=number, text=text.strip(), target=target, long_text=long_text)
                )
        elif knex:
            to = _BUILT_TARGET.search(text)
            target = next(filter(None, to.groups()), "") if to else ""
            current.fields.append(
                Field(name=knex[2], line=number, text=text.strip(), target=target, long_text=knex[1] == "text")
            )
    if current is not None and current.fields:
        yield current.model(path)
