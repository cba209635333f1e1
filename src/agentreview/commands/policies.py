"""``policies list|show``: what is checked, and why."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from agentreview.commands.shared import CONTEXT, emit, reviewed_tree, unknown, worktree_option
from agentreview.console import is_terminal, width
from agentreview.errors import ConfigError, ExitCode, UsageError
from agentreview.records import dataclass, field, replace
from agentreview.reporters.summary import BEYOND

if TYPE_CHECKING:
    from agentreview.config import Config
    from agentreview.policies.load import Catalogue, Policy

SECTIONS = ("Why", "What to do", "Stays silent when")
_BOLD = re.compile(r"\*\*([A-Z][^*`\n]*)\*\*")


@click.group("policies", context_settings=CONTEXT, short_help="List, show, test and write policies.")
def group() -> None:
    """List the policies, read one, run their examples, or write one of this project."""


@group.command("list", context_settings=CONTEXT, short_help="All policies, and what they may do here.")
@click.option("--format", "form", type=click.Choice(["table", "json", "markdown"]), default="table", show_default=True)
@worktree_option
def list_command(*, form: str, worktree: str | None) -> int:
    """List every policy: id, severity, what a hit means, and its level in this repository's configuration.

    A violation is wrong by itself; a suspect is a question that project facts settle; a claim is a model reviewer's,
    and made only where one is asked. The level is on, advisory or off; it is left out when this is not a repository.
    The project's own policies are those that are staged.
    """
    found = reviewed(worktree)
    policies = (*found.catalogue.policies, *of_reviewers())
    if form == "json":
        emit(json.dumps([_record(policy, found.config) for policy in policies], indent=2) + "\n")
    elif form == "markdown":
        emit("\n".join(_index(found)) + "\n")
    else:
        columns = width(sys.stdout) if is_terminal(sys.stdout) else 1000  # a pipe has no edge
        emit("\n".join(_table(policies, found.config, columns)) + "\n")
    if found.mistake is not None:
        raise found.mistake
    return int(ExitCode.PASS)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a review here would use: the policies, and the configuration if there is one to read.

    ``mistake`` is the first one in either; then what could be read stands in. ``files`` are what they were read from.
    """

    catalogue: Catalogue
    config: Config | None = None
    mistake: ConfigError | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


def reviewed(worktree: str | None) -> Reviewed:
    """Read policies and configuration of the staged tree; outside a repository there are the built-in policies."""
    from agentreview.config import load_config
    from agentreview.git import open_repository
    from agentreview.policies.load import load
    from agentreview.policies.project import known_ids, load_with
    from agentreview.surroundings import configuration
    from agentreview.worker import examine_in_workers

    try:
        repo = open_repository(worktree)
    except UsageError:
        if worktree is not None:
            raise
        return Reviewed(load())
    found = Reviewed(load())
    try:
        found = replace(found, files=configuration(repo, reviewed_tree(repo)))
        loaded = load_with(found.files, examine_in_workers)
        found = replace(found, catalogue=loaded.catalogue, mistake=loaded.mistake)
    except ConfigError as error:
        found = replace(found, mistake=error)
    try:
        return replace(found, config=load_config(found.files.get, known_policies=known_ids(found.files)))
    except ConfigError as error:
        return replace(found, mistake=found.mistake or error)


def of_reviewers() -> tuple[Policy, ...]:
    """Return the rules that the step of the model reviewers has, as policies without a check of their own."""
    from agentreview.policies.load import Policy
    from agentreview.reviewers.addressed import RULE
    from agentreview.reviewers.rules import RULES

    return tuple(Policy(id=rule.id, rule=rule, checks=()) for rule in sorted((RULE, *RULES), key=lambda rule: rule.id))


def _hits(policy: Policy) -> list[str]:
    if not policy.checks:
        return ["claim"] if policy.pack == "review" else ["suspect"]
    return sorted({check.hit.value for check in policy.checks}, reverse=True)


