"""Policy and framework files: read, and their compiled form kept as JSON.

A policy is one Markdown file: YAML front matter is the contract, the body is for people and for a model reviewer, and
the fenced examples are its tests. Parsing YAML costs more than reviewing a file, so the compiled form is kept
under the user's cache directory, named by the digest of every source byte: disposable, never executed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from agentreview.canonical import digest
from agentreview.errors import ConfigError
from agentreview.model import Hit, Rule, Severity
from agentreview.records import dataclass
from agentreview.syntax.frameworks import Framework
from agentreview.version import data_directory

FORMAT = 7  # of the compiled cache
GUARD_FORMS = frozenset({"gate", "waived"})  # judged by the configuration the change started from


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One way to find a policy broken. Which fields matter depends on ``form``."""

    form: str
    hit: Hit
    message: str
    where: str = "endpoint"
    concepts: tuple[str, ...] = ()
    when: tuple[tuple[str, Any], ...] = ()
    require: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    sinks: tuple[str, ...] = ()
    siblings: str = ""  # "yes": the control on sibling endpoints makes it a violation; "only": and nothing else does
    language: str = ""
    rule: str = ""  # JSON of a raw ast-grep rule
    lines: str = ""  # globs over added lines, any case
    files: tuple[str, ...] = ()  # where to look for them
    fix: str = ""
    silent: str = ""  # globs over the unit, the path, the resource and the callee, any case: the place that may
    severity: Severity | None = None  # of this check, where it is not the policy's


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A compiled policy."""

    id: str
    rule: Rule
    checks: tuple[Check, ...]
    needs: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    superseded_by: str = ""

    @property
    def pack(self) -> str:
        """The part of the id before the dot."""
        return self.id.split(".", 1)[0]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything the policy agents run on. ``digest`` covers every byte of the files it came from."""

    policies: tuple[Policy, ...]
    frameworks: tuple[Framework, ...]
    digest: str
    known: frozenset[str] = frozenset()

    def ids(self) -> frozenset[str]:
        """Ids of all policies that exist, also of those left out of this catalogue."""
        return self.known


def policies_dir() -> Path:
    """Return where the policy files are; raises ConfigError when the installation has none."""
    place = data_directory("policies")
    if not place.is_dir():
        raise ConfigError(
            "the policy files are missing from this installation",
            path=str(place),
            fix="Reinstall: pip install --force-reinstall agentreview-gate",
        )
    return place


def sources(root: Path) -> dict[str, bytes]:
    """Read every policy, framework and citation file below ``root``."""
    out = {}
    base = str(root)
    for folder, _, files in sorted(os.walk(base)):
        inside = folder[len(base) :].strip(os.sep).replace(os.sep, "/")
        for name in sorted(files):
            if name.endswith((".md", ".yml")) and name != "README.md":
                with open(f"{folder}/{name}", "rb") as file:  # noqa: PTH123 - a hundred of them: Path costs as much as reading
                    out[f"{inside}/{name}" if inside else name] = file.read()
    return out


@lru_cache(maxsize=4)
def load(root: Path | None = None) -> Catalogue:
    """Return the compiled catalogue, from the cache when nothing changed. Raises ConfigError with file and line."""
    place = root or policies_dir()
    files = sources(place)
    mark = digest({name: digest(data) for name, data in files.items()})
    cache = cache_dir() / f"policies-{FORMAT}-{mark[3:]}.json"
    compiled = cached(cache)
    if compiled is not None:
        try:
            return catalogue_of(compiled, mark)
        except (AttributeError, KeyError, TypeError, ValueError):
            pass  # somebody else's idea of our cache: compile again
    from agentreview.policies import compiling

    compiled = compiling.compile_files(files, str(place))
    keep(cache, compiled)
    return catalogue_of(compiled, mark)


def cache_dir() -> Path:
    """Return where compiled files are kept for this user."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # noqa: PTH117 - a relative one is invalid by its specification, and would be in the reviewed tree
        base = os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118 - cheaper than Path.home()
    return Path(base) / "agentreview"


def cached(path: Path) -> dict[str, Any] | None:
    """Return what was kept, or None when it is not there or not ours."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and data.get("format") == FORMAT else None


def keep(path: Path, compiled: Mapping[str, Any]) -> None:
    """Write the cache beside and rename it. A cache that cannot be written costs time, nothing else."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(compiled), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            return


def catalogue_of(compiled: Mapping[str, Any], mark: str) -> Catalogue:
    """Make the values of the plain data. Raises KeyError, TypeError or ValueError when it is not ours."""
    policies = []
    for raw in compiled["policies"]:
        rule = Rule(
            **{
                **raw["rule"],
                "severity": Severity(raw["rule"]["severity"]),
                **{k: tuple(raw["rule"][k]) for k in ("cwe", "references")},
            }
        )
        checks = tuple(
            Check(**{**c, "hit": Hit(c["hit"]), "severity": Severity(c["severity"]) if c["severity"] else None, "when": tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in c["when"]),
                     **{k: tuple(c[k]) for k in ("concepts", "require", "unless", "sources", "sinks", "files")}})
            for c in raw["checks"]
        )  # fmt: skip
        policies.append(
            Policy(
                id=raw["id"],
                rule=rule,
                checks=checks,
                needs=tuple(raw["needs"]),
                skip=tuple(raw["skip"]),
                superseded_by=raw["superseded_by"],
            )
        )
    return Catalogue(
        tuple(policies), tuple(Framework(f) for f in compiled["frameworks"]), mark, frozenset(p.id for p in policies)
    )
