"""The reading of what stands around the routes: how many calls, what of it, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from private_s3 import aws, network, path
from private_s3.errors import AwsRefused
from private_s3.network import Network
from private_s3.path import surroundings
from rehearsal import Account

ONE_OF_EACH = {"DescribeVpcAttribute": 2, "DescribeSecurityGroups": 1, "DescribeNetworkAcls": 1}
S3, DYNAMODB = "pl-61a54008", "pl-78a54011"
ANSWER = "AWS answered UnauthorizedOperation: no"


@pytest.fixture
def entered(
    shared: Account, bound: aws.Account, monkeypatch: pytest.MonkeyPatch
) -> Iterator[aws.Account]:
    """The account as its operator sees it; no fault outlives the test."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in shared.environment().items():
        monkeypatch.setenv(name, value)
    yield bound
    shared.unplant()


def reading(shared: Account, bound: aws.Account, *names: str) -> Network:
    ids = [shared.ids[name] for name in names or ("app-1",)]
    found = bound.ec2.describe_instances(InstanceIds=ids)["Reservations"]
    instances = [one for reservation in found for one in reservation["Instances"]]
    return network.read(bound.ec2, shared.ids["rehearsal"], instances, shared.region)


def calls_of(bound: aws.Account, found: Network) -> dict[str, int]:
    before = Counter(bound.calls)
    surroundings.read(bound.ec2, found)
    return dict(bound.calls - before)


def test_it_takes_four_calls(shared: Account, entered: aws.Account) -> None:
    assert calls_of(entered, reading(shared, entered)) == ONE_OF_EACH
    assert calls_of(entered, reading(shared, entered, "app-1", "sibling-1")) == ONE_OF_EACH


def test_other_vpcs_subnets_and_route_tables_cost_no_call(
    shared: Account, entered: aws.Account
) -> None:
    ec2 = shared.client("ec2")
    with ExitStack() as stack:
        for number in range(3):
            vpc = ec2.create_vpc(CidrBlock=f"10.{80 + number}.0.0/16")["Vpc"]["VpcId"]
            stack.callback(ec2.delete_vpc, VpcId=vpc)
            for _ in range(2):
                made = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
                stack.callback(ec2.delete_route_table, RouteTableId=made)
        own = ec2.create_subnet(VpcId=shared.ids["rehearsal"], CidrBlock="10.20.9.0/24")
        stack.callback(ec2.delete_subnet, SubnetId=own["Subnet"]["SubnetId"])
        before = Counter(entered.calls)
        found = reading(shared, entered)
        surroundings.read(entered.ec2, found)
        assert dict(entered.calls - before) == {
            "DescribeInstances": 1,
            "DescribePrefixLists": 1,
            "DescribeSubnets": 1,
            "DescribeRouteTables": 1,
            "DescribeVpcEndpoints": 1,
            **ONE_OF_EACH,
        }


def test_it_holds_what_the_account_has(shared: Account, entered: aws.Account) -> None:
    found = surroundings.read(entered.ec2, reading(shared, entered))
    assert (found.dns_support, found.dns_hostnames, found.unread) == (True, True, {})
    assert list(found.security_groups) == [shared.ids["app"]]
    served = {one["SubnetId"] for acl in found.network_acls for one in acl["Associations"]}
    assert {shared.ids["app-a"], shared.ids["app-b"]} <= served
    assert found.prefix_lists == {S3: ["52.219.0.0/20", "3.5.152.0/21"]}
    assert found.s3_interface_endpoints == []


def test_the_dns_attributes_are_not_mixed_up(shared: Account, entered: aws.Account) -> None:
    ec2, vpc = shared.client("ec2"), shared.ids["rehearsal"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    try:
        found = surroundings.read(entered.ec2, reading(shared, entered))
    finally:
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert (found.dns_support, found.dns_hostnames) == (True, False)


def test_the_interface_endpoints_for_s3_come_with_the_network(
    shared: Account, entered: aws.Account
) -> None:
    ec2 = shared.client("ec2")
    made = ec2.create_vpc_endpoint(
        VpcId=shared.ids["rehearsal"],
        ServiceName=f"com.amazonaws.{shared.region}.s3",
        VpcEndpointType="Interface",
        SubnetIds=[shared.ids["app-a"]],
    )["VpcEndpoint"]["VpcEndpointId"]
    try:
        found = reading(shared, entered)
        read = surroundings.read(entered.ec2, found)
    finally:
        ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    assert [one["VpcEndpointId"] for one in read.s3_interface_endpoints] == [made]
    assert found.endpoints == []


@pytest.fixture
def customer_list(shared: Account) -> Iterator[str]:
    """Id of a prefix list of the customer's own."""
    ec2 = shared.client("ec2")
    made = ec2.create_managed_prefix_list(
        PrefixListName="own",
        AddressFamily="IPv4",
        MaxEntries=2,
        Entries=[{"Cidr": "192.0.2.0/24"}, {"Cidr": "203.0.113.0/24"}],
    )["PrefixList"]["PrefixListId"]
    yield made
    ec2.delete_managed_prefix_list(PrefixListId=made)


def test_a_customers_list_is_read_if_a_rule_names_it(
    shared: Account, entered: aws.Account, customer_list: str
) -> None:
    assert calls_of(entered, reading(shared, entered)) == ONE_OF_EACH  # it merely exists
    ec2, group = shared.client("ec2"), shared.ids["app"]
    lists = [{"PrefixListId": name} for name in (customer_list, DYNAMODB, S3)]
    rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "PrefixListIds": lists}
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[rule])
    try:
        calls = calls_of(entered, reading(shared, entered))
        found = surroundings.read(entered.ec2, reading(shared, entered))
    finally:
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[rule])
    assert calls == {**ONE_OF_EACH, "GetManagedPrefixListEntries": 1}
    assert found.prefix_lists[customer_list] == ["192.0.2.0/24", "203.0.113.0/24"]
    assert found.prefix_lists[DYNAMODB] == ["52.94.8.0/24", "52.119.208.0/23"]


