"""What pages of the site get from the program and from files beside docs/, when the site is built.

A page asks for it in a comment, which a code host does not show::

    <!-- toctree: PAGE PAGE -->     the pages below this one
    <!-- generate: NAME -->         what ``PARTS[NAME]`` returns
    <!-- code host -->              the next line is for readers there alone
    <!-- include: PATH -->          a file of the repository: Markdown without its title, or else as a block

Links lead to files, as on a code host; here those that are pages become links to pages, and the rest become text.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import agentreview
from agentreview.cli import EPILOG, NAME, group
from agentreview.commands.factrows import BUILT_IN
from agentreview.commands.policies import unseen
from agentreview.config import Config, document
from agentreview.policies.load import load
from agentreview.reporters import REPORTERS
from agentreview.settings import CONFIRMATION, FACTS, SETTINGS, TABLES, split

DOCS = Path(__file__).parent
ROOT = DOCS.parent
SCHEMAS = Path(agentreview.__file__).parent / "schemas"

# Files outside of docs/ that are a page here, or the page that says the same.
PLACES = {
    "README.md": "index",
    "CHANGELOG.md": "project/changelog",
    "CONTRIBUTING.md": "project/contributing",
    "SECURITY.md": "explanation/security",
    "policies/README.md": "howto/write-a-policy",
    "integrations/README.md": "howto/coding-agents",
    "integrations": "howto/coding-agents",
}

_COMMENT = re.compile(r"^<!-- *(\w[\w ]*):? *(.*?) *-->\n?", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def complete(page: str, text: str) -> str:
    """Return a page with everything filled in. ``page`` is its name as Sphinx has it: ``howto/index``."""
    folder = (DOCS / page).parent
    text = re.sub(r"^<!-- code host -->\n.*\n", "", text, flags=re.MULTILINE)

    def answer(match: re.Match[str]) -> str:
        kind, what = match[1], match[2]
        if kind == "toctree":
            return "\n".join(["```{toctree}", ":hidden:", "", *what.split(), "```", ""])
        if kind == "generate":
            return PARTS[what]()
        if kind == "include":
            source = ROOT / what
            if source.suffix != ".md":
                language = {".yml": "yaml"}.get(source.suffix, source.suffix[1:])
                return f"```{language}\n{source.read_text(encoding='utf-8')}```\n"
            body = re.sub(r"\A# .*\n", "", source.read_text(encoding="utf-8"))
            return _relinked(body, source.parent, folder)
        return ""

    return _COMMENT.sub(answer, _relinked(text, folder, folder))


def _relinked(text: str, source: Path, folder: Path) -> str:
    """Lead links of a text in the folder ``source`` to pages, as seen from ``folder``; leave fenced blocks alone."""
    pieces, end = [], 0
    for fence in _FENCED.finditer(text):
        pieces += [_links(text[end : fence.start()], source, folder), fence[0]]
        end = fence.end()
    return "".join([*pieces, _links(text[end:], source, folder)])


def _links(text: str, source: Path, folder: Path) -> str:
    def lead(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        path, _, anchor = target.partition("#")
        if not path or re.match(r"\w+:", path):
            return match[0]
        there = Path(os.path.normpath(source / path))
        name = there.relative_to(ROOT).as_posix()
        if name in PLACES:
            there = DOCS / f"{PLACES[name]}.md"
        elif DOCS not in there.parents or not (picture or there.suffix == ".md"):
            if not there.exists():
                raise ValueError(f"{target} leads nowhere")
            return words if words.startswith("`") or " " in words else f"`{words}`"
        return f"{picture}[{words}]({os.path.relpath(there, folder)}{'#' if anchor else ''}{anchor})"

    return _LINK.sub(lead, text)


# ---- the command line


def command_line() -> str:
    """Every command with its options, as --help has them."""
    return "\n".join(_command(group, (NAME,)))


def _command(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path))
    if len(path) > 1:
        yield f"{'#' * len(path)} {' '.join(path)}\n"
        yield f"```text\n{' '.join([' '.join(path), *command.collect_usage_pieces(context)])}\n```\n"
        yield from _prose(command.help or "")
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        for option in options:
            yield _option(option, context)
        if options:
            yield ""
        yield from _prose(command.epilog or "")
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            if not command.commands[name].hidden:
                yield from _command(command.commands[name], (*path, name))


def _prose(text: str) -> Iterator[str]:
    """Paragraphs of a help text; those that click leaves as they are become blocks."""
    import inspect

    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if paragraph.startswith("\b"):
            yield f"```text\n{paragraph.removeprefix(chr(8)).strip(chr(10))}\n```\n"
        elif paragraph.strip():
            yield f"{_plain(' '.join(paragraph.split()))}\n"


def _option(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag or option.count else f" `{option.make_metavar(context)}`"
    default = ""
    if option.show_default and option.default not in (None, False) and not option.is_flag:
        default = f" Default: `{option.default}`."
    return f"- {names}{value}: {_plain(option.help or '')}{default}"


def _plain(text: str) -> str:
    """Words of a help text, with what Markdown would take for more written as code or escaped."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_<>\[\]])", r"\\\1", part) for part in parts)


# ---- the configuration


