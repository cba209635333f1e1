"""Which facts hold for a function: its own, its class's, router's and file's, and those of helpers it calls."""

from __future__ import annotations

import pytest

from engine import IMPORTS, analysis, change, concepts, facts_of, introduced, rules, unit

DRF = """\
from rest_framework.generics import RetrieveAPIView
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from clinic.audit import AuditMixin, audit_log
from clinic.models import Patient

"""
FASTAPI = """\
from fastapi import APIRouter, Depends, FastAPI
from app.audit import audit_log
from app.deps import current_user, require_user
from app.models import Patient

"""
EXPRESS = """\
import express from "express";
import { auditLog } from "./audit";
import { prisma } from "./db";
import { requireAuth } from "./auth";

const router = express.Router();
"""


# -- class, router, file -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "concept"),
    [
        ("class V(APIView):\n    permission_classes = [IsAuthenticated]\n", "authn"),
        ("class V(LoginRequiredMixin, APIView):\n    x = 1\n", "authn"),
        ("class V(APIView):\n    permission_classes = [AllowAny]\n", "opening"),
        ("class V(AuditMixin, APIView):\n    x = 1\n", "audit"),
        ("class V(APIView):\n    def initial(self, request):\n        audit_log(request)\n", "audit"),
        ("class Base(APIView):\n    permission_classes = [IsAuthenticated]\n\nclass V(Base):\n    x = 1\n", "authn"),
        (
            "class A(APIView):\n    permission_classes = [IsAuthenticated]\n\nclass B(A):\n    pass\n\nclass V(B):\n    x = 1\n",
            "authn",
        ),
    ],
)
def test_a_class_lends_its_controls_to_its_methods(header, concept):
    source = DRF + "from django.contrib.auth.mixins import LoginRequiredMixin\n" + header
    source += "\n    def get(self, request, pk):\n        return Response(Patient.objects.get(pk=pk).name)\n"
    assert concept in concepts(analysis(source), "V.get")


def test_another_class_of_the_file_lends_nothing():
    source = (
        DRF
        + "class A(APIView):\n    permission_classes = [IsAuthenticated]\n\nclass V(APIView):\n    def get(self, request):\n        return 1\n"
    )
    assert "authn" not in concepts(analysis(source), "V.get")


def test_allow_any_is_an_opening_and_no_control():
    source = (
        DRF + "class V(APIView):\n    permission_classes = [AllowAny]\n    def get(self, request):\n        return 1\n"
    )
    assert "authn" not in concepts(analysis(source), "V.get")


@pytest.mark.parametrize(
    ("router", "on", "held"),
    [
        ("router = APIRouter(dependencies=[Depends(require_user)])", "router", True),
        ("router = APIRouter()", "router", False),
        ("safe_router = APIRouter(dependencies=[Depends(require_user)])\nrouter = APIRouter()", "router", False),
        ("safe_router = APIRouter(dependencies=[Depends(require_user)])\nrouter = APIRouter()", "safe_router", True),
    ],
)
def test_a_router_lends_its_dependencies_to_what_is_registered_on_it(router, on, held):
    source = f"{FASTAPI}{router}\n\n\n@{on}.get('/p/{{pk}}')\ndef show(pk: int):\n    return Patient.get(pk)\n"
    assert ("authn" in concepts(analysis(source), "show")) is held


def test_middleware_in_front_of_a_route_holds_and_behind_it_does_not():
    route = 'router.get("/p/:id", async (req, res) => {\n  res.json(await prisma.patient.findUnique({ where: { id: req.params.id } }));\n});\n'
    ahead = analysis(EXPRESS + "router.use(requireAuth);\n" + route, "src/a.ts")
    behind = analysis(EXPRESS + route + "router.use(requireAuth);\n", "src/a.ts")
    name = next(u.qualname for u in ahead.module.units if id(u) in ahead.endpoints)
    assert "authn" in concepts(ahead, name)
    assert "authn" not in concepts(behind, name)


def test_middleware_of_one_route_does_not_hold_for_the_next():
    source = (
        EXPRESS
        + 'router.get("/a", requireAuth, (req, res) => res.json(1));\nrouter.get("/b", (req, res) => res.json(2));\n'
    )
    found = analysis(source, "src/a.ts")
    by_path = {e.path: {f.concept for f in found.own(e.unit).facts} for e in found.endpoints.values()}
    assert "authn" in by_path["/a"]
    assert "authn" not in by_path["/b"]


