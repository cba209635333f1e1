"""One changed file through every policy, before and after: what is new is the change's own doing.

A claim's identity is (rule, unit, anchor text, occurrence), never a line number. What the version before already had
is old debt. A unit that was renamed keeps its debt: identities of units that vanished are matched by rule and anchor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

from agentreview.config import Config, Level
from agentreview.globs import matches
from agentreview.model import Claim, FileChange, Hunk, Skipped
from agentreview.policies.checks import evaluate
from agentreview.policies.claims import View
from agentreview.policies.grown import grown
from agentreview.policies.load import Catalogue, Policy
from agentreview.policies.nearby import Nearby, Wants
from agentreview.policies.paths import path_classes
from agentreview.policies.removed import Removal, removals
from agentreview.policies.suppressed import suppressed
from agentreview.records import dataclass, field
from agentreview.syntax.facts import Analysis, analyse
from agentreview.syntax.frameworks import Framework, Matchers, matchers
from agentreview.syntax.lexicon import Lexicon, project_framework
from agentreview.syntax.parse import NotReviewed, generated, language_of, parse_source
from agentreview.syntax.tree import Unit

# Concepts whose disappearance matters; counted per file so that a move within the change stays silent.
COUNTED = (
    "audit",
    "trail",
    "authn",
    "object-check",
    "membership",
    "scope",
    "token-check",
    "validate",
    "redact",
    "sanitize",
)


@dataclass(slots=True, eq=False)
class Claimed:
    """A claim with its position among equal ones, and whether the version before had it.

    ``touched``: the change touches the unit (or the lines) the claim is about.
    """

    claim: Claim
    occurrence: int
    existing: bool
    touched: bool = True


@dataclass(slots=True, eq=False)
class FileResult:
    """What the policies say about one file. ``failed`` is a reason why the answer is incomplete."""

    path: str
    claims: list[Claimed] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    totals: dict[str, tuple[int, int]] = field(default_factory=dict)
    skipped: Skipped | None = None
    failed: str = ""
    reviewed: bool = False
    old_read: bool = False  # the version before was read too, whatever came of it
    before: Wants = field(default_factory=Wants)  # files of the tree before that would tell more
    after: Wants = field(default_factory=Wants)


_KEPT_BYTES = 2 * 1024 * 1024  # of sources whose analysis is kept; an analysis takes about 25 times as much


@lru_cache(maxsize=8)
def built_in(frameworks: tuple[Framework, ...], language: str) -> Matchers:
    """Matchers of the shipped framework files alone: the same for every project without names of its own."""
    return matchers(frameworks, language)


class Engine:
    """Policies, matchers and vocabulary for one configuration. Matchers are made when a language first occurs."""

    def __init__(self, catalogue: Catalogue, config: Config, guard: Config | None = None) -> None:
        self.config = config
        self.guard = guard or config  # what the gate's own protection is judged by: the configuration before the change
        self.catalogue = catalogue
        self.lexicon = Lexicon(config.facts)
        self.policies = tuple(p for p in catalogue.policies if config.level(p.id) is not Level.OFF)
        self._matchers: dict[str, Matchers] = {}
        self._kept: dict[tuple[str, bytes], Analysis] = {}
        self.ended: set[tuple[str, bytes]] = set()  # versions of which a worker is known to have come to an end
        self.nearby: tuple[Nearby, Nearby] | None = None  # other files of the tree before and after, as far as read

    def matchers(self, language: str) -> Matchers:
        """Matchers of a language, the project's own names included."""
        known = self._matchers.get(language)
        if known is None:
            project = project_framework(self.config.facts, language)
            frameworks = self.catalogue.frameworks
            known = matchers((*frameworks, project), language) if project.entries else built_in(frameworks, language)
            self._matchers[language] = known
        return known

    def analyse(self, path: str, content: bytes) -> Analysis | NotReviewed:
        """Facts of one version of a file. Kept, within bounds, until :meth:`forget`: the file may be asked about again."""
        known = self._kept.get((path, content))
        if known is not None:
            return known
        module = parse_source(path, content)
        if isinstance(module, NotReviewed):
            return module
        found = analyse(module, path, self.matchers(module.language), self.lexicon)
        if sum(len(kept) for _, kept in self._kept) + len(content) <= _KEPT_BYTES:
            self._kept[path, content] = found
        return found

    def forget(self, change: FileChange) -> None:
        """Drop what is kept of a file."""
        for content in (change.before, change.after):
            if content is not None:
                self._kept.pop((change.path, content), None)


