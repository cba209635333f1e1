"""Changes to a project's own policies and framework files, which are part of the gate.

A policy that is gone or finds less, a framework file that counts more as a control or knows fewer calls: whoever is
gated must not decide that alone. Adding a policy and tightening one are silent. Judged against the version before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentreview.canonical import canonical_json
from agentreview.checked import KeyPath
from agentreview.config import Level
from agentreview.errors import ConfigError
from agentreview.model import Claim, FileChange, Hit, Severity
from agentreview.policies.compare import Engine
from agentreview.policies.gate import claim_at
from agentreview.policies.load import Check, Policy
from agentreview.policies.project import is_framework, policy_id
from agentreview.syntax.reach import CONTROLS

CLEARING = CONTROLS | {"caller", "deny"}  # concepts whose entries make findings go away
_TELLING = frozenset({"opening"})  # what clears some findings and makes others
_ACCEPT = (
    "Undo this part of the change and fix what the gate reported instead. A person who wants it this way says so in a comment "
    "above that line: # agentreview: ignore[{policy}] reason"
)
_Weaker = tuple[str, KeyPath]


def concerns(change: FileChange) -> bool:
    """Whether a change touches a project policy or framework file."""
    return any(policy_id(path) or is_framework(path) for path in (change.path, change.old_path or ""))


def scan(policy: Policy, check: Check, change: FileChange, engine: Engine) -> Iterator[Claim]:
    """Claim what a change takes away from the project's own part of the gate, at most once a file."""
    before, after = change.old_path or change.path, change.path
    hit = check.hit
    losses: list[_Weaker] = []
    lines: Mapping[KeyPath, int] = {}
    if policy_id(before) and change.before is not None and engine.guard.level(policy_id(before)) is not Level.OFF:
        losses, lines = _policy(policy_id(before), change.before, policy_id(after), change.after, engine)
    elif is_framework(before) or is_framework(after):
        losses, lines = _framework(before, change.before, after, change.after)
        if change.before is None and engine.guard.path is None:
            hit = Hit.SUSPECT  # a project that sets the gate up says for the first time what its controls are
    if losses:
        line = next((lines[key[:end]] for _, key in losses for end in range(len(key), -1, -1) if key[:end] in lines), 1)
        what = "; ".join(sentence for sentence, _ in losses[:4]) + (
            f"; and {len(losses) - 4} more" if losses[4:] else ""
        )
        yield claim_at(
            policy, check, change, line, what, hit=hit, identity=f"project:{before}:{what}", fix=_ACCEPT.replace("{policy}", policy.id)
        )  # fmt: skip


def _policy(
    old_id: str, before: bytes, new_id: str, after: bytes | None, engine: Engine
) -> tuple[list[_Weaker], Mapping[KeyPath, int]]:
    old, _ = _compiled_policy(old_id, before)
    if old is None:
        return [], {}  # it never worked
    if after is None or not new_id:
        return [(f"the project policy {old_id} is removed", ())], {}
    new, lines = _compiled_policy(new_id, after)
    if new is None:
        return [], {}  # loading it reports that itself
    losses = list(_weaker(old, new))
    if engine.config.level(new_id).rank < engine.guard.level(old_id).rank and new_id != old_id:
        losses.insert(0, (f"under its new name {new_id} it is {engine.config.level(new_id).value}", ("id",)))
    return [(f"{old_id}: {sentence}", key) for sentence, key in losses], lines


def _compiled_policy(name: str, data: bytes) -> tuple[dict[str, Any] | None, Mapping[KeyPath, int]]:
    from agentreview.policies import compiling
    from agentreview.policies.load import policies_dir

    table = policies_dir() / "citations.yml"
    try:
        citations = compiling.citation_table(table.read_bytes(), str(table))
        return compiling.policy(compiling.Source(name, name, data), citations, own=False)
    except ConfigError:
        return None, {}


