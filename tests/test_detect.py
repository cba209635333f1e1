"""What ``agentreview init`` proposes for small but realistic repositories, and the file it writes."""

from __future__ import annotations

import dataclasses
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.config import parse_config
from agentreview.detect import Detection, Found, detect, render
from agentreview.detect.find import BATCH, TEST_PATHS, _which
from agentreview.facts import CHOICES, Facts
from agentreview.globs import matches
from agentreview.settings import FACTS


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
    assert any("sentry_sdk" in note for note in detection.notes)


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
    assert set(detection.values("audit.calls")) == {"auditLog.record", "auditLog.create", "audited"}
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


def test_a_line_that_shows_a_fact_is_written_without_the_values_that_reports_hide() -> None:
    token, number = "ghp_" + "a9Zk3LqW8rT2vYx7Bn5M" * 2, "-".join(("219", "45", "3821"))
    text = f'AuditEvent.objects.create(token="{token}", note="{number}")'
    found = (Found(value="AuditEvent.objects.create", count=1, path="audit.py", line=5, text=text),)
    written = render(Detection(facts=(("audit.calls", found),)))
    assert "# audit.py:5 AuditEvent.objects.create(" in written
    assert token[4:] not in written
    assert number not in written


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
    started = time.process_time()
    run({"a.py": (line + "\n") * 3, "b.ts": line, "c.prisma": line, "d.sql": line, "package.json": line})
    assert time.process_time() - started < 10


@given(st.binary(max_size=300))
@settings(max_examples=80, deadline=None)
def test_any_bytes_can_be_read(data: bytes) -> None:
    detection = run(dict.fromkeys(("a.py", "b.ts", "c.prisma", "d.sql", "package.json", "requirements.txt"), data))
    assert facts(detection).confirmed_by == ""


SPRING = {
    "pom.xml": """<project>
  <dependencies>
    <dependency><artifactId>spring-boot-starter-web</artifactId></dependency>
    <dependency><artifactId>spring-boot-starter-data-jpa</artifactId></dependency>
    <dependency><artifactId>hibernate-envers</artifactId></dependency>
    <dependency><artifactId>javafaker</artifactId></dependency>
    <dependency><artifactId>sentry-spring-boot-starter</artifactId></dependency>
    <dependency><artifactId>jedis</artifactId></dependency>
  </dependencies>
</project>
""",
    "src/main/resources/application.properties": "server.servlet.session.timeout=15m\naudit.log.retention.days=2555\n"
    "spring.datasource.hikari.minimum-idle=30\n",
    "src/main/java/org/clinic/model/Scoped.java": """
@MappedSuperclass
public abstract class Scoped {
  @ManyToOne
  private Organization organization;
}
""",
    "src/main/java/org/clinic/model/Patient.java": """
import org.hibernate.envers.Audited;

@Entity
@Audited
@Table(name = "patients")
public class Patient extends Scoped {
  private static final long serialVersionUID = 1L;
  @Id private UUID id;
  @Column(nullable = false) private String mrn;
  private LocalDate birthDate;
  @Lob
  private String remarks;

  public String getMrn() {
    return mrn;
  }
}
""",
    "src/main/java/org/clinic/model/LabOrder.java": """
@Entity
public class LabOrder extends Scoped {
  @ManyToOne
  private Patient patient;
  private String loincCode;
}
""",
    "src/main/java/org/clinic/model/SubstanceUsePatientNote.java": """
@Entity
public class SubstanceUsePatientNote extends Scoped {
  @ManyToOne
  private Patient patient;
}
""",
    "src/main/java/org/clinic/model/Icd10Code.java": "@Entity\npublic class Icd10Code {\n  private String code;\n}\n",
    "src/main/java/org/clinic/web/PatientController.java": """
public class PatientController {
  @GetMapping("/patients/{id}")
  @PreAuthorize("hasAuthority('chart')")
  public PatientDto show(@PathVariable UUID id) {
    accessService.checkPatientAccess(currentUser, id);
    Patient patient = repository.findByIdAndOrganization(id, currentUser.getOrganization());
    auditService.recordRead(currentUser, patient.getId());
    return PatientDto.of(patient);
  }
  @PutMapping("/patients/{id}")
  @Transactional
  public void save(@PathVariable UUID id) {
    accessService.checkPatientAccess(currentUser, id);
    repository.save(patient);
    auditService.recordUpdate(currentUser, id);
  }
  @PermitAll
  public String ping() {
    return "pong";
  }
  private void recordAudit(String what) {
  }
}
""",
    "src/main/java/org/clinic/SecurityConfig.java": """
public class SecurityConfig {
  SecurityFilterChain chain(HttpSecurity http) {
    http.authorizeHttpRequests(auth -> auth
        .requestMatchers("/health").permitAll()
        .anyRequest()
        .authenticated());
  }
}
""",
    "src/main/java/org/clinic/TenantJob.java": "public abstract class TenantAwareJob implements Job {\n}\n",
    "src/test/java/org/clinic/PatientControllerTest.java": "auditService.recordEverything(1);\n",
}


