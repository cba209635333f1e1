"""What a receipt says, and that a file which says anything else is none."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import agentreview
from agentreview.canonical import canonical_json
from agentreview.git import open_repository
from agentreview.history import raw_entries
from agentreview.model import Decision, FileChange, Status, Waiver
from agentreview.receipts import (
    Context,
    Entry,
    bypass_statement,
    content_key,
    dsse,
    entries_of,
    identifier,
    parse,
    preauthenticated,
    seal,
    statement,
)
from agentreview.snapshot import range_snapshot
from factories import finding, run, skipped, verdict, waived

SCHEMAS = Path(agentreview.__file__).parent / "schemas"
BASE, TREE = "1" * 40, "2" * 40
OID, OTHER, ZERO = "a" * 40, "b" * 40, "0" * 40
CONTEXT = Context(person="Dana <dana@clinic.example>", at="2026-11-23T10:00:00Z", commit="c" * 40)
ENTRIES = (
    Entry("clinic/views.py", "100644", "100644", OID, OTHER),
    Entry("logo.png", "000000", "100644", ZERO, OTHER),
    Entry("vendor/x.js", "100644", "000000", OID, ZERO),
)
SKIPPED = (skipped("logo.png", "binary"), skipped("vendor/x.js", "excluded", "by exclude = 'vendor/'"))
VERDICT = verdict(
    finding(status=Status.ADVISORY),
    waived(waiver=Waiver(rule="r", path="w", line=1, reason="so", source="file", person="Lee", expires="2027-02-21")),
    runs=(run(),), skipped=SKIPPED, configuration="b2:00", configured_in="agentreview.toml",
)  # fmt: skip


def sealed(**changes: Any) -> bytes:
    return seal(statement(replace(VERDICT, **changes), ENTRIES, CONTEXT))


def test_a_receipt_is_read_as_it_was_written() -> None:
    data = sealed()
    receipt = parse(data)
    assert (receipt.base, receipt.tree, receipt.decision) == (BASE, TREE, "pass")
    assert (receipt.person, receipt.at, receipt.version) == (CONTEXT.person, CONTEXT.at, "0.1.0")
    assert (receipt.entries, receipt.key) == (ENTRIES, content_key(ENTRIES))
    assert (receipt.id, receipt.signed, receipt.bypass) == (identifier(data), False, "")
    assert receipt.expires == "2027-02-21"


def test_every_entry_of_the_listing_is_covered_by_name_and_says_how() -> None:
    rows = {row["path"]: row for row in parse(sealed()).statement["predicate"]["coverage"]}
    assert {path: (row["how"], row["why"]) for path, row in rows.items()} == {
        "clinic/views.py": ("reviewed", ""),
        "logo.png": ("opaque", "binary"),
        "vendor/x.js": ("excluded", "excluded: by exclude = 'vendor/'"),
    }
    assert rows["vendor/x.js"]["after"] is None
    assert rows["logo.png"]["after"] == {"mode": "100644", "oid": OTHER}


def test_it_says_what_judged_and_by_which_settings() -> None:
    predicate = parse(sealed()).statement["predicate"]
    assert predicate["configuration"] == {"digest": "b2:00", "file": "agentreview.toml", "gitTree": TREE}
    [agent] = predicate["agents"]
    assert (agent["agent"], agent["digest"], agent["model"], agent["prompt"]) == ("hipaa", "b2:00ff", None, None)
    elsewhere = statement(VERDICT, ENTRIES, replace(CONTEXT, settings=BASE))
    assert elsewhere["predicate"]["configuration"]["gitTree"] == BASE


def test_findings_are_named_with_what_was_done_about_them_and_no_code_travels() -> None:
    data = sealed()
    findings = parse(data).statement["predicate"]["findings"]
    assert [one["status"] for one in findings] == ["advisory", "waived"]
    assert findings[1]["waiver"]["person"] == "Lee"
    assert b"Patient.objects" not in data
    assert b"writes no audit entry" not in data


def test_it_is_a_statement_that_in_toto_tools_read() -> None:
    stated = json.loads(sealed())["statement"]
    assert stated["_type"] == "https://in-toto.io/Statement/v1"
    assert stated["predicateType"] == "urn:agentreview:receipt:1"
    assert stated["subject"] == [{"name": "tree", "digest": {"gitTree": TREE}}]
    envelope = dsse(parse(seal(stated, key="SHA256:x", signature="-----BEGIN SSH SIGNATURE-----\n")))
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    payload = base64.b64decode(envelope["payload"])
    assert json.loads(payload) == stated
    assert envelope["signatures"][0]["keyid"] == "SHA256:x"
    assert base64.b64decode(envelope["signatures"][0]["sig"]).startswith(b"-----BEGIN SSH")
    size = str(len(payload)).encode()
    assert preauthenticated(stated) == b"DSSEv1 28 application/vnd.in-toto+json " + size + b" " + payload


def test_a_bypass_is_no_review() -> None:
    stated = bypass_statement(BASE, TREE, ENTRIES, CONTEXT, reason="production is down", version="0.1.0", branch="main")
    receipt = parse(seal(stated))
    assert (receipt.decision, receipt.bypass, receipt.person) == ("unreviewed", "production is down", CONTEXT.person)
    assert {row["how"] for row in stated["predicate"]["coverage"]} == {"not reviewed"}


def test_every_kind_of_receipt_is_as_the_schema_that_is_shipped_says() -> None:
    validator = Draft202012Validator(json.loads((SCHEMAS / "receipt-1.schema.json").read_text()))
    validator.check_schema(validator.schema)
    stated = json.loads(sealed())["statement"]
    let_through = bypass_statement(BASE, TREE, ENTRIES, CONTEXT, reason="SEC-12", version="0.1.0", branch=None)
    for data in (
        sealed(),
        sealed(decision=Decision.BLOCK, branch="main", configured_in=None),
        seal(stated, key="SHA256:x", signature="-----BEGIN SSH SIGNATURE-----\n"),
        seal(let_through, note="no signing key is configured"),
    ):
        assert parse(data)
        assert [error.message for error in validator.iter_errors(json.loads(data))] == []
    assert not validator.is_valid({**json.loads(sealed()), "schema": "agentreview/receipt/2"})


def tampered(change: Any) -> bytes:
    """The receipt with one thing changed, written canonically again: what somebody would forge."""
    record = json.loads(sealed())
    change(record, record["statement"]["predicate"])
    return canonical_json(record)


@pytest.mark.parametrize(
    "change",
    [
        lambda r, p: r.update(schema="agentreview/receipt/2"),
        lambda r, p: r.update(standing="signed"),
        lambda r, p: r["statement"].update(_type="x"),
        lambda r, p: r["statement"].update(predicateType="x"),
        lambda r, p: r["statement"]["subject"][0]["digest"].update(gitTree=BASE),
        lambda r, p: p["result"].update(gitTree=BASE),
        lambda r, p: p["base"].update(gitTree="HEAD"),
        lambda r, p: p.update(change="0" * 64),
        lambda r, p: p.update(decision="perfect"),
        lambda r, p: p.update(decision="unreviewed"),
        lambda r, p: p.update(bypass={"reason": "x", "person": "y"}),
        lambda r, p: p["findings"][0].update(status="blocking"),
        lambda r, p: p["coverage"].pop(),
        lambda r, p: p["coverage"].reverse(),
        lambda r, p: p["coverage"].append(p["coverage"][0]),
        lambda r, p: p["coverage"][0]["after"].update(oid=OID),
        lambda r, p: p["coverage"][0].update(path=1),
        lambda r, p: p["coverage"][0].update(before=None, after=None),
        lambda r, p: p.update(at=1),
        lambda r, p: p.update(findings=None),
        lambda r, p: p.pop("agents") and p.pop("base"),
        lambda r, p: r.pop("statement"),
    ],
)
def test_what_does_not_hold_together_is_no_receipt(change: Any) -> None:
    with pytest.raises(ValueError):
        parse(tampered(change))


def test_the_same_thing_written_another_way_is_no_receipt() -> None:
    data = sealed()
    for other in (
        data + b"\n",
        json.dumps(json.loads(data)).encode(),
        data.replace(b"{", b"{ ", 1),
        b"",
        b"[]",
        b"null",
    ):
        with pytest.raises(ValueError):
            parse(other)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100), st.integers(0, 4000), st.integers(1, 255))
def test_no_bytes_make_reading_one_fail_in_another_way(noise: bytes, at: int, flip: int) -> None:
    data = bytearray(sealed())
    data[at % len(data)] ^= flip
    for candidate in (bytes(data), noise, b"[" * 5000):
        with suppress(ValueError):
            assert parse(candidate).decision in {"pass", "block", "unreviewed"}


# -- the content key


def test_the_key_is_that_of_paths_modes_and_contents_on_both_sides_in_any_order() -> None:
    key = content_key(ENTRIES)
    assert content_key(reversed(ENTRIES)) == key
    first = ENTRIES[0]
    for changed in (
        replace(first, path="clinic/view.py"),
        replace(first, new_mode="100755"),
        replace(first, old_oid=OTHER),
        replace(first, new_oid=OID),
    ):
        assert content_key((changed, *ENTRIES[1:])) != key


def test_a_rename_has_the_key_of_a_file_that_goes_and_one_that_comes() -> None:
    renamed = FileChange(
        path="b", old_path="a", status="R", old_mode="100644", new_mode="100755", old_oid=OID, new_oid=OTHER
    )
    assert entries_of([renamed]) == (
        Entry("a", "100644", "000000", OID, ZERO),
        Entry("b", "000000", "100755", ZERO, OTHER),
    )


def test_the_entries_of_a_snapshot_are_gits_own_listing(repo: Any) -> None:
    repo.commit({"gone": "1", "moved from": "m\n" * 20, "same": "s", "mode": "x", "new\nline": "1", "dir/file": "1"})
    (repo.path / "moved from").rename(repo.path / "moved to")
    (repo.path / "mode").chmod(0o755)
    (repo.path / "gone").unlink()
    (repo.path / "dir/file").unlink()
    (repo.path / "dir").rmdir()
    (repo.path / "dir").symlink_to("same")
    repo.commit({"new\nline": "2", b"caf\xe9".decode("utf-8", "surrogateescape"): "latin-1 name"})
    here = open_repository(str(repo.path))
    snapshot = range_snapshot(here, "HEAD^..HEAD")
    pair = (snapshot.base, snapshot.tree)
    again = ("4b825dc642cb6eb9a060e54bf8d69288fbee4904", snapshot.tree)
    listed = raw_entries(here, [pair, again, (pair[0], pair[0]), pair])
    assert listed[0] == listed[3] == entries_of(snapshot.changes)
    assert listed[2] == ()
    assert {entry.old_mode for entry in listed[1]} == {"000000"}
    receipt = parse(seal(statement(verdict(base=pair[0], tree=pair[1]), listed[0], CONTEXT)))
    assert receipt.entries == listed[0]


def test_a_blocked_review_has_a_receipt_too() -> None:
    receipt = parse(seal(statement(verdict(finding()), ENTRIES, CONTEXT)))
    assert receipt.decision == Decision.BLOCK.value
