"""Controls that are still there and hold less: each kind of loss, and the rewrites that are none."""

from __future__ import annotations

import pytest

from agentreview.policies.loosened import ACCESS, INPUT, losses
from agentreview.syntax.parse import NotReviewed, parse_source


def lost(before: str, after: str, path: str = "app/x.py") -> list[tuple[str, str]]:
    """(kind, text) of everything the units of the same name lost."""
    old, new = parse_source(path, before.encode()), parse_source(path, after.encode())
    assert not isinstance(old, NotReviewed)
    assert not isinstance(new, NotReviewed)
    now = {u.qualname: u for u in new.units}
    return [
        (loss.kind, loss.text)
        for unit in old.units
        if not unit.anonymous and unit.qualname in now
        for loss in losses(old, unit, new, now[unit.qualname])
    ]


REFUSAL = "def f(name, size):\n    if {}:\n        raise ValueError('no')\n    store(name)\n"


def test_an_alternative_of_a_refusal_that_is_gone_is_told():
    assert lost(REFUSAL.format("not name or '..' in name"), REFUSAL.format("not name")) == [(INPUT, "'..' in name")]


def test_a_refusal_that_asks_for_one_thing_more_is_told():
    found = lost(REFUSAL.format("not name"), REFUSAL.format("not name and size"))
    assert found == [(INPUT, "size is now needed as well")]


@pytest.mark.parametrize(
    "after",
    ["not name or '..' in name", "not name or '..' in name or size > 3", "not checked(name)", "name is None"],
    ids=["the same", "stricter", "rewritten", "rewritten without the rest"],
)
def test_a_refusal_that_is_as_strict_or_rewritten_is_not_told(after):
    assert lost(REFUSAL.format("not name or '..' in name"), REFUSAL.format(after)) == []


def test_a_condition_that_only_asks_whether_there_is_something_narrows_nothing():
    assert lost(REFUSAL.format("name.bad"), REFUSAL.format("name is not None and name.bad")) == []


def test_a_refusal_of_rows_of_another_parent_that_is_gone_is_told():
    before = "def f(task, comment):\n    if comment.task_id != task.id:\n        raise NotFound()\n    comment.save()\n"
    assert lost(before, "def f(task, comment):\n    comment.save()\n") == [(ACCESS, "comment.task_id != task.id")]


def test_a_permission_asked_about_nothing_in_particular_is_told():
    before, after = (
        f"def f(user, row):\n    if not user.has_perm('x'{arg}):\n        raise Denied\n" for arg in (", row", "")
    )
    assert lost(before, after) == [(ACCESS, "an argument of has_perm")]
    assert lost(after, before) == []


@pytest.mark.parametrize("after", ["Environment(loader=x)", "Environment(loader=x, autoescape=False)"])
def test_a_protecting_switch_that_is_off_is_told(after):
    assert lost("def f():\n    return Environment(loader=x, autoescape=True)\n", f"def f():\n    return {after}\n") == [
        (INPUT, "autoescape of Environment(…)")
    ]


def test_a_member_that_leaves_a_list_of_sensitive_names_is_told_and_one_that_joins_is_not():
    long, short = (f"def f(s):\n    s.dump(exclude={{{names}}})\n" for names in ("'A', 'B'", "'A'"))
    assert lost(long, short) == [(INPUT, "'B' in exclude")]
    assert lost(short, long) == []


def test_a_right_that_a_small_role_gains_is_told():
    found = lost("viewer_scopes = [READ]\n", "viewer_scopes = [READ, CONFIG_READ]\n")
    assert found == [(ACCESS, "viewer_scopes now also holds CONFIG_READ")]


def test_a_guard_taken_out_of_a_list_of_guards_is_told():
    before, after = (
        f"class C {{\n  @UseGuards({guards})\n  get() {{ return 1; }}\n}}\n"
        for guards in ("JwtGuard, RoleGuard", "JwtGuard")
    )
    assert (ACCESS, "RoleGuard in guards") in lost(before, after, "src/c.ts")


def test_a_query_without_the_condition_that_tied_it_to_its_parent_is_told():
    before = "def f(pk, project_id):\n    return Issue.objects.get(pk=pk, project_id=project_id)\n"
    assert lost(before, "def f(pk, project_id):\n    return Issue.objects.get(pk=pk)\n") == [
        (ACCESS, "project_id of the query")
    ]


def test_a_query_whose_condition_was_replaced_is_not_told():
    before = "def f(pk, a):\n    return Issue.objects.get(pk=pk, project_id=a)\n"
    assert lost(before, "def f(pk, a):\n    return Issue.objects.get(pk=pk, workspace_id=a)\n") == []


def test_a_query_condition_written_as_text_counts_too():
    before = 'package a\n\nfunc f(s *Session) { s.Where("id = ? AND task_id = ?", 1, 2).Get(x) }\n'
    after = 'package a\n\nfunc f(s *Session) { s.Where("id = ?", 1).Get(x) }\n'
    assert lost(before, after, "a.go") == [(ACCESS, "task_id of the query")]


def test_a_schema_that_no_longer_picks_its_fields_is_told():
    before = "export const a = client.schema(ZUser.pick({ name: true }));\n"
    found = lost(before, "export const a = client.schema(ZUser.partial());\n", "a.ts")
    assert found == [(ACCESS, "ZUser.pick(…)")]


def test_a_validator_with_a_refusal_less_is_told_unless_it_calls_something_new():
    before = "def validate_host(h):\n    if h.private:\n        raise ValueError('private')\n    if not h:\n        raise ValueError('x')\n"
    after = "def validate_host(h):\n    if not h:\n        raise ValueError('x')\n"
    assert (INPUT, "raise ValueError('private')") in lost(before, after)
    moved = "def validate_host(h):\n    refuse_private(h)\n    if not h:\n        raise ValueError('x')\n"
    assert lost(before, moved) == []
