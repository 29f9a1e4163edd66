"""Says whether security groups and network ACLs let a TCP connection through, by AWS's rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise
from typing import TYPE_CHECKING

from private_s3.path.packets import (
    Lists,
    Step,
    drops,
    few,
    network_of,
    networks_of,
    passes,
    ports,
    unknown,
)

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        IpPermissionOutputTypeDef,
        NetworkAclEntryTypeDef,
        NetworkAclTypeDef,
        SecurityGroupTypeDef,
    )

# Numbers of the causes that are found here.
NO_GROUP_RULE, NO_ACL_RULE = 2, 3
# Linux takes the port of a connection's own end, to which the answers come, from these.
EPHEMERAL = (32768, 60999)
# The rule at the end of every network ACL, which denies; AWS shows it as a star.
LAST_RULE = 32767


def lets_out(
    groups: Sequence[SecurityGroupTypeDef], lists: Lists, address: IPv4Address, port: int
) -> Step:
    """Whether a rule of some group lets a connection out; its answers need no rule.

    A rule that names a group is about the private addresses of its members, never about S3's.
    """
    rules = [(g["GroupId"], rule) for g in groups for rule in g["IpPermissionsEgress"]]
    unread = ""
    for group_id, rule in rules:
        if not _is_for(rule, port):
            continue
        for where in _ranges(rule):
            if where.startswith("pl-") and where not in lists:
                unread = f"{group_id} lets {_brief(rule, where)} out, whose addresses are not known"
            elif any(address in network for network in _networks(where, lists)):
                return passes(f"{group_id} lets {_brief(rule, where)} out")
    if unread:
        return unknown(unread)
    let_out = [_brief(rule, where) for _, rule in rules for where in _everything(rule)]
    ids = few([group["GroupId"] for group in groups]) or "no security group"
    what = f"{ids} lets out: {few(let_out) or 'nothing'}"
    return drops(f"no rule lets tcp {port} out; {what}", NO_GROUP_RULE)


def group_networks(groups: Iterable[SecurityGroupTypeDef], lists: Lists) -> list[IPv4Network]:
    """Every range that the groups' rules name, as far as it is known."""
    named = [w for g in groups for rule in g["IpPermissionsEgress"] for w in _ranges(rule)]
    known = (where for where in named if where in lists or not where.startswith("pl-"))
    return [network for where in known for network in _networks(where, lists)]


def _networks(where: str, lists: Lists) -> list[IPv4Network]:
    return networks_of(lists.get(where, [where]))


def _is_for(rule: IpPermissionOutputTypeDef, port: int) -> bool:
    if rule["IpProtocol"] == "-1":
        return True
    return rule["IpProtocol"] in ("tcp", "6") and rule["FromPort"] <= port <= rule["ToPort"]


def _ranges(rule: IpPermissionOutputTypeDef) -> list[str]:
    """CIDR blocks and ids of prefix lists."""
    lists = [one["PrefixListId"] for one in rule.get("PrefixListIds", [])]
    return [*(one["CidrIp"] for one in rule.get("IpRanges", [])), *lists]


def _everything(rule: IpPermissionOutputTypeDef) -> list[str]:
    of_ipv6 = [one["CidrIpv6"] for one in rule.get("Ipv6Ranges", [])]
    groups = [one["GroupId"] for one in rule.get("UserIdGroupPairs", [])]
    return [*_ranges(rule), *of_ipv6, *groups]


def _brief(rule: IpPermissionOutputTypeDef, where: str) -> str:
    protocol = rule["IpProtocol"]
    if protocol in ("tcp", "6", "udp", "17"):
        return f"{protocol} {ports(rule['FromPort'], rule['ToPort'])} to {where}"
    return f"{'everything' if protocol == '-1' else f'protocol {protocol}'} to {where}"


def acl_out(acl: NetworkAclTypeDef, address: IPv4Address, port: int) -> Step:
    """Whether a network ACL lets a request out of its subnet."""
    entry = _first_match(_entries(acl, egress=True), address, port)
    about = f"tcp {port} to {_cidr(entry)}"
    if _allows(entry):
        return passes(f"{_rule(acl, entry)} allows {about}")
    return drops(f"{_rule(acl, entry)} denies {about}", NO_ACL_RULE)


def acl_back(acl: NetworkAclTypeDef, address: IPv4Address) -> Step:
    """Whether a network ACL lets the answers in again, to whichever port they come."""
    entries = _entries(acl, egress=False)
    found = [(span, _first_match(entries, address, span[0])) for span in _spans(entries)]
    rules = {_rule(acl, entry): entry for _, entry in found}
    for rule, entry in rules.items():
        if not _allows(entry):
            spans = [span for span, other in found if other == entry]
            to = f"to tcp {ports(spans[0][0], spans[-1][1])}" + " in parts" * (not _adjoin(spans))
            return drops(f"{rule} denies answers from {_cidr(entry)} {to}", NO_ACL_RULE)
    return passes(f"{few([*rules])} allows answers to tcp {ports(*EPHEMERAL)}")


def _adjoin(spans: Sequence[tuple[int, int]]) -> bool:
    return all(first[1] + 1 == following[0] for first, following in pairwise(spans))


def acl_networks(acl: NetworkAclTypeDef) -> list[IPv4Network]:
    """Every range that an ACL's rules name."""
    return networks_of(entry["CidrBlock"] for entry in acl["Entries"] if entry.get("CidrBlock"))


def _entries(acl: NetworkAclTypeDef, *, egress: bool) -> list[NetworkAclEntryTypeDef]:
    """In the order in which they are asked: the lowest number first."""
    chosen = [entry for entry in acl["Entries"] if entry["Egress"] == egress]
    return sorted(chosen, key=lambda entry: entry["RuleNumber"])


def _spans(entries: Iterable[NetworkAclEntryTypeDef]) -> Iterator[tuple[int, int]]:
    """The ephemeral ports in spans, within each of which no rule begins or ends."""
    low, high = EPHEMERAL
    edges = {low, high + 1}
    for entry in entries:
        first, last = _port_range(entry)
        edges |= {edge for edge in (first, last + 1) if low < edge <= high}
    for first, following in pairwise(sorted(edges)):
        yield first, following - 1


def _port_range(entry: NetworkAclEntryTypeDef) -> tuple[int, int]:
    found = entry.get("PortRange") if entry["Protocol"] != "-1" else None
    return (found["From"], found["To"]) if found else (0, 65535)


def _first_match(
    entries: Iterable[NetworkAclEntryTypeDef], address: IPv4Address, port: int
) -> NetworkAclEntryTypeDef | None:
    for entry in entries:
        network = network_of(entry.get("CidrBlock") or "::/0")
        first, last = _port_range(entry)
        is_tcp = entry["Protocol"] in ("-1", "6")
        if network and address in network and is_tcp and first <= port <= last:
            return entry
    return None


def _allows(entry: NetworkAclEntryTypeDef | None) -> bool:
    return bool(entry and entry["RuleAction"] == "allow")


def _rule(acl: NetworkAclTypeDef, entry: NetworkAclEntryTypeDef | None) -> str:
    number = entry["RuleNumber"] if entry else LAST_RULE
    return f"rule {'*' if number == LAST_RULE else number} of {acl['NetworkAclId']}"


def _cidr(entry: NetworkAclEntryTypeDef | None) -> str:
    return entry["CidrBlock"] if entry else "0.0.0.0/0"
