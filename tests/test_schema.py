"""Prisma schemas, read line by line: nothing in them stops a review, and what is said of a model is its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentreview.model import Severity
from agentreview.policies.schema import models
from engine import change, reviewed

SCHEMA = """\
model Patient {
  id    String @id @default(uuid())
  orgId String
  mrn   String @unique
}

model Country {
  code String @unique
}
"""
FACTS = 'facts.tenant.key = "orgId"'


def told(before: str | None, after: str) -> list[tuple[str, int]]:
    found = reviewed(change("prisma/schema.prisma", before, after), facts=FACTS)
    return [(c.claim.unit, c.claim.start_line) for c in found.claims if c.claim.rule == "tenancy.unique-constraint"]


def test_a_number_that_is_unique_over_all_tenants_is_told_once_at_its_line():
    assert told(None, SCHEMA) == [("Patient", 4)]


def test_only_lines_that_the_change_adds_are_told():
    assert told(SCHEMA, SCHEMA + "\nmodel Ward {\n  id String @id\n}\n") == []


def test_a_model_without_the_tenant_is_free_to_be_unique():
    assert told(None, SCHEMA.replace("  orgId String\n", "")) == []


@given(st.text(alphabet="model {}@unique()[],:\n abcXY/\"'", max_size=400))
def test_no_text_stops_the_reader_and_lines_are_lines_of_it(text):
    for model in models(text):
        for line, names in model.unique:
            assert 1 <= line <= text.count("\n") + 1
            assert all(names)


def test_a_cascade_is_advice_whatever_its_policy_weighs():
    source = (
        "from django.db import models\n\n\nclass Encounter(models.Model):\n"
        '    patient = models.ForeignKey("Patient", on_delete=models.CASCADE)\n'
    )
    found = reviewed(change("clinic/models.py", None, source))
    claims = [c.claim for c in found.claims if c.claim.rule == "hipaa.retention-deletion"]
    assert [c.severity for c in claims] == [Severity.MEDIUM]
