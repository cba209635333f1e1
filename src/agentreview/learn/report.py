"""Records of many commits added up: what each policy would have done to this history, and what it cost. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from agentreview.config import Config, Level
from agentreview.facts import Facts
from agentreview.learn.history import Commit, History
from agentreview.learn.record import SAMPLES, Record, Sample, Tally
from agentreview.policies.load import Policy
from agentreview.records import dataclass

SLOWEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReport:
    """One policy over all commits.

    ``blocked`` commits have a finding of it that blocks, ``advised`` ones only advice. ``samples`` hold the commit each.
    """

    id: str
    title: str
    severity: str
    level: str
    blocked: int = 0
    advised: int = 0
    blocking: int = 0
    advisory: int = 0
    waived: int = 0
    questions: int = 0
    samples: tuple[tuple[str, Sample], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A fact that is open ("" is all of them): how many questions rest on it, in how many commits, of which policies."""

    fact: str
    questions: int
    commits: int
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds of processor time that one commit took, and all of them together."""

    median: float = 0.0
    p95: float = 0.0
    total: float = 0.0
    slowest: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole answer.

    Every commit is in one of ``blocked``, ``advised`` (and not blocked), ``silent`` (reviewed, nothing found), ``unread``
    (nothing in it that is read) and ``unreviewed``. ``failed`` names each that was not, or not wholly, reviewed: those
    that were found to be blocked or advised all the same are counted there as well.
    """

    version: str
    source: str
    more: bool
    newest: str
    oldest: str
    config_path: str | None
    config_digest: str
    commits: int
    blocked: int
    advised: int
    silent: int
    unread: int
    unreviewed: int
    held_back: int  # commits that only facts keep from being blocked
    known: int  # from an earlier run
    policies: tuple[PolicyReport, ...]
    unset: tuple[Need, ...]
    unconfirmed: tuple[Need, ...]  # set, and waiting for a person
    failed: tuple[tuple[str, str], ...]
    skipped: tuple[tuple[str, int, int], ...]  # reason, files, commits
    cost: Cost

    @property
    def judged(self) -> int:
        """Commits that there is an answer for: what shares are of."""
        return self.commits - self.unreviewed

    @property
    def alarmed(self) -> tuple[PolicyReport, ...]:
        """Policies that found something, worst first."""
        return tuple(p for p in self.policies if p.blocking or p.advisory or p.waived)


def add_up(
    history: History, records: Mapping[str, Record], policies: Sequence[Policy], config: Config, *, version: str, known: int
) -> Report:  # fmt: skip
    """Add up the records of all commits of ``history`` (by commit id)."""
    pairs = [(commit, records[commit.sha]) for commit in history.commits]
    kinds = Counter(_kind(record) for _, record in pairs)
    needs = {policy.id: policy.needs for policy in policies}
    lines = [_policy(policy, pairs, config) for policy in policies]
    return Report(
        version=version, source=history.source, more=history.more,
        newest=pairs[0][0].sha, oldest=pairs[-1][0].sha,
        config_path=config.path, config_digest=config.digest,
        commits=len(pairs), **{kind: kinds[kind] for kind in ("blocked", "advised", "silent", "unread", "unreviewed")},
        held_back=sum(not r.blocked and any(t.questions for t in r.tallies) for _, r in pairs),
        known=known,
        policies=tuple(sorted(lines, key=lambda p: (-p.blocked, -p.advised, -p.blocking - p.advisory, p.id))),
        unset=_needs(pairs, lambda tally: tally.needs),
        unconfirmed=_needs(pairs, lambda tally: _unconfirmed(tally, needs.get(tally.rule, ()), config.facts)),
        failed=tuple((commit.sha, record.failed) for commit, record in pairs if record.failed),
        skipped=_skipped(pairs),
        cost=_cost(pairs),
    )  # fmt: skip


Pairs = Sequence[tuple[Commit, Record]]


