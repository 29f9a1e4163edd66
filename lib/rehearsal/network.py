"""What would happen to a packet: an instance's network, read from the account at one moment.

Not modelled: transit gateways, peering, routes to network interfaces, IPv6, interface endpoints.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from rehearsal.filters import acl_allows, cidrs, groups_allow, rule_networks

PORTS = (80, 443)
SSH = 22
EVERYWHERE = IPv4Network("0.0.0.0/0")
# What no gateway forwards to the internet.
NOT_PUBLIC = [
    IPv4Network("0.0.0.0/8"),
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("224.0.0.0/3"),
]


@dataclass(frozen=True)
class Position:
    """Where a request to AWS comes from, as AWS sees it."""

    source_ip: str  # private address through an endpoint, public otherwise
    vpc_id: str | None = None  # set only through a VPC endpoint
    endpoint_id: str | None = None
    instance_id: str | None = None  # for logs


OUTSIDE = Position(source_ip="203.0.113.10")  # the operator's seat (documentation range)


@dataclass(frozen=True)
class Host:
    """What an instance is told about itself by its metadata and its resolver."""

    instance_id: str
    private_ip: str
    subnet_router: str
    resolver: str
    dns_support: bool
    name: str
    account_id: str = ""
    region: str = ""
    availability_zone: str = ""
    image_id: str = ""
    instance_type: str = ""
    architecture: str = ""
    launched: str = ""
    role: str = ""  # empty without an instance profile
    profile_arn: str = ""
    profile_id: str = ""


@dataclass(frozen=True)
class Outlook:
    """One instance and where its packets get, by port and network; needs no lock to be read."""

    host: Host
    s3: Mapping[str, tuple[IPv4Network, ...]]  # by region
    positions: Mapping[tuple[int, IPv4Network], Position | None]
    ssh: bool = False  # whether an EC2 Instance Connect Endpoint in its subnet reaches its port 22

    def position(self, address: str, port: int) -> Position | None:
        """What Network.reach said for this address; None when the packet is dropped."""
        within = [
            network
            for at, network in self.positions
            if at == port and IPv4Address(address) in network
        ]
        if not within:
            return None
        return self.positions[port, max(within, key=lambda network: network.prefixlen)]

    def is_s3(self, address: str, region: str) -> bool:
        """Whether the address is one of S3's in the region."""
        return any(IPv4Address(address) in network for network in self.s3.get(region, ()))


