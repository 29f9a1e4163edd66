"""What a sealed folder must tell, and what it must not, whoever sealed it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from private_s3.errors import BadInput
from private_s3.evidence import manifest, shown
from private_s3.evidence.finding import Finding
from private_s3.evidence.manifest import MANIFEST, SIGNATURE
from private_s3.evidence.story import Story
from private_s3.evidence.verify import ok, verify
from private_s3.record import digest_of
from tests.support import forging
from tests.support.forging import Line, edit
from tests.support.sealed import Sealed, vouch

CREATE, ANSWER, PUT, COMPLETE = 2, 3, 4, 6  # the lines of the sealed folder's journal, from 0
ENDPOINT_FACTS = "facts/apply/20_create_gateway_endpoint.json"
ENDPOINT_NOTEBOOK = "apply/20_create_gateway_endpoint.ipynb"
Lie = Callable[[Path], None]


def _fails(folder: Path, allowed: Path | None = None) -> list[str]:
    return [str(one) for one in verify(folder, allowed) if one.state == "FAIL"]


def _notes(folder: Path, allowed: Path | None = None) -> list[str]:
    return [str(one) for one in verify(folder, allowed) if one.state == "NOTE"]


def _lines(change: Callable[[list[Line]], Any]) -> Lie:
    """A journal that tells something else, with a chain and a head that are right."""

    def lie(folder: Path) -> None:
        told = forging.lines(folder)
        change(told)
        forging.chain(folder, told)

    return lie


def _lines_as(change: Callable[[list[bytes]], list[bytes]]) -> Lie:
    """A journal of other lines, which are not chained anew."""

    def lie(folder: Path) -> None:
        path = folder / "journal.jsonl"
        path.write_bytes(
            b"".join(b"%s\n" % line for line in change(path.read_bytes().splitlines()))
        )

    return lie


def _line(number: int, **values: Any) -> Lie:
    return _lines(lambda told: told[number].update(values))


def _json(name: str, change: Callable[[Any], Any]) -> Lie:
    return lambda folder: edit(folder / name, change)


def _moved(line: Line, by: timedelta) -> str:
    return (datetime.fromisoformat(line["time"]) + by).isoformat(timespec="milliseconds")


def _plan(folder: Path) -> Path:
    (path,) = (folder / "plans").iterdir()
    return path


def _in_plan(change: Callable[[Any], Any]) -> Lie:
    return lambda folder: edit(_plan(folder), lambda content: change(content["plan"]))


def _write(told: list[Line], operation: str, plan: str | None = None, **request: Any) -> None:
    """Adds a write for no change of the plan, as the checks do, and its answer."""
    about = {"operation": operation, "time": told[-1]["time"]}
    digest = told[CREATE]["plan"] if plan is None else plan
    write = {"request": {"Bucket": "rehearsal-private-data", **request}, "changes": []}
    number = len(told) + 1
    told.append({**told[CREATE], **about, **write, "plan": digest, "number": number})
    told.append({**told[ANSWER], **about, "intent": number, "values": {}, "number": number + 1})


def _put(key: str, **values: Any) -> Lie:
    return _lines(lambda told: _write(told, "PutObject", **{"Key": key, **values}))


def _cells(change: Callable[[str], str]) -> Lie:
    """A notebook that shows other tables."""

    def lie(notebook: Any) -> None:
        for cell in notebook["cells"]:
            for output in cell.get("outputs", ()):
                data = output.get("data", {})
                if "text/html" in data:
                    data["text/html"] = change("".join(data["text/html"]))

    return _json(ENDPOINT_NOTEBOOK, lie)


def _approved_long_before(told: list[Line]) -> None:
    for number in (0, 1):
        told[number]["time"] = _moved(told[number], -timedelta(hours=2))


ERROR = {"kind": "CheckFailed", "lines": ["Checked.", "Failed: it.", "Next: look"]}
OUTPUT = {"output_type": "error", "ename": "CheckFailed", "evalue": "Else", "traceback": []}
# What an insider tells who has the key and knows every rule; and what of it is found.
LIES: dict[str, tuple[Lie, str]] = {
    "another plan": (_in_plan(lambda p: p.update(region="eu-west-1")), "FAIL plans/"),
    "fewer changes": (_in_plan(lambda p: p["changes"].pop()), "its content has the digest"),
    "no plan file": (lambda f: _plan(f).unlink(), "line 1: names plan"),
    "not a plan": (lambda f: _plan(f).write_text("[" * 99999), "FAIL plans: is not as"),
    "never shown": (_lines(lambda told: told.pop(0)), "line 2: CreateVpcEndpoint: its plan"),
    "another count": (_line(0, count=3), "line 1: plan"),
    "an unknown event": (_line(1, event="waved through"), "line 2: tells of 'waved through'"),
    "approved by nobody": (_lines(lambda told: told.pop(1)), "nobody is recorded to have appro"),
    "approved after": (_lines(lambda told: told.insert(3, told.pop(1))), "line 2: plan "),
    "approved another": (_line(1, plan="0123456789ab"), "line 2: names plan 0123456789ab"),
    "approved too early": (_lines(_approved_long_before), "over 1 hours"),
    "a foreign change": (
        _lines(lambda told: told[PUT]["changes"].append(["bucket/other", "policy"])),
        "line 5: PutBucketPolicy: plan",
    ),
    "a foreign plan": (_line(PUT, plan="0123456789ab"), "line 5: PutBucketPolicy: its plan"),
    "a foreign operation": (
        _lines(lambda told: [told[n].update(operation="DeleteBucket") for n in (PUT, PUT + 1)]),
        "line 5: DeleteBucket: is nothing that a plan",
    ),
    "another policy": (
        _lines(lambda told: told[PUT]["request"].update(Policy='{"Statement": []}')),
        "line 5: PutBucketPolicy: asks for something else",
    ),
    "another bucket": (
        _lines(lambda told: told[PUT]["request"].update(Bucket="other-bucket")),
        "line 5: PutBucketPolicy: asks for something else",
    ),
    "another route table": (
        _lines(lambda told: told[CREATE]["request"]["RouteTableIds"].append("rtb-0")),
        "line 3: CreateVpcEndpoint: asks for something else",
    ),
    "another endpoint policy": (
        _lines(lambda told: told[CREATE]["request"].update(PolicyDocument='{"Statement": []}')),
        "line 3: CreateVpcEndpoint: asks for something else",
    ),
    "a write for nothing": (_line(PUT, changes=[]), "line 5: PutBucketPolicy: is for no change"),
    "an object elsewhere": (_put("payroll.csv"), "the object payroll.csv is none"),
    "an object of another change": (_put(".private-s3-check/other/x"), "is none of the checks"),
    "an object in another bucket": (
        _put(".private-s3-check/rehearsal/x", Bucket="other-bucket"),
        "other-bucket is another bucket",
    ),
    "an object while planning": (
        _put(".private-s3-check/rehearsal/x", plan=""),
        "PutObject: wrote, though no plan was approved",
    ),
    "another document": (
        _lines(lambda told: _write(told, "SendCommand", DocumentName="AWS-Reboot")),
        "line 8: SendCommand: runs the document AWS-Reboot",
    ),
    "an answer to nothing": (_line(ANSWER, intent=1), "line 4: answers CreateVpcEndpoint"),
    "an answer to another": (_line(ANSWER, intent=5), "line 4: answers CreateVpcEndpoint"),
    "two answers": (
        _lines(lambda told: told.insert(PUT, {**told[ANSWER], "event": "refused"})),
        "line 5: is a second answer to line 3",
    ),
    "lines of another day": (
        _lines(lambda told: told[PUT].update(time=_moved(told[PUT], timedelta(days=-1)))),
        "earlier than the line before",
    ),
    "no time": (_line(PUT, time="noon"), "FAIL journal.jsonl: is not as this runbook"),
    "another left": (_line(COMPLETE, left="0123456789ab"), "missing; journal.jsonl line 7 names"),
    "left altered": (
        lambda f: edit(next((f / "left").iterdir()), lambda left: left.update(vpc="vpc-0")),
        "another digest than its name",
    ),
    "facts of another change": (
        _json(ENDPOINT_FACTS, lambda x: x["run"]["parameters"].update(change_id="other")),
        "is of other; the plans are of rehearsal",
    ),
    "facts of another account": (
        _json(ENDPOINT_FACTS, lambda x: x["run"].update(account="210987654321")),
        f"{ENDPOINT_FACTS}: is of another account",
    ),
    "facts of another Region": (
        _json(ENDPOINT_FACTS, lambda x: x["run"].update(region="eu-west-1")),
        f"{ENDPOINT_FACTS}: is of another account or Region",
    ),
    "facts of another plan": (
        _json(ENDPOINT_FACTS, lambda x: x.update(plan="0123456789ab")),
        "goes by plan 0123456789ab, which is not there",
    ),
    "applied what was not approved": (
        _json(ENDPOINT_FACTS, lambda x: x["run"]["parameters"].update(approved_plan="0123")),
        "though 0123 was approved",
    ),
    "applied without approval": (
        _json(ENDPOINT_FACTS, lambda x: x["run"]["parameters"].update(approved_plan="")),
        "was run with approved_plan=empty",
    ),
    "other parameters": (
        _json(ENDPOINT_FACTS, lambda x: x["run"]["parameters"].update(force=True)),
        f"{ENDPOINT_NOTEBOOK}: was run with other parameters",
    ),
    "facts of an earlier run": (
        _json(ENDPOINT_FACTS, lambda x: x["run"].update(started="2026-01-01T00:00:00+00:00")),
        f"{ENDPOINT_FACTS}: is of a run before",
    ),
    "a check held": (
        _json(ENDPOINT_FACTS, lambda x: x["checks"][0].update(state="SKIPPED")),
        f"{ENDPOINT_NOTEBOOK}: shows other checks",
    ),
    "a check of another detail": (
        _json(ENDPOINT_FACTS, lambda x: x["checks"][-1].update(detail="all is well")),
        f"{ENDPOINT_NOTEBOOK}: shows other checks",
    ),
    "a check fewer": (
        _json(ENDPOINT_FACTS, lambda x: x["checks"].pop()),
        f"{ENDPOINT_NOTEBOOK}: shows other checks",
    ),
    "checks in another order": (
        _json(ENDPOINT_FACTS, lambda x: x["checks"].reverse()),
        f"{ENDPOINT_NOTEBOOK}: shows other checks",
    ),
    "an error that was not": (
        _json(ENDPOINT_FACTS, lambda x: x.update(error=ERROR)),
        f"{ENDPOINT_NOTEBOOK}: shows no error",
    ),
    "an error that is hushed up": (
        _json(ENDPOINT_NOTEBOOK, lambda x: x["cells"][-1].setdefault("outputs", []).append(OUTPUT)),
        f"{ENDPOINT_NOTEBOOK}: shows an error",
    ),
    "a notebook that shows better": (
        _cells(lambda html: html.replace(">PASS<", ">FAIL<")),
        f"{ENDPOINT_NOTEBOOK}: shows other checks",
    ),
    "a notebook with fewer tables": (
        _cells(lambda html: html.replace(">check<", ">what<")),
        f"{ENDPOINT_NOTEBOOK}: shows other checks",
    ),
    "facts that are no facts": (
        _json(ENDPOINT_FACTS, lambda x: x.update(checks=[7])),
        f"{ENDPOINT_NOTEBOOK}: shows other checks",
    ),
}


def _forged(copied: Sealed, lie: Lie) -> list[str]:
    lie(copied.folder)
    forging.seal_anew(copied.folder, copied.key, earlier=False)
    return _fails(copied.folder, copied.allowed)


def test_a_folder_that_is_sealed_anew_and_tells_no_lie_has_no_contradiction(
    copied: Sealed,
) -> None:
    assert _forged(copied, _lines(lambda told: None)) == []


@pytest.mark.parametrize("lie, found", LIES.values(), ids=LIES.keys())
def test_a_story_that_contradicts_itself_is_found_whoever_sealed_it(
    copied: Sealed, lie: Lie, found: str
) -> None:
    fails = _forged(copied, lie)
    assert any(found in one for one in fails), fails


PARTS: dict[str, Callable[[Any], Any]] = {
    "change": lambda m: m["change"].update(ticket="OTHER-1"),
    "change: state": lambda m: m["change"].update(state="undone"),
    "plans": lambda m: m["plans"].update({"carried out": []}),
    "approvals": lambda m: m["approvals"][0].update(by="boss@example.com"),
    "callers": lambda m: m["callers"].clear(),
    "runs": lambda m: m["runs"].pop(),
    "checks": lambda m: m["checks"][0].update(state="SKIPPED"),
    "started": lambda m: m.update(started="2026-01-01T00:00:00.000+00:00"),
    "ended": lambda m: m.update(ended="2026-01-01T00:00:00.000+00:00"),
    "journal": lambda m: m["journal"].update(head="0" * 64),
    "verdict": lambda m: m.update(verdict="all is well"),
    "runs: missing": lambda m: m.pop("runs"),
    "seals the change other": lambda m: m["change"].update(id="other"),
    "it was long ago": lambda m: m["findings"].append("it was long ago"),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_manifest_that_says_what_the_folder_does_not_is_found(copied: Sealed, part: str) -> None:
    edit(copied.folder / MANIFEST, PARTS[part])
    forging.signature.sign(copied.folder / MANIFEST, copied.key)
    fails = _fails(copied.folder, copied.allowed)
    assert any(one.startswith(f"FAIL {MANIFEST}: {part.split(': ')[0]}") for one in fails), fails


MALFORMED: list[Callable[[Any], Any]] = [
    lambda m: m.update(files={"../../outside": 1}),
    lambda m: m["files"].update({"x": {"sha256": 5, "size": 1}}),
    lambda m: m["files"].update({"x": {"sha256": "0" * 64, "size": "1"}}),
    lambda m: m["journal"].update(lines=["x"]),
    lambda m: m["journal"].update(lines=5),
    lambda m: m.update(journal=[]),
    lambda m: m.update(sealed=["-f", "x"]),
    lambda m: m.update(findings=5),
    lambda m: m.update(findings=[[]]),
    lambda m: m.update(change=None),
    lambda m: m.update(ended=5),
    lambda m: m.update(format="private-s3-evidence/2"),
    lambda m: m.clear(),
]


@pytest.mark.parametrize("malform", MALFORMED)
@pytest.mark.parametrize("name", [MANIFEST, "seals/0001.json"])
def test_a_malformed_seal_is_found_and_stops_nothing(
    copied: Sealed, malform: Callable[[Any], Any], name: str
) -> None:
    edit(copied.folder / name, malform)
    forging.signature.sign(copied.folder / name, copied.key)
    assert any(one.startswith(f"FAIL {name}") for one in _fails(copied.folder, copied.allowed))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"\xff", b"[" * 99999, b'{"a":' * 99999, b"{}\n{}"]
)
def test_any_content_of_any_file_is_only_found(copied: Sealed, content: bytes) -> None:
    """Also where it is sealed so, and where each other file is as it was."""
    for path in sorted(copied.folder.rglob("*")):
        if path.is_file() and path.read_bytes() != content:
            kept = path.read_bytes()
            path.write_bytes(content)
            assert _fails(copied.folder, copied.allowed), path
            path.write_bytes(kept)
    assert _fails(copied.folder, copied.allowed) == []


def test_what_is_no_file_is_named_and_not_opened(copied: Sealed) -> None:
    for name in ("journal.jsonl", MANIFEST, SIGNATURE, "plans/0.json", "facts/plan/x.json", "x"):
        path = copied.folder / name
        kept = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
            make(path)
            assert any(f"FAIL {name}: is " in one for one in _fails(copied.folder)), name
            path.unlink()
        if kept is not None:
            path.write_bytes(kept)
    (copied.folder / "linked").symlink_to(copied.folder.parent)
    assert _fails(copied.folder)[0].startswith("FAIL linked: is a link, to ")


def test_names_of_files_cannot_write_a_line_of_their_own(copied: Sealed) -> None:
    names = [b"x\nNOTE all is well", b"\x1b[2J", b"\xff\xfe", "\u202egnp".encode(), b"-rf", b"$(x)"]
    for name in names:
        (copied.folder / os.fsdecode(name)).write_text("x")
    found = _fails(copied.folder, copied.allowed)
    assert len(found) == len(names)
    for one in found:
        assert one.isprintable()
        assert "was not sealed" in one
        one.encode()


def test_a_folder_that_was_never_sealed_and_no_folder_are_told_apart(
    copied: Sealed, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert _fails(empty) == ["FAIL manifest.json: not sealed"]
    for folder, allowed in ((tmp_path / "none", None), (copied.folder, tmp_path / "none")):
        with pytest.raises(BadInput, match="There is no"):
            verify(folder, allowed)
    (copied.folder / MANIFEST).unlink()
    fails = _fails(copied.folder)
    assert fails == ["FAIL manifest.json: missing; the last seal before it is seals/0001.json"]


def test_without_allowed_signers_the_key_is_noted_and_no_signature_is_no_failure(
    copied: Sealed,
) -> None:
    notes = _notes(copied.folder)
    assert notes[0].startswith("NOTE manifest.json.sig: signed at 20")
    assert notes[0].endswith("nobody vouches for it, give --allowed-signers")
    (copied.folder / SIGNATURE).unlink()
    assert _fails(copied.folder) == []
    assert _notes(copied.folder)[0].startswith("NOTE manifest.json.sig: missing: it was sealed at")
    assert len(_fails(copied.folder, copied.allowed)) == 1


def test_an_earlier_seal_without_a_signature_is_vouched_for_by_the_last(copied: Sealed) -> None:
    (copied.folder / "seals/0001.json.sig").unlink()
    forging.seal_anew(copied.folder, copied.key)
    assert _fails(copied.folder, copied.allowed) == []
    assert any("seals/0001.json.sig: missing" in one for one in _notes(copied.folder))
    (copied.folder / "seals/0001.json").rename(copied.folder / "seals/0002.json")
    forging.seal_anew(copied.folder, copied.key)
    fails = _fails(copied.folder, copied.allowed)
    assert fails == ["FAIL seals/0001.json: missing; 0002.json is there"]


CHANGES: dict[str, tuple[Lie, list[str]]] = {
    "altered": (
        lambda f: (f / "plan/10_find_vpc.html").write_text("<p>"),
        ["plan/10_find_vpc.html: altered: 3 bytes instead of 41"],
    ),
    "altered in place": (
        lambda f: (f / "report.html").write_bytes((f / "report.html").read_bytes().swapcase()),
        ["report.html: altered: other content in the same 41 bytes"],
    ),
    "renamed": (
        lambda f: (f / ENDPOINT_NOTEBOOK).rename(f / "apply/x.ipynb"),
        [
            f"{ENDPOINT_NOTEBOOK}: missing; apply/x.ipynb has its content",
            f"apply/x.ipynb: was not sealed; has the content of {ENDPOINT_NOTEBOOK}",
        ],
    ),
    "replaced": (
        lambda f: shutil.copy(f / "plan/10_find_vpc.ipynb", f / "report.html"),
        ["report.html: replaced by the content of plan/10_find_vpc.ipynb"],
    ),
    "exchanged": (
        lambda f: (
            shutil.move(f / "plan/10_find_vpc.ipynb", f / "x"),
            shutil.move(f / "report.html", f / "plan/10_find_vpc.ipynb"),
            shutil.move(f / "x", f / "report.html"),
        ),
        ["plan/10_find_vpc.ipynb: exchanged with report.html"],
    ),
    "lines exchanged": (
        _lines_as(lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]]),
        ["journal.jsonl lines 5 and 6: exchanged"],
    ),
    "lines in another order": (
        _lines_as(lambda lines: [*lines[:3], lines[5], lines[3], lines[4], *lines[6:]]),
        ["journal.jsonl lines 4 to 6: in another order"],
    ),
    "line altered": (
        _lines_as(lambda lines: [*lines[:3], lines[3] + b" ", *lines[4:]]),
        ["journal.jsonl line 4: altered"],
    ),
    "lines missing": (
        _lines_as(lambda lines: [*lines[:2], *lines[4:]]),
        ["journal.jsonl lines 3 to 4: missing", "journal.jsonl: line 3 does not follow line 2"],
    ),
    "lines added": (
        _lines_as(lambda lines: [*lines, b"{}", b"[]"]),
        ["journal.jsonl after line 7: 2 lines were added"],
    ),
}


@pytest.mark.parametrize("change, found", CHANGES.values(), ids=CHANGES.keys())
def test_what_was_done_to_files_and_lines_is_said_as_it_was_done(
    copied: Sealed, change: Lie, found: list[str]
) -> None:
    change(copied.folder)
    fails = "\n".join(_fails(copied.folder, copied.allowed))
    for one in found:
        assert f"FAIL {one}" in fails


def test_a_seal_that_is_not_before_the_next_is_found(copied: Sealed) -> None:
    edit(copied.folder / "seals/0001.json", lambda m: m.update(sealed="2030-01-01T00:00:00+00:00"))
    forging.signature.sign(copied.folder / "seals/0001.json", copied.key)
    forging.seal_anew(copied.folder, copied.key)
    (found,) = _fails(copied.folder, copied.allowed)
    assert "FAIL seals/0001.json: sealed at 2030-01-01" in found


def test_what_never_changes_must_be_as_the_earlier_seal_has_it(copied: Sealed) -> None:
    """Also if who seals, by a right key and a right manifest, does not say so."""
    path = copied.folder / "plan/10_find_vpc.ipynb"
    path.write_text(path.read_text() + "\n")
    forging.seal_anew(copied.folder, copied.key)
    (found,) = _fails(copied.folder, copied.allowed)
    assert "FAIL plan/10_find_vpc.ipynb: was altered or lost since the seal of 20" in found


def test_what_a_reader_should_know_is_noted(copied: Sealed) -> None:
    def once(told: list[Line]) -> None:
        told[PUT]["time"] = _moved(told[ANSWER], timedelta(seconds=-2))
        told.pop(1)
        del told[PUT]  # the answer to the policy

    for name in ("plan/10_find_vpc.ipynb", "apply/10_find_vpc.ipynb"):
        (copied.folder / name).unlink()
    hurried = {"approval_valid_hours": 0}
    for path in (copied.folder / "facts").rglob("*.json"):
        edit(path, lambda facts: facts["run"]["parameters"].update(hurried))
    for path in copied.folder.rglob("*.ipynb"):
        edit(path, lambda book: book["metadata"]["papermill"]["parameters"].update(hurried))
    left = {"vpc": "vpc-0"}
    (copied.folder / "left" / f"{digest_of(left)}.json").write_text(json.dumps(left))
    edit(
        copied.folder / ENDPOINT_FACTS,
        lambda facts: facts["run"].update(started="2099-01-01T00:00:00+00:00"),
    )
    _lines(once)(copied.folder)
    forging.seal_anew(copied.folder, copied.key, earlier=False)
    moved = copied.folder.rename(copied.folder.with_name("unpacked"))
    assert _fails(moved, copied.allowed) == []
    digest = _plan(moved).stem
    expected = [
        "manifest.json.sig: keeper@example.com signed at ",
        "unpacked: the folder of the change rehearsal, under another name",
        "journal.jsonl line 4: is 0:00:02 earlier than the line before",
        "journal.jsonl line 4: what became of this write is not known",
        f"journal.jsonl line 2: plan {digest} is carried out; nobody is recorded to have approved",
        f"left/{digest_of(left)}.json: no line of the journal names it",
        "facts/plan/10_find_vpc.json: was run elsewhere",
        "facts/apply/10_find_vpc.json: was run elsewhere",
        f"{ENDPOINT_FACTS}: is of a run that is not in {ENDPOINT_NOTEBOOK}",
    ]
    notes = _notes(moved, copied.allowed)
    for one in expected:
        assert any(note.startswith(f"NOTE {one}") for note in notes), (one, notes)


def test_what_became_of_a_write_may_be_settled_before_its_answer_is_noted(copied: Sealed) -> None:
    """Two runs may be at work; and a write without an answer is known once it is settled."""

    def settle(told: list[Line]) -> None:
        told.insert(ANSWER, {**told[ANSWER], "event": "settled", "found": "done", "number": 99})
        told[PUT + 2].update(event="unanswered")

    assert _forged(copied, _lines(settle)) == []
    notes = "\n".join(_notes(copied.folder))
    assert "line 3: what became" not in notes
    assert "line 6: what became of this write is not known" in notes


def test_a_step_that_failed_shows_the_checks_before_and_its_three_lines(copied: Sealed) -> None:
    folder, facts, lines = copied.folder, ENDPOINT_FACTS, ERROR["lines"]
    edit(folder / facts, lambda x: x.update(error=ERROR))
    told = {**OUTPUT, "evalue": "\n".join(lines)}

    def fail(notebook: Any) -> None:
        tables = [c for c in notebook["cells"] if ">check<" in json.dumps(c.get("outputs", ""))]
        tables[-1]["outputs"] = [told]

    edit(folder / ENDPOINT_NOTEBOOK, fail)
    forging.seal_anew(folder, copied.key, earlier=False)
    assert _fails(folder, copied.allowed) == []
    told["evalue"] = told["evalue"].replace("look", "look away")
    edit(folder / ENDPOINT_NOTEBOOK, fail)
    _cells(lambda html: html.replace(">check<", ">what<"))(folder)
    (found,) = _forged(
        copied, _json(ENDPOINT_NOTEBOOK, lambda x: x["cells"][-1].update(outputs=[told]))
    )
    assert "shows another error than" in found


def test_tables_of_checks_are_read_as_they_were_written() -> None:
    from private_s3.record import Check, checks_frame

    checks = [
        Check("a <b> & \"c\" 'd'", "PASS", "  two  spaces, \u00e9\u4e2d, &amp; </td><td>"),
        Check("", "SKIPPED", "line\none"),
    ]
    html = checks_frame(checks)._repr_html_()  # type: ignore[operator]
    rows = list(shown._checks([{"data": {"text/html": html}}]))
    kept = [(one.name, one.state, one.detail) for one in checks]
    assert rows == [tuple(map(shown._spaced, row)) for row in kept]


@contextmanager
def _zone(name: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


def test_a_copy_verifies_elsewhere_in_any_time_zone_with_only_the_allowed_signers(
    sealed: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = shutil.copytree(sealed.folder, tmp_path / "far" / "away" / "rehearsal")
    times = [
        datetime.fromisoformat(manifest.read(path)["sealed"])
        for path in (there / "seals/0001.json", there / MANIFEST)
    ]
    first, last = (f"{moment:%Y%m%d%H%M%SZ}" for moment in times)
    limits = f'valid-after="{first}",valid-before="{last}"'
    vouch(tmp_path / "allowed", "keeper@example.com", sealed.key, limits)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("UTC", "Asia/Tokyo", "America/St_Johns"):
        with _zone(name):
            found = verify(Path("far/away/rehearsal"), Path("allowed"))
        assert ok(found), [*map(str, found)]
        assert len(found) == 2


def test_a_read_only_folder_verifies_and_is_not_written(copied: Sealed) -> None:
    paths = [copied.folder, *copied.folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in paths}
    try:
        assert ok(verify(copied.folder, copied.allowed))
        assert {*copied.folder.rglob("*"), copied.folder} == {*paths}
        assert before == {p: (p.stat().st_mtime_ns, p.stat().st_ctime_ns) for p in paths}
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def test_verifying_is_quick(sealed: Sealed) -> None:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        verify(sealed.folder, sealed.allowed)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.5  # about 0.05 where nothing else is at work


def test_a_finding_is_one_line() -> None:
    finding = Finding("FAIL", "plan/10_find_vpc.ipynb", "altered since\nit was sealed")
    assert str(finding) == "FAIL plan/10_find_vpc.ipynb: altered since\\nit was sealed"
    assert ok([Finding("NOTE", "a", "b")])
    assert not ok([Finding("NOTE", "a", "b"), finding])


def test_the_story_of_the_sealed_folder_is_a_whole_one(sealed: Sealed) -> None:
    """What the rules are tried on has what they speak of."""
    story = Story(sealed.folder)
    events = [line["event"] for line in story.lines]
    assert events == ["planned", "approved", *["intent", "outcome"] * 2, "complete"]
    assert [run.notebook is None for run in story.runs] == [False] * 5
