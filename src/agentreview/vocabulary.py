"""The words that name protected health information in code, and how identifiers are matched against them.

Data first, functions below. Terms are lower-case words joined by single spaces, the form :func:`words` produces.
The groups are the identifiers of 45 CFR 164.514(b)(2)(i)(A) to (R), then clinical terms. Two tiers:

- ``STRONG`` terms are enough on their own, anywhere in an identifier;
- ``CONTEXT`` terms (``email``, ``address``, ``notes``) only on or near a person object (``patient.email``) or in code
  that handles a PHI model, and only as the last words.

The matchers look at spelling alone. Apply them where values are (an argument, an attribute, a subscript key, an
interpolation), not to class and constant names: ``PatientNotes`` and ``ICD11_ID_SUFFIX`` carry no value.
"""

from __future__ import annotations

from functools import lru_cache

from agentreview.lazyre import lazy


def _terms(*groups: str) -> frozenset[str]:
    return frozenset(term.strip() for group in groups for term in group.split(","))


STRONG: frozenset[str] = _terms(
    # (A) names
    "patient name, member name, subscriber name, beneficiary name, guarantor name, next of kin, "
    "mother maiden name, maiden name",
    # (B) geography
    "home address, patient address, mailing address, residential address",
    # (C) dates
    "date of birth, birth date, birthdate, dob, date of death, death date, deceased date, admission date, "
    "admit date, discharge date, date of service, service date",
    # (D) telephone
    "patient phone, home phone",
    # (F) e-mail
    "patient email",
    # (G) social security
    "ssn, social security, social security number, social security no, ssn last 4, last 4 ssn, itin",
    # (H) medical record
    "mrn, medical record number, medical record no, medical record id, emr id, ehr id, chart number, "
    "chart id, empi, mpi id, enterprise patient id, hospital number",
    # (I) health plan
    "member id, member number, subscriber id, policy holder id, insurance id, insurance member id, "
    "insurance policy number, insurance number, health plan id, health plan number, beneficiary number, "
    "beneficiary id, medicare number, medicare id, medicaid id, mbi, hicn, group number, payer id, "
    "policy number, health card number, coverage id",
    # (J) account
    "patient account number, guarantor account",
    # (K) licence
    "drivers license, driver license, driving licence, driving license, license number, licence number, "
    "passport number, dea number",
    # (L) vehicle
    "vin, vehicle identification number, license plate, plate number",
    # (M) device
    "device serial, device serial number, implant id, udi, imei, device identifier",
    # (N) URL
    "portal url, patient portal url",
    # (P) biometric
    "biometric, biometrics, fingerprint image, voice print, voiceprint, retina scan, iris scan, "
    "face embedding, dna sequence, genome, genotype, genetic test",
    # (Q) photograph
    "face photo, patient photo, facial image, wound photo",
    # (R) other unique
    "patient token, patient uuid",
    # diagnosis
    "diagnosis, diagnoses, diagnosis code, icd, icd 9, icd 10, icd 11, icd code, snomed, snomed code, "
    "dsm code, problem list, comorbidity, comorbidities, medical history, health history, family history, "
    "present illness",
    # medication
    "medication, medications, prescription, prescriptions, rx number, ndc, ndc code, drug name, dosage, "
    "dose instruction, rxnorm, medication request",
    # labs
    "lab result, lab results, test result, test results, loinc, loinc code, hba 1 c, blood glucose, "
    "blood type, blood group, hiv status, viral load, pathology report, specimen id, hb a 1 c",
    # vitals
    "blood pressure, heart rate, body mass index, bmi, vital signs, vitals, spo 2, oxygen saturation, sp o 2",
    # notes
    "clinical note, clinical notes, progress note, progress notes, soap note, discharge summary, "
    "consultation notes, therapy notes, psychotherapy notes, nursing notes, treatment plan, care plan",
    # procedures
    "cpt code, hcpcs, procedure code, surgery date",
    # other
    "allergy, allergies, immunization, immunizations, vaccination, pregnancy status, disability status, "
    "mental health, substance use, sexual orientation, gender identity, cause of death",
    # claims
    "claim number, claim id, eob, explanation of benefits, prior authorization, authorization number",
)
"""Enough on their own, anywhere in an identifier."""


