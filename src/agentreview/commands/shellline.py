"""A shell line as far as text tells: which commands it would run, where, with which settings. Nothing of it is run.

What only the shell knows (variables, substitutions, functions, what a script does) stays unknown, and is said to be: a
place that cannot be told is None. Errors here cost an agent a second try, or leave the judgement to git's own hooks.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from agentreview.lazyre import lazy
from agentreview.records import dataclass, replace

if TYPE_CHECKING:
    import re

SHELLS = frozenset({"bash", "sh", "zsh", "dash", "ksh", "fish"})
DEEPEST = 5  # shells in shells
LONGEST = 100_000  # characters; the time some lines take grows with the square of it
MOST_TEXTS = 200  # here-documents
_WRAPPERS = frozenset(
    "env command exec builtin sudo doas nice ionice nohup timeout time stdbuf setsid xargs watch caffeinate".split()
)
_KEYWORDS = frozenset({"then", "do", "else", "elif", "if", "while", "until", "{", "!"})
_BETWEEN = frozenset("();<>|&\n")  # what stands between the commands of a line
_REDIRECTS = frozenset({">", ">>", "<", ">&", "<&", "&>", "&>>", ">|", "<>", "<<<", "<<"})
_KNOWN = SHELLS | {"git", "cd", "pushd", "agentreview", "eval"}
_WITH_VALUE = frozenset(
    {"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--super-prefix", "--config-env", "--attr-source"}
)
_ELSEWHERE = ("--git-dir", "--work-tree", "--namespace", "--exec-path", "--bare", "--super-prefix")
_ESCAPED = lazy(r"\$'((?:[^'\\]|\\.)*)'", 16)  # re.DOTALL; $'…', where \n is a line feed
_ESCAPE = lazy(r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|([0-7]{1,3})|(.))", 16)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}
_HEREDOC = lazy(r"<<(-?)[ \t]*(?:'([^'\n]+)'|\"([^\"\n]+)\"|\\?([\w.-]+))")
_ASSIGNED = lazy(r"[A-Za-z_]\w*\+?=")
_SPLIT = lazy(r"[;&|(\n]")
_UNKNOWN = frozenset("$`*?[")  # in a path: only the shell knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a line. ``where`` is None where only the shell knows; ``environment`` holds ``NAME=value``.

    For git, ``sub`` is the subcommand, ``words`` what follows it, ``settings`` the ``key=value`` of ``-c``, and
    ``elsewhere`` an option that sends git to another repository or other programs. ``program`` is "" for assignments only.
    """

    where: str | None
    program: str
    words: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    sub: str = ""
    settings: tuple[str, ...] = ()
    elsewhere: str = ""


def parsed(line: str, where: str | None, depth: int = 0) -> list[Command] | None:
    """Read the commands of a line, of shells in it too. None for what no shell would take, or is more than we read."""
    if len(line) > LONGEST or line.count("<<") > MOST_TEXTS:
        return None
    try:
        lexer = shlex.shlex(_plain(line), posix=True, punctuation_chars="".join(_BETWEEN))
        lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
        words = list(lexer)
    except ValueError:
        return None
    found: list[Command] = []
    places: list[str | None] = []
    exported: list[str] = []
    for part in _parts(words):
        if isinstance(part, str):  # a parenthesis: a cd inside ends with it
            if part == "(":
                places.append(where)
            elif places:
                where = places.pop()
            continue
        environment, rest = _taken_apart(part)
        program = rest[0].rsplit("/", 1)[-1] if rest else ""
        wrapping = part[: len(part) - len(rest)]
        split = bool(rest) and wrapping[-1:] in (["-S"], ["--split-string"])  # of env: the next word is a line
        environment = [*exported, *environment]
        if program == "export":
            named = [word for word in rest[1:] if _ASSIGNED.match(word)]
            exported += named
            found.append(Command(where=where, program="", environment=(*environment, *named)))
        elif program in ("cd", "pushd"):
            where = _moved(where, [word for word in rest[1:] if word not in ("-P", "-L", "--")])
        elif program == "git":
            found.append(git(rest[1:], _wrapped(wrapping, where), environment))
        elif program in ("eval", "find") or program in SHELLS or split:
            inner = rest[0] if split else _script(program, rest[1:])
            if inner is None:
                found.append(
                    Command(where=where, program=program, words=tuple(rest[1:]), environment=tuple(environment))
                )
                continue
            inside = parsed(inner, _wrapped(wrapping, where), depth + 1) if depth < DEEPEST else None
            if inside is None:
                return None
            found += [replace(one, environment=(*environment, *one.environment)) for one in inside]
        else:
            found.append(Command(where=where, program=program, words=tuple(rest[1:]), environment=tuple(environment)))
    return found


