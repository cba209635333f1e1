"""What rests on the facts of a project: what a review says about those that are open, and the commands about them."""

from __future__ import annotations

import ast
import json
import stat
from pathlib import Path
from typing import Any

import pytest

import agentreview as package
from agentreview.facts import KEYS
from agentreview.policies.load import load
from agentreview.policies.uses import WITHOUT_EFFECT, uses
from commandline import GOOD, agentreview, one_line
from engine import IMPORTS, change, rules

SCOPE = "tenancy.query-scope"
KEY = '[facts.tenant]\nkey = "org"\nisolation = "row"\n'


@pytest.fixture
def unscoped(repo: Any) -> Any:
    """The clinic, with a view staged that looks a patient up in every tenant."""
    repo.stage({path: text.replace(", org=request.user.org", "") for path, text in GOOD.items()})
    return repo


def notes(repo: Any) -> list[str]:
    report = json.loads(agentreview("--format", "json", cwd=repo.path).out)
    return [note for note in report["notes"] if note.startswith("not co")]


# ---- what a review says once


def test_a_fact_that_is_not_set_is_said_once_with_the_policies_that_only_ask(unscoped: Any) -> None:
    expected = f"not configured: tenant.isolation, tenant.key ({SCOPE} asks instead of blocking): agentreview init"
    assert notes(unscoped) == [expected]
    done = agentreview(cwd=unscoped.path)
    assert done.code == 0
    assert " ".join(done.out.split()).count(expected) == 1
    full = agentreview("-v", cwd=unscoped.path).out
    assert "to settle it" not in full, "the note says it for all of them"
    log = json.loads(agentreview("--format", "sarif", cwd=unscoped.path).out)
    [notification] = log["runs"][0]["invocations"][0]["toolConfigurationNotifications"]
    assert (notification["level"], notification["message"]["text"]) == ("note", expected)
    annotations = agentreview("--format", "github", cwd=unscoped.path).out
    assert annotations.count("not configured") == 1
    assert f"::notice title=agentreview::{expected}" in annotations


def test_ten_findings_are_one_note(unscoped: Any) -> None:
    view = GOOD["clinic/views.py"].replace(", org=request.user.org", "")
    head, _, body = view.partition("@permission_required")
    more = "".join("\n\n@permission_required" + body.replace("patient_detail", f"patient_{n}") for n in range(10))
    unscoped.stage({"clinic/views.py": head + more.lstrip("\n")})
    assert len(notes(unscoped)) == 1


def test_a_change_that_needs_no_fact_is_told_nothing_about_facts(repo: Any) -> None:
    repo.stage(GOOD)
    assert notes(repo) == []


def test_old_debt_waived_and_advisory_findings_need_no_fact(unscoped: Any) -> None:
    unscoped.git("commit", "-qm", "debt")
    unscoped.stage({"clinic/views.py": (unscoped.path / "clinic/views.py").read_text().replace("pk)\n", "pk)  # x\n")})
    assert notes(unscoped) == []
    unscoped.stage({"agentreview.toml": '[policies]\n"tenancy.query-scope" = "advisory"\n'})
    unscoped.stage({"clinic/more.py": (unscoped.path / "clinic/views.py").read_text()})
    assert notes(unscoped) == []


def test_facts_without_a_persons_name_are_said_and_a_name_makes_the_suspect_block(unscoped: Any) -> None:
    unscoped.commit({"agentreview.toml": KEY, "clinic/views.py": ""})
    unscoped.stage({"clinic/views.py": GOOD["clinic/views.py"].replace(", org=request.user.org", "")})
    command = "agentreview facts confirm tenant.isolation tenant.key"
    assert notes(unscoped) == [
        f"not confirmed: tenant.isolation, tenant.key ({SCOPE} asks instead of blocking): {command}"
    ]
    assert agentreview(cwd=unscoped.path).code == 0
    unscoped.stage({"agentreview.toml": KEY + '[facts.confirmed]\n"tenant.key" = "dana"\n'})
    assert notes(unscoped) == [
        f"not confirmed: tenant.isolation ({SCOPE} asks instead of blocking): {command.replace(' tenant.key', '')}"
    ]
    unscoped.stage({"agentreview.toml": KEY + '[facts.confirmed]\ntenant = "dana"\n'})
    assert notes(unscoped) == []
    done = agentreview(cwd=unscoped.path)
    assert done.code == 1
    assert f"{SCOPE}: A query" in done.out


