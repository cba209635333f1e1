"""Review a change and record the verdict: the only module that knows the edges and the core.

:func:`judge_index` is what hooks and the command line call: look the verdict up, else have it reviewed (:mod:`agentreview.background`), then keep it.
The verdict is a function of (base tree, tree, version, date): configuration and waivers are in the tree, waivers expire.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from agentreview.background import Reviewer
from agentreview.model import BY_WORKFLOW, REVIEWER, Asked, Decision, Outcome, Snapshot, Verdict
from agentreview.records import replace

if TYPE_CHECKING:
    from agentreview.config import Config
    from agentreview.git import Repository
    from agentreview.store import Store

Progress = Callable[[int, int], None]
Told = Callable[[str, str], None]
HOOK = Asked()  # the reviewers that the configuration enables, in the time of a hook
LAST = "last.json"  # per worktree: the last verdict, for `agentreview explain`


def judge_index(
    repo: Repository, *, fresh: bool = False, progress: Progress | None = None, reviewer: Reviewer | None = None,
    amend: bool = False, asked: Asked = HOOK, tell: Told | None = None,
) -> Verdict:  # fmt: skip
    """Judge what the next commit in this worktree would change.

    ``fresh`` ignores a verdict that is already known; ``reviewer`` is one that the caller has started already. With
    ``amend`` the next commit replaces HEAD, and all of it is judged, not only what is added to it. ``asked`` are the model
    reviewers, of whom ``tell`` hears.
    """
    from agentreview.snapshot import head, parent_tree, staged_tree

    with reviewer or Reviewer() as started:
        base, branch = head(repo)
        if amend:
            base = parent_tree(repo)
        source = f"worktree {repo.root}" if repo.foreign else "index"
        return _judge(
            repo, started, base, staged_tree(repo), branch=branch, source=source, fresh=fresh, progress=progress, asked=asked, tell=tell
        )  # fmt: skip


def judge_range(
    repo: Repository, base: str, head: str, *, fresh: bool = False, progress: Progress | None = None
) -> Verdict:
    """Judge what turns ``base`` into ``head`` (commits or trees)."""
    from agentreview.snapshot import resolve

    source = f"range {base[:12]}..{head[:12]}"
    with Reviewer() as started:
        return _judge(
            repo,
            started,
            resolve(repo, base, "tree"),
            resolve(repo, head, "tree"),
            source=source,
            fresh=fresh,
            progress=progress,
        )


def judge_spec(
    repo: Repository, spec: str, *, fresh: bool = False, progress: Progress | None = None, asked: Asked = HOOK, tell: Told | None = None
) -> Verdict:  # fmt: skip
    """Judge ``BASE..HEAD`` or ``BASE...HEAD`` as the user wrote it."""
    from agentreview.snapshot import range_snapshot

    with Reviewer() as started:
        found = range_snapshot(repo, spec)
        return _judge(
            repo, started, found.base, found.tree, source=found.source, fresh=fresh, progress=progress, snapshot=found, asked=asked, tell=tell
        )  # fmt: skip


def judge_commit(
    repo: Repository, revision: str, *, fresh: bool = False, progress: Progress | None = None, asked: Asked = HOOK, tell: Told | None = None
) -> Verdict:  # fmt: skip
    """Judge one commit against its first parent."""
    from agentreview.snapshot import commit_snapshot

    with Reviewer() as started:
        found = commit_snapshot(repo, revision)
        return _judge(
            repo, started, found.base, found.tree, source=found.source, fresh=fresh, progress=progress, snapshot=found, asked=asked, tell=tell
        )  # fmt: skip


def judge_for_ci(
    repo: Repository, base: str, head: str, policy: str, *, source: str, packs: Collection[str] | None = None,
    progress: Progress | None = None, tell: Told | None = None,
) -> Verdict:  # fmt: skip
    """Judge what turns the commit ``base`` into ``head`` by the rules of the commit ``policy``: the change brings none of its own.

    Configuration, policies of the project and approvers are read from ``policy``; of the waivers the change adds only those count that an approver
    signed for. What receipts know of its commits is looked up: see :mod:`agentreview.coverage`. Nothing is looked up or kept: another machine's verdicts are not this one's. A receipt is written, unless only
    some packs were asked.
    """
    from concurrent.futures import ThreadPoolExecutor
    from functools import partial

    from agentreview.approvals import accepted
    from agentreview.config import Requirement
    from agentreview.coverage import coverage
    from agentreview.git import read_files
    from agentreview.snapshot import resolve
    from agentreview.surroundings import WAIVERS, GitTrees, configuration
    from agentreview.version import engine_version

    with Reviewer() as started:
        tree = resolve(repo, head, "tree")
        rules = configuration(repo, policy)
        landed = rules.pop(WAIVERS, None)
        files = {**rules, **read_files(repo, tree, (WAIVERS,))}
        brought = configuration(repo, tree)
        _try_policies(brought, rules)
        config = _configured(rules)
        look_up = partial(coverage, repo, base, head, config, policy=policy, today=utc_date())
        once = packs is None or "conduct" in packs  # of several shards, this one
        asking = Asked(
            surface="ci", store=repo.store_dir, state=repo.state_dir, rules=resolve(repo, policy, "tree"), elsewhere=not once
        )  # fmt: skip
        with ThreadPoolExecutor(1) as beside:  # signatures are checked during the review
            seen = beside.submit(look_up if once else lambda: (None, ()))
            snapshot = _snapshot(repo, resolve(repo, base, "tree"), tree, None, source, _size_limit(files))
            signed = accepted(repo, base, head, snapshot, config, policy=policy)
            trees = GitTrees(repo, engine_version())
            verdict = started.verdict(
                snapshot, files, progress, trees, today=utc_date(), accepted=signed, packs=packs,
                known=lambda: seen.result()[1], asked=asking, tell=tell, landed=landed,
            )  # fmt: skip
    shown = seen.result()[0] if config.ci.require_receipts is not Requirement.OFF else None
    touched = {path for c in snapshot.changes for path in (c.path, c.old_path) if path}
    notes = (*verdict.notes, *_judged_by(rules, brought, touched, policy))
    verdict = replace(verdict, version=engine_version(), coverage=shown, notes=notes)
    if verdict.decision is not Decision.INCOMPLETE and packs is None:
        verdict = _receipted(repo, verdict, snapshot, rules, resolve(repo, policy, "tree"))
    _remember(repo, verdict)
    return verdict


def _judge(
    repo: Repository, reviewer: Reviewer, base: str, tree: str, *, source: str, fresh: bool, progress: Progress | None,
    branch: str | None = None, snapshot: Snapshot | None = None, asked: Asked = HOOK, tell: Told | None = None,
) -> Verdict:  # fmt: skip
    from agentreview.ledger import LOST
    from agentreview.room import in_room, named_by
    from agentreview.store import Store
    from agentreview.version import engine_version

    version = engine_version()
    asked = in_room(repo.git_dir, asked)
    kept_as = version + named_by(asked)
    store = Store(repo.store_dir, repo.state_dir)
    today = utc_date()
    known = None if fresh or asked.dry else _known(store, base, tree, kept_as, today)
    if known is not None:
        verdict = replace(known, cached=True, worktree=repo.root, branch=branch, source=source)
    else:
        from agentreview.surroundings import GitTrees, configuration

        files = configuration(repo, tree)
        limit = _size_limit(files)
        if snapshot is None or limit is not None:
            snapshot = _snapshot(repo, base, tree, branch, source, limit)
        trees = GitTrees(repo, version)
        asked = replace(asked, store=repo.store_dir, state=repo.state_dir)
        verdict = reviewer.verdict(snapshot, files, progress, trees, today=today, asked=asked, tell=tell)
        verdict = replace(verdict, version=version)
        if asked.dry:
            return verdict
        if verdict.decision is not Decision.INCOMPLETE:  # what could not be reviewed may be reviewable next time
            # The receipt first: with a kept verdict alone, the look-up would let this change pass without one for good.
            judged, verdict = verdict, _receipted(repo, verdict, snapshot, files)
            lost = any(note.startswith(LOST) for note in verdict.notes)
            if not lost and _lasts(judged, asked):
                warning = store.save(base, tree, kept_as, judged.decision.value, _body(judged), until=judged.until)
                if warning:
                    verdict = replace(verdict, notes=(*verdict.notes, warning))
            if tree.startswith("00"):  # one change in 256 pays for tidying up
                from agentreview.housekeeping import collect

                collect(repo)
    _remember(repo, verdict)
    return verdict


def known_verdict(repo: Repository, base: str, tree: str) -> tuple[Verdict, float | None] | None:
    """The verdict that is kept of a change, as the configuration has it reviewed, and when it was kept. Reviews nothing."""
    from agentreview.room import kept_here
    from agentreview.store import Store

    store, kept_as = Store(repo.store_dir, repo.state_dir), kept_here(repo.git_dir)
    found = _known(store, base, tree, kept_as, utc_date())
    return None if found is None else (found, store.kept_at(base, tree, kept_as))


def never_judged(repo: Repository, base: str) -> bool:
    """Whether no change of this base tree has a verdict here, so that nobody needs to know what the staged tree is."""
    from agentreview.room import kept_here
    from agentreview.store import Store

    last = last_verdict(repo)
    known = Store(repo.store_dir, repo.state_dir).any_of(base, kept_here(repo.git_dir))
    return not known and (last is None or last.base != base)


def _lasts(verdict: Verdict, asked: Asked) -> bool:
    """Whether a verdict is a function of the trees: no reviewer failed, and none was chosen by the branch's name."""
    failed = any(run.agent.startswith(REVIEWER) and run.outcome is not Outcome.COMPLETED for run in verdict.runs)
    by_branch = not asked.workflow and any(note.startswith(BY_WORKFLOW) for note in verdict.notes)
    return not failed and not by_branch


