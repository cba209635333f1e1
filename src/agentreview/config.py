"""The configuration file, as a value: ``agentreview.toml``, or ``[tool.agentreview]`` in ``pyproject.toml``.

Sole importer of tomli, and only when there is a file to read. The file is part of the tree under review, so it is
untrusted input: sizes are bounded, patterns are globs (:mod:`agentreview.globs`), nothing in it is executed, and
whatever is not understood is an error that names the line and the nearest valid key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum
from typing import TYPE_CHECKING, Any

from agentreview.lazyre import lazy
from agentreview.records import dataclass, field, fields

from .canonical import digest
from .checked import KeyPath, Reader, dotted, plain, shown
from .errors import ConfigError
from .facts import CHOICES, GLOBS, KEYS, SECTIONS, Approved, AutomaticAudit, Facts
from .globs import matches
from .model import Severity
from .modelsettings import REVIEW_RULES, Models, Reviewers, read_models, read_reviewers
from .roomsettings import Rooms, read_rooms

if TYPE_CHECKING:
    from .tomlscan import Layout

__all__ = [
    "Config",
    "InCi",
    "Level",
    "Limits",
    "Models",
    "Receipting",
    "Requirement",
    "Reviewers",
    "Rooms",
    "Waiving",
    "config_relaxations",
    "document",
    "file_layout",
    "has_table",
    "load_config",
    "load_toml",
    "matches",
    "parse_config",
]

CONFIG_NAME = "agentreview.toml"
PYPROJECT_NAME = "pyproject.toml"
PYPROJECT_TABLE = ("tool", "agentreview")
MAX_CONFIG_BYTES = 512 * 1024


class Level(str, Enum):
    """What a pack or policy may do: block, only advise, or nothing."""

    ON = "on"
    ADVISORY = "advisory"
    OFF = "off"

    @property
    def rank(self) -> int:
        """0 (off) to 2 (on)."""
        return ("off", "advisory", "on").index(self.value)


class Requirement(str, Enum):
    """What CI makes of a commit without a receipt: nothing, a line of the report, or a failure; the last two differ in
    whether an advisory receipt will do, or only one that a signer of the base signed.
    """

    OFF = "off"
    REPORT = "report"
    ANY = "any"
    SIGNED = "signed"

    @property
    def rank(self) -> int:
        """0 (off) to 3 (signed)."""
        return ("off", "report", "any", "signed").index(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Above these a file is not reviewed, and listed as skipped with the reason; never called clean.

    Bytes and lines of one file, and seconds of processor time for one file.
    """

    max_file_bytes: int = 1024 * 1024
    max_lines: int = 20_000
    file_seconds: float = 5.0


