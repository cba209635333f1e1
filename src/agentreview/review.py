"""Review a change and record the verdict: the only module that knows the edges and the core.

:func:`judge_index` is what hooks and the command line call: look the verdict up, else :func:`review` it, then keep it.
The verdict is a function of (base tree, tree, version): configuration and waivers are in the tree.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from agentreview.model import AgentRun, Decision, Finding, Hit, Outcome, Skipped, Snapshot, Status, Verdict

if TYPE_CHECKING:
    from agentreview.config import Config
    from agentreview.git import Repository

Progress = Callable[[int, int], None]
LAST = "last.json"  # per worktree: the last verdict, for `agentreview explain`


def judge_index(repo: Repository, *, fresh: bool = False, progress: Progress | None = None) -> Verdict:
    """Judge what the next commit in this worktree would change. ``fresh`` ignores a verdict that is already known."""
    from agentreview.snapshot import head, staged_tree

    base, branch = head(repo)
    source = f"worktree {repo.root}" if repo.foreign else "index"
    return _judge(repo, base, staged_tree(repo), branch=branch, source=source, fresh=fresh, progress=progress)


def judge_range(repo: Repository, base: str, head: str, *, fresh: bool = False, progress: Progress | None = None) -> Verdict:
    """Judge what turns ``base`` into ``head`` (commits or trees)."""
    from agentreview.snapshot import resolve

    source = f"range {base[:12]}..{head[:12]}"
    return _judge(repo, resolve(repo, base, "tree"), resolve(repo, head, "tree"), branch=None, source=source, fresh=fresh, progress=progress)


def judge_spec(repo: Repository, spec: str, *, fresh: bool = False, progress: Progress | None = None) -> Verdict:
    """Judge ``BASE..HEAD`` or ``BASE...HEAD`` as the user wrote it."""
    from agentreview.snapshot import range_snapshot

    snapshot = range_snapshot(repo, spec)
    return _judge(repo, snapshot.base, snapshot.tree, branch=None, source=snapshot.source, fresh=fresh, progress=progress, snapshot=snapshot)


def judge_commit(repo: Repository, revision: str, *, fresh: bool = False, progress: Progress | None = None) -> Verdict:
    """Judge one commit against its first parent."""
    from agentreview.snapshot import commit_snapshot

    snapshot = commit_snapshot(repo, revision)
    return _judge(repo, snapshot.base, snapshot.tree, branch=None, source=snapshot.source, fresh=fresh, progress=progress, snapshot=snapshot)


def _judge(
    repo: Repository, base: str, tree: str, *, branch: str | None, source: str, fresh: bool, progress: Progress | None, snapshot: Snapshot | None = None,
) -> Verdict:  # fmt: skip
    from agentreview.store import Store
    from agentreview.version import engine_version

    version = engine_version()
    store = Store(repo.store_dir, repo.state_dir)
    known = None if fresh else _known(store, base, tree, version)
    if known is not None:
        verdict = replace(known, cached=True, worktree=repo.root, branch=branch, source=source)
    else:
        from agentreview.changes import SIZE_LIMIT, changes

        config = read_config(repo, tree)
        if snapshot is None:
            snapshot = Snapshot(base=base, tree=tree, changes=changes(repo, base, tree, limit=max(SIZE_LIMIT, config.limits.max_file_bytes)), worktree=repo.root, branch=branch, source=source)
        verdict = replace(review(snapshot, config, progress=progress), version=version)
        warning = record(store, verdict, version)
        if warning:
            verdict = replace(verdict, notes=(*verdict.notes, warning))
    _remember(repo, verdict)
    return verdict


def read_config(repo: Repository, tree: str) -> Config:
    """Read the configuration of a tree. Raises ConfigError for a mistake in it."""
    from agentreview.config import CONFIG_NAME, PYPROJECT_NAME, load_config
    from agentreview.git import read_files
    from agentreview.policies.load import load

    files = read_files(repo, tree, (CONFIG_NAME, PYPROJECT_NAME))
    return load_config(files.get, known_policies=load().ids())


def review(snapshot: Snapshot, config: Config, *, progress: Progress | None = None) -> Verdict:
    """Compute the verdict of a snapshot: policies, anchoring, waivers, triage. Touches nothing outside the process."""
    from agentreview import waivers
    from agentreview.config import Level
    from agentreview.policies.compare import Engine
    from agentreview.policies.load import load
    from agentreview.policies.run import review_changes
    from agentreview.triage import decide, order, settle
    from agentreview.worker import review_in_workers

    started = time.perf_counter()
    catalogue = load()
    engine = Engine(catalogue, config)
    reviewed = review_changes(snapshot.changes, engine, lambda changes, run: review_in_workers(changes, run, progress))
    rules = {p.id: p.rule for p in catalogue.policies}
    findings, unanchored = _anchored(snapshot, reviewed.claims, rules)
    inline = [w for change in snapshot.changes for w in waivers.find(change)]
    waived, notes = waivers.apply(findings, inline)
    settled = order(settle(f, config) for f in waived)
    failed = [f"{path}: {reason}" for path, reason in (*reviewed.failed, *unanchored)]
    runs = []
    for pack in sorted({p.pack for p in catalogue.policies}):
        ids = tuple(p.id for p in catalogue.policies if p.pack == pack and config.level(p.id) is not Level.OFF)
        outcome = Outcome.FAILED if failed and ids else Outcome.COMPLETED if ids else Outcome.SKIPPED
        reason = "; ".join(failed) if failed and ids else "" if ids else f"switched off in {config.path}"
        runs.append(AgentRun(agent=f"policy:{pack}", digest=catalogue.digest, outcome=outcome, reason=reason, rules=ids))
    used = {f.rule for f in settled}
    return Verdict(
        decision=decide(settled, runs), base=snapshot.base, tree=snapshot.tree, findings=settled, runs=tuple(runs), skipped=_described(reviewed.skipped),
        rules=tuple(rules[r] for r in sorted(used)), notes=(*notes, *_unset(settled, config)), files=reviewed.files,
        worktree=snapshot.worktree, branch=snapshot.branch, source=snapshot.source, seconds=round(time.perf_counter() - started, 3),
    )  # fmt: skip


def _anchored(snapshot, claims, rules) -> tuple[list[Finding], list[tuple[str, str]]]:  # type: ignore[no-untyped-def]
    from agentreview.anchor import anchor

    by_path = {c.path: c for c in snapshot.changes}
    findings: list[Finding] = []
    unanchored: list[tuple[str, str]] = []
    seen: set[str] = set()
    for claimed in claims:
        claim = claimed.claim
        rule = rules[claim.rule]
        found = anchor(claim, rule, by_path[claim.path], occurrence=claimed.occurrence, existing=claimed.existing, agent=f"policy:{rule.pack}")
        if found is None:
            # A policy's own claim must be where it says: if it is not, nothing else it said can be trusted.
            unanchored.append((claim.path, f"{claim.rule} points at line {claim.start_line}, which does not hold what it quotes"))
        elif found.fingerprint not in seen:
            seen.add(found.fingerprint)
            findings.append(found)
    return findings, unanchored


def _described(skipped: tuple[Skipped, ...]) -> tuple[Skipped, ...]:
    from agentreview.syntax import SKIP_REASONS

    return tuple(sorted((replace(s, detail=s.detail or SKIP_REASONS.get(s.reason, "")) for s in skipped), key=lambda s: (s.reason, s.path)))


def _unset(findings: tuple[Finding, ...], config: Config) -> tuple[str, ...]:
    """Say once which project facts would settle the suspects, instead of once a finding."""
    suspects = [f for f in findings if f.hit is Hit.SUSPECT and f.status is Status.ADVISORY]
    if not suspects:
        return ()
    needs = sorted({n for f in suspects for n in f.needs})
    if needs:
        return (f"not configured: {', '.join('facts.' + n for n in needs)}: findings that rest on them stay advice (agentreview init proposes them)",)
    if not config.facts.confirmed:
        return ("the project facts are not confirmed by a person (facts.confirmed_by): findings that rest on them stay advice",)
    return ()


# -- keeping -------------------------------------------------------------------------------------------------------


def record(store, verdict: Verdict, version: str) -> str | None:  # type: ignore[no-untyped-def]
    """Keep a finished verdict for every worktree. Returns a warning when that was not possible."""
    if verdict.decision is Decision.INCOMPLETE:
        return None
    from agentreview.reporters.jsonreport import dumps

    kept: str | None = store.save(verdict.base, verdict.tree, version, verdict.decision.value, dumps(verdict).encode("ascii"))
    return kept


def _known(store, base: str, tree: str, version: str) -> Verdict | None:  # type: ignore[no-untyped-def]
    found = store.load(base, tree, version)
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

    from agentreview.reporters.jsonreport import dumps

    path = f"{repo.state_dir}/{LAST}"
    try:
        os.makedirs(repo.state_dir, exist_ok=True)  # noqa: PTH103 - the hook path
        with open(f"{path}.{os.getpid()}", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(dumps(verdict))
        os.replace(f"{path}.{os.getpid()}", path)  # noqa: PTH105
    except OSError:
        return


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
    import os
    import sys

    from agentreview.reporters import REPORTERS

    color = sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return REPORTERS["terminal"](verdict, color=color, width=_width())


def _width() -> int:
    import os

    try:
        return max(60, min(os.get_terminal_size(2).columns, 120))
    except OSError:
        return 100
