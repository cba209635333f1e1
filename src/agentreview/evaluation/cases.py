"""Labelled changes: a directory of cases, the examples of policies, or repositories with a staged change and a list.

A case is a directory of its own::

    CASES/<name>/before/…       the files as they were; may be missing
                 after/…        the files as they are
                 expected.json  {"defects": [{"path": "app/views.py", "lines": [12, 15], "rules": ["tenancy.query-scope"]}]}

No defects: a harmless change. ``lines`` are of the new side; without them the whole file counts, which suits what was
taken away. ``rules`` and ``cwe`` say which findings count as this defect; without both any does. ``group`` joins several
places of one defect.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentreview.errors import ConfigError, UsageError

MAX_BYTES = 20_000_000  # of one case
FORMAT = 'It reads: {"defects": [{"path": "app/views.py", "lines": [12, 15], "rules": ["tenancy.query-scope"]}]}'

_FAMILIES: Mapping[str, str] = {  # what a corpus calls a class of defects, and the weaknesses that count as it
    "access": "639 862 863 306 284 285 287 566 269 668 425 652 1220 276 732 915 352 346 942",
    "log": "532 359 200 209 201 215 117 312 598",
    "audit": "778 223 779 221",
    "secret": "798 321 259 522 260 547",
    "injection": "89 78 77 22 23 36 73 79 918 94 95 943 502 611 601 90 91 88 116 74 98 434",
    "id": "338 340 330 331 341 639 335",
}
_CLASSES: Mapping[str, str] = {
    "tenant_idor": "access",
    "missing_authz": "access",
    "log_leak": "log",
    "missing_audit": "audit",
    "hardcoded_secret": "secret",
    "injection": "injection",
    "guessable_id": "id",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One labelled place of a defect. ``group`` names the defect; all its places have the same one."""

    group: str
    path: str
    lines: tuple[int, int] | None = None
    rules: tuple[str, ...] = ()
    cwe: tuple[str, ...] = ()
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One labelled change: ``before`` and ``after`` are files, or ``repo`` is a repository in which it is staged.

    ``about``: only findings of these rules count in it, because it is silent about others. Empty: all count.
    """

    id: str
    defects: tuple[Defect, ...] = ()
    before: Mapping[str, bytes] = field(default_factory=dict)
    after: Mapping[str, bytes] = field(default_factory=dict)
    repo: str = ""
    about: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        """The defects it holds."""
        return tuple(dict.fromkeys(defect.group for defect in self.defects))


def from_directory(root: Path, only: Collection[str] = ()) -> tuple[Case, ...]:
    """Read every case below a directory, in the order of their names. ConfigError where one is not as described."""
    if not root.is_dir():
        raise UsageError(f"{root} is not a directory", fix="Name one that holds cases; see agentreview eval --help")
    folders = sorted(path.parent for path in root.glob("*/expected.json") if not only or path.parent.name in only)
    return _some(tuple(_case(folder) for folder in folders), str(root), only)


def from_policies(patterns: Collection[str] = ()) -> tuple[Case, ...]:
    """Take the fenced examples of the built-in policies: bad ones have a defect of their policy, good ones none."""
    from agentreview.policies.examples import examples

    found = [one for one in examples() if not patterns or any(_fits(one.policy, pattern) for pattern in patterns)]
    cases = []
    for one in found:
        config = "".join(f"facts.{part.strip()}\n" for part in one.facts.split(";") if part.strip())
        settings = {"agentreview.toml": config.encode()} if config and one.path != "agentreview.toml" else {}
        before = {one.path: one.before.encode()} if one.before else {}
        name = f"{one.policy}:{one.line}"
        defect = Defect(group=name, path=one.path, rules=(one.policy,))
        cases.append(
            Case(
                id=name,
                defects=() if one.good else (defect,),
                before={**before, **settings},
                after={one.path: one.after.encode(), **settings},
                about=(one.policy,),
            )
        )
    return _some(tuple(cases), "the examples of policies", patterns)


def from_manifest(root: Path, manifest: Path, only: Collection[str] = ()) -> tuple[Case, ...]:
    """Take repositories below ``root``, each with a staged change, that a list of JSON lines labels."""
    cases = []
    for number, line in enumerate(_text(manifest).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            case = _row(root, row)
        except (ValueError, KeyError, TypeError, IndexError):
            fix = "It needs id, label, and for a positive one class and defect_lines"
            raise ConfigError("not a labelled change", path=str(manifest), line=number, fix=fix) from None
        if (not only or case.id in only) and Path(case.repo).is_dir():
            cases.append(case)
    return _some(tuple(cases), str(root), only)


def _row(root: Path, row: dict[str, Any]) -> Case:
    name = str(row["id"])
    if "/" in name or name.startswith("."):
        raise ValueError(name)
    if row["label"] != "positive":
        return Case(id=name, repo=str(root / name))
    cwe = tuple(f"CWE-{number}" for number in _FAMILIES[_CLASSES[row["class"]]].split())
    defects = []
    for place in row["defect_lines"]:
        lines = place.get("line_range_in_new_side")
        span = (int(lines[0]), int(lines[1])) if lines else None
        unit = str(place.get("enclosing") or "")
        defects.append(
            Defect(group=str(row.get("group") or name), path=str(place["file"]), lines=span, cwe=cwe, unit=unit)
        )
    return Case(id=name, repo=str(root / name), defects=tuple(defects))


def _case(folder: Path) -> Case:
    file = folder / "expected.json"
    try:
        value = json.loads(_text(file))
        defects = tuple(_defect(folder.name, one) for one in value["defects"])
    except (ValueError, KeyError, TypeError, IndexError):
        raise ConfigError("not a list of defects", path=str(file), fix=FORMAT) from None
    if not (folder / "after").is_dir():
        raise ConfigError(
            "there is no directory after/ beside it", path=str(file), fix="Put the files as they are there"
        )
    return Case(id=folder.name, defects=defects, before=_files(folder / "before"), after=_files(folder / "after"))


def _defect(case: str, value: Any) -> Defect:
    unknown = set(value) - {"path", "lines", "rules", "cwe", "unit", "group"}
    if unknown:
        raise ValueError(unknown)
    lines = value.get("lines")
    path = str(value["path"])
    rules, cwe = value.get("rules", []), value.get("cwe", [])
    if not all(isinstance(one, str) for one in (*rules, *cwe)) or isinstance(rules, str) or isinstance(cwe, str):
        raise TypeError(rules)
    return Defect(
        group=str(value.get("group") or f"{case}:{path}"),
        path=path,
        lines=(int(lines[0]), int(lines[1])) if lines else None,
        rules=tuple(rules),
        cwe=tuple(cwe),
        unit=str(value.get("unit") or ""),
    )


def _files(folder: Path) -> dict[str, bytes]:
    """Every regular file below, by its path with ``/``; links are not followed."""
    out: dict[str, bytes] = {}
    size = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or ".git" in path.relative_to(folder).parts:
            continue
        data = path.read_bytes()
        size += len(data)
        if size > MAX_BYTES:
            raise ConfigError(
                f"more than {MAX_BYTES} bytes", path=str(folder), fix="Leave out what the case does not need"
            )
        out[path.relative_to(folder).as_posix()] = data
    return out


def _some(cases: tuple[Case, ...], where: str, only: Collection[str]) -> tuple[Case, ...]:
    if not cases:
        what = f"none of {', '.join(sorted(only)[:3])}" if only else "no case"
        raise UsageError(f"{where} holds {what}", fix="Each case is a directory with expected.json; see --help")
    return cases


def _fits(policy: str, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    return fnmatchcase(policy, pattern) or policy.startswith(f"{pattern}.")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"{file} cannot be read: {why}", fix="Check the path") from None
