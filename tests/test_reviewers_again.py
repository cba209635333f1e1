"""A unit that was read whole and is edited again: what is shown of it then, and when it is shown whole after all."""

from __future__ import annotations

import re

import pytest

from agentreview.llm import Failure
from agentreview.model import Confidence, Outcome
from reviewing import VIEWS, Backend, answer, claim, reading, suspect, verdicts, where

GUARDS = (
    "def members_only(user, orgs):\n    known = set()\n"
    + "".join(f"    known.add(user.place_{n})\n" for n in range(12))
    + "    return all(org in known for org in orgs)\n"
)
MODELS = """\
from django.db import models


class Patient(models.Model):
    org = models.ForeignKey("accounts.Org", on_delete=models.PROTECT)
    name = models.CharField(max_length=200)
"""
HEAD = """\
from django.contrib.auth.decorators import login_required
from django.http import HttpResponseForbidden, JsonResponse

from clinic.guards import members_only
from clinic.models import Patient


@login_required
def detail(request, pk):
    patient = Patient.objects.get(pk=pk, org=request.user.org)
"""
STEPS = "".join(f"    step_{n} = {n}\n" for n in range(30))
BEFORE = HEAD + STEPS + '    return JsonResponse({"count": 1})\n'
AFTER = BEFORE.replace(", org=request.user.org)", ")").replace(
    "    return JsonResponse",
    "    if not members_only(request.user, request.GET.getlist('org')):\n        return HttpResponseForbidden()\n    return JsonResponse",
)
EDITED = AFTER.replace('"count": 1', '"count": 2')
TREE = {"clinic/guards.py": GUARDS, "clinic/models.py": MODELS}
OLD, NEW, AGAIN = {**TREE, VIEWS: BEFORE}, {**TREE, VIEWS: AFTER}, {**TREE, VIEWS: EDITED}


def holds(text):
    return answer(text, [claim(where(text, "members_only(request.user"))])


def twice(tmp_path, again, first=None, new=None, **more):
    """Read a change, then it with an edit. Returns what came of the second reading, and both backends."""
    one = first or Backend()
    reading(OLD, NEW, one, store=str(tmp_path))
    said, _ = reading(OLD, new or AGAIN, again, store=str(tmp_path), **more)
    return said, one, again


def question(backend, number=0):
    return backend.requests[number].messages[0][1]


def test_what_was_read_whole_is_shown_in_part_and_the_edited_lines_always(tmp_path):
    said, first, again = twice(tmp_path, Backend())
    whole, part = question(first), question(again)
    assert said.runs[0].outcome is Outcome.COMPLETED
    assert "return all(org in known" in whole
    assert "read before" not in whole
    assert "detail (function; read before)" in part
    assert "(changed since then: 43)" in part
    assert where(part, '{"count": 2}')["line"] == 43
    assert where(part, "def detail(request, pk)")
    assert where(part, "Patient.objects.get(pk=pk)"), "what tools see in it decides"
    assert "members_only" in part
    assert "place_7" not in part
    assert "step_15" not in part
    assert len(part) < len(whole) / 2


def test_the_prefix_of_both_readings_is_the_same_byte_for_byte(tmp_path):
    _, first, again = twice(tmp_path, Backend())
    assert first.requests[0].system == again.requests[0].system


def test_the_same_edit_is_sent_as_the_same_bytes(tmp_path):
    _, _, one = twice(tmp_path / "1", Backend())
    _, _, two = twice(tmp_path / "2", Backend())
    assert one.requests == two.requests


def test_a_neighbour_that_changed_is_shown_where_it_did_and_the_unit_is_read_again(tmp_path):
    looser = {**NEW, "clinic/guards.py": GUARDS.replace("all(", "any(")}
    _, _, again = twice(tmp_path, Backend(), new=looser)
    text = next(t for t in (r.messages[0][1] for r in again.requests) if "clinic/views.py detail" in t)
    of_detail = text[text.index("clinic/views.py detail") :]
    assert where(of_detail, "return any(org in known")
    assert where(of_detail, "members_only(request.user"), "the line that calls it is shown with it"


def test_a_neighbour_that_is_a_unit_of_the_same_request_is_shown_once(tmp_path):
    new = {**NEW, "clinic/guards.py": GUARDS.replace("all(", "any(")}
    again = Backend()
    reading(OLD, new, Backend(), store=str(tmp_path))
    reading(OLD, {**new, "clinic/guards.py": GUARDS.replace("all(", "none(")}, again, store=str(tmp_path))
    text = question(again)
    assert text.count("return none(org in known") == 1
    assert re.search(r"-- shown as units of their own: called members_only \(U\d\)", text)
    assert re.search(r"-- shown as units of their own: .*caller detail \(U\d\)", text) or "-- caller:" not in text


def test_a_reader_that_needs_the_rest_gets_all_of_it_in_the_same_review(tmp_path):
    def careful(text):
        return answer(text, reviewed=[]) if "read before" in text else holds(text)

    said, _, again = twice(tmp_path, Backend(careful))
    assert [("read before" in r.messages[0][1], ".refute#" in r.id) for r in again.requests] == [
        (True, False), (False, False), (False, True),
    ]  # fmt: skip
    assert "return all(org in known" in question(again, 1)
    (found,) = [f for f in said.findings if f.rule == "review.access"]
    assert found.confidence is Confidence.HIGH
    assert said.runs[0].outcome is Outcome.COMPLETED


def test_a_suspect_that_needs_context_is_asked_about_with_everything_shown(tmp_path):
    def settles(text):
        if "read before" in text:
            return answer(text)
        return answer(text, suspects=[suspect("U1.S1", "cleared", where(text, "return all(org in known"))])

    said, _, again = twice(tmp_path, Backend(settles), first=Backend(settles))
    assert len([r for r in again.requests if ".refute#" not in r.id]) == 2
    assert any("cleared by reviewer:tenant-isolation at clinic/guards.py" in f.message for f in said.findings)


