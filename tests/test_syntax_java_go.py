"""Java and Go on the common tree: units, chains, strings, and files that are no such thing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.syntax.parse import NotReviewed, parse_source
from agentreview.syntax.patterns import chain, names
from agentreview.syntax.tree import Module, expressions, statements, subexpressions
from syntax_helpers import in_its_time, misplaced, outside, shown, unit

JAVA = """package a.b;

import org.springframework.web.bind.annotation.GetMapping;

@RestController
public class PatientController extends Base<Patient> implements Api {
  private final PatientRepository repo;

  @PreAuthorize("hasRole('NURSE')")
  @GetMapping("/{id}")
  public Patient show(@PathVariable Long id, @RequestBody Dto dto) throws IOException {
    Patient found = repo.findById(id).orElseThrow(() -> new NotFound("none"));
    log.info("patient " + found.getSsn() + " seen");
    if (found == null) {
      throw new AccessDeniedException("no");
    } else if (dto.open()) {
      return null;
    }
    try (Reader in = open()) { in.read(); } catch (IOException | Oops e) { log.error("x", e); } finally { close(); }
    return found;
  }
}
"""
GO = """package a

import (
	"fmt"
	mrand "math/rand"
)

type Store struct {
	Base
	Name string
}

func (s *Store) Get(ctx context.Context, id int64) (*Patient, error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	p := &models.Patient{ID: id, Name: fmt.Sprintf("n %s", s.Name)}
	log.Printf("got %s", p.Ssn)
	go func() { s.touch(id) }()
	return p, nil
}
"""
FIELDS = """package a

import "fmt"
import "net/http"

type Patient struct {
	MRN string `gorm:"uniqueIndex:org_mrn;not null" json:"mrn"`
	Ssn string `json:"ssn"`
}

func (s *Store) f(p *models.Patient, r *http.Request, m map[string][]Visit) (*models.Patient, error) {
	a := p.DateOfBirth
	b := p.MRNHash
	c := r.URL.Query()
	d := http.StatusForbidden
	e := fmt.Errorf("no %s", p.SSN)
	logger.Errorf("no %s", p.SSN)
	g := gin.H{"ssn": p.SSN}
	go s.touch(p.ID)
	h := New[models.Patient](db)
	return nil, nil
}

