"""What hinders an instance, what a planted fault does, and that both pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rehearsal import Account

from .conftest import code_of


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
    running: Account, hindrance: Any, arguments: tuple[str, ...]
) -> None:
    with hindrance(running, *arguments):
        assert "app-1" not in managed(running) and "worker-1" in managed(running)
        assert code_of(send, account=running) == "InvalidInstanceId"
    assert "app-1" in managed(running)


def test_planted_faults_strike_and_pass(running: Account) -> None:
    ssm = running.client("ssm", "operator")
    running.plant("DescribeInstanceInformation", code="InternalServerError", status=400, times=2)
    codes = [code_of(ssm.describe_instance_information) for _ in range(3)]
    assert codes == ["InternalServerError", "InternalServerError", ""]
    running.plant("DescribeInstanceInformation", delay=0.5)
    started = time.monotonic()
    ssm.describe_instance_information()
    assert time.monotonic() - started > 0.5


def test_somebody_else_can_be_first(running: Account) -> None:
    ec2, s3 = running.client("ec2", "operator"), running.client("s3", "operator")
    request = {
        "VpcId": running.ids["rehearsal"],
        "ServiceName": "com.amazonaws.ap-northeast-1.s3",
        "RouteTableIds": [running.ids["private-a"]],
    }
    running.plant("CreateVpcEndpoint", do="foreign endpoint")
    assert code_of(ec2.create_vpc_endpoint, **request) == "RouteAlreadyExists"
    bucket = {"Bucket": "rehearsal-private-data"}
    before = s3.get_bucket_policy(**bucket)["Policy"]
    running.plant("GetBucketPolicy", do="foreign policy")
    assert "AddedBySomebodyElse" in s3.get_bucket_policy(**bucket)["Policy"]
    s3.put_bucket_policy(**bucket, Policy=before)


def test_a_fault_that_nobody_knows_is_not_planted(running: Account) -> None:
    with pytest.raises(RuntimeError):
        running.plant("GetBucketPolicy", do="what nobody does")


def test_a_filter_finds_what_has_one_of_the_values_asked_for(running: Account) -> None:
    """A route table of several subnets, asked for by one of them and one of another table."""
    ec2 = running.client("ec2")
    subnet = ec2.create_subnet(VpcId=running.ids["rehearsal"], CidrBlock="10.20.9.0/24")
    subnet_id, table_id = subnet["Subnet"]["SubnetId"], running.ids["private-a"]
    made = ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)
    wanted = [running.ids["app-a"], running.ids["public"]]
    by_subnet = [{"Name": "association.subnet-id", "Values": wanted}]
    found = [
        table["RouteTableId"]
        for table in ec2.describe_route_tables(Filters=by_subnet)["RouteTables"]
    ]
    ec2.disassociate_route_table(AssociationId=made["AssociationId"])
    ec2.delete_subnet(SubnetId=subnet_id)
    assert table_id in found and len(found) == 2
