"""What hinders an instance, what a planted fault does, and that both pass."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError
from botocore.retries.standard import ExponentialBackoff

from rehearsal import Account
from tests.support.asking import MARKED, client_of, code_of, run

BUCKET = {"Bucket": "rehearsal-private-data"}
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": {"AWS": "arn:aws:iam::123456789012:role/auditor"},
                "Action": "s3:DeleteObject",
                "Resource": "arn:aws:s3:::rehearsal-private-data/*",
            }
        ],
    }
)


@pytest.fixture
def account(shared: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """The account without faults and S3 endpoints, and with its bucket policy, before and after.

    botocore does not wait between its attempts.
    """
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)
    policy = shared.client("s3").get_bucket_policy(**BUCKET)["Policy"]
    yield shared
    shared.unplant()
    shared.client("s3").put_bucket_policy(**BUCKET, Policy=policy)
    for name in endpoints(shared):
        shared.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[name])


def endpoints(account: Account) -> list[str]:
    """The ids of the S3 gateway endpoints."""
    filters = [{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}]
    found = account.client("ec2").describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    return [endpoint["VpcEndpointId"] for endpoint in found]


def endpoint_on(account: Account, table: str) -> dict[str, Any]:
    return {
        "VpcId": account.ids["rehearsal"],
        "ServiceName": "com.amazonaws.ap-northeast-1.s3",
        "RouteTableIds": [account.ids[table]],
        **MARKED,
    }


def statuses(account: Account, operation: str, since: int) -> list[int]:
    """The statuses of an operation's calls since the account had had so many calls."""
    return [call["status"] for call in account.calls()[since:] if call["operation"] == operation]


def managed(account: Account) -> set[str]:
    """The names of the managed instances."""
    found = account.client("ssm", "operator").describe_instance_information()
    ids = {item["InstanceId"] for item in found["InstanceInformationList"]}
    return {name for name, made in account.ids.items() if made in ids}


def send(account: Account) -> Any:
    return account.client("ssm", "operator").send_command(
        InstanceIds=[account.ids["app-1"]],
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": ["true"]},
    )


@contextmanager
def stopped(account: Account, name: str) -> Iterator[None]:
    ec2 = account.client("ec2")
    ec2.stop_instances(InstanceIds=[account.ids[name]])
    yield
    ec2.start_instances(InstanceIds=[account.ids[name]])


@contextmanager
def without_rules(account: Account, group: str, direction: str) -> Iterator[None]:
    ec2 = account.client("ec2")
    key = "IpPermissions" if direction == "ingress" else "IpPermissionsEgress"
    (found,) = ec2.describe_security_groups(GroupIds=[account.ids[group]])["SecurityGroups"]
    rules = {"GroupId": account.ids[group], "IpPermissions": found[key]}
    getattr(ec2, f"revoke_security_group_{direction}")(**rules)
    yield
    getattr(ec2, f"authorize_security_group_{direction}")(**rules)


@pytest.mark.parametrize(
    ("hindrance", "arguments"),
    [
        (stopped, ("app-1",)),
        (without_rules, ("endpoints", "ingress")),
        (without_rules, ("app", "egress")),
    ],
)
def test_an_instance_that_is_hindered_is_not_managed(
    shared: Account, hindrance: Any, arguments: tuple[str, ...]
) -> None:
    with hindrance(shared, *arguments):
        assert "app-1" not in managed(shared) and "worker-1" in managed(shared)
        assert code_of(send, account=shared) == "InvalidInstanceId"
    assert "app-1" in managed(shared)


def test_planted_faults_strike_and_pass(shared: Account) -> None:
    ssm = shared.client("ssm", "operator")
    shared.plant("DescribeInstanceInformation", code="InternalServerError", status=400, times=2)
    codes = [code_of(ssm.describe_instance_information) for _ in range(3)]
    assert codes == ["InternalServerError", "InternalServerError", ""]
    shared.plant("DescribeInstanceInformation", delay=0.5)
    started = time.monotonic()
    ssm.describe_instance_information()
    assert time.monotonic() - started > 0.5


