"""The blast radius of a change as it is read from an account, and the calls that this takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rehearsal
from private_s3 import aws, blast_radius, change, network
from private_s3.identities import Identities
from private_s3.parameters import Parameters
from tests import PROJECT
from tests.support.readings import policy, statement
from tests.support.world import enter
from tests.unit.private_s3.test_blast_radius import BY_ADDRESS, FULL, RESET, by_name, rows


def given(**changes: Any) -> Parameters:
    return Parameters.load(PROJECT / "params/rehearsal.yaml", changes)


@pytest.fixture
def entered(
    shared: rehearsal.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> rehearsal.Account:
    """The shared account, to which this process is turned."""
    enter(shared, tmp_path, monkeypatch)
    return shared


@pytest.fixture
def office_policy(shared: rehearsal.Account) -> Iterator[None]:
    """The role of worker-1, behind a NAT gateway, has its data by that gateway's address."""
    iam, condition = shared.client("iam"), {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}
    text = policy(statement("Allow", "s3:*", Sid="ByNat", Condition=condition))
    name = {"RoleName": "worker-instance", "PolicyName": "by-nat"}
    iam.put_role_policy(**name, PolicyDocument=text)
    yield
    iam.delete_role_policy(**name)


@pytest.mark.usefixtures("office_policy")
def test_in_an_account_a_worker_behind_nat_loses_connections_and_its_allow(
    bound: aws.Account, entered: rehearsal.Account
) -> None:
    asked = given(instance_name="worker-1", endpoint_policy="bucket-only")
    found = change.read(bound, asked)
    read = blast_radius.read(bound, found.network)
    worker = f"worker-1 {entered.ids['worker-1']}"
    (row,) = rows(read.table())
    assert row[2:4] == [worker, "yes"] and row[4].startswith("nat-") and row[5] == RESET
    listed = rows(read.policies(found.bucket.policy))
    assert listed == [["by-nat", "ByNat", "role worker-instance", worker, "allows no more"]]
    narrow = blast_radius.endpoint_policy(found.network, asked)
    assert {c.state for c in read.checks(found.bucket.policy, narrow)} == {"UNCERTAIN"}


def test_a_healthy_account_has_nothing_to_look_at_and_takes_two_calls(
    bound: aws.Account, entered: rehearsal.Account
) -> None:
    found = change.read(bound, given())
    bound.calls.clear()
    read = blast_radius.read(bound, found.network)
    assert bound.calls == {"DescribeInstances": 1}
    text = blast_radius.endpoint_policy(found.network, given())
    assert [c.state for c in read.checks(found.bucket.policy, text)] == ["PASS"] * 3
    assert bound.calls == {"DescribeInstances": 1, "GetAccountAuthorizationDetails": 1}
    names = ("app-1", "neighbour-1", "reporter-1")
    shown = [row[2:6] for row in rows(read.table())]
    assert shown == [
        [
            f"{name} {entered.ids[name]}",
            "yes" if name == "app-1" else "no",
            "nowhere",
            "none to lose",
        ]
        for name in names
    ]


@pytest.mark.usefixtures("entered")
def test_what_is_read_already_is_not_read_again(bound: aws.Account) -> None:
    found = change.read(bound, given())
    there, identities = network.neighbours(bound.ec2, found.network.vpc_id), Identities(bound)
    assert identities.by_arn
    bound.calls.clear()
    read = blast_radius.read(bound, found.network, identities, there)
    read.checks(found.bucket.policy, FULL)
    assert not bound.calls


def test_an_operator_who_may_not_read_roles_is_told_so(
    bound: aws.Account, entered: rehearsal.Account
) -> None:
    found = change.read(bound, given())
    operation = "GetAccountAuthorizationDetails"
    entered.plant(operation, code="AccessDenied", message="no", status=403)
    checks = by_name(blast_radius.read(bound, found.network).checks(None, FULL))
    assert checks[BY_ADDRESS].state == "UNCERTAIN" and "AccessDenied" in checks[BY_ADDRESS].detail
