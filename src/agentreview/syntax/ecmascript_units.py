"""What makes units of TypeScript and JavaScript: imports, exports, classes and their members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentreview.syntax.ecmascript_types import CALLBACK, bound_names, unwrap
from agentreview.syntax.ecmascript_values import FUNCTIONS, Values
from agentreview.syntax.lowering import EXTRAS, named
from agentreview.syntax.tree import Expr, Stmt, Unit, dotted

if TYPE_CHECKING:
    from ast_grep_py import SgNode

FUNCTION_DECLARATIONS = frozenset({"function_declaration", "generator_function_declaration"})
CLASSES = frozenset({"class_declaration", "abstract_class_declaration", "class"})
DECLARATIONS = frozenset(
    {"lexical_declaration", "variable_declaration", "import_alias", "internal_module", "module", "ambient_declaration"}
    | {"interface_declaration", "type_alias_declaration", "enum_declaration", "function_signature"}
)
_FIELDS = frozenset({"public_field_definition", "field_definition"})


class Units(Values):
    """Modules and classes. Statements are the subclass's."""

    def __init__(self, source: str, language: str) -> None:
        super().__init__(source, language)
        self.published: dict[str, Expr | None] = {}  # exported by name -> the call it is wrapped in

    def statement(self, node: SgNode, kind: str, out: list[Stmt]) -> None:
        """Lower one statement."""
        raise NotImplementedError

    # -- modules ------------------------------------------------------------------------------------------------

    def import_(self, node: SgNode, out: list[Stmt]) -> None:
        """Lower an import: what each local name stands for."""
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
        """Record the names one part of an import binds."""
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
        """Lower ``import A = B.C``."""
        names = named(node)
        root, _, rest = names[-1].text().partition(".")
        module = self.imports.get(root, root)
        self.imports[names[0].text()] = f"{module}.{rest}" if rest else module
        out.append(self.stmt("import", node, op=module))

    def export(self, node: SgNode, out: list[Stmt]) -> None:
        """Lower any form of ``export``."""
        source = node.field("source")
        if source is not None:
            out.append(self.stmt("import", node, op=self.value(source).name))
            return
        before, made = len(self.current.children), len(out)
        value: Expr | None = None
        for child in named(node):
            kind = child.kind()
            if kind in FUNCTION_DECLARATIONS:
                self.declare_function(child, node, out).exported = True
            elif kind in CLASSES:
                self.declare_class(child, node, out).exported = True
            elif kind == "export_clause":
                for specifier in named(child):
                    self.published[named(specifier)[0].text()] = None
            elif kind in DECLARATIONS:
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
        """Lower a function declaration that is a statement."""
        name = node.field("name")
        unit = self.function(node, name.text() if name is not None else "default", header=name, outer=outer)
        out.append(self.unit_stmt(unit))
        return unit

    def declare_class(self, node: SgNode, outer: SgNode, out: list[Stmt]) -> Unit:
        """Lower a class declaration that is a statement."""
        name = node.field("name")
        unit = self.class_unit(node, name.text() if name is not None else "default", outer)
        out.append(self.unit_stmt(unit))
        return unit

    def class_unit(self, node: SgNode, name: str, outer: SgNode | None = None) -> Unit:
        """Lower a class. ``outer`` is the export statement around it."""
        holders = [node] if outer is None or outer.kind() != "export_statement" else [outer, node]
        decorators = tuple(
            self.decorator(c) for holder in holders for c in holder.named_children() if c.kind() == "decorator"
        )
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
        """Lower the members. The decorators of a method stand before it, as its siblings."""
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
        """Lower a method, constructor, getter or setter."""
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


def is_exports(target: Expr) -> bool:
    """Whether an assignment target is what a CommonJS module exports."""
    name = dotted(target)
    return name == "module.exports" or name.startswith(("exports.", "module.exports."))
