"""What Python lowers to: the names, units and values that facts are read from."""

from __future__ import annotations

import ast
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentreview.syntax.lowering import DoesNotParseError, TooDeepError
from agentreview.syntax.python import lower
from agentreview.syntax.tree import Expr, Stmt, text
from syntax_helpers import in_its_time, misplaced, shown, unit


def first(source: str) -> Stmt:
    return lower(source).root.body[0]


def value(source: str) -> Expr:
    found = first(source).value
    assert found is not None
    return found


@pytest.mark.parametrize("source", ["", "\n", "# only a comment\n", "\ufeff"])
def test_a_file_without_code_is_a_module_without_statements(source):
    module = lower(source)
    assert (module.language, module.root.body, module.units) == ("python", (), (module.root,))


@pytest.mark.parametrize(
    ("source", "imports"),
    [
        ("import a", {"a": "a"}),
        ("import a.b as c, d", {"c": "a.b", "d": "d"}),
        ("from a.b import c, d as e", {"c": "a.b.c", "e": "a.b.d"}),
        ("from a import (\n    b,  # why\n    c,\n)", {"b": "a.b", "c": "a.c"}),
        ("from a import b, \\\n    c", {"b": "a.b", "c": "a.c"}),
        ("from . import a", {"a": ".a"}),
        ("from .. import a as b", {"b": "..a"}),
        ("from .m import a", {"a": ".m.a"}),
        ("from __future__ import annotations", {"annotations": "__future__.annotations"}),
        ("from a import *", {}),
        ("def f():\n    import a", {"a": "a"}),
    ],
)
def test_every_kind_of_import_names_its_module(source, imports):
    assert lower(source).imports == imports


def test_definitions_carry_decorators_bases_and_spans():
    source = "@deco(1)\n# why\n@a.b\nclass A(B, mixin(C), metaclass=M):\n    @property\n    async def f(self): pass\n"
    module = lower(source)
    a, f = unit(module, "A"), unit(module, "f")
    assert ([shown(d) for d in a.decorators], [shown(b) for b in a.bases]) == (["deco(1)", "a.b"], ["B", "mixin(C)"])
    assert (a.line, a.header_line, a.end_line) == (1, 4, 6)
    assert (f.qualname, f.line, f.header_line, [shown(d) for d in f.decorators]) == ("A.f", 5, 6, ["property"])
    assert text(module, f).startswith("@property")


def test_parameters_keep_annotations_and_defaults():
    found = unit(lower("def f(self, a: int, /, b=1, *c: str, d: X[Y] = 2, **e: P | None) -> Z: pass"), "f")
    assert [(p.name, shown(p.annotation), shown(p.default)) for p in found.params] == [
        ("self", "", ""), ("a", "int", ""), ("b", "", "1"), ("c", "str", ""), ("d", "X[Y]", "2"),
        ("e", "(P | None)", ""),
    ]  # fmt: skip


def test_a_lambda_is_an_anonymous_unit():
    module = lower("x = lambda a, *b: a.c")
    found = module.units[1]
    assert (found.name, found.anonymous, [p.name for p in found.params]) == ("<lambda>", True, ["a", "b"])
    assert [(s.kind, shown(s.value)) for s in found.body] == [("return", "a.c")]


def test_units_come_in_document_order():
    source = (
        "if a:\n  def b(): pass\nelif (lambda: 1)():\n  def c(): pass\nelse:\n  def d(): pass\n"
        "with f(lambda: 2):\n  def g(): pass\ntry:\n  def h(): pass\nexcept (lambda: E)():\n  def i(): pass\n"
        "x = (lambda: 3)() + (lambda: 4)() if (lambda: 5)() else 6\n"
    )
    assert [u.name for u in lower(source).units if not u.anonymous] == ["<module>", "b", "c", "d", "g", "h", "i"]
    starts = [u.start for u in lower(source.rsplit("x =", 1)[0]).units]
    assert starts == sorted(starts)


