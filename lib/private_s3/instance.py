"""Asks the instances themselves: runs bounded probes there by SSM, and reads what they printed."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from private_s3 import aws, progress
from private_s3.errors import BadInput, CheckFailed, RunbookError
from private_s3.journal import Outcome
from private_s3.progress import Tick
from private_s3.record import Check
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd
    from mypy_boto3_ssm import SSMClient

# Brackets a write to AWS - operation, request, remedy - with its intent and its outcome.
Bracket = Callable[[str, Mapping[str, Any], str], AbstractContextManager[Outcome]]
PROBES = ("identity", "list", "write", "read", "delete", "internet", "other-region")
READS = {"identity": "succeeded", "list": "succeeded"}
WRITES = {"write": "succeeded", "read": "succeeded", "delete": "succeeded"}
UNREACHED = {"internet": "unreachable", "other-region": "unreachable"}
OTHER_REGIONS = ("us-east-1", "us-west-2")
# By instance and probe: the outcome that is expected.
Expected = Mapping[str, Mapping[str, str]]
PROBE_COLUMNS = ("instance", "probe", "expected", "observed", "detail")
CHECK_PREFIX = ".private-s3-check"
INTERNET = "https://example.com"
# What shows that there is no way; any other answer came from somebody who was reached.
UNREACHABLE = frozenset({"timeout", "no connection", "name not resolved"})
# Seconds: for the agent to fetch the command (30 is SSM's least), and for the script to run.
DELIVERY_TIMEOUT, EXECUTION_TIMEOUT = 30, 300
WAITING = frozenset({"not started", "Pending", "InProgress", "Delayed", "Cancelling"})

BUCKET, REGION = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", r"[a-z]{2}(-[a-z]+)+-[0-9]"
SAFE = {
    "bucket": BUCKET,
    "region": REGION,
    "prefix": re.escape(CHECK_PREFIX) + r"/[a-z0-9][a-z0-9-]{0,40}",
    "other_region": REGION,
    "other_bucket": BUCKET,
    "internet": r"https://[a-z0-9][a-z0-9.-]{0,200}",
}
# By text, the first that is found: the AWS CLI 1 exits with 255 for a timeout and for a refusal
# alike. Not anchored: lines of the AWS CLI 2 may begin with "aws: [ERROR]:".
READINGS = {
    r"checksum differs: wrote [0-9a-f]{64}": "tampered",
    r"\baws: (command )?not found|'aws': No such file": "no aws cli",
    r"\bcurl: (command )?not found": "no curl",
    r"(Connect|Read) timeout on endpoint URL": "timeout",
    r"curl: \(28\)|Connection timed out": "timeout",
    r"Failed to connect to proxy URL|curl: \(5\)|curl: \(56\).*(CONNECT|proxy)": "proxy",
    # Refused, or no route; the AWS CLI says the same when the name has no address.
    r"Could not connect to the endpoint URL|curl: \(7\)": "no connection",
    r"curl: \(6\)": "name not resolved",
    r"SSL validation failed|curl: \(60\)": "not trusted",
    # The metadata service answers 404 when the instance has no role.
    r"Unable to locate credentials|curl: \(22\).* 404": "no credentials",
    r"\((AccessDenied|403)\)": "denied",
    r"\((NoSuchBucket|NoSuchKey|404)\)": "not found",
    r"\((PermanentRedirect|AuthorizationHeaderMalformed|301)\)": "wrong region",
}
LAYER = re.compile(r"explicit deny in an? [\w -]*?(policy|boundary)|no [\w -]+? allows")
# Listing and reading can also fail for lack of another service's permission, as kms:Decrypt.
OTHER_ACTION = re.compile(r"not authorized to perform: (?!s3:)([\w-]+:\w+)")


@dataclass(frozen=True)
class Observation:
    """What one probe saw on one instance; `text` is all that its command printed."""

    instance_id: str
    probe: str
    outcome: str
    detail: str
    seconds: int
    text: str = field(default="", repr=False)

    def agrees(self, expected: str) -> bool:
        """Whether it saw what was expected; "unreachable" stands for each of UNREACHABLE."""
        return self.outcome in (UNREACHABLE if expected == "unreachable" else {expected})

    @property
    def state(self) -> str:
        """The outcome in the words of the access matrix, where it has one for it."""
        # S3 says that an object is not there only to those who may read it, or may not list.
        hidden = self.probe == "read" and "perform: s3:ListBucket" in self.text
        if self.outcome in ("succeeded", "not found") or hidden:
            return "allowed"
        return "no way" if self.outcome in UNREACHABLE else self.outcome


class _Invocation(NamedTuple):
    """One instance's share of a command; prints as its status."""

    status: str
    answer: Mapping[str, Any]

    def __str__(self) -> str:
        return self.status


def script(
    *,
    bucket: str,
    region: str,
    change_id: str,
    other_region: str,
    other_bucket: str,
    writes: bool,
    internet: str = INTERNET,
) -> str:
    """The probes as one shell script; raises BadInput for a value unsafe to put into it."""
    values = {
        "bucket": bucket,
        "region": region,
        "prefix": f"{CHECK_PREFIX}/{change_id}",
        "other_region": other_region,
        "other_bucket": other_bucket,
        "internet": internet,
    }
    faults = [
        f"{name} = {value!r} does not match {SAFE[name]}"
        for name, value in values.items()
        if not re.fullmatch(SAFE[name], value)
    ]
    if other_region == region:
        faults.append(f"other_region = {region!r} is the Region of the bucket")
    if faults:
        raise BadInput(
            "Could not write the script of the checks; nothing was sent to the instances.",
            "; ".join(faults),
            "correct the parameters that these come from",
        )
    values["writes"] = "yes" if writes else "no"
    assignments = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    return assignments + files("private_s3").joinpath("probes.sh").read_text(encoding="utf-8")


