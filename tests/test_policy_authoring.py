"""``policies new`` and ``policies test``: from nothing to a policy that works, and what one that does not work shows."""

from __future__ import annotations

import json
import resource

import pytest

from agentreview.commands.authoring import template
from agentreview.policies.load import load
from commandline import agentreview, one_line
from test_project_policies import FILE, POLICY

MISSING = POLICY.replace("    return eval(text)\n", "    return parse(text)\n", 1)
NOISY = POLICY.replace("return int(text)", "return int(eval('1'))")
REQUIRE = """\
---
id: project.recorded
title: Deletions are recorded
severity: high
fix: Record it.
checks:
  - form: require
    hit: violation
    in: endpoint
    when: {concepts: [delete], resource: phi}
    require: [audit]
    message: "{unit} deletes {resource}"
skip: [tests]
---
## Why

So.

## Examples

```python bad django: nobody knows who deleted it
from django.contrib.auth.decorators import login_required
from clinic.audit import audit_log
from clinic.models import Patient


@login_required
def drop(request, pk):
    patient = Patient.objects.get(pk=pk)
    audit_log(actor=request.user, action="delete", obj=patient)
    patient.delete()
```
"""


def ran(repo, *args: str):
    done = agentreview("policies", "test", *args, cwd=repo.path)
    assert done.err == ""
    return done


# ---- new


@pytest.mark.parametrize(
    ("name", "file", "policy"),
    [
        ("no-print", ".agents/policies/no-print.md", "project.no-print"),
        ("project.no-print", ".agents/policies/no-print.md", "project.no-print"),
        ("team.no-print", ".agents/policies/team/no-print.md", "team.no-print"),
        ("hipaa.no-print2", ".agents/policies/hipaa/no-print2.md", "hipaa.no-print2"),
    ],
)
def test_a_new_policy_is_green_at_once_and_blocks_what_it_is_about(repo, name, file, policy):
    done = agentreview("policies", "new", name, cwd=repo.path)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"wrote {file}\nnext: agentreview policies test {policy}\n"
    told = ran(repo, policy)
    assert (told.code, told.out.splitlines()[0].split()) == (0, ["ok", policy, "1", "reported,", "1", "quiet"])
    repo.stage({"app/level.py": "def level(text):\n    return eval(text)\n"})
    report = agentreview("--format", "json", cwd=repo.path)
    assert (report.code, policy in report.out) == (1, True)


def test_the_template_explains_its_keys_and_cites_only_the_table():
    text = template()
    for key in ("id:", "title:", "severity:", "cwe:", "fix:", "checks:", "hit:", "skip:"):
        comment = text[: text.index(f"\n{key}" if f"\n{key}" in text else key)].rstrip().splitlines()
        assert any(line.strip().startswith("#") for line in comment[-3:]), key
    assert "form: require" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("hipaa.audit-phi-read",), "is a built-in policy"),
        (("No Print",), "cannot be a policy's id"),
        (("a.b.c",), "cannot be a policy's id"),
        (("../../etc/x",), "cannot be a policy's id"),
        (("",), "cannot be a policy's id"),
    ],
)
def test_an_id_that_cannot_be_one_is_refused(repo, arguments, says):
    done = agentreview("policies", "new", *arguments, cwd=repo.path)
    assert (done.code, done.out) == (2, "")
    assert says in one_line(done.err)
    assert not (repo.path / ".agents").exists()


@pytest.mark.parametrize("there", [FILE, ".agents/policies/project/no-eval.md"])
def test_a_policy_that_is_there_is_not_overwritten(repo, there):
    repo.write({there: "mine"})
    done = agentreview("policies", "new", "no-eval", cwd=repo.path)
    assert (done.code, done.out) == (2, "")
    assert f"{there} is there already" in one_line(done.err)
    assert (repo.path / there).read_text() == "mine"


