"""The account records what is asked of it as CloudTrail does, and locks objects as S3 does."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest

from rehearsal import Account
from tests import PROJECT
from tests.support.asking import code_of, run

EVIDENCE, TRAIL, DATA = "rehearsal-evidence", "rehearsal-trail", "rehearsal-private-data"
OPERATOR = "arn:aws:sts::123456789012:assumed-role/operator/rehearsal"


@pytest.fixture(autouse=True)
def at_once(shared: Account) -> Iterator[None]:
    """CloudTrail shows at once, afterwards too."""
    yield
    shared.unplant()
    shared.act("delay trail", seconds=0)


def looked_up(account: Account, name: str = "", **more: Any) -> list[dict[str, Any]]:
    """What LookupEvents tells of one kind of call, and the records in it."""
    by_name = [{"AttributeKey": "EventName", "AttributeValue": name}]
    asked = {**({"LookupAttributes": by_name} if name else {}), **more}
    pages = account.client("cloudtrail").get_paginator("lookup_events").paginate(**asked)
    return [one for page in pages for one in page["Events"]]


def records(account: Account, name: str = "", **more: Any) -> list[dict[str, Any]]:
    return [json.loads(one["CloudTrailEvent"]) for one in looked_up(account, name, **more)]


def logged(account: Account) -> list[dict[str, Any]]:
    """Every record in the log files that were delivered."""
    s3, found = account.client("s3"), []
    for one in s3.list_objects_v2(Bucket=TRAIL).get("Contents", []):
        content = s3.get_object(Bucket=TRAIL, Key=one["Key"])["Body"].read()
        found += json.loads(gzip.decompress(content))["Records"]
    return found


# -- CloudTrail ------------------------------------------------------------------------------------


def test_a_write_is_recorded_with_who_asked_for_what_and_from_where(shared: Account) -> None:
    policy = {"Version": "2012-10-17", "Statement": []}
    policy["Statement"] = [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:DeleteBucket",
            "Resource": "arn:aws:s3:::rehearsal-logs",
        }
    ]
    s3 = shared.client("s3")
    answer = s3.put_bucket_policy(Bucket="rehearsal-logs", Policy=json.dumps(policy))
    s3.delete_bucket_policy(Bucket="rehearsal-logs")
    (one,) = records(shared, "PutBucketPolicy")
    assert one["requestID"] == answer["ResponseMetadata"]["RequestId"]
    assert one["requestParameters"]["bucketName"] == "rehearsal-logs"
    assert one["requestParameters"]["bucketPolicy"] == policy
    assert one["userIdentity"]["type"] == "Root" and one["userIdentity"]["accountId"]
    assert (one["eventSource"], one["awsRegion"]) == ("s3.amazonaws.com", shared.region)
    assert (one["readOnly"], one["managementEvent"], one["eventCategory"]) == (
        False,
        True,
        "Management",
    )
    assert "errorCode" not in one and one["sourceIPAddress"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(one["eventTime"])).seconds < 60


def test_a_refusal_is_recorded_with_its_code(shared: Account) -> None:
    s3, ec2 = shared.client("s3", "operator"), shared.client("ec2", "operator")
    assert code_of(s3.delete_bucket_policy, Bucket="rehearsal-logs") == "AccessDenied"
    vpc = {"VpcId": shared.ids["rehearsal"], "CidrBlock": "10.20.9.0/24"}
    assert code_of(ec2.create_subnet, **vpc) == "UnauthorizedOperation"
    one = records(shared, "DeleteBucketPolicy")[0]
    assert (one["errorCode"], one["userIdentity"]["arn"]) == ("AccessDenied", OPERATOR)
    assert "s3:DeleteBucketPolicy" in one["errorMessage"]
    issuer = one["userIdentity"]["sessionContext"]["sessionIssuer"]
    assert issuer["arn"] == "arn:aws:iam::123456789012:role/operator"
    assert records(shared, "CreateSubnet")[0]["errorCode"] == "Client.UnauthorizedOperation"


def test_an_endpoint_is_recorded_in_the_form_of_ec2(shared: Account) -> None:
    ec2, vpc = shared.client("ec2"), shared.ids["rehearsal"]
    made = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName="com.amazonaws.ap-northeast-1.s3",
        RouteTableIds=[shared.ids["private-a"], shared.ids["main"]],
    )["VpcEndpoint"]["VpcEndpointId"]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    (one,) = records(shared, "CreateVpcEndpoint")
    asked = one["requestParameters"]["CreateVpcEndpointRequest"]
    assert asked["VpcId"] == vpc
    assert [table["content"] for table in asked["RouteTableId"]] == [
        shared.ids["private-a"],
        shared.ids["main"],
    ]
    (gone,) = records(shared, "DeleteVpcEndpoints")
    asked = gone["requestParameters"]["DeleteVpcEndpointsRequest"]
    assert asked["VpcEndpointId"] == {"tag": 1, "content": made}


def test_a_script_is_not_shown(shared: Account) -> None:
    run(shared, "echo a-secret-word")
    (event,) = looked_up(shared, "SendCommand")[:1]
    assert "a-secret-word" not in event["CloudTrailEvent"]
    asked = json.loads(event["CloudTrailEvent"])["requestParameters"]
    assert asked["instanceIds"] == [shared.ids["app-1"]]


def test_events_are_found_by_one_attribute(shared: Account) -> None:
    asked = {"VpcId": shared.ids["rehearsal"], "Attribute": "enableDnsSupport"}
    shared.client("ec2", "operator").describe_vpc_attribute(**asked)
    event = looked_up(shared, "DescribeVpcAttribute")[0]
    attributes = {
        "EventId": event["EventId"],
        "EventSource": "ec2.amazonaws.com",
        "ReadOnly": "true",
        "Username": "rehearsal",
        "ResourceName": shared.ids["rehearsal"],
        "AccessKeyId": shared.people["operator"]["AWS_ACCESS_KEY_ID"],
    }
    for key, value in attributes.items():
        for wanted, there in ((value, True), (f"{value}x", False)):
            one = [{"AttributeKey": key, "AttributeValue": wanted}]
            found = [e["EventId"] for e in looked_up(shared, LookupAttributes=one)]
            assert (event["EventId"] in found) == there, key
    assert {"ResourceType": "AWS::EC2::VPC", "ResourceName": shared.ids["rehearsal"]} in event[
        "Resources"
    ]


def test_pages_tell_every_event_once_and_the_last_first(shared: Account) -> None:
    ec2 = shared.client("ec2")
    given = [ec2.describe_subnets()["ResponseMetadata"]["RequestId"] for _ in range(5)]
    whole = records(shared, "DescribeSubnets")
    assert [one["requestID"] for one in whole][:5] == given[::-1]
    sizes = {"PaginationConfig": {"PageSize": 2}}
    assert records(shared, "DescribeSubnets", **sizes) == whole
    now = datetime.now(UTC)
    assert records(shared, "DescribeSubnets", EndTime=now - timedelta(hours=1)) == []
    assert records(shared, "DescribeSubnets", StartTime=now - timedelta(hours=1)) == whole


def test_a_lookup_that_aws_does_not_take_is_refused(shared: Account) -> None:
    call, now = shared.client("cloudtrail").lookup_events, datetime.now(UTC)
    one = {"AttributeKey": "EventName", "AttributeValue": "x"}
    assert code_of(call, LookupAttributes=[one, one]) == "InvalidLookupAttributesException"
    assert code_of(call, NextToken="x") == "InvalidNextTokenException"
    for begin, end in ((1, 2), (200, 100)):
        times = {"StartTime": now - timedelta(days=begin), "EndTime": now - timedelta(days=end)}
        assert code_of(call, **times) == "InvalidTimeRangeException"
    ci = shared.client("cloudtrail", "ci").lookup_events
    assert code_of(ci) == "AccessDeniedException"
    assert code_of(shared.client("cloudtrail", "operator").lookup_events) == ""


def test_other_regions_are_told_in_theirs(shared: Account) -> None:
    shared.client("ec2", region="us-east-1").describe_vpn_gateways()
    assert records(shared, "DescribeVpnGateways") == []


def test_what_is_asked_is_shown_after_a_while(shared: Account) -> None:
    shared.act("delay trail", seconds=600)
    shared.client("ec2").describe_nat_gateways()
    shared.client("s3").put_object(Bucket="rehearsal-logs", Key="late", Body=b"")
    assert records(shared, "DescribeNatGateways") == []
    assert not [one for one in logged(shared) if one["requestParameters"].get("key") == "late"]
    shared.act("delay trail", seconds=0)
    assert len(records(shared, "DescribeNatGateways")) == 1
    assert [one for one in logged(shared) if one["requestParameters"].get("key") == "late"]


def test_what_was_never_received_is_not_recorded_and_what_was_answered_in_vain_is(
    shared: Account,
) -> None:
    iam = shared.client("iam")
    shared.plant("CreateRole", do="drop")
    shared.plant("CreateRole", do="drop answer")  # of the attempt after it
    role = {"RoleName": "recorded", "AssumeRolePolicyDocument": "{}"}
    assert code_of(iam.create_role, **role) in ("", "EntityAlreadyExists")
    iam.delete_role(RoleName="recorded")
    east = shared.client("cloudtrail", region="us-east-1")
    by_name = [{"AttributeKey": "EventName", "AttributeValue": "CreateRole"}]
    found = east.lookup_events(LookupAttributes=by_name)["Events"]
    sent = [call for call in shared.calls() if call["operation"] == "CreateRole"]
    assert len(found) == len(sent) - 1 >= 1


def test_requests_to_objects_are_in_log_files_with_the_way_they_came(shared: Account) -> None:
    ec2 = shared.client("ec2")
    made = ec2.create_vpc_endpoint(
        VpcId=shared.ids["rehearsal"],
        ServiceName="com.amazonaws.ap-northeast-1.s3",
        RouteTableIds=[shared.ids["private-a"]],
    )["VpcEndpoint"]["VpcEndpointId"]
    get = f"aws s3api get-object --region {shared.region} --bucket {DATA} --key readme.txt"
    assert run(shared, f"{get} /dev/null")["Status"] == "Success"
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    shared.client("s3", "operator").list_objects_v2(Bucket=DATA)
    assert looked_up(shared, "GetObject") == looked_up(shared, "ListObjects") == []
    inside, outside = (
        [one for one in logged(shared) if one["eventName"] == name][-1]
        for name in ("GetObject", "ListObjects")
    )
    assert (inside["vpcEndpointId"], inside["sourceIPAddress"][:6]) == (made, "10.20.")
    assert inside["requestParameters"]["key"] == "readme.txt"
    assert inside["userIdentity"]["arn"].endswith(f"app-instance/{shared.ids['app-1']}")
    assert (inside["eventCategory"], inside["managementEvent"]) == ("Data", False)
    assert "vpcEndpointId" not in outside and outside["userIdentity"]["arn"] == OPERATOR


def test_log_files_are_where_cloudtrail_puts_them_and_tell_each_request_once(
    shared: Account,
) -> None:
    s3 = shared.client("s3")
    s3.put_object(Bucket="rehearsal-logs", Key="once", Body=b"")
    for number in range(2):
        s3.put_object(Bucket="rehearsal-logs", Key=f"another {number}", Body=b"")
        found = [one for one in logged(shared) if one["requestParameters"].get("key") == "once"]
        assert len(found) == 1
    assert not [one for one in logged(shared) if one["requestParameters"]["bucketName"] == TRAIL]
    day = datetime.now(UTC).strftime("%Y/%m/%d")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=TRAIL)["Contents"]]
    assert any(
        key.startswith(f"AWSLogs/123456789012/CloudTrail/ap-northeast-1/{day}/") for key in keys
    )
    assert all(key.endswith(".json.gz") for key in keys)


# -- Object Lock -----------------------------------------------------------------------------------


def locked(account: Account, key: str, mode: str, who: str = "operator", **more: Any) -> Any:
    """Puts an object that is locked for a day, unless `more` says otherwise."""
    body = b"evidence"
    asked = {
        "Bucket": EVIDENCE,
        "Key": key,
        "Body": body,
        "ChecksumSHA256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
        "IfNoneMatch": "*",
        "ObjectLockMode": mode,
        "ObjectLockRetainUntilDate": datetime.now(UTC) + timedelta(days=1),
        **more,
    }
    return account.client("s3", who).put_object(**{k: v for k, v in asked.items() if v})


def test_a_lock_is_told_with_the_object_and_by_itself(shared: Account) -> None:
    for mode in ("GOVERNANCE", "COMPLIANCE"):
        locked(shared, f"told {mode}", mode)
        named, s3 = {"Bucket": EVIDENCE, "Key": f"told {mode}"}, shared.client("s3", "operator")
        for told in (s3.head_object(**named), s3.get_object(**named)):
            assert told["ObjectLockMode"] == mode
            assert told["ObjectLockRetainUntilDate"] > datetime.now(UTC)
        retention = s3.get_object_retention(**named)["Retention"]
        assert retention == {
            "Mode": mode,
            "RetainUntilDate": told["ObjectLockRetainUntilDate"],
        }
    shared.client("s3").put_object(Bucket=EVIDENCE, Key="free", Body=b"")
    free = code_of(s3.get_object_retention, Bucket=EVIDENCE, Key="free")
    assert free == "NoSuchObjectLockConfiguration"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"Key": "there"}, "PreconditionFailed"),
        ({"ChecksumSHA256": base64.b64encode(bytes(32)).decode()}, "BadDigest"),
        ({"ObjectLockRetainUntilDate": datetime(2020, 1, 1)}, "InvalidArgument"),
        ({"ObjectLockRetainUntilDate": None}, "InvalidArgument"),
        ({"ObjectLockMode": None}, "InvalidArgument"),
        ({"ACL": "private"}, "AccessControlListNotSupported"),
        ({"ACL": "bucket-owner-full-control"}, ""),
        ({"Bucket": DATA}, "AccessDenied"),
    ],
)
def test_what_s3_does_not_take_is_refused(more: dict[str, Any], code: str, shared: Account) -> None:
    if "Key" in more:
        locked(shared, more["Key"], "GOVERNANCE")
    key = f"refused {sorted(more)}{more}"
    assert code_of(locked, account=shared, key=key, mode="GOVERNANCE", **more) == code


def test_a_lock_can_be_made_longer_and_stricter_only(shared: Account) -> None:
    s3, now = shared.client("s3", "operator"), datetime.now(UTC)

    def relock(key: str, mode: str, days: float) -> str:
        retention = {"Mode": mode, "RetainUntilDate": now + timedelta(days=days)}
        return code_of(s3.put_object_retention, Bucket=EVIDENCE, Key=key, Retention=retention)

    for mode in ("GOVERNANCE", "COMPLIANCE"):
        locked(shared, f"longer {mode}", mode)
        assert relock(f"longer {mode}", mode, 0.5) == "AccessDenied"
        assert relock(f"longer {mode}", mode, 2) == ""
        assert relock(f"longer {mode}", mode, 1.5) == "AccessDenied"
    assert relock("longer COMPLIANCE", "GOVERNANCE", 9) == "AccessDenied"
    assert relock("longer GOVERNANCE", "COMPLIANCE", 3) == ""
    assert relock("longer GOVERNANCE", "GOVERNANCE", 9) == "AccessDenied"
    assert relock("nowhere", "GOVERNANCE", 1) == "NoSuchKey"


def test_a_locked_version_stays(shared: Account) -> None:
    root = shared.client("s3")
    for mode, by_root in (("GOVERNANCE", ""), ("COMPLIANCE", "AccessDenied")):
        version = locked(shared, f"stays {mode}", mode)["VersionId"]
        named = {"Bucket": EVIDENCE, "Key": f"stays {mode}", "VersionId": version}
        assert code_of(root.delete_object, **named) == "AccessDenied"
        bypassed = {**named, "BypassGovernanceRetention": True}
        assert code_of(root.delete_object, **bypassed) == by_root


def test_the_operator_may_add_to_the_evidence_and_take_nothing_away(shared: Account) -> None:
    version = locked(shared, "kept", "GOVERNANCE")["VersionId"]
    s3, named = shared.client("s3", "operator"), {"Bucket": EVIDENCE, "Key": "kept"}
    assert code_of(s3.delete_object, **named) == "AccessDenied"
    assert code_of(s3.delete_object, **named, VersionId=version) == "AccessDenied"
    assert code_of(s3.put_object, Bucket=TRAIL, Key="x", Body=b"") == "AccessDenied"
    assert code_of(s3.head_object, **named, VersionId=version) == ""


@pytest.mark.parametrize(
    ("missing", "more"),
    [("s3:PutObjectRetention", {}), ("s3:PutObjectAcl", {"ACL": "bucket-owner-full-control"})],
)
def test_what_a_header_asks_for_needs_its_own_permission(
    missing: str, more: dict[str, str], shared: Account
) -> None:
    iam, name = shared.client("iam"), "keep-the-evidence"
    held = iam.get_role_policy(RoleName="operator", PolicyName=name)["PolicyDocument"]
    less = json.loads(json.dumps(held).replace(f'"{missing}"', '"s3:GetObjectTagging"'))

    def put(policy: Any) -> None:
        document = json.dumps(policy)
        iam.put_role_policy(RoleName="operator", PolicyName=name, PolicyDocument=document)

    put(less)
    try:
        asked = {"account": shared, "key": f"without {missing}", "mode": "GOVERNANCE", **more}
        assert code_of(locked, **asked) == "AccessDenied"
    finally:
        put(held)
    assert code_of(locked, **asked) == ""


# -- papermill's own output to S3 ------------------------------------------------------------------


def test_papermill_writes_an_executed_notebook_straight_to_the_bucket(
    shared: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in shared.environment().items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "papermill", "notebooks/10_find_vpc.ipynb"]
    command += [f"s3://{EVIDENCE}/runs/10.ipynb", "-f", "params/rehearsal.yaml"]
    command += ["-p", "changes_dir", str(tmp_path), "--no-progress-bar"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    s3 = shared.client("s3", "operator")
    text = s3.get_object(Bucket=EVIDENCE, Key="runs/10.ipynb")["Body"].read().decode()
    notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    assert notebook.metadata.papermill.exception is None
    executed = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert executed and all(cell.execution_count for cell in executed)
