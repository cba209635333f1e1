"""The hooks with real git: a change that was judged passes without Python, and only what was judged is committed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentreview.git import open_repository
from agentreview.install import install
from standin import make_standin

REVIEWED = "hook pre-commit"
AMBIGUOUS = "only what the amend adds"
UNREVIEWED = "was not reviewed here"
CHANGED = "the index changed during the review"


class Gated:
    """A repository with the native hooks, run by the stand-in reviewer; ``runs`` lists when Python was started."""

    def __init__(self, repo: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.repo, self.path, self.git, self.stage, self.write = repo, repo.path, repo.git, repo.stage, repo.write
        self.command, self.version_file = make_standin(folder / "tool")
        self.log = folder / "log"
        monkeypatch.setenv("STANDIN_LOG", str(self.log))
        install(open_repository(str(repo.path)), native=True, command=self.command, version_file=self.version_file)

    def try_git(self, *args: str, cwd: Path | None = None, **env: str) -> tuple[int, str]:
        """Run git; returns its exit code and everything it and the hooks printed."""
        done = subprocess.run(
            ["git", *args],
            cwd=cwd or self.path,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def commit(self, *args: str, **env: str) -> tuple[int, str]:
        return self.try_git("commit", "-q", "-m", "work", *args, **env)

    def runs(self) -> list[str]:
        """What was asked of Python since the last call."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith("range")]

    def head(self) -> str:
        return self.git("rev-parse", "HEAD", check=False).strip()

    def undo(self) -> None:
        """Take the last commit back, keeping its change staged, so that the same change can be committed again."""
        self.git("reset", "--soft", "HEAD^")


@pytest.fixture
def gated(repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gated:
    repo.commit({"a.py": "a = 1\n", "b.py": "b = 1\n"})
    return Gated(repo, tmp_path, monkeypatch)


def test_a_bad_change_is_refused_with_the_report_and_a_fixed_one_is_committed(gated: Gated) -> None:
    before = gated.head()
    gated.stage({"a.py": "BAD\n"})
    code, output = gated.commit()
    assert code == 1
    assert "BLOCKED: there is BAD in it" in output
    assert gated.head() == before
    gated.stage({"a.py": "good\n"})
    assert gated.commit() == (0, "")
    assert gated.head() != before


def test_a_change_that_was_judged_before_passes_without_python(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    assert gated.commit()[0] == 0
    assert gated.runs() == [REVIEWED]
    gated.undo()
    assert gated.commit() == (0, "")
    assert gated.runs() == []


def test_a_blocked_change_is_looked_at_by_python_every_time(gated: Gated) -> None:
    gated.stage({"a.py": "BAD\n"})
    for _ in range(2):
        assert gated.commit()[0] == 1
        assert gated.runs() == [REVIEWED]


def test_an_upgrade_of_the_package_makes_every_old_verdict_a_miss(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.undo()
    gated.runs()
    gated.version_file.write_text("10.0\n")
    assert gated.commit()[0] == 0
    assert gated.runs() == [REVIEWED]


def test_without_a_version_file_python_always_looks(gated: Gated) -> None:
    install(open_repository(str(gated.path)), native=True, command=gated.command, version_file=None)
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.undo()
    gated.runs()
    assert gated.commit()[0] == 0
    assert gated.runs() == [REVIEWED]


@pytest.mark.parametrize("lost", ["version", "command"])
def test_a_removed_package_refuses_in_one_line_that_says_what_to_do(gated: Gated, lost: str) -> None:
    gated.stage({"a.py": "good\n"})
    Path(gated.version_file if lost == "version" else gated.command).unlink()
    code, output = gated.commit()
    assert code != 0
    assert output.count("\n") == 1
    assert "is gone" in output
    assert "agentreview install" in output
    assert 'rm "$(git rev-parse --git-path hooks/pre-commit)"' in output


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"pass"),
        lambda file: file.write_bytes(b"pass\n\n{}"),
        lambda file: file.write_bytes(b" pass\nb2:x\n{}"),
        lambda file: file.write_bytes(b"passed\nb2:x\n{}"),
        lambda file: file.write_bytes(b"block\npass\n"),
        lambda file: file.unlink() or file.mkdir(),
    ],
)
def test_a_damaged_verdict_is_reviewed_again(gated: Gated, harm: Callable[[Path], object]) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.undo()
    gated.runs()
    (file,) = (gated.path / ".git/agentreview/verdicts/9.9").iterdir()
    harm(file)
    assert gated.commit()[0] == 0
    assert gated.runs()[0] == REVIEWED


