"""What receipts know of the commits that CI judges: how they fit, who signed them, and what follows from a missing one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentreview import ledger
from agentreview.config import Config, InCi, Level, Requirement
from agentreview.coverage import BYPASSED, UNSEEN, coverage
from agentreview.git import Repository, open_repository
from agentreview.history import commits, raw_entries
from agentreview.model import Cover, Coverage, Finding, Status
from agentreview.receipts import Context, bypass_statement, content_key, preauthenticated, seal, statement
from agentreview.reporters import REPORTERS
from agentreview.reporters.jsonreport import dumps, loads
from agentreview.signing import examine, sign
from agentreview.waiverfile import SIGNERS_NAME
from commandline import BAD, GOOD, agentreview
from factories import finding, verdict, waived

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen signs here")
TODAY = "2026-11-23"
DANA = "dana@clinic.example"
ASKING = {
    name: Config(ci=InCi(require_receipts=requirement))
    for name, requirement in (("any", Requirement.ANY), ("signed", Requirement.SIGNED), ("report", Requirement.REPORT))
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("dana", "eve"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", folder / name], check=True)
    return {name: folder / name for name in ("dana", "eve")}


def public(key: Path) -> str:
    return " ".join(key.with_suffix(".pub").read_text().split()[:2])


@pytest.fixture
def branch(repo: Any, keys: dict[str, Path]) -> Any:
    """A branch from a base that knows Dana's key."""
    repo.commit({SIGNERS_NAME: f"# who signs\n{DANA} {public(keys['dana'])}\n", "a.py": "a = 1\n"})
    repo.git("checkout", "-q", "-b", "feature")
    return repo


def here(repo: Any) -> Repository:
    return open_repository(str(repo.path))


def receipt(repo: Any, revision: str = "HEAD", *, key: Path | None = None, as_commit: str = "", **options: Any) -> str:
    """Write the receipt that a review of a commit would; returns its content key."""
    place = here(repo)
    *_, one = commits(place, "-1", revision)
    (entries,) = raw_entries(place, [(one.base, one.tree)])
    context = Context(person="Dana", at=f"{TODAY}T10:00:00Z", commit=as_commit)
    if options.get("bypass"):
        stated = bypass_statement(
            one.base, one.tree, entries, context, reason=options["bypass"], version="1", branch=None
        )
    else:
        settings = options.get("settings", Config().digest)
        found = verdict(*options.get("findings", ()), base=one.base, tree=one.tree, configuration=settings)
        stated = statement(found, entries, context)
    armored, fingerprint = sign(str(key), preauthenticated(stated)) if key else ("", "")
    assert ledger.keep(place, seal(stated, key=fingerprint, signature=armored), content_key(entries)) is None
    return content_key(entries)


def looked_up(
    repo: Any, config: Config | None = None, base: str = "main", policy: str = "main"
) -> tuple[Coverage, tuple[Finding, ...]]:
    place = here(repo)
    start = repo.git("merge-base", base, "HEAD").strip()
    head = repo.git("rev-parse", "HEAD").strip()
    return coverage(place, start, head, config or Config(), policy=policy, today=TODAY)


def only(repo: Any, config: Config | None = None) -> Any:
    [one] = looked_up(repo, config)[0].commits
    return one


def test_a_receipt_of_the_same_two_trees_is_exact_and_one_of_another_commit_says_so(branch: Any) -> None:
    head = branch.commit({"b.py": "b = 1\n"}, message="say b")
    receipt(branch, as_commit=head)
    assert (only(branch).cover, only(branch).subject) == (Cover.EXACT, "say b")
    branch.git("commit", "-q", "--amend", "-m", "say it better")
    assert (only(branch).cover, only(branch).subject) == (Cover.MESSAGE_ONLY, "say it better")


