"""What can be wrong with the policy of the endpoint."""

from __future__ import annotations

import json
from typing import Any

from rehearsal.symptoms.ground import BUCKET_ARN, Ground, Undo

_OTHER_ARN = "arn:aws:s3:::rehearsal-logs"
_PACKAGE, _TEXT = "core/mirrors/latest/x86_64/mirror.list", b"https://cdn.amazonlinux.com/al2023\n"


def repository(region: str) -> str:
    """The bucket of AWS that the packages of Amazon Linux 2023 come from, in a Region.

    Source: Amazon Linux 2023 User Guide, "Deterministic upgrades through versioned repositories".
    """
    return f"al2023-repos-{region}-de612dc2"


def allow_other_bucket_only(ground: Ground) -> Undo:
    """Somebody wrote the policy for another application's bucket."""
    return _put(ground, _allow(_OTHER_ARN))


def allow_own_bucket_only(ground: Ground) -> Undo:
    """The policy forgets the buckets of AWS itself. One that lets nothing of AWS by, stays."""
    remove = _create_repository(ground)
    policy = json.loads(ground.endpoint["PolicyDocument"])
    full = any(statement.get("Resource") in ("*", ["*"]) for statement in policy["Statement"])
    restore = _put(ground, _allow(BUCKET_ARN)) if full else lambda: None

    def undo() -> None:
        restore()
        remove()

    return undo


def _allow(bucket: str) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket, f"{bucket}/*"],
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _put(ground: Ground, policy: dict[str, Any]) -> Undo:
    endpoint_id, before = ground.endpoint_id, ground.endpoint["PolicyDocument"]
    change = ground.ec2.modify_vpc_endpoint
    change(VpcEndpointId=endpoint_id, PolicyDocument=json.dumps(policy))
    return lambda: change(VpcEndpointId=endpoint_id, PolicyDocument=before)


def _create_repository(ground: Ground) -> Undo:
    """A bucket that everybody may read. On AWS it is another account's; here there is one only."""
    s3, name = ground.s3, repository(ground.account.region)
    where = {"LocationConstraint": ground.account.region}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=where)
    s3.delete_public_access_block(Bucket=name)
    everybody = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{name}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
    s3.put_bucket_policy(Bucket=name, Policy=policy)
    s3.put_object(Bucket=name, Key=_PACKAGE, Body=_TEXT)

    def undo() -> None:
        s3.delete_object(Bucket=name, Key=_PACKAGE)
        s3.delete_bucket(Bucket=name)

    return undo
