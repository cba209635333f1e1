"""Several requests at once: the slowest one is the wall time, and whoever does not come back is given up."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable

from agentreview.records import dataclass

from .values import Answer, Backend, Failure, Request, failed

GRACE = 0.5
"""Seconds after the deadline in which a backend may still say itself what went wrong."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something to show: ``kind`` is ``started`` or ``finished``; ``outcome`` is set when it finished."""

    id: str
    kind: str
    seconds: float = 0.0
    outcome: Answer | Failure | None = None


def ask_all(
    backend: Backend,
    requests: Iterable[Request],
    deadline: float | None,
    on_event: Callable[[Event], None] | None = None,
) -> dict[str, Answer | Failure]:
    """Ask all of them at the same time; returns one outcome for each id, whatever happens.

    ``on_event`` is called in the calling thread. Interrupting (Ctrl-C) does not raise: what finished is returned, the
    rest is a Failure with the reason ``interrupted``, and who asked decides what that means.
    """
    asked = {request.id: request for request in requests}
    outcomes: dict[str, Answer | Failure] = {}
    done: queue.SimpleQueue[tuple[str, Answer | Failure | BaseException]] = queue.SimpleQueue()
    begun = time.monotonic()

    def work(request: Request) -> None:
        try:
            done.put((request.id, backend.ask(request, deadline)))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for it
            done.put((request.id, error))

    def tell(event: Event) -> None:
        if on_event is not None:
            on_event(event)

    def finish(name: str, outcome: Answer | Failure) -> None:
        outcomes[name] = outcome
        tell(Event(name, "finished", time.monotonic() - begun, outcome))

    try:
        for name, request in asked.items():
            tell(Event(name, "started"))
            threading.Thread(target=work, args=(request,), name=f"ask {name}", daemon=True).start()
        while len(outcomes) < len(asked):
            left = None if deadline is None else max(0.0, deadline + GRACE - time.monotonic())
            name, outcome = done.get(timeout=left)
            if isinstance(outcome, BaseException):
                raise outcome
            finish(name, outcome)
    except queue.Empty:
        _rest(asked, outcomes, finish, failed("timeout", "no answer came before the time was up"))
    except KeyboardInterrupt:
        stop = getattr(backend, "stop", None)
        if stop is not None:
            stop()
        while not done.empty():
            name, outcome = done.get()
            if not isinstance(outcome, BaseException):
                finish(name, outcome)
        _rest(asked, outcomes, finish, failed("interrupted", "interrupted before the answer came"))
    return outcomes


def _rest(
    asked: Iterable[str],
    outcomes: dict[str, Answer | Failure],
    finish: Callable[[str, Answer | Failure], None],
    why: Failure,
) -> None:
    for name in asked:
        if name not in outcomes:
            finish(name, why)
