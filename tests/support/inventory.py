"""All that a rehearsal account holds and does, read from outside, so that two can be compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from rehearsal import Account
from tests.support.asking import ended, send

REGIONS = ("ap-northeast-1", "us-east-1")  # those of the scenario
QUOTAS = ("L-1B52E74A", "L-93826ACB")
# What AWS offers, whatever an account holds: long, and moto draws the prices for each answer.
CATALOGUES = {
    "describe_instance_type_offerings", "describe_instance_types",
    "describe_reserved_instances_offerings",
}  # fmt: skip
OF_OBJECTS = (
    "get_object_acl", "get_object_legal_hold", "get_object_retention", "get_object_tagging"
)  # fmt: skip
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z?")
_MISSING: set[str] = set()  # what the rehearsal account does not emulate, and is not asked again
READS: dict[str, tuple[str, dict[str, str]]] = {
    "get_caller_identity": ("sts", {}),
    "describe_vpc_endpoints": ("ec2", {}),
    "describe_instances": ("ec2", {}),
    "list_objects_v2": ("s3", {"Bucket": "rehearsal-private-data"}),
    "get_bucket_policy": ("s3", {"Bucket": "rehearsal-private-data"}),
    "get_object": ("s3", {"Bucket": "rehearsal-private-data", "Key": "readme.txt"}),
    "list_roles": ("iam", {}),
}
# What an instance has and reaches. The authority that vouches for S3 is new in every account.
LOOK = """
M=http://169.254.169.254/latest
T=$(curl -sS -m 3 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $M/api/token)
for what in instance-id local-ipv4 iam/security-credentials/; do
    echo "$what $(curl -sS -m 3 -H "X-aws-ec2-metadata-token: $T" $M/meta-data/$what)"
