"""All worktrees at once: `agentreview status`, and `agentreview run --all-worktrees`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentreview.overview import Row, summary
from commandline import BAD, GOOD, RULE, agentreview, one_line


def put(place: Path, files: dict[str, str]) -> None:
    """Write and stage files in a worktree."""
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    subprocess.run(["git", "add", "-A"], cwd=place, check=True)


@pytest.fixture
def team(repo: Any) -> Any:
    """A repository with three worktrees: the main one, a bad change on a branch, a good one on a detached HEAD."""
    repo.commit({"README.md": "a clinic\n"})
    repo.git("worktree", "add", "-q", "-b", "agent/bad", str(repo.path.parent / "bad"))
    repo.git("worktree", "add", "-q", "--detach", str(repo.path.parent / "good"))
    put(repo.path.parent / "bad", BAD)
    put(repo.path.parent / "good", GOOD)
    return repo


def rows(cwd: Path, *args: str) -> dict[str, dict[str, Any]]:
    """What `status --json` says, by directory name."""
    done = agentreview("status", "--json", *args, cwd=cwd)
    assert done.err == ""
    found = json.loads(done.out)
    assert found["schema"] == "agentreview/status/1"
    return {Path(row["path"]).name: row for row in found["worktrees"]}


def test_status_tells_what_is_staged_everywhere_and_what_is_known_of_it(team):
    seen = rows(team.path.parent / "good")
    assert [(n, r["state"], r["staged"], r["unstaged"]) for n, r in seen.items()] == [
        ("repo", "nothing staged", 0, 0),
        ("bad", "not reviewed", 2, 0),
        ("good", "not reviewed", 2, 0),
    ]
    done = agentreview("run", "--all-worktrees", cwd=team.path)
    assert done.code == 1
    (team.path.parent / "bad" / "clinic" / "views.py").write_text("x = 1\n")
    seen = rows(team.path)
    assert (seen["bad"]["state"], seen["bad"]["blocking"], seen["bad"]["unstaged"]) == ("blocked", 1, 1)
    assert (seen["good"]["state"], seen["good"]["blocking"], seen["good"]["detached"]) == ("passed", 0, True)
    assert 0 <= seen["good"]["age_seconds"] < 600
    shown = agentreview("status", cwd=team.path)
    assert shown.code == 0
    assert "../bad" in shown.out
    assert "agent/bad" in shown.out
    assert "BLOCKED: 1 blocking" in shown.out
    assert "3 worktrees: 1 blocked, 1 passed, 1 nothing staged\n" in shown.out
    assert f"next: agentreview --worktree {team.path.parent / 'bad'}" in shown.out


def test_a_verdict_that_is_not_kept_because_a_reviewer_did_not_finish_is_shown_all_the_same(team):
    bad = team.path.parent / "bad"
    done = agentreview("--reviewers", "reviewer", cwd=bad)
    assert done.code == 1
    assert "Did not finish" in done.out
    seen = rows(team.path)["bad"]
    assert (seen["state"], seen["blocking"], seen["unfinished"]) == ("blocked", 1, 1)
    good = team.path.parent / "good"
    assert agentreview("--reviewers", "reviewer", cwd=good).code == 0
    assert "passed: 1 unfinished" in agentreview("status", cwd=good).out, "a pass that lacks an answer says so"
    put(bad, {"notes.txt": "more\n"})
    assert rows(team.path)["bad"]["state"] == "not reviewed"


def test_status_from_a_bare_repository_shows_worktrees_that_are_gone_locked_or_broken_as_what_they_are(
    make_repo, tmp_path
):
    bare = make_repo("store.git", "--bare")
    seed = make_repo("seed")
    seed.commit({"README.md": "x\n"})
    seed.git("push", "-q", str(bare.path), "main")
    for name in ("one", "gone", "locked", "broken", "away"):
        bare.git("worktree", "add", "-q", "-b", name, str(tmp_path / name), "main")
    bare.git("worktree", "lock", str(tmp_path / "locked"))
    bare.git("worktree", "lock", str(tmp_path / "away"))
    shutil.rmtree(tmp_path / "gone")
    (tmp_path / "away").rename(tmp_path / "elsewhere")
    (Path(bare.path) / "worktrees" / "broken" / "index").write_bytes(b"not an index")
    done = agentreview("status", "--json", cwd=bare.path)
    seen = {Path(row["path"]).name: row for row in json.loads(done.out)["worktrees"]}
    assert {name: row["state"] for name, row in seen.items()} == {
        "store.git": "bare",
        "one": "nothing staged",
        "gone": "gone",
        "away": "gone",
        "locked": "nothing staged",
        "broken": "cannot be read",
    }
    assert (seen["locked"]["locked"], seen["away"]["locked"]) == (True, True)
    assert (seen["gone"]["why"], seen["away"]["why"]) == (
        "its directory is gone: git worktree prune",
        "its directory is not there",
    )
    assert "git status failed" in seen["broken"]["why"]
    assert done.code == 3
    everywhere = agentreview("run", "--all-worktrees", "--format", "agent", cwd=bare.path)
    assert f"== {bare.path}\nleft out: a bare repository has nothing staged\n" in everywhere.out
    assert f"== {tmp_path / 'away'} (away)\nleft out: its directory is not there\n" in everywhere.out
    shown = agentreview("status", cwd=bare.path)
    assert shown.code == 3
    assert "1 cannot be read" in shown.out


def test_status_takes_no_lock_and_leaves_every_index_as_it_is(team):
    index = Path(team.git("rev-parse", "--path-format=absolute", "--git-path", "index").strip())
    before = (index.read_bytes(), index.stat().st_mtime_ns)
    os.utime(team.path / "README.md")  # git status would like to refresh the index for this
    lock = index.with_suffix(".lock")
    lock.touch()  # another git holds it
    assert rows(team.path)["repo"]["state"] == "nothing staged"
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before
    assert lock.exists()


def test_what_is_staged_and_what_is_not_is_counted_as_git_status_does(repo):
    repo.commit({name: f"{name}\n" for name in "abcdefg"})
    repo.stage({"a": "staged\n", "new": "staged\n"})
    repo.git("rm", "-q", "--cached", "b")
    repo.write({"c": "not staged\n", "a": "staged, and changed again\n", "untracked": "x\n", "later": "x\n"})
    (repo.path / "d").unlink()
    (repo.path / "e").chmod(0o755)
    (repo.path / "f").unlink()
    (repo.path / "f").symlink_to("a")
    os.utime(repo.path / "g", (1, 1))  # touched only
    repo.git("add", "--intent-to-add", "later")
    (row,) = rows(repo.path).values()
    assert (row["staged"], row["unstaged"], row["state"]) == (3, 6, "not reviewed")


def test_a_branch_without_a_commit_and_one_that_is_called_detached_are_shown_as_what_they_are(repo):
    repo.stage({"a": "x\n"})
    (row,) = rows(repo.path).values()
    assert (row["branch"], row["staged"], row["state"], row["detached"]) == ("main", 1, "not reviewed", False)
    repo.commit()
    repo.git("checkout", "-q", "-b", "(detached)")
    (row,) = rows(repo.path).values()
    assert (row["branch"], row["detached"], row["state"]) == ("(detached)", False, "nothing staged")
    repo.git("checkout", "-q", "--detach")
    (row,) = rows(repo.path).values()
    assert (row["branch"], row["detached"]) == (None, True)


def test_git_is_asked_twice_for_a_worktree_and_for_its_tree_only_where_that_may_have_a_verdict(
    team, tmp_path, monkeypatch
):
    for number in range(8):
        team.git("worktree", "add", "-q", "-b", f"clean/{number}", str(team.path.parent / f"clean{number}"))
    real, log = shutil.which("git"), tmp_path / "log"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text(f'#!/bin/sh\necho "$@" >>{log}\nexec {real} "$@"\n')
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    def asked() -> list[str]:
        log.write_text("")
        assert len(rows(team.path)) == 11
        return log.read_text().splitlines()

    first = asked()
    assert len([line for line in first if " status " in f" {line} "]) == 11
    assert len(first) == 2 + 2 * 11, first  # the list and the commits; two each
    agentreview("run", "--all-worktrees", cwd=team.path)
    again = asked()
    assert len(again) == 2 + 2 * 11 + 2, again  # and the tree of what is staged in two
    assert len(asked()) == 2 + 2 * 11  # which is known while the index stays as it is


def test_a_verdict_is_shown_of_what_is_staged_now_however_often_that_changes(team):
    bad = team.path.parent / "bad"
    state = lambda: rows(team.path)["bad"]["state"]  # noqa: E731
    view = (bad / "clinic" / "views.py").read_text()
    assert agentreview("run", cwd=bad).code == 1
    assert (state(), state()) == ("blocked", "blocked")
    put(bad, {"clinic/views.py": view + "x = 1\n"})
    assert state() == "not reviewed"
    put(bad, {"clinic/views.py": view})
    assert state() == "blocked"
    git_dir = Path((bad / ".git").read_text().removeprefix("gitdir: ").strip())
    kept = git_dir / "agentreview" / "staged"
    assert kept.read_bytes()
    kept.write_bytes(b"nonsense")
    assert state() == "blocked"
    kept.unlink()
    kept.mkdir()  # nothing can be kept there
    assert state() == "blocked"


def test_a_worktree_that_git_cannot_read_says_so_also_where_the_look_began_early(team):
    bad = team.path.parent / "bad"
    head = Path((bad / ".git").read_text().removeprefix("gitdir: ").strip()) / "HEAD"
    head.write_text("nonsense\n")
    done = agentreview("status", cwd=team.path)
    assert (done.code, done.err) == (3, "")
    assert "cannot be read" in done.out
    assert "1 cannot be read, 1 not reviewed, 1 nothing staged" in done.out


def test_a_conflict_is_said_and_the_workflow_of_a_branch_is_named(repo):
    flow = {".agents/workflows/feature.md": "---\nname: feature\nbranches: [agent/**]\n---\n"}
    repo.commit({"a.py": "x = 1\n", **flow})
    repo.git("checkout", "-q", "-b", "agent/one")
    repo.commit({"a.py": "x = 2\n"})
    repo.git("checkout", "-q", "main")
    repo.commit({"a.py": "x = 3\n"})
    repo.git("checkout", "-q", "agent/one")
    repo.git("merge", "main", check=False)
    (row,) = rows(repo.path).values()
    assert (row["state"], row["workflow"]) == ("unmerged", "feature")
    assert "agent/one [feature]" in agentreview("status", cwd=repo.path).out


def test_hostile_names_stay_inside_their_row(repo):
    repo.commit({"a": "1"})
    name = "x\x1b[31m\nPASSED"
    repo.git("worktree", "add", "-q", "--detach", str(repo.path.parent / name))
    out = agentreview("status", cwd=repo.path).out
    assert "\x1b" not in out
    assert not any(line.startswith("PASSED") for line in out.split("\n"))


def test_all_worktrees_are_reviewed_at_once_and_a_broken_one_is_a_line_of_its_own(team):
    team.git("worktree", "add", "-q", "--detach", str(team.path.parent / "broken"))
    put(team.path.parent / "broken", {"agentreview.toml": "nonsense = 1\n"})
    done = agentreview("run", "--all-worktrees", "--format", "json", cwd=team.path)
    assert (done.code, done.err) == (1, "")
    found = json.loads(done.out)
    assert found["schema"] == "agentreview/worktrees/1"
    by = {Path(one["path"]).name: one for one in found["worktrees"]}
    assert {name: one["exit_code"] for name, one in by.items()} == {"repo": 0, "bad": 1, "good": 0, "broken": 2}
    assert [f["rule"] for f in by["bad"]["report"]["findings"] if f["status"] == "blocking"] == [RULE]
    assert by["broken"]["report"] is None
    assert "agentreview.toml:1" in by["broken"]["error"]
    shown = agentreview("run", "--all-worktrees", cwd=team.path)
    assert "4 worktrees: 1 blocked, 1 not reviewed, 2 passed\n" in shown.out
    assert "NOT REVIEWED: agentreview.toml:1" in shown.out


def test_without_a_block_a_worktree_that_could_not_be_judged_is_never_a_pass(repo):
    repo.commit({"a": "1"})
    put(repo.path, {"agentreview.toml": "nonsense = 1\n"})
    assert agentreview("run", "--all-worktrees", cwd=repo.path).code == 3


def test_code_of_the_repository_is_not_imported_by_the_processes_that_review_it(repo):
    repo.commit({"a": "1"})
    put(repo.path, {"agentreview/__init__.py": "open('/proc/self/cwd/pwned', 'w')\n", "json.py": "1 / 0\n"})
    done = agentreview("run", "--all-worktrees", "--format", "json", cwd=repo.path)
    assert json.loads(done.out)["worktrees"][0]["report"]["decision"] == "pass"
    assert not (repo.path / "pwned").exists()


@pytest.mark.parametrize("more", [["--commit", "HEAD"], ["--range", "A..B"], ["--dry-run"], ["--format", "sarif"]])
def test_what_makes_no_sense_for_all_worktrees_is_refused(repo, more):
    repo.commit({"a": "1"})
    done = agentreview("run", "--all-worktrees", *more, cwd=repo.path)
    assert done.code == 2
    assert "--all-worktrees" in one_line(done.err)


def test_outside_a_repository_both_say_so(tmp_path):
    for command in (["status"], ["run", "--all-worktrees"]):
        done = agentreview(*command, cwd=tmp_path)
        assert (done.code, done.out) == (2, "")
        assert "git repository" in one_line(done.err)


def test_the_counts_name_the_worst_first():
    found = [Row(path="a", branch=None, state=state) for state in ("passed", "blocked", "passed", "not reviewed")]
    assert summary(found) == "4 worktrees: 1 blocked, 1 not reviewed, 2 passed"
