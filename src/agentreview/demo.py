"""``agentreview demo``: a small clinic in a scratch repository, a blocked commit, and the fixed one passing.

Nothing is staged for show: git is git, the hooks are the ones that install writes, and what is printed between the
commands is what they print. At the end it is checked, not assumed, that the gate blocked and then passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .console import colored, output, say
from .errors import ExitCode, UsageError

if TYPE_CHECKING:
    from .git import Repository

RULE = "hipaa.audit-phi-read"
VIEWS = "clinic/views.py"

CLINIC = {
    "clinic/__init__.py": "",
    "clinic/audit.py": '''\
"""The audit trail: who did what to which record."""
from clinic.models import AuditEvent


def audit_log(*, actor, action, object_ids):
    AuditEvent.objects.create(actor_id=actor.pk, org=actor.org, action=action, object_ids=object_ids)
''',
    "clinic/models.py": """\
from django.db import models


class Patient(models.Model):
    org = models.ForeignKey("accounts.Org", on_delete=models.PROTECT)
    name = models.CharField(max_length=200)
    mrn = models.CharField(max_length=20)
    allergies = models.TextField(blank=True)


class AuditEvent(models.Model):
    org = models.ForeignKey("accounts.Org", on_delete=models.PROTECT)
    actor_id = models.BigIntegerField()
    action = models.CharField(max_length=40)
    object_ids = models.JSONField()
    at = models.DateTimeField(auto_now_add=True)
""",
    "clinic/urls.py": """\
from django.urls import path

from clinic import views

urlpatterns = [
    path("patients/", views.patient_list),
    path("patients/<int:pk>/", views.patient_detail),
]
""",
    VIEWS: """\
from django.contrib.auth.decorators import permission_required
from django.http import JsonResponse
from django.shortcuts import get_object_or_404

from clinic.audit import audit_log
from clinic.models import Patient


@permission_required("clinic.view_patient", raise_exception=True)
def patient_list(request):
    patients = Patient.objects.filter(org=request.user.org)
    audit_log(actor=request.user, action="list", object_ids=[patient.pk for patient in patients])
    return JsonResponse({"patients": [patient.name for patient in patients]})
""",
}
DETAIL = """\


@permission_required("clinic.view_patient", raise_exception=True)
def patient_detail(request, pk):
    patient = get_object_or_404(Patient, pk=pk, org=request.user.org)
    return JsonResponse({"name": patient.name, "mrn": patient.mrn, "allergies": patient.allergies})
