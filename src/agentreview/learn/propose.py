"""Settings drawn from a replay: facts that many questions rest on, and policies that block too much to start with.

Nothing is applied. Each proposal says what led to it, and becomes TOML that a person pastes, or does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from agentreview.config import PYPROJECT_NAME, PYPROJECT_TABLE, Config, Level
from agentreview.detect.render import NUMBERS, safe
from agentreview.facts import CHOICES, Facts
from agentreview.learn.report import Need, PolicyReport, Report
from agentreview.records import dataclass
from agentreview.reporters.summary import count
from agentreview.tomledit import quoted

if TYPE_CHECKING:
    from agentreview.detect import Detection, Found

NOISY = 0.05  # share of the commits that one policy may block before it is proposed to start as advice
ASKED = 0.02  # share of the commits in which a question may come up before the fact that settles it is proposed
LEAST = 3  # commits: below that a share says nothing
_VALUES = 12  # of one fact
_PLACES = 3  # shown for one fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A setting: its table, its key, its value as TOML, and the sentences that led to it.

    ``active`` is false where only a person can know the value: it becomes a comment to fill in.
    """

    table: str
    key: str
    value: str
    evidence: tuple[str, ...]
    active: bool = True


def propose(report: Report, detect: Callable[[], Detection]) -> tuple[Proposal, ...]:
    """Return what the report gives reason to set. ``detect`` reads the repository, and is called only for facts."""
    noisy = [p for p in report.policies if p.level == Level.ON.value and _often(p.blocked, report, NOISY)]
    waiting = [need for need in report.unconfirmed if _often(need.commits, report, ASKED)]
    unset = [need for need in report.unset if _often(need.commits, report, ASKED)]
    found = detect() if unset else None
    return (
        *(_advisory(policy, report) for policy in noisy),
        *(_confirmation(need, report) for need in waiting),
        *(_fact(need, report, found) for need in unset if found is not None),
    )


def _often(commits: int, report: Report, share: float) -> bool:
    return commits >= LEAST and commits > share * report.judged


def _advisory(policy: PolicyReport, report: Report) -> Proposal:
    share = 100 * policy.blocked / report.judged
    said = f"blocks {policy.blocked} of {report.judged} commits ({share:.1f} %): more than a gate should start with"
    seen = [f"{sha[:12]} {sample.path}:{sample.line}" for sha, sample in policy.samples[:_PLACES]]
    return Proposal(
        table="policies",
        key=quoted(policy.id),
        value='"advisory"',
        evidence=(said, f"for example {', '.join(seen)}"),
    )


def _confirmation(need: Need, report: Report) -> Proposal:
    after = f"agentreview facts confirm {need.fact}".rstrip() + ", once a person has checked it: then they block, or are gone"  # fmt: skip
    where = ("facts.confirmed", quoted(need.fact)) if need.fact else ("facts", "confirmed_by")
    return Proposal(
        table=where[0], key=where[1], value='"you@example.com"', evidence=(_resting(need, report), after), active=False
    )


def _resting(need: Need, report: Report) -> str:
    rest = "rests" if need.questions == 1 else "rest"
    on = f"facts.{need.fact}" if need.fact else "the project's facts as a whole"
    asked = f"{count(need.questions, 'question')} in {need.commits} of {report.judged} commits {rest} on {on}"
    return f"{asked}, of {', '.join(need.policies)}"


def _fact(need: Need, report: Report, detection: Detection) -> Proposal:
    table, _, key = need.fact.rpartition(".")
    said = _resting(need, report)
    found = [one for one in detection.get(need.fact) if one.value.strip() and one.value.isprintable() and not one.doubt]
    name = f"facts.{table}" if table else "facts"
    if not found:
        none = "; [] says that there is none" if _is_list(need.fact) else ""
        hint = f"nothing was detected here that shows it: fill it in{none}"
        return Proposal(table=name, key=key, value=_example(need.fact), evidence=(said, hint), active=False)
    value, used = _value(need.fact, found)
    places = [f"{one.path}:{one.line} {one.text}".strip() for one in used[:_PLACES]]
    return Proposal(table=name, key=key, value=value, evidence=(said, *places))


def _value(fact: str, found: Sequence[Found]) -> tuple[str, Sequence[Found]]:
    """Write detected values as TOML, with those that were used."""
    if fact == "audit.automatic":
        tables = []
        for how in CHOICES["audit.automatic.how"]:
            models = [quoted(one.value.partition(":")[2]) for one in found if one.value.startswith(f"{how}:")]
            if models:
                tables.append(f"{{ models = [{', '.join(models[:_VALUES])}], how = {quoted(how)} }}")
        return f"[{', '.join(tables)}]", found
    if not _is_list(fact):
        return found[0].value if fact in NUMBERS else quoted(found[0].value), found[:1]
    return f"[{', '.join(quoted(one.value) for one in found[:_VALUES])}]", found[:_VALUES]


def _example(fact: str) -> str:
    if fact in CHOICES:
        return " | ".join(quoted(choice) for choice in CHOICES[fact])
    return '["…"]' if _is_list(fact) else '"…"'


def _is_list(fact: str) -> bool:
    return isinstance(Facts().get(fact), tuple)


def snippet(proposals: Sequence[Proposal], config: Config) -> str:
    """Write the proposals as TOML, each below what led to it. Empty when there are none.

    Everything from the repository is cut, escaped, and either a comment or a quoted string.
    """
    if not proposals:
        return ""
    file = config.path or "agentreview.toml"
    prefix = "".join(f"{part}." for part in PYPROJECT_TABLE) if file == PYPROJECT_NAME else ""
    lines = [f"# For {file}. Where a table is there already, add the keys to it."]
    for table in dict.fromkeys(proposal.table for proposal in proposals):
        lines += ["", f"[{prefix}{table}]"]
        for proposal in (p for p in proposals if p.table == table):
            lines += [f"# {safe(sentence, 300)}" for sentence in proposal.evidence]
            lines.append(f"{'' if proposal.active else '# '}{proposal.key} = {proposal.value}")
    return "\n".join(lines) + "\n"
