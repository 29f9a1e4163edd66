"""Reads what stands around the routes of a VPC: name resolution, security groups, network ACLs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from private_s3 import aws
from private_s3.errors import AwsRefused
from private_s3.network import Network

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        InstanceNetworkInterfaceTypeDef,
        InstanceTypeDef,
        NetworkAclTypeDef,
        SecurityGroupTypeDef,
        VpcEndpointTypeDef,
    )

# What `unread` calls what could not be read; a prefix list goes by its id.
DNS, GROUPS, ACLS = "DNS attributes", "security groups", "network ACLs"
Found = TypeVar("Found")


@dataclass(frozen=True)
class Surroundings:
    """One reading of what stands around the routes of one VPC.

    `security_groups` are those of the instances of the change. `prefix_lists` are the addresses,
    by id, of S3's list and of every other that their route tables or groups name. `unread` is
    AWS's answer to each reading that it refused.
    """

    dns_support: bool | None  # None: could not be read
    dns_hostnames: bool | None
    security_groups: Mapping[str, SecurityGroupTypeDef]
    network_acls: list[NetworkAclTypeDef]
    prefix_lists: Mapping[str, list[str]]
    s3_interface_endpoints: list[VpcEndpointTypeDef]
    unread: Mapping[str, str]


def read(ec2: EC2Client, network: Network) -> Surroundings:
    """What stands around a network: four calls, and one for each prefix list of the customer's.

    IAM actions: ec2:DescribeVpcAttribute, ec2:DescribeSecurityGroups, ec2:DescribeNetworkAcls,
    ec2:GetManagedPrefixListEntries. What AWS refuses is `unread`; what may pass is raised.
    """
    unread: dict[str, str] = {}
    dns = _unless_refused(DNS, unread, partial(_dns, ec2, network.vpc_id))
    groups = _unless_refused(GROUPS, unread, partial(_groups, ec2, network)) or {}
    acls = _unless_refused(ACLS, unread, partial(_acls, ec2, network.vpc_id)) or []
    lists = {network.prefix_list_id: network.prefixes}
    for list_id in sorted(_lists_named(network, groups.values()) - lists.keys()):
        entries = network.service_lists.get(list_id)
        if entries is None:
            entries = _unless_refused(list_id, unread, partial(_entries, ec2, list_id))
        if entries is not None:
            lists[list_id] = entries
    support, hostnames = dns or (None, None)
    return Surroundings(
        support, hostnames, groups, acls, lists, network.interface_endpoints, unread
    )


def interface_of(instance: InstanceTypeDef) -> InstanceNetworkInterfaceTypeDef | None:
    """The primary network interface, by which an instance's packets leave; None without one."""
    for interface in instance.get("NetworkInterfaces", []):
        if interface["Attachment"]["DeviceIndex"] == 0:
            return interface
    return None


def groups_of(instance: InstanceTypeDef) -> list[str]:
    """Ids of the security groups of an instance's primary network interface, sorted."""
    interface = interface_of(instance)
    groups = interface["Groups"] if interface else instance.get("SecurityGroups", [])
    return sorted(group["GroupId"] for group in groups)


def _unless_refused(
    what: str, unread: dict[str, str], reading: Callable[[], Found]
) -> Found | None:
    try:
        return reading()
    except AwsRefused as error:
        if error.passing or not error.is_answer:
            raise  # not to be taken for a lasting refusal: much would be uncertain by it
        unread[what] = error.answer
        return None


def _dns(ec2: EC2Client, vpc_id: str) -> tuple[bool, bool]:
    """Whether the VPC has a resolver, and gives names to its instances."""
    # AWS tells one attribute a call.
    with aws.attempt(f"read the DNS attributes of {vpc_id}", "grant ec2:DescribeVpcAttribute"):
        support = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsSupport")
        hostnames = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsHostnames")
    return support["EnableDnsSupport"]["Value"], hostnames["EnableDnsHostnames"]["Value"]


def _groups(ec2: EC2Client, network: Network) -> dict[str, SecurityGroupTypeDef]:
    ids = sorted({group for instance in network.instances for group in groups_of(instance)})
    if not ids:
        return {}
    # A filter, since an id that is gone by now would fail the whole call.
    by_id = [{"Name": "group-id", "Values": ids}]
    attempted = f"read the security groups {', '.join(ids)}"
    with aws.attempt(attempted, "grant ec2:DescribeSecurityGroups"):
        found = aws.pages(ec2, "describe_security_groups", "SecurityGroups", Filters=by_id)
    return {group["GroupId"]: group for group in found}


def _acls(ec2: EC2Client, vpc_id: str) -> list[NetworkAclTypeDef]:
    in_vpc = [{"Name": "vpc-id", "Values": [vpc_id]}]
    with aws.attempt(f"read the network ACLs of {vpc_id}", "grant ec2:DescribeNetworkAcls"):
        found = aws.pages(ec2, "describe_network_acls", "NetworkAcls", Filters=in_vpc)
    return sorted(found, key=lambda acl: acl["NetworkAclId"])


def _entries(ec2: EC2Client, list_id: str) -> list[str]:
    attempted = f"read the entries of the prefix list {list_id}"
    with aws.attempt(attempted, "grant ec2:GetManagedPrefixListEntries"):
        found = aws.pages(ec2, "get_managed_prefix_list_entries", "Entries", PrefixListId=list_id)
    return [entry["Cidr"] for entry in found]


def _lists_named(network: Network, groups: Iterable[SecurityGroupTypeDef]) -> set[str]:
    """Ids of the prefix lists that the instances' route tables and groups name."""
    tables = [t for t in network.route_tables if t["RouteTableId"] in network.target_tables]
    routes = [route for table in tables for route in table["Routes"]]
    rules = [rule for group in groups for rule in group["IpPermissionsEgress"]]
    return {
        *(r["DestinationPrefixListId"] for r in routes if r.get("DestinationPrefixListId")),
        *(one["PrefixListId"] for rule in rules for one in rule.get("PrefixListIds", [])),
    }
