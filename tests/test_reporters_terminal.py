"""The terminal report alone is enough to fix a blocked commit, and never looks cleaner than the verdict."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from agentreview.model import Confidence, Decision, Evidence, Hit, Origin, Outcome, Severity, Status, Waiver
from agentreview.reporters.terminal import render
from factories import finding, run, skipped, verdict, waived

SECRET = finding(
    fingerprint="b2:77ab00000000000000000000000000ff",
    rule="secrets.hardcoded",
    title="Credentials are not in the source",
    severity=Severity.CRITICAL,
    path="web/client.ts",
    unit="",
    start_line=3,
    end_line=3,
    message="A live API key is written into the source.",
    excerpt="\tconst key = load('sk_live_…');",
    frame=((2, "export function client() {"), (3, "\tconst key = load('sk_live_…');"), (4, "}")),
    why="Whoever reads the repository can use it.",
    fix="Read it from the environment, and revoke this one.",
    cwe=("CWE-798",),
    references=(),
)
TENANT = finding(
    fingerprint="b2:51d20000000000000000000000000001",
    rule="tenancy.query-scope",
    title="Queries are scoped to the tenant",
    severity=Severity.MEDIUM,
    confidence=Confidence.MEDIUM,
    hit=Hit.SUSPECT,
    status=Status.ADVISORY,
    message="Visit is read without the tenant key.",
    needs=("Confirm that Visit belongs to a tenant: [facts.tenancy] models in agentreview.toml.",),
)
OLD = finding(fingerprint="b2:0001", rule="access.endpoint-auth", origin=Origin.EXISTING, status=Status.EXISTING)


def test_a_blocked_commit_in_full():
    """What, where, the code, why with its citation, how to fix, explain and waive it; worst file first."""
    audit = finding(
        evidence=(Evidence(path="clinic/models.py", line=8, shows="Patient holds PHI", quote="class Patient(Model):"),),
    )
    report = render(
        verdict(
            OLD,
            audit,
            TENANT,
            SECRET,
            waived(start_line=40, unit="export"),
            skipped=(skipped("README.md"), skipped("clinic/broken.py", "does not parse", "line 7")),
            notes=("No audit call is configured: [facts.audit] calls in agentreview.toml.",),
            files=5,
        ),
        width=90,
    )
    assert (
        report
        == """\
web/client.ts
  CRITICAL secrets.hardcoded: Credentials are not in the source [blocking]
  web/client.ts:3

      2 | export function client() {
    > 3 |     const key = load('sk_live_…');
      4 | }

    A live API key is written into the source.
    why: Whoever reads the repository can use it. [CWE-798]
    fix: Read it from the environment, and revoke this one.
    explain: agentreview explain b2:77ab0000
    waive: // agentreview: ignore[secrets.hardcoded] <reason>   (on line 3 or the line above)

clinic/views.py
  HIGH hipaa.audit-phi-read: Reading patient data is audit-logged [blocking]
  clinic/views.py:14 in patient_detail

      12 | @login_required
      13 | def patient_detail(request, pk):
    > 14 |     patient = Patient.objects.get(pk=pk)
      15 |     return render(request, "patient.html", {"patient": patient})

    patient_detail reads Patient and writes no audit entry.
    why: Without an entry nobody can tell who saw a record. [45 CFR 164.312(b); CWE-778]
    fix: Call audit(request.user, 'read', patient) before the response.
    evidence: clinic/models.py:8 Patient holds PHI `class Patient(Model):`
    explain: agentreview explain b2:9f3c21ab
    waive: # agentreview: ignore[hipaa.audit-phi-read] <reason>   (on line 14 or the line above)

  medium tenancy.query-scope  clinic/views.py:14 in patient_detail  [advisory, suspect, b2:51d20000]
    Visit is read without the tenant key.

Waived (1)
  high hipaa.audit-phi-read  clinic/views.py:40 in export: the middleware audits

Not reviewed (2 files)
  README.md: language
  clinic/broken.py: does not parse (line 7)

note: No audit call is configured: [facts.audit] calls in agentreview.toml.

