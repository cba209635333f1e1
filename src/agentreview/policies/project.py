"""A project's own policies and framework files: from the reviewed tree, beside the built-in ones.

``.agents/policies/<name>.md`` is the policy ``project.<name>``, ``.agents/policies/<pack>/<name>.md`` is
``<pack>.<name>``; ``.agents/frameworks/<id>.yml`` says how a framework spells the concepts. They are checked like the
built-in ones, and their examples run when they are first seen; what that showed is kept by content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentreview.canonical import digest
from agentreview.checked import plain
from agentreview.errors import ConfigError
from agentreview.lazyre import lazy
from agentreview.policies.load import FORMAT, Catalogue, cache_dir, cached, catalogue_of, keep, load, policies_dir
from agentreview.records import dataclass, replace
from agentreview.version import PROJECT_FRAMEWORKS, PROJECT_POLICIES, engine_version

if TYPE_CHECKING:
    from agentreview.policies.compiling import Source
    from agentreview.policies.selftest import Examined

PACK = "project"  # of a policy that is in no sub-folder
FRAMEWORK_OF_FACTS = "project"  # the id that the names in [facts] work under

Examine = Callable[[Sequence["Source"], Catalogue], Sequence["Examined"]]

_NAME = lazy(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A catalogue with what is to be said about it. ``unchecked``: (policy, reason) of those that cannot be used."""

    catalogue: Catalogue
    unchecked: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def mistake(self) -> ConfigError | None:
        """The first policy that cannot be used, as an error."""
        if not self.unchecked:
            return None
        name, reason = self.unchecked[0]
        return ConfigError(
            f"{name} cannot be used: {reason}", path=PROJECT_POLICIES, fix="Make its rule or its examples simpler"
        )


def policy_id(path: str) -> str:
    """Return the id of the project policy in this file of the tree, or '' when it is none."""
    if not path.startswith(f"{PROJECT_POLICIES}/") or not path.endswith(".md") or path.endswith("/README.md"):
        return ""
    parts = path[len(PROJECT_POLICIES) + 1 : -3].split("/")
    return ".".join(parts if len(parts) == 2 else [PACK, parts[0]]) if len(parts) <= 2 else ""


def is_framework(path: str) -> bool:
    """Whether this file of the tree says how a framework of the project spells the concepts."""
    return path.startswith(f"{PROJECT_FRAMEWORKS}/") and path.endswith(".yml")


def known_ids(files: Iterable[str]) -> frozenset[str]:
    """Ids of the built-in policies and of the project's among these paths."""
    return load().ids() | {name for name in map(policy_id, files) if name}


def sources(files: Mapping[str, bytes], names: Mapping[str, str] | None = None) -> tuple[list[Source], list[Source]]:
    """Return (policies, framework files) among ``files``, by path in the tree; ``id`` of the latter is the framework's.

    ``names`` are the paths to show instead, where the files are elsewhere. Raises ConfigError for a name that no policy
    or framework file can have: left out, it would look like one.
    """
    from agentreview.policies.compiling import Source

    policies: dict[str, Source] = {}
    spelled: list[Source] = []
    for path, data in sorted(files.items()):
        shown = (names or {}).get(path, path)
        if path.endswith("/README.md"):
            continue
        if path.startswith(f"{PROJECT_FRAMEWORKS}/"):
            parts = _parts(path[len(PROJECT_FRAMEWORKS) + 1 :], shown, ".yml", 1, f"{PROJECT_FRAMEWORKS}/<id>.yml")
            spelled.append(Source(parts[0], shown, data))
        elif path.startswith(f"{PROJECT_POLICIES}/"):
            form = f"{PROJECT_POLICIES}/<name>.md or {PROJECT_POLICIES}/<pack>/<name>.md"
            parts = _parts(path[len(PROJECT_POLICIES) + 1 :], shown, ".md", 2, form)
            one = Source(".".join(parts if len(parts) == 2 else [PACK, *parts]), shown, data)
            if one.id in policies:
                fix = "Keep one of the two files"
                raise ConfigError(f"{policies[one.id].path} is {one.id} as well", path=shown, fix=fix)
            policies[one.id] = one
    return list(policies.values()), spelled


