"""Going around the gate, on the record: a person's reason, in a receipt that says the change was not reviewed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from agentreview.errors import IncompleteError, UsageError
from agentreview.store import Store

if TYPE_CHECKING:
    from agentreview.git import Repository
    from agentreview.model import Finding

VARIABLE = "AGENTREVIEW_BYPASS"
SHORTEST, LONGEST = 10, 500  # characters


def stated_reason(text: str | None) -> str | None:
    """Return the reason somebody stated, None when nobody did. Raises UsageError for what is no reason: ``1``."""
    from agentreview.policies.secrets import mask
    from agentreview.reporters.text import escape

    if text is None or not text.strip():
        return None
    reason = escape(mask(" ".join(text.split())))
    if not SHORTEST <= len(reason) <= LONGEST:
        raise UsageError(
            f"{VARIABLE} states no reason: {reason[:40]!r}",
            fix=f"Say in {SHORTEST} to {LONGEST} characters why this commit cannot wait for its review",
        )
    return reason


def record(repo: Repository, store: Store, base: str, tree: str, reason: str) -> None:
    """Write the receipt. Raises IncompleteError when it cannot be kept: then the commit is refused after all."""
    from agentreview.history import raw_entries
    from agentreview.issuing import issue_bypass
    from agentreview.snapshot import head
    from agentreview.surroundings import configuration
    from agentreview.version import engine_version

    (entries,) = raw_entries(repo, [(base, tree)])
    warning = issue_bypass(
        repo, base, tree, entries, configuration(repo, tree), reason=reason, version=engine_version(),
        branch=head(repo)[1], findings=_refused(store, base, tree, engine_version()),
    )  # fmt: skip
    if warning is not None:
        raise IncompleteError(warning, fix="Without a record nothing goes around the gate")


def _refused(store: Store, base: str, tree: str, version: str) -> tuple[Finding, ...]:
    """The findings of the review that refused this very change, where it was reviewed."""
    from agentreview.reporters.jsonreport import loads

    known = store.load(base, tree, version)
    with suppress(ValueError):
        return loads(known[1].decode("ascii")).findings if known is not None else ()
    return ()
