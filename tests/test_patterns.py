"""The pattern language of framework files: what a chain is, what a pattern matches, what is refused."""

from __future__ import annotations

import fnmatch
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.syntax import python
from agentreview.syntax.patterns import Index, chain, compile_pattern, compile_patterns, filing_names, glob, names
from agentreview.syntax.tree import Expr

NAME = st.sampled_from(["a", "b", "get", "objects", "Patient", "filter", "x1", "_y"])


def expression(source: str) -> Expr:
    """The expression of a one-line program."""
    value = python.lower(source).root.body[0].value
    assert value is not None
    return value


def matched(pattern: str, source: str) -> bool:
    links = chain(expression(source))
    return any(p.match(links)[0] for p in compile_patterns(pattern))


def captured(pattern: str, source: str) -> str:
    links = chain(expression(source))
    found, index, argument = compile_pattern(pattern).match(links)
    assert found
    link = links[index]
    return names(chain(link.args[0].value)) if argument and link.args else link.name


@pytest.mark.parametrize(
    ("source", "dotted"),
    [
        ("Patient.objects.filter(org=o).first()", "Patient.objects.filter.first"),
        ("request.GET['q']", "request.GET"),
        ("a()()", "a.()"),
        ("'x'.format(y)", "?.format"),
        ("(a or b).save()", "?.save"),
        ("(await session.scalar(q)).one()", "session.scalar.one"),
        ("d['k'].x[0]", "d.x"),
    ],
)
def test_a_chain_is_the_names_with_calls_and_subscripts_elided(source, dotted):
    assert names(chain(expression(source))) == dotted


@pytest.mark.parametrize(
    ("pattern", "source", "hit"),
    [
        ("logger.info", "logger.info('x')", True),
        ("logger.info", "self.logger.info('x')", False),
        ("**.logger.info", "self.logger.info('x')", True),
        ("**.logger.info", "logger.info('x')", True),
        ("logger.info|debug", "logger.debug('x')", True),
        ("logger.info|debug", "logger.warning('x')", False),
        ("$R.objects.**", "Patient.objects.filter(a=1).first()", True),
        ("$R.objects.**", "Patient.objects", True),
        ("$R.objects.**", "models.Patient.objects.get()", False),
        ("**.$R.objects.**.update", "m.Patient.objects.filter(a=1).update(b=2)", True),
        ("log_*_access", "log_phi_access()", True),
        ("log_*_access", "log_access()", False),
        ("*[aA]udit*.record", "myAudit.record()", True),
        ("*[aA]udit*.record", "myBudit.record()", False),
        ("get_object_or_404($R)", "get_object_or_404(Patient, pk=1)", True),
        ("get_object_or_404($R)", "get_object_or_404()", False),
        ("**.save", "save()", True),
        ("a.**.b|**.c", "x.y.c()", True),
        ("a.**.b|**.c", "a.q.b()", True),
    ],
)
def test_a_pattern_matches_the_whole_chain(pattern, source, hit):
    assert matched(pattern, source) is hit


@pytest.mark.parametrize(
    ("pattern", "source", "name"),
    [
        ("$R.objects.**", "Patient.objects.all()", "Patient"),
        ("get_object_or_404($R)", "get_object_or_404(models.Patient, pk=1)", "models.Patient"),
        ("**.select($R).**", "session.select(Note).where(a)", "Note"),
        ("**.$R.save", "self.repo.save()", "repo"),
    ],
)
def test_the_resource_is_captured_by_position_or_by_first_argument(pattern, source, name):
    assert captured(pattern, source) == name


@pytest.mark.parametrize("bad", ["", "**", "**.**", "a..b", "a.", "f(x", "f)x", "$", "a.$.b", "f(a, b)"])
def test_a_pattern_that_cannot_match_is_refused_with_the_segment(bad):
    with pytest.raises(ValueError, match=r"bad segment|at least one name"):
        compile_pattern(bad)


@given(st.lists(NAME, min_size=1, max_size=6))
def test_a_chain_of_names_matches_the_pattern_that_spells_it_and_no_shorter_one(parts):
    source = ".".join(parts) + "()"
    assert matched(".".join(parts), source)
    assert matched("**." + parts[-1], source)
    assert not matched(".".join([*parts, "z"]), source)


@given(
    st.lists(st.sampled_from(["**", "$R", "a", "b", "a|b", "*x*"]), min_size=1, max_size=5), st.lists(NAME, max_size=5)
)
def test_the_index_answers_as_the_pattern_itself(segments, parts):
    """Filing by name is a shortcut, never an opinion."""
    text = ".".join(segments)
    source = ".".join([*parts, "a"]) + "()"
    links = chain(expression(source))
    try:
        direct = any(p.match(links)[0] for p in compile_patterns(text))
    except ValueError:
        return
    index = Index()
    index.add(text, "it")
    assert bool(index.candidates(links)) is direct
    assert bool(index.candidates(links)) is direct, "the remembered answer is the same"
    if direct and filing_names(text):
        assert set(filing_names(text)) & {link.name for link in links}


@given(st.text("ab*|_", min_size=1, max_size=8), st.text("ab_", max_size=6))
def test_a_glob_means_what_fnmatch_means_for_each_alternative(pattern, name):
    wanted = any(fnmatch.fnmatchcase(name, p) for p in pattern.split("|") if p)
    assert glob(pattern).matches(name) is wanted


@given(st.text(min_size=1, max_size=12), st.text(max_size=12))
def test_a_glob_never_raises_and_is_no_regular_expression(pattern, name):
    glob(pattern).matches(name)
    if not set(pattern) & set("*|[") and pattern.strip() == pattern:
        assert glob(pattern).matches(name) is (name == pattern)


@given(st.text("ab*", min_size=4, max_size=14), st.text("ab", max_size=10))
def test_a_glob_with_many_stars_means_the_same(pattern, name):
    assert glob(pattern).matches(name) == fnmatch.fnmatchcase(name, pattern)


def test_a_glob_with_many_stars_is_answered_at_once():
    """A project may write one, and some are tried in the main process: nothing may be tried in every combination."""
    started = time.process_time()
    assert not glob("*a" * 60 + "*b").matches("a" * 2_000)
    assert glob("*a" * 60 + "*[bB]").matches("a" * 2_000 + "B")
    assert time.process_time() - started < 5


def test_special_characters_of_regular_expressions_stand_for_themselves():
    assert glob("a.b*c+").matches("a.bxc+")
    assert not glob("a.b*c+").matches("aXbxcc")


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12))
def test_many_wildcard_segments_do_not_explode(count):
    links = chain(expression("a" + ".a" * 24 + "()"))
    pattern = compile_pattern("**.a." * min(count, 4) + "z")
    assert pattern.match(links)[0] is False


def test_what_is_remembered_distinguishes_calls_with_and_without_arguments():
    index = Index()
    index.add("get($R)", "it")
    assert not index.candidates(chain(expression("get()")))
    assert index.candidates(chain(expression("get(x)")))
    assert re.fullmatch(r"\w+", "get")
