"""The network path to S3 as read from an account: when it works, and with planted faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from private_s3 import aws, network, path
from private_s3.path import surroundings
from private_s3.path.walk import Hop
from rehearsal import Account
from tests.unit.private_s3.test_path import ANYWHERE


@pytest.fixture
def served(
    shared: Account, bound: aws.Account, monkeypatch: pytest.MonkeyPatch
) -> Iterator[aws.Account]:
    """The account as its operator sees it, with an endpoint on the route table of app-1."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in shared.environment().items():
        monkeypatch.setenv(name, value)
    ec2 = shared.client("ec2")
    made = ec2.create_vpc_endpoint(
        VpcId=shared.ids["rehearsal"],
        ServiceName=f"com.amazonaws.{shared.region}.s3",
        RouteTableIds=[shared.ids["private-a"]],
    )["VpcEndpoint"]["VpcEndpointId"]
    yield bound
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])


def live(shared: Account, bound: aws.Account, *names: str) -> list[Hop]:
    ids = [shared.ids[name] for name in names]
    found = bound.ec2.describe_instances(InstanceIds=ids)["Reservations"]
    instances = [one for reservation in found for one in reservation["Instances"]]
    read = network.read(bound.ec2, shared.ids["rehearsal"], instances, shared.region)
    return path.hops(
        read,
        surroundings.read(bound.ec2, read),
        bucket="rehearsal-private-data",
        bucket_region=shared.region,
        account_id=shared.account_id,
    )


def test_in_an_account_the_endpoint_opens_the_way_of_its_table_alone(
    shared: Account, served: aws.Account
) -> None:
    found = live(shared, served, "app-1", "sibling-1")
    states = {one.name.split()[3]: one.state for one in path.checks(found)}
    assert states == {shared.ids["app-1"]: "PASS", shared.ids["sibling-1"]: "FAIL"}
    blocker = path.first_blocker(found, shared.ids["sibling-1"])
    assert blocker and (blocker.hop, blocker.symptom) == ("route table", 1)
    assert f"main {shared.ids['main']} (main table)" in blocker.reason


def test_in_an_account_each_planted_cause_is_the_first_blocker(
    shared: Account, served: aws.Account
) -> None:
    ec2, group = shared.client("ec2"), shared.ids["app"]
    everything = [
        {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": ANYWHERE}]}
    ]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    try:
        blocker = path.first_blocker(live(shared, served, "app-1"), shared.ids["app-1"])
    finally:
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=everything)
    assert blocker and (blocker.hop, blocker.symptom) == ("security group", 2)
    ec2.modify_vpc_attribute(VpcId=shared.ids["rehearsal"], EnableDnsSupport={"Value": False})
    try:
        blocker = path.first_blocker(live(shared, served, "app-1"), shared.ids["app-1"])
    finally:
        ec2.modify_vpc_attribute(VpcId=shared.ids["rehearsal"], EnableDnsSupport={"Value": True})
    assert blocker and (blocker.hop, blocker.symptom) == ("name resolution", 6)


def test_in_an_account_a_route_into_s3s_ranges_is_found(
    shared: Account, served: aws.Account
) -> None:
    ec2 = shared.client("ec2")
    gateway = ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    route = {"RouteTableId": shared.ids["private-a"], "DestinationCidrBlock": "52.219.1.0/24"}
    ec2.create_route(**route, GatewayId=gateway)
    try:
        found = live(shared, served, "app-1")
    finally:
        ec2.delete_route(**route)
    blocker = path.first_blocker(found, shared.ids["app-1"])
    assert blocker and (blocker.hop, blocker.symptom) == ("longest prefix", 7)
    assert blocker.reason.startswith("52.219.1.0/24 of S3's addresses: 52.219.1.0/24 to vgw-")
    assert path.first_blocker(live(shared, served, "app-1"), shared.ids["app-1"]) is None
