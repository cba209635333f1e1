"""Edge: cases played through the real review: trees of git, policies, then the reviewers as often as asked.

The trees are made in a scratch repository that nothing is ever checked out of. Policies are asked once for each case,
they say the same every time; reviewers once for each repetition, without kept answers. Placeholders are made with a
fixed key, so that the same case is the same request on every machine and a recorded answer can be found again.
"""

from __future__ import annotations

import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentreview.changes import SIZE_LIMIT, changes
from agentreview.compute import review_snapshot
from agentreview.config import Config
from agentreview.errors import AgentReviewError, ConfigError, UsageError
from agentreview.evaluation.cases import Case
from agentreview.evaluation.scores import Played, Shot
from agentreview.git import Repository, open_repository, run
from agentreview.llm import Answer, Backend, Failure, Request
from agentreview.model import Asked, Finding, Outcome, Snapshot, Status, settled_by
from agentreview.modelsettings import known_model
from agentreview.policies.compare import Engine
from agentreview.policies.load import Catalogue, load
from agentreview.policies.project import Loaded
from agentreview.review import read_config
from agentreview.snapshot import base_tree, staged_tree
from agentreview.spend import cost
from agentreview.surroundings import GitTrees
from agentreview.triage import settle
from agentreview.version import engine_version

if TYPE_CHECKING:
    from agentreview.reviewers.run import Read

KEY = b"agentreview eval: no secret here"  # 32 bytes
_UNANCHORED = "not anchored ("
_READING = threading.Lock()  # source is read by one thread at a time: matchers are shared and filled as they are used


@dataclass(frozen=True, slots=True)
class Ready:
    """A case whose policies have been asked. ``failures`` are why it cannot be played."""

    case: Case
    repo: Repository | None = None
    snapshot: Snapshot | None = None
    config: Config | None = None
    findings: tuple[Finding, ...] = ()
    failures: tuple[str, ...] = ()


class Tally:
    """Counts what one play asks of a backend."""

    def __init__(self, inner: Backend, config: Config) -> None:
        self._inner = inner
        self._models = {model.id: model for model in config.models.tiers.values()}
        self._lock = threading.Lock()
        self.requests = self.tokens = 0
        self.dollars = 0.0

    def ask(self, request: Request, deadline: float | None) -> Answer | Failure:
        """Ask, and count."""
        outcome = self._inner.ask(request, deadline)
        model = self._models.get(request.model) or known_model(request.model)
        with self._lock:
            self.requests += 1
            if outcome.usage is not None:
                self.tokens += outcome.usage.total
                self.dollars += cost(outcome.usage, model) or 0.0
        return outcome


def prepared(cases: Sequence[Case], folder: Path, config: Config) -> Iterator[Ready]:
    """Ask the policies about every case, in order. ``folder`` is scratch; ``config`` says which models there are."""
    made = dict(zip((case.id for case in cases if not case.repo), _trees(cases, folder), strict=True))
    for case in cases:
        try:
            if case.repo:
                repo = open_repository(case.repo)
                base, tree = base_tree(repo), staged_tree(repo)
            else:
                repo, base, tree = made[case.id]
            own = read_config(repo, tree)
            settings = replace(own, models=config.models, reviewers=replace(config.reviewers, never_send=()))
            limit = max(settings.limits.max_file_bytes, SIZE_LIMIT)
            snapshot = Snapshot(base=base, tree=tree, changes=changes(repo, base, tree, limit=limit))
            trees = GitTrees(repo, engine_version())
            verdict = review_snapshot(snapshot, settings, trees=trees, loaded=Loaded(_catalogue(case)))
        except AgentReviewError as error:
            yield Ready(case, failures=(str(error),))
            continue
        broken = tuple(f"{r.agent}: {r.reason}" for r in verdict.runs if r.outcome is Outcome.FAILED)
        yield Ready(case, repo, snapshot, settings, verdict.findings, broken)


def _catalogue(case: Case) -> Catalogue:
    """All policies, or those alone that a case is about: together, one often speaks for another."""
    whole = load()
    if not case.about:
        return whole
    return replace(whole, policies=tuple(policy for policy in whole.policies if policy.id in case.about))


