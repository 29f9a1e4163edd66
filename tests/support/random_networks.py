"""Compares what `private_s3.path` says of packets with what becomes of them in the kernel.

Networks are made at random in the rehearsal account and read through its API. Instances there are
network namespaces, from which real connections are tried: `Helper` starts this as a process.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any

import pytest

from private_s3 import network, path
from private_s3.path import surroundings
from private_s3.path.packets import LISTED
from private_s3.path.place import Place
from rehearsal.instances import choose_mode
from tests.support.random_vpc import EVERYTHING, REGION, VPC, RandomVpc

ACCOUNT, OTHER_REGION = "123456789012", "us-east-1"
PORTS = (443, 80)
ADDRESSES = 24  # tried from each instance, at each port
# Another Region's S3, the internet, private hosts.
ELSEWHERE = ("52.216.0.9", "54.231.7.7", "198.51.100.7", "192.168.3.3", "100.64.1.1")
# Seconds that a connection has to come about: one that is said to be dropped, and any other.
SILENCE, PATIENCE = 0.05, 3.0
# What is not tried: the VPC itself, and what no router would take.
NEAR = [IPv4Network(VPC), IPv4Network("127.0.0.0/8"), IPv4Network("169.254.0.0/16")]
FIRST, LAST = int(IPv4Address("1.0.0.0")), int(IPv4Address("223.255.255.255"))
NO_GROUP = "sg-none"
Key = tuple[str, str, int]  # instance, address, port


@dataclass
class Tally:
    """What came of it; an address at a port of one network is one comparison."""

    networks: int = 0
    compared: int = 0
    connected: int = 0
    undecided: int = 0
    dropped_at: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)
    skipped: str = ""  # why nothing could be tried

    @classmethod
    def of(cls, values: Any) -> Tally:
        """What a process has answered."""
        return cls(**{**values, "dropped_at": Counter(values["dropped_at"])})

    def add(self, other: Tally) -> None:
        self.networks += other.networks
        self.compared += other.compared
        self.connected += other.connected
        self.undecided += other.undecided
        self.dropped_at += other.dropped_at
        self.disagreements += other.disagreements


class Kernel:
    """The instances' namespaces, which serve one VPC after the other."""

    def __init__(self) -> None:
        self._cables: dict[str, tuple[Any, list[socket.socket]]] = {}

    def follow(self, outlook: Any) -> None:
        """Makes the kernel's routes those of an instance."""
        positions = outlook.positions
        cable, _ = self._cable(outlook.host)
        cable.let_through({key: way is not None for key, way in positions.items()})

    def connect(self, host: Any, wanted: list[tuple[str, int]]) -> dict[Key, socket.socket]:
        """Begins to connect from an instance to every address and port."""
        from rehearsal.cable import inside

        def begin() -> dict[Key, socket.socket]:
            return {(host.instance_id, *one): _begin(one) for one in wanted}

        return inside(self._cable(host)[0].instance, begin)

    def hang_up(self) -> None:
        """Takes what has come to the far ends, and ends it."""
        for _, listeners in self._cables.values():
            for listener in listeners:
                while True:
                    try:
                        listener.accept()[0].close()
                    except BlockingIOError:
                        break

    def _cable(self, host: Any) -> tuple[Any, list[socket.socket]]:
        from rehearsal.cable import Cable

        if host.private_ip not in self._cables:
            cable = Cable(host)
            listeners = [cable.listen(port) for port in PORTS]
            for listener in listeners:
                listener.setblocking(False)
            self._cables[host.private_ip] = cable, listeners
        return self._cables[host.private_ip]


def _begin(address: tuple[str, int]) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    # Its end is a reset, after which no port stays taken.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    found = connection.connect_ex(address)
    assert found in (0, errno.EINPROGRESS), f"{address}: {os.strerror(found)}"
    return connection


def connected(sockets: Mapping[Key, socket.socket], expected: set[Key]) -> set[Key]:
    """Which connections came about; those expected get more time for it."""
    poll, keys, found = select.poll(), {}, set()
    for key, connection in sockets.items():
        poll.register(connection, select.POLLOUT)
        keys[connection.fileno()] = key
    start = time.monotonic()
    while (left := _left(start, expected <= found)) > 0:
        for number, _ in poll.poll(left * 1000):
            poll.unregister(number)
            key = keys[number]
            if not sockets[key].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                found.add(key)
    return found


def _left(start: float, complete: bool) -> float:
    return start + (SILENCE if complete else PATIENCE) - time.monotonic()


