"""Controls that live in other files: found in the reviewed tree, never in the work tree, within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.git import open_repository
from agentreview.policies import nearby
from agentreview.review import judge_index
from agentreview.syntax.imports import Paths, locate

AUDIT = """
from app.models import AuditEvent


def note(session, actor, row):
    session.add(AuditEvent(actor=actor, row=row.id))
"""
CORE = """
from .trail import note


def save_note(session, actor, row):
    note(session, actor, row)
"""
CHART = """
from uuid import UUID

from fastapi import APIRouter, Depends
from sqlalchemy import select

from app.core import save_note
from app.deps import get_session
from app.models import Patient

router = APIRouter()


@router.get("/patients/{patient_id}/chart")
async def chart(patient_id: UUID, session=Depends(get_session)):
    row = await session.scalar(select(Patient).where(Patient.id == patient_id))
    save_note(session, 1, row)
    return row
"""


def rules(repo, path: str = "") -> set[str]:
    """Ids of what is found in the staged change (in one file of it)."""
    verdict = judge_index(open_repository(str(repo.path)), fresh=True)
    return {f.rule for f in verdict.findings if not path or f.path == path}


def test_a_helper_two_files_away_records_the_access(repo):
    repo.commit({"app/trail.py": AUDIT, "app/core.py": CORE})
    repo.stage({"app/api/patients.py": CHART})
    assert "hipaa.audit-phi-read" not in rules(repo)


def test_the_same_helper_that_records_nothing_does_not(repo):
    repo.commit({"app/trail.py": "def note(session, actor, row):\n    return None\n", "app/core.py": CORE})
    repo.stage({"app/api/patients.py": CHART})
    assert "hipaa.audit-phi-read" in rules(repo)


def test_only_the_reviewed_tree_counts_not_the_work_tree(repo):
    repo.commit({"app/core.py": "def save_note(session, actor, row):\n    return None\n"})
    repo.stage({"app/api/patients.py": CHART})
    repo.write({"app/trail.py": AUDIT, "app/core.py": CORE})  # never staged
    assert "hipaa.audit-phi-read" in rules(repo)


def test_a_router_that_is_included_with_a_dependency_is_closed_and_its_neighbour_is_not(repo):
    main = """
from fastapi import Depends, FastAPI

from app.api import other, patients
from app.security import current_user

app = FastAPI()
app.include_router(patients.router, dependencies=[Depends(current_user)])
app.include_router(other.router)
"""
    repo.commit({"app/main.py": main})
    repo.stage({"app/api/patients.py": CHART, "app/api/other.py": CHART})
    assert "access.endpoint-auth" not in rules(repo, "app/api/patients.py")
    assert "access.endpoint-auth" in rules(repo, "app/api/other.py")


@pytest.mark.parametrize("made", ["", "in the file", "in another one", "there, from a third"])
def test_a_type_that_brings_a_dependency_closes_an_endpoint(repo, made):
    """``Reader = Annotated[User, Depends(require("read"))]``: the check moved, and is still there."""
    written = """
from typing import Annotated

from fastapi import APIRouter, Depends
from app.security import Principal, require
from app.models import Patient
%s
router = APIRouter()
%s

@router.get("/patients/count")
def count(user: %s):
    return {"of": user.tenant_id}
"""
    security = """
from typing import Annotated

from fastapi import Depends, HTTPException


def current(token: str):
    return load(token)


def require(scope: str):
    def check(user: Annotated[Principal, Depends(current)]) -> Principal:
        if scope not in user.scopes:
            raise HTTPException(403)
        return user

    return check

