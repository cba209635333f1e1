"""Edge: this same installation, run as a child that never outlives the call it was started for.

A review forks, so it is not run in a process that has threads and an event loop. Each child leads a process group of its
own, and that group is ended when the call is cancelled. Where this process is killed and can end nothing any more, the
child sees its standard input close, and ends its group itself.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from subprocess import PIPE
from typing import TYPE_CHECKING

import anyio

from agentreview.errors import UsageError
from agentreview.records import dataclass

if TYPE_CHECKING:
    from anyio.abc import ByteReceiveStream, Process

BEAT = 1.0  # seconds
# It takes no module from the directory it runs in, which is under review.
_START = """\
import os, sys
sys.path[:] = [p for p in sys.path if p]
import signal, threading
threading.Thread(target=lambda: (os.read(0, 1), os.killpg(0, signal.SIGKILL)), daemon=True).start()
from agentreview.entry import main
sys.exit(main())
"""

Beat = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Done:
    """How a child ended: its exit code, its stdout, and its last line of complaint, "" for none."""

    code: int
    out: bytes
    complaint: str


async def run(arguments: Sequence[str], beat: Beat | None = None) -> Done:
    """Run ``agentreview ARGUMENTS`` to its end. ``beat`` hears every second for how long it has been running.

    Raises UsageError for what no program can be given.
    """
    argv = [sys.executable, "-c", _START, *arguments]
    try:
        child = await anyio.open_process(argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True)
    except ValueError as error:  # a zero byte, or half of a surrogate pair
        raise UsageError(
            "nothing has a name with such a character in it", fix="Write it as a report prints it"
        ) from error
    parts: dict[str, bytes] = {}
    try:
        async with anyio.create_task_group() as beside:
            beside.start_soon(_kept, child.stdout, parts, "out")
            beside.start_soon(_kept, child.stderr, parts, "err")
            if beat is not None:
                beside.start_soon(_beating, beat)
            code = await child.wait()
            while len(parts) < 2:
                await anyio.sleep(0.005)
            beside.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(child)
    said = [line for line in parts["err"].decode("utf-8", "replace").splitlines() if line.startswith("agentreview: ")]
    return Done(code, parts["out"], said[-1].removeprefix("agentreview: ") if said else "")


async def _kept(stream: ByteReceiveStream | None, parts: dict[str, bytes], name: str) -> None:
    kept = bytearray()
    if stream is not None:
        async for part in stream:
            kept += part
    parts[name] = bytes(kept)


async def _beating(beat: Beat) -> None:
    started = anyio.current_time()
    while True:
        await anyio.sleep(BEAT)
        await beat(anyio.current_time() - started)


async def _end(child: Process) -> None:
    """End the child and all that it started, unless it has ended by itself; then let go of the pipes."""
    if child.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    await child.aclose()