def _weaker(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[_Weaker]:
    was, now = Severity(old["rule"]["severity"]), Severity(new["rule"]["severity"])
    if now.rank < was.rank:
        yield f"its severity is lowered from {was.value} to {now.value}", ("severity",)
    for number, check in enumerate(old["checks"]):
        if not any(_covers(one, check) for one in new["checks"]):
            at: KeyPath = ("checks", number) if number < len(new["checks"]) else ("checks",)
            yield f"its check {number + 1} ({check['form']}) is gone, finds less or finds something else", at
    for key, says in (("skip", "it now skips"), ("needs", "it now rests on the fact")):
        added = [name for name in new[key] if name not in old[key]]
        if added:
            yield f"{says} {', '.join(added)}", (key,)
    if new["superseded_by"] and new["superseded_by"] != old["superseded_by"]:
        yield f"it now yields to {new['superseded_by']}", ("superseded_by",)


def _covers(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether a check certainly finds everything that another one found."""
    same = all(new[key] == old[key] for key in ("form", "language", "rule", "lines", "siblings"))
    wider = all(set(new[key]) >= set(old[key]) for key in ("concepts", "sources", "sinks", "files"))
    stricter = all(set(new[key]) <= set(old[key]) for key in ("require", "unless"))
    fewer = all(one in old["when"] for one in new["when"])
    severe = not old["severity"] or (
        new["severity"] and Severity(new["severity"]).rank >= Severity(old["severity"]).rank
    )
    certain = new["hit"] == old["hit"] or Hit(new["hit"]) is Hit.VIOLATION
    # No concept at all is not "all of them": such a check looks at every unit of its kind.
    return (
        same
        and wider
        and stricter
        and fewer
        and certain
        and bool(severe)
        and new["silent"] in ("", old["silent"])
        and bool(new["concepts"]) == bool(old["concepts"])
        and bool(new["require"]) == bool(old["require"])
        and new["where"] in (old["where"], "any")
    )


def _framework(
    before: str, old: bytes | None, after: str, new: bytes | None
) -> tuple[list[_Weaker], Mapping[KeyPath, int]]:
    had, _ = _compiled_framework(before, old)
    has, lines = _compiled_framework(after, new)
    if has is None and new is not None and is_framework(after):
        return [], {}  # loading it reports that itself
    losses: list[_Weaker] = []
    was, now = _entries(had), _entries(has)
    added = sorted({concept for concept, _ in now.keys() - was.keys() if concept in CLEARING})
    gone = sorted({concept for concept, _ in was.keys() - now.keys() if concept not in CLEARING or concept in _TELLING})
    if added:
        number = sum(concept in CLEARING for concept, _ in now.keys() - was.keys())
        first = min(
            (now[entry] for entry in now.keys() - was.keys() if entry[0] in CLEARING), key=lambda k: lines.get(k, 0)
        )
        losses.append(
            (
                f"{after} counts {number} more {'call or name' if number == 1 else 'calls and names'} as controls ({', '.join(added)})",
                first,
            )
        )
    if gone:
        losses.append((f"{before} no longer says what these are: {', '.join(gone)}", ("concepts",)))
    if had is not None and has is not None:
        for key in ("imports", "languages"):
            if set(had[key]) != set(has[key]):
                losses.append((f"{after} holds for other files than before ({key})", (key,)))  # noqa: PERF401
    return losses, lines


def _compiled_framework(path: str, data: bytes | None) -> tuple[dict[str, Any] | None, Mapping[KeyPath, int]]:
    from agentreview.policies import compiling

    if data is None or not is_framework(path):
        return None, {}
    try:
        return compiling.framework(data, path.rpartition("/")[2][:-4], path)
    except ConfigError:
        return None, {}


def _entries(compiled: Mapping[str, Any] | None) -> dict[tuple[str, bytes], KeyPath]:
    if compiled is None:
        return {}
    return {
        (concept, canonical_json(raw)): ("concepts", concept, number)
        for concept, raws in compiled["concepts"].items()
        for number, raw in enumerate(raws or ())
    }
