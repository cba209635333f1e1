"""Profiles: who reviews, in Markdown. Built in (``agentreview/profiles/*.md``), and of the project (``.agents/profiles/*.md``).

The front matter says what a reviewer may do, the body is its role. A file written as a sub-agent for a coding assistant
(``name``, ``description``, ``model``, ``tools``) loads as it is; what only means something there is noted and ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from agentreview.canonical import digest
from agentreview.checked import nearest, shown
from agentreview.errors import ConfigError, UsageError
from agentreview.lazyre import lazy
from agentreview.policies.yamlfile import YamlReader, decoded, front_matter
from agentreview.records import dataclass, replace
from agentreview.reviewers.rules import BY_ID, PACK

FOLDER = ".agents/profiles"
BUILT_IN = Path(__file__).parents[1] / "profiles"
TIERS = ("fast", "standard", "deep", "auto")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
PLAIN = "plain"  # the baseline: nothing but the diff with 12 lines around it
MAX_PROFILES = 100

_KEYS = "name description tier effort policies files gate required budget references".split()
# Keys of sub-agent files that say something to the assistant that runs them, and nothing to a reviewer.
_ELSEWHERE = frozenset(
    "model tools disallowedTools color permissionMode mcpServers hooks skills maxTurns memory background isolation "
    "initialPrompt version author license tags metadata".split()
)
_MODELS = {"haiku": "fast", "sonnet": "standard", "opus": "deep"}
_NAME = lazy(r"[a-z0-9][a-z0-9_-]{0,63}")
_MAX_BODY = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A reviewer. ``policies`` are patterns of rule ids, ``budget`` dollars of one run (0 = the configured cap alone)."""

    name: str
    description: str
    body: str
    tier: str = "auto"
    effort: str = ""
    policies: tuple[str, ...] = (f"{PACK}.*",)
    files: tuple[str, ...] = ()
    gate: str = "advise"
    required: bool = False
    budget: float = 0.0
    references: tuple[str, ...] = ()
    path: str = ""
    digest: str = ""
    notes: tuple[str, ...] = ()

    @property
    def agent(self) -> str:
        """Name of its run in every report."""
        return f"reviewer:{self.name}"


@lru_cache(maxsize=1)
def built_in() -> dict[str, Profile]:
    """Return the profiles that are shipped, by name."""
    found = (profile(file.read_bytes(), f"agentreview/profiles/{file.name}") for file in sorted(BUILT_IN.glob("*.md")))
    return {one.name: one for one in found}


def profiles(files: Mapping[str, bytes], added: Collection[str] = ()) -> dict[str, Profile]:
    """Return all profiles: the built-in ones, and those among ``files`` (path -> content), which win by name.

    A file that the change itself adds (``added``) takes nobody's place yet. Raises ConfigError for a mistake in one of them.
    """
    out = dict(built_in())
    own: dict[str, str] = {}
    for path, data in sorted(files.items()):
        if not path.startswith(f"{FOLDER}/") or not path.endswith(".md") or path.endswith("/README.md"):
            continue
        one = profile(data, path)
        if one.name in own:
            raise ConfigError(f"{own[one.name]} has the name {shown(one.name)} as well", path=path, fix="Rename one")
        if one.name in out and path in added:
            note = f"{path} takes the place of the built-in {one.name} from the next change on"
            out[one.name] = replace(out[one.name], notes=(*out[one.name].notes, note))
            continue
        if one.name in out:
            one = replace(one, notes=(*one.notes, f"{path} takes the place of the built-in {one.name}"))
        own[one.name] = path
        out[one.name] = one
        if len(own) > MAX_PROFILES:
            raise ConfigError(
                f"there are more than {MAX_PROFILES} profiles", path=path, fix="Remove those nobody names"
            )
    return out


def profile(data: bytes, path: str) -> Profile:
    """Read one file. Raises ConfigError with the line of the mistake."""
    text = decoded(data, path)
    value, lines, body, _ = front_matter(text, path)
    reader = YamlReader(path, lines)
    table = reader.table(value, (), (*_KEYS, *_ELSEWHERE))
    name = reader.string(table.get("name", path.rpartition("/")[2].removesuffix(".md")), ("name",))
    if not _NAME.fullmatch(name):
        reader.fail(("name",), f"{shown(name)} is no name of a profile", "Use small letters, digits, - and _")
    if len(body) > _MAX_BODY:
        fix = "Move knowledge into .agents/context/ or a reference"
        raise ConfigError(f"the role has {len(body)} characters, at most {_MAX_BODY}", path=path, fix=fix)
    ignored = sorted(key for key in table if key in _ELSEWHERE)
    note = (f"{path}: {', '.join(ignored)} mean nothing to a reviewer here, and are ignored",) if ignored else ()
    named = str(table.get("model", "")).lower()
    tier = next((tier for word, tier in _MODELS.items() if word in named), "auto")
    given: dict[str, Any] = {}
    for key, read in {"policies": _patterns, "files": _globs, "references": _globs}.items():
        if key in table:
            given[key] = read(reader, table[key], key)
    if "effort" in table:
        given["effort"] = reader.choice(table["effort"], ("effort",), EFFORTS)
    if "gate" in table:
        given["gate"] = reader.choice(table["gate"], ("gate",), ("block", "advise"))
    if "required" in table:
        given["required"] = reader.flag(table["required"], ("required",))
    if "budget" in table:
        given["budget"] = float(reader.number(table["budget"], ("budget",), 0, 1000, whole=False))
    return Profile(
        name=name,
        description=" ".join(str(table.get("description", "")).split())[:1000],
        body=body.strip(),
        tier=reader.choice(table.get("tier", tier), ("tier",), TIERS),
        path=path,
        digest=digest(data),
        notes=note,
        **given,
    )


def _globs(reader: YamlReader, value: Any, key: str) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    return reader.strings(items, (key,), glob=True)


def _patterns(reader: YamlReader, value: Any, key: str) -> tuple[str, ...]:
    return reader.strings([value] if isinstance(value, str) else value, (key,))


def closed_list(one: Profile, known: Collection[str]) -> tuple[str, ...]:
    """Return the ids of the rules a profile may claim. ``known`` are the policies. Raises ConfigError for an unknown one."""
    every = sorted({*known, *BY_ID})
    out: list[str] = []
    for pattern in one.policies:
        found = [pattern] if pattern in every else [i for i in every if pattern in ("*", f"{i.partition('.')[0]}.*")]
        if not found:
            raise ConfigError(f"there is no policy {shown(pattern)}", path=one.path, fix=nearest(pattern, every))
        out.extend(found)
    return tuple(dict.fromkeys(out))


def chosen(names: Collection[str], known: Mapping[str, Profile], *, where: str) -> tuple[Profile, ...]:
    """Return the profiles of these names, in order. Raises UsageError; ``where`` says who asks for them."""
    for name in names:
        if name not in known:
            raise UsageError(f"{where} names a reviewer that is not there: {shown(name)}", fix=nearest(name, known))
    return tuple(known[name] for name in sorted(set(names)))
