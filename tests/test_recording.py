"""Answers that are kept and given again, and a log that only its owner can read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agentreview.llm import Answer, Block, Failure, Logged, Recorder, Replayer, Request, Usage, backend
from agentreview.modelsettings import Models
from messages_server import KEY, MessagesServer, Reply

REQUEST = Request("reviewer:tester#1", "claude-haiku-5-5", (Block("role"),), (("user", "is it right?"),))
OTHER = replace(REQUEST, messages=(("user", "is it wrong?"),))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with MessagesServer() as running:
        yield running


def test_a_recorded_answer_is_given_again_without_a_network(server, tmp_path):
    server.script(Reply("yes", input_tokens=7, output_tokens=3))
    first = Recorder(backend(server.env, Models()), tmp_path).ask(REQUEST, None)
    assert isinstance(first, Answer)
    again = Replayer(tmp_path).ask(replace(REQUEST, id="reviewer:other#9"), None)
    assert again == first
    assert len(server.messages) == 1
    missing = Replayer(tmp_path).ask(OTHER, None)
    assert isinstance(missing, Failure)
    assert missing.reason == "offline"
    assert "--record" in missing.detail


def test_answers_that_change_are_kept_and_given_in_their_order(server, tmp_path):
    server.script(Reply("one"), Reply("two"), Reply("three"))
    recorder = Recorder(backend(server.env, Models()), tmp_path)
    recorder.ask(REQUEST, None), recorder.ask(REQUEST, None)
    recorder.ask(OTHER, None)
    replayer = Replayer(tmp_path)
    assert [replayer.ask(REQUEST, None).text for _ in range(4)] == ["one", "two", "one", "two"]
    assert replayer.ask(OTHER, None).text == "three"


def test_a_failure_is_not_recorded(server, tmp_path):
    server.script(Reply(stop_reason="refusal"))
    assert isinstance(Recorder(backend(server.env, Models()), tmp_path).ask(REQUEST, None), Failure)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"request": "b2:other", "outcome": {}}', b"\xff"])
def test_a_damaged_recording_is_no_answer(server, tmp_path, data):
    Recorder(backend(server.env, Models()), tmp_path).ask(REQUEST, None)
    (path,) = tmp_path.iterdir()
    path.write_bytes(data)
    found = Replayer(tmp_path).ask(REQUEST, None)
    assert isinstance(found, Failure)
    assert found.reason == "unparsable"


def test_a_recording_holds_no_key_and_no_question(server, tmp_path):
    Recorder(backend(server.env, Models()), tmp_path).ask(REQUEST, None)
    (path,) = tmp_path.iterdir()
    assert KEY not in path.read_text()
    assert "is it right" not in path.read_text()


def test_the_log_of_requests_is_for_its_owner_alone_and_holds_no_key(server, tmp_path):
    path = tmp_path / "below" / "requests.jsonl"
    path.parent.mkdir()
    path.write_text("")
    path.chmod(0o644)
    server.script(Reply("fine"), Reply(stop_reason="refusal"))
    logged = Logged(backend(server.env, Models()), path)
    assert logged.ask(REQUEST, None) == Answer(
        "fine", "end_turn", Usage(100, 20), pytest.approx(0, abs=60), REQUEST.model
    )
    logged.ask(OTHER, None)
    logged.close()
    assert path.stat().st_mode & 0o777 == 0o600
    first, second = map(json.loads, path.read_text().splitlines())
    assert first["request"]["messages"] == [["user", "is it right?"]]
    assert first["outcome"]["text"] == "fine"
    assert second["outcome"]["reason"] == "refused"
    assert KEY not in path.read_text()


def test_a_link_put_in_the_place_of_the_log_is_not_followed(server, tmp_path):
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="log"):
        Logged(backend(server.env, Models()), tmp_path / "log")
