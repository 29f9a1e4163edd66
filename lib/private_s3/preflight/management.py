"""Finds out whether Systems Manager reaches the instances, and what keeps it from them if not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iam_verdict import PolicyError
from private_s3 import access, aws
from private_s3.callers import Caller
from private_s3.errors import AwsRefused
from private_s3.network import Network
from private_s3.path import surroundings
from private_s3.path.surroundings import Surroundings
from private_s3.preflight.agent_way import AgentWay, Blocker
from private_s3.preflight.own_policies import Asked, verdict
from private_s3.record import Check

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        InstanceTypeDef,
        SecurityGroupTypeDef,
        VpcEndpointTypeDef,
    )
    from mypy_boto3_ssm.type_defs import InstanceInformationTypeDef

ONLINE, NOT_MANAGED = "Online", "not managed"
# What the agent asks for first. Source: the managed policy AmazonSSMManagedInstanceCore.
ACTIONS = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:OpenControlChannel",
)
SERVICES = ("ssm", "ssmmessages")
# Agents older than this version need it too. Source: the release notes of amazon-ssm-agent.
OLD_SERVICE, SINCE = "ec2messages", (3, 3, 40, 0)


@dataclass(frozen=True)
class Management:
    """What Systems Manager says of the instances; where not all are Online, what surrounds them.

    `information` is None if it could not be read; `unread` are AWS's refusals.
    """

    network: Network
    information: Mapping[str, InstanceInformationTypeDef] | None
    surroundings: Surroundings | None = None
    endpoints: Sequence[VpcEndpointTypeDef] = ()
    groups: Mapping[str, SecurityGroupTypeDef] = field(default_factory=dict)
    unread: Sequence[Check] = ()

    def status(self, instance_id: str) -> str:
        """SSM's ping status: "Online" if it takes commands; or "not managed"."""
        found = (self.information or {}).get(instance_id)
        return found["PingStatus"] if found else NOT_MANAGED

    def version(self, instance_id: str) -> str:
        """The version of its agent, as it last told; empty if it never did."""
        return (self.information or {}).get(instance_id, {}).get("AgentVersion", "")


def read(account: aws.Account, network: Network, around: Surroundings | None = None) -> Management:
    """Whether SSM reaches the instances: one call, and seven more if it does not reach all.

    `around` is what was read of the surroundings already, which saves four of them.
    IAM actions: ssm:DescribeInstanceInformation; ec2:DescribeVpcEndpoints,
    ec2:DescribeSecurityGroups, and those of surroundings.read.
    """
    unread: list[Check] = []
    ids = [instance["InstanceId"] for instance in network.instances]
    information: dict[str, InstanceInformationTypeDef] | None = None
    try:
        information = _information(account, ids)
    except AwsRefused as error:
        unread.append(Check.unread("what SSM manages", error.answer, error.remedy))
    if information is None or all(_is_online(information, one) for one in ids):
        return Management(network, information, around, unread=unread)
    try:
        around = around or surroundings.read(account.ec2, network)
        endpoints = _endpoints(account, network.vpc_id)
        groups = {**around.security_groups, **_groups(account, endpoints)}
    except AwsRefused as error:
        unread.append(Check.unread("the way to Systems Manager", error.answer, error.remedy))
        return Management(network, information, around, unread=unread)
    return Management(network, information, around, endpoints, groups, unread)


def blockers(
    management: Management, instance: InstanceTypeDef, caller: Caller | None
) -> list[Blocker]:
    """What keeps Systems Manager from an instance, the most likely cause first; none if Online.

    `caller` is the instance's session as the access matrix has it; None: not known.
    """
    if management.status(instance["InstanceId"]) == ONLINE:
        return []
    return [*_causes(management, instance, caller)] or [_agent(instance["InstanceId"])]


def checks(management: Management, callers: Iterable[Caller]) -> list[Check]:
    """One for each instance: Systems Manager reaches it, or else what keeps it from there."""
    if management.information is None:
        return [*management.unread]
    by_instance = {one: caller for caller in callers for one in caller.instances}
    return [
        *(_check(management, one, by_instance) for one in management.network.instances),
        *management.unread,
    ]


def _is_online(information: Mapping[str, InstanceInformationTypeDef], instance_id: str) -> bool:
    return instance_id in information and information[instance_id]["PingStatus"] == ONLINE


