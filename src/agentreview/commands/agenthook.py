"""``agentreview agent-hook``: what a coding agent's own hooks run before it runs a shell command.

Speaks the events of Claude Code and Codex (``PreToolUse``) and of Cursor (``beforeShellExecution``): one JSON object on
standard input, exit code 0 to go on and 2 to stop, the reason on stderr, and for Cursor the answer as JSON on stdout.
What the agent is about to run is text to look at; none of it is run.

What a line stages by itself is not there yet when it is looked at. Then git's own hooks have to judge it, and where they
would not, the line is stopped.
"""

from __future__ import annotations

import json
import shlex
import sys
from typing import Any

import click

from agentreview.commands.gitline import (
    LOOKS,
    STAGES,
    Asked,
    commit_options,
    goes_around,
    meant,
    option_name,
    repository_at,
)
from agentreview.commands.shared import CONTEXT
from agentreview.commands.shellline import Command, parsed
from agentreview.console import output, write
from agentreview.errors import AgentReviewError, ExitCode, UsageError
from agentreview.lazyre import lazy
from agentreview.model import Decision

STOP = 2  # what the agents' protocols take for "do not run this"; a usage error ends like this too, so both stop
MAX_EVENT = 4_000_000  # bytes
_SHELL_TOOLS = frozenset({"Bash", "bash", "shell", "local_shell", "exec_command", "Shell", "run_terminal_cmd"})
_QUIET = frozenset(
    "ls cat echo printf pwd true false : test [ head tail grep rg wc sort uniq sleep which type date whoami set unset jq mkdir for done fi esac case }".split()
)  # programs that leave it alone
_GIT, _COMMIT = lazy(r"\bgit\b"), lazy(r"\bcommit\b")
_REDIRECTED = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_EXEC_PATH",
    "GIT_NAMESPACE",
)
_AROUND = "goes around the review. Commit without it; only a person may, and says why (AGENTREVIEW_BYPASS)"
_APART = "Stage first (git add), then run git commit in a call of its own: that is reviewed before it runs"


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

    Reads the agent's event from standard input. A command that goes around the review is stopped as well, and so is one
    that stages and commits at once where git's own hooks would not review it.
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
    if isinstance(given, dict) and event.get("tool_name") in _SHELL_TOOLS:
        line = given.get("command")
    if isinstance(line, list):  # argv, as some versions of Codex give it: ["bash", "-lc", "git commit"]
        line = shlex.join(word for word in line if isinstance(word, str))
    where = event.get("cwd")
    return (line, where if isinstance(where, str) and where else ".") if isinstance(line, str) else ("", "")


def _objection(line: str, where: str) -> str:
    """Why this line must not run: it goes around the review, or commits what nothing reviews. Empty to let it run."""
    commands = parsed(line, where)
    if commands is None:  # no shell would take it, or it is more than we read
        return (
            _left_to_git(Command(where=where, program="git"), "this line cannot be read")
            if (first := _GIT.search(line)) and _COMMIT.search(line, first.end())
            else ""
        )
    staged = sure = True  # what is staged now is what will be, as far as is known; and for certain
    for one in meant(commands):
        around = goes_around(one)
        if around:
            return f"agentreview: {around} {_AROUND}."
        if one.program == "git" and one.sub == "commit":
            asked = commit_options(one.words)
            told = "" if asked.looks else _commit(one, asked, staged=staged, sure=sure)
            if told:
                return told
        elif one.program == "git":
            staged = staged and one.sub not in STAGES
            sure = sure and one.sub in LOOKS
        elif one.program not in _QUIET and one.program:
            sure = False
    return ""


def _commit(one: Command, asked: Asked, *, staged: bool, sure: bool) -> str:
    """Review what this commit takes, or see that git's own hooks will."""
    if one.where is None:
        return f"agentreview: where this commits is only known to the shell. Write the path out: git -C PATH commit. {_APART}."
    redirected = one.elsewhere or next((n for n in map(option_name, one.environment) if n in _REDIRECTED), "")
    if redirected:
        return (
            f"agentreview: what {redirected} makes of this commit cannot be reviewed. Use git -C PATH commit. {_APART}."
        )
    if staged and not asked.more:
        told = _review(one.where, amend=asked.amend)
        if told or sure:
            return told
    return _left_to_git(one, "this line does more than to commit what is staged now")


def _left_to_git(one: Command, what: str) -> str:
    """Nothing where git's own hooks review the commit; else why they do not, and what to do."""
    from agentreview.doctor import missing_gate
    from agentreview.reporters.text import escape

    repo = repository_at(one.where)
    missing = missing_gate(repo) if repo is not None else None
    if missing is None:
        return ""
    return (
        f"agentreview: {what}, so only git's own hooks could review it, and they would not: {escape(missing.detail)}.\n"
        f"  do: {_APART}.\n"
        f"  or {escape(missing.fix)}   (in {escape(repo.root) if repo is not None else ''}; then git reviews every commit)\n"
    )


def _review(where: str, *, amend: bool) -> str:
    from agentreview.reporters import REPORTERS
    from agentreview.review import judge_index

    repo = repository_at(where)
    if repo is None:
        return ""
    verdict = judge_index(repo, amend=amend)
    if verdict.decision is Decision.PASS:
        return ""
    return REPORTERS["agent"](verdict, color=False, width=100, verbose=False, quiet=False)
