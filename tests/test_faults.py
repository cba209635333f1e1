"""State survives: whatever is killed, full, read-only, damaged or early, no verdict is wrong and no repair is needed.

``AGENTREVIEW_FAULTS=full`` runs the full counts: 50 kills, and 8 worktrees that commit 50 times each.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentreview.git import open_repository
from agentreview.history import Standing, commits, settled
from agentreview.ledger import everything
from commandline import BAD, GOOD, RULE, SCRIPT, agentreview, one_line
from conftest import FULL_FAULTS
from standin import make_standin
from test_hooks import REVIEWED, Gated
from waiting import eventually, gone

pytestmark = pytest.mark.slow
KILLS = 50 if FULL_FAULTS else 8
WORKTREES, COMMITS = (8, 50) if FULL_FAULTS else (3, 4)


@pytest.fixture
def gated(repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gated:
    repo.commit({"a.py": "a = 1\n", "b.py": "b = 1\n"})
    return Gated(repo, tmp_path, monkeypatch)


def state(repo: Any) -> tuple[str, dict[str, tuple[int, bytes]]]:
    """What is staged, and the work tree to the byte."""
    files = sorted(path for path in repo.path.rglob("*") if path.is_file() and ".git" not in path.parts)
    return repo.git("ls-files", "-s"), {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def all_settled(gated: Gated) -> bool:
    """Whether a passing review of every commit after the first is on record."""
    repo = open_repository(str(gated.path))
    pairs = [(one.base, one.tree) for one in commits(repo, "HEAD")[1:]]
    return all(one.standing is Standing.REVIEWED for one in settled(repo, pairs, today="2026-11-23"))


# ---- killed


def end_at(command: list[str], cwd: Path, seconds: float) -> int:
    """Run a command in a process group of its own and kill all of it after a time, as an agent's harness does."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        code = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    eventually(lambda: gone(process.pid))
    return code


def test_a_commit_that_is_killed_at_any_moment_leaves_everything_as_it_was_and_the_next_one_works(gated: Gated) -> None:
    dice = random.Random(19)
    gated.stage({"a.py": "warm = 1\n"})
    start = time.monotonic()
    assert gated.commit() == (0, "")
    usual = time.monotonic() - start
    cut_short = 0
    for number in range(KILLS):
        bad = number % 2 == 0
        gated.stage({"a.py": f"{'BAD' if bad else 'good'} = {number}\n"})
        gated.write({"b.py": f"unstaged = {number}\n"})
        before, head = state(gated), gated.head()
        start = time.monotonic()
        code = end_at(["git", "commit", "-q", "-m", "x"], gated.path, dice.random() * usual * 0.9)
        cut_short += code == -signal.SIGKILL
        if code != -signal.SIGKILL:  # it was quicker than it used to be
            usual = min(usual, time.monotonic() - start)
        (gated.path / ".git/index.lock").unlink(missing_ok=True)  # git's own, which git itself asks to remove
        (gated.path / ".git/HEAD.lock").unlink(missing_ok=True)
        (gated.path / ".git/refs/heads/main.lock").unlink(missing_ok=True)
        assert state(gated) == before
        if gated.head() == head:
            code, output = gated.commit()
            assert code == int(bad), output
        assert "BAD" not in gated.git("show", "HEAD:a.py")
    assert cut_short
    assert all_settled(gated)
    print(f"{KILLS} commits killed, {cut_short} of them before they were done")


def test_a_review_that_is_killed_leaves_the_index_file_itself_as_it_was_to_the_byte(gated: Gated) -> None:
    """Without git around it, which rewrites its index before it runs a hook."""
    dice = random.Random(3)
    gated.stage({"a.py": "good\n"})
    gated.write({"b.py": "unstaged\n"})
    git_dir = gated.path / ".git"
    index = (git_dir / "index").read_bytes()
    others = {str(path) for path in git_dir.iterdir()}
    for number in range(KILLS):
        moment = dice.random() * 0.8
        end_at([str(git_dir / "hooks/pre-commit")], gated.path, moment)
        assert (git_dir / "index").read_bytes() == index, number
        assert {str(path) for path in git_dir.iterdir()} - others <= {str(git_dir / "agentreview")}, "no lock is left"
    assert gated.commit() == (0, "")


