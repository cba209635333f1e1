"""Making a worktree: a branch, a proven gate, reviewers of its own, ports that nobody else has, and the set-up of the project.

The set-up commands are those of the default branch's committed configuration: neither the branch that is checked out
nor what is staged anywhere decides what runs on this machine.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from agentreview import doctor
from agentreview.config import Config
from agentreview.errors import AgentReviewError, UsageError
from agentreview.frontends import detect
from agentreview.git import (
    Repository,
    WorktreeInfo,
    administer,
    common_directory,
    complaint,
    list_below,
    open_repository,
    read_files,
    shown,
    text,
    worktrees_from,
)
from agentreview.globs import matches
from agentreview.model import Asked
from agentreview.records import dataclass, replace
from agentreview.review import read_config
from agentreview.reviewers import profiles, workflows
from agentreview.room import Room, all_rooms, named_by, one_at_a_time, write_room
from agentreview.roomsettings import HIGHEST, STEP

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]|/(?=[A-Za-z0-9]))*")
_MAX_NAME = 80
_NO_HOOKS = ("-c", "core.hooksPath=/dev/null")  # a relative one would run files of the branch that is checked out
_HEAD = "# Written by agentreview worktree add, ignored by git; it is not written again.\n"
DEFAULTS = ("refs/remotes/origin/HEAD", "refs/heads/main", "refs/heads/master", "HEAD")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A worktree that is ready. ``by_branch``: the workflow is the project's for this branch, not one asked for."""

    path: str
    room: Room
    start: str  # as the user named it
    workflow: workflows.Workflow | None
    by_branch: bool
    gate: doctor.Check
    environment: tuple[tuple[str, str], ...]
    trusted: str  # the ref whose configuration says what to set up
    setup: tuple[tuple[str, ...], ...] = ()


def add(
    where: str, name: str, *, start: str = "HEAD", workflow: str = "", reviewers: Sequence[str] = (), path: str = "",
    tell: Tell = lambda _line: None,
) -> Added:  # fmt: skip
    """Make a worktree beside the main one, or at ``path``. Raises UsageError, and then leaves nothing behind.

    Only where a set-up command fails the worktree stays: everything else about it is finished then.
    """
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME or name == "HEAD":  # a branch HEAD is what HEAD would mean
        raise UsageError(f"{shown(name)} is no name for a worktree", fix="Use letters, digits, and . _ - / inside")
    found = worktrees_from(where)
    common, main = common_directory(where), found[0].path
    commit = _commit(where, start)
    objects = reader(common, commit)
    own = read_files(
        objects, commit, [e.path for e in list_below(objects, commit, (workflows.FOLDER, profiles.FOLDER))]
    )
    projects = workflows.workflows(own)
    chosen = workflows.choose(projects, workflow, None) if workflow else None
    profiles.chosen(reviewers, profiles.profiles(own), where="--profile")
    branch = _branch(name, chosen)
    applies = chosen or workflows.choose(projects, "", branch)
    trusted, config = _trusted(where, objects)
    target = _target(path, main, name)
    _new_branch(where, branch, commit)
    try:
        _git(where, *_NO_HOOKS, "worktree", "add", "--quiet", str(target), branch)
        repo = open_repository(str(target))
        asked = Asked(workflow=workflow, more=tuple(dict.fromkeys(reviewers)))
        room = _settled(
            repo,
            Room(name=name, branch=branch, start=commit, workflow=workflow, profiles=asked.more),
            main,
            config,
            asked,
        )
        values = _environment(room, config)
        _write_environment(repo, room, values)
        gate = _proven(repo, config)
        done = Added(
            path=repo.root, room=room, start=start, workflow=applies, by_branch=chosen is None, gate=gate,
            environment=values, trusted=trusted, setup=config.worktree.setup,
        )  # fmt: skip
        failure = _set_up(repo, done, tell)
        if failure is None and config.worktree.setup:
            done = replace(done, gate=_proven(repo, config, last=True))
    except BaseException:
        _undo(where, str(target), branch, commit)
        raise
    if failure is not None:
        raise failure
    return done


def _commit(where: str, start: str) -> str:
    status, out, _ = administer(where, "rev-parse", "--verify", "-q", "--end-of-options", f"{start}^{{commit}}")
    if status or "\0" in start:
        raise UsageError(
            f"--from {shown(start)} names no commit here", fix="Name a branch, tag or commit: git branch -a"
        )
    return text(out).strip()