def test_somebody_else_can_be_first(shared: Account) -> None:
    ec2, s3 = shared.client("ec2", "operator"), shared.client("s3", "operator")
    request = {
        "VpcId": shared.ids["rehearsal"],
        "ServiceName": "com.amazonaws.ap-northeast-1.s3",
        "RouteTableIds": [shared.ids["private-a"]],
        **MARKED,
    }
    shared.plant("CreateVpcEndpoint", do="foreign endpoint")
    assert code_of(ec2.create_vpc_endpoint, **request) == "RouteAlreadyExists"
    bucket = {"Bucket": "rehearsal-private-data"}
    before = s3.get_bucket_policy(**bucket)["Policy"]
    shared.plant("GetBucketPolicy", do="foreign policy")
    assert "AddedBySomebodyElse" in s3.get_bucket_policy(**bucket)["Policy"]
    s3.put_bucket_policy(**bucket, Policy=before)


def test_a_fault_that_nobody_knows_is_not_planted(shared: Account) -> None:
    with pytest.raises(RuntimeError):
        shared.plant("GetBucketPolicy", do="what nobody does")


def test_a_filter_finds_what_has_one_of_the_values_asked_for(shared: Account) -> None:
    """A route table of several subnets, asked for by one of them and one of another table."""
    ec2 = shared.client("ec2")
    subnet = ec2.create_subnet(VpcId=shared.ids["rehearsal"], CidrBlock="10.20.9.0/24")
    subnet_id, table_id = subnet["Subnet"]["SubnetId"], shared.ids["private-a"]
    made = ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)
    wanted = [shared.ids["app-a"], shared.ids["public"]]
    by_subnet = [{"Name": "association.subnet-id", "Values": wanted}]
    found = [
        table["RouteTableId"]
        for table in ec2.describe_route_tables(Filters=by_subnet)["RouteTables"]
    ]
    ec2.disassociate_route_table(AssociationId=made["AssociationId"])
    ec2.delete_subnet(SubnetId=subnet_id)
    assert table_id in found and len(found) == 2


# -- which calls -----------------------------------------------------------------------------------


def test_a_fault_can_strike_any_operation(account: Account) -> None:
    account.plant("*", code="InternalError", status=500)
    ssm, ec2 = client_of(account, "ssm"), client_of(account, "ec2")
    assert code_of(ssm.describe_instance_information) == "InternalError"
    assert code_of(ec2.describe_subnets) == ""


def test_a_fault_can_wait_for_the_nth_call(account: Account) -> None:
    account.plant("DescribeSubnets", code="InternalError", status=500, skip=2, times=2)
    account.plant("*", code="Unavailable", status=503, skip=1)
    ec2 = client_of(account, "ec2")
    codes = [code_of(ec2.describe_subnets) for _ in range(5)]
    assert codes == ["", "Unavailable", "InternalError", "InternalError", ""]


def test_a_fault_can_be_of_one_person(account: Account) -> None:
    account.plant("DescribeSubnets", code="InternalError", status=500, who="operator")
    assert code_of(client_of(account, "ec2", "root").describe_subnets) == ""
    assert code_of(client_of(account, "ec2", "operator").describe_subnets) == "InternalError"


def test_a_fault_can_be_of_one_instance(account: Account) -> None:
    account.client("ec2").create_vpc_endpoint(**endpoint_on(account, "private-a"))
    session = "arn:aws:sts::123456789012:assumed-role/app-instance"
    who = f"{session}/{account.ids['app-1']}"
    account.plant("ListObjectsV2", code="SlowDown", status=503, who=who, times=0)
    listing = "AWS_MAX_ATTEMPTS=1 aws --region ap-northeast-1 s3api list-objects-v2 --bucket "
    script = f"{listing}{BUCKET['Bucket']} --query 'length(Contents)'"
    assert "(SlowDown)" in run(account, script)["StandardErrorContent"]
    assert run(account, script, "neighbour-1")["StandardOutputContent"].strip() == "3"
    assert code_of(client_of(account, "s3").list_objects_v2, **BUCKET) == ""


