"""Each known cause of failure, planted alone, is found by the real notebooks and named."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from private_s3.errors import AwsRefused, BadInput, CheckFailed, PlanChanged, RunbookError
from private_s3.runbook import Step
from tests.support.world import World

CREATE, ROUTES, POLICY, CHECK = (
    "20_create_gateway_endpoint",
    "30_inspect_route_diff",
    "40_apply_bucket_policy",
    "50_check_from_instance",
)
TIMEOUT = ("timeout", "")


@pytest.fixture
def world(world: World, impatient: None) -> World:
    """The world whose notebooks run in this process, and ask app-1 alone."""
    return replace(world, values={**world.values, "check_also": ["break-glass"]})


def failure(step: Step, kind: type[RunbookError]) -> str:
    """The three lines that the notebook ended with, which must be of this kind."""
    assert type(step.error) is kind, step.error
    assert str(step.error).count("\n") == 2
    return str(step.error)


def saw(world: World, probe: str, outcome: str) -> str:
    """How a failed check names what the instance saw."""
    return f"{probe} from {world.id('app-1')} ({outcome}"


def test_without_an_endpoint_the_list_times_out(world: World) -> None:
    assert world.notebook(CHECK).error is None
    assert world.observed()["list"] == TIMEOUT
    assert world.observed()["identity"][0] == "succeeded"

    digest = world.plan()
    assert saw(world, "list", "timeout") in failure(world.notebook(CHECK, digest), CheckFailed)


def test_with_all_applied_everything_passes(world: World) -> None:
    digest = world.apply()
    for step in (ROUTES, POLICY, CHECK):
        assert world.notebook(step, digest).error is None
    observed = {probe: outcome for probe, (outcome, _) in world.observed(digest).items()}
    assert observed.pop("internet") == observed.pop("other-region") == "timeout"
    assert set(observed.values()) == {"succeeded"} and len(observed) == 5


def test_an_endpoint_on_the_wrong_route_table_does_not_help(world: World) -> None:
    endpoint = world.client("ec2").create_vpc_endpoint(
        VpcId=world.id("rehearsal"),
        ServiceName="com.amazonaws.ap-northeast-1.s3",
        RouteTableIds=[world.id("main")],
    )["VpcEndpoint"]["VpcEndpointId"]
    digest = world.plan()
    assert saw(world, "list", "timeout") in failure(world.notebook(CHECK, digest), CheckFailed)
    text = failure(world.notebook(ROUTES, digest), CheckFailed)
    assert f"missing: pl-61a54008 to {endpoint} in {world.id('private-a')}" in text


def test_a_subnet_that_was_moved_to_another_route_table_is_named(world: World) -> None:
    digest = world.apply()
    world.client("ec2").associate_route_table(
        RouteTableId=world.id("private-a"), SubnetId=world.id("app-b")
    )
    text = failure(world.notebook(ROUTES, digest), CheckFailed)
    assert "every subnet follows the route table that it did" in text
    assert f"{world.id('app-b')} went from main {world.id('main')} to private-a" in text


def test_a_security_group_without_egress_to_s3_is_a_timeout(world: World) -> None:
    digest = world.apply()
    ec2, group = world.client("ec2"), world.id("app")
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    everywhere = [{**https, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    # Systems Manager's endpoints, in the VPC, stay within reach.
    inside = [{**https, "IpRanges": [{"CidrIp": "10.20.0.0/16"}]}]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everywhere)
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=inside)
    assert saw(world, "list", "timeout") in failure(world.notebook(CHECK, digest), CheckFailed)


def test_a_network_acl_without_the_return_ports_is_a_timeout(world: World) -> None:
    digest = world.apply()
    ec2 = world.client("ec2")
    acl = ec2.describe_network_acls(
        Filters=[{"Name": "association.subnet-id", "Values": [world.id("app-a")]}]
    )["NetworkAcls"][0]["NetworkAclId"]
    ec2.replace_network_acl_entry(
        NetworkAclId=acl,
        RuleNumber=100,
        Protocol="6",
        RuleAction="allow",
        Egress=False,
        CidrBlock="0.0.0.0/0",
        PortRange={"From": 443, "To": 443},
    )
    assert saw(world, "list", "timeout") in failure(world.notebook(CHECK, digest), CheckFailed)


def test_a_policy_with_another_endpoints_id_is_a_denial_by_the_bucket_policy(world: World) -> None:
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:ListBucket", "s3:GetObject", "s3:PutObject"],
        "Resource": [
            "arn:aws:s3:::rehearsal-private-data",
            "arn:aws:s3:::rehearsal-private-data/*",
        ],
        "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-0123456789abcdef0"}},
    }
    digest = world.apply(restrict_to="none")
    put_policy(world, deny)
    step = world.notebook(CHECK, digest, restrict_to="none")
    reason = "explicit deny in a resource-based policy"
    assert saw(world, "list", f"denied: {reason}") in failure(step, CheckFailed)


def test_an_endpoint_policy_without_list_is_a_denial_by_the_endpoint(world: World) -> None:
    ec2 = world.client("ec2")
    endpoint = ec2.create_vpc_endpoint(
        VpcId=world.id("rehearsal"),
        ServiceName="com.amazonaws.ap-northeast-1.s3",
        RouteTableIds=[world.id("private-a")],
    )["VpcEndpoint"]["VpcEndpointId"]
    digest = world.apply()
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}
    narrow = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=narrow)
    text = failure(world.notebook(CHECK, digest), CheckFailed)
    assert saw(world, "list", "denied: no VPC endpoint policy allows") in text


def test_a_role_without_permission_is_a_denial_by_the_identity(world: World) -> None:
    digest = world.apply()
    iam = world.client("iam")
    for name in iam.list_role_policies(RoleName="app-instance")["PolicyNames"]:
        document = iam.get_role_policy(RoleName="app-instance", PolicyName=name)["PolicyDocument"]
        if "s3:" in json.dumps(document):
            iam.delete_role_policy(RoleName="app-instance", PolicyName=name)
    text = failure(world.notebook(CHECK, digest), CheckFailed)
    assert saw(world, "list", "denied: no identity-based policy allows") in text


def test_a_nat_route_turns_the_internet_check_red(world: World) -> None:
    digest = world.apply()
    ec2, vpc = world.client("ec2"), world.id("rehearsal")
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.9.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    out: dict[str, Any] = {"DestinationCidrBlock": "0.0.0.0/0"}
    ec2.create_route(RouteTableId=table, GatewayId=gateway, **out)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]
    ec2.create_route(RouteTableId=world.id("private-a"), NatGatewayId=nat["NatGatewayId"], **out)
    text = failure(world.notebook(CHECK, digest), CheckFailed)
    assert saw(world, "internet", "succeeded") in text
    assert "list from" not in text


def test_an_instance_that_ssm_does_not_manage_is_named(world: World) -> None:
    digest = world.apply()
    ec2 = world.client("ec2")
    found = ec2.describe_vpc_endpoints(
        Filters=[{"Name": "vpc-endpoint-type", "Values": ["Interface"]}]
    )["VpcEndpoints"]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[one["VpcEndpointId"] for one in found])
    text = failure(world.notebook(CHECK, digest), CheckFailed)
    assert f"{world.id('app-1')} is not managed" in text


def test_a_bucket_in_another_region_is_refused(world: World) -> None:
    text = failure(world.notebook("10_find_vpc", bucket="rehearsal-us-east-1"), BadInput)
    assert "The bucket is in us-east-1" in text


def test_a_policy_that_locks_the_operator_out_is_named_and_root_repairs_it(world: World) -> None:
    lock = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
    lock["Resource"] = "arn:aws:s3:::rehearsal-private-data"
    put_policy(world, lock)
    text = failure(world.notebook("10_find_vpc"), AwsRefused)
    assert "explicit deny in a resource-based policy" in text
    world.client("s3").delete_bucket_policy(Bucket="rehearsal-private-data")
    assert world.notebook("10_find_vpc").error is None


def test_a_foreign_endpoint_that_appears_meanwhile_is_route_already_exists(world: World) -> None:
    digest = world.plan()
    world.account.plant("CreateVpcEndpoint", do="foreign endpoint")
    text = failure(world.notebook(CREATE, digest), AwsRefused)
    assert "RouteAlreadyExists" in text
    endpoints = world.client("ec2").describe_vpc_endpoints(
        Filters=[{"Name": "tag:private-s3:change", "Values": ["rehearsal"]}]
    )["VpcEndpoints"]
    assert endpoints == []
    journal = (world.folder / "rehearsal/journal.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in journal]
    assert events == ["planned", "intent", "refused"]


def test_a_policy_that_somebody_changed_meanwhile_stops_the_plan(world: World) -> None:
    digest = world.plan()
    put_policy(world, {
        "Sid": "New", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject",
        "Resource": "arn:aws:s3:::rehearsal-private-data/keep/*",
    })  # fmt: skip
    for step in (CREATE, POLICY):
        text = failure(world.notebook(step, digest), PlanChanged)
        assert "policy of bucket/rehearsal-private-data is not as it was planned from" in text
    assert world.writes() == []


def test_a_wrong_digest_writes_nothing(world: World) -> None:
    world.plan()
    for step in (CREATE, POLICY):
        text = failure(world.notebook(step, "0123456789ab"), PlanChanged)
        assert "No such plan was shown" in text
    assert world.writes() == []


def test_a_second_apply_writes_nothing(world: World) -> None:
    digest = world.apply()
    first = world.writes()
    assert first == ["CreateVpcEndpoint", "PutBucketPolicy"]
    for step in (CREATE, ROUTES, POLICY):
        assert world.notebook(step, digest).error is None
    assert world.writes() == first
    assert world.plan() != digest  # the plan made now is empty


def test_the_statements_of_others_come_through_unchanged(world: World) -> None:
    s3 = world.client("s3")
    before = json.loads(s3.get_bucket_policy(Bucket="rehearsal-private-data")["Policy"])
    world.apply()
    after = json.loads(s3.get_bucket_policy(Bucket="rehearsal-private-data")["Policy"])
    assert after["Statement"][:-1] == before["Statement"]
    assert after["Statement"][-1]["Sid"] == "PrivateS3DenyOutsideEndpoint"


def test_an_unexpected_route_is_found(world: World) -> None:
    digest = world.apply()
    ec2 = world.client("ec2")
    gateway = world.vpn_gateway()
    ec2.create_route(
        RouteTableId=world.id("main"), DestinationCidrBlock="192.0.2.0/24", GatewayId=gateway
    )
    text = failure(world.notebook(ROUTES, digest), CheckFailed)
    assert f"not planned: 192.0.2.0/24 to {gateway}" in text


def test_a_wrong_account_is_refused_at_the_first_call(world: World) -> None:
    before = len(world.account.calls())
    text = failure(world.notebook("10_find_vpc", expected_account="999999999999"), BadInput)
    assert "The credentials are of account 123456789012" in text
    calls = [call["operation"] for call in world.account.calls()[before:]]
    assert calls == ["GetCallerIdentity"]


def put_policy(world: World, *statements: dict[str, Any]) -> None:
    """Somebody else adds statements to the bucket policy."""
    s3 = world.client("s3")
    policy = json.loads(s3.get_bucket_policy(Bucket="rehearsal-private-data")["Policy"])
    policy["Statement"] += statements
    s3.put_bucket_policy(Bucket="rehearsal-private-data", Policy=json.dumps(policy))
