"""``agentreview learn`` as people run it: what it prints, keeps and leaves alone, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from commandline import BAD, COMMAND, GOOD, HEAD, RULE, agentreview, one_line
from test_exit_codes import HURRY, untouched
from waiting import PATIENCE, eventually

SCHEMA = json.loads(resources.files("agentreview").joinpath("schemas/learn-1.schema.json").read_text("utf-8"))


@pytest.fixture
def clinic(repo: Any) -> Any:
    """Prose, a commit that would be blocked, and its fix; something is staged, and something is not."""
    repo.commit({"README.md": "clinic\n"})
    repo.commit(BAD)
    repo.commit(GOOD)
    repo.stage({"clinic/staged.py": "x = 1\n"})
    repo.write({"clinic/staged.py": "x = 2\n", "clinic/loose.py": "x = 3\n"})
    return repo


def learned(cwd: Path, *args: str, code: int = 0) -> dict[str, Any]:
    """Run ``learn --format json``; the report is checked against the schema, and nothing may be on stderr."""
    done = agentreview("learn", "--format", "json", *args, cwd=cwd)
    assert (done.code, done.err) == (code, ""), done
    report: dict[str, Any] = json.loads(done.out)
    Draft202012Validator(SCHEMA).validate(report)
    commits = report["commits"]
    assert commits["total"] == sum(commits[k] for k in ("blocked", "advised", "silent", "unread", "unreviewed"))
    return report


def policy(report: dict[str, Any], name: str = RULE) -> dict[str, Any]:
    (found,) = (p for p in report["policies"] if p["id"] == name)
    return dict(found)


def processes_in(path: Path) -> list[str]:
    """Processes whose working directory is there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == path:
                found.append(entry.name)
        except OSError:
            continue
    return found


def test_a_history_with_a_commit_that_would_be_blocked_is_a_report_and_exits_0(clinic):
    with untouched(clinic.path):
        report = learned(clinic.path)
    assert report["commits"]["blocked"] == 1
    assert report["commits"]["unread"] == 1
    shown = policy(report)
    assert (shown["commits_blocked"], shown["share_blocked"]) == (1, 0.3333)
    (sample,) = shown["samples"]
    assert sample["commit"] == clinic.git("rev-parse", "HEAD~1").strip()
    assert (sample["path"], sample["unit"], sample["status"]) == ("clinic/views.py", "patient_detail", "blocking")


def test_the_second_run_reviews_nothing_and_says_the_same(clinic):
    first, second = learned(clinic.path, "--jobs", "1"), learned(clinic.path, "--jobs", "2")
    assert (first["commits"].pop("known_before"), second["commits"].pop("known_before")) == (0, 3)
    assert first == second


def test_another_configuration_or_a_fresh_run_reviews_everything_again(clinic):
    learned(clinic.path)
    clinic.stage({"agentreview.toml": f'[policies]\n"{RULE}" = "advisory"\n'})
    changed = learned(clinic.path)
    assert changed["commits"]["known_before"] == 0
    assert (policy(changed)["level"], policy(changed)["commits_blocked"]) == ("advisory", 0)
    assert changed["configuration"]["path"] == "agentreview.toml"
    assert learned(clinic.path, "--fresh")["commits"]["known_before"] == 0
    assert learned(clinic.path)["commits"]["known_before"] == 3


def test_a_new_commit_is_the_only_one_that_is_reviewed(clinic):
    learned(clinic.path)
    clinic.commit()
    assert learned(clinic.path)["commits"]["known_before"] == 3


def test_a_damaged_result_is_reviewed_again(clinic):
    learned(clinic.path)
    kept = [path for path in (clinic.path / ".git/agentreview/learn").rglob("*") if path.is_file()]
    assert len(kept) == 3
    kept[0].write_bytes(kept[0].read_bytes()[:-10])
    assert learned(clinic.path)["commits"]["known_before"] == 2


def test_the_same_results_serve_every_worktree(clinic):
    learned(clinic.path)
    clinic.git("worktree", "add", "-q", "../second", "HEAD")
    assert learned(clinic.path.parent / "second")["commits"]["known_before"] == 3
    assert learned(clinic.path.parent, "--worktree", "second")["commits"]["known_before"] == 3


def test_on_paper(clinic):
    learned(clinic.path)
    done = agentreview("learn", cwd=clinic.path, env={"COLUMNS": "80"})
    assert done.code == 0
    assert "3 commits of HEAD" in done.out
    assert "0 reviewed now, 3 known from before" in done.out
    assert RULE in done.out
    assert re.search(r"^  [0-9a-f]{12} blocks clinic/views.py:\d+ in patient_detail$", done.out, re.MULTILINE)
    paper = agentreview("learn", "--format", "markdown", "--samples", "0", cwd=clinic.path).out
    assert f"| `{RULE}` | 1  33.3 % | - | 1 | - |" in paper
    assert "clinic/views.py" not in paper


def test_a_policy_that_often_blocks_is_proposed_as_advice_that_can_be_pasted(repo):
    repo.commit({"README.md": "clinic\n"})
    for number in range(3):
        repo.commit({f"clinic/views{number}.py": BAD["clinic/views.py"]})
    toml = learned(repo.path)["toml"]
    assert f'"{RULE}" = "advisory"' in toml
    repo.stage({"agentreview.toml": toml})
    assert policy(learned(repo.path))["commits_blocked"] == 0


