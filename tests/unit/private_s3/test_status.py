"""What `status` says of a change in each of its states, from its folder alone."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from private_s3 import approval, status
from private_s3.errors import CheckFailed, PlanChanged
from private_s3.folder import write_json
from private_s3.plan import Plan
from private_s3.status import Status
from tests.support.histories import FIRST, MADE, POLICY, ROUTE, SECOND, SERVICE, History, back, plan

UNDO, BOTH = back(FIRST), back(FIRST, SECOND)
F = "-f PARAMETERS"
PLAN_IT, AUDIT, TAKE_BACK = (f"private-s3 {verb} {F}" for verb in ("plan", "audit", "undo"))
ENDPOINT = (
    "S3 route of route-table/rtb-a, policy of vpc-endpoint/private-s3, service of "
    "vpc-endpoint/private-s3"
)


def carry_out(made: Plan) -> str:
    return f"private-s3 {made.doing} {made.digest} {F}"


def approve(made: Plan) -> str:
    return f"private-s3 approve {made.digest} --by NAME {F}"


@pytest.fixture(autouse=True)
def aws_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("AWS was asked")

    monkeypatch.setattr(boto3.Session, "__init__", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History.within(tmp_path)


def said(history: History) -> tuple[list[str], list[str]]:
    """The sentences without their times, and the commands."""
    found = status.of(history.parameters)
    now = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
    return [re.sub(now, "NOW", sentence) for sentence in found.sentences], found.next


def test_of_no_change_it_says_that_nothing_was_planned(history: History) -> None:
    assert status.of(history.parameters) == Status(["Nothing was planned yet."], [PLAN_IT], [])
    assert not history.folder.exists()


def planned(history: History) -> None:
    history.shown(FIRST)


def approved(history: History) -> None:
    planned(history)
    approval.approve(history.parameters, FIRST.digest, "Ann")


def in_parts(history: History) -> None:
    approved(history)
    history.wrote(FIRST, *MADE)


def applied(history: History) -> None:
    in_parts(history)
    history.wrote(FIRST, POLICY)
    history.complete(FIRST)


def undo_planned(history: History) -> None:
    applied(history)
    history.shown(UNDO)


def undone_in_parts(history: History) -> None:
    undo_planned(history)
    history.wrote(UNDO, POLICY)


def undone(history: History) -> None:
    undone_in_parts(history)
    history.wrote(UNDO, *MADE)
    history.complete(UNDO)


def then(before: Callable[[History], None], *shown: Plan) -> Callable[[History], None]:
    """A state, and plans that were shown after it."""

    def happen(history: History) -> None:
        before(history)
        for one in shown:
            history.shown(one)

    return happen


EMPTY, NO_UNDO = plan(), plan(undo=True)
SHOWN = f"Plan {FIRST.digest} to apply 4 changes was shown at NOW"
BEGUN = f"Plan {FIRST.digest} was begun, and is not applied in full."
APPLIED = f"Plan {FIRST.digest} was applied, and found in place at NOW."
NOBODY = "and nobody is recorded to have approved it."
UNDONE = "The change was undone at NOW."


@pytest.mark.parametrize(
    ("state", "sentences", "commands"),
    [
        (planned, [f"{SHOWN}, {NOBODY}"], [approve(FIRST), carry_out(FIRST)]),
        (approved, [f"{SHOWN}; Ann approved it at NOW."], [carry_out(FIRST)]),
        (
            then(approved, SECOND),
            [f"Plan {SECOND.digest} to apply 1 changes was shown at NOW, {NOBODY}"],
            [approve(SECOND), carry_out(SECOND)],
        ),
        (
            then(approved, EMPTY),
            [
                f"Plan {EMPTY.digest} of NOW is empty. Nothing to change: the account is already "
                "as the parameters ask."
            ],
            [],
        ),
        (
            in_parts,
            [BEGUN, f"Done: {ENDPOINT}.", "Not begun: policy of bucket/data."],
            [carry_out(FIRST), TAKE_BACK],
        ),
        (applied, [APPLIED], [AUDIT, TAKE_BACK]),
        (
            then(applied, SECOND),
            [APPLIED, f"Plan {SECOND.digest} to apply 1 changes was shown at NOW, {NOBODY}"],
            [approve(SECOND), carry_out(SECOND), AUDIT, TAKE_BACK],
        ),
        (
            undo_planned,
            [APPLIED, f"Plan {UNDO.digest} to undo 4 changes was shown at NOW, {NOBODY}"],
            [approve(UNDO), carry_out(UNDO), AUDIT, TAKE_BACK],
        ),
        (
            undone_in_parts,
            [
                f"Plan {UNDO.digest} was begun, and is not undone in full.",
                "Done: policy of bucket/data.",
                f"Not begun: {ENDPOINT}.",
            ],
            [carry_out(UNDO)],
        ),
        (undone, [UNDONE], [PLAN_IT]),
        (
            then(undone, NO_UNDO),
            [
                UNDONE,
                f"Plan {NO_UNDO.digest} of NOW is empty. Nothing to undo: this change has made "
                "nothing that is still there.",
            ],
            [PLAN_IT],
        ),
        (
            then(undone, FIRST),
            [UNDONE, f"{SHOWN}; Ann approved it at NOW."],
            [carry_out(FIRST), PLAN_IT],
        ),
    ],
)
def test_each_state_has_its_sentences_and_the_commands_that_lead_on(
    history: History,
    state: Callable[[History], None],
    sentences: list[str],
    commands: list[str],
) -> None:
    state(history)
    assert said(history) == (sentences, commands)


def test_of_a_plan_that_was_begun_it_says_what_became_of_each_part(history: History) -> None:
    history.wrote(FIRST, SERVICE)
    history.wrote(FIRST, ROUTE, fate="unknown")
    history.wrote(FIRST, POLICY, fate="not done")
    assert said(history)[0] == [
        BEGUN,
        "Done: service of vpc-endpoint/private-s3.",
        "Perhaps done, the answer never came (the next run reads the account): S3 route of "
        "route-table/rtb-a.",
        "Not done: policy of bucket/data.",
        "Not begun: policy of vpc-endpoint/private-s3.",
    ]


@pytest.mark.parametrize("fate", ["unknown", None])
def test_a_write_that_a_crash_cut_off_is_perhaps_done(history: History, fate: Any) -> None:
    history.wrote(FIRST, fate=fate)
    assert said(history)[0][1].startswith("Perhaps done, the answer never came")


def test_what_was_tried_again_is_told_as_it_ended(history: History) -> None:
    history.wrote(FIRST, POLICY, fate="not done")
    history.wrote(FIRST, POLICY)
    assert "Done: policy of bucket/data." in said(history)[0]


def test_what_was_done_before_an_undo_is_not_told_as_done_of_the_plan_that_follows(
    history: History,
) -> None:
    undone(history)
    history.wrote(FIRST, *MADE)
    sentences = said(history)[0]
    assert sentences == [BEGUN, f"Done: {ENDPOINT}.", "Not begun: policy of bucket/data."]


def test_an_undo_that_was_refused_leaves_what_the_plan_has_done(history: History) -> None:
    in_parts(history)
    history.wrote(UNDO, *MADE, fate="not done")
    history.wrote(FIRST, POLICY, fate="not done")
    assert said(history)[0] == [BEGUN, f"Done: {ENDPOINT}.", "Not done: policy of bucket/data."]


def test_a_plan_that_is_done_and_not_read_back_is_not_said_to_be_half_done(
    history: History,
) -> None:
    history.wrote(FIRST)
    sentences, commands = said(history)
    assert sentences[0] == f"All of plan {FIRST.digest} is done, but was not read back yet."
    assert commands == [carry_out(FIRST), TAKE_BACK]


def test_an_undo_that_would_take_nothing_back_is_not_offered_again(history: History) -> None:
    history.wrote(FIRST, fate="not done")
    history.shown(NO_UNDO)
    sentences, commands = said(history)
    assert sentences[-1].endswith(NO_UNDO.sentence())
    assert commands == [carry_out(FIRST)]


def test_two_plans_that_were_undone_together_are_undone(history: History) -> None:
    for made in (FIRST, SECOND):
        history.wrote(made)
        history.complete(made)
    assert said(history)[0] == [APPLIED.replace(FIRST.digest, SECOND.digest)]
    history.wrote(BOTH)
    history.complete(BOTH)
    assert said(history) == ([UNDONE], [PLAN_IT])


def test_checks_that_failed_are_named_after_it_all(history: History) -> None:
    applied(history)
    failed = {"name": "the list", "state": "FAIL", "detail": "timeout", "remedy": "-"}
    fine = {**failed, "name": "fine", "state": "PASS"}
    write_json(history.folder / "facts/apply/50_x.json", {"checks": [fine, failed]})
    write_json(history.folder / "facts/plan/20_x.json", {"checks": [failed]})
    sentences, commands = said(history)
    assert sentences == [APPLIED, "Step 50_x failed when last applied: the list (timeout)."]
    assert commands == [AUDIT, TAKE_BACK]


def test_each_line_of_the_journal_is_told_in_words(history: History) -> None:
    approved(history)
    history.wrote(FIRST, *MADE)
    history.wrote(FIRST, POLICY, fate="not done")
    history.wrote(FIRST, POLICY, fate="unknown")
    history.journal.append("settled", intent=7, operation="PutBucketPolicy", found="done")
    history.complete(FIRST)
    rows = status.of(history.parameters).rows()
    assert [row[0] for row in rows] == [str(n) for n in range(1, 11)]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row[1]) for row in rows)
    digest = FIRST.digest
    assert [row[3:] for row in rows] == [
        ("planned", f"plan {digest}, 4 changes"),
        ("approved", f"plan {digest} by Ann, ticket -"),
        ("intent", "CreateVpcEndpoint"),
        ("outcome", "CreateVpcEndpoint, request r-1"),
        ("intent", "PutBucketPolicy"),
        ("refused", "PutBucketPolicy: AWS answered No"),
        ("intent", "PutBucketPolicy"),
        ("unanswered", "PutBucketPolicy: AWS answered No"),
        ("settled", "PutBucketPolicy: done, as the account shows"),
        ("complete", f"plan {digest} is in place"),
    ]
    assert {row[2] for row in rows} == {"20_x", "40_x", "-"}


def test_a_journal_that_was_altered_says_nothing(history: History) -> None:
    applied(history)
    path = history.folder / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b"Ann", b"Bob"))
    with pytest.raises(CheckFailed, match="Could not trust the journal"):
        status.of(history.parameters)


def test_a_plan_that_was_altered_is_not_told_of(history: History) -> None:
    applied(history)
    (history.folder / "plans" / f"{FIRST.digest}.json").write_text("{}")
    with pytest.raises(PlanChanged, match="was altered"):
        status.of(history.parameters)
