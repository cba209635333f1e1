"""The history replayed: which commits, in how many processes, what is kept of them, and what it adds up to."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentreview.config import Config, parse_config
from agentreview.detect import Detection, Found
from agentreview.errors import UsageError
from agentreview.git import open_repository
from agentreview.learn import replay as replaying
from agentreview.learn.history import Commit, History, read_history
from agentreview.learn.propose import propose, snippet
from agentreview.learn.record import SAMPLES, Kept, Record, Sample, Tally, from_json, record_of, to_json
from agentreview.learn.render import markdown, terminal
from agentreview.learn.replay import Gate, replay
from agentreview.learn.report import Report, add_up, off, silent
from agentreview.model import Confidence, Hit, Outcome, Status
from agentreview.policies.load import load
from agentreview.review import judge_commit
from agentreview.version import engine_version
from commandline import BAD, GOOD, RULE
from factories import finding, run, skipped, verdict, waived

NEEDS = next(policy.needs for policy in load().policies if policy.id == RULE)
WITHOUT_NEEDS = next(policy.id for policy in load().policies if not policy.needs)
LOG = {"clinic/logs.py": "import logging\n\n\ndef keep(patient):\n    logging.info('seen %s', patient.ssn)\n"}


@pytest.fixture
def clinic(repo: Any) -> Any:
    """A history with something for every count: blocked, fixed, advised, prose only, and a merge."""
    repo.commit({"README.md": "clinic\n"})
    repo.commit(BAD, "Show a patient")
    repo.commit(GOOD, "Record who looked")
    repo.git("switch", "-q", "-c", "side")
    repo.commit(LOG, "Log")
    repo.git("switch", "-q", "main")
    repo.commit({"clinic/empty.py": "x = 1\n"})
    repo.git("merge", "-q", "--no-ff", "side", "-m", "Merge side")
    return repo


def gate(repo: Any, settings: str = "") -> Gate:
    return Gate(repo=open_repository(str(repo.path)), config=config(settings), version=engine_version())


def config(settings: str, path: str = "agentreview.toml") -> Config:
    return parse_config(settings.encode(), path=path, known_policies=load().ids()) if settings else Config()


def replayed(repo: Any, jobs: int = 1) -> dict[str, Record]:
    records: dict[str, Record] = {}
    one = gate(repo)
    commits = read_history(one.repo, None, 100).commits
    replay(one, commits, jobs, lambda commit, record: records.update({commit.sha: record}))
    return records


# ---- which commits


def test_the_newest_commits_that_are_no_merges_are_read_from_all_branches_that_were_merged(clinic):
    found = read_history(open_repository(str(clinic.path)), None, 100)
    listed = clinic.git("rev-list", "--no-merges", "HEAD").split()
    assert [commit.sha for commit in found.commits] == listed
    assert len(listed) == 5
    assert not found.more
    for commit in found.commits:
        parent = clinic.git("rev-parse", "-q", "--verify", f"{commit.sha}^", check=False).strip()
        assert commit.tree == clinic.git("rev-parse", f"{commit.sha}^{{tree}}").strip()
        expected = clinic.git("rev-parse", f"{parent}^{{tree}}" if parent else "").strip() if parent else None
        assert commit.base == expected or (expected is None and commit.base.startswith("4b825dc"))


def test_a_limit_says_that_there_are_more(clinic):
    found = read_history(open_repository(str(clinic.path)), None, 2)
    assert len(found.commits) == 2
    assert found.more


@pytest.mark.parametrize("spec", ["main~1..side", "main~1...side", "main~1..HEAD"])
def test_a_range_holds_the_commits_that_git_lists_for_it(clinic, spec):
    found = read_history(open_repository(str(clinic.path)), spec, 100)
    spelled = spec.replace("...", "..")  # since the merge base: what the right side adds
    assert [c.sha for c in found.commits] == clinic.git("rev-list", "--no-merges", spelled).split()
    assert found.source == f"range {spec}"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("main", "is not a range"),
        ("gone..main", "gone names no commit"),
        ("main..main", "holds no commit"),
        ("--all..main", "names no commit"),
        ("main..\x1b[2J", r"\x1b[2J names no commit"),
    ],
)
def test_a_range_that_means_nothing_is_refused(clinic, spec, says):
    with pytest.raises(UsageError) as caught:
        read_history(open_repository(str(clinic.path)), spec, 100)
    assert says in str(caught.value)


def test_before_the_first_commit_there_is_nothing_to_replay(repo):
    with pytest.raises(UsageError, match="no commit here yet"):
        read_history(open_repository(str(repo.path)), None, 10)


def test_at_the_edge_of_a_shallow_clone_the_reason_is_said(clinic, make_repo, tmp_path):
    clinic.git("clone", "-q", "--depth", "2", f"file://{clinic.path}", str(tmp_path / "shallow"))
    found = read_history(open_repository(str(tmp_path / "shallow")), None, 100)
    assert found.commits
    beyond = [commit for commit in found.commits if commit.why_not]
    assert beyond
    assert all("--unshallow" in commit.why_not and not commit.base for commit in beyond)


def test_a_repository_with_long_ids_is_read(make_repo):
    long = make_repo("long", "--object-format=sha256")
    long.commit({"a.py": "x = 1\n"})
    (commit,) = read_history(open_repository(str(long.path)), None, 10).commits
    assert len(commit.sha) == len(commit.base) == len(commit.tree) == 64


def test_a_message_or_author_that_looks_like_a_header_changes_nothing(repo):
    repo.commit({"a.py": "x = 1\n"})
    repo.commit({"a.py": "x = 2\n"}, "\x1b[2J\n\ntree 0000\nparent 0000\nparent 1111")
    found = read_history(open_repository(str(repo.path)), None, 10)
    assert [commit.tree for commit in found.commits] == [
        repo.git("rev-parse", f"{sha}^{{tree}}").strip() for sha in repo.git("rev-list", "HEAD").split()
    ]


# ---- in processes


def test_several_processes_give_what_one_gives(clinic):
    one, three = (
        {sha: replace(record, seconds=0) for sha, record in replayed(clinic, jobs).items()} for jobs in (1, 3)
    )
    assert one == three
    assert len(one) == 5


def test_a_commit_is_judged_as_the_command_for_one_commit_judges_it(clinic):
    for sha, record in replayed(clinic, 2).items():
        judged = judge_commit(open_repository(str(clinic.path)), sha, fresh=True)
        assert replace(record, seconds=0) == record_of(judged, Config(), seconds=0)


def test_the_configuration_of_now_counts_not_that_of_the_commit(clinic):
    clinic.commit({"agentreview.toml": "[packs]\nhipaa = 'off'\n"})
    clinic.commit({"clinic/again.py": BAD["clinic/views.py"]})
    newest = clinic.git("rev-parse", "HEAD").strip()
    assert any(tally.rule == RULE for tally in replayed(clinic)[newest].tallies)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_process_that_dies_costs_only_the_commit_it_had(clinic, jobs, monkeypatch):
    victim = clinic.git("rev-parse", "main~1").strip()
    real = replaying.judge
    monkeypatch.setattr(replaying, "judge", lambda g, c: os._exit(9) if c.sha == victim else real(g, c))
    records = replayed(clinic, jobs)
    assert len(records) == 5
    assert {sha for sha, record in records.items() if record.failed} == {victim}
    assert "ended unexpectedly (status 9)" in records[victim].failed


def test_a_bug_costs_only_its_commit_and_is_said(clinic, monkeypatch):
    victim = clinic.git("rev-parse", "main~1^{tree}").strip()
    real = replaying.changes

    def broken(repo: Any, base: str, tree: str, **options: Any) -> Any:
        if tree == victim:
            raise KeyError(tree)
        return real(repo, base, tree, **options)

    monkeypatch.setattr(replaying, "changes", broken)
    failed = [record.failed for record in replayed(clinic, 2).values() if record.failed]
    assert len(failed) == 1
    assert failed[0].startswith("a bug in agentreview (KeyError): agentreview --commit ")


def test_an_interrupt_leaves_no_process_behind(clinic, monkeypatch):
    monkeypatch.setattr(replaying, "judge", lambda g, c: time.sleep(60))
    started: list[int] = []
    real = replaying._Worker.__init__

    def noted(self: Any, *args: Any) -> None:
        real(self, *args)
        started.append(self.process.pid)

    monkeypatch.setattr(replaying._Worker, "__init__", noted)

    def interrupted(_pipes: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("multiprocessing.connection.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replayed(clinic, 3)
    assert len(started) == 3
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


# ---- what is kept

names = st.text(st.characters(max_codepoint=0xD7FF) | st.characters(min_codepoint=0xDC80), max_size=8)
counts = st.integers(0, 10**6)
samples = st.builds(Sample, path=names, line=counts, unit=names, message=names, status=names)
tallies = st.builds(
    Tally, rule=names, blocking=counts, advisory=counts, waived=counts, questions=counts,
    needs=st.lists(st.tuples(names, counts), max_size=2).map(tuple), samples=st.lists(samples, max_size=2).map(tuple),
)  # fmt: skip
records = st.builds(
    Record, tallies=st.lists(tallies, max_size=2).map(tuple), files=counts, failed=names,
    skipped=st.lists(st.tuples(names, counts), max_size=2).map(tuple), seconds=st.floats(0, 1e6),
)  # fmt: skip
RECORD = Record(tallies=(Tally(rule=RULE, blocking=1, samples=(Sample(path="a.py", line=1, unit="f", message="m", status="blocking"),)),), files=1)  # fmt: skip


@given(records)
@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
def test_a_record_reads_back_as_it_was_written(record):
    assert from_json(json.loads(json.dumps(to_json(record)))) == record


def kept(folder: Path, **other: str) -> Kept:
    return Kept(**{"store_dir": str(folder), "version": "1.0", "configuration": "b2:0", **other})


def only(folder: Path) -> Path:
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


def test_a_record_is_found_again_by_the_same_change_configuration_and_version_only(tmp_path):
    assert kept(tmp_path).save("1" * 40, "2" * 40, RECORD) is None
    assert kept(tmp_path).load("1" * 40, "2" * 40) == RECORD
    assert kept(tmp_path).load("2" * 40, "1" * 40) is None
    assert kept(tmp_path, configuration="b2:1").load("1" * 40, "2" * 40) is None
    assert kept(tmp_path, version="1.1").load("1" * 40, "2" * 40) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data.replace(b'"blocking":1', b'"blocking":0'),
        lambda data: data + b" ",
        lambda data: b"\xff\n{}",
        lambda data: data.partition(b"\n")[2],
    ],
)
def test_a_damaged_record_is_none(tmp_path, damage):
    kept(tmp_path).save("1" * 40, "2" * 40, RECORD)
    path = only(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert kept(tmp_path).load("1" * 40, "2" * 40) is None


def test_a_link_or_a_pipe_in_place_of_a_record_is_none(tmp_path):
    kept(tmp_path).save("1" * 40, "2" * 40, RECORD)
    path = only(tmp_path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert kept(tmp_path).load("1" * 40, "2" * 40) is None
    path.unlink()
    os.mkfifo(path)
    assert kept(tmp_path).load("1" * 40, "2" * 40) is None


def test_what_could_not_be_reviewed_is_tried_again(tmp_path):
    assert kept(tmp_path).save("1" * 40, "2" * 40, replace(RECORD, failed="a file took too long")) is None
    assert not list(tmp_path.iterdir())


def test_a_store_that_takes_nothing_is_a_warning(tmp_path):
    (tmp_path / "learn").write_text("in the way")
    assert str(tmp_path) in str(kept(tmp_path).save("1" * 40, "2" * 40, RECORD))


def test_the_oldest_records_go(tmp_path):
    for number in range(6):
        kept(tmp_path, version=f"1.{number % 2}").save(f"{number}" * 40, "2" * 40, RECORD)
        for path in (tmp_path / "learn").rglob("*"):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 10))
    kept(tmp_path).prune(keep=1)
    assert only(tmp_path).parent.name == "1.1"
    assert kept(tmp_path, version="1.1").load("5" * 40, "2" * 40) == RECORD


def test_a_record_counts_what_the_verdict_holds_and_not_old_debt():
    findings = (
        finding(fingerprint="b2:1"),
        finding(fingerprint="b2:2", status=Status.ADVISORY),
        finding(fingerprint="b2:3", status=Status.EXISTING),
        waived(fingerprint="b2:4"),
        finding(fingerprint="b2:5", rule="data.audit-removed", status=Status.EXISTING),
    )
    failed = run(outcome=Outcome.FAILED, reason="a.py: not checked within 5 s")
    answer = verdict(*findings, skipped=(skipped(), skipped("a.go"), skipped("b.bin", "binary")), runs=(run(), failed))
    record = record_of(answer, Config(), seconds=1.23456)
    (tally,) = record.tallies
    assert (tally.rule, tally.blocking, tally.advisory, tally.waived) == (RULE, 1, 1, 1)
    assert [sample.status for sample in tally.samples] == ["blocking", "advisory"]
    assert record.skipped == (("binary", 1), ("language", 2))
    assert record.failed == "a.py: not checked within 5 s"
    assert record.seconds == 1.235


def test_a_question_is_what_only_facts_keep_from_blocking():
    suspect = finding(hit=Hit.SUSPECT, confidence=Confidence.MEDIUM, status=Status.ADVISORY, needs=("audit.calls",))
    for toml, expected in (("", 1), ('block_at = "critical"\n', 0), ('[packs]\nhipaa = "advisory"\n', 0)):
        (tally,) = record_of(verdict(suspect), config(toml), seconds=0).tallies
        assert tally.questions == expected
        assert tally.needs == ((("audit.calls", 1),) if expected else ())
    (tally,) = record_of(verdict(replace(suspect, confidence=Confidence.HIGH)), Config(), seconds=0).tallies
    assert tally.questions == 0


def test_a_huge_commit_keeps_few_samples():
    many = verdict(*(finding(fingerprint=f"b2:{n}", start_line=n, message="m" * 10_000) for n in range(500)))
    record = record_of(many, Config(), seconds=0)
    assert record.tallies[0].blocking == 500
    assert len(record.tallies[0].samples) == SAMPLES
    assert len(json.dumps(to_json(record))) < 10_000


# ---- what it adds up to


def report(*found: Record, settings: str = "", known: int = 0) -> Report:
    commits = tuple(Commit(sha=f"{n:040x}", base="1" * 40, tree="2" * 40) for n in range(len(found)))
    history = History(source="HEAD", commits=commits, more=False)
    by_commit = {commit.sha: record for commit, record in zip(commits, found, strict=True)}
    return add_up(history, by_commit, load().policies, config(settings), version="0.1.0", known=known)


def tally(blocking: int = 0, advisory: int = 0, *, rule: str = RULE, path: str = "a.py", **other: Any) -> Tally:
    states = ["blocking"] * blocking + ["advisory"] * advisory
    shown = tuple(Sample(path=path, line=n, unit="f", message="says", status=s) for n, s in enumerate(states, 1))
    return Tally(rule=rule, blocking=blocking, advisory=advisory, samples=shown, **other)


def found(*tallies_: Tally, **other: Any) -> Record:
    return Record(**{"tallies": tallies_, "files": 1, "seconds": 0.1, **other})


def test_every_commit_is_counted_once():
    added = report(
        found(tally(1, 1)),
        found(tally(0, 2)),
        found(),
        found(files=0),
        found(files=0, failed="no parent"),
        found(tally(1), failed="one file of it"),
    )
    assert (added.blocked, added.advised, added.silent, added.unread, added.unreviewed) == (2, 1, 1, 1, 1)
    assert added.commits == 6
    assert added.judged == 5
    assert [reason for _, reason in added.failed] == ["no parent", "one file of it"]


def test_a_policy_counts_commits_and_findings():
    added = report(found(tally(2, 1)), found(tally(0, 3)), found(tally(1, rule="data.audit-removed")))
    first, second, *_ = added.alarmed
    assert (first.id, first.blocked, first.advised, first.blocking, first.advisory) == (RULE, 1, 1, 2, 4)
    assert (second.id, second.blocked) == ("data.audit-removed", 1)
    assert len(added.policies) == len(load().policies)
    assert RULE not in silent(added)


def test_samples_come_from_as_many_commits_as_possible_and_what_blocks_comes_first():
    noisy = [found(tally(9, 9)) for _ in range(3)]
    shown = report(*noisy, found(tally(0, 1))).policies[0].samples
    assert len(shown) == 10
    assert len({sha for sha, _ in shown[:3]}) == 3
    assert all(sample.status == "blocking" for _, sample in shown)
    assert [sha for sha, _ in report(found(tally(0, 1)), found(tally(1))).policies[0].samples] == [
        f"{1:040x}",
        f"{0:040x}",
    ]


def test_a_policy_that_is_off_is_not_among_those_that_found_nothing():
    added = report(found(), settings='[policies]\n"hipaa.audit-phi-read" = "off"\n')
    assert off(added) == (RULE,)
    assert RULE not in silent(added)


def test_the_cost_is_the_median_the_95th_percentile_and_the_sum():
    added = report(*(found(seconds=float(n)) for n in range(1, 101)), found(seconds=0.0))
    assert (added.cost.median, added.cost.p95, added.cost.total) == (50.5, 95.0, 5050.0)
    assert [took for _, took in added.cost.slowest] == [100.0, 99.0, 98.0]


# ---- what is proposed


def never() -> Detection:
    raise AssertionError("nothing was to be detected")


def seen(fact: str, *values: str, text: str = "def audit_log(…):") -> Callable[[], Detection]:
    hits = tuple(Found(value=value, count=1, path="clinic/audit.py", line=3, text=text) for value in values)
    return lambda: Detection(facts=((fact, hits),) if hits else ())


def settings_of(toml: str, path: str = "agentreview.toml") -> Config:
    table = ("tool", "agentreview") if path == "pyproject.toml" else ()
    return parse_config(toml.encode(), path=path, known_policies=load().ids(), table=table)


def test_a_policy_that_blocks_a_lot_is_proposed_to_start_as_advice_with_the_evidence():
    added = report(*[found(tally(1, path="clinic/views.py"))] * 3, *[found()] * 40)
    toml = snippet(propose(added, never), Config())
    assert dict(settings_of(toml).policies)[RULE].value == "advisory"
    assert "blocks 3 of 43 commits (7.0 %)" in toml
    assert f"{0:012x} clinic/views.py:1" in toml


@pytest.mark.parametrize(
    ("blocked", "silent_", "settings"),
    [(2, 3, ""), (3, 57, ""), (3, 3, f'[policies]\n"{RULE}" = "advisory"\n'), (0, 50, "")],
    ids=["too few to say", "not often", "advice already", "never"],
)
def test_nothing_is_proposed_without_reason(blocked, silent_, settings):
    added = report(*[found(tally(1))] * blocked, *[found()] * silent_, settings=settings)
    assert propose(added, never) == ()
    assert snippet((), Config()) == ""


def asking(**needs: int) -> Record:
    pairs = tuple((name.replace("_", ".", 1), number) for name, number in needs.items())
    return found(tally(0, 2, questions=2, needs=pairs))


def test_a_fact_that_questions_rest_on_is_proposed_with_the_value_and_place_that_were_detected():
    added = report(*[asking(audit_calls=2)] * 3, *[found()] * 10)
    toml = snippet(propose(added, seen("audit.calls", "audit_log", "record")), Config())
    assert settings_of(toml).facts.audit.calls == ("audit_log", "record")
    assert f"# 6 questions in 3 of 13 commits rest on facts.audit.calls, of {RULE}" in toml
    assert "# clinic/audit.py:3 def audit_log" in toml


def test_a_fact_that_nothing_shows_is_a_comment_to_fill_in():
    added = report(*[asking(tenant_isolation=1)] * 3)
    toml = snippet(propose(added, seen("tenant.isolation")), Config())
    assert settings_of(toml).facts.tenant.isolation == ""
    assert '# isolation = "row" | "rls"' in toml
    assert "nothing was detected" in toml


@pytest.mark.parametrize(
    ("fact", "values", "read"),
    [
        ("tenant.isolation", ("rls", "row"), lambda facts: facts.tenant.isolation == "rls"),
        ("tenant.key", ("org_id",), lambda facts: facts.tenant.key == "org_id"),
        (
            "audit.automatic",
            ("signals:Patient", "triggers:Visit"),
            lambda facts: [one.how for one in facts.audit.automatic] == ["signals", "triggers"],
        ),
        ("frameworks", ("django",), lambda facts: facts.frameworks == ("django",)),
    ],
)
def test_every_kind_of_fact_becomes_valid_toml(fact, values, read):
    toml = snippet(propose(report(*[asking(**{fact.replace(".", "_", 1): 1})] * 3), seen(fact, *values)), Config())  # fmt: skip
    assert read(settings_of(toml).facts)


def test_questions_about_facts_that_nobody_confirmed_ask_for_a_person():
    """Some rest on facts that are set; a policy that names none rests on the project as a whole."""
    asked = [found(tally(0, 1, questions=1), tally(0, 1, rule=WITHOUT_NEEDS, questions=1))] * 3
    toml = snippet(propose(report(*asked), never), Config())
    assert settings_of(toml).facts.confirmed == ()
    for fact in NEEDS:
        assert f'# "{fact}" = "you@example.com"' in toml
    assert '# confirmed_by = "you@example.com"' in toml
    uncommented = re.sub(r'^# (?=["\w.]+ = )', "", toml, flags=re.MULTILINE)
    settled = settings_of(uncommented)
    assert settled.facts.confirmed_by == "you@example.com"
    assert dict(settled.facts.confirmed) == dict.fromkeys(NEEDS, "you@example.com")


def test_a_question_about_the_gate_itself_waits_for_no_fact():
    asked = finding(rule="conduct.gate-tampered", hit=Hit.SUSPECT, confidence=Confidence.MEDIUM, status=Status.ADVISORY)
    (counted,) = record_of(verdict(asked), Config(), seconds=0).tallies
    assert (counted.advisory, counted.questions) == (1, 0)


def test_the_tables_are_those_of_the_file_that_configures_the_project():
    settings = config("block_at = 'high'\n", path="pyproject.toml")
    settings = replace(settings, path="pyproject.toml")
    toml = snippet(propose(report(*[found(tally(1))] * 3), never), settings)
    assert "[tool.agentreview.policies]" in toml
    assert dict(settings_of(toml, "pyproject.toml").policies)[RULE].value == "advisory"


def test_names_from_the_repository_cannot_leave_their_comment_or_string():
    hostile = 'a.py\n[policies]\n"hipaa.audit-phi-read" = "off" # \x1b[2J\u202e"'
    added = report(*[replace(found(tally(1, path=hostile)), tallies=(tally(1, path=hostile), tally(0, 1, rule="data.audit-removed", questions=1, needs=(("audit.calls", 1),))))] * 3)  # fmt: skip
    toml = snippet(propose(added, seen("audit.calls", 'x"\\', hostile, text=hostile)), Config())
    parsed = settings_of(toml)
    assert dict(parsed.policies)[RULE].value == "advisory"
    assert parsed.facts.audit.calls == ('x"\\',)
    assert toml.replace("\n", "").isprintable()


# ---- in words

HOSTILE = found(tally(1, path="a\x1b[2J\n::error::b\u202e.py"), failed="git said \x1b]0;title\x07")


@pytest.mark.parametrize("render", [lambda r: terminal(r, ""), lambda r: markdown(r, "")], ids=["terminal", "markdown"])
def test_whatever_comes_from_the_repository_is_escaped(render):
    text = render(report(HOSTILE))
    assert text.replace("\n", "").isprintable()
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())
    assert r"a\x1b[2J\x0a" in text


def test_a_terminal_of_80_columns_holds_every_line():
    rules = sorted(load().ids())
    long = tuple(tally(5, 5, rule=rule, path="very/" * 30 + "long.py", questions=300) for rule in rules)
    text = terminal(report(*[found(*long, failed="because " * 40)] * 200), "", width=80, samples=10)
    assert max(map(len, text.splitlines())) <= 80
    assert all(rule in text for rule in rules)


def test_a_fence_in_markdown_cannot_be_closed_from_inside():
    text = markdown(report(found(tally(1, path="````\n# owned"))), "")
    assert "`````text" in text
    assert "\n# owned" not in text


def test_a_report_without_alarms_says_that_nothing_is_proposed():
    text = terminal(report(found(), found(files=0)), "")
    assert "Nothing is proposed" in text
    assert "nothing was found" in text
    assert "hold nothing that is read" in text


def test_a_report_on_nothing_that_could_be_reviewed_does_not_sound_clean():
    text = terminal(report(found(files=0, failed="its parent is gone")), "")
    assert "could not be reviewed" in text
    assert "its parent is gone" in text
    assert "no policy blocks more" not in text
