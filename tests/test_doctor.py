"""The doctor: every way a gate goes missing without a word is found, in every worktree, and nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentreview.callers import STAGES
from agentreview.doctor import Check, diagnose, render
from agentreview.git import open_repository
from agentreview.install import install
from standin import make_standin


@pytest.fixture
def gated(repo: Any, tmp_path: Path) -> Any:
    repo.commit({"a.py": "a = 1\n"})
    command, version_file = make_standin(tmp_path / "tool")
    install(open_repository(str(repo.path)), command=command, version_file=version_file)
    return repo


def look(repo: Any, path: Path | None = None) -> dict[str, Check]:
    checks = diagnose(open_repository(str(path or repo.path)))
    assert all(check.fix or check.status == "ok" for check in checks)
    assert "\x1b" not in render(checks)
    return {check.name: check for check in checks}


def troubles(checks: dict[str, Check]) -> dict[str, str]:
    return {name: check.status for name, check in checks.items() if check.status != "ok"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_good_installation_has_nothing_to_complain_about_and_is_left_alone(gated: Any) -> None:
    before = contents(gated.path)
    checks = look(gated)
    assert troubles(checks) == {}
    assert contents(gated.path) == before
    assert {"git", "repository", *(f"hook {stage}" for stage in STAGES), "store", "policies", "configuration"} <= set(
        checks
    )
    assert "the gate is in place" in render(tuple(checks.values()))


def test_nothing_installed_fails_and_says_what_to_run(repo: Any) -> None:
    checks = look(repo)
    assert checks["hook pre-commit"].status == "fail"
    assert "agentreview install" in checks["hook pre-commit"].fix
    assert troubles(checks) == {"hook pre-commit": "fail"} | {f"hook {stage}": "warn" for stage in STAGES[1:]}
    assert "1 failed, 3 warnings" in render(tuple(checks.values()))


def not_executable(repo: Any) -> None:
    (repo.path / ".git/hooks/pre-commit").chmod(0o644)


def foreign(repo: Any) -> None:
    (repo.path / ".git/hooks/pre-commit").write_text("#!/bin/sh\nexit 0\n")


def command_gone(repo: Any) -> None:
    (repo.path.parent / "tool/agentreview").unlink()


def version_gone(repo: Any) -> None:
    (repo.path.parent / "tool/VERSION").unlink()


def dangling(repo: Any) -> None:
    hook = repo.path / ".git/hooks/pre-commit"
    hook.unlink()
    hook.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (not_executable, "git skips it"),
        (foreign, "does not run agentreview"),
        (command_gone, "is gone"),
        (version_gone, "is gone"),
        (dangling, "is not executable"),
    ],
)
def test_a_hook_that_would_not_gate_fails(gated: Any, harm: Callable[[Any], None], said: str) -> None:
    harm(gated)
    check = look(gated)["hook pre-commit"]
    assert check.status == "fail"
    assert said in check.detail


def test_a_hook_of_another_version_or_edited_warns(gated: Any) -> None:
    hook = gated.path / ".git/hooks/pre-commit"
    ours = hook.read_bytes()
    hook.write_bytes(ours.replace(b"set -f", b"set -f # mine"))
    assert look(gated)["hook pre-commit"].status == "warn"
    hook.write_bytes(ours.replace(b"set -f", b"exit 0"))
    assert look(gated)["hook pre-commit"].status == "fail"
    older = ours.replace(b"AGENTREVIEW_PROBE", b"AGENTREVIEW_NOTHING")
    hook.write_bytes(older.replace(b"set -f", b"exit 0"))
    assert "answer" not in look(gated)["hook pre-commit"].detail  # it knows no probe, and would review


def test_every_worktree_is_asked_for_its_own_hooks(gated: Any, tmp_path: Path) -> None:
    gated.git("worktree", "add", "-q", "-b", "good", str(tmp_path / "good"))
    gated.git("worktree", "add", "-q", "-b", "off", str(tmp_path / "off"))
    gated.git("worktree", "add", "-q", "-b", "lost", str(tmp_path / "lost"))
    gated.git("config", "extensions.worktreeConfig", "true")
    gated.git("-C", str(tmp_path / "off"), "config", "--worktree", "core.hooksPath", os.devnull)
    for name in sorted((tmp_path / "lost").rglob("*"), reverse=True):
        name.unlink()
    (tmp_path / "lost").rmdir()
    checks = look(gated)
    assert (checks["worktree main"].status, checks["worktree good"].status) == ("ok", "ok")
    assert checks["worktree off"].status == "fail"
    assert "no gate" in checks["worktree off"].detail
    assert (checks["worktree lost"].status, checks["worktree lost"].fix) == ("warn", "run: git worktree prune")
    assert look(gated, tmp_path / "off")["hook pre-commit"].status == "fail"


def test_a_relative_hooks_path_has_no_gate_in_a_worktree_without_the_folder(gated: Any, tmp_path: Path) -> None:
    gated.git("config", "core.hooksPath", "hooks")
    command, version_file = make_standin(tmp_path / "tool")
    install(open_repository(str(gated.path)), command=command, version_file=version_file, force=True)
    gated.git("worktree", "add", "-q", "-b", "bare-branch", str(tmp_path / "linked"))
    checks = look(gated)
    assert checks["core.hooksPath"].status == "warn"
    assert "local" in checks["core.hooksPath"].detail
    assert checks["worktree main"].status == "ok"
    assert checks["worktree bare-branch"].status == "fail"


def test_every_scope_of_the_hooks_path_is_shown_with_its_file(
    gated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n\thooksPath = {tmp_path}/shared\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    gated.git("config", "core.hooksPath", str(gated.path / ".git/hooks"))
    shown = [check for check in diagnose(open_repository(str(gated.path))) if check.name == "core.hooksPath"]
    assert [check.status for check in shown] == ["ok", "ok"]
    assert "global" in shown[0].detail
    assert str(config) in shown[0].detail
    assert "overruled" in shown[0].detail


@pytest.mark.parametrize("file", [".pre-commit-config.yaml", "lefthook.yml"])
def test_a_manager_that_was_never_told_warns(gated: Any, file: str) -> None:
    gated.write({file: "# agentreview should be here\n"})
    name = "manager pre-commit" if "pre-commit" in file else "manager lefthook"
    assert look(gated)[name].status == "warn"
    gated.write({file: "entry: agentreview hook auto\n"})
    assert look(gated)[name].status == "ok"


def test_a_managers_hook_counts_only_when_its_configuration_names_agentreview(repo: Any) -> None:
    hook = repo.path / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n# File generated by pre-commit: https://pre-commit.com\n")
    hook.chmod(0o755)
    repo.write({".pre-commit-config.yaml": "repos: []\n"})
    assert look(repo)["hook pre-commit"].status == "fail"
    repo.write({".pre-commit-config.yaml": "repos: [{repo: x, hooks: [{id: agentreview}]}]\n"})
    assert look(repo)["hook pre-commit"].status == "ok"


def test_husky_is_read_through_to_the_file_people_edit(repo: Any) -> None:
    repo.write({".husky/_/pre-commit": '#!/usr/bin/env sh\n. "$(dirname "$0")/h"', ".husky/pre-commit": "npm test\n"})
    (repo.path / ".husky/_/pre-commit").chmod(0o755)
    repo.git("config", "core.hooksPath", ".husky/_")
    assert look(repo)["hook pre-commit"].status == "fail"
    repo.write({".husky/pre-commit": 'agentreview hook pre-commit "$@"\n'})
    checks = look(repo)
    assert checks["hook pre-commit"].status == "ok"
    assert (checks["core.hooksPath"].status, checks["core.hooksPath"].fix) == (
        "ok",
        "",
    )  # unsetting it switches husky off


def test_one_warning_is_one_warning() -> None:
    checks = (
        Check(name="store", status="ok", detail="there"),
        Check(name="hook pre-push", status="warn", detail="none"),
    )
    assert render(checks).endswith("the gate is in place, 1 warning\n")


def test_a_mistake_in_the_staged_configuration_fails_with_its_line(gated: Any) -> None:
    gated.stage({"agentreview.toml": "blok_at = 'high'\n"})
    check = look(gated)["configuration"]
    assert check.status == "fail"
    assert "agentreview.toml:1" in check.detail
    gated.write({"agentreview.toml": "nonsense in the work tree only"})
    gated.git("add", "-A")
    gated.stage({"agentreview.toml": "block_at = 'high'\n"})
    assert look(gated)["configuration"].status == "ok"


def test_a_store_that_cannot_be_made_warns(gated: Any) -> None:
    (gated.path / ".git/agentreview").write_text("in the way")
    assert look(gated)["store"].status == "warn"


def test_control_characters_in_names_are_not_printed(gated: Any, tmp_path: Path) -> None:
    gated.git("worktree", "add", "-q", "-b", "x", str(tmp_path / "\x1b[31mred\nline"))
    text = render(diagnose(open_repository(str(gated.path))))
    assert "\\x1b[31mred\\x0aline" in text


# ---- the probe


def asked(repo: Any) -> str:
    return look(repo)["hook pre-commit"].detail


def test_git_runs_our_hooks_for_the_doctor_and_that_takes_no_lock_and_changes_nothing(
    gated: Any, tmp_path: Path
) -> None:
    gated.git("worktree", "add", "-q", str(tmp_path / "linked"))
    (gated.path / ".git/index.lock").write_bytes(b"")  # somebody is at work
    before = contents(gated.path)
    checks = look(gated)
    assert all("fired, and it answered" in checks[f"hook {stage}"].detail for stage in STAGES)
    assert "fired, and it answered" in checks["worktree linked"].detail
    assert contents(gated.path) == before


@pytest.mark.parametrize("stage", STAGES)
def test_a_hook_that_looks_right_and_does_not_run_is_found(gated: Any, stage: str) -> None:
    hook = gated.path / ".git/hooks" / stage
    hook.write_bytes(hook.read_bytes().replace(b"#!/bin/sh\n", b"#!/nowhere/sh\n"))
    check = look(gated)[f"hook {stage}"]
    assert "did not answer" in check.detail
    assert (check.status, check.fix) == ("fail" if stage == "pre-commit" else "warn", "run: agentreview install")


def test_nothing_passes_because_somebody_probes(gated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTREVIEW_PROBE", "1")
    gated.stage({"a.py": "fine\n"})
    for arguments in (("commit", "-m", "x"), ("commit", "--no-verify", "-m", "x")):
        with pytest.raises(AssertionError, match="agentreview probe"):
            gated.git(*arguments)


def test_a_hook_of_somebody_else_is_not_fired(repo: Any, tmp_path: Path) -> None:
    repo.commit({"a": "1"})
    hook = repo.path / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/fired\nagentreview hook pre-commit\n")
    hook.chmod(0o755)
    assert "fired" not in asked(repo)
    assert not (tmp_path / "fired").exists()


def test_the_kept_hook_of_before_is_not_fired_either(repo: Any, tmp_path: Path) -> None:
    hook = repo.path / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/fired\n")
    hook.chmod(0o755)
    command, version_file = make_standin(tmp_path / "tool")
    install(open_repository(str(repo.path)), command=command, version_file=version_file)
    assert "fired, and it answered" in asked(repo)
    assert not (tmp_path / "fired").exists()


def test_a_hooks_path_of_one_worktree_is_shown_with_its_file_and_the_command_that_unsets_it(
    gated: Any, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    gated.git("worktree", "add", "-q", str(linked))
    gated.git("config", "extensions.worktreeConfig", "true")
    gated.git("-C", str(linked), "config", "--worktree", "core.hooksPath", "/dev/null")
    checks = diagnose(open_repository(str(gated.path)))
    lines = [check for check in checks if check.name in {"worktree linked", "core.hooksPath"} and check.status != "ok"]
    assert [check.status for check in lines] == ["fail", "warn"]
    assert "/dev/null (worktree, file:" in lines[1].detail
    assert lines[1].fix.endswith(f"git -C {linked} config --worktree --unset core.hooksPath")
    os.system(lines[1].fix.partition(": ")[2])
    assert troubles(look(gated)) == {}


@pytest.mark.parametrize(
    "env",
    [
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath", "GIT_CONFIG_VALUE_0": "/dev/null"},
        {"GIT_CONFIG_PARAMETERS": "'core.hookspath=/dev/null'"},
    ],
)
def test_an_environment_that_changes_the_hooks_path_is_found(
    gated: Any, monkeypatch: pytest.MonkeyPatch, env: dict[str, str]
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    check = look(gated)["environment"]
    assert (check.status, "unset GIT_CONFIG_COUNT" in check.fix) == ("fail", True)
