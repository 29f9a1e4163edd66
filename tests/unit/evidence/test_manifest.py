"""A seal says what is in a change folder, and keeps every seal before it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest

from private_s3.errors import BadInput, CheckFailed
from private_s3.evidence import manifest, report
from private_s3.folder import write_json
from private_s3.journal import Journal, lock
from private_s3.plan import Change, Plan
from private_s3.record import Check, Record
from tests.support import readings as worlds

ACCESS_KEY = "AKIA" + "QXPLANTED0000001"
CHANGE = Change("bucket/b", "policy", None, "x")
PLAN = Plan("rehearsal", worlds.ACCOUNT, worlds.REGION, (CHANGE,))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A change that was planned, approved and begun, without reports."""
    monkeypatch.setattr(report, "write", lambda folder: None)
    planning = Record(worlds.parameters(changes_dir=str(tmp_path)), "20_x")
    planning.approved(PLAN, {})
    planning.require([Check.of("fine", True)])
    planning.journal.append("approved", plan=PLAN.digest, by="somebody", ticket="T-1")
    approved = worlds.parameters(changes_dir=str(tmp_path), approved_plan=PLAN.digest)
    with Record(approved, "20_x").write("Put", {}, "-", [("bucket/b", "policy")], "arn") as outcome:
        outcome.request_id = "1"
    return planning.folder


def notebook(path: Path, text: str = "fine", **metadata: Any) -> None:
    output: Any = nbformat.v4.new_output("stream", text=text)  # type: ignore[no-untyped-call]
    picture = nbformat.v4.new_output(  # type: ignore[no-untyped-call]
        "display_data", {"image/png": ACCESS_KEY}
    )
    cell = nbformat.v4.new_code_cell("x", outputs=[output, picture])  # type: ignore[no-untyped-call]
    made = nbformat.v4.new_notebook(cells=[cell], metadata=metadata)  # type: ignore[no-untyped-call]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(made, path)  # type: ignore[no-untyped-call]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_seal_lists_every_file_with_hash_and_size(folder: Path) -> None:
    (folder / ".hidden").write_bytes(b"12345")
    sealed = manifest.seal(folder)
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == {*sealed["files"], "manifest.json"}
    assert sealed["files"][".hidden"] == {"sha256": sha256(b"12345"), "size": 5}
    assert sealed["files"] == manifest.files(folder)
    assert json.loads((folder / "manifest.json").read_text()) == sealed


def test_a_seal_tells_the_change(folder: Path) -> None:
    sealed = manifest.seal(folder)
    assert sealed["change"] == {
        "id": "rehearsal",
        "state": "begun",
        "ticket": worlds.parameters().ticket,
        "note": worlds.parameters().note,
        "region": worlds.REGION,
        "bucket": worlds.parameters().bucket,
        "account": worlds.ACCOUNT,
    }
    assert sealed["plans"] == {"shown": [PLAN.digest], "carried out": [PLAN.digest]}
    (approval,) = sealed["approvals"]
    assert (approval["by"], approval["ticket"], approval["plan"]) == (
        "somebody",
        "T-1",
        PLAN.digest,
    )
    assert sealed["callers"] == ["arn"]
    assert sealed["checks"] == [{"pass": "plan", "step": "20_x", "name": "fine", "state": "PASS"}]
    (run,) = sealed["runs"]
    assert run["versions"]["python"]
    assert not run["failed"]
    assert sealed["started"] == run["started"] <= sealed["ended"] <= sealed["sealed"]


def test_a_seal_has_the_hash_of_every_line_of_the_journal(folder: Path) -> None:
    lines = (folder / "journal.jsonl").read_bytes().splitlines()
    sealed = manifest.seal(folder)["journal"]
    assert sealed["lines"] == [sha256(line) for line in lines]
    assert sealed["head"] == json.loads((folder / "journal.head").read_text())["hash"]


def test_what_is_sealed_and_unchanged_is_not_sealed_again(folder: Path) -> None:
    sealed = manifest.seal(folder)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.json")}
    assert manifest.seal(folder) == sealed
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.json")} == before


def test_an_earlier_seal_is_kept_and_listed_by_the_next(folder: Path) -> None:
    first = manifest.seal(folder)
    (folder / "manifest.json.sig").write_text("signature")
    Journal(folder).append("approved", plan=PLAN.digest, by="another", ticket="")
    second = manifest.seal(folder)
    assert manifest.read(folder / "seals/0001.json") == first
    assert (folder / "seals/0001.json.sig").read_text() == "signature"
    assert not (folder / "manifest.json.sig").exists()
    assert {"seals/0001.json", "seals/0001.json.sig"} <= {*second["files"]}
    assert second["findings"] == []
    Journal(folder).append("approved", plan=PLAN.digest, by="a third", ticket="")
    assert "seals/0002.json" in manifest.seal(folder)["files"]


