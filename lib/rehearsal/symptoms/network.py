"""What can be wrong between app-1 and S3: routes, groups, ACLs, names, and no way to manage it."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from rehearsal.symptoms.ground import Ground, Undo

_HTTPS, _EPHEMERAL = {"From": 443, "To": 443}, {"From": 1024, "To": 65535}
_EVERYWHERE, _INSIDE = "0.0.0.0/0", "10.0.0.0/8"


def open_path(ground: Ground) -> Undo:
    """A gateway endpoint on the route table of app-1's subnet, unless there is one."""
    table = ground.route_table["RouteTableId"]
    if any(table in endpoint["RouteTableIds"] for endpoint in ground.endpoints):
        return lambda: None
    made = ground.ec2.create_vpc_endpoint(
        VpcId=ground.vpc_id,
        ServiceName=ground.service,
        RouteTableIds=[table],
        TagSpecifications=[_named("vpc-endpoint", "open-path")],
    )["VpcEndpoint"]["VpcEndpointId"]
    return lambda: ground.ec2.delete_vpc_endpoints(VpcEndpointIds=[made])


def take_table_from_endpoint(ground: Ground) -> Undo:
    """The endpoint is there, but not on the route table that decides for app-1."""
    change, endpoint = ground.ec2.modify_vpc_endpoint, ground.endpoint_id
    table = [ground.route_table["RouteTableId"]]
    change(VpcEndpointId=endpoint, RemoveRouteTableIds=table)
    return lambda: change(VpcEndpointId=endpoint, AddRouteTableIds=table)


def narrow_security_group(ground: Ground) -> Undo:
    """The groups of app-1 let it connect to private addresses only."""
    ids = [group["GroupId"] for group in ground.instance["SecurityGroups"]]
    groups = ground.ec2.describe_security_groups(GroupIds=ids)["SecurityGroups"]
    inside = [
        {
            "IpProtocol": "tcp",
            "FromPort": 443,
            "ToPort": 443,
            "IpRanges": [{"CidrIp": _INSIDE, "Description": "Inside our networks"}],
        }
    ]
    for group in groups:
        _set_egress(ground, group["GroupId"], group["IpPermissionsEgress"], inside)

    def undo() -> None:
        for group in groups:
            _set_egress(ground, group["GroupId"], inside, group["IpPermissionsEgress"])

    return undo


def _set_egress(ground: Ground, group: str, before: list[Any], after: list[Any]) -> None:
    if before:
        ground.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=before)
    if after:
        ground.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=after)


def let_no_answers_back(ground: Ground) -> Undo:
    """The subnet has a network ACL of its own, which lets answers in from its VPC only."""
    ec2, vpc_id = ground.ec2, ground.vpc_id
    cidr = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]["CidrBlock"]
    acl = ec2.create_network_acl(
        VpcId=vpc_id, TagSpecifications=[_named("network-acl", "app-a-only")]
    )["NetworkAcl"]["NetworkAclId"]
    entries = [
        (100, True, _EVERYWHERE, _HTTPS),
        (110, True, cidr, _EPHEMERAL),
        (100, False, cidr, _HTTPS),
        (110, False, cidr, _EPHEMERAL),
    ]
    for number, outward, network, ports in entries:
        ec2.create_network_acl_entry(
            NetworkAclId=acl,
            RuleNumber=number,
            Protocol="6",
            RuleAction="allow",
            Egress=outward,
            CidrBlock=network,
            PortRange=ports,
        )
    before = _move_subnet(ground, acl)

    def undo() -> None:
        _move_subnet(ground, before)
        ec2.delete_network_acl(NetworkAclId=acl)

    return undo


def _move_subnet(ground: Ground, acl: str) -> str:
    """Gives app-1's subnet another network ACL; the id of the one that it had."""
    subnet = ground.instance["SubnetId"]
    filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
    (found,) = ground.ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
    (association,) = [one for one in found["Associations"] if one["SubnetId"] == subnet]
    ground.ec2.replace_network_acl_association(
        AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl
    )
    return str(found["NetworkAclId"])


def turn_off_dns(ground: Ground) -> Undo:
    """The VPC's resolver answers nobody."""
    ec2, vpc_id = ground.ec2, ground.vpc_id
    shown = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsSupport")
    before = shown["EnableDnsSupport"]
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsSupport={"Value": False})
    return lambda: ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsSupport=before)


def route_around_endpoint(ground: Ground) -> Undo:
    """Longer routes to all of S3's addresses lead to an internet gateway.

    Nothing comes of it: app-1 has no public address.
    """
    ec2, vpc_id, table = ground.ec2, ground.vpc_id, ground.route_table["RouteTableId"]
    gateway = ec2.create_internet_gateway(
        TagSpecifications=[_named("internet-gateway", "updates")]
    )["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
    halves = [half for network in _s3_networks(ground) for half in network.subnets()]
    for half in halves:
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=str(half), GatewayId=gateway)

    def undo() -> None:
        for half in halves:
            ec2.delete_route(RouteTableId=table, DestinationCidrBlock=str(half))
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
        ec2.delete_internet_gateway(InternetGatewayId=gateway)

    return undo


def _s3_networks(ground: Ground) -> list[IPv4Network]:
    filters = [{"Name": "prefix-list-name", "Values": [ground.service]}]
    (found,) = ground.ec2.describe_prefix_lists(Filters=filters)["PrefixLists"]
    return [IPv4Network(cidr) for cidr in found["Cidrs"]]


def remove_management_endpoint(ground: Ground) -> Undo:
    """Systems Manager has no endpoint in the VPC, so that app-1 cannot report to it.

    AWS gives an endpoint that is made anew another id, and its interface another address.
    """
    ec2, ids = ground.ec2, ground.account.ids
    (found,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[ids["ssm"]])["VpcEndpoints"]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[ids["ssm"]])

    def undo() -> None:
        made = ec2.create_vpc_endpoint(
            VpcEndpointType=found["VpcEndpointType"],
            VpcId=found["VpcId"],
            ServiceName=found["ServiceName"],
            PolicyDocument=found["PolicyDocument"],
            SubnetIds=found["SubnetIds"],
            SecurityGroupIds=[group["GroupId"] for group in found["Groups"]],
            PrivateDnsEnabled=found["PrivateDnsEnabled"],
            TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": found["Tags"]}],
        )
        ids["ssm"] = made["VpcEndpoint"]["VpcEndpointId"]

    return undo


def _named(kind: str, name: str) -> dict[str, Any]:
    return {"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}
