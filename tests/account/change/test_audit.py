"""The audit in the emulated account: each drift alone is found, and what AWS does is none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, get_args

import pytest

from private_s3 import access_drift, audit, aws, change, drift, undo
from private_s3.audit import Audit
from private_s3.errors import AwsRefused, BadInput, CheckFailed
from private_s3.matrix import in_words
from private_s3.parameters import RestrictTo
from private_s3.record import Record
from tests.support.accounts import Accounts
from tests.support.world import World, enter

BUCKET = "rehearsal-private-data"
ARN = f"arn:aws:s3:::{BUCKET}"
FENCE = "PrivateS3DenyOutsideEndpoint"
EVERYTHING = ["list", "read", "write", "delete"]


def complete(world: World, **changes: Any) -> str:
    """Applies by the library until the journal says that everything is in place."""
    digest = world.apply(**changes)
    world.planned(approved_plan=digest, **changes).read_again()
    return digest


def audited(world: World, **changes: Any) -> Audit:
    parameters = world.parameters(**changes)
    return audit.read(aws.connect(parameters), Record(parameters, "80_audit_drift"))


def found(world: World, *verdicts: str, **changes: Any) -> dict[str, drift.Finding]:
    """The findings of these verdicts by name; of all that are not as left, if none is given."""
    every = audited(world, **changes).found
    chosen = {one.name: one for one in every if one.verdict in verdicts or not verdicts}
    return {name: one for name, one in chosen.items() if verdicts or one.verdict != "as left"}


def endpoint(world: World) -> str:
    """Id of the endpoint that the change made."""
    ours = [{"Name": "tag:private-s3:change", "Values": ["rehearsal"]}]
    (only,) = world.client("ec2").describe_vpc_endpoints(Filters=ours)["VpcEndpoints"]
    return str(only["VpcEndpointId"])


@pytest.fixture(scope="module")
def applied(accounts: Accounts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An account in which the change was applied; each test puts back what it did."""
    with accounts.fresh() as account, pytest.MonkeyPatch.context() as monkeypatch:
        world = enter(account, tmp_path_factory.mktemp("audit"), monkeypatch)
        complete(world)
        yield world
        assert account.errors() == []


# -- no false alarms ------------------------------------------------------------------------------


def test_after_an_apply_everything_is_as_left(applied: World) -> None:
    made = audited(applied)
    assert {check.state for check in made.findings()} == {"PASS"}
    assert [check.name for check in made.findings()] == [
        f"endpoint {endpoint(applied)}",
        f"route table of {applied.id('app-a')}",
        f"routes of {applied.id('private-a')}",
        f"instance app-1 {applied.id('app-1')}",
        "bucket policy",
        "Block Public Access",
        "who can do what",
    ]
    assert made.sentence() == "0 drifted, 7 as left."


def test_no_level_gives_a_false_alarm(world: World) -> None:
    for level in (*get_args(RestrictTo), "none"):
        complete(world, restrict_to=level)
        assert found(world, restrict_to=level) == {}, level


def test_nothing_applied_is_skipped_and_nothing_is_asked(world: World) -> None:
    world.plan()
    asked = len(world.account.calls())
    made = audited(world)
    (check,) = made.findings()
    assert (check.name, check.state) == ("nothing was applied yet", "SKIPPED")
    assert made.sentence() == "Nothing was applied yet: there is nothing to compare with."
    calls = [call["operation"] for call in world.account.calls()[asked:]]
    assert calls == ["GetCallerIdentity"]


def test_an_undone_change_is_held_against_what_the_undo_left(world: World) -> None:
    complete(world)
    digest = ""
    for _ in range(2):
        parameters = world.parameters(approved_plan=digest)
        account = aws.connect(parameters)
        planned = undo.planned(
            account, Record(parameters, "undo"), change.read(account, parameters)
        )
        planned.apply_bucket_policy()
        planned.apply_endpoint()
        planned.read_again()
        digest = planned.plan.digest
    assert found(world) == {}
    assert not [c for c in audited(world).findings() if c.name.startswith("endpoint")]

    world.client("ec2").create_vpc_endpoint(
        VpcId=world.id("rehearsal"),
        ServiceName="com.amazonaws.ap-northeast-1.s3",
        RouteTableIds=[world.id("private-a")],
    )
    route, access = found(world, "drift")
    assert route == f"route pl-61a54008 of {world.id('private-a')}" and access.startswith("who can")


