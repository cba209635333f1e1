"""The store: whatever is not surely a verdict is a miss, and nothing that happens to it stops a commit."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.model import Decision
from agentreview.store import Store

BASE, TREE, OTHER = "a" * 40, "b" * 40, "c" * 40


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "common" / "agentreview"), str(tmp_path / "worktree" / "agentreview"))


def verdict_file(store: Store, version: str = "1.0") -> Path:
    return Path(store.store_dir, "verdicts", version, f"{BASE}-{TREE}")


@pytest.mark.parametrize("decision", ["pass", "block", Decision.PASS, Decision.BLOCK])
def test_a_verdict_is_read_back_as_it_was_saved(store: Store, decision: str) -> None:
    assert store.save(BASE, TREE, "1.0", decision, b'{"a": 1}\nmore\0bytes') is None
    assert store.load(BASE, TREE, "1.0") == (Decision(decision).value, b'{"a": 1}\nmore\0bytes')


def test_a_verdict_counts_only_for_its_own_trees_and_version(store: Store) -> None:
    store.save(BASE, TREE, "1.0", "pass", b"{}")
    assert store.load(TREE, BASE, "1.0") is None
    assert store.load(BASE, OTHER, "1.0") is None
    assert store.load(BASE, TREE, "1.1") is None


def test_a_verdict_that_a_waiver_dates_holds_until_that_day(store: Store) -> None:
    store.save(BASE, TREE, "1.0", "pass", b"{}", until="2027-02-22")
    assert store.load(BASE, TREE, "1.0", today="2027-02-21") == ("pass", b"{}")
    assert store.load(BASE, TREE, "1.0", today="2027-02-22") is None
    file = verdict_file(store)
    file.write_bytes(file.read_bytes().replace(b"20270222", b"20990222"))
    assert store.load(BASE, TREE, "1.0", today="2027-02-21") is None, "the day is under the seal"
    store.save(BASE, TREE, "1.0", "pass", b"{}", until="2001-01-01")
    assert store.load(BASE, TREE, "1.0") is None, "by the clock"


def test_a_file_copied_under_another_name_is_a_miss(store: Store) -> None:
    store.save(BASE, TREE, "1.0", "pass", b"{}")
    data = verdict_file(store).read_bytes()
    verdict_file(store).with_name(f"{BASE}-{OTHER}").write_bytes(data)
    assert store.load(BASE, OTHER, "1.0") is None
    other = verdict_file(store, "2.0")
    other.parent.mkdir()
    other.write_bytes(data)
    assert store.load(BASE, TREE, "2.0") is None


def test_incomplete_is_never_kept(store: Store) -> None:
    assert store.save(BASE, TREE, "1.0", Decision.INCOMPLETE, b"{}") is None
    assert store.load(BASE, TREE, "1.0") is None
    assert not verdict_file(store).exists()


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 200), flip=st.integers(0, 200))
def test_any_truncated_or_changed_file_is_a_miss(tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = Store(str(folder), str(folder))
    store.save(BASE, TREE, "1.0", "block", b'{"findings": []}')
    file = verdict_file(store)
    data = file.read_bytes()
    file.write_bytes(data[: cut % len(data)])
    assert store.load(BASE, TREE, "1.0") is None
    changed = bytearray(data)
    changed[flip % len(data)] ^= 1
    file.write_bytes(changed)
    assert store.load(BASE, TREE, "1.0") is None


def test_a_block_rewritten_as_pass_is_a_miss(store: Store) -> None:
    store.save(BASE, TREE, "1.0", "block", b"{}")
    verdict_file(store).write_bytes(verdict_file(store).read_bytes().replace(b"block", b"pass"))
    assert store.load(BASE, TREE, "1.0") is None


@pytest.mark.parametrize("what", ["pipe", "directory", "link"])
def test_what_is_not_a_regular_file_is_a_miss_and_never_waited_for(store: Store, what: str) -> None:
    store.save(BASE, TREE, "1.0", "pass", b"{}")
    file = verdict_file(store)
    kept = file.rename(file.with_name("kept"))
    if what == "pipe":
        os.mkfifo(file)
    elif what == "directory":
        file.mkdir()
    else:
        file.symlink_to(kept)
    assert store.load(BASE, TREE, "1.0") is None


@pytest.mark.parametrize("name", ["../../x", "", "1.0/..", "1 0", "1.0\n"])
def test_names_that_could_leave_the_store_are_not_used(store: Store, name: str) -> None:
    assert store.save(BASE, TREE, name, "pass", b"{}") is None
    assert store.save(name, TREE, "1.0", "pass", b"{}") is None
    assert store.load(BASE, TREE, name) is None
    assert not Path(store.store_dir).exists()


def test_a_store_that_cannot_be_written_warns_in_one_line_and_is_no_pass(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(str(tmp_path / "file" / "agentreview"), str(tmp_path / "file"))
    warning = store.save(BASE, TREE, "1.0", "pass", b"{}")
    assert warning is not None
    assert "\n" not in warning
    assert "could not be kept" in warning
    assert store.load(BASE, TREE, "1.0") is None
    assert store.write_judged(BASE, TREE, "pass", 1) is not None
    assert store.read_judged() is None
    store.clear_judged()
    assert store.prune() == 0


def test_a_full_disk_leaves_no_half_written_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(BASE, OTHER, "1.0", "pass", b"{}")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    warning = store.save(BASE, TREE, "1.0", "pass", b"{}")
    assert warning is not None
    assert "No space left on device" in warning
    assert [path.name for path in verdict_file(store).parent.iterdir()] == [f"{BASE}-{OTHER}"]


def test_many_writers_of_one_verdict_never_show_a_reader_half_of_it(store: Store) -> None:
    body = b"x" * 200_000
    store.save(BASE, TREE, "1.0", "pass", body)
    wrong: list[object] = []

    def write() -> None:
        for _ in range(30):
            store.save(BASE, TREE, "1.0", "pass", body)

    def read() -> None:
        for _ in range(100):
            found = store.load(BASE, TREE, "1.0")
            if found != ("pass", body):
                wrong.append(found)

    threads = [threading.Thread(target=job) for job in (write, write, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_prune_keeps_the_newest_and_takes_away_what_killed_processes_left(store: Store) -> None:
    for number in range(6):
        tree = f"{number:040x}"
        store.save(BASE, tree, "1.0" if number else "0.9", "pass", b"{}")
        when = time.time() - 100 + number
        os.utime(Path(store.store_dir, "verdicts", "1.0" if number else "0.9", f"{BASE}-{tree}"), (when, when))
    old = time.time() - 200_000
    left = [Path(store.store_dir, "verdicts", "1.0", ".123-456"), Path(store.state_dir, "index.123")]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        os.utime(path, (old, old))
    store.write_judged(BASE, TREE, "pass", 1)
    assert store.prune(keep=3) == 5
    assert not any(path.exists() for path in left)
    assert [store.load(BASE, f"{n:040x}", "1.0") is not None for n in range(6)] == [
        False,
        False,
        False,
        True,
        True,
        True,
    ]
    assert not Path(store.store_dir, "verdicts", "0.9").exists()
    assert store.read_judged() is not None


def test_the_record_of_what_was_judged_is_read_back_and_cleared(store: Store) -> None:
    assert store.read_judged() is None
    assert store.write_judged("a" * 64, "b" * 64, Decision.PASS, 4711) is None
    judged = store.read_judged()
    assert judged is not None
    assert (judged.base, judged.tree, judged.decision, judged.process) == ("a" * 64, "b" * 64, "pass", 4711)
    store.clear_judged()
    assert store.read_judged() is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n\n\n",
        b"a\nb\npass\n1\n",
        f"{BASE}\n{TREE}\nPASS\n1\n".encode(),
        f"{BASE}\n{TREE}\npass\n".encode(),
        b"\xff" * 9,
    ],
)
def test_a_record_that_is_not_one_is_none(store: Store, content: bytes) -> None:
    store.write_judged(BASE, TREE, "pass", 1)
    Path(store.state_dir, "judged").write_bytes(content)
    assert store.read_judged() is None
