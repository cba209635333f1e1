"""Policy and framework files: a mistake is one line with file, line and way out; the cache is only a cache."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentreview.errors import ConfigError
from agentreview.policies import compiling
from agentreview.policies.compiling import compile_files
from agentreview.policies.examples import examples
from agentreview.policies.load import FORMAT, load, policies_dir, sources

POLICY = """\
---
id: hipaa.mine
title: Reads are recorded
severity: high
cwe: [778]
references: ["45 CFR 164.312(b)"]
needs: [audit.calls]
fix: Record it.
checks:
  - form: require
    hit: violation
    in: endpoint
    when: {concepts: [read], resource: phi}
    require: [audit]
    message: "{unit} reads"
skip: [tests]
---
## Why

Because.
"""
FRAMEWORK = """\
id: mine
title: Mine
languages: [python]
imports: [mine]
concepts:
  read:
    - "$R.load"
    - {call: "**.fetch($R)", single: true}
"""
CITATIONS = 'citations:\n  "45 CFR 164.312(b)":\n    kind: standard\n    says: x\n'


def files(policy: str = POLICY, framework: str = FRAMEWORK) -> dict[str, bytes]:
    return {
        "citations.yml": CITATIONS.encode(),
        "hipaa/mine.md": policy.encode(),
        "frameworks/mine.yml": framework.encode(),
    }


def refused(**texts: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        compile_files(files(**texts), "policies")
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.fix
    assert message.startswith("policies/")
    return caught.value


def test_the_files_of_this_test_are_right():
    assert compile_files(files(), "policies")["policies"][0]["id"] == "hipaa.mine"


@pytest.mark.parametrize(
    ("old", "new", "says", "line", "fix"),
    [
        ("severity: high", "severity: high\nseverty: low", "unknown key 'severty'", 5, "'severity'"),
        ("severity: high", "severity: high\nseverity: low", "'severity' is there twice", 5, ""),
        ("severity: high", "severity: grave", "severity is 'grave'", 4, '"critical"'),
        ("id: hipaa.mine", "id: hipaa.yours", "the file name says 'hipaa.mine'", 2, "hipaa.mine"),
        ("title: Reads are recorded\n", "", "'title' is missing", 2, ""),
        ("title: Reads are recorded\n", "title:\n", "'title' is missing", 3, ""),
        ("title: Reads are recorded", "title: [a]", "title must be text", 3, ""),
        ("title: Reads are recorded", 'title: "Reads \\e[2J"', "control or invisible", 3, ""),
        ("fix: Record it.", 'fix: "Record \\u202e it."', "control or invisible", 8, ""),
        ('["45 CFR 164.312(b)"]', '["45 CFR 164.999"]', "'45 CFR 164.999' is not in", 6, "'45 CFR 164.312(b)'"),
        (
            '["45 CFR 164.312(b)"]',
            '\n  - "45 CFR 164.312(b)"\n  - CWE-1',
            "'CWE-1' is not in",
            8,
            "Known are: 45 CFR 164.312(b)",
        ),
        ("concepts: [read]", "concepts: [reed]", "unknown concept 'reed'", 13, "'read'"),
        ("concepts: [read]", "concepts: read", "must be a list", 13, ""),
        ("require: [audit]", "require: [audits]", "unknown concept 'audits'", 14, "'audit'"),
        ("require: [audit]", "require:\n      - audit\n      - audiit", "unknown concept 'audiit'", 16, "'audit'"),
        ("    require: [audit]\n", "", "the form require needs the key 'require'", 10, ""),
        ("resource: phi", "resorce: phi", "unknown filter 'resorce'", 13, "'resource'"),
        ("resource: phi", "scoped: maybe", "must be true or false", 13, ""),
        ("resource: phi", "named: secret", "is 'secret'", 13, "credential"),
        ("form: require", "form: requires", "unknown form 'requires'", 10, "'require'"),
        ("  - form: require\n    hit", "  - hit", "the key 'form' is missing", 10, "present"),
        ("    hit: violation", "    hit: maybe", "is 'maybe'", 11, '"violation"'),
        ("    in: endpoint", "    in: endpoints", "is 'endpoints'", 12, '"endpoint"'),
        ("    require: [audit]", "    requires: [audit]", "unknown key 'requires'", 14, "'require'"),
        (
            "    require: [audit]",
            "    into: [log]\n    require: [audit]",
            "does not read the key 'into'",
            14,
            "It reads",
        ),
        ('"{unit} reads"', '"{unti} reads"', "{unti} is no placeholder", 15, "{unit}"),
        ("skip: [tests]", "skip: [test]", "unknown path class 'test'", 16, "'tests'"),
        ("needs: [audit.calls]", "needs: [audit.call]", "unknown project fact 'audit.call'", 7, "'audit.calls'"),
        ("needs: [audit.calls]", "needs: [audit]", "unknown project fact 'audit'", 7, "audit."),
        ("cwe: [778]", "cwe: [778", "not valid YAML", None, ""),
        ("cwe: [778]", "cwe: 778", "cwe must be a list of numbers", 5, ""),
        ("cwe: [778]", "cwe: [CWE-778]", "cwe[0] must be a whole number", 5, ""),
        ("cwe: [778]", "on: [778]", "a key must be text", 5, ""),
        ("---\n## Why", "## Why", "no front matter", 1, ""),
        ("title: Reads are recorded", "title: a: b", "not valid YAML", 3, ""),
        (
            "checks:\n  - form: require",
            "superseded_by: hipaa.mind\nchecks:\n  - form: require",
            "is no policy",
            9,
            "'hipaa.mine'",
        ),
    ],
)
def test_a_mistake_in_a_policy_names_the_file_the_line_and_the_nearest_word(old, new, says, line, fix):
    assert old in POLICY
    error = refused(policy=POLICY.replace(old, new, 1))
    assert says in str(error)
    assert fix in error.fix
    assert error.path == "policies/hipaa/mine.md"
    if line is not None:
        assert error.line == line


def test_a_flow_names_sources_that_exist():
    flow = "  - form: flow\n    from: [phi-fields]\n    into: [log]\nskip: [tests]"
    assert "unknown source 'phi-fields'" in str(refused(policy=POLICY.replace("skip: [tests]", flow)))


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("language: cobol\n    rule: {pattern: a}", "'cobol'"),
        ("language: python\n    rule: {pattrn: a}", "ast-grep refuses the rule"),
        ("language: python\n    rule: eval", "rule must be a mapping"),
        ("rule: {pattern: a}", "needs the key 'language'"),
    ],
)
def test_a_raw_rule_is_tried_when_it_is_loaded(rule, says):
    text = POLICY.replace("skip: [tests]", f"  - form: match\n    {rule}\nskip: [tests]")
    assert says in str(refused(policy=text))


@pytest.mark.parametrize(
    ("old", "new", "says", "line", "fix"),
    [
        ("  read:", "  reads:", "unknown concept 'reads'", 6, "'read'"),
        ("single: true", "singel: true", "unknown key 'singel'", 8, "'single'"),
        ("single: true", "single: yes please", "must be true or false", 8, ""),
        ('"**.fetch($R)"', '"**.fetch($R, x)"', "bad segment", 8, ""),
        ('"$R.load"', '"**"', "at least one name", 7, ""),
        ('"$R.load"', "{call: a, decorator: b}", "exactly one of", 7, ""),
        ('"$R.load"', "{call: a, resource: first}", "invalid literal", 7, ""),
        ('"$R.load"', "[a]", "must be a mapping", 7, ""),
        ("languages: [python]\n", "", "'languages' is missing", 1, ""),
        ("languages: [python]", "languages: [pyton]", "unknown language 'pyton'", 3, "'python'"),
        ("id: mine", "id: yours", "the file name says 'mine'", 1, "id: mine"),
        ("imports:", "import:", "unknown key 'import'", 4, "'imports'"),
        ("concepts:", "concepts: [", "not valid YAML", None, ""),
        ("concepts:\n  read:", "concepts:\n  - read:", "must be a mapping", 5, ""),
        ("  read:\n", "  read: {call: a}\n  write:\n", "must be a list of entries", 6, ""),
    ],
)
def test_a_mistake_in_a_framework_file_names_the_file_and_the_line(old, new, says, line, fix):
    assert old in FRAMEWORK
    error = refused(framework=FRAMEWORK.replace(old, new))
    assert says in str(error)
    assert fix in error.fix
    assert error.path == "policies/frameworks/mine.yml"
    if line is not None:
        assert error.line == line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"a: &x [1]\nb: *x\n", "anchors and aliases"),
        (b"a: &a [x,x]\n" + b"".join(b"%c: &%c [*%c,*%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 122)), "anchors"),
        (b"a: " + b"[" * 200_000, "nested more than"),
        (b"".join(b" " * n + b"a:\n" for n in range(300)), "nested more than"),
        (b"id: mine\nid: mine\n", "'id' is there twice"),
        (b"id: caf\xe9\n", "not UTF-8"),
        (b"id: \x00\n", "not valid YAML"),
        (b"x: " + b"a" * 300_000, "at most"),
        (b"id: a\n---\nid: b\n", "a second document"),
        (b"id: !!python/object/apply:os.system ['true']\n", "the tag"),
        (b"<<: {id: a}\n", "merge key"),
        (b"id: " + b"9" * 5_000 + b"\n", "is no value"),
        (b"id: 2020-99-99\n", "is no value"),
        (b"", "there are no keys"),
        (b"- id\n", "must be a mapping"),
        (b"id: {\n", "not valid YAML"),
        (b"? [a]\n: b\n", "a key must be text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hostile_yaml_is_one_error_and_soon(text, says):
    """It comes from the reviewed tree: nothing in it may grow, nest or be made into an object."""
    started = time.process_time()
    with pytest.raises(ConfigError, match=says) as caught:
        compiling.framework(text, "mine", ".agents/frameworks/mine.yml")
    assert time.process_time() - started < 2
    assert "\n" not in str(caught.value)
    assert caught.value.fix


@given(st.text(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"#%@ \n\t?,", max_size=60))
def test_any_text_is_a_framework_file_or_one_error(text):
    with pytest.raises(ConfigError) as caught:
        compiling.framework(text.encode("utf-8", "surrogatepass"), "mine", "mine.yml")
    assert "\n" not in str(caught.value)


def test_an_example_fence_that_does_not_read_is_an_error_with_its_line(tmp_path):
    (tmp_path / "hipaa").mkdir()
    (tmp_path / "hipaa" / "mine.md").write_text(POLICY + "\n```python bad django no colon\nx = 1\n```\n")
    with pytest.raises(ConfigError) as caught:
        examples(tmp_path)
    assert caught.value.line == POLICY.count("\n") + 2


def test_yaml_cannot_make_objects():
    policy = POLICY.replace("title: Reads are recorded", "title: !!python/object/apply:os.system ['true']")
    assert "not valid YAML" in str(refused(policy=policy))


# -- the cache -----------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of policies of its own, so that no other test's cache is met."""
    for name, data in files().items():
        path = tmp_path / "policies" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "policies"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "agentreview"


