"""The git edge: repositories, trees and blobs, as bytes git itself wrote. The only module that imports GitPython.

GitPython starts git and nothing else. Its index and diff objects read the ordinary index where git uses another
(``commit -a``) and return an empty list for a file name that is not UTF-8, so they are banned (tests/test_layers.py).

What makes the answers safe: git sees only the variables chosen here, so a hook's GIT_DIR cannot turn a look at another
worktree into a look at this one; replace refs are off; programs named by configuration do not run; output stays bytes.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

from agentreview.errors import IncompleteError, UsageError
from agentreview.records import dataclass

if TYPE_CHECKING:
    from git.cmd import Git

MINIMUM_GIT = "2.31"  # rev-parse --path-format

# The caller's GIT_* variables that git may still see: where configuration and programs are, how a partial clone's
# remote is reached, and what git's hooks export without any effect on reading. All others are removed, known or not.
_PASSED_ON = frozenset(
    {
        *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES"),
        *("GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT"),
        *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_NO_VERIFY", "GIT_ALLOW_PROTOCOL", "GIT_PROTOCOL_FROM_USER"),
        *("GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_MERGE_AUTOEDIT", "GIT_REFLOG_ACTION", "GIT_PAGER"),
        *("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE"),
        *("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_DATE"),
    }
)
_SAFE_ENVIRONMENT = {
    "GIT_NO_REPLACE_OBJECTS": "1",  # a replaced blob shows as an empty diff
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LITERAL_PATHSPECS": "1",  # a file may be called ":(exclude)x"
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PREFIX": "",
}
_SAFE_OPTIONS = (
    *("-c", "core.fsmonitor=false"),  # may name a program
    *("-c", "core.bigFileThreshold=512m"),
    *("-c", "submodule.recurse=false"),
    *("-c", "diff.suppressBlankEmpty=false"),
)
_QUERIES = (
    ("--is-bare-repository",),
    ("--git-dir",),
    ("--git-common-dir",),
    ("--git-path", "agentreview"),
    ("--git-path", "hooks"),
    ("--git-path", "index"),
    ("--show-object-format",),
    ("--show-toplevel",),  # last: it fails where there is no work tree, after the others were printed
)
_PATIENCE = (0.005, 0.02, 0.1, 0.4, 0.8, 0)  # seconds between tries
UNREADABLE = "Run `git fsck` to see what is damaged; in a shallow or partial clone fetch the missing objects first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """One worktree of a repository, every path absolute. Made by :func:`open_repository`.

    ``state_dir`` is this worktree's own (gone with ``git worktree remove``), ``store_dir`` is shared by all worktrees.
    ``index_file`` is what the commit in progress uses, which inside a hook need not be the ordinary index.
    ``foreign`` is true when it was opened by path.
    """

    root: str
    git_dir: str
    common_dir: str
    state_dir: str
    store_dir: str
    hooks_dir: str
    index_file: str
    oid_length: int
    foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEntry:
    """One file of a tree: ``mode`` as git writes it (``100644``, ``120000``, ``160000``)."""

    path: str
    mode: str
    oid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorktreeInfo:
    """One entry of ``git worktree list``. ``head`` is "" without a commit; ``branch`` is short, None when detached."""

    path: str
    head: str
    branch: str | None
    bare: bool
    detached: bool
    locked: bool
    prunable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigValue:
    """One value of a configuration key: ``scope`` is system, global, local, worktree or command."""

    scope: str
    origin: str
    value: str


def open_repository(path: str | None = None) -> Repository:
    """Find the repository: of the current directory and hook environment (None), or of the worktree at ``path``.

    Without a path GIT_DIR, GIT_WORK_TREE and GIT_INDEX_FILE are honoured, as git set them for its hook. With a path
    they are dropped: they belong to another worktree. Raises UsageError when there is nothing to review there.
    """
    where: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    if path is None:
        names = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
        environment = {name: os.environ[name] for name in names if name in os.environ}
    elif not path or not os.path.isdir(path):  # noqa: PTH112 - False for a name too long as well; git -C reads "" as "here"
        raise UsageError(f"{shown(path)} is not a directory", fix="Name a worktree: `git worktree list` shows them")
    else:
        where = ("-C", str(Path(path).absolute()))
    ask = (*where, "rev-parse", "--path-format=absolute")
    status, out, error = _execute((*ask, *(word for query in _QUERIES for word in query)), environment)
    if status or out.startswith(b"--path-format"):
        raise _not_reviewable(where, out, error)
    answers = os.fsdecode(out).removesuffix("\n").split("\n")
    if len(answers) != len(_QUERIES):  # a line feed in a directory name
        answers = [os.fsdecode(_execute((*ask, *query), environment)[1]).removesuffix("\n") for query in _QUERIES]
    _, git_dir, common_dir, state_dir, hooks_dir, index_file, object_format, root = answers
    return Repository(
        root=root,
        git_dir=git_dir,
        common_dir=common_dir,
        state_dir=state_dir,
        store_dir=f"{common_dir}/agentreview",
        hooks_dir=hooks_dir,
        index_file=index_file,
        oid_length=64 if object_format == "sha256" else 40,
        foreign=path is not None,
    )


def run(
    repo: Repository, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None, check: bool = True
) -> bytes:
    """Run git in the repository and return its stdout, exactly. ``env`` is added to the safe environment.

    Raises IncompleteError with git's first line of complaint when it fails and ``check`` is set.
    """
    status, out, error = attempt(repo, *args, stdin=stdin, env=env)
    if status and check:
        command = next((arg for arg in args if arg != "-c" and "=" not in arg), "")
        raise IncompleteError(f"git {command} failed: {complaint(error)}", fix=UNREADABLE)
    return out


def attempt(
    repo: Repository, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
) -> tuple[int, bytes, bytes]:
    """Like :func:`run` for a command that may fail: returns exit status, stdout and stderr."""
    pinned = {"GIT_DIR": repo.git_dir, "GIT_WORK_TREE": repo.root, "GIT_INDEX_FILE": repo.index_file}
    return _execute(("-C", repo.root, *_SAFE_OPTIONS, *args), {**pinned, **(env or {})}, stdin)


def administer(path: str, *args: str, env: Mapping[str, str] | None = None) -> tuple[int, bytes, bytes]:
    """Like :func:`attempt`, at a directory and with nothing pinned: for what makes and removes worktrees.

    git itself says there which index and git directory are meant; those of another worktree must not reach it.
    """
    return _execute(("-C", path, *_SAFE_OPTIONS, *args), env or {})


def tree_files(repo: Repository, tree: str) -> tuple[TreeEntry, ...]:
    """List every file, symbolic link and submodule of a tree, in git's order."""
    return _tree_entries(run(repo, "ls-tree", "-r", "-z", "--full-tree", tree))


