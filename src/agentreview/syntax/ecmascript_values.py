"""Expressions and functions of TypeScript and JavaScript.

Positions of children are used instead of field look-ups where the grammar fixes them: every call into the parser
costs as much as a few lines of Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agentreview.syntax.ecmascript_types import (
    CALLBACK,
    TRANSPARENT,
    Types,
    bound_names,
    target_name,
    unescaped,
    unquoted,
    unwrap,
)
from agentreview.syntax.lowering import EXTRAS, MAX_DEPTH, TooDeepError, named
from agentreview.syntax.tree import Arg, Expr, Param, Stmt, Unit

if TYPE_CHECKING:
    from ast_grep_py import SgNode

FUNCTIONS = frozenset({"arrow_function", "function_expression", "generator_function"})
_CALLS = frozenset({"call_expression", "new_expression"})
_LINKS = TRANSPARENT | _CALLS | {"member_expression", "subscript_expression"}
_NAMES = frozenset({"identifier", "this", "super", "import", "property_identifier", "private_property_identifier"})
_JSX = frozenset({"jsx_element", "jsx_self_closing_element", "jsx_fragment", "jsx_opening_element"})


class Values(Types):
    """Everything that has a value. Statements and classes are the subclass's."""

    wrapped: Unit | None = None

    def body(self, node: SgNode | None) -> tuple[Stmt, ...]:
        """Lower a block, or a statement without braces."""
        raise NotImplementedError

    def class_unit(self, node: SgNode, name: str, outer: SgNode | None = None) -> Unit:
        """Lower a class declaration or expression."""
        raise NotImplementedError

    def value(self, node: SgNode | None, kind: str = "") -> Expr:
        """Lower an expression."""
        if node is None:
            return Expr("other", 0, 0, 1, 1)
        kind = kind or node.kind()
        if kind in _NAMES:
            return self.leaf("name", node)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooDeepError
        out = self.chain(node, kind) if kind in _LINKS else _EXPRESSIONS.get(kind, _group)(self, node, kind)
        self.depth -= 1
        return out

    def values(self, node: SgNode) -> tuple[Expr, ...]:
        """Lower every named child."""
        out = []
        for child in node.named_children():
            kind = child.kind()
            if kind not in EXTRAS:
                out.append(self.value(child, kind))
        return tuple(out)

    def bound(self, node: SgNode, name: str) -> Expr:
        """Lower the value of a variable, property or field: a function there is named after it.

        Outside functions a wrapper is looked through: ``export const GET = withAuth(async () => …)`` defines GET,
        and the call to the wrapper counts as its decorator.
        """
        node, kind = unwrap(node)
        if kind in FUNCTIONS:
            return self.function_value(node, name, anonymous=name == CALLBACK)
        if kind == "class":
            return self.expr("other", node, kind, unit=self.class_unit(node, name))
        if kind == "call_expression" and self.current.kind != "function" and name != CALLBACK:
            held, self.wrapped = self.wrapped, None
            out = self.wrapper(node, kind, name)
            self.wrapped = held
            return out
        return self.value(node, kind)

    def wrapper(self, node: SgNode, kind: str, name: str) -> Expr:
        """Lower ``wrap(async () => …)`` where the function's name is known."""
        self.deeper()
        out = self.chain(node, kind, name)
        self.depth -= 1
        return out

    # -- chains -------------------------------------------------------------------------------------------------

    def chain(self, node: SgNode, kind: str, wraps: str = "", tag: Expr | None = None) -> Expr:
        """Lower ``a.b(c)[d].e`` without recursing along the chain: chains of thousands of calls exist.

        ``wraps`` is the name of the function among the arguments (of the last call, in a longer chain); ``tag`` is what a
        template at the root belongs to.
        """
        links: list[tuple[SgNode, str, list[SgNode]]] = []
        current = node
        while kind in _LINKS:
            parts = current.named_children()
            if kind in TRANSPARENT:
                parts = [p for p in parts if p.kind() not in EXTRAS]
                if not parts:
                    return _group(self, current, kind)  # <>{/* comment */}</>
                current = parts[-1] if kind == "type_assertion" else parts[0]
            else:
                if kind != "member_expression":
                    parts = [p for p in parts if p.kind() not in EXTRAS]
                links.append((current, kind, parts))
                current = parts[0]
            kind = current.kind()
        base = self.value(current, kind)
        if tag is not None:
            base = Expr("call", tag.start, base.end, tag.line, base.end_line, "", tag, (), (Arg(None, base),))
        if not links:
            return base
        root = base.name if base.kind == "name" else ""
        attributes: list[str] = []
        called, wraps = (wraps, "") if len(links) > 1 or not root else ("", wraps)
        for link, link_kind, parts in reversed(links):
            if link_kind == "member_expression":
                attributes.append(parts[-1].text())
                base = self.expr("attr", link, attributes[-1], base)
            elif link_kind == "subscript_expression":
                keys = tuple(self.value(p) for p in parts[1:] if p.kind() != "optional_chain")
                base = self.expr("sub", link, "", base, keys)
            else:
                args: tuple[Arg, ...] = ()
                last = parts[-1].kind()
                if last == "arguments":
                    args = self.arguments(parts[-1], root, attributes, wraps, called if link is links[0][0] else "")
                elif last == "template_string" and len(parts) > 1:
                    args = (Arg(None, self.value(parts[-1], last)),)
                base = self.expr("call", link, "", base, (), args)
                for arg in args:
                    if arg.value.unit is not None and arg.value.kind == "func":
                        arg.value.unit.call = base
                if wraps and self.wrapped is not None:
                    self.wrapped.decorators = (base, *self.wrapped.decorators)
            if tag is not None:
                base.start, base.line = tag.start, tag.line
        return base

    def arguments(
        self, node: SgNode, root: str, attributes: list[str], wraps: str, called: str = ""
    ) -> tuple[Arg, ...]:
        """Lower the arguments of a call to ``root.attributes``. A function among them is named after that call.

        ``called`` is what its answer is called: ``byId: procedure.input(schema).query(async () => …)``.
        """
        out: list[Arg] = []
        label: str | None = None
        children = node.named_children()
        if wraps and sum(child.kind() in FUNCTIONS for child in children) > 1:
            wraps = ""
        for child in children:
            kind = child.kind()
            if kind in FUNCTIONS:
                name = wraps or called or CALLBACK
                if label is not None and root and not wraps:
                    name = _callee(root, attributes, label)
                value = self.function_value(child, name, anonymous=not wraps)
                if wraps:
                    self.wrapped = value.unit
            elif kind == "call_expression" and wraps:
                value = self.wrapper(child, kind, wraps)
            elif kind == "spread_element":
                inner = named(child)
                out.append(Arg(None, self.value(inner[0] if inner else None), spread=True))
                continue
            elif kind in EXTRAS:
                continue
            else:
                value = self.value(child, kind)
                if label is None and value.kind == "str":
                    label = value.name
            out.append(Arg(None, value))
        return tuple(out)

    # -- functions ----------------------------------------------------------------------------------------------

    def function_value(self, node: SgNode, name: str, *, anonymous: bool = False) -> Expr:
        """Lower an arrow or function expression."""
        own = node.field("name") if name == CALLBACK else None
        return self.expr(
            "func", node, unit=self.function(node, own.text() if own is not None else name, anonymous=anonymous)
        )

    def function(
        self,
        node: SgNode,
        name: str,
        *,
        anonymous: bool = False,
        header: SgNode | None = None,
        first: SgNode | None = None,
        outer: SgNode | None = None,
        decorators: tuple[Expr, ...] = (),
    ) -> Unit:
        """Lower anything with parameters and a body. ``outer`` is the node the unit spans, when it is not ``node``."""
        unit = self.enter("function", name, outer or node, header=header, first=first, anonymous=anonymous)
        unit.decorators = decorators
        params = node.field("parameters")
        if params is not None:
            unit.params = self.params(params)
        else:
            param = node.field("parameter")
            unit.params = (Param(param.text()),) if param is not None else ()
        body = node.field("body")
        if body is not None:
            if body.kind() == "statement_block":
                unit.body = self.body(body)
            else:
                unit.body = (self.stmt("return", body, value=self.value(body)),)
        self.leave()
        return unit

    def params(self, node: SgNode) -> tuple[Param, ...]:
        """Lower a parameter list. ``this`` is a type annotation, not a parameter."""
        out: list[Param] = []
        for child in node.named_children():
            kind = child.kind()
            if kind in ("required_parameter", "optional_parameter"):
                parts = child.named_children()
            elif kind == "assignment_pattern":
                parts = named(child)
            elif kind not in EXTRAS:
                parts = [child]
            else:
                continue
            decorators: list[Expr] = []
            annotation: Expr | None = None
            pattern: SgNode | None = None
            default: Expr | None = None
            for part in parts:
                part_kind = part.kind()
                if part_kind == "decorator":
                    decorators.append(self.decorator(part))
                elif part_kind == "type_annotation":
                    annotation = self.type_(part)
                elif part_kind in EXTRAS or part_kind in ("accessibility_modifier", "override_modifier"):
                    continue
                elif pattern is None:
                    pattern = part
                else:
                    default = self.value(part, part_kind)
            if pattern is None or pattern.kind() == "this":
                continue
            target = self.pattern(pattern)
            if target.kind == "spread" and target.items:
                target = target.items[0]
            simple = target.kind == "name"
            out.append(
                Param(
                    target.name if simple else "",
                    annotation,
                    default,
                    tuple(decorators),
                    () if simple else bound_names(target),
                )
            )
        return tuple(out)

    def decorator(self, node: SgNode) -> Expr:
        """Lower ``@name`` or ``@name(…)`` without the sign."""
        inner = named(node)
        return self.value(inner[0] if inner else None)

    # -- objects ------------------------------------------------------------------------------------------------

    def property(self, node: SgNode, kind: str) -> Arg:
        """Lower one property of an object literal."""
        if kind == "pair":
            parts = named(node)
            key = self.key(parts[0])
            return Arg(key, self.bound(parts[-1], key or CALLBACK))
        if kind == "shorthand_property_identifier":
            name = self.leaf("name", node)
            return Arg(name.name, name)
        if kind == "method_definition":
            header = node.field("name")
            key = self.key(header) if header is not None else None
            return Arg(key, self.expr("func", node, unit=self.function(node, key or "[computed]", header=header)))
        if kind == "spread_element":
            inner = named(node)
            return Arg(None, self.value(inner[0] if inner else None), spread=True)
        return Arg(None, self.value(node, kind))


