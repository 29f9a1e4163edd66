"""What tests of the rehearsal account often ask of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rehearsal import Account, StartError

# Why a test is skipped: what is missing here, and the package that brings it.
NO_SSHD = "no sshd here (Debian: openssh-server)"
NO_ORDINARY_USER = "no other user can run this Python (a project that root alone can read)"
NO_NAMESPACES = "no network namespaces here (root, or a kernel that lets users make them)"

# Without the mark of a change the operator may make no endpoint.
MARKED: Any = {
    "TagSpecifications": [
        {
            "ResourceType": "vpc-endpoint",
            "Tags": [{"Key": "private-s3:change", "Value": "a-test"}],
        }
    ]
}


def client_of(account: Account, service: str, who: str = "operator", attempts: int = 1) -> Any:
    """A client with botocore's standard retries, of as many attempts as said."""
    keys = account.people[who]
    return boto3.client(
        service,  # type: ignore[call-overload]
        region_name=account.region,
        endpoint_url=account.endpoint_url,
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=keys.get("AWS_SESSION_TOKEN"),
        config=Config(retries={"mode": "standard", "total_max_attempts": attempts}),
    )


def code_of(call: Any, **request: Any) -> str:
    """The error code that a call is refused with; empty if it is not."""
    try:
        call(**request)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def run(account: Account, script: str, name: str = "app-1", timeout: int = 60) -> dict[str, Any]:
    """The invocation of a script that has run on an instance by Systems Manager."""
    return ended(account, send(account, script, name, timeout))


def send(account: Account, script: str, name: str = "app-1", timeout: int = 60) -> dict[str, str]:
    """What names the invocation of a script that begins to run on an instance."""
    instance_id = account.ids[name]
    command = account.client("ssm").send_command(
        InstanceIds=[instance_id],
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": [script], "executionTimeout": [str(timeout)]},
    )["Command"]["CommandId"]
    return {"CommandId": command, "InstanceId": instance_id}


def ended(account: Account, invocation: dict[str, str]) -> dict[str, Any]:
    """The invocation once its script has ended; asks the account nothing but this."""
    ssm = account.client("ssm")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.02)
        try:
            found = ssm.get_command_invocation(**invocation)
        except ssm.exceptions.InvocationDoesNotExist:
            continue
        if found["Status"] not in ("Pending", "InProgress"):
            return dict(found)
    raise AssertionError(f"the script did not end: {invocation}")


def opened_by(account: Account) -> Path:
    """The configuration by which ssh reaches its instances; skips where there is none."""
    try:
        return Path(account.ssh_config)
    except StartError:
        pytest.skip(NO_NAMESPACES if account.mode == "portable" else NO_SSHD)
