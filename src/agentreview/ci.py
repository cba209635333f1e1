"""What CI enforces: the whole change of a branch, judged by the rules of what it goes into.

A branch cannot loosen its own gate here: configuration, approvers and allowed signers come from the tip of the base, the
change begins at the merge base, and waivers that the change adds count only with an approver's signature. Shards divide
the policies, not the files: a control that moved to another file is seen only by whoever sees both. Model reviewers are
asked by one shard, that of the pack conduct, which shows them what all policies find.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from agentreview.ciranges import READ_EVENT, from_environment
from agentreview.errors import UsageError
from agentreview.model import (
    NOT_CONFIGURED,
    NOT_CONFIRMED,
    AgentRun,
    Confidence,
    Finding,
    Outcome,
    Status,
    Verdict,
    how_many_older,
    older,
    settled_by,
)
from agentreview.records import dataclass, replace

if TYPE_CHECKING:
    from agentreview.git import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is judged: commit ids. ``policy`` is the tip of the base, ``base`` the merge base of it and ``head``."""

    provider: str
    about: str
    policy: str
    base: str
    head: str

    @property
    def source(self) -> str:
        """The range, for people."""
        return f"range {self.base[:12]}..{self.head[:12]}"


def subject(
    repo: Repository,
    env: Mapping[str, str],
    read_event: READ_EVENT,
    *,
    base: str | None = None,
    head: str | None = None,
) -> Subject:
    """Find what is to be judged: as named, else as the CI's environment says. Raises UsageError where neither says enough."""
    from agentreview.snapshot import merge_base, resolve, resolved

    found = None if base is not None else from_environment(env, read_event)
    if base is None and found is None:
        raise UsageError(
            "no CI system is known here, so the base of the change is not",
            fix="Give it: agentreview ci --base origin/main",
        )
    tip = resolve(repo, head if head is not None else found.head if found else "HEAD", "commit")
    if base is not None:
        policy = resolve(repo, base, "commit")
    else:
        bases = found.bases if found else ()
        policy = next((oid for oid in (resolved(repo, one, "commit") for one in bases) if oid), "")
        if not policy:
            raise UsageError(
                f"the base of this change ({' or '.join(bases)}) is not in this clone",
                fix="Check out with the whole history (in GitHub Actions fetch-depth: 0), or give --base",
            )
    return Subject(
        provider=found.provider if found else "", about=found.about if found else f"change against {base}",
        policy=policy, base=merge_base(repo, policy, tip), head=tip,
    )  # fmt: skip


def shard(text: str, packs: Sequence[str]) -> tuple[str, ...]:
    """Return the packs that shard ``I/N`` asks. Raises UsageError for what is no shard."""
    number, _, total = text.partition("/")
    if not (number.isascii() and number.isdigit() and total.isascii() and total.isdigit() and len(text) < 12):
        raise UsageError(f"--shard {text!r} is not of the form I/N", fix="Write --shard 1/4 in the first of four jobs")
    which, many = int(number), int(total)
    if not 1 <= which <= many:
        raise UsageError(
            f"--shard {text}: there is no shard {which} of {many}", fix="Count from 1: --shard 1/4 to --shard 4/4"
        )
    return tuple(sorted(packs))[which - 1 :: many]


def merge(verdicts: Sequence[Verdict]) -> Verdict:
    """Put the reports of all shards of one review together. Raises UsageError for reports that are not of one review.

    An agent that no shard asked makes the whole incomplete: a shard whose job was skipped must not look clean.
    """
    from agentreview.triage import decide, order

    if not verdicts:
        raise UsageError("there are no reports to merge", fix="Name the json reports of all shards")
    first = verdicts[0]
    for other in verdicts[1:]:
        for name in ("base", "tree", "version", "configuration"):
            if getattr(other, name) != getattr(first, name):
                raise UsageError(
                    f"the reports are not of one review: their {name} differs ({getattr(first, name)} and {getattr(other, name)})",
                    fix="Merge the reports that one pipeline run made",
                )
    findings: dict[str, Finding] = {}
    for finding in (f for verdict in verdicts for f in verdict.findings):
        if finding.fingerprint not in findings or settled_by(finding)[0]:  # the shard that asked reviewers knows more
            findings[finding.fingerprint] = finding
    runs = tuple(_runs(verdicts))
    ordered = order(findings.values())
    rules = {rule.id: rule for verdict in verdicts for rule in verdict.rules}
    return replace(
        first,
        decision=decide(ordered, runs),
        findings=ordered,
        runs=runs,
        skipped=tuple(dict.fromkeys(skip for verdict in verdicts for skip in verdict.skipped)),
        rules=tuple(rules[name] for name in sorted(rules)),
        notes=tuple(_notes(verdicts, ordered)),
        coverage=next((verdict.coverage for verdict in verdicts if verdict.coverage), None),
        files=max(verdict.files for verdict in verdicts),
        seconds=round(sum(verdict.seconds for verdict in verdicts), 3),
    )


def _runs(verdicts: Iterable[Verdict]) -> Iterable[AgentRun]:
    """One run for each agent: what it did where it was asked; asked nowhere, it did not finish."""
    from agentreview.compute import ELSEWHERE

    best: dict[str, AgentRun] = {}
    for run in (run for verdict in verdicts for run in verdict.runs):
        known = best.get(run.agent)
        if known is None or known.reason == ELSEWHERE or run.outcome is Outcome.FAILED:
            best[run.agent] = run
    for agent in sorted(best):
        run = best[agent]
        if run.reason == ELSEWHERE and run.outcome is Outcome.SKIPPED:
            run = replace(run, outcome=Outcome.FAILED, required=True, reason="no shard's report has its answer")
        yield run


def _notes(verdicts: Sequence[Verdict], findings: Sequence[Finding]) -> Iterable[str]:
    """What any shard says. A waiver that one shard found no use for was another's: said only where all of them say it."""
    said = [frozenset(verdict.notes) for verdict in verdicts]
    asking = {f.rule for f in findings if f.status is Status.ADVISORY and f.confidence is Confidence.MEDIUM}
    notes = [note for verdict in verdicts for note in verdict.notes]
    for whole in dict.fromkeys(note for note in notes if not how_many_older(note)):
        note = _still(whole, asking) if whole.startswith((NOT_CONFIGURED, NOT_CONFIRMED)) else whole
        if note and ("waiver" not in note or all(note in one for one in said)):
            yield note
    before = sum(map(how_many_older, notes))  # each shard counts those of its own packs
    if before:
        yield older(before)


def _still(note: str, asking: Collection[str]) -> str:
    """A note about missing facts, without the policies whose questions a reviewer has settled in another shard."""
    head, _, rest = note.partition(" (")
    named, verb, tail = rest.partition(" asks " if " asks " in rest else " ask ")
    left = [rule for rule in named.split(", ") if rule in asking]
    return f"{head} ({', '.join(left)}{' asks ' if len(left) == 1 else ' ask '}{tail}" if left and verb else ""
