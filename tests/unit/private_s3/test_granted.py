"""Run Command is not tried where the operator's own policies are sure to refuse it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from iam_verdict import Principal
from private_s3.callers import Caller
from private_s3.errors import AwsRefused
from private_s3.identities import unread
from private_s3.ways_in.granted import IfGranted
from private_s3.ways_in.way import Heard
from tests.support.readings import ACCOUNT, REGION

DOCUMENT = f"arn:aws:ssm:{REGION}::document/AWS-RunShellScript"
OWN = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance"
TAG = {"StringEquals": {"ssm:resourceTag/team": "blue"}}


@dataclass
class Way:
    """A way that only notes who was asked."""

    asked: list[Any] = field(default_factory=list)

    def ask(self, *of: Any) -> Heard:
        self.asked.append(of)
        return Heard([], {})


@dataclass
class Account:
    id: str = ACCOUNT
    region: str = REGION


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(*resources: str, effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "ssm:SendCommand", "Resource": [*resources], **more}


def ask(*policies: str, boundary: str | None = None) -> list[Any]:
    """Who was asked in the end, by an operator with these policies."""
    role = f"arn:aws:iam::{ACCOUNT}:role/operator"
    principal = Principal("role-session", role, account=ACCOUNT)
    named = {str(number): text for number, text in enumerate(policies)}
    operator, way = Caller("you", principal, {}, named, boundary), Way()
    asks: Any = IfGranted
    asks(way, Account(), operator).ask("script", ["list"], ["i-1", "i-2"], ["i-3"])
    return way.asked


@pytest.mark.parametrize(
    "policies",
    [
        [policy(allow("*"))],
        [policy(allow(DOCUMENT, f"{OWN}/i-1", f"{OWN}/i-2"))],
        # The tags of the instances are not known here, nor is what could not be read.
        [policy(allow(DOCUMENT), allow(f"{OWN}/*", Condition=TAG))],
        [policy(allow("*"), allow(f"{OWN}/*", effect="Deny", Condition=TAG))],
        [unread("the policies of you")],
        [policy(allow(), {"Effect": "Perhaps"})],
    ],
)
def test_who_may_be_allowed_asks(policies: list[str]) -> None:
    assert ask(*policies) == [("script", ["list"], ["i-1", "i-2"], ["i-3"])]


@pytest.mark.parametrize(
    ("policies", "boundary", "arn", "why"),
    [
        ([], None, DOCUMENT, "because no identity-based policy allows"),
        ([policy(allow(f"{OWN}/*"))], None, DOCUMENT, "because no identity-based policy allows"),
        ([policy(allow(DOCUMENT, f"{OWN}/i-1"))], None, f"{OWN}/i-2", "no identity-based policy"),
        (
            [policy(allow("*"), allow(DOCUMENT, effect="Deny"))],
            None,
            DOCUMENT,
            "with an explicit deny in an identity-based policy",
        ),
        ([policy(allow("*"))], policy(allow(DOCUMENT)), f"{OWN}/i-1", "no permissions boundary"),
    ],
)
def test_who_is_sure_to_be_refused_sends_nothing(
    policies: list[str], boundary: str | None, arn: str, why: str
) -> None:
    with pytest.raises(AwsRefused) as raised:
        ask(*policies, boundary=boundary)
    assert f"AWS would refuse ssm:SendCommand on {arn}" in raised.value.answer
    assert why in raised.value.answer
    assert raised.value.remedy == f"grant ssm:SendCommand on {arn} to the caller"
