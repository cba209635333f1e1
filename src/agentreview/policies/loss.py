"""What a change took from a control, a filter or a test, as the comparisons say it."""

from __future__ import annotations

from agentreview.records import dataclass

ACCESS, INPUT = "access", "input"


@dataclass(frozen=True, slots=True)
class Loss:
    """What a unit lost. ``line`` is on the side before; ``at`` the line on the side now where it shows, 0 if nowhere."""

    kind: str
    what: str
    text: str
    line: int
    at: int = 0
    sure: bool = True  # False: a rewrite that may be as strong looks the same
    concept: str = ""  # of a control that may have moved within the change
