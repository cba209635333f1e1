"""Run the installed command in a process of its own, and the small clinic that its tests review."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(sys.executable).parent / "agentreview"
COMMAND = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "agentreview"]

MODELS = """\
from django.db import models


class Patient(models.Model):
    org = models.ForeignKey("accounts.Org", on_delete=models.PROTECT)
    name = models.CharField(max_length=200)
    mrn = models.CharField(max_length=20)
"""
HEAD = """\
from django.contrib.auth.decorators import permission_required
from django.http import JsonResponse
from django.shortcuts import get_object_or_404

from clinic.audit import audit_log
from clinic.models import Patient
"""
BAD_VIEW = """\


@permission_required("clinic.view_patient", raise_exception=True)
def patient_detail(request, pk):
    patient = get_object_or_404(Patient, pk=pk, org=request.user.org)
    return JsonResponse({"name": patient.name, "mrn": patient.mrn})
"""
GOOD_VIEW = BAD_VIEW.replace("    return", '    audit_log(actor=request.user, action="read", obj=patient)\n    return')
BAD = {"clinic/models.py": MODELS, "clinic/views.py": HEAD + BAD_VIEW}
GOOD = {"clinic/models.py": MODELS, "clinic/views.py": HEAD + GOOD_VIEW}
RULE = "hipaa.audit-phi-read"


@dataclass(frozen=True)
class Done:
    """How a process ended, and what it printed."""

    code: int
    out: str
    err: str


def agentreview(*args: str, cwd: Path | str, env: dict[str, str] | None = None, **options: Any) -> Done:
    """Run ``agentreview ARGS`` in a directory; ``env`` is added to the environment."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    done = subprocess.run(
        [*COMMAND, *args], cwd=cwd, env={**os.environ, **(env or {})}, check=False, timeout=120, **streams
    )
    return Done(done.returncode, _text(done.stdout), _text(done.stderr))


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "replace")


def one_line(text: str) -> str:
    """Return the only line there is; fails when there is another number of lines."""
    assert text.count("\n") == 1, text
    assert text.endswith("\n"), text
    assert "Traceback" not in text
    return text.rstrip("\n")
