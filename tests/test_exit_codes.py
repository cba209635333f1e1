"""How it fails: one line, the exit code that was promised, and the index and the work tree as they were."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentreview.errors import ConfigError, ExitCode
from commandline import BAD, COMMAND, GOOD, HEAD, RULE, agentreview, one_line
from waiting import PATIENCE, eventually, gone

GIT = shutil.which("git") or "git"


@pytest.fixture
def bad(repo: Any) -> Any:
    """A repository with a commit, and a bad change staged."""
    repo.commit({"README.md": "clinic\n"})
    repo.stage(BAD)
    return repo


def state(path: Path) -> dict[str, bytes]:
    """Every byte of the work tree, and of what in the git directory a commit rests on."""
    found = {}
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        inside = name.startswith(".git/") and not name.startswith(
            (".git/index", ".git/HEAD", ".git/refs", ".git/config")
        )
        if file.is_file() and not inside:
            found[name] = file.read_bytes()
    return found


@contextlib.contextmanager
def untouched(path: Path) -> Iterator[None]:
    """Fail when anything changed, and when a lock or a copy of the index was left behind."""
    before = state(path)
    yield
    assert state(path) == before
    assert not list(path.glob(".git/**/*.lock"))
    assert not list(path.glob(".git/**/index.*"))


def fails(code: int, says: str, *args: str, cwd: Path, **options: Any) -> str:
    """Run by hand and as the hook; both end with this code, one line and nothing else."""
    lines = []
    for arguments in (args, ("hook", "pre-commit")) if not args else (args,):
        done = agentreview(*arguments, cwd=cwd, **options)
        assert (done.code, done.out) == (code, ""), done
        lines.append(one_line(done.err))
        assert says in lines[-1]
        assert lines[-1].startswith("agentreview: ")
    return lines[0]


def fake_git(folder: Path, script: str) -> dict[str, str]:
    """Put a program called git in front of the real one."""
    folder.mkdir()
    program = folder / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


HURRY = "[limits]\nfile_seconds = 0.01\n"


# ---- the three answers


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (GOOD, ExitCode.PASS),
        (BAD, ExitCode.BLOCKED),
        ({**BAD, "agentreview.toml": "block_at = 3\n"}, ExitCode.USAGE),
        (GOOD, ExitCode.INCOMPLETE),
    ],
)
def test_the_exit_code_is_the_same_by_hand_and_in_the_hook(repo: Any, files: dict[str, str], code: int) -> None:
    if code is ExitCode.INCOMPLETE:
        repo.commit({"agentreview.toml": HURRY})
        files = {
            **files,
            "clinic/big.py": HEAD + "".join(f"def f{n}(a):\n    return [a, {n}]\n\n" for n in range(6000)),
        }
    repo.stage(files)
    with untouched(repo.path):
        by_hand, hook = agentreview(cwd=repo.path), agentreview("hook", "pre-commit", cwd=repo.path)
    assert (by_hand.code, hook.code) == (code, code), (by_hand, hook)
    assert hook.out == ""
    assert "Traceback" not in by_hand.out + by_hand.err + hook.err


def test_a_file_that_makes_the_analysis_run_away_is_not_a_pass(repo: Any) -> None:
    big = HEAD + "".join(f"def f{n}(a):\n    return [a, {n}]\n\n" for n in range(6000))
    repo.commit({"agentreview.toml": HURRY})
    repo.stage({"clinic/big.py": big})
    with untouched(repo.path):
        done = agentreview(cwd=repo.path)
    assert done.code == 3
    assert "clinic/big.py: not checked within 0.01 s" in " ".join(done.out.split())
    assert done.out.rstrip().split("\n")[-1].startswith("INCOMPLETE: ")
    again = agentreview(cwd=repo.path)
    assert again.code == 3
    assert "from the store" not in again.out


# ---- the place


def test_outside_a_repository(tmp_path: Path) -> None:
    says = "this directory is not in a git repository. Run it inside a worktree, or `git init` first"
    fails(2, says, cwd=tmp_path)
    for args in (("install",), ("uninstall",), ("init",), ("doctor",), ("--worktree", str(tmp_path))):
        fails(2, "is not in a git repository", *args, cwd=tmp_path)


def test_a_bare_repository(make_repo: Any) -> None:
    bare = make_repo("bare.git", "--bare")
    fails(2, "is a bare repository. Reviewing needs a worktree", cwd=bare.path)


def test_unmerged_paths(repo: Any) -> None:
    repo.commit({"a.py": "a = 1\n"})
    repo.git("switch", "-q", "-c", "other")
    repo.commit({"a.py": "a = 2\n"})
    repo.git("switch", "-q", "main")
    repo.commit({"a.py": "a = 3\n"})
    repo.git("merge", "other", check=False)
    with untouched(repo.path):
        fails(2, "there are unmerged paths: a.py. Resolve the conflicts, then `git add` them", cwd=repo.path)
        assert agentreview("policies", "list", cwd=repo.path).code == 0
        assert agentreview("init", "--stdout", cwd=repo.path).code == 0


def test_git_is_missing(bad: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with untouched(bad.path):
        fails(2, "git cannot be run. Install git", cwd=bad.path, env={"PATH": str(tmp_path / "empty")})


def test_git_is_too_old(bad: Any, tmp_path: Path) -> None:
    """git before 2.31 takes --path-format for a revision and prints it."""
    script = 'case "$*" in *version*) echo "git version 2.25.1" ;; *) echo "--path-format=absolute" ;; esac'
    with untouched(bad.path):
        says = "git version 2.25.1 is too old. Install git 2.31 or newer"
        fails(2, says, cwd=bad.path, env=fake_git(tmp_path / "old", script))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
def test_a_repository_of_somebody_else(bad: Any) -> None:
    for file in (bad.path, *bad.path.rglob("*")):
        os.chown(file, 12345, 12345, follow_symlinks=False)
    command = f"git config --global --add safe.directory {bad.path}"
    says = f"{bad.path} belongs to another user, so git will not read it. If you trust it: `{command}`"
    with untouched(bad.path):
        fails(2, says, cwd=bad.path)


# ---- what cannot be read or written


def test_an_object_that_is_gone(bad: Any) -> None:
    oid = bad.git("rev-parse", ":clinic/views.py").strip()
    (bad.path / ".git/objects" / oid[:2] / oid[2:]).unlink()
    with untouched(bad.path):
        line = fails(3, "", cwd=bad.path)
        assert oid in line
        assert "git fsck" in line


def test_an_object_that_is_damaged(bad: Any) -> None:
    oid = bad.git("rev-parse", ":clinic/views.py").strip()
    file = bad.path / ".git/objects" / oid[:2] / oid[2:]
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    file.write_bytes(b"damaged")
    with untouched(bad.path):
        assert "git fsck" in fails(3, "", cwd=bad.path)


def test_an_index_that_cannot_be_read(bad: Any) -> None:
    (bad.path / ".git/index").write_bytes(b"DIRC nonsense")
    with untouched(bad.path):
        fails(3, "index file smaller than expected", cwd=bad.path)


def test_a_store_that_cannot_be_written_costs_time_but_not_the_verdict(bad: Any) -> None:
    shutil.rmtree(bad.path / ".git/agentreview", ignore_errors=True)
    (bad.path / ".git/agentreview").write_text("in the way")
    with untouched(bad.path):
        done = agentreview(cwd=bad.path)
    assert done.code == 1
    assert RULE in done.out
    assert "no receipt of this review could be written" in " ".join(done.out.split())
    explained = agentreview("explain", "b2:00000000", cwd=bad.path)
    assert explained.code == 2
    assert "Traceback" not in explained.err
    bad.stage(GOOD)
    assert agentreview(cwd=bad.path).code == 0


@pytest.fixture
def full_disk(bad: Any) -> Iterator[Path]:
    """The store on a file system of its own, with no room left."""
    store = bad.path / ".git/agentreview"
    store.mkdir(exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(store)]
    try:
        mounted = subprocess.run(argv, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if mounted.returncode:
        pytest.skip("this process may not mount a file system")
    try:
        with contextlib.suppress(OSError), (store / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 1024)
        yield store
    finally:
        subprocess.run(["umount", "-l", str(store)], check=True)


def test_a_full_disk_under_the_store_costs_time_but_not_the_verdict(bad: Any, full_disk: Path) -> None:
    with untouched(bad.path):
        done = agentreview(cwd=bad.path)
        hook = agentreview("hook", "pre-commit", cwd=bad.path)
    assert (done.code, hook.code) == (1, 1)
    assert "No space left on device" in done.out
    bad.stage(GOOD)
    passed = agentreview("hook", "pre-commit", cwd=bad.path)
    assert passed.code == 0
    assert "No space left on device" in passed.err
    assert agentreview("doctor", cwd=bad.path).code == 2  # no hook yet; the store is only a warning
    assert [file.name for file in full_disk.rglob("*") if file.is_file()] == ["filler"]


# ---- what people write


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("block_att = 'high'\n", "agentreview.toml:1: unknown key 'block_att'. Did you mean 'block_at'?"),
        ("\n[packs]\nhippa = 'on'\n", "agentreview.toml:3: unknown pack 'hippa'"),
        ("block_at = 3\n", "agentreview.toml:1: block_at is "),
        ("a = [\n", "agentreview.toml:1: not valid TOML"),
    ],
)
def test_a_mistake_in_the_configuration_names_the_line_and_the_way_out(bad: Any, text: str, says: str) -> None:
    bad.stage({"agentreview.toml": text})
    with untouched(bad.path):
        fails(2, says, cwd=bad.path)


def test_a_policy_file_with_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "hipaa").mkdir()
    (tmp_path / "hipaa/broken.md").write_text("---\nid: hipaa.broken\ntitle: [\n---\n")
    line = fails(2, "hipaa/broken.md:", "policies", "test", str(tmp_path), cwd=tmp_path)
    assert "not valid YAML" in line


# ---- stopped


def test_an_interrupt_while_git_works_is_130(bad: Any, tmp_path: Path) -> None:
    started = tmp_path / "started"
    env = fake_git(
        tmp_path / "slow", f'case "$*" in *write-tree*) : > {started}; exec sleep 600 ;; esac\nexec {GIT} "$@"'
    )
    for arguments in ([], ["hook", "pre-commit"]):
        started.unlink(missing_ok=True)
        with untouched(bad.path):
            code, out, err = _interrupted(bad.path, arguments, lambda _: started.exists(), env)
        assert (code, out) == (130, "")
        assert "agentreview: interrupted: " in one_line(err)


def test_an_interrupt_while_files_are_read_is_130_and_leaves_no_process(repo: Any, tmp_path: Path) -> None:
    body = "".join(f"def f{n}(a):\n    return [a, {n}]\n\n" for n in range(3000))
    repo.stage({f"m{n}.py": HEAD + body for n in range(30)})
    with untouched(repo.path):
        code, out, err = _interrupted(repo.path, ["--fresh"], lambda group: _programs(group) > 1)
    assert (code, out) == (130, "")
    assert "agentreview: interrupted: " in one_line(err)


def _programs(group: int) -> int:
    """How many processes of a group run our program, workers that read files among them."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pgid=", "-o", "args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 1) for line in listed.splitlines()]
    return sum(row[0] == str(group) and COMMAND[0] in row[-1] for row in rows)


