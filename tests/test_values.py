"""What reaches a sink inside one function: assignments, f-strings, dicts, comparisons of meaning, and what clears it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import analysis, facts_of

HEAD = """\
import json
import logging
from clinic.models import Patient
logger = logging.getLogger(__name__)

def view(request, pk):
    patient = Patient.objects.get(pk=pk)
"""


def logged(*lines: str) -> set[tuple[str, str]]:
    """What the log calls of a function reveal."""
    source = HEAD + "".join(f"    {line}\n" for line in lines)
    return {label for fact in facts_of(analysis(source), "view", "log") for label in fact.labels}


def kinds(*lines: str) -> set[str]:
    return {kind for kind, _ in logged(*lines)}


@pytest.mark.parametrize(
    "lines",
    [
        ["logger.info(patient.ssn)"],
        ["logger.info('x %s', patient.ssn)"],
        ["logger.info('x %s' % patient.ssn)"],
        ["logger.info('x ' + patient.ssn)"],
        ["logger.info('{}'.format(patient.ssn))"],
        ["logger.info(f'x {patient.ssn}')"],
        ["logger.info(f'x {patient.ssn!r:>10}')"],
        ["s = patient.ssn", "logger.info(s)"],
        ["s = patient.ssn", "t = f'n {s}'", "u = t.strip()", "logger.info(u)"],
        ["a, b = patient.ssn, 1", "logger.info(a)"],
        ["s = ''", "s += patient.ssn", "logger.info(s)"],
        ["d = {'ssn': patient.ssn}", "logger.info(d)"],
        ["d = dict(ssn=patient.ssn)", "logger.info(json.dumps(d))"],
        ["logger.info('x', extra={'ssn': patient.ssn})"],
        ["logger.info('x', ssn=patient.ssn)"],
        ["logger.info([patient.ssn])"],
        ["logger.info(patient.ssn if pk else 'none')"],
        ["logger.info(patient.ssn or 'none')"],
        ["logger.info(str(patient.ssn))"],
        ["if (s := patient.ssn):", "    logger.info(s)"],
        ["for s in [patient.ssn]:", "    logger.info(s)"],
        ["with open('x') as f:", "    logger.info(patient.ssn)"],
        ["try:", "    pass", "finally:", "    logger.info(patient.ssn)"],
        ["logger.info(', '.join([patient.ssn, 'x']))"],
        ["logger.info(patient['ssn'])"],
        ["logger.info(patient.get('ssn'))"],
        ["logger.info(getattr(logger, 'x'), patient.ssn.upper())"],
        ["def inner():", "    return 1", "logger.info(patient.ssn)"],
    ],
)
def test_a_field_reaches_the_log_whatever_way_it_takes(lines):
    assert "phi-field" in kinds(*lines)


@pytest.mark.parametrize(
    "lines",
    [
        ["logger.info(patient)"],
        ["p = patient", "logger.info('%s', p)"],
        ["logger.info(f'{patient}')"],
        ["logger.info(repr(patient))"],
        ["logger.info(patient.__dict__)"],
        ["logger.info({'p': patient})"],
        ["rows = Patient.objects.filter(org=1)", "logger.info(rows)"],
        ["for row in Patient.objects.all():", "    logger.info(row)"],
        ["logger.info(list(Patient.objects.values()))"],
    ],
)
def test_a_whole_record_reaches_the_log(lines):
    assert "phi-object" in kinds(*lines)


@pytest.mark.parametrize(
    "lines",
    [
        ["logger.info(patient.id)"],
        ["logger.info(patient.pk)"],
        ["logger.info(len(patient.ssn))"],
        ["logger.info(bool(patient.ssn))"],
        ["logger.info('ssn')"],
        ["logger.info('patient.ssn is missing')"],
        ["s = patient.ssn", "s = 'gone'", "logger.info(s)"],
        ["logger.info(mask(patient.ssn))"],
        ["logger.info(redact(patient))"],
        ["logger.info(patient.ssn == 'x')"],
        ["logger.info(patient.ssn is None)"],
        ["logger.info(lookup(patient.ssn))"],
        ["logger.info(Patient.objects.count())"],
        ["logger.info(ssn_format)"],
        ["logger.info(SSN)"],
        ["logger.info(has_ssn)"],
    ],
)
def test_ids_counts_constants_and_masked_values_reveal_nothing(lines):
    assert not kinds(*lines) & {"phi-field", "phi-object"}


def test_a_request_body_and_a_secret_are_told_apart():
    assert "request-body" in kinds("logger.info(request.POST)")
    assert "secret" in kinds("logger.info(settings.api_key)")


def test_only_the_name_says_so_for_a_variable_nobody_assigned():
    found = analysis("import logging\nlogger = logging.getLogger()\ndef show(patient):\n    logger.info(patient)\n")
    assert {kind for f in facts_of(found, "show", "log") for kind, _ in f.labels} == {"phi-name"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["str", "repr", "json.dumps", "list", "f"]), max_size=8), st.integers(0, 5))
def test_handing_on_never_loses_a_label(wrappers, copies):
    """Any composition of copies and of functions that hand their argument on keeps the value."""
    lines = ["v = patient.ssn"]
    lines += [f"v{n + 1 or ''} = v{n or ''}" for n in range(copies)]
    value = f"v{copies or ''}"
    for wrapper in wrappers:
        value = (
            f"f'{{{value}}}'"
            if wrapper == "f" and "'" not in value
            else f"{'str' if wrapper == 'f' else wrapper}({value})"
        )
    assert "phi-field" in kinds(*lines, f"logger.info({value})")


def test_a_typescript_template_and_destructuring_carry_the_value():
    source = """\
import { logger } from "./log";
export async function show(req: any, patient: Patient) {
  const { ssn } = patient;
  const line = `n ${ssn}`;
  logger.info(line);
  logger.warn({ dob: patient.dateOfBirth });
}
"""
    labels = {kind for f in facts_of(analysis(source, "src/a.ts"), "show", "log") for kind, _ in f.labels}
    assert "phi-field" in labels
    assert len(facts_of(analysis(source, "src/a.ts"), "show", "log")) == 2