def play(ready: Ready, who: Sequence[str], backend: Backend | Failure, number: int, store: Path) -> Played:
    """Have the reviewers read a case once. Without reviewers it is what the policies say."""
    begun = time.monotonic()
    if ready.failures or ready.snapshot is None or ready.config is None or ready.repo is None:
        return Played(case=ready.case.id, number=number, failures=ready.failures or ("not prepared",))
    findings: Iterable[Finding] = ready.findings
    dismissed: Sequence[Finding] = ()
    failures: tuple[str, ...] = ()
    tally = None
    if who:
        from agentreview.reviewers.run import read

        tally = Tally(backend, ready.config) if not isinstance(backend, Failure) else None
        engine = Engine(load(), ready.config)
        asked = Asked(names=tuple(who), surface="run", fresh=True, store=str(store))
        trees = GitTrees(ready.repo, engine_version())
        prepared_all = threading.Event()

        def say(kind: str, _text: str) -> None:
            if kind == "reading" and not prepared_all.is_set():  # from here on it is waited for answers
                prepared_all.set()
                _READING.release()

        _READING.acquire()
        try:
            findings_now = list(ready.findings)
            said: Read = read(asked, ready.snapshot, findings_now, engine, trees, backend=tally or backend, say=say)
        except AgentReviewError as error:
            return Played(case=ready.case.id, number=number, failures=(str(error),))
        finally:
            if not prepared_all.is_set():
                _READING.release()
        findings, dismissed = said.findings, said.refuted
        failures = tuple(f"{r.agent}: {r.reason}" for r in said.runs if r.outcome is not Outcome.COMPLETED)
    config = ready.config
    shots = [_shot(settle(replace(f, status=Status.ADVISORY), config)) for f in findings]
    shots += [replace(_shot(f), refuted=True, blocking=False) for f in dismissed]
    return Played(
        case=ready.case.id,
        number=number,
        shots=tuple(shots),
        failures=failures,
        requests=tally.requests if tally else 0,
        tokens=tally.tokens if tally else 0,
        dollars=tally.dollars if tally else 0.0,
        seconds=time.monotonic() - begun,
    )


def play_all(
    jobs: Sequence[tuple[Ready, int]], who: Sequence[str], backend: Backend | Failure, store: Path, *, threads: int,
    done: Callable[[Played], None],
) -> None:  # fmt: skip
    """Play several at a time; ``done`` is called in the calling thread. Raises KeyboardInterrupt, and leaves the rest."""
    store.mkdir(parents=True, exist_ok=True)
    (store / "masking.key").write_bytes(KEY)
    todo: queue.SimpleQueue[tuple[Ready, int] | None] = queue.SimpleQueue()
    came: queue.SimpleQueue[Played | BaseException] = queue.SimpleQueue()

    def work() -> None:
        while (job := todo.get()) is not None:
            try:
                came.put(play(job[0], who, backend, job[1], store))
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for it
                came.put(error)

    for job in jobs:
        todo.put(job)
    for _ in range(threads):
        todo.put(None)
        threading.Thread(target=work, name="eval", daemon=True).start()
    for _ in jobs:
        played = came.get()
        if isinstance(played, BaseException):
            raise played
        done(played)


def _shot(finding: Finding) -> Shot:
    how, by = settled_by(finding)
    return Shot(
        rule=finding.rule,
        path=finding.path,
        line=finding.start_line,
        identity=finding.fingerprint,
        unit=finding.unit,
        cwe=finding.cwe,
        agent=by or finding.agent,
        blocking=finding.status is Status.BLOCKING,
        refuted=how == "cleared",
        anchored=not finding.message.startswith(_UNANCHORED),
        edit=finding.edit is not None,
    )


def _trees(cases: Sequence[Case], folder: Path) -> Iterator[tuple[Repository, str, str]]:
    """Both trees of every case with files, in order, made with one git process."""
    mine = [case for case in cases if not case.repo]
    if not mine:
        return
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    place = folder / "cases"
    try:
        subprocess.run(
            ["git", "init", "-q", "-b", "main", str(place)],  # noqa: S607 - the user's git
            check=True, capture_output=True, env=environment,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        raise UsageError(
            f"no scratch repository can be made in {folder}", fix="Set TMPDIR to one with space"
        ) from error
    repo = open_repository(str(place))
    stream = bytearray()
    for number, case in enumerate(mine):
        for side, files in (("before", case.before), ("after", case.after)):
            stream += (
                f"commit refs/heads/{side}-{number}\ncommitter eval <eval@example.invalid> 0 +0000\ndata 0\n".encode()
            )
            for path, data in files.items():
                if path.startswith('"') or "\n" in path:
                    raise ConfigError(f"a file name that no case can hold: {path!r}", path=case.id, fix="Rename it")
                stream += (
                    f"M 100644 inline {path}\ndata {len(data)}\n".encode("utf-8", "surrogateescape") + data + b"\n"
                )
    run(repo, "fast-import", "--quiet", "--force", stdin=bytes(stream))
    listed = run(repo, "for-each-ref", "--format=%(refname:short) %(tree)", "refs/heads").decode("ascii")
    trees = dict(line.split(" ") for line in listed.splitlines())
    for number in range(len(mine)):
        yield repo, trees[f"before-{number}"], trees[f"after-{number}"]