def test_a_hook_of_the_file_holds_for_its_endpoints():
    source = """\
from flask import Blueprint
from app.auth import require_login
bp = Blueprint("p", __name__)

@bp.before_request
@require_login
def signed_in():
    require_login()

@bp.get("/p/<pk>")
def show(pk):
    return Patient.query.get(pk)
"""
    assert "authn" in concepts(analysis(source), "show")


# -- helpers -------------------------------------------------------------------------------------------------------


def chained(hops: int) -> str:
    """A view whose audit call is ``hops`` helpers away."""
    source = (
        IMPORTS
        + "@login_required\ndef view(request, pk):\n    p = Patient.objects.get(pk=pk, org=request.user.org)\n    _h1(p)\n    return JsonResponse({'n': p.name})\n"
    )
    for n in range(1, hops + 1):
        source += f"\n\ndef _h{n}(p):\n    " + (f"_h{n + 1}(p)" if n < hops else "audit_log(p)") + "\n"
    return source


@pytest.mark.parametrize(("hops", "held"), [(1, True), (2, True), (3, True), (4, False)])
def test_a_helper_lends_its_facts_up_to_three_hops(hops, held):
    assert ("audit" in concepts(analysis(chained(hops)), "view")) is held


def test_the_nearest_way_to_a_helper_counts():
    """A helper that a long chain reaches first is still one hop away when it is also called directly."""
    source = chained(4).replace("    _h1(p)\n", "    _h1(p)\n    _h3(p)\n")
    assert "audit" in concepts(analysis(source), "view")


def test_recursion_and_mutual_recursion_end():
    source = (
        IMPORTS
        + "def a(request):\n    b(request)\n    a(request)\n\n\ndef b(request):\n    a(request)\n    audit_log(1)\n"
    )
    assert "audit" in concepts(analysis(source), "a")


def test_a_method_helper_is_found_in_the_class_and_in_a_base_of_the_file():
    source = (
        DRF
        + "class Base(APIView):\n    def note(self, p):\n        audit_log(p)\n\nclass V(Base):\n    def get(self, request, pk):\n        self.note(pk)\n"
    )
    assert "audit" in concepts(analysis(source), "V.get")


def test_a_method_of_another_class_with_the_same_name_is_not_the_helper():
    source = (
        DRF
        + "class Other:\n    def note(self, p):\n        audit_log(p)\n\nclass V(APIView):\n    def get(self, request, pk):\n        self.note(pk)\n"
    )
    assert "audit" not in concepts(analysis(source), "V.get")


def test_a_helper_that_is_only_defined_lends_nothing():
    source = IMPORTS + "def view(request, pk):\n    return 1\n\n\ndef _audit(p):\n    audit_log(p)\n"
    assert "audit" not in concepts(analysis(source), "view")


def test_what_a_helper_reads_is_told_at_the_call_with_the_way_there():
    source = (
        IMPORTS
        + "def view(request, pk):\n    return _load(pk)\n\n\ndef _load(pk):\n    return Patient.objects.get(pk=pk)\n"
    )
    [read] = facts_of(analysis(source), "view", "read")
    assert source.split("\n")[read.line - 1].strip() == "return _load(pk)"
    assert read.via.startswith("_load (line ")


def test_a_callback_belongs_to_the_function_around_it():
    source = (
        EXPRESS
        + "export async function save(req: any) {\n  await prisma.$transaction(async (tx) => {\n    await tx.patient.update({ where: { id: 1 }, data: {} });\n    await auditLog.record({});\n  });\n}\n"
    )
    assert {"write", "audit"} <= concepts(analysis(source, "src/a.ts"), "save")


# -- an endpoint keeps its own duties ------------------------------------------------------------------------------


