"""``policies list|show|test``: what is checked, why, and whether it works."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentreview.commands.shared import CONTEXT, emit, reviewed_config, unknown, worktree_option
from agentreview.console import is_terminal, width
from agentreview.errors import ConfigError, ExitCode, UsageError

if TYPE_CHECKING:
    from agentreview.config import Config
    from agentreview.policies.load import Catalogue, Policy
    from agentreview.policies.selftest import Outcome

SECTIONS = ("Why", "What to do", "Stays silent when")
BEYOND = (
    "What no diff shows: encryption of the store, who keeps and reads the logs, roles and row-level security in "
    "production, contracts with vendors, gateways, backups, training.",
    "A pass is evidence for change control. It is not a statement that a law is met.",
)

_BOLD = re.compile(r"\*\*([A-Z][^*`\n]*)\*\*")


@click.group("policies", context_settings=CONTEXT, short_help="List, show and test the policies.")
def group() -> None:
    """List the policies, read one, or run their examples."""


@group.command("list", context_settings=CONTEXT, short_help="All policies, and what they may do here.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@worktree_option
def list_command(*, form: str, worktree: str | None) -> int:
    """List every policy: id, severity, what a hit means, and its level in this repository's configuration.

    A violation is wrong by itself; a suspect is a question that project facts settle. The level is on, advisory or
    off; it is left out when this is not a repository.
    """
    from agentreview.policies.load import load

    policies = load().policies
    config, mistake = _configuration(worktree)
    if form == "json":
        emit(json.dumps([_record(policy, config) for policy in policies], indent=2) + "\n")
    else:
        columns = width(sys.stdout) if is_terminal(sys.stdout) else 1000  # a pipe has no edge
        emit("\n".join(_table(policies, config, columns)) + "\n")
    if mistake is not None:
        raise mistake
    return int(ExitCode.PASS)


def _configuration(worktree: str | None) -> tuple[Config | None, ConfigError | None]:
    """Return this repository's configuration if there is one to read, and the mistake in it if there is one."""
    from agentreview.git import open_repository

    try:
        repo = open_repository(worktree)
    except UsageError:
        if worktree is not None:
            raise
        return None, None
    try:
        return reviewed_config(repo), None
    except ConfigError as error:
        return None, error


def _hits(policy: Policy) -> list[str]:
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
    """Show a policy with the words of what it cites."""
    from agentreview.policies.load import load

    catalogue = load()
    policy = find(catalogue, policy_id)
    if policy is None:
        raise unknown("policy", policy_id, catalogue.ids(), more=" agentreview policies list shows them")
    return show(policy, worktree)


def show(policy: Policy, worktree: str | None) -> int:
    """Print a policy, with its level where there is a configuration. Raises the mistake in one afterwards."""
    config, mistake = _configuration(worktree)
    emit("\n".join(described(policy, config, width(sys.stdout))) + "\n")
    if mistake is not None:
        raise mistake
    return int(ExitCode.PASS)


def find(catalogue: Catalogue, policy_id: str) -> Policy | None:
    """Return the policy with that id."""
    return next((policy for policy in catalogue.policies if policy.id == policy_id), None)


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
    for title in SECTIONS:
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
    for line in BEYOND:
        yield from prose(line, columns, "")


def cited() -> dict[str, tuple[str, str]]:
    """Return what every citation is about: name to (kind, words)."""
    import yaml

    from agentreview.policies.load import policies_dir

    data = yaml.safe_load((policies_dir() / "citations.yml").read_bytes())
    items: Mapping[str, Mapping[str, str]] = data["citations"]
    return {name: (item.get("kind", ""), item.get("says", "")) for name, item in items.items()}


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


@group.command("test", context_settings=CONTEXT, short_help="Run the examples of the policies.")
@click.argument("policy_id", metavar="[ID]", required=False)
@click.option(
    "--path",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Policies and framework files below DIR instead of the built-in ones.",
)
@click.option("--verbose", "-v", is_flag=True, help="List every example.")
def test_command(*, policy_id: str | None, folder: Path | None, verbose: bool) -> int:
    """Run the examples of every policy, or of one, through the same code as a review.

    A bad example must be found, a good one must not. Exits 2 when one fails: a policy that misses its own bad example
    is a mistake in the policy.
    """
    from agentreview.policies.load import load
    from agentreview.policies.selftest import run

    catalogue = load(folder)
    if policy_id is not None and find(catalogue, policy_id) is None:
        raise unknown("policy", policy_id, catalogue.ids())
    if not catalogue.policies:
        raise UsageError(f"there are no policies in {folder}", fix="Name the folder that holds the packs")
    outcomes: dict[str, list[Outcome]] = {policy.id: [] for policy in catalogue.policies}
    for outcome in run(folder, policy_id or ""):
        outcomes.setdefault(outcome.example.policy, []).append(outcome)
    chosen = {name: found for name, found in outcomes.items() if policy_id in (None, name)}
    emit("\n".join(_results(chosen, verbose=verbose)) + "\n")
    right = all(map(_sound, chosen.values()))
    return int(ExitCode.PASS if right else ExitCode.USAGE)


def _sound(outcomes: list[Outcome]) -> bool:
    return all(outcome.passed for outcome in outcomes) and any(not outcome.example.good for outcome in outcomes)


def _results(outcomes: Mapping[str, list[Outcome]], *, verbose: bool) -> Iterator[str]:
    from agentreview.reporters.summary import count
    from agentreview.reporters.text import escape

    size = max(map(len, outcomes))
    for name, found in outcomes.items():
        good = sum(outcome.example.good for outcome in found)
        yield f"{'ok  ' if _sound(found) else 'FAIL'}  {escape(name):<{size}}  {len(found) - good} bad, {good} good"
        if len(found) == good:
            yield "        it has no bad example: nothing shows that it finds anything"
        for outcome in found:
            if verbose or not outcome.passed:
                yield from (f"        {escape(line)}" for line in _example(outcome))
    every = [outcome for found in outcomes.values() for outcome in found]
    failed = sum(not outcome.passed for outcome in every)
    policies = f"{len(outcomes)} {'policy' if len(outcomes) == 1 else 'policies'}"
    yield f"{policies}, {count(len(every), 'example')}: {failed} failed"


def _example(outcome: Outcome) -> Iterator[str]:
    example = outcome.example
    kind = "good" if example.good else "bad"
    place = f"{example.policy.replace('.', '/')}.md:{example.line}"
    yield f"{'ok  ' if outcome.passed else 'FAIL'} {place} {kind} {example.framework}: {example.title}"
    if not outcome.passed:
        nothing = "the policy says nothing" if not example.good else ""
        yield from (
            f"     {line}" for line in (*outcome.said, outcome.reason or ("" if outcome.said else nothing)) if line
        )