def test_a_fault_that_has_not_struck_can_be_taken_back(account: Account) -> None:
    account.plant("DescribeSubnets", code="InternalError", status=500, times=0)
    ec2 = client_of(account, "ec2")
    assert [code_of(ec2.describe_subnets) for _ in range(2)] == ["InternalError"] * 2
    account.unplant()
    assert code_of(ec2.describe_subnets) == ""


@pytest.mark.parametrize(
    "fault",
    [
        {"operation": "GetBucketPolicy", "do": "stale policy"},
        {"operation": "GetBucketPolicy", "status": 999},
        {"operation": "GetBucketPolicy", "dose": "drop"},
    ],
)
def test_a_fault_that_could_never_strike_is_not_planted(
    account: Account, fault: dict[str, Any]
) -> None:
    with pytest.raises(RuntimeError):
        account.plant(**fault)


# -- errors of the services ------------------------------------------------------------------------

VALIDATE = {
    "policyDocument": POLICY,
    "policyType": "RESOURCE_POLICY",
    "validatePolicyResourceType": "AWS::S3::Bucket",
}
TRANSIENT = [
    ("ec2", "DescribeSubnets", {}, "RequestLimitExceeded", 503),
    ("ec2", "DescribeSubnets", {}, "InternalError", 500),
    ("s3", "GetBucketPolicy", BUCKET, "SlowDown", 503),
    ("s3", "PutBucketPolicy", {**BUCKET, "Policy": POLICY}, "InternalError", 500),
    ("iam", "ListRoles", {}, "Throttling", 400),
    ("iam", "ListRoles", {}, "ServiceFailure", 500),
    ("ssm", "DescribeInstanceInformation", {}, "ThrottlingException", 400),
    ("ssm", "DescribeInstanceInformation", {}, "InternalServerError", 500),
    ("accessanalyzer", "ValidatePolicy", VALIDATE, "ThrottlingException", 429),
    ("accessanalyzer", "ValidatePolicy", VALIDATE, "InternalServerException", 500),
]


def method(account: Account, service: str, operation: str, attempts: int) -> Any:
    client = client_of(account, service, "root", attempts)
    names = {name: python for python, name in client.meta.method_to_api_mapping.items()}
    return getattr(client, names[operation])


@pytest.mark.parametrize(("service", "operation", "request_", "code", "status"), TRANSIENT)
def test_botocore_gets_over_one_transient_error(
    account: Account,
    service: str,
    operation: str,
    request_: dict[str, Any],
    code: str,
    status: int,
) -> None:
    account.plant(operation, code=code, status=status)
    since = len(account.calls())
    assert code_of(method(account, service, operation, 3), **request_) == ""
    first, second = statuses(account, operation, since)
    assert first == status and second < 300


@pytest.mark.parametrize(("service", "operation", "request_", "code", "status"), TRANSIENT)
def test_botocore_gives_up_if_an_error_persists(
    account: Account,
    service: str,
    operation: str,
    request_: dict[str, Any],
    code: str,
    status: int,
) -> None:
    account.plant(operation, code=code, status=status, times=0)
    since = len(account.calls())
    assert code_of(method(account, service, operation, 3), **request_) == code
    assert statuses(account, operation, since) == [status] * 3


def test_a_conflict_of_writes_is_told_at_once(account: Account) -> None:
    account.plant("PutBucketPolicy", code="OperationAborted", status=409, times=0)
    since = len(account.calls())
    put = client_of(account, "s3", attempts=3).put_bucket_policy
    assert code_of(put, **BUCKET, Policy=POLICY) == "OperationAborted"
    assert statuses(account, "PutBucketPolicy", since) == [409]


# -- connections that end --------------------------------------------------------------------------


def dropped(account: Account, call: Any, **request: Any) -> dict[str, Any]:
    """What the account noted of a call whose connection was reset."""
    with pytest.raises(ConnectionClosedError) as raised:
        call(**request)
    _, cause = raised.value.kwargs["error"].args
    assert cause.errno == errno.ECONNRESET  # not only closed
    assert account.errors() == []
    noted = account.calls()[-1]
    assert (noted["status"], noted["error"]) == (0, "dropped")
    return noted


