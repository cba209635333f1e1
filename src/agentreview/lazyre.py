"""Regular expressions that are compiled when they are first used: most reviews need few of them.

A hundred and sixty patterns at the top of modules cost a hook a fifth of its time, and a change to one Python file uses a
third of them.
"""

from __future__ import annotations

import re
from typing import Any, cast


class _Lazy:
    """Stands for a pattern until somebody asks it something."""

    def __init__(self, pattern: str, flags: int) -> None:
        self._wanted = (pattern, flags)

    def __getattr__(self, name: str) -> Any:
        """Compile, and remember the methods: from here on they are found without asking again."""
        real = re.compile(*self._wanted)
        for method in ("search", "match", "fullmatch", "finditer", "findall", "sub", "split"):
            self.__dict__[method] = getattr(real, method)
        return getattr(real, name)


def lazy(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Return what works like ``re.compile(pattern, flags)``. A mistake in the pattern shows when it is first used."""
    return cast("re.Pattern[str]", _Lazy(pattern, flags))
