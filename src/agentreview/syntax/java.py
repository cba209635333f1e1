"""Java source to the small tree (grammar: tree-sitter-java through ast-grep).

Annotations become decorators, ``extends`` and ``implements`` bases, fields assignments in the class body (their annotations
stand in front, as ``@`` statements), lambdas anonymous functions. A getter without arguments reads like the field it returns (``patient.getSsn()`` is
``patient.ssn``): that is what it is for everything asked here. Generics, casts and parentheses are transparent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentreview.lazyre import lazy
from agentreview.syntax.lowering import Lowering, TooDeepError, parse
from agentreview.syntax.tree import Arg, Expr, Handler, Module, Param, Stmt

if TYPE_CHECKING:
    from ast_grep_py import SgNode

_COMMENTS = frozenset({"line_comment", "block_comment"})
_TRANSPARENT = frozenset({"parenthesized_expression", "expression_statement"})
_TYPES = frozenset(
    {
        "class_declaration",
        "interface_declaration",
        "enum_declaration",
        "record_declaration",
        "annotation_type_declaration",
    }
)
_METHODS = frozenset({"method_declaration", "constructor_declaration", "compact_constructor_declaration"})
_LINKS = frozenset({"method_invocation", "field_access", "array_access", "method_reference"})
_GETTER = lazy(r"get([A-Z]\w*)")
_LOOKUP = lazy(r"get(?:All|One|By|Or|Instance|Logger|Reference)")
_ESCAPE = lazy(r"\\(.)", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'"}


def lower(source: str) -> Module:
    """Return the module, or raise DoesNotParseError / TooDeepError."""
    root = parse(source, "java")
    low = _Java(source, "java")
    try:
        low.root.body = low.block(root)
    except RecursionError:
        raise TooDeepError from None
    return low.finish(root)


def _named(node: SgNode) -> list[SgNode]:
    return [child for child in node.named_children() if child.kind() not in _COMMENTS]


class _Java(Lowering):
    def finish(self, root: SgNode) -> Module:
        """Make the module; Java has two kinds of comments."""
        found = [c for kind in sorted(_COMMENTS) for c in root.find_all(kind=kind)]
        comments = tuple(sorted((self.span(c)[2], self.text(c)) for c in found))
        return Module(self.language, self.source, self.root, tuple(self.units), self.imports, comments)

    # -- statements ---------------------------------------------------------------------------------------------

    def block(self, node: SgNode | None) -> tuple[Stmt, ...]:
        if node is None:
            return ()
        self.deeper()
        out: list[Stmt] = []
        for child in _named(node):
            self.statement(child, out)
        self.depth -= 1
        return tuple(out)

    def body_of(self, node: SgNode | None) -> tuple[Stmt, ...]:
        """A block, or the one statement that stands instead of one."""
        if node is None or node.kind() in ("block", "constructor_body"):
            return self.block(node)
        self.deeper()
        out: list[Stmt] = []
        self.statement(node, out)
        self.depth -= 1
        return tuple(out)

    def statement(self, node: SgNode, out: list[Stmt]) -> None:
        kind = node.kind()
        if kind in _TYPES:
            self.type_(node, out)
        elif kind in _METHODS:
            self.method(node, out)
        elif kind in ("field_declaration", "local_variable_declaration", "constant_declaration"):
            self.variables(node, out)
        elif kind in _STATEMENTS:
            _STATEMENTS[kind](self, node, out)
        elif kind == "expression_statement":
            for child in _named(node):
                self.expression(child, out)
        elif kind == "import_declaration":
            self.import_(node, out)
        elif kind in (
            "block",
            "static_initializer",
            "synchronized_statement",
            "labeled_statement",
            "switch_block_statement_group",
            "switch_rule",
            "enum_body_declarations",
        ):
            out.append(self.stmt("block", node, body=self.block(node)))
        elif kind in ("yield_statement", "switch_label", "package_declaration", "modifiers", "enum_constant"):
            if kind == "yield_statement":
                out.extend(self.stmt("expr", child, value=self.value(child)) for child in _named(node))
        else:
            self.expression(node, out)

    def expression(self, node: SgNode, out: list[Stmt]) -> None:
        if node.kind() == "assignment_expression":
            operator = next((c.text() for c in node.children() if not c.is_named()), "=")
            target, value = self.value(node.field("left")), self.value(node.field("right"))
            out.append(self.stmt("assign", node, targets=(target,), value=value, op=operator))
        elif node.kind() == "switch_expression":
            out.append(
                self.stmt(
                    "other",
                    node,
                    op="switch",
                    value=self.value(node.field("condition")),
                    body=self.block(node.field("body")),
                )
            )
        else:
            out.append(self.stmt("expr", node, value=self.value(node)))

    def variables(self, node: SgNode, out: list[Stmt]) -> None:
        kind = node.field("type")
        if self.current.kind == "class":
            notes = self.annotations(node)
            out.extend(Stmt("expr", n.line, n.end_line, n.start, n.end, value=n, op="@") for n in notes)
        for child in _named(node):
            if child.kind() == "variable_declarator":
                name, value = child.field("name"), child.field("value")
                if name is None:
                    continue
                given = self.value(value) if value is not None else self.type_name(kind)
                out.append(
                    self.stmt(
                        "assign",
                        node,
                        targets=(self.leaf("name", name),),
                        value=given,
                        op="=" if value is not None else ":",
                    )
                )

    def return_(self, node: SgNode, out: list[Stmt]) -> None:
        children = _named(node)
        out.append(self.stmt("return", node, value=self.value(children[0]) if children else None))

    def throw(self, node: SgNode, out: list[Stmt]) -> None:
        children = _named(node)
        out.append(self.stmt("raise", node, value=self.value(children[0]) if children else None))

    def assert_(self, node: SgNode, out: list[Stmt]) -> None:
        children = _named(node)
        out.append(self.stmt("assert", node, value=self.value(children[0]) if children else None))

    def jump(self, node: SgNode, out: list[Stmt]) -> None:
        out.append(self.stmt("other", node, op=node.kind().split("_", maxsplit=1)[0]))

    def if_(self, node: SgNode, out: list[Stmt]) -> None:
        """``else if`` chains are long, not deep."""
        links: list[tuple[SgNode, Expr, tuple[Stmt, ...]]] = []
        current: SgNode | None = node
        orelse: tuple[Stmt, ...] = ()
        while current is not None:
            links.append((current, self.value(current.field("condition")), self.body_of(current.field("consequence"))))
            following = current.field("alternative")
            if following is not None and following.kind() != "if_statement":
                orelse = self.body_of(following)
                following = None
            current = following
        for clause, test, body in reversed(links):
            orelse = (self.stmt("if", clause, value=test, body=body, orelse=orelse),)
        out.extend(orelse)

    def for_(self, node: SgNode, out: list[Stmt]) -> None:
        self.deeper()
        for child in _named(node):
            if child.kind() == "local_variable_declaration":
                self.variables(child, out)
        self.depth -= 1
        out.append(
            self.stmt("while", node, value=self.value(node.field("condition")), body=self.body_of(node.field("body")))
        )

    def for_each(self, node: SgNode, out: list[Stmt]) -> None:
        name = node.field("name")
        targets = (self.leaf("name", name),) if name is not None else ()
        out.append(
            self.stmt(
                "for",
                node,
                targets=targets,
                value=self.value(node.field("value")),
                body=self.body_of(node.field("body")),
            )
        )

    def while_(self, node: SgNode, out: list[Stmt]) -> None:
        out.append(
            self.stmt("while", node, value=self.value(node.field("condition")), body=self.body_of(node.field("body")))
        )

    def try_(self, node: SgNode, out: list[Stmt]) -> None:
        handlers: list[Handler] = []
        final: tuple[Stmt, ...] = ()
        opened: list[tuple[Expr, tuple[Expr, ...]]] = []
        for child in _named(node):
            kind = child.kind()
            if kind == "catch_clause":
                handlers.append(self.handler(child))
            elif kind == "finally_clause":
                final = self.block(next((c for c in _named(child) if c.kind() == "block"), None))
            elif kind == "resource_specification":
                for resource in _named(child):
                    name = resource.field("name")
                    value = self.value(resource.field("value") or resource)
                    opened.append((value, (self.leaf("name", name),) if name is not None else ()))
        body = self.block(node.field("body"))
        for value, targets in reversed(opened):
            body = (self.stmt("with", node, value=value, targets=targets, body=body),)
        out.append(self.stmt("try", node, body=body, handlers=tuple(handlers), final=final))

    def handler(self, node: SgNode) -> Handler:
        types: tuple[Expr, ...] = ()
        name = ""
        for child in _named(node):
            if child.kind() == "catch_formal_parameter":
                for part in _named(child):
                    if part.kind() == "catch_type":
                        types = tuple(self.type_name(t) for t in _named(part))
                    elif part.kind() == "identifier":
                        name = part.text()
        start, end, line, end_line = self.span(node)
        return Handler(types, name, self.block(node.field("body")), line, end_line, start, end)

    def import_(self, node: SgNode, out: list[Stmt]) -> None:
        whole = next((c.text() for c in _named(node) if c.kind() in ("scoped_identifier", "identifier")), "")
        if whole:
            starred = any(c.kind() == "asterisk" for c in _named(node))
            self.imports[f"{whole}.*" if starred else whole.rsplit(".", 1)[-1]] = whole
        out.append(self.stmt("import", node))

    # -- units --------------------------------------------------------------------------------------------------

    def annotations(self, node: SgNode) -> tuple[Expr, ...]:
        out: list[Expr] = []
        for child in _named(node):
            if child.kind() == "modifiers":
                out.extend(self.annotation(c) for c in _named(child) if c.kind() in ("annotation", "marker_annotation"))
        return tuple(out)

    def annotation(self, node: SgNode) -> Expr:
        name = node.field("name")
        base = self.leaf("name", name) if name is not None and name.kind() == "identifier" else self.type_name(name)
        arguments = node.field("arguments")
        if arguments is None:
            return base
        args = []
        for child in _named(arguments):
            if child.kind() == "element_value_pair":
                key = child.field("key")
                args.append(Arg(key.text() if key is not None else None, self.value(child.field("value"))))
            else:
                args.append(Arg(None, self.value(child)))
        return self.expr("call", node, base=base, args=tuple(args))

    def type_(self, node: SgNode, out: list[Stmt]) -> None:
        name = node.field("name")
        unit = self.enter("class", name.text() if name is not None else "?", node, header=name)
        unit.decorators = self.annotations(node)
        bases: list[Expr] = []
        for field in ("superclass", "interfaces"):
            part = node.field(field)
            if part is not None:
                for found in _named(part):
                    bases.extend(
                        self.type_name(t) for t in (_named(found) if found.kind() == "type_list" else (found,))
                    )
        for child in _named(node):
            if child.kind() == "extends_interfaces":
                bases.extend(self.type_name(t) for group in _named(child) for t in _named(group))
        unit.bases = tuple(bases)
        unit.exported = True
        parameters = node.field("parameters")
        if parameters is not None:
            unit.params = self.params(parameters)
        unit.body = self.block(node.field("body"))
        self.leave()
        out.append(self.unit_stmt(unit))

    def method(self, node: SgNode, out: list[Stmt]) -> None:
        name = node.field("name")
        label = "constructor" if node.kind() != "method_declaration" else name.text() if name is not None else "?"
        unit = self.enter("function", label, node, header=name)
        unit.decorators = self.annotations(node)
        unit.exported = True
        unit.params = self.params(node.field("parameters"))
        kind = node.field("type")
        unit.returns = self.type_name(kind) if kind is not None and kind.kind() != "void_type" else None
        unit.body = self.block(node.field("body"))
        self.leave()
        out.append(self.unit_stmt(unit))

    def params(self, node: SgNode | None) -> tuple[Param, ...]:
        out = []
        for child in _named(node) if node is not None else ():
            if child.kind() in ("formal_parameter", "spread_parameter"):
                name = child.field("name")
                if name is None:
                    name = next((p.field("name") for p in _named(child) if p.kind() == "variable_declarator"), None)
                if name is not None:
                    out.append(
                        Param(
                            name.text(),
                            annotation=self.type_name(child.field("type")),
                            decorators=self.annotations(child),
                        )
                    )
            elif child.kind() in ("identifier", "inferred_parameters"):
                out.extend(Param(p.text()) for p in ((child,) if child.kind() == "identifier" else _named(child)))
        return tuple(out)

    def type_name(self, node: SgNode | None) -> Expr:
        """A type without its arguments; ``Optional<Patient>`` and ``List<Patient>`` keep them, as subscripts."""
        if node is None:
            return Expr("other", 0, 0, 1, 1)
        if node.kind() == "generic_type":
            parts = _named(node)
            base = self.type_name(parts[0]) if parts else self.leaf("name", node)
            self.deeper()
            items = tuple(self.type_name(t) for p in parts[1:] for t in _named(p))
            self.depth -= 1
            return self.expr("sub", node, base=base, items=items)
        if node.kind() in ("scoped_type_identifier", "scoped_identifier"):
            return self.expr("name", node, node.text().rsplit(".", 1)[-1])
        if node.kind() == "array_type":
            parts = _named(node)
            return self.type_name(parts[0]) if parts else self.leaf("name", node)
        return self.leaf("name", node)

    # -- expressions --------------------------------------------------------------------------------------------

    def value(self, node: SgNode | None) -> Expr:
        if node is None:
            return Expr("other", 0, 0, 1, 1)
        kind = node.kind()
        while kind in _TRANSPARENT or kind == "cast_expression":
            inner = node.field("value") if kind == "cast_expression" else next(iter(_named(node)), None)
            if inner is None:
                return self.group(node)
            node, kind = inner, inner.kind()
        self.deeper()
        if kind in ("identifier", "this", "super"):
            out = self.leaf("name", node)
        elif kind in _LINKS or kind == "object_creation_expression":
            out = self.chain(node)
        elif kind in ("string_literal", "character_literal"):
            out = self.string(node)
        elif kind == "binary_expression":
            out = self.binary(node)
        elif kind in ("unary_expression",):
            operand = self.value(node.field("operand"))
            out = self.expr("not", node, items=(operand,)) if node.children()[0].kind() == "!" else operand
        elif kind == "ternary_expression":
            out = self.expr(
                "cond",
                node,
                items=tuple(self.value(node.field(f)) for f in ("condition", "consequence", "alternative")),
            )
        elif kind == "lambda_expression":
            out = self.lambda_(node)
        elif kind in ("array_initializer", "element_value_array_initializer"):
            out = self.expr("list", node, items=tuple(self.value(c) for c in _named(node)))
        elif kind == "array_creation_expression":
            out = self.value(node.field("value")) if node.field("value") is not None else self.group(node)
        elif kind in ("annotation", "marker_annotation"):
            out = self.annotation(node)
        elif kind == "class_literal":  # Patient.class
            out = self.type_name(next(iter(_named(node)), None))
        elif kind.endswith("_literal") or kind in ("true", "false"):
            out = self.leaf("const", node)
        elif kind.endswith("type") or kind == "type_identifier":
            out = self.type_name(node)
        elif kind == "assignment_expression":
            out = self.expr("other", node, "=", items=(self.value(node.field("right")),))
        elif kind == "switch_expression":
            rows: list[Stmt] = []
            for child in _named(node.field("body") or node):
                self.statement(child, rows)
            out = self.expr(
                "other", node, "switch", items=tuple(s.value for r in rows for s in (r, *r.body) if s.value is not None)
            )
        else:
            out = self.group(node)
        self.depth -= 1
        return out

    def group(self, node: SgNode) -> Expr:
        return self.expr(
            "other",
            node,
            node.kind(),
            items=tuple(self.value(c) for c in _named(node) if c.kind() not in ("block", "class_body")),
        )

    def binary(self, node: SgNode) -> Expr:
        """Long chains of ``+`` and ``||`` lean left: walked in a loop, and flat where the operator stays the same."""
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
            break
        return self.expr("bin", node, sign, items=tuple(reversed(items)))

    def chain(self, node: SgNode) -> Expr:
        """``a.b(c).d`` from the outside in, then built from the inside out."""
        links: list[SgNode] = []
        current: SgNode | None = node
        while current is not None and current.kind() in _LINKS:
            links.append(current)
            kind = current.kind()
            if kind == "method_reference":
                current = next(iter(_named(current)), None)
            else:
                current = current.field("array" if kind == "array_access" else "object")
        out: Expr | None = None
        if current is not None:
            out = self.creation(current) if current.kind() == "object_creation_expression" else self.value(current)
        for link in reversed(links):
            kind = link.kind()
            if kind == "array_access" and out is not None:
                out = self.expr("sub", link, base=out, items=(self.value(link.field("index")),))
            elif kind == "field_access" and out is not None:
                field = link.field("field")
                out = self.expr("attr", link, field.text() if field is not None else "", base=out)
            elif kind == "method_reference" and out is not None:
                parts = _named(link)
                out = self.expr("attr", link, parts[-1].text() if len(parts) > 1 else "new", base=out)
            else:
                out = self.invocation(link, out)
        return out if out is not None else self.leaf("name", node)

    def invocation(self, node: SgNode, receiver: Expr | None) -> Expr:
        name, arguments = node.field("name"), node.field("arguments")
        label = name.text() if name is not None else "?"
        args = self.arguments(arguments)
        getter = _GETTER.fullmatch(label)
        if receiver is not None and getter and not args and not _LOOKUP.match(label):
            field = getter.group(1)
            return self.expr("attr", node, field[:1].lower() + field[1:], base=receiver)
        if receiver is None:
            base = self.leaf("name", name) if name is not None else None
        else:
            base = self.expr("attr", node, label, base=receiver)
        return self.expr("call", node, base=base, args=args)

    def arguments(self, node: SgNode | None) -> tuple[Arg, ...]:
        return tuple(Arg(None, self.value(child)) for child in _named(node)) if node is not None else ()

    def creation(self, node: SgNode) -> Expr:
        kind = node.field("type")
        base = self.type_name(kind)
        if base.kind == "sub" and base.base is not None:
            base = base.base
        for child in _named(node):
            if child.kind() == "class_body":
                unit = self.enter("class", base.name or "<anonymous>", child)
                unit.bases = (base,)
                unit.body = self.block(child)
                self.leave()
        return self.expr("call", node, base=base, args=self.arguments(node.field("arguments")))

    def lambda_(self, node: SgNode) -> Expr:
        unit = self.enter("function", "<callback>", node, anonymous=True)
        parameters = node.field("parameters")
        if parameters is not None and parameters.kind() == "identifier":
            unit.params = (Param(parameters.text()),)
        else:
            unit.params = self.params(parameters)
        body = node.field("body")
        if body is not None and body.kind() == "block":
            unit.body = self.block(body)
        elif body is not None:
            unit.body = (self.stmt("return", body, value=self.value(body)),)
        self.leave()
        return self.expr("func", node, unit=unit)

    def string(self, node: SgNode) -> Expr:
        text = self.text(node)
        quote = '"""' if text.startswith('"""') else text[:1]
        inner = text[len(quote) : -len(quote)] if len(text) >= 2 * len(quote) else ""
        return self.expr("str", node, _ESCAPE.sub(lambda m: _PLAIN.get(m.group(1), m.group(1)), inner))


_STATEMENTS: dict[str, Callable[[_Java, SgNode, list[Stmt]], None]] = {
    "return_statement": _Java.return_,
    "throw_statement": _Java.throw,
    "assert_statement": _Java.assert_,
    "if_statement": _Java.if_,
    "for_statement": _Java.for_,
    "enhanced_for_statement": _Java.for_each,
    "while_statement": _Java.while_,
    "do_statement": _Java.while_,
    "try_statement": _Java.try_,
    "try_with_resources_statement": _Java.try_,
    "break_statement": _Java.jump,
    "continue_statement": _Java.jump,
}