_KEYS = "block_at exclude packs policies facts limits waivers receipts models reviewers ci worktree".split()
_APPROVER = lazy(r"[^\s@<>,]+@[^\s@<>,]+|SHA256:[A-Za-z0-9+/]{43}=?|[0-9A-F]{40}(?:[0-9A-F]{24})?")
_LIMIT_RANGES = {
    "max_file_bytes": (1, 64 * 1024 * 1024),
    "max_lines": (1, 1_000_000),
    "file_seconds": (0.01, 600),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiving:
    """Who may accept a finding, and for how long.

    ``approvers``: e-mail addresses and key fingerprints whose signature settles a new waiver in CI. ``on_new`` says
    what the local gate does with a waiver that the change itself adds: ``advise`` (say it) or ``block``.
    """

    max_days: int = 365
    approvers: tuple[str, ...] = ()
    on_new: str = "advise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipting:
    """How receipts are signed, and whether they travel.

    ``signing_key``: an ssh key, as a file with an absolute path or as the public key itself; "" takes git's own.
    ``push``: ``never``, or ``with-commits``: the pre-push hook pushes them to the same remote.
    """

    signing_key: str = ""
    push: str = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class InCi:
    """What CI asks for beside the policies. It is read from the base, like everything CI goes by."""

    require_receipts: Requirement = Requirement.REPORT


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a project may set. ``path`` is the file it came from, ``None`` for the defaults.

    ``digest`` changes when a setting does, not when a comment does.
    """

    block_at: Severity = Severity.HIGH
    packs: tuple[tuple[str, Level], ...] = ()
    policies: tuple[tuple[str, Level], ...] = ()
    exclude: tuple[str, ...] = ()
    facts: Facts = field(default=Facts())
    limits: Limits = field(default=Limits())
    waivers: Waiving = field(default=Waiving())
    receipts: Receipting = field(default=Receipting())
    models: Models = field(default=Models())
    reviewers: Reviewers = field(default=Reviewers())
    ci: InCi = field(default=InCi())
    worktree: Rooms = field(default=Rooms())
    path: str | None = None
    digest: str = digest({})

    def level(self, policy_id: str) -> Level:
        """Say what the policy may do: its own setting, else its pack's (the part before the dot), else on."""
        pack = policy_id.partition(".")[0]
        return dict(self.policies).get(policy_id) or dict(self.packs).get(pack) or Level.ON


def load_config(read: Callable[[str], bytes | None], *, known_policies: Collection[str]) -> Config:
    """Find and read the configuration of a tree. ``read(path)`` gives a file's bytes, or ``None``.

    Raises ConfigError, also when both files configure the tool: neither should win silently.
    """
    own, shared = read(CONFIG_NAME), read(PYPROJECT_NAME)
    table = shared is not None and b"agentreview" in shared
    if own is None:
        if not table or shared is None:
            return Config()
        return parse_config(shared, path=PYPROJECT_NAME, known_policies=known_policies, table=PYPROJECT_TABLE)
    if table and shared is not None and has_table(shared):
        raise ConfigError(
            f"both {CONFIG_NAME} and [tool.agentreview] in {PYPROJECT_NAME} configure agentreview",
            path=CONFIG_NAME,
            fix=f"Keep one: delete {CONFIG_NAME} or the table in {PYPROJECT_NAME}",
        )
    return parse_config(own, path=CONFIG_NAME, known_policies=known_policies)


def parse_config(data: bytes, *, path: str, known_policies: Collection[str], table: tuple[str, ...] = ()) -> Config:
    """Turn the bytes of one file into a Config, or raise ConfigError with the line of the mistake.

    ``table`` is where in the file the configuration lives; a file without that table is all defaults.
    """
    text = _decode(data, path)
    document: Any = _load(text, path)
    for depth, name in enumerate(table):
        if not isinstance(document, dict):
            _reader(text, path, ()).table(document, table[:depth], ())
        if name not in document:
            return Config()
        document = document[name]
    return _config(_reader(text, path, table), document, known_policies)


def document(data: bytes, path: str) -> dict[str, Any]:
    """Return the whole file as plain values, unchecked. Raises ConfigError when it is not TOML."""
    return _load(_decode(data, path), path)


def file_layout(data: bytes, path: str) -> tuple[str, Layout]:
    r"""Return the text of a file that is TOML, with ``\n`` for its line ends, and where each key of it stands."""
    import tomli

    from .tomlscan import layout

    text = _decode(data, path)
    return text, layout(text, lambda quoted: str(tomli.loads("k=" + quoted)["k"]))


def load_toml(data: bytes, path: str) -> tuple[Any, Reader]:
    """Return what a TOML file holds, and what checks it. Raises ConfigError with the line when it is not TOML."""
    text = _decode(data, path)
    return _load(text, path), _reader(text, path, ())


def _reader(text: str, path: str, base: tuple[str, ...]) -> Reader:
    def locate() -> dict[KeyPath, int]:
        import tomli

        from .tomlscan import key_lines

        return key_lines(text, lambda quoted: str(tomli.loads("k=" + quoted)["k"]))

    return Reader(path, base, locate)


def _decode(data: bytes, path: str) -> str:
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError(
            f"the file has {len(data)} bytes, at most {MAX_CONFIG_BYTES} are read", path=path, fix="Shorten it"
        )
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("the file is not UTF-8", path=path, line=line, fix="Save it as UTF-8") from None


def _load(text: str, path: str) -> dict[str, Any]:
    import tomli

    try:
        return tomli.loads(text)
    except RecursionError:
        raise ConfigError("values are nested too deeply", path=path, fix="Nest them less deeply") from None
    except ValueError as error:  # TOMLDecodeError, and what int() or datetime() refuse
        what, _, where = str(error).partition("; use sys.")[0].partition(" (at ")
        number = where.removeprefix("line ").partition(",")[0]
        at_end = text.rstrip().count("\n") + 1 if where else 0
        line = int(number) if number.isdecimal() else at_end
        raise ConfigError(f"not valid TOML: {plain(what)}", path=path, line=line, fix="Correct the line") from None


def has_table(data: bytes) -> bool:
    """Whether this pyproject.toml has our table. One that does not parse has none."""
    try:
        document: Any = _load(_decode(data, PYPROJECT_NAME), PYPROJECT_NAME)
    except ConfigError:
        return False
    for name in PYPROJECT_TABLE:
        if not isinstance(document, dict) or name not in document:
            return False
        document = document[name]
    return True


def _config(reader: Reader, document: Any, known_policies: Collection[str]) -> Config:
    reader.table(document, (), _KEYS)
    known_policies = {*known_policies, *REVIEW_RULES}
    known_packs = dict.fromkeys(policy.partition(".")[0] for policy in sorted(known_policies))
    block_at = reader.choice(document.get("block_at", "high"), ("block_at",), tuple(one.value for one in Severity))
    return Config(
        block_at=Severity(block_at),
        exclude=reader.strings(document.get("exclude", []), ("exclude",), glob=True),
        packs=_levels(reader, document.get("packs", {}), "packs", "pack", known_packs),
        policies=_levels(reader, document.get("policies", {}), "policies", "policy", known_policies),
        facts=_facts(reader, document.get("facts", {})),
        limits=_limits(reader, document.get("limits", {})),
        waivers=_waiving(reader, document.get("waivers", {})),
        receipts=_receipting(reader, document.get("receipts", {})),
        models=read_models(reader, document.get("models", {})),
        reviewers=read_reviewers(reader, document.get("reviewers", {})),
        ci=_in_ci(reader, document.get("ci", {})),
        worktree=read_rooms(reader, document.get("worktree", {})),
        path=reader.path,
        digest=digest(document),
    )


def _levels(reader: Reader, value: Any, key: str, what: str, known: Collection[str]) -> tuple[tuple[str, Level], ...]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, dict) and inner and name not in known:  # hipaa.x = "on" without quotes: two keys
                whole = f"{name}.{next(iter(inner))}"
                reader.fail((key, name), f"unknown {what} {shown(name)}", f'Put the id in quotes: "{plain(whole)}"')
    table = reader.table(value, (key,), known, what)
    choices = tuple(one.value for one in Level)
    return tuple((name, Level(reader.choice(level, (key, name), choices))) for name, level in sorted(table.items()))