def test_the_whole_has_to_be_confirmed_for_a_policy_that_names_no_fact(repo: Any) -> None:
    repo.commit({"agentreview.toml": '[facts.confirmed]\ntenant = "dana"\n'})
    view = "from django.views.decorators.csrf import csrf_exempt\n\n\n@csrf_exempt\ndef save(request):\n    return 1\n"
    repo.stage({"app/views.py": view})
    said = "not confirmed: the project's facts as a whole (access.csrf-cors asks instead of blocking)"
    assert [note for note in notes(repo) if "csrf" in note] == [f"{said}: agentreview facts confirm"]


# ---- facts that excuse a write


PRISMA = "import { prisma } from './db';\nimport express from 'express';\nconst router = express.Router();\n"
WRITE = "hipaa.audit-phi-write"
DERIVED = '[facts.phi]\nderived_fields = ["last_seen_at", "view_count"]\n'


@pytest.mark.parametrize(
    ("line", "excused"),
    [
        ("Patient.objects.filter(pk=pk).update(last_seen_at=now())", True),
        ("Patient.objects.filter(pk=pk).update(last_seen_at=now(), view_count=F('view_count') + 1)", True),
        ("Patient.objects.filter(pk=pk).update(last_seen_at=now(), name='x')", False),
        ("Patient.objects.filter(pk=pk).update(**{'name': 1})", False),
        ("Patient.objects.filter(pk=pk).update(**request.POST)", False),
        ("p = Patient.objects.get(pk=pk)\n    p.save(update_fields=['last_seen_at'])", True),
        ("p = Patient.objects.get(pk=pk)\n    p.save(update_fields=['last_seen_at', 'mrn'])", False),
        ("p = Patient.objects.get(pk=pk)\n    p.save()", False),
        ("Patient.objects.create(last_seen_at=now())", False),
        ("Patient.objects.filter(pk=pk).delete()", False),
    ],
)
def test_a_write_of_derived_fields_alone_needs_no_audit_event(line: str, *, excused: bool) -> None:
    source = IMPORTS + f"@login_required\ndef touch(request, pk):\n    {line}\n    return JsonResponse({{}})\n"
    assert WRITE in rules(change("app/views.py", None, source))
    assert (WRITE not in rules(change("app/views.py", None, source), facts=DERIVED)) is excused


@pytest.mark.parametrize(
    ("data", "excused"),
    [("{ lastSeenAt: new Date() }", True), ("{ lastSeenAt: new Date(), name: 'x' }", False), ("req.body", False)],
)
def test_a_derived_field_is_known_in_every_spelling(data: str, *, excused: bool) -> None:
    body = f"  await prisma.patient.update({{ where: {{ id: req.params.id }}, data: {data} }});\n  res.json({{}});\n"
    source = f"{PRISMA}router.post('/p/:id', requireAuth, async (req, res) => {{\n{body}}});\n"
    assert WRITE in rules(change("src/a.ts", None, source))
    assert (WRITE not in rules(change("src/a.ts", None, source), facts=DERIVED)) is excused


# ---- which policies rest on a fact


def test_every_fact_is_looked_at_by_some_policy_or_is_listed_as_for_readers() -> None:
    """Compared with the engine's own source: the attributes it reads of the tables of facts."""
    root = Path(package.__file__).parent
    files = [*(root / "policies").glob("*.py"), *(root / "syntax").glob("*.py")]
    trees = [ast.parse(path.read_bytes()) for path in files if path.name != "uses.py"]
    read = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used = {fact for policy in load().policies for fact in uses(policy)}
    needed = {need for policy in load().policies for need in policy.needs}
    assert used == set(KEYS) - WITHOUT_EFFECT.keys()
    assert {fact for fact in used if fact.rpartition(".")[2] not in read} <= needed
    # frameworks and fields are names of much else in there
    assert {fact for fact in WITHOUT_EFFECT if fact.rpartition(".")[2] in read} <= {"frameworks", "audit.fields"}