"""
LOOKUP = "    patient = get_object_or_404(Patient, pk=pk, org=request.user.org)\n"
AUDIT = '    audit_log(actor=request.user, action="read", object_ids=[patient.pk])\n'

IDENTITY = {
    "GIT_AUTHOR_NAME": "Dana Reyes",
    "GIT_AUTHOR_EMAIL": "dana@clinic.example",
    "GIT_COMMITTER_NAME": "Dana Reyes",
    "GIT_COMMITTER_EMAIL": "dana@clinic.example",
}


def demo(*, keep: bool = False, color: str = "auto") -> int:
    """Run the demonstration; returns 0 when it was blocked and then passed, else 4 with a line that says what was not.

    ``keep`` leaves the repository there and says where. Raises UsageError where there is no git, no room or no
    installed command to put into the hooks.
    """
    with _clean_environment(color):
        try:
            scratch = Path(os.path.realpath(tempfile.mkdtemp(prefix="agentreview-demo-")))
        except OSError as error:
            raise UsageError(
                f"there is no room for the demonstration: {error.strerror}", fix="Set TMPDIR to a directory with space"
            ) from error
        try:
            complaint = Shell(scratch / "clinic", color=color).play()
        finally:
            if not keep:
                _remove(scratch)
        if keep:
            output(f"\nThe repository is in {scratch / 'clinic'}\n")
    if complaint:
        say(f"the demonstration did not go as it should: {complaint}. Please report it with the output above")
        return int(ExitCode.BUG)
    return int(ExitCode.PASS)


class Shell:
    """A shell session in the scratch repository: every command is printed before what it prints."""

    def __init__(self, path: Path, *, color: str) -> None:
        self.path = path
        shines = colored(sys.stdout, color)
        self.bold = ("\x1b[1m", "\x1b[0m") if shines else ("", "")
        self.looks = ("--no-pager", "-c", f"color.ui={'always' if shines else 'never'}")

    def play(self) -> str:
        """Play it all; returns what did not happen as it should, or ""."""
        from .git import open_repository

        self.path.mkdir()
        self.remark("A clinic's Django application: views, models, and an audit trail of who saw which patient.")
        self.run("git", "init", "-q", "-b", "main")
        repo = open_repository(str(self.path))
        self.install(repo)
        self.write(CLINIC)
        self.run("git", "add", "--all")
        self.remark("The list of patients writes an audit event, so this commit passes.")
        if self.run("git", "commit", "-q", "-m", "List the patients") or not self.head():
            return "the first commit was refused"
        first = self.head()

        self.remark("Now somebody, or somebody's agent, adds a page for one patient, and forgets the trail.")
        self.write({VIEWS: CLINIC[VIEWS] + DETAIL})
        self.run("git", "add", VIEWS)
        self.run("git", "diff", "--cached")
        if self.run("git", "commit", "-m", "Show a patient") == 0 or self.head() != first:
            return "the commit without the audit event was not blocked"
        if complaint := _not_blocked(repo):
            return complaint

        self.remark("The report says what to do. One line is added, and the same commit passes.")
        self.write({VIEWS: CLINIC[VIEWS] + DETAIL.replace(LOOKUP, LOOKUP + AUDIT)})
        self.run("git", "diff", "-U1")
        self.run("git", "add", VIEWS)
        if self.run("git", "commit", "-m", "Show a patient") or self.head() in {"", first}:
            return "the fixed commit did not pass"
        if complaint := _not_passed(repo):
            return complaint
        self.remark("Blocked, then passed. In a repository of your own: agentreview install")
        return ""

    def install(self, repo: Repository) -> None:
        """Install the hooks as the command of that name does."""
        from .install import install

        self.command("agentreview", "install")
        report = install(repo, native=True)
        output("".join(f"{line}\n" for line in report.lines))

    def write(self, files: dict[str, str]) -> None:
        """Write files, as an editor would."""
        for name, text in files.items():
            target = self.path / name
            target.parent.mkdir(exist_ok=True)
            target.write_text(text, encoding="utf-8")

    def run(self, *argv: str) -> int:
        """Show a command and run it for real; its output goes where ours goes. Returns its exit code."""
        self.command(*argv)
        if argv[1] == "diff":
            argv = (argv[0], *self.looks, *argv[1:])
        try:
            done = subprocess.run(argv, cwd=self.path, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=False)
        except OSError as error:
            raise UsageError("git cannot be run", fix="Install git and put it on PATH") from error
        return done.returncode

    def head(self) -> str:
        """Return the id of the last commit, or ""."""
        argv = ("git", "rev-parse", "--verify", "-q", "HEAD")
        return subprocess.run(argv, cwd=self.path, capture_output=True, check=False).stdout.decode("ascii").strip()

    def command(self, *argv: str) -> None:
        """Print a command line as it is typed."""
        typed = " ".join(f'"{word}"' if " " in word else word for word in argv)
        output(f"\n{self.bold[0]}$ {typed}{self.bold[1]}\n")

    def remark(self, text: str) -> None:
        """Print a line between commands."""
        output(f"\n# {text}\n")


def _not_blocked(repo: Repository) -> str:
    """Say why the refusal was not the one that was meant: any broken hook refuses too."""
    from .model import Decision, Status
    from .review import last_verdict

    verdict = last_verdict(repo)
    if verdict is None or verdict.decision is not Decision.BLOCK:
        return "the commit was refused, but not by a verdict"
    if not any(f.rule == RULE and f.path == VIEWS and f.status is Status.BLOCKING for f in verdict.findings):
        return f"the commit was blocked, but not by {RULE}"
    return ""


def _not_passed(repo: Repository) -> str:
    from .model import Decision
    from .review import last_verdict
    from .snapshot import base_tree

    verdict = last_verdict(repo)
    if verdict is None or verdict.decision is not Decision.PASS or verdict.tree != base_tree(repo):
        return "the fixed commit was made, but it was not judged"
    return ""


@contextmanager
def _clean_environment(color: str) -> Iterator[None]:
    """Set an environment in which nobody's git configuration, hooks or repository takes part, and restore it after."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("GIT_", "PRE_COMMIT", "PREK_")):
            del os.environ[name]
    os.environ.update({"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **IDENTITY})
    if color == "never":
        os.environ["NO_COLOR"] = "1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _remove(folder: Path) -> None:
    """Delete the scratch directory; git's read-only objects are no obstacle, and a failure is only untidy."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
