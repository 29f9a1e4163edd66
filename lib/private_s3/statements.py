"""Builds, merges and compares policy statements; pure, knows nothing of AWS's answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from private_s3.errors import BadInput

Statement = dict[str, Any]
Policy = dict[str, Any]

OUTSIDE_ENDPOINT = "PrivateS3DenyOutsideEndpoint"
# The Sids of the statements that this project writes, and takes away again.
OURS = frozenset({OUTSIDE_ENDPOINT})
# Data only: who may administer the bucket and its policy is never touched, so that no level of
# restriction can lock people out of repairing it.
DATA_ACTIONS = (
    "s3:DeleteObject*",
    "s3:GetObject*",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
    "s3:PutObject*",
)
# Amazon S3 User Guide, "Bucket policies": at most 20 KB.
SIZE_LIMIT = 20_480
SETS = frozenset({"Action", "NotAction", "Resource", "NotResource"})


def outside_endpoint(
    bucket: str, endpoint_ids: Sequence[str], break_glass_role: str, *, allow_services: bool
) -> Statement:
    """Denies the bucket's data to every request that does not come through the endpoints.

    Each condition is one exemption, and all must hold for the Deny to fire. A request without the
    key `aws:SourceVpce` is outside: a negated operator matches an absent key. `BoolIfExists` keeps
    anonymous requests denied, which carry no `aws:PrincipalIsAWSService`.
    Source: IAM User Guide, "Condition operators", "AWS global condition context keys".
    """
    condition: dict[str, dict[str, Any]] = {
        "StringNotEquals": {"aws:SourceVpce": list(endpoint_ids)}
    }
    if break_glass_role:
        condition["ArnNotEquals"] = {"aws:PrincipalArn": break_glass_role}
    if allow_services:
        condition["BoolIfExists"] = {
            "aws:PrincipalIsAWSService": "false",
            "aws:ViaAWSService": "false",
        }
    return {
        "Sid": OUTSIDE_ENDPOINT,
        "Effect": "Deny",
        "Principal": "*",
        "Action": list(DATA_ACTIONS),
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": condition,
    }


def bucket_only(bucket: str) -> Policy:
    """Endpoint policy that lets only requests to the bucket through.

    A gateway endpoint's Principal must be `*`. Source: AWS PrivateLink Guide, "Gateway endpoints".
    """
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def full_access() -> Policy:
    """The policy that AWS gives an endpoint for which none is asked."""
    statement = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    return {"Version": "2008-10-17", "Statement": [statement]}


def merge(policy: str | None, wanted: Sequence[Statement]) -> str | None:
    """The policy with our statements as wanted, and everybody else's as they were, in their order.

    Returns the given text unchanged if it already means that, and None for no policy at all.
    """
    document: Policy = parse(policy) if policy else {"Version": "2012-10-17", "Statement": []}
    present = as_list(document["Statement"])
    theirs = [statement for statement in present if statement.get("Sid") not in OURS]
    merged = {**document, "Statement": [*theirs, *wanted]}
    if not merged["Statement"]:
        return None
    text = json.dumps(merged, separators=(",", ":"), ensure_ascii=False)
    if policy and same(policy, text):
        return policy
    if len(text.encode()) > SIZE_LIMIT:
        raise BadInput(
            "Could not merge the statements into the bucket policy; nothing was written.",
            f"The policy would have {len(text.encode())} bytes, and S3 takes {SIZE_LIMIT}.",
            "make room: remove or shorten statements of the present policy",
        )
    return text


def parse(policy: str) -> Policy:
    """The policy as a document; a name given twice is refused, since one would be lost silently."""
    try:
        document = json.loads(policy, object_pairs_hook=_unique)
    except ValueError as error:
        raise BadInput(
            "Could not read a policy; nothing was written.", str(error), "correct the policy"
        ) from error
    if not isinstance(document, dict) or "Statement" not in document:
        raise BadInput(
            "Could not read a policy; nothing was written.",
            f"It has no Statement: {policy[:80]}",
            "correct the policy",
        )
    return document


def same(one: str, other: str) -> bool:
    """Whether two policies mean the same, however S3 has rewritten them meanwhile.

    S3 reorders lists, makes one-item lists into strings, and writes an account as its root ARN.
    """
    return canonical(parse(one)) == canonical(parse(other))


def canonical(policy: Policy) -> str:
    """One text for all spellings of a policy; the order of statements carries no meaning."""
    statements = (json.dumps(_canonical(s), sort_keys=True) for s in as_list(policy["Statement"]))
    rest = {key: value for key, value in policy.items() if key != "Statement"}
    return json.dumps([rest, *sorted(statements)], sort_keys=True)


def as_list(value: Any) -> list[Any]:
    """Policies may write a list of one as the one."""
    return value if isinstance(value, list) else [value]


def _canonical(statement: Statement) -> Statement:
    result: Statement = {}
    for key, value in statement.items():
        if key in ("Principal", "NotPrincipal"):
            value = {"AWS": "*"} if value == "*" else value
            result[key] = {kind: _sorted(map(_root, as_list(v))) for kind, v in value.items()}
        elif key in SETS:
            result[key] = _sorted(as_list(value))
        elif key == "Condition":
            result[key] = {
                operator: {k.lower(): _sorted(as_list(v)) for k, v in tests.items()}
                for operator, tests in value.items()
            }
        elif not (key == "Sid" and value == ""):
            result[key] = value
    return result


def _sorted(values: Iterable[Any]) -> list[str]:
    texts = (v if isinstance(v, str) else json.dumps(v) for v in values)
    return sorted(texts)


def _root(principal: str) -> str:
    return f"arn:aws:iam::{principal}:root" if principal.isdecimal() else principal


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{sorted(twice)} is given twice in one object")
    return dict(pairs)
