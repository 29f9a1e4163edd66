"""The rehearsal accounts of one test process: each is started once, and put back when it is taken.

A start takes seconds, to put one back a fraction of that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

import rehearsal
from private_s3 import aws


class Accounts:
    """Accounts that nobody uses now; one more is started when there is none."""

    def __init__(self) -> None:
        self._idle: dict[Path | None, list[rehearsal.Account]] = defaultdict(list)

    @contextmanager
    def fresh(self, scenario: Path | None = None) -> Iterator[rehearsal.Account]:
        """An account as it is at its start, of another scenario if one is given."""
        account = self._take(scenario) or rehearsal.start(scenario=scenario)
        try:
            yield account
        finally:
            self._idle[scenario].append(account)

    def _take(self, scenario: Path | None) -> rehearsal.Account | None:
        while self._idle[scenario]:
            account = self._idle[scenario].pop()
            try:
                account.reset()
            except rehearsal.StartError:  # a test has killed it
                account.close()
            else:
                return account
        return None

    def close(self) -> None:
        """Ends all of them."""
        for idle in self._idle.values():
            for account in idle:
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
