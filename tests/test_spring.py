"""Spring and JPA: what stands on a controller, beside it, and in other files of the tree."""

from __future__ import annotations

import pytest

from agentreview.detect_models import source_lines
from agentreview.detect_rules import automatic_audit
from agentreview.git import open_repository
from agentreview.review import judge_index
from engine import analysis, concepts, facts_of

PATH = "src/main/java/org/clinic/api/PatientController.java"
CONTROLLER = """package org.clinic.api;

import org.springframework.web.bind.annotation.*;

@RestController
@RequestMapping("/patients")
public class PatientController {
  private final PatientRepository patients;

  @GetMapping("/{id}")
  public ResponseEntity<Patient> show(@PathVariable Long id) {
    Patient found = patients.findById(id).orElseThrow();
    return ResponseEntity.ok(found);
  }

  @RequestMapping(value = "/{id}/card", method = RequestMethod.GET)
  public PatientCard card(@PathVariable Long id) {
    return PatientCard.of(patients.findByIdAndOrgId(id, tenants.getOrgId()).orElseThrow());
  }

  @PostMapping
  public PatientCard create(@RequestBody Patient patient) {
    return PatientCard.of(patients.save(patient));
  }

  @PostMapping("/from-card")
  public PatientCard fromCard(@RequestBody PatientDto dto) {
    Patient patient = new Patient(dto.getName());
    return PatientCard.of(patients.save(patient));
  }
}

interface PatientApi {
  @GetMapping("/elsewhere/{id}")
  Patient fetch(@PathVariable Long id);
}

interface PatientRepository extends JpaRepository<Patient, Long> {
  @Modifying
  @Query("update Patient p set p.archived = true where p.orgId = :org")
  int archive(@Param("org") Long org);

  @Query(value = "select * from patients where mrn = ?1", nativeQuery = true)
  Patient byMrn(String mrn);
}
"""


def test_endpoints_have_the_path_of_their_class_and_an_interface_answers_nothing():
    found = analysis(CONTROLLER, PATH)
    assert {e.unit.name: e.path for e in found.endpoints.values()} == {
        "show": "/patients/{id}",
        "card": "/patients/{id}/card",
        "create": "/patients",
        "fromCard": "/patients/from-card",
    }


def test_a_field_is_a_repository_by_its_type_and_conditions_stand_in_its_method_names():
    found = analysis(CONTROLLER, PATH)
    [whole] = facts_of(found, "PatientController.show", "read")
    assert (whole.resource.lower(), whole.keyed, whole.scoped, whole.single) == ("patient", True, False, True)
    [limited] = facts_of(found, "PatientController.card", "read")
    assert (limited.keyed, limited.scoped) == (True, True)


def test_an_answer_is_a_whole_record_unless_its_type_is_cut_down():
    found = analysis(CONTROLLER, PATH)
    assert [f.labels for f in facts_of(found, "PatientController.show", "respond")] == [(("phi-object", "Patient"),)]
    assert facts_of(found, "PatientController.card", "respond") == []


def test_an_entity_as_the_body_is_assigned_whole_and_an_input_type_is_not():
    found = analysis(CONTROLLER, PATH)
    assert "mass-assign" in concepts(found, "PatientController.create")
    assert "mass-assign" not in concepts(found, "PatientController.fromCard")


def test_statements_in_annotations_are_writes_and_raw_sql_of_the_repositorys_rows():
    found = analysis(CONTROLLER, PATH)
    [bulk] = facts_of(found, "PatientRepository.archive", "write")
    assert (bulk.resource, bulk.bulk, bulk.scoped) == ("Patient", True, True)
    [raw] = facts_of(found, "PatientRepository.byMrn", "raw-sql")
    assert (raw.resource, raw.scoped) == ("patients", False)


def rules(repo, path: str = PATH) -> set[tuple[str, str]]:
    """(rule, unit) of what is found in one staged file."""
    verdict = judge_index(open_repository(str(repo.path)), fresh=True)
    return {(f.rule, f.unit.rpartition(".")[2]) for f in verdict.findings if f.path == path}


SECURITY = """package org.clinic.config;

class SecurityConfig {
  SecurityFilterChain chain(HttpSecurity http) throws Exception {
    http.authorizeHttpRequests(auth -> auth
        .requestMatchers("/login/**").permitAll()
        .requestMatchers(HttpMethod.GET, "/patients/{id}").hasAuthority("patients.read")
        {rest});
    return http.build();
  }
}
"""
OPEN = {"show", "card", "create", "fromCard"}


@pytest.mark.parametrize(
    ("rest", "asked"),
    [
        ('.requestMatchers("/patients/**").authenticated()', set()),
        ('.requestMatchers(HttpMethod.POST, "/patients/**").hasRole("CLERK")', {"card"}),
        (".anyRequest().authenticated()", set()),
        (".anyRequest().permitAll()", OPEN - {"show"}),
    ],
    ids=["by-path", "by-verb", "by-default", "open-by-default"],
)
def test_a_filter_chain_in_another_file_answers_for_the_paths_it_names(repo, rest, asked):
    repo.commit({"src/main/java/org/clinic/config/SecurityConfig.java": SECURITY.replace("{rest}", rest)})
    repo.stage({PATH: CONTROLLER})
    assert {unit for rule, unit in rules(repo) if rule == "access.endpoint-auth"} == asked


ENTITY = """package org.clinic.model;

import org.hibernate.envers.Audited;

@Entity
{audited}
public class Patient {
  {tenant}
  private Long orgId;
}
"""
MODEL = "src/main/java/org/clinic/model/Patient.java"


@pytest.mark.parametrize(("audited", "recorded"), [("@Audited", True), ("", False)])
def test_an_audited_entity_in_another_file_records_its_writes_and_no_reads(repo, audited, recorded):
    repo.commit({MODEL: ENTITY.replace("{audited}", audited).replace("{tenant}", "")})
    repo.stage({PATH: CONTROLLER})
    found = rules(repo)
    assert (("hipaa.audit-phi-write", "fromCard") in found) is not recorded
    assert ("hipaa.audit-phi-read", "show") in found
    assert ("hipaa.audit-bypass", "archive") in found or ("hipaa.audit-phi-write", "archive") in found


@pytest.mark.parametrize(("tenant", "limited"), [("@TenantId", True), ("", False)])
def test_a_tenant_column_of_hibernate_limits_every_query_of_the_entity(repo, tenant, limited):
    repo.commit({MODEL: ENTITY.replace("{audited}", "").replace("{tenant}", tenant)})
    repo.stage({PATH: CONTROLLER})
    assert (("tenancy.query-scope", "show") in rules(repo)) is not limited


def test_envers_listeners_and_javers_are_trails_and_the_columns_of_spring_data_are_not():
    def trails(text: str) -> list[tuple[str, str]]:
        return [(how, model) for how, model, _, _ in automatic_audit("A.java", source_lines(text.encode()))]

    assert trails(ENTITY.replace("{audited}", "@Audited")) == [("subscriber", "Patient")]
    assert trails(
        "import org.javers.x;\n@JaversSpringDataAuditable\npublic interface Rows extends JpaRepository<Visit, Long> {}"
    ) == [("subscriber", "Visit")]
    assert trails("@EntityListeners(AuditListener.class)\nclass Note {}") == [("subscriber", "Note")]
    assert trails("@EntityListeners(AuditingEntityListener.class)\nclass Note {}") == []
    assert trails("@Audited\nclass Note {}") == []  # somebody's own annotation: its own files say what it does
