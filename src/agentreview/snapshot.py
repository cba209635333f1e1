"""What is under review: the two trees of the index, a range or a commit, and the changes between them.

The subject is a tree, never the work tree or ``git diff --cached``: the staged tree is written from a copy of the
index the commit uses, which is equal to the tree git commits in every commit mode. Comparing it again later
(:func:`staged_tree`) is cheap and says whether the reviewed tree is still the one to be committed.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from agentreview import git
from agentreview.changes import SIZE_LIMIT, changes
from agentreview.errors import IncompleteError, UsageError
from agentreview.git import Repository, complaint, shown, text
from agentreview.model import Snapshot
from agentreview.store import read, write

# Writing even a copy of the index runs post-index-change, and a split index would leave a shared part in the git dir.
_INDEX_OPTIONS = (*("-c", "core.hooksPath=/dev/null"), *("-c", "core.splitIndex=false"))


def index_snapshot(repo: Repository, *, limit: int = SIZE_LIMIT) -> Snapshot:
    """Snapshot what the next commit would change. ``limit``: bytes above which a file is opaque.

    Raises UsageError for unmerged paths, IncompleteError when anything cannot be read.
    """
    base, branch = head(repo)
    tree = staged_tree(repo)
    return Snapshot(
        base=base,
        tree=tree,
        changes=changes(repo, base, tree, limit=limit),
        worktree=repo.root,
        branch=branch,
        source=f"worktree {repo.root}" if repo.foreign else "index",
    )


def range_snapshot(repo: Repository, spec: str, *, limit: int = SIZE_LIMIT) -> Snapshot:
    """Snapshot ``BASE..HEAD`` (two trees) or ``BASE...HEAD`` (since their merge base); an empty side means HEAD.

    Raises UsageError when a side names nothing here, or when there is not exactly one merge base.
    """
    dots = "..." if "..." in spec else ".."
    left, found, right = spec.partition(dots)
    if not found:
        raise UsageError(f"{shown(spec)} is not a range", fix="Write BASE..HEAD, or BASE...HEAD for the merge base")
    left, right = left or "HEAD", right or "HEAD"
    commit: str | None = None
    if dots == "...":
        commit = resolve(repo, right, "commit")
        base = resolve(repo, merge_base(repo, resolve(repo, left, "commit"), commit), "tree")
        tree = resolve(repo, commit, "tree")
    else:
        base, tree = resolve(repo, left, "tree"), resolve(repo, right, "tree")
        commit = resolved(repo, right, "commit")  # None: a tree was named, which is fine too
    found_changes = changes(repo, base, tree, limit=limit)
    return Snapshot(base=base, tree=tree, changes=found_changes, source=f"range {spec}", commit=commit)


def commit_snapshot(repo: Repository, revision: str, *, limit: int = SIZE_LIMIT) -> Snapshot:
    """Snapshot one commit against its first parent, or against the empty tree if it has none.

    Raises UsageError when the parent is beyond the edge of a shallow clone.
    """
    commit = resolve(repo, revision, "commit")
    # The commit itself is read: at the edge of a shallow clone rev-parse says that it has no parent.
    header = text(git.run(repo, "cat-file", "commit", commit)).partition("\n\n")[0].split("\n")
    tree = next(line[5:] for line in header if line.startswith("tree "))
    parent = next((line[7:] for line in header if line.startswith("parent ")), None)
    base = resolve(repo, parent, "tree") if parent else empty_tree(repo)
    found_changes = changes(repo, base, tree, limit=limit)
    return Snapshot(base=base, tree=tree, changes=found_changes, source=f"commit {commit[:12]}", commit=commit)


def head(repo: Repository) -> tuple[str, str | None]:
    """Return the tree the next commit builds on, and the branch (None when detached).

    Before the first commit of a branch the tree is the empty one. IncompleteError if HEAD's objects are gone.
    """
    status, out, error = git.attempt(repo, "rev-parse", "HEAD^{tree}", "--symbolic-full-name", "HEAD")
    if status == 0:
        tree, ref = text(out).split("\n")[:2]
        return tree, ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None
    if git.attempt(repo, "rev-parse", "--verify", "-q", "HEAD")[0] == 0:
        raise IncompleteError(f"HEAD cannot be read: {complaint(error)}", fix=git.UNREADABLE)
    branch = text(git.run(repo, "symbolic-ref", "-q", "--short", "HEAD", check=False)).strip()
    return empty_tree(repo), branch or None


def base_tree(repo: Repository) -> str:
    """Return the tree id of HEAD, or the empty tree's before the first commit."""
    return head(repo)[0]


def parent_tree(repo: Repository) -> str:
    """Return the tree that HEAD itself builds on: an amended commit will stand there. The empty one for a first commit."""
    status, out, _ = git.attempt(repo, "rev-parse", "--verify", "-q", "HEAD^1^{tree}")
    if status == 0:
        return text(out).strip()
    header = text(git.run(repo, "cat-file", "commit", "HEAD")).partition("\n\n")[0]
    if "\nparent " in header:
        raise IncompleteError(
            "the commit before HEAD is not in this clone, so what an amend changes cannot be told",
            fix="Fetch it: `git fetch --deepen=1`",
        )
    return empty_tree(repo)