def test_a_suspect_that_could_not_be_settled_with_everything_shown_is_not_asked_about_twice(tmp_path):
    _, first, again = twice(tmp_path, Backend())
    assert "Settle the suspects U1.S1" in question(again)
    assert len(first.requests) == len(again.requests) == 1


def test_what_was_held_against_it_is_asked_about_again_and_still_blocks(tmp_path):
    def first(text):
        evidence = {**{k: v for k, v in where(text, "return all(org").items() if k != "unit"}, "shows": "[] passes"}
        return answer(text, [claim(where(text, "members_only(request.user"), evidence=[evidence])])

    again = Backend(holds)
    said, _, _ = twice(tmp_path, again, first=Backend(first))
    part = question(again)
    assert "review.access: anybody gets through an anonymous caller: GET /patients/7" in part
    assert where(part, "members_only(request.user")
    assert where(part, "return all(org in known"), "a line that was quoted is shown"
    (found,) = [f for f in said.findings if f.rule == "review.access"]
    assert found.confidence is Confidence.HIGH
    refuting = next(r for r in again.requests if ".refute#" in r.id).messages[0][1]
    assert "read before" not in refuting
    assert "place_7" in refuting, "the second reader is shown everything"


def test_what_a_later_reading_no_longer_says_is_gone_from_the_next_question(tmp_path):
    twice(tmp_path, Backend(), first=Backend(holds))
    third = Backend()
    reading(OLD, {**TREE, VIEWS: EDITED.replace('"count": 2', '"count": 3')}, third, store=str(tmp_path))
    assert "held against it" not in question(third)


def test_it_is_compared_with_the_last_time_it_was_read_whole(tmp_path):
    twice(tmp_path, Backend())
    third = Backend()
    reading(OLD, {**TREE, VIEWS: EDITED.replace("step_3 = 3", "step_3 = 33")}, third, store=str(tmp_path))
    assert "(changed since then: 14, 43)" in question(third)


@pytest.mark.parametrize("how", ["ci", "fresh", "another", "rules", "damaged", "nothing kept", "base", "gone"])
def test_it_is_shown_whole_where_nothing_can_be_left_to_an_earlier_reading(tmp_path, how):
    first, again = Backend(), Backend()
    store = "" if how == "nothing kept" else str(tmp_path)
    reading(OLD, NEW, first, store=store)
    more = {
        "ci": {"surface": "ci"},
        "fresh": {"fresh": True},
        "rules": {"facts": '[policies]\n"review.access" = "off"\n'},
    }
    new, old = dict(AGAIN), dict(OLD)
    if how == "another":
        new[VIEWS] = (
            HEAD + "".join(f"    other_{n} = request.GET[{n}]\n" for n in range(40)) + "    return JsonResponse({})\n"
        )
    if how == "base":
        old[VIEWS] = BEFORE.replace("org=request.user.org", "org__in=request.user.orgs")
    if how == "gone":
        new = {**NEW, "clinic/guards.py": GUARDS, "clinic/models.py": MODELS.replace("class Patient", "class Person")}
    if how == "damaged":
        for path in (p for p in tmp_path.rglob("*") if p.is_file() and b'"near"' in p.read_bytes()):
            path.write_bytes(path.read_bytes().replace(b'"said"', b'"sdia"'))
    reading(old, new, again, store=store, **more.get(how, {}))
    text = question(again)
    of_detail = text[text.index("clinic/views.py detail") :]
    assert "read before" not in of_detail
    assert "return all(org in known" in of_detail or how == "another"


def test_a_reading_that_failed_is_no_earlier_one(tmp_path):
    _, _, again = twice(tmp_path, Backend(), first=Backend(lambda _: Failure("timeout", "late. Again")))
    assert "read before" not in question(again)


def test_the_baseline_is_shown_the_same_every_time(tmp_path):
    first, again = Backend(), Backend()
    reading(OLD, NEW, first, store=str(tmp_path), names=("plain",))
    reading(OLD, AGAIN, again, store=str(tmp_path), names=("plain",))
    assert "read before" not in question(again)
    assert "step_29" in question(again)


def test_no_line_of_code_is_kept_for_the_comparison(tmp_path):
    reading(OLD, NEW, Backend(), store=str(tmp_path))
    kept = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b'"near"' in kept
    assert b"members_only(request" not in kept


def test_who_else_reviews_does_not_change_what_lies_around_a_unit(tmp_path):
    both = {
        "web/a.ts": "export function a() {\n  return b(1);\n}\n",
        "clinic/use.py": "from clinic.guards import members_only\n\n\ndef use(user):\n    return members_only(user, [1])\n",
    }
    other = {**both, "web/a.ts": "export function a() {\n  return b(2);\n}\n"}
    alone, together = Backend(), Backend()
    other["clinic/guards.py"] = GUARDS.replace("all(", "any(")
    reading({**OLD, **both}, {**NEW, **other}, alone, names=("tenant-isolation",))
    reading({**OLD, **both}, {**NEW, **other}, together, names=("frontend", "tenant-isolation"))
    mine = [r for r in together.requests if r.id.startswith("reviewer:tenant-isolation")]
    assert mine == alone.requests
    assert "-- caller: clinic/use.py use" in question(alone)


def test_a_second_reader_that_refutes_is_shown_the_whole_unit_too(tmp_path):
    again = Backend(holds, lambda text: verdicts(text, "refuted", "return all("))
    said, _, _ = twice(tmp_path, again)
    assert not [f for f in said.findings if f.rule == "review.access"]
