"""Canonical JSON and tagged content hashes. The encoding is a contract: fingerprints and digests depend on it."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import import_module
from typing import Any

try:  # hashlib loads OpenSSL first: 4 ms that a hook does not have
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no white space; lone surrogates (from odd file names) stay escaped."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def digest(value: Any, *, size: int = 16) -> str:
    """``b2:`` + hex BLAKE2b of the canonical JSON (or of the bytes themselves).

    The tag names the algorithm, so that a change of it can never be mistaken for a change of content.
    """
    data = value if isinstance(value, bytes) else canonical_json(value)
    return "b2:" + blake2b(data, digest_size=size).hexdigest()


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256, for names that other tools check as well."""
    return str(_sha256()(data).hexdigest())


@lru_cache(maxsize=1)
def _sha256() -> Any:
    """Find the function once: looking for a module that is not there costs as much as hashing a receipt."""
    for module in ("_sha2", "_sha256", "hashlib"):  # of Python 3.12, before it, and with OpenSSL
        try:
            return import_module(module).sha256
        except ImportError:
            continue
    raise AssertionError("no SHA-256 in this Python")
