"""Says whether the SSM agent on an instance gets to its service: by an endpoint, or another way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple

from private_s3.network import Network
from private_s3.path.packet_filters import acl_back, acl_networks, acl_out, group_networks, lets_out
from private_s3.path.packets import Step, claims, deciding, few, partition
from private_s3.path.surroundings import Surroundings, groups_of

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        InstanceTypeDef,
        IpPermissionOutputTypeDef,
        NetworkAclTypeDef,
        SecurityGroupTypeDef,
        VpcEndpointTypeDef,
    )

PORT = 443
# An address outside of any VPC, as those of AWS's services are.
OUTSIDE = IPv4Address("198.51.100.1")


class Blocker(NamedTuple):
    """One thing that keeps Systems Manager from an instance, and what to do about it."""

    cause: str
    remedy: str


@dataclass(frozen=True)
class AgentWay:
    """An instance, and what its agent's packets pass; `groups` are also those of the endpoints.

    What could not be read stands in nobody's way here.
    """

    network: Network
    surroundings: Surroundings
    endpoints: Sequence[VpcEndpointTypeDef]  # of the services that the agent speaks to
    groups: Mapping[str, SecurityGroupTypeDef]
    instance: InstanceTypeDef

    def blockers(self, services: Sequence[str]) -> Iterator[Blocker]:
        """What is in the way of the agent, in the order in which it would meet it."""
        if self.surroundings.dns_support is False:
            yield Blocker(
                f"{self.network.vpc_id} resolves no names (enableDnsSupport is off)",
                f"aws ec2 modify-vpc-attribute --vpc-id {self.network.vpc_id} --enable-dns-support",
            )
        by_service = {one: self._of_service(one) for one in services}
        if not all(by_service.values()) and self._leads_out:
            if blocked := self._blocked(self.own_groups, [IPv4Network(f"{OUTSIDE}/32")]):
                yield blocked
            return
        for service, found in by_service.items():
            yield from self._to(service, found)

    def _to(self, service: str, found: Sequence[VpcEndpointTypeDef]) -> Iterator[Blocker]:
        vpc_id, region = self.network.vpc_id, self.network.service_name.split(".")[2]
        if not found:
            name = f"com.amazonaws.{region}.{service}"
            yield Blocker(
                f"{vpc_id} has no interface endpoint for {service}, and no other way leads out",
                f"make an interface endpoint for {name} in {vpc_id}, with private DNS and a "
                "security group that lets tcp 443 in from the instance",
            )
            return
        obstacles = [self._obstacle(endpoint) for endpoint in found]
        if all(obstacles):  # one that serves is enough
            yield from filter(None, obstacles)

    def _obstacle(self, endpoint: VpcEndpointTypeDef) -> Blocker | None:
        """What keeps the agent from an endpoint, the first thing of all."""
        endpoint_id, state = endpoint["VpcEndpointId"], endpoint["State"].lower()
        if state != "available":
            return Blocker(f"{endpoint_id} is {state}", "wait until it is available, or repair it")
        if not endpoint.get("PrivateDnsEnabled"):
            return Blocker(
                f"{endpoint_id} has no private DNS: the service's name does not lead to it",
                f"aws ec2 modify-vpc-endpoint --vpc-endpoint-id {endpoint_id} "
                "--private-dns-enabled",
            )
        if self.surroundings.dns_hostnames is False:
            return Blocker(
                f"private DNS of {endpoint_id} needs enableDnsHostnames of {self.network.vpc_id}",
                f"aws ec2 modify-vpc-attribute --vpc-id {self.network.vpc_id} "
                "--enable-dns-hostnames",
            )
        theirs = [group["GroupId"] for group in endpoint.get("Groups", [])]
        return self._let_in(endpoint_id, theirs) or self._let_out(endpoint, theirs)

    def _let_in(self, endpoint_id: str, groups: Sequence[str]) -> Blocker | None:
        known = [self.groups[one] for one in groups if one in self.groups]
        rules = [rule for group in known for rule in group["IpPermissions"]]
        if len(known) < len(groups) or any(map(self._is_let_in, rules)):
            return None
        address = self.instance.get("PrivateIpAddress")
        return Blocker(
            f"{few(groups)} of {endpoint_id} let no tcp 443 in from {address}",
            f"aws ec2 authorize-security-group-ingress --group-id {groups[0]} --protocol tcp "
            f"--port 443 --cidr {address}/32",
        )

    def _is_let_in(self, rule: IpPermissionOutputTypeDef) -> bool:
        if not _is_for_tls(rule):
            return False
        address = ip_address(self.instance.get("PrivateIpAddress", "0.0.0.0"))
        lists = self.surroundings.prefix_lists
        named = [one["CidrIp"] for one in rule.get("IpRanges", [])]
        for one in rule.get("PrefixListIds", []):
            # One whose addresses are not known may well hold this one.
            named += lists.get(one["PrefixListId"], ["0.0.0.0/0"])
        members = {one.get("GroupId") for one in rule.get("UserIdGroupPairs", [])}
        return bool(members & {*groups_of(self.instance)}) or any(
            address in ip_network(cidr) for cidr in named
        )

    def _let_out(self, endpoint: VpcEndpointTypeDef, groups: Sequence[str]) -> Blocker | None:
        """By the instance's own groups, and by the network ACL of its subnet."""
        subnets = {subnet["SubnetId"]: subnet for subnet in self.network.subnets}
        there = [one for one in endpoint.get("SubnetIds", []) if one in subnets]
        to_members = {
            pair.get("GroupId")
            for group in self.own_groups
            for rule in group["IpPermissionsEgress"]
            if _is_for_tls(rule)
            for pair in rule.get("UserIdGroupPairs", [])
        }
        networks = [IPv4Network(subnets[one]["CidrBlock"]) for one in there]
        if not to_members & {*groups} and (blocked := self._blocked(self.own_groups, networks)):
            return blocked
        acl = self._acl
        if acl is None or self.instance.get("SubnetId") in there:
            return None
        parts = [*partition(networks, acl_networks(acl))]
        for step in (lambda a: acl_out(acl, a, PORT), lambda a: acl_back(acl, a)):
            if reason := _closed(step, parts):
                return Blocker(reason, f"have {acl['NetworkAclId']} allow tcp 443 and its answers")
        return None

    def _blocked(
        self, groups: Sequence[SecurityGroupTypeDef], networks: Sequence[IPv4Network]
    ) -> Blocker | None:
        """That the groups let the agent out to none of these addresses, if it is so."""
        lists, ids = self.surroundings.prefix_lists, groups_of(self.instance)
        if len(groups) < len(ids):
            return None
        parts = [*partition(networks, group_networks(groups, lists))]
        if reason := _closed(lambda address: lets_out(groups, lists, address, PORT), parts):
            return Blocker(
                f"{reason}, which the SSM agent needs",
                f"aws ec2 authorize-security-group-egress --group-id {ids[0]} --ip-permissions "
                f"IpProtocol=tcp,FromPort=443,ToPort=443,IpRanges=[{{CidrIp={networks[0]}}}]",
            )
        return None

    def _of_service(self, service: str) -> list[VpcEndpointTypeDef]:
        return [one for one in self.endpoints if one["ServiceName"].endswith(f".{service}")]

    @property
    def own_groups(self) -> list[SecurityGroupTypeDef]:
        return [self.groups[one] for one in groups_of(self.instance) if one in self.groups]

    @property
    def _leads_out(self) -> bool:
        """Whether the route table has an active route that leads out of the VPC at all."""
        table = self.network.route_table_of(self.instance["SubnetId"])
        found = deciding(claims(table, self.surroundings.prefix_lists), OUTSIDE)
        if any(one.target.startswith("igw-") for one in found):
            return bool(self.instance.get("PublicIpAddress"))
        return any(one.active for one in found)

    @property
    def _acl(self) -> NetworkAclTypeDef | None:
        subnet = self.instance.get("SubnetId")
        for acl in self.surroundings.network_acls:
            if any(one.get("SubnetId") == subnet for one in acl["Associations"]):
                return acl
        return None


def _closed(step: Callable[[IPv4Address], Step], parts: Iterable[IPv4Network]) -> str:
    """Why none of these parts is reached; empty if one is, or may be."""
    steps = [step(part[0]) for part in parts]
    return steps[0].reason if steps and all(one.verdict == "blocked" for one in steps) else ""


def _is_for_tls(rule: IpPermissionOutputTypeDef) -> bool:
    if rule["IpProtocol"] == "-1":
        return True
    return rule["IpProtocol"] in ("tcp", "6") and rule["FromPort"] <= PORT <= rule["ToPort"]
