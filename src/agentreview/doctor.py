"""Is the gate really in place here? Looks, has git run the hooks that are ours, and changes nothing.

Hooks go missing silently: a relative ``core.hooksPath``, a worktree with its own configuration, a manager that was
never told, an executable bit. So every worktree is asked what git would run there.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agentreview.records import dataclass, replace

from . import hookconfig
from .callers import STAGES
from .errors import AgentReviewError
from .firing import PROBE, fire
from .frontends import SIGNATURES, FrontEnd, detect, runs_stage, signed_by, switches
from .git import config_values
from .install import LEGACY, baked, is_ours, render_hook

if TYPE_CHECKING:
    from .git import Repository, WorktreeInfo

OK, WARN, FAIL = "ok", "warn", "fail"
FREE_BYTES = 10_000_000
MODEL_SECONDS = 15.0
INSTALL = "run: agentreview install"
HUSKY = "run there: npx husky"
CONFIG_INSTALL = "run: agentreview install --config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. ``status`` is ok, warn or fail; ``fix`` says what to do unless it is ok."""

    name: str
    status: str
    detail: str
    fix: str = ""


def diagnose(repo: Repository) -> tuple[Check, ...]:
    """Look at everything a commit depends on here, the most basic first. Raises nothing expected."""
    return tuple(_checks(repo))


def render(checks: tuple[Check, ...]) -> str:
    """Lay the checks out for a terminal: one line each, the fix below what is not ok, a summary at the end."""
    from .reporters.summary import count
    from .reporters.text import escape

    width = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        lines.append(f"{check.status:<4}  {check.name:<{width}}  {escape(check.detail)}")
        if check.fix:
            lines.append(f"{'':<4}  {'':<{width}}  -> {escape(check.fix)}")
    failed = sum(check.status == FAIL for check in checks)
    warned = sum(check.status == WARN for check in checks)
    gate = f"{failed} failed" if failed else "the gate is in place"
    return "\n".join([*lines, "", f"{gate}, {count(warned, 'warning')}" if warned else gate, ""])


def _checks(repo: Repository) -> Iterator[Check]:
    yield _git_version(repo)
    yield Check(name="repository", status=OK, detail=_place(repo))
    front_ends = detect(Path(repo.root))
    for stage in STAGES:
        yield _stage(repo, stage, front_ends)
    yield from _ignored_configuration(repo)
    for switch in switches(front_ends, Path(repo.hooks_dir)):
        yield Check(name="environment", status=FAIL if switch.certain else WARN, detail=switch.what, fix=switch.fix)
    yield from _hooks_path(repo)
    yield from _worktrees(repo)
    yield from (_front_end(front_end) for front_end in front_ends)
    yield _store(repo)
    policies = _policies(repo)
    yield policies[0]
    yield _configuration(repo, policies[1])
    yield from _reviewers(repo, policies[1])


def _git_version(repo: Repository) -> Check:
    from .git import MINIMUM_GIT, git_version, run

    said = run(repo, "version").decode("utf-8", "replace").strip()
    if git_version(repo) < tuple(int(part) for part in MINIMUM_GIT.split(".")):
        return Check(name="git", status=FAIL, detail=said, fix=f"install git {MINIMUM_GIT} or newer")
    return Check(name="git", status=OK, detail=said)


def _place(repo: Repository) -> str:
    linked = f", a worktree of {repo.common_dir}" if repo.git_dir != repo.common_dir else ""
    return f"{repo.root}{linked}, {'SHA-256' if repo.oid_length == 64 else 'SHA-1'} objects"


def missing_gate(repo: Repository) -> Check | None:
    """Say why git would not review a commit here, as far as looking tells; None where it would. Runs no hook."""
    front_ends = detect(Path(repo.root))
    check, _ = _placed(repo, STAGES[0], front_ends)
    if check.status == FAIL:
        return check
    certain = next((one for one in switches(front_ends, Path(repo.hooks_dir)) if one.certain), None)
    return Check(name="environment", status=FAIL, detail=certain.what, fix=certain.fix) if certain is not None else None


