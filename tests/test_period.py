"""`agentreview report --period`: a record for an auditor, from real commits and real receipts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from datetime import date, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentreview import ledger, signing
from agentreview.errors import UsageError
from agentreview.git import open_repository
from agentreview.history import raw_entries
from agentreview.model import Waiver
from agentreview.period import audit, period
from agentreview.receipts import Context, bypass_statement, content_key, preauthenticated, seal, statement
from agentreview.reporters.page.audit import page, summary
from agentreview.reporters.page.record import Audit
from commandline import BAD, GOOD, RULE, agentreview, one_line
from factories import finding, run, skipped, verdict, waived

DAYS = ("2026-10-01", "2026-12-31")
DANA = "Dana Reyes <dana@clinic.example>"


class Words(HTMLParser):
    """The text of a page, and of each section by its id."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.sections: dict[str, str] = {}
        self.scripts = 0
        self.current, self.inert = "", False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.scripts += tag == "script"
        self.inert = tag in ("script", "style")
        if tag == "section":
            self.current = dict(attrs).get("aria-labelledby", "")
        elif tag == "footer":
            self.current = "footer"

    def handle_data(self, data: str) -> None:
        if not self.inert:
            self.sections[self.current] = self.sections.get(self.current, "") + data + " "

    def __getitem__(self, name: str) -> str:
        return " ".join(self.sections[name].split())


# -- what a period is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("2026-Q1", ("2026-01-01", "2026-03-31")),
        ("2026-Q4", ("2026-10-01", "2026-12-31")),
        ("2024-02", ("2024-02-01", "2024-02-29")),
        ("2026-11", ("2026-11-01", "2026-11-30")),
        ("2026", ("2026-01-01", "2026-12-31")),
        ("2026-11-05..2026-11-05", ("2026-11-05", "2026-11-05")),
    ],
)
def test_a_period_is_named_by_year_quarter_month_or_days(text, days):
    assert period(text) == days


@pytest.mark.parametrize(
    "text", ["", "Q4", "2026-Q5", "2026-13", "0000", "yesterday", "2026-02-30..2026-03-01", "2026-11-05..", "2026-11-06..2026-11-05", "20261105..20261106", "2026-q4"]
)  # fmt: skip
def test_what_is_no_period_is_refused_with_the_forms(text):
    with pytest.raises(UsageError) as raised:
        period(text)
    assert "2026-Q4" in str(raised.value)


@given(st.dates(min_value=date(1000, 1, 1), max_value=date(9990, 1, 1)))
def test_the_months_and_quarters_of_a_year_cover_it_without_a_gap(day):
    year = f"{day.year:04}"
    for names in ([f"{year}-{m:02}" for m in range(1, 13)], [f"{year}-Q{q}" for q in range(1, 5)]):
        spans = [period(name) for name in names]
        assert (spans[0][0], spans[-1][1]) == period(year)
        for (_, last), (first, _) in pairwise(spans):
            assert date.fromisoformat(last) + timedelta(1) == date.fromisoformat(first)
    assert period(f"{day}..{day}") == (day.isoformat(), day.isoformat())


# -- what is recorded --------------------------------------------------------------------------------------------------


def commit(repo: Any, day: str, name: str, **options: str) -> tuple[str, str]:
    """Commit one file on a day; returns the two trees."""
    repo.stage({name: f"{day} {name}\n"})
    stamp = f"{day}T12:00:00Z"
    env = {**os.environ, "GIT_COMMITTER_DATE": stamp, "GIT_AUTHOR_DATE": stamp}
    subject = options.get("subject", f"add {name}")
    subprocess.run(["git", "commit", "-q", "-m", subject], cwd=repo.path, check=True, env=env)
    trees = repo.git("log", "-2", "--format=%T").split()
    empty = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    return (trees[1] if len(trees) > 1 else empty, trees[0])


