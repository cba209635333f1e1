"""Edge: other files of the reviewed trees, from git, and their summaries, kept beside the verdicts.

Asked by the review when a finding would rest on what another file holds; see :mod:`agentreview.policies.around`.
A summary is a small JSON file named by a digest of the blob, its path and everything that made it; disposable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from agentreview.git import Repository, blob_sizes, read_blobs, tree_files

_KEPT = 20_000  # summaries; most are below a kilobyte
_READ_BYTES = 64 * 1024 * 1024  # of one request


@dataclass(frozen=True, slots=True)
class GitTrees:
    """Reads trees and blobs of one repository; keeps summaries in its store, by version."""

    repo: Repository
    version: str

    def listing(self, tree: str) -> Mapping[str, str]:
        """Regular files of a tree: path to blob. Links and submodules are left out."""
        return {e.path: e.oid for e in tree_files(self.repo, tree) if e.mode.startswith("100")}

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