def test_a_rebase_over_other_files_carries_it_and_one_over_the_same_file_does_not(branch: Any) -> None:
    branch.commit({"b.py": "b = 1\n"})
    receipt(branch)
    branch.commit({"a.py": "".join(f"a{n} = 1\n" for n in range(30)) + "more = 1\n"})
    receipt(branch)
    branch.git("checkout", "-q", "main")
    branch.commit({"c.py": "c = 1\n"})
    branch.git("checkout", "-q", "feature")
    branch.git("rebase", "-q", "main")
    assert [one.cover for one in looked_up(branch)[0].commits] == [Cover.SAME_BLOBS, Cover.SAME_BLOBS]
    branch.git("checkout", "-q", "main")
    branch.commit({"b.py": "other = 1\n"})
    branch.git("checkout", "-q", "feature")
    branch.git("rebase", "-q", "-X", "theirs", "main")
    covers = [(one.cover, one.why) for one in looked_up(branch)[0].commits]
    assert covers == [(None, "no receipt"), (Cover.SAME_BLOBS, "")]


def test_the_same_patch_at_another_place_is_no_cover(branch: Any) -> None:
    """Two different Python programs can share a patch id: here the same line goes into another function."""
    text = "def first():\n    if x:\n        pass\n\n\ndef second():\n    if x:\n        pass\n"
    branch.git("checkout", "-q", "main")
    branch.commit({"a.py": text})
    branch.git("checkout", "-q", "-B", "feature")
    branch.commit({"a.py": text.replace("pass\n\n", "pass\n        c()\n\n")})
    receipt(branch)
    branch.git("reset", "-q", "--hard", "main")
    branch.commit({"a.py": text.replace("pass\n\n", "pass\n    c()\n\n")})
    ids = [
        subprocess.run(
            ["git", "patch-id", "--stable"],
            cwd=branch.path, input=branch.git("show", name, text=False), capture_output=True, check=True,
        ).stdout.split()[0]
        for name in ("HEAD", "HEAD@{2}")
    ]  # fmt: skip
    assert ids[0] == ids[1]
    assert only(branch).cover is None


@pytest.mark.parametrize(
    ("message", "subject"),
    [
        (b"caf\xe9 without an encoding", "caf\udce9 without an encoding"),
        (b"\n\n  first\nand still the first\n\nbody", "  first and still the first"),
        (b"x" * 5000, "x" * 200),
        (b"", ""),
        ("\u202eevil \u65e5\u672c".encode(), "\u202eevil \u65e5\u672c"),
    ],
)
def test_any_subject_is_read_and_none_stops_a_report(branch: Any, message: bytes, subject: str) -> None:
    branch.stage({"b.py": "b = 1\n"})
    tree = branch.git("write-tree").strip()
    header = branch.git("cat-file", "commit", "HEAD").splitlines()
    author, committer = (next(line for line in header if line.startswith(word)) for word in ("author ", "committer "))
    text = (
        f"tree {tree}\nparent {branch.git('rev-parse', 'HEAD').strip()}\n{author}\n{committer}\n\n".encode() + message
    )
    made = branch.git("hash-object", "-t", "commit", "-w", "--stdin", input=text).strip()
    branch.git("reset", "-q", "--hard", made)
    assert only(branch).subject == subject
    found = verdict(coverage=looked_up(branch)[0])
    for name, render in REPORTERS.items():
        shown = render(found)
        assert made[:12] in shown, name
        assert "\u202e" not in shown
        shown.encode("utf-8")
    assert loads(dumps(found)) == found


def test_a_mode_alone_is_a_change_of_its_own(branch: Any) -> None:
    branch.commit({"b.py": "b = 1\n"})
    receipt(branch)
    (branch.path / "b.py").chmod(0o755)
    branch.git("commit", "-q", "--amend", "-a", "-m", "x")
    assert only(branch).cover is None


