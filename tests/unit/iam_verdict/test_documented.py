"""Cases that AWS's documentation decides, each with the page that does."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from iam_verdict import Decision, Policies, Principal, decide
from tests.support.iam_requests import (
    BUCKET,
    OBJECT,
    ROLE,
    STRANGER,
    allow,
    anonymous,
    deny,
    log_delivery,
    policy,
    request,
    role_session,
    root,
    service_linked,
    stranger,
    user,
)

OPERATORS_PAGE = "IAM User Guide, IAM JSON policy elements: Condition operators"
VARIABLES_PAGE = "IAM User Guide, IAM policy elements: Variables and tags"
NOT_PRINCIPAL_PAGE = "IAM User Guide, AWS JSON policy elements: NotPrincipal"
LOGIC_PAGE = "IAM User Guide, Policy evaluation logic"
SET_OPERATORS_PAGE = "IAM User Guide, Multivalued context keys"
PUBLIC_PAGE = "Amazon S3 User Guide, Blocking public access to your Amazon S3 storage"
PUT_POLICY_PAGE = "Amazon S3 API Reference, PutBucketPolicy"
NULL_VALUE_PAGE = f"{VARIABLES_PAGE}, Policy variables with no value"
ANY_VALUE_ANSWER = "AWS re:Post, ForAnyValue:StringEqualsIfExists behaving unexpectedly"
CONTROL_PAGE = "AWS Organizations User Guide, Resource control policies (RCPs)"
CONTROL_EXAMPLES_PAGE = "AWS Organizations User Guide, Resource control policy examples"
SERVICE_CONTROL_PAGE = "AWS Organizations User Guide, Service control policies (SCPs)"
BOUNDARIES_PAGE = "IAM User Guide, Permissions boundaries for IAM entities"
GATEWAY_PAGE = "AWS PrivateLink, Gateway endpoints for Amazon S3"


@dataclass
class Case:
    """One sentence of a page, as a request and its verdict."""

    sentence: str
    source: str
    policies: Policies
    decision: Decision
    principal: Principal = user
    action: str = "s3:GetObject"
    resource: str = OBJECT
    context: dict[str, Any] = field(default_factory=dict)


def identity(*statements: dict[str, Any], version: str = "2012-10-17") -> Policies:
    return Policies(identity=[policy(*statements, version=version)])


def bucket(*statements: dict[str, Any]) -> Policies:
    return Policies(identity=[policy(allow())], resource=policy(*statements))


def when(operator: str, key: str, *values: str) -> dict[str, Any]:
    return {"Condition": {operator: {key: list(values)}}}


HOME = when("StringLike", "s3:prefix", "", "home/", "home/${aws:username}/*")
ARN_PATTERN = "arn:aws:someservice:*:111122223333:finance/*"
ARN_VALUE = "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"
NETWORK = when("IpAddress", "aws:SourceIp", "203.0.113.0/24", "2001:DB8:1234:5678::/64")
MAX_KEYS = when("NumericLessThanEquals", "s3:max-keys", "10")
TAG_KEYS = when("ForAllValues:StringLike", "aws:TagKeys", "key1*", "key2*", "key3*")
BOB = f"arn:aws:iam::{STRANGER}:user/Bob"
bob = Principal("user", BOB, account=STRANGER)
EXCEPT_BOB = deny(NotPrincipal={"AWS": [BOB, f"arn:aws:iam::{STRANGER}:root"]})
ACCOUNT_1_OPEN = bucket(
    allow(Principal={"Service": "logging.s3.amazonaws.com"}),
    allow(Principal={"AWS": STRANGER}),
    allow(Principal="*"),
)
RESTRICTED = Policies(
    ACCOUNT_1_OPEN.identity, ACCOUNT_1_OPEN.resource, restrict_public_buckets=True
)
CONFUSED_DEPUTY = deny(
    Principal="*",
    Condition={
        "StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-1"},
        "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
    },
)
OPEN = policy(allow(Principal="*"))
CONTROLLED = Policies(
    identity=[policy(allow())], resource=OPEN, resource_control=[[policy(CONFUSED_DEPUTY)]]
)
CLOSED_BY_CONTROL = Policies(resource_control=[[policy(deny(Principal="*", Action="s3:*"))]])
TWO_TESTS = {
    "StringNotEquals": {"aws:SourceVpce": "vpce-1"},
    "NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"},
}
LOCKED = Policies(resource=policy(deny(Principal="*", Action="s3:*")))

CASES = [
    Case(
        "a key that is not present does not match",
        OPERATORS_PAGE,
        identity(allow(**when("StringEquals", "aws:PrincipalTag/job-category", "iamuser-admin"))),
        "implicitly denied",
    ),
    Case(
        "a negated operator is true without its key",
        OPERATORS_PAGE,
        identity(allow(**when("StringNotLike", "aws:PrincipalTag/job-category", "x*"))),
        "allowed",
    ),
    Case(
        "a negated operator with IfExists still denies without its key",
        OPERATORS_PAGE,
        identity(allow(), deny(**when("StringNotEqualsIfExists", "aws:RequestTag/team", "blue"))),
        "explicitly denied",
    ),
    Case(
        "IfExists is true without its key",
        OPERATORS_PAGE,
        identity(allow(**when("StringLikeIfExists", "ec2:InstanceType", "t1.*", "t2.*"))),
        "allowed",
    ),
    Case(
        "IfExists compares a key that is there",
        OPERATORS_PAGE,
        identity(allow(**when("StringLikeIfExists", "ec2:InstanceType", "t1.*", "t2.*"))),
        "implicitly denied",
        context={"ec2:InstanceType": "c5.large"},
    ),
    Case(
        "listing the own home directory is allowed",
        OPERATORS_PAGE,
        identity(allow(Action="s3:ListBucket", **HOME)),
        "allowed",
        action="s3:ListBucket",
        resource=BUCKET,
        context={"s3:prefix": "home/ann/2026", "aws:username": "ann"},
    ),
    Case(
        "listing another's home directory is not",
        OPERATORS_PAGE,
        identity(allow(Action="s3:ListBucket", **HOME)),
        "implicitly denied",
        action="s3:ListBucket",
        resource=BUCKET,
        context={"s3:prefix": "home/bob/2026", "aws:username": "ann"},
    ),
    Case(
        "listing up to ten objects is allowed",
        OPERATORS_PAGE,
        identity(allow(**MAX_KEYS)),
        "allowed",
        context={"s3:max-keys": "10"},
    ),
    Case(
        "listing more than ten objects is not",
        OPERATORS_PAGE,
        identity(allow(**MAX_KEYS)),
        "implicitly denied",
        context={"s3:max-keys": "100"},
    ),
    Case(
        "credentials issued before the date are refused",
        OPERATORS_PAGE,
        identity(allow(**when("DateGreaterThan", "aws:TokenIssueTime", "2020-01-01T00:00:01Z"))),
        "implicitly denied",
        context={"aws:TokenIssueTime": "2020-01-01T00:00:01Z"},
    ),
    Case(
        "requests without transport security are denied",
        OPERATORS_PAGE,
        identity(allow(), deny(**when("Bool", "aws:SecureTransport", "false"))),
        "explicitly denied",
        context={"aws:SecureTransport": "false"},
    ),
    Case(
        "addresses of both families may be listed",
        OPERATORS_PAGE,
        identity(allow(**NETWORK)),
        "allowed",
        context={"aws:SourceIp": "2001:db8:1234:5678::1"},
    ),
    Case(
        "a request through a VPC endpoint has no source address",
        OPERATORS_PAGE,
        identity(allow(**NETWORK)),
        "implicitly denied",
        context={"aws:SourceVpce": "vpce-1"},
    ),
    Case(
        "StringLike lets a star cross colons",
        OPERATORS_PAGE,
        identity(allow(**when("StringLike", "aws:SourceArn", ARN_PATTERN))),
        "allowed",
        context={"aws:SourceArn": ARN_VALUE},
    ),
    Case(
        "ArnLike compares the parts between colons",
        OPERATORS_PAGE,
        identity(allow(**when("ArnLike", "aws:SourceArn", ARN_PATTERN))),
        "implicitly denied",
        context={"aws:SourceArn": ARN_VALUE},
    ),
    Case(
        "Null true holds without temporary credentials",
        OPERATORS_PAGE,
        identity(allow(**when("Null", "aws:TokenIssueTime", "true"))),
        "allowed",
    ),
    Case(
        "Null true fails with temporary credentials",
        OPERATORS_PAGE,
        identity(allow(**when("Null", "aws:TokenIssueTime", "true"))),
        "implicitly denied",
        context={"aws:TokenIssueTime": "2020-01-01T00:00:01Z"},
    ),
    Case(
        "ForAllValues is true without its key",
        SET_OPERATORS_PAGE,
        identity(allow(), deny(**TAG_KEYS)),
        "explicitly denied",
    ),
    Case(
        "ForAllValues fails on one other value",
        SET_OPERATORS_PAGE,
        identity(allow(), deny(**TAG_KEYS)),
        "allowed",
        context={"aws:TagKeys": ["key1:legal", "1key:law"]},
    ),
    Case(
        "a variable is replaced by the caller's name",
        VARIABLES_PAGE,
        identity(allow(Resource=f"{BUCKET}/${{aws:username}}/*")),
        "allowed",
        resource=f"{BUCKET}/ann/x",
        context={"aws:username": "ann"},
    ),
    Case(
        "a variable is plain text in an older version",
        VARIABLES_PAGE,
        identity(allow(Resource=f"{BUCKET}/${{aws:username}}/*"), version="2008-10-17"),
        "implicitly denied",
        resource=f"{BUCKET}/ann/x",
        context={"aws:username": "ann"},
    ),
    Case(
        "a default value stands in for an anonymous user",
        VARIABLES_PAGE,
        bucket(allow(Principal="*", Resource=f"{BUCKET}/${{aws:userid, 'anonymous'}}")),
        "allowed",
        principal=anonymous,
        resource=f"{BUCKET}/anonymous",
    ),
    Case(
        "NotPrincipal spares the user who is listed with the account",
        NOT_PRINCIPAL_PAGE,
        bucket(allow(Principal="*"), EXCEPT_BOB),
        "allowed",
        principal=bob,
    ),
    Case(
        "NotPrincipal denies other users of the account",
        NOT_PRINCIPAL_PAGE,
        bucket(allow(Principal="*"), EXCEPT_BOB),
        "explicitly denied",
        principal=stranger,
    ),
    Case(
        "a role ARN's grant is limited by the boundary",
        LOGIC_PAGE,
        Policies(
            resource=policy(allow(Principal={"AWS": ROLE})),
            boundary=policy(allow(Action="s3:PutObject")),
        ),
        "implicitly denied",
        principal=role_session,
    ),
    Case(
        "a session ARN's grant is not limited by the session policy",
        LOGIC_PAGE,
        Policies(
            resource=policy(allow(Principal={"AWS": role_session.session_arn})),
            session=[policy(allow(Action="s3:PutObject"))],
        ),
        "allowed",
        principal=role_session,
    ),
    Case(
        "a variable without value matches a negated operator",
        NULL_VALUE_PAGE,
        bucket(
            deny(Principal="*", **when("StringNotEquals", "aws:username", "${aws:PrincipalTag/x}"))
        ),
        "explicitly denied",
        context={"aws:username": "ann"},
    ),
    Case(
        "a variable without value matches no other",
        NULL_VALUE_PAGE,
        identity(allow(**when("StringLike", "aws:username", "*${aws:PrincipalTag/x}"))),
        "implicitly denied",
        context={"aws:username": "ann"},
    ),
    Case(
        "a condition on a variable is plain text in an older version",
        VARIABLES_PAGE,
        identity(
            allow(**when("StringEquals", "aws:PrincipalTag/team", "${aws:username}")),
            version="2008-10-17",
        ),
        "implicitly denied",
        context={"aws:PrincipalTag/team": "ann", "aws:username": "ann"},
    ),
    Case(
        "an IPv6 caller is outside an IPv4 address",
        OPERATORS_PAGE,
        bucket(deny(Principal="*", **when("NotIpAddress", "aws:SourceIp", "203.0.113.9"))),
        "explicitly denied",
        context={"aws:SourceIp": "2001:db8::1"},
    ),
    Case(
        "every IPv4 address is in 0.0.0.0/0",
        OPERATORS_PAGE,
        identity(allow(**when("IpAddress", "aws:SourceIp", "0.0.0.0/0"))),
        "allowed",
        context={"aws:SourceIp": "203.0.113.9"},
    ),
    Case(
        "a date may be given in seconds since 1970",
        OPERATORS_PAGE,
        identity(allow(**when("DateLessThan", "aws:CurrentTime", "1767225601"))),
        "allowed",
        context={"aws:CurrentTime": "2026-01-01T00:00:00Z"},
    ),
    Case(
        "two negated tests in one statement must both hold",
        OPERATORS_PAGE,
        bucket(deny(Principal="*", Condition=TWO_TESTS)),
        "allowed",
        context={"aws:SourceVpce": "vpce-1"},
    ),
    Case(
        "ForAnyValue is false without its key",
        SET_OPERATORS_PAGE,
        identity(allow(**when("ForAnyValue:StringNotLike", "aws:TagKeys", "key1*"))),
        "implicitly denied",
    ),
    Case(
        "ForAnyValue is false without its key, in spite of IfExists",
        ANY_VALUE_ANSWER,
        identity(allow(**when("ForAnyValue:StringEqualsIfExists", "aws:TagKeys", "team"))),
        "implicitly denied",
    ),
    Case(
        "NotPrincipal denies whoever has a permissions boundary",
        BOUNDARIES_PAGE,
        replace(bucket(allow(Principal="*"), EXCEPT_BOB), boundary=policy(allow())),
        "explicitly denied",
        principal=bob,
    ),
    Case(
        "a user ARN's grant is not limited by the boundary",
        LOGIC_PAGE,
        Policies(
            resource=policy(allow(Principal={"AWS": user.arn})),
            boundary=policy(allow(Action="s3:PutObject")),
        ),
        "allowed",
    ),
    Case(
        "a resource control policy keeps strangers out whatever the bucket grants",
        CONTROL_EXAMPLES_PAGE,
        CONTROLLED,
        "explicitly denied",
        principal=stranger,
        context={"aws:PrincipalOrgID": "o-2", "aws:PrincipalIsAWSService": "false"},
    ),
    Case(
        "a resource control policy leaves the organization in",
        CONTROL_EXAMPLES_PAGE,
        CONTROLLED,
        "allowed",
        context={"aws:PrincipalOrgID": "o-1", "aws:PrincipalIsAWSService": "false"},
    ),
    Case(
        "a resource control policy keeps anonymous out",
        CONTROL_EXAMPLES_PAGE,
        CONTROLLED,
        "explicitly denied",
        principal=anonymous,
    ),
    Case(
        "a resource control policy spares services by condition",
        CONTROL_EXAMPLES_PAGE,
        CONTROLLED,
        "allowed",
        principal=log_delivery,
        context={"aws:PrincipalIsAWSService": "true"},
    ),
    Case(
        "a resource control policy holds for root",
        CONTROL_PAGE,
        CLOSED_BY_CONTROL,
        "explicitly denied",
        principal=root,
    ),
    Case(
        "a resource control policy does not hold for service-linked roles",
        CONTROL_PAGE,
        replace(CLOSED_BY_CONTROL, identity=[policy(allow())]),
        "allowed",
        principal=service_linked,
    ),
    Case(
        "a service control policy holds for root",
        SERVICE_CONTROL_PAGE,
        Policies(organization=[[policy(allow(), deny(Action="s3:*"))]]),
        "explicitly denied",
        principal=root,
    ),
    Case(
        "root is kept from its bucket policy by a VPC endpoint policy",
        PUT_POLICY_PAGE,
        replace(LOCKED, endpoint=policy(allow(Principal="*", Action="s3:GetObject"))),
        "implicitly denied",
        principal=root,
        action="s3:PutBucketPolicy",
        resource=BUCKET,
    ),
    Case(
        "root is kept from its bucket policy by an Organizations policy",
        PUT_POLICY_PAGE,
        replace(LOCKED, resource_control=CLOSED_BY_CONTROL.resource_control),
        "explicitly denied",
        principal=root,
        action="s3:PutBucketPolicy",
        resource=BUCKET,
    ),
    Case("root has full access", LOGIC_PAGE, Policies(), "allowed", principal=root),
    Case(
        "the account's root may put a bucket policy that denies it",
        PUT_POLICY_PAGE,
        LOCKED,
        "allowed",
        principal=root,
        action="s3:PutBucketPolicy",
        resource=BUCKET,
    ),
    Case(
        "the account's root may not do anything else that is denied",
        PUT_POLICY_PAGE,
        LOCKED,
        "explicitly denied",
        principal=root,
        action="s3:PutBucketAcl",
        resource=BUCKET,
    ),
    Case(
        "an account in an endpoint policy is its root user only",
        GATEWAY_PAGE,
        Policies(
            identity=[policy(allow())], endpoint=policy(allow(Principal={"AWS": user.account}))
        ),
        "implicitly denied",
    ),
    Case(
        "an endpoint policy must allow what identity policies allow",
        GATEWAY_PAGE,
        Policies(
            identity=[policy(allow())],
            endpoint=policy(allow(Principal="*", Resource=["arn:aws:s3:::other/*"])),
        ),
        "implicitly denied",
    ),
    Case(
        "a restricted public policy serves a service",
        PUBLIC_PAGE,
        RESTRICTED,
        "allowed",
        principal=log_delivery,
    ),
    Case(
        "a restricted public policy does not serve an account that it names",
        PUBLIC_PAGE,
        RESTRICTED,
        "explicitly denied",
        principal=stranger,
    ),
    Case(
        "a public policy that is not restricted does",
        PUBLIC_PAGE,
        ACCOUNT_1_OPEN,
        "allowed",
        principal=stranger,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.sentence for case in CASES])
def test_documented(case: Case) -> None:
    asked = request(case.principal, case.action, case.resource, case.context)
    assert decide(asked, case.policies).decision == case.decision, case.source