def test_a_dropped_call_is_not_carried_out(account: Account) -> None:
    ec2, s3 = client_of(account, "ec2"), client_of(account, "s3")
    account.plant("CreateVpcEndpoint", do="drop")
    account.plant("PutBucketPolicy", do="drop")
    noted = dropped(account, ec2.create_vpc_endpoint, **endpoint_on(account, "private-a"))
    assert (noted["who"], noted["operation"]) == ("operator", "CreateVpcEndpoint")
    assert endpoints(account) == []
    dropped(account, s3.put_bucket_policy, **BUCKET, Policy=POLICY)
    assert s3.get_bucket_policy(**BUCKET)["Policy"] != POLICY


def test_a_call_is_carried_out_though_its_answer_is_dropped(account: Account) -> None:
    ec2, s3 = client_of(account, "ec2"), client_of(account, "s3")
    account.plant("CreateVpcEndpoint", do="drop answer")
    account.plant("PutBucketPolicy", do="drop answer")
    dropped(account, ec2.create_vpc_endpoint, **endpoint_on(account, "private-a"))
    assert len(endpoints(account)) == 1
    dropped(account, s3.put_bucket_policy, **BUCKET, Policy=POLICY)
    assert s3.get_bucket_policy(**BUCKET)["Policy"] == POLICY


def test_a_refusal_can_be_dropped_like_any_answer(account: Account) -> None:
    account.plant("ListRoles", do="drop answer")
    dropped(account, client_of(account, "iam").list_roles)
    assert code_of(client_of(account, "iam").list_roles) == "AccessDenied"


@pytest.mark.parametrize("do", ["drop", "drop answer"])
@pytest.mark.parametrize(("service", "operation", "request_", "code", "status"), TRANSIENT[::2])
def test_botocore_gets_over_one_dropped_connection(
    account: Account,
    service: str,
    operation: str,
    request_: dict[str, Any],
    code: str,
    status: int,
    do: str,
) -> None:
    account.plant(operation, do=do)
    since = len(account.calls())
    assert code_of(method(account, service, operation, 3), **request_) == ""
    assert statuses(account, operation, since) == [0, 200]


def test_a_dropped_connection_is_no_failure_of_the_network(account: Account) -> None:
    """The instances' network raises its failures at the next change, and after every script."""
    ec2 = client_of(account, "ec2", "root")
    account.client("ec2").create_vpc_endpoint(**endpoint_on(account, "private-a"))
    account.plant("ListObjectsV2", do="drop")
    account.plant("ListObjectsV2", do="drop answer")
    list_objects = client_of(account, "s3").list_objects_v2
    dropped(account, list_objects, **BUCKET)
    listing = "AWS_MAX_ATTEMPTS=1 aws --region ap-northeast-1 s3api list-objects-v2 --bucket "
    found = run(account, f"{listing}{BUCKET['Bucket']}")
    assert found["Status"] == "Failed" and found["ResponseCode"] > 0
    (noted,) = [call for call in account.calls() if call["error"] == "dropped"][-1:]
    assert noted["status"] == 0 and noted["instance_id"] == account.ids["app-1"]
    ec2.create_tags(Resources=[account.ids["rehearsal"]], Tags=[{"Key": "a", "Value": "b"}])
    ec2.delete_tags(Resources=[account.ids["rehearsal"]], Tags=[{"Key": "a"}])
    assert account.errors() == []


def test_several_faults_can_befall_one_call(account: Account) -> None:
    account.plant("CreateVpcEndpoint", do="pending", reads=1)
    account.plant("CreateVpcEndpoint", do="drop answer")
    ec2 = client_of(account, "ec2")
    dropped(account, ec2.create_vpc_endpoint, **endpoint_on(account, "private-a"))
    filters = [{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}]
    found = [ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"][0] for _ in range(2)]
    assert [endpoint["State"] for endpoint in found] == ["pending", "available"]