# -- expressions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "lowered"),
    [
        ("a.b(c)['d'].e", "a.b(c)['d'].e"),
        ("(a  # why\n  .b()\n  .c())", "a.b().c()"),
        ("a.b \\\n  .c", "a.b.c"),
        ("(await (await a).b()).c", "a.b().c"),
        ("f(a, *b, c=1, **d)", "f(a,*b,c=1,*d)"),
        ("f(x for x in y)", "f(other(x,other(x,y)))"),
        ("a[1:2, ::3]", "a[other(1,2),other(3)]"),
        ("a + b + c", "(a + b + c)"),
        ("a + b - c - d", "((a + b) - c - d)"),
        ("a and b or c", "((a and b) or c)"),
        ("a + \\\n  b", "(a + b)"),
        ("a < b not in c", "(a < not in b not in c)"),
        ("a is not b", "(a is not b)"),
        ("not a", "not(a)"),
        ("-a", "other(a)"),
        ("a if b else c if d else e", "(b ? a : (d ? c : e))"),
        ("[1, (2, 3), {4}, *a]", "[1,[2,3],[4],*a]"),
        ("{'a': 1, b: 2, **c}", "{a=1,2,**c}"),
        ("(a := b)", "other(a,b)"),
        ("lambda: a", "<<lambda>>"),
        ("...", "..."),
    ],
)
def test_expressions_lower_to(source, lowered):
    if "not in" in source:  # one operator text for the whole comparison
        found = value(source)
        assert (found.name, [shown(i) for i in found.items]) == ("< not in", ["a", "b", "c"])
    else:
        assert shown(value(source)) == lowered


@pytest.mark.parametrize(
    "literal",
    ["'a'", '"a"', "'''a\nb'''", r"'it\'s\n\t'", r"r'\n'", "b'a'", "u'a'", "''", '""""""', "'a' \"b\" r'\\c'", "'😀é'"],
)
def test_a_string_has_the_value_python_gives_it(literal):
    found = value(f"x = {literal}")
    want = ast.literal_eval(literal)
    assert (found.kind, found.name) == ("str", want.decode() if isinstance(want, bytes) else want)


def test_an_f_string_has_its_holes():
    found = value('x = f"a{b.c!r:>{w}}d" "e{f}" f"{g=}"')
    assert (found.kind, found.name, [shown(i) for i in found.items]) == ("fstr", "a{}de{f}{}", ["b.c", "g"])


@pytest.mark.parametrize(
    ("annotation", "lowered"),
    [
        ("Patient", "Patient"),
        ("list[Patient]", "list[Patient]"),
        ("dict[str, m.Patient]", "dict[str,m.Patient]"),
        ("Patient | None", "(Patient | None)"),
        ("'Patient'", "'Patient'"),
    ],
)
def test_annotations_lower_like_the_expressions_they_are(annotation, lowered):
    stmt = first(f"x: {annotation}")
    assert (stmt.kind, stmt.op, shown(stmt.value)) == ("assign", ":", lowered)


# -- statements -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "targets", "op", "lowered"),
    [
        ("a = b", ["a"], "=", "b"),
        ("a = b.c = d", ["a", "b.c"], "=", "d"),
        ("a, *b = c", ["[a,*b]"], "=", "c"),
        ("a: int = 1", ["a"], "=", "1"),
        ("a: int", ["a"], ":", "int"),
        ("a += 1", ["a"], "+=", "1"),
        ("a = \\\n  b", ["a"], "=", "b"),
    ],
)
def test_assignments(source, targets, op, lowered):
    stmt = first(source)
    assert ([shown(t) for t in stmt.targets], stmt.op, shown(stmt.value)) == (targets, op, lowered)


@pytest.mark.parametrize("source", ["return \\\n  a", "return a  # b", "return (a)"])
def test_a_return_has_its_value(source):
    assert shown(first(source).value) == "a"