%s
"""
    alias = 'Reader = Annotated[Principal, Depends(require("read"))]\n'
    deps = "from typing import Annotated\nfrom fastapi import Depends\nfrom app.security import Principal, require\n"
    repo.commit(
        {
            "app/security.py": security % "",
            "app/api.py": written % ("", "", 'Annotated[Principal, Depends(require("read"))]'),
        }
    )
    after = {
        "": {"app/api.py": written % ("", "", "Principal")},
        "in the file": {"app/api.py": written % ("", alias, "Reader")},
        "in another one": {
            "app/security.py": security % alias,
            "app/api.py": written % ("from app.security import Reader", "", "Reader"),
        },
        "there, from a third": {
            "app/deps.py": deps + alias,
            "app/api.py": written % ("from app.deps import Reader", "", "Reader"),
        },
    }[made]
    repo.stage(after)
    lost = {"conduct.check-removed", "access.endpoint-auth"}
    assert bool(lost & rules(repo, "app/api.py")) is (made == "")


def test_a_router_mounted_behind_a_middleware_is_closed(repo):
    route = """
import { Router } from "express";
import { prisma } from "../db";
const router = Router();
router.get("/:id", async (req, res) => {
  const row = await prisma.patient.findFirst({ where: { id: req.params.id, orgId: req.auth.orgId } });
  res.json(row);
});
export default router;
"""
    app = """
import express from "express";
import patients from "./routes/patients";
import { open } from "./routes/open";
import { requireAuth } from "./mw/auth";
const app = express();
app.use("/open", open);
app.use("/patients", requireAuth, patients);
"""
    repo.commit({"srv/src/app.ts": app})
    repo.stage(
        {
            "srv/src/routes/patients.ts": route,
            "srv/src/routes/open.ts": route.replace("export default router", "export { router as open }"),
        }
    )
    assert "access.endpoint-auth" not in rules(repo, "srv/src/routes/patients.ts")
    assert "access.endpoint-auth" in rules(repo, "srv/src/routes/open.ts")


VIEWSET = """
from rest_framework.viewsets import ModelViewSet

from clinic.models import Patient
from clinic.serializers import PatientSerializer


class PatientViewSet(ModelViewSet):
    queryset = Patient.objects.none()
    serializer_class = PatientSerializer
"""


@pytest.mark.parametrize(("classes", "closed"), [("IsAuthenticated", True), ("AllowAny", False)])
def test_the_settings_of_the_framework_say_what_a_silent_endpoint_does(repo, classes, closed):
    settings = f"""
REST_FRAMEWORK = {{
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.{classes}"],
}}
"""
    repo.commit({"config/settings/base.py": settings})
    repo.stage({"clinic/views.py": VIEWSET})
    assert ("access.endpoint-auth" not in rules(repo)) is closed


def test_a_model_whose_history_is_kept_needs_no_call_but_a_bulk_update_does(repo):
    models = """
from django.db import models
from simple_history.models import HistoricalRecords


class Patient(models.Model):
    name = models.CharField(max_length=80)
    history = HistoricalRecords()
"""
    view = """
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404

from clinic.models import Patient


@login_required
def rename(request, pk):
    patient = get_object_or_404(Patient, pk=pk, org=request.user.org)
    patient.name = request.POST["name"]
    patient.save()
    return HttpResponse(status=204)
"""
    repo.commit({"clinic/models.py": models})
    repo.stage({"clinic/views.py": view})
    assert "hipaa.audit-phi-write" not in rules(repo)
    bulk = view.replace(
        "    patient.save()\n", "    Patient.objects.filter(org=request.user.org).update(name=patient.name)\n"
    )
    repo.stage({"clinic/views.py": bulk.replace('    patient.name = request.POST["name"]\n', "")})
    assert rules(repo) & {"hipaa.audit-phi-write", "hipaa.audit-bypass"}


def test_a_check_that_moved_to_a_base_class_of_another_file_was_not_taken_away(repo):
    base = """
from rest_framework.permissions import IsAuthenticated
from rest_framework.views import APIView


class Guarded(APIView):
    permission_classes = [IsAuthenticated]
"""
    before = """
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from clinic.models import Invoice


class InvoiceView(APIView):
    permission_classes = [IsAuthenticated]

    def get(self, request):
        return Response(Invoice.objects.filter(org=request.user.org).values("id"))
