"""Makes VPCs at random in the rehearsal account: whatever can decide about packets, in disorder.

What there is many of is made in moto's own backend, which takes a tenth of the time that a call
takes; it is read by calls all the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Network
from random import Random
from typing import Any

REGION = "ap-northeast-1"
S3 = f"com.amazonaws.{REGION}.s3"
VPC, PUBLIC, EVERYWHERE = "10.20.0.0/16", "10.20.255.0/24", "0.0.0.0/0"
TOGETHER = 4  # instances of a VPC; each with its own subnet, table, groups and ACL is one network
EVERYTHING = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": EVERYWHERE}]}
# Ranges of ports: of security groups, of an ACL's way out, and of its way back.
RULE = ((443, 443), (0, 65535), (80, 443), (443, 8443), (80, 80), (444, 65535), (1, 442))
OUT = ((443, 443), (0, 65535), (80, 443), (80, 80), (444, 65535), (0, 442))
BACK = (
    *((1024, 65535), (32768, 60999), (32768, 60998), (32769, 65535), (0, 65535), (40000, 50000)),
    *((60999, 60999), (443, 443), (61000, 65535), (1024, 32767), (32768, 32768), (1024, 49151)),
)


class RandomVpc:
    """A VPC whose subnets differ in every way that matters to packets."""

    def __init__(self, seed: str, ec2: Any, backend: Any, image: str) -> None:
        self.seed, self.random, self.image = seed, Random(seed), image
        self.ec2, self.backend = ec2, backend
        self.s3 = self._s3_list()
        self.id: str = backend.create_vpc(VPC).id
        tables = backend.route_tables.values()
        (self.main,) = [table.id for table in tables if table.vpc_id == self.id]
        self.lists = dict(self._customer_list(number) for number in range(2))
        self.targets = self._targets()
        # In the order of their creation: their ids depend on what was created before this VPC.
        followed = [self.main]
        self.instances = [self._network(number, followed) for number in range(TOGETHER)]
        for table in followed:
            self._routes(table)
        self._endpoint(followed)
        ec2.delete_nat_gateway(NatGatewayId=self.gone)

    # -- what everything in the VPC shares --------------------------------------------------------

    def _s3_list(self) -> list[IPv4Network]:
        """Gives S3's list ranges of every size, none within another."""
        found: list[IPv4Network] = []
        for _ in range(self.random.randint(2, 5)):
            whole = IPv4Network(self.random.choice(("52.219.0.0/16", "3.5.0.0/16")))
            one = self._within(whole, self.random.randint(17, 28))
            if not any(one.overlaps(other) for other in found):
                found.append(one)
        lists = self.backend.managed_prefix_lists.values()
        (s3,) = [one for one in lists if one.prefix_list_name == S3]
        s3.entries = {1: [{"Cidr": str(network), "Description": ""} for network in found]}
        self.s3_id = s3.id
        return found

    def _customer_list(self, number: int) -> tuple[str, list[str]]:
        cidrs = sorted({self._cidr() for _ in range(self.random.randint(1, 3))})
        made = self.ec2.create_managed_prefix_list(
            PrefixListName=f"list-{number}",
            AddressFamily="IPv4",
            MaxEntries=5,
            Entries=[{"Cidr": cidr} for cidr in cidrs],
        )
        return made["PrefixList"]["PrefixListId"], cidrs

    def _targets(self) -> list[dict[str, str]]:
        """What routes may lead to: gateways that work, and such as make a black hole."""
        attached, loose = (self.backend.create_internet_gateway().id for _ in range(2))
        self.backend.attach_internet_gateway(attached, self.id)
        subnet = self.backend.create_subnet(self.id, PUBLIC).id
        if self.random.random() < 0.9:
            table = self._table(subnet)
            if self.random.random() < 0.9:
                self._route(table, EVERYWHERE, {"gateway_id": attached})
        nats = []
        for _ in range(2):
            address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
            made = self.ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)
            nats.append(made["NatGateway"]["NatGatewayId"])
        working, self.gone = nats
        vpn = self.ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
        return [
            *({"gateway_id": attached}, {"nat_gateway_id": working}) * 3,
            *({"gateway_id": loose}, {"nat_gateway_id": self.gone}, *[{"gateway_id": vpn}] * 2),
        ]

    def _endpoint(self, tables: list[str]) -> None:
        made = self.ec2.create_vpc_endpoint(
            VpcId=self.id,
            ServiceName=S3,
            VpcEndpointType="Gateway",
            RouteTableIds=[table for table in tables if self.random.random() < 0.7],
            IpAddressType=self.random.choice(("ipv4", "ipv4", "dualstack")),
        )
        if self.random.random() < 0.08:  # its routes may outlive it by a moment
            endpoint = self.backend.vpc_end_points[made["VpcEndpoint"]["VpcEndpointId"]]
            endpoint.state = self.random.choice(("deleting", "failed", "pending"))

    # -- what each of the networks has for itself -------------------------------------------------

    def _network(self, number: int, followed: list[str]) -> str:
        """Makes one, adds the table that it follows, and gives the id of its instance."""
        cidr = IPv4Network(f"10.20.{number}.0/24")
        subnet = self.backend.create_subnet(self.id, str(cidr)).id
        if self.random.random() < 0.75:
            followed.append(self._table(subnet))
        if self.random.random() < 0.5:
            self._acl(subnet)
        groups = [self._group(f"{number}-{n}") for n in range(self.random.choice((1, 1, 2)))]
        interface = {
            "DeviceIndex": 0,
            "SubnetId": subnet,
            "Groups": groups,
            "PrivateIpAddress": str(cidr[10]),
            "AssociatePublicIpAddress": self.random.random() < 0.6,
        }
        started = self.ec2.run_instances(
            ImageId=self.image, MinCount=1, MaxCount=1, NetworkInterfaces=[interface]
        )
        return str(started["Instances"][0]["InstanceId"])

    def _table(self, subnet: str) -> str:
        table = str(self.backend.create_route_table(self.id).id)
        self.backend.associate_route_table(table, subnet_id=subnet)
        return table

    def _routes(self, table: str) -> None:
        if self.random.random() < 0.7:
            self._route(table, EVERYWHERE, self.random.choice(self.targets))
        for _ in range(self.random.choice((0, 0, 1, 2, 3, 4))):
            self._route(table, self._cidr(), self.random.choice(self.targets))
        if self.random.random() < 0.2:
            one, target = self.random.choice([*self.lists]), self.random.choice(self.targets)
            self.backend.create_route(table, None, destination_prefix_list_id=one, **target)

    def _route(self, table: str, cidr: str, target: Mapping[str, str]) -> None:
        routes = self.backend.route_tables[table].routes
        if cidr in {route.destination_cidr_block for route in routes}:
            return
        made = self.backend.create_route(table, cidr, **target)
        # As if the gateway had told of it, as it does of what lies beyond.
        made.propagated = target.get("gateway_id", "").startswith("vgw-")

    def _group(self, name: str) -> str:
        group = self.backend.create_security_group(name, name, self.id)
        if self.random.random() < 0.45:  # else it lets everything out, as they do at first
            group.egress_rules.clear()
            rules = {json.dumps(self._rule(group.id)) for _ in range(self.random.randint(0, 4))}
            if rules:
                self.ec2.authorize_security_group_egress(
                    GroupId=group.id, IpPermissions=[json.loads(rule) for rule in sorted(rules)]
                )
        return str(group.id)

    def _rule(self, group: str) -> dict[str, Any]:
        first, last = self.random.choice(RULE)
        protocol = self.random.choice(("tcp", "tcp", "tcp", "tcp", "udp", "-1"))
        ports = {} if protocol == "-1" else {"FromPort": first, "ToPort": last}
        where: tuple[dict[str, Any], ...] = (
            {"IpRanges": [{"CidrIp": self._cidr()}]},
            {"IpRanges": [{"CidrIp": self._cidr()}]},
            {"IpRanges": [{"CidrIp": EVERYWHERE}]},
            {"PrefixListIds": [{"PrefixListId": self.s3_id}]},
            {"PrefixListIds": [{"PrefixListId": self.random.choice([*self.lists])}]},
            {"UserIdGroupPairs": [{"GroupId": group}]},
            {"Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
        )
        return {"IpProtocol": protocol, **ports, **self.random.choice(where)}

    def _acl(self, subnet: str) -> None:
        acl = self.backend.create_network_acl(self.id)
        for egress, ranges in ((True, OUT), (False, BACK)):
            for number in self.random.sample(range(1, 300), self.random.randint(0, 4)):
                self._entry(acl.id, egress, number, self.random.choice(ranges))
            if self.random.random() < 0.8:
                self._add(acl.id, 300, egress, "allow", "-1", EVERYWHERE)
        acls = [acl for acl in self.backend.network_acls.values() if acl.vpc_id == self.id]
        (old,) = [
            key
            for found in acls
            for key, association in found._associations.items()
            if association.subnet_id == subnet
        ]
        self.backend.replace_network_acl_association(old, acl.id)

    def _entry(self, acl: str, egress: bool, number: int, ports: tuple[int, int]) -> None:
        action = self.random.choice(("allow", "deny"))
        protocol = self.random.choice(("6", "6", "6", "6", "17", "-1"))
        cidr = EVERYWHERE if self.random.random() < 0.4 else self._cidr()
        self._add(acl, number, egress, action, protocol, cidr, ports)

    def _add(
        self,
        acl: str,
        number: int,
        egress: bool,
        action: str,
        protocol: str,
        cidr: str,
        ports: tuple[int, int] = (0, 65535),
    ) -> None:
        """As CreateNetworkAclEntry would; one in twenty is about IPv6, and so about nothing."""
        ipv6 = self.random.random() < 0.05
        spans = (None, None) if protocol == "-1" else ports
        self.backend.create_network_acl_entry(
            network_acl_id=acl,
            rule_number=number,
            protocol=protocol,
            rule_action=action,
            egress=egress,
            cidr_block=None if ipv6 else cidr,
            icmp_code=None,
            icmp_type=None,
            port_range_from=spans[0],
            port_range_to=spans[1],
            ipv6_cidr_block="::/0" if ipv6 else None,
        )

    # -- ranges -----------------------------------------------------------------------------------

    def _cidr(self) -> str:
        """A range that has to do with one of S3's: inside it, around it, beside it, or the same."""
        one = self.random.choice(self.s3)
        kinds = ("same", "same", "inside", "inside", "around", "beside", "half", "other")
        kind = self.random.choice(kinds)
        if kind == "inside":
            one = self._within(one, self.random.randint(one.prefixlen, 32))
        elif kind == "around":
            one = one.supernet(self.random.randint(1, 8))
        elif kind == "beside":
            low, high = one.supernet(1).subnets()
            one = high if one == low else low
        elif kind == "half":
            one = IPv4Network(self.random.choice(("0.0.0.0/1", "128.0.0.0/1")))
        elif kind == "other":
            one = IPv4Network(self.random.choice(("52.216.0.0/15", "198.51.100.0/24")))
        return str(one)

    def _within(self, whole: IPv4Network, length: int) -> IPv4Network:
        number = self.random.randrange(2 ** (length - whole.prefixlen))
        return IPv4Network((int(whole[0]) + number * 2 ** (32 - length), length))
