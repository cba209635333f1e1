"""What TypeScript and JavaScript lower to: the names, units and values that facts are read from."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentreview.syntax.ecmascript import lower
from agentreview.syntax.lowering import DoesNotParseError, TooDeepError
from agentreview.syntax.tree import Expr, Module, Stmt, text
from syntax_helpers import in_its_time, misplaced, shown, unit


def ts(source: str) -> Module:
    return lower(source, "typescript")


def first(source: str, grammar: str = "typescript") -> Stmt:
    return lower(source, grammar).root.body[0]


def value(source: str, grammar: str = "typescript") -> Expr:
    found = first(source, grammar).value
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("grammar", "language"), [("typescript", "typescript"), ("tsx", "typescript"), ("javascript", "javascript")]
)
def test_a_module_knows_its_language(grammar, language):
    module = lower("", grammar)
    assert (module.language, module.root.body, module.units) == (language, (), (module.root,))


# -- imports and exports ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "imports"),
    [
        ("import D from 'm'", {"D": "m"}),
        ("import D, { a as b, c } from '@x/m'", {"D": "@x/m", "b": "@x/m.a", "c": "@x/m.c"}),
        ("import * as ns from './n'", {"ns": "./n"}),
        ("import { default as X, type T } from 'm'", {"X": "m", "T": "m.T"}),
        ("import type { T } from 'm'", {"T": "m.T"}),
        ("import 'side'", {}),
        ("import q = require('qq')", {"q": "qq"}),
        ("import * as a from 'm'; import B = a.b.C", {"a": "m", "B": "m.b.C"}),
        ("const x = require('m')", {"x": "m"}),
        ("const { a, b: c } = require('m')", {"a": "m.a", "c": "m.b"}),
        ("const x = require('m').sub.deep", {"x": "m.sub.deep"}),
        ("const x = require('m').default", {"x": "m"}),
        ("const debug = require('debug')('app')", {"debug": "debug"}),
        ("const { a } = await import('m')", {"a": "m.a"}),
        ("const x = require(name), y = required('m')", {}),
    ],
)
def test_every_kind_of_import_names_its_module(source, imports):
    assert ts(source).imports == imports


@pytest.mark.parametrize(
    "source",
    [
        "export function f() {}",
        "export const f = async () => 1",
        "export const f = function () {}, g = 1",
        "export class f {}",
        "export abstract class f {}",
        "function f() {}\nexport { f as other }",
        "export default f\nfunction f() {}",
        "export default function f() {}",
        "export default withAuth(f)\nasync function f() {}",
        "exports.f = async () => 1",
        "module.exports.f = function () {}",
        "module.exports = { f() {} }",
        "module.exports = { g, f }\nfunction f() {}",
        "module.exports = f\nfunction f() {}",
    ],
)
def test_every_form_of_export_marks_the_unit(source):
    assert unit(ts(source), "f").exported


def test_what_is_not_exported_is_not_marked():
    module = ts("function f() {}\nexport const g = make({ f: () => 1 })\nexport { h } from './f'\nclass f2 {}")
    assert [u.name for u in module.units if u.exported] == []


@pytest.mark.parametrize(
    "source", ["export default async (req) => {}", "export default function () {}", "export default class extends B {}"]
)
def test_an_anonymous_default_export_is_called_default(source):
    found = unit(ts(source), "default")
    assert (found.exported, found.anonymous) == (True, False)


def test_the_body_of_a_namespace_is_read_and_declarations_without_code_are_not():
    module = ts(
        "namespace N.M { export function inner() {} }\ninterface I { a: string }\ntype T = string\nenum E { A }\n"
        "declare const x: string\ndeclare module 'm' { export function no(): void }\nfunction over(a: string): void\n"
        "function over(a: any) {}"
    )
    assert [u.name for u in module.units] == ["<module>", "inner", "over"]
    assert [s.kind for s in module.root.body] == ["block", "def"]


# -- functions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "function f(a) { return a }",
        "async function f(a) { return a }",
        "function* f(a) { return a }",
        "const f = a => a",
        "const f = async (a) => { return a }",
        "const f = function (a) { return a }",
        "const f = function other(a) { return a }",
        "const f = (((a) => a) as Handler)",
        "x.y.f = (a) => a",
        "x['f'] = (a) => a",
        "const o = { f: (a) => a }",
        "const o = { f(a) { return a } }",
        "const o = { 'f': async (a) => a }",
        "const o = { ['f'](a) { return a } }",
        "let g = f = (a) => a",
    ],
)
def test_a_function_takes_the_name_of_what_it_is_assigned_to(source):
    found = unit(ts(source), "f")
    assert (found.anonymous, [p.name for p in found.params], [s.kind for s in found.body]) == (False, ["a"], ["return"])


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("router.get('/patients/:id', auth, async (req, res) => {})", "router.get('/patients/:id')"),
        ('app.on("x", function () {})', "app.on('x')"),
        ("it('says so', () => {})", "it('says so')"),
        ("items.map(x => x)", "<callback>"),
        ("app.use(function errors(e, req, res, next) {})", "errors"),
        ("(a || b).get('/x', () => {})", "<callback>"),
        ("app.get(`/${x}`, () => {})", "<callback>"),
        ("app.get('/a', x).get('/b', x).get('/c', x).get('/d', () => {})", "app.get('/d')"),
    ],
)
def test_a_callback_is_named_after_the_call_and_knows_it(source, name):
    module = ts(source)
    found = module.units[-1]
    assert (found.name, found.anonymous) == (name, True)
    assert found.call is value(source) or text(module, found.call) == source


def test_a_callback_that_is_returned_or_called_at_once_has_no_name():
    module = ts("(async () => { x })();\nfunction f() { return () => 1 }")
    assert [(u.qualname, u.anonymous) for u in module.units[1:]] == [
        ("<callback>", True),
        ("f", False),
        ("f.<callback>", True),
    ]


def test_a_wrapper_at_module_level_is_looked_through_and_counts_as_a_decorator():
    module = ts("export const GET = withAuth(withTenant(async (req) => { return 1 }), { role: 'admin' })")
    found = unit(module, "GET")
    assert (found.anonymous, found.exported, [p.name for p in found.params]) == (False, True, ["req"])
    assert [shown(d.base) for d in found.decorators] == ["withAuth", "withTenant"]


def test_a_default_export_that_wraps_a_declared_function_decorates_it():
    found = unit(ts("export default withSession(handler)\nasync function handler(req, res) {}"), "handler")
    assert [shown(d) for d in found.decorators] == ["withSession(handler)"]


@pytest.mark.parametrize(
    "source",
    ["const ids = list.map(x => x)", "function f() { const g = memo(() => 1) }", "const a = either(() => 1, () => 2)"],
)
def test_other_calls_are_no_wrappers(source):
    assert ts(source).units[-1].anonymous


def test_qualified_names_nest():
    module = ts("class Svc { run() { const step = () => { items.forEach(x => x) } } }")
    assert [u.qualname for u in module.units[1:]] == ["Svc", "Svc.run", "Svc.run.step", "Svc.run.step.<callback>"]


def test_parameters_keep_names_annotations_defaults_and_decorators():
    found = unit(
        ts(
            "class C { constructor(private readonly repo: Repository<Patient>, @Inject(P) p = 3, @Body() dto?: X, "
            "{ a, b: { c = 1 }, ...d }: Opts = {}, [e, , f]: X[], this_: T, ...rest: any[]) {} }\n"
        ),
        "constructor",
    )
    assert [
        (p.name, p.names, shown(p.annotation), shown(p.default), [shown(d) for d in p.decorators]) for p in found.params
    ] == [
        ("repo", (), "Repository[Patient]", "", []),
        ("p", (), "", "3", ["Inject(P)"]),
        ("dto", (), "X", "", ["Body()"]),
        ("", ("a", "c", "d"), "Opts", "{}", []),
        ("", ("e", "f"), "other(X)", "", []),
        ("this_", (), "T", "", []),
        ("rest", (), "other(any)", "", []),
    ]


def test_a_this_parameter_is_no_parameter():
    assert [p.name for p in unit(ts("function f(this: Foo, a: string) {}"), "f").params] == ["a"]


def test_javascript_parameters_lower_alike():
    found = unit(lower("function f(a, b = g(), { c: d }, [e], ...r) {}", "javascript"), "f")
    assert [(p.name, p.names, shown(p.default)) for p in found.params] == [
        ("a", (), ""), ("b", (), "g()"), ("", ("d",), ""), ("", ("e",), ""), ("r", (), ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("annotation", "lowered"),
    [
        ("Patient", "Patient"),
        ("string", "string"),
        ("Repository<Patient>", "Repository[Patient]"),
        ("Promise<Map<string, A.B>>", "Promise[Map[string,A.B]]"),
        ("A.B.C<D>", "A.B.C[D]"),
        ("(Patient)", "Patient"),
        ("readonly Patient[]", "other(Patient)"),
        ("Patient | null | undefined", "other(Patient,null,undefined)"),
        ("A & B", "other(A,B)"),
        ("'lit' | 1", "other('lit',1)"),
        ("{ a: Patient; b(): Visit }", "other(other(Patient),other(Visit))"),
        ("[a: X, b?: Y]", "other(other(X),other(Y))"),
        ("(a: string) => Patient", "other(Patient)"),
        ("typeof x", "other(x)"),
        ("keyof T", "other(T)"),
    ],
)
def test_type_annotations_lower_to_expressions(annotation, lowered):
    assert shown(value(f"let a: {annotation}")) == lowered


# -- classes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "bases"),
    [
        ("class C extends B {}", ["B"]),
        ("class C extends a.b.B {}", ["a.b.B"]),
        ("class C extends Repository<Patient> {}", ["Repository[Patient]"]),
        ("class C extends Mixin(A, B) implements CanActivate, X<Y> {}", ["Mixin(A,B)", "CanActivate", "X[Y]"]),
        ("const C = class extends B {}", ["B"]),
    ],
)
def test_bases_are_what_a_class_extends_and_implements(source, bases):
    assert [shown(b) for b in unit(ts(source), "C").bases] == bases


@pytest.mark.parametrize(
    ("source", "grammar"),
    [
        ("@A() @b.C class X {}", "typescript"),
        ("@A() @b.C export class X {}", "typescript"),
        ("export @A() @b.C class X {}", "typescript"),
        ("@A()\n// why\n@b.C\nexport abstract class X {}", "tsx"),
        ("@A() @b.C class X {}", "javascript"),
    ],
)
def test_class_decorators_are_found_wherever_they_stand(source, grammar):
    module = lower(source, grammar)
    found = unit(module, "X")
    assert [shown(d) for d in found.decorators] == ["A()", "b.C"]
    assert text(module, found) == source


def test_a_method_has_only_the_decorators_directly_before_it():
    module = ts(
        "class C {\n  @A() one() {}\n  two() {}\n  @B()\n  // why\n  @C('x')\n  async three() {}\n  four() {}\n}"
    )
    found = {u.name: [shown(d) for d in u.decorators] for u in module.units[2:]}
    assert found == {"one": ["A()"], "two": [], "three": ["B()", "C('x')"], "four": []}
    three = unit(module, "three")
    assert (three.line, three.header_line, text(module, three)[:4]) == (4, 7, "@B()")


def test_javascript_method_decorators_are_found():
    assert [shown(d) for d in unit(lower("class C { @A() m() {} }", "javascript"), "m").decorators] == ["A()"]


def test_members_of_every_kind_are_named():
    source = (
        "class C { constructor() {} get a() { return 1 } set a(v) {} static s() {} async *g() {} #p() {} 'q-r'() {} "
        "[k]() {} handler = async (e) => {}; static { boot() } sig(): void; }"
    )
    module = ts(source)
    assert [u.name for u in module.units[2:]] == [
        "constructor",
        "a",
        "a",
        "s",
        "g",
        "#p",
        "q-r",
        "[computed]",
        "handler",
    ]
    assert all(not u.anonymous for u in module.units)
    assert [s.kind for s in unit(module, "C").body] == ["def"] * 8 + ["assign", "block"]


def test_fields_are_assignments_after_their_decorators():
    body = unit(
        ts("class C { @Column({ type: 'text' }) ssn: string; private log = new Logger(); @On() f = () => 1 }"), "C"
    ).body
    assert [(s.kind, s.op, [shown(t) for t in s.targets], shown(s.value)) for s in body] == [
        ("expr", "", [], "Column({type='text'})"),
        ("assign", ":", ["ssn"], "string"),
        ("assign", "=", ["log"], "Logger()"),
        ("assign", "=", ["f"], "<C.f>"),
    ]


# -- expressions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "lowered"),
    [
        ("a.b(c)['d'].e", "a.b(c)['d'].e"),
        ("a?.b?.(c)?.[d]!.e", "a.b(c)[d].e"),
        ("a.b // why\n  .c() /* x */ .d", "a.b.c().d"),
        ("(await (a as B)).c!", "a.c"),
        ("(x satisfies T)", "x"),
        ("f<T>(x)", "f(x)"),
        ("new a.B<T>(1, ...c)", "a.B(1,*c)"),
        ("new B", "B()"),
        ("sql`select ${a.b} from x`", "sql(f'select {} from x'[a.b])"),
        ("sql`select 1`", "sql('select 1')"),
        ("styled.p<Props>`color: red`", "styled.p('color: red')"),
        ("sql<Row>`a ${b}`.run()", "sql(f'a {}'[b]).run()"),
        ("a === sql<Row>`b`", "(a === sql('b'))"),
        ("a < b > c", "((a < b) > c)"),
        ("`a`", "'a'"),
        ("``", "''"),
        ("`${a}b${c}\\n`", "f'{}b{}\\n'[a,c]"),
        (r"'it\'s\t\x41\u0042\u{43}\ud800'", repr("it's\tABC\\ud800")),
        ("this.x; ", "this.x"),
        ("super.x()", "super.x()"),
        ("import('m')", "import('m')"),
        ("import.meta.env", "import.meta.env"),
        ("a + b + c", "(a + b + c)"),
        ("a + b - c - d", "((a + b) - c - d)"),
        ("a && b && c || d ?? e", "(((a && b && c) || d) ?? e)"),
        ("a instanceof B", "(a instanceof B)"),
        ("!a", "not(a)"),
        ("-a", "other(a)"),
        ("typeof a", "other(a)"),
        ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
        ("x((a, b))", "x(other(a,b))"),
        ("x(a = b)", "x(other(a,b))"),
        ("[1, ...a, null, /re/g, undefined]", "[1,*a,null,/re/g,undefined]"),
        ("({ a, b: 1, 'c-d': 2, 3: e, ...f, [g]: h, ['i']: j })", "{a=a,b=1,c-d=2,3=e,**f,h,i=j}"),
        ("({ m() {}, get n() { return 1 }, o: () => 1, [p]: () => 2 })", "{m=<m>,n=<n>,o=<o>,<<callback>>}"),
    ],
)
def test_expressions_lower_to(source, lowered):
    assert shown(value(source)) == lowered


def test_the_kinds_of_leaves():
    kinds = {e.name: e.kind for e in value("[a, 'b', 1, true, null, undefined, /c/, this, `d`]").items}
    assert kinds == {
        "a": "name", "b": "str", "1": "const", "true": "const", "null": "const", "undefined": "const", "/c/": "const",
        "this": "name", "d": "str",
    }  # fmt: skip


def test_jsx_keeps_the_embedded_expressions():
    source = "<A b='x' c={d} {...e} onClick={() => go()}>text {f} {/* no */} <B.C g={h} /> <></> {i && <J />} &amp;</A>"
    module = lower(f"const V = () => {source}", "tsx")
    returned = unit(module, "V").body[0].value
    assert shown(returned) == "other(d,*e,<V.onClick>,f,other(h),other(),(i && other()))"
    assert unit(module, "onClick").anonymous


# -- statements -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("const { orgId, from } = req.body", "{orgId=orgId,from=from}"),
        ("const { a: { b: [c, , ...d] }, w = f(), v: u = 5, ...rest } = x", "{a={b=[c,*d]},w=w,v=u,**rest}"),
        ("const { 'x-y': z, [k]: q } = x", "{x-y=z,q}"),
        ("const [a, b = 1] = x", "[a,b]"),
        ("({ a, b: c.d } = x)", None),
        ("[a, b] = x", "[a,b]"),
    ],
)
def test_destructuring_pairs_keys_with_local_names(source, target):
    stmt = first(source)
    if target is None:
        assert stmt.value is not None
        assert shown(stmt.value) == "other({a=a,b=c.d},x)"
    else:
        assert (stmt.kind, stmt.op, [shown(t) for t in stmt.targets]) == ("assign", "=", [target])


@pytest.mark.parametrize(
    ("source", "kinds"),
    [
        ("a = b = c", ["assign"]),
        ("a += 1", ["assign"]),
        ("a = 1, b(), c++", ["assign", "expr", "expr"]),
        ("let a = 1, b = 2, c", ["assign", "assign"]),
        ("if (a) b; else c", ["if"]),
        ("for (const x of y) z", ["for"]),
        ("for (;;) ;", ["for"]),
        ("while (a) b", ["while"]),
        ("do a(); while (b)", ["while"]),
        ("{ a }", ["block"]),
        ("x: for (;;) break x", ["for"]),
        ("throw new E()", ["raise"]),
        ("debugger;;", ["other"]),
        ("try { a } finally { b }", ["try"]),
    ],
)
def test_statements_lower_to(source, kinds):
    assert [s.kind for s in ts(source).root.body] == kinds


def test_a_chain_of_assignments_has_all_its_targets():
    stmt = first("a = b.c = d")
    assert ([shown(t) for t in stmt.targets], shown(stmt.value)) == (["a", "b.c"], "d")


def test_else_if_nests_in_orelse():
    stmt = first("if (a) { x } else if (b) y; else { z }")
    inner = stmt.orelse[0]
    assert [shown(s.value) for s in (stmt, *stmt.body, inner, *inner.body, *inner.orelse)] == ["a", "x", "b", "y", "z"]


def test_a_counting_loop_holds_its_start_and_step_in_the_body():
    stmt = first("for (let i = 0; i < n; i++) { go(i) }")
    assert (shown(stmt.value), [s.kind for s in stmt.body]) == ("(i < n)", ["assign", "expr", "expr"])


@pytest.mark.parametrize("head", ["const { a, b } of rows()", "const x in y", "x.y of z"])
def test_a_loop_over_values_binds_its_target(head):
    stmt = first(f"for ({head}) {{}}")
    assert (len(stmt.targets), stmt.value is not None, stmt.body) == (1, True, ())


def test_a_switch_has_a_block_for_each_case():
    stmt = first("switch (x) { case f(): a(); break; case 2: { b } default: c }")
    assert (stmt.kind, stmt.op, shown(stmt.value)) == ("other", "switch", "x")
    assert [(s.kind, shown(s.value), len(s.body)) for s in stmt.body] == [
        ("block", "f()", 2),
        ("block", "2", 1),
        ("block", "", 1),
    ]


def test_a_catch_clause_names_its_parameter_and_keeps_an_empty_body_empty():
    named, bare, pattern = ts(
        "try { a } catch (e: unknown) {}\ntry { a } catch { /* why */ }\ntry { a } catch ({ m }) { m }"
    ).root.body
    assert [(s.handlers[0].name, s.handlers[0].types, len(s.handlers[0].body)) for s in (named, bare, pattern)] == [
        ("e", (), 0), ("", (), 0), ("", (), 1),
    ]  # fmt: skip


def test_comments_come_with_their_line():
    assert ts("// a\nx /* b */\n").comments == ((1, "// a"), (2, "/* b */"))


# -- what does not lower ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grammar", ["typescript", "tsx", "javascript"])
@pytest.mark.parametrize(
    "source", ["if (a) {", "x = (", "f(", "`${}`", "function f( {}", "a ? b", "'abc", "class { ", "a\0b", "\udc80"]
)
def test_broken_source_does_not_parse(source, grammar):
    with pytest.raises(DoesNotParseError):
        lower(source, grammar)


def test_the_error_names_the_line():
    with pytest.raises(DoesNotParseError, match="line 3"):
        ts("a\nb\nif (c) {")


@pytest.mark.parametrize(
    ("source", "grammar"),
    [
        ("", "typescript"),
        (" \n", "javascript"),
        ("// only a comment", "tsx"),
        ("#!/usr/bin/env node\nx", "javascript"),
        ("\ufeffx", "typescript"),
        (";;;", "javascript"),
        ("class A {;}", "typescript"),
        ("const x = <></>", "tsx"),
        ("const x = <div>{}</div>", "tsx"),
        ("const x = <a b='' c/>", "javascript"),
        ("const a = ``", "tsx"),
        ("for(;;);", "javascript"),
        ("const P = styled.p<{ a: boolean }>`x: ${y};`", "tsx"),
        ("const f = <T,>(x: T) => x", "tsx"),
        ("let a\nlet b\na\nb", "javascript"),
        ("x = y\n  ? a\n  : b", "typescript"),
    ],
)
def test_valid_source_is_not_taken_for_broken(source, grammar):
    lower(source, grammar)


@pytest.mark.parametrize(
    "text_", ["Terms & Conditions", "R&D", "{a} & {b} & c", "a && b", "&", "<b href='/?a=1&b=2'/>"]
)
def test_an_ampersand_in_jsx_is_no_syntax_error(text_):
    module = lower(f"const V = () => <p id={{x}}>{text_}</p>\nconst after = a & b", "tsx")
    assert module.root.body[1].value is not None
    assert shown(module.root.body[1].value) == "(a & b)"


@pytest.mark.parametrize(
    "source",
    [
        "interface I {\n  a: number\n  in_progress: number\n}\nx()",
        "x()\nin_flight = 2",
        "const f = () => { y }\n\n[...a, b].map(z)",
    ],
)
def test_a_missing_semicolon_the_grammar_needs_is_no_syntax_error(source):
    module = ts(source)
    assert "in_flight" not in source or shown(module.root.body[1].targets[0]) == "in_flight"


N = 5000


@pytest.mark.parametrize(
    "source",
    [
        "a" + ".b()" * N,
        "a" + ".on('k', x => x)" * N,
        "a" + "[0]" * N,
        "a" + "!" * N,
        " + ".join(["a"] * N),
        "a" + " && b || c" * N,
        "a" + " - b + c" * N,
        "(" * N + "a" + ")" * N,
        "if (a) b;" + " else if (a) b;" * N,
        "a ? b : " * N + "c",
        "a = " * N + "b",
        "let a: " + " | ".join(["A"] * N),
        "await " * N + "a",
        "x = [" + ", ".join(["a.b(c)"] * N) + "]",
    ],
    ids=range(14),
)
def test_long_chains_are_not_deep_and_cost_time_in_proportion(source):
    began = time.process_time()
    assert misplaced(ts(source)) == []
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "source",
    [
        "f(" * N + ")" * N,
        "const x = f(" + "f(" * N + "() => 1" + ")" * N + ")",
        "[" * N + "]" * N,
        "x = " + "{a:" * N + "1" + "}" * N,
        "{" * N + "}" * N,
        "if (a) " * N + "b",
        "a => " * N + "b",
        "!" * N + "a",
        "a ? " * N + "b" + ": c" * N,
        "function f() {" * N + "}" * N,
        "class A { m() {" * N + "}}" * N,
        "a: " * N + "b",
        " ** ".join(["a"] * N),
        "let a: " + "A<" * N + "B" + ">" * N,
        "const " + "{a:" * N + "b" + "}" * N + " = c",
        "`${" * N + "a" + "}`" * N,
        "switch (a) { case 1: " * N + "}" * N,
        "try {" * N + "} catch {}" * N,
    ],
    ids=range(18),
)
def test_nesting_no_person_writes_is_too_deep(source):
    with pytest.raises(TooDeepError):
        ts(source)


def test_jsx_nested_too_deep_is_said():
    with pytest.raises(TooDeepError):
        lower("x = " + "<a>" * N + "</a>" * N, "tsx")


def test_nesting_people_do_write_is_fine():
    depth = 40
    ts("f(x => { if (x) { " * depth + "g()" + " } })" * depth)


def test_one_long_line_costs_time_in_proportion():
    began = time.process_time()
    ts("x=[" + ",".join(f"a{n}.b(c)" for n in range(20_000)) + "]")
    assert time.process_time() - began < 8


# -- properties -------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "req", "patient", "$x", "_", "é", "in_progress"])
STRINGS = st.sampled_from(["'s'", '"/p/:id"', "`t`", "`a${b}c`", "'😀'", r"'\n'"])


def _expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}.{}".format, inner, NAMES),
        st.builds("{}({}, {})".format, inner, inner, inner),
        st.builds("{}?.[{}]".format, inner, inner),
        st.builds("({} + {})".format, inner, inner),
        st.builds("({} && {} || {})".format, inner, inner, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("({} => {})".format, NAMES, inner),
        st.builds("(async ({{ {} }}) => {{ return {} }})".format, NAMES, inner),
        st.builds("{}.get({}, async (x) => {{ {} }})".format, NAMES, STRINGS, inner),
        st.builds("({{ {}: {}, ...{} }})".format, NAMES, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("`${{{}}}`".format, inner),
        st.builds("!{}".format, inner),
        st.builds("new {}({})".format, NAMES, inner),
        st.builds("({} as T<U>)".format, inner),
        st.builds("(await {})".format, inner),
        st.builds("({} = {})".format, NAMES, inner),
        st.builds("(class extends B {{ f = {} }})".format, inner),
    )


EXPRESSIONS = st.recursive(
    NAMES | STRINGS | st.sampled_from(["(1)", "null", "this", "(/r/g)", "<></>", "<p q={1}>& {x}</p>"]),
    _expressions,
    max_leaves=8,
)


def _statements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("if ({}) {{ {} }} else {}".format, EXPRESSIONS, inner, inner),
        st.builds("for (const {} of {}) {{ {} }}".format, NAMES, EXPRESSIONS, inner),
        st.builds("try {{ {} }} catch (e) {{ {} }} finally {{}}".format, inner, inner),
        st.builds("export async function {}({}: P, ...r) {{ {} }}".format, NAMES, NAMES, inner),
        st.builds(
            "@D({})\nexport class {} extends B {{ @G() async m(@P() p: X) {{ {} }} }}".format, EXPRESSIONS, NAMES, inner
        ),
        st.builds("switch ({}) {{ case {}: {} default: {} }}".format, EXPRESSIONS, EXPRESSIONS, inner, inner),
        st.builds("{}\n// c\n{}".format, inner, inner),
        st.builds("while ({}) {}".format, EXPRESSIONS, inner),
    )


SIMPLE = st.one_of(
    st.builds("{};".format, EXPRESSIONS),
    st.builds("const {{ {}, b: [c] = [] }} = {};".format, NAMES, EXPRESSIONS),
    st.builds("export const {} = {};".format, NAMES, EXPRESSIONS),
    st.builds("import {{ {} as z }} from {};".format, NAMES, st.sampled_from(["'m'", '"n"'])),
    st.builds("throw {};".format, EXPRESSIONS),
    st.builds("module.exports = {};".format, EXPRESSIONS),
    st.just(";"),
)
PROGRAMS = st.recursive(SIMPLE, _statements, max_leaves=6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PROGRAMS, st.sampled_from(["typescript", "tsx", "javascript"]))
def test_any_program_lowers_inside_its_own_text_or_is_refused(source, grammar):
    assert in_its_time(lambda: _wrong(source, grammar)) == []


@settings(max_examples=100, deadline=None)
@given(PROGRAMS)
def test_generated_programs_are_valid_tsx(source):
    source = source.replace("export ", "").replace("& {", "{")
    assert misplaced(lower(source, "tsx")) == []


@settings(max_examples=150, deadline=None)
@given(PROGRAMS, st.data())
def test_damaged_programs_raise_only_what_is_announced(source, data):
    cut = data.draw(st.integers(0, len(source)))
    piece = data.draw(st.text(alphabet="{}()[]`'\"<>/*&=.,;: \n\\@#$ax0😀\r\ud800", max_size=6))
    damaged = source[:cut] + piece + source[cut + len(piece) :]
    grammar = data.draw(st.sampled_from(["tsx", "javascript"]))
    assert in_its_time(lambda: _wrong(damaged, grammar)) == []


def _wrong(source, grammar):
    try:
        return misplaced(lower(source, grammar))
    except (DoesNotParseError, TooDeepError):
        return []
