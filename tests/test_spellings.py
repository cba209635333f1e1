"""How libraries spell a read, a change and a destination: one line each, so that a spelling cannot be lost unseen."""

from __future__ import annotations

import pytest

from engine import analysis

STORES_TS = [
    ("knex('patients').where({ id }).first()", "read", "patients", False),
    ("knex('patients').where('id', id).update({ ward })", "write", "patients", True),
    ("knex('patients').update({ ward }).where('id', id)", "write", "patients", True),
    ("trx('patients').where({ id }).del()", "delete", "patients", True),
    ("db.selectFrom('patients').selectAll().where('id', '=', id).executeTakeFirst()", "read", "patients", False),
    ("db.updateTable('patients').set({ ward }).where('id', '=', id).execute()", "write", "patients", True),
    ("db.query.patients.findFirst({ where: eq(patients.id, id) })", "read", "patients", False),
    ("db.select().from(patients).where(eq(patients.id, id))", "read", "patients", False),
    ("db.delete(patients).where(eq(patients.id, id))", "delete", "patients", True),
    ("supabase.from('patients').select('id').eq('id', id).single()", "read", "patients", False),
    ("supabase.from('patients').update({ ward }).eq('id', id)", "write", "patients", True),
    ("Patient.findByPk(id)", "read", "Patient", False),
    ("Patient.update({ ward }, { where: { id } })", "write", "Patient", True),
    ("Patient.update({ ward }, { where: { id }, individualHooks: true })", "write", "Patient", False),
    ("Patient.destroy({ where: { id } })", "delete", "Patient", True),
    ("patient.update({ ward })", "write", "patient", False),
    ("this.patientModel.findByIdAndUpdate(id, { ward })", "write", "patient", False),
    ("this.patientModel.updateMany({ ward }, { open })", "write", "patient", True),
    ("client.db().collection('patients').findOne({ _id: id })", "read", "patients", False),
    ("prisma.patient.updateMany({ where: { id }, data })", "write", "patient", True),
    ("dataSource.getRepository(Patient).findOneBy({ id })", "read", "Patient", False),
    ("Patient.query().patch({ ward }).where('id', id)", "write", "Patient", True),
]
STORES_PY = [
    ("Patient.get_by_id(pk)", "read", "Patient", False),
    ("Patient.select().where(Patient.id == pk).get()", "read", "Patient", False),
    ("Patient.update(ward=ward).where(Patient.id == pk).execute()", "write", "Patient", True),
    ("Patient.delete().where(Patient.id == pk).execute()", "delete", "Patient", True),
    ("Patient.filter(id=pk).update(ward=ward)", "write", "Patient", True),
    ("Patient.get_or_none(id=pk)", "read", "Patient", False),
    ("patient.delete_instance()", "delete", "patient", False),
    ("db['patients'].update_one({'_id': pk}, {'$set': {}})", "write", "patients", False),
    ("get_collection('patients').find_one({'_id': pk})", "read", "patients", False),
    ("get_collection('patients').update_many({}, {'$set': {}})", "write", "patients", True),
    ("Patient.objects.aget(pk=pk)", "read", "Patient", False),
    ("Patient.objects.filter(pk=pk).aupdate(ward=ward)", "write", "Patient", True),
    ("Patient.objects(id=pk).first()", "read", "Patient", False),
    ("session.exec(select(Patient).where(Patient.id == pk)).first()", "read", "Patient", False),
]
SENT_TS = [
    ("Sentry.setUser({ email: patient.email })", "send"),
    ("posthog.capture({ event, properties: { mrn: patient.mrn } })", "send"),
    ("analytics.identify(id, { name: patient.fullName })", "send"),
    ("Intercom('update', { name: patient.fullName })", "send"),
    ("LogRocket.identify(id, { name: patient.fullName })", "send"),
    ("datadogRum.setUser({ name: patient.fullName })", "send"),
    ("slack.chat.postMessage({ text: patient.diagnosis })", "send"),
    ("new ChatOpenAI({ model }).invoke(patient.diagnosis)", "prompt"),
    ("generateText({ model, prompt: patient.diagnosis })", "prompt"),
    ("mistral.chat.complete({ messages: [patient.diagnosis] })", "prompt"),
    ("client.send(new InvokeModelCommand({ body: patient.diagnosis }))", "prompt"),
    ("langfuse.trace({ input: patient.diagnosis })", "prompt"),
    ("visits.inc({ patient: patient.fullName })", ""),
    ("visitsCounter.inc({ patient: patient.fullName })", "log"),
    ("logger.child({ mrn: patient.mrn }).info('x')", "log"),
]
SENT_PY = [
    ("sentry_sdk.set_context('patient', {'mrn': patient.mrn})", "log"),
    ("rollbar.report_message(patient.mrn)", "log"),
    ("newrelic.agent.add_custom_attribute('mrn', patient.mrn)", "log"),
    ("tracer.start_as_current_span('x', attributes={'mrn': patient.mrn})", "log"),
    ("VISITS_TOTAL.labels(patient.full_name)", "log"),
    ("visit_counter.add(1, {'mrn': patient.mrn})", "log"),
    ("client.post(url, json={'mrn': patient.mrn})", "send"),
    ("sns_client.publish(Message=patient.diagnosis)", "send"),
    ("slack_client.chat_postMessage(text=patient.diagnosis)", "send"),
    ("litellm.completion(messages=[patient.diagnosis])", "prompt"),
    ("ChatOpenAI(model='m').invoke(patient.diagnosis)", "prompt"),
    ("query_engine.query(patient.diagnosis)", "prompt"),
    ("client.models.generate_content(contents=patient.diagnosis)", "prompt"),
    ("Chroma.from_texts([patient.diagnosis])", "prompt"),
    ("langfuse_context.update_current_observation(input=patient.diagnosis)", "prompt"),
    ("scrubadub.clean(patient.diagnosis)", ""),
    ("anonymizer.anonymize(text=patient.diagnosis)", ""),
]


