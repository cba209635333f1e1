"""The demonstration: it blocks and passes for real, says so when it did not, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentreview import demo
from commandline import agentreview, one_line


@pytest.fixture(autouse=True)
def own_temporary_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Whatever is left behind is left here."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_the_demonstration_blocks_then_passes_and_leaves_nothing(tmp_path: Path, own_temporary_directory: Path) -> None:
    agentreview("policies", "list", cwd=tmp_path)  # compiles the policies, as the first command on a machine does
    done = agentreview("demo", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    shown = [
        "$ agentreview install",
        "PASSED",
        '$ git commit -m "Show a patient"',
        f"HIGH {demo.RULE}",
        "BLOCKED: 1 finding must be cleared before this commit",
        "+    audit_log(",
        "PASSED: 1 file reviewed",
        "] Show a patient",
        "Blocked, then passed.",
    ]
    places = [done.out.index(text) for text in shown[:5]]
    assert places == sorted(places)
    after = done.out[places[-1] :]
    assert all(text in after for text in shown[5:])
    assert "\x1b[" not in done.out
    assert list(own_temporary_directory.iterdir()) == []


def test_the_repository_can_be_kept_and_its_gate_works(tmp_path: Path) -> None:
    done = agentreview("demo", "--keep", "--color", "always", cwd=tmp_path)
    assert done.code == 0
    assert "\x1b[1m$ git commit" in done.out
    path = Path(done.out.rstrip().rsplit("The repository is in ", 1)[1])
    log = subprocess.run(["git", "log", "--format=%s"], cwd=path, capture_output=True, check=True)
    assert log.stdout == b"Show a patient\nList the patients\n"
    assert agentreview("doctor", cwd=path).code == 0
    views = path / demo.VIEWS
    views.write_text(views.read_text().replace(demo.AUDIT, ""))
    refused = subprocess.run(["git", "commit", "-q", "-a", "-m", "x"], cwd=path, capture_output=True, check=False)
    assert refused.returncode == 1
    assert b"BLOCKED" in refused.stderr


def test_nothing_of_the_machine_takes_part_and_nothing_of_it_is_touched(repo: Any, tmp_path: Path) -> None:
    """As run inside somebody's hook, with hooks for all repositories, a signing key and another editor."""
    hooks = tmp_path / "everybodys-hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    config = tmp_path / "config"
    config.write_text(
        f"[core]\n\thooksPath = {hooks}\n\teditor = false\n[commit]\n\tgpgsign = true\n[init]\n\ttemplateDir = /x\n"
    )
    repo.stage({"a.py": "a = 1\n"})
    index = (repo.path / ".git/index").read_bytes()
    env = {
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_DIR": str(repo.path / ".git"),
        "GIT_INDEX_FILE": str(repo.path / ".git/index"),
        "GIT_WORK_TREE": str(repo.path),
        "GIT_PREFIX": "x/",
    }
    done = agentreview("demo", cwd=repo.path, env=env)
    assert (done.code, done.err) == (0, "")
    assert [file.name for file in hooks.iterdir()] == ["pre-commit"]
    assert (repo.path / ".git/index").read_bytes() == index
    assert not (repo.path / ".git/hooks/pre-commit").exists()
    assert not (repo.path / ".git/refs/heads/main").exists()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"DETAIL": demo.DETAIL.replace(demo.LOOKUP, demo.LOOKUP + demo.AUDIT)}, "was not blocked"),
        ({"AUDIT": "    # no event\n"}, "the fixed commit did not pass"),
        ({"RULE": "hipaa.phi-in-logs"}, "blocked, but not by hipaa.phi-in-logs"),
    ],
)
def test_a_demonstration_that_does_not_block_and_then_pass_is_a_failure(
    changed: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch, capfd: Any, own_temporary_directory: Path
) -> None:
    for name, value in changed.items():
        monkeypatch.setattr(demo, name, value)
    before = dict(os.environ)
    assert demo.demo(color="never") == 4
    said = capfd.readouterr()
    assert says in one_line(said.err)
    assert "Blocked, then passed" not in said.out
    assert dict(os.environ) == before
    assert list(own_temporary_directory.iterdir()) == []


def test_a_refusal_by_a_broken_hook_is_not_taken_for_a_block(tmp_path: Path) -> None:
    """Without git on the PATH of the hook, and with nothing installed, there is nothing to show."""
    (tmp_path / "bin").mkdir()
    done = agentreview("demo", cwd=tmp_path, env={"PATH": str(tmp_path / "bin")})
    assert done.code == 2
    assert "git cannot be run" in done.err
    assert "Traceback" not in done.err
