"""Systems Manager's Run Command: the agent on an instance fetches the script, runs it as root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from private_s3 import aws, progress
from private_s3.errors import CheckFailed
from private_s3.probes import Observation, observations
from private_s3.progress import Tick
from private_s3.ways_in.way import Bracket, Heard, digest

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

# Seconds: for the agent to fetch the command (30 is SSM's least), and for the script to run.
DELIVERY_TIMEOUT, EXECUTION_TIMEOUT = 30, 300
WAITING = frozenset({"not started", "Pending", "InProgress", "Delayed", "Cancelling"})


@dataclass(frozen=True)
class RunCommand:
    """The way of Systems Manager; `write` brackets the sending, as Record.write does."""

    ssm: SSMClient
    write: Bracket

    def ask(
        self,
        script: str,
        probes: Sequence[str],
        instance_ids: Sequence[str],
        optional: Sequence[str],
    ) -> Heard:
        """What each probe saw; those of `optional` that SSM does not reach are left out."""
        return Heard(run(self.ssm, self.write, instance_ids, script, optional=optional), {})


class _Invocation(NamedTuple):
    """One instance's share of a command; prints as its status."""

    status: str
    answer: Mapping[str, Any]

    def __str__(self) -> str:
        return self.status


def managed(ssm: SSMClient, instance_ids: Sequence[str]) -> dict[str, str]:
    """By instance: "Online" if it takes commands, else SSM's ping status or "not managed".

    IAM action: ssm:DescribeInstanceInformation.
    """
    with aws.attempt(
        f"read whether SSM manages {', '.join(instance_ids)}",
        "grant ssm:DescribeInstanceInformation to the operator",
    ):
        found = aws.pages(
            ssm,
            "describe_instance_information",
            "InstanceInformationList",
            Filters=[{"Key": "InstanceIds", "Values": list(instance_ids)}],
        )
    status = {item["InstanceId"]: item["PingStatus"] for item in found}
    return {instance_id: status.get(instance_id, "not managed") for instance_id in instance_ids}


def run(
    ssm: SSMClient,
    write: Bracket,
    instance_ids: Sequence[str],
    script: str,
    *,
    optional: Sequence[str] = (),
    timeout: int = EXECUTION_TIMEOUT,
) -> list[Observation]:
    """What each probe of the script saw on each instance; one command for all of them.

    `write` brackets the sending, as Record.write does. Those of `optional` that SSM does not reach
    are left out.
    IAM actions: ssm:DescribeInstanceInformation, ssm:SendCommand, ssm:GetCommandInvocation.
    """
    status = managed(ssm, [*instance_ids, *optional]) if [*instance_ids, *optional] else {}
    silent = {i: status[i] for i in instance_ids if status[i] != "Online"}
    if silent:
        raise CheckFailed(
            "Could not run the checks: Systems Manager does not reach every instance.",
            "; ".join(f"{instance_id} is {status}" for instance_id, status in silent.items()),
            "give the VPC interface endpoints for ssm and ssmmessages (port 443 open to the"
            " instance), the instance's role AmazonSSMManagedInstanceCore, and start its agent",
        )
    instance_ids = [*instance_ids, *(i for i in optional if status[i] == "Online")]
    if not instance_ids:  # those of the change are gone
        return []
    told = {
        "InstanceIds": list(instance_ids),
        "DocumentName": "AWS-RunShellScript",
        "script": f"sha256 {digest(script)}",
    }
    remedy = "grant ssm:SendCommand on AWS-RunShellScript and the instances to the operator"
    with write("SendCommand", told, remedy) as outcome:
        answer = ssm.send_command(
            InstanceIds=list(instance_ids),
            DocumentName="AWS-RunShellScript",
            Comment="Checks of the private path to S3",
            Parameters={"commands": [script], "executionTimeout": [str(timeout)]},
            TimeoutSeconds=DELIVERY_TIMEOUT,
        )
        command = answer["Command"]["CommandId"]
        outcome.answered(answer, command_id=command)
    seen, number = [], len(instance_ids)
    limit = DELIVERY_TIMEOUT + timeout + 10
    many = f"{number} instances" if number > 1 else instance_ids[0]
    with progress.waiting(f"the answers of {many}", limit) as tick:
        for done, instance_id in enumerate(instance_ids):
            shown = partial(tick, f"{done} of {number} answered")
            output = _output(ssm, command, instance_id, limit, shown)
            seen += observations(instance_id, output)
    return seen


def _output(ssm: SSMClient, command: str, instance_id: str, limit: float, tick: Tick) -> str:
    """What the command printed on the instance, once it has ended well."""
    checks = f"the checks on {instance_id} (command {command})"

    def read() -> _Invocation:
        try:
            answer = ssm.get_command_invocation(CommandId=command, InstanceId=instance_id)
        except ssm.exceptions.InvocationDoesNotExist:
            return _Invocation("not started", {})
        return _Invocation(answer["Status"], answer)

    with aws.attempt(f"read {checks}", "grant ssm:GetCommandInvocation to the operator"):
        end = aws.wait(checks, read, lambda seen: seen.status not in WAITING, limit, tick)
    if end.status != "Success":
        said = " ".join(end.answer["StandardErrorContent"][-300:].split())
        raise CheckFailed(
            f"Could not finish {checks}.",
            f"SSM answered {end.status} ({end.answer['StatusDetails']}). {said}".strip(),
            "see that the instance is running and its agent connected, then run this again",
        )
    return str(end.answer["StandardOutputContent"])
