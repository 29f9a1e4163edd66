"""Where moto answers otherwise than AWS, the rehearsal account answers as AWS."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rehearsal import Account
from tests.support.asking import code_of

S3 = "com.amazonaws.ap-northeast-1.s3"
PREFIX_LIST = "pl-61a54008"


@pytest.fixture
def ec2(shared: Account) -> Any:
    """Root's client; the S3 gateway endpoints of the VPC are gone before and after."""
    client = shared.client("ec2")
    _delete_all(client, shared.ids["rehearsal"])
    yield client
    _delete_all(client, shared.ids["rehearsal"])


def _delete_all(client: Any, vpc_id: str) -> None:
    found = [e["VpcEndpointId"] for e in _gateways(client, vpc_id)]
    if found:
        client.delete_vpc_endpoints(VpcEndpointIds=found)


def _gateways(client: Any, vpc_id: str) -> list[Any]:
    filters = [
        {"Name": "vpc-id", "Values": [vpc_id]},
        {"Name": "vpc-endpoint-type", "Values": ["Gateway"]},
    ]
    return list(client.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"])


def request(account: Account, *tables: str, **more: Any) -> dict[str, Any]:
    ids = [account.ids[table] for table in tables]
    return {"VpcId": account.ids["rehearsal"], "ServiceName": S3, "RouteTableIds": ids, **more}


def create(account: Account, client: Any, *tables: str, **more: Any) -> Any:
    return client.create_vpc_endpoint(**request(account, *tables, **more))["VpcEndpoint"]


def s3_routes(client: Any, table_id: str) -> list[tuple[str, str, str]]:
    table = client.describe_route_tables(RouteTableIds=[table_id])["RouteTables"][0]
    return [
        (route["GatewayId"], route["Origin"], route["State"])
        for route in table["Routes"]
        if route.get("DestinationPrefixListId") == PREFIX_LIST
    ]


def test_a_dry_run_creates_nothing(shared: Account, ec2: Any) -> None:
    call = request(shared, "private-a", DryRun=True)
    assert code_of(ec2.create_vpc_endpoint, **call) == "DryRunOperation"
    assert _gateways(ec2, shared.ids["rehearsal"]) == []


def test_a_gateway_is_the_default_and_makes_its_route(shared: Account, ec2: Any) -> None:
    made = create(shared, ec2, "private-a")
    assert made["VpcEndpointType"] == "Gateway" and made["State"].lower() == "available"
    routes = s3_routes(ec2, shared.ids["private-a"])
    assert routes == [(made["VpcEndpointId"], "CreateRoute", "active")]
    assert s3_routes(ec2, shared.ids["main"]) == []


def test_a_second_endpoint_on_the_table_is_refused(shared: Account, ec2: Any) -> None:
    create(shared, ec2, "private-a")
    second = request(shared, "private-a")
    assert code_of(ec2.create_vpc_endpoint, **second) == "RouteAlreadyExists"
    assert len(_gateways(ec2, shared.ids["rehearsal"])) == 1
    other = create(shared, ec2, "main")["VpcEndpointId"]
    added = {"VpcEndpointId": other, "AddRouteTableIds": [shared.ids["private-a"]]}
    assert code_of(ec2.modify_vpc_endpoint, **added) == "RouteAlreadyExists"


def test_a_token_makes_one_endpoint_however_often_it_is_sent(shared: Account, ec2: Any) -> None:
    first = create(shared, ec2, "private-a", ClientToken="once")
    again = create(shared, ec2, "private-a", ClientToken="once")
    assert first["VpcEndpointId"] == again["VpcEndpointId"]
    other = request(shared, "main", ClientToken="once")
    assert code_of(ec2.create_vpc_endpoint, **other) == "IdempotentParameterMismatch"


def test_a_token_outlives_its_endpoint(shared: Account, ec2: Any) -> None:
    first = create(shared, ec2, "private-a", ClientToken="outlived")["VpcEndpointId"]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[first])
    again = create(shared, ec2, "private-a", ClientToken="outlived")
    assert (again["VpcEndpointId"], again["State"]) == (first, "deleted")
    assert _gateways(ec2, shared.ids["rehearsal"]) == []
    assert s3_routes(ec2, shared.ids["private-a"]) == []
    other = request(shared, "main", ClientToken="outlived")
    assert code_of(ec2.create_vpc_endpoint, **other) == "IdempotentParameterMismatch"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ServiceName": "com.amazonaws.us-east-1.s3"}, "InvalidServiceName"),
        ({"PolicyDocument": '{"Statement": [{"Effect": "Maybe"}]}'}, "InvalidPolicyDocument"),
        ({"RouteTableIds": ["rtb-0123456789abcdef0"]}, "InvalidRouteTableID.NotFound"),
        ({"VpcId": "vpc-0123456789abcdef0"}, "InvalidVpcID.NotFound"),
    ],
)
def test_a_refused_request_leaves_nothing(
    shared: Account, ec2: Any, change: dict[str, Any], code: str
) -> None:
    assert code_of(ec2.create_vpc_endpoint, **{**request(shared, "main"), **change}) == code
    assert _gateways(ec2, shared.ids["rehearsal"]) == []


