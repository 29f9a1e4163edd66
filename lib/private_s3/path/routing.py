"""Follows a packet through the route table of an instance's subnet, address by address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from private_s3.network import Network, label, target
from private_s3.path.packets import (
    LISTED,
    Claim,
    Step,
    claims,
    deciding,
    drops,
    few,
    networks_of,
    passes,
    precedence,
    strays,
    unknown,
)
from private_s3.path.surroundings import Surroundings
from private_s3.plan import NEW_ENDPOINT

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef, RouteTableTypeDef

# Numbers of the causes that are found here.
NO_ROUTE, LONGER_PREFIX = 1, 7
# What no gateway forwards to the internet.
NOT_PUBLIC = networks_of(
    (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3"),
    )
)


@dataclass(frozen=True)
class Routing:
    """The routes that an instance's packets follow, and the gateway endpoint among their ends."""

    network: Network
    surroundings: Surroundings
    instance: InstanceTypeDef

    @property
    def s3(self) -> list[IPv4Network]:
        """The addresses of S3 in this Region."""
        return networks_of(self.network.prefixes)

    @cached_property
    def table(self) -> RouteTableTypeDef:
        """The route table that the instance's subnet follows."""
        return self.network.route_table_of(self.instance.get("SubnetId", ""))

    @cached_property
    def claims(self) -> list[Claim]:
        """Every range that this table has a route for, as far as it could be read."""
        return claims(self.table, self.surroundings.prefix_lists)

    @cached_property
    def endpoint_id(self) -> str:
        """Id of what the table's route for S3's list leads to; empty without such a route."""
        listed = self.network.prefix_list_id
        routes = (r for r in self.table["Routes"] if r.get("DestinationPrefixListId") == listed)
        return next(map(target, routes), "")

    def target(self, address: IPv4Address) -> str:
        """Id of what the route to an address leads to; empty if none does, or nobody can know."""
        found = deciding(self.claims, address)
        return found[0].target if len(found) == 1 and not self._unread else ""

    def by_table(self, address: IPv4Address) -> Step:
        """Where the table leads, without the routes that win over that of S3's list.

        Those are of the next hop, so that each of the two can be judged by itself.
        """
        listed = self._listed(address)
        higher = [c for c in self.claims if listed and precedence(c) > precedence(listed)]
        lower = [c for c in self.claims if not listed or precedence(c) <= precedence(listed)]
        found = deciding(lower, address)
        of_list = [c for c in found if listed and c.destination == listed.destination]
        if not found and self._unread:
            step = unknown(self._unread)
        elif not found:
            step = drops(f"no route leads {'to S3' if listed else 'there'}", NO_ROUTE)
        elif len(found) > 1 and not of_list:
            step = unknown(f"{_names(found)} hold the same: AWS chooses one")
        else:
            step = self._follow((of_list or found)[0], address)
        decides = not deciding(higher, address) and (found == of_list or not of_list)
        return step._replace(
            reason=f"{self._label}: {step.reason}", drops=step.drops if decides else False
        )

    def by_longest_prefix(self, address: IPv4Address) -> Step:
        """Whether another route wins over that of S3's list, or would once there is one."""
        if self._unread:
            return unknown(self._unread)
        listed = self._listed(address)
        if not listed:
            return passes("not one of S3's addresses in this Region")
        others = [c for c in self.claims if c.destination != listed.destination]
        found = deciding(others, address)
        if not found or precedence(found[0]) < precedence(listed):
            return passes(f"no route wins over {listed.destination}")
        if precedence(found[0]) == precedence(listed):
            names = _names([*found, listed])
            step = unknown(f"{names} hold the same: AWS chooses one")
            return step if self.endpoint_id else step._replace(drops=False)
        if len(found) > 1:
            return unknown(f"{_names(found)} hold the same: AWS chooses one")
        step = self._follow(found[0], address)
        text = f"{step.reason}; it wins over {listed.destination}"
        return Step("blocked", text, step.drops, LONGER_PREFIX)

    def by_endpoint(self, address: IPv4Address) -> Step:
        """Whether the table is on a gateway endpoint that is at work."""
        endpoint_id, table_id = self.endpoint_id, self.table["RouteTableId"]
        if not endpoint_id:
            target = self.target(address)
            return strays(self._unserved + (target and f"; S3's packets go to {target}"), NO_ROUTE)
        if endpoint_id == NEW_ENDPOINT:
            return passes(f"the plan makes one, and puts {table_id} on it")
        if not endpoint_id.startswith("vpce-"):
            return strays(f"{table_id} leads S3's list to {endpoint_id}", NO_ROUTE)
        states = {one["VpcEndpointId"]: one["State"].lower() for one in self.network.endpoints}
        state = states.get(endpoint_id, "not there")
        text = f"{endpoint_id}, to which {table_id} leads, is {state}"
        if state == "available":
            return passes(text)
        symptom = None if endpoint_id in states else NO_ROUTE
        return Step("blocked", text, self.target(address) == endpoint_id, symptom)

    def _follow(self, claim: Claim, address: IPv4Address) -> Step:
        """What becomes of a packet that follows a route."""
        if not claim.active:
            return drops(f"{claim}, a black hole", NO_ROUTE)
        if claim.target == "local":
            return drops(f"{claim}, so it stays in the VPC", NO_ROUTE)
        if claim.target == self.endpoint_id:
            return passes(f"{claim}")
        if not claim.target.startswith(("igw-", "nat-")):
            return passes(f"{claim}, and what lies beyond is not known")
        if any(address in network for network in NOT_PUBLIC):
            return drops(f"{claim}, which forwards to no private address", NO_ROUTE)
        if claim.target.startswith("igw-") and not self.instance.get("PublicIpAddress"):
            return drops(f"{claim}, which needs a public address of the instance", NO_ROUTE)
        return passes(f"{claim}: over the internet, not privately")

    def _listed(self, address: IPv4Address) -> Claim | None:
        """S3's list as a claim to an address of it, whether or not there is a route for it."""
        networks = [network for network in self.s3 if address in network]
        if not networks:
            return None
        longest = max(networks, key=lambda network: network.prefixlen)
        return Claim(longest, LISTED, self.network.prefix_list_id, self.endpoint_id, True)

    @property
    def _label(self) -> str:
        subnet, table = self.instance.get("SubnetId"), self.table
        explicit = any(one.get("SubnetId") == subnet for one in table["Associations"])
        return f"{label(table)} ({'explicit' if explicit else 'main table'})"

    @property
    def _unserved(self) -> str:
        """That no gateway endpoint has a route in the table, and which there are, in words."""
        table_id, serving = self.table["RouteTableId"], []
        for one in self.network.endpoints:
            name = f"{one['VpcEndpointId']} ({one['State'].lower()})"
            tables = one.get("RouteTableIds", [])
            if table_id in tables:
                return f"{table_id} is on {name}, and has no route to it"
            serving.append(f"{name} serves {few(tables) or 'no route table'}")
        others = few(serving) or f"{self.network.vpc_id} has none for S3"
        return f"{table_id} is on no gateway endpoint: {others}"

    @cached_property
    def _unread(self) -> str:
        """Which prefix list of a route could not be read, and why; empty if all could."""
        ids = [r.get("DestinationPrefixListId", "") for r in self.table["Routes"]]
        for one in ids:
            if one and one not in self.surroundings.prefix_lists:
                answer = self.surroundings.unread.get(one, "AWS told nothing of it")
                return f"could not read {one}: {answer}"
        return ""


def _names(found: Sequence[Claim]) -> str:
    return few([str(claim) for claim in found])
