"""Receipts on disk and on the ref: none is lost when many write at once, and nothing else gets in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentreview import ledger
from agentreview.errors import UsageError
from agentreview.git import Repository, open_repository
from agentreview.history import Standing, commits, key_here, settled
from agentreview.ledger import REF, everything, find, keep, publish
from agentreview.receipts import Context, Entry, bypass_statement, content_key, identifier, parse, seal, statement
from factories import finding, verdict, waived

OIDS = [f"{number:040x}" for number in range(1, 6)]


def entry(name: str) -> Entry:
    return Entry(name, "100644", "100644", OIDS[0], OIDS[1])


def made(name: str, *, at: str = "2026-11-23T10:00:00Z") -> tuple[bytes, str]:
    """A receipt of a change of one file, and its key."""
    data = seal(statement(verdict(), [entry(name)], Context(person="Dana", at=at)))
    return data, content_key([entry(name)])


def here(repo: Any) -> Repository:
    return open_repository(str(repo.path))


def ids(place: Repository) -> set[str]:
    return {one.receipt.id for one in everything(place) if one.receipt is not None}


def on_ref(repo: Any) -> set[str]:
    return {Path(path).stem for path in repo.git("ls-tree", "-r", "--name-only", REF, check=False).split()}


def add(place: Repository, name: str, **options: str) -> str:
    data, key = made(name, **options)
    assert keep(place, data, key) is None
    return identifier(data)


def test_a_kept_receipt_is_found_before_and_after_it_is_on_the_ref(repo: Any) -> None:
    place = here(repo)
    data, key = made("a.py")
    add(place, "a.py")
    add(place, "b.py")
    for published in (2, 0, 0):
        assert [one.data for one in find(place, [key])[key]] == [data]
        assert publish(place) == published
    assert on_ref(repo) == ids(place)
    assert len(ids(place)) == 2
    assert list(Path(place.store_dir, "receipts", "new").iterdir()) == []


def test_the_directory_alone_and_the_ref_alone_are_enough(repo: Any) -> None:
    place = here(repo)
    name = add(place, "a.py")
    publish(place)
    repo.git("update-ref", "-d", REF)
    assert ids(place) == {name}
    add(place, "b.py")
    publish(place)
    assert on_ref(repo) < ids(place)
    subprocess.run(["rm", "-rf", place.store_dir], check=True)
    assert ids(place) == on_ref(repo)


WRITER = """
import sys
from agentreview.git import open_repository
from agentreview.ledger import keep, publish
from test_ledger import made
place = open_repository(sys.argv[1])
for number in range(int(sys.argv[3])):
    keep(place, *made(f"{sys.argv[2]}-{number}.py"))
    if number % int(sys.argv[4]) == 0:
        publish(place)
publish(place)
"""


def together(paths: list[Path], each: int, *, at_a_time: int) -> None:
    """Write from many processes at once, every one of them onto the ref after a few receipts."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(number), str(each), str(at_a_time)], cwd=Path(__file__).parent,
            stderr=subprocess.PIPE,
        )
        for number, path in enumerate(paths)
    ]  # fmt: skip
    for writer in writers:
        assert writer.communicate()[1] == b""
        assert writer.returncode == 0


@pytest.mark.slow
def test_eight_worktrees_that_write_a_hundred_each_lose_none(repo: Any, tmp_path: Path) -> None:
    repo.commit({"a": "1"})
    paths = [tmp_path / f"worktree-{number}" for number in range(8)]
    for path in paths:
        repo.git("worktree", "add", "-q", "--detach", str(path))
    together(paths, 100, at_a_time=5)
    assert len(on_ref(repo)) == 800
    assert repo.git("fsck", "--strict", "--no-dangling").strip() == ""


