"""Where packets get: the rules of a VPC, one by one, on an account of moto's."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends

from rehearsal.network import Network, Position, samples
from tests.support.instances_lab import OTHER_REGION, REGION, use_own_ranges

S3, OTHER_S3, INTERNET = "52.219.168.9", "52.216.0.9", "198.51.100.7"


class Vpc:
    """A VPC with one instance in a private subnet that uses the main route table."""

    def __init__(self, ec2: Any) -> None:
        self.ec2 = ec2
        self.launched: list[str] = []
        self.id = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        self.private, self.public = self.subnet("10.20.1.0/24"), self.subnet("10.20.2.0/24")
        tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [self.id]}])
        self.main = tables["RouteTables"][0]["RouteTableId"]
        self.group = ec2.create_security_group(GroupName="g", Description="g", VpcId=self.id)[
            "GroupId"
        ]
        self.instance, self.address = self.launch(self.private)
        self.network = Network(DEFAULT_ACCOUNT_ID, REGION, [OTHER_REGION])

    def end(self) -> None:
        """Leaves no instance for the next test to meet, and no endpoint that counts in a quota."""
        self.ec2.terminate_instances(InstanceIds=self.launched)
        ec2_backends[DEFAULT_ACCOUNT_ID][REGION].vpc_end_points.clear()

    def reach(self, address: str = S3, port: int = 443) -> Position | None:
        return self.network.reach(self.instance, address, port)

    def subnet(self, cidr: str) -> str:
        return str(self.ec2.create_subnet(VpcId=self.id, CidrBlock=cidr)["Subnet"]["SubnetId"])

    def launch(self, subnet: str, public: bool = False) -> tuple[str, str]:
        interface = {
            "DeviceIndex": 0,
            "SubnetId": subnet,
            "Groups": [self.group],
            "AssociatePublicIpAddress": public,
        }
        [made] = self.ec2.run_instances(
            ImageId="ami-12c6146b", MinCount=1, MaxCount=1, NetworkInterfaces=[interface]
        )["Instances"]
        self.launched.append(made["InstanceId"])
        return made["InstanceId"], made["PrivateIpAddress"]

    def table(self, *subnets: str) -> str:
        table = self.ec2.create_route_table(VpcId=self.id)["RouteTable"]["RouteTableId"]
        for subnet in subnets:
            self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        return str(table)

    def route(self, table: str, cidr: str, **target: str) -> None:
        self.ec2.create_route(RouteTableId=table, DestinationCidrBlock=cidr, **target)

    def endpoint(self, *tables: str) -> str:
        made = self.ec2.create_vpc_endpoint(
            VpcId=self.id,
            ServiceName=f"com.amazonaws.{REGION}.s3",
            VpcEndpointType="Gateway",
            RouteTableIds=list(tables),
        )
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def internet_gateway(self) -> str:
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.id)
        return str(gateway)

    def nat(self) -> tuple[str, str]:
        address = self.ec2.allocate_address(Domain="vpc")
        gateway = self.ec2.create_nat_gateway(
            SubnetId=self.public, AllocationId=address["AllocationId"]
        )["NatGateway"]
        return gateway["NatGatewayId"], address["PublicIp"]

    def let_out(self, **permission: Any) -> None:
        """Replaces all that the security group lets out."""
        group = self.ec2.describe_security_groups(GroupIds=[self.group])["SecurityGroups"][0]
        if group["IpPermissionsEgress"]:
            self.ec2.revoke_security_group_egress(
                GroupId=self.group, IpPermissions=group["IpPermissionsEgress"]
            )
        if permission:
            self.ec2.authorize_security_group_egress(
                GroupId=self.group, IpPermissions=[{"IpProtocol": "tcp", **permission}]
            )

    def acl(self, *entries: tuple[int, str, bool, str, tuple[int, int]]) -> None:
        """Gives the private subnet a network ACL of its own, with these entries."""
        acl = self.ec2.create_network_acl(VpcId=self.id)["NetworkAcl"]["NetworkAclId"]
        for number, action, egress, cidr, (first, last) in entries:
            self.ec2.create_network_acl_entry(
                NetworkAclId=acl,
                RuleNumber=number,
                RuleAction=action,
                Egress=egress,
                Protocol="6",
                CidrBlock=cidr,
                PortRange={"From": first, "To": last},
            )
        [old] = [
            association["NetworkAclAssociationId"]
            for found in self.ec2.describe_network_acls()["NetworkAcls"]
            for association in found["Associations"]
            if association["SubnetId"] == self.private
        ]
        self.ec2.replace_network_acl_association(AssociationId=old, NetworkAclId=acl)

    def prefix_list(self) -> str:
        lists = self.ec2.describe_managed_prefix_lists()["PrefixLists"]
        wanted = f"com.amazonaws.{REGION}.s3"
        return next(p["PrefixListId"] for p in lists if p["PrefixListName"] == wanted)


@pytest.fixture(scope="module")
def ec2() -> Iterator[Any]:
    """EC2 of a moto account for all tests: moto starts slower than a test runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        with mock_aws():
            use_own_ranges(DEFAULT_ACCOUNT_ID)
            yield boto3.client("ec2", region_name=REGION)


