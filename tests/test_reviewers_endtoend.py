"""The command with model reviewers, against a real server that speaks the Messages API."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from agentreview.reporters import REPORTERS
from agentreview.reporters.jsonreport import loads
from commandline import GOOD, HEAD, MODELS
from messages_server import MessagesServer, Reply
from reviewing import answer, claim, suspect, verdicts, where
from syntax_helpers import RUNS_AWAY
from waiting import PATIENCE, eventually
from warm import agentreview

SETTINGS = '[reviewers]\nenabled = ["careful"]\n'
PATIENT = SETTINGS + "hook_seconds = 600\n"  # the machine may be busy
CAREFUL = """\
---
name: careful
description: Reads carefully.
tier: standard
policies: [review.access, tenancy.*]
gate: block
required: true
---
You read carefully.
"""
VIEW = (
    HEAD
    + """\


@permission_required("clinic.view_patient", raise_exception=True)
def state(request, names):
    if all(name in request.user.groups for name in names):
        return JsonResponse({"state": "open"})
    return JsonResponse({"state": "closed"})
"""
)


def replying(make):
    return lambda request: Reply(json=make(request.body["messages"][0]["content"]))


def text_of(request):
    content = request.body["messages"][0]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def reviewer(make, second="upheld"):
    """Answers reviews with ``make(text)``, and the second reader's question with one verdict for all."""

    def reply(request):
        text = text_of(request)
        asked = "\nThe claims:\n" in text
        return Reply(json=verdicts(text, second, "all(name") if asked else make(text))

    return reply


def claims_all(text):
    return answer(text, [claim(where(text, "if all(name"))])


@pytest.fixture
def clinic(repo):
    repo.commit({"clinic/models.py": MODELS, "agentreview.toml": PATIENT, ".agents/profiles/careful.md": CAREFUL})
    repo.stage({"clinic/views.py": VIEW})
    return repo


@pytest.fixture
def server():
    with MessagesServer() as running:
        yield running


def run(repo, server, *args, **env):
    return agentreview("run", *args, cwd=repo.path, env={**server.env, **env})


def test_a_claim_that_stands_blocks_the_commit_with_exit_code_1(clinic, server):
    server.default = Reply(json={})
    server.on("You read carefully", reviewer(claims_all))
    server.on("second opinion", reviewer(claims_all))
    done = run(clinic, server)
    assert done.code == 1, done
    assert "review.access" in done.out
    assert "clinic/views.py:11" in done.out
    assert "[blocking, by reviewer:careful]" in done.out
    assert "careful reads 2 units" in done.err
    handle = re.search(r"explain (b2:\w+)", done.out)[1]
    explained = agentreview("explain", handle, cwd=clinic.path)
    assert explained.code == 0
    assert "review.access" in explained.out
    waived = agentreview("waive", handle, "--reason", "the list is never empty here", cwd=clinic.path)
    assert waived.code == 0, waived
    clinic.git("add", "-A")
    again = run(clinic, server)
    assert again.code == 0, again
    assert "Waived (1)" in again.out
    assert len(server.messages) == 2


def test_nothing_is_asked_twice_and_the_verdict_is_kept(clinic, server):
    server.on("You read carefully", reviewer(answer))
    assert run(clinic, server).code == 0
    asked = len(server.messages)
    again = run(clinic, server)
    assert (again.code, len(server.messages)) == (0, asked)
    assert "already judged" in again.out or "PASSED" in again.out


def test_a_required_reviewer_that_did_not_finish_is_exit_code_3_in_every_format(clinic, server, tmp_path):
    server.default = Reply(status=401, error="authentication_error", says="invalid x-api-key")
    files = [word for form in REPORTERS for word in ("--format", f"{form}={tmp_path / form}")]
    done = run(clinic, server, "--format", "terminal", *files)
    assert done.code == 3
    assert "INCOMPLETE" in done.out
    assert "reviewer:careful (required) failed: unauthorized" in done.out
    for form in REPORTERS:
        assert "careful" in (tmp_path / form).read_text(encoding="utf-8"), form
    assert json.loads((tmp_path / "json").read_text())["decision"] == "incomplete"


