"""The waivers file: one finding, a reason, a name and an end an entry; whatever else does not count, and is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.errors import ConfigError, UsageError
from agentreview.waiverfile import KEYS, WAIVERS_NAME, Record, added, edited, parse

RECORD = Record(
    fingerprint="b2:9f3c21ab44d0e17755aa",
    rule="hipaa.audit-phi-read",
    path="clinic/views.py",
    unit="patient_detail",
    reason="the gateway records every read",
    person="Dana Reyes <dana@clinic.example>",
    created="2026-11-23",
    expires="2027-02-21",
)
TEXT = edited("", RECORD)


def other(number: int, **values: str) -> Record:
    """Another waiver, with its place in the order."""
    return replace(RECORD, fingerprint=f"b2:{number:020x}", **values)


def plain(text: str) -> list[Record]:
    return [replace(record, line=0) for record in parse(text.encode()).records]


def test_what_is_written_is_what_is_read() -> None:
    assert plain(TEXT) == [RECORD]
    assert parse(TEXT.encode()).problems == ()
    assert TEXT.split("\n")[parse(TEXT.encode()).records[0].line - 1] == "[[waiver]]"


def test_no_file_and_an_empty_one_waive_nothing() -> None:
    assert parse(None) == parse(b"") == parse(b"\n \n")
    assert parse(b"# nothing yet\n").records == ()


@pytest.mark.parametrize("key", KEYS)
def test_an_entry_without_any_one_of_its_keys_does_not_count(key: str) -> None:
    lines = [line for line in TEXT.split("\n") if not line.startswith(f"{key} =")]
    found = parse("\n".join(lines).encode())
    assert found.records == ()
    assert found.problems == ((4, f"it has no {key}"),)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('fingerprint = "b2:9f3c21ab"', "whole fingerprint"),
        ('fingerprint = "*"', "whole fingerprint"),
        ('fingerprint = ["b2:9f3c21ab44d0e17755aa"]', "one line of text"),
        ('rule = "hipaa"', "one policy"),
        ('rule = "hipaa.*"', "one policy"),
        ('rule = "*"', "one policy"),
        ('path = ""', "no file"),
        ('reason = ""', "no reason"),
        ('reason = "  x "', "no reason"),
        ('reason = "a\\nb"', "one line of text"),
        ('reason = "a\\u202Eb good"', "one line of text"),
        ('person = " "', "no person"),
        ("expires = 2026-11-22", "before it was made"),
        ('expires = "2027-02-21"', "is no date"),
        ("expires = 2027-02-21T00:00:00Z", "is no date"),
        ("expires = 0", "is no date"),
        ('ticket = "SEC-1"', "unknown key 'ticket'"),
    ],
)
def test_blanket_and_malformed_entries_do_not_count_and_are_said(line: str, says: str) -> None:
    key = line.split(" ", maxsplit=1)[0]
    lines = [line if old.startswith(f"{key} =") else old for old in TEXT.rstrip("\n").split("\n")]
    found = parse("\n".join(lines if line in lines else [*lines, line]).encode())
    assert found.records == ()
    assert says in found.problems[0][1]


def test_the_same_finding_twice_counts_once_and_is_said() -> None:
    again = TEXT + "\n" + TEXT.partition("[[waiver]]")[1] + TEXT.partition("[[waiver]]")[2].replace("2027", "2028")
    found = parse(again.encode())
    assert [record.expires for record in found.records] == ["2027-02-21"]
    assert "line 4 waives the same finding" in found.problems[0][1]


@pytest.mark.parametrize(
    ("text", "line"),
    [("<<<<<<< ours\n", 1), ("[waiver]\n", 1), ("x = 1\n", 1), ("waiver = 1\n", 1), ("\n[[waivers]]\n", 2)],
)
def test_what_is_no_such_file_is_an_error_that_names_the_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode())
    assert (caught.value.path, caught.value.line) == (WAIVERS_NAME, line)


@given(st.binary(max_size=300))
def test_any_bytes_are_waivers_or_an_error_and_nothing_else(data: bytes) -> None:
    try:
        found = parse(b"[[waiver]]\n" + data)
    except ConfigError:
        return
    assert all(record.expires >= record.created for record in found.records)


# -- adding


def test_entries_are_kept_in_order_and_comments_where_they_are() -> None:
    text = "# About this file.\n\n# The first.\n" + TEXT[TEXT.index("[[") :] + "\n# At the end.\n"
    text = edited(text, other(1))
    text = edited(text, other(0xFF << 72))
    assert [record.fingerprint for record in plain(text)] == sorted(record.fingerprint for record in plain(text))
    assert text.startswith("# About this file.\n\n[[waiver]]\n")
    assert f'\n# The first.\n[[waiver]]\nfingerprint = "{RECORD.fingerprint}"\n' in text
    assert "\n# At the end.\n" in text


def test_a_renewed_waiver_keeps_its_place_and_what_stands_beside_it() -> None:
    text = TEXT.replace("rule =", "# see SEC-12\nrule =") + "\n" + TEXT[TEXT.index("[[") :].replace("b2:9", "b2:a")
    renewed = edited(text, replace(RECORD, reason="still so", created="2027-02-20", expires="2027-05-21"))
    assert renewed == text.replace("the gateway records every read", "still so", 1).replace(
        "2026-11-23", "2027-02-20", 1
    ).replace("2027-02-21", "2027-05-21", 1)


INLINE = TEXT[TEXT.index("[[") :].replace("[[waiver]]\n", "waiver = [{ ").rstrip("\n").replace("\n", ", ") + " }]\n"


def test_other_ways_to_write_a_key_or_a_value_are_renewed_too() -> None:
    text = TEXT.replace("reason =", '"reason"=').replace('"Dana', "'Dana").replace('example>"', "example>' # she")
    renewed = edited(text, replace(RECORD, reason="another one", person="Lee \\"))
    assert plain(renewed) == [replace(RECORD, reason="another one", person="Lee \\")]
    assert '"reason"= "another one"\n' in renewed
    assert " # she\n" in renewed


@pytest.mark.parametrize(
    ("text", "record"),
    [
        (INLINE, RECORD),
        (INLINE, other(1)),
    ],
)
def test_what_cannot_be_edited_safely_is_left_to_the_person(text: str, record: Record) -> None:
    assert plain(text) == [RECORD]
    with pytest.raises(UsageError, match="Add the entry by hand"):
        edited(text, replace(record, reason="another one"))


words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=3, max_size=30)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 40), words, words, st.booleans()), max_size=8),
    st.lists(st.text("# ab[]=\"'", max_size=12), max_size=3),
)
def test_any_number_of_waivers_is_added_in_any_order_around_any_comments(
    entries: list[tuple[int, str, str, bool]], comments: list[str]
) -> None:
    text = "".join(f"# {comment}\n" for comment in comments)
    expected: dict[str, Record] = {}
    for number, reason, path, comment in entries:
        record = other(number, reason=reason, path=path)
        expected[record.fingerprint] = replace(expected.get(record.fingerprint, record), reason=reason)
        text = edited(text, expected[record.fingerprint]) + ("# and a comment\n" if comment else "")
    found = plain(text)
    assert {record.fingerprint: record for record in found} == expected
    assert all(f"# {comment}\n" in text for comment in comments)


def test_two_branches_that_each_add_a_waiver_merge_without_a_conflict(repo) -> None:
    text = ""
    for number in range(0, 100, 10):
        text = edited(text, other(number))
    repo.commit({WAIVERS_NAME: text})
    repo.git("checkout", "-q", "-b", "side")
    repo.commit({WAIVERS_NAME: edited(text, other(25))})
    repo.git("checkout", "-q", "main")
    repo.commit({WAIVERS_NAME: edited(text, other(73))})
    repo.git("merge", "-q", "--no-edit", "side")
    merged = parse((repo.path / WAIVERS_NAME).read_bytes())
    assert [record.fingerprint for record in merged.records] == sorted(
        other(n).fingerprint for n in (*range(0, 100, 10), 25, 73)
    )


# -- what is new


def test_only_what_accepts_more_than_before_is_new() -> None:
    before = parse(edited(TEXT, other(1)).encode())
    for record, new in (
        (RECORD, False),
        (replace(RECORD, expires="2026-12-31"), False),
        (replace(RECORD, expires="2027-02-22"), True),
        (replace(RECORD, reason="another reason"), True),
        (replace(RECORD, person="Lee"), True),
        (replace(RECORD, path="other.py"), True),
        (other(2), True),
    ):
        after = parse(edited("", record).encode())
        assert bool(added(before, after)) is new, record
    assert added(before, parse(None)) == ()