def test_an_elif_holds_the_clauses_after_it():
    stmt = first("if a:\n  x\nelif b:\n  y\nelse:\n  z\n")
    inner = stmt.orelse[0]
    assert [shown(s.value) for s in (stmt, *stmt.body, inner, *inner.body, *inner.orelse)] == ["a", "x", "b", "y", "z"]
    assert (inner.line, inner.end) == (3, stmt.end)


def test_try_has_its_parts():
    stmt = first(
        "try:\n  a\nexcept (B, c.D) as e:\n  raise F from e\nexcept G: pass\nexcept: pass\nelse:\n  h\nfinally:\n  i\n"
    )
    assert [([shown(t) for t in h.types], h.name, [s.kind for s in h.body]) for h in stmt.handlers] == [
        (["B", "c.D"], "e", ["raise"]), (["G"], "", ["other"]), ([], "", ["other"]),
    ]  # fmt: skip
    assert [shown(s.value) for s in (*stmt.body, *stmt.orelse, *stmt.final)] == ["a", "h", "i"]


def test_several_context_managers_nest():
    outer = first("with a() as b, \\\n  c:\n  d")
    inner = outer.body[0]
    assert [(s.kind, shown(s.value), [shown(t) for t in s.targets]) for s in (outer, inner)] == [
        ("with", "a()", ["b"]), ("with", "c", []),
    ]  # fmt: skip
    assert shown(inner.body[0].value) == "d"


def test_loops_bind_and_have_else():
    stmt = first("for a, b in c:\n  d\nelse:\n  e")
    assert ([shown(t) for t in stmt.targets], shown(stmt.value), len(stmt.body), len(stmt.orelse)) == (
        ["[a,b]"],
        "c",
        1,
        1,
    )


def test_a_match_has_a_block_for_each_of_its_own_cases():
    stmt = first("match a.b:\n  case C(d=1) if e():\n    f\n  case _:\n    match g:\n      case 1: h\n")
    assert (stmt.op, shown(stmt.value), [shown(s.value) for s in stmt.body]) == ("match", "a.b", ["e()", ""])
    assert [s.op for s in stmt.body[1].body] == ["match"]


def test_comments_come_with_their_line():
    assert lower("# a\nx  # b\n").comments == ((1, "# a"), (2, "# b"))


# -- what does not lower ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    ["def f(:\n  pass", "x = (1", "foo(", '"""abc', "if x:\n", "def f():", 'f"{}"', "x = [", "a\0b", "'\udc80'"],
)
def test_broken_source_does_not_parse(source):
    with pytest.raises(DoesNotParseError):
        lower(source)


def test_the_error_names_the_line():
    with pytest.raises(DoesNotParseError, match="line 3"):
        lower("a\nb\ndef f(:\n  pass\n")


N = 5000


@pytest.mark.parametrize(
    "source",
    [
        "a" + ".b()" * N,
        "a" + "[0]" * N,
        " + ".join(["a"] * N),
        "a" + " + b - c" * N,
        "a" + " and b or c" * N,
        "(" * N + "a" + ")" * N,
        "a if b else " * N + "c",
        "if a: b\n" + "elif a: b\n" * N,
        "a = " * N + "b",
        "'a' " * N,
        "with " + ", ".join(["a"] * 1000) + ": pass",
        "match a:\n" + " case 1: b\n" * N,
        "x = [" + ", ".join(["a.b(c)"] * N) + "]",
    ],
    ids=range(13),
)
def test_long_chains_are_not_deep_and_cost_time_in_proportion(source):
    began = time.process_time()
    assert misplaced(lower(source)) == []
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "source",
    [
        "f(" * N + ")" * N,
        "[" * N + "]" * N,
        "not " * N + "a",
        "lambda: " * N + "a",
        "a + (" * N + "b" + ")" * N,
        " ** ".join(["a"] * N),
        "x: " + "A[" * N + "B" + "]" * N,
        "".join(" " * n + "if a:\n" for n in range(300)) + " " * 300 + "b",
        "".join(" " * n + "def f():\n" for n in range(300)) + " " * 300 + "b",
    ],
    ids=range(9),
)
def test_nesting_no_person_writes_is_too_deep(source):
    with pytest.raises(TooDeepError):
        lower(source)