def reader(common: str, oid: str) -> Repository:
    """Stand for the repository where only objects are read: a bare one has no worktree to open."""
    return Repository(
        root=common, git_dir=common, common_dir=common, state_dir=f"{common}/agentreview", hooks_dir=f"{common}/hooks",
        store_dir=f"{common}/agentreview", index_file=f"{common}/index", oid_length=len(oid), foreign=True,
    )  # fmt: skip


def _branch(name: str, chosen: workflows.Workflow | None) -> str:
    """Name the branch so that the workflow is the branch's too, also where nobody knows of this worktree."""
    patterns = chosen.branches if chosen is not None else ()
    if not patterns or matches(name, patterns):
        return name
    for pattern in patterns:
        prefix = re.fullmatch(r"([A-Za-z0-9._/-]+/)\*{1,2}", pattern)
        if prefix and matches(prefix[1] + name, patterns):
            return prefix[1] + name
    return name


def _trusted(where: str, objects: Repository) -> tuple[str, Config]:
    """Return the default branch and its configuration. Raises ConfigError for a mistake in it."""
    for ref in DEFAULTS:
        status, out, _ = administer(where, "rev-parse", "--verify", "-q", f"{ref}^{{commit}}")
        if status == 0:
            return ref, read_config(objects, text(out).strip())
    return "", Config()


def _target(path: str, main: str, name: str) -> Path:
    beside = Path(main).parent / f"{Path(main).name.removesuffix('.git').strip('.') or 'repo'}-{name.replace('/', '-')}"
    target = Path(path).absolute() if path else beside
    if os.path.lexists(target):
        raise UsageError(f"{shown(str(target))} is there already", fix="Choose another name, or another --path")
    return target


def _new_branch(where: str, branch: str, commit: str) -> None:
    """Make the branch, or find that somebody else has: in one step, so that only its maker ever takes it away."""
    ref = f"refs/heads/{branch}"
    if administer(where, "check-ref-format", ref)[0]:
        raise UsageError(f"{shown(branch)} is no name for a branch", fix="Choose another name")
    status, _, error = administer(where, "update-ref", "--no-deref", ref, commit, "0" * len(commit))
    if status:
        there = administer(where, "rev-parse", "--verify", "-q", ref)[0] == 0
        if there:
            fix = "Choose another name, or delete that branch"
            raise UsageError(f"the branch {shown(branch)} is there already", fix=fix)
        said = complaint(error)
        raise UsageError(f"the branch {shown(branch)} cannot be made: {said}", fix=_mend(said, "Choose another name"))


def _git(where: str, *args: str) -> bytes:
    status, out, error = administer(where, *args)
    if status:
        command = next((word for word in args if word not in ("-c", *_NO_HOOKS)), "")
        said = complaint(error)
        raise UsageError(f"git {command} failed: {said}", fix=_mend(said, "Put that right, then try again"))
    return out


def _mend(said: str, otherwise: str) -> str:
    """What to do about what git said. Of a full disk it often says no more than that it is "unable to write file"."""
    writes = re.search(r"unable to (?:write|create)|No space left|Permission denied|Read-only|could not create", said)
    return "Check the permissions and the free disk space, then try again" if writes else otherwise


def _settled(repo: Repository, room: Room, main: str, config: Config, asked: Asked) -> Room:
    """Give the room an offset that nobody else has, and keep it."""
    from agentreview.canonical import digest

    unique = digest(repo.root, size=3).partition(":")[2]
    slug = re.sub(r"[^a-z0-9]+", "-", f"{Path(main).name.removesuffix('.git')}-{room.name}".lower()).strip("-")
    highest = max((port for _, port in config.worktree.ports), default=0)
    try:
        with one_at_a_time(repo.common_dir):
            taken = {one.offset for one in all_rooms(repo.common_dir).values()}
            offset = next(n for n in range(STEP, HIGHEST * 2, STEP) if n not in taken)
            if highest + offset > HIGHEST:
                fix = "Remove worktrees that nobody needs: agentreview worktree list"
                raise UsageError(f"no offset is left for port {highest}", fix=fix)
            room = replace(
                room, offset=offset, compose=f"{slug[:50] or 'worktree'}-{unique}", env_file=config.worktree.env_file
            )
            write_room(repo.git_dir, room, named_by(asked))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{shown(repo.git_dir)} cannot be written: {reason}", fix="Make it writable") from error
    return room


def _environment(room: Room, config: Config) -> tuple[tuple[str, str], ...]:
    ports = ((name, str(port + room.offset)) for name, port in config.worktree.ports)
    return (("COMPOSE_PROJECT_NAME", room.compose), ("PORT_OFFSET", str(room.offset)), *ports)


