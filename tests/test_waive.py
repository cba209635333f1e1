"""``agentreview waive``: from a refused commit to an accepted one, and everything that stands in the way."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from agentreview.commands.waive import expiry
from agentreview.errors import UsageError
from agentreview.waiverfile import WAIVERS_NAME, parse
from commandline import BAD, GOOD, RULE, agentreview, one_line

pytestmark = pytest.mark.usefixtures("one_day")
REASON = "the gateway records every read"


def report(path: Path, *args: str) -> dict[str, Any]:
    return json.loads(agentreview("--format", "json", *args, cwd=path).out)


def blocked(repo: Any) -> str:
    """Stage the bad change, have it reviewed, and return the blocking finding's fingerprint."""
    repo.stage(BAD)
    [found] = [f for f in report(repo.path)["findings"] if f["status"] == "blocking"]
    assert found["rule"] == RULE
    return str(found["fingerprint"])


def today(days: int = 0) -> str:
    return (datetime.now(timezone.utc).date() + timedelta(days=days)).isoformat()


def test_a_refused_change_passes_with_a_waiver_that_names_who_and_until_when(repo: Any) -> None:
    fingerprint = blocked(repo)
    done = agentreview("waive", fingerprint[:12], "--reason", REASON, cwd=repo.path)
    assert done.code == 0, done.err
    assert f"git add {WAIVERS_NAME}" in done.out
    [record] = parse((repo.path / WAIVERS_NAME).read_bytes()).records
    assert (record.fingerprint, record.rule, record.path) == (fingerprint, RULE, "clinic/views.py")
    assert (record.reason, record.person) == (REASON, "Dana Reyes <dana@clinic.example>")
    assert (record.created, record.expires) == (today(), today(90))
    assert agentreview(cwd=repo.path).code == 1, "what is not staged does not count"
    repo.git("add", "-A")
    done = agentreview(cwd=repo.path)
    assert done.code == 0
    assert f"{REASON} (Dana Reyes <dana@clinic.example>, until {today(90)}, added by this change)" in done.out
    assert "conduct.waiver-added" in done.out
    assert report(repo.path)["summary"]["waived"] == 1


def test_it_works_on_the_worktree_it_is_told(repo: Any, tmp_path: Path) -> None:
    fingerprint = blocked(repo)
    done = agentreview("waive", fingerprint, "--reason", REASON, "--worktree", str(repo.path), cwd=tmp_path)
    assert done.code == 0, done.err
    assert (repo.path / WAIVERS_NAME).is_file()


def test_waiving_again_renews_the_entry_and_leaves_everything_else(repo: Any) -> None:
    fingerprint = blocked(repo)
    agentreview("waive", fingerprint, "--reason", REASON, "--expires", "30d", cwd=repo.path)
    file = repo.path / WAIVERS_NAME
    file.write_text(file.read_text() + "\n# kept\n")
    repo.git("add", "-A")
    assert agentreview(cwd=repo.path).code == 0
    done = agentreview("waive", fingerprint, "--reason", "still so", "--expires", today(60), cwd=repo.path)
    assert "renewed" in done.out
    assert file.read_text().endswith("\n# kept\n")
    [record] = parse(file.read_bytes()).records
    assert (record.reason, record.expires) == ("still so", today(60))


def test_a_verdict_under_a_waiver_is_kept_until_it_expires(repo: Any) -> None:
    fingerprint = blocked(repo)
    agentreview("waive", fingerprint, "--reason", REASON, "--expires", "30d", cwd=repo.path)
    repo.git("add", "-A")
    assert report(repo.path)["until"] == today(31)
    assert report(repo.path)["cached"]
    tree = repo.git("write-tree").strip()
    [kept] = (repo.path / ".git/agentreview/verdicts").glob(f"*/*-{tree}")
    assert kept.read_bytes().startswith(f"pass {today(31).replace('-', '')}\n".encode())


