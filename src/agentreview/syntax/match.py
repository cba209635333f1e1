"""Raw ast-grep rules: the escape hatch for what concepts cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ast_grep_py import SgRoot


def find(source: str, language: str, rule: Mapping[str, Any]) -> list[tuple[int, int, str]]:
    """Return (first line, last line, text) of every match, 1-based.

    Raises ValueError with ast-grep's reason for a rule it refuses. An unparsable *pattern* is not refused, it matches
    nothing: only a policy's own bad examples show that, which is why they run in its tests.
    """
    root = SgRoot(source, language).root()
    try:
        found = root.find_all(cast("Any", {"rule": dict(rule)}))
    except (RuntimeError, TypeError, Exception) as error:
        raise ValueError(str(error).split("\n", 1)[0]) from error
    return [(m.range().start.line + 1, m.range().end.line + 1, m.text()) for m in found]
