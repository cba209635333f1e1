"""Ruby on the common tree: units and what is public, chains and fields, strings and heredocs, filters, Rails by name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.syntax.parse import NotReviewed, parse_source
from agentreview.syntax.patterns import chain, names
from agentreview.syntax.reach import in_reach, own_and_helpers
from agentreview.syntax.tree import Expr, Module, Unit, expressions, statements, subexpressions
from engine import analysis, change, introduced, unit
from syntax_helpers import in_its_time, outside

CONTROLLER = """\
module Api
  class V1::PatientsController < BaseController
    include Closed
    before_action :authenticate_user!, except: [:index]
    before_action :set_patient, only: %i[show update]
    skip_before_action :set_locale

    def show
      render json: { id: @patient.id, name: }, status: :ok unless stale?(@patient)
    end

    def index = render(json: Patient.all)

    def helper(x) = x

    class << self
      def build; end
    end

    def self.import(rows); end

    private

    def set_patient
      @patient ||= current_clinic.patients.find(params[:id])
    end
  end
end
"""


def module(source: str, path: str = "app/x.rb") -> Module:
    found = parse_source(path, source.encode())
    assert not isinstance(found, NotReviewed), found
    return found


def inside(found: Module, name: str = "<module>") -> list[Expr]:
    here = next(u for u in found.units if u.qualname == name)
    return [sub for s in statements(here.body) for e in expressions(s) for sub in subexpressions(e)]


def calls(source: str) -> list[str]:
    return [names(chain(sub)) for sub in inside(module(source)) if sub.kind == "call"]


def kinds(source: str) -> list[str]:
    return [s.kind for s in statements(module(source).root.body)]


def by_name(found: Module, name: str) -> Unit:
    return next(u for u in found.units if u.qualname == name)


def test_modules_classes_and_methods_are_units_with_dotted_names_bases_and_mixins():
    found = module(CONTROLLER)
    cls = by_name(found, "Api.V1.PatientsController")
    assert (cls.kind, cls.name) == ("class", "PatientsController")
    assert [names(chain(b)) for b in cls.bases] == ["BaseController", "Closed"]
    assert {u.name for u in cls.children} == {"show", "index", "helper", "build", "import", "set_patient"}
    assert found.imports == {"BaseController": "BaseController", "Closed": "Closed"}


def test_only_public_methods_of_objects_are_exported():
    cls = by_name(module(CONTROLLER), "Api.V1.PatientsController")
    assert {u.name for u in cls.children if u.exported} == {"show", "index", "helper"}


@pytest.mark.parametrize(
    "body",
    [
        "private def x; end",
        "def x; end\nprivate :x",
        "private\n\ndef x; end",
        "protected\ndef x; end",
        "before_action :x\ndef x; end",
    ],
)
def test_a_method_that_no_request_can_name_is_not_public(body):
    found = module(f"class A < B\n{body}\ndef y; end\nend\n")
    assert not by_name(found, "A.x").exported


def test_a_word_behind_private_is_public_again_after_public():
    found = module("class A\nprivate\ndef x; end\npublic\ndef y; end\nend\n")
    assert [by_name(found, f"A.{n}").exported for n in "xy"] == [False, True]


def test_a_filter_is_a_decorator_of_the_methods_it_runs_around():
    cls = by_name(module(CONTROLLER), "Api.V1.PatientsController")
    around = {u.name: [i.name for d in u.decorators for i in d.items] for u in cls.children}
    assert around["show"] == ["authenticate_user!", "set_patient"]
    assert around["index"] == []


def test_a_field_is_no_call_and_an_action_is_one():
    source = "x = patient.name\npatient.destroy\ny = patient.destroy!\nz = patient.active?\nw = patient.clinic.name\n"
    assert calls(source) == ["patient.destroy", "patient.destroy!", "patient.active?"]
    assert any(sub.kind == "attr" and sub.name == "name" for sub in inside(module(source)))


def test_a_bare_word_is_a_variable_once_it_was_assigned_and_a_call_before():
    assert calls("login\nlogin = 1\nlogin\n") == ["login"]


def test_instance_variables_are_attributes_of_self_and_new_is_a_call_of_the_class():
    found = inside(module("@patient = Clinic::Patient.new(name: 'x')\n"))
    assert names(chain(found[0])) == "self.patient"
    made = next(sub for sub in found if sub.kind == "call")
    assert names(chain(made)) == "Clinic.Patient"
    assert [a.name for a in made.args] == ["name"]


@pytest.mark.parametrize(
    ("source", "kind", "text", "holes"),
    [
        ("'plain'", "str", "plain", 0),
        (":symbol", "str", "symbol", 0),
        ('"a #{b} c"', "fstr", "a {} c", 1),
        ('"a" "b#{c}"', "fstr", "ab{}", 1),
        ("%q(x)", "str", "x", 0),
        (':"x#{y}"', "fstr", "x{}", 1),
        ("<<~SQL\n  SELECT #{x}\nSQL", "fstr", "\n  SELECT {}\n", 1),
        ("<<~'SQL'.squish\n  SELECT\nSQL", "str", "\n  SELECT\n", 0),
        ("`ls #{x}`.dup", "call", "", 0),
        ('"a\\n\\"b"', "str", 'a\n"b', 0),
    ],
)
def test_strings_symbols_and_heredocs_keep_their_text_and_their_holes(source, kind, text, holes):
    stmt = module(f"x = {source}\n").root.body[0]
    assert stmt.value is not None
    assert (stmt.value.kind, stmt.value.name, len(stmt.value.items)) == (kind, text, holes)


def test_two_heredocs_on_one_line_keep_apart():
    call = module("f(<<~A, <<~B)\n  one\nA\n  two\nB\n").root.body[0].value
    assert call is not None
    assert [a.value.name.strip() for a in call.args] == ["one", "two"]


def test_arguments_have_keys_shorthand_splats_and_lists_of_words():
    call = module("f(a, b: 1, 'c d': 2, :e => 3, g:, **h, &i)\n").root.body[0].value
    assert call is not None
    assert [(a.name, a.spread) for a in call.args] == [
        (None, False), ("b", False), ("c d", False), ("e", False), ("g", False), (None, True), ("&", False),
    ]  # fmt: skip
    words = module("x = %i[a b] + %w[c]\n").root.body[0].value
    assert words is not None
    assert [[i.name for i in part.items] for part in words.items] == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x if y", ["if", "expr"]),
        ("x unless y", ["if", "expr"]),
        ("return x unless y", ["if", "return"]),
        ("x or return y", ["if", "return"]),
        ("raise X unless y", ["if", "raise"]),
        ("unless a then b else c end", ["if", "expr", "expr"]),
        ("if a\n b\nelsif c\n d\nelse\n e\nend", ["if", "expr", "if", "expr", "expr"]),
        ("x rescue nil", ["try", "expr", "expr"]),
        ("begin\n x\nrescue A, B => e\n y\nelse\n z\nensure\n w\nend", ["try", "expr", "expr", "expr", "expr"]),
        ("case x\nwhen 1 then y\nelse z\nend", ["other", "block", "expr", "expr", "block", "expr"]),
        ("while x do y end", ["while", "expr"]),
        ("x = begin\n a\nrescue\n b\nend", ["try", "assign", "assign"]),
        ("x = if a then b else c end", ["if", "assign", "assign"]),
        ("a, b = 1, 2", ["assign", "assign"]),
        ("require 'x'", ["import"]),
    ],
)
def test_statements_have_the_common_kinds(source, said):
    assert kinds(source + "\n") == said


def test_a_raise_is_a_call_of_its_class_with_the_message():
    raised = module('raise Denied, "no #{x}" if y\n').root.body[0].body[0].value
    assert raised is not None
    assert names(chain(raised)) == "Denied"
    assert raised.args[0].value.kind == "fstr"


def test_a_literal_that_a_method_ends_with_is_what_it_returns():
    found = module("def a\n  x\n  true\nrescue E\n  nil\nend\ndef b\n  x\nend\n")
    assert [s.kind for s in statements(by_name(found, "a").body)] == ["try", "expr", "return", "return"]
    assert [s.kind for s in statements(by_name(found, "b").body)] == ["expr"]


def test_a_block_in_a_method_is_part_of_the_method_and_a_loop_binds_its_variable():
    found = module("def a\n  rows.each do |row|\n    row.save\n  end\n  Row.transaction { go! }\nend\n")
    here = by_name(found, "a")
    assert [s.kind for s in statements(here.body)] == ["expr", "for", "expr", "with", "expr"]
    loop = here.body[1]
    assert [t.name for t in loop.targets] == ["row"]
    assert loop.value is not None
    assert names(chain(loop.value)) == "rows"


def test_shorthand_forms_read_as_what_they_mean():
    source = "x = rows.map(&:ssn)\nrows.each(&:destroy)\ny = row.send(:ssn)\nz = params[:type].constantize\nw = row.try(:name)\n"
    assert calls(source) == ["rows.destroy", "constantize"]
    assert [sub.name for sub in inside(module(source)) if sub.kind == "attr"] == ["ssn", "destroy", "ssn", "name"]


def test_examples_of_tests_are_units_and_a_skipped_one_keeps_its_name():
    source = 'RSpec.describe Patient do\n  {} "hides" do\n    expect(x).to eq(1)\n  end\nend\n'
    units = [[u.qualname for u in module(source.format(word)).units] for word in ("it", "xit", "fit")]
    assert units[0] == units[1] == units[2]
    assert units[0][-1] == "describe('Patient').it('hides')"


def test_an_anonymous_block_that_is_handed_on_parses():
    assert not isinstance(parse_source("a.rb", b"def a(x, &)\n  tag.div x, &\nend\n"), NotReviewed)


@pytest.mark.parametrize(
    "source", ["class A\n  def x(\nend\n", "def a\n  foo(\nend", "x = [1,", "class X < \nend\n", "foo do |a\nend"]
)
def test_a_file_that_does_not_parse_is_said(source):
    found = parse_source("a.rb", source.encode())
    assert isinstance(found, NotReviewed)
    assert found.reason == "does not parse"


def test_deep_nesting_is_said_and_long_chains_are_read():
    deep = parse_source("a.rb", ("x = " + "[" * 500 + "]" * 500 + "\n").encode())
    assert isinstance(deep, NotReviewed)
    assert deep.reason == "too deep"
    for long in ("x = a" + ".b(1)" * 2000, "x = " + " + ".join(["'a'"] * 2000), "if a\n" + "elsif b\n" * 800 + "end"):
        assert not isinstance(parse_source("a.rb", long.encode()), NotReviewed)


def test_other_ruby_files_are_read_and_a_generated_schema_is_not():
    for path in ("Gemfile", "Rakefile", "lib/tasks/x.rake", "config.ru", "app/views/x.json.jbuilder"):
        assert isinstance(parse_source(path, b"puts 1\n"), Module)
    header = "# This file is auto-generated from the current state of the database.\nActiveRecord::Schema.define do\n  create_table 'x'\nend\n"
    assert introduced(change("db/schema.rb", header, header + "puts patient.ssn\n")) == []


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_mutation_of_a_file_crashes_and_spans_lie_inside(data):
    start = data.draw(st.integers(0, len(CONTROLLER)))
    size = data.draw(st.integers(0, 40))
    new = data.draw(
        st.sampled_from(
            [
                "",
                "end",
                "do |x|",
                "(",
                '"',
                '"#{',
                "<<~A\n",
                "unless x",
                "é\u202e",
                "\r\n",
                "=begin\n",
                "%w[",
                ":",
                "->",
            ]
        )
    )
    mutated = CONTROLLER[:start] + new + CONTROLLER[start + size :]
    assert in_its_time(lambda: outside("app/controllers/x_controller.rb", mutated)) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*"ab1 \n.:@(){}[]|&=#\"'%<~!?,;", "def ", "end\n", "do ", "if ", "class A", "x.y ", "rescue\n"]
        ),
        max_size=60,
    )
)
def test_random_text_is_read_or_said_to_be_unreadable(pieces):
    text = "".join(pieces)
    assert in_its_time(lambda: outside("a.rb", text)) == []


# -- facts -----------------------------------------------------------------------------------------------------------


def test_actions_are_the_public_methods_without_parameters_of_a_controller():
    found = analysis(CONTROLLER, "app/controllers/api/v1/patients_controller.rb")
    assert {e.unit.name for e in found.endpoints.values()} == {"show", "index"}
    base = "class ApplicationController < ActionController::Base\n  def current_user; end\nend\n"
    assert not analysis(base, "app/controllers/application_controller.rb").endpoints


def test_what_a_filter_method_does_holds_for_the_actions_it_runs_around():
    found = analysis(CONTROLLER, "app/controllers/api/v1/patients_controller.rb")
    show, index = (unit(found, f"Api.V1.PatientsController.{n}") for n in ("show", "index"))
    assert [(f.concept, f.resource, f.keyed) for f in own_and_helpers(found, show) if f.concept == "read"] == [
        ("read", "Patient", True)
    ]
    assert any(f.concept == "authn" for f in in_reach(found, show))
    assert not any(f.concept == "authn" for f in in_reach(found, index))
    assert any(f.concept == "opening" for f in in_reach(found, index)), "left out by name"


@pytest.mark.parametrize(
    ("query", "resource", "scoped", "owned"),
    [
        ("Patient.find(params[:id])", "Patient", False, False),
        ("Clinic::Patient.active.find(params[:id])", "Patient", False, False),
        ("Patient.find_by(id: params[:id], clinic_id: x)", "Patient", True, False),
        ("current_clinic.patients.find(params[:id])", "Patient", True, True),
        ("current_user.patients.recent.find(params[:id])", "Patient", False, True),
        ("@ward.care_plans.find(params[:id])", "CarePlan", False, True),
        ("Patient.where('clinic_id = ?', x).find(params[:id])", "Patient", True, False),
    ],
)
def test_a_query_says_what_it_is_about_and_whose_rows_it_may_see(query, resource, scoped, owned):
    found = analysis(
        f"class A < ApplicationController\n  def show\n    @x = {query}\n  end\nend\n", "app/controllers/a.rb"
    )
    fact = next(f for f in found.own(unit(found, "A.show")).facts if f.concept == "read")
    assert (fact.resource, fact.keyed, fact.scoped, fact.owned) == (resource, True, scoped, owned)


@pytest.mark.parametrize(
    ("code", "tainted"),
    [
        ("Patient.where(\"name = '#{params[:q]}'\")", True),
        ('Patient.where("name = ?", "%#{params[:q]}%")', False),
        ('Patient.where("id = #{params[:id].to_i}")', False),
        ("Patient.where(status: params[:status])", None),
        ('Patient.order("#{params[:sort]} desc")', True),
        ("Patient.order(Arel.sql(params[:sort]))", True),
        ('connection.execute("SELECT 1 FROM x WHERE y = #{connection.quote(params[:y])}")', False),
        ("connection.execute(<<~SQL)\n      SELECT 1 FROM x WHERE y = #{params[:y]}\n    SQL", True),
    ],
)
def test_sql_text_is_tainted_by_what_is_spliced_into_it_and_not_by_what_is_bound(code, tainted):
    found = analysis(f"class A < ApplicationController\n  def show\n    {code}\n  end\nend\n", "app/controllers/a.rb")
    said = [f.tainted for f in found.own(unit(found, "A.show")).facts if f.concept == "raw-sql"]
    assert (any(said) if said else None) == tainted or (tainted is False and not any(said))