def _write_environment(repo: Repository, room: Room, values: Sequence[tuple[str, str]]) -> None:
    """Write the file where there is none, and have git ignore it before it is there."""
    path = Path(repo.root, room.env_file)
    fix = 'Name another one on the default branch: [worktree] env_file = ".agentreview.env"'
    try:
        if os.path.lexists(path):
            raise UsageError(f"{room.env_file} is a file of this repository, and is not overwritten", fix=fix)
        _exclude(repo, f"/{room.env_file}")
        literally = {"GIT_LITERAL_PATHSPECS": "0"}  # check-ignore knows no other names
        if administer(repo.root, "check-ignore", "-q", "--no-index", "--", room.env_file, env=literally)[0]:
            raise UsageError(f"git would not ignore {room.env_file}: a .gitignore takes it back", fix=fix)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_HEAD + "".join(f"{name}={value}\n" for name, value in values))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{shown(str(path))} cannot be written: {reason}", fix="Make room for it") from error


def _exclude(repo: Repository, line: str) -> None:
    """Add a line to ``info/exclude``, which all worktrees share, unless it is there. Raises OSError."""
    path = Path(repo.common_dir, "info", "exclude")
    with one_at_a_time(repo.common_dir):
        path.parent.mkdir(exist_ok=True)
        held = path.read_bytes() if path.exists() else b""
        if line.encode() not in held.split(b"\n"):
            with path.open("ab") as file:
                file.write((b"" if not held or held.endswith(b"\n") else b"\n") + line.encode() + b"\n")


def _proven(repo: Repository, config: Config, *, last: bool = False) -> doctor.Check:
    """Have git fire the hooks. Raises UsageError where no commit would be reviewed.

    A hook manager of the project may need what the set-up brings (husky): then it is asked again afterwards.
    """
    check, _ = doctor.gate(_info(repo.root))
    later = config.worktree.setup and not last and detect(Path(repo.root))
    if check.status == doctor.FAIL and not later:
        said = check.detail.removeprefix(f"{repo.root}: ")
        raise UsageError(f"{said}; the worktree and its branch were removed again", fix=_sentence(check.fix))
    return check


def _sentence(fix: str) -> str:
    return fix[:1].upper() + fix[1:]


def _info(path: str) -> WorktreeInfo:
    return next(one for one in worktrees_from(path) if os.path.realpath(one.path) == os.path.realpath(path))


def _set_up(repo: Repository, added: Added, tell: Tell) -> UsageError | None:
    """Run the project's commands in the worktree; returns what to say of the first that fails."""
    names = text(administer(repo.root, "rev-parse", "--local-env-vars")[1]).split()
    clean = {name: value for name, value in os.environ.items() if name not in {*names, "GIT_PREFIX"}}
    for words in added.setup:
        command = shown(" ".join(words))
        tell(f"set-up: {command}")
        try:
            argv = [word.encode("utf-8", "surrogateescape") for word in words]
            sys.stderr.flush()
            code = _run(argv, repo.root, {**clean, **dict(added.environment)})
            failed = f"ended with {code}" if code else ""
        except (OSError, ValueError) as error:
            failed = f"cannot be run: {getattr(error, 'strerror', None) or error}"
        if failed:
            return UsageError(
                f"the set-up command {command} {failed}; the worktree {shown(repo.root)} is there, without what it brings",
                fix=f"Put it right and run it there, or take it away: agentreview worktree remove {added.room.name}",
            )
    return None


def _run(argv: Sequence[bytes], cwd: str, env: Mapping[str, str]) -> int:
    """Run a program to its end and return its exit code; interrupted, it does not go on without us."""
    import subprocess

    process = None
    try:
        with _interrupts_held():  # else one that comes while Popen begins leaves a program that nobody knows of
            process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=2)
        return process.wait()
    except BaseException:
        if process is not None:
            process.kill()
            process.wait()
        raise


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let an interrupt wait for the end of the block."""
    import signal

    held: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)
        if held:
            raise KeyboardInterrupt


def _undo(where: str, target: str, branch: str, commit: str) -> None:
    """Take away what :func:`add` made; a branch that moved since is somebody's work and stays."""
    with suppress(AgentReviewError):
        administer(where, *_NO_HOOKS, "worktree", "remove", "--force", "--force", target)
        administer(where, "update-ref", "--no-deref", "-d", f"refs/heads/{branch}", commit)
