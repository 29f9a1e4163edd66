"""Reads who is in the account, and which policies they carry."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from private_s3 import aws
from private_s3.errors import AwsRefused
from private_s3.record import Check

SERVICE_LINKED = "/aws-service-role/"  # the path of roles that no policy of a bucket binds
REMEDY = "grant iam:GetAccountAuthorizationDetails to the operator"


@dataclass(frozen=True)
class Identity:
    """A role or user of the account with all that its own policies say."""

    arn: str
    unique_id: str
    policies: Mapping[str, str]  # as JSON, by name
    boundary: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()  # ARNs of the instance profiles that give the role away

    @property
    def name(self) -> str:
        """The name without its path, as sessions and people use it."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def is_role(self) -> bool:
        return ":role/" in self.arn


class Identities:
    """Everybody in the account, asked for when it is first needed.

    One listing whatever there is; `unread` says why it was refused, and nobody is known then.
    IAM action: iam:GetAccountAuthorizationDetails.
    """

    def __init__(self, account: aws.Account) -> None:
        self.account = account
        self.unread = ""

    @cached_property
    def by_arn(self) -> dict[str, Identity]:
        """Each role and user by its ARN; empty if they may not be read."""
        try:
            with aws.attempt("read the roles and users of the account", REMEDY):
                pages = aws.listing(self.account.iam, "get_account_authorization_details")
        except AwsRefused as error:
            if error.passing or not error.code:
                raise  # not to be taken for a lasting refusal: much would be uncertain by it
            self.unread = error.answer
            return {}
        return {identity.arn: identity for identity in _identities(pages)}

    def checks(self) -> list[Check]:
        """One, with AWS's answer, if they were asked for and may not be read."""
        return [Check.unread("roles and users", self.unread, REMEDY)] if self.unread else []

    def role_of(self, profile_arn: str) -> Identity | None:
        """The role that an instance profile gives away, as far as it can be read."""
        return next((one for one in self.by_arn.values() if profile_arn in one.profiles), None)

    def of_session(self, arn: str) -> Identity | None:
        """Whose session an ARN of STS is; the ARN of a session does not have the role's path."""
        name = arn.partition(f":{self.account.id}:assumed-role/")[2].split("/")[0]
        roles = (one for one in self.by_arn.values() if one.is_role and one.name == name)
        return self.by_arn.get(arn) or next(roles, None)


def unread(what: str) -> str:
    """Stands for a policy that could not be read: whether it allows or denies depends on `what`.

    The name is used as a condition key that nobody knows, so that verdicts carry it.
    """
    condition = {"StringEquals": {what: "known"}}
    statements = [
        {"Effect": effect, "Action": "*", "Resource": "*", "Condition": condition}
        for effect in ("Allow", "Deny")
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _identities(pages: Sequence[Mapping[str, Any]]) -> Iterable[Identity]:
    def every(key: str) -> list[Any]:
        return [item for page in pages for item in page[key]]

    managed = {policy["Arn"]: _default_version(policy) for policy in every("Policies")}
    groups = {g["GroupName"]: _policies(g, "Group", managed) for g in every("GroupDetailList")}
    for kind, key in (("Role", "RoleDetailList"), ("User", "UserDetailList")):
        for item in every(key):
            policies = _policies(item, kind, managed)
            for name in item.get("GroupList", []):
                policies |= {f"{name}/{policy}": text for policy, text in groups[name].items()}
            boundary = item.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
            yield Identity(
                item["Arn"],
                item[f"{kind}Id"],
                policies,
                managed.get(boundary, unread(boundary)) if boundary else None,
                {tag["Key"]: tag["Value"] for tag in item.get("Tags", [])},
                tuple(profile["Arn"] for profile in item.get("InstanceProfileList", [])),
            )


def _policies(item: Mapping[str, Any], kind: str, managed: Mapping[str, str]) -> dict[str, str]:
    """Inline policies by name, attached ones by ARN: one name may be given to several."""
    inline = {
        policy["PolicyName"]: json.dumps(policy["PolicyDocument"])
        for policy in item.get(f"{kind}PolicyList", [])
    }
    attached = [policy["PolicyArn"] for policy in item.get("AttachedManagedPolicies", [])]
    return inline | {arn: managed.get(arn, unread(f"the policy {arn}")) for arn in attached}


def _default_version(policy: Mapping[str, Any]) -> str:
    versions = policy["PolicyVersionList"]
    return json.dumps(next(v["Document"] for v in versions if v["IsDefaultVersion"]))
