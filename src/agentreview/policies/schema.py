"""What a Prisma schema says of its models: uniqueness without the tenant. No parser of ours reads the language, lines do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.facts import Facts
from agentreview.lazyre import lazy
from agentreview.model import Claim, FileChange
from agentreview.policies.load import Check, Policy
from agentreview.records import dataclass
from agentreview.syntax.lexicon import Lexicon
from agentreview.syntax.parse import text_of

_MODEL = lazy(r"^\s*model\s+(\w+)\s*\{")
_FIELD = lazy(r"^\s*(\w+)\s+[\w.]+[?\[\]]*(.*)$")
_TOGETHER = lazy(r"^\s*@@unique\(\s*(?:fields:\s*)?\[([^\]]*)\]")
_MADE = lazy(r"@default\((?:uuid|cuid|nanoid|ulid|dbgenerated|autoincrement)\(|@id\b")
_RANDOM = lazy(r"(?i)token|hash|secret|uuid|nonce|^id$|external_?id|slug_?id|checksum|session")
_LINE = 400  # characters of a line that are looked at


@dataclass(frozen=True, slots=True)
class Model:
    """One model: its fields, and (line, columns) of what is unique in it."""

    name: str
    fields: tuple[str, ...]
    unique: tuple[tuple[int, tuple[str, ...]], ...]


def models(text: str) -> Iterator[Model]:
    """Read the models of a schema."""
    name = ""
    fields: list[str] = []
    unique: list[tuple[int, tuple[str, ...]]] = []
    for number, whole in enumerate(text.split("\n"), 1):
        line = whole[:_LINE]
        opened = _MODEL.match(line)
        if opened:
            name, fields, unique = opened[1], [], []
        elif name and line.strip() == "}":
            yield Model(name, tuple(fields), tuple(unique))
            name = ""
        elif name:
            together, field = _TOGETHER.match(line), _FIELD.match(line)
            if together:
                unique.append((number, tuple(re.findall(r"\w+", together[1]))))
            elif field and not line.strip().startswith(("@@", "//")):
                fields.append(field[1])
                if re.search(r"@unique\b", field[2]) and not _MADE.search(field[2]):
                    unique.append((number, (field[1],)))


def unique(policy: Policy, check: Check, change: FileChange, lexicon: Lexicon, facts: Facts) -> Iterator[Claim]:
    """Claim added lines of a schema that make a column unique over all tenants."""
    if (
        change.after is None
        or not change.path.endswith(".prisma")
        or facts.tenant.isolation in ("schema", "database", "none")
    ):
        return
    text = text_of(change.after)
    lines = text.split("\n")
    added = {n for hunk in change.hunks for n in hunk.added}
    for model in models(text):
        account = re.match(r"(?i)^(?:user|account|tenant|org|organi[sz]ation|company|workspace|team)$", model.name)
        if account or lexicon.tenant_resource(model.name) is False or not any(map(lexicon.tenant_key, model.fields)):
            continue
        for number, names in model.unique:
            if number not in added or any(lexicon.tenant_key(n) or _RANDOM.search(n) for n in names):
                continue
            shown = ", ".join(names)
            yield Claim(
                rule=policy.id, path=change.path, unit=model.name, start_line=number, end_line=number, quote=lines[number - 1], side="after",
                identity=f"unique:{model.name}:{shown}", message=check.message.replace("{value}", shown).replace("{resource}", model.name),
                fix=(check.fix or policy.rule.fix).replace("{value}", shown).replace("{resource}", model.name).replace("{tenant}", facts.tenant.key or "the tenant key"),
                hit=check.hit, evidence=(), needs=tuple(n for n in policy.needs if not facts.is_set(n)), confirmed=facts.settle(policy.needs), severity=check.severity,
            )  # fmt: skip