class Network:
    """The routing of one account in one region, as it is now; `regions` have an S3 each."""

    def __init__(
        self, account_id: str, region: str, regions: Iterable[str] = ("us-east-1",)
    ) -> None:
        # Not at the top: the process chooses its namespaces before moto is imported.
        from moto.ec2.models import ec2_backends

        self._account_id, self._region = account_id, region
        self._ec2: Any = ec2_backends[account_id][region]
        self._everywhere = {r: ec2_backends[account_id][r] for r in sorted({region, *regions})}

    def reach(self, instance_id: str, address: str, port: int = 443) -> Position | None:
        """Where a TCP connection to the address comes from; None when its packets are dropped."""
        instance = self._ec2.get_instance(instance_id)
        destination = IPv4Address(address)
        if not groups_allow(self._ec2, instance, destination, port):
            return None
        position = self._leave(
            instance.subnet_id, destination, port, instance.private_ip, instance.public_ip
        )
        return position and replace(position, instance_id=instance_id)

    def outlooks(self) -> dict[str, Outlook]:
        """The outlook of every running instance."""
        return {instance.id: self._outlook(instance) for instance in self._running()}

    def _running(self) -> list[Any]:
        return [
            instance
            for reservation in self._ec2.reservations.values()
            for instance in reservation.instances
            if instance.state == "running"
        ]

    def _outlook(self, instance: Any) -> Outlook:
        s3 = {
            region: tuple(cidrs(prefix_list))
            for region, ec2 in self._everywhere.items()
            for prefix_list in ec2.managed_prefix_lists.values()
            if prefix_list.prefix_list_name == f"com.amazonaws.{region}.s3"
        }
        named = self._networks_named(instance.vpc_id).union(NOT_PUBLIC, *s3.values())
        sample = samples({EVERYWHERE, *named})
        positions = {
            (port, network): self.reach(instance.id, str(address), port)
            for port in PORTS
            for network, address in sample.items()
        }
        host = self._host(instance)
        ssh = groups_allow(
            self._ec2, instance, IPv4Address(host.subnet_router), SSH, "ingress_rules"
        )
        return Outlook(host, s3, positions, ssh)

    def _host(self, instance: Any) -> Host:
        vpc, subnet = self._ec2.vpcs[instance.vpc_id], self._ec2.get_subnet(instance.subnet_id)
        association = self._ec2.iam_instance_profile_associations.get(instance.id)
        profile = association and association.iam_instance_profile
        return Host(
            instance_id=instance.id,
            private_ip=instance.private_ip,
            subnet_router=str(IPv4Network(subnet.cidr_block)[1]),
            resolver=str(IPv4Network(vpc.cidr_block)[2]),
            dns_support=str(vpc.enable_dns_support).lower() == "true",
            name=instance.private_dns_name,
            image_id=instance.image_id,
            instance_type=instance.instance_type,
            architecture=instance.architecture,
            launched=f"{instance.launch_time:%Y-%m-%dT%H:%M:%SZ}",
            account_id=self._account_id,
            region=self._region,
            availability_zone=subnet.availability_zone,
            profile_arn=profile.arn if profile else "",
            profile_id=profile.id if profile else "",
            role=profile.roles[0].name if profile and profile.roles else "",
        )

    def _leave(
        self,
        subnet_id: str,
        destination: IPv4Address,
        port: int,
        private_ip: str,
        public_ip: str | None,
    ) -> Position | None:
        """Where a packet comes from that leaves the VPC by the route of this subnet."""
        route = self._route(subnet_id, destination)
        if route is None or not acl_allows(self._ec2, subnet_id, destination, port):
            return None
        vpc_id = route.route_table.vpc_id
        if route.gateway and route.gateway.id in self._ec2.vpc_end_points:
            available = route.gateway.state == "available" and route.gateway.vpc_id == vpc_id
            return Position(private_ip, vpc_id, route.gateway.id) if available else None
        if any(destination in network for network in NOT_PUBLIC):
            return None
        if route.gateway and route.gateway.id in self._ec2.internet_gateways:
            attached = route.gateway.vpc and route.gateway.vpc.id == vpc_id
            return Position(public_ip) if attached and public_ip else None
        if route.nat_gateway and route.nat_gateway.state == "available":
            nat = route.nat_gateway
            if nat.subnet_id == subnet_id:  # its own subnet would send the packet back to it
                return None
            own = nat.address_set[0]
            return self._leave(
                nat.subnet_id, destination, port, own["privateIp"], own.get("publicIp")
            )
        return None

    def _route(self, subnet_id: str, destination: IPv4Address) -> Any:
        """The route that decides: the longest prefix, and of several alike the highest rank."""
        matching = [
            (network.prefixlen, _rank(route), route)
            for route in self._table(subnet_id).routes
            for network in _route_networks(route)
            if destination in network
        ]
        return max(matching, key=lambda found: found[:2])[2] if matching else None

    def _table(self, subnet_id: str) -> Any:
        vpc_id = self._ec2.get_subnet(subnet_id).vpc_id
        tables = [table for table in self._ec2.route_tables.values() if table.vpc_id == vpc_id]
        explicit = [table for table in tables if subnet_id in table._associations.values()]
        return (explicit or [table for table in tables if table.main_association_id])[0]

    def _networks_named(self, vpc_id: str) -> set[IPv4Network]:
        """Every network that some rule of the VPC names: between two of them nothing differs."""
        ec2 = self._ec2
        routes = [r for t in ec2.route_tables.values() if t.vpc_id == vpc_id for r in t.routes]
        groups = ec2.groups[vpc_id].values()
        rules = [rule for group in groups for rule in group.egress_rules]
        acls = [acl for acl in ec2.network_acls.values() if acl.vpc_id == vpc_id]
        return {
            *(network for route in routes for network in _route_networks(route)),
            *(network for rule in rules for network in rule_networks(ec2, rule)),
            *(
                IPv4Network(e.cidr_block)
                for a in acls
                for e in a.network_acl_entries
                if e.cidr_block
            ),
        }


def samples(networks: Iterable[IPv4Network]) -> dict[IPv4Network, IPv4Address]:
    """An address of each network that lies in no smaller one; a network without one is left out."""
    found = {}
    everything = sorted(networks)
    for network in everything:
        address = int(network.network_address)
        for inner in everything:  # in order, so that one pass steps over them all
            if (
                inner != network
                and inner.subnet_of(network)
                and address in range(int(inner.network_address), int(inner.broadcast_address) + 1)
            ):
                address = int(inner.broadcast_address) + 1
        if address <= int(network.broadcast_address):
            found[network] = IPv4Address(address)
    return found


def _rank(route: Any) -> int:
    """A static route stands above that of a prefix list, and this above a propagated one."""
    if route.origin == "EnableVgwRoutePropagation":
        return 0
    return 1 if route.destination_prefix_list else 2


def _route_networks(route: Any) -> list[IPv4Network]:
    if route.destination_prefix_list:
        return cidrs(route.destination_prefix_list)
    return [IPv4Network(route.destination_cidr_block)] if route.destination_cidr_block else []
