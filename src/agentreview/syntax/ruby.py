r"""Ruby source to the small tree (grammar: tree-sitter-ruby through ast-grep).

``A::B`` reads ``A.B``; a module that only holds others is a class here, and what it includes counts among its bases.
``unit.exported`` says that a method is public. A block behind a statement of a method is part of the method: ``each`` a
loop, any other a ``with``. A filter (``before_action :load, only: :show``) is an invisible decorator of each method it
runs around: what the filter's method does holds for them (:mod:`agentreview.syntax.ruby_filters`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentreview.lazyre import lazy
from agentreview.syntax.lowering import TooDeepError, parse
from agentreview.syntax.ruby_filters import distribute
from agentreview.syntax.ruby_values import Values, kids
from agentreview.syntax.tree import Arg, Expr, Handler, Module, Stmt, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ast_grep_py import SgNode

# `render name, &` hands an anonymous block on; the grammar knows that only in parentheses. Same width, same meaning here.
_BARE_BLOCK = lazy(r"(?<=,)([ \t]+)&(?=[ \t]*$)", re.MULTILINE)
_LOOPS = frozenset(
    "each find_each each_with_index each_slice each_cons each_pair each_value each_key each_char each_line each_with_object reverse_each "
    "in_batches find_in_batches times upto downto step map flat_map collect select reject filter filter_map each_entry inject reduce".split()
)
# Blocks of a class body that are the class body.
_INLINE = frozenset(
    "included prepended class_methods helpers concerning with_options configure draw setup instance_eval class_eval".split()
)
_MODES = frozenset({"public", "private", "protected", "private_class_method", "module_function"})
_MIXINS = frozenset({"include", "prepend", "extend"})
# Base classes and modules of libraries are no imports: nothing of the project can be behind them.
_LIBRARY = frozenset(
    "ActionController ActionView ActionMailer ActionMailbox ActionCable ActiveRecord ActiveModel ActiveJob ActiveSupport ActiveStorage Rails "
    "StandardError Exception RuntimeError ArgumentError Struct Object BasicObject Enumerable Comparable Singleton Devise".split()
)
_RAISES = frozenset({"raise", "fail"})
_JUMPS = frozenset({"next", "break", "redo", "retry"})


def lower(source: str) -> Module:
    """Return the module, or raise DoesNotParseError / TooDeepError."""
    root = parse(_BARE_BLOCK.sub(r"\g<1>0", source), "ruby")
    try:
        low = _Ruby(source, "ruby", root)
        low.root.body = low.body(root)
    except RecursionError:
        raise TooDeepError from None
    return low.module(root)


class _Ruby(Values):
    mode = "public"  # of the methods that follow in a class body

    # -- blocks -------------------------------------------------------------------------------------------------

    def body(self, node: SgNode | None) -> tuple[Stmt, ...]:
        """Lower a body: statements, with ``rescue``, ``else`` and ``ensure`` behind them."""
        if node is None:
            return ()
        if node.kind() not in _BODIES:
            return self.statements([node])
        return self.rescuing(node, kids(node))

    def statements(self, nodes: Iterable[SgNode]) -> tuple[Stmt, ...]:
        self.deeper()
        out: list[Stmt] = []
        for node in nodes:
            self.statement(node, out)
        self.depth -= 1
        return tuple(out)

    def rescuing(self, node: SgNode, children: list[SgNode]) -> tuple[Stmt, ...]:
        """The children of a body; with a ``rescue`` or ``ensure`` among them it is a ``try``."""
        plain = [c for c in children if c.kind() not in ("rescue", "else", "ensure")]
        if len(plain) == len(children):
            return self.statements(children)
        body = self.statements(plain)
        handlers: list[Handler] = []
        orelse: tuple[Stmt, ...] = ()
        final: tuple[Stmt, ...] = ()
        for child in children:
            kind = child.kind()
            if kind == "rescue":
                handlers.append(self.handler(child))
            elif kind == "else":
                orelse = self.statements(kids(child))
            elif kind == "ensure":
                final = self.statements(kids(child))
        return (self.stmt("try", node, body=body, handlers=tuple(handlers), orelse=orelse, final=final),)

    def handler(self, node: SgNode) -> Handler:
        types, variable = node.field("exceptions"), node.field("variable")
        name = ""
        for child in kids(variable) if variable is not None else ():
            name = self.target(child).name
        body = node.field("body")
        start, end, line, end_line = self.span(node)
        return Handler(
            tuple(self.value(c) for c in kids(types)) if types is not None else (),
            name, self.statements(kids(body)) if body is not None else (), line, end_line, start, end,
        )  # fmt: skip

    # -- statements ---------------------------------------------------------------------------------------------

    def statement(self, node: SgNode, out: list[Stmt]) -> None:
        kind = node.kind()
        method = _STATEMENTS.get(kind)
        if method is not None:
            method(self, node, out)
        elif kind in _JUMPS:
            out.append(self.stmt("other", node, op="continue" if kind == "next" else kind, value=self.argument(node)))
        else:
            out.append(self.stmt("expr", node, value=self.value(node)))

    def argument(self, node: SgNode) -> Expr | None:
        """What ``return`` and the like hand over."""
        children = [c for child in kids(node) for c in kids(child)]
        if len(children) > 1:
            values = tuple(self.value(c) for c in children)
            return self.between("list", values[0], values[-1], items=values)
        return self.value(children[0]) if children else None

    def return_(self, node: SgNode, out: list[Stmt]) -> None:
        out.append(self.stmt("return", node, value=self.argument(node)))

    def inline(self, node: SgNode, out: list[Stmt]) -> None:
        """``begin … end`` and parentheses: the statements in them."""
        out.extend(self.rescuing(node, kids(node)))

    def if_(self, node: SgNode, out: list[Stmt]) -> None:
        """``elsif`` chains are long, not deep."""
        links: list[tuple[SgNode, Expr, tuple[Stmt, ...]]] = []
        current: SgNode | None = node
        orelse: tuple[Stmt, ...] = ()
        while current is not None:
            test = self.value(current.field("condition"))
            if current.kind() == "unless":
                test = self.expr("not", current.field("condition") or current, items=(test,))
            links.append((current, test, self.then(current.field("consequence"))))
            following = current.field("alternative")
            if following is not None and following.kind() != "elsif":
                orelse = self.then(following)
                following = None
            current = following
        for clause, test, body in reversed(links):
            orelse = (self.stmt("if", clause, value=test, body=body, orelse=orelse),)
        out.extend(orelse)

    def then(self, node: SgNode | None) -> tuple[Stmt, ...]:
        return self.statements(kids(node)) if node is not None else ()

    def modified(self, node: SgNode, out: list[Stmt]) -> None:
        """``x if y``, ``x unless y``, ``x while y``."""
        test = self.value(node.field("condition"))
        inner = node.field("body")
        body = self.statements([inner]) if inner is not None else ()
        if node.kind().startswith("unless"):
            test = self.expr("not", node.field("condition") or node, items=(test,))
        out.append(
            self.stmt("if" if node.kind().startswith(("if", "unless")) else "while", node, value=test, body=body)
        )

    def while_(self, node: SgNode, out: list[Stmt]) -> None:
        out.append(
            self.stmt("while", node, value=self.value(node.field("condition")), body=self.then(node.field("body")))
        )

    def for_(self, node: SgNode, out: list[Stmt]) -> None:
        target, held = self.target(node.field("pattern")), node.field("value")
        inner = kids(held) if held is not None else []
        value = self.value(inner[0]) if inner else None
        out.append(self.stmt("for", node, targets=(target,), value=value, body=self.then(node.field("body"))))

    def case(self, node: SgNode, out: list[Stmt]) -> None:
        value = node.field("value")
        cases: list[Stmt] = []
        for child in kids(node):
            kind = child.kind()
            if kind == "else":
                cases.append(self.stmt("block", child, body=self.statements(kids(child))))
            elif kind in ("when", "in_clause"):
                inner = child.field("body")
                tests = [c for c in kids(child) if c.kind() != "then"]
                held = [self.stmt("expr", c, value=self.other(c)) for c in tests] if kind == "when" else []
                cases.append(self.stmt("block", child, body=(*held, *self.then(inner))))
        given = self.value(value) if value is not None else None
        out.append(self.stmt("other", node, op="switch", value=given, body=tuple(cases)))

    def rescue_modifier(self, node: SgNode, out: list[Stmt]) -> None:
        """``x rescue y``."""
        inner, handler = node.field("body"), node.field("handler")
        body = self.statements([inner]) if inner is not None else ()
        caught = self.statements([handler]) if handler is not None else ()
        start, end, line, end_line = self.span(handler or node)
        out.append(self.stmt("try", node, body=body, handlers=(Handler((), "", caught, line, end_line, start, end),)))

    def assign(self, node: SgNode, out: list[Stmt]) -> None:
        """An assignment. What a block of code is assigned from (``x = begin … end``) is assigned where it ends."""
        operator = node.field("operator")
        op = operator.text() if operator is not None else "="
        left, right = node.field("left"), node.field("right")
        if right is not None and right.kind() in ("begin", "case", "rescue_modifier", "if", "unless"):
            inner: list[Stmt] = []
            self.statement(right, inner)
            target = self.target(left)
            _tail(inner, lambda stmt: _assigned(stmt, target, op))
            out.extend(inner)
            return
        if right is not None and right.kind() == "assignment":  # a = b = c
            self.assign(right, out)
            value: Expr | None = out[-1].value
        else:
            value = self.value(right)
        target = self.target(left)
        root = target.base
        if target.kind == "sub" and root is not None and _root(root) == "cookies":  # cookies[:x] = y
            callee = Expr("attr", root.start, root.end, root.line, root.end_line, "[]=", root)
            args = tuple(Arg(None, v) for v in (*target.items, value) if v is not None)
            out.append(self.stmt("expr", node, value=self.expr("call", node, base=callee, args=args)))
            return
        if (
            target.kind == "list"
            and value is not None
            and value.kind == "list"
            and len(target.items) == len(value.items)
        ):
            pairs = zip(target.items, value.items, strict=True)
            out.extend(self.stmt("assign", node, targets=(t,), value=v, op=op) for t, v in pairs)
            return
        out.append(self.stmt("assign", node, targets=(target,), value=value, op=op))

    def binary_(self, node: SgNode, out: list[Stmt]) -> None:
        """``x or return y`` is a condition, ``list << x`` adds to a variable; anything else is an expression."""
        operator, left, right = node.field("operator"), node.field("left"), node.field("right")
        sign = operator.text() if operator is not None else ""
        if right is not None and sign in ("or", "||", "and", "&&") and self.leaves(right):
            inner = left.field("left") if left is not None and left.kind() == "binary" and sign == "and" else None
            if inner is None and left is not None and left.kind() == "call" and sign == "and":
                self.statement(left, out)  # render(…) and return
                out.extend(self.statements([right]))
                return
            test = self.value(left)
            if sign in ("or", "||"):
                test = self.expr("not", left or node, items=(test,))
            out.append(self.stmt("if", node, value=test, body=self.statements([right])))
        elif sign == "<<" and left is not None and left.kind() == "identifier" and left.text() in self.known[-1]:
            out.append(self.stmt("assign", node, targets=(self.value(left),), value=self.value(right), op="+="))
        else:
            out.append(self.stmt("expr", node, value=self.value(node)))

    def leaves(self, node: SgNode) -> bool:
        if node.kind() in ("return", *_JUMPS):
            return True
        method = node.field("method") if node.kind() == "call" else None
        return method is not None and node.field("receiver") is None and method.text() in _RAISES

    def bare(self, node: SgNode, out: list[Stmt]) -> None:
        """A word that stands alone: a keyword-like method, a call without arguments, or a variable."""
        word = node.text()
        if word in _MODES and self.current.kind != "function":
            self.mode = word
        elif word in _RAISES:
            out.append(self.stmt("raise", node))
        elif word in self.known[-1]:
            out.append(self.stmt("expr", node, value=self.value(node)))
        else:
            callee = self.leaf("name", node)
            out.append(self.stmt("expr", node, value=self.expr("call", node, base=callee)))

    def call_(self, node: SgNode, out: list[Stmt]) -> None:
        receiver, method = node.field("receiver"), node.field("method")
        name = method.text() if method is not None else ""
        arguments, taken = node.field("arguments"), node.field("block")
        if receiver is None and name in _RAISES:
            out.append(self.stmt("raise", node, value=self.raised(arguments)))
            return
        if receiver is None and name in ("require", "require_relative", "load", "require_dependency"):
            self.required(node, arguments, out)
            return
        if self.current.kind != "function" and receiver is None:
            if name in _MODES and arguments is not None:
                self.modes(name, arguments, out)
                return
            if name in _MIXINS and arguments is not None:
                self.current.bases = (*self.current.bases, *(a.value for a in self.pairs(arguments)))
        if taken is not None:
            if self.current.kind != "function" and name in _INLINE:
                out.append(self.stmt("expr", node, value=self.chain(node, statement=True, block=False)))
                out.append(self.stmt("block", node, body=self.block(taken)[1]))
                return
            if self.current.kind == "function" and not self.is_example():
                self.around(node, name, taken, out)
                return
        out.append(self.stmt("expr", node, value=self.chain(node, statement=True)))

    def is_example(self) -> bool:
        """Whether the current function is a block that holds examples or hooks of a test."""
        return self.current.call is not None and not self.current.anonymous

    def around(self, node: SgNode, name: str, taken: SgNode, out: list[Stmt]) -> None:
        """A statement with a block, in a method: a loop, or something opened around the statements."""
        value = self.chain(node, statement=True, block=False)
        if name in ("debug", "info", "warn", "error", "fatal"):
            out.append(self.stmt("expr", node, value=self.chain(node, statement=True)))
            return
        params, body = self.block(taken)
        if name in _LOOPS and value.kind == "call" and value.base is not None and value.base.kind == "attr":
            # with the last name left out: `patients.each do |p|` binds what patients are
            out.append(self.stmt("expr", node, value=value))
            out.append(self.stmt("for", node, targets=params[:1], value=value.base.base, body=body))
        elif name == "loop":
            out.append(self.stmt("while", node, body=body))
        else:
            out.append(self.stmt("with", node, targets=params[:1], value=value, body=body))

    def block(self, node: SgNode) -> tuple[tuple[Expr, ...], tuple[Stmt, ...]]:
        """Parameters (as targets) and statements of a block that is read where it stands."""
        self.known.append(set(self.known[-1]))
        given = node.field("parameters")
        names = [self.target(c) for c in kids(given) if c.kind() == "identifier"] if given is not None else []
        self.parameters(given)
        body = self.body(node.field("body"))
        self.known.pop()
        return tuple(names), body

    def raised(self, arguments: SgNode | None) -> Expr | None:
        """``raise Denied, "text"`` is ``raise Denied("text")``."""
        args = self.pairs(arguments) if arguments is not None else []
        if not args:
            return None
        first = args[0].value
        if arguments is not None and first.kind in ("str", "fstr", "bin"):
            return self.expr(
                "call",
                arguments,
                base=Expr("name", first.start, first.start, first.line, first.line, "RuntimeError"),
                args=tuple(args),
            )
        if len(args) == 1 or arguments is None:
            return first
        return self.expr("call", arguments, base=first, args=tuple(args[1:]))

    def required(self, node: SgNode, arguments: SgNode | None, out: list[Stmt]) -> None:
        for arg in self.pairs(arguments) if arguments is not None else ():
            if arg.value.kind == "str":
                self.imports.setdefault(arg.value.name, arg.value.name)
        out.append(self.stmt("import", node))

    def modes(self, mode: str, arguments: SgNode, out: list[Stmt]) -> None:
        """``private def x``, ``private :x, :y``, ``private attr_reader :z``."""
        public = mode in ("public", "module_function")
        for child in kids(arguments):
            held, self.mode = self.mode, mode
            if child.kind() in ("method", "singleton_method"):
                self.statement(child, out)
            else:
                value = self.value(child)
                for name in (i.name for i in (value, *value.items) if i.kind == "str"):
                    for unit in self.current.children:
                        if unit.name == name:
                            unit.exported = public
            self.mode = held

    # -- units --------------------------------------------------------------------------------------------------

    def class_(self, node: SgNode, out: list[Stmt]) -> None:
        header = node.field("name")
        label = header.text().strip(":").replace("::", ".") if header is not None else "?"
        bases = node.field("superclass")
        base = self.value(kids(bases)[0]) if bases is not None and kids(bases) else None
        unit = self.enter("class", re.sub(r"\s+", "", label), node, header=header)
        unit.name = unit.name.rpartition(".")[2]
        unit.bases = (base,) if base is not None else ()
        held, self.mode = self.mode, "public"
        self.known.append(set())
        unit.body = self.body(node.field("body"))
        self.known.pop()
        self.mode = held
        self.leave()
        for one in unit.bases:
            root = _root(one)
            if root[:1].isupper() and root not in _LIBRARY:
                self.imports.setdefault(root, root)
        distribute(unit)
        out.append(self.unit_stmt(unit))

    def singleton(self, node: SgNode, out: list[Stmt]) -> None:
        """``class << self``: methods of the class itself."""
        held, self.mode = self.mode, "private_class_method"
        out.append(self.stmt("block", node, body=self.body(node.field("body"))))
        self.mode = held

    def method_(self, node: SgNode, out: list[Stmt]) -> None:
        unit = self.define(node)
        out.append(self.unit_stmt(unit))

    def define(self, node: SgNode) -> Unit:
        """Lower a method."""
        header = node.field("name")
        unit = self.enter("function", header.text() if header is not None else "?", node, header=header)
        unit.exported = node.kind() == "method" and self.mode in ("public", "module_function")
        self.known.append(set())
        held, self.mode = self.mode, "public"
        unit.params = self.parameters(node.field("parameters"))
        body = list(self.body(node.field("body")))
        _tail(body, _returned)
        unit.body = tuple(body)
        self.mode = held
        self.known.pop()
        self.leave()
        return unit


def _root(expr: Expr | None) -> str:
    while expr is not None and expr.kind in ("attr", "call", "sub"):
        expr = expr.base
    return expr.name if expr is not None and expr.kind == "name" else ""


def _tail(stmts: list[Stmt] | tuple[Stmt, ...], change: Callable[[Stmt], None]) -> None:
    """Apply ``change`` to the expressions that a block of statements ends with: they are its value."""
    for _ in range(200):
        if not stmts:
            return
        last = stmts[-1]
        if last.kind == "expr":
            change(last)
            return
        if last.kind == "if":
            _tail(last.body, change)
            stmts = last.orelse
        elif last.kind == "try":
            for handler in last.handlers:
                _tail(handler.body, change)
            stmts = last.orelse or last.body
        elif last.kind == "other" and last.op == "switch":
            for case in last.body:
                _tail(case.body, change)
            return
        else:
            return


def _returned(stmt: Stmt) -> None:
    if stmt.value is not None and stmt.value.kind == "const":
        stmt.kind = "return"


def _assigned(stmt: Stmt, target: Expr, op: str) -> None:
    stmt.kind, stmt.targets, stmt.op = "assign", (target,), op


_BODIES = frozenset({"program", "body_statement", "block_body", "then", "do", "begin", "begin_block", "end_block"})
_STATEMENTS: dict[str, Callable[[_Ruby, SgNode, list[Stmt]], None]] = {
    "class": _Ruby.class_,
    "module": _Ruby.class_,
    "singleton_class": _Ruby.singleton,
    "method": _Ruby.method_,
    "singleton_method": _Ruby.method_,
    "return": _Ruby.return_,
    "begin": _Ruby.inline,
    "begin_block": _Ruby.inline,
    "end_block": _Ruby.inline,
    "parenthesized_statements": _Ruby.inline,
    "if": _Ruby.if_,
    "unless": _Ruby.if_,
    **dict.fromkeys(("if_modifier", "unless_modifier", "while_modifier", "until_modifier"), _Ruby.modified),
    "while": _Ruby.while_,
    "until": _Ruby.while_,
    "for": _Ruby.for_,
    "case": _Ruby.case,
    "case_match": _Ruby.case,
    "rescue_modifier": _Ruby.rescue_modifier,
    "assignment": _Ruby.assign,
    "operator_assignment": _Ruby.assign,
    "binary": _Ruby.binary_,
    "identifier": _Ruby.bare,
    "call": _Ruby.call_,
}
