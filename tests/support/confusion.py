"""Plants each symptom, alone and with each other one, and has the doctor name what comes first."""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import boto3
import yaml

import rehearsal
from private_s3 import aws, doctor
from private_s3.parameters import Parameters
from rehearsal import symptoms
from rehearsal.symptoms import SYMPTOMS, Symptom
from tests import PROJECT
from tests.support.healthy import ACCOUNTS

# In this order a request meets them: the hops of the path, what S3 decides, the key. Then comes
# what is about the change or about others, and last the way to ask the instance.
ORDER = (6, 1, 7, 2, 3, 14, 15, 5, 4, 17, 18, 19, 11, 12, 13, 20, 8, 9, 21, 24, 25, 16)
# Known by what a command prints, and by that alone; those asked for on the instance first.
ON_INSTANCE, BY_OPERATOR = (4, 15, 17, 19), (8, 9, 21)
BY_TEXT = (*ON_INSTANCE, *BY_OPERATOR)
# The states that can change what the operator's commands print; in others they are not run again.
# Without the route they would not fail, but make an endpoint and find nothing to delete.
TOUCHES: dict[int, tuple[int, ...]] = {8: (), 9: (), 21: (11, 12, 13, 24, 25)}
NUMBERED: dict[int, Symptom] = {symptom.number: symptom for symptom in SYMPTOMS.values()}
# What the second of two cannot show where the first is: why, and which pairs that are.
_NO_ANSWER = "no answer of S3 comes back that could hold a 403"
_NOT_READ = "the bucket policy denies that anything about the bucket is read"
_ELSEWHERE = "the bucket that is asked for is another one than that which is broken"
HIDDEN: dict[tuple[int, int], str] = {
    **{(path, text): _NO_ANSWER for path in (1, 2, 3, 6, 7) for text in (15, 19)},
    **{(12, other): _NOT_READ for other in (11, 13, 20, 24, 25)},
    (1, 8): "without a route there is nothing in the way of a second endpoint",
    (1, 9): "without a route there is none to be deleted by hand",
    (12, 21): "the bucket policy denies the put before Block Public Access is asked",
    **{(5, other): _ELSEWHERE for other in (11, 12, 13, 18, 20, 24, 25)},
    (5, 4): "the old name of S3 is the right one for a bucket in us-east-1",
}
# What comes up besides, and truly so: a policy of the endpoint for one bucket shuts out the other;
# and without an answer to HEAD, that the role may not list is seen in the role alone.
BESIDES: dict[tuple[int, int], tuple[int, ...]] = {
    (5, 15): (14,),
    **{(path, 19): (18,) for path in (1, 2, 3, 6, 7)},
}


@dataclass(frozen=True)
class Case:
    """What was planted, what can be seen of it, and what the doctor named."""

    planted: tuple[int, ...]
    text: str
    named: tuple[int | None, ...]
    fix: str  # of the first
    calls: Counter[str]
    seconds: float

    @property
    def visible(self) -> tuple[int, ...]:
        """What the account, or the text, can show; in the order in which it strikes."""
        hidden = {b for a in self.planted for b in self.planted if (a, b) in HIDDEN}
        besides = BESIDES.get(self.planted, ()) if len(self.planted) == 2 else ()
        return tuple(sorted({*self.planted, *besides} - hidden, key=ORDER.index))

    @property
    def hidden(self) -> tuple[int, ...]:
        """What of the planted nothing can show."""
        return tuple(one for one in self.planted if one not in self.visible)


class Steady:
    """The account, whose clients are made once: that takes longer than what they do here."""

    def __init__(self, account: rehearsal.Account) -> None:
        self._account = account
        self._clients: dict[tuple[str, str, str], Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._account, name)

    def client(self, service: str, who: str = "root", region: str = "") -> Any:
        """A client of one of the people."""
        asked = service, who, region
        if asked not in self._clients:
            self._clients[asked] = self._account.client(*asked)
        return self._clients[asked]


