"""What ``agentreview init`` proposes for small but realistic repositories, and the file it writes."""

from __future__ import annotations

import dataclasses
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.config import parse_config
from agentreview.detect import BATCH, Detection, Found, detect, render
from agentreview.detect_render import FACTS
from agentreview.facts import CHOICES, Facts


def run(files: dict[str, str | bytes]) -> Detection:
    data = {path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()}
    return detect(data, lambda paths: {path: data[path] for path in paths})


def facts(detection: Detection) -> Facts:
    return parse_config(render(detection).encode(), path="agentreview.toml", known_policies=()).facts


DJANGO = {
    "requirements.txt": "Django==5.1\ndjangorestframework>=3.15\ndjango-auditlog\nsentry-sdk\n",
    "requirements-dev.txt": "factory-boy\nFaker\n",
    "config/settings.py": """
REST_FRAMEWORK = {
    "DEFAULT_PERMISSION_CLASSES": (
        "rest_framework.permissions.IsAuthenticated",
    ),
}
""",
    "clinic/models.py": '''
from auditlog.registry import auditlog
from django.db import models

class Facility(models.Model):
    name = models.CharField(max_length=100)
    address = models.TextField()

class Patient(FacilityScoped, models.Model):
    """A person in care."""
    facility = models.ForeignKey(Facility, on_delete=models.CASCADE)
    first_name = models.CharField(max_length=100)
    mrn = models.CharField(max_length=20)
    date_of_birth = models.DateField()
    care_remarks = models.TextField()
    created_by = models.ForeignKey("users.User", on_delete=models.PROTECT)

    class Meta:
        db_table = "clinic_patient"

class Prescription(models.Model):
    facility = models.ForeignKey(
        "clinic.Facility", on_delete=models.CASCADE
    )
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE)
    dosage = models.CharField(max_length=10)
    created_by = models.ForeignKey("users.User", on_delete=models.PROTECT)

class WardTransfer(models.Model):
    patient = models.ForeignKey("clinic.Patient", on_delete=models.CASCADE)
    reason = models.CharField(max_length=10)

class Invoice(models.Model):
    facility = models.ForeignKey(Facility, on_delete=models.CASCADE)
    amount = models.IntegerField()
    created_by = models.ForeignKey("users.User", on_delete=models.PROTECT)

class AuditEvent(models.Model):
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE)

auditlog.register(Patient)
auditlog.register(Prescription, exclude_fields=["x"])
''',
    "clinic/serializers.py": """
from rest_framework import serializers
class PatientSerializer(serializers.ModelSerializer):
    mrn = serializers.CharField()
    diagnosis = serializers.CharField()
""",
    "clinic/views.py": """
from clinic.audit import log_phi_access, AuditEvent
class PatientViewSet(AuditedViewSetMixin, viewsets.ModelViewSet):
    permission_classes = [permissions.IsAuthenticated, ClinicianOnly]
    def get_queryset(self):
        return get_facility_queryset(self.request.user).filter(facility=self.request.user.facility)
    @audited("read")
    def retrieve(self, request, pk):
        if not has_facility_permission(request.user, pk):
            raise PermissionDenied
        log_phi_access(request.user, pk)
    def summary(self, request, pk):
        if not has_facility_permission(request.user, pk):
            raise PermissionDenied
        log_phi_access(request.user, pk)
        rows = AuditEvent.objects.filter(patient=pk)
        logger.info(redact(rows))
@login_required
@public_endpoint
def ping(request):
    return 1
""",
    "clinic/tests/test_views.py": "def test(): audit_everything(1); audit_everything(2); audit_everything(3)\n",
    "node_modules/x/index.js": "auditFromVendor()\n",
}


