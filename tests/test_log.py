"""`agentreview log`: who committed what under which verdict, from real commits through the real hooks."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
from typing import Any

import pytest

from agentreview.auditlog import Logged, counted
from commandline import BAD, GOOD, RULE, agentreview, one_line


def commit(repo: Any, message: str, *options: str, **env: str) -> int:
    """Commit what is staged, through the hooks."""
    argv = ["git", "commit", "-q", "-m", message, *options]
    return subprocess.run(argv, cwd=repo.path, env={**os.environ, **env}, capture_output=True, check=False).returncode


@pytest.fixture
def history(repo: Any) -> Any:
    """Four commits: before the gate, reviewed, bypassed, made without hooks."""
    repo.commit({"README.md": "x"}, "start")
    assert agentreview("install", cwd=repo.path).code == 0
    repo.stage(GOOD)
    assert commit(repo, "Add the chart") == 0
    repo.stage(BAD)
    assert commit(repo, "Leave the audit out") == 1
    assert commit(repo, "Leave the audit out", "--no-verify", AGENTREVIEW_BYPASS="the portal is down, SEC-12") == 0
    repo.stage({"notes.txt": "y"})
    assert commit(repo, '=cmd() "quoted", and\na second line', "--no-verify", GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="core.hooksPath", GIT_CONFIG_VALUE_0="/nowhere") == 0  # fmt: skip
    return repo


def test_each_commit_is_shown_with_what_stands_behind_it(history):
    done = agentreview("log", cwd=history.path)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    standings = [line[36:51].strip() for line in lines if re.match(r"[0-9a-f]{12}  ", line)]
    assert standings == ["NO RECEIPT", "BYPASSED", "reviewed", "NO RECEIPT"]
    assert "    let through by " in done.out
    assert "the portal is down, SEC-12" in done.out
    assert lines[-1] == "4 commits: 1 reviewed, 1 bypassed, 2 no receipt"
    only = agentreview("log", "--unreviewed", cwd=history.path).out
    assert "Add the chart" not in only
    assert "3 commits: 1 bypassed, 2 no receipt" in only


def test_a_receipt_that_cannot_be_read_is_counted_and_its_commit_has_none(history):
    (receipt,) = [one["receipt"] for one in commits(history) if one["standing"] == "reviewed"]
    (file,) = (history.path / ".git" / "agentreview" / "receipts").rglob(f"*{receipt}.json")
    file.write_bytes(file.read_bytes()[:-9])
    done = agentreview("log", cwd=history.path)
    assert done.code == 0
    assert "1 bypassed, 3 no receipt" in done.out
    said = "agentreview: 1 file named like a receipt cannot be read as one and is left out. See why: agentreview receipts verify"
    assert one_line(done.err) == said
    assert one_line(agentreview("log", "--csv", cwd=history.path).err) == said
    found = json.loads(agentreview("log", "--json", cwd=history.path).out)
    assert found["refused"] == [{"receipt": receipt, "why": "its name is not the hash of its bytes"}]
    for arguments in (("list",), ("export",)):
        assert one_line(agentreview("receipts", *arguments, cwd=history.path).err) == said
    file.unlink()
    file.mkdir()
    assert "it is no regular file" in agentreview("receipts", "verify", cwd=history.path).out
    assert one_line(agentreview("log", cwd=history.path).err) == said


def commits(repo: Any) -> list[dict[str, Any]]:
    found = json.loads(agentreview("log", "--json", cwd=repo.path).out)
    assert found["refused"] == []
    return found["commits"]


def test_json_has_every_field_and_agrees_with_git(history):
    found = json.loads(agentreview("log", "--json", cwd=history.path).out)
    assert found["schema"] == "agentreview/log/1"
    assert [one["commit"] for one in found["commits"]] == history.git("rev-list", "HEAD").split()
    last, bypassed, reviewed, first = found["commits"]
    assert (reviewed["standing"], reviewed["subject"]) == ("reviewed", "Add the chart")
    assert "policy:hipaa" in reviewed["agents"]
    assert reviewed["reviewed_by"] == bypassed["reviewed_by"] == reviewed["author"]
    assert len(reviewed["receipt"]) == 64
    assert (bypassed["standing"], bypassed["bypass"]) == ("bypassed", "the portal is down, SEC-12")
    assert (last["standing"], first["standing"]) == ("no receipt", "no receipt")
    dates = history.git(
        "log", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", env={**os.environ, "TZ": "UTC"}
    )
    assert [one["at"] for one in found["commits"]] == dates.split()


def test_a_table_runs_nothing_in_a_spreadsheet(history):
    done = agentreview("log", "--csv", cwd=history.path)
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert len(rows) == 4
    assert rows[0]["subject"] == '\'=cmd() "quoted", and a second line'
    assert not any(str(cell).startswith(("=", "+", "@", "-")) for row in rows for cell in row.values())


def test_waivers_are_listed_with_their_reason(repo):
    repo.commit({"README.md": "x"}, "start")
    assert agentreview("install", cwd=repo.path).code == 0
    waived = BAD["clinic/views.py"].replace(
        "    patient = ", f"    # agentreview: ignore[{RULE}] the portal logs reads itself\n    patient = "
    )
    repo.stage({**BAD, "clinic/views.py": waived})
    assert commit(repo, "Add the chart") == 0
    out = agentreview("log", "HEAD~1..HEAD", cwd=repo.path).out
    assert f"    waived {RULE} in clinic/views.py: the portal logs reads itself" in out
    assert out.endswith("1 commit: 1 reviewed; 1 finding waived\n")


def test_a_period_is_one_of_stated_dates(repo):
    for day in ("2026-01-10", "2026-03-05", "2026-02-01"):  # the last one was made on a machine whose clock was behind
        stamp = f"{day}T12:00:00Z"
        repo.stage({"a": day})
        subprocess.run(
            ["git", "commit", "-q", "-m", day], cwd=repo.path, check=True,
            env={**os.environ, "GIT_COMMITTER_DATE": stamp, "GIT_AUTHOR_DATE": stamp},
        )  # fmt: skip
    found = json.loads(
        agentreview("log", "--since", "2026-02-01", "--until", "2026-03-05", "--json", cwd=repo.path).out
    )
    assert [one["subject"] for one in found["commits"]] == ["2026-02-01", "2026-03-05"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--since", "yesterday"],
        ["--until", "2026-02-30"],
        ["--since", "2026-W40-1"],
        ["--since", "2026-03-01", "--until", "2026-02-01"],
        ["--csv", "--json"],
        ["nothing-of-that-name"],
        ["--output=x"],
        ["HEAD..nothing"],
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(repo, arguments):
    repo.commit({"a": "1"})
    done = agentreview("log", *arguments, cwd=repo.path)
    assert (done.code, done.out) == (2, "")
    one_line(done.err)


def test_hostile_texts_stay_inside_their_line(repo):
    repo.stage({"a": "1"})
    repo.git("-c", "user.name=x\x1b[31m", "commit", "-q", "-m", "a\x1b]0;title\x07\u202eb")
    out = agentreview("log", cwd=repo.path).out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_the_count_says_what_there_is():
    assert counted([]) == "0 commits"
    one = Logged(commit="a", at="", author="", subject="", standing="carried over")
    assert counted([one]) == "1 commit: 1 carried over"
