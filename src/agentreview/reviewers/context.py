"""What reviewers know of a project beside the change: ``.agents/context/*.md``, ``AGENTS.md``, and what profiles refer to.

Read from the tree the change started from: it cannot rewrite its reviewers, nor what they know.
Bounded in size; what did not fit is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agentreview.canonical import digest
from agentreview.globs import matches
from agentreview.policies.around import Trees
from agentreview.records import dataclass
from agentreview.reviewers import profiles, workflows
from agentreview.syntax.parse import text_of

FOLDER = ".agents/context"
NAMES = ("AGENTS.md",)
MAX_FILE = 24_000  # characters
MAX_ALL = 60_000
_READ = 256 * 1024  # bytes
_SETTINGS = (f"{profiles.FOLDER}/", f"{workflows.FOLDER}/", f"{FOLDER}/")


@dataclass(frozen=True, slots=True)
class Context:
    """Shared knowledge: (path, text) in order, and notes about what was left out."""

    files: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Changes when what reviewers know does."""
        return digest(list(self.files))


class Material:
    """The files that say who reviews and what they know, as they were before the change: it does not choose its reviewers.

    Of what it adds only profiles count, and only under names that nobody has yet: a project can begin to use them.
    """

    def __init__(self, trees: Trees | None, base: str, tree: str) -> None:
        self.trees = trees
        self.blobs: dict[str, str] = dict(trees.listing(base)) if trees is not None else {}
        self.added: frozenset[str] = frozenset()
        if trees is not None and tree != base:
            new = {
                path: oid
                for path, oid in trees.listing(tree).items()
                if path.startswith(f"{profiles.FOLDER}/") and path not in self.blobs
            }
            self.blobs.update(new)
            self.added = frozenset(new)

    def read(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Contents of those files that are there and of a sensible size."""
        wanted = {path: self.blobs[path] for path in paths if path in self.blobs}
        if self.trees is None or not wanted:
            return {}
        data = self.trees.read(list(wanted.values()), _READ)
        return {path: data[oid] for path, oid in wanted.items() if oid in data}

    def settings(self) -> dict[str, bytes]:
        """Profiles, workflows and context files."""
        return self.read(path for path in sorted(self.blobs) if path.startswith(_SETTINGS) or path in NAMES)


def context(
    material: Material, settings: Mapping[str, bytes], chosen: Sequence[profiles.Profile], never: Sequence[str]
) -> Context:
    """Collect what the chosen reviewers share. ``never`` are globs of what stays on this machine."""
    own = [path for path in settings if path in NAMES or path.startswith(f"{FOLDER}/")]
    patterns = {glob for one in chosen for glob in one.references}
    referred = [path for path in sorted(material.blobs) if path not in settings and matches(path, patterns)]
    data = {**{path: settings[path] for path in own}, **material.read(referred)}
    files: list[tuple[str, str]] = []
    notes: list[str] = []
    room = MAX_ALL
    for path in (*own, *referred):
        if matches(path, never):
            notes.append(f"reviewers do not know {path}: never_send keeps it here")
            continue
        if path not in data:
            notes.append(f"reviewers do not know {path}: it is too large to be read")
            continue
        text = text_of(data[path])
        kept = text[: min(MAX_FILE, room)]
        if len(kept) < len(text):
            notes.append(f"reviewers know {path} only up to character {len(kept)} of {len(text)}")
        room -= len(kept)
        if kept:
            files.append((path, kept))
    notes += [
        f"{one.path}: nothing matches the reference {glob}"
        for one in chosen
        for glob in one.references
        if not any(matches(path, (glob,)) for path in material.blobs)
    ]
    return Context(tuple(files), tuple(notes))
