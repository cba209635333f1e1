"""Workflows: who reviews and what is asked, by kind of work (``feature``, ``bug-fix``, ``refactoring``).

Built in, chosen by ``--workflow``; and of the project (``.agents/workflows/*.md``), chosen by name or by the branch.
A branch name is anybody's choice, so a workflow only adds: reviewers, questions, and a stricter threshold.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentreview.checked import nearest, shown
from agentreview.errors import ConfigError, UsageError
from agentreview.globs import matches
from agentreview.model import Severity
from agentreview.policies.yamlfile import YamlReader, decoded, front_matter
from agentreview.records import dataclass

FOLDER = ".agents/workflows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A kind of work. ``branches`` are globs; ``block_at`` counts where it is stricter than the configuration's."""

    name: str
    agents: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    block_at: Severity | None = None
    body: str = ""


BUILT_IN = {
    one.name: one
    for one in (
        Workflow(
            name="feature",
            agents=("reviewer", "tester"),
            questions=("Which shown test would fail if the new behaviour were taken out again?",),
        ),
        Workflow(
            name="bug-fix",
            agents=("reviewer", "tester"),
            questions=(
                "Is there a test in the change that reproduces the bug, failing before and passing after it? If none is shown: review.untested.",
                "Does the fix treat the cause, or only the one input that showed it?",
            ),
        ),
        Workflow(
            name="refactoring",
            agents=("reviewer", "architect"),
            questions=(
                "For which input do before and after differ? A refactoring changes no behaviour: each difference is review.behaviour-changed.",
            ),
        ),
    )
}


def workflows(files: Mapping[str, bytes]) -> dict[str, Workflow]:
    """Return the project's workflows among ``files``, by name. Raises ConfigError for a mistake in one."""
    out: dict[str, Workflow] = {}
    for path, data in sorted(files.items()):
        if path.startswith(f"{FOLDER}/") and path.endswith(".md") and not path.endswith("/README.md"):
            one = workflow(data, path)
            if one.name in out:
                raise ConfigError(f"a second workflow {shown(one.name)}", path=path, fix="Rename one")
            out[one.name] = one
    return out


def workflow(data: bytes, path: str) -> Workflow:
    """Read one file. Raises ConfigError with the line of the mistake."""
    value, lines, body, _ = front_matter(decoded(data, path), path)
    reader = YamlReader(path, lines)
    table = reader.table(value, (), ("name", "description", "branches", "agents", "block_at", "questions"))
    levels = tuple(one.value for one in Severity)
    asked = reader.array(table.get("questions", []), ("questions",), "questions")
    return Workflow(
        name=reader.string(table.get("name", path.rpartition("/")[2].removesuffix(".md")), ("name",)),
        agents=reader.strings(table.get("agents", []), ("agents",)),
        branches=reader.strings(table.get("branches", []), ("branches",), glob=True),
        block_at=Severity(reader.choice(table["block_at"], ("block_at",), levels)) if "block_at" in table else None,
        questions=tuple(reader.text(one, ("questions", n), most=500) for n, one in enumerate(asked)),
        body=body.strip()[:4000],
    )


def choose(own: Mapping[str, Workflow], name: str, branch: str | None) -> Workflow | None:
    """Return the workflow of this name, else the first one whose pattern the branch matches. Raises UsageError."""
    if name:
        known = {**BUILT_IN, **own}
        if name not in known:
            raise UsageError(f"there is no workflow {shown(name)}", fix=nearest(name, known))
        return known[name]
    if branch:
        return next((one for _, one in sorted(own.items()) if matches(branch, one.branches)), None)
    return None
