"""``agentreview worktree``: worktrees with a branch, a proven gate, reviewers and ports of their own."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from agentreview.commands.shared import CONTEXT, emit
from agentreview.console import say
from agentreview.errors import ExitCode

if TYPE_CHECKING:
    from agentreview.worktrees.adding import Added
    from agentreview.worktrees.listing import Listed

SCHEMA = "agentreview/worktrees/1"
HEADS = ("worktree", "branch", "workflow", "reviewers", "ports", "hooks")
_HOOKS = {"ok": "in place", "warn": "in place, with a warning", "fail": "NOT IN PLACE"}


@click.group("worktree", context_settings=CONTEXT, short_help="Worktrees with room of their own: add, list, remove.")
def group() -> None:
    """Make worktrees in which agents work without getting in each other's way, and take them away without a loss."""


@group.command(
    "add",
    context_settings=CONTEXT,
    short_help="A worktree with a branch, hooks, ports and set-up.",
    epilog="""\b
Examples:
  agentreview worktree add login-form
  agentreview worktree add login-form --from origin/main --workflow bug-fix --profile backend

The environment file, the ports and the set-up commands are those of [worktree] in the configuration of the default
branch (origin/HEAD, else main or master, else HEAD), whatever BASE holds.""",
)
@click.argument("name")
@click.option("--from", "start", metavar="BASE", default="HEAD", help="Where its branch begins; HEAD unless given.")
@click.option("--workflow", metavar="NAME", default="", help="Every review there is of this kind of work.")
@click.option(
    "--profile", "reviewers", metavar="NAME", multiple=True, help="This model reviewer is asked there as well."
)
@click.option("--path", metavar="PATH", default="", help="Where it is put; beside the main worktree unless given.")
def add_command(*, name: str, start: str, workflow: str, reviewers: tuple[str, ...], path: str) -> int:
    """Make a worktree NAME with a branch of that name, beside the main one.

    git has to fire the hooks in it, else nothing is left behind. It gets a file with a COMPOSE_PROJECT_NAME and a port
    offset that no other worktree has, which git ignores, and the set-up commands of the project are run in it.
    --workflow and --profile hold for every review in that worktree from then on.
    """
    from agentreview.reporters.text import escape
    from agentreview.worktrees.adding import add

    done = add(".", name, start=start, workflow=workflow, reviewers=reviewers, path=path, tell=say)
    emit("".join(f"{head:<10} {escape(line)}\n" for head, line in _told(done)))
    return int(ExitCode.PASS)


def _told(done: Added) -> Iterator[tuple[str, str]]:
    room = done.room
    yield "worktree", f"{_short(done.path)}, branch {room.branch}, from {done.start} ({room.start[:12]})"
    flow = done.workflow
    if flow is None:
        said = "no workflow"
    else:
        asks = f" ({', '.join(flow.agents)})" if flow.agents else ""
        said = f"workflow {flow.name}{asks}" + (", by the name of its branch" if done.by_branch else "")
    who = f", and {', '.join(room.profiles)}" if room.profiles else ""
    yield "reviews", f"{said}{who}; besides what the configuration says"
    yield "hooks", done.gate.detail.removeprefix(f"{done.path}: ")
    if done.gate.fix:
        yield "", f"{done.gate.name}: {done.gate.fix}"
    yield "room", f"{room.env_file}: {' '.join(f'{name}={value}' for name, value in done.environment)}"
    if done.setup:
        many = f"{len(done.setup)} command{'' if len(done.setup) == 1 else 's'} of {done.trusted}"
        yield "set-up", f"{many}: done"
    yield "next", f"cd {shlex.quote(_short(done.path))}"


