"""Edge: files reviewed, and examples tried, in processes that can be killed (:mod:`agentreview.pool`).

A file that is reviewed again, because other files that it asked for are read now, goes to the worker that has it: what
takes the time is reading the file itself, and that is not done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from agentreview.model import FileChange
from agentreview.policies.compare import Engine, FileResult, review_file
from agentreview.policies.nearby import Nearby
from agentreview.pool import PARALLEL_BYTES, Pool, Work, Worker, run

if TYPE_CHECKING:
    from agentreview.policies.compiling import Source
    from agentreview.policies.examples import Example
    from agentreview.policies.load import Catalogue
    from agentreview.policies.selftest import Examined, Outcome

EXAMPLE_SECONDS = 5.0  # of processor time for one example, or for all of one project policy when it is loaded
_SAME = "as before"


class Reviewers:
    """Reviews the files of one change, some of them again. A worker's death fails only the file it was reading."""

    def __init__(self, progress: Callable[[int, int], None] | None = None) -> None:
        self.progress = progress
        self.changes: Sequence[FileChange] = ()
        self.pool: Pool | None = None

    def __enter__(self) -> Reviewers:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.close()

    def __call__(
        self, changes: Sequence[FileChange], engine: Engine, meanwhile: Callable[[], bool] = lambda: False
    ) -> list[FileResult]:
        """Review these files; results in their order. After the first call only files of that call may be named."""
        if self.pool is None:
            self.changes = list(changes)
            self.pool = Pool(
                Work(
                    sizes=[len(c.after or b"") + len(c.before or b"") for c in changes],
                    do=lambda n: _reviewed(self.changes[n], engine),
                    failed=lambda n, why: FileResult(self.changes[n].path, failed=why),
                    seconds=engine.config.limits.file_seconds,
                    told=lambda news: _tell(engine, news),
                )
            )
        numbers = {id(change): n for n, change in enumerate(self.changes)}
        return self.pool.run(
            [numbers[id(change)] for change in changes],
            self.progress,
            lambda worker: _news(engine, worker),
            meanwhile,
        )


def _reviewed(change: FileChange, engine: Engine) -> FileResult:
    """Review a file, and keep what was read of it as long as it asks for others."""
    result = review_file(change, engine)
    if not (result.before or result.after):
        engine.forget(change)
    return result


def _news(engine: Engine, worker: Worker) -> object:
    """What a worker does not have yet of the other files: the paths of the trees once, the summaries."""
    nearby = engine.nearby
    if nearby is None:
        return None
    known = worker.knows if isinstance(worker.knows, tuple) else (None, None)
    paths = tuple(one.paths if one.paths is not old else _SAME for one, old in zip(nearby, known, strict=True))
    worker.knows = (nearby[0].paths, nearby[1].paths)
    return paths, tuple(dict(one.summaries) for one in nearby)


def _tell(engine: Engine, news: Any) -> None:
    """Take that in, in the worker."""
    if news is not None and engine.nearby is not None:
        (paths, summaries), held = news, engine.nearby
        before, after = (
            Nearby(old.paths if one == _SAME else one, known)
            for old, one, known in zip(held, paths, summaries, strict=True)
        )
        engine.nearby = (before, after)


def summarise_in_workers(files: Sequence[tuple[str, bytes]], engine: Engine) -> list[dict[str, Any] | None]:
    """Summarise other files of the tree; one that its worker dies on lends nothing (and is not taken to be read)."""
    from agentreview.policies.around import summary

    work = Work(
        sizes=[len(content) for _, content in files],
        do=lambda n: summary(*files[n], engine),
        failed=lambda _n, _why: None,
        seconds=engine.config.limits.file_seconds,
    )
    return run(work)


def examine_in_workers(sources: Sequence[Source], catalogue: Catalogue) -> list[Examined]:
    """Run the examples of project policies that were not seen before; one that runs away is unchecked."""
    from agentreview.policies.selftest import Examined, examine

    work = Work(
        sizes=[PARALLEL_BYTES] * len(sources),
        do=lambda n: examine(sources[n], catalogue),
        failed=lambda _n, why: Examined(unchecked=f"its examples were {why}"),
        seconds=EXAMPLE_SECONDS,
        limit="for the examples of one policy",
    )
    return run(work)


def run_examples(examples: Sequence[tuple[Example, Catalogue]]) -> list[Outcome]:
    """Run examples, each alone with its policy; one that runs away is unchecked."""
    from agentreview.policies.selftest import Outcome, Word, run_example

    work = Work(
        sizes=[PARALLEL_BYTES] * len(examples),
        do=lambda n: run_example(*examples[n]),
        failed=lambda n, why: Outcome(examples[n][0], Word.UNCHECKED, reason=why),
        seconds=EXAMPLE_SECONDS,
        limit="for one example",
    )
    return run(work)
