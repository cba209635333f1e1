"""What is kept is bounded by age and size; evidence stays, and whoever commits meanwhile notices nothing."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agentreview.git import open_repository
from agentreview.housekeeping import CACHES, Collected, collect
from agentreview.ledger import everything, on_ref, publish
from agentreview.store import Store
from commandline import GOOD, agentreview
from test_hooks import Gated

DAY = 86_400.0
VERSION = "1.0"


@pytest.fixture
def gated(repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gated:
    repo.commit({"a.py": "a = 1\n"})
    return Gated(repo, tmp_path, monkeypatch)


def store(repo: Any) -> Store:
    opened = open_repository(str(repo.path))
    return Store(opened.store_dir, opened.state_dir)


def oid(number: int) -> str:
    return f"{number + 0x100:040x}"[::-1]


def fill(repo: Any, count: int, size: int = 1000, *, days_old: float = 0) -> list[Path]:
    paths = []
    for number in range(count):
        assert store(repo).save("a" * 40, oid(number), VERSION, "pass", b"x" * size) is None
        path = repo.path / ".git/agentreview/verdicts" / VERSION / f"{'a' * 40}-{oid(number)}"
        moment = time.time() - days_old * DAY - (count - number)
        os.utime(path, (moment, moment))
        paths.append(path)
    return paths


def gc(repo: Any, **options: Any) -> Collected:
    return collect(open_repository(str(repo.path)), **options)


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_is_too_old_goes_and_the_rest_stays(repo: Any) -> None:
    old = fill(repo, 3, days_old=91)
    new = [path for path in fill(repo, 6) if path not in old]
    for path in old:
        os.utime(path, (time.time() - 91 * DAY,) * 2)
    done = gc(repo)
    assert (done.files, done.unpublished, done.vanished) == ({"verdicts": 3}, 0, 0)
    assert [path.exists() for path in (*old, *new)] == [False] * 3 + [True] * 3


def test_of_what_is_too_much_the_oldest_goes(repo: Any) -> None:
    paths = fill(repo, 10, size=10_000)
    done = gc(repo, max_bytes=35_000)
    assert [path.exists() for path in paths] == [False] * 7 + [True] * 3
    assert done.kept <= 35_000
    assert done.bytes >= 70_000


def test_a_dry_run_says_the_same_and_removes_nothing(repo: Any) -> None:
    fill(repo, 4, days_old=100)
    before = everything_below(repo.path / ".git")
    would = gc(repo, dry_run=True)
    assert everything_below(repo.path / ".git") == before
    assert gc(repo) == would
    assert would.files == {"verdicts": 4}
    assert not (repo.path / ".git/agentreview/verdicts" / VERSION).exists()


def test_a_file_dated_in_the_future_is_as_good_as_new(repo: Any) -> None:
    (first, second) = fill(repo, 2)
    os.utime(second, (time.time() + 400 * DAY,) * 2)
    assert gc(repo, max_bytes=1200).files == {"verdicts": 1}
    assert (first.exists(), second.exists()) == (False, True)


def test_receipts_go_only_when_the_ref_has_them_and_are_found_there(gated: Gated) -> None:
    for number in range(3):
        gated.stage({"a.py": f"a = {number} # good\n"})
        assert gated.commit()[0] == 0
    repo = open_repository(str(gated.path))
    later = time.time() + 200 * DAY
    done = gc(gated, now=later)
    assert (done.unpublished, done.files.get("receipts")) == (3, None)
    assert len(list(everything(repo))) == 3
    assert publish(repo) == 3
    gated.stage({"a.py": "a = 'the fourth' # good\n"})
    assert gated.commit()[0] == 0
    done = gc(gated, now=later)
    assert (done.unpublished, done.files["receipts"]) == (1, 3)
    assert len(on_ref(repo)) == 3
    assert len(list(everything(repo))) == 4
    gated.git("config", "remote.origin.url", str(gated.path))  # a push looks every receipt up
    assert all(one.receipt is not None for one in everything(repo))


def test_only_caches_are_touched(gated: Gated) -> None:
    store_dir = gated.path / ".git/agentreview"
    kept = {"spend/2026-11.jsonl": b"{}\n", "masking.key": b"k", "receipts/lock": b"", "something/of/tomorrow": b"x"}
    for name, data in kept.items():
        (store_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (store_dir / name).write_bytes(data)
    for kind in CACHES:
        (store_dir / kind / "9" / "aa").mkdir(parents=True, exist_ok=True)
        (store_dir / kind / "9/aa/file").write_bytes(b"x")
    gc(gated, max_bytes=0, now=time.time() + 1000 * DAY)
    assert everything_below(store_dir) == {str(store_dir / name): data for name, data in kept.items()}


@pytest.mark.parametrize("relative", [False, True])
def test_what_killed_processes_and_vanished_worktrees_left_goes(gated: Gated, tmp_path: Path, relative: bool) -> None:
    for name in ("here", "gone", "locked"):
        gated.git("worktree", "add", "-q", str(tmp_path / name))
        state = gated.path / ".git/worktrees" / name / "agentreview"
        state.mkdir()
        for file in ("judged", "index.1"):
            (state / file).write_bytes(b"x")
    gated.git("worktree", "lock", str(tmp_path / "locked"))
    for name in ("here", "gone", "locked") if relative else ():  # as git 2.48 writes it: worktree.useRelativePaths
        link = gated.path / ".git/worktrees" / name / "gitdir"
        link.write_text(f"{os.path.relpath(tmp_path / name / '.git', link.parent)}\n")
    for name in ("gone", "locked"):
        subprocess.run(["rm", "-rf", str(tmp_path / name)], check=True)
    own = gated.path / ".git/agentreview"
    own.mkdir(exist_ok=True)
    (own / "index.2").write_bytes(b"x")
    assert gc(gated).files == {"worktrees": 2}, "of the others nothing is a day old"
    done = gc(gated, now=time.time() + 2 * DAY)
    assert (done.files, done.vanished) == ({"copies of an index": 3}, 1)
    left = {path.parent.parent.name for path in (gated.path / ".git/worktrees").rglob("agentreview/*")}
    assert left == {"here", "locked"}


def test_a_link_in_the_store_leads_nowhere(repo: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("x")
    folder = repo.path / ".git/agentreview/verdicts"
    folder.mkdir(parents=True)
    (folder / "1.0").symlink_to(tmp_path / "mine")
    (folder / "link").symlink_to(tmp_path / "mine/file")
    gc(repo, max_bytes=0, now=time.time() + 1000 * DAY)
    assert (tmp_path / "mine/file").exists()


def test_it_runs_while_others_commit_and_none_of_them_notices(gated: Gated) -> None:
    stop = threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            gc(gated, max_bytes=0, max_age_days=0)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for number in range(6):
            gated.stage({"a.py": f"a = {number} # good\n"})
            assert gated.commit() == (0, "")
    finally:
        stop.set()
        sweeper.join()
    assert len(gated.receipts("pass")) == 6


def test_the_command_says_what_went_and_what_is_only_here(repo: Any) -> None:
    repo.stage(GOOD)
    assert agentreview("run", cwd=repo.path).code == 0
    fill(repo, 2, days_old=100)
    done = agentreview("gc", "--dry-run", cwd=repo.path)
    assert (done.code, done.out.split(":")[0]) == (0, "would remove")
    assert "2 verdicts" in done.out
    done = agentreview("gc", "--older-than", "90", cwd=repo.path)
    assert (done.code, "removed: 2 verdicts" in done.out) == (0, True)
    assert "receipts that are only in this clone: 1, kept; agentreview receipts push" in done.out
    assert agentreview("gc", "--max-size", "-1", cwd=repo.path).code == 2
    assert "removed: nothing" in agentreview("gc", cwd=repo.path).out
