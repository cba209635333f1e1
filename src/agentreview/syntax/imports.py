"""Which file of a tree an imported name means: guessed from its paths alone, nothing is run and nothing outside is read.

A guess may be wrong where a build tool rewrites module paths; then the name is not found, and nothing is assumed of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING

from agentreview.lazyre import lazy

if TYPE_CHECKING:
    from agentreview.syntax.facts import Analysis

_ECMASCRIPT = (".ts", ".tsx", ".js", ".jsx", ".mts", ".cts", ".mjs", ".cjs")
_ALIASES = ("@/", "~/", "$lib/", "#/")
MANAGERS = frozenset("objects query all_objects _default_manager".split())  # through which a model's rows are reached
_MAX_FILES = 12  # of one Go package, or one folder of same-named Java classes
_HUMP = lazy(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Paths:
    """The paths of a tree, filed by their last part."""

    __slots__ = ("_by_folder", "_by_name", "all")

    def __init__(self, paths: Iterable[str]) -> None:
        self.all = frozenset(paths)
        self._by_name: dict[str, list[str]] = {}
        self._by_folder: dict[str, list[str]] = {}
        for path in self.all:
            folder, _, name = path.rpartition("/")
            self._by_name.setdefault(name, []).append(path)
            self._by_folder.setdefault(folder.rpartition("/")[2], []).append(path)

    def ending(self, suffix: str) -> list[str]:
        """Paths that are ``suffix`` or end in ``/suffix``, shortest first."""
        found = [p for p in self._by_name.get(suffix.rpartition("/")[2], ()) if p == suffix or p.endswith("/" + suffix)]
        return sorted(found, key=lambda p: (len(p), p))

    def folder(self, folder: str, suffix: str) -> list[str]:
        """Files with this suffix directly in a folder, in order."""
        return sorted(
            p for p in self._by_folder.get(folder.rpartition("/")[2], ()) if dirname(p) == folder and p.endswith(suffix)
        )

    def folders(self, suffix: str, kind: str) -> list[str]:
        """Folders that are ``suffix`` or end in ``/suffix`` and hold files of this kind, shortest first."""
        found = {dirname(p) for p in self._by_folder.get(suffix.rpartition("/")[2], ()) if p.endswith(kind)}
        return sorted((f for f in found if f == suffix or f.endswith("/" + suffix)), key=lambda f: (len(f), f))


def locate(paths: Paths, importer: str, language: str, dotted: str) -> list[tuple[str, str]]:
    """Return (path, symbol in it) for an imported name, best first; empty for a library.

    ``dotted`` is what :attr:`~agentreview.syntax.tree.Module.imports` holds, with what is used of it behind:
    ``app.audit.log_access``, ``.deps.current_user``, ``../auth.requireAuth``, ``com.acme.Audit.record``.
    A bare name without an import is looked for where the language finds such names: the same package or folder.
    """
    find = {"python": _python, "java": _java, "go": _go, "ruby": _ruby}.get(language, _ecmascript)
    out: list[tuple[str, str]] = []
    for found in find(paths, importer, dotted):
        if found[0] != importer and found not in out:
            out.append(found)
        if len(out) >= _MAX_FILES:
            break
    return out


def _python(paths: Paths, importer: str, dotted: str) -> Iterator[tuple[str, str]]:
    name = dotted.lstrip(".")
    dots = len(dotted) - len(name)
    parts = name.split(".") if name else []
    folder = dirname(importer)
    for _ in range(dots - 1):
        folder = dirname(folder)
    for size in range(len(parts), -1 if dots else 0, -1):
        rest = ".".join(parts[size:])
        place = "/".join(parts[:size])
        for suffix in (f"{place}.py" if place else "", f"{place}/__init__.py" if place else "__init__.py"):
            if not suffix:
                continue
            if dots:
                exact = f"{folder}/{suffix}" if folder else suffix
                if exact in paths.all:
                    yield exact, rest
            else:
                # A source root holds the importer: json.py somewhere else in the repository is not the json of everybody.
                for path in paths.ending(suffix):
                    root = path[: len(path) - len(suffix)]
                    if importer.startswith(root):
                        yield path, rest


def _ecmascript(paths: Paths, importer: str, dotted: str) -> Iterator[tuple[str, str]]:
    for module, symbol in _split(dotted):
        if module.startswith("."):
            yield from ((p, symbol) for p in _files(paths, normpath(join(dirname(importer), module))))
        elif module.startswith(_ALIASES):
            inner = module.partition("/")[2]
            for root in _roots(importer):
                yield from ((p, symbol) for p in _files(paths, f"{root}{inner}"))
        elif module.startswith(("src/", "app/", "lib/", "server/")):
            for root in _roots(importer):
                yield from ((p, symbol) for p in _files(paths, f"{root}{module}"))
        elif module.startswith("@") and module.count("/") >= 1:  # a package of the same workspace
            _, name, *below = module.split("/", 2)
            for folder in ("packages", "libs", "apps", "modules"):
                for inside in (f"{below[0]}", f"src/{below[0]}") if below else ("src/index", "index", "src"):
                    yield from ((p, symbol) for p in _files(paths, f"{folder}/{name}/{inside}"))


def _split(dotted: str) -> Iterator[tuple[str, str]]:
    """``../auth.guard.requireAuth``: the module ends somewhere before a dot of its last part."""
    head, slash, last = dotted.rpartition("/")
    pieces = last.split(".")
    for size in range(len(pieces), 0, -1):
        module = f"{head}{slash}{'.'.join(pieces[:size])}"
        if module.strip("./"):
            yield module, ".".join(pieces[size:])


def _roots(importer: str) -> Iterator[str]:
    folder = dirname(importer)
    while True:
        prefix = f"{folder}/" if folder else ""
        yield f"{prefix}src/"
        yield f"{prefix}app/"
        yield prefix
        if not folder:
            return
        folder = dirname(folder)


def _files(paths: Paths, stem: str) -> Iterator[str]:
    stem = stem.removeprefix("./")
    if stem.startswith(".."):
        return
    known = stem.rpartition(".")
    if known[0] and f".{known[2]}" in _ECMASCRIPT:  # "./auth.js" is auth.ts before it is built
        stems = (stem, *(known[0] + e for e in _ECMASCRIPT[:2]))
    else:
        stems = tuple(stem + e for e in _ECMASCRIPT) + tuple(f"{stem}/index{e}" for e in _ECMASCRIPT[:4])
    yield from (s for s in stems if s in paths.all)


def _java(paths: Paths, importer: str, dotted: str) -> Iterator[tuple[str, str]]:
    parts = dotted.split(".")
    for size in range(len(parts), 0, -1):
        place, symbol = "/".join(parts[:size]) + ".java", ".".join([parts[size - 1], *parts[size:]])
        if size == 1:
            same = join(dirname(importer), place)
            if same in paths.all:
                yield same, symbol
        else:
            yield from ((p, symbol) for p in paths.ending(place))


def _go(paths: Paths, importer: str, dotted: str) -> Iterator[tuple[str, str]]:
    head, slash, tail = dotted.rpartition("/")
    package, _, symbol = tail.partition(".")
    if not slash and (not symbol or package[:1].isupper()):  # Show, PatientStore.Get: of the same package
        for path in paths.folder(dirname(importer), ".go"):
            if not path.endswith("_test.go"):
                yield path, dotted
        return
    parts = f"{head}{slash}{package}".split("/")
    for size in range(len(parts), 0, -1):
        folders = paths.folders("/".join(parts[-size:]), ".go")
        if folders:
            for path in paths.folder(folders[0], ".go"):
                if not path.endswith("_test.go"):
                    yield path, symbol
            return


_AUTOLOADED = lazy(r"(?:^|/)(?:app/(?:[^/]+/)?(?:concerns/)?|lib/)$")


def _ruby(paths: Paths, importer: str, dotted: str) -> Iterator[tuple[str, str]]:
    """Constants by the file names that autoloading expects of them, in the namespaces of the importer from the inside out."""
    symbol = dotted.replace("::", ".").lstrip(".")
    constants: list[str] = []
    for part in symbol.split("."):
        if not part[:1].isupper():
            break
        constants.append(part)
    outer = _namespaces(importer)
    for size in range(len(constants), 0, -1):
        snake = "/".join(_HUMP.sub("_", c).lower() for c in constants[:size])
        found = [(p, p[: -len(snake) - 3]) for p in paths.ending(f"{snake}.rb")]
        for depth in range(len(outer), -1, -1):
            inside = "".join(f"{name}/" for name in outer[:depth])
            for path, before in found:
                root = before.removesuffix(inside)
                if before.endswith(inside) and (
                    _AUTOLOADED.search(root) or (not depth and root in ("", f"{dirname(importer)}/"))
                ):
                    yield path, symbol


def _namespaces(path: str) -> list[str]:
    """Folders below the autoloaded one: ``app/controllers/api/v1/x.rb`` is in Api and V1."""
    folders = dirname(path).split("/")
    for at in range(len(folders), 0, -1):
        if _AUTOLOADED.search("/".join(folders[:at]) + "/"):
            return folders[at:]
    return []


def imported(analysis: Analysis, name: str) -> str:
    """The dotted import behind a name as it is used (``services.load`` -> ``.services.load``); '' for a local one.

    Languages with packages find a name without an import in the same folder: it stays as it is.
    """
    root, _, rest = name.partition(".")
    imports, language = analysis.module.imports, analysis.module.language
    found = imports.get(root)
    if found is not None:
        return f"{found}.{rest}" if rest else found
    if root in ("self", "this", "super", "cls") or name in analysis.names or root in analysis.names:
        return ""
    if language in ("java", "ruby"):
        return name if root[:1].isupper() else ""
    return name if language == "go" else ""