def _stage(repo: Repository, stage: str, front_ends: tuple[FrontEnd, ...]) -> Check:
    """Say what git would run for a stage here, and where that is ours, have git run it."""
    check, script = _placed(repo, stage, front_ends)
    if script is None or check.status == FAIL or PROBE.encode() not in _bytes(script):
        return check  # one of an older version would review instead of answering
    silent = fire(repo, stage)
    if silent:
        fix = CONFIG_INSTALL if script != Path(repo.hooks_dir, stage) else INSTALL
        if hookconfig.understood(repo) and hookconfig.refusal(repo):
            fix = f"put the configuration of hooks right; see: {hookconfig.SHOW}"
        return Check(name=check.name, status=_wrong(stage), detail=f"{check.detail}, but {silent}", fix=fix)
    return check if silent is None else replace(check, detail=f"{check.detail}; fired, and it answered")


def _placed(repo: Repository, stage: str, front_ends: tuple[FrontEnd, ...]) -> tuple[Check, Path | None]:
    """Look at what git would run for a stage here; with it, the script that is ours."""
    configured = hookconfig.our_scripts(repo).get(stage) if hookconfig.understood(repo) else None
    hook = Path(repo.hooks_dir, stage)
    if configured is None:
        check = _hook(hook, front_ends)
        if check.status != OK and any(one.name == f"{hookconfig.PREFIX}{stage}" for one in hookconfig.configured(repo)):
            check = replace(check, detail=f"{check.detail}, and hook.{hookconfig.PREFIX}{stage} is not in force")
        return check, hook if is_ours(hook) else None
    name = f"hook {stage}"
    check = _own_hook(name, configured, _wrong(stage), f", named by hook.{hookconfig.PREFIX}{stage}")
    if not os.access(configured, os.X_OK):
        detail = f"hook.{hookconfig.PREFIX}{stage} names {configured}, which is not an executable file"
        check = Check(name=name, status=_wrong(stage), detail=detail, fix=CONFIG_INSTALL)
    return check, configured


def _wrong(stage: str) -> str:
    """Without pre-commit nothing is reviewed; the rest warn."""
    return FAIL if stage == STAGES[0] else WARN


def _ignored_configuration(repo: Repository) -> Iterator[Check]:
    """Find hooks of ours that the configuration names and git does not run."""
    ours = [hook for hook in hookconfig.configured(repo) if hook.ours]
    if not ours:
        return
    if not hookconfig.understood(repo):
        needed = ".".join(map(str, hookconfig.MINIMUM_GIT))
        detail = f"this git is older than {needed} and ignores the hooks that its configuration names"
        yield Check(name="hook configuration", status=FAIL, detail=detail, fix=INSTALL)
        return
    for stage in STAGES:
        if stage not in hookconfig.our_scripts(repo):
            detail = f"hook.{hookconfig.PREFIX}{stage} is disabled or incomplete"
            fix = f"see: {hookconfig.SHOW} - take out what says enabled = false, then {CONFIG_INSTALL}"
            yield Check(name="hook configuration", status=FAIL if stage == STAGES[0] else WARN, detail=detail, fix=fix)


def _hook(hook: Path, front_ends: tuple[FrontEnd, ...]) -> Check:
    """Say whether git would run agentreview for this hook."""
    name, manager, wrong = f"hook {hook.name}", signed_by(hook), _wrong(hook.name)
    if not os.path.lexists(hook):
        husky = hook.parent.name == "_" and hook.parents[1].name == ".husky"
        fix = HUSKY if husky else INSTALL
        return Check(name=name, status=wrong, detail=f"there is none in {hook.parent}", fix=fix)
    if not os.access(hook, os.X_OK) or not hook.is_file():
        fix = f"run: chmod +x {hook}" if hook.is_file() else INSTALL
        return Check(name=name, status=wrong, detail=f"{hook} is not executable, so git skips it", fix=fix)
    if is_ours(hook):
        return _own_hook(name, hook, wrong)
    if is_ours(hook.with_name(hook.name + LEGACY)):
        return _own_hook(name, hook.with_name(hook.name + LEGACY), wrong, f" behind {manager or 'another hook'}")
    if manager == "husky":
        if b"agentreview" in _bytes(hook.parents[1] / hook.name):
            return Check(name=name, status=OK, detail="husky runs it, and its file names agentreview")
    elif manager in SIGNATURES and any(runs_stage(end, hook.name) for end in front_ends if end.gated):
        return Check(name=name, status=OK, detail=f"{manager} runs it, and its configuration names agentreview")
    if b"agentreview hook" in _bytes(hook):
        return Check(name=name, status=OK, detail=f"{hook} runs agentreview")
    whose = f"belongs to {manager}, whose configuration does not name" if manager else "does not run"
    return Check(name=name, status=wrong, detail=f"{hook} {whose} agentreview", fix=INSTALL)


