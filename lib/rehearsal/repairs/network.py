"""Prefix lists, routes, addresses and instances: what describes them."""

from datetime import datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from ipaddress import IPv4Network
from itertools import count
from typing import Any

import moto.ec2.models.elastic_ip_addresses
import moto.ec2.utils
from moto.ec2.models.iam_instance_profile import IamInstanceProfileAssociation
from moto.ec2.models.instances import Instance
from moto.ec2.models.managed_prefixes import ManagedPrefixList, ManagedPrefixListBackend
from moto.ec2.models.nat_gateways import NatGateway
from moto.ec2.models.route_tables import Route, RouteTable

from rehearsal.repairs import repair

# The ids are AWS's own, the same in every account; the ranges are a part of AWS's.
_S3 = {
    "ap-northeast-1": ("pl-61a54008", "52.219.0.0/20", "3.5.152.0/21"),
    "ap-northeast-2": ("pl-78a54011", "52.219.56.0/22", "3.5.140.0/22"),
    "ap-south-1": ("pl-78a54011", "52.219.156.0/22", "3.5.208.0/22"),
    "ap-southeast-1": ("pl-6fa54006", "52.219.32.0/21", "3.5.146.0/23"),
    "ap-southeast-2": ("pl-6ca54005", "52.92.52.0/22", "3.5.164.0/22"),
    "eu-central-1": ("pl-6ea54007", "52.219.44.0/22", "3.5.136.0/22"),
    "eu-west-1": ("pl-6da54004", "52.218.0.0/17", "3.5.64.0/21"),
    "eu-west-2": ("pl-7ca54015", "52.95.148.0/23", "3.5.244.0/22"),
    "us-east-1": ("pl-63a5400a", "52.216.0.0/15", "54.231.0.0/16"),
    "us-east-2": ("pl-7ba54012", "52.219.80.0/20", "3.5.128.0/22"),
    "us-west-1": ("pl-6ba54002", "52.219.112.0/21", "3.5.160.0/22"),
    "us-west-2": ("pl-68a54001", "52.218.128.0/17", "3.5.76.0/22"),
}
_DYNAMODB = {
    "ap-northeast-1": ("pl-78a54011", "52.94.8.0/24", "52.119.208.0/23"),
    "eu-west-1": ("pl-6fa54006", "52.94.24.0/23", "52.119.240.0/21"),
    "us-east-1": ("pl-02cd2c6b", "52.94.0.0/22", "52.119.224.0/20"),
    "us-west-1": ("pl-6ea54007", "52.94.11.0/24", "52.94.49.0/24"),
}


@repair(ManagedPrefixListBackend, "create_default_pls")
def create_prefix_lists(original: Any, self: Any) -> None:
    """moto: new ids in every process, and the same ranges in every Region."""
    for service, known in (("s3", _S3), ("dynamodb", _DYNAMODB)):
        name = f"com.amazonaws.{self.region_name}.{service}"
        prefix_list_id, *ranges = known.get(self.region_name) or _other(name)
        _add_prefix_list(self, "IPv4", name, prefix_list_id, ranges)
        name = ipv6_name(name)
        prefix_list_id, *ranges = _other_ipv6(name)
        _add_prefix_list(self, "IPv6", name, prefix_list_id, ranges)


def ipv6_name(name: str) -> str:
    """The name of a service's IPv6 list, as AWS names those of its other services."""
    prefix, _, service = name.rpartition(".")
    return f"{prefix}.ipv6.{service}"


def grow_s3_list(backend: Any) -> None:
    """The S3 of a Region gets one more range: the next one that no list names."""
    name = f"com.amazonaws.{backend.region_name}.s3"
    lists = backend.managed_prefix_lists.values()
    (s3,) = [prefix_list for prefix_list in lists if prefix_list.prefix_list_name == name]
    listed = [cidr for _, *ranges in (*_S3.values(), *_DYNAMODB.values()) for cidr in ranges]
    taken = [IPv4Network(cidr) for cidr in (*listed, *s3.cidrs)]
    start = int(IPv4Network(s3.cidrs[-1]).broadcast_address) + 1
    following = (IPv4Network((start + 256 * number, 24)) for number in count())
    cidr = next(n for n in following if not any(n.overlaps(other) for other in taken))
    (*_, entries) = s3.entries.values()
    entries.append({"Cidr": str(cidr), "Description": ""})