def test_a_drf_repository_with_auditlog() -> None:
    detection = run(DJANGO)
    assert set(detection.values("frameworks")) == {"django", "drf"}
    assert set(detection.values("phi.models")) == {"Patient", "Prescription", "WardTransfer"}
    assert {"mrn", "date_of_birth", "dosage"} <= set(detection.values("phi.fields"))
    assert detection.values("phi.model_fields") == ("first_name",)
    assert detection.values("phi.free_text") == ("care_remarks",)
    assert detection.values("phi.tables") == ("clinic_patient",)
    assert detection.values("tenant.key") == ("facility",)
    assert detection.get("tenant.key")[0].count == 3
    assert set(detection.values("tenant.models")) == {"Patient", "Prescription", "Invoice"}
    assert detection.values("tenant.sources") == ("request.user.facility",)
    assert detection.values("tenant.isolation") == ("row",)
    assert detection.values("audit.calls") == ("log_phi_access",)
    assert detection.values("audit.decorators") == ("audited",)
    assert detection.values("audit.bases") == ("AuditedViewSetMixin",)
    assert set(detection.values("audit.automatic")) == {"signals:Patient", "signals:Prescription"}
    assert detection.values("access.default") == ("deny",)
    assert set(detection.values("access.guards")) == {"IsAuthenticated", "ClinicianOnly"}
    assert detection.values("access.object_checks") == ("has_facility_permission",)
    assert detection.values("access.decorators") == ("login_required",)
    assert detection.values("access.public_markers") == ("@public_endpoint",)
    assert detection.values("egress.redactors") == ("redact",)
    assert set(detection.values("tests.synthetic_markers")) == {"faker", "factory"}
    assert "**/tests/**" in detection.values("tests.paths")
    assert any("django-auditlog" in note for note in detection.notes)
    assert any("sentry-sdk" in note for note in detection.notes)


def test_every_value_has_its_place_and_the_place_is_right() -> None:
    detection = run(DJANGO)
    for fact, found in detection.facts:
        for one in found:
            text = str(DJANGO[one.path])
            assert one.count > 0
            if one.line:
                assert one.text in text.split("\n")[one.line - 1], fact


def test_the_drf_proposal_as_a_configuration() -> None:
    value = facts(run(DJANGO))
    assert not value.confirmed_by
    assert value.tenant.key == "facility"
    assert value.tenant.isolation == "row"
    assert value.access.default == "deny"
    assert value.access.evidence == 'config/settings.py:3 "DEFAULT_PERMISSION_CLASSES": ('
    assert [one.how for one in value.audit.automatic] == ["signals"]
    assert set(value.audit.automatic[0].models) == {"Patient", "Prescription"}
    assert "mrn" in value.phi.fields


def test_global_django_receivers_audit_every_phi_model() -> None:
    detection = run(
        {
            "app/models.py": "class Patient(models.Model):\n    history = HistoricalRecords()\n"
            "    mrn = models.TextField()\n"
            "class Visit(models.Model):\n    patient = models.ForeignKey(Patient)\n",
            "app/audit/receivers.py": "@receiver(post_save, dispatch_uid='a')\n"
            "def on_save(sender, **kw):\n    write(1)\n",
            "app/search.py": "@receiver(post_save, sender=Patient)\ndef index(sender, **kw):\n    reindex(1)\n",
        }
    )
    assert set(detection.values("audit.automatic")) == {"signals:Patient", "signals:Visit"}


FASTAPI = {
    "pyproject.toml": '[project]\nname = "clinic"\n'
    'dependencies = [\n  "fastapi>=0.110",\n  "SQLAlchemy[asyncio]>=2",\n]\n',
    "app/main.py": "app = FastAPI(title='x', dependencies=[Depends(require_user)])\n",
    "app/models.py": """
class Encounter(Base):
    __tablename__ = "encounters"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"))
    patient_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    notes: Mapped[str] = mapped_column(Text)

class Person(Base):
    __tablename__ = "people"
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"))
    ssn: Mapped[str]
    phone = Column(String)

class Reminder(Base):
    tenant_id = Column(Integer, ForeignKey("tenants.id"))
    person_id = Column(Integer, ForeignKey("people.id"))
""",
    "app/schemas.py": "class PersonOut(BaseModel):\n    ssn: str\n    diagnosis: str\n",
    "app/routes.py": """
@router.get("/people/{id}")
async def read(id: int, user=Depends(get_current_user), db=Depends(get_db)):
    row = await for_tenant(db, user.tenant_id)
    await audit.record("read", id)
    return row
def for_tenant(db, tenant_id):
    return db
""",
    "migrations/001.sql": "ALTER TABLE people ENABLE ROW LEVEL SECURITY;\n"
    "CREATE TRIGGER people_audit AFTER UPDATE ON people\n  FOR EACH ROW EXECUTE FUNCTION audit_row();\n",
}