def keep(repo: Any, pair: tuple[str, str], day: str, *, key: Path | None = None, alter: Any = None, **told: Any) -> str:
    """Keep a receipt of a change, as a review on that day would have left it."""
    place = open_repository(str(repo.path))
    (entries,) = raw_entries(place, [pair])
    context = Context(person=told.pop("person", DANA), at=f"{day}T11:00:00Z")
    if "reason" in told:
        stated = bypass_statement(*pair, entries, context, reason=told["reason"], version="0.1.0", branch="main")
    else:
        found = told.pop("findings", ())
        told = {"configuration": "b2:c0ffee", "configured_in": "agentreview.toml", **told}
        judged = verdict(*found, base=pair[0], tree=pair[1], runs=(run(agent="policy:hipaa", rules=(RULE,)),), **told)
        stated = statement(judged, entries, context)
    if alter is not None:
        alter(stated["predicate"])
    armored, print_ = signing.sign(str(key), preauthenticated(stated)) if key else ("", "")
    data = seal(stated, key=print_, signature=armored)
    assert ledger.keep(place, data, content_key(entries)) is None
    return ledger.identifier(data)


def record(repo: Any, **told: Any) -> Audit:
    head = repo.git("rev-parse", "HEAD").strip()
    options = {
        "name": "clinic",
        "allowed": "",
        "signers": "none are set",
        "now": "2026-12-31T10:00:00Z",
        "version": "0.1.0",
    }
    return audit(open_repository(str(repo.path)), head, "main", DAYS, **{**options, **told})


def test_every_commit_has_the_standing_that_its_receipts_give_it(repo):
    commit(repo, "2026-09-30", "before the period")
    good = keep(
        repo,
        commit(repo, "2026-10-01", "reviewed.py"),
        "2026-10-01",
        skipped=(skipped("reviewed.py", "binary", "why"),),
    )
    keep(repo, commit(repo, "2026-10-02", "bypassed.py"), "2026-10-02", reason="the portal is down, SEC-12")
    keep(repo, commit(repo, "2026-10-03", "refused.py"), "2026-10-03", findings=(finding(),))
    commit(repo, "2026-12-31", "nobody.py")
    commit(repo, "2027-01-01", "after the period")
    found = record(repo)
    told = [(one.subject, one.standing, one.why) for one in found.commits]
    assert told == [
        ("add nobody.py", "no receipt", "no receipt of any kind"),
        ("add refused.py", "no receipt", "a review refused it, and none passed it"),
        ("add bypassed.py", "bypassed", ""),
        ("add reviewed.py", "reviewed", ""),
    ]
    assert (
        summary(found)
        == "1 of 4 commits with changes was reviewed; 1 let through without a review; 2 without a receipt."
    )
    reviewed = found.commits[-1]
    assert (reviewed.receipt, reviewed.signature, reviewed.configuration) == (good, "advisory", "b2:c0ffee")
    assert reviewed.unread == (("reviewed.py", "opaque: binary: why"),)
    words = Words(page(found))
    assert "the portal is down, SEC-12" in words["exceptions"]
    assert "a review refused it, and none passed it" in words["exceptions"]
    assert "1 passed 1 blocked 1 let through without a review" in words["totals"]
    assert "before the period" not in " ".join(words.sections.values())
    assert "45 CFR 164.312(b)" in words["policies"]
    assert RULE in words["regulations"]
    assert "b2:c0ffee" in words["settings"]
    assert f"agentreview log {found.head} --since 2026-10-01 --until 2026-12-31 --json" in words["verify"]
    assert "not a statement that a law is met" in words["footer"]


def test_a_rebase_carries_the_review(repo):
    pair = commit(repo, "2026-10-01", "a.py")
    keep(repo, pair, "2026-10-01")
    repo.git(
        "commit", "--amend", "-q", "-m", "other words", env={**os.environ, "GIT_COMMITTER_DATE": "2026-10-02T10:00:00Z"}
    )
    assert [one.standing for one in record(repo).commits] == ["reviewed"]
    repo.git("checkout", "-q", "--orphan", "again")
    repo.git("rm", "-rfq", ".")
    commit(repo, "2026-10-03", "other.txt")
    repo.git("cherry-pick", "main", env={**os.environ, "GIT_COMMITTER_DATE": "2026-10-04T10:00:00Z"})
    assert [one.standing for one in record(repo).commits] == ["carried over", "no receipt"]