def ts(statement: str) -> list:
    source = f'import mongoose from "mongoose";\nimport {{ Worker }} from "bullmq";\nexport async function f(id) {{\n  await {statement};\n}}\n'
    found = analysis(source, "src/patients/service.ts")
    return [fact for own in found.units.values() for fact in own.facts]


def py(statement: str) -> list:
    imports = "import beanie, httpx, langchain, peewee, sqlmodel, tortoise\nfrom langfuse import observe\nfrom app.models import Patient\n"
    found = analysis(f"{imports}async def f(pk, ward):\n    {statement}\n", "patients/service.py")
    return [fact for own in found.units.values() for fact in own.facts]


@pytest.mark.parametrize(("statement", "concept", "resource", "bulk"), STORES_TS, ids=[row[0] for row in STORES_TS])
def test_a_store_of_typescript_is_read_and_changed(statement, concept, resource, bulk):
    (fact,) = [f for f in ts(statement) if f.concept in ("read", "write", "delete")]
    assert (fact.concept, fact.resource, fact.bulk) == (concept, resource, bulk)


@pytest.mark.parametrize(("statement", "concept", "resource", "bulk"), STORES_PY, ids=[row[0] for row in STORES_PY])
def test_a_store_of_python_is_read_and_changed(statement, concept, resource, bulk):
    facts = [f for f in py(statement) if f.concept in ("read", "write", "delete") and f.resource]
    assert (concept, resource, bulk) in [(f.concept, f.resource, f.bulk) for f in facts]
    assert {f.resource for f in facts} == {resource}


@pytest.mark.parametrize(("statement", "concept"), SENT_TS, ids=[row[0] for row in SENT_TS])
def test_a_destination_of_typescript_shows_what_it_is_given(statement, concept):
    assert {f.concept for f in ts(statement) if f.labels and f.concept in ("send", "prompt", "log")} >= {concept} - {""}
    if not concept:
        assert not [f for f in ts(statement) if f.labels and f.concept in ("send", "prompt", "log")]


@pytest.mark.parametrize(("statement", "concept"), SENT_PY, ids=[row[0] for row in SENT_PY])
def test_a_destination_of_python_shows_what_it_is_given(statement, concept):
    found = [f for f in py(statement) if f.labels and f.concept in ("send", "prompt", "log")]
    assert concept in {f.concept for f in found} if concept else not found
