"""Edge: other files of the reviewed trees, from git, and their summaries, kept beside the verdicts.

:func:`configuration` reads what a review is configured with. The rest is asked by the review when a finding would rest
on what another file holds; see :mod:`agentreview.policies.around`. A summary is a small JSON file named by a digest of the blob, its path and everything that made it; disposable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from agentreview.errors import ConfigError
from agentreview.git import Repository, blob_sizes, list_below, read_blobs, regular_files, shown
from agentreview.records import dataclass
from agentreview.version import PROJECT_FRAMEWORKS, PROJECT_POLICIES

_KEPT = 20_000  # summaries; most are below a kilobyte
_READ_BYTES = 64 * 1024 * 1024  # of one request
WAIVERS = ".agentreview/waivers.toml"
CONFIGURATION = ("agentreview.toml", "pyproject.toml", WAIVERS)
FOLDERS = (PROJECT_POLICIES, PROJECT_FRAMEWORKS)
_MAX_PROJECT_FILES = 200
_MAX_PROJECT_BYTES = 256 * 1024  # of one file
_PROJECT_FILES = (".md", ".yml", ".yaml", ".markdown", ".mdx")  # policies, framework files, and what is almost one


def configuration(repo: Repository, tree: str) -> dict[str, bytes]:
    """Return the configuration, the waivers and the project's own policies and framework files in a tree, by path.

    Raises ConfigError for a policy that is a link, and for more or larger files than are read.
    """
    found: dict[str, str] = {}
    for entry in list_below(repo, tree, (*CONFIGURATION, *FOLDERS)):
        regular = entry.mode.startswith("100")
        if entry.path in CONFIGURATION:
            found.update({entry.path: entry.oid} if regular else {})
        elif entry.path in FOLDERS or (not regular and entry.path.startswith(FOLDERS)):
            what = "a link" if entry.mode == "120000" else "no file"
            raise ConfigError(
                f"this is {what}, so what it leads to is not in the reviewed tree", path=shown(entry.path), fix="Put the file itself there"
            )  # fmt: skip
        elif entry.path.startswith(FOLDERS) and entry.path.endswith(_PROJECT_FILES):
            found[entry.path] = entry.oid
    own = {path: oid for path, oid in found.items() if path not in CONFIGURATION}
    if len(own) > _MAX_PROJECT_FILES:
        fix = "Move what is no policy elsewhere"
        raise ConfigError(f"there are {len(own)} files, at most {_MAX_PROJECT_FILES} are read", path=".agents", fix=fix)
    sizes = blob_sizes(repo, own.values())
    for path, oid in own.items():
        if sizes[oid] > _MAX_PROJECT_BYTES:
            message = f"the file has {sizes[oid]} bytes, at most {_MAX_PROJECT_BYTES} are read"
            raise ConfigError(message, path=shown(path), fix="Shorten or split it")
    blobs = read_blobs(repo, found.values())
    return {path: blobs[oid] for path, oid in found.items()}


@dataclass(frozen=True, slots=True)
class GitTrees:
    """Reads trees and blobs of one repository; keeps summaries in its store, by version."""

    repo: Repository
    version: str

    def listing(self, tree: str) -> Mapping[str, str]:
        """Regular files of a tree: path to blob. Links and submodules are left out."""
        return regular_files(self.repo, tree)

    def read(self, blobs: Sequence[str], limit: int) -> Mapping[str, bytes]:
        """Contents of the blobs up to ``limit`` bytes each. Raises IncompleteError when the repository is damaged."""
        wanted, total = [], 0
        for oid, size in blob_sizes(self.repo, blobs).items():
            if size <= limit and total + size <= _READ_BYTES:
                wanted.append(oid)
                total += size
        return read_blobs(self.repo, wanted)

    @property
    def _folder(self) -> str:
        return f"{self.repo.store_dir}/summaries/{self.version}"

    def known(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Kept summaries by key; what cannot be read is not known."""
        out = {}
        for key in keys:
            with suppress(OSError), open(f"{self._folder}/{key[:2]}/{key}", "rb") as file:  # noqa: PTH123 - the hook path
                out[key] = file.read()
        return out

    def keep(self, summaries: Mapping[str, bytes]) -> None:
        """Write summaries under a temporary name and rename them. Failing costs time, nothing else."""
        for key, data in summaries.items():
            folder = f"{self._folder}/{key[:2]}"
            temporary = f"{folder}/{key}.{os.getpid()}"
            try:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103
                if len(os.listdir(folder)) > _KEPT // 256:  # noqa: PTH208
                    for name in os.listdir(folder):  # noqa: PTH208
                        os.unlink(f"{folder}/{name}")  # noqa: PTH108
                with open(temporary, "wb") as file:  # noqa: PTH123
                    file.write(data)
                os.replace(temporary, f"{folder}/{key}")  # noqa: PTH105
            except OSError:
                with suppress(OSError):
                    os.unlink(temporary)  # noqa: PTH108
