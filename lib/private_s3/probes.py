"""The probes that run on an instance: their script, and what is made of what they print."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.resources import files

from private_s3.errors import BadInput, CheckFailed

PROBES = ("identity", "list", "write", "read", "delete", "internet", "other-region")
READS = {"identity": "succeeded", "list": "succeeded"}
WRITES = {"write": "succeeded", "read": "succeeded", "delete": "succeeded"}
UNREACHED = {"internet": "unreachable", "other-region": "unreachable"}
OTHER_REGIONS = ("us-east-1", "us-west-2")
CHECK_PREFIX = ".private-s3-check"
INTERNET = "https://example.com"
# What shows that there is no way; any other answer came from somebody who was reached.
UNREACHABLE = frozenset({"timeout", "no connection", "name not resolved"})

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


def observations(instance_id: str, output: str) -> list[Observation]:
    """One observation per line that the probes printed, in the order of PROBES."""
    try:
        records = [json.loads(line) for line in output.splitlines()]
        seen = [observation(instance_id, **record) for record in records]
        return in_order(seen)
    except (ValueError, TypeError) as error:
        raise CheckFailed(
            f"Could not read what the checks on {instance_id} printed.",
            repr(output[-300:]),
            "run this again; if it stays, look at the command in Systems Manager's history",
        ) from error


def observation(
    instance_id: str, *, probe: str, exit: int, seconds: int, stdout: str, stderr: str
) -> Observation:
    """What a line of the probes says; "another instance" if that is where it was printed."""
    outcome, detail = classify(exit, stdout, stderr)
    if (probe, outcome) == ("identity", "succeeded") and detail.split()[:1] != [instance_id]:
        outcome = "another instance"
    return Observation(instance_id, probe, outcome, detail, seconds, f"{stdout} {stderr}".strip())


def in_order(seen: Iterable[Observation]) -> list[Observation]:
    """The observations of an instance in the order of PROBES; ValueError for any other probe."""
    return sorted(seen, key=lambda one: PROBES.index(one.probe))