CONTEXT: frozenset[str] = _terms(
    # (A) names
    "first name, last name, full name, given name, family name, middle name, surname, preferred name, "
    "emergency contact",
    # (B) geography
    "address, address line, street, street address, city, county, zip, zip code, zipcode, postal code, "
    "postcode, pincode, latitude, longitude, lat lng, geocode",
    # (C) dates
    "age, birthday, year of birth, birth year, visit date, appointment date, encounter date, onset date, "
    "collected at, admitted at, discharged at",
    # (D) telephone
    "phone, phone number, telephone, mobile, mobile number, cell phone, contact number",
    # (E) fax
    "fax, fax number",
    # (F) e-mail
    "email, email address",
    # (G) social security
    "tin, sin, national id, nin, aadhaar, nhs number",
    # (H) medical record
    "patient id, patient number, patient identifier, subject id, person id, account number",
    # (I) health plan
    "insurance, payer, plan id, policy id",
    # (J) account
    "bank account, iban, routing number, card number, credit card, invoice number",
    # (K) licence
    "npi, certificate number",
    # (L) vehicle
    "vehicle id, vehicle number",
    # (M) device
    "device id, serial number, mac address",
    # (N) URL
    "personal url, website",
    # (O) IP address
    "ip address, remote addr, client ip",
    # (P) biometric
    "fingerprint",
    # (Q) photograph
    "photo, profile picture, avatar",
    # (R) other unique
    "patient key, external patient id",
    # diagnosis
    "condition, conditions, disease, symptoms, symptom, chief complaint, severity",
    # medication
    "dose, refills, pharmacy",
    # labs
    "result value, observation value, specimen",
    # vitals
    "weight, height, temperature, pulse",
    # notes
    "note, notes, comments",
    # procedures
    "procedure, procedures",
    # other
    "gender, sex, race, ethnicity, marital status, religion",
    # claims
    "claim, copay, deductible",
)
"""PHI only on or near a person object, and only as the last words of an identifier."""

LONE_CONTEXT: frozenset[str] = frozenset({"name", "names"})
"""Context only as the whole identifier: ``patient.name`` counts, ``plug_name`` and ``event_name`` never do."""

PERSON_OBJECTS: frozenset[str] = _terms(
    "patient, member, subscriber, beneficiary, enrollee, insured, guarantor, resident, participant, subject, "
    "dependent, person, consultation, encounter, admission, chart, ehr, emr",
)
"""What a person, or the record of one, is called. See :func:`is_person_object`."""

PHI_MODELS: frozenset[str] = _terms(
    "patient, patient registration, encounter, patient consultation, visit, admission, appointment, observation, "
    "condition, diagnosis, procedure, medication request, medication, prescription, lab result, lab order, "
    "diagnostic report, specimen, immunization, allergy intolerance, allergy, care plan, clinical note, "
    "document reference, coverage, insurance policy, claim, explanation of benefit, vital sign, daily round, referral",
    # FHIR and OMOP, where the name is not an everyday word
    "medication statement, service request, family member history, visit occurrence, condition occurrence, "
    "drug exposure",
)
"""Models (tables, collections, resources) whose rows are PHI, in the singular."""

PHI_MODEL_WORDS: frozenset[str] = _terms(
    "patient, inpatient, outpatient, encounter, beneficiary, enrollee, guarantor, prescription, diagnosis, medication, "
    "immunization, allergy",
)
"""A model whose name starts or ends with one of these is a PHI model too: ``PatientSample``, ``EncounterSymptom``."""

NEVER: frozenset[str] = _terms(
    "choices, column, columns, config, count, counts, enabled, encrypted, enum, error, errors, exists, factory, field, "
    "fields, file name, filename, filter, filters, flag, format, hash, hashed, index, label, len, masked, mock, path, "
    "pattern, permission, permissions, placeholder, redacted, regex, required, schema, serializer, settings, template, "
    "total, type, types, url name, validator",
)
"""As last words these say that the identifier is about the data, not the data: ``diagnosis_count``."""

_REFERENCES = _terms("id, ids, pk, uuid, uuids, guid, slug, created at, updated at, created by, updated by")
"""Last words of an opaque reference or bookkeeping: ``prescription_id`` is what to log instead of PHI."""

_NOT_MODELS = _terms(
    "action, adapter, admin, api, app, badge, banner, builder, button, card, cell, client, color, command, "
    "component, context, controller, converter, css, dashboard, dialog, directive, exception, feature, "
    "fixture, fixtures, form, group, guard, guards, handler, header, helper, helpers, hook, icon, "
    "interceptor, job, layout, listener, logo, manager, mapper, menu, middleware, migration, mixin, modal, "
    "module, navbar, observer, page, panel, pipe, policy, portal, preference, preferences, processor, "
    "provider, queryset, reducer, repository, resolver, resource, role, route, router, routes, saga, screen, "
    "search, selector, service, sidebar, signal, skeleton, slice, snapshot, spec, stat, statistic, "
    "statistics, stats, status, step, store, strategy, stub, style, subscriber, tab, table, tag, task, text, "
    "theme, title, tooltip, url, urls, util, utils, set, view, views, viewset, widget, worker",
)
"""As last words these name a part of a program or a screen, not a record."""