"""
    after = before.replace("    permission_classes = [IsAuthenticated]\n\n", "").replace("(APIView)", "(Guarded)")
    after = after.replace("from rest_framework.views import APIView\n", "").replace(
        "from clinic.models", "from clinic.base import Guarded\nfrom clinic.models"
    )
    repo.commit({"clinic/base.py": base, "clinic/views.py": before})
    repo.stage({"clinic/views.py": after})
    assert "conduct.check-removed" not in rules(repo)


def test_imports_that_go_round_in_circles_end(repo):
    one = "from app.two import two\n\n\ndef save_note(session, actor, row):\n    two(session)\n"
    two = "from app.core import save_note\n\n\ndef two(session):\n    save_note(session, 1, 2)\n"
    repo.commit({"app/core.py": one, "app/two.py": two})
    repo.stage({"app/api/patients.py": CHART})
    assert "hipaa.audit-phi-read" in rules(repo)


def test_a_helper_that_does_not_parse_lends_nothing(repo):
    repo.commit({"app/core.py": "def save_note(:\n  audit_log(\n"})
    repo.stage({"app/api/patients.py": CHART})
    assert "hipaa.audit-phi-read" in rules(repo)


def test_a_summary_is_kept_by_blob_and_a_spoiled_one_is_made_again(repo):
    repo.commit({"app/trail.py": AUDIT, "app/core.py": CORE})
    repo.stage({"app/api/patients.py": CHART})
    rules(repo)
    kept = [p for p in (repo.path / ".git/agentreview/summaries").rglob("*") if p.is_file()]
    assert kept
    for path in kept:
        path.write_bytes(b"{")
    assert "hipaa.audit-phi-read" not in rules(repo)


@pytest.mark.parametrize(
    ("language", "importer", "dotted", "found"),
    [
        ("python", "src/app/api/x.py", "app.audit.log", ("src/app/audit.py", "log")),
        ("python", "src/app/api/x.py", "..audit.log", ("src/app/audit.py", "log")),
        ("python", "src/app/api/x.py", "app.deps", ("src/app/deps/__init__.py", "")),
        ("typescript", "web/src/routes/a.ts", "../mw/auth.requireAuth", ("web/src/mw/auth.ts", "requireAuth")),
        ("typescript", "web/src/routes/a.ts", "@/mw/auth.requireAuth", ("web/src/mw/auth.ts", "requireAuth")),
        ("typescript", "web/src/routes/a.ts", "../mw", ("web/src/mw/index.ts", "")),
        ("typescript", "web/src/routes/a.ts", "../mw/auth.js", ("web/src/mw/auth.ts", "")),
        ("java", "s/com/acme/A.java", "com.acme.sec.Guard.check", ("s/com/acme/sec/Guard.java", "Guard.check")),
        ("java", "s/com/acme/A.java", "Near.check", ("s/com/acme/Near.java", "Near.check")),
        ("go", "svc/api/a.go", "example.org/svc/authz.Check", ("svc/authz/authz.go", "Check")),
        ("go", "svc/api/a.go", "requireAdmin", ("svc/api/guard.go", "requireAdmin")),
        ("ruby", "app/c/x.rb", "ApplicationController", ("app/c/application_controller.rb", "ApplicationController")),
    ],
)
def test_an_imported_name_is_found_among_the_paths(language, importer, dotted, found):
    tree = [
        *("src/app/audit.py", "src/app/deps/__init__.py", "lib/json.py", "web/src/mw/auth.ts", "web/src/mw/index.ts"),
        *("s/com/acme/sec/Guard.java", "s/com/acme/Near.java", "svc/authz/authz.go", "svc/api/guard.go"),
        "app/c/application_controller.rb",
    ]
    assert locate(Paths([importer, *tree]), importer, language, dotted)[0] == found


def test_a_library_is_not_mistaken_for_a_file_of_the_same_name_elsewhere():
    paths = Paths(["src/app/x.py", "tools/json.py", "other/fastapi/security.py"])
    assert locate(paths, "src/app/x.py", "python", "json.dumps") == []
    assert locate(paths, "src/app/x.py", "python", "fastapi.security.OAuth2") == []


MODELS = """
from django.db import models
from django_multitenant.models import TenantModel
from django_scopes import ScopedManager
from core.models import AuditedModel


