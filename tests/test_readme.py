"""The README cannot drift: its help, tables, examples and links are compared with what is really there, and its commands are run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

import agentreview as agentreview_package
from agentreview.cli import EPILOG
from agentreview.config import parse_config
from agentreview.frontends import detect
from agentreview.policies.load import load
from agentreview.reporters import REPORTERS
from agentreview.waiverfile import parse

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "policies/README.md")
NETWORK = {"pip", "pipx", "make"}  # commands that install something: run by CI as such, not from here
BIN = Path(sys.executable).parent


def section(title: str) -> str:
    """The text below a heading, up to the next one of the same or a higher level."""
    inside, fenced, text = False, False, ""
    level = title.index(" ")
    for line in README.splitlines(keepends=True):
        fenced ^= line.startswith("```")
        if not fenced and re.match(rf"#{{1,{level}}} ", line):
            inside = line.rstrip("\n") == title
        elif inside:
            text += line
    assert text, title
    return text


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def agentreview(*argv: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentreview", *argv]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False)


def test_the_help_is_what_the_command_prints():
    (shown,) = blocks(section("## Help"), "text")
    assert shown == agentreview("--help", COLUMNS="80").stdout


def test_the_policy_table_is_the_catalogue():
    expected = []
    for policy in load().policies:
        hits = ", ".join(sorted({check.hit.value for check in policy.checks}, reverse=True))
        expected.append(f"| `{policy.id}` | {policy.rule.title} | {policy.rule.severity.value} | {hits} |")
    rows = [line for line in section("## Policies").splitlines() if line.startswith("| `")]
    assert rows == expected


def test_the_exit_codes_are_those_of_the_help():
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", section("## Exit codes"), re.MULTILINE))
    said = dict(re.findall(r"^ +(\d+)  (.*)$", EPILOG, re.MULTILINE))
    words = {code: re.split(r"[:;]", text)[0] for code, text in said.items()}
    assert {code: re.split(r"[:;]", text)[0] for code, text in rows.items()} == words


def test_every_format_is_named():
    (line,) = [line for line in section("### By hand").splitlines() if line.startswith("Formats are")]
    assert [name for name in re.findall(r"`(\w+)`", line) if name != "agentreview"] == list(REPORTERS)


def test_the_example_configuration_is_valid():
    (example,) = blocks(section("## Configuration"), "toml")
    config = parse_config(example.encode(), path="README.md", known_policies=load().ids())
    assert config.facts.confirmer("phi.models")


def test_the_example_waiver_counts(repo):
    (comment,) = blocks(section("### Waivers"), "python")
    view = "from django.http import JsonResponse\n\n\ndef show(request, pk):\n"
    view += (
        f"    {comment}    patient = Patient.objects.get(pk=pk)\n    return JsonResponse({{'name': patient.name}})\n"
    )
    repo.stage({"clinic/views.py": view})
    report = agentreview("--format", "json", cwd=repo.path).stdout
    assert '"hipaa.audit-phi-read"' in report
    assert "does not count" not in report
    assert '"waived"' in report


def test_the_example_of_a_waiver_entry_is_one():
    (entry,) = blocks(section("### Waivers"), "toml")
    found = parse(entry.encode())
    assert (len(found.records), found.problems) == (1, ())


@pytest.mark.parametrize(
    ("title", "name"),
    [("### pre-commit and prek", ".pre-commit-config.yaml"), ("### lefthook", "lefthook.yml")],
)
def test_the_entries_for_hook_managers_are_those_that_install_prints(title, name, tmp_path):
    """And they are recognised as gating the repository."""
    (shown,) = blocks(section(title), "yaml")
    (tmp_path / name).write_text(shown)
    (front_end,) = detect(tmp_path)
    printed = [line.strip() for line in front_end.entry.splitlines()]
    assert front_end.gated
    assert [line for line in shown.splitlines() if line != "repos:" and line.strip() not in printed] == []
    assert yaml.safe_load(shown)


def test_the_lines_for_husky_are_those_that_install_prints(tmp_path):
    (shown,) = blocks(section("### husky"), "text")
    (tmp_path / ".husky").mkdir()
    (front_end,) = detect(tmp_path)
    assert [line for line in shown.splitlines() if line not in front_end.entry] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name):
    document = ROOT / name
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    anchors = {
        re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in re.findall(r"^#+ (.*)$", text, re.M)
    }
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if not re.match(r"https?:", target) and not ((document.parent / path).exists() and (path or anchor in anchors)):
            broken.append(target)
    assert broken == []


def test_the_map_of_the_modules_is_complete():
    """Every module of the package, and every module of its larger rooms, is in the table of CONTRIBUTING."""
    table = re.findall(r"^\|.*\|$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = set(re.findall(r"`([\w./*]+)`", "\n".join(table)))
    package = Path(agentreview_package.__file__).parent
    tops = {path.name for path in package.glob("*.py")} | {
        f"{path.parent.name}/" for path in package.glob("*/__init__.py")
    }
    rooms = {path.stem for room in ("policies", "syntax") for path in (package / room).glob("*.py")}
    assert sorted(tops - named - {"__init__.py"}) == []
    assert sorted(name for name in rooms - named - {"__init__"} if not name.startswith("ecmascript")) == []


def test_the_workflow_example_and_the_action_are_well_formed():
    (example,) = blocks(section("### GitHub Actions"), "yaml")
    workflow = yaml.safe_load(example)
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert workflow["permissions"] == {}
    assert set(re.findall(r"`(\w+)`", README.partition("with the inputs ")[2].partition(":")[0])) == set(
        action["inputs"]
    )
    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"], "values reach a script through its environment only"


@pytest.mark.slow
def test_the_picture_shows_what_the_demonstration_prints():
    """If this fails after a change of wording: make picture."""
    done = agentreview("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    refused = done.stdout.partition('$ git commit -m "Show a patient"\n')[2]
    report, decision, _ = refused.partition("BLOCKED: ")
    text = "\n".join("".join(line.itertext()) for line in ET.parse(ROOT / "docs" / "blocked-commit.svg").iter())
    shown = {line.strip() for line in text.splitlines()}
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    keys = [line for line in lines if re.match(r"HIGH |> \d+ |explain: |waive: |\d+ blocked", line)]
    assert decision
    assert len(keys) == 5
    assert set(keys) - shown == set()


def quick_start() -> list[tuple[str, str]]:
    """(heading, block) for every shell block of the quick start."""
    found = []
    for title in re.findall(r"^### .*$", section("## Quick start"), re.MULTILINE):
        found += [(title, block) for block in blocks(section(title), "sh")]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("title", "block"), quick_start(), ids=lambda value: value.strip("# ").split("\n")[0][:30])
def test_the_commands_of_the_quick_start_run(title, block, make_repo, monkeypatch):
    """In a repository with a remote, a branch, something staged and a second worktree; none may exit above 1."""
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    origin, repo = make_repo("origin"), make_repo("work")
    origin.commit({"app.py": "a = 1\n"})
    repo.git("remote", "add", "origin", str(origin.path))
    repo.git("fetch", "-q", "origin")
    repo.git("switch", "-q", "-c", "branch", "origin/main")
    repo.commit({"app.py": "a = 2\n"})
    repo.git("worktree", "add", "-q", "-b", "agent-2", "../agent-2")
    if title == "### pre-commit and prek":
        repo.write({".pre-commit-config.yaml": blocks(section(title), "yaml")[0]})
        repo.git("add", ".")
        if shutil.which("prek"):
            block += "prek install\n"
    repo.stage({"app.py": "a = 3\n"})
    ran = 0
    for line in block.splitlines():
        argv = shlex.split(line, comments=True)
        if not argv or argv[0] in NETWORK:
            continue
        done = subprocess.run(argv, cwd=repo.path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        ran += 1
    assert ran
