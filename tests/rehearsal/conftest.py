"""One account for all tests of a module, and what is often asked of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

import rehearsal
from rehearsal import Account


@pytest.fixture(scope="module")
def running() -> Iterator[Account]:
    """An account that the tests of a module share; each tidies up, or uses things of its own."""
    with rehearsal.start() as account:
        yield account
        assert account.errors() == []


def code_of(call: Any, **request: Any) -> str:
    """The error code that a call is refused with; empty if it is not."""
    try:
        call(**request)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def run(account: Account, script: str, name: str = "app-1", timeout: int = 60) -> dict[str, Any]:
    """The invocation of a script that has run on an instance by Systems Manager."""
    ssm, instance_id = account.client("ssm"), account.ids[name]
    command = ssm.send_command(
        InstanceIds=[instance_id],
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": [script], "executionTimeout": [str(timeout)]},
    )["Command"]["CommandId"]
    for _ in range(600):
        time.sleep(0.1)
        try:
            found = ssm.get_command_invocation(CommandId=command, InstanceId=instance_id)
        except ssm.exceptions.InvocationDoesNotExist:
            continue
        if found["Status"] not in ("Pending", "InProgress"):
            return dict(found)
    raise AssertionError(f"the script did not end: {script}")
