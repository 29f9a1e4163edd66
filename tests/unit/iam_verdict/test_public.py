"""What Block Public Access takes for public: Amazon S3 User Guide, "The meaning of 'public'"."""

from typing import Any

import pytest

from iam_verdict import PolicyError, is_public, public_statements
from tests.support.iam_requests import OWNER, ROLE, allow, cases, deny, policy


def guarded(operator: str, key: str, *values: str) -> dict[str, Any]:
    return allow(Principal="*", Condition={operator: {key: list(values)}})


PUBLIC = [
    ("everyone", allow(Principal="*"), True),
    ("everyone among AWS principals", allow(Principal={"AWS": [ROLE, "*"]}), True),
    ("a federated identity", allow(Principal={"Federated": "graph.facebook.com"}), True),
    ("a role", allow(Principal={"AWS": ROLE}), False),
    ("an account", allow(Principal={"AWS": OWNER}), False),
    ("a service", allow(Principal={"Service": "logging.s3.amazonaws.com"}), False),
    ("a canonical user", allow(Principal={"CanonicalUser": "79a59df900b949e5"}), False),
    ("a deny for everyone", deny(Principal="*"), False),
    ("a fixed VPC", guarded("StringEquals", "aws:SourceVpc", "vpc-91237329"), False),
    ("any VPC", guarded("StringLike", "aws:SourceVpc", "vpc-*"), True),
    ("a fixed VPC, written as a pattern", guarded("StringLike", "aws:SourceVpc", "vpc-9"), False),
    ("fixed endpoints", guarded("StringEquals", "AWS:SourceVPCE", "vpce-1", "vpce-2"), False),
    (
        "one endpoint that is a pattern",
        guarded("StringLike", "aws:SourceVpce", "vpce-1", "*"),
        True,
    ),
    ("a variable", guarded("StringEquals", "aws:SourceVpce", "${aws:PrincipalTag/vpce}"), True),
    ("all but an endpoint", guarded("StringNotEquals", "aws:SourceVpce", "vpce-1"), True),
    ("an endpoint, if any", guarded("StringEqualsIfExists", "aws:SourceVpce", "vpce-1"), True),
    (
        "all endpoints of none",
        guarded("ForAllValues:StringEquals", "aws:SourceVpce", "vpce-1"),
        True,
    ),
    ("some endpoint", guarded("ForAnyValue:StringEquals", "aws:SourceVpce", "vpce-1"), False),
    ("an organization", guarded("StringEquals", "aws:PrincipalOrgID", "o-1"), False),
    ("a role by condition", guarded("ArnEquals", "aws:PrincipalArn", ROLE), False),
    ("roles by pattern", guarded("ArnLike", "aws:PrincipalArn", ROLE + "*"), True),
    ("a source account", guarded("StringEquals", "aws:SourceAccount", OWNER), False),
    ("a user id", guarded("StringLike", "aws:userid", "AROAEXAMPLE:i-1"), False),
    ("any session of a role", guarded("StringLike", "aws:userid", "AROAEXAMPLE:*"), True),
    ("a network", guarded("IpAddress", "aws:SourceIp", "203.0.113.0/24"), False),
    ("an address alone", guarded("IpAddress", "aws:SourceIp", "203.0.113.9"), False),
    ("a private network", guarded("IpAddress", "aws:SourceIp", "10.0.0.0/8"), False),
    ("a very broad network", guarded("IpAddress", "aws:SourceIp", "0.0.0.0/1"), True),
    ("a network just too broad", guarded("IpAddress", "aws:SourceIp", "16.0.0.0/7"), True),
    ("an IPv6 network", guarded("IpAddress", "aws:SourceIp", "2001:db8::/32"), False),
    ("an IPv6 network just too broad", guarded("IpAddress", "aws:SourceIp", "2001:db8::/31"), True),
    ("one of two too broad", guarded("IpAddress", "aws:SourceIp", "10.0.0.0/8", "::/0"), True),
    ("all but a network", guarded("NotIpAddress", "aws:SourceIp", "203.0.113.0/24"), True),
    ("an address as a text", guarded("StringEquals", "aws:SourceIp", "203.0.113.9"), True),
    ("a private address", guarded("IpAddress", "aws:VpcSourceIp", "10.0.0.4"), True),
    ("an instance", guarded("ArnEquals", "ec2:SourceInstanceArn", f"arn:aws:ec2:::{OWNER}"), True),
    (
        "any access point of an account",
        guarded("ArnLike", "s3:DataAccessPointArn", f"arn:aws:s3:*:{OWNER}:accesspoint/*"),
        True,
    ),
    (
        "any access point of an account in a Region",
        guarded("ArnLike", "s3:DataAccessPointArn", f"arn:aws:s3:us-west-2:{OWNER}:accesspoint/*"),
        False,
    ),
    ("secure transport", guarded("Bool", "aws:SecureTransport", "true"), True),
]


@pytest.mark.parametrize(("statement", "expected"), cases(PUBLIC))
def test_is_public(statement: dict[str, Any], expected: bool) -> None:
    assert is_public(policy(statement)) is expected


def test_one_limiting_condition_among_others_is_enough() -> None:
    condition = {
        "Bool": {"aws:SecureTransport": "true"},
        "StringEquals": {"aws:SourceVpce": "vpce-1", "s3:prefix": "x"},
    }
    assert not is_public(policy(allow(Principal="*", Condition=condition)))


def test_public_statements_are_named() -> None:
    document = policy(
        allow(Principal={"AWS": OWNER}), allow(Sid="Open", Principal="*"), deny(Principal="*")
    )
    assert [(found.index, found.sid) for found in public_statements(document)] == [(1, "Open")]


def test_public_test_is_for_bucket_policies() -> None:
    with pytest.raises(PolicyError, match="Principal is missing"):
        is_public(policy(allow()))
