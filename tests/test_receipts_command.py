"""Receipts from a review to another clone: written, signed, listed, verified, exported."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from commandline import BAD, GOOD, RULE, agentreview, one_line

REF = "refs/agentreview/receipts"
pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen signs here")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file], check=True)
    return file


def signing(repo: Any, key: Path) -> None:
    repo.git("config", "gpg.format", "ssh")
    repo.git("config", "user.signingkey", str(key))


def allow(repo: Any, key: Path, principal: str = "dana@clinic.example") -> None:
    public = key.with_suffix(".pub").read_text()
    repo.commit({".agentreview/allowed_signers": f"{principal} {public}"})


def receipts(repo: Any, *args: str, code: int = 0) -> str:
    done = agentreview("receipts", *args, cwd=repo.path)
    assert done.code == code, done.out + done.err
    return done.out


def shown(repo: Any) -> dict[str, Any]:
    (line,) = receipts(repo, "list").splitlines()
    return json.loads(receipts(repo, "show", line.split()[0]))


def test_a_review_leaves_a_receipt_that_says_what_it_covered(repo: Any) -> None:
    repo.stage({**GOOD, "logo.png": b"\x89PNG\0"})
    assert agentreview(cwd=repo.path).code == 0
    record = shown(repo)
    assert (record["standing"], record["note"]) == ("advisory", "no signing key is configured")
    predicate = record["statement"]["predicate"]
    assert predicate["decision"] == "pass"
    assert predicate["person"] == "Dana Reyes <dana@clinic.example>"
    assert predicate["result"]["gitTree"] == repo.git("write-tree").strip()
    assert {row["path"]: row["how"] for row in predicate["coverage"]} == {
        "clinic/models.py": "reviewed", "clinic/views.py": "reviewed", "logo.png": "opaque",
    }  # fmt: skip
    assert receipts(repo, "verify").strip() == "1 advisory"
    agentreview(cwd=repo.path)
    assert len(receipts(repo, "list").splitlines()) == 1, "a known verdict is no second review"


def test_a_refused_change_has_one_too_and_nothing_staged_has_none(repo: Any) -> None:
    assert agentreview(cwd=repo.path).code == 0
    assert "there are no receipts yet" in agentreview("receipts", "list", cwd=repo.path).err
    repo.stage(BAD)
    assert agentreview(cwd=repo.path).code == 1
    [found] = [f for f in shown(repo)["statement"]["predicate"]["findings"] if f["status"] == "blocking"]
    assert found["rule"] == RULE


def test_a_receipt_is_signed_with_the_key_git_signs_with(repo: Any, key: Path) -> None:
    signing(repo, key)
    allow(repo, key)
    repo.stage(GOOD)
    assert agentreview(cwd=repo.path).code == 0
    record = shown(repo)
    assert record["standing"] == "signed"
    assert record["signature"]["key"].startswith("SHA256:")
    assert receipts(repo, "verify", "--require-signed").strip() == "1 good"
    (line,) = receipts(repo, "list").splitlines()
    assert "signed by dana@clinic.example" in receipts(repo, "verify", line.split()[0])


def test_the_configuration_may_name_the_key(repo: Any, key: Path) -> None:
    repo.commit({"agentreview.toml": f'[receipts]\nsigning_key = "{key}"\n'})
    repo.stage(GOOD)
    assert agentreview(cwd=repo.path).code == 0
    assert shown(repo)["standing"] == "signed"


def test_a_key_that_does_not_sign_stops_nothing_and_is_said(repo: Any, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", locked], check=True)
    for wrong in (locked, tmp_path / "nothing"):
        signing(repo, wrong)
        done = agentreview("--fresh", cwd=repo.path)
        repo.stage({**GOOD, "n.txt": str(wrong)})
        done = agentreview(cwd=repo.path)
        assert done.code == 0
        assert "the receipt could not be signed" in done.out
    newest = receipts(repo, "list").splitlines()[0].split()[0]
    record = json.loads(receipts(repo, "show", newest))
    assert record["standing"] == "advisory"
    assert "could not be signed" in record["note"]


def test_a_signature_of_somebody_else_and_a_changed_receipt_are_bad(repo: Any, key: Path, tmp_path: Path) -> None:
    signing(repo, key)
    repo.stage(GOOD)
    assert agentreview(cwd=repo.path).code == 0
    assert "not a good one of an allowed signer" in receipts(repo, "verify", code=1)
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    signers = tmp_path / "signers"
    signers.write_text("eve@x " + other.with_suffix(".pub").read_text())
    assert "not a good one" in receipts(repo, "verify", "--allowed-signers", str(signers), code=1)
    signers.write_text("dana@x " + key.with_suffix(".pub").read_text())
    assert receipts(repo, "verify", "--allowed-signers", str(signers)).strip() == "1 good"
    expired = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    signers.write_text(f'dana@x valid-before="20200101" {expired}\n')
    assert "not a good one" in receipts(repo, "verify", "--allowed-signers", str(signers), code=1)


def test_a_forged_coverage_is_found_by_looking_at_the_trees(repo: Any) -> None:
    """Hash, key and form are right: only what git lists between the two trees can tell."""
    from agentreview.canonical import canonical_json
    from agentreview.git import open_repository
    from agentreview.ledger import keep
    from agentreview.receipts import content_key, parse

    repo.stage(GOOD)
    agentreview(cwd=repo.path)
    record = shown(repo)
    predicate = record["statement"]["predicate"]
    predicate["coverage"] = [row for row in predicate["coverage"] if row["path"] != "clinic/views.py"]
    entries = parse(canonical_json(shown(repo))).entries
    predicate["change"] = content_key(entry for entry in entries if entry.path != "clinic/views.py")
    keep(open_repository(str(repo.path)), canonical_json(record), predicate["change"])
    assert "differ by something else than it covers" in receipts(repo, "verify", code=1)


def test_a_receipt_about_trees_that_are_elsewhere_cannot_be_checked_here(repo: Any, make_repo: Any) -> None:
    bare = make_repo("remote.git", "--bare")
    repo.git("remote", "add", "origin", str(bare.path))
    repo.stage(GOOD)
    agentreview(cwd=repo.path)
    assert "the receipts are on origin" in agentreview("receipts", "push", cwd=repo.path).err
    other = make_repo("other")
    other.git("remote", "add", "origin", str(bare.path))
    assert "1 receipt is new" in agentreview("receipts", "fetch", cwd=other.path).err
    (line,) = receipts(other, "list").splitlines()
    assert "1 unknown" in receipts(other, "verify")
    assert "not in this repository" in receipts(other, "verify", line.split()[0], code=3)


def test_receipts_are_exported_as_envelopes_that_ssh_keygen_itself_verifies(
    repo: Any, key: Path, tmp_path: Path
) -> None:
    signing(repo, key)
    repo.stage(GOOD)
    agentreview(cwd=repo.path)
    (line,) = receipts(repo, "export").splitlines()
    envelope = json.loads(line)
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    (tmp_path / "signers").write_text("dana " + key.with_suffix(".pub").read_text())
    command = ["ssh-keygen", "-Y", "verify", "-f", tmp_path / "signers", "-I", "dana", "-n", "agentreview"]
    done = subprocess.run([*command, "-s", tmp_path / "sig"], input=message, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_pruning_forgets_the_old_and_keeps_the_new(repo: Any) -> None:
    repo.stage(GOOD)
    agentreview(cwd=repo.path)
    assert "0 receipts are forgotten" in agentreview("receipts", "prune", cwd=repo.path).err
    assert len(receipts(repo, "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("show", "ffff"), "there is no receipt 'ffff' here"),
        (("show", ""), "there is no receipt"),
        (("push", "nowhere"), "git push nowhere"),
        (("fetch", "nowhere"), "git fetch nowhere failed"),
        (("verify", "--allowed-signers", "missing"), "the allowed signers cannot be read"),
        (("prune", "--older-than", "0"), "--older-than"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(repo: Any, args: tuple[str, ...], says: str) -> None:
    repo.stage(GOOD)
    agentreview(cwd=repo.path)
    done = agentreview("receipts", *args, cwd=repo.path)
    assert done.code == 2
    assert says in one_line(done.err)


def test_a_store_that_cannot_be_written_is_said_and_the_verdict_stands(repo: Any) -> None:
    repo.stage(GOOD)
    (repo.path / ".git/agentreview").mkdir()
    (repo.path / ".git/agentreview/receipts").write_text("in the way")
    done = agentreview(cwd=repo.path)
    assert done.code == 0
    assert "no receipt of this review could be written" in " ".join(done.out.split())
    assert not (repo.path / ".git/agentreview/verdicts").exists(), "the next run reviews again, and writes one"


def test_a_review_by_the_bases_settings_says_so_in_its_receipt(repo: Any) -> None:
    """How CI judges: a branch that excludes its own files is reviewed all the same."""
    from agentreview.git import open_repository
    from agentreview.model import Decision
    from agentreview.review import judge_for_ci

    base = repo.commit({"README.md": "a clinic\n"})
    head = repo.commit({**BAD, "agentreview.toml": 'exclude = ["clinic/"]\n'})
    place = open_repository(str(repo.path))
    verdict = judge_for_ci(place, base, head, base, source="x")
    assert verdict.decision is Decision.BLOCK
    assert RULE in {f.rule for f in verdict.findings}
    configuration = shown(repo)["statement"]["predicate"]["configuration"]
    assert configuration["gitTree"] == repo.git("rev-parse", f"{base}^{{tree}}").strip()
    assert not (repo.path / ".git/agentreview/verdicts").exists(), "it answers another question than the hooks ask"
