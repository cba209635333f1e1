"""The console command. Hooks are told apart before anything is imported: a commit waits for this process."""

from __future__ import annotations

import sys


def main() -> int:
    """Run ``agentreview …`` and return the exit code of :class:`agentreview.errors.ExitCode`."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["hook"] and len(arguments) > 1 and not arguments[1].startswith("-"):
        from agentreview.hook import main as hook

        return hook(arguments[1], arguments[2:])
    from agentreview.cli import main as cli

    return cli(arguments)