def test_a_waiver_that_ended_later_has_not_undone_the_review_and_one_that_ended_before_has(repo):
    def accepted(expires: str) -> tuple[Any, ...]:
        waiver = Waiver(
            rule=RULE, path="a.py", line=2, reason="the gateway records it", person="Sam Ito <sam@clinic.example>", expires=expires,
            source="file", approved_by="lee@clinic.example",
        )  # fmt: skip
        return (waived(waiver=waiver),)

    keep(repo, commit(repo, "2026-10-01", "a.py"), "2026-10-01", findings=accepted("2026-11-01"))
    keep(repo, commit(repo, "2026-10-02", "b.py"), "2026-09-01", findings=accepted("2026-09-15"))
    found = record(repo)
    assert [one.standing for one in found.commits] == ["no receipt", "reviewed"]
    assert found.commits[0].why == "its review rests on a waiver that had ended"
    words = Words(page(found))
    for said in (
        "the gateway records it",
        "Sam Ito",
        "sam@clinic.example",
        "2026-11-01 (has ended)",
        "approved by lee@clinic.example",
    ):
        assert said in words["waivers"], said


@pytest.fixture
def key(tmp_path: Path) -> Path:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen signs here")
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file], check=True)
    return file


def test_signatures_are_told_apart(repo, key, tmp_path):
    """By an allowed signer, by a stranger, none, and one that is not of what it says: that receipt counts for nothing."""
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", other], check=True)
    allowed = f"dana@clinic.example {key.with_suffix('.pub').read_text()}"
    keep(repo, commit(repo, "2026-10-01", "a.py"), "2026-10-01", key=key)
    keep(repo, commit(repo, "2026-10-02", "b.py"), "2026-10-02", key=other)
    keep(repo, commit(repo, "2026-10-03", "c.py"), "2026-10-03")
    pair = commit(repo, "2026-10-04", "d.py")
    place = open_repository(str(repo.path))
    (entries,) = raw_entries(place, [pair])
    stated = statement(verdict(base=pair[0], tree=pair[1]), entries, Context(person=DANA, at="2026-10-04T10:00:00Z"))
    armored, print_ = signing.sign(str(key), preauthenticated(stated) + b" ")
    forged = seal(stated, key=print_, signature=armored)
    ledger.keep(place, forged, content_key(entries))
    found = record(repo, allowed=allowed)
    told = [(one.standing, one.signature, one.signed_by) for one in found.commits]
    assert told == [
        ("no receipt", "", ""),
        ("reviewed", "advisory", ""),
        ("reviewed", "signed, signer unknown", ""),
        ("reviewed", "signed", "dana@clinic.example"),
    ]
    assert found.refused == ((ledger.identifier(forged), "its signature is not one of what it says"),)
    words = Words(page(found))
    assert "Refused receipts, which count for nothing (1)" in words["exceptions"]
    assert "1 signed, 1 signed, signer unknown, 1 advisory" in words["totals"]
    assert "SHA256:" in words["commits"]


def test_of_several_receipts_the_signed_one_is_shown(repo, key):
    allowed = f"dana@clinic.example {key.with_suffix('.pub').read_text()}"
    pair = commit(repo, "2026-10-01", "a.py")
    signed = keep(repo, pair, "2026-10-01", key=key)
    keep(repo, pair, "2026-10-02", reason="bypassed later")
    keep(repo, pair, "2026-10-03")
    (one,) = record(repo, allowed=allowed).commits
    assert (one.standing, one.receipt, one.bypass) == ("reviewed", signed, "bypassed later")
    assert "bypassed later yes, 2026-10-01" in Words(page(record(repo, allowed=allowed)))["exceptions"]


def test_a_changed_file_is_named_and_counts_for_nothing(repo):
    name = keep(repo, commit(repo, "2026-10-01", "a.py"), "2026-10-01")
    place = open_repository(str(repo.path))
    (file,) = Path(place.store_dir, "receipts", "new").glob("*.json")
    file.write_bytes(file.read_bytes().replace(b"Dana", b"Sam "))
    found = record(repo)
    assert [(one.standing, one.why) for one in found.commits] == [("no receipt", "its receipt is refused")]
    assert found.refused == ((name, "its name is not the hash of its bytes"),)


@pytest.mark.parametrize(
    "alter",
    [
        lambda said: said.update(agents=5),
        lambda said: said.update(agents=[{"agent": 1, "digest": "", "outcome": "completed", "rules": []}]),
        lambda said: said["agents"][0].update(rules=[["x"]]),
        lambda said: said["findings"].append({"waiver": {"expires": ""}, "status": "waived"}),
        lambda said: said.update(configuration={"digest": "x", "file": ["x"]}),
    ],
)
def test_a_receipt_with_something_else_in_its_lists_is_refused_and_no_bug(repo, alter):
    keep(repo, commit(repo, "2026-10-01", "a.py"), "2026-10-01", alter=alter)
    found = record(repo)
    page(found)
    assert [one.standing for one in found.commits] == ["no receipt"]
    assert len(found.refused) == 1
    assert "no receipt" in [
        one["standing"] for one in json.loads(agentreview("log", "--json", cwd=repo.path).out)["commits"]
    ]


