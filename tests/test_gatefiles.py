"""Changes to a project's own policies and framework files: loosening one is a finding, adding and tightening are not."""

from __future__ import annotations

import json

import pytest

from agentreview.model import Hit
from agentreview.policies import gatefiles
from agentreview.policies.load import load
from commandline import agentreview
from engine import change, engine
from test_project_policies import CODE, FILE, POLICY

RULE = "conduct.gate-tampered"
REQUIRE = """\
---
id: project.recorded
title: Reads are recorded
severity: high
fix: Record it.
checks:
  - form: require
    hit: violation
    in: endpoint
    when: {concepts: [read, delete], resource: phi}
    require: [audit]
    message: "{unit} reads"
---
"""
FRAMEWORK = """\
id: cartwheel
title: Cartwheel
languages: [python]
imports: [cartwheel]
concepts:
  endpoint: [{decorator: "$R.on"}]
  read: ["**.rows($R).one"]
"""
SPELLED = ".agents/frameworks/cartwheel.yml"
CONFIGURED = 'block_at = "high"\n'


def claims(path, before, after, *, old_path=None, facts=CONFIGURED):
    [policy] = [p for p in load().policies if p.id == RULE]
    made = change(path, before, after, old_path=old_path)
    assert gatefiles.concerns(made)
    return list(gatefiles.scan(policy, policy.checks[0], made, engine(facts)))


def edit(old: str, new: str, text: str = REQUIRE) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "says", "line"),
    [
        ("severity: high", "severity: low", "severity is lowered from high to low", 4),
        ("hit: violation", "hit: suspect", "check 1 (require) is gone, finds less", 7),
        ("[read, delete]", "[read]", "check 1 (require)", 7),
        ("resource: phi}", "resource: phi, scoped: false}", "check 1 (require)", 7),
        ("resource: phi", "resource: tenant", "check 1 (require)", 7),
        ("require: [audit]", "require: [audit, log]", "check 1 (require)", 7),
        ("require: [audit]", "require: [audit]\n    unless: [authn]", "check 1 (require)", 7),
        ("in: endpoint", "in: class", "check 1 (require)", 7),
        ('reads"\n', 'reads"\nskip: [tests, docs]\n', "it now skips tests, docs", 13),
        ('reads"\n', 'reads"\nneeds: [audit.calls]\n', "rests on the fact audit.calls", 13),
        ('reads"\n', 'reads"\nsuperseded_by: hipaa.audit-phi-read\n', "yields to hipaa.audit-phi-read", 13),
    ],
)
def test_a_policy_that_finds_less_is_found(old, new, says, line):
    [claim] = claims(FILE.replace("no-eval", "recorded"), REQUIRE, edit(old, new))
    assert says in claim.message
    assert "project.recorded" in claim.message
    assert (claim.start_line, claim.hit) == (line, Hit.VIOLATION)
    assert RULE in claim.fix


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("severity: high", "severity: critical"),
        ("[read, delete]", "[read, write, delete]"),
        ("resource: phi}", "resource: phi}\n    siblings: false"),
        (", resource: phi", ""),
        ("in: endpoint", "in: any"),
        ("title: Reads are recorded", "title: Every read is recorded"),
        ("fix: Record it.", "fix: Record it here."),
        ('reads"\n', 'shows"\n  - form: swallow\n    concepts: [audit]\n    message: "{unit} goes on"\n'),
    ],
)
def test_a_policy_that_finds_the_same_or_more_is_silent(old, new):
    assert claims(FILE.replace("no-eval", "recorded"), REQUIRE, edit(old, new)) == []


def test_a_raw_rule_that_became_another_one_is_found():
    """Nobody can tell from a pattern whether it finds less."""
    [claim] = claims(FILE, POLICY, POLICY.replace("eval($VALUE)", "exec($VALUE)"))
    assert (claim.start_line, "finds something else" in claim.message) == (8, True)


def test_removing_a_policy_is_found_and_adding_one_is_not():
    [claim] = claims(FILE, POLICY, None)
    assert (claim.message, claim.side) == ("the project policy project.no-eval is removed", "before")
    assert claims(FILE, None, POLICY) == []
    assert [c.message for c in claims("docs/no-eval.md", POLICY, POLICY, old_path=FILE)] == [claim.message]


def test_a_policy_that_was_off_may_go():
    assert engine('[policies]\n"hipaa.audit-order" = "off"\n')  # the level is asked of the configuration before
    off = '[packs]\nquality = "off"\n'
    text = POLICY.replace("project.no-eval", "quality.no-eval")
    path = ".agents/policies/quality/no-eval.md"
    assert claims(path, text, None, facts=off) == []
    assert claims(path, text, None)