AT_ONCE = (("retry-after", "0"),)
FAILURES = [
    (Reply(status=403, error="permission_error", says="not yours"), "forbidden"),
    (Reply(status=404, error="not_found_error", says="model: retired"), "unknown-model"),
    (Reply(status=429, error="rate_limit_error", says="slow down", headers=AT_ONCE), "rate-limited"),
    (Reply(status=500, error="api_error", says="broken", headers=AT_ONCE), "server-error"),
    (Reply(status=413, error="request_too_large", says="too large"), "over-context"),
    (Reply(stop_reason="max_tokens"), "truncated"),
    (Reply(breaks="stream"), "unreachable"),
    (Reply(stop_reason="refusal"), "refused"),
    (Reply("I see no problem here."), "unparsable"),
    (Reply(json={"claims": []}), "wrong-schema"),
    (Reply(json={"reviewed": [], "claims": [], "suspects": []}), "wrong-schema"),
    (None, "unreachable"),
]


@pytest.mark.parametrize(("reply", "reason"), FAILURES, ids=lambda value: value if isinstance(value, str) else "")
def test_each_way_to_fail_has_its_reason_and_is_never_clean(clinic, server, reply, reason):
    env = {} if reply is not None else {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}  # a port that nobody serves
    server.default = reply or Reply()
    done = run(clinic, server, "--format", "json", **env)
    verdict = loads(done.out)
    assert (done.code, verdict.decision.value) == (3, "incomplete"), done
    (one,) = [r for r in verdict.runs if r.agent == "reviewer:careful"]
    assert (one.outcome.value, one.required) == ("failed", True)
    assert re.search(rf"(?:^|: |; ){reason}: ", one.reason), one.reason
    assert "not reviewed: clinic/views.py" in one.reason
    assert bool(server.messages) == (reply is not None)
    kept = agentreview("status", cwd=clinic.path)
    assert "PASS" not in kept.out.upper().replace("NOT PASSED", ""), "an answer that never came is not kept as one"


def test_a_commit_is_refused_for_a_reviewer_that_failed_and_made_once_it_answers(clinic, server):
    assert agentreview("install", cwd=clinic.path).code == 0
    server.default = Reply(status=500, error="api_error", says="broken", headers=AT_ONCE)

    def commit():
        return subprocess.run(
            ["git", "commit", "-m", "view"], cwd=clinic.path, env={**os.environ, **server.env}, capture_output=True, text=True, check=False
        )  # fmt: skip

    refused = commit()
    assert refused.returncode != 0
    assert "server-error" in refused.stderr
    server.default = Reply()
    server.on("You read carefully", reviewer(answer))
    assert commit().returncode == 0


def test_without_a_key_the_verdict_is_incomplete_and_says_what_to_set(clinic):
    done = agentreview("run", cwd=clinic.path, env={"ANTHROPIC_API_KEY": ""})
    assert done.code == 3
    assert "no-key" in done.out
    assert "ANTHROPIC_API_KEY" in done.out


def test_offline_and_warn_let_the_change_pass_and_never_look_clean(clinic, server):
    clinic.commit({"agentreview.toml": SETTINGS + 'on_incomplete_hook = "warn"\n'})
    clinic.stage({"clinic/views.py": VIEW + "\n\nLIMIT = 1\n"})
    done = run(clinic, server, AGENTREVIEW_OFFLINE="1")
    assert done.code == 0, done
    assert "offline" in done.out
    assert "on_incomplete_hook = warn" in done.out
    server.on("You read carefully", reviewer(answer))
    assert run(clinic, server).code == 0
    assert server.messages, "what was not reviewed is asked as soon as it can be"


def test_a_dry_run_sends_nothing_and_shows_what_would_be_sent(clinic, server):
    done = run(clinic, server, "--dry-run")
    assert done.code == 0
    assert server.received == []
    assert "to claude-sonnet-5-5 at 127.0.0.1" in done.out
    assert "at most" in done.out
    assert "if all(name in request.user.groups for name in names):" in done.out


def test_a_file_on_which_the_parser_never_ends_is_read_by_its_lines_and_holds_nobody_up(repo, server):
    """In the change it makes the answer incomplete; beside it, where only reviewers look, it is not looked into."""
    repo.commit({"agentreview.toml": "[limits]\nfile_seconds = 1\n", "web/guard.tsx": RUNS_AWAY})
    page = 'import { guard } from "./guard";\nimport { app } from "./app";\n\napp.get("/x", guard, (req, res) => res.json({}));\n'
    repo.stage({"web/page.tsx": page, "web/other.tsx": RUNS_AWAY})
    server.on("You are reviewer", reviewer(answer))
    done = run(repo, server, "--reviewers", "reviewer")
    assert done.code == 3, done
    assert "web/other.tsx: not checked within 1 s of processor time" in done.out
    sent = "".join(text_of(request) for request in server.messages)
    assert 'app.get("/x", guard' in sent
    assert RUNS_AWAY.strip() in sent