def test_a_fastapi_repository_with_sqlalchemy() -> None:
    detection = run(FASTAPI)
    assert set(detection.values("frameworks")) == {"fastapi", "sqlalchemy"}
    assert set(detection.values("phi.models")) == {"Encounter", "Person", "Reminder"}
    assert detection.values("phi.free_text") == ("notes",)
    assert detection.values("tenant.key") == ("tenant_id",)
    assert detection.values("tenant.isolation") == ("rls",)
    assert detection.values("tenant.scoped_by") == ("for_tenant",)
    assert detection.values("audit.calls") == ("audit.record",)
    assert detection.values("audit.automatic") == ("triggers:people",)
    assert detection.values("access.default") == ("deny",)
    assert "get_current_user" in detection.values("access.guards")
    assert facts(detection).tenant.isolation == "rls"


EXPRESS = {
    "package.json": '{\n  "name": "clinic",\n  "dependencies": {\n    "express": "^4.18.2",\n'
    '    "@prisma/client": "^5.0.0"\n  },\n'
    '  "devDependencies": {\n    "@faker-js/faker": "8"\n  }\n}\n',
    "prisma/schema.prisma": """
model Patient {
  id        Int    @id
  orgId     Int
  org       Organisation @relation(fields: [orgId], references: [id])
  lastName  String
  birthDate DateTime
  remarks   String @db.Text
  @@map("patients")
}

model Appointment {
  id        Int @id
  orgId     Int
  org       Organisation @relation(fields: [orgId], references: [id])
  patientId Int
  patient   Patient @relation(fields: [patientId], references: [id])
}

model Invoice {
  orgId Int
  org   Organisation @relation(fields: [orgId], references: [id])
  userId Int
}
""",
    "src/app.js": "import express from 'express';\napp.use(cors());\napp.use(requireAuth);\n",
    "src/routes/patients.js": """
router.get('/:id', requireScope('chart:read'), async (req, res) => {
  const row = await prisma.patient.findFirst({ where: { id: req.params.id, orgId: req.auth.orgId } });
  await auditLog.record(req, row.id);
  const log = await prisma.auditLog.findMany({});
  await prisma.auditLog.create({ data: {} });
});
""",
    "src/db.js": "// audit every write\nexport const db = new PrismaClient().$extends({\n"
    "  query: { async $allOperations(a) { return audited(a); } },\n});\n",
    "src/patients.spec.ts": "fakeAudit();\n",
}  # fmt: skip


def test_an_express_repository_with_prisma() -> None:
    detection = run(EXPRESS)
    assert set(detection.values("frameworks")) == {"express", "prisma"}
    assert set(detection.values("phi.models")) == {"Patient", "Appointment"}
    assert detection.values("phi.tables") == ("patients",)
    assert detection.values("tenant.key")[0] in {"org", "orgId"}
    assert detection.get("tenant.key")[0].count == 3
    assert set(detection.values("tenant.models")) == {"Patient", "Appointment", "Invoice"}
    assert detection.values("tenant.sources") == ("req.auth.orgId",)
    assert set(detection.values("audit.calls")) == {"auditLog.record", "prisma.auditLog.create", "audited"}
    assert set(detection.values("audit.automatic")) == {"subscriber:Patient", "subscriber:Appointment"}
    assert detection.values("access.default") == ("deny",)
    assert "requireScope" in detection.values("access.guards")
    assert detection.values("tests.paths") == ("*.spec.ts",)


