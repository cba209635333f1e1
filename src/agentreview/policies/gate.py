"""Changes to the gate itself: its configuration, its hooks, its step in CI, and ways around it in scripts.

A local hook can always be skipped; what this finds is the change that makes skipping it permanent or quiet. Loosening
blocks; tightening and adding the gate do not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from agentreview.config import Config, config_relaxations, file_layout, has_table, parse_config
from agentreview.errors import ConfigError
from agentreview.lazyre import lazy
from agentreview.model import Claim, FileChange, Hit
from agentreview.policies.load import Check, Policy
from agentreview.syntax.parse import text_of
from agentreview.waiverfile import SIGNERS_NAME

_CONFIGS = {"agentreview.toml": (), "pyproject.toml": ("tool", "agentreview")}
_HOOK_FILES = lazy(
    r"(?:^|/)(?:\.pre-commit-config\.ya?ml|prek\.toml|lefthook(?:-local)?\.(?:ya?ml|toml|json)|\.lefthook\.(?:ya?ml|toml)|\.husky/[^/]+|\.gitlab-ci\.yml|\.circleci/config\.yml|azure-pipelines\.yml|Jenkinsfile|Makefile|justfile|package\.json|tox\.ini|noxfile\.py)$"
    r"|^\.github/workflows/[^/]+\.ya?ml$"
)
_OWNERS = lazy(r"(?:^|/)CODEOWNERS$")
_GATE_PATHS = lazy(r"agentreview|\.agents/|\.pre-commit|lefthook|\.husky")
_OURS = ("agentreview.toml", "pyproject.toml", "agents.md", "claude.md", "setup.cfg", "conftest.py", "sitecustomize.py")
_SCRIPTS = lazy(
    r"\.(?:sh|bash|zsh|py|js|mjs|cjs|ts|rb|ya?ml|toml|json|mk|ps1)$|(?:^|/)(?:Makefile|justfile|Dockerfile|Jenkinsfile)$|^\.husky/"
)
_MENTION = lazy(r"\bagentreview\b")
_QUOTED = lazy(r"'([^']+)'")
_COMMENT = lazy(r"^\s*(?:#|//|--|;|/\*|\*)")
# Every pattern below needs one of these, in any case: a look for fixed text first.
_HINTS = ("no-verify", "commit", "hookspath", "husky", "lefthook", "skip", "allow_no_config", "agentreview")
_AROUND = (
    (lazy(r"\bgit\b[^\n]{0,80}\bcommit\b[^\n]{0,200}(?:--no-verify|\s-[a-zA-Z]*n[a-zA-Z]*\b)|\bgit\b[^\n]{0,80}\b(?:push|merge)\b[^\n]{0,200}--no-verify|[\"']--no-verify[\"']"), "commits or pushes without running the hooks (--no-verify)"),
    (lazy(r"(?i:core\.hookspath)"), "points git at another hooks folder (core.hooksPath)"),
    (lazy(r"\bHUSKY\s*[=:]\s*[\"']?0\b"), "switches husky's hooks off (HUSKY=0)"),
    (lazy(r"\bLEFTHOOK\s*[=:]\s*[\"']?(?:0|false)\b"), "switches lefthook's hooks off (LEFTHOOK=0)"),
    (lazy(r"\b(?:PREK_)?SKIP\s*[=:]\s*[\"']?[\w,-]*\bagentreview\b"), "tells pre-commit to skip agentreview (SKIP)"),
    (lazy(r"\bPRE(?:K|_COMMIT)_ALLOW_NO_CONFIG\s*[=:]\s*[\"']?1"), "lets commits pass when the hook configuration is missing"),
    (lazy(r"\bagentreview\b[^\n#|]{0,200}(?:\|\|\s*(?:true|:|exit 0|echo)|;\s*(?:true|exit 0)\b)"), "ignores the verdict (agentreview … || true)"),
    (lazy(r"\bAGENTREVIEW_BYPASS\s*[=:]"), "sets the bypass variable"),
)  # fmt: skip


def is_gate_file(path: str) -> bool:
    """Whether a file may be part of what checks commits, here or in CI, or tells agents what to do: by its name, widely."""
    hidden = any(part.startswith(".") for part in path.split("/"))
    named = path.rpartition("/")[2].lower() in _OURS or path.startswith("hooks/")
    return hidden or named or bool(_HOOK_FILES.search(path) or _OWNERS.search(path) or _GATE_PATHS.search(path))


def scan(policy: Policy, check: Check, change: FileChange, known_policies: Collection[str]) -> list[Claim]:
    """Return claims about one changed file."""
    before, after = _text(change.before), _text(change.after)
    old_path = change.old_path or change.path
    out = list(_configuration(policy, check, change, known_policies))
    # A step that is still written down, in a file that nothing runs any more, is a step that is gone.
    out.extend(
        _hook_entries(
            policy, check, change,
            before if _HOOK_FILES.search(old_path) else "", after if _HOOK_FILES.search(change.path) else "",
        )
    )  # fmt: skip
    if change.path == SIGNERS_NAME and after:
        out.extend(_signers(policy, check, change, before, after))
    if _OWNERS.search(old_path):
        out.extend(_owners(policy, check, change, before, after if _OWNERS.search(change.path) else ""))
    if _SCRIPTS.search(change.path) and after:
        out.extend(_ways_around(policy, check, change, after))
    return out


def _text(content: bytes | None) -> str:
    return text_of(content) if content is not None else ""


def claim_at(
    policy: Policy,
    check: Check,
    change: FileChange,
    line: int,
    what: str,
    *,
    hit: Hit | None = None,
    identity: str = "",
    fix: str = "",
) -> Claim:
    """Word what a change does to the gate, at a line of the new version (of the old one when the file is gone)."""
    source = _text(change.after if change.after is not None else change.before).split("\n")
    number = min(max(line, 1), len(source))
    return Claim(
        rule=policy.id, path=change.path, unit="<module>", start_line=number, end_line=number, quote=source[number - 1],
        side="after" if change.after is not None else "before", identity=identity or what,
        message=(check.message or "{value}").replace("{value}", what), hit=hit or check.hit, fix=fix or policy.rule.fix,
    )  # fmt: skip


def _configuration(policy: Policy, check: Check, change: FileChange, known: Collection[str]) -> Iterator[Claim]:
    for name, table in _CONFIGS.items():
        if name not in (change.path, change.old_path):
            continue
        before, after = _text(change.content_before(name)), _text(change.content_after(name))
        # By parsing: [tool] agentreview.packs… and [tool."agentreview"] are our table too.
        tables = [name != "pyproject.toml" or has_table(text.encode()) for text in (before, after)]
        if not any(tables):
            continue
        old = _config(before, name, known, table)
        new = _config(after, name, known, table)
        if new is None:
            continue  # reading the configuration reports that itself
        first = not before.strip() or not tables[0]
        if old is not None and not after.strip() and not first:
            yield claim_at(
                policy,
                check,
                change,
                1,
                "the gate's configuration is removed: its facts and settings no longer apply",
                identity="config-removed",
            )
        for sentence in config_relaxations(old, new):
            line = _line_of(after, sentence, table)
            yield claim_at(
                policy,
                check,
                change,
                line,
                sentence,
                # A first configuration may say what the project is; what it switches off needs a person all the same.
                hit=Hit.SUSPECT if first and sentence.startswith(("facts.", "waivers.approvers")) else check.hit,
                identity=f"config:{sentence}",
            )


def _config(text: str, name: str, known: Collection[str], table: tuple[str, ...]) -> Config | None:
    if not text.strip():
        return Config()
    try:
        return parse_config(text.encode(), path=name, known_policies=known, table=table)
    except ConfigError:
        return None


def _line_of(text: str, sentence: str, table: tuple[str, ...]) -> int:
    """The line of the setting that a sentence is about, and in a list that of the value; else of the table around it."""
    text, found = file_layout(text.encode(), "")
    kind, _, rest = sentence.partition(" ")
    named = {"pack": ("packs", rest.split(" ")[0]), "policy": ("policies", rest.split(" ")[0])}
    key: tuple[str | int, ...] = (*table, *named.get(kind, tuple(kind.rstrip(":").split("."))))
    while key and key not in found.lines:
        key = key[:-1]
    if not key:
        return 1
    _, start, end = found.values.get(key, ((), 0, 0))
    for value in reversed(_QUOTED.findall(sentence)):
        at = text.find(value, start, end)
        if at >= 0:
            return text.count("\n", 0, at) + 1
    return found.lines[key]


def _hook_entries(policy: Policy, check: Check, change: FileChange, before: str, after: str) -> Iterator[Claim]:
    def entries(text: str) -> list[tuple[int, str]]:
        return [
            (n, line)
            for n, line in enumerate(text.split("\n"), 1)
            if _MENTION.search(line) and not _COMMENT.match(line)
        ]

    old, new = entries(before), entries(after)
    if old and not new:
        yield claim_at(
            policy,
            check,
            change,
            min(old[0][0], after.count("\n") + 1),
            f"agentreview is taken out of {change.path}",
            identity="hook-removed",
        )
        return
    for key, pattern in (
        ("continue-on-error", r"continue-on-error:\s*(?:true|\$)|allow_failure:\s*true"),
        ("stages", r"^\s*stages:\s*(.*)$"),
        ("if", r"^\s*if:\s*(?:false|\$\{\{\s*false)"),
    ):
        was = {row for _, _, row in _settings(before, [n for n, _ in old], pattern)}
        for number, where, found in _settings(after, [n for n, _ in new], pattern):
            if found in was:
                continue
            if key == "stages" and (not old or "manual" not in found or "pre-commit" in found.replace("manual", "")):
                continue
            yield claim_at(
                policy,
                check,
                change,
                where or number,
                f"the gate's step no longer decides: {' '.join(found.split())}",
                identity=f"step:{key}",
            )
            break


def _settings(text: str, lines: Collection[int], pattern: str) -> Iterator[tuple[int, int, str]]:
    """For each line: the first line of its list item or step that the pattern finds, as (line, where, text).

    An item reaches from its dash to the next item of the same or a smaller indent. Each is read once.
    """
    rows = text.split("\n")
    dash, dashes = 0, []
    for number, row in enumerate(rows):
        dash = number if row.lstrip().startswith("- ") else dash
        dashes.append(dash)
    first: dict[int, int] = {}
    for line in sorted(lines):
        first.setdefault(dashes[line - 1], line)
    for start, line in first.items():
        indent = len(rows[start]) - len(rows[start].lstrip())
        for number in range(start, len(rows)):
            row = rows[number]
            if number > start and row.strip() and len(row) - len(row.lstrip()) <= indent:
                break
            if re.search(pattern, row):
                yield line, number + 1, row.strip()
                break


def _signers(policy: Policy, check: Check, change: FileChange, before: str, after: str) -> Iterator[Claim]:
    """Every line that lets another key sign; the first file of its kind is a question, like a first configuration."""
    known = {" ".join(line.split()) for line in before.split("\n")}
    for number, line in enumerate(after.split("\n"), 1):
        entry = " ".join(line.split())
        if entry and not entry.startswith("#") and entry not in known:
            yield claim_at(
                policy,
                check,
                change,
                number,
                f"{entry.split(' ')[0]} may sign with a key that was not listed before",
                hit=Hit.SUSPECT if not before.strip() else check.hit,
                identity=f"signer:{entry}",
            )


def _owners(policy: Policy, check: Check, change: FileChange, before: str, after: str) -> Iterator[Claim]:
    kept = {" ".join(line.split()) for line in after.split("\n")}
    for line in before.split("\n"):
        entry = " ".join(line.split())
        if entry and not entry.startswith("#") and _GATE_PATHS.search(entry.split(" ")[0]) and entry not in kept:
            yield claim_at(
                policy,
                check,
                change,
                1,
                f"the owners of {entry.split(' ')[0]} are changed or removed in CODEOWNERS",
                identity=f"owners:{entry.split(' ')[0]}",
            )


def _ways_around(policy: Policy, check: Check, change: FileChange, after: str) -> Iterator[Claim]:
    lower = after.lower()
    if not any(hint in lower for hint in _HINTS):
        return
    rows = after.split("\n")
    for number in (n for hunk in change.hunks for n in hunk.added):
        if number > len(rows):
            continue
        line = rows[number - 1][:2_000]
        first, earlier = number - 1, ""
        while first > 0 and number - first < 10 and rows[first - 1].rstrip().endswith("\\"):  # git commit \ --no-verify
            first -= 1
            earlier = rows[first].rstrip()[:-1][:2_000] + " " + earlier
        line = earlier + line
        if not any(hint in line.lower() for hint in _HINTS) or _COMMENT.match(line):
            continue
        for pattern, what in _AROUND:
            if pattern.search(line) and not pattern.search(earlier):
                yield claim_at(policy, check, change, number, f"this line {what}", identity=f"around:{what}")
                break
