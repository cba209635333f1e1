"""Reads the files that a review asked for: the listing of each tree, then summaries, from the cache or made anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from agentreview.canonical import digest
from agentreview.policies.compare import Engine, FileResult
from agentreview.policies.nearby import Nearby, settings_in
from agentreview.syntax.facts import Analysis, UnitFacts, analyse
from agentreview.syntax.frameworks import VALUES
from agentreview.syntax.imports import Paths
from agentreview.syntax.parse import parse_source
from agentreview.syntax.patterns import Link, chain
from agentreview.syntax.reach import CONTROLS
from agentreview.syntax.reader import Reader
from agentreview.syntax.summary import FORMAT, MAX_BYTES, Summary, settings_of, summarise
from agentreview.syntax.tree import Expr, Module, Param, subexpressions

MAX_FILES = 400  # read for one review and one side


class Trees(Protocol):
    """Where trees and blobs are read, and where summaries are kept. Implemented by the git edge."""

    def listing(self, tree: str) -> Mapping[str, str]:
        """Regular files of a tree: path to blob."""
        ...

    def read(self, blobs: Sequence[str], limit: int) -> Mapping[str, bytes]:
        """Contents of those blobs that are there and not larger than ``limit`` bytes."""
        ...

    def known(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Kept summaries."""
        ...

    def keep(self, summaries: Mapping[str, bytes]) -> None:
        """Keep summaries. Losing them only costs time."""
        ...


Summarise = Callable[[Sequence[tuple[str, bytes]], Engine], list["Summary | None"]]


class Around:
    """The two trees of one review, read as far as it asks."""

    def __init__(self, trees: Trees, before: str, after: str, summarise: Summarise | None = None) -> None:
        self.trees, self.ids = trees, (before, after)
        self.blobs: list[Mapping[str, str] | None] = [None, None]
        self.paths: list[Paths | None] = [None, None]
        self.summaries: tuple[dict[str, Summary | None], dict[str, Summary | None]] = ({}, {})
        self._by_blob: dict[tuple[str, str], Summary | None] = {}
        self._summarise = summarise or in_process

    def open(self, sides: Iterable[int], engine: Engine) -> None:
        """List trees (0 before, 1 after) before anything is asked: most code names other files, and that saves a round."""
        for side in sides:
            self._list(side)
        engine.nearby = (Nearby(self.paths[0], self.summaries[0]), Nearby(self.paths[1], self.summaries[1]))

    def _list(self, side: int) -> bool:
        if self.blobs[side] is not None:
            return False
        listing = self.blobs[side] = self.trees.listing(self.ids[side])
        self.paths[side] = paths = Paths(listing)
        settings_in(paths)  # here: what a worker finds out ends with it
        return True

    def provide(self, results: Iterable[FileResult], engine: Engine) -> bool:
        """Read what these results ask for. False when nothing new was read: asking again would give the same answer."""
        new = False
        missing: dict[tuple[str, str], None] = {}
        asked: list[tuple[int, str, str]] = []
        for side, wants in ((s, w) for r in results for s, w in ((0, r.before), (1, r.after))):
            new |= wants.listing and self._list(side)
            for path in sorted(wants.paths):
                blobs, held = self.blobs[side] or {}, self.summaries[side]
                if path not in held and len(held) < MAX_FILES:
                    held[path] = None
                    asked.append((side, path, blobs.get(path, "")))
                    missing[path, blobs.get(path, "")] = None
        self._load([key for key in missing if key not in self._by_blob and key[1]], engine)
        for side, path, blob in asked:
            self.summaries[side][path] = self._by_blob.get((path, blob))
            new = True
        engine.nearby = (Nearby(self.paths[0], self.summaries[0]), Nearby(self.paths[1], self.summaries[1]))
        return new

    def _load(self, wanted: Sequence[tuple[str, str]], engine: Engine) -> None:
        if not wanted:
            return
        mark = f"{FORMAT} {engine.catalogue.digest} {engine.config.digest}"
        keys = {(path, blob): digest(f"{mark} {blob} {path}")[3:] for path, blob in wanted}
        kept = self.trees.known(list(keys.values()))
        todo = []
        for place, key in keys.items():
            found = _loaded(kept.get(key))
            if found is not None:
                self._by_blob[place] = found
            else:
                todo.append(place)
        contents = self.trees.read([blob for _, blob in todo], MAX_BYTES) if todo else {}
        readable = [place for place in todo if place[1] in contents]
        made = self._summarise([(path, contents[blob]) for path, blob in readable], engine)
        fresh = {}
        for place, summary in zip(readable, made, strict=True):
            self._by_blob[place] = summary
            if summary is not None:
                fresh[keys[place]] = json.dumps(summary).encode()
        if fresh:
            self.trees.keep(fresh)


def _loaded(data: bytes | None) -> Summary | None:
    try:
        found = json.loads(data) if data is not None else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def in_process(files: Sequence[tuple[str, bytes]], engine: Engine) -> list[Summary | None]:
    """Summarise files in this process (tests; no time limit)."""
    return [summary(path, content, engine) for path, content in files]


def summary(path: str, content: bytes, engine: Engine) -> Summary | None:
    """What one file lends; of a file that is no code or does not parse, what its lines alone say."""
    module = parse_source(path, content)
    if not isinstance(module, Module):
        return settings_of(path, content)
    matchers = engine.matchers(module.language)
    analysis = analyse(module, path, matchers, engine.lexicon)
    return summarise(analysis, _Controls(analysis, matchers, engine))


class _Controls:
    """Which controls an argument spells: a middleware, a wrapper, a dependency."""

    def __init__(self, analysis: Analysis, matchers: Any, engine: Engine) -> None:
        self.reader = Reader(analysis.module, analysis.path, matchers, engine.lexicon)

    def __call__(self, value: Expr) -> list[list[Any]]:
        out: dict[str, list[Any]] = {}
        holder = UnitFacts(self.reader.module.root)
        self.reader.param_facts(holder.unit, Param("", default=value), holder)  # Depends(current_user)
        for fact in holder.facts:
            if fact.concept in CONTROLS:
                out.setdefault(fact.concept, [fact.concept, fact.call, fact.line])
        for sub in subexpressions(value):
            if sub.kind not in ("name", "attr", "call"):
                continue
            links = chain(sub)
            if links[-1].args is None:
                links = [*links[:-1], Link(links[-1].name, (), links[-1].key, links[-1].expr)]
            for entry, _, _ in (*self.reader.entries(links, decorator=True), *self.reader.entries(links)):
                if entry.concept in CONTROLS and entry.concept not in VALUES:
                    out.setdefault(
                        entry.concept, [entry.concept, ".".join(link.name for link in links)[-100:], sub.line]
                    )
        return list(out.values())
