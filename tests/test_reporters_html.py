"""The page as text: complete, escaped, sealed by its own policy; and the commands that write it. See also test_page_browser.py."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import date
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentreview.model import (
    CommitSeen,
    Cover,
    Coverage,
    Decision,
    FileChange,
    Hit,
    Hunk,
    Outcome,
    RefusedReceipt,
    Severity,
    Status,
)
from agentreview.reporters import REPORTERS
from agentreview.reporters.page.chart import BARS, Judged, bars
from agentreview.reporters.page.markup import text
from agentreview.reporters.page.report import Part, page
from agentreview.reporters.text import escape
from agentreview.sides import merge
from commandline import BAD, GOOD, agentreview, one_line
from factories import finding, run, skipped, verdict, waived

EMPTY = {"meta", "input", "br", "hr"}


class Document(HTMLParser):
    """Every element with its attributes, and the text of the whole and of each element with an id."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, str] = {}
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        key = self.open[-1] if self.open and self.open[-1] in ("style", "script", "h1", "title") else "body"
        self.texts[key] = self.texts.get(key, "") + data


def render(*findings: Any, **overrides: Any) -> str:
    return REPORTERS["html"](verdict(*findings, **overrides))


def test_the_policy_allows_the_one_style_and_the_one_script_and_nothing_else():
    shown = Document(render(finding()))
    (policy,) = [a["content"] for tag, a in shown.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    for name, kind in (("style", "style-src"), ("script", "script-src")):
        digest = b64encode(sha256(shown.texts[name].encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"
        assert [tag for tag, _ in shown.elements].count(name) == 1
    assert not any(key.startswith("on") or key in ("style", "src") for _, a in shown.elements for key in a)
    assert all(str(a["href"]).startswith("#") for _, a in shown.elements if "href" in a)


@pytest.mark.parametrize("status", list(Status))
def test_a_finding_of_every_status_is_there_in_full(status):
    one = waived() if status is Status.WAIVED else finding(status=status)
    shown = Document(render(one)).texts["body"]
    for said in (
        one.title,
        one.message,
        one.why,
        one.fix,
        "45 CFR 164.312(b); CWE-778",
        "agentreview explain b2:9f3c21ab",
    ):
        assert said in shown
    assert "patient = Patient.objects.get(pk=pk)" in shown
    assert ("the middleware audits" in shown) == (status is Status.WAIVED)


@pytest.mark.parametrize(
    ("told", "style"),
    [
        ({}, "passed"),
        ({"files": 0, "skipped": (skipped(),)}, "incomplete"),
        ({"decision": Decision.INCOMPLETE, "runs": (run(outcome=Outcome.FAILED, reason="no answer"),)}, "incomplete"),
    ],
)
def test_only_what_was_read_is_shown_as_passed(told, style):
    shown = Document(render(**told))
    assert [a["class"] for tag, a in shown.elements if tag == "h1"] == [f"decision {style}"]
    if told.get("decision") is Decision.INCOMPLETE:
        assert shown.texts["h1"].startswith(
            "INCOMPLETE: 1 required agent did not finish (hipaa), so this is not a pass."
        )
        assert "no answer" in shown.texts["body"]
    if told.get("skipped"):
        assert "1 file not reviewed" in shown.texts["body"]


def test_several_worktrees_are_as_bad_as_the_worst_and_nothing_unjudged_is_clean():
    passed = Part(path="/a", branch="a", verdict=verdict())
    dark = Part(path="/b", branch="b", error="it cannot be read")
    bare = Part(path="/c", branch=None, left_out="bare")
    assert Document(page([passed, bare])).texts["h1"] == "PASSED: 1 worktree: 1 passed"
    both = Document(page([passed, dark, bare])).texts["h1"]
    assert both == "INCOMPLETE: 2 worktrees: 1 incomplete, 1 passed. What could not be judged is not a pass"
    assert Document(page([bare])).texts["h1"] == "NOTHING REVIEWED: 1 worktree left out"
    assert Document(page([dark])).texts["h1"].startswith("INCOMPLETE")
    empty = Part(path="/e", branch="e", verdict=verdict(tree="1" * 40, files=0))
    nothing = Document(page([empty, empty]))
    assert nothing.texts["h1"] == "PASSED: 2 worktrees: 2 with nothing to review"
    assert [a["class"] for tag, a in nothing.elements if tag == "h1"] == ["decision plain"]
    assert "there was no file to review" in nothing.texts["body"]
    blocked = Part(path="/d", branch="d", verdict=verdict(finding()))
    assert (
        Document(page([passed, dark, blocked])).texts["h1"].startswith("BLOCKED: 3 worktrees: 1 blocked, 1 incomplete")
    )


anything = st.text(st.characters(), max_size=60)


@given(anything)
def test_text_comes_back_with_what_is_hidden_written_out(value):
    shown = Document(f"<p>{text(value)}</p>")
    assert {tag for tag, _ in shown.elements} <= {"p", "span"}
    # The reporter for logs breaks ## as well; here an entity does it, and the reader sees nothing of it.
    assert shown.texts.get("body", "").replace("#\\x23", "##") == escape(value).replace("#\\x23", "##")
    assert "##" not in text(value)
    assert "::" not in text(value)


@given(anything, anything)
def test_no_text_adds_an_element_or_an_attribute(first, second):
    def shape(a: str, b: str) -> list[tuple[str, tuple[str, ...]]]:
        one = finding(
            path=a, message=a, title=b, unit=f"x{b}", rule=a, agent=b, excerpt=b, frame=((14, a),), cwe=(f"x{b}",), why=f"x{a}"
        )  # fmt: skip
        told = Document(
            REPORTERS["html"](verdict(one, skipped=(skipped(a, b),), notes=(a,), branch=f"x{b}", worktree="/w"))
        )
        return [(tag, tuple(a)) for tag, a in told.elements if tag != "br" and a.get("class") != "odd"]

    plain = shape("a.py", "b")
    assert shape(f"a{first}.py", second) == plain


def test_file_names_that_are_not_utf_8_can_be_written():
    shown = render(finding(path="a\udcff\u202eb.py"))
    assert "a<span" in shown
    assert "\\xff" in shown
    assert "\\u202e" in shown
    assert "\u202e" not in shown
    shown.encode("utf-8")


def test_a_line_of_a_page_on_stdout_is_no_command_for_a_build_server():
    said = render(finding(message="##[error]x ::error::y", frame=((14, "::set-output name=x::y"),)))
    assert "##" not in said.replace("<style>", "")
    assert not any(line.lstrip().startswith("::") for line in said.splitlines())


def test_commits_that_no_gate_saw_are_said_at_the_top_and_listed():
    seen = (
        CommitSeen(oid="a" * 40, subject="<b>fix</b>", cover=None, why="no receipt"),
        CommitSeen(oid="b" * 40, subject="more", cover=Cover.EXACT, receipt="c" * 64),
    )
    refused = (RefusedReceipt(id="d" * 64, why="its name is not the hash of its bytes"),)
    shown = Document(render(coverage=Coverage(required="report", signers=1, commits=seen, refused=refused)))
    body = " ".join(shown.texts["body"].split())
    assert "1 commit without a receipt" in body.partition("Overview")[0]
    assert 'aaaaaaaaaaaa "<b>fix</b>": no receipt' in body
    assert "receipt dddddddddddd is refused: its name is not the hash of its bytes" in body


def test_a_question_is_shown_as_one():
    shown = Document(render(finding(hit=Hit.SUSPECT, status=Status.ADVISORY, needs=("whether the job retries",))))
    assert "It is a question" in shown.texts["body"]
    assert "whether the job retries" in shown.texts["body"]


def test_a_thousand_findings_stay_small():
    def size(number: int) -> int:
        return len(render(*(finding(fingerprint=f"b2:{n:032x}", start_line=14) for n in range(number))))

    assert size(1000) < 4_000_000
    assert size(1000) - size(500) < 1.1 * (size(500) - size(0))


days = st.dates(min_value=date(2001, 1, 1), max_value=date(2100, 1, 1))


@given(st.lists(st.tuples(days, st.sampled_from(["pass", "block", "unreviewed"])), min_size=1, max_size=30))
def test_every_receipt_is_in_one_bar(judged):
    found, undated = bars([Judged(at=f"{day}T10:00:00Z", decision=word) for day, word in judged])
    assert undated == 0
    assert sum(sum(bar.counts) for bar in found) == len(judged)
    assert found[0].first == min(day for day, _ in judged)
    assert found[-1].last == max(day for day, _ in judged)
    assert all((after.first - before.last).days == 1 for before, after in pairwise(found))
    assert len(found) <= 2 * BARS + 40


@pytest.mark.parametrize("at", ["", "yesterday", "9999-12-31", "2026-13-01T", "0001-01-01"])
def test_a_receipt_without_a_readable_day_is_counted_and_not_drawn(at):
    found, undated = bars([Judged(at=at, decision="pass"), Judged(at="2026-10-01T00:00:00Z", decision="pass")])
    assert (len(found), undated) == (1, 1)


@given(st.lists(st.tuples(st.sampled_from(" -+"), st.text("abc", min_size=1, max_size=3)), max_size=40))
def test_the_two_sides_put_together_hold_each_side_whole(rows):
    before = [text for sign, text in rows if sign != "+"]
    after = [text for sign, text in rows if sign != "-"]
    removed = tuple(sum(s != "+" for s, _ in rows[: n + 1]) for n, (sign, _) in enumerate(rows) if sign == "-")
    added = tuple(sum(s != "-" for s, _ in rows[: n + 1]) for n, (sign, _) in enumerate(rows) if sign == "+")
    hunk = Hunk(old_start=1, old_lines=len(before), new_start=1, new_lines=len(after), added=added, removed=removed)
    merged = merge(FileChange(path="a", status="M", hunks=(hunk,)), before, after)
    assert [(old, text) for old, _, text in merged if old] == list(enumerate(before, 1))
    assert [(new, text) for _, new, text in merged if new] == list(enumerate(after, 1))
    assert sum(not (old and new) for old, new, _ in merged) == len(removed) + len(added)


# -- the commands ------------------------------------------------------------------------------------------------------


def test_a_report_shows_both_sides_and_what_receipts_tell(repo, tmp_path):
    repo.commit(GOOD)
    repo.stage(BAD)
    file = tmp_path / "report.html"
    done = agentreview("report", "--html", str(file), cwd=repo.path)
    assert done.code == 1
    assert done.out == ""
    assert done.err.splitlines()[0] == f"agentreview: the page is in {file}"
    assert "BLOCKED: 2 findings" in done.err.splitlines()[1]
    source = file.read_text(encoding="utf-8")
    shown = Document(source)
    gone = re.search(r'<span class="l went">(.*?)</code>', source)
    assert gone
    assert "audit_log(actor=request.user" in gone[1]
    assert re.search(r"1 receipt, \d{4}-\d\d-\d\d; as they state it", shown.texts["body"])
    repo.stage(GOOD)
    assert agentreview("report", "--html", str(file), cwd=repo.path).code == 0
    assert "PASSED" in Document(file.read_text(encoding="utf-8")).texts["h1"]


def test_the_format_is_written_by_a_run_too(repo, tmp_path):
    repo.stage(BAD)
    file = tmp_path / "x.html"
    assert agentreview("--format", f"html={file}", cwd=repo.path).code == 1
    assert Document(file.read_text(encoding="utf-8")).texts["h1"].startswith("BLOCKED")


def test_all_worktrees_are_on_one_page(repo, tmp_path):
    repo.commit(GOOD)
    repo.git("worktree", "add", "-q", "-b", "agent-2", str(tmp_path / "two"))
    repo.git("worktree", "add", "-q", "-b", "agent-3", str(tmp_path / "three"))
    repo.stage(BAD)
    (tmp_path / "three" / ".git").write_text("gitdir: /nowhere\n")
    file = tmp_path / "all.html"
    done = agentreview("report", "--html", str(file), "--all-worktrees", cwd=repo.path)
    assert done.code == 1
    shown = Document(file.read_text(encoding="utf-8"))
    assert shown.texts["h1"] == "BLOCKED: 3 worktrees: 1 blocked, 1 incomplete, 1 with nothing to review"
    assert "agent-3" in shown.texts["body"]


def test_a_bare_repository_has_no_worktree_to_show(repo, tmp_path):
    repo.commit(GOOD)
    repo.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    file = tmp_path / "bare.html"
    done = agentreview("report", "--html", str(file), "--all-worktrees", cwd=tmp_path / "bare.git")
    assert (done.code, done.err.splitlines()[-1]) == (0, "agentreview: 1 worktree: 1 left out")
    assert Document(file.read_text(encoding="utf-8")).texts["h1"] == "NOTHING REVIEWED: 1 worktree left out"
    alone = agentreview("report", "--html", str(file), "--period", "2026", cwd=tmp_path / "bare.git")
    assert alone.code == 2
    assert "bare repository" in one_line(alone.err)


def test_values_that_reports_hide_are_hidden_on_both_sides(repo, tmp_path):
    """Credentials wherever they are; and of a file whose findings hide more, the other side is not shown at all."""
    secret, old = "hunter2-Geheim-99x", "altes-Geheim-77y"
    rows = 'patients = [\n    {"name": "Erika Mustermann", "ssn": "536-22-8726", "dob": "1961-04-12"},\n]\n'
    repo.commit({"clinic/settings.py": f'PASSWORD = "{old}"\n', "tests/fixtures/p.py": rows.replace("Erika", "Agathe")})
    repo.stage({"clinic/settings.py": f'PASSWORD = "{secret}"\n', "tests/fixtures/p.py": rows})
    file = tmp_path / "report.html"
    assert agentreview("report", "--html", str(file), cwd=repo.path).code == 1
    page_text = Document(file.read_text(encoding="utf-8")).texts["body"]
    assert "[hidden]" in page_text
    assert "tests/fixtures/p.py:2" in page_text
    terminal = agentreview("-v", cwd=repo.path).out
    for value in (secret, old, "536-22-8726", "1961-04-12", "Mustermann", "Agathe"):
        assert value not in terminal, value  # if the other reports change, so should this one
        assert value not in page_text, value


@pytest.mark.parametrize(
    "arguments",
    [[], ["--html", "/nowhere/x.html"], ["--html", "x", "--all-worktrees", "--commit", "HEAD"], ["--html", "x", "--range", "no..way"]],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_one_line(repo, arguments):
    repo.commit({"a": "1"})
    done = agentreview("report", *arguments, cwd=repo.path)
    assert (done.code, done.out) == (2, "")
    one_line(done.err)


def test_severities_are_counted_by_worktree():
    ones = [
        finding(fingerprint="b2:1", severity=Severity.LOW),
        finding(fingerprint="b2:2", severity=Severity.CRITICAL, status=Status.ADVISORY),
        finding(fingerprint="b2:3", severity=Severity.CRITICAL, status=Status.EXISTING),
    ]
    source = render(*ones)
    row = source[source.index("<tbody>") : source.index("</tbody>")]
    assert re.findall(r'class="num"[^>]*><div>(\d+)</div>', row) == ["1", "0", "0", "1", "0", "0"]
