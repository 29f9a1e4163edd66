"""Where the bucket is, also where S3 refuses to say it or says nothing."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError

from private_s3 import aws, bucket
from private_s3.errors import AwsRefused, BadInput
from tests.support.readings import ACCOUNT, REGION, parameters


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
