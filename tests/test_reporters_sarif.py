"""SARIF that the official schema accepts, and that no consumer can read as clean when the review was not finished."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from agentreview.model import Decision, Edit, Evidence, Origin, Outcome, Replacement, Severity, Status, Waiver
from agentreview.reporters.sarif import render
from factories import finding, rule, run, skipped, verdict, waived

SCHEMA = json.loads((Path(__file__).parent / "data" / "sarif-schema-2.1.0.json").read_text("utf-8"))
VALIDATOR = Draft4Validator(SCHEMA)


def log(subject):
    """The one run of the rendered log, which the official schema accepts and any UTF-8 reader can read."""
    text = render(subject)
    document = json.loads(text)
    VALIDATOR.validate(document)
    json.dumps(document, ensure_ascii=False).encode("utf-8")  # no lone surrogates
    assert document["version"] == "2.1.0"
    (only,) = document["runs"]
    return only


def result(subject):
    """The only result of a verdict with one finding."""
    (only,) = log(subject)["results"]
    return only


def test_the_schema_is_the_official_one():
    assert SCHEMA["id"] == "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def test_a_finding_carries_rule_place_and_identity():
    found = finding(
        evidence=(Evidence(path="clinic/models.py", line=8, shows="Patient holds PHI", quote="class Patient"),)
    )
    done = log(verdict(found, rules=(rule(id="a.first", title="Another"), rule())))
    assert done["tool"]["driver"]["name"] == "agentreview"
    assert done["tool"]["driver"]["version"] == "0.1.0"
    assert "informationUri" not in done["tool"]["driver"]
    assert done["tool"]["driver"]["rules"][1] == {
        "id": "hipaa.audit-phi-read",
        "shortDescription": {"text": "Reading patient data is audit-logged"},
        "fullDescription": {"text": "Without an entry nobody can tell who saw a record."},
        "help": {
            "text": "Without an entry nobody can tell who saw a record.\n\nFix: Write an audit entry for each access."
            "\n\nReferences: 45 CFR 164.312(b); CWE-778",
            "markdown": "Access to **patient data** leaves an audit entry.",
        },
        "defaultConfiguration": {"level": "error"},
        "properties": {
            "tags": ["security", "hipaa", "external/cwe/cwe-778"],
            "security-severity": "8.0",
            "references": ["45 CFR 164.312(b)"],
        },
    }
    (entry,) = done["results"]
    assert (entry["ruleId"], entry["ruleIndex"], entry["level"]) == ("hipaa.audit-phi-read", 1, "error")
    assert entry["message"]["text"] == (
        "patient_detail reads Patient and writes no audit entry."
        "\n\nFix: Call audit(request.user, 'read', patient) before the response."
    )
    assert entry["partialFingerprints"] == {"agentreview/v1": "b2:9f3c21ab44d0e17755aa01c2d3e4f506"}
    (place,) = entry["locations"]
    assert place["physicalLocation"]["artifactLocation"] == {"uri": "clinic/views.py", "uriBaseId": "%SRCROOT%"}
    assert place["physicalLocation"]["region"]["startLine"] == 14
    assert place["physicalLocation"]["contextRegion"]["startLine"] == 12
    assert place["logicalLocations"] == [{"fullyQualifiedName": "patient_detail", "name": "patient_detail"}]
    assert entry["relatedLocations"][0]["physicalLocation"]["region"]["startLine"] == 8
    assert entry["suppressions"] == []
    assert entry["baselineState"] == "new"


@pytest.mark.parametrize(
    ("severity", "status", "level"),
    [
        (Severity.CRITICAL, Status.BLOCKING, "error"),
        (Severity.HIGH, Status.BLOCKING, "error"),
        (Severity.HIGH, Status.ADVISORY, "warning"),
        (Severity.MEDIUM, Status.BLOCKING, "warning"),
        (Severity.MEDIUM, Status.ADVISORY, "warning"),
        (Severity.LOW, Status.ADVISORY, "note"),
    ],
)
def test_levels_follow_severity_and_advice_is_no_error(severity, status, level):
    assert result(verdict(finding(severity=severity, status=status)))["level"] == level


def test_a_waived_finding_is_suppressed_with_its_reason():
    mine = Waiver(rule="r", path="clinic/views.py", line=13, reason="the middleware audits", added_here=True)
    (suppression,) = result(verdict(waived(waiver=mine)))["suppressions"]
    assert (suppression["kind"], suppression["status"]) == ("inSource", "underReview")
    assert suppression["justification"] == "the middleware audits"
    assert suppression["location"]["physicalLocation"]["region"]["startLine"] == 13
    assert suppression["properties"] == {"addedByThisChange": True, "approvedBy": ""}


def test_a_waiver_of_the_file_is_an_external_suppression_that_is_accepted_once_it_is_settled():
    filed = Waiver(
        rule="r", path=".agentreview/waivers.toml", line=3, reason="audited upstream", source="file",
        person="Dana", created="2026-11-23", expires="2027-02-21",
    )  # fmt: skip
    (old,) = result(verdict(waived(waiver=filed)))["suppressions"]
    assert (old["kind"], old["status"], old["justification"]) == ("external", "accepted", "audited upstream")
    assert (old["properties"]["person"], old["properties"]["expires"]) == ("Dana", "2027-02-21")
    (new,) = result(verdict(waived(waiver=replace(filed, added_here=True))))["suppressions"]
    assert new["status"] == "underReview"
    (signed,) = result(verdict(waived(waiver=replace(filed, added_here=True, approved_by="lee"))))["suppressions"]
    assert (signed["status"], signed["properties"]["approvedBy"]) == ("accepted", "lee")


def test_old_debt_is_unchanged():
    assert result(verdict(finding(status=Status.EXISTING, origin=Origin.EXISTING)))["baselineState"] == "unchanged"


def test_removed_code_is_not_located_by_its_old_line():
    entry = result(verdict(finding(side="before")))
    physical = entry["locations"][0]["physicalLocation"]
    assert physical["region"] == {"startLine": 1, "endLine": 1}
    assert "contextRegion" not in physical
    assert "(line 14 before this change)" in entry["message"]["text"]
    assert entry["properties"]["startLine"] == 14


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (
            Replacement(start=4, end=5, lines=("\ta", "b")),
            {"deletedRegion": {"startLine": 4, "endLine": 5}, "insertedContent": {"text": "\ta\nb"}},
        ),
        (
            Replacement(start=4, end=3, lines=("a",)),
            {
                "deletedRegion": {"startLine": 4, "startColumn": 1, "endLine": 4, "endColumn": 1},
                "insertedContent": {"text": "a\n"},
            },
        ),
        (
            Replacement(start=4, end=4, lines=()),
            {"deletedRegion": {"startLine": 4, "startColumn": 1, "endLine": 5, "endColumn": 1}},
        ),
    ],
)
def test_an_edit_is_a_fix_by_whole_lines(one, expected):
    edit = Edit(path="clinic/a b.py", replacements=(one,), note="proposed by reviewer:x \x1b[2J")
    (fix,) = result(verdict(finding(edit=edit)))["fixes"]
    assert fix["description"]["text"] == "proposed by reviewer:x \\x1b[2J"
    (changed,) = fix["artifactChanges"]
    assert changed["artifactLocation"]["uri"] == "clinic/a%20b.py"
    assert changed["replacements"] == [expected]


def test_a_rule_that_nobody_listed_is_made_from_its_finding():
    done = log(verdict(finding(rule="x.new", title="New")))
    assert [entry["id"] for entry in done["tool"]["driver"]["rules"]] == ["x.new"]


def test_a_path_is_percent_encoded_byte_by_byte():
    name = "a b/c:d%20é\udcff#?.py"
    uri = result(verdict(finding(path=name)))["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "a%20b/c%3Ad%2520%C3%A9%FF%23%3F.py"
    assert unquote_to_bytes(uri) == name.encode("utf-8", "surrogateescape")


def test_an_incomplete_review_is_an_unsuccessful_execution():
    failed = run(agent="tenancy", outcome=Outcome.FAILED, reason="timed out")
    optional = run(agent="reviewer", required=False, outcome=Outcome.SKIPPED, reason="no key")
    done = log(
        verdict(
            decision=Decision.INCOMPLETE, runs=(run(), failed, optional), skipped=(skipped("x y.py", "does not parse"),)
        )
    )
    (invocation,) = done["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["exitCode"] == 3
    assert [
        (note["level"], note["message"]["text"].split(";")[0]) for note in invocation["toolExecutionNotifications"]
    ] == [
        (
            "error",
            "INCOMPLETE: 1 required agent did not finish (tenancy), so this is not a pass."
            " Run `agentreview run` to finish the review.",
        ),
        ("error", "agent tenancy failed: timed out"),
        ("note", "agent reviewer skipped: no key"),
        ("warning", "x y.py was not reviewed: does not parse"),
    ]
    place = invocation["toolExecutionNotifications"][-1]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "x%20y.py"
    assert done["results"] == []


def test_incomplete_without_a_failed_run_is_unsuccessful_too():
    assert log(verdict(decision=Decision.INCOMPLETE))["invocations"][0]["executionSuccessful"] is False


@pytest.mark.parametrize("findings", [(), (finding(),)])
def test_a_finished_review_is_a_successful_execution_whatever_it_found(findings):
    (invocation,) = log(verdict(*findings, skipped=(skipped(),)))["invocations"]
    assert invocation["executionSuccessful"] is True
    assert invocation["exitCode"] == len(findings)


def test_a_message_cannot_plant_a_link_or_control_characters():
    text = result(verdict(finding(message="see [here](https://evil.example)\n\x1b[2J\u202e")))["message"]["text"]
    assert text.startswith("see [here] (https://evil.example)\n\\x1b[2J\\u202e")


def test_a_finding_about_a_whole_file_still_has_a_region():
    physical = result(verdict(finding(start_line=0, end_line=0, frame=())))["locations"][0]["physicalLocation"]
    assert physical["region"]["startLine"] == 1


anything = st.text(st.characters(exclude_categories=()), max_size=10)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_the_text_the_official_schema_accepts_the_log(data):
    def draw():
        return data.draw(anything)

    found = finding(
        rule=draw(),
        title=draw(),
        path=draw(),
        unit=draw(),
        message=draw(),
        excerpt=draw(),
        fix=draw(),
        why=draw(),
        cwe=(draw(), draw()),
        references=(draw(),),
        needs=(draw(),),
        evidence=(Evidence(path=draw(), line=data.draw(st.integers(0, 9)), shows=draw(), quote=draw()),),
        start_line=data.draw(st.integers(0, 30)),
        end_line=data.draw(st.integers(0, 30)),
        side=data.draw(st.sampled_from(["after", "before"])),
    )
    log(
        verdict(
            found,
            skipped=(skipped(draw(), draw(), draw()),),
            notes=(draw(),),
            runs=(run(agent=draw(), outcome=Outcome.FAILED, reason=draw()),),
        )
    )
