"""Answers that are known: kept for each unit, by everything they rest on, so that an unchanged unit keeps its answer.

A small JSON file each below ``<store>/reviews``, shared by all worktrees; disposable, never executed. Lines are kept by
their text and found again: a unit that only moved is not asked about again. Beside them is kept how each unit looked when
it was last read whole, so that the next reading need not be shown all of it again (:mod:`agentreview.reviewers.again`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from agentreview.canonical import canonical_json, digest
from agentreview.records import dataclass
from agentreview.reviewers import again, proposed
from agentreview.reviewers.again import Earlier, Quoted, Sight
from agentreview.reviewers.answers import Cited, Said, Settled
from agentreview.reviewers.shown import Place, Shown
from agentreview.store import read, write

FORMAT = 1
KEEP = 10_000  # files, two a unit; what is older goes when one in 64 is written
Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Known:
    """What a reviewer said of one unit, verified: claims with the second reader's verdict, and settled suspects."""

    claims: tuple[tuple[Said, str, str], ...] = ()  # (claim, upheld | refuted | needs_context | "", the reason)
    suspects: tuple[tuple[str, Settled], ...] = ()  # (fingerprint, what was said)


@dataclass(frozen=True, slots=True)
class Answers:
    """The kept answers of one repository; ``folder`` "" keeps nothing."""

    folder: str

    def load(self, key: str, unit: str, shown: Shown) -> Known | None:
        """Return what is known of a unit, its lines found again, or None when there is any doubt."""
        return self._read(key, lambda raw: _decoded(raw, unit, shown))

    def save(self, key: str, known: Known) -> None:
        """Keep an answer. Failing costs time and money, nothing else."""
        self._write(key, _encoded(known))

    def earlier(self, name: str) -> Earlier | None:
        """Return how a unit looked when it was last read whole."""
        return self._read(name, again.decoded)

    def remember(self, name: str, sight: Sight, known: Known) -> None:
        """Keep how a unit looked when it was last read whole, and what stands against it now."""
        self._write(name, again.encoded(_earlier(sight, known)))

    def _read(self, key: str, decode: Callable[[Any], Kept | None]) -> Kept | None:
        path = self._path(key)
        data = read(path) if path is not None else None
        if data is None:
            return None
        head, _, body = data.partition(b"\n")
        if head != _seal(key, body):
            return None
        try:
            return decode(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def _write(self, key: str, value: dict[str, Any]) -> None:
        path = self._path(key)
        if path is None:
            return
        body = canonical_json(value)
        try:
            write(path, _seal(key, body) + b"\n" + body)
            if digest(key.encode(), size=1).endswith(("00", "40", "80", "c0")):
                _prune(path.parent.parent)
        except OSError:
            return

    def _path(self, key: str) -> Path | None:
        name = key.removeprefix("b2:")
        return Path(self.folder, "reviews", name[:2], name) if self.folder else None


def unit_key(parts: Mapping[str, Any]) -> str:
    """Name an answer by everything it rests on."""
    return digest({"format": FORMAT, **parts})


def _earlier(sight: Sight, known: Known) -> Earlier:
    """What a reading leaves for the next one: what it holds against a unit, in words, and every line that it quotes."""
    stands = [said for said, verdict, _ in known.claims if verdict != "refuted"]
    places = [cited.place for said in stands for cited in said.evidence]
    places += [
        place for place in (*(said.place for said in stands), *(one.place for _, one in known.suspects)) if place
    ]
    return Earlier(
        sight=sight,
        said=tuple((said.rule, f"{said.message} {said.scenario}".strip()) for said in stands),
        quoted=tuple(dict.fromkeys(Quoted(place.path, place.side, place.text) for place in places)),
        undecided=frozenset(name for name, one in known.suspects if one.verdict == "needs_context"),
    )


def _seal(key: str, body: bytes) -> bytes:
    return digest(key.encode() + b"\n" + body).encode()


def _prune(folder: Path) -> None:
    files = sorted((p for p in folder.glob("*/*")), key=lambda p: p.stat().st_mtime, reverse=True)
    for path in files[KEEP:]:
        path.unlink(missing_ok=True)


def _encoded(known: Known) -> dict[str, Any]:
    return {
        "claims": [[_claim(said), verdict, reason] for said, verdict, reason in known.claims],
        "suspects": [[print_, one.verdict, one.reason, _place(one.place)] for print_, one in known.suspects],
    }


def _claim(said: Said) -> dict[str, Any]:
    return {
        "rule": said.rule, "message": said.message, "scenario": said.scenario, "fix": said.fix, "looked_for": list(said.looked_for),
        "introduced": said.introduced, "place": _place(said.place), "why_not": said.why_not,
        "evidence": [[_place(one.place), one.said] for one in said.evidence],
        "edit": proposed.encoded(said.edit), "no_edit": said.no_edit,
    }  # fmt: skip


def _place(place: Place | None) -> list[Any] | None:
    return None if place is None else [place.path, place.side, place.line, place.text]


def _decoded(raw: Any, unit: str, shown: Shown) -> Known | None:
    claims = []
    for fields, verdict, reason in raw["claims"]:
        place, lost = _found(fields["place"], shown)
        evidence = [(_found(where, shown)[0], text) for where, text in fields["evidence"]]
        if lost:
            return None
        moved = place.line - int(fields["place"][2]) if place is not None and place.side == "after" else 0
        claims.append((
            Said(
                unit=unit, rule=fields["rule"], message=fields["message"], scenario=fields["scenario"], fix=fields["fix"],
                looked_for=tuple(fields["looked_for"]), introduced=fields["introduced"] is True, place=place, why_not=fields["why_not"],
                evidence=tuple(Cited(at, text) for at, text in evidence if at is not None),
                edit=proposed.decoded(fields["edit"], shown, moved), no_edit=str(fields["no_edit"]),
            ), str(verdict), str(reason),
        ))  # fmt: skip
    suspects = []
    for print_, verdict, reason, where in raw["suspects"]:
        place, lost = _found(where, shown)
        if lost:
            return None
        suspects.append((str(print_), Settled("", str(verdict), str(reason), place)))
    return Known(tuple(claims), tuple(suspects))


def _found(where: Any, shown: Shown) -> tuple[Place | None, bool]:
    """Find a kept line again: the same text, nearest to where it was. The second value says that it is lost."""
    if where is None:
        return None, False
    path, side, line, text = where
    version = shown.version(path, side)
    at = [n for n, have in enumerate(version.lines, 1) if have == text] if version is not None else []
    if not at:
        return None, True
    return Place(path, side, min(at, key=lambda n: abs(n - line)), text), False