def _interrupted(
    path: Path, arguments: list[str], under_way: Callable[[int], bool], env: dict[str, str] | None = None
) -> Any:
    """Start it, wait until it is under way, and interrupt its whole process group, as Ctrl-C does."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=path,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    eventually(lambda: under_way(process.pid))
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    eventually(lambda: gone(process.pid), lambda: "a process of the group is still there")
    return process.returncode, out.decode(), err.decode()


# ---- bugs


def test_an_expected_failure_survives_the_way_from_a_worker_process() -> None:
    error = ConfigError("unknown key", path="agentreview.toml", line=3, fix="Delete it")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.path, again.line) == (ConfigError, str(error), "agentreview.toml", 3)


def test_a_bug_is_one_line_and_its_traceback_is_kept_elsewhere(bad: Any, tmp_path: Path) -> None:
    """A module that fails when it is imported stands for a bug of any kind."""
    (tmp_path / "unidiff.py").write_text("1 / 0\n")
    env = {"PYTHONPATH": str(tmp_path), "TMPDIR": str(tmp_path)}
    bad.stage({"README.md": "changed\n"})
    with untouched(bad.path):
        done = agentreview("--fresh", cwd=bad.path, env=env)
        told = agentreview("--fresh", cwd=bad.path, env={**env, "AGENTREVIEW_DEBUG": "1"})
    assert (done.code, done.out) == (4, "")
    line = one_line(done.err)
    assert "a bug in agentreview stopped " in line
    details = Path(line.split("the details are in ")[1].split(". Please report it")[0])
    assert "ZeroDivisionError" in details.read_text()
    assert told.code == 4
    assert "Traceback" in told.err


def test_a_broken_installation_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise ImportError('click is broken')\n")
    done = agentreview("doctor", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "TMPDIR": str(tmp_path)})
    assert done.code == 4
    assert "(ImportError)" in one_line(done.err)


# ---- one commit cannot switch the gate off and pass under its own rules


@pytest.mark.parametrize(
    "settings",
    [
        'block_at = "critical"\n[policies]\n"conduct.gate-tampered" = "off"\n[packs]\nhipaa = "off"\n',
        '[packs]\nconduct = "advisory"\nhipaa = "off"\n',
        'exclude = ["**"]\n',
        "[limits]\nmax_lines = 1\n",
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_change_is_not_judged_by_the_switches_it_brings(repo: Any, settings: str, first: bool) -> None:
    repo.commit({"README": "x\n"} if first else {"agentreview.toml": 'block_at = "high"\n'})
    repo.stage({**BAD, "agentreview.toml": settings})

    done = agentreview(cwd=repo.path)

    assert done.code == 1, done
    assert "conduct.gate-tampered" in done.out


def test_a_rename_onto_the_configuration_does_not_bring_its_own_judge(repo: Any) -> None:
    repo.commit({"docs/x.toml": '[packs]\nconduct = "off"\nhipaa = "off"\n'})
    repo.git("mv", "docs/x.toml", "agentreview.toml")
    repo.stage(BAD)

    done = agentreview(cwd=repo.path)

    assert (done.code, "conduct.gate-tampered" in done.out) == (1, True), done


def test_a_pack_that_is_off_is_counted_and_no_alarm(repo: Any) -> None:
    repo.commit({"agentreview.toml": '[packs]\ntenancy = "off"\n'})
    repo.stage(GOOD)

    done = agentreview(cwd=repo.path)

    assert (done.code, "Did not finish" in done.out) == (0, False)
    assert "off: policy:tenancy" in done.out


def test_code_that_nobody_reads_is_counted(repo: Any) -> None:
    """Templates, notebooks, schemas and infrastructure are code that is not reviewed, not nothing to review."""
    repo.stage({"t.html": "<p>\n", "n.ipynb": "{}\n", "schema.prisma": "model P { id Int }\n", "m.tf": "x = 1\n"})

    done = agentreview(cwd=repo.path)

    assert done.out == "PASSED: no file reviewed, 4 not reviewed (language: 4; -v lists them)\n"
