"""A real HTTP server that speaks the Messages API: scripted answers, every way to fail, slow and broken streams.

    with MessagesServer() as server:
        server.script(Reply("hello"))                        # the next request, then the default again
        server.on("tenant", Reply(json={"claims": []}))      # every request whose body holds the word
        subprocess.run(..., env={**os.environ, **server.env})

Requests are kept as they came, with the number of others that were being answered at the same time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-0123456789abcdefghij"


@dataclass(frozen=True)
class Reply:
    """What is answered: a message, an error, or something broken."""

    text: str = "ok"
    json: Any = None  # instead of text
    stop_reason: str = "end_turn"
    status: int = 200
    error: str = ""  # the type of the error; with a status of 200 it comes inside the stream
    says: str = ""  # its message
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0  # before anything is answered
    drip: float = 0.0  # between the pieces of a stream
    pings: int = 0  # that many, a drip apart, before the first piece
    thinking: str = ""
    breaks: str = ""  # connect | headers | stream | json | early | nonsense
    input_tokens: int = 100
    output_tokens: int = 20
    cache_read: int = 0
    cache_write: int = 0

    @property
    def body(self) -> str:
        return self.text if self.json is None else json.dumps(self.json)


@dataclass
class Received:
    """One request as it came."""

    path: str
    body: dict[str, Any]
    raw: bytes
    headers: dict[str, str]
    together: int = 1  # how many were being answered when this one came, itself included

    @property
    def text(self) -> str:
        """Everything that reached this machine, as one text."""
        return self.raw.decode("utf-8", "replace")

    @property
    def asked(self) -> str:
        """The last message of the user."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


Answering = Callable[[Received], Reply]


@dataclass
class MessagesServer:
    """Serves on a free port of this machine until the ``with`` block ends."""

    default: Reply = field(default_factory=Reply)
    knows: tuple[str, ...] = ()  # ids of models; () knows all
    received: list[Received] = field(default_factory=list)
    most_together: int = 0

    def __enter__(self) -> MessagesServer:
        self._queue: list[Reply | Answering] = []
        self._rules: list[tuple[str, Reply | Answering]] = []
        self._lock = threading.Lock()
        self._open = 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def env(self) -> dict[str, str]:
        """What points a process here. A proxy of the machine must not stand between."""
        return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}

    @property
    def messages(self) -> list[Received]:
        """The requests for messages, without those that count tokens."""
        return [one for one in self.received if one.path == "/v1/messages"]

    def script(self, *replies: Reply | Answering) -> None:
        """Answer the next requests with these, in this order."""
        self._queue += replies

    def on(self, word: str, reply: Reply | Answering) -> None:
        """Answer every request whose body holds ``word`` so; the first rule that fits counts."""
        self._rules.append((word, reply))

    def answer(self, request: Received) -> Reply:
        with self._lock:
            self.received.append(request)
            self._open += 1
            request.together = self._open
            self.most_together = max(self.most_together, self._open)
            rule = next((reply for word, reply in self._rules if word in request.text), None)
            found = rule or (self._queue.pop(0) if self._queue else self.default)
        reply = found if isinstance(found, Reply) else found(request)
        if self.knows and request.body.get("model") not in self.knows:
            says = f"model: {request.body.get('model')}"
            reply = replace(reply, status=404, error="not_found_error", says=says)
        return reply

    def answered(self) -> None:
        with self._lock:
            self._open -= 1


def _handler(server: MessagesServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing on stderr: tests read it."""

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", "0")))
            request = Received(
                self.path.partition("?")[0], json.loads(raw), raw, {k.lower(): v for k, v in self.headers.items()}
            )
            reply = server.answer(request)
            try:
                self._reply(request, reply)
            except OSError:  # whoever asked has gone
                self.close_connection = True
            finally:
                server.answered()

        def _reply(self, request: Received, reply: Reply) -> None:
            if reply.seconds:
                time.sleep(reply.seconds)
            if reply.breaks == "connect":
                self.close_connection = True
                return
            if reply.status != 200:
                self._json(
                    reply.status, {"type": "error", "error": {"type": reply.error, "message": reply.says}}, reply
                )
            elif request.path == "/v1/messages/count_tokens":
                self._json(200, {"input_tokens": max(1, len(request.raw) // 4)}, reply)
            elif reply.breaks == "nonsense":
                self._json(200, {"hello": "world"}, reply)
            elif request.body.get("stream"):
                self._stream(request, reply)
            else:
                self._json(200, _message(request, reply), reply)

        def _head(self, status: int, kind: str, reply: Reply) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("request-id", f"req_{len(server.received):04d}")
            for name, value in reply.headers:
                self.send_header(name, value)

        def _json(self, status: int, value: Any, reply: Reply) -> None:
            data = json.dumps(value).encode()
            self._head(status, "application/json", reply)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, request: Received, reply: Reply) -> None:
            self.close_connection = True
            self._head(200, "text/event-stream", reply)
            self.send_header("connection", "close")
            if reply.breaks in ("stream", "early"):
                self.send_header("content-length", "1000000")  # so that the end is seen to be none
            self.end_headers()
            for kind, data in _events(request, reply):
                self.wfile.write(f"event: {kind}\ndata: {data}\n\n".encode())
                self.wfile.flush()
                if reply.drip:
                    time.sleep(reply.drip)

    return Handler


def _message(request: Received, reply: Reply, *, text: str | None = None) -> dict[str, Any]:
    return {
        "id": "msg_test",
        "type": "message",
        "role": "assistant",
        "model": request.body.get("model"),
        "content": [{"type": "text", "text": reply.body if text is None else text}],
        "stop_reason": reply.stop_reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
            "cache_read_input_tokens": reply.cache_read,
            "cache_creation_input_tokens": reply.cache_write,
        },
    }


def _events(request: Received, reply: Reply) -> list[tuple[str, str]]:
    start = _message(request, reply, text="") | {"content": [], "stop_reason": None}
    start["usage"] = start["usage"] | {"output_tokens": 1}
    events: list[tuple[str, Any]] = [("ping", {"type": "ping"})] * reply.pings
    events.append(("message_start", {"type": "message_start", "message": start}))
    if reply.breaks == "early":
        return _written(events)
    index = 0
    for kind, text in (("thinking", reply.thinking), ("text", reply.body)):
        if not text and kind == "thinking":
            continue
        block = {"type": kind, kind: ""} | ({"signature": ""} if kind == "thinking" else {})
        events.append(("content_block_start", {"type": "content_block_start", "index": index, "content_block": block}))
        for piece in _pieces(text):
            delta = {"type": f"{kind}_delta", kind: piece}
            events.append(("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}))
        events.append(("content_block_stop", {"type": "content_block_stop", "index": index}))
        index += 1
    if reply.breaks == "stream":
        return _written(events)
    if reply.breaks == "json":
        return [*_written(events), ("message_delta", "{not json")]
    if reply.error:
        error = {"type": "error", "error": {"type": reply.error, "message": reply.says}}
        return _written([*events[:2], ("error", error)])
    delta = {"stop_reason": reply.stop_reason, "stop_sequence": None}
    events.append(
        ("message_delta", {"type": "message_delta", "delta": delta, "usage": {"output_tokens": reply.output_tokens}})
    )
    events.append(("message_stop", {"type": "message_stop"}))
    return _written(events)


def _written(events: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(kind, json.dumps(data)) for kind, data in events]


def _pieces(text: str) -> list[str]:
    size = max(1, len(text) // 4)
    return [text[at : at + size] for at in range(0, len(text), size)]
