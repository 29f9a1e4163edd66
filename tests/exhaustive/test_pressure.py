"""AWS refuses, breaks, loses what it was asked, is late: nothing is taken for what it is not."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.retries.standard import ExponentialBackoff

from private_s3 import aws, bucket, change, endpoint, status, undo
from private_s3.errors import AwsRefused, PlanChanged
from private_s3.folder import facts_path
from private_s3.record import Record
from tests.support.accounts import Accounts
from tests.support.helper import Helper
from tests.support.notebook_runs import Eye
from tests.support.pressure import BEFALLS, KINDS, STEPS, WRITE, Case, cases, listed, read_calls
from tests.support.sampling import sampled
from tests.support.stages import QUICK
from tests.support.world import World

POLICY_WRITE = "PutBucketPolicy"
CALLS = read_calls(listed())
CASES = cases(CALLS)


def classes(case: Case) -> Iterator[Hashable]:
    """What a case is an example of, so that the sample has an example of everything."""
    called = case.called
    yield called.step, called.operation
    yield called.write, case.kind, case.befalls
    if called.write:
        yield called.step, called.operation, case.kind


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every case with `--every`, and else one of each class."""
    if "case" in metafunc.fixturenames:
        chosen = sampled(metafunc.config, "pressure", CASES, classes)
        metafunc.parametrize("case", chosen, ids=str)


@pytest.fixture(scope="module")
def driver(accounts: Accounts) -> Iterator[Helper]:
    """The process that lets calls fail: see tests/support/pressure.py."""
    with Helper("tests.support.pressure") as helper:
        yield helper


def test_a_failure_is_survived_or_stops_the_step(
    driver: Helper, case: Case, pytestconfig: pytest.Config
) -> None:
    """Once, a write is got over. If it lasts, what only looks ahead goes on, and says what it could
    not read. Status says no more than is so; then the step is run again, and undone, to the same
    end.
    """
    assert driver.ask(case=str(case), every=pytestconfig.getoption("every")) == []


@pytest.mark.parametrize("kind", KINDS)
def test_reads_that_each_fail_once_are_got_over(driver: Helper, kind: str) -> None:
    assert driver.ask(kind=kind) == []


def test_a_whole_run_makes_the_calls_of_the_list_and_no_others(driver: Helper) -> None:
    assert driver.ask() == listed(), f"write the list again: {WRITE}"


def test_each_call_of_change_and_undoing_fails() -> None:
    """Those behind the first poll of an instance's answer by their operation, not their number."""
    failed = {(case.called.step, case.called.operation) for case in CASES}
    assert failed == {(called.step, called.operation) for called in CALLS}
    assert {called.step for called in CALLS} == {*STEPS}
    writes = {case.called.operation for case in CASES if case.called.write}
    assert writes >= {"CreateVpcEndpoint", POLICY_WRITE, "DeleteVpcEndpoints", "SendCommand"}
    assert {case.kind for case in CASES} == {*KINDS}
    assert {case.befalls for case in CASES} == {*BEFALLS}


# -- what AWS shows late ---------------------------------------------------------------------------


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The world of all tests, in which nobody waits for long between attempts."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)
    monkeypatch.setattr(aws, "time", QUICK)
    yield world
    assert world.account.errors() == []


@pytest.mark.parametrize(
    ("operation", "late"),
    [
        ("CreateVpcEndpoint", "pending"),
        ("CreateVpcEndpoint", "stale endpoint"),
        (POLICY_WRITE, "stale policy"),
    ],
)
def test_an_apply_waits_until_it_sees_what_it_has_made(
    world: World, operation: str, late: str
) -> None:
    world.account.plant(operation, do=late, reads=3)
    digest = world.apply()
    found = world.planned(approved_plan=digest)
    assert len(found.finished) == len(found.plan.changes) > 0
    assert [e["State"] for e in found.reading.network.endpoints] == ["available"]
    assert world.writes() == ["CreateVpcEndpoint", POLICY_WRITE]


@pytest.mark.parametrize(
    ("operation", "late"),
    [
        ("DeleteVpcEndpoints", "deleting"),
        ("DeleteVpcEndpoints", "stale endpoint"),
        (POLICY_WRITE, "stale policy"),
    ],
)
def test_an_undo_waits_until_it_sees_what_it_has_taken_back(
    world: World, operation: str, late: str
) -> None:
    eye = Eye(world.account)
    before = eye.snapshot()
    world.apply()
    plan = undo_planned(world).plan
    world.account.plant(operation, do=late, reads=3)
    undo_planned(world, plan.digest).apply_bucket_policy()
    undo_planned(world, plan.digest).apply_endpoint()
    world.account.unplant()
    assert eye.snapshot() == before
    undone = undo_planned(world, plan.digest)
    assert undone.finished == {*plan.changes}
    assert world.writes().count("DeleteVpcEndpoints") == 1


def test_an_endpoint_that_stays_pending_is_waited_for_until_a_limit_and_again_when_resumed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = world.plan()
    world.account.plant("CreateVpcEndpoint", do="pending", reads=12)
    with monkeypatch.context() as patch:
        patch.setattr(endpoint, "TIME_LIMIT", 0.3)
        with pytest.raises(AwsRefused) as caught:
            world.planned(approved_plan=digest).apply_endpoint()
    assert "is pending and serves" in caught.value.answer
    assert str(caught.value).startswith("Waited 0 s for the endpoints of vpc-")
    said = status.of(world.parameters()).sentences
    assert said[0] == f"Plan {digest} was begun, and is not applied in full."
    resumed = world.planned(approved_plan=digest)
    assert [e["State"] for e in resumed.reading.network.endpoints] == ["pending"]
    resumed.apply_endpoint()
    found = world.planned(approved_plan=digest).reading.network.endpoints
    assert [one["State"] for one in found] == ["available"]
    assert world.writes() == ["CreateVpcEndpoint"]


