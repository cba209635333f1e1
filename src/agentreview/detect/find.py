"""Reading the files that can show a fact.

Detection is a proposal, never a verdict: until a person confirms it, hits that rest on it stay advice. It reads
lines with patterns, no parser, so that any file can be read; files, lines and findings are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from agentreview.detect.access import defaults
from agentreview.detect.collect import Collected
from agentreview.detect.names import GO, ISOLATION, JS, JVM, PY, RUBY, RULES, SOURCE_HINTS, SQL, tenant_source
from agentreview.detect.packages import AUDIT_LIBRARIES, EGRESS, MODULES, PACKAGES, dependencies, is_dependency_file
from agentreview.detect.settings import SETTING_HINTS, SETTINGS_NAMES, session_file, settings
from agentreview.detect.tables import tables_in
from agentreview.detect.tenancy import UNSCOPED
from agentreview.detect.text import Source, any_of
from agentreview.detect.trails import audit_calls, delivery, in_transaction, read_middleware, reading, trails
from agentreview.detect.values import Detection
from agentreview.detect_models import models_in

MAX_FILES = 20_000
MAX_FILE_BYTES = 512 * 1024
BATCH = 200
SOURCE_SUFFIXES = (*PY, *JS, *JVM, *GO, *RUBY, *SQL, ".prisma")
SKIPPED_DIRECTORIES = frozenset(
    "node_modules vendor dist build .venv venv .git site-packages __pycache__ .next target .gradle out coverage".split()
)
TEST_PATHS = (
    "**/tests/**",
    "**/test/**",
    "**/__tests__/**",
    "**/e2e/**",
    "**/cypress/**",
    "**/spec/**",
    "test_*.py",
    "*_test.py",
    "*_test.go",
    "*_spec.rb",
    "*.spec.ts",
    "*.test.ts",
    "*.test.tsx",
    "*.spec.tsx",
    "*.spec.js",
    "*.test.js",
    "*.cy.ts",
    "conftest.py",
)


def detect(paths: Iterable[str], read: Callable[[Sequence[str]], Mapping[str, bytes]]) -> Detection:
    """Read the files that can show a fact and propose what they show.

    ``paths`` are all paths of the tree; ``read`` returns the contents of those it is asked for (a missing one is left
    out) and is called with a bounded number at a time. Nothing is executed and nothing else is read.
    """
    every = sorted(set(paths))
    wanted = [path for path in every if _candidate(path)]
    wanted.sort(key=lambda path: not is_dependency_file(path))
    seen = Collected()
    for path in every:
        for glob in _which(path, TEST_PATHS):
            seen.add("tests.paths", glob, path, 0, "")
        for glob in _which(path, UNSCOPED) if path.endswith(SOURCE_SUFFIXES) else ():
            seen.add("tenant.unscoped_in", glob, path, 0, "")
    files = unread = 0
    for start in range(0, min(len(wanted), MAX_FILES), BATCH):
        contents = read(wanted[start : start + BATCH])
        for path in wanted[start : min(start + BATCH, MAX_FILES)]:
            data = contents.get(path)
            if data is None or len(data) > MAX_FILE_BYTES or b"\0" in data[:8000]:
                unread += 1
                continue
            files += 1
            _file(seen, path, data)
    return seen.detection(files=files, unread=unread + max(0, len(wanted) - MAX_FILES))


def _candidate(path: str) -> bool:
    *directories, name = path.split("/")
    if not SKIPPED_DIRECTORIES.isdisjoint(directories) or name.endswith((".min.js", ".d.ts")):
        return False
    return is_dependency_file(path) or name in SETTINGS_NAMES or name.endswith(SOURCE_SUFFIXES)


def _which(path: str, globs: Sequence[str]) -> Iterator[str]:
    """The globs a path matches: those of this module are a folder anywhere, or a file name with at most one star."""
    folder, _, name = f"/{path}".rpartition("/")
    for glob in globs:
        before, star, after = glob.partition("*")
        if glob.endswith("/**"):
            if f"/{glob[3:-3]}/" in f"{folder}/":
                yield glob
        elif name == before if not star else name.startswith(before) and name.endswith(after):
            yield glob


def _file(seen: Collected, path: str, data: bytes) -> None:
    if is_dependency_file(path):
        _dependencies(seen, path, data)
        return
    source = Source(path, data)
    if any(True for _ in _which(path, TEST_PATHS)):
        _imports(seen, source)
        return
    _settings(seen, source)
    if path.rpartition("/")[2] in SETTINGS_NAMES:
        return
    _imports(seen, source)
    seen.models.extend(models_in(path, source.lines))
    seen.models.extend(tables_in(path, source.lines, source.lower))
    _names(seen, source)
    _audit(seen, source)


def _dependencies(seen: Collected, path: str, data: bytes) -> None:
    for package, number, text in dependencies(path, data):
        for fact, value in PACKAGES.get(package, ()):
            seen.add(fact, value, path, number, text)
        if package in AUDIT_LIBRARIES:
            seen.add("libraries", package, path, number, text)
        if package in EGRESS:
            seen.add("egress.approved", EGRESS[package], path, number, text)


_IMPORT = any_of("import require(")


def _imports(seen: Collected, source: Source) -> None:
    if not source.path.endswith((*PY, *JS)):
        return
    for _, number, text in source.having(_IMPORT):
        if "require(" not in text and not text.lstrip().startswith(("import", "from", "export", "}")):
            continue
        for word in text.replace("'", '"').replace('"', " ").replace(".", " ").replace("(", " ").split():
            name = word.rstrip(";,)")
            for fact, value in MODULES.get(name.replace("_", "-"), ()):
                seen.add(fact, value, source.path, number, text)
            if name in ("faker", "@faker-js/faker"):
                seen.add("tests.synthetic_markers", "faker", source.path, number, text)


def _names(seen: Collected, source: Source) -> None:
    path = source.path
    envers = "hibernate.envers" in source.lower
    for rule in RULES:
        if rule.suffixes and not path.endswith(rule.suffixes):
            continue
        for _, number, text in source.having(rule.hints):
            for value in rule.values(text):
                if value not in _NOT_NAMES and not (envers and value == "Audited"):
                    seen.add(rule.fact, value, path, number, text)
    for mode, hints, pattern in ISOLATION:
        for _, number, text in source.having(hints):
            if pattern.search(text):
                seen.add("tenant.isolation", mode, path, number, text)
    for _, number, text in source.having(SOURCE_HINTS):
        for expression in tenant_source(text):
            seen.add("tenant.sources", expression, path, number, text)
    for said, number, text in defaults(source):
        seen.add("access.default", said, path, number, text)


_NOT_NAMES = frozenset("AllowAny NotAudited EnableJpaAuditing AuditTable AuditOverride AuditorAware".split())
_AUDITS = any_of("audit phi_access phiaccess accesslog access_log")


def _audit(seen: Collected, source: Source) -> None:
    path = source.path
    for how, model, number, text in trails(path, source.lines, source.lower):
        if model:
            seen.add("audit.automatic", f"{how}:{model}", path, number, text)
        else:
            seen.everything.append((how, path, number, text))
    for at, number, text in source.having(_AUDITS):
        calls = list(audit_calls(path, text))
        for name in calls:
            seen.add("audit.calls", name, path, number, text)
        if calls and reading(calls, text):
            seen.add("audit.reads", "explicit", path, number, text)
        if calls and in_transaction(source.lines, at):
            seen.add("audit.delivery", "transaction", path, number, text)
        if read_middleware(text):
            seen.add("audit.reads", "middleware", path, number, text)
        later = delivery(text)
        if later:
            seen.add("audit.delivery", later, path, number, text)


def _settings(seen: Collected, source: Source) -> None:
    cookies, rolling = session_file(source.lower)
    for _, number, text in source.having(SETTING_HINTS):
        for fact, value in settings(source.path, text, cookies=cookies, rolling=rolling):
            seen.add(fact, value, source.path, number, text)
