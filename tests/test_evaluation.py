"""Labelled changes and what is counted of them: every figure checked against one worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agentreview.errors import AgentReviewError, ExitCode
from agentreview.evaluation.cases import Case, Defect, from_directory, from_manifest, from_policies
from agentreview.evaluation.scores import Played, Rate, Shot, score

DEFECT = Defect(group="d", path="app/views.py", lines=(20, 22), rules=("tenancy.query-scope",), unit="show")
BAD = Case(id="bad", defects=(DEFECT,))
GOOD = Case(id="good")
HIT = Shot(rule="tenancy.query-scope", path="app/views.py", line=21, identity="h", agent="reviewer:x", blocking=True)


def played(case: str, *shots: Shot, number: int = 1, **more) -> Played:
    return Played(case=case, number=number, shots=shots, **more)


def test_a_finding_counts_where_the_defect_is_and_for_what_it_is():
    for shot, counts in (
        (HIT, True),
        (replace(HIT, line=32), True),
        (replace(HIT, line=33), False),
        (replace(HIT, line=99, unit="Views.show"), True),
        (replace(HIT, path="app/other.py"), False),
        (replace(HIT, rule="hipaa.audit-phi-read"), False),
    ):
        assert score([BAD], [played("bad", shot)]).recall == Rate(of=1, count=int(counts)), shot


def test_a_weakness_counts_as_well_as_a_rule():
    case = Case(id="bad", defects=(replace(DEFECT, rules=(), cwe=("CWE-639", "CWE-862")),))
    other = replace(HIT, rule="access.object-level", cwe=("CWE-639",))
    assert score([case], [played("bad", other)]).recall.share == 1
    assert score([case], [played("bad", replace(other, cwe=("CWE-89",)))]).recall.share == 0


def test_several_places_of_one_defect_are_one_defect():
    case = Case(id="bad", defects=(DEFECT, replace(DEFECT, lines=(80, 80), unit="")))
    assert score([case], [played("bad", HIT)]).recall == Rate(of=1, count=1)


def test_recall_precision_and_noise_are_what_they_say():
    advice = replace(HIT, blocking=False)
    runs = [played("bad", HIT), played("bad", advice, number=2), played("good"), played("good", HIT, number=2)]
    scores = score([BAD, GOOD], runs)
    assert scores.recall == Rate(of=2, count=1)
    assert scores.recall_shown == Rate(of=2, count=2)
    assert scores.precision == Rate(of=2, count=1)
    assert scores.noise == Rate(of=2, count=1)
    assert score([GOOD], [played("good", advice)]).noise_shown == Rate(of=1, count=1)


def test_a_run_that_did_not_finish_is_no_quiet_run():
    scores = score([BAD, GOOD], [played("bad", failures=("timeout: late",)), played("good")])
    assert (scores.runs, scores.unfinished) == (2, 1)
    assert scores.recall == Rate()
    assert scores.recall.share is None
    assert scores.noise == Rate(of=1, count=0)


def test_a_case_flips_when_what_blocks_it_is_not_the_same_every_time():
    other = replace(HIT, identity="other")
    same = [played("bad", HIT, number=n) for n in (1, 2, 3)]
    assert score([BAD], same).flips == Rate(of=1, count=0)
    assert score([BAD], [*same, played("bad", number=4)]).flips == Rate(of=1, count=1)
    assert score([BAD], [same[0], played("bad", other, number=2)]).flips == Rate(of=1, count=1)
    assert score([BAD], same[:1]).flips == Rate(), "one run cannot flip"
    assert score([BAD], [same[0], played("bad", number=2, failures=("x",))]).flips == Rate()


def test_a_right_claim_that_was_refuted_is_counted_and_does_not_find_anything():
    refuted = replace(HIT, refuted=True, blocking=False)
    wrong = replace(refuted, path="app/other.py")
    scores = score([BAD], [played("bad", HIT), played("bad", refuted, wrong, number=2)])
    assert scores.over_refuted == Rate(of=2, count=1)
    assert scores.recall_shown == Rate(of=2, count=1)


def test_a_claim_without_a_proved_line_is_counted_and_finds_nothing():
    loose = replace(HIT, anchored=False, blocking=False)
    policy = replace(HIT, agent="policy:tenancy", identity="p")
    scores = score([BAD], [played("bad", HIT, loose, policy), played("bad", loose, number=2)])
    assert scores.anchored == Rate(of=3, count=1), "a policy's own line is no claim of a model"
    assert scores.recall_shown == Rate(of=2, count=1)


def test_only_what_a_case_is_about_counts_in_it():
    case = replace(GOOD, about=("hipaa.audit-phi-read",))
    assert score([case], [played("good", HIT)]).noise == Rate(of=1, count=0)
    assert score([case], [played("good", replace(HIT, rule="hipaa.audit-phi-read"))]).noise.count == 1


def test_cost_and_time_are_added_up_whether_a_run_finished_or_not():
    runs = [
        played("bad", requests=2, tokens=100, dollars=0.5, seconds=1.0),
        played("bad", number=2, requests=1, tokens=50, dollars=0.25, seconds=3.0, failures=("timeout: late",)),
        played("good", seconds=2.0),
    ]
    scores = score([BAD, GOOD], runs)
    assert (scores.requests, scores.tokens, scores.dollars) == (3, 150, 0.75)
    assert (scores.seconds, scores.median_seconds) == (6.0, 2.0)


# -- data sets


def write(root, name: str, expected, files=None):
    for path, text in (files or {"after/app.py": "x = 1\n"}).items():
        (root / name / path).parent.mkdir(parents=True, exist_ok=True)
        (root / name / path).write_text(text)
    (root / name / "expected.json").write_text(expected if isinstance(expected, str) else json.dumps(expected))


def test_a_directory_of_cases_is_read(tmp_path):
    place = {"path": "app.py", "lines": [1, 2], "rules": ["tenancy.query-scope"], "cwe": ["CWE-639"], "unit": "f"}
    write(tmp_path, "b-bad", {"defects": [place]}, {"before/app.py": "y\n", "after/app.py": "x\n", "after/a/b.py": ""})
    write(tmp_path, "a-good", {"defects": []})
    good, bad = from_directory(tmp_path)
    assert (good.id, good.defects, dict(good.before)) == ("a-good", (), {})
    assert dict(bad.before) == {"app.py": b"y\n"}
    assert dict(bad.after) == {"app.py": b"x\n", "a/b.py": b""}
    (defect,) = bad.defects
    assert (defect.lines, defect.rules, defect.cwe, defect.unit) == (
        (1, 2),
        ("tenancy.query-scope",),
        ("CWE-639",),
        "f",
    )
    assert [case.id for case in from_directory(tmp_path, ["b-bad"])] == ["b-bad"]


@pytest.mark.parametrize(
    "expected",
    ["", "[]", "{}", '{"defects": [{}]}', '{"defects": [{"path": "a", "rule": "x"}]}', '{"defects": [{"path": "a", "rules": "x"}]}',
     '{"defects": [{"path": "a", "lines": [1]}]}', '{"defects": [{"path": "a", "lines": "12"}'],
)  # fmt: skip
def test_a_label_that_is_not_understood_is_an_error_that_names_the_file(tmp_path, expected):
    write(tmp_path, "one", expected)
    with pytest.raises(AgentReviewError, match=r"one/expected\.json.*It reads") as caught:
        from_directory(tmp_path)
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_case_without_a_change_and_a_directory_without_cases_are_errors(tmp_path):
    with pytest.raises(AgentReviewError, match="holds no case"):
        from_directory(tmp_path)
    write(tmp_path, "one", {"defects": []}, {"before/a.py": "x"})
    with pytest.raises(AgentReviewError, match="no directory after/"):
        from_directory(tmp_path)
    with pytest.raises(AgentReviewError, match="is not a directory"):
        from_directory(tmp_path / "nowhere")


def test_a_link_in_a_case_is_not_followed(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    write(tmp_path / "cases", "one", {"defects": []})
    (tmp_path / "cases" / "one" / "after" / "link.py").symlink_to(tmp_path / "secret.txt")
    (case,) = from_directory(tmp_path / "cases")
    assert list(case.after) == ["app.py"]


def test_the_examples_of_policies_are_cases():
    cases = from_policies(["tenancy.query-scope"])
    assert {case.about for case in cases} == {("tenancy.query-scope",)}
    assert any(case.defects for case in cases)
    assert any(not case.defects for case in cases)
    assert any("agentreview.toml" in case.after for case in from_policies(["tenancy"]))
    with pytest.raises(AgentReviewError, match=r"none of nothing\.like-it"):
        from_policies(["nothing.like-it"])


def test_a_list_labels_repositories_with_a_staged_change(tmp_path):
    rows = [
        {"id": "one", "label": "positive", "class": "tenant_idor", "group": "g", "defect_lines": [
            {"file": "a.py", "line_range_in_new_side": [3, 4], "enclosing": "f"}, {"file": "b.py"}]},
        {"id": "two", "label": "negative", "class": None, "defect_lines": []},
        {"id": "not-there", "label": "negative"},
    ]  # fmt: skip
    manifest = tmp_path / "list.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)) + "\n")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = from_manifest(tmp_path, manifest)
    assert one.groups == ("g",)
    assert [(d.path, d.lines, d.unit) for d in one.defects] == [("a.py", (3, 4), "f"), ("b.py", None, "")]
    assert "CWE-639" in one.defects[0].cwe
    assert (two.defects, two.repo) == ((), str(tmp_path / "two"))
    manifest.write_text('{"id": "../x", "label": "negative"}\n')
    with pytest.raises(AgentReviewError, match=r"list\.jsonl:1"):
        from_manifest(tmp_path, manifest)