def test_a_route_table_of_another_vpc_is_refused(shared: Account, ec2: Any) -> None:
    in_shared = [{"Name": "vpc-id", "Values": [shared.ids["shared"]]}]
    table = ec2.describe_route_tables(Filters=in_shared)["RouteTables"][0]["RouteTableId"]
    foreign = request(shared, RouteTableIds=[table])
    assert code_of(ec2.create_vpc_endpoint, **foreign) == "InvalidParameter"


def test_routes_follow_a_modification(shared: Account, ec2: Any) -> None:
    made = create(shared, ec2, "private-a")["VpcEndpointId"]
    main, private = shared.ids["main"], shared.ids["private-a"]
    ec2.modify_vpc_endpoint(
        VpcEndpointId=made, AddRouteTableIds=[main], RemoveRouteTableIds=[private]
    )
    assert s3_routes(ec2, private) == []
    assert s3_routes(ec2, main) == [(made, "CreateRoute", "active")]


def test_a_policy_can_be_reset(shared: Account, ec2: Any) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    made = create(shared, ec2, "private-a", PolicyDocument=policy)["VpcEndpointId"]
    ec2.modify_vpc_endpoint(VpcEndpointId=made, ResetPolicy=True)
    found = ec2.describe_vpc_endpoints(VpcEndpointIds=[made])["VpcEndpoints"][0]
    assert json.loads(found["PolicyDocument"])["Statement"][0]["Action"] == "*"


def test_a_deleted_endpoint_is_gone_with_its_routes(shared: Account, ec2: Any) -> None:
    made = create(shared, ec2, "private-a", "main")["VpcEndpointId"]
    assert ec2.delete_vpc_endpoints(VpcEndpointIds=[made])["Unsuccessful"] == []
    assert s3_routes(ec2, shared.ids["private-a"]) == s3_routes(ec2, shared.ids["main"]) == []
    assert _gateways(ec2, shared.ids["rehearsal"]) == []
    (again,) = ec2.delete_vpc_endpoints(VpcEndpointIds=[made])["Unsuccessful"]
    assert again["Error"]["Code"] == "InvalidVpcEndpoint.NotFound"


def test_the_route_of_an_endpoint_cannot_be_taken_by_hand(shared: Account, ec2: Any) -> None:
    create(shared, ec2, "private-a")
    table = shared.ids["private-a"]
    by_hand = {"RouteTableId": table, "DestinationPrefixListId": PREFIX_LIST}
    assert code_of(ec2.delete_route, **by_hand)
    assert len(s3_routes(ec2, table)) == 1


@pytest.mark.parametrize(
    ("operation", "key", "name"),
    [
        ("describe_vpc_endpoints", "VpcEndpoints", "vpc-endpoint-id"),
        ("describe_route_tables", "RouteTables", "route.destination-prefix-list-id"),
        ("describe_route_tables", "RouteTables", "route.gateway-id"),
    ],
)
def test_filters_find_the_endpoint_and_its_table(
    shared: Account, ec2: Any, operation: str, key: str, name: str
) -> None:
    made = create(shared, ec2, "private-a")["VpcEndpointId"]
    wanted = PREFIX_LIST if "prefix" in name else made
    found = getattr(ec2, operation)(Filters=[{"Name": name, "Values": [wanted]}])[key]
    assert len(found) == 1
    none = getattr(ec2, operation)(Filters=[{"Name": name, "Values": ["pl-00000000"]}])[key]
    assert none == []


