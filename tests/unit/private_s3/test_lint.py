"""The check of a bucket policy before it is sent: each finding, red and green."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

import rehearsal
from private_s3 import lint
from private_s3.parameters import RestrictTo
from private_s3.plan import NEW_ENDPOINT
from private_s3.statements import SIZE_LIMIT, Fence, as_list, merge

BUCKET = "rehearsal-private-data"
ARN, ID = f"arn:aws:s3:::{BUCKET}", "vpce-0123456789abcdef0"
ROLE = "arn:aws:iam::123456789012:role/app"
SCENARIO = Path(rehearsal.__file__).with_name("scenario.yaml")
GOOD = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": ["s3:ListBucket", "s3:GetObject"],
    "Resource": [ARN, f"{ARN}/*"],
}


def statement(**changes: Any) -> dict[str, Any]:
    """A good statement with some elements changed; None takes one away."""
    return {key: value for key, value in {**GOOD, **changes}.items() if value is not None}


def document(*statements: Any, **more: Any) -> str:
    """A policy of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements, **more})


def when(operator: str, key: str, value: Any) -> dict[str, Any]:
    """A statement with one condition."""
    return statement(Condition={operator: {key: value}})


def at_element(name: str) -> str:
    return f"Statement[0].{name}"


REFUSED = {
    "no JSON": ("{", "Document", "Policies must be valid JSON and the first byte must be '{'"),
    "a space before it": (
        " " + document(GOOD),
        "Document",
        "Policies must be valid JSON and the first byte must be '{'",
    ),
    "a JSON list": ("[]", "Document", "Policies must be valid JSON and the first byte must be '{'"),
    "a key twice": (
        '{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}',
        "Document",
        "Policies must be valid JSON and the first byte must be '{'",
    ),
    "no statement": ('{"Id": "x"}', "Statement", "Missing required field Statement"),
    "a wrong version": (
        document(GOOD, Version="2012-10-18"),
        "Version",
        "The policy must contain a valid version string",
    ),
    "too many bytes": (
        document(*[statement(Sid=f"S{n:04}") for n in range(150)]),
        "Document",
        "MalformedPolicy",
    ),
}
REFUSED_STATEMENTS = {
    "a wrong effect": (statement(Effect="deny"), "Effect", "Invalid effect"),
    "no principal": (statement(Principal=None), "", "Missing required field Principal"),
    "both principals": (statement(NotPrincipal="*"), "", "MalformedPolicy"),
    "no action": (statement(Action=None), "", "Missing required field Action"),
    "both actions": (statement(NotAction="s3:*"), "", "MalformedPolicy"),
    "no resource": (statement(Resource=None), "", "Missing required field Resource"),
    "both resources": (statement(NotResource=ARN), "", "MalformedPolicy"),
    "an allow of all but some": (
        statement(Effect="Allow", Principal=None, NotPrincipal={"AWS": ROLE}),
        "",
        "MalformedPolicy",
    ),
    "an unknown element": (statement(Actions="s3:*"), "", "MalformedPolicy"),
    "part of a principal": (
        statement(Principal={"AWS": "arn:aws:iam::123456789012:role/*"}),
        "Principal",
        "Invalid principal in policy",
    ),
    "part of a service": (
        statement(Principal={"Service": "*.amazonaws.com"}),
        "Principal.Service",
        "Invalid principal in policy",
    ),
    "an unknown kind of principal": (
        statement(Principal={"Role": ROLE}),
        "Principal",
        "Invalid principal in policy",
    ),
    "an unknown operator": (
        when("StringEqual", "aws:SourceVpce", ID),
        "Condition",
        "MalformedPolicy",
    ),
    "no address": (
        when("IpAddress", "aws:SourceIp", "10.0.0/8"),
        "Condition.IpAddress.aws:SourceIp",
        "Invalid IP address in Conditions",
    ),
    "an ARN of few parts": (
        when("ArnLike", "aws:PrincipalArn", "role/app"),
        "Condition.ArnLike.aws:PrincipalArn",
        "MalformedPolicy",
    ),
    "an action that is none": (
        statement(Action="s3:GetObjects"),
        "Action",
        "Policy has invalid action",
    ),
    "an action of no service": (
        statement(Action="GetObject"),
        "Action",
        "Policy has invalid action",
    ),
    "a pattern of no action": (
        statement(Action="s3:Fetch*"),
        "Action",
        "Policy has invalid action",
    ),
    "another service's action": (
        statement(Action="ec2:RunInstances"),
        "Action",
        "Policy has invalid action",
    ),
    "an exception of no action": (
        statement(Action=None, NotAction="s3:Nothing"),
        "NotAction",
        "Policy has invalid action",
    ),
    "an object action on the bucket": (
        statement(Action="s3:GetObject*", Resource=ARN),
        "Action",
        "Action does not apply to any resource(s) in statement",
    ),
    "a bucket action on objects": (
        statement(Resource=f"{ARN}/*"),
        "Action",
        "Action does not apply to any resource(s) in statement",
    ),
    "an action on neither": (
        statement(Action="s3:ListAllMyBuckets"),
        "Action",
        "Action does not apply to any resource(s) in statement",
    ),
    "another bucket": (
        statement(Resource=[ARN, f"{ARN}-2/*"]),
        "Resource",
        "Policy has invalid resource",
    ),
    "any resource": (statement(Resource="*"), "Resource", "Policy has invalid resource"),
    "a resource that is no ARN": (
        statement(Resource=[ARN, f"{BUCKET}/*"]),
        "Resource",
        "Policy has invalid resource",
    ),
    "all but another bucket": (
        statement(Resource=None, NotResource="arn:aws:s3:::other"),
        "NotResource",
        "Policy has invalid resource",
    ),
    "a misspelt key": (when("StringEquals", "aws:SourceVpcE2", ID), "Condition.StringEquals.", ""),
    "a misspelt key of S3": (
        when("StringEquals", "s3:prefixes", "a"),
        "Condition.StringEquals.s3:prefixes",
        "Policy has an invalid condition key",
    ),
    "a misspelt key of another service": (
        when("ArnEquals", "ec2:SourceInstance", "arn:aws:ec2:x:1:instance/i-1"),
        "Condition.ArnEquals.ec2:SourceInstance",
        "Policy has an invalid condition key",
    ),
    "a misspelt variable": (when("StringEquals", "aws:SourceIp", "${aws:VpcSourceIP4}"), "", ""),
    "no endpoint": (when("StringNotEquals", "aws:SourceVpce", "vpc-0123456789abcdef0"), "", ""),
    "half an endpoint": (when("StringNotEquals", "aws:SourceVpce", [ID, "vpce-12"]), "", ""),
}


