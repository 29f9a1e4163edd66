"""What the runbook costs in AWS calls does not grow with the account."""

from __future__ import annotations

from collections import Counter

import pytest

from private_s3 import figures
from tests.support.notebook_runs import FIND, Operator
from tests.support.sampling import sampled
from tests.support.world import World

VPCS, ROUTE_TABLES = (10, 100), 10


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vpcs" in metafunc.fixturenames:
        chosen = sampled(
            metafunc.config, "larger accounts", VPCS, lambda vpcs: ["more"] * (vpcs == VPCS[0])
        )
        metafunc.parametrize("vpcs", chosen)


def grow(world: World, first: int, end: int) -> None:
    """More VPCs, each of their route tables with a subnet of its own."""
    ec2 = world.client("ec2")
    for number in range(first, end):
        vpc_id = ec2.create_vpc(CidrBlock=f"10.{100 + number}.0.0/16")["Vpc"]["VpcId"]
        for table in range(ROUTE_TABLES):
            cidr = f"10.{100 + number}.{table}.0/24"
            subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock=cidr)["Subnet"]["SubnetId"]
            made = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
            ec2.associate_route_table(RouteTableId=made, SubnetId=subnet)


def calls(world: World, change_id: str) -> Counter[str]:
    """How often notebook 10 calls each operation now."""
    before = len(world.account.calls())
    Operator(world.folder, {"change_id": change_id}).run(FIND)
    return Counter(call["operation"] for call in world.account.calls()[before:])


def test_notebook_10_makes_the_same_calls_among_more_vpcs(
    world: World, vpcs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "show", lambda *_, **__: None)
    grow(world, 0, 1)
    few = calls(world, "among-one")
    grow(world, 1, vpcs)
    assert calls(world, "among-many") == few
    assert few["DescribeRouteTables"] == 1
