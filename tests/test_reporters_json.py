"""The JSON report holds the whole verdict, reads back exactly, and accepts nothing it would not write."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agentreview.model import (
    AgentRun,
    CommitSeen,
    Confidence,
    Cover,
    Coverage,
    Decision,
    Evidence,
    Finding,
    Hit,
    Origin,
    Outcome,
    RefusedReceipt,
    Rule,
    Severity,
    Skipped,
    Status,
    Verdict,
    Waiver,
)
from agentreview.reporters.jsonreport import dumps, loads, render, to_json
from agentreview.reporters.summary import BEYOND
from factories import finding, rule, run, skipped, verdict, waived

SCHEMA = json.loads(resources.files("agentreview").joinpath("schemas/report-1.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)

# Any text that comes from decoding bytes: low surrogates stand for bytes that are not UTF-8, high ones cannot occur.
text = st.text(st.characters(max_codepoint=0xD7FF) | st.characters(min_codepoint=0xDC80), max_size=12)
path = st.binary(max_size=12).map(lambda data: data.decode("utf-8", "surrogateescape"))
line = st.integers(0, 10**6)
seconds = st.floats(0, allow_nan=False, allow_infinity=False)


def many(strategy):
    return st.lists(strategy, max_size=2).map(tuple)


evidence = st.builds(Evidence, path=path, line=line, shows=text, quote=text)
waiver = st.builds(
    Waiver, rule=text, path=path, line=line, reason=text, added_here=st.booleans(), source=st.sampled_from(["comment", "file"]),
    person=text, created=text, expires=text, approved_by=text,
)  # fmt: skip
findings = st.builds(
    Finding,
    fingerprint=text,
    rule=text,
    title=text,
    severity=st.sampled_from(Severity),
    confidence=st.sampled_from(Confidence),
    hit=st.sampled_from(Hit),
    origin=st.sampled_from(Origin),
    status=st.sampled_from(Status),
    agent=text,
    path=path,
    start_line=line,
    end_line=line,
    unit=text,
    message=text,
    excerpt=text,
    fix=text,
    side=st.sampled_from(["after", "before"]),
    why=text,
    cwe=many(text),
    references=many(text),
    evidence=many(evidence),
    needs=many(text),
    frame=many(st.tuples(line, text)),
    waiver=st.none() | waiver,
)
runs = st.builds(
    AgentRun,
    agent=text,
    digest=text,
    outcome=st.sampled_from(Outcome),
    required=st.booleans(),
    reason=text,
    cached=st.booleans(),
    seconds=seconds,
    rules=many(text),
)
rules = st.builds(
    Rule,
    id=text,
    title=text,
    severity=st.sampled_from(Severity),
    pack=text,
    why=text,
    fix=text,
    help=text,
    cwe=many(text),
    references=many(text),
)
coverages = st.builds(
    Coverage,
    required=text,
    signers=line,
    commits=many(
        st.builds(
            CommitSeen, oid=text, subject=text, cover=st.none() | st.sampled_from(Cover), why=text, receipt=text, signed_by=text,
            other_settings=st.booleans(),
        )
    ),
    refused=many(st.builds(RefusedReceipt, id=text, why=text)),
    notes=many(text),
)  # fmt: skip
verdicts = st.builds(
    Verdict,
    decision=st.sampled_from(Decision),
    base=text,
    tree=text,
    findings=many(findings),
    runs=many(runs),
    skipped=many(st.builds(Skipped, path=path, reason=text, detail=text)),
    rules=many(rules),
    notes=many(text),
    until=text,
    configuration=text,
    configured_in=text,
    coverage=st.none() | coverages,
    files=line,
    worktree=st.none() | path,
    branch=st.none() | path,
    source=text,
    version=text,
    cached=st.booleans(),
    seconds=seconds,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(verdicts)
def test_every_verdict_reads_back_equal_in_both_layouts_and_fits_the_schema(subject):
    for written in (dumps(subject), render(subject)):
        assert written.isascii()
        again = loads(written)
        assert again == subject
        assert again.seconds == subject.seconds
        assert hash(again) == hash(subject)
    assert dumps(loads(dumps(subject))) == dumps(subject)
    VALIDATOR.validate(to_json(subject))


def test_every_field_of_every_value_is_in_the_report():
    """A field added to the model and forgotten here would be lost in the store."""
    seen = CommitSeen(oid="1" * 40, subject="x", cover=None, why="no receipt")
    gone = RefusedReceipt(id="0" * 64, why="changed")
    full = verdict(
        waived(evidence=(Evidence(path="a", line=1, shows="s"),)),
        runs=(run(),),
        skipped=(skipped(),),
        rules=(rule(),),
        coverage=Coverage(required="report", signers=0, commits=(seen,), refused=(gone,)),
    )
    report = to_json(full)
    for value, written in (
        (full.findings[0], report["findings"][0]),
        (full.findings[0].waiver, report["findings"][0]["waiver"]),
        (full.findings[0].evidence[0], report["findings"][0]["evidence"][0]),
        (full.runs[0], report["runs"][0]),
        (full.skipped[0], report["skipped"][0]),
        (full.rules[0], report["rules"][0]),
        (seen, report["coverage"]["commits"][0]),
        (gone, report["coverage"]["refused"][0]),
    ):
        assert set(written) == set(type(value).__dataclass_fields__)
    renamed = {"files": "files_reviewed", "version": "tool"}
    assert {renamed.get(name, name) for name in Verdict.__dataclass_fields__} <= set(report)


def test_the_report_has_the_documented_keys_and_counts():
    report = to_json(
        verdict(
            finding(),
            finding(status=Status.ADVISORY),
            finding(status=Status.EXISTING, origin=Origin.EXISTING),
            waived(),
            skipped=(skipped(),),
            files=3,
        )
    )
    assert list(report) == [
        *("schema", "tool", "decision", "exit_code", "base", "tree", "source", "worktree", "branch", "files_reviewed"),
        *("summary", "findings", "runs", "skipped", "rules", "notes"),
        *("until", "configuration", "configured_in", "coverage", "cached", "seconds", "not_shown"),
    ]
    assert report["schema"] == "agentreview/report/1"
    assert report["not_shown"] == list(BEYOND)
    assert report["tool"] == {"name": "agentreview", "version": "0.1.0"}
    assert (report["decision"], report["exit_code"]) == ("block", 1)
    assert report["summary"] == {"blocking": 1, "advisory": 1, "waived": 1, "existing": 1, "skipped": 1}
    assert report["findings"][0]["frame"][2] == [14, "    patient = Patient.objects.get(pk=pk)"]


@pytest.mark.parametrize(("decision", "code"), [(Decision.PASS, 0), (Decision.BLOCK, 1), (Decision.INCOMPLETE, 3)])
def test_the_exit_code_is_the_process_s(decision, code):
    assert to_json(verdict(decision=decision))["exit_code"] == code


def test_a_cached_report_repeats_the_recorded_times_and_differs_only_in_saying_so():
    first = verdict(finding(), seconds=0.123, runs=(run(seconds=0.1),))
    stored = loads(dumps(first))
    answers = {dumps(replace(stored, cached=True)) for _ in range(3)}
    assert answers == {dumps(first).replace('"cached":false,"seconds":0.123', '"cached":true,"seconds":0.123')}


def change(report, *keys, to):
    """``report`` with one value replaced, as text."""
    copy = json.loads(json.dumps(report))
    place = copy
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    return json.dumps(copy)


REPORT = to_json(verdict(finding(), runs=(run(),), skipped=(skipped(),)))


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        json.dumps(REPORT)[:-1],
        json.dumps(REPORT) + "x",
        json.dumps(REPORT).replace('"base":', '"base": "x", "base":', 1),
        change(REPORT, "schema", to="agentreview/report/2"),
        change(REPORT, "extra", to=1),
        change(REPORT, "tool", "name", to="other"),
        change(REPORT, "decision", to="pass"),
        change(REPORT, "decision", to="ok"),
        change(REPORT, "decision", to=["block"]),
        change(REPORT, "exit_code", to=0),
        change(REPORT, "exit_code", to=True),
        change(REPORT, "summary", "blocking", to=0),
        change(REPORT, "files_reviewed", to=True),
        change(REPORT, "files_reviewed", to=-1),
        change(REPORT, "files_reviewed", to=1.0),
        change(REPORT, "worktree", to=0),
        change(REPORT, "notes", to="x"),
        change(REPORT, "cached", to=0),
        change(REPORT, "seconds", to="0"),
        change(REPORT, "seconds", to=float("nan")),
        change(REPORT, "seconds", to=10**400),
        json.dumps(REPORT).replace('"seconds": 0.0', '"seconds": 1e999'),
        change(REPORT, "findings", to={}),
        change(REPORT, "findings", 0, to=None),
        change(REPORT, "findings", 0, "severity", to="HIGH"),
        change(REPORT, "findings", 0, "side", to="left"),
        change(REPORT, "findings", 0, "start_line", to="14"),
        change(REPORT, "findings", 0, "frame", to=[[1]]),
        change(REPORT, "findings", 0, "frame", to=[["1", "x"]]),
        change(REPORT, "findings", 0, "waiver", to={}),
        change(REPORT, "findings", 0, "cwe", to=[778]),
        change(REPORT, "runs", 0, "outcome", to="done"),
        change(REPORT, "skipped", 0, "path", to=None),
    ],
)
def test_anything_odd_is_refused(odd):
    with pytest.raises(ValueError, match=r".+"):
        loads(odd)


def test_a_missing_key_is_refused_wherever_it_was():
    def holes(value):
        if isinstance(value, dict):
            for key in value:
                yield {k: v for k, v in value.items() if k != key}
                yield from ({**value, key: inner} for inner in holes(value[key]))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from ([inner, *value[1:]] for inner in holes(value[0]))

    broken = list(holes(REPORT))
    assert len(broken) > 50
    for report in broken:
        with pytest.raises(ValueError, match="report"):
            loads(json.dumps(report))


def test_the_schema_is_valid_and_closed():
    Draft202012Validator.check_schema(SCHEMA)

    def objects(node):
        if isinstance(node, dict):
            if "properties" in node:
                yield node
            for child in node.values():
                yield from objects(child)

    shapes = list(objects(SCHEMA))
    assert len(shapes) == 15
    assert all(shape["additionalProperties"] is False for shape in shapes)
    assert all(shape["required"] == list(shape["properties"]) for shape in shapes)
    assert not VALIDATOR.is_valid({**REPORT, "extra": 1})