def _own_hook(name: str, hook: Path, wrong: str, behind: str = "") -> Check:
    found = baked(hook)
    if found is None:
        return Check(name=name, status=wrong, detail=f"{hook} was edited", fix=INSTALL)
    command, version_file = found
    gone = next((path for path in (command, version_file) if path and not os.path.exists(path)), None)  # noqa: PTH110
    if gone or not os.access(command, os.X_OK):
        detail = f"{gone or command} is gone, so it refuses every commit"
        return Check(name=name, status=wrong, detail=detail, fix=INSTALL)
    stage = hook.name.removesuffix(LEGACY)
    if _bytes(hook) != render_hook(stage, command, Path(version_file) if version_file else None):
        detail = f"{hook} is of another version, or was edited"
        return Check(name=name, status=WARN, detail=detail, fix=INSTALL)
    return Check(name=name, status=OK, detail=f"runs {command}{behind}")


def _hooks_path(repo: Repository) -> Iterator[Check]:
    values = config_values(repo, "core.hooksPath")
    if not values:
        yield Check(name="core.hooksPath", status=OK, detail=f"not set; hooks are in {repo.hooks_dir}")
    for value in values:
        detail = f"{value.value} ({value.scope}, {value.origin})"
        if value != values[-1]:
            yield Check(name="core.hooksPath", status=OK, detail=f"{detail}, overruled")
        elif Path(repo.hooks_dir).is_relative_to(repo.common_dir):
            yield Check(name="core.hooksPath", status=OK, detail=detail)
        elif value.scope == "local" and value.value.rstrip("/") == ".husky/_":
            yield Check(name="core.hooksPath", status=OK, detail=f"{detail}, as husky sets it")
        else:
            fix = "unset it there unless it is meant: whoever can change that directory can switch the gate off"
            yield Check(name="core.hooksPath", status=WARN, detail=f"{detail}: {repo.hooks_dir}", fix=fix)


def _worktrees(repo: Repository) -> Iterator[Check]:
    from .git import worktrees

    found = [tree for tree in worktrees(repo) if not tree.bare]
    here = config_values(repo, "core.hooksPath")
    for tree in found:
        if len(found) > 1 or Path(tree.path) != Path(repo.root):
            check, other = gate(tree)
            yield check
            if other is None or Path(other.root) == Path(repo.root):
                continue
            for value in config_values(other, "core.hooksPath"):
                if value not in here:
                    detail = f"{value.value} ({value.scope}, {value.origin}), only in {tree.path}"
                    unset = f"git -C {shlex.quote(tree.path)} config --worktree --unset core.hooksPath"
                    fix = f"unset it unless it is meant: {unset}"
                    yield Check(name="core.hooksPath", status=WARN, detail=detail, fix=fix)


def gate(tree: WorktreeInfo) -> tuple[Check, Repository | None]:
    """Ask git, in that worktree, which hooks it would run, and have it fire those that are ours."""
    from .git import open_repository

    name = f"worktree {tree.branch or tree.head[:12] or 'without commits'}"
    if tree.prunable:
        return Check(name=name, status=WARN, detail=f"{tree.path} is gone", fix="run: git worktree prune"), None
    try:
        other = open_repository(tree.path)
    except AgentReviewError as error:
        return Check(name=name, status=FAIL, detail=error.message, fix=error.fix), None
    front_ends = detect(Path(other.root))
    stages = [_stage(other, stage, front_ends) for stage in STAGES]
    hook = next((check for status in (FAIL, WARN) for check in stages if check.status == status), stages[0])
    said = hook.detail if hook is stages[0] else f"{hook.name}: {hook.detail}"
    if hook.status == FAIL:
        return Check(name=name, status=FAIL, detail=f"{tree.path}: no gate: {said}", fix=hook.fix), other
    return Check(name=name, status=hook.status, detail=f"{tree.path}: {said}", fix=hook.fix), other


def _front_end(front_end: FrontEnd) -> Check:
    name = f"manager {front_end.name}"
    if front_end.gated:
        return Check(name=name, status=OK, detail=f"{front_end.file} names agentreview")
    fix = "agentreview install shows what to add"
    return Check(name=name, status=WARN, detail=f"{front_end.file} does not name agentreview", fix=fix)