def _receipted(
    repo: Repository, verdict: Verdict, snapshot: Snapshot, files: Mapping[str, bytes], read_from: str = ""
) -> Verdict:
    """Write the receipt; a warning becomes a note of this verdict, not of the kept one."""
    if verdict.base == verdict.tree:
        return verdict
    from agentreview.issuing import issue
    from agentreview.receipts import entries_of

    warning = issue(
        repo, verdict, entries_of(snapshot.changes), files, commit=snapshot.commit or "", read_from=read_from
    )
    return replace(verdict, notes=(*verdict.notes, warning)) if warning else verdict


def _snapshot(repo: Repository, base: str, tree: str, branch: str | None, source: str, limit: int | None) -> Snapshot:
    from agentreview.changes import SIZE_LIMIT, changes

    found = changes(repo, base, tree, limit=max(limit or 0, SIZE_LIMIT))
    return Snapshot(base=base, tree=tree, changes=found, worktree=repo.root, branch=branch, source=source)


def _size_limit(files: Mapping[str, bytes]) -> int | None:
    """Return the configured file size where a project sets one; the configuration proper is read by the review."""
    if not any(b"max_file_bytes" in content for content in files.values()):
        return None
    from agentreview.config import load_config
    from agentreview.policies.project import known_ids

    return load_config(files.get, known_policies=known_ids(files)).limits.max_file_bytes


