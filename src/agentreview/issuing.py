"""Edge: a verdict, or a stated reason for going without one, becomes a receipt: who, when, signed where a key is set.

A receipt that cannot be written or signed never stops a commit: the verdict stands, and what is missing is said.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from agentreview import ledger, signing
from agentreview.receipts import Context, Entry, bypass_statement, preauthenticated, seal, statement

if TYPE_CHECKING:
    from agentreview.config import Receipting
    from agentreview.git import Repository
    from agentreview.model import Finding, Verdict

NO_KEY = "no signing key is configured"


def issue(
    repo: Repository,
    verdict: Verdict,
    entries: Iterable[Entry],
    files: Mapping[str, bytes],
    *,
    commit: str = "",
    read_from: str = "",
) -> str | None:
    """Write the receipt of a finished review; returns a one-line warning when that was not possible.

    ``files`` are the configuration files it was judged by (they may name the signing key), ``read_from`` is their tree
    where that is not the reviewed one.
    """
    who = signing.signer(repo)
    context = Context(person=who.person, at=_now(), commit=commit, settings=read_from)
    lost, unsigned = _keep(repo, statement(verdict, entries, context), settings(files).signing_key or who.key)
    return lost or unsigned


def issue_bypass(
    repo: Repository, base: str, tree: str, entries: Iterable[Entry], files: Mapping[str, bytes], *,
    reason: str, version: str, branch: str | None, findings: Iterable[Finding] = (),
) -> str | None:  # fmt: skip
    """Write down that a person let a commit through without a review, or against one, and why.

    Returns why that was not possible, None when it was.
    """
    who = signing.signer(repo)
    context = Context(person=who.person, at=_now())
    stated = bypass_statement(
        base, tree, entries, context, reason=reason, version=version, branch=branch, findings=findings
    )
    return _keep(repo, stated, settings(files).signing_key or who.key)[0]


def settings(files: Mapping[str, bytes]) -> Receipting:
    """Read ``[receipts]``, where there is one: the hook does not parse configuration for nothing."""
    from agentreview.config import CONFIG_NAME, PYPROJECT_NAME, Receipting, load_config
    from agentreview.errors import ConfigError

    if not any(b"receipts" in files.get(name, b"") for name in (CONFIG_NAME, PYPROJECT_NAME)):
        return Receipting()
    from agentreview.policies.project import known_ids

    try:
        return load_config(files.get, known_policies=known_ids(files)).receipts
    except ConfigError:  # a review has said so, or there was none to say it
        return Receipting()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _keep(repo: Repository, stated: dict[str, Any], key: str) -> tuple[str | None, str | None]:
    """Return why it was not kept, and why it was not signed."""
    note, armored, fingerprint = NO_KEY, "", ""
    warning: str | None = None
    if key:
        try:
            armored, fingerprint = signing.sign(key, preauthenticated(stated))
            note = ""
        except OSError as error:
            warning = note = str(error)
    data = seal(stated, key=fingerprint, signature=armored, note=note)
    return ledger.keep(repo, data, stated["predicate"]["change"]), warning
