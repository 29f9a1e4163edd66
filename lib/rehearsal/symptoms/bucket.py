"""What can be wrong with the policy of the bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from rehearsal.symptoms.ground import BUCKET, BUCKET_ARN, Ground, Undo

Statement = dict[str, Any]

_READ, _WRITE = ["s3:ListBucket", "s3:GetObject"], ["s3:PutObject", "s3:DeleteObject"]
# Where everybody was seen to come from while the way to S3 was a NAT gateway's; the operator is.
_OFFICE = "203.0.113.0/24"
# An endpoint of somebody's, never of this account.
_UNKNOWN_ENDPOINT = "vpce-0fedcba9876543210"
# The bucket whose requests are logged, and where in the private one.
_LOGGED, _LOGS = "rehearsal-evidence", "access-logs/"


def pin_to_office(ground: Ground) -> Undo:
    """Both common forms: with the exemption of what AWS services pass on, and without it."""
    elsewhere = {"NotIpAddress": {"aws:SourceIp": _OFFICE}}
    by_themselves = {**elsewhere, "Bool": {"aws:ViaAWSService": "false"}}
    return _add(
        ground,
        _deny("ReadFromTheOffice", _READ, by_themselves),
        _deny("WriteFromTheOffice", _WRITE, elsewhere),
    )


def pin_to_unknown_endpoint(ground: Ground) -> Undo:
    """Everything is denied, its repair too, unless it comes through somebody else's endpoint."""
    return _add(ground, _deny("NothingFromElsewhere", "s3:*", _unless_through(_UNKNOWN_ENDPOINT)))


def pin_to_deleted_endpoint(ground: Ground) -> Undo:
    """The policy names the endpoint that there was before this one."""
    made = ground.ec2.create_vpc_endpoint(VpcId=ground.vpc_id, ServiceName=ground.service)
    before = made["VpcEndpoint"]["VpcEndpointId"]
    undo = _add(ground, _deny("OnlyOurEndpoint", [*_READ, *_WRITE], _unless_through(before)))
    ground.ec2.delete_vpc_endpoints(VpcEndpointIds=[before])
    return undo


def forget_services(ground: Ground) -> Undo:
    """The endpoint may, and no service of AWS, though access logs are delivered to the bucket."""
    delivery = {
        "Sid": "DeliverAccessLogs",
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"{BUCKET_ARN}/{_LOGS}*",
        "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{_LOGGED}"}},
    }
    allowed = _add(ground, delivery)
    target = {"TargetBucket": BUCKET, "TargetPrefix": _LOGS}
    log = ground.s3.put_bucket_logging
    log(Bucket=_LOGGED, BucketLoggingStatus={"LoggingEnabled": target})
    outside = _unless_through(ground.endpoint_id)
    denied = _add(ground, _deny("OnlyFromTheVpc", [*_READ, *_WRITE], outside))

    def undo() -> None:
        log(Bucket=_LOGGED, BucketLoggingStatus={})
        denied()
        allowed()
        _remove_logs(ground)

    return undo


def _remove_logs(ground: Ground) -> None:
    with policy_set_aside(ground):
        found = ground.s3.list_objects_v2(Bucket=BUCKET, Prefix=_LOGS)
        for item in found.get("Contents", []):
            ground.s3.delete_object(Bucket=BUCKET, Key=item["Key"])


def deny_never(ground: Ground) -> Undo:
    """The operator for many values is false where there is none: from outside, all may pass."""
    never = {"ForAnyValue:StringNotEquals": {"aws:SourceVpce": ground.endpoint_id}}
    return _add(ground, _deny("NotFromOutside", [*_READ, *_WRITE], never))


@contextmanager
def policy_set_aside(ground: Ground) -> Iterator[None]:
    """Meanwhile the bucket has no policy: even root may otherwise do no more than change it."""
    before = _policy(ground)
    if before is not None:
        ground.s3.delete_bucket_policy(Bucket=BUCKET)
    try:
        yield
    finally:
        _put(ground, before)


def _deny(sid: str, actions: str | list[str], condition: dict[str, Any]) -> Statement:
    return {
        "Sid": sid,
        "Effect": "Deny",
        "Principal": "*",
        "Action": actions,
        "Resource": [BUCKET_ARN, f"{BUCKET_ARN}/*"],
        "Condition": condition,
    }


def _unless_through(endpoint_id: str) -> dict[str, Any]:
    return {"StringNotEquals": {"aws:SourceVpce": endpoint_id}}


def _add(ground: Ground, *statements: Statement) -> Undo:
    """Adds statements to what the policy says; taken back, it is to the letter what it was."""
    before = _policy(ground)
    policy = json.loads(before or '{"Version": "2012-10-17", "Statement": []}')
    policy["Statement"] = [*policy["Statement"], *statements]
    after = json.dumps(policy)
    _put(ground, after)

    def undo() -> None:
        now = _policy(ground)
        if now == after:
            return _put(ground, before)
        # Somebody has changed it since: what they did elsewhere stays.
        changed = json.loads(now or '{"Statement": []}')
        ours = [statement["Sid"] for statement in statements]
        left = [one for one in changed["Statement"] if one.get("Sid") not in ours]
        _put(ground, json.dumps({**changed, "Statement": left}) if left else None)

    return undo


def _policy(ground: Ground) -> str | None:
    try:
        return str(ground.s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        return None


def _put(ground: Ground, policy: str | None) -> None:
    if policy is None:
        ground.s3.delete_bucket_policy(Bucket=BUCKET)
    else:
        ground.s3.put_bucket_policy(Bucket=BUCKET, Policy=policy)
