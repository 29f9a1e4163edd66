"""Kills a change, and its undo, at any point of a run, and reports what became of it.

A process that is killed leaves an account and a change folder, and nothing else.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from botocore.client import BaseClient

import rehearsal
from private_s3 import aws, journal
from private_s3.journal import Journal
from tests import PROJECT
from tests.support.helper import Helper, serve
from tests.support.notebook_runs import (
    APPLYING,
    BACK,
    CHANGE,
    CHECK,
    NEEDED,
    PLANNING,
    Operator,
    Raised,
    forked,
    unlike,
)
from tests.support.stages import APPLIED, PRINTED, Stages, nameless

READS = ("Assume", "Check", "Describe", "Get", "Head", "List", "Validate")
# How often SSM is asked for the answer of an instance is a matter of chance.
POLL, POLLS = "GetCommandInvocation", 1
POINTS = PROJECT / "tests/exhaustive/crash_points.txt"
WRITE = ".venv/bin/python -m tests.support.crash --write"


@dataclass
class Points:
    """The points that a run passes, and the one at which it is killed, if it is.

    Each has a name, and a mark of what a kill there leaves: the account, by the number of writes
    that it has had, and the files of the change folder but for the facts. "+" is something that no
    point before has left, "~" a damaged file, " " the same as at the last "+".
    """

    folder: Path
    kill_at: str = ""
    step: str = ""
    writes: int = 0
    passed: list[str] = field(default_factory=list)
    _left: str = ""
    _count: Counter[str] = field(default_factory=Counter)

    @property
    def listing(self) -> bool:
        return not self.kill_at

    def at(self, what: str, damage: Callable[[], None] | None = None) -> None:
        """Passes a point; `damage` is what makes of a file what a kill just there would leave."""
        self._count[self.step, what] += 1
        number = self._count[self.step, what]
        if POLL in what and number > POLLS:
            return
        name = f"{self.step}: {what} #{number}"
        if name == self.kill_at:
            if damage:
                damage()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.listing:
            left, self._left = self._left, self._left if damage else self._now()
            self.passed.append(f"{'~' if damage else ' ' if left == self._left else '+'} {name}")

    def _now(self) -> str:
        digest = hashlib.sha256(str(self.writes).encode())
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.suffix != ".lock" and "facts" not in path.parts:
                digest.update(f"{path} {path.stat().st_size} ".encode() + path.read_bytes())
        return digest.hexdigest()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Passes the points before and after each call, each line and each file."""
        with ExitStack() as stack:
            for owner, name, watched in (
                (BaseClient, "_make_api_call", self._call),
                (Journal, "append", self._append),
                (journal, "_to_disk", self._to_disk),
                (Path, "replace", self._replace),
                (Path, "write_text", self._write_text),
            ):
                real = getattr(owner, name)
                method = self._method(watched, real)
                stack.enter_context(mock.patch.object(owner, name, method))
            yield

    @staticmethod
    def _method(watched: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments, **named: watched(real, *arguments, **named)

    def _call(self, real: Any, client: Any, operation: str, request: Any) -> Any:
        self.at(f"before {operation}")
        try:
            return real(client, operation, request)
        finally:
            self.writes += not operation.startswith(READS)
            self.at(f"after {operation}")

    def _append(self, real: Any, of: Journal, event: str, **details: Any) -> Any:
        line = f"line {event} {details.get('operation', '')}".strip()
        self.at(f"before {line}")
        number = real(of, event, **details)
        self.at(f"after {line}")
        return number

    def _to_disk(self, real: Any, file: Any) -> None:
        name = _name(Path(file.name))

        def tear() -> None:
            file.flush()
            whole = Path(file.name).read_bytes()
            last = whole.splitlines()[-1]
            os.truncate(file.name, len(whole) - len(last) // 2)

        self.at(f"within {name}", tear)
        real(file)
        self.at(f"after {name}")

    def _replace(self, real: Any, draft: Path, target: Path) -> Any:
        self.at(f"before replacing {_name(target)}")
        real(draft, target)
        self.at(f"after replacing {_name(target)}")

    def _write_text(self, real: Any, path: Path, text: str, **how: Any) -> Any:
        self.at(f"within {_name(path)}", partial(real, path, text[: len(text) // 2], **how))
        return real(path, text, **how)


def _name(path: Path) -> str:
    """A file's name without what differs from run to run."""
    draft = "draft of " if path.name.startswith(".") else ""
    if path.parent.name in ("plans", "left"):
        return f"{draft}{path.parent.name}"
    return draft + re.sub(r"^\.(.*)\.\d+$", r"\1", path.name)


@dataclass(frozen=True)
class Case:
    """Where to kill a change, whether it is then run again, and where to kill its undo.

    `probing`: the instances run the real probes. `checking`: the second run includes the check.
    """

    killed_at: str
    again: bool
    then: str = ""
    probing: bool = False
    checking: bool = False

    def __str__(self) -> str:
        again = ", run again" if self.again else ""
        undo = f", undo killed at {self.then}, run again" if self.then else ", undo"
        return f"{self.killed_at}{again}{undo}{', real probes' if self.probing else ''}"


def read_points() -> dict[str, str]:
    """By name of each point of the committed list: the first point that leaves the same."""
    first, points = "", {}
    for line in POINTS.read_text("utf-8").splitlines():
        mark, name = line[:2], line[2:]
        if mark != "# ":
            first = name if mark == "+ " else first
            points[name] = name if mark == "~ " else first
    return points


def cases(points: Sequence[str]) -> list[Case]:
    """Each point of the change in both ways; those of its undo follow upon the first way by turns.

    From last to first they meet points of the change that are unlike them: a sample needs fewer.
    """
    change = [point for point in points if not point.startswith(BACK)]
    back = [point for point in points if point.startswith(BACK)]
    pairs = enumerate(zip(change, itertools.cycle(reversed(back)), strict=False))
    at_work = f"{APPLYING} {CHECK}: after SendCommand #1"
    return [
        *(Case(at_work, again, probing=True, checking=True) for again in (True, False)),
        *(Case(p, True, then, checking=CHECK in p or n % 5 == 0) for n, (p, then) in pairs),
        *(Case(point, False) for point in change),
    ]


def walk(operator: Operator) -> list[str]:
    """The points that a run of all steps of a change passes, then those of its undo, with marks."""
    passed = []
    for steps in (CHANGE, BACK):
        gave = forked(partial(_run, operator, steps, Points(operator.change_folder)))
        operator.printed = gave["printed"]
        passed += gave["passed"]
    return passed


def run(operator: Operator, steps: Sequence[str], kill_at: str = "") -> None:
    """Runs steps to their end, or to the point at which they are killed."""
    points = Points(operator.change_folder, kill_at or "never")
    if forked(partial(_run, operator, steps, points)) and kill_at:
        raise Raised(f"{kill_at} was never reached.")


def _run(operator: Operator, steps: Sequence[str], points: Points) -> Any:
    if operator.probing:
        aws.time = time  # real probes take their time
    with points.watching():
        for step in steps:
            points.step = step
            if step == BACK[1] and not operator.shown().changes:
                break
            operator.do(step)
    return {"passed": points.passed, "printed": operator.printed}


def rest(steps: Sequence[str], killed_at: str, *also: str) -> list[str]:
    """The steps to run after a kill, without those that only read.

    The planning is among them only if nothing can have been approved yet.
    """
    needed = [step for step in steps if step in (*NEEDED, BACK[1], *also)]
    planned = killed_at.startswith(APPLYING)
    return [step for step in needed if not (planned and step.startswith(PLANNING))]


class Trials:
    """One account, in which one case is tried after the other."""

    def __init__(self, account: rehearsal.Account, folder: Path) -> None:
        self._account, self._stages = account, Stages(account, folder)
        self._eye = self._stages.eye

    def answer(self, case: dict[str, Any] | None = None) -> Any:
        """What is not as it should be in a case; without a case, what a whole run passes."""
        answer = self._trouble(Case(**case)) if case else self._whole_run()
        if not case or case["probing"]:
            self._account.reset()  # probes may still be running
        return answer

    def _whole_run(self) -> dict[str, Any]:
        operator = self._stages.at(CHANGE[0])
        operator.probing = True
        points = walk(operator)
        found = unlike(self._stages.snapshot(CHANGE[0]), self._eye.snapshot())
        assert not found, found
        return {"points": points, "printed": nameless(operator.printed, self._account)}

    def _trouble(self, case: Case) -> list[str]:
        step = case.killed_at.partition(":")[0]
        operator = self._stages.at(step)
        operator.probing = case.probing
        try:
            run(operator, [step], case.killed_at)
            found = self._after_a_kill(operator)
            if case.again:
                found += self._run_again(operator, case)
            found += self._undo(operator, case)
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        shutil.rmtree(operator.folder.parent)
        return [*found, *self._account.errors()]

    def _after_a_kill(self, operator: Operator) -> list[str]:
        return [*self._eye.lies(operator), *self._eye.dangling()]

    def _run_again(self, operator: Operator, case: Case) -> Iterator[str]:
        check = f"{APPLYING} {CHECK}" if case.checking else ""
        run(operator, rest(CHANGE, case.killed_at, check))
        yield from self._eye.lies(operator)
        yield from unlike(self._stages.snapshot(APPLIED), self._eye.snapshot())
        yield from _not_said("was applied, and found in place", operator)
        yield from _unknown(operator)
        if not operator.left():
            yield "nothing is kept for a later audit"

    def _undo(self, operator: Operator, case: Case) -> Iterator[str]:
        if case.then:
            run(operator, BACK, case.then)
            yield from self._after_a_kill(operator)
        run(operator, rest(BACK, case.then))
        undone = case.again or operator.shown().changes
        yield from _not_said("The change was undone" if undone else "Nothing to undo", operator)
        yield from _unknown(operator)
        yield from unlike(self._stages.snapshot(CHANGE[0]), self._eye.snapshot())


def _not_said(expected: str, operator: Operator) -> list[str]:
    sentences = operator.status().sentences
    if any(expected in sentence for sentence in sentences):
        return []
    return [f"status does not say: {expected}, but: {' '.join(sentences)}"]


def _unknown(operator: Operator) -> list[str]:
    writes = Journal(operator.change_folder).writes()
    unknown = [write.operation for write in writes if write.changes and write.fate == "unknown"]
    return [f"the journal does not say what became of {operation}" for operation in unknown]


def write(points: list[str], printed: dict[str, str]) -> None:
    """Writes what is committed of a whole run."""
    about = (
        "# The points at which a change, then its undo, can be killed, in the order of a run.\n"
        "# + leaves what no point above leaves, ~ a damaged file, no sign the same as the last +.\n"
        f"# Written by {WRITE}\n"
    )
    POINTS.write_text(about + "".join(f"{point}\n" for point in points), "utf-8")
    PRINTED.write_text(json.dumps(printed, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv:
        with Helper("tests.support.crash") as helper:
            write(**helper.ask())
    else:
        serve(lambda account, folder: Trials(account, folder).answer)
