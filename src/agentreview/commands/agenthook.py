"""``agentreview agent-hook``: what a coding agent's own hooks run before it runs a shell command.

Speaks the events of Claude Code and Codex (``PreToolUse``) and of Cursor (``beforeShellExecution``): one JSON object on
standard input, exit code 0 to go on and 2 to stop, the reason on stderr, and for Cursor the answer as JSON on stdout.
What the agent is about to run is text to look at; none of it is run.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from typing import Any

import click

from agentreview.commands.shared import CONTEXT
from agentreview.console import output, write
from agentreview.errors import AgentReviewError, ExitCode, UsageError
from agentreview.lazyre import lazy
from agentreview.model import Decision
from agentreview.records import dataclass

STOP = 2  # what the agents' protocols take for "do not run this"; a usage error ends like this too, so both stop
MAX_EVENT = 4_000_000  # bytes
_SHELLS = frozenset({"Bash", "bash", "shell", "local_shell", "exec_command", "Shell", "run_terminal_cmd"})
_BETWEEN = frozenset("();<>|&\n")  # what stands between the commands of a line
_WITH_VALUE = frozenset({"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--super-prefix"})
_STAGES = frozenset(
    {"add", "rm", "mv", "apply", "stash", "checkout", "restore", "reset", "merge", "rebase", "cherry-pick", "am"}
)
_SKIPS = lazy(r"-[a-zA-Z]*n[a-zA-Z]*")  # of git commit: -n, -an, -nm
_TAKES_MORE = lazy(r"-[a-zA-Z]*[aoip][a-zA-Z]*")
_AROUND = "This goes around the review. Commit without it; only a person may, and says why (AGENTREVIEW_BYPASS)."


@dataclass(frozen=True, slots=True)
class Git:
    """One command of a shell line: where it runs, and for git its subcommand with what follows. Others have no name."""

    where: str
    name: str
    words: tuple[str, ...]  # its options
    settings: tuple[str, ...] = ()  # NAME=value before it, and values of -c
    rest: tuple[str, ...] = ()  # everything after the subcommand


@click.command(
    "agent-hook",
    context_settings=CONTEXT,
    short_help="What a coding agent's hooks run before a shell command.",
    epilog="""\b
