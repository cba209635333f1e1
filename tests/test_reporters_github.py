"""Annotations for GitHub: one well-formed command a line, and nothing in the repository can add another."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.model import Decision, Origin, Outcome, Severity, Status
from agentreview.reporters.github import render
from factories import finding, run, skipped, verdict, waived

# How the runner reads a line: a command and its properties up to the next "::", then data.
COMMAND = re.compile(r"::(error|warning|notice) ([^:\r\n]*)::([^\r\n]*)")


def parse(line: str) -> tuple[str, dict[str, str], str]:
    """One line as the runner understands it, escapes undone."""
    match = COMMAND.fullmatch(line)
    assert match, line
    name, properties, data = match.groups()

    def undo(text: str) -> str:
        for token, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            text = text.replace(token, char)
        return text

    pairs = dict(part.split("=", 1) for part in properties.split(","))
    return name, {key: undo(value) for key, value in pairs.items()}, undo(data)


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    """All lines but the last as commands; the last is plain text."""
    *lines, last = text.splitlines()
    assert not last.startswith("::")
    return [parse(line) for line in lines]


def test_a_blocked_change_in_full():
    report = render(
        verdict(
            finding(status=Status.ADVISORY, severity=Severity.MEDIUM, start_line=30, end_line=32),
            finding(),
            finding(status=Status.EXISTING, origin=Origin.EXISTING),
            waived(start_line=40, end_line=40),
            skipped=(skipped("a.md"), skipped("b.md"), skipped("x.py", "does not parse", "line 3")),
            notes=("No audit call is configured.",),
            source="range a..b",
        )
    )
    body = (
        "patient_detail reads Patient and writes no audit entry.%0A{}"
        "Why: Without an entry nobody can tell who saw a record.%0A[45 CFR 164.312(b); CWE-778]"
        "%0AFix: Call audit(request.user, 'read', patient) before the response."
        "%0AExplain: agentreview explain b2:9f3c21ab"
    )
    title = "hipaa.audit-phi-read%3A Reading patient data is audit-logged"
    assert report.splitlines() == [
        f"::error file=clinic/views.py,line=14,endLine=14,title=high {title}::{body.format('')}",
        f"::warning file=clinic/views.py,line=30,endLine=32,title=medium {title}::{body.format('')}",
        f"::notice file=clinic/views.py,line=40,endLine=40,title=waived%3A high {title}::"
        + body.format("Waived: the middleware audits%0A"),
        "::notice title=Not reviewed%3A 2 files%2C language::a.md%0Ab.md",
        "::notice title=Not reviewed%3A 1 file%2C does not parse::x.py (line 3)",
        "::notice title=agentreview::No audit call is configured.",
        "BLOCKED: 1 finding must be cleared before this change goes in (1 high hipaa)"
        " [1 blocked, 1 advisory, 1 waived, 1 existing, 3 skipped, 1 file reviewed]",
    ]


def test_an_incomplete_review_is_an_error_and_comes_first():
    failed = run(agent="tenancy", outcome=Outcome.FAILED, reason="timed out")
    optional = run(agent="reviewer", required=False, outcome=Outcome.SKIPPED, reason="no key")
    report = render(verdict(finding(), decision=Decision.INCOMPLETE, runs=(optional, failed)))
    found = commands(report)
    assert [(name, properties["title"]) for name, properties, _ in found[:3]] == [
        ("error", "agentreview: INCOMPLETE"),
        ("error", "agent tenancy failed"),
        ("warning", "agent reviewer skipped"),
    ]
    assert found[1][2].startswith("timed out\n")
    assert report.splitlines()[-1].startswith("INCOMPLETE: 1 required agent did not finish (tenancy)")


def test_lines_of_the_old_file_are_not_pointed_at_in_the_new_one():
    ((_, properties, message),) = commands(render(verdict(finding(side="before"))))
    assert properties.keys() == {"file", "title"}
    assert "(line 14 before this change)" in message


def test_old_debt_is_annotated_only_on_request():
    old = verdict(finding(status=Status.EXISTING, origin=Origin.EXISTING))
    assert commands(render(old)) == []
    assert [name for name, *_ in commands(render(old, verbose=True))] == ["notice"]


def test_a_pass_is_one_line_and_quiet_drops_it_unless_something_was_not_read():
    assert render(verdict()).startswith("PASSED: nothing blocks [0 blocked")
    assert render(verdict(), quiet=True) == ""
    assert "::notice title=Not reviewed" in render(verdict(skipped=(skipped(),)), quiet=True)


def test_many_skipped_files_take_one_notice_and_are_counted():
    ((_, properties, message),) = commands(render(verdict(skipped=tuple(skipped(f"{n}.md") for n in range(40)))))
    assert properties["title"].startswith("Not reviewed: 40 files")
    assert message.splitlines()[-1] == "… and 30 more"


def test_a_message_cannot_start_a_command_of_its_own():
    hostile = finding(
        path="a,line=1::b:%0A\n::add-mask::x.py",
        rule="x::y",
        title="t::error::u, file=other",
        message="100% sure\r\n::stop-commands::token\n##[add-mask]secret\r::error::z",
        fix="\u202e\udcff",
    )
    report = render(verdict(hostile, notes=("::set-output name=a::b\n::error::c",), branch="::x"))
    found = commands(report)
    assert [name for name, *_ in found] == ["error", "notice"]
    _, properties, message = found[0]
    assert properties["file"] == r"a,line=1::b:%0A\x0a::add-mask::x.py"
    assert properties["line"] == "14"
    assert properties["title"] == "high x::y: t::error::u, file=other"
    assert message.startswith("100% sure\n::stop-commands::token\n#\\x23[add-mask]secret\\x0d::error::z")
    assert "##[" not in report
    report.encode("utf-8")


anything = st.text(alphabet=st.sampled_from("ab:,%=#[\r\n\u2028\x85\x1b\udcff 0AD"), max_size=30)


@settings(deadline=None)
@given(anything, anything, anything, anything)
def test_whatever_the_text_every_line_is_the_command_that_was_meant(path, title, message, reason):
    subject = verdict(
        finding(path=path, title=title, message=message),
        decision=Decision.INCOMPLETE,
        runs=(run(agent=path, outcome=Outcome.FAILED, reason=reason),),
        skipped=(skipped(path, reason),),
    )
    report = render(subject)
    assert [name for name, *_ in commands(report)] == ["error", "error", "error", "notice"]
    assert report.count("\n") == 5
    assert not re.search(r"##\w*\[", report)
