"""The blast radius of a change: connections, policies by address, and buckets of AWS itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from private_s3 import blast_radius, statements
from private_s3.blast_radius import aws_buckets
from private_s3.blast_radius.endpoint_cut import Judge
from private_s3.blast_radius.radius import NOBODY, BlastRadius
from private_s3.identities import Identities, Identity
from private_s3.network import Network
from private_s3.plan import NEW_ENDPOINT
from private_s3.record import Check
from tests.support.readings import (
    ACCOUNT,
    EVERYTHING,
    PROFILE,
    REGION,
    account,
    bucket_policy,
    endpoint,
    instance,
    parameters,
    policy,
    role,
    route_table,
    statement,
    vpc,
)

TARGET, OTHER = "i-0000000000000000a", "i-0000000000000000b"
NAT = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}
LOCAL = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}
APP = Identity(role("team/app"), "AROAAPP", EVERYTHING, profiles=(PROFILE,), tags={"team": "blue"})
OFFICE = {"aws:SourceIp": "203.0.113.0/24"}
FULL = json.dumps(statements.full_access())


def running(id_: str, subnet: str = "subnet-a", *, state: str = "running", **more: Any) -> Any:
    return {**instance(id_, subnet, **more), "State": {"Name": state}}


def reading(*routes: Any, endpoints: tuple[Any, ...] = (), also_b: bool = False) -> Network:
    """The instance of the change in subnet-a on rtb-a; rtb-m is the main table, of subnet-b."""
    found = vpc(*endpoints)
    tables = [{**table} for table in found.route_tables]
    tables[0]["Routes"] = [LOCAL, *routes]
    if also_b:
        tables[0]["Associations"] = [*tables[0]["Associations"], {"SubnetId": "subnet-b"}]
    return replace(found, route_tables=tables, instances=[running(TARGET)])  # type: ignore[arg-type]


def radius(
    found: Network, *others: Any, people: tuple[Identity, ...] = (APP,), refused: str = ""
) -> BlastRadius:
    identities = Identities(account())
    identities.unread = refused
    identities.__dict__["by_arn"] = {one.arn: one for one in people}
    return BlastRadius(found, [*found.instances, *others], identities)


def rows(frame: Any) -> list[list[str]]:
    return [[*map(str, row)] for row in frame.to_numpy().tolist()]


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


# -- connections ----------------------------------------------------------------------------------


RESET = "reset when the route changes"


def test_there_is_a_row_for_each_instance_and_for_each_subnet_without_one() -> None:
    found = radius(reading(NAT, also_b=True), running(OTHER))
    assert rows(found.table()) == [
        ["rtb-a", "subnet-a", f"{TARGET[2:]} {TARGET}", "yes", "nat-1", RESET],
        ["rtb-a", "subnet-a", f"{OTHER[2:]} {OTHER}", "no", "nat-1", RESET],
        ["rtb-a", "subnet-b", "-", "no", "nat-1", RESET],
    ]
    assert tuple(found.table().columns) == blast_radius.COLUMNS
    assert found.sentence() == (
        "On the route tables of the change: 2 subnets with 2 instances, 1 of them not of the "
        f"change.\nOpen S3 connections that are reset when the route changes: {TARGET[2:]} "
        f"{TARGET}, {OTHER[2:]} {OTHER}, whatever else is in subnet-b."
    )


def test_who_is_on_another_route_table_is_not_touched() -> None:
    found = radius(reading(NAT), running(OTHER, "subnet-b"))
    assert [row[2] for row in rows(found.table())] == [f"{TARGET[2:]} {TARGET}"]


def test_a_subnet_on_the_main_table_is_touched_if_that_is_the_instances_own() -> None:
    found = replace(reading(), instances=[running(TARGET, "subnet-b")])
    assert [row[:2] for row in rows(radius(found).table())] == [["rtb-m", "subnet-b"]]


BLACK_HOLE = {**NAT, "State": "blackhole"}
EXACT = {"DestinationCidrBlock": "52.219.0.0/21", "TransitGatewayId": "tgw-1", "State": "active"}
SERVED = {"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1", "State": "active"}
IPV6 = {"DestinationIpv6CidrBlock": "::/0", "EgressOnlyInternetGatewayId": "eigw-1"}


@pytest.mark.parametrize(
    ("routes", "ways", "connections"),
    [
        ((), "nowhere", "none to lose"),
        ((IPV6,), "nowhere", "none to lose"),
        ((BLACK_HOLE,), "nowhere", "none to lose"),
        ((NAT, {**LOCAL, "DestinationCidrBlock": "52.219.0.0/16"}), "nowhere", "none to lose"),
        ((NAT,), "nat-1", RESET),
        ((EXACT,), "tgw-1", RESET),  # only a part of S3, but that is open
        ((NAT, EXACT), "tgw-1, nat-1", RESET),
        ((NAT, SERVED), "vpce-1", "stay: it is served already"),
        # A route that is more exact stays, and so do its connections.
        ((EXACT, SERVED), "tgw-1, vpce-1", "stay: it is served already"),
        ((NAT, {**SERVED, "State": "blackhole"}), "nowhere", "none to lose"),
        ((NAT, {**SERVED, "GatewayId": "igw-1"}), "igw-1", RESET),
    ],
)
def test_connections_are_lost_where_traffic_turns(
    routes: tuple[Any, ...], ways: str, connections: str
) -> None:
    (row,) = rows(radius(reading(*routes)).table())
    assert row[4:] == [ways, connections]


def test_an_endpoint_of_another_service_keeps_no_connection_to_s3() -> None:
    other = {**SERVED, "DestinationPrefixListId": "pl-2", "GatewayId": "vpce-2"}
    found = replace(reading(NAT, other), service_lists={"pl-2": ["198.51.100.0/24"]})
    (row,) = rows(radius(found).table())
    assert row[4:] == ["nat-1", RESET]


def test_what_is_stopped_has_no_connections() -> None:
    found = replace(reading(NAT), instances=[running(TARGET, state="stopped")])
    assert rows(radius(found).table())[0][5] == "none: it is stopped"
    assert radius(found).connections_check().state == "PASS"


def test_that_connections_are_reset_a_person_must_look_at() -> None:
    check = radius(reading(NAT), running(OTHER)).connections_check()
    assert check.state == "UNCERTAIN" and "tell who runs them" in check.remedy
    assert check.detail == f"{TARGET[2:]} {TARGET} by nat-1; {OTHER[2:]} {OTHER} by nat-1"
    assert radius(reading(NAT, SERVED)).connections_check().state == "PASS"
    quiet = radius(reading()).connections_check()
    assert (quiet.state, quiet.detail) == ("PASS", "none to lose")


# -- policies by address --------------------------------------------------------------------------


def becomes(
    effect: str, condition: Any, found: Network | None = None, **more: Any
) -> dict[str, tuple[str, ...]]:
    """What becomes of one statement of the bucket policy, and about whom."""
    text = bucket_policy(statement(effect, Condition=condition, Sid="S", **more))
    result = radius(found or reading(NAT)).by_address(text)
    assert all((one.policy, one.statement) == ("bucket policy", "S") for one in result)
    return {one.becomes: one.about for one in result}


DENIES, ALLOWS = "denies, whatever the address", "allows, whatever the address"
ABOUT = (f"{TARGET[2:]} {TARGET}",)


@pytest.mark.parametrize(
    ("effect", "condition", "expected"),
    [
        ("Deny", {"NotIpAddress": OFFICE}, DENIES),
        ("Deny", {"NotIpAddressIfExists": OFFICE}, DENIES),
        ("Deny", {"IpAddressIfExists": OFFICE}, DENIES),
        ("Deny", {"ForAllValues:IpAddress": OFFICE}, DENIES),
        ("Deny", {"Null": {"aws:SourceIp": "true"}}, DENIES),
        ("Deny", {"NotIpAddress": {"AWS:sourceip": "203.0.113.0/24"}}, DENIES),
        ("Deny", {"StringNotEquals": {"aws:SourceIp": "203.0.113.9"}}, DENIES),
        ("Deny", {"IpAddress": OFFICE}, "denies no more"),
        ("Deny", {"ForAnyValue:NotIpAddress": OFFICE}, "denies no more"),
        ("Deny", {"Null": {"aws:SourceIp": "false"}}, "denies no more"),
        ("Allow", {"IpAddress": OFFICE}, "allows no more"),
        ("Allow", {"IpAddressIfExists": OFFICE}, ALLOWS),
        ("Allow", {"NotIpAddress": OFFICE}, ALLOWS),
        # What else it asks for, and whether they have it.
        ("Deny", {"NotIpAddress": OFFICE, "Bool": {"aws:ViaAWSService": "false"}}, DENIES),
        (
            "Deny",
            {"NotIpAddress": OFFICE, "StringEquals": {"aws:PrincipalOrgID": "o-1"}},
            "may deny, depending on aws:PrincipalOrgID",
        ),
        ("Allow", {"IpAddress": OFFICE, "StringLike": {"s3:prefix": "x/*"}}, "allows no more"),
    ],
)
def test_what_becomes_of_a_statement_by_address(effect: str, condition: Any, expected: str) -> None:
    assert becomes(effect, condition) == {expected: ABOUT}


@pytest.mark.parametrize(
    "condition",
    [
        {"NotIpAddress": OFFICE, "StringNotEquals": {"aws:SourceVpc": "vpc-1"}},
        {"NotIpAddress": OFFICE, "StringNotEquals": {"aws:SourceVpce": NEW_ENDPOINT}},
        {"NotIpAddress": OFFICE, "Bool": {"aws:SecureTransport": "false"}},
        {"NotIpAddress": OFFICE, "ArnNotEquals": {"aws:PrincipalArn": role("team/app")}},
        {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}},
    ],
)
def test_a_statement_that_spares_them_anyway_is_not_listed(condition: Any) -> None:
    """Such as one that takes the VPC beside the address, as the remedy has it."""
    assert becomes("Deny", condition) == {}


@pytest.mark.parametrize(
    "more",
    [
        {"Action": "ec2:*"},
        {"Resource": "arn:aws:dynamodb:*:*:table/x"},
        {"Principal": {"AWS": role("ci-1")}},
    ],
)
def test_what_is_not_about_s3_or_not_about_anybody_here_is_not_listed(
    more: dict[str, Any],
) -> None:
    action = more.pop("Action", "s3:GetObject")
    assert becomes("Deny", {"NotIpAddress": OFFICE}, action=action, **more) == {}


@pytest.mark.parametrize("action", ["*", "s3:*", "S3:getobject", "s?:Get*"])
@pytest.mark.parametrize(
    "resource", ["*", "arn:aws:s3:::data/*", "arn:aws:*:::x", "arn:*", "arn:aws-cn:s3:::data"]
)
def test_whatever_can_be_about_s3_is(action: str, resource: str) -> None:
    found = becomes("Deny", {"NotIpAddress": OFFICE}, action=action, Resource=resource)
    assert found == {DENIES: ABOUT}


def test_not_action_and_not_resource_are_read_as_what_they_leave() -> None:
    made: dict[str, Any] = {"Effect": "Deny", "Condition": {"NotIpAddress": OFFICE}}
    made |= {"Principal": "*", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::x/*"}
    found = radius(reading(NAT)).by_address(json.dumps({"Statement": [made]}))
    assert [one.becomes for one in found] == [DENIES]
    made["NotAction"] = "s3:*"
    assert radius(reading(NAT)).by_address(json.dumps({"Statement": [made]})) == []


def test_identity_policies_are_looked_at_and_those_that_are_alike_are_one() -> None:
    office = policy(statement("Deny", Condition={"NotIpAddress": OFFICE}))
    shared = "arn:aws:iam::aws:policy/Office"
    people = (
        replace(APP, policies={**EVERYTHING, shared: office}),
        Identity(role("ci-1"), "AROACI1", {shared: office}),
        Identity(f"arn:aws:iam::{ACCOUNT}:user/ann", "AIDAANN", {"own": office}),
        Identity(role("aws-service-role/x/linked"), "AROALINKED", {shared: office}),
    )
    found = radius(reading(NAT), people=people)
    assert rows(found.policies(None)) == [
        [shared, "statement 1", "role app, role ci-1", *ABOUT, DENIES],
        ["own", "statement 1", "user ann", NOBODY, DENIES],
    ]
    assert tuple(found.policies(None).columns) == blast_radius.POLICY_COLUMNS


def test_a_permissions_boundary_can_go_by_address_too() -> None:
    text = policy(statement("Allow", Condition={"IpAddress": OFFICE}))
    (one,) = radius(reading(NAT), people=(replace(APP, boundary=text),)).by_address(None)
    assert (one.policy, one.becomes) == ("permissions boundary", "allows no more")


def test_who_comes_through_an_endpoint_already_loses_no_address() -> None:
    text = bucket_policy(statement("Deny", Condition={"NotIpAddress": OFFICE}))
    served = reading(SERVED, endpoints=(endpoint("vpce-1", "rtb-a"),))
    found = radius(served)
    assert rows(found.policies(text))[0][3] == NOBODY
    assert by_name(found.checks(text, FULL))[BY_ADDRESS].state == "PASS"


def test_a_policy_without_a_meaning_is_shown_as_such() -> None:
    text = bucket_policy(statement("Deny", Condition={"NoSuch": OFFICE}))
    (one,) = radius(reading(NAT)).by_address(text)
    assert one.becomes == "cannot be understood" and one.about == ABOUT


def test_an_instance_without_a_role_comes_unsigned() -> None:
    found = replace(reading(NAT), instances=[running(TARGET, profile="")])
    to_all = bucket_policy(statement("Allow", Condition={"IpAddress": OFFICE}))
    assert radius(found).by_address(to_all)[0].about == ABOUT
    named = bucket_policy(
        statement("Allow", Condition={"IpAddress": OFFICE}, Principal={"AWS": role("team/app")})
    )
    assert [one.about for one in radius(found).by_address(named)] == [()]  # its role is elsewhere


BY_ADDRESS = "no policy by address is about who comes through the endpoint"


def test_policies_by_address_are_for_a_person_to_look_at() -> None:
    text = bucket_policy(statement("Deny", Sid="Office", Condition={"NotIpAddress": OFFICE}))
    check = by_name(radius(reading(NAT)).checks(text, FULL))[BY_ADDRESS]
    assert (check.state, check.detail) == (
        "UNCERTAIN",
        f"Office of bucket policy {DENIES}: {ABOUT[0]}",
    )
    assert "aws:VpcSourceIp" in check.remedy
    clear = by_name(radius(reading(NAT)).checks(None, FULL))[BY_ADDRESS]
    assert (clear.state, clear.detail) == ("PASS", "there is none")


def test_roles_that_may_not_be_read_leave_it_uncertain() -> None:
    found = radius(reading(NAT), people=(), refused="AWS answered AccessDenied: no")
    check = by_name(found.checks(None, FULL))[BY_ADDRESS]
    assert check.state == "UNCERTAIN" and "AccessDenied" in check.detail
    assert "iam:GetAccountAuthorizationDetails" in check.remedy
    # What is known of the bucket policy is said all the same.
    text = bucket_policy(statement("Deny", Sid="Office", Condition={"NotIpAddress": OFFICE}))
    assert "Office" in by_name(found.checks(text, FULL))[BY_ADDRESS].detail


# -- what AWS serves ------------------------------------------------------------------------------

OWN = "arn:aws:s3:::data/*"
LINUX, AGENT, ECR, SIGNALS = (
    "Amazon Linux 2023 packages (dnf)",
    "updates of the SSM agent",
    "images from ECR",
    "signals to CloudFormation (cfn-signal to a wait condition, custom resources)",
)


def judged(text: str, *roles: str) -> dict[str, dict[str, str]]:
    found = Judge(text, REGION, ACCOUNT, roles).judgements()
    return {one.family.purpose: {**one.states} for one in found}


def allow(**more: Any) -> str:
    return bucket_policy(statement("Allow", "*", **more))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FULL, {LINUX: "passes", AGENT: "passes passes", ECR: "passes", SIGNALS: "passes"}),
        (allow(Resource=OWN), {LINUX: "cut", AGENT: "cut cut", ECR: "cut", SIGNALS: "cut"}),
        # Reading alone does not send a signal.
        (
            bucket_policy(statement("Allow", "s3:GetObject")),
            {LINUX: "passes", AGENT: "passes passes", ECR: "passes", SIGNALS: "cut"},
        ),
        (
            allow(Resource=["arn:aws:s3:::al2023-repos-ap-northeast-1-de612dc2/*", OWN]),
            {LINUX: "passes", AGENT: "cut cut", ECR: "cut", SIGNALS: "cut"},
        ),
        (
            allow(Condition={"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}),
            {LINUX: "cut", AGENT: "cut passes", ECR: "cut", SIGNALS: "cut"},
        ),
        (
            allow(Condition={"ArnEquals": {"aws:PrincipalArn": role("app")}}),
            {LINUX: "cut", AGENT: "cut passes", ECR: "depends", SIGNALS: "cut"},
        ),
        (
            allow(Condition={"Bool": {"aws:PrincipalIsAWSService": "true"}}),
            {LINUX: "cut", AGENT: "cut cut", ECR: "cut", SIGNALS: "passes"},
        ),
        # The id of one's own organization is not known here, but it is not that of AWS.
        (
            allow(Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
            {LINUX: "cut", AGENT: "cut depends", ECR: "cut", SIGNALS: "cut"},
        ),
        (
            allow(Condition={"StringEquals": {"aws:ResourceOrgID": "o-1"}}),
            {LINUX: "cut", AGENT: "cut cut", ECR: "cut", SIGNALS: "cut"},
        ),
        (
            allow(Condition={"StringEquals": {"aws:ResourceAccount": ACCOUNT}}),
            {LINUX: "cut", AGENT: "cut cut", ECR: "cut", SIGNALS: "cut"},
        ),
        # Another account may well be one of AWS's.
        (
            allow(Condition={"StringEquals": {"aws:ResourceAccount": [ACCOUNT, "137112412989"]}}),
            {LINUX: "depends", AGENT: "depends depends", ECR: "depends", SIGNALS: "depends"},
        ),
        (
            allow(Condition={"IpAddress": OFFICE}),
            {LINUX: "cut", AGENT: "cut cut", ECR: "cut", SIGNALS: "cut"},
        ),
        ("{", dict.fromkeys((LINUX, ECR, SIGNALS), "depends") | {AGENT: "depends depends"}),
    ],
)
def test_what_an_endpoint_policy_cuts(text: str, expected: dict[str, str]) -> None:
    found = judged(text, role("app"))
    assert {purpose: " ".join(found[purpose].values()) for purpose in expected} == expected


def test_of_several_roles_the_one_that_is_cut_counts() -> None:
    text = allow(Condition={"ArnEquals": {"aws:PrincipalArn": role("app")}})
    assert judged(text, role("app"))[AGENT]["by the role"] == "passes"
    assert judged(text, role("app"), role("other"))[AGENT]["by the role"] == "cut"
    assert judged(text)[AGENT]["by the role"] == "depends"  # none could be read


def test_a_deny_is_named() -> None:
    deny = statement("Deny", Sid="OnlyOurs", NotResource=OWN)
    del deny["Resource"]
    found = Judge(bucket_policy(statement("Allow"), deny), REGION, ACCOUNT).judgements()
    assert {one.reason for one in found} == {"Deny by OnlyOurs"}


def test_the_table_shows_only_the_ways_in_which_requests_come() -> None:
    frame = radius(reading()).cut(allow(Resource=OWN), REGION)
    assert tuple(frame.columns) == blast_radius.CUT_COLUMNS
    shown = {row[0]: row[1:] for row in rows(frame)}
    assert shown[LINUX] == [
        "al2023-repos-ap-northeast-1-de612dc2",
        "cut",
        "-",
        "-",
        "no statement allows it",
    ]
    assert shown[ECR][1:4] == ["-", "-", "cut"]
    assert shown[AGENT][1:4] == ["cut", "cut", "-"]


def test_names_follow_the_region_and_its_exceptions() -> None:
    def buckets(region: str) -> list[str]:
        return [name for family in aws_buckets.families(region) for name in family.buckets]

    tokyo = buckets("ap-northeast-1")
    assert not [name for name in tokyo if "{" in name or "ap-northeast-1" not in name][1:]
    for name in (
        "amazonlinux-2-repos-ap-northeast-1",
        "ap-northeast-1-birdwatcher-prod",
        "aws-patch-manager-ap-northeast-1-4849fa78f",
        "patch-baseline-snapshot-ap-northeast-1",
        "cloudformation-custom-resource-response-apnortheast1",
        "prod-ap-northeast-1-starport-layer-bucket",
        "elasticbeanstalk-samples-ap-northeast-1",
    ):
        assert name in tokyo
    assert "patch-baseline-snapshot-me-south-1-uduvl7q8" in buckets("me-south-1")
    assert "aws-ssm-distributor-file-eu-south-1" in buckets("eu-south-1")
    assert "eu-south-1-birdwatcher-prod" not in buckets("eu-south-1")
    assert "elasticbeanstalk-env-resources-me-central-1-f08b818c" in buckets("me-central-1")
    assert buckets("cn-north-1") == []


CUT = "the endpoint policy lets pass what AWS itself serves from S3"


def test_what_is_cut_is_for_a_person_to_look_at_together_with_its_cause() -> None:
    found = radius(reading())
    whole = by_name(found.checks(None, FULL))[CUT]
    assert (whole.state, whole.detail) == ("PASS", "everything")
    narrow = by_name(found.checks(None, json.dumps(statements.bucket_only("data"))))[CUT]
    assert narrow.state == "UNCERTAIN"
    assert narrow.detail.startswith(f"cut (no statement allows it): {LINUX}, ")
    assert narrow.detail.count("no statement allows it") == 1
    wide = by_name(found.checks(None, bucket_policy(statement("Allow", "s3:*"))))[CUT]
    assert (wide.state, wide.detail) == ("PASS", "11 purposes")


def test_a_region_whose_names_are_not_known_is_uncertain_unless_everything_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = radius(reading())
    monkeypatch.setattr(found.identities.account, "region", "cn-north-1")
    assert by_name(found.checks(None, FULL))[CUT].state == "PASS"
    check = by_name(found.checks(None, allow(Resource=OWN)))[CUT]
    assert check.state == "UNCERTAIN" and "cn-north-1 is not known here" in check.detail


# -- which policy will be in the way --------------------------------------------------------------


def test_the_policy_is_that_of_the_endpoint_that_will_serve_the_instances() -> None:
    theirs = allow(Sid="Theirs", Resource=OWN)
    given = parameters(endpoint_policy="bucket-only")
    fresh = json.loads(blast_radius.endpoint_policy(reading(), given))
    assert fresh == statements.bucket_only("data")
    there = reading(endpoints=(endpoint("vpce-1", "rtb-m", PolicyDocument=theirs),))
    assert blast_radius.endpoint_policy(there, given) == theirs
    serving = reading(SERVED, endpoints=(endpoint("vpce-1", "rtb-a", PolicyDocument=theirs),))
    assert blast_radius.endpoint_policy(serving, given) == theirs
    ours = reading(SERVED, endpoints=(endpoint("vpce-1", "rtb-a", change="rehearsal"),))
    assert json.loads(blast_radius.endpoint_policy(ours, given)) == statements.bucket_only("data")


def test_of_several_endpoints_the_one_that_changes_something_counts() -> None:
    new = allow(Sid="New")
    served = endpoint("vpce-1", "rtb-a", PolicyDocument=allow(Sid="Old"))
    other = endpoint("vpce-2", PolicyDocument=new, name="shared")
    found = reading(SERVED, endpoints=(served, other))
    asked = parameters(endpoint_name="shared")
    apart = replace(found, instances=[running(OTHER, "subnet-b")])
    assert blast_radius.endpoint_policy(apart, asked) == new
    # That of an instance whose table has one already would be taken for the other table too; but
    # two have one each here, and so the third is on that of the name.
    tables = [*found.route_tables, route_table("rtb-c", "subnet-c")]
    another = endpoint("vpce-3", "rtb-c", PolicyDocument=allow(Sid="Older"))
    three = [running(TARGET), running(OTHER, "subnet-b"), running(OTHER, "subnet-c")]
    wide = replace(
        found,
        endpoints=[*found.endpoints, another],
        route_tables=tables,
        subnets=[*found.subnets, {"SubnetId": "subnet-c"}],
        instances=three,
    )
    assert wide.target_tables == ["rtb-a", "rtb-c", "rtb-m"]
    assert blast_radius.endpoint_policy(wide, asked) == new
