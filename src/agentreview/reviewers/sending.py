"""Units to answers: groups of units are followed at the same time, each to its end, below the caps.

An answer is kept as soon as it is verified, so that an interruption loses only what was under way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as FuturesTimeout  # another class before Python 3.11
from pathlib import Path

from agentreview.config import Config
from agentreview.errors import UsageError
from agentreview.llm import Backend, Failure, Logged, backend, destination, failed
from agentreview.model import Asked, Finding, Rule
from agentreview.records import dataclass, field
from agentreview.reviewers.again import Sight
from agentreview.reviewers.chain import Reader, Result, follow, request_of, told
from agentreview.reviewers.convergence import Answers, Known
from agentreview.reviewers.nearby import Hop
from agentreview.reviewers.packets import Cut, Packet, grouped, tokens
from agentreview.reviewers.profiles import Profile
from agentreview.reviewers.routing import Route
from agentreview.reviewers.shown import Shown
from agentreview.reviewers.units import Piece
from agentreview.spend import Ledger, Metered, estimate

ROOM = 1_000  # tokens of a request beside what is counted
GROUP_TOKENS = 24_000  # of packets in one request
PARALLEL = 16  # requests under way
GRACE = 1.0  # seconds after a hook's time in which a backend may still say itself what went wrong
Told = Callable[[str, str], None]  # (kind, text): routing | reading | done | dry-run


@dataclass(frozen=True, slots=True)
class Seen:
    """How a unit looks now and did when it was last read whole, and under which name that is kept."""

    name: str
    now: Sight
    before: Sight | None = None


@dataclass(slots=True)
class Work:
    """One reviewer's part: what it reads, what is known already, what came of the rest."""

    profile: Profile
    rules: Mapping[str, Rule]
    route: Route
    model: str
    pieces: Sequence[Piece]
    told: Sequence[Finding]  # what the policies found, as far as it is told of it
    packets: list[Packet] = field(default_factory=list)  # of those pieces
    keys: dict[str, str] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    cuts: dict[str, tuple[tuple[Hop, ...], Cut]] = field(default_factory=dict)  # of units that are shown in part
    reader: Reader | None = None
    known: dict[str, Known] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def open(self) -> list[Packet]:
        """Units that nobody answered yet."""
        return [one for one in self.packets if one.id not in self.known]

    def groups(self, config: Config) -> list[list[Packet]]:
        """Those units in as few requests as are sensible, and as the model has room for."""
        context = config.models.tiers[self.route.tier].context
        used = sum(tokens(block.text) for block in self.reader.system) + self.reader.max_tokens if self.reader else 0
        return grouped(self.open, max(min(GROUP_TOKENS, context - used - ROOM), 1))


def configured(asked: Asked, config: Config, worktree: str) -> Backend | Failure:
    """Return what asks the configured provider below the caps. Raises UsageError when the log cannot be written."""
    found = backend(os.environ, config)
    if isinstance(found, Failure) or not may_send(asked, config):
        return found
    asking: Backend = found
    if asked.log:
        try:
            asking = Logged(found, Path(asked.log))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            fix = "Name a file in a directory that can be written"
            raise UsageError(f"the log {asked.log} cannot be written: {reason}", fix=fix) from error
    return Metered(asking, config, Ledger(asked.store, asked.state), worktree)


def may_send(asked: Asked, config: Config) -> bool:
    """Whether this review may ask at all, and does not only show or look up."""
    return not asked.dry and (asked.surface != "hook" or config.reviewers.hook_seconds > 0)


def warm(asking: Backend | Failure | None) -> None:
    """Have a backend get ready, where that takes time; more than once is once."""
    begin = getattr(asking, "warm", None)
    if begin is not None:
        begin()


