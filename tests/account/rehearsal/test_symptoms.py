"""Each symptom: planted, it looks as in a real account; undone, nothing of it is left."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

import rehearsal
from private_s3.cli import main
from rehearsal import Account, symptoms
from rehearsal.symptoms import SYMPTOMS
from tests.support.accounts import Accounts
from tests.support.asking import client_of, run

BUCKET = "rehearsal-private-data"
NUMBERS = {
    "no-route": 1, "security-group": 2, "network-acl": 3, "global-host-name": 4,
    "other-region": 5, "no-dns": 6, "longer-prefix": 7, "second-endpoint": 8, "route-by-hand": 9,
    "source-ip": 11, "wrong-endpoint-id": 12, "stale-endpoint-id": 13, "endpoint-policy": 14,
    "aws-buckets": 15, "not-managed": 16, "only-s3": 17, "wrong-arns": 18,
    "head-without-reason": 19, "kms-key": 20, "public-policy": 21, "services-denied": 24,
    "deny-never-fires": 25,
}  # fmt: skip
OUR_S3 = f'"https://{BUCKET}.s3.ap-northeast-1.amazonaws.com/'
TIMEOUT = f"Connect timeout on endpoint URL: {OUR_S3}"
DENIED_BY_BUCKET = "(AccessDenied) when calling the ListObjectsV2 operation"
BY_POLICY = "with an explicit deny in a resource-based policy"
# What is printed of each, all of these words.
SEEN = {
    "no-route": [TIMEOUT],
    "security-group": [TIMEOUT],
    "network-acl": [TIMEOUT],
    "global-host-name": [
        f'Connect timeout on endpoint URL: "https://{BUCKET}.s3.amazonaws.com/'
    ],
    "other-region": [
        'Connect timeout on endpoint URL: "https://rehearsal-us-east-1.s3.amazonaws.com/'
    ],
    "no-dns": [f"Could not connect to the endpoint URL: {OUR_S3}"],
    "longer-prefix": [TIMEOUT],
    "second-endpoint": ["(RouteAlreadyExists) when calling the CreateVpcEndpoint operation"],
    "route-by-hand": ["when calling the DeleteRoute operation", "VPC endpoint"],
    "source-ip": [DENIED_BY_BUCKET, "s3:ListBucket", BY_POLICY],
    "wrong-endpoint-id": ["when calling the GetBucketPolicy operation", BY_POLICY],
    "stale-endpoint-id": [DENIED_BY_BUCKET, "s3:ListBucket", BY_POLICY],
    "endpoint-policy": ["because no VPC endpoint policy allows the s3:GetObject action"],
    "aws-buckets": ["The requested URL returned error: 403"],
    "not-managed": ["(InvalidInstanceId) when calling the SendCommand operation"],
    "only-s3": [
        'Connect timeout on endpoint URL: "https://sts.ap-northeast-1.amazonaws.com/"'
    ],
    "wrong-arns": [
        DENIED_BY_BUCKET, "because no identity-based policy allows the s3:ListBucket action",
    ],
    "head-without-reason": ["An error occurred (403) when calling the HeadObject", "Forbidden"],
    "kms-key": [
        "(AccessDenied) when calling the GetObject operation", "kms:Decrypt on resource: arn:aws",
    ],
    "public-policy": ["when calling the PutBucketPolicy operation", "BlockPublicPolicy"],
    "services-denied": ["0"],
    "deny-never-fires": ['"ContentLength": 36'],
}  # fmt: skip
# What the same command prints while nothing is broken; where it is the command that is wrong, it
# is wrong then too.
HEALTHY = {
    **dict.fromkeys(
        ["no-route", "security-group", "network-acl", "no-dns", "longer-prefix", "source-ip",
         "stale-endpoint-id", "wrong-arns"],
        '"Key": "readme.txt"',
    ),
    "route-by-hand": "ec2:DeleteRoute",
    "wrong-endpoint-id": '"Policy": ',
    "endpoint-policy": '"ContentLength": 36',
    "not-managed": '"CommandId": ',
    "head-without-reason": "An error occurred (404) when calling the HeadObject",
    "kms-key": '"ContentLength": 25',
}  # fmt: skip
# A client that is asked to use a proxy puts it so.
BY_PROXY = {
    "Connect timeout": "Read timeout",
    f"Could not connect to the endpoint URL: {OUR_S3}": "Failed to connect to proxy URL",
}


@pytest.fixture(scope="module")
def path(shared: Account) -> Iterator[Account]:
    """The account with the open path."""
    close = symptoms.open_path(shared)
    yield shared
    close()


@pytest.fixture(scope="module")
def healthy(path: Account) -> Iterator[dict[str, Any]]:
    """The state of the open path, as each test has to leave it."""
    before = state_of(path)
    yield before
    assert state_of(path) == before


@pytest.fixture(scope="module")
def seen_healthy() -> dict[str, str]:
    """What commands print while nothing is broken: each test leaves the account so."""
    return {}


def state_of(account: Account) -> dict[str, Any]:
    """All of the account that symptoms change, without what AWS gives anew each time."""
    ec2, s3, iam = account.client("ec2"), account.client("s3"), account.client("iam")
    found = {
        name: getattr(ec2, f"describe_{name}")()
        for name in (
            "internet_gateways", "network_acls", "route_tables", "security_groups", "vpc_endpoints",
            "vpcs",
        )
    }  # fmt: skip
    for acl in found["network_acls"]["NetworkAcls"]:
        for association in acl["Associations"]:
            del association["NetworkAclAssociationId"]
        acl["Associations"].sort(key=lambda association: association["SubnetId"])
    for endpoint in found["vpc_endpoints"]["VpcEndpoints"]:
        if endpoint["VpcEndpointType"] == "Interface":
            for name in ("VpcEndpointId", "NetworkInterfaceIds", "DnsEntries", "CreationTimestamp"):
                del endpoint[name]
    ordered = found["vpc_endpoints"]["VpcEndpoints"]
    ordered.sort(key=lambda endpoint: (endpoint["VpcId"], endpoint["ServiceName"]))
    for vpc in found["vpcs"]["Vpcs"]:
        for attribute in ("enableDnsSupport", "enableDnsHostnames"):
            name = f"{vpc['VpcId']} {attribute}"
            found[name] = ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute=attribute)
    for bucket in s3.list_buckets()["Buckets"]:
        found[bucket["Name"]] = bucket_state(account, bucket["Name"])
    found["roles"] = iam.get_account_authorization_details(Filter=["Role"])
    found["keys"] = usable_keys(account)
    for answer in found.values():
        if isinstance(answer, dict):
            answer.pop("ResponseMetadata", None)
    return found


def bucket_state(account: Account, name: str) -> dict[str, Any]:
    s3 = account.client("s3", region="us-east-1" if name.endswith("us-east-1") else "")
    found: dict[str, Any] = {}
    for read in ("policy", "encryption", "ownership_controls", "logging"):
        try:
            found[read] = getattr(s3, f"get_bucket_{read}")(Bucket=name)
        except ClientError as error:
            found[read] = error.response["Error"]["Code"]
        else:
            del found[read]["ResponseMetadata"]
    found["block"] = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    prefix = "AWSLogs/none" if name == "rehearsal-trail" else ""  # there, looking is what fills it
    for item in s3.list_objects_v2(Bucket=name, Prefix=prefix).get("Contents", []):
        read = s3.get_object(Bucket=name, Key=item["Key"])
        shown = ("ContentType", "ETag", "Metadata", "ServerSideEncryption", "SSEKMSKeyId")
        found[item["Key"]] = [read["Body"].read(), *(read.get(one) for one in shown)]
    return found


def usable_keys(account: Account) -> list[str]:
    kms = account.client("kms")
    ids = [key["KeyId"] for key in kms.list_keys()["Keys"]]
    states = {key_id: kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] for key_id in ids}
    return [key_id for key_id, state in states.items() if state != "PendingDeletion"]


def expected(account: Account, name: str) -> list[str]:
    """What is printed of a symptom, in the words of the mode."""
    words = SEEN[name]
    if account.mode == "portable":
        for text, by_proxy in BY_PROXY.items():
            words = [word.replace(text, by_proxy) for word in words]
    return words


def test_the_symptoms_are_those_of_the_contract() -> None:
    assert {name: symptom.number for name, symptom in SYMPTOMS.items()} == NUMBERS
    for name, symptom in SYMPTOMS.items():
        assert symptom.name == name and symptom.at in ("instance", "operator")
        assert re.fullmatch(r"[A-Z][^.]*\.", symptom.about), symptom.about
    assert {name: dict(one.parameters) for name, one in SYMPTOMS.items() if one.parameters} == {
        "other-region": {"bucket": "rehearsal-us-east-1"}
    }


def test_on_the_open_path_app_1_lists_reads_and_writes(path: Account) -> None:
    aws = f"aws s3api --region {path.region} --cli-connect-timeout 3"
    done = run(
        path,
        f"{aws} list-objects-v2 --bucket {BUCKET} --query 'Contents[].Key' &&"
        f" {aws} get-object --bucket {BUCKET} --key readme.txt read && cat read &&"
        f" echo written > file && {aws} put-object --bucket {BUCKET} --key by-app-1 --body file &&"
        f" {aws} delete-object --bucket {BUCKET} --key by-app-1",
    )
    assert done["Status"] == "Success", done
    assert "reports/2026-01.csv" in done["StandardOutputContent"]
    assert "Only the application may read this." in done["StandardOutputContent"]


@pytest.mark.parametrize("name", SYMPTOMS)
def test_a_symptom_is_seen_once_it_is_planted_and_not_before(
    path: Account, healthy: dict[str, Any], seen_healthy: dict[str, str], name: str
) -> None:
    if name in HEALTHY:
        typed = symptoms.command(path, name)  # several show themselves by the same command
        if typed not in seen_healthy:
            seen_healthy[typed] = symptoms.see(path, name)
        assert HEALTHY[name] in seen_healthy[typed]
    undo = symptoms.plant(path, name)
    try:
        printed = symptoms.see(path, name)
    finally:
        undo()
    assert [word for word in expected(path, name) if word not in printed] == [], printed
    if name in HEALTHY:
        assert HEALTHY[name] not in printed
    assert state_of(path) == healthy


def test_what_is_broken_is_the_policy_alone_where_packages_are_refused(path: Account) -> None:
    undo = symptoms.plant(path, "aws-buckets")
    ec2 = path.client("ec2")
    s3 = [{"Name": "service-name", "Values": ["com.amazonaws.ap-northeast-1.s3"]}]
    (endpoint,) = ec2.describe_vpc_endpoints(Filters=s3)["VpcEndpoints"]
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], ResetPolicy=True)
    assert "cdn.amazonlinux.com" in symptoms.see(path, "aws-buckets")
    undo()


def test_logs_come_once_the_deny_exempts_services(path: Account) -> None:
    s3 = path.client("s3")
    undo = symptoms.plant(path, "services-denied")
    assert symptoms.see(path, "services-denied").strip() == "0"
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    policy["Statement"][-1]["Condition"]["BoolIfExists"] = {"aws:PrincipalIsAWSService": "false"}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    assert symptoms.see(path, "services-denied").strip() == "1"
    undo()
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="access-logs/")
    assert listed["KeyCount"] == 0


def test_the_deny_that_never_fires_does_with_the_plain_operator(path: Account) -> None:
    s3 = path.client("s3")
    undo = symptoms.plant(path, "deny-never-fires")
    text = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    s3.put_bucket_policy(Bucket=BUCKET, Policy=text.replace("ForAnyValue:", ""))
    assert BY_POLICY in symptoms.see(path, "deny-never-fires")
    undo()


def test_all_planted_in_either_order_and_undone_leave_nothing(
    path: Account, healthy: dict[str, Any]
) -> None:
    for names in ([*SYMPTOMS], [*reversed(SYMPTOMS)]):
        undone = [symptoms.plant(path, name) for name in names]
        for undo in reversed(undone):
            undo()
        assert state_of(path) == healthy, names


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("source-ip", "stale-endpoint-id"),
        ("endpoint-policy", "aws-buckets"),
        ("wrong-arns", "head-without-reason"),
        ("wrong-endpoint-id", "kms-key"),
    ],
)
def test_two_that_change_the_same_thing_are_both_there(
    path: Account, first: str, second: str
) -> None:
    for names in ((first, second), (second, first)):
        undone = [symptoms.plant(path, name) for name in names]
        printed = {name: symptoms.see(path, name) for name in names}
        for undo in reversed(undone):
            undo()
        for name in names:
            # Of a read, the bucket policy is asked before the key.
            words = ["explicit deny"] if name == "kms-key" else expected(path, name)
            assert [word for word in words if word not in printed[name]] == [], (names, printed)


def test_a_policy_that_somebody_changed_meanwhile_keeps_what_they_did(path: Account) -> None:
    s3 = path.client("s3")
    before = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    undo = symptoms.plant(path, "stale-endpoint-id")
    path.act("foreign policy", bucket=BUCKET)
    undo()
    statements = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    assert statements[:-1] == json.loads(before)["Statement"]
    assert statements[-1]["Sid"] == "AddedBySomebodyElse"
    s3.put_bucket_policy(Bucket=BUCKET, Policy=before)


def test_a_bucket_without_a_policy_has_none_afterwards(path: Account) -> None:
    s3 = path.client("s3")
    before = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    s3.delete_bucket_policy(Bucket=BUCKET)
    symptoms.plant(path, "source-ip")()
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=BUCKET)
    s3.put_bucket_policy(Bucket=BUCKET, Policy=before)


def test_an_endpoint_that_is_there_is_not_made_again(path: Account) -> None:
    ec2 = path.client("ec2")
    before = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    symptoms.open_path(path)()
    assert ec2.describe_vpc_endpoints()["VpcEndpoints"] == before


def test_a_fault_of_another_regions_bucket_lets_the_operator_look_at_it(path: Account) -> None:
    s3 = path.client("s3", "operator", "us-east-1")
    look = {"Bucket": "rehearsal-us-east-1"}
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_bucket_location(**look)
    undo = symptoms.plant(path, "other-region")
    assert s3.get_bucket_location(**look)["LocationConstraint"] is None
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_bucket_policy(**look)
    undo()


def test_who_is_denied_everything_is_let_in_by_root(path: Account) -> None:
    undo = symptoms.plant(path, "wrong-endpoint-id")
    operator = client_of(path, "s3")
    for read in (operator.get_bucket_policy, operator.get_bucket_location):
        with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
            read(Bucket=BUCKET)
    undo()
    operator.get_bucket_policy(Bucket=BUCKET)


def test_unknown_and_unplantable_names_are_refused(path: Account) -> None:
    for name in ("no-such", "connections-reset"):
        with pytest.raises(KeyError, match=name):
            symptoms.plant(path, name)


def test_a_path_that_is_not_open_cannot_be_broken(accounts: Accounts) -> None:
    with accounts.fresh() as account:
        before = state_of(account)
        with pytest.raises(LookupError, match="open the path first"):
            symptoms.plant(account, "no-route")
        assert state_of(account) == before
        close = symptoms.open_path(account)
        assert state_of(account) != before
        close()
        assert state_of(account) == before
        ec2 = account.client("ec2")
        own = ec2.describe_route_tables(RouteTableIds=[account.ids["private-a"]])["RouteTables"][0]
        (association,) = own["Associations"]
        ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
        symptoms.open_path(account)  # on the main route table now
        assert HEALTHY["no-route"] in symptoms.see(account, "no-route")
        assert account.errors() == []


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def lab(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["lab", *arguments])


def test_the_lab_says_what_it_planted_and_how_it_is_seen(outside: None) -> None:
    faults = ["--fault", "no-route", "--fault", "other-region", "--fault", "no-route"]
    looks = "aws ec2 describe-vpc-endpoints --query 'VpcEndpoints[].RouteTableIds' | grep rtb-"
    result = lab(*faults, "--", "sh", "-c", f"! ({looks})")
    assert result.exit_code == 0, result.output  # no route table has the endpoint
    up, *lines = result.output.splitlines()
    assert up.startswith("Rehearsal account 123456789012 is up")
    assert lines[0] == f"Planted no-route: {SYMPTOMS['no-route'].about}"
    assert lines[1].startswith("  see it on app-1: AWS_MAX_ATTEMPTS=1 aws s3api list-objects-v2")
    text = " --error TEXT, with what that printed"
    assert lines[2] == f"  find it: private-s3 doctor -f params/rehearsal.yaml{text}"
    given = "-f params/rehearsal.yaml -p bucket=rehearsal-us-east-1"
    found = f"  find it: private-s3 doctor {given}{text}"
    assert lines[5] == found and len(lines) == 6


def test_a_command_for_the_operator_is_shown_with_its_ids_and_works(outside: None) -> None:
    result = lab("--fault", "second-endpoint", "--", "true")
    (line,) = [line for line in result.output.splitlines() if "see it: " in line]
    assert re.search(r"--vpc-id vpc-0[0-9a-f]{16} .*--route-table-ids rtb-0[0-9a-f]{16} ", line)
    assert "<" not in line


def test_an_unknown_fault_is_bad_input_before_anything_is_started(
    outside: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "start", lambda mode: pytest.fail("was started"))
    for more in ([], ["--jupyter"]):
        result = lab("--fault", "no-route", "--fault", "no-rout", *more, "--", "true")
        assert result.exit_code == 2
        attempted, _, remedy = result.stderr.splitlines()
        assert attempted == "Could not plant no-rout."
        assert remedy.startswith("Next: choose among no-route, security-group, ")


def test_jupyterlab_opens_on_what_is_broken(outside: None, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def session(*_: Any) -> None:
        ec2 = boto3.client("ec2")
        app_1 = [{"Name": "tag:Name", "Values": ["app-1"]}]
        found = ec2.describe_instances(Filters=app_1)["Reservations"][0]["Instances"][0]
        shown = ec2.describe_vpc_attribute(VpcId=found["VpcId"], Attribute="enableDnsSupport")
        seen.append(shown["EnableDnsSupport"]["Value"])

    monkeypatch.setattr("private_s3.rehearsing.session", session)
    result = lab("--jupyter", "--fault", "no-dns")
    assert result.exit_code == 0, result.output
    assert seen == [False]