def test_what_aws_does_by_itself_is_no_drift(world: World) -> None:
    complete(world)
    for count, (act, on, name, says) in enumerate(
        (
            ("reorder policy", {"bucket": BUCKET}, "bucket policy", "they mean the same"),
            ("grow prefix list", {}, "prefix list pl-61a54008", "1 new and 0 gone"),
            ("dual stack", {"endpoint_id": endpoint(world)}, "route pl-", "dual-stack"),
        ),
        start=1,
    ):
        world.account.act(act, **on)
        changed = found(world)
        (finding,) = [one for key, one in changed.items() if key.startswith(name)]
        assert says in finding.now
        assert (finding.verdict, finding.remedy, len(changed)) == ("by AWS itself", "", count)
    assert audited(world).sentence() == "0 drifted, 3 changed by AWS itself, 5 as left."


def test_an_audit_costs_the_same_ten_calls_and_writes_nothing(applied: World) -> None:
    asked, written = len(applied.account.calls()), applied.writes()
    audited(applied)
    calls = [call["operation"] for call in applied.account.calls()[asked:]]
    assert sorted(calls) == [
        "DescribeInstances",
        "DescribePrefixLists",
        "DescribeRouteTables",
        "DescribeSubnets",
        "DescribeVpcEndpoints",
        "GetAccountAuthorizationDetails",
        "GetBucketPolicy",
        "GetBucketReplication",
        "GetCallerIdentity",
        "GetPublicAccessBlock",
    ]
    assert applied.writes() == written


# -- each drift alone -----------------------------------------------------------------------------

Planted = dict[str, str]  # name of each drift, with words of its remedy
Plant = Callable[[World, ExitStack], Planted]
FOLLOWS = access_drift.ABOVE


def can(what: str, *whose: tuple[str, list[str]]) -> str:
    """The name of a finding of the access matrix."""
    return f"{what}: {in_words(dict(whose))}"


def in_vpc(world: World, *names: str) -> list[str]:
    return [f"{name} {world.id(name)} in the VPC" for name in names]


def cut_off(world: World) -> str:
    """The finding that names everybody who loses the way to S3."""
    app, neighbour, reporter = in_vpc(world, "app-1", "neighbour-1", "reporter-1")
    return can(
        "who can do what",
        (app, EVERYTHING),
        (neighbour, EVERYTHING),
        (reporter, ["list", "read"]),
        (f"keys copied from {app}", EVERYTHING),
    )


def access(world: World, words: str) -> Planted:
    """The findings of the access matrix that are there, one of which must have these words."""
    names = [name for name in found(world, "drift") if name.startswith("who can")]
    assert any(words in name for name in names), names
    return dict.fromkeys(names, FOLLOWS)


def endpoint_policy(world: World, undo: ExitStack) -> Planted:
    ec2, one = world.client("ec2"), {"VpcEndpointId": endpoint(world)}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*"}
    allow = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allow, deny]}
    ec2.modify_vpc_endpoint(**one, PolicyDocument=json.dumps(policy))
    undo.callback(ec2.modify_vpc_endpoint, **one, ResetPolicy=True)
    app, neighbour = in_vpc(world, "app-1", "neighbour-1")
    whose = ((who, ["write"]) for who in (app, neighbour, f"keys copied from {app}"))
    return {
        f"policy of endpoint {endpoint(world)}": "plan again",
        can("who can do what", *whose): FOLLOWS,
    }


def another_table(world: World, undo: ExitStack) -> Planted:
    ec2, one = world.client("ec2"), {"VpcEndpointId": endpoint(world)}
    ec2.modify_vpc_endpoint(**one, AddRouteTableIds=[world.id("main")])
    undo.callback(ec2.modify_vpc_endpoint, **one, RemoveRouteTableIds=[world.id("main")])
    (sibling,) = in_vpc(world, "sibling-1")
    return {
        f"{world.id('main')} at endpoint {endpoint(world)}": "modify-vpc-endpoint --region "
        f"ap-northeast-1 --vpc-endpoint-id {endpoint(world)} --remove-route-table-ids",
        can("who can do what", (sibling, EVERYTHING)): FOLLOWS,
    }