The settings for Claude Code, Codex and Cursor are in integrations/. Exit codes are those of the agents' protocols:
    0  the command may run
    2  it may not, and stderr says why""",
)
def command() -> int:
    """Before a coding agent commits: stop a commit that the review blocks, with what to do about it.

    Reads the agent's event from standard input. A command that goes around the review is stopped as well.
    """
    event: dict[str, Any] = {}
    try:
        event = _event()
        line, where = _shell(event)
        why = _objection(line, where) if line else ""
    except AgentReviewError as error:
        why = f"agentreview: this commit could not be reviewed: {error}"
    if event.get("hook_event_name") == "beforeShellExecution":
        answer = (
            {"permission": "deny", "user_message": why.split("\n")[0], "agent_message": why}
            if why
            else {"permission": "allow"}
        )
        output(json.dumps(answer) + "\n")
    if not why:
        return int(ExitCode.PASS)
    write(why.rstrip("\n") + "\n")
    return STOP


def _event() -> dict[str, Any]:
    fix = "It is run by the hooks of a coding agent: see integrations/ for the settings"
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("agent-hook reads an event from standard input", fix=fix)
    data = sys.stdin.buffer.read(MAX_EVENT + 1)
    try:
        event = json.loads(data) if len(data) <= MAX_EVENT else None
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise UsageError("what came on standard input is no event", fix=fix)
    return event


def _shell(event: dict[str, Any]) -> tuple[str, str]:
    """Return the shell line an event is about, and the directory it runs in; nothing for another tool."""
    given = event.get("tool_input")
    line = event.get("command")
    if isinstance(given, dict) and event.get("tool_name") in _SHELLS:
        line = given.get("command")
    if isinstance(line, list):  # argv, as some versions of Codex give it: ["bash", "-lc", "git commit"]
        words = [word for word in line if isinstance(word, str)]
        line = words[-1] if words[1:2] in (["-lc"], ["-c"]) else shlex.join(words)
    where = event.get("cwd")
    return (line, where if isinstance(where, str) and where else ".") if isinstance(line, str) else ("", "")


def _objection(line: str, where: str) -> str:
    """Why this line must not run: it goes around the review, or commits what the review blocks. Empty to let it run."""
    commands = parsed(line, where)
    if commands is None:  # no shell would take it either, or it is more than we read: the commit hook judges it
        return ""
    staging = False
    for git in commands:
        if _goes_around(git):
            return f"agentreview: {_AROUND}"
        staging = staging or git.name in _STAGES
        takes_more = any(
            _TAKES_MORE.fullmatch(word) or word in ("--all", "--only", "--include", "--patch") for word in git.words
        )
        # What the line itself stages is not there yet. The hook of git sees it, and refuses with the same report.
        if git.name == "commit" and not staging and not takes_more and "--dry-run" not in git.words:
            told = _review(git)
            if told:
                return told
    return ""


def _goes_around(git: Git) -> bool:
    named = {one.partition("=")[0].lower() for one in git.settings}
    if "agentreview_bypass" in named or (git.name and "core.hookspath" in named):
        return True
    if git.name == "config" and any(word.lower() == "core.hookspath" for word in git.rest) and len(git.rest) > 1:
        return True
    if git.name in ("commit", "push", "merge") and "--no-verify" in git.words:
        return True
    return git.name == "commit" and any(_SKIPS.fullmatch(word) for word in git.words)


def _review(git: Git) -> str:
    from agentreview.git import open_repository
    from agentreview.reporters import REPORTERS
    from agentreview.review import judge_index

    try:
        repo = open_repository(git.where)
    except UsageError:  # not made yet, or a place of which git itself will say what is wrong
        return ""
    verdict = judge_index(repo, amend="--amend" in git.words)
    if verdict.decision is Decision.PASS:
        return ""
    return REPORTERS["agent"](verdict, color=False, width=100, verbose=False, quiet=False)


def parsed(line: str, where: str) -> list[Git] | None:
    """Read the git commands of a shell line as far as words and ``cd`` go. None for what is no line of words."""
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="".join(_BETWEEN))
        lexer.whitespace = " \t\r"
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        return None
    found: list[Git] = []
    for part in _parts(words):
        settings = [word for word in part if "=" in word.partition(" ")[0]][: _leading(part)]
        rest = part[_leading(part) :]
        if rest[:1] == ["cd"] and len(rest) > 1:
            where = os.path.join(where, os.path.expanduser(rest[1]))  # noqa: PTH111, PTH118 - a path of somebody else's line
            continue
        name = rest[0].rsplit("/", 1)[-1] if rest else ""
        if name == "export":
            settings, rest = [*settings, *rest[1:]], []
        found.append(_git(rest[1:], where, settings) if name == "git" else Git(where, "", (), tuple(settings)))
    return found


def _parts(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word and _BETWEEN.issuperset(word):
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def _leading(part: list[str]) -> int:
    """How many ``NAME=value`` words stand in front of the command, ``env`` included."""
    for number, word in enumerate(part):
        name, equals, _ = word.partition("=")
        if not (equals and name.isidentifier()) and word not in (
            "env",
            "command",
            "exec",
            "sudo",
            "then",
            "do",
            "{",
            "!",
            "time",
        ):
            return number
    return len(part)


def _git(words: list[str], where: str, settings: list[str]) -> Git:
    """Take git's own options apart from the subcommand."""
    settings = list(settings)
    while words and words[0].startswith("-"):
        option, equals, value = words[0].partition("=")
        words = words[1:]
        if not equals and option in _WITH_VALUE and words:
            value, words = words[0], words[1:]
        if option == "-C":
            where = os.path.join(where, value)  # noqa: PTH118
        elif option == "-c":
            settings.append(value)
    return Git(where, words[0] if words else "", tuple(_options(words[1:])), tuple(settings), tuple(words[1:]))


def _options(words: list[str]) -> list[str]:
    """The words that are options: the text of a message is not one, nor is a path after ``--``."""
    out: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
            continue
        if word == "--":
            break
        if word in (
            "-m",
            "-F",
            "-C",
            "-c",
            "-t",
            "--message",
            "--file",
            "--author",
            "--date",
            "--trailer",
            "--fixup",
            "--squash",
        ):
            skip = True
            continue
        if word.startswith("-"):
            head = word if word.startswith("--") else word.split("m", 1)[0] if "m" in word else word
            skip = not word.startswith("--") and word.endswith("m")
            out.append(head)
    return out
