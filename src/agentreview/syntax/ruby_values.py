r"""Ruby expressions on the small tree: chains, arguments, strings with holes, blocks.

Ruby does not tell a field from a call: ``patient.name`` is both. Without arguments a chain's last name reads as a field,
unless its name says that something is done (``save``, ``destroy!``, ``active?``) or nobody takes the answer. ``@patient``
is ``self.patient``, a symbol a string, ``Patient.new(x)`` the call ``Patient(x)``, and ``x.map(&:name)`` is ``x.name``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentreview.lazyre import lazy
from agentreview.syntax.lowering import EXTRAS, Lowering
from agentreview.syntax.tree import Arg, Expr, Param, Stmt, Unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from ast_grep_py import SgNode

_SKIPPED = EXTRAS | {"heredoc_body", "uninterpreted", "empty_statement"}
_LINKS = {"call": "receiver", "element_reference": "object", "scope_resolution": "scope"}
# Methods that do or make something although nothing is in parentheses behind them.
_VERBS = frozenset(
    "all any as_json attributes blank call capitalize chomp clear close collect commit compact count create delete delete_all deliver "
    "deliver_later deliver_now destroy destroy_all discard downcase dup each empty execute exists exit fetch find find_each first flush freeze "
    "hash html_safe inspect join keys last length lock map max min none open perform pluck present raw_post read reload reset reset_session "
    "reverse rewind rollback run sample save select serializable_hash shift shuffle size sort squish start stop strip strip_tags sum take "
    "to_a to_date to_f to_h to_hash to_i to_json to_param to_s to_sql to_str to_sym to_time to_unsafe_h to_unsafe_hash to_xml to_yaml touch "
    "transaction uniq unscope unscoped upcase update validate values write with_indifferent_access without_auditing".split()
)
# `x.map(&:name)` is the names of all x; `x.each(&:save)` saves each.
_EACH = frozenset("map collect flat_map filter_map each find_each sum each_entry".split())
_DISPATCH = frozenset("send public_send __send__ try try!".split())
_FLIPPED = frozenset("constantize safe_constantize html_safe".split())  # what acts on its receiver acts on an argument
_SAME_TEXT = frozenset("freeze squish strip strip_heredoc chomp html_safe b dup to_s -@ +@".split())
_LEVELS = frozenset("debug info warn error fatal unknown".split())
_EXAMPLES = lazy(
    r"[xf]?(?:it|specify|example|describe|context|feature|scenario|test|should|background)$|its$|(?:shared_examples|shared_context)(?:_for)?$|pending$|skip$"
)
_ESCAPES = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\'": "'", "\\\\": "\\", "\\s": " "}
_LITERALS = frozenset({"integer", "float", "rational", "complex", "nil", "true", "false"})
_LITERAL_SYMBOLS = frozenset({"simple_symbol", "hash_key_symbol"})


def kids(node: SgNode) -> list[SgNode]:
    """Return the named children that are code; the body of a heredoc stands where the line ends, not where it is used."""
    return [child for child in node.named_children() if child.kind() not in _SKIPPED]


class Values(Lowering):
    """The expression side of lowering one file."""

    def __init__(self, source: str, language: str, root: SgNode) -> None:
        super().__init__(source, language)
        self.known: list[set[str]] = [set()]  # local variables: a bare word that is none is a call
        starts = sorted(self.span(n)[0] for n in root.find_all(kind="heredoc_beginning"))
        bodies = sorted(((self.span(n)[0], n) for n in root.find_all(kind="heredoc_body")), key=lambda pair: pair[0])
        self.heredocs = dict(zip(starts, (body for _, body in bodies), strict=False))

    def body(self, node: SgNode | None) -> tuple[Stmt, ...]:
        """Lower a block of statements; the statement side provides it."""
        raise NotImplementedError

    def define(self, node: SgNode) -> Unit | None:
        """Lower a method that is defined inside an expression; the statement side provides it."""
        raise NotImplementedError

    # -- expressions --------------------------------------------------------------------------------------------

    def value(self, node: SgNode | None) -> Expr:
        """Lower any expression."""
        if node is None:
            return Expr("other", 0, 0, 1, 1)
        self.deeper()
        kind = node.kind()
        if kind in ("identifier", "constant"):
            out = self.word(node)
        elif kind in _LINKS:
            out = self.chain(node)
        else:
            method = _VALUES.get(kind)
            out = method(self, node) if method is not None else self.other(node)
        self.depth -= 1
        return out

    def other(self, node: SgNode) -> Expr:
        """What has no meaning here, with its parts."""
        return self.expr("other", node, node.kind(), items=tuple(self.value(c) for c in kids(node)))

    def word(self, node: SgNode) -> Expr:
        """A bare word: a constant, a local variable, or a method without arguments."""
        out = self.leaf("name", node)
        if out.name.endswith(("!", "?")):
            return self.expr("call", node, base=out)
        return out

    def const(self, node: SgNode) -> Expr:
        return self.leaf("const", node)

    def self_(self, node: SgNode) -> Expr:
        return self.expr("name", node, "self")

    def variable(self, node: SgNode) -> Expr:
        """``@patient``: an attribute of the object."""
        base = self.expr("name", node, "self")
        return self.expr("attr", node, node.text().lstrip("@"), base=base)

    def named_leaf(self, node: SgNode) -> Expr:
        return self.leaf("name", node)

    def inner(self, node: SgNode) -> Expr:
        """Parentheses: one value, or several of which the last counts."""
        children = kids(node)
        if len(children) == 1:
            return self.value(children[0])
        return self.expr("other", node, node.kind(), items=tuple(self.value(c) for c in children))

    def walrus(self, node: SgNode) -> Expr:
        """An assignment inside an expression."""
        target, value = self.target(node.field("left")), self.value(node.field("right"))
        return self.expr("other", node, ":=", items=(target, value))

    def target(self, node: SgNode | None) -> Expr:
        """What is assigned to; a name becomes a local variable."""
        if node is None:
            return Expr("other", 0, 0, 1, 1)
        kind = node.kind()
        if kind == "identifier":
            self.known[-1].add(node.text())
            return self.leaf("name", node)
        if kind in ("left_assignment_list", "destructured_left_assignment"):
            return self.expr("list", node, items=tuple(self.target(c) for c in kids(node)))
        if kind in ("rest_assignment", "splat_argument"):
            children = kids(node)
            return self.target(children[0]) if children else self.expr("other", node)
        return self.value(node)

    def array(self, node: SgNode) -> Expr:
        return self.expr("list", node, items=tuple(a.value for a in self.pairs(node)))

    def hash_(self, node: SgNode) -> Expr:
        return self.expr("dict", node, args=tuple(self.pairs(node)))

    def pair_alone(self, node: SgNode) -> Expr:
        return self.expr("dict", node, args=(self.pair(node),))

    def pairs(self, node: SgNode) -> list[Arg]:
        """Arguments, array elements, or the entries of a hash."""
        out: list[Arg] = []
        for child in kids(node):
            kind = child.kind()
            if kind == "pair":
                out.append(self.pair(child))
            elif kind in ("splat_argument", "hash_splat_argument"):
                inner = kids(child)
                if inner:
                    out.append(Arg(None, self.value(inner[0]), spread=True))
            elif kind == "block_argument":
                inner = kids(child)
                if inner:
                    out.append(Arg("&", self.value(inner[0])))
            elif kind != "forward_argument":
                out.append(Arg(None, self.value(child)))
        return out

    def pair(self, node: SgNode) -> Arg:
        key, value = node.field("key"), node.field("value")
        name: str | None = None
        if key is not None:
            kind = key.kind()
            if kind == "string":
                text = self.string(key)
                name = text.name if text.kind == "str" else None
            elif kind in _LITERAL_SYMBOLS:
                name = key.text().lstrip(":")
        if value is None:  # { name: } takes the variable or method of that name
            given = self.expr("name", key or node, name or "")
            return Arg(name, given)
        return Arg(name, self.value(value))

    def unary(self, node: SgNode) -> Expr:
        operator = node.field("operator")
        sign = operator.text() if operator is not None else ""
        operand = self.value(node.field("operand"))
        if sign in ("!", "not"):
            return self.expr("not", node, items=(operand,))
        if sign == "defined?":
            return self.expr("other", node, sign, items=(operand,))
        return operand if operand.kind != "const" else self.leaf("const", node)

    def binary(self, node: SgNode) -> Expr:
        """``a + b + c`` nests to the left, one level a term: walked in a loop."""
        operator = node.field("operator")
        sign = operator.text() if operator is not None else ""
        items: list[Expr] = []
        current = node
        while True:
            items.append(self.value(current.field("right")))
            left = current.field("left")
            if left is None or left.kind() != "binary":
                break
            below = left.field("operator")
            if below is None or below.text() != sign:
                break
            current = left
        items.append(self.value(left))
        return self.expr("bin", node, sign, items=tuple(reversed(items)))

    def conditional(self, node: SgNode) -> Expr:
        parts = (self.value(node.field(name)) for name in ("condition", "consequence", "alternative"))
        return self.expr("cond", node, items=tuple(parts))

    def branches(self, node: SgNode) -> Expr:
        """``if`` and ``unless`` as a value: one of its branches."""
        test = self.value(node.field("condition"))
        found = [self.last(node.field(name)) for name in ("consequence", "alternative")]
        return self.expr("cond", node, items=(test, *(e for e in found if e is not None)))

    def last(self, node: SgNode | None) -> Expr | None:
        """The value of a branch; everything else in it stays with it, so that calls are seen."""
        if node is None:
            return None
        if node.kind() == "elsif":
            return self.branches(node)
        items = tuple(self.value(c) for c in kids(node))
        return items[0] if len(items) == 1 else self.expr("other", node, node.kind(), items=items)

    def rescued(self, node: SgNode) -> Expr:
        """``x rescue y`` as a value: either."""
        return self.expr("bin", node, "or", items=(self.value(node.field("body")), self.value(node.field("handler"))))

    def jump(self, node: SgNode) -> Expr:
        """``return x`` inside an expression."""
        return self.other(node)

    def method(self, node: SgNode) -> Expr:
        """``private def x``: the method's name."""
        unit = self.define(node)
        return self.expr("str", node, unit.name if unit is not None else "")

    # -- strings ------------------------------------------------------------------------------------------------

    def string(self, node: SgNode) -> Expr:
        """A string, symbol or command in quotes; with interpolations it has holes."""
        text, holes, dynamic = self.parts(node)
        return self.expr("fstr" if dynamic else "str", node, text, items=tuple(holes))

    def parts(self, node: SgNode) -> tuple[str, list[Expr], bool]:
        text: list[str] = []
        holes: list[Expr] = []
        dynamic = False
        for child in node.named_children():
            kind = child.kind()
            if kind in ("string_content", "heredoc_content"):
                text.append(self.text(child))
            elif kind == "escape_sequence":
                said = child.text()
                text.append(_ESCAPES.get(said, said[1:] or said))
            elif kind == "interpolation":
                dynamic = True
                text.append("{}")
                inner = kids(child)
                holes.append(
                    self.value(inner[0])
                    if len(inner) == 1
                    else self.expr("other", child, items=tuple(map(self.value, inner)))
                )
        return "".join(text), holes, dynamic

    def chained(self, node: SgNode) -> Expr:
        """``"a" "b"``: one string."""
        pieces = [self.string(c) for c in kids(node)]
        items = tuple(item for piece in pieces for item in piece.items)
        kind = "fstr" if any(piece.kind == "fstr" for piece in pieces) else "str"
        return self.expr(kind, node, "".join(piece.name for piece in pieces), items=items)

    def heredoc(self, node: SgNode) -> Expr:
        body = self.heredocs.get(self.span(node)[0])
        text, holes, dynamic = self.parts(body) if body is not None else ("", [], False)
        return self.expr("fstr" if dynamic else "str", node, text, items=tuple(holes))

    def symbol(self, node: SgNode) -> Expr:
        return self.expr("str", node, node.text().lstrip(":"))

    def character(self, node: SgNode) -> Expr:
        return self.expr("str", node, node.text()[1:])

    def words(self, node: SgNode) -> Expr:
        """``%w[a b]``, ``%i[a b]``."""
        return self.expr("list", node, items=tuple(self.string(c) for c in kids(node)))

    def regex(self, node: SgNode) -> Expr:
        text, holes, dynamic = self.parts(node)
        return self.expr("other", node, "regex", items=tuple(holes)) if dynamic else self.expr("const", node, text)

    def command(self, node: SgNode) -> Expr:
        """A command line in backticks."""
        return self.expr("call", node, base=self.expr("name", node, "%x"), args=(Arg(None, self.string(node)),))

    # -- chains -------------------------------------------------------------------------------------------------

    def chain(self, node: SgNode, *, statement: bool = False, block: bool = True) -> Expr:
        """``a.b(c)[d]::E``, root first. ``statement``: nobody takes the answer, so the last name is a call."""
        links: list[SgNode] = []
        current: SgNode | None = node
        while current is not None and (field := _LINKS.get(current.kind())) is not None:
            links.append(current)
            current = current.field(field)
        out = self.value(current) if current is not None else None
        for link in reversed(links):
            kind = link.kind()
            if kind == "call":
                out = self.call(
                    link, out, statement=statement and link is links[0], block=block or link is not links[0]
                )
            elif kind == "element_reference":
                keys = [self.value(c) for c in kids(link)[1:]]
                out = self.expr("sub", link, base=out, items=tuple(keys))
            else:
                name = link.field("name")
                label = name.text() if name is not None else ""
                out = self.expr("name", link, label) if out is None else self.expr("attr", link, label, base=out)
        return out if out is not None else self.expr("other", node)

    def call(self, node: SgNode, base: Expr | None, *, statement: bool, block: bool) -> Expr:
        """One link: a call, or a field where nothing says that it is one."""
        method, arguments = node.field("method"), node.field("arguments")
        taken = node.field("block") if block else None
        name = method.text() if method is not None else ""
        args = self.pairs(arguments) if arguments is not None else []
        same = self.equivalent(node, base, name, args)
        if same is not None and taken is None:
            return same
        if base is None:
            callee = self.expr("name", method or node, name)
        elif not name:  # job.(x)
            callee = base
        elif name == "new" and base.kind in ("name", "attr") and base.name[:1].isupper():
            callee, statement = base, True
        else:
            callee = self.link(node, base, name)
        if taken is None and arguments is None and not statement and base is not None and not _acts(name):
            return callee
        out = self.expr("call", node, base=callee, args=tuple(args))
        if taken is not None:
            out.args = (*out.args, *self.block_argument(taken, name, out))
        if node.field("block") is not None:
            self.without_block(out, node, callee, arguments)
        return out

    def link(self, node: SgNode, base: Expr, name: str) -> Expr:
        return self.expr("attr", node, name, base=base)

    def without_block(self, out: Expr, node: SgNode, callee: Expr, arguments: SgNode | None) -> None:
        """A call is its head: what a reader is shown is not the whole block behind it."""
        last = arguments or node.field("method")
        if last is not None:
            _, out.end, _, out.end_line = self.span(last)
        if callee.end > out.end:
            callee.end, callee.end_line = out.end, out.end_line

    def equivalent(self, node: SgNode, base: Expr | None, name: str, args: list[Arg]) -> Expr | None:
        """The plainer form of a call that says the same, or None."""
        if base is None:
            return None
        if not args:
            if name in _SAME_TEXT and base.kind in ("str", "fstr") and (name != "html_safe" or base.kind == "str"):
                return base
            if name in _FLIPPED:
                callee = self.expr("name", node, name)
                return self.expr("call", node, base=callee, args=(Arg(None, base),))
            return None
        first = args[0]
        if first.name == "&" and len(args) == 1 and first.value.kind == "str" and name in _EACH:
            inner = self.expr("attr", node, first.value.name, base=base)
            return self.expr("call", node, base=inner) if _acts(first.value.name) or "each" in name else inner
        if name in _DISPATCH and first.name is None and first.value.kind == "str" and not first.spread:
            said = first.value.name
            inner = self.expr("attr", node, said, base=base)
            if len(args) == 1 and not _acts(said):
                return inner
            return self.expr("call", node, base=inner, args=tuple(args[1:]))
        return None

    def block_argument(self, node: SgNode, name: str, call: Expr) -> list[Arg]:
        """The block as a last argument: a function, or for ``logger.info { text }`` the text."""
        if name in _LEVELS and node.field("parameters") is None:
            inner = node.field("body")
            children = kids(inner) if inner is not None else []
            if len(children) == 1 and children[0].kind() in ("string", "call", "identifier", "chained_string"):
                return [Arg(None, self.value(children[0]))]
        return [Arg(None, self.callback(node, name, call))]

    def callback(self, node: SgNode, name: str, call: Expr | None) -> Expr:
        """A block or lambda: a function of its own when it is an example of a test, else part of what is around it."""
        label = (
            next((a.value.name for a in call.args if a.name is None and a.value.kind in ("str", "fstr")), "")
            if call
            else ""
        )
        subject = next((a.value.name for a in call.args if a.value.kind in ("name", "attr")), "") if call else ""
        holder = call.base.base if call is not None and call.base is not None else None
        own = holder is None or (holder.kind == "name" and holder.name == "RSpec")
        example = call is not None and own and _EXAMPLES.match(name) is not None
        if example:  # xit is the same example as it
            name = (
                re.sub(
                    r"^[xf](?=it$|describe$|context$|specify$|example$|feature$|scenario$|test$)|^(?:pending|skip)$",
                    "",
                    name,
                )
                or "it"
            )
            label = label or subject
        said = f"{name}({label!r})" if label and name else name if example else "<callback>"
        unit = self.enter("function", said.replace(".", " ")[:200], node, anonymous=not example)
        unit.call = call
        if example and call is not None:  # the word before the block says whether it runs
            unit.start, unit.line = call.start, call.line
            unit.header_line = call.line
        self.known.append(set(self.known[-1]))
        unit.params = self.parameters(node.field("parameters"))
        unit.body = self.body(node.field("body"))
        self.known.pop()
        self.leave()
        return self.expr("func", node, unit=unit)

    def lambda_(self, node: SgNode) -> Expr:
        """``->(x) { … }``: its parameters stand before the block."""
        block = node.field("body")
        unit = self.enter("function", "<callback>", node, anonymous=True)
        self.known.append(set(self.known[-1]))
        unit.params = self.parameters(node.field("parameters"))
        unit.body = self.body(block.field("body")) if block is not None else ()
        self.known.pop()
        self.leave()
        return self.expr("func", node, unit=unit)

    def parameters(self, node: SgNode | None) -> tuple[Param, ...]:
        """Parameters of a method, block or lambda; each is a local variable."""
        out: list[Param] = []
        for child in kids(node) if node is not None else ():
            kind = child.kind()
            if kind == "identifier":
                out.append(Param(child.text()))
            elif kind == "destructured_parameter":
                out.append(Param("", names=tuple(p.name for p in self.parameters(child) if p.name)))
            elif kind != "forward_parameter":
                name, value = child.field("name"), child.field("value")
                if name is not None:
                    out.append(Param(name.text(), default=self.value(value) if value is not None else None))
        self.known[-1].update(n for p in out for n in (p.name, *p.names) if n)
        return tuple(out)


