"""The configuration: what it may say, what it refuses and where, its globs, and what counts as loosening it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.config import (
    MAX_CONFIG_BYTES,
    Config,
    Level,
    Limits,
    config_relaxations,
    load_config,
    matches,
    parse_config,
)
from agentreview.errors import ConfigError, ExitCode
from agentreview.facts import CHOICES, GLOBS, AccessFacts, Approved, AuditFacts, AutomaticAudit, Facts, PhiFacts
from agentreview.globs import _compiled
from agentreview.model import Severity
from agentreview.relaxations import CLEARS, RAISES

POLICIES = ("hipaa.phi-in-logs", "hipaa.audit-phi-write", "tenancy.query-scope", "access.endpoint-auth")

FULL = """
block_at = "medium"
exclude = ["vendor/", "**/generated/**", "*.min.js"]

[packs]
tenancy = "advisory"

[policies]
"hipaa.phi-in-logs" = "advisory"
"tenancy.query-scope" = "on"

[limits]
max_lines = 100
file_seconds = 2

[facts]
confirmed_by = "jane@clinic.example"
frameworks = ["django-drf", "celery"]

[facts.phi]
models = ["Patient", "Encounter", "Patient"]
treatment_paths = ["apps/chart/**"]

[facts.audit]
calls = ["audit_log"]
automatic = [ { models = ["Patient"], how = "signals" },
              { models = ["Order"], how = "triggers" } ]
reads = "explicit"

[facts.access]
default = "deny"
evidence = "config/settings/base.py:367 DEFAULT_PERMISSION_CLASSES"

[facts.egress]
approved = [ { match = "sentry_sdk", contract = "BAA 2026-02", allows = ["ids"] } ]

