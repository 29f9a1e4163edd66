"""Counts the AWS calls of notebook 10 in accounts that hold more and more that is not of it."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

import rehearsal
from tests.support.notebook_runs import FIND, Operator, forked, prepare, turn_to

VPCS, ROUTE_TABLES = (1, 10, 100), 10


def grow(account: rehearsal.Account, number: int) -> None:
    """One more VPC, each of its route tables with a subnet of its own."""
    ec2 = account.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock=f"10.{100 + number}.0.0/16")["Vpc"]["VpcId"]
    for table in range(ROUTE_TABLES):
        cidr = f"10.{100 + number}.{table}.0/24"
        subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock=cidr)["Subnet"]["SubnetId"]
        made = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=made, SubnetId=subnet)


def calls(account: rehearsal.Account, number: int) -> dict[str, int]:
    """How often notebook 10 calls each operation, in this account."""
    asked = len(account.calls())
    with tempfile.TemporaryDirectory() as folder:
        operator = Operator(Path(folder), {"change_id": f"among-{number}"})
        forked(lambda: operator.run(FIND))
    return dict(Counter(call["operation"] for call in account.calls()[asked:]))


def main() -> None:
    """Prints the calls by the number of other VPCs."""
    prepare()
    with rehearsal.start() as account:
        turn_to(account)
        found, grown = {}, 0
        for number in VPCS:
            while grown < number:
                grow(account, grown)
                grown += 1
            found[number] = calls(account, number)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