@group.command("list", context_settings=CONTEXT, short_help="Every worktree, and what it was made with.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_command(*, as_json: bool) -> int:
    """Show every worktree: branch, workflow, reviewers, offset of its ports, and whether git fires the hooks there.

    Exits 2 where a worktree has no gate. What is staged in them: agentreview status.
    """
    from agentreview.doctor import FAIL
    from agentreview.worktrees.listing import listed

    rows = listed(".")
    if as_json:
        emit(json.dumps({"schema": SCHEMA, "worktrees": [_json(row) for row in rows]}, indent=2) + "\n")
    else:
        emit(_table(rows))
    gateless = any(row.gate is not None and row.gate.status == FAIL for row in rows)
    return int(ExitCode.USAGE if gateless else ExitCode.PASS)


def _json(row: Listed) -> dict[str, Any]:
    info, gate = row.info, row.gate
    return {
        "path": info.path,
        "name": row.name or None,
        "branch": info.branch,
        "bare": info.bare,
        "detached": info.detached,
        "locked": info.locked,
        "gone": info.prunable,
        "workflow": row.workflow or None,
        "profiles": list(row.profiles),
        "port_offset": row.offset,
        "compose_project": row.compose or None,
        "hooks": None if gate is None else {"status": gate.status, "detail": gate.detail, "fix": gate.fix or None},
    }


def _table(rows: tuple[Listed, ...]) -> str:
    from agentreview.reporters.text import defuse, escape

    cells = [HEADS, *(tuple(escape(cell) for cell in _cells(row)) for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(HEADS))]
    lines = []
    for number, row in enumerate(cells):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        gate = rows[number - 1].gate if number else None
        if gate is not None and gate.fix:
            detail = gate.detail.removeprefix(f"{rows[number - 1].info.path}: ")
            lines.append(f"  {escape(detail)} -> {escape(gate.fix)}")
    return "\n".join(map(defuse, lines)) + "\n"


def _cells(row: Listed) -> tuple[str, ...]:
    info = row.info
    state = "bare" if info.bare else "gone" if info.prunable else _HOOKS[row.gate.status] if row.gate else "-"
    branch = info.branch or ("(detached)" if info.detached else "-")
    who, offset = ", ".join(row.profiles) or "-", "-" if row.offset is None else f"+{row.offset}"
    return (_short(info.path), branch, row.workflow or "-", who, offset, state + (", locked" if info.locked else ""))


@group.command("remove", context_settings=CONTEXT, short_help="Take a worktree away, if nothing is lost.")
@click.argument("name")
@click.option("--keep-branch", is_flag=True, help="Leave its branch; then commits are not lost.")
@click.option("--force", is_flag=True, help="Also with what would be lost, and if it is locked.")
def remove_command(*, name: str, keep_branch: bool, force: bool) -> int:
    """Remove the worktree NAME (a name, branch or path) with the branch that was made for it.

    Refused, with what and how to keep it, where something is staged, changed, unmerged, not tracked or under way, where
    it is locked, and where the branch has commits that no other branch, tag or remote has; those that nobody reviewed
    are named. Files that git ignores go. Receipts stay. A directory that is gone already is no obstacle.
    """
    from agentreview.reporters.text import escape
    from agentreview.worktrees.removal import remove

    done = remove(".", name, force=force, keep_branch=keep_branch)
    lines = [f"removed {_short(done.path)}; the receipts of its reviews stay"]
    if done.branch_deleted:
        again = f"git branch {shlex.quote(done.branch)} {done.head[:12]}"
        lines.append(f"deleted the branch {done.branch}" + (f"; to have it back: {again}" if done.lost else ""))
    elif done.branch:
        lines.append(f"the branch {done.branch} stays")
    lines += [f"lost: {loss.what}" for loss in done.lost]
    if done.room is not None and done.room.compose:
        lines.append(f"if it has containers: docker compose -p {done.room.compose} down --volumes")
    emit("".join(f"{escape(line)}\n" for line in lines))
    return int(ExitCode.PASS)


def _short(path: str) -> str:
    here = os.path.relpath(path)
    return path if len(path) <= len(here) or here.startswith("../..") else here