def _limits(reader: Reader, value: Any) -> Limits:
    table = reader.table(value, ("limits",), _LIMIT_RANGES)
    checked = {
        name: reader.number(number, ("limits", name), *_LIMIT_RANGES[name], whole=name != "file_seconds")
        for name, number in table.items()
    }
    return Limits(**checked)


def _waiving(reader: Reader, value: Any) -> Waiving:
    table = reader.table(value, ("waivers",), ("max_days", "approvers", "on_new"))
    approvers = reader.strings(table.get("approvers", []), ("waivers", "approvers"))
    for index, approver in enumerate(approvers):
        if not _APPROVER.fullmatch(approver):
            reader.fail(
                ("waivers", "approvers", index),
                f"{shown(approver)} is neither an e-mail address nor the fingerprint of a key",
                'Write "dana@clinic.example", "SHA256:…" as ssh-keygen -l prints it, or the 40 digits of a gpg key',
            )
    return Waiving(
        max_days=reader.number(table.get("max_days", 365), ("waivers", "max_days"), 1, 3650, whole=True),
        approvers=approvers,
        on_new=reader.choice(table.get("on_new", "advise"), ("waivers", "on_new"), ("advise", "block")),
    )


def _receipting(reader: Reader, value: Any) -> Receipting:
    table = reader.table(value, ("receipts",), ("signing_key", "push"))
    key = reader.string(table.get("signing_key", ""), ("receipts", "signing_key"), empty=True)
    if key and not key.startswith(("/", "~/", "key::", "ssh-", "ecdsa-", "sk-")):
        reader.fail(
            ("receipts", "signing_key"),
            f"{shown(key)} is neither an absolute path nor a public key",
            'Write "~/.ssh/id_ed25519", or the public key itself: a file of the repository cannot sign for it',
        )
    push = reader.choice(table.get("push", "never"), ("receipts", "push"), ("never", "with-commits"))
    return Receipting(signing_key=key, push=push)


def _in_ci(reader: Reader, value: Any) -> InCi:
    table = reader.table(value, ("ci",), ("require_receipts",))
    choices = tuple(one.value for one in Requirement)
    asked = reader.choice(table.get("require_receipts", "report"), ("ci", "require_receipts"), choices)
    return InCi(require_receipts=Requirement(asked))