def test_nesting_people_do_write_is_fine():
    lower("".join(" " * n + "if a:\n" for n in range(60)) + " " * 60 + "f(" * 60 + ")" * 60)


# -- properties -------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "self", "patient", "_", "é", "x1"])
ATOMS = NAMES | st.sampled_from(["1", "None", "'s'", '"""d\n"""', "f'{a!r:>{b}} {c.d}'", "b'😀'[0]", "...", "'x' 'y'"])


def _expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({}).{}".format, inner, NAMES),
        st.builds("({})({}, *{}, k={})".format, inner, inner, NAMES, inner),
        st.builds("({})[{}:{}]".format, inner, inner, inner),
        st.builds("({} + {} - {})".format, inner, inner, inner),
        st.builds("({} and {} or {})".format, inner, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("(lambda {}, *r, k={}: {})".format, st.just("q"), inner, inner),
        st.builds("[{} for {} in {} if {}]".format, inner, NAMES, inner, inner),
        st.builds("{{{}: {}, **{}}}".format, inner, inner, NAMES),
        st.builds("(not {} < {})".format, inner, inner),
        st.builds("(  # c\n{}, {})".format, inner, inner),
        st.builds("({} := {})".format, NAMES, inner),
    )


EXPRESSIONS = st.recursive(ATOMS, _expressions, max_leaves=8)


def _indent(body: str) -> str:
    return "\n".join("    " + line for line in body.split("\n"))


def _statements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = inner.map(_indent)
    return st.one_of(
        st.builds("if {}:\n{}\nelif {}:\n{}\nelse:\n{}".format, EXPRESSIONS, body, EXPRESSIONS, body, body),
        st.builds("for {} in {}:\n{}".format, NAMES, EXPRESSIONS, body),
        st.builds("with {} as {}, {}:\n{}".format, EXPRESSIONS, NAMES, EXPRESSIONS, body),
        st.builds("try:\n{}\nexcept {} as e:\n{}\nfinally:\n{}".format, body, EXPRESSIONS, body, body),
        st.builds("@d({})\nasync def f({}: {} = 1, *r, **k):\n{}".format, EXPRESSIONS, NAMES, NAMES, body),
        st.builds("class {}(B, metaclass={}):\n{}".format, NAMES, EXPRESSIONS, body),
        st.builds("match {}:\n    case {}:\n{}".format, EXPRESSIONS, st.just("C(x=1)"), body.map(_indent)),
        st.builds("{}\n# c\n\n{}".format, inner, inner),
    )


SIMPLE = st.one_of(
    EXPRESSIONS.filter(lambda e: "\n" not in e),
    st.builds("{} = {}.z = {}".format, NAMES, NAMES, EXPRESSIONS),
    st.builds("{}: {} = {}".format, NAMES, NAMES, EXPRESSIONS),
    st.builds("return {}".format, EXPRESSIONS),
    st.builds("raise {} from {}".format, EXPRESSIONS, NAMES),
    st.builds("from .{} import {} as z".format, NAMES, NAMES),
    st.builds("assert {}, \\\n  {}".format, EXPRESSIONS, EXPRESSIONS),
    st.just("pass"),
)
PROGRAMS = st.recursive(SIMPLE, _statements, max_leaves=6)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PROGRAMS)
def test_any_program_lowers_inside_its_own_text(source):
    assert misplaced(lower(source)) == []


@settings(max_examples=200, deadline=None)
@given(PROGRAMS, st.data())
def test_damaged_programs_raise_only_what_is_announced(source, data):
    cut = data.draw(st.integers(0, len(source)))
    piece = data.draw(st.text(alphabet="{}()[]'\"=,.;: \n\t\\@#*ax0😀\r\ud800", max_size=6))
    damaged = source[:cut] + piece + source[cut + len(piece) :]

    def wrong():
        try:
            return misplaced(lower(damaged))
        except (DoesNotParseError, TooDeepError):
            return []

    assert in_its_time(wrong) == []
