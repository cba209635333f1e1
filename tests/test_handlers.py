"""Functions that answer because something is given them: procedures, chained routes, resolvers, actions, workers."""

from __future__ import annotations

import pytest

from agentreview.policies.compare import Engine
from agentreview.policies.load import load
from engine import analysis, change, concepts, config, introduced, rules, unit

TRPC = """\
import { z } from "zod";
import { router, publicProcedure, protectedProcedure, %s } from "../trpc";

export const patients = router({
  byId: %s.input(z.object({ id: z.string() })).query(async ({ ctx, input }) => {
    return ctx.db.patient.findUnique({ where: { id: input.id }, select: { id: true } });
  }),
});
"""


def endpoints(source: str, path: str = "src/server.ts") -> dict[str, str]:
    """Name of every endpoint of a file and its path."""
    return {e.unit.name: e.path for e in analysis(source, path).endpoints.values()}


def test_a_procedure_is_an_endpoint_named_after_its_key():
    assert endpoints(TRPC % ("x", "publicProcedure")) == {"byId": ""}


@pytest.mark.parametrize(
    ("made", "uses"),
    [
        ('import { Router } from "express";\nexport const patients = Router();', "patients.use(requireUser);"),
        ('import express from "express";\nconst patients = express.Router();', "patients.use(requireUser);"),
        ('import express from "express";\nconst patients = express();', "patients.use(requireUser);"),
        ('import Fastify from "fastify";\nconst patients = Fastify();', 'patients.addHook("onRequest", requireUser);'),
        ('import { Hono } from "hono";\nconst patients = new Hono().use(requireUser);', ""),
        ('import Router from "@koa/router";\nconst patients = new Router();', "patients.use(requireUser);"),
    ],
)
def test_a_router_under_any_name_is_told_by_what_made_it(made, uses):
    source = f'{made}\n{uses}\npatients.get("/:id", async (req, res) => {{\n  res.json(await prisma.patient.findFirst());\n}});\n'
    name = "patients.get('/:id')"
    assert endpoints(source) == {name: "/:id"}
    introduced_ = introduced(change("src/server.ts", None, source), rule="access.endpoint-auth")
    assert introduced_ == []
    assert "hipaa.audit-phi-read" in rules(change("src/server.ts", None, source))


def test_what_no_router_made_answers_nobody():
    source = """\
import express from "express";
const kept = new Cache();
kept.get("patients", async () => prisma.patient.findMany());
"""
    assert endpoints(source) == {}


@pytest.mark.parametrize(
    ("procedure", "wanted", "unwanted"),
    [
        ("protectedProcedure", {"authn"}, {"opening"}),
        ("publicProcedure", {"opening"}, {"authn"}),
        ("organizationProcedure", {"authn", "membership"}, {"opening"}),
        ("t.procedure.use(requireAuth)", {"authn"}, {"opening"}),
        ("t.procedure", set(), {"authn", "opening"}),
    ],
)
def test_the_receiver_of_a_procedure_stands_in_front_of_it(procedure, wanted, unwanted):
    found = concepts(analysis(TRPC % ("t", procedure), "src/server.ts"), "byId")
    assert wanted <= found
    assert not unwanted & found


def test_a_procedure_made_in_the_same_file_lends_what_it_is_made_of():
    source = (TRPC % ("t", "mineProcedure")).replace(
        "export const",
        "const checked = t.middleware(({ ctx, next }) => {\n"
        "  if (!ctx.session) throw new TRPCError({ code: 'UNAUTHORIZED' });\n  return next();\n});\n"
        "const mineProcedure = t.procedure.use(checked);\nexport const",
    )
    assert "authn" in concepts(analysis(source, "src/server.ts"), "byId")


def test_only_what_the_client_sent_is_client_input_of_a_procedure():
    found = analysis(TRPC % ("x", "protectedProcedure"), "src/server.ts")
    read = next(f for f in found.own(unit(found, "byId")).facts if f.concept == "read")
    assert read.keyed
    other = TRPC % ("x", "protectedProcedure")
    found = analysis(other.replace("id: input.id }", "id: ctx.chosen }"), "src/server.ts")
    assert not next(f for f in found.own(unit(found, "byId")).facts if f.concept == "read").keyed


