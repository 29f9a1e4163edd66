"""Change folders made by hand, for the tests of what is read from them alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from private_s3 import approval
from private_s3.effect import Effect
from private_s3.folder import change_folder
from private_s3.journal import Fate, Journal
from private_s3.parameters import Parameters
from private_s3.plan import NEW_ENDPOINT, Change, Plan
from tests.support import readings as worlds

POLICY = ("bucket/data", "policy")
ROUTE = ("route-table/rtb-a", "S3 route")
SERVICE, DOCUMENT = (("vpc-endpoint/private-s3", field) for field in ("service", "policy"))
MADE = (SERVICE, DOCUMENT, ROUTE)


def policy(*sids: str) -> str:
    """A bucket policy of somebody else's statements."""
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": s, **deny} for s in sids]})


P0, P1, P2 = policy("Theirs"), policy("Theirs", "One"), policy("Theirs", "One", "Two")
SERVED = "com.amazonaws.ap-northeast-1.s3 in vpc-1"
OPEN = '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}'


def plan(*changes: Change, undo: bool = False) -> Plan:
    made = tuple(sorted(changes, key=lambda change: (change.resource, change.field)))
    return Plan("rehearsal", worlds.ACCOUNT, worlds.REGION, made, undo)


CREATES = (
    Change(*SERVICE, None, SERVED),
    Change(*DOCUMENT, None, OPEN),
    Change(*ROUTE, None, NEW_ENDPOINT),
)
# The whole of a change; a second one that narrows the policy; and the undoing of each and of both.
FIRST = plan(*CREATES, Change(*POLICY, P0, P1))
SECOND = plan(Change(*POLICY, P1, P2))


def back(*plans: Plan) -> Plan:
    """The plan that takes plans back."""
    before: dict[tuple[str, str], str | None] = {}
    after: dict[tuple[str, str], str | None] = {}
    for one in plans:
        for change in one.changes:
            key = change.resource, change.field
            before.setdefault(key, change.before)
            after[key] = change.after
    return plan(*(Change(*key, after[key], before[key]) for key in before), undo=True)


@dataclass(frozen=True)
class History:
    """A change folder, and what is to have happened in it."""

    parameters: Parameters

    @classmethod
    def within(cls, folder: Path, **values: Any) -> History:
        return cls(worlds.parameters(changes_dir=str(folder), **values))

    @property
    def folder(self) -> Path:
        return change_folder(self.parameters)

    @property
    def journal(self) -> Journal:
        return Journal(self.folder)

    @property
    def effect(self) -> Effect:
        return Effect(self.folder, self.journal.writes())

    def shown(self, made: Plan) -> None:
        approval.keep(self.folder, made, {"snapshot": {}, "subnets": []})
        self.journal.append(
            "planned", step="20_x", plan=made.digest, caller="-", count=len(made.changes)
        )

    def wrote(
        self, made: Plan, *keys: tuple[str, str], fate: Fate | None = "done", **values: Any
    ) -> None:
        """One write for some fields of a plan, or for all; without a fate, a crash came first."""
        approval.keep(self.folder, made, {"snapshot": {}, "subnets": []})
        changes = sorted(keys or ((c.resource, c.field) for c in made.changes))
        operation = "PutBucketPolicy" if POLICY in changes else "CreateVpcEndpoint"
        intent = self.journal.append(
            "intent",
            step="40_x",
            plan=made.digest,
            operation=operation,
            request={},
            changes=changes,
        )
        about = {"intent": intent, "operation": operation}
        if fate == "done":
            self.journal.append("outcome", **about, request_id="r-1", values=values)
        elif fate:
            event = {"not done": "refused", "unknown": "unanswered"}[fate]
            self.journal.append(event, **about, answer="AWS answered No", request_id="r-1")

    def complete(self, made: Plan) -> None:
        approval.keep(self.folder, made, {"snapshot": {}, "subnets": []})
        self.journal.append("complete", step="40_x", plan=made.digest, caller="-", left="0" * 12)