def test_an_empty_commit_and_a_merge_are_commits_like_others(branch: Any) -> None:
    branch.commit(message="nothing")
    branch.git("checkout", "-q", "-b", "side")
    branch.commit({"s.py": "s = 1\n"})
    receipt(branch)
    branch.git("checkout", "-q", "feature")
    branch.commit({"b.py": "b = 1\n"}, message="unseen")
    branch.git("merge", "-q", "--no-edit", "side")
    found = looked_up(branch)[0]
    covers = {one.subject: one.cover for one in found.commits}
    assert covers["Merge branch 'side' into feature"] is Cover.SAME_BLOBS, "it brings what the commit of the side did"
    assert [subject for subject, cover in covers.items() if cover is None] == ["unseen"]
    branch.stage({"evil.py": "evil = 1\n"})
    branch.git("commit", "-q", "--amend", "-m", "an evil merge")
    assert looked_up(branch)[0].commits[-1].cover is None


def test_a_signature_counts_where_the_base_knows_the_key_and_only_there(branch: Any, keys: dict[str, Path]) -> None:
    branch.commit({"b.py": "b = 1\n"})
    receipt(branch, key=keys["eve"])
    assert (only(branch).cover, only(branch).signed_by) == (Cover.EXACT, "")
    branch.commit({SIGNERS_NAME: f"eve@clinic.example {public(keys['eve'])}\n"})
    assert looked_up(branch)[0].commits[0].signed_by == "", "the branch brings its own signers"
    assert looked_up(branch, policy="HEAD")[0].commits[0].signed_by == "eve@clinic.example"
    receipt(branch, "HEAD~1", key=keys["dana"])
    found = looked_up(branch)[0]
    assert (found.signers, found.commits[0].signed_by) == (1, DANA)


def test_a_signed_receipt_of_another_base_is_taken_before_an_advisory_one_of_this(
    branch: Any, keys: dict[str, Path]
) -> None:
    branch.commit({"b.py": "b = 1\n"})
    receipt(branch, key=keys["dana"])
    branch.git("checkout", "-q", "main")
    branch.commit({"c.py": "c = 1\n"})
    branch.git("checkout", "-q", "feature")
    branch.git("rebase", "-q", "main")
    receipt(branch)
    assert (only(branch).cover, only(branch).signed_by) == (Cover.SAME_BLOBS, DANA)


@pytest.mark.parametrize(
    ("line", "who"),
    [
        ('{who} valid-before="20200101" {key}', ""),
        ('{who} namespaces="file" {key}', ""),
        ('{who},lee@clinic.example namespaces="agentreview" {key}', DANA),
        ("*@clinic.example {key}", "*@clinic.example"),
        ("lee@clinic.example {key}", "lee@clinic.example"),
        ("# {who} {key}", ""),
        ("", ""),
    ],
)
def test_allowed_signers_are_read_as_ssh_keygen_reads_them(keys: dict[str, Path], line: str, who: str) -> None:
    armored, _ = sign(str(keys["dana"]), b"stated")
    allowed = line.format(who=DANA, key=public(keys["dana"])) + "\n"
    assert examine([(b"stated", armored, f"{TODAY}T10:00:00Z")], allowed) == [(who, "")]
    [(nobody, wrong)] = examine([(b"stated otherwise", armored, f"{TODAY}T10:00:00Z")], allowed)
    assert (nobody, wrong) == ("", "its signature is not one of what it says")


def test_what_is_no_signature_is_wrong_and_stops_nothing_else(keys: dict[str, Path]) -> None:
    armored, _ = sign(str(keys["dana"]), b"stated")
    given = [(b"stated", text, TODAY) for text in ("", "x\0", "ü", armored.replace("U1NI", "AAAA"), armored)] * 5
    found = examine(given, f"{DANA} {public(keys['dana'])}\n")
    assert [bool(wrong) for _, wrong in found] == [True, True, True, True, False] * 5


def stored(repo: Any, key: str) -> Path:
    [file] = Path(here(repo).store_dir, "receipts", "new").glob(f"{key}.*")
    return file


