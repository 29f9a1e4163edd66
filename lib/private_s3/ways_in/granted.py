"""Run Command for those alone whom nothing known forbids it: to plan takes no right to use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from iam_verdict import PolicyError
from private_s3 import aws
from private_s3.callers import Caller, instance_arn
from private_s3.errors import AwsRefused
from private_s3.preflight.own_policies import Asked, verdict
from private_s3.ways_in.ssm import RunCommand
from private_s3.ways_in.way import Heard

SEND_COMMAND = "ssm:SendCommand"


@dataclass(frozen=True)
class IfGranted:
    """The way of Systems Manager, unless the operator's own policies are sure to refuse it.

    A write that is tried only to be refused alarms whoever watches the account.
    """

    way: RunCommand
    account: aws.Account
    operator: Caller

    def ask(
        self,
        script: str,
        probes: Sequence[str],
        instance_ids: Sequence[str],
        optional: Sequence[str],
    ) -> Heard:
        """What each probe saw; raises AwsRefused, and sends nothing, if it is sure to be refused.

        IAM action: ssm:SendCommand.
        """
        document = f"arn:aws:ssm:{self.account.region}::document/AWS-RunShellScript"
        for arn in (document, *(instance_arn(self.account, one) for one in instance_ids)):
            if why := self._refusal(arn):
                raise AwsRefused(
                    "Could not ask the instances; nothing was sent to them.",
                    f"AWS would refuse {SEND_COMMAND} on {arn} {why}",
                    f"grant {SEND_COMMAND} on {arn} to the caller",
                )
        return self.way.ask(script, probes, instance_ids, optional)

    def _refusal(self, arn: str) -> str:
        """Why it is sure to be refused, in AWS's words; empty if it may be allowed."""
        asked = Asked(SEND_COMMAND, arn)
        try:
            found = verdict(self.operator, asked, self.account.id, self.account.region)
        except PolicyError:
            return ""
        return "" if found.decision in ("allowed", "depends") else found.reason()
