"""Findings and runs to a decision: what blocks, what only advises, and that incomplete is never a pass."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentreview.config import Config, Level
from agentreview.model import Confidence, Decision, Origin, Outcome, Severity, Status
from agentreview.triage import decide, order, settle
from engine import config
from factories import finding, run, waived

FINDINGS = st.builds(
    finding,
    severity=st.sampled_from(Severity),
    confidence=st.sampled_from(Confidence),
    origin=st.sampled_from(Origin),
    status=st.sampled_from(Status),
    path=st.sampled_from(["a.py", "b.py"]),
    start_line=st.integers(1, 3),
    fingerprint=st.sampled_from(["b2:1", "b2:2"]),
)


@pytest.mark.parametrize(("severity", "origin", "confidence"), list(itertools.product(Severity, Origin, Confidence)))
def test_only_new_severe_and_certain_findings_block(severity, origin, confidence):
    settled = settle(finding(severity=severity, origin=origin, confidence=confidence), Config())
    blocks = origin is Origin.INTRODUCED and confidence is Confidence.HIGH and severity.rank >= Severity.HIGH.rank
    otherwise = Status.EXISTING if origin is Origin.EXISTING else Status.ADVISORY  # nobody's alarm, whatever it is
    assert settled.status is (Status.BLOCKING if blocks else otherwise)


@pytest.mark.parametrize("level", ["advisory", "off"])
def test_a_policy_that_is_not_on_does_not_block(level):
    chosen = config(f'[policies]\n"hipaa.audit-phi-read" = "{level}"\n')
    assert chosen.level("hipaa.audit-phi-read") is Level(level)
    assert settle(finding(), chosen).status is Status.ADVISORY


@pytest.mark.parametrize("at", Severity)
def test_the_threshold_is_the_configured_one(at):
    chosen = config(f'block_at = "{at.value}"\n')
    for severity in Severity:
        blocks = settle(finding(severity=severity), chosen).status is Status.BLOCKING
        assert blocks is (severity.rank >= at.rank)


def test_a_waived_finding_stays_waived():
    assert settle(waived(), Config()).status is Status.WAIVED


@given(st.lists(FINDINGS, max_size=6), st.lists(st.sampled_from(Outcome), max_size=4), st.booleans())
def test_the_decision_is_block_then_incomplete_then_pass(findings, outcomes, required):
    runs = [run(outcome=o, required=required) for o in outcomes]
    decision = decide(findings, runs)
    blocks = any(f.status is Status.BLOCKING for f in findings)
    failed = required and bool({Outcome.FAILED, Outcome.SKIPPED} & set(outcomes))  # only OFF was meant not to look
    assert decision is (Decision.BLOCK if blocks else Decision.INCOMPLETE if failed else Decision.PASS)
    if decision is Decision.PASS:
        assert not blocks
        assert not failed


@given(st.lists(FINDINGS, max_size=6).flatmap(lambda fs: st.tuples(st.just(fs), st.permutations(fs))))
def test_the_order_does_not_depend_on_the_order_of_arrival(both):
    first, second = both
    shown = [(f.status, f.severity, f.origin, f.path, f.start_line, f.fingerprint) for f in order(first)]
    assert shown == [(f.status, f.severity, f.origin, f.path, f.start_line, f.fingerprint) for f in order(second)]
    ranks = [("blocking", "advisory", "waived", "existing").index(f.status.value) for f in order(first)]
    assert ranks == sorted(ranks)
