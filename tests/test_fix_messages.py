"""The edit of a line that shows several values of one record: the record's id once, and the words for the others gone with them."""

from __future__ import annotations

import pytest

from agentreview.compute import _anchored
from agentreview.fixes.edits import applied
from agentreview.fixes.proposing import propose
from agentreview.model import Snapshot
from agentreview.policies.run import review_changes
from engine import change, engine

PYTHON = """\
import logging

from fastapi import APIRouter, Depends

from app.auth import current_user
from app.models import Patient

router = APIRouter()
log = logging.getLogger(__name__)


@router.get("/patients/{pid}")
def show(pid: int, patient: Patient, user=Depends(current_user)):
    LINE
    return {"id": patient.id}
"""
SCRIPT = """\
import { Router } from "express";
import { logger } from "./log";
import { prisma } from "./db";
import { requireAuth } from "./auth";

const router = Router();

router.get("/patients/:id", requireAuth, async (req, res) => {
  const patient = await prisma.patient.findFirst({ where: { id: req.params.id, orgId: req.user.orgId } });
  LINE
  res.json({ id: patient.id });
});
"""
RUBY = """\
class PatientsController < ApplicationController
  def show
    patient = current_clinic.patients.find(params[:id])
    LINE
    head :ok
  end
end
"""
JAVA = """\
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

public class Admissions {
    private static final Logger log = LoggerFactory.getLogger(Admissions.class);

    public void admit(Patient patient) {
        LINE
    }
}
"""
FILES = {"py": ("app/views.py", PYTHON), "ts": ("src/patients.ts", SCRIPT), "rb": ("app/controllers/patients_controller.rb", RUBY), "java": ("src/main/java/Admissions.java", JAVA)}  # fmt: skip
CASES = [
    ("py", 'log.info("seen %s %s", patient.name, patient.ssn)', 'log.info("seen %s", patient.id)'),
    ("py", 'log.info("seen %s name=%s ssn=%s", user.id, patient.name, patient.ssn)', 'log.info("seen %s patient=%s", user.id, patient.id)'),
    ("py", 'log.info("ssn %s of %s", patient.ssn, patient.id)', 'log.info("patient %s", patient.id)'),
    ("py", 'log.info(f"seen {patient.name}, born {patient.birth_date}, ssn={patient.ssn}")', 'log.info(f"seen {patient.id}")'),
    ("py", 'log.info(f"seen {patient.name} ({patient.ssn!r})")', 'log.info(f"seen {patient.id}")'),
    ("py", 'log.info(f"{patient.name} called from {patient.phone}")', None),  # words that say more
    ("py", 'log.info("seen {} {}".format(patient.name, patient.ssn))', 'log.info("seen {}".format(patient.id))'),
    ("py", 'log.info("seen {name} {ssn}".format(name=patient.name, ssn=patient.ssn))', 'log.info("seen {name}".format(name=patient.id))'),
    ("py", 'log.info("seen %s %s" % (patient.name, patient.ssn))', 'log.info("seen %s" % (patient.id))'),
    ("py", 'log.info("seen %s" % patient.name)', 'log.info("seen %s" % patient.id)'),
    ("py", 'log.info("%(n)s %(s)s", {"n": patient.name, "s": patient.ssn})', None),  # its keys are places of the message
    ("py", 'log.info("seen", extra={"name": patient.name, "ssn": patient.ssn})', 'log.info("seen", extra={"patient_id": patient.id})'),
    ("py", 'log.info("seen %s", patient.name, extra={"ssn": patient.ssn})', 'log.info("seen %s", patient.id)'),
    ("py", 'log.info("seen", name=patient.name, ssn=patient.ssn)', 'log.info("seen", patient_id=patient.id)'),
    ("py", 'log.info("seen " + patient.name + " " + patient.ssn)', 'log.info("seen " + patient.id)'),
    ("py", 'log.info("seen %s", patient.name.upper())', None),  # an id has no such method
    ("py", 'print("seen", patient.name, patient.ssn)', 'print("seen", patient.id)'),
    ("py", 'log.info("seen %s: %s", patient.id, str(patient.ssn))', 'log.info("seen %s", patient.id)'),
    ("py", 'log.info(\n        "seen %s %s",\n        patient.name,\n        patient.ssn,\n    )', 'log.info(\n        "seen %s",\n        patient.id,\n    )'),
    ("py", 'raise ValueError(f"no visit for {patient.name} ({patient.ssn})")', 'raise ValueError(f"no visit for {patient.id}")'),
    ("ts", 'console.log("seen", patient.name, patient.ssn);', 'console.log("seen", patient.id);'),
    ("ts", 'console.log("seen %s %s", patient.name, patient.ssn);', 'console.log("seen %s", patient.id);'),
    ("ts", "console.log(`seen ${patient.name} (${patient.ssn})`);", "console.log(`seen ${patient.id}`);"),
    ("ts", "logger.info(`seen ${patient?.name} and ${patient?.ssn}`);", "logger.info(`seen ${patient?.id}`);"),
    ("ts", 'logger.info({ name: patient.name, ssn: patient.ssn }, "seen");', 'logger.info({ patientId: patient.id }, "seen");'),
    ("ts", 'logger.info("seen", { patientId: patient.id, ssn: patient.ssn });', 'logger.info("seen", { patientId: patient.id });'),
    ("ts", 'console.log("seen " + patient.name + " " + patient.ssn);', 'console.log("seen " + patient.id);'),
    ("ts", 'console.log("seen", { patient });', 'console.log("seen", { patientId: patient.id });'),
    ("rb", 'Rails.logger.info "seen #{patient.name} (#{patient.ssn})"', 'Rails.logger.info "seen #{patient.id}"'),
    ("java", 'log.info("seen {} {}", patient.getName(), patient.getSsn());', 'log.info("seen {}", patient.getId());'),
    ("java", 'log.info("seen " + patient.getName() + ", " + patient.getSsn());', 'log.info("seen " + patient.getId());'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "line", "expected"), CASES, ids=[line[:60] for _, line, _ in CASES])
def test_a_record_is_named_once(kind: str, line: str, expected: str | None) -> None:
    path, text = FILES[kind]
    nothing = {"py": "pass", "rb": "nil"}.get(kind, "")
    for old in (nothing, line.replace("ssn", "name").replace("Ssn", "Name")):  # also where the line leaked before
        core, of = engine(), change(path, text.replace("LINE", old), text.replace("LINE", line))
        claims = [
            c for c in review_changes([of], core).claims if c.claim.rule.startswith("hipaa.phi-in-") and not c.existing
        ]
        said, _ = _anchored(
            Snapshot(base="", tree="", changes=(of,)), claims, {p.id: p.rule for p in core.catalogue.policies}
        )
        if old == nothing:
            assert said
        for finding in said:
            edit = propose(finding, of, core)
            after = applied(edit, of.after or b"") if edit is not None else None
            assert (after.decode() if after else None) == (text.replace("LINE", expected) if expected else None)
