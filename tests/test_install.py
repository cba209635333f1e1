"""Installing: what was there is kept and comes back, what is not ours to change is not changed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentreview.callers import STAGES
from agentreview.errors import UsageError
from agentreview.frontends import detect
from agentreview.git import Repository, open_repository
from agentreview.install import InstallReport, baked, install, is_ours, render_hook, running_command, uninstall
from standin import make_standin

PRE_COMMIT_CONFIG = """\
repos:
- repo: local
  hooks:
  - {id: other, name: other, entry: "true", language: system}
"""


@pytest.fixture
def tool(tmp_path: Path) -> tuple[str, Path]:
    return make_standin(tmp_path / "tool")


def put(repo: Any, tool: tuple[str, Path], **options: bool) -> InstallReport:
    return install(opened(repo), command=tool[0], version_file=tool[1], **options)


def opened(repo: Any) -> Repository:
    return open_repository(str(repo.path))


def hook(repo: Any, name: str = "pre-commit") -> Path:
    return Path(repo.path) / ".git/hooks" / name


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.lstat().st_mode, path.read_bytes()) for path in sorted(folder.iterdir()) if path.is_file()}


def script(path: Path, text: str, mode: int = 0o755) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def commit(repo: Any, *args: str, **env: str) -> tuple[int, str]:
    done = subprocess.run(
        ["git", "commit", "-q", "-m", "x", *args],
        cwd=repo.path,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def test_every_hook_is_one_executable_file_that_a_strict_shell_can_read(repo: Any, tool: tuple[str, Path]) -> None:
    report = put(repo, tool)
    assert report.done
    assert [line.split(":")[0] for line in report.lines[:4]] == list(STAGES)
    for stage in STAGES:
        assert is_ours(hook(repo, stage))
        assert stat.S_IMODE(hook(repo, stage).stat().st_mode) & 0o111
        assert subprocess.run(["/bin/sh", "-n", hook(repo, stage)], check=False).returncode == 0
        assert b"@" not in hook(repo, stage).read_bytes().replace(b'"$@"', b"")


def test_installing_twice_changes_nothing(repo: Any, tool: tuple[str, Path]) -> None:
    put(repo, tool)
    before = snapshot(hook(repo).parent)
    report = put(repo, tool)
    assert all("unchanged" in line for line in report.lines[:4])
    assert snapshot(hook(repo).parent) == before


def test_uninstalling_leaves_the_directory_as_it_was(repo: Any, tool: tuple[str, Path]) -> None:
    before = snapshot(hook(repo).parent)
    put(repo, tool)
    report = uninstall(opened(repo))
    assert report.done
    assert snapshot(hook(repo).parent) == before
    assert "no agentreview hooks" in uninstall(opened(repo)).lines[0]


@pytest.mark.parametrize("mode", [0o755, 0o700, 0o644])
def test_a_hook_that_was_there_is_kept_to_the_bit_and_comes_back(repo: Any, tool: tuple[str, Path], mode: int) -> None:
    script(hook(repo), "#!/bin/sh\n# caf\xe9 \r\nexit 0\n", mode)
    before = snapshot(hook(repo).parent)
    assert "runs first" in put(repo, tool).lines[0]
    kept = hook(repo).with_name("pre-commit.agentreview-chained")
    assert (kept.stat().st_mode, kept.read_bytes()) == before["pre-commit"]
    put(repo, tool)
    uninstall(opened(repo))
    assert snapshot(hook(repo).parent) == before


def test_a_hook_that_is_a_link_stays_one(repo: Any, tool: tuple[str, Path]) -> None:
    script(repo.path / "scripts/check", "#!/bin/sh\necho from the link\nexit 7\n")
    hook(repo).parent.mkdir(exist_ok=True)
    hook(repo).symlink_to("../../scripts/check")
    put(repo, tool)
    assert not hook(repo).is_symlink()
    repo.stage({"a": "1"})
    assert commit(repo) == (1, "from the link\n")
    uninstall(opened(repo))
    assert hook(repo).readlink() == Path("../../scripts/check")


def test_the_kept_hook_runs_first_and_its_failure_stops(
    repo: Any, tool: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("STANDIN_LOG", str(log))
    for stage in STAGES:
        text = f'#!/bin/sh\necho "kept {stage} $#" >> "{log}"\n[ ! -e "{tmp_path}/fail" ] || exit 3\n'
        script(hook(repo, stage), text + ("cat > /dev/null\n" if stage == "pre-push" else ""))
    put(repo, tool)
    repo.stage({"a": "1"})
    assert commit(repo)[0] == 0
    assert log.read_text().splitlines() == ["kept pre-commit 0", "hook pre-commit", "kept prepare-commit-msg 2"]
    log.unlink()
    (tmp_path / "fail").touch()
    repo.stage({"a": "2"})
    assert commit(repo)[0] == 1
    assert log.read_text().splitlines() == ["kept pre-commit 0"]


def test_both_the_kept_pre_push_and_ours_get_the_refs(
    repo: Any, tool: tuple[str, Path], make_repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("STANDIN_LOG", str(log))
    script(
        hook(repo, "pre-push"),
        f'#!/bin/sh\necho "kept $1" >> "{log}"\ncat >> "{log}"\n[ ! -e "{tmp_path}/no" ] || exit 1\n',
    )
    bare = make_repo("bare.git", "--bare")
    repo.git("remote", "add", "origin", str(bare.path))
    head = repo.commit({"a": "BAD"})
    put(repo, tool)
    done = subprocess.run(["git", "push", "-q", "origin", "main"], cwd=repo.path, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"BLOCKED" in done.stderr
    lines = log.read_text().splitlines()
    assert lines[0] == "kept origin"
    assert lines[1] == f"refs/heads/main {head} refs/heads/main {'0' * 40}"
    assert lines[2].startswith("hook pre-push origin ")
    assert lines[3].startswith("range ")
    (tmp_path / "no").touch()
    log.unlink()
    assert subprocess.run(
        ["git", "push", "-q", "origin", "main"], cwd=repo.path, capture_output=True, check=False
    ).returncode
    assert "range" not in log.read_text()


def test_a_hook_put_over_ours_is_not_taken_for_the_kept_one(repo: Any, tool: tuple[str, Path]) -> None:
    script(hook(repo), "#!/bin/sh\n# one\n")
    put(repo, tool)
    script(hook(repo), "#!/bin/sh\n# two\n")
    before = snapshot(hook(repo).parent)
    with pytest.raises(UsageError, match="Delete the one that is out of date"):
        put(repo, tool)
    assert snapshot(hook(repo).parent) == before
    assert "nothing runs it" in uninstall(opened(repo)).lines[0]
    assert hook(repo).read_text().endswith("# two\n")


def test_a_reinstall_after_an_upgrade_rewrites_ours_only(repo: Any, tool: tuple[str, Path]) -> None:
    script(hook(repo), "#!/bin/sh\n# mine\n")
    put(repo, tool)
    old = hook(repo).read_bytes().replace(b"set -f", b"set -f # older")
    hook(repo).write_bytes(old)
    assert "renewed" in put(repo, tool).lines[0]
    assert hook(repo).read_bytes() != old
    assert hook(repo).with_name("pre-commit.agentreview-chained").read_text() == "#!/bin/sh\n# mine\n"


@pytest.mark.parametrize(
    "name", ["plain", "with space", "quo'te", "$(touch pwned)", 'dou"ble', "new\nline", "caf\udce9", "@version_file@"]
)
def test_any_path_can_be_baked_and_read_back(tmp_path: Path, name: str) -> None:
    command, version = f"{tmp_path}/{name}/agentreview", Path(f"{tmp_path}/{name}/VERSION")
    for stage in STAGES:
        file = tmp_path / stage
        file.write_bytes(render_hook(stage, command, version))
        assert baked(file) == (command, str(version))
        assert subprocess.run(["/bin/sh", "-n", file], check=False).returncode == 0
    assert baked(tmp_path / "nothing") is None


def test_a_command_with_an_odd_path_runs(repo: Any, tmp_path: Path) -> None:
    tool = make_standin(tmp_path / "od'd \"$(dir)\nname")
    put(repo, tool)
    repo.stage({"a": "BAD"})
    assert commit(repo)[0] == 1
    repo.stage({"a": "good"})
    assert commit(repo) == (0, "")


def test_linked_worktrees_share_one_installation(repo: Any, tool: tuple[str, Path], tmp_path: Path) -> None:
    repo.commit({"a": "1"})
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"))
    install(open_repository(str(tmp_path / "linked")), command=tool[0], version_file=tool[1])
    assert is_ours(hook(repo))
    repo.stage({"a": "BAD"})
    assert commit(repo)[0] == 1


# ---- directories that are not ours


def test_a_global_hooks_path_is_refused_with_instructions(
    repo: Any, tool: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n\thooksPath = {tmp_path}/shared\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    with pytest.raises(UsageError) as refused:
        put(repo, tool)
    assert "global" in str(refused.value)
    assert "git config --local core.hooksPath" in str(refused.value)
    assert 'agentreview hook pre-commit "$@"' in str(refused.value)
    assert not (tmp_path / "shared").exists()
    # the first of the instructions works as printed
    command = str(refused.value).split("own hooks: ")[1].split(" - or")[0]
    subprocess.run(command, shell=True, check=True, cwd=repo.path)
    assert put(repo, tool).done
    assert is_ours(hook(repo))


def test_force_writes_where_git_looks(repo: Any, tool: tuple[str, Path], tmp_path: Path) -> None:
    repo.git("config", "core.hooksPath", str(tmp_path / "elsewhere"))
    with pytest.raises(UsageError, match="outside this repository"):
        put(repo, tool)
    assert put(repo, tool, force=True).done
    assert is_ours(tmp_path / "elsewhere/pre-commit")


def test_a_versioned_hooks_directory_is_refused(repo: Any, tool: tuple[str, Path]) -> None:
    repo.git("config", "core.hooksPath", ".githooks")
    with pytest.raises(UsageError, match="inside the work tree"):
        put(repo, tool)
    assert not (repo.path / ".githooks").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_hooks_directory_is_one_clear_line(repo: Any, tool: tuple[str, Path]) -> None:
    hook(repo).parent.chmod(0o555)
    with pytest.raises(UsageError, match="Make the directory writable"):
        put(repo, tool)
    hook(repo).parent.chmod(0o755)


def test_a_hooks_directory_that_is_a_file_is_one_clear_line(repo: Any, tool: tuple[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    repo.git("config", "core.hooksPath", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="cannot change"):
        put(repo, tool, force=True)


# ---- hook managers


@pytest.mark.parametrize(
    ("file", "text", "name", "wanted"),
    [
        (".pre-commit-config.yaml", PRE_COMMIT_CONFIG, "pre-commit", "entry: agentreview hook auto"),
        ("prek.toml", "[[repos]]\n", "prek", 'entry = "agentreview hook auto"'),
        ("lefthook.yml", "pre-commit: {}\n", "lefthook", "run: agentreview hook prepare-commit-msg {0}"),
        ("lefthook.toml", "[pre-commit]\n", "lefthook", 'run = "agentreview hook pre-push {0}"\nuse_stdin = true'),
        (".husky/pre-commit", "npm test # agentreview\n", "husky", '.husky/pre-push:  agentreview hook pre-push "$@"'),
    ],
)
def test_a_hook_manager_is_told_apart_and_nothing_is_written(
    repo: Any, tool: tuple[str, Path], file: str, text: str, name: str, wanted: str
) -> None:
    repo.write({file: text})
    before = snapshot(hook(repo).parent)
    report = put(repo, tool)
    assert (report.done, report.front_end) == (False, name)
    assert wanted in report.entry
    assert snapshot(hook(repo).parent) == before
    assert put(repo, tool, native=True).done
    assert is_ours(hook(repo))


def test_what_is_proposed_is_valid_and_recognised_once_it_is_there(repo: Any) -> None:
    import tomli
    import yaml

    (lefthook,) = (repo.write({"lefthook.yml": ""}), detect(repo.path))[1]
    assert yaml.safe_load(lefthook.entry)["pre-push"]["commands"]["agentreview"]["use_stdin"] is True
    repo.write({"lefthook.yml": lefthook.entry})
    assert detect(repo.path)[0].gated
    (repo.path / "lefthook.yml").unlink()
    repo.write({"lefthook.toml": ""})
    parsed = tomli.loads(detect(repo.path)[0].entry)
    assert parsed["prepare-commit-msg"]["commands"]["agentreview"]["run"] == "agentreview hook prepare-commit-msg {0}"
    (repo.path / "lefthook.toml").unlink()
    repo.write({"prek.toml": ""})
    entry = detect(repo.path)[0].entry
    parsed = tomli.loads(entry.split("\n\n", 2)[1] + "\n" + entry.split("at its end:")[1])
    assert parsed["repos"][0]["hooks"][0]["id"] == "agentreview"
    (repo.path / "prek.toml").unlink()
    repo.write({".pre-commit-config.yaml": PRE_COMMIT_CONFIG})
    entry = detect(repo.path)[0].entry
    local, remote = (part for part in entry.split("  - repo: ")[1:])
    for part in (local, remote):
        hooks = yaml.safe_load("  - repo: " + part.split("\nor")[0])
        assert hooks[0]["hooks"][0]["id"] == "agentreview"


def pre_commit_config(command: str) -> str:
    stages = ", ".join((*STAGES, "manual"))
    return (
        "repos:\n- repo: local\n  hooks:\n  - id: agentreview\n    name: agentreview\n"
        f"    entry: {command} hook auto\n    language: system\n    always_run: true\n    pass_filenames: false\n"
        f"    require_serial: true\n    verbose: true\n    stages: [{stages}]\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("manager", ["pre-commit", "prek"])
def test_a_configured_manager_installs_itself_and_gates(
    repo: Any, tool: tuple[str, Path], manager: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_repo: Any
) -> None:
    """From the first commit to the push, through the real manager, also with an editor and from a linked worktree."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("STANDIN_LOG", str(tmp_path / "log"))
    repo.commit({".pre-commit-config.yaml": pre_commit_config(tool[0]), "a": "1"})
    if manager == "prek":
        subprocess.run(["prek", "install"], cwd=repo.path, check=True, capture_output=True)
    report = put(repo, tool)
    assert (report.done, report.front_end) == (True, manager)
    assert f"generated by {manager}".encode() in hook(repo, "prepare-commit-msg").read_bytes()

    def asked() -> list[str]:
        lines = (tmp_path / "log").read_text().splitlines()
        (tmp_path / "log").unlink()
        return lines

    linked = tmp_path / "linked"
    repo.git("worktree", "add", "-q", str(linked))
    for place in (repo.path, linked):
        (place / "a").write_text("BAD\n")
        repo.git("-C", str(place), "add", "-A")
        (place / "a").write_text("unstaged\n")
        done = subprocess.run(["git", "commit", "-m", "x"], cwd=place, capture_output=True, check=False)
        assert done.returncode == 1
        assert b"BLOCKED" in done.stderr + done.stdout
        assert (place / "a").read_text() == "unstaged\n"
        repo.git("-C", str(place), "add", "-A")
        editor = {**os.environ, "GIT_EDITOR": 'f() { echo subject > "$1"; }; f'}
        done = subprocess.run(["git", "commit"], cwd=place, env=editor, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        repo.git("-C", str(place), "commit", "-q", "--allow-empty", "-m", "again")
    # a race is seen, also by the hook that no variable tells the stage
    head = repo.git("rev-parse", "HEAD")
    repo.stage({"a": "good\n"})
    for args, env in ((["-m", "x"], {}), ([], {"GIT_EDITOR": "true"})):
        done = subprocess.run(
            ["git", "commit", *args],
            cwd=repo.path,
            env={**os.environ, **env, "STANDIN_DURING": "date +%N > a; git add a"},
            capture_output=True,
            check=False,
        )
        assert b"the index changed during the review" in done.stdout + done.stderr
        assert repo.git("rev-parse", "HEAD") == head
    repo.stage({"a": "BAD\n"})
    code, output = commit(repo, "-n")
    assert (code, "this commit was not reviewed" in output) == (1, True)
    assert repo.git("rev-parse", "HEAD") == head
    code, output = commit(repo, "-n", AGENTREVIEW_BYPASS="the portal is down")
    assert (code, "not reviewed, and recorded: the portal is down" in output) == (0, True)
    repo.stage({"a": "BAD and more\n"})
    repo.git("-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "no hook ran at all")
    # push: the first ref is all a manager passes on
    bare = make_repo("bare.git", "--bare")
    repo.git("remote", "add", "origin", str(bare.path))
    asked()
    done = subprocess.run(["git", "push", "origin", "main"], cwd=repo.path, capture_output=True, check=False)
    assert done.returncode == 1
    judged = [line.split()[2] for line in asked() if line.startswith("range ")]
    first, last = (repo.git("rev-list", *how, "main").split()[0] for how in (["--max-parents=0"], ["-1"]))
    assert judged == [first, last, last], "what no hook saw, and then the push as a whole; not what is on record"
    # by hand, as CI does
    run = [manager, "run", "agentreview", "--from-ref", "HEAD~1", "--to-ref", "HEAD"]
    assert subprocess.run(run, cwd=repo.path, capture_output=True, check=False).returncode == 1
    assert [line.split()[0] for line in asked()] == ["hook", "range"]
    done = subprocess.run([manager, "run", "--all-files"], cwd=repo.path, capture_output=True, check=False)
    assert b"nothing is staged, so nothing was reviewed" in done.stdout + done.stderr or done.returncode


@pytest.mark.slow
def test_pre_commit_installed_over_ours_keeps_running_it(
    repo: Any, tool: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    repo.commit({".pre-commit-config.yaml": PRE_COMMIT_CONFIG})
    put(repo, tool, native=True)
    subprocess.run(["pre-commit", "install"], cwd=repo.path, check=True, capture_output=True)
    repo.stage({"a": "BAD"})
    assert commit(repo)[0] == 1
    assert "behind pre-commit" in put(repo, tool, native=True).lines[0]
    repo.stage({"a": "good"})
    code, output = commit(repo)
    assert (code, "agentreview" in output) == (0, False)
    lines = uninstall(opened(repo)).lines
    assert "pre-commit.legacy: removed" in lines
    repo.stage({"a": "BAD"})
    assert commit(repo)[0] == 0


@pytest.mark.slow
def test_the_manifest_is_valid_for_pre_commit_and_prek() -> None:
    manifest = Path(__file__).parents[1] / ".pre-commit-hooks.yaml"
    tools = Path(sys.executable).parent
    for name in ("pre-commit", "prek"):
        done = subprocess.run([tools / name, "validate-manifest", manifest], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


# ---- what is baked


def test_the_command_is_the_running_installation(repo: Any) -> None:
    command, notes = running_command(opened(repo))
    assert command == str(Path(sys.prefix) / "bin/agentreview")
    assert notes == ()


def test_a_command_found_on_the_path_only_is_announced(
    repo: Any, tool: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", f"{Path(tool[0]).parent}:{os.environ['PATH']}")
    command, notes = running_command(opened(repo))
    assert command == tool[0]
    assert "PATH" in notes[0]
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(UsageError, match="pipx install"):
        running_command(opened(repo))


def test_a_command_inside_the_work_tree_is_announced(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    script(repo.path / ".venv/bin/agentreview", "#!/bin/sh\n")
    monkeypatch.setattr(sys, "prefix", str(repo.path / ".venv"))
    assert "inside this work tree" in running_command(opened(repo))[1][0]