2 blocked, 1 advisory, 1 waived, 1 existing, 2 skipped, 5 files reviewed
BLOCKED: 2 findings must be cleared before this commit (1 critical secrets, 1 high hipaa)
"""
    )


def test_an_incomplete_review_in_full():
    report = render(
        verdict(
            decision=Decision.INCOMPLETE,
            runs=(
                run(),
                run(agent="reviewer", required=False, outcome=Outcome.SKIPPED, reason="no API key"),
                run(agent="tenancy", outcome=Outcome.FAILED, reason="timed out after 20 s"),
            ),
        )
    )
    assert (
        report
        == """\
Did not finish (2 agents)
  tenancy (required) failed: timed out after 20 s
    run `agentreview run` to try again; `agentreview doctor` checks the set-up
  reviewer (not required) skipped: no API key
    it did not look at this change; `agentreview doctor` says what it needs to run

0 blocked, 0 advisory, 0 waived, 0 existing, 0 skipped, 1 file reviewed
INCOMPLETE: 1 required agent did not finish (tenancy), so this is not a pass. \
Run `agentreview run` to finish the review.
"""
    )


def test_a_finding_about_removed_code_in_full():
    """The frame shows what was there, and no comment is offered: there is no line to put it on."""
    gone = finding(
        rule="data.audit-removed",
        title="Audit calls are not removed",
        side="before",
        excerpt="    audit(request.user, patient)",
        frame=((13, "def patient_detail(request, pk):"), (14, "    audit(request.user, patient)")),
        message="The audit call of patient_detail was removed.",
    )
    report = render(verdict(gone, source="range main..portal"), width=80)
    assert (
        report
        == """\
clinic/views.py
  HIGH data.audit-removed: Audit calls are not removed [blocking]
  clinic/views.py:14 in patient_detail (as it was before this change)

      13 | def patient_detail(request, pk):
    - 14 |     audit(request.user, patient)

    The audit call of patient_detail was removed.
    why: Without an entry nobody can tell who saw a record. [45 CFR
      164.312(b); CWE-778]
    fix: Call audit(request.user, 'read', patient) before the response.
    explain: agentreview explain b2:9f3c21ab
    waive: agentreview waive b2:9f3c21ab --reason "<why>"

