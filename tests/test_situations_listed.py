"""The documents name tests as proof; every one of them is there, is collected, and is named once in a table."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def defined() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").glob("test_*.py"):
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.add(node.name)
    return found


@pytest.mark.parametrize(("document", "least"), [("docs/git-situations.md", 50), ("SECURITY.md", 40)])
def test_every_test_that_a_document_names_is_there(document: str, least: int) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)`", text)
    assert len(named) >= least
    assert sorted(set(named) - defined()) == []
    tables = re.findall(r"^\|[^\n]*\| test \|\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [row for table in tables for row in table.strip().split("\n")]
    assert len(rows) >= least // 2
    assert [row for row in rows if "`test_" not in row] == []
