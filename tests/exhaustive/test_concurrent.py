"""Others are at work in the same account at the same time: nothing of theirs is lost.

Out of reach is the one moment between the last reading and the write that follows it: neither
PutBucketPolicy nor DeleteVpcEndpoints has a precondition. Whatever happens up to that reading, or
after the write, is seen.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rehearsal
from private_s3 import aws, bucket, change, endpoint, statements, status
from private_s3.change import Planned
from private_s3.errors import CheckFailed, PlanChanged, RunbookError
from private_s3.parameters import Parameters
from private_s3.record import Record
from private_s3.undo import Undo
from tests import PROJECT
from tests.support.foreign_edits import (
    BUCKET,
    BUCKET_EDITS,
    CASES,
    CONFLICTS,
    GATEWAYS,
    IN_THE_WAY,
    Case,
    Operator,
    Others,
)
from tests.support.sampling import sampled
from tests.support.world import World, enter


@pytest.fixture
def world(
    shared: rehearsal.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    shared.reset()
    yield enter(shared, tmp_path, monkeypatch)
    assert shared.errors() == []


def endpoints(world: World) -> list[dict[str, Any]]:
    found = world.client("ec2").describe_vpc_endpoints(Filters=GATEWAYS)["VpcEndpoints"]
    return [one for one in found if one["State"] == "available"]


def writes_of(world: World, act: Callable[[], Any]) -> list[str]:
    """The writes by which something was done."""
    before = len(world.writes())
    act()
    return world.writes()[before:]


# -- one operator, and others who edit what there is -----------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        chosen = sampled(metafunc.config, "concurrent edits", CASES, Case.classes)
        metafunc.parametrize("case", chosen, ids=str)


@pytest.fixture(scope="module")
def operator(bound: aws.Account) -> Operator:
    made = Operator(bound)
    # Only clients that are made later tell of their calls.
    bound.session.events.register("before-call", made.interrupted)
    return made


def test_whatever_others_do_meanwhile_nothing_of_theirs_is_lost(
    world: World, operator: Operator, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (endpoint, bucket):
        monkeypatch.setattr(module, "TIME_LIMIT", 0.5)
    # Who can do what is not the question here, and takes longer than all else.
    for kind in (Planned, Undo):
        monkeypatch.setattr(kind, "guard", [])
    monkeypatch.setattr(Planned, "_left", lambda *_: {})
    others = Others(world, case)
    operator.begin(others)
    try:
        for _ in range(0 if case.alone else others.random.randrange(3)):
            others.act()
        applied = [operator.carry_out("apply") for _ in range(others.random.choice([1, 1, 2]))]
        others.make_certain()
        undone = operator.carry_out("undo")
        # In the end it is taken back with force, and nobody else is at work.
        others.rest()
        forced = operator.carry_out("undo", force=True)
    finally:
        print("\n  ".join(others.told))  # what led there
    assert case.edit in others.done or not case.certain
    # Neither is everything refused, nor nothing.
    if case.late and case.edit in CONFLICTS:
        assert not applied[0]
    elif not case.odds and (not case.late or case.edit in BUCKET_EDITS):
        assert all(applied)
    if case.alone and case.certain:
        assert undone == (case.edit not in IN_THE_WAY)
    if forced:
        left = json.loads(others.policy() or '{"Statement": []}')["Statement"]
        sids = {one.get("Sid") for one in statements.as_list(left)}
        assert not sids & set(statements.REQUIREMENTS)
        assert others.ours() == []


# -- two operators --------------------------------------------------------------------------------


def another(world: World, name: str = "second") -> World:
    """The same account, and another change."""
    return replace(world, values={**world.values, "change_id": name})


def test_of_two_changes_that_were_planned_at_once_the_second_is_refused(world: World) -> None:
    other = another(world)
    first, second = world.plan(), other.plan()
    in_hand = other.planned(approved_plan=second)
    world.apply(first)
    before = other.writes()
    for attempt in (
        in_hand.apply_endpoint,
        in_hand.apply_bucket_policy,
        lambda: other.apply(second),
    ):
        with pytest.raises(PlanChanged, match="is not as it was planned from"):
            attempt()
    assert other.writes() == before and len(endpoints(world)) == 1


def test_of_two_changes_of_one_route_table_the_second_is_refused(world: World) -> None:
    other = another(world)
    first, second = (one.plan(restrict_to="none") for one in (world, other))
    world.apply(first, restrict_to="none")
    with pytest.raises(PlanChanged, match=f"S3 route of route-table/{world.id('private-a')}"):
        other.apply(second, restrict_to="none")
    assert len(endpoints(world)) == 1
    assert other.planned(restrict_to="none").plan.changes == ()  # it is served already


def test_of_two_changes_of_one_bucket_the_second_is_refused(world: World) -> None:
    other = another(world)
    world.apply(restrict_to="none")
    third = another(world, "third")
    first, second = other.plan(restrict_to="endpoint"), third.plan(restrict_to="role")
    assert writes_of(world, lambda: other.apply(first)) == ["PutBucketPolicy"]
    with pytest.raises(PlanChanged, match=f"policy of bucket/{BUCKET}"):
        third.apply(second, restrict_to="role")


def test_changes_on_top_of_each_other_are_undone_in_the_reverse_order(world: World) -> None:
    before = world.client("s3").get_bucket_policy(Bucket=BUCKET)["Policy"]
    other = another(world)
    world.apply(restrict_to="endpoint")
    other.apply(restrict_to="role")
    with pytest.raises(PlanChanged, match="somebody has changed what it made"):
        world.undo()
    assert writes_of(world, other.undo) == ["PutBucketPolicy"]
    assert writes_of(world, world.undo) == ["PutBucketPolicy", "DeleteVpcEndpoints"]
    assert world.client("s3").get_bucket_policy(Bucket=BUCKET)["Policy"] == before


def test_an_endpoint_that_another_change_uses_is_not_taken_from_under_it(world: World) -> None:
    other = another(world)
    sibling = {"instance_ids": [world.id("sibling-1")], "restrict_to": "none"}
    world.apply(restrict_to="none")
    assert writes_of(world, lambda: other.apply(**sibling)) == ["ModifyVpcEndpoint"]
    with pytest.raises(PlanChanged, match=f"route-table/{world.id('main')}"):
        world.undo(restrict_to="none")
    other.undo(**sibling)
    assert writes_of(world, lambda: world.undo(restrict_to="none")) == ["DeleteVpcEndpoints"]


def test_two_with_copies_of_one_change_folder_make_one_endpoint(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock holds between two machines; the account, and the token of the call, do."""
    digest = world.plan()
    shutil.copytree(world.folder, tmp_path / "copy")
    other = replace(world, folder=tmp_path / "copy")
    mine, theirs = (one.planned(approved_plan=digest) for one in (world, other))
    mine.apply_endpoint()
    with monkeypatch.context() as late:  # to the other it does not show yet
        late.setattr(Planned, "_read_once_more", lambda planned, _: planned.reading)
        assert writes_of(world, theirs.apply_endpoint) == ["CreateVpcEndpoint"]
    assert len(endpoints(world)) == 1
    assert writes_of(world, lambda: world.apply(digest)) == ["PutBucketPolicy"]
    assert writes_of(world, lambda: other.apply(digest)) == []
    assert len(endpoints(world)) == 1
    for one in (world, other):
        assert one.planned(approved_plan=digest).finished == {*mine.plan.changes}


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    """Two processes of two operators, which begin at the same moment."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(2, initializer=meet, initargs=[context.Barrier(2)]) as pool:
        yield pool


def meet(barrier: Any) -> None:
    """Keeps what a process waits at for the other one."""
    global both_ready
    both_ready = barrier


def apply_at_once(
    environment: dict[str, str], folder: Path, values: dict[str, Any], digest: str
) -> tuple[str, str]:
    """What one of two processes does, and how it ends."""
    os.environ.update(environment)
    path = PROJECT / "params/rehearsal.yaml"
    changes = {"changes_dir": str(folder), "approved_plan": digest, **values}
    parameters = Parameters.load(path, changes)
    account = aws.connect(parameters)
    both_ready.wait(60)
    try:
        for part in ("apply_endpoint", "apply_bucket_policy"):
            read = change.read(account, parameters)
            getattr(change.planned(account, Record(parameters, part), read), part)()
    except RunbookError as error:
        return type(error).__name__, str(error)
    return "done", ""


@pytest.mark.parametrize("slow", ["", "CreateVpcEndpoint", "PutBucketPolicy", "GetBucketPolicy"])
def test_of_two_processes_that_apply_at_once_one_writes(
    world: World, processes: Any, slow: str
) -> None:
    digest = world.plan()
    if slow:
        world.account.plant(slow, delay=0.5, who="operator")
    before = len(world.writes())
    asked = [(world.account.environment(), world.folder, world.values, digest)] * 2
    ends = processes.starmap(apply_at_once, asked, chunksize=1)
    assert world.writes()[before:] == ["CreateVpcEndpoint", "PutBucketPolicy"]
    assert len(endpoints(world)) == 1
    assert "done" in {end for end, _ in ends}
    for end, text in ends:
        assert end == "done" or (end == CheckFailed.__name__ and "another run" in text), text
    assert world.planned(approved_plan=digest).finished == {
        *world.planned(approved_plan=digest).plan.changes
    }
    status.of(world.parameters())
