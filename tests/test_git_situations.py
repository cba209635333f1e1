"""Situations of real repositories, end to end: real git, the real hooks, real commits.

docs/git-situations.md lists every situation with the test that tries it; most of them are in test_git.py and
test_hooks.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from agentreview.git import open_repository
from agentreview.install import install, uninstall
from agentreview.snapshot import index_snapshot
from commandline import COMMAND, one_line
from conftest import git_version
from standin import make_standin
from test_git import HOSTILE, NAMES
from test_hooks import LEFT, REVIEWED, Gated


@pytest.fixture
def gated(repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gated:
    repo.commit({"a.py": "a = 1\n", "b.py": "b = 1\n"})
    return Gated(repo, tmp_path, monkeypatch)


@pytest.fixture
def remote(gated: Gated, make_repo: Any) -> str:
    bare = make_repo("remote.git", "--bare")
    gated.git("remote", "add", "origin", str(bare.path))
    gated.git("push", "-q", "--no-verify", "origin", "main")
    return str(bare.path)


def refused(gated: Gated, *args: str, cwd: Path | None = None, **env: str) -> bool:
    """Whether a commit of what is staged is refused by the review, and nothing was committed."""
    place = cwd or gated.path
    before = gated.git("-C", str(place), "rev-parse", "-q", "--verify", "HEAD", check=False)
    code, output = gated.try_git("commit", "-q", "-m", "x", *args, cwd=cwd, **env)
    after = gated.git("-C", str(place), "rev-parse", "-q", "--verify", "HEAD", check=False)
    return (code, "BLOCKED" in output, after) == (1, True, before)


# ---- what no local hook sees is settled by the push


def apply_mail(gated: Gated) -> None:
    gated.git("checkout", "-q", "-b", "side")
    gated.stage({"evil.py": "BAD\n"})
    gated.unseen()
    patch = gated.git("format-patch", "-1", "--stdout").encode()
    gated.git("checkout", "-q", "main")
    gated.git("am", "-q", input=patch)


def rebase(gated: Gated, *options: str) -> None:
    gated.git("checkout", "-q", "-b", "side")
    gated.stage({"evil.py": "BAD\n"})
    gated.unseen()
    gated.git("checkout", "-q", "main")
    gated.stage({"m.py": "m\n"})
    gated.commit()
    gated.git("checkout", "-q", "side")
    gated.git("rebase", "-q", *options, "main")
    gated.git("checkout", "-q", "-B", "main", "side")


def rebase_with_an_evil_resolution(gated: Gated) -> None:
    gated.git("checkout", "-q", "-b", "side")
    gated.stage({"a.py": "theirs\n"})
    gated.commit()
    gated.git("checkout", "-q", "main")
    gated.stage({"a.py": "ours\n"})
    gated.commit()
    gated.git("checkout", "-q", "side")
    gated.try_git("rebase", "main")
    gated.stage({"a.py": "BAD\n"})
    assert gated.try_git("rebase", "--continue", GIT_EDITOR="true")[0] == 0
    gated.git("checkout", "-q", "-B", "main", "side")


def plumbing(gated: Gated) -> None:
    gated.stage({"evil.py": "BAD\n"})
    tree = gated.git("write-tree").strip()
    commit = gated.git("commit-tree", "-p", "HEAD", "-m", "x", tree).strip()
    gated.git("update-ref", "refs/heads/main", commit)


def fast_forward(gated: Gated) -> None:
    gated.git("checkout", "-q", "-b", "side")
    gated.stage({"evil.py": "BAD\n"})
    gated.unseen()
    gated.git("checkout", "-q", "main")
    assert gated.try_git("merge", "-q", "--ff-only", "side")[0] == 0


def branch_moved(gated: Gated) -> None:
    gated.git("checkout", "-q", "-b", "side")
    gated.stage({"evil.py": "BAD\n"})
    gated.unseen()
    gated.git("branch", "-q", "-f", "main", "side")


def pick(gated: Gated) -> None:
    gated.git("checkout", "-q", "-b", "side")
    gated.stage({"evil.py": "BAD\n"})
    gated.unseen()
    gated.git("checkout", "-q", "main")
    gated.git("cherry-pick", "side")


def revert_of_a_fix(gated: Gated) -> None:
    gated.stage({"a.py": "BAD\n"})
    gated.unseen()
    gated.stage({"a.py": "fixed\n"})
    gated.commit()
    gated.git("push", "-q", "--no-verify", "origin", "main")
    gated.git("revert", "--no-edit", "HEAD")


def merge_that_is_unverified_and_evil(gated: Gated) -> None:
    gated.git("checkout", "-q", "-b", "side")
    gated.stage({"s.py": "s\n"})
    gated.commit()
    gated.git("checkout", "-q", "main")
    gated.stage({"m.py": "m\n"})
    gated.commit()
    gated.git("merge", "-q", "--no-commit", "--no-ff", "side")
    gated.stage({"evil.py": "BAD\n"})
    assert gated.try_git("commit", "-q", "--no-verify", "-m", "merge")[0] == 0


def history_fixed_up(gated: Gated) -> None:
    if git_version() < (2, 55):
        pytest.skip("this git is older than 2.55 and has no `git history fixup`")
    gated.stage({"m.py": "m\n"})
    gated.commit()
    gated.stage({"evil.py": "BAD\n"})
    gated.git("history", "fixup", "HEAD")


@pytest.mark.parametrize(
    "way",
    [
        apply_mail,
        rebase,
        rebase_with_an_evil_resolution,
        plumbing,
        fast_forward,
        branch_moved,
        pick,
        revert_of_a_fix,
        merge_that_is_unverified_and_evil,
        history_fixed_up,
    ],
)
def test_what_no_hook_refuses_is_refused_when_it_is_pushed(gated: Gated, remote: str, way: Any) -> None:
    way(gated)
    code, output = gated.try_git("push", "-q", "origin", "main")
    assert code == 1
    assert "BLOCKED" in output
    assert gated.git("rev-parse", "origin/main") != gated.git("rev-parse", "main")


def test_a_rebase_that_applies_patches_is_settled_by_the_push_too(gated: Gated, remote: str) -> None:
    rebase(gated, "--apply")
    assert gated.try_git("push", "-q", "origin", "main")[0] == 1


def test_a_merge_that_was_stopped_and_made_evil_is_refused(gated: Gated) -> None:
    gated.git("checkout", "-q", "-b", "side")
    gated.stage({"s.py": "s\n"})
    gated.commit()
    gated.git("checkout", "-q", "main")
    gated.stage({"m.py": "m\n"})
    gated.commit()
    gated.git("merge", "-q", "--no-commit", "--no-ff", "side")
    gated.stage({"evil.py": "BAD\n"})  # in neither parent
    assert refused(gated)
    code, output = gated.try_git("merge", "--continue", GIT_EDITOR="true")
    assert (code, "BLOCKED" in output) == (1, True)


@pytest.mark.parametrize("arguments", [("commit", "--dry-run"), ("stash",), ("status",), ("add", "-A")])
def test_what_commits_nothing_asks_nobody(gated: Gated, arguments: tuple[str, ...]) -> None:
    gated.stage({"a.py": "BAD\n"})
    assert gated.try_git(*arguments)[0] in (0, 1)
    assert gated.runs() == []


# ---- states


@pytest.mark.parametrize("state", ["orphan", "detached", "bisecting"])
def test_a_commit_in_an_unusual_state_is_reviewed_and_its_verdict_found_again(gated: Gated, state: str) -> None:
    if state == "orphan":
        gated.git("checkout", "-q", "--orphan", "new")
    elif state == "detached":
        gated.git("checkout", "-q", "--detach")
    else:
        gated.git("bisect", "start")
    gated.stage({"a.py": "BAD\n"})
    assert refused(gated)
    gated.stage({"a.py": "good\n"})
    gated.runs()
    assert gated.commit() == (0, "")
    assert gated.runs() == [REVIEWED]
    if state == "orphan":
        gated.git("update-ref", "-d", "HEAD")
    else:
        gated.undo()
    assert gated.commit() == (0, "")
    assert gated.runs() == [REVIEWED] * (state == "orphan")  # without a base Python decides


def test_intent_to_add_is_judged_when_it_is_committed_and_not_before(gated: Gated) -> None:
    gated.write({"new.py": "BAD\n"})
    gated.git("add", "-N", "new.py")
    gated.write({"a.py": "good\n"})
    gated.git("add", "a.py")
    assert gated.commit() == (0, "")
    assert "new.py" not in gated.git("ls-tree", "-r", "--name-only", "HEAD")
    assert refused(gated, "-a")


def test_a_commit_of_one_hunk_is_judged_on_that_hunk(gated: Gated) -> None:
    lines = [f"line {number}\n" for number in range(30)]
    gated.stage({"a.py": "".join(lines)})
    gated.unseen()
    lines[0], lines[29] = "fine\n", "BAD\n"
    gated.write({"a.py": "".join(lines)})

    def patch(answers: bytes) -> int:
        done = subprocess.run(
            ["git", "commit", "-q", "-p", "-m", "x"], cwd=gated.path, input=answers, capture_output=True, check=False
        )
        return done.returncode

    assert patch(b"n\ny\n") == 1
    assert patch(b"y\nn\n") == 0
    assert "BAD" not in gated.git("show", "HEAD:a.py")


def test_a_staged_file_that_a_sparse_checkout_does_not_have_on_disk_is_reviewed(gated: Gated) -> None:
    gated.stage({"kept/k.py": "k\n", "gone/g.py": "g\n"})
    gated.commit()
    gated.git("sparse-checkout", "set", "kept")
    assert not (gated.path / "gone").exists()
    blob = gated.git("hash-object", "-w", "--stdin", input=b"BAD\n").strip()
    gated.git("update-index", "--cacheinfo", f"100644,{blob},gone/g.py")
    assert refused(gated)


def test_what_a_filter_puts_into_the_tree_is_what_is_judged(gated: Gated) -> None:
    gated.git("config", "filter.swap.clean", "sed s/fine/BAD/")
    gated.stage({".gitattributes": "*.py filter=swap\n", "a.py": "fine\n"})
    assert refused(gated)
    gated.git("config", "filter.swap.clean", "sed s/BAD/redacted/")
    gated.stage({"a.py": "BAD on disk only\n"})
    assert gated.commit() == (0, "")
    assert gated.git("show", "HEAD:a.py") == "redacted on disk only\n"


def test_line_ends_and_encodings_of_the_work_tree_do_not_matter(gated: Gated) -> None:
    gated.git("config", "core.autocrlf", "true")
    gated.stage({"a.py": b"one\r\nBAD\r\n"})
    assert refused(gated)
    gated.stage({".gitattributes": "w.py working-tree-encoding=UTF-16\n", "a.py": b"one\r\n"})
    gated.write({"w.py": "BAD\n".encode("utf-16")})
    gated.git("add", "w.py")
    assert refused(gated)


def test_a_partial_clone_says_what_is_missing_and_passes_nothing(gated: Gated, remote: str, tmp_path: Path) -> None:
    subprocess.run(["git", "-C", remote, "config", "uploadpack.allowFilter", "true"], check=True)
    clone = tmp_path / "partial"
    options = ["-q", "--filter=blob:none", "--no-checkout", f"file://{remote}", str(clone)]
    subprocess.run(["git", "clone", *options], check=True, capture_output=True)
    for command in (["read-tree", "HEAD"], ["remote", "set-url", "origin", f"file://{tmp_path}/gone.git"]):
        subprocess.run(["git", *command], cwd=clone, check=True)
    subprocess.run(["git", "rm", "-q", "--cached", "a.py"], cwd=clone, check=True)
    done = subprocess.run([*COMMAND, "run"], cwd=clone, capture_output=True, check=False, timeout=120)
    assert done.returncode == 3, done.stderr
    said = done.stderr.decode()
    assert "in a partial clone" in one_line(said)


# ---- content and names


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in {b"~", b"x b/x"}] + [b"..a/..b.py", b"a..b", b"-"]
)
def test_bad_content_is_found_under_any_name(gated: Gated, name: bytes) -> None:
    target = gated.path / os.fsdecode(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"BAD\n")
    gated.git("add", "-A")
    assert refused(gated)


def test_hostile_configuration_and_attributes_neither_hide_a_change_nor_stop_the_look_up(gated: Gated) -> None:
    for key, value in HOSTILE.items():
        if key != "core.autocrlf":
            gated.git("config", key, value)
    gated.git("config", "alias.write-tree", "!false")
    gated.stage({".gitattributes": "* -diff binary merge=binary\n*.py diff=conv\n", "a.py": "BAD\n"})
    (gated.path / ".git/info/attributes").write_text("* -diff\n")
    assert refused(gated)
    gated.stage({"a.py": "good\n"})
    assert gated.commit() == (0, "")
    gated.undo()
    gated.runs()
    assert gated.commit() == (0, "")
    assert gated.runs() == []


def test_a_change_of_mode_or_kind_alone_is_a_change(gated: Gated) -> None:
    (gated.path / "a.py").chmod(0o755)
    gated.git("add", "-A")
    assert gated.commit() == (0, "")
    assert gated.runs() == [REVIEWED]
    (gated.path / "a.py").unlink()
    (gated.path / "a.py").symlink_to("/etc/passwd")
    gated.git("add", "-A")
    assert gated.commit() == (0, "")
    assert gated.runs() == [REVIEWED]


# ---- worktrees and environment


def test_a_bare_repository_with_worktrees_is_gated_in_all_of_them_and_left_as_it_was(
    gated: Gated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(gated.path), str(bare)], check=True)
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        subprocess.run(["git", "worktree", "add", "-q", str(place)], cwd=bare, check=True, capture_output=True)
    before = {path.name: path.read_bytes() for path in (bare / "hooks").iterdir()}
    install(open_repository(str(places[0])), command=gated.command, version_file=gated.version_file)
    for place in places:
        (place / "a.py").write_text("BAD\n")
        gated.git("-C", str(place), "add", "-A")
        assert refused(gated, cwd=place)
        (place / "a.py").write_text("good\n")
        gated.git("-C", str(place), "add", "-A")
        assert gated.try_git("commit", "-q", "-m", "x", cwd=place) == (0, "")
    uninstall(open_repository(str(places[1])))
    assert {path.name: path.read_bytes() for path in (bare / "hooks").iterdir()} == before


def test_installing_in_a_linked_worktree_and_uninstalling_in_another_leaves_the_git_directory_as_it_was(
    repo: Any, tmp_path: Path
) -> None:
    repo.commit({"a.py": "1\n"})
    old = repo.path / ".git/hooks/pre-commit"
    old.parent.mkdir(exist_ok=True)
    old.write_text("#!/bin/sh\nexit 0\n")
    old.chmod(0o751)
    for name in ("one", "two"):
        repo.git("worktree", "add", "-q", str(tmp_path / name))

    def contents() -> dict[str, tuple[int, bytes]]:
        files = sorted(path for path in (repo.path / ".git").rglob("*") if path.is_file())
        return {str(path): (path.stat().st_mode, path.read_bytes()) for path in files}

    before = contents()
    command, version_file = make_standin(tmp_path / "tool")
    install(open_repository(str(tmp_path / "one")), command=command, version_file=version_file)
    assert contents() != before
    uninstall(open_repository(str(tmp_path / "two")))
    assert contents() == before


def test_a_hooks_path_of_one_worktree_alone_is_installed_into_where_git_looks(gated: Gated, tmp_path: Path) -> None:
    """With a hooks directory of its own below the git directory; a relative one is a finding of the doctor."""
    linked, own = tmp_path / "linked", gated.path / ".git/own-hooks"
    gated.git("worktree", "add", "-q", str(linked))
    gated.git("config", "extensions.worktreeConfig", "true")
    gated.git("-C", str(linked), "config", "--worktree", "core.hooksPath", str(own))
    (linked / "a.py").write_text("BAD\n")
    gated.git("-C", str(linked), "add", "-A")
    assert not refused(gated, cwd=linked)
    gated.git("-C", str(linked), "reset", "-q", "--soft", "HEAD^")
    install(open_repository(str(linked)), command=gated.command, version_file=gated.version_file)
    assert (own / "pre-commit").exists()
    assert refused(gated, cwd=linked)
    uninstall(open_repository(str(linked)))
    assert list(own.iterdir()) == []
    assert (gated.path / ".git/hooks/pre-commit").exists()


@pytest.mark.slow
def test_what_makes_repositories_inside_a_hook_does_not_reach_the_one_that_commits(
    gated: Gated, tmp_path: Path
) -> None:
    """git exports GIT_DIR in a linked worktree: with it, `git init fixture` would make the main repository bare."""
    linked = tmp_path / "linked"
    gated.git("worktree", "add", "-q", str(linked))
    config = (gated.path / ".git/config").read_bytes()
    (linked / "a.py").write_text("good\n")
    gated.git("-C", str(linked), "add", "-A")
    demo = f"cd {tmp_path} && {' '.join(COMMAND)} demo >/dev/null"
    hook = gated.path / ".git/hooks/pre-commit.agentreview-chained"
    hook.write_text(f"#!/bin/sh\n{demo}\n")
    hook.chmod(0o755)
    assert gated.try_git("commit", "-q", "-m", "x", cwd=linked) == (0, "")
    assert (gated.path / ".git/config").read_bytes() == config
    assert gated.git("status", "--porcelain") == ""


def test_one_branch_in_two_worktrees_is_judged_by_the_tree_that_would_be_committed(
    gated: Gated, tmp_path: Path
) -> None:
    idle = tmp_path / "idle"
    gated.git("worktree", "add", "-q", "-f", str(idle), "main")
    gated.stage({"a.py": "good\n"})
    assert gated.commit() == (0, "")
    # the index of the idle one now says that a.py goes back to what it was: that is what a commit there would do
    snapshot = index_snapshot(open_repository(str(idle)))
    assert [(change.path, change.after) for change in snapshot.changes] == [("a.py", b"a = 1\n")]
    (idle / "b.py").write_text("BAD\n")
    gated.git("-C", str(idle), "add", "b.py")
    assert refused(gated, cwd=idle)


def test_reading_all_the_time_never_makes_somebodys_git_add_fail(gated: Gated) -> None:
    stop = threading.Event()
    failures: list[Exception] = []

    def watch() -> None:
        while not stop.is_set():
            try:
                index_snapshot(open_repository(str(gated.path)))
            except Exception as error:  # noqa: BLE001
                failures.append(error)
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for number in range(25):
            gated.write({"a.py": f"a = {number}\n"})
            gated.git("add", "a.py")  # raises when it fails
    finally:
        stop.set()
        watcher.join()
    assert failures == []


# ---- the copy of the index that the look-up leaves


def test_a_commit_that_was_judged_starts_three_small_programs_beside_git(gated: Gated, tmp_path: Path) -> None:
    shims = tmp_path / "shims"
    shims.mkdir()
    for name in ("cp", "cmp", "rm", "mkdir", "date", "ps", "cat", "python3"):
        (shims / name).write_text(f'#!/bin/sh\necho {name} >>{tmp_path}/started\nexec {shutil.which(name)} "$@"\n')
        (shims / name).chmod(0o755)
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.undo()
    assert gated.commit(PATH=f"{shims}:{os.environ['PATH']}") == (0, "")
    assert (tmp_path / "started").read_text().split() == ["cp", "cmp", "rm"]
    assert sorted(path.name for path in (gated.path / ".git/agentreview").iterdir()) == LEFT


def test_an_index_that_was_written_in_place_after_the_look_up_is_seen(gated: Gated) -> None:
    """Some programs write into the file instead of replacing it: the comparison is about bytes, not about the file."""
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.undo()
    gated.write({"a.py": "BAD\n"})
    other = gated.path / ".git/other-index"
    shutil.copy(gated.path / ".git/index", other)
    gated.git("add", "a.py", env={**os.environ, "GIT_INDEX_FILE": str(other)})
    second = gated.path / ".git/hooks/pre-commit"
    code = second.read_text().replace(
        'look_up\nreview "$@"', f'(look_up); rc=$?\ncat {other} >"$GIT_INDEX_FILE"\nexit $rc'
    )
    second.write_text(code)
    gated.runs()
    code_, output = gated.commit()
    assert (code_, "the index changed during the review" in output) == (1, True), output
    assert "BAD" not in gated.git("show", "HEAD:a.py")


def test_a_commit_that_ends_in_the_editor_leaves_nothing_that_a_later_one_takes_for_its_own(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    gated.undo()
    assert gated.try_git("commit", "-q", "--cleanup=strip", GIT_EDITOR=": >")[0] == 1
    gated.stage({"a.py": "BAD\n"})
    assert refused(gated)
