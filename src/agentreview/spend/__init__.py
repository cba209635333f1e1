"""Edge: what model reviewers cost, and the caps that parallel worktrees share.

Before a request is sent, the most that it can cost is reserved; afterwards what it did cost is written down instead::

    <git common dir>/agentreview/spend/lock          held for a moment by whoever reads and writes
                                      2026-11-25     one JSON line a request
                                      open/<name>    one reservation, while a request is under way
    <git dir>/agentreview/spent                      dollars of this worktree, gone with it

So no number of processes at once exceeds a cap. A reservation whose process has died was probably billed: it is
booked in full, and marked as assumed.

Tokens are estimated without a network: a token of code and English is 3 to 4 bytes, so bytes / 3 is seldom too low.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agentreview.llm import Answer, Backend, Failure, Request, Usage, failed
from agentreview.modelsettings import Model, known_model
from agentreview.records import dataclass, replace

from .books import Entry, Ledger, Reservation

if TYPE_CHECKING:
    from agentreview.config import Config

__all__ = ["Entry", "Estimate", "Ledger", "Metered", "cost", "estimate"]

BYTES_PER_TOKEN = 3
OVERHEAD = 40  # tokens around a request
UNBILLED = frozenset(
    "no-key unauthorized forbidden unknown-model rate-limited unreachable offline over-budget over-context".split()
)
"""Failures for which nothing is billed, unless the endpoint says otherwise."""
_WAIT = 0.05
_NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request will cost: tokens sent, tokens that may come back, and dollars at most (``None`` = no price)."""

    input_tokens: int
    output_tokens: int
    dollars: float | None

    @property
    def tokens(self) -> int:
        """All tokens, at most."""
        return self.input_tokens + self.output_tokens


def estimate(request: Request, model: Model) -> Estimate:
    """Say what a request can cost at most: nothing read from a cache, thinking and answer as long as allowed."""
    texts = [block.text for block in request.system] + [text for _, text in request.messages]
    if request.schema is not None:
        texts.append(json.dumps(request.schema))
    sent = OVERHEAD + sum(-(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN) for text in texts)
    cached = any(block.cached for block in request.system)
    counts = {"cache_write": sent, "input_tokens": 0} if cached else {"input_tokens": sent}
    return Estimate(sent, request.max_tokens, model.cost(output_tokens=request.max_tokens, **counts))


def cost(usage: Usage, model: Model) -> float | None:
    """Return dollars, or ``None`` where a price is missing."""
    return model.cost(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read=usage.cache_read,
        cache_write=usage.cache_write,
    )


