"""Shared fixtures: real git repositories in an environment nothing of the machine leaks into."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import hypothesis
import pytest

IDENTITY = {
    "GIT_AUTHOR_NAME": "Dana Reyes",
    "GIT_AUTHOR_EMAIL": "dana@clinic.example",
    "GIT_COMMITTER_NAME": "Dana Reyes",
    "GIT_COMMITTER_EMAIL": "dana@clinic.example",
}

FULL_FAULTS = os.environ.get("AGENTREVIEW_FAULTS") == "full"  # tests/test_faults.py with its full counts
OTHER_GIT = os.environ.get("AGENTREVIEW_TEST_GIT")  # the path of another git, to run everything with that

# No clock decides whether a test passes: the machine may be busy.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

# A script that starts the suite in the background has interrupts ignored, and every process below would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The command is started a thousand times, and may keep its compiled modules.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No git configuration, identity, locale or colour setting of the machine reaches a test, and nothing it leaves the machine."""
    for name in list(os.environ):
        prefixes = ("GIT_", "GITHUB_", "AGENTREVIEW_", "PRE_COMMIT", "PREK_", "LEFTHOOK", "ANTHROPIC_", "AWS_")
        if name.startswith(prefixes) or name in {
            "NO_COLOR",
            "FORCE_COLOR",
            "CI",
            "GITLAB_CI",
            "COLUMNS",
            "LINES",
            "CLOUD_ML_REGION",
            "HUSKY",
            "SKIP",
        }:
            monkeypatch.delenv(name)
    own = tmp_path_factory.mktemp("own")
    home, scratch = own / "home", own / "tmp"
    home.mkdir()
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    for name, value in {
        **IDENTITY,
        "HOME": str(home),
        "TMPDIR": str(scratch),
        # The compiled policies are the same for all tests: each would spend a second on making its own.
        "XDG_CACHE_HOME": str(tmp_path_factory.getbasetemp() / "cache"),
        "LC_ALL": "C.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    if OTHER_GIT:
        monkeypatch.setenv("PATH", f"{Path(OTHER_GIT).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def one_day() -> None:
    """For a test that compares with today: no new day (UTC) begins meanwhile."""
    left = 86_400 - time.time() % 86_400
    if left < 120:
        time.sleep(left + 1)


class Repo:
    """A scratch repository. ``git`` runs real git in it; ``write`` writes files; nothing is mocked."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *args: str, check: bool = True, text: bool = True, **kwargs: object) -> str:
        """Run git here and return its stdout; raises with git's stderr when it fails and ``check`` is set."""
        done = subprocess.run(["git", *args], cwd=self.path, capture_output=True, check=False, **kwargs)  # type: ignore[call-overload]
        if check and done.returncode:
            raise AssertionError(f"git {' '.join(args)}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="surrogateescape") if text else done.stdout

    def write(self, files: dict[str, str | bytes]) -> None:
        for name, data in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data if isinstance(data, bytes) else data.encode())

    def stage(self, files: dict[str, str | bytes]) -> None:
        self.write(files)
        self.git("add", "-A")

    def commit(self, files: dict[str, str | bytes] | None = None, message: str = "work") -> str:
        if files:
            self.stage(files)
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").strip()


def git_version() -> tuple[int, ...]:
    """The version of the git that tests run, as ``(2, 39)``."""
    said = subprocess.run(["git", "version"], capture_output=True, check=True, text=True).stdout.split()[2]
    return tuple(int(part) for part in said.split(".")[:2])


@pytest.fixture
def make_repo(tmp_path: Path):
    """Return a function that makes an empty repository (``make_repo('name', '--object-format=sha256')``).

    The test is skipped where this git is too old for one of the options.
    """

    def make(name: str = "repo", *options: str) -> Repo:
        if "--ref-format=reftable" in options and git_version() < (2, 45):
            pytest.skip("this git is older than 2.45 and has no reftable")
        path = tmp_path / name
        path.mkdir(parents=True)
        subprocess.run(["git", "init", "-q", "-b", "main", *options, str(path)], check=True, capture_output=True)
        return Repo(path)

    return make


@pytest.fixture
def repo(make_repo) -> Repo:
    """One empty repository."""
    return make_repo()
