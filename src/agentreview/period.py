"""Edge: what receipts say of the commits of a period, for the page that an auditor reads.

Nothing is reviewed. A commit is judged by the receipts that fit it as they stood on its own day: a waiver that has ended
since then has not undone the review. A receipt whose file, contents or signature is not what it says counts for nothing,
and is named.
"""

from __future__ import annotations

import json
from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from agentreview import ledger, signing
from agentreview.auditlog import stated
from agentreview.errors import UsageError
from agentreview.git import Repository, shown
from agentreview.history import Commit, commits, raw_entries
from agentreview.lazyre import lazy
from agentreview.model import Decision
from agentreview.policies.load import load
from agentreview.policies.secrets import mask
from agentreview.receipts import UNREVIEWED, Receipt, content_key, preauthenticated
from agentreview.records import dataclass
from agentreview.reporters.page.chart import Judged
from agentreview.reporters.page.record import (
    ADVISORY,
    BYPASSED,
    CARRIED,
    EMPTY,
    MISSING,
    REVIEWED,
    SIGNED,
    STRANGER,
    UNCHECKED,
    Accepted,
    Audit,
    Cited,
    Recorded,
)

_NAMED = lazy(r"(?P<year>[0-9]{4})(?:-(?:Q(?P<quarter>[1-4])|(?P<month>0[1-9]|1[0-2])))?")
_FORMS = "Write it as 2026-Q4, 2026-11, 2026, or 2026-10-01..2026-12-31"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What is known of a receipt's signature; ``wrong`` says why the receipt does not count."""

    word: str
    who: str = ""
    wrong: str = ""


def period(text: str) -> tuple[str, str]:
    """Return the first and the last day that a period names, as ISO text. Raises UsageError."""
    named = _NAMED.fullmatch(text)
    if named:
        year, quarter, month = int(named["year"]), named["quarter"], named["month"]
        if year:
            first = 3 * int(quarter) - 2 if quarter else int(month or 1)
            last = 3 * int(quarter) if quarter else int(month or 12)
            return f"{year:04}-{first:02}-01", f"{year:04}-{last:02}-{monthrange(year, last)[1]:02}"
    first_day, dots, last_day = text.partition("..")
    if not dots:
        raise UsageError(f"{shown(text)} is not a period", fix=_FORMS)
    for day in (first_day, last_day):
        try:
            exact = date.fromisoformat(day).isoformat() == day
        except ValueError:
            exact = False
        if not exact:
            raise UsageError(f"{shown(day)} in {shown(text)} is not a day", fix=_FORMS)
    if first_day > last_day:
        raise UsageError(f"{shown(text)} ends before it begins", fix=_FORMS)
    return first_day, last_day


def audit(
    repo: Repository, head: str, branch: str, days: tuple[str, str], *, name: str, allowed: str, signers: str, now: str, version: str
) -> Audit:  # fmt: skip
    """Collect the record. ``allowed`` is the text of allowed signers, ``signers`` says whose; ``now`` is ISO, UTC.

    Raises IncompleteError where history is missing.
    """
    first, last = days
    listed = [one for one in reversed(commits(repo, head)) if first <= stated(one)[:10] <= last]
    keys = [content_key(entries) for entries in raw_entries(repo, [(one.base, one.tree) for one in listed])]
    known, odd = ledger.search(repo, (key for one, key in zip(listed, keys, strict=True) if one.base != one.tree))
    today = now[:10]
    receipts = [one for ones in known.values() for one in ones]
    states, unchecked = _examined(receipts, allowed)
    refused = [(one.path[-69:-5], one.wrong) for one in odd]
    refused += sorted((name, state.wrong) for name, state in states.items() if state.wrong)
    spoiled = {one.path[3:67] for one in odd}
    found = [
        _recorded(one, known.get(key, ()), states, today, spoiled=key in spoiled)
        for one, key in zip(listed, keys, strict=True)
    ]
    everything = (one.receipt for one in ledger.everything(repo))
    judged = [
        Judged(at=one.at, decision=one.decision)
        for one in everything
        if one is not None and first <= one.at[:10] <= last
    ]
    policies = [Cited(id=p.id, title=p.rule.title, references=p.rule.references) for p in load().policies]
    return Audit(
        repository=name, head=head, branch=branch, first=first, last=last, made_at=now, version=version, signers=signers,
        commits=tuple(found), policies=tuple(policies), judged=tuple(judged), refused=tuple(refused), unchecked=unchecked,
    )  # fmt: skip