1 blocked, 0 advisory, 0 waived, 0 existing, 0 skipped, 1 file reviewed
BLOCKED: 1 finding must be cleared before this change goes in (1 high data)
"""
    )


@pytest.mark.parametrize(
    ("subject", "line"),
    [
        (verdict(files=0), "PASSED: nothing to review"),
        (verdict(files=1), "PASSED: 1 file reviewed, 0 not reviewed"),
        (verdict(OLD, files=3), "PASSED: 3 files reviewed, 0 not reviewed, 1 existing"),
        (
            verdict(files=3, skipped=(skipped("b.md"), skipped("x.py", "excluded"), skipped())),
            "PASSED: 3 files reviewed, 3 not reviewed (language: 2, excluded: 1; -v lists them)",
        ),
        (
            verdict(files=0, skipped=(skipped(),)),
            "PASSED: no file reviewed, 1 not reviewed (language: 1; -v lists them)",
        ),
    ],
)
def test_a_pass_with_nothing_to_tell_is_one_line_that_counts_what_was_not_read(subject, line):
    assert render(subject) == line + "\n"


def test_quiet_says_nothing_about_a_pass_unless_something_was_not_read():
    assert render(verdict(TENANT, OLD, waived(), notes=("x",)), quiet=True) == ""
    assert render(verdict(TENANT, skipped=(skipped(),)), quiet=True) == (
        "PASSED: 1 file reviewed, 1 not reviewed (language: 1; -v lists them), 1 advisory\n"
    )
    failed = run(agent="reviewer", required=False, outcome=Outcome.FAILED, reason="no answer")
    assert "reviewer (not required) failed: no answer" in render(verdict(runs=(failed,)), quiet=True)


def test_quiet_still_shows_what_blocks_in_full_and_counts_the_rest():
    report = render(verdict(finding(), TENANT, waived()), quiet=True)
    assert "fix: Call audit" in report
    assert "tenancy.query-scope" not in report
    assert "Waived" not in report
    assert "1 blocked, 1 advisory, 1 waived" in report


def test_verbose_shows_advice_in_full_and_old_debt_in_short():
    report = render(verdict(TENANT, OLD), verbose=True)
    assert "  MEDIUM tenancy.query-scope: Queries are scoped to the tenant [advisory, suspect]" in report
    assert "to settle it: Confirm that Visit belongs to a tenant:" in report
    assert "  high access.endpoint-auth  clinic/views.py:14 in patient_detail  [existing, b2:0001]" in report
    assert report.endswith("PASSED: nothing blocks\n")


def test_a_pass_with_advice_shows_the_advice():
    report = render(verdict(TENANT))
    assert "tenancy.query-scope" in report
    assert report.splitlines()[-2:] == [
        "0 blocked, 1 advisory, 0 waived, 0 existing, 0 skipped, 1 file reviewed",
        "PASSED: nothing blocks",
    ]


def test_the_advice_of_a_policy_at_many_places_is_said_once_with_every_place():
    alike = [
        finding(
            status=Status.ADVISORY, fingerprint=f"b2:{n:040x}", start_line=n, end_line=n, unit=f"view{n}", path="a.py"
        )
        for n in range(1, 6)
    ]
    said = verdict(decision=Decision.PASS, findings=tuple(alike))
    shown = " ".join(render(said).split())
    assert (
        "The same policy at 4 more places (-v shows them): line 2 in view2, 3 in view3, 4 in view4, 5 in view5" in shown
    )
    assert shown.count(alike[0].message) == 1
    assert " ".join(render(said, verbose=True).split()).count(alike[0].message) == 5
    assert "5 advisory" in shown
    few = render(verdict(decision=Decision.PASS, findings=tuple(alike[:3])))
    assert "more places" not in few
    blocking = tuple(replace(one, status=Status.BLOCKING) for one in alike)
    assert "more places" not in render(verdict(decision=Decision.BLOCK, findings=blocking))


def test_an_incomplete_verdict_is_never_green_and_never_quiet():
    for subject in (
        verdict(decision=Decision.INCOMPLETE),
        verdict(decision=Decision.INCOMPLETE, runs=(run(outcome=Outcome.SKIPPED, reason="no key"),)),
        verdict(finding(), decision=Decision.INCOMPLETE),
    ):
        for quiet in (True, False):
            report = render(subject, color=True, quiet=quiet)
            assert report.splitlines()[-1].startswith("\x1b[33mINCOMPLETE: ")
            assert "\x1b[32m" not in report
            assert "PASSED" not in report


def test_an_incomplete_verdict_still_shows_what_must_be_cleared():
    report = render(verdict(finding(), decision=Decision.INCOMPLETE))
    assert "fix: Call audit" in report
    assert report.splitlines()[-1] == (
        "INCOMPLETE: something required could not be reviewed, so this is not a pass."
        " 1 finding must be cleared as well. Run `agentreview run` to finish the review."
    )


def test_a_pass_is_green_only_if_something_was_read():
    assert "\x1b[32m" in render(verdict(), color=True)
    assert "\x1b[32m" not in render(verdict(files=0, skipped=(skipped(),)), color=True)


def test_colour_adds_escape_sequences_and_changes_no_character():
    subject = verdict(finding(), TENANT, waived(), skipped=(skipped(),), runs=(run(outcome=Outcome.FAILED),))
    painted = render(subject, color=True)
    assert "\x1b[" in painted
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == render(subject)


def test_a_waiver_that_the_change_itself_adds_is_pointed_out():
    mine = Waiver(
        rule="hipaa.audit-phi-read", path="clinic/views.py", line=13, reason="audited upstream", added_here=True
    )
    assert "patient_detail: audited upstream (added by this change)\n" in render(verdict(waived(waiver=mine)))


def test_a_waiver_of_the_file_is_shown_with_its_person_and_its_end():
    filed = Waiver(
        rule="hipaa.audit-phi-read", path=".agentreview/waivers.toml", line=3, reason="audited upstream", source="file",
        person="Dana <dana@clinic.example>", created="2026-11-23", expires="2027-02-21",
    )  # fmt: skip
    said = "patient_detail: audited upstream (Dana <dana@clinic.example>, until 2027-02-21"
    assert said + ")\n" in render(verdict(waived(waiver=filed)))
    signed = replace(filed, added_here=True, approved_by="lee@clinic.example")
    assert said + ", added by this change, approved by lee@clinic.example)\n" in render(verdict(waived(waiver=signed)))


def test_a_finding_about_a_waiver_offers_no_waiver():
    report = render(verdict(finding(rule="conduct.waiver-added", path=".agentreview/waivers.toml")))
    assert "waive: a person settles it, no waiver does\n" in report


def test_many_skipped_files_are_grouped_and_the_rest_is_counted():
    many = (*(skipped(f"docs/{number}.md") for number in range(25)), skipped("x.py", "does not parse", "line 3"))
    subject = verdict(finding(), skipped=many)
    report = render(subject)
    assert "Not reviewed (26 files)\n  language (25 files)\n    docs/0.md\n" in report
    assert "    docs/9.md\n    … and 15 more (-v lists them)\n  does not parse (1 file)\n    x.py (line 3)\n" in report
    assert all(f"    docs/{number}.md\n" in render(subject, verbose=True) for number in range(25))


def test_a_verdict_from_the_store_says_so():
    assert "1 file reviewed (already judged: from the store)\nBLOCKED:" in render(verdict(finding(), cached=True))


def test_findings_that_share_a_prefix_are_named_apart():
    report = render(verdict(finding(fingerprint="b2:12345678aaaa"), finding(fingerprint="b2:12345678aabb")))
    assert "agentreview explain b2:12345678aaa\n" in report
    assert "agentreview explain b2:12345678aab\n" in report


def test_hostile_text_stays_visible_and_inside_its_place():
    hostile = finding(
        path="a\x1b[31m\n\nPASSED: nothing blocks\u202e\udcff.py",
        unit="f\rg",
        message="first\nPASSED: nothing blocks\n::stop-commands::x\n\x1b]0;title\x07",
        fix="##[add-mask]x",
        excerpt="x = '\u2066admin\u2069'",
        frame=((14, "x = '\u2066admin\u2069' # \x1b[2K"),),
    )
    report = render(verdict(hostile, skipped=(skipped("\x1b[2J.md", "no\nreason"),)), width=80)
    assert r"a\x1b[31m\x0a\x0aPASSED: nothing blocks\u202e\xff.py:14 in f\x0dg" in report
    assert r"    > 14 | x = '\u2066admin\u2069' # \x1b[2K" in report
    assert r"    \x3a:stop-commands::x" in report
    assert r"fix: #\x23[add-mask]x" in report
    assert r"  \x1b[2J.md: no\x0areason" in report
    assert all(char.isprintable() or char == "\n" for char in report)
    assert not [line for line in report.splitlines() if line.startswith("PASSED")]


def test_wide_code_is_cut_to_the_width():
    wide = finding(
        excerpt="value = call(" + "患者, " * 80 + ")",
        frame=((13, "x = " + "1 + " * 200), (14, "value = call(" + "患者, " * 80 + ")")),
        evidence=(Evidence(path="m.js", line=1, shows="minified", quote="a" * 100_000),),
    )
    report = render(verdict(wide), width=60)
    frame = [line for line in report.splitlines() if " | " in line]
    assert frame[0] == "      13 | x = " + "1 + " * 11 + "…"
    assert frame[1].startswith("    > 14 | value = call(患者, 患者")
    assert frame[1].endswith("…")
    assert len(report) < 3000


def test_a_long_frame_is_shown_from_the_finding_on():
    body = tuple((number, f"    step_{number}()") for number in range(1, 201))
    report = render(verdict(finding(start_line=100, end_line=180, frame=body)))
    assert "\n       97 |     step_97()" in report
    assert "    > 100 |     step_100()" in report
    assert "          … 90 more lines" in report
    assert "step_96()" not in report


def test_without_a_frame_the_excerpt_is_shown():
    report = render(verdict(finding(frame=(), excerpt="a = 1\nb = 2", end_line=15)))
    assert "    > 14 | a = 1\n    > 15 | b = 2\n" in report


def test_a_file_without_comments_gets_no_advice_to_write_one():
    report = render(verdict(finding(path="fixtures/patients.json", unit="")))
    assert 'waive: agentreview waive b2:9f3c21ab --reason "<why>"\n' in report
    assert "ignore[" not in report


@pytest.mark.parametrize("reason", ["does not parse", "too large", "generated"])
def test_code_that_could_not_be_reviewed_is_named_on_every_pass(reason):
    """A count is easily overlooked, and this is where something could hide."""
    assert f"app/views.py: {reason}" in render(verdict(files=3, skipped=(skipped("app/views.py", reason),)))