class Metered:
    """A backend that asks another one, as long as that fits the context of the model and every cap.

    Safe from several threads. ``spent``, ``usage`` and ``requests`` are what this run has come to so far.
    """

    def __init__(self, inner: Backend, config: Config, ledger: Ledger, worktree: str) -> None:
        self._inner = inner
        self._models = {model.id: model for model in config.models.tiers.values()}
        self._settings = config.reviewers
        self._ledger = ledger
        self._worktree = worktree
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._under_way: list[tuple[float, int]] = []  # dollars and tokens
        self.spent = 0.0
        self.usage = _NOTHING
        self.requests = 0

    def warm(self) -> None:
        """Get ready to send."""
        warm = getattr(self._inner, "warm", None)
        if warm is not None:
            warm()

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped.set()
        stop = getattr(self._inner, "stop", None)
        if stop is not None:
            stop()

    def ask(self, request: Request, deadline: float | None) -> Answer | Failure:
        """Ask when it fits; see :class:`agentreview.llm.Backend`."""
        model = self._models.get(request.model) or known_model(request.model)
        most = estimate(request, model)
        if most.dollars is None:
            fix = "Set input and output under [models] (0 for a server of your own)"
            return Failure("over-budget", f"the price of {model.id} is not known, so no cap can hold. {fix}")
        if most.tokens > model.context:
            return failed(
                "over-context", f"about {most.tokens} tokens do not fit {model.id}, which has {model.context}"
            )
        usage = Usage(input_tokens=most.input_tokens, output_tokens=most.output_tokens)
        agent = request.id.partition("#")[0]
        entry = Entry(self._ledger.today(), agent, self._worktree, model.id, usage, most.dollars)
        own = (most.dollars, most.tokens)
        held = self._held(entry, own, deadline)
        if isinstance(held, Failure):
            return held
        outcome: Answer | Failure = failed("interrupted", "interrupted before the answer came")
        try:
            outcome = self._inner.ask(request, deadline)
        finally:
            self._settle(held, own, _paid(entry, model, outcome))
        return outcome

    def _held(self, entry: Entry, own: tuple[float, int], deadline: float | None) -> Reservation | Failure:
        """Reserve; wait while it is only others under way that leave no room."""
        settings = self._settings
        caps = {"worktree": settings.money_per_worktree, "day": settings.money_per_day}
        while True:
            mine = self._taken(own)
            if isinstance(mine, Failure):
                return mine
            if mine:
                held = self._reserved(entry, caps)
                if isinstance(held, Reservation):
                    return held
                with self._lock:
                    self._under_way.remove(own)
                if isinstance(held, Failure):
                    return held
                if not held.endswith("*"):
                    what = f"at most ${own[0]:.4f} more would exceed money_per_{held} = {caps[held]:g}"
                    return failed("over-budget", what)
            if self._stopped.is_set():
                return failed("interrupted", "interrupted before the request was sent")
            if deadline is not None and time.monotonic() + _WAIT >= deadline:
                return failed("over-budget", "requests under way leave no room below the caps in the time given")
            time.sleep(_WAIT)

    def _reserved(self, entry: Entry, caps: Mapping[str, float]) -> Reservation | Failure | str:
        try:
            return self._ledger.reserve(entry, caps)
        except OSError as error:
            why = error.strerror or type(error).__name__
            what = f"what is spent cannot be written down ({why}), so no cap can hold"
            return Failure("over-budget", f"{what}. Make .git/agentreview writable")

    def _taken(self, own: tuple[float, int]) -> bool | Failure:
        """Take the room in this run, if there is any now; a Failure where there never will be."""
        money, tokens = self._settings.money_per_run, self._settings.tokens_per_run
        with self._lock:
            if self.spent + own[0] > money:
                return failed("over-budget", f"at most ${own[0]:.4f} more would exceed money_per_run = {money:g}")
            if self.usage.total + own[1] > tokens:
                return failed("over-budget", f"at most {own[1]} more tokens would exceed tokens_per_run = {tokens}")
            dollars = self.spent + sum(one[0] for one in self._under_way) + own[0]
            total = self.usage.total + sum(one[1] for one in self._under_way) + own[1]
            if dollars > money or total > tokens:
                return False
            self._under_way.append(own)
        return True

    def _settle(self, held: Reservation, own: tuple[float, int], entry: Entry | None) -> None:
        with self._lock:
            self._under_way.remove(own)
            self.requests += 1
            if entry is not None:
                self.spent += entry.dollars
                self.usage = _sum(self.usage, entry.usage)
        try:
            self._ledger.settle(held, entry)
        except OSError:
            return  # the reservation stays, and is booked in full once this process has ended


def _sum(one: Usage, two: Usage) -> Usage:
    return Usage(
        one.input_tokens + two.input_tokens,
        one.output_tokens + two.output_tokens,
        one.cache_read + two.cache_read,
        one.cache_write + two.cache_write,
    )


def _paid(reserved: Entry, model: Model, outcome: Answer | Failure) -> Entry | None:
    """What a request did cost: as the endpoint says, else nothing where nothing is billed, else what was sent."""
    reason = outcome.reason if isinstance(outcome, Failure) else ""
    usage, assumed = outcome.usage, False
    if usage is None:
        if reason in UNBILLED:
            return None
        usage, assumed = Usage(input_tokens=reserved.usage.input_tokens), True
    return replace(reserved, usage=usage, dollars=cost(usage, model) or 0.0, reason=reason, assumed=assumed)