def test_an_unknown_reviewer_is_one_line_with_the_nearest_name(clinic, server):
    done = run(clinic, server, "--reviewers", "tenant-isolaton")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "tenant-isolation" in done.err


def test_reviewers_can_be_asked_for_once(repo, server):
    repo.commit({"clinic/models.py": MODELS})
    repo.stage({**GOOD, "clinic/state.py": VIEW})
    server.on("You are tenant-isolation", reviewer(answer))
    assert run(repo, server, "--reviewers", "tenant-isolation").code == 0
    asked = len(server.messages)
    assert asked >= 1
    costs = agentreview("costs", cwd=repo.path)
    assert "reviewer:tenant-isolation" in agentreview("costs", "--by", "agent", cwd=repo.path).out, costs
    assert run(repo, server).code == 0
    assert len(server.messages) == asked
    routed = run(repo, server, "--reviewers", "tenant-isolation", "--explain-routing")
    assert "tenant-isolation: deep" in routed.err


def test_the_commit_itself_is_refused_and_the_hook_keeps_its_seconds(clinic, server):
    clinic.commit({"agentreview.toml": SETTINGS + "hook_seconds = 2\n"}, message="settings")
    assert agentreview("install", cwd=clinic.path).code == 0
    clinic.stage({"clinic/views.py": VIEW.replace("closed", "shut")})
    server.default = Reply(seconds=300)

    started = time.monotonic()
    done = subprocess.run(
        ["git", "commit", "-m", "view"], cwd=clinic.path, env={**os.environ, **server.env}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode != 0
    assert "timeout" in done.stderr
    assert time.monotonic() - started < 120


def test_a_log_of_requests_is_for_its_owner_alone_and_holds_no_key(clinic, server, tmp_path):
    server.on("You read carefully", reviewer(answer))
    log = tmp_path / "log.jsonl"
    assert run(clinic, server, "--debug-requests", str(log)).code == 0
    assert log.stat().st_mode & 0o777 == 0o600
    text = log.read_text()
    assert "if all(name in request.user.groups" in text
    assert "sk-test" not in text


def test_secrets_and_names_of_the_change_do_not_reach_the_server(clinic, server):
    key, ssn = "AKIA" + "Q7ZJ4MWN2VXC5RTB", "078-05-1120"
    clinic.stage({"clinic/views.py": VIEW.replace('"open"', f'"open", "k": "{key}", "ssn": "{ssn}"')})
    server.on("You read carefully", reviewer(answer))
    run(clinic, server)
    (message,) = server.messages
    assert "MASKED_" in message.text
    assert key not in message.text
    assert ssn not in message.text


def test_a_cap_sends_nothing_and_is_not_clean(clinic, server):
    clinic.commit({"agentreview.toml": SETTINGS + "money_per_run = 0\n"}, message="settings")
    clinic.stage({"clinic/views.py": VIEW + "\n\nLIMIT = 1\n"})
    done = run(clinic, server)
    assert done.code == 3
    assert "over-budget" in done.out
    assert server.messages == []


def test_six_reviewers_are_asked_at_the_same_time(repo, server):
    repo.commit({"clinic/models.py": MODELS})
    repo.stage({"clinic/views.py": VIEW})

    def once_all_are_here(request):
        eventually(lambda: server.most_together == 6)
        return Reply(json=answer(text_of(request)))

    server.on("", once_all_are_here)
    names = "reviewer,tenant-isolation,hipaa-compliance,backend,tester,architect"
    assert run(repo, server, "--reviewers", names).code == 0
    assert len(server.messages) == 6
    assert server.most_together == 6


def test_a_workflow_can_only_be_stricter(clinic, server):
    flow = "---\nbranches: [strict/*]\nblock_at: medium\n---\n"
    clinic.commit({".agents/workflows/strict.md": flow, "agentreview.toml": SETTINGS})
    clinic.stage({"clinic/views.py": VIEW + "\n\nLIMIT = 1\n"})
    server.on("You read carefully", reviewer(answer))
    relaxed = run(clinic, server, "--format", "json")
    clinic.git("checkout", "-q", "-b", "strict/1")
    strict = run(clinic, server, "--format", "json")
    assert "workflow strict, by the branch strict/1" in strict.out
    assert "workflow none" in relaxed.out


def test_without_reviewers_nothing_of_them_is_imported(repo):
    import sys

    repo.commit({"clinic/models.py": MODELS})
    repo.stage({"clinic/views.py": VIEW})
    command = [sys.executable, "-X", "importtime", "-m", "agentreview", "run"]
    done = subprocess.run(command, cwd=repo.path, capture_output=True, text=True, check=False)
    assert "agentreview.compute" in done.stderr
    loaded = {line.rpartition("|")[2].strip().split(".")[0:2][-1] for line in done.stderr.splitlines() if "|" in line}
    assert not loaded & {"reviewers", "llm", "spend", "masking", "anthropic", "httpx"}


def test_the_sdk_is_loaded_only_when_something_is_sent(clinic, server):
    import sys

    def loaded(*args, **env):
        command = [sys.executable, "-X", "importtime", "-m", "agentreview", "run", *args]
        done = subprocess.run(
            command,
            cwd=clinic.path,
            env={**os.environ, **server.env, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
        assert "agentreview.reviewers.run" in names
        return done.returncode, "anthropic" in names, len(server.messages)

    server.on("You read carefully", reviewer(answer))
    assert loaded("--dry-run") == (0, False, 0)
    assert loaded(AGENTREVIEW_OFFLINE="1") == (3, False, 0)
    assert loaded() == (0, True, 1)
    clinic.stage({"NOTES.md": "The clinic opens at nine.\n"})  # another tree, and every unit of it has its answer
    assert loaded() == (0, False, 1)
    clinic.commit({"agentreview.toml": SETTINGS + "hook_seconds = 0\n"}, message="only look up")
    clinic.stage({"clinic/views.py": VIEW + "\n\nLIMIT = 1\n"})
    found = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "agentreview", "hook", "pre-commit"],
        cwd=clinic.path, env={**os.environ, **server.env, "PYTHONPROFILEIMPORTTIME": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "agentreview.reviewers.run" in found.stderr
    assert not re.search(r"\| +anthropic$", found.stderr, re.M)
    assert len(server.messages) == 1


def test_an_interruption_keeps_what_has_finished(repo, server):
    import signal

    from commandline import COMMAND

    repo.commit({"clinic/models.py": MODELS})
    repo.stage({"clinic/views.py": VIEW})
    server.on("You are backend", lambda request: Reply(json=answer(text_of(request)), seconds=60))
    server.on("You are reviewer", reviewer(answer))
    started = subprocess.Popen(
        [*COMMAND, "run", "--reviewers", "reviewer,backend"], cwd=repo.path, env={**os.environ, **server.env}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in started.stderr:
        if "reviewer has read" in line:
            break
    eventually(lambda: any("You are backend" in one.text for one in server.messages))
    os.killpg(started.pid, signal.SIGINT)
    assert started.wait(PATIENCE) == 130
    started.stderr.close()
    asked = len([m for m in server.messages if "You are reviewer" in m.text])
    server._rules[:] = [("", reviewer(answer))]
    assert run(repo, server, "--reviewers", "reviewer,backend").code == 0
    assert len([m for m in server.messages if "You are reviewer" in m.text]) == asked == 1
    assert len([m for m in server.messages if "You are backend" in m.text]) == 2


def test_ci_asks_the_reviewers_of_the_base_and_not_those_of_the_branch(clinic, server):
    clinic.git("reset", "-q", "--hard")
    clinic.git("checkout", "-q", "-b", "feature")
    clinic.commit({"clinic/views.py": VIEW, ".agents/profiles/careful.md": CAREFUL.replace("required: true\n", "")})
    clinic.commit({"agentreview.toml": "[reviewers]\nenabled = []\n"}, message="nobody reads")
    server.default = Reply(status=429, error="rate_limit_error", says="slow down", headers=(("retry-after", "0"),))
    done = agentreview("ci", "--base", "main", cwd=clinic.path, env=server.env)
    assert "reviewer:careful (required) failed: rate-limited" in done.out, done
    assert done.code == 1, "the switched-off reviewer is a finding of its own"
    server.default = Reply(text="unused")
    server.on("You read carefully", reviewer(claims_all))
    server.on("second opinion", reviewer(claims_all))
    done = agentreview("ci", "--base", "main", cwd=clinic.path, env=server.env)
    assert done.code == 1
    assert "review.access" in done.out
    assert "reviewers.enabled no longer lists 'careful'" in done.out


def test_shards_merge_to_the_report_of_the_whole_with_reviewers_too(clinic, server, tmp_path):
    views = VIEW.replace(
        "def state(",
        "def detail(request, pk):\n    row = Patient.objects.get(pk=pk)\n    return JsonResponse({'n': row.pk})\n\n\ndef state(",
    )
    clinic.git("reset", "-q", "--hard")
    clinic.git("checkout", "-q", "-b", "feature")
    clinic.commit({"clinic/views.py": views})

    def settles(text):
        open_ = re.findall(r"^   (U\d+\.S\d+): tenancy", text, re.M)
        row = where(text, "Patient.objects.get(pk=pk)")
        return answer(text, [claim(where(text, "if all(name"))], [suspect(name, "upheld", row) for name in open_])

    server.on("second opinion", replying(lambda text: verdicts(text, "upheld", "Patient.objects.get(pk=pk)")))
    server.on("You read carefully", replying(settles))
    whole = loads(agentreview("ci", "--base", "main", "--format", "json", cwd=clinic.path, env=server.env).out)
    assert any(f.rule.startswith("tenancy.") and "upheld by reviewer:careful" in f.message for f in whole.findings)
    assert any(f.agent == "reviewer:careful" for f in whole.findings)
    asked = len(server.messages)
    files = []
    for number in range(1, 5):
        files.append(str(tmp_path / f"{number}.json"))
        part = ("--shard", f"{number}/4", "--format", f"json={files[-1]}")
        done = agentreview("ci", "--base", "main", *part, cwd=clinic.path, env=server.env)
        assert done.code in (0, 1), done
    assert len(server.messages) == asked, "one shard asks, about the same units with the same questions"
    done = agentreview("merge-reports", *files, "--format", "json", cwd=tmp_path)
    merged = loads(done.out)
    assert done.code == 1
    assert (merged.decision, merged.findings, merged.rules) == (whole.decision, whole.findings, whole.rules)
    assert {r.agent: r.outcome for r in merged.runs} == {r.agent: r.outcome for r in whole.runs}
    assert set(merged.notes) == set(whole.notes)
    (asking,) = [
        file
        for file in files
        if any(r.agent == "reviewer:careful" and r.model for r in loads(Path(file).read_text()).runs)
    ]
    without = agentreview("merge-reports", *(file for file in files if file != asking), cwd=tmp_path)
    assert "reviewer:careful (required) failed: no shard's report has its answer" in without.out
    assert without.code == 1, "what the policies block is blocked all the same"


def test_the_rules_of_reviewers_are_listed_shown_and_explained(repo):
    table = agentreview("policies", "list", cwd=repo.path).out
    listed = {
        row["id"]: row for row in json.loads(agentreview("policies", "list", "--format", "json", cwd=repo.path).out)
    }
    for rule, hit in (("conduct.reviewer-addressed", "suspect"), ("review.access", "claim")):
        assert re.search(rf"^{re.escape(rule)} +\w+ +{hit} +on ", table, re.M)
        assert listed[rule]["hits"] == [hit]
        shown = agentreview("policies", "show", rule, cwd=repo.path)
        assert shown.code == 0, shown
        assert "asked by  the step of the model reviewers" in shown.out
        assert shown.out == agentreview("explain", rule, cwd=repo.path).out
    near = agentreview("policies", "show", "conduct.reviewer-adressed", cwd=repo.path)
    assert near.code == 2
    assert "conduct.reviewer-addressed" in near.err


def test_the_examples_of_the_rule_about_text_for_reviewers_hold():
    from agentreview.config import Config
    from agentreview.reviewers.addressed import RULE, addressed
    from engine import change

    lines = re.findall(r"^- (Found|Not found): `(.+)`$", RULE.help, re.M)
    assert len(lines) >= 5
    for kind, line in lines:
        found = addressed([change("a.py", "x = 1\n", f"x = 1\n{line}\n")], Config())
        assert bool(found) == (kind == "Found"), line
