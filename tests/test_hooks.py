"""The hooks with real git: a change that was judged passes without Python, and only what was judged is committed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.git import open_repository
from agentreview.install import install
from agentreview.ledger import everything
from agentreview.pushed import updates
from standin import make_standin
from waiting import PATIENCE, eventually

REVIEWED = "hook pre-commit"
REFUSED = "was not reviewed (--no-verify, or the pre-commit hook is missing): refused"
LATER = "was not reviewed here: it is when it is pushed"
WHY = {"AGENTREVIEW_BYPASS": "the portal is down, SEC-12"}
CHANGED = "the index changed during the review"
LEFT = ["judged", "receipts", "verdicts"]  # what there is below .git/agentreview after a commit


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

    def unseen(self, *args: str) -> str:
        """Commit where no hook sees it, as before the hooks were there or in another clone; returns the commit."""
        self.git("-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "work", *args)
        return self.head()

    def receipts(self, decision: str) -> list[Any]:
        """The receipts of one decision that this repository has."""
        found = (one.receipt for one in everything(open_repository(str(self.path))))
        return [receipt for receipt in found if receipt is not None and receipt.decision == decision]

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


@pytest.mark.parametrize("options", [("--object-format=sha256",), ("--ref-format=reftable",)])
def test_repositories_of_other_formats_work(
    make_repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    repo = make_repo("other", *options)
    repo.commit({"a.py": "1\n"})
    gated = Gated(repo, tmp_path, monkeypatch)
    gated.stage({"a.py": "BAD\n"})
    assert gated.commit()[0] == 1
    assert REFUSED in gated.commit("--no-verify")[1]
    gated.runs()
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
    assert sorted(path.name for path in (gated.path / ".git/agentreview").iterdir()) == LEFT


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


@pytest.mark.parametrize("text", ["BAD", "good"])
def test_a_commit_that_goes_around_the_review_is_refused_and_told_how_it_can_go(gated: Gated, text: str) -> None:
    before = gated.head()
    gated.stage({"a.py": f"{text}\n"})
    for args in (("--no-verify",), ("-n",), ("-nm", "x"), ("--no-verify", "--allow-empty")):
        code, output = gated.commit(*args)
        assert (code, gated.head()) == (1, before)
        assert output.count("\n") == 1
        assert REFUSED in output
        assert "AGENTREVIEW_BYPASS='the reason' git commit --no-verify" in output
    assert gated.commit()[0] == (1 if text == "BAD" else 0)


def test_a_person_who_says_why_goes_around_it_and_that_is_on_record(gated: Gated) -> None:
    gated.stage({"a.py": "BAD\n"})
    code, output = gated.commit("--no-verify", **WHY)
    assert code == 0
    assert (
        output == "agentreview: not reviewed, and recorded: the portal is down, SEC-12; CI fails until that is waived\n"
    )
    [receipt] = gated.receipts("unreviewed")
    assert (receipt.bypass, receipt.person) == (WHY["AGENTREVIEW_BYPASS"], "Dana Reyes <dana@clinic.example>")
    assert receipt.tree == gated.git("rev-parse", "HEAD^{tree}").strip()
    assert [entry.path for entry in receipt.entries] == ["a.py"]


def test_a_reason_does_not_get_past_the_review_itself(gated: Gated) -> None:
    gated.stage({"a.py": "BAD\n"})
    assert gated.commit(**WHY)[0] == 1
    assert gated.receipts("unreviewed") == []


@pytest.mark.parametrize("reason", ["1", "yes", "   x   ", "x" * 501])
def test_what_is_no_reason_does_not_count_as_one(gated: Gated, reason: str) -> None:
    gated.stage({"a.py": "BAD\n"})
    code, output = gated.commit("--no-verify", AGENTREVIEW_BYPASS=reason)
    assert code == 1
    assert "states no reason" in output
    assert output.count("\n") == 1


def test_an_empty_reason_is_none(gated: Gated) -> None:
    gated.stage({"a.py": "BAD\n"})
    code, output = gated.commit("--no-verify", AGENTREVIEW_BYPASS="  ")
    assert code == 1
    assert REFUSED in output


def test_a_hostile_reason_is_shown_and_kept_as_text(gated: Gated) -> None:
    gated.stage({"a.py": "BAD\n"})
    code, output = gated.commit("--no-verify", AGENTREVIEW_BYPASS="down\n::error::x \x1b[31m $(touch x) `touch x`")
    assert code == 0
    assert "\x1b" not in output
    assert output.count("\n") == 1
    assert not (gated.path / "x").exists()


def test_what_is_on_record_needs_no_second_reason(gated: Gated) -> None:
    gated.stage({"a.py": "BAD\n"})
    assert gated.commit()[0] == 1
    gated.commit("--no-verify", **WHY)
    gated.undo()
    assert gated.commit("--no-verify") == (0, "")
    assert gated.commit("--amend", "-m", "another message", "--no-verify") == (0, "")
    assert gated.commit("--allow-empty", "--amend", "-m", "with the review")[0] == 1


def test_what_cannot_be_recorded_does_not_go_around(gated: Gated) -> None:
    (gated.path / ".git/agentreview").mkdir()
    (gated.path / ".git/agentreview/receipts").write_text("in the way")
    gated.stage({"a.py": "BAD\n"})
    code, output = gated.commit("--no-verify", **WHY)
    assert code == 1
    assert "no receipt of this review could be written" in output


def test_a_change_whose_receipt_is_there_needs_no_second_review(gated: Gated) -> None:
    """The store of verdicts may be deleted, or the package be another one since."""
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.undo()
    shutil.rmtree(gated.path / ".git/agentreview/verdicts")
    assert gated.commit("--no-verify") == (0, "")


def test_no_verify_of_a_change_that_passed_before_is_silent(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.undo()
    assert gated.commit("--no-verify") == (0, "")


def leave_stale_record(gated: Gated) -> None:
    """Stop a commit after pre-commit and before prepare-commit-msg: there is nothing to commit."""
    assert gated.commit()[0] == 1
    assert len((gated.path / ".git/agentreview/judged").read_text().splitlines()) == 4


def test_a_stale_record_neither_refuses_nor_passes_a_later_commit_without_verification(gated: Gated) -> None:
    leave_stale_record(gated)
    gated.stage({"a.py": "BAD\n"})
    code, output = gated.commit("--no-verify")
    assert code == 1
    assert CHANGED not in output
    assert REFUSED in output
    assert gated.commit("--no-verify", **WHY)[0] == 0


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
    assert REFUSED in gated.commit("--no-verify")[1]


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


AMENDS = {
    "the old message": ("--amend", "--no-edit"),
    "another message": ("--amend", "-m", "y"),
    "a beginning of the word": ("--am", "-m", "y"),
    "another commit's message": ("-C", "HEAD", "--amend"),
    "everything": ("-a", "--amend", "--no-edit"),
}


@pytest.mark.parametrize("way", AMENDS)
def test_an_amended_commit_is_judged_as_a_whole(gated: Gated, way: str) -> None:
    """What the replaced commit brought in is still there, also when nobody has seen it and nothing is added."""
    gated.stage({"a.py": "BAD\n"})
    before = gated.unseen()
    code, output = gated.try_git("commit", "-q", *AMENDS[way])
    assert (code, gated.head()) == (1, before)
    assert "BLOCKED" in output
    gated.stage({"b.py": "good\n"})
    assert gated.try_git("commit", "-q", *AMENDS[way])[0] == 1
    gated.stage({"a.py": "good\n"})
    assert gated.try_git("commit", "-q", *AMENDS[way]) == (0, "")


def test_an_alias_that_amends_is_seen_through(gated: Gated) -> None:
    gated.git("config", "alias.again", "commit -q --amend --no-edit")
    gated.stage({"a.py": "BAD\n"})
    gated.unseen()
    assert gated.try_git("again")[0] == 1


def test_an_amended_first_commit_is_judged_from_nothing(repo: Any, tmp_path: Path, monkeypatch: Any) -> None:
    repo.commit({"a.py": "BAD\n"})
    gated = Gated(repo, tmp_path, monkeypatch)
    assert gated.commit("--amend")[0] == 1
    gated.stage({"a.py": "good\n"})
    assert gated.commit("--amend") == (0, "")


def test_an_amend_that_was_judged_before_passes_without_python(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.stage({"b.py": "good\n"})
    assert gated.commit("--amend") == (0, "")
    gated.runs()
    for args in (("-m", "y"), ("--no-edit",)):
        assert gated.try_git("commit", "-q", "--amend", *args) == (0, "")
        assert gated.runs() == []


def test_a_message_that_speaks_of_amending_amends_nothing(gated: Gated) -> None:
    gated.stage({"a.py": "BAD\n"})
    gated.unseen()
    gated.stage({"b.py": "good\n"})
    assert gated.try_git("commit", "-q", "-m", "--amend") == (0, "")
    gated.stage({"b.py": "better\n"})
    assert gated.try_git("commit", "-q", "-m", "do not use --amend here") == (0, "")


def test_an_amend_without_verification_is_refused_unless_all_of_it_is_known(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    assert gated.commit("--amend", "--no-verify", "-m", "only the message") == (0, "")
    gated.stage({"b.py": "good\n"})
    code, output = gated.commit("--amend", "--no-verify")
    assert code == 1
    assert REFUSED in output
    assert gated.commit("--amend", "--no-verify", **WHY)[0] == 0
    assert gated.commit("--amend", "--no-verify", "-m", "it is on record already") == (0, "")


def test_where_nobody_can_see_the_command_line_the_message_of_the_old_commit_tells(gated: Gated) -> None:
    """Pre-commit judged only what is added; git hands prepare-commit-msg the commit that is replaced."""
    gated.stage({"a.py": "BAD\n"})
    gated.unseen()
    gated.stage({"b.py": "good\n"})
    base, tree = gated.git("rev-parse", "HEAD^{tree}").strip(), gated.git("write-tree").strip()
    state = gated.path / ".git/agentreview"
    state.mkdir()
    (state / "judged").write_text(f"{base}\n{tree}\npass\n{os.getpid()}\n")
    hook = [gated.path / ".git/hooks/prepare-commit-msg", ".git/COMMIT_EDITMSG", "commit", "HEAD"]
    done = subprocess.run(hook, cwd=gated.path, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"BLOCKED" in done.stderr


def diverge(gated: Gated, theirs: dict[str, str], ours: dict[str, str]) -> None:
    gated.git("checkout", "-q", "-b", "side")
    gated.stage(theirs)
    gated.unseen()
    gated.git("checkout", "-q", "main")
    gated.stage(ours)
    gated.unseen()
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
    code, output = gated.try_git("revert", "--no-edit", "HEAD")
    assert code == 0
    assert REFUSED not in output
    gated.git("checkout", "-q", "side")
    gated.runs()
    code, output = gated.try_git("rebase", "-q", "main")
    assert (code, gated.runs()) == (0, [])
    assert "agentreview" not in output


def test_rewording_squashing_and_picking_on_in_a_rebase_are_not_stopped_half_way(gated: Gated) -> None:
    base = gated.head()
    for name in ("one", "two", "three"):
        gated.stage({f"{name}.py": "BAD\n"})
        gated.unseen()
    for edit in ("s/^pick/reword/", "2s/^pick/fixup/", "2s/^pick/squash/"):
        env = {"GIT_SEQUENCE_EDITOR": f"sed -i '{edit}'", "GIT_EDITOR": "true"}
        code, output = gated.try_git("rebase", "-q", "-i", base, **env)
        assert code == 0, output
    gated.git("format-patch", "-q", "-o", "patches", base)
    gated.git("reset", "-q", "--hard", base)
    assert gated.try_git("am", "-q", *map(str, sorted((gated.path / "patches").glob("*.patch"))))[0] == 0


def test_a_pick_that_stopped_at_a_conflict_is_reviewed_when_it_goes_on_and_not_refused_without(gated: Gated) -> None:
    diverge(gated, {"a.py": "theirs\n"}, {"a.py": "ours\n"})
    assert gated.try_git("cherry-pick", "side")[0] != 0
    gated.stage({"a.py": "BAD\n"})
    assert gated.commit()[0] == 1
    assert gated.commit("--no-verify")[0] == 0, "settled when it is pushed, and in CI"


def test_a_merge_without_verification_is_said_and_not_refused(gated: Gated) -> None:
    diverge(gated, {"s.py": "BAD\n"}, {"m.py": "m\n"})
    code, output = gated.try_git("merge", "-q", "--no-edit", "--no-verify", "side")
    assert code == 0
    assert f"this merge {LATER}" in output


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
    """git itself waits in write-tree; the hook is told to stop meanwhile."""
    gated.stage({"a.py": "good\n"})
    gated.commit()
    slow = tmp_path / "slow"
    slow.mkdir()
    begun, go_on = slow / "begun", slow / "go on"
    waits = f": >'{begun}'; until [ -e '{go_on}' ]; do sleep 0.02; done"
    (slow / "git").write_text(
        f'#!/bin/sh\ncase "$*" in *write-tree*) {waits} ;; esac\nexec {shutil.which("git")} "$@"\n'
    )
    (slow / "git").chmod(0o755)
    env = {**os.environ, "PATH": f"{slow}:{os.environ['PATH']}"}
    hook = subprocess.Popen([gated.path / ".git/hooks/pre-commit"], cwd=gated.path, env=env)
    state = gated.path / ".git/agentreview"
    eventually(begun.exists)
    assert any(path.name.startswith("index.") for path in state.iterdir())
    hook.send_signal(signal.SIGTERM)
    go_on.touch()
    assert hook.wait() == 143
    assert sorted(path.name for path in state.iterdir()) == LEFT


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
    return gated.unseen()


def push(gated: Gated, *args: str, **env: str) -> tuple[int, str]:
    return gated.try_git("push", "-q", "origin", *(args or ("main",)), **env)


def test_a_push_reviews_every_commit_that_the_remote_does_not_have(gated: Gated, remote: str) -> None:
    base = gated.head()
    head = unreviewed_commit(gated, {"a.py": "BAD\n"})
    code, output = push(gated)
    assert (code, pushed(gated)) == (1, [(base, head)])
    assert "BLOCKED" in output
    assert f"commit {head[:12]}:" in output


def test_what_was_reviewed_when_it_was_committed_is_pushed_without_a_word(gated: Gated, remote: str) -> None:
    for text in ("good", "better"):
        gated.stage({"a.py": f"{text}\n"})
        gated.commit()
    assert push(gated) == (0, "")
    assert pushed(gated) == []
    assert gated.git("ls-tree", "-r", "--name-only", "refs/agentreview/receipts").count(".json") == 2


def test_only_what_has_no_receipt_is_reviewed(gated: Gated, remote: str) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    parent = gated.head()
    head = unreviewed_commit(gated, {"b.py": "good\n"})
    code, output = push(gated)
    assert (code, pushed(gated)) == (0, [(parent, head)])
    assert output == "agentreview: 2 commits pushed, 1 reviewed now\n"
    gated.git("--git-dir", remote, "update-ref", "-d", "refs/heads/main")
    gated.git("update-ref", "-d", "refs/remotes/origin/main")
    push(gated)
    assert (parent, head) not in pushed(gated), "now it has a receipt"


def test_a_finding_that_a_later_commit_takes_away_does_not_hold_the_push_up(gated: Gated, remote: str) -> None:
    bad = unreviewed_commit(gated, {"a.py": "BAD\n"})
    unreviewed_commit(gated, {"a.py": "good\n"})
    code, output = push(gated)
    assert code == 0
    assert f"commit {bad[:12]} has findings, which a later commit of this push takes away" in output


def test_a_credential_stays_in_the_history_and_holds_it_up_also_when_it_is_taken_away(
    gated: Gated, remote: str
) -> None:
    unreviewed_commit(gated, {"secret.py": "BAD\n"})
    unreviewed_commit(gated, {"secret.py": "good\n"})
    assert push(gated)[0] == 1


def test_a_rebase_that_touched_none_of_the_files_carries_the_reviews_over(gated: Gated, remote: str) -> None:
    gated.git("checkout", "-q", "-b", "side")
    gated.stage({"s.py": "good\n"})
    gated.commit()
    gated.git("checkout", "-q", "main")
    gated.stage({"m.py": "good\n"})
    gated.commit()
    gated.git("checkout", "-q", "side")
    gated.git("rebase", "-q", "main")
    code, output = push(gated, "side")
    assert (code, pushed(gated)) == (0, [])
    assert output == "agentreview: 2 commits pushed, 1 carried over from before a rebase\n"


def test_what_a_rebase_changed_is_reviewed_again(gated: Gated, remote: str) -> None:
    lines = [f"line {number}\n" for number in range(30)]
    gated.stage({"a.py": "".join(lines)})
    gated.commit()
    gated.git("checkout", "-q", "-b", "side")
    gated.stage({"a.py": "".join(["good\n", *lines])})
    gated.commit()
    gated.git("checkout", "-q", "main")
    gated.stage({"a.py": "".join([*lines, "more\n"])})
    gated.commit()
    gated.git("checkout", "-q", "side")
    gated.git("rebase", "-q", "main")
    assert push(gated, "side")[0] == 0
    assert pushed(gated) == [(gated.git("rev-parse", "main").strip(), gated.head())]


def test_a_commit_that_a_person_let_through_is_shown_with_the_reason_and_not_held_up(gated: Gated, remote: str) -> None:
    gated.stage({"a.py": "BAD\n"})
    gated.commit("--no-verify", **WHY)
    gated.stage({"b.py": "good\n"})
    gated.commit()
    unreviewed_commit(gated, {"c.py": "good\n"})
    code, output = push(gated)
    assert code == 0
    said = f"was not reviewed: Dana Reyes <dana@clinic.example> let it through: {WHY['AGENTREVIEW_BYPASS']}; CI fails"
    assert said in output


def test_every_ref_of_a_push_is_reviewed(gated: Gated, remote: str) -> None:
    base = gated.head()
    gated.git("checkout", "-q", "-b", "one")
    one = unreviewed_commit(gated, {"one": "1"})
    gated.git("checkout", "-q", "-b", "two", "main")
    two = unreviewed_commit(gated, {"two": "BAD"})
    assert push(gated, "one", "two")[0] == 1
    assert sorted(pushed(gated)) == sorted([(base, one), (base, two)])


def test_many_refs_over_the_same_commits_cost_one_review(gated: Gated, remote: str) -> None:
    base = gated.head()
    head = unreviewed_commit(gated, {"a.py": "good\n"})
    names = [f"b{number}" for number in range(30)]
    for name in names:
        gated.git("branch", name)
    assert push(gated, "main", *names)[0] == 0
    assert pushed(gated) == [(base, head)]


def test_a_new_branch_without_new_commits_and_a_deletion_need_no_review(gated: Gated, remote: str) -> None:
    assert push(gated, "main:copy") == (0, "")
    unreviewed_commit(gated, {"a.py": "BAD\n"})
    assert push(gated, ":copy") == (0, "")
    assert pushed(gated) == []


def test_a_deletion_beside_a_bad_branch_does_not_hide_it(gated: Gated, remote: str) -> None:
    push(gated, "main:copy")
    unreviewed_commit(gated, {"a.py": "BAD\n"})
    assert push(gated, ":copy", "main")[0] == 1


def test_a_first_push_is_reviewed_from_the_beginning(gated: Gated, make_repo: Any) -> None:
    bare = make_repo("empty.git", "--bare")
    first = gated.head()
    head = unreviewed_commit(gated, {"a.py": "BAD\n"})
    assert gated.try_git("push", "-q", str(bare.path), "main")[0] == 1
    empty = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert pushed(gated) == [(empty, first), (first, head), (empty, head)]


def test_more_commits_than_are_looked_at_one_by_one_are_one_change(gated: Gated, remote: str) -> None:
    base = gated.head()
    for number in range(41):
        gated.write({"a.py": f"{number}\n"})
        gated.git("-c", "core.hooksPath=/dev/null", "commit", "-q", "-am", "x")
    code, output = push(gated)
    assert (code, pushed(gated)) == (0, [(base, gated.head())])
    assert "41 commits have no receipt: reviewed as one change" in output


def test_the_commits_of_a_merged_branch_are_pushed_too_and_reviewed(gated: Gated, remote: str) -> None:
    diverge(gated, {"s.py": "BAD\n"}, {"m.py": "m\n"})
    gated.git("-c", "core.hooksPath=/dev/null", "merge", "-q", "--no-edit", "side")
    code, output = push(gated)
    assert code == 1
    assert f"commit {gated.git('rev-parse', 'side')[:12]}:" in output


def test_a_forced_push_is_reviewed_from_where_it_departs(gated: Gated, remote: str) -> None:
    base = gated.head()
    unreviewed_commit(gated, {"a.py": "one\n"})
    push(gated)
    gated.git("reset", "-q", "--hard", "HEAD^")
    head = unreviewed_commit(gated, {"a.py": "two\n"})
    pushed(gated)
    assert push(gated, "--force", "main")[0] == 0
    assert pushed(gated) == [(base, head)]


@pytest.mark.parametrize("kind", ["light", "annotated", "of a tag"])
def test_a_tag_is_reviewed_as_its_commit_also_where_no_branch_is_pushed_with_it(
    gated: Gated, remote: str, kind: str
) -> None:
    base = gated.head()
    head = unreviewed_commit(gated, {"a.py": "BAD\n"})
    gated.git("tag", *([] if kind == "light" else ["-a", "-m", "v1"]), "v1")
    if kind == "of a tag":
        gated.git("tag", "-a", "-m", "v2", "v2", "v1")
        gated.git("tag", "-d", "v1")
        gated.git("tag", "v1", "v2")
    assert push(gated, "v1")[0] == 1
    assert pushed(gated) == [(base, head)]
    assert push(gated, "v1", "main")[0] == 1
    assert pushed(gated) == [(base, head)]


def test_deleting_a_tag_and_moving_one_back_bring_nothing_new(gated: Gated, remote: str) -> None:
    gated.git("tag", "v1")
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.git("tag", "v2")
    assert push(gated, "main", "v1", "v2") == (0, "")
    pushed(gated)
    gated.git("tag", "-f", "v2", "v1")
    assert push(gated, "--force", "v2") == (0, "")
    assert push(gated, ":v1") == (0, "")
    assert pushed(gated) == []


def test_a_new_branch_brings_its_own_commits_only(gated: Gated, remote: str) -> None:
    base = gated.head()
    gated.git("checkout", "-q", "-b", "feature")
    head = unreviewed_commit(gated, {"a.py": "BAD\n"})
    assert push(gated, "feature")[0] == 1
    assert pushed(gated) == [(base, head)]


def test_the_one_bad_ref_of_many_is_found_wherever_it_stands(gated: Gated, remote: str) -> None:
    base = gated.head()
    lines, heads = [], []
    for number in range(6):
        gated.git("checkout", "-q", "-b", f"b{number}", "main")
        heads.append(unreviewed_commit(gated, {f"{number}.py": "BAD\n" if number == 5 else "good\n"}))
        lines.append(f"refs/heads/b{number} {heads[-1]} refs/heads/b{number} {'0' * 40}")
    for order in (lines, lines[::-1], lines[3:] + lines[:3]):
        pushed(gated)
        code, output = pre_push(gated, "\n".join(order) + "\n")
        assert (code, "BLOCKED" in output) == (1, True)
        assert (base, heads[5]) in pushed(gated)
    assert pre_push(gated, "\n".join(lines[:5]) + "\n")[0] == 0
    assert pre_push(gated, "\n".join(lines))[0] == 1, "the last line's end may be cut off on the way"


@pytest.mark.parametrize("line", ["main", "a b c", "refs/heads/main nonsense refs/heads/main nonsense", " "])
def test_input_that_is_not_gits_is_no_pass(gated: Gated, remote: str, line: str) -> None:
    head = gated.head()
    good = f"refs/heads/main {head} refs/heads/main {'0' * 40}"
    for text in (f"{line}\n", f"{good}\n{line}\n", f"{line}\n{good}\n"):
        code, output = pre_push(gated, text)
        assert code == 3
        assert output.count("\n") == 1
    assert pre_push(gated, "") == (0, "")


def pre_push(gated: Gated, lines: str) -> tuple[int, str]:
    """Run the hook itself, as git does."""
    done = subprocess.run(
        [gated.path / ".git/hooks/pre-push", "origin", "nowhere"], cwd=gated.path, input=lines, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_receipts_go_along_where_the_configuration_says_so(gated: Gated, remote: str) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    push(gated)
    listed = lambda: gated.git("ls-remote", "origin", "refs/agentreview/*")  # noqa: E731
    assert listed() == ""
    gated.stage({"agentreview.toml": '[receipts]\npush = "with-commits"\n'})
    gated.commit()
    assert push(gated) == (0, "")
    assert listed().split()[0] == gated.git("rev-parse", "refs/agentreview/receipts").strip()


def test_receipts_that_cannot_be_pushed_hold_no_push_up(gated: Gated, remote: str) -> None:
    gated.stage({"agentreview.toml": '[receipts]\npush = "with-commits"\n'})
    gated.commit()
    (Path(remote) / "hooks/pre-receive").write_text("#!/bin/sh\ngrep -q agentreview && exit 1\nexit 0\n")
    (Path(remote) / "hooks/pre-receive").chmod(0o755)
    code, output = push(gated)
    assert code == 0
    assert "git push origin refs/agentreview/receipts failed" in output


def test_what_is_no_commit_is_not_pushed_as_if_it_had_been_reviewed(gated: Gated, remote: str) -> None:
    gated.git("tag", "tree", "HEAD^{tree}")
    code, output = gated.try_git("push", "-q", "origin", "tree")
    assert code == 1
    assert "is not a commit" in output


def test_only_pre_push_reads_standard_input(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    for hook in ("pre-commit", "pre-merge-commit"):
        with subprocess.Popen([gated.path / ".git/hooks" / hook], cwd=gated.path, stdin=subprocess.PIPE) as process:
            assert process.wait(PATIENCE) == 0  # although its input stays open


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


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["refs/heads/a", "refs/tags/v", "refs/agentreview/receipts"]))),
    st.booleans(),
)
def test_of_any_input_every_line_that_brings_code_is_read_once(rows: list[tuple[bool, str]], ended: bool) -> None:
    lines = [
        f"refs/heads/{number} {('0' if gone else '1') * 40} {ref} {'0' * 40}" for number, (gone, ref) in enumerate(rows)
    ]
    found = updates("\n".join(lines) + ("\n" if ended else ""))
    assert len(found) == sum(not gone and not ref.startswith("refs/agentreview/") for gone, ref in rows)
