"""What the page for an auditor is made of. Texts in it come from commits and receipts: untrusted."""

from __future__ import annotations

from agentreview.records import dataclass
from agentreview.reporters.page.chart import Judged

REVIEWED, CARRIED, BYPASSED, MISSING, EMPTY = "reviewed", "carried over", "bypassed", "no receipt", "changes nothing"
SIGNED, STRANGER, ADVISORY, UNCHECKED = "signed", "signed, signer unknown", "advisory", "signature not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One finding that a waiver accepts. ``ended``: the waiver has ended since."""

    rule: str
    path: str
    line: int
    severity: str
    reason: str
    person: str
    expires: str
    approved_by: str
    added_here: bool
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One commit and the receipt that says most about it. Texts are untrusted; times are ISO, UTC."""

    oid: str
    at: str
    author: str
    subject: str
    standing: str
    why: str = ""  # of a commit that no receipt covers: what is known instead
    receipt: str = ""
    reviewed_at: str = ""
    person: str = ""
    bypass: str = ""  # why it was let through without a review, by whom and when
    let_by: str = ""
    let_at: str = ""
    signature: str = ""
    signed_by: str = ""
    key: str = ""
    advisory: int = 0
    waived: tuple[Accepted, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()  # (path, why)
    version: str = ""
    configuration: str = ""
    configured_in: str = ""
    agents: tuple[tuple[str, str, str, str], ...] = ()  # (agent, digest, model, outcome)
    rules: tuple[str, ...] = ()  # of the agents that completed


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """A policy, and what it cites. ``title`` is "" for one that this version does not know."""

    id: str
    title: str = ""
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Everything on the page. ``unchecked`` says why signatures were not checked, "" where they were."""

    repository: str
    head: str
    branch: str
    first: str
    last: str
    made_at: str
    version: str
    signers: str  # where the allowed signers come from
    commits: tuple[Recorded, ...]
    policies: tuple[Cited, ...]
    judged: tuple[Judged, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()  # (receipt, what is wrong with it)
    unchecked: str = ""
