"""Surface: ``agentreview hook NAME ARGS…``, what the native hooks and the hook frameworks run.

Everything is printed to stderr: git shows it, and ``git push --porcelain`` keeps its stdout. Only pre-push reads
standard input. Standard library only at the top: a commit waits for this module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .callers import STAGES, amends, committing_command, committing_process, framework_stage
from .console import guarded, say, write
from .errors import ExitCode, IncompleteError, UsageError
from .model import Decision

if TYPE_CHECKING:
    from .background import Reviewer
    from .git import Repository
    from .model import Verdict
    from .store import Store

IN_PROGRESS = ("rebase-merge", "rebase-apply", "CHERRY_PICK_HEAD", "REVERT_HEAD")
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
        return _push_of_framework(repo)
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
        # During a rebase git amends by itself, to reword: what that is about is settled when it is pushed.
        amend = record and amends(committing_command()) and not _under_way(repo, ("rebase-merge", "rebase-apply"))
        verdict = judge_index(repo, reviewer=reviewer, amend=amend, tell=_tell)
    _show(verdict)
    if record:
        store = _store(repo)
        if verdict.decision is Decision.PASS:
            warning = store.write_judged(
                verdict.base, verdict.tree, Decision.PASS.value, committing_process(), amend=amend
            )
            if warning:
                say(warning)
        else:
            store.clear_judged()
    elif verdict.base == verdict.tree:
        say("nothing is staged, so nothing was reviewed; in CI give the range: --from-ref BASE --to-ref HEAD")
    return _EXIT[verdict.decision]


def _prepare_commit_msg(repo: Repository, args: tuple[str, ...]) -> int:
    """Refuse another tree than the one that was judged for this commit, and a commit that nothing judged.

    Not while git itself goes on with something: what comes of a rebase, cherry-pick, revert or merge is settled when it
    is pushed, and in CI, because a refusal would strand it half way.
    """
    from .snapshot import base_tree, parent_tree, staged_tree

    store = _store(repo)
    record = store.read_judged()
    judged = record is not None and record.process == committing_process() and record.decision == Decision.PASS.value
    command = committing_command()
    replaces = args[1:3] == ("commit", "HEAD")  # the message is that of the commit which an amend replaces
    if record is not None and judged:
        store.clear_judged()
        tree = staged_tree(repo)
        if record.tree != tree:
            changed = ", ".join(_changed(repo, record.tree, tree))
            say(f"the index changed during the review: {changed}. Nothing was committed; run git commit again")
            return ExitCode.BLOCKED
        if record.amend or not replaces:
            return ExitCode.PASS
    if _under_way(repo, IN_PROGRESS):
        return ExitCode.PASS
    amend = replaces or amends(command)
    base, tree = parent_tree(repo) if amend else base_tree(repo), staged_tree(repo)
    if base == tree or _known(repo, store, base, tree):
        return ExitCode.PASS
    if command[:1] not in {(), ("commit",)} or _under_way(repo, ("MERGE_HEAD",)):
        say(f"this {command[0] if command else 'commit'} was not reviewed here: it is when it is pushed, and in CI")
        return ExitCode.PASS
    if judged or not store.recordable():  # only what an amend adds was judged, or nobody can tell what was
        return _judge_now(repo, amend=amend)
    return _bypass(repo, store, base, tree)


def _under_way(repo: Repository, states: Sequence[str]) -> bool:
    return any(os.path.exists(f"{repo.git_dir}/{state}") for state in states)  # noqa: PTH110


def _known(repo: Repository, store: Store, base: str, tree: str) -> bool:
    """Whether this change passed before, here or as another commit, or somebody has said why it goes without."""
    from .room import kept_here

    found = store.load(base, tree, kept_here(repo.git_dir))
    if found is not None and found[0] == Decision.PASS.value:
        return True
    from .history import Standing, settled
    from .review import utc_date

    (state,) = settled(repo, [(base, tree)], today=utc_date())
    return state.standing is Standing.BYPASSED or (found is None and state.standing is not Standing.MISSING)


def _judge_now(repo: Repository, *, amend: bool) -> int:
    from .review import judge_index

    verdict = judge_index(repo, amend=amend)
    _show(verdict)
    return _EXIT[verdict.decision]


def _bypass(repo: Repository, store: Store, base: str, tree: str) -> int:
    """Refuse a commit that went around the review, unless a person says why: then that is written down."""
    from .bypass import VARIABLE, record, stated_reason

    reason = stated_reason(os.environ.get(VARIABLE))
    if reason is None:
        say(
            "this commit was not reviewed (--no-verify, or the pre-commit hook is missing): refused. Commit without"
            f" --no-verify; a person who has to go around the gate says why: {VARIABLE}='the reason' git commit"
            " --no-verify, which is recorded, and CI fails until it is waived"
        )
        return ExitCode.BLOCKED
    record(repo, store, base, tree, reason)
    say(f"not reviewed, and recorded: {reason}; CI fails until that is waived")
    return ExitCode.PASS


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
    """Settle every commit that a pushed ref has and the remote has not. The lines are git's."""
    from .pushed import receipts_along, settle, span_of, updates

    remote = args[0] if args else ""
    if sys.stdin is None or sys.stdin.isatty():
        fix = "To review a range by hand: agentreview --range BASE..HEAD"
        raise UsageError("pre-push reads git's list of refs from standard input", fix=fix)
    found = updates(sys.stdin.buffer.read().decode("utf-8", "surrogateescape"))
    code = settle(repo, [span_of(repo, remote, update) for update in found])
    if found and code is ExitCode.PASS:
        receipts_along(repo, remote, found[0])
    return code


def _push_of_framework(repo: Repository) -> int:
    """Settle the range a hook framework announces: the first ref of a push, all it tells of."""
    from .pushed import settle

    return settle(repo, [_framework_range(repo)])


def _framework_range(repo: Repository) -> tuple[str, tuple[str, ...]]:
    """Read the range a hook framework announces in the environment; raises when it is not complete."""
    from .pushed import Update, span_of
    from .snapshot import resolve

    before, after = os.environ.get("PRE_COMMIT_FROM_REF"), os.environ.get("PRE_COMMIT_TO_REF")
    head = resolve(repo, after or os.environ.get("PRE_COMMIT_LOCAL_BRANCH") or "HEAD", "commit")
    if before:
        base = _git_line(repo, "merge-base", resolve(repo, before, "commit"), head)
        if not base:
            raise IncompleteError("the ends of the range have no common history here", fix="Run git fetch --unshallow")
        return head, (f"^{base}",)
    update = Update(local=head, remote_ref=os.environ.get("PRE_COMMIT_REMOTE_BRANCH", ""), known="")
    return span_of(repo, os.environ.get("PRE_COMMIT_REMOTE_NAME", ""), update)


def _git_line(repo: Repository, *args: str) -> str:
    """Return the first line git prints, or "" when it fails or prints nothing."""
    from .git import run

    return run(repo, *args, check=False).decode("utf-8", "surrogateescape").partition("\n")[0]


def _store(repo: Repository) -> Store:
    from .store import Store

    return Store(repo.store_dir, repo.state_dir)


def _tell(kind: str, text: str) -> None:
    """Say what model reviewers do, where any are asked: a commit that waits should say for what."""
    if kind in ("reading", "done"):
        from .reporters.text import escape

        say(escape(text))


def _show(verdict: Verdict) -> None:
    from .review import render_for_hook

    text = render_for_hook(verdict)
    if text:
        write(text if text.endswith("\n") else text + "\n")
