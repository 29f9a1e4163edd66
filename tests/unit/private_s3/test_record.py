"""The change folder: plans that can be trusted, checks that stop, a journal that tells all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from private_s3.errors import AwsRefused, CheckFailed, PlanChanged
from private_s3.folder import project_directory
from private_s3.plan import Change, Plan
from private_s3.record import Check, Record, checks_frame, require
from tests.support import readings as worlds
from tests.support.histories import FIRST, MADE, P0, POLICY, ROUTE, SECOND, History, back

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
    assert (result["event"], result["intent"], result["request_id"]) == ("outcome", 1, "r-1")
    assert result["values"] == {"endpoint_id": "vpce-1"}


def refusal(status: int) -> ClientError:
    about = {"HTTPStatusCode": status, "RequestId": "r"}
    said = {"Code": "RouteAlreadyExists", "Message": "there"}
    return ClientError({"Error": said, "ResponseMetadata": about}, "x")  # type: ignore[typeddict-item]


def test_a_refusal_is_journaled_with_its_answer(tmp_path: Path) -> None:
    error = refusal(400)
    with (
        pytest.raises(AwsRefused, match="RouteAlreadyExists"),
        record(tmp_path).write("CreateVpcEndpoint", {}, "-"),
    ):
        raise error
    intent, refused = map(json.loads, journal(tmp_path))
    assert (intent["event"], refused["event"], refused["request_id"]) == ("intent", "refused", "r")
    assert "RouteAlreadyExists: there" in refused["answer"]


@pytest.mark.parametrize(
    "error",
    [ConnectionClosedError(endpoint_url="https://s3.example"), refusal(500), refusal(503)],
)
def test_a_write_without_an_answer_is_not_called_refused(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(AwsRefused), record(tmp_path).write("PutBucketPolicy", {}, "-"):
        raise error
    assert [json.loads(line)["event"] for line in journal(tmp_path)] == ["intent", "unanswered"]


# -- what is settled later, and what is left ------------------------------------------------------

AT_FIRST = {key: None for key in MADE} | {POLICY: P0}
APPLIED = {(change.resource, change.field): change.after for change in FIRST.changes}


@pytest.mark.parametrize("fate", ["unknown", None])
@pytest.mark.parametrize(
    ("live", "found", "values"),
    [
        (APPLIED, "done", {"endpoint_id": "vpce-1"}),
        (AT_FIRST, "not done", {}),
        ({**AT_FIRST, ROUTE: "vpce-foreign"}, "unknown", {}),
    ],
)
def test_what_became_of_a_write_without_an_answer_is_noted_once_it_shows(
    tmp_path: Path, live: Any, found: str, values: dict[str, str], fate: Any
) -> None:
    history = History.within(tmp_path)
    history.wrote(FIRST, *MADE, fate=fate)
    one = Record(history.parameters, "20_x")
    for _ in range(2):
        one.settle(live, "vpce-1")
        (write,) = history.journal.writes()
        assert (write.fate, write.values) == (found, values)
    events = [line["event"] for line in history.journal.lines()]
    assert events.count("settled") == (found != "unknown")
    assert one.effect.endpoint_ids == [*values.values()]


def test_what_has_an_answer_is_not_settled(tmp_path: Path) -> None:
    history = History.within(tmp_path)
    history.wrote(FIRST, *MADE)
    history.wrote(FIRST, POLICY, fate="not done")
    Record(history.parameters, "20_x").settle(APPLIED, "vpce-1")
    assert [write.fate for write in history.journal.writes()] == ["done", "not done"]
    assert "settled" not in {line["event"] for line in history.journal.lines()}


def test_what_a_policy_write_has_made_is_no_endpoint(tmp_path: Path) -> None:
    history = History.within(tmp_path)
    history.wrote(FIRST, POLICY, fate="unknown")
    one = Record(history.parameters, "20_x")
    one.settle(APPLIED, "vpce-1")
    assert [write.fate for write in history.journal.writes()] == ["done"]
    assert one.effect.endpoint_ids == []


def test_a_plan_is_complete_until_something_is_written_again(tmp_path: Path) -> None:
    history = History.within(tmp_path)
    one = Record(history.parameters, "20_x")
    assert one.left() is None and not one.is_complete(FIRST)
    history.wrote(FIRST)
    assert not one.is_complete(FIRST)
    one.complete(FIRST, {"snapshot": [1]})
    assert one.is_complete(FIRST) and not one.is_complete(SECOND)
    assert one.left() == {"snapshot": [1]}
    history.shown(SECOND)
    assert one.is_complete(FIRST)
    history.wrote(back(FIRST), POLICY, fate="not done")
    assert not one.is_complete(FIRST)
    one.complete(back(FIRST), {"snapshot": [2]})
    assert one.left() == {"snapshot": [2]}


@pytest.mark.parametrize("content", [None, "", "{}", '{"snapshot": [2]}'])
def test_what_was_left_and_then_altered_is_not_gone_by(tmp_path: Path, content: Any) -> None:
    one = record(tmp_path)
    one.complete(FIRST, {"snapshot": [1]})
    (path,) = (tmp_path / "rehearsal/left").iterdir()
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(CheckFailed, match=f"{path.name} is missing or was altered"):
        one.left()


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
