"""Model reviewers without a network: a tree in memory, and a backend that answers from what it was really sent."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentreview.compute import _anchored
from agentreview.llm import Answer, Failure, Request, Usage
from agentreview.model import Asked, FileChange, Finding, Snapshot
from agentreview.policies.run import review_changes
from agentreview.reviewers.run import Read, read
from engine import change, engine

VIEWS = "clinic/views.py"
ROW = re.compile(r"^(\d+):([0-9a-f]{4})\|(.*)$", re.M)
HEADER = re.compile(r"^-- (?:after|before|called|base class|decorator|model|caller)(?:,|:) (\S+)", re.M)


class Trees:
    """Two trees in memory: ``before`` and ``after`` are (path -> text)."""

    def __init__(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        self.sides = {"before": dict(before), "after": dict(after)}
        self.reads = 0

    def listing(self, tree: str) -> Mapping[str, str]:
        return {path: f"{tree}:{path}" for path in self.sides[tree]}

    def read(self, blobs: Sequence[str], limit: int) -> Mapping[str, bytes]:
        self.reads += len(blobs)
        split = {blob: blob.split(":", 1) for blob in blobs}
        return {b: self.sides[t][p].encode() for b, (t, p) in split.items() if len(self.sides[t][p]) <= limit}

    def known(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return {}

    def keep(self, summaries: Mapping[str, bytes]) -> None:
        pass


def rows(text: str) -> list[dict[str, Any]]:
    """Every line of code in a request: unit, path, side, line, hash and quote, as a reader would copy them."""
    out, unit, path, side = [], "", "", "after"
    for line in text.split("\n"):
        if line.startswith("== "):
            unit, path = line[3:].split(":", 1)[0], line.split(": ", 1)[1].split(" ", 1)[0]
        elif line.startswith("-- "):
            found = HEADER.match(line)
            path = found[1] if found else path
            side = "before" if line.startswith("-- before") else "after"
        else:
            found = ROW.match(line)
            if found:
                out.append({
                    "unit": unit, "path": path, "side": side, "line": int(found[1]), "hash": found[2], "quote": found[3].strip(),
                })  # fmt: skip
    return out


def cited(row: Mapping[str, Any]) -> dict[str, Any]:
    """What cites one line."""
    return {key: row[key] for key in ("path", "side", "line", "hash", "quote")}


def where(text: str, code: str, side: str = "after") -> dict[str, Any]:
    """The first shown line that holds ``code``."""
    return next(row for row in rows(text) if code in row["quote"] and row["side"] == side)


def claim(row: Mapping[str, Any], rule: str = "review.access", **more: Any) -> dict[str, Any]:
    """A whole claim at a line."""
    return {
        "rule": rule, "message": "anybody gets through", "who": "an anonymous caller", "request": "GET /patients/7",
        "consequence": "the record is shown", "looked_for": ["a decorator"], "introduced": True, "evidence": [], "fix": "refuse first",
        "unit": row["unit"], **cited(row), **more,
    }  # fmt: skip


def suspect(name: str, verdict: str, row: Mapping[str, Any], reason: str = "because of this line") -> dict[str, Any]:
    return {"id": name, "verdict": verdict, **cited(row), "reason": reason}


def answer(text: str, claims: Sequence[Any] = (), suspects: Sequence[Any] = (), **more: Any) -> dict[str, Any]:
    """A whole answer that vouches for every unit of the request, and leaves open every suspect that is not named."""
    units = re.findall(r"^== (U\d+):", text, re.M)
    named = {one["id"] for one in suspects}
    open_ = [
        {"id": name, "verdict": "needs_context", "path": "", "side": "after", "line": 0, "hash": "", "quote": "", "reason": "not shown"}
        for name in re.findall(r"^   (U\d+\.S\d+):", text, re.M)
        if name not in named
    ]  # fmt: skip
    return {"reviewed": units, "claims": list(claims), "suspects": [*suspects, *open_], **more}


def verdicts(text: str, verdict: str = "upheld", code: str = "") -> dict[str, Any]:
    """The second reader's answer about every claim, quoting the first line that holds ``code``."""
    row = where(text, code)
    names = re.findall(r"^(C\d+): ", text, re.M)
    return {
        "verdicts": [{"id": name, "verdict": verdict, **cited(row), "reason": f"I say {verdict}"} for name in names]
    }


class Backend:
    """Answers with what ``review`` and ``refute`` return for the last message: a dict, a text, or a Failure."""

    def __init__(
        self, review: Callable[[str], Any] = answer, refute: Callable[[str], Any] = verdicts, seconds: float = 0.5
    ) -> None:
        self.review, self.refute, self.seconds = review, refute, seconds
        self.requests: list[Request] = []
        self._lock = threading.Lock()

    def ask(self, request: Request, deadline: float | None) -> Answer | Failure:
        with self._lock:
            self.requests.append(request)
        first = request.messages[0][1]
        said = self.refute(first) if ".refute#" in request.id else self.review(first)
        if isinstance(said, Failure):
            return said
        text = said if isinstance(said, str) else json.dumps(said)
        return Answer(text, "end_turn", Usage(100, 10), self.seconds, request.model)

    @property
    def sent(self) -> str:
        """Every byte that left, one request after the other."""
        return "\n".join(t for r in self.requests for t in (*(b.text for b in r.system), *(m for _, m in r.messages)))


def reading(
    before: Mapping[str, str], after: Mapping[str, str], backend: Backend | Failure | None = None, *, facts: str = "", branch: str = "main",
    said: list[tuple[str, str]] | None = None, **asked: Any,
) -> tuple[Read, list[Finding]]:  # fmt: skip
    """Have reviewers read what turns one tree into the other. Returns what they say, and what the policies said."""
    paths = sorted({*before, *after})
    changes: list[FileChange] = [change(p, before.get(p), after.get(p)) for p in paths if before.get(p) != after.get(p)]
    snapshot = Snapshot(base="before", tree="after", changes=tuple(changes), branch=branch)
    core = engine(facts)
    claims = [c for c in review_changes(changes, core).claims if c.touched]
    found, _ = _anchored(snapshot, claims, {p.id: p.rule for p in core.catalogue.policies})
    terms = Asked(**{"names": ("tenant-isolation",), "surface": "run", **asked})
    tell = (lambda kind, text: said.append((kind, text))) if said is not None else (lambda _kind, _text: None)
    return read(terms, snapshot, found, core, Trees(before, after), backend=backend, say=tell), found
