"""Canonical JSON and tagged content hashes. The encoding is a contract: fingerprints and digests depend on it."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no white space; lone surrogates (from odd file names) stay escaped."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def digest(value: Any, *, size: int = 16) -> str:
    """``b2:`` + hex BLAKE2b of the canonical JSON (or of the bytes themselves).

    The tag names the algorithm, so that a change of it can never be mistaken for a change of content.
    """
    data = value if isinstance(value, bytes) else canonical_json(value)
    return "b2:" + hashlib.blake2b(data, digest_size=size).hexdigest()
