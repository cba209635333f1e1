"""Changes to the gate itself: loosening and going around block; tightening, adding and talking about it do not."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from agentreview.model import Hit
from engine import change, reviewed, verdict

RULE = "conduct.gate-tampered"
CONFIG = 'block_at = "high"\n\n[packs]\nhipaa = "on"\n'
PRE_COMMIT = """\
repos:
  - repo: https://github.com/example/agentreview
    rev: v1
    hooks:
      - id: agentreview
        stages: [pre-commit]
"""
WORKFLOW = """\
on: push
jobs:
  review:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - name: gate
        run: agentreview ci
      - name: tests
        run: pytest
"""


def found(path: str, before: str | bytes | None, after: str | bytes | None, **options):
    claims = [c.claim for c in reviewed(change(path, before, after, **options)).claims if c.claim.rule == RULE]
    for claim in claims:
        text = (after if after is not None else before) or ""
        rows = (text if isinstance(text, str) else text.decode("utf-8-sig", "replace")).split("\n")
        assert claim.quote.strip() == rows[claim.start_line - 1].strip()
    return claims


@pytest.mark.parametrize(
    "after",
    [
        CONFIG.replace('block_at = "high"', 'block_at = "critical"'),
        CONFIG.replace('hipaa = "on"', 'hipaa = "off"'),
        CONFIG.replace('hipaa = "on"', 'hipaa = "advisory"'),
        'exclude = ["app/**"]\n' + CONFIG,
        CONFIG + '\n[facts.access]\ndefault = "deny"\n',
    ],
)
def test_a_looser_configuration_is_found(after):
    assert found("agentreview.toml", CONFIG, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CONFIG.replace("high", "critical"), CONFIG),
        (CONFIG.replace("on", "off"), CONFIG),
        (CONFIG, CONFIG + "\n# a comment\n"),
        ('exclude = ["app/**"]\n' + CONFIG, CONFIG),
    ],
)
def test_a_tighter_configuration_is_silent(before, after):
    assert found("agentreview.toml", before, after) == []


def test_a_deleted_configuration_is_found_and_first_facts_are_a_question():
    assert found("agentreview.toml", CONFIG, None)
    assert found("agentreview.toml", None, CONFIG) == []
    assert [c.hit for c in found("agentreview.toml", None, 'facts.access.default = "deny"\n')] == [Hit.SUSPECT]


def test_a_first_configuration_that_switches_something_off_is_found():
    assert [c.hit for c in found("agentreview.toml", None, CONFIG.replace("on", "off"))] == [Hit.VIOLATION]


@pytest.mark.parametrize(
    "table",
    [
        "[tool.agentreview.packs]\n",
        "[tool]\nagentreview.packs.",
        '[tool."agentreview".packs]\n',
        "[ tool . agentreview . packs ]\n",
    ],
)
def test_a_table_in_pyproject_is_found_however_it_is_spelt(table):
    """What the configuration reader understands, the gate must not overlook."""
    assert found("pyproject.toml", "[project]\nname = 'x'\n", f"[project]\nname = 'x'\n{table}hipaa = 'off'\n")
    assert found("pyproject.toml", f"{table}hipaa = 'on'\n", f"{table}hipaa = 'off'\n")


def test_what_is_loosened_is_shown_at_its_own_line():
    loose = """\
# models = ["mrn"]
exclude = ["vendor/"]

[packs]
hipaa = "off"

[policies]
"secrets.hardcoded" = "advisory"

[facts.audit]
calls = ["objects", "name"]

[facts.phi]
not_phi = [
  "theme",  # not "mrn"
  "mrn",
]

