"""Expressions, patterns and types of TypeScript and JavaScript (grammar: tree-sitter-typescript through ast-grep).

Positions of children are used instead of field look-ups where the grammar fixes them: every call into the parser
costs as much as a few lines of Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ast_grep_py import SgNode

from agentreview.syntax.lowering import EXTRAS, MAX_DEPTH, Lowering, TooDeepError, named
from agentreview.syntax.tree import Arg, Expr, Param, Stmt, Unit

FUNCTIONS = frozenset({"arrow_function", "function_expression", "generator_function"})
TRANSPARENT = frozenset(
    ["parenthesized_expression", "await_expression", "as_expression", "satisfies_expression", "non_null_expression", "type_assertion", "instantiation_expression", "jsx_expression"]
)
_CALLS = frozenset({"call_expression", "new_expression"})
_LINKS = TRANSPARENT | _CALLS | {"member_expression", "subscript_expression"}
_NAMES = frozenset({"identifier", "this", "super", "import", "property_identifier", "private_property_identifier"})
_KEYS = frozenset({"property_identifier", "private_property_identifier", "identifier", "number"})
_JSX = frozenset({"jsx_element", "jsx_self_closing_element", "jsx_fragment", "jsx_opening_element"})
_UNIONS = frozenset({"union_type", "intersection_type"})
_TYPE_NAMES = frozenset({"type_identifier", "predefined_type", "identifier", "this_type", "this"})
_MEMBERS = frozenset({"property_signature", "method_signature", "required_parameter", "optional_parameter", "index_signature"})
_NOT_TYPES = EXTRAS | {"formal_parameters", "type_parameters", "property_identifier", "asserts", "mapped_type_clause"}
_ESCAPE = re.compile(r"\\(u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\r\n|.)", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": "", "\r\n": ""}
CALLBACK = "<callback>"


class Values(Lowering):
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

    def chain(self, node: SgNode, kind: str, wraps: str = "") -> Expr:
        """Lower ``a.b(c)[d].e`` without recursing along the chain: chains of thousands of calls exist."""
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
        if not links:
            return base
        root = base.name if base.kind == "name" else ""
        attributes: list[str] = []
        wraps = wraps if len(links) == 1 and root else ""
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
                    args = self.arguments(parts[-1], root, attributes, wraps)
                elif last == "template_string" and len(parts) > 1:
                    args = (Arg(None, self.value(parts[-1], last)),)
                base = self.expr("call", link, "", base, (), args)
                for arg in args:
                    if arg.value.unit is not None and arg.value.kind == "func":
                        arg.value.unit.call = base
                if wraps and self.wrapped is not None:
                    self.wrapped.decorators = (base, *self.wrapped.decorators)
        return base

    def arguments(self, node: SgNode, root: str, attributes: list[str], wraps: str) -> tuple[Arg, ...]:
        """Lower the arguments of a call to ``root.attributes``. A function among them is named after that call."""
        out: list[Arg] = []
        label: str | None = None
        children = node.named_children()
        if wraps and sum(child.kind() in FUNCTIONS for child in children) > 1:
            wraps = ""
        for child in children:
            kind = child.kind()
            if kind in FUNCTIONS:
                name = wraps or (CALLBACK if label is None or not root else _callee(root, attributes, label))
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
        return self.expr("func", node, unit=self.function(node, own.text() if own is not None else name, anonymous=anonymous))

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
            out.append(Param(target.name if simple else "", annotation, default, tuple(decorators), () if simple else bound_names(target)))
        return tuple(out)

    def decorator(self, node: SgNode) -> Expr:
        """Lower ``@name`` or ``@name(…)`` without the sign."""
        inner = named(node)
        return self.value(inner[0] if inner else None)

    # -- patterns -----------------------------------------------------------------------------------------------

    def pattern(self, node: SgNode) -> Expr:
        """Lower what is assigned to. Default values are ignored."""
        kind = node.kind()
        while kind in ("assignment_pattern", "object_assignment_pattern"):
            node = named(node)[0]
            kind = node.kind()
        if kind in ("identifier", "shorthand_property_identifier_pattern"):
            return self.leaf("name", node)
        self.deeper()
        if kind == "object_pattern":
            out = self.expr("dict", node, args=tuple(self.property_pattern(child) for child in named(node)))
        elif kind == "array_pattern":
            out = self.expr("list", node, items=tuple(self.pattern(child) for child in named(node)))
        elif kind == "rest_pattern":
            out = self.expr("spread", node, items=tuple(self.pattern(child) for child in named(node)))
        else:
            out = self.value(node, kind)
        self.depth -= 1
        return out

    def property_pattern(self, node: SgNode) -> Arg:
        """Lower one property of an object pattern."""
        kind = node.kind()
        if kind == "pair_pattern":
            parts = named(node)
            return Arg(self.key(parts[0]), self.pattern(parts[-1]))
        value = self.pattern(node)
        if kind == "rest_pattern":
            return Arg(None, value.items[0] if value.items else value, spread=True)
        return Arg(value.name, value)

    # -- objects ------------------------------------------------------------------------------------------------

    def key(self, node: SgNode) -> str | None:
        """Return a property's name, or ``None`` for one that is computed."""
        kind = node.kind()
        if kind in _KEYS:
            return node.text()
        if kind == "computed_property_name":
            inner = named(node)
            if not inner or inner[0].kind() != "string":
                return None
            node, kind = inner[0], "string"
        return _unquoted(node.text()) if kind == "string" else None

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

    # -- types --------------------------------------------------------------------------------------------------

    def type_(self, node: SgNode) -> Expr:
        """Lower a type: names, ``Repository<Patient>`` as a subscript, everything else as ``other``."""
        kind = node.kind()
        while kind in ("type_annotation", "parenthesized_type", "readonly_type"):
            inner = named(node)
            if not inner:
                break
            node = inner[0]
            kind = node.kind()
        if kind in _TYPE_NAMES:
            return self.leaf("name", node)
        self.deeper()
        if kind == "generic_type":
            base, *rest = named(node)
            items = tuple(self.type_(item) for group in rest for item in named(group))
            out = self.expr("sub", node, "", self.type_(base), items)
        elif kind in ("nested_type_identifier", "nested_identifier"):
            out = self.qualified(node)
        elif kind in _UNIONS:
            out = self.expr("other", node, kind, items=self.union(node))
        elif kind == "literal_type":
            out = self.values(node)[0]
        elif kind == "type_query":
            out = self.expr("other", node, kind, items=tuple(self.value(c) for c in named(node) if c.kind() != "type_arguments"))
        elif kind in _MEMBERS:
            out = self.expr("other", node, kind, items=tuple(self.type_(c) for c in named(node) if c.kind() == "type_annotation"))
        elif kind in ("string", "number", "template_string", "template_literal_type"):
            out = self.expr("other", node, kind)
        else:
            out = self.expr("other", node, kind, items=tuple(self.type_(c) for c in node.named_children() if c.kind() not in _NOT_TYPES))
        self.depth -= 1
        return out

    def qualified(self, node: SgNode) -> Expr:
        """Lower ``A.B.C`` in a type."""
        links: list[tuple[SgNode, list[SgNode]]] = []
        while node.kind() in ("nested_type_identifier", "nested_identifier"):
            parts = named(node)
            links.append((node, parts))
            node = parts[0]
        base = self.leaf("name", node)
        for link, parts in reversed(links):
            base = self.expr("attr", link, parts[-1].text(), base)
        return base

    def union(self, node: SgNode) -> tuple[Expr, ...]:
        """Lower the members of a union or intersection, which the grammar nests to the left."""
        members: list[SgNode] = []
        stack = [node]
        while stack:
            current = stack.pop()
            if current.kind() in _UNIONS:
                stack.extend(named(current))
            else:
                members.append(current)
        return tuple(self.type_(member) for member in reversed(members))