NEST = {
    "package.json": '{\n  "dependencies": {\n    "@nestjs/core": "10",\n    "typeorm": "0.3"\n  }\n}\n',
    "src/app.module.ts": "@Module({ providers: [{ provide: APP_GUARD, useClass: JwtGuard }] })\n"
    "export class AppModule {}\n",
    "src/lab/lab.entity.ts": """
@Entity('lab_results')
export class LabResult {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @Column({ name: 'clinic_id' })
  clinicId: string;

  @ManyToOne(() => Patient)
  patient: Patient;

  @Column('text') interpretation: string;

  @Column()
  loincCode: string;
}
""",
    "src/lab/order.entity.ts": "@Entity()\nexport class Sample {\n  @ManyToOne(() => LabResult)\n  result: LabResult;\n"
    "  @Column()\n  clinicId: string;\n}\n",
    "src/lab/lab.controller.ts": "@Controller('labs')\n@UseGuards(JwtGuard, ClinicGuard)\n"
    "export class LabController {\n"
    "  @Public()\n  @Audited()\n  find() { return this.audit.record('x'); }\n}\n",
    "src/audit/subscriber.ts": "@EventSubscriber()\n"
    "export class AuditSubscriber implements EntitySubscriberInterface<LabResult> {\n}\n",
}


def test_a_nest_repository_with_typeorm() -> None:
    detection = run(NEST)
    assert set(detection.values("frameworks")) == {"nestjs", "typeorm"}
    assert set(detection.values("phi.models")) == {"LabResult", "Sample"}
    assert detection.values("phi.tables") == ("lab_results",)
    assert detection.values("phi.free_text") == ("interpretation",)
    assert detection.values("tenant.key") == ("clinicId",)
    assert detection.values("audit.calls") == ("audit.record",)
    assert detection.values("audit.decorators") == ("Audited",)
    assert detection.values("audit.automatic") == ("subscriber:LabResult",)
    assert detection.values("access.default") == ("deny",)
    assert set(detection.values("access.guards")) == {"JwtGuard", "ClinicGuard"}
    assert detection.values("access.public_markers") == ("@Public",)


def test_two_level_tenancy_offers_the_first_three_for_a_person_to_choose() -> None:
    models = "".join(
        f"class M{i}(models.Model):\n"
        + "".join(f"    {key} = models.ForeignKey({key.title()})\n" for n, key in enumerate(keys) if i % (n + 1) == 0)
        for i, keys in enumerate([("team", "organisation", "workspace", "company")] * 12)
    )
    detection = run({"a/models.py": models})
    assert detection.values("tenant.key") == ("team", "organisation", "workspace")
    text = render(detection)
    assert '\nkey = "team"' in text
    assert '\n# or: key = "organisation"' in text
    assert facts(detection).tenant.key == "team"


def test_who_and_when_columns_public_views_and_a_lone_account_are_not_facts() -> None:
    detection = run(
        {
            "a.py": "class Issue(AuditModel):\n    account = models.ForeignKey(MailAccount)\n",
            "b.py": "class A(APIView):\n    permission_classes = [ AllowAny ]\n",
        }
    )
    assert detection.facts == ()


def test_an_allowing_default_is_said_and_contradictions_are_noted() -> None:
    files = {
        "a/settings.py": 'X = {"DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"]}\n',
        "b/settings.py": 'MIDDLEWARE = ["django.contrib.auth.middleware.LoginRequiredMiddleware"]\n',
    }
    assert run({"a/settings.py": files["a/settings.py"]}).values("access.default") == ("allow",)
    assert any("access.default" in note for note in run(files).notes)


def test_nothing_found_is_a_file_of_examples_that_sets_nothing() -> None:
    assert facts(run({"README.md": "Patient audit_log()"})) == Facts()


def test_the_file_explains_confirmation_and_names_every_fact() -> None:
    text = render(Detection())
    assert 'confirmed_by = ""' in text
    assert "shown as advice and do not block" in text
    known = {
        f"{table.name}.{field.name}" if dataclasses.is_dataclass(table.default) else table.name
        for table in dataclasses.fields(Facts)
        for field in (dataclasses.fields(table.default) if dataclasses.is_dataclass(table.default) else (table,))
    }
    assert {fact for fact, _, _ in FACTS} == known - {"confirmed_by", "confirmed", "none"}