def table_taken_away(world: World, undo: ExitStack) -> Planted:
    ec2, one = world.client("ec2"), {"VpcEndpointId": endpoint(world)}
    ec2.modify_vpc_endpoint(**one, RemoveRouteTableIds=[world.id("private-a")])
    undo.callback(ec2.modify_vpc_endpoint, **one, AddRouteTableIds=[world.id("private-a")])
    route = f"route pl-61a54008 of {world.id('private-a')}"
    return {route: "plan again", cut_off(world): FOLLOWS}


def internet_route(world: World, undo: ExitStack) -> Planted:
    ec2 = world.client("ec2")
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    attached = {"InternetGatewayId": gateway, "VpcId": world.id("rehearsal")}
    route = {"RouteTableId": world.id("private-a"), "DestinationCidrBlock": "0.0.0.0/0"}
    ec2.attach_internet_gateway(**attached)
    undo.callback(ec2.detach_internet_gateway, **attached)
    ec2.create_route(**route, GatewayId=gateway)
    undo.callback(ec2.delete_route, **route)
    return {
        f"route 0.0.0.0/0 of {world.id('private-a')}": "aws ec2 delete-route --region "
        f"ap-northeast-1 --route-table-id {world.id('private-a')} "
        "--destination-cidr-block 0.0.0.0/0"
    }


def other_route(world: World, undo: ExitStack) -> Planted:
    ec2 = world.client("ec2")
    route = {"RouteTableId": world.id("private-a"), "DestinationCidrBlock": "192.0.2.0/24"}
    ec2.create_route(**route, GatewayId=world.vpn_gateway())
    undo.callback(ec2.delete_route, **route)
    return {f"route 192.0.2.0/24 of {world.id('private-a')}": "ask who changed it"}


def another_table_is_followed(world: World, undo: ExitStack) -> Planted:
    ec2, subnet = world.client("ec2"), world.id("app-a")

    def follow(name: str) -> None:
        by_subnet = [{"Name": "association.subnet-id", "Values": [subnet]}]
        (table,) = ec2.describe_route_tables(Filters=by_subnet)["RouteTables"]
        (association,) = [a for a in table["Associations"] if a.get("SubnetId") == subnet]
        ec2.replace_route_table_association(
            AssociationId=association["RouteTableAssociationId"], RouteTableId=world.id(name)
        )

    follow("main")
    undo.callback(follow, "private-a")
    return {
        f"route table of {subnet}": f"associate {subnet} with {world.id('private-a')}",
        cut_off(world): FOLLOWS,
    }