def test_writers_that_do_not_wait_for_each_other_lose_none_either(
    repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lock, which another machine on a shared disk would not see either."""
    place = here(repo)
    Path(place.store_dir, "receipts", "lock").mkdir(parents=True)  # it cannot be opened
    together([repo.path] * 4, 6, at_a_time=1)
    assert len(on_ref(repo)) == 24


def test_somebody_who_was_faster_is_seen_and_it_is_done_again(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = here(repo)
    mine, theirs = add(place, "mine.py"), add(place, "theirs.py")
    [their_file] = [file for file, path in ledger._new_files(place) if theirs in path]
    aside = repo.path / "aside"
    their_file.rename(aside)
    stream = ledger._stream
    raced = []

    def slow(commit: Any, tip: str) -> bytes:
        if not raced:
            raced.append(tip)
            aside.rename(their_file)
            publish(place)
        return stream(commit, tip)

    monkeypatch.setattr(ledger, "_stream", slow)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "_turn", lambda _: __import__("contextlib").nullcontext())
        publish(place)
    assert on_ref(repo) == {mine, theirs}


def test_many_receipts_that_nobody_pushes_go_onto_the_ref_by_themselves(
    repo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "GATHERED", 3)
    place = here(repo)
    for name in "ab":
        add(place, name)
    assert on_ref(repo) == set()
    add(place, "c")
    assert len(on_ref(repo)) == 3


def test_a_place_that_cannot_be_written_is_a_warning_of_one_line(repo: Any) -> None:
    place = here(repo)
    Path(place.store_dir).mkdir()
    Path(place.store_dir, "receipts").write_text("in the way")
    warning = keep(place, *made("a.py"))
    assert warning is not None
    assert warning.startswith("no receipt of this review could be written")
    assert "\n" not in warning


def test_what_is_not_what_its_name_says_is_no_receipt(repo: Any) -> None:
    place = here(repo)
    data, key = made("a.py")
    keep(place, data, key)
    publish(place)
    [file] = Path(place.store_dir, "receipts").glob("??/*/*.json")
    file.write_bytes(data.replace(b'"pass"', b'"block"'))
    repo.git("update-ref", "-d", REF)
    assert find(place, [key]) == {key: ()}
    [one] = everything(place)
    assert "not the hash of its bytes" in one.wrong
    other, other_key = made("b.py")
    moved = file.with_name(f"{identifier(other)}.json")
    moved.write_bytes(other)
    assert other_key != key
    assert find(place, [key]) == {key: ()}
    assert any("another change" in one.wrong for one in everything(place))


def test_a_damaged_new_file_does_not_get_onto_the_ref_and_holds_up_no_other(repo: Any) -> None:
    place = here(repo)
    add(place, "a.py")
    [(file, _)] = ledger._new_files(place)
    file.write_bytes(b"half")
    good = add(place, "b.py")
    assert publish(place) == 1
    assert on_ref(repo) == {good}


# -- other clones


@pytest.fixture
def clones(make_repo: Any) -> tuple[Any, Any, Any]:
    """A bare repository and two that push to it."""
    remote, one, two = make_repo("remote.git", "--bare"), make_repo("one"), make_repo("two")
    for clone in (one, two):
        clone.git("remote", "add", "origin", str(remote.path))
    return remote, one, two


def test_two_clones_join_what_they_have_and_then_agree(clones: tuple[Any, Any, Any]) -> None:
    remote, one, two = clones
    names = {add(here(one), "one.py"), add(here(two), "two.py")}
    assert ledger.push(here(one), "origin") == 0
    assert ledger.push(here(two), "origin") == 1, "the other was faster, and is joined"
    assert ledger.fetch(here(one), "origin") == (1, 0)
    assert ids(here(one)) == ids(here(two)) == on_ref(remote) == names
    tips = {clone.git("rev-parse", REF) for clone in clones}
    assert len(tips) == 1, "no clone makes a commit that says nothing new"
    assert ledger.fetch(here(one), "origin") == (0, 0)


def test_a_remote_without_receipts_and_one_that_is_not_there(clones: tuple[Any, Any, Any]) -> None:
    _, one, _ = clones
    assert ledger.fetch(here(one), "origin") == (0, 0)
    assert ledger.push(here(one), "origin") == 0
    for remote in ("nowhere", "--upload-pack=touch x"):
        with pytest.raises(UsageError):
            ledger.fetch(here(one), remote)
    assert not (one.path / "x").exists()


def test_what_a_remote_has_that_is_no_receipt_is_left_there(clones: tuple[Any, Any, Any]) -> None:
    _, one, two = clones
    good = add(here(two), "good.py")
    publish(here(two))
    data, key = made("evil.py")
    forged = two.path / "forged"
    forged.write_bytes(data.replace(b"Dana", b"Lee."))
    blob = two.git("hash-object", "-w", str(forged)).strip()
    two.git("read-tree", REF)
    for path in (f"{key[:2]}/{key}/{identifier(data)}.json", "hooks/pre-commit", f"{key[:2]}/{key}/x.json"):
        two.git("update-index", "--add", "--cacheinfo", f"100755,{blob},{path}")
    commit = two.git("commit-tree", "-p", REF, "-m", "x", two.git("write-tree").strip()).strip()
    two.git("update-ref", REF, commit)
    two.git("push", "-q", "origin", REF)
    refused: list[ledger.Stored] = []
    assert ledger.fetch(here(one), "origin", refused.append) == (1, 3)
    assert [(Path(bad.path).stem, bad.wrong) for bad in refused] == [
        (identifier(data), "its name is not the hash of its bytes")
    ]
    assert ids(here(one)) == on_ref(one) == {good}


def test_a_receipt_that_a_remote_has_changed_meanwhile_stays_as_it_is_here(clones: tuple[Any, Any, Any]) -> None:
    _, one, two = clones
    name = add(here(one), "a.py")
    ledger.push(here(one), "origin")
    ledger.fetch(here(two), "origin")
    [path] = two.git("ls-tree", "-r", "--name-only", REF).split()
    (two.path / "forged").write_bytes(two.git("show", f"{REF}:{path}", text=False).replace(b"Dana", b"Lee."))
    blob = two.git("hash-object", "-w", "forged").strip()
    two.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
    commit = two.git("commit-tree", "-p", REF, "-m", "x", two.git("write-tree").strip()).strip()
    two.git("push", "-q", "origin", f"{commit}:{REF}")
    assert ledger.fetch(here(one), "origin") == (0, 1)
    shutil.rmtree(Path(here(one).store_dir, "receipts"))
    assert ids(here(one)) == {name}


def test_what_was_pruned_stays_away_from_both_sides(clones: tuple[Any, Any, Any]) -> None:
    remote, one, two = clones
    old, new = add(here(one), "old.py", at="2019-01-01T00:00:00Z"), add(here(one), "new.py")
    ledger.push(here(one), "origin")
    ledger.fetch(here(two), "origin")
    mine = add(here(two), "mine.py")
    publish(here(two))
    assert ledger.prune(here(one), "2020-01-01T00:00:00Z") == 1
    assert ids(here(one)) == {new}
    ledger.push(here(one), "origin")
    ledger.push(here(two), "origin")
    assert on_ref(remote) == {new, mine}
    assert old not in ids(here(two))


@pytest.mark.parametrize("options", [("--object-format=sha256",), ("--ref-format=reftable",)])
def test_repositories_of_other_formats_work(make_repo: Any, options: tuple[str, ...]) -> None:
    repo, other = make_repo("other", *options), make_repo("bare.git", "--bare", *options)
    place = here(repo)
    name = add(place, "a.py")
    assert publish(place) == 1
    repo.git("remote", "add", "origin", str(other.path))
    ledger.push(place, "origin")
    assert on_ref(repo) == on_ref(other) == {name}
    assert ledger.fetch(place, "origin") == (0, 0)
    more = add(place, "b.py")
    assert publish(place) == 1
    assert on_ref(repo) == {name, more}


# -- what they say about commits


def reviewed(place: Repository, base: str, tree: str, *, decision: str = "pass", **options: Any) -> None:
    """Write the receipt that a review of this change would."""
    from agentreview.history import raw_entries

    (entries,) = raw_entries(place, [(base, tree)])
    context = Context(person="Dana", at="2026-11-23T10:00:00Z")
    if decision == "bypass":
        stated = bypass_statement(base, tree, entries, context, reason="down", version="1", branch=None)
    else:
        found = [finding()] if decision == "block" else options.get("findings", [])
        stated = statement(verdict(*found, base=base, tree=tree), entries, context)
    keep(place, seal(stated), content_key(entries))


def standings(place: Repository, *span: str, **options: Any) -> list[Standing]:
    pairs = [(one.base, one.tree) for one in commits(place, *span)]
    return [one.standing for one in settled(place, pairs, today=options.pop("today", "2026-11-23"), **options)]


def test_every_commit_is_a_change_against_its_first_parent(repo: Any) -> None:
    first = repo.commit({"a.py": "1\n"})
    repo.git("checkout", "-q", "-b", "side")
    side = repo.commit({"s.py": "1\n"})
    repo.git("checkout", "-q", "main")
    second = repo.commit({"b.py": "1\n"})
    repo.git("merge", "-q", "--no-ff", "--no-edit", "side")
    place = here(repo)
    listed = commits(place, "HEAD")
    assert {one.oid for one in listed} == {first, side, second, repo.git("rev-parse", "HEAD").strip()}
    assert (listed[0].oid, listed[0].parent) == (first, "")
    assert listed[-1].parent == second
    for one in listed:
        expected = repo.git("rev-parse", f"{one.oid}^1^{{tree}}", check=False).strip() if one.parent else ""
        assert one.base == (expected or "4b825dc642cb6eb9a060e54bf8d69288fbee4904")
    assert [one.oid for one in commits(place, "HEAD", f"^{second}")] == [side, listed[-1].oid]


def test_what_is_known_of_a_commit_is_the_best_of_its_receipts(repo: Any) -> None:
    place = here(repo)
    repo.commit({"a.py": "1\n"})
    repo.commit({"a.py": "2\n"})
    (change,) = commits(place, "HEAD", "^HEAD^")
    expected = {"block": Standing.MISSING, "bypass": Standing.BYPASSED, "pass": Standing.REVIEWED}
    for decision, standing in expected.items():
        reviewed(place, change.base, change.tree, decision=decision)
        assert standings(place, "HEAD", "^HEAD^") == [standing]
    [known] = settled(place, [(change.base, change.tree)], today="2026-11-23")
    assert known.receipt is not None
    assert known.receipt.decision == "pass"


def test_a_rebase_carries_the_review_of_files_it_did_not_touch_and_of_no_other(repo: Any) -> None:
    place = here(repo)
    repo.commit({"a.py": "1\n", "b.py": "".join(f"line {n}\n" for n in range(40))})
    repo.git("checkout", "-q", "-b", "side")
    repo.commit({"a.py": "2\n"})
    repo.commit({"b.py": "first\n" + "".join(f"line {n}\n" for n in range(40))})
    for change in commits(place, "side", "^main"):
        reviewed(place, change.base, change.tree)
    repo.git("checkout", "-q", "main")
    repo.commit({"b.py": "".join(f"line {n}\n" for n in range(40)) + "last\n", "c.py": "1\n"})
    repo.git("checkout", "-q", "side")
    repo.git("rebase", "-q", "main")
    assert standings(place, "side", "^main") == [Standing.CARRIED, Standing.MISSING]


def test_a_squash_of_a_reviewed_range_is_reviewed_when_the_range_was(repo: Any) -> None:
    place = here(repo)
    base = repo.commit({"a.py": "1\n"})
    repo.git("checkout", "-q", "-b", "side")
    repo.commit({"a.py": "2\n"})
    repo.commit({"a.py": "3\n"})
    tree = {name: repo.git("rev-parse", f"{name}^{{tree}}").strip() for name in (base, "side")}
    reviewed(place, tree[base], tree["side"])
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--squash", "side")
    repo.git("commit", "-q", "-m", "squashed")
    assert standings(place, "HEAD", f"^{base}") == [Standing.REVIEWED]


def test_an_amended_message_keeps_the_review_and_an_amended_content_does_not(repo: Any) -> None:
    place = here(repo)
    repo.commit({"a.py": "1\n"})
    repo.commit({"a.py": "2\n"})
    (change,) = commits(place, "HEAD", "^HEAD^")
    reviewed(place, change.base, change.tree)
    repo.git("commit", "-q", "--amend", "-m", "another message")
    assert standings(place, "HEAD", "^HEAD^") == [Standing.REVIEWED]
    repo.stage({"a.py": "3\n"})
    repo.git("commit", "-q", "--amend", "--no-edit")
    assert standings(place, "HEAD", "^HEAD^") == [Standing.MISSING]


def test_a_review_that_rests_on_an_expired_waiver_and_one_that_the_caller_refuses_do_not_count(repo: Any) -> None:
    from dataclasses import replace

    place = here(repo)
    repo.commit({"a.py": "1\n"})
    repo.commit({"a.py": "2\n"})
    (change,) = commits(place, "HEAD", "^HEAD^")
    accepted = waived()
    assert accepted.waiver is not None
    accepted = replace(accepted, waiver=replace(accepted.waiver, expires="2027-02-21"))
    reviewed(place, change.base, change.tree, findings=[accepted])
    span = ("HEAD", "^HEAD^")
    assert standings(place, *span, today="2027-02-21") == [Standing.REVIEWED]
    assert standings(place, *span, today="2027-02-22") == [Standing.MISSING]
    assert standings(place, *span, counts=lambda receipt: receipt.signed) == [Standing.MISSING]


def test_an_empty_commit_needs_no_review(repo: Any) -> None:
    repo.commit({"a.py": "1\n"})
    repo.commit()
    assert standings(here(repo), "HEAD", "^HEAD^") == [Standing.REVIEWED]


def test_trees_that_are_not_here_have_no_key(repo: Any) -> None:
    repo.commit({"a.py": "1\n"})
    tree = repo.git("rev-parse", "HEAD^{tree}").strip()
    empty = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert key_here(here(repo), empty, tree) is not None
    assert key_here(here(repo), tree, "f" * 40) is None
    assert key_here(here(repo), repo.git("rev-parse", "HEAD").strip(), tree) is None


def test_the_history_beyond_a_shallow_clone_is_said_to_be_missing(repo: Any, tmp_path: Path) -> None:
    from agentreview.errors import IncompleteError

    for number in range(3):
        repo.commit({"a.py": f"{number}\n"})
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{repo.path}", tmp_path / "shallow"], check=True)
    with pytest.raises(IncompleteError, match="Fetch the history first"):
        commits(open_repository(str(tmp_path / "shallow")), "HEAD")


def test_parse_is_what_the_ledger_reads(repo: Any) -> None:
    data, key = made("a.py")
    assert parse(data).key == key