def test_a_spring_repository_with_jpa_and_envers() -> None:
    detection = run(SPRING)
    assert set(detection.values("frameworks")) == {"spring", "jpa"}
    assert set(detection.values("phi.models")) == {"Patient", "LabOrder", "SubstanceUsePatientNote"}
    assert detection.values("phi.sensitive") == ("SubstanceUsePatientNote",)
    assert {"mrn", "birthDate", "loincCode"} <= set(detection.values("phi.fields"))
    assert detection.values("phi.free_text") == ("remarks",)
    assert detection.values("phi.tables") == ("patients",)
    assert detection.values("audit.automatic") == ("subscriber:Patient",)
    assert set(detection.values("audit.calls")) == {"auditService.recordRead", "auditService.recordUpdate"}
    assert detection.values("audit.decorators") == ()
    assert detection.values("audit.reads") == ("explicit",)
    assert detection.values("audit.delivery") == ("transaction",)
    assert detection.values("tenant.key") == ("organization",)
    assert set(detection.values("tenant.models")) == {"Patient", "LabOrder", "SubstanceUsePatientNote"}
    assert detection.get("tenant.key")[0].path == "src/main/java/org/clinic/model/Scoped.java"
    assert detection.values("tenant.sources") == ("currentUser.getOrganization",)
    assert detection.values("tenant.job_base") == ("TenantAwareJob",)
    assert [one.value for one in detection.get("tenant.global_models")] == ["Icd10Code"]
    assert detection.values("tenant.global_models") == (), "offered as a comment only"
    assert detection.values("access.default") == ("deny",)
    assert detection.values("access.decorators") == ("PreAuthorize",)
    assert detection.values("access.object_checks") == ("checkPatientAccess",)
    assert detection.values("access.public_markers") == ("@PermitAll",)
    assert detection.values("session.idle_minutes") == ("15",)
    assert detection.values("retention.audit_years") == ("7",)
    assert set(detection.values("retention.stores")) == {"db", "cache"}
    assert detection.values("tests.synthetic_markers") == ("faker",)
    assert "**/test/**" in detection.values("tests.paths")
    value = facts(detection)
    assert value.session.idle_minutes == 15
    assert value.retention.audit_years == 7
    assert value.egress.approved == ()
    assert 'match = "Sentry", contract = "BAA of …"' in render(detection)


