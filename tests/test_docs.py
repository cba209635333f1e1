"""The documents about policies are what the policies are."""

from __future__ import annotations

from pathlib import Path

from commandline import agentreview

ROOT = Path(__file__).parents[1]


def test_the_policy_index_is_what_the_command_prints(tmp_path):
    """If this fails after a change of a policy or its examples: make index."""
    done = agentreview("policies", "list", "--format", "markdown", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert (ROOT / "docs" / "policy-index.md").read_text(encoding="utf-8") == done.out
