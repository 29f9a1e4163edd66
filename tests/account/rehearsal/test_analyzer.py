"""IAM Access Analyzer in the rehearsal account: valid, public, and who may ask."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rehearsal import Account
from tests.support.asking import code_of

BUCKET = "arn:aws:s3:::rehearsal-private-data"
BREAK_GLASS = "arn:aws:sts::123456789012:assumed-role/break-glass/rehearsal"
ALLOW = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{BUCKET}/*"}


def policy(**more: Any) -> str:
    """A bucket policy of one statement."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{**ALLOW, **more}]})


def validated(account: Account, text: str) -> list[dict[str, Any]]:
    """What ValidatePolicy finds in a bucket policy."""
    answer = account.client("accessanalyzer", "operator").validate_policy(
        policyDocument=text,
        policyType="RESOURCE_POLICY",
        validatePolicyResourceType="AWS::S3::Bucket",
    )
    return list(answer["findings"])


def public(account: Account, text: str, who: str = "operator") -> dict[str, Any]:
    """The answer of CheckNoPublicAccess about a bucket policy."""
    return dict(
        account.client("accessanalyzer", who).check_no_public_access(
            policyDocument=text, resourceType="AWS::S3::Bucket"
        )
    )


def test_valid_policy_has_no_findings(shared: Account) -> None:
    assert validated(shared, policy()) == []


def test_error_is_found_with_its_place(shared: Account) -> None:
    (found,) = validated(shared, policy(Condition={"StringEqual": {"aws:SourceVpc": "vpc-1"}}))
    assert (found["findingType"], found["findingDetails"]) == (
        "ERROR",
        'unknown operator "StringEqual"',
    )
    path = [{"value": "Statement"}, {"index": 0}, {"value": "Condition"}]
    assert found["locations"][0]["path"] == path


def test_text_that_is_no_json_is_found_without_a_place(shared: Account) -> None:
    (found,) = validated(shared, "{")
    assert found["locations"][0]["path"] == []


def test_public_statement_is_named(shared: Account) -> None:
    answer = public(shared, policy(Sid="Open"))
    assert answer["result"] == "FAIL"
    reason = {"statementIndex": 0, "statementId": "Open"}
    assert answer["reasons"][0].items() >= reason.items()


def test_statement_that_is_bound_to_an_endpoint_is_not_public(shared: Account) -> None:
    bound = policy(Condition={"StringEquals": {"aws:SourceVpce": "vpce-00000000000000000"}})
    assert public(shared, bound)["result"] == "PASS"


def test_who_may_not_ask_is_told_so(shared: Account) -> None:
    analyzer = shared.client("accessanalyzer", "break-glass")
    with pytest.raises(analyzer.exceptions.AccessDeniedException) as caught:
        analyzer.check_no_public_access(policyDocument=policy(), resourceType="AWS::S3::Bucket")
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403
    asked = f"User: {BREAK_GLASS} is not authorized to perform: access-analyzer:CheckNoPublicAccess"
    assert answer["Error"]["Message"].startswith(asked)


def test_no_answer_is_made_up_for_what_is_not_emulated(shared: Account) -> None:
    analyzer = shared.client("accessanalyzer")
    kind = {"policyDocument": policy(), "resourceType": "AWS::KMS::Key"}
    assert code_of(analyzer.check_no_public_access, **kind) == "NotImplemented"
    kind = {"policyDocument": policy(), "policyType": "IDENTITY_POLICY"}
    assert code_of(analyzer.validate_policy, **kind) == "NotImplemented"
    assert code_of(analyzer.list_analyzers) == "NotImplemented"


def test_policy_without_a_meaning_cannot_be_judged_public(shared: Account) -> None:
    analyzer = shared.client("accessanalyzer")
    asked = {"policyDocument": "{", "resourceType": "AWS::S3::Bucket"}
    assert code_of(analyzer.check_no_public_access, **asked) == "InvalidParameterException"


def test_calls_are_noted_and_are_no_writes(shared: Account) -> None:
    before = len(shared.calls())
    validated(shared, policy())
    public(shared, policy())
    noted = [
        (call["operation"], call["who"], call["status"], call["write"])
        for call in shared.calls()[before:]
    ]
    assert noted == [
        ("ValidatePolicy", "operator", 200, False),
        ("CheckNoPublicAccess", "operator", 200, False),
    ]