def regular_files(repo: Repository, tree: str) -> dict[str, str]:
    """Return every regular file of a tree, path to blob: what a review looks other files up in, so without an object each."""
    lines = text(run(repo, "ls-tree", "-r", "-z", "--full-tree", tree)).split("\0")[:-1]
    parts = (line.partition("\t") for line in lines if line.startswith("100"))
    return {path: facts[-repo.oid_length :] for facts, _, path in parts}


def blob_sizes(repo: Repository, oids: Iterable[str]) -> dict[str, int]:
    """Return the size in bytes of each object, without reading it; IncompleteError if one is missing."""
    wanted = tuple(dict.fromkeys(oids))
    if not wanted:
        return {}
    out = run(repo, "cat-file", "--batch-check", stdin="\n".join((*wanted, "")).encode())
    lines = out.split(b"\n")[:-1]
    if len(lines) != len(wanted):
        raise IncompleteError("git cat-file answered for fewer objects than it was asked", fix=UNREADABLE)
    return {oid: _object_size(oid, line) for oid, line in zip(wanted, lines, strict=True)}


def object_kinds(path: str | None, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return id and kind of each named object, seen from any directory of a repository, a bare one too.

    What is not there has the kind ``missing``. A name has no line feed. Empty where git does not answer.
    """
    where, environment = _seen_from(path)
    ask = (*where, *_SAFE_OPTIONS, "cat-file", "--batch-check=%(objectname) %(objecttype)")
    status, out, _ = _execute(ask, environment, "\n".join((*names, "")).encode())
    lines = text(out).split("\n")[:-1]
    if status or len(lines) != len(names):
        return []
    return [(oid, kind) for oid, _, kind in (line.rpartition(" ") for line in lines)]


def read_blobs(repo: Repository, oids: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of each blob, read by one process; IncompleteError if one is missing or no blob."""
    return read_objects(repo, oids, "blob")


def read_objects(repo: Repository, oids: Iterable[str], kind: str) -> dict[str, bytes]:
    """Return the contents of each object, in order; IncompleteError if one is missing or of another kind."""
    wanted = tuple(dict.fromkeys(oids))
    if not wanted:
        return {}
    out = run(repo, "cat-file", "--batch", stdin="\n".join((*wanted, "")).encode())
    objects: dict[str, bytes] = {}
    position = 0
    for oid in wanted:
        start = out.find(b"\n", position) + 1
        end = start + _object_size(oid, out[position : start - 1] if start else b"", kind)
        if end >= len(out):
            raise IncompleteError(f"git cat-file ended within object {oid}", fix=UNREADABLE)
        objects[oid] = out[start:end]
        position = end + 1
    return objects


def read_files(repo: Repository, tree: str, paths: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of those of ``paths`` that are regular files in the tree. Links are not followed."""
    possible = [path for path in paths if "\0" not in path and not {"", ".", ".."} & set(path.split("/"))]
    names = [argument(path) for path in possible]
    if not names:
        return {}
    entries = _tree_entries(run(repo, "ls-tree", "-z", "--full-tree", tree, "--", *names))
    files = {entry.path: entry.oid for entry in entries if entry.mode.startswith("100")}
    blobs = read_blobs(repo, files.values())
    return {path: blobs[oid] for path, oid in files.items()}


def list_below(repo: Repository, tree: str, paths: Sequence[str]) -> tuple[TreeEntry, ...]:
    """List the entries of a tree at or below fixed paths: files, links and submodules, in git's order."""
    return _tree_entries(run(repo, "ls-tree", "-r", "-z", "--full-tree", tree, "--", *paths))


def read_file(repo: Repository, tree: str, path: str) -> bytes | None:
    """Return the contents of a regular file in the tree, or None if there is none at that path."""
    return read_files(repo, tree, (path,)).get(path)


def worktrees(repo: Repository) -> tuple[WorktreeInfo, ...]:
    """List the worktrees of the repository, the main one (or the bare repository) first."""
    status, out, _ = attempt(repo, "worktree", "list", "--porcelain", "-z")
    if status:  # git < 2.36
        out = run(repo, "worktree", "list", "--porcelain").replace(b"\n", b"\0")
    return _worktrees(out)


def worktrees_from(path: str | None = None, *, git_dir: bool = False) -> tuple[WorktreeInfo, ...]:
    """The same seen from a directory, which may be a bare repository and so no worktree itself. UsageError for none.

    ``git_dir``: git has named it as a git directory before, so that it is one, whatever safe.bareRepository says.
    """
    where, environment = _seen_from(path)
    if path and git_dir:
        environment = {"GIT_DIR": path}
    status, out, error = _execute((*where, *_SAFE_OPTIONS, "worktree", "list", "--porcelain", "-z"), environment)
    if status:  # git < 2.36, or no repository
        status, out, error = _execute((*where, *_SAFE_OPTIONS, "worktree", "list", "--porcelain"), environment)
        out = out.replace(b"\n", b"\0")
    if status:
        raise _not_reviewable(where, out, error)
    return _worktrees(out)


def common_directory(path: str | None = None) -> str:
    """Return what all worktrees of the repository share, seen from one of them or from a bare repository. UsageError."""
    where, environment = _seen_from(path)
    ask = (*where, *_SAFE_OPTIONS, "rev-parse", "--path-format=absolute", "--git-common-dir")
    status, out, error = _execute(ask, environment)
    if status or out.startswith(b"--path-format"):
        raise _not_reviewable(where, out, error)
    return os.fsdecode(out).removesuffix("\n")


def _seen_from(path: str | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return options and environment with which git looks at a repository from a directory, or from here."""
    if path:
        return ("-C", str(Path(path).absolute())), {}
    return (), {"GIT_DIR": os.environ["GIT_DIR"]} if "GIT_DIR" in os.environ else {}


def _worktrees(out: bytes) -> tuple[WorktreeInfo, ...]:
    found: list[WorktreeInfo] = []
    for record in text(out).split("\0\0")[:-1]:
        facts = dict(line.partition(" ")[::2] for line in record.split("\0"))
        found.append(
            WorktreeInfo(
                path=facts.get("worktree", ""),
                head="" if set(facts.get("HEAD", "")) == {"0"} else facts.get("HEAD", ""),
                branch=facts["branch"].removeprefix("refs/heads/") if "branch" in facts else None,
                bare="bare" in facts,
                detached="detached" in facts,
                locked="locked" in facts,
                prunable="prunable" in facts,
            )
        )
    return tuple(found)


def config_values(repo: Repository, key: str) -> tuple[ConfigValue, ...]:
    """Return every value of a configuration key, weakest first, with where each comes from."""
    status, out, error = attempt(repo, "config", "--show-scope", "--show-origin", "-z", "--get-all", key)
    if status not in (0, 1):  # 1: the key is not set
        raise IncompleteError(
            f"git config {shown(key)} failed: {complaint(error)}", fix="Repair the configuration file"
        )
    fields = iter(text(out).split("\0")[:-1])
    return tuple(ConfigValue(scope=s, origin=o, value=v) for s, o, v in zip(fields, fields, fields, strict=False))


def git_version(repo: Repository) -> tuple[int, ...]:
    """Return the first two numbers of the version of git, ``(2, 39)``."""
    said = text(run(repo, "version")).strip().removeprefix("git version ")
    return tuple(int(part) for part in said.split(".")[:2] if part.isdigit())


def identity(repo: Repository) -> str:
    """Return ``Name <address>`` of whoever commits here. Raises UsageError when git does not know."""
    status, out, error = attempt(repo, "var", "GIT_COMMITTER_IDENT")
    person = text(out).rpartition("> ")[0]
    if status or not person:
        raise UsageError(
            f"git does not know who you are: {complaint(error)}",
            fix='Tell it: git config user.name "…" and git config user.email …',
        )
    return shown(f"{person}>")


def text(data: bytes) -> str:
    """Decode git's bytes so that any file name survives the round trip."""
    return data.decode("utf-8", "surrogateescape")


def argument(path: str) -> str:
    """Turn a path of :func:`text` into one that reaches git as the same bytes, whatever the locale."""
    return os.fsdecode(path.encode("utf-8", "surrogateescape"))


def shown(name: str) -> str:
    """Make a name fit for a message: everything that is not printable (control, bidi, broken bytes) is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def complaint(stderr: bytes) -> str:
    """Pick the line of git's stderr that says what went wrong, fit for a message; with the first of what it announces."""
    lines = [line for line in text(stderr).split("\n") if line.strip()] or ["no message"]
    at = next((at for at, line in enumerate(lines) if line.startswith(("fatal:", "error:"))), 0)
    more = lines[at + 1] if lines[at].endswith(":") and at + 1 < len(lines) else ""
    return shown(f"{lines[at]} {more.strip()}".strip())


def _tree_entries(listing: bytes) -> tuple[TreeEntry, ...]:
    entries: list[TreeEntry] = []
    for line in text(listing).split("\0")[:-1]:
        facts, _, path = line.partition("\t")
        mode, _, oid = facts.split(" ")
        entries.append(TreeEntry(path=path, mode=mode, oid=oid))
    return tuple(entries)


def _object_size(oid: str, header: bytes, kind: str = "blob") -> int:
    """Read cat-file's line about one object: ``<oid> blob <size>``."""
    answer = header.split(b" ")
    if len(answer) != 3 or answer[0] != oid.encode() or answer[1] != kind.encode():
        raise IncompleteError(f"object {oid} cannot be read ({shown(text(header))})", fix=UNREADABLE)
    return int(answer[2])


def _execute(
    args: tuple[str, ...], environment: Mapping[str, str], stdin: bytes | None = None
) -> tuple[int, bytes, bytes]:
    """Run git with exactly this environment of GIT_* variables; returns exit status, stdout and stderr.

    git dies over a worktree that another process is making just now: a file of it is there and still empty. It is
    asked again then.
    """
    for wait in _PATIENCE:
        status, out, error = _start(args, environment, stdin)()
        if not (status and b"fatal: failed to read " in error and b"/commondir: " in error):
            break
        sleep(wait)
    return status, out, error


def begin(path: str, *args: str) -> Callable[[], tuple[int, bytes, bytes]]:
    """Start git at a directory, as :func:`administer` does, and go on; what is returned waits for its answer."""
    return _start(("-C", path, *_SAFE_OPTIONS, *args), {})


def _start(
    args: tuple[str, ...], environment: Mapping[str, str], stdin: bytes | None = None
) -> Callable[[], tuple[int, bytes, bytes]]:
    """GitPython adds variables to the caller's and cannot take any away: what is too many is removed by env(1).

    That costs a millisecond and is rare, because the variables an ordinary hook sees are all set here.
    The directory is named by -C: GitPython expands ``$`` in its own, and falls back to the current one.
    """
    from subprocess import PIPE

    runner = _gitpython()
    from git.exc import GitCommandNotFound

    chosen = {**_SAFE_ENVIRONMENT, **environment}
    extra = [n for n in os.environ if n.startswith("GIT_") and n not in chosen and n not in _PASSED_ON]
    command = ["git", *args]
    if extra:
        command = ["env", *(word for name in extra for word in ("-u", name)), *command]
    try:
        process = runner.execute(command, istream=PIPE, as_process=True, env=chosen, shell=False)
    except (GitCommandNotFound, PermissionError) as error:
        raise _git_missing() from error

    def finish() -> tuple[int, bytes, bytes]:
        out, complaints = process.communicate(stdin)
        if extra and process.returncode in (126, 127):
            raise _git_missing()
        return int(process.returncode), out, complaints

    return finish


@lru_cache(maxsize=1)
def _gitpython() -> Git:
    """Import GitPython's command runner: 55 ms, so only when git is really needed.

    Its import runs ``git version`` twice, to find and to date a git it would choose. We name git ourselves, so it
    is pointed at nothing and told to be quiet; a missing git is then our own error, at the first command.
    """
    settings = {"GIT_PYTHON_REFRESH": "quiet", "GIT_PYTHON_GIT_EXECUTABLE": os.devnull}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    bare = [_without_init(name) for name in ("git", "gitdb")]
    try:
        from git.cmd import Git
    finally:
        for name in filter(None, bare):
            sys.modules.pop(name, None)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return Git()


def _without_init(name: str) -> str:
    """Stand in for a package while a module of it is imported: both packages import everything they have.

    That is an object database and an index that are banned here, and 40 ms. Returns the name to take out again, or ""
    where the package is imported already (or is not found: then the import itself says so).
    """
    from importlib.util import find_spec
    from types import ModuleType

    spec = find_spec(name) if name not in sys.modules else None
    if spec is None or spec.submodule_search_locations is None:
        return ""
    stand_in = ModuleType(name)
    stand_in.__path__ = list(spec.submodule_search_locations)
    stand_in.__spec__ = spec
    sys.modules[name] = stand_in
    return name


def _git_missing() -> UsageError:
    return UsageError("git cannot be run", fix=f"Install git {MINIMUM_GIT} or newer and put it on PATH")


def _not_reviewable(where: tuple[str, ...], out: bytes, stderr: bytes) -> UsageError:
    """Say why rev-parse found no worktree. git's messages are English here (LC_ALL=C)."""
    said = text(stderr)
    place = shown(where[1]) if where else "this directory"
    if out.startswith(b"--path-format"):
        version = text(_execute(("version",), {})[1]).strip()
        return UsageError(f"{shown(version)} is too old", fix=f"Install git {MINIMUM_GIT} or newer")
    if "dubious ownership" in said or "unsafe repository" in said:
        owned = said.partition("'")[2].partition("'")[0] or place
        command = f"git config --global --add safe.directory {shown(shlex.quote(owned))}"
        return UsageError(
            f"{shown(owned)} belongs to another user, so git will not read it", fix=f"If you trust it: `{command}`"
        )
    if "not a git repository" in said:
        return UsageError(f"{place} is not in a git repository", fix="Run it inside a worktree, or `git init` first")
    if "must be run in a work tree" in said:
        if out.startswith(b"true"):
            return UsageError(
                f"{place} is a bare repository", fix="Reviewing needs a worktree: `git worktree add`, and run it there"
            )
        return UsageError(f"{place} is not in a work tree", fix="Run it in the worktree, not in its .git directory")
    fix = "Repair what `git status` reports there"
    if "safe.bareRepository" in said:
        fix = "Run it in one of its worktrees, or name the repository: GIT_DIR"
    elif "repository extension" in said or "git repo version" in said:
        fix = "This git is older than the repository: install a newer one, and see that it is first on the PATH"
    return UsageError(f"git cannot open {place}: {complaint(stderr)}", fix=fix)