func g() {}
"""


def module(path: str, source: str) -> Module:
    found = parse_source(path, source.encode())
    assert not isinstance(found, NotReviewed), found
    return found


def calls(found: Module, unit: str) -> list[str]:
    here = next(u for u in found.units if u.qualname == unit)
    every = [sub for s in statements(here.body) for e in expressions(s) for sub in subexpressions(e)]
    return [names(chain(sub)) for sub in every if sub.kind == "call"]


def test_java_units_have_their_annotations_bases_and_parameters():
    found = module("src/PatientController.java", JAVA)
    cls = next(u for u in found.units if u.kind == "class")
    show = next(u for u in found.units if u.name == "show")
    assert [chain(b)[0].name for b in cls.bases] == ["Base", "Api"]
    assert [chain(d)[-1].name for d in show.decorators] == ["PreAuthorize", "GetMapping"]
    assert [(p.name, chain(p.decorators[0])[-1].name) for p in show.params] == [
        ("id", "PathVariable"),
        ("dto", "RequestBody"),
    ]
    assert found.imports["GetMapping"] == "org.springframework.web.bind.annotation.GetMapping"


def test_java_calls_are_chains_and_getters_are_fields():
    found = module("src/PatientController.java", JAVA)
    said = calls(found, "PatientController.show")
    assert "repo.findById.orElseThrow" in said
    assert "log.info" in said
    show = next(u for u in found.units if u.name == "show")
    kinds = [s.kind for s in statements(show.body)]
    assert {"assign", "if", "raise", "return", "try", "with"} <= set(kinds)
    every = [sub for s in statements(show.body) for e in expressions(s) for sub in subexpressions(e)]
    assert any(sub.kind == "attr" and sub.name == "ssn" for sub in every)


def test_go_methods_belong_to_their_type_and_the_receiver_is_self():
    found = module("store.go", GO)
    get = next(u for u in found.units if u.name == "Get")
    assert get.qualname == "Store.Get"
    assert [p.name for p in get.params] == ["ctx", "id"]
    assert "self.check" in calls(found, "Store.Get")
    assert found.imports["mrand"] == "math/rand"


def test_go_struct_literals_are_calls_with_keywords_and_sprintf_is_a_string_with_holes():
    found = module("store.go", GO)
    get = next(u for u in found.units if u.name == "Get")
    every = [sub for s in statements(get.body) for e in expressions(s) for sub in subexpressions(e)]
    made = next(sub for sub in every if sub.kind == "call" and any(a.name == "id" for a in sub.args))
    assert made.name == "literal"
    assert names(chain(made)) == "models.Patient"
    assert [a.name for a in made.args] == ["id", "name"]
    assert made.args[1].value.kind == "fstr"
    assert made.args[1].value.name == "n {}"


def test_go_fields_read_like_columns_and_functions_and_packages_stay():
    found = module("a.go", FIELDS)
    every = [shown(s.value) for s in unit(found, "f").body if s.value is not None]
    assert every == [
        "p.dateOfBirth",
        "p.mrnHash",
        "r.url.Query()",
        "http.StatusForbidden",
        "fmt.Errorf(f'no {}'[p.ssn])",
        "logger.Errorf('no %s',p.ssn)",
        "{ssn=p.ssn}",
        "go(self.touch(p.id))",
        "New(db)",
        "[nil,nil]",
    ]
    assert misplaced(found) == []


def test_go_types_say_what_they_hold_and_where_it_comes_from():
    found = module("a.go", FIELDS)
    f = unit(found, "f")
    assert [shown(p.annotation) for p in f.params] == ["models.Patient", "http.Request", "Visit"]
    assert shown(f.returns) == "[models.Patient,error]"
    assert unit(found, "g").returns is None


def test_a_column_tag_of_go_stands_in_front_of_its_field():
    found = module("a.go", FIELDS)
    body = [shown(s.value) for s in unit(found, "Patient").body]
    assert body == ["gorm(unique='org_mrn',not_null=true)", "string", "string"]
    assert [t.name for s in unit(found, "Patient").body for t in s.targets] == ["mrn", "ssn"]


def test_a_go_method_of_a_type_in_another_file_is_named_by_it():
    found = module("a.go", "package a\nfunc (s *Server) show() { s.check() }\n")
    assert [(u.name, u.qualname) for u in found.units[1:]] == [("show", "Server.show")]


@pytest.mark.parametrize(("path", "source"), [("A.java", "class A { void f( { }"), ("a.go", "package a\nfunc f( {\n")])
def test_a_file_that_does_not_parse_is_said(path, source):
    found = parse_source(path, source.encode())
    assert isinstance(found, NotReviewed)
    assert found.reason == "does not parse"


def test_deep_nesting_is_said_and_long_chains_are_read():
    deep = "class A { int f() { return " + "(1 + " * 3000 + "1" + ")" * 3000 + "; } }"
    found = parse_source("A.java", deep.encode())
    assert isinstance(found, NotReviewed)
    assert found.reason == "too deep"
    long = "class A { String f() { return " + " + ".join(['"a"'] * 3000) + "; } }"
    assert not isinstance(parse_source("A.java", long.encode()), NotReviewed)
    chained = "package a\nvar x = b" + ".c()" * 2000 + "\n"
    assert not isinstance(parse_source("a.go", chained.encode()), NotReviewed)


@pytest.mark.parametrize("empty", ["``", '""'])
def test_a_file_with_an_empty_string_of_go_is_read(empty):
    source = f"package a\n\nfunc f() {{\n\tcall({empty})\n}}\n"
    assert not isinstance(parse_source("a.go", source.encode()), NotReviewed)
    broken = parse_source("a.go", source.replace(empty, "`").encode())
    assert isinstance(broken, NotReviewed)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_mutation_of_a_file_crashes_and_spans_lie_inside(data):
    path, source = data.draw(st.sampled_from([("A.java", JAVA), ("a.go", GO)]))
    start = data.draw(st.integers(0, len(source)))
    size = data.draw(st.integers(0, 40))
    new = data.draw(st.sampled_from(["", "{", "}", "(", '"', "if x {", "é\u202e", "\r\n", "/*"]))
    mutated = source[:start] + new + source[start + size :]
    assert in_its_time(lambda: outside(path, mutated)) == []
