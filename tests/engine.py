"""The engine without git: changes made of texts, reviewed in this process, and what was said in short form."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from agentreview.compute import review_snapshot
from agentreview.config import Config, parse_config
from agentreview.model import FileChange, Hunk, Snapshot, Verdict
from agentreview.policies.compare import Claimed, Engine, FileResult
from agentreview.policies.load import load
from agentreview.policies.run import Reviewed, review_changes
from agentreview.syntax.facts import Analysis, Fact
from agentreview.syntax.parse import NotReviewed
from agentreview.syntax.reach import in_reach, own_and_helpers
from agentreview.syntax.tree import Unit
from agentreview.worker import Reviewers

IMPORTS = """\
import logging

from django.contrib.auth.decorators import login_required
from django.http import JsonResponse

from clinic.audit import audit_log
from clinic.models import Patient

logger = logging.getLogger(__name__)


"""
GUARDED = """\
@login_required
def detail(request, pk):
    patient = Patient.objects.get(pk=pk, org=request.user.org)
    audit_log(actor=request.user, action="read", obj=patient)
    return JsonResponse({"name": patient.name})
"""
UNAUDITED = GUARDED.replace('    audit_log(actor=request.user, action="read", obj=patient)\n', "")
READ = "hipaa.audit-phi-read"
REMOVED = "data.audit-removed"


def config(facts: str = "") -> Config:
    """A configuration made of TOML text."""
    return parse_config(facts.encode(), path="agentreview.toml", known_policies=load().ids()) if facts else Config()


@lru_cache(maxsize=32)
def engine(facts: str = "") -> Engine:
    """The engine with all policies."""
    return Engine(load(), config(facts))


def change(
    path: str, before: str | bytes | None, after: str | bytes | None, *, old_path: str | None = None
) -> FileChange:
    """What turns one text into another, with the hunks that git would show. ``None`` is a side that is not there."""
    old, new = (None if t is None else t.encode() if isinstance(t, str) else t for t in (before, after))
    left, right = ((t or b"").split(b"\n") for t in (old, new))
    hunks = [
        Hunk(
            old_start=a1 + 1, old_lines=a2 - a1, new_start=b1 + 1, new_lines=b2 - b1,
            removed=tuple(range(a1 + 1, a2 + 1)), added=tuple(range(b1 + 1, b2 + 1)),
        )
        for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
        if tag != "equal"
    ]  # fmt: skip
    if old is None:
        hunks = [
            Hunk(old_start=0, old_lines=0, new_start=1, new_lines=len(right), added=tuple(range(1, len(right) + 1)))
        ]
    status = "R" if old_path else "A" if old is None else "D" if new is None else "M"
    return FileChange(
        path=path, old_path=old_path, status=status, before=old, after=new, hunks=tuple(hunks),
        old_mode="000000" if old is None else "100644", new_mode="000000" if new is None else "100644",
    )  # fmt: skip


def reviewed(*changes: FileChange, facts: str = "") -> Reviewed:
    """Every claim about a change."""
    return review_changes(changes, engine(facts))


def introduced(*changes: FileChange, facts: str = "", rule: str = "") -> list[tuple[str, str, int]]:
    """(rule, unit, line) of what the change made worse, or of one rule's claims."""
    return [short(c) for c in reviewed(*changes, facts=facts).claims if not c.existing and rule in ("", c.claim.rule)]


def short(claimed: Claimed) -> tuple[str, str, int]:
    """The rule, the unit and the line of a claim."""
    return claimed.claim.rule, claimed.claim.unit, claimed.claim.start_line


def rules(*changes: FileChange, facts: str = "") -> set[str]:
    """The rules that the change breaks anew."""
    return {rule for rule, _, _ in introduced(*changes, facts=facts)}


def verdict(*changes: FileChange, facts: str = "") -> Verdict:
    """The whole verdict, in worker processes."""
    return review_snapshot(Snapshot(base="1" * 40, tree="2" * 40, changes=changes), config(facts))


def only(engine_: Engine, policy: str) -> Engine:
    """An engine with one policy."""
    catalogue = engine_.catalogue
    return Engine(replace(catalogue, policies=tuple(p for p in catalogue.policies if p.id == policy)), engine_.config)


def analysis(source: str, path: str = "app/views.py", facts: str = "") -> Analysis:
    """The facts of one file."""
    found = engine(facts).analyse(path, source.encode())
    assert not isinstance(found, NotReviewed), found
    return found


def unit(found: Analysis, name: str) -> Unit:
    """A unit by its qualified name."""
    return next(u for u in found.module.units if u.qualname == name)


def facts_of(found: Analysis, name: str, concept: str = "") -> list[Fact]:
    """Facts of a unit and its helpers."""
    return [f for f in own_and_helpers(found, unit(found, name)) if concept in ("", f.concept)]


def concepts(found: Analysis, name: str) -> set[str]:
    """Concepts that hold for a unit."""
    return {f.concept for f in in_reach(found, unit(found, name))}


def review_in_workers(
    changes: Sequence[FileChange], engine: Engine, progress: Callable[[int, int], None] | None = None
) -> list[FileResult]:
    """Review every file once, in workers; results in the order of ``changes``."""
    with Reviewers(progress) as reviewers:
        return reviewers(changes, engine)
