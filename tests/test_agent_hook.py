"""What a coding agent's hooks run before a shell command: the settings in integrations/, each with its tool's event."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentreview.commands.agenthook import parsed
from commandline import BAD, GOOD, RULE, Done, agentreview

ROOT = Path(__file__).parents[1]


def pre_tool_use(line: str, cwd: Path) -> dict[str, Any]:
    """The event of Claude Code and Codex."""
    about = {"session_id": "s1", "transcript_path": "/tmp/t.jsonl", "hook_event_name": "PreToolUse", "cwd": str(cwd)}
    return {**about, "tool_name": "Bash", "tool_input": {"command": line, "description": "Commit"}, "tool_use_id": "t1"}


def before_shell(line: str, cwd: Path) -> dict[str, Any]:
    """The event of Cursor."""
    about = {"conversation_id": "c1", "generation_id": "g1", "workspace_roots": [str(cwd)]}
    return {**about, "hook_event_name": "beforeShellExecution", "command": line, "cwd": str(cwd)}


TOOLS = {
    "claude-code/settings.json": (lambda s: s["hooks"]["PreToolUse"][0]["hooks"][0]["command"], pre_tool_use),
    "codex/hooks.json": (lambda s: s["hooks"]["PreToolUse"][0]["hooks"][0]["command"], pre_tool_use),
    "cursor/hooks.json": (lambda s: s["hooks"]["beforeShellExecution"][0]["command"], before_shell),
}


def asked(tool: str, line: str, cwd: Path) -> Done:
    """Run the command of the tool's settings as the tool does: through a shell, the event on standard input."""
    find, event = TOOLS[tool]
    command = find(json.loads((ROOT / "integrations" / tool).read_text()))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command, shell=True, cwd=cwd, input=json.dumps(event(line, cwd)), text=True, capture_output=True, check=False,
        env={**os.environ, "PATH": path}, timeout=120,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_commit_that_the_review_blocks_is_stopped_with_what_to_do_and_a_good_one_goes_on(repo, tool):
    repo.commit({"README.md": "x"})
    repo.stage(BAD)
    stopped = asked(tool, 'git commit -m "Add the chart"', repo.path)
    assert stopped.code == 2
    assert RULE in stopped.err
    assert "clinic/views.py" in stopped.err
    repo.stage(GOOD)
    done = asked(tool, 'git commit -m "Add the chart"', repo.path)
    assert (done.code, done.err) == (0, "")
    assert asked(tool, "ls -l", repo.path).code == 0


def test_cursor_is_answered_in_its_own_words(repo):
    repo.commit({"README.md": "x"})
    repo.stage(BAD)
    answer = json.loads(asked("cursor/hooks.json", "git commit -m x", repo.path).out)
    assert answer["permission"] == "deny"
    assert RULE in answer["agent_message"]
    assert json.loads(asked("cursor/hooks.json", "ls", repo.path).out) == {"permission": "allow"}


@pytest.mark.parametrize(
    "line",
    [
        "git commit --no-verify -m x",
        "git commit -nm x",
        "git commit -an -m x",
        "cd sub && AGENTREVIEW_BYPASS=please git commit -m x",
        "export AGENTREVIEW_BYPASS=please; make commit",
        "env AGENTREVIEW_BYPASS=1 sh commit.sh",
        "git -c core.hooksPath=/dev/null commit -m x",
        "git config core.hooksPath /dev/null",
        "git add -A && git commit --no-verify -m x",
        "git push --no-verify",
        "/usr/bin/git -C . commit -n -m x",
    ],
)
def test_a_line_that_goes_around_the_review_is_stopped_whatever_is_staged(repo, line):
    repo.commit({"a": "1"})
    done = asked("claude-code/settings.json", line, repo.path)
    assert done.code == 2
    assert "goes around the review" in done.err


@pytest.mark.parametrize(
    "line",
    [
        'git commit -m "no --no-verify here, and -n neither"',
        "git log -n 3",
        "git config core.hooksPath",
        "git commit --dry-run",
        "git add -A && git commit -m x",  # the hook of git sees what it stages
        "git commit -am x",
        "grep -- --no-verify README.md",
        "git status 'unclosed",
    ],
)
def test_what_goes_around_nothing_is_let_through(repo, line):
    repo.commit({"a": "1"})
    repo.stage(BAD)
    done = asked("claude-code/settings.json", line, repo.path)
    if line.startswith("git commit -m"):
        assert (done.code, "goes around" in done.err) == (2, False)  # reviewed, and blocked for what is staged
    else:
        assert (done.code, done.err) == (0, "")


def test_the_worktree_that_the_line_names_is_reviewed(repo):
    repo.commit({"a": "1"})
    repo.git("worktree", "add", "-q", "--detach", str(repo.path.parent / "other one"))
    other = repo.path.parent / "other one"
    for name, text in BAD.items():
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_text(text)
    subprocess.run(["git", "add", "-A"], cwd=other, check=True)
    assert asked("claude-code/settings.json", "git commit -m x", repo.path).code == 0
    for line in (f"git -C {shlex.quote(str(other))} commit -m x", "cd '../other one' && git commit -m x"):
        assert asked("claude-code/settings.json", line, repo.path).code == 2


def test_a_review_that_cannot_be_done_stops_the_commit_and_says_why(repo):
    repo.commit({"a": "1"})
    repo.stage({"agentreview.toml": "nonsense = 1\n"})
    done = asked("claude-code/settings.json", "git commit -m x", repo.path)
    assert done.code == 2
    assert "could not be reviewed: agentreview.toml:1" in done.err


def test_outside_a_repository_git_says_what_is_wrong_itself(tmp_path):
    assert asked("claude-code/settings.json", "git init && git commit -m x", tmp_path).code == 0


@pytest.mark.parametrize("data", [b"", b"[]", b"no json", b"{", b"[" * 100_000])
def test_what_is_no_event_is_refused_in_one_line(tmp_path, data):
    done = subprocess.run(
        [str(Path(sys.executable).parent / "agentreview"), "agent-hook"], input=data, capture_output=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"integrations/" in done.stderr
    assert agentreview("agent-hook", "--help", cwd=tmp_path).code == 0


@given(st.text(alphabet="git comi-nmx'\"\\;&|()$=<>\n/", max_size=80))
def test_any_line_is_read_or_left_to_git(line):
    found = parsed(line, "/somewhere")
    assert found is None or all(isinstance(one.name, str) for one in found)
