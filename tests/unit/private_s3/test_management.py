"""What keeps Systems Manager from an instance, by small hand-made readings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from private_s3.callers import Caller
from private_s3.identities import unread
from private_s3.network import Network
from private_s3.path.surroundings import Surroundings
from private_s3.preflight import management
from private_s3.preflight.agent_way import Blocker
from private_s3.preflight.management import Management
from private_s3.record import Check
from tests.support.readings import REGION, TARGET, instance, one, people, policy, statement, vpc

ID = "i-0000000000000000a"
TLS = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
EVERYWHERE = {**TLS, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
FROM_VPC = {**TLS, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}
LOCAL = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}
NAT = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}
INTERNET = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1", "State": "active"}


def group(id_: str, *, into: tuple[Any, ...] = (), out: tuple[Any, ...] = ()) -> Any:
    return {"GroupId": id_, "IpPermissions": [*into], "IpPermissionsEgress": [*out]}


def interface(service: str, id_: str = "", *, subnet: str = "subnet-b", **more: Any) -> Any:
    return {
        "VpcEndpointId": id_ or f"vpce-{service}",
        "ServiceName": f"com.amazonaws.{REGION}.{service}",
        "State": "available",
        "PrivateDnsEnabled": True,
        "Groups": [{"GroupId": "sg-ends"}],
        "SubnetIds": [subnet],
        **more,
    }


def entry(number: int, action: str, *, egress: bool, cidr: str = "0.0.0.0/0") -> Any:
    made = {"RuleNumber": number, "RuleAction": action, "Egress": egress, "CidrBlock": cidr}
    return {**made, "Protocol": "-1"}


def acl(*entries: Any) -> Any:
    """The network ACL of subnet-a: these rules, then everything."""
    rest = [entry(100, "allow", egress=egress) for egress in (True, False)]
    return {
        "NetworkAclId": "acl-a",
        "Associations": [{"SubnetId": "subnet-a"}],
        "Entries": [*entries, *rest],
    }


def network(*routes: Any, **more: Any) -> Network:
    found = vpc()
    tables = [{**table, "Routes": [LOCAL, *routes]} for table in found.route_tables]
    named = {
        **instance(ID),
        "SecurityGroups": [{"GroupId": "sg-app"}],
        "State": {"Name": "running"},
        **more,
    }
    subnets: Any = [
        {"SubnetId": "subnet-a", "CidrBlock": "10.0.0.0/24"},
        {"SubnetId": "subnet-b", "CidrBlock": "10.0.1.0/24"},
    ]
    return replace(found, route_tables=tables, instances=[named], subnets=subnets)  # type: ignore[arg-type]


def around(*acls: Any, **more: Any) -> Surroundings:
    given: dict[str, Any] = {
        "dns_support": True,
        "dns_hostnames": True,
        "security_groups": {"sg-app": group("sg-app", out=(EVERYWHERE,))},
        "network_acls": [*acls],
        "prefix_lists": {},
        "s3_interface_endpoints": [],
        "unread": {},
    }
    return Surroundings(**{**given, **more})


def reading(
    found: Network | None = None,
    status: str = "",
    version: str = "3.3.40.0",
    surroundings: Surroundings | None = None,
    endpoints: tuple[Any, ...] = (interface("ssm"), interface("ssmmessages")),
    ends: Any = None,
) -> Management:
    surroundings = surroundings or around()
    groups = {"sg-ends": ends or group("sg-ends", into=(FROM_VPC,))}
    told: Any = {ID: {"PingStatus": status, "AgentVersion": version}} if status else {}
    return Management(
        found or network(),
        told,
        surroundings,
        endpoints,
        {**surroundings.security_groups, **groups},
    )


HERE = {"StringEquals": {"aws:RequestedRegion": REGION}}
ANYTHING = {"all": policy(statement("Allow", "*"))}


def session(**more: Any) -> Caller:
    return replace(one(people(), TARGET, ""), **{"policies": ANYTHING, **more})


def causes(found: Management, caller: Caller | None = None) -> list[str]:
    blockers = management.blockers(found, found.network.instances[0], caller or session())
    assert all(isinstance(blocker, Blocker) and blocker.remedy for blocker in blockers)
    return [blocker.cause for blocker in blockers]


AGENT = "nothing that could be read is in its way: its agent does not run, or has not reported yet"


def test_nobody_asks_why_what_is_online_is_not() -> None:
    assert causes(reading(network(State={"Name": "stopped"}), status="Online")) == []


def test_what_is_left_if_nothing_is_in_the_way_is_the_agent_itself() -> None:
    assert causes(reading()) == [AGENT]
    (check,) = management.checks(reading(status="ConnectionLost"), [session()])
    assert (check.state, check.detail) == ("FAIL", f"ConnectionLost; {AGENT}")
    assert "systemctl status amazon-ssm-agent" in check.remedy


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (reading(network(State={"Name": "stopped"})), "it is stopped"),
        (reading(network(IamInstanceProfile={})), "it has no role"),
        (
            reading(surroundings=around(dns_support=False)),
            "vpc-1 resolves no names (enableDnsSupport is off)",
        ),
        (
            reading(endpoints=(interface("ssm"),)),
            "vpc-1 has no interface endpoint for ssmmessages, and no other way leads out",
        ),
        (
            reading(endpoints=(interface("ssm", State="Pending"), interface("ssmmessages"))),
            "vpce-ssm is pending",
        ),
        (
            reading(
                endpoints=(interface("ssm"), interface("ssmmessages", PrivateDnsEnabled=False))
            ),
            "vpce-ssmmessages has no private DNS: the service's name does not lead to it",
        ),
        (
            reading(ends=group("sg-ends", into=({**FROM_VPC, "ToPort": 442, "FromPort": 1},))),
            "sg-ends of vpce-ssm let no tcp 443 in from 10.0.0.4",
        ),
        (
            reading(
                ends=group("sg-ends", into=({**TLS, "IpRanges": [{"CidrIp": "10.0.9.0/24"}]},))
            ),
            "sg-ends of vpce-ssm let no tcp 443 in from 10.0.0.4",
        ),
    ],
)
def test_what_is_in_the_way_is_named(found: Management, expected: str) -> None:
    assert causes(found)[0] == expected


def test_private_dns_needs_both_dns_attributes() -> None:
    found = causes(reading(surroundings=around(dns_hostnames=False)))
    assert found[0] == "private DNS of vpce-ssm needs enableDnsHostnames of vpc-1"
    # What could not be read is in nobody's way.
    assert causes(reading(surroundings=around(dns_hostnames=None, dns_support=None))) == [AGENT]


@pytest.mark.parametrize(
    "rule",
    [
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.4/32"}]},
        {**TLS, "UserIdGroupPairs": [{"GroupId": "sg-app"}]},
        {**TLS, "PrefixListIds": [{"PrefixListId": "pl-9"}]},  # not known, so it may
        {"IpProtocol": "6", "FromPort": 0, "ToPort": 65535, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
    ],
)
def test_an_endpoint_may_let_in_by_any_kind_of_rule(rule: Any) -> None:
    assert causes(reading(ends=group("sg-ends", into=(rule,)))) == [AGENT]


def test_groups_that_could_not_be_read_are_in_nobodys_way() -> None:
    found = reading()
    assert causes(replace(found, groups={})) == [AGENT]


def test_one_endpoint_of_two_that_serves_is_enough() -> None:
    bad = interface("ssm", "vpce-bad", State="rejected")
    both = (bad, interface("ssm"), interface("ssmmessages"))
    assert causes(reading(endpoints=both)) == [AGENT]
    worse = (bad, interface("ssm", "vpce-2", PrivateDnsEnabled=False), interface("ssmmessages"))
    assert len(causes(reading(endpoints=worse))) == 2


def out(*rules: Any) -> Surroundings:
    return around(security_groups={"sg-app": group("sg-app", out=rules)})


@pytest.mark.parametrize(
    ("rules", "let"),
    [
        ((FROM_VPC,), True),
        (({**TLS, "UserIdGroupPairs": [{"GroupId": "sg-ends"}]},), True),
        (({**TLS, "IpRanges": [{"CidrIp": "10.0.1.7/32"}]},), True),  # perhaps just its address
        (({**TLS, "IpRanges": [{"CidrIp": "10.0.0.0/24"}]},), False),  # not where the endpoint is
        (({**TLS, "UserIdGroupPairs": [{"GroupId": "sg-other"}]},), False),
        ((), False),
    ],
)
def test_the_instances_own_groups_must_let_it_out(rules: tuple[Any, ...], let: bool) -> None:
    found = causes(reading(surroundings=out(*rules)))
    assert (found == [AGENT]) is let
    if not let:
        assert found[0].startswith("no rule lets tcp 443 out; sg-app lets out: ")
        assert found[0].endswith("which the SSM agent needs")


@pytest.mark.parametrize("egress", [True, False])
def test_the_network_acl_counts_between_subnets(egress: bool) -> None:
    closed = around(acl(entry(10, "deny", egress=egress, cidr="10.0.1.0/24")))
    assert "rule 10 of acl-a denies" in causes(reading(surroundings=closed))[0]
    inside = (interface("ssm", subnet="subnet-a"), interface("ssmmessages", subnet="subnet-a"))
    everything = around(acl(entry(10, "deny", egress=egress)))
    assert causes(reading(surroundings=everything, endpoints=inside)) == [AGENT]
    half = around(acl(entry(10, "deny", egress=egress, cidr="10.0.1.0/25")))
    assert causes(reading(surroundings=half)) == [AGENT]


def test_another_way_out_makes_endpoints_needless() -> None:
    assert causes(reading(network(NAT), endpoints=())) == [AGENT]
    closed = reading(network(NAT), endpoints=(), surroundings=out(FROM_VPC))
    assert causes(closed)[0].startswith("no rule lets tcp 443 out")
    gone = {**NAT, "State": "blackhole"}
    assert "no other way leads out" in causes(reading(network(gone), endpoints=()))[0]
    # An internet gateway serves who has a public address.
    assert "no other way" in causes(reading(network(INTERNET), endpoints=()))[0]
    public = network(INTERNET, PublicIpAddress="198.51.100.9")
    assert causes(reading(public, endpoints=())) == [AGENT]


def test_old_agents_need_one_service_more() -> None:
    for version, needs in (("3.3.39.9", True), ("3.3.40.0", False), ("3.4.1.0", False)):
        found = causes(reading(status="ConnectionLost", version=version))
        assert ("vpc-1 has no interface endpoint for ec2messages" in found[0]) is needs
    all_three = tuple(map(interface, ("ssm", "ssmmessages", "ec2messages")))
    old = reading(status="ConnectionLost", version="3.1.0.0", endpoints=all_three)
    assert causes(old) == [AGENT]


@pytest.mark.parametrize(
    ("policies", "cause"),
    [
        (ANYTHING, AGENT),
        ({"p": policy(statement("Allow", "ssm:*"), statement("Allow", "ssmmessages:*"))}, AGENT),
        (
            {"p": policy(statement("Allow", "ssm:*"))},
            "ssmmessages:CreateControlChannel: no identity-based policy allows it",
        ),
        ({"p": policy(statement("Allow", "*", Condition=HERE))}, AGENT),
        ({}, "ssm:UpdateInstanceInformation: no identity-based policy allows it"),
        ({"p": unread("the policies")}, AGENT),
        ({"p": policy(statement("Allow", Condition={"NoSuch": {"a": "b"}}))}, AGENT),
        (
            {
                "p": policy(
                    {
                        **statement("Allow", "ssm:*"),
                        "Resource": f"arn:aws:ec2:*:*:instance/{ID}",
                    },
                    statement("Allow", "ssmmessages:*"),
                )
            },
            AGENT,
        ),
    ],
)
def test_the_role_must_be_let_report(policies: Any, cause: str) -> None:
    assert causes(reading(), session(policies=policies))[0] == cause


def test_a_role_that_is_not_known_is_in_nobodys_way() -> None:
    found = reading()
    assert management.blockers(found, found.network.instances[0], None)[0].cause == AGENT


def test_what_could_not_be_read_is_one_uncertain_line() -> None:
    refused = Check.unread("what SSM manages", "AWS answered AccessDenied", "grant it")
    nothing = Management(network(), None, unread=[refused])
    assert management.checks(nothing, []) == [refused]
    half = replace(reading(), surroundings=None, endpoints=(), groups={}, unread=[refused])
    found = management.checks(half, [])
    assert [check.state for check in found] == ["FAIL", "UNCERTAIN"]
    assert found[0].detail == f"not managed; {AGENT}"
