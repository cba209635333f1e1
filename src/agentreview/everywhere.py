"""Edge: the staged change of every worktree, reviewed at the same time, each by a process of its own.

A review forks, so it is not run in threads of one process; and what goes wrong in one worktree must not reach another.
The child is this same installation, and takes no module from the directory it runs in: that is under review.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from agentreview.errors import ExitCode
from agentreview.git import WorktreeInfo, worktrees_from
from agentreview.model import Decision, Verdict
from agentreview.records import dataclass, replace
from agentreview.reporters.jsonreport import loads

START = "import sys; sys.path[:] = [p for p in sys.path if p]; from agentreview.entry import main; sys.exit(main())"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """One worktree: its verdict, or why there is none. ``left_out`` says why it was not asked (a bare repository)."""

    path: str
    branch: str | None
    verdict: Verdict | None = None
    code: int = 0
    error: str = ""
    left_out: str = ""


def review_everywhere(options: Sequence[str] = (), path: str | None = None) -> Iterator[Reviewed]:
    """Review what is staged in every worktree; results in git's order. UsageError where there is no repository."""
    found = worktrees_from(path)
    with ThreadPoolExecutor(max(2, (os.cpu_count() or 2) // 2)) as pool:
        yield from pool.map(lambda info: _reviewed(info, options), found)


def _reviewed(info: WorktreeInfo, options: Sequence[str]) -> Reviewed:
    left_out = Reviewed(path=info.path, branch=info.branch, left_out="its directory is not there")
    if info.bare:
        return replace(left_out, left_out="a bare repository has nothing staged")
    if info.prunable:
        return replace(left_out, left_out="its directory is gone: git worktree prune")
    argv = command(info.path, options)
    done = subprocess.run(argv, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    found = answered(info.path, info.branch, done.returncode, done.stdout, done.stderr)
    return left_out if found.error and not os.path.lexists(info.path) else found


def command(path: str, options: Sequence[str] = ()) -> list[str]:
    """Return what reviews the staged change of one worktree; :func:`answered` reads what it prints."""
    return [sys.executable, "-c", START, "run", "--worktree", path, "--format", "json", *options]


def answered(path: str, branch: str | None, code: int, out: bytes, err: bytes) -> Reviewed:
    """Read the answer of a process of :func:`command`. One that ended without a verdict says why."""
    said = [line for line in err.decode("utf-8", "replace").splitlines() if line.startswith("agentreview: ")]
    complaint = said[-1].removeprefix("agentreview: ") if said else f"the review ended with status {code}"
    try:
        verdict = loads(out.decode("ascii"))
    except ValueError:
        return Reviewed(path=path, branch=branch, code=code or ExitCode.BUG, error=complaint)
    return Reviewed(path=path, branch=branch, verdict=verdict, code=code)


def worst(found: Sequence[Reviewed]) -> ExitCode:
    """One exit code for all: blocked where any is, else incomplete where any could not be judged."""
    decisions = {one.verdict.decision for one in found if one.verdict is not None}
    if Decision.BLOCK in decisions:
        return ExitCode.BLOCKED
    if Decision.INCOMPLETE in decisions or any(one.error for one in found):
        return ExitCode.INCOMPLETE
    return ExitCode.PASS
