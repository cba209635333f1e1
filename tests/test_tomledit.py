"""Setting one value in a TOML text: what is read afterwards, and that nothing else moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.tomledit import put, quoted
from agentreview.tomlscan import layout


def decode(text: str) -> str:
    return str(tomli.loads(f"k={text}")["k"])


def edit(text: str, key: Sequence[str], value: str = "dana") -> str | None:
    return put(text, layout(text, decode), tuple(key), quoted(value))


BY = ("facts", "confirmed_by")
KEY = ("facts", "confirmed", "tenant.key")


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("", BY, '[facts]\nconfirmed_by = "dana"\n'),
        ('[facts]\nconfirmed_by = ""    # who\nx = 1\n', BY, '[facts]\nconfirmed_by = "dana"    # who\nx = 1\n'),
        ('[facts]\nconfirmed_by = """a\nb"""  # c\n', BY, '[facts]\nconfirmed_by = "dana"  # c\n'),
        ("[facts]  # what is true\n", BY, '[facts]  # what is true\nconfirmed_by = "dana"\n'),
        ("[facts]\nx = [\n 1,  # one\n]  # done\n\n[b]\n", BY,
         '[facts]\nx = [\n 1,  # one\n]  # done\nconfirmed_by = "dana"\n\n[b]\n'),
        ("[a]\nx = 1\n\n# tenants\n[facts.tenant]\nkey = 1\n", BY,
         '[a]\nx = 1\n\n[facts]\nconfirmed_by = "dana"\n\n# tenants\n[facts.tenant]\nkey = 1\n'),
        ("a = 1", BY, 'a = 1\n\n[facts]\nconfirmed_by = "dana"\n'),
        ("facts.tenant.key = 1\nb = 2\n", BY, 'facts.tenant.key = 1\nfacts.confirmed_by = "dana"\nb = 2\n'),
        ("[facts]\na = 1\n\n# t\n[facts.tenant]\nkey = 1\n", KEY,
         '[facts]\na = 1\n\n[facts.confirmed]\n"tenant.key" = "dana"\n\n# t\n[facts.tenant]\nkey = 1\n'),
        ('[facts.confirmed]\n"tenant.key" = "x" # old\n', KEY, '[facts.confirmed]\n"tenant.key" = "dana" # old\n'),
        ("[facts.confirmed]\n'tenant.key' = 'x'\n", KEY, "[facts.confirmed]\n'tenant.key' = \"dana\"\n"),
        ('[facts.confirmed]\nphi = "x"\n[z]\n', KEY, '[facts.confirmed]\nphi = "x"\n"tenant.key" = "dana"\n[z]\n'),
        ("[tool.x]\na = 1\n[tool.y]\n", ("tool", "x", "facts", "by"),
         '[tool.x]\na = 1\n[tool.x.facts]\nby = "dana"\n\n[tool.y]\n'),
        ("[facts]\nx = 1", BY, '[facts]\nx = 1\nconfirmed_by = "dana"\n'),
    ],
)  # fmt: skip
def test_one_value_is_set_and_the_rest_stays(text: str, key: Sequence[str], expected: str) -> None:
    assert edit(text, key) == expected
    assert read(tomli.loads(expected), key) == "dana"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("facts = { tenant = { key = 1 } }\n", BY),
        ('facts = { confirmed_by = "x" }\n', BY),
        ("[facts]\nconfirmed = { phi = 'x' }\n", KEY),
        ("[facts.confirmed_by]\nx = 1\n", BY),
    ],
)
def test_what_stands_on_one_line_is_left_to_a_person(text: str, key: Sequence[str]) -> None:
    assert edit(text, key) is None


def read(document: Any, key: Sequence[str]) -> Any:
    for part in key:
        document = document[part]
    return document


PIECES = (
    "block_at = 'low'  # why\n", "# ---- facts\n", "\n", "[facts]\n", "[facts.tenant]\n", "[facts.phi]\n", "[packs]\n",
    "[facts.confirmed]\n", 'key = "org"\n', "models = [\n  # seen\n  'A', 'B',\n]\n", 'confirmed_by = "eve"\n',
    '"tenant.key" = "eve"\n', "tenant = 'eve'\n", "facts.phi.models = ['A']\n", "x.y = { z = [1, {a = 2}] }\n",
    "[[rows]]\n", 's = """a # b\n[facts]\n"""\n',
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=9), st.sampled_from([BY, KEY, ("facts", "confirmed", "tenant")]))
@settings(max_examples=400, deadline=None)
def test_whatever_the_layout_the_edit_is_right_or_visibly_not(pieces: list[str], key: tuple[str, ...]) -> None:
    """Any result that parses says what it should, or differs elsewhere so that the caller's comparison refuses it."""
    text = "".join(pieces)
    try:
        before = tomli.loads(text)
    except ValueError:
        return
    edited = edit(text, key)
    if edited is None:
        return
    try:
        after = tomli.loads(edited)
    except ValueError:
        return  # a layout the caller refuses: its parser says so
    assert read(after, key) == "dana"
    inner = before
    for part in key[:-1]:
        inner = inner.setdefault(part, {})
    inner[key[-1]] = "dana"
    assert after == before
    kept = [line for line in text.split("\n") if "eve" not in line]
    rest = iter(edited.split("\n"))
    assert all(line in rest for line in kept), "every other line is there, in its order"
