"""Python source to the small tree (grammar: tree-sitter-python through ast-grep)."""

from __future__ import annotations

import re

from ast_grep_py import SgNode

from agentreview.syntax.lowering import Lowering, TooDeepError, named, parse
from agentreview.syntax.tree import Arg, Expr, Handler, Module, Param, Stmt, Unit

_TRANSPARENT = frozenset({"parenthesized_expression", "await", "expression_statement", "type", "as_pattern_target", "constrained_type"})
_LISTS = frozenset({"list", "tuple", "set", "expression_list", "pattern_list", "tuple_pattern", "list_pattern"})
_CONSTANTS = frozenset({"integer", "float", "true", "false", "none", "ellipsis"})
_BINARY = frozenset({"binary_operator", "boolean_operator"})
_PREFIX = re.compile(r"^[A-Za-z]*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def lower(source: str) -> Module:
    """Return the module, or raise DoesNotParseError / TooDeepError."""
    root = parse(source, "python")
    low = _Python(source, "python")
    low.root.body = low.block(root)
    return low.module(root)


class _Python(Lowering):
    # -- statements ---------------------------------------------------------------------------------------------

    def block(self, node: SgNode | None) -> tuple[Stmt, ...]:
        if node is None:
            return ()
        self.depth += 1
        if self.depth > 300:
            raise TooDeepError
        out: list[Stmt] = []
        for child in named(node):
            self.statement(child, out)
        self.depth -= 1
        return tuple(out)

    def statement(self, node: SgNode, out: list[Stmt]) -> None:
        kind = node.kind()
        method = _STATEMENTS.get(kind)
        if method is not None:
            method(self, node, out)
        elif kind in ("pass_statement", "break_statement", "continue_statement", "global_statement", "nonlocal_statement"):
            out.append(self.stmt("other", node, op=kind.split("_", maxsplit=1)[0]))
        else:
            for child in named(node):
                if child.kind() == "block":
                    out.append(self.stmt("block", child, body=self.block(child)))
                else:
                    out.append(self.stmt("expr", child, value=self.value(child)))

    def expression_statement(self, node: SgNode, out: list[Stmt]) -> None:
        for child in named(node):
            if child.kind() == "assignment":
                self.assignment(child, out)
            elif child.kind() == "augmented_assignment":
                targets = (self.value(child.field("left")),)
                operator = child.field("operator")
                out.append(self.stmt("assign", child, targets=targets, value=self.value(child.field("right")), op=operator.text() if operator else ""))
            else:
                out.append(self.stmt("expr", child, value=self.value(child)))

    def assignment(self, node: SgNode, out: list[Stmt]) -> None:
        targets: list[Expr] = []
        right: SgNode | None = node
        annotation = node.field("type")
        while right is not None and right.kind() == "assignment":
            left = right.field("left")
            if left is not None:
                targets.append(self.value(left))
            right = right.field("right")
        value = self.value(right) if right is not None else (self.value(annotation) if annotation is not None else None)
        out.append(self.stmt("assign", node, targets=tuple(targets), value=value, op="=" if right is not None else ":"))

    def return_(self, node: SgNode, out: list[Stmt]) -> None:
        children = named(node)
        out.append(self.stmt("return", node, value=self.value(children[0]) if children else None))

    def raise_(self, node: SgNode, out: list[Stmt]) -> None:
        children = named(node)
        out.append(self.stmt("raise", node, value=self.value(children[0]) if children else None))

    def assert_(self, node: SgNode, out: list[Stmt]) -> None:
        children = named(node)
        out.append(self.stmt("assert", node, value=self.value(children[0]) if children else None))

    def delete(self, node: SgNode, out: list[Stmt]) -> None:
        out.append(self.stmt("other", node, op="delete", value=self.group(node)))

    def if_(self, node: SgNode, out: list[Stmt]) -> None:
        clauses = [c for c in named(node) if c.kind() in ("elif_clause", "else_clause")]
        orelse: tuple[Stmt, ...] = ()
        for clause in reversed(clauses):
            if clause.kind() == "else_clause":
                orelse = self.block(clause.field("body"))
            else:
                test = self.value(clause.field("condition"))
                body = self.block(clause.field("consequence"))
                orelse = (self.stmt("if", clause, value=test, body=body, orelse=orelse),)
        out.append(self.stmt("if", node, value=self.value(node.field("condition")), body=self.block(node.field("consequence")), orelse=orelse))

    def for_(self, node: SgNode, out: list[Stmt]) -> None:
        targets = (self.value(node.field("left")),)
        out.append(self.stmt("for", node, targets=targets, value=self.value(node.field("right")), body=self.block(node.field("body")), orelse=self.else_of(node)))

    def while_(self, node: SgNode, out: list[Stmt]) -> None:
        out.append(self.stmt("while", node, value=self.value(node.field("condition")), body=self.block(node.field("body")), orelse=self.else_of(node)))

    def else_of(self, node: SgNode) -> tuple[Stmt, ...]:
        alternative = node.field("alternative")
        return self.block(alternative.field("body")) if alternative is not None else ()

    def try_(self, node: SgNode, out: list[Stmt]) -> None:
        handlers: list[Handler] = []
        orelse: tuple[Stmt, ...] = ()
        final: tuple[Stmt, ...] = ()
        for child in named(node):
            kind = child.kind()
            if kind in ("except_clause", "except_group_clause"):
                handlers.append(self.handler(child))
            elif kind == "else_clause":
                orelse = self.block(child.field("body"))
            elif kind == "finally_clause":
                final = self.block(next((c for c in named(child) if c.kind() == "block"), None))
        out.append(self.stmt("try", node, body=self.block(node.field("body")), handlers=tuple(handlers), orelse=orelse, final=final))

    def handler(self, node: SgNode) -> Handler:
        types: list[Expr] = []
        name = ""
        body: tuple[Stmt, ...] = ()
        for child in named(node):
            if child.kind() == "block":
                body = self.block(child)
                continue
            if child.kind() == "as_pattern":
                parts = named(child)
                name = parts[-1].text()
                child = parts[0]  # noqa: PLW2901 - "X as e": the type is the first part
            value = self.value(child)
            if types and value.kind == "name":
                name = value.name
            else:
                types.extend(value.items if value.kind == "list" else (value,))
        span = node.range()
        return Handler(tuple(types), name, body, span.start.line + 1, span.end.line + 1, span.start.index, span.end.index)

    def with_(self, node: SgNode, out: list[Stmt]) -> None:
        body = self.block(node.field("body"))
        items = [i for clause in named(node) if clause.kind() == "with_clause" for i in named(clause)]
        for item in reversed(items):
            value = self.value(named(item)[0] if item.kind() == "with_item" else item)
            targets: tuple[Expr, ...] = ()
            if value.kind == "other" and value.name == "as" and len(value.items) == 2:
                targets, value = (value.items[1],), value.items[0]
            body = (self.stmt("with", node, value=value, targets=targets, body=body),)
        out.extend(body)

    def match_(self, node: SgNode, out: list[Stmt]) -> None:
        subject = node.field("subject")
        body: list[Stmt] = []
        for case in node.find_all(kind="case_clause"):
            consequence = case.field("consequence")
            if consequence is not None and _owner(case) == node.range().start.index:
                body.append(self.stmt("block", case, body=self.block(consequence)))
        out.append(self.stmt("other", node, op="match", value=self.value(subject) if subject else None, body=tuple(body)))

    def import_(self, node: SgNode, out: list[Stmt]) -> None:
        module_node = node.field("module_name")
        prefix = module_node.text() if module_node is not None else ""
        for child in named(node):
            if module_node is not None and child.range().start.index == module_node.range().start.index:
                continue
            if child.kind() == "aliased_import":
                target, alias = child.field("name"), child.field("alias")
                if target is not None and alias is not None:
                    self.imports[alias.text()] = _join(prefix, target.text())
            elif child.kind() == "dotted_name":
                whole = child.text()
                self.imports[whole if prefix else whole.split(".")[0]] = _join(prefix, whole)
        out.append(self.stmt("import", node, op=prefix))

    def definition(self, node: SgNode, out: list[Stmt]) -> None:
        decorators: tuple[SgNode, ...] = ()
        inner = node
        if node.kind() == "decorated_definition":
            decorators = tuple(c for c in named(node) if c.kind() == "decorator")
            inner = node.field("definition") or node
        kind = "class" if inner.kind() == "class_definition" else "function"
        name = inner.field("name")
        lowered = tuple(self.value(named(d)[0]) for d in decorators if named(d))
        unit = self.enter(kind, name.text() if name else "?", node, header=name)
        unit.decorators = lowered
        if kind == "class":
            bases = inner.field("superclasses")
            unit.bases = tuple(a.value for a in self.arguments(bases) if a.name is None) if bases else ()
        else:
            unit.params = self.params(inner.field("parameters"))
        unit.body = self.block(inner.field("body"))
        self.leave()
        out.append(self.stmt("class" if kind == "class" else "def", node, unit=unit))

    def params(self, node: SgNode | None) -> tuple[Param, ...]:
        out: list[Param] = []
        for child in named(node) if node is not None else ():
            kind = child.kind()
            if kind == "identifier":
                out.append(Param(child.text()))
            elif kind in ("typed_parameter", "default_parameter", "typed_default_parameter"):
                name = child.field("name") or named(child)[0]
                annotation, default = child.field("type"), child.field("value")
                out.append(
                    Param(
                        name.text().lstrip("*"),
                        annotation=self.value(annotation) if annotation else None,
                        default=self.value(default) if default else None,
                    )
                )
            elif kind in ("list_splat_pattern", "dictionary_splat_pattern"):
                out.append(Param(child.text().lstrip("*")))
        return tuple(out)

    # -- expressions --------------------------------------------------------------------------------------------

    def value(self, node: SgNode | None) -> Expr:
        if node is None:
            return Expr("other", 0, 0, 1, 1)
        kind = node.kind()
        while kind in _TRANSPARENT:
            children = named(node)
            if len(children) != 1:
                return self.group(node)
            node = children[0]
            kind = node.kind()
        if kind == "identifier":
            return self.expr("name", node, name=node.text())
        if kind in ("attribute", "call", "subscript"):
            return self.chain(node)
        if kind in ("string", "concatenated_string"):
            return self.string(node)
        if kind in _CONSTANTS:
            return self.expr("const", node, name=node.text())
        if kind in _BINARY:
            return self.binary(node)
        if kind == "comparison_operator":
            operators = " ".join(c.text() for c in node.children() if not c.is_named())
            return self.expr("bin", node, name=operators, items=self.values(node))
        if kind == "not_operator":
            return self.expr("not", node, items=self.values(node))
        if kind == "conditional_expression":
            then, test, *other = self.values(node)
            return self.expr("cond", node, items=(test, then, *other))
        if kind in _LISTS:
            return self.expr("list", node, items=self.values(node))
        if kind == "dictionary":
            return self.expr("dict", node, args=tuple(self.pair(c) for c in named(node)))
        if kind in ("list_splat", "dictionary_splat", "list_splat_pattern", "dictionary_splat_pattern"):
            return self.expr("spread", node, items=self.values(node))
        if kind == "keyword_argument":
            return self.expr("other", node, items=(self.value(node.field("value")),))
        if kind == "lambda":
            return self.lambda_(node)
        if kind == "as_pattern":
            return self.expr("other", node, name="as", items=self.values(node))
        if kind == "named_expression":
            return self.expr("other", node, name=":=", items=self.values(node))
        if kind == "generic_type":
            return self.group(node)
        return self.group(node)

    def group(self, node: SgNode) -> Expr:
        return self.expr("other", node, name=node.kind(), items=self.values(node))

    def values(self, node: SgNode) -> tuple[Expr, ...]:
        self.depth += 1
        if self.depth > 300:
            raise TooDeepError
        out = tuple(self.value(child) for child in named(node))
        self.depth -= 1
        return out

    def chain(self, node: SgNode) -> Expr:
        """Lower ``a.b(c)[d].e`` without recursing along the chain: chains of thousands of calls exist."""
        links: list[SgNode] = []
        current: SgNode | None = node
        while current is not None and current.kind() in ("attribute", "call", "subscript", "parenthesized_expression", "await"):
            links.append(current)
            kind = current.kind()
            if kind == "attribute":
                current = current.field("object")
            elif kind == "call":
                current = current.field("function")
            elif kind == "subscript":
                current = current.field("value")
            else:
                inner = named(current)
                current = inner[0] if len(inner) == 1 else None
        base = self.value(current)
        for link in reversed(links):
            kind = link.kind()
            if kind == "attribute":
                attribute = link.field("attribute")
                base = self.expr("attr", link, base=base, name=attribute.text() if attribute else "")
            elif kind == "call":
                base = self.expr("call", link, base=base, args=self.arguments(link.field("arguments")))
            elif kind == "subscript":
                value = link.field("value")
                skip = value.range().start.index if value else -1
                keys = tuple(self.value(c) for c in named(link) if c.range().start.index != skip)
                base = self.expr("sub", link, base=base, items=keys)
        return base

    def arguments(self, node: SgNode | None) -> tuple[Arg, ...]:
        if node is None:
            return ()
        if node.kind() == "generator_expression":
            return (Arg(None, self.group(node)),)
        self.depth += 1
        if self.depth > 300:
            raise TooDeepError
        out: list[Arg] = []
        for child in named(node):
            if child.kind() == "keyword_argument":
                name = child.field("name")
                out.append(Arg(name.text() if name else None, self.value(child.field("value"))))
            elif child.kind() in ("list_splat", "dictionary_splat"):
                out.append(Arg(None, self.value(named(child)[0]), spread=True))
            else:
                out.append(Arg(None, self.value(child)))
        self.depth -= 1
        return tuple(out)

    def pair(self, node: SgNode) -> Arg:
        if node.kind() == "pair":
            key = self.value(node.field("key"))
            return Arg(key.name if key.kind == "str" else None, self.value(node.field("value")))
        children = named(node)
        return Arg(None, self.value(children[0] if children else None), spread=node.kind() == "dictionary_splat")

    def binary(self, node: SgNode) -> Expr:
        """Flatten ``a + b + c + …``: left-nested chains would recurse once a term."""
        operator = node.field("operator")
        name = operator.text() if operator else ""
        items: list[Expr] = []
        current: SgNode | None = node
        while current is not None and current.kind() in _BINARY:
            operator = current.field("operator")
            if operator is not None and operator.text() != name:
                break
            items.append(self.value(current.field("right")))
            current = current.field("left")
        items.append(self.value(current))
        return self.expr("bin", node, name=name, items=tuple(reversed(items)))

    def string(self, node: SgNode) -> Expr:
        literal: list[str] = []
        holes: list[Expr] = []
        pieces = named(node) if node.kind() == "concatenated_string" else [node]
        for piece in pieces:
            raw = "r" in (m.group().lower() if (m := _PREFIX.match(piece.text()[:4])) else "")
            for part in named(piece):
                if part.kind() == "string_content":
                    content = part.text()
                    literal.append(content if raw else _ESCAPE.sub(_unescape, content))
                elif part.kind() == "interpolation":
                    literal.append("{}")
                    inner = [c for c in named(part) if c.kind() not in ("type_conversion", "format_specifier")]
                    holes.extend(self.value(c) for c in inner)
        return self.expr("fstr" if holes else "str", node, name="".join(literal), items=tuple(holes))

    def lambda_(self, node: SgNode) -> Expr:
        unit: Unit = self.enter("function", "<lambda>", node, anonymous=True)
        unit.params = self.params(node.field("parameters"))
        body = node.field("body")
        if body is not None:
            unit.body = (self.stmt("return", body, value=self.value(body)),)
        self.leave()
        return self.expr("func", node, unit=unit)


def _unescape(match: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t", "\n": "", "\\": "\\", '"': '"', "'": "'"}.get(match.group(1), match.group(0))


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _owner(case: SgNode) -> int:
    """Start offset of the match statement a case belongs to."""
    parent = case.parent()
    while parent is not None and parent.kind() != "match_statement":
        parent = parent.parent()
    return parent.range().start.index if parent is not None else -1


_STATEMENTS = {
    "expression_statement": _Python.expression_statement,
    "return_statement": _Python.return_,
    "raise_statement": _Python.raise_,
    "assert_statement": _Python.assert_,
    "delete_statement": _Python.delete,
    "if_statement": _Python.if_,
    "for_statement": _Python.for_,
    "while_statement": _Python.while_,
    "try_statement": _Python.try_,
    "with_statement": _Python.with_,
    "match_statement": _Python.match_,
    "import_statement": _Python.import_,
    "import_from_statement": _Python.import_,
    "future_import_statement": _Python.import_,
    "function_definition": _Python.definition,
    "class_definition": _Python.definition,
    "decorated_definition": _Python.definition,
}
