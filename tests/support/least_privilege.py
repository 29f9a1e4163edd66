"""Takes one action after the other out of the operator's policies, and reads what then says so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import rehearsal
from private_s3.errors import RunbookError
from private_s3.folder import facts_path
from tests import PROJECT
from tests.support import notebook_runs as driving
from tests.support.notebook_runs import CHECK, ENDPOINT, FIND, POLICY, ROUTES, UNDO, Operator

NAMES = ("read", "change", "check")
DIAGNOSE, AUDIT = "70_diagnose", "80_audit_drift"
ACTION = re.compile(r"\b[a-z0-9-]+:[A-Z][A-Za-z0-9]+\b")
MISSING = re.compile(
    r"(?:not authorized to perform: |would refuse |\bgrant )((?:[a-z0-9-]+:\w+(?:,? and |, )?)+)"
)
BUCKET = "rehearsal-private-data"
# Done by the operator's own OpenSSH, of which nobody here knows.
BY_OPENSSH = "CheckBySsh"
PLAN = (FIND, ENDPOINT, ROUTES, POLICY, CHECK)


@dataclass(frozen=True)
class Told:
    """The first that named an action which was not granted, and every action that it named."""

    where: str
    named: list[str]
    text: str


@dataclass
class Run:
    """What the operator called in a whole change, and what was refused."""

    actions: dict[str, dict[str, list[str]]] = field(default_factory=dict)  # by step and pass
    refused: set[str] = field(default_factory=set)  # operations
    denied: list[str] = field(default_factory=list)  # what the operator's own probes were answered


def policy(name: str) -> Any:
    """One of the shipped policies, as it stands in its file."""
    return json.loads((PROJECT / f"params/iam/{name}.json").read_text("utf-8"))


def actions(name: str) -> list[str]:
    """The actions of a shipped policy that this project itself asks for."""
    statements = [s for s in policy(name)["Statement"] if not s["Sid"].startswith(BY_OPENSSH)]
    return sorted({action for one in statements for action in _as_list(one["Action"])})


@contextmanager
def bench(account: rehearsal.Account, folder: Path) -> Iterator[Bench]:
    """Meanwhile this process is turned to the account, and its clients are used again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        patch.delenv("AWS_PROFILE", raising=False)
        for name, value in account.environment().items():
            patch.setenv(name, value)
        for module in (driving.figures, driving.access_figure):
            patch.setattr(module, "show", lambda *_, **__: None)
        session = driving.aws.boto3.Session
        patch.setattr(session, "client", session.client)  # put back at the end
        driving.turn_to(account)
        yield Bench(account, folder)


