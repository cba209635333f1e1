"""Policy and framework files: read, checked, compiled, and cached as JSON.

A policy is one Markdown file: YAML front matter is the contract, the body is for people and for a model reviewer, and
the fenced examples are its tests. Parsing YAML costs more than reviewing a file, so the compiled form is kept as JSON
under the user's cache directory, named by the digest of every source byte: disposable, never executed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from agentreview.canonical import digest
from agentreview.errors import ConfigError
from agentreview.facts import Facts
from agentreview.model import Hit, Rule, Severity
from agentreview.syntax.frameworks import CONCEPTS, Framework, compile_framework
from agentreview.version import data_directory

FORMS = frozenset(
    {
        *(
            "require",
            "present",
            "flow",
            "removed",
            "swallow",
            "input",
            "secrets",
            "gate",
            "match",
            "loosened",
            "weakened",
            "waived",
        ),
        *("unique", "plain-column", "order", "grown", "suppressed", "fixture", "lines", "untested", "memo", "job"),
    }
)
GUARD_FORMS = frozenset({"gate", "waived"})  # judged by the configuration the change started from
_FORMAT = 6  # of the compiled cache
_KEYS = frozenset("id title severity cwe references needs fix checks skip superseded_by".split())
_CHECK_KEYS = frozenset(
    "form hit in when require unless message from into concepts siblings language rule severity fix lines files silent".split()
)
_WHEN_KEYS = frozenset(
    "concepts unit place countable resource keyed single bulk scoped owned dynamic tainted text explicit also about named trail tenant-column labelled many nested beside".split()
)
PLACES = frozenset("endpoint unit class module any".split())
SOURCES = frozenset("phi-field phi-object phi-name request-body secret".split())
PATH_CLASSES = frozenset("tests migrations commands seeds docs types".split())


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
    cache = _cache_dir() / f"policies-{_FORMAT}-{mark[3:]}.json"
    compiled = _cached(cache)
    if compiled is not None:
        try:
            return _catalogue(compiled, mark)
        except (AttributeError, KeyError, TypeError, ValueError):
            pass  # somebody else's idea of our cache: compile again
    compiled = compile_files(files, str(place))
    _keep(cache, compiled)
    return _catalogue(compiled, mark)


def _cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # noqa: PTH117 - a relative one is invalid by its specification, and would be in the reviewed tree
        base = os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118 - cheaper than Path.home()
    return Path(base) / "agentreview"


def _cached(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and data.get("format") == _FORMAT else None


def _keep(path: Path, compiled: Mapping[str, Any]) -> None:
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


def _catalogue(compiled: Mapping[str, Any], mark: str) -> Catalogue:
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


# -- compiling -----------------------------------------------------------------------------------------------------


def compile_files(files: Mapping[str, bytes], root: str) -> dict[str, Any]:
    """Check and compile all files to plain JSON data. Raises ConfigError for the first mistake."""
    policies, frameworks = [], []
    where = f"{root}/citations.yml"
    try:
        citations = frozenset(_yaml(files.get("citations.yml", b"{}"), where, 0).get("citations", {}))
        for name, data in files.items():
            where = f"{root}/{name}"
            if name.startswith("frameworks/"):
                frameworks.append(_framework(_yaml(data, where, 0), where))
            elif name.endswith(".md"):
                policies.append(_policy(data.decode("utf-8"), name, where, citations))
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # a list for a name, a number for a list
        raise ConfigError(
            f"a value is not of the kind its key takes ({error})", path=where, fix="See policies/README.md"
        ) from error
    known = {p["id"] for p in policies}
    for policy in policies:
        if policy["superseded_by"] and policy["superseded_by"] not in known:
            name = str(policy["id"]).replace(".", "/")
            raise ConfigError(
                f"superseded_by names {policy['superseded_by']!r}, which is no policy",
                path=f"{root}/{name}.md",
                line=1,
                fix="See policies/README.md",
            )
    return {"format": _FORMAT, "policies": sorted(policies, key=lambda p: str(p["id"])), "frameworks": frameworks}


def _yaml(data: bytes | str, where: str, offset: int) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        value = yaml.load(data, Loader=loader)  # noqa: S506 - the C version of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = (mark.line + 1 if mark else 1) + offset
        raise ConfigError(
            f"not valid YAML: {getattr(error, 'problem', error)}", path=where, line=line, fix="Correct that line"
        ) from error
    if not isinstance(value, dict):
        raise ConfigError("expected a mapping", path=where, line=1 + offset, fix="See policies/README.md")
    return value


def _framework(data: dict[str, Any], where: str) -> dict[str, Any]:
    for key in ("id", "languages", "concepts"):
        if key not in data:
            raise ConfigError(f"the key {key!r} is missing", path=where, fix="See policies/README.md")
    try:
        compile_framework(data)
    except ValueError as error:
        raise ConfigError(str(error), path=where, fix="See policies/README.md") from error
    return {
        "id": data["id"],
        "languages": data["languages"],
        "imports": data.get("imports") or [],
        "concepts": data["concepts"],
    }


_FRONT = re.compile(r"\A---\n(.*?)\n---\n(.*)\Z", re.DOTALL)


def split_front_matter(text: str, where: str) -> tuple[dict[str, Any], str, int]:
    """Return (front matter, body, line of the body's first line)."""
    match = _FRONT.match(text.replace("\r\n", "\n"))
    if match is None:
        raise ConfigError(
            "no front matter: the file must begin with --- and end it with ---",
            path=where,
            line=1,
            fix="See policies/README.md",
        )
    return _yaml(match.group(1), where, 1), match.group(2), match.group(1).count("\n") + 4


def _policy(text: str, name: str, where: str, citations: frozenset[str]) -> dict[str, Any]:
    data, body, _ = split_front_matter(text, where)

    def wrong(message: str, key: str = "") -> ConfigError:
        line = next((n for n, row in enumerate(text.split("\n"), 1) if key and key in row), 1)
        return ConfigError(message, path=where, line=line, fix="See policies/README.md")

    unknown = set(data) - _KEYS
    if unknown:
        raise wrong(f"unknown key {sorted(unknown)[0]!r}", sorted(unknown)[0])
    for key in ("id", "title", "severity", "fix", "checks"):
        if not data.get(key):
            raise wrong(f"the key {key!r} is missing")
    expected = name.removesuffix(".md").replace("/", ".")
    if data["id"] != expected:
        raise wrong(f"id is {data['id']!r}, the file name says {expected!r}", "id:")
    references = [str(r) for r in data.get("references", ())]
    for reference in references:
        if citations and reference not in citations:
            raise wrong(f"{reference!r} is not in citations.yml", reference)
    if data["severity"] not in {s.value for s in Severity}:
        raise wrong(f"severity {data['severity']!r} is none of critical, high, medium, low", "severity:")
    for path_class in data.get("skip", ()):
        if path_class not in PATH_CLASSES:
            raise wrong(f"unknown path class {path_class!r}", "skip:")
    for need in data.get("needs", ()):
        if not _is_fact(str(need)):
            raise wrong(f"unknown project fact {need!r} in needs", "needs:")
    sections = _sections(body)
    return {
        "id": data["id"],
        "rule": {
            "id": data["id"], "title": data["title"], "severity": data["severity"], "pack": str(data["id"]).split(".", 1)[0],
            "why": sections.get("why", "").strip(), "fix": " ".join(str(data["fix"]).split()),
            "help": _without_examples(body), "cwe": [f"CWE-{n}" for n in data.get("cwe", ())], "references": references,
        },
        "checks": [_check(c, wrong) for c in data["checks"]],
        "needs": [str(n) for n in data.get("needs", ())],
        "skip": [str(s) for s in data.get("skip", ())],
        "superseded_by": str(data.get("superseded_by", "")),
    }  # fmt: skip


def _check(raw: Any, wrong: Any) -> dict[str, Any]:
    if not isinstance(raw, dict) or raw.get("form") not in FORMS:
        raise wrong(f"a check needs form: one of {', '.join(sorted(FORMS))}", "form:")
    unknown = set(raw) - _CHECK_KEYS
    if unknown:
        raise wrong(f"unknown key {sorted(unknown)[0]!r} in a check", sorted(unknown)[0])
    when = dict(raw.get("when") or {})
    if set(when) - _WHEN_KEYS:
        raise wrong(f"unknown filter {sorted(set(when) - _WHEN_KEYS)[0]!r} in when", sorted(set(when) - _WHEN_KEYS)[0])
    concepts = list(raw.get("concepts") or when.pop("concepts", ()))
    for concept in (*concepts, *raw.get("require", ()), *raw.get("unless", ()), *raw.get("into", ())):
        if concept not in CONCEPTS:
            raise wrong(f"unknown concept {concept!r}", str(concept))
    if raw.get("in", "any") not in PLACES:
        raise wrong(f"in {raw['in']!r} is none of {', '.join(sorted(PLACES))}", "in:")
    for source in raw.get("from", ()):
        if source not in SOURCES:
            raise wrong(f"unknown source {source!r} in from: one of {', '.join(sorted(SOURCES))}", str(source))
    if raw.get("hit", "suspect") not in {h.value for h in Hit}:
        raise wrong(f"hit {raw['hit']!r} is neither violation nor suspect", "hit:")
    if raw.get("severity", "high") not in {s.value for s in Severity}:
        raise wrong(f"severity {raw['severity']!r} is none of critical, high, medium, low", "severity:")
    if raw["form"] == "match":
        _try_rule(raw, wrong)
    return {
        "form": raw["form"], "hit": raw.get("hit", "suspect"), "message": " ".join(str(raw.get("message", "")).split()), "where": raw.get("in", "endpoint" if raw["form"] in ("require", "input") else "any"),
        "concepts": concepts, "when": [[k, v] for k, v in when.items()], "require": list(raw.get("require", ())), "unless": list(raw.get("unless", ())),
        "sources": list(raw.get("from", ())), "sinks": list(raw.get("into", ())), "siblings": "only" if raw.get("siblings") == "only" else "yes" if raw.get("siblings") else "",
        "language": raw.get("language", ""), "rule": json.dumps(raw["rule"]) if raw.get("rule") else "", "fix": " ".join(str(raw.get("fix", "")).split()), "lines": str(raw.get("lines", "")).lower(), "files": [str(f) for f in raw.get("files", ())], "severity": raw.get("severity"), "silent": str(raw.get("silent", "")).lower(),
    }  # fmt: skip


def _try_rule(raw: Mapping[str, Any], wrong: Any) -> None:
    """Compile a raw rule once: ast-grep reports a bad one only when it is used, and an unknown language by panicking."""
    from agentreview.syntax.match import find

    if raw.get("language") not in ("python", "typescript", "tsx", "javascript", "ruby"):
        raise wrong(
            f"a match check needs language: python, typescript, tsx, javascript or ruby, not {raw.get('language')!r}",
            "language:",
        )
    try:
        find("", str(raw["language"]), raw["rule"])
    except ValueError as error:
        raise wrong(f"ast-grep refuses the rule: {error}", "rule:") from error


def _is_fact(dotted: str) -> bool:
    table, _, name = dotted.partition(".")
    return hasattr(getattr(Facts(), table, None), name) if name else hasattr(Facts(), table)


def _sections(body: str) -> dict[str, str]:
    out: dict[str, list[str]] = {}
    current = ""
    for line in body.split("\n"):
        if line.startswith("## "):
            current = line[3:].strip().lower()
        else:
            out.setdefault(current, []).append(line)
    return {k: "\n".join(v) for k, v in out.items()}


def _without_examples(body: str) -> str:
    return body.split("\n## Examples", 1)[0].strip()
