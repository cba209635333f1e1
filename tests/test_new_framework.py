"""Adding a framework touches no Python: one YAML file of the project makes the policies see a framework nobody knew."""

from __future__ import annotations

import json

import pytest

from commandline import agentreview

# Cartwheel answers requests, Larder keeps rows; neither exists.
FRAMEWORK = """\
id: cartwheel
title: Cartwheel and Larder
languages: [python]
imports: [cartwheel, larder]
concepts:
  endpoint:
    - {decorator: "$R.spoke"}
  authn:
    - {decorator: signed_in}
    - {decorator: allowed}
  caller: ["ride.rider"]
  request: ["ride.path", "ride.sent"]
  read:
    - {call: "larder.shelf($R).one", single: true}
    - "larder.shelf($R).all"
  write:
    - "larder.shelf($R).put"
  audit: ["logbook.note"]
  respond: ["ride.answer"]
"""
HEAD = """\
import larder
from cartwheel import Wheel, allowed, signed_in
from cartwheel import logbook

from clinic.models import Invoice, Patient

wheel = Wheel()


"""
CODE = {
    "access.endpoint-auth": (
        '@wheel.spoke("/patients")\ndef patients(ride):\n    rows = larder.shelf(Patient).all(clinic_id=ride.rider.clinic_id)\n'
        '    logbook.note("read", rows)\n    ride.answer([row.name for row in rows])\n',
        '@wheel.spoke("/patients")\n@allowed("patients.read")\ndef patients(ride):\n    rows = larder.shelf(Patient).all(clinic_id=ride.rider.clinic_id)\n'
        '    logbook.note("read", rows)\n    ride.answer([row.name for row in rows])\n',
    ),
    "hipaa.audit-phi-read": (
        '@wheel.spoke("/patients/<id>")\n@allowed("patients.read")\ndef patient(ride):\n'
        "    row = larder.shelf(Patient).one(id=ride.path.id, clinic_id=ride.rider.clinic_id)\n    ride.answer({'name': row.name})\n",
        '@wheel.spoke("/patients/<id>")\n@allowed("patients.read")\ndef patient(ride):\n'
        "    row = larder.shelf(Patient).one(id=ride.path.id, clinic_id=ride.rider.clinic_id)\n    logbook.note('read', row)\n"
        "    ride.answer({'name': row.name})\n",
    ),
    "tenancy.query-scope": (
        '@wheel.spoke("/invoices/<id>")\n@allowed("invoices.read")\ndef invoice(ride):\n'
        "    row = larder.shelf(Invoice).one(id=ride.path.id)\n    ride.answer({'total': row.total})\n",
        '@wheel.spoke("/invoices/<id>")\n@allowed("invoices.read")\ndef invoice(ride):\n'
        "    row = larder.shelf(Invoice).one(id=ride.path.id, clinic_id=ride.rider.clinic_id)\n    ride.answer({'total': row.total})\n",
    ),
}
SPELLED = {
    ".agents/frameworks/cartwheel.yml": FRAMEWORK,
    "agentreview.toml": '[facts.tenant]\nkey = "clinic_id"\nmodels = ["Invoice", "Patient"]\n',
}


def rules(repo, files: dict[str, str]) -> set[str]:
    repo.stage(files)
    done = agentreview("--format", "json", cwd=repo.path)
    report = json.loads(done.out)
    assert report["files_reviewed"] == 1
    return {finding["rule"] for finding in report["findings"] if finding["path"] == "app/web.py"}


@pytest.mark.parametrize("policy", CODE)
def test_a_policy_sees_a_framework_that_one_yaml_file_spells(repo, policy):
    bad, good = CODE[policy]
    repo.commit(SPELLED)
    assert policy in rules(repo, {"app/web.py": HEAD + bad})
    assert rules(repo, {"app/web.py": HEAD + good}) & CODE.keys() == set()


def test_without_the_file_nobody_knows_what_an_endpoint_is(repo):
    repo.commit({"agentreview.toml": SPELLED["agentreview.toml"]})
    code = HEAD + "\n\n".join(bad for bad, _ in CODE.values())
    assert not rules(repo, {"app/web.py": code}) & {"access.endpoint-auth", "hipaa.audit-phi-read"}


def test_it_is_active_only_where_its_modules_are_imported(repo):
    repo.commit(SPELLED)
    bad, _ = CODE["access.endpoint-auth"]
    other = HEAD.replace("cartwheel", "barrow").replace("larder", "pantry")
    assert "access.endpoint-auth" not in rules(repo, {"app/web.py": other + bad.replace("larder", "pantry")})


def test_a_mistake_in_it_names_the_line_and_the_concept_that_was_meant(repo):
    repo.stage({".agents/frameworks/cartwheel.yml": FRAMEWORK.replace("  audit:", "  audits:")})
    done = agentreview(cwd=repo.path)
    line = FRAMEWORK[: FRAMEWORK.index("  audit:")].count("\n") + 1
    assert (done.code, done.out) == (2, "")
    assert f".agents/frameworks/cartwheel.yml:{line}: unknown concept 'audits'" in done.err
    assert "Did you mean 'audit'?" in done.err
