"""Edge: the commits of a range, and which of them somebody has reviewed. For pre-push, and for CI.

Every commit is a change against its first parent. A receipt of exactly these two trees settles it; one with the same
content key, made on another base, is carried over: a rebase that changed none of the files leaves the review standing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum

from agentreview import git, ledger
from agentreview.errors import IncompleteError
from agentreview.git import Repository, shown, text
from agentreview.model import Cover, Decision
from agentreview.receipts import UNREVIEWED, Entry, Receipt, content_key
from agentreview.records import dataclass
from agentreview.snapshot import empty_tree

SUBJECT = 200  # characters that are kept of a commit's subject
_RAW = ("diff-tree", "--stdin", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--ignore-submodules=none")


class Standing(str, Enum):
    """What is known of a change. BYPASSED: a person let it through and said why; nobody reviewed it."""

    REVIEWED = "reviewed"
    CARRIED = "carried over"
    BYPASSED = "bypassed"
    MISSING = "not reviewed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit as a change: ``base`` is the tree of its first parent, or the empty one. ``parent`` is "" for a root.

    ``subject`` is the first paragraph of its message, cut, ``author`` is ``Name <address>``, ``at`` the seconds since 1970
    that the committer stated; untrusted, like all of it.
    """

    oid: str
    parent: str
    base: str
    tree: str
    subject: str = ""
    author: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A change, and the receipt that says most about it."""

    base: str
    tree: str
    key: str
    standing: Standing
    receipt: Receipt | None = None


def cover(receipt: Receipt, base: str, tree: str, oid: str = "") -> Cover:
    """Say how a receipt fits a change whose content key it has. ``oid`` is the commit, "" where it has none yet."""
    if (receipt.base, receipt.tree) != (base, tree):
        return Cover.SAME_BLOBS
    return Cover.MESSAGE_ONLY if oid and receipt.commit and receipt.commit != oid else Cover.EXACT


def commits(repo: Repository, *span: str) -> tuple[Commit, ...]:
    """List commits as ``rev-list`` does for ``span`` (HEAD, ^BASE, --not --remotes …), the oldest first.

    Raises IncompleteError where a parent is beyond the edge of a shallow clone.
    """
    out = text(git.run(repo, "rev-list", "--topo-order", "--reverse", *span))
    oids = out.split()
    if not oids:
        return ()
    headers = git.run(repo, "cat-file", "--batch", stdin="\n".join((*oids, "")).encode())
    found = [(oid, *_header(block)) for oid, block in zip(oids, _objects(headers, oids), strict=True)]
    trees = {oid: tree for oid, tree, *_ in found}
    outside = [parent for _, _, parent, *_ in found if parent and parent not in trees]
    trees.update(_trees(repo, dict.fromkeys(outside)))
    empty = empty_tree(repo) if any(not parent for _, _, parent, *_ in found) else ""
    return tuple(
        Commit(
            oid=oid, parent=parent, base=trees[parent] if parent else empty, tree=tree, subject=subject, author=author, at=at
        )
        for oid, tree, parent, subject, author, at in found
    )  # fmt: skip


def _objects(out: bytes, oids: Sequence[str]) -> list[bytes]:
    blocks, position = [], 0
    for oid in oids:
        start = out.find(b"\n", position) + 1
        header = out[position : start - 1].split(b" ")
        if len(header) != 3 or header[1] != b"commit":
            raise IncompleteError(f"commit {oid} cannot be read", fix=git.UNREADABLE)
        blocks.append(out[start : start + int(header[2])])
        position = start + int(header[2]) + 1
    return blocks


def _header(commit: bytes) -> tuple[str, str, str, str, int]:
    """Return tree, first parent, subject, author and time of a commit object as it is: a shallow clone's rev-list calls it a root."""
    header, _, message = commit.partition(b"\n\n")
    lines = text(header).split("\n")
    tree = next(line[5:] for line in lines if line.startswith("tree "))
    subject = text(message.lstrip(b"\n")[: 4 * SUBJECT]).partition("\n\n")[0].rstrip("\n").replace("\n", " ")
    parent = next((line[7:] for line in lines if line.startswith("parent ")), "")
    author = next((line[7:].rpartition("> ")[0] + ">" for line in lines if line.startswith("author ")), "")
    stated = next((line.rpartition("> ")[2].partition(" ")[0] for line in lines if line.startswith("committer ")), "")
    return tree, parent, subject[:SUBJECT], author, int(stated) if stated.isdecimal() and len(stated) < 12 else 0