def _facts(reader: Reader, value: Any) -> Facts:
    """Check against the dataclasses themselves: their field names, annotations and defaults."""
    known = {one.name: one for one in fields(Facts) if one.name != "none"}
    table = reader.table(value, ("facts",), known)
    checked: dict[str, Any] = {}
    for name, item in table.items():
        key: KeyPath = ("facts", name)
        if name == "confirmed_by":
            checked[name] = reader.string(item, key, empty=True)
        elif name == "confirmed":
            checked[name] = _confirmed(reader, item)
        elif name == "frameworks":
            checked[name] = reader.strings(item, key)
        else:
            checked[name] = _fact_table(reader, item, key, type(known[name].default))
    stated = {fact: _stated(table, fact) for fact in KEYS}
    return Facts(**checked, none=tuple(fact for fact, item in stated.items() if item == []))


def _stated(table: dict[str, Any], fact: str) -> Any:
    section, _, key = fact.rpartition(".")
    return table.get(section, {}).get(key) if section else table.get(key)


def _confirmed(reader: Reader, value: Any) -> tuple[tuple[str, str], ...]:
    """``[facts.confirmed]``: sections and facts, each with the person who checked it."""
    known = (*SECTIONS, *KEYS)
    for name, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict) and inner:  # tenant.key = "jane" without quotes: two keys
            whole = f"{name}.{next(iter(inner))}"
            key: KeyPath = ("facts", "confirmed", name)
            reader.fail(
                key, f"{shown(name)} is a table in [facts.confirmed]", f'Put the name in quotes: "{plain(whole)}"'
            )
    table = reader.table(value, ("facts", "confirmed"), known, "fact")
    return tuple((name, reader.string(by, ("facts", "confirmed", name))) for name, by in sorted(table.items()))


def _fact_table(reader: Reader, value: Any, key: KeyPath, kind: Any) -> Any:
    known = {one.name: str(one.type) for one in fields(kind)}
    table = reader.table(value, key, known)
    checked: dict[str, Any] = {}
    for name, item in table.items():
        here = (*key, name)
        fact = f"{key[-1]}.{name}"
        if fact == "audit.automatic":
            checked[name] = tuple(_automatic(reader, one, at) for one, at in _tables(reader, item, here))
        elif fact == "egress.approved":
            checked[name] = tuple(_approved(reader, one, at) for one, at in _tables(reader, item, here))
        elif fact in CHOICES:
            checked[name] = reader.choice(item, here, (*CHOICES[fact], ""))
        elif known[name] == "int":
            checked[name] = reader.number(item, here, 0, 1_000_000, whole=True)
        elif known[name] == "str":
            checked[name] = reader.string(item, here, empty=True)
        else:
            checked[name] = reader.strings(item, here, glob=fact in GLOBS)
    return kind(**checked)


def _tables(reader: Reader, value: Any, key: KeyPath) -> list[tuple[Any, KeyPath]]:
    return [(item, (*key, index)) for index, item in enumerate(reader.array(value, key, "tables"))]


def _automatic(reader: Reader, value: Any, key: KeyPath) -> AutomaticAudit:
    table = reader.table(value, key, ("models", "how"))
    for name in ("models", "how"):
        if name not in table:
            reader.fail(key, f"{dotted(key)} has no {name}", 'Write { models = ["Patient"], how = "signals" }')
    return AutomaticAudit(
        models=reader.strings(table["models"], (*key, "models")),
        how=reader.choice(table["how"], (*key, "how"), CHOICES["audit.automatic.how"]),
    )


def _approved(reader: Reader, value: Any, key: KeyPath) -> Approved:
    table = reader.table(value, key, ("match", "contract", "allows"))
    for name in ("match", "contract"):
        if name not in table:
            reader.fail(key, f"{dotted(key)} has no {name}", 'Write { match = "sentry_sdk", contract = "BAA 2026-02" }')
    return Approved(
        match=reader.string(table["match"], (*key, "match")),
        contract=reader.string(table["contract"], (*key, "contract")),
        allows=reader.strings(table.get("allows", []), (*key, "allows")),
    )


def config_relaxations(old: Config | None, new: Config) -> tuple[str, ...]:
    """One sentence for everything in ``new`` that loosens the gate; ``None`` is compared as the defaults."""
    from .relaxations import relaxations

    return relaxations(old or Config(), new)
