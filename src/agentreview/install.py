"""Put the native hooks into a repository, and take them out again.

Hooks go where git looks for them (``git rev-parse --git-path hooks``), which linked worktrees share. A hook that is
there already is kept beside ours, byte for byte, and runs first. Where a hook manager owns the directory, nothing is
written: the report says what to add to the manager's configuration. Where git is new enough, its configuration can
name the hooks instead (:mod:`agentreview.hookconfig`).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from agentreview.records import dataclass, replace

from . import hookconfig
from .callers import STAGES
from .errors import UsageError
from .frontends import FrontEnd, detect, runs_stage, signed_by
from .git import config_values, git_version
from .version import INSTALLED, VERSION_FILE, data_directory

if TYPE_CHECKING:
    from .git import Repository

MARKER = b"# agentreview hook: "
CHAINED = ".agentreview-chained"
LEGACY = ".legacy"  # where pre-commit and prek move a hook that was there before them
OWN_HOOKS = 'git config --local core.hooksPath "$(git rev-parse --path-format=absolute --git-common-dir)/hooks"'


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallReport:
    """What happened. ``done``: the gate is in place (or, after uninstall, gone). ``lines`` are for people.

    ``entry`` is text to add to the configuration of ``front_end`` ("native" when git runs our own files).
    """

    done: bool
    front_end: str
    hooks_dir: Path
    lines: tuple[str, ...] = ()
    entry: str = ""


def install(
    repo: Repository,
    *,
    native: bool = False,
    force: bool = False,
    config: bool = False,
    command: str | None = None,
    version_file: Path | None = None,
) -> InstallReport:
    """Install the hooks, or say what to add to the hook manager in use (``native`` skips looking for one).

    ``force`` allows a hooks directory that is shared by other repositories or versioned. ``config`` names the hooks in
    git's configuration instead of writing there. ``command`` and ``version_file`` replace the running installation in
    the hooks. Raises UsageError.
    """
    front_ends = () if native or config else detect(Path(repo.root))
    if front_ends:
        return _through(front_ends[0], repo)
    if config and not hookconfig.understood(repo):
        needed = ".".join(map(str, hookconfig.MINIMUM_GIT))
        raise UsageError(
            f"git {'.'.join(map(str, git_version(repo)))} does not run hooks that its configuration names",
            fix=f"Install git {needed} or newer, or run agentreview install without --config",
        )
    if not (force or config):
        _refuse_foreign_directory(repo)
    notes: tuple[str, ...] = ()
    if command is None:
        command, notes = running_command(repo)
        version_file = VERSION_FILE if INSTALLED else None
    hooks_dir = hookconfig.folder(repo) if config else Path(repo.hooks_dir)
    try:
        hooks_dir.mkdir(parents=True, exist_ok=True)
        lines = [_install_one(hooks_dir / stage, render_hook(stage, command, version_file)) for stage in STAGES]
    except OSError as error:
        raise _not_writable(hooks_dir, error, "install") from error
    # One way at a time: two would judge every commit twice.
    if config:
        hookconfig.add(repo, {stage: hooks_dir / stage for stage in STAGES})
        _refuse_hooks_that_are_off(repo)
        lines += _take_out(Path(repo.hooks_dir))
    else:
        lines += _take_out_of_configuration(repo)
        if hookconfig.understood(repo):
            notes += ("this git can also take them from its configuration, whatever core.hooksPath says: --config",)
    lines += [f"the hooks run {command}", *notes]
    return InstallReport(done=True, front_end="config" if config else "native", hooks_dir=hooks_dir, lines=tuple(lines))


def uninstall(repo: Repository) -> InstallReport:
    """Remove our hooks and put back, exactly as they were, the ones that were there before. Raises UsageError."""
    hooks_dir = Path(repo.hooks_dir)
    lines = [*_take_out_of_configuration(repo), *_take_out(hooks_dir)]
    gated = [end for end in detect(Path(repo.root)) if end.gated]
    lines += [f"{end.file} still runs agentreview: remove its entry there" for end in gated]
    if not lines:
        lines = [f"no agentreview hooks in {hooks_dir}"]
    return InstallReport(done=not gated, front_end="native", hooks_dir=hooks_dir, lines=tuple(lines))


def _take_out(hooks_dir: Path) -> list[str]:
    try:
        return [line for stage in STAGES for line in _uninstall_one(hooks_dir / stage)]
    except OSError as error:
        raise _not_writable(hooks_dir, error, "uninstall") from error


def _take_out_of_configuration(repo: Repository) -> list[str]:
    lines = [f"hook.{name}: removed from git's configuration" for name in hookconfig.remove(repo)]
    place = hookconfig.folder(repo)
    if place.is_dir():
        _take_out(place)
        with suppress(OSError):  # something of somebody else's is in it
            place.rmdir()
    return lines


def render_hook(stage: str, command: str, version_file: Path | None) -> bytes:
    """Return the hook file for a stage: self-contained POSIX sh. No ``version_file``: verdicts are not looked up."""
    folder = data_directory("hooks")
    values = {
        "@command@": shlex.quote(command),
        "@version_file@": shlex.quote(str(version_file or "")),
        "# @lookup@": (folder / "lookup.sh").read_text(encoding="ascii").rstrip("\n"),
    }
    text = (folder / stage).read_text(encoding="ascii")
    return os.fsencode(re.sub("|".join(values), lambda match: values[match[0]], text))


def is_ours(hook: Path) -> bool:
    """Whether a hook file was written by install (any version)."""
    return MARKER in _head(hook)


def baked(hook: Path) -> tuple[str, str] | None:
    """Read the command and version file in one of our hooks, or None when they cannot be read."""
    words = {}
    try:
        text = os.fsdecode(hook.read_bytes())
        for name in ("AGENTREVIEW", "VERSION_FILE"):
            quoted = text.split(f"\n{name}=", 1)[1].split("\nHOOK=", 1)[0].split("\nVERSION_FILE=", 1)[0]
            (words[name],) = shlex.split(quoted)
    except (OSError, ValueError, IndexError):
        return None
    return words["AGENTREVIEW"], words["VERSION_FILE"]


def running_command(repo: Repository) -> tuple[str, tuple[str, ...]]:
    """Find the absolute path of the agentreview that is running, and what to say about it. Raises UsageError."""
    candidates = [Path(sys.argv[0]).absolute()] if Path(sys.argv[0]).name == "agentreview" else []
    candidates.append(Path(sys.prefix) / "bin" / "agentreview")
    found = next((str(path) for path in candidates if os.access(path, os.X_OK) and path.is_file()), None)
    notes = []
    if found is None:
        found = shutil.which("agentreview")
        if found is None:
            fix = "Install it, for example: pipx install agentreview-gate"
            raise UsageError("there is no agentreview command to put into the hooks", fix=fix)
        found = str(Path(found).absolute())
        notes.append("the running agentreview has no command of its own: the one on the PATH was taken")
    if Path(found).is_relative_to(repo.root):
        notes.append("that is inside this work tree: when it goes, commits in every worktree are refused")
    elif "/uv/archive-" in found or "/.cache/" in found:
        notes.append("that is a temporary environment: pipx install agentreview-gate, then agentreview install again")
    return found, tuple(notes)


def _install_one(hook: Path, content: bytes) -> str:
    legacy, chained = hook.with_name(hook.name + LEGACY), hook.with_name(hook.name + CHAINED)
    if is_ours(legacy) and signed_by(hook):
        _write(legacy, content)  # a manager came after us and runs ours as its predecessor
        return f"{hook.name}: renewed behind {signed_by(hook)}, which keeps it as {legacy.name}"
    kept = ""
    if os.path.lexists(hook) and not is_ours(hook):
        if os.path.lexists(chained):
            raise UsageError(
                f"{hook} is not ours, and {chained.name} is still there from an earlier installation",
                fix="Delete the one that is out of date, then run agentreview install again",
            )
        try:
            os.link(hook, chained, follow_symlinks=False)  # then the replacement below leaves no moment without a hook
        except OSError:
            hook.rename(chained)
        kept = f"; the hook that was there runs first, as {chained.name}"
        if any(word in _head(chained) for word in (b"basename", b"##*/", b"File.basename")):
            kept += " (it seems to look at its own name: check that it still works)"
    elif is_ours(hook):
        kept = " (renewed)" if _head(hook) != content else " (unchanged)"
    _write(hook, content)
    return f"{hook.name}: installed{kept}"


def _uninstall_one(hook: Path) -> list[str]:
    legacy, chained = hook.with_name(hook.name + LEGACY), hook.with_name(hook.name + CHAINED)
    lines = []
    if is_ours(legacy):
        legacy.unlink()
        lines.append(f"{legacy.name}: removed")
    if is_ours(hook):
        if os.path.lexists(chained):
            chained.replace(hook)
            lines.append(f"{hook.name}: removed; the hook that was there before is back")
        else:
            hook.unlink()
            lines.append(f"{hook.name}: removed")
    elif os.path.lexists(chained):
        lines.append(f"{chained.name} is still there: {hook.name} was replaced since, and nothing runs it")
    return lines


def _through(front_end: FrontEnd, repo: Repository) -> InstallReport:
    """Use the manager's own installer where it has one and is configured; else say what to add."""
    name, file, hooks_dir = front_end.name, front_end.file, Path(repo.hooks_dir)
    if not front_end.gated:
        lines: tuple[str, ...] = (
            f"this repository uses {name} ({file}): add the entry below to it, then run agentreview install again",
            "nothing was written; agentreview install --native installs git hooks beside it all the same",
        )
        return InstallReport(done=False, front_end=name, hooks_dir=hooks_dir, lines=lines, entry=front_end.entry)
    if name == "husky":  # it comes with the project's own packages, and nothing of the project is run
        return _checked(front_end, repo, ())
    tool = "prek" if name == "pre-commit" and signed_by(hooks_dir / "pre-commit") == "prek" else name
    found = shutil.which(tool)
    if found is None and tool == "lefthook":
        return _checked(front_end, repo, ())
    if found is None and tool == "prek":
        raise UsageError("this repository uses prek, but it is not on the PATH", fix="Install prek and run this again")
    argv = [found] if found else [sys.executable, "-m", "pre_commit"]
    argv += ["install"]
    if tool != "lefthook":
        argv += [word for stage in STAGES for word in ("--hook-type", stage)]
    ours = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    clean = {key: value for key, value in os.environ.items() if key not in ours}
    done = subprocess.run(argv, cwd=repo.root, env=clean, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    output = (done.stdout + done.stderr).decode("utf-8", "replace").split("\n")
    said = tuple(line.strip() for line in output if line.strip())
    if done.returncode:
        raise UsageError(f"{tool} install failed: {' / '.join(said)}", fix=f"Put that right, then run: {tool} install")
    return _checked(replace(front_end, name=tool), repo, (f"installed by {tool}, which {file} configures", *said))


def _checked(front_end: FrontEnd, repo: Repository, lines: tuple[str, ...]) -> InstallReport:
    """Report whether git now runs the manager, and the manager agentreview, for every stage."""
    name, hooks_dir = front_end.name, Path(repo.hooks_dir)
    there = [stage for stage in STAGES if signed_by(hooks_dir / stage) == name]
    missing = [stage for stage in STAGES if stage not in there or not runs_stage(front_end, stage)]
    if not there:
        command = {"husky": "npx husky", "lefthook": "lefthook install"}.get(name, f"{name} install")
        lines += (f"{name} has not put its hooks into this work tree: run {command}, then agentreview install again",)
    elif missing:
        lines += (f"{front_end.file} does not run agentreview for {', '.join(missing)}: add what is below",)
    else:
        lines = lines or (f"{front_end.file} runs agentreview, and {name} has put its hooks in",)
    if name == "husky" and there:
        lines += ("husky's hooks are files of one work tree that git ignores: run npx husky in every new worktree",)
    entry = front_end.entry if there and missing else ""
    return InstallReport(done=not missing, front_end=name, hooks_dir=hooks_dir, lines=lines, entry=entry)


def _refuse_hooks_that_are_off(repo: Repository) -> None:
    """Take the sections out again and raise UsageError where another setting keeps git from running them."""
    there = hookconfig.our_scripts(repo)
    off = [stage for stage in STAGES if stage not in there]
    refused = hookconfig.refusal(repo)
    if off or refused:
        _take_out_of_configuration(repo)
        raise UsageError(
            f"git would run no hook here: {refused}" if refused else f"git's configuration switches {off[0]} off",
            fix=f"See {hookconfig.SHOW}, take that out, and run this again; or run agentreview install without --config",
        )


def _refuse_foreign_directory(repo: Repository) -> None:
    """Raise UsageError where core.hooksPath sends the hooks to a directory that is not this repository's alone."""
    values = config_values(repo, "core.hooksPath")
    if not values:
        return
    scope, where = values[-1].scope, f"core.hooksPath = {values[-1].value} ({values[-1].scope}, {values[-1].origin})"
    hooks_dir = Path(os.path.realpath(repo.hooks_dir))
    if hooks_dir.is_relative_to(os.path.realpath(repo.common_dir)):
        return
    apart = " - or have git take them from its configuration: agentreview install --config"
    apart = apart if hookconfig.understood(repo) else ""
    if scope not in {"local", "worktree"}:
        raise UsageError(
            f"{where} sends the hooks of all repositories to one directory",
            fix=f"Give this repository its own hooks: {OWN_HOOKS} - or add to each of the shared hooks, for example"
            f' {hooks_dir}/pre-commit: agentreview hook pre-commit "$@" - or write there with --force{apart}',
        )
    if hooks_dir.is_relative_to(os.path.realpath(repo.root)):
        raise UsageError(
            f"{where} is inside the work tree, where hooks are versioned and a branch can change them",
            fix=f"Let git use its own: {OWN_HOOKS} - or write there with --force{apart}",
        )
    raise UsageError(
        f"{where} is outside this repository and may serve others",
        fix=f"Give this repository its own: {OWN_HOOKS} - or write there with --force{apart}",
    )


def _not_writable(hooks_dir: Path, error: OSError, command: str) -> UsageError:
    fix = f"Make the directory writable, then run agentreview {command} again"
    return UsageError(f"cannot change {hooks_dir}: {error.strerror or error}", fix=fix)


def _head(hook: Path) -> bytes:
    """Read a regular file that is not a link, up to a size no hook of ours has; else nothing."""
    try:
        if hook.is_symlink() or not hook.is_file():
            return b""
        with hook.open("rb") as file:
            return file.read(1_000_000)
    except OSError:
        return b""


def _write(hook: Path, content: bytes) -> None:
    """Put an executable file under that name in one step."""
    temporary = hook.with_name(f".{hook.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.replace(hook)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
