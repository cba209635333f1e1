"""``policies test|new``: what somebody who writes a policy runs. Works on files as they lie in the work tree."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentreview.commands.policies import group
from agentreview.commands.shared import CONTEXT, emit, unknown, worktree_option
from agentreview.console import width
from agentreview.errors import ConfigError, ExitCode, UsageError
from agentreview.policies.project import PACK
from agentreview.records import dataclass, replace
from agentreview.version import PROJECT_FRAMEWORKS, PROJECT_POLICIES

if TYPE_CHECKING:
    from agentreview.policies.examples import Example
    from agentreview.policies.load import Catalogue
    from agentreview.policies.selftest import Outcome, Said

SCHEMA = "agentreview/policies-test/1"
SHOWN = 5  # findings of one noisy example
_READ = (".md", ".yml", ".yaml", ".markdown", ".mdx")


@dataclass(frozen=True, slots=True)
class Suite:
    """The examples of one policy, and what they run with."""

    policy: str
    file: str
    examples: tuple[Example, ...]
    catalogue: Catalogue


@click.command(
    "test",
    context_settings=CONTEXT,
    short_help="Run the examples of the policies.",
    epilog="""\b
Examples:
  agentreview policies test                              the built-in ones and this project's
  agentreview policies test hipaa.phi-in-logs            one
  agentreview policies test .agents/policies             a folder
  agentreview policies test .agents/policies/no-print.md""",
)
@click.argument("names", metavar="[PATH|ID]...", nargs=-1)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--verbose", "-v", is_flag=True, help="List every example.")
@worktree_option
def test_command(*, names: tuple[str, ...], form: str, verbose: bool, worktree: str | None) -> int:
    """Run the examples of the policies through the same code as a review, each alone with its policy.

    A bad example is Reported, or Missing when the policy does not find it; a good one is Quiet, or Noisy when the
    policy finds something. Files are read from the work tree, so nothing has to be staged. Exits 1 when an example
    is Missing, Noisy or could not be checked.
    """
    from agentreview.worker import run_examples

    suites = _suites(names, worktree)
    pairs = [(example, suite.catalogue) for suite in suites for example in suite.examples]
    outcomes = iter(run_examples(pairs))
    results = {suite: [next(outcomes) for _ in suite.examples] for suite in suites}
    if form == "json":
        emit(json.dumps(_record(results), indent=2) + "\n")
    else:
        emit("\n".join(_lines(results, verbose=verbose)) + "\n")
    return int(ExitCode.PASS if all(_sound(found) for found in results.values()) else ExitCode.BLOCKED)


def _suites(names: Sequence[str], worktree: str | None) -> list[Suite]:
    """Find what is to be tested. Raises UsageError for a name that is nothing, ConfigError for a mistake in a file."""
    default: list[Suite] | None = None
    chosen: list[Suite] = []
    for name in names or ("",):
        if name and _is_path(name):
            chosen += _at(Path(name))
            continue
        if default is None:
            root = _root(worktree)
            default = [*_built_in(root), *_of_project(root)]
        found = [suite for suite in default if not name or suite.policy in (name, f"{PACK}.{name}")]
        if not found:
            raise unknown("policy", name, [suite.policy for suite in default], more=" A path has a / or ends in .md")
        chosen += found
    unique = {(suite.policy, suite.file): suite for suite in chosen}
    return list(unique.values())


def _is_path(name: str) -> bool:
    return "/" in name or os.sep in name or name.endswith(".md") or (Path(name).exists() and "." not in name.strip("."))


def _at(path: Path) -> list[Suite]:
    """Suites of a file or folder: a catalogue of its own (with citations.yml), or policies beside the built-in ones."""
    if not path.exists():
        raise UsageError(f"{path} does not exist", fix="Name a policy file, a folder of policies, or a policy's id")
    place = path.resolve()
    folder = place if place.is_dir() else place.parent
    for parent in (folder, *folder.parents):
        if (parent / "citations.yml").is_file():
            return _some(_catalogue_at(parent), place, path)
        if parent.name == "policies" and parent.parent.name == ".agents":
            return _some(_beside(parent, parent.parent / "frameworks"), place, path)
        if parent.name == ".agents":
            return _some(_beside(parent / "policies", parent / "frameworks"), place, path)
    if place.is_dir() and (place / ".agents").is_dir():
        return _some(_of_project(place), place, path)
    return _some(_beside(folder, folder / "frameworks", None if place.is_dir() else place), place, path)


def _some(suites: list[Suite], place: Path, said: Path) -> list[Suite]:
    found = [suite for suite in suites if (file := Path(suite.file).resolve()) == place or place in file.parents]
    if not found:
        raise UsageError(f"there are no policies in {said}", fix="agentreview policies new ID writes one")
    return found


def _catalogue_at(root: Path) -> list[Suite]:
    from agentreview.policies.examples import examples
    from agentreview.policies.load import load

    catalogue = load(root)
    found = examples(root)
    files = {policy.id: root / f"{policy.id.replace('.', '/')}.md" for policy in catalogue.policies}
    return [
        Suite(name, shown_path(file), tuple(e for e in found if e.policy == name), catalogue)
        for name, file in sorted(files.items())
    ]


def _built_in(root: Path | None) -> list[Suite]:
    """The built-in suites, with the framework files of the project around: an entry can also silence something."""
    from agentreview.policies.load import policies_dir
    from agentreview.policies.project import joined, sources

    suites = _catalogue_at(policies_dir())
    paths = _files(root / PROJECT_FRAMEWORKS) if root is not None else []
    if root is None or not paths:
        return suites
    names = {path.relative_to(root).as_posix(): path for path in paths}
    shown = {name: shown_path(path) for name, path in names.items()}
    catalogue, _ = joined(*sources({name: _content(path) for name, path in names.items()}, shown))
    return [replace(suite, catalogue=catalogue) for suite in suites]


def _root(worktree: str | None) -> Path | None:
    from agentreview.git import open_repository

    try:
        return Path(open_repository(worktree).root)
    except UsageError:
        if worktree is not None:
            raise
        return None


def _of_project(root: Path | None) -> list[Suite]:
    return _beside(root / PROJECT_POLICIES, root / PROJECT_FRAMEWORKS) if root is not None else []


def _beside(policies: Path, frameworks: Path, only: Path | None = None) -> list[Suite]:
    """Suites of policies that come on top of the built-in ones, with the framework files of their project."""
    from agentreview.policies.compiling import try_rules
    from agentreview.policies.examples import examples_of
    from agentreview.policies.project import joined, sources
    from agentreview.policies.yamlfile import decoded, front_matter

    paths = [only] if only is not None else [p for p in _files(policies) if frameworks not in p.parents]
    names = {f"{PROJECT_POLICIES}/{path.relative_to(policies).as_posix()}": path for path in paths}
    names |= {f"{PROJECT_FRAMEWORKS}/{path.relative_to(frameworks).as_posix()}": path for path in _files(frameworks)}
    files = {name: _content(path) for name, path in names.items()}
    own, spelled = sources(files, {name: shown_path(path) for name, path in names.items()})
    if not own:
        return []
    catalogue, compiled = joined(own, spelled)
    out = []
    for source, one in zip(own, compiled["policies"], strict=True):
        text = decoded(source.data, source.path)
        try_rules(one, source.path, front_matter(text, source.path)[1])
        out.append(Suite(source.id, source.path, tuple(examples_of(text, source.id, source.path)), catalogue))
    return out


def _files(folder: Path) -> list[Path]:
    found = []
    for place, _, names in sorted(os.walk(folder)):
        found += [Path(place, name) for name in sorted(names) if name.endswith(_READ) and name != "README.md"]
    return found


def _content(path: Path) -> bytes:
    if path.is_symlink():
        raise ConfigError(
            "this is a link; a review would not follow it", path=shown_path(path), fix="Put the file itself there"
        )
    return path.read_bytes()


def shown_path(path: Path) -> str:
    """Return a path as people write it: from where they are, when it is below."""
    place, here = path.resolve(), Path.cwd()
    return place.relative_to(here).as_posix() if here in place.parents else str(place)


def _sound(outcomes: Sequence[Outcome]) -> bool:
    return all(outcome.passed for outcome in outcomes) and any(not outcome.example.good for outcome in outcomes)


def _record(results: Mapping[Suite, list[Outcome]]) -> dict[str, Any]:
    from agentreview.policies.selftest import tally

    every = [outcome for found in results.values() for outcome in found]
    counts = {word.value: number for word, number in tally(every).items()}
    return {
        "schema": SCHEMA,
        "passed": all(_sound(found) for found in results.values()),
        "summary": {"policies": len(results), "examples": len(every), **counts},
        "without_bad_example": [s.policy for s, found in results.items() if all(o.example.good for o in found)],
        "examples": [
            {
                "policy": o.example.policy, "file": suite.file, "line": o.example.line, "kind": "good" if o.example.good else "bad",
                "language": o.example.language, "framework": o.example.framework, "title": o.example.title, "result": o.word.value,
                "said": [{"line": s.line, "hit": s.hit, "message": s.message} for s in o.said], "reason": o.reason,
            }
            for suite, found in results.items()
            for o in found
        ],
    }  # fmt: skip


def _lines(results: Mapping[Suite, list[Outcome]], *, verbose: bool) -> Iterator[str]:
    from agentreview.policies.selftest import tally
    from agentreview.reporters.summary import count
    from agentreview.reporters.text import escape

    size = max(len(suite.policy) for suite in results)
    for suite, found in results.items():
        words = ", ".join(f"{number} {word.value}" for word, number in tally(found).items() if number) or "no examples"
        yield f"{'ok  ' if _sound(found) else 'FAIL'}  {escape(suite.policy):<{size}}  {words}"
        if all(outcome.example.good for outcome in found):
            yield f"  {escape(suite.file)}: it has no bad example, so nothing shows that it finds anything"
        for outcome in found:
            if not outcome.passed:
                yield from _framed(suite, outcome, width(sys.stdout))
            elif verbose:
                yield f"  {_headed(suite, outcome)}"
    every = [outcome for found in results.values() for outcome in found]
    words = ", ".join(f"{number} {word.value}" for word, number in tally(every).items())
    yield f"{len(results)} {'policy' if len(results) == 1 else 'policies'}, {count(len(every), 'example')}: {words}"


def _headed(suite: Suite, outcome: Outcome) -> str:
    from agentreview.reporters.text import escape

    example = outcome.example
    kind = "good" if example.good else "bad"
    word = outcome.word.value.capitalize()
    return escape(f"{word:<9} {suite.file}:{example.line} {kind} {example.framework}: {example.title}")


def _framed(suite: Suite, outcome: Outcome, columns: int) -> Iterator[str]:
    """Show where a policy says too much, or where it should have said something."""
    from agentreview.policies.selftest import Said, Word
    from agentreview.reporters.text import escape, wrap

    yield f"  {_headed(suite, outcome)}"
    if outcome.word is Word.NOISY:
        for said in outcome.said[:SHOWN]:
            yield from _caret(suite.file, said, columns)
            yield from (f"      {line}" for line in wrap(f"{said.hit}: {said.message}", columns - 6))
        if len(outcome.said) > SHOWN:
            yield f"      … and {len(outcome.said) - SHOWN} more findings"
        return
    example = outcome.example
    fence = Said(
        example.line,
        f"```{example.language} {'good' if example.good else 'bad'} {example.framework}: {example.title}",
        "",
        "",
    )
    yield from _caret(suite.file, outcome.where or fence, columns)
    yield f"      {escape(outcome.reason)}"


def _caret(file: str, said: Said, columns: int) -> Iterator[str]:
    from agentreview.reporters.text import cells, code, escape

    number = str(said.line)
    text = code(said.code, columns - len(number) - 7)
    indent = len(text) - len(text.lstrip())
    yield f"    {escape(file)}:{number}"
    yield f"    {number} | {text}"
    yield f"    {' ' * len(number)} | {' ' * indent}{'^' * max(1, cells(text.strip()))}"


# -- new -----------------------------------------------------------------------------------------------------------

_ID = re.compile(r"(?:([a-z][a-z0-9]*(?:-[a-z0-9]+)*)\.)?([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")


@click.command("new", context_settings=CONTEXT, short_help="Write a policy of this project from a template.")
@click.argument("policy_id", metavar="ID")
@worktree_option
def new_command(*, policy_id: str, worktree: str | None) -> int:
    """Write .agents/policies/<pack>/<name>.md for the id <pack>.<name>: a policy that works, to be changed.

    A name without a pack is one of the pack project, and its file is in .agents/policies itself.
    """
    from agentreview.git import open_repository
    from agentreview.policies.load import load

    match = _ID.fullmatch(policy_id)
    if match is None:
        fix = "Write <pack>.<name> or <name>, of small letters, digits and single hyphens: team.no-print"
        raise UsageError(f"{policy_id!r} cannot be a policy's id", fix=fix)
    pack, name = match.group(1) or PACK, match.group(2)
    full = f"{pack}.{name}"
    if full in load().ids():
        raise UsageError(
            f"{full} is a built-in policy", fix="Choose another name; agentreview policies show prints that one"
        )
    root = Path(open_repository(worktree).root)
    relative = f"{PROJECT_POLICIES}/{name}.md" if pack == PACK else f"{PROJECT_POLICIES}/{pack}/{name}.md"
    twin = f"{PROJECT_POLICIES}/{PACK}/{name}.md" if pack == PACK else relative
    for place in (root / relative, root / twin):
        if os.path.lexists(place):
            raise UsageError(f"{shown_path(place)} is there already", fix=f"Edit it, or choose another id than {full}")
    _write(root, root / relative, template().replace("{{id}}", full))
    emit(f"wrote {shown_path(root / relative)}\nnext: agentreview policies test {full}\n")
    return int(ExitCode.PASS)


def template() -> str:
    """Return the text of a new policy, with ``{{id}}`` where its id goes."""
    from agentreview.version import data_directory

    return (data_directory("policies") / "template.md.txt").read_text(encoding="utf-8")


def _write(root: Path, target: Path, text: str) -> None:
    """Create the file, never through a link that leads out of the work tree, never over another."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if root.resolve() not in target.parent.resolve().parents:
            fix = "Make .agents a folder of this work tree"
            raise UsageError(f"{shown_path(target.parent)} is not in this work tree", fix=fix)
        with target.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(
            f"{target} cannot be written: {reason}", fix="Check the permissions and the free disk space"
        ) from error


for _command in (test_command, new_command):
    group.add_command(_command)