# ---- agentreview facts


CONFIG = """\
[facts]
confirmed_by = ""

[facts.confirmed]
"tenant.key" = "ines@clinic.example"

[facts.phi]
models = ["Patient"]

[facts.tenant]   # who is kept from whom
key = "org"
"""


def facts(repo: Any, *args: str) -> dict[str, Any]:
    done = agentreview("facts", "--format", "json", *args, cwd=repo.path)
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    return {**report, "facts": {row["fact"]: row for row in report["facts"]}}


def test_facts_says_for_each_value_where_it_comes_from_and_who_confirmed_it(repo: Any) -> None:
    repo.stage({**GOOD, "agentreview.toml": CONFIG})
    repo.write({"agentreview.toml": "not what is reviewed", "clinic/extra.py": "class Visit(models.Model): ..."})
    report = facts(repo)
    assert (report["schema"], report["configuration"]) == ("agentreview/facts/1", "agentreview.toml")
    key, models, audit = (report["facts"][name] for name in ("tenant.key", "phi.models", "audit.calls"))
    assert (key["source"], key["value"], key["confirmed_by"]) == ("configuration", "org", "ines@clinic.example")
    assert key["place"] == {"path": "agentreview.toml", "line": 11}
    assert SCOPE in key["needed_by"]
    assert (models["value"], models["confirmed_by"], models["place"]["line"]) == (["Patient"], None, 8)
    assert (audit["source"], audit["value"], audit["place"]) == ("built-in", None, None)
    assert audit["found"] == [{"value": "audit_log", "count": 1, "path": "clinic/views.py", "line": 12, "doubt": None}]
    assert "data.audit-removed" in audit["used_by"]
    assert report["facts"]["phi.sensitive"]["source"] is None
    waits = {one["policy"]: one for one in report["policies"]}
    assert waits[SCOPE] == {"policy": SCOPE, "blocks": False, "unset": ["tenant.isolation"], "unconfirmed": []}
    assert waits["tenancy.cache-key"]["blocks"] is True
    assert waits["data.destructive-migration"]["unconfirmed"] == ["phi.models"]


def test_facts_for_a_person(repo: Any) -> None:
    repo.stage({**GOOD, "agentreview.toml": CONFIG})
    done = agentreview("facts", cwd=repo.path / "clinic")
    assert (done.code, done.err) == (0, "")
    text = " ".join(done.out.split())
    assert 'key = "org" agentreview.toml:11, confirmed by ines@clinic.example' in text
    assert 'models = ["Patient"] agentreview.toml:8, not confirmed' in text
    assert "found, and not in the configuration: audit_log (clinic/views.py:12)" in text
    assert "tenancy.query-scope: not set: tenant.isolation" in text
    assert "not set, and nothing here asks for it: fields" in text.replace("decorators, bases, ", "")
    assert len(agentreview("facts", "-v", cwd=repo.path).out) > len(done.out)


def test_facts_in_pyproject_and_of_another_worktree(repo: Any, tmp_path: Path) -> None:
    repo.commit({**GOOD, "pyproject.toml": '[tool.agentreview.facts]\ntenant.key = "org"\n'})
    repo.git("worktree", "add", "-q", "../other")
    row = facts(repo, "--worktree", "../other")["facts"]["tenant.key"]
    assert row["place"] == {"path": "pyproject.toml", "line": 2}


def test_facts_without_a_configuration_and_without_a_repository(repo: Any, tmp_path: Path) -> None:
    report = facts(repo)
    assert report["configuration"] is None
    assert {row["value"] for row in report["facts"].values()} == {None}
    outside = tmp_path / "outside"
    outside.mkdir()
    done = agentreview("facts", cwd=outside, env={"GIT_CEILING_DIRECTORIES": str(tmp_path)})
    assert done.code == 2
    one_line(done.err)


