"""Wait for what has to happen. How busy the machine is decides how long that takes, never whether a test passes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 120.0  # seconds; only a test that fails waits so long


def eventually(look: Callable[[], Any], complaint: Callable[[], str] = lambda: "it never happened") -> Any:
    """Return the first true answer; fails when there is none for a long time."""
    until = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < until, complaint()
        time.sleep(0.02)
    return found


def ended(pid: int) -> bool:
    """Whether a process has ended. One that nobody has waited for yet has ended as well."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def gone(group: int) -> bool:
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False