def _check(
    management: Management, instance: InstanceTypeDef, callers: Mapping[str, Caller]
) -> Check:
    instance_id = instance["InstanceId"]
    title = f"Systems Manager reaches {instance_id}"
    found = blockers(management, instance, callers.get(instance_id))
    if not found:
        return Check(title, "PASS", f"{ONLINE}, agent {management.version(instance_id)}")
    told = "; ".join([management.status(instance_id), *(one.cause for one in found)])
    otherwise = "or set check_by to ssh or manual, and step 50 does without it"
    return Check(title, "FAIL", told, f"{found[0].remedy}; {otherwise}")


def _causes(
    management: Management, instance: InstanceTypeDef, caller: Caller | None
) -> Iterator[Blocker]:
    if (state := instance["State"]["Name"]) != "running":
        yield Blocker(f"it is {state}", f"start {instance['InstanceId']}")
    yield from _role(management, instance, caller)
    if (around := management.surroundings) is not None:
        way = AgentWay(
            management.network, around, management.endpoints, management.groups, instance
        )
        version = management.version(instance["InstanceId"])
        old = bool(version) and _numbers(version) < SINCE
        yield from way.blockers([*SERVICES, *[OLD_SERVICE] * old])


def _role(
    management: Management, instance: InstanceTypeDef, caller: Caller | None
) -> Iterator[Blocker]:
    """What the role lacks; an account can have SSM manage instances without any."""
    remedy = "attach the managed policy AmazonSSMManagedInstanceCore to its role"
    region = management.network.service_name.split(".")[2]
    if not instance.get("IamInstanceProfile"):
        yield Blocker("it has no role", f"give it a role, and {remedy}")
    elif caller:
        for action in ACTIONS:
            try:
                found = verdict(caller, _asked(action, caller), caller.principal.account, region)
            except PolicyError:
                continue
            if found.decision not in ("allowed", "depends"):
                yield Blocker(f"{action}: {access.reason(caller, found)}", remedy)
                return


def _asked(action: str, caller: Caller) -> Asked:
    instance = caller.keys.get("ec2:SourceInstanceArn", "*")
    return Asked(action, instance if action.startswith("ssm:") else "*")


def _agent(instance_id: str) -> Blocker:
    """What is left if nothing in the account stands in the way."""
    return Blocker(
        "nothing that could be read is in its way: its agent does not run, or has not reported yet",
        f"on {instance_id}: systemctl status amazon-ssm-agent; its log is in /var/log/amazon/ssm",
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _information(account: aws.Account, ids: Sequence[str]) -> dict[str, InstanceInformationTypeDef]:
    if not ids:  # those of the change are gone
        return {}
    attempted = f"read whether SSM manages {', '.join(ids)}"
    with aws.attempt(attempted, "grant ssm:DescribeInstanceInformation to the caller"):
        found = aws.pages(
            account.ssm,
            "describe_instance_information",
            "InstanceInformationList",
            Filters=[{"Key": "InstanceIds", "Values": list(ids)}],
        )
    return {item["InstanceId"]: item for item in found}


def _endpoints(account: aws.Account, vpc_id: str) -> list[VpcEndpointTypeDef]:
    """The interface endpoints of the VPC for what the agent speaks to."""
    services = [f"com.amazonaws.{account.region}.{one}" for one in (*SERVICES, OLD_SERVICE)]
    attempted = f"read the endpoints of {vpc_id} for Systems Manager"
    with aws.attempt(attempted, "grant ec2:DescribeVpcEndpoints to the caller"):
        return aws.pages(
            account.ec2,
            "describe_vpc_endpoints",
            "VpcEndpoints",
            Filters=[
                {"Name": "vpc-id", "Values": [vpc_id]},
                {"Name": "service-name", "Values": services},
            ],
        )


def _groups(
    account: aws.Account, endpoints: Sequence[VpcEndpointTypeDef]
) -> dict[str, SecurityGroupTypeDef]:
    ids = sorted({group["GroupId"] for one in endpoints for group in one.get("Groups", [])})
    if not ids:
        return {}
    attempted = f"read the security groups {', '.join(ids)}"
    with aws.attempt(attempted, "grant ec2:DescribeSecurityGroups to the caller"):
        found = aws.pages(
            account.ec2,
            "describe_security_groups",
            "SecurityGroups",
            Filters=[{"Name": "group-id", "Values": ids}],
        )
    return {group["GroupId"]: group for group in found}
