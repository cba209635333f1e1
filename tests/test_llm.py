"""Asking a model over a real connection: each way to fail has its own reason, and waiting together is as long as waiting once."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from agentreview.llm import (
    NEXT,
    REASONS,
    Answer,
    Block,
    Failure,
    Request,
    Sdk,
    Usage,
    backend,
    destination,
    failed,
    request_digest,
)
from agentreview.modelsettings import Models, known_model
from messages_server import KEY, MessagesServer, Reply

SCHEMA = {
    "type": "object",
    "properties": {"claims": {"type": "array", "items": {"type": "string", "minLength": 1}}},
    "required": ["claims"],
    "additionalProperties": False,
}
REQUEST = Request(
    "one",
    "claude-sonnet-5-5",
    (Block("You read changes."), Block("The policies.", cached=True)),
    (("user", "Is it right?"),),
    SCHEMA,
    4000,
    "high",
)


@pytest.fixture
def server():
    with MessagesServer() as running:
        yield running


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def ask(server: MessagesServer, request: Request = REQUEST, *, within: float = 30.0, env=None) -> Answer | Failure:
    found = backend({**server.env, **(env or {})}, Models())
    assert not isinstance(found, Failure)
    return found.ask(request, time.monotonic() + within)


def failure(outcome: Answer | Failure) -> Failure:
    assert isinstance(outcome, Failure), outcome
    assert outcome.reason in REASONS
    assert "\n" not in outcome.detail
    return outcome


def test_a_request_carries_thinking_effort_the_schema_and_a_cached_prefix(server):
    server.script(Reply(json={"claims": []}, thinking="Let me see.", cache_read=900, cache_write=50))
    answer = ask(server)
    assert isinstance(answer, Answer)
    assert json.loads(answer.text) == {"claims": []}, "thinking is no part of the answer"
    assert answer.usage == Usage(100, 20, 900, 50)
    assert (answer.stop_reason, answer.model) == ("end_turn", "claude-sonnet-5-5")
    (sent,) = server.messages
    assert sent.body["thinking"] == {"type": "adaptive"}
    assert sent.body["output_config"]["effort"] == "high"
    assert sent.body["output_config"]["format"]["type"] == "json_schema"
    assert sent.body["output_config"]["format"]["schema"]["required"] == ["claims"]
    assert [block.get("cache_control") for block in sent.body["system"]] == [None, {"type": "ephemeral"}]
    assert sent.body["max_tokens"] == 4000
    assert REQUEST.id not in sent.text


def test_without_an_effort_none_is_sent_and_without_a_schema_no_format(server):
    ask(server, replace(REQUEST, effort=None, schema=None))
    assert "output_config" not in server.messages[0].body


@pytest.mark.parametrize(
    ("reply", "reason", "says"),
    [
        (Reply(status=401, error="authentication_error", says="invalid x-api-key"), "unauthorized", "invalid x-api-key"),
        (Reply(status=403, error="permission_error", says="not yours"), "forbidden", "not yours"),
        (Reply(status=402, error="billing_error", says="no credit"), "forbidden", "no credit"),
        (Reply(status=404, error="not_found_error", says="model: x"), "unknown-model", "claude-sonnet-5-5"),
        (Reply(status=413, error="request_too_large", says="too large"), "over-context", "too large"),
        (Reply(status=400, error="invalid_request_error", says="prompt is too long: 9 tokens > 8 maximum"),
         "over-context", "9 tokens"),
        (Reply(status=400, error="invalid_request_error", says="messages: bad"), "server-error", "400: messages: bad"),
        (Reply(error="overloaded_error", says="Overloaded"), "server-error", "Overloaded"),
        (Reply(stop_reason="max_tokens"), "truncated", "cut off at 4000 tokens"),
        (Reply(stop_reason="refusal"), "refused", "refused to answer"),
        (Reply(stop_reason="pause_turn"), "truncated", "paused"),
        (Reply(stop_reason="model_context_window_exceeded"), "over-context", "is full"),
        (Reply(" "), "unparsable", "holds no text"),
        (Reply(breaks="nonsense"), "unparsable", "not one of the Messages API"),
        (Reply(breaks="json"), "unparsable", "not one of the Messages API"),
        (Reply(breaks="stream"), "unreachable", "cannot be reached"),
        (Reply(breaks="early"), "unreachable", "cannot be reached"),
    ],
)  # fmt: skip
def test_each_failure_has_its_own_reason_and_says_what_to_do(server, reply, reason, says):
    server.script(reply)
    found = failure(ask(server))
    assert found.reason == reason, found
    assert says in found.detail
    assert found.detail.endswith(NEXT[reason])
    assert len(server.messages) == 1, "none of these gets better by asking again"


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_what_passes_is_asked_again(server, status):
    server.script(
        Reply(status=status, error="api_error", says="busy", headers=(("retry-after", "0.05"),)), Reply("fine")
    )
    answer = ask(server)
    assert isinstance(answer, Answer)
    assert answer.text == "fine"
    assert len(server.messages) == 2


def test_a_server_that_asks_to_wait_longer_than_there_is_time_is_not_waited_for(server):
    server.script(Reply(status=429, error="rate_limit_error", says="slow down", headers=(("retry-after", "600"),)))
    began = time.monotonic()
    found = failure(ask(server))
    assert found.reason == "rate-limited"
    assert time.monotonic() - began < 120
    assert len(server.messages) == 1


def test_a_server_that_stays_busy_is_given_up(server):
    busy = Reply(status=529, error="overloaded_error", says="Overloaded", headers=(("retry-after", "0.01"),))
    server.script(busy, busy, busy, busy)
    assert failure(ask(server)).reason == "server-error"
    assert len(server.messages) == 3, "two more attempts"


@pytest.mark.parametrize(
    "reply",
    [Reply(seconds=600), Reply("a long answer", drip=600), Reply("so slow that it never ends", drip=0.2)],
    ids=["silence", "a silent stream", "a dripping stream"],
)
def test_whoever_does_not_answer_in_time_is_a_timeout(server, reply):
    ask(server)  # the SDK is imported by now
    server.script(reply)
    began = time.monotonic()
    found = failure(ask(server, within=0.6))
    assert found.reason == "timeout"
    assert time.monotonic() - began < 120


def test_a_time_that_is_up_sends_nothing(server):
    assert failure(ask(server, within=-1)).reason == "timeout"
    assert server.messages == []


def test_nobody_listening_is_unreachable(server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        found = failure(ask(server, env={"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}"}))
    assert found.reason == "unreachable"
    assert f"127.0.0.1:{port}" in found.detail


def test_a_connection_that_closes_without_an_answer_is_unreachable(server):
    server.default = Reply(breaks="connect")
    assert failure(ask(server)).reason == "unreachable"
    assert len(server.messages) == 3


def test_what_a_failed_answer_has_cost_is_known(server):
    server.script(Reply(stop_reason="max_tokens", output_tokens=4000), Reply(breaks="stream"))
    assert failure(ask(server)).usage == Usage(100, 4000)
    assert failure(ask(server)).usage == Usage(100, 1)


def test_an_endpoint_that_knows_no_structured_answers_is_asked_in_words(server):
    server.script(Reply(status=400, error="invalid_request_error", says="output_config.format: Extra inputs"))
    found = backend(server.env, Models())
    assert isinstance(found.ask(REQUEST, None), Answer)
    first, second = server.messages
    assert "format" in first.body["output_config"]
    assert second.body["output_config"] == {"effort": "high"}
    assert "JSON schema" in second.asked
    assert '"claims"' in second.asked
    found.ask(REQUEST, None)
    assert len(server.messages) == 3, "and it is remembered"


def test_an_endpoint_that_knows_no_thinking_either_gets_the_plain_request(server):
    refusal = Reply(status=400, error="invalid_request_error", says="adaptive thinking is not supported on this model")
    server.script(refusal, refusal)
    assert isinstance(ask(server), Answer)
    assert {"thinking", "output_config"} & server.messages[-1].body.keys() == set()


def test_a_key_is_never_in_what_is_said(server):
    server.script(Reply(status=401, error="authentication_error", says=f"no such key: {KEY}\n\x1b[31m"))
    found = failure(ask(server))
    assert KEY not in found.detail
    assert "\x1b" not in found.detail
    assert any(KEY in value for value in server.messages[0].headers.values())


@pytest.mark.parametrize("provider", ["bedrock", "vertex"])
def test_what_a_cloud_says_of_its_credentials_leads_to_its_own_sign_in(provider):
    """Without their libraries: what they raise is named like everything else."""
    cloud = Sdk(provider, {"AWS_REGION": "eu-central-1", "CLOUD_ML_REGION": "europe-west1"})
    found = cloud._failure(RuntimeError("authentication: no credentials were found"), "m", None)
    assert found.reason == "no-key"
    assert "Sign in as the tools of that cloud need it" in found.detail
    assert "ANTHROPIC_API_KEY" not in found.detail


def test_a_local_server_needs_no_key(server):
    env = {"ANTHROPIC_BASE_URL": server.url}
    found = backend(env, Models())
    assert isinstance(found.ask(REQUEST, None), Answer)


@pytest.mark.parametrize(
    ("env", "provider", "reason", "says"),
    [
        ({}, "anthropic", "no-key", "ANTHROPIC_API_KEY"),
        ({"ANTHROPIC_BASE_URL": "https://api.anthropic.com"}, "anthropic", "no-key", "ANTHROPIC_API_KEY"),
        ({"ANTHROPIC_API_KEY": KEY, "AGENTREVIEW_OFFLINE": "1"}, "anthropic", "offline", "AGENTREVIEW_OFFLINE"),
        ({"ANTHROPIC_API_KEY": KEY}, "bedrock", "unreachable", "agentreview-gate[bedrock]"),
        ({"ANTHROPIC_API_KEY": KEY}, "vertex", "unreachable", "agentreview-gate[vertex]"),
    ],
)
def test_without_a_key_or_offline_nothing_can_be_asked_and_it_says_so(env, provider, reason, says):
    found = backend(env, Models(provider))
    assert isinstance(found, Failure)
    assert found.reason == reason
    assert says in found.detail
    assert KEY not in found.detail


def test_being_offline_can_be_taken_back(server):
    assert not isinstance(backend({**server.env, "AGENTREVIEW_OFFLINE": "0"}, Models()), Failure)


def test_who_would_be_asked_is_named_without_a_password():
    assert destination({}, Models()) == "api.anthropic.com"
    assert destination({"ANTHROPIC_BASE_URL": "http://me:secret@llm.example:8080/v1"}, Models()) == "llm.example:8080"
    assert destination({"AWS_REGION": "eu-central-1"}, Models("bedrock")) == "Bedrock in eu-central-1"
    assert destination({"ANTHROPIC_BASE_URL": "http://[bad"}, Models()).startswith("an address that is none")


def test_a_server_that_only_sends_pings_cannot_hold_the_review_up(server):
    ask(server)
    server.script(Reply("never", pings=10_000, drip=0.05))
    began = time.monotonic()
    assert failure(ask(server, within=2)).reason == "timeout"
    assert time.monotonic() - began < 120


def test_the_sdk_is_imported_when_the_first_request_is_sent(server):
    script = (
        "import os, sys\n"
        "from agentreview.llm import Request, backend\n"
        "from agentreview.modelsettings import Models\n"
        "found = backend(os.environ, Models())\n"
        "print('anthropic' in sys.modules)\n"
        "print(found.ask(Request('a', 'm', (), (('user', 'hi'),)), None).text, 'anthropic' in sys.modules)\n"
    )
    env = {**os.environ, **server.env}
    ran = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert ran.stdout == "False\nok True\n"
    assert ran.stderr == ""


def test_the_cheapest_call_says_whether_key_and_model_work(server):
    server.knows = ("claude-haiku-5-5",)
    found = backend(server.env, Models())
    assert found.check(known_model("claude-haiku-5-5"), 30) == "answers"
    gone = found.check(known_model("claude-retired-1"), 30)
    assert isinstance(gone, Failure)
    assert gone.reason == "unknown-model"
    assert {one.path for one in server.received} == {"/v1/messages/count_tokens"}


def test_a_model_about_to_be_retired_is_named(server):
    from anthropic.resources.messages.messages import DEPRECATED_MODELS

    found = backend(server.env, Models())
    name = next(iter(DEPRECATED_MODELS))
    assert "end of life" in found.check(known_model(name), 30)


def test_a_request_is_named_by_what_is_asked_and_not_by_its_random_boundary():
    one = replace(REQUEST, messages=(("user", "fence-0123456789abcdef01234567 x"),))
    two = replace(REQUEST, id="other", messages=(("user", "fence-aaaaaaaaaaaaaaaaaaaaaaaa x"),))
    other = replace(REQUEST, messages=(("user", "fence-aaaaaaaaaaaaaaaaaaaaaaaa y"),))
    assert request_digest(one) == request_digest(two)
    assert request_digest(one) != request_digest(other)
    assert request_digest(one) != request_digest(replace(one, effort="low"))


def test_every_reason_says_what_to_do_next():
    for reason in REASONS:
        assert failed(reason, "it did not work").detail == f"it did not work. {NEXT[reason]}"
        assert NEXT[reason].strip(". ") == NEXT[reason]
