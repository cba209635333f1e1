"""The README and its neighbours cannot drift: help, map, picture and links are compared with what is really there.

Its commands are typed by tests/test_site.py, with those of the site.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import agentreview as agentreview_package
from agentreview.policies.load import load

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "policies/README.md", "integrations/README.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
)


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


def test_the_packs_are_those_there_are():
    first = section("## Policies").split("\n\n")[0].splitlines()[1]
    assert re.findall(r"`(\w+)`", first) == sorted({policy.pack for policy in load().policies})


def test_the_help_is_what_the_command_prints():
    (shown,) = blocks(section("## Help"), "text")
    assert shown == agentreview("--help", COLUMNS="80").stdout


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
