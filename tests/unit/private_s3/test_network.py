"""The reading of a VPC: effective route tables, where S3 traffic goes, what changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from private_s3 import network
from private_s3.network import Network, Route

LOCAL = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}
NAT = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}
S3 = {"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1", "State": "active"}


def route_table(id_: str, *routes: dict[str, str], subnet: str = "", main: bool = False) -> Any:
    associations = [{"SubnetId": subnet}] if subnet else []
    if main:
        associations.append({"Main": True})  # type: ignore[dict-item]
    return {"RouteTableId": id_, "Routes": [LOCAL, *routes], "Associations": associations}


def make(*tables: Any, instances: tuple[str, ...] = ("subnet-a",)) -> Network:
    return Network(
        vpc_id="vpc-1",
        service_name="com.amazonaws.ap-northeast-1.s3",
        prefix_list_id="pl-1",
        prefixes=["52.219.0.0/20"],
        instances=[
            {"InstanceId": f"i-{n}", "SubnetId": subnet, "State": {"Name": "running"}}
            for n, subnet in enumerate(instances)
        ],
        subnets=[{"SubnetId": "subnet-a"}, {"SubnetId": "subnet-b"}],
        route_tables=list(tables),
        endpoints=[],
    )


TWO = make(route_table("rtb-a", subnet="subnet-a"), route_table("rtb-m", NAT, main=True))


def test_a_subnet_follows_its_own_table_else_the_main_one() -> None:
    assert TWO.route_table_of("subnet-a")["RouteTableId"] == "rtb-a"
    assert TWO.route_table_of("subnet-b")["RouteTableId"] == "rtb-m"


def test_the_main_table_does_not_shadow_an_association_that_is_listed_later() -> None:
    found = make(route_table("rtb-m", main=True), route_table("rtb-a", subnet="subnet-a"))
    assert found.route_table_of("subnet-a")["RouteTableId"] == "rtb-a"


@pytest.mark.parametrize(
    ("routes", "target"),
    [
        ((), "nowhere"),
        ((NAT,), "nat-1"),
        ((NAT, S3), "vpce-1"),
        (({**NAT, "State": "blackhole"},), "nowhere"),
        ((NAT, {**S3, "State": "blackhole"}), "nowhere"),
        (({**S3, "DestinationPrefixListId": "pl-dynamodb"},), "nowhere"),
    ],
)
def test_s3_goes_by_the_endpoint_then_by_a_way_out(
    routes: tuple[dict[str, str], ...], target: str
) -> None:
    table = route_table("rtb-a", *routes)
    assert make(table).s3_goes_to(table) == target


def test_target_tables_are_named_once() -> None:
    both = replace(TWO, instances=[*TWO.instances, *TWO.instances])
    assert both.target_tables == ["rtb-a"]


def test_a_prediction_adds_the_route_and_leaves_the_reading_alone() -> None:
    after = TWO.predicted({"rtb-a": "vpce-1"})
    assert set(after.routes()) - set(TWO.routes()) == {Route("rtb-a", "pl-1", "vpce-1", "active")}
    assert TWO.s3_goes_to(TWO.route_table_of("subnet-a")) == "nowhere"


def test_a_difference_shows_only_what_changed() -> None:
    kept, gone, new = (Route("rtb-a", d, "t", "active") for d in ("1", "2", "3"))
    frame = network.difference([kept, gone], [kept, new])
    assert frame.to_numpy().tolist() == [["+", *new], ["-", *gone]]
    sentence = network.difference_sentence([kept, gone], [kept, new])
    assert sentence == "1 added, 1 removed, 1 unchanged."


def test_an_internet_gateway_on_the_instances_table_is_a_failure() -> None:
    gateway = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1", "State": "active"}
    public = make(route_table("rtb-a", gateway, subnet="subnet-a"), route_table("m", main=True))
    assert [check.state for check in network.checks(public)] == ["PASS", "FAIL"]
    assert [check.state for check in network.checks(TWO)] == ["PASS", "PASS"]


def test_a_stopped_instance_is_a_failure() -> None:
    stopped = replace(
        TWO, instances=[{**TWO.instances[0], "State": {"Name": "stopped", "Code": 80}}]
    )
    assert network.checks(stopped)[0].state == "FAIL"


def test_frames_have_their_columns_also_when_they_are_empty() -> None:
    empty = replace(TWO, subnets=[], instances=[])
    assert tuple(network.subnets_frame(empty).columns) == network.SUBNET_COLUMNS
    assert tuple(network.instances_frame([]).columns) == network.INSTANCE_COLUMNS


def test_everybody_in_the_vpc_is_a_neighbour_who_is_not_about_to_go() -> None:
    ec2 = boto3.client("ec2", "eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    groups = [[{"InstanceId": "i-1"}, {"InstanceId": "i-2"}], [{"InstanceId": "i-3"}]]
    states = ["pending", "running", "stopping", "stopped"]
    with Stubber(ec2) as stub:
        stub.add_response(
            "describe_instances",
            {"Reservations": [{"Instances": group} for group in groups]},
            {
                "Filters": [
                    {"Name": "vpc-id", "Values": ["vpc-1"]},
                    {"Name": "instance-state-name", "Values": states},
                ]
            },
        )
        found = network.neighbours(ec2, "vpc-1")
    assert [one["InstanceId"] for one in found] == ["i-1", "i-2", "i-3"]


def test_a_name_is_a_tag_and_nothing_if_there_is_none() -> None:
    tagged = {"Tags": [{"Key": "team", "Value": "blue"}, {"Key": "Name", "Value": "app"}]}
    assert network.tags(tagged) == {"team": "blue", "Name": "app"}
    assert [network.name(tagged), network.name({"Tags": []}), network.name({})] == ["app", "", ""]