class Bench:
    """One account, in which the operator loses one action at a time."""

    def __init__(self, account: rehearsal.Account, folder: Path) -> None:
        self.account, self._folder = account, folder
        self._iam, self._ec2 = account.client("iam"), account.client("ec2")
        self._s3 = account.client("s3")
        self._number = 0
        self._changed: Operator | None = None  # who has made the change that is there now

    def whole_run(self) -> Run:
        """A whole change with all that comes after it."""
        operator, seen = self._fresh(), Run()

        def run(step: str, digest: str = "") -> None:
            before = len(self.account.calls())
            operator.run(step, digest)
            calls = [c for c in self.account.calls()[before:] if c["who"] == "operator"]
            # To be refused a dry run stops nothing.
            own = [call for call in calls if call["error"] != "DryRunOperation"]
            every = sorted({action for call in own for action in call["actions"]})
            seen.actions.setdefault(step, {})["apply" if digest else "plan"] = every
            seen.refused |= {call["operation"] for call in calls if _refused(call)}

        for step in PLAN:
            run(step)
        digest = operator.shown().digest
        for step in PLAN:
            run(step, digest)
        compared = _facts(operator, CHECK, digest)["compared"]
        answers = [one["observed"]["answer"] for one in compared if "(operator)" in one["who"]]
        seen.denied = [answer for answer in answers if "AccessDenied" in answer]
        for step in (DIAGNOSE, AUDIT):
            run(step)
        run(UNDO)
        run(UNDO, operator.shown().digest)
        return seen

    def plan_as(self, who: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The calls of somebody who plans a change, and the checks of the last step."""
        operator = self._fresh()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.account.environment(who).items():
                patch.setenv(name, value)
            for step in PLAN:
                operator.run(step)
        calls = [call for call in self.account.calls() if call["who"] == who]
        return calls, _facts(operator, CHECK, "")["checks"]

    def told(self, action: str) -> Told | None:
        """What says that the action is missing; None if a whole change needs none of it."""
        operator = self._fresh()
        prepare = {
            "ec2:GetManagedPrefixListEntries": self._route_to_a_list_of_its_own,
            "ec2:ModifyVpcEndpoint": self._another_endpoint,
            "kms:DescribeKey": self._key_of_its_own,
            "kms:GetKeyPolicy": self._key_of_its_own,
            "kms:ListGrants": self._key_of_its_own,
            "s3:DeleteBucketPolicy": self._no_policy,
        }
        if action in prepare:
            prepare[action]()
        run = self._changing if action in actions("change") else self._planning
        return next(run(operator, action), None)

    def told_later(self, step: str, action: str) -> Told | None:
        """What a step after the change says of an action that is missing."""
        operator = self._changed or self._with_change()
        with self._without(action):
            return next(_heard(operator, step, "", action), None)

    def _planning(self, operator: Operator, action: str) -> Iterator[Told]:
        with self._without(action):
            for step in (CHECK,) if action in actions("check") else PLAN:
                yield from _heard(operator, step, "", action)

    def _changing(self, operator: Operator, action: str) -> Iterator[Told]:
        operator.run(ENDPOINT)
        digest = operator.shown().digest
        with self._without(action):
            for step in (ENDPOINT, POLICY):
                yield from _heard(operator, step, digest, action)
            yield from _heard(operator, UNDO, "", action)
            yield from _heard(operator, UNDO, operator.shown().digest, action)

    def _with_change(self) -> Operator:
        """The account with a change that was applied, and who has done it."""
        operator = self._fresh()
        operator.run(ENDPOINT)
        for step in (ENDPOINT, POLICY):
            operator.run(step, operator.shown().digest)
        self._changed = operator
        return operator

    def _fresh(self) -> Operator:
        """Puts the account back to its start; for a new operator the probes print what is right."""
        self.account.reset()
        self._number, self._changed = self._number + 1, None
        printed = {
            f"{CHECK} plan": self._lines(reached=False),
            f"{CHECK} apply": self._lines("write", "read", "delete", reached=True),
            f"{UNDO} plan": self._lines(reached=True),
            f"{UNDO} apply": self._lines(reached=False),
        }
        return Operator(self._folder / str(self._number), {"settle_seconds": 0}, printed)

    def _lines(self, *more: str, reached: bool) -> str:
        """What the probes print on the instance, with a way to the bucket or without."""
        timeout = 255, "Connect timeout on endpoint URL"
        ends = {
            "identity": (0, ""),
            "list": (0, "") if reached else timeout,
            **dict.fromkeys(more, (0, "")),
            "internet": (28, "curl: (28) Connection timed out"),
            "other-region": timeout,
        }
        who = f"{self.account.ids['app-1']} app-instance"
        return "\n".join(
            json.dumps({"probe": name, "exit": code, "seconds": 1, "stdout": who, "stderr": said})
            for name, (code, said) in ends.items()
        )

    # -- where an action is needed that most changes can do without ---------------------------

    def _another_endpoint(self) -> None:
        """Somebody else's, on the main route table: the plan is to extend it."""
        self._ec2.create_vpc_endpoint(
            VpcId=self.account.ids["rehearsal"],
            ServiceName=f"com.amazonaws.{self.account.region}.s3",
            RouteTableIds=[self.account.ids["main"]],
        )

    def _no_policy(self) -> None:
        self._s3.delete_bucket_policy(Bucket=BUCKET)

    def _key_of_its_own(self) -> None:
        """The bucket has a key whose policy leaves it to the account who may use it."""
        root = {"AWS": f"arn:aws:iam::{self.account.account_id}:root"}
        everything = {"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}
        text = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        key = self.account.client("kms").create_key(Policy=text)["KeyMetadata"]["Arn"]
        by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": by_key}]}
        self._s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=rules)

    def _route_to_a_list_of_its_own(self) -> None:
        """A route of the instances goes to addresses that only a list of the account names."""
        ids, ec2 = self.account.ids, self._ec2
        gateway = ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
        ec2.attach_vpn_gateway(VpnGatewayId=gateway, VpcId=ids["rehearsal"])
        own = ec2.create_managed_prefix_list(
            PrefixListName="own",
            MaxEntries=1,
            AddressFamily="IPv4",
            Entries=[{"Cidr": "192.0.2.0/24"}],
        )["PrefixList"]["PrefixListId"]
        ec2.create_route(
            RouteTableId=ids["private-a"], DestinationPrefixListId=own, GatewayId=gateway
        )

    # -- a policy that lacks an action --------------------------------------------------------

    @contextmanager
    def _without(self, action: str) -> Iterator[None]:
        """The operator's policies, without one action wherever it stands."""
        held = {name: self._held(name) for name in NAMES}
        try:
            for name, document in held.items():
                self._put(name, _less(document, action))
            yield
        finally:
            for name, document in held.items():
                self._put(name, document)

    def _held(self, name: str) -> Any:
        return self._iam.get_role_policy(RoleName="operator", PolicyName=name)["PolicyDocument"]

    def _put(self, name: str, document: Any) -> None:
        text = json.dumps(document)
        self._iam.put_role_policy(RoleName="operator", PolicyName=name, PolicyDocument=text)


def _heard(operator: Operator, step: str, digest: str, action: str) -> Iterator[Told]:
    """What a step says of an action, be it by its error or by a check that is uncertain."""
    where = f"{step} {'apply' if digest else 'plan'}"
    try:
        operator.run(step, digest)
    except RunbookError as error:
        text = f"{error.answer}\n{error.remedy}"
        # Whatever it says: nothing comes after it.
        yield Told(f"error of {where}", _named(text), str(error))
        return
    for check in _facts(operator, step, digest).get("checks", []):
        text = f"{check['detail']}\n{check['remedy']}"
        if check["state"] == "UNCERTAIN" and action in _named(text):
            yield Told(f"check of {where}: {check['name']}", _named(text), text)


def _facts(operator: Operator, step: str, digest: str) -> dict[str, Any]:
    text = facts_path(operator.parameters(digest), step).read_text("utf-8")
    return dict(json.loads(text))


def _named(text: str) -> list[str]:
    """The actions that a text says to be missing."""
    return sorted({action for phrase in MISSING.findall(text) for action in ACTION.findall(phrase)})


def _less(document: Any, action: str) -> Any:
    """A policy without an action; a statement that has no other is left out."""
    kept = []
    for one in document["Statement"]:
        left = [name for name in _as_list(one["Action"]) if name != action]
        kept += [{**one, "Action": left}] if left else []
    nothing = {"Effect": "Deny", "Action": "none:Nothing", "Resource": "*"}
    return {**document, "Statement": kept or [nothing]}


def _refused(call: dict[str, Any]) -> bool:
    return call["error"] in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
