"""One error root and the exit-code contract.

    AgentReviewError
    ├── UsageError         2  the command line, the place it ran in, or the repository's state
    │   └── ConfigError    2  a configuration, policy or framework file; carries file and line
    ├── IncompleteError    3  something could not be read or finished, so nothing may be called clean
    └── (anything else)    4  a bug of ours

Messages are one line and end with what to do next (``fix``). Click's own defaults exit 1 for usage errors and
aborts, which would read as "blocked"; :mod:`agentreview.cli` maps them here instead.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns. Documented in ``--help`` and the README; the numbers are a public contract."""

    PASS = 0
    BLOCKED = 1
    USAGE = 2
    INCOMPLETE = 3
    BUG = 4
    INTERRUPTED = 130


class AgentReviewError(Exception):
    """An expected failure. ``str()`` is the whole line for the user: what happened, then what to do."""

    exit_code = ExitCode.BUG

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}. {self.fix}" if self.fix else self.message

    def __reduce__(self) -> tuple[object, ...]:
        """Cross a process boundary whole: by default only ``args`` would, and keyword arguments would be lost."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[AgentReviewError], args: tuple[object, ...], state: dict[str, object]) -> AgentReviewError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(AgentReviewError):
    """The user, or the place the command ran in, has to change something."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """A mistake in a file people write. ``path`` and ``line`` (1-based, 0 = whole file) say where."""

    def __init__(self, message: str, *, path: str, line: int = 0, fix: str = "") -> None:
        where = f"{path}:{line}" if line else path
        super().__init__(f"{where}: {message}", fix=fix)
        self.path = path
        self.line = line


class IncompleteError(AgentReviewError):
    """The review could not be finished. Never a pass: what was not read may hold anything."""

    exit_code = ExitCode.INCOMPLETE
