"""What the engine is known to decide wrongly: an upgrade that repairs it is noticed here."""

from typing import Any

import pytest

from iam_verdict import PolicyError
from tests.support.oracle.cases import BUCKET, OWNER, SERVICE, STRANGER, Case, verdict
from tests.support.oracle.engine import Engine
from tests.support.oracle.exclusions import EXCLUSIONS, excluded

ANN = f"arn:aws:iam::{OWNER}:user/ann"
ROLE = f"arn:aws:iam::{OWNER}:role/application"
SESSION = f"arn:aws:sts::{OWNER}:assumed-role/application/ann"
GUEST = f"arn:aws:iam::{STRANGER}:user/guest"

user = {"kind": "user", "arn": ANN, "account": OWNER}
session = {"kind": "role-session", "arn": ROLE, "session_arn": SESSION, "account": OWNER}
root = {"kind": "root", "arn": f"arn:aws:iam::{OWNER}:root", "account": OWNER}
guest = {"kind": "user", "arn": GUEST, "account": STRANGER}
anonymous = {"kind": "anonymous"}

ALLOWED, EXPLICIT, IMPLICIT = "allowed", "explicitly denied", "implicitly denied"


def policy(*statements: dict[str, Any], version: str = "2012-10-17") -> dict[str, Any]:
    broad = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    return {"Version": version, "Statement": [broad | given for given in statements]}


def case(
    principal: dict[str, str],
    policies: dict[str, Any],
    context: dict[str, Any] | None = None,
    action: str = "s3:GetObject",
) -> Case:
    return {
        "principal": principal,
        "action": action,
        "resource": BUCKET if "Bucket" in action else f"{BUCKET}/a.csv",
        "resource_account": OWNER,
        "context": context or {},
        "policies": policies,
    }


def when(operator: str, key: str, value: str, **given: Any) -> Case:
    """A user may do all, except when the condition holds."""
    deny = {"Effect": "Deny", "Condition": {operator: {key: value}}}
    return case(user, {"identity": [policy({}, deny)]}, given.get("context"))


def open_to(*limits: tuple[str, str, str]) -> Case:
    """A bucket is open to everyone within a limit that the request is in, and restricted."""
    ((operator, key, value),) = limits
    statement = {"Principal": "*", "Condition": {operator: {key: value}}}
    context = {"aws:SourceIp": "203.0.113.9", "aws:SourceArn": "arn:aws:s3:::logs"}
    context |= {"aws:PrincipalOrgID": "o-1", "aws:PrincipalArn": GUEST}
    policies = {"identity": [policy({})], "resource": policy(statement)}
    return case(guest, policies | {"restrict_public_buckets": True}, context)


ANN_HERE = {"aws:username": "ann", "aws:PrincipalArn": ANN, "aws:PrincipalAccount": OWNER}
ADDRESS = {"aws:SourceIp": "203.0.113.9"}
IPV6 = {"aws:SourceIp": "2001:db8::1"}
ISSUED = {"aws:TokenIssueTime": "2026-01-01T00:00:00Z"}
LOCKED = {"resource": policy({"Effect": "Deny", "Principal": "*"})}

