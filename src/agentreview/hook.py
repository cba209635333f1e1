"""Surface: ``agentreview hook NAME ARGS…``, what the native hooks and the hook frameworks run.

Everything is printed to stderr: git shows it, and ``git push --porcelain`` keeps its stdout. Only pre-push reads
standard input. Standard library only at the top: a commit waits for this module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .callers import STAGES, committing_process, framework_stage
from .console import guarded, say, write
from .errors import ExitCode, IncompleteError, UsageError
from .model import Decision

if TYPE_CHECKING:
    from .background import Reviewer
    from .git import Repository
    from .model import Verdict
    from .store import Store

IN_PROGRESS = ("rebase-merge", "rebase-apply", "CHERRY_PICK_HEAD", "REVERT_HEAD")
OWN_REFS = "refs/agentreview/"  # receipts: not code
MAX_LISTED = 5

_EXIT = {Decision.PASS: ExitCode.PASS, Decision.BLOCK: ExitCode.BLOCKED, Decision.INCOMPLETE: ExitCode.INCOMPLETE}


def main(name: str, args: Sequence[str], reviewer: Reviewer | None = None) -> int:
    """Run one hook and return its exit code. Every failure is one line on stderr; none is a pass."""
    return guarded(lambda: _run(name, tuple(args), reviewer), task="the review")


def _run(name: str, args: tuple[str, ...], reviewer: Reviewer | None) -> int:
    from .git import open_repository

    if name == "auto":
        name, args = framework_stage(args)
    if name not in {*STAGES, "range", "manual"}:
        raise UsageError(f"unknown hook {name!r}", fix=f"Known are {', '.join(STAGES)} and auto")
    if name in ("pre-commit", "pre-merge-commit", "manual"):
        return _pre_commit(reviewer, record=name != "manual")
    repo = open_repository()
    if name == "range":
        return _judge_ranges(repo, [_framework_range(repo)])
    if name == "pre-push":
        return _pre_push(repo, args)
    if name == "prepare-commit-msg":
        return _prepare_commit_msg(repo, args)
    raise AssertionError(f"unreachable: {name}")


def _pre_commit(started: Reviewer | None, *, record: bool) -> int:
    from .background import Reviewer

    with started or Reviewer() as reviewer:  # loads the engine while git is found and asked
        from .git import open_repository
        from .review import judge_index

        repo = open_repository()
        verdict = judge_index(repo, reviewer=reviewer)
    _show(verdict)
    if record:
        store = _store(repo)
        if verdict.decision is Decision.PASS:
            warning = store.write_judged(verdict.base, verdict.tree, Decision.PASS.value, committing_process())
            if warning:
                say(warning)
        else:
            store.clear_judged()
    elif verdict.base == verdict.tree:
        say("nothing is staged, so nothing was reviewed; in CI give the range: --from-ref BASE --to-ref HEAD")
    return _EXIT[verdict.decision]


def _prepare_commit_msg(repo: Repository, args: tuple[str, ...]) -> int:
    """Compare the tree with the one that was judged for this commit. Refuses only when it is another one."""
    from .snapshot import base_tree, staged_tree

    store = _store(repo)
    record = store.read_judged()
    judged = record is not None and record.process == committing_process() and record.decision == Decision.PASS.value
    if record is not None and judged:
        store.clear_judged()
        tree = staged_tree(repo)
        if record.tree != tree:
            changed = ", ".join(_changed(repo, record.tree, tree))
            say(f"the index changed during the review: {changed}. Nothing was committed; run git commit again")
            return ExitCode.BLOCKED
    if any(os.path.exists(f"{repo.git_dir}/{state}") for state in IN_PROGRESS):  # noqa: PTH110
        return ExitCode.PASS  # git runs no pre-commit for these, and a refusal would strand them half way
    base, tree = base_tree(repo), staged_tree(repo)
    if not judged and base != tree and not _passed(store, base, tree):
        say("this commit was not reviewed here (--no-verify, or pre-commit is not installed); CI will review it")
    elif args[1:3] == ("commit", "HEAD") and not _amended_passed(repo, store, base, tree):
        say("only what the amend adds was reviewed: the amended commit was not; all of it: agentreview --commit HEAD")
    return ExitCode.PASS


def _passed(store: Store, base: str, tree: str) -> bool:
    from .version import engine_version

    found = store.load(base, tree, engine_version())
    return found is not None and found[0] == Decision.PASS.value


def _amended_passed(repo: Repository, store: Store, replaced: str, tree: str) -> bool:
    """Whether the replaced commit, or the whole of its replacement, passed against the parent."""
    from .snapshot import empty_tree

    parent = _git_line(repo, "rev-parse", "--verify", "--quiet", "HEAD^1^{tree}") or empty_tree(repo)
    return parent in {replaced, tree} or _passed(store, parent, replaced) or _passed(store, parent, tree)


def _changed(repo: Repository, before: str, after: str) -> Iterator[str]:
    """``M app.py`` for the first few paths that differ, escaped."""
    from .git import run
    from .reporters.text import escape

    raw = run(repo, "diff-tree", "-r", "-z", "--name-status", "--no-renames", before, after)
    fields = raw.decode("utf-8", "surrogateescape").split("\0")[:-1]
    entries = list(zip(fields[::2], fields[1::2], strict=False))
    for status, path in entries[:MAX_LISTED]:
        yield f"{status} {escape(path)}"
    if len(entries) > MAX_LISTED:
        yield f"and {len(entries) - MAX_LISTED} more"


def _pre_push(repo: Repository, args: tuple[str, ...]) -> int:
    """Review what each pushed ref has and the remote has not. The lines are git's: local ref, oid, remote ref, oid."""
    remote = args[0] if args else ""
    if sys.stdin is None or sys.stdin.isatty():
        fix = "To review a range by hand: agentreview --range BASE..HEAD"
        raise UsageError("pre-push reads git's list of refs from standard input", fix=fix)
    ranges: list[tuple[str, str] | None] = []
    for line in sys.stdin.buffer.read().decode("utf-8", "surrogateescape").split("\n")[:-1]:
        fields = line.rsplit(" ", 3)
        if len(fields) != 4:
            raise IncompleteError("git's list of pushed refs cannot be read", fix="Push again; see agentreview doctor")
        _, local, remote_ref, known = fields
        if not local.strip("0") or remote_ref.startswith(OWN_REFS):
            continue  # a deletion brings no code
        ranges.append(_new_on_remote(repo, remote, local, known))
    return _judge_ranges(repo, ranges)


