"""Lets each call of a change and of its undoing fail in each way, and tells what became of it.

`python -m tests.support.pressure [PATTERN]` prints JSON about the cases that it is found in.
Whatever waits is not waited for.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from botocore.retries.standard import ExponentialBackoff

import rehearsal
from private_s3 import aws, endpoint, undo
from private_s3.errors import RunbookError
from private_s3.snapshot import Snapshot
from tests.support import notebook_runs as driving
from tests.support.notebook_runs import CHECK, ENDPOINT, POLICY, UNDO, Eye, Operator, unlike

WORKERS = 3
KINDS = ("throttled", "broken", "lost", "unheard")
# As each service says it; any other as these two.
THROTTLED = {
    "ec2": ("RequestLimitExceeded", 503),
    "s3": ("SlowDown", 503),
    "iam": ("Throttling", 400),
    "sts": ("Throttling", 400),
}
# The steps of a change and of its undoing, each in its pass.
STEPS = (
    f"plan {ENDPOINT}",
    f"apply {ENDPOINT}",
    f"apply {POLICY}",
    f"apply {CHECK}",
    f"plan {UNDO}",
    f"apply {UNDO}",
)
APPLIED = STEPS.index(f"plan {UNDO}")  # what is to be done then, undoes
# How often it is asked for is a matter of chance: calls behind it have no number.
POLL = "GetCommandInvocation"
# A session of this role asks S3 what it would be answered.
BREAK_GLASS = "arn:aws:sts::123456789012:assumed-role/break-glass/rehearsal"
# Not being able to ask the instances is no failure while nothing is applied.
ASKING = ("DescribeInstanceInformation", "SendCommand", POLL)
# Where this cannot be tried, the policies are judged, as the name of the check says.
JUDGED = "you may delete the endpoint again, by the policies that could be read"
# Of cases that have left nothing at all, one in so many is run again.
SAMPLE = 15


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

    def plant(self, account: rehearsal.Account) -> None:
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


@dataclass
class Trials:
    """One account and what is prepared in it for the next case."""

    account: rehearsal.Account
    folder: Path
    eye: Eye
    before: Snapshot
    applied: Snapshot = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    calls: dict[str, list[Called]] = field(default_factory=dict)
    prepared: Operator | None = None
    prepared_for: str = ""
    ready: Snapshot = field(default_factory=dict)
    stopped: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, account: rehearsal.Account, folder: Path) -> Trials:
        """Does change and undoing once, and finds the calls by which."""
        eye = Eye(account)
        trials = cls(account, folder, eye, eye.snapshot())
        operator = Operator(folder / "whole", {"settle_seconds": 0}, probing=True)
        for step in STEPS:
            so_far = len(account.calls())
            operator.printed = _do(operator, step)
            made = account.calls()[so_far:]
            trials.calls[step] = [*_numbered(step, made, "operator")]
            trials.calls[step] += _numbered(step, made, BREAK_GLASS)
            if step == STEPS[APPLIED - 1]:
                trials.applied = eye.snapshot()
        trials.printed = operator.printed
        found = unlike(trials.before, eye.snapshot())
        assert not found, found
        return trials

    def trouble(self, case: Case, number: int) -> list[str]:
        """What is not as it should be in a case; what it has left is then cleared away."""
        found = []
        try:
            found += self._try(case, number % SAMPLE == 0)
        except driving.Raised as error:
            found.append(str(error))
        if found:
            self.account.unplant()
            self.eye.reset(self.before["bucket"]["text of the policy"])
            self.prepared_for = ""
        return found

    def _try(self, case: Case, sample: bool) -> Iterator[str]:
        prepared = self._prepare(case.called.step)
        operator = Operator(
            Path(tempfile.mkdtemp(dir=self.folder)), prepared.values, dict(prepared.printed)
        )
        shutil.copytree(prepared.folder, operator.folder, dirs_exist_ok=True)
        case.plant(self.account)
        error = _stopped(operator, case.called.step)
        self.account.unplant()
        self.stopped[error.partition(":")[0] or "finished"] += 1
        yield from _wrong(case, error)
        if not error and case.befalls != "it" and case.called.operation not in ASKING:
            yield from _swallowed(operator, case)
        yield from [*self.eye.lies(operator), *self.eye.dangling()]
        left = unlike(self.ready, self.eye.snapshot())
        if left or _journal(operator) != _journal(prepared) or sample:
            self.prepared_for = ""
            yield from self._again(operator, case.called.step, left)
        shutil.rmtree(operator.folder)

    def _again(self, operator: Operator, step: str, left: list[str]) -> Iterator[str]:
        """Runs the step again, without a fault, and what follows it: change, then undoing."""
        first = STEPS.index(step)
        for one in STEPS[first:APPLIED]:
            if one != f"apply {CHECK}" or step == one:
                _do(operator, one)
        if first < APPLIED:
            yield from unlike(self.applied, self.eye.snapshot())
            yield from self.eye.lies(operator)
            yield from _unsaid(operator, "was applied, and found in place")
        for one in STEPS[max(first, APPLIED) :]:
            _do(operator, one)
        yield from unlike(self.before, self.eye.snapshot())
        yield from _unsaid(operator, "The change was undone")

    def _prepare(self, step: str) -> Operator:
        """The account and a folder as they are when it is this step's turn."""
        if self.prepared and self.prepared_for == step:
            return self.prepared
        self.clear()
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        operator = Operator(folder, {"settle_seconds": 0}, dict(self.printed))
        for one in STEPS[: STEPS.index(step)]:
            if one != f"apply {CHECK}":
                _do(operator, one)
        self.prepared, self.prepared_for = operator, step
        self.ready = self.eye.snapshot()
        return operator

    def clear(self) -> None:
        """Undoes what was prepared."""
        if self.prepared and self.prepared_for:
            self.eye.reset(self.before["bucket"]["text of the policy"])
        self.prepared_for = ""

    def each_read_fails_once(self, kind: str) -> list[str]:
        """What is not as it should be if each call that reads must be repeated."""
        operator = Operator(
            Path(tempfile.mkdtemp(dir=self.folder)), {"settle_seconds": 0}, dict(self.printed)
        )
        failed = []
        for step in STEPS:
            for called in self.calls[step]:
                if not called.write:
                    # The repetition of a call that has failed is a call, too.
                    twice = Called(**{**asdict(called), "earlier": 2 * called.earlier})
                    Case(twice, kind, "it").plant(self.account)
            if error := _stopped(operator, step):
                failed.append(f"{step}: {error}")
            self.account.unplant()
        return [*failed, *unlike(self.before, self.eye.snapshot())]


