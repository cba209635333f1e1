"""What the change made worse: before against after, never line against line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentreview.model import Decision, Origin
from engine import GUARDED, IMPORTS, READ, REMOVED, UNAUDITED, change, introduced, reviewed, rules, short, verdict

BEFORE = IMPORTS + GUARDED
AFTER = IMPORTS + UNAUDITED
DRF = """\
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from clinic.audit import AuditMixin, audit_log
from clinic.models import Patient


class PatientView(AuditMixin, APIView):
    permission_classes = [IsAuthenticated]

    def get(self, request, pk):
        patient = Patient.objects.get(pk=pk, org=request.user.org)
        return Response({"name": patient.name})
"""


def fingerprints(*changes) -> dict[str, str]:
    return {f.fingerprint: f.origin.value for f in verdict(*changes).findings if f.rule == READ}


# -- the seven staged situations (those of the index and the work tree are in test_review) ------------------------


def test_a_deleted_audit_call_is_found_although_no_line_was_added():
    found = introduced(change("app/views.py", BEFORE, AFTER))
    assert (READ, "detail") in {(rule, unit) for rule, unit, _ in found}
    assert REMOVED in {rule for rule, _, _ in found}


def test_an_unrelated_edit_in_a_function_with_an_old_violation_is_silent():
    edited = AFTER.replace("    return Json", "    patient.touch()\n    return Json")
    assert introduced(change("app/views.py", AFTER, edited)) == []
    assert [c.existing for c in reviewed(change("app/views.py", AFTER, edited)).claims if c.claim.rule == READ] == [
        True
    ]


def test_a_renamed_file_is_silent():
    assert introduced(change("app/patients.py", AFTER, AFTER, old_path="app/views.py")) == []


def test_a_new_function_with_the_violation_of_its_neighbour_is_new():
    second = AFTER + "\n\n" + UNAUDITED.replace("detail", "summary")
    assert [unit for rule, unit, _ in introduced(change("app/views.py", AFTER, second)) if rule == READ] == ["summary"]


def test_a_mixin_taken_from_the_class_header_is_found_in_the_untouched_method():
    found = introduced(change("app/views.py", DRF, DRF.replace("AuditMixin, APIView", "APIView")))
    assert READ in {rule for rule, _, _ in found}
    assert REMOVED in {rule for rule, _, _ in found}


def test_a_second_copy_of_an_old_violation_is_new():
    twice = AFTER.replace(
        "    return Json", "    logger.info(patient.ssn)\n    logger.info(patient.ssn)\n    return Json"
    )
    once = AFTER.replace("    return Json", "    logger.info(patient.ssn)\n    return Json")
    assert len(introduced(change("app/views.py", once, twice), rule="hipaa.phi-in-logs")) == 1


def test_a_second_violation_on_the_line_of_an_old_one_is_new():
    one = "import logging\nlogger = logging.getLogger()\n\n\ndef f(patient):\n    logger.info(patient.ssn)\n"
    two = one.replace("ssn)\n", "ssn); logger.info(patient.dob)\n")
    assert introduced(change("app/f.py", one, two)) == [("hipaa.phi-in-logs", "f", 6)]
    assert introduced(change("app/f.py", two, two + "X = 1\n")) == []


# -- identity ------------------------------------------------------------------------------------------------------


def test_moved_lines_and_edits_elsewhere_keep_the_fingerprint():
    [plain] = fingerprints(change("app/views.py", None, AFTER))
    moved = AFTER.replace("\n\n\n", "\n\nLIMIT = 3\n# a comment\n\n\n", 1).replace(
        "    return Json", "    patient.touch()\n    return Json"
    )
    assert set(fingerprints(change("app/views.py", None, moved))) == {plain}


def test_the_fingerprint_is_another_for_another_path_and_another_function():
    [plain] = fingerprints(change("app/views.py", None, AFTER))
    assert plain not in fingerprints(change("app/other.py", None, AFTER))
    assert plain not in fingerprints(change("app/views.py", None, AFTER.replace("detail", "summary")))


def test_a_renamed_function_keeps_its_debt():
    assert introduced(change("app/views.py", AFTER, AFTER.replace("def detail", "def patient_detail"))) == []


def test_a_function_moved_into_a_class_keeps_its_debt_once():
    copied = AFTER.replace("def detail", "def first") + "\n\n" + UNAUDITED.replace("def detail", "def second")
    assert len(introduced(change("app/views.py", AFTER, copied), rule=READ)) == 1


def test_every_claim_of_a_rule_has_an_identity_of_its_own():
    many = IMPORTS + "\n\n".join(UNAUDITED.replace("def detail", f"def d{n}") for n in range(5))
    many += "\n\ndef logs(request):\n" + "    logger.info(request.patient.ssn)\n" * 4
    found = verdict(change("app/views.py", None, many)).findings
    assert len({f.fingerprint for f in found}) == len(found)
    assert sum(f.rule == "hipaa.phi-in-logs" for f in found) == 4


# -- what cannot vouch ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", ["notes.txt", "app/views.generated.py", "docs/views.md"])
def test_what_was_not_reviewed_under_its_old_name_does_not_make_old_debt(old):
    assert READ in rules(change("app/views.py", AFTER, AFTER, old_path=old))


def test_a_file_that_leaves_an_excluded_folder_is_new():
    moved = change("app/views.py", AFTER, AFTER, old_path="vendor/views.py")
    assert READ in rules(moved, facts='exclude = ["vendor/"]')
    assert READ not in rules(moved)


def test_a_version_before_that_does_not_parse_vouches_for_nothing():
    assert READ in rules(change("app/views.py", "def broken(:\n" + AFTER, AFTER))


def test_a_version_after_that_does_not_parse_is_skipped_with_the_line():
    skipped = reviewed(change("app/views.py", AFTER, AFTER + "\ndef broken(:\n")).skipped
    assert [(s.path, s.reason) for s in skipped] == [("app/views.py", "does not parse")]
    assert "line" in skipped[0].detail


def test_a_symlink_that_becomes_a_file_is_new():
    made = replace(change("app/views.py", None, AFTER), status="T")
    assert READ in rules(made)


# -- removed, moved, gone ------------------------------------------------------------------------------------------


def test_a_deleted_file_is_silent():
    assert introduced(change("app/views.py", BEFORE, None)) == []


def test_a_control_removed_with_its_feature_is_silent():
    both = IMPORTS + GUARDED + "\n\n" + GUARDED.replace("detail", "summary")
    assert introduced(change("app/views.py", both, BEFORE)) == []


def test_an_audit_call_moved_to_a_helper_of_the_file_is_silent():
    helper = BEFORE.replace('audit_log(actor=request.user, action="read", obj=patient)', "_record(request, patient)")
    helper += '\n\ndef _record(request, patient):\n    audit_log(actor=request.user, action="read", obj=patient)\n'
    assert introduced(change("app/views.py", BEFORE, helper)) == []


INVOICE = BEFORE.replace("Patient", "Invoice").replace("patient", "invoice")
INVOICE_BARE = AFTER.replace("Patient", "Invoice").replace("patient", "invoice")
SERVICE = "from clinic.audit import audit_log\n\n\ndef load(request, pk):\n    audit_log(actor=request.user, action='read', obj=pk)\n    return pk\n"


def test_an_audit_call_moved_to_another_file_of_the_change_is_silent():
    assert REMOVED in rules(change("app/views.py", INVOICE, INVOICE_BARE))
    assert REMOVED not in rules(change("app/views.py", INVOICE, INVOICE_BARE), change("app/services.py", None, SERVICE))


def test_what_a_new_endpoint_records_does_not_pay_for_what_another_lost():
    new = (
        INVOICE_BARE
        + "\n\n"
        + GUARDED.replace("Patient", "Invoice").replace("patient", "invoice").replace("detail", "summary")
    )
    assert "detail" in {unit for rule, unit, _ in introduced(change("app/views.py", INVOICE, new)) if rule == REMOVED}


def test_an_endpoint_that_moves_to_another_file_takes_its_controls_along():
    other = change("app/invoices.py", None, INVOICE)
    assert REMOVED not in rules(change("app/views.py", INVOICE + "\n\nX = 1\n", IMPORTS + "X = 1\n"), other)


def test_the_same_loss_in_two_files_is_told_twice():
    found = reviewed(change("a/views.py", INVOICE, INVOICE_BARE), change("b/views.py", INVOICE, INVOICE_BARE)).claims
    assert sorted(c.claim.path for c in found if c.claim.rule == REMOVED) == ["a/views.py", "b/views.py"]


def test_a_permission_check_removed_is_found_and_replaced_is_silent():
    rule = "conduct.check-removed"
    assert rule in rules(change("app/views.py", BEFORE, BEFORE.replace("@login_required\n", "")))
    other = BEFORE.replace("@login_required\n", '@permission_required("clinic.view")\n')
    other = other.replace("import login_required", "import permission_required")
    assert rule not in rules(change("app/views.py", BEFORE, other))


def test_a_dropped_tenant_predicate_is_found():
    loose = BEFORE.replace("pk=pk, org=request.user.org", "pk=pk")
    assert {"conduct.check-removed", "tenancy.query-scope"} & rules(change("app/views.py", BEFORE, loose))


def test_formatting_and_comments_change_nothing():
    loud = BEFORE.replace(
        "(pk=pk, org=request.user.org)", "(\n        pk=pk,\n        org=request.user.org,  # tenant\n    )"
    )
    assert introduced(change("app/views.py", BEFORE, loud)) == []
    quiet = AFTER.replace("(pk=pk, org=request.user.org)", "(\n        pk=pk,\n        org=request.user.org,\n    )")
    assert introduced(change("app/views.py", AFTER, quiet)) == []


# -- the verdict ---------------------------------------------------------------------------------------------------


def test_old_debt_never_blocks_and_new_debt_does():
    old = verdict(change("app/views.py", AFTER, AFTER + "\nX = 1\n"))
    assert old.decision is Decision.PASS
    assert all(f.origin is Origin.EXISTING for f in old.findings)
    assert verdict(change("app/views.py", BEFORE, AFTER)).decision is Decision.BLOCK


def test_the_order_of_the_files_does_not_matter():
    a, b = change("a/views.py", INVOICE, INVOICE_BARE), change("b/views.py", None, AFTER)
    assert {short(c) for c in reviewed(a, b).claims} == {short(c) for c in reviewed(b, a).claims}
    assert replace(verdict(a, b), seconds=0) == replace(verdict(b, a), seconds=0)


# -- what was not reviewed vouches for nothing ------------------------------------------------------------------------


def test_a_minified_file_unfolded_is_new_code():
    """It was skipped while it was one line, so nothing in it is old debt."""
    handler = (
        'const express=require("express");const {prisma}=require("./db");const router=express.Router();'
        'router.get("/patients/:id",async(req,res)=>{'
        "const p=await prisma.patient.findFirst({where:{id:req.params.id}});res.json(p)});"
    )
    minified = handler + 'var x="' + "a " * 15_000 + '";\n'
    found = reviewed(change("src/r.js", minified, handler.replace(";", ";\n")))
    assert [c for c in found.claims if c.claim.rule == "hipaa.audit-phi-read" and not c.existing]


def test_a_file_that_was_too_large_is_new_code_when_it_is_not_any_more():
    long = IMPORTS + UNAUDITED + "# more\n" * 25_000
    found = reviewed(change("clinic/views.py", long, IMPORTS + UNAUDITED))
    assert [c for c in found.claims if not c.existing]


def test_a_permission_question_put_to_another_function_is_no_removal_and_a_constant_answer_is():
    before = (
        "from django.contrib.auth.models import PermissionsMixin, _user_has_perm\n"
        "class User(PermissionsMixin):\n"
        "    def has_perm(self, perm, obj=None):\n"
        "        return super().has_perm(perm, obj)\n"
    )
    rule = "conduct.check-removed"
    other = before.replace("super().has_perm(perm", "_user_has_perm(self, perm")
    assert rule not in rules(change("account/models.py", before, other))
    assert rule in rules(change("account/models.py", before, before.replace("super().has_perm(perm, obj)", "True")))
