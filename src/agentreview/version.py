"""Which agentreview this is. Verdicts are kept under this name, so it must change whenever a verdict could.

Standard library only, and cheap: the hook path imports it.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).parent

VERSION_FILE = _PACKAGE / "VERSION"
VERSION = VERSION_FILE.read_text(encoding="ascii").strip()

# The wheel carries the data directories inside the package; a checkout, also an editable one, has them beside src/.
INSTALLED = (_PACKAGE / "_data").is_dir()

# What a project may add, in the reviewed tree: policies of its own, and how its frameworks spell things.
PROJECT_POLICIES = ".agents/policies"
PROJECT_FRAMEWORKS = ".agents/frameworks"

_engine: list[str] = []


def data_directory(name: str) -> Path:
    """Return where ``policies`` or ``hooks`` are, for a wheel and for a checkout alike."""
    return _PACKAGE / "_data" / name if INSTALLED else _PACKAGE.parents[1] / name


def engine_version() -> str:
    """Name what verdicts are kept under: ``0.1.0``, or ``0.1.0+dev.<digest>`` for a checkout.

    The digest covers names, sizes and modification times of the sources and policies: a developer never sees a
    verdict of the code as it was before the last edit. Safe as a directory name.
    """
    if not _engine:
        _engine.append(VERSION if INSTALLED else f"{VERSION}+dev.{_digest(_PACKAGE, data_directory('policies'))}")
    return _engine[0]


def _digest(*roots: Path) -> str:
    import hashlib

    lines = []
    for root in roots:
        for folder, below, files in os.walk(root):
            below[:] = sorted(name for name in below if name != "__pycache__")
            for name in sorted(files):
                path = os.path.join(folder, name)  # noqa: PTH118 - several hundred files: Path costs as much as stat
                found = os.stat(path)  # noqa: PTH116
                lines.append(f"{path}\0{found.st_size}\0{found.st_mtime_ns}")
    return hashlib.blake2b("\n".join(lines).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
