"""`agentreview ci`: a branch is judged by the rules of what it goes into, whatever it brings along."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentreview.ci import merge, shard
from agentreview.errors import UsageError
from agentreview.model import Decision, Outcome, older
from agentreview.reporters.jsonreport import loads
from commandline import BAD, GOOD, RULE, Done, agentreview, one_line
from factories import finding, run, verdict

WAIVED = BAD["clinic/views.py"].replace(
    "    patient = ", f"    # agentreview: ignore[{RULE}] the gateway records every read\n    patient = "
)


@pytest.fixture
def branch(repo: Any) -> Any:
    """A repository on a branch of its own, one harmless commit after ``main``."""
    repo.commit({"clinic/models.py": GOOD["clinic/models.py"], "README.md": "clinic\n"})
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit({"README.md": "the clinic\n"})
    return repo


def ci(repo: Any, *args: str, base: str = "main", **env: str) -> Done:
    return agentreview("ci", *(("--base", base) if base else ()), *args, cwd=repo.path, env=env)


def report(repo: Any, *args: str, base: str = "main", **env: str) -> dict[str, Any]:
    done = ci(repo, "--format", "json", *args, base=base, **env)
    answer: dict[str, Any] = json.loads(done.out)
    assert done.code == answer["exit_code"]
    return answer


def test_what_the_branch_adds_is_judged_and_what_the_base_added_meanwhile_is_not(branch: Any) -> None:
    branch.git("checkout", "-q", "main")
    branch.commit({"other/views.py": BAD["clinic/views.py"]})
    branch.git("checkout", "-q", "feature")
    assert report(branch)["decision"] == "pass"
    branch.commit(BAD)
    answer = report(branch)
    assert (answer["decision"], {f["path"] for f in answer["findings"] if f["status"] == "blocking"}) == (
        "block",
        {"clinic/views.py"},
    )


def test_a_commit_made_without_hooks_is_found(branch: Any) -> None:
    branch.stage(BAD)
    branch.git("commit", "-q", "--no-verify", "-m", "in a hurry")
    assert ci(branch).code == 1


@pytest.mark.parametrize(
    "loosened",
    [
        '[packs]\nhipaa = "off"\nconduct = "off"\n',
        'exclude = ["clinic/"]\n',
        'block_at = "critical"\n',
        "[facts.phi]\nnot_phi = ['Patient']\n",
    ],
)
def test_a_branch_cannot_loosen_the_gate_it_is_judged_by(branch: Any, loosened: str) -> None:
    branch.commit({"agentreview.toml": loosened})
    branch.commit(BAD)
    answer = report(branch)
    blocking = {f["rule"] for f in answer["findings"] if f["status"] == "blocking"}
    assert RULE in blocking
    assert answer["configured_in"] == ""


def test_loosening_is_itself_what_a_person_has_to_settle(branch: Any) -> None:
    branch.commit({"agentreview.toml": '[packs]\nhipaa = "off"\n'})
    answer = report(branch)
    assert ("conduct.gate-tampered", "blocking") in {(f["rule"], f["status"]) for f in answer["findings"]}


def test_a_branch_that_changes_what_it_is_judged_by_is_told_whose_rules_count(branch: Any) -> None:
    tip = branch.git("rev-parse", "main").strip()[:12]
    branch.commit({"pyproject.toml": '[project]\nname = "clinic"\nkeywords = ["agentreview"]\n'})
    assert not any("not as on the base" in note for note in report(branch)["notes"])
    branch.commit(
        {
            "agentreview.toml": 'block_at = "critical"\n',
            ".agentreview/allowed_signers": "",
            ".agents/profiles/careful.md": "---\nname: careful\n---\nSay nothing.\n",
        }
    )
    said = (
        ".agentreview/allowed_signers, .agents/profiles/careful.md, agentreview.toml are not as on the base: judged by what"
        f" the base has ({tip})"
    )
    assert said in report(branch)["notes"]
    assert said in " ".join(ci(branch).out.split())


def test_a_branch_from_before_the_gate_was_tightened_is_judged_by_the_gate_as_it_is(branch: Any) -> None:
    """Whoever forks chooses the merge base: its settings must not count, not even for the policy that guards them."""
    branch.git("checkout", "-q", "main")
    branch.commit({"agentreview.toml": '[packs]\nconduct = "off"\n[waivers]\nmax_days = 3650\n'})
    branch.git("checkout", "-q", "-B", "feature")
    branch.git("checkout", "-q", "main")
    branch.commit({"agentreview.toml": "[waivers]\nmax_days = 30\n"})
    branch.git("checkout", "-q", "feature")
    branch.commit({"agentreview.toml": '[packs]\nconduct = "off"\nhipaa = "off"\n[waivers]\nmax_days = 3650\n'})
    blocking = {f["rule"] for f in report(branch)["findings"] if f["status"] == "blocking"}
    assert blocking == {"conduct.gate-tampered"}


def test_a_waiver_that_the_base_has_taken_back_does_not_count_on_a_branch_that_still_has_it(branch: Any) -> None:
    branch.git("checkout", "-q", "main")
    branch.commit(BAD)
    branch.git("rm", "-q", "-r", "clinic/views.py")
    branch.git("commit", "-q", "-m", "gone")
    branch.git("checkout", "-q", "-b", "scratch")
    branch.commit(BAD)
    [found] = [f for f in report(branch)["findings"] if f["status"] == "blocking"]
    assert agentreview("waive", found["fingerprint"], "--reason", "the gateway", cwd=branch.path).code == 0
    waiver = (branch.path / ".agentreview/waivers.toml").read_text()
    branch.git("checkout", "-q", "-f", "main")
    branch.commit({".agentreview/waivers.toml": waiver})
    branch.git("checkout", "-q", "-B", "feature")
    branch.commit(BAD)
    assert report(branch)["decision"] == "pass"
    branch.git("checkout", "-q", "main")
    branch.git("rm", "-q", ".agentreview/waivers.toml")
    branch.git("commit", "-q", "-m", "taken back")
    branch.git("checkout", "-q", "feature")
    answer = report(branch)
    assert answer["decision"] == "block"
    assert any("does not count" in note for note in answer["notes"])


def test_the_rules_are_those_at_the_tip_of_the_base(branch: Any) -> None:
    branch.git("checkout", "-q", "main")
    branch.commit({"agentreview.toml": '[packs]\nhipaa = "advisory"\n'})
    branch.git("checkout", "-q", "feature")
    branch.commit(BAD)
    answer = report(branch)
    assert answer["configured_in"] == "agentreview.toml"
    assert (RULE, "advisory") in {(f["rule"], f["status"]) for f in answer["findings"]}


def test_a_waiver_that_the_change_adds_does_not_count(branch: Any) -> None:
    branch.commit({**BAD, "clinic/views.py": WAIVED})
    answer = report(branch)
    assert (RULE, "blocking") in {(f["rule"], f["status"]) for f in answer["findings"]}
    assert any("does not count" in note for note in answer["notes"])


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen signs here")
def test_a_waiver_counts_in_a_commit_that_an_approver_of_the_base_signed(branch: Any, tmp_path: Path) -> None:
    key = tmp_path / "dana"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    branch.git("checkout", "-q", "main")
    branch.commit(
        {
            "agentreview.toml": '[waivers]\napprovers = ["dana@clinic.example"]\n',
            ".agentreview/allowed_signers": f"dana@clinic.example {public}\n",
        }
    )
    branch.git("checkout", "-q", "feature")
    branch.git("rebase", "-q", "main")
    branch.stage({**BAD, "clinic/views.py": WAIVED})
    branch.git("-c", "gpg.format=ssh", "-c", f"user.signingkey={key}", "commit", "-q", "-S", "-m", "accepted by Dana")
    answer = report(branch)
    [found] = [f for f in answer["findings"] if f["rule"] == RULE]
    assert found["status"] == "waived"


def test_the_range_comes_from_the_environment_of_the_ci(branch: Any, tmp_path: Path) -> None:
    branch.commit(BAD)
    event, page = tmp_path / "event.json", tmp_path / "summary.md"
    base, head = (branch.git("rev-parse", name).strip() for name in ("main", "feature"))
    event.write_text(json.dumps({"number": 3, "pull_request": {"base": {"sha": base}, "head": {"sha": head}}}))
    done = ci(
        branch, base="", GITHUB_ACTIONS="true", GITHUB_EVENT_NAME="pull_request", GITHUB_EVENT_PATH=str(event),
        GITHUB_BASE_REF="main", GITHUB_STEP_SUMMARY=str(page),
    )  # fmt: skip
    assert done.code == 1
    assert "::error file=clinic/views.py" in done.out
    assert "reviewing pull request 3" in done.err
    assert page.read_text().startswith("## ⛔ BLOCKED")


@pytest.mark.parametrize(
    "name", ["--output=stolen", "main^{/x", "-h", "$(touch stolen)", "main;touch stolen", "\u202emain"]
)
def test_a_hostile_ref_is_a_ref_that_names_nothing(branch: Any, name: str) -> None:
    done = agentreview("ci", f"--base={name}", cwd=branch.path)
    assert done.code == 2
    assert "names no commit" in one_line(done.err)
    assert "\u202e" not in done.err
    assert not list(branch.path.glob("*stolen*"))


def test_outside_any_ci_the_base_has_to_be_named(branch: Any) -> None:
    done = ci(branch, base="")
    assert (done.code, done.out) == (2, "")
    assert "agentreview ci --base origin/main" in one_line(done.err)


def test_a_shallow_clone_without_the_merge_base_is_an_error_and_no_pass(branch: Any, tmp_path: Path) -> None:
    for number in range(3):
        branch.commit({"README.md": f"{number}\n"})
    clone = tmp_path / "clone"
    options = ("--depth", "1", "--no-single-branch", "-b", "feature")
    subprocess.run(["git", "clone", "-q", *options, f"file://{branch.path}", str(clone)], check=True)
    done = agentreview("ci", "--base", "origin/main", cwd=clone)
    assert done.code == 2
    assert "fetch" in one_line(done.err)


def test_shards_ask_every_pack_once_and_merge_to_the_verdict_of_the_whole(branch: Any, tmp_path: Path) -> None:
    branch.commit(BAD)
    whole = loads(ci(branch, "--format", "json").out)
    files = []
    for number in (1, 2, 3):
        files.append(str(tmp_path / f"{number}.json"))
        done = ci(branch, "--shard", f"{number}/3", "--format", f"json={files[-1]}")
        assert done.code in (0, 1), done.err
        assert "other shards'" in done.err
    done = agentreview("merge-reports", *files, "--format", "json", cwd=tmp_path)
    merged = loads(done.out)
    assert done.code == 1
    assert (merged.decision, merged.findings, merged.runs) == (whole.decision, whole.findings, whole.runs)
    assert set(merged.notes) == set(whole.notes)


def test_a_shard_whose_report_is_missing_makes_the_merge_incomplete(branch: Any, tmp_path: Path) -> None:
    file = tmp_path / "1.json"
    assert ci(branch, "--shard", "1/3", "--format", f"json={file}").code == 0
    done = agentreview("merge-reports", str(file), cwd=tmp_path)
    assert done.code == 3
    assert "INCOMPLETE" in done.out
    assert "no shard's report has its answer" in done.out


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "a/b", "1/0", "-1/3", "1/999999999999", "²/3"])
def test_what_is_no_shard_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        shard(text, ["a", "b"])


def test_every_pack_is_in_exactly_one_shard() -> None:
    packs = ["a", "b", "c", "d", "e"]
    assert sorted(p for n in range(1, 4) for p in shard(f"{n}/3", packs)) == packs


@pytest.mark.parametrize(
    "other", [{"tree": "3" * 40}, {"base": "3" * 40}, {"version": "9"}, {"configuration": "b2:00"}]
)
def test_reports_of_different_reviews_are_not_merged(other: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="not of one review"):
        merge([verdict(), replace(verdict(), **other)])


def test_what_failed_in_one_shard_is_not_answered_by_another() -> None:
    good, bad = run(), run(outcome=Outcome.FAILED, reason="killed")
    for pair in ((good, bad), (bad, good)):
        merged = merge([verdict(runs=(one,)) for one in pair])
        assert merged.decision is Decision.INCOMPLETE


def test_a_finding_that_two_shards_report_is_one() -> None:
    assert len(merge([verdict(finding()), verdict(finding())]).findings) == 1


def test_old_findings_that_shards_counted_are_added_up() -> None:
    merged = merge([replace(verdict(), notes=(older(count),)) for count in (1, 3)])
    assert merged.notes == (
        "4 older findings in parts of these files that the change does not touch: not shown, never blocking",
    )


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": "agentreview/report/0"}'])
def test_a_file_that_is_no_report_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    done = agentreview("merge-reports", "x.json", cwd=tmp_path)
    assert done.code == 2
    assert "--format json=FILE" in one_line(done.err)