class Account:
    """The rehearsal account's process, as far as its network is concerned."""

    def __init__(self) -> None:
        from rehearsal import loading

        loading.install()  # before moto is imported
        for name in ("endpoints", "network", "s3"):
            import_module(f"rehearsal.repairs.{name}")
        from moto.ec2.models import ec2_backends
        from moto.ec2.models.route_tables import Route

        from rehearsal import identifiers
        from rehearsal.front import Front
        from rehearsal.inside import client, session
        from rehearsal.network import Network

        identifiers.install()
        Route.origin = property(_origin)
        front = Front(ACCOUNT, REGION)
        self.ec2 = client(session(front, front.callers.root, REGION), "ec2")
        self.backend = ec2_backends[ACCOUNT][REGION]
        self.network = Network(ACCOUNT, REGION, [OTHER_REGION])
        self.kernel = Kernel()

    def compare(self, number: int) -> Tally:
        """One VPC: what is said of the packets of its instances, and what becomes of them."""
        from rehearsal.scenario import _image

        seed = f"1-{number}"
        self.backend.reset()
        vpc = RandomVpc(seed, self.ec2, self.backend, _image(ACCOUNT, REGION))
        said, outlooks = Said(self.ec2, vpc), self.network.outlooks()
        sockets: dict[Key, socket.socket] = {}
        for instance_id in vpc.instances:
            outlook = outlooks[instance_id]
            self.kernel.follow(outlook)
            wanted = [(one, port) for one in said.addresses(instance_id) for port in PORTS]
            sockets |= self.kernel.connect(outlook.host, wanted)
        ways = {key: said.of(*key) for key in sockets}
        found = connected(sockets, {key for key, (says, _) in ways.items() if says == "connects"})
        for connection in sockets.values():
            connection.close()
        self.kernel.hang_up()
        tally = self._tally(ways, found)
        tally.disagreements += said.contradictions(ways)
        tally.disagreements = [f"{seed} {text}" for text in tally.disagreements]
        return replace(tally, networks=len(vpc.instances))

    def _tally(self, ways: Mapping[Key, tuple[str, path.Way]], found: set[Key]) -> Tally:
        tally = Tally(connected=len(found))
        for key, (says, way) in ways.items():
            really = "connects" if key in found else "dropped"
            tally.undecided += says == "undecided"
            tally.compared += says != "undecided"
            tally.dropped_at[way.hop] += says == "dropped"
            if says not in (really, "undecided"):
                text = f"{key}: {way}, but it {really}"
                tally.disagreements.append(f"{text}; the emulator means {self.network.reach(*key)}")
        return tally


def _origin(route: Any) -> str:
    if getattr(route, "propagated", False):
        return "EnableVgwRoutePropagation"
    return "CreateRouteTable" if route.local else "CreateRoute"


