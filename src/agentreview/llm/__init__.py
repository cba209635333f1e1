"""Edge: asking a model. Sole importer of the anthropic SDK, and only when a request is really sent.

Requests and answers are values; every way to fail is a :class:`Failure` with one of a closed set of reasons. Nothing
here knows what a review is, and nothing here ever writes a key into a value, a message or a file.
"""

from __future__ import annotations

from .recording import Logged, Recorder, Replayer
from .sdk import Sdk, backend, destination
from .values import NEXT, REASONS, Answer, Backend, Block, Failure, Request, Usage, failed, request_digest

__all__ = [
    "NEXT",
    "REASONS",
    "Answer",
    "Backend",
    "Block",
    "Failure",
    "Logged",
    "Recorder",
    "Replayer",
    "Request",
    "Sdk",
    "Usage",
    "backend",
    "destination",
    "failed",
    "request_digest",
]