def test_a_commit_that_cannot_be_read_is_named_and_the_report_is_incomplete(clinic):
    blob = clinic.git("rev-parse", "HEAD~1:clinic/views.py").strip()
    (clinic.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    report = learned(clinic.path, code=3)
    assert report["exit_code"] == 3
    assert report["commits"]["unreviewed"] == 2
    assert [entry["commit"] for entry in report["not_reviewed"]] == clinic.git("rev-list", "-n2", "HEAD").split()
    assert all(blob in entry["reason"] for entry in report["not_reviewed"])
    assert agentreview("learn", cwd=clinic.path).code == 3


def test_a_file_that_takes_too_long_makes_its_commit_incomplete_and_is_tried_again(repo):
    repo.commit({"agentreview.toml": HURRY})
    repo.commit({"clinic/big.py": HEAD + "".join(f"def f{n}(a):\n    return [a, {n}]\n\n" for n in range(6000))})
    for _ in range(2):
        report = learned(repo.path, code=3)
        (entry,) = report["not_reviewed"]
        assert "clinic/big.py: not checked within 0.01 s" in entry["reason"]


def test_a_shallow_clone_says_where_its_history_ends(clinic):
    clinic.git("clone", "-q", "--depth", "2", f"file://{clinic.path}", str(clinic.path.parent / "shallow"))
    report = learned(clinic.path.parent / "shallow", code=3)
    (entry,) = report["not_reviewed"]
    assert "--unshallow" in entry["reason"]
    assert report["commits"]["total"] == 2


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--range", "main"), "main is not a range. Write BASE..HEAD"),
        (("--range", "gone..main"), "gone names no commit"),
        (("--commits", "0"), "Invalid value for '--commits'"),
        (("--jobs", "0"), "Invalid value for '--jobs'"),
        (("--format", "xml"), "Invalid value for '--format'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(clinic, args, says):
    done = agentreview("learn", *args, cwd=clinic.path)
    assert (done.code, done.out) == (2, "")
    assert says in one_line(done.err)


def test_a_place_without_history_is_one_line(make_repo, tmp_path):
    for path, says in (
        (make_repo("bare", "--bare").path, "is a bare repository"),
        (make_repo("unborn").path, "no commit here yet"),
        (tmp_path, "is not in a git repository"),
    ):
        done = agentreview("learn", cwd=path)
        assert (done.code, done.out) == (2, "")
        assert says in one_line(done.err)


def test_a_mistake_in_the_configuration_is_one_line(clinic):
    clinic.stage({"agentreview.toml": "block_at = 3\n"})
    done = agentreview("learn", cwd=clinic.path)
    assert (done.code, done.out) == (2, "")
    assert "agentreview.toml:1" in one_line(done.err)


def test_a_store_that_cannot_be_written_costs_the_results_and_nothing_else(clinic):
    (clinic.path / ".git/agentreview").write_text("in the way")
    done = agentreview("learn", "--format", "json", cwd=clinic.path)
    assert done.code == 0
    assert json.loads(done.out)["commits"]["blocked"] == 1
    assert "could not be kept, so the next run reviews again" in one_line(done.err)


def test_hostile_names_are_escaped(repo):
    repo.commit({"a.py": "x = 1\n"}, "\x1b]0;title\x07\n\nparent 0")
    repo.commit({"\x1b[2Ja\nb.py": BAD["clinic/views.py"]}, "::error::x")
    for form in ("terminal", "markdown"):
        out = agentreview("learn", "--format", form, cwd=repo.path).out
        assert r"\x1b[2Ja\x0ab.py" in out
        assert out.replace("\n", "").isprintable()


@pytest.mark.parametrize("everybody", [False, True], ids=["kill -INT", "Ctrl-C"])
def test_an_interrupted_run_keeps_what_is_finished_and_goes_on_there(repo, everybody):
    for number in range(30):
        repo.commit({"clinic/views.py": BAD["clinic/views.py"] + f"\n\nx = {number}\n" * 200})
    process = subprocess.Popen(
        [*COMMAND, "learn", "--jobs", "2"], cwd=repo.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    folder = repo.path / ".git/agentreview/learn"
    eventually(lambda: sum(path.is_file() for path in folder.glob("*/*")) >= 3)
    (os.killpg if everybody else os.kill)(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert out == b""
    said = one_line(err.decode())
    assert "of 30 commits are reviewed and kept; the same command (without --fresh) goes on from there" in said
    assert processes_in(repo.path) == []
    finished = int(said.split("interrupted: ")[1].split()[0])
    assert 0 < finished < 30
    # The one that was being kept at this very moment may be there and not counted.
    assert learned(repo.path)["commits"]["known_before"] in (finished, finished + 1)


def test_progress_is_shown_on_a_terminal_only(clinic):
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*COMMAND, "learn", "--jobs", "1"], cwd=clinic.path, stdout=subprocess.PIPE, stderr=theirs, check=False,
        env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "reviewing commits" in shown
    assert "100%" in shown
    assert agentreview("learn", "--fresh", cwd=clinic.path).err == ""