# The exclusion, a case that falls under it, what AWS decides, and what the engine does.
DEFECTS = [
    (
        "variables in an old version",
        case(
            user,
            {"identity": [policy({"Resource": f"{BUCKET}/${{aws:userid}}"}, version="2008-10-17")]},
            {"aws:userid": "a.csv"},
        ),
        IMPLICIT,
        ALLOWED,
    ),
    (
        "negated operator on a variable without value",
        when("StringNotEquals", "aws:username", "${aws:PrincipalTag/name}", context=ANN_HERE),
        EXPLICIT,
        ALLOWED,
    ),
    (
        "address alone",
        when("NotIpAddress", "aws:SourceIp", "203.0.113.9", context=IPV6),
        EXPLICIT,
        ALLOWED,
    ),
    (
        "address alone",
        when("IpAddress", "aws:SourceIp", "2001:DB8::1", context=IPV6),
        EXPLICIT,
        ALLOWED,
    ),
    (
        "all addresses",
        when("IpAddress", "aws:SourceIp", "0.0.0.0/0", context=ADDRESS),
        EXPLICIT,
        ALLOWED,
    ),
    (
        "seconds beside a date",
        when("DateEquals", "aws:TokenIssueTime", "1767225600", context=ISSUED),
        EXPLICIT,
        ALLOWED,
    ),
    (
        "variable early in an ARN",
        when("ArnEquals", "aws:PrincipalArn", "arn:aws:iam::${aws:PrincipalAccount}:user/ann",
             context=ANN_HERE),
        EXPLICIT,
        ALLOWED,
    ),
    (
        "escape where no wildcards are",
        when("StringEquals", "aws:PrincipalTag/sign", "${$}",
             context={"aws:PrincipalTag/sign": "$"}),
        EXPLICIT,
        ALLOWED,
    ),
    (
        "principal of an endpoint policy",
        case(user, {"identity": [policy({})], "endpoint": policy({"Principal": {"AWS": OWNER}})}),
        IMPLICIT,
        "{",
    ),
    ("root repairs its bucket policy", case(root, LOCKED, action="s3:PutBucketPolicy"),
     ALLOWED, EXPLICIT),
    (
        "NotPrincipal names half of the caller",
        case(user, {"identity": [policy({})], "resource": policy(
            {"Effect": "Deny", "NotPrincipal": {"AWS": ANN}})}),
        EXPLICIT,
        ALLOWED,
    ),
    (
        "grant beyond a session policy",
        case(session, {
            "session": [policy({"Action": "s3:PutObject"})],
            "resource": policy({"Principal": {"AWS": SESSION}}),
        }),
        ALLOWED,
        IMPLICIT,
    ),
    (
        "public or not by a value",
        open_to(("StringEquals", "aws:PrincipalOrgID", "${aws:PrincipalOrgID}")),
        EXPLICIT,
        ALLOWED,
    ),
    (
        "public or not by a value",
        open_to(("IpAddress", "aws:SourceIp", "203.0.113.9")),
        ALLOWED,
        EXPLICIT,
    ),
    (
        "public or not by a key",
        open_to(("ArnEquals", "aws:SourceArn", "arn:aws:s3:::logs")),
        ALLOWED,
        EXPLICIT,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "asked", "right", "wrong"), DEFECTS, ids=[f"{row[0]}" for row in DEFECTS]
)
def test_known_defect_is_still_there(
    engine: Engine, name: str, asked: Case, right: str, wrong: str
) -> None:
    assert excluded(asked) == name
    assert verdict(asked).decision == right
    ((_, answer),) = engine.answers([asked])
    assert answer.startswith(wrong)
    assert right != wrong


def test_every_exclusion_has_a_case() -> None:
    assert {row[0] for row in DEFECTS} == set(EXCLUSIONS)


UNNOTICED = [
    ("an unknown operator", when("StringNotEqual", "aws:username", "ann")),
    ("a bucket policy without Principal", case(user, {"resource": policy({})})),
]


@pytest.mark.parametrize("asked", [row[1] for row in UNNOTICED], ids=[row[0] for row in UNNOTICED])
def test_engine_does_not_notice(engine: Engine, asked: Case) -> None:
    with pytest.raises(PolicyError):
        verdict(asked)
    ((_, answer),) = engine.answers([asked])
    assert not answer.startswith("{")


def test_engine_knows_no_root(engine: Engine) -> None:
    """Which is why it is told of a user who may do all."""
    asked = case(root | {"kind": "user"}, {})
    ((_, answer),) = engine.answers([asked])
    assert (verdict(asked | {"principal": root}).decision, answer) == (ALLOWED, IMPLICIT)


def test_engine_refuses_a_key_that_the_action_does_not_have(engine: Engine) -> None:
    ((_, answer),) = engine.answers([case(anonymous, {}, {"s3:prefix": "x"})])
    assert answer == '{"ignored":["s3:prefix"]}'


def test_engine_knows_services(engine: Engine) -> None:
    statement = {"Principal": {"Service": SERVICE}}
    asked = case({"kind": "service", "service": SERVICE}, {"resource": policy(statement)})
    ((_, answer),) = engine.answers([asked])
    assert answer == verdict(asked).decision == ALLOWED
