"""The PHI vocabulary: what counts, what only counts near a person, and what looks like PHI and is not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentreview.vocabulary import (
    CONTEXT,
    NEVER,
    PERSON_OBJECTS,
    PHI_MODELS,
    STRONG,
    is_person_object,
    is_phi_model,
    phi_tier,
    words,
)


def camel(term: str) -> str:
    first, *rest = term.split(" ")
    return first + "".join(word.title() for word in rest)


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("dateOfBirth", "date of birth"),
        ("date_of_birth", "date of birth"),
        ("patientDOB", "patient dob"),
        ("SSNLast4", "ssn last 4"),
        ("ICD10Code", "icd 10 code"),
        ("HTTPServer", "http server"),
        ("patientIDs", "patient ids"),
        ("MRN", "mrn"),
        ("X-Patient-Id", "x patient id"),
        ("größe_patient", "größe patient"),
        ("__", ""),
    ],
)
def test_identifiers_are_split_into_words(identifier: str, expected: str) -> None:
    assert " ".join(words(identifier)) == expected


@pytest.mark.parametrize("spell", [camel, lambda t: t.replace(" ", "_"), lambda t: t.replace(" ", "_").upper()])
def test_every_term_is_found_in_its_own_tier_in_every_spelling(spell) -> None:
    assert {term for term in STRONG if phi_tier(spell(term)) != "strong"} == set()
    assert {term for term in CONTEXT if phi_tier(spell(term)) != "context"} == set()


@pytest.mark.parametrize(
    "identifier",
    ["patient_name", "patient.name", "current_patient_ssn", "MRNs", "diagnoses", "HbA1c", "SpO2", "dateofbirth",
     "primaryDiagnosisText", "blood_type", "patient['mrn']", "patient?.ssn", "icd10", "allergiesList"],
)  # fmt: skip
def test_strong_terms_count_anywhere_in_an_identifier(identifier: str) -> None:
    assert phi_tier(identifier) == "strong"


@pytest.mark.parametrize(
    "identifier", ["email", "user.email", "phone_number", "address2", "firstname", "name", "notes"]
)
def test_everyday_terms_only_count_near_a_person(identifier: str) -> None:
    assert phi_tier(identifier) == "context"


@pytest.mark.parametrize(
    "identifier",
    ["plug.name", "error.name", "options.name", "file_name", "event_name", "class_name", "hostname",  # names of things
     "id", "pk", "prescription_id", "diagnosis_uuid", "allergy_ids",  # what to log instead
     "email_template", "address_line_count", "email_sent", "notes_enabled",  # the term is not last
     "diagnosis_count", "ssn_hash", "mrn_masked", "dob_field", "ssnRegex", "mrn_validator", "medication_type",
     "is_allergy", "hasAllergies", "shouldShowDiagnosis", "validate_ssn", "num_medications", "patient.hasAllergies",
     "race_condition", "max_age", "maxAge", "release_notes", "font_weight", "line_height", "jwt_claim", "serverAddress",
     "state", "result", "", "__", "total", "count"],
)  # fmt: skip
def test_lookalikes_do_not_count(identifier: str) -> None:
    assert phi_tier(identifier) is None


def test_a_project_can_add_and_deny_identifiers_in_any_spelling() -> None:
    assert phi_tier("favouriteColour") is None
    assert phi_tier("favouriteColour", extra_strong=("favourite_colour",)) == "strong"
    assert phi_tier("patient_ward", extra_context=("ward",)) == "context"
    assert phi_tier("ward_round", extra_context=("ward",)) is None
    assert phi_tier("license_number", not_phi=("licenseNumber",)) is None
    assert phi_tier("driver_license_number", not_phi=("licenseNumber",)) == "strong"


@pytest.mark.parametrize(
    "identifier",
    ["patient", "Patients", "current_patient", "patientDto", "self.patient", "patient_record", "encounter"],
)
def test_person_objects(identifier: str) -> None:
    assert is_person_object(identifier)


@pytest.mark.parametrize(
    "identifier", ["patient_count", "PatientView", "barChart", "teamMember", "messageSubject", "is_patient", "plug",
                   "context_dependent", "eventSubscriber", "", "patient.file"]
)  # fmt: skip
def test_things_that_are_not_person_objects(identifier: str) -> None:
    assert not is_person_object(identifier)


@pytest.mark.parametrize(
    "name", ["Patient", "patients", "labResult", "lab_results", "LabResults", "Diagnoses", "allergies",
             "clinic.Patient", "PatientRegistration", "PatientConsultation", "PatientExternalTest",
             "PatientContactDetails",
             "EncounterSymptom", "PrescriptionItem", "VipPatient", "patient_samples", "MedicationStatement"]
)  # fmt: skip
def test_phi_models_in_every_spelling_and_compound(name: str) -> None:
    assert is_phi_model(name)


@pytest.mark.parametrize(
    "name", ["PatientPortalTheme", "PatientSerializer", "PatientViewSet", "PatientStats", "PatientForm", "PatientCount",
             "FacilityPatientStatsHistory", "PatientPermission", "patient_id", "isPatient", "User", "Order", "Invoice",
             "PatientCard", "PatientType", "TrpcProcedure", "EntitySubscriber", "", "Impatient"]
)  # fmt: skip
def test_names_around_phi_models_that_hold_no_rows(name: str) -> None:
    assert not is_phi_model(name)


def test_a_project_can_add_and_deny_models() -> None:
    assert is_phi_model("dailyNotes", ("clinic.DailyNote",))
    assert not is_phi_model("PatientGroup", not_phi=("patient_groups",))
    assert not is_phi_model("Claim", ("Claim",), ("Claim",)), "a denied name stays denied"


def test_the_word_lists_are_in_the_form_the_matchers_compare() -> None:
    for terms in (STRONG, CONTEXT, PHI_MODELS, PERSON_OBJECTS):
        assert all(" ".join(words(term)) == term for term in terms)
    assert not STRONG & CONTEXT
    assert {"file name", "count", "hash"} <= NEVER


@given(st.text(max_size=60))
def test_any_text_gets_an_answer(text: str) -> None:
    assert phi_tier(text) in {"strong", "context", None}
    assert is_person_object(text) in {True, False}
    assert is_phi_model(text) in {True, False}


def test_a_megabyte_of_identifier_is_answered_at_once() -> None:
    started = time.process_time()
    for hostile in ("A" * 1_000_000, "aB" * 500_000, "patient_" * 125_000, "1a" * 500_000):
        phi_tier(hostile)
        is_person_object(hostile)
        is_phi_model(hostile)
    assert time.process_time() - started < 5