def _callee(root: str, attributes: list[str], label: str) -> str:
    """Name a callback ``router.get('/patients/:id')``. The middle of a long chain says nothing about it."""
    shown = attributes if len(attributes) < 4 else attributes[-1:]
    return ".".join((root, *shown)) + f"('{label[:80]}')"


# -- one function a kind ------------------------------------------------------------------------------------------


def _group(low: Values, node: SgNode, kind: str) -> Expr:
    return low.expr("other", node, kind, items=low.values(node))


def _string(low: Values, node: SgNode, kind: str) -> Expr:  # noqa: ARG001
    out = low.leaf("str", node)
    out.name = unquoted(out.name)
    return out


def _template(low: Values, node: SgNode, kind: str) -> Expr:  # noqa: ARG001
    literal: list[str] = []
    holes: list[Expr] = []
    for part in node.named_children():
        part_kind = part.kind()
        if part_kind == "template_substitution":
            literal.append("{}")
            holes.extend(low.values(part))
        elif part_kind not in EXTRAS:
            text = low.text(part)
            literal.append(unescaped(text) if part_kind == "escape_sequence" else text)
    return low.expr("fstr" if holes else "str", node, "".join(literal), None, tuple(holes))


def _constant(low: Values, node: SgNode, kind: str) -> Expr:  # noqa: ARG001
    return low.leaf("const", node)


