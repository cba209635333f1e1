"""Who settled a waiver: commits signed with real keys, and every way to borrow somebody else's signature."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentreview.approvals import accepted
from agentreview.config import Config, Waiving
from agentreview.git import open_repository
from agentreview.snapshot import range_snapshot
from agentreview.waiverfile import SIGNERS_NAME, WAIVERS_NAME, Record, edited
from agentreview.waivers import find

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen signs here")

DANA, EVE = "dana@clinic.example", "eve@clinic.example"
RECORD = Record(
    fingerprint="b2:9f3c21ab44d0e17755aa", rule="hipaa.audit-phi-read", path="clinic/views.py", unit="patient_detail",
    reason="the gateway records every read", person=f"Dana <{DANA}>", created="2026-11-23", expires="2027-02-21",
)  # fmt: skip
FILE = edited("", RECORD)
COMMENT = "x = 1  # agentreview: ignore[hipaa.audit-phi-read] the gateway records every read\n"


class Signed:
    """A repository whose base says that one key is Dana's; Eve has a key too."""

    def __init__(self, repo: Any, keys: Path) -> None:
        self.repo, self.keys, self.git = repo, keys, repo.git
        for name in ("dana", "eve"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
        self.base = repo.commit({SIGNERS_NAME: f"{DANA} {self.public('dana')}\n", "clinic/views.py": "x = 1\n"})

    def public(self, name: str) -> str:
        return " ".join((self.keys / f"{name}.pub").read_text().split()[:2])

    def fingerprint(self, name: str) -> str:
        done = subprocess.run(["ssh-keygen", "-l", "-f", self.keys / name], capture_output=True, text=True, check=True)
        return done.stdout.split()[1]

    def commit(self, files: dict[str, str], by: str = "") -> str:
        self.repo.stage(files)
        sign = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={self.keys / by}") if by else ()
        self.git(*sign, "commit", "-q", "-m", "x", "--allow-empty", *(("-S",) if by else ()))
        return str(self.git("rev-parse", "HEAD").strip())

    def settled(self, *approvers: str, policy: str = "") -> dict[str, str]:
        repo = open_repository(str(self.repo.path))
        head = self.git("rev-parse", "HEAD").strip()
        snapshot = range_snapshot(repo, f"{self.base}..{head}")
        config = Config(waivers=Waiving(approvers=approvers or (DANA,)))
        return accepted(repo, self.base, head, snapshot, config, policy=policy)


@pytest.fixture
def signed(repo: Any, tmp_path: Path) -> Signed:
    keys = tmp_path / "keys"
    keys.mkdir()
    return Signed(repo, keys)


def test_an_entry_is_settled_by_the_approver_who_signed_the_commit_that_adds_it(signed: Signed) -> None:
    signed.commit({WAIVERS_NAME: FILE}, by="dana")
    signed.commit({"clinic/views.py": "x = 2\n"})
    assert signed.settled() == {RECORD.id: DANA}
    assert signed.settled(signed.fingerprint("dana")) == {RECORD.id: signed.fingerprint("dana")}
    assert signed.settled("somebody@else.example") == {}


@pytest.mark.parametrize("by", ["", "eve"])
def test_nobodys_and_somebody_elses_signature_settle_nothing(signed: Signed, by: str) -> None:
    signed.commit({WAIVERS_NAME: FILE}, by=by)
    assert signed.settled() == {}
    assert signed.settled(DANA, EVE) == {}, "nothing on the base says whose key that is"


def test_the_branch_cannot_say_whose_key_is_whose(signed: Signed) -> None:
    signed.commit({SIGNERS_NAME: f"{DANA} {signed.public('eve')}\n"}, by="eve")
    signed.commit({WAIVERS_NAME: FILE}, by="eve")
    assert signed.settled() == {}


def test_a_later_signature_does_not_settle_what_another_commit_brought_in(signed: Signed) -> None:
    signed.commit({WAIVERS_NAME: FILE})
    signed.commit({WAIVERS_NAME: "# looked at\n" + FILE}, by="dana")
    assert signed.settled() == {}


def test_what_is_changed_after_the_signature_is_another_waiver(signed: Signed) -> None:
    signed.commit({WAIVERS_NAME: FILE}, by="dana")
    signed.commit({WAIVERS_NAME: FILE.replace("2027-02-21", "2027-11-21")})
    assert signed.settled() == {}
    signed.commit({WAIVERS_NAME: FILE})
    assert signed.settled() == {}, "the last commit that brought it in is the unsigned one"


def test_a_rebase_that_loses_the_signature_loses_the_approval(signed: Signed) -> None:
    signed.commit({WAIVERS_NAME: FILE}, by="dana")
    signed.git("-c", "commit.gpgsign=false", "commit", "-q", "--amend", "--no-edit", "--no-gpg-sign")
    assert signed.settled() == {}


def test_an_entry_that_comes_with_a_merge_is_the_commits_that_made_it(signed: Signed) -> None:
    signed.git("checkout", "-q", "-b", "side")
    signed.commit({WAIVERS_NAME: FILE}, by="dana")
    signed.git("checkout", "-q", "main")
    signed.commit({"other.py": "y = 1\n"})
    signed.git("merge", "-q", "--no-ff", "--no-edit", "side")
    assert signed.settled() == {RECORD.id: DANA}


def test_an_entry_that_only_the_merge_itself_has_is_the_merges(signed: Signed) -> None:
    signed.git("checkout", "-q", "-b", "side")
    signed.commit({"side.py": "y = 1\n"}, by="dana")
    signed.git("checkout", "-q", "main")
    signed.commit({"other.py": "y = 1\n"}, by="dana")
    signed.git("merge", "-q", "--no-ff", "--no-commit", "side")
    signed.commit({WAIVERS_NAME: FILE})
    assert signed.settled() == {}


def test_several_entries_are_settled_one_by_one(signed: Signed) -> None:
    mine = replace(RECORD, fingerprint="b2:" + "0" * 20, person=f"Eve <{EVE}>")
    signed.commit({WAIVERS_NAME: FILE}, by="dana")
    signed.commit({WAIVERS_NAME: edited(FILE, mine)})
    assert signed.settled() == {RECORD.id: DANA}


def comment_id(signed: Signed) -> str:
    repo = open_repository(str(signed.repo.path))
    changes = range_snapshot(repo, f"{signed.base}..HEAD").changes
    (one,) = [comment for change in changes for comment in find(change)]
    return one.id


def test_a_comment_is_settled_by_whoever_signed_the_last_change_of_its_file(signed: Signed) -> None:
    signed.commit({"clinic/views.py": COMMENT}, by="dana")
    signed.commit({"other.py": "y = 1\n"})
    assert signed.settled() == {comment_id(signed): DANA}
    signed.commit({"clinic/views.py": COMMENT + "delete_everything()\n"})
    assert signed.settled() == {}


def test_a_waiver_of_the_base_needs_no_signature_and_is_not_listed(signed: Signed) -> None:
    signed.base = signed.commit({WAIVERS_NAME: FILE})
    signed.commit({"clinic/views.py": "x = 2\n"})
    assert signed.settled() == {}


def test_keys_and_waivers_of_the_tip_of_the_base_count_not_those_of_the_merge_base(signed: Signed) -> None:
    signed.git("checkout", "-q", "-b", "branch")
    signed.commit({WAIVERS_NAME: FILE}, by="dana")
    signed.git("checkout", "-q", "main")
    revoked = signed.commit({SIGNERS_NAME: "# nobody any more\n"})
    landed = signed.commit({WAIVERS_NAME: FILE})
    signed.git("checkout", "-q", "branch")
    assert signed.settled() == {RECORD.id: DANA}
    assert signed.settled(policy=revoked) == {}
    assert signed.settled(policy=landed) == {RECORD.id: "the base branch"}


def test_gpg_keys_count_by_their_fingerprint(signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("gpg") is None:
        pytest.skip("no gpg here")
    home = tmp_path / "g"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    quiet = ("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
    made = subprocess.run(
        [*quiet, "--quick-gen-key", f"Dana <{DANA}>", "ed25519", "sign"], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("gpg cannot make a key here")
    listed = subprocess.run(
        ["gpg", "--batch", "--with-colons", "-k"], capture_output=True, text=True, check=True
    ).stdout
    key = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    signed.repo.stage({WAIVERS_NAME: FILE})
    signed.git("commit", "-q", "-m", "x", f"--gpg-sign={key}")
    assert signed.settled(key) == {RECORD.id: key}
    assert signed.settled("F" * 40) == {}
    subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)