def follow_all(
    works: Sequence[Work], shown: Shown, answers: Answers, asked: Asked, config: Config, asking: Backend | Failure, say: Told,
) -> None:  # fmt: skip
    """Ask about every unit that is open, all groups at once."""
    seconds = config.reviewers.hook_seconds if asked.surface == "hook" else None
    if seconds == 0:
        asking = Failure("timeout", "hook_seconds = 0 only looks answers up. Finish the review with: agentreview run")
    if isinstance(asking, Failure):
        for work in works:
            work.failures = [("", told(asking))] if work.open else []
        return
    deadline = None if seconds is None else time.monotonic() + seconds
    jobs = [(work, group) for work in works for group in _affordable(work, config)]
    for work in works:
        if work.open:
            say("reading", f"{work.profile.name} reads {_units(work.open)} ({work.model})")

    def one(job: tuple[Work, list[Packet]]) -> Result:
        assert job[0].reader is not None  # noqa: S101 - every reviewer is ready before anything is sent
        return follow(job[0].reader, job[1], shown, asking, deadline)

    pool = ThreadPoolExecutor(max(min(PARALLEL, len(jobs)), 1))
    running = {pool.submit(one, job): job for job in jobs}
    waiting = set(running)
    try:
        for done in as_completed(running, None if seconds is None else seconds + GRACE):
            waiting.discard(done)
            _take(*running[done], done.result(), answers, say)
    except FuturesTimeout:  # whoever did not heed its time is given up; its process ends with the review
        for work, _ in (running[late] for late in waiting):
            work.failures.append(("", told(failed("timeout", "no answer came before the time was up"))))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if isinstance(asking, Metered):
        count = "1 request" if asking.requests == 1 else f"{asking.requests} requests"
        say("done", f"{count} to models, {asking.usage.total:,} tokens, ${asking.spent:.4f}")


def _take(work: Work, group: Sequence[Packet], result: Result, answers: Answers, say: Told) -> None:
    """Add what came of one group to its reviewer, and keep what is whole."""
    work.seconds = max(work.seconds, result.seconds)
    work.failures += result.failures
    for unit in group:
        if unit.id in result.known:
            work.known[unit.id] = result.known[unit.id]
            if not result.failures:
                answers.save(work.keys[unit.id], result.known[unit.id])
                seen = work.seen[unit.id]
                part = unit.whole is not None and unit.id not in result.whole
                answers.remember(seen.name, seen.before if part and seen.before else seen.now, result.known[unit.id])
    read = "has read" if all(unit.id in result.known for unit in group) else "did not finish"
    say("done", f"{work.profile.name} {read} {_units(group)} in {result.seconds:.1f} s")


def _affordable(work: Work, config: Config) -> list[list[Packet]]:
    """Groups of one reviewer that its budget allows, the riskiest first; what it does not is a failure of its run."""
    groups = work.groups(config)
    if not work.profile.budget or work.reader is None:
        return groups
    model = config.models.tiers[work.route.tier]
    left = work.profile.budget
    for number, group in enumerate(groups):
        most = estimate(request_of(work.reader, group), model).dollars
        if most is None or most > left:
            why = failed("over-budget", f"its budget of ${work.profile.budget:g} does not reach for all units")
            work.failures.append(("", told(why)))
            return groups[:number]
        left -= most
    return groups


def _units(packets: Sequence[Packet]) -> str:
    return "1 unit" if len(packets) == 1 else f"{len(packets)} units"


def show(works: Sequence[Work], config: Config, say: Told) -> None:
    """Show exactly what would be sent, to whom, and what it costs at most."""
    total, priced = 0.0, True
    for work in works:
        assert work.reader is not None  # noqa: S101 - every reviewer is ready before anything is sent
        for group in work.groups(config):
            request = request_of(work.reader, group)
            most = estimate(request, config.models.tiers[work.route.tier])
            total, priced = total + (most.dollars or 0.0), priced and most.dollars is not None
            price = "an unknown price" if most.dollars is None else f"${most.dollars:.4f} at most"
            where = destination(os.environ, config)
            body = [f"to {request.model} at {where} as {request.id}: about {most.input_tokens:,} tokens, {price}"]
            body += [f"[system{', cached' if block.cached else ''}]\n{block.text}" for block in request.system]
            body += [f"[{who}]\n{text}" for who, text in request.messages]
            say("dry-run", "\n".join(body))
    if any(work.open for work in works):
        price = f"${total:.4f} at most" if priced else "an unknown price"
        say("routing", f"in all {price}, and the second reader for what would block")