@pytest.fixture
def vpc(ec2: Any) -> Iterator[Vpc]:
    """A VPC for each test, with the only running instance of the account."""
    made = Vpc(ec2)
    yield made
    made.end()


def test_without_a_route_nothing_is_reached(vpc: Vpc) -> None:
    assert [vpc.reach(address) for address in (S3, OTHER_S3, INTERNET, "10.20.2.9")] == [None] * 4


def test_an_endpoint_on_the_main_table_serves_its_own_region_only(vpc: Vpc) -> None:
    endpoint = vpc.endpoint(vpc.main)
    assert vpc.reach() == Position(vpc.address, vpc.id, endpoint, vpc.instance)
    assert vpc.reach(port=80) == vpc.reach()
    assert vpc.reach(OTHER_S3) is None


def test_a_subnet_with_a_table_of_its_own_does_not_use_the_main_one(vpc: Vpc) -> None:
    vpc.endpoint(vpc.main)
    own = vpc.table(vpc.private)
    assert vpc.reach() is None
    vpc.endpoint(own)
    assert vpc.reach() is not None


def test_a_deleted_endpoint_is_reached_no_more(vpc: Vpc) -> None:
    endpoint = vpc.endpoint(vpc.main)
    vpc.ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    assert vpc.reach() is None


def test_a_route_that_outlived_its_endpoint_drops(vpc: Vpc) -> None:
    endpoint = vpc.endpoint(vpc.main)
    vpc.network._ec2.vpc_end_points[endpoint].state = "deleting"
    assert vpc.reach() is None


def test_the_longest_prefix_decides(vpc: Vpc) -> None:
    gateway = vpc.internet_gateway()
    vpc.endpoint(vpc.main)
    vpc.route(vpc.main, "0.0.0.0/0", GatewayId=gateway)
    assert vpc.reach() is not None  # the prefix list is narrower than the default route
    vpc.route(vpc.main, "52.219.168.0/24", GatewayId=gateway)
    assert vpc.reach() is None  # the instance has no public address
    assert vpc.reach("52.219.169.9") is not None


def test_of_two_routes_alike_the_static_one_decides(vpc: Vpc) -> None:
    vpc.endpoint(vpc.main)
    vpc.route(vpc.main, "52.219.168.0/22", GatewayId=vpc.internet_gateway())
    assert vpc.reach() is None