def test_an_endpoint_that_some_other_function_calls_is_still_judged():
    """Or one line, ``def _unused(): return detail(None, 1)``, would switch every policy off for it."""
    source = (
        IMPORTS
        + "@login_required\ndef detail(request, pk):\n    p = Patient.objects.get(pk=pk, org=request.user.org)\n    return JsonResponse({'n': p.name})\n"
    )
    plain = rules(change("app/views.py", None, source))
    assert "hipaa.audit-phi-read" in plain
    assert rules(change("app/views.py", None, source + "\n\ndef _unused():\n    return detail(None, 1)\n")) == plain
    assert (
        rules(
            change(
                "app/views.py",
                None,
                source + "\n\ndef _a(r):\n    return _b(r)\n\n\ndef _b(r):\n    return detail(r, 1)\n",
            )
        )
        == plain
    )


def test_two_endpoints_that_call_each_other_do_not_excuse_each_other():
    source = IMPORTS + (
        "def one(request, pk):\n    p = Patient.objects.get(pk=pk)\n    if p.x:\n        return two(request, pk)\n    return JsonResponse({'n': p.name})\n\n\n"
        "def two(request, pk):\n    p = Patient.objects.get(pk=pk)\n    if p.y:\n        return one(request, pk)\n    return JsonResponse({'n': p.name})\n"
    )
    assert "hipaa.audit-phi-read" in rules(change("app/views.py", None, source))


def test_a_registered_route_is_judged_although_a_controlled_route_calls_it():
    source = FASTAPI + (
        "router = APIRouter()\n\n\n@router.get('/a/{pk}')\ndef open_one(pk: int):\n    return session.get(Patient, pk)\n\n\n"
        "@router.get('/b/{pk}')\ndef closed(pk: int, user=Depends(current_user)):\n    audit_log(pk)\n    return open_one(pk)\n"
    )
    assert ("access.endpoint-auth", "open_one") in {
        (r, u) for r, u, _ in introduced(change("app/api.py", None, source))
    }


@pytest.mark.parametrize(
    "name",
    "health_records health_history healthRecord shipping_list lesson_list processor mapping already_seen patient_docs developing registered_patients".split(),
)
def test_a_word_inside_a_name_does_not_open_an_endpoint(name):
    """*health* is a probe in ``healthz`` and the whole subject in ``health_records``."""
    source = (
        FASTAPI
        + f"router = APIRouter()\n\n\n@router.get('/{name}/{{pk}}')\ndef {name}(pk: int):\n    return service.load(pk)\n"
    )
    assert "access.endpoint-auth" in rules(change("app/api.py", None, source)), name


@pytest.mark.parametrize(
    "name", "health healthz health_check ping readyz metrics login sign_up stripe_webhook oauth_callback".split()
)
def test_probes_and_sign_in_flows_are_open_by_nature(name):
    source = FASTAPI + f"router = APIRouter()\n\n\n@router.get('/{name}')\ndef {name}():\n    return service.load()\n"
    assert "access.endpoint-auth" not in rules(change("app/api.py", None, source)), name


def test_no_name_opens_an_endpoint_that_works_on_health_data():
    source = (
        FASTAPI
        + "router = APIRouter()\n\n\n@router.get('/public/{pk}')\ndef public_login_webhook(pk: int):\n    return session.get(Patient, pk)\n"
    )
    assert "access.endpoint-auth" in rules(change("app/api.py", None, source))


# -- queries -------------------------------------------------------------------------------------------------------


def query(*lines: str, facts: str = ""):
    source = IMPORTS + "def view(request, pk):\n" + "".join(f"    {line}\n" for line in lines)
    return next(f for f in facts_of(analysis(source, facts=facts), "view") if f.concept in ("read", "write", "delete"))


@pytest.mark.parametrize(
    ("line", "keyed", "scoped"),
    [
        ("Patient.objects.get(pk=pk)", True, False),
        ("Patient.objects.get(pk=request.GET['id'])", True, False),
        ("Patient.objects.get(pk=7)", False, False),
        ("Patient.objects.get(pk=pk, org=request.user.org)", True, True),
        ("Patient.objects.filter(org_id=request.user.org_id).get(pk=pk)", True, True),
        ("Patient.objects.filter(Q(org=request.user.org) & Q(pk=pk)).first()", True, True),
        ("Patient.objects.filter(**{'org': request.user.org, 'pk': pk})", True, True),
    ],
)
def test_a_query_says_who_chose_its_key_and_what_limits_it(line, keyed, scoped):
    found = query(line)
    assert (found.keyed, found.scoped, found.resource, found.phi) == (keyed, scoped, "Patient", True)


