"""The console command. Hooks are told apart before anything is imported: a commit waits for this process."""

from __future__ import annotations

import gc
import sys

from agentreview.console import guarded


def main() -> int:
    """Run ``agentreview …`` and return the exit code of :class:`agentreview.errors.ExitCode`."""
    # Most of what a short process allocates lives until its end; collecting while modules load finds nothing.
    gc.set_threshold(100_000, 20, 50)
    return guarded(lambda: _dispatch(sys.argv[1:]))


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["hook"] and len(arguments) > 1 and not arguments[1].startswith("-"):
        reviewer = None
        if arguments[1] in ("pre-commit", "pre-merge-commit"):
            from agentreview.background import Reviewer

            reviewer = Reviewer()  # loads the engine while this process loads git and reads the change
        from agentreview.hook import main as hook

        return hook(arguments[1], arguments[2:], reviewer)
    begun: object = ()
    if arguments[:1] == ["status"] and set(arguments[1:]) <= {"--json"}:
        from agentreview.glance import glances

        begun = glances()  # git looks at the worktrees while this process loads the rest
    from agentreview.cli import main as cli

    return cli(arguments, begun)