def unwrap(node: SgNode) -> tuple[SgNode, str]:
    """Look through parentheses, casts and assertions. Returns the node and its kind."""
    kind = node.kind()
    while kind in TRANSPARENT:
        parts = named(node)
        if not parts:
            break
        node = parts[-1] if kind == "type_assertion" else parts[0]
        kind = node.kind()
    return node, kind


def bound_names(target: Expr) -> tuple[str, ...]:
    """Return the local names a pattern binds, in order."""
    out: list[str] = []
    stack = [target]
    while stack:
        node = stack.pop()
        if node.kind == "name":
            out.append(node.name)
        elif node.kind in ("dict", "list", "spread"):
            stack.extend(reversed([*node.items, *(arg.value for arg in node.args)]))
    return tuple(out)


def _callee(root: str, attributes: list[str], label: str) -> str:
    """Name a callback ``router.get('/patients/:id')``. The middle of a long chain says nothing about it."""
    shown = attributes if len(attributes) < 4 else attributes[-1:]
    return ".".join((root, *shown)) + f"('{label[:80]}')"


def _unquoted(text: str) -> str:
    inner = text[1:-1]
    return _ESCAPE.sub(_unescape, inner) if "\\" in inner else inner


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1)
    if len(code) > 2:
        point = int(code[1:].strip("{}"), 16)
        return chr(point) if point < 0xD800 or 0xDFFF < point < 0x110000 else match.group(0)
    return _PLAIN.get(code, code)


# -- one function a kind ------------------------------------------------------------------------------------------


def _group(low: Values, node: SgNode, kind: str) -> Expr:
    return low.expr("other", node, kind, items=low.values(node))


def _string(low: Values, node: SgNode, kind: str) -> Expr:  # noqa: ARG001
    out = low.leaf("str", node)
    out.name = _unquoted(out.name)
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
            literal.append(_ESCAPE.sub(_unescape, text) if part_kind == "escape_sequence" else text)
    return low.expr("fstr" if holes else "str", node, "".join(literal), None, tuple(holes))


def _constant(low: Values, node: SgNode, kind: str) -> Expr:  # noqa: ARG001
    return low.leaf("const", node)


def _binary(low: Values, node: SgNode, kind: str) -> Expr:
    """Lower ``a + b + c - d``: the grammar nests to the left, one level a term. Equal operators make one flat list."""
    spine: list[tuple[SgNode, str, SgNode]] = []
    current = node
    while kind == "binary_expression":
        parts = [p for p in current.children() if p.kind() not in EXTRAS]
        spine.append((current, parts[1].kind(), parts[-1]))
        current = parts[0]
        kind = current.kind()
    items = [low.value(current, kind)]
    last = len(spine) - 1
    for index in range(last, -1, -1):
        link, operator, right = spine[index]
        items.append(low.value(right))
        if index == 0 or spine[index - 1][1] != operator:
            items = [low.expr("bin", link, operator, None, tuple(items))]
    return items[0]


def _unary(low: Values, node: SgNode, kind: str) -> Expr:  # noqa: ARG001
    operator = next((c.kind() for c in node.children() if not c.is_named()), "")
    return low.expr("not" if operator == "!" else "other", node, "" if operator == "!" else operator, None, low.values(node))


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


def target_name(target: Expr) -> str:
    """Name of a function that is assigned to ``target``."""
    if target.kind in ("name", "attr"):
        return target.name
    if target.kind == "sub" and target.items and target.items[0].kind == "str":
        return target.items[0].name
    return CALLBACK


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