def test_a_public_procedure_that_asks_in_its_code_is_not_opened_to_anyone():
    source = (TRPC % ("x", "publicProcedure")).replace(
        "    return ctx.db", '    if (!ctx.session) throw new TRPCError({ code: "FORBIDDEN" });\n    return ctx.db'
    )
    assert "access.endpoint-auth" not in rules(change("src/server.ts", None, source))
    assert "access.endpoint-auth" in rules(change("src/server.ts", None, TRPC % ("x", "publicProcedure")))


HONO = """\
import { Hono } from "hono";
import { bearerAuth } from "hono/bearer-auth";

export const app = new Hono()
  .get("/status", (c) => c.text("ok"))
  .use(bearerAuth({ token }))
  .get("/patients/:id", show)
  .post("/patients", (c) => c.json(save(c.req)));

function show(c) {
  return c.json(c.req.param("id"));
}
"""


def test_every_route_of_a_chain_is_an_endpoint_and_middleware_holds_for_those_behind_it():
    found = analysis(HONO, "src/server.ts")
    assert {e.path for e in found.endpoints.values()} == {"/status", "/patients/:id", "/patients"}
    by_path = {e.path: e.unit.qualname for e in found.endpoints.values()}
    assert "authn" not in concepts(found, by_path["/status"])
    assert "authn" in concepts(found, by_path["/patients/:id"])
    assert "authn" in concepts(found, by_path["/patients"])


def test_the_verbs_of_one_path_are_endpoints():
    source = (
        'import { Router } from "express";\nconst router = Router();\n'
        'router.route("/patients/:id")\n  .get(requireAuth, (req, res) => show(req))\n  .delete((req, res) => drop(req));\n'
    )
    found = analysis(source, "src/server.ts")
    guarded = {
        e.unit.line: any(f.concept == "authn" for f in found.own(e.unit).facts) for e in found.endpoints.values()
    }
    assert guarded == {4: True, 5: False}
    assert {e.path for e in found.endpoints.values()} == {"/patients/:id"}


@pytest.mark.parametrize(
    ("options", "guarded"), [("preHandler: [fastify.authenticate], ", True), ("preHandler: [logTime], ", False)]
)
def test_what_the_options_of_a_route_run_before_the_handler_stands_in_front_of_it(options, guarded):
    source = (
        'import { fastify } from "fastify";\nexport async function routes(fastify) {\n'
        f'  fastify.route({{ method: "GET", url: "/x", {options}handler: async (request) => load(request.params.id) }});\n}}\n'
    )
    found = analysis(source, "src/server.ts")
    (endpoint,) = found.endpoints.values()
    assert ("authn" in concepts(found, endpoint.unit.qualname)) is guarded


def test_resolvers_answer_and_their_context_is_no_client_input():
    source = """\
export const resolvers = {
  Query: {
    patient: async (_parent, { id }, { prisma }) => prisma.patient.findUnique({ where: { id } }),
    ward: authenticated(async (_parent, args, { viewer }) => load(viewer.wardId)),
    staff: listStaff,
  },
  Patient: { name: (patient) => patient.displayName },
};
function listStaff(parent, args) { return all(args.ward); }
"""
    found = analysis(source, "src/resolvers.ts")
    assert {e.unit.name for e in found.endpoints.values()} == {"patient", "ward", "listStaff"}
    read = next(f for f in found.own(unit(found, "patient")).facts if f.concept == "read")
    assert (read.resource, read.keyed) == ("patient", True)
    assert "authn" in concepts(found, "ward")


def test_exported_functions_of_a_file_of_server_actions_are_endpoints():
    source = '"use server";\nexport async function rename(id) { await save(id); }\nasync function save(id) {}\n'
    assert set(endpoints(source, "app/actions.ts")) == {"rename"}
    inline = (
        'export function Page() {\n  async function rename(data) {\n    "use server";\n    await save(data);\n  }\n}\n'
    )
    assert set(endpoints(inline, "app/page.tsx")) == {"rename"}
    assert not endpoints(source.replace('"use server"', '"use client"'), "app/actions.ts")


