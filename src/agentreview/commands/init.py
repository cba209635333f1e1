"""``agentreview init``: a configuration with what is found in the repository, or what one that is there does not say."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentreview.commands.configfile import by_hand, configuration, encoded, replace_file, table_of
from agentreview.commands.shared import CONTEXT, emit, reviewed_tree, worktree_option
from agentreview.console import width
from agentreview.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from agentreview.config import Config
    from agentreview.detect import Detection, Found
    from agentreview.git import Repository

FOUND = (
    ("frameworks", "frameworks"),
    ("phi.models", "PHI models"),
    ("phi.fields", "PHI fields"),
    ("phi.sensitive", "sensitive models"),
    ("audit.calls", "audit calls"),
    ("audit.automatic", "automatic audit"),
    ("tenant.key", "tenant key"),
    ("tenant.isolation", "tenant isolation"),
    ("tenant.scoped_by", "scoping helpers"),
    ("access.default", "access by default"),
    ("access.guards", "guards"),
    ("access.decorators", "permission decorators"),
    ("access.object_checks", "object checks"),
    ("egress.approved", "data goes to"),
    ("session.idle_minutes", "idle minutes"),
    ("session.absolute_hours", "session hours"),
)
NAMES = 6  # values listed for one fact


@click.command("init", context_settings=CONTEXT, short_help="Write a configuration with what is found here.")
@click.option("--add", is_flag=True, help="Add to the configuration that is there what it does not say yet.")
@click.option("--force", is_flag=True, help="Replace the agentreview.toml that is there.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the file instead of writing it.")
@worktree_option
def command(*, add: bool, force: bool, to_stdout: bool, worktree: str | None) -> int:
    """Write agentreview.toml: every setting explained, and the facts found in this repository.

    Each fact stands below the place that shows it. Until a person has checked them and said so (agentreview facts
    confirm), findings that rest on them are shown as advice and do not block.

    Where there is a configuration already, nothing is written: what it does not say is listed, and --add writes it
    there, leaving every line as it is.
    """
    from agentreview.config import CONFIG_NAME
    from agentreview.detect import render
    from agentreview.git import open_repository

    if sum((add, force, to_stdout)) > 1:
        raise UsageError("--add, --force and --stdout exclude each other", fix="Give one of them")
    repo = open_repository(worktree)
    target = Path(repo.root) / CONFIG_NAME
    if to_stdout:
        emit(render(detected(repo)))
        return int(ExitCode.PASS)
    there = None if force and target.is_symlink() else configuration(repo)
    if there is not None and (not force or there[0] != CONFIG_NAME):
        if force:
            raise UsageError(
                f"[tool.agentreview] in {there[0]} configures agentreview already",
                fix="Edit it there; agentreview init --add adds to it",
            )
        return _compare(repo, *there, add=add)
    if add:
        raise UsageError("there is no configuration to add to", fix="agentreview init writes one")
    detection = detected(repo)
    write_file(target, render(detection).encode())
    emit("\n".join([f"wrote {CONFIG_NAME}", *_summary(detection), *_next_steps(repo)]) + "\n")
    return int(ExitCode.PASS)


def detected(repo: Repository) -> Detection:
    """Look for facts in the staged tree (HEAD's while there are unmerged paths)."""
    from agentreview.detect import MAX_FILE_BYTES, detect
    from agentreview.git import blob_sizes, read_blobs, tree_files

    oids = {
        entry.path: entry.oid for entry in tree_files(repo, reviewed_tree(repo)) if entry.mode in {"100644", "100755"}
    }

    def read(paths: Sequence[str]) -> Mapping[str, bytes]:
        sizes = blob_sizes(repo, (oids[path] for path in paths))
        small = [path for path in paths if sizes[oids[path]] <= MAX_FILE_BYTES]
        blobs = read_blobs(repo, (oids[path] for path in small))
        return {path: blobs[oids[path]] for path in small}

    return detect(oids, read)


def _compare(repo: Repository, path: str, data: bytes, *, add: bool) -> int:
    """Say what the configuration does not say, or add it."""
    from agentreview.commands.policies import reviewed
    from agentreview.config import parse_config

    ids = reviewed(repo.root if repo.foreign else None).catalogue.ids()
    config = parse_config(data, path=path, known_policies=ids, table=table_of(path)[:-1])
    detection = detected(repo)
    new = [fact for fact in _settable(detection) if not config.facts.is_set(fact)]
    if config.facts.is_set("access.default"):
        new = [fact for fact in new if fact != "access.evidence"]  # the person's answer has the person's reasons
    if add and new:
        replace_file(Path(repo.root, path), _added(data, path, detection, new, ids))
    emit("\n".join(_comparison(repo, path, config, detection, new, add=add)) + "\n")
    return int(ExitCode.PASS)


def _settable(detection: Detection) -> Iterator[str]:
    """Facts that detection has values for, in the order of the file; what is in doubt is only told."""
    from agentreview.settings import FACTS

    for fact, _, _ in FACTS:
        shown = "access.default" if fact == "access.evidence" else fact
        if any(not one.doubt for one in detection.get(shown)):
            yield fact


def _added(data: bytes, path: str, detection: Detection, facts: Iterable[str], ids: Collection[str]) -> bytes:
    """Return the file with these facts, each below its evidence. Raises ConfigError where that takes a person."""
    from agentreview.config import document, file_layout, parse_config
    from agentreview.detect.render import active
    from agentreview.tomledit import insert, spot_for

    hint = "agentreview init --stdout shows it"
    current, expected = data, document(data, path)
    for fact in facts:
        text, layout = file_layout(current, path)
        spot = spot_for(text, layout, (*table_of(path), *fact.split(".")))
        if spot is None:
            raise by_hand(path, hint)
        block = "\n".join(active(detection, fact, spot.name))
        if not block:
            continue
        current = encoded(insert(text, spot, block), data, path, hint)
        after = document(current, path)
        if _without(after, (*table_of(path), *fact.split("."))) != expected:
            raise by_hand(path, hint)
        expected = after
    parse_config(current, path=path, known_policies=ids, table=table_of(path)[:-1])
    return current


def _without(document: Mapping[str, object], key: Sequence[str]) -> dict[str, object]:
    """Copy a plain document without one key, and without tables that held nothing else."""
    out = dict(document)
    inner = out.get(key[0])
    if len(key) == 1 or not isinstance(inner, dict):
        out.pop(key[0], None)
        return out
    left = _without(inner, key[1:])
    if left:
        out[key[0]] = left
    else:
        out.pop(key[0])
    return out


def _comparison(
    repo: Repository, path: str, config: Config, detection: Detection, new: Sequence[str], *, add: bool
) -> Iterator[str]:
    from agentreview.commands.factrows import unlisted
    from agentreview.reporters.text import clip, escape

    columns = width(sys.stdout)
    shown = escape(path)
    yield (
        f"{shown} is there and stays as it is"
        if not (add and new)
        else f"added to {shown}, every other line as it was:"
    )
    yield f"read {detection.files} files"
    if new:
        if not add:
            yield "found here, and not set in it:"
        for fact in new:
            values = detection.get(fact) or detection.get("access.default")
            yield "  " + clip(escape(f"{fact}: {', '.join(map(_placed, values[:NAMES]))}{_more(values)}"), columns - 2)
    more = [
        (fact, [one for one in unlisted(config.facts, fact, detection) if not one.doubt])
        for fact, _ in detection.facts
        if config.facts.is_set(fact)
    ]
    if any(found for _, found in more):
        yield "found here, and not among the values it lists (it may be right about that):"
        for fact, found in more:
            if found:
                yield "  " + clip(
                    escape(f"{fact}: {', '.join(map(_placed, found[:NAMES]))}{_more(found)}"), columns - 2
                )
    elif not new:
        yield "nothing was found that it does not say"
    if new and not add:
        yield "agentreview init --add writes what is not set; agentreview init --stdout shows it as it would be written"
    elif new:
        place = f" -C {escape(repo.root)}" if repo.foreign else ""
        yield f"next: read them (git{place} diff {shown}), correct them, git{place} add {shown}, agentreview facts confirm"
        yield "  facts that clear findings are reported by the gate (conduct.gate-tampered), so that a person looks at them"


def _placed(found: Found) -> str:
    return f"{found.value} ({found.path}:{found.line})" if found.line else found.value


def _more(values: Sequence[Found]) -> str:
    return f", and {len(values) - NAMES} more" if len(values) > NAMES else ""


def write_file(target: Path, data: bytes) -> None:
    """Put the file there in one step; a link of that name is replaced, not followed."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(
            f"{target} cannot be written: {error.strerror or error}", fix="Make it writable, or use --stdout"
        ) from error


def _summary(detection: Detection) -> list[str]:
    from agentreview.reporters.text import clip, escape

    none = "there is no code to read yet, since none is staged: all examples. Later: git add the code, agentreview init --force"
    lines = [f"read {detection.files} files" if detection.files else none]
    for fact, title in FOUND:
        values = [found.value for found in detection.get(fact)]
        if values:
            more = f", and {len(values) - NAMES} more" if len(values) > NAMES else ""
            names = clip(escape(", ".join(values[:NAMES])), width(sys.stdout) - 30)
            lines.append(f"  {title + ':':<23}{names}{more}")
    if detection.files and len(lines) == 1:
        lines.append("  nothing that agentreview knows: the file holds commented examples")
    return lines


def _next_steps(repo: Repository) -> list[str]:
    from agentreview.config import CONFIG_NAME
    from agentreview.install import is_ours

    steps = [
        f"read {CONFIG_NAME}, correct the facts, and put your name under those you checked: agentreview facts confirm",
        f"git add {CONFIG_NAME}: a review uses the staged file",
    ]
    if not is_ours(Path(repo.hooks_dir, "pre-commit")):
        steps.append("agentreview install, if commits here are not gated yet")
    return ["next:", *(f"  {number}. {step}" for number, step in enumerate(steps, 1))]
