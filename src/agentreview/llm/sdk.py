"""The Messages API through the official SDK: the provider's own endpoint, a local server, Bedrock or Vertex.

The SDK sends, streams and retries. What it does not know is our deadline, so a middleware gives every attempt no more
than the time that is left, and forbids a retry that could not finish. Answers are always streamed: then the deadline
also holds against a server that drips, and what was spent on a broken answer is known.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .values import Answer, Failure, Request, Usage, failed

if TYPE_CHECKING:
    from agentreview.config import Config
    from agentreview.modelsettings import Model, Models

CONNECT_SECONDS = 5.0
READ_SECONDS = 600.0
RETRIES = 2  # after 0.5 and 1 second, or when the server says
_SECRETS = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_IDENTITY_TOKEN",
    "ANTHROPIC_CUSTOM_HEADERS",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
)
_CREDENTIALS = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_PROFILE",
    "ANTHROPIC_IDENTITY_TOKEN",
    "ANTHROPIC_IDENTITY_TOKEN_FILE",
)
_BY_TYPE = {
    "authentication_error": "unauthorized",
    "permission_error": "forbidden",
    "billing_error": "forbidden",
    "not_found_error": "unknown-model",
    "rate_limit_error": "rate-limited",
    "request_too_large": "over-context",
    "timeout_error": "timeout",
    "overloaded_error": "server-error",
    "api_error": "server-error",
}
_BY_STATUS = {
    401: "unauthorized",
    402: "forbidden",
    403: "forbidden",
    404: "unknown-model",
    408: "timeout",
    413: "over-context",
    429: "rate-limited",
}
_STOPS = {
    "max_tokens": ("truncated", "the answer was cut off at {0} tokens"),
    "pause_turn": ("truncated", "the model paused before it had finished"),
    "refusal": ("refused", "{1} refused to answer"),
    "model_context_window_exceeded": ("over-context", "the context window of {1} is full"),
}
_PARAMETERS = ("output_config", "output_format", "json_schema", "thinking", "effort", "adaptive", "extra inputs")
_TOO_LONG = ("prompt is too long", "context length", "context window", "context size", "maximum context")


class _GivenUpError(Exception):
    """An attempt that is not worth another one; carries what it failed with."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def backend(env: Mapping[str, str], settings: Config | Models) -> Sdk | Failure:
    """Return what asks the configured provider, or why nothing can be asked. Sends nothing and imports no SDK.

    Which endpoint and which key comes from the environment alone: the configuration is part of the reviewed change.
    """
    from importlib.util import find_spec

    provider = _provider(settings)
    if env.get("AGENTREVIEW_OFFLINE", "0") not in ("", "0"):
        return failed("offline", "AGENTREVIEW_OFFLINE is set, so no model is asked")
    if find_spec("anthropic") is None:
        return Failure("unreachable", "the SDK is not installed. Run: pip install 'agentreview-gate[model]'")
    if provider == "bedrock":
        if find_spec("boto3") is None:
            return Failure("unreachable", "boto3 is not installed. Run: pip install 'agentreview-gate[bedrock]'")
        if not (env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION")):
            return Failure("no-key", "no AWS region is set. Set AWS_REGION")
    elif provider == "vertex":
        if find_spec("google") is None or find_spec("google.auth") is None:
            return Failure("unreachable", "google-auth is not installed. Run: pip install 'agentreview-gate[vertex]'")
        if not (env.get("CLOUD_ML_REGION") and env.get("ANTHROPIC_VERTEX_PROJECT_ID")):
            fix = "Set CLOUD_ML_REGION and ANTHROPIC_VERTEX_PROJECT_ID"
            return Failure("no-key", f"no region or project is set. {fix}")
    elif _needs_key(env) and not any(env.get(name) for name in _CREDENTIALS):
        return failed("no-key", "there is no key for the Messages API")
    return Sdk(provider, env)


def destination(env: Mapping[str, str], settings: Config | Models) -> str:
    """Name who would be sent to, for people: a host, never a key or a password."""
    return _place(env, _provider(settings))


def _provider(settings: Config | Models) -> str:
    models: Any = getattr(settings, "models", settings)
    return str(models.provider)


def _place(env: Mapping[str, str], provider: str) -> str:
    from urllib.parse import urlsplit

    if provider == "bedrock":
        return f"Bedrock in {env.get('AWS_REGION') or env.get('AWS_DEFAULT_REGION') or 'no region'}"
    if provider == "vertex":
        return f"Vertex in {env.get('CLOUD_ML_REGION') or 'no region'}"
    try:
        url = urlsplit(env.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com")
        port = f":{url.port}" if url.port else ""
    except ValueError:
        return "an address that is none: ANTHROPIC_BASE_URL"
    return f"{url.hostname or url.path}{port}"


def _needs_key(env: Mapping[str, str]) -> bool:
    from urllib.parse import urlsplit

    try:
        host = urlsplit(env.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com").hostname or ""
    except ValueError:
        return False
    return host == "anthropic.com" or host.endswith(".anthropic.com")


class Sdk:
    """A backend over the SDK. One client for all threads, made with the first request."""

    def __init__(self, provider: str, env: Mapping[str, str]) -> None:
        self._provider = provider
        self._env = env
        self._lock = threading.Lock()
        self._client: Any = None
        self._warmed = False
        self._attempt = threading.local()
        self._stopped = threading.Event()
        self._left_out: dict[str, int] = {}  # model -> how much of the modern parameters its endpoint refused

    def warm(self) -> None:
        """Start importing the SDK, which takes seconds, in the background. Once."""
        if self._warmed:
            return
        self._warmed = True
        threading.Thread(target=self._connect, name="import anthropic", daemon=True).start()

    def stop(self) -> None:
        """Send nothing more, and drop the answers that are still coming."""
        self._stopped.set()

    def ask(self, request: Request, deadline: float | None) -> Answer | Failure:
        """Send one request; see :class:`agentreview.llm.Backend`."""
        begun = time.monotonic()
        client = self._connect()
        if isinstance(client, Failure):
            return client
        while True:
            level = self._left_out.get(request.model, 0)
            outcome = self._send(client, request, deadline, level, begun)
            if not isinstance(outcome, int):
                return outcome
            self._left_out[request.model] = max(outcome, self._left_out.get(request.model, 0))

    def check(self, model: Model, seconds: float) -> str | Failure:
        """Ask, within so many seconds and for nothing, whether the key and this model work; returns what to show."""
        client = self._connect()
        if isinstance(client, Failure):
            return client
        if self._provider == "bedrock":
            return "not checked: Bedrock has no call that costs nothing"
        self._attempt.deadline = time.monotonic() + seconds
        try:
            client.messages.count_tokens(model=model.id, messages=[{"role": "user", "content": "ok"}])
        except _GivenUpError as given_up:
            return given_up.failure
        except Exception as error:  # noqa: BLE001 - see _failure
            return self._failure(error, model.id, None)
        ends = _end_of_life(model.id)
        return f"answers, but reaches its end of life on {ends}" if ends else "answers"

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._made()
            return self._client

    def _made(self) -> Any:
        """Import the SDK and make its client. Tracing stays off: a span could carry what is asked."""
        try:
            import anthropic

            region = self._env.get("AWS_REGION") or self._env.get("AWS_DEFAULT_REGION")
            shared: dict[str, Any] = {
                "max_retries": RETRIES,
                "middleware": [self._within_time],
                "open_telemetry": False,
                "timeout": anthropic.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            }
            if self._provider == "bedrock":
                return anthropic.AnthropicBedrock(aws_region=region, **shared)
            if self._provider == "vertex":
                return anthropic.AnthropicVertex(region=self._env["CLOUD_ML_REGION"], **shared)
            shared |= self._key() | {"base_url": self._env.get("ANTHROPIC_BASE_URL") or None}
            return anthropic.Anthropic(**shared)
        except Exception as error:  # noqa: BLE001 - a broken installation, profile or address is a value too
            return failed("unreachable", f"the SDK cannot start: {self._plain(str(error))}")

    def _key(self) -> dict[str, str]:
        if self._env.get("ANTHROPIC_API_KEY"):
            return {"api_key": self._env["ANTHROPIC_API_KEY"]}
        if self._env.get("ANTHROPIC_AUTH_TOKEN"):
            return {"auth_token": self._env["ANTHROPIC_AUTH_TOKEN"]}
        if any(self._env.get(name) for name in _CREDENTIALS) or _needs_key(self._env):
            return {}
        return {"api_key": "none"}  # a local server asks for none, and the SDK insists on one

    def _within_time(self, request: Any, call_next: Any) -> Any:
        """Run around every attempt that the SDK makes: no attempt and no wait goes past the deadline."""
        from anthropic import APIConnectionError, Timeout

        deadline: float | None = self._attempt.deadline
        if self._stopped.is_set():
            raise _GivenUpError(failed("interrupted", "interrupted before the request was sent"))
        if deadline is None:
            return call_next(request)
        left = deadline - time.monotonic()
        if left <= 0:
            raise _GivenUpError(failed("timeout", "the time was up before the request was sent"))
        backoff = 0.5 * 2**request.retries_taken
        try:
            response = call_next(request.copy(timeout=Timeout(left, connect=min(left, CONNECT_SECONDS))))
        except APIConnectionError as error:
            if time.monotonic() + backoff >= deadline:
                raise _GivenUpError(self._failure(error, "", None)) from None  # a cause would be tried again
            raise
        if response.status_code >= 400 and time.monotonic() + _asked_to_wait(response.headers, backoff) >= deadline:
            response.http_response.headers["x-should-retry"] = "false"
        return response

    def _send(
        self, client: Any, request: Request, deadline: float | None, level: int, begun: float
    ) -> Answer | Failure | int:
        """Send it once, retries included. An int is the level at which the endpoint may understand it."""
        self._attempt.deadline = deadline
        stream = cut = None
        late = "the answer was not whole when the time was up"
        try:
            with client.messages.stream(**_body(request, level)) as stream:
                if (
                    deadline is not None
                ):  # the SDK swallows pings, so a server that only sends those would be waited for
                    cut = threading.Timer(max(0.0, deadline - time.monotonic()), stream.close)
                    cut.daemon = True
                    cut.start()
                for _ in stream:
                    if self._stopped.is_set():
                        return failed("interrupted", "interrupted while the answer came", _spent(stream))
                    if deadline is not None and time.monotonic() >= deadline:
                        return failed("timeout", late, _spent(stream))
                message = stream.get_final_message()
        except _GivenUpError as given_up:
            return given_up.failure
        except Exception as error:  # noqa: BLE001 - see _failure
            if cut is not None and deadline is not None and time.monotonic() >= deadline:
                return failed("timeout", late, _spent(stream))
            if level < 2 and _misunderstood(error):
                return level + 1
            return self._failure(error, request.model, _spent(stream))
        finally:
            if cut is not None:
                cut.cancel()
        text = "".join(block.text for block in message.content if block.type == "text")
        return _whole(message, text, request, _usage(message.usage), time.monotonic() - begun)

    def _failure(self, error: Exception, model: str, usage: Usage | None) -> Failure:
        """Name what the SDK raised. Whatever a broken or hostile server makes it raise ends here, too."""
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if isinstance(getattr(error, "status_code", None), int):
            return self._refused(error, model, usage)
        if "TimeoutException" in kinds or "APITimeoutError" in kinds:
            return failed("timeout", "the endpoint did not answer in time", usage)
        if "APIConnectionError" in kinds or "TransportError" in kinds:
            why = self._plain(str(error.__cause__ or error)) or type(error).__name__
            return failed("unreachable", f"{_place(self._env, self._provider)} cannot be reached ({why})", usage)
        if "CredentialsError" in kinds or "authentication" in str(error):
            return self._keyless("no-key", f"there is no usable key ({self._plain(str(error))})", usage)
        why = self._plain(str(error)) or type(error).__name__
        return failed("unparsable", f"the answer is not one of the Messages API ({why})", usage)

    def _refused(self, error: Any, model: str, usage: Usage | None) -> Failure:
        status, kind = int(error.status_code), str(getattr(error, "type", None) or "")
        said = self._plain(str(getattr(error, "api_message", None) or error.message))
        code = str(getattr(error, "error_code", None) or "")
        if "spend_limit" in code:
            return failed("over-budget", f"the provider's own limit is reached ({said})", usage)
        if any(sign in said.lower() for sign in _TOO_LONG):
            return failed("over-context", f"the request is too long for {model} ({said})", usage)
        reason = _BY_TYPE.get(kind) or _BY_STATUS.get(status) or "server-error"
        if reason == "unknown-model":
            return failed(
                reason, f"{_place(self._env, self._provider)} does not know the model {model} ({said})", usage
            )
        number = f"{status}: " if status >= 400 else ""
        what = f"{_place(self._env, self._provider)} said {number}{said}"
        return self._keyless(reason, what, usage) if reason == "unauthorized" else failed(reason, what, usage)

    def _keyless(self, reason: str, what: str, usage: Usage | None) -> Failure:
        if self._provider == "anthropic":
            return failed(reason, what, usage)
        return Failure(
            reason, f"{what}. Sign in as the tools of that cloud need it, then run: agentreview doctor", usage
        )

    def _plain(self, text: str) -> str:
        """Text of a server for a message: one short line without our keys in it."""
        for name in _SECRETS:
            for part in (self._env.get(name) or "").splitlines():
                secret = part.partition(":")[2].strip() if name.endswith("HEADERS") else part.strip()
                if len(secret) >= 4:
                    text = text.replace(secret, "[key]")
        line = " ".join(text.split())
        line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line).rstrip(".")
        return line if len(line) <= 200 else line[:199] + "…"


def _body(request: Request, level: int) -> dict[str, Any]:
    """Level 0 is everything; 1 leaves the format to words, for endpoints without it; 2 also thinking and effort."""
    import anthropic

    messages = [{"role": role, "content": text} for role, text in request.messages]
    body: dict[str, Any] = {"model": request.model, "max_tokens": request.max_tokens, "messages": messages}
    if request.system:
        body["system"] = [
            {"type": "text", "text": block.text} | ({"cache_control": {"type": "ephemeral"}} if block.cached else {})
            for block in request.system
        ]
    output: dict[str, Any] = {}
    if level < 2:
        body["thinking"] = {"type": "adaptive"}
        if request.effort:
            output["effort"] = request.effort
    if request.schema is not None and level < 1:
        output["format"] = {"type": "json_schema", "schema": anthropic.transform_schema(dict(request.schema))}
    elif request.schema is not None and messages:
        schema = json.dumps(request.schema, sort_keys=True)
        words = f"\n\nAnswer with one JSON object and nothing else. It has to fit this JSON schema:\n{schema}"
        messages[-1] = {**messages[-1], "content": messages[-1]["content"] + words}
    if output:
        body["output_config"] = output
    return body


def _whole(message: Any, text: str, request: Request, usage: Usage, seconds: float) -> Answer | Failure:
    stop = str(message.stop_reason or "")
    if not stop:
        return failed("truncated", "the answer broke off", usage)
    reason, words = _STOPS.get(stop, ("", ""))
    if reason:
        return failed(reason, words.format(request.max_tokens, request.model), usage)
    if not text.strip():
        return failed("unparsable", f"the answer of {request.model} holds no text", usage)
    return Answer(text, stop, usage, seconds, str(message.model or request.model))


def _asked_to_wait(headers: Mapping[str, str], otherwise: float) -> float:
    try:
        return float(headers.get("retry-after-ms", "")) / 1000
    except ValueError:
        pass
    try:
        return float(headers.get("retry-after", ""))
    except ValueError:
        return otherwise


def _misunderstood(error: Any) -> bool:
    """Whether an endpoint refused a request for a parameter that it does not know."""
    if getattr(error, "status_code", None) not in (400, 422):
        return False
    said = f"{getattr(error, 'message', '')}".lower()
    return not any(sign in said for sign in _TOO_LONG) and any(name in said for name in _PARAMETERS)


def _spent(stream: Any) -> Usage | None:
    """Return what a broken answer has cost so far, where its beginning said so."""
    try:
        return _usage(stream.current_message_snapshot.usage)
    except Exception:  # noqa: BLE001 - nothing came, or nothing that says it
        return None


def _usage(usage: Any) -> Usage:
    return Usage(
        input_tokens=_count(usage, "input_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        cache_read=_count(usage, "cache_read_input_tokens"),
        cache_write=_count(usage, "cache_creation_input_tokens"),
    )


def _count(usage: Any, name: str) -> int:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) and value > 0 else 0


def _end_of_life(model: str) -> str:
    from anthropic.resources.messages import messages

    return str(getattr(messages, "DEPRECATED_MODELS", {}).get(model, ""))