class Invoice(TenantModel):
    org = models.ForeignKey("orgs.Org", on_delete=models.PROTECT)


class Bill(models.Model):
    objects = ScopedManager(org="org")


class Patient(AuditedModel):
    name = models.TextField()


class Receipt(models.Model):
    org = models.ForeignKey("orgs.Org", on_delete=models.PROTECT)
"""
VIEW = """
from django.contrib.auth.decorators import login_required
from django.http import JsonResponse

from clinic.models import Bill, Invoice, Patient, Receipt


@login_required
def show(request, pk):
    org = request.user.org
    return JsonResponse({{"id": {model}.objects.filter(pk=pk).first().id}})
"""


@pytest.mark.parametrize(("model", "asked"), [("Invoice", False), ("Bill", False), ("Receipt", True)])
def test_a_model_whose_manager_limits_its_rows_lends_the_scope(repo, model, asked):
    repo.commit({"clinic/models.py": MODELS})
    repo.stage({"clinic/views.py": VIEW.format(model=model).replace("    org =", "    org_id =")})
    found = rules(repo, "clinic/views.py") & {"tenancy.query-scope", "access.object-level"}
    assert bool(found) is asked


def test_a_model_whose_changes_are_audited_records_no_read(repo):
    repo.commit({"clinic/models.py": MODELS})
    repo.stage({"clinic/views.py": VIEW.format(model="Patient")})
    assert "hipaa.audit-phi-read" in rules(repo, "clinic/views.py")


TRAILS = {
    "signals": "from django.db import models\nimport auditlog\n\n\n@auditlog.register()\nclass Encounter(models.Model):\n    x = 1\n",
    "history": "from django.db import models\nimport simple_history\n\n\nclass Encounter(models.Model):\n    x = 1\n\n\nsimple_history.register(Encounter)\n",
    "continuum": "class Encounter(Base):\n    __versioned__ = {}\n",
    "triggers": "import pghistory\nfrom django.db import models\n\n\n@pghistory.track()\nclass Encounter(models.Model):\n    x = 1\n",
    "revisions": "from django.db import models\nimport reversion\n\n\n@reversion.register()\nclass Encounter(models.Model):\n    x = 1\n",
}
CLOSE = """
from clinic.models import Encounter


def close(org, pk):
    row = Encounter.objects.get(pk=pk, org=org)
    row.status = "closed"
    row.save()


def close_all(org):
    Encounter.objects.filter(org=org).update(status="closed")
"""


@pytest.mark.parametrize(
    ("trail", "one", "many"),
    [
        ("signals", False, True),
        ("history", False, True),
        ("continuum", False, True),
        ("triggers", False, False),
        ("revisions", True, True),  # only inside of a revision, which nobody opens here
    ],
)
def test_what_a_library_records_by_itself_needs_no_event(repo, trail, one, many):
    repo.commit({"clinic/models.py": TRAILS[trail]})
    repo.stage({"clinic/services.py": CLOSE})
    verdict = judge_index(open_repository(str(repo.path)), fresh=True)
    audit = {f.unit for f in verdict.findings if f.rule in ("hipaa.audit-phi-write", "hipaa.audit-bypass")}
    assert audit == {name for name, asked in (("close", one), ("close_all", many)) if asked}


PARTS = "settings mysettings settings_x conf config models base app main security audit_log x.rls test_app é".split()
ENDS = ".py .ts .module.ts .java .kt .go _test.go .sql .tsx .mjs .py\n".split(" ")


@settings(deadline=None)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=5), st.sampled_from(ENDS))
def test_files_that_speak_for_an_application_are_told_by_their_last_two_names(parts, end):
    path = "/".join(parts) + end
    assert nearby.speaks(path) == bool(nearby._SETTINGS.search(path))
