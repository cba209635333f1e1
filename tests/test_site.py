"""The documentation cannot drift: every command of every page is typed, and the site is built with warnings as errors."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import agentreview
from agentreview.cli import group
from agentreview.config import parse_config
from agentreview.facts import KEYS
from agentreview.frontends import detect
from agentreview.policies.load import load
from agentreview.reporters import REPORTERS
from agentreview.reviewers.profiles import built_in
from agentreview.settings import SETTINGS, split
from agentreview.waiverfile import parse
from messages_server import MessagesServer, Reply
from pages import SHELLS, about, blocks, pattern, play
from reviewing import answer

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(str(path.relative_to(ROOT)) for path in DOCS.rglob("*.md") if "_build" not in path.parts)
TYPED = ["README.md", *PAGES]
HOWTO = DOCS / "howto"
BIN = Path(sys.executable).parent

# How many blocks of a page cannot be played here; each says why. Nothing else is left out.
NOT_RUN = {
    "README.md": 2,
    "docs/howto/board.md": 1,
    "docs/howto/husky.md": 1,
    "docs/howto/model-reviewers.md": 1,
    "docs/tutorial.md": 1,
}

CLINIC = {
    "clinic/models.py": """\
from django.db import models


class Patient(models.Model):
    org = models.ForeignKey("accounts.Org", on_delete=models.PROTECT)
    name = models.CharField(max_length=200)
    mrn = models.CharField(max_length=20)


class Invoice(models.Model):
    org = models.ForeignKey("accounts.Org", on_delete=models.PROTECT)
    amount = models.DecimalField(max_digits=8, decimal_places=2)
""",
    "clinic/audit.py": '''\
def audit_log(*, actor, action, ids):
    """Write one line of the audit trail: who did what to which records."""
    AuditEvent.objects.create(actor=actor, action=action, ids=ids)
''',
    "clinic/views.py": """\
from django.contrib.auth.decorators import permission_required
from django.http import JsonResponse

from clinic.audit import audit_log
from clinic.models import Invoice, Patient


@permission_required("clinic.view_patient", raise_exception=True)
def patient_list(request):
    patients = Patient.objects.filter(org=request.user.org)
    audit_log(actor=request.user, action="list", ids=[patient.pk for patient in patients])
    return JsonResponse({"patients": [patient.name for patient in patients]})
""",
}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture
def place(request: Any, make_repo: Any, tmp_path: Path) -> Any:
    """Return where a page is read: an empty directory, or a clinic's repository with a remote, on a branch of its own."""

    def make(start: str) -> Path:
        if start == "empty":
            (tmp_path / "work").mkdir()
            return tmp_path / "work"
        assert start == ""
        repo, origin = make_repo("clinic"), make_repo("origin.git", "--bare")
        repo.commit(CLINIC, "List the patients")
        repo.git("remote", "add", "origin", str(origin.path))
        repo.git("push", "-q", "-u", "origin", "main")
        repo.git("switch", "-q", "-c", "feature")
        return repo.path

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [name for name in TYPED if any(b.language in SHELLS and "not run" not in b.said for b in blocks(text(name)))],
)
def test_every_command_of_a_page_does_what_the_page_shows(name: str, place: Any, tmp_path: Path) -> None:
    page = text(name)
    needs = about(page, "needs")
    if needs.startswith("git "):
        there = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout
        if [int(n) for n in re.findall(r"\d+", there)[:2]] < [int(n) for n in re.findall(r"\d+", needs)]:
            pytest.skip(f"needs {needs}")
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    with MessagesServer() as server:
        server.on("", lambda request: Reply(json=answer(request.asked)))
        if needs == "a model":
            env |= server.env
        assert play(page, place(about(page, "start")), env, tmp_path / "script.sh") == []
    assert bool(server.messages) == (needs == "a model")


def test_few_blocks_are_not_played_and_each_says_why() -> None:
    left_out = {}
    for name in TYPED:
        reasons = [block.said["not run"] for block in blocks(text(name)) if "not run" in block.said]
        assert all(len(reason.split()) > 1 for reason in reasons), name
        if reasons:
            left_out[name] = len(reasons)
    assert left_out == NOT_RUN


@pytest.mark.parametrize("name", PAGES)
def test_every_file_that_a_page_shows_is_well_formed(name: str) -> None:
    for block in blocks(text(name)):
        if block.language == "yaml":
            assert yaml.safe_load(block.text), f"{name}:{block.line}"
        elif block.language == "toml" and "[[waiver]]" in block.text:
            found = parse(block.text.encode())
            assert (len(found.records), found.problems) == (1, ())
        elif block.language == "toml":
            assert parse_config(block.text.encode(), path=f"{name}:{block.line}", known_policies=load().ids())
        elif block.language == "json":
            assert json.loads(block.text), f"{name}:{block.line}"
        elif block.language == "python":
            compile(block.text, f"{name}:{block.line}", "exec")


