"""Who is in the account, and which policies each of them carries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from private_s3 import aws, identities
from private_s3.errors import AwsRefused

ACCOUNT = "123456789012"
PROFILE = f"arn:aws:iam::{ACCOUNT}:instance-profile/app"


def allows(action: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def arn(name: str, kind: str = "role") -> str:
    return f"arn:aws:iam::{ACCOUNT}:{kind}/{name}"


ROLE = {
    "Path": "/team/",
    "RoleName": "app",
    "RoleId": "AROA1",
    "Arn": arn("team/app"),
    "RolePolicyList": [{"PolicyName": "s3", "PolicyDocument": allows("s3:Get*")}],
    "AttachedManagedPolicies": [
        {"PolicyName": "s3", "PolicyArn": arn("s3", "policy")},
        {"PolicyName": "gone", "PolicyArn": arn("gone", "policy")},
    ],
    "InstanceProfileList": [{"Arn": PROFILE}],
    "PermissionsBoundary": {"PermissionsBoundaryArn": arn("s3", "policy")},
    "Tags": [{"Key": "team", "Value": "blue"}],
}
BARE = {"RoleName": "bare", "RoleId": "AROA2", "Arn": arn("bare")}
USER = {
    "UserName": "ann",
    "UserId": "AIDA1",
    "Arn": arn("ann", "user"),
    "GroupList": ["readers"],
    "UserPolicyList": [],
    "AttachedManagedPolicies": [],
    "PermissionsBoundary": {"PermissionsBoundaryArn": arn("lost", "policy")},
}
GROUP = {
    "GroupName": "readers",
    "GroupPolicyList": [{"PolicyName": "read", "PolicyDocument": allows("s3:List*")}],
    "AttachedManagedPolicies": [{"PolicyName": "s3", "PolicyArn": arn("s3", "policy")}],
}
MANAGED = {
    "Arn": arn("s3", "policy"),
    "PolicyVersionList": [
        {"Document": allows("s3:Put*"), "IsDefaultVersion": False},
        {"Document": allows("s3:Delete*"), "IsDefaultVersion": True},
    ],
}
PAGE: dict[str, Any] = {
    "UserDetailList": [],
    "GroupDetailList": [],
    "RoleDetailList": [],
    "Policies": [],
}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> identities.Identities:
    """An account whose listing comes on two pages."""
    found = identities.Identities(aws.Account(session(), ACCOUNT, arn("operator")))
    pages = [{**PAGE, "RoleDetailList": [ROLE, BARE], "UserDetailList": [USER]}]
    pages += [{**PAGE, "GroupDetailList": [GROUP], "Policies": [MANAGED]}]

    class Paginator:
        def paginate(self) -> Any:
            return iter(pages)

    monkeypatch.setattr(found.account.iam, "get_paginator", lambda _: Paginator())
    return found


def session() -> Any:
    import boto3

    return boto3.Session("key", "secret", region_name="eu-central-1")


def test_a_role_has_its_inline_and_attached_policies_also_of_one_name(
    read: identities.Identities,
) -> None:
    role = read.by_arn[arn("team/app")]
    assert role.policies == {
        "s3": json.dumps(allows("s3:Get*")),
        arn("s3", "policy"): json.dumps(allows("s3:Delete*")),
        arn("gone", "policy"): identities.unread(f"the policy {arn('gone', 'policy')}"),
    }
    assert role.boundary == json.dumps(allows("s3:Delete*"))
    assert (role.unique_id, role.tags, role.profiles) == ("AROA1", {"team": "blue"}, (PROFILE,))


def test_a_user_has_the_policies_of_the_groups(read: identities.Identities) -> None:
    policies = read.by_arn[arn("ann", "user")].policies
    assert policies == {
        "readers/read": json.dumps(allows("s3:List*")),
        f"readers/{arn('s3', 'policy')}": json.dumps(allows("s3:Delete*")),
    }


def test_a_boundary_that_is_not_listed_is_unread_and_not_none(
    read: identities.Identities,
) -> None:
    boundary = read.by_arn[arn("ann", "user")].boundary
    assert boundary == identities.unread(arn("lost", "policy"))
    condition = {"StringEquals": {arn("lost", "policy"): "known"}}
    about = {"Action": "*", "Resource": "*", "Condition": condition}
    statements = [{"Effect": effect, **about} for effect in ("Allow", "Deny")]
    assert json.loads(boundary) == {"Version": "2012-10-17", "Statement": statements}
    assert read.by_arn[arn("bare")].boundary is None


def test_a_role_is_found_by_its_instance_profile_and_by_its_sessions(
    read: identities.Identities,
) -> None:
    session_arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/app/i-1"
    assert read.role_of(PROFILE) == read.of_session(session_arn) == read.by_arn[arn("team/app")]
    assert read.of_session(arn("ann", "user")) == read.by_arn[arn("ann", "user")]
    assert read.role_of("no profile") is None
    assert read.of_session(f"arn:aws:sts::{ACCOUNT}:assumed-role/other/i-1") is None


def test_a_refused_listing_is_told_and_leaves_nobody() -> None:
    account = aws.Account(session(), ACCOUNT, arn("operator"))
    with Stubber(account.iam) as stub:
        stub.add_client_error("get_account_authorization_details", "AccessDenied", "not you")
        found = identities.Identities(account)
        assert found.by_arn == {}
    assert found.unread == "AWS answered AccessDenied: not you"


def test_no_answer_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    account = aws.Account(session(), ACCOUNT, arn("operator"))

    def fail(_: str) -> Any:
        raise EndpointConnectionError(endpoint_url="nowhere")

    monkeypatch.setattr(account.iam, "get_paginator", fail)
    with pytest.raises(AwsRefused, match="could not be reached"):
        _ = identities.Identities(account).by_arn


def test_a_session_of_another_account_is_of_nobody_here(read: identities.Identities) -> None:
    assert read.of_session("arn:aws:sts::210987654321:assumed-role/app/i-1") is None
