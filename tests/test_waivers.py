"""Waivers, in comments and in the file: one rule or finding, and a reason; everything else is said and does not count."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentreview.compute import compute
from agentreview.errors import ConfigError
from agentreview.model import Decision, FileChange, Snapshot, Status
from agentreview.waiverfile import WAIVERS_NAME, Record, edited, parse
from agentreview.waivers import Signature, accepted_records, approver, find
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


# -- the file


TODAY = "2026-11-23"
NAME = "Dana Reyes <dana@clinic.example>"
FINDING = next(f for f in judged(SOURCE).findings if f.rule == READ)


def entry(**values: str) -> Record:
    """A waiver of the finding in ``SOURCE``."""
    record = Record(
        fingerprint=FINDING.fingerprint, rule=READ, path="app/views.py", unit=FINDING.unit, person=NAME,
        reason="the gateway records every read", created=TODAY, expires="2027-02-21",
    )  # fmt: skip
    return replace(record, **values)


def text(*records: Record) -> str:
    result = ""
    for record in records:
        result = edited(result, record)
    return result


def review(
    waivers: str | None, *changes: FileChange, before: str | None = None, config: str = "", today: str = TODAY,
    accepted: dict[str, str] | None = None,
):  # fmt: skip
    """Judge a change in a tree with this waivers file, which was ``before`` until now ("": the same)."""
    held = {WAIVERS_NAME: waivers, "agentreview.toml": config or None}
    files = {name: content.encode() for name, content in held.items() if content is not None}
    if before != waivers:
        changes = (*changes, change(WAIVERS_NAME, before, waivers))
    found = tuple(changes) or (change("app/views.py", None, SOURCE),)
    snapshot = Snapshot(base="1" * 40, tree="2" * 40, changes=found)
    landed = before.encode() if before is not None else None
    return compute(snapshot, files, today=today, accepted=accepted, landed=landed)


VIEW = change("app/views.py", None, SOURCE)


def said(answer, words: str) -> list[str]:
    return [note for note in answer.notes if words in note]


def test_an_entry_of_the_file_covers_its_finding_and_says_whose_it_is():
    answer = review(text(entry()), VIEW, before=text(entry()))
    [mine] = [f for f in answer.findings if f.rule == READ]
    assert (mine.status, answer.decision) == (Status.WAIVED, Decision.PASS)
    assert mine.waiver is not None
    assert (mine.waiver.source, mine.waiver.person, mine.waiver.expires) == ("file", NAME, "2027-02-21")
    assert not mine.waiver.added_here
    assert not said(answer, "waiver")
    assert "conduct.waiver-added" not in {f.rule for f in answer.findings}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"rule": "quality.fail-open"}, "its rule is not that of the finding"),
        ({"path": "tests/test_views.py"}, "its path is not that of the finding"),
        ({"unit": "harmless"}, "its unit is not that of the finding"),
        ({"expires": "2026-11-22", "created": "2026-11-01"}, "it expired on 2026-11-22"),
        ({"expires": "2027-12-31"}, "at most 365 are allowed"),
        ({"created": "2027-01-01"}, "in the future"),
    ],
)
def test_an_entry_that_says_something_else_or_is_not_of_today_does_not_count_and_is_said(values, says):
    waivers = text(entry(**values))
    answer = review(waivers, VIEW, before=waivers)
    assert status(answer) is Status.BLOCKING
    [note] = said(answer, "does not count")
    assert says in note
    assert f"{WAIVERS_NAME}:4" in note


@pytest.mark.parametrize(("today", "counts"), [("2027-02-21", True), ("2027-02-22", False), ("2026-11-22", True), ("2026-11-21", False)])  # fmt: skip
def test_the_date_decides_and_the_verdict_says_until_when_it_holds(today, counts):
    waivers = text(entry())
    answer = review(waivers, VIEW, before=waivers, today=today)
    assert (status(answer) is Status.WAIVED) is counts
    holds = {"2027-02-22": "", "2026-11-21": "2026-11-22"}
    assert answer.until == holds.get(today, "2027-02-22" if today >= "2026-11-22" else "")


def test_a_waiver_of_something_else_does_not_date_the_verdict():
    waivers = text(entry(fingerprint="b2:" + "0" * 20, path="elsewhere.py"))
    assert review(waivers, VIEW, before=waivers).until == ""


def test_a_waiver_that_the_change_adds_covers_here_and_is_a_finding_that_a_person_settles():
    answer = review(text(entry()), VIEW, before=None)
    [granted] = [f for f in answer.findings if f.rule == "conduct.waiver-added"]
    assert (granted.status, granted.path, granted.start_line) == (Status.ADVISORY, WAIVERS_NAME, 4)
    assert READ in granted.message
    assert NAME in granted.message
    [mine] = [f for f in answer.findings if f.rule == READ]
    assert mine.status is Status.WAIVED
    assert mine.waiver is not None
    assert mine.waiver.added_here
    assert answer.decision is Decision.PASS
    assert not said(answer, "not confirmed")


def test_a_project_may_have_new_waivers_block():
    config = '[waivers]\non_new = "block"\n'
    assert review(text(entry()), VIEW, before=None, config=config).decision is Decision.BLOCK
    assert review(text(entry()), VIEW, before=text(entry()), config=config).decision is Decision.PASS


def test_the_change_cannot_loosen_what_its_own_waiver_is_judged_by():
    strict = '[waivers]\non_new = "block"\nmax_days = 30\n'
    loose = '[waivers]\non_new = "advise"\nmax_days = 365\n[policies]\n"conduct.waiver-added" = "off"\n'
    answer = review(text(entry()), VIEW, change("agentreview.toml", strict, loose), before=None, config=loose)
    blocking = {f.rule for f in answer.findings if f.status is Status.BLOCKING}
    assert blocking == {READ, "conduct.waiver-added", "conduct.gate-tampered"}
    assert said(answer, "at most 30 are allowed")


@pytest.mark.parametrize("source", ["file", "comment"])
def test_no_waiver_covers_the_finding_about_a_waiver(source):
    first = review(text(entry()), VIEW, before=None)
    [granted] = [f for f in first.findings if f.rule == "conduct.waiver-added"]
    if source == "file":
        again = entry(fingerprint=granted.fingerprint, rule=granted.rule, path=granted.path, unit=granted.unit)
        waivers = text(entry(), again)
    else:
        waivers = text(entry()).replace(
            "[[waiver]]", "# agentreview: ignore[conduct.waiver-added] because I say so\n[[waiver]]"
        )
    answer = review(waivers, VIEW, before=None)
    found = [f for f in answer.findings if f.rule == "conduct.waiver-added"]
    assert found
    assert not [f for f in found if f.status is Status.WAIVED]
    assert said(answer, "cannot be waived")


def test_a_new_comment_that_covers_a_finding_is_a_finding_too_and_an_example_in_a_text_is_none():
    answer = judged(with_comment(GOOD, above=True))
    [granted] = [f for f in answer.findings if f.rule == "conduct.waiver-added"]
    assert (granted.path, granted.start_line, granted.status) == ("app/views.py", 14, Status.ADVISORY)
    assert "the gateway records every access" in granted.message
    assert not verdict(change("docs/help.md", None, GOOD + "\n")).findings


def test_an_old_comment_that_now_covers_another_finding_is_one_too():
    """Whoever writes the code below an old comment gets a waiver that nobody gave."""
    before = SOURCE.replace(QUERY, f"    {GOOD}\n    patient = None\n")
    answer = judged(with_comment(GOOD, above=True), before=before)
    assert status(answer) is Status.WAIVED
    [granted] = [f for f in answer.findings if f.rule == "conduct.waiver-added"]
    assert "was there before" in granted.message


def test_a_waiver_whose_finding_is_gone_is_stale_and_one_that_still_has_it_is_not():
    waivers = text(entry())
    fixed = SOURCE.replace("    return", '    audit_log(actor=request.user, action="read", obj=patient)\n    return')
    [note] = said(review(waivers, change("app/views.py", SOURCE, fixed), before=waivers), "is stale")
    assert "the finding is gone" in note
    more = SOURCE + "\n\ndef other():\n    return 1\n"
    assert not said(review(waivers, change("app/views.py", SOURCE, more), before=waivers), "stale")
    assert not said(review(waivers, change("app/else.py", None, "x = 1\n"), before=waivers), "stale")


def test_a_comment_over_an_old_finding_in_code_that_stays_is_not_called_useless():
    old = with_comment(GOOD, above=True)
    answer = judged(old + "\n\ndef other():\n    return 1\n", before=old)
    assert not said(answer, "matches no finding")


def test_a_deleted_and_a_renamed_file_make_a_waiver_stale():
    waivers = text(entry())
    assert said(review(waivers, change("app/views.py", SOURCE, None), before=waivers), "the file is deleted")
    renamed = change("app/pages.py", SOURCE, SOURCE, old_path="app/views.py")
    assert said(review(waivers, renamed, before=waivers), "app/pages.py now")


def test_a_file_that_could_not_be_read_makes_no_waiver_stale():
    waivers = text(entry())
    broken = change("app/views.py", SOURCE, SOURCE + "def (:\n")
    assert not said(review(waivers, broken, before=waivers), "stale")


def test_malformed_entries_are_said_in_every_review():
    waivers = text(entry()).replace('reason = "the gateway records every read"\n', "")
    answer = review(waivers, VIEW, before=waivers)
    assert said(answer, "this waiver does not count: it has no reason")
    assert status(answer) is Status.BLOCKING


def test_a_file_that_is_none_stops_the_review():
    with pytest.raises(ConfigError, match=WAIVERS_NAME):
        review("<<<<<<< ours\n", VIEW, before="<<<<<<< ours\n")


# -- in CI, new ones count when somebody settled them


def test_where_waivers_have_to_be_settled_a_new_one_counts_only_when_it_was():
    waivers = text(entry())
    refused = review(waivers, VIEW, before=None, accepted={})
    assert status(refused) is Status.BLOCKING
    assert said(refused, "nobody of [waivers] approvers has signed")
    assert [f for f in refused.findings if f.rule == "conduct.waiver-added"]
    signed = review(waivers, VIEW, before=None, accepted={entry().id: "lee@clinic.example"})
    [mine] = [f for f in signed.findings if f.rule == READ]
    assert mine.waiver is not None
    assert (mine.status, mine.waiver.approved_by) == (Status.WAIVED, "lee@clinic.example")
    assert not [f for f in signed.findings if f.rule == "conduct.waiver-added"]
    on_base = review(waivers, VIEW, before=waivers, accepted={})
    assert status(on_base) is Status.WAIVED


def test_a_signature_for_one_reason_or_end_is_none_for_another():
    settled = {entry().id: "lee@clinic.example"}
    for values in ({"reason": "because"}, {"expires": "2027-03-01"}, {"person": "Eve"}):
        assert status(review(text(entry(**values)), VIEW, before=None, accepted=settled)) is Status.BLOCKING


def test_a_comment_counts_there_only_when_it_was_settled_or_was_there_with_its_finding():
    new = with_comment(GOOD, above=True)
    [comment] = find(change("app/views.py", None, new))
    assert status(review(None, change("app/views.py", None, new), accepted={})) is Status.BLOCKING
    assert status(review(None, change("app/views.py", None, new), accepted={comment.id: "lee"})) is Status.WAIVED
    before = SOURCE.replace(QUERY, f"    {GOOD}\n    patient = None\n")
    assert status(review(None, change("app/views.py", before, new), accepted={})) is Status.BLOCKING


APPROVERS = ("dana@clinic.example", "SHA256:" + "A" * 43, "0123456789ABCDEF0123456789ABCDEF01234567")


@pytest.mark.parametrize(
    ("signature", "who"),
    [
        (Signature(status="G", signer="dana@clinic.example", key="SHA256:x"), "dana@clinic.example"),
        (Signature(status="G", signer="Dana Reyes <Dana@Clinic.example>", key="x"), "dana@clinic.example"),
        (Signature(status="U", signer="dana@clinic.example"), ""),  # good, but nothing says whose key it is
        (Signature(status="U", key="SHA256:" + "A" * 43 + "="), "SHA256:" + "A" * 43),
        (Signature(status="G", key=APPROVERS[2]), APPROVERS[2]),
        (Signature(status="G", signer="eve@clinic.example", key="SHA256:y"), ""),
        (Signature(status="G", signer="dana@clinic.example <eve@clinic.example>"), ""),
        *((Signature(status=bad, signer="dana@clinic.example", key=APPROVERS[2]), "") for bad in "BXYREN"),
    ],
)
def test_only_a_good_signature_of_a_listed_person_or_key_settles_a_waiver(signature, who):
    assert approver(signature, APPROVERS) == who


def test_entries_are_accepted_by_the_commit_that_brought_exactly_them():
    good, bad = (Signature(status="G", signer=name) for name in ("dana@clinic.example", "eve@clinic.example"))
    after = parse(text(entry()).encode())
    assert accepted_records(parse(None), after, {entry().id: good}, APPROVERS) == {entry().id: "dana@clinic.example"}
    assert accepted_records(parse(None), after, {entry().id: bad}, APPROVERS) == {}
    assert accepted_records(parse(None), after, {entry(reason="other").id: good}, APPROVERS) == {}
    assert accepted_records(after, after, {entry().id: good}, APPROVERS) == {}