def test_an_endpoint_that_was_made_unheard_and_is_not_shown_yet_is_not_made_twice(
    world: World,
) -> None:
    digest = world.plan()
    for fault in ("stale endpoint", "drop answer"):
        world.account.plant("CreateVpcEndpoint", do=fault, reads=2)
    world.planned(approved_plan=digest).apply_endpoint()
    assert world.writes() == ["CreateVpcEndpoint", "CreateVpcEndpoint"]
    assert len(Eye(world.account).endpoints()) == 1


def test_an_undo_waits_for_what_was_made_unheard_moments_ago(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = world.plan()
    for fault in ("stale endpoint", "drop answer"):
        world.account.plant("CreateVpcEndpoint", do=fault, reads=6)
    with monkeypatch.context() as patch, pytest.raises(AwsRefused):
        patch.setattr(aws, "ATTEMPTS", 1)
        world.planned(approved_plan=digest).apply_endpoint()
    plan = undo_planned(world).plan
    assert len(plan.changes) == 3
    undo_planned(world, plan.digest).apply_endpoint()
    assert Eye(world.account).endpoints() == []


def test_the_same_change_in_another_folder_makes_an_endpoint_of_its_own(world: World) -> None:
    """AWS remembers by which token it has made the first, which is gone."""
    digest = world.apply()
    undo_planned(world, plan := undo_planned(world).plan.digest).apply_bucket_policy()
    undo_planned(world, plan).apply_endpoint()
    elsewhere = replace(world, folder=world.folder.with_name("elsewhere"))
    assert elsewhere.apply() == digest
    assert len(Eye(world.account).endpoints()) == 1


def test_a_policy_that_is_never_read_back_ends_the_wait_with_the_one_that_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = world.plan()
    world.planned(approved_plan=digest).apply_endpoint()
    world.account.plant(POLICY_WRITE, do="stale policy", reads=1000)
    monkeypatch.setattr(bucket, "TIME_LIMIT", 0.3)
    with pytest.raises(AwsRefused) as caught:
        world.planned(approved_plan=digest).apply_bucket_policy()
    assert "Last seen: " in caught.value.answer and "AuditorsMayList" in caught.value.answer
    assert "run the step again" in caught.value.remedy
    assert world.writes().count(POLICY_WRITE) == 1
    world.account.unplant()
    assert len(world.planned(approved_plan=digest).finished) == len(status_plan(world, digest))


def test_a_policy_that_s3_was_asked_to_change_at_the_same_time_is_put_again_after_a_look(
    world: World,
) -> None:
    digest = world.plan()
    world.planned(approved_plan=digest).apply_endpoint()
    planned = world.planned(approved_plan=digest)
    world.account.plant(POLICY_WRITE, code="OperationAborted", status=409)
    so_far = len(world.account.calls())
    planned.apply_bucket_policy()
    made = [c["operation"] for c in world.account.calls()[so_far:] if c["who"] == "operator"]
    once = ["DescribeVpcEndpoints", "GetBucketPolicy", POLICY_WRITE]
    matrix = made[: made.index(POLICY_WRITE) - 2]
    assert made[len(matrix) :] == [*once, *once, "GetBucketPolicy"]


@pytest.mark.parametrize(
    "failure",
    [
        {"code": "OperationAborted", "status": 409},
        {"code": "InternalError", "status": 500},
        {"do": "drop"},
    ],
    ids=lambda failure: next(iter(failure.values())),
)
def test_what_somebody_else_has_put_meanwhile_is_not_written_over(
    world: World, failure: dict[str, Any]
) -> None:
    digest = world.plan()
    world.planned(approved_plan=digest).apply_endpoint()
    planned = world.planned(approved_plan=digest)
    world.account.plant(POLICY_WRITE, **failure)
    # After the look that comes before the first attempt, and before the one of the second.
    world.account.plant("GetBucketPolicy", do="foreign policy", who="operator", skip=1)
    with pytest.raises(PlanChanged, match="AddedBySomebodyElse"):
        planned.apply_bucket_policy()
    policy = Eye(world.account).policy() or ""
    assert "AddedBySomebodyElse" in policy and "vpce-" not in policy
    assert world.writes().count(POLICY_WRITE) == 1


def undo_planned(world: World, digest: str = "") -> undo.Undo:
    """The undo by the library, as notebook 90 plans it."""
    parameters = world.parameters(approved_plan=digest)
    bound = aws.connect(parameters)
    return undo.planned(bound, Record(parameters, "test"), change.read(bound, parameters))


def status_plan(world: World, digest: str) -> tuple[Any, ...]:
    return world.planned(approved_plan=digest).plan.changes


@pytest.mark.parametrize(("settle_seconds", "state"), [(60, "PASS"), (0, "FAIL")])
def test_a_policy_that_acts_late_is_asked_about_again_while_there_is_time(
    world: World, settle_seconds: int, state: str
) -> None:
    """What S3 does is not yet what it shows: the operator is let in where nobody should be."""
    digest = world.plan()
    # As many requests as the instance makes before it is the operator's turn, and some more.
    world.account.plant(POLICY_WRITE, do="slow policy", reads=8, who="operator")
    world.apply(digest)
    lone: dict[str, Any] = {"approved_plan": digest, "check_also": []}
    planned = world.planned(**lone, settle_seconds=settle_seconds)
    _, comparison = planned.observe()
    (check,) = (one for one in comparison.checks() if one.name == "predicted equals observed")
    assert check.state == state, check.detail
    facts = json.loads(facts_path(planned.record.parameters, "test").read_text())
    assert (facts["asked"] > 1) == (state == "PASS")