def configuration() -> str:
    """Every key with its default, an example and what it means, table by table."""
    lines: list[str] = []
    table = "-"
    facts = [(f"facts.{key}", example, meaning) for key, example, meaning in FACTS]
    for key, example, meaning in (*SETTINGS, *CONFIRMATION, *facts):
        section, name = split(key)
        if section != table:
            title, words = (f"`[{section}]`", TABLES.get(section, "")) if section else ("At the top", "")
            lines += ["", f"## {title}", "", *([f"{_plain(words).capitalize()}.", ""] if words else [])]
            lines += ["| key | type | default | example | what it means |", "|---|---|---|---|---|"]
            table = section
        cells = (f"`{name}`", _kind(example), _default(key), f"`{example}`", _plain(meaning))
        row = " | ".join(cell.replace("|", r"\|") for cell in cells)
        lines.append(f"| {row} |")
    return "\n".join([*lines, ""])


def _kind(example: str) -> str:
    value = document(f"key = {example}".encode(), "")["key"]
    if isinstance(value, list):
        return f"list of {_kind_of(value[0])}s"
    return _kind_of(value)


def _kind_of(value: object) -> str:
    return {bool: "boolean", int: "integer", float: "number", str: "string", dict: "table", list: "list"}[type(value)]


def _default(key: str) -> str:
    """What applies where the key is not set, as TOML; for facts in words."""
    fact = key.removeprefix("facts.")
    if fact != key:
        return _plain(BUILT_IN.get(fact, ""))
    section, name = split(key)
    if section == "models" and name != "provider":
        return f'`"{Config().models.tiers[name].id}"`'
    if section in ("packs", "policies"):
        return '`"on"`'
    holder = getattr(Config(), section) if section else Config()
    value = getattr(holder, name)
    return f"`{json.dumps(getattr(value, 'value', value))}`" if value not in ("", ()) else ""


# ---- policies


def policies() -> str:
    """Every policy in words: why, what to do, when it stays silent, what it cites and what a diff cannot show."""
    lines: list[str] = []
    pack = ""
    for policy in load().policies:
        rule = policy.rule
        if policy.pack != pack:
            pack = policy.pack
            lines += [f"## {pack}", ""]
        hits = " and ".join(sorted({check.hit.value for check in policy.checks}, reverse=True))
        needs = ", ".join(f"`facts.{need}`" for need in policy.needs)
        rests = f" Its questions rest on {needs}." if needs else ""
        lines += [
            f"### {policy.id}",
            "",
            f"**{_plain(rule.title)}.** Severity {rule.severity.value}, {hits}.{rests}",
            "",
        ]
        help_text = rule.help.partition("\n## Reviewer")[0].partition("\n## Examples")[0]
        lines += [re.sub(r"^## (.*)$", r"*\1*", help_text, flags=re.MULTILINE).strip(), ""]
        lines += ["*What a diff cannot show*", "", *(f"- {_plain(line)}" for line in unseen(policy)), ""]
        lines += [f"Cites: {'; '.join((*rule.references, *rule.cwe))}", ""]
    return "\n".join(lines)


# ---- exit codes, formats, schemas


def exit_codes() -> str:
    """The table of exit codes, from the words of --help."""
    rows = re.findall(r"^ +(\d+)  (.*)$", EPILOG, re.MULTILINE)
    return "\n".join(
        ["| code | meaning |", "|---:|---|", *(f"| {code} | {_plain(words)} |" for code, words in rows), ""]
    )


def formats() -> str:
    """Every report format with the first sentence of its module."""
    rows = []
    for name, render in REPORTERS.items():
        words = (import_module(f"agentreview.reporters.{_module(render)}").__doc__ or "").split("\n\n")[0]
        rows.append(f"| `{name}` | {' '.join(words.replace('``', '`').split())} |")
    return "\n".join(["| format | what it is |", "|---|---|", *rows, ""])


def _module(render: Callable[..., str]) -> str:
    (name,) = {cell.cell_contents for cell in render.__closure__ or () if isinstance(cell.cell_contents, str)}
    return str(name)


def schemas() -> str:
    """Every JSON schema that is shipped: its fields, level by level, with type and meaning."""
    return "\n".join(line for path in sorted(SCHEMAS.glob("*.json")) for line in _schema(path))


def _schema(path: Path) -> Iterator[str]:
    schema = json.loads(path.read_text(encoding="utf-8"))
    yield f"## {schema['title']}\n"
    yield f"{schema.get('description', '')}\n"
    yield f"The schema is in the package as `agentreview/schemas/{path.name}`.\n"
    yield from _fields(schema)
    for name, part in schema.get("$defs", {}).items():
        if "properties" in part:
            yield f"### {name} ({path.name.partition('-')[0]})\n"
            if "description" in part:
                yield f"{part['description']}\n"
            yield from _fields(part)


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    yield "| field | type | what it is |\n|---|---|---|"
    for name, field in _walk(schema, ""):
        yield f"| `{name}` | {_type(field)} | {_cell(field.get('description', ''))} |"
    yield ""


def _walk(schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        yield f"{prefix}{name}", field
        yield from _walk(field, f"{prefix}{name}.")
        yield from _walk(field.get("items", {}), f"{prefix}{name}[].")


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return field["$ref"].rsplit("/", 1)[-1]
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    for several in ("anyOf", "oneOf"):
        if several in field:
            return " or ".join(_type(one) for one in field[several])
    kind = field.get("type", "any")
    kinds = [kind] if isinstance(kind, str) else list(kind)
    if "array" in kinds and field.get("items"):
        kinds[kinds.index("array")] = f"array of {_type(field['items'])}"
    return " or ".join(kinds)


def _cell(text: str) -> str:
    return _plain(text).replace("|", r"\|").replace("\n", " ")


PARTS: dict[str, Callable[[], str]] = {
    "command line": command_line,
    "configuration": configuration,
    "exit codes": exit_codes,
    "formats": formats,
    "policies": policies,
    "schemas": schemas,
}