GO = {
    "go.mod": "module clinic\n\ngo 1.22\n\nrequire (\n\tgithub.com/gin-gonic/gin v1.10.0\n\tgorm.io/gorm v1.25.0\n"
    "\tgithub.com/jackc/pgx/v5 v5.5.5 // indirect\n\tgithub.com/brianvoe/gofakeit/v6 v6.0.0\n)\n",
    "main.go": 'func main() {\n\tr := gin.New()\n\tr.Use(auth.RequireUser())\n\tr.GET("/patients/:id", RequireScope("chart"), show)\n}\n',
    "models/patient.go": """package models

type Patient struct {
	gorm.Model
	OrgID     uint
	Org       Org
	FirstName string `gorm:"size:100" json:"first_name"`
	MRN       string `gorm:"column:mrn"`
	Remarks   string `gorm:"type:text"`
}

func (Patient) TableName() string {
	return "patients"
}

func (p *Patient) AfterUpdate(tx *gorm.DB) error {
	return audit.Write(tx, "update", p.ID)
}

type Visit struct {
	gorm.Model
	OrgID     uint
	PatientID uint
	Patient   Patient
}

type PatientFilter struct {
	Name string `form:"name"`
}
""",
    "handlers/patient.go": """package handlers

func (h *Handler) Show(c *gin.Context) {
	if !h.access.CanView(user, id) {
		return
	}
	row := h.db.Where("org_id = ?", user.OrgID).First(&patient)
	h.audit.Record(c, "read", patient.ID)
	log.Println(RedactPHI(patient))
}
func (h *Handler) Edit(c *gin.Context) {
	if !h.access.CanView(user, id) {
		return
	}
	go h.audit.Record(c, "update", id)
}
func ForOrg(db *gorm.DB, org uint) *gorm.DB {
	return db
}
""",
    "handlers/patient_test.go": "func TestAudit() { audit.Everything(1) }\n",
}


def test_a_gin_repository_with_gorm() -> None:
    detection = run(GO)
    assert set(detection.values("frameworks")) == {"gin", "gorm"}
    assert set(detection.values("phi.models")) == {"Patient", "Visit"}
    assert detection.values("phi.fields") == ("MRN",)
    assert detection.values("phi.model_fields") == ("FirstName", "PatientID")
    assert detection.values("phi.free_text") == ("Remarks",)
    assert detection.values("phi.tables") == ("patients",)
    assert detection.values("tenant.key")[0] in {"OrgID", "Org"}
    assert set(detection.values("tenant.models")) == {"Patient", "Visit"}
    assert detection.values("tenant.sources") == ("user.OrgID",)
    assert detection.values("tenant.scoped_by") == ("ForOrg",)
    assert detection.values("audit.calls") == ("audit.Record", "audit.Write")
    assert detection.values("audit.automatic") == ("signals:Patient",)
    assert detection.values("audit.delivery") == ("async",)
    assert detection.values("access.default") == ("deny",)
    assert set(detection.values("access.guards")) == {"auth.RequireUser", "RequireScope"}
    assert detection.values("access.object_checks") == ("CanView",)
    assert detection.values("egress.redactors") == ("RedactPHI",)
    assert detection.values("tests.synthetic_markers") == ("gofakeit",)
    assert detection.values("tests.paths") == ("*_test.go",)


RAILS = {
    "Gemfile": 'source "https://example.com"\ngem "rails", "~> 7.1"\ngem "paper_trail"\ngem "acts_as_tenant"\n'
    'group :test do\n  gem "faker"\nend\n',
    "db/schema.rb": """ActiveRecord::Schema[7.1].define(version: 1) do
  create_table "patients", force: :cascade do |t|
    t.bigint "clinic_id", null: false
    t.string "mrn"
    t.string "last_name"
    t.text "history_of_present_illness"
    t.index ["clinic_id"], name: "i"
  end

  create_table "lab_results", force: :cascade do |t|
    t.references :clinic
    t.references :patient
    t.string "loinc_code"
  end
end
""",
    "app/models/patient.rb": "class Patient < ApplicationRecord\n  acts_as_tenant :clinic\n  has_paper_trail\n"
    "  scope :for_clinic, ->(c) { where(clinic: c) }\nend\n",
    "app/controllers/application_controller.rb": "class ApplicationController < ActionController::Base\n"
    "  before_action :authenticate_user!\nend\n",
    "app/controllers/patients_controller.rb": "class PatientsController < ApplicationController\n"
    "  before_action :require_clinician_role, only: :edit\n  def show\n    @patient = current_user.clinic.patients.find(params[:id])\n"
    "    authorize @patient\n    AuditEvent.create!(action: :read, patient: @patient)\n  end\n"
    "  def edit\n    authorize @patient\n  end\nend\n",
    "config/initializers/devise.rb": "Devise.setup do |config|\n  config.timeout_in = 20.minutes\nend\n",
    "spec/patient_spec.rb": "audit_everything(1)\n",
}