def test_a_mistake_in_the_configuration_is_one_line(repo: Any) -> None:
    repo.stage({"agentreview.toml": "[facts]\nconfirmd_by = 'x'\n"})
    done = agentreview("facts", cwd=repo.path)
    assert done.code == 2
    assert "agentreview.toml:2" in one_line(done.err)


def test_names_found_in_the_code_are_shown_escaped(repo: Any) -> None:
    repo.stage({"clinic/a\x1b[31mb.py": "from .audit import audit_log\naudit_log(1)\n"})
    done = agentreview("facts", cwd=repo.path)
    assert done.code == 0
    assert "\x1b" not in done.out
    assert "clinic/a\\x1b[31mb.py:2" in done.out


# ---- agentreview facts confirm


def confirm(repo: Any, *args: str, **options: Any) -> Any:
    return agentreview("facts", "confirm", *args, cwd=repo.path, **options)


def test_confirming_writes_the_name_and_says_what_blocks_from_now_on(unscoped: Any) -> None:
    text = "# ours\n[facts.tenant]   # who is kept from whom\nkey = 'org'\nisolation = 'row'  # shared tables\n"
    unscoped.commit({"agentreview.toml": text, "clinic/views.py": ""})
    unscoped.stage({"clinic/views.py": GOOD["clinic/views.py"].replace(", org=request.user.org", "")})
    assert agentreview(cwd=unscoped.path).code == 0
    done = confirm(unscoped, "tenant")
    assert (done.code, done.err) == (0, "")
    written = (unscoped.path / "agentreview.toml").read_text()
    assert written == text + '\n[facts.confirmed]\ntenant = "dana@clinic.example"\n'
    for part in (
        "confirmed by dana@clinic.example in agentreview.toml:",
        'tenant.key = "org"',
        "tenancy.query-scope\n",
        "of the last review here, this would have blocked:\n  high tenancy.query-scope  clinic/views.py:11",
        "tenancy.tenant-from-client: tenant.sources is not set",
        "next: git add agentreview.toml",
    ):
        assert part in done.out, part
    assert agentreview(cwd=unscoped.path).code == 0, "it was not staged"
    unscoped.git("add", "agentreview.toml")
    blocked = agentreview(cwd=unscoped.path)
    assert blocked.code == 1
    assert "conduct.gate-tampered" not in blocked.out, "confirming loosens nothing"
    again = confirm(unscoped, "tenant")
    assert (again.code, (unscoped.path / "agentreview.toml").read_text()) == (0, written)
    assert "nothing was written" in again.out


def test_confirming_everything_single_facts_and_by_name(repo: Any) -> None:
    repo.stage({"agentreview.toml": '[facts]\nconfirmed_by = ""  # who\n[facts.tenant]\nkey = "org"\n'})
    assert confirm(repo, "facts.tenant.key", "--by", 'Ines "I" Roy').code == 0
    path = repo.path / "agentreview.toml"
    assert '"tenant.key" = "Ines \\"I\\" Roy"' in path.read_text()
    done = confirm(repo)
    assert done.code == 0
    assert path.read_text().startswith('[facts]\nconfirmed_by = "dana@clinic.example"  # who\n')
    repo.git("add", "-A")
    report = facts(repo)
    assert report["confirmed_by"] == "dana@clinic.example"
    assert report["facts"]["tenant.key"]["confirmed_by"] == 'Ines "I" Roy'


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("tenent",), "Did you mean 'tenant'?"),
        (("tenant.kee",), "Did you mean 'tenant.key'?"),
        (("phi",), "facts.phi is not set in agentreview.toml"),
        (("tenant.isolation",), "facts.tenant.isolation is not set"),
        (("tenant", "phi.fields"), "facts.phi.fields is not set"),
        (("tenant", "--by", " "), "names nobody"),
        (("tenant", "--by", "a\nb"), "names nobody"),
    ],
)
def test_what_cannot_be_confirmed_is_one_line_and_changes_nothing(repo: Any, args: tuple[str, ...], says: str) -> None:
    repo.write({"agentreview.toml": CONFIG.replace('[facts.phi]\nmodels = ["Patient"]\n', "")})
    before = (repo.path / "agentreview.toml").read_bytes()
    done = confirm(repo, *args)
    assert done.code == 2
    assert says in one_line(done.err)
    assert (repo.path / "agentreview.toml").read_bytes() == before


