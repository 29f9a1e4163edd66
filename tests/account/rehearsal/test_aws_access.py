"""Who may do what with the bucket, from where: on the instances themselves, and outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from rehearsal import Account
from tests.support.asking import code_of, run

BUCKET, RESOURCE = "rehearsal-private-data", "arn:aws:s3:::rehearsal-private-data"
ROLE = "arn:aws:sts::123456789012:assumed-role/app-instance"
AWS = "AWS_MAX_ATTEMPTS=1 aws --region ap-northeast-1 --cli-connect-timeout 2"
LIST = f"{AWS} s3api list-objects-v2 --bucket {BUCKET} --query 'length(Contents)'"
GET = f"{AWS} s3api get-object --bucket {BUCKET} --key readme.txt /dev/null --query ContentLength"


@pytest.fixture
def endpoint(shared: Account) -> Iterator[str]:
    """An S3 gateway endpoint for both instances; afterwards it and every change are undone."""
    ec2, s3 = shared.client("ec2"), shared.client("s3")
    policy = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    made = ec2.create_vpc_endpoint(
        VpcId=shared.ids["rehearsal"],
        ServiceName="com.amazonaws.ap-northeast-1.s3",
        RouteTableIds=[shared.ids["private-a"], shared.ids["main"]],
    )["VpcEndpoint"]["VpcEndpointId"]
    yield made
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])


def deny(account: Account, **conditions: Any) -> None:
    """Denies the data to all whom the conditions fit, besides what the bucket's policy says."""
    s3 = account.client("s3")
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    policy["Statement"].append(
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            "Resource": [RESOURCE, f"{RESOURCE}/*"],
            "Condition": conditions,
        }
    )
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))


def listing(account: Account, name: str = "app-1") -> str:
    """What the listing says on an instance: a number of objects, or the error."""
    found = run(account, LIST, name)
    return str(found["StandardOutputContent"] or found["StandardErrorContent"]).strip()


def instance_arn(account: Account, name: str) -> str:
    return f"arn:aws:ec2:ap-northeast-1:123456789012:instance/{account.ids[name]}"


def test_the_endpoint_opens_the_bucket_of_its_own_region_alone(
    shared: Account, endpoint: str
) -> None:
    assert listing(shared) == "3"
    there = "aws --region us-east-1 --cli-connect-timeout 2 s3api head-bucket"
    other = run(shared, f"AWS_MAX_ATTEMPTS=1 {there} --bucket rehearsal-us-east-1")
    assert "Connect timeout on endpoint URL" in other["StandardErrorContent"]


def test_source_ip_is_absent_through_the_endpoint(shared: Account, endpoint: str) -> None:
    deny(shared, Null={"aws:SourceIp": "true"})
    assert "explicit deny in a resource-based policy" in listing(shared)
    assert shared.client("s3", "operator").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 3


def test_an_instance_is_told_from_another_of_the_same_role(shared: Account, endpoint: str) -> None:
    ours = [instance_arn(shared, "app-1")]
    deny(shared, ArnNotEquals={"ec2:SourceInstanceArn": ours})
    assert listing(shared) == "3"
    assert "explicit deny in a resource-based policy" in listing(shared, "sibling-1")


def test_copied_credentials_carry_their_instance_but_not_its_address(
    shared: Account, endpoint: str
) -> None:
    deny(
        shared,
        StringNotEquals={"aws:Ec2InstanceSourcePrivateIPv4": "${aws:VpcSourceIp}"},
        Null={"ec2:SourceInstanceArn": "false"},
    )
    assert listing(shared) == "3"
    show = "python3 -c 'import botocore.session as s;c=s.Session().get_credentials()"
    show += ";print(c.access_key,c.secret_key,c.token)'"
    keys = run(shared, show)["StandardOutputContent"].split()
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    copied = " ".join(f"{name}={key}" for name, key in zip(names, keys, strict=True))
    elsewhere = run(shared, f"{copied} {LIST}", "sibling-1")["StandardErrorContent"]
    assert f"User: {ROLE}/{shared.ids['app-1']} is not authorized" in elsewhere
    outside = boto3.Session(*keys, "ap-northeast-1").client("s3", endpoint_url=shared.endpoint_url)
    assert code_of(outside.list_objects_v2, Bucket=BUCKET) == "AccessDenied"


def test_root_alone_can_repair_a_policy_that_denies_everything_to_all(
    shared: Account, endpoint: str
) -> None:
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": RESOURCE}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    shared.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=policy)
    for who in ("operator", "break-glass"):
        assert code_of(shared.client("s3", who).delete_bucket_policy, Bucket=BUCKET) == (
            "AccessDenied"
        )
    assert code_of(shared.client("s3").list_objects_v2, Bucket=BUCKET) == "AccessDenied"
    shared.client("s3").delete_bucket_policy(Bucket=BUCKET)
    assert listing(shared) == "3"


def test_who_may_not_list_does_not_learn_what_is_absent(shared: Account) -> None:
    s3, key = shared.client("s3", "operator"), {"Bucket": BUCKET, "Key": "absent"}
    assert code_of(s3.get_object, **key) == "NoSuchKey"
    is_operator = {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/operator"}
    root = shared.client("s3")
    policy = root.get_bucket_policy(Bucket=BUCKET)["Policy"]
    changed = json.loads(policy)
    changed["Statement"].append(
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:ListBucket",
            "Resource": RESOURCE,
            "Condition": {"ArnEquals": is_operator},
        }
    )
    root.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(changed))
    assert code_of(s3.get_object, **key) == "AccessDenied"
    root.put_bucket_policy(Bucket=BUCKET, Policy=policy)


def test_of_many_objects_only_those_are_deleted_that_may_be(shared: Account) -> None:
    root = shared.client("s3")
    policy = root.get_bucket_policy(Bucket=BUCKET)["Policy"]
    changed = json.loads(policy)
    keep = {"Action": "s3:DeleteObject", "Resource": f"{RESOURCE}/keep"}
    changed["Statement"].append({"Effect": "Deny", "Principal": "*", **keep})
    root.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(changed))
    s3 = shared.client("s3", "break-glass")
    for key in ("keep", "drop"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    answer = s3.delete_objects(
        Bucket=BUCKET, Delete={"Objects": [{"Key": "keep"}, {"Key": "drop"}]}
    )
    assert [item["Key"] for item in answer["Deleted"]] == ["drop"]
    assert [(item["Key"], item["Code"]) for item in answer["Errors"]] == [("keep", "AccessDenied")]
    root.put_bucket_policy(Bucket=BUCKET, Policy=policy)
    s3.delete_object(Bucket=BUCKET, Key="keep")
