"""What a network namespace is set up with, as requests of rtnetlink that go to the kernel together.

They are packed here, because a general library takes longer to pack one than the kernel to carry
out all. Source: rtnetlink(7); the headers rtnetlink.h, if_link.h, neighbour.h and fib_rules.h.
"""

import os
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Network

LOOPBACK = 1  # the index that this interface has in every namespace

_NEW_LINK, _NEW_ADDRESS, _NEW_NEIGHBOUR, _NEW_RULE = 16, 20, 28, 32
_NEW_ROUTE, _DELETE_ROUTE = 24, 25
_REQUEST, _ACKNOWLEDGE, _REPLACE, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
_NEW = _CREATE | _EXCLUSIVE
_UP, _STATIC, _PERMANENT, _GO_TO_TABLE = 1, 4, 0x80, 1
_UNICAST, _LOCAL, _BLACKHOLE = 1, 2, 6
_EVERYWHERE, _ON_LINK, _ON_HOST, _ANY_SCOPE = 0, 253, 254, 255
_MAIN_TABLE = 254
_TOGETHER = 64  # so that their answers fit into the buffer of the socket


def up(index: int) -> bytes:
    """Brings an interface up."""
    return _request(_NEW_LINK, 0, _interface(index, _UP))


def pair(name: str, index: int, mac: str, peer_mac: str, peer_namespace: int) -> bytes:
    """Makes two joined interfaces of one name and index, one of them in the other namespace."""
    namespace = _attribute(28, _number(peer_namespace))
    peer = _attribute(1, _interface(index) + _named(name, peer_mac) + namespace)
    kind = _attribute(18, _attribute(1, b"veth") + _attribute(2, peer))
    return _request(_NEW_LINK, _NEW, _interface(index) + _named(name, mac) + kind)


def address(index: int, ip: str) -> bytes:
    """Gives an interface one address."""
    head = struct.pack("=BBBBI", socket.AF_INET, 32, 0, _EVERYWHERE, index)
    both = [_attribute(kind, socket.inet_aton(ip)) for kind in (1, 2)]
    return _request(_NEW_ADDRESS, _NEW, head + b"".join(both))


def neighbour(index: int, ip: str, mac: str) -> bytes:
    """Says which MAC address an address has."""
    head = struct.pack("=B3xiHBB", socket.AF_INET, index, _PERMANENT, 0, 0)
    named = _attribute(1, socket.inet_aton(ip)) + _attribute(2, _mac(mac))
    return _request(_NEW_NEIGHBOUR, _NEW, head + named)


def rule(port: int, table: int) -> bytes:
    """Lets a table decide on TCP to this port; it comes before a rule of a higher port."""
    head = struct.pack("=BBBBBxxBI", socket.AF_INET, 0, 0, 0, 0, _GO_TO_TABLE, 0)
    attributes = [
        _attribute(6, _number(port)),  # its priority
        _attribute(15, _number(table)),
        _attribute(22, struct.pack("=B", socket.IPPROTO_TCP)),
        _attribute(24, struct.pack("=HH", port, port)),
    ]
    return _request(_NEW_RULE, _NEW, head + b"".join(attributes))


def route_to(ip: str, index: int) -> bytes:
    """A route to one address, right behind the interface."""
    return _route(_NEW_ROUTE, _NEW, IPv4Network(ip), _UNICAST, _ON_LINK, index=index)


def default_route(gateway: str, index: int) -> bytes:
    """The route of all else."""
    through = _attribute(5, socket.inet_aton(gateway))
    everything = IPv4Network("0.0.0.0/0")
    return _route(_NEW_ROUTE, _NEW, everything, _UNICAST, _EVERYWHERE, index=index, more=through)


def answer_for(network: IPv4Network, table: int) -> bytes:
    """Takes what goes to a network for one's own, whatever was done with it before."""
    flags = _CREATE | _REPLACE
    return _route(_NEW_ROUTE, flags, network, _LOCAL, _ON_HOST, table=table, index=LOOPBACK)


def swallow(network: IPv4Network, table: int = _MAIN_TABLE) -> bytes:
    """Drops what goes to a network, whatever was done with it before."""
    return _route(_NEW_ROUTE, _CREATE | _REPLACE, network, _BLACKHOLE, _EVERYWHERE, table=table)


def forget(network: IPv4Network, table: int) -> bytes:
    """Removes the route of a network."""
    return _route(_DELETE_ROUTE, 0, network, 0, _ANY_SCOPE, table=table)


def send(requests: Sequence[bytes]) -> None:
    """Sends them in this order, for the namespace of this thread; OSError when one is refused."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        for begin in range(0, len(requests), _TOGETHER):
            some = requests[begin : begin + _TOGETHER]
            kernel.send(b"".join(some))
            for number, _ in enumerate(some, begin):
                (code,) = struct.unpack_from("=16xi", kernel.recv(65536))
                if code:
                    refused = f"rtnetlink, request {number}: {os.strerror(-code)}"
                    raise OSError(-code, refused)


def _request(kind: int, flags: int, body: bytes) -> bytes:
    flags |= _REQUEST | _ACKNOWLEDGE
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _number(value: int) -> bytes:
    return struct.pack("=I", value)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _interface(index: int, flags: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, flags)


def _named(name: str, mac: str) -> bytes:
    return _attribute(3, name.encode() + b"\0") + _attribute(1, _mac(mac))


def _route(
    request: int,
    flags: int,
    network: IPv4Network,
    kind: int,
    scope: int,
    *,
    table: int = _MAIN_TABLE,
    index: int = 0,
    more: bytes = b"",
) -> bytes:
    family, prefix = socket.AF_INET, network.prefixlen
    # Of the table there is room for one byte; an attribute has room for all.
    head = struct.pack("=8BI", family, prefix, 0, 0, 0, _STATIC, scope, kind, 0)
    body = head + _attribute(15, _number(table)) + more
    if prefix:
        body += _attribute(1, network.network_address.packed)
    if index:
        body += _attribute(4, _number(index))
    return _request(request, flags, body)
