"""What rests on the facts of a project: what a review says about those that are open, and the commands about them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from commandline import GOOD, agentreview

SCOPE = "tenancy.query-scope"
KEY = '[facts.tenant]\nkey = "org"\nisolation = "row"\n'


@pytest.fixture
def unscoped(repo: Any) -> Any:
    """The clinic, with a view staged that looks a patient up in every tenant."""
    repo.stage({path: text.replace(", org=request.user.org", "") for path, text in GOOD.items()})
    return repo


def notes(repo: Any) -> list[str]:
    report = json.loads(agentreview("--format", "json", cwd=repo.path).out)
    return [note for note in report["notes"] if note.startswith("not co")]


# ---- what a review says once


def test_a_fact_that_is_not_set_is_said_once_with_the_policies_that_only_ask(unscoped: Any) -> None:
    expected = f"not configured: tenant.isolation, tenant.key ({SCOPE} asks instead of blocking): agentreview init"
    assert notes(unscoped) == [expected]
    done = agentreview(cwd=unscoped.path)
    assert done.code == 0
    assert " ".join(done.out.split()).count(expected) == 1
    full = agentreview("-v", cwd=unscoped.path).out
    assert "to settle it" not in full, "the note says it for all of them"
    log = json.loads(agentreview("--format", "sarif", cwd=unscoped.path).out)
    [notification] = log["runs"][0]["invocations"][0]["toolConfigurationNotifications"]
    assert (notification["level"], notification["message"]["text"]) == ("note", expected)
    annotations = agentreview("--format", "github", cwd=unscoped.path).out
    assert annotations.count("not configured") == 1
    assert f"::notice title=agentreview::{expected}" in annotations


def test_ten_findings_are_one_note(unscoped: Any) -> None:
    view = GOOD["clinic/views.py"].replace(", org=request.user.org", "")
    head, _, body = view.partition("@permission_required")
    more = "".join("\n\n@permission_required" + body.replace("patient_detail", f"patient_{n}") for n in range(10))
    unscoped.stage({"clinic/views.py": head + more.lstrip("\n")})
    assert len(notes(unscoped)) == 1


def test_a_change_that_needs_no_fact_is_told_nothing_about_facts(repo: Any) -> None:
    repo.stage(GOOD)
    assert notes(repo) == []


def test_old_debt_waived_and_advisory_findings_need_no_fact(unscoped: Any) -> None:
    unscoped.git("commit", "-qm", "debt")
    unscoped.stage({"clinic/views.py": (unscoped.path / "clinic/views.py").read_text().replace("pk)\n", "pk)  # x\n")})
    assert notes(unscoped) == []
    unscoped.stage({"agentreview.toml": '[policies]\n"tenancy.query-scope" = "advisory"\n'})
    unscoped.stage({"clinic/more.py": (unscoped.path / "clinic/views.py").read_text()})
    assert notes(unscoped) == []


def test_facts_without_a_persons_name_are_said_and_a_name_makes_the_suspect_block(unscoped: Any) -> None:
    unscoped.commit({"agentreview.toml": KEY, "clinic/views.py": ""})
    unscoped.stage({"clinic/views.py": GOOD["clinic/views.py"].replace(", org=request.user.org", "")})
    command = "agentreview facts confirm tenant.isolation tenant.key"
    assert notes(unscoped) == [
        f"not confirmed: tenant.isolation, tenant.key ({SCOPE} asks instead of blocking): {command}"
    ]
    assert agentreview(cwd=unscoped.path).code == 0
    unscoped.stage({"agentreview.toml": KEY + '[facts.confirmed]\n"tenant.key" = "dana"\n'})
    assert notes(unscoped) == [
        f"not confirmed: tenant.isolation ({SCOPE} asks instead of blocking): {command.replace(' tenant.key', '')}"
    ]
    unscoped.stage({"agentreview.toml": KEY + '[facts.confirmed]\ntenant = "dana"\n'})
    assert notes(unscoped) == []
    done = agentreview(cwd=unscoped.path)
    assert done.code == 1
    assert f"{SCOPE}: A query" in done.out


def test_the_whole_has_to_be_confirmed_for_a_policy_that_names_no_fact(repo: Any) -> None:
    settings = {"app/settings.py": "SESSION_COOKIE_SECURE = True\n"}
    repo.commit({**settings, "agentreview.toml": '[facts.confirmed]\ntenant = "dana"\n'})
    repo.stage({"tests/fixtures/patients.json": '[{"name": "John Miller", "ssn": "212-09-9999"}]\n'})
    said = "not confirmed: the project's facts as a whole (hipaa.phi-in-fixtures asks instead of blocking)"
    assert notes(repo) == [f"{said}: agentreview facts confirm"]
