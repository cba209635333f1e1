"""The page of one verdict: a file to open, to send or to keep, that needs no network and runs nothing but its own script."""

from __future__ import annotations

from agentreview.model import Verdict
from agentreview.reporters.page.report import Part, page


def render(
    verdict: Verdict,
    *,
    color: bool = False,  # noqa: ARG001
    width: int = 100,  # noqa: ARG001
    verbose: bool = False,  # noqa: ARG001
    quiet: bool = False,  # noqa: ARG001
) -> str:
    """Return the page. Always complete: what others leave out is folded there, or filtered."""
    return page([Part(path=verdict.worktree or "", branch=verdict.branch, verdict=verdict)])
