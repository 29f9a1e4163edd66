"""What AWS shows, or goes by, late: the writes happened, and so many reads do not say so yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rehearsal import Account
from tests.support.asking import code_of, ended, run, send

S3 = "com.amazonaws.ap-northeast-1.s3"
BUCKET, RESOURCE = {"Bucket": "rehearsal-private-data"}, "arn:aws:s3:::rehearsal-private-data"
GATEWAYS = [{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}]
DENY_LISTING = {
    "Effect": "Deny",
    "Principal": {"AWS": "arn:aws:iam::123456789012:role/operator"},
    "Action": "s3:ListBucket",
    "Resource": RESOURCE,
}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [DENY_LISTING]})


@pytest.fixture
def account(shared: Account) -> Iterator[Account]:
    """The account in which nothing is late, without S3 endpoints, before and after."""
    policy = shared.client("s3").get_bucket_policy(**BUCKET)["Policy"]
    yield shared
    shared.unplant()
    shared.client("s3").put_bucket_policy(**BUCKET, Policy=policy)
    if found := list(listed(shared)):
        shared.client("ec2").delete_vpc_endpoints(VpcEndpointIds=found)


def listed(account: Account) -> dict[str, str]:
    """The states of the S3 gateway endpoints by id, as one DescribeVpcEndpoints tells them."""
    found = account.client("ec2").describe_vpc_endpoints(Filters=GATEWAYS)["VpcEndpoints"]
    return {endpoint["VpcEndpointId"]: endpoint["State"] for endpoint in found}


def create(account: Account, *tables: str) -> Any:
    return account.client("ec2").create_vpc_endpoint(
        VpcId=account.ids["rehearsal"],
        ServiceName=S3,
        RouteTableIds=[account.ids[table] for table in tables],
    )["VpcEndpoint"]


def routes(account: Account, table: str) -> list[str]:
    """The endpoints to which a route table has routes."""
    tables = account.client("ec2").describe_route_tables(RouteTableIds=[account.ids[table]])
    found = [route.get("GatewayId", "") for route in tables["RouteTables"][0]["Routes"]]
    return [gateway for gateway in found if gateway.startswith("vpce-")]


LISTING = f"""AWS_MAX_ATTEMPTS=1 aws --region ap-northeast-1 --cli-connect-timeout 1 \\
s3api list-objects-v2 --bucket {BUCKET["Bucket"]}"""


def lists_objects(account: Account) -> bool:
    """Whether an instance behind the table private-a gets to the bucket."""
    return bool(run(account, LISTING)["Status"] == "Success")


# -- pending ---------------------------------------------------------------------------------------


def test_an_endpoint_is_pending_and_without_routes_for_so_many_reads(account: Account) -> None:
    account.plant("CreateVpcEndpoint", do="pending", reads=2)
    made = create(account, "private-a")
    assert made["State"] == "pending"
    for _ in range(2):
        assert routes(account, "private-a") == [] and not lists_objects(account)
        assert listed(account) == {made["VpcEndpointId"]: "pending"}
    assert routes(account, "private-a") == [made["VpcEndpointId"]] and lists_objects(account)
    assert listed(account) == {made["VpcEndpointId"]: "available"}


def test_a_script_that_runs_sees_the_endpoint_come(account: Account) -> None:
    account.plant("CreateVpcEndpoint", do="pending", reads=1)
    create(account, "private-a")
    waiting = send(account, f"until {LISTING}; do sleep 0.1; done", timeout=20)
    listed(account)
    assert ended(account, waiting)["Status"] == "Success"


def test_only_reads_that_list_the_pending_endpoint_count(account: Account) -> None:
    account.plant("CreateVpcEndpoint", do="pending", reads=1)
    made = create(account, "private-a")["VpcEndpointId"]
    ec2 = account.client("ec2")
    ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [account.ids["shared"]]}])
    assert [listed(account)[made] for _ in range(2)] == ["pending", "available"]


def test_a_pending_endpoint_has_its_route_tables_for_itself(account: Account) -> None:
    account.plant("CreateVpcEndpoint", do="pending", reads=9)
    create(account, "private-a")
    assert code_of(create, account=account) == ""  # without a route table it is in nobody's way
    request = {
        "VpcId": account.ids["rehearsal"],
        "ServiceName": S3,
        "RouteTableIds": [account.ids["private-a"]],
    }
    second = code_of(account.client("ec2").create_vpc_endpoint, **request)
    assert second == "RouteAlreadyExists"


def test_a_pending_endpoint_that_is_deleted_never_comes(account: Account) -> None:
    account.plant("CreateVpcEndpoint", do="pending", reads=1)
    made = create(account, "private-a")["VpcEndpointId"]
    account.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[made])
    account.unplant()
    assert listed(account) == {} and routes(account, "private-a") == []


def test_what_is_late_arrives_when_all_is_unplanted(account: Account) -> None:
    account.plant("CreateVpcEndpoint", do="pending", reads=9)
    account.plant("PutBucketPolicy", do="stale policy", reads=9)
    made = create(account, "private-a")["VpcEndpointId"]
    account.client("s3").put_bucket_policy(**BUCKET, Policy=POLICY)
    account.unplant()
    assert routes(account, "private-a") == [made] and listed(account) == {made: "available"}
    assert account.client("s3").get_bucket_policy(**BUCKET)["Policy"] == POLICY


# -- the policy ------------------------------------------------------------------------------------


def read_policy(account: Account) -> str:
    """The bucket policy as one GetBucketPolicy tells it, or the error code."""
    get = account.client("s3").get_bucket_policy
    return code_of(get, **BUCKET) or str(get(**BUCKET)["Policy"])


def codes(account: Account, times: int) -> list[str]:
    """How so many listings by the operator end."""
    list_objects = account.client("s3", "operator").list_objects_v2
    return [code_of(list_objects, **BUCKET) for _ in range(times)]


def test_a_policy_is_read_as_it_was_for_so_many_reads(account: Account) -> None:
    s3 = account.client("s3")
    before = s3.get_bucket_policy(**BUCKET)["Policy"]
    account.plant("PutBucketPolicy", do="stale policy", reads=2)
    s3.put_bucket_policy(**BUCKET, Policy=POLICY)
    assert codes(account, 1) == ["AccessDenied"]  # though it is not shown, it is there
    found = [s3.get_bucket_policy(**BUCKET)["Policy"] for _ in range(3)]
    assert found == [before, before, POLICY]


def test_of_two_writes_that_are_late_the_first_is_seen_first(account: Account) -> None:
    s3 = account.client("s3")
    before = s3.get_bucket_policy(**BUCKET)["Policy"]
    first, second = POLICY, f"{POLICY} "
    for policy, reads in ((first, 1), (second, 3)):
        account.plant("PutBucketPolicy", do="stale policy", reads=reads)
        s3.put_bucket_policy(**BUCKET, Policy=policy)
    found = [s3.get_bucket_policy(**BUCKET)["Policy"] for _ in range(4)]
    assert found == [before, first, first, second]


def test_a_deleted_policy_is_still_read_and_a_new_one_not_yet(account: Account) -> None:
    s3 = account.client("s3")
    before = s3.get_bucket_policy(**BUCKET)["Policy"]
    account.plant("DeleteBucketPolicy", do="stale policy", reads=1)
    s3.delete_bucket_policy(**BUCKET)
    assert s3.get_bucket_policy(**BUCKET)["Policy"] == before
    assert code_of(s3.get_bucket_policy, **BUCKET) == "NoSuchBucketPolicy"
    account.plant("PutBucketPolicy", do="stale policy", reads=1)
    s3.put_bucket_policy(**BUCKET, Policy=POLICY)
    assert code_of(s3.get_bucket_policy, **BUCKET) == "NoSuchBucketPolicy"
    assert s3.get_bucket_policy(**BUCKET)["Policy"] == POLICY


def test_a_refused_write_makes_nothing_late(account: Account) -> None:
    s3 = account.client("s3")
    account.plant("PutBucketPolicy", do="stale policy", reads=9)
    assert code_of(s3.put_bucket_policy, **BUCKET, Policy="{oops") == "MalformedPolicy"
    s3.put_bucket_policy(**BUCKET, Policy=POLICY)
    assert s3.get_bucket_policy(**BUCKET)["Policy"] == POLICY


def test_requests_are_judged_by_the_old_policy_for_a_while(account: Account) -> None:
    s3 = account.client("s3")
    account.plant("PutBucketPolicy", do="slow policy", reads=2)
    s3.put_bucket_policy(**BUCKET, Policy=POLICY)
    assert s3.get_bucket_policy(**BUCKET)["Policy"] == POLICY
    s3.list_objects_v2(Bucket="rehearsal-logs")  # of another bucket, it does not count
    assert codes(account, 3) == ["", "", "AccessDenied"]
    account.plant("DeleteBucketPolicy", do="slow policy", reads=1)
    s3.delete_bucket_policy(**BUCKET)
    assert codes(account, 2) == ["AccessDenied", ""]


# -- endpoints -------------------------------------------------------------------------------------


def test_a_new_endpoint_is_not_seen_for_so_many_reads(account: Account) -> None:
    ec2 = account.client("ec2")
    account.plant("CreateVpcEndpoint", do="stale endpoint", reads=2)
    made = create(account, "private-a")
    by_id = {"VpcEndpointIds": [made["VpcEndpointId"]]}
    assert made["State"] == "available" and routes(account, "private-a")
    assert code_of(ec2.describe_vpc_endpoints, **by_id) == "InvalidVpcEndpointId.NotFound"
    assert listed(account) == {}
    assert listed(account) == {made["VpcEndpointId"]: "available"}


def test_an_endpoint_is_described_as_it_was_before_a_modification(account: Account) -> None:
    ec2 = account.client("ec2")
    made = create(account, "private-a")["VpcEndpointId"]
    account.plant("ModifyVpcEndpoint", do="stale endpoint", reads=1)
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**DENY_LISTING, "Resource": "*"}]})
    ec2.modify_vpc_endpoint(
        VpcEndpointId=made, AddRouteTableIds=[account.ids["main"]], PolicyDocument=policy
    )
    assert routes(account, "main") == [made]
    found = [ec2.describe_vpc_endpoints(Filters=GATEWAYS)["VpcEndpoints"][0] for _ in range(2)]
    assert [len(endpoint["RouteTableIds"]) for endpoint in found] == [1, 2]
    assert [endpoint["PolicyDocument"] == policy for endpoint in found] == [False, True]


def test_a_deleted_endpoint_is_still_seen_as_it_was(account: Account) -> None:
    made = create(account, "private-a")["VpcEndpointId"]
    account.plant("DeleteVpcEndpoints", do="stale endpoint", reads=1)
    account.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[made])
    assert routes(account, "private-a") == []
    assert listed(account) == {made: "available"}
    assert listed(account) == {}


def test_a_deleted_endpoint_can_stay_in_the_list_as_deleting(account: Account) -> None:
    ec2 = account.client("ec2")
    made = create(account, "private-a")["VpcEndpointId"]
    account.plant("DeleteVpcEndpoints", do="deleting", reads=2)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    assert routes(account, "private-a") == []
    (first,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[made])["VpcEndpoints"]
    assert first["State"] == "deleting" and first["VpcId"] == account.ids["rehearsal"]
    assert listed(account) == {made: "deleting"}
    assert listed(account) == {}
    assert create(account, "private-a")["VpcEndpointId"] != made
