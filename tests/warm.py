"""The command in a process that has what it needs of others already: the SDK of the models, and that of MCP.

Importing those takes ten times as long as what most tests of them are about. So one process imports them, and nothing of
ours, once; each command is a fork of that: a process of its own, with its own directory, environment, streams and exit
code. The installed program itself is started where a process is what the test is about.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from commandline import SCRIPT, Done

# Forks twice for each command: a process that waits for it and tells how it ended, and the command.
SERVER = """\
import contextlib, importlib, json, os, select, shutil, socket, sys

for name in sys.argv[2:]:
    importlib.import_module(name)

def command(asked, streams):
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv[:] = asked["argv"]
    from agentreview.entry import main
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    return status

def forked(work):
    child = os.fork()
    if child == 0:
        status = 70
        try:
            status = work()
        finally:
            os._exit(status)
    return child

def served(client):
    _, streams, _, _ = socket.recv_fds(client, 1, 4)
    with open(streams.pop(), "rb") as file:
        asked = json.load(file)
    child = forked(lambda: (client.close(), place.close(), command(asked, streams))[-1])
    for stream in (0, *streams):
        os.close(stream)
    client.send(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
    return 0

place = socket.socket(socket.AF_UNIX)
place.bind(sys.argv[1])
place.listen()
print("ready", flush=True)
while True:
    ready, _, _ = select.select([0, place], [], [])
    if 0 in ready:  # the tests are over, or were killed
        shutil.rmtree(os.path.dirname(sys.argv[1]), ignore_errors=True)
        break
    client, _ = place.accept()
    forked(lambda: served(client))
    client.close()
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
"""
CLIENT = """\
import json, os, socket, sys, tempfile

place = socket.socket(socket.AF_UNIX)
place.connect(sys.argv[1])
with tempfile.TemporaryFile() as request:
    request.write(json.dumps({"argv": sys.argv[2:], "cwd": os.getcwd(), "env": dict(os.environ)}).encode())
    request.seek(0)
    socket.send_fds(place, [b"?"], [0, 1, 2, request.fileno()])
for stream in (0, 1, 2):
    os.close(stream)
os._exit(json.loads(place.recv(100) or b"70"))
"""


@cache
def _server(*modules: str) -> str:
    folder = tempfile.mkdtemp(prefix="warm-", dir="/tmp")  # the name of a socket may not be long
    address = f"{folder}/s"
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, address, *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    atexit.register(lambda: (process.stdin.close(), process.wait()))
    return address


def warmed(*modules: str) -> list[str]:
    """What to start in place of the command: a small process that has it done by a fork of the one that imported these."""
    return [sys.executable, "-I", "-S", "-c", CLIENT, _server(*modules), str(SCRIPT)]


def agentreview(*args: str, cwd: Path | str, env: dict[str, str] | None = None) -> Done:
    """Run ``agentreview ARGS`` with the SDK of the models, in a directory; ``env`` is added to the environment."""
    done = subprocess.run(
        [*warmed("anthropic", "anthropic.resources.messages"), *args], cwd=cwd, env={**os.environ, **(env or {})}, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
    )  # fmt: skip
    return Done(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
