"""What a coding agent's hooks run before a shell command: the settings in integrations/, each with its tool's event."""

from __future__ import annotations

import io
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

from agentreview.cli import main
from agentreview.commands.gitline import commit_options
from agentreview.commands.shellline import parsed
from commandline import BAD, GOOD, RULE, Done, agentreview

ROOT = Path(__file__).parents[1]


def pre_tool_use(line: str, cwd: Path) -> dict[str, Any]:
    """The event of Claude Code."""
    about = {"session_id": "s1", "transcript_path": "/tmp/t.jsonl", "cwd": str(cwd), "permission_mode": "default"}
    given = {"command": line, "description": "Commit", "timeout": 120000, "run_in_background": False}
    return {**about, "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": given, "tool_use_id": "t1"}


def codex_event(line: str, cwd: Path) -> dict[str, Any]:
    """The event of Codex."""
    about = {
        "session_id": "s1",
        "transcript_path": None,
        "cwd": str(cwd),
        "hook_event_name": "PreToolUse",
        "model": "m",
    }
    turn = {"turn_id": "u1", "permission_mode": "default", "tool_name": "Bash", "tool_use_id": "t1"}
    return {**about, **turn, "tool_input": {"command": line}}


def before_shell(line: str, cwd: Path) -> dict[str, Any]:
    """The event of Cursor."""
    about = {"conversation_id": "c1", "generation_id": "g1", "model": "m", "cursor_version": "2.0.77"}
    where = {"workspace_roots": [str(cwd)], "user_email": None, "transcript_path": None, "sandbox": False}
    return {**about, **where, "hook_event_name": "beforeShellExecution", "command": line, "cwd": str(cwd)}


