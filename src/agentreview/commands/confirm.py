"""``agentreview facts confirm``: a person's name under facts, written into the configuration without touching the rest."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentreview.commands.configfile import by_hand, configuration, encoded, replace_file, table_of
from agentreview.commands.shared import CONTEXT, emit, unknown, worktree_option
from agentreview.console import width
from agentreview.errors import ConfigError, ExitCode, UsageError
from agentreview.records import replace

if TYPE_CHECKING:
    from agentreview.commands.factrows import Standing
    from agentreview.config import Config
    from agentreview.facts import Facts
    from agentreview.git import Repository
    from agentreview.policies.load import Catalogue

PEOPLE = 256  # characters of a name, as the configuration allows


@click.command("confirm", context_settings=CONTEXT, short_help="Put a person's name under facts that were checked.")
@click.argument("names", metavar="[SECTION|KEY]...", nargs=-1)
@click.option(
    "--by", "person", metavar="NAME", help="Who checked them. Without it: the e-mail address git commits with."
)
@worktree_option
def confirm_command(*, names: tuple[str, ...], person: str | None, worktree: str | None) -> int:
    """Confirm all facts of the configuration, or only sections (tenant) and single facts (phi.models).

    Confirming says: a person checked these values, and what is not listed does not count. From then on findings that
    rest on them block. The name is written into the configuration file in the work tree; staging it is yours.
    """
    from agentreview.commands.policies import reviewed
    from agentreview.config import parse_config
    from agentreview.git import open_repository

    repo = open_repository(worktree)
    there = configuration(repo)
    if there is None:
        raise UsageError(
            "there is no configuration to confirm", fix="agentreview init writes one with what it finds here"
        )
    path, data = there
    catalogue = reviewed(worktree).catalogue
    table = table_of(path)[:-1]
    before = parse_config(data, path=path, known_policies=catalogue.ids(), table=table)
    wanted = tuple(dict.fromkeys(known(name) for name in names))
    facts = confirmable(before.facts, wanted, path)
    by = identity(repo) if person is None else _named(person)
    text = confirmed(data, path, wanted, by)
    after = parse_config(text, path=path, known_policies=catalogue.ids(), table=table)
    if text != data:
        replace_file(Path(repo.root, path), text)
    emit("\n".join(_said(repo, catalogue, before, after, facts, by, changed=text != data)) + "\n")
    return int(ExitCode.PASS)


def known(name: str) -> str:
    """Return the section or fact a user names (``facts.`` in front is fine). Raises UsageError with the nearest."""
    from agentreview.facts import KEYS, SECTIONS

    short = name.removeprefix("facts.")
    if short not in SECTIONS and short not in KEYS:
        raise unknown("section or fact", name, (*SECTIONS, *KEYS))
    return short


def confirmable(facts: Facts, wanted: Sequence[str], path: str) -> tuple[str, ...]:
    """Return the facts that are set among those wanted (none wanted: all). Raises UsageError for what nobody can confirm."""
    from agentreview.facts import KEYS

    for name in wanted or ("",):
        inside = [fact for fact in KEYS if not name or fact == name or fact.startswith(f"{name}.")]
        if not any(map(facts.is_set, inside)):
            what = f"facts.{name} is not set in {path}" if name else f"{path} sets no facts"
            raise UsageError(
                what, fix="Write it first: agentreview facts shows what was found, agentreview init proposes"
            )
    return tuple(
        fact
        for fact in KEYS
        if facts.is_set(fact) and (not wanted or fact in wanted or fact.partition(".")[0] in wanted)
    )


def identity(repo: Repository) -> str:
    """Return the e-mail address of git's author here. Raises UsageError when git knows none."""
    from agentreview.git import attempt, text

    # useConfigOnly: a name made up from the login and the host is nobody's confirmation
    status, out, _ = attempt(repo, "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT")
    mail = text(out).partition("<")[2].partition(">")[0].strip()
    if status or not mail:
        raise UsageError(
            "git knows no e-mail address to confirm with",
            fix="Set user.email (git config user.email YOU), or give --by NAME",
        )
    return _named(mail)


def _named(person: str) -> str:
    name = person.strip()
    if not name or len(name) > PEOPLE or not name.isprintable():
        raise UsageError(f"{person!r} names nobody", fix="Give --by a name or an e-mail address on one line")
    return name


