"""A tour: what an agent in a hurry may try, and what each try leaves behind. The installed command, git and its own hooks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentreview.git import open_repository
from agentreview.install import install
from agentreview.waiverfile import SIGNERS_NAME
from commandline import BAD, GOOD, RULE, agentreview
from messages_server import MessagesServer
from reviewing import answer
from test_reviewers_endtoend import CAREFUL, PATIENT, VIEW, reviewer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen signs here"),
]
DANA = "dana@clinic.example"
REF = "refs/agentreview/receipts"


@pytest.fixture
def clinic(repo: Any, make_repo: Any, tmp_path: Path) -> Any:
    """A clinic whose main branch knows Dana's key, with hooks, a remote, receipts that are signed, and a branch."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    repo.commit(
        {
            SIGNERS_NAME: f"{DANA} {key.with_suffix('.pub').read_text()}",
            "agentreview.toml": f'[waivers]\napprovers = ["{DANA}"]\n[receipts]\npush = "with-commits"\n',
            "clinic/models.py": GOOD["clinic/models.py"],
        }
    )
    repo.git("config", "gpg.format", "ssh")
    repo.git("config", "user.signingkey", str(key))
    remote = make_repo("remote.git", "--bare")
    repo.git("remote", "add", "origin", str(remote.path))
    repo.git("push", "-q", "origin", "main")
    assert install(open_repository(str(repo.path)), native=True).done
    repo.git("checkout", "-q", "-b", "feature")
    return repo


def run(repo: Any, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *args], cwd=repo.path, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