TOOLS = {
    "claude-code/settings.json": (lambda s: s["hooks"]["PreToolUse"][0]["hooks"][0]["command"], pre_tool_use),
    "claude-code/hooks/hooks.json": (lambda s: s["hooks"]["PreToolUse"][0]["hooks"][0]["command"], pre_tool_use),
    "codex/hooks.json": (lambda s: s["hooks"]["PreToolUse"][0]["hooks"][0]["command"], codex_event),
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


AROUND = [
    "git commit --no-verify -m x",
    "git commit --no-veri -m x",
    "git commit -nm x",
    "git commit -an -m x",
    "git commit -m ';' --no-verify",
    "git commit \\\n  --no-verify -m x",
    "git commit -m '#12 mend it' --no-verify",
    "echo start # a remark\ngit commit -n -m x",
    "cd sub && AGENTREVIEW_BYPASS=please git commit -m x",
    "export AGENTREVIEW_BYPASS=please; make commit",
    "env AGENTREVIEW_BYPASS=1 sh commit.sh",
    "git -c core.hooksPath=/dev/null commit -m x",
    "git --config-env=core.hooksPath=NOWHERE commit -m x",
    "git -c hook.agentreview-pre-commit.enabled=false commit -m x",
    "git config core.hooksPath /dev/null",
    "git config set --local core.hooksPath /dev/null",
    "git config --unset core.hooksPath",
    "env GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.hooksPath GIT_CONFIG_VALUE_0=/dev/null git commit -m x",
    "GIT_CONFIG_PARAMETERS=\"'core.hooksPath=/dev/null'\" git commit -m x",
    "GIT_CONFIG_GLOBAL=/tmp/other git commit -m x",
    "HUSKY=0 git commit -m x",
    "SKIP=agentreview git commit -m x",
    "LEFTHOOK=0 git commit -m x",
    "git add -A && git commit --no-verify -m x",
    "git push --no-verify",
    "git merge --no-verify side",
    "/usr/bin/git -C . commit -n -m x",
    "bash -c 'git commit --no-verify -m x'",
    "sh -lc \"cd sub && bash -c 'git commit -n -m x'\"",
    "eval 'git commit --no-verify -m x'",
    "bash <<EOF\ngit commit --no-verify -m x\nEOF",
    "timeout 60 sudo -u dev git commit --no-verify -m x",
    "if true; then git commit -n -m x; fi",
    "for f in a b; do git commit -n -m $f; done",
    "watch -n 5 git commit -nm x",
    "(git commit -n -m x) 2>&1 | tail -3",
    "echo $(git commit -n -m x)",
    "echo `git commit -n -m x` done",
    "git commit -m $(date +%s) --no-verify",
    "git -c alias.ci='commit --no-verify' ci -m x",
    "git commit $'--no-verify' -m x",
    "git commit -m $'it\\'s' $'\\x2d\\055no-verify'",
    'git commit $"--no-verify" -m x',
    "bash <<< 'git commit --no-verify -m x'",
    "find . -maxdepth 0 -exec git commit --no-verify -m x \\;",
    "env -S 'git commit --no-verify -m x'",
    "git sneak -m x",
    "git shout",
    "agentreview uninstall && git commit -m x",
    "rm .git/hooks/pre-commit",
    "chmod -x .git/hooks/*",
]


@pytest.mark.parametrize("line", AROUND)
def test_a_line_that_goes_around_the_review_is_stopped_whatever_is_staged(repo, line, event_of):
    repo.commit({"a": "1"})
    repo.git("config", "alias.sneak", "commit --no-verify")
    repo.git("config", "alias.shout", "!echo now && git commit -n")
    done = event_of(line, repo.path)
    assert done.code == 2, line
    assert "goes around the review" in done.err
    assert done.err.count("\n") == 1


@pytest.fixture
def event_of(capsys, monkeypatch):
    """Run the command in this process: a table of lines would wait a minute for as many interpreters."""

    def run(line: str, cwd: Path) -> Done:
        data = io.BytesIO(json.dumps(pre_tool_use(line, cwd)).encode())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
        code = main(["agent-hook"])
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run


MESSAGE = """git commit -m "$(cat <<'EOF'
Don't panic

git commit --no-verify is refused from now on.
git add . && git commit
EOF
)" """


@pytest.mark.parametrize(
    "line",
    [
        'git commit -m "no --no-verify here, and -n neither"',
        MESSAGE,
        "git commit -F - <<'END'\ngit commit --no-verify\nEND",
        "git commit -m x 2>&1 | tail -3",
        "git commit -m x >out.txt 2>&1",
        "git status && git diff --cached --stat && git commit --amend --no-edit",
        "git commit --author 'Dana <d@x>' --date now -mx",
        "bash -lc 'git commit -m x'",
        "command git commit -m x",
        "git ci -m x",
        "LC_ALL=C git -c user.name=Dana commit -m x",
    ],
)
def test_a_commit_of_what_is_staged_is_reviewed_before_it_runs(repo, line, event_of):
    repo.commit({"README.md": "x"})
    repo.git("config", "alias.ci", "commit -v")
    repo.stage(BAD)
    stopped = event_of(line, repo.path)
    assert (stopped.code, "goes around" in stopped.err) == (2, False), line
    assert RULE in stopped.err
    repo.stage(GOOD)
    assert event_of(line, repo.path) == Done(0, "", "")  # no hook of git's is needed for it


@pytest.mark.parametrize(
    "line",
    [
        "git log -n 3",
        "git config core.hooksPath",
        "git config --get core.hooksPath",
        "git config get core.hooksPath",
        "git commit --dry-run",
        "git commit --help",
        "grep -- --no-verify README.md",
        "git status 'unclosed",
        "echo 'git commit' >notes",
        "git push",
        "cat .git/hooks/pre-commit",
        "git -c user.name=x log",
    ],
)
def test_what_neither_commits_nor_goes_around_anything_is_let_through(repo, line, event_of):
    repo.commit({"a": "1"})
    repo.stage(BAD)
    assert event_of(line, repo.path) == Done(0, "", "")


AT_ONCE = [
    "git add -A && git commit -m x",
    "git commit -am x",
    "git commit --all -m x",
    "git commit -m x clinic/views.py",
    "git commit -m x -- clinic/views.py",
    "git commit --only clinic/views.py -m x",
    "git commit -p -m x",
    "make format && git commit -m x",
    "git stash pop; git commit -m x",
    "git everything",
    "bash -c 'git add . && git commit -m x'",
    "git commit -m 'unclosed",
]


@pytest.mark.parametrize("line", AT_ONCE)
def test_a_line_that_stages_and_commits_at_once_needs_gits_own_hooks(repo, line, event_of):
    repo.commit({"a": "1"})
    repo.git("config", "alias.everything", "commit -am everything")
    stopped = event_of(line, repo.path)
    assert stopped.code == 2
    assert "there is none in" in stopped.err
    assert "git commit in a call of its own" in stopped.err
    assert "  or run: agentreview install   (in " in stopped.err
    assert agentreview("install", cwd=repo.path).code == 0
    assert event_of(line, repo.path) == Done(0, "", "")
    (repo.path / ".git/hooks/pre-commit").chmod(0o644)
    assert "not executable" in event_of(line, repo.path).err
    (repo.path / ".git/hooks/pre-commit").chmod(0o755)
    repo.git("config", "core.hooksPath", "/nowhere")
    assert event_of(line, repo.path).code == 2


def test_what_is_let_through_to_gits_hooks_is_refused_by_them(repo):
    repo.commit({"README.md": "x"})
    assert agentreview("install", cwd=repo.path).code == 0
    repo.write(BAD)
    line = "git add -A && git commit -m x"
    assert asked("claude-code/settings.json", line, repo.path).code == 0
    done = subprocess.run(["sh", "-c", line], cwd=repo.path, capture_output=True, check=False)
    assert done.returncode == 1
    assert RULE.encode() in done.stderr
    assert repo.git("rev-list", "--count", "HEAD").strip() == "1"


def test_looking_for_the_gate_makes_no_probe_commit(repo, event_of, monkeypatch):
    repo.commit({"a": "1"})
    assert agentreview("install", cwd=repo.path).code == 0
    monkeypatch.setattr("agentreview.doctor.fire", lambda *_: pytest.fail("a hook was run"))
    assert event_of("git commit -am x", repo.path).code == 0


@pytest.mark.parametrize(
    "line",
    [
        'cd "$ROOT" && git commit -m x',
        "git -C `git rev-parse --show-toplevel` commit -m x",
        "git -C $(git rev-parse --show-toplevel) commit -m x",
        'git -C "$(git rev-parse --show-toplevel)" commit -m x',
        "cd - && git commit -m x",
        "GIT_DIR=/elsewhere git commit -m x",
        "GIT_INDEX_FILE=other git commit -m x",
        "git --git-dir=/elsewhere/.git --work-tree=. commit -m x",
    ],
)
def test_a_commit_whose_place_only_the_shell_knows_is_stopped_with_how_to_write_it(repo, line, event_of):
    repo.commit({"a": "1"})
    stopped = event_of(line, repo.path)
    assert stopped.code == 2
    assert "git -C PATH commit" in stopped.err


def test_the_worktree_that_the_line_names_is_reviewed(repo):
    repo.commit({"a": "1"})
    repo.git("worktree", "add", "-q", "--detach", str(repo.path.parent / "other one"))
    other = repo.path.parent / "other one"
    for name, text in BAD.items():
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_text(text)
    subprocess.run(["git", "add", "-A"], cwd=other, check=True)
    assert asked("claude-code/settings.json", "git commit -m x", repo.path).code == 0
    for line in (
        f"git -C {shlex.quote(str(other))} commit -m x",
        "cd '../other one' && git commit -m x",
        "(cd '../other one'; git commit -m x)",
        f"pushd {shlex.quote(str(other))} && git commit -m x && popd",
        "env -C '../other one' git commit -m x",
        "sudo --chdir='../other one' bash -c 'git commit -m x'",
    ):
        assert asked("claude-code/settings.json", line, repo.path).code == 2
    assert asked("claude-code/settings.json", "(cd '../other one'); git commit -m x", repo.path).code == 0


def test_a_review_that_cannot_be_done_stops_the_commit_and_says_why(repo):
    repo.commit({"a": "1"})
    repo.stage({"agentreview.toml": "nonsense = 1\n"})
    done = asked("claude-code/settings.json", "git commit -m x", repo.path)
    assert done.code == 2
    assert "could not be reviewed: agentreview.toml:1" in done.err


def test_a_line_too_long_to_read_is_left_to_gits_own_hooks(repo):
    repo.commit({"a": "1"})
    repo.stage(BAD)
    for line in (f"git commit -m '{'a' * 2_000_000}'", "git " * 500_000 + "commit"):
        stopped = asked("claude-code/settings.json", line, repo.path)
        assert (stopped.code, "cannot be read" in stopped.err, "agentreview install" in stopped.err) == (2, True, True)
    assert asked("claude-code/settings.json", "git " * 500_000, repo.path).code == 0


def test_a_place_with_a_name_too_long_for_one_is_for_git_to_refuse(repo):
    repo.commit({"a": "1"})
    assert asked("claude-code/settings.json", f"git -C {'a' * 5000} commit -m x", repo.path) == Done(0, "", "")
    done = agentreview("--worktree", "a" * 5000, cwd=repo.path)
    assert (done.code, "is not a directory" in done.err) == (2, True)


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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("-m x", ""),
        ("-am x", "more"),
        ("-mall", ""),
        ("-F file -t template", ""),
        ("-uno -Skey -m x", ""),
        ("--amend --no-edit", "amend"),
        ("--am -C HEAD", "amend"),
        ("--fixup HEAD~1", ""),
        ("--fixup=amend:HEAD", ""),
        ("--message=x --signoff", ""),
        ("--trailer a=b path", "more"),
        ("-vsn", "unverified"),
        ("--no-verify", "unverified"),
        ("--dry-run -a", "more looks"),
        ("-i path", "more"),
        ("--pathspec-from-file=list", "more"),
        ("--allow-empty -m --no-verify", ""),
    ],
)
def test_the_options_of_git_commit_are_read_as_git_reads_them(words, told):
    asked = commit_options(words.split())
    assert [name for name in ("amend", "unverified", "more", "looks") if getattr(asked, name)] == told.split()


@given(st.text(alphabet="git comi-nmx'\"\\;&|()$=<>\n/#EOF", max_size=80))
def test_any_line_is_read_or_left_to_git(line):
    found = parsed(line, "/somewhere")
    assert found is None or all(isinstance(one.program, str) for one in found)
