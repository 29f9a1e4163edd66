"""Systems Manager that really runs scripts, and the rest of what moto answers otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rehearsal import Account
from tests.support.asking import code_of, run

SCRIPT = "AWS-RunShellScript"
# The instances of the VPC that has no internet gateway.
PRIVATE = {"app-1", "neighbour-1", "reporter-1", "sibling-1"}


def managed(account: Account) -> set[str]:
    """The names of the instances that Systems Manager manages."""
    found = account.client("ssm").describe_instance_information()["InstanceInformationList"]
    names = {made: name for name, made in account.ids.items()}
    return {names[one["InstanceId"]] for one in found}


def send(account: Account, script: str, **more: Any) -> str:
    """The id of a command that was sent to app-1."""
    request = {
        "InstanceIds": [account.ids["app-1"]],
        "DocumentName": SCRIPT,
        "Parameters": {"commands": [script]},
        **more,
    }
    return str(account.client("ssm").send_command(**request)["Command"]["CommandId"])


def test_managed_is_who_has_a_role_and_a_way(shared: Account) -> None:
    # bastion-1 has a way, but no role; worker-1 has its way through the NAT gateway.
    assert managed(shared) == {*PRIVATE, "worker-1"}


@pytest.fixture(params=["ssm", "ssmmessages"])
def without_endpoint(shared: Account, request: pytest.FixtureRequest) -> Iterator[None]:
    ec2, wanted = shared.client("ec2"), f"com.amazonaws.ap-northeast-1.{request.param}"
    by_service = [{"Name": "service-name", "Values": [wanted]}]
    (found,) = ec2.describe_vpc_endpoints(Filters=by_service)["VpcEndpoints"]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[found["VpcEndpointId"]])
    yield
    ec2.create_vpc_endpoint(
        VpcEndpointType="Interface",
        VpcId=found["VpcId"],
        ServiceName=wanted,
        SubnetIds=found["SubnetIds"],
        SecurityGroupIds=[group["GroupId"] for group in found["Groups"]],
        PrivateDnsEnabled=True,
    )


@pytest.mark.usefixtures("without_endpoint")
def test_without_either_endpoint_nobody_is_managed_there(shared: Account) -> None:
    assert managed(shared) == {"worker-1"}
    refused = {"DocumentName": SCRIPT, "Parameters": {"commands": ["true"]}}
    instances = {"InstanceIds": [shared.ids["app-1"]]}
    assert code_of(shared.client("ssm").send_command, **refused, **instances) == "InvalidInstanceId"


def test_without_permission_the_agent_does_not_report(shared: Account) -> None:
    iam, policy = shared.client("iam"), {"RoleName": "worker-instance", "PolicyName": "be-managed"}
    document = iam.get_role_policy(**policy)["PolicyDocument"]
    iam.delete_role_policy(**policy)
    assert managed(shared) == PRIVATE
    iam.put_role_policy(**policy, PolicyDocument=json.dumps(document))
    assert "worker-1" in managed(shared)


def test_a_script_really_runs(shared: Account) -> None:
    found = run(shared, "echo $((6 * 7)); echo oops >&2; exit 3")
    assert (found["Status"], found["ResponseCode"]) == ("Failed", 3)
    assert found["StandardOutputContent"] == "42\n"
    assert found["StandardErrorContent"] == "oops\n"


def test_what_takes_too_long_is_ended(shared: Account) -> None:
    found = run(shared, "echo begun; sleep 30; echo done", timeout=1)
    assert (found["Status"], found["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")
    assert found["StandardOutputContent"] == "begun\n"


def test_output_is_cut_where_systems_manager_cuts_it(shared: Account) -> None:
    found = run(shared, "head -c 30000 /dev/zero | tr '\\0' x > all; cat all; cat all >&2")
    assert found["StandardOutputContent"] == "x" * 24_000
    assert found["StandardErrorContent"] == "x" * 8_000
    asked = {"CommandId": found["CommandId"], "Details": True}
    (one,) = shared.client("ssm").list_command_invocations(**asked)["CommandInvocations"]
    assert one["CommandPlugins"][0]["Output"] == "x" * 2_500


def test_an_invocation_is_not_there_at_once(shared: Account) -> None:
    ssm, sent = shared.client("ssm"), send(shared, "true")
    asked = {"CommandId": sent, "InstanceId": shared.ids["app-1"]}
    assert code_of(ssm.get_command_invocation, **asked) == "InvocationDoesNotExist"
    assert code_of(ssm.get_command_invocation, **asked) == ""


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"InstanceIds": ["i-0123456789abcdef0"]}, "InvalidInstanceId"),
        ({"DocumentName": "AWS-RunNothing"}, "InvalidDocument"),
        ({"Parameters": {}}, "InvalidParameters"),
    ],
)
def test_a_command_that_cannot_be_is_refused(
    shared: Account, change: dict[str, Any], code: str
) -> None:
    request = {
        "InstanceIds": [shared.ids["app-1"]],
        "DocumentName": SCRIPT,
        "Parameters": {"commands": ["true"]},
        **change,
    }
    assert code_of(shared.client("ssm").send_command, **request) == code


def test_a_cancelled_command_stays_cancelled(shared: Account) -> None:
    ssm, sent = shared.client("ssm"), send(shared, "sleep 0.1")
    ssm.cancel_command(CommandId=sent)
    run(shared, "sleep 0.5")  # ends after it
    (one,) = ssm.list_command_invocations(CommandId=sent)["CommandInvocations"]
    assert one["Status"] == "Cancelled"


def test_a_command_that_has_ended_cannot_be_cancelled_any_more(shared: Account) -> None:
    for script, status in (("true", "Success"), ("false", "Failed")):
        sent = run(shared, script)["CommandId"]
        ssm = shared.client("ssm")
        ssm.cancel_command(CommandId=sent)
        (one,) = ssm.list_command_invocations(CommandId=sent)["CommandInvocations"]
        assert one["Status"] == status


def test_a_route_to_a_deleted_nat_gateway_is_a_black_hole(shared: Account) -> None:
    ec2 = shared.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.50.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.50.1.0/24")["Subnet"]["SubnetId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    made = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(
        RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=made["NatGatewayId"]
    )
    dead = [
        {"Name": "route-table-id", "Values": [table]},
        {"Name": "route.state", "Values": ["blackhole"]},
    ]
    assert ec2.describe_route_tables(Filters=dead)["RouteTables"] == []
    ec2.delete_nat_gateway(NatGatewayId=made["NatGatewayId"])
    assert len(ec2.describe_route_tables(Filters=dead)["RouteTables"]) == 1


def test_services_are_found_by_their_type(shared: Account) -> None:
    ec2, name = shared.client("ec2"), "com.amazonaws.ap-northeast-1.s3"
    gateway = [{"Name": "service-type", "Values": ["Gateway"]}]
    found = ec2.describe_vpc_endpoint_services(ServiceNames=[name], Filters=gateway)
    assert [one["ServiceType"] for one in found["ServiceDetails"]] == [[{"ServiceType": "Gateway"}]]


def test_instances_are_described_as_on_aws(shared: Account) -> None:
    found = shared.client("ec2").describe_instances(InstanceIds=[shared.ids["app-1"]])
    instance = found["Reservations"][0]["Instances"][0]
    assert instance["IamInstanceProfile"]["Id"].startswith("AIPA")
    assert instance["PlatformDetails"] == "Linux/UNIX"
