"""A claim counts only where its quote is really found in the reviewed text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentreview.anchor import anchor, fingerprint
from agentreview.model import Claim, Confidence, Evidence, FileChange, Hit, Origin
from engine import change
from factories import rule

TEXT = "one\ntwo\nthree\nfour\nfive\nsix\n"


def claim(**overrides) -> Claim:
    values = {
        "rule": "hipaa.audit-phi-read", "path": "a.py", "unit": "f", "start_line": 3, "end_line": 3, "quote": "three",
        "identity": "read:x", "message": "m", "hit": Hit.VIOLATION,
    }  # fmt: skip
    return Claim(**{**values, **overrides})


def anchored(made: Claim, source: FileChange | None = None, **options):
    options = {"occurrence": 1, "existing": False, "agent": "policy:hipaa", **options}
    return anchor(made, rule(), source or change("a.py", None, TEXT), **options)


def test_a_claim_at_its_line_becomes_a_finding_with_its_surroundings():
    found = anchored(claim())
    assert found is not None
    assert (found.start_line, found.excerpt, found.origin) == (3, "three", Origin.INTRODUCED)
    assert found.frame == ((1, "one"), (2, "two"), (3, "three"), (4, "four"), (5, "five"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_line": 2},
        {"start_line": 0},
        {"start_line": -1},
        {"start_line": 99},
        {"quote": "thre"},
        {"quote": ""},
        {"side": "before"},
    ],
)
def test_a_claim_that_does_not_hold_is_no_finding(wrong):
    assert anchored(claim(**wrong)) is None


def test_white_space_around_the_line_does_not_matter():
    assert anchored(claim(quote="  three\t")) is not None


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbfone\ntwo\n", b"one\r\ntwo\r\n", b"one\ntwo \xe9\n", b"one\rx\ntwo\n"]
)
def test_every_encoding_the_engine_reads_is_anchored(content):
    from agentreview.syntax.parse import text_of

    rows = text_of(content).split("\n")
    for number in (1, 2):
        assert (
            anchored(claim(start_line=number, end_line=number, quote=rows[number - 1]), change("a.py", None, content))
            is not None
        )


def test_what_was_taken_away_is_anchored_in_the_version_before_under_its_old_name():
    moved = change("b.py", TEXT, "one\n", old_path="a.py")
    found = anchored(claim(path="b.py", side="before"), moved)
    assert found is not None
    assert found.path == "a.py"


def test_the_end_is_kept_inside_the_file_and_behind_the_start():
    for end in (-5, 0, 2, 10_000):
        found = anchored(claim(end_line=end))
        assert found is not None
        assert 3 <= found.end_line <= 7
        assert len(found.frame) <= 31


@pytest.mark.parametrize(
    ("hit", "confirmed", "confidence"),
    [(Hit.VIOLATION, False, "high"), (Hit.SUSPECT, False, "medium"), (Hit.SUSPECT, True, "high")],
)
def test_confidence_is_computed(hit, confirmed, confidence):
    found = anchored(claim(hit=hit, confirmed=confirmed))
    assert found is not None
    assert found.confidence is Confidence(confidence)


def test_nothing_a_claim_carries_is_shown_unmasked():
    secret = 'password="hT7!kd82Lq0z"'
    made = claim(
        quote=secret, start_line=1, end_line=1, message=secret, fix=secret, unit=secret,
        evidence=(Evidence(path="a.py", line=1, shows=secret, quote=secret),),
    )  # fmt: skip
    found = anchored(made, change("a.py", None, f"{secret}\n{secret}\n"))
    assert "hT7!kd82Lq0z" not in repr(found)
    marked = anchored(replace(made, quote=secret + " # [hidden]"), change("a.py", None, f"{secret} # [hidden]\n"))
    assert "hT7!kd82Lq0z" not in repr(marked)


@given(st.integers(-3, 12), st.integers(-3, 12), st.sampled_from(["one", "three", "six", "", "x"]))
def test_every_line_of_a_finding_lies_in_the_file(start, end, quote):
    found = anchored(claim(start_line=start, end_line=end, quote=quote))
    if found is not None:
        rows = TEXT.split("\n")
        assert rows[found.start_line - 1] == quote == found.excerpt
        assert all(rows[n - 1] == row for n, row in found.frame)


def test_the_fingerprint_is_a_contract():
    """It is written down in reports and compared by other tools: changing it makes every finding new."""
    assert fingerprint("r", "p", "u", "a  b", 1) == fingerprint("r", "p", "u", "a b", 1)
    assert (
        len(
            {
                fingerprint(*a, n)
                for a in (
                    ("r", "p", "u", "i"),
                    ("r", "p", "u", "j"),
                    ("r", "p", "v", "i"),
                    ("r", "q", "u", "i"),
                    ("s", "p", "u", "i"),
                )
                for n in (1, 2)
            }
        )
        == 10
    )
    assert fingerprint("hipaa.audit-phi-read", "app/views.py", "detail", "Patient", 1) == "b2:59536017e63ea427560d"
