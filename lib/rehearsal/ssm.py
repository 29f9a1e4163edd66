"""Systems Manager: which instances it manages, and commands that really run on them."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from threading import Thread
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.ssm.exceptions import SSMException
from moto.ssm.responses import SimpleSystemManagerResponse

from rehearsal.front import Front
from rehearsal.identifiers import command_id
from rehearsal.instances import Instances
from rehearsal.network import Network

_DOCUMENT = "AWS-RunShellScript"
_SERVICES = ("ssm", "ssmmessages")
# Any address of the internet: without the endpoints, the agent reaches its service there.
_INTERNET = "198.18.0.1"
_ENDED = ("Success", "Failed", "TimedOut", "Cancelled")


@dataclass
class Invocation:
    """One command on one instance."""

    command: "Command"
    instance_id: str
    status: str = "Pending"
    details: str = "Pending"
    exit_code: int = -1  # not started
    stdout: str = ""
    stderr: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    asked: bool = False

    def end(self, status: str, details: str = "") -> None:
        """Ends, unless it was cancelled before."""
        if self.status not in _ENDED:
            self.status, self.details, self.ended = status, details or status, datetime.now(UTC)

    def shown(self) -> dict[str, Any]:
        """The answer of GetCommandInvocation."""
        elapsed = (self.ended - self.started).total_seconds() if self.started and self.ended else 0
        return {
            "CommandId": self.command.id,
            "InstanceId": self.instance_id,
            "Comment": self.command.comment,
            "DocumentName": _DOCUMENT,
            "PluginName": "aws:runShellScript",
            "ResponseCode": self.exit_code,
            "ExecutionStartDateTime": _time(self.started),
            "ExecutionElapsedTime": f"PT{elapsed:.3f}S" if self.ended else "",
            "ExecutionEndDateTime": _time(self.ended),
            "Status": self.status,
            "StatusDetails": self.details,
            "StandardOutputContent": self.stdout[:24_000],
            "StandardErrorContent": self.stderr[:8_000],
            "StandardOutputUrl": "",
            "StandardErrorUrl": "",
        }


@dataclass
class Command:
    """One command, with an invocation for each of its instances."""

    id: str
    comment: str
    parameters: dict[str, list[str]]
    requested: datetime = field(default_factory=lambda: datetime.now(UTC))
    invocations: dict[str, Invocation] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """The status of the whole: the last that is still going on, else the worst."""
        states = [invocation.status for invocation in self.invocations.values()]
        order = ("InProgress", "Pending", "Failed", "TimedOut", "Cancelled", "Success")
        return min(states, key=order.index)

    def shown(self) -> dict[str, Any]:
        """The answer of SendCommand."""
        states = [invocation.status for invocation in self.invocations.values()]
        return {
            "CommandId": self.id,
            "DocumentName": _DOCUMENT,
            "DocumentVersion": "$DEFAULT",
            "Comment": self.comment,
            "Parameters": self.parameters,
            "InstanceIds": list(self.invocations),
            "RequestedDateTime": self.requested.timestamp(),
            "Status": self.status,
            "StatusDetails": self.status,
            "TargetCount": len(states),
            "CompletedCount": sum(state in _ENDED for state in states),
            "ErrorCount": sum(state in ("Failed", "TimedOut") for state in states),
        }


class SystemsManager:
    """Answers the operations of Systems Manager that moto lacks or only pretends to carry out."""

    def __init__(self, account_id: str, region: str, front: Front, network: Network) -> None:
        self._ec2 = ec2_backends[account_id][region]
        self._front, self._network, self._lock = front, network, front.lock
        self._commands: dict[str, Command] = {}
        self.instances: Instances | None = None

    def install(self) -> None:
        """Takes the place of moto's answers."""
        for method in (
            self.describe_instance_information,
            self.send_command,
            self.get_command_invocation,
            self.list_commands,
            self.list_command_invocations,
            self.cancel_command,
        ):
            setattr(SimpleSystemManagerResponse, method.__name__, _answer(method))

    def describe_instance_information(self, ask: Callable[..., Any]) -> dict[str, Any]:
        """The managed instances."""
        wanted: set[str] | None = None
        for item in [*ask("Filters", []), *ask("InstanceInformationFilterList", [])]:
            if item.get("Key", item.get("key")) != "InstanceIds":
                raise SSMException("InvalidFilterKey", "The filter key is not InstanceIds.")
            wanted = set(item.get("Values", item.get("valueSet")))
        return {
            "InstanceInformationList": [
                {
                    "InstanceId": instance.id,
                    "PingStatus": "Online",
                    "LastPingDateTime": datetime.now(UTC).timestamp(),
                    "AgentVersion": "3.3.40.0",
                    "PlatformType": "Linux",
                    "PlatformName": "Amazon Linux",
                    "PlatformVersion": "2023",
                    "ResourceType": "EC2Instance",
                    "IPAddress": instance.private_ip,
                    "ComputerName": instance.private_dns_name,
                }
                for instance in self._ec2.all_running_instances()
                if (wanted is None or instance.id in wanted) and self._is_managed(instance)
            ]
        }

    def send_command(self, ask: Callable[..., Any]) -> dict[str, Any]:
        """Starts a script on every instance named."""
        if ask("DocumentName") != _DOCUMENT:
            raise SSMException(
                "InvalidDocument", f"document with name {ask('DocumentName')} does not exist."
            )
        parameters = ask("Parameters", {})
        if not parameters.get("commands"):
            raise SSMException("InvalidParameters", "commands: a list of at least one is required")
        names = ask("InstanceIds", [])
        running = {instance.id: instance for instance in self._ec2.all_running_instances()}
        if not names or any(
            name not in running or not self._is_managed(running[name]) for name in names
        ):
            raise SSMException(
                "InvalidInstanceId", f"Instances {names} not in a valid state for account"
            )
        command = Command(command_id(), ask("Comment", ""), parameters)
        command.invocations = {name: Invocation(command, name) for name in names}
        self._commands[command.id] = command
        for invocation in command.invocations.values():
            Thread(target=self._run, args=[invocation], daemon=True).start()
        return {"Command": command.shown()}

    def get_command_invocation(self, ask: Callable[..., Any]) -> dict[str, Any]:
        """One invocation. As on AWS, right after the command it is not there yet: once, here."""
        invocation = self._command(ask("CommandId")).invocations.get(ask("InstanceId"))
        if invocation is None or not invocation.asked:
            if invocation:
                invocation.asked = True
            raise SSMException("InvocationDoesNotExist", "")
        return invocation.shown()

    def list_commands(self, ask: Callable[..., Any]) -> dict[str, Any]:
        """The commands, the latest first."""
        wanted = [self._command(ask("CommandId"))] if ask("CommandId") else self._commands.values()
        return {"Commands": [command.shown() for command in reversed([*wanted])]}

    def list_command_invocations(self, ask: Callable[..., Any]) -> dict[str, Any]:
        """The invocations of a command, or of all."""
        wanted = [self._command(ask("CommandId"))] if ask("CommandId") else self._commands.values()
        shown = []
        for invocation in [item for command in wanted for item in command.invocations.values()]:
            if ask("InstanceId") in (None, invocation.instance_id):
                plugin = {
                    "Name": "aws:runShellScript",
                    "Status": invocation.status,
                    "StatusDetails": invocation.details,
                    "ResponseCode": invocation.exit_code,
                    "Output": invocation.stdout[:2_500],
                }
                row = invocation.shown() | {
                    "RequestedDateTime": invocation.command.requested.timestamp()
                }
                shown.append(row | ({"CommandPlugins": [plugin]} if ask("Details") else {}))
        return {"CommandInvocations": shown}

    def cancel_command(self, ask: Callable[..., Any]) -> dict[str, Any]:
        """Cancels a command. The script may go on, as on AWS; what it says is not shown."""
        for name, invocation in self._command(ask("CommandId")).invocations.items():
            if ask("InstanceIds", []) in ([], None) or name in ask("InstanceIds"):
                invocation.end("Cancelled")
        return {}

    def _command(self, name: str) -> Command:
        if name not in self._commands:
            raise SSMException("InvalidCommandId", "")
        return self._commands[name]

    def _run(self, invocation: Invocation) -> None:
        assert self.instances
        parameters = invocation.command.parameters
        with self._lock:
            invocation.status = invocation.details = "InProgress"
            invocation.started = datetime.now(UTC)
        directory = parameters.get("workingDirectory", [""])[0]
        script = "\n".join([f"cd '{directory}'"] * bool(directory) + parameters["commands"])
        seconds = float(parameters.get("executionTimeout", ["3600"])[0])
        try:
            completed = self.instances.run(invocation.instance_id, script, seconds)
        except Exception as error:
            # The fault is the emulator's: no exit code, and the reason where the operator looks.
            self._front.errors.append(traceback.format_exc())
            with self._lock:
                invocation.stderr = f"The rehearsal account failed: {error!r}"
                invocation.end("Failed", "Undeliverable")
            return
        with self._lock:
            if invocation.status in _ENDED:
                return
            invocation.stdout, invocation.stderr = completed.stdout, completed.stderr
            if completed.timed_out:
                invocation.end("TimedOut", "ExecutionTimedOut")
                return
            invocation.exit_code = completed.exit_code
            invocation.end("Failed" if completed.exit_code else "Success")

    def _is_managed(self, instance: Any) -> bool:
        """Whether the agent on an instance may, and can, report to Systems Manager."""
        association = self._ec2.iam_instance_profile_associations.get(instance.id)
        roles = association.iam_instance_profile.roles if association else []
        if not any(
            self._front.access.role_may(role.arn, "ssm:UpdateInstanceInformation") for role in roles
        ):
            return False
        return all(self._reaches(instance, service) for service in _SERVICES) or bool(
            self._network.reach(instance.id, _INTERNET)
        )

    def _reaches(self, instance: Any, service: str) -> bool:
        """Whether an interface endpoint in the instance's VPC serves it, by the security groups."""
        for endpoint in self._ec2.vpc_end_points.values():
            if (
                endpoint.vpc_id == instance.vpc_id
                and endpoint.service_name.endswith(f".{service}")
                and endpoint.private_dns_enabled
            ):
                interfaces = [self._ec2.enis[name] for name in endpoint.network_interface_ids]
                inward = [
                    self._ec2.get_security_group_from_id(i) for i in endpoint.security_group_ids
                ]
                outward = instance.nics[0].group_set
                if any(
                    _lets(inward, "ingress_rules", instance.private_ip, outward)
                    and _lets(outward, "egress_rules", interface.private_ip_address, inward)
                    for interface in interfaces
                ):
                    return True
        return False


def _answer(method: Callable[..., dict[str, Any]]) -> Callable[[Any], ActionResult]:
    return lambda response: ActionResult(method(response._get_param))


def _lets(groups: list[Any], direction: str, address: str, peers: list[Any]) -> bool:
    """Whether security groups let TCP 443 pass between their members and an address."""
    return any(
        (
            rule.ip_protocol == "-1"
            or (rule.ip_protocol == "tcp" and rule.from_port <= 443 <= rule.to_port)
        )
        and (
            (rule.cidr_ipv4 and ip_address(address) in ip_network(rule.cidr_ipv4))
            or any(peer.id == (rule.referenced_group_info or {}).get("GroupId") for peer in peers)
        )
        for group in groups
        for rule in getattr(group, direction)
    )


def _time(when: datetime | None) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if when else ""