@pytest.mark.parametrize(("today", "python"), [("20270221", False), ("20270222", True), ("", True), ("x", True)])
def test_a_verdict_that_a_waiver_dates_is_looked_up_until_that_day(
    gated: Gated, tmp_path: Path, today: str, python: bool
) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.undo()
    (file,) = (gated.path / ".git/agentreview/verdicts/9.9").iterdir()
    file.write_bytes(file.read_bytes().replace(b"pass", b"pass 20270222", 1))
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "date").write_text(f"#!/bin/sh\nprintf '%s' '{today}'\n")
    (folder / "date").chmod(0o755)
    gated.runs()
    assert gated.commit(PATH=f"{folder}:{os.environ['PATH']}")[0] == 0
    assert bool(gated.runs()) is python


def test_a_deleted_store_costs_time_and_nothing_else(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.undo()
    gated.runs()
    shutil.rmtree(gated.path / ".git/agentreview")
    assert gated.commit() == (0, "")
    assert gated.runs() == [REVIEWED]


# ---- which index, which repository


MODES = {
    "plain": ((), {"a.py"}),
    "all": (("-a",), {"a.py", "b.py"}),
    "only": (("b.py",), {"b.py"}),
    "include": (("--include", "b.py"), {"a.py", "b.py"}),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_tree_that_is_looked_up_is_the_one_git_commits(gated: Gated, mode: str) -> None:
    arguments, paths = MODES[mode]
    gated.stage({"a.py": "good\n"})
    gated.write({"b.py": "good too\n"})
    assert gated.commit("--", *arguments) if mode == "only" else gated.commit(*arguments)
    assert set(gated.git("diff", "--name-only", "HEAD^").split()) >= paths
    tree = gated.git("rev-parse", "HEAD^{tree}").strip()
    (verdict,) = (gated.path / ".git/agentreview/verdicts/9.9").iterdir()
    assert verdict.name.endswith(f"-{tree}")
    gated.runs()
    gated.undo()
    gated.git("read-tree", "HEAD")
    gated.git("add", "a.py")
    assert (gated.commit("--", *arguments) if mode == "only" else gated.commit(*arguments)) == (0, "")
    assert gated.runs() == []


@pytest.mark.parametrize("mode", MODES)
def test_bad_content_is_refused_in_every_way_to_commit_it(gated: Gated, mode: str) -> None:
    arguments, _ = MODES[mode]
    gated.stage({"a.py": "good\n" if mode != "plain" else "BAD\n"})
    gated.write({"b.py": "BAD\n"})
    before = gated.head()
    code, output = gated.commit("--", *arguments) if mode == "only" else gated.commit(*arguments)
    assert (code, gated.head()) == (1, before)
    assert "BLOCKED" in output


@pytest.mark.parametrize("name", ["with space", "new\nline", "quo'te\"$(touch x)`y`", "-dash", "ünï*[a]?"])
def test_any_directory_name_works(make_repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    repo = make_repo(f"{name}/repo")
    repo.commit({"a": "1"})
    gated = Gated(repo, tmp_path / name, monkeypatch)
    worktree = tmp_path / name / "linked"
    gated.git("worktree", "add", "-q", str(worktree), "-b", "other")
    for place in (gated.path, worktree):
        (place / "a").write_text("good\n")
        gated.git("-C", str(place), "add", "-A")
        gated.runs()
        code, output = gated.try_git("commit", "-q", "-m", "x", cwd=place)
        assert (code, output) == (0, "")
        gated.git("-C", str(place), "reset", "--soft", "HEAD^")
        # where git's answer has a line end inside, the look-up gives up and Python decides
        gated.runs()
        assert gated.try_git("commit", "-q", "-m", "x", cwd=place) == (0, "")
        assert gated.runs() == ([REVIEWED] if "\n" in name and place == worktree else [])
        (place / "a").write_text("BAD\n")
        assert gated.try_git("commit", "-q", "-a", "-m", "x", cwd=place)[0] == 1
    assert not (gated.path / "x").exists()


def test_a_verdict_of_one_worktree_passes_in_another_and_records_stay_apart(gated: Gated, tmp_path: Path) -> None:
    other = tmp_path / "other"
    gated.git("worktree", "add", "-q", str(other), "-b", "other")
    gated.stage({"a.py": "good\n"})
    assert gated.commit() == (0, "")
    gated.runs()
    (other / "a.py").write_text("good\n")
    assert gated.try_git("commit", "-qam", "same", cwd=other) == (0, "")
    assert gated.runs() == []
    assert (gated.path / ".git/worktrees/other/agentreview/judged").read_text() == ""
    (other / "a.py").write_text("BAD\n")
    assert gated.try_git("commit", "-qam", "bad", cwd=other)[0] == 1


def test_a_git_dir_and_work_tree_given_by_hand_work(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    where = (f"--git-dir={gated.path}/.git", f"--work-tree={gated.path}")
    assert gated.try_git(*where, "commit", "-q", "-m", "x", cwd=Path("/")) == (0, "")
    gated.undo()
    gated.runs()
    assert gated.try_git(*where, "commit", "-q", "-m", "x", cwd=Path("/")) == (0, "")
    assert gated.runs() == []


def test_the_first_commit_of_all_is_reviewed(repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gated = Gated(repo, tmp_path, monkeypatch)
    gated.stage({"a.py": "BAD\n"})
    assert gated.commit()[0] == 1
    gated.stage({"a.py": "good\n"})
    assert gated.commit() == (0, "")


def test_sha256_repositories_work(make_repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = make_repo("sha256", "--object-format=sha256")
    repo.commit({"a.py": "1\n"})
    gated = Gated(repo, tmp_path, monkeypatch)
    gated.stage({"a.py": "good\n"})
    assert gated.commit() == (0, "")
    gated.undo()
    gated.runs()
    assert gated.commit() == (0, "")
    assert gated.runs() == []


@pytest.mark.parametrize("setting", ["core.splitIndex=true", "index.version=4", "core.untrackedCache=true"])
def test_unusual_indexes_work_and_nothing_is_left_behind(gated: Gated, setting: str) -> None:
    gated.git("config", *setting.split("="))
    gated.git("update-index", "--force-write-index", *(["--split-index"] if "split" in setting else []))
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.undo()
    gated.runs()
    assert gated.commit() == (0, "")
    assert gated.runs() == []
    assert sorted(path.name for path in (gated.path / ".git/agentreview").iterdir()) == ["judged", "verdicts"]


def test_the_users_own_index_file_is_the_one_that_counts(gated: Gated) -> None:
    for value in (".git/mine", str(gated.path / "mine index")):
        shutil.copy(gated.path / ".git/index", gated.path / value)
        (gated.path / "a.py").write_text("BAD\n")
        gated.try_git("add", "a.py", GIT_INDEX_FILE=value)
        assert gated.commit(GIT_INDEX_FILE=value)[0] == 1
        assert gated.git("status", "--porcelain", "-uno").startswith(" M")


def test_neither_index_nor_work_tree_is_touched(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    gated.write({"b.py": "unstaged\n"})
    assert gated.commit("--dry-run")[0] == 0  # git itself refreshes the index once
    index = (gated.path / ".git/index").read_bytes()
    files = sorted(gated.path.glob("*"))
    for expected in ([REVIEWED], []):
        subprocess.run([gated.path / ".git/hooks/pre-commit"], cwd=gated.path, check=True)
        assert gated.runs() == expected
    assert (gated.path / ".git/index").read_bytes() == index
    assert sorted(gated.path.glob("*")) == files
    assert (gated.path / "b.py").read_text() == "unstaged\n"


@pytest.mark.parametrize(
    "env",
    [
        {"GIT_TRACE": "1", "GIT_TRACE_SETUP": "1"},
        {"GIT_LITERAL_PATHSPECS": "0", "GIT_GLOB_PATHSPECS": "1"},
        {"GIT_NO_REPLACE_OBJECTS": "", "GIT_REPLACE_REF_BASE": "refs/heads/"},
        {"CDPATH": "/:/tmp", "IFS": "/", "ENV": "/dev/null", "POSIXLY_CORRECT": "1"},
        {"GIT_DEFAULT_HASH": "sha256", "GIT_CEILING_DIRECTORIES": "/"},
        {"VERSION_FILE": "/dev/null", "AGENTREVIEW": "/bin/true", "HOOK": "none", "copy": "/etc/x", "base": "0" * 40},
        {"PRE_COMMIT": "1", "PRE_COMMIT_COMMIT_MSG_SOURCE": "message", "PREK_HOOK_STAGE": "prepare-commit-msg"},
    ],
)
def test_no_variable_in_the_environment_lets_a_bad_change_through(gated: Gated, env: dict[str, str]) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    before = gated.head()
    gated.stage({"a.py": "BAD\n"})
    code, output = gated.commit(**env)
    assert (code, gated.head()) == (1, before)
    assert "BLOCKED" in output


def test_a_replaced_head_does_not_borrow_the_verdict_of_another_base(gated: Gated) -> None:
    """A replace ref shows HEAD as a commit whose tree makes the bad change look as if it were there before."""
    gated.stage({"a.py": "BAD\n"})
    tree = gated.git("write-tree").strip()
    fake = gated.git("commit-tree", "-m", "x", tree).strip()
    gated.git("replace", gated.head(), fake)
    folder = gated.path / ".git/agentreview/verdicts/9.9"
    folder.mkdir(parents=True)
    (folder / f"{tree}-{tree}").write_text("pass\nb2:x\n{}")
    assert gated.commit("--allow-empty")[0] == 1


# ---- the second look


RACE = "echo {text} > a.py && git add a.py"


@pytest.mark.parametrize("text", ["BAD", "harmless"])
def test_what_is_staged_during_the_review_is_not_committed(gated: Gated, text: str) -> None:
    before = gated.head()
    gated.stage({"a.py": "good\n"})
    code, output = gated.commit(STANDIN_DURING=RACE.format(text=text))
    assert (code, gated.head()) == (1, before)
    assert f"agentreview: {CHANGED}: M a.py. Nothing was committed; run git commit again\n" in output
    assert gated.commit()[0] == (1 if text == "BAD" else 0)


def test_the_list_of_what_changed_is_short_and_escaped(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    during = "for i in 1 2 3 4 5 6 7; do echo > \"$(printf 'x\\033[31m%s\\nline' $i)\"; done; git add -A"
    _, output = gated.commit(STANDIN_DURING=during)
    (line,) = [line for line in output.splitlines() if CHANGED in line]
    assert line.count("A x\\x1b[31m") == 5
    assert "and 2 more" in line
    assert "\x1b" not in output


def test_a_commit_of_all_holds_the_index_lock_so_the_race_fails(gated: Gated) -> None:
    gated.write({"a.py": "good\n"})
    during = "git add b.py 2>/dev/null && exit 9; exit 0"
    assert gated.commit("-a", STANDIN_DURING=during) == (0, "")


def test_no_verify_passes_with_one_line_that_says_so(gated: Gated) -> None:
    gated.stage({"a.py": "BAD\n"})
    code, output = gated.commit("--no-verify")
    assert code == 0
    assert output.count("\n") == 1
    assert UNREVIEWED in output


def test_no_verify_of_a_change_that_passed_before_is_silent(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.undo()
    assert gated.commit("--no-verify") == (0, "")


def leave_stale_record(gated: Gated) -> None:
    """Stop a commit after pre-commit and before prepare-commit-msg: there is nothing to commit."""
    assert gated.commit()[0] == 1
    assert len((gated.path / ".git/agentreview/judged").read_text().split()) == 4


def test_a_stale_record_neither_refuses_nor_passes_a_later_commit_without_verification(gated: Gated) -> None:
    leave_stale_record(gated)
    gated.stage({"a.py": "BAD\n"})
    code, output = gated.commit("--no-verify")
    assert code == 0
    assert CHANGED not in output
    assert UNREVIEWED in output


def test_a_stale_record_does_not_refuse_a_later_reviewed_commit(gated: Gated) -> None:
    leave_stale_record(gated)
    gated.stage({"a.py": "good\n"})
    assert gated.commit() == (0, "")


def test_the_record_is_used_up_also_when_the_editor_is_left_without_a_message(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    code, output = gated.try_git("commit", "-q", GIT_EDITOR="true")
    assert code == 1
    assert "agentreview" not in output
    assert (gated.path / ".git/agentreview/judged").read_text() == ""
    gated.stage({"a.py": "BAD\n"})
    assert UNREVIEWED in gated.commit("--no-verify")[1]


def test_two_commits_at_once_in_one_worktree_do_not_take_each_others_record(gated: Gated) -> None:
    """While the first waits in its review, a second one without verification goes through all the way."""
    gated.stage({"a.py": "good\n"})
    during = (
        "echo other > b.py; GIT_INDEX_FILE=.git/second git read-tree HEAD; GIT_INDEX_FILE=.git/second git add b.py;"
    )
    during += "unset STANDIN_DURING; GIT_INDEX_FILE=.git/second git commit -q -m second 2>&1"
    code, output = gated.commit(STANDIN_DURING=during)
    assert code != 0  # git itself: HEAD moved
    assert CHANGED not in output


# ---- amend, merge, squash, rebase and the rest


def test_amend_is_reviewed_and_a_reviewed_commit_is_amended_silently(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.stage({"a.py": "better\n"})
    assert gated.commit("--amend") == (0, "")
    assert gated.commit("--amend", "-m", "only the message") == (0, "")
    gated.stage({"a.py": "BAD\n"})
    assert gated.commit("--amend")[0] == 1


def test_amending_a_commit_that_nobody_reviewed_is_said(gated: Gated) -> None:
    """git tells of an amend only when the message comes from the old commit; pre-push and CI see the rest."""
    gated.stage({"a.py": "BAD\n"})
    gated.commit("--no-verify")
    gated.stage({"b.py": "BAD\n"})
    gated.commit("--no-verify")
    gated.stage({"a.py": "good\n", "b.py": "good\n"})
    code, output = gated.try_git("commit", "-q", "--amend", "--no-edit")
    assert (code, output.count("\n")) == (0, 1)
    assert AMBIGUOUS in output


def diverge(gated: Gated, theirs: dict[str, str], ours: dict[str, str]) -> None:
    gated.git("checkout", "-q", "-b", "side")
    gated.stage(theirs)
    gated.git("commit", "-q", "--no-verify", "-m", "theirs")
    gated.git("checkout", "-q", "main")
    gated.stage(ours)
    gated.git("commit", "-q", "--no-verify", "-m", "ours")
    gated.runs()


def test_a_clean_merge_is_reviewed_and_refused_or_committed(gated: Gated) -> None:
    diverge(gated, {"s.py": "BAD\n"}, {"m.py": "m\n"})
    code, output = gated.try_git("merge", "-q", "--no-edit", "side")
    assert (code != 0, gated.git("cat-file", "-t", "HEAD^2", check=False)) == (True, "")
    assert "BLOCKED" in output
    gated.git("merge", "--abort")
    gated.git("checkout", "-q", "-B", "side", "main~1")
    gated.stage({"s.py": "good\n"})
    gated.commit()
    gated.git("checkout", "-q", "main")
    gated.runs()
    assert gated.try_git("merge", "-q", "--no-edit", "side")[0] == 0
    assert gated.runs() == ["hook pre-merge-commit"]
    gated.git("reset", "-q", "--hard", "HEAD^")
    assert gated.try_git("merge", "-q", "--no-edit", "side")[0] == 0
    assert gated.runs() == []


def test_a_resolved_merge_is_reviewed_when_it_is_committed(gated: Gated) -> None:
    diverge(gated, {"a.py": "theirs\n"}, {"a.py": "ours\n"})
    assert gated.try_git("merge", "-q", "side")[0] == 1
    gated.stage({"a.py": "BAD\n"})
    assert gated.commit()[0] == 1
    gated.stage({"a.py": "good\n"})
    assert gated.commit() == (0, "")
    assert gated.git("rev-parse", "HEAD^2")


def test_an_unmerged_index_is_refused(gated: Gated) -> None:
    diverge(gated, {"a.py": "theirs\n"}, {"a.py": "ours\n"})
    gated.try_git("merge", "-q", "side")
    hook = gated.path / ".git/hooks/pre-commit"
    done = subprocess.run([hook], cwd=gated.path, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"unmerged" in done.stderr


def test_squash_merges_are_reviewed(gated: Gated) -> None:
    diverge(gated, {"s.py": "BAD\n"}, {"m.py": "m\n"})
    gated.git("merge", "-q", "--squash", "side")
    assert gated.commit()[0] == 1


def test_rebase_cherry_pick_and_revert_are_not_stopped_half_way(gated: Gated) -> None:
    diverge(gated, {"s.py": "BAD\n"}, {"m.py": "m\n"})
    assert gated.try_git("cherry-pick", "side")[0] == 0
    assert gated.try_git("revert", "--no-edit", "HEAD")[0] == 0
    gated.git("checkout", "-q", "side")
    gated.runs()
    code, output = gated.try_git("rebase", "-q", "main")
    assert (code, gated.runs()) == (0, [])
    assert "agentreview" not in output


def test_a_rebase_is_silent_and_leaves_an_earlier_record_alone(gated: Gated) -> None:
    diverge(gated, {"s.py": "s\n"}, {"m.py": "m\n"})
    leave_stale_record(gated)
    record = (gated.path / ".git/agentreview/judged").read_text()
    gated.git("checkout", "-q", "side")
    assert "agentreview" not in gated.try_git("rebase", "main")[1]
    assert (gated.path / ".git/agentreview/judged").read_text() == record


def test_a_commit_during_a_stopped_rebase_is_reviewed(gated: Gated) -> None:
    diverge(gated, {"a.py": "theirs\n"}, {"a.py": "ours\n"})
    gated.git("checkout", "-q", "side")
    assert gated.try_git("rebase", "main")[0] != 0
    gated.stage({"a.py": "BAD\n"})
    assert gated.commit()[0] == 1
    gated.stage({"a.py": "good\n"})
    assert gated.commit(STANDIN_DURING=RACE.format(text="BAD"))[0] == 1


# ---- how it fails


def test_a_bug_refuses_in_one_line_and_writes_the_details_down(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    code, output = gated.commit(STANDIN_CRASH="1")
    assert code == 1
    assert output.count("\n") == 1
    assert "Traceback" not in output
    details = Path(output.split("the details are in ")[1].split(". Please")[0])
    assert "ZeroDivisionError: a bug" in details.read_text()
    details.unlink()
    assert "Traceback" in gated.commit(STANDIN_CRASH="1", AGENTREVIEW_DEBUG="1")[1]


def test_a_store_that_cannot_be_written_does_not_stop_a_good_change(gated: Gated) -> None:
    (gated.path / ".git/agentreview").write_text("in the way")
    gated.stage({"a.py": "good\n"})
    code, output = gated.commit()
    assert code == 0
    assert "cannot be compared again" in output
    gated.stage({"a.py": "BAD\n"})
    assert gated.commit()[0] == 1


def test_an_interrupted_look_up_leaves_nothing_behind(gated: Gated, tmp_path: Path) -> None:
    """git itself hangs in write-tree; the hook is told to stop meanwhile."""
    gated.stage({"a.py": "good\n"})
    gated.commit()
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "git").write_text(
        f'#!/bin/sh\ncase "$*" in *write-tree*) sleep 1 ;; esac\nexec {shutil.which("git")} "$@"\n'
    )
    (slow / "git").chmod(0o755)
    env = {**os.environ, "PATH": f"{slow}:{os.environ['PATH']}"}
    hook = subprocess.Popen([gated.path / ".git/hooks/pre-commit"], cwd=gated.path, env=env)
    state = gated.path / ".git/agentreview"
    for _ in range(100):
        if any(path.name.startswith("index.") for path in state.iterdir()):
            break
        time.sleep(0.02)
    hook.send_signal(signal.SIGTERM)
    assert hook.wait() == 143
    assert sorted(path.name for path in state.iterdir()) == ["judged", "verdicts"]


# ---- push


@pytest.fixture
def remote(gated: Gated, make_repo: Any) -> str:
    bare = make_repo("remote.git", "--bare")
    gated.git("remote", "add", "origin", str(bare.path))
    gated.git("push", "-q", "--no-verify", "origin", "main")
    return str(bare.path)


def pushed(gated: Gated) -> list[tuple[str, ...]]:
    lines = gated.log.read_text().splitlines() if gated.log.exists() else []
    gated.log.unlink(missing_ok=True)
    return [tuple(line.split()[1:]) for line in lines if line.startswith("range")]


def unreviewed_commit(gated: Gated, files: dict[str, str]) -> str:
    gated.stage(files)
    gated.git("commit", "-q", "--no-verify", "-m", "x")
    return gated.head()


def test_a_push_reviews_what_the_remote_does_not_have(gated: Gated, remote: str) -> None:
    base = gated.head()
    head = unreviewed_commit(gated, {"a.py": "BAD\n"})
    code, output = gated.try_git("push", "-q", "origin", "main")
    assert (code, pushed(gated)) == (1, [(base, head)])
    assert "BLOCKED" in output
    fixed = unreviewed_commit(gated, {"a.py": "good\n"})
    assert gated.try_git("push", "-q", "origin", "main")[0] == 0
    assert pushed(gated) == [(base, fixed)]


def test_every_ref_of_a_push_is_reviewed(gated: Gated, remote: str) -> None:
    base = gated.head()
    gated.git("checkout", "-q", "-b", "one")
    one = unreviewed_commit(gated, {"one": "1"})
    gated.git("checkout", "-q", "-b", "two", "main")
    two = unreviewed_commit(gated, {"two": "BAD"})
    assert gated.try_git("push", "-q", "origin", "one", "two")[0] == 1
    assert sorted(pushed(gated)) == sorted([(base, one), (base, two)])


def test_a_new_branch_without_new_commits_and_a_deletion_need_no_review(gated: Gated, remote: str) -> None:
    assert gated.try_git("push", "-q", "origin", "main:copy")[0] == 0
    assert gated.try_git("push", "-q", "origin", ":copy")[0] == 0
    assert pushed(gated) == []


def test_a_first_push_is_reviewed_from_the_beginning(gated: Gated, make_repo: Any) -> None:
    bare = make_repo("empty.git", "--bare")
    head = unreviewed_commit(gated, {"a.py": "BAD\n"})
    assert gated.try_git("push", "-q", str(bare.path), "main")[0] == 1
    assert pushed(gated) == [("4b825dc642cb6eb9a060e54bf8d69288fbee4904", head)]


def test_a_forced_push_is_reviewed_from_where_it_departs(gated: Gated, remote: str) -> None:
    base = gated.head()
    unreviewed_commit(gated, {"a.py": "one\n"})
    gated.try_git("push", "-q", "origin", "main")
    gated.git("reset", "-q", "--hard", "HEAD^")
    head = unreviewed_commit(gated, {"a.py": "two\n"})
    pushed(gated)
    assert gated.try_git("push", "-q", "--force", "origin", "main")[0] == 0
    assert pushed(gated) == [(base, head)]


def test_an_annotated_tag_is_reviewed_as_its_commit(gated: Gated, remote: str) -> None:
    base = gated.head()
    head = unreviewed_commit(gated, {"a.py": "BAD\n"})
    gated.git("tag", "-a", "-m", "v1", "v1")
    assert gated.try_git("push", "-q", "origin", "v1", "main")[0] == 1
    assert pushed(gated) == [(base, head)]


def test_what_is_no_commit_is_not_pushed_as_if_it_had_been_reviewed(gated: Gated, remote: str) -> None:
    gated.git("tag", "tree", "HEAD^{tree}")
    code, output = gated.try_git("push", "-q", "origin", "tree")
    assert code == 1
    assert "is not a commit" in output


def test_only_pre_push_reads_standard_input(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    for hook in ("pre-commit", "pre-merge-commit"):
        with subprocess.Popen([gated.path / ".git/hooks" / hook], cwd=gated.path, stdin=subprocess.PIPE) as process:
            assert process.wait(timeout=20) == 0  # although its input stays open


# ---- the installed command itself, with the shipped policies


def test_the_installed_command_blocks_what_a_policy_forbids_and_passes_what_it_allows(repo: Any) -> None:
    """An example of each kind from the policy files, through git, the hook and the real reviewer."""
    pytest.importorskip("agentreview.review")
    from agentreview.policies.examples import examples

    found = [example for example in examples(only="hipaa.phi-in-logs") if example.language == "python"]
    bad, good = (next(example for example in found if example.good is kind) for kind in (False, True))
    repo.commit({"README": "a clinic\n"})
    report = install(open_repository(str(repo.path)))
    assert report.done
    for example, expected in ((bad, 1), (good, 0)):
        repo.stage({example.path or "clinic/views.py": example.after})
        done = subprocess.run(["git", "commit", "-q", "-m", "x"], cwd=repo.path, capture_output=True, check=False)
        assert done.returncode == expected, done.stderr.decode()
        assert (b"hipaa.phi-in-logs" in done.stderr) is bool(expected)
        assert b"Traceback" not in done.stderr


def test_the_hooks_report_is_coloured_by_the_same_rules_as_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """FORCE_COLOR colours it also into a pipe (CI logs), and NO_COLOR wins."""
    from agentreview.review import render_for_hook
    from factories import finding, verdict

    blocked = verdict(finding())
    assert "\x1b[" not in render_for_hook(blocked)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in render_for_hook(blocked)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in render_for_hook(blocked)
