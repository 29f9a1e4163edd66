"""Buckets: the defaults of new ones, and which policies S3 takes."""

import json
from typing import Any

from moto.iam.access_control import PermissionResult
from moto.iam.models import iam_backends
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeBucket, PublicAccessBlock, S3Backend

from iam_verdict import PolicyError, is_public, parse
from rehearsal.call import Refused
from rehearsal.front import DENIED_OBJECTS
from rehearsal.repairs import repair

_LARGEST_POLICY = 20 * 1024


@repair(FakeBucket, "get_permission")
def judge_nothing(original: Any, self: FakeBucket, action: str, resource: str) -> PermissionResult:
    """moto: judges by policy without its conditions; here it was judged before moto was asked."""
    denied = resource in DENIED_OBJECTS.get()
    return PermissionResult.DENIED if denied else PermissionResult.PERMITTED


# moto: cannot read every policy. What the one of the target is worth shows at the delivery.
FakeBucket._log_permissions_enabled_policy = staticmethod(lambda **_: True)


@repair(S3Backend, "create_bucket")
def create_bucket(original: Any, self: S3Backend, *args: Any, **kwargs: Any) -> FakeBucket:
    """moto: a new bucket has no Block Public Access, no encryption, no ownership controls."""
    bucket = original(self, *args, **kwargs)
    bucket.public_access_block = PublicAccessBlock(True, True, True, True)
    encryption = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    bucket.encryption = {"Rule": {**encryption, "BucketKeyEnabled": "false"}}
    bucket.ownership_rule = "BucketOwnerEnforced"
    return bucket


@repair(S3Backend, "put_bucket_policy")
def put_bucket_policy(original: Any, self: S3Backend, bucket_name: str, policy: bytes) -> None:
    """moto: takes any bytes."""
    bucket = self.get_bucket(bucket_name)
    text = policy.decode(errors="replace")
    if len(policy) > _LARGEST_POLICY:
        raise _malformed("Policy exceeds the maximum allowed document size.")
    _check_form(text)
    _check_scope(json.loads(text), f"arn:aws:s3:::{bucket_name}", self.account_id)
    block = bucket.public_access_block
    if block and block.block_public_policy and is_public(text):
        raise Refused(
            403,
            "AccessDenied",
            "User is not authorized to perform: s3:PutBucketPolicy on resource:"
            f' "arn:aws:s3:::{bucket_name}" because public policies are prevented by the'
            " BlockPublicPolicy setting in S3 Block Public Access.",
        )
    original(self, bucket_name, policy)


def _check_form(text: str) -> None:
    """Refused in S3's words if the text has no meaning as a bucket policy."""
    if not text.startswith("{"):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'")
    try:
        parse(text, names_principals=True)
    except PolicyError as error:
        place = error.place.rpartition(".")[2]
        messages = {
            "Document": "Policies must be valid JSON and the first byte must be '{'",
            "Version": "The policy must contain a valid version string",
            "Principal": "Invalid principal in policy",
            "Action": "Policy has invalid action",
            "Resource": "Policy has invalid resource",
        }
        missing = [
            name
            for name in ("Principal", "Action", "Resource")
            if f"{name} is missing" in str(error)
        ]
        raise _malformed(
            f"Missing required field {missing[0]}"
            if missing
            else messages.get(place, f"The policy is malformed: {error}")
        ) from error


def _check_scope(policy: dict[str, Any], bucket: str, account_id: str) -> None:
    """Refused if a statement names another bucket, or a role or user that does not exist."""
    iam = iam_backends[account_id]["aws"]
    known = {item.arn for item in [*iam.roles.values(), *iam.users.values()]}
    for statement in _listed(policy["Statement"]):
        resources = _listed(statement.get("Resource", statement.get("NotResource")))
        if any(name != bucket and not name.startswith(f"{bucket}/") for name in resources):
            raise _malformed("Policy has invalid resource")
        named = statement.get("Principal", statement.get("NotPrincipal"))
        for name in _listed(named["AWS"]) if isinstance(named, dict) and "AWS" in named else []:
            own = name.startswith(
                (f"arn:aws:iam::{account_id}:role/", f"arn:aws:iam::{account_id}:user/")
            )
            if own and name not in known:
                raise _malformed("Invalid principal in policy")


def _malformed(message: str) -> S3ClientError:
    return S3ClientError("MalformedPolicy", message)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