@pytest.mark.parametrize(("policy", "place", "answer"), REFUSED.values(), ids=REFUSED)
def test_document_fails_with_the_answer_of_s3(policy: str, place: str, answer: str) -> None:
    (found,) = lint.findings(policy, BUCKET)
    assert (found.place, found.answer, found.fails) == (place, answer, True)


@pytest.mark.parametrize(
    ("wrong", "place", "answer"), REFUSED_STATEMENTS.values(), ids=REFUSED_STATEMENTS
)
def test_statement_fails_with_its_place_and_the_answer_of_s3(
    wrong: dict[str, Any], place: str, answer: str
) -> None:
    (found,) = lint.findings(document(GOOD, wrong), BUCKET)
    assert found.place.startswith(f"Statement[1].{place}" if place else "Statement[1]")
    assert (found.answer, found.fails) == (answer, True)


@pytest.mark.parametrize("wrong", [one for one, _, _ in REFUSED_STATEMENTS.values()])
def test_statement_that_s3_has_taken_cannot_fail(wrong: dict[str, Any]) -> None:
    there = document(wrong)
    (found,) = lint.findings(document(wrong, statement(Sid="New")), BUCKET, taken=there)
    assert not found.fails
    (check,) = lint.checks(there, BUCKET, taken=there)
    assert check.state == "PASS" and check.detail.startswith("warning: Statement[0]")


WARNINGS = {
    "a Bool that lets those without the key through": when(
        "Bool", "aws:PrincipalIsAWSService", "false"
    ),
    "an exception of principals": statement(
        Principal=None, NotPrincipal={"AWS": [ROLE, "123456789012"]}
    ),
    "a role that is gone": statement(Principal={"AWS": "AROAKSCDLFT9R5DQP782U"}),
    "a resource of more than the bucket": statement(Resource=f"{ARN}*"),
    "a resource of more than the bucket by one character": statement(
        Action="s3:PutObject", Resource=f"{ARN[:-1]}?"
    ),
}


@pytest.mark.parametrize("doubtful", WARNINGS.values(), ids=WARNINGS)
def test_doubtful_statement_is_warned_of(doubtful: dict[str, Any]) -> None:
    (found,) = lint.findings(document(doubtful), BUCKET)
    assert not found.fails


def test_variable_is_warned_of_where_the_version_has_none() -> None:
    old = document(when("StringEquals", "aws:SourceVpc", "${aws:SourceVpc}"), Version="2008-10-17")
    (found,) = lint.findings(old, BUCKET)
    assert not found.fails and "2008-10-17" in found.problem


def test_sid_that_is_there_twice_is_warned_of() -> None:
    (found,) = lint.findings(document(statement(Sid="A"), statement(Sid="A")), BUCKET)
    assert not found.fails and '"A"' in found.problem


