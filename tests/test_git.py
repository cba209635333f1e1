"""The git edge and the snapshots, against real git in the situations where naive readers were seen to be wrong."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentreview import git
from agentreview.changes import SIZE_LIMIT
from agentreview.errors import ExitCode, IncompleteError, UsageError
from agentreview.git import administer, open_repository
from agentreview.model import FileChange, Snapshot
from agentreview.snapshot import (
    base_tree,
    commit_snapshot,
    index_snapshot,
    merge_base,
    range_snapshot,
    resolve,
    staged_tree,
)

WATCHER = """
import json, os
from agentreview.git import administer, open_repository
from agentreview.snapshot import index_snapshot
found = index_snapshot(open_repository(os.environ.get("OTHER")))
with open(os.environ["SEEN"], "w") as log:
    json.dump({"tree": found.tree, "base": found.base, "branch": found.branch, "worktree": found.worktree,
               "paths": {c.path: c.status for c in found.changes}}, log)
"""


def staged(repo, **options) -> Snapshot:
    return index_snapshot(open_repository(str(repo.path)), **options)


def by_path(snapshot: Snapshot) -> dict[str, FileChange]:
    return {change.path: change for change in snapshot.changes}


def added(change: FileChange) -> list[bytes]:
    """The lines the hunks say were added, by their numbers in the new file."""
    lines = (change.after or b"").split(b"\n")
    return [lines[number - 1] for hunk in change.hunks for number in hunk.added]


@pytest.fixture
def seen(tmp_path, monkeypatch):
    """Return a function that reads what the hook saw, once."""
    log = tmp_path / "seen.json"
    monkeypatch.setenv("SEEN", str(log))

    def read() -> dict:
        found = json.loads(log.read_text())
        log.unlink()
        return found

    return read


def install_hook(repo, tmp_path) -> None:
    script = tmp_path / "watcher.py"
    script.write_text(WATCHER)
    hook = Path(open_repository(str(repo.path)).hooks_dir) / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{script}'\n")
    hook.chmod(0o755)


def fingerprint(root: Path) -> dict[str, str]:
    """Hash every file of the work tree, and the index, but not the object store (trees are written there)."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink() and "objects" not in path.parts
    }


# --- which tree -------------------------------------------------------------------------------------------------


@pytest.fixture
def three(repo):
    """a, b and c committed; a has two places far enough apart for two hunks."""
    repo.commit({"a": "".join(f"line {n}\n" for n in range(20)), "b": "1\n", "c": "1\n"})
    return repo


