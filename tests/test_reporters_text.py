"""Text from the repository cannot steer a terminal, deceive a reader or command a CI runner."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.model import Decision, Verdict
from agentreview.reporters import REPORTERS
from agentreview.reporters.text import cells, clip, code, comment, defuse, escape, wrap
from factories import finding, verdict


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain café 患者 ✓", "plain café 患者 ✓"),
        ("\x1b[2J\x07\x7f\x00", r"\x1b[2J\x07\x7f\x00"),
        ("a\r\nb\tc", r"a\x0d\x0ab\x09c"),
        ("\x85\x9b31m", r"\x85\x9b31m"),
        ("user\u202e\u2066x\u2069", r"user\u202e\u2066x\u2069"),
        ("in\u200bvisible\ufeff", r"in\u200bvisible\ufeff"),
        ("tags\U000e0041 \U000e0101", r"tags\U000e0041 \U000e0101"),
        ("byte\udcff lone\ud800", r"byte\xff lone\ud800"),
        ("line\u2028end", r"line\u2028end"),
        ("a ##[error]b ##vso[task.x]c ###[d ## e", r"a #\x23[error]b #\x23vso[task.x]c ##\x23[d ## e"),
    ],
)
def test_what_is_not_printable_is_shown_as_an_escape(raw, shown):
    assert escape(raw) == shown


@settings(deadline=None)
@given(st.text())
def test_escaped_text_is_one_printable_line_that_any_terminal_encodes(text):
    shown = escape(text)
    assert shown.isprintable()
    shown.encode("utf-8")
    assert escape(shown) == shown


@settings(deadline=None)
@given(st.text(), st.integers(2, 60))
def test_clipped_text_fits_and_says_that_it_was_cut(text, width):
    shown = escape(text)
    cut = clip(shown, width)
    assert cells(cut) <= width
    assert cut == shown or cut.endswith("…")


@settings(deadline=None)
@given(st.text(alphabet="ab é患 \n\t\x1b", max_size=400), st.integers(20, 60))
def test_wrapped_prose_fits_and_loses_no_visible_character(text, width):
    lines = wrap(text, width, limit=500)
    assert all(cells(line) <= width and line.isprintable() for line in lines)
    assert "".join("".join(lines).split()) == "".join(escape(part) for part in "".join(text.expandtabs(4)).split())


def test_endless_prose_is_cut_and_says_so():
    lines = wrap("word " * 100_000, 80)
    assert len(lines) == 40
    assert lines[-1] == "… (cut; the json report has all of it)"


def test_code_in_prose_keeps_its_lines_and_indentation():
    assert wrap("Write:\n    audit(user)\nthen return.", 60) == ["Write:", "    audit(user)", "then return."]


def test_a_code_line_is_expanded_escaped_and_cut():
    assert code("\tx = 1\r\n", 40) == "    x = 1"
    assert code("x = " + "a" * 100, 20) == "x = " + "a" * 15 + "…"
    assert cells(code("患" * 100, 21)) == 21


def test_a_cut_code_line_keeps_the_part_the_finding_is_about():
    line = "a();" * 200 + "Patient.objects.get(pk=pk)" + ";b()" * 200
    shown = code(line, 60, focus="Patient.objects.get(pk=pk)")
    assert "Patient.objects.get(pk=pk)" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")


def test_a_line_that_begins_like_a_workflow_command_is_broken():
    assert defuse("   ::add-mask::x") == r"   \x3a:add-mask::x"
    assert defuse("a ::b") == "a ::b"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("a/b.py", "# x"),
        ("Dockerfile", "# x"),
        (".env", "# x"),
        ("deploy.YML", "# x"),
        ("web/app.TSX", "// x"),
        ("Main.java", "// x"),
        ("main.go", "// x"),
        ("schema.sql", "-- x"),
        ("index.html", "<!-- x -->"),
        ("package.json", None),
    ],
)
def test_a_comment_is_written_in_the_language_of_the_file(path, shown):
    assert comment(path, "x") == shown


@pytest.mark.parametrize("name", REPORTERS)
def test_every_format_renders_every_decision_as_text_that_utf8_can_hold(name):
    hostile = finding(
        path="a\udcff\x1b\n::error::.py", message="x\n::stop-commands::t\r##[group]", unit="\u202e", fix="\ud800"
    )
    for decision in Decision:
        text = REPORTERS[name](verdict(hostile, decision=decision), color=False, width=80, verbose=True)
        text.encode("utf-8")
        assert text.endswith("\n")
        assert "\x1b" not in text
        for line in text.splitlines():
            assert not line.lstrip().startswith(("::stop", "##["))


@pytest.mark.parametrize("name", REPORTERS)
def test_rendering_twice_gives_the_same_bytes(name):
    subject: Verdict = verdict(finding(), cached=True)
    assert REPORTERS[name](subject) == REPORTERS[name](subject)


def test_only_the_reporter_in_use_is_imported():
    script = (
        "import sys; from agentreview.reporters import REPORTERS; from agentreview.model import Verdict, Decision\n"
        "REPORTERS['terminal'](Verdict(decision=Decision.PASS, base='', tree=''))\n"
        "loaded = {m for m in sys.modules if m.startswith('agentreview.reporters.')}\n"
        "print(*sorted(loaded)); print('json' in sys.modules, 'urllib.parse' in sys.modules, 'textwrap' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "agentreview.reporters.summary agentreview.reporters.terminal agentreview.reporters.text",
        "False False False",
    ]


def test_the_store_reads_verdicts_without_loading_a_renderer():
    script = (
        "import sys; import json, agentreview.model, agentreview.errors; before = set(sys.modules)\n"
        "import agentreview.reporters.jsonreport; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    new = {name for name in done.stdout.split() if name.startswith("agentreview")}
    assert new == {"agentreview.reporters", "agentreview.reporters.jsonreport", "agentreview.reporters.summary"}
