"""Go source to the small tree (grammar: tree-sitter-go through ast-grep).

A method belongs to its receiver's type: ``func (s *Store) Get`` is ``Store.Get``, and its receiver reads ``self``.
Struct literals are calls with keywords, ``fmt.Sprintf`` a string with holes, ``x := f()`` an assignment, ``go f()`` a
call of ``go``; type conversions look like calls and are lowered as such, because the grammar cannot tell them apart.
An exported field reads like the column it is (``patient.DateOfBirth`` is ``patient.dateOfBirth``): a capital says who
may use it here, and nothing else. Names of functions and of other packages stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentreview.lazyre import lazy
from agentreview.syntax.lowering import Lowering, TooDeepError, named, parse
from agentreview.syntax.tree import LITERAL, Arg, Expr, Module, Param, Stmt, Unit

if TYPE_CHECKING:
    from ast_grep_py import SgNode

_LINKS = frozenset(
    {
        "selector_expression",
        "call_expression",
        "index_expression",
        "type_conversion_expression",
        "slice_expression",
        "type_assertion_expression",
    }
)
# Types that are read as what they hold.
_AROUND = frozenset(
    {
        "pointer_type",
        "slice_type",
        "array_type",
        "implicit_length_array_type",
        "map_type",
        "channel_type",
        "generic_type",
        "parenthesized_type",
    }
)
_VERB = lazy(r"%[-+# 0-9.*\[\]]*[a-zA-Z]")
_TAG = lazy(r'(\w+):"((?:[^"\\]|\\.)*)"')
_INITIALS = lazy(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]+(?![a-z])|[A-Z]")
_ORM_TAGS = frozenset({"gorm", "xorm", "bun", "pg", "orm"})


def lower(source: str) -> Module:
    """Return the module, or raise DoesNotParseError / TooDeepError."""
    root = parse(source, "go")
    low = _Go(source, "go")
    try:
        low.root.body = low.block(root)
    except RecursionError:
        raise TooDeepError from None
    return low.module(root)


class _Go(Lowering):
    def __init__(self, source: str, language: str) -> None:
        super().__init__(source, language)
        self.receivers: list[str] = []
        self.types: dict[str, Unit] = {}

    # -- statements ---------------------------------------------------------------------------------------------

    def block(self, node: SgNode | None) -> tuple[Stmt, ...]:
        if node is None:
            return ()
        self.deeper()
        out: list[Stmt] = []
        for child in named(node):
            if child.kind() == "statement_list":
                for inner in named(child):
                    self.statement(inner, out)
            else:
                self.statement(child, out)
        self.depth -= 1
        return tuple(out)

    def statement(self, node: SgNode, out: list[Stmt]) -> None:
        kind = node.kind()
        method = _STATEMENTS.get(kind)
        if method is not None:
            method(self, node, out)
        elif kind in (
            "block",
            "labeled_statement",
            "communication_case",
            "expression_case",
            "type_case",
            "default_case",
            "const_declaration",
            "var_declaration",
            "var_spec_list",
            "type_declaration",
            "import_spec_list",
        ):
            out.append(self.stmt("block", node, body=self.block(node))) if kind == "block" or kind.endswith(
                "_case"
            ) else out.extend(self.block(node))
        elif kind == "go_statement":
            called = tuple(Arg(None, self.value(child)) for child in named(node))
            start = self.leaf("name", node.children()[0])
            out.append(self.stmt("expr", node, value=self.expr("call", node, base=start, args=called)))
        elif kind in ("expression_statement", "defer_statement", "send_statement", "receive_statement"):
            out.extend(self.stmt("expr", child, value=self.value(child)) for child in named(node))
        elif kind in (
            "break_statement",
            "continue_statement",
            "goto_statement",
            "fallthrough_statement",
            "inc_statement",
            "dec_statement",
        ):
            out.append(self.stmt("other", node, op=kind.split("_", maxsplit=1)[0]))
        elif kind not in ("package_clause", "empty_statement", "type_alias"):
            out.append(self.stmt("expr", node, value=self.value(node)))

    def imports_(self, node: SgNode, out: list[Stmt]) -> None:
        for spec in node.find_all(kind="import_spec"):
            path = spec.field("path")
            name = spec.field("name")
            if path is not None:
                whole = path.text().strip('"`')
                last = re.sub(r"^v\d+$", "", whole.rsplit("/", 1)[-1]) or whole.rsplit("/", 2)[-2]
                self.imports[name.text() if name is not None else last] = whole
        out.append(self.stmt("import", node))

    def assign(self, node: SgNode, out: list[Stmt]) -> None:
        left, right = node.field("left"), node.field("right")
        operator = node.field("operator")
        self.paired(node, self.many(left), self.many(right), out, operator.text() if operator is not None else "=")

    def spec(self, node: SgNode, out: list[Stmt]) -> None:
        names = tuple(self.leaf("name", c) for c in named(node) if c.kind() == "identifier")
        value, kind = node.field("value"), node.field("type")
        if value is not None:
            self.paired(node, names, self.many(value), out, "=")
        elif names and kind is not None:
            out.append(self.stmt("assign", node, targets=names[:1], value=self.type_name(kind), op=":"))

    def paired(
        self, node: SgNode, targets: tuple[Expr, ...], values: tuple[Expr, ...], out: list[Stmt], op: str
    ) -> None:
        """``a, b = 1, 2`` is two assignments, ``a, err := f()`` one to several names."""
        op = "=" if op in (":=", "=") else op
        if len(targets) == len(values):
            out.extend(
                self.stmt("assign", node, targets=(t,), value=v, op=op) for t, v in zip(targets, values, strict=True)
            )
        elif values:
            first = self.between("list", targets[0], targets[-1], items=targets) if len(targets) > 1 else targets[0]
            out.append(self.stmt("assign", node, targets=(first,), value=values[0], op=op))

    def many(self, node: SgNode | None) -> tuple[Expr, ...]:
        if node is None:
            return ()
        return tuple(self.value(c) for c in named(node)) if node.kind() == "expression_list" else (self.value(node),)

    def return_(self, node: SgNode, out: list[Stmt]) -> None:
        values = self.many(next(iter(named(node)), None))
        value = (
            values[0]
            if len(values) == 1
            else self.between("list", values[0], values[-1], items=values)
            if values
            else None
        )
        out.append(self.stmt("return", node, value=value))

    def if_(self, node: SgNode, out: list[Stmt]) -> None:
        links: list[tuple[SgNode, list[Stmt], Expr, tuple[Stmt, ...]]] = []
        current: SgNode | None = node
        orelse: tuple[Stmt, ...] = ()
        while current is not None:
            before: list[Stmt] = []
            start = current.field("initializer")
            if start is not None:
                self.statement(start, before)
            links.append(
                (current, before, self.value(current.field("condition")), self.block(current.field("consequence")))
            )
            following = current.field("alternative")
            if following is not None and following.kind() != "if_statement":
                orelse = self.block(following)
                following = None
            current = following
        for clause, before, test, body in reversed(links):
            orelse = (*before, self.stmt("if", clause, value=test, body=body, orelse=orelse))
        out.extend(orelse)

    def for_(self, node: SgNode, out: list[Stmt]) -> None:
        clause = next((c for c in named(node) if c.kind() != "block"), None)
        body = node.field("body")
        if clause is not None and clause.kind() == "range_clause":
            targets = self.many(clause.field("left"))[-1:]
            out.append(
                self.stmt("for", node, targets=targets, value=self.value(clause.field("right")), body=self.block(body))
            )
            return
        if clause is not None and clause.kind() == "for_clause":
            start = clause.field("initializer")
            if start is not None:
                self.statement(start, out)
            clause = clause.field("condition")
        out.append(
            self.stmt("while", node, value=self.value(clause) if clause is not None else None, body=self.block(body))
        )

    def switch(self, node: SgNode, out: list[Stmt]) -> None:
        value = node.field("value")
        cases = [self.stmt("block", c, body=self.block(c)) for c in named(node) if c.kind().endswith("_case")]
        out.append(
            self.stmt(
                "other", node, op="switch", value=self.value(value) if value is not None else None, body=tuple(cases)
            )
        )

    # -- units --------------------------------------------------------------------------------------------------

    def function(self, node: SgNode, out: list[Stmt]) -> None:
        name = node.field("name")
        label = name.text() if name is not None else "?"
        receiver = node.field("receiver")
        own, kind = "", ""
        if receiver is not None:
            for param in self.params(receiver):
                own, kind = param.name, param.annotation.name if param.annotation is not None else ""
        held = self.current
        if kind and kind in self.types:  # a method is a member of its type, wherever in the file it stands
            self.current = self.types[kind]
        unit = self.enter("function", label, node, header=name)
        if kind and kind not in self.types:  # the type stands in another file of the package
            unit.qualname = f"{kind}.{label}"
        unit.exported = label[:1].isupper()
        self.receivers.append(own)
        unit.params = self.params(node.field("parameters"))
        unit.returns = self.results(node.field("result"))
        unit.body = self.block(node.field("body"))
        self.receivers.pop()
        self.leave()
        self.current = held
        out.append(self.unit_stmt(unit))

    def type_(self, node: SgNode, out: list[Stmt]) -> None:
        name, kind = node.field("name"), node.field("type")
        if name is None or kind is None or kind.kind() not in ("struct_type", "interface_type"):
            return
        unit = self.enter("class", name.text(), node, header=name)
        self.types[name.text()] = unit
        bases: list[Expr] = []
        body: list[Stmt] = []
        for field in kind.find_all(kind="field_declaration"):
            label, type_node = field.field("name"), field.field("type")
            if label is None and type_node is not None:
                bases.append(self.type_name(type_node))
            for label in (c for c in named(field) if c.kind() == "field_identifier"):
                column = self.expr("name", label, _column(label.text()))
                body.extend(self.tags(field))
                body.append(self.stmt("assign", field, targets=(column,), value=self.type_name(type_node), op=":"))
        unit.bases, unit.body = tuple(bases), tuple(body)
        self.leave()
        out.append(self.unit_stmt(unit))

    def tags(self, field: SgNode) -> list[Stmt]:
        """``gorm:"uniqueIndex:idx_mrn;not null"`` is a call in front of the field, as decorators of columns are elsewhere."""
        tag = field.field("tag")
        out = []
        for name, text in _TAG.findall(tag.text()) if tag is not None else ():
            args: list[Arg] = []
            if name not in _ORM_TAGS:
                continue
            for part in text.split(";" if ";" in text or name == "gorm" else ","):
                key, colon, value = part.strip().partition(":")
                if key and tag is not None:
                    word = re.sub(r"\W+", "_", key).strip("_").lower()
                    given = self.expr("str", tag, value) if colon else self.expr("const", tag, "true")
                    args.append(Arg({"uniqueindex": "unique"}.get(word, word), given))
            if tag is not None and args:
                out.append(
                    self.stmt(
                        "expr", tag, value=self.expr("call", tag, base=self.expr("name", tag, name), args=tuple(args))
                    )
                )
        return out

    def results(self, node: SgNode | None) -> Expr | None:
        """The type of the result; several are a list."""
        if node is None or node.kind() != "parameter_list":
            return self.type_name(node) if node is not None else None
        found = [c for c in named(node) if c.kind() == "parameter_declaration"]
        return self.expr("list", node, items=tuple(self.type_name(c.field("type")) for c in found)) if found else None

    def params(self, node: SgNode | None) -> tuple[Param, ...]:
        out: list[Param] = []
        for child in named(node) if node is not None else ():
            if child.kind() in ("parameter_declaration", "variadic_parameter_declaration"):
                kind = self.type_name(child.field("type"))
                names = [c.text() for c in named(child) if c.kind() == "identifier"]
                out.extend(Param(name, annotation=kind) for name in names)
        return tuple(out)

    def type_name(self, node: SgNode | None) -> Expr:
        """What a type is about: ``*models.Patient``, ``[]models.Patient`` and ``map[string]models.Patient`` are ``models.Patient``."""
        if node is None:
            return Expr("other", 0, 0, 1, 1)
        inner: SgNode | None = node
        for _ in range(20):
            if inner is None or inner.kind() not in _AROUND:
                break
            inner = (
                inner.field("value")
                or inner.field("element")
                or inner.field("type")
                or next(iter(named(inner)[-1:]), None)
            )
        if inner is None:
            return self.leaf("name", node)
        if inner.kind() == "qualified_type":
            package, name = inner.field("package"), inner.field("name")
            if package is not None and name is not None:
                return self.expr("attr", node, name.text(), base=self.leaf("name", package))
        plain = inner.kind() == "type_identifier"
        return self.expr("name", node, inner.text() if plain else inner.kind().removesuffix("_type"))

    # -- expressions --------------------------------------------------------------------------------------------

    def value(self, node: SgNode | None) -> Expr:
        if node is None:
            return Expr("other", 0, 0, 1, 1)
        kind = node.kind()
        while (
            kind in ("parenthesized_expression", "literal_element", "variadic_argument", "expression_list")
            and len(named(node)) == 1
        ):
            node = named(node)[0]
            kind = node.kind()
        self.deeper()
        if kind in ("identifier", "field_identifier", "package_identifier", "type_identifier"):
            text = node.text()
            out = self.expr("name", node, "self") if text in self.receivers and text else self.leaf("name", node)
        elif kind in _LINKS:
            out = self.chain(node)
        elif kind in ("interpreted_string_literal", "raw_string_literal", "rune_literal"):
            out = self.expr("str", node, self.text(node)[1:-1])
        elif kind == "binary_expression":
            out = self.binary(node)
        elif kind == "unary_expression":
            operand = self.value(node.field("operand"))
            sign = node.field("operator")
            out = self.expr("not", node, items=(operand,)) if sign is not None and sign.text() == "!" else operand
        elif kind == "func_literal":
            out = self.closure(node)
        elif kind == "composite_literal":
            out = self.composite(node)
        elif kind == "literal_value":
            out = self.literal(node)
        elif kind.endswith("_literal") or kind in ("true", "false", "nil", "iota"):
            out = self.leaf("const", node)
        else:
            out = self.expr("other", node, kind, items=tuple(self.value(c) for c in named(node) if c.kind() != "block"))
        self.depth -= 1
        return out

    def binary(self, node: SgNode) -> Expr:
        operator = node.field("operator")
        sign = operator.text() if operator is not None else ""
        items: list[Expr] = []
        current: SgNode = node
        while True:
            items.append(self.value(current.field("right")))
            left = current.field("left")
            if (
                left is not None
                and left.kind() == "binary_expression"
                and (o := left.field("operator")) is not None
                and o.text() == sign
            ):
                current = left
                continue
            items.append(self.value(left))
            return self.expr("bin", node, sign, items=tuple(reversed(items)))

    def chain(self, node: SgNode) -> Expr:
        links: list[SgNode] = []
        current: SgNode | None = node
        while current is not None and current.kind() in _LINKS:
            links.append(current)
            current = current.field(
                "function"
                if current.kind() == "call_expression"
                else "type"
                if current.kind() == "type_conversion_expression"
                else "operand"
            )
        if current is not None and current.kind() == "generic_type":  # New[Patient](db)
            current = current.field("type")
        out = self.value(current)
        for at, link in reversed(list(enumerate(links))):
            kind = link.kind()
            if kind == "selector_expression":
                field = link.field("field")
                name = field.text() if field is not None else ""
                called = at > 0 and links[at - 1].kind() == "call_expression"
                package = out.kind == "name" and out.name in self.imports
                out = self.expr("attr", link, name if called or package else _column(name), base=out)
            elif kind == "call_expression":
                out = self.call(link, out)
            elif kind == "type_conversion_expression":
                out = self.expr("call", link, base=out, args=(Arg(None, self.value(link.field("operand"))),))
            elif kind == "index_expression":
                out = self.expr("sub", link, base=out, items=(self.value(link.field("index")),))
            # a slice or an asserted type is the same value
        return out

    def call(self, node: SgNode, base: Expr) -> Expr:
        arguments = node.field("arguments")
        args = tuple(Arg(None, self.value(c)) for c in named(arguments)) if arguments is not None else ()
        if base.kind == "attr" and base.name in ("Sprintf", "Errorf", "Appendf") and base.base is not None:
            at = 1 if base.name == "Appendf" else 0
            if base.base.name == "fmt" and len(args) > at and args[at].value.kind == "str":
                text = _VERB.sub("{}", args[at].value.name.replace("%%", "%"))
                made = self.expr("fstr", node, text, items=tuple(a.value for a in args[at + 1 :]))
                return made if base.name != "Errorf" else self.expr("call", node, base=base, args=(Arg(None, made),))
        return self.expr("call", node, base=base, args=args)

    def composite(self, node: SgNode) -> Expr:
        """``Patient{Name: n}`` is a call with keywords; ``gin.H{"name": n}``, a map under any name, is a dict."""
        kind, body = node.field("type"), node.field("body")
        inner = self.literal(body, fields=True) if body is not None else self.leaf("const", node)
        plain = kind is None or kind.kind() in ("map_type", "slice_type", "array_type", "implicit_length_array_type")
        keys = (
            [part for c in named(body) for part in named(c)[:1] if c.kind() == "keyed_element"]
            if body is not None
            else []
        )
        texts = [k for k in keys if (named(k) or [k])[0].kind() in ("interpreted_string_literal", "raw_string_literal")]
        if plain or (texts and len(texts) == len(keys)):
            return self.literal(body, fields=False) if body is not None and plain else inner
        args = inner.args if inner.kind == "dict" else tuple(Arg(None, v) for v in inner.items)
        return self.expr("call", node, LITERAL, base=self.type_name(kind), args=args)

    def literal(self, node: SgNode, *, fields: bool = True) -> Expr:
        children = named(node)
        if children and all(c.kind() == "keyed_element" for c in children):
            args = []
            for child in children:
                parts = named(child)
                key = parts[0].text() if parts else ""
                plain = fields and key.isidentifier()
                args.append(Arg(_column(key) if plain else key.strip('"`'), self.value(parts[-1])))
            return self.expr("dict", node, args=tuple(args))
        return self.expr("list", node, items=tuple(self.value(c) for c in children))

    def closure(self, node: SgNode) -> Expr:
        unit = self.enter("function", "<callback>", node, anonymous=True)
        unit.params = self.params(node.field("parameters"))
        unit.returns = self.results(node.field("result"))
        unit.body = self.block(node.field("body"))
        self.leave()
        return self.expr("func", node, unit=unit)


def _column(name: str) -> str:
    """``DateOfBirth`` -> ``dateOfBirth``, ``SSN`` -> ``ssn``, ``MRNHash`` -> ``mrnHash``."""
    found = _INITIALS.match(name)
    return name if found is None else found[0].lower() + name[found.end() :]


_STATEMENTS: dict[str, Callable[[_Go, SgNode, list[Stmt]], None]] = {
    "import_declaration": _Go.imports_,
    "function_declaration": _Go.function,
    "method_declaration": _Go.function,
    "type_spec": _Go.type_,
    "short_var_declaration": _Go.assign,
    "assignment_statement": _Go.assign,
    "var_spec": _Go.spec,
    "const_spec": _Go.spec,
    "return_statement": _Go.return_,
    "if_statement": _Go.if_,
    "for_statement": _Go.for_,
    "expression_switch_statement": _Go.switch,
    "type_switch_statement": _Go.switch,
    "select_statement": _Go.switch,
}