def _binary(low: Values, node: SgNode, kind: str) -> Expr:
    """Lower ``a + b + c - d``, which nests to the left, one level a term. Equal operators make one flat list."""
    spine: list[tuple[SgNode, str, SgNode]] = []
    current = node
    while kind == "binary_expression":
        parts = [p for p in current.children() if p.kind() not in EXTRAS]
        spine.append((current, parts[1].kind(), parts[-1]))
        current = parts[0]
        kind = current.kind()
    items = [low.value(current, kind)]
    for index in range(len(spine) - 1, -1, -1):
        link, operator, right = spine[index]
        outer = spine[index - 1] if index else None
        if operator == "<" and len(items) == 1 and outer is not None and _is_template(outer):
            # sql<Row>`...`: the grammar takes a lone type name for two comparisons.
            items = [low.chain(outer[2], outer[2].kind(), tag=items[0])]
            spine[index - 1] = (outer[0], "<>", outer[2])
        elif operator != "<>":
            items.append(low.value(right))
            if outer is None or outer[1] != operator:
                items = [low.expr("bin", link, operator, None, tuple(items))]
    return items[0]


def _is_template(link: tuple[SgNode, str, SgNode]) -> bool:
    node, kind = link[2], link[2].kind()
    while link[1] == ">" and kind in _LINKS:
        node = node.named_children()[0]
        kind = node.kind()
    return link[1] == ">" and kind == "template_string"


def _unary(low: Values, node: SgNode, kind: str) -> Expr:  # noqa: ARG001
    operator = next((c.kind() for c in node.children() if not c.is_named()), "")
    return low.expr(
        "not" if operator == "!" else "other", node, "" if operator == "!" else operator, None, low.values(node)
    )


