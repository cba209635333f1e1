"""Python source to the small tree (grammar: tree-sitter-python through ast-grep)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentreview.lazyre import lazy
from agentreview.syntax.lowering import EXTRAS, MAX_DEPTH, Lowering, TooDeepError, named, parse
from agentreview.syntax.tree import Arg, Expr, Handler, Module, Param, Stmt

if TYPE_CHECKING:
    from ast_grep_py import SgNode

_TRANSPARENT = frozenset(
    {"parenthesized_expression", "await", "expression_statement", "type", "as_pattern_target", "constrained_type"}
)
_LINKS = frozenset({"attribute", "call", "subscript"})
_BINARY = frozenset({"binary_operator", "boolean_operator"})
_SPLATS = frozenset({"list_splat", "dictionary_splat", "list_splat_pattern", "dictionary_splat_pattern"})
_JUMPS = frozenset(
    {"pass_statement", "break_statement", "continue_statement", "global_statement", "nonlocal_statement"}
)
_NOT_HOLES = frozenset({"type_conversion", "format_specifier"})
_LONE_RETURN = lazy(r"\r(?!\n)")
_STRING = lazy(r"([A-Za-z]*)(\"\"\"|'''|\"|')")
_ESCAPE = lazy(r"\\(.)", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "\n": "", "\\": "\\", '"': '"', "'": "'"}


def lower(source: str) -> Module:
    """Return the module, or raise DoesNotParseError / TooDeepError."""
    # Python ends a line at a lone carriage return, the grammar does not: code would hide behind a comment. Offsets and
    # lines stay those of the source, where only \n counts, as in git.
    root = parse(_LONE_RETURN.sub("\n", source) if "\r" in source else source, "python")
    low = _Python(source, "python")
    try:
        low.root.body = low.block(root)
    except RecursionError:
        raise TooDeepError from None
    return low.module(root)


class _Python(Lowering):
    # -- statements ---------------------------------------------------------------------------------------------

    def block(self, node: SgNode | None) -> tuple[Stmt, ...]:
        if node is None:
            return ()
        self.deeper()
        out: list[Stmt] = []
        for child in node.named_children():
            self.statement(child, child.kind(), out)
        self.depth -= 1
        return tuple(out)

    def statement(self, node: SgNode, kind: str, out: list[Stmt]) -> None:
        method = _STATEMENTS.get(kind)
        if method is not None:
            method(self, node, out)
        elif kind in _JUMPS:
            out.append(self.stmt("other", node, op=kind.split("_", maxsplit=1)[0]))
        elif kind not in EXTRAS:
            for child in named(node):
                if child.kind() == "block":
                    out.append(self.stmt("block", child, body=self.block(child)))
                else:
                    out.append(self.stmt("expr", child, value=self.value(child)))

    def expression_statement(self, node: SgNode, out: list[Stmt]) -> None:
        for child in node.named_children():
            kind = child.kind()
            if kind == "assignment":
                self.assignment(child, out)
            elif kind == "augmented_assignment":
                operator = child.field("operator")
                target, value = self.value(child.field("left")), self.value(child.field("right"))
                out.append(
                    self.stmt("assign", child, targets=(target,), value=value, op=operator.text() if operator else "")
                )
            elif kind not in EXTRAS:
                out.append(self.stmt("expr", child, value=self.value(child, kind)))

    def assignment(self, node: SgNode, out: list[Stmt]) -> None:
        targets: list[Expr] = []
        right: SgNode | None = node
        kind, last = "assignment", node
        while right is not None and kind == "assignment":
            last = right
            targets.append(self.value(right.field("left")))
            right = right.field("right")
            kind = right.kind() if right is not None else ""
        annotation = last.field("type") if right is None else None
        value = (
            self.value(right if right is not None else annotation)
            if right is not None or annotation is not None
            else None
        )
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
        out.append(self.stmt("other", node, op="delete", value=self.group(node, node.kind())))

    def if_(self, node: SgNode, out: list[Stmt]) -> None:
        orelse: tuple[Stmt, ...] = ()
        links: list[tuple[SgNode, Expr, tuple[Stmt, ...]]] = []
        for clause in (node, *(c for c in named(node) if c.kind() in ("elif_clause", "else_clause"))):
            if clause.kind() == "else_clause":
                orelse = self.block(clause.field("body"))
            else:
                links.append((clause, self.value(clause.field("condition")), self.block(clause.field("consequence"))))
        _, end, _, end_line = self.span(node)
        for clause, test, body in reversed(links):  # an elif reaches to the end: it holds the clauses after it
            start, _, line, _ = self.span(clause)
            orelse = (Stmt("if", line, end_line, start, end, value=test, body=body, orelse=orelse),)
        out.extend(orelse)

    def for_(self, node: SgNode, out: list[Stmt]) -> None:
        targets = (self.value(node.field("left")),)
        value, body = self.value(node.field("right")), self.block(node.field("body"))
        out.append(self.stmt("for", node, targets=targets, value=value, body=body, orelse=self.else_of(node)))

    def while_(self, node: SgNode, out: list[Stmt]) -> None:
        value, body = self.value(node.field("condition")), self.block(node.field("body"))
        out.append(self.stmt("while", node, value=value, body=body, orelse=self.else_of(node)))

    def else_of(self, node: SgNode) -> tuple[Stmt, ...]:
        alternative = node.field("alternative")
        return self.block(alternative.field("body")) if alternative is not None else ()

    def try_(self, node: SgNode, out: list[Stmt]) -> None:
        body = self.block(node.field("body"))
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
        out.append(self.stmt("try", node, body=body, handlers=tuple(handlers), orelse=orelse, final=final))

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
        start, end, line, end_line = self.span(node)
        return Handler(tuple(types), name, body, line, end_line, start, end)

    def with_(self, node: SgNode, out: list[Stmt]) -> None:
        items: list[tuple[Expr, tuple[Expr, ...]]] = []
        for item in (i for clause in named(node) if clause.kind() == "with_clause" for i in named(clause)):
            value = self.value(named(item)[0] if item.kind() == "with_item" else item)
            if value.kind == "other" and value.name == "as" and len(value.items) == 2:
                items.append((value.items[0], (value.items[1],)))
            else:
                items.append((value, ()))
        body = self.block(node.field("body"))
        for value, targets in reversed(items):
            body = (self.stmt("with", node, value=value, targets=targets, body=body),)
        out.extend(body)

    def match_(self, node: SgNode, out: list[Stmt]) -> None:
        subject = self.value(node.field("subject"))
        cases: list[Stmt] = []
        body = node.field("body")
        self.deeper()
        for case in named(body) if body is not None else ():
            if case.kind() == "case_clause":
                guard = case.field("guard")
                test = self.values(guard) if guard is not None else ()
                value = test[0] if test else None
                cases.append(self.stmt("block", case, value=value, body=self.block(case.field("consequence"))))
        self.depth -= 1
        out.append(self.stmt("other", node, op="match", value=subject, body=tuple(cases)))

    def import_(self, node: SgNode, out: list[Stmt]) -> None:
        children = named(node)
        kind = node.kind()
        prefix = "__future__" if kind == "future_import_statement" else ""
        if kind == "import_from_statement":
            prefix = children.pop(0).text()
        for child in children:
            kind = child.kind()
            if kind == "aliased_import":
                target, alias = named(child)
                self.imports[alias.text()] = _join(prefix, target.text())
            elif kind == "dotted_name":
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
            returns = inner.field("return_type")
            unit.returns = self.value(returns) if returns is not None else None
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

    def value(self, node: SgNode | None, kind: str = "") -> Expr:
        if node is None:
            return Expr("other", 0, 0, 1, 1)
        kind = kind or node.kind()
        while kind in _TRANSPARENT:
            children = named(node)
            if len(children) != 1:
                return self.group(node, kind)
            node = children[0]
            kind = node.kind()
        if kind == "identifier":
            return self.leaf("name", node)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooDeepError
        out = self.chain(node, kind) if kind in _LINKS else _EXPRESSIONS.get(kind, _Python.group)(self, node, kind)
        self.depth -= 1
        return out

    def values(self, node: SgNode) -> tuple[Expr, ...]:
        out = []
        for child in node.named_children():
            kind = child.kind()
            if kind not in EXTRAS:
                out.append(self.value(child, kind))
        return tuple(out)

    def group(self, node: SgNode, kind: str) -> Expr:
        return self.expr("other", node, kind, None, self.values(node))

    def constant(self, node: SgNode, kind: str) -> Expr:  # noqa: ARG002
        return self.leaf("const", node)

    def comparison(self, node: SgNode, kind: str) -> Expr:  # noqa: ARG002
        operators = " ".join(c.kind() for c in node.children() if not c.is_named())
        return self.expr("bin", node, operators, None, self.values(node))

    def not_(self, node: SgNode, kind: str) -> Expr:  # noqa: ARG002
        return self.expr("not", node, "", None, self.values(node))

    def conditional(self, node: SgNode, kind: str) -> Expr:
        """Lower ``a if b else c if d else e`` without recursing along the alternatives."""
        links: list[tuple[SgNode, Expr, Expr]] = []
        while kind == "conditional_expression":
            then, test, alternative = named(node)
            then_value = self.value(then)
            links.append((node, self.value(test), then_value))
            node, kind = alternative, alternative.kind()
        out = self.value(node, kind)
        for link, test_value, then_value in reversed(links):
            out = self.expr("cond", link, "", None, (test_value, then_value, out))
        return out

    def list_(self, node: SgNode, kind: str) -> Expr:  # noqa: ARG002
        return self.expr("list", node, "", None, self.values(node))

    def dictionary(self, node: SgNode, kind: str) -> Expr:  # noqa: ARG002
        return self.expr("dict", node, args=tuple(self.pair(child) for child in named(node)))

    def spread(self, node: SgNode, kind: str) -> Expr:  # noqa: ARG002
        return self.expr("spread", node, "", None, self.values(node))

    def keyword(self, node: SgNode, kind: str) -> Expr:
        return self.expr("other", node, kind, None, (self.value(node.field("value")),))

    def as_pattern(self, node: SgNode, kind: str) -> Expr:  # noqa: ARG002
        return self.expr("other", node, "as", None, self.values(node))

    def walrus(self, node: SgNode, kind: str) -> Expr:  # noqa: ARG002
        return self.expr("other", node, ":=", None, self.values(node))

    def generic(self, node: SgNode, kind: str) -> Expr:  # noqa: ARG002
        """Lower ``list[Patient]`` in an annotation like the subscript it is."""
        base, *rest = named(node)
        return self.expr(
            "sub", node, "", self.value(base), tuple(self.value(t) for group in rest for t in named(group))
        )

    def chain(self, node: SgNode, kind: str) -> Expr:
        """Lower ``a.b(c)[d].e`` without recursing along the chain: chains of thousands of calls exist."""
        links: list[tuple[SgNode, str, list[SgNode]]] = []
        current = node
        while True:
            if kind in _LINKS:
                parts = named(current)
                links.append((current, kind, parts))
            elif kind in ("parenthesized_expression", "await"):
                parts = named(current)
                if len(parts) != 1:
                    break
            else:
                break
            current = parts[0]
            kind = current.kind()
        base = self.value(current, kind)
        for link, link_kind, parts in reversed(links):
            if link_kind == "attribute":
                base = self.expr("attr", link, parts[-1].text(), base)
            elif link_kind == "call":
                base = self.expr("call", link, "", base, (), self.arguments(parts[-1]) if len(parts) > 1 else ())
            else:
                base = self.expr("sub", link, "", base, tuple(self.value(part) for part in parts[1:]))
        return base

    def arguments(self, node: SgNode) -> tuple[Arg, ...]:
        if node.kind() == "generator_expression":
            return (Arg(None, self.value(node)),)
        out: list[Arg] = []
        for child in node.named_children():
            kind = child.kind()
            if kind == "keyword_argument":
                parts = named(child)
                out.append(Arg(parts[0].text(), self.value(parts[-1])))
            elif kind in _SPLATS:
                out.append(Arg(None, self.value(named(child)[0]), spread=True))
            elif kind not in EXTRAS:
                out.append(Arg(None, self.value(child, kind)))
        return tuple(out)

    def pair(self, node: SgNode) -> Arg:
        if node.kind() == "pair":
            key = self.value(node.field("key"))
            return Arg(key.name if key.kind == "str" else None, self.value(node.field("value")))
        children = named(node)
        return Arg(None, self.value(children[0] if children else None), spread=node.kind() == "dictionary_splat")

    def binary(self, node: SgNode, kind: str) -> Expr:
        """Lower ``a + b + c - d``, which nests to the left, one level a term. Equal operators make one flat list."""
        spine: list[tuple[SgNode, str, SgNode]] = []
        current = node
        while kind in _BINARY:
            parts = [child for child in current.children() if child.kind() not in EXTRAS]
            spine.append((current, parts[1].kind(), parts[-1]))
            current = parts[0]
            kind = current.kind()
        items = [self.value(current, kind)]
        for index in range(len(spine) - 1, -1, -1):
            link, operator, right = spine[index]
            items.append(self.value(right))
            if index == 0 or spine[index - 1][1] != operator:
                items = [self.expr("bin", link, operator, None, tuple(items))]
        return items[0]

    def string(self, node: SgNode, kind: str) -> Expr:
        out = self.leaf("str", node)
        literal: list[str] = []
        holes: list[Expr] = []
        for piece in named(node) if kind == "concatenated_string" else (node,):
            whole = out.name if piece is node else piece.text()
            opening = _STRING.match(whole)
            prefix = opening.group(1).lower() if opening is not None else ""
            if opening is not None and "f" not in prefix and "t" not in prefix:
                content = whole[opening.end() : -len(opening.group(2))]
                literal.append(content if "r" in prefix or "\\" not in content else _ESCAPE.sub(_unescape, content))
                continue
            for part in piece.named_children():
                part_kind = part.kind()
                if part_kind == "string_content":
                    content = part.text()
                    literal.append(content if "r" in prefix else _ESCAPE.sub(_unescape, content))
                elif part_kind == "interpolation":
                    literal.append("{}")
                    holes.extend(self.value(c) for c in named(part) if c.kind() not in _NOT_HOLES)
        out.name, out.items, out.kind = "".join(literal), tuple(holes), "fstr" if holes else "str"
        return out

    def lambda_(self, node: SgNode, kind: str) -> Expr:  # noqa: ARG002
        unit = self.enter("function", "<lambda>", node, anonymous=True)
        unit.params = self.params(node.field("parameters"))
        body = node.field("body")
        if body is not None:
            unit.body = (self.stmt("return", body, value=self.value(body)),)
        self.leave()
        return self.expr("func", node, unit=unit)


def _unescape(match: re.Match[str]) -> str:
    return _PLAIN.get(match.group(1), match.group(0))


def _join(prefix: str, name: str) -> str:
    return f"{prefix}{name}" if not prefix or prefix.endswith(".") else f"{prefix}.{name}"


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

_EXPRESSIONS: dict[str, Callable[[_Python, SgNode, str], Expr]] = {
    "string": _Python.string,
    "concatenated_string": _Python.string,
    "comparison_operator": _Python.comparison,
    "not_operator": _Python.not_,
    "conditional_expression": _Python.conditional,
    "dictionary": _Python.dictionary,
    "keyword_argument": _Python.keyword,
    "lambda": _Python.lambda_,
    "as_pattern": _Python.as_pattern,
    "named_expression": _Python.walrus,
    "generic_type": _Python.generic,
    **dict.fromkeys(_BINARY, _Python.binary),
    **dict.fromkeys(_SPLATS, _Python.spread),
    **dict.fromkeys(("integer", "float", "true", "false", "none", "ellipsis"), _Python.constant),
    **dict.fromkeys(
        ("list", "tuple", "set", "expression_list", "pattern_list", "tuple_pattern", "list_pattern"), _Python.list_
    ),
}
