"""YAML that people write, as values and the line of every key. Sole importer of yaml's parser in the engine.

Policy and framework files may come from the tree under review, so the text is untrusted: its size and depth are
bounded, and what YAML has beyond maps, lists and plain values (anchors, tags, merge keys, several documents) is
refused. Each mistake is one ConfigError with the line.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from agentreview.checked import KeyPath, Reader, dotted, kind, plain, shown
from agentreview.errors import ConfigError
from agentreview.lazyre import lazy

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40
SEE = "See policies/README.md"

Lines = dict[KeyPath, int]

_FRONT = lazy(r"---\n(.*?\n)---(?:\n|\Z)", re.DOTALL)


class YamlReader(Reader):
    """Checks values read from YAML, and words mistakes as that file's writer knows them."""

    def __init__(self, path: str, lines: Lines) -> None:
        super().__init__(path, (), lambda: lines)

    def table(self, value: Any, key: KeyPath, known: Any, what: str = "key") -> dict[str, Any]:
        """Return the mapping if it has no keys but the known ones."""
        if not isinstance(value, dict):
            self.fail(
                key,
                f"{dotted(key) or 'the file'} must be a mapping (key: value), not {_kind(value)}",
                "Indent its keys",
            )
        return super().table(value, key, known, what)

    def array(self, value: Any, key: KeyPath, of: str) -> list[Any]:
        """Return the value if it is a list of bounded length."""
        if not isinstance(value, list):
            self.fail(key, f"{dotted(key)} must be a list of {of}, not {_kind(value)}", "Put it in [ ]")
        return super().array(value, key, of)

    def text(self, value: Any, key: KeyPath, *, most: int = 4000) -> str:
        """Return prose of one paragraph, white space made single blanks."""
        if not isinstance(value, str) or not value.strip():
            given = "empty" if value is None or isinstance(value, str) else _kind(value)
            self.fail(key, f"{dotted(key)} must be text, and is {given}", "Write a sentence, in quotes or after >-")
        if len(value) > most:
            self.fail(key, f"{dotted(key)} has {len(value)} characters, at most {most}", "Shorten it")
        flat = " ".join(value.split())
        if not flat.isprintable():
            self.fail(key, f"{dotted(key)} holds a control or invisible character", "Use printable characters only")
        return flat

    def flag(self, value: Any, key: KeyPath) -> bool:
        """Return the value if it is true or false."""
        if not isinstance(value, bool):
            self.fail(
                key, f"{dotted(key)} must be true or false, not {_kind(value)}", "Write true, or leave the key out"
            )
        return value


def _kind(value: Any) -> str:
    return "nothing" if value is None else "a mapping" if isinstance(value, dict) else kind(value)


def decoded(data: bytes, path: str, *, most: int = MAX_BYTES) -> str:
    r"""Return the text of a file with ``\n`` line ends. Raises ConfigError when it is too large or not UTF-8."""
    if len(data) > most:
        raise ConfigError(
            f"the file has {len(data)} bytes, at most {most} are read", path=path, fix="Shorten or split it"
        )
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("the file is not UTF-8", path=path, line=line, fix="Save it as UTF-8") from None


def front_matter(text: str, path: str) -> tuple[Any, Lines, str, int]:
    """Return (front matter, its lines, body, line of the body's first line) of a Markdown file."""
    match = _FRONT.match(text)
    if match is None:
        fix = f"Begin the file with a line ---, then the keys, then another line ---. {SEE}"
        raise ConfigError("no front matter between two lines ---", path=path, line=1, fix=fix)
    value, lines = document(match.group(1), path, offset=1)
    return value, lines, text[match.end() :], text.count("\n", 0, match.end()) + 1


def document(text: str, path: str, *, offset: int = 0) -> tuple[Any, Lines]:
    """Parse one document. ``offset`` is the number of lines in front of it. Raises ConfigError."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _bounded(yaml.parse(text, Loader=loader), path, offset)
        node = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else text.count("\n", 0, getattr(error, "position", 0) or 0) + 1
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        if "nesting depth" in str(problem):  # a newer libyaml has a limit of its own, and reads ahead
            raise _too_deep(path, line + offset) from None
        raise ConfigError(
            f"not valid YAML: {plain(str(problem))}", path=path, line=line + offset, fix="Correct that line; text with a colon goes in quotes"
        ) from None  # fmt: skip
    if node is None:
        raise ConfigError("there are no keys in it", path=path, line=1 + offset, fix=SEE)
    return _Builder(path, offset).build(node)


def _bounded(events: Any, path: str, offset: int) -> None:
    """Refuse what could grow or nest without end, before anything is built from it."""
    import yaml

    depth = documents = 0
    for event in events:
        line = event.start_mark.line + 1 + offset
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ConfigError(
                "anchors and aliases (&, *) are not read", path=path, line=line, fix="Write the value out"
            )
        explicit = getattr(event, "tag", None)
        if explicit is not None:
            raise ConfigError(
                f"not valid YAML here: the tag {shown(str(explicit))}", path=path, line=line, fix="Leave the tag out"
            )
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise ConfigError("a second document begins here", path=path, line=line, fix="Keep one document a file")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _too_deep(path, line)


def _too_deep(path: str, line: int) -> ConfigError:
    return ConfigError(
        f"values are nested more than {MAX_DEPTH} deep", path=path, line=line, fix="Nest them less deeply"
    )


class _Builder:
    """Plain values out of nodes, and where each stands."""

    def __init__(self, path: str, offset: int) -> None:
        from yaml.constructor import SafeConstructor

        self.path, self.offset = path, offset
        self.lines: Lines = {}
        self.scalars = SafeConstructor()

    def build(self, node: Any) -> tuple[Any, Lines]:
        return self.value(node, ()), self.lines

    def fail(self, node: Any, message: str, fix: str) -> NoReturn:
        raise ConfigError(message, path=self.path, line=node.start_mark.line + 1 + self.offset, fix=fix)

    def value(self, node: Any, key: KeyPath) -> Any:
        self.lines.setdefault(key, node.start_mark.line + 1 + self.offset)
        if node.id == "mapping":
            return self.mapping(node, key)
        if node.id == "sequence":
            return [self.value(item, (*key, number)) for number, item in enumerate(node.value)]
        return self.scalar(node)

    def mapping(self, node: Any, key: KeyPath) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = self.scalar(name_node) if name_node.id == "scalar" else None
            if not isinstance(name, str):
                self.fail(name_node, f"a key must be text, not {_kind(name)}", "Put the key in quotes")
            if name in out:
                self.fail(name_node, f"the key {shown(name)} is there twice", "Keep one of them")
            here = (*key, name)
            self.lines[here] = name_node.start_mark.line + 1 + self.offset
            out[name] = self.value(value_node, here)
        return out

    def scalar(self, node: Any) -> Any:
        if node.tag == "tag:yaml.org,2002:merge":
            self.fail(node, "the merge key << is not read", "Write the keys out")
        try:
            return self.scalars.construct_object(node)
        except (ValueError, OverflowError):
            self.fail(node, f"{shown(node.value)} is no value", "Put it in quotes")