def git(words: list[str], where: str | None, environment: list[str]) -> Command:
    """Take git's own options apart from the subcommand."""
    settings: list[str] = []
    elsewhere = ""
    while words and words[0].startswith("-"):
        option, equals, value = words[0].partition("=")
        words = words[1:]
        if not equals and option in _WITH_VALUE and words:
            value, words = words[0], words[1:]
        if option == "-C":
            where = _moved(where, [value]) if value else where
        elif option in ("-c", "--config-env"):
            settings.append(value)
        elif option in _ELSEWHERE:
            elsewhere = option
    return Command(
        where=where, program="git", words=tuple(words[1:]), environment=tuple(environment), sub=words[0] if words else "",
        settings=tuple(settings), elsewhere=elsewhere,
    )  # fmt: skip


def _moved(where: str | None, words: list[str]) -> str | None:
    """Where ``cd WORDS`` leads."""
    path = os.path.expanduser(words[0] if words else "~")  # noqa: PTH111 - a path of somebody else's line
    if path == "-" or path.startswith("~") or _UNKNOWN.intersection(path):
        return None
    if os.path.isabs(path):  # noqa: PTH117
        return path
    return os.path.join(where, path) if where is not None else None  # noqa: PTH118


def _wrapped(wrapping: list[str], where: str | None) -> str | None:
    """Where the command behind ``env -C PATH`` or ``sudo -D PATH`` runs."""
    for number, word in enumerate(wrapping):
        if word in ("-C", "-D", "--chdir"):
            where = _moved(where, wrapping[number + 1 : number + 2])
        elif word.startswith("--chdir="):
            where = _moved(where, [word.removeprefix("--chdir=")])
    return where


def _script(program: str, words: list[str]) -> str | None:
    """The line that ``bash -c LINE``, ``eval LINE`` or ``find -exec LINE`` runs; None for a script in a file."""
    if program == "eval":
        return " ".join(words)
    if program == "find":
        runs = next((number for number, word in enumerate(words) if word in ("-exec", "-ok")), len(words))
        return shlex.join(words[runs + 1 :]) or None
    for number, word in enumerate(words[:-1]):
        if word.startswith("-") and not word.startswith("--") and "c" in word:
            return words[number + 1]
    return None


def _taken_apart(part: list[str]) -> tuple[list[str], list[str]]:
    """Split a command into the assignments before it and the command itself, without what only wraps it."""
    environment: list[str] = []
    wrapped = False
    for number, word in enumerate(part):
        base = word.rsplit("/", 1)[-1]
        if _ASSIGNED.match(word):
            environment.append(word)
        elif base in _WRAPPERS:
            wrapped = True
        elif word not in _KEYWORDS and not (wrapped and _of_wrapper(base, part[number + 1 :])):
            return environment, part[number:]
    return environment, []


def _of_wrapper(word: str, rest: list[str]) -> bool:
    """Whether a word behind ``sudo``, ``timeout`` and the like still belongs to that."""
    if word in _KNOWN:
        return False
    return word.startswith("-") or word[:1].isdigit() or any(one.rsplit("/", 1)[-1] in _KNOWN for one in rest)


