"""Ask git to run a hook of ours, with a probe that it answers by refusing. Nothing is committed, no lock is taken.

Only a hook that is ours from the start is fired: one of somebody else, a hook manager's included, would do whatever it
does before a commit.
"""

from __future__ import annotations

from pathlib import Path

from . import hookconfig
from .git import Repository, attempt, complaint, git_version, text
from .install import is_ours

PROBE = "AGENTREVIEW_PROBE"
MINIMUM_GIT = (2, 36)  # git hook run


def fire(repo: Repository, stage: str) -> str | None:
    """Return "" when git ran our hook for that stage, why it did not when it did not, and None when it was not asked."""
    if git_version(repo) < MINIMUM_GIT:
        return None
    if hookconfig.understood(repo):
        others = [hook for hook in hookconfig.configured(repo) if stage in hook.events and not hook.ours]
        from_config = stage in hookconfig.our_scripts(repo)
        in_the_way = Path(repo.hooks_dir, stage)
        if others or (from_config and in_the_way.exists() and not is_ours(in_the_way)):
            return _listed(repo, stage) if from_config else hookconfig.refusal(repo) or None
    status, out, error = attempt(repo, "hook", "run", "--ignore-missing", stage, env={PROBE: "1"})
    if f"agentreview probe: {stage}" in text(out + error):
        return ""
    return f"git ran it and it did not answer (exit {status}: {complaint(out + error)})"


def _listed(repo: Repository, stage: str) -> str:
    """Ask git which hooks it would run, where running them would run others as well."""
    status, out, error = attempt(repo, "hook", "list", stage)
    name = f"{hookconfig.PREFIX}{stage}"
    if status > 1:
        return complaint(error)
    return "" if name in text(out).split("\n") else f"git does not list hook.{name}"
