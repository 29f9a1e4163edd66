"""A plan: its digest, and what it does when the account has moved on."""

from __future__ import annotations

import json

import pytest

from private_s3 import plan
from private_s3.errors import PlanChanged
from private_s3.plan import Change, Plan

ROUTE = ("route-table/rtb-1", "S3 route")
POLICY = ("bucket/data", "policy")
BEFORE = json.dumps({"Statement": [{"Effect": "Allow", "Action": "s3:GetObject"}]})
AFTER = json.dumps({"Statement": [{"Effect": "Deny", "Action": "s3:GetObject"}]})
REWRITTEN = json.dumps({"Statement": {"Action": ["s3:GetObject"], "Effect": "Deny"}})


def make(*changes: Change) -> Plan:
    return Plan("rehearsal", "123456789012", "ap-northeast-1", changes)


PLAN = make(Change(*POLICY, BEFORE, AFTER), Change(*ROUTE, None, "vpce-1"))


def test_changes_are_what_differs_sorted_by_resource() -> None:
    now = {ROUTE: None, POLICY: BEFORE, ("vpc-endpoint/x", "policy"): AFTER}
    wanted = {ROUTE: "vpce-1", POLICY: AFTER, ("vpc-endpoint/x", "policy"): REWRITTEN}
    assert plan.between(now, wanted) == PLAN.changes


def test_a_digest_has_twelve_hexadecimal_digits_and_stays() -> None:
    again = Plan.from_json(json.loads(json.dumps(PLAN.to_json())))
    assert again == PLAN
    assert again.digest == PLAN.digest
    assert len(PLAN.digest) == 12 and int(PLAN.digest, 16) >= 0


@pytest.mark.parametrize(
    "other",
    [
        make(*PLAN.changes[1:]),
        make(PLAN.changes[0], Change(*ROUTE, None, "vpce-2")),
        Plan("other", PLAN.account, PLAN.region, PLAN.changes),
        Plan(PLAN.change_id, "210987654321", PLAN.region, PLAN.changes),
        Plan(PLAN.change_id, PLAN.account, "us-east-1", PLAN.changes),
    ],
)
def test_any_difference_makes_another_digest(other: Plan) -> None:
    assert other.digest != PLAN.digest


def test_nothing_is_done_while_the_account_is_as_planned_from() -> None:
    assert plan.done(PLAN, {POLICY: BEFORE, ROUTE: None}) == frozenset()


def test_what_is_as_planned_is_done_however_s3_has_rewritten_it() -> None:
    assert plan.done(PLAN, {POLICY: REWRITTEN, ROUTE: None}) == {PLAN.changes[0]}


@pytest.mark.parametrize(
    "live",
    [
        {POLICY: BEFORE, ROUTE: "vpce-foreign"},
        {POLICY: None, ROUTE: None},
        {POLICY: json.dumps({"Statement": []}), ROUTE: "vpce-1"},
    ],
)
def test_an_account_that_fits_neither_side_is_refused(live: dict[tuple[str, str], str]) -> None:
    with pytest.raises(PlanChanged, match="Nothing was written"):
        plan.done(PLAN, live)


def test_the_error_names_both_sides() -> None:
    with pytest.raises(PlanChanged) as caught:
        plan.done(PLAN, {POLICY: BEFORE, ROUTE: "vpce-foreign"})
    assert "S3 route of route-table/rtb-1" in caught.value.attempted
    assert caught.value.answer == "Planned from nothing; found vpce-foreign."


def test_an_empty_plan_says_so() -> None:
    assert make().sentence().startswith("Nothing to change")


def test_outcomes_tell_planned_from_applied_and_already_done() -> None:
    finished = frozenset([PLAN.changes[0]])
    parts = ("bucket/", "route-table/")
    planned = plan.outcomes(PLAN, frozenset(), parts, applied=False)
    applied = plan.outcomes(PLAN, finished, parts, applied=True)
    assert list(planned["outcome"]) == ["planned", "planned"]
    assert list(applied["outcome"]) == ["already done", "applied"]
    assert list(plan.outcomes(PLAN, finished, ("bucket/",), applied=True)["resource"]) == [
        "bucket/data"
    ]
