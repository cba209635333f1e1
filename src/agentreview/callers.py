"""Who runs this hook: the git process that is committing, and the hook framework that may stand in between.

Read from the process table, which a reviewed process cannot write. Standard library only: a commit waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

STAGES = ("pre-commit", "pre-merge-commit", "prepare-commit-msg", "pre-push")
MAX_ANCESTORS = 8
_GIT_OPTIONS = frozenset({"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--config-env", "--super-prefix"})
_COMMIT_OPTIONS = frozenset({"-m", "--message", "-F", "--file", "-t", "--template", "--author", "--date", "--trailer"})


def framework_stage(args: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Which stage a hook framework runs ``agentreview hook auto`` for. None of them says so in the arguments.

    pre-commit and prek name it on their own command line, which a reviewed process cannot set; the environment,
    which it can, is asked second. When nothing tells, the index is reviewed. Of a push they read the list of refs
    themselves and pass on the first only, in the environment.
    """
    env = os.environ.get
    command = _framework_command()
    stage = command.get("--hook-type") or command.get("--hook-stage") or ""
    if not command:
        guess = "pre-push" if env("PRE_COMMIT_REMOTE_NAME") else ""
        guess = "prepare-commit-msg" if env("PRE_COMMIT_COMMIT_MSG_SOURCE") else guess
        stage = env("PREK_HOOK_STAGE") or guess
    by_hand = bool(command) and "hook-impl" not in command
    if stage == "prepare-commit-msg":
        return stage, ("", env("PRE_COMMIT_COMMIT_MSG_SOURCE", ""), env("PRE_COMMIT_COMMIT_OBJECT_NAME", ""))
    if by_hand:
        return "range" if env("PRE_COMMIT_FROM_REF") and env("PRE_COMMIT_TO_REF") else "manual", ()
    return ("range", ()) if stage == "pre-push" else (stage if stage in STAGES else "pre-commit", args)


def _framework_command() -> dict[str, str]:
    """Read the words of the framework's command line and their values; empty when none stands between git and us."""
    for pid in _ancestors():
        words = _arguments(pid)
        if not any("pre_commit" in word or os.path.basename(word) in {"pre-commit", "prek"} for word in words[:4]):  # noqa: PTH119
            if _is_git(pid):
                break
            continue
        words = words[: words.index("--")] if "--" in words else words
        pairs = ((word.partition("="), following) for word, following in zip(words, [*words[1:], ""], strict=True))
        return {key: value if equals else following for (key, equals, value), following in pairs}
    return {}


def committing_command() -> tuple[str, ...]:
    """Return git's words after its own options, ``("commit", "--amend")``; empty when the system does not tell."""
    words = _arguments(committing_process())
    if words and words[-1] == "":
        words.pop()
    if not words:
        return ()
    name = os.path.basename(words[0])  # noqa: PTH119
    if name.startswith("git-"):
        return (name.removeprefix("git-"), *words[1:])
    if name != "git":
        return ()
    rest = iter(words[1:])
    for word in rest:
        if not word.startswith("-"):
            return (word, *rest)
        if word in _GIT_OPTIONS:
            next(rest, "")
    return ()


def amends(command: tuple[str, ...]) -> bool:
    """Whether a git command is ``commit --amend``, or any beginning of that word that git understands."""
    if command[:1] != ("commit",):
        return False
    previous = ""
    for word in command[1:]:
        if word == "--":
            return False
        if len(word) > 3 and "--amend".startswith(word) and previous not in _COMMIT_OPTIONS:
            return True
        previous = word
    return False


def committing_process() -> int:
    """Find the git process that is committing: the nearest ancestor called git, else the parent. As in lookup.sh."""
    for pid in _ancestors():
        if _is_git(pid):
            return pid
    return os.getppid()


def _is_git(pid: int) -> bool:
    name = _stat(pid)[0]
    return name == "git" or name.startswith("git-")


def _ancestors() -> Iterator[int]:
    pid = os.getppid()
    for _ in range(MAX_ANCESTORS):
        yield pid
        pid = _stat(pid)[1]
        if pid <= 1:
            return


def _stat(pid: int) -> tuple[str, int]:
    """Name and parent of a process; ("", 0) when the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - on the hook path
            text = file.read()
    except OSError:
        if os.path.exists("/proc/self/stat"):  # noqa: PTH110
            return "", 0
        parent, _, name = _ps(pid, "ppid=", "comm=").partition(" ")
        return os.path.basename(name.strip()), int(parent) if parent.isdigit() else 0  # noqa: PTH119
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return name, int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else 0


def _arguments(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().split("\0")
    except OSError:
        return [] if os.path.exists("/proc/self/stat") else _ps(pid, "args=").split()  # noqa: PTH110


def _ps(pid: int, *columns: str) -> str:
    """Ask ps, where there is no /proc (macOS)."""
    import subprocess

    try:
        wanted = [word for column in columns for word in ("-o", column)]
        done = subprocess.run(["/bin/ps", *wanted, "-p", str(pid)], capture_output=True, check=False, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace").strip()