def test_a_receipt_that_somebody_changed_is_refused_by_name(branch: Any, keys: dict[str, Path]) -> None:
    branch.commit({"b.py": "b = 1\n"})
    file = stored(branch, receipt(branch))
    file.write_bytes(file.read_bytes().replace(b"Dana", b"Lee."))
    found = looked_up(branch)[0]
    assert [one.why for one in found.commits] == ["its only receipt is refused"]
    assert [(one.id, one.why) for one in found.refused] == [
        (file.name.split(".")[1], "its name is not the hash of its bytes")
    ]
    receipt(branch, key=keys["dana"])
    found = looked_up(branch)[0]
    assert (found.commits[0].signed_by, len(found.refused)) == (DANA, 1), "a good one beside it counts"


def test_a_signed_receipt_that_somebody_changed_and_named_anew_is_refused_by_name(
    branch: Any, keys: dict[str, Path]
) -> None:
    branch.commit({"b.py": "b = 1\n"})
    place, key = here(branch), receipt(branch, key=keys["dana"])
    file = stored(branch, key)
    forged = file.read_bytes().replace(b'"person":"Dana"', b'"person":"Lee"')
    file.unlink()
    ledger.keep(place, forged, key)
    found = looked_up(branch, ASKING["any"])
    assert [one.why for one in found[0].commits] == ["its only receipt is refused"]
    assert [(one.id, one.why) for one in found[0].refused] == [
        (stored(branch, key).name.split(".")[1], "its signature is not one of what it says")
    ]
    assert [one.rule for one in found[1]] == [UNSEEN.id]


def test_a_damaged_file_hides_no_good_one_on_the_ref(branch: Any) -> None:
    branch.commit({"b.py": "b = 1\n"})
    key = receipt(branch)
    ledger.publish(here(branch))
    [file] = Path(here(branch).store_dir, "receipts", key[:2], key).iterdir()
    file.write_bytes(b"half")
    found = looked_up(branch)[0]
    assert (found.commits[0].cover, [one.why for one in found.refused]) == (
        Cover.EXACT,
        ["its name is not the hash of its bytes"],
    )


def test_what_is_known_of_a_commit_without_a_receipt_that_counts_is_said(branch: Any) -> None:
    reasons = {
        "no receipt": {},
        "a review refused it": {"findings": [finding()]},
        "its review rests on a waiver that has expired": {"findings": [_expired()]},
        "let through without a review by Dana: the portal is down": {"bypass": "the portal is down"},
    }
    for number, (reason, options) in enumerate(reasons.items()):
        branch.commit({f"{number}.py": f"{number}\n"})
        if reason != "no receipt":
            receipt(branch, **options)
    found, findings = looked_up(branch)
    assert [one.why for one in found.commits] == list(reasons)
    assert [one.rule for one in findings] == [BYPASSED.id], "the others are a line of the report"


def _expired() -> Finding:
    from dataclasses import replace

    one = waived()
    assert one.waiver is not None
    return replace(one, waiver=replace(one.waiver, expires="2026-11-01"))


def test_a_receipt_by_other_settings_than_those_of_the_base_is_told_apart(branch: Any) -> None:
    branch.commit({"b.py": "b = 1\n"})
    receipt(branch, settings="b2:0123456789abcdef")
    assert only(branch).other_settings
    receipt(branch)
    branch.commit({"c.py": "c = 1\n"})
    receipt(branch)
    assert [one.other_settings for one in looked_up(branch)[0].commits][1:] == [False]