def test_each_region_has_its_own_prefix_list_of_s3(shared: Account) -> None:
    lists = {}
    for region in ("ap-northeast-1", "us-east-1"):
        ec2 = shared.client("ec2", region=region)
        by_name = [{"Name": "prefix-list-name", "Values": [f"com.amazonaws.{region}.s3"]}]
        (lists[region],) = ec2.describe_prefix_lists(Filters=by_name)["PrefixLists"]
    assert lists["ap-northeast-1"]["PrefixListId"] == PREFIX_LIST
    assert lists["us-east-1"]["PrefixListId"] == "pl-63a5400a"
    assert not set(lists["us-east-1"]["Cidrs"]) & set(lists["ap-northeast-1"]["Cidrs"])


def test_a_route_to_a_detached_gateway_is_a_black_hole(shared: Account) -> None:
    ec2 = shared.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.40.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    out = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway}
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.create_route(**out)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    assert {r["DestinationCidrBlock"]: r["State"] for r in routes}["0.0.0.0/0"] == "blackhole"


# -- buckets ---------------------------------------------------------------------------------------

BUCKET = "rehearsal-logs"
GOOD = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::123456789012:role/auditor"},
    "Action": "s3:GetObject",
    "Resource": f"arn:aws:s3:::{BUCKET}/*",
}
ROOM = 20_480 - len(json.dumps({"Version": "2012-10-17", "Statement": [{**GOOD, "Sid": ""}]}))


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ("{oops", "MalformedPolicy"),
        ({**GOOD, "Principal": None}, "MalformedPolicy"),
        ({**GOOD, "Resource": "arn:aws:s3:::another/*"}, "MalformedPolicy"),
        (
            {**GOOD, "Principal": {"AWS": "arn:aws:iam::123456789012:role/nobody"}},
            "MalformedPolicy",
        ),
        ({**GOOD, "Condition": {"StringNotEqual": {"aws:userid": "x"}}}, "MalformedPolicy"),
        ({**GOOD, "Sid": "x" * (ROOM + 1)}, "MalformedPolicy"),
        ({**GOOD, "Sid": "x" * ROOM}, ""),
        ({**GOOD, "Principal": "*"}, "AccessDenied"),
        (GOOD, ""),
    ],
)
def test_a_bucket_policy_is_looked_at_before_it_is_taken(
    shared: Account, policy: Any, code: str
) -> None:
    s3 = shared.client("s3")
    if isinstance(policy, dict):
        statement = {key: value for key, value in policy.items() if value is not None}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    found = code_of(s3.put_bucket_policy, Bucket=BUCKET, Policy=policy)
    assert found in ((code, "PolicyTooLarge") if len(policy) > 20_480 else (code,))


def test_a_new_bucket_is_private_from_the_start(shared: Account) -> None:
    s3 = shared.client("s3")
    s3.create_bucket(
        Bucket="new-bucket",
        CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"},
    )
    block = s3.get_public_access_block(Bucket="new-bucket")["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True} and len(block) == 4
    rules = s3.get_bucket_encryption(Bucket="new-bucket")["ServerSideEncryptionConfiguration"]
    default = rules["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    assert default["SSEAlgorithm"] == "AES256"
    ownership = s3.get_bucket_ownership_controls(Bucket="new-bucket")["OwnershipControls"]
    assert ownership["Rules"][0]["ObjectOwnership"] == "BucketOwnerEnforced"


def test_another_owner_than_expected_is_refused(shared: Account) -> None:
    call = {"Bucket": BUCKET, "ExpectedBucketOwner": "999999999999"}
    assert code_of(shared.client("s3").get_bucket_location, **call) == "AccessDenied"


def test_every_answer_has_a_request_id_that_finds_its_call(shared: Account) -> None:
    for client, ask in (
        (shared.client("ec2"), "describe_vpcs"),
        (shared.client("s3"), "list_buckets"),
        (shared.client("sts"), "get_caller_identity"),
        (shared.client("ssm"), "describe_instance_information"),
    ):
        given = getattr(client, ask)()["ResponseMetadata"]["RequestId"]
        assert [call["request_id"] for call in shared.calls()].count(given) == 1