[facts.retention]
audit_years = 6
"""


def parse(text: str | bytes, **kwargs) -> Config:
    data = text if isinstance(text, bytes) else text.encode()
    return parse_config(data, **{"path": "agentreview.toml", "known_policies": POLICIES, **kwargs})


def refusal(text: str | bytes, **kwargs) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text, **kwargs)
    assert caught.value.exit_code == ExitCode.USAGE
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_full_file_becomes_a_value() -> None:
    config = parse(FULL)
    assert config.block_at is Severity.MEDIUM
    assert config.exclude == ("vendor/", "**/generated/**", "*.min.js")
    assert config.limits == Limits(max_lines=100, file_seconds=2)
    assert config.facts.confirmer("tenant.key") == "jane@clinic.example"
    assert config.facts.frameworks == ("django-drf", "celery")
    assert config.facts.phi == PhiFacts(models=("Patient", "Encounter"), treatment_paths=("apps/chart/**",))
    assert config.facts.audit.automatic == (
        AutomaticAudit(models=("Patient",), how="signals"),
        AutomaticAudit(models=("Order",), how="triggers"),
    )
    assert config.facts.access.default == "deny"
    assert config.facts.egress.approved == (Approved(match="sentry_sdk", contract="BAA 2026-02", allows=("ids",)),)
    assert config.facts.retention.audit_years == 6
    assert config.path == "agentreview.toml"
    assert hash(config) == hash(parse(FULL))


def test_a_policy_setting_beats_its_pack_and_on_is_the_default() -> None:
    config = parse(FULL)
    assert config.level("tenancy.query-scope") is Level.ON
    assert config.level("tenancy.raw-sql") is Level.ADVISORY
    assert config.level("hipaa.phi-in-logs") is Level.ADVISORY
    assert config.level("hipaa.audit-phi-write") is Level.ON


def test_an_empty_file_is_all_defaults() -> None:
    assert parse("") == dataclasses.replace(Config(), path="agentreview.toml")


def test_facts_are_unconfirmed_until_somebody_is_named() -> None:
    assert not Facts().confirmer("tenant.key")
    assert not Facts(confirmed_by="  ").confirmer("tenant.key")


def test_a_person_can_confirm_a_section_or_a_fact_and_not_the_rest() -> None:
    facts = parse('[facts.tenant]\nkey = "org_id"\n[facts.confirmed]\naudit = "dana"\n"tenant.key" = "jane"\n').facts
    assert (facts.confirmer("tenant.key"), facts.confirmer("audit.calls")) == ("jane", "dana")
    assert not facts.confirmer("tenant.isolation")
    assert facts.settle(["tenant.key"])
    assert not facts.settle(["tenant.key", "tenant.isolation"])
    assert not facts.settle(["audit.calls"]), "confirmed, and not set"
    assert not facts.settle([]), "the project as a whole was not confirmed"
    assert parse('[facts]\nconfirmed_by = "jane"').facts.settle([])


def test_a_list_stated_as_empty_is_an_answer_and_an_empty_string_is_none() -> None:
    text = '[facts]\nconfirmed_by = "j"\n[facts.audit]\nautomatic = []\nreads = ""\n'
    facts = parse(text).facts
    assert facts.none == ("audit.automatic",)
    assert facts.settle(["audit.automatic"])
    assert not facts.is_set("audit.reads")
    assert not facts.is_set("audit.calls")
    assert not facts.is_set("audit.nothing")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('[facts.confirmed]\ntenant.key = "jane"', 2, 'Put the name in quotes: "tenant.key"'),
        ('[facts.confirmed]\n"tenant.kee" = "jane"', 2, "Did you mean 'tenant.key'?"),
        ('[facts.confirmed]\ntenant = ""', 2, "is empty"),
        ("[facts.confirmed]\ntenant = true", 2, "must be a string"),
        ("[facts]\nconfirmed = true", 2, "must be a table"),
        ("[facts]\nnone = []", 2, "unknown key 'none'"),
    ],
)
def test_a_confirmation_that_confirms_nothing_is_an_error(text: str, line: int, says: str) -> None:
    error = refusal(text)
    assert error.line == line
    assert says in str(error)


def test_the_digest_follows_the_settings_not_the_comments() -> None:
    assert parse('block_at = "low"').digest == parse('# why\nblock_at    = "low"\n').digest
    assert parse('block_at = "low"').digest != parse("").digest == Config().digest


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('blok_at = "high"', 1, "Did you mean 'block_at'?"),
        ('\n\nblock_at = "hihg"', 3, 'Use one of "low", "medium", "high", "critical"'),
        ("block_at = 3", 1, "block_at is a number"),
        ('[packs]\nhippa = "on"', 2, "Did you mean 'hipaa'?"),
        ('[packs]\nhipaa = true', 2, "packs.hipaa is true or false"),
        ('[policies]\n"hipaa.phi-in-log" = "on"', 2, "Did you mean 'hipaa.phi-in-logs'?"),
        ('[policies]\nhipaa.phi-in-logs = "on"', 2, 'Put the id in quotes: "hipaa.phi-in-logs"'),
        ('exclude = "vendor/"', 1, "must be a list of strings, not a string"),
        ('exclude = [\n  "a/",\n  3,\n]', 3, "exclude[1] must be a string"),
        ('exclude = ["a/", "../x"]', 1, "'../x' is not a glob"),
        ('exclude = ["**/*.{ts,tsx}"]', 1, "is not a glob"),
        ('exclude = ["/abs/"]', 1, "is not a glob"),
        ('exclude = [""]', 1, "exclude[0] is empty"),
        ('[facts.phi]\nmodels = ["Pat\\u200Bient"]', 2, "control or invisible character"),
        ('[facts.phy]\nmodels = []', 1, "Did you mean 'phi'?"),
        ('[facts]\nphi = 3', 2, "facts.phi must be a table, not a number"),
        ('facts = {phi = {}, audit = {\ncals = []}}', 2, "Did you mean 'calls'?"),
        ('facts.audit.reads = "maybe"', 1, 'Use one of "explicit", "middleware", "none"'),
        ('[facts.audit]\nautomatic = [\n  {models = ["A"], how = "signals"},\n  {models = ["B"], how = "magic"},\n]', 4,
         "facts.audit.automatic[1].how is 'magic'"),
        ('[[facts.audit.automatic]]\nmodels=["A"]\nhow="signals"\n[[facts.audit.automatic]]\nmodels=["A"]\nwho="x"', 6,
         "unknown key 'who'"),
        ('[facts.audit]\nautomatic = [{models = ["A"]}]', 2, "automatic[0] has no how"),
        ('[facts.egress]\napproved = [{match = "sentry_sdk"}]', 2, "has no contract"),
        ('[facts.retention]\naudit_years = "6"', 2, "must be a whole number, not a string"),
        ('[facts.session]\nidle_minutes = true', 2, "must be a whole number, not true or false"),
        ('[limits]\nmax_lines = 0', 2, "limits.max_lines is out of range"),
        ("[waivers]\nmax_days = 0", 2, "waivers.max_days is out of range"),
        ('[waivers]\napprovers = ["dana"]', 2, "neither an e-mail address nor the fingerprint"),
        ('[waivers]\non_new = "ignore"', 2, 'Use one of "advise", "block"'),
        ('[ci]\nrequire_receipts = "block"', 2, 'Use one of "off", "report", "any", "signed"'),
        ("[ci]\nrequire = true", 2, "require_receipts"),
        ('[limits]\nfile_seconds = nan', 2, "out of range"),
        ('[limits]\nfile_seconds = 1979-05-27', 2, "not a date or time"),
        ('["limits"]\n"max_lines" = 1\n"max_line\\u0073 " = 2', 3, "unknown key 'max_lines '"),
        ("[limits]\nmax_lines = 1 # comment with [facts] and x = 1\n\n'max.lines' = 2", 4, "unknown key 'max.lines'"),
        ('exclude = ["""\\\n  x = 1\n  [limits]""",\n]\n[limits]\nx = 1', 1, "exclude[0] holds a control"),
        ("block_at = 'high'\n[facts.tenant]\nkey = '''b\na'''", 3, "control or invisible"),
        ('block_at = "high"\nblock_at = "low"', 2, "not valid TOML"),
        ('a = [1,\n', 1, "not valid TOML"),
        ('block_at = \n', 1, "not valid TOML"),
        ("x = " + "9" * 5000, 0, "not valid TOML"),
        ("x = " + "[" * 5000, 0, "nested too deeply"),
        ('"a\\u001b[31mb" = 1', 1, "\\x1b[31mb"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place_and_the_way_out(text: str, line: int, says: str) -> None:
    error = refusal(text)
    assert error.line == line, str(error)
    assert says in str(error)
    assert str(error).startswith(f"agentreview.toml:{line}: " if line else "agentreview.toml: ")
    assert error.fix
    assert str(error).isprintable()


def test_not_utf8_is_an_error_with_its_line() -> None:
    assert refusal(b'block_at = "high"\n# caf\xe9\n').line == 2
    assert "UTF-8" in str(refusal('block_at = "high"'.encode("utf-16")))


def test_a_byte_order_mark_and_windows_line_ends_are_accepted_and_lines_still_right() -> None:
    assert parse(b'\xef\xbb\xbfblock_at = "low"\r\n[packs]\r\nhipaa = "off"\r\n').level("hipaa.x") is Level.OFF
    assert refusal(b'\xef\xbb\xbfblock_at = "low"\r\n[packs]\r\nhipa = "off"\r\n').line == 3


def test_a_huge_file_is_refused_before_it_is_parsed() -> None:
    assert "at most" in str(refusal(b"#" * (MAX_CONFIG_BYTES + 1)))


def test_hostile_but_small_files_are_refused_quickly() -> None:
    started = time.process_time()
    for text in (
        "x = " + "[" * 200_000,
        "x" + ".x" * 100_000 + " = 1",
        "[" + "a." * 100_000 + "a]",
        "x=" + "{a=" * 90_000,
    ):
        refusal(text)
    refusal("exclude = [" + '"a/",' * 100_000 + "]")
    assert time.process_time() - started < 10


@given(st.text(max_size=200))
@settings(max_examples=150)
def test_any_text_is_a_config_or_one_clear_line(text: str) -> None:
    message = ""
    try:
        parse(text.encode("utf-8", "surrogatepass"))
    except ConfigError as error:
        message = str(error)
    assert message.isprintable()


@given(st.lists(st.text(max_size=6), min_size=1, max_size=4), st.integers(0, 5))
@settings(max_examples=150)
def test_the_line_of_an_unknown_key_is_right_however_it_is_quoted(names: list[str], blank: int) -> None:
    import json

    key = "zz" + names[0]
    noise = "".join(f"# {json.dumps(name)} = [\n" for name in names)
    text = f'{noise}block_at = """high"""\nexclude = [{", ".join(json.dumps("a" + str(i)) for i in range(blank))}\n]\n'
    quoted = '"' + "".join(f"\\U{ord(char):08X}" for char in key) + '"'
    if any(0xD800 <= ord(char) < 0xE000 for char in key):
        return
    assert refusal(text + "\n" * blank + quoted + " = 1").line == text.count("\n") + blank + 1


def reader(files: dict[str, bytes]):
    return files.get


def test_no_file_means_the_defaults() -> None:
    assert load_config(reader({}), known_policies=POLICIES) == Config()
    assert load_config(reader({"pyproject.toml": b"[tool.ruff]\n"}), known_policies=POLICIES) == Config()


def test_pyproject_can_hold_the_configuration() -> None:
    data = b'[project]\nname = "x"\n[tool.agentreview]\nblock_at = "low"\n[tool.agentreview.packs]\nhipaa = "off"\n'
    config = load_config(reader({"pyproject.toml": data}), known_policies=POLICIES)
    assert (config.block_at, config.level("hipaa.x"), config.path) == (Severity.LOW, Level.OFF, "pyproject.toml")
    with pytest.raises(ConfigError) as caught:
        load_config(reader({"pyproject.toml": data + b'hipa = "off"'}), known_policies=POLICIES)
    assert (caught.value.path, caught.value.line) == ("pyproject.toml", 7)


def test_a_pyproject_that_names_the_tool_and_does_not_parse_is_an_error_not_the_defaults() -> None:
    with pytest.raises(ConfigError):
        load_config(reader({"pyproject.toml": b"[tool.agentreview]\nblock_at = "}), known_policies=POLICIES)


def test_a_dependency_on_the_tool_is_not_a_configuration() -> None:
    data = b'[project]\ndependencies = ["agentreview-gate"]\n'
    assert load_config(reader({"pyproject.toml": data}), known_policies=POLICIES) == Config()
    both = {"pyproject.toml": data, "agentreview.toml": b'block_at = "low"'}
    assert load_config(reader(both), known_policies=POLICIES).block_at is Severity.LOW


def test_two_configurations_are_an_error_that_names_both() -> None:
    files = {"agentreview.toml": b"", "pyproject.toml": b"[tool.agentreview]\n"}
    with pytest.raises(ConfigError) as caught:
        load_config(reader(files), known_policies=POLICIES)
    assert "agentreview.toml" in str(caught.value)
    assert "pyproject.toml" in str(caught.value)


def test_without_a_file_the_parser_is_never_imported() -> None:
    code = (
        "import sys; from agentreview.config import load_config; load_config(lambda p: None, known_policies=());"
        "sys.exit(any(m in sys.modules for m in ('tomli', 'difflib', 'click', 'yaml', 'agentreview.tomlscan')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_schema_names_facts_that_exist() -> None:
    known = {
        f"{table.name}.{field.name}"
        for table in dataclasses.fields(Facts)
        if dataclasses.is_dataclass(table.default)
        for field in dataclasses.fields(table.default)
    }
    assert set(GLOBS) <= known
    assert {name for name in CHOICES if name.count(".") == 1} <= known
    assert set(CLEARS) | set(RAISES) <= known | {"frameworks"}


# -- globs


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("apps/ops/", "apps/ops/a/b.py", True),
        ("apps/ops/", "apps/opsx/a.py", False),
        ("apps/ops/", "x/apps/ops/a.py", False),
        ("apps/ops/**", "apps/ops/a.py", True),
        ("apps/ops/**", "apps/ops", False),
        ("**/tests/**", "tests/a.py", True),
        ("**/tests/**", "a/b/tests/c/d.py", True),
        ("**/tests/**", "a/mytests/b.py", False),
        ("**/*.spec.ts", "a.spec.ts", True),
        ("*.min.js", "a/b/c.min.js", True),
        ("settings.py", "a/settings.py", True),
        ("a/*/c.py", "a/b/c.py", True),
        ("a/*/c.py", "a/b/b/c.py", False),
        ("a/**/c.py", "a/c.py", True),
        ("a/**/c.py", "a/b/b/c.py", True),
        ("a/?.py", "a/b.py", True),
        ("a?b", "a/b", False),
        ("app/[id]/page.tsx", "app/[id]/page.tsx", True),
        ("app/[id]/page.tsx", "app/i/page.tsx", False),
        (".*", "a/.env", True),
        ("A/", "a/b", False),
        ("**", "a", True),
        ("", "a", False),
    ],
)
def test_globs(glob: str, path: str, expected: bool) -> None:
    assert matches(path, ["nothing/", glob]) is expected


def naive(path: str, glob: str) -> bool:
    """The documented meaning, written down as recursion."""
    if not path or not glob:
        return False
    if "/" not in glob:
        glob = "**/" + glob
    if glob.endswith("/"):
        glob += "**"

    def segment(text: str, pattern: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(segment(text[i:], pattern[1:]) for i in range(len(text) + 1))
        return bool(text) and pattern[0] in ("?", text[0]) and segment(text[1:], pattern[1:])

    def walk(names: list[str], patterns: list[str]) -> bool:
        if not patterns:
            return not names
        if all(one == "**" for one in patterns):
            return bool(names)
        if patterns[0] == "**":
            return any(walk(names[i:], patterns[1:]) for i in range(len(names) + 1))
        return bool(names) and segment(names[0], patterns[0]) and walk(names[1:], patterns[1:])

    return walk(path.split("/"), glob.split("/"))


@given(
    st.lists(st.text("ab.", min_size=1, max_size=4), min_size=1, max_size=4).map("/".join),
    st.lists(st.one_of(st.just("**"), st.text("ab.*?", min_size=1, max_size=4)), min_size=1, max_size=4).map("/".join),
    st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_the_matcher_agrees_with_its_documented_meaning(path: str, glob: str, directory: bool) -> None:
    glob += "/" * directory
    assert matches(path, [glob]) is naive(path, glob)


def test_hostile_globs_take_one_step_a_character() -> None:
    path = "a" * 3000 + "/" + "a" * 1000
    started = time.process_time()
    for glob in ("*a" * 120 + "*?b", "**/" * 60 + "*a" * 30 + "?", "?" * 250, "**/*" + "a*" * 100, "*/*" + "a*b*" * 50):
        matches(path, [glob])
        matches("a/" * 2000 + "b", [glob])
    assert time.process_time() - started < 10
    assert _compiled.cache_info().maxsize


# -- what loosens the gate


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("", 'block_at = "critical"', "block_at raised from high to critical"),
        ("", '[packs]\nhipaa = "advisory"', "pack hipaa lowered from on to advisory"),
        ("", '[policies]\n"hipaa.phi-in-logs" = "off"', "policy hipaa.phi-in-logs lowered from on to off"),
        ('[packs]\nhipaa = "off"\n[policies]\n"hipaa.phi-in-logs" = "on"', '[packs]\nhipaa = "off"',
         "policy hipaa.phi-in-logs lowered from on to off"),
        ("", 'exclude = ["apps/"]', "exclude added: 'apps/'"),
        ("", "[limits]\nmax_lines = 10", "limits.max_lines lowered from 20000 to 10"),
        ("", "[limits]\nfile_seconds = 0.5", "limits.file_seconds lowered from 5 to 0.5"),
        ("[waivers]\nmax_days = 30", "[waivers]\nmax_days = 60", "waivers.max_days raised from 30 to 60"),
        ("", '[waivers]\napprovers = ["eve@clinic.example"]', "waivers.approvers now lists 'eve@clinic.example'"),
        ('[waivers]\non_new = "block"', "", "waivers.on_new lowered from block to advise"),
        ('[ci]\nrequire_receipts = "signed"', "", "ci.require_receipts lowered from signed to report"),
        ("", '[ci]\nrequire_receipts = "off"', "ci.require_receipts lowered from report to off"),
        ("", '[facts.audit]\ncalls = ["save"]', "facts.audit.calls now clears findings with 'save'"),
        ("", '[facts.tenant]\nglobal_models = ["Patient"]', "facts.tenant.global_models"),
        ("", '[facts.phi]\nnot_phi = ["ssn"]', "facts.phi.not_phi"),
        ("", '[facts.tenant]\nunscoped_in = ["apps/**"]', "facts.tenant.unscoped_in"),
        ("", '[facts.tenant]\nisolation = "rls"', "facts.tenant.isolation changed from 'unset' to 'rls'"),
        ('[facts.tenant]\nisolation = "row"', '[facts.tenant]\nisolation = "none"', "from 'row' to 'none'"),
        ('[facts.tenant]\nkey = "org_id"', '[facts.tenant]\nkey = "id"', "tenant.key changed from 'org_id' to 'id'"),
        ("", '[facts.tenant]\nmodels = ["Invoice"]', "facts.tenant.models set for the first time"),
        ("", '[facts.access]\ndefault = "deny"', "facts.access.default changed from 'unset' to 'deny'"),
        ("", '[facts.egress]\nredactors = ["str"]', "facts.egress.redactors"),
        ("", '[facts.egress]\napproved = [{match = "x", contract = "c"}]', "facts.egress.approved now allows 'x' (c)"),
        ('[facts.egress]\napproved = [{match = "x", contract = "c", allows = ["ids"]}]',
         '[facts.egress]\napproved = [{match = "x", contract = "c", allows = ["ids", "notes"]}]', "'x' may receive"),
        ("", '[facts.audit]\nautomatic = [{models = ["Patient"], how = "signals"}]', "'Patient' as audited by signals"),
        ('[facts.phi]\nmodels = ["Chart"]', "", "facts.phi.models no longer lists 'Chart'"),
        ('[facts]\nconfirmed_by = "jane"', "", "facts.confirmed_by changed from 'jane' to 'nobody'"),
        ('[facts]\nconfirmed_by = "jane"', '[facts]\nconfirmed_by = "x"', "facts.confirmed_by changed from 'jane' to 'x'"),
        ('[facts.confirmed]\ntenant = "jane"', "", "facts.confirmed: tenant changed from 'jane' to 'nobody'"),
        ('[facts.confirmed]\ntenant = "jane"', '[facts.confirmed]\ntenant = "x"', "tenant changed from 'jane' to 'x'"),
        ("[facts.session]\nidle_minutes = 15", "[facts.session]\nidle_minutes = 60", "idle_minutes changed from 15"),
        ("[facts.retention]\naudit_years = 6", "", "facts.retention.audit_years changed from 6 to unset"),
    ],
)  # fmt: skip
def test_what_loosens_the_gate_is_said_in_a_sentence(old: str, new: str, says: str) -> None:
    sentences = config_relaxations(parse(old), parse(new))
    assert any(says in sentence for sentence in sentences), sentences
    assert len(sentences) == 1, "one change, one sentence"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (FULL, FULL),
        ("", 'block_at = "low"'),
        ('[packs]\nhipaa = "off"', ""),
        ('exclude = ["a/"]', ""),
        ("[limits]\nmax_lines = 10", ""),
        ('[waivers]\napprovers = ["eve@clinic.example"]', '[waivers]\nmax_days = 30\non_new = "block"'),
        ("", '[facts.phi]\nmodels = ["Chart"]\nfields = ["hand_size"]'),
        ('[facts.audit]\ncalls = ["a"]\nreads = "none"', ""),
        ('[facts.tenant]\nisolation = "none"', '[facts.tenant]\nisolation = "row"'),
        ("[facts.session]\nidle_minutes = 60", "[facts.session]\nidle_minutes = 15"),
        ('[facts.access]\ndefault = "deny"\nevidence = "x"', '[facts.access]\ndefault = "allow"'),
        ("", '[facts]\nconfirmed_by = "jane"'),
        ("", '[facts.confirmed]\ntenant = "jane"'),
        ('[facts.confirmed]\ntenant = "jane"', '[facts]\nconfirmed_by = "jane"'),
    ],
)
def test_tightening_the_gate_and_leaving_it_alone_say_nothing(old: str, new: str) -> None:
    assert config_relaxations(parse(old), parse(new)) == ()


def test_a_first_configuration_is_compared_with_the_defaults() -> None:
    assert config_relaxations(None, Config()) == ()
    assert config_relaxations(None, parse('[packs]\nhipaa = "off"')) == ("pack hipaa lowered from on to off",)


def test_a_fact_that_is_neither_loose_nor_strict_is_not_forgotten() -> None:
    """Every list of facts is sorted into one of the two tables, or left out here by name."""
    lists = {
        f"{table.name}.{field.name}"
        for table in dataclasses.fields(Facts)
        if dataclasses.is_dataclass(table.default)
        for field in dataclasses.fields(table.default)
        if field.type == "tuple[str, ...]"
    }
    assert lists == (set(CLEARS) | set(RAISES)) - {"frameworks"}
    assert isinstance(Facts().audit, AuditFacts)
    assert isinstance(Facts().access, AccessFacts)