done
code() { echo "$1 $(curl -s -o /dev/null -w '%{http_code} %{remote_ip}' -m 1 $1)"; }
code https://rehearsal-private-data.s3.ap-northeast-1.amazonaws.com/ >s3 &
code https://rehearsal-us-east-1.s3.us-east-1.amazonaws.com/ >other &
code https://example.com/ >internet &
wait
cat s3 other internet; rm s3 other internet
id; hostname; env | sort
sed 's/ [0-9 ]*$//' /proc/net/fib_trie; cat /proc/net/route
cut -d: -f1 /proc/net/dev; ls /sys /proc/sys/net/ipv4/conf
tail -n +2 /proc/net/tcp | cut -c 1-40 | grep ' 0A$' | cut -d: -f2- | sort
tail -n +2 /proc/net/udp | cut -c 1-40 | cut -d: -f2- | sort
cat /etc/hosts /etc/resolv.conf /etc/passwd; cut -d' ' -f 2-4 /proc/mounts
find / -xdev -not -path '/proc/*' -not -path '/usr/*' | sort
cat /proc/[0-9]*/comm >names; sort -u names; rm names
"""


def inventory(account: Account, *, its_own: bool = False) -> dict[str, Any]:
    """What it holds and does by what was asked; without times, and without what is drawn.

    `its_own` keeps the keys, which stay for as long as the account is there. To be the first that
    asks the account, because what it asks is noted there too.
    """
    found: dict[str, Any] = {
        "ids": {**account.ids}, "calls": account.calls(), "errors": account.errors()
    }  # fmt: skip
    for part in (_trail, _quotas, _people, _iam, _s3, _kms, _ec2, _systems_manager):
        found |= {name: _plain(answer) for name, answer in part(account) if answer is not None}
    if its_own:
        found["keys"] = account.people, account.secret, account.port
    return found


Found = Iterator[tuple[str, Any]]


def _trail(account: Account) -> Found:
    for region in REGIONS:
        pages = account.client("cloudtrail", region=region).get_paginator("lookup_events")
        events = [event["EventName"] for page in pages.paginate() for event in page["Events"]]
        yield f"events of {region}", [one for one in events if one != "LookupEvents"]


def _quotas(account: Account) -> Found:
    for region in REGIONS:
        quotas = account.client("service-quotas", region=region)
        for code in QUOTAS:
            asked = {"ServiceCode": "vpc", "QuotaCode": code}
            yield f"quota {code} in {region}", _asked(quotas.get_service_quota, **asked)


def _people(account: Account) -> Found:
    for who in account.people:
        for operation, (service, request) in READS.items():
            if (who, operation) != ("root", "get_object"):
                answer = _asked(getattr(account.client(service, who), operation), **request)
                yield f"{operation} as {who}", answer


def _iam(account: Account) -> Found:
    iam = account.client("iam")
    for operation in ("get_account_authorization_details", "list_instance_profiles", "list_users"):
        yield operation, _all(iam, operation)
    for user in iam.list_users()["Users"]:
        named = {"UserName": user["UserName"]}
        yield f"keys of {user['UserName']}", _asked(iam.list_access_keys, **named)


def _s3(account: Account) -> Found:
    clients = {region: account.client("s3", region=region) for region in REGIONS}
    buckets = [bucket["Name"] for bucket in clients[REGIONS[0]].list_buckets()["Buckets"]]
    yield "buckets", buckets
    # First that of the trail: whoever looks into it afterwards finds what was asked here.
    for bucket in sorted(buckets, key=lambda name: name != "rehearsal-trail"):
        s3 = clients["us-east-1" if "us-east-1" in bucket else "ap-northeast-1"]
        versions = _all(s3, "list_object_versions", Bucket=bucket)
        yield f"versions in {bucket}", versions
        yield f"uploads to {bucket}", _asked(s3.list_multipart_uploads, Bucket=bucket)
        for operation in _without_parameters(s3, "GetBucket", "GetObjectLock", "GetPublicAccess"):
            yield f"{operation} of {bucket}", _asked(getattr(s3, operation), Bucket=bucket)
        for one in (one for page in versions for one in page.get("Versions", [])):
            named = {"Bucket": bucket, "Key": one["Key"], "VersionId": one["VersionId"]}
            where = " ".join(named.values())
            yield f"content of {where}", _asked(s3.get_object, **named)
            yield f"head of {where}", _asked(s3.head_object, Bucket=bucket, Key=one["Key"])
            for operation in OF_OBJECTS:
                yield f"{operation} of {where}", _asked(getattr(s3, operation), **named)


def _kms(account: Account) -> Found:
    for region in REGIONS:
        kms = account.client("kms", region=region)
        yield f"aliases in {region}", _all(kms, "list_aliases")
        for key in kms.list_keys()["Keys"]:
            yield (
                f"key {key['KeyArn']}",
                [
                    _asked(kms.describe_key, KeyId=key["KeyId"]),
                    _asked(kms.get_key_policy, KeyId=key["KeyId"]),
                    _asked(kms.get_key_rotation_status, KeyId=key["KeyId"]),
                ],
            )


def _ec2(account: Account) -> Found:
    for region in REGIONS:
        ec2 = account.client("ec2", region=region)
        for operation in _without_parameters(ec2, "Describe"):
            if operation not in CATALOGUES | _MISSING:
                yield f"{operation} in {region}", _asked(getattr(ec2, operation))
        for vpc in ec2.describe_vpcs()["Vpcs"]:
            for attribute in ("enableDnsSupport", "enableDnsHostnames"):
                asked = {"VpcId": vpc["VpcId"], "Attribute": attribute}
                yield f"{asked} in {region}", _asked(ec2.describe_vpc_attribute, **asked)
        for prefixes in ec2.describe_managed_prefix_lists()["PrefixLists"]:
            name = {"PrefixListId": prefixes["PrefixListId"]}
            yield f"{name} in {region}", _all(ec2, "get_managed_prefix_list_entries", **name)


def _systems_manager(account: Account) -> Found:
    ssm = account.client("ssm")
    yield "commands", _asked(ssm.list_commands)
    yield "invocations", _asked(ssm.list_command_invocations, Details=True)
    managed = ssm.describe_instance_information()["InstanceInformationList"]
    yield "managed", managed
    names = {made: name for name, made in account.ids.items()}
    begun = {one["InstanceId"]: send(account, LOOK, names[one["InstanceId"]]) for one in managed}
    for instance_id, invocation in begun.items():
        done = ended(account, invocation)
        seen = done["StandardOutputContent"], done["StandardErrorContent"], done["Status"]
        yield f"on {names[instance_id]}", seen


def _without_parameters(client: Any, *prefixes: str) -> list[str]:
    """The operations that need no parameter, or none but the name of a bucket."""
    found = []
    for method, operation in client.meta.method_to_api_mapping.items():
        shape = client.meta.service_model.operation_model(operation).input_shape
        needed = {*(shape.required_members if shape else ())}
        if operation.startswith(prefixes) and needed <= {"Bucket"}:
            found.append(method)
    return found


def _all(client: Any, operation: str, **request: Any) -> list[dict[str, Any]]:
    """The pages of an answer."""
    return [*client.get_paginator(operation).paginate(**request)]


def _asked(call: Callable[..., Any], **request: Any) -> Any:
    """The answer, or how it was refused."""
    try:
        return call(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] == "NotImplemented":
            _MISSING.add(call.__name__)
            return None
        return {name: error.response["Error"].get(name) for name in ("Code", "Message")}


def _plain(answer: Any) -> Any:
    """An answer without what is another each time: times, and what names one request."""
    if isinstance(answer, dict):
        drawn = {"ResponseMetadata", "ClientToken"}
        return {name: _plain(value) for name, value in answer.items() if name not in drawn}
    if isinstance(answer, list | tuple):
        return [_plain(one) for one in answer]
    if isinstance(answer, datetime) or (isinstance(answer, str) and _TIME.fullmatch(answer)):
        return "a time"
    if hasattr(answer, "read"):
        return answer.read()
    return answer