def _parts(name: str, shown: str, suffix: str, depth: int, form: str) -> list[str]:
    parts = name.removesuffix(suffix).split("/")
    if not name.endswith(suffix):
        fix = f"Name it {form}, or move it elsewhere"
        raise ConfigError(f"a file here ends in {suffix}", path=plain(shown), fix=fix)
    if len(parts) > depth or not all(_NAME.fullmatch(part) for part in parts):
        what = "policy" if suffix == ".md" else "framework"
        fix = f"Name it {form}, of small letters, digits and single hyphens"
        raise ConfigError(f"this name is no {what}'s", path=plain(shown), fix=fix)
    return parts


def load_with(files: Mapping[str, bytes], examine: Examine) -> Loaded:
    """Return the built-in catalogue with the project's files among ``files`` (path -> content) added.

    ``examine`` runs the examples of policies that were not seen before. Raises ConfigError for the first mistake.
    """
    own = {
        path: data
        for path, data in files.items()
        if path.startswith((f"{PROJECT_POLICIES}/", f"{PROJECT_FRAMEWORKS}/"))
    }
    built_in = load()
    if not own:
        return Loaded(built_in)
    mark = digest([built_in.digest, engine_version(), {path: digest(data) for path, data in own.items()}])
    cache = cache_dir() / f"project-{FORMAT}-{mark[3:]}.json"
    known = cached(cache)
    if known is not None:
        try:
            return Loaded(_joined(built_in, known, mark), notes=tuple(str(note) for note in known["notes"]))
        except (AttributeError, KeyError, TypeError, ValueError):
            pass  # not ours: compile again
    policies, frameworks = sources(own)
    compiled = compiled_sources(policies, frameworks)
    catalogue = _joined(built_in, compiled, mark)
    results = examine(policies, catalogue)
    error = next((result.error for result in results if result.error is not None), None)
    if error is not None:
        raise error
    pairs = list(zip(policies, results, strict=True))
    unchecked = tuple((one.id, result.unchecked) for one, result in pairs if result.unchecked)
    notes = tuple(
        f"policy {one.id}: {len(result.failing)} of its examples {'is' if len(result.failing) == 1 else 'are'} not as they say "
        f"({result.failing[0]}): agentreview policies test {one.id}"
        for one, result in pairs
        if result.failing
    )
    if not unchecked:  # what was not checked is tried again next time
        keep(cache, {**compiled, "notes": notes})
    left_out = {name for name, _ in unchecked}
    usable = tuple(p for p in catalogue.policies if p.id not in left_out)
    return Loaded(replace(catalogue, policies=usable), unchecked, notes)


def joined(policies: Sequence[Source], frameworks: Sequence[Source]) -> tuple[Catalogue, dict[str, Any]]:
    """Return the built-in catalogue with these added, and their compiled form. No example runs. Raises ConfigError."""
    compiled = compiled_sources(policies, frameworks)
    marks = [digest(one.data) for one in (*policies, *frameworks)]
    return _joined(load(), compiled, digest([load().digest, marks])), compiled


def compiled_sources(policies: Sequence[Source], frameworks: Sequence[Source]) -> dict[str, Any]:
    """Check and compile project files; no raw rule is tried, no example run. Raises ConfigError."""
    from agentreview.policies import compiling

    built_in = load()
    table = policies_dir() / "citations.yml"
    citations = compiling.citation_table(table.read_bytes(), str(table))
    taken = {framework.id for framework in built_in.frameworks} | {FRAMEWORK_OF_FACTS}
    for one in policies:
        if one.id in built_in.ids():
            fix = "Choose another name; what a built-in one may do is set in [policies] of agentreview.toml"
            raise ConfigError(f"{one.id} is a built-in policy", path=one.path, fix=fix)
    for one in frameworks:
        if one.id in taken:
            raise ConfigError(f"{one.id} is a built-in framework file", path=one.path, fix="Choose another name")
    spelled = [compiling.framework(one.data, one.id, one.path)[0] for one in frameworks]
    out, known = [], {*built_in.ids(), *(one.id for one in policies)}
    for one in policies:
        compiled, lines = compiling.policy(one, citations, own=False)
        compiling.superseded(compiled, known, one.path, lines)
        out.append(compiled)
    return {"format": FORMAT, "policies": out, "frameworks": spelled}


def _joined(built_in: Catalogue, compiled: Mapping[str, Any], mark: str) -> Catalogue:
    own = catalogue_of(compiled, mark)
    return Catalogue(
        tuple(sorted((*built_in.policies, *own.policies), key=lambda p: p.id)),
        (*built_in.frameworks, *own.frameworks),
        mark,
        built_in.known | own.known,
    )