def review_file(change: FileChange, engine: Engine) -> FileResult:
    """Evaluate every policy on both versions of a file. Never raises for anything a file can contain."""
    result = FileResult(change.path)
    after = _version(change, change.after, engine, result)
    if result.skipped is not None or result.failed:
        return result
    before = None
    old_path = change.old_path or change.path
    # What was not reviewed cannot vouch for anything: renaming notes.txt to views.py, moving a file out of an excluded
    # folder, unfolding a minified one or shortening one that was too large must not turn everything in it into old debt.
    if (
        change.before is not None
        and language_of(old_path, change.before) is not None
        and not generated(old_path, change.before)
        and not _too_large(change.before, engine)
        and not matches(old_path, engine.config.exclude)
    ):
        old = engine.analyse(change.path, change.before)
        result.old_read = True
        # A version before that does not parse cannot tell old from new: everything counts as introduced.
        before = old if isinstance(old, Analysis) else None
    around = tuple(Nearby(one.paths, one.summaries) for one in engine.nearby or ()) or (None, None)
    new_view = View.of(after, engine.config.facts, around[1]) if after is not None else None
    old_view = View.of(before, engine.config.facts, around[0]) if before is not None else None
    result.totals = _totals(before, after)
    result.reviewed = after is not None or before is not None
    for policy in engine.policies:
        new = evaluate(policy, new_view) if new_view is not None else []
        old_claims = evaluate(policy, old_view) if old_view is not None and new else []
        result.claims.extend(_introduced(new, old_claims, after, change))
        result.claims.extend(_grown(policy, change, old_view, new_view))
        if old_view is not None:
            result.removals.extend(removals(policy, change, old_view, new_view))
    _supersede(result, engine.policies)
    result.before, result.after = (one.wants if one is not None else Wants() for one in around)
    return result


_DELTAS = {"grown": grown, "suppressed": suppressed}


def _grown(policy: Policy, change: FileChange, before: View | None, after: View | None) -> Iterator[Claimed]:
    """Forms that compare the two versions themselves: what they claim is the change's own doing."""
    for check in policy.checks:
        form = _DELTAS.get(check.form)
        if form is None or after is None or set(policy.skip) & path_classes(change.path, after.facts.tests.paths):
            continue
        seen: Counter[tuple[str, str]] = Counter()
        for claim in form(policy, check, before, after):
            seen[claim.unit, claim.identity] += 1
            yield Claimed(claim, seen[claim.unit, claim.identity], existing=False)


def _version(change: FileChange, content: bytes | None, engine: Engine, result: FileResult) -> Analysis | None:
    limits = engine.config.limits
    if content is None:
        if change.opaque and change.status != "D":
            result.skipped = Skipped(path=change.path, reason=change.opaque)
        return None
    if change.opaque:
        result.skipped = Skipped(path=change.path, reason=change.opaque)
        return None
    if language_of(change.path, content) is not None:
        if _too_large(content, engine):
            result.skipped = Skipped(
                path=change.path,
                reason="too large",
                detail=f"{len(content)} bytes; [limits] max_file_bytes = {limits.max_file_bytes}",
            )
            return None
        why = generated(change.path, content)
        # A header, or one long line, that appears with the change cannot take a file out of review: only one that was
        # there before can. A minified file may also come as a new one.
        if why and (
            why == "by its name"
            or (why == "minified" and change.before is None)
            or (change.before is not None and generated(change.path, change.before))
        ):
            result.skipped = Skipped(path=change.path, reason="generated", detail=why)
            return None
    found = engine.analyse(change.path, content)
    if isinstance(found, Analysis):
        return found
    if found.reason in ("too deep", "not text"):  # what only a hostile file is must not pass as skipped
        result.failed = found.detail
    elif found.reason != "not code":
        result.skipped = Skipped(path=change.path, reason=found.reason, detail=found.detail)
    return None


