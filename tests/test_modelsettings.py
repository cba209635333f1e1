"""What a project says about models and reviewers: tiers, prices, caps, and what is refused or counts as loosening."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agentreview.config import Config, config_relaxations, parse_config
from agentreview.errors import ConfigError
from agentreview.modelsettings import TIERS, Reviewers, known_model

FULL = """
[models]
provider = "bedrock"
fast = "claude-haiku-5-5"
standard = { id = "local-7b", input = 0, output = 0, context = 8000 }
[models.deep]
id = "vendor.big-model-v2:0"
input = 8
output = 40.0
max_output = 64000

[reviewers]
enabled = ["tenant-isolation", "tester", "tester"]
hook_seconds = 0
on_incomplete_hook = "warn"
never_send = ["contracts/", "**/*.pem"]
refute_tier = "deep"
tokens_per_run = 20000
money_per_run = 0.25
"""


def parse(text: str) -> Config:
    return parse_config(text.encode(), path="agentreview.toml", known_policies=())


def test_without_a_word_every_tier_has_a_model_with_prices_and_sizes():
    tiers = Config().models.tiers
    assert tuple(tiers) == TIERS
    assert len({model.id for model in tiers.values()}) == 3
    for model in tiers.values():
        assert model.priced
        assert model.context > model.max_output > 0
    assert tiers["fast"].input < tiers["standard"].input < tiers["deep"].input


def test_no_reviewer_runs_unless_it_is_named():
    assert Config().reviewers == Reviewers()
    assert Config().reviewers.enabled == ()
    assert Config().reviewers.hook_seconds == 25
    assert (Config().reviewers.on_incomplete_hook, Config().reviewers.on_incomplete_ci) == ("block", "block")


def test_a_configuration_beats_the_shipped_ids_and_prices():
    config = parse(FULL)
    tiers = config.models.tiers
    assert config.models.provider == "bedrock"
    assert tiers["fast"] == known_model("claude-haiku-5-5")
    assert tiers["standard"].cost(input_tokens=10**6, output_tokens=10**6, cache_write=10**6) == 0
    assert tiers["standard"].context == 8000
    assert (tiers["deep"].id, tiers["deep"].input, tiers["deep"].output) == ("vendor.big-model-v2:0", 8, 40)
    assert (tiers["deep"].cache_read, tiers["deep"].cache_write) == (pytest.approx(0.8), 10)
    assert config.reviewers.enabled == ("tenant-isolation", "tester")
    assert config.reviewers.never_send == ("contracts/", "**/*.pem")
    assert (config.reviewers.hook_seconds, config.reviewers.refute_tier) == (0, "deep")
    assert (config.reviewers.money_per_run, config.reviewers.tokens_per_run) == (0.25, 20000)
    assert hash(config) == hash(parse(FULL))


def test_a_model_that_nobody_gave_a_price_costs_an_unknown_amount_and_not_nothing():
    unknown = parse('[models]\ndeep = "somebody-elses-model"').models.tiers["deep"]
    assert not unknown.priced
    assert unknown.cost(input_tokens=1, output_tokens=1) is None


def test_a_cost_counts_what_was_read_from_the_cache_and_written_to_it_at_their_own_prices():
    opus = known_model("claude-opus-5-5")
    assert opus.cost(input_tokens=1_000_000, output_tokens=0) == pytest.approx(4.0)
    assert opus.cost(input_tokens=0, output_tokens=1_000_000) == pytest.approx(20.0)
    assert opus.cost(input_tokens=0, output_tokens=0, cache_read=1_000_000) == pytest.approx(0.4)
    assert opus.cost(input_tokens=0, output_tokens=0, cache_write=1_000_000) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('[models]\nsmart = "x"', 2, "unknown key 'smart' in [models]"),
        ('[models]\nfast = ""', 2, "models.fast is empty"),
        ('[models]\nfast = "two words"', 2, "'two words' is not the id of a model"),
        ("[models]\nfast = 5", 2, "models.fast must be a table"),
        ('[models]\nprovider = "http://evil.example"', 2, 'Use one of "anthropic", "bedrock", "vertex"'),
        ('[models.fast]\nid = "x"\ninput = -1\noutput = 1', 3, "models.fast.input is out of range"),
        ('[models.fast]\nid = "x"\ninput = 1', 1, "one of the two prices is missing"),
        ('[models.fast]\nid = "x"\nprice = 1', 3, "unknown key 'price'"),
        ('[models.fast]\nid = "x"\ncontext = 1.5', 3, "must be a whole number"),
        ("[reviewers]\nenable = []", 2, "Did you mean 'enabled'?"),
        ('[reviewers]\nenabled = "tester"', 2, "must be a list of strings"),
        ('[reviewers]\nenabled = ["../x"]', 2, "'../x' is not the name of a profile"),
        ("[reviewers]\nhook_seconds = -1", 2, "reviewers.hook_seconds is out of range"),
        ("[reviewers]\nmoney_per_day = inf", 2, "reviewers.money_per_day is out of range"),
        ("[reviewers]\nmoney_per_day = nan", 2, "reviewers.money_per_day is out of range"),
        ("[reviewers]\ntokens_per_run = true", 2, "must be a whole number"),
        ('[reviewers]\non_incomplete_ci = "ignore"', 2, 'Use one of "block", "warn"'),
        ('[reviewers]\nrefute_tier = "auto"', 2, 'Use one of "fast", "standard", "deep"'),
        ('[reviewers]\nnever_send = ["/etc/passwd"]', 2, "is not a glob of this tool"),
    ],
)
def test_what_is_not_understood_is_an_error_with_its_line(text: str, line: int, says: str):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.line == line
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('[reviewers]\nenabled = ["tester"]', "", "reviewers.enabled no longer lists 'tester'"),
        ("", '[reviewers]\non_incomplete_ci = "warn"', "reviewers.on_incomplete_ci lowered from block to warn"),
        ('[reviewers]\nnever_send = ["contracts/"]', "", "never_send no longer lists 'contracts/'"),
        ("", '[reviewers]\nrefute_tier = "fast"', "reviewers.refute_tier changed from standard to fast"),
        ("", "[reviewers]\nmoney_per_day = 500", "reviewers.money_per_day raised from 20 to 500"),
        ("", '[models]\ndeep = "tiny"', "models.deep changed from 'claude-opus-5-5' to 'tiny'"),
        ("", '[models]\nprovider = "vertex"', "models.provider changed from anthropic to vertex"),
    ],
)
def test_what_weakens_the_reviewers_loosens_the_gate(old: str, new: str, says: str):
    (sentence,) = config_relaxations(parse(old), parse(new))
    assert says in sentence


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", '[reviewers]\nenabled = ["tester"]\nnever_send = ["contracts/"]\nmoney_per_day = 1'),
        ('[reviewers]\non_incomplete_hook = "warn"', ""),
        ("", "[models.deep]\ninput = 1\noutput = 2"),
    ],
)
def test_more_reviewers_and_tighter_caps_loosen_nothing(old: str, new: str):
    assert config_relaxations(parse(old), parse(new)) == ()


def test_a_hook_that_asks_no_reviewer_does_not_read_the_models():
    code = (
        "import sys; import agentreview.config, agentreview.modelsettings as m\n"
        "agentreview.config.parse_config(b'[models]\\nfast = \"x\"', path='a', known_policies=())\n"
        "print(m._shipped.cache_info().misses, 'anthropic' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "0 False\n"