def test_an_expired_waiver_blocks_and_says_so(repo: Any) -> None:
    fingerprint = blocked(repo)
    agentreview("waive", fingerprint, "--reason", REASON, cwd=repo.path)
    file = repo.path / WAIVERS_NAME
    file.write_text(file.read_text().replace(today(90), "2026-01-01").replace(today(), "2025-12-01"))
    repo.git("add", "-A")
    done = agentreview(cwd=repo.path)
    assert done.code == 1
    assert "it expired on 2026-01-01" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--reason", REASON), "no finished review"),
        (("--reason", "no"), "one line of 3 to 500"),
        (("--reason", "a\tb\x1b[31m"), "one line of 3 to 500"),
        (("--reason", REASON, "--expires", "never"), "is no date"),
        (("--reason", REASON, "--expires", "2020-01-01"), "is not after today"),
        (("--reason", REASON, "--expires", "366d"), "at most 365 are allowed"),
        ((), "--reason"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_exit_code_2(repo: Any, args: tuple[str, ...], says: str) -> None:
    fingerprint = "b2:00000000"
    if "finished" not in says:
        fingerprint = blocked(repo)
    done = agentreview("waive", fingerprint, *args, cwd=repo.path)
    assert done.code == 2
    assert says in one_line(done.err)
    assert not (repo.path / WAIVERS_NAME).exists()


def test_a_name_that_is_no_finding_is_told_with_what_there_is(repo: Any) -> None:
    blocked(repo)
    found = agentreview("--format", "agent", cwd=repo.path).out.partition("this finding is ")[2][:11]
    near = found[:-1] + ("0" if found[-1] != "0" else "1")  # the name of another finding is no typing error
    for command in (("waive", near, "--reason", REASON), ("fix", near), ("explain", near)):
        done = agentreview(*command, cwd=repo.path)
        assert done.code == 2
        assert f"unknown finding '{near}'. It may be gone by now. The last review here found {found}: " in one_line(
            done.err
        )
    repo.git("reset", "--hard", "-q")
    assert agentreview(cwd=repo.path).code == 0
    assert one_line(agentreview("fix", near, cwd=repo.path).err).endswith("The last review here found nothing")


def test_the_longest_time_is_the_projects(repo: Any) -> None:
    repo.commit({"agentreview.toml": "[waivers]\nmax_days = 14\n"})
    fingerprint = blocked(repo)
    assert agentreview("waive", fingerprint, "--reason", REASON, cwd=repo.path).code == 0
    [record] = parse((repo.path / WAIVERS_NAME).read_bytes()).records
    assert record.expires == today(14)
    done = agentreview("waive", fingerprint, "--reason", REASON, "--expires", "15d", cwd=repo.path)
    assert "at most 14 are allowed" in one_line(done.err)


def test_the_finding_about_a_waiver_and_one_that_a_comment_waives_are_refused(repo: Any) -> None:
    fingerprint = blocked(repo)
    agentreview("waive", fingerprint, "--reason", REASON, cwd=repo.path)
    repo.git("add", "-A")
    [granted] = [f for f in report(repo.path)["findings"] if f["rule"] == "conduct.waiver-added"]
    done = agentreview("waive", granted["fingerprint"], "--reason", REASON, cwd=repo.path)
    assert "cannot be waived" in one_line(done.err)
    text = BAD["clinic/views.py"].replace("    patient =", f"    # agentreview: ignore[{RULE}] {REASON}\n    patient =")
    repo.stage({"clinic/views.py": text, WAIVERS_NAME: ""})
    assert agentreview(cwd=repo.path).code == 0
    done = agentreview("waive", fingerprint, "--reason", REASON, cwd=repo.path)
    assert "a comment in clinic/views.py:" in one_line(done.err)


def test_nobody_waives_without_a_name(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint = blocked(repo)
    for name in list(os.environ):
        if name.startswith(("GIT_COMMITTER", "GIT_AUTHOR", "EMAIL")):
            monkeypatch.delenv(name)
    repo.git("config", "user.useConfigOnly", "true")
    done = agentreview("waive", fingerprint, "--reason", REASON, cwd=repo.path)
    assert done.code == 2
    assert "git does not know who you are" in one_line(done.err)


@pytest.mark.parametrize("way", ["folder", "file"])
def test_a_link_is_not_followed_out_of_the_repository(repo: Any, tmp_path: Path, way: str) -> None:
    fingerprint = blocked(repo)
    outside = tmp_path / "outside"
    outside.mkdir()
    if way == "folder":
        (repo.path / ".agentreview").symlink_to(outside)
    else:
        (repo.path / ".agentreview").mkdir()
        (repo.path / WAIVERS_NAME).symlink_to(outside / "waivers.toml")
    done = agentreview("waive", fingerprint, "--reason", REASON, cwd=repo.path)
    assert "symbolic link" in one_line(done.err)
    assert list(outside.iterdir()) == []


def test_a_finding_of_a_good_change_needs_no_waiver(repo: Any) -> None:
    repo.stage(GOOD)
    assert agentreview(cwd=repo.path).code == 0
    assert not (repo.path / ".agentreview").exists()


def test_days_are_counted_in_the_calendar() -> None:
    assert expiry("30d", "2027-02-01", 365) == "2027-03-03"
    assert expiry("", "2027-02-01", 365) == "2027-05-02"
    assert expiry("", "2027-02-01", 7) == "2027-02-08"
    assert expiry("2027-02-02", "2027-02-01", 365) == "2027-02-02"
    for wrong in ("0d", "99999d", "-1d", "2027-02-30", "1w"):
        with pytest.raises(UsageError):
            expiry(wrong, "2027-02-01", 365)
