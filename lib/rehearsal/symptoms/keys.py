"""What can be wrong with the key that the bucket's objects are encrypted with."""

from __future__ import annotations

import json
from typing import Any

from rehearsal.symptoms import bucket, roles
from rehearsal.symptoms.ground import BUCKET, Ground, Undo

_OBJECT = "reports/2026-02.csv"
_USE = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]


def pin_key_to_endpoint(ground: Ground) -> Undo:
    """Who uses the key must come through the endpoint, which S3 never does on anybody's behalf.

    A key can only be scheduled to be deleted: that much is left of it.
    """
    kms = ground.kms
    made = kms.create_key(Description=f"Objects of {BUCKET}", Policy=_policy(ground))
    key_id, arn = made["KeyMetadata"]["KeyId"], made["KeyMetadata"]["Arn"]
    use = {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": arn}
    take_away = roles.let_instance(ground, "use-the-key", use)
    by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn}
    rule = {"ApplyServerSideEncryptionByDefault": by_key, "BucketKeyEnabled": False}
    before = _encrypt(ground, {"Rules": [rule]})
    narrowed = _policy(ground, ground.endpoint_id)
    kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=narrowed)

    def undo() -> None:
        kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=_policy(ground))
        _encrypt(ground, before)
        take_away()
        kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)

    return undo


def _encrypt(ground: Ground, configuration: dict[str, Any]) -> dict[str, Any]:
    """The bucket encrypts so from now on, and one object that it has; how it did before."""
    s3 = ground.s3
    with bucket.policy_set_aside(ground):
        before = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=configuration)
        found = s3.get_object(Bucket=BUCKET, Key=_OBJECT)
        s3.put_object(
            Bucket=BUCKET,
            Key=_OBJECT,
            Body=found["Body"].read(),
            ContentType=found["ContentType"],
            Metadata=found["Metadata"],
        )
    return dict(before)


def _policy(ground: Ground, endpoint_id: str = "") -> str:
    """The policy that a key has by default; with an endpoint, used through it alone."""
    account = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ground.account.account_id}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    deny = {
        "Sid": "OnlyOurEndpoint",
        "Effect": "Deny",
        "Principal": "*",
        "Action": _USE,
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:SourceVpce": endpoint_id}},
    }
    statements = [account, deny] if endpoint_id else [account]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
