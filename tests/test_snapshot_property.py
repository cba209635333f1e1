"""For any contents the hunks rebuild the new file, and for any tree the snapshot is what git commits."""

from __future__ import annotations

import difflib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentreview.diff import parse_patch, split_blocks
from agentreview.git import open_repository, tree_files
from agentreview.snapshot import commit_snapshot, index_snapshot, staged_tree

PIECES = (
    *(b"", b"a", b"b", b"\r", b"a\r", b"\x0c", b"\x85", "\u2028".encode(), b"\xe9", b"\0", b"-- x", b"++ x"),
    *(b"@@ -1 +1 @@", b"diff --git a/f b/f", b"\\ No newline at end of file", b" ", b"+", b"-"),
)
LINES = st.sampled_from(PIECES)
CONTENTS = st.builds(
    lambda lines, end: b"\n".join(lines) + end, st.lists(LINES, max_size=12), st.sampled_from([b"", b"\n"])
)


def unified(before: bytes, after: bytes, context: int) -> bytes:
    """A patch from another author than git, so that thousands of cases need no process."""

    def lines(data: bytes) -> list[str]:
        parts = data.decode("latin-1").split("\n")
        return [part + "\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])

    body = list(difflib.unified_diff(lines(before), lines(after), n=context))[2:]
    marked = [line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in body]
    return ("diff --git a/f b/f\n--- a/f\n+++ b/f\n" * bool(body) + "".join(marked)).encode("latin-1")


@given(CONTENTS, CONTENTS, st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_hunks_rebuild_any_pair_of_contents(before, after, context):
    blocks = split_blocks(unified(before, after, context)) or (b"",)
    assert len(blocks) == 1
    hunks = parse_patch(blocks[0], before, after)
    assert bool(hunks) == (before != after)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """One repository for all examples; each becomes a commit on top of the last."""
    path = tmp_path_factory.mktemp("property")
    subprocess.run(["git", "init", "-q", str(path)], check=True)
    return path


SEGMENT = st.sampled_from([b"a", b"b c", b"-n", b"*", b"\xe9", b"n\nl", b'q"', b":(exclude)a", b"x.py"])
PATHS = st.lists(SEGMENT, min_size=1, max_size=2).map(b"/".join)
FILES = st.dictionaries(PATHS, st.tuples(CONTENTS, st.sampled_from(["100644", "100755", "120000"])), max_size=6)


def flat(files: dict[bytes, tuple[bytes, str]]) -> dict[bytes, tuple[bytes, str]]:
    """Drop what cannot be in one tree with a file of the same name."""
    return {path: value for path, value in files.items() if path.partition(b"/")[0] not in files or b"/" not in path}


@given(FILES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_snapshot_is_what_git_commits(scratch, files):
    files = flat({path: value for path, value in files.items() if value[0] or value[1] != "120000"})

    def run(*args: str, stdin: bytes = b"") -> str:
        return subprocess.run(["git", *args], cwd=scratch, input=stdin, check=True, capture_output=True).stdout.decode()

    run("read-tree", "--empty")
    lines = []
    for path, (content, mode) in files.items():
        data = content.replace(b"\0", b"") or b"x" if mode == "120000" else content
        lines.append(f"{mode} {run('hash-object', '-w', '--stdin', stdin=data).strip()}\t".encode() + path + b"\0")
    run("update-index", "-z", "--index-info", stdin=b"".join(lines))

    repo = open_repository(str(scratch))
    index = Path(repo.index_file).read_bytes()
    snapshot = index_snapshot(repo)
    assert Path(repo.index_file).read_bytes() == index
    run("commit", "-q", "--allow-empty", "-m", "example", "--no-verify")
    committed = run("rev-parse", "HEAD^{tree}").strip()
    assert committed == snapshot.tree == staged_tree(repo)
    again = commit_snapshot(repo, "HEAD")
    assert (again.base, again.tree, again.changes) == (snapshot.base, snapshot.tree, snapshot.changes)

    before = {entry.path: entry for entry in tree_files(repo, snapshot.base)}
    after = {entry.path: entry for entry in tree_files(repo, snapshot.tree)}
    assert {os.fsencode(path) for path in after} == files.keys()
    differing = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    named = {name for c in snapshot.changes for name in (c.path, c.old_path) if name}
    assert named == differing