[facts.tenant]
scoped_by = ["objects"]
"""
    for text in (loose, loose.replace("\n", "\r\n"), "\ufeff" + loose):
        rows = {claim.message: claim.quote.strip() for claim in found("agentreview.toml", CONFIG, text)}
        assert rows["exclude added: 'vendor/' is no longer reviewed"] == 'exclude = ["vendor/"]'
        assert rows["pack hipaa lowered from on to off"] == 'hipaa = "off"'
        assert rows["policy secrets.hardcoded lowered from on to advisory"] == '"secrets.hardcoded" = "advisory"'
        assert rows["facts.phi.not_phi now clears findings with 'theme'"] == '"theme",  # not "mrn"'
        assert rows["facts.tenant.scoped_by now clears findings with 'objects'"] == 'scoped_by = ["objects"]'
    [claim] = found("pyproject.toml", "", '[project]\nname = "critical"\n\n[tool.agentreview]\nblock_at = "critical"\n')
    assert claim.start_line == 5


def test_a_dependency_in_pyproject_is_no_configuration():
    assert found("pyproject.toml", "[project]\n", "[project]\ndependencies = ['agentreview-gate']\n") == []


def test_a_configuration_that_moves_away_is_found():
    text = CONFIG + '[facts.tenant]\nkey = "org"\n'
    assert found("docs/old.toml", text, text, old_path="agentreview.toml")


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        (".pre-commit-config.yaml", PRE_COMMIT, "repos: []\n"),
        (".pre-commit-config.yaml", PRE_COMMIT, None),
        (".pre-commit-config.yaml", PRE_COMMIT, PRE_COMMIT.replace("[pre-commit]", "[manual]")),
        (
            ".github/workflows/ci.yml",
            WORKFLOW,
            WORKFLOW.replace("      - name: gate\n        run: agentreview ci\n", ""),
        ),
        (".github/workflows/ci.yml", WORKFLOW, WORKFLOW.replace("run: agentreview ci", "run: agentreview ci || true")),
        (
            ".github/workflows/ci.yml",
            WORKFLOW,
            WORKFLOW.replace("ci\n      - name: tests", "ci\n        continue-on-error: true\n      - name: tests"),
        ),
        (".github/workflows/ci.yml", WORKFLOW, WORKFLOW.replace("- name: gate", "- name: gate\n        if: false")),
        (".github/workflows/ci.yml", WORKFLOW, None),
        (".husky/pre-commit", "agentreview run\nnpm test\n", "npm test\n"),
        ("CODEOWNERS", "agentreview.toml @security\n", "agentreview.toml @everyone\n"),
        (".github/CODEOWNERS", "/.agents/ @security\n* @dev\n", "* @dev\n"),
        ("Makefile", "lint:\n\tagentreview run\n", "lint:\n\ttrue\n"),
    ],
)
def test_taking_the_gate_out_or_making_it_toothless_is_found(path, before, after):
    assert found(path, before, after)


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        (".pre-commit-config.yaml", "repos: []\n", PRE_COMMIT),
        (".pre-commit-config.yaml", PRE_COMMIT, PRE_COMMIT.replace("rev: v1", "rev: v2")),
        (
            ".github/workflows/ci.yml",
            WORKFLOW,
            WORKFLOW.replace("run: pytest", "run: pytest -q\n        continue-on-error: true"),
        ),
        (".github/workflows/ci.yml", None, WORKFLOW),
        (".husky/pre-commit", "agentreview run\n", "npx lint-staged\nagentreview run\n"),
        ("CODEOWNERS", "* @dev\n", "* @dev @ops\n"),
        ("README.md", "x\n", "Never use git commit --no-verify.\n"),
        ("app/views.py", "x = 1\n", "# git commit --no-verify is not allowed\nx = 1\n"),
    ],
)
def test_adding_updating_and_writing_about_it_are_silent(path, before, after):
    assert found(path, before, after) == []


@pytest.mark.parametrize(
    "line",
    [
        "git commit --no-verify -m x",
        "git commit -nm x",
        "git -C repo commit -m x --no-verify",
        "git push --no-verify",
        "git commit \\\n  --no-verify -m x",
        "git commit -m x \\\n  --author a \\\n  --no-verify",
        "git config core.hooksPath /dev/null",
        "git config core.hookspath /dev/null",
        "git -c CORE.HOOKSPATH=/dev/null commit",
        "HUSKY=0 git commit -m x",
        "SKIP=agentreview git commit -m x",
        "LEFTHOOK=0 git commit",
        "PRE_COMMIT_ALLOW_NO_CONFIG=1 git commit",
        "export AGENTREVIEW_BYPASS=1",
        "agentreview run || true",
        "agentreview run; exit 0",
    ],
)
def test_ways_around_it_in_a_script_are_found_once(line):
    assert len(found("scripts/ship.sh", "#!/bin/sh\n", f"#!/bin/sh\n{line}\n")) == 1


@pytest.mark.parametrize(
    "line",
    [
        "git commit -m 'no verify needed'",
        "git commit --amend --no-edit",
        "git push origin main",
        "agentreview run",
        "echo HUSKY",
        "SKIP=mypy git commit",
    ],
)
def test_ordinary_commands_are_silent(line):
    assert found("scripts/ship.sh", "#!/bin/sh\n", f"#!/bin/sh\n{line}\n") == []


def test_a_call_from_python_is_found():
    source = 'import subprocess\nsubprocess.run(["git", "commit", "--no-verify"])\n'
    assert found("tools/ship.py", "import subprocess\n", source)


def test_old_ways_around_it_are_not_this_changes():
    text = "git commit --no-verify\n"
    assert found("scripts/ship.sh", text, text + "echo done\n") == []


def test_an_excluded_path_does_not_hide_a_change_to_the_gate():
    changed = change(".husky/pre-commit", "agentreview run\n", "true\n")
    assert RULE in {c.claim.rule for c in reviewed(changed, facts='exclude = [".husky/"]').claims}


@pytest.mark.parametrize("ahead", [b"\xef\xbb\xbf", b"\xef\xbb\xbf# caf\xc3\xa9\n", b"# caf\xe9\n"])
def test_byte_order_marks_and_latin_1_are_quoted_as_they_are_anchored(ahead):
    """A claim whose quote does not anchor would make the whole answer incomplete."""
    answer = verdict(change("scripts/ship.sh", None, ahead + b"git commit --no-verify # \xe9\n"))
    assert [f.rule for f in answer.findings] == [RULE]
    assert answer.decision.value == "block"


def test_a_file_full_of_mentions_is_read_in_linear_time():
    """The gate's own files are read in the main process, which nothing would kill."""
    text = "x:\n" + "  agentreview: 1\n" * 15_000
    changed = replace(change("azure-pipelines.yml", None, text), before=text.encode(), status="M")
    started = time.process_time()
    reviewed(changed)
    assert time.process_time() - started < 5


