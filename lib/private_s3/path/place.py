"""Says what each hop does with a packet of one instance, by where that instance is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from private_s3.network import Network
from private_s3.path.packet_filters import acl_back, acl_networks, acl_out, group_networks, lets_out
from private_s3.path.packets import (
    Step,
    Verdict,
    drops,
    few,
    partition,
    passes,
    ranges,
    unknown,
)
from private_s3.path.routing import Routing
from private_s3.path.surroundings import ACLS, GROUPS, Surroundings, groups_of, interface_of

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef, NetworkAclTypeDef, SecurityGroupTypeDef


@dataclass(frozen=True)
class Place:
    """An instance, and all that its packets pass, as it was read."""

    network: Network
    surroundings: Surroundings
    instance: InstanceTypeDef

    @cached_property
    def routing(self) -> Routing:
        """The routes that its packets follow."""
        return Routing(self.network, self.surroundings, self.instance)

    def steps(self, address: IPv4Address, port: int) -> dict[str, Step]:
        """What each hop does with a packet to an address and port, in the order of the hops."""
        return {
            "instance": self._running(),
            "interface": self._interface(),
            "route table": self.routing.by_table(address),
            "longest prefix": self.routing.by_longest_prefix(address),
            "security group": self._security_groups(address, port),
            "network ACL out": self._acl(lambda acl: acl_out(acl, address, port)),
            "network ACL back": self._acl(lambda acl: acl_back(acl, address)),
            "gateway endpoint": self.routing.by_endpoint(address),
        }

    def to_s3(self, port: int) -> dict[str, Step]:
        """What each hop does with the packets to S3: the worst that befalls any of them."""
        parts = partition(self.routing.s3, self._named)
        found = [(part, self.steps(part[0], port)) for part in parts]
        whole = {hop: _worst([(part, steps[hop]) for part, steps in found]) for hop in found[0][1]}
        if self.instance.get("SubnetId"):
            return whole
        own = {"instance": whole.pop("instance"), "interface": whole.pop("interface")}
        return {**own, **dict.fromkeys(whole, unknown("it is in no subnet"))}

    @property
    def _named(self) -> set[IPv4Network]:
        """Every range that a rule or route names: between two of them nothing differs."""
        lists, acl = self.surroundings.prefix_lists, self._network_acl
        return {
            *(claim.network for claim in self.routing.claims),
            *group_networks(self._groups, lists),
            *(acl_networks(acl) if acl else ()),
        }

    def _running(self) -> Step:
        state = self.instance["State"]["Name"]
        text = f"{self.instance['InstanceId']} is {state}"
        return passes(text) if state == "running" else drops(text)

    def _interface(self) -> Step:
        address, subnet = (self.instance.get(key) for key in ("PrivateIpAddress", "SubnetId"))
        if not (address and subnet):
            return drops(f"it has {address or 'no IPv4 address'} in {subnet or 'no subnet'}")
        interface = interface_of(self.instance)
        name = f"{interface['NetworkInterfaceId']}, " if interface else ""
        public = self.instance.get("PublicIpAddress") or "no public address"
        return passes(f"{name}{address} in {subnet}, {public}")

    def _security_groups(self, address: IPv4Address, port: int) -> Step:
        step = lets_out(self._groups, self.surroundings.prefix_lists, address, port)
        read = self.surroundings.security_groups
        missing = [one for one in groups_of(self.instance) if one not in read]
        if missing and step.verdict != "open":
            return unknown(f"could not read {few(missing)}: {self._answer(GROUPS)}")
        return step

    def _acl(self, judge: Callable[[NetworkAclTypeDef], Step]) -> Step:
        if acl := self._network_acl:
            return judge(acl)
        subnet = self.instance.get("SubnetId")
        return unknown(f"could not read the network ACL of {subnet}: {self._answer(ACLS)}")

    @cached_property
    def _groups(self) -> list[SecurityGroupTypeDef]:
        read = self.surroundings.security_groups
        return [read[one] for one in groups_of(self.instance) if one in read]

    @cached_property
    def _network_acl(self) -> NetworkAclTypeDef | None:
        subnet = self.instance.get("SubnetId")
        for acl in self.surroundings.network_acls:
            if any(one["SubnetId"] == subnet for one in acl["Associations"]):
                return acl
        return None

    def _answer(self, what: str) -> str:
        return self.surroundings.unread.get(what, "AWS told nothing of it")


def _worst(found: Sequence[tuple[IPv4Network, Step]]) -> Step:
    """One step for all the addresses, which says for which of them it holds."""
    order: tuple[Verdict, ...] = ("blocked", "uncertain", "open")
    step = min((step for _, step in found), key=lambda one: order.index(one.verdict))
    parts: dict[str, list[IPv4Network]] = {}
    for part, other in found:
        if other.verdict == step.verdict:
            parts.setdefault(other.reason, []).append(part)
    reasons = list(parts)
    if step.verdict != "open" and sum(map(len, parts.values())) < len(found):
        reasons = [f"{ranges(where)} of S3's addresses: {why}" for why, where in parts.items()]
    return step._replace(reason=few(reasons, "; "))
