"""Finds who shares the route tables of a change, and where their S3 traffic goes today."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from private_s3.network import Network, name
from private_s3.path.packets import claims, deciding, networks_of, partition

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef, RouteTableTypeDef, SubnetTypeDef


class Share(NamedTuple):
    """A subnet on a route table of the change, and an instance there, if there is one."""

    route_table: RouteTableTypeDef
    subnet: SubnetTypeDef
    instance: InstanceTypeDef | None
    is_target: bool  # the instance is one of the change
    ways: tuple[str, ...]  # the targets of S3 traffic today; none: it goes nowhere
    served: bool  # by a gateway endpoint already

    @property
    def where(self) -> str:
        return name(self.subnet) or self.subnet["SubnetId"]

    @property
    def who(self) -> str:
        if self.instance is None:
            return f"whatever else is in {self.where}"
        return f"{name(self.instance)} {self.instance['InstanceId']}".strip()

    @property
    def stopped(self) -> bool:
        return self.instance is not None and self.instance["State"]["Name"] == "stopped"

    @property
    def loses_connections(self) -> bool:
        """Whether its open connections to S3, if any, are reset when the route changes."""
        return bool(self.ways) and not (self.served or self.stopped)

    @property
    def connections(self) -> str:
        """What becomes of them, in words.

        Source: AWS PrivateLink Guide, "Gateway endpoints for Amazon S3": when an endpoint switches
        routes, open TCP connections are disconnected, and not resumed.
        """
        if self.served:
            return "stay: it is served already"
        if not self.ways:
            return "none to lose"
        return "none: it is stopped" if self.stopped else "reset when the route changes"


def shares(network: Network, instances: Sequence[InstanceTypeDef]) -> list[Share]:
    """Who shares the route tables of the change, by route table, subnet and name."""
    return [
        share
        for route_table in network.route_tables
        if route_table["RouteTableId"] in network.target_tables
        for subnet in network.subnets
        if network.route_table_of(subnet["SubnetId"]) is route_table
        for share in _of_subnet(network, route_table, subnet, instances)
    ]


def _of_subnet(
    network: Network,
    route_table: RouteTableTypeDef,
    subnet: SubnetTypeDef,
    instances: Sequence[InstanceTypeDef],
) -> list[Share]:
    targets = {one["InstanceId"] for one in network.instances}
    there = [one for one in instances if one.get("SubnetId") == subnet["SubnetId"]]
    there.sort(key=lambda one: (name(one), one["InstanceId"]))
    everybody: list[InstanceTypeDef | None] = [*there] or [None]
    ways, served = _ways(network, route_table)
    return [
        Share(route_table, subnet, one, bool(one and one["InstanceId"] in targets), ways, served)
        for one in everybody
    ]


def _ways(network: Network, table: RouteTableTypeDef) -> tuple[tuple[str, ...], bool]:
    """The targets that a route table has for S3 today, and whether an endpoint serves it.

    Each part of S3's addresses follows the route that is the most exact for it.
    """
    lists = {**network.service_lists, network.prefix_list_id: network.prefixes}
    routes = claims(table, lists)
    parts = partition(networks_of(network.prefixes), [claim.network for claim in routes])
    found = [c for part in parts for c in deciding(routes, part[0]) if c.active]
    served = any(
        c.destination == network.prefix_list_id and c.active and c.target.startswith("vpce-")
        for c in routes
    )
    return tuple(dict.fromkeys(c.target for c in found if c.target != "local")), served
