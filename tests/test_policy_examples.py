"""The policies themselves: every example runs, is one of enough, and fails when its control is taken out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest
import yaml

from agentreview.model import Hit
from agentreview.policies.examples import Example, examples
from agentreview.policies.load import GUARD_FORMS, load, policies_dir
from agentreview.policies.selftest import run_example
from engine import engine, only

EXAMPLES = examples()
POLICIES = {p.id: p for p in load().policies}
TEXTS = {p.id: (policies_dir() / f"{p.id.replace('.', '/')}.md").read_text(encoding="utf-8") for p in load().policies}
FALSE_POSITIVE = "false positive: "
PLACEHOLDER = re.compile(r"\{(?:unit|resource|call|value|line|tenant)\}")
BUILT_IN = {"conduct.gate-tampered", "conduct.waiver-added", "secrets.hardcoded"}


def example_id(example: Example) -> str:
    return f"{example.policy}:{example.line}:{'good' if example.good else 'bad'}"


@pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
def test_the_example_is_what_it_says_and_no_placeholder_is_left_in_what_is_said(example):
    outcome = run_example(example, load())
    assert outcome.passed, outcome.said or outcome.reason or "nothing was said"
    for said in outcome.said:
        assert not PLACEHOLDER.search(said.message), said


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_policy_has_enough_examples_over_frameworks(policy):
    mine = [e for e in EXAMPLES if e.policy == policy]
    counts = Counter(e.good for e in mine)
    assert counts[True] >= 6
    assert counts[False] >= 6
    for good in (True, False):
        assert len({(e.framework, e.language) for e in mine if e.good is good}) >= 2


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_policy_shows_at_least_two_false_positives_it_does_not_fall_for(policy):
    shown = {e.title for e in EXAMPLES if e.policy == policy and e.good and e.title.startswith(FALSE_POSITIVE)}
    assert len(shown) >= 2


def test_only_good_examples_are_called_false_positives():
    assert [example_id(e) for e in EXAMPLES if not e.good and e.title.startswith(FALSE_POSITIVE)] == []


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_the_reviewer_is_told_what_to_ask_what_to_quote_and_when_to_be_silent(policy):
    guidance = TEXTS[policy].split("\n## Reviewer\n", 1)[1].split("\n## ", 1)[0]
    if any(check.form in GUARD_FORMS for check in POLICIES[policy].checks):
        assert "No judgement is asked here" in guidance  # goes to a person
        return
    for part in ("Questions: ", "\nQuote: ", "\nStay silent when: "):
        assert part in guidance, part


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - BUILT_IN - {"hipaa.audit-bypass"}))
def test_a_policy_covers_python_and_typescript(policy):
    assert {"python", "typescript"} <= {e.language for e in EXAMPLES if e.policy == policy and not e.good}


def test_citations_come_from_the_table_only():
    table = yaml.safe_load((policies_dir() / "citations.yml").read_text(encoding="utf-8"))["citations"]
    for policy in POLICIES.values():
        assert policy.rule.references, policy.id
        assert set(policy.rule.references) <= set(table), policy.id


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_no_policy_claims_that_code_satisfies_a_law(policy):
    words = r"\b(?:hipaa|gdpr|soc ?2|hitrust)[ -]?(?:compliant|certified|approved|proof)|\bcompliance\b|\bguarantees?\b|\bfully secure"
    prose = TEXTS[policy].split("\n## Examples", 1)[0]
    titles = "\n".join(e.title for e in EXAMPLES if e.policy == policy)
    assert not re.search(words, prose + titles, re.IGNORECASE)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_policy_says_why_what_to_do_and_when_it_is_silent(policy):
    sections = re.findall(r"^## (.+)$", TEXTS[policy], re.MULTILINE)
    assert sections == ["Why", "What to do", "Stays silent when", "Reviewer", "Examples"]
    assert POLICIES[policy].rule.fix[0].isupper()
    assert POLICIES[policy].rule.why


def test_every_policy_can_block_or_says_what_would_settle_it():
    for policy in POLICIES.values():
        assert policy.needs or any(c.hit is Hit.VIOLATION for c in policy.checks), policy.id


# -- mutation ------------------------------------------------------------------------------------------------------

# Deleting the line that holds the control must make the policy fire. Policies of the require form, and the words by
# which a control's own line is known.
CONTROLS = {
    "hipaa.audit-phi-read": r"audit|log_phi|log_access|record_access",
    "hipaa.audit-phi-write": r"audit|log_phi|record_",
    "access.endpoint-auth": r"login_required|permission_required|permission_classes|UseGuards|requireAuth|require_login|dependencies=|router\.use|before_request|authenticate",
    "access.object-level": r"check_object_permissions|authorize|assert_can|assertCan|can_access|canAccess|ensure",
}


def mutants(policy: str) -> list[tuple[Example, int, str]]:
    """Good examples without one whole-statement line that holds the control."""
    out = []
    for example in EXAMPLES:
        if example.policy != policy or not example.good or example.before:
            continue
        lines = example.after.split("\n")
        for number, line in enumerate(lines):
            text = line.strip()
            whole = (
                text.startswith("@")
                or re.fullmatch(r"(?:await |const \w+ = await )?[\w.]+\(.*\);?", text)
                or re.match(r"permission_classes = ", text)
            )
            if whole and re.search(CONTROLS[policy], text) and not text.startswith(("import", "from")):
                out.append(
                    (
                        replace(example, good=False, after="\n".join(lines[:number] + lines[number + 1 :])),
                        number + 1,
                        text,
                    )
                )
    return out


@pytest.mark.parametrize(
    ("policy", "share"),
    [
        ("hipaa.audit-phi-read", 0.8),
        ("hipaa.audit-phi-write", 0.8),
        ("access.endpoint-auth", 0.6),
        ("access.object-level", 0.3),
    ],
)
def test_taking_the_control_out_of_a_good_example_makes_the_policy_fire(policy, share):
    made = mutants(policy)
    fired = [m for m in made if run_example(m[0], load()).passed]
    silent = [(m[0].line, m[2]) for m in made if m not in fired]
    assert len(made) >= 3
    assert len(fired) / len(made) >= share, silent


def test_examples_of_one_policy_run_with_that_policy_alone():
    assert [p.id for p in only(engine(), "hipaa.audit-phi-read").policies] == ["hipaa.audit-phi-read"]