def test_a_customers_list_is_read_if_a_route_of_the_instances_names_it(
    shared: Account, entered: aws.Account, customer_list: str
) -> None:
    ec2 = shared.client("ec2")
    gateway = ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    route = {"RouteTableId": shared.ids["private-a"], "DestinationPrefixListId": customer_list}
    ec2.create_route(**route, GatewayId=gateway)
    try:
        own = calls_of(entered, reading(shared, entered, "app-1"))
        of_other = calls_of(entered, reading(shared, entered, "sibling-1"))
    finally:
        ec2.delete_route(**route)
    assert own == {**ONE_OF_EACH, "GetManagedPrefixListEntries": 1}
    assert of_other == ONE_OF_EACH  # the main table names no list


REFUSED = {
    "DescribeVpcAttribute": (surroundings.DNS, "name resolution"),
    "DescribeSecurityGroups": (surroundings.GROUPS, "security group"),
    "DescribeNetworkAcls": (surroundings.ACLS, "network ACL out"),
}


@pytest.mark.parametrize("operation", REFUSED)
def test_what_is_refused_makes_its_hop_uncertain(
    shared: Account, entered: aws.Account, operation: str
) -> None:
    found = reading(shared, entered)
    shared.plant(operation, code="UnauthorizedOperation", message="no", status=403)
    around = surroundings.read(entered.ec2, found)
    what, hop = REFUSED[operation]
    assert around.unread == {what: ANSWER}
    asked: dict[str, Any] = {"bucket_region": shared.region, "account_id": shared.account_id}
    hops = path.hops(found, around, bucket="rehearsal-private-data", **asked)
    assert next(h.hop for h in hops if h.verdict == "uncertain") == hop
    assert ANSWER in next(h.reason for h in hops if h.hop == hop)


def test_a_list_that_may_not_be_read_is_left_out(
    shared: Account, entered: aws.Account, customer_list: str
) -> None:
    ec2, group = shared.client("ec2"), shared.ids["app"]
    rule = {"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": customer_list}]}
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[rule])
    try:
        found = reading(shared, entered)
        shared.plant(
            "GetManagedPrefixListEntries", code="UnauthorizedOperation", message="no", status=403
        )
        around = surroundings.read(entered.ec2, found)
    finally:
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[rule])
    assert around.unread == {customer_list: ANSWER}
    assert customer_list not in around.prefix_lists


@pytest.mark.parametrize("operation", REFUSED)
def test_what_may_pass_is_raised(shared: Account, entered: aws.Account, operation: str) -> None:
    found = reading(shared, entered)
    shared.plant(operation, code="Unavailable", status=503, times=4)
    with pytest.raises(AwsRefused) as raised:
        surroundings.read(entered.ec2, found)
    assert raised.value.passing and raised.value.code == "Unavailable"
    assert any(shared.ids[name] in raised.value.attempted for name in ("rehearsal", "app"))


@pytest.mark.parametrize(
    ("instance", "groups"),
    [
        ({"SecurityGroups": [{"GroupId": "sg-2"}, {"GroupId": "sg-1"}]}, ["sg-1", "sg-2"]),
        ({}, []),
        (
            {
                "SecurityGroups": [{"GroupId": "sg-9"}],
                "NetworkInterfaces": [
                    {"Attachment": {"DeviceIndex": 1}, "Groups": [{"GroupId": "sg-second"}]},
                    {"Attachment": {"DeviceIndex": 0}, "Groups": [{"GroupId": "sg-first"}]},
                ],
            },
            ["sg-first"],
        ),
    ],
)
def test_packets_leave_by_the_primary_interface(instance: Any, groups: list[str]) -> None:
    assert surroundings.groups_of(instance) == groups