@pytest.mark.parametrize("name", [f"plans/{PLAN.digest}.json", "seals/0001.json"])
@pytest.mark.parametrize("lost", [True, False])
def test_what_was_altered_since_the_last_seal_is_named_by_every_later_one(
    name: str, lost: bool, folder: Path
) -> None:
    manifest.seal(folder)
    write_json(folder / "facts/plan/30_x.json", {})
    before = manifest.seal(folder)
    if lost:
        (folder / name).unlink()
    else:
        (folder / name).write_text("altered")
    found = [f"{name} was altered or lost since the seal of {before['sealed']}"]
    assert manifest.seal(folder)["findings"] == found
    write_json(folder / "facts/plan/40_x.json", {})
    assert manifest.seal(folder)["findings"][:1] == found


def test_a_journal_may_grow_and_nothing_else(folder: Path) -> None:
    path, head = folder / "journal.jsonl", folder / "journal.head"
    before = manifest.seal(folder)
    shutil.copy(path, folder / "kept")
    path.write_bytes(path.read_bytes().replace(b"somebody", b"somebodY"))
    head.unlink()
    (finding,) = manifest.seal(folder)["findings"]
    assert finding == f"journal.jsonl was altered or lost since the seal of {before['sealed']}"


def test_facts_and_reports_may_change(folder: Path) -> None:
    manifest.seal(folder)
    write_json(folder / "facts/plan/20_x.json", {"checks": []})
    (folder / "report.html").write_text("another")
    assert manifest.seal(folder)["findings"] == []


def test_the_locks_are_empty_when_nobody_holds_them(folder: Path) -> None:
    (folder / "write.lock").write_text("process 1, killed")
    sealed = manifest.seal(folder)
    assert {sealed["files"][f"{name}.lock"]["size"] for name in ("run", "write")} == {0}
    assert sealed["files"] == manifest.files(folder)


def test_a_folder_at_work_is_not_sealed(folder: Path) -> None:
    with lock(folder, "run.lock", "run"), pytest.raises(CheckFailed, match="another run"):
        manifest.seal(folder)


def test_notebooks_are_cleaned_before_they_are_sealed_and_never_after(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, cut = folder / "plan/10_x.ipynb", folder / "apply/10_x.ipynb"
    several = "-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----"
    paths = {
        "input_path": "/somewhere/else/10_x.ipynb",
        "output_path": str(Path("a/b.ipynb").resolve()),
    }
    notebook(first, f"says {ACCESS_KEY}\n{several}", papermill=paths)
    cut.parent.mkdir()
    cut.write_text('{"cells": [{"source": "' + ACCESS_KEY)
    manifest.seal(folder)
    text = first.read_text()
    assert "says [withheld: access key]" in text
    assert "planted" not in text
    assert text.count(ACCESS_KEY) == 1  # a picture is no text
    about = json.loads(text)["metadata"]["papermill"]
    assert about == {"input_path": "10_x.ipynb", "output_path": "a/b.ipynb"}
    assert ACCESS_KEY not in cut.read_text()
    monkeypatch.setenv("A_TOKEN", "withheld: access")
    write_json(folder / "facts/plan/30_x.json", {})
    assert manifest.seal(folder)["findings"] == []
    assert first.read_text() == text


def test_an_interrupted_sealing_goes_on_from_the_seal_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = manifest.seal(folder)
    (folder / f"plans/{PLAN.digest}.json").write_text("altered")
    with monkeypatch.context() as broken:
        broken.setattr(manifest, "write_json", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            manifest.seal(folder)
    assert manifest.load(folder) == before
    assert len(manifest.seal(folder)["findings"]) == 1


def test_a_sealing_that_ends_between_seal_and_signature_parts_them_for_no_longer_than_that(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = manifest.seal(folder)
    (folder / "manifest.json.sig").write_text("signature")
    Journal(folder).append("approved", plan=PLAN.digest, by="another", ticket="")
    moved, replace = [], Path.replace

    def once(path: Path, target: Path) -> Path:
        if target.parent.name == "seals" and moved:
            raise KeyboardInterrupt
        moved.extend([target] if target.parent.name == "seals" else [])
        return replace(path, target)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", once)
        with pytest.raises(KeyboardInterrupt):
            manifest.seal(folder)
    manifest.seal(folder)
    assert manifest.read(folder / "seals/0001.json") == first
    assert (folder / "seals/0001.json.sig").read_text() == "signature"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other", "files": {}}'])
def test_what_is_no_manifest_is_refused(text: str, folder: Path) -> None:
    manifest.seal(folder)
    (folder / "manifest.json").write_text(text)
    with pytest.raises(CheckFailed, match="no manifest"):
        manifest.load(folder)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BadInput, match="Could not read the change folder"):
            manifest.seal(path)


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    (folder / "link").symlink_to(tmp_path / "outside")
    sealed = manifest.seal(folder)["files"]["link"]
    (tmp_path / "outside").write_text("y")
    assert manifest.files(folder)["link"] == sealed


@pytest.mark.parametrize("facts", [7, [], {"checks": [7], "run": 7}, {"checks": {}, "run": []}])
def test_what_has_lost_its_form_is_sealed_all_the_same(facts: Any, folder: Path) -> None:
    write_json(folder / "facts/plan/30_x.json", facts)
    with (folder / "journal.jsonl").open("ab") as journal:
        journal.write(b'7\n{"event": 7}\n{"event": "approved"}\n')
    sealed = manifest.seal(folder)
    assert "facts/plan/30_x.json" in sealed["files"]
    assert len(sealed["approvals"]) == 1
