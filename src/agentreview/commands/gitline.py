"""What the git commands of a shell line are about: aliases, what goes around the review, the options of ``git commit``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from agentreview.commands.shellline import DEEPEST, Command, git, parsed
from agentreview.errors import UsageError
from agentreview.lazyre import lazy
from agentreview.records import dataclass, replace

if TYPE_CHECKING:
    from agentreview.git import Repository

STAGES = frozenset(
    "add rm mv apply stash checkout switch restore reset merge pull rebase cherry-pick revert am update-index read-tree".split()
)
LOOKS = frozenset(
    "status diff log show rev-parse rev-list branch fetch remote ls-files ls-tree cat-file blame config describe tag grep"
    " shortlog reflog worktree push version help diff-tree diff-index diff-files name-rev merge-base symbolic-ref".split()
)  # subcommands that leave the index alone, and names no alias can have
_GATED = ("commit", "merge", "pull", "push")
_HOOK_KEYS = lazy(r"core\.hookspath|\bhook\.", 2)  # re.IGNORECASE
_WITH_VALUE = "mFCct"  # short options of git commit whose value may stand for itself
_LONG_WITH_VALUE = (
    *("--message", "--file", "--author", "--date", "--template", "--reuse-message", "--reedit-message"),
    *("--fixup", "--squash", "--trailer", "--cleanup"),
)
_TAKES_MORE = (
    ("--all", 5),
    ("--only", 4),
    ("--include", 6),
    ("--patch", 7),
    ("--interactive", 6),
    ("--pathspec-from-file", 7),
)
_HOOK_FILES = lazy(
    r"(^|/)\.git/(worktrees/[^/]+/)?(hooks|config)(/|$)|(^|/)hooks/(pre-commit|pre-merge-commit|prepare-commit-msg|pre-push)$"
)
_CHANGES_FILES = frozenset("rm mv chmod ln cp truncate tee unlink sed install".split())


@dataclass(frozen=True, slots=True)
class Asked:
    """What a ``git commit`` asks for. ``more``: it also takes what is not staged."""

    amend: bool = False
    unverified: bool = False
    more: bool = False
    looks: bool = False  # --dry-run, --help: makes no commit


def repository_at(where: str | None) -> Repository | None:
    """The repository there; None for one that is not made yet, and for a place of which git itself says what is wrong."""
    from agentreview.git import open_repository

    try:
        return open_repository(where)
    except UsageError:
        return None


def meant(commands: Sequence[Command], depth: int = 0) -> Iterator[Command]:
    """The commands, with git's aliases replaced by what they stand for."""
    for one in commands:
        value = _alias(one) if one.program == "git" and depth < DEEPEST else None
        if value is None:
            yield one
        elif value.startswith("!"):
            line = " ".join((value[1:], *map(shlex.quote, one.words)))
            yield from meant(parsed(line, one.where) or (), depth + 1)
        else:
            try:
                words = shlex.split(value)
            except ValueError:
                continue  # git does not take it either
            inner = git([*words, *one.words], one.where, list(one.environment))
            yield from meant([replace(inner, settings=(*one.settings, *inner.settings))], depth + 1)


def _alias(one: Command) -> str | None:
    """What an alias stands for, of the line itself or of the configuration there; None for what is none."""
    if not one.sub or one.sub == "commit" or one.sub in STAGES or one.sub in LOOKS:
        return None
    key = f"alias.{one.sub}".lower()
    given = [value for name, _, value in (setting.partition("=") for setting in one.settings) if name.lower() == key]
    if given:
        return given[-1]
    repo = repository_at(one.where) if one.where is not None and one.sub.replace("-", "").isalnum() else None
    if repo is None:
        return None
    from agentreview.git import config_values

    values = config_values(repo, key)
    return values[-1].value if values else None


def goes_around(one: Command) -> str:
    """What in a command switches the review off; "" for nothing."""
    for setting in one.environment:
        name, _, value = setting.partition("=")
        name = name.rstrip("+").upper()
        if name == "AGENTREVIEW_BYPASS" or (name == "HUSKY" and value == "0"):
            return name
        if name == "LEFTHOOK" and value.lower() in ("0", "false"):
            return name
        if name in ("SKIP", "PREK_SKIP", "LEFTHOOK_EXCLUDE") and "agentreview" in value:
            return f"{name}={value}"
        if name.startswith(("GIT_CONFIG_KEY", "GIT_CONFIG_PARAMETERS")) and _HOOK_KEYS.search(value):
            return name
        if name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM") and value != "/dev/null" and one.sub in _GATED:
            return f"{name}, whose file may name other hooks,"
    if one.program == "agentreview" and one.words[:1] == ("uninstall",):
        return "agentreview uninstall"
    if one.program in _CHANGES_FILES and any(_HOOK_FILES.search(word) for word in one.words):
        return "a change to git's hooks"
    if one.program != "git":
        return ""
    switched = next((key for key in map(option_name, one.settings) if _switches(key)), "")
    if switched:
        return switched
    if one.sub == "config" and not _reads(one.words):
        return next((word for word in one.words if _switches(word)), "")
    if one.sub == "commit" and commit_options(one.words).unverified:
        return "--no-verify"
    return "--no-verify" if one.sub in _GATED and any(map(_unverified, one.words)) else ""


def option_name(setting: str) -> str:
    """The NAME of ``NAME=value``."""
    return setting.partition("=")[0]


def _switches(key: str) -> bool:
    return key.lower() == "core.hookspath" or key.lower().startswith("hook.agentreview")


def _reads(words: Sequence[str]) -> bool:
    """Whether ``git config WORDS`` only reads."""
    plain = [word for word in words if not word.startswith("-")]
    reading = any(
        word.startswith("--get") or word in ("-l", "--list", "--show-origin", "--show-scope") for word in words
    )
    return (
        reading or plain[:1] in (["get"], ["list"]) or (len(plain) == 1 and not any("unset" in word for word in words))
    )


def _unverified(word: str) -> bool:
    return len(word) > 8 and "--no-verify".startswith(word)  # git takes what is short and still clear: --no-veri


def commit_options(words: Sequence[str]) -> Asked:
    """Read the options of ``git commit WORDS`` as git does: clusters, values, and abbreviations."""
    asked = Asked()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return replace(asked, more=asked.more or bool(rest))
        if word == "-" or not word.startswith("-"):
            asked = replace(asked, more=True)  # a path: what is on disk there
        elif word.startswith("--"):
            name, equals, _ = word.partition("=")
            if not equals and any(one.startswith(name) for one in _LONG_WITH_VALUE) and not "--amend".startswith(name):
                rest = rest[1:]
            asked = replace(
                asked,
                amend=asked.amend or (len(name) > 3 and "--amend".startswith(name)),
                unverified=asked.unverified or _unverified(name),
                more=asked.more or any(len(name) >= least and one.startswith(name) for one, least in _TAKES_MORE),
                looks=asked.looks or name in ("--dry-run", "--help", "--short", "--porcelain", "--long"),
            )
        else:
            for number, letter in enumerate(word[1:], 2):
                if letter in _WITH_VALUE:
                    rest = rest[1:] if number == len(word) else rest
                    break
                if letter in "uS":  # the rest of the word is its value
                    break
                asked = replace(
                    asked, unverified=asked.unverified or letter == "n", more=asked.more or letter in "aoip",
                    looks=asked.looks or letter in "h",
                )  # fmt: skip
    return asked