def _judged_by(
    rules: Mapping[str, bytes], brought: Mapping[str, bytes], touched: Collection[str], policy: str
) -> tuple[str, ...]:
    """Say whose settings count where the change has others."""
    from agentreview.config import PYPROJECT_NAME, document
    from agentreview.errors import ConfigError
    from agentreview.git import shown
    from agentreview.surroundings import WAIVERS
    from agentreview.waiverfile import SIGNERS_NAME

    def ours(path: str, held: Mapping[str, bytes]) -> object:
        data = held.get(path)
        if path != PYPROJECT_NAME or data is None:
            return data
        try:
            return document(data, path).get("tool", {}).get("agentreview") if b"agentreview" in data else None
        except (ConfigError, AttributeError):
            return data

    # Profiles, workflows and what reviewers know are read from the base as well: see agentreview.reviewers.
    more = {path for path in touched if path.startswith(".agents/") or path == SIGNERS_NAME}
    paths = {path for path in {*rules, *brought} - {WAIVERS} if ours(path, rules) != ours(path, brought)}
    other = [shown(path) for path in sorted(paths | more)]
    if not other:
        return ()
    named = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
    verb = "is" if len(other) == 1 else "are"
    return (f"{named} {verb} not as on the base: judged by what the base has ({policy[:12]})",)