def test_a_rails_repository_with_paper_trail() -> None:
    detection = run(RAILS)
    assert detection.values("frameworks") == ("rails",)
    assert set(detection.values("phi.models")) == {"Patient", "LabResult"}
    assert set(detection.values("phi.tables")) == {"patients", "lab_results"}
    assert {"mrn", "loinc_code"} <= set(detection.values("phi.fields"))
    assert detection.values("phi.free_text") == ("history_of_present_illness",)
    assert detection.values("tenant.key")[0] in {"clinic", "clinic_id"}
    assert detection.values("tenant.isolation") == ("row",)
    assert set(detection.values("tenant.scoped_by")) == {"acts_as_tenant", "for_clinic"}
    assert detection.values("tenant.sources") == ("current_user.clinic",)
    assert detection.values("audit.automatic") == ("signals:Patient",)
    assert detection.values("audit.calls") == ("AuditEvent.create!",)
    assert detection.values("access.default") == ("deny",)
    assert "authenticate_user!" in detection.values("access.guards")
    assert detection.values("access.object_checks") == ("authorize",)
    assert detection.values("session.idle_minutes") == ("20",)
    assert detection.values("tests.synthetic_markers") == ("faker",)
    assert any("paper-trail" in note for note in detection.notes)


@pytest.mark.parametrize(
    ("path", "source", "models", "tables"),
    [
        ("db/init.sql", "CREATE TABLE IF NOT EXISTS clinic.patients (\n  id bigint PRIMARY KEY,\n  mrn text,\n"
         "  CONSTRAINT x UNIQUE (mrn)\n);\n", (), ("patients",)),
        ("models/patient.js", "const Patient = sequelize.define('Patient', {\n  mrn: DataTypes.STRING,\n"
         "  dob: {\n    type: DataTypes.DATE,\n  },\n});\n", ("Patient",), ()),
        ("models/patient.js", "const patientSchema = new mongoose.Schema({\n  mrn: String,\n  dob: Date,\n});\n",
         ("Patient",), ()),
        ("db/schema.ts", "export const patients = pgTable('patients', {\n  mrn: text('mrn'),\n  dob: date('dob'),\n});\n",
         ("Patient",), ("patients",)),
        ("migrations/1.js", "exports.up = (knex) => knex.schema.createTable('patients', (table) => {\n"
         "  table.string('mrn');\n  table.text('notes');\n});\n", (), ("patients",)),
        ("ent/schema/patient.go", "type Patient struct {\n\tent.Schema\n}\nfunc (Patient) Fields() []ent.Field {\n"
         "\treturn []ent.Field{\n\t\tfield.String(\"mrn\"),\n\t}\n}\n", ("Patient",), ()),
        ("src/patient.schema.ts", "@Schema({ collection: 'patients' })\nexport class Patient {\n  @Prop()\n  mrn: string;\n}\n",
         ("Patient",), ("patients",)),
        ("Patient.kt", "@Entity\nclass Patient(\n    var mrn: String,\n    val dob: LocalDate,\n) {\n}\n", ("Patient",), ()),
    ],
)  # fmt: skip
def test_models_and_tables_of_other_libraries(
    path: str, source: str, models: tuple[str, ...], tables: tuple[str, ...]
) -> None:
    detection = run({path: source})
    assert detection.values("phi.models") == models
    assert detection.values("phi.tables") == tables
    assert "mrn" in detection.values("phi.fields")