def _kind(record: Record) -> str:
    if record.blocked:
        return "blocked"
    if record.advised:
        return "advised"
    if record.failed:
        return "unreviewed"
    return "silent" if record.files else "unread"


def _unconfirmed(tally: Tally, needs: Sequence[str], facts: Facts) -> tuple[tuple[str, int], ...]:
    """Facts that hold a policy back although they are set; "" where it rests on the project's facts as a whole."""
    if tally.needs or not tally.questions:
        return ()
    waiting = [need for need in needs if not facts.confirmer(need)] or [""]
    return tuple((need, tally.questions) for need in waiting)


def _policy(policy: Policy, pairs: Pairs, config: Config) -> PolicyReport:
    found = [(c.sha, at, t) for at, (c, r) in enumerate(pairs) for t in r.tallies if t.rule == policy.id]
    samples = [
        ((sample.status != "blocking", number, at), (sha, sample))
        for sha, at, tally in found
        for number, sample in enumerate(tally.samples)
    ]
    # One of each commit before a second one of any: ten findings of one commit say less than ten commits.
    samples.sort(key=lambda item: item[0])
    return PolicyReport(
        id=policy.id, title=policy.rule.title, severity=policy.rule.severity.value, level=config.level(policy.id).value,
        blocked=sum(t.blocking > 0 for _, _, t in found),
        advised=sum(not t.blocking and t.advisory > 0 for _, _, t in found),
        blocking=sum(t.blocking for _, _, t in found), advisory=sum(t.advisory for _, _, t in found),
        waived=sum(t.waived for _, _, t in found), questions=sum(t.questions for _, _, t in found),
        samples=tuple(sample for _, sample in samples[:SAMPLES]),
    )  # fmt: skip


def _needs(pairs: Pairs, of: Callable[[Tally], tuple[tuple[str, int], ...]]) -> tuple[Need, ...]:
    questions: Counter[str] = Counter()
    commits: Counter[str] = Counter()
    policies: dict[str, set[str]] = {}
    for _, record in pairs:
        for tally in record.tallies:
            for fact, number in of(tally):
                questions[fact] += number
                policies.setdefault(fact, set()).add(tally.rule)
        commits.update({fact for tally in record.tallies for fact, _ in of(tally)})
    return tuple(
        Need(fact=fact, questions=questions[fact], commits=commits[fact], policies=tuple(sorted(policies[fact])))
        for fact in sorted(commits, key=lambda fact: (-commits[fact], -questions[fact], fact))
    )


def _skipped(pairs: Pairs) -> tuple[tuple[str, int, int], ...]:
    files: Counter[str] = Counter()
    commits: Counter[str] = Counter()
    for _, record in pairs:
        for reason, number in record.skipped:
            files[reason] += number
            commits[reason] += 1
    return tuple((r, files[r], commits[r]) for r in sorted(files, key=lambda r: (-commits[r], -files[r], r)))


def _cost(pairs: Pairs) -> Cost:
    timed = [(record.seconds, commit.sha) for commit, record in pairs if record.seconds]
    if not timed:
        return Cost()
    seconds = sorted(took for took, _ in timed)
    slowest = sorted(timed, key=lambda item: (-item[0], item[1]))[:SLOWEST]
    return Cost(
        median=round(median(seconds), 3),
        p95=seconds[-(-len(seconds) * 95 // 100) - 1],
        total=round(sum(seconds), 3),
        slowest=tuple((sha, took) for took, sha in slowest),
    )


def off(report: Report) -> tuple[str, ...]:
    """Policies that the configuration leaves out: nothing is known about them."""
    return tuple(sorted(p.id for p in report.policies if p.level == Level.OFF.value))


def silent(report: Report) -> tuple[str, ...]:
    """Policies that looked and found nothing."""
    quiet = (p for p in report.policies if p not in report.alarmed and p.level != Level.OFF.value)
    return tuple(sorted(p.id for p in quiet))
