"""Where the bucket is, also where S3 does not say it; who its policy names, and what it keeps."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError

from private_s3 import aws, bucket, endpoint
from private_s3.errors import AwsRefused, BadInput
from private_s3.identities import Identities
from private_s3.parameters import RestrictTo
from tests.support.readings import (
    ACCOUNT,
    REGION,
    VPCE,
    bucket_policy,
    parameters,
    statement,
    vpc,
)


def account(answer: Any) -> aws.Account:
    """An account in which each request to S3 is answered so, at once."""
    session = boto3.Session("x", "x", region_name=REGION)
    found = aws.Account(session, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/ann")
    found.s3 = session.client("s3", config=aws.ONCE)
    found.s3.meta.events.register("before-send.s3", lambda **_: answer())
    return found


def refused(where: str = "") -> AWSResponse:
    headers = {"x-amz-bucket-region": where} if where else {}
    answer = AWSResponse("https://example.com", 403, headers, None)
    answer._content = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    return answer


def lost() -> AWSResponse:
    raise ConnectionClosedError(endpoint_url="https://example.com")


@pytest.mark.parametrize("where", ["", REGION])
def test_a_refusal_stays_one_if_the_bucket_may_be_in_the_region(where: str) -> None:
    with pytest.raises(AwsRefused, match="AccessDenied"):
        bucket.read(account(lambda: refused(where)), parameters())


def test_a_refusal_that_names_another_region_is_told_as_that() -> None:
    with pytest.raises(BadInput, match="The bucket is in eu-west-3"):
        bucket.read(account(lambda: refused("eu-west-3")), parameters())


def test_a_lost_connection_is_told_as_that() -> None:
    with pytest.raises(AwsRefused, match="AWS could not be reached") as caught:
        bucket.read(account(lost), parameters())
    assert caught.value.passing


@pytest.mark.parametrize("level", ["none", "endpoint"])
def test_a_level_that_names_no_role_does_without_one(level: RestrictTo) -> None:
    served = {("route-table/rtb-a", endpoint.S3_ROUTE): VPCE}
    nobody = Identities(account(lost))
    nobody.__dict__["by_arn"] = {}
    made = bucket.fence(vpc(), parameters(), served, nobody, level)
    assert (made.role_arns, made.endpoint_ids) == ([], [VPCE])
    with pytest.raises(BadInput, match="no instance profile"):
        bucket.fence(vpc(), parameters(), served, nobody, "role")


def test_statements_of_others_are_kept_only_in_their_order() -> None:
    first, second = statement("Deny", Sid="First"), statement("Deny", Sid="Second")
    before = bucket_policy(first, second)
    for after, state in (
        (before, "PASS"),
        (bucket_policy(second, first), "FAIL"),
        (bucket_policy(first), "FAIL"),
    ):
        assert bucket.kept(before, after).state == state
