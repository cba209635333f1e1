"""What is kept of one replayed commit: counts and a few samples for each policy. And where: beside the verdicts.

``<git common dir>/agentreview/learn/<version>/<key>`` holds a seal and JSON. The key is a digest of everything that the
record is a function of, so another configuration or version looks for another file. Disposable, like all of the store.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from agentreview import store
from agentreview.canonical import canonical_json, digest
from agentreview.config import Config, Level
from agentreview.model import Confidence, Finding, Hit, Outcome, Status, Verdict
from agentreview.policies.load import GUARD_FORMS, load
from agentreview.records import dataclass

SAMPLES = 10  # findings kept of one policy
KEEP = 10_000  # records on disk; most are below two kilobytes
_FORMAT = 1
_TEXT = 400  # characters of one message, name or reason
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A finding to look at."""

    path: str
    line: int
    unit: str
    message: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one policy said about one commit.

    ``questions`` are the findings that would block but for project facts: unset ones (``needs`` counts them, and a
    finding may rest on several), or facts that no person has confirmed.
    """

    rule: str
    blocking: int = 0
    advisory: int = 0
    waived: int = 0
    questions: int = 0
    needs: tuple[tuple[str, int], ...] = ()
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the gate says about one commit. ``failed`` is why it was not, or not wholly, reviewed.

    ``files`` were read, ``skipped`` counts those that were not, by reason. ``seconds`` are processor time.
    """

    tallies: tuple[Tally, ...] = ()
    files: int = 0
    skipped: tuple[tuple[str, int], ...] = ()
    failed: str = ""
    seconds: float = 0.0

    @property
    def blocked(self) -> bool:
        """Whether the commit would have been refused."""
        return any(tally.blocking for tally in self.tallies)

    @property
    def advised(self) -> bool:
        """Whether something would have been said that does not block."""
        return any(tally.advisory for tally in self.tallies)


def record_of(verdict: Verdict, config: Config, *, seconds: float) -> Record:
    """Boil a verdict down."""
    rules = dict.fromkeys(f.rule for f in verdict.findings if f.status is not Status.EXISTING)
    failed = next((run.reason for run in verdict.runs if run.outcome in (Outcome.FAILED, Outcome.SKIPPED)), "")
    return Record(
        tallies=tuple(_tally(rule, [f for f in verdict.findings if f.rule == rule], config) for rule in sorted(rules)),
        files=verdict.files,
        skipped=tuple(sorted(Counter(skip.reason for skip in verdict.skipped).items())),
        failed=failed[:_TEXT],
        seconds=round(seconds, 3),
    )


def _tally(rule: str, findings: Sequence[Finding], config: Config) -> Tally:
    counts = Counter(finding.status for finding in findings)
    questions = [finding for finding in findings if _is_question(finding, config)]
    return Tally(
        rule=rule,
        blocking=counts[Status.BLOCKING],
        advisory=counts[Status.ADVISORY],
        waived=counts[Status.WAIVED],
        questions=len(questions),
        needs=tuple(sorted(Counter(need for finding in questions for need in finding.needs).items())),
        samples=tuple(
            Sample(path=f.path, line=f.start_line, unit=f.unit[:_TEXT], message=f.message[:_TEXT], status=f.status.value)
            for f in [f for f in findings if f.status in (Status.BLOCKING, Status.ADVISORY)][:SAMPLES]
        ),
    )  # fmt: skip


def _is_question(finding: Finding, config: Config) -> bool:
    return (
        finding.hit is Hit.SUSPECT
        and finding.status is Status.ADVISORY
        and finding.confidence is not Confidence.HIGH
        and finding.severity.rank >= config.block_at.rank
        and config.level(finding.rule) is Level.ON
        and finding.rule not in _guards()  # a question about the gate itself is a person's, whatever the facts say
    )


@lru_cache(maxsize=1)
def _guards() -> frozenset[str]:
    return frozenset(p.id for p in load().policies if any(check.form in GUARD_FORMS for check in p.checks))


def to_json(record: Record) -> dict[str, Any]:
    """Return the record as plain dicts, lists, strings and numbers."""
    return asdict(record)


def from_json(value: Any) -> Record:
    """Read what :func:`to_json` gave. Raises KeyError, TypeError or ValueError for anything else."""
    tallies = tuple(
        Tally(**{
            **tally,
            "needs": tuple((str(name), int(n)) for name, n in tally["needs"]),
            "samples": tuple(Sample(**sample) for sample in tally["samples"]),
        })
        for tally in value["tallies"]
    )  # fmt: skip
    return Record(
        **{**value, "tallies": tallies, "skipped": tuple((str(reason), int(n)) for reason, n in value["skipped"])}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Records of one configuration and version, in ``store_dir``."""

    store_dir: str
    version: str
    configuration: str  # digest of the settings and of the policies

    def load(self, base: str, tree: str) -> Record | None:
        """Return the record of a change, or None when there is none or it is damaged."""
        key = self._key(base, tree)
        path = self._path(key)
        data = store.read(path) if path else None
        seal, _, body = (data or b"").partition(b"\n")
        if seal.decode("ascii", "replace") != _seal(key, body):
            return None
        try:
            return from_json(json.loads(body))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def save(self, base: str, tree: str, record: Record) -> str | None:
        """Keep a record; returns why that was not possible, None otherwise.

        One that failed is not kept: what could not be reviewed may be reviewable next time.
        """
        key = self._key(base, tree)
        path = self._path(key)
        if record.failed or path is None:
            return None
        body = canonical_json(to_json(record))
        try:
            store.write(path, _seal(key, body).encode("ascii") + b"\n" + body)
        except OSError as error:
            return f"{error.strerror or type(error).__name__} ({self.store_dir})"
        return None

    def prune(self, keep: int = KEEP) -> None:
        """Remove all but the newest ``keep`` records, of whatever version and configuration."""
        found = []
        for path in Path(self.store_dir, "learn").glob("*/*"):
            with suppress(OSError):
                found.append((path.stat().st_mtime, path))
        for _, path in sorted(found, reverse=True)[keep:]:
            with suppress(OSError):
                path.unlink()
        for folder in Path(self.store_dir, "learn").glob("*"):
            with suppress(OSError):
                folder.rmdir()  # the empty ones go

    def _key(self, base: str, tree: str) -> str:
        return digest([_FORMAT, base, tree, self.version, self.configuration])[3:]

    def _path(self, key: str) -> Path | None:
        return Path(self.store_dir, "learn", self.version, key) if _VERSION.fullmatch(self.version) else None


def _seal(key: str, body: bytes) -> str:
    return digest(key.encode("ascii") + b"\n" + body)
