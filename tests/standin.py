"""The real hook code with a reviewer of three lines in place of the policies: a tree with the word BAD is blocked.

Written into a script that the hooks run as their ``agentreview``. ``STANDIN_LOG`` lists what was asked of it;
``STANDIN_DURING`` is a shell command run while the review is under way, as another process would.
"""

from __future__ import annotations

import sys
from pathlib import Path

# A first line that both sh and Python understand: a #! line cannot name an interpreter with a space in its path.
SCRIPT = """#!/bin/sh
'''exec' "{python}" -I "$0" "$@"
' '''
import os, subprocess, sys, types
import agentreview.version
from agentreview import git, snapshot
from agentreview.model import Decision, Verdict
from agentreview.store import Store

agentreview.version._engine[:] = [open({version!r}).read().strip()]

def log(text):
    if "STANDIN_LOG" in os.environ:
        with open(os.environ["STANDIN_LOG"], "a") as file:
            file.write(text + "\\n")

def judge(repo, base, tree):
    bad = git.attempt(repo, "grep", "-q", "BAD", tree)[0] == 0
    decision = Decision.BLOCK if bad else Decision.PASS
    Store(repo.store_dir, repo.state_dir).save(base, tree, agentreview.version.engine_version(), decision, b"{{}}")
    return Verdict(decision=decision, base=base, tree=tree)

def judge_index(repo, reviewer=None):
    base, tree = snapshot.base_tree(repo), snapshot.staged_tree(repo)
    if "STANDIN_DURING" in os.environ:
        env = {{k: v for k, v in os.environ.items() if not k.startswith("GIT_") or "_NAME" in k or "_EMAIL" in k}}
        subprocess.run(os.environ["STANDIN_DURING"], shell=True, check=True, cwd=repo.root, env=env)
    if "STANDIN_CRASH" in os.environ:
        raise ZeroDivisionError("a bug")
    return judge(repo, base, tree)

def judge_range(repo, base, head):
    log(f"range {{base}} {{head}}")
    return judge(repo, snapshot.resolve(repo, base, "tree"), snapshot.resolve(repo, head, "tree"))

review = sys.modules["agentreview.review"] = types.ModuleType("agentreview.review")
review.judge_index, review.judge_range = judge_index, judge_range
review.render_for_hook = lambda verdict: "" if verdict.decision is Decision.PASS else "BLOCKED: there is BAD in it"

from agentreview.hook import main

assert sys.argv[1] == "hook"
log("hook " + " ".join(sys.argv[2:]))
sys.exit(main(sys.argv[2], sys.argv[3:]))
"""


def make_standin(folder: Path, version: str = "9.9") -> tuple[str, Path]:
    """Write the script and its VERSION file below ``folder``; returns (command, version file)."""
    folder.mkdir(parents=True, exist_ok=True)
    version_file = folder / "VERSION"
    version_file.write_text(f"{version}\n")
    command = folder / "agentreview"
    command.write_text(SCRIPT.format(python=sys.executable, version=str(version_file)))
    command.chmod(0o755)
    return str(command), version_file
