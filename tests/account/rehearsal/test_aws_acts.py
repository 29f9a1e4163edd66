"""What AWS does by itself: its addresses, its second route, its way of writing a policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest

import iam_verdict
from rehearsal import Account
from tests.support.asking import code_of, ended, run, send

S3 = "com.amazonaws.ap-northeast-1.s3"
PREFIX_LIST, PREFIX_LIST_OF_IPV6 = "pl-61a54008", "com.amazonaws.ap-northeast-1.ipv6.s3"
BUCKET = {"Bucket": "rehearsal-private-data"}
ROOT = "arn:aws:iam::123456789012:root"


@pytest.fixture
def endpoint(shared: Account) -> Iterator[str]:
    """An S3 gateway endpoint on private-a and main; gone afterwards."""
    ec2 = shared.client("ec2")
    made = ec2.create_vpc_endpoint(
        VpcId=shared.ids["rehearsal"],
        ServiceName=S3,
        RouteTableIds=[shared.ids["private-a"], shared.ids["main"]],
    )["VpcEndpoint"]["VpcEndpointId"]
    yield made
    shared.unplant()
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])


def cidrs(account: Account) -> list[str]:
    """The ranges of S3 by DescribePrefixLists; GetManagedPrefixListEntries tells the same."""
    ec2 = account.client("ec2")
    shown = ec2.describe_prefix_lists(PrefixListIds=[PREFIX_LIST])["PrefixLists"][0]["Cidrs"]
    entries = ec2.get_managed_prefix_list_entries(PrefixListId=PREFIX_LIST)["Entries"]
    assert shown == [entry["Cidr"] for entry in entries]
    return [str(cidr) for cidr in shown]


def asking(address: str) -> str:
    """A script that ends well if S3 answers at an address."""
    host = "s3.ap-northeast-1.amazonaws.com"
    return f"curl -sk --max-time 2 -H 'Host: {host}' https://{address}/ | grep '<Code>'"


def connects(account: Account, address: str) -> bool:
    """Whether S3 answers an instance behind private-a at an address."""
    return bool(run(account, asking(address))["Status"] == "Success")


def routed(account: Account, endpoint_id: str, table: str) -> list[str]:
    """The names of the prefix lists that a table routes to an endpoint."""
    ec2 = account.client("ec2")
    lists = ec2.describe_managed_prefix_lists()["PrefixLists"]
    names = {item["PrefixListId"]: item["PrefixListName"] for item in lists}
    tables = ec2.describe_route_tables(RouteTableIds=[account.ids[table]])["RouteTables"]
    return [
        names[route["DestinationPrefixListId"]]
        for route in tables[0]["Routes"]
        if route.get("GatewayId") == endpoint_id
    ]


def test_the_prefix_list_grows_and_the_network_with_it(shared: Account, endpoint: str) -> None:
    before = cidrs(shared)
    shared.act("grow prefix list")
    (added,) = [IPv4Network(cidr) for cidr in cidrs(shared) if cidr not in before]
    assert not any(added.overlaps(IPv4Network(cidr)) for cidr in before)
    assert connects(shared, str(added[7]))
    following = str(added.broadcast_address + 7)
    assert not connects(shared, following)
    waiting = send(shared, f"until {asking(following)}; do sleep 0.1; done", timeout=20)
    shared.act("grow prefix list")
    assert ended(shared, waiting)["Status"] == "Success"


def test_the_prefix_list_can_grow_just_before_a_call(shared: Account, endpoint: str) -> None:
    before = cidrs(shared)
    shared.plant("DescribeRouteTables", do="grow prefix list")
    assert cidrs(shared) == before
    shared.client("ec2").describe_route_tables()
    assert len(cidrs(shared)) == len(before) + 1


@pytest.mark.parametrize("named", [True, False])
def test_an_endpoint_gets_a_second_route(shared: Account, endpoint: str, named: bool) -> None:
    shared.act("dual stack", **({"endpoint_id": endpoint} if named else {}))
    ec2 = shared.client("ec2")
    for table in ("private-a", "main"):
        assert sorted(routed(shared, endpoint, table)) == [PREFIX_LIST_OF_IPV6, S3]
    (found,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"]
    assert found["IpAddressType"] == "dualstack"
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, RemoveRouteTableIds=[shared.ids["main"]])
    assert routed(shared, endpoint, "main") == []
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, AddRouteTableIds=[shared.ids["main"]])
    assert sorted(routed(shared, endpoint, "main")) == [PREFIX_LIST_OF_IPV6, S3]


def test_the_type_of_addresses_decides_the_routes(shared: Account, endpoint: str) -> None:
    ec2 = shared.client("ec2")
    change = {"VpcEndpointId": endpoint}
    ec2.modify_vpc_endpoint(**change, IpAddressType="dualstack")
    assert sorted(routed(shared, endpoint, "main")) == [PREFIX_LIST_OF_IPV6, S3]
    ec2.modify_vpc_endpoint(**change, IpAddressType="ipv4")
    assert routed(shared, endpoint, "main") == [S3]
    wrong = code_of(ec2.modify_vpc_endpoint, **change, IpAddressType="ipv5")
    assert wrong == "InvalidParameter" and routed(shared, endpoint, "main") == [S3]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    request: dict[str, Any] = {
        "VpcId": shared.ids["rehearsal"],
        "ServiceName": S3,
        "RouteTableIds": [shared.ids["main"]],
        "IpAddressType": "dualstack",
    }
    made = ec2.create_vpc_endpoint(**request)["VpcEndpoint"]
    assert made["IpAddressType"] == "dualstack"
    assert sorted(routed(shared, made["VpcEndpointId"], "main")) == [PREFIX_LIST_OF_IPV6, S3]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])
    assert routed(shared, made["VpcEndpointId"], "main") == []


def test_a_policy_can_be_stored_in_other_words(shared: Account) -> None:
    s3, resource = shared.client("s3"), f"arn:aws:s3:::{BUCKET['Bucket']}"
    before = s3.get_bucket_policy(**BUCKET)["Policy"]
    put = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "First",
                "Effect": "Allow",
                "Principal": {"AWS": ["123456789012"]},
                "Action": ["s3:ListBucket"],
                "Resource": [resource],
                "Condition": {"StringEquals": {"aws:SourceAccount": ["123456789012"]}},
            },
            {
                "Sid": "Second",
                "Effect": "Deny",
                "Principal": "*",
                "Action": ["s3:GetObject", "s3:PutObject"],
                "Resource": f"{resource}/*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    }
    s3.put_bucket_policy(**BUCKET, Policy=json.dumps(put))
    shared.act("reorder policy", bucket=BUCKET["Bucket"])
    text = s3.get_bucket_policy(**BUCKET)["Policy"]
    s3.put_bucket_policy(**BUCKET, Policy=before)
    second, first = json.loads(text)["Statement"]
    assert second == put["Statement"][1]
    assert (first["Principal"], first["Action"]) == ({"AWS": ROOT}, "s3:ListBucket")
    assert first["Resource"] == resource
    assert first["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    assert iam_verdict.parse(text, names_principals=True)


@pytest.mark.parametrize(
    ("act", "on", "said"),
    [
        ("what nobody does", {}, "is none of"),
        ("reorder policy", {"bucket": "rehearsal-logs"}, "has no policy"),
        ("reorder policy", {"bucket": "absent"}, "absent"),
        ("reorder policy", {}, "bucket"),
        ("dual stack", {"endpoint_id": "vpce-absent"}, "vpce-absent"),
        (
            "foreign endpoint",
            {"vpc_id": "vpc-absent", "service_name": S3, "route_table_ids": []},
            "vpc-absent",
        ),
    ],
)
def test_what_cannot_be_done_is_said(
    shared: Account, act: str, on: dict[str, Any], said: str
) -> None:
    with pytest.raises(RuntimeError, match=f"answered 400 to act: .*{said}"):
        shared.act(act, **on)
