"""``waive FINGERPRINT``: accept one finding of the last review, with a reason, a name and an end."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentreview.commands.explain import named_finding
from agentreview.commands.shared import CONTEXT, emit, reviewed_config, worktree_option
from agentreview.errors import ExitCode, UsageError
from agentreview.waiverfile import WAIVERS_NAME, Record, edited, written

if TYPE_CHECKING:
    from agentreview.git import Repository
    from agentreview.model import Finding

DEFAULT_DAYS = 90
LONGEST_REASON = 500  # characters


@click.command("waive", context_settings=CONTEXT, short_help="Accept a finding, with a reason and an end.")
@click.argument("name", metavar="FINGERPRINT")
@click.option("--reason", required=True, metavar="TEXT", help="Why it is acceptable: something a reader can check.")
@click.option(
    "--expires",
    metavar="DATE|DAYS",
    default="",
    help="The last day on which it counts, 2027-02-21 or 30d. Default: 90d, at most [waivers] max_days.",
)
@worktree_option
def command(*, name: str, reason: str, expires: str, worktree: str | None) -> int:
    """Accept a finding of this worktree's last review in .agentreview/waivers.toml.

    FINGERPRINT is the name a report prints (b2:94dcf40b) or the beginning of it. Your git identity is written down
    as the person. A finding that has a waiver already gets the new reason and end.

    A waiver that a change brings with it is a finding of its own (conduct.waiver-added): it is shown here, and in CI it
    counts once it is on the base branch, or when an approver of [waivers] signed the commit that adds it.
    """
    from agentreview.git import identity, open_repository
    from agentreview.review import utc_date

    repo = open_repository(worktree)
    finding = _waivable(named_finding(repo, name, [])[1])
    today = utc_date()
    record = Record(
        fingerprint=finding.fingerprint, rule=finding.rule, path=written(finding.path), unit=written(finding.unit),
        reason=_reason(reason), person=identity(repo), created=today,
        expires=expiry(expires, today, reviewed_config(repo).waivers.max_days),
    )  # fmt: skip
    known = _write(repo, record)
    emit(_said(finding, record, renewed=known))
    return int(ExitCode.PASS)


def _waivable(finding: Finding) -> Finding:
    from agentreview.model import Status
    from agentreview.waivers import RULE

    if finding.rule == RULE:
        raise UsageError(
            f"{RULE} cannot be waived", fix="An approver signs the commit that adds the waiver, or it goes in before"
        )
    if finding.status is Status.WAIVED and finding.waiver is not None and finding.waiver.source == "comment":
        raise UsageError(
            f"a comment in {finding.waiver.path}:{finding.waiver.line} waives it already",
            fix="Remove the comment first if it should have an end and a name",
        )
    return finding


def _reason(text: str) -> str:
    from agentreview.policies.secrets import mask
    from agentreview.waiverfile import SHORTEST_REASON

    reason = " ".join(text.split())
    if len(reason) < SHORTEST_REASON or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise UsageError(
            f"--reason must be one line of {SHORTEST_REASON} to {LONGEST_REASON} printable characters",
            fix="Say what a reader can check: a runbook, a ticket, the control that makes it safe",
        )
    if mask(reason) != reason:
        raise UsageError("--reason holds a credential, and would be committed", fix="Leave it out")
    return reason


def expiry(text: str, today: str, max_days: int) -> str:
    """Read ``--expires``: an ISO date, or a number of days such as ``30d``. Raises UsageError."""
    from datetime import date, timedelta

    start = date.fromisoformat(today)
    days = re.fullmatch(r"([0-9]{1,5})d", text or f"{min(DEFAULT_DAYS, max_days)}d")
    try:
        end = start + timedelta(days=int(days[1])) if days else date.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--expires {text!r} is no date", fix="Write it as 2027-02-21, or as a number of days: 30d"
        ) from None
    if end <= start:
        raise UsageError(f"--expires {end.isoformat()} is not after today", fix="Name a later day")
    if (end - start).days > max_days:
        raise UsageError(
            f"--expires {end.isoformat()} is {(end - start).days} days away, at most {max_days} are allowed",
            fix=f"Use --expires {max_days}d, or let a person who owns the gate change [waivers] max_days",
        )
    return end.isoformat()


def _write(repo: Repository, record: Record) -> bool:
    """Add the record to the file in the work tree, in one step; returns whether there was one for this finding."""
    from agentreview.waiverfile import parse

    target = Path(repo.root) / WAIVERS_NAME
    if target.parent.is_symlink() or target.is_symlink():
        raise UsageError(
            f"{target} leads somewhere else through a symbolic link", fix="Replace the link by a directory and a file"
        )
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        text = target.read_text(encoding="utf-8") if target.exists() else ""
        result = edited(text, record)
        known = any(one.fingerprint == record.fingerprint for one in parse(text.encode()).records)
        target.parent.mkdir(exist_ok=True)
        temporary.unlink(missing_ok=True)
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(result)
        temporary.replace(target)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"{target} cannot be read and written: {reason}", fix="Make it a writable text file in UTF-8"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return known


def _said(finding: Finding, record: Record, *, renewed: bool) -> str:
    from agentreview.reporters.text import escape

    verb = "renewed the waiver of" if renewed else "waived"
    unit = f" ({finding.unit})" if finding.unit else ""
    return "\n".join(
        [
            escape(f"{verb} {finding.rule} in {finding.path}{unit} until {record.expires}, as {record.person}"),
            f"next: git add {WAIVERS_NAME}; a review uses the staged file",
            "the change that adds it reports it (conduct.waiver-added): a person settles that, by a signed commit or on the base branch",
            "",
        ]
    )
