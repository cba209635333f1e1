"""Edge: which of the waivers that a range of commits adds were signed by an approver.

For CI, where nobody's word counts but that of the base: the configuration, and with it ``[waivers] approvers``, and the
file that says whose ssh key is whose are read from there. An entry of the waivers file is settled by the commit that
brought exactly it in. A comment is settled by the last commit of the range that touched its file: it covers whatever
stands below it, so the signature has to be for the whole of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from agentreview import git, waiverfile
from agentreview.config import Config
from agentreview.errors import ConfigError
from agentreview.git import Repository
from agentreview.model import FileChange, Snapshot
from agentreview.waiverfile import SIGNERS_NAME, WAIVERS_NAME, Waivers
from agentreview.waivers import Signature, accepted_records, approver, find

ON_BASE = "the base branch"
# Programs that configuration could name are named here; what git itself would run anyway.
_VERIFY = (
    *("-c", "gpg.program=gpg", "-c", "gpg.openpgp.program=gpg", "-c", "gpg.x509.program=gpgsm"),
    *("-c", "gpg.ssh.program=ssh-keygen", "-c", "gpg.minTrustLevel=undefined", "-c", "log.showSignature=false"),
)


def accepted(
    repo: Repository, base: str, head: str, snapshot: Snapshot, config: Config, *, policy: str = ""
) -> dict[str, str]:
    """Return the new waivers that count in CI: id -> the approver who signed for it.

    ``base`` and ``head`` are commits, ``snapshot`` is what lies between them. ``policy`` is the commit whose word counts,
    by default ``base``: ``config`` is its configuration, its file says whose key is whose, and what it waives itself is
    on the base branch already. Give the answer to :func:`agentreview.compute.compute`. Raises IncompleteError where
    history is missing.
    """
    policy = policy or base
    before, after = _read(repo, base), _read(repo, head)
    new = waiverfile.added(before, after)
    commented = [c for c in snapshot.changes if c.after is not None and b"agentreview:" in c.after]
    landed = {record.id for record in (_read(repo, policy) if policy != base and new else before).records}
    found = {record.id: ON_BASE for record in new if record.id in landed}
    if not config.waivers.approvers or not (new or commented):
        return found
    with _signers(repo, policy) as signers:
        known: dict[str, Signature] = {}

        def signature(commit: str) -> Signature:
            if commit not in known:
                known[commit] = signature_of(repo, commit, signers)
            return known[commit]

        introduced = {one: signature(commit) for one, commit in _introduced(repo, base, head).items()} if new else {}
        found.update(accepted_records(before, after, introduced, config.waivers.approvers))
        for change in commented:
            commit = _last(repo, base, head, change)
            who = approver(signature(commit), config.waivers.approvers) if commit else ""
            found.update({comment.id: who for comment in find(change) if who})
    return found


def signature_of(repo: Repository, commit: str, signers: str) -> Signature:
    """Return what git says of a commit's signature. ``signers`` is a file that says whose ssh key is whose."""
    options = (*_VERIFY, "-c", f"gpg.ssh.allowedSignersFile={signers}")
    out = git.run(repo, *options, "log", "-1", "--no-color", "--format=%G?%x00%GS%x00%GF", "--end-of-options", commit)
    fields = git.text(out).removesuffix("\n").split("\0")
    status, signer, key = (*fields, "", "", "")[:3]
    return Signature(status=status, signer=signer, key=key)


@contextmanager
def _signers(repo: Repository, policy: str) -> Iterator[str]:
    """Write the allowed signers where ssh-keygen can read them."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="agentreview-") as scratch:
        file = Path(scratch, "allowed_signers")
        file.write_bytes(git.read_file(repo, policy, SIGNERS_NAME) or b"")
        yield str(file)


def _read(repo: Repository, commit: str) -> Waivers:
    """Return the waivers of a commit; what cannot be read accepts nothing."""
    try:
        return waiverfile.parse(git.read_file(repo, commit, WAIVERS_NAME))
    except ConfigError:
        return Waivers()


def _introduced(repo: Repository, base: str, head: str) -> Mapping[str, str]:
    """Return, for each entry that a commit of the range brought in, the last one that did."""
    span = ("--topo-order", "--reverse", "--full-history", head, f"^{base}", "--", WAIVERS_NAME)
    commits = git.text(git.run(repo, "rev-list", *span)).split()
    if not commits:
        return {}
    # Asked without a path: history that is limited to one shows other parents.
    listed = git.text(git.run(repo, "rev-list", "--no-walk=unsorted", "--parents", *commits)).split("\n")
    found: dict[str, str] = {}
    for commit, *parents in (line.split(" ") for line in listed if line):
        held = {record.id for parent in parents for record in _read(repo, parent).records}
        found.update({record.id: commit for record in _read(repo, commit).records if record.id not in held})
    return found


def _last(repo: Repository, base: str, head: str, change: FileChange) -> str:
    """Return the last commit of the range that touched the file, "" when its content is not from there."""
    path = git.argument(change.path)
    commit = git.text(git.run(repo, "rev-list", "-1", head, f"^{base}", "--", path)).strip()
    if not commit:
        return ""
    entry = git.text(git.run(repo, "ls-tree", "-z", "--full-tree", commit, "--", path))
    return commit if entry.partition("\t")[0].split(" ")[-1] == change.new_oid else ""