def _numbered(step: str, made: list[Any], who: str) -> Iterator[Called]:
    count: Counter[str] = Counter()
    for number, call in enumerate(call for call in made if call["who"] == who):
        operation = call["operation"]
        yield Called(step, who, number, call["service"], operation, count[operation], call["write"])
        count[operation] += 1


def _do(operator: Operator, step: str) -> dict[str, str]:
    """Runs a step, in a process that ends, and gives what the instances have printed."""
    if error := _stopped(operator, step):
        raise driving.Raised(f"{step}, without any fault: {error}")
    return operator.printed


def _stopped(operator: Operator, step: str) -> str:
    """The error of ours that a step ends with, by its name, if it does."""

    def work() -> Any:
        name, notebook = step.split()
        with nullcontext() if operator.probing else _without_waiting():
            try:
                operator.run(notebook, operator.shown().digest if name == "apply" else "")
            except RunbookError as error:
                return {"error": f"{type(error).__name__}: {error}", "printed": operator.printed}
        return {"error": "", "printed": operator.printed}

    gave = driving.forked(work)
    operator.printed = gave["printed"]
    return str(gave["error"])


@contextmanager
def _without_waiting() -> Iterator[None]:
    """Nobody waits for long: neither botocore, nor the library for what AWS shows late."""
    clock = SimpleNamespace(sleep=lambda _: time.sleep(0.01), monotonic=time.monotonic)
    with ExitStack() as stack:
        for owner, name, value in (
            (ExponentialBackoff, "delay_amount", lambda *_: 0),
            (aws, "time", clock),
            (endpoint, "TIME_LIMIT", 5),
            (undo, "LATE", timedelta(0)),
        ):
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


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


def _journal(operator: Operator) -> bytes:
    path = operator.change_folder / "journal.jsonl"
    return path.read_bytes() if path.exists() else b""


def cases(calls: dict[str, list[Called]]) -> list[Case]:
    """Each write in each way, once and for good; each read for good, in each way by turns."""
    return [case for step in STEPS for case in _of_step(calls[step])]


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


def work(account: rehearsal.Account, number: int, only: str) -> list[Any]:
    """Tries a worker's share of the cases."""
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials.of(account, Path(folder))
        tried = []
        chosen = [case for case in cases(trials.calls) if re.search(only, str(case))]
        for turn, case in enumerate(chosen[number::WORKERS]):
            begun = time.monotonic()
            tried.append({**asdict(case), "trouble": trials.trouble(case, turn)})
            print(f"{time.monotonic() - begun:5.1f} s", tried[-1], file=sys.stderr, flush=True)
        trials.clear()
        repeated = {kind: trials.each_read_fails_once(kind) for kind in KINDS[number::WORKERS]}
        return [
            {
                "calls": {step: [c.operation for c in of] for step, of in trials.calls.items()},
                "tried": tried,
                "repeated": repeated,
                "stopped": trials.stopped,
                "errors": account.errors(),
            }
        ]


def main(only: str) -> None:
    started = time.monotonic()
    driving.prepare()
    gave = driving.in_parallel(WORKERS, partial(work, only=only))
    stopped: Counter[str] = Counter()
    for one in gave:
        stopped.update(one["stopped"])
    found = {
        "calls": gave[0]["calls"],
        "tried": [case for one in gave for case in one["tried"]],
        "repeated": {kind: told for one in gave for kind, told in one["repeated"].items()},
        "stopped": stopped,
        "errors": [error for one in gave for error in one["errors"]],
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:] or [""])