def again(root: Path):
    load.cache_clear()
    return load(root)


def no_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "compile_files", lambda *_: pytest.fail("compiled again"))


def test_the_compiled_form_is_kept_and_used(root, cache, monkeypatch):
    first = again(root)
    [kept] = cache.iterdir()
    assert json.loads(kept.read_text())["format"] == FORMAT
    no_compiling(monkeypatch)
    assert again(root).policies == first.policies


def test_any_changed_byte_is_another_cache(root, cache):
    first = again(root)
    (root / "hipaa" / "mine.md").write_text(POLICY.replace("Because.", "Because!"))
    second = again(root)
    assert second.digest != first.digest
    assert len(list(cache.iterdir())) == 2
    assert second.policies[0].rule.why == "Because!"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"format": 2}',
        b'{"format": 2, "policies": [{}], "frameworks": []}',
        b'{"format": 2, "policies": [1], "frameworks": []}',
        b'{"format": 2, "policies": "x", "frameworks": 3}',
        b'{"format": 2, "policies": [], "frameworks": [{"id": "x"}]}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"format": 1, "policies": [], "frameworks": []}',
    ],
)
def test_a_cache_that_does_not_read_is_made_again(root, cache, content):
    wanted = again(root)
    [kept] = cache.iterdir()
    kept.write_bytes(content)
    assert again(root).policies == wanted.policies
    assert len(json.loads(kept.read_bytes())["policies"]) == 1


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(root, cache):
    cache.parent.write_text("a file where the folder should be")
    assert again(root).policies
    assert cache.parent.is_file()


