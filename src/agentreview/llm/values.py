"""What is asked, and what comes back: frozen values, without a word of any SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from agentreview.canonical import digest
from agentreview.lazyre import lazy
from agentreview.records import dataclass

BOUNDARY = lazy(r"\bfence-[0-9a-f]{24}\b")
"""A random boundary around text of the repository, as :mod:`agentreview.masking` makes it."""

NEXT: Mapping[str, str] = {
    "no-key": "Set ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL for a local server",
    "unauthorized": "Check the key in ANTHROPIC_API_KEY, then run: agentreview doctor",
    "forbidden": "Ask whoever manages the key for access to this model",
    "unknown-model": "Correct the id in [models], then run: agentreview doctor",
    "rate-limited": "Wait a little and run it again, or enable fewer reviewers",
    "server-error": "Run it again; if it lasts, look at the provider's status page",
    "timeout": "Run it again with more time: agentreview run has no limit of its own",
    "unreachable": "Check the network and ANTHROPIC_BASE_URL, then run it again",
    "truncated": "Run it again; if it lasts, review a smaller change",
    "refused": "Read the change yourself, or give the reviewer another tier",
    "unparsable": "Run it again; if it lasts, give the tier a larger model",
    "wrong-schema": "Run it again; if it lasts, give the tier a larger model",
    "over-budget": "Raise the cap in [reviewers], or review a smaller change",
    "over-context": "Split the change, or give the tier a model with a larger context",
    "offline": "Unset AGENTREVIEW_OFFLINE to ask a model",
    "interrupted": "Run it again: what had finished is kept",
}
"""Every reason for which there is no answer, and what a person can do about it."""

REASONS = tuple(NEXT)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of the system prompt. ``cached`` marks the end of a prefix that other requests share byte for byte."""

    text: str
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One question. ``id`` names it among those asked together and is not sent. Roles are ``user`` and ``assistant``.

    ``schema`` is the JSON schema of the answer, ``effort`` is low, medium, high, xhigh, max, or ``None`` for the
    model's own. ``max_tokens`` bounds thinking and answer together.
    """

    id: str
    model: str
    system: tuple[Block, ...]
    messages: tuple[tuple[str, str], ...]
    schema: Mapping[str, object] | None = None
    max_tokens: int = 16_000
    effort: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the endpoint counts them. The four counts do not overlap."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    cache_write: int = 0

    @property
    def total(self) -> int:
        """All tokens, read from the cache or not."""
        return self.input_tokens + self.output_tokens + self.cache_read + self.cache_write


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: the model stopped because it was done. ``text`` is not parsed yet."""

    text: str
    stop_reason: str
    usage: Usage
    seconds: float
    model: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer: a reason of :data:`REASONS`, and one line that ends with what to do next.

    ``usage`` is what was spent nevertheless, where the endpoint said so.
    """

    reason: str
    detail: str
    usage: Usage | None = None


class Backend(Protocol):
    """Whoever answers. ``deadline`` is a reading of ``time.monotonic()``; ``None`` waits as long as it takes."""

    def ask(self, request: Request, deadline: float | None) -> Answer | Failure:
        """Answer one request, or say why not. Raises nothing expected; may be called from several threads."""
        ...


def failed(reason: str, what: str, usage: Usage | None = None) -> Failure:
    """Word a failure: what happened, and what to do about it."""
    return Failure(reason, f"{what}. {NEXT[reason]}", usage)


def request_digest(request: Request) -> str:
    """Name a request by what is asked: the same text around another random boundary is the same request."""
    return digest(
        {
            "model": request.model,
            "system": [[BOUNDARY.sub("fence", block.text), block.cached] for block in request.system],
            "messages": [[role, BOUNDARY.sub("fence", text)] for role, text in request.messages],
            "schema": request.schema,
            "max_tokens": request.max_tokens,
            "effort": request.effort,
        }
    )