def empty_tree(repo: Repository) -> str:
    """Return the id of the empty tree, which depends on the repository's hash."""
    return text(git.run(repo, "hash-object", "-t", "tree", "--stdin", stdin=b"")).strip()


def staged_tree(repo: Repository) -> str:
    """Return the id of the tree the next commit would have.

    Writes tree objects, as the commit will; never the index, its lock or the work tree. Raises UsageError while
    there are unmerged paths, IncompleteError when the index or an object in it cannot be read.
    """
    import shutil
    import tempfile

    try:
        with tempfile.TemporaryDirectory(prefix="agentreview-") as scratch:
            copy = f"{scratch}/index"
            if Path(repo.index_file).exists() or repo.index_file != f"{repo.git_dir}/index":
                shutil.copyfile(repo.index_file, copy)
            # else: nothing was ever staged here, and git takes a missing index for an empty one
            environment = {"GIT_INDEX_FILE": copy}
            status, out, error = git.attempt(repo, *_INDEX_OPTIONS, "write-tree", env=environment)
            if status == 0:
                return text(out).strip()
            unmerged = git.run(repo, *_INDEX_OPTIONS, "ls-files", "-u", "-z", env=environment)
    except OSError as failure:
        raise IncompleteError(
            f"the index {shown(repo.index_file)} cannot be copied: {failure.strerror}",
            fix="Check GIT_INDEX_FILE, the permissions and the free disk space",
        ) from failure
    paths = list(dict.fromkeys(shown(text(line.partition(b"\t")[2])) for line in unmerged.split(b"\0")[:-1]))
    if paths:
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        raise UsageError(
            f"there are unmerged paths: {', '.join(paths[:3])}{more}", fix="Resolve the conflicts, then `git add` them"
        )
    raise IncompleteError(
        f"the staged tree cannot be written: {complaint(error)}",
        fix="No commit is possible before `git write-tree` works: check the disk space, and `git fsck`; in a partial clone, that its remote can be reached",
    )


def staged_tree_kept(repo: Repository) -> str:
    """The same for those who ask again and again: git is asked once for each index, and the answer kept beside it.

    For what is shown, not for what is judged: nobody proves that the index is what its checksum says.
    """
    file = Path(repo.state_dir, "staged")
    before = _mark(repo)
    mark, _, tree = (read(file) or b"").rpartition(b" ")
    if before and mark == before and re.fullmatch(rb"[0-9a-f]{%d}" % repo.oid_length, tree):
        return text(tree)
    found = staged_tree(repo)
    if before and before == _mark(repo):  # whoever writes an index makes a new file: it was this one throughout
        with suppress(OSError):
            write(file, before + b" " + found.encode("ascii"))
    return found


def _mark(repo: Repository) -> bytes:
    """Tell the index from any other by its own checksum, and by what a file system knows of it; b"" where it has none."""
    size = repo.oid_length // 2
    try:
        with open(repo.index_file, "rb") as file:  # noqa: PTH123 - the hook path
            facts = os.fstat(file.fileno())
            file.seek(-size, os.SEEK_END)
            checksum = file.read(size)
    except OSError:
        return b""
    if not any(checksum):  # index.skipHash
        return b""
    return f"{checksum.hex()}.{facts.st_size}.{facts.st_mtime_ns}.{facts.st_ino}".encode("ascii")


def resolve(repo: Repository, revision: str, kind: str) -> str:
    """Return the object id of ``revision`` peeled to ``kind`` (``commit`` or ``tree``); UsageError if it is none."""
    if oid := resolved(repo, revision, kind):
        return oid
    raise UsageError(
        f"{shown(revision)} names no {kind} in this repository",
        fix="Check the spelling; in a shallow clone fetch it first (`git fetch --deepen=N`, or fetch the branch)",
    )


def resolved(repo: Repository, revision: str, kind: str) -> str | None:
    """Return what :func:`resolve` does, or None. A revision is never read as an option."""
    if "\0" in revision:
        return None
    name = f"{revision}^{{{kind}}}"
    status, out, _ = git.attempt(repo, "rev-parse", "--verify", "-q", "--end-of-options", name)
    oid = text(out).strip()
    return oid if status == 0 and len(oid) == repo.oid_length else None


def merge_base(repo: Repository, one: str, other: str) -> str:
    """Return the one best common ancestor of two commit ids; UsageError when there is none, or more than one."""
    found = text(git.run(repo, "merge-base", "--all", one, other, check=False)).split()
    if len(found) == 1:
        return found[0]
    pair = f"{one[:12]} and {other[:12]}"
    if found:
        raise UsageError(
            f"{pair} have {len(found)} merge bases ({', '.join(oid[:12] for oid in found[:3])})",
            fix="Merge the base branch into the reviewed one, or name the base yourself: BASE..HEAD",
        )
    if text(git.run(repo, "rev-parse", "--is-shallow-repository")).strip() == "true":
        raise UsageError(
            f"this clone is shallow and does not reach the merge base of {pair}",
            fix="Fetch the history first: `git fetch --unshallow` (or `--deepen=N`; in CI a fetch depth of 0)",
        )
    raise UsageError(f"{pair} have no common history", fix="Name the base yourself: BASE..HEAD")
