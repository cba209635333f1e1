"""``agentreview doctor`` and model reviewers: the key and every model are tried, with calls that cost nothing."""

from __future__ import annotations

import pytest

from messages_server import KEY, MessagesServer, Reply
from warm import agentreview

ENABLED = '[reviewers]\nenabled = ["tenant-isolation"]\n'


@pytest.fixture
def server():
    with MessagesServer() as running:
        yield running


def diagnosed(repo, env, config: str = ENABLED) -> dict[str, tuple[str, str]]:
    """Status and text of the checks about models, by name."""
    repo.stage({"agentreview.toml": config})
    done = agentreview("doctor", cwd=repo.path, env={"AGENTREVIEW_OFFLINE": "", **env})
    assert "Traceback" not in done.err
    assert KEY not in done.out + done.err
    found, name = {}, ""
    for line in done.out.splitlines():
        if line[:4].strip() and "  " in line[6:]:
            status, (name, _, text) = line[:4].strip(), line[6:].partition("  ")
            found[name] = (status, text.strip())
        elif line.strip().startswith("->"):
            found[name] = (found[name][0], f"{found[name][1]} {line.strip()}")
    return {name: one for name, one in found.items() if name.startswith(("model ", "reviewers"))}


def test_the_key_and_every_model_are_tried_and_nothing_is_paid_for(repo, server):
    checks = diagnosed(repo, server.env)
    assert [status for status, _ in checks.values()] == ["ok"] * 4
    assert "tenant-isolation, by 127.0.0.1" in checks["reviewers"][1]
    assert checks["model fast"][1] == "claude-haiku-5-5 answers"
    assert {one.path for one in server.received} == {"/v1/messages/count_tokens"}
    assert len(server.received) == 3


def test_without_reviewers_nothing_is_asked(repo, server):
    assert diagnosed(repo, server.env, "") == {}
    assert server.received == []


def test_a_retired_model_and_a_bad_key_fail_loudly(repo, server):
    server.knows = ("claude-haiku-5-5", "claude-sonnet-5-5")
    checks = diagnosed(repo, server.env)
    assert [checks[f"model {tier}"][0] for tier in ("fast", "standard", "deep")] == ["ok", "ok", "fail"]
    assert "does not know the model claude-opus-5-5" in checks["model deep"][1]
    assert "-> Correct the id in [models]" in checks["model deep"][1]
    server.default = Reply(status=401, error="authentication_error", says="invalid x-api-key")
    assert diagnosed(repo, server.env)["model fast"][0] == "fail"


def test_a_missing_key_fails_and_being_offline_is_said(repo, server):
    (status, text) = diagnosed(repo, {"ANTHROPIC_API_KEY": ""})["reviewers"]
    assert status == "fail"
    assert "-> Set ANTHROPIC_API_KEY" in text
    (status, _) = diagnosed(repo, {**server.env, "AGENTREVIEW_OFFLINE": "1"})["reviewers"]
    assert status == "warn"
    assert server.received == []


def test_a_model_without_a_price_and_one_about_to_retire_are_said(repo, server):
    from anthropic.resources.messages.messages import DEPRECATED_MODELS

    old = next(iter(DEPRECATED_MODELS))
    tiers = f'[models]\nfast = "somebody-elses"\ndeep = {{ id = "{old}", input = 1, output = 2 }}\n'
    checks = diagnosed(repo, server.env, tiers + ENABLED)
    assert checks["model fast"][0] == "fail"
    assert "has no price" in checks["model fast"][1]
    assert checks["model deep"][0] == "warn"
    assert "end of life" in checks["model deep"][1]