def _trees(repo: Repository, wanted: Iterable[str]) -> dict[str, str]:
    names = list(wanted)
    asked = "".join(f"{oid}^{{tree}}\n" for oid in names).encode()
    lines = text(git.run(repo, "cat-file", "--batch-check", stdin=asked)).split("\n")[:-1] if names else []
    found = {}
    for oid, line in zip(names, lines, strict=True):
        tree, _, rest = line.partition(" ")
        if not rest.startswith("tree "):
            raise IncompleteError(
                f"commit {oid[:12]} is not here, so what follows it cannot be compared",
                fix="Fetch the history first: `git fetch --unshallow` (or `--deepen=N`; in CI a fetch depth of 0)",
            )
        found[oid] = tree
    return found


def raw_entries(repo: Repository, pairs: Sequence[tuple[str, str]]) -> tuple[tuple[Entry, ...], ...]:
    """Return the raw listing of each pair of trees, read by one process."""
    changed = [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1]]
    asked = "".join(f"{base} {tree}\n" for base, tree in changed).encode()
    out = text(git.run(repo, *_RAW, stdin=asked)) if changed else ""
    found: dict[tuple[str, str], list[Entry]] = {pair: [] for pair in pairs}
    current: list[Entry] | None = None
    fields = iter(out.split("\0"))
    for part in fields:
        head, newline, facts = part.rpartition("\n")
        if newline:  # "BASE TREE\n:100644 …": each pair is announced
            pair = tuple(head.rpartition("\n")[2].split(" "))
            current = found.get((pair[0], pair[1])) if len(pair) == 2 else None
        if not facts:
            continue
        words = facts.removeprefix(":").split(" ")
        if len(words) != 5 or current is None:
            raise IncompleteError(f"git listed a change as {shown(facts)}", fix="Please report this")
        current.append(Entry(next(fields), *words[:4]))
    return tuple(tuple(sorted(found[pair])) for pair in pairs)


def key_here(repo: Repository, base: str, tree: str) -> str | None:
    """Return the content key of two trees as they are in this repository, None when one of them is not here."""
    asked = f"{base}\n{tree}\n".encode()
    listed = text(git.run(repo, "cat-file", "--batch-check=%(objecttype)", stdin=asked)).split("\n")[:-1]
    if listed != ["tree", "tree"]:
        return None
    return content_key(raw_entries(repo, [(base, tree)])[0])


def settled(
    repo: Repository,
    pairs: Sequence[tuple[str, str]],
    *,
    today: str | Sequence[str],
    counts: Callable[[Receipt], bool] = lambda _: True,
    refused: Callable[[ledger.Stored], object] = bool,
) -> tuple[Settled, ...]:
    """Say of each change (base tree, tree) what the receipts here say.

    ``counts`` decides whether a receipt counts. One that rests on a waiver which has expired ``today`` does not; a day for
    each change says how things stood then. ``refused`` hears of every file that is named like a receipt of these changes
    and is none.
    """
    keys = [content_key(entries) for entries in raw_entries(repo, pairs)]
    known, odd = ledger.search(repo, (key for key, (base, tree) in zip(keys, pairs, strict=True) if base != tree))
    for one in odd:
        refused(one)
    found = []
    days = [today] * len(keys) if isinstance(today, str) else today
    for (base, tree), key, day in zip(pairs, keys, days, strict=True):
        if base == tree:
            found.append(Settled(base=base, tree=tree, key=key, standing=Standing.REVIEWED))
            continue
        usable = [one for one in known[key] if counts(one) and not (one.expires and one.expires < day)]
        passed = [one for one in usable if one.decision == Decision.PASS.value]
        exact = next((one for one in passed if (one.base, one.tree) == (base, tree)), None)
        bypass = next((one for one in usable if one.decision == UNREVIEWED), None)
        receipt = exact or (passed[0] if passed else bypass)
        standing = (
            Standing.REVIEWED
            if exact
            else Standing.CARRIED
            if passed
            else Standing.BYPASSED
            if bypass
            else Standing.MISSING
        )
        found.append(Settled(base=base, tree=tree, key=key, standing=standing, receipt=receipt))
    return tuple(found)
