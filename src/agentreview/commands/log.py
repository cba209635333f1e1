"""``agentreview log``: who committed what under which verdict."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from agentreview.commands.shared import CONTEXT, checked_day, emit, left_out, worktree_option
from agentreview.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from agentreview.auditlog import Logged
    from agentreview.ledger import Stored

SCHEMA = "agentreview/log/1"
COLUMNS = (
    "commit", "at", "author", "subject", "standing", "reviewed_at", "reviewed_by", "branch", "advisory", "waived", "bypass",
    "agents", "not_reviewed", "receipt", "signed",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run what a commit message says


@click.command(
    "log",
    context_settings=CONTEXT,
    short_help="Who committed what under which verdict.",
    epilog="""\b
Examples:
  agentreview log                                    the commits of this branch
  agentreview log --since 2026-10-01 --until 2026-12-31 --csv >quarter.csv
  agentreview log origin/main..HEAD --json
  agentreview log --unreviewed                       what nobody looked at

Dates are UTC, and are those that commits state. Receipts of others come with: agentreview receipts fetch""",
)
@click.argument("span", metavar="[REVISION|BASE..HEAD]", default="HEAD")
@click.option("--since", metavar="DATE", default="", help="From this day on, as 2026-10-01.")
@click.option("--until", metavar="DATE", default="", help="Up to and with this day.")
@click.option("--unreviewed", is_flag=True, help="Only commits that no review stands behind: bypassed, or no receipt.")
@click.option("--csv", "as_csv", is_flag=True, help="For a spreadsheet.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@worktree_option
def command(
    *, span: str, since: str, until: str, unreviewed: bool, as_csv: bool, as_json: bool, worktree: str | None
) -> int:
    """List commits with what the receipts say of each: reviewed or not, by whom, with which waivers, or why it went without.

    Nothing is reviewed. Whether signatures are good is what `agentreview receipts verify` says, and a page for an auditor
    (`agentreview report --period`).
    """
    from agentreview.auditlog import counted, logged
    from agentreview.git import open_repository

    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other", fix="Ask for one of them")
    checked_day(since)
    checked_day(until)
    if since and until and until < since:
        raise UsageError(f"{since} to {until} ends before it begins", fix="Change places")
    repo = open_repository(worktree)
    refused: list[Stored] = []
    found = logged(repo, _span(repo, span), refused=refused.append)
    # By the date that is shown, not by git's --since, which stops at the first older commit it meets.
    found = tuple(one for one in found if (not since or one.at[:10] >= since) and (not until or one.at[:10] <= until))
    if unreviewed:
        found = tuple(one for one in found if one.standing in ("bypassed", "no receipt"))
    if as_json:
        rows = [_row(one) for one in found]
        odd = [{"receipt": one.id, "why": one.wrong} for one in refused]
        emit(json.dumps({"schema": SCHEMA, "commits": rows, "refused": odd}, indent=2) + "\n")
    elif as_csv:
        emit(_table(found))
    else:
        emit("".join(f"{line}\n" for one in found for line in _lines(one)) + f"{counted(found)}\n")
    left_out(len(refused))
    return int(ExitCode.PASS)


def _span(repo: Any, text: str) -> tuple[str, ...]:
    """Arguments for rev-list; what looks like an option is none, because every name is resolved first."""
    from agentreview.snapshot import resolve

    base, dots, head = text.partition("..")
    if not dots:
        return (resolve(repo, text, "commit"),)
    return (resolve(repo, head.lstrip(".") or "HEAD", "commit"), "^" + resolve(repo, base or "HEAD", "commit"))


def _row(one: Logged) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(one, name) for name in COLUMNS}
    row["agents"] = list(one.agents)
    row["waived"] = [dict(zip(("rule", "path", "reason", "person"), waiver, strict=True)) for waiver in one.waived]
    return row


def _table(found: Sequence[Logged]) -> str:
    from agentreview.reporters.text import escape

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for one in found:
        cells = _row(one) | {
            "agents": " ".join(one.agents),
            "waived": "; ".join(f"{rule} {path}: {reason} ({person})" for rule, path, reason, person in one.waived),
            "signed": "yes" if one.signed else "no",
        }
        texts = (escape(str(cells[name])) for name in COLUMNS)
        writer.writerow([f"'{text}" if text.startswith(_FORMULA) else text for text in texts])
    return out.getvalue()


def _lines(one: Logged) -> list[str]:
    from agentreview.reporters.text import defuse, escape

    mark = {"bypassed": "BYPASSED", "no receipt": "NO RECEIPT"}.get(one.standing, one.standing)
    lines = [f"{one.commit[:12]}  {one.at}  {mark:<15}  {escape(one.author)}  {escape(one.subject)}"]
    if one.bypass:
        lines.append(f"    let through by {escape(one.reviewed_by)}: {escape(one.bypass)}")
    lines += [
        f"    waived {escape(rule)} in {escape(path)}: {escape(reason)}{f' ({escape(person)})' if person else ''}"
        for rule, path, reason, person in one.waived
    ]
    return [defuse(line) for line in lines]