@pytest.mark.skipif(not SCRIPT.exists(), reason="the command is not installed here")
def test_a_review_with_all_policies_that_is_killed_is_no_different(repo: Any) -> None:
    dice = random.Random(7)
    repo.commit({"README": "a clinic\n"})
    assert agentreview("install", cwd=repo.path).code == 0
    repo.stage(BAD)
    start = time.monotonic()
    assert subprocess.run(["git", "commit", "-q", "-m", "x"], cwd=repo.path, capture_output=True).returncode == 1  # noqa: PLW1510
    usual = time.monotonic() - start
    head = repo.git("rev-parse", "HEAD")
    for number in range(max(3, KILLS // 5)):
        repo.stage({**BAD, "note.txt": f"{number}\n"})
        before = state(repo)
        end_at(["git", "commit", "-q", "-m", "x"], repo.path, dice.random() * usual)
        (repo.path / ".git/index.lock").unlink(missing_ok=True)
        assert state(repo) == before
        assert repo.git("rev-parse", "HEAD") == head
    done = agentreview(cwd=repo.path)
    assert (done.code, RULE in done.out) == (1, True)
    repo.stage(GOOD)
    assert subprocess.run(["git", "commit", "-q", "-m", "x"], cwd=repo.path, capture_output=True).returncode == 0  # noqa: PLW1510
    assert agentreview("receipts", "verify", cwd=repo.path).code == 0


# ---- no space, no right to write


def in_a_small_mount(gated: Gated, place: str, script: str) -> subprocess.CompletedProcess[bytes]:
    """Run a shell script in which ``place`` is a file system of 64 KB that is full; skips where nobody may mount."""
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("mounting is not allowed here: " + probe.stderr.decode("utf-8", "replace").strip())
    prepare = f"mount -t tmpfs -o size=64k none {place} && head -c 200000 /dev/zero >{place}/filler 2>/dev/null; "
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", prepare + script], cwd=gated.path, capture_output=True, check=False
    )


def test_a_full_disk_under_the_store_passes_nothing_bad_and_says_what_is_lost(gated: Gated) -> None:
    (gated.path / ".git/agentreview").mkdir(exist_ok=True)
    gated.stage({"a.py": "BAD\n"})
    done = in_a_small_mount(gated, ".git/agentreview", "git commit -q -m x")
    assert done.returncode == 1
    assert b"BLOCKED" in done.stderr
    gated.stage({"a.py": "good\n"})
    done = in_a_small_mount(gated, ".git/agentreview", "git commit -q -m x; echo $?; ls -A .git/agentreview")
    assert done.stdout.split()[0] == b"0", done.stderr
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
    assert set(done.stdout.split()[1:]) <= {b"filler", b"receipts", b"verdicts", b"judged"}
    gated.stage({"a.py": "BAD again\n"})
    assert gated.commit()[0] == 1
    gated.stage({"a.py": "good again\n"})
    assert gated.commit() == (0, "")


def test_a_disk_that_is_full_everywhere_commits_nothing_and_the_next_commit_works(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    shutil.copytree(gated.path / ".git", gated.path / "saved")
    script = "rm .git/filler; cp -a saved/. .git/ 2>/dev/null; head -c 1000000 /dev/zero >.git/filler 2>/dev/null; "
    done = in_a_small_mount(gated, ".git", script + "git commit -q -m x; echo code $?")
    assert b"code 0" not in done.stdout
    shutil.rmtree(gated.path / "saved")
    assert gated.commit() == (0, "")
    assert gated.runs()[-1] == REVIEWED


def test_of_a_read_only_git_directory_ranges_are_reviewed_and_what_is_staged_is_not_called_clean(gated: Gated) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    gated.stage(dict(BAD))
    before = files_below(gated.path / ".git")

    def run(*words: str) -> subprocess.CompletedProcess[bytes]:
        read_only = "mount --bind .git .git && mount -o remount,ro,bind .git && "
        command = f"{read_only} {sys.executable} -m agentreview run {' '.join(words)}"
        return subprocess.run(["unshare", "-m", "sh", "-c", command], cwd=gated.path, capture_output=True, check=False)

    done = run()  # the tree cannot be written, and without it nothing can be committed either
    assert (done.returncode, b"Read-only file system" in done.stderr) == (3, True)
    one_line(done.stderr.decode())
    assert files_below(gated.path / ".git") == before
    gated.unseen()
    done = run("--range", "HEAD^..HEAD")
    assert (done.returncode, RULE.encode() in done.stdout, b"Traceback" in done.stderr) == (1, True, False), done.stderr


# ---- damaged files

DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "a byte": lambda path: path.write_bytes(path.read_bytes()[:-2] + b"~\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_of_every_kind_cost_a_review_and_nothing_else(gated: Gated, damage: str) -> None:
    for text in ("BAD\n", "good\n"):
        gated.stage({"a.py": text})
        gated.commit()
    gated.undo()
    store = gated.path / ".git/agentreview"
    assert {path.parts[len(store.parts)] for path in files_below(store)} >= {"verdicts", "receipts", "judged"}
    for path in files_below(store):
        DAMAGES[damage](path)
    gated.stage({"a.py": "BAD\n"})
    code, output = gated.commit()
    assert (code, "BLOCKED" in output, "Traceback" in output) == (1, True, False)
    gated.stage({"a.py": "good\n"})
    gated.runs()
    assert gated.commit()[0] == 0
    repo = open_repository(str(gated.path))
    found = list(everything(repo))
    assert [one.receipt is None for one in found] == [bool(one.wrong) for one in found], "what is none is named"
    again = gated.runs() == [REVIEWED]  # a verdict whose report alone is damaged is still looked up
    last = commits(repo, "HEAD")[-1]
    (standing,) = settled(repo, [(last.base, last.tree)], today="2026-11-23")
    assert standing.standing is (Standing.REVIEWED if again else Standing.MISSING), "then the push reviews it"


@pytest.mark.parametrize("damage", ["empty", "cut", "noise"])
def test_damage_to_what_the_whole_tool_keeps_is_made_good_by_the_next_run(repo: Any, damage: str) -> None:
    repo.stage({**GOOD, "clinic/urls.py": "from clinic import views\n"})
    assert agentreview(cwd=repo.path).code == 0
    cache = Path(os.environ["XDG_CACHE_HOME"])
    kept = files_below(repo.path / ".git/agentreview") + files_below(cache)
    assert any("policies-" in path.name for path in kept)
    for path in kept:
        DAMAGES[damage](path)
    broken = {path: path.read_bytes() for path in kept if "receipts" in path.parts and path.suffix == ".json"}
    assert broken
    done = agentreview(cwd=repo.path)
    assert (done.code, done.err) == (0, "")
    repo.stage(BAD)
    done = agentreview(cwd=repo.path)
    assert (done.code, RULE in done.out) == (1, True)
    verified = agentreview("receipts", "verify", cwd=repo.path)
    # One that was written anew within the same second has the same name, and is whole again.
    left = any(path.exists() and path.read_bytes() == data for path, data in broken.items())
    assert (verified.code, "Traceback" in verified.err) == (int(left), False), "the damaged one is named"


# ---- clocks and versions


def test_a_clock_that_was_set_back_neither_passes_nor_refuses_anything_else(gated: Gated) -> None:
    gated.stage({"a.py": "BAD\n"})
    assert gated.commit()[0] == 1
    gated.stage({"a.py": "good\n"})
    assert gated.commit() == (0, "")
    gated.undo()
    future = time.time() + 40 * 86_400
    for path in files_below(gated.path / ".git/agentreview"):
        os.utime(path, (future, future))
    gated.runs()
    assert gated.commit() == (0, "")
    assert gated.runs() == []
    gated.stage({"a.py": "BAD\n"})
    assert gated.commit()[0] == 1
    assert all_settled(gated)


def test_two_versions_side_by_side_do_not_take_each_others_verdicts(gated: Gated, tmp_path: Path) -> None:
    other, _ = make_standin(tmp_path / "other", "10.0")
    gated.stage({"a.py": "good\n"})
    assert gated.commit() == (0, "")
    for number in range(3):
        gated.undo()
        gated.runs()
        done = subprocess.run([other, "hook", "pre-commit"], cwd=gated.path, capture_output=True, check=False)
        assert done.returncode == 0
        assert gated.runs() == [REVIEWED], number
        assert gated.commit() == (0, "")
        assert gated.runs() == []
        gated.stage({"a.py": "BAD\n"})
        done = subprocess.run([other, "hook", "pre-commit"], cwd=gated.path, capture_output=True, check=False)
        assert done.returncode == 1
        assert gated.commit()[0] == 1
        gated.git("reset", "-q", "--hard")
    names = {path.name for path in (gated.path / ".git/agentreview/verdicts").iterdir()}
    assert names == {"9.9", "10.0"}


# ---- many at once


def test_many_worktrees_that_commit_at_once_lose_no_receipt_and_pass_nothing_bad(gated: Gated, tmp_path: Path) -> None:
    places = [tmp_path / f"w{number}" for number in range(WORKTREES)]
    for place in places:
        gated.git("worktree", "add", "-q", str(place))
    wrong: list[str] = []

    def work(place: Path) -> None:
        for number in range(COMMITS):
            for word, expected in (("BAD", 1), ("good", 0)) if number % 5 == 0 else (("good", 0),):
                (place / "a.py").write_text(f"{word} = '{place.name} {number}'\n")
                code, output = gated.try_git("commit", "-q", "-a", "-m", f"{place.name} {number}", cwd=place)
                if code != expected or (not code and output):
                    wrong.append(f"{place.name} {number} {word}: {code} {output}")

    started = time.monotonic()
    workers = [threading.Thread(target=work, args=(place,)) for place in places]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.monotonic() - started
    assert wrong == []
    repo = open_repository(str(gated.path))
    passed = [one.receipt for one in everything(repo) if one.receipt is not None and one.receipt.decision == "pass"]
    assert len(passed) == WORKTREES * COMMITS
    pairs = []
    for place in places:
        made = commits(open_repository(str(place)), "HEAD", "^main")
        assert len(made) == COMMITS
        pairs += [(one.base, one.tree) for one in made]
        assert gated.git("-C", str(place), "status", "--porcelain") == ""
    assert all(one.standing is Standing.REVIEWED for one in settled(repo, pairs, today="2026-11-23"))
    assert "BAD" not in gated.git("log", "--all", "-p", "--format=")
    assert gated.git("fsck", "--strict", "--no-dangling").strip() == ""
    print(f"{WORKTREES} worktrees, {COMMITS} commits each: {seconds:.0f} s")


def test_a_verdict_is_never_kept_without_its_receipt(repo: Any) -> None:
    """Else the look-up would let the change pass for good, and nothing would ever say that it was reviewed."""
    repo.stage(GOOD)
    receipts, verdicts = repo.path / ".git/agentreview/receipts", repo.path / ".git/agentreview/verdicts"
    receipts.parent.mkdir()
    receipts.write_bytes(b"in the way")
    done = agentreview(cwd=repo.path)
    assert (done.code, "no receipt of this review could be written" in " ".join(done.out.split())) == (0, True)
    assert files_below(verdicts) == []
    receipts.unlink()
    assert agentreview(cwd=repo.path).code == 0
    assert len(files_below(verdicts)) == 1
    assert len(list(everything(open_repository(str(repo.path))))) == 1