@pytest.mark.parametrize(
    ("asked", "rules"),
    [("report", []), ("any", [UNSEEN.id]), ("signed", [UNSEEN.id, UNSEEN.id])],
)
def test_what_ci_asks_for_decides_what_a_missing_receipt_does(
    branch: Any, keys: dict[str, Path], asked: str, rules: list[str]
) -> None:
    branch.commit({"b.py": "b = 1\n"}, message="signed")
    receipt(branch, key=keys["dana"])
    branch.commit({"c.py": "c = 1\n"}, message="advisory")
    receipt(branch)
    branch.commit({"d.py": "d = 1\n"}, message="token = 'ghp_16C7e42F292c6912E7710c838347Ae178B4a'")
    branch.commit(message="empty")
    found, findings = looked_up(branch, ASKING[asked])
    assert [one.rule for one in findings] == rules
    assert {one.status for one in findings} <= {Status.BLOCKING}
    assert "ghp_16C7" not in repr((found, findings)), "a subject is shown with credentials hidden"


def test_a_bypass_blocks_whatever_severities_block_and_not_where_the_base_has_switched_conduct_off(branch: Any) -> None:
    branch.commit({"b.py": "b = 1\n"})
    receipt(branch, bypass="the portal is down")
    for level, status in ((Level.ON, Status.BLOCKING), (Level.ADVISORY, Status.ADVISORY)):
        [found] = looked_up(branch, Config(packs=(("conduct", level),)))[1]
        assert (found.rule, found.status) == (BYPASSED.id, status)


def test_a_clone_without_any_receipts_is_told_how_to_get_them(branch: Any) -> None:
    branch.commit({"b.py": "b = 1\n"})
    assert any("agentreview receipts fetch" in note for note in looked_up(branch)[0].notes)
    branch.git("checkout", "-q", "main")
    branch.commit({"c.py": "c = 1\n"})
    receipt(branch)
    branch.git("checkout", "-q", "feature")
    assert looked_up(branch)[0].notes == ()


