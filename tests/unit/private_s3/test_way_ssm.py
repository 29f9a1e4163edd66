"""How the command of the checks is sent by Systems Manager and waited for."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from private_s3 import aws
from private_s3.errors import AwsRefused, CheckFailed
from private_s3.journal import Outcome
from private_s3.probes import Observation
from private_s3.ways_in.ssm import managed, run

ONE, TWO = "i-0123456789abcdef0", "i-0fedcba9876543210"
COMMAND = "11111111-2222-3333-4444-555555555555"


@contextmanager
def unkept(operation: str, request: Any, remedy: str) -> Iterator[Outcome]:
    """Brackets a write as a journal does, and keeps nothing."""
    with aws.attempt(f"call {operation}", remedy):
        yield Outcome()


class Ssm:
    """An SSM client, and what it is to be asked and to answer, in order."""

    def __init__(self) -> None:
        self.client = boto3.client(
            "ssm", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        self.stub = Stubber(self.client)

    def lists(self, *pings: tuple[str, str], asked: tuple[str, ...] = (ONE,)) -> None:
        self.stub.add_response(
            "describe_instance_information",
            {"InstanceInformationList": [{"InstanceId": i, "PingStatus": p} for i, p in pings]},
            {"Filters": [{"Key": "InstanceIds", "Values": list(asked)}]},
        )

    def takes_the_command(self, *instance_ids: str) -> None:
        self.stub.add_response(
            "send_command",
            {"Command": {"CommandId": COMMAND}, "ResponseMetadata": {"RequestId": "r-1"}},
            {
                "InstanceIds": list(instance_ids),
                "DocumentName": "AWS-RunShellScript",
                "Comment": "Checks of the private path to S3",
                "Parameters": {"commands": ["the script"], "executionTimeout": ["300"]},
                "TimeoutSeconds": 30,
            },
        )

    def has_nothing_yet(self) -> None:
        self.stub.add_client_error("get_command_invocation", "InvocationDoesNotExist")

    def answers(
        self, status: str, output: str = "", errors: str = "", details: str = "", of: str = ONE
    ) -> None:
        self.stub.add_response(
            "get_command_invocation",
            {
                "Status": status,
                "StatusDetails": details or status,
                "StandardOutputContent": output,
                "StandardErrorContent": errors,
            },
            {"CommandId": COMMAND, "InstanceId": of},
        )


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ssm]:
    """An SSM client without a network; time passes 15 seconds at every look, without waiting."""
    clock = SimpleNamespace(monotonic=itertools.count(0, 15).__next__, sleep=lambda _: None)
    monkeypatch.setattr("private_s3.aws.time", clock)
    ssm = Ssm()
    with ssm.stub:
        yield ssm
    ssm.stub.assert_no_pending_responses()


def line(probe: str, exit: int = 0, stdout: str = "", stderr: str = "") -> str:
    record = {"probe": probe, "exit": exit, "seconds": 1, "stdout": stdout, "stderr": stderr}
    return json.dumps(record) + "\n"


def test_an_instance_that_ssm_does_not_list_is_not_managed(ssm: Ssm) -> None:
    ssm.lists((TWO, "ConnectionLost"), asked=(ONE, TWO))
    assert managed(ssm.client, [ONE, TWO]) == {
        ONE: "not managed",
        TWO: "ConnectionLost",
    }


def test_run_waits_until_the_probes_have_ended(ssm: Ssm) -> None:
    ssm.lists((ONE, "Online"))
    ssm.takes_the_command(ONE)
    ssm.has_nothing_yet()
    for status in ("Pending", "Delayed", "InProgress"):
        ssm.answers(status)
    output = line("internet", 28, stderr="curl: (28) x") + line("identity", 0, f"{ONE} r role ")
    ssm.answers("Success", output)
    assert run(ssm.client, unkept, [ONE], "the script") == [
        Observation(ONE, "identity", "succeeded", f"{ONE} r role", 1, f"{ONE} r role"),
        Observation(ONE, "internet", "timeout", "", 1, "curl: (28) x"),
    ]


def test_one_command_serves_all_instances(ssm: Ssm) -> None:
    ssm.lists((ONE, "Online"), (TWO, "Online"), asked=(ONE, TWO))
    ssm.takes_the_command(ONE, TWO)
    ssm.answers("Success", line("list"))
    ssm.answers("Success", line("list"), of=TWO)
    seen = run(ssm.client, unkept, [ONE, TWO], "the script")
    assert [one.instance_id for one in seen] == [ONE, TWO]


@pytest.mark.parametrize("status", ["not managed", "ConnectionLost", "Inactive"])
def test_an_instance_without_an_agent_is_named_with_the_way_out(ssm: Ssm, status: str) -> None:
    others = () if status == "not managed" else ((TWO, status),)
    ssm.lists((ONE, "Online"), *others, asked=(ONE, TWO))
    with pytest.raises(CheckFailed) as caught:
        run(ssm.client, unkept, [ONE, TWO], "the script")
    assert caught.value.answer == f"{TWO} is {status}"
    for word in ("ssm", "ssmmessages", "AmazonSSMManagedInstanceCore", "agent"):
        assert word in caught.value.remedy


@pytest.mark.parametrize(
    ("status", "details"),
    [
        ("Failed", "Failed"),
        ("TimedOut", "Execution Timed Out"),
        ("TimedOut", "DeliveryTimedOut"),
        ("Cancelled", "Cancelled"),
        ("Failed", "Undeliverable"),
        ("Undeliverable", "Undeliverable"),
    ],
)
def test_a_command_that_does_not_end_well_is_an_error(ssm: Ssm, status: str, details: str) -> None:
    ssm.lists((ONE, "Online"))
    ssm.takes_the_command(ONE)
    ssm.answers(status, line("list"), "mktemp: no space\nleft", details)
    with pytest.raises(CheckFailed) as caught:
        run(ssm.client, unkept, [ONE], "the script")
    assert ONE in caught.value.attempted and COMMAND in caught.value.attempted
    assert caught.value.answer == f"SSM answered {status} ({details}). mktemp: no space left"


def test_waiting_has_an_end_that_names_the_last_state(ssm: Ssm) -> None:
    ssm.lists((ONE, "Online"))
    ssm.takes_the_command(ONE)
    ssm.has_nothing_yet()
    # At 15 seconds a look and a limit of 340: the look after 345 seconds is the last.
    for _ in range(22):
        ssm.answers("InProgress")
    with pytest.raises(AwsRefused, match="Last seen: InProgress") as caught:
        run(ssm.client, unkept, [ONE], "the script")
    assert ONE in caught.value.attempted


@pytest.mark.parametrize(
    "output",
    ["Welcome!\n", "{}\n", '{"probe":"list"}\n', line("new"), "[1]\n", '{"probe":"list","exit":1'],
)
def test_output_that_is_not_the_probes_is_an_error(ssm: Ssm, output: str) -> None:
    ssm.lists((ONE, "Online"))
    ssm.takes_the_command(ONE)
    ssm.answers("Success", line("list") + output)
    with pytest.raises(CheckFailed, match="Could not read what the checks on"):
        run(ssm.client, unkept, [ONE], "the script")


@pytest.mark.parametrize("output", ["", "i-0fedcba9876543210 r role", f"{ONE}0 r role"])
def test_identity_must_name_the_instance_that_was_asked(ssm: Ssm, output: str) -> None:
    ssm.lists((ONE, "Online"))
    ssm.takes_the_command(ONE)
    ssm.answers("Success", line("identity", 0, output))
    assert run(ssm.client, unkept, [ONE], "the script")[0].outcome == "another instance"


@pytest.mark.parametrize(
    ("calls", "permission"),
    [
        (0, "ssm:DescribeInstanceInformation"),
        (1, "ssm:SendCommand"),
        (2, "ssm:GetCommandInvocation"),
    ],
)
def test_a_refusal_names_the_permission_to_grant(ssm: Ssm, calls: int, permission: str) -> None:
    if calls > 0:
        ssm.lists((ONE, "Online"))
    if calls > 1:
        ssm.takes_the_command(ONE)
    operation = ("describe_instance_information", "send_command", "get_command_invocation")[calls]
    ssm.stub.add_client_error(operation, "AccessDeniedException", "no")
    with pytest.raises(AwsRefused) as caught:
        run(ssm.client, unkept, [ONE], "the script")
    assert caught.value.code == "AccessDeniedException"
    assert permission in caught.value.remedy


def test_neighbours_that_ssm_does_not_reach_are_left_out(ssm: Ssm) -> None:
    ssm.lists((ONE, "Online"), (TWO, "ConnectionLost"), asked=(ONE, TWO))
    ssm.takes_the_command(ONE)
    ssm.answers("Success", line("list", 0, "keys: 1"))
    seen = run(ssm.client, unkept, [ONE], "the script", optional=[TWO])
    assert [one.instance_id for one in seen] == [ONE]


def test_the_command_is_noted_with_its_id_and_a_hash_of_its_script(ssm: Ssm) -> None:
    noted: list[Any] = []

    @contextmanager
    def write(operation: str, request: Any, remedy: str) -> Iterator[Outcome]:
        yield (outcome := Outcome())
        noted.extend((operation, request, outcome.values))

    ssm.lists((ONE, "Online"))
    ssm.takes_the_command(ONE)
    ssm.answers("Success", line("list"))
    run(ssm.client, write, [ONE], "the script")
    operation, request, values = noted
    assert (operation, request["InstanceIds"]) == ("SendCommand", [ONE])
    assert request["script"] == f"sha256 {hashlib.sha256(b'the script').hexdigest()}"
    assert values["command_id"]


def test_nobody_is_asked_where_no_instance_is_left(ssm: Ssm) -> None:
    assert run(ssm.client, unkept, [], "the script") == []
    ssm.lists((TWO, "ConnectionLost"), asked=(TWO,))
    assert run(ssm.client, unkept, [], "the script", optional=[TWO]) == []