def test_a_loosening_that_comes_by_a_rename_is_found():
    """The text was there before under another name, where nothing obeyed it."""
    text = '[packs]\nhipaa = "off"\nconduct = "off"\n'
    assert [c.hit for c in found("agentreview.toml", text, text, old_path="docs/x.toml")] == [Hit.VIOLATION] * 2


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (".github/workflows/ci.yml", "docs/ci.yml", WORKFLOW),
        (".pre-commit-config.yaml", "docs/hooks.yaml", PRE_COMMIT),
        (".github/CODEOWNERS", "docs/owners.txt", "agentreview.toml @owners\n"),
    ],
)
def test_a_gate_file_moved_to_where_nothing_reads_it_is_found(old, new, text):
    assert found(new, text, text, old_path=old)
    assert found(old.replace("ci.yml", "other.yml"), text, text, old_path=old) == []


def test_a_new_key_that_may_sign_is_found_and_a_first_list_is_a_question():
    name, old, new = ".agentreview/allowed_signers", "dana@x ssh-ed25519 AAAA\n", "eve@x ssh-ed25519 BBBB\n"
    [claim] = found(name, old, "# keys\n" + old + new)
    assert (claim.start_line, claim.hit) == (3, Hit.VIOLATION)
    assert "eve@x may sign" in claim.message
    assert [c.hit for c in found(name, None, old + new)] == [Hit.SUSPECT] * 2
    assert found(name, old + new, "# sorted\n" + new + old) == []
    assert found(name, old + new, old) == []
    assert found(name, old, None) == []


def test_first_approvers_are_a_question_and_another_one_is_found():
    first = '[waivers]\napprovers = ["dana@clinic.example"]\n'
    assert [c.hit for c in found("agentreview.toml", None, first)] == [Hit.SUSPECT]
    more = '[waivers]\napprovers = ["dana@clinic.example", "eve@clinic.example"]\n'
    assert [c.hit for c in found("agentreview.toml", first, more)] == [Hit.VIOLATION]