def test_hostile_texts_are_texts(repo):
    evil = "</script><script>alert(1)</script>\u202e"
    keep(repo, commit(repo, "2026-10-01", "a.py", subject=evil), "2026-10-01", person=evil, configured_in=evil)
    keep(repo, commit(repo, "2026-10-02", "b.py", subject=evil), "2026-10-02", reason=evil)
    source = page(record(repo, name=evil, version=evil, signers=evil))
    assert Words(source).scripts == 1
    assert "\u202e" not in source


def test_a_period_without_commits_says_so(repo):
    commit(repo, "2026-01-01", "a.py")
    found = record(repo)
    assert summary(found) == "0 of 0 commits with changes were reviewed."
    assert "There is no commit in this period." in Words(page(found))["commits"]


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_writes_the_record_of_real_commits(repo, key, tmp_path):
    public = key.with_suffix(".pub").read_text()
    repo.commit({".agentreview/allowed_signers": f"dana@clinic.example {public}"}, "whose key is whose")
    repo.git("config", "gpg.format", "ssh")
    repo.git("config", "user.signingkey", str(key))
    assert agentreview("install", cwd=repo.path).code == 0
    for files, message, env in (
        (GOOD, "Add the chart", {}),
        (BAD, "Leave the audit out", {"AGENTREVIEW_BYPASS": "the portal is down"}),
    ):
        repo.stage(files)
        argv = ["git", "commit", "-q", "-m", message, *(["--no-verify"] if env else [])]
        subprocess.run(argv, cwd=repo.path, env={**os.environ, **env}, check=True, capture_output=True)
    file = tmp_path / "record.html"
    year = repo.git("log", "-1", "--format=%cd", "--date=format:%Y").strip()
    done = agentreview("report", "--html", str(file), "--period", year, cwd=repo.path)
    assert done.code == 0, done.err
    assert done.err.splitlines() == [
        f"agentreview: the page is in {file}",
        "agentreview: 1 of 3 commits with changes was reviewed; 1 let through without a review; 1 without a receipt.",
    ]
    words = Words(file.read_text(encoding="utf-8"))
    assert "by dana@clinic.example" in words["commits"]
    assert "HEAD's .agentreview/allowed_signers" in words[""]
    assert "the portal is down" in words["exceptions"]
    verify = agentreview("receipts", "verify", cwd=repo.path)
    assert verify.code == 0
    (again,) = re.findall(r"agentreview (report --period \S+ --of \S+ --html) FILE", words["verify"])
    assert agentreview(*again.split(), "-", cwd=repo.path).out.count("<h1") == 1


def test_without_ssh_keygen_nothing_is_called_checked(repo, key, tmp_path):
    keep(repo, commit(repo, "2026-10-01", "a.py"), "2026-10-01", key=key)
    bare = tmp_path / "bin"
    bare.mkdir()
    (bare / "git").symlink_to(shutil.which("git") or "")
    file = tmp_path / "record.html"
    done = agentreview("report", "--html", str(file), "--period", "2026-Q4", cwd=repo.path, env={"PATH": str(bare)})
    assert done.code == 3
    assert "signatures cannot be checked" in done.err.splitlines()[-1]
    words = Words(file.read_text(encoding="utf-8"))
    assert "signature not checked" in words["commits"]
    assert "Signatures were not checked" in words["exceptions"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--period", "soon"], ["--period", "2026", "--commit", "HEAD"], ["--of", "HEAD"], ["--allowed-signers", "x"],
        ["--period", "2026", "--of", "nothing-of-that-name"], ["--period", "2026", "--allowed-signers", "/nowhere/x"],
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_one_line(repo, tmp_path, arguments):
    repo.commit({"a": "1"})
    file = tmp_path / "x.html"
    done = agentreview("report", "--html", str(file), *arguments, cwd=repo.path)
    assert (done.code, done.out, file.exists()) == (2, "", False)
    one_line(done.err)