class Said:
    """What `private_s3.path` says of the instances of a VPC, by readings through the API."""

    def __init__(self, ec2: Any, vpc: RandomVpc) -> None:
        found = ec2.describe_instances(InstanceIds=vpc.instances)["Reservations"]
        self.random = Random(f"addresses of {vpc.seed}")
        self.instances = {one["InstanceId"]: one for r in found for one in r["Instances"]}
        self.network = network.read(ec2, vpc.id, [*self.instances.values()], REGION)
        read = surroundings.read(ec2, self.network)
        nobody = {NO_GROUP: {"GroupId": NO_GROUP, "IpPermissionsEgress": [EVERYTHING]}}
        self.surroundings = replace(
            read,
            security_groups={**read.security_groups, **nobody},
            prefix_lists={**vpc.lists, **read.prefix_lists},
        )
        in_vpc = [{"Name": "vpc-id", "Values": [vpc.id]}]
        self.nats = {
            one["NatGatewayId"]: self._nat(one)
            for one in ec2.describe_nat_gateways(Filters=in_vpc)["NatGateways"]
        }

    def addresses(self, instance_id: str) -> list[str]:
        """Some that matter: at the edges of whatever is named, within S3's list, and elsewhere."""
        place = Place(self.network, self.surroundings, self.instances[instance_id])
        s3 = place.routing.s3
        ends = {(int(one[0]), int(one[-1])) for one in {*s3, *place._named}}
        edges = {edge for first, last in ends for edge in (first - 1, first, last, last + 1)}
        inside = {int(one[0]) + self.random.randrange(one.num_addresses) for one in s3}
        edges = {edge for edge in edges - inside if FIRST <= edge <= LAST}
        chosen = self.random.sample(sorted(edges), min(len(edges), ADDRESSES - len(inside) - 2))
        every = [*map(str, map(IPv4Address, [*chosen, *sorted(inside)]))]
        every += self.random.sample(ELSEWHERE, 2)
        return [one for one in every if not any(IPv4Address(one) in near for near in NEAR)]

    def of(self, instance_id: str, address: str, port: int) -> tuple[str, path.Way]:
        """Whether a connection comes about, by `path.way`; beyond a NAT gateway by it again."""
        return self._of(self.instances[instance_id], IPv4Address(address), port)

    def _of(self, instance: Any, address: IPv4Address, port: int) -> tuple[str, path.Way]:
        way = path.way(self.network, self.surroundings, instance, address, port)
        if way.verdict != "open":
            return {"blocked": "dropped", "uncertain": "undecided"}[way.verdict], way
        if way.target.startswith("nat-"):
            if way.target == instance["InstanceId"]:  # it would send the packet to itself
                return "dropped", way._replace(hop="way back")
            says, beyond = self._of(self.nats[way.target], address, port)
            return says, beyond._replace(hop=beyond.hop and f"NAT gateway's {beyond.hop}")
        if way.target.startswith("vgw-"):  # nothing is beyond it here
            return "dropped", way._replace(hop="VPN gateway")
        return "connects", way

    def contradictions(self, ways: Mapping[Key, tuple[str, path.Way]]) -> Iterator[str]:
        """Where the table of the hops does not fit what is said of single addresses of S3."""
        asked: dict[str, Any] = {"bucket_region": REGION, "account_id": ACCOUNT}
        hops = path.hops(self.network, self.surroundings, bucket="some-bucket", **asked)
        closed = {(hop.instance, hop.hop) for hop in hops if hop.verdict != "open"}
        s3 = [IPv4Network(cidr) for cidr in self.network.prefixes]
        for key, (says, way) in ways.items():
            instance, address, port = key
            if port != 443 or not any(IPv4Address(address) in network for network in s3):
                continue
            private = says == "connects" and way.target.startswith("vpce-")
            if way.hop in path.HOPS and (instance, way.hop) not in closed:
                yield f"{key}: {way}, but the hop is open"
            if not private and not any(one == instance for one, _ in closed):
                yield f"{key}: {way}, but every hop is open"

    def _nat(self, gateway: Any) -> dict[str, Any]:
        """A NAT gateway as if it were an instance: in its own subnet, without security groups."""
        (own,) = gateway["NatGatewayAddresses"]
        return {
            "InstanceId": gateway["NatGatewayId"],
            "State": {"Name": "running"},
            "SubnetId": gateway["SubnetId"],
            "PrivateIpAddress": own["PrivateIp"],
            "PublicIpAddress": own.get("PublicIp"),
            "SecurityGroups": [{"GroupId": NO_GROUP}],
        }


# Bugs that the comparison must find, each by what it puts in the place of what.
PRECEDENCE = ("packets.precedence", "routing.precedence")
BUGS: dict[str, dict[str, Any]] = {
    "longest prefix": dict.fromkeys(PRECEDENCE, lambda one: (one.rank, one.network.prefixlen)),
    "tie": dict.fromkeys(PRECEDENCE, lambda one: (one.network.prefixlen, one.rank == LISTED)),
    "propagated": {"packets._rank": lambda one: 1 if "DestinationPrefixListId" in one else 2},
    "black hole": {"packets._is_active": lambda route: True},
    "ACL order": {
        "packet_filters._entries": lambda acl, egress: [
            entry for entry in reversed(acl["Entries"]) if entry["Egress"] == egress
        ]
    },
    "ephemeral ports": {"packet_filters.EPHEMERAL": (32768, 49151)},
    "port range of a group": {
        "packet_filters._is_for": lambda rule, port: rule.get("FromPort", 0) <= port
    },
}


@contextmanager
def planted(bug: str) -> Iterator[None]:
    """Meanwhile `private_s3` has a bug, in this process; no bug if there is no name."""
    with pytest.MonkeyPatch.context() as patch:
        for place, wrong in BUGS[bug].items() if bug else ():
            patch.setattr(f"private_s3.path.{place}", wrong)
        yield


def compared(account: Account, numbers: Iterable[int], bug: str = "") -> Tally:
    """What comes of the VPCs with these numbers."""
    tally = Tally()
    with planted(bug):
        for number in numbers:
            tally.add(account.compare(number))
    return tally


def main() -> None:
    """Answers each line, numbers and perhaps a bug, with a tally; or with why nothing is tried."""
    refused, account = "", None
    try:
        choose_mode("namespace")  # while this process has one thread
        account = Account()
    except OSError as error:
        refused = str(error)
    for line in sys.stdin:
        tally = compared(account, **json.loads(line)) if account else Tally(skipped=refused)
        print(json.dumps(vars(tally)), flush=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # without taking down one by one what ends with the process
