"""Edits for findings: over the policies' own bad examples, and `agentreview fix` from the refused commit to the one that passes."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentreview.compute import _anchored
from agentreview.fixes.edits import applied, changed, diff
from agentreview.fixes.proposing import propose
from agentreview.git import open_repository
from agentreview.install import install
from agentreview.model import Edit, FileChange, Finding, Replacement, Snapshot
from agentreview.policies.compare import Engine
from agentreview.policies.examples import Example, examples
from agentreview.policies.load import load
from agentreview.policies.run import review_changes
from agentreview.policies.selftest import change_of
from agentreview.syntax.parse import NotReviewed, language_of, parse_source
from commandline import HEAD, MODELS, agentreview, one_line
from engine import config

BAD = [example for example in examples() if not example.good]
AT_LEAST = {  # of its bad examples, for how many an edit is proposed
    "access.csrf-cors": 12, "access.insecure-randomness": 7, "conduct.check-removed": 15, "conduct.gate-tampered": 8, "conduct.guard-removed": 9,
    "conduct.suppression-added": 12, "conduct.test-weakened": 18, "data.audit-removed": 13, "hipaa.audit-bypass": 6, "hipaa.audit-order": 8,
    "hipaa.encryption": 14, "hipaa.phi-in-errors": 12, "hipaa.phi-in-logs": 21, "hipaa.retention-deletion": 5, "hipaa.session-timeout": 11,
    "injection.eval": 2, "injection.sql": 3, "injection.template": 6, "quality.fail-open": 12, "secrets.hardcoded": 5, "secrets.in-logs": 2, "tenancy.isolation-disabled": 10,
    "tenancy.unique-constraint": 6,
}  # fmt: skip
UNFILLED = re.compile(r"\{(?:unit|resource|call|value|line|tenant)\}")
RULES = {policy.id: policy.rule for policy in load().policies}


def found(example: Example, change: FileChange) -> tuple[list[Finding], Engine]:
    """What the example's own policy says of a change, and the engine with all policies."""
    engine = Engine(
        load(), config("\n".join(f"facts.{part.strip()}" for part in example.facts.split(";") if part.strip()))
    )
    claims = [c for c in review_changes([change], engine).claims if not c.existing]
    mine = [c for c in claims if c.claim.rule == example.policy]
    return _anchored(Snapshot(base="", tree="", changes=(change,)), mine, RULES)[0], engine


@pytest.mark.parametrize("policy", sorted({example.policy for example in BAD}))
def test_an_edit_takes_the_finding_away_brings_none_and_the_file_still_parses(policy: str) -> None:
    """Every bad example of every policy; where an edit is proposed, it has to be a right one."""
    fixed: Counter[str] = Counter()
    for example in (one for one in BAD if one.policy == policy):
        change = change_of(example.path, example.before, example.after)
        assert change.after is not None
        said, engine = found(example, change)
        assert not [f for f in said if UNFILLED.search(f"{f.message} {f.fix}")], "each place of a remediation is filled"
        edits = [(one, edit) for one in said if (edit := propose(one, change, engine)) is not None]
        fixed[policy] += bool(edits)
        for finding, edit in edits:
            after = applied(edit, change.after)
            assert after is not None
            assert after != change.after
            assert f"+++ b/{example.path}" in diff(edit, change.after)
            if language_of(example.path, after):
                assert not isinstance(parse_source(example.path, after), NotReviewed)
            now = review_changes([changed(change, after)], Engine(load(), engine.config))
            was = review_changes([change], Engine(load(), engine.config))
            left = {(c.claim.rule, c.claim.unit, c.claim.identity, c.occurrence) for c in now.claims if not c.existing}
            had = {(c.claim.rule, c.claim.unit, c.claim.identity, c.occurrence) for c in was.claims if not c.existing}
            assert left < had, f"{policy}:{example.line}"
            assert finding.fingerprint not in {f.fingerprint for f in found(example, changed(change, after))[0]}
    assert fixed[policy] >= AT_LEAST.get(policy, 0)


