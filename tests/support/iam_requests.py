"""The callers, policies and requests that the tests speak of."""

from collections.abc import Sequence
from typing import Any

import pytest

from iam_verdict import Policies, Principal, Request, decide

OWNER = "111122223333"
STRANGER = "444455556666"
BUCKET = "arn:aws:s3:::reports"
OBJECT = f"{BUCKET}/2026/january.csv"
ROLE = f"arn:aws:iam::{OWNER}:role/application"
SESSION = f"arn:aws:sts::{OWNER}:assumed-role/application/i-0123456789abcdef0"
USER = f"arn:aws:iam::{OWNER}:user/operator"

role_session = Principal("role-session", ROLE, SESSION, OWNER)
user = Principal("user", USER, account=OWNER)
root = Principal("root", f"arn:aws:iam::{OWNER}:root", account=OWNER)
stranger = Principal("user", f"arn:aws:iam::{STRANGER}:user/guest", account=STRANGER)
strange_root = Principal("root", f"arn:aws:iam::{STRANGER}:root", account=STRANGER)
service_linked = Principal(
    "role-session",
    f"arn:aws:iam::{OWNER}:role/aws-service-role/replication.s3.amazonaws.com/Replication",
    account=OWNER,
)
log_delivery = Principal("service", service="logging.s3.amazonaws.com")
anonymous = Principal("anonymous")


def cases(table: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The rows of a table, each named by the sentence that it begins with."""
    return [pytest.param(*row[1:], id=row[0]) for row in table]


def policy(*statements: dict[str, Any], version: str | None = "2012-10-17") -> dict[str, Any]:
    """A policy of statements that are about everything, where they do not say otherwise."""
    return ({"Version": version} if version else {}) | {
        "Statement": [
            ({} if "NotAction" in given else {"Action": "*"})
            | ({} if "NotResource" in given else {"Resource": "*"})
            | given
            for given in statements
        ]
    }


def allow(**elements: Any) -> dict[str, Any]:
    return {"Effect": "Allow", **elements}


def deny(**elements: Any) -> dict[str, Any]:
    return {"Effect": "Deny", **elements}


def request(
    principal: Principal = role_session,
    action: str = "s3:GetObject",
    resource: str = OBJECT,
    context: dict[str, Any] | None = None,
    unknown: frozenset[str] = frozenset(),
) -> Request:
    return Request(principal, action, resource, OWNER, context or {}, unknown)


def applies(statement: dict[str, Any], *, version: str | None = "2012-10-17", **asked: Any) -> bool:
    """Whether a statement of an identity policy applies to a request."""
    identity = policy({"Effect": "Allow", **statement}, version=version)
    return decide(request(**asked), Policies(identity=[identity])).allowed


def reaches(element: dict[str, Any], principal: Principal) -> bool:
    """Whether the Principal or NotPrincipal of a bucket policy's Deny reaches a principal."""
    policies = Policies(
        identity=[policy(allow())], resource=policy(allow(Principal="*"), deny(**element))
    )
    return decide(request(principal), policies).decision == "explicitly denied"