def test_a_later_filter_limits_an_earlier_query():
    found = query("rows = Patient.objects.filter(pk=pk)", "rows = rows.filter(org=request.user.org)", "return rows")
    assert found.scoped


def test_the_key_of_the_tenant_is_the_projects():
    assert not query("Patient.objects.get(pk=pk, realm=request.user.realm)").scoped
    assert query("Patient.objects.get(pk=pk, realm=request.user.realm)", facts='facts.tenant.key = "realm"').scoped


def test_attributes_set_and_committed_are_a_write():
    source = "from sqlalchemy.orm import Session\nfrom app.models import Patient\n\ndef view(session: Session, pk):\n    p = session.get(Patient, pk)\n    p.name = 'x'\n    session.commit()\n"
    assert "write" in {f.concept for f in facts_of(analysis(source), "view")}


@pytest.mark.parametrize(
    ("line", "concept"),
    [
        ("if patient.org_id != request.user.org_id:\n        raise PermissionDenied", "membership"),
        ("if request.user.org_id == patient.org_id:\n        pass", "membership"),
        ("if note.author_id == request.user.id:\n        pass", "object-check"),
        ("if pk is None:\n        pass", ""),
        ("if request.user is None:\n        pass", ""),
        ("if request.user.a == request.user.b:\n        pass", ""),
    ],
)
def test_a_comparison_with_the_caller_is_a_check(line, concept):
    source = IMPORTS + f"def view(request, pk):\n    patient = note = load(pk)\n    {line}\n"
    assert {f.concept for f in facts_of(analysis(source), "view")} & {"membership", "object-check"} == (
        {concept} - {""}
    )


def test_every_fact_lies_in_the_file_and_names_its_unit():
    found = analysis(IMPORTS + "def view(request, pk):\n    p = Patient.objects.get(pk=pk)\n    logger.info(p.ssn)\n")
    size = len(found.module.source)
    for own in found.units.values():
        for fact in own.facts:
            assert 0 <= fact.start <= fact.end <= size
            assert fact.unit is own.unit
    assert unit(found, "view").line == found.module.source.count("\n", 0, found.module.source.index("def view")) + 1


def test_what_a_comprehension_and_an_iterating_method_run_over_is_what_their_variables_hold():
    found = analysis("""
def update(request):
    keys = [row["id"] for row in request.data.get("rows")]
    return list(Invoice.objects.filter(pk__in=keys))
""")
    [read] = facts_of(found, "update", "read")
    assert (read.resource, read.keyed) == ("Invoice", True)
    found = analysis(
        """
import express from "express";
const router = express.Router();
router.post("/close", async (req, res) => {
  const { rows } = req.body;
  res.json(await Promise.all(rows.map(({ id }) => prisma.invoice.findUnique({ where: { id } }))));
});
""",
        path="src/routes.ts",
    )
    [read] = facts_of(found, "router.post('/close')", "read")
    assert (read.keyed, read.single, read.alone) == (True, True, True)


def test_a_key_beside_another_condition_is_not_alone():
    found = analysis(
        IMPORTS
        + """
def update(request, project_id, pk):
    return Invoice.objects.get(pk=pk, project_id=project_id)
"""
    )
    [read] = facts_of(found, "update", "read")
    assert (read.keyed, read.alone) == (True, False)


@pytest.mark.parametrize(("given", "asked"), [("Query()", True), ("Header()", True), ("Depends(tenant_of)", False)])
def test_an_annotated_parameter_says_who_fills_it(given, asked):
    source = f"""
from typing import Annotated
from fastapi import APIRouter, Depends, Header, Query
from app.models import Encounter

router = APIRouter()


@router.get("/encounters")
def show(tenant_id: Annotated[int, {given}], db: Annotated[Session, Depends(get_db)]):
    return [row.id for row in db.scalars(select(Encounter).where(Encounter.tenant_id == tenant_id))]
"""
    facts = '[facts.tenant]\nkey = "tenant_id"\n'
    assert ("tenancy.tenant-from-client" in rules(change("app/api.py", None, source), facts=facts)) is asked