def test_a_policy_that_moves_into_a_weaker_pack_is_found():
    moved, new = ".agents/policies/quality/no-eval.md", POLICY.replace("project.no-eval", "quality.no-eval")
    advisory = '[packs]\nquality = "advisory"\n'
    [claim] = claims(moved, POLICY, new, old_path=FILE, facts=advisory)
    assert "under its new name quality.no-eval it is advisory" in claim.message
    assert claims(moved, POLICY, new, old_path=FILE) == []


def test_a_policy_that_never_loaded_may_be_changed():
    assert claims(FILE, POLICY.replace("severity:", "sevrity:"), POLICY) == []
    assert claims(FILE, "nothing", None) == []


@pytest.mark.parametrize(
    ("old", "new", "says", "line"),
    [
        (
            '  read: ["**',
            '  authn: [{decorator: signed_in}]\n  read: ["**',
            "1 more call or name as controls (authn)",
            7,
        ),
        ('  read: ["**', '  caller: [me]\n  audit: [note, "$R.note"]\n  read: ["**', "3 more calls and names", 7),
        ('  read: ["**.rows($R).one"]\n', "", "no longer says what these are: read", 5),
        ("rows($R).one", "rows($R).only", "no longer says what these are: read", 5),
        ("imports: [cartwheel]", "imports: [cartwheel.web]", "holds for other files than before (imports)", 4),
        ("languages: [python]", "languages: [python, go]", "(languages)", 3),
    ],
)
def test_a_framework_file_that_clears_more_or_knows_less_is_found(old, new, says, line):
    [claim] = claims(SPELLED, FRAMEWORK, edit(old, new, FRAMEWORK))
    assert says in claim.message
    assert (claim.start_line, claim.hit) == (line, Hit.VIOLATION)


def test_a_framework_file_that_knows_more_is_silent():
    assert claims(SPELLED, FRAMEWORK, FRAMEWORK + '  write: ["**.put($R)"]\n') == []
    assert claims(SPELLED, FRAMEWORK, FRAMEWORK.replace("title: Cartwheel", "title: Cartwheel 2")) == []
    assert claims(SPELLED, None, FRAMEWORK) == []


def test_a_new_framework_file_with_controls_needs_a_person_once_the_gate_is_set_up():
    controls = FRAMEWORK + "  audit: [note]\n"
    assert [c.hit for c in claims(SPELLED, None, controls)] == [Hit.VIOLATION]
    assert [c.hit for c in claims(SPELLED, None, controls, facts="")] == [Hit.SUSPECT]
    assert [c.hit for c in claims(SPELLED, controls, None)] == [Hit.VIOLATION]


def test_it_blocks_the_commit_and_a_person_can_accept_it(repo):
    repo.commit({FILE: POLICY})
    repo.stage({FILE: POLICY.replace("severity: high", "severity: low")})
    done = agentreview(cwd=repo.path)
    assert done.code == 1
    assert "its severity is lowered from high to low" in done.out
    assert f"waive: # agentreview: ignore[{RULE}] <reason>" in done.out
    accepted = "# agentreview: ignore[conduct.gate-tampered] agreed with Dana, one team uses it\nseverity: low"
    repo.stage({FILE: POLICY.replace("severity: high", accepted)})
    assert agentreview(cwd=repo.path).code == 0


def test_the_gate_looks_also_when_the_same_change_switches_it_off(repo):
    repo.commit({FILE: POLICY, "agentreview.toml": 'block_at = "high"\n'})
    repo.git("rm", "-q", FILE)
    repo.stage({"agentreview.toml": '[packs]\nconduct = "off"\n', **CODE})
    done = agentreview("--format", "json", cwd=repo.path)
    assert done.code == 1
    messages = [f["message"] for f in json.loads(done.out)["findings"]]
    assert "the project policy project.no-eval is removed" in messages


def test_removing_a_policy_together_with_its_setting_is_one_finding(repo):
    """The configuration before names a policy that is gone now: it still reads."""
    levels = '[packs]\ntenancy = "off"\n\n[policies]\n"project.no-eval" = "{}"\n'
    repo.commit({FILE: POLICY, "agentreview.toml": levels.format("on")})
    repo.git("rm", "-q", FILE)
    repo.stage({"agentreview.toml": '[packs]\ntenancy = "off"\n'})
    done = agentreview("--format", "json", cwd=repo.path)
    messages = [f["message"] for f in json.loads(done.out)["findings"]]
    assert (done.code, messages) == (1, ["the project policy project.no-eval is removed"])