def test_a_cache_folder_of_the_reviewed_tree_is_not_used(root, tmp_path, monkeypatch):
    """A relative XDG_CACHE_HOME would be looked up in the work tree, where anybody commits files."""
    monkeypatch.setenv("XDG_CACHE_HOME", "cache-in-the-repo")
    monkeypatch.chdir(tmp_path)
    assert again(root).policies
    assert not (tmp_path / "cache-in-the-repo").exists()


def test_the_cache_is_data(root, cache):
    """JSON is read, never imported: what is in the file cannot run."""
    again(root)
    [kept] = cache.iterdir()
    assert kept.suffix == ".json"
    assert isinstance(json.loads(kept.read_text()), dict)
    assert not os.access(kept, os.X_OK)


# -- what is shipped -----------------------------------------------------------------------------------------------


def test_the_shipped_policies_compile_without_a_cache():
    compiled = compile_files(sources(policies_dir()), "policies")
    assert len(compiled["policies"]) >= 12
    assert len(compiled["frameworks"]) >= 10


def test_broken_shipped_files_are_one_line(tmp_path):
    copy = tmp_path / "policies"
    shutil.copytree(policies_dir(), copy)
    target = copy / "frameworks" / "django.yml"
    target.write_text(target.read_text() + "\n  : :\n")
    with pytest.raises(ConfigError, match=r"django\.yml:\d+: not valid YAML"):
        load(copy)


def test_a_check_may_be_less_severe_than_its_policy_and_a_severity_nobody_knows_is_refused():
    raw = files(POLICY.replace("    hit: violation", "    hit: violation\n    severity: medium"))
    (check,) = compile_files(raw, "policies")["policies"][0]["checks"]
    assert check["severity"] == "medium"
    error = refused(policy=POLICY.replace("    hit: violation", "    hit: violation\n    severity: grave"))
    assert "grave" in str(error)