@pytest.mark.parametrize(
    ("path", "source", "fact", "value"),
    [
        ("settings.py", "SESSION_COOKIE_AGE = 60 * 60 * 8\n", "session.absolute_hours", "8"),
        ("settings.py", "SESSION_COOKIE_AGE = 900\nSESSION_SAVE_EVERY_REQUEST = True\n", "session.idle_minutes", "15"),
        ("settings.py", 'AUTO_LOGOUT = {"IDLE_TIME": timedelta(minutes=10)}\n', "session.idle_minutes", "10"),
        ("settings.py", "SIMPLE_JWT = {'REFRESH_TOKEN_LIFETIME': timedelta(days=1)}\n", "session.absolute_hours", "24"),
        ("app.js", "const session = require('express-session');\napp.use(session({ rolling: true, cookie: { maxAge: 15 * 60 * 1000 } }));\n",
         "session.idle_minutes", "15"),
        ("auth.ts", "export const o = NextAuth({\n  session: { maxAge: 12 * 60 * 60 },\n});\n", "session.absolute_hours", "12"),
        ("src/main/webapp/WEB-INF/web.xml", "<session-timeout>30</session-timeout>\n", "session.idle_minutes", "30"),
        ("application.yml", "server:\n  session-timeout: PT20M\n", "session.idle_minutes", "20"),
        ("settings.py", "AUDIT_LOG_RETENTION_YEARS = 6\n", "retention.audit_years", "6"),
        ("settings.py", "AUDITLOG_RETENTION_DAYS = 2190\n", "retention.audit_years", "6"),
        ("config.go", "var SessionIdleTimeout = 30 * time.Minute\n", "session.idle_minutes", "30"),
    ],
)  # fmt: skip
def test_lifetimes_are_read_with_their_units(path: str, source: str, fact: str, value: str) -> None:
    detection = run({path: source})
    assert detection.values(fact)[:1] == (value,)
    assert {fact for fact, _ in detection.facts} == {fact}


@pytest.mark.parametrize(
    "source",
    ["IDLE_TIMEOUT_MS = 30000\n", "idleTimeoutMillis: 30000,\n", "SessionIDLength: 64,\n", "maxAge: 60,\n",
     'SESSION_TIMEOUT(3, "x"),\n', "Cache-Control: max-age=86400\n", "AUDIT_RETENTION = os.environ['X']\n",
     "AUDIT_LOG_RETENTION_DAYS = 30\n", "SESSION_COOKIE_AGE = int(env('AGE'))\n"],
)  # fmt: skip
def test_other_numbers_are_no_lifetimes(source: str) -> None:
    assert run({"a.py": source, "b.ts": source}).facts == ()


@pytest.mark.parametrize(
    ("path", "source", "value"),
    [
        ("app.py", "@app.before_request\ndef check():\n    if not current_user.is_authenticated:\n        abort(401)\n", "deny"),
        ("app.py", "@app.before_request\ndef start():\n    g.started = now()\n", ""),
        ("app.ts", "app.addHook('onRequest', requireAuthenticated);\n", "deny"),
        ("main.ts", "app.useGlobalGuards(new JwtAuthGuard());\n", "deny"),
        ("S.java", "http.authorizeHttpRequests(a -> a.anyRequest().permitAll());\n", "allow"),
        ("S.java", "http.authorizeExchange(a -> a.anyExchange().authenticated());\n", "deny"),
        ("app/controllers/application_controller.rb", "  before_action :authenticate_user!, only: [:edit]\n", ""),
        ("app/controllers/home_controller.rb", "  before_action :authenticate_user!\n", ""),
        ("middleware.py", "class LoginRequiredMiddleware:\n    pass\n", ""),
        ("main.go", "\tr.Use(middleware.Logger())\n", ""),
    ],
)  # fmt: skip
def test_what_an_endpoint_without_a_word_on_it_does(path: str, source: str, value: str) -> None:
    assert run({path: source}).values("access.default") == ((value,) if value else ())


def test_where_settings_disagree_the_stricter_answer_is_active() -> None:
    text = render(run({"A.java": "x.anyRequest().authenticated()\n" * 3, "B.java": "x.anyRequest().permitAll()\n"}))
    assert '\ndefault = "allow"' in text
    assert '\n# or: default = "deny"' in text


