"""The documents about policies are what the policies are."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from agentreview.commands.policies import described, unseen
from agentreview.policies.compiling import FILTERS, FORMS, citation_table
from agentreview.policies.load import load
from agentreview.syntax.frameworks import CONCEPTS, KINDS, MODIFIERS
from commandline import agentreview

ROOT = Path(__file__).parents[1]


def test_the_policy_index_is_what_the_command_prints(tmp_path):
    """If this fails after a change of a policy or its examples: make index."""
    done = agentreview("policies", "list", "--format", "markdown", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert (ROOT / "docs" / "policy-index.md").read_text(encoding="utf-8") == done.out


GUIDE = (ROOT / "policies" / "README.md").read_text(encoding="utf-8")


def part(title: str) -> str:
    """The text below a heading of the guide."""
    _, found, rest = GUIDE.partition(f"\n## {title}\n")
    assert found, title
    return re.split(
        r"^## ", re.sub(r"^````.*?^````$", lambda m: m[0].replace("\n#", "\n\0#"), rest, flags=re.M | re.S), flags=re.M
    )[0].replace("\0", "")


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks of a language, outside of the longer fence."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", re.sub(r"^````.*?^````$", "", text, flags=re.M | re.S), re.M | re.S
    )


def test_the_worked_example_runs_from_the_idea_to_the_refused_commit(repo):
    """Every command, file and output of the guide, in a repository of its own."""
    text = part("From an idea to a policy that blocks")
    new, again = (shlex.split(line) for line in blocks(text, "sh"))
    [policy] = re.findall(r"^````markdown\n(.*?)^````$", text, re.M | re.S)
    [draft] = blocks(text, "yaml")
    noisy, right, refused = blocks(text, "text")
    [code] = blocks(text, "python")
    assert agentreview("install", cwd=repo.path).code == 0

    assert new[0] == again[0] == "agentreview"
    written = agentreview(*new[1:], cwd=repo.path)
    file = ".agents/policies/team/http-timeout.md"
    assert written.out.splitlines() == [f"wrote {file}", f"next: {shlex.join(again)}"]
    assert agentreview(*again[1:], cwd=repo.path).code == 0

    last = re.search(r"^    rule:\n(?:      .*\n)+", policy, re.M)
    # The first draft is one line shorter than the rule that is right; the lines of the output are those of the draft.
    repo.write({file: policy.replace(last[0], draft)})
    assert agentreview(*again[1:], cwd=repo.path).out == noisy
    repo.write({file: policy})
    done = agentreview(*again[1:], cwd=repo.path)
    assert (done.code, done.out) == (0, right)

    repo.commit({file: policy})
    repo.stage({"billing/rates.py": code})
    commit = subprocess.run(
        ["git", "commit", "-q", "-m", "Rates"], cwd=repo.path, capture_output=True, text=True, check=False
    )
    assert commit.returncode == 1
    assert refused in commit.stderr
    assert "BLOCKED: 1 finding must be cleared before this commit (1 high team)" in commit.stderr
    assert repo.git("log", "--format=%s").splitlines() == ["work"]


def first_column(title: str) -> list[str]:
    """Every name in the first column of the tables below a heading."""
    section = GUIDE.partition(f"\n### {title}\n")[2].partition("\n#")[0]
    cells = [re.split(r"(?<!\\)\|", line)[1] for line in section.splitlines() if line.startswith("| ")]
    return [name for cell in cells for name in re.findall(r"`([a-z_-]+)[:`]", cell.partition(" with ")[0])]


@pytest.mark.parametrize(
    ("title", "names"),
    [("Forms of checks", FORMS), ("Filters of `when`", FILTERS), ("Concepts", CONCEPTS), ("Entries", KINDS)],
)
def test_the_reference_names_every_word_of_the_format_once(title, names):
    listed = first_column(title)
    assert sorted(set(names) - set(listed)) == []
    assert sorted({name for name in listed if listed.count(name) > 1}) == []
    assert sorted(set(listed) - set(names) - {"form"}) == []


def test_the_reference_names_every_condition_of_an_entry():
    section = GUIDE.partition("\n### Entries\n")[2].partition("\n#")[0]
    assert sorted(name for name in MODIFIERS if not re.search(rf"`{name}[:`]", section)) == []


# ---- no legal claim

CLAIM = re.compile(
    r"\b(?:hipaa|gdpr|soc ?2|hitrust|law|regulation)[ -]?(?:compliant|certified|approved|proof)|\bcompl(?:y|ies|ied|ying) with\b"
    r"|\b(?:is|are|be|been|fully) compliant|\bguarantees? (?:compliance|security)|\bensures? compliance|\bmakes? you compliant",
    re.IGNORECASE,
)
FOLDERS = {
    "policies": (".md", ".yml", ".txt"),
    "docs": (".md", ".svg"),
    "src": (".py", ".json"),
    "hooks": ("",),
    ".": (".md",),
}


def test_nothing_we_write_or_print_claims_that_a_law_is_met(tmp_path):
    """A pass is evidence for change control: no file, help text, policy or report says more."""
    found = []
    for folder, endings in FOLDERS.items():
        paths = (ROOT / folder).glob("*") if folder == "." else (ROOT / folder).rglob("*")
        for path in paths:
            if path.is_file() and path.name.endswith(endings) and "__pycache__" not in path.parts:
                text = path.read_text(encoding="utf-8", errors="replace")
                found += [f"{path.relative_to(ROOT)}: {m[0]}" for m in CLAIM.finditer(" ".join(text.split()))]
    assert found == []
    for arguments in (("policies", "list"), ("policies", "show", "hipaa.audit-phi-read"), ("--help",), ("demo",)):
        done = agentreview(*arguments, cwd=tmp_path)
        assert not CLAIM.search(" ".join(done.out.split())), arguments


# ---- citations

CITATIONS = citation_table((ROOT / "policies" / "citations.yml").read_bytes(), "citations.yml")


def test_every_citation_that_a_policy_prints_is_in_the_table():
    """Compared in what is printed, not only where it is loaded."""
    for policy in load().policies:
        text = "\n".join(described(policy, None, 100))
        for name in policy.rule.references:
            assert f"  {name} ({CITATIONS[name]['kind']})\n" in text
        cited = set(re.findall(r"(?:45 CFR )?\b164\.\d{3}(?:\([A-Za-z0-9]+\))*", policy.rule.help))
        unknown = {
            c for c in cited if not any(name.startswith(f"45 CFR {c.removeprefix('45 CFR ')}") for name in CITATIONS)
        }
        assert unknown == set(), policy.id


def test_the_table_names_sections_as_the_rule_does():
    """Paragraphs of 45 CFR 164 alternate (a)(1)(i)(A); a wrong level would name nothing."""
    for name, item in CITATIONS.items():
        assert item["kind"] in ("standard", "required", "addressable", "guidance"), name
        if name.startswith("45 CFR"):
            assert re.fullmatch(
                r"45 CFR 164\.\d{3}\([a-e]\)(?:\(\d\)(?:\((?:i|ii|iii|iv|v|vi)\)(?:\([A-Z]\))?)?)?", name
            ), name
            assert item["kind"] != "guidance"
        else:
            assert item["kind"] == "guidance", name


def test_what_a_diff_cannot_show_is_said_of_policies_that_exist():
    said = yaml.safe_load((ROOT / "policies" / "unseen.yml").read_text(encoding="utf-8"))["unseen"]
    packs = {policy.pack for policy in load().policies}
    assert packs <= said.keys()
    assert said.keys() - packs - load().ids() == set()
    for policy in load().policies:
        sentences = unseen(policy)
        assert all(re.fullmatch(r"[A-Z].*\.", sentence) for sentence in sentences)
        assert len(set(sentences)) == len(sentences)
