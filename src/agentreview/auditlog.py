"""Who committed what under which verdict: the commits of a span, each with what the receipts at hand say of it.

For people who answer for a repository. It reviews nothing, and says of a commit without a receipt just that: skipped
hooks, hooks that are not installed, a rebase over changed files and an edit on the web look alike.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from agentreview.git import Repository
from agentreview.history import Commit, Settled, Standing, commits, settled
from agentreview.ledger import Stored
from agentreview.policies.secrets import mask
from agentreview.records import dataclass

SETTLED = {Standing.REVIEWED: "reviewed", Standing.CARRIED: "carried over", Standing.BYPASSED: "bypassed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One commit. ``waived`` are (rule, path, reason, person); ``agents`` those that completed; texts are untrusted."""

    commit: str
    at: str
    author: str
    subject: str
    standing: str
    reviewed_at: str = ""
    reviewed_by: str = ""
    branch: str = ""
    advisory: int = 0
    waived: tuple[tuple[str, str, str, str], ...] = ()
    bypass: str = ""
    agents: tuple[str, ...] = ()
    not_reviewed: int = 0  # files
    receipt: str = ""
    signed: bool = False


def logged(repo: Repository, span: Sequence[str], *, refused: Callable[[Stored], object] = bool) -> tuple[Logged, ...]:
    """Return the commits of a span (arguments of ``rev-list``), the newest first. IncompleteError where history is missing.

    A waiver that has ended since the day of a commit has not undone its review. ``refused`` hears of every file that is
    named like a receipt of one of them and is none.
    """
    listed = commits(repo, *span)
    days = [stated(one)[:10] for one in listed]
    states = settled(repo, [(one.base, one.tree) for one in listed], today=days, refused=refused)
    return tuple(_logged(one, state) for one, state in zip(reversed(listed), reversed(states), strict=True))


def stated(commit: Commit) -> str:
    """When the committer says that it was made: ISO, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(commit.at))


def _logged(commit: Commit, state: Settled) -> Logged:
    known: dict[str, Any] = {
        "commit": commit.oid, "at": stated(commit), "author": commit.author,
        "subject": mask(commit.subject), "standing": SETTLED.get(state.standing, "no receipt"),
    }  # fmt: skip
    if commit.base == commit.tree:
        return Logged(**{**known, "standing": "changes nothing"})
    receipt = state.receipt
    if receipt is None:
        return Logged(**known)
    said = receipt.statement["predicate"]
    waivers = [(f, f["waiver"]) for f in said["findings"] if f["waiver"]]
    return Logged(
        **known, reviewed_at=receipt.at, reviewed_by=receipt.person, branch=said["source"]["branch"] or "", bypass=receipt.bypass,
        advisory=sum(f["status"] == "advisory" for f in said["findings"]),
        waived=tuple((f["rule"], f["path"], w["reason"], w["person"]) for f, w in waivers),
        agents=tuple(sorted(a["agent"] for a in said["agents"] if a["outcome"] == "completed")),
        not_reviewed=sum(entry["how"] != "reviewed" for entry in said["coverage"]), receipt=receipt.id, signed=receipt.signed,
    )  # fmt: skip


def counted(found: Sequence[Logged]) -> str:
    """``12 commits: 9 reviewed, 1 bypassed, 2 no receipt; 3 findings waived``."""
    counts = Counter(one.standing for one in found)
    order = ("reviewed", "carried over", "bypassed", "no receipt", "changes nothing")
    told = ", ".join(f"{counts[word]} {word}" for word in order if counts[word])
    waived = sum(len(one.waived) for one in found)
    more = f"; {waived} finding{'' if waived == 1 else 's'} waived" if waived else ""
    return f"{len(found)} commit{'' if len(found) == 1 else 's'}{': ' if told else ''}{told}{more}"