def test_what_would_silence_findings_and_no_code_can_show_is_only_offered() -> None:
    files = {
        "requirements.txt": "openai\ntwilio\n",
        "settings.py": 'MIDDLEWARE = ["clinic.audit.AuditReadMiddleware"]\n',
        "llm.py": "def get_llm_client():\n    return OpenAI()\n",
        "audit.py": "class AuditOutbox(models.Model):\n    payload = models.JSONField()\n",
        "clinic/models.py": "class Patient(models.Model):\n    clinic = models.ForeignKey(Clinic)\n    mrn = models.TextField()\n"
        "class Visit(models.Model):\n    clinic = models.ForeignKey(Clinic)\n    patient = models.ForeignKey(Patient)\n",
        "clinic/management/commands/report.py": "x = 1\n",
    }
    detection = run(files)
    doubted = {fact for fact, found in detection.facts if any(one.doubt for one in found)}
    assert doubted == {"egress.approved", "egress.llm_clients", "audit.reads", "audit.delivery", "tenant.unscoped_in"}
    text = render(detection)
    value = facts(detection)
    assert value.egress.approved == ()
    assert value.egress.llm_clients == ()
    assert (value.audit.reads, value.audit.delivery, value.tenant.unscoped_in) == ("", "", ())
    assert '# reads = "middleware"' in text
    assert '# delivery = "outbox"' in text
    assert '# unscoped_in = ["**/management/commands/**"]' in text
    assert '# llm_clients = ["get_llm_client"]' in text
    uncommented = "\n".join(
        line[2:] if line.startswith(("# approved", "#   {", "# ]", "# reads = ", "# llm_clients = [")) else line
        for line in text.split("\n")
    )
    said = parse_config(uncommented.encode(), path="agentreview.toml", known_policies=()).facts
    assert [one.match for one in said.egress.approved] == ["openai", "twilio"]
    assert said.audit.reads == "middleware"


def test_everyday_words_are_no_health_data_where_nothing_speaks_of_patients() -> None:
    newsletter = (
        "class Subscriber(models.Model):\n    subscriber_id = models.IntegerField()\n    email = models.EmailField()\n"
    )
    claims = "class Claim(models.Model):\n    name = models.TextField()\nclass Visit(models.Model):\n    claim = models.ForeignKey(Claim)\n"
    team = "model Organisation {\n  id Int\n  organisationClaimId String\n  name String\n  emails String\n}\n"
    for files in ({"a.py": newsletter}, {"a.py": claims}, {"a.prisma": team}):
        assert not any(fact.startswith("phi.") for fact, _ in run(files).facts), files
    assert "Claim" in run(
        {"a.py": claims, "b.py": "class Patient(models.Model):\n    mrn = models.TextField()\n"}
    ).values("phi.models")


def test_receivers_are_a_trail_only_where_they_write_one() -> None:
    audit = (
        "from audit import record\n@receiver(post_save, sender=Patient)\ndef a(sender, **kw):\n    record_audit(1)\n"
    )
    mail = "@receiver(post_save, sender=Visit)\ndef b(sender, **kw):\n    send_mail(1)\n"
    models = "class Patient(models.Model):\n    mrn = models.TextField()\n"
    assert run({"signals.py": audit + mail, "models.py": models}).values("audit.automatic") == ("signals:Patient",)


def test_decorators_about_methods_are_no_access_control() -> None:
    source = "@require_POST\n@require_http_methods(['GET'])\n@require_role('nurse')\ndef view(request):\n    return 1\n"
    assert run({"views.py": source}).values("access.decorators") == ("require_role",)


def test_the_fast_path_of_test_paths_agrees_with_the_globs() -> None:
    for path in ("tests/a.py", "x/tests/b/c.ts", "test_a.py", "a/test_a.py", "a_test.go", "conftest.py", "x/conftest.py",
                 "mytests/a.py", "a.spec.ts", "spec/a_spec.rb", "contest.py", "a/b/cypress/x.ts", "attest_x.py"):  # fmt: skip
        assert list(_which(path, TEST_PATHS)) == [glob for glob in TEST_PATHS if matches(path, [glob])], path