def _new_on_remote(repo: Repository, remote: str, local: str, known: str) -> tuple[str, str] | None:
    """Find the (base, head) that covers what the remote has not, or None when it has everything."""
    from .git import run
    from .snapshot import empty_tree

    head = _git_line(repo, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{local}^{{commit}}")
    if not head:
        fix = "Push it with --no-verify if that is intended"
        raise IncompleteError(f"{local[:12]} is pushed, but is not a commit", fix=fix)
    there = known if known.strip("0") else ""
    if there and _git_line(repo, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{there}^{{commit}}"):
        base = _git_line(repo, "merge-base", there, head)
        if base:
            return None if base == head else (base, head)
    # A new branch, or one that somebody else moved: leave out what any branch of that remote is known to have.
    tracked = remote and _git_line(repo, "for-each-ref", "--count=1", f"refs/remotes/{remote}/")
    refs = f"--remotes={remote}" if tracked else "--remotes"
    listed = run(repo, "rev-list", "--boundary", head, "--not", refs).decode("ascii").split()
    if all(oid.startswith("-") for oid in listed):
        return None
    boundary = [oid[1:] for oid in listed if oid.startswith("-")]
    base = _git_line(repo, "merge-base", head, *boundary[:200]) if boundary else ""
    return base or empty_tree(repo), head


def _judge_ranges(repo: Repository, ranges: Sequence[tuple[str, str] | None]) -> int:
    from .review import judge_range

    worst = ExitCode.PASS
    for base, head in dict.fromkeys(item for item in ranges if item):
        verdict = judge_range(repo, base, head)
        _show(verdict)
        code = _EXIT[verdict.decision]
        if code is ExitCode.BLOCKED or worst is ExitCode.PASS:
            worst = code
    return worst


def _framework_range(repo: Repository) -> tuple[str, str] | None:
    """Read the range a hook framework announces in the environment; raises when it is not complete."""
    from .snapshot import resolve

    before, after = os.environ.get("PRE_COMMIT_FROM_REF"), os.environ.get("PRE_COMMIT_TO_REF")
    head = resolve(repo, after or os.environ.get("PRE_COMMIT_LOCAL_BRANCH") or "HEAD", "commit")
    if before:
        base = _git_line(repo, "merge-base", resolve(repo, before, "commit"), head)
        if not base:
            raise IncompleteError("the ends of the range have no common history here", fix="Run git fetch --unshallow")
        return base, head
    return _new_on_remote(repo, os.environ.get("PRE_COMMIT_REMOTE_NAME", ""), head, "")


def _git_line(repo: Repository, *args: str) -> str:
    """Return the first line git prints, or "" when it fails or prints nothing."""
    from .git import run

    return run(repo, *args, check=False).decode("utf-8", "surrogateescape").partition("\n")[0]


def _store(repo: Repository) -> Store:
    from .store import Store

    return Store(repo.store_dir, repo.state_dir)


def _show(verdict: Verdict) -> None:
    from .review import render_for_hook

    text = render_for_hook(verdict)
    if text:
        write(text if text.endswith("\n") else text + "\n")
