"""What a person is asked to do by hand, and what is taken for the answers."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from private_s3.ways_in import manual, printed
from private_s3.ways_in.manual import ByHand, Paste
from private_s3.ways_in.way import Heard
from tests.support.readings import parameters

ONE, TWO = "i-0123456789abcdef0", "i-0fedcba9876543210"
SCRIPT, PROBES = "echo 'it is asked'\n", ["identity", "list"]


class Record:
    """The change folder of a step, with a journal of as many writes as there are."""

    def __init__(self, folder: Path, approved: str = "", step: str = "50") -> None:
        self.parameters = parameters(changes_dir=str(folder), approved_plan=approved)
        self.folder, self.step, self.facts = folder / "change-1", step, dict[str, Any]()
        self.writes: list[Any] = []

    @property
    def effect(self) -> Record:
        return self

    def fact(self, name: str, value: Any) -> None:
        self.facts[name] = value

    def wrote(self, number: int, time: str) -> None:
        self.writes.append(type("Write", (), {"number": number, "time": time})())


class Desk:
    """Where somebody asks by hand; `shown` is what the notebook has shown."""

    def __init__(self, record: Record, shown: list[Any]) -> None:
        self.record, self.shown = record, shown

    def ask(self, *ids: str, plan: str = "a025f14d4ea7", optional: Sequence[str] = ()) -> Heard:
        self.shown.clear()
        way = ByHand(self.record, plan)  # type: ignore[arg-type]
        return way.ask(SCRIPT, PROBES, ids or (ONE,), optional)

    @property
    def folders(self) -> list[Path]:
        return sorted(self.record.folder.glob("by_hand/*/*"))

    def put(self, text: str, instance_id: str = ONE, folder: Path | None = None) -> Path:
        path = (folder or self.folders[-1]) / f"{instance_id}.jsonl"
        path.write_text(text)
        return path

    def answers(self, instance_id: str = ONE, mark: str = "") -> str:
        lines = [
            {"script": mark or self.folders[-1].name, "at": "2026-11-26T10:00:00Z"},
            {"probe": "list", "exit": 28, "seconds": 1, "stdout": "", "stderr": "curl: (28) x"},
            {
                "probe": "identity",
                "exit": 0,
                "seconds": 0,
                "stdout": f"{instance_id} eu-west-1 app",
                "stderr": "",
            },
        ]
        return "".join(f"{json.dumps(one)}\n" for one in lines)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    shown: list[Any] = []
    monkeypatch.setattr(manual, "show", shown.append)
    return Desk(Record(tmp_path), shown)


def test_before_anything_is_answered_the_script_is_shown_and_kept(desk: Desk) -> None:
    heard = desk.ask(ONE, optional=[TWO])
    assert heard.observations == [] and [*heard.silent] == [ONE, TWO]
    (folder,) = desk.folders
    assert folder.parent.name == "plan"
    text = (folder / "check.sh").read_text()
    assert text == printed.marked(SCRIPT, folder.name)
    for one in (ONE, TWO):
        reason, remedy = heard.silent[one]
        assert reason.startswith("not asked yet: ")
        assert str(folder / "check.sh") in reason and str(folder / f"{one}.jsonl") in reason
        assert str(folder / f"{one}.jsonl") in remedy and "run this step again" in remedy
    (shown,) = desk.shown
    assert text in shown.command
    assert desk.record.facts["by_hand"] == {
        "script": f"sha256 {hashlib.sha256(text.encode()).hexdigest()}",
        "folder": f"by_hand/plan/{folder.name}",
        "answers": {},
    }


def test_what_is_shown_can_be_pasted_into_a_shell(desk: Desk) -> None:
    desk.ask()
    pasted = f"cd /\n{desk.shown[0].command}\necho after\n"
    done = subprocess.run(["sh"], input=pasted, capture_output=True, text=True, check=True)
    first, *rest = done.stdout.splitlines()
    assert json.loads(first)["script"] == desk.folders[-1].name
    assert rest == ["it is asked", "after"]
    assert repr(desk.shown[0]) == desk.shown[0].command
    assert desk.shown[0].markdown == f"~~~~sh\n{desk.shown[0].command}\n~~~~"


def test_the_shell_that_it_is_pasted_into_fills_in_nothing() -> None:
    text = "printf '%s' '$HOME `id` $(id) \\n'\n"
    done = subprocess.run(["sh"], input=Paste(text).command, capture_output=True, text=True)
    assert done.stdout == "$HOME `id` $(id) \\n"


def test_what_was_answered_is_marked_as_told_by_hand(desk: Desk) -> None:
    desk.ask(ONE, TWO)
    path = desk.put(desk.answers())
    heard = desk.ask(ONE, TWO)
    assert [(one.probe, one.outcome, one.detail) for one in heard.observations] == [
        ("identity", "succeeded", f"told by hand: {ONE} eu-west-1 app"),
        ("list", "timeout", "told by hand"),
    ]
    assert [*heard.silent] == [TWO] and "run the script on the instance again" in heard.again
    assert len(desk.shown) == 1  # one instance is still to be asked
    told = desk.record.facts["by_hand"]["answers"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert told == {ONE: {"sha256": digest, "at": "2026-11-26T10:00:00Z"}}
    desk.put(desk.answers(TWO), TWO)
    assert desk.ask(ONE, TWO).silent == {} and desk.shown == []


def test_asking_again_changes_nothing_that_is_there(desk: Desk) -> None:
    desk.ask()
    (folder,) = desk.folders
    before = (folder / "check.sh").stat().st_mtime_ns
    desk.put(desk.answers())
    desk.ask()
    assert desk.folders == [folder] and (folder / "check.sh").stat().st_mtime_ns == before


def another_plan(desk: Desk) -> Heard:
    return desk.ask(plan="0123456789ab")


def another_pass(desk: Desk) -> Heard:
    desk.record.parameters = desk.record.parameters.model_copy(
        update={"approved_plan": "a025f14d4ea7"}
    )
    return desk.ask()


def another_step(desk: Desk) -> Heard:
    desk.record.step = "90"
    return desk.ask()


def another_write(desk: Desk) -> Heard:
    desk.record.wrote(7, "2026-11-26T11:00:00Z")
    return desk.ask()


def another_change(desk: Desk) -> Heard:
    desk.record.folder = desk.record.folder.with_name("change-2")
    return desk.ask()


@pytest.mark.parametrize(
    "later", [another_plan, another_pass, another_step, another_write, another_change]
)
def test_an_old_answer_is_no_answer(desk: Desk, later: Any) -> None:
    """Not where it lies, and not where somebody has put it instead of asking again."""
    desk.ask()
    (first,) = desk.folders
    old = desk.answers()
    desk.put(old)
    assert desk.ask().silent == {}
    assert later(desk).silent[ONE].reason.startswith("not asked yet")
    (folder,) = {*desk.folders} - {first}
    desk.put(old, folder=folder)
    reason = later(desk).silent[ONE].reason
    assert f"it was printed by the script {first.name}, not by {folder.name}" in reason
    assert ONE not in desk.record.facts["by_hand"]["answers"]


def test_a_second_write_makes_other_questions_than_the_first(desk: Desk) -> None:
    desk.record.wrote(7, "2026-11-26T11:00:00Z")
    desk.ask()
    desk.record.wrote(9, "2026-11-26T11:00:00Z")
    desk.ask()
    desk.record.writes[-1] = type("Write", (), {"number": 9, "time": "2026-11-26T12:00:00Z"})()
    desk.ask()
    assert len(desk.folders) == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace(ONE, TWO), f"it was printed on {TWO}"),
        (lambda text: text.splitlines()[0], "identity, list is missing"),
        (lambda text: text + text, "is no line of the script"),
        (lambda text: "", "it is empty"),
        (lambda text: text * 200, "the script prints fewer"),
        (lambda text: text.replace("curl", "AKIA" + "A" * 16), "looks like a secret: access key"),
        (lambda text: text.replace("curl", "\ufffd"), "which the script never prints"),
    ],
)
def test_what_is_not_the_answer_is_refused_and_the_file_named(
    desk: Desk, change: Any, reason: str
) -> None:
    desk.ask()
    path = desk.put(change(desk.answers()))
    heard = desk.ask()
    assert heard.observations == [] and desk.record.facts["by_hand"]["answers"] == {}
    assert reason in heard.silent[ONE].reason and str(path) in heard.silent[ONE].reason
    assert "once more" in heard.silent[ONE].remedy
    assert "AKIA" not in heard.silent[ONE].reason


def test_a_mark_of_an_editor_before_the_text_does_not_matter(desk: Desk) -> None:
    desk.ask()
    desk.put("\ufeff" + desk.answers().replace("\n", "\r\n"))
    assert desk.ask().silent == {}


def test_what_is_no_text_at_all_is_refused(desk: Desk) -> None:
    desk.ask()
    desk.put("").write_bytes(b"\xff\xfe\x00")
    assert "which the script never prints" in desk.ask().silent[ONE].reason


def test_only_a_plain_file_is_read(desk: Desk, tmp_path: Path) -> None:
    desk.ask()
    path = desk.put(desk.answers())
    elsewhere = path.rename(tmp_path / "elsewhere")
    path.symlink_to(elsewhere)
    assert "it is no plain file" in desk.ask().silent[ONE].reason
    path.unlink()
    path.mkdir()
    assert "it is no plain file" in desk.ask().silent[ONE].reason


def test_within_the_project_paths_are_named_from_its_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(manual, "show", lambda text: None)
    desk = Desk(Record(tmp_path / "changes"), [])
    reason = desk.ask().silent[ONE].reason
    mark = desk.folders[0].name
    assert f" changes/change-1/by_hand/plan/{mark}/check.sh " in reason
    assert reason.endswith(f" changes/change-1/by_hand/plan/{mark}/{ONE}.jsonl")


def test_the_script_itself_holds_nothing_that_looks_like_a_secret() -> None:
    from private_s3 import probes
    from private_s3.clean import clean, secrets

    text = probes.script(
        bucket="example-bucket",
        region="eu-west-1",
        change_id="change-1",
        other_region="us-east-1",
        other_bucket="example-bucket",
        writes=True,
    )
    shown = Paste(printed.marked(text, printed.mark(text))).command
    assert secrets(shown) == [] and clean(shown) == shown
    assert manual.END not in text