def test_every_commented_example_is_valid_when_uncommented() -> None:
    lines = [line[2:] if line.startswith("# ") and " = " in line else line for line in render(Detection()).split("\n")]
    text = "\n".join(lines)
    policies = ("hipaa.phi-in-logs",)
    value = parse_config(text.encode(), path="agentreview.toml", known_policies=policies).facts
    assert value.phi.models == ("Patient", "Encounter")
    assert value.audit.automatic[0].how == "signals"
    assert value.session.idle_minutes == 15


HOSTILE = 'a"b\\\n]\n[facts]\nconfirmed_by = "mallory"\x1b[31m\x00\u202e\udcff#'


def test_hostile_names_and_lines_cannot_write_settings() -> None:
    found = (Found(value=HOSTILE, count=1, path=HOSTILE, line=1, text=HOSTILE),)
    quoted = (Found(value='a"b\\', count=1, path=HOSTILE, line=1, text=HOSTILE),)
    automatic = (Found(value="signals:" + 'x"]}\\', count=1, path=HOSTILE, line=1, text=HOSTILE),)
    detection = Detection(
        facts=(
            ("phi.models", found + quoted),
            ("tenant.key", quoted),
            ("access.default", (Found(value="deny", count=1, path=HOSTILE, line=1, text=HOSTILE),)),
            ("audit.automatic", automatic),
        ),
        notes=(HOSTILE,),
    )
    value = facts(detection)
    assert value.confirmed_by == ""
    assert value.phi.models == ('a"b\\',)
    assert value.audit.automatic[0].models == ('x"]}\\',)
    text = render(detection)
    assert all(line.isprintable() for line in text.split("\n"))
    text.encode()


@given(st.dictionaries(st.sampled_from([fact for fact, _, _ in FACTS]), st.lists(st.text(), max_size=3)), st.text())
@settings(max_examples=60, deadline=None)
def test_whatever_was_detected_the_file_parses_and_is_unconfirmed(values: dict[str, list[str]], path: str) -> None:
    listed = {
        fact: tuple(Found(value=one, count=1, path=path, line=1, text=path) for one in items)
        for fact, items in values.items()
        if fact not in CHOICES
        and fact
        not in {"phi.treatment_paths", "tenant.unscoped_in", "tests.paths", "audit.automatic", "egress.approved"}
        and not fact.startswith(("retention", "session", "access.evidence"))
    }
    assert facts(Detection(facts=tuple(listed.items()))).confirmed_by == ""


def test_files_are_read_in_batches_and_only_candidates() -> None:
    asked: list[int] = []
    names = [f"m{i}.py" for i in range(BATCH * 2 + 5)] + ["logo.png", "README.md", "vendor/a.py", "x.min.js"]

    def read(paths):
        asked.append(len(paths))
        assert not {"logo.png", "README.md", "vendor/a.py", "x.min.js"} & set(paths)
        return {path: b"x = 1\n" for path in paths if path != "m0.py"}

    detection = detect(names, read)
    assert asked == [BATCH, BATCH, 5]
    assert (detection.files, detection.unread) == (BATCH * 2 + 4, 1)
    assert "1 files were" in render(detection)


@pytest.mark.parametrize(
    "line",
    ["class A(" + "audit," * 5000, "audit" * 20_000 + "(", "@" + "audit" * 20_000, "a." * 50_000 + "audit(",
     "FastAPI(" + "dependencies=[" * 5000, "    x = " + "models." * 10_000,
     "class A(models.Model):\n" + "    a" * 9000],
)  # fmt: skip
def test_long_hostile_lines_take_no_time(line: str) -> None:
    started = time.perf_counter()
    run({"a.py": (line + "\n") * 3, "b.ts": line, "c.prisma": line, "d.sql": line, "package.json": line})
    assert time.perf_counter() - started < 3


@given(st.binary(max_size=300))
@settings(max_examples=80, deadline=None)
def test_any_bytes_can_be_read(data: bytes) -> None:
    detection = run(dict.fromkeys(("a.py", "b.ts", "c.prisma", "d.sql", "package.json", "requirements.txt"), data))
    assert facts(detection).confirmed_by == ""