def test_nothing_is_written_through_a_link(repo, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (repo.path / ".agents").symlink_to(outside)
    done = agentreview("policies", "new", "no-eval", cwd=repo.path)
    assert done.code == 2
    assert "is not in this work tree" in one_line(done.err)
    assert list(outside.rglob("*.md")) == []


def test_it_needs_a_repository(tmp_path):
    done = agentreview("policies", "new", "no-eval", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "not in a git repository" in one_line(done.err)


# ---- test


def test_a_missing_example_shows_the_line_and_the_reason(repo):
    repo.write({FILE: MISSING})
    done = ran(repo, FILE)
    assert done.code == 1
    assert done.out.splitlines() == [
        "FAIL  project.no-eval  1 quiet, 1 missing",
        f"  Missing   {FILE}:21 bad python: a setting is run",
        f"    {FILE}:21",
        "    21 | ```python bad python: a setting is run",
        "       | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "      nothing in it is what the checks look for",
        "1 policy, 2 examples: 0 reported, 1 quiet, 1 missing, 0 noisy, 0 unchecked",
    ]


def test_a_missing_example_points_at_the_trigger_that_something_satisfies(repo):
    repo.write({".agents/policies/recorded.md": REQUIRE})
    out = ran(repo, "recorded").out
    line = REQUIRE[: REQUIRE.index("    patient.delete()")].count("\n") + 1
    assert f".agents/policies/recorded.md:{line}\n    {line} |     patient.delete()\n" in out
    assert " |     ^^^^^^^^^^^^^^^^\n" in out
    assert "something in reach satisfies or excuses it" in out


def test_a_missing_example_says_that_its_path_is_skipped(repo):
    repo.write({FILE: POLICY.replace("python bad python:", "python bad python path=tests/test_x.py:")})
    assert "the policy skips tests, and its path is tests/test_x.py" in ran(repo, "no-eval").out


def test_a_noisy_example_shows_what_was_found_where(repo):
    repo.write({FILE: NOISY})
    done = ran(repo, "project.no-eval")
    line = NOISY[: NOISY.index("    return int(eval")].count("\n") + 1
    assert done.code == 1
    assert f"  Noisy     {FILE}:26 good python: a setting is parsed\n" in done.out
    assert f"    {line} |     return int(eval('1'))\n       |     ^^^^^^^^^^^^^^^^^^^^^\n" in done.out
    assert "      violation: level runs eval('1')\n" in done.out


def test_lines_are_those_of_the_file_also_below_a_version_before(repo):
    change = (
        "# --- before\ndef level(text):\n    return int(text)\n# --- after\ndef level(text):\n    return eval(text)\n"
    )
    text = POLICY.replace("def level(text):\n    return int(text)\n", change)
    repo.write({FILE: text})
    line = text[: text.rindex("    return eval(text)")].count("\n") + 1
    assert f"    {line} |     return eval(text)\n" in ran(repo, "no-eval").out


def test_an_example_that_is_not_read_is_unchecked_and_never_green(repo):
    repo.write({FILE: POLICY.replace("    return int(text)", "    return int(text")})
    done = ran(repo, "no-eval")
    assert done.code == 1
    assert "Unchecked" in done.out
    assert "not reviewed: does not parse" in done.out


@pytest.mark.slow
def test_an_example_that_runs_away_is_unchecked(repo):
    from test_project_policies import RUNAWAY

    repo.write({FILE: RUNAWAY})
    done = ran(repo, "no-eval")
    assert done.code == 1
    assert "not checked within 5 s of processor time for one example" in done.out


def test_json_is_for_programs(repo):
    repo.write({FILE: NOISY})
    report = json.loads(ran(repo, "no-eval", "--format", "json").out)
    assert report["schema"] == "agentreview/policies-test/1"
    assert report["passed"] is False
    assert report["summary"] == {
        "policies": 1,
        "examples": 2,
        "reported": 1,
        "quiet": 0,
        "missing": 0,
        "noisy": 1,
        "unchecked": 0,
    }
    [noisy] = [one for one in report["examples"] if one["result"] == "noisy"]
    assert (noisy["file"], noisy["line"], noisy["kind"]) == (FILE, 26, "good")
    assert noisy["said"][0]["hit"] == "violation"


@pytest.mark.parametrize("name", [".agents", ".agents/policies", ".agents/policies/no-eval.md", ".", "project.no-eval"])
def test_a_path_is_a_file_or_a_folder(repo, name):
    repo.write({FILE: POLICY})
    assert "project.no-eval  1 reported, 1 quiet" in ran(repo, name).out


def test_a_file_anywhere_is_tried_as_a_policy_of_the_project(repo):
    repo.write({"drafts/no-eval.md": POLICY})
    assert ran(repo, "drafts/no-eval.md").code == 0
    assert ran(repo, "drafts").code == 0


def test_the_framework_files_of_the_project_count(repo):
    repo.write(
        {
            ".agents/policies/recorded.md": REQUIRE.replace("audit_log", "note_it").replace("clinic.audit", "notes"),
            ".agents/frameworks/notes.yml": "id: notes\nlanguages: [python]\nimports: [notes]\nconcepts: {audit: [note_it]}\n",
        }
    )
    assert "something in reach satisfies" in ran(repo, "recorded").out
    (repo.path / ".agents/frameworks/notes.yml").unlink()
    assert ran(repo, "recorded").code == 0


def test_a_framework_file_that_silences_a_built_in_policy_shows(repo):
    """An entry that is too broad makes every policy blind: nothing the project checks may do so unseen."""
    broad = "id: broad\nlanguages: [python]\nconcepts: {audit: ['**.get']}\n"
    repo.write({".agents/frameworks/broad.yml": broad})
    done = ran(repo, "hipaa.audit-phi-read")
    assert done.code == 1
    assert "Missing" in done.out
    (repo.path / ".agents/frameworks/broad.yml").unlink()
    assert ran(repo, "hipaa.audit-phi-read").code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("project.no-evil",), "Did you mean 'project.no-eval'?"),
        (("no/such/folder",), "does not exist"),
        (("app",), "there are no policies in app"),
    ],
)
def test_a_name_that_is_nothing_is_one_line(repo, arguments, says):
    repo.write({FILE: POLICY, "app/x.py": ""})
    done = agentreview("policies", "test", *arguments, cwd=repo.path)
    assert (done.code, done.out) == (2, "")
    assert says in one_line(done.err)


def test_a_mistake_in_the_file_is_one_line(repo):
    repo.write({FILE: POLICY.replace("severity:", "sevrity:")})
    done = agentreview("policies", "test", cwd=repo.path)
    assert (done.code, done.out) == (2, "")
    assert one_line(done.err) == f"agentreview: {FILE}:4: unknown key 'sevrity'. Did you mean 'severity'?"


@pytest.mark.slow
def test_all_built_in_examples_and_those_of_the_project_run_well_within_a_minute(repo):
    repo.write({FILE: POLICY})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = ran(repo)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 60
    assert done.code == 0
    assert done.out.count("\n") == len(load().policies) + 2
    assert "project.no-eval" in done.out
    assert "0 missing, 0 noisy, 0 unchecked" in done.out