def _parts(words: list[str]) -> list[list[str] | str]:
    """Split at what stands between commands, and leave redirections out. Parentheses stand for themselves.

    What ``$(…)`` runs comes before the command that it is a word of.
    """
    done: list[list[str] | str] = []
    current: list[str] = []
    around: list[list[str]] = []  # for each parenthesis, the command that goes on behind it
    sign, dropping = "", False
    for word in words:
        if not set(word) <= _BETWEEN or not word:
            last = done[-1] if done else ""
            if dropping:
                dropping = False
            elif not current and word.startswith("-") and isinstance(last, list):
                done.pop()  # no command is called so: what seemed to end the one before was a word in quotes, like ";"
                current = [*last, sign, word]
            else:
                current.append(word)
            continue
        if word == "<<<" and current and current[-1].rsplit("/", 1)[-1] in SHELLS:
            current.append("-c")  # what a shell is given to read is what it runs
            continue
        dropping = word in _REDIRECTS or word[-1] in "<>"
        if word in _REDIRECTS:
            if current and len(current[-1]) == 1 and current[-1].isdigit():
                current.pop()  # the 2 of 2>&1
            continue
        sign = word
        for one in word:
            inside = one == "(" and bool(current) and current[-1].endswith("$")
            if current and not inside:
                done.append(current)
            if one == "(":
                around.append(current if inside else [])
            if one in "()":
                done.append(one)
            current = around.pop() if one == ")" and around else []
    return [*done, *([current] if current else [])]


def _plain(line: str) -> str:
    """Take out comments, line continuations and the texts of here-documents; those that feed a shell are kept as lines.

    Backquotes become ``$(…)``.
    """
    out: list[str] = []
    quote, at, ticked, begun = "", 0, False, 0
    later = ""  # what a shell reads from a here-document, due at the end of this line
    while at < len(line):
        char = line[at]
        if char == "\\" and quote != "'":
            if line[at + 1 : at + 2] != "\n":
                out.append(line[at : at + 2])
            at += 2
            continue
        if char == "$" and not quote and line[at + 1 : at + 2] in ("'", '"'):
            escaped = _ESCAPED.match(line, at)
            out.append(shlex.quote(_ESCAPE.sub(_unescaped, escaped[1])) if escaped else "")
            at = escaped.end() if escaped else at + 1
            continue
        if char in "'\"" and quote in ("", char):
            quote = "" if quote else char
        elif char == "#" and not quote and (not out or out[-1][-1:] in " \t\n;&|("):
            end = line.find("\n", at)
            at = len(line) if end < 0 else end
            continue
        elif char == "<" and quote != "'" and line.startswith("<<", at) and not line.startswith("<<<", at):
            opening = _HEREDOC.match(line, at)
            body = _body(line, opening.end(), opening[2] or opening[3] or opening[4], opening[1]) if opening else None
            if opening is not None and body is not None:
                start, stop, after = body
                if not quote and _feeds_shell("".join(out[begun:])):
                    later += line[start:stop]
                out.append(opening[0])
                line = line[: opening.end()] + line[opening.end() : start] + line[after:]
                at = opening.end()
                continue
        elif char == "`" and not quote:
            ticked = not ticked
            out.append("$(" if ticked else ")")
            at += 1
            continue
        elif char == "\n" and later and not quote:
            out.append("\n" + later)
            later = ""
        out.append(char)
        at += 1
        if char in ";&|(\n":
            begun = len(out)
    return "".join(out) + ("\n" + later if later else "")


def _unescaped(match: re.Match[str]) -> str:
    """One character of ``$'…'``, as bash reads it."""
    number = int(match[1] or match[2] or "0", 16) or int(match[3] or "0", 8)
    return chr(number) if number else _LETTERS.get(match[4] or "", match[4] or "")


def _body(line: str, opened: int, delimiter: str, indented: str) -> tuple[int, int, int] | None:
    """Where the text of a here-document begins and ends, and where the line goes on; None when it never ends."""
    start = line.find("\n", opened) + 1
    at = start
    while start and at < len(line):
        end = line.find("\n", at)
        end = len(line) if end < 0 else end
        text = line[at:end]
        if (text.lstrip("\t") if indented else text) == delimiter:
            return start, at, end
        at = end + 1
    return None


def _feeds_shell(before: str) -> bool:
    words = [word for word in _SPLIT.split(before)[-1].split() if not _ASSIGNED.match(word)]
    return bool(words) and words[0].rsplit("/", 1)[-1] in SHELLS
