"""TypeScript and JavaScript source to the small tree (grammars: typescript, tsx, javascript through ast-grep)."""

from __future__ import annotations

import re

from ast_grep_py import SgNode, SgRoot

from agentreview.syntax.ecmascript_values import CALLBACK, FUNCTIONS, Values, bound_names, target_name, unwrap
from agentreview.syntax.lowering import EXTRAS, DoesNotParseError, TooDeepError, named, parse
from agentreview.syntax.tree import Expr, Handler, Module, Stmt, Unit, dotted

_IGNORED = EXTRAS | {"empty_statement", "function_signature", "interface_declaration", "type_alias_declaration", "enum_declaration", "ambient_declaration", "hash_bang_line"}
_FUNCTION_DECLARATIONS = frozenset({"function_declaration", "generator_function_declaration"})
_CLASSES = frozenset({"class_declaration", "abstract_class_declaration", "class"})
_FIELDS = frozenset({"public_field_definition", "field_definition"})
_NAMESPACES = frozenset({"internal_module", "module"})
_MISREAD_IN = re.compile(r"(?<=[\w)\]}'\"`$])\s*\n\s*(?=in(?:stanceof)?[_$0-9])")
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
    """Parse around two known defects of the grammars, without moving a character.

    ``&`` in JSX text and attributes is an error unless it begins an entity, and a line that begins with a name like
    ``in_progress`` does not end the statement before it, because it is taken for the operator ``in``.
    """
    patched = _MISREAD_IN.sub(lambda m: m.group()[:-1] + ";", source)
    for _ in range(_ATTEMPTS):
        errors = [] if grammar == "typescript" or "&" not in patched else SgRoot(patched, grammar).root().find_all(kind="ERROR")
        starts = [e.replace("").start_pos for e in errors if e.text().startswith("&")]
        if not starts:
            break
        characters = list(patched)
        for start in starts:
            while characters[start] == "&":
                characters[start] = "+"
                start += 1
        patched = "".join(characters)
    return parse(patched, grammar)


