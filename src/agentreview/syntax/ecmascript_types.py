"""What TypeScript and JavaScript names and types lower to: patterns, property keys, type annotations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentreview.lazyre import lazy
from agentreview.syntax.lowering import EXTRAS, Lowering, named
from agentreview.syntax.tree import Arg, Expr

if TYPE_CHECKING:
    from ast_grep_py import SgNode

CALLBACK = "<callback>"  # the name of a function nothing names
TRANSPARENT = frozenset(
    [
        "parenthesized_expression",
        "await_expression",
        "as_expression",
        "satisfies_expression",
        "non_null_expression",
        "type_assertion",
        "instantiation_expression",
        "jsx_expression",
    ]
)
_KEYS = frozenset({"property_identifier", "private_property_identifier", "identifier", "number"})
_UNIONS = frozenset({"union_type", "intersection_type"})
_TYPE_NAMES = frozenset({"type_identifier", "predefined_type", "identifier", "this_type", "this"})
_MEMBERS = frozenset(
    {"property_signature", "method_signature", "required_parameter", "optional_parameter", "index_signature"}
)
_NOT_TYPES = EXTRAS | {"formal_parameters", "type_parameters", "property_identifier", "asserts", "mapped_type_clause"}
_ESCAPE = lazy(r"\\(u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\r\n|.)", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": "", "\r\n": ""}


class Types(Lowering):
    """Patterns, keys and types. Values are the subclass's."""

    def value(self, node: SgNode | None, kind: str = "") -> Expr:
        """Lower an expression."""
        raise NotImplementedError

    def values(self, node: SgNode) -> tuple[Expr, ...]:
        """Lower every named child."""
        raise NotImplementedError

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
        return unquoted(node.text()) if kind == "string" else None

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
            out = self.expr(
                "other", node, kind, items=tuple(self.value(c) for c in named(node) if c.kind() != "type_arguments")
            )
        elif kind in _MEMBERS:
            out = self.expr(
                "other", node, kind, items=tuple(self.type_(c) for c in named(node) if c.kind() == "type_annotation")
            )
        elif kind in ("string", "number", "template_string", "template_literal_type"):
            out = self.expr("other", node, kind)
        else:
            out = self.expr(
                "other",
                node,
                kind,
                items=tuple(self.type_(c) for c in node.named_children() if c.kind() not in _NOT_TYPES),
            )
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


def target_name(target: Expr) -> str:
    """Name of a function that is assigned to ``target``."""
    if target.kind in ("name", "attr"):
        return target.name
    if target.kind == "sub" and target.items and target.items[0].kind == "str":
        return target.items[0].name
    return CALLBACK


def unquoted(text: str) -> str:
    """Return the value of a string literal."""
    return unescaped(text[1:-1])


def unescaped(text: str) -> str:
    """Return text with its escape sequences read. A lone surrogate stays as it is written: it has no encoding."""
    return _ESCAPE.sub(_unescape, text) if "\\" in text else text


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1)
    if len(code) > 2:
        point = int(code[1:].strip("{}"), 16)
        return chr(point) if point < 0xD800 or 0xDFFF < point < 0x110000 else match.group(0)
    return _PLAIN.get(code, code)