LEFT_ALONE = {
    "a block whose value is used in it": ("app/a.py", "from django_scopes import scopes_disabled\n\n\ndef show(request):\n    with scopes_disabled() as all_of_it:\n        return list(Patient.objects.filter(name=all_of_it.q))\n"),
    "lines of text in a block": ("app/a.py", 'from django_scopes import scopes_disabled\n\n\ndef show(request):\n    with scopes_disabled():\n        text = """\n        x\n        """\n        return list(Patient.objects.filter(name=text))\n'),
    "a promise that nobody waits for": ("src/read.ts", 'import { auditLog } from "./audit";\nexport function record(actor: User, objectId: string) {\n  auditLog.record({ actor, action: "read", objectId }).catch(() => {});\n}\n'),
    "a key whose value would be gone": ("api/a.go", 'package api\n\nimport "log/slog"\n\nfunc connect(cfg Config) {\n\tslog.Info("connecting", "dsn", cfg.DatabaseURL)\n}\n'),
    "words that lead to nothing": ("src/a.ts", 'console.log("starting with", process.env);\n'),
    "a value that is the whole message": ("app/a.py", 'import logging\n\nlog = logging.getLogger(__name__)\n\n\ndef go(access_token):\n    log.info("%s", access_token)\n'),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_where_an_edit_would_leave_something_broken_none_is_proposed(name: str) -> None:
    path, text = LEFT_ALONE[name]
    change = change_of(path, "", text)
    engine = Engine(load(), config())
    claims = [c for c in review_changes([change], engine).claims if not c.existing]
    said = _anchored(Snapshot(base="", tree="", changes=(change,)), claims, RULES)[0]
    assert said
    assert [propose(finding, change, engine) for finding in said] == [None] * len(said)


LINES = st.lists(
    st.text(st.characters(blacklist_characters="\n\r", blacklist_categories=("Cs",)), max_size=8), max_size=8
)


@given(LINES, st.data())
def test_an_edit_replaces_exactly_its_lines_and_keeps_every_line_end(lines: list[str], data: st.DataObject) -> None:
    ended = data.draw(st.sampled_from(["\n", "\r\n"]))
    text = "".join(line + ended for line in lines)
    start = data.draw(st.integers(1, len(lines) + 1))
    end = data.draw(st.integers(start - 1, len(lines)))
    new = data.draw(LINES)
    edit = Edit(path="x", replacements=(Replacement(start=start, end=end, lines=tuple(new)),))
    expected = [*lines[: start - 1], *new, *lines[end:]]
    if lines:
        assert applied(edit, text.encode()) == "".join(line + ended for line in expected).encode()


@pytest.mark.parametrize("places", [((0, 1),), ((1, 9),), ((3, 1),), ((1, 2), (2, 3))])
def test_an_edit_that_does_not_fit_is_none(places: tuple[tuple[int, int], ...]) -> None:
    edit = Edit(path="x", replacements=tuple(Replacement(start=a, end=b, lines=("y",)) for a, b in places))
    assert applied(edit, b"a\nb\nc") is None
    assert applied(Edit(path="x", replacements=()), b"\xff") is None


# ---- the command

LOGGED = (
    HEAD.replace("from clinic.audit", "import logging\n\nfrom clinic.audit").replace("import logging\n\n", "")
    + """\

logger = logging.getLogger(__name__)


def admit(patient, bed):
    logger.info("admitting %s (%s) to %s", patient.name, patient.mrn, bed.code)
"""
)
VIEWS = "import logging\n\n" + LOGGED
LINE = 'logger.info("admitting %s (%s) to %s", patient.name, patient.mrn, bed.code)'
RULE = "hipaa.phi-in-logs"


@pytest.fixture
def clinic(repo: Any) -> Any:
    repo.commit({"clinic/models.py": MODELS})
    assert install(open_repository(str(repo.path)), native=True).done
    return repo


def refused(repo: Any, text: str | bytes = VIEWS) -> str:
    """Stage a file that is refused; returns the name of the finding."""
    repo.stage({"clinic/views.py": text})
    done = agentreview("--format", "agent", cwd=repo.path)
    assert done.code == 1, done
    [name] = re.findall(r"or run: agentreview fix (b2:\w+) --apply", done.out)
    return str(name)


def committed_all(repo: Any) -> Any:
    argv = ["git", "commit", "-q", "-a", "-m", "x"]
    return subprocess.run(argv, cwd=repo.path, capture_output=True, text=True, check=False)


def test_a_refused_commit_names_the_edit_and_passes_after_it_was_applied(clinic: Any) -> None:
    name = refused(clinic)
    done = subprocess.run(
        ["git", "commit", "-q", "-m", "x"], cwd=clinic.path, capture_output=True, text=True, check=False
    )
    assert f"edit: agentreview fix {name} --apply" in done.stderr
    shown = agentreview("fix", name, cwd=clinic.path)
    assert shown.code == 0
    assert '-    logger.info("admitting %s (%s) to %s", patient.name, patient.mrn, bed.code)' in shown.out
    assert '+    logger.info("admitting %s to %s", patient.pk, bed.code)' in shown.out
    assert clinic.git("diff", "--name-only") == "", "showing changes nothing"
    fixed = agentreview("fix", name, "--apply", cwd=clinic.path)
    assert fixed.code == 0, fixed
    assert f"{RULE} is gone\n" in fixed.out
    assert "PASSED" in fixed.out
    assert clinic.git("diff", "--name-only") == ""
    done = subprocess.run(
        ["git", "commit", "-q", "-m", "x"], cwd=clinic.path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "patient.name" not in clinic.git("show", "HEAD:clinic/views.py")


def test_places_of_a_message_that_would_name_the_same_record_become_one(clinic: Any) -> None:
    line = 'logger.info("admitting %s %s, %s", patient.name, patient.mrn, bed.code)'
    name = refused(clinic, VIEWS.replace(LINE, line))
    assert '+    logger.info("admitting %s, %s", patient.pk, bed.code)' in agentreview("fix", name, cwd=clinic.path).out


def test_what_is_only_new_is_not_taken_out_as_if_something_else_had_been_there(clinic: Any) -> None:
    route = """\
from fastapi import APIRouter, Depends

from clinic.access import current_user

router = APIRouter()


@router.get("/rates")
def rates(user=Depends(current_user)):
    return {"usd": 1}
"""
    clinic.commit({"clinic/rates.py": route})
    more = '\n\n@router.get("/invoices")\ndef invoices(db):\n    return db.execute("SELECT id FROM invoices")\n'
    clinic.stage({"clinic/rates.py": route.replace("    return", '    print("rates")\n    return') + more})
    report = agentreview("--format", "agent", "-v", cwd=clinic.path)
    name = re.search(r"access\.endpoint-auth.*?this finding is (b2:\w+)", report.out, re.DOTALL)
    assert name is not None
    done = agentreview("fix", name[1], cwd=clinic.path)
    assert (done.code, "no edit is known" in done.err) == (2, True), done


def test_mode_and_line_ends_are_kept(clinic: Any) -> None:
    clinic.write({"clinic/views.py": ""})
    (clinic.path / "clinic/views.py").chmod(0o755)
    name = refused(clinic, VIEWS.replace("\n", "\r\n").encode())
    assert agentreview("fix", name, "--apply", cwd=clinic.path).code == 0
    held = (clinic.path / "clinic/views.py").read_bytes()
    assert held.count(b"\n") == held.count(b"\r\n") == VIEWS.count("\n")
    assert stat.S_IMODE((clinic.path / "clinic/views.py").stat().st_mode) == 0o755
    assert b"patient.mrn" not in held


def test_other_changes_of_the_file_stay_unstaged_and_the_person_is_told(clinic: Any) -> None:
    name = refused(clinic)
    (clinic.path / "clinic/views.py").write_text("# mine\n" + VIEWS)
    done = agentreview("fix", name, "--apply", cwd=clinic.path)
    assert done.code == 2
    assert "git add -p clinic/views.py" in one_line(done.err)
    held = (clinic.path / "clinic/views.py").read_text()
    assert held.startswith("# mine\n")
    assert "patient.mrn" not in held
    assert clinic.git("show", ":clinic/views.py") == VIEWS


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda p: p.write_text(VIEWS.replace("to %s", "into %s")), "has other lines in the work tree than were reviewed"),
        (lambda p: (p.rename(p.with_name("other.py")), p.symlink_to("other.py")), "is a link"),
        (lambda p: (p.parent.rename(p.parents[1] / "c"), p.parent.symlink_to("c")), "is a link"),
        (lambda p: p.unlink(), "cannot be read"),
        (lambda p: (p.unlink(), os.mkfifo(p)), "is no file that can be changed"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_was_reviewed_is_not_written(clinic: Any, prepare: Any, said: str) -> None:
    name = refused(clinic)
    place = clinic.path / "clinic/views.py"
    prepare(place)
    before = place.read_bytes() if place.is_file() else b""
    done = agentreview("fix", name, "--apply", cwd=clinic.path)
    assert (done.code, said in one_line(done.err)) == (2, True), done
    assert (place.read_bytes() if place.is_file() else b"") == before
    assert clinic.git("show", ":clinic/views.py") == VIEWS


def test_what_was_staged_after_the_review_is_reviewed_first(clinic: Any) -> None:
    name = refused(clinic)
    clinic.stage({"clinic/views.py": VIEWS + "\n\nx = 1\n"})
    for args in ((), ("--apply",)):
        done = agentreview("fix", name, *args, cwd=clinic.path)
        assert (done.code, "is staged otherwise than it was reviewed" in one_line(done.err)) == (2, True)


def test_a_refused_commit_of_all_changes_is_fixed_where_nothing_is_staged(clinic: Any) -> None:
    """`git commit -a` leaves the index as it was when a hook refuses."""
    clinic.commit({"clinic/views.py": VIEWS.partition("def admit")[0], "notes.txt": "one\n"})
    clinic.write({"clinic/views.py": VIEWS, "notes.txt": "two\n"})
    done = committed_all(clinic)
    assert done.returncode == 1
    assert clinic.git("diff", "--cached", "--name-only") == ""
    name = re.findall(r"agentreview fix (\S+) --apply", done.stderr)[0]
    assert agentreview("fix", name, cwd=clinic.path).code == 0
    assert clinic.git("diff", "--cached", "--name-only") == ""
    applied = agentreview("fix", name, "--apply", cwd=clinic.path)
    assert (applied.code, "is gone" in applied.out) == (0, True), applied
    assert clinic.git("diff", "--cached", "--name-only").split() == ["clinic/views.py", "notes.txt"]
    assert committed_all(clinic).returncode == 0


def test_after_a_refused_commit_of_all_changes_nothing_is_staged_that_was_not_reviewed(clinic: Any) -> None:
    clinic.commit({"clinic/views.py": VIEWS.partition("def admit")[0], "notes.txt": "one\n"})
    clinic.write({"clinic/views.py": VIEWS})
    name = re.findall(r"agentreview fix (\S+) --apply", committed_all(clinic).stderr)[0]
    clinic.write({"notes.txt": "two\n"})
    done = agentreview("fix", name, "--apply", cwd=clinic.path)
    assert (done.code, "is staged otherwise than it was reviewed" in one_line(done.err)) == (2, True)
    assert clinic.git("diff", "--cached", "--name-only") == ""


def test_without_an_edit_one_line_says_what_to_do(clinic: Any) -> None:
    view = (
        HEAD
        + """\


@permission_required("clinic.view_patient", raise_exception=True)
def patient_detail(request, pk):
    patient = get_object_or_404(Patient, pk=pk, org=request.user.org)
    return JsonResponse({"name": patient.name, "mrn": patient.mrn})
"""
    )
    clinic.stage({"clinic/views.py": view})
    report = agentreview("--format", "agent", cwd=clinic.path).out
    assert "agentreview fix" not in report
    name = re.search(r"this finding is (b2:\w+)", report)
    assert name is not None
    done = agentreview("fix", name[1], cwd=clinic.path)
    assert done.code == 2
    assert "no edit is known for hipaa.audit-phi-read in clinic/views.py:" in one_line(done.err)
    assert "audit" in done.err.partition(". ")[2], "and the remediation"


def test_an_edit_for_advice_is_looked_for_when_it_is_asked_for(clinic: Any) -> None:
    clinic.stage({"run.py": "import subprocess\n\n\ndef run(script):\n    return subprocess.run(script)  # nosec\n"})
    report = agentreview("--format", "agent", "-v", cwd=clinic.path)
    assert report.code == 0
    name = re.search(r"conduct\.suppression-added.*?this finding is (b2:\w+)", report.out, re.DOTALL)
    assert name is not None
    done = agentreview("fix", name[1], "--apply", cwd=clinic.path)
    assert (done.code, "conduct.suppression-added is gone" in done.out) == (0, True), done
    assert "nosec" not in (clinic.path / "run.py").read_text()


def test_what_a_change_took_away_is_put_back_with_its_import(clinic: Any) -> None:
    view = (HEAD + """\


@permission_required("clinic.view_patient", raise_exception=True)
def count(request):
    return JsonResponse({"count": Patient.objects.filter(org=request.user.org).count()})
""").replace("from clinic.audit import audit_log\n", "").replace("from django.shortcuts import get_object_or_404\n", "")  # fmt: skip
    clinic.stage({"clinic/views.py": view})
    assert subprocess.run(["git", "commit", "-q", "-m", "x"], cwd=clinic.path, check=False).returncode == 0
    bare = view.replace("from django.contrib.auth.decorators import permission_required\n", "")
    bare = re.sub(r"@permission_required.*\n", "", bare)
    name = refused(clinic, bare)
    assert agentreview("fix", name, "--apply", cwd=clinic.path).code == 0
    assert (clinic.path / "clinic/views.py").read_text() == view


def test_what_one_edit_clears_together_is_said(clinic: Any) -> None:
    good = (
        HEAD
        + """\


@permission_required("clinic.view_patient", raise_exception=True)
def patient_detail(request, pk):
    patient = get_object_or_404(Patient, pk=pk, org=request.user.org)
    audit_log(actor=request.user, action="read", obj=patient)
    return JsonResponse({"name": patient.name})
"""
    )
    clinic.stage({"clinic/views.py": good})
    assert subprocess.run(["git", "commit", "-q", "-m", "x"], cwd=clinic.path, check=False).returncode == 0
    clinic.stage(
        {"clinic/views.py": good.replace('    audit_log(actor=request.user, action="read", obj=patient)\n', "")}
    )
    report = agentreview("--format", "agent", cwd=clinic.path).out
    assert "[data.audit-removed]" in report
    assert "[hipaa.audit-phi-read]" in report
    assert "  or: the edit of FIX 1 clears this as well\n" in report
    [name] = re.findall(r"or run: agentreview fix (b2:\w+) --apply", report)
    done = agentreview("fix", name, "--apply", cwd=clinic.path)
    assert (done.code, "PASSED" in done.out) == (0, True), done


def test_a_diff_cannot_write_to_the_terminal(clinic: Any) -> None:
    name = refused(clinic, VIEWS.replace("def admit", "# \x1b]0;gone\x07 \u202e\ndef admit"))
    shown = agentreview("fix", name, cwd=clinic.path)
    assert shown.code == 0
    assert not set("\x1b\x07\u202e") & set(shown.out)


def test_a_review_of_a_range_has_nothing_to_apply_to(clinic: Any) -> None:
    refused(clinic)
    clinic.git("-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "around")
    done = agentreview("--commit", "HEAD", "--format", "agent", cwd=clinic.path)
    [name] = re.findall(r"or run: agentreview fix (b2:\w+) --apply", done.out)
    fixed = agentreview("fix", name, "--apply", cwd=clinic.path)
    assert (fixed.code, "the last review here was of a commit" in one_line(fixed.err)) == (2, True)


def test_no_edit_holds_what_looks_like_a_credential(clinic: Path) -> None:
    key = "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"
    before = f"import stripe\n\n\ndef check(request):\n    verify(request, secret='{key}')\n    return 1\n"
    change = change_of(
        "app/views.py",
        before.replace("verify", "authorize"),
        before.replace(f"    verify(request, secret='{key}')\n", ""),
    )
    engine = Engine(load(), config())
    for claimed in review_changes([change], engine).claims:
        for finding in _anchored(Snapshot(base="", tree="", changes=(change,)), [claimed], RULES)[0]:
            edit = propose(finding, change, engine)
            assert edit is None or key not in diff(edit, change.after or b"")