def test_signatures_that_nobody_can_check_make_receipts_advisory_and_that_is_said(
    branch: Any, keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    branch.commit({"b.py": "b = 1\n"})
    receipt(branch, key=keys["dana"])
    (tmp_path / "git").symlink_to(shutil.which("git") or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = looked_up(branch)[0]
    assert (found.commits[0].cover, found.commits[0].signed_by) == (Cover.EXACT, "")
    assert "no ssh-keygen" in found.notes[0]


# -- the installed command


def ci(repo: Any, *args: str) -> Any:
    return agentreview("ci", "--base", "main", *args, cwd=repo.path)


def test_the_report_names_each_commit_that_no_gate_saw_in_every_format(branch: Any, tmp_path: Path) -> None:
    branch.commit({"b.py": "b = 1\n"})
    receipt(branch)
    branch.commit({"c.py": "c = 1\n", "d.py": "d = 1\n"}, message="in a\x1b[31m hurry\n\nbody")
    file = stored(branch, receipt(branch))
    file.write_bytes(b"half")
    name = branch.git("rev-parse", "HEAD").strip()[:12]
    done = ci(branch, *(f"--format={reporter}={tmp_path / reporter}" for reporter in REPORTERS))
    assert done.code == 0, done.err
    written = {reporter: (tmp_path / reporter).read_text() for reporter in REPORTERS}
    for reporter, text in written.items():
        assert "\x1b" not in text
        assert "only receipt is refused" in text.replace("\n", " "), reporter
        assert name in text
        assert "hurry" in text
    terminal = " ".join(written["terminal"].split())
    assert f'{name} "in a\\x1b[31m hurry": its only receipt is refused' in terminal
    assert "2 commits: 1 covered by receipts (1 exact), 1 without a receipt that counts" in terminal
    assert "--no-verify, a hook that was skipped or is not installed, a rebase" in terminal
    assert f"receipt {file.name.split('.')[1][:12]} is refused: its name is not the hash" in terminal
    log = json.loads(written["sarif"])["runs"][0]
    assert (log["properties"]["commits"]["commits"], log["properties"]["commits"]["uncovered"]) == (2, 1)
    kinds = {note["descriptor"]["id"] for note in log["invocations"][0]["toolExecutionNotifications"]}
    assert {"agentreview/commit-without-receipt", "agentreview/receipt-refused"} <= kinds


def test_where_every_commit_is_covered_one_line_says_it(branch: Any) -> None:
    branch.commit({"b.py": "b = 1\n"})
    receipt(branch)
    done = ci(branch)
    assert done.out.count("\n") == 1
    assert "1 commit: 1 covered by receipts (1 exact); 0 signed by signers of the base, 1 advisory" in done.out


def test_the_base_may_ask_for_receipts_and_an_approver_may_accept_a_commit_without(
    branch: Any, keys: dict[str, Path]
) -> None:
    branch.git("checkout", "-q", "main")
    asking = f'[ci]\nrequire_receipts = "signed"\n[waivers]\napprovers = ["{DANA}"]\n'
    branch.commit({"agentreview.toml": asking})
    branch.git("checkout", "-q", "-B", "feature")
    branch.commit(GOOD)
    receipt(branch)
    answer = json.loads(ci(branch, "--format", "json").out)
    [found] = [one for one in answer["findings"] if one["rule"] == UNSEEN.id]
    assert (answer["exit_code"], found["status"]) == (1, "blocking")
    assert "nobody whom the base knows signed it" in found["message"]
    assert agentreview("waive", found["fingerprint"], "--reason", "made before signing", cwd=branch.path).code == 0
    branch.git("add", "-A")
    signed = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={keys['dana']}")
    branch.git(*signed, "commit", "-q", "-S", "-m", "accepted by Dana")
    receipt(branch, key=keys["dana"])
    answer = json.loads(ci(branch, "--format", "json").out)
    assert [one["status"] for one in answer["findings"] if one["rule"] == UNSEEN.id] == ["waived"]
    assert answer["exit_code"] == 0


def test_a_branch_cannot_ask_for_less_than_its_base(branch: Any) -> None:
    branch.git("checkout", "-q", "main")
    branch.commit({"agentreview.toml": '[ci]\nrequire_receipts = "any"\n'})
    branch.git("checkout", "-q", "-B", "feature")
    branch.commit({"agentreview.toml": '[ci]\nrequire_receipts = "off"\n'})
    answer = json.loads(ci(branch, "--format", "json").out)
    assert {one["rule"] for one in answer["findings"] if one["status"] == "blocking"} == {
        UNSEEN.id,
        "conduct.gate-tampered",
    }
    assert answer["coverage"]["required"] == "any"


def test_off_says_nothing_of_receipts_and_still_finds_a_bypass(branch: Any) -> None:
    branch.git("checkout", "-q", "main")
    branch.commit({"agentreview.toml": '[ci]\nrequire_receipts = "off"\n'})
    branch.git("checkout", "-q", "-B", "feature")
    branch.commit({"b.py": "b = 1\n"})
    receipt(branch, bypass="the portal is down")
    answer = json.loads(ci(branch, "--format", "json").out)
    assert (answer["coverage"], answer["exit_code"]) == (None, 1)


def test_a_receipt_takes_the_place_of_no_policy(branch: Any, keys: dict[str, Path]) -> None:
    branch.commit(BAD)
    receipt(branch, key=keys["dana"])
    answer = json.loads(ci(branch, "--format", "json").out)
    assert (answer["decision"], answer["coverage"]["summary"]["signed"]) == ("block", 1)


def test_the_shard_that_asks_about_conduct_looks_receipts_up_and_the_merge_has_them(
    branch: Any, tmp_path: Path
) -> None:
    branch.commit({"b.py": "b = 1\n"})
    files = [str(tmp_path / f"{number}.json") for number in (1, 2)]
    for number, file in enumerate(files, 1):
        assert ci(branch, "--shard", f"{number}/2", "--format", f"json={file}").code == 0
    held = [json.loads(Path(file).read_text())["coverage"] for file in files]
    assert sorted(one is None for one in held) == [False, True]
    merged = json.loads(agentreview("merge-reports", *files, "--format", "json", cwd=tmp_path).out)
    assert merged["coverage"]["summary"]["uncovered"] == 1
