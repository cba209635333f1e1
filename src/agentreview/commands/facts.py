"""``agentreview facts``: what is in force about this project, where it comes from, and what rests on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from agentreview.commands.confirm import confirm_command
from agentreview.commands.shared import CONTEXT, emit, reviewed_config, reviewed_tree, worktree_option
from agentreview.console import width
from agentreview.errors import ExitCode

if TYPE_CHECKING:
    from agentreview.commands.factrows import Row, Standing
    from agentreview.config import Config
    from agentreview.detect import Found

SHOWN = 5  # values found, or policies, named for one fact


@click.group(
    "facts",
    context_settings=CONTEXT,
    invoke_without_command=True,
    short_help="What is known about this project, and who confirmed it.",
)
@click.option("--format", "form", type=click.Choice(["terminal", "json"]), default="terminal", show_default=True)
@click.option("--verbose", "-v", is_flag=True, help="Also facts that are open and that nothing here asks for.")
@worktree_option
@click.pass_context
def group(ctx: click.Context, *, form: str, verbose: bool, worktree: str | None) -> int | None:
    """Show the facts of this project: what is in force, where each value comes from, whether a person confirmed it,
    and which policies rest on it.

    Read from the tree the next commit would be reviewed with, as is the configuration. What the code shows and the
    configuration does not say is listed as found: it counts only when somebody writes it down.
    """
    if ctx.invoked_subcommand is not None:
        return None
    return show(form=form, verbose=verbose, worktree=worktree)


group.add_command(confirm_command)


def show(*, form: str, verbose: bool, worktree: str | None) -> int:
    """Print what is known."""
    from agentreview.commands.factrows import fact_lines, rows, standings
    from agentreview.commands.init import detected
    from agentreview.commands.policies import reviewed
    from agentreview.git import open_repository

    repo = open_repository(worktree)
    config = reviewed_config(repo)
    lines = fact_lines(repo, reviewed_tree(repo), config.path) if config.path else {}
    catalogue = reviewed(worktree).catalogue
    table = rows(config, lines, catalogue, detected(repo))
    policies = standings(config, catalogue)
    if form == "json":
        emit(json.dumps(_report(config, table, policies), indent=2) + "\n")
    else:
        emit("\n".join(_lines(config, table, policies, width(sys.stdout), verbose=verbose)) + "\n")
    return int(ExitCode.PASS)


def _report(config: Config, table: Iterable[Row], policies: Iterable[Standing]) -> dict[str, Any]:
    from agentreview.commands.factrows import BUILT_IN
    from agentreview.settings import MEANINGS

    return {
        "schema": "agentreview/facts/1",
        "configuration": config.path,
        "confirmed_by": config.facts.confirmed_by or None,
        "facts": [
            {
                "fact": row.fact,
                "meaning": MEANINGS[row.fact],
                "source": "configuration" if row.value is not None else "built-in" if row.fact in BUILT_IN else None,
                "value": row.value,
                "place": {"path": config.path, "line": row.line} if row.value is not None else None,
                "built_in": BUILT_IN.get(row.fact),
                "confirmed_by": row.confirmed_by or None,
                "found": [
                    {
                        "value": one.value,
                        "count": one.count,
                        "path": one.path,
                        "line": one.line,
                        "doubt": one.doubt or None,  # why init offers it as a comment only
                    }
                    for one in row.found
                ],
                "needed_by": list(row.needed_by),
                "used_by": list(row.used_by),
            }
            for row in table
        ],
        "policies": [
            {
                "policy": one.policy,
                "blocks": one.settled,
                "unset": list(one.unset),
                "unconfirmed": list(one.unconfirmed),
            }
            for one in policies
        ],
    }


def _lines(
    config: Config, table: Sequence[Row], policies: Sequence[Standing], columns: int, *, verbose: bool
) -> Iterator[str]:
    from agentreview.commands.factrows import where
    from agentreview.reporters.text import escape

    whole = config.facts.confirmed_by
    yield f"facts of {escape(where(config))}{f', confirmed by {escape(whole)}' if whole else ''}"
    section: str | None = None
    silent: list[str] = []
    for row in table:
        own = row.fact.rpartition(".")[0]
        if own != section:
            yield from _open(silent)
            section, silent = own, []
            yield f"\n[facts{f'.{own}' if own else ''}]"
        if row.value is not None or row.found or row.needed_by or verbose:
            yield from _row(config, row, columns, verbose=verbose)
        else:
            silent.append(row.fact.rpartition(".")[2])
    yield from _open(silent)
    yield ""
    yield from _standing(policies, columns)


def _open(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"not set, and nothing here asks for it: {', '.join(names)}"


def _row(config: Config, row: Row, columns: int, *, verbose: bool) -> Iterator[str]:
    from agentreview.commands.factrows import BUILT_IN
    from agentreview.reporters.text import escape
    from agentreview.settings import MEANINGS

    name = row.fact.rpartition(".")[2]
    if row.value is not None:
        by = f"confirmed by {row.confirmed_by}" if row.confirmed_by else "not confirmed"
        yield from _wrapped(f"{name} = {json.dumps(row.value, ensure_ascii=False)}", columns, "")
        yield f"    {escape(f'{config.path}:{row.line}' if row.line else str(config.path))}, {escape(by)}"
    else:
        yield f"{name}: {BUILT_IN.get(row.fact) or 'not set'}"
    if verbose:
        yield from _wrapped(MEANINGS[row.fact], columns, "    ")
    if row.found:
        more = f", and {len(row.found) - SHOWN} more" if len(row.found) > SHOWN and not verbose else ""
        shown = ", ".join(map(_found, row.found if verbose else row.found[:SHOWN]))
        yield from _wrapped(f"found, and not in the configuration: {shown}{more}", columns, "    ")
    if row.needed_by:
        yield from _wrapped(f"needed by {_some(row.needed_by, verbose=verbose)}", columns, "    ")
    if row.used_by:
        yield from _wrapped(f"used by {_some(row.used_by, verbose=verbose)}", columns, "    ")


def _found(found: Found) -> str:
    place = f"{found.path}:{found.line}" if found.line else found.path
    return f"{found.value} ({place})"


def _some(names: Sequence[str], *, verbose: bool) -> str:
    shown = names if verbose else names[:SHOWN]
    return ", ".join(shown) + (f", and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def _standing(policies: Sequence[Standing], columns: int) -> Iterator[str]:
    asking = [one for one in policies if not one.settled]
    blocking = [one.policy for one in policies if one.settled]
    if blocking:
        yield from _wrapped(f"their questions block: {', '.join(blocking)}", columns, "")
    if not asking:
        return
    yield "they ask instead of blocking, until what they rest on is set and confirmed:"
    for one in asking:
        waits = [f"not set: {', '.join(one.unset)}"] if one.unset else []
        waits += [f"not confirmed: {', '.join(one.unconfirmed)}"] if one.unconfirmed else []
        yield from _wrapped(f"{one.policy}: {'; '.join(waits) or 'the facts as a whole'}", columns, "  ")
    yield "next: agentreview init proposes what is not set ([] says that there is none of it);"
    yield "  agentreview facts confirm [SECTION|KEY], once a person has checked what is set"


def _wrapped(text: str, columns: int, indent: str) -> Iterator[str]:
    from agentreview.reporters.text import wrap

    for number, line in enumerate(wrap(text, columns - len(indent) - 2, limit=200)):
        yield f"{indent}{'  ' if number else ''}{line}"
