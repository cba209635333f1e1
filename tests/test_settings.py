"""What is said of every key of the configuration is complete, and true of the parser."""

from __future__ import annotations

import dataclasses
import re

import pytest

from agentreview.config import Config, parse_config
from agentreview.errors import ConfigError
from agentreview.facts import CHOICES, KEYS
from agentreview.policies.load import load
from agentreview.settings import CONFIRMATION, FACTS, SETTINGS, split, written

ROWS = (*SETTINGS, *CONFIRMATION, *((f"facts.{fact}", example, meaning) for fact, example, meaning in FACTS))
BY_NAME = {"packs", "policies"}  # tables whose keys are names


def set_to(key: str, value: str) -> bytes:
    table, name = split(key)
    return (f"[{table}]\n" if table else "").encode() + f"{name} = {value}\n".encode()


def parsed(text: bytes) -> Config:
    return parse_config(text, path="agentreview.toml", known_policies=load().ids())


def test_every_key_is_explained_once() -> None:
    known = []
    for field in dataclasses.fields(Config):
        default = getattr(Config(), field.name)
        if field.name in ("path", "digest", "facts"):
            continue
        if field.name == "models":
            known += ["models.provider", *(f"models.{tier}" for tier in default.tiers)]
        elif dataclasses.is_dataclass(default):
            known += [f"{field.name}.{key.name}" for key in dataclasses.fields(default)]
        else:
            known.append(field.name)
    said = [split(key)[0] if split(key)[0] in BY_NAME else key for key, _, _ in SETTINGS]
    assert sorted(said) == sorted(known)
    assert sorted(fact for fact, _, _ in FACTS) == sorted(KEYS)


@pytest.mark.parametrize(("key", "example"), [(key, example) for key, example, _ in ROWS])
def test_every_example_is_valid(key: str, example: str) -> None:
    assert parsed(set_to(key, example)).path == "agentreview.toml"


@pytest.mark.parametrize(("key", "meaning"), [(key, meaning) for key, _, meaning in ROWS])
def test_the_choices_that_are_named_are_those_that_the_parser_takes(key: str, meaning: str) -> None:
    named = re.match(r"\w[\w-]*(?: \| [\w-]+)+", meaning)
    try:
        parsed(set_to(key, '"none of them"'))
    except ConfigError as error:
        taken = re.findall(r'"([\w-]+)"', str(error).partition("Use one of ")[2])
    else:
        taken = []
    if key == "facts.audit.automatic":  # the choice is inside its tables
        taken = list(CHOICES["audit.automatic.how"])
    assert (named[0].split(" | ") if named else []) == taken


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b'[limits]\nmax_lines = "many"\n', "not a string. Write it like max_lines = 20000"),
        (b"[facts.phi]\nmodels = true\n", 'not true or false. Write it like models = ["Patient", "Encounter"]'),
        (b"[facts.phi]\nmodels = [1]\n", 'not a number. Write it like models = ["Patient", "Encounter"]'),
        (b"[receipts]\nsigning_key = 4\n", 'not a number. Write it like signing_key = "~/.ssh/id_ed25519"'),
    ],
)
def test_a_value_of_another_type_is_answered_with_an_example(text: bytes, shown: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(shown)):
        parsed(text)


def test_what_is_no_key_has_no_example() -> None:
    assert written("limits.max_line") == ""
    assert written("limits.max_lines") == "max_lines = 20000"
