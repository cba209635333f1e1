"""``explain FINDING|POLICY``: one finding of the last review in full, or a policy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from agentreview.commands.policies import find, of_reviewer, of_reviewers, plain, reviewed, section, show
from agentreview.commands.shared import CONTEXT, emit, unknown, worktree_option
from agentreview.console import width
from agentreview.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from agentreview.config import Config
    from agentreview.git import Repository
    from agentreview.model import Finding, Verdict
    from agentreview.policies.load import Policy

TAG = "b2:"
LISTED = 6
WAIVER_ADDED = "conduct.waiver-added"


@click.command("explain", context_settings=CONTEXT, short_help="A finding of the last review in full, or a policy.")
@click.argument("name", metavar="FINDING|POLICY")
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "agent"]),
    default="terminal",
    show_default=True,
    help="For people, or for a coding agent: without the ways to accept a finding, which are for people.",
)
@worktree_option
def command(*, name: str, form: str, worktree: str | None) -> int:
    """Explain a finding of this worktree's last review, or a policy.

    FINDING is the name a report prints (b2:94dcf40b) or the beginning of it, with or without b2:. POLICY is an id such
    as hipaa.audit-phi-read.
    """
    from agentreview.git import open_repository

    here = reviewed(worktree)
    catalogue = here.catalogue
    policy = find(catalogue, name) or of_reviewer(name)
    if policy is not None:
        return show(policy, here)
    try:
        repo = open_repository(worktree)
    except UsageError as error:
        if name.startswith(TAG):
            raise
        raise unknown("policy", name, catalogue.ids(), more=f" (no findings here: {error.message})") from error
    verdict, finding = named_finding(repo, name, sorted({*catalogue.ids(), *(one.id for one in of_reviewers())}))
    policy = find(catalogue, finding.rule)
    lines = _explained(finding, verdict, policy, here.config, width(sys.stdout), accepting=form == "terminal")
    emit("\n".join(lines) + "\n")
    return int(ExitCode.PASS)


def named_finding(repo: Repository, name: str, policies: list[str]) -> tuple[Verdict, Finding]:
    """Return the finding of the last review that ``name`` names. Raises UsageError when there is not exactly one.

    ``policies`` are names that would have done as well.
    """
    from agentreview.reporters.summary import handles
    from agentreview.review import last_verdict

    verdict = last_verdict(repo)
    if verdict is None and not policies:
        raise UsageError("this worktree has no finished review, so no findings", fix="Run agentreview first")
    if verdict is None:
        raise unknown("policy", name, policies, more=". This worktree has no finished review: run agentreview first")
    wanted = TAG + name.removeprefix(TAG).lower()
    found = [finding for finding in verdict.findings if wanted != TAG and finding.fingerprint.startswith(wanted)]
    handle = handles(verdict)
    if len(found) == 1:
        return verdict, found[0]
    if found:
        listed = "; ".join(f"{handle[f.fingerprint]} {f.rule} {f.path}:{f.start_line}" for f in found[:LISTED])
        more = f"; and {len(found) - LISTED} more" if len(found) > LISTED else ""
        raise UsageError(f"{name} names {len(found)} findings: {listed}{more}", fix="Give more characters")
    known = ", ".join([*handle.values()][:LISTED]) + (", …" if len(handle) > LISTED else "")
    last = (
        f"The last review here found {known}: agentreview -v lists them"
        if known
        else "The last review here found nothing"
    )
    if policies and not name.startswith(TAG):
        raise unknown("finding or policy", name, policies, more=f" {last}")
    # The one whose name looks nearest is another finding, and no typing error.
    raise UsageError(f"unknown finding {name!r}", fix=f"It may be gone by now. {last}")


def _explained(
    finding: Finding, verdict: Verdict, policy: Policy | None, config: Config | None, columns: int, *, accepting: bool
) -> Iterator[str]:
    """Lay a finding out: everything that is known about it; with ``accepting``, also how a person accepts it."""
    from agentreview.reporters.summary import bucket, citations, waived_by
    from agentreview.reporters.text import code, escape

    yield escape(f"{finding.rule}: {finding.title}")
    gone = " (as it was before this change)" if finding.side == "before" else ""
    yield escape(f"{finding.path}:{finding.start_line}{f' in {finding.unit}' if finding.unit else ''}") + gone
    yield ""
    frame = finding.frame or tuple(enumerate(finding.excerpt.splitlines(), finding.start_line))
    digits = len(str(max((number for number, _ in frame), default=0)))
    for number, text in frame:
        mark = ("-" if finding.side == "before" else ">") if finding.start_line <= number <= finding.end_line else " "
        yield f"  {mark} {number:>{digits}} | {code(text, columns - digits - 7)}".rstrip()
    yield ""
    yield from plain(finding.message, columns)
    yield ""
    yield f"finding     {escape(finding.fingerprint)}"
    yield f"status      {bucket(finding)}: {_because(finding, config)}"
    yield f"severity    {finding.severity.value}, confidence {finding.confidence.value}"
    yield f"reviewed    {escape(verdict.source)}, tree {escape(verdict.tree[:12])}"
    if finding.waiver is not None:
        reason = escape(finding.waiver.reason) or "no reason given"
        yield f"waived      {escape(finding.waiver.path)}:{finding.waiver.line}: {reason}{escape(waived_by(finding.waiver))}"
    if finding.evidence:
        yield ""
        yield "Evidence"
        for item in finding.evidence:
            quote = f" `{code(item.quote.strip(), columns // 2)}`" if item.quote else ""
            yield f"  {escape(f'{item.path}:{item.line}')} {escape(item.shows)}{quote}"
    yield ""
    yield "How to fix it"
    yield from plain(finding.fix, columns, "  ")
    yield ""
    yield "What would settle it"
    for sentence in _settling(finding, policy, config, accepting=accepting):
        yield from plain(sentence, columns, "  ")
    if policy is not None:
        yield from section("Why", policy.rule.help, columns)
        yield from section("What to do", policy.rule.help, columns)
        yield from section("Stays silent when", policy.rule.help, columns)
        yield from section("Reviewer", policy.rule.help, columns, heading="What a reviewer looks at")
    else:
        yield from plain(f"\n{finding.why}", columns)
    cited = citations(finding)
    yield ""
    yield from plain(f"{cited + '. ' if cited else ''}More: agentreview policies show {finding.rule}", columns)


def _because(finding: Finding, config: Config | None) -> str:
    """Say in a few words why the finding has its status."""
    from agentreview.config import Level
    from agentreview.model import Confidence, Origin, Status

    if finding.status is Status.WAIVED:
        return "somebody accepted it, with a reason"
    if finding.status is Status.BLOCKING:
        return "this change makes it, and it is certain enough to refuse the commit"
    if finding.rule == WAIVER_ADDED:
        return "a person settles it; [waivers] on_new decides whether it blocks here"
    if finding.origin is Origin.EXISTING:
        return "it was there before this change, so it does not block"
    if config is not None and config.level(finding.rule) is Level.ADVISORY:
        return f"{config.path} sets {finding.rule} to advisory"
    if finding.confidence is not Confidence.HIGH:
        return "it is a question that needs a fact or a reader, so it does not block"
    return "it is below the severity that blocks"


def _settling(finding: Finding, policy: Policy | None, config: Config | None, *, accepting: bool) -> Iterator[str]:
    """List what makes the finding go away, or makes it certain."""
    from agentreview.model import Hit, Status
    from agentreview.reporters.summary import waiving_comment

    if finding.status is Status.WAIVED:
        where = finding.waiver.path if finding.waiver and finding.waiver.source == "file" else "the comment"
        yield f"- Nothing: it is waived. Remove it from {where} to have it back."
        return
    if finding.rule == WAIVER_ADDED:
        yield "- Fix what is waived, and remove the waiver."
        yield "- Or a person decides: an approver of [waivers] signs the commit that adds it, or it is on the base branch before."
        return
    yield "- Fix it as above, stage the fix, and review again."
    if not accepting:
        yield "- If it is wrong, say so to the person you work for: facts and waivers are theirs to settle."
        return
    if finding.hit is Hit.SUSPECT and finding.needs:
        needs = ", ".join(f"facts.{need}" for need in finding.needs)
        yield f"- Say what is true of this project in agentreview.toml: {needs}. `agentreview init` proposes values."
    if finding.hit is Hit.SUSPECT and policy is not None and not (config and config.facts.settle(policy.needs)):
        command = " ".join(("agentreview facts confirm", *policy.needs))
        yield f"- A person who checked the facts it rests on confirms them (`{command}`): then it blocks, or is gone."
    words = waiving_comment(finding)
    if words is not None:
        place = f"on line {finding.start_line} or the line above"
        yield f"- Accept it, for a reason a reader can check, {place}:\n    {words}"
    yield f"- Accept it until a day, in your name:\n    agentreview waive {finding.fingerprint[:11]} --reason …"