def _examined(receipts: Sequence[Receipt], allowed: str) -> tuple[dict[str, Signature], str]:
    """Say of every receipt whose signature it has, and why that could not be found out for any."""
    states = {one.id: Signature(word=ADVISORY) for one in receipts}
    signed = [one for one in receipts if one.signed]
    try:
        found = signing.examine([(preauthenticated(one.statement), one.signature, one.at) for one in signed], allowed)
    except OSError as error:
        return {**states, **{one.id: Signature(word=UNCHECKED) for one in signed}}, str(error)
    for one, (who, wrong) in zip(signed, found, strict=True):
        states[one.id] = Signature(word=SIGNED if who else STRANGER, who=who, wrong=wrong)
    return states, ""


def _recorded(
    commit: Commit, receipts: Sequence[Receipt], states: Mapping[str, Signature], today: str, *, spoiled: bool
) -> Recorded:
    at = stated(commit)
    known: dict[str, Any] = {"oid": commit.oid, "at": at, "author": commit.author, "subject": mask(commit.subject)}
    if commit.base == commit.tree:
        return Recorded(**known, standing=EMPTY)
    sound = [one for one in receipts if not states[one.id].wrong]
    usable = [one for one in sound if not (one.expires and one.expires < at[:10])]
    passed = [one for one in usable if one.decision == Decision.PASS.value]
    exact = [one for one in passed if (one.base, one.tree) == (commit.base, commit.tree)]
    bypassed = [one for one in usable if one.decision == UNREVIEWED]
    chosen = exact or passed or bypassed
    if not chosen:
        return Recorded(**known, standing=MISSING, why=_why(sound, refused=spoiled or len(sound) < len(receipts)))
    receipt = max(
        chosen, key=lambda one: ((SIGNED, STRANGER).count(states[one.id].word), bool(states[one.id].who), one.at)
    )
    standing = REVIEWED if exact else CARRIED if passed else BYPASSED
    if bypassed:  # it was let through, also where somebody reviewed it afterwards
        first = min(bypassed, key=lambda one: one.at)
        known |= {"bypass": first.bypass, "let_by": first.person, "let_at": first.at}
    return Recorded(**known, standing=standing, **_said(receipt, states[receipt.id], today))


def _why(sound: Sequence[Receipt], *, refused: bool) -> str:
    """What is known of a commit that no receipt covers."""
    if refused:
        return "its receipt is refused"
    if any(one.decision == Decision.PASS.value for one in sound):
        return "its review rests on a waiver that had ended"
    if any(one.decision == Decision.BLOCK.value for one in sound):
        return "a review refused it, and none passed it"
    return "no receipt of any kind"


def _said(receipt: Receipt, state: Signature, today: str) -> dict[str, Any]:
    said = receipt.statement["predicate"]
    done = [agent for agent in said["agents"] if agent["outcome"] == "completed"]
    sealed = json.loads(receipt.data)["signature"]
    return {
        "receipt": receipt.id, "reviewed_at": receipt.at, "person": receipt.person, "version": receipt.version,
        "signature": state.word, "signed_by": state.who, "key": str(sealed["key"]) if sealed else "",
        "configuration": receipt.configuration, "configured_in": (said["configuration"] or {}).get("file") or "",
        "advisory": sum(finding["status"] == "advisory" for finding in said["findings"]),
        "waived": tuple(_accepted(finding, today) for finding in said["findings"] if finding["waiver"]),
        "unread": tuple((row["path"], f"{row['how']}: {row['why']}") for row in said["coverage"] if row["how"] != "reviewed"),
        "agents": tuple((a["agent"], a["digest"], a.get("model") or "", a["outcome"]) for a in said["agents"]),
        "rules": tuple(sorted({rule for agent in done for rule in agent["rules"]})),
    }  # fmt: skip


def _accepted(finding: Mapping[str, Any], today: str) -> Accepted:
    waiver = finding["waiver"]
    return Accepted(
        rule=finding["rule"], path=finding["path"], line=finding["line"], severity=finding["severity"], reason=mask(waiver["reason"]),
        person=waiver["person"], expires=waiver["expires"], approved_by=waiver["approved_by"], added_here=bool(waiver["added_here"]),
        ended=bool(waiver["expires"]) and waiver["expires"] < today,
    )  # fmt: skip