_BOOLEAN_PREFIXES = frozenset({"is", "has", "should", "validate", "num"})

_NOT_AFTER: dict[str, frozenset[str]] = {
    "address": _terms("server, bind, host, listen, memory, base, contract, wallet, broker, node"),
    "age": _terms("max, min, cache, cookie"),
    "claim": _terms("jwt, token, custom, role"),
    "condition": _terms("race, where, filter, stop, exit, loop, boundary, pre, post, join, query, if"),
    "height": _terms("line, row, max, min, image, window, screen, client, scroll, viewport"),
    "note": _terms("release"),
    "procedure": _terms("stored, trpc, public, protected, authenticated"),
    "severity": _terms("log, error, alert, issue, finding, rule"),
    "weight": _terms("font, edge, loss, model"),
}
"""A context term that ends in the key is not meant after one of these words."""

_NOT_PERSON_AFTER: dict[str, frozenset[str]] = {
    "chart": _terms("bar, pie, line, area, donut, doughnut, radar, scatter, bubble, stacked, gantt, flow, org, helm"),
    "dependent": _terms("time, context, state, platform, os, version, locale, order"),
    "member": _terms(
        "team, staff, org, organization, organisation, workspace, project, group, channel, room, board, committee, "
        "company, enum, class, cluster, set",
    ),
    "person": _terms("sales, contact, delivery"),
    "subject": _terms("mail, email, message, behavior, replay, async, jwt, token, cert, certificate, notification"),
    "subscriber": _terms("event, entity, newsletter, queue, topic"),
}

_PERSON_CARRIERS = _terms(
    "record, records, data, info, detail, details, obj, object, instance, row, rows, dto, entity, model, profile, "
    "document, doc, dict, json, payload, list",
)
"""Words that may follow a person word without changing what is meant: ``patient_record``, ``patientDto``."""

_MAX_IDENTIFIER = 256  # what is longer is no identifier; its end decides
_MAX_TERM = max(term.count(" ") + 1 for term in STRONG | CONTEXT)
_JOINED = {term.replace(" ", ""): tuple(term.split(" ")) for term in STRONG | CONTEXT if " " in term}
"""Terms people also write without a separator: ``dateofbirth``, ``firstname``."""

