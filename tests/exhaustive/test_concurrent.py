"""Others are at work in the same account at the same time: nothing of theirs is lost.

Out of reach is the one moment between the last reading and the write that follows it: neither
PutBucketPolicy nor DeleteVpcEndpoints has a precondition. Whatever happens up to that reading, or
after the write, is seen.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import rehearsal
from private_s3 import aws, bucket, change, endpoint, statements, status, undo
from private_s3.change import Planned
from private_s3.errors import CheckFailed, PlanChanged, RunbookError
from private_s3.parameters import Parameters
from private_s3.record import Record
from private_s3.statements import Statement
from private_s3.undo import Undo
from tests import PROJECT
from tests.support.world import World, enter

BUCKET = "rehearsal-private-data"
ARN = f"arn:aws:s3:::{BUCKET}"
S3 = "com.amazonaws.ap-northeast-1.s3"
GATEWAYS = [{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}]
OPEN = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
NUMBERS = count(1)
CASES = 50  # to a seed


@pytest.fixture
def world(
    shared: rehearsal.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    named = {"change_id": f"c-{next(NUMBERS)}"}
    world = replace(enter(shared, tmp_path, monkeypatch), values=named)
    before = world.client("s3").get_bucket_policy(Bucket=BUCKET)["Policy"]
    yield world
    shared.unplant()
    world.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=before)
    if ids := [one["VpcEndpointId"] for one in endpoints(world)]:
        world.client("ec2").delete_vpc_endpoints(VpcEndpointIds=ids)


def endpoints(world: World) -> list[dict[str, Any]]:
    found = world.client("ec2").describe_vpc_endpoints(Filters=GATEWAYS)["VpcEndpoints"]
    return [one for one in found if one["State"] == "available"]


def writes_of(world: World, act: Callable[[], Any]) -> list[str]:
    """The writes by which something was done."""
    before = len(world.writes())
    act()
    return world.writes()[before:]


# -- somebody else --------------------------------------------------------------------------------


@dataclass
class Others:
    """Everybody but the operator: what they do at random, and what of theirs must stay."""

    world: World
    random: random.Random
    told: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    # What is theirs: associations of route tables that they made, and endpoints with policies.
    tables: set[tuple[str, str]] = field(default_factory=set)
    endpoints: dict[str, str] = field(default_factory=dict)
    statements: Counter[str] = field(default_factory=Counter)
    routes: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.s3, self.ec2 = self.world.client("s3"), self.world.client("ec2")
        self.vpc, self.target = self.world.id("rehearsal"), self.world.id("private-a")
        self.spare = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.gateway = self.world.vpn_gateway()
        self.began_with = self.policy() or ""

    def begin(self, seed: str) -> None:
        """All is put back, and another chance begins."""
        self.random.seed(seed)
        self.told = [seed]
        self.s3.put_bucket_policy(Bucket=BUCKET, Policy=self.began_with)
        if ids := [one["VpcEndpointId"] for one in self.live()]:
            self.ec2.delete_vpc_endpoints(VpcEndpointIds=ids)
        for table, destination in self.routes:
            self.ec2.delete_route(RouteTableId=table, DestinationCidrBlock=destination)
        self.tables, self.endpoints, self.routes = set(), {}, set()
        self.statements = self.foreign_statements()

    # -- what there is

    def policy(self) -> str | None:
        try:
            text: str = self.s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
        except self.s3.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchBucketPolicy"
            return None
        return text

    def live(self) -> list[dict[str, Any]]:
        found = self.ec2.describe_vpc_endpoints(Filters=GATEWAYS)["VpcEndpoints"]
        return [one for one in found if one["State"] == "available"]

    def ours(self) -> list[dict[str, Any]]:
        """The endpoints of the change."""
        return [one for one in self.live() if one["VpcEndpointId"] not in self.endpoints]

    def foreign_statements(self) -> Counter[str]:
        found = json.loads(self.policy() or '{"Statement": []}')["Statement"]
        return Counter(
            statements.canonical({"Statement": [one]})
            for one in statements.as_list(found)
            if one.get("Sid") not in statements.REQUIREMENTS
        )

    def miss_nothing(self, *, forced: bool = False) -> None:
        """What is theirs is there, statement by statement, table by table."""
        live = {one["VpcEndpointId"]: one for one in self.live()}
        assert self.foreign_statements() == self.statements
        assert {i: live[i]["PolicyDocument"] for i in self.endpoints if i in live} == self.endpoints
        there = {(i, table) for i, one in live.items() for table in one.get("RouteTableIds", [])}
        # With force a table goes that hangs on the endpoint of the change, as its plan says.
        lost = {(i, table) for i, table in self.tables - there if i in live or not forced}
        assert lost == set()
        routes = {
            (table["RouteTableId"], route["DestinationCidrBlock"])
            for table in self.ec2.describe_route_tables(RouteTableIds=[self.target, self.spare])[
                "RouteTables"
            ]
            for route in table["Routes"]
            if route.get("GatewayId") == self.gateway
        }
        assert routes == self.routes

    # -- what they do

    def act(self, *kinds: str) -> None:
        """One edit at random, of the bucket policy, the network, or either."""
        bucket_edits = [
            self.add_statement,
            self.name_the_endpoint,
            self.remove_statement,
            self.change_statement,
            self.widen_ours,
            self.drop_ours,
            self.respell,
            self.delete_policy,
        ]
        network_edits = [
            self.attach_a_table,
            self.detach_a_table,
            self.move_the_table,
            self.change_endpoint_policy,
            self.make_endpoint,
            self.delete_ours,
            self.delete_theirs,
            self.add_route,
            self.remove_route,
        ]
        every = {"bucket": bucket_edits, "network": network_edits}
        edits = [edit for kind in kinds or every for edit in every[kind]]
        self.miss_nothing()
        edit = self.random.choice(edits)
        done = edit()
        self.told.append(edit.__name__ if done else f"({edit.__name__})")

    def put(self, edit: Callable[[list[Statement]], Any]) -> bool:
        """Edits the statements in place; with a policy of none it begins one."""
        document = json.loads(self.policy() or '{"Version": "2012-10-17", "Statement": []}')
        document["Statement"] = statements.as_list(document["Statement"])
        before = json.dumps(document)
        edit(document["Statement"])
        if json.dumps(document) == before:
            return False
        if document["Statement"]:
            self.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(document))
        else:
            self.s3.delete_bucket_policy(Bucket=BUCKET)
        self.statements = self.foreign_statements()
        return True

    def add(self, **more: Any) -> bool:
        statement = {
            "Sid": f"Theirs{next(self.numbers)}",
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:DeleteBucket"],
            "Resource": f"{ARN}/keep/*" if self.random.random() < 0.5 else ARN,
        }
        at = self.random.randrange(3)
        return self.put(lambda found: found.insert(at, {**statement, **more}))

    def add_statement(self) -> bool:
        return self.add()

    def name_the_endpoint(self) -> bool:
        ids = [one["VpcEndpointId"] for one in self.ours()]
        condition = {"StringNotEquals": {"aws:SourceVpce": ids}}
        return bool(ids) and self.add(Condition=condition)

    def remove_statement(self) -> bool:
        def remove(found: list[Statement]) -> None:
            if theirs := [one for one in found if one["Sid"] not in statements.REQUIREMENTS]:
                found.remove(self.random.choice(theirs))

        return self.put(remove)

    def change_statement(self) -> bool:
        def change_it(found: list[Statement]) -> None:
            if theirs := [one for one in found if one["Sid"].startswith("Theirs")]:
                self.random.choice(theirs)["Action"] = ["s3:DeleteBucket", "s3:PutBucketAcl"]

        return self.put(change_it)

    def widen_ours(self) -> bool:
        def widen(found: list[Statement]) -> None:
            for one in found:
                if one["Sid"] in statements.REQUIREMENTS:
                    one["Action"] = [*statements.as_list(one["Action"]), "s3:PutBucketAcl"]

        return self.put(widen)

    def drop_ours(self) -> bool:
        def drop(found: list[Statement]) -> None:
            found[:] = [one for one in found if one["Sid"] not in statements.REQUIREMENTS]

        return self.put(drop)

    def respell(self) -> bool:
        """The same policy in other words."""
        if self.policy():
            self.world.account.act("reorder policy", bucket=BUCKET)
        return True

    def delete_policy(self) -> bool:
        return self.put(lambda found: found.clear())

    def free_tables(self) -> list[str]:
        taken = {table for one in self.live() for table in one.get("RouteTableIds", [])}
        return sorted({self.target, self.spare, self.world.id("main")} - taken)

    def modify(self, endpoint_id: str, **request: Any) -> bool:
        self.ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_id, **request)
        return True

    def attach_a_table(self) -> bool:
        """A table that none serves is given to any endpoint there is."""
        free, live = self.free_tables(), self.live()
        if not free or not live:
            return False
        table, chosen = self.random.choice(free), self.random.choice(live)["VpcEndpointId"]
        if table != self.target or chosen in self.endpoints:
            self.tables.add((chosen, table))
        return self.modify(chosen, AddRouteTableIds=[table])

    def detach_a_table(self) -> bool:
        pairs = [(e["VpcEndpointId"], t) for e in self.live() for t in e.get("RouteTableIds", [])]
        if not pairs:
            return False
        chosen, table = self.random.choice(pairs)
        self.tables.discard((chosen, table))
        return self.modify(chosen, RemoveRouteTableIds=[table])

    def move_the_table(self) -> bool:
        """The table of the instances goes from the endpoint of the change to one of theirs."""
        for one in self.ours():
            if self.target in one.get("RouteTableIds", []):
                self.modify(one["VpcEndpointId"], RemoveRouteTableIds=[self.target])
                return self.make_endpoint(self.target)
        return False

    def change_endpoint_policy(self) -> bool:
        if not (live := self.live()):
            return False
        chosen = self.random.choice(live)["VpcEndpointId"]
        action = self.random.choice(["s3:Get*", "s3:*"])
        text = json.dumps({"Version": "2012-10-17", "Statement": [{**OPEN, "Action": action}]})
        if chosen in self.endpoints:
            self.endpoints[chosen] = text
        return self.modify(chosen, PolicyDocument=text)

    def make_endpoint(self, table: str = "") -> bool:
        free = [table] if table else self.free_tables()
        if not free:
            return False
        chosen = self.random.choice(free)
        made = self.ec2.create_vpc_endpoint(VpcId=self.vpc, ServiceName=S3, RouteTableIds=[chosen])[
            "VpcEndpoint"
        ]
        self.endpoints[made["VpcEndpointId"]] = made["PolicyDocument"]
        self.tables.add((made["VpcEndpointId"], chosen))
        return True

    def delete_ours(self) -> bool:
        return self.delete([one["VpcEndpointId"] for one in self.ours()])

    def delete_theirs(self) -> bool:
        return self.delete(sorted(self.endpoints))

    def delete(self, ids: list[str]) -> bool:
        if not ids:
            return False
        chosen = self.random.choice(ids)
        self.ec2.delete_vpc_endpoints(VpcEndpointIds=[chosen])
        self.endpoints.pop(chosen, None)
        self.tables = {(i, table) for i, table in self.tables if i != chosen}
        return True

    def add_route(self) -> bool:
        table = self.random.choice([self.target, self.spare])
        route = {"DestinationCidrBlock": f"10.{next(self.numbers) % 200 + 50}.0.0/16"}
        self.ec2.create_route(RouteTableId=table, GatewayId=self.gateway, **route)
        self.routes.add((table, route["DestinationCidrBlock"]))
        return True

    def remove_route(self) -> bool:
        if not self.routes:
            return False
        table, destination = self.random.choice(sorted(self.routes))
        self.ec2.delete_route(RouteTableId=table, DestinationCidrBlock=destination)
        self.routes.discard((table, destination))
        return True


# -- the operator ---------------------------------------------------------------------------------

# Before which calls of the library what may be edited. Between a reading and the write that goes by
# it, only what that write does not touch.
MOMENTS = {
    "DescribeInstances": (),
    "DescribeRouteTables": (),
    "DescribeVpcEndpoints": (),
    "GetBucketLocation": (),
    "GetBucketPolicy": ("bucket",),
    "GetPublicAccessBlock": (),
    "CreateVpcEndpoint": (),
    "ModifyVpcEndpoint": ("bucket",),
    "PutBucketPolicy": ("network",),
    "DeleteBucketPolicy": ("network",),
    "DeleteVpcEndpoints": ("bucket",),
}


@dataclass
class Operator:
    """Who carries out a change step by step, and is interrupted by others."""

    others: Others
    account: aws.Account
    parameters: Parameters
    chance: float = 0.0  # of an edit before a call to AWS
    refusals: list[str] = field(default_factory=list)

    def interrupted(self, event_name: str, **_: Any) -> None:
        """Before each call to AWS."""
        operation = event_name.rsplit(".", 1)[1]
        if operation in MOMENTS and self.others.random.random() < self.chance:
            self.others.act(*MOMENTS[operation])

    def pause(self, odds: float) -> None:
        """Between two steps others may do one thing or more."""
        while self.others.random.random() < odds:
            self.others.act()

    def step(self, name: str, act: Callable[[], Any]) -> Any:
        """One step; None if it was refused. What it does to others is looked at in any case."""
        self.others.told.append(name)
        try:
            result = act()
        except RunbookError as error:
            self.refusals.append(type(error).__name__)
            self.others.told.append(f"-> {type(error).__name__}: {error.attempted}")
            assert str(error).count("\n") == 2, error
            result = None
        self.others.miss_nothing(forced=self.parameters.force)
        status.of(self.parameters)
        return result

    def planned(self, kind: str, digest: str = "", *, force: bool = False) -> Planned | None:
        self.parameters = self.parameters.model_copy(
            update={"approved_plan": digest, "force": force}
        )

        def plan() -> Planned:
            record = Record(self.parameters, f"step-{kind}")
            read = change.read(self.account, self.parameters)
            made: Callable[..., Planned] = undo.planned if kind == "undo" else change.planned
            return made(self.account, record, read)

        found: Planned | None = self.step(f"{kind} {digest or 'planned'}", plan)
        return found

    def carry_out(self, kind: str, odds: float, *, force: bool = False) -> bool:
        """Plan, approval, both parts and the last look; False once it is refused."""
        shown = self.planned(kind, force=force)
        if not shown:
            return False
        self.pause(odds)
        parts = ["apply_endpoint", "apply_bucket_policy"]
        for name in reversed(parts) if kind == "undo" else parts:
            approved = self.planned(kind, shown.plan.digest, force=force)
            self.pause(odds)
            if not approved or self.step(name, getattr(approved, name)) is None:
                return False
            self.pause(odds)
        last = self.planned(kind, shown.plan.digest, force=force)
        return bool(last and self.step("read_again", last.read_again))


@pytest.fixture(scope="module")
def others(shared: rehearsal.Account, tmp_path_factory: pytest.TempPathFactory) -> Others:
    return Others(World(shared, tmp_path_factory.mktemp("none"), {}), random.Random())


@pytest.fixture(scope="module")
def operator(bound: aws.Account, others: Others) -> Operator:
    made = Operator(others, bound, Parameters.load(PROJECT / "params/rehearsal.yaml"))
    bound.session.events.register("before-call", made.interrupted)
    return made


@pytest.mark.parametrize("seed", ["spring", "summer", "autumn", "winter"])
def test_whatever_others_do_meanwhile_nothing_of_theirs_is_lost(
    world: World,
    others: Others,
    operator: Operator,
    seed: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (endpoint, bucket):
        monkeypatch.setattr(module, "TIME_LIMIT", 0.5)
    # Who can do what is not the question here, and takes longer than all else.
    for kind in (Planned, Undo):
        monkeypatch.setattr(kind, "guard", [])
    monkeypatch.setattr(Planned, "_left", lambda *_: {})
    ended: Counter[str] = Counter()
    for number in range(CASES):
        others.begin(f"{seed} {number}")
        try:
            one_case(world, others, operator, ended)
        except BaseException:
            print("\n  ".join(others.told))  # what led there
            raise
    print(seed, dict(ended), dict(Counter(operator.refusals)))
    # Neither is everything refused, nor nothing.
    assert ended["applied"] > CASES / 10 and ended["undone"] > CASES / 10
    assert ended["apply refused"] > CASES / 10 and ended["undo refused"] > CASES / 10


def one_case(world: World, others: Others, operator: Operator, ended: Counter[str]) -> None:
    draw = others.random
    odds = draw.choice([0.0, 0.15, 0.4])  # of edits between two steps
    operator.chance = draw.choice([0.0, 0.03])
    operator.parameters = world.parameters(
        change_id=f"r-{next(NUMBERS)}",
        restrict_to=draw.choice(["none", "endpoint", "role", "instance"]),
    )
    for _ in range(draw.randrange(3)):
        others.act()
    for _ in range(draw.choice([1, 1, 2])):
        done = operator.carry_out("apply", odds)
        ended["applied" if done else "apply refused"] += 1
    done = operator.carry_out("undo", odds)
    ended["undone" if done else "undo refused"] += 1
    # In the end it is taken back with force, and nobody else is at work.
    operator.chance = 0
    if operator.carry_out("undo", 0, force=True):
        ended["forced"] += 1
        left = json.loads(others.policy() or '{"Statement": []}')["Statement"]
        sids = {one.get("Sid") for one in statements.as_list(left)}
        assert not sids & set(statements.REQUIREMENTS)
        assert others.ours() == []


# -- two operators --------------------------------------------------------------------------------


def another(world: World) -> World:
    """The same account, and another change."""
    return replace(world, values={"change_id": f"c-{next(NUMBERS)}"})


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
    third = another(world)
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


def apply_at_once(folder: Path, values: dict[str, Any], digest: str, go: Any, said: Any) -> None:
    """What one of two processes does, and how it ends."""
    path = PROJECT / "params/rehearsal.yaml"
    changes = {"changes_dir": str(folder), "approved_plan": digest, **values}
    parameters = Parameters.load(path, changes)
    account = aws.connect(parameters)
    go.wait()
    try:
        for part in ("apply_endpoint", "apply_bucket_policy"):
            read = change.read(account, parameters)
            getattr(change.planned(account, Record(parameters, part), read), part)()
    except RunbookError as error:
        said.put((type(error).__name__, str(error)))
    else:
        said.put(("done", ""))


@pytest.mark.parametrize("slow", ["", "CreateVpcEndpoint", "PutBucketPolicy", "GetBucketPolicy"])
def test_of_two_processes_that_apply_at_once_one_writes(world: World, slow: str) -> None:
    digest = world.plan()
    if slow:
        world.account.plant(slow, delay=1.0, who="operator")
    context = multiprocessing.get_context("spawn")
    go, said = context.Event(), context.SimpleQueue()
    arguments = (world.folder, world.values, digest, go, said)
    workers = [context.Process(target=apply_at_once, args=arguments) for _ in range(2)]

    def both() -> None:
        for worker in workers:
            worker.start()
        go.set()
        for worker in workers:
            worker.join()

    writes = writes_of(world, both)
    ends = sorted(said.get() for _ in workers)
    assert writes == ["CreateVpcEndpoint", "PutBucketPolicy"]
    assert len(endpoints(world)) == 1
    assert "done" in {end for end, _ in ends}
    for end, text in ends:
        assert end == "done" or (end == CheckFailed.__name__ and "another run" in text), text
    assert world.planned(approved_plan=digest).finished == {
        *world.planned(approved_plan=digest).plan.changes
    }
    status.of(world.parameters())