def _ternary(low: Values, node: SgNode, kind: str) -> Expr:
    """Lower ``a ? b : c ? d : e`` without recursing along the alternatives."""
    links: list[tuple[SgNode, Expr, Expr]] = []
    while kind == "ternary_expression":
        test, then, alternative = named(node)
        links.append((node, low.value(test), low.value(then)))
        node, kind = alternative, alternative.kind()
    out = low.value(node, kind)
    for link, test_value, then_value in reversed(links):
        out = low.expr("cond", link, "", None, (test_value, then_value, out))
    return out


def _assignment(low: Values, node: SgNode, kind: str) -> Expr:
    """Lower an assignment used as a value, also ``a = b = c = …``."""
    links: list[tuple[SgNode, Expr]] = []
    while kind == "assignment_expression":
        left, node_right = named(node)
        links.append((node, low.pattern(left)))
        node, kind = node_right, node_right.kind()
    out = low.bound(node, target_name(links[-1][1]))
    for link, target in reversed(links):
        out = low.expr("other", link, ":=", None, (target, out))
    return out


def _augmented(low: Values, node: SgNode, kind: str) -> Expr:  # noqa: ARG001
    operator = next((c.kind() for c in node.children() if not c.is_named()), "")
    return low.expr("other", node, operator, None, low.values(node))


def _object(low: Values, node: SgNode, kind: str) -> Expr:  # noqa: ARG001
    out = []
    for child in node.named_children():
        child_kind = child.kind()
        if child_kind not in EXTRAS:
            out.append(low.property(child, child_kind))
    return low.expr("dict", node, "", None, (), tuple(out))


def _array(low: Values, node: SgNode, kind: str) -> Expr:  # noqa: ARG001
    return low.expr("list", node, "", None, low.values(node))


def _spread(low: Values, node: SgNode, kind: str) -> Expr:  # noqa: ARG001
    return low.expr("spread", node, "", None, low.values(node))


def _function(low: Values, node: SgNode, kind: str) -> Expr:  # noqa: ARG001
    return low.function_value(node, CALLBACK, anonymous=True)


def _class(low: Values, node: SgNode, kind: str) -> Expr:
    name = node.field("name")
    return low.expr("other", node, kind, unit=low.class_unit(node, name.text() if name is not None else "<class>"))


def _jsx(low: Values, node: SgNode, kind: str) -> Expr:
    items: list[Expr] = []
    parts = node.named_children()
    if kind == "jsx_element" and parts and parts[0].kind() == "jsx_opening_element":
        parts[:1] = parts[0].named_children()
    for part in parts:
        part_kind = part.kind()
        if part_kind == "jsx_attribute":
            name, *values = named(part)
            for value in values:
                inner, inner_kind = unwrap(value)
                if inner_kind in FUNCTIONS:
                    items.append(low.function_value(inner, name.text(), anonymous=True))
                elif (
                    name.text() == "dangerouslySetInnerHTML"
                ):  # what it is given becomes markup: a call in all but its form
                    base = low.expr("name", name, name.text())
                    given = Arg(None, low.value(inner, inner_kind))
                    items.append(low.expr("call", part, "", base, args=(given,)))
                elif inner_kind not in ("string", "jsx_expression"):
                    items.append(low.value(inner, inner_kind))
        elif part_kind == "jsx_expression":
            inner, inner_kind = unwrap(part)
            if inner_kind != "jsx_expression":
                items.append(low.value(inner, inner_kind))
        elif part_kind in _JSX:
            items.append(low.value(part, part_kind))
    return low.expr("other", node, kind, None, tuple(items))


_EXPRESSIONS: dict[str, Callable[[Values, SgNode, str], Expr]] = {
    "string": _string,
    "template_string": _template,
    "binary_expression": _binary,
    "unary_expression": _unary,
    "update_expression": _unary,
    "ternary_expression": _ternary,
    "assignment_expression": _assignment,
    "augmented_assignment_expression": _augmented,
    "object": _object,
    "array": _array,
    "spread_element": _spread,
    "class": _class,
    "object_pattern": lambda low, node, _: low.pattern(node),
    "array_pattern": lambda low, node, _: low.pattern(node),
    **dict.fromkeys(("number", "true", "false", "null", "undefined", "regex", "meta_property"), _constant),
    **dict.fromkeys(FUNCTIONS, _function),
    **dict.fromkeys(_JSX, _jsx),
}