def _acts(name: str) -> bool:
    return name in _VERBS or name.endswith(("!", "?"))


_VALUES: dict[str, Callable[[Values, SgNode], Expr]] = {
    "self": Values.self_,
    "super": Values.named_leaf,
    "instance_variable": Values.variable,
    "class_variable": Values.variable,
    "global_variable": Values.named_leaf,
    **dict.fromkeys(_LITERALS, Values.const),
    "string": Values.string,
    "bare_string": Values.string,
    "bare_symbol": Values.string,
    "delimited_symbol": Values.string,
    "chained_string": Values.chained,
    "heredoc_beginning": Values.heredoc,
    "simple_symbol": Values.symbol,
    "hash_key_symbol": Values.symbol,
    "character": Values.character,
    "string_array": Values.words,
    "symbol_array": Values.words,
    "regex": Values.regex,
    "subshell": Values.command,
    "array": Values.array,
    "right_assignment_list": Values.array,
    "hash": Values.hash_,
    "pair": Values.pair_alone,
    "unary": Values.unary,
    "binary": Values.binary,
    "conditional": Values.conditional,
    "if": Values.branches,
    "unless": Values.branches,
    "assignment": Values.walrus,
    "operator_assignment": Values.walrus,
    "parenthesized_statements": Values.inner,
    "rescue_modifier": Values.rescued,
    "lambda": Values.lambda_,
    "method": Values.method,
    "singleton_method": Values.method,
    "return": Values.jump,
    "next": Values.jump,
    "break": Values.jump,
}