def _too_large(content: bytes, engine: Engine) -> bool:
    limits = engine.config.limits
    return len(content) > limits.max_file_bytes or content.count(b"\n") > limits.max_lines


def _totals(before: Analysis | None, after: Analysis | None) -> dict[str, tuple[int, int]]:
    old, new = _count(before, after), _count(after, before)
    return {c: (old[c], new[c]) for c in COUNTED if old[c] or new[c]}


def _count(analysis: Analysis | None, other: Analysis | None) -> Counter[str]:
    """Controls of one version, without those of endpoints that the other version does not have.

    What a new endpoint records is its own doing, not the record that another one lost.
    """
    out: Counter[str] = Counter()
    known = {u.qualname for u in other.module.units} if other is not None else set()
    for own in analysis.units.values() if analysis is not None else ():
        if analysis is None or id(own.unit) not in analysis.endpoints or own.unit.qualname in known:
            out.update(f.concept for f in own.facts if f.concept in COUNTED)
    return out


def _introduced(new: list[Claim], old: list[Claim], after: Analysis | None, change: FileChange) -> list[Claimed]:
    had: Counter[tuple[str, str, str]] = Counter((c.rule, c.unit, c.identity) for c in old)
    units = {u.qualname: u for u in after.module.units} if after is not None else {}
    orphans: Counter[tuple[str, str]] = Counter((c.rule, c.identity) for c in old if c.unit not in units)
    seen: Counter[tuple[str, str, str]] = Counter()
    out = []
    for claim in sorted(new, key=lambda c: (c.start_line, c.end_line, c.identity)):
        key = (claim.rule, claim.unit, claim.identity)
        seen[key] += 1
        existing = had[key] > 0
        if existing:
            had[key] -= 1
        elif orphans[claim.rule, claim.identity] > 0:
            orphans[claim.rule, claim.identity] -= 1
            existing = True
        out.append(Claimed(claim, seen[key], existing, not existing or _touched(claim, units.get(claim.unit), change)))
    # One place is told once, by what is new there.
    told: dict[tuple[str, int], Claimed] = {}
    for claimed in out:
        place = (claimed.claim.unit, claimed.claim.start_line)
        if place not in told or (told[place].existing and not claimed.existing):
            told[place] = claimed
    return list(told.values())


def _touched(claim: Claim, unit: Unit | None, change: FileChange) -> bool:
    first, last = (
        (unit.line, unit.end_line)
        if unit is not None and unit.kind == "function"
        else (claim.start_line - 5, claim.end_line + 5)
    )
    return any(hunk.new_start <= last and hunk.new_start + hunk.new_lines >= first for hunk in _edits(change))


def _edits(change: FileChange) -> Iterable[Hunk]:
    """Hunks without the context lines around them."""
    for hunk in change.hunks:
        numbers = hunk.added or (hunk.new_start + hunk.new_lines // 2,)
        yield Hunk(
            old_start=hunk.old_start, old_lines=hunk.old_lines, new_start=numbers[0], new_lines=numbers[-1] - numbers[0]
        )


def _supersede(result: FileResult, policies: Iterable[Policy]) -> None:
    """Report one place once: a policy names the one that says the same thing better."""
    better = {p.id: p.superseded_by for p in policies if p.superseded_by}
    if better:
        taken = {
            (c.claim.rule, c.claim.unit, mark) for c in result.claims for mark in (c.claim.start_line, c.claim.identity)
        }
        result.claims = [
            c
            for c in result.claims
            if not any(
                (better.get(c.claim.rule, ""), c.claim.unit, mark) in taken
                for mark in (c.claim.start_line, c.claim.identity)
            )
        ]
