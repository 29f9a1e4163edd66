"""An instance's network as Linux network namespaces: one for itself, one for its subnet's router.

The router answers for whole networks (`local` routes) where the VPC lets packets through and
swallows the rest, so a dropped packet is really dropped. Both vanish with this process.
"""

import os
import socket
from collections.abc import Callable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from typing import TypeVar

from rehearsal import netlink
from rehearsal.network import EVERYWHERE, PORTS, Host
from rehearsal.sandbox import CLONE_NEWNET, call

T = TypeVar("T")
Reachable = Mapping[tuple[int, IPv4Network], bool]

METADATA = "169.254.169.254"
RESOLVERS = "169.254.169.253"
INSTANCE_MAC, ROUTER_MAC = "02:00:00:00:00:02", "02:00:00:00:00:01"
ETH0 = 100  # an index that no interface has which a namespace may come with


def inside(namespace: int | None, work: Callable[[], T]) -> T:
    """Does the work in a thread of its own, in that network namespace."""

    def enter_and_work() -> T:
        if namespace is not None:
            call("setns", namespace, CLONE_NEWNET)
        return work()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(enter_and_work).result()


class Cable:
    """The two namespaces of an instance, joined; what the router lets through can be changed."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._installed: dict[tuple[int, IPv4Network], bool] = {}
        self.router = inside(None, _new_namespace)
        self.instance = inside(None, _new_namespace)
        inside(self.instance, self._plug_in_instance)
        inside(self.router, self._plug_in_router)

    def let_through(self, reachable: Reachable) -> None:
        """Makes the router's routes equal to this, touching only those that differ."""
        new = {
            key: answers
            for key, answers in reachable.items()
            if self._installed.get(key) != answers
        }
        old = self._installed.keys() - reachable.keys()
        if new or old:
            inside(self.router, lambda: _route(new, old))
            self._installed = dict(reachable)

    def listen(self, port: int) -> socket.socket:
        """A socket that accepts, on this port, what the router answers for."""

        def bind() -> socket.socket:
            listener = socket.create_server(("", port), backlog=128)
            # Without it the kernel sends no answer from an address that is in no `local` table.
            listener.setsockopt(socket.SOL_IP, socket.IP_TRANSPARENT, 1)
            return listener

        return inside(self.router, bind)

    def listen_metadata(self) -> socket.socket:
        """A socket for the instance metadata service."""
        return inside(self.instance, lambda: socket.create_server((METADATA, 80), backlog=128))

    def bind_resolvers(self) -> list[socket.socket]:
        """The sockets of the VPC's resolver, which has two addresses."""

        def bind(address: str) -> socket.socket:
            resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            resolver.bind((address, 53))
            return resolver

        addresses = (self._host.resolver, RESOLVERS)
        return inside(self.instance, lambda: [bind(address) for address in addresses])

    def close(self) -> None:
        """Lets go of both namespaces: they end with the last process and socket in them."""
        os.close(self.instance)
        os.close(self.router)

    def _plug_in_instance(self) -> None:
        host = self._host
        netlink.send(
            [
                netlink.pair("eth0", ETH0, INSTANCE_MAC, ROUTER_MAC, self.router),
                netlink.up(netlink.LOOPBACK),
                netlink.up(ETH0),
                *(
                    netlink.address(netlink.LOOPBACK, address)
                    for address in (METADATA, RESOLVERS, host.resolver)
                ),
                netlink.address(ETH0, host.private_ip),
                netlink.neighbour(ETH0, host.subnet_router, ROUTER_MAC),
                netlink.route_to(host.subnet_router, ETH0),
                netlink.default_route(host.subnet_router, ETH0),
            ]
        )

    def _plug_in_router(self) -> None:
        # It has no address of its own: nothing but what its tables hold can be reached.
        netlink.send(
            [
                netlink.up(netlink.LOOPBACK),
                netlink.up(ETH0),
                netlink.neighbour(ETH0, self._host.private_ip, INSTANCE_MAC),
                netlink.route_to(self._host.private_ip, ETH0),
                netlink.swallow(EVERYWHERE),
                *(netlink.rule(port, table=port) for port in PORTS),
            ]
        )


def _route(new: Reachable, old: Set[tuple[int, IPv4Network]]) -> None:
    """Changes the tables, of which there is one for each port, named by its number."""
    netlink.send(
        [
            *(
                (netlink.answer_for if answers else netlink.swallow)(network, port)
                for (port, network), answers in new.items()
            ),
            *(netlink.forget(network, port) for port, network in old),
        ]
    )


def _new_namespace() -> int:
    call("unshare", CLONE_NEWNET)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