def test_a_propagated_route_yields_to_the_prefix_list_unless_it_is_longer(
    vpc: Vpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto has none, so that routes to a VPN gateway stand for them."""
    gateway = vpc.ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    vpc.endpoint(vpc.main)
    vpc.route(vpc.main, "52.219.168.0/22", GatewayId=gateway)
    assert vpc.reach() is None
    told = property(lambda route: "EnableVgwRoutePropagation")
    monkeypatch.setattr("moto.ec2.models.route_tables.Route.origin", told)
    assert vpc.reach() is not None
    vpc.route(vpc.main, "52.219.168.0/24", GatewayId=gateway)
    assert vpc.reach() is None


def test_an_internet_gateway_needs_a_public_address_and_an_attachment(vpc: Vpc) -> None:
    gateway = vpc.internet_gateway()
    vpc.route(vpc.main, "0.0.0.0/0", GatewayId=gateway)
    assert vpc.reach(INTERNET) is None
    vpc.instance, _ = vpc.launch(vpc.public, public=True)
    position = vpc.reach(INTERNET)
    assert position and position.vpc_id is None
    assert position.source_ip == vpc.network._ec2.get_instance(vpc.instance).public_ip
    assert vpc.reach("192.168.3.3") is None  # no gateway forwards what is private
    vpc.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc.id)
    assert vpc.reach(INTERNET) is None


def test_a_nat_gateway_needs_an_internet_gateway_behind_it(vpc: Vpc) -> None:
    nat, public_ip = vpc.nat()
    vpc.route(vpc.table(vpc.private), "0.0.0.0/0", NatGatewayId=nat)
    assert vpc.reach(INTERNET) is None
    vpc.route(vpc.main, "0.0.0.0/0", GatewayId=vpc.internet_gateway())
    assert vpc.reach(INTERNET) == Position(public_ip, instance_id=vpc.instance)
    assert vpc.reach(OTHER_S3) == vpc.reach(INTERNET)
    vpc.ec2.delete_nat_gateway(NatGatewayId=nat)
    assert vpc.reach(INTERNET) is None


def test_behind_a_nat_gateway_the_routes_of_its_own_subnet_count(vpc: Vpc) -> None:
    nat, _ = vpc.nat()
    vpc.route(vpc.table(vpc.private), "0.0.0.0/0", NatGatewayId=nat)
    endpoint = vpc.endpoint(vpc.main)
    position = vpc.reach()
    assert position and position.endpoint_id == endpoint
    assert position.source_ip == vpc.network._ec2.nat_gateways[nat].address_set[0]["privateIp"]


def test_a_nat_gateway_that_routes_to_itself_drops(vpc: Vpc) -> None:
    nat, _ = vpc.nat()
    vpc.route(vpc.main, "0.0.0.0/0", NatGatewayId=nat)
    assert vpc.reach(INTERNET) is None


@pytest.mark.parametrize(
    ("permission", "reached"),
    [
        ({}, False),
        ({"FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, True),
        ({"FromPort": 22, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, False),
        ({"FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "52.219.168.0/24"}]}, True),
        ({"FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.20.0.0/16"}]}, False),
        ({"FromPort": 0, "ToPort": 65535, "PrefixListIds": ["s3"]}, True),
        ({"IpProtocol": "udp", "FromPort": 443, "ToPort": 443, "PrefixListIds": ["s3"]}, False),
        ({"IpProtocol": "-1", "PrefixListIds": ["s3"]}, True),
    ],
)
def test_a_security_group_has_to_let_the_connection_out(
    vpc: Vpc, permission: dict[str, Any], reached: bool
) -> None:
    vpc.endpoint(vpc.main)
    if "PrefixListIds" in permission:
        permission = {**permission, "PrefixListIds": [{"PrefixListId": vpc.prefix_list()}]}
    vpc.let_out(**permission)
    assert (vpc.reach() is not None) is reached


ANY, HTTPS, BACK = "0.0.0.0/0", (443, 443), (1024, 65535)


@pytest.mark.parametrize(
    ("entries", "reached"),
    [
        ([], False),
        ([(100, "allow", True, ANY, HTTPS), (100, "allow", False, ANY, BACK)], True),
        ([(100, "allow", True, ANY, HTTPS)], False),
        ([(100, "allow", False, ANY, BACK)], False),
        ([(100, "allow", True, ANY, (80, 80)), (100, "allow", False, ANY, BACK)], False),
        ([(100, "allow", True, ANY, HTTPS), (100, "allow", False, ANY, (32768, 60998))], False),
        ([(100, "allow", True, ANY, HTTPS), (100, "allow", False, ANY, (32768, 60999))], True),
        ([(100, "allow", True, ANY, HTTPS), (100, "allow", False, "10.20.0.0/16", BACK)], False),
        (
            [
                (100, "allow", True, ANY, HTTPS),
                (200, "allow", False, ANY, BACK),
                (90, "deny", False, "52.219.0.0/16", (40000, 40000)),
            ],
            False,
        ),
        (
            [
                (90, "allow", True, ANY, HTTPS),
                (100, "deny", True, ANY, HTTPS),
                (100, "allow", False, ANY, BACK),
            ],
            True,
        ),
    ],
)
def test_a_network_acl_has_to_let_out_and_any_answer_in(
    vpc: Vpc, entries: list[Any], reached: bool
) -> None:
    vpc.endpoint(vpc.main)
    vpc.acl(*entries)
    assert (vpc.reach() is not None) is reached


def test_the_outlook_says_of_every_address_what_reach_says(vpc: Vpc) -> None:
    vpc.endpoint(vpc.main)
    vpc.route(vpc.main, "52.219.168.64/26", GatewayId=vpc.internet_gateway())
    outlook = vpc.network.outlooks()[vpc.instance]
    around = ["52.219.167.255", "52.219.168.0", "52.219.168.63", "52.219.168.64"]
    around += ["52.219.168.127", "52.219.168.128", "52.219.171.255", "52.219.172.0", INTERNET]
    for port in (80, 443):
        assert [outlook.position(a, port) for a in around] == [vpc.reach(a, port) for a in around]
    assert outlook.position(S3, 22) is None


def test_only_running_instances_have_an_outlook(vpc: Vpc) -> None:
    assert list(vpc.network.outlooks()) == [vpc.instance]
    vpc.ec2.stop_instances(InstanceIds=[vpc.instance])
    assert vpc.network.outlooks() == {}


def test_samples_lie_in_no_smaller_network() -> None:
    whole, low, high = (IPv4Network(f"10.0.0.{net}") for net in ("0/30", "0/31", "2/31"))
    first = IPv4Network("10.0.0.0/32")
    assert samples([whole, low, first]) == {
        whole: IPv4Address("10.0.0.2"),
        low: IPv4Address("10.0.0.1"),
        first: IPv4Address("10.0.0.0"),
    }
    assert whole not in samples([whole, low, high])
