"""Where a request comes from and whose keys it has: both decide, and neither replaces the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from rehearsal import Account
from tests.support.asking import MARKED, code_of, run

BUCKET, PUBLIC = "rehearsal-private-data", "rehearsal-logs"
SCRIPT = f"""
export AWS_MAX_ATTEMPTS=1
try() {{  # prints what was tried, the exit code, and the last line of what the AWS CLI said
  name=$1; shift
  said=$(aws --region ap-northeast-1 --cli-connect-timeout 2 s3api "$@" 2>&1)
  echo "$name $? $(echo "$said" | tail -1)"
}}
try get get-object --bucket {BUCKET} --key readme.txt got
try put put-object --bucket {BUCKET} --key new.txt --body got
try list list-objects-v2 --bucket {PUBLIC}
metadata=http://169.254.169.254/latest
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $metadata/api/token)
role=$metadata/meta-data/iam/security-credentials/app-instance
echo "keys 0 $(curl -s -H "X-aws-ec2-metadata-token: $token" $role | tr -d '\\n')"
"""


@dataclass(frozen=True)
class Outcome:
    """What app-1 was answered through the endpoint, by what it tried: exit code and last line."""

    endpoint_id: str
    answers: dict[str, tuple[int, str]]

    @property
    def keys(self) -> dict[str, str]:
        """The keys that the instance has, for a client."""
        given = json.loads(self.answers["keys"][1])
        return {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["Token"],
        }


@pytest.fixture(scope="module")
def fenced(shared: Account) -> Iterator[Outcome]:
    """An endpoint that lets only one bucket be read, which only through it can be read."""
    ec2, s3 = shared.client("ec2", "operator"), shared.client("s3", "operator")
    made = ec2.create_vpc_endpoint(
        VpcId=shared.ids["rehearsal"],
        ServiceName="com.amazonaws.ap-northeast-1.s3",
        RouteTableIds=[shared.ids["private-a"]],
        PolicyDocument=policy("Allow", "s3:GetObject", BUCKET),
        **MARKED,
    )["VpcEndpoint"]["VpcEndpointId"]
    before = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    elsewhere = {"StringNotEquals": {"aws:SourceVpce": made}}
    fence = policy("Deny", "s3:GetObject", BUCKET, Condition=elsewhere)
    s3.put_bucket_policy(Bucket=BUCKET, Policy=fence)
    lines = run(shared, SCRIPT)["StandardOutputContent"].splitlines()
    parts = [line.split(" ", 2) for line in lines]
    yield Outcome(made, {name: (int(code), said) for name, code, said in parts})
    s3.put_bucket_policy(Bucket=BUCKET, Policy=before)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])


def policy(effect: str, action: str, bucket: str, **more: Any) -> str:
    statement = {"Effect": effect, "Principal": "*", "Action": action, **more}
    statement["Resource"] = f"arn:aws:s3:::{bucket}/*"
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def client(account: Account, service: str, keys: dict[str, str]) -> Any:
    make: Any = boto3.client
    return make(service, account.region, endpoint_url=account.endpoint_url, **keys)


def test_through_the_endpoint_what_all_policies_allow_is_given(fenced: Outcome) -> None:
    assert fenced.answers["get"][0] == 0


def test_the_endpoint_policy_has_to_allow_it_too(fenced: Outcome) -> None:
    code, said = fenced.answers["put"]  # as the role does, and the bucket policy does not deny it
    assert code != 0 and "no VPC endpoint policy allows the s3:PutObject action" in said


def test_the_endpoint_policy_grants_nothing(fenced: Outcome) -> None:
    code, said = fenced.answers["list"]
    assert code != 0 and "(AccessDenied)" in said


def test_outside_the_permission_does_not_help(shared: Account, fenced: Outcome) -> None:
    s3 = shared.client("s3", "operator")
    with pytest.raises(s3.exceptions.ClientError, match="explicit deny in a resource-based policy"):
        s3.get_object(Bucket=BUCKET, Key="readme.txt")


def test_the_keys_of_an_instance_do_not_carry_its_place(shared: Account, fenced: Outcome) -> None:
    who = client(shared, "sts", fenced.keys).get_caller_identity()["Arn"]
    assert who.endswith(f":assumed-role/app-instance/{shared.ids['app-1']}")
    s3 = client(shared, "s3", fenced.keys)
    assert code_of(s3.get_object, Bucket=BUCKET, Key="readme.txt") == "AccessDenied"
    # The endpoint's policy does not bind who does not come through it.
    s3.put_object(Bucket=BUCKET, Key="from-outside.txt", Body=b"")
    s3.delete_object(Bucket=BUCKET, Key="from-outside.txt")


@pytest.mark.parametrize(
    ("key", "own"),
    [
        ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
        ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        ("aws_session_token", "AWS_SESSION_TOKEN"),
    ],
)
def test_keys_of_two_callers_make_none(
    shared: Account, fenced: Outcome, key: str, own: str
) -> None:
    mixed = {**fenced.keys, key: shared.people["operator"][own]}
    refused = code_of(client(shared, "sts", mixed).get_caller_identity)
    assert refused in ("InvalidClientTokenId", "SignatureDoesNotMatch")


def test_each_call_is_noted_with_where_it_came_from(shared: Account, fenced: Outcome) -> None:
    calls = [call for call in shared.calls() if call["service"] == "s3"]
    inside = [call for call in calls if call["instance_id"] == shared.ids["app-1"]]
    assert {call["operation"] for call in inside} >= {"GetObject", "PutObject"}
    assert {call["endpoint_id"] for call in inside} == {fenced.endpoint_id}
    assert {call["source_ip"].rpartition(".")[0] for call in inside} == {"10.20.1"}
    outside = {call["source_ip"] for call in calls if call["who"] == "operator"}
    assert outside == {"203.0.113.10"}


@pytest.mark.usefixtures("fenced")
def test_another_table_of_the_vpc_has_no_way(shared: Account) -> None:
    command = f"aws --region ap-northeast-1 --cli-connect-timeout 2 s3 ls s3://{BUCKET}"
    found = run(shared, f"AWS_MAX_ATTEMPTS=1 {command}", "sibling-1")
    assert "Connect timeout on endpoint URL" in found["StandardErrorContent"]


@pytest.fixture
def public(shared: Account) -> Iterator[Any]:
    """The client of root, who has let everyone read a bucket."""
    s3 = shared.client("s3")
    before = s3.get_public_access_block(Bucket=PUBLIC)["PublicAccessBlockConfiguration"]
    s3.delete_public_access_block(Bucket=PUBLIC)
    s3.put_object(Bucket=PUBLIC, Key="open.txt", Body=b"open")
    s3.put_bucket_policy(Bucket=PUBLIC, Policy=policy("Allow", "s3:GetObject", PUBLIC))
    yield s3
    s3.delete_bucket_policy(Bucket=PUBLIC)
    s3.delete_object(Bucket=PUBLIC, Key="open.txt")
    s3.put_public_access_block(Bucket=PUBLIC, PublicAccessBlockConfiguration=before)


def get(account: Account, target: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", account.port, timeout=10)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_who_does_not_sign_is_judged_by_the_bucket_policy(shared: Account, public: Any) -> None:
    assert get(shared, f"/{PUBLIC}/open.txt") == (200, b"open")
    assert get(shared, f"/{BUCKET}/readme.txt")[0] == 403
    restrict = {"RestrictPublicBuckets": True}
    public.put_public_access_block(Bucket=PUBLIC, PublicAccessBlockConfiguration=restrict)
    assert get(shared, f"/{PUBLIC}/open.txt")[0] == 403


def test_a_presigned_url_is_refused_as_not_emulated(shared: Account, public: Any) -> None:
    wanted = {"Bucket": PUBLIC, "Key": "open.txt"}
    url = urlsplit(public.generate_presigned_url("get_object", wanted))
    for query in (url.query, "X-Amz-Algorithm=AWS4-HMAC-SHA256"):
        status, body = get(shared, f"{url.path}?{query}")
        assert status == 501 and b"<Code>NotImplemented</Code>" in body


def test_a_permissions_boundary_limits_what_a_role_may(shared: Account) -> None:
    iam, s3 = shared.client("iam"), shared.client("s3", "ci")
    asked = {"Bucket": BUCKET, "Key": "reports/bounded.csv"}
    assert code_of(s3.put_object, **asked) == ""
    listing = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}
    bound = json.dumps({"Version": "2012-10-17", "Statement": [listing]})
    made = iam.create_policy(PolicyName="only-listing", PolicyDocument=bound)["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="ci-deployer", PermissionsBoundary=made)
    try:
        with pytest.raises(s3.exceptions.ClientError, match="no permissions boundary allows"):
            s3.put_object(**asked)
        assert code_of(s3.list_objects_v2, Bucket=BUCKET) == ""
    finally:
        iam.delete_role_permissions_boundary(RoleName="ci-deployer")
    assert code_of(s3.put_object, **asked) == ""
    shared.client("s3").delete_object(**asked)
