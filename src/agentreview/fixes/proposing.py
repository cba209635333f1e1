"""An edit for a finding: every candidate is reviewed, and the first is proposed that takes the finding away and brings none.

Candidates are made by rule, or come with what a model reviewer claims. Whether one is right is not theirs to say: the edited
file is read by all policies, like any change, and has to parse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from agentreview.anchor import fingerprint
from agentreview.fixes.edits import applied, changed
from agentreview.fixes.identifying import identified
from agentreview.fixes.mending import raised, reordered, together, unsaid, unwrapped
from agentreview.fixes.parametrising import parametrised
from agentreview.fixes.restoring import restored
from agentreview.fixes.rewriting import rewritten
from agentreview.model import REVIEWER, Edit, FileChange, Finding
from agentreview.policies.compare import Engine
from agentreview.policies.run import alone
from agentreview.policies.secrets import mask
from agentreview.pool import Work, run
from agentreview.syntax.facts import Analysis
from agentreview.syntax.parse import language_of

MOST_BYTES = 200_000
MOST_LINES = 4000
TRIED = 6  # candidates for one finding
_TAKEN_AWAY = frozenset({"removed", "loosened", "weakened", "grown", "gate"})
_DROPPED = ("tenancy.query-scope", "access.object-level", "tenancy.raw-sql", "access.endpoint-auth", "hipaa.audit-phi-read", "hipaa.audit-phi-write")  # fmt: skip
_SHOWN = ("hipaa.phi-in-logs", "hipaa.phi-in-errors")
_SWITCHED = ("tenancy.isolation-disabled", "hipaa.audit-bypass", "quality.fail-open")
_SQL = ("injection.sql", "tenancy.raw-sql")


_DOORS = frozenset(
    "opening exec eval fetch send file-path store-file open-redirect audit-off scope-off csrf-off cors-open cors-all unescaped markup insecure"
    " dump overshare client-store delete drop drop-constraint loosen-column expire cascade".split()
)
_WALLS = frozenset("authn object-check membership scope audit validate deny redact token-check sanitize".split())


def propose(finding: Finding, change: FileChange, engine: Engine, had: set[str] | None = None) -> Edit | None:
    """Return an edit of the file after which the finding is gone, or None. ``had``: what the file claims, where known."""
    if change.after is None or finding.path != change.path or not _readable(change):
        return None
    if finding.agent.startswith(REVIEWER):
        had = had if had is not None else _claimed(change, engine)
        return finding.edit if had is not None and _harmless(finding.edit, change, engine, had) else None
    for edit in islice(_candidates(finding, change, engine), TRIED):
        after = applied(edit, change.after)
        if after is None or after == change.after or _tells(edit):
            continue
        had = had if had is not None else _claimed(change, engine) or set()
        if finding.fingerprint not in had:
            return None  # it rests on more than this file: an edit of it proves nothing
        has = _claimed(changed(change, after), engine)
        if has is not None and finding.fingerprint not in has and has <= had:
            return edit
    return None


def _harmless(edit: Edit | None, change: FileChange, engine: Engine, had: set[str]) -> bool:
    """Whether a file that policies can read, and that parses, is no worse with an edit nobody made by rule.

    What its reviewer claims, no policy can judge: that has to be read again. But it opens no door, and takes no control away.
    """
    after = applied(edit, change.after) if edit is not None and change.after is not None else None
    if edit is None or after is None or after == change.after or edit.path != change.path or _tells(edit):
        return False
    has = _claimed(changed(change, after), engine, whole=True)
    was, now = (_concepts(change.path, data, engine) for data in (change.after or b"", after))
    if has is None or was is None or now is None:
        return False
    return has <= had and all(now[one] <= was[one] for one in _DOORS) and all(now[one] >= was[one] for one in _WALLS)


def _concepts(path: str, data: bytes, engine: Engine) -> Counter[str] | None:
    """Count what a file does, by concept; None where it cannot be read."""
    if not language_of(path, data):
        return Counter()
    analysis = engine.analyse(path, data)
    if not isinstance(analysis, Analysis):
        return None
    return Counter(fact.concept for own in analysis.units.values() for fact in own.facts)


def propose_in_workers(findings: Sequence[tuple[Finding, FileChange]], engine: Engine) -> list[Edit | None]:
    """Propose for each of them, in processes that can be killed: a file that takes too long has no edits."""
    files = list({id(change): change for _, change in findings}.values())
    mine = [[one for one, change in findings if change is file] for file in files]
    work = Work(
        sizes=[len(file.after or b"") * len(found) for file, found in zip(files, mine, strict=True)],
        do=lambda n: _proposed(mine[n], files[n], engine),
        failed=lambda _n, _why: {},
        seconds=engine.config.limits.file_seconds,
    )
    found = {name: edit for edits in run(work) for name, edit in edits.items()}
    return [found.get(finding.fingerprint) for finding, _ in findings]


def _proposed(findings: Sequence[Finding], change: FileChange, engine: Engine) -> dict[str, Edit]:
    had = _claimed(change, engine) if _readable(change) else None
    found = {one.fingerprint: propose(one, change, engine, had) for one in findings}
    return {name: edit for name, edit in found.items() if edit is not None}


def _readable(change: FileChange) -> bool:
    sides = (change.before or b"", change.after or b"")
    small = len(sides[1]) <= MOST_BYTES and all(side.count(b"\n") <= MOST_LINES for side in sides)
    return change.after is not None and not change.opaque and small


def _candidates(finding: Finding, change: FileChange, engine: Engine) -> Iterator[Edit]:
    policy = next((p for p in engine.policies if p.id == finding.rule), None)
    forms = {check.form for check in policy.checks} if policy is not None else set()
    yield from rewritten(finding, change)
    analysis = (
        engine.analyse(change.path, change.after or b"") if language_of(change.path, change.after or b"") else None
    )
    if isinstance(analysis, Analysis) and analysis.module.source.encode("utf-8", "surrogatepass") == change.after:
        if finding.rule in _SHOWN:
            yield from identified(finding, analysis)
        if finding.rule in _SQL:
            yield from parametrised(finding, analysis)
        if "swallow" in forms:
            yield from raised(finding, change, analysis)
        if finding.rule == "hipaa.audit-order":
            yield from reordered(finding, change, analysis)
        if finding.rule == "secrets.in-logs":
            yield from unsaid(finding, analysis)
    if "unique" in forms:
        yield from together(finding, change, engine.config.facts.tenant.key)
    if finding.rule in _SWITCHED:
        yield from unwrapped(finding, change)
    if forms & _TAKEN_AWAY or finding.rule in _DROPPED:
        yield from restored(finding, change)


def _claimed(change: FileChange, engine: Engine, *, whole: bool = False) -> set[str] | None:
    """Return the fingerprints of what this change of the file introduces; None where it cannot be read.

    Of settings no parser reads, single lines are, which is not the ``whole`` file.
    """
    result, claims = alone(change, engine)
    if result.failed or (result.skipped is not None and (whole or language_of(change.path, change.after or b""))):
        return None
    return {
        fingerprint(c.claim.rule, c.claim.path, c.claim.unit, c.claim.identity, c.occurrence)
        for c in claims
        if not c.existing
    }


def _tells(edit: Edit) -> bool:
    """Whether an edit holds what reports hide: verdicts are kept, and none of that is kept in them."""
    return any(mask(line) != line for one in edit.replacements for line in one.lines)