def test_a_page_that_shows_something_else_than_what_is_printed_is_found(tmp_path: Path) -> None:
    page = "```console\n$ echo one two\none two\n$ printf 'a\\nb\\nc\\n'\na\n...\n$ cd ..\n$ false\n```\n\n```sh\necho x\n```\n"
    env = dict(os.environ)
    [ended] = play(page, tmp_path, env, tmp_path / "script")
    assert "ended with 1, not 0" in ended
    assert play(page.replace("```console", "<!-- exits 1 -->\n```console"), tmp_path, env, tmp_path / "script") == []
    [other] = play("```console\n$ echo one\ntwo\n```\n", tmp_path, env, tmp_path / "script")
    assert "printed\none\n" in other
    [more] = play("```console\n$ echo one\n```\n", tmp_path, env, tmp_path / "script")
    assert "printed\none\n" in more
    [stopped] = play("```sh\necho one\nfalse\necho two\n```\n", tmp_path, env, tmp_path / "script")
    assert "stopped with 1" in stopped
    assert pattern("a...c\n...").fullmatch("a b c\nx\ny\n")
    assert not pattern("a...c").fullmatch("a b c\nx\n")


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_every_page_is_in_it(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    built = tmp_path / "html"
    argv = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(built)]
    env = {**os.environ, "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    pages = {str(path.relative_to(built)) for path in built.rglob("*.html")}
    expected = {name.removeprefix("docs/").removesuffix(".md") + ".html" for name in PAGES}
    assert expected - pages == set()
    for page in sorted(expected):
        shown = (built / page).read_text(encoding="utf-8")
        assert not re.search(
            r"""(?:src|href)=["']?(?:https?:)?//(?!www\.w3\.org)[^"'>]*\.(?:js|css|woff2?)""", shown
        ), page


def complete(page: str) -> str:
    """A page with everything filled in that the program says."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec
    assert spec.loader
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    return str(generate.complete(page, text(f"docs/{page}.md")))


def option_names(command: click.Command) -> set[str]:
    """Every option of a command, and of the commands below it."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    own = {name for one in command.params if isinstance(one, click.Option) for name in one.opts}
    return own.union(*(option_names(one) for one in below))


def test_the_reference_has_every_command_option_key_policy_and_format() -> None:
    shown = complete("reference/cli")
    commands = re.findall(r"^##+ agentreview (.*)$", shown, re.MULTILINE)
    assert {name.partition(" ")[0] for name in commands} == set(group.commands)
    assert option_names(group) - {"--version"} - set(re.findall(r"`(--?[\w-]+)`", shown)) == set()
    keys = set(re.findall(r"^\| `([^`]+)` \|", complete("reference/configuration"), re.MULTILINE))
    assert {split(key)[1] for key, _, _ in SETTINGS} | {fact.rpartition(".")[2] for fact in KEYS} <= keys
    assert set(re.findall(r"^### (\S+)$", complete("reference/policies"), re.MULTILINE)) == load().ids()
    assert re.findall(r"^\| `(\w+)` \|", complete("reference/formats"), re.MULTILINE) == list(REPORTERS)


def only(name: str, language: str) -> str:
    """The one block of a language in a how-to page."""
    (text_of_it,) = [block.text for block in blocks((HOWTO / name).read_text()) if block.language == language]
    return text_of_it


@pytest.mark.parametrize(
    ("page", "name"), [("pre-commit.md", ".pre-commit-config.yaml"), ("lefthook.md", "lefthook.yml")]
)
def test_the_entries_for_hook_managers_are_those_that_install_prints(page: str, name: str, tmp_path: Path) -> None:
    """And they are recognised as gating the repository."""
    shown = only(page, "yaml")
    (tmp_path / name).write_text(shown)
    (front_end,) = detect(tmp_path)
    printed = [line.strip() for line in front_end.entry.splitlines()]
    assert front_end.gated
    assert [line for line in shown.splitlines() if line != "repos:" and line.strip() not in printed] == []


def test_the_lines_for_husky_are_those_that_install_prints(tmp_path: Path) -> None:
    (tmp_path / ".husky").mkdir()
    (front_end,) = detect(tmp_path)
    assert [line for line in only("husky.md", "text").splitlines() if line not in front_end.entry] == []


def test_the_workflow_example_and_the_action_are_well_formed() -> None:
    workflow = yaml.safe_load(only("github-actions.md", "yaml"))
    action = yaml.safe_load(text("action.yml"))
    assert workflow["permissions"] == {}
    said = (HOWTO / "github-actions.md").read_text().partition("with the inputs ")[2].partition(":")[0]
    assert set(re.findall(r"`(\w+)`", said)) == set(action["inputs"])
    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"], "values reach a script through its environment only"


def test_every_reviewer_that_is_shipped_has_its_row() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| (\w+) \|$", (HOWTO / "model-reviewers.md").read_text(), re.MULTILINE)
    assert dict(rows) == {name: one.gate for name, one in built_in().items()}


def test_every_variable_that_the_program_reads_has_its_row() -> None:
    package = Path(agentreview.__file__).parent
    sources = [*package.rglob("*.py"), *(path for path in (ROOT / "hooks").iterdir() if not path.suffix)]
    read = set()
    for path in sources:
        read |= set(re.findall(r"(?<![A-Z_])AGENTREVIEW_[A-Z]+", path.read_text(encoding="utf-8")))
    said = set(re.findall(r"AGENTREVIEW_[A-Z]+", text("docs/reference/environment.md")))
    assert said - {"AGENTREVIEW_COMPLETE"} == read