@cache
def _rehearsal_values() -> dict[str, Any]:
    text = (PROJECT / "params/rehearsal.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


@contextmanager
def _environment(account: Any) -> Iterator[None]:
    """Meanwhile this process is turned to the account, as its operator."""
    before = dict(os.environ)
    os.environ.pop("AWS_PROFILE", None)
    os.environ.update(account.environment())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Ward:
    """A rehearsal account with an open path, and a doctor who looks into it."""

    def __init__(self, account: rehearsal.Account) -> None:
        self.account: Any = Steady(account)
        keys = account.people["operator"]
        session = boto3.Session(
            keys["AWS_ACCESS_KEY_ID"],
            keys["AWS_SECRET_ACCESS_KEY"],
            keys["AWS_SESSION_TOKEN"],
            account.region,
        )
        caller = account.client("sts", "operator").get_caller_identity()
        self.bound = aws.Account(session, caller["Account"], caller["Arn"])
        # A client asks where its account is when it is made, and is kept.
        with _environment(account):
            for service in ("ec2", "iam", "kms", "s3", "ssm"):
                getattr(self.bound, service)

    def environment(self) -> AbstractContextManager[None]:
        """Meanwhile this process is turned to the account, as its operator."""
        return _environment(self.account)

    def parameters(self, **changes: Any) -> Parameters:
        """Those of the rehearsal account, some of them replaced."""
        return Parameters.of({**_rehearsal_values(), **changes})

    def diagnose(self, text: str = "", **changes: Any) -> doctor.Diagnosis:
        """What the doctor finds now."""
        return doctor.diagnose(self.bound, self.parameters(error_text=text, **changes))

    def case(self, planted: Sequence[int], text: str = "", **changes: Any) -> Case:
        """What the doctor finds now, where these are planted."""
        for number in planted:
            changes |= NUMBERED[number].parameters
        started, calls = time.monotonic(), self.bound.calls.copy()
        found = self.diagnose(text, **changes)
        seconds = time.monotonic() - started
        named = tuple(finding.symptom for finding in found.findings)
        fix = found.first.fix if found.first else ""
        return Case(tuple(planted), text, named, fix, self.bound.calls - calls, seconds)

    @contextmanager
    def planted(self, *numbers: int) -> Iterator[None]:
        """Meanwhile these are planted; the first of them first."""
        undo: list[Callable[[], None]] = []
        try:
            for number in numbers:
                undo.append(symptoms.plant(self.account, NUMBERED[number].name))
            yield
        finally:
            for one in reversed(undo):
                one()

    def texts(self, numbers: Sequence[int]) -> dict[int, str]:
        """What the commands of these print now; all are run side by side."""
        on_instance = [number for number in numbers if number in ON_INSTANCE]
        with ThreadPoolExecutor() as pool:
            from_instance = pool.submit(self._on_instance, on_instance)
            of_operator = {
                number: pool.submit(symptoms.see, self.account, NUMBERED[number].name)
                for number in numbers
                if number in BY_OPERATOR
            }
            found = {number: future.result() for number, future in of_operator.items()}
            return {**from_instance.result(), **found}

    def _on_instance(self, numbers: Sequence[int]) -> dict[int, str]:
        """One command of Systems Manager, in which each runs in the background."""
        if not numbers:
            return {}
        typed = {n: symptoms.command(self.account, NUMBERED[n].name) for n in numbers}
        runs = [f"sh -c {shlex.quote(text)} >/tmp/{n} 2>&1 &" for n, text in typed.items()]
        shown = [f"echo '#{n}'; cat /tmp/{n}" for n in numbers]
        output = self._run("\n".join([*runs, "wait", *shown]))
        parts = output.split("#")[1:]
        return {int(part.partition("\n")[0]): part.partition("\n")[2] for part in parts}

    def _run(self, script: str) -> str:
        ssm, instance = self.account.client("ssm"), self.account.ids["app-1"]
        sent = ssm.send_command(
            InstanceIds=[instance],
            DocumentName="AWS-RunShellScript",
            Parameters={"commands": [script], "executionTimeout": ["60"]},
        )["Command"]["CommandId"]
        for _ in range(600):
            time.sleep(0.1)
            try:
                found = ssm.get_command_invocation(CommandId=sent, InstanceId=instance)
            except ssm.exceptions.InvocationDoesNotExist:
                continue
            if found["Status"] not in ("Pending", "InProgress"):
                return str(found["StandardOutputContent"])
        raise TimeoutError(f"The commands did not end on {instance}.")


def measure(ward: Ward) -> list[Case]:
    """Healthy accounts, every symptom alone, and every pair; the account's path must be open."""
    return [*healthy(ward), *alone(ward), *pairs_by_state(ward), *pairs_with_text(ward)]


def healthy(ward: Ward) -> Iterator[Case]:
    """The accounts in which nothing is wrong."""
    for account in ACCOUNTS.values():
        with account(ward) as changes:
            yield ward.case([], **changes)


def alone(ward: Ward) -> Iterator[Case]:
    """Each alone: those by text with theirs, the others without one and with theirs."""
    for number, symptom in NUMBERED.items():
        with ward.planted(number):
            if number not in BY_TEXT:
                yield ward.case([number])
            yield ward.case([number], symptoms.see(ward.account, symptom.name))


def pairs_by_state(ward: Ward) -> Iterator[Case]:
    """Each two that the state of the account shows, without a text."""
    states = [one for one in ORDER if one not in BY_TEXT]
    for place, first in enumerate(states):
        with ward.planted(first):
            for second in states[place + 1 :]:
                with ward.planted(second):
                    yield ward.case((first, second))


def pairs_with_text(ward: Ward) -> Iterator[Case]:
    """Each by text with each other one, with what its command prints where that one is planted.

    The commands of one state are run at once, with all plants that they need: none of these has
    a part in what the commands of the others print.
    """
    with ward.planted(9, 15, 19):
        unbroken = ward.texts(BY_TEXT)
    for state in [one for one in ORDER if one not in BY_TEXT]:
        asked = [*ON_INSTANCE, *(one for one in BY_OPERATOR if state in TOUCHES[one])]
        texts = unbroken | ({8: "", 9: ""} if state == 1 else {})
        with ward.planted(state):
            if state != 16:  # Systems Manager would not run them; they print the same before
                with ward.planted(9, 15, 19):
                    texts |= ward.texts(asked)
            for one in BY_TEXT:
                with ward.planted(one):
                    yield ward.case((state, one), texts[one])
    for pair in combinations(sorted(BY_TEXT, key=ORDER.index), 2):
        with ward.planted(*pair):
            yield ward.case(pair, "\n".join(unbroken[one] for one in pair))
