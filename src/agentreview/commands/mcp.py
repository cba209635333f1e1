"""``agentreview mcp``: the reviews, for coding agents that speak the Model Context Protocol."""

from __future__ import annotations

import sys

import click

from agentreview.commands.shared import CONTEXT, worktree_option
from agentreview.console import is_terminal, say
from agentreview.errors import ExitCode, UsageError

INSTALL = "Run: pip install 'agentreview-gate[mcp]'"


@click.command(
    "mcp",
    context_settings=CONTEXT,
    short_help="Serve reviews to coding agents (Model Context Protocol).",
    epilog="""\b
Tools: review_staged, list_findings, explain, status. Resources: the policies.
None of them waives, confirms a fact, changes the configuration or installs anything.
Settings for Claude Code, Codex and Cursor are in integrations/.""",
)
@worktree_option
def command(*, worktree: str | None) -> int:
    """Serve this repository's reviews over the Model Context Protocol, on stdin and stdout, until the client goes.

    It needs the extra `mcp`. A client starts it; there is nothing to type here.
    """
    try:
        import mcp_types  # noqa: F401 - of the SDK's version 2 and newer only

        from agentreview.mcp.server import serve
    except ImportError as error:
        if (error.name or "").split(".")[0] == "agentreview":
            raise
        raise UsageError("agentreview mcp needs the MCP SDK, version 2", fix=INSTALL) from error
    if is_terminal(sys.stdin):
        say("an MCP client talks to this on stdin and stdout: see integrations/ for its settings. Ctrl-C ends it")
    serve(worktree)
    return int(ExitCode.PASS)
