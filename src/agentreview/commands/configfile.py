"""The configuration file in the work tree, for the commands that edit it: found, never followed, replaced in one step."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from agentreview.config import CONFIG_NAME, PYPROJECT_NAME, PYPROJECT_TABLE, has_table
from agentreview.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from agentreview.git import Repository


def table_of(path: str) -> tuple[str, ...]:
    """Return the table of a configuration file that holds the facts."""
    return (*(PYPROJECT_TABLE if path == PYPROJECT_NAME else ()), "facts")


def configuration(repo: Repository) -> tuple[str, bytes] | None:
    """Return path and bytes of the configuration in the work tree, ``None`` when there is none.

    Raises UsageError when it is not a plain file, ConfigError when there are two.
    """
    found = {name: data for name in (CONFIG_NAME, PYPROJECT_NAME) if (data := _read(Path(repo.root, name))) is not None}
    shared = PYPROJECT_NAME in found and has_table(found[PYPROJECT_NAME])
    if CONFIG_NAME in found and shared:
        raise ConfigError(
            f"both {CONFIG_NAME} and [tool.agentreview] in {PYPROJECT_NAME} configure agentreview",
            path=CONFIG_NAME,
            fix=f"Keep one: delete {CONFIG_NAME} or the table in {PYPROJECT_NAME}",
        )
    if CONFIG_NAME in found:
        return CONFIG_NAME, found[CONFIG_NAME]
    return (PYPROJECT_NAME, found[PYPROJECT_NAME]) if shared else None


def _read(path: Path) -> bytes | None:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise UsageError(f"{path} is not a plain file, so it is not edited", fix="Put the file itself there")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}", fix="Make it readable") from error


def encoded(text: str, original: bytes, path: str, line: str) -> bytes:
    """Write the edited text with the line ends and the mark of the original. Raises ConfigError where they are mixed."""
    windows = original.count(b"\r\n")
    if windows not in (0, original.count(b"\n")):
        raise by_hand(path, line)
    mark = b"\xef\xbb\xbf" if original.startswith(b"\xef\xbb\xbf") else b""
    return mark + (text.replace("\n", "\r\n") if windows else text).encode()


def by_hand(path: str, line: str) -> ConfigError:
    """Word the error for a file that only a person can edit."""
    return ConfigError(
        "its layout is not one that can be edited safely", path=path, fix=f"Write it there yourself: {line}"
    )


def replace_file(path: Path, data: bytes) -> None:
    """Put the bytes there in one step, with the file's own permissions. Raises UsageError when that fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        mode = stat.S_IMODE(path.lstat().st_mode)
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", fix="Make it writable") from error