def classify(exit_code: int, stdout: str, stderr: str) -> tuple[str, str]:
    """The outcome of a probe's command and a detail, from what it printed."""
    if exit_code == 0:
        return "succeeded", stdout.strip(' "')
    for pattern, outcome in READINGS.items():
        if re.search(pattern, stderr):
            return outcome, _reason(stderr) if outcome in ("denied", "not found") else ""
    return "unknown", f"exit {exit_code}: {stderr.strip() or 'nothing printed'}"


def _reason(stderr: str) -> str:
    """What decided a refusal, as far as AWS says it: which policy, or its last words."""
    layer, action = LAYER.search(stderr), OTHER_ACTION.search(stderr)
    reason = layer[0] if layer else stderr.rpartition(": ")[2].strip()
    return f"{reason} ({action[1]})" if action else reason


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
        "script": f"sha256 {hashlib.sha256(script.encode()).hexdigest()}",
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
    observations, number = [], len(instance_ids)
    limit = DELIVERY_TIMEOUT + timeout + 10
    many = f"{number} instances" if number > 1 else instance_ids[0]
    with progress.waiting(f"the answers of {many}", limit) as tick:
        for done, instance_id in enumerate(instance_ids):
            shown = partial(tick, f"{done} of {number} answered")
            output = _output(ssm, command, instance_id, limit, shown)
            observations += _observations(instance_id, output)
    return observations


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


def _observations(instance_id: str, output: str) -> list[Observation]:
    """One observation per line that the probes printed, in the order of PROBES."""
    try:
        records = [json.loads(line) for line in output.splitlines()]
        seen = [_observation(instance_id, **record) for record in records]
        return sorted(seen, key=lambda observation: PROBES.index(observation.probe))
    except (ValueError, TypeError) as error:
        raise CheckFailed(
            f"Could not read what the checks on {instance_id} printed.",
            repr(output[-300:]),
            "run this again; if it stays, look at the command in Systems Manager's history",
        ) from error


def _observation(
    instance_id: str, *, probe: str, exit: int, seconds: int, stdout: str, stderr: str
) -> Observation:
    outcome, detail = classify(exit, stdout, stderr)
    if (probe, outcome) == ("identity", "succeeded") and detail.split()[:1] != [instance_id]:
        outcome = "another instance"
    return Observation(instance_id, probe, outcome, detail, seconds, f"{stdout} {stderr}".strip())


@dataclass(frozen=True)
class Answers:
    """What the instances answered, and what those of the change should have answered.

    `unasked` says why they could not be asked.
    """

    observations: list[Observation]
    expected: Expected
    applying: bool
    unasked: str = ""

    def table(self) -> pd.DataFrame:
        """One row per instance and probe."""
        return frame(self.observations, self.expected)

    def checks(self) -> list[Check]:
        """One check per instance and probe; SKIPPED while planning, with what was seen."""
        if self.unasked:
            return [
                Check(f"{one} can be asked", "UNCERTAIN", self.unasked) for one in self.expected
            ]
        seen = {(one.instance_id, one.probe): one for one in self.observations}
        return [
            self._check(f"{probe} from {instance_id}", outcome, seen.get((instance_id, probe)))
            for instance_id, expected in self.expected.items()
            for probe, outcome in expected.items()
        ]

    def _check(self, name: str, expected: str, seen: Observation | None) -> Check:
        if seen is None:
            return Check(name, "FAIL", "not run")
        detail = ": ".join(filter(None, (seen.outcome, seen.detail)))
        if not self.applying:
            return Check(name, "SKIPPED", detail)
        if seen.agrees(expected):
            return Check(name, "PASS", detail)
        return Check(name, "FAIL", f"{detail}; expected: {expected}")


def ask(
    ssm: SSMClient,
    write: Bracket,
    instance_ids: Sequence[str],
    *,
    neighbours: Sequence[str],
    bucket: str,
    region: str,
    change_id: str,
    applying: bool,
) -> Answers:
    """What the instances, and those of their neighbours that SSM reaches, see of the bucket.

    While planning they write nothing, and not being able to ask them is no failure yet.
    """
    probes = {**READS, **WRITES, **UNREACHED} if applying else {**READS, **UNREACHED}
    expected = dict.fromkeys(instance_ids, probes)
    text = script(
        bucket=bucket,
        region=region,
        change_id=change_id,
        other_region=next(one for one in OTHER_REGIONS if one != region),
        other_bucket=bucket,
        writes=applying,
    )
    try:
        observations = run(ssm, write, instance_ids, text, optional=neighbours)
    except RunbookError as error:
        if applying:
            raise
        return Answers([], expected, applying, error.answer)
    return Answers(observations, expected, applying)


def frame(observations: Iterable[Observation], expected: Expected) -> pd.DataFrame:
    """One row per instance and probe; a probe that is expected but said nothing is "not run"."""
    seen = {(one.instance_id, one.probe): one for one in observations}
    rows = []
    for instance_id in dict.fromkeys([*expected, *(instance_id for instance_id, _ in seen)]):
        for probe in PROBES:
            one, outcomes = seen.get((instance_id, probe)), expected.get(instance_id, {})
            if one or probe in outcomes:
                found = (one.outcome, one.detail) if one else ("not run", "")
                rows.append((instance_id, probe, outcomes.get(probe, ""), *found))
    return table(rows, PROBE_COLUMNS)
