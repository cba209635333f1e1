"""Path globs: the only pattern language of the configuration, and the only matcher it gets.

========== ====================================================================================
``*``      any run of characters inside one path segment, also none, also a leading dot
``?``      exactly one character that is not ``/``
``**``     as a whole segment: any number of segments, also none; ``dir/**`` is all below ``dir``
``dir/``   everything below that directory (same as ``dir/**``)
no ``/``   matched against the file name at any depth: ``*.min.js`` is ``**/*.min.js``
the rest   stands for itself, ``[`` and ``{`` included; case matters
========== ====================================================================================

Globs with a ``/`` start at the root of the repository. Patterns and paths are both untrusted, so nothing
backtracks: a glob is a bit-parallel automaton that takes one step a character, whatever the pattern.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

MAX_GLOB = 256  # characters; the configuration refuses longer ones


def matches(path: str, globs: Iterable[str]) -> bool:
    """Whether any of the globs matches the repository path (``/`` separators, no leading one)."""
    return any(_match(path, glob) for glob in globs)


def _match(path: str, glob: str) -> bool:
    if not path or not glob:
        return False
    prefix, suffix, literal, up, stay, climb, skip, star, accept = _compiled(glob)
    if not path.startswith(prefix) or not path.endswith(suffix):
        return False
    state = 1
    for char in path:
        state |= (state & skip) << 2
        state |= (state & star) << 1
        slash = char == "/"
        step = ((state & (literal.get(char, 0) | up[slash])) << 1) | (state & stay[slash])
        state = step | ((state & climb) >> 1) if slash else step
        if not state:
            return False
    state |= (state & skip) << 2
    state |= (state & star) << 1
    return bool(state & accept)


_Compiled = tuple[str, str, dict[str, int], tuple[int, int], tuple[int, int], int, int, int, int]


@lru_cache(maxsize=512)
def _compiled(glob: str) -> _Compiled:
    """Masks over states. Bit i = "the first i tokens matched"; pairs are (any character but ``/``, ``/``).

    ``**/`` takes two states: at a boundary (it may end there: ``skip``) and inside a segment it swallows
    (``climb``: back to the boundary at the next ``/``). A final ``**`` wants at least one character.
    """
    if "/" not in glob:
        glob = "**/" + glob
    if glob.endswith("/"):
        glob += "**"
    segments = glob.split("/")
    segments = [one for one, after in zip(segments, [*segments[1:], ""], strict=True) if one != "**" or after != "**"]
    literal: dict[str, int] = {}
    up = [0, 0]
    stay = [0, 0]
    climb = skip = star = at = 0
    for number, segment in enumerate(segments):
        final = number == len(segments) - 1
        if segment == "**" and final:
            up = [mask | 1 << at for mask in up]
            at += 1
            stay = [mask | 1 << at for mask in stay]
            break
        if segment == "**":
            skip |= 1 << at
            up[0] |= 1 << at
            climb |= 1 << at + 1
            stay[0] |= 1 << at + 1
            at += 2
            continue
        previous = ""
        for char in segment if final else segment + "/":
            if char == "*" and previous == "*":
                continue
            if char == "*":
                star |= 1 << at
                stay[0] |= 1 << at
            elif char == "?":
                up[0] |= 1 << at
            else:
                literal[char] = literal.get(char, 0) | 1 << at
            at += 1
            previous = char
    first = min((glob.find(wild) for wild in "*?" if wild in glob), default=len(glob))
    last = max(glob.rfind(stop) for stop in "*?/")
    return glob[:first], glob[last + 1 :], literal, (up[0], up[1]), (stay[0], stay[1]), climb, skip, star, 1 << at