def _try_policies(brought: Mapping[str, bytes], rules: Mapping[str, bytes]) -> None:
    """Raise ConfigError for a project policy of a change that judges nothing yet, and would stop every review later."""
    from agentreview.surroundings import FOLDERS

    files = {path: data for path, data in brought.items() if path.startswith(FOLDERS)}
    if any(rules.get(path) != data for path, data in files.items()):
        from agentreview.policies.project import load_with
        from agentreview.worker import examine_in_workers

        mistake = load_with(files, examine_in_workers).mistake
        if mistake is not None:
            raise mistake


def utc_date() -> str:
    """Today, as ISO text: waivers expire on the same day everywhere."""
    import time

    return time.strftime("%Y-%m-%d", time.gmtime())


def read_config(repo: Repository, tree: str) -> Config:
    """Read the configuration of a tree. Raises ConfigError for a mistake in it."""
    from agentreview.surroundings import configuration

    return _configured(configuration(repo, tree))


def _configured(files: Mapping[str, bytes]) -> Config:
    from agentreview.config import load_config
    from agentreview.policies.project import known_ids

    return load_config(files.get, known_policies=known_ids(files))


# -- keeping -------------------------------------------------------------------------------------------------------


def _body(verdict: Verdict) -> bytes:
    from agentreview.reporters.jsonreport import dumps

    return dumps(verdict).encode("ascii")


def _known(store: Store, base: str, tree: str, version: str, today: str) -> Verdict | None:
    found = store.load(base, tree, version, today=today)
    if found is None:
        return None
    from agentreview.reporters.jsonreport import loads

    try:
        return loads(found[1].decode("ascii"))
    except ValueError:
        return None


def _remember(repo: Repository, verdict: Verdict) -> None:
    """Keep this worktree's last verdict for `explain`. Losing it costs an explanation, never a verdict."""
    import os

    path = f"{repo.state_dir}/{LAST}"
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(repo.state_dir, exist_ok=True)  # noqa: PTH103 - the hook path
        with open(temporary, "wb") as file:  # noqa: PTH123
            file.write(_body(verdict))
        os.replace(temporary, path)  # noqa: PTH105
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108


def last_verdict(repo: Repository) -> Verdict | None:
    """Return this worktree's last verdict, or ``None`` when there is none (or none that can be read)."""
    from agentreview.reporters.jsonreport import loads

    try:
        with open(f"{repo.state_dir}/{LAST}", encoding="ascii") as file:  # noqa: PTH123
            return loads(file.read())
    except (OSError, ValueError):
        return None


def render_for_hook(verdict: Verdict) -> str:
    """The report a commit shows: in full when it blocks, one line when it passes."""
    import sys

    from agentreview.console import colored, width
    from agentreview.reporters import REPORTERS

    return REPORTERS["terminal"](verdict, color=colored(sys.stderr, "auto"), width=width(sys.stderr))