def test_without_an_identity_nobody_confirms(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.write({"agentreview.toml": CONFIG})
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    done = confirm(repo)
    assert done.code == 2
    assert "git knows no e-mail address" in one_line(done.err)
    repo.git("config", "user.email", "lee@clinic.example")
    repo.git("config", "user.name", "Lee")
    assert confirm(repo).code == 0
    assert 'confirmed_by = "lee@clinic.example"' in (repo.path / "agentreview.toml").read_text()


def test_without_a_configuration_there_is_nothing_to_confirm(repo: Any) -> None:
    done = confirm(repo)
    assert done.code == 2
    assert "agentreview init" in one_line(done.err)


def test_confirming_does_not_write_through_a_link(repo: Any, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(CONFIG)
    (repo.path / "agentreview.toml").symlink_to(elsewhere)
    done = confirm(repo)
    assert done.code == 2
    assert "is not a plain file" in one_line(done.err)
    assert elsewhere.read_text() == CONFIG


def test_a_layout_that_takes_a_person_is_said_with_the_line_to_write(repo: Any) -> None:
    text = 'facts = { tenant = { key = "org" } }\n'
    repo.write({"agentreview.toml": text})
    done = confirm(repo, "tenant.key")
    assert done.code == 2
    assert 'Write it there yourself: facts.confirmed."tenant.key" = "dana@clinic.example"' in one_line(done.err)
    assert (repo.path / "agentreview.toml").read_text() == text


def test_permissions_line_ends_and_the_mark_of_the_file_are_kept(repo: Any) -> None:
    path = repo.path / "agentreview.toml"
    path.write_bytes(b"\xef\xbb\xbf" + CONFIG.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    assert confirm(repo).code == 0
    data = path.read_bytes()
    assert data == b"\xef\xbb\xbf" + CONFIG.replace('""', '"dana@clinic.example"').replace("\n", "\r\n").encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(one.name for one in repo.path.iterdir()) == [".git", "agentreview.toml"]


def test_confirming_in_pyproject_and_in_another_worktree(repo: Any) -> None:
    text = '[project]\nname = "x"\n\n[tool.agentreview]\nblock_at = "high"\n\n[tool.agentreview.facts.tenant]\nkey = "o"\n\n[tool.ruff]\n'
    repo.commit({"pyproject.toml": text})
    repo.git("worktree", "add", "-q", "../other")
    done = confirm(repo, "--worktree", "../other")
    assert done.code == 0
    other = repo.path.parent / "other" / "pyproject.toml"
    assert other.read_text() == text.replace(
        "[tool.agentreview.facts.tenant]",
        '[tool.agentreview.facts]\nconfirmed_by = "dana@clinic.example"\n\n[tool.agentreview.facts.tenant]',
    )
    assert (repo.path / "pyproject.toml").read_text() == text
    assert f"git -C {other.parent} add pyproject.toml" in done.out


# ---- agentreview init, where there is a configuration


MINE = """\
# ours
block_at = "medium"   # strict

[facts.phi]
# the ones we know
models = ["Encounter"]

# who is kept from whom
[facts.tenant]
key = "org"
"""


def test_init_again_says_what_is_not_in_the_configuration_and_writes_nothing(repo: Any) -> None:
    repo.stage({**GOOD, "agentreview.toml": MINE})
    done = agentreview("init", cwd=repo.path)
    assert (done.code, done.err) == (0, "")
    assert (repo.path / "agentreview.toml").read_text() == MINE
    for part in (
        "agentreview.toml is there and stays as it is",
        "  audit.calls: audit_log (clinic/views.py:12)",
        "  phi.fields: mrn (clinic/models.py:7)",
        "not among the values it lists",
        "  phi.models: Patient (clinic/models.py:4)",
        "agentreview init --add writes what is not set",
    ):
        assert part in done.out, part
    assert "block_at" not in done.out


def test_init_add_adds_what_is_not_set_and_leaves_every_line(repo: Any) -> None:
    repo.stage({**GOOD, "agentreview.toml": MINE})
    done = agentreview("init", "--add", cwd=repo.path)
    assert (done.code, done.err) == (0, "")
    text = (repo.path / "agentreview.toml").read_text()
    rest = iter(text.split("\n"))
    assert all(line in rest for line in MINE.split("\n")), "every line is there, in its order"
    assert "calls = [\n  # clinic/views.py:12 audit_log(" in text
    repo.git("add", "-A")
    rows = facts(repo)["facts"]
    assert rows["phi.models"]["value"] == ["Encounter"], "a list that is there is a person's"
    assert rows["phi.fields"]["value"] == ["mrn"]
    assert rows["audit.calls"]["value"] == ["audit_log"]
    assert (rows["audit.calls"]["confirmed_by"], rows["tenant.key"]["value"]) == (None, "org")
    again = agentreview("init", "--add", cwd=repo.path)
    assert again.code == 0
    assert (repo.path / "agentreview.toml").read_text() == text
    assert "not set in it" not in again.out


def test_init_add_in_pyproject_with_dotted_keys_and_line_ends_of_windows(repo: Any) -> None:
    text = '[tool.agentreview]\r\nfacts.tenant.key = "org"   # one\r\n\r\n[tool.ruff]\r\nline-length = 100\r\n'
    repo.stage({**GOOD, "pyproject.toml": text})
    assert agentreview("init", "--add", cwd=repo.path).code == 0
    data = (repo.path / "pyproject.toml").read_bytes().decode()
    assert data.count("\n") == data.count("\r\n")
    rest = iter(data.split("\r\n"))
    assert all(line in rest for line in text.split("\r\n"))
    assert not (repo.path / "agentreview.toml").exists()
    repo.git("add", "-A")
    assert facts(repo)["facts"]["phi.fields"]["value"] == ["mrn"]


@pytest.mark.parametrize(
    ("args", "text", "says"),
    [
        (("--add",), None, "there is no configuration to add to"),
        (("--add", "--force"), MINE, "exclude each other"),
        (("--add",), 'facts = { tenant = { key = "org" } }\n', "Write it there yourself"),
        ((), "[facts]\nx = 1\n", "agentreview.toml:2"),
    ],
)
def test_what_init_cannot_do_is_one_line(repo: Any, args: tuple[str, ...], text: str | None, says: str) -> None:
    repo.stage(GOOD)
    if text is not None:
        repo.write({"agentreview.toml": text})
    done = agentreview("init", *args, cwd=repo.path)
    assert done.code == 2
    assert says in one_line(done.err)
    if text is not None:
        assert (repo.path / "agentreview.toml").read_text() == text


def test_what_init_wrote_can_be_confirmed_and_blocks(unscoped: Any) -> None:
    unscoped.commit({"clinic/views.py": ""})
    assert agentreview("init", cwd=unscoped.path).code == 0
    text = (unscoped.path / "agentreview.toml").read_text()
    written = text.replace('# key = "org_id"', 'key = "org"').replace('# isolation = "row"', 'isolation = "row"')
    (unscoped.path / "agentreview.toml").write_text(written)
    done = confirm(unscoped, "tenant")
    assert done.code == 0
    unscoped.commit({})
    unscoped.stage({"clinic/views.py": GOOD["clinic/views.py"].replace(", org=request.user.org", "")})
    done = agentreview(cwd=unscoped.path)
    assert done.code == 1
    assert SCOPE in done.out
