"""The ready pipelines: the shell steps they are made of, run as a runner runs them, against a scratch clone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from commandline import BAD, COMMAND, GOOD

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(len(COMMAND) != 1, reason="the pipelines call the installed script")


@pytest.fixture
def clone(make_repo: Any, tmp_path: Path) -> Any:
    """Return a function that makes a clone of a remote whose branch ``feature`` adds the given files to ``main``."""

    def make(files: dict[str, str], *options: str) -> tuple[Path, str, str]:
        remote = make_repo("remote")
        base = remote.commit({"clinic/models.py": GOOD["clinic/models.py"]})
        remote.git("checkout", "-q", "-b", "feature")
        head = remote.commit(files)
        place = tmp_path / "clone"
        subprocess.run(
            ["git", "clone", "-q", *options, "-b", "feature", f"file://{remote.path}", str(place)], check=True
        )
        return place, base, head

    return make


def sh(script: str, cwd: Path, shell: str = "bash", **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script as CI does: stop at the first failure."""
    tools = {"PATH": f"{Path(COMMAND[0]).parent}{os.pathsep}{os.environ['PATH']}"}
    flags = ["--noprofile", "--norc", "-eo", "pipefail"] if shell == "bash" else ["-e"]
    return subprocess.run(
        [shell, *flags, "-c", script], cwd=cwd, env={**os.environ, **tools, **env}, capture_output=True, text=True, check=False
    )  # fmt: skip


def action(name: str) -> dict[str, Any]:
    """A step of the composite action."""
    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    found: dict[str, Any] = next(step for step in steps if step["name"] == name)
    return found


def tool(tmp_path: Path) -> str:
    """A folder with bin/agentreview, where the install step puts one."""
    place = tmp_path / "tool" / "bin"
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "agentreview").exists():
        (place / "agentreview").symlink_to(COMMAND[0])
    return str(place.parent)


def github(event: dict[str, Any], tmp_path: Path, name: str) -> dict[str, str]:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(event))
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": name,
        "GITHUB_EVENT_PATH": str(file),
        "GITHUB_BASE_REF": "main",
    }


@pytest.mark.parametrize(("files", "code"), [(BAD, 1), (GOOD, 0)])
@pytest.mark.parametrize("event", ["pull_request", "merge_group"])
def test_the_action_judges_pull_requests_and_merge_queues(
    clone: Any, tmp_path: Path, files: dict[str, str], code: int, event: str
) -> None:
    place, base, head = clone(files)
    body = {
        "pull_request": {"number": 1, "pull_request": {"base": {"sha": base}, "head": {"sha": head}}},
        "merge_group": {"merge_group": {"base_sha": base, "head_sha": head}},
    }[event]
    done = sh(
        action("Review")["run"], place, BASE="", SARIF="out.sarif", PLACE=tool(tmp_path), **github(body, tmp_path, event)
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert ("::error file=clinic/views.py" in done.stdout) is bool(code)
    assert json.loads((place / "out.sarif").read_text())["version"] == "2.1.0"


@pytest.mark.parametrize("pipeline", ["action", "gitlab", "shell"])
def test_every_pipeline_knows_the_receipts_of_the_remote(clone: Any, tmp_path: Path, pipeline: str) -> None:
    place, base, head = clone(GOOD)
    remote = tmp_path / "remote"
    for args in (("--commit", "feature"), ("receipts", "list")):
        assert subprocess.run([*COMMAND, *args], cwd=remote, capture_output=True, check=False).returncode == 0
    event = {"pull_request": {"base": {"sha": base}, "head": {"sha": head}}}
    env = github(event, tmp_path, "pull_request") if pipeline == "action" else {}
    script = {
        "action": action("Review")["run"],
        "gitlab": "\n".join(yaml.safe_load((ROOT / "docs/ci/gitlab-ci.yml").read_text())["agentreview"]["script"]),
        "shell": f'exec sh "{ROOT}/docs/ci/agentreview.sh"',
    }[pipeline]
    if pipeline == "gitlab":
        env = {
            "GITLAB_CI": "true",
            "CI_MERGE_REQUEST_IID": "1",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
            "CI_COMMIT_SHA": head,
        }
    done = sh(script, place, BASE="origin/main", SARIF="out.sarif", PLACE=tool(tmp_path), TOOL=tool(tmp_path), **env)
    assert done.returncode == 0, done.stderr
    assert "1 commit: 1 covered by receipts (1 exact)" in done.stdout


@pytest.mark.parametrize("base", ["main", "origin/main"])
def test_the_action_takes_a_base_by_name(clone: Any, tmp_path: Path, base: str) -> None:
    place, _, _ = clone(BAD)
    done = sh(action("Review")["run"], place, BASE=base, SARIF="out.sarif", PLACE=tool(tmp_path), GITHUB_ACTIONS="true")
    assert done.returncode == 1, done.stderr


def test_the_action_fails_where_the_base_cannot_be_found(clone: Any, tmp_path: Path) -> None:
    place, base, head = clone(BAD, "--depth", "1")
    event = {"pull_request": {"base": {"sha": base}, "head": {"sha": head}}}
    done = sh(
        action("Review")["run"], place, BASE="", SARIF="out.sarif", PLACE=tool(tmp_path), **github(event, tmp_path, "pull_request")
    )  # fmt: skip
    assert done.returncode == 2
    assert "fetch-depth: 0" in done.stderr


def test_the_action_asks_for_nothing_it_does_not_need() -> None:
    text = (ROOT / "action.yml").read_text()
    assert "github.token" not in text
    assert "secrets." not in text
    for step in yaml.safe_load(text)["runs"]["steps"]:
        assert "${{" not in step["run"], "values reach a script through its environment only"


@pytest.mark.parametrize(("files", "code"), [(BAD, 1), (GOOD, 0)])
def test_the_gitlab_job_judges_a_merge_request(clone: Any, tmp_path: Path, files: dict[str, str], code: int) -> None:
    place, base, head = clone(files)
    job = yaml.safe_load((ROOT / "docs/ci/gitlab-ci.yml").read_text())["agentreview"]
    env = {
        "GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "1", "CI_MERGE_REQUEST_DIFF_BASE_SHA": base, "CI_COMMIT_SHA": head,
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    }  # fmt: skip
    done = sh("\n".join(job["script"]), place, TOOL=tool(tmp_path), **env)
    assert done.returncode == code, done.stderr
    reports = job["artifacts"]["reports"]
    quality = json.loads((place / reports["codequality"]).read_text())
    assert any(entry["severity"] == "critical" for entry in quality) is bool(code)
    assert (place / reports["junit"]).read_text().startswith("<?xml")
    assert job["variables"]["GIT_DEPTH"] == "0"


@pytest.mark.parametrize(("files", "code"), [(BAD, 1), (GOOD, 0)])
def test_the_shell_recipe_fetches_what_is_missing_and_judges(clone: Any, files: dict[str, str], code: int) -> None:
    place, _, _ = clone(files, "--depth", "1")
    done = sh(f'exec sh "{ROOT}/docs/ci/agentreview.sh" --quiet', place, shell="sh")
    assert done.returncode == code, done.stderr


def test_the_shell_recipe_is_a_posix_script() -> None:
    shell = shutil.which("dash") or shutil.which("sh")
    assert shell
    subprocess.run([shell, "-n", ROOT / "docs/ci/agentreview.sh"], check=True)
