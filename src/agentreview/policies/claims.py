"""One version of a file as the checks see it, and how a check words its claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agentreview.facts import Facts
from agentreview.lazyre import lazy
from agentreview.model import Claim, Evidence, Hit, Severity
from agentreview.policies.load import Check, Policy
from agentreview.policies.nearby import Nearby
from agentreview.records import dataclass, field
from agentreview.syntax.facts import Analysis, Fact
from agentreview.syntax.reach import in_reach
from agentreview.syntax.tree import Unit


@dataclass(slots=True, eq=False, repr=False)
class View:
    """One version of a file as the checks see it; facts in reach are worked out once per unit."""

    analysis: Analysis
    facts: Facts
    reach: dict[int, list[Fact]]
    lines: list[str]
    nearby: Nearby | None = None
    lent: dict[int, list[Fact]] = field(default_factory=dict)

    @classmethod
    def of(cls, analysis: Analysis, facts: Facts, nearby: Nearby | None = None) -> View:
        """Wrap an analysis. ``nearby`` is what the other files of its tree lend, when somebody reads them."""
        return cls(analysis, facts, {}, analysis.module.source.split("\n"), nearby)

    def from_elsewhere(self, unit: Unit) -> list[Fact]:
        """Controls that other files lend to the unit. Asked last: it may cost reading them."""
        if self.nearby is None:
            return []
        known = self.lent.get(id(unit))
        if known is None:
            known = self.lent[id(unit)] = self.nearby.lent(self.analysis, unit)
        return known

    def in_reach(self, unit: Unit) -> list[Fact]:
        """Facts that hold for the unit."""
        known = self.reach.get(id(unit))
        if known is None:
            known = self.reach[id(unit)] = in_reach(self.analysis, unit)
        return known

    def quote(self, line: int) -> str:
        """Text of a 1-based line."""
        return self.lines[line - 1] if 0 < line <= len(self.lines) else ""


def identity_of(fact: Fact) -> str:
    """Name the problem for the fingerprint: what is done by which chain, without arguments or lines."""
    return f"{fact.concept}:{fact.call}"


def make_claim(
    policy: Policy, check: Check, view: View, unit: Unit, *, identity: str, fact: Fact | None = None, line: int = 0, hit: Hit | None = None,
    others: Iterable[Fact] = (), value: str = "", at: tuple[int, int] | None = None,
) -> Claim:  # fmt: skip
    """Word a check's hit at a fact (or a line), with its evidence and what would settle it."""
    start = at[0] if at else fact.line if fact else line
    end = at[1] if at else min(fact.end_line, fact.line + 15) if fact else line
    names = {
        "unit": _unit_name(unit), "resource": (fact.resource if fact else "") or "the record", "call": fact.call if fact else unit.name,
        "value": value, "line": str(start), "tenant": view.facts.tenant.key or "the tenant key",
    }  # fmt: skip
    evidence = [_seen(view, f.line, f"also {f.concept} of {f.resource or f.call}") for f in list(others)[:3]]
    if fact is not None and fact.via:
        evidence.insert(0, _seen(view, fact.line, f"through {fact.via}"))
    if at is not None and fact is not None:
        evidence.insert(0, _seen(view, fact.line, "the call whose failure is swallowed"))
    evidence.extend(_done_elsewhere(check, view, unit))
    used = hit or check.hit
    return Claim(
        rule=policy.id, path=view.analysis.path, unit=unit.qualname, start_line=start, end_line=max(start, end), quote=view.quote(start), identity=identity,
        message=fill(check.message or policy.rule.title, names), fix=fill(check.fix or policy.rule.fix, names), hit=used, evidence=tuple(evidence),
        needs=tuple(n for n in policy.needs if not view.facts.is_set(n)) if used is Hit.SUSPECT else (),
        confirmed=view.facts.settle(policy.needs), severity=severity_of(policy, check, fact, view.facts),
    )  # fmt: skip


def severity_of(policy: Policy, check: Check, fact: Fact | None, facts: Facts) -> Severity | None:
    """The check's own severity, and one step up for the models that ``[facts.phi] sensitive`` names (psychotherapy notes)."""
    if fact is None or not facts.phi.sensitive or fact.resource.lower() not in {m.lower() for m in facts.phi.sensitive}:
        return check.severity
    scale = list(Severity)
    return scale[min((check.severity or policy.rule.severity).rank + 1, len(scale) - 1)]


def _seen(view: View, line: int, shows: str) -> Evidence:
    return Evidence(path=view.analysis.path, line=line, shows=shows, quote=view.quote(line).strip())


def _done_elsewhere(check: Check, view: View, unit: Unit) -> Iterator[Evidence]:
    """How another unit of the same file has the control that is missing here: the best example of a fix."""
    if check.form != "require":
        return
    for concept in check.require:
        for own in view.analysis.units.values():
            if own.unit is unit or own.unit.kind != "function":
                continue
            found = next((f for f in own.facts if f.concept == concept and f.framework != "comparison"), None)
            if found is not None:
                yield _seen(view, found.line, f"how {own.unit.qualname} does it")
                return


def _unit_name(unit: Unit) -> str:
    return "this module" if unit.kind == "module" else unit.qualname


_ONE = lazy(r"\ba \{resource\}")


def fill(template: str, names: dict[str, str]) -> str:
    """Replace ``{name}`` placeholders; anything else in braces stays as it is (examples of code hold braces)."""
    one = names.get("resource", "").removeprefix("the ")
    template = _ONE.sub(lambda _: f"{'an' if one[:1].lower() in ('a', 'e', 'i', 'o') else 'a'} {one}", template)
    for name, value in names.items():
        template = template.replace("{" + name + "}", value)
    return template
