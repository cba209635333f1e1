"""Patch text is split by its own counts and proved against the blobs; whatever does not fit is an error."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from agentreview.diff import parse_patch, split_blocks
from agentreview.errors import IncompleteError


def git_patch(tmp_path, before: bytes, after: bytes, *options: str) -> bytes:
    """The patch git prints between two contents."""
    (tmp_path / "old").write_bytes(before)
    (tmp_path / "new").write_bytes(after)
    command = ["git", "diff", "--no-index", "--text", *options, "old", "new"]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).stdout


def block_of(patch: bytes) -> bytes:
    (block,) = split_blocks(patch)
    return block


AWKWARD = [
    (b"", b"x"),
    (b"x", b""),
    (b"x", b"x\n"),
    (b"x\n", b"x"),
    (b"a\nx", b"b\nx"),
    (b"\n\n\n", b"\n\n"),
    (b"a\rb\rc\n", b"a\rB\rc\n"),
    (b"a\r\nb\r\n", b"a\nb\r\n"),
    (b"f\x0cg\n\x0c\n", b"f\x0cG\n\x0c\n"),
    ("p\u2028q\x85r\x1cs\x0bt\n".encode(), "p\u2028Q\x85r\x1cs\x0bt\n".encode()),
    (b"caf\xe9\n", b"caf\xe8\n"),
    (b"\0\1\n", b"\0\2\n\0"),
    (b"-- \n", b"-- \n++ b/evil\n"),
    (b"-- a/f\n", b"x\n"),
    (b"@@ -1 +1 @@\n", b"@@ -2 +2 @@\ndiff --git a/x b/x\n"),
    (b"\\ No newline at end of file\n", b"\\ No newline at end of file"),
    (b"\xff\xfeh\0i\0\n\0", b"\xff\xfeh\0o\0\n\0"),
    (b"1\n" * 50, b"1\n" * 20 + b"2\n" + b"1\n" * 30 + b"3"),
]


@pytest.mark.parametrize(("before", "after"), AWKWARD)
def test_awkward_contents_are_proved(tmp_path, before, after):
    hunks = parse_patch(block_of(git_patch(tmp_path, before, after)), before, after)
    old, new = before.split(b"\n"), after.split(b"\n")
    kept_old = [line for n, line in enumerate(old, 1) if not any(n in hunk.removed for hunk in hunks)]
    kept_new = [line for n, line in enumerate(new, 1) if not any(n in hunk.added for hunk in hunks)]
    assert [line for line in kept_old if line] == [line for line in kept_new if line]


def test_line_numbers_are_those_of_the_two_files(tmp_path):
    before = b"".join(b"%d\n" % n for n in range(1, 31))
    after = before.replace(b"\n5\n", b"\nfive\n5b\n").replace(b"\n25\n", b"\n")
    first, second = parse_patch(block_of(git_patch(tmp_path, before, after)), before, after)
    assert (first.removed, first.added) == ((5,), (5, 6))
    assert (second.removed, second.added, second.old_start, second.new_start) == ((25,), (), 22, 23)


def test_insertions_without_context_are_placed_right(tmp_path):
    before, after = b"1\n2\n3\n", b"0\n1\n2\n2b\n3\n4\n"
    hunks = parse_patch(block_of(git_patch(tmp_path, before, after, "-U0")), before, after)
    assert [hunk.added for hunk in hunks] == [(1,), (4,), (6,)]
    assert [hunk.old_lines for hunk in hunks] == [0, 0, 0]


def test_blank_context_lines_may_have_lost_their_space(tmp_path):
    before, after = b"a\n\n\nb\n", b"a\n\n\nB\n"
    patch = git_patch(tmp_path, before, after).replace(b"\n \n", b"\n\n").replace(b"\n \n", b"\n\n")
    assert b"\n \n" not in patch
    assert parse_patch(block_of(patch), before, after)[0].added == (4,)


def test_an_empty_patch_has_no_blocks_and_a_mode_change_has_no_hunks():
    assert split_blocks(b"") == ()
    assert split_blocks(b"diff --git a/x b/x\nold mode 100644\nnew mode 100755\n") == (b"",)
    assert parse_patch(b"", b"same", b"same") == ()


def test_blocks_are_found_only_outside_hunks(tmp_path):
    sly = b"diff --git a/x b/x\n@@ -1 +1 @@\n--- a\n+++ b\n"
    patch = git_patch(tmp_path, b"", sly) + git_patch(tmp_path, sly, b"") + git_patch(tmp_path, b"1", b"2")
    blocks = split_blocks(patch)
    assert len(blocks) == 3
    assert [len(parse_patch(*case)) for case in zip(blocks, (b"", sly, b"1"), (sly, b"", b"2"), strict=True)] == [
        1,
        1,
        1,
    ]


GOOD = b"diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n-a\n+b\n c\n"


@pytest.mark.parametrize(
    "patch",
    [
        GOOD[:-1],
        GOOD[:-3],
        GOOD[:-3] + b"?c\n",
        GOOD.replace(b"+b\n", b"+b\n+b\n+b\n"),
        GOOD + b"trailing\n",
        b"\x1b[1m" + GOOD,
        GOOD.replace(b"diff --git a/f b/f\n", b""),
        GOOD.partition(b"--- a/f\n+++ b/f\n")[2],
    ],
)
def test_text_that_breaks_its_own_promises_is_refused(patch):
    with pytest.raises(IncompleteError, match="diff mismatch"):
        split_blocks(patch)


@pytest.mark.parametrize(
    ("block", "before", "after"),
    [
        (b"", b"a", b"b"),
        (b"@@ -1,2 +1,2 @@\n-a\n+b\n c\n", b"a\nc\n", b"b\nc\nhidden\n"),
        (b"@@ -1,2 +1,2 @@\n-a\n+b\n c\n", b"a\nd\n", b"b\nd\n"),
        (b"@@ -1,2 +1,2 @@\n-x\n+b\n c\n", b"a\nc\n", b"b\nc\n"),
        (b"@@ -1,2 +7,2 @@\n-a\n+b\n c\n", b"a\nc\n", b"b\nc\n"),
        (b"@@ -9,2 +9,2 @@\n-a\n+b\n c\n", b"a\nc\n", b"b\nc\n"),
        (b"@@ -1,2 +1,2 @@\n-a\n+b\n c\n", b"a\nc", b"b\nc\n"),
        (b"@@ -1,2 +1,2 @@\n-a\n+b\n", b"a\nc\n", b"b\nc\n"),
        (b"garbage\n", b"a\n", b"a\n"),
        (b"@@ -1 +1 @@\n-a\n+b\n--- a/g\n+++ b/g\n@@ -1 +1 @@\n-a\n+b\n", b"a\n", b"b\n"),
    ],
)
def test_hunks_that_do_not_rebuild_the_file_are_refused(block, before, after):
    with pytest.raises(IncompleteError, match="diff mismatch"):
        parse_patch(block, before, after)


def test_the_work_grows_with_the_size_only(tmp_path):
    """Counted in calls, not in seconds: eight times the lines are eight times the calls, not sixty-four times."""

    def calls(count: int) -> int:
        before = b"".join(b"value_%d = %d\n" % (n, n) for n in range(count))
        after = before.replace(b"7 = ", b"7 =  ")
        block = block_of(git_patch(tmp_path, before, after))
        seen = Counter()
        sys.setprofile(lambda _frame, event, _about: seen.update((event,)))
        try:
            parse_patch(block, before, after)
        finally:
            sys.setprofile(None)
        return seen["call"] + seen["c_call"]

    calls(100)  # what is compiled and loaded once
    assert calls(8000) < calls(1000) * 8 * 1.5
