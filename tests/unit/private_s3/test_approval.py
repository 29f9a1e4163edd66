"""Which plans can be carried out: those that were shown, as they were shown, and approved."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from private_s3 import approval
from private_s3.errors import BadInput, PlanChanged
from private_s3.folder import change_folder
from private_s3.journal import Journal
from private_s3.parameters import Parameters
from private_s3.plan import Change, Plan
from private_s3.record import Record
from tests.support import readings as worlds

CHANGE = Change("bucket/data", "policy", None, '{"Statement": []}')
PLAN = Plan("rehearsal", worlds.ACCOUNT, worlds.REGION, (CHANGE,))
UNDO = Plan("rehearsal", worlds.ACCOUNT, worlds.REGION, (CHANGE,), undo=True)
OTHER = Plan("rehearsal", worlds.ACCOUNT, worlds.REGION, ())
SEEN = {"snapshot": {"bucket/data": {"policy": None}}}


def shown(folder: Path, *plans: Plan, **values: Any) -> Parameters:
    """The parameters of a change for which plans were shown."""
    parameters = worlds.parameters(changes_dir=str(folder), ticket="CHG-1", **values)
    for plan in plans:
        Record(parameters, "20_x").approved(plan, SEEN)
    return parameters


def chosen(parameters: Parameters, digest: str, fresh: Plan = OTHER) -> Plan:
    """The plan that a pass goes by which was given a digest."""
    approved = parameters.model_copy(update={"approved_plan": digest})
    return Record(approved, "20_x").approved(fresh, {})[0]


def plan_file(parameters: Parameters, plan: Plan = PLAN) -> Path:
    return change_folder(parameters) / "plans" / f"{plan.digest}.json"


# -- the plans ------------------------------------------------------------------------------------


def test_a_plan_that_was_shown_is_kept_whole_with_what_was_seen(tmp_path: Path) -> None:
    parameters = shown(tmp_path, PLAN, UNDO)
    for plan in (PLAN, UNDO):
        assert approval.kept(change_folder(parameters), plan.digest) == (plan, SEEN)


def test_a_digest_of_no_plan_is_refused_with_how_many_were_shown(tmp_path: Path) -> None:
    parameters = shown(tmp_path, PLAN, OTHER)
    with pytest.raises(PlanChanged) as refused:
        approval.kept(change_folder(parameters), "0123456789ab")
    assert "Could not use plan 0123456789ab of rehearsal" in refused.value.attempted
    assert refused.value.answer == "No such plan was shown; 2 others were."
    assert refused.value.exit_code == 3


@pytest.mark.parametrize(
    ("altered", "found"),
    [
        (lambda text: text.replace('"undo": false', '"undo": true'), "has the digest"),
        (lambda text: text.replace('"after": "{', '"after": " {'), "has the digest"),
        (lambda text: text.replace('"change_id": "rehearsal"', '"change_id": "x"'), "the digest"),
        (lambda text: text.replace('"changes"', '"chances"'), "'changes'"),
        (lambda text: text.replace('"seen"', '"sene"'), "'seen'"),
        (lambda text: text.replace('"plan"', '"more": 1, "plan"').replace('"plan"', '"x"'), "plan"),
        (lambda text: "[]", "was altered"),
        (lambda text: text[:-20], "was altered"),
        (lambda text: "", "was altered"),
    ],
)
def test_a_plan_whose_file_was_altered_is_refused_until_it_is_shown_again(
    tmp_path: Path, altered: Any, found: str
) -> None:
    parameters = shown(tmp_path, PLAN)
    path = plan_file(parameters)
    text = path.read_text()
    assert altered(text) != text
    path.write_text(altered(text))
    with pytest.raises(PlanChanged, match=f"{path.name} was altered") as refused:
        chosen(parameters, PLAN.digest)
    assert found in refused.value.answer and refused.value.exit_code == 3
    with pytest.raises(PlanChanged):
        approval.approve(parameters, PLAN.digest, "Ann")
    shown(tmp_path, PLAN)  # as the message says
    assert chosen(parameters, PLAN.digest) == PLAN


def test_a_plan_of_the_other_direction_is_refused_with_the_command_for_it(tmp_path: Path) -> None:
    parameters = shown(tmp_path, PLAN, UNDO)
    for given, fresh, doing in ((UNDO, PLAN, "undo"), (PLAN, UNDO, "apply")):
        with pytest.raises(PlanChanged) as refused:
            chosen(parameters, given.digest, fresh)
        tried = f"Could not {fresh.doing} plan {given.digest} of rehearsal. Nothing was written."
        assert refused.value.attempted == tried
        assert refused.value.answer == f"It is a plan to {doing}."
        assert f"private-s3 {doing} {given.digest} -f PARAMETERS" in refused.value.remedy


def test_a_folder_that_was_moved_is_gone_on_with_from_there(tmp_path: Path) -> None:
    approval.approve(shown(tmp_path / "one", PLAN), PLAN.digest, "Ann")
    shutil.copytree(tmp_path / "one", tmp_path / "two/deeper")
    shutil.rmtree(tmp_path / "one")
    moved = worlds.parameters(changes_dir=str(tmp_path / "two/deeper"), approval_valid_hours=1)
    assert chosen(moved, PLAN.digest) == PLAN
    assert Journal(change_folder(moved)).append("planned") == 3


# -- who approves ---------------------------------------------------------------------------------


def test_who_approves_is_recorded_with_when_and_for_which_ticket(tmp_path: Path) -> None:
    parameters = shown(tmp_path, PLAN)
    assert approval.approve(parameters, PLAN.digest, " Käthe <k@example.com> ") == PLAN
    line = Journal(change_folder(parameters)).lines()[-1]
    assert (line["event"], line["plan"], line["by"], line["ticket"]) == (
        "approved",
        PLAN.digest,
        "Käthe <k@example.com>",
        "CHG-1",
    )
    assert abs(datetime.now(UTC) - datetime.fromisoformat(line["time"])) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "by",
    [
        "",
        " ",
        "\n",
        "a\nb",
        "a\rb",
        "a\x1b[2Jb",
        "a\x00b",
        "a\x7fb",
        "a\x9bb",
        "a\u2028b",
        "a" * 201,
    ],
)
def test_a_name_that_is_none_is_refused_and_nothing_recorded(tmp_path: Path, by: str) -> None:
    parameters = shown(tmp_path, PLAN)
    with pytest.raises(BadInput, match="is no name") as refused:
        approval.approve(parameters, PLAN.digest, by)
    assert refused.value.exit_code == 2
    assert str(refused.value).isprintable() or str(refused.value).count("\n") == 2
    assert [line["event"] for line in Journal(change_folder(parameters)).lines()] == ["planned"]


def test_only_a_plan_that_was_shown_can_be_approved(tmp_path: Path) -> None:
    parameters = shown(tmp_path, PLAN)
    with pytest.raises(PlanChanged, match="No such plan was shown"):
        approval.approve(parameters, OTHER.digest, "Ann")
    assert [line["event"] for line in Journal(change_folder(parameters)).lines()] == ["planned"]


# -- how long an approval holds -------------------------------------------------------------------


def test_without_approval_valid_hours_the_digest_is_approval_enough(tmp_path: Path) -> None:
    assert chosen(shown(tmp_path, PLAN), PLAN.digest) == PLAN


def test_a_plan_that_nobody_has_approved_is_refused_where_somebody_must(tmp_path: Path) -> None:
    parameters = shown(tmp_path, PLAN, OTHER, approval_valid_hours=8)
    approval.approve(parameters, OTHER.digest, "Ann")  # of another plan: does not count
    with pytest.raises(PlanChanged) as refused:
        chosen(parameters, PLAN.digest)
    assert refused.value.exit_code == 3
    assert f"Could not carry out plan {PLAN.digest}" in refused.value.attempted
    assert refused.value.answer == (
        "Nobody is recorded to have approved it. approval_valid_hours is 8."
    )
    assert f"private-s3 approve {PLAN.digest} --by NAME" in refused.value.remedy
    approval.approve(parameters, PLAN.digest, "Ann")
    assert chosen(parameters, PLAN.digest) == PLAN


def test_a_plan_made_just_now_has_to_be_approved_as_well(tmp_path: Path) -> None:
    parameters = shown(tmp_path, PLAN, approval_valid_hours=8)
    with pytest.raises(PlanChanged, match="Nobody is recorded"):
        chosen(parameters, PLAN.digest, fresh=PLAN)


@pytest.mark.parametrize(
    ("age", "holds"),
    [
        (timedelta(0), True),
        (timedelta(hours=7, minutes=59), True),
        (timedelta(hours=8, minutes=1), False),
        (timedelta(days=400), False),
    ],
)
def test_an_approval_gets_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: timedelta, holds: bool
) -> None:
    parameters = shown(tmp_path, PLAN, approval_valid_hours=8)
    approval.approve(parameters, PLAN.digest, "Ann")
    later(monkeypatch, age)
    if holds:
        assert chosen(parameters, PLAN.digest) == PLAN
        return
    with pytest.raises(PlanChanged, match=r"Ann approved it at 20.* too old") as refused:
        chosen(parameters, PLAN.digest)
    assert refused.value.exit_code == 3


def test_the_last_approval_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = shown(tmp_path, PLAN, approval_valid_hours=8)
    with monkeypatch.context() as patched:
        clock(patched, "private_s3.journal", -timedelta(hours=9))
        approval.approve(parameters, PLAN.digest, "Ann")
    with pytest.raises(PlanChanged, match="too old"):
        chosen(parameters, PLAN.digest)
    approval.approve(parameters, PLAN.digest, "Bob")
    assert chosen(parameters, PLAN.digest) == PLAN


def later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    clock(monkeypatch, "private_s3.approval", by)


def clock(monkeypatch: pytest.MonkeyPatch, module: str, by: timedelta) -> None:
    """Lets a module believe that it is another time."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + by

    monkeypatch.setattr(f"{module}.datetime", Clock)


def test_what_is_recorded_can_be_read_by_everybody(tmp_path: Path) -> None:
    parameters = shown(tmp_path, PLAN)
    content = json.loads(plan_file(parameters).read_text())
    assert Plan.from_json(content["plan"]) == PLAN and content["seen"] == SEEN
