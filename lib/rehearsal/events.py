"""Events of CloudTrail: how it writes down one request."""

import json
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE

from rehearsal.call import Call
from rehearsal.callers import Caller

# Where CloudTrail has another name for what was asked of S3.
# Source: Amazon S3 User Guide, "Amazon S3 CloudTrail events".
_S3_NAMES = {
    "DeletePublicAccessBlock": "DeleteBucketPublicAccessBlock",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "ListObjectsV2": "ListObjects",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
# Requests to a bucket that are data events, as all those to an object are.
_DATA = frozenset(
    {"DeleteObjects", "HeadBucket", "ListMultipartUploads", "ListObjectVersions", "ListObjects"}
)
_NESTED = ("CreateVpcEndpoint", "DeleteVpcEndpoints", "ModifyVpcEndpoint")
# Where services are recorded that have no Region.
_GLOBAL = {"iam": "us-east-1"}
_HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
_RESOURCE_ID = re.compile(r"([a-z]+)-[0-9a-f]{8,17}")


@dataclass(frozen=True)
class Event:
    """One request as CloudTrail has it, and what it is looked up by."""

    record: dict[str, Any]
    time: datetime  # in whole seconds, as CloudTrail tells it
    resources: tuple[tuple[str, str], ...]

    @property
    def is_data(self) -> bool:
        return bool(self.record["eventCategory"] == "Data")

    @property
    def attributes(self) -> dict[str, set[str]]:
        """What LookupEvents finds it by."""
        record = self.record
        return {
            "AccessKeyId": {record["userIdentity"].get("accessKeyId", "")},
            "EventId": {record["eventID"]},
            "EventName": {record["eventName"]},
            "EventSource": {record["eventSource"]},
            "ReadOnly": {json.dumps(record["readOnly"])},
            "ResourceName": {name for _, name in self.resources},
            "ResourceType": {kind for kind, _ in self.resources},
            "Username": {self.user},
        }

    @property
    def user(self) -> str:
        """As the console shows it: the name of the session."""
        return str(self.record["userIdentity"].get("arn", "anonymous")).rpartition("/")[2]

    def shown(self) -> dict[str, Any]:
        """In the form of LookupEvents."""
        record, key = self.record, self.record["userIdentity"].get("accessKeyId")
        return {
            "EventId": record["eventID"],
            "EventName": record["eventName"],
            "ReadOnly": json.dumps(record["readOnly"]),
            **({"AccessKeyId": key} if key else {}),
            "EventTime": self.time.timestamp(),
            "EventSource": record["eventSource"],
            "Username": self.user,
            "Resources": [{"ResourceType": k, "ResourceName": n} for k, n in self.resources],
            "CloudTrailEvent": json.dumps(record),
        }


def event(
    call: Call, account_id: str, status: int, code: str | None, message: str, size: int
) -> Event:
    """The event of a request that was answered so; `size` is that of the answer."""
    name, now = _S3_NAMES.get(call.operation, call.operation), datetime.now(UTC)
    is_data = call.service == "s3" and bool(call.key or name in _DATA)
    resources = tuple(dict.fromkeys(_resources(call)))
    record: dict[str, Any] = {
        "eventVersion": "1.11",
        "userIdentity": _identity(call.caller, account_id),
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": f"{call.service}.amazonaws.com",
        "eventName": name,
        "awsRegion": _GLOBAL.get(call.service, call.region),
        "sourceIPAddress": call.position.source_ip,
        "userAgent": call.headers.get("user-agent", ""),
    }
    if status >= 300:
        # EC2 tells besides whose fault it is.
        whose = ("Server." if status >= 500 else "Client.") if call.service == "ec2" else ""
        record |= {"errorCode": f"{whose}{code or status}", "errorMessage": message}
    record |= {
        "requestParameters": _parameters(call),
        "responseElements": None,
        "requestID": call.request_id,
        "eventID": str(uuid.UUID(bytes=sha256(call.request_id.encode()).digest()[:16], version=4)),
        "readOnly": not call.is_write,
        "eventType": "AwsApiCall",
        "managementEvent": not is_data,
        "recipientAccountId": account_id,
        "eventCategory": "Data" if is_data else "Management",
    }
    if call.position.endpoint_id:
        record["vpcEndpointId"] = call.position.endpoint_id
        record["vpcEndpointAccountId"] = account_id
    if call.service == "s3":
        record["additionalEventData"] = {
            "SignatureVersion": "SigV4",
            "AuthenticationMethod": "AuthHeader",
            "bytesTransferredIn": len(call.body),
            "bytesTransferredOut": size,
        }
    if is_data:
        bucket = f"arn:aws:s3:::{call.bucket}"
        objects = [{"type": "AWS::S3::Object", "ARN": f"{bucket}/{call.key}"}] if call.key else []
        of_bucket = {"accountId": account_id, "type": "AWS::S3::Bucket", "ARN": bucket}
        record["resources"] = [*objects, of_bucket]
    return Event(record, now.replace(microsecond=0), resources)


def _identity(caller: Caller, account_id: str) -> dict[str, Any]:
    principal = caller.principal
    if principal.kind == "anonymous":
        return {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}
    identity: dict[str, Any] = {
        "type": "Root" if principal.kind == "root" else "AssumedRole",
        "principalId": caller.user_id,
        "arn": caller.arn,
        "accountId": account_id,
        "accessKeyId": caller.access_key,
    }
    if principal.kind != "root":
        issuer = {
            "type": "Role",
            "principalId": caller.user_id.partition(":")[0],
            "arn": principal.arn,
            "accountId": account_id,
            "userName": principal.arn.rpartition("/")[2],
        }
        identity["sessionContext"] = {
            "sessionIssuer": issuer,
            "attributes": {"mfaAuthenticated": "false"},
            **({"ec2RoleDelivery": "2.0"} if caller.instance_id else {}),
        }
    return identity


def _parameters(call: Call) -> dict[str, Any]:
    """What was asked, in the form that CloudTrail has for the service."""
    if call.service == "s3":
        return _s3_parameters(call)
    asked: dict[str, Any] = {
        name: value for name, value in call.parameters.items() if name not in ("Action", "Version")
    }
    if call.operation in _NESTED:
        return {f"{call.operation}Request": _tree(asked)}
    if call.operation == "SendCommand":  # a script may hold anything
        asked["Parameters"] = _HIDDEN
    return {name[:1].lower() + name[1:]: value for name, value in asked.items()}


def _s3_parameters(call: Call) -> dict[str, Any]:
    named = {"bucketName": call.bucket, "key": call.key}
    asked = {name: value for name, value in named.items() if value}
    asked |= {**call.parameters, "Host": call.headers.get("host", "")}
    if call.operation == "PutBucketPolicy":
        try:
            asked["bucketPolicy"] = json.loads(call.body)
        except ValueError:
            asked["bucketPolicy"] = _HIDDEN
    return asked


def _tree(flat: dict[str, Any]) -> Any:
    """`RouteTableId.1` and such put together, as {"tag": 1, "content": "rtb-..."}."""
    grouped: dict[str, Any] = {}
    for name, value in flat.items():
        first, _, rest = name.partition(".")
        if rest:
            grouped.setdefault(first, {})[rest] = value
        else:
            grouped[first] = value
    found = {name: _tree(v) if isinstance(v, dict) else v for name, v in grouped.items()}
    if not all(name.isdecimal() for name in found):
        return found
    items = [
        {"tag": int(name), **(v if isinstance(v, dict) else {"content": v})}
        for name, v in found.items()
    ]
    return items[0] if len(items) == 1 else items


def _resources(call: Call) -> Iterator[tuple[str, str]]:
    """Type and name of each resource that the request names."""
    if call.bucket:
        yield "AWS::S3::Bucket", call.bucket
    if role := call.parameters.get("RoleArn"):
        yield "AWS::IAM::Role", role
    for text in _texts(call.parameters.values()):
        found = _RESOURCE_ID.fullmatch(text)
        if found and (kind := EC2_PREFIX_TO_RESOURCE.get(found[1])):
            yield (
                f"AWS::EC2::{''.join(map(str.title, kind.split('-'))).replace('Vpc', 'VPC')}",
                text,
            )


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, list):
            yield from _texts(value)
        elif isinstance(value, str):
            yield value
