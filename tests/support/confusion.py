"""Plants each symptom, alone and in pairs, and asks the doctor for the first blocker."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

import rehearsal
from private_s3 import doctor
from private_s3.parameters import Parameters
from rehearsal import symptoms
from rehearsal.symptoms import SYMPTOMS, Symptom
from tests import PROJECT
from tests.support.accounts import as_operator
from tests.support.healthy import ACCOUNTS

# In this order a request meets them: the hops of the path, what S3 decides, the key. Then comes
# what is about the change or about others, and last the way to ask the instance.
ORDER = (6, 1, 7, 2, 3, 14, 15, 5, 4, 17, 18, 19, 11, 12, 13, 20, 8, 9, 21, 24, 25, 16)
# Known by what a command prints, and by that alone.
BY_TEXT = (4, 15, 17, 19, 8, 9, 21)
NOT_MANAGED = 16  # no command runs on the instance while this is planted
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
# In these their command would not fail, but create an endpoint and find no route to delete.
_NOT_RUN = ((1, 8), (1, 9))
# What comes up also, and truly so: a policy of the endpoint for one bucket denies the other;
# and without an answer to HEAD, that the role may not list is seen in the role alone.
ALSO: dict[tuple[int, int], tuple[int, ...]] = {
    (15, 5): (14,),
    **{(path, 19): (18,) for path in (1, 2, 3, 6, 7)},
}


@dataclass(frozen=True)
class Case:
    """What is planted, in ORDER, or the name of a healthy account; and whether a text is shown."""

    planted: tuple[int, ...] = ()
    with_text: bool = False
    account: str = ""

    def __str__(self) -> str:
        if not self.planted:
            return self.account
        names = "+".join(NUMBERED[number].name for number in self.planted)
        return f"{names}/{'text' if self.with_text else 'state'}"

    @property
    def visible(self) -> tuple[int, ...]:
        """What the account, or the text, can show; in the order in which it strikes."""
        gone = {b for a in self.planted for b in self.planted if (a, b) in HIDDEN}
        also = ALSO.get(self.planted, ()) if len(self.planted) == 2 else ()
        return tuple(sorted({*self.planted, *also} - gone, key=ORDER.index))

    @property
    def hidden(self) -> tuple[int, ...]:
        """What of the planted nothing can show."""
        return tuple(number for number in self.planted if number not in self.visible)

    def classes(self) -> Iterator[tuple[str, object]]:
        """Each symptom as the first and as the second, and each reason for what is named."""
        yield from zip(("first", "second"), self.planted, strict=True)
        yield "with a text", sum(number in BY_TEXT for number in self.planted)
        for first, second in (self.planted, self.planted[::-1]):
            yield "hidden", HIDDEN.get((first, second))
            yield "also", ALSO.get((first, second))


HEALTHY = [Case(account=name) for name in ACCOUNTS]
ALONE = [
    Case((number,), with_text)
    for number in ORDER
    for with_text in (False, True)
    if with_text or number not in BY_TEXT
]
PAIRS = [Case(pair, any(n in BY_TEXT for n in pair)) for pair in combinations(ORDER, 2)]
CASES = [*HEALTHY, *ALONE, *PAIRS]


@dataclass(frozen=True)
class Outcome:
    """What the doctor named, with the fix of the first finding, and the calls that it made."""

    named: tuple[int | None, ...]
    text: str
    fix: str
    calls: Counter[str]


class Ward:
    """A rehearsal account with an open path, and a doctor who looks into it."""

    def __init__(self, account: rehearsal.Account, folder: Path) -> None:
        self.account = account
        self.folder = folder
        self._values = yaml.safe_load((PROJECT / "params/rehearsal.yaml").read_text("utf-8"))
        self.bound = as_operator(account)
        # A client asks where its account is when it is made, and is kept.
        with self.environment():
            for service in ("ec2", "iam", "kms", "s3", "ssm"):
                getattr(self.bound, service)
        symptoms.open_path(self.account)

    def reset(self) -> None:
        """Puts the account back to its start, with the path open."""
        assert self.account.errors() == []
        self.account.reset()
        symptoms.open_path(self.account)

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Meanwhile this process is turned to the account, as its operator."""
        before = dict(os.environ)
        os.environ.pop("AWS_PROFILE", None)
        os.environ.update(self.account.environment())
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def parameters(self, **changes: Any) -> Parameters:
        """Those of the rehearsal account, some of them replaced."""
        return Parameters.of({**self._values, **changes})

    def diagnose(self, text: str = "", **changes: Any) -> doctor.Diagnosis:
        """What the doctor finds now."""
        return doctor.diagnose(self.bound, self.parameters(error_text=text, **changes))

    @contextmanager
    def planted(self, *numbers: int) -> Iterator[None]:
        """Meanwhile these are planted; the first of them first."""
        undo: list[Callable[[], None]] = []
        try:
            for number in numbers:
                undo.append(symptoms.plant(self.account, NUMBERED[number].name))
            yield
        finally:
            for step in reversed(undo):
                step()

    def outcome(self, case: Case) -> Outcome:
        """Plants a case, and asks the doctor; after a healthy account, `reset` is needed."""
        changes = dict(ACCOUNTS[case.account](self)) if case.account else {}
        for number in case.planted:
            changes |= NUMBERED[number].parameters
        # States come first, and last the one in which no command would run on the instance.
        last = NOT_MANAGED in case.planted[1:]
        first = [number for number in case.planted if not (last and number == NOT_MANAGED)]
        with self.planted(*sorted(first, key=BY_TEXT.__contains__)):
            text = self._text(case) if case.with_text else ""
            with self.planted(NOT_MANAGED) if last else nullcontext():
                calls = self.bound.calls.copy()
                found = self.diagnose(text, **changes)
        named = tuple(finding.symptom for finding in found.findings)
        fix = found.first.fix if found.first else ""
        return Outcome(named, text, fix, self.bound.calls - calls)

    def _text(self, case: Case) -> str:
        """What the commands of the symptoms print now."""
        shown = [n for n in case.planted if n in BY_TEXT] or case.planted
        texts = [
            symptoms.see(self.account, NUMBERED[number].name)
            for number in shown
            if (case.planted[0], number) not in _NOT_RUN
        ]
        return "\n".join(texts)
