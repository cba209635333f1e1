"""Reporters: one pure function from a Verdict to text each, in a literal table.

A reporter reads nothing but the verdict: no clock, no files, no environment, no terminal. Whoever calls one decides
about colour and width, and writes the text out. Adding a format is a module with ``render`` and a line here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from agentreview.model import Verdict


class Render(Protocol):
    """What every reporter is. Formats for machines accept the options about looks and do not use them."""

    def __call__(
        self,
        verdict: Verdict,
        *,
        color: bool = False,
        width: int = 100,
        verbose: bool = False,
        quiet: bool = False,
    ) -> str:
        """Return the whole report, ending in a newline, or ``""`` where ``quiet`` leaves nothing to say.

        ``color`` adds ANSI colours, ``width`` is in terminal cells, ``verbose`` shows in full what is otherwise
        counted, ``quiet`` leaves out what does not need anybody's attention. The text can always be encoded as UTF-8.
        """


def _lazy(module: str) -> Render:
    """Import the reporter's module when it is first used: a hook renders one format and should not load them all."""

    def render(
        verdict: Verdict, *, color: bool = False, width: int = 100, verbose: bool = False, quiet: bool = False
    ) -> str:
        real = cast("Render", import_module(f"agentreview.reporters.{module}").render)
        return real(verdict, color=color, width=width, verbose=verbose, quiet=quiet)

    return render


REPORTERS: dict[str, Render] = {
    "terminal": _lazy("terminal"),
    "json": _lazy("jsonreport"),
    "sarif": _lazy("sarif"),
    "github": _lazy("github"),
    "gitlab": _lazy("gitlab"),
    "junit": _lazy("junit"),
    "markdown": _lazy("markdown"),
    "agent": _lazy("agent"),
    "html": _lazy("htmlpage"),
}