def test_the_hook_sees_the_tree_that_plain_commit_makes(three, tmp_path, seen):
    install_hook(three, tmp_path)
    three.stage({"a": "staged\n"})
    three.write({"b": "not staged\n"})
    three.git("commit", "-qm", "x")
    found = seen()
    assert found["tree"] == three.git("rev-parse", "HEAD^{tree}").strip()
    assert found["base"] == three.git("rev-parse", "HEAD^^{tree}").strip()
    assert found["paths"] == {"a": "M"}
    assert found["branch"] == "main"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-a"], {"a": "M", "b": "M", "c": "M"}),
        (["c"], {"c": "M"}),
        (["--only", "c"], {"c": "M"}),
        (["--include", "c"], {"a": "M", "c": "M"}),
        (["--amend"], {"a": "M"}),
        (["--allow-empty", "--only"], {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_hook_sees_the_tree_of_every_commit_mode(three, tmp_path, seen, arguments, expected):
    """a is staged; b and c are changed in the work tree only."""
    install_hook(three, tmp_path)
    three.stage({"a": "staged\n"})
    three.write({"b": "2\n", "c": "2\n"})
    three.git("commit", "-qm", "x", *arguments)
    found = seen()
    assert found["tree"] == three.git("rev-parse", "HEAD^{tree}").strip()
    assert found["paths"] == expected


def test_the_hook_sees_the_chosen_hunk_of_commit_p(three, tmp_path, seen):
    install_hook(three, tmp_path)
    lines = (three.path / "a").read_text().replace("line 0\n", "LINE 0\n").replace("line 19\n", "LINE 19\n")
    three.write({"a": lines})
    three.git("commit", "-q", "-p", "-m", "x", input=b"y\nn\n")
    found = seen()
    assert found["tree"] == three.git("rev-parse", "HEAD^{tree}").strip()
    assert "LINE 0" in three.git("show", "HEAD:a")
    assert "LINE 19" not in three.git("show", "HEAD:a")


def test_the_hook_sees_the_right_index_from_a_subdirectory_and_with_explicit_directories(three, tmp_path, seen):
    install_hook(three, tmp_path)
    three.stage({"sub/new": "1\n"})
    subprocess.run(["git", "commit", "-qm", "x"], cwd=three.path / "sub", check=True, capture_output=True)
    assert seen()["paths"] == {"sub/new": "A"}
    three.stage({"b": "2\n"})
    explicit = ["git", f"--git-dir={three.path}/.git", f"--work-tree={three.path}", "commit", "-qm", "x"]
    subprocess.run(explicit, cwd="/", check=True, capture_output=True)
    found = seen()
    assert found["tree"] == three.git("rev-parse", "HEAD^{tree}").strip()
    assert found["worktree"] == str(three.path)


def test_the_hook_of_a_linked_worktree_sees_that_worktree(three, tmp_path, seen):
    install_hook(three, tmp_path)
    three.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    linked = type(three)(tmp_path / "linked")
    linked.write({"a": "side\n"})
    linked.git("commit", "-qam", "x")
    found = seen()
    assert found["tree"] == linked.git("rev-parse", "HEAD^{tree}").strip()
    assert (found["branch"], found["worktree"]) == ("side", str(linked.path))


def test_a_hook_in_one_worktree_can_review_another(three, tmp_path, seen, monkeypatch):
    """git exports GIT_DIR and GIT_INDEX_FILE of the committing worktree; they must not reach the other."""
    install_hook(three, tmp_path)
    for name in ("b", "c"):
        three.git("worktree", "add", "-q", "-b", f"side-{name}", str(tmp_path / name))
    first, second = type(three)(tmp_path / "b"), type(three)(tmp_path / "c")
    second.stage({"only-in-c": "1\n"})
    first.stage({"only-in-b": "1\n"})
    monkeypatch.setenv("OTHER", str(second.path))
    for committer in (first, three):
        committer.git("commit", "-q", "--allow-empty", "-m", "x")
        found = seen()
        assert found["paths"] == {"only-in-c": "A"}
        assert (found["branch"], found["worktree"]) == ("side-c", str(second.path))


def test_the_hook_of_a_worktree_of_a_bare_repository(three, tmp_path, seen):
    bare = tmp_path / "bare.git"
    three.git("clone", "-q", "--bare", ".", str(bare))
    subprocess.run(["git", "worktree", "add", "-q", str(tmp_path / "w"), "main"], cwd=bare, check=True)
    work = type(three)(tmp_path / "w")
    install_hook(work, tmp_path)
    work.write({"a": "x\n"})
    work.git("commit", "-qam", "x")
    assert seen()["tree"] == work.git("rev-parse", "HEAD^{tree}").strip()
    first, second = git.worktrees(open_repository(str(work.path)))
    assert (first.bare, first.path) == (True, str(bare))
    assert (second.branch, second.head) == ("main", work.git("rev-parse", "HEAD").strip())


def test_the_hook_of_a_submodule_sees_the_submodule(three, make_repo, tmp_path, seen):
    outer = make_repo("outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(three.path), "sub")
    inner = type(three)(outer.path / "sub")
    install_hook(inner, tmp_path)
    inner.write({"a": "x\n"})
    inner.git("commit", "-qam", "x")
    found = seen()
    assert found["tree"] == inner.git("rev-parse", "HEAD^{tree}").strip()
    assert found["paths"] == {"a": "M"}


def test_the_users_own_index_file_is_the_one_reviewed(three, tmp_path, monkeypatch):
    three.git("read-tree", "HEAD", env={**os.environ, "GIT_INDEX_FILE": str(tmp_path / "other")})
    monkeypatch.chdir(three.path)
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other"))
    three.stage({"new": "1\n"})
    assert list(by_path(index_snapshot(open_repository()))) == ["new"]
    assert by_path(index_snapshot(open_repository(str(three.path)))) == {}


def test_a_named_index_file_that_is_not_there_is_not_an_empty_one(three, monkeypatch):
    monkeypatch.chdir(three.path)
    monkeypatch.setenv("GIT_INDEX_FILE", "nowhere/index")
    with pytest.raises(IncompleteError, match="cannot be copied"):
        staged_tree(open_repository())


def test_git_dir_and_work_tree_of_the_environment_are_honoured_even_when_relative(three, monkeypatch, tmp_path):
    three.stage({"sub/new": "1\n"})
    monkeypatch.chdir(three.path / "sub")
    monkeypatch.setenv("GIT_DIR", "../.git")
    monkeypatch.setenv("GIT_WORK_TREE", "..")
    repo = open_repository()
    monkeypatch.chdir(tmp_path)
    assert (repo.root, repo.git_dir) == (str(three.path), str(three.path / ".git"))
    assert by_path(index_snapshot(repo)).keys() == {"sub/new"}


# --- where ------------------------------------------------------------------------------------------------------


def test_a_repository_knows_its_directories(three, tmp_path):
    three.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    (tmp_path / "linked" / "deep").mkdir()
    repo = open_repository(str(tmp_path / "linked" / "deep"))
    common = three.path / ".git"
    assert repo.root == str(tmp_path / "linked")
    assert repo.git_dir == str(common / "worktrees" / "linked")
    assert repo.common_dir == str(common)
    assert repo.state_dir == str(common / "worktrees" / "linked" / "agentreview")
    assert repo.store_dir == str(common / "agentreview")
    assert repo.hooks_dir == str(common / "hooks")
    assert repo.index_file == str(common / "worktrees" / "linked" / "index")
    assert (repo.oid_length, repo.foreign) == (40, True)


def test_a_worktree_whose_name_has_a_line_feed_a_dollar_and_a_tilde(three, tmp_path):
    """GitPython expands $NAME and ~ in a working directory; a line feed splits rev-parse's answers."""
    odd = tmp_path / "~x $HOME\ny"
    three.git("worktree", "add", "-q", "-b", "side", str(odd))
    worktree = type(three)(odd)
    worktree.stage({"new": "1\n"})
    snapshot = staged(worktree)
    assert list(by_path(snapshot)) == ["new"]
    assert snapshot.worktree == str(odd)
    assert str(odd) in {info.path for info in git.worktrees(open_repository(str(odd)))}


def test_worktrees_are_listed_with_their_state(three, tmp_path):
    three.git("worktree", "add", "-q", "--detach", str(tmp_path / "d"))
    three.git("worktree", "add", "-q", "-b", "gone", str(tmp_path / "g"))
    three.git("worktree", "lock", "--reason", "on a\nstick", str(tmp_path / "d"))
    (tmp_path / "g" / ".git").unlink()
    main, detached, gone = git.worktrees(open_repository(str(three.path)))
    assert (main.path, main.branch, main.bare, main.detached) == (str(three.path), "main", False, False)
    assert (detached.detached, detached.branch, detached.locked) == (True, None, True)
    assert (gone.branch, gone.prunable, gone.locked) == ("gone", True, False)


def test_hooks_paths_are_reported_with_scope_and_origin(three, tmp_path, monkeypatch):
    config = tmp_path / "global"
    config.write_text("[core]\n\thooksPath = /everywhere\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    three.git("config", "core.hooksPath", "own hooks")
    repo = open_repository(str(three.path))
    assert [(v.scope, v.value) for v in git.config_values(repo, "core.hooksPath")] == [
        ("global", "/everywhere"),
        ("local", "own hooks"),
    ]
    assert str(config) in git.config_values(repo, "core.hooksPath")[0].origin
    assert repo.hooks_dir == str(three.path / "own hooks")
    assert git.config_values(repo, "core.nothing") == ()


# --- states of a repository -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--object-format=sha256",)], ids=["sha1", "sha256"])
def test_the_first_commit_is_compared_with_the_empty_tree(make_repo, options):
    repo = make_repo("r", *options)
    empty = staged(repo)
    assert (empty.changes, empty.tree == empty.base, empty.branch) == ((), True, "main")
    repo.stage({"a": "1\n"})
    first = staged(repo)
    assert [(c.path, c.status, c.before, c.after) for c in first.changes] == [("a", "A", None, b"1\n")]
    assert len(first.tree) == open_repository(str(repo.path)).oid_length
    repo.commit()
    repo.git("checkout", "-q", "--orphan", "new")
    orphan = staged(repo)
    assert (orphan.base, orphan.tree, orphan.branch) == (first.base, first.tree, "new")
    repo.git("rm", "-q", "--cached", "-r", ".")
    repo.commit({"b": "x\n"})
    repo.stage({"b": "y\n"})
    assert [added(c) for c in staged(repo).changes] == [[b"y"]]


def test_a_detached_head_has_no_branch(three):
    three.git("checkout", "-q", "--detach")
    three.stage({"a": "x\n"})
    snapshot = staged(three)
    assert (snapshot.branch, len(snapshot.changes), snapshot.commit) == (None, 1, None)
    assert snapshot.base == base_tree(open_repository(str(three.path)))


def test_intent_to_add_is_not_part_of_the_next_commit(three):
    three.write({"intended": "secret\n", "b": "2\n"})
    three.git("add", "b")
    three.git("add", "-N", "intended")
    assert list(by_path(staged(three))) == ["b"]


def test_an_unmerged_index_is_refused_with_its_paths(three):
    three.git("checkout", "-q", "-b", "side")
    three.commit(dict.fromkeys("abcde", "side\n"))
    three.git("checkout", "-q", "main")
    three.commit(dict.fromkeys("abcde", "main\n"))
    three.git("merge", "side", check=False)
    with pytest.raises(UsageError, match=r"unmerged paths: a, b, c and 2 more") as failure:
        staged(three)
    assert failure.value.exit_code is ExitCode.USAGE


def test_nothing_is_written_outside_the_object_store(three):
    three.stage({"a": "x\n", "sub/n": "1\n"})
    three.write({"b": "unstaged\n", "untracked": "1\n"})
    (three.path / ".git" / "index.lock").write_bytes(b"someone else's")
    before = fingerprint(three.path)
    stamps = (three.path / ".git" / "index").stat()
    assert len(staged(three).changes) == 2
    after = (three.path / ".git" / "index").stat()
    assert fingerprint(three.path) == before
    assert (after.st_mtime_ns, after.st_ino) == (stamps.st_mtime_ns, stamps.st_ino)


def test_reading_runs_no_hook_and_no_configured_program(three, tmp_path):
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\necho ran $0 >> {tmp_path}/ran\n")
    trap.chmod(0o755)
    for hook in ("post-index-change", "reference-transaction", "pre-commit"):
        (three.path / ".git" / "hooks" / hook).write_text(trap.read_text())
        (three.path / ".git" / "hooks" / hook).chmod(0o755)
    for key in (
        "core.fsmonitor",
        "diff.external",
        "diff.t.textconv",
        "diff.t.command",
        "core.pager",
        "filter.t.smudge",
    ):
        three.git("config", key, str(trap))
    three.write({".gitattributes": "* diff=t filter=t\n"})
    blob = three.git("hash-object", "-w", "--stdin", input=b"x\n").strip()
    three.git("-c", "core.fsmonitor=false", "update-index", "--cacheinfo", f"100644,{blob},a")
    (tmp_path / "ran").unlink(missing_ok=True)
    assert by_path(staged(three))["a"].after == b"x\n"
    assert not (tmp_path / "ran").exists()


def test_split_and_sparse_indexes_are_read(three):
    three.git("update-index", "--split-index")
    three.stage({"b": "2\n"})
    shared = sorted(path.name for path in (three.path / ".git").glob("sharedindex*"))
    assert list(by_path(staged(three))) == ["b"]
    assert sorted(path.name for path in (three.path / ".git").glob("sharedindex*")) == shared
    three.git("update-index", "--no-split-index")
    three.commit({"in/x": "1\n", "out/y": "1\n"})
    three.git("sparse-checkout", "set", "--cone", "--sparse-index", "in")
    # Not update-index --cacheinfo: with a sparse index that makes two entries of one name, and trees that differ.
    three.write({"out/y": "hidden\n"})
    three.git("add", "--sparse", "out/y")
    (three.path / "out/y").unlink()
    (three.path / "out").rmdir()
    assert [(c.path, c.after) for c in staged(three).changes] == [("out/y", b"hidden\n")]


@pytest.mark.parametrize("victim", ["old", "new", "tree", "commit"])
def test_an_object_that_cannot_be_read_is_never_fewer_changes(three, victim):
    three.commit({"a": "before\n"})
    three.stage({"a": "after\n"})
    name = {"old": "HEAD:a", "new": ":a", "tree": "HEAD^{tree}", "commit": "HEAD"}[victim]
    oid = three.git("rev-parse", name).strip()
    (three.path / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(IncompleteError) as failure:
        staged(three)
    assert failure.value.exit_code is ExitCode.INCOMPLETE
    assert "\n" not in str(failure.value)
    assert failure.value.fix


def test_replace_refs_do_not_hide_a_change(three):
    three.stage({"a": "evil\n"})
    three.git("replace", three.git("rev-parse", ":a").strip(), three.git("rev-parse", "HEAD:a").strip())
    assert added(by_path(staged(three))["a"]) == [b"evil"]


# --- what changed -----------------------------------------------------------------------------------------------


def test_text_changes_carry_both_sides_and_their_lines(three):
    three.stage({"a": (three.path / "a").read_text().replace("line 5\n", "five\nand more\n"), "new": "n\n"})
    (three.path / "b").unlink()
    three.git("add", "-A")
    found = by_path(staged(three))
    assert {path: change.status for path, change in found.items()} == {"a": "M", "b": "D", "new": "A"}
    (hunk,) = found["a"].hunks
    assert (hunk.added, hunk.removed) == ((6, 7), (6,))
    assert (hunk.old_start, hunk.old_lines, hunk.new_start, hunk.new_lines) == (3, 7, 3, 8)
    assert (found["b"].before, found["b"].after, found["b"].hunks[0].removed) == (b"1\n", None, (1,))
    assert (found["new"].before, found["new"].after, found["new"].hunks[0].added) == (None, b"n\n", (1,))
    assert all(change.opaque is None for change in found.values())


def test_a_rename_is_one_change_with_the_lines_that_differ(three):
    three.commit({"exact": "e\n" * 9, "gone": "nothing like it\n", "__init__.py": ""})
    three.git("mv", "exact", "moved")
    three.git("mv", "a", "renamed")
    three.git("rm", "-q", "gone")
    three.stage({"renamed": (three.path / "renamed").read_text() + "added\n", "other": "quite\ndifferent\n"})
    found = by_path(staged(three))
    assert {path: (c.status, c.old_path) for path, c in found.items()} == {
        "moved": ("R", "exact"),
        "renamed": ("R", "a"),
        "gone": ("D", None),
        "other": ("A", None),
    }
    assert (found["moved"].hunks, found["moved"].before) == ((), found["moved"].after)
    assert added(found["renamed"]) == [b"added"]
    assert found["renamed"].hunks[0].removed == ()


def test_modes_types_and_links(three):
    three.commit({"run": "#!/bin/sh\n", "t": "text\n", "d/f": "1\n", "to-file": "x"})
    (three.path / "to-file").unlink()
    (three.path / "to-file").symlink_to("target")
    three.git("add", "-A")
    three.commit()
    (three.path / "run").chmod(0o755)
    for name in ("t", "to-file"):
        (three.path / name).unlink()
    (three.path / "t").symlink_to("/etc/passwd")
    (three.path / "link").symlink_to("../outside")
    three.write({"to-file": "evil = 1\n"})
    three.git("rm", "-q", "-r", "d")
    (three.path / "d").symlink_to("/tmp")
    three.git("add", "-A")
    found = by_path(staged(three))
    assert (found["run"].status, found["run"].new_mode, found["run"].hunks) == ("M", "100755", ())
    assert (found["t"].status, found["t"].opaque, found["t"].after) == ("T", "symlink", None)
    assert (found["link"].status, found["link"].opaque) == ("A", "symlink")
    assert (found["to-file"].status, found["to-file"].opaque, added(found["to-file"])) == ("T", None, [b"evil = 1"])
    assert (found["d"].status, found["d/f"].status) == ("A", "D")


def test_a_submodule_cannot_be_hidden(three, make_repo):
    outer = make_repo("outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(three.path), "sub")
    new = by_path(staged(outer))
    assert (new["sub"].status, new["sub"].opaque, new["sub"].new_mode) == ("A", "submodule", "160000")
    outer.commit()
    three.commit({"a": "next\n"})
    outer.git("-C", "sub", "pull", "-q")
    outer.git("add", "sub")
    outer.write({".gitmodules": f'[submodule "sub"]\n\tpath = sub\n\turl = {three.path}\n\tignore = all\n'})
    for key in ("submodule.sub.ignore", "diff.ignoreSubmodules"):
        outer.git("config", key, "all")
    outer.git("config", "diff.submodule", "log")
    assert [(c.path, c.status, c.opaque) for c in staged(outer).changes] == [("sub", "M", "submodule")]
    outer.git("update-index", "--force-remove", "sub")
    blob = outer.git("hash-object", "-w", "--stdin", input=b"now text\n").strip()
    outer.git("update-index", "--add", "--cacheinfo", f"100644,{blob},sub")
    change = by_path(staged(outer))["sub"]
    assert (change.status, change.opaque, added(change)) == ("T", None, [b"now text"])


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "1" * 64 + "\nsize 123456789\n"


def test_content_that_is_not_text_is_named_and_never_dropped(repo):
    files = {
        "pointer": POINTER,
        "not-a-pointer.rb": POINTER + "puts 1\n",
        "nul.py": b"import os\n\0\n",
        "late-nul.py": b"x = 1\n" * 2000 + b"\0\n",
        "utf16.py": "import os\n".encode("utf-16"),
        "latin1.py": "café = 1\n".encode("latin-1"),
        "crlf.py": b"a\r\nb\r\n",
        "seps.py": "p\x0cq\u2028r\x85s\x1ct\x0bu\rv\n".encode(),
        "no-eol.py": b"x = 1",
        "empty.py": b"",
        "newline.py": b"\n",
        "looks-like-a-patch": b"-- \n++ b/evil\n@@ -1 +1 @@\ndiff --git a/x b/x\n\\ No newline at end of file\n",
    }
    repo.stage(files)
    found = by_path(staged(repo))
    assert found.keys() == files.keys()
    assert {path: change.opaque for path, change in found.items() if change.opaque} == {
        "pointer": "git-lfs pointer",
        "nul.py": "binary",
        "late-nul.py": "binary",
        "utf16.py": "binary (UTF-16 text)",
    }
    for path, change in found.items():
        if change.opaque is None:
            content = files[path] if isinstance(files[path], bytes) else files[path].encode()
            assert change.after == content
            assert len(added(change)) == content.count(b"\n") + (content[-1:] not in (b"", b"\n"))
    repo.commit()
    repo.stage({"nul.py": b"import os\n", "crlf.py": b"a\nb\r\n", "no-eol.py": b"x = 1\n", "newline.py": b"x\0"})
    found = by_path(staged(repo))
    assert {p: (c.opaque, c.before is None) for p, c in found.items()} == {
        "nul.py": (None, True),
        "crlf.py": (None, False),
        "no-eol.py": (None, False),
        "newline.py": ("binary", False),
    }
    assert added(found["crlf.py"]) == [b"a"]
    assert (found["no-eol.py"].hunks[0].added, found["no-eol.py"].hunks[0].removed) == ((1,), (1,))


def test_large_files_are_named_and_not_read(three):
    three.stage({"big.py": b"x = 1\n" * 1000, "small.py": "x = 1\n", "a": "shrunk\n"})
    assert by_path(staged(three, limit=5999))["big.py"].opaque == "too large"
    assert by_path(staged(three, limit=6000))["big.py"].opaque is None
    three.commit()
    three.stage({"big.py": "now small\n", "small.py": "x = 2\n"})
    found = by_path(staged(three, limit=100))
    assert {path: change.opaque for path, change in found.items()} == {"big.py": "too large", "small.py": None}
    assert (found["big.py"].before, found["big.py"].hunks) == (None, ())


def test_heavy_binaries_are_left_out_of_the_patch_and_stay_in_the_list(three):
    """A large file that turns into a directory takes the other way: leaving it out would hide the files below."""
    noise = b"\0" + os.urandom(1 << 20)
    blobs = {f"[img] *.{n}": noise + bytes([n]) for n in range(5)}
    three.commit({"model": b"y" * (SIZE_LIMIT + 1), "old.bin": noise + b"old"})
    for name in ("model", "old.bin"):
        (three.path / name).unlink()
    three.stage({**blobs, "model/code.py": "x = 1\n", "a": "z\n", "huge": b"q" * (2 * SIZE_LIMIT)})
    found = by_path(staged(three))
    assert found.keys() == {*blobs, "model", "model/code.py", "a", "huge", "old.bin"}
    assert {c.opaque for p, c in found.items() if p in blobs} == {"binary"}
    assert (found["huge"].opaque, found["model"].opaque, found["model"].status) == ("too large", "too large", "D")
    assert added(found["model/code.py"]) == [b"x = 1"]
    assert added(found["a"]) == [b"z"]


NAMES: list[bytes] = [
    *(b"with space.py", b"a b/b c.py", b"x b/x", b"new\nline.py", b"tab\there", b'quo"te', b"back\\slash", b" lead"),
    *(b"trail ", b"-n", b"--output=pwned", b":(exclude)secret.py", b":!x", b"*", b"lat-\xe9.py", "utf-é.py".encode()),
    *(b"esc\x1b[31m.py", "rtl\u202e.py".encode(), "nfd-e\u0301".encode(), b"~", b"$HOME", b"HEAD", b"0" * 40),
]


def test_every_file_name_survives(repo):
    for name in NAMES:
        target = os.path.join(os.fsencode(repo.path), name)  # noqa: PTH118
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        Path(os.fsdecode(target)).write_bytes(b"content of " + name)
    repo.git("add", "-A")
    snapshot = staged(repo)
    assert {c.path.encode("utf-8", "surrogateescape"): c.after for c in snapshot.changes} == {
        name: b"content of " + name for name in NAMES
    }
    opened = open_repository(str(repo.path))
    entries = git.tree_files(opened, snapshot.tree)
    assert {e.path for e in entries} == set(by_path(snapshot))
    paths = [e.path for e in entries]
    assert git.read_files(opened, snapshot.tree, paths) == {c.path: c.after for c in snapshot.changes}


HOSTILE = {
    "diff.external": "/bin/false",
    "diff.conv.textconv": "echo same",
    "diff.conv.binary": "true",
    "diff.noprefix": "true",
    "diff.mnemonicPrefix": "true",
    "diff.relative": "true",
    "diff.context": "0",
    "diff.interHunkContext": "99",
    "diff.suppressBlankEmpty": "true",
    "diff.renames": "copies",
    "diff.renameLimit": "1",
    "diff.algorithm": "patience",
    "diff.indentHeuristic": "false",
    "diff.submodule": "log",
    "diff.wsErrorHighlight": "all",
    "diff.colorMoved": "zebra",
    "color.ui": "always",
    "color.diff": "always",
    "core.quotePath": "false",
    "core.abbrev": "4",
    "core.bigFileThreshold": "1",
    "core.autocrlf": "true",
    "core.pager": "false",
}


def test_configuration_attributes_and_environment_change_nothing(three, tmp_path, monkeypatch):
    functions = [f"def {name}():\n    return 1\n\n\n" for name in "abc"]
    before = {"f": functions[0] + functions[2], "e": "1\n\n2\n\n\n3\n" * 9, "m": "m\n" * 30}
    three.commit({**before, ".gitattributes": ""})
    three.git("mv", "m", "moved")
    three.stage({"f": "".join(functions)})
    three.stage({"a": "changed\n\n", "e": "1\n\n2\n\n\n4\n" * 9, "new.py": "x\n", "moved": "m\n" * 30 + "end\n"})
    expected = staged(three).changes
    assert {c.path: c.status for c in expected} == {"a": "M", "e": "M", "f": "M", "moved": "R", "new.py": "A"}
    for key, value in HOSTILE.items():
        three.git("config", key, value)
    order, attributes = tmp_path / "order", tmp_path / "attributes"
    order.write_text("new.py\n*\n")
    attributes.write_text("* -diff binary\n*.py diff=conv\n")
    three.git("config", "diff.orderFile", str(order))
    three.git("config", "core.attributesFile", str(attributes))
    (three.path / ".git" / "info" / "attributes").write_text("* -diff\n")
    three.write({".gitattributes": "* -diff binary\n*.py diff=conv\n"})
    (three.path / "empty").mkdir()
    monkeypatch.chdir(three.path / "empty")
    for name, value in {
        "GIT_EXTERNAL_DIFF": "/bin/false",
        "GIT_DIFF_OPTS": "-u0",
        "GIT_GLOB_PATHSPECS": "1",
        "GIT_ICASE_PATHSPECS": "1",
        "GIT_OBJECT_DIRECTORY": str(tmp_path / "nowhere"),
        "GIT_NAMESPACE": "x",
        "GIT_GRAFT_FILE": str(order),
        "GIT_COMMON_DIR": str(tmp_path / "nowhere"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "true",
        "GIT_CONFIG_PARAMETERS": "'core.worktree'='/'",
        "GIT_TRACE": str(tmp_path / "trace"),
        "GIT_ATTR_SOURCE": "HEAD",
        "GIT_SOMETHING_OF_TOMORROW": "1",
        "LC_ALL": "de_DE.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    assert index_snapshot(open_repository()).changes == expected
    assert staged(three).changes == expected
    assert not (tmp_path / "trace").exists()


# --- ranges and commits -----------------------------------------------------------------------------------------


def test_ranges_and_commits_name_their_trees(three):
    first = three.git("rev-parse", "HEAD").strip()
    three.git("checkout", "-q", "-b", "side")
    tip = three.commit({"a": "side\n"})
    three.git("checkout", "-q", "main")
    three.commit({"b": "main\n"})
    repo = open_repository(str(three.path))
    two = range_snapshot(repo, "main..side")
    assert ({c.path for c in two.changes}, two.source, two.commit) == ({"a", "b"}, "range main..side", tip)
    assert {c.path for c in range_snapshot(repo, "main...side").changes} == {"a"}
    assert range_snapshot(repo, "HEAD^{tree}..").changes == ()
    assert range_snapshot(repo, f"{first}..main^{{tree}}").commit is None
    commit = commit_snapshot(repo, "side")
    assert ([c.path for c in commit.changes], commit.commit, commit.branch) == (["a"], tip, None)
    assert len(commit_snapshot(repo, first).changes) == 3
    three.git("merge", "-q", "side")
    three.stage({"evil": "in neither parent\n"})
    three.git("commit", "-q", "--amend", "--no-edit")
    assert {c.path for c in commit_snapshot(repo, "HEAD").changes} == {"a", "evil"}


@pytest.mark.parametrize(
    "spec", ["--output=pwned..HEAD", "HEAD..--all", "nope..HEAD", "HEAD", "HEAD...nope", "a\0b..HEAD"]
)
def test_a_name_that_is_no_revision_is_a_usage_error_and_never_an_option(three, spec, monkeypatch):
    monkeypatch.chdir(three.path)
    repo = open_repository()
    with pytest.raises(UsageError) as failure:
        range_snapshot(repo, spec)
    assert failure.value.fix
    with pytest.raises(UsageError):
        commit_snapshot(repo, spec.partition("..")[0] if spec.startswith("-") else "--all")
    assert not (three.path / "pwned").exists()


def test_a_shallow_clone_fails_instead_of_guessing(three, tmp_path):
    for n in range(4):
        three.commit({"a": f"{n}\n"})
    three.git("checkout", "-q", "-b", "side", "HEAD~2")
    three.commit({"s": "1\n"})
    shallow = tmp_path / "shallow"
    three.git("clone", "-q", "--depth", "1", "--no-single-branch", f"file://{three.path}", str(shallow))
    repo = open_repository(str(shallow))
    with pytest.raises(UsageError, match=r"shallow.*git fetch --unshallow"):
        range_snapshot(repo, "origin/main...origin/side")
    with pytest.raises(UsageError, match="names no tree"):
        commit_snapshot(repo, "origin/main")
    git.run(repo, "fetch", "-q", "--deepen=4")
    assert [c.path for c in range_snapshot(repo, "origin/main...origin/side").changes] == ["s"]
    assert [c.path for c in commit_snapshot(repo, "origin/side").changes] == ["s"]


def test_no_merge_base_and_two_of_them_are_refused(three):
    repo = open_repository(str(three.path))
    three.git("checkout", "-q", "--orphan", "alone")
    three.commit(message="alone")
    with pytest.raises(UsageError, match="no common history"):
        range_snapshot(repo, "main...alone")
    three.git("checkout", "-q", "-b", "one", "main")
    three.commit({"one": "1\n"})
    three.git("checkout", "-q", "-b", "two", "main")
    three.commit({"two": "2\n"})
    three.git("merge", "-q", "-m", "m", "one")
    three.git("checkout", "-q", "one")
    three.git("merge", "-q", "--no-ff", "-m", "m", "two^1")
    one, two = resolve(repo, "one", "commit"), resolve(repo, "two", "commit")
    with pytest.raises(UsageError, match="2 merge bases"):
        merge_base(repo, one, two)


# --- objects ----------------------------------------------------------------------------------------------------


def test_files_are_read_from_the_tree_and_links_are_not_followed(three):
    (three.path / "link").symlink_to("/etc/passwd")
    three.commit({"d/e": b"\0\r\n", ":(glob)*": "odd\n"})
    repo = open_repository(str(three.path))
    tree = base_tree(repo)
    three.write({"a": "work tree\n"})
    assert git.read_file(repo, tree, "d/e") == b"\0\r\n"
    assert git.read_file(repo, tree, ":(glob)*") == b"odd\n"
    for path in ("d", "d/", "link", "nope", "", "../a", "/a", "./a", "d/../a", "a\0b", "*"):
        assert git.read_file(repo, tree, path) is None
    assert git.read_file(repo, tree, "a") == three.git("show", "HEAD:a").encode()
    assert {e.path: e.mode for e in git.tree_files(repo, tree)}["link"] == "120000"
    empty = three.git("hash-object", "-w", "--stdin", input=b"").strip()
    assert git.read_blobs(repo, [empty, empty]) == {empty: b""}
    assert git.read_blobs(repo, []) == {}


def test_a_missing_blob_or_another_object_is_an_error(three):
    repo = open_repository(str(three.path))
    for oid in ("0" * 40, "1" * 40, base_tree(repo)):
        with pytest.raises(IncompleteError, match="cannot be read"):
            git.read_blobs(repo, [oid])
        with pytest.raises(IncompleteError, match="cannot be read"):
            git.blob_sizes(repo, [oid])


# --- places where there is nothing to review --------------------------------------------------------------------


def test_every_wrong_place_has_its_own_line_and_fix(tmp_path, monkeypatch, make_repo):
    make_repo("bare.git", "--bare")
    inside = make_repo("normal").path / ".git"
    places = {
        str(tmp_path): "is not in a git repository",
        str(tmp_path / "bare.git"): "is a bare repository",
        str(inside): "is not in a work tree",
        str(tmp_path / "nope\x1b[31m"): r"nope\\x1b\[31m is not a directory",
        "": "is not a directory",
    }
    for place, expected in places.items():
        with pytest.raises(UsageError, match=expected) as failure:
            open_repository(place)
        assert failure.value.fix
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="this directory is not in a git repository"):
        open_repository()
    (inside / "config").write_text("[broken\n")
    with pytest.raises(UsageError, match="bad config"):
        open_repository(str(inside.parent))


def test_dubious_ownership_names_the_command(three):
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(three.path, 12345, 12345)
    with pytest.raises(UsageError, match=f"git config --global --add safe.directory {three.path}"):
        open_repository(str(three.path))


def test_what_git_announces_and_says_on_the_next_line_is_in_the_message(three):
    three.git("config", "extensions.objectFormat", "sha1")  # of a repository that says it has no extensions
    with pytest.raises(UsageError, match=r"extension found: objectformat\. Repair"):
        open_repository(str(three.path))


def fake_git(tmp_path: Path, monkeypatch, body: str) -> None:
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "git").write_text(f"#!/bin/sh\n{body}\n")
    (directory / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def test_an_old_git_is_named_with_the_version_needed(three, tmp_path, monkeypatch):
    fake_git(tmp_path, monkeypatch, '[ "$1" = version ] && echo git version 2.30.2 || echo --path-format=absolute')
    with pytest.raises(UsageError, match=r"git version 2\.30\.2 is too old\. Install git 2\.31"):
        open_repository()


@pytest.mark.parametrize("leftover", [None, "GIT_DIFF_OPTS"])
def test_a_missing_git_is_a_usage_error(three, monkeypatch, tmp_path, leftover):
    """Also when env(1) would have had to start it."""
    if leftover:
        monkeypatch.setenv(leftover, "1")
        (tmp_path / "env").symlink_to("/usr/bin/env")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="git cannot be run"):
        open_repository(str(three.path))


def test_a_worktree_that_another_process_is_just_making_is_waited_for(three, tmp_path, monkeypatch):
    """`git worktree add` opens a file before it fills it, and until then git dies when it looks at all worktrees."""
    three.git("worktree", "add", "-q", str(tmp_path / "agent"))
    half = three.path / ".git" / "worktrees" / "agent" / "commondir"
    half.rename(tmp_path / "whole")
    half.touch()
    real = shutil.which("git")
    said = tmp_path / "said"
    fake_git(tmp_path, monkeypatch, f'{real} "$@" 2>{said}; s=$?; cat {said} >&2; cp {tmp_path}/whole {half}; exit $s')
    status, out, error = administer(str(three.path), "worktree", "list")
    assert (status, out.count(b"\n"), error) == (0, 2, b"")


def test_importing_gitpython_neither_runs_git_nor_leaves_anything_behind(tmp_path):
    """Its import wants to run git, twice; and without one it would be an ImportError."""
    (tmp_path / "git").write_text(f"#!/bin/sh\necho ran >> {tmp_path}/ran\necho git version 2.39.5\n")
    (tmp_path / "git").chmod(0o755)
    code = (
        "import os; before = dict(os.environ)\n"
        "import sys; from agentreview.git import _gitpython\n"
        "assert 'git' not in sys.modules\n"
        "_gitpython(); assert dict(os.environ) == before; print('fine')"
    )
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, env={"PATH": str(tmp_path)}, check=False)
    assert (ran.stdout, ran.stderr) == ("fine\n", "")
    assert not (tmp_path / "ran").exists()


# VmHWM and not getrusage: a process starts with the peak of the one that forked it, here a test runner's.
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_change_of_a_hundred_thousand_lines_and_a_huge_file_stay_small_in_memory(repo, tmp_path):
    repo.commit({"code.py": "".join(f"value_{n} = compute({n})\n" for n in range(50_000))})
    repo.stage({"code.py": "".join(f"value_{n} = other({n})\n" for n in range(50_000)), "huge": b"x" * 100_000_000})
    code = (
        "from pathlib import Path\nfrom agentreview.git import open_repository\n"
        "from agentreview.snapshot import index_snapshot\n"
        "found = {c.path: c for c in index_snapshot(open_repository()).changes}\n"
        "assert found['huge'].opaque == 'too large' and len(found['code.py'].hunks[0].added) == 50_000\n"
        "print(next(row.split()[1] for row in Path('/proc/self/status').read_text().split('\\n') if 'VmHWM' in row))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=repo.path, capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 250 * 1024
