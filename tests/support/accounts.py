"""The rehearsal accounts of one test process: each is started once, and put back when it is taken.

A start takes seconds, to put one back a fraction of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import boto3

import rehearsal
from private_s3 import aws


class Accounts:
    """Accounts that nobody uses now; one more is started when there is none."""

    def __init__(self) -> None:
        self._idle: list[rehearsal.Account] = []

    @contextmanager
    def fresh(self) -> Iterator[rehearsal.Account]:
        """An account as it is at its start."""
        account = self._take() or rehearsal.start()
        try:
            yield account
        finally:
            self._idle.append(account)

    def _take(self) -> rehearsal.Account | None:
        while self._idle:
            account = self._idle.pop()
            try:
                account.reset()
            except rehearsal.StartError:  # a test has killed it
                account.close()
            else:
                return account
        return None

    def close(self) -> None:
        """Ends all of them."""
        for account in self._idle:
            account.close()


def as_operator(account: rehearsal.Account) -> aws.Account:
    """The account as its operator sees it."""
    keys = account.people["operator"]
    session = boto3.Session(
        keys["AWS_ACCESS_KEY_ID"],
        keys["AWS_SECRET_ACCESS_KEY"],
        keys["AWS_SESSION_TOKEN"],
        account.region,
    )
    caller = account.client("sts", "operator").get_caller_identity()
    return aws.Account(session, caller["Account"], caller["Arn"])
