"""What came of the cases, counted. Pure.

A finding counts for a defect when it is in its file, within :data:`NEAR` lines of it or in the same unit, and is about
the same rule or weakness. A run that did not finish counts for nothing: it is reported as such, never as a quiet one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from agentreview.evaluation.cases import Case, Defect

NEAR = 10  # lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A finding as far as scoring needs it. ``refuted``: a first reader claimed it, a second one showed it wrong.

    ``anchored`` is false for a claim whose line could not be proved; ``edit``: it came with an edit whose lines were.
    """

    rule: str
    path: str
    line: int
    identity: str
    unit: str = ""
    cwe: tuple[str, ...] = ()
    agent: str = ""
    blocking: bool = False
    refuted: bool = False
    anchored: bool = True
    edit: bool = False

    @property
    def by_model(self) -> bool:
        """Whether a model reviewer said it, not a policy."""
        return self.agent.startswith("reviewer:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One case, played once. ``failures`` are why it is not finished; then its findings count for nothing."""

    case: str
    number: int
    shots: tuple[Shot, ...] = ()
    failures: tuple[str, ...] = ()
    requests: int = 0
    tokens: int = 0
    dollars: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share, with what it is a share of."""

    of: int = 0
    count: int = 0

    @property
    def share(self) -> float | None:
        """Between 0 and 1; ``None`` where there was nothing to count."""
        return self.count / self.of if self.of else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Everything that is counted. Rates over runs count every repetition; ``shown`` is what blocks or is advice.

    - ``recall``: defects that a blocking finding names; ``recall_shown``: that any finding names.
    - ``precision``: of the blocking findings those that name a defect, against those on harmless changes.
    - ``noise``: harmless changes that are blocked; ``noise_shown``: that get as much as advice.
    - ``flips``: cases, of those finished more than once, whose blocking findings were not the same every time.
    - ``over_refuted``: right claims, of those put to a second reader or blocking, that it took for wrong.
    - ``anchored``: claims of models whose line was proved; ``edits``: those with an edit whose lines were.
    """

    cases: int
    runs: int
    unfinished: int
    recall: Rate
    recall_shown: Rate
    precision: Rate
    noise: Rate
    noise_shown: Rate
    flips: Rate
    over_refuted: Rate
    anchored: Rate
    edits: Rate
    requests: int
    tokens: int
    dollars: float
    seconds: float
    median_seconds: float


def names(shot: Shot, defect: Defect) -> bool:
    """Whether a finding is about a labelled defect."""
    if shot.path != defect.path:
        return False
    if (defect.rules or defect.cwe) and shot.rule not in defect.rules and not set(shot.cwe) & set(defect.cwe):
        return False
    if defect.lines is None:
        return True
    first, last = defect.lines
    same_unit = bool(defect.unit) and shot.unit.rpartition(".")[2] == defect.unit.rpartition(".")[2]
    return same_unit or first - NEAR <= shot.line <= last + NEAR


def counted(case: Case, shots: Iterable[Shot]) -> list[Shot]:
    """The findings that count in this case."""
    return [shot for shot in shots if not case.about or shot.rule in case.about]


def found(case: Case, shots: Iterable[Shot]) -> set[str]:
    """The defects of a case that these findings name."""
    return {defect.group for defect in case.defects if any(names(shot, defect) for shot in shots)}


def score(cases: Sequence[Case], played: Sequence[Played]) -> Scores:
    """Count. Cases without a finished run are in ``unfinished`` alone."""
    by_id = {case.id: case for case in cases}
    finished: dict[str, list[Played]] = defaultdict(list)
    for one in played:
        if not one.failures:
            finished[one.case].append(one)
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])  # of, count

    def add(name: str, of: int, count: int) -> None:
        totals[name][0] += of
        totals[name][1] += count

    for name, runs in finished.items():
        case = by_id[name]
        outcomes = []
        for one in runs:
            shots = counted(case, one.shots)
            standing = [shot for shot in shots if not shot.refuted]
            blocking = [shot for shot in standing if shot.blocking]
            groups = len(case.groups)
            add("recall", groups, len(found(case, blocking)))
            add("recall_shown", groups, len(found(case, [s for s in standing if s.anchored])))
            right = [shot for shot in blocking if any(names(shot, defect) for defect in case.defects)]
            if case.defects:
                add("precision", len(right), len(right))
            else:
                add("precision", len(blocking), 0)
                add("noise", 1, bool(blocking))
                add("noise_shown", 1, any(shot.anchored for shot in standing))
            claims = [shot for shot in shots if shot.by_model]
            add("anchored", len(claims), sum(shot.anchored for shot in claims))
            add("edits", len(claims), sum(shot.edit for shot in claims))
            judged = [s for s in claims if any(names(s, d) for d in case.defects) and (s.refuted or s.blocking)]
            add("over_refuted", len(judged), sum(shot.refuted for shot in judged))
            outcomes.append(frozenset(shot.identity for shot in blocking))
        if len(outcomes) > 1:
            add("flips", 1, len(set(outcomes)) > 1)
    seconds = [one.seconds for one in played]
    rates = {name: Rate(of=of, count=count) for name, (of, count) in totals.items()}
    nothing = Rate()
    return Scores(
        cases=len(cases),
        runs=len(played),
        unfinished=sum(bool(one.failures) for one in played),
        recall=rates.get("recall", nothing),
        recall_shown=rates.get("recall_shown", nothing),
        precision=rates.get("precision", nothing),
        noise=rates.get("noise", nothing),
        noise_shown=rates.get("noise_shown", nothing),
        flips=rates.get("flips", nothing),
        over_refuted=rates.get("over_refuted", nothing),
        anchored=rates.get("anchored", nothing),
        edits=rates.get("edits", nothing),
        requests=sum(one.requests for one in played),
        tokens=sum(one.tokens for one in played),
        dollars=sum(one.dollars for one in played),
        seconds=sum(seconds),
        median_seconds=median(seconds) if seconds else 0.0,
    )