def test_what_a_queue_worker_is_given_is_a_job():
    source = (
        'import { Worker } from "bullmq";\nexport const w = new Worker("mail", async (job) => send(job.data.id));\n'
        'export const v = new Worker("fax", fax);\nasync function fax(job) { await send(job.data.id); }\n'
    )
    found = analysis(source, "src/worker.ts")
    jobs = {own.unit.name for own in found.units.values() if any(f.concept == "job" for f in own.facts)}
    assert jobs == {"Worker('mail')", "fax"}
    assert not found.endpoints


def test_a_logger_masks_the_properties_its_configuration_names_and_nothing_in_a_text():
    source = (
        'import pino from "pino";\nconst logger = pino({ redact: ["*.ssn", "patient"] });\n'
        "export function one(patient: Patient) { logger.info({ patient }, 'seen'); }\n"
        "export function two(patient: Patient) { logger.info(`seen ${patient.ssn}`); }\n"
        "export function three(patient: Patient) { logger.info({ mrn: patient.mrn }, 'seen'); }\n"
    )
    assert [unit for _, unit, _ in introduced(change("src/log.ts", None, source), rule="hipaa.phi-in-logs")] == [
        "two",
        "three",
    ]


GRAPHENE = """\
import graphene
from clinic.fields import PermissionsField
from clinic.models import Patient


class Query(graphene.ObjectType):
    patient = %s
    def resolve_patient(self, info, id):
        return Patient.objects.get(pk=id)


class PatientType(graphene.ObjectType):
    def resolve_name(self, info):
        return self.name
"""


def test_the_keywords_of_a_field_hold_for_its_resolver_and_fields_of_types_are_no_endpoints():
    found = analysis(GRAPHENE % "graphene.Field(PatientType, id=graphene.ID())", "clinic/schema.py")
    assert [e.unit.qualname for e in found.endpoints.values()] == ["Query.resolve_patient"]
    assert "authn" not in concepts(found, "Query.resolve_patient")
    found = analysis(GRAPHENE % 'PermissionsField(PatientType, permissions=["chart.read"])', "clinic/schema.py")
    assert "authn" in concepts(found, "Query.resolve_patient")


def test_the_options_of_a_mutation_hold_for_it():
    source = (
        "import graphene\nfrom clinic.models import Patient\n\n\nclass Rename(BaseMutation):\n    class Meta:\n"
        "        permissions = (Perms.MANAGE,)\n\n    @classmethod\n    def mutate(cls, root, info, id):\n"
        "        Patient.objects.get(pk=id).save()\n"
    )
    assert "authn" in concepts(analysis(source, "clinic/schema.py"), "Rename.mutate")
    assert "authn" not in concepts(
        analysis(source.replace("(Perms.MANAGE,)", "[]"), "clinic/schema.py"), "Rename.mutate"
    )


def test_a_framework_is_looked_up_in_its_place_whenever_it_was_first_used():
    sources = [
        ("a.py", "from fastapi import APIRouter\nrouter = APIRouter()\n@router.get('/x')\ndef f(): return 1\n"),
        ("b.py", "from flask import Flask\napp = Flask(__name__)\n@app.route('/x')\ndef f(): return jsonify(1)\n"),
        ("c.ts", TRPC % ("x", "publicProcedure")),
    ]

    def seen(order: list[tuple[str, str]]) -> dict[str, list[tuple[str, str, int]]]:
        mine = Engine(load(), config("[facts.audit]\ncalls = ['x']\n"))  # an engine with matchers of its own
        out = {}
        for path, text in order:
            read = mine.analyse(path, text.encode())
            out[path] = [(f.concept, f.framework, f.start) for own in read.units.values() for f in own.facts]
        return out

    assert seen(sources) == seen(sources[::-1])


@pytest.mark.parametrize(("extra", "guarded"), [(", dependencies=[Depends(current_user)]", True), ("", False)])
def test_a_route_that_is_added_by_a_call_has_the_dependencies_it_names(extra, guarded):
    source = (
        "from fastapi import APIRouter, Depends\nfrom app.auth import current_user\n\nrouter = APIRouter()\n\n\n"
        "async def show(patient_id: str):\n    return patient_id\n\n\n"
        f'router.add_api_route("/patients/{{patient_id}}", show{extra})\n'
    )
    found = analysis(source, "app/api.py")
    assert {e.unit.name for e in found.endpoints.values()} == {"show"}
    assert ("authn" in concepts(found, "show")) is guarded
