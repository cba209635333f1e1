"""Going around the gate with the installed command: refused, or on record, and a matter for CI until somebody answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentreview.git import open_repository
from agentreview.install import install
from agentreview.reporters import REPORTERS
from agentreview.waiverfile import SIGNERS_NAME
from commandline import BAD, GOOD, RULE, agentreview

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen signs here")
WHY = "the portal is down, SEC-12"
BYPASSED = "conduct.review-bypassed"
DANA = "dana@clinic.example"


@pytest.fixture
def gated(repo: Any, tmp_path: Path) -> Any:
    """A clinic on main, its approver's key, hooks, and a branch."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    repo.commit(
        {
            "agentreview.toml": f'[waivers]\napprovers = ["{DANA}"]\n',
            SIGNERS_NAME: f"{DANA} {public}\n",
            "a.py": "a = 1\n",
        }
    )
    assert install(open_repository(str(repo.path)), native=True).done
    repo.git("checkout", "-q", "-b", "feature")
    return repo


def commit(repo: Any, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "commit", "-q", "-m", "work", *args]
    return subprocess.run(
        command, cwd=repo.path, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


def ci(repo: Any) -> dict[str, Any]:
    return json.loads(agentreview("ci", "--base", "main", "--format", "json", cwd=repo.path).out)


def around(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [finding for finding in answer["findings"] if finding["rule"] == BYPASSED]


def test_a_refused_change_goes_around_only_with_a_reason_and_its_receipt_names_what_was_refused(gated: Any) -> None:
    gated.stage(BAD)
    assert RULE in commit(gated).stderr
    assert "refused" in commit(gated, "--no-verify").stderr
    done = commit(gated, "--no-verify", AGENTREVIEW_BYPASS=WHY)
    assert done.returncode == 0, done.stderr
    name = agentreview("receipts", "list", cwd=gated.path).out.splitlines()
    (line,) = [one for one in name if f"bypass: {WHY}" in one]
    record = json.loads(agentreview("receipts", "show", line.split()[0], cwd=gated.path).out)
    predicate = record["statement"]["predicate"]
    assert predicate["bypass"] == {"person": f"Dana Reyes <{DANA}>", "reason": WHY}
    assert RULE in {finding["rule"] for finding in predicate["findings"] if finding["status"] == "blocking"}
    assert agentreview("receipts", "verify", cwd=gated.path).code == 0


def test_a_bypass_fails_ci_until_an_approver_answers_for_it(gated: Any, tmp_path: Path) -> None:
    gated.stage(GOOD)
    assert commit(gated, "--no-verify", AGENTREVIEW_BYPASS=WHY).returncode == 0
    answer = ci(gated)
    [finding] = around(answer)
    assert (answer["decision"], finding["status"]) == ("block", "blocking")
    assert WHY in finding["message"]
    assert finding["path"] == "clinic/models.py"
    formats = [f"--format={name}={tmp_path / name}" for name in REPORTERS]
    shown = agentreview("ci", "--base", "main", *formats, cwd=gated.path)
    assert shown.code == 1, shown.err
    for name in REPORTERS:
        assert BYPASSED in (tmp_path / name).read_text().replace("\\", ""), name
    said = (tmp_path / "terminal").read_text()
    assert "waive: agentreview waive" in said
    assert "ignore[" not in said, "no comment in a file answers for a commit"
    assert agentreview("waive", finding["fingerprint"], "--reason", "seen by Lee", cwd=gated.path).code == 0
    gated.git("add", "-A")
    assert commit(gated).returncode == 0
    assert ci(gated)["decision"] == "block", "nobody who may has signed for it"
    gated.git(
        "-c", "gpg.format=ssh", "-c", f"user.signingkey={tmp_path / 'key'}", "commit", "-q", "-S", "--amend", "-m", "x"
    )
    answer = ci(gated)
    assert (answer["decision"], [one["status"] for one in around(answer)]) == ("pass", ["waived"])


def test_a_waiver_that_is_on_the_base_answers_for_a_bypass_and_one_that_has_ended_does_not(gated: Any) -> None:
    gated.stage(GOOD)
    commit(gated, "--no-verify", AGENTREVIEW_BYPASS=WHY)
    [finding] = around(ci(gated))
    assert agentreview("waive", finding["fingerprint"], "--reason", "seen by Lee", cwd=gated.path).code == 0
    file = gated.path / ".agentreview/waivers.toml"
    waiver = file.read_text()
    file.unlink()
    over = re.sub(r"(created|expires) = \S+", r"\1 = 2026-01-01", waiver)
    for text, status in ((over, "blocking"), (waiver, "waived")):
        gated.git("checkout", "-q", "main")
        gated.stage({".agentreview/waivers.toml": text})
        gated.git("-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "Lee has seen it")
        gated.git("checkout", "-q", "feature")
        gated.git("rebase", "-q", "main")
        answer = ci(gated)
        assert ([one["status"] for one in around(answer)], answer["decision"]) == (
            [status],
            "pass" if status == "waived" else "block",
        )


def test_a_signature_of_somebody_who_is_no_approver_answers_for_nothing(gated: Any, tmp_path: Path) -> None:
    gated.stage(GOOD)
    commit(gated, "--no-verify", AGENTREVIEW_BYPASS=WHY)
    [finding] = around(ci(gated))
    agentreview("waive", finding["fingerprint"], "--reason", "I say so", cwd=gated.path)
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    public = " ".join(other.with_suffix(".pub").read_text().split()[:2])
    with (gated.path / SIGNERS_NAME).open("a") as file:
        file.write(f"{DANA} {public}\n")
    gated.git("add", "-A")
    signed = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={other}", "-c", "core.hooksPath=/dev/null")
    gated.git(*signed, "commit", "-q", "-S", "-m", "accepted by me, and I am Dana")
    answer = ci(gated)
    assert [one["status"] for one in around(answer)] == ["blocking"]


def test_a_rebase_neither_loses_a_bypass_nor_its_waiver(gated: Any) -> None:
    gated.stage(GOOD)
    commit(gated, "--no-verify", AGENTREVIEW_BYPASS=WHY)
    [before] = around(ci(gated))
    gated.git("checkout", "-q", "main")
    gated.stage({"b.py": "b = 1\n"})
    assert commit(gated).returncode == 0
    gated.git("checkout", "-q", "feature")
    gated.git("rebase", "-q", "main")
    [after] = around(ci(gated))
    assert after["fingerprint"] == before["fingerprint"]


def test_what_was_reviewed_afterwards_is_no_bypass_any_more(gated: Any) -> None:
    gated.stage(GOOD)
    commit(gated, "--no-verify", AGENTREVIEW_BYPASS=WHY)
    assert agentreview("--commit", "HEAD", cwd=gated.path).code == 0
    answer = ci(gated)
    assert (answer["decision"], around(answer)) == ("pass", [])


def test_a_shard_that_does_not_ask_about_conduct_leaves_it_to_the_one_that_does(gated: Any) -> None:
    gated.stage(GOOD)
    commit(gated, "--no-verify", AGENTREVIEW_BYPASS=WHY)
    found = [
        around(
            json.loads(agentreview("ci", "--base", "main", "--shard", f"{n}/3", "--format", "json", cwd=gated.path).out)
        )
        for n in (1, 2, 3)
    ]
    assert sorted(map(len, found)) == [0, 0, 1]