def _add_prefix_list(
    backend: Any, family: str, name: str, prefix_list_id: str, ranges: list[str]
) -> None:
    prefix_list = ManagedPrefixList(
        backend,
        backend.region_name,
        family,
        [{"Cidr": cidr, "Description": ""} for cidr in ranges],
        prefix_list_name=name,
        owner_id="AWS",
    )
    prefix_list.id = prefix_list_id
    prefix_list.version = None  # AWS shows none of its own lists
    prefix_list.prefix_list_arn = prefix_list.arn(backend.region_name, "aws")
    backend.managed_prefix_lists[prefix_list_id] = prefix_list


def _other(name: str) -> tuple[str, str]:
    """An id and a range of its own for a Region whose real ones are not listed above."""
    digest = sha256(name.encode()).digest()
    return f"pl-{digest.hex()[:8]}", f"52.{64 + digest[0] % 16}.{digest[1]}.0/24"


def _other_ipv6(name: str) -> tuple[str, str]:
    digest = sha256(name.encode()).hexdigest()
    return f"pl-{digest[:8]}", f"2600:1fa0:{digest[:4]}::/48"


def _ranges(prefix_list: ManagedPrefixList) -> list[str]:
    """moto: DescribePrefixLists shows no ranges."""
    *_, entries = prefix_list.entries.values()
    return [entry["Cidr"] for entry in entries or []]


def _state(route: Route) -> str:
    """moto: a route stays active when its target is gone."""
    gateway, nat = route.gateway, route.nat_gateway
    if route.gateway_id and route.gateway_id.startswith("igw-"):
        attached = getattr(gateway, "vpc", None)
        return "active" if attached and attached.id == route.route_table.vpc_id else "blackhole"
    if nat:
        kept = nat.id in nat.ec2_backend.nat_gateways and nat.state == "available"
        return "active" if kept else "blackhole"
    if route.instance:
        return "active" if route.instance.state == "running" else "blackhole"
    return "active"


@repair(RouteTable, "get_filter_value")
def route_table_filter(original: Any, self: RouteTable, name: str, method: Any = None) -> Any:
    """moto: no filters by prefix list and by state."""
    if name == "route.destination-prefix-list-id":
        return [route.destination_prefix_list_id for route in self.routes]
    if name == "route.state":
        return [route.state for route in self.routes]
    return original(self, name, method)


@repair(NatGateway, "__init__")
def nat_gateway(original: Any, self: NatGateway, *args: Any, **kwargs: Any) -> None:
    """moto: its private address is from anywhere."""
    original(self, *args, **kwargs)
    self.private_ip = self._eni.subnet.get_available_subnet_ip(self._eni)
    self._eni.private_ip_address = self.private_ip
    self._eni.private_ip_addresses = [{"Primary": True, "PrivateIpAddress": self.private_ip}]


@repair(IamInstanceProfileAssociation, "__init__")
def profile_association(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    """moto: an instance shows the id of this association as its profile's."""
    original(self, *args, **kwargs)
    self.instance.iam_instance_profile["Id"] = self.iam_instance_profile.id


_is_filter_matching = moto.ec2.utils.is_filter_matching


def _matches(item: Any, name: str, wanted: list[str]) -> bool:
    """moto: of several values asked for it wants all, and an absent one among the item's own
    makes the answer hang on the order of a set, which differs from process to process."""
    values = item.get_filter_value(name)
    if isinstance(values, str | int | None | datetime):
        return bool(_is_filter_matching(item, name, wanted))
    known = [value for value in values if value is not None]
    return any(fnmatchcase(value, pattern) for value in known for pattern in wanted)


moto.ec2.utils.is_filter_matching = _matches
_public_addresses = count(1)
moto.ec2.models.elastic_ip_addresses.random_ip = lambda: f"198.51.100.{next(_public_addresses)}"
ManagedPrefixList.cidrs = property(_ranges)
Route.state = property(_state)
Instance.platform_details = "Linux/UNIX"
