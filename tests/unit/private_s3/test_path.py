"""The verdict on each hop of the network path to S3, from hand-made readings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from private_s3 import path, statements
from private_s3.network import Network
from private_s3.path.surroundings import ACLS, DNS, GROUPS, Surroundings
from private_s3.path.walk import HOPS, Hop
from private_s3.plan import NEW_ENDPOINT
from tests.support import readings as worlds
from tests.support.readings import ACCOUNT, REGION, VPCE

# Two ranges, so that what holds for one of them alone can be told from what holds for both.
LIST, WIDE, NARROW = "pl-1", "52.219.0.0/20", "3.5.152.0/24"
IN_WIDE, IN_NARROW, OUTSIDE = map(IPv4Address, ("52.219.1.1", "3.5.152.9", "198.51.100.7"))
ANYWHERE, ALL_PORTS = "0.0.0.0/0", (0, 65535)
ENDPOINT = {"DestinationPrefixListId": LIST, "GatewayId": VPCE}
LOCAL = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"}
NO = "AWS answered UnauthorizedOperation: no"
FULL = json.dumps(statements.full_access())


def to(destination: str, target: str, state: str = "active", origin: str = "CreateRoute") -> Any:
    kind = "NatGatewayId" if target.startswith("nat-") else "GatewayId"
    listed = destination.startswith("pl-")
    where = "DestinationPrefixListId" if listed else "DestinationCidrBlock"
    return {where: destination, kind: target, "State": state, "Origin": origin}


def rule(*where: str, protocol: str = "tcp", ports: tuple[int, int] = (443, 443)) -> Any:
    kinds: dict[str, list[dict[str, str]]] = {
        "IpRanges": [{"CidrIp": w} for w in where if "." in w],
        "PrefixListIds": [{"PrefixListId": w} for w in where if w.startswith("pl-")],
        "UserIdGroupPairs": [{"GroupId": w} for w in where if w.startswith("sg-")],
        "Ipv6Ranges": [{"CidrIpv6": w} for w in where if ":" in w],
    }
    spans = {} if protocol == "-1" else {"FromPort": ports[0], "ToPort": ports[1]}
    return {"IpProtocol": protocol, **spans, **kinds}


def entry(
    number: int,
    action: str,
    egress: bool,
    cidr: str = ANYWHERE,
    ports: tuple[int, int] = ALL_PORTS,
    protocol: str = "6",
) -> Any:
    where = {"Ipv6CidrBlock" if ":" in cidr else "CidrBlock": cidr}
    spans = {} if protocol == "-1" else {"PortRange": {"From": ports[0], "To": ports[1]}}
    about = {"RuleNumber": number, "RuleAction": action, "Egress": egress, "Protocol": protocol}
    return {**about, **where, **spans}


OPEN = [entry(100, "allow", True, protocol="-1"), entry(100, "allow", False, protocol="-1")]
LAST = [entry(32767, "deny", way, protocol="-1") for way in (True, False)]


def around(
    *rules: Any, acl: Sequence[Any] = OPEN, lists: dict[str, list[str]] | None = None, **more: Any
) -> Surroundings:
    """Everything lets everything pass, but for what is said."""
    group = {"GroupId": "sg-1", "IpPermissionsEgress": list(rules or [rule(ANYWHERE)])}
    # AWS does not say in which order it lists the entries.
    entries = [*reversed(acl), *LAST]
    of_subnet = {"NetworkAclId": "acl-1", "Associations": [{"SubnetId": "subnet-a"}]}
    other = {"NetworkAclId": "acl-0", "Associations": [{"SubnetId": "subnet-b"}], "Entries": LAST}
    given: dict[str, Any] = {
        "dns_support": True,
        "dns_hostnames": True,
        "security_groups": {"sg-1": group},
        "network_acls": [other, {**of_subnet, "Entries": entries}],
        "prefix_lists": {LIST: [WIDE, NARROW], **(lists or {})},
        "s3_interface_endpoints": [],
        "unread": {},
    }
    return Surroundings(**{**given, **more})


def vpc(*routes: Any, endpoints: Sequence[Any] | None = None, **of_instance: Any) -> Network:
    """One instance, i-1 in subnet-a on rtb-a, which has these routes and those of its VPC."""
    table = worlds.route_table("rtb-a", "subnet-a")
    table["Routes"] = [LOCAL, *({"State": "active", **route} for route in routes)]
    interface = {
        "NetworkInterfaceId": "eni-1",
        "Attachment": {"DeviceIndex": 0},
        "Groups": [{"GroupId": "sg-1"}],
    }
    instance = {
        **worlds.instance("i-1"),
        "State": {"Name": "running"},
        "NetworkInterfaces": [interface],
        **of_instance,
    }
    served = worlds.endpoint(VPCE, "rtb-a") if ENDPOINT in routes else None
    return replace(
        worlds.vpc(),
        prefixes=[WIDE, NARROW],
        instances=[instance],
        route_tables=[table, worlds.route_table("rtb-m", main=True)],
        endpoints=[*filter(None, [served])] if endpoints is None else list(endpoints),
    )


def hops_of(found: Network, beside: Surroundings | None = None, **asked: Any) -> list[Hop]:
    given = {"bucket": "data", "bucket_region": REGION, "account_id": ACCOUNT}
    return path.hops(found, beside or around(), **{**given, **asked})


def hop(name: str, found: Network, beside: Surroundings | None = None, **asked: Any) -> Hop:
    (one,) = [one for one in hops_of(found, beside, **asked) if one.hop == name]
    return one


def way(
    address: IPv4Address, *routes: Any, beside: Surroundings | None = None, **more: Any
) -> path.Way:
    found = vpc(*routes, **more)
    return path.way(found, beside or around(), found.instances[0], address)


def blocked(hops: list[Hop]) -> list[str]:
    return [one.hop for one in hops if one.verdict == "blocked"]


PRIVATE = vpc(ENDPOINT)


def test_every_hop_is_told_once_for_each_instance_in_order() -> None:
    two = replace(
        PRIVATE, instances=[*PRIVATE.instances, {**PRIVATE.instances[0], "InstanceId": "i-2"}]
    )
    assert [(one.instance, one.hop) for one in hops_of(two)] == [
        (instance, name) for instance in ("i-1", "i-2") for name in HOPS
    ]


def test_a_private_way_is_open_hop_by_hop() -> None:
    assert {(one.verdict, one.symptom) for one in hops_of(PRIVATE)} == {("open", None)}


def test_one_closed_hop_closes_no_other() -> None:
    closed = {
        "instance": vpc(ENDPOINT, State={"Name": "stopped"}),
        "longest prefix": vpc(ENDPOINT, to("52.219.1.0/24", "igw-1")),
        "gateway endpoint": vpc(ENDPOINT, endpoints=[worlds.endpoint(VPCE, State="Pending")]),
    }
    for name, found in closed.items():
        assert blocked(hops_of(found)) == [name]
    around_it = {
        "name resolution": around(dns_support=False),
        "security group": around(rule("10.0.0.0/16")),
        "network ACL out": around(acl=OPEN[1:]),
        "network ACL back": around(acl=OPEN[:1]),
    }
    for name, beside in around_it.items():
        assert blocked(hops_of(PRIVATE, beside)) == [name]


# -- instance and interface -----------------------------------------------------------------------


@pytest.mark.parametrize("state", ["pending", "stopping", "stopped", "terminated"])
def test_an_instance_has_to_run(state: str) -> None:
    one = hop("instance", vpc(ENDPOINT, State={"Name": state}))
    assert (one.verdict, one.symptom) == ("blocked", None)
    assert one.reason == f"i-1 is {state}"


def test_an_instance_has_to_have_an_address() -> None:
    one = hop("interface", vpc(ENDPOINT, PrivateIpAddress=""))
    assert (one.verdict, one.reason) == ("blocked", "it has no IPv4 address in subnet-a")
    public = hop("interface", vpc(ENDPOINT, PublicIpAddress="198.51.100.9"))
    assert public.reason == "eni-1, 10.0.0.4 in subnet-a, 198.51.100.9"


def test_of_an_instance_in_no_subnet_nothing_more_is_said() -> None:
    found = hops_of(vpc(ENDPOINT, SubnetId=""))
    assert blocked(found) == ["interface"]
    later = {one.hop: one for one in found}
    for name in HOPS[3:9]:
        assert (later[name].verdict, later[name].reason) == ("uncertain", "it is in no subnet")


# -- name resolution ------------------------------------------------------------------------------


def interface_endpoint(**more: Any) -> Any:
    about = {"VpcEndpointId": "vpce-if", "State": "available", "PrivateDnsEnabled": True}
    return {**about, "VpcEndpointType": "Interface", **more}


@pytest.mark.parametrize(
    ("given", "verdict", "symptom", "says"),
    [
        ({}, "open", None, "enableDnsSupport of vpc-1 is on"),
        ({"dns_hostnames": False}, "open", None, "enableDnsHostnames, which is off"),
        ({"dns_support": False}, "blocked", 6, "enableDnsSupport of vpc-1 is off"),
        ({"dns_support": None, "unread": {DNS: NO}}, "uncertain", None, NO),
        ({"s3_interface_endpoints": [interface_endpoint()]}, "blocked", None, "vpce-if"),
        (
            {"s3_interface_endpoints": [interface_endpoint(PrivateDnsEnabled=False)]},
            *("open", None, "is on"),
        ),
        (
            {"s3_interface_endpoints": [interface_endpoint(State="Failed")]},
            *("open", None, "is on"),
        ),
        (
            {
                "s3_interface_endpoints": [
                    interface_endpoint(
                        DnsOptions={"PrivateDnsOnlyForInboundResolverEndpoint": True}
                    )
                ]
            },
            *("open", None, "is on"),
        ),
    ],
)
def test_names_have_to_lead_to_public_addresses(
    given: Any, verdict: str, symptom: int | None, says: str
) -> None:
    one = hop("name resolution", PRIVATE, around(**given))
    assert (one.verdict, one.symptom) == (verdict, symptom)
    assert says in one.reason


# -- routes ---------------------------------------------------------------------------------------

NAT, GATEWAY = to(ANYWHERE, "nat-1"), to(ANYWHERE, "igw-1")


def test_without_a_route_there_is_no_way_to_s3() -> None:
    found = hops_of(vpc())
    assert blocked(found) == ["route table", "gateway endpoint"]
    assert {one.symptom for one in found if one.verdict == "blocked"} == {1}
    assert hop("route table", vpc()).reason == "rtb-a (explicit): no route leads to S3"
    assert hop("gateway endpoint", vpc()).reason == (
        "rtb-a is on no gateway endpoint: vpc-1 has none for S3"
    )


def test_the_main_table_counts_where_the_subnet_has_none_of_its_own() -> None:
    tables = [worlds.route_table("rtb-b", "subnet-b"), worlds.route_table("rtb-m", main=True)]
    tables[1]["Routes"], tables[1]["Tags"] = [ENDPOINT], [{"Key": "Name", "Value": "shared"}]
    one = hop("route table", replace(PRIVATE, route_tables=tables))
    assert (one.verdict, one.reason) == ("open", f"shared rtb-m (main table): pl-1 to {VPCE}")


@pytest.mark.parametrize(
    ("route", "instance"), [(NAT, {}), (GATEWAY, {"PublicIpAddress": "198.51.100.9"})]
)
def test_over_the_internet_s3_is_reached_but_not_privately(route: Any, instance: Any) -> None:
    found = vpc(route, **instance)
    target = route.get("NatGatewayId") or route["GatewayId"]
    reason = f"rtb-a (explicit): 0.0.0.0/0 to {target}: over the internet, not privately"
    assert hop("route table", found) == Hop("i-1", "route table", "open", reason, None)
    blocker = path.first_blocker(hops_of(found), "i-1")
    assert blocker and (blocker.hop, blocker.symptom) == ("gateway endpoint", 1)
    assert blocker.reason.endswith(f"; S3's packets go to {target}")
    assert path.way(found, around(), found.instances[0], IN_WIDE) == ("open", target, "", "")


def test_an_internet_gateway_is_no_way_without_a_public_address() -> None:
    one = hop("route table", vpc(GATEWAY))
    assert (one.verdict, one.symptom) == ("blocked", 1)
    assert "igw-1, which needs a public address" in one.reason
    assert way(IN_WIDE, GATEWAY).hop == "route table"


def test_what_lies_beyond_other_targets_is_not_known() -> None:
    found = vpc(to(ANYWHERE, "tgw-1"))
    assert hop("route table", found).reason.endswith(
        "0.0.0.0/0 to tgw-1, and what lies beyond is not known"
    )
    assert way(IN_WIDE, to(ANYWHERE, "tgw-1")).target == "tgw-1"


def test_a_default_route_that_is_a_black_hole_leads_nowhere() -> None:
    found = vpc(to(ANYWHERE, "nat-1", "blackhole"))
    one = hop("route table", found)
    assert (one.verdict, one.symptom) == ("blocked", 1)
    assert one.reason.endswith("0.0.0.0/0 to nat-1, a black hole")
    assert way(IN_WIDE, to(ANYWHERE, "nat-1", "blackhole")).verdict == "blocked"


def test_routes_for_a_part_of_s3_alone_are_told_by_range() -> None:
    one = hop("route table", vpc(to("52.219.0.0/16", "nat-1")))
    assert (one.verdict, one.symptom) == ("blocked", 1)
    assert one.reason == f"{NARROW} of S3's addresses: rtb-a (explicit): no route leads to S3"


def test_a_default_route_yields_to_the_list() -> None:
    assert blocked(hops_of(vpc(ENDPOINT, NAT))) == []
    assert way(IN_WIDE, ENDPOINT, NAT).target == VPCE
    assert way(OUTSIDE, ENDPOINT, NAT).target == "nat-1"
    assert way(OUTSIDE, ENDPOINT) == (
        "blocked",
        "",
        "route table",
        "rtb-a (explicit): no route leads there",
    )


def test_a_route_within_the_list_takes_its_part_of_it() -> None:
    taker = to("52.219.1.0/24", "nat-1")
    one = hop("longest prefix", vpc(ENDPOINT, taker))
    assert one == Hop(
        "i-1",
        "longest prefix",
        "blocked",
        "52.219.1.0/24 of S3's addresses: 52.219.1.0/24 to nat-1: over the internet, not "
        "privately; it wins over pl-1",
        7,
    )
    # Reached, but by another way; its neighbour goes privately.
    assert way(IN_WIDE, ENDPOINT, taker) == ("open", "nat-1", "", "")
    assert way(IPv4Address("52.219.2.1"), ENDPOINT, taker).target == VPCE


def test_a_route_around_the_list_takes_nothing() -> None:
    found = vpc(ENDPOINT, to("52.219.0.0/16", "nat-1"))
    assert hop("longest prefix", found).verdict == "open"
    assert way(IN_WIDE, ENDPOINT, to("52.219.0.0/16", "nat-1")).target == VPCE


@pytest.mark.parametrize(
    ("origin", "target"), [("CreateRoute", "vgw-1"), ("EnableVgwRoutePropagation", VPCE)]
)
def test_at_equal_length_a_static_route_wins_and_a_propagated_one_loses(
    origin: str, target: str
) -> None:
    taker = to(WIDE, "vgw-1", origin=origin)
    one = hop("longest prefix", vpc(ENDPOINT, taker))
    assert (one.verdict, one.symptom) == (("open", None) if target == VPCE else ("blocked", 7))
    for order in ((ENDPOINT, taker), (taker, ENDPOINT)):
        assert way(IN_WIDE, *order).target == target


def test_a_longer_prefix_wins_though_it_is_propagated() -> None:
    taker = to("52.219.1.0/24", "vgw-1", origin="EnableVgwRoutePropagation")
    assert hop("longest prefix", vpc(ENDPOINT, taker)).symptom == 7
    assert way(IN_WIDE, ENDPOINT, taker).target == "vgw-1"


def test_a_black_hole_within_the_list_drops() -> None:
    taker = to("52.219.1.0/24", "nat-1", "blackhole")
    one = hop("longest prefix", vpc(ENDPOINT, taker))
    assert (one.verdict, one.symptom) == ("blocked", 7)
    assert "52.219.1.0/24 to nat-1, a black hole; it wins over pl-1" in one.reason
    dropped = way(IN_WIDE, ENDPOINT, taker)
    assert (dropped.verdict, dropped.hop) == ("blocked", "longest prefix")


def test_a_route_that_would_win_over_the_list_is_known_before_there_is_one() -> None:
    found = hops_of(vpc(to("52.219.1.0/24", "nat-1")))
    assert blocked(found) == ["route table", "longest prefix", "gateway endpoint"]
    assert [one.symptom for one in found if one.verdict == "blocked"] == [1, 7, 1]
    # It is no way for the rest, and yet the one that these packets take.
    assert way(IN_WIDE, to("52.219.1.0/24", "nat-1")) == ("open", "nat-1", "", "")


def test_the_routes_of_the_vpc_itself_are_routes() -> None:
    inside = {"DestinationCidrBlock": NARROW, "GatewayId": "local", "State": "active"}
    one = hop("longest prefix", vpc(ENDPOINT, inside))
    assert one.symptom == 7 and "local, so it stays in the VPC" in one.reason
    assert way(IN_NARROW, ENDPOINT, inside).verdict == "blocked"


def test_other_lists_are_followed_by_their_ranges() -> None:
    beside = around(lists={"pl-own": ["52.219.1.0/24", "2001:db8::/32"]})
    found = vpc(ENDPOINT, to("pl-own", "nat-1"))
    one = hop("longest prefix", found, beside)
    assert one.symptom == 7 and one.reason.startswith("52.219.1.0/24 of S3's addresses: pl-own to")
    assert path.way(found, beside, found.instances[0], IN_WIDE).target == "nat-1"
    assert path.way(found, beside, found.instances[0], IN_NARROW).target == VPCE


def test_of_two_lists_with_one_range_aws_chooses() -> None:
    beside = around(lists={"pl-own": [NARROW]})
    found = vpc(ENDPOINT, to("pl-own", "nat-1"))
    one = hop("longest prefix", found, beside)
    assert (one.verdict, one.symptom) == ("uncertain", None)
    assert "hold the same: AWS chooses one" in one.reason and one.reason.startswith(NARROW)
    assert path.way(found, beside, found.instances[0], IN_NARROW).verdict == "uncertain"
    assert path.way(found, beside, found.instances[0], IN_WIDE).target == VPCE
    # Without an endpoint's route there is no choice yet.
    alone = vpc(to("pl-own", "nat-1"))
    assert path.way(alone, beside, alone.instances[0], IN_NARROW).target == "nat-1"


def test_a_list_that_could_not_be_read_may_hold_anything() -> None:
    beside, found = around(unread={"pl-own": NO}), vpc(ENDPOINT, to("pl-own", "nat-1"))
    one = hop("longest prefix", found, beside)
    assert (one.verdict, one.reason) == ("uncertain", f"could not read pl-own: {NO}")
    assert path.way(found, beside, found.instances[0], IN_WIDE) == (
        *("uncertain", "", "longest prefix", f"could not read pl-own: {NO}"),
    )
    assert hop("route table", vpc(to("pl-own", "nat-1")), beside).verdict == "uncertain"
    assert path.way(found, beside, found.instances[0], OUTSIDE).verdict == "uncertain"
    both = vpc(ENDPOINT, NAT, to("pl-own", "nat-1"))
    assert path.way(both, beside, both.instances[0], OUTSIDE).verdict == "uncertain"


def test_a_dual_stack_endpoint_has_two_routes_and_is_one() -> None:
    beside = around(lists={"pl-6": ["2600:1fa0::/48"]})
    ipv6 = {"DestinationPrefixListId": "pl-6", "GatewayId": VPCE}
    assert blocked(hops_of(vpc(ENDPOINT, ipv6), beside)) == []


def test_routes_of_ipv6_and_such_as_are_filtered_count_for_nothing() -> None:
    ipv6 = {"DestinationIpv6CidrBlock": "::/0", "EgressOnlyInternetGatewayId": "eigw-1"}
    filtered = to("52.219.1.0/24", "vgw-1", "filtered", "EnableVgwRoutePropagation")
    assert blocked(hops_of(vpc(ENDPOINT, ipv6, filtered))) == []


def test_no_gateway_forwards_to_private_addresses() -> None:
    private = IPv4Address("192.168.3.3")
    assert way(private, NAT).verdict == "blocked"
    assert way(private, to(ANYWHERE, "tgw-1")).verdict == "open"


# -- security groups ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "passes"),
    [
        ([rule(ANYWHERE)], True),
        ([rule(LIST)], True),
        ([rule(LIST, protocol="-1")], True),
        ([rule(ANYWHERE, protocol="6")], True),
        ([rule(ANYWHERE, ports=ALL_PORTS)], True),
        ([rule(WIDE), rule(NARROW)], True),
        ([rule(ANYWHERE, ports=(80, 80)), rule(LIST)], True),
        ([rule(ANYWHERE, ports=(444, 65535))], False),
        ([rule(ANYWHERE, ports=(0, 442))], False),
        ([rule(ANYWHERE, protocol="udp")], False),
        ([rule("10.0.0.0/8")], False),
        ([rule(WIDE)], False),
        ([rule("sg-1", protocol="-1")], False),
        ([rule("::/0", protocol="-1")], False),
        ([rule("pl-own")], False),
    ],
)
def test_a_security_group_has_to_let_tcp_443_out_to_all_of_s3(rules: Any, passes: bool) -> None:
    one = hop("security group", PRIVATE, around(*rules, lists={"pl-own": ["192.0.2.0/24"]}))
    assert (one.verdict, one.symptom) == (("open", None) if passes else ("blocked", 2))


def test_what_a_security_group_lets_out_is_told() -> None:
    assert hop("security group", PRIVATE, around(rule(LIST))).reason == (
        "sg-1 lets tcp 443 to pl-1 out"
    )
    some = around(rule("10.0.0.0/8", ports=(1, 9)), rule("sg-2", protocol="-1"))
    assert hop("security group", PRIVATE, some).reason == (
        "no rule lets tcp 443 out; sg-1 lets out: tcp 1-9 to 10.0.0.0/8, everything to sg-2"
    )
    assert hop("security group", PRIVATE, around(rule(WIDE))).reason.startswith(
        f"{NARROW} of S3's addresses: no rule lets tcp 443 out"
    )
    none = replace(
        around(), security_groups={"sg-1": {"GroupId": "sg-1", "IpPermissionsEgress": []}}
    )
    assert hop("security group", PRIVATE, none).reason.endswith("sg-1 lets out: nothing")


def test_any_one_group_is_enough() -> None:
    narrow = {"GroupId": "sg-0", "IpPermissionsEgress": [rule("10.0.0.0/8")]}
    beside = around()
    both = replace(beside, security_groups={"sg-0": narrow, **beside.security_groups})
    interface = {
        **PRIVATE.instances[0]["NetworkInterfaces"][0],
        "Groups": [{"GroupId": "sg-0"}, {"GroupId": "sg-1"}],
    }
    assert (
        hop("security group", vpc(ENDPOINT, NetworkInterfaces=[interface]), both).verdict == "open"
    )


def test_a_group_that_could_not_be_read_leaves_its_hop_uncertain() -> None:
    unread = around(security_groups={}, unread={GROUPS: NO})
    one = hop("security group", PRIVATE, unread)
    assert (one.verdict, one.reason) == ("uncertain", f"could not read sg-1: {NO}")
    assert path.way(PRIVATE, unread, PRIVATE.instances[0], IN_WIDE).verdict == "uncertain"


def test_a_list_of_a_rule_that_could_not_be_read_leaves_its_hop_uncertain() -> None:
    assert hop("security group", PRIVATE, around(rule("pl-own"))).verdict == "uncertain"
    assert hop("security group", PRIVATE, around(rule("pl-own"), rule(LIST))).verdict == "open"
    other_port = around(rule("pl-own", ports=(80, 80)))
    assert hop("security group", PRIVATE, other_port).verdict == "blocked"


# -- network ACLs ---------------------------------------------------------------------------------

OUT = entry(100, "allow", True, ports=(443, 443))
BACK = entry(100, "allow", False, ports=(1024, 65535))


@pytest.mark.parametrize(
    ("entries", "closed"),
    [
        ([OUT, BACK], []),
        ([BACK], ["network ACL out"]),
        ([OUT], ["network ACL back"]),
        ([], ["network ACL out", "network ACL back"]),
        ([OUT, entry(100, "allow", False, ports=(32768, 60999))], []),
        ([OUT, entry(100, "allow", False, ports=(32769, 65535))], ["network ACL back"]),
        ([OUT, entry(100, "allow", False, ports=(1024, 60998))], ["network ACL back"]),
        (
            [
                OUT,
                entry(100, "allow", False, ports=(1024, 40000)),
                entry(110, "allow", False, ports=(40001, 65535)),
            ],
            [],
        ),
        ([OUT, BACK, entry(90, "deny", False, ports=(50000, 50000))], ["network ACL back"]),
        ([OUT, BACK, entry(110, "deny", False, ports=(50000, 50000))], []),
        ([OUT, BACK, entry(90, "deny", False, ports=(61000, 65535))], []),
        ([OUT, BACK, entry(90, "deny", True, "52.219.1.0/24")], ["network ACL out"]),
        ([OUT, BACK, entry(110, "deny", True, "52.219.1.0/24")], []),
        ([OUT, BACK, entry(90, "deny", False, "52.219.1.0/24")], ["network ACL back"]),
        ([OUT, BACK, entry(90, "deny", True, "::/0", protocol="-1")], []),
        ([OUT, BACK, entry(90, "deny", True, protocol="17")], []),
        ([OUT, BACK, entry(90, "deny", True, protocol="-1")], ["network ACL out"]),
        ([BACK, entry(100, "allow", True, ports=(444, 65535))], ["network ACL out"]),
        ([BACK, entry(100, "allow", True, WIDE)], ["network ACL out"]),
        ([BACK, entry(100, "allow", True, WIDE), entry(101, "allow", True, NARROW)], []),
    ],
)
def test_a_network_acl_has_to_let_out_and_any_answer_in(entries: Any, closed: list[str]) -> None:
    found = hops_of(PRIVATE, around(acl=entries))
    assert blocked(found) == closed
    assert [one.symptom for one in found if one.verdict == "blocked"] == [3] * len(closed)


def test_the_deciding_rule_of_an_acl_is_named() -> None:
    def reasons(*entries: Any) -> list[str]:
        return [one.reason for one in hops_of(PRIVATE, around(acl=entries))[6:8]]

    assert reasons(OUT, BACK) == [
        "rule 100 of acl-1 allows tcp 443 to 0.0.0.0/0",
        "rule 100 of acl-1 allows answers to tcp 32768-60999",
    ]
    assert reasons() == [
        "rule * of acl-1 denies tcp 443 to 0.0.0.0/0",
        "rule * of acl-1 denies answers from 0.0.0.0/0 to tcp 32768-60999",
    ]
    part = entry(90, "deny", False, "52.219.1.0/24", (40000, 50000))
    assert reasons(OUT, BACK, part)[1] == (
        "52.219.1.0/24 of S3's addresses: rule 90 of acl-1 denies answers from 52.219.1.0/24 to "
        "tcp 40000-50000"
    )
    middle = entry(90, "allow", False, ports=(40000, 50000))
    assert reasons(OUT, middle)[1] == (
        "rule * of acl-1 denies answers from 0.0.0.0/0 to tcp 32768-60999 in parts"
    )


def test_an_acl_that_could_not_be_read_leaves_both_hops_uncertain() -> None:
    unread = around(network_acls=[], unread={ACLS: NO})
    for one in hops_of(PRIVATE, unread)[6:8]:
        reason = f"could not read the network ACL of subnet-a: {NO}"
        assert (one.verdict, one.reason) == ("uncertain", reason)


# -- the gateway endpoint and its policy ----------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoints", "verdict", "symptom", "says"),
    [
        ([worlds.endpoint(VPCE, "rtb-a")], "open", None, "is available"),
        ([worlds.endpoint(VPCE, "rtb-a", State="Available")], "open", None, "is available"),
        ([worlds.endpoint(VPCE, "rtb-a", State="Pending")], "blocked", None, "is pending"),
        ([worlds.endpoint(VPCE, "rtb-a", State="failed")], "blocked", None, "is failed"),
        ([], "blocked", 1, "is not there"),
        ([worlds.endpoint("vpce-other", "rtb-m")], "blocked", 1, "is not there"),
    ],
)
def test_the_endpoint_has_to_be_at_work(
    endpoints: Any, verdict: str, symptom: int | None, says: str
) -> None:
    found = vpc(ENDPOINT, endpoints=endpoints)
    one = hop("gateway endpoint", found)
    assert (one.verdict, one.symptom) == (verdict, symptom)
    assert one.reason == f"{VPCE}, to which rtb-a leads, {says}"
    dropped = path.way(found, around(), found.instances[0], IN_WIDE)
    assert dropped.verdict == ("open" if verdict == "open" else "blocked")
    # What goes elsewhere does not mind.
    assert way(OUTSIDE, ENDPOINT, NAT, endpoints=endpoints).verdict == "open"


def test_endpoints_of_other_tables_are_named() -> None:
    others = [worlds.endpoint("vpce-2", "rtb-m"), worlds.endpoint("vpce-3", State="Pending")]
    one = hop("gateway endpoint", vpc(endpoints=others))
    assert (one.verdict, one.symptom) == ("blocked", 1)
    assert one.reason == (
        "rtb-a is on no gateway endpoint: vpce-2 (available) serves rtb-m, vpce-3 (pending) "
        "serves no route table"
    )


def test_a_table_that_has_no_route_to_its_endpoint_yet_is_not_served() -> None:
    one = hop("gateway endpoint", vpc(endpoints=[worlds.endpoint(VPCE, "rtb-a", State="Pending")]))
    assert (one.verdict, one.symptom) == ("blocked", 1)
    assert one.reason == f"rtb-a is on {VPCE} (pending), and has no route to it"


def test_s3s_list_may_lead_to_something_that_is_no_endpoint() -> None:
    one = hop("gateway endpoint", vpc(to(LIST, "nat-1")))
    assert (one.symptom, one.reason) == (1, "rtb-a leads S3's list to nat-1")


def allow(*actions: str, resource: str = "*", **more: Any) -> str:
    given = {"Effect": "Allow", "Principal": "*", "Action": list(actions), "Resource": resource}
    return worlds.policy({**given, **more})


DATA = ("s3:ListBucket", "s3:GetObject", "s3:PutObject")


def judged(policy: str, **asked: Any) -> Hop:
    found = vpc(ENDPOINT, endpoints=[worlds.endpoint(VPCE, "rtb-a", PolicyDocument=policy)])
    return hop("endpoint policy", found, **asked)


@pytest.mark.parametrize(
    ("policy", "verdict", "says"),
    [
        (FULL, "open", "lets s3:ListBucket, s3:GetObject, s3:PutObject pass"),
        (json.dumps(statements.bucket_only("data")), "open", "pass"),
        (
            json.dumps(statements.bucket_only("other")),
            "blocked",
            "no statement allows s3:ListBucket, s3:GetObject, s3:PutObject",
        ),
        (allow(*DATA), "open", "pass"),
        (allow(*DATA[:2]), "blocked", "no statement allows s3:PutObject"),
        (
            allow(*DATA, resource="arn:aws:s3:::data/*"),
            "blocked",
            "no statement allows s3:ListBucket",
        ),
        (
            allow(*DATA, resource="arn:aws:s3:::data"),
            "blocked",
            "allows s3:GetObject, s3:PutObject",
        ),
        (
            worlds.policy(
                {**json.loads(FULL)["Statement"][0]},
                {"Effect": "Deny", "Principal": "*", "Action": "s3:Put*", "Resource": "*"},
            ),
            "blocked",
            "statement 2 denies s3:PutObject",
        ),
        (allow(*DATA, Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}}), "open", "pass"),
        (allow(*DATA, Condition={"StringEquals": {"aws:SourceVpc": "vpc-2"}}), "blocked", ""),
        (allow(*DATA, Condition={"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}), "open", ""),
        (
            allow(*DATA, Condition={"StringLike": {"aws:PrincipalArn": worlds.role("app*")}}),
            "uncertain",
            "aws:PrincipalArn decides about s3:ListBucket, s3:GetObject, s3:PutObject",
        ),
        (allow(*DATA, Principal={"AWS": worlds.role("team/app")}), "uncertain", "names principals"),
        ("{", "uncertain", "cannot be understood"),
    ],
)
def test_the_endpoint_policy_has_to_let_the_data_pass(policy: str, verdict: str, says: str) -> None:
    one = judged(policy)
    assert (one.verdict, one.symptom) == (verdict, 14 if verdict == "blocked" else None)
    assert one.reason.startswith(f"the policy of {VPCE}") and says in one.reason


@pytest.mark.parametrize(("name", "verdict"), [("team/app", "open"), ("team/other", "blocked")])
def test_what_is_known_of_the_role_decides(name: str, verdict: str) -> None:
    (caller,) = worlds.people().targets()
    known = [replace(caller, instances=("i-1",))]
    arn = worlds.role(name)
    by_key = allow(*DATA, Condition={"StringEquals": {"aws:PrincipalArn": arn}})
    for policy in (by_key, allow(*DATA, Principal={"AWS": arn})):
        assert judged(policy, callers=known).verdict == verdict
        assert judged(policy).verdict == "uncertain"


def test_a_role_that_nobody_could_read_is_not_known() -> None:
    (caller,) = worlds.people(refused="no").targets()
    by_key = allow(*DATA, Condition={"StringEquals": {"aws:PrincipalArn": caller.principal.arn}})
    assert judged(by_key, callers=[replace(caller, instances=("i-1",))]).verdict == "uncertain"


def test_the_policy_that_the_plan_makes_is_asked_by_its_symbol() -> None:
    after = vpc().predicted({"rtb-a": NEW_ENDPOINT})
    narrow = {NEW_ENDPOINT: json.dumps(statements.bucket_only("data"))}
    found = hops_of(after, endpoint_policies=narrow)
    assert blocked(found) == []
    reasons = {one.hop: one.reason for one in found}
    assert reasons["route table"] == f"rtb-a (explicit): pl-1 to {NEW_ENDPOINT}"
    assert reasons["gateway endpoint"] == "the plan makes one, and puts rtb-a on it"
    other = {NEW_ENDPOINT: json.dumps(statements.bucket_only("other"))}
    assert blocked(hops_of(after, endpoint_policies=other)) == ["endpoint policy"]
    assert hop("endpoint policy", after).verdict == "uncertain"
    assert path.way(after, around(), after.instances[0], IN_WIDE).target == NEW_ENDPOINT


def test_a_prediction_takes_the_table_to_an_endpoint_that_is_there() -> None:
    there = vpc(endpoints=[worlds.endpoint("vpce-2", "rtb-m")])
    assert blocked(hops_of(there)) == ["route table", "gateway endpoint"]
    assert blocked(hops_of(there.predicted({"rtb-a": "vpce-2"}))) == []


def test_a_planned_policy_stands_above_the_present_one() -> None:
    planned = {VPCE: json.dumps(statements.bucket_only("other"))}
    assert hop("endpoint policy", PRIVATE, endpoint_policies=planned).symptom == 14


def test_the_policy_of_the_only_endpoint_there_is_is_asked_before_it_serves() -> None:
    narrow = json.dumps(statements.bucket_only("other"))
    one = worlds.endpoint("vpce-2", "rtb-m", PolicyDocument=narrow)
    assert hop("endpoint policy", vpc(endpoints=[one])).symptom == 14
    two = [one, worlds.endpoint("vpce-3", PolicyDocument=narrow)]
    for endpoints in ([], two):
        found = hop("endpoint policy", vpc(endpoints=endpoints))
        assert (found.verdict, "no policy of one is asked" in found.reason) == ("open", True)


# -- Region ---------------------------------------------------------------------------------------


def test_the_bucket_has_to_be_in_the_region_of_the_endpoint() -> None:
    one = hop("Region", PRIVATE, bucket_region="us-east-1")
    assert (one.verdict, one.symptom) == ("blocked", 5)
    assert one.reason == (
        f"data is in us-east-1, and a gateway endpoint serves its own Region only, here {REGION}"
    )
    assert hop("Region", PRIVATE, bucket_region=None).verdict == "uncertain"


@pytest.mark.parametrize(
    ("bucket", "region", "says"),
    [
        ("data", REGION, f"asks data.s3.{REGION}.amazonaws.com; without its Region set"),
        ("data.example", REGION, f"asks s3.{REGION}.amazonaws.com; without its Region set"),
        ("data", "us-east-1", "asks data.s3.us-east-1.amazonaws.com; s3.amazonaws.com is of this"),
    ],
)
def test_the_host_that_the_command_line_asks_is_told(bucket: str, region: str, says: str) -> None:
    found = replace(PRIVATE, service_name=f"com.amazonaws.{region}.s3")
    one = hop("Region", found, bucket=bucket, bucket_region=region)
    assert one.verdict == "open" and says in one.reason


# -- what people are told -------------------------------------------------------------------------

CLOSED = vpc(to("52.219.1.0/24", "nat-1"))
DOUBTFUL = around(network_acls=[], unread={ACLS: NO})


def test_the_first_blocker_is_marked_and_no_other() -> None:
    found = hops_of(CLOSED)
    frame = path.frame(found)
    assert tuple(frame.columns) == path.COLUMNS == ("", "instance", "hop", "verdict", "reason")
    assert len(frame) == len(HOPS)
    assert frame.loc[frame[""] != "", "hop"].tolist() == ["route table"]
    assert path.first_blocker(found, "i-1") == found[3]
    assert path.first_blocker(found, "i-2") is None
    assert path.first_blocker(hops_of(PRIVATE), "i-1") is None


def test_each_instance_has_a_first_blocker_of_its_own() -> None:
    second = {**CLOSED.instances[0], "InstanceId": "i-2", "State": {"Name": "stopped"}}
    found = hops_of(replace(CLOSED, instances=[*CLOSED.instances, second]))
    frame = path.frame(found)
    marked = frame[frame[""] != ""]
    assert marked[["instance", "hop"]].to_numpy().tolist() == [
        ["i-1", "route table"],
        ["i-2", "instance"],
    ]
    assert [one.state for one in path.checks(found)] == ["FAIL", "FAIL"]
    assert len(path.sentence(found).splitlines()) == 2


def test_a_check_fails_by_the_first_blocker_and_passes_only_on_what_is_known() -> None:
    name = "the way of i-1 to S3 is open"
    (failed,) = path.checks(hops_of(CLOSED))
    assert (failed.name, failed.state) == (name, "FAIL")
    assert failed.detail.startswith("route table: ")
    (unknown,) = path.checks(hops_of(PRIVATE, DOUBTFUL))
    assert (unknown.name, unknown.state) == (name, "UNCERTAIN")
    assert unknown.detail.count(NO) == 2 and unknown.detail.startswith("network ACL out: ")
    (passed,) = path.checks(hops_of(PRIVATE))
    assert (passed.name, passed.state) == (name, "PASS")
    (both,) = path.checks(hops_of(CLOSED, DOUBTFUL))
    assert both.state == "FAIL"


def test_a_sentence_says_where_the_way_ends() -> None:
    assert path.sentence(hops_of(vpc())) == (
        "The private way of i-1 ends at the route table: rtb-a (explicit): no route leads to S3."
    )
    assert path.sentence(hops_of(PRIVATE)) == "Every hop of i-1 is open."
    assert path.sentence(hops_of(PRIVATE, DOUBTFUL)) == (
        "No hop of i-1 is known to be blocked; not known: network ACL out, network ACL back."
    )
