"""Asks EC2 whether it would do something, without having it done."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from private_s3 import aws
from private_s3.errors import AwsRefused

PERMITTED, REFUSED = "DryRunOperation", "UnauthorizedOperation"


def ask(account: aws.Account, operation: str, request: Mapping[str, Any]) -> AwsRefused:
    """What EC2 answers to a request that it is not to carry out: DryRunOperation if it would.

    It is no write, and has no place in the journal. Yet botocore does not repeat it, as it does not
    repeat writes, but `aws.again` does where that may help. `account.calls` has it as
    "OPERATION (dry run)".
    """
    client, before = account.ec2_once, account.calls[operation]
    method = getattr(client, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())

    def once() -> None:
        with aws.attempt(f"have {operation} tried", f"grant ec2:{operation} to the caller"):
            method(**request, DryRun=True)

    try:
        aws.again(once)
    except AwsRefused as answer:
        return answer
    finally:
        account.calls[f"{operation} (dry run)"] += account.calls[operation] - before
        account.calls[operation] = before
        account.calls += Counter()  # drops what is zero
    return AwsRefused(
        f"Could not have {operation} tried.",
        "AWS has not answered that this was a dry run.",
        "look whether it was carried out, and report it",
    )