_WORD = lazy(r"[A-Z]{2,}s(?![A-Za-z])|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_ANY_WORD = lazy(r"[^\W\d_]+|\d+")
_SEGMENT = lazy(r"\w+")


def words(identifier: str) -> tuple[str, ...]:
    """Split an identifier into lower-case words: camelCase, snake_case, kebab-case, acronyms, digits, dots.

    ``patientDOB`` is patient, dob; ``ICD10Code`` is icd, 10, code; ``request.user`` is request, user.
    """
    if identifier.isascii():
        return tuple(word.lower() for word in _WORD.findall(identifier))
    parts = _SEGMENT.findall(identifier)  # camelCase is only looked for in ASCII
    return tuple(word.lower() for part in parts for word in (_WORD if part.isascii() else _ANY_WORD).findall(part))


def phi_tier(
    identifier: str,
    *,
    extra_strong: tuple[str, ...] = (),
    extra_context: tuple[str, ...] = (),
    not_phi: tuple[str, ...] = (),
) -> str | None:
    """Say how far an identifier names PHI: ``"strong"``, ``"context"`` or not at all.

    The longest run of words that is a term decides; a context term must be the last words. ``patient.name`` may be
    given with its object. ``extra_strong`` and ``extra_context`` are identifiers the project added, in any spelling;
    ``not_phi`` are whole identifiers that are not PHI, whatever they look like.
    """
    if len(identifier) > _MAX_IDENTIFIER:
        return _tier(identifier[-_MAX_IDENTIFIER:], extra_strong, extra_context, not_phi)
    return _cached_tier(identifier, extra_strong, extra_context, not_phi)


def _tier(
    identifier: str, extra_strong: tuple[str, ...], extra_context: tuple[str, ...], not_phi: tuple[str, ...]
) -> str | None:
    segments = _SEGMENT.findall(identifier)
    if not segments:
        return None
    own = words(segments[-1])
    if not own or own[0] in _BOOLEAN_PREFIXES:
        return None
    denied = _normal(not_phi)
    if denied and (singular(" ".join(own)) in denied or singular(" ".join(words(identifier))) in denied):
        return None
    tokens = [part for word in words(identifier) for part in _JOINED.get(word, (word,))]
    while len(tokens) > 1 and tokens[-1].isdecimal() and _run(tokens, extra_strong, extra_context)[1] < len(tokens):
        tokens.pop()  # address2 is an address; icd 10 keeps its digits
    tier, end, length = _run(tokens, extra_strong, extra_context)
    if tier is None:
        joined = " ".join(own)
        return "context" if joined in LONE_CONTEXT and len(tokens) == 1 else None
    for size in (1, 2):
        tail = " ".join(tokens[-size:])
        if (tail in NEVER or tail in _REFERENCES) and not (end == len(tokens) and length >= size):
            return None
    return tier


_cached_tier = lru_cache(maxsize=8192)(_tier)


def _run(
    tokens: list[str], extra_strong: tuple[str, ...], extra_context: tuple[str, ...]
) -> tuple[str | None, int, int]:
    """Return the tier of the longest term in the tokens, where it ends, and its length; (None, 0, 0) without one."""
    strong, context = _normal(extra_strong), _normal(extra_context)
    longest = max((_MAX_TERM, *(term.count(" ") + 1 for term in (*strong, *context))))
    for length in range(min(longest, len(tokens)), 0, -1):
        found: tuple[str | None, int, int] = (None, 0, 0)
        for end in range(len(tokens), length - 1, -1):
            term = " ".join(tokens[end - length : end])
            one = singular(term)
            if term in STRONG or one in STRONG or one in strong:
                return "strong", end, length
            if end == len(tokens) and (term in CONTEXT or one in CONTEXT or one in context):
                last, before = one.rpartition(" ")[2], tokens[end - length - 1] if end > length else ""
                if before not in _NOT_AFTER.get(last, ()):
                    found = ("context", end, length)
        if found[0]:
            return found
    return None, 0, 0


def is_person_object(identifier: str) -> bool:
    """Whether a variable, attribute or class holds a person or the record of one: ``current_patient``, ``patientDto``.

    The last words decide, so ``patient_count`` and ``PatientView`` do not; neither do ``barChart`` and ``teamMember``.
    """
    segments = _SEGMENT.findall(identifier[-_MAX_IDENTIFIER:])
    tokens = list(words(segments[-1])) if segments else []
    while tokens and tokens[-1].isdecimal():
        tokens.pop()
    if not tokens or tokens[0] in _BOOLEAN_PREFIXES:
        return False
    if len(tokens) > 1 and tokens[-1] in _PERSON_CARRIERS:
        tokens.pop()
    last = singular(tokens[-1])
    before = tokens[-2] if len(tokens) > 1 else ""
    return last in PERSON_OBJECTS and before not in _NOT_PERSON_AFTER.get(last, ())


def is_phi_model(name: str, facts_models: tuple[str, ...] = (), not_phi: tuple[str, ...] = ()) -> bool:
    """Whether a model, table, collection or ORM accessor holds PHI rows, by its name.

    True for the built-in and the project's models in every spelling (``LabResult``, ``labResults``, ``lab_results``,
    ``clinic.LabResult``), and for compounds that start or end with a word of ``PHI_MODEL_WORDS``
    (``PatientSample``) unless their last word names a part of a program or a screen (``PatientPortalTheme``,
    ``PatientSerializer``, ``PatientStats``). ``not_phi`` beats everything.
    """
    tokens = words(name[-_MAX_IDENTIFIER:].rpartition(".")[2])
    if not tokens:
        return False
    whole = singular(" ".join(tokens))
    if whole in _normal(not_phi):
        return False
    if whole in PHI_MODELS or whole in _normal(facts_models):
        return True
    first, last = tokens[0], singular(tokens[-1])
    if len(tokens) < 2 or first in _BOOLEAN_PREFIXES:
        return False
    if any(one in known for one in (tokens[-1], last) for known in (NEVER, _NOT_MODELS, _REFERENCES)):
        return False
    return first in PHI_MODEL_WORDS or last in PHI_MODEL_WORDS


@lru_cache(maxsize=64)
def _normal(identifiers: tuple[str, ...]) -> frozenset[str]:
    """Terms of the project, in the form the matchers compare: last dotted part, words, singular."""
    return frozenset(singular(" ".join(words(one.rpartition(".")[2]))) for one in identifiers) - {""}


def singular(term: str) -> str:
    """Put the last word of a term into the singular, roughly; what is not a plural stays."""
    if term.endswith("ies") and len(term) > 4:
        return term[:-3] + "y"
    if term.endswith("noses"):
        return term[:-2] + "is"
    if term.endswith(("sses", "xes", "ches", "shes")):
        return term[:-2]
    if term.endswith("s") and not term.endswith(("ss", "us", "is")) and len(term) > 3:
        return term[:-1]
    return term
