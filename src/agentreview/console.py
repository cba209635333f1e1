"""What every surface does at its edges: print, and turn whatever went wrong into one line and an exit code.

Standard library only at the top: a commit waits for this module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TextIO

from .errors import AgentReviewError, ExitCode


def guarded(body: Callable[[], int], *, task: str = "this command") -> int:
    """Run ``body`` and return its exit code. Every failure is one line on stderr, and none of them is a pass."""
    try:
        return int(body())
    except AgentReviewError as error:
        say(str(error))
        return int(error.exit_code)
    except KeyboardInterrupt:
        say(f"interrupted: {task} did not finish")
        return int(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug must refuse, in one line
        return bug(error, task=task)


def say(message: str) -> None:
    """Print one escaped line to stderr, with our name in front."""
    from .reporters.text import escape

    write(f"agentreview: {escape(message)}\n")


def write(text: str) -> None:
    """Write to stderr; a reader that went away must not turn the verdict into another one."""
    try:
        sys.stderr.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stderr.buffer.flush()
    except (AttributeError, OSError, ValueError):  # AttributeError: there is no stderr at all
        return


def output(text: str) -> bool:
    """Write to stdout what was asked for; returns whether somebody got it. A reader that left is not an error.

    Raises OSError for anything else that is wrong with stdout, a full disk for example.
    """
    if sys.stdout is None:
        return False
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        discard_output()
        return False
    except OSError:
        discard_output()
        raise
    return True


def discard_output() -> None:
    """Send what stdout still holds nowhere: the interpreter flushes at its end and may set the exit code."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (AttributeError, OSError, ValueError):
        return


def colored(stream: TextIO | None, choice: str = "auto") -> bool:
    """Whether to colour what goes to ``stream``: ``always``, ``never``, or ``auto``.

    ``auto`` asks NO_COLOR (off), then FORCE_COLOR (on), then whether it is a terminal that is not TERM=dumb.
    """
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return is_terminal(stream)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether ``stream`` is a terminal that understands escape sequences."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def width(stream: TextIO | None) -> int:
    """How many cells a line on ``stream`` should take: the terminal's columns within bounds, else 100."""
    try:
        return max(60, min(os.get_terminal_size(stream.fileno() if stream else -1).columns, 120))
    except (OSError, ValueError):
        return 100


def bug(error: Exception, *, task: str) -> int:
    """One line about an unexpected exception; the details go to a file, or to stderr with AGENTREVIEW_DEBUG=1."""
    import traceback

    details = "".join(traceback.format_exception(error))
    if os.environ.get("AGENTREVIEW_DEBUG") == "1":
        write(details)
        return int(ExitCode.BUG)
    import tempfile

    where = "set AGENTREVIEW_DEBUG=1 to see the details"
    try:
        handle, path = tempfile.mkstemp(prefix="agentreview-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(details)
        where = f"the details are in {path}"
    except OSError:
        pass
    say(f"a bug in agentreview stopped {task} ({type(error).__name__}); {where}. Please report it")
    return int(ExitCode.BUG)
