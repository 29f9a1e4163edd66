"""What security groups and network ACLs let through, read from the account's objects."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

# Answers come back to a port of this range (Linux); a network ACL has to allow all of it.
EPHEMERAL = (32768, 60999)


def cidrs(prefix_list: Any) -> list[IPv4Network]:
    """The networks of a prefix list, in its newest version."""
    if prefix_list.address_family != "IPv4" or not prefix_list.entries:
        return []
    newest = prefix_list.entries[max(prefix_list.entries)]
    return [IPv4Network(entry["Cidr"]) for entry in newest]


def rule_networks(ec2: Any, rule: Any) -> Iterator[IPv4Network]:
    """The networks that a rule of a security group names."""
    if rule.cidr_ipv4:
        yield IPv4Network(rule.cidr_ipv4)
    if rule.prefix_list_id in ec2.managed_prefix_lists:
        yield from cidrs(ec2.managed_prefix_lists[rule.prefix_list_id])


def groups_allow(
    ec2: Any, instance: Any, peer: IPv4Address, port: int, direction: str = "egress_rules"
) -> bool:
    """Whether one of the instance's security groups lets a TCP connection out, or in."""
    return any(
        rule.ip_protocol in ("-1", "tcp")
        and (rule.ip_protocol == "-1" or rule.from_port <= port <= rule.to_port)
        and any(peer in network for network in rule_networks(ec2, rule))
        for group in instance.nics[0].group_set
        for rule in getattr(group, direction)
    )


def acl_allows(ec2: Any, subnet_id: str, address: IPv4Address, port: int) -> bool:
    """Whether the subnet's network ACL lets a TCP request out and any answer back in."""
    acl = next(
        acl
        for acl in ec2.network_acls.values()
        if any(entry.subnet_id == subnet_id for entry in acl.associations)
    )
    entries = sorted(acl.network_acl_entries, key=lambda entry: int(entry.rule_number))
    outward = [entry for entry in entries if str(entry.egress).lower() == "true"]
    inward = [entry for entry in entries if entry not in outward]
    return _first_match_allows(outward, address, port) and all(
        _first_match_allows(inward, address, back) for back in _ports_that_may_differ(inward)
    )


def _ports_that_may_differ(entries: Iterable[Any]) -> set[int]:
    """The ephemeral ports at which a rule begins or ends: elsewhere the verdict cannot change."""
    low, high = EPHEMERAL
    edges = {int(e.port_range_from) for e in entries if e.port_range_from is not None}
    edges |= {int(e.port_range_to) + 1 for e in entries if e.port_range_to is not None}
    return {low, *(port for port in edges if low <= port <= high)}


def _first_match_allows(entries: Iterable[Any], address: IPv4Address, port: int) -> bool:
    for entry in entries:
        if (
            entry.cidr_block
            and address in IPv4Network(entry.cidr_block)
            and (
                entry.protocol == "-1"
                or (
                    entry.protocol == "6"
                    and int(entry.port_range_from) <= port <= int(entry.port_range_to)
                )
            )
        ):
            return bool(entry.rule_action == "allow")
    return False
