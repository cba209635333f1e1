"""Imports run in one direction, and every outside library has one door. Read from the source, nothing is executed."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "agentreview"

# A module may import from the rows above its own, and from its own package. Every module must be in the table.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("lazyre", "records"),
    ("errors", "canonical", "model", "pool", "version", "globs", "vocabulary", "tomlscan", "callers", "settings"),
    (
        "git",
        "diff",
        "store",
        "process",
        "llm",
        "checked",
        "facts",
        "frontends",
        "detect_models",
        "ciranges",
        "tomledit",
    ),
    (
        "changes",
        "hookconfig",
        "surroundings",
        "signing",
        "relaxations",
        "detect_rules",
        "modelsettings",
        "roomsettings",
        "room",
    ),
    ("snapshot", "config"),
    ("syntax", "waiverfile", "spend"),
    ("policies",),
    ("agents", "worker", "anchor", "waivers", "receipts", "reporters", "masking", "detect"),
    ("triage", "console", "approvals", "ledger", "reviewers", "fixes", "sides"),
    ("compute", "history", "housekeeping", "issuing"),
    ("background", "coverage", "glance"),
    ("review",),
    ("ci", "bypass", "pushed", "overview", "everywhere", "fixing", "auditlog"),
    ("install", "period"),
    ("firing",),
    ("hook", "doctor", "init", "demo", "explain", "learn", "evaluation", "mcp", "watch"),
    ("worktrees",),
    ("commands",),
    ("cli",),
    ("entry",),
    ("__main__",),
)
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}

DOORS = {
    "git": ("git",),
    "gitdb": (),
    "unidiff": ("diff",),
    "tomli": ("config",),
    "tomllib": ("config",),
    "ast_grep_py": ("syntax",),
    "anthropic": ("llm",),
    "mcp": ("mcp",),
    "mcp_types": ("mcp", "commands"),  # the command only looks whether it is there
    "pydantic": ("mcp",),
    "anyio": ("mcp",),
    "textual": ("watch",),
    "rich": ("watch",),
    "watchfiles": ("watch",),
}

# GitPython's index and diff objects read another index than the commit's and lose changes without an error.
GITPYTHON_MODULES = {"git.cmd", "git.exc"}
BANNED_ATTRIBUTES = {
    "index",
    "diff",
    "Repo",
    "IndexFile",
    "head",
    "active_branch",
    "commit",
    "is_dirty",
    "untracked_files",
}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name below ``agentreview``; the package itself is left out."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name:
            found[name] = path
    return found


def runtime_nodes(tree: ast.AST):
    """Walk everything but the blocks under ``if TYPE_CHECKING``: those imports never happen."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for branch in child.orelse:
                yield branch
                yield from runtime_nodes(branch)
            continue
        yield child
        yield from runtime_nodes(child)


@cache
def imports(name: str, path: Path, nodes=runtime_nodes) -> set[str]:
    """Absolute dotted names of what a module imports, at the top or inside functions."""
    package = ["agentreview", *name.split(".")]
    if path.name != "__init__.py":
        package.pop()
    found: set[str] = set()
    for node in nodes(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names} | (
                {module} if module != "agentreview" else set()
            )
    return found


MODULES = modules()


def test_every_module_has_its_row():
    tops = {name.split(".")[0] for name in MODULES}
    assert tops - RANK.keys() == set(), "add the module to LAYERS, in the row its imports allow"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_import_runs_upwards(name):
    own = name.split(".")[0]
    upwards = set()
    for target in imports(name, MODULES[name]):
        parts = target.split(".")
        if parts[0] != "agentreview" or len(parts) == 1 or parts[1] == own:
            continue
        if parts[1] in RANK and own in RANK and RANK[parts[1]] >= RANK[own]:
            upwards.add(target)
    assert upwards == set()


@pytest.mark.parametrize("library", sorted(DOORS))
def test_each_library_has_one_door(library):
    users = {
        name.split(".")[0]
        for name, path in MODULES.items()
        if any(target.split(".")[0] == library for target in imports(name, path))
    }
    assert users <= set(DOORS[library])


def test_of_gitpython_only_the_command_runner_is_used():
    path = MODULES["git"]
    tree = ast.parse(path.read_bytes())
    used = {target for target in imports("git", path, ast.walk) if target.split(".")[0] == "git"}
    assert {".".join(target.split(".")[:2]) for target in used} <= GITPYTHON_MODULES
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert attributes & BANNED_ATTRIBUTES == set()


def test_the_way_to_a_snapshot_imports_nothing_heavy():
    """GitPython costs 55 ms: a hook that only looks a verdict up must not pay for what it does not use."""
    code = (
        "import sys; import agentreview.snapshot\n"
        "heavy = {'git', 'unidiff', 'subprocess', 'tempfile', 'logging', 'click', 'yaml', 'asyncio'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
