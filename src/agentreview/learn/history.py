"""Which commits to replay: the newest ones that are no merges, each with its tree and the tree of its parent.

Every commit that was made on a branch counts, not only the first-parent line: a hook judges a commit where it is made.
Merges are left out, because what they bring was judged commit by commit before. Where pull requests are squashed, both
walks are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentreview import git
from agentreview.errors import IncompleteError, UsageError
from agentreview.git import Repository, shown, text
from agentreview.records import dataclass
from agentreview.snapshot import empty_tree, merge_base, resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit: what turns ``base`` into ``tree``. ``why_not`` is set when it cannot be reviewed."""

    sha: str
    base: str
    tree: str
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Commits, the newest first. ``more``: there are older ones that were not asked for."""

    source: str
    commits: tuple[Commit, ...]
    more: bool


def read_history(repo: Repository, span: str | None, limit: int) -> History:
    """Return the newest ``limit`` commits of HEAD, or of a range ``BASE..HEAD`` (``...`` starts at the merge base).

    Raises UsageError when there is none, or a name means nothing here.
    """
    if span is None:
        if git.attempt(repo, "rev-parse", "--verify", "-q", "HEAD")[0]:
            raise UsageError("there is no commit here yet, so there is no history to replay", fix="Commit first")
        head, but = resolve(repo, "HEAD", "commit"), []
    else:
        base, head = _ends(repo, span)
        but = [f"^{base}"]
    # Date order, whatever log.* says; one more than asked for shows whether there are more.
    listed = text(git.run(repo, "rev-list", "--no-merges", f"--max-count={limit + 1}", head, *but, "--")).split()
    commits = _read(repo, listed[:limit])
    if not commits:
        what = f"the range {shown(span)} holds" if span else "the history that is here holds"
        raise UsageError(f"{what} no commit that is no merge", fix="Name another range: --range OLDER..NEWER")
    return History(source=f"range {span}" if span else "HEAD", commits=commits, more=len(listed) > limit)


def _ends(repo: Repository, span: str) -> tuple[str, str]:
    dots = "..." if "..." in span else ".."
    left, found, right = span.partition(dots)
    if not found:
        raise UsageError(f"{shown(span)} is not a range", fix="Write BASE..HEAD, or BASE...HEAD for the merge base")
    base, head = resolve(repo, left or "HEAD", "commit"), resolve(repo, right or "HEAD", "commit")
    return (merge_base(repo, base, head) if dots == "..." else base), head


def _read(repo: Repository, shas: Sequence[str]) -> tuple[Commit, ...]:
    # The objects themselves: at the edge of a shallow clone rev-list says that a commit has no parent.
    headers = {sha: _header(data) for sha, data in git.read_objects(repo, shas, "commit").items()}
    parents = [parent for _, found in headers.values() for parent in found[:1]]
    trees = _trees(repo, parents)
    empty = empty_tree(repo)
    missing = _why_missing(repo) if len(trees) < len(set(parents)) else ""
    out = []
    for sha, (tree, found) in headers.items():
        if len(found) > 1:
            continue  # a merge after all, at that same edge
        base = trees.get(found[0], "") if found else empty
        out.append(Commit(sha=sha, base=base, tree=tree, why_not="" if base else missing))
    return tuple(out)


def _header(data: bytes) -> tuple[str, list[str]]:
    """Read the tree and the parents from a commit object; what follows the first empty line is anybody's text."""
    lines = text(data.partition(b"\n\n")[0]).split("\n")
    tree = next((line[5:] for line in lines if line.startswith("tree ")), "")
    return tree, [line[7:] for line in lines if line.startswith("parent ")]


def _trees(repo: Repository, commits: Sequence[str]) -> Mapping[str, str]:
    """Map each commit that is there to its tree."""
    wanted = list(dict.fromkeys(commits))
    asked = "".join(f"{commit}^{{tree}}\n" for commit in wanted).encode()
    answers = text(git.run(repo, "cat-file", "--batch-check", stdin=asked)).split("\n")[:-1] if wanted else []
    if len(answers) != len(wanted):
        raise IncompleteError("git cat-file answered for fewer commits than it was asked", fix=git.UNREADABLE)
    pairs = zip(wanted, (answer.split(" ") for answer in answers), strict=True)
    return {commit: answer[0] for commit, answer in pairs if len(answer) == 3 and answer[1] == "tree"}


def _why_missing(repo: Repository) -> str:
    if text(git.run(repo, "rev-parse", "--is-shallow-repository")).strip() == "true":
        return "its parent is beyond the edge of this shallow clone: `git fetch --unshallow`, or `--deepen=N`"
    return "its parent cannot be read: `git fsck` shows what is damaged"
