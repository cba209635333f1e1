"""Every value that travels through agentreview. Standard library only; imports nothing of ours.

All values are frozen and hold only immutable parts, so they can be hashed, compared, shared between agents and
written down. Paths are ``str`` decoded from git's bytes with ``surrogateescape``: any byte sequence survives the
round trip, and whoever prints one must escape it first (file names are untrusted input). Lines are 1-based and
inclusive, as editors and SARIF count them.
"""

from __future__ import annotations

from enum import Enum

from agentreview.records import dataclass, field


class Severity(str, Enum):
    """How bad it is if the finding is true. Compare with :meth:`rank`, never by name."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Position on the scale, 0 (low) to 3 (critical)."""
        return ("low", "medium", "high", "critical").index(self.value)


class Confidence(str, Enum):
    """How sure the tool is. Computed from evidence, never asked of a model."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Hit(str, Enum):
    """What an offline match means: a fact about the code, or a question that needs a fact or a reader."""

    VIOLATION = "violation"
    SUSPECT = "suspect"


class Origin(str, Enum):
    """Whether the change under review made the finding, or it was there before (old debt, never blocks)."""

    INTRODUCED = "introduced"
    EXISTING = "existing"


class Status(str, Enum):
    """What a finding does to the commit."""

    BLOCKING = "blocking"
    ADVISORY = "advisory"
    WAIVED = "waived"
    EXISTING = "existing"  # it was there before: shown on request, never anybody's alarm


class Decision(str, Enum):
    """The gate's answer. INCOMPLETE means something required could not be reviewed: it is never a pass."""

    PASS = "pass"
    BLOCK = "block"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """One proved hunk: 1-based start and length on both sides (length 0 = nothing on that side)."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    added: tuple[int, ...] = ()  # new-side line numbers that this hunk adds
    removed: tuple[int, ...] = ()  # old-side line numbers that this hunk removes


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One entry of git's raw listing between two trees.

    ``status`` is ``A``, ``M``, ``D``, ``T`` (type change) or ``R`` (a deleted and an added entry paired by
    content; ``old_path`` is then set). ``before``/``after`` are blob contents, ``None`` where that side does not
    exist or is not a readable file. ``opaque`` says in a few words why the contents are not text to review:
    ``binary``, ``submodule``, ``symlink``, ``git-lfs pointer``, ``too large``; ``None`` means reviewable text.
    """

    path: str
    status: str
    old_path: str | None = None
    old_mode: str = "000000"
    new_mode: str = "000000"
    old_oid: str = ""
    new_oid: str = ""
    before: bytes | None = None
    after: bytes | None = None
    hunks: tuple[Hunk, ...] = ()
    opaque: str | None = None

    def content_before(self, path: str) -> bytes | None:
        """What ``path`` itself held before the change: a file renamed onto it brings another one's text."""
        return self.before if (self.old_path or self.path) == path else None

    def content_after(self, path: str) -> bytes | None:
        """What ``path`` itself holds after the change: nothing when it was renamed away."""
        return self.after if self.path == path else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The subject of a review: what turns ``base`` into ``tree``. Both are git tree ids.

    ``source`` says where it came from for people (``index``, ``worktree /path``, ``range a..b``, ``commit abc``).
    ``commit`` is the reviewed commit where there is one already (ranges and commits), else ``None``.
    """

    base: str
    tree: str
    changes: tuple[FileChange, ...]
    worktree: str | None = None
    branch: str | None = None
    source: str = "index"
    commit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What an agent may claim: its closed list. ``help`` is Markdown (why, and what to do)."""

    id: str
    title: str
    severity: Severity
    pack: str
    why: str
    fix: str
    help: str = ""
    cwe: tuple[str, ...] = ()  # "CWE-778"
    references: tuple[str, ...] = ()  # strings of the citation table only


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A place that supports a claim: where, the text there, and what it shows."""

    path: str
    line: int
    shows: str
    quote: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an agent asserts, unverified. :func:`agentreview.anchor.anchor` turns it into a finding or rejects it.

    ``side`` names the blob the lines are in: ``after`` (default), or ``before`` for something taken away.
    ``identity`` is the part of the excerpt that names the problem (``Patient.objects.get``): it goes into the
    fingerprint, so it must not change when arguments, lines or wording do. ``needs`` lists what would settle a
    suspect (a fact to confirm), shown to the reader. ``confirmed`` is true when every project fact it rests on
    was confirmed by a person.
    """

    rule: str
    path: str
    unit: str
    start_line: int
    end_line: int
    quote: str
    identity: str
    message: str
    hit: Hit
    side: str = "after"
    fix: str = ""
    evidence: tuple[Evidence, ...] = ()
    needs: tuple[str, ...] = ()
    confirmed: bool = False
    severity: Severity | None = None  # lower or raise one step for this hit; None = the rule's
    personal: bool = False  # its lines hold data of a person: shown with whatever names one hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """Why a finding is accepted, and where that is said: in a comment beside the code, or in the waivers file.

    ``added_here``: the change under review added the waiver, or it now covers a finding that it did not cover before.
    ``approved_by`` is who settled that with a signature. Dates are ISO, "" in a comment; so is ``person``.
    """

    rule: str
    path: str
    line: int
    reason: str
    added_here: bool = False
    source: str = "comment"  # or "file"
    person: str = ""
    created: str = ""
    expires: str = ""
    approved_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """Lines ``start`` to ``end`` of a file become these; ``end = start - 1`` inserts before ``start``."""

    start: int
    end: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A change of one file after which a finding is gone. ``note`` says in a few words what it does."""

    path: str
    replacements: tuple[Replacement, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An anchored claim: it is in the reviewed text, it has an identity, and triage gave it a status."""

    fingerprint: str
    rule: str
    title: str
    severity: Severity
    confidence: Confidence
    hit: Hit
    origin: Origin
    status: Status
    agent: str
    path: str
    start_line: int
    end_line: int
    unit: str
    message: str
    excerpt: str
    fix: str
    side: str = "after"
    why: str = ""
    cwe: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    needs: tuple[str, ...] = ()
    frame: tuple[tuple[int, str], ...] = ()  # (line number, text) around the excerpt, for people
    waiver: Waiver | None = None
    edit: Edit | None = None  # of its file as reviewed: agentreview fix shows and applies it


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file that was in the change and was not reviewed, and why. Never rendered as clean."""

    path: str
    reason: str  # one of a small set: see agentreview.syntax.SKIP_REASONS
    detail: str = ""


class Outcome(str, Enum):
    """How an agent's run ended. SKIPPED and FAILED wanted to look and could not; OFF was left out by the configuration."""

    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRun:
    """One agent's run over the snapshot. ``reason`` is set unless it completed.

    ``model`` is the id of the model that a reviewer asks, ``prompt`` the digest of what its requests have in common.
    """

    agent: str
    digest: str
    outcome: Outcome
    required: bool = True
    reason: str = ""
    cached: bool = False
    seconds: float = 0.0
    rules: tuple[str, ...] = ()
    model: str = ""
    prompt: str = ""


class Cover(str, Enum):
    """How a receipt fits a commit, the closest first. What fits less is no cover: a patch id never is one."""

    EXACT = "exact"  # the same two trees
    MESSAGE_ONLY = "message-only"  # the same two trees, reviewed as another commit
    SAME_BLOBS = "same-blobs"  # on another base: every file with the same path, mode and content, before and after
    EMPTY = "empty"  # the commit changes no file, so there was nothing to see


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitSeen:
    """One commit of a range, and the receipt that says a gate saw it.

    ``cover`` is None where none does, and ``why`` says what is known instead. ``signed_by`` is a signer of the base, ""
    for an advisory receipt. ``other_settings``: it was judged by settings that are not the base's.
    """

    oid: str
    subject: str
    cover: Cover | None
    why: str = ""
    receipt: str = ""
    signed_by: str = ""
    other_settings: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedReceipt:
    """A file that is named like a receipt of one of these commits and is not what it says."""

    id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Which commits of a range a gate saw. ``required``: ``[ci] require_receipts``. It never stands in for a review."""

    required: str
    signers: int  # of the base: how many lines its file of allowed signers has
    commits: tuple[CommitSeen, ...]
    refused: tuple[RefusedReceipt, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which model reviewers are asked, and on what terms. Without names: those that the configuration enables.

    ``more`` are asked beside them; ``room``: the workflow and those are what the worktree was made with.
    ``surface``: a ``hook`` has the configured seconds, ``run`` and ``ci`` wait as long as it takes; it also says whose
    ``on_incomplete`` counts. ``store`` is where answers are kept, ``state`` the worktree's own directory; ``rules`` the
    tree that profiles are read from, "" for the reviewed one. ``dry`` shows what would be sent, and sends nothing;
    ``log`` is a file for everything that is sent. ``elsewhere``: another shard of this review asks them.
    """

    names: tuple[str, ...] = ()
    workflow: str = ""
    more: tuple[str, ...] = ()
    room: bool = False
    surface: str = "hook"
    fresh: bool = False
    dry: bool = False
    store: str = ""
    state: str = ""
    rules: str = ""
    log: str = ""
    elsewhere: bool = False


REVIEWER = "reviewer:"  # how the agent of a model reviewer begins
SETTLED = ("upheld", "cleared")  # how evidence begins, before " by ", with which a reviewer settled a suspect
BY_WORKFLOW = "workflow "  # how a note begins that names the workflow reviewers followed
NOT_CONFIGURED = "not configured: "  # how a note begins that names facts which the configuration leaves open,
NOT_CONFIRMED = "not confirmed: "  # and facts that stand in it without a person's name
_OLDER = "in parts of these files that the change does not touch: not shown, never blocking"


def older(count: int) -> str:
    """The note about old findings that are counted and not listed."""
    return f"{count} older {'finding' if count == 1 else 'findings'} {_OLDER}"


def how_many_older(note: str) -> int:
    """What :func:`older` was told; 0 for any other note."""
    head = note.partition(" ")[0]
    return int(head) if note.endswith(_OLDER) and head.isdecimal() else 0


def settled_by(finding: Finding) -> tuple[str, str]:
    """Return how a reviewer settled a deterministic suspect (one of ``SETTLED``), and which one; '' twice where none did."""
    for evidence in finding.evidence:
        for how in SETTLED:
            if evidence.shows.startswith(f"{how} by {REVIEWER}"):
                return how, f"{REVIEWER}{evidence.shows.partition(REVIEWER)[2].partition(':')[0]}"
    return "", ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The whole answer: what the gate decides for (base, tree) and everything it rests on."""

    decision: Decision
    base: str
    tree: str
    findings: tuple[Finding, ...] = ()
    runs: tuple[AgentRun, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    rules: tuple[Rule, ...] = ()  # the rules that could have fired, for reports that list them
    notes: tuple[str, ...] = ()  # things said once: facts not configured or confirmed, unused waivers
    files: int = 0
    worktree: str | None = None
    branch: str | None = None
    source: str = "index"
    version: str = ""
    until: str = ""  # the first day on which a waiver begins or ends, and the answer may be another one; "" = never
    configuration: str = ""  # digest of the settings it was judged by
    configured_in: str = ""  # the file they came from, "" for the defaults
    coverage: Coverage | None = None  # in CI: which commits of the range a gate saw; None where nobody asked
    cached: bool = False
    seconds: float = field(default=0.0, compare=False)