def _record(policy: Policy, config: Config | None) -> dict[str, Any]:
    return {
        "id": policy.id,
        "title": policy.rule.title,
        "severity": policy.rule.severity.value,
        "hits": _hits(policy),
        "level": config.level(policy.id).value if config else None,
        "cwe": list(policy.rule.cwe),
        "references": list(policy.rule.references),
        "needs": [f"facts.{need}" for need in policy.needs],
    }


def _table(policies: Iterable[Policy], config: Config | None, columns: int) -> Iterator[str]:
    from agentreview.reporters.text import clip

    rows = [
        (
            policy.id,
            policy.rule.severity.value,
            ", ".join(_hits(policy)),
            *((config.level(policy.id).value,) if config else ()),
            policy.rule.title,
        )
        for policy in policies
    ]
    head = ("policy", "severity", "a hit is a", *(("level",) if config else ()), "what the code must do")
    sizes = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head) - 1)]
    for row in (head, *rows):
        line = "".join(f"{cell:<{size}}  " for cell, size in zip(row, sizes, strict=False))
        yield clip(line + row[-1], max(columns, len(line) + 30)).rstrip()


@group.command("show", context_settings=CONTEXT, short_help="One policy: why, what to do, when it stays silent.")
@click.argument("policy_id", metavar="ID")
@worktree_option
def show_command(*, policy_id: str, worktree: str | None) -> int:
    """Show a policy with the words of what it cites, and what a diff cannot show about it."""
    found = reviewed(worktree)
    policy = find(found.catalogue, policy_id) or of_reviewer(policy_id)
    if policy is None:
        ids = [*found.catalogue.ids(), *(one.id for one in of_reviewers())]
        raise found.mistake or unknown(
            "policy", policy_id, ids, more=" agentreview policies list shows those that are staged"
        )
    return show(policy, found)


def show(policy: Policy, found: Reviewed) -> int:
    """Print a policy, with its level where there is a configuration. Raises the mistake in one afterwards."""
    emit("\n".join(described(policy, found.config, width(sys.stdout))) + "\n")
    if found.mistake is not None:
        raise found.mistake
    return int(ExitCode.PASS)


def find(catalogue: Catalogue, policy_id: str) -> Policy | None:
    """Return the policy with that id."""
    return next((policy for policy in catalogue.policies if policy.id == policy_id), None)


def of_reviewer(rule_id: str) -> Policy | None:
    """Return the rule of model reviewers with that id."""
    return next((policy for policy in of_reviewers() if policy.id == rule_id), None)


def described(policy: Policy, config: Config | None, columns: int) -> Iterator[str]:
    """Lay a policy out for a terminal."""
    rule = policy.rule
    yield f"{policy.id}: {rule.title}"
    yield ""
    yield f"severity  {rule.severity.value}"
    yield f"a hit is  {' or '.join(f'a {hit}' for hit in _hits(policy))}"
    if config is not None:
        yield f"level     {config.level(policy.id).value}{f' ({config.path})' if config.path else ''}"
    if policy.needs:
        yield f"facts     {', '.join(f'facts.{need}' for need in policy.needs)}"
    if policy.skip:
        yield f"silent in {', '.join(policy.skip)} (by path)"
    if not policy.checks:
        yield "asked by  the step of the model reviewers; nothing asks it where none is named"
    if "\n## " not in f"\n{rule.help}":
        for title, text in (("Why", rule.why), ("What to do", rule.fix), ("What a reviewer looks at", rule.help)):
            yield from ("", title, *plain(text, columns, "  "))
    for title in (*SECTIONS, *(("Examples",) if not policy.checks else ())):
        yield from section(title, rule.help, columns)
    if rule.references or rule.cwe:
        yield ""
        yield "Citations"
        words = cited()
        for name in rule.references:
            kind, says = words.get(name, ("", ""))
            yield f"  {name}{f' ({kind})' if kind else ''}"
            yield from prose(says, columns, "    ")
        yield from (f"  {cwe}  https://cwe.mitre.org/data/definitions/{cwe[4:]}.html" for cwe in rule.cwe)
    yield ""
    yield "What a diff cannot show"
    for line in unseen(policy):
        yield from prose(f"- {line}", columns, "  ")
    yield ""
    for line in BEYOND:
        yield from prose(line, columns, "")


