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
from agentreview.history import raw_entries
from agentreview.issuing import issue
from agentreview.model import *
from agentreview.store import Store

agentreview.version._engine[:] = [open({version!r}).read().strip()]

def log(text):
    if "STANDIN_LOG" in os.environ:
        with open(os.environ["STANDIN_LOG"], "a") as file:
            file.write(text + "\\n")

def judge(repo, base, tree):
    (entries,) = raw_entries(repo, [(base, tree)])
    there = git.read_blobs(repo, [e.new_oid for e in entries if e.new_mode.startswith("100")])
    bad = [e.path for e in entries if b"BAD" in there.get(e.new_oid, b"")]
    decision = Decision.BLOCK if bad else Decision.PASS
    version = agentreview.version.engine_version()
    verdict = Verdict(decision=decision, base=base, tree=tree, version=version, findings=tuple(map(finding, bad)))
    if base != tree and "STANDIN_NO_RECEIPTS" not in os.environ:
        issue(repo, verdict, entries, {{}})
    Store(repo.store_dir, repo.state_dir).save(base, tree, version, decision, b"{{}}")
    return verdict

def finding(path):
    rule = "secrets.bad" if "secret" in path else "bad.bad"
    return Finding(
        fingerprint="b2:" + path, rule=rule, title="", severity=Severity.HIGH, confidence=Confidence.HIGH, hit=Hit.VIOLATION,
        origin=Origin.INTRODUCED, status=Status.BLOCKING, agent="", path=path, start_line=1, end_line=1, unit="", message="",
        excerpt="", fix="",
    )

def judge_index(repo, reviewer=None, amend=False, tell=None):
    base, tree = (snapshot.parent_tree if amend else snapshot.base_tree)(repo), snapshot.staged_tree(repo)
    if "STANDIN_DURING" in os.environ:
        env = {{k: v for k, v in os.environ.items() if not k.startswith("GIT_") or "_NAME" in k or "_EMAIL" in k}}
        subprocess.run(os.environ["STANDIN_DURING"], shell=True, check=True, cwd=repo.root, env=env)
    if "STANDIN_CRASH" in os.environ:
        raise ZeroDivisionError("a bug")
    return judge(repo, base, tree)

def judge_range(repo, base, head):
    log(f"range {{base}} {{head}}")
    return judge(repo, snapshot.resolve(repo, base, "tree"), snapshot.resolve(repo, head, "tree"))

class Nobody:  # in place of the child that loads the engine meanwhile: no engine is asked here
    __enter__ = lambda self: self
    __exit__ = lambda self, *_: None

background = sys.modules["agentreview.background"] = types.ModuleType("agentreview.background")
background.Reviewer = Nobody
review = sys.modules["agentreview.review"] = types.ModuleType("agentreview.review")
review.judge_index, review.judge_range = judge_index, judge_range
review.utc_date = lambda: "2026-11-23"
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