def commit(repo: Any, files: dict[str, str], message: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    repo.stage(files)
    return run(repo, "commit", "-q", "-m", message, *args, **env)


def in_ci(repo: Any, place: Path) -> tuple[int, dict[str, Any], str]:
    """What a pipeline does: clone, fetch the receipts, judge. Returns exit code, json report and the terminal's text."""
    remote = repo.git("remote", "get-url", "origin").strip()
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run(["git", "clone", "-q", "-b", "feature", f"file://{remote}", str(place)], check=True)
    fetched = agentreview("receipts", "fetch", cwd=place)
    assert fetched.code == 0, fetched.err
    formats = ("--format", "terminal", "--format", f"json={place}.json")
    done = agentreview("ci", "--base", "origin/main", *formats, cwd=place)
    report: dict[str, Any] = json.loads(Path(f"{place}.json").read_text())
    assert report["exit_code"] == done.code
    return done.code, report, " ".join((fetched.err + done.out).split())


def blocking(report: dict[str, Any]) -> set[str]:
    return {finding["rule"] for finding in report["findings"] if finding["status"] == "blocking"}


def test_an_agent_that_skips_the_review_is_refused_and_one_that_gets_around_every_hook_is_named_in_ci(
    clinic: Any, tmp_path: Path
) -> None:
    refused = commit(clinic, BAD, "add the view", "--no-verify")
    assert (refused.returncode, "this commit was not reviewed" in refused.stderr) == (1, True)
    assert RULE in commit(clinic, BAD, "add the view").stderr
    assert commit(clinic, GOOD, "add the view").returncode == 0
    assert commit(clinic, {"notes.md": "later\n"}, "tidy up", "--no-verify").returncode == 1
    assert run(clinic, "-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "tidy up").returncode == 0
    assert run(clinic, "push", "-q", "--no-verify", "origin", "feature").returncode == 0
    assert agentreview("receipts", "push", cwd=clinic.path).code == 0
    code, report, text = in_ci(clinic, tmp_path / "ci")
    assert code == 0, "the policies ran over all of it, and found nothing"
    assert f'{clinic.git("rev-parse", "HEAD").strip()[:12]} "tidy up": no receipt' in text
    assert "look alike" in text
    assert report["coverage"]["summary"]["uncovered"] == 1
    assert report["coverage"]["commits"][0]["signed_by"] == DANA


def test_a_person_who_goes_around_the_gate_says_why_and_ci_fails_until_an_approver_answers(
    clinic: Any, tmp_path: Path
) -> None:
    why = "the portal is down, SEC-12"
    assert commit(clinic, GOOD, "mend the portal", "--no-verify", AGENTREVIEW_BYPASS=why).returncode == 0
    pushed = run(clinic, "push", "-q", "origin", "feature")
    assert (pushed.returncode, why in pushed.stderr) == (0, True)
    code, report, text = in_ci(clinic, tmp_path / "ci")
    assert (code, blocking(report)) == (1, {"conduct.review-bypassed"})
    assert why in text


def test_a_branch_that_loosens_its_own_gate_is_judged_by_the_gate_of_the_base(clinic: Any, tmp_path: Path) -> None:
    loose = '[packs]\nhipaa = "off"\nconduct = "off"\n[ci]\nrequire_receipts = "off"\n'
    clinic.stage({**BAD, "agentreview.toml": loose})
    assert run(clinic, "-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "make it pass").returncode == 0
    assert run(clinic, "push", "-q", "--no-verify", "origin", "feature").returncode == 0
    code, report, text = in_ci(clinic, tmp_path / "ci")
    assert code == 1
    assert {RULE, "conduct.gate-tampered"} <= blocking(report)
    base = clinic.git("rev-parse", "main").strip()[:12]
    assert f"agentreview.toml is not as on the base: judged by what the base has ({base})" in text
    assert "1 without a receipt that counts" in text


def test_a_receipt_that_somebody_changed_is_refused_by_its_name(clinic: Any, tmp_path: Path) -> None:
    assert commit(clinic, GOOD, "add the view").returncode == 0
    assert run(clinic, "push", "-q", "origin", "feature").returncode == 0
    assert in_ci(clinic, tmp_path / "ci")[1]["coverage"]["summary"]["signed"] == 1
    [path] = clinic.git("ls-tree", "-r", "--name-only", REF).split()
    forged = clinic.git("show", f"{REF}:{path}", text=False).replace(b'"decision":"pass"', b'"decision":"block"')
    (tmp_path / "forged").write_bytes(forged)
    blob = clinic.git("hash-object", "-w", str(tmp_path / "forged")).strip()
    index = {**os.environ, "GIT_INDEX_FILE": str(tmp_path / "index")}
    clinic.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=index)
    tree = clinic.git("write-tree", env=index).strip()
    changed = clinic.git("commit-tree", "-p", REF, "-m", "x", tree).strip()
    clinic.git("push", "-q", "--no-verify", "origin", f"{changed}:{REF}")
    _, report, text = in_ci(clinic, tmp_path / "ci")
    name = Path(path).stem
    assert f"receipt {name[:12]} is refused: its name is not the hash of its bytes" in text
    assert report["coverage"]["summary"]["uncovered"] == 1


def test_a_rebase_over_other_files_carries_every_review_over_and_nothing_is_reviewed_again(
    clinic: Any, tmp_path: Path
) -> None:
    assert commit(clinic, GOOD, "add the view").returncode == 0
    assert commit(clinic, {"clinic/prices.py": "prices = {}\n"}, "add prices").returncode == 0
    before = {line.split()[0] for line in agentreview("receipts", "list", cwd=clinic.path).out.splitlines()}
    clinic.git("checkout", "-q", "main")
    assert commit(clinic, {"README.md": "the clinic\n"}, "say what it is").returncode == 0
    clinic.git("checkout", "-q", "feature")
    clinic.git("rebase", "-q", "main")
    pushed = run(clinic, "push", "-q", "origin", "main", "feature")
    assert (pushed.returncode, "2 carried over from before a rebase" in pushed.stderr) == (0, True)
    after = {line.split()[0] for line in agentreview("receipts", "list", cwd=clinic.path).out.splitlines()}
    assert len(after - before) == 1, "only the commit on main was reviewed"
    code, report, text = in_ci(clinic, tmp_path / "ci")
    assert (code, report["coverage"]["summary"]["same_blobs"]) == (0, 2)
    assert "2 commits: 2 covered by receipts (2 of the same files on another base); 2 signed by" in text


def test_a_model_reviewer_is_not_asked_again_for_what_a_rebase_carries_over(clinic: Any) -> None:
    settings = (clinic.path / "agentreview.toml").read_text() + PATIENT
    clinic.git("checkout", "-q", "main")
    clinic.stage({"agentreview.toml": settings, ".agents/profiles/careful.md": CAREFUL})
    clinic.git("-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "read carefully")
    clinic.git("push", "-q", "--no-verify", "origin", "main")
    clinic.git("checkout", "-q", "-B", "feature")
    with MessagesServer() as server:
        server.on("You read carefully", reviewer(answer))
        assert commit(clinic, {"clinic/views.py": VIEW}, "add the view", **server.env).returncode == 0
        assert len(server.messages) == 1
        clinic.git("checkout", "-q", "main")
        assert commit(clinic, {"README.md": "the clinic\n"}, "say what it is", **server.env).returncode == 0
        asked = len(server.messages)
        clinic.git("checkout", "-q", "feature")
        clinic.git("rebase", "-q", "main")
        pushed = run(clinic, "push", "-q", "origin", "main", "feature", **server.env)
        assert (pushed.returncode, "1 carried over" in pushed.stderr) == (0, True)
        assert len(server.messages) == asked
        done = agentreview("ci", "--base", "main", cwd=clinic.path, env=server.env)
        assert (done.code, len(server.messages)) == (0, asked), done.err
        assert "1 covered by receipts (1 of the same files on another base)" in done.out