def cited() -> dict[str, tuple[str, str]]:
    """Return what every citation is about: name to (kind, words)."""
    from agentreview.policies.compiling import citation_table
    from agentreview.policies.load import policies_dir

    table = policies_dir() / "citations.yml"
    items = citation_table(table.read_bytes(), str(table))
    return {name: (item["kind"], item["says"]) for name, item in items.items()}


def unseen(policy: Policy) -> list[str]:
    """Return what no diff shows about what this policy asks, the policy's own sentences first."""
    from agentreview.policies.load import policies_dir
    from agentreview.policies.yamlfile import decoded, document

    path = policies_dir() / "unseen.yml"
    sentences: Mapping[str, list[str]] = document(decoded(path.read_bytes(), str(path)), str(path))[0]["unseen"]
    own = [*sentences.get(policy.id, []), *sentences.get(policy.pack, [])]
    return own or ["What the running system is configured to do."]


def _index(here: Reviewed) -> Iterator[str]:
    """The policies as one Markdown table: docs/policy-index.md."""
    from agentreview.policies.examples import examples, examples_of
    from agentreview.policies.project import policy_id
    from agentreview.policies.yamlfile import decoded

    own = ((policy_id(path), path, data) for path, data in here.files.items())
    found = [
        *examples(),
        *(e for name, path, data in own if name for e in examples_of(decoded(data, path), name, path)),
    ]
    yield "# Policy index"
    yield ""
    yield "Written by `agentreview policies list --format markdown`; `make index` renews it."
    yield "What a policy cites is what a rule asks, never that code satisfies a law."
    yield "`agentreview policies show ID` prints a policy with the words of what it cites."
    yield ""
    yield "| id | what the code must do | severity | a hit is a | CWE | citations | frameworks with examples | bad | good |"
    yield "|---|---|---|---|---|---|---|---:|---:|"
    for policy in here.catalogue.policies:
        mine = [example for example in found if example.policy == policy.id]
        cells = (
            f"`{policy.id}`", policy.rule.title, policy.rule.severity.value, ", ".join(_hits(policy)),
            ", ".join(cwe.removeprefix("CWE-") for cwe in policy.rule.cwe), "; ".join(policy.rule.references),
            ", ".join(sorted({example.framework for example in mine})), str(sum(not e.good for e in mine)), str(sum(e.good for e in mine)),
        )  # fmt: skip
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def section(title: str, markdown: str, columns: int, *, heading: str = "") -> Iterator[str]:
    """Lay out one ``## title`` section of a policy's text, if it has it."""
    _, found, rest = f"\n{markdown}\n".partition(f"\n## {title}\n")
    if found:
        yield ""
        yield heading or title
        yield from prose(_BOLD.sub(r"\1", rest.partition("\n## ")[0]), columns, "  ")


def plain(text: str, columns: int, indent: str = "") -> Iterator[str]:
    """Break text that is not Markdown, keeping its line ends: a fix may show code."""
    from agentreview.reporters.text import wrap

    yield from (f"{indent}{line}" for line in wrap(text, columns - len(indent)))


def prose(markdown: str, columns: int, indent: str) -> Iterator[str]:
    """Break Markdown paragraphs and list items anew for this width, list items with a hanging indent."""
    from agentreview.reporters.text import wrap

    for paragraph in _paragraphs(markdown):
        marker = "- " if paragraph.startswith("- ") else ""
        for number, line in enumerate(wrap(paragraph.removeprefix(marker), columns - len(indent) - len(marker))):
            yield f"{indent}{'  ' if marker and number else marker}{line}"


def _paragraphs(markdown: str) -> Iterator[str]:
    current: list[str] = []
    for line in [*markdown.split("\n"), ""]:
        text = line.strip()
        if current and (not text or text.startswith("- ")):
            yield " ".join(current)
            current = []
        if text:
            current.append(text)