CLEAN = {
    "every type of principal": statement(
        Principal={
            "AWS": [ROLE, "123456789012", "arn:aws:iam::cloudfront:user/CloudFront OAI E1"],
            "Service": "logging.s3.amazonaws.com",
            "CanonicalUser": "a" * 64,
            "Federated": "cognito-identity.amazonaws.com",
        }
    ),
    "any service": statement(Principal={"Service": "*"}),
    "every action": statement(Action="*", Resource=ARN),
    "actions by pattern, in any case": statement(Action=["S3:getobject*", "s3:Get*"]),
    "all actions but one": statement(
        Action=None, NotAction="s3:PutBucketPolicy", Resource=f"{ARN}/*"
    ),
    "actions of both levels on both": statement(Action=["s3:RestoreObject", "s3:PutBucketPolicy"]),
    "all resources but one": statement(Resource=None, NotResource=f"{ARN}/public/*"),
    "a user's folder": statement(
        Action="s3:PutObject", Resource=f"{ARN}/${{aws:username}}/${{aws:PrincipalTag/team, 'x'}}/*"
    ),
    "a wildcard that is meant": statement(Action="s3:PutObject", Resource=f"{ARN}/${{*}}"),
    "a Bool that lets in who has the key": statement(
        Effect="Allow", Condition={"Bool": {"aws:ViaAWSService": "false"}}
    ),
    "insecure transport": when("Bool", "aws:SecureTransport", False),
    "a number": when("NumericGreaterThan", "s3:max-keys", 10),
    "a tag": when("StringEquals", "s3:ExistingObjectTag/project", "a"),
    "a key in any case": when("StringEquals", "AWS:sourcevpce", ID),
    "a short id": when("StringEquals", "aws:SourceVpce", "vpce-1a2b3c4d"),
    "an endpoint that is yet to be made": when("StringNotEquals", "aws:SourceVpce", NEW_ENDPOINT),
    "any endpoint": when("StringNotLike", "aws:SourceVpce", "vpce-*"),
    "no endpoint at all": when("Null", "aws:SourceVpce", "true"),
    "a key of an identity provider": when("StringEquals", "accounts.google.com:aud", "x"),
    "a principal that is a number": statement(Principal={"AWS": 123456789012}),
    "another partition": statement(Resource=[f"arn:aws-cn:s3:::{BUCKET}", f"{ARN}/*"]),
}


@pytest.mark.parametrize("good", CLEAN.values(), ids=CLEAN)
def test_statement_that_is_good_has_no_findings(good: dict[str, Any]) -> None:
    assert lint.findings(document(good), BUCKET) == []


def test_size_is_in_bytes_and_without_the_spaces() -> None:
    room = SIZE_LIMIT - len(json.dumps(json.loads(document(GOOD)), separators=(",", ":")))
    fitting = document(GOOD, Id="é" + "x" * (room - len(',"Id":""') - len("é".encode())))
    assert len(fitting) > SIZE_LIMIT and lint.findings(fitting, BUCKET) == []
    (found,) = lint.findings(fitting.replace("xx", "xxx", 1), BUCKET)
    assert found.problem.startswith(f"has {SIZE_LIMIT + 1} bytes")


@pytest.mark.parametrize("level", get_args(RestrictTo))
@pytest.mark.parametrize("endpoint", [ID, NEW_ENDPOINT])
@pytest.mark.parametrize("allow_services", [True, False])
def test_statements_of_this_project_and_of_the_scenario_are_clean(
    level: RestrictTo, endpoint: str, allow_services: bool
) -> None:
    theirs = yaml.safe_load(SCENARIO.read_text())["buckets"][BUCKET]["policy"]
    instances = ["arn:aws:ec2:ap-northeast-1:123456789012:instance/i-0123456789abcdef0"]
    fence = Fence(BUCKET, [endpoint], [ROLE], instances, ROLE, allow_services)
    policy = merge(document(*theirs), fence.statements(level))
    assert policy and lint.findings(policy, BUCKET) == []


def test_what_was_meant_is_suggested() -> None:
    wrong = document(
        statement(Action="s3:GetObjects"), when("StringEquals", "aws:SourceVPCEndpoint", ID)
    )
    action, key = lint.findings(wrong, BUCKET)
    assert action.problem == "s3:GetObjects is no action of S3, perhaps GetObject"
    assert key.problem.endswith("is no condition key, perhaps aws:SourceVpce")


def test_check_tells_failures_first_and_then_warnings() -> None:
    policy = document(
        when("Bool", "aws:ViaAWSService", "false"), statement(Action="s3:Nothing", Resource=ARN)
    )
    (check,) = lint.checks(policy, BUCKET)
    first, second = check.detail.split("; ")
    assert check.state == "FAIL" and check.remedy
    assert first.startswith("Statement[1].Action: s3:Nothing is no action")
    assert first.endswith("(S3: Policy has invalid action)")
    assert second.startswith("warning: Statement[0].Condition.Bool.aws:ViaAWSService:")


def test_check_of_a_good_policy_has_nothing_to_say() -> None:
    (check,) = lint.checks(document(GOOD), BUCKET)
    assert (check.state, check.detail) == ("PASS", "")


def test_no_policy_is_nothing_to_check() -> None:
    assert [check.state for check in lint.checks(None, BUCKET)] == ["SKIPPED"]


def test_every_action_and_key_of_the_table_stands_there_once() -> None:
    table = json.loads(Path(lint.__file__).with_name("s3_actions.json").read_text())
    names = [name for level in table["actions"].values() for name in level]
    keys = [key.lower() for key in table["condition_keys"]]
    assert len(names) == len(set(names)) and len(keys) == len(set(keys))
    assert as_list(table["licence"])[0].startswith("MIT License")
