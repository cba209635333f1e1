"""TypeScript and JavaScript source to the small tree (grammars: typescript, tsx, javascript through ast-grep)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentreview.lazyre import lazy
from agentreview.syntax.ecmascript_types import target_name
from agentreview.syntax.ecmascript_units import CLASSES, FUNCTION_DECLARATIONS, Units, is_exports
from agentreview.syntax.lowering import EXTRAS, DoesNotParseError, TooDeepError, named, parse, unchecked
from agentreview.syntax.tree import Expr, Handler, Module, Stmt

if TYPE_CHECKING:
    from ast_grep_py import SgNode

_IGNORED = EXTRAS | {
    "empty_statement",
    "function_signature",
    "interface_declaration",
    "type_alias_declaration",
    "enum_declaration",
    "ambient_declaration",
    "hash_bang_line",
}
_NAMESPACES = frozenset({"internal_module", "module"})
_NO_SEMICOLON = lazy(r"(?:(?<=[\w)\]}'\"`$])\s*\n\s*(?=in(?:stanceof)?[_$0-9])|(?<=\})\s*\n\s*(?=\[\.\.\.))")
_ATTEMPTS = 8


def lower(source: str, grammar: str) -> Module:
    """Return the module, or raise DoesNotParseError / TooDeepError. ``grammar`` is typescript, tsx or javascript."""
    try:
        root = parse(source, grammar)
    except DoesNotParseError:
        root = _parse_repaired(source, grammar)
    low = _EcmaScript(source, "javascript" if grammar == "javascript" else "typescript")
    try:
        low.root.body = low.block(root)
    except RecursionError:
        raise TooDeepError from None
    low.finish()
    return low.module(root)


def _parse_repaired(source: str, grammar: str) -> SgNode:
    """Parse around known defects of the grammars, without moving a character.

    ``&`` in JSX text and attributes is an error unless it begins an entity. A line that begins with a name like
    ``in_progress`` does not end the statement before it, because it is taken for the operator ``in``; nor does one
    that begins with ``[...`` after the body of an arrow function.
    """
    patched = _NO_SEMICOLON.sub(lambda m: m.group()[:-1] + ";", source)
    for _ in range(_ATTEMPTS if grammar != "typescript" and "&" in patched else 0):
        errors = unchecked(patched, grammar).find_all(kind="ERROR")
        starts = [e.replace("").start_pos for e in errors if e.text().startswith("&")]
        if not starts:
            break
        characters = list(patched)
        for start in starts:
            characters[start] = "+"
            if characters[start + 1 : start + 2] == ["&"]:
                characters[start + 1] = "+"
        patched = "".join(characters)
    return parse(patched, grammar)


class _EcmaScript(Units):
    # -- statements ---------------------------------------------------------------------------------------------

    def block(self, node: SgNode) -> tuple[Stmt, ...]:
        self.deeper()
        out: list[Stmt] = []
        for child in node.named_children():
            self.statement(child, child.kind(), out)
        self.depth -= 1
        return tuple(out)

    def body(self, node: SgNode | None) -> tuple[Stmt, ...]:
        if node is None:
            return ()
        kind = node.kind()
        if kind == "statement_block":
            return self.block(node)
        self.deeper()
        out: list[Stmt] = []
        self.statement(node, kind, out)
        self.depth -= 1
        return tuple(out)

    def statement(self, node: SgNode, kind: str, out: list[Stmt]) -> None:
        method = _STATEMENTS.get(kind)
        if method is not None:
            method(self, node, out)
        elif kind in FUNCTION_DECLARATIONS:
            self.declare_function(node, node, out)
        elif kind in CLASSES:
            self.declare_class(node, node, out)
        elif kind in _NAMESPACES:
            out.append(self.stmt("block", node, body=self.body(node.field("body"))))
        elif kind not in _IGNORED:
            out.append(self.stmt("expr", node, value=self.value(node, kind)))

    def expression_statement(self, node: SgNode, out: list[Stmt]) -> None:
        for child in named(node):
            self.expression(child, child.kind(), node, out)

    def expression(self, node: SgNode, kind: str, whole: SgNode, out: list[Stmt]) -> None:
        """Lower an expression that is a statement; the parts of ``a = 1, b()`` are statements of their own."""
        if kind == "assignment_expression":
            self.assignment(node, out)
        elif kind == "augmented_assignment_expression":
            left, right = named(node)
            operator = next((c.kind() for c in node.children() if not c.is_named()), "")
            out.append(self.stmt("assign", node, targets=(self.value(left),), value=self.value(right), op=operator))
        elif kind == "sequence_expression":
            for child in named(node):
                self.expression(child, child.kind(), child, out)
        elif kind in _NAMESPACES:
            out.append(self.stmt("block", node, body=self.body(node.field("body"))))
        else:
            out.append(self.stmt("expr", whole, value=self.value(node, kind)))

    def assignment(self, node: SgNode, out: list[Stmt]) -> None:
        targets: list[Expr] = []
        first, before = node, len(self.current.children)
        while node.kind() == "assignment_expression":
            left, node = named(node)
            targets.append(self.pattern(left))
        value = self.bound(node, target_name(targets[-1]))
        out.append(self.stmt("assign", first, targets=tuple(targets), value=value, op="="))
        if self.current is self.root and any(is_exports(target) for target in targets):
            self.publish(value, [target.name for target in targets], before)

    def declarations(self, node: SgNode, out: list[Stmt]) -> None:
        declarators = [child for child in named(node) if child.kind() == "variable_declarator"]
        for declarator in declarators:
            name = declarator.field("name")
            if name is None:
                continue
            target = self.pattern(name)
            source, annotation = declarator.field("value"), declarator.field("type")
            if source is not None:
                value = self.bound(source, target_name(target))
                self.required(target, value)
            elif annotation is not None:
                value = self.type_(annotation)
            else:
                continue
            whole = node if len(declarators) == 1 else declarator
            out.append(
                self.stmt("assign", whole, targets=(target,), value=value, op="=" if source is not None else ":")
            )

    def required(self, target: Expr, value: Expr) -> None:
        """Record ``const x = require('m')``, ``const { a } = require('m')`` and ``await import('m')``."""
        suffix = ""
        while value.kind == "attr" and value.base is not None:
            suffix, value = f".{value.name}{suffix}", value.base
        while value.kind == "call" and value.base is not None and value.base.kind == "call":
            value = value.base  # require('debug')('app')
        if (
            value.kind != "call"
            or value.base is None
            or value.base.name not in ("require", "import")
            or len(value.args) != 1
        ):
            return
        if value.base.kind != "name" or value.args[0].value.kind != "str":
            return
        module = value.args[0].value.name + suffix.removesuffix(".default")
        if target.kind == "name":
            self.imports[target.name] = module
        elif target.kind == "dict":
            for arg in target.args:
                if arg.value.kind == "name":
                    self.imports[arg.value.name] = (
                        f"{module}.{arg.name}" if arg.name and arg.name != "default" else module
                    )

    def return_(self, node: SgNode, out: list[Stmt]) -> None:
        parts = named(node)
        out.append(self.stmt("return", node, value=self.value(parts[0]) if parts else None))

    def throw(self, node: SgNode, out: list[Stmt]) -> None:
        parts = named(node)
        out.append(self.stmt("raise", node, value=self.value(parts[0]) if parts else None))

    def jump(self, node: SgNode, out: list[Stmt]) -> None:
        out.append(self.stmt("other", node, op=node.kind().split("_", maxsplit=1)[0]))

    def if_(self, node: SgNode, out: list[Stmt]) -> None:
        links: list[tuple[SgNode, Expr, tuple[Stmt, ...]]] = []
        orelse: tuple[Stmt, ...] = ()
        current: SgNode | None = node
        while current is not None:  # else if … else if: a loop, not recursion
            links.append((current, self.value(current.field("condition")), self.body(current.field("consequence"))))
            alternative = current.field("alternative")
            inner = named(alternative) if alternative is not None else []
            current = None
            if inner and inner[0].kind() == "if_statement":
                current = inner[0]
            elif inner:
                orelse = self.body(inner[0])
        for link, test, body in reversed(links):
            orelse = (self.stmt("if", link, value=test, body=body, orelse=orelse),)
        out.extend(orelse)

    def for_(self, node: SgNode, out: list[Stmt]) -> None:
        """Lower ``for (init; test; step)``: init and step become the first and last statement of the body."""
        body: list[Stmt] = []
        initializer, step = node.field("initializer"), node.field("increment")
        if initializer is not None:
            kind = initializer.kind()
            if kind in _STATEMENTS or kind in _IGNORED:
                self.statement(initializer, kind, body)
            else:
                self.expression(initializer, kind, initializer, body)
        condition = node.field("condition")
        test = None
        if condition is not None and condition.kind() not in _IGNORED:
            inner = named(condition) if condition.kind() == "expression_statement" else [condition]
            test = self.value(inner[0]) if inner else None
        body.extend(self.body(node.field("body")))
        if step is not None:
            self.expression(step, step.kind(), step, body)
        out.append(self.stmt("for", node, value=test, body=tuple(body)))

    def for_in(self, node: SgNode, out: list[Stmt]) -> None:
        left = node.field("left")
        targets = (self.pattern(left),) if left is not None else ()
        out.append(
            self.stmt(
                "for", node, targets=targets, value=self.value(node.field("right")), body=self.body(node.field("body"))
            )
        )

    def while_(self, node: SgNode, out: list[Stmt]) -> None:
        out.append(
            self.stmt("while", node, value=self.value(node.field("condition")), body=self.body(node.field("body")))
        )

    def do(self, node: SgNode, out: list[Stmt]) -> None:
        body = self.body(node.field("body"))
        out.append(self.stmt("while", node, value=self.value(node.field("condition")), body=body))

    def with_(self, node: SgNode, out: list[Stmt]) -> None:
        out.append(self.stmt("with", node, value=self.value(node.field("object")), body=self.body(node.field("body"))))

    def labelled(self, node: SgNode, out: list[Stmt]) -> None:
        out.extend(self.body(node.field("body")))

    def nested(self, node: SgNode, out: list[Stmt]) -> None:
        out.append(self.stmt("block", node, body=self.block(node)))

    def switch(self, node: SgNode, out: list[Stmt]) -> None:
        subject = self.value(node.field("value"))
        cases: list[Stmt] = []
        body = node.field("body")
        self.deeper()
        for case in named(body) if body is not None else ():
            parts = named(case)
            value = self.value(parts.pop(0)) if case.kind() == "switch_case" and parts else None
            inner: list[Stmt] = []
            for part in parts:
                self.statement(part, part.kind(), inner)
            cases.append(self.stmt("block", case, value=value, body=tuple(inner)))
        self.depth -= 1
        out.append(self.stmt("other", node, op="switch", value=subject, body=tuple(cases)))

    def try_(self, node: SgNode, out: list[Stmt]) -> None:
        body = self.body(node.field("body"))
        handlers: tuple[Handler, ...] = ()
        clause, finalizer = node.field("handler"), node.field("finalizer")
        if clause is not None:
            parameter = clause.field("parameter")
            name = parameter.text() if parameter is not None and parameter.kind() == "identifier" else ""
            start, end, line, end_line = self.span(clause)
            handlers = (Handler((), name, self.body(clause.field("body")), line, end_line, start, end),)
        final = self.body(finalizer.field("body")) if finalizer is not None else ()
        out.append(self.stmt("try", node, body=body, handlers=handlers, final=final))


_STATEMENTS = {
    "expression_statement": _EcmaScript.expression_statement,
    "lexical_declaration": _EcmaScript.declarations,
    "variable_declaration": _EcmaScript.declarations,
    "return_statement": _EcmaScript.return_,
    "throw_statement": _EcmaScript.throw,
    "if_statement": _EcmaScript.if_,
    "for_statement": _EcmaScript.for_,
    "for_in_statement": _EcmaScript.for_in,
    "while_statement": _EcmaScript.while_,
    "do_statement": _EcmaScript.do,
    "with_statement": _EcmaScript.with_,
    "labeled_statement": _EcmaScript.labelled,
    "statement_block": _EcmaScript.nested,
    "switch_statement": _EcmaScript.switch,
    "try_statement": _EcmaScript.try_,
    "import_statement": _EcmaScript.import_,
    "import_alias": _EcmaScript.import_alias,
    "export_statement": _EcmaScript.export,
    "break_statement": _EcmaScript.jump,
    "continue_statement": _EcmaScript.jump,
    "debugger_statement": _EcmaScript.jump,
}
