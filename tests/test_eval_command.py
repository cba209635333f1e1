"""``agentreview eval`` from end to end: real cases, a real server, and answers that replay without it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from agentreview.cli import main
from commandline import COMMAND, one_line
from messages_server import MessagesServer, Received, Reply
from reviewing import answer, claim, suspect, verdicts, where
from waiting import PATIENCE, eventually
from warm import agentreview

BEFORE = """\
from django.contrib.auth.decorators import login_required
from django.http import JsonResponse

from clinic.models import Patient


@login_required
def detail(request, pk):
    patient = Patient.objects.get(pk=pk, org=request.user.org)
    return JsonResponse({"count": 1})
"""
BAD = BEFORE.replace(", org=request.user.org", "")
GOOD = BEFORE.replace('"count": 1', '"count": 2')


@pytest.fixture
def server():
    with MessagesServer() as running:
        yield running


@pytest.fixture
def cases(tmp_path):
    root = tmp_path / "cases"
    expected = {"defects": [{"path": "clinic/views.py", "lines": [9, 9], "rules": ["review.access"]}]}
    for name, after, label in (("bad", BAD, expected), ("good", GOOD, {"defects": []})):
        for side, text in (("before", BEFORE), ("after", after)):
            (root / name / side / "clinic").mkdir(parents=True)
            (root / name / side / "clinic" / "views.py").write_text(text)
        (root / name / "expected.json").write_text(json.dumps(label))
    return root


def reader(upholds: str = "upheld", code: str = "Patient.objects.get(pk=pk)"):
    """A reader that sees the missing condition, and a second one that says ``upholds`` of everything."""

    def answered(request: Received) -> Reply:
        text = request.asked
        if "verdicts" in json.dumps(request.body["output_config"]):
            return Reply(json=verdicts(text, upholds, code), input_tokens=500, output_tokens=50)
        if "Patient.objects.get(pk=pk)" not in text:
            return Reply(json=answer(text), input_tokens=1000, output_tokens=100)
        return Reply(
            json=answer(text, [claim(where(text, code), "review.access")]), input_tokens=1000, output_tokens=100
        )

    return answered


@pytest.fixture
def evaluated(cases, server, capfd, monkeypatch):
    """Run the command in this process, where the SDK is imported once."""

    def run(*options: str, code: int = 0, **env: str):
        for name, value in {**server.env, **env}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(cases.parent)
        assert main(("eval", str(cases), "--reviewers", "tenant-isolation", *options)) == code
        out, err = capfd.readouterr()
        assert err == ""
        return json.loads(out) if "--json" in options else out

    return run


def rate(report, name: str) -> tuple[int, int]:
    one = report["scores"][name]
    return one["count"], one["of"]


def test_what_a_reviewer_finds_misses_and_costs_is_counted(evaluated, server):
    answered = reader()

    def once_another_is_here(request: Received) -> Reply:
        eventually(lambda: server.most_together > 1)
        return answered(request)

    server.default = once_another_is_here
    report = evaluated("--json", "--repeat", "2")
    assert rate(report, "recall") == (2, 2)
    assert rate(report, "precision") == (2, 2)
    assert rate(report, "noise") == (0, 2)
    assert rate(report, "flips") == (0, 2)
    assert rate(report, "anchored") == (2, 2)
    assert rate(report, "over_refuted") == (0, 2)
    assert report["scores"]["requests"] == len(server.messages) == 6
    assert report["scores"]["tokens"] == 4 * 1100 + 2 * 550
    assert report["scores"]["dollars"] > 0
    assert server.most_together > 1, "several cases are read at the same time"


def test_a_reader_that_changes_its_mind_flips(evaluated, server):
    see = reader()
    seen = []

    def sometimes(request: Received) -> Reply:
        first = "Patient.objects.get(pk=pk)" in request.asked and "verdicts" not in json.dumps(
            request.body["output_config"]
        )
        seen.append(first)
        return Reply(json=answer(request.asked)) if first and sum(seen) == 2 else see(request)

    server.default = sometimes
    report = evaluated("--json", "--repeat", "3", "--jobs", "1")
    assert rate(report, "flips") == (1, 2)
    assert rate(report, "recall") == (2, 3)


def test_a_right_claim_that_the_second_reader_refutes_is_counted(evaluated, server):
    server.default = reader("refuted")
    report = evaluated("--json")
    assert rate(report, "over_refuted") == (1, 1)
    assert rate(report, "recall") == (0, 1)


@pytest.mark.parametrize(("verdict", "recall", "refuted"), [("upheld", (1, 1), (0, 1)), ("cleared", (0, 1), (1, 1))])
def test_a_question_of_a_policy_that_a_reviewer_settles_is_counted(evaluated, cases, server, verdict, recall, refuted):
    label = {"defects": [{"path": "clinic/views.py", "lines": [9, 9], "rules": ["tenancy.query-scope"]}]}
    (cases / "bad" / "expected.json").write_text(json.dumps(label))

    def answered(request: Received) -> Reply:
        text, code = request.asked, "Patient.objects.get("
        if "verdicts" in json.dumps(request.body["output_config"]):
            return Reply(json=verdicts(text, "upheld", code))
        names = re.findall(r"^   (U\d+\.S\d+): tenancy\.query-scope", text, re.M)
        return Reply(json=answer(text, suspects=[suspect(name, verdict, where(text, code)) for name in names]))

    server.default = answered
    report = evaluated("--json")
    assert rate(report, "recall") == recall
    assert rate(report, "over_refuted") == refuted


def test_recorded_answers_give_the_same_scores_without_a_network(evaluated, server, tmp_path):
    server.default = reader()
    answers = str(tmp_path / "answers")
    first = evaluated("--json", "--repeat", "2", "--record", answers)
    asked = len(server.messages)
    again = evaluated("--json", "--repeat", "2", "--replay", answers, AGENTREVIEW_OFFLINE="1", ANTHROPIC_API_KEY="")
    assert len(server.messages) == asked
    timeless = {"seconds", "median_seconds"}
    assert {k: v for k, v in again["scores"].items() if k not in timeless} == {
        k: v for k, v in first["scores"].items() if k not in timeless
    }


def test_a_reviewer_and_the_baseline_are_compared_on_recorded_answers_alone(cases, server, tmp_path):
    """As a user does it: recorded once, then replayed by the installed program with no network, no key and no SDK."""
    see, times = reader(), []

    def moody(request: Received) -> Reply:
        """The reviewer misses the defect in its second of three runs; the baseline sees it every time."""
        first = "You are tenant-isolation" in request.text and "Patient.objects.get(pk=pk)" in request.asked
        times.append(first)
        return Reply(json=answer(request.asked)) if first and sum(times) == 2 else see(request)

    def evaluate(who: str, *options: str, **env: str):
        command = [sys.executable, "-X", "importtime", "-m", "agentreview", "eval", str(cases), "--reviewers", who]
        done = subprocess.run(
            [*command, "--repeat", "3", "--jobs", "1", "--json", *options], cwd=tmp_path, env={**os.environ, **env},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        scores = json.loads(done.stdout)["scores"]
        return {k: v for k, v in scores.items() if "seconds" not in k}, "| anthropic\n" in done.stderr.replace(
            "|   ", "| "
        )

    server.default = moody
    recorded = {}
    for who in ("tenant-isolation", "plain"):
        recorded[who], loaded = evaluate(who, "--record", "answers", **server.env)
        assert loaded
    asked = len(server.messages)
    for who, flips, found in (("tenant-isolation", 1, 2), ("plain", 0, 0)):
        again, loaded = evaluate(who, "--replay", "answers", AGENTREVIEW_OFFLINE="1", ANTHROPIC_API_KEY="")
        assert again == recorded[who]
        assert not loaded
        assert (again["flips"]["count"], again["flips"]["of"]) == (flips, 2)
        assert (again["recall"]["count"], again["recall"]["of"]) == (found, 3)
    assert again["recall_shown"]["count"] == 3, "the baseline only advises"
    assert len(server.messages) == asked


def test_a_run_without_an_answer_is_unfinished_and_never_quiet(evaluated, server):
    server.default = Reply(stop_reason="refusal")
    report = evaluated("--json", code=3)
    assert (report["scores"]["unfinished"], report["scores"]["runs"]) == (2, 2)
    assert rate(report, "noise") == (0, 0)
    out = evaluated(code=3)
    assert "2 of 2 runs did not finish, and count for nothing" in out
    assert "refused" in out


def test_the_money_of_a_run_is_capped(evaluated, server):
    server.default = reader()
    report = evaluated("--json", "--max-dollars", "0", code=3)
    assert server.messages == []
    assert all("over-budget" in run["failures"][0] for run in report["runs"])


@pytest.mark.slow
def test_an_interruption_counts_what_finished(cases, server):
    see = reader()
    server.default = lambda request: replace(see(request), seconds=0 if len(server.messages) <= 3 else 600)
    argv = [*COMMAND, "eval", str(cases), "--reviewers", "tenant-isolation", "--jobs", "1", "--repeat", "2", "--json"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(argv, env={**os.environ, **server.env}, cwd=cases.parent, **streams)
    eventually(lambda: len(server.messages) >= 4)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert json.loads(out)["scores"]["runs"] >= 1
    assert "of 4 runs are counted" in err


def test_for_people_it_is_a_table(evaluated, server):
    server.default = reader()
    out = evaluated()
    assert "1 changes with a defect, 1 harmless; 2 runs" in out
    assert "defects found, blocking             100.0%   1 of 1" in out
    assert "3 requests, " in out


def test_policies_alone_are_scored_on_their_examples_without_a_key(tmp_path):
    argv = ("eval", "--policies", "injection.sql,hipaa.audit-bypass", "--reviewers", "none", "--json")
    done = agentreview(*argv, cwd=tmp_path)
    assert done.code == 0, done.err
    report = json.loads(done.out)
    count, of = rate(report, "recall_shown")
    assert count == of > 10
    assert rate(report, "noise")[0] == 0
    assert report["scores"]["requests"] == 0


def test_repositories_with_a_staged_change_are_cases(repo, server, tmp_path):
    repo.commit({"clinic/views.py": BEFORE})
    repo.stage({"clinic/views.py": BAD})
    row = {"id": repo.path.name, "label": "positive", "class": "tenant_idor", "group": "g", "defect_lines": [
        {"file": "clinic/views.py", "line_range_in_new_side": [9, 9], "enclosing": "detail"}]}  # fmt: skip
    manifest = tmp_path / "list.jsonl"
    manifest.write_text(json.dumps(row) + "\n")
    server.default = reader()
    argv = ("eval", str(repo.path.parent), "--manifest", str(manifest), "--reviewers", "tenant-isolation", "--json")
    done = agentreview(*argv, cwd=tmp_path, env=server.env)
    assert done.code == 0, done.err
    assert rate(json.loads(done.out), "recall_shown") == (1, 1)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((), "name either CASES or --policies"),
        (("cases", "--policies", "tenancy"), "name either CASES or --policies"),
        (("cases", "--record", "a", "--replay", "b"), "exclude each other"),
        (("cases", "--replay", "nowhere"), "nowhere is not a directory"),
        (("nowhere",), "is not a directory"),
        (("cases", "--only", "nobody"), "holds none of nobody"),
        (("cases",), "there is no key for the Messages API"),
        (("cases", "--reviewers", "nobody", "--replay", "."), "nobody"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(cases, argv, says):
    argv = [str(cases) if word == "cases" else word for word in argv]
    who = () if "--reviewers" in argv else ("--reviewers", "tenant-isolation")
    done = agentreview("eval", *argv, *who, cwd=cases.parent)
    assert done.code == (3 if "nobody" in who or "--reviewers" in argv else 2)
    if done.code == 2:
        assert says in one_line(done.err)
    else:
        assert says in done.out
