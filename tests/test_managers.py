"""Hook managers with the real tool: from its own installer to a refused commit, also where its hook goes missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentreview.callers import STAGES
from agentreview.doctor import Check, diagnose
from agentreview.frontends import detect
from agentreview.git import open_repository
from agentreview.install import InstallReport, install, uninstall
from standin import make_standin

pytestmark = pytest.mark.slow
HUSKY = "9.1.7"


class Managed:
    """A repository that a manager gates; ``asked`` lists what the hooks asked of the stand-in reviewer."""

    def __init__(self, repo: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.repo, self.path, self.git = repo, repo.path, repo.git
        self.tool = make_standin(folder / "tool")
        self.log = folder / "log"
        monkeypatch.setenv("STANDIN_LOG", str(self.log))
        monkeypatch.setenv("PATH", f"{folder / 'tool'}:{Path(sys.executable).parent}:{os.environ['PATH']}")

    def install(self, place: Path | None = None, **options: bool) -> InstallReport:
        repo = open_repository(str(place or self.path))
        return install(repo, command=self.tool[0], version_file=self.tool[1], **options)

    def doctor(self, place: Path | None = None) -> dict[str, Check]:
        return {check.name: check for check in diagnose(open_repository(str(place or self.path)))}

    def run(self, *args: str, place: Path | None = None, **env: str) -> tuple[int, str]:
        done = subprocess.run(
            args,
            cwd=place or self.path,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def commit(self, text: str, place: Path | None = None, *args: str, **env: str) -> tuple[int, str]:
        place = place or self.path
        (place / "a").write_text(text)
        self.git("-C", str(place), "add", "a")
        return self.run("git", "commit", "-m", "x", *args, place=place, **env)

    def asked(self) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [" ".join(line.split()[:2]) for line in lines]


@pytest.fixture
def managed(repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Managed:
    return Managed(repo, tmp_path, monkeypatch)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def goes_through_every_stage(managed: Managed, make_repo: Any, *, config: dict[str, str]) -> None:
    """A refused commit, a good one, an amend, a deletion, a merge, a race, a commit without verification, a push."""
    managed.git("add", "-A")
    assert managed.run("git", "commit", "-m", "the gate")[0] == 0
    code, output = managed.commit("BAD\n")
    assert (code, "BLOCKED" in output) == (1, True), output
    assert managed.commit("good\n")[0] == 0
    assert managed.asked()[-2:] == ["hook pre-commit", "hook prepare-commit-msg"]
    assert managed.commit("BAD\n", None, "--amend")[0] == 1
    managed.git("rm", "-q", "-f", "a")
    assert managed.run("git", "commit", "-m", "a deletion alone")[0] == 0
    assert "hook pre-commit" in managed.asked()
    managed.git("checkout", "-q", "-b", "side")
    assert managed.commit("side\n")[0] == 0
    managed.git("checkout", "-q", "main")
    managed.asked()
    assert managed.run("git", "merge", "--no-ff", "-m", "m", "side")[0] == 0
    assert "hook pre-merge-commit" in managed.asked()
    head = managed.git("rev-parse", "HEAD")
    code, output = managed.commit("better\n", STANDIN_DURING="date +%N >a; git add a")
    assert (code, "the index changed during the review" in output) == (1, True), output
    assert managed.git("rev-parse", "HEAD") == head
    code, output = managed.commit("BAD\n", None, "--no-verify")
    assert (code, "was not reviewed" in output) == (1, True), output
    managed.git("reset", "-q", "--hard")
    managed.git("-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m", "unseen")
    (managed.path / "a").write_text("BAD\n")
    managed.git("-c", "core.hooksPath=/dev/null", "commit", "-q", "-a", "-m", "unseen")
    managed.git("remote", "add", "origin", str(make_repo("bare.git", "--bare").path))
    managed.asked()
    code, output = managed.run("git", "push", "origin", "main")
    assert code == 1, output
    assert managed.asked()[0] == "hook pre-push"
    assert config, "what was written can be seen"


# ---- lefthook


def name_in_lefthook(managed: Managed) -> None:
    """Write the entry that install proposes."""
    managed.repo.write({"lefthook.yml": ""})
    managed.repo.write({"lefthook.yml": detect(managed.path)[0].entry})


def test_lefthook_gates_every_stage_once_its_configuration_names_agentreview(managed: Managed, make_repo: Any) -> None:
    managed.repo.write({"lefthook.yml": "pre-commit: {}\n"})
    refused = managed.install()
    assert (refused.done, refused.front_end) == (False, "lefthook")
    managed.repo.write({"lefthook.yml": refused.entry})
    report = managed.install()
    assert (report.done, report.front_end) == (True, "lefthook"), report.lines
    assert {managed.doctor()[f"hook {stage}"].status for stage in STAGES} == {"ok"}
    goes_through_every_stage(managed, make_repo, config={"lefthook.yml": refused.entry})


def test_lefthook_without_a_stage_is_not_called_done(managed: Managed) -> None:
    managed.repo.write(
        {"lefthook.yml": "pre-commit:\n  commands:\n    agentreview:\n      run: agentreview hook pre-commit\n"}
    )
    report = managed.install()
    assert not report.done
    assert "pre-merge-commit, prepare-commit-msg, pre-push" in report.lines[-1]
    assert "use_stdin: true" in report.entry
    assert managed.doctor()["hook pre-commit"].status == "ok"
    assert managed.doctor()["hook prepare-commit-msg"].status == "warn"


def test_a_worktree_whose_branch_lacks_lefthooks_configuration_has_no_gate_and_the_doctor_says_so(
    managed: Managed, tmp_path: Path
) -> None:
    managed.repo.commit({"a": "1\n"})
    managed.git("worktree", "add", "-q", str(tmp_path / "old"))
    name_in_lefthook(managed)
    assert managed.install().done
    code, output = managed.commit("BAD\n", tmp_path / "old")
    assert code == 0, output  # lefthook passes where it finds no configuration
    check = managed.doctor()["worktree old"]
    assert (check.status, "no gate" in check.detail) == ("fail", True)
    assert managed.install(place=tmp_path / "old", native=True).done
    assert managed.commit("BAD more\n", tmp_path / "old")[0] == 1
    assert managed.doctor()["worktree old"].status == "ok"


@pytest.mark.parametrize("variable", ["LEFTHOOK=0", "LEFTHOOK=false", "LEFTHOOK_EXCLUDE=other,agentreview"])
def test_a_variable_that_switches_lefthook_off_is_found(
    managed: Managed, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    name_in_lefthook(managed)
    assert managed.install().done
    assert "environment" not in managed.doctor()
    name, _, value = variable.partition("=")
    monkeypatch.setenv(name, value)
    check = managed.doctor()["environment"]
    assert (check.status, check.fix) == ("fail", f"run: unset {name}")
    assert variable in check.detail
    if name == "LEFTHOOK":
        assert managed.commit("BAD\n")[0] == 0  # it is really off


def test_lefthook_that_cannot_be_found_passes_everything_and_the_doctor_warns(
    managed: Managed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name_in_lefthook(managed)
    assert managed.install().done
    assert "environment" not in managed.doctor()
    for hook in (managed.path / ".git/hooks").iterdir():  # as after an upgrade that moved the program
        hook.write_text(re.sub("/[^ ]*/lefthook", "/gone/lefthook", hook.read_text()))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    check = managed.doctor()["environment"]
    assert (check.status, check.fix) == ("warn", "put lefthook on the PATH")
    assert managed.commit("BAD\n")[0] == 0


def test_a_local_file_of_lefthook_is_named(managed: Managed) -> None:
    managed.repo.write({"lefthook.yml": "", "lefthook-local.yml": "pre-commit:\n  skip: true\n"})
    check = managed.doctor()["environment"]
    assert (check.status, "lefthook-local.yml" in check.fix) == ("warn", True)


# ---- husky


@pytest.fixture(scope="session")
def husky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, from the registry that npm is set up for."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not here, so husky cannot be had")
    folder = tmp_path_factory.mktemp("husky")
    try:
        done = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"husky@{HUSKY}"],
            cwd=folder,
            capture_output=True,
            check=False,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not answer in a minute, so husky cannot be had")
    if done.returncode:
        pytest.skip("npm cannot install husky here: " + done.stderr.decode("utf-8", "replace")[:200])
    return folder / "node_modules/husky/bin.js"


def put_husky(managed: Managed, husky: Path, place: Path | None = None) -> None:
    code, output = managed.run("node", str(husky), place=place)
    assert code == 0, output


HUSKY_FILES = {f".husky/{stage}": f'agentreview hook {stage} "$@"\n' for stage in STAGES}


def test_husky_gates_every_stage_once_its_files_name_agentreview(managed: Managed, husky: Path, make_repo: Any) -> None:
    managed.repo.write({".husky/pre-commit": "true\n"})
    put_husky(managed, husky)
    refused = managed.install()
    assert (refused.done, refused.front_end) == (False, "husky")
    for stage in STAGES:
        assert f'.husky/{stage}:  agentreview hook {stage} "$@"' in refused.entry
    managed.repo.write(HUSKY_FILES)
    report = managed.install()
    assert (report.done, report.front_end) == (True, "husky"), report.lines
    assert {managed.doctor()[f"hook {stage}"].status for stage in STAGES} == {"ok"}
    goes_through_every_stage(managed, make_repo, config=HUSKY_FILES)


def test_husky_that_was_not_run_here_or_lacks_a_stage_is_not_called_done(managed: Managed, husky: Path) -> None:
    managed.repo.write({".husky/pre-commit": HUSKY_FILES[".husky/pre-commit"]})
    report = managed.install()
    assert not report.done
    assert "run npx husky" in report.lines[0]
    put_husky(managed, husky)
    report = managed.install()
    assert not report.done
    assert "pre-merge-commit, prepare-commit-msg, pre-push" in report.lines[0]


def test_a_new_worktree_has_no_husky_until_it_is_run_there_and_the_doctor_says_so(
    managed: Managed, husky: Path, tmp_path: Path
) -> None:
    managed.repo.write(HUSKY_FILES)
    put_husky(managed, husky)
    assert managed.install().done
    managed.git("add", "-A")
    assert managed.run("git", "commit", "-q", "-m", "gate")[0] == 0
    linked = tmp_path / "linked"
    managed.git("worktree", "add", "-q", str(linked))
    code, output = managed.commit("BAD\n", linked)
    assert code == 0, output
    check = managed.doctor()["worktree linked"]
    assert (check.status, check.fix) == ("fail", "run there: npx husky")
    put_husky(managed, husky, linked)
    assert managed.doctor()["worktree linked"].status == "ok"
    assert managed.commit("BAD again\n", linked)[0] == 1


def test_a_variable_and_a_start_file_that_switch_husky_off_are_found(
    managed: Managed, husky: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    managed.repo.write(HUSKY_FILES)
    put_husky(managed, husky)
    assert "environment" not in managed.doctor()
    monkeypatch.setenv("HUSKY", "0")
    assert managed.doctor()["environment"].fix == "run: unset HUSKY"
    assert managed.commit("BAD\n")[0] == 0
    monkeypatch.delenv("HUSKY")
    start = Path(os.environ["HOME"], ".config/husky/init.sh")
    start.parent.mkdir(parents=True)
    start.write_text("export HUSKY=0\n")
    check = managed.doctor()["environment"]
    assert (check.status, str(start) in check.fix) == ("fail", True)
    assert managed.commit("BAD twice\n")[0] == 0


# ---- pre-commit and prek


@pytest.mark.parametrize(("tool", "variable"), [("pre-commit", "SKIP"), ("prek", "PREK_SKIP")])
def test_a_variable_that_makes_a_manager_skip_it_is_found(
    managed: Managed, monkeypatch: pytest.MonkeyPatch, tool: str, variable: str
) -> None:
    file = "prek.toml" if tool == "prek" else ".pre-commit-config.yaml"
    managed.repo.write({file: "# id: agentreview\nid: agentreview\n"})
    monkeypatch.setenv(variable, "other,agentreview")
    assert managed.doctor()["environment"].fix == f"run: unset {variable}"
    monkeypatch.setenv(variable, "other")
    assert "environment" not in managed.doctor()


@pytest.mark.parametrize("tool", ["pre-commit", "prek"])
def test_a_stage_that_the_managers_configuration_leaves_out_is_named(managed: Managed, tool: str) -> None:
    managed.repo.write({".pre-commit-config.yaml": ""})
    entry = detect(managed.path)[0].entry
    head, _, hooks = entry.partition("\n\nand below")
    local = hooks.partition("which runs the agentreview on the PATH,\n\n")[2].partition("\n\nor this")[0]
    text = f"{head.partition(chr(10))[2]}\n\nrepos:\n{local}\n"
    managed.repo.write({".pre-commit-config.yaml": text})
    if tool == "prek":
        assert managed.run("prek", "install")[0] == 0
    report = managed.install()
    assert (report.done, report.front_end) == (True, tool), report.lines
    managed.repo.write({".pre-commit-config.yaml": re.sub(r"stages: .*", "stages: [pre-commit]", text)})
    report = managed.install()
    assert not report.done
    assert "does not run agentreview for pre-merge-commit, prepare-commit-msg, pre-push" in report.lines[-1]
    checks = managed.doctor()
    assert checks["hook pre-commit"].status == "ok"
    assert {checks[f"hook {stage}"].status for stage in STAGES[1:]} == {"warn"}


def test_uninstall_leaves_a_managers_hooks_alone(managed: Managed) -> None:
    name_in_lefthook(managed)
    assert managed.install().done
    before = contents(managed.path / ".git/hooks")
    report = uninstall(open_repository(str(managed.path)))
    assert (report.done, report.lines[-1]) == (False, "lefthook.yml still runs agentreview: remove its entry there")
    assert contents(managed.path / ".git/hooks") == before
