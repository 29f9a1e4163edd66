"""Says which route a packet follows, by AWS's rules, address by address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import TYPE_CHECKING, Literal, NamedTuple

from private_s3.network import destination, target

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import RouteTableTypeDef, RouteTypeDef

Verdict = Literal["open", "blocked", "uncertain"]
Lists = Mapping[str, Sequence[str]]  # the ranges of prefix lists, by id
# Of claims to the same range the higher one wins.
STATIC, LISTED, PROPAGATED = 2, 1, 0
SHOWN = 3  # of many ranges or rules


class Step(NamedTuple):
    """What a hop does with a packet; whether that drops it, None if nobody can know.

    A hop may be blocked and yet drop nothing: then the packet leaves the private way there.
    `symptom` is the number of the cause, if it is one of those that are known.
    """

    verdict: Verdict
    reason: str
    drops: bool | None
    symptom: int | None = None


def passes(reason: str) -> Step:
    """The packet goes on, and is not known to have left the private way."""
    return Step("open", reason, False)


def drops(reason: str, symptom: int | None = None) -> Step:
    """The packet goes nowhere."""
    return Step("blocked", reason, True, symptom)


def strays(reason: str, symptom: int | None = None) -> Step:
    """The packet goes on, but by another way than the private one."""
    return Step("blocked", reason, False, symptom)


def unknown(reason: str) -> Step:
    """What would tell could not be read, or AWS does not say."""
    return Step("uncertain", reason, None)


class Claim(NamedTuple):
    """A range that a route is for, and how it stands against other routes for it."""

    network: IPv4Network
    rank: int
    destination: str
    target: str
    active: bool

    def __str__(self) -> str:
        return f"{self.destination} to {self.target}"


def claims(route_table: RouteTableTypeDef, lists: Lists) -> list[Claim]:
    """Every range that the table has a route for; of a list that is not in `lists`, none."""
    return [
        Claim(network, _rank(route), destination(route), target(route), _is_active(route))
        for route in route_table["Routes"]
        if route.get("State") != "filtered"
        for network in networks_of(_ranges(route, lists))
    ]


def _ranges(route: RouteTypeDef, lists: Lists) -> Sequence[str]:
    if list_id := route.get("DestinationPrefixListId"):
        return lists.get(list_id, ())
    return [cidr] if (cidr := route.get("DestinationCidrBlock")) else []


def _rank(route: RouteTypeDef) -> int:
    """Source: Amazon VPC User Guide, "Route priority"."""
    if route.get("Origin") == "EnableVgwRoutePropagation":
        return PROPAGATED
    return LISTED if route.get("DestinationPrefixListId") else STATIC


def _is_active(route: RouteTypeDef) -> bool:
    return route.get("State") != "blackhole"


def precedence(claim: Claim) -> tuple[int, int]:
    """By what a claim wins over others: the longer prefix, then the rank."""
    return claim.network.prefixlen, claim.rank


def deciding(found: Iterable[Claim], address: IPv4Address) -> list[Claim]:
    """The claim that an address follows; several to as many targets where AWS chooses itself."""
    matching = [claim for claim in found if address in claim.network]
    best = max(map(precedence, matching), default=None)
    return [*{claim.target: claim for claim in matching if precedence(claim) == best}.values()]


@cache
def network_of(cidr: str) -> IPv4Network | None:
    """The range of a CIDR block; None for one of IPv6, by which none of these packets goes."""
    return None if ":" in cidr else IPv4Network(cidr)


def networks_of(cidrs: Iterable[str]) -> list[IPv4Network]:
    """The IPv4 ranges among CIDR blocks."""
    return [network for cidr in cidrs if (network := network_of(cidr))]


def partition(whole: Iterable[IPv4Network], named: Iterable[IPv4Network]) -> Iterator[IPv4Network]:
    """The ranges of `whole` in parts so small that none of `named` begins or ends within one."""
    for network in whole:
        inner = [n for n in named if n.prefixlen > network.prefixlen and n.subnet_of(network)]
        yield from partition(network.subnets(), inner) if inner else [network]


def ranges(parts: Iterable[IPv4Network]) -> str:
    """Ranges as a text, joined where they touch."""
    return few([str(network) for network in collapse_addresses(parts)])


def ports(first: int, last: int) -> str:
    """A range of ports as a text."""
    return str(first) if first == last else f"{first}-{last}"


def few(texts: Sequence[str], between: str = ", ") -> str:
    """The first of some texts as a list, and how many more there are."""
    more = [f"{len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return between.join([*texts[:SHOWN], *more])