class _EcmaScript(Values):
    def __init__(self, source: str, language: str) -> None:
        super().__init__(source, language)
        self.published: dict[str, Expr | None] = {}  # exported by name -> the call it is wrapped in

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
        elif kind in _FUNCTION_DECLARATIONS:
            self.declare_function(node, node, out)
        elif kind in _CLASSES:
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
        if self.current is self.root and any(_is_exports(target) for target in targets):
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
            out.append(self.stmt("assign", whole, targets=(target,), value=value, op="=" if source is not None else ":"))

    def required(self, target: Expr, value: Expr) -> None:
        """Record ``const x = require('m')``, ``const { a } = require('m')`` and ``await import('m')``."""
        suffix = ""
        while value.kind == "attr" and value.base is not None:
            suffix, value = f".{value.name}{suffix}", value.base
        while value.kind == "call" and value.base is not None and value.base.kind == "call":
            value = value.base  # require('debug')('app')
        if value.kind != "call" or value.base is None or value.base.name not in ("require", "import") or len(value.args) != 1:
            return
        if value.base.kind != "name" or value.args[0].value.kind != "str":
            return
        module = value.args[0].value.name + suffix.removesuffix(".default")
        if target.kind == "name":
            self.imports[target.name] = module
        elif target.kind == "dict":
            for arg in target.args:
                if arg.value.kind == "name":
                    self.imports[arg.value.name] = f"{module}.{arg.name}" if arg.name and arg.name != "default" else module

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
        out.append(self.stmt("for", node, targets=targets, value=self.value(node.field("right")), body=self.body(node.field("body"))))

    def while_(self, node: SgNode, out: list[Stmt]) -> None:
        out.append(self.stmt("while", node, value=self.value(node.field("condition")), body=self.body(node.field("body"))))

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

    # -- modules ------------------------------------------------------------------------------------------------

    def import_(self, node: SgNode, out: list[Stmt]) -> None:
        parts = named(node)
        source = node.field("source")
        module = self.value(source).name if source is not None else ""
        for part in parts:
            kind = part.kind()
            if kind == "import_require_clause":
                inner = named(part)
                module = self.value(inner[-1]).name
                self.imports[inner[0].text()] = module
            elif kind == "import_clause":
                for clause in named(part):
                    self.import_clause(clause, module)
        out.append(self.stmt("import", node, op=module))

    def import_clause(self, node: SgNode, module: str) -> None:
        kind = node.kind()
        if kind == "identifier":
            self.imports[node.text()] = module
        elif kind == "namespace_import":
            self.imports[named(node)[0].text()] = module
        elif kind == "named_imports":
            for specifier in named(node):
                names = [self.value(name) for name in named(specifier)]
                if names:
                    original = names[0].name
                    self.imports[names[-1].name] = module if original == "default" else f"{module}.{original}"

    def import_alias(self, node: SgNode, out: list[Stmt]) -> None:
        names = named(node)
        root, _, rest = names[-1].text().partition(".")
        module = self.imports.get(root, root)
        self.imports[names[0].text()] = f"{module}.{rest}" if rest else module
        out.append(self.stmt("import", node, op=module))

    def export(self, node: SgNode, out: list[Stmt]) -> None:
        source = node.field("source")
        if source is not None:
            out.append(self.stmt("import", node, op=self.value(source).name))
            return
        before, made = len(self.current.children), len(out)
        value: Expr | None = None
        for child in named(node):
            kind = child.kind()
            if kind in _FUNCTION_DECLARATIONS:
                self.declare_function(child, node, out).exported = True
            elif kind in _CLASSES:
                self.declare_class(child, node, out).exported = True
            elif kind == "export_clause":
                for specifier in named(child):
                    self.published[named(specifier)[0].text()] = None
            elif kind in _STATEMENTS or kind in _IGNORED or kind in _NAMESPACES:
                self.statement(child, kind, out)
            elif kind not in ("decorator", "namespace_export"):
                value = self.default(child, node, out)
        declared = [name for stmt in out[made:] for target in stmt.targets for name in bound_names(target)]
        self.publish(value, declared, before)

    def default(self, node: SgNode, whole: SgNode, out: list[Stmt]) -> Expr:
        """Lower ``export default <expression>``: a function there is called ``default`` unless it has a name."""
        inner, kind = unwrap(node)
        if kind in FUNCTIONS:
            name = inner.field("name")
            unit = self.function(inner, name.text() if name is not None else "default", header=name, outer=whole)
            out.append(self.unit_stmt(unit))
            return self.expr("func", inner, unit=unit)
        value = self.bound(inner, "default")
        out.append(self.stmt("expr", whole, value=value))
        return value

    def publish(self, value: Expr | None, names: list[str], before: int) -> None:
        """Mark the units an export made, and remember the names it mentions: they may be declared further down."""
        mentioned = {"default", *names}
        if value is not None and value.kind == "name":
            self.published.setdefault(value.name, None)
        for arg in value.args if value is not None and value.kind in ("dict", "call") else ():
            if value is not None and value.kind == "dict" and arg.name:
                mentioned.add(arg.name)
            if value is not None and arg.value.kind == "name":
                self.published[arg.value.name] = value if value.kind == "call" else None
        for unit in self.current.children[before:]:
            unit.exported = unit.exported or (unit.name in mentioned and not unit.anonymous)

    def finish(self) -> None:
        """Apply the exports that name a declaration: ``export { handler }``, ``export default withAuth(handler)``."""
        for unit in self.root.children:
            if unit.name in self.published:
                unit.exported = True
                wrapper = self.published[unit.name]
                if wrapper is not None and unit.kind == "function":
                    unit.decorators = (wrapper, *unit.decorators)

    # -- functions and classes ----------------------------------------------------------------------------------

    def declare_function(self, node: SgNode, outer: SgNode, out: list[Stmt]) -> Unit:
        name = node.field("name")
        unit = self.function(node, name.text() if name is not None else "default", header=name, outer=outer)
        out.append(self.unit_stmt(unit))
        return unit

    def declare_class(self, node: SgNode, outer: SgNode, out: list[Stmt]) -> Unit:
        name = node.field("name")
        unit = self.class_unit(node, name.text() if name is not None else "default", outer)
        out.append(self.unit_stmt(unit))
        return unit

    def class_unit(self, node: SgNode, name: str, outer: SgNode | None = None) -> Unit:
        holders = [node] if outer is None or outer.kind() != "export_statement" else [outer, node]
        decorators = tuple(self.decorator(c) for holder in holders for c in holder.named_children() if c.kind() == "decorator")
        unit = self.enter("class", name, outer or node, header=node.field("name"))
        unit.decorators = decorators
        for child in named(node):
            kind = child.kind()
            if kind == "class_heritage":
                unit.bases = tuple(self.heritage(child))
            elif kind == "class_body":
                unit.body = self.class_body(child)
        self.leave()
        return unit

    def heritage(self, node: SgNode) -> list[Expr]:
        """Lower ``extends`` (with its type arguments as a subscript), then ``implements``."""
        bases: list[Expr] = []
        for child in named(node):
            kind = child.kind()
            if kind == "extends_clause":
                for part in named(child):
                    if part.kind() == "type_arguments" and bases:
                        items = tuple(self.type_(t) for t in named(part))
                        base = bases.pop()
                        whole = self.between("sub", base, items[-1] if items else base, items=items)
                        whole.base = base
                        bases.append(whole)
                    else:
                        bases.append(self.value(part))
            elif kind == "implements_clause":
                bases.extend(self.type_(part) for part in named(child))
            else:
                bases.append(self.value(child, kind))
        return bases

    def class_body(self, node: SgNode) -> tuple[Stmt, ...]:
        out: list[Stmt] = []
        pending: list[SgNode] = []  # decorators of the next member
        for child in node.named_children():
            kind = child.kind()
            if kind == "decorator":
                pending.append(child)
                continue
            if kind in EXTRAS:
                continue
            if kind == "method_definition":
                self.method(child, pending, out)
            elif kind in _FIELDS:
                self.field(child, pending, out)
            elif kind == "class_static_block":
                out.append(self.stmt("block", child, body=self.body(child.field("body"))))
            pending = []
        return tuple(out)

    def method(self, node: SgNode, pending: list[SgNode], out: list[Stmt]) -> None:
        pending = [*pending, *(c for c in node.named_children() if c.kind() == "decorator")]
        decorators = tuple(self.decorator(d) for d in pending)
        header = node.field("name")
        name = self.key(header) if header is not None else None
        first = pending[0] if pending else None
        unit = self.function(node, name or "[computed]", header=header, first=first, decorators=decorators)
        out.append(self.unit_stmt(unit))

    def field(self, node: SgNode, pending: list[SgNode], out: list[Stmt]) -> None:
        """Lower a class field: an assignment, after its decorators, unless its value is a function or class."""
        pending = [*pending, *(c for c in node.named_children() if c.kind() == "decorator")]
        decorators = tuple(self.decorator(d) for d in pending)
        header = node.field("name") or node.field("property")
        if header is None:
            return
        name = self.key(header)
        target = self.leaf("name", header)
        target.name = name or "[computed]"
        source, annotation = node.field("value"), node.field("type")
        if source is not None:
            value: Expr | None = self.bound(source, name or CALLBACK)
        else:
            value = self.type_(annotation) if annotation is not None else None
        if value is not None and value.kind == "func" and value.unit is not None:
            value.unit.decorators = decorators
        else:
            out.extend(Stmt("expr", d.line, d.end_line, d.start, d.end, value=d) for d in decorators)
        out.append(self.stmt("assign", node, targets=(target,), value=value, op="=" if source is not None else ":"))


def _is_exports(target: Expr) -> bool:
    name = dotted(target)
    return name == "module.exports" or name.startswith(("exports.", "module.exports."))


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
