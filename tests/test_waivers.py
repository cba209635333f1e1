"""Inline waivers: one rule, a reason, on the finding's lines or the one above; everything else is said and does not count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentreview.model import Decision, Status
from agentreview.waivers import find
from engine import IMPORTS, READ, UNAUDITED, change, verdict

SOURCE = IMPORTS + UNAUDITED
QUERY = "    patient = Patient.objects.get(pk=pk, org=request.user.org)\n"


def with_comment(comment: str, *, above: bool = False) -> str:
    return SOURCE.replace(QUERY, f"    {comment}\n{QUERY}" if above else QUERY.rstrip() + f"  {comment}\n")


def judged(source: str, before: str | None = None):
    return verdict(change("app/views.py", before, source))


def status(answer, rule: str = READ) -> Status:
    return next(f.status for f in answer.findings if f.rule == rule)


GOOD = f"# agentreview: ignore[{READ}] the gateway records every access"


@pytest.mark.parametrize("above", [True, False])
def test_a_waiver_with_rule_and_reason_counts_on_the_line_and_above_it(above):
    answer = judged(with_comment(GOOD, above=above))
    assert status(answer) is Status.WAIVED
    assert answer.decision is Decision.PASS
    assert not [n for n in answer.notes if "waiver" in n]


@pytest.mark.parametrize(
    "comment",
    [
        "# agentreview: ignore",
        "# agentreview: ignore because I say so",
        "# agentreview: ignore[]",
        "# agentreview: ignore[*] reason enough",
        "# agentreview: ignore[hipaa] reason enough",
        f"# agentreview: ignore[{READ}]",
        f"# agentreview: ignore[{READ}] x",
        f"# agentreview: ignore[{READ},access.endpoint-auth] reason enough",
        "# agentreview: ignore[hipaa.*] reason enough",
    ],
)
def test_blanket_and_silent_forms_do_not_count_and_are_said(comment):
    answer = judged(with_comment(comment))
    assert status(answer) is Status.BLOCKING
    assert answer.decision is Decision.BLOCK
    assert [n for n in answer.notes if "does not count" in n and "app/views.py:" in n]


@pytest.mark.parametrize(
    "comment",
    [
        "# agentreview: ignore[tenancy.query-scope] reason enough",
        f"# Agentreview: ignore[{READ}] reason enough",
        "# noqa",
    ],
)
def test_another_rule_or_another_word_does_not_count(comment):
    assert status(judged(with_comment(comment))) is Status.BLOCKING


def test_two_lines_away_is_too_far():
    source = SOURCE.replace("@login_required\n", f"{GOOD}\n@login_required\n")
    answer = judged(source)
    assert status(answer) is Status.BLOCKING
    assert [n for n in answer.notes if "matches no finding" in n]


def test_a_waiver_that_the_change_adds_is_marked_and_an_old_one_is_not():
    source = with_comment(GOOD)
    [mine] = [f for f in judged(source).findings if f.rule == READ]
    assert mine.waiver is not None
    assert mine.waiver.added_here
    [old] = [f for f in judged(source + "\nX = 1\n", before=source).findings if f.rule == READ] or [None]
    if old is not None and old.waiver is not None:
        assert not old.waiver.added_here


def test_a_waiver_of_one_file_does_not_reach_another():
    answer = verdict(change("app/a.py", None, GOOD + "\n"), change("app/views.py", None, SOURCE))
    assert status(answer) is Status.BLOCKING


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("/* agentreview: ignore[a.b] because of that */", "because of that"),
        ("<!-- agentreview: ignore[a.b] because of that -->", "because of that"),
        ("{# agentreview: ignore[a.b] because of that #}", "because of that"),
        ("// agentreview:ignore[a.b]: because of that", "because of that"),
        ("# agentreview: ignore[a.b] because of that\r", "because of that"),
    ],
)
def test_the_comment_forms_of_other_languages_read_alike(line, reason):
    [waiver] = find(change("a.ts", None, line + "\n"))
    assert (waiver.rule, waiver.reason, waiver.problem) == ("a.b", reason, "")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_counted_as_git_counts_them(end):
    text = end.join(["x = 1 \u2028 y", "\x0cz = 2", "a\x85b", GOOD, ""])
    [waiver] = find(change("a.py", None, text))
    assert waiver.line == 4


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(data):
    for waiver in find(change("a.py", None, b"agentreview: ignore[a.b] " + data)):
        assert len(waiver.reason) <= 200
        assert "\n" not in waiver.reason


def test_a_waiver_cannot_hide_what_the_gate_says_about_itself_without_being_seen():
    source = "#!/bin/sh\ngit commit --no-verify # agentreview: ignore[conduct.gate-tampered] release script\n"
    answer = verdict(change("ship.sh", None, source))
    [finding] = [f for f in answer.findings if f.rule == "conduct.gate-tampered"]
    assert finding.status is Status.WAIVED
    assert finding.waiver is not None
    assert finding.waiver.added_here
