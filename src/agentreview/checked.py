"""Checking what a parsed configuration holds, and wording the errors: file, line, and the nearest valid key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

from .errors import ConfigError
from .globs import MAX_GLOB

MAX_STRING = 256
MAX_ITEMS = 2000

KeyPath = tuple[str | int, ...]


class Reader:
    """Checks values and raises ConfigError. Key paths are relative to ``base``, the table the configuration is in.

    ``locate`` gives the line of every full key path; it is only called to word an error.
    """

    def __init__(self, path: str, base: tuple[str, ...], locate: Callable[[], Mapping[KeyPath, int]]) -> None:
        self.path = path
        self.base = base
        self.locate = locate

    def fail(self, key: KeyPath, message: str, fix: str) -> NoReturn:
        """Raise ConfigError at the line of the key, or of the nearest table around it."""
        lines = self.locate()
        full = (*self.base, *key)
        line = next((lines[full[:end]] for end in range(len(full), -1, -1) if full[:end] in lines), 0)
        raise ConfigError(message, path=self.path, line=line, fix=fix)

    def example(self, key: KeyPath, otherwise: str) -> str:
        """Word the way out of a value of another type: the key with an example, where there is one."""
        from .settings import written

        line = written(".".join(part for part in key if isinstance(part, str)))
        return f"Write it like {line}" if line else otherwise

    def table(self, value: Any, key: KeyPath, known: Collection[str], what: str = "key") -> dict[str, Any]:
        """Return the table if it has no keys but the known ones."""
        if not isinstance(value, dict):
            self.fail(key, f"{dotted(key) or 'the configuration'} must be a table, not {kind(value)}", "Write a table")
        for name in value:
            if name not in known:
                where = f" in [{dotted(key)}]" if key else ""
                self.fail((*key, name), f"unknown {what} {shown(name)}{where}", nearest(name, known))
        return value

    def choice(self, value: Any, key: KeyPath, choices: tuple[str, ...]) -> str:
        """Return the value if it is one of a closed list."""
        if not isinstance(value, str) or value not in choices:
            given = shown(value) if isinstance(value, str) else kind(value)
            listed = ", ".join(f'"{one}"' for one in choices if one)
            self.fail(key, f"{dotted(key)} is {given}", f"Use one of {listed}")
        return value

    def string(self, value: Any, key: KeyPath, *, glob: bool = False, empty: bool = False) -> str:
        """Return the value if it is one printable line of bounded length; ``empty`` allows the empty string."""
        if not isinstance(value, str):
            self.fail(key, f"{dotted(key)} must be a string, not {kind(value)}", self.example(key, "Put it in quotes"))
        if not value.strip() and not (empty and not value):
            self.fail(key, f"{dotted(key)} is empty", "Fill it in or delete it")
        if len(value) > MAX_STRING:
            self.fail(key, f"{dotted(key)} has {len(value)} characters, at most {MAX_STRING}", "Shorten it")
        if not value.isprintable():
            self.fail(key, f"{dotted(key)} holds a control or invisible character", "Use printable characters only")
        if glob:
            self.glob(value, key)
        return value

    def glob(self, value: str, key: KeyPath) -> None:
        """Refuse what would silently match nothing: absolute paths, braces, backslashes, negations."""
        wrong = next((sign for sign in ("\\", "{", "}") if sign in value), "")
        if len(value) > MAX_GLOB or wrong or value.startswith(("/", "./", "!")) or ".." in value.split("/"):
            self.fail(
                key,
                f"{shown(value)} is not a glob of this tool",
                "Write it from the repository root with /, and with *, ?, ** or a trailing / only, such as apps/ops/**",
            )

    def strings(self, value: Any, key: KeyPath, *, glob: bool = False) -> tuple[str, ...]:
        """Return a list of strings as a tuple without duplicates, in the order of the file."""
        items = self.array(value, key, "strings")
        return tuple(dict.fromkeys(self.string(item, (*key, index), glob=glob) for index, item in enumerate(items)))

    def array(self, value: Any, key: KeyPath, of: str) -> list[Any]:
        """Return the value if it is a list of bounded length."""
        if not isinstance(value, list):
            self.fail(
                key, f"{dotted(key)} must be a list of {of}, not {kind(value)}", self.example(key, "Put it in [ ]")
            )
        if len(value) > MAX_ITEMS:
            self.fail(key, f"{dotted(key)} has {len(value)} items, at most {MAX_ITEMS}", "Shorten it")
        return value

    def number(self, value: Any, key: KeyPath, low: float, high: float, *, whole: bool) -> Any:
        """Return the value if it is a number (not true or false) from ``low`` to ``high``."""
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            what = f"{dotted(key)} must be a {'whole ' if whole else ''}number, not {kind(value)}"
            self.fail(key, what, self.example(key, "Correct it"))
        if not low <= value <= high:
            self.fail(key, f"{dotted(key)} is out of range", f"Use {low} to {high}")
        return value


def dotted(key: KeyPath) -> str:
    """Write a key path as people do: ``facts.audit.automatic[0].how``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{plain(part)}" for part in key).lstrip(".")


def plain(text: str) -> str:
    """Untrusted text for a message: one short line, everything invisible escaped."""
    safe = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:80])
    return safe + "…" if len(text) > 80 else safe


def shown(text: str) -> str:
    """Quote untrusted text for a message."""
    return f"'{plain(text)}'"


def kind(value: Any) -> str:
    """Name the type of a TOML value."""
    names: Mapping[type, str] = {bool: "true or false", int: "a number", float: "a number", str: "a string"}
    more: Mapping[type, str] = {list: "a list", dict: "a table"}
    return names.get(type(value)) or more.get(type(value)) or "a date or time"


def nearest(name: str, known: Collection[str]) -> str:
    """Word the way out of an unknown name: the one probably meant, else the known ones."""
    from difflib import get_close_matches

    near = get_close_matches(name[:MAX_STRING], list(known), n=1, cutoff=0.5)
    listed = ", ".join(sorted(known)[:12]) + (", …" if len(known) > 12 else "")
    return f"Did you mean '{near[0]}'?" if near else f"Known are: {listed}" if known else "Delete it"
