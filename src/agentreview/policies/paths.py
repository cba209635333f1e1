"""What kind of file a path is by convention: tests, migrations, commands, seeds, docs, types."""

from __future__ import annotations

from functools import lru_cache

from agentreview.globs import matches
from agentreview.lazyre import lazy

_CLASSES = {
    "tests": lazy(
        r"(?:^|/)(?:tests?|__tests__|spec|specs|e2e|cypress|fixtures|__mocks__)/|(?:^|/)(?:test_[^/]*|[^/]*_test|conftest)\.py$|_test\.go$|_(?:spec|test)\.rb$|\.(?:test|spec|stories|cy)\.[cm]?[jt]sx?$|(?:^|/)[A-Z]\w*(?:Tests?|IT|TestCase|Spec)\.java$"
    ),
    "migrations": lazy(r"(?:^|/)(?:migrations?(?:_\w+)?|alembic/(?:[\w/]*/)?versions|migrate|db/data)/"),
    "commands": lazy(r"(?:^|/)(?:management/commands|scripts?|bin|tools|cli)/"),
    "seeds": lazy(r"(?:^|/)(?:seeds?|seeders?|factories)/|(?:^|/)(?:seed|factories|factory)\.[a-z]+$"),
    "docs": lazy(r"(?:^|/)(?:docs?|examples?)/"),
    "types": lazy(r"\.(?:d\.ts|pyi)$"),
}


@lru_cache(maxsize=2_000)
def path_classes(path: str, test_globs: tuple[str, ...] = ()) -> frozenset[str]:
    """Return the classes a path belongs to; ``[facts.tests] paths`` adds to the conventional test paths."""
    out = {name for name, pattern in _CLASSES.items() if pattern.search(path)}
    if test_globs and matches(path, test_globs):
        out.add("tests")
    return frozenset(out)