def _store(repo: Repository) -> Check:
    """Look at the nearest directory that is there: the store is made on first use."""
    import shutil

    for place in (repo.store_dir, repo.state_dir):
        there = next((path for path in (Path(place), *Path(place).parents) if path.exists()), Path("/"))
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            fix = "make it writable; until then every commit is reviewed in full, and not compared again"
            return Check(name="store", status=WARN, detail=f"{place} cannot be written", fix=fix)
        free = shutil.disk_usage(there).free
        if free < FREE_BYTES:
            fix = "free some space; until then verdicts are not kept"
            return Check(name="store", status=WARN, detail=f"{free} bytes are left for {place}", fix=fix)
    return Check(name="store", status=OK, detail=repo.store_dir)


def _policies(repo: Repository) -> tuple[Check, tuple[str, ...] | None]:
    """Load the policies, the staged ones of the project included; returns their ids too, or None when they do not load."""
    from .policies.project import load_with
    from .snapshot import base_tree, staged_tree
    from .surroundings import configuration
    from .worker import examine_in_workers

    try:
        tree = staged_tree(repo)
    except AgentReviewError:  # unmerged paths, which a review reports
        tree = base_tree(repo)
    try:
        loaded = load_with(configuration(repo, tree), examine_in_workers)
        if loaded.mistake is not None:
            return Check(name="policies", status=FAIL, detail=loaded.mistake.message, fix=loaded.mistake.fix), None
        catalogue = loaded.catalogue
    except AgentReviewError as error:
        return Check(name="policies", status=FAIL, detail=error.message, fix=error.fix or "reinstall agentreview"), None
    ids = tuple(policy.id for policy in catalogue.policies)
    return Check(name="policies", status=OK, detail=f"{len(ids)} policies"), ids


def _configuration(repo: Repository, policies: tuple[str, ...] | None) -> Check:
    """Parse the staged configuration, which is what the next commit is reviewed with."""
    from .config import CONFIG_NAME, load_config

    if policies is None:
        return Check(name="configuration", status=WARN, detail="not checked: the policies did not load")
    try:
        load_config(lambda path: _staged(repo, path), known_policies=policies)
    except AgentReviewError as error:
        return Check(name="configuration", status=FAIL, detail=error.message, fix=error.fix or "put it right")
    there = _staged(repo, CONFIG_NAME) is not None
    return Check(name="configuration", status=OK, detail=CONFIG_NAME if there else "the staged one, or the defaults")


def _reviewers(repo: Repository, policies: tuple[str, ...] | None) -> Iterator[Check]:
    """Whether the configured model reviewers can be asked: the key, then each model, with calls that cost nothing.

    Looked at only where some are configured: otherwise doctor needs no network.
    """
    from .config import load_config

    try:
        config = load_config(lambda path: _staged(repo, path), known_policies=policies or ())
    except AgentReviewError:  # said already
        return
    if not config.reviewers.enabled:
        return
    from concurrent.futures import ThreadPoolExecutor

    from .llm import Failure, backend, destination

    asked = backend(os.environ, config)
    if isinstance(asked, Failure):
        yield _unasked("reviewers", asked.reason == "offline", asked.detail)
        return
    yield Check(
        name="reviewers",
        status=OK,
        detail=f"{', '.join(config.reviewers.enabled)}, by {destination(os.environ, config)}",
    )
    tiers = config.models.tiers
    with ThreadPoolExecutor(len(tiers)) as pool:
        said = dict(zip(tiers, pool.map(lambda model: asked.check(model, MODEL_SECONDS), tiers.values()), strict=True))
    for tier, model in tiers.items():
        name, found = f"model {tier}", said[tier]
        if isinstance(found, Failure):
            yield _unasked(name, found.reason in ("rate-limited", "server-error", "timeout"), found.detail)
        elif not model.priced:
            fix = f"set input and output in [models.{tier}], 0 for a server of your own"
            yield Check(name=name, status=FAIL, detail=f"{model.id} has no price, so it is never asked", fix=fix)
        else:
            retired = "end of life" in found
            fix = f"name its successor as [models] {tier}" if retired else ""
            yield Check(name=name, status=WARN if retired else OK, detail=f"{model.id} {found}", fix=fix)


def _unasked(name: str, passing: bool, detail: str) -> Check:  # noqa: FBT001
    what, _, fix = detail.rpartition(". ")
    return Check(name=name, status=WARN if passing else FAIL, detail=what, fix=fix)


def _staged(repo: Repository, path: str) -> bytes | None:
    from .git import attempt

    status, data, _ = attempt(repo, "cat-file", "blob", f":0:{path}")
    return data if status == 0 else None


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
