"""What others edit at random while an operator carries out a change and takes it back."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from private_s3 import aws, change, statements, status, undo
from private_s3.change import Planned
from private_s3.errors import RunbookError
from private_s3.record import Record
from private_s3.statements import Statement
from tests.support.world import World

BUCKET = "rehearsal-private-data"
ARN = f"arn:aws:s3:::{BUCKET}"
S3 = "com.amazonaws.ap-northeast-1.s3"
GATEWAYS = [{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}]
OPEN = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}

LEVELS = ("none", "endpoint", "role", "instance")
BUCKET_EDITS = (
    "add_statement",
    "name_the_endpoint",
    "remove_statement",
    "change_statement",
    "widen_ours",
    "drop_ours",
    "respell",
    "delete_policy",
)
NETWORK_EDITS = (
    "attach_a_table",
    "detach_a_table",
    "move_the_table",
    "change_endpoint_policy",
    "make_endpoint",
    "delete_ours",
    "delete_theirs",
    "add_route",
    "remove_route",
)
# What an edit may need, of which there is none yet.
PREPARED_BY = {
    **dict.fromkeys(("remove_statement", "change_statement", "delete_policy"), "add_statement"),
    **dict.fromkeys(
        ("attach_a_table", "detach_a_table", "change_endpoint_policy", "delete_theirs"),
        "make_endpoint",
    ),
    "remove_route": "add_route",
}
# What changes the policy that a change goes by, and what cannot be before there is a change.
CONFLICTS = ("add_statement", "remove_statement", "change_statement", "delete_policy")
OF_OURS = ("name_the_endpoint", "widen_ours", "drop_ours", "move_the_table", "delete_ours")
# Of these, after which nothing is taken back without force.
IN_THE_WAY = ("name_the_endpoint", "widen_ours", "move_the_table")


@dataclass(frozen=True)
class Case:
    """A change beside which one kind of edit is made for certain, and others at random."""

    edit: str
    number: int

    def __str__(self) -> str:
        return f"{self.edit}-{self.number}"

    @property
    def level(self) -> str:
        """How far the change restricts the bucket."""
        return LEVELS[self.number % 4]

    @property
    def odds(self) -> float:
        """The chance of an edit between two steps."""
        return (0.0, 0.15, 0.4)[self.number % 3]

    @property
    def chance(self) -> float:
        """The chance of an edit before a call to AWS."""
        return 0.03 if self.odds and self.number % 2 else 0.0

    @property
    def alone(self) -> bool:
        """Whether the edit, of what the change has made, is the only one."""
        return self.edit in OF_OURS and not self.odds

    @property
    def late(self) -> bool:
        """Whether the edit comes between plan and apply, and no other does."""
        return self.edit not in OF_OURS and not self.odds and self.number % 2 == 1

    @property
    def certain(self) -> bool:
        """Whether nothing can keep the edit from being made."""
        return self.edit not in OF_OURS or (self.alone and self.level != "none")

    def classes(self) -> Iterator[tuple[str, object]]:
        """What has to be in a sample."""
        yield "edit", (self.edit, self.certain)
        yield "level", self.level
        yield "interruptions", (self.odds, self.chance)
        if self.late:
            yield "conflict", self.edit in CONFLICTS


CASES = [Case(edit, number) for edit in (*BUCKET_EDITS, *NETWORK_EDITS) for number in range(12)]


@dataclass
class Others:
    """Everybody but the operator: what they do at random, and what of theirs must stay."""

    world: World
    case: Case
    told: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    # What is theirs: associations of route tables that they made, and endpoints with policies.
    tables: set[tuple[str, str]] = field(default_factory=set)
    endpoints: dict[str, str] = field(default_factory=dict)
    statements: Counter[str] = field(default_factory=Counter)
    routes: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.random = random.Random(str(self.case))
        self.odds, self.chance = self.case.odds, self.case.chance
        self.s3, self.ec2 = self.world.client("s3"), self.world.client("ec2")
        self.vpc, self.target = self.world.id("rehearsal"), self.world.id("private-a")
        self.spare = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.gateway = self.world.vpn_gateway()
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
        every = {"bucket": BUCKET_EDITS, "network": NETWORK_EDITS}
        self.miss_nothing()
        self.make(self.random.choice([edit for kind in kinds or every for edit in every[kind]]))

    def pause(self) -> None:
        """Between two steps they may do one thing or more, that of the case among them."""
        if self.case.late:
            self.make_certain()
        if self.random.random() < self.odds:
            self.make(self.case.edit)
        while self.random.random() < self.odds:
            self.act()

    def interrupt(self, *kinds: str) -> None:
        """They may do one thing before a call to AWS."""
        if self.random.random() < self.chance:
            self.act(*kinds)

    def rest(self) -> None:
        """From now on they do nothing."""
        self.odds = self.chance = 0.0

    def make(self, edit: str) -> None:
        """One edit, if it is possible now."""
        done = getattr(self, edit)()
        self.told.append(edit if done else f"({edit})")
        if done:
            self.done.add(edit)

    def make_certain(self) -> None:
        """The edit of the case, if it was not made, and before it what it needs."""
        for edit in (self.case.edit, PREPARED_BY.get(self.case.edit, ""), self.case.edit):
            if edit and self.case.edit not in self.done:
                self.make(edit)

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


class Operator:
    """Who carries out a change step by step, and is interrupted by others."""

    def __init__(self, account: aws.Account) -> None:
        self._account = account
        self._others: Others | None = None

    def begin(self, others: Others) -> None:
        """Begins another change, beside these others."""
        self._others, self.refusals = others, list[str]()
        self._parameters = others.world.parameters(restrict_to=others.case.level)

    def interrupted(self, event_name: str, **_: Any) -> None:
        """Before each call to AWS."""
        operation = event_name.rsplit(".", 1)[1]
        if self._others and operation in MOMENTS:
            self._others.interrupt(*MOMENTS[operation])

    def carry_out(self, kind: str, *, force: bool = False) -> bool:
        """Plan, approval, both parts and the last look; False once it is refused."""
        shown = self._planned(kind, force=force)
        if not shown:
            return False
        self._others.pause()
        parts = ["apply_endpoint", "apply_bucket_policy"]
        for name in reversed(parts) if kind == "undo" else parts:
            approved = self._planned(kind, shown.plan.digest, force=force)
            self._others.pause()
            if not approved or self._step(name, getattr(approved, name)) is None:
                return False
            self._others.pause()
        last = self._planned(kind, shown.plan.digest, force=force)
        return bool(last and self._step("read_again", last.read_again))

    def _planned(self, kind: str, digest: str = "", *, force: bool = False) -> Planned | None:
        self._parameters = self._parameters.model_copy(
            update={"approved_plan": digest, "force": force}
        )

        def plan() -> Planned:
            record = Record(self._parameters, f"step-{kind}")
            read = change.read(self._account, self._parameters)
            made: Callable[..., Planned] = undo.planned if kind == "undo" else change.planned
            return made(self._account, record, read)

        found: Planned | None = self._step(f"{kind} {digest or 'planned'}", plan)
        return found

    def _step(self, name: str, act: Callable[[], Any]) -> Any:
        """One step; None if it was refused. What it does to others is looked at in any case."""
        self._others.told.append(name)
        try:
            result = act()
        except RunbookError as error:
            self.refusals.append(type(error).__name__)
            self._others.told.append(f"-> {type(error).__name__}: {error.attempted}")
            assert str(error).count("\n") == 2, error
            result = None
        self._others.miss_nothing(forced=self._parameters.force)
        status.of(self._parameters)
        return result
