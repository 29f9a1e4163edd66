"""Lets each call of a change and of its undo fail in each way, and reports what became of it.

Nothing that could be waited for is waited for.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import rehearsal
from private_s3.errors import RunbookError
from tests import PROJECT
from tests.support.helper import Helper, serve
from tests.support.notebook_runs import (
    APPLYING,
    BACK,
    CHANGE,
    CHECK,
    NEEDED,
    Operator,
    Raised,
    forked,
    unlike,
)
from tests.support.stages import APPLIED, Stages

KINDS = ("throttled", "broken", "lost", "unheard")
# As each service says it; any other as these two.
THROTTLED = {
    "ec2": ("RequestLimitExceeded", 503),
    "s3": ("SlowDown", 503),
    "iam": ("Throttling", 400),
    "sts": ("Throttling", 400),
}
CHECKING = f"{APPLYING} {CHECK}"
# The steps of a change and of its undo the calls of which fail, each in its pass.
STEPS = (*NEEDED[:3], CHECKING, *BACK)
BEFALLS = {"it": "once", "all": "and each call after it", "operation": "and each of its kind"}
# How often it is asked for is a matter of chance: calls behind it have no number.
POLL = "GetCommandInvocation"
# A session of this role asks S3 what it would be answered.
BREAK_GLASS = "arn:aws:sts::123456789012:assumed-role/break-glass/rehearsal"
# Not being able to ask the instances is no failure while nothing is applied.
ASKING = ("DescribeInstanceInformation", "SendCommand", POLL)
# Where this cannot be tried, the policies are judged, as the name of the check says.
JUDGED = "you may delete the endpoint again, by the policies that could be read"
CALLS = PROJECT / "tests/exhaustive/pressure_calls.txt"
WRITES = " (write)"  # behind a call that is one
WRITE = ".venv/bin/python -m tests.support.pressure --write"


@dataclass(frozen=True)
class Called:
    """One call of a step by somebody: its number, and how many of its operation were before it."""

    step: str
    who: str
    number: int
    service: str
    operation: str
    earlier: int
    write: bool


@dataclass(frozen=True)
class Case:
    """What befalls a call: once, or from then on all calls, or all of its operation."""

    called: Called
    kind: str
    befalls: str  # "it", "all", "operation"

    def __str__(self) -> str:
        called, by = self.called, "" if self.called.who == "operator" else " by break-glass"
        name = f"{called.operation} #{called.earlier + 1}{by}"
        return f"{called.step}: {name} {self.kind} {BEFALLS[self.befalls]}"

    def plant(self, account: rehearsal.Account) -> None:
        """Plants the fault."""
        code, status = THROTTLED.get(self.called.service, ("ThrottlingException", 400))
        fault: dict[str, Any] = {
            "throttled": {"code": code, "status": status},
            "broken": {"code": "InternalError", "status": 500},
            "lost": {"do": "drop"},
            "unheard": {"do": "drop answer"},
        }[self.kind]
        every = self.befalls == "all"
        account.plant(
            "*" if every else self.called.operation,
            who=self.called.who,
            skip=self.called.number if every else self.called.earlier,
            times=int(self.befalls == "it"),
            **fault,
        )


def listed() -> list[str]:
    """The lines of the committed list, each a call: step, who, service, and operation."""
    lines = CALLS.read_text("utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def read_calls(lines: Iterable[str]) -> list[Called]:
    """The calls of such lines, numbered by step and caller."""
    calls = []
    made: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        step, _, call = line.partition(": ")
        who, service, operation = call.split(" ", 2)
        write, operation = operation.endswith(WRITES), operation.removesuffix(WRITES)
        number, earlier = made[step, who], made[step, who, operation]
        calls.append(Called(step, who, number, service, operation, earlier, write))
        made.update([(step, who), (step, who, operation)])
    return calls


def cases(calls: list[Called]) -> list[Case]:
    """Each write in each way, once and for good; each read for good, in each way by turns."""
    of_steps = ([called for called in calls if called.step == step] for step in STEPS)
    return [case for of_step in of_steps for case in _of_step(of_step)]


def _of_step(calls: list[Called]) -> Iterator[Case]:
    written = False
    operations = [called.operation for called in calls]
    for called in calls[: operations.index(POLL) if POLL in operations else None]:
        written = written or called.write
        ways = KINDS if called.write else _by_turns(called.number, 1 if written else 2)
        yield from (Case(called, kind, "all") for kind in ways)
    for called in calls:
        # Whoever has not heard whether a command was taken does not send it once more.
        if called.write and called.operation != "SendCommand":
            yield from (Case(called, kind, "it") for kind in KINDS)
        if not called.earlier:
            yield from (Case(called, kind, "operation") for kind in _by_turns(called.number, 1))


def _by_turns(number: int, count: int) -> list[str]:
    return [KINDS[(number + other) % len(KINDS)] for other in range(count)]


class Trials:
    """One account, in which one case is tried after the other."""

    def __init__(self, account: rehearsal.Account, folder: Path) -> None:
        self._account = account
        self._stages = Stages(account, folder, settle_seconds=0)
        self._eye = self._stages.eye
        self._calls = read_calls(listed()) if CALLS.exists() else []
        self._cases = {str(case): case for case in cases(self._calls)}
        self._seen: set[str] = set()  # states that were left, and from which all was run again

    def answer(self, case: str = "", kind: str = "", every: bool = False) -> list[str]:
        """What is not as it should be in a case, or if each read fails once in a way.

        What a case leaves is run again once for each state that is left, with `every` each time.
        Without case and kind: the calls of a change and of its undo, as lines.
        """
        if not case and not kind:
            return [*self._whole_run()]
        operator = self._stages.at(self._cases[case].called.step if case else STEPS[0])
        try:
            if case:
                found = [*self._try(operator, self._cases[case], every)]
            else:
                found = [*self._reads(operator, kind)]
        except Raised as error:
            found = [str(error)]
        self._account.unplant()
        shutil.rmtree(operator.folder.parent)
        return [*found, *self._account.errors()]

    def _whole_run(self) -> Iterator[str]:
        operator = self._stages.at(STEPS[0])
        for step in STEPS:
            so_far = len(self._account.calls())
            _do(operator, step)
            made = self._account.calls()[so_far:]
            for who in ("operator", BREAK_GLASS):
                polled = False
                for call in made:
                    if call["who"] == who and not (polled and call["operation"] == POLL):
                        write = WRITES if call["write"] else ""
                        yield f"{step}: {who} {call['service']} {call['operation']}{write}"
                        polled = polled or call["operation"] == POLL
        yield from unlike(self._stages.snapshot(STEPS[0]), self._eye.snapshot())

    def _try(self, operator: Operator, case: Case, every: bool) -> Iterator[str]:
        step = case.called.step
        case.plant(self._account)
        error = _stopped(operator, step)
        self._account.unplant()
        yield from _wrong(case, error)
        if not error and case.befalls != "it" and case.called.operation not in ASKING:
            yield from _swallowed(operator, case)
        yield from [*self._eye.lies(operator), *self._eye.dangling()]
        left = unlike(self._stages.snapshot(step), self._eye.snapshot())
        state = json.dumps([step, left, _told(operator)])
        if every or state not in self._seen:
            self._seen.add(state)
            yield from self._again(operator, step)

    def _again(self, operator: Operator, step: str) -> Iterator[str]:
        """Runs the step again, without a fault, and what follows it: change, then undo."""
        first, undo = STEPS.index(step), STEPS.index(APPLIED)
        if first < undo:
            _do(operator, *(s for s in STEPS[first:undo] if s in (*NEEDED, step)))
            yield from unlike(self._stages.snapshot(APPLIED), self._eye.snapshot())
            yield from self._eye.lies(operator)
            yield from _unsaid(operator, "was applied, and found in place")
        _do(operator, *STEPS[max(first, undo) :])
        yield from unlike(self._stages.snapshot(CHANGE[0]), self._eye.snapshot())
        yield from _unsaid(operator, "The change was undone")

    def _reads(self, operator: Operator, kind: str) -> Iterator[str]:
        """Each call that reads must be repeated."""
        for step in STEPS:
            for called in self._calls:
                if called.step == step and not called.write:
                    # The repetition of a call that has failed is a call, too.
                    twice = replace(called, earlier=2 * called.earlier)
                    Case(twice, kind, "it").plant(self._account)
            if error := _stopped(operator, step):
                yield f"{step}: {error}"
            self._account.unplant()
        yield from unlike(self._stages.snapshot(CHANGE[0]), self._eye.snapshot())


def _do(operator: Operator, *steps: str) -> None:
    """Runs steps in a process that ends."""
    if error := _stopped(operator, *steps):
        raise Raised(f"{', '.join(steps)}, without any fault: {error}")


def _stopped(operator: Operator, *steps: str) -> str:
    """The error of ours that steps end with, by its name, if they do."""
    return str(forked(partial(_error, operator, steps)))


def _error(operator: Operator, steps: tuple[str, ...]) -> str:
    try:
        for step in steps:
            operator.do(step)
    except RunbookError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _wrong(case: Case, error: str) -> Iterator[str]:
    """What is wrong with how a step has ended; `error` is empty if it has done all."""
    if case.befalls == "it" and error:
        yield f"it has not got over it: {error}"
    if error and not error.startswith("AwsRefused: "):
        yield f"it has not stopped as it should: {error}"
    lines = error.splitlines()
    if error and (len(lines) != 3 or not lines[2].startswith("Next: ") or not all(lines)):
        yield f"it has not said it in three lines: {error}"


def _swallowed(operator: Operator, case: Case) -> Iterator[str]:
    """What is wrong if a step goes on: only one that plans may, and says what it could not read."""
    name, notebook = case.called.step.split()
    path = operator.change_folder / "facts" / name / f"{notebook}.json"
    checks = json.loads(path.read_text())["checks"]
    if case.befalls == "all" and name == "apply":
        yield "it has not stopped"
    elif not any(one["state"] == "UNCERTAIN" or one["name"] == JUDGED for one in checks):
        yield f"it has neither stopped nor said what it could not read: {checks}"


def _unsaid(operator: Operator, expected: str) -> list[str]:
    said = " ".join(operator.status().sentences)
    return [] if expected in said else [f"status does not say: {expected}, but: {said}"]


def _told(operator: Operator) -> list[Any]:
    """What is in the change folder, without what differs from run to run, and without facts."""
    names = ("event", "operation", "plan", "changes", "found")
    folder = operator.change_folder
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.suffix != ".lock"]
    kept = sorted(str(path) for path in files if path.parts[0] != "facts")
    return [*kept, *([line.get(name) for name in names] for line in operator.lines())]


if __name__ == "__main__":
    if "--write" in sys.argv:
        with Helper("tests.support.pressure") as helper:
            lines = helper.ask()
        about = (
            f"# The calls of a change and of its undo, by step and caller.\n# Written by {WRITE}\n"
        )
        CALLS.write_text(about + "".join(f"{line}\n" for line in lines), "utf-8")
    else:
        serve(lambda account, folder: Trials(account, folder).answer)
