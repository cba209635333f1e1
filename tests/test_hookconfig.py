"""Hooks that git's configuration names (git 2.54 and newer): what no core.hooksPath and no manager puts out of the way.

What needs such a git is skipped on an older one; ``AGENTREVIEW_TEST_GIT=/path/to/git`` names another.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentreview import hookconfig
from agentreview.callers import STAGES
from agentreview.doctor import Check, diagnose
from agentreview.errors import UsageError
from agentreview.git import Repository, git_version, open_repository
from agentreview.install import InstallReport, install, is_ours, uninstall
from standin import make_standin


@pytest.fixture
def tool(tmp_path: Path) -> tuple[str, Path]:
    return make_standin(tmp_path / "to ol")  # a path that a shell has to be told about


def opened(repo: Any, path: Path | None = None) -> Repository:
    return open_repository(str(path or repo.path))


def put(repo: Any, tool: tuple[str, Path], **options: bool) -> InstallReport:
    return install(opened(repo), command=tool[0], version_file=tool[1], **options)


def look(repo: Any, path: Path | None = None) -> dict[str, Check]:
    return {check.name: check for check in diagnose(opened(repo, path))}


def commit(repo: Any, *args: str, place: Path | None = None, options: tuple[str, ...] = ()) -> tuple[int, str]:
    done = subprocess.run(
        ["git", *options, "commit", "-q", "-m", "x", *args],
        cwd=place or repo.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "objects" not in path.parts
    }


@pytest.fixture
def new_git(repo: Any) -> None:
    if not hookconfig.understood(opened(repo)):
        pytest.skip(f"git {git_version(opened(repo))} is older than 2.54 and ignores hooks in its configuration")


def test_an_older_git_is_refused_and_nothing_is_written(
    repo: Any, tool: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hookconfig, "MINIMUM_GIT", (99, 0))
    before = tree(repo.path)
    with pytest.raises(UsageError, match="does not run hooks that its configuration names") as caught:
        put(repo, tool, config=True)
    assert "without --config" in caught.value.fix
    assert tree(repo.path) == before


@pytest.mark.parametrize("ending", ["\n", "", "\n# the last line is a remark"])
def test_sections_are_written_once_and_taken_out_to_the_byte(repo: Any, ending: str) -> None:
    config = repo.path / ".git/config"
    config.write_text(
        config.read_text().rstrip("\n") + '\n[hook "other"]\n\tevent = pre-commit\n\tcommand = true' + ending
    )
    before = config.read_bytes()
    scripts = {stage: repo.path / f"a 'b'/{stage}" for stage in STAGES}
    hookconfig.add(opened(repo), scripts)
    hookconfig.add(opened(repo), scripts)
    assert hookconfig.our_scripts(opened(repo)) == scripts
    assert config.read_text().count("[hook ") == 1 + len(STAGES)
    assert len(hookconfig.remove(opened(repo))) == len(STAGES)
    assert config.read_bytes() in {before, before + b"\n"}, "git itself ends a last line that had no end"
    assert hookconfig.remove(opened(repo)) == ()


OURS = "hook.agentreview-pre-commit"
SWITCHES = [f"{OURS}.enabled={value}" for value in ("false", "", "OFF", "00", "-0k")]


@pytest.mark.parametrize("setting", [*SWITCHES, "hook.pre-commit.enabled=no", f"{OURS}.event="])
def test_a_section_that_is_switched_off_is_not_in_force(repo: Any, setting: str) -> None:
    hookconfig.add(opened(repo), {stage: Path("/x", stage) for stage in STAGES})
    name, _, value = setting.partition("=")
    repo.git("config", "--add", name, value)
    assert set(hookconfig.our_scripts(opened(repo))) == set(STAGES[1:])
    if hookconfig.understood(opened(repo)):  # git means the same
        listed = subprocess.run(["git", "hook", "list", "pre-commit"], cwd=repo.path, capture_output=True, check=False)
        assert "agentreview-pre-commit" not in listed.stdout.decode().split("\n")


@pytest.mark.parametrize(("value", "on"), [("nonsense", False), ("yes", True), ("2", True)])
def test_what_is_no_switch_leaves_a_section_as_it_was(repo: Any, value: str, on: bool) -> None:
    hookconfig.add(opened(repo), {stage: Path("/x", stage) for stage in STAGES})
    for word in ("false", value):
        repo.git("config", "--add", f"{OURS}.enabled", word)
    assert ("pre-commit" in hookconfig.our_scripts(opened(repo))) is on
    if hookconfig.understood(opened(repo)):
        assert ("agentreview-pre-commit" in repo.git("hook", "list", "pre-commit").split("\n")) is on


def test_an_older_git_that_ignores_the_sections_is_found(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hookconfig.add(opened(repo), {stage: Path("/x", stage) for stage in STAGES})
    monkeypatch.setattr(hookconfig, "MINIMUM_GIT", (99, 0))
    check = look(repo)["hook configuration"]
    assert (check.status, check.fix) == ("fail", "run: agentreview install")


def test_they_gate_whatever_the_hooks_path_says(
    repo: Any, tool: tuple[str, Path], tmp_path: Path, new_git: None
) -> None:
    repo.commit({"a": "1\n"})
    before = tree(repo.path)
    report = put(repo, tool, config=True)
    assert (report.done, report.front_end) == (True, "config")
    assert not is_ours(repo.path / ".git/hooks/pre-commit")
    linked = tmp_path / "linked"
    repo.git("worktree", "add", "-q", str(linked))
    repo.git("config", "core.hooksPath", "/dev/null")
    for place in (repo.path, linked):
        (place / "a").write_text("BAD\n")
        assert commit(repo, "-a", place=place)[0] == 1
        code, output = commit(repo, "-a", "--no-verify", place=place)
        assert (code, "was not reviewed" in output) == (1, True)
        (place / "a").write_text("good\n")
        assert commit(repo, "-a", place=place) == (0, "")
        assert commit(repo, "--allow-empty", place=place, options=("-c", "core.hooksPath=/dev/null")) == (0, "")
    checks = look(repo)
    assert {checks[f"hook {stage}"].status for stage in STAGES} == {"ok"}
    assert "fired, and it answered" in checks["hook pre-commit"].detail
    assert checks["worktree linked"].status == "ok"
    repo.git("config", "--unset", "core.hooksPath")
    repo.git("worktree", "remove", "--force", str(linked))
    repo.git("branch", "-q", "-D", "linked")
    assert uninstall(opened(repo)).done
    after = tree(repo.path)
    kept = [name for name in before if "/.git/" not in name or name.endswith(("/config", "/pre-commit.sample"))]
    assert {name: after[name] for name in kept} | {str(repo.path / "a"): b""} == {
        name: before[name] for name in kept
    } | {str(repo.path / "a"): b""}
    assert not hookconfig.folder(opened(repo)).exists()


def test_what_was_judged_before_passes_without_python(
    repo: Any, tool: tuple[str, Path], new_git: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit({"a": "1\n"})
    put(repo, tool, config=True)
    monkeypatch.setenv("STANDIN_LOG", str(tmp_path / "log"))
    repo.stage({"a": "good\n"})
    assert commit(repo) == (0, "")
    repo.git("reset", "--soft", "HEAD^")
    (tmp_path / "log").unlink()
    assert commit(repo) == (0, "")
    assert not (tmp_path / "log").exists()


def test_a_push_is_gated_too(repo: Any, tool: tuple[str, Path], new_git: None, make_repo: Any) -> None:
    put(repo, tool, config=True)
    repo.stage({"a": "BAD\n"})
    repo.git("-c", "hook.pre-commit.enabled=false", "-c", "hook.prepare-commit-msg.enabled=false", "commit", "-m", "x")
    repo.git("remote", "add", "origin", str(make_repo("bare.git", "--bare").path))
    done = subprocess.run(["git", "push", "origin", "main"], cwd=repo.path, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"BLOCKED" in done.stderr


def test_only_one_way_is_in_force_at_a_time(repo: Any, tool: tuple[str, Path], new_git: None) -> None:
    put(repo, tool)
    assert is_ours(repo.path / ".git/hooks/pre-commit")
    assert any("removed" in line for line in put(repo, tool, config=True).lines)
    assert not (repo.path / ".git/hooks/pre-commit").exists()
    put(repo, tool)
    assert is_ours(repo.path / ".git/hooks/pre-commit")
    assert hookconfig.our_scripts(opened(repo)) == {}
    assert not hookconfig.folder(opened(repo)).exists()


def test_the_doctor_finds_a_section_that_does_not_run(repo: Any, tool: tuple[str, Path], new_git: None) -> None:
    put(repo, tool, config=True)
    assert look(repo)["hook pre-commit"].status == "ok"
    repo.git("config", "hook.agentreview-pre-commit.enabled", "false")
    checks = look(repo)
    assert checks["hook pre-commit"].status == checks["hook configuration"].status == "fail"
    repo.git("config", "--unset", "hook.agentreview-pre-commit.enabled")
    (hookconfig.folder(opened(repo)) / "pre-commit").chmod(0o644)
    check = look(repo)["hook pre-commit"]
    assert (check.status, check.fix) == ("fail", "run: agentreview install --config")
    put(repo, tool, config=True)
    repo.write({".git/hooks/pre-commit": "#!/bin/sh\nexit 7\n"})
    (repo.path / ".git/hooks/pre-commit").chmod(0o755)
    assert look(repo)["hook pre-commit"].status == "ok"  # somebody else's runs beside it and is not fired
    repo.stage({"a": "good\n"})
    assert os.access(repo.path / ".git/hooks/pre-commit", os.X_OK)
    assert commit(repo)[0] == 1


def test_a_worktree_in_which_they_are_switched_off_is_found(
    repo: Any, tool: tuple[str, Path], new_git: None, tmp_path: Path
) -> None:
    repo.commit({"a": "1\n"})
    put(repo, tool, config=True)
    repo.git("worktree", "add", "-q", str(tmp_path / "other"))
    repo.git("config", "extensions.worktreeConfig", "true")
    repo.git("-C", str(tmp_path / "other"), "config", "--worktree", f"{OURS}.enabled", "false")
    checks = look(repo)
    assert (checks["worktree main"].status, checks["worktree other"].status) == ("ok", "fail")
    assert checks["worktree other"].detail.endswith("and hook.agentreview-pre-commit is not in force")


def test_installing_again_switches_on_what_was_switched_off(repo: Any, tool: tuple[str, Path], new_git: None) -> None:
    put(repo, tool, config=True)
    repo.git("config", f"{OURS}.enabled", "")
    check = look(repo)["hook configuration"]
    assert (check.status, check.fix.endswith("agentreview install --config")) == ("fail", True)
    put(repo, tool, config=True)
    assert {check.status for name, check in look(repo).items() if name.startswith("hook ")} == {"ok"}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("hook.pre-commit.enabled=false", "git's configuration switches pre-commit off"),
        ("hook.other.event=pre-push", "git would run no hook here: fatal: "),
        ("hook.pre-commit.event=pre-commit", "git would run no hook here: fatal: "),
    ],
)
def test_where_git_would_not_run_them_the_hooks_that_are_there_stay(
    repo: Any, tool: tuple[str, Path], new_git: None, setting: str, said: str
) -> None:
    put(repo, tool)
    repo.git("config", *setting.split("="))
    before = tree(repo.path)
    with pytest.raises(UsageError) as caught:
        put(repo, tool, config=True)
    assert caught.value.message.startswith(said)
    assert "git config --show-origin" in caught.value.fix
    assert tree(repo.path) == before


@pytest.mark.parametrize("config", [False, True])
def test_the_doctor_says_when_git_runs_no_hook_at_all(
    repo: Any, tool: tuple[str, Path], new_git: None, config: bool
) -> None:
    put(repo, tool, config=config)
    for key, value in (("hook.other.event", "pre-commit"), ("hook.pre-push.event", "pre-push")):
        repo.git("config", key, value)
        check = look(repo)["hook pre-commit"]
        assert (check.status, "fatal: " in check.detail) == ("fail", True)
        assert check.fix.endswith("git config --show-origin --get-regexp '^hook[.]'")
        repo.git("config", "--remove-section", key.rpartition(".")[0])
        assert look(repo)["hook pre-commit"].status == "ok"


def test_a_git_that_can_is_offered_it(repo: Any, tool: tuple[str, Path], new_git: None, tmp_path: Path) -> None:
    assert any(line.endswith("whatever core.hooksPath says: --config") for line in put(repo, tool).lines)
    repo.git("config", "core.hooksPath", str(tmp_path / "shared"))
    with pytest.raises(UsageError) as caught:
        put(repo, tool)
    assert caught.value.fix.endswith("agentreview install --config")
    assert put(repo, tool, config=True).done