def edit(world: World, undo: ExitStack, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Somebody puts another bucket policy."""
    s3 = world.client("s3")
    text = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    edited = json.loads(text)
    change(edited["Statement"])
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(edited))
    undo.callback(s3.put_bucket_policy, Bucket=BUCKET, Policy=text)


def our_statement_gone(world: World, undo: ExitStack) -> Planted:
    edit(world, undo, lambda all_: all_.pop())
    opened = access(world, "role ci-deployer from outside (list, read, write)")
    return {f"statement {FENCE} (ours) gone": "the plan puts it back", **opened}


def our_statement_weakened(world: World, undo: ExitStack) -> Planted:
    edit(world, undo, lambda all_: all_[-1]["Action"].remove("s3:GetObject*"))
    opened = access(world, "role ci-deployer from outside (read)")
    return {f"statement {FENCE} (ours) changed": "the plan puts it back", **opened}


def our_sid_in_another_form(world: World, undo: ExitStack) -> Planted:
    insecure = {"Bool": {"aws:SecureTransport": "false"}}
    edit(world, undo, lambda all_: all_[-1]["Condition"].update(insecure))
    opened = access(world, "role ci-deployer from outside")
    return {f"statement {FENCE} (ours) changed": "rename its Sid", **opened}


def their_statement_gone(world: World, undo: ExitStack) -> Planted:
    edit(world, undo, lambda all_: all_.pop(1))
    return {"statement DenyInsecureTransport (somebody else's) gone": "ask who changed it"}


def their_statement_added(world: World, undo: ExitStack) -> Planted:
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket"}
    edit(world, undo, lambda all_: all_.insert(0, {**statement, "Resource": ARN}))
    return {"statement without a Sid (somebody else's) added": "ask who changed it"}


def block_weaker(world: World, undo: ExitStack) -> Planted:
    s3 = world.client("s3")

    def put(**settings: bool) -> None:
        s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=settings)

    settings = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    undo.callback(put, **settings)
    put(**{**settings, "RestrictPublicBuckets": False})
    return {
        "Block Public Access": "aws s3api put-public-access-block --region ap-northeast-1 "
        f"--bucket {BUCKET} --public-access-block-configuration BlockPublicAcls=true,"
        "BlockPublicPolicy=true,IgnorePublicAcls=true,RestrictPublicBuckets=true"
    }


def stopped(world: World, undo: ExitStack) -> Planted:
    ec2, app = world.client("ec2"), world.id("app-1")
    ec2.stop_instances(InstanceIds=[app])
    undo.callback(ec2.start_instances, InstanceIds=[app])
    return {
        f"instance app-1 {app}": "aws ec2 start-instances --region ap-northeast-1 "
        f"--instance-ids {app}"
    }


def another_role(world: World, undo: ExitStack) -> Planted:
    ec2 = world.client("ec2")

    def give(name: str) -> None:
        mine = [{"Name": "instance-id", "Values": [world.id("app-1")]}]
        answer = ec2.describe_iam_instance_profile_associations(Filters=mine)
        (association,) = answer["IamInstanceProfileAssociations"]
        ec2.disassociate_iam_instance_profile(AssociationId=association["AssociationId"])
        ec2.associate_iam_instance_profile(
            InstanceId=world.id("app-1"), IamInstanceProfile={"Name": name}
        )

    give("reporter-instance")
    undo.callback(give, "app-instance")
    (app,) = in_vpc(world, "app-1")
    lost = ["write", "delete"]
    return {
        f"role of instance app-1 {world.id('app-1')}": "give it back its role",
        can("who can do what", (app, lost), (f"keys copied from {app}", lost)): FOLLOWS,
    }


def role_opened(world: World, undo: ExitStack) -> Planted:
    """A policy that is in no snapshot: the access matrix alone shows it."""
    iam, named = world.client("iam"), {"RoleName": "reporter-instance", "PolicyName": "more"}
    more = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [more]}
    iam.put_role_policy(**named, PolicyDocument=json.dumps(policy))
    undo.callback(iam.delete_role_policy, **named)
    (reporter,) = in_vpc(world, "reporter-1")
    return {can("who can do what", (reporter, ["write"])): "look who changed what decides it"}


def run_instance(world: World, undo: ExitStack, name: str, role: str) -> str:
    """Somebody runs one more instance, in the subnet of app-1."""
    ec2 = world.client("ec2")
    (made,) = ec2.run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        SubnetId=world.id("app-a"),
        IamInstanceProfile={"Name": role},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
    )["Instances"]
    undo.callback(ec2.terminate_instances, InstanceIds=[made["InstanceId"]])
    return str(made["InstanceId"])


def new_caller(world: World, undo: ExitStack) -> Planted:
    made = run_instance(world, undo, "batch-1", "reporter-instance")
    who = f"batch-1 {made} in the VPC"
    return {can("new callers", (who, ["list", "read"])): "look who changed what decides it"}


DRIFTS: list[Plant] = [
    endpoint_policy,
    another_table,
    table_taken_away,
    internet_route,
    other_route,
    another_table_is_followed,
    our_statement_gone,
    our_statement_weakened,
    our_sid_in_another_form,
    their_statement_gone,
    their_statement_added,
    block_weaker,
    stopped,
    another_role,
    role_opened,
    new_caller,
]


@pytest.mark.parametrize("plant", DRIFTS, ids=lambda plant: plant.__name__)
def test_each_drift_alone_is_found_with_its_remedy(applied: World, plant: Plant) -> None:
    with ExitStack() as undo:
        expected = plant(applied, undo)
        made = audited(applied)
        drifted = {check.name: check for check in made.findings() if check.state == "FAIL"}
        assert list(drifted) == list(expected)
        for name, words in expected.items():
            assert words in drifted[name].remedy
        with pytest.raises(CheckFailed) as failed:
            Record(applied.parameters(), "80_audit_drift").require(made.findings())
        assert all(name in str(failed.value) for name in expected)


# -- what is no drift of this change --------------------------------------------------------------


def test_routes_that_no_instance_follows_are_not_ours(applied: World) -> None:
    with ExitStack() as undo:
        ec2 = applied.client("ec2")
        route = {"RouteTableId": applied.id("main"), "DestinationCidrBlock": "192.0.2.0/24"}
        ec2.create_route(**route, GatewayId=applied.vpn_gateway())
        undo.callback(ec2.delete_route, **route)
        (only,) = found(applied).values()
        assert (only.name, only.verdict) == ("other route tables", "not ours")
        assert only.now == f"1 route changed in {applied.id('main')}"


def test_another_name_of_an_instance_makes_nobody_new(applied: World) -> None:
    with ExitStack() as undo:
        ec2 = applied.client("ec2")
        for name in ("app-1", "neighbour-1"):
            ids = {"Resources": [applied.id(name)]}
            ec2.create_tags(**ids, Tags=[{"Key": "Name", "Value": "renamed"}])
            undo.callback(ec2.create_tags, **ids, Tags=[{"Key": "Name", "Value": name}])
        assert found(applied) == {}


def test_a_new_caller_who_gets_nothing_is_no_drift(applied: World) -> None:
    with ExitStack() as undo:
        run_instance(applied, undo, "batch-1", "worker-instance")
        assert found(applied) == {}


# -- what cannot be known -------------------------------------------------------------------------


def test_what_may_not_be_read_is_uncertain_and_never_a_pass(applied: World) -> None:
    applied.account.plant("GetPublicAccessBlock", code="AccessDenied", status=403)
    applied.account.plant("GetAccountAuthorizationDetails", code="AccessDenied", status=403)
    unknown = found(applied)
    assert {one.verdict for one in unknown.values()} == {"not known"}
    assert unknown["Block Public Access"].now == "could not be read"
    lost = [one for one in unknown.values() if (one.was, one.now[:7]) == ("allowed", "depends")]
    assert [f"app-1 {applied.id('app-1')}" in one.name for one in lost] == [True]
    assert {check.state for check in audit.Audit([*unknown.values()]).findings()} == {"UNCERTAIN"}


def test_a_refusal_of_the_core_ends_the_audit(applied: World) -> None:
    applied.account.plant("DescribeRouteTables", code="UnauthorizedOperation", status=403)
    with pytest.raises(AwsRefused, match="UnauthorizedOperation"):
        audited(applied)


def test_another_bucket_than_that_of_the_change_is_refused(applied: World) -> None:
    with pytest.raises(BadInput, match=f"It was made for {BUCKET}"):
        audited(applied, bucket="rehearsal-logs")


# -- what cannot be put back, in accounts of their own --------------------------------------------


def test_instances_that_are_gone_or_replaced_are_named_once(world: World) -> None:
    level = {"restrict_to": "instance"}
    complete(world, **level)
    ec2, app = world.client("ec2"), world.id("app-1")
    ec2.terminate_instances(InstanceIds=[world.id("reporter-1")])
    assert found(world, **level) == {}  # at this level it could do nothing

    ec2.terminate_instances(InstanceIds=[app])
    gone, access = found(world, **level).values()
    assert (gone.name, gone.verdict, gone.now) == (f"instance app-1 {app}", "drift", "gone")
    assert "name another in instance_ids" in gone.remedy
    assert (access.name, access.verdict) == (access_drift.NAME, "not known")

    with ExitStack() as undo:
        new = run_instance(world, undo, "app-1", "app-instance")
        (gone, _) = found(world, **level).values()
        assert gone.now == f"replaced by {new}"
        assert f"name {new} in instance_ids" in gone.remedy and "plan again" in gone.remedy
        assert "until then restrict_to instance shuts it out" in gone.remedy


def test_one_of_two_instances_that_is_gone_leaves_the_access_of_the_other(world: World) -> None:
    both = {"instance_ids": [world.id("app-1"), world.id("sibling-1")]}
    complete(world, **both)
    assert found(world, **both) == {}
    for name in ("sibling-1", "neighbour-1"):
        world.client("ec2").terminate_instances(InstanceIds=[world.id(name)])
    gone, neighbour = found(world, **both).values()
    assert (gone.name, gone.now) == (f"instance sibling-1 {world.id('sibling-1')}", "gone")
    assert (neighbour.verdict, neighbour.now) == ("not ours", "gone")
    assert neighbour.name.startswith(f"callers: neighbour-1 {world.id('neighbour-1')} in the VPC")


def test_a_deleted_endpoint_policy_and_bucket_are_findings(world: World) -> None:
    complete(world)
    gone = endpoint(world)
    world.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[gone])
    deleted, access = found(world).values()
    assert (deleted.name, deleted.verdict, deleted.now) == (f"endpoint {gone}", "drift", "gone")
    assert "makes a new one" in deleted.remedy
    assert (access.name, access.verdict) == (cut_off(world), "drift")

    world.client("s3").delete_bucket_policy(Bucket=BUCKET)
    names = [name for name in found(world, "drift") if name.startswith("statement")]
    assert names == [
        "statement AuditorsMayList (somebody else's) gone",
        "statement DenyInsecureTransport (somebody else's) gone",
        f"statement {FENCE} (ours) gone",
    ]

    world.account.plant("GetBucketPolicy", code="NoSuchBucket", status=404)
    _, bucket, access = found(world, "drift", "not known").values()
    assert (bucket.name, bucket.verdict, bucket.now) == (f"bucket {BUCKET}", "drift", "gone")
    assert (access.name, access.verdict) == (access_drift.NAME, "not known")


def test_a_break_glass_role_that_is_gone_is_drift(world: World) -> None:
    complete(world)
    iam = world.client("iam")
    iam.delete_role_policy(RoleName="break-glass", PolicyName="rescue-the-bucket")
    iam.delete_role(RoleName="break-glass")
    (access,) = found(world).values()
    assert access.name.startswith("who can do what: role break-glass (does not exist)")
    assert (access.verdict, access.was) == ("drift", "allowed")


def test_the_plan_that_a_remedy_asks_for_puts_everything_back(world: World) -> None:
    complete(world)
    s3 = world.client("s3")
    world.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[endpoint(world)])
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    policy["Statement"][-1]["Action"] = ["s3:GetObject*"]
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    assert len(found(world, "drift")) > 2
    complete(world)
    assert found(world) == {}


def test_drift_stays_until_a_new_plan_takes_the_account_as_it_is(world: World) -> None:
    digest = complete(world)
    expected = [*other_route(world, ExitStack())]
    assert list(found(world)) == expected
    world.planned(approved_plan=digest).read_again()  # the same plan again takes nothing over
    assert list(found(world)) == expected
    empty = complete(world)
    assert empty != digest and found(world) == {}
    # Once more: the plan that is empty again takes over what has come since.
    table = world.id("private-a")
    world.client("ec2").delete_route(RouteTableId=table, DestinationCidrBlock="192.0.2.0/24")
    assert list(found(world)) == expected
    assert complete(world) == empty
    assert found(world) == {}


# -- the notebook ---------------------------------------------------------------------------------


def test_the_notebook_passes_then_names_the_drift_and_shows_it_first(world: World) -> None:
    digest = complete(world)
    for approved in ("", digest):
        assert world.notebook("80_audit_drift", approved).error is None
    world.account.act("foreign policy", bucket=BUCKET)
    step = world.notebook("80_audit_drift")
    assert isinstance(step.error, CheckFailed)
    assert "AddedBySomebodyElse (somebody else's) added" in step.error.answer
    assert str(step.error).count("\n") == 2 and "ask who changed it" in step.error.remedy
    shown = step.notebook.read_text()
    assert shown.index("1 drifted") < shown.index("CheckFailed")
    assert world.writes() == ["CreateVpcEndpoint", "PutBucketPolicy"]
