"""What detection returns: proposed values, each with the place that shows it."""

from __future__ import annotations

from agentreview.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One proposed value: how often it was seen, and the first place that shows it (untrusted text).

    ``doubt`` says why it is only offered as a comment: it would silence findings, and no line of code can show that.
    """

    value: str
    count: int
    path: str
    line: int
    text: str = ""
    doubt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What was found: fact (``phi.models``) to values, best first. ``audit.automatic`` values are ``how:Model``.

    ``notes`` are plain sentences about what a person should look at; ``unread`` counts files left out by a bound.
    """

    facts: tuple[tuple[str, tuple[Found, ...]], ...] = ()
    notes: tuple[str, ...] = ()
    files: int = 0
    unread: int = 0

    def get(self, fact: str) -> tuple[Found, ...]:
        """Return the values proposed for a fact, best first; none when nothing was found."""
        return dict(self.facts).get(fact, ())

    def values(self, fact: str) -> tuple[str, ...]:
        """Return just the values proposed for a fact, those in doubt left out."""
        return tuple(found.value for found in self.get(fact) if not found.doubt)
