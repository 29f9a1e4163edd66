"""What AWS refuses to tell is said, with the action that is missing; it is never taken for none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from private_s3 import aws, bucket, guard
from private_s3.errors import AwsRefused
from private_s3.identities import Identities
from private_s3.matrix import Matrix
from private_s3.record import Check
from tests.support.readings import ACCOUNT, REGION, parameters, people, situation

READINGS: dict[str, tuple[Callable[..., Any], Any, str, str, str]] = {
    "get_public_access_block": (
        bucket.read_public_access_block,
        None,
        "Block Public Access can be read",
        "s3:GetBucketPublicAccessBlock",
        "NoSuchPublicAccessBlockConfiguration",
    ),
    "get_bucket_replication": (
        bucket.read_replication_role,
        "",
        "the replication can be read",
        "s3:GetReplicationConfiguration",
        "ReplicationConfigurationNotFoundError",
    ),
}
every_reading = pytest.mark.parametrize("operation", READINGS)


def account() -> aws.Account:
    session = boto3.Session("x", "x", region_name=REGION)
    return aws.Account(session, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/ann")


def read(operation: str, code: str, status: int) -> tuple[Any, list[Check]]:
    """What a reading gives that AWS answers with an error, and what it says of that."""
    reading, of, unread = READINGS[operation][0], account(), list[Check]()
    with Stubber(of.s3) as stubber:
        stubber.add_client_error(operation, code, "Access Denied", http_status_code=status)
        return reading(of, "data", unread), unread


@every_reading
def test_a_refusal_is_said_and_the_action_named_though_aws_does_not(operation: str) -> None:
    _, value, name, action, _ = READINGS[operation]
    found, (check,) = read(operation, "AccessDenied", 403)
    assert found == value
    assert (check.name, check.state) == (name, "UNCERTAIN")
    assert check.detail == "AWS answered AccessDenied: Access Denied"
    assert check.remedy == f"grant {action} on data to the caller"


@every_reading
def test_what_is_not_there_is_known(operation: str) -> None:
    _, value, _, _, absent = READINGS[operation]
    found, unread = read(operation, absent, 404)
    assert found == (value if value == "" else {}) and unread == []


@every_reading
def test_any_other_answer_is_an_error(operation: str) -> None:
    with pytest.raises(AwsRefused):
        read(operation, "NoSuchBucket", 404)


def test_identities_say_so_once_they_were_asked_for_in_vain() -> None:
    identities = Identities(account())
    with Stubber(identities.account.iam) as stubber:
        stubber.add_client_error("get_account_authorization_details", "AccessDenied", "No.", 403)
        assert identities.checks() == [] and identities.by_arn == {}
    (check,) = identities.checks()
    assert (check.name, check.state) == ("roles and users can be read", "UNCERTAIN")
    assert check.detail == "AWS answered AccessDenied: No."
    assert check.remedy == "grant iam:GetAccountAuthorizationDetails to the operator"


def test_a_plan_says_what_it_could_not_read() -> None:
    unread = [Check.unread("the replication", "AWS answered AccessDenied: No.", "grant it")]
    now, callers = situation(), people(None).all()
    for changes_policy in (True, False):
        made = Matrix(now, now, callers, "check", unread)
        found = guard.checks(made, parameters(), changes_policy=changes_policy)
        assert found[-1] == unread[0] and unread[0].state == "UNCERTAIN"
