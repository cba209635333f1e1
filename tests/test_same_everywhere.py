"""The same change is told in the same words by every process: sets of texts have another order in each."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
from agentreview.config import Config
from agentreview.policies.compare import Engine
from agentreview.policies.examples import examples
from agentreview.policies.load import load
from agentreview.policies.run import review_changes
from agentreview.policies.selftest import change_of

engine = Engine(load(), Config())
before = "export function save(form) {\\n  if (form.sender === null || form.audit === null || form.signing === null || form.owner === null) {\\n"
before += "    throw new Error('forbidden')\\n  }\\n  return store(form)\\n}\\n"
after = before.replace("form.sender === null || form.audit === null || form.signing === null || ", "")
changes = [change_of("src/save.ts", before, after)]
changes += [change_of(one.path, one.before, one.after) for one in examples()[::2]]
for change in changes:
    reviewed = review_changes([change], engine)
    print(change.path, [repr(claim) for claim in reviewed.claims], reviewed.skipped, reviewed.failed)
"""


def said(seed: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
    )  # fmt: skip
    return ran.stdout.splitlines()


def test_what_is_found_and_its_words_do_not_depend_on_how_texts_are_hashed():
    one, other = said("1"), said("2")
    assert "holds less than before" in one[0]
    assert [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]] == []
