"""The change folder: plans that can be trusted, checks that stop, a journal that tells all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from private_s3.errors import AwsRefused, CheckFailed, PlanChanged
from private_s3.plan import Change, Plan
from private_s3.record import Check, Record, checks_frame, project_directory, require

from . import worlds

PLAN = Plan("rehearsal", worlds.ACCOUNT, worlds.REGION, (Change("a", "b", None, "c"),))
OTHER = Plan("rehearsal", worlds.ACCOUNT, worlds.REGION, ())


def record(folder: Path, approved: str = "") -> Record:
    return Record(worlds.parameters(changes_dir=str(folder), approved_plan=approved), "20_x")


def test_a_plan_that_was_shown_can_be_approved_later(tmp_path: Path) -> None:
    record(tmp_path).approved(PLAN, {"routes": [1]})
    chosen, seen = record(tmp_path, PLAN.digest).approved(OTHER, {"routes": [2]})
    assert (chosen, seen) == (PLAN, {"routes": [1]})


def test_the_first_sight_of_a_plan_is_kept(tmp_path: Path) -> None:
    record(tmp_path).approved(PLAN, {"routes": [1]})
    record(tmp_path).approved(PLAN, {"routes": [2]})
    assert record(tmp_path, PLAN.digest).approved(PLAN, {})[1] == {"routes": [1]}


def test_a_plan_made_now_may_be_approved_without_a_folder(tmp_path: Path) -> None:
    assert record(tmp_path, PLAN.digest).approved(PLAN, {"routes": []})[0] == PLAN


def test_a_digest_that_no_plan_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanChanged, match="No such plan was shown"):
        record(tmp_path, "0" * 12).approved(PLAN, {})


def test_an_altered_plan_is_refused(tmp_path: Path) -> None:
    record(tmp_path).approved(PLAN, {})
    path = tmp_path / "rehearsal/plans" / f"{PLAN.digest}.json"
    path.write_text(path.read_text().replace('"c"', '"evil"'))
    with pytest.raises(PlanChanged, match="was altered"):
        record(tmp_path, PLAN.digest).approved(OTHER, {})


def test_a_failed_check_is_recorded_and_stops(tmp_path: Path) -> None:
    one = record(tmp_path)
    with pytest.raises(CheckFailed, match="the route"):
        one.require([Check.of("fine", True), Check.of("the route", False, "missing")])
    facts = json.loads((tmp_path / "rehearsal/facts/plan/20_x.json").read_text())
    assert [check["state"] for check in facts["checks"]] == ["PASS", "FAIL"]


def test_a_refusal_names_each_failure_and_each_remedy_once() -> None:
    failed = [Check.of(name, False, f"{name} is bad", remedy="mend it") for name in ("a", "b")]
    with pytest.raises(CheckFailed) as caught:
        require("Refused.", [*failed, Check("c", "UNCERTAIN", remedy="other"), Check.of("d", True)])
    assert str(caught.value).splitlines() == [
        "Refused.",
        "Failed: a (a is bad); b (b is bad)",
        "Next: mend it",
    ]
    require("Nothing to refuse.", [Check("c", "UNCERTAIN"), Check("d", "SKIPPED")])


def test_a_text_is_kept_byte_for_byte_and_found_from_the_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    text = '{"a":\r\n"ä"}\n\n'
    path = record(Path("changes")).keep_text("plans/x-policy.json", text)
    assert path == Path("changes/rehearsal/plans/x-policy.json")
    assert path.read_bytes() == text.encode()
    (tmp_path / "elsewhere/notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    outside = record(tmp_path / "changes").keep_text("plans/x-policy.json", text)
    assert outside == tmp_path / "changes/rehearsal/plans/x-policy.json"


def test_uncertain_and_skipped_do_not_stop_but_are_shown(tmp_path: Path) -> None:
    frame = record(tmp_path).require([Check("a", "SKIPPED"), Check("b", "UNCERTAIN")])
    assert list(frame["state"]) == ["SKIPPED", "UNCERTAIN"]


def journal(folder: Path) -> list[bytes]:
    return (folder / "rehearsal/journal.jsonl").read_bytes().splitlines()


def test_the_intent_is_on_disk_before_the_write_and_the_outcome_after(tmp_path: Path) -> None:
    with record(tmp_path, PLAN.digest).write("CreateVpcEndpoint", {"VpcId": "v"}, "-") as outcome:
        assert [json.loads(line)["event"] for line in journal(tmp_path)] == ["intent"]
        outcome.answered({"ResponseMetadata": {"RequestId": "r-1"}}, endpoint_id="vpce-1")
    intent, result = map(json.loads, journal(tmp_path))
    assert (intent["request"], intent["plan"]) == ({"VpcId": "v"}, PLAN.digest)
    assert (result["event"], result["request_id"], result["endpoint_id"]) == (
        "outcome",
        "r-1",
        "vpce-1",
    )


def test_a_refusal_is_journaled_with_its_answer(tmp_path: Path) -> None:
    error = ClientError({"Error": {"Code": "RouteAlreadyExists", "Message": "there"}}, "x")
    with (
        pytest.raises(AwsRefused, match="RouteAlreadyExists"),
        record(tmp_path).write("CreateVpcEndpoint", {}, "-"),
    ):
        raise error
    assert [json.loads(line)["event"] for line in journal(tmp_path)] == ["intent", "refused"]


def test_a_write_without_an_answer_is_not_called_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(AwsRefused, match="could not be reached"),
        record(tmp_path).write("PutBucketPolicy", {}, "-"),
    ):
        raise ConnectionClosedError(endpoint_url="https://s3.example")
    assert [json.loads(line)["event"] for line in journal(tmp_path)] == ["intent", "unanswered"]


def test_each_journal_line_carries_the_hash_of_the_one_before(tmp_path: Path) -> None:
    for _ in range(2):
        with record(tmp_path).write("PutBucketPolicy", {}, "-") as outcome:
            outcome.answered({"ResponseMetadata": {}})
    lines = journal(tmp_path)
    previous = [json.loads(line)["previous"] for line in lines]
    assert previous == [hashlib.sha256(line).hexdigest() for line in [b"", *lines[:-1]]]
    assert [json.loads(line)["number"] for line in lines] == [1, 2, 3, 4]


def test_the_project_is_found_from_its_notebooks_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert project_directory() == tmp_path


def test_tables_show_markup_as_text_and_to_the_left() -> None:
    html = checks_frame([Check.of("<script>alert(1)</script>", True)])._repr_html_()  # type: ignore[operator]
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "<td>" not in html