def confirmed(data: bytes, path: str, wanted: Sequence[str], by: str) -> bytes:
    """Return the file with the name in it, every other byte kept. Raises ConfigError where that takes a person."""
    from agentreview.config import document, file_layout
    from agentreview.tomledit import put, quoted

    table = table_of(path)
    keys = [(*table, "confirmed", name) for name in wanted] or [(*table, "confirmed_by")]
    goal = document(data, path)
    current = data
    for key in keys:
        text, layout = file_layout(current, path)
        edited = put(text, layout, key, quoted(by))
        line = f"{'.'.join(key[:-1])}.{quoted(key[-1]) if '.' in key[-1] else key[-1]} = {quoted(by)}"
        if edited is None:
            raise by_hand(path, line)
        current = encoded(edited, data, path, line)
        try:
            if document(current, path) != _with(goal, key, by):
                raise by_hand(path, line)
        except ConfigError as error:
            raise by_hand(path, line) from error
    return current


def _with(document: dict[str, Any], key: Sequence[str], value: str) -> dict[str, Any]:
    """Put the value into the plain document, tables included."""
    inner = document
    for part in key[:-1]:
        inner = inner.setdefault(part, {})
    inner[key[-1]] = value
    return document


# -- what is printed


def _said(
    repo: Repository,
    catalogue: Catalogue,
    before: Config,
    after: Config,
    facts: Sequence[str],
    by: str,
    *,
    changed: bool,
) -> Iterator[str]:
    from agentreview.commands.factrows import plain, standings
    from agentreview.reporters.text import clip, escape

    columns = width(sys.stdout)
    path = escape(str(after.path))
    done = f"confirmed by {escape(by)} in {path}:" if changed else f"{path} says so already, nothing was written:"
    yield done
    for fact in facts:
        value = json.dumps(plain(after.facts.get(fact)), ensure_ascii=False)
        yield "  " + clip(escape(f"{fact} = {value}"), columns - 2)
    settled = {one.policy for one in standings(before, catalogue) if one.settled}
    now = standings(after, catalogue)
    new = [one.policy for one in now if one.settled and one.policy not in settled]
    if new:
        yield "questions of these policies block from now on, instead of asking:"
        yield from (f"  {policy}" for policy in new)
        yield from _last_review(repo, after, new)
    yield from _waiting(now, facts, catalogue)
    if changed:
        place = f" -C {escape(repo.root)}" if repo.foreign else ""
        yield f"next: git{place} add {path}, for a review uses the staged file"


def _last_review(repo: Repository, config: Config, policies: Sequence[str]) -> Iterator[str]:
    """The suspects of this worktree's last review that would have blocked."""
    from agentreview.model import Confidence, Hit, Status
    from agentreview.reporters.summary import handles
    from agentreview.reporters.text import escape
    from agentreview.review import last_verdict
    from agentreview.triage import settle

    verdict = last_verdict(repo)
    if verdict is None:
        return
    asked = [f for f in verdict.findings if f.hit is Hit.SUSPECT and f.status is Status.ADVISORY and f.rule in policies]
    blocking = [f for f in asked if settle(replace(f, confidence=Confidence.HIGH), config).status is Status.BLOCKING]
    if blocking:
        yield f"of the last review here, {'this' if len(blocking) == 1 else 'these'} would have blocked:"
    handle = handles(verdict)
    for f in blocking:
        yield f"  {f.severity.value} {escape(f'{f.rule}  {f.path}:{f.start_line}')}  [{escape(handle[f.fingerprint])}]"


def _waiting(standings: Sequence[Standing], facts: Sequence[str], catalogue: Catalogue) -> Iterator[str]:
    """Policies that rest on what was confirmed, and on more."""
    needs = {policy.id: set(policy.needs) for policy in catalogue.policies}
    waiting = []
    for one in standings:
        if one.settled or not set(facts) & needs[one.policy]:
            continue
        waits = [f"{fact} is not set" for fact in one.unset] + [f"{fact} is not confirmed" for fact in one.unconfirmed]
        waiting.append(f"  {one.policy}: {', '.join(waits)}")
    if waiting:
        yield "these go on asking (for a list, [] says that there is none):"
        yield from waiting
