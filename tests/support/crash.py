"""Kills a change, and its undoing, wherever a run can be killed, and tells what became of it.

`python -m tests.support.crash [--every] [PATTERN]` prints JSON about the cases that the pattern is
found in. A process that is killed leaves an account and a change folder, and no more: points that
leave both alike are one case, unless `--every` is given.
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
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from botocore.client import BaseClient

import rehearsal
from private_s3 import bucket, endpoint, journal, undo
from private_s3.journal import Journal
from private_s3.snapshot import Snapshot
from tests.support import notebook_runs as driving
from tests.support.notebook_runs import (
    CHECK,
    ENDPOINT,
    FIND,
    POLICY,
    ROUTES,
    UNDO,
    Eye,
    Operator,
    unlike,
)

WORKERS = 3
READS = ("Assume", "Check", "Describe", "Get", "Head", "List", "Validate")
# How often SSM is asked for the answer of an instance is a matter of chance.
POLL, POLLS = "GetCommandInvocation", 1
PLANNING, APPLYING = "plan", "apply"
# Steps that leave nothing but facts, so that a run to a point beyond them may go without.
ONLY_READ = {f"{PLANNING} {FIND}", f"{PLANNING} {ROUTES}", f"{PLANNING} {POLICY}"}
ONLY_READ |= {f"{APPLYING} {FIND}", f"{APPLYING} {ROUTES}"}


@dataclass
class Points:
    """The points that a run passes, and the one at which it is killed, if it is.

    Each has a name, and leaves something: the account, by the number of writes that it has had,
    and the files of the change folder, without what only tells what was found.
    """

    folder: Path
    kill_at: str = ""
    step: str = ""
    writes: int = 0
    passed: list[tuple[str, str]] = field(default_factory=list)
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
            self.passed.append((name, name if damage else self._left()))

    def _left(self) -> str:
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


# Steps of a change and of its undoing, by pass.
Passes = dict[str, tuple[str, ...]]
CHANGE: Passes = {
    PLANNING: (FIND, ENDPOINT, ROUTES, POLICY),
    APPLYING: (FIND, ENDPOINT, ROUTES, POLICY, CHECK),
}
BACK: Passes = {PLANNING: (UNDO,), APPLYING: (UNDO,)}


def passed(operator: Operator, passes: Passes) -> list[list[str]]:
    """The points that a run of all steps passes."""
    gave = driving.forked(partial(_walk, operator, passes, Points(operator.change_folder), set()))
    operator.printed = gave["printed"]
    return list(gave["passed"])


def run(operator: Operator, passes: Passes, kill_at: str = "", *, checking: bool = True) -> None:
    """Runs passes to their end, or to the point at which they are killed.

    Steps that only read are left out, and the check from the instance may be.
    """
    without = ONLY_READ - {kill_at.partition(":")[0]}
    if not checking:
        without |= {f"{APPLYING} {CHECK}"}
    points = Points(operator.change_folder, kill_at or "never")
    killed = driving.forked(partial(_walk, operator, passes, points, without)) is None
    if kill_at and not killed:
        raise driving.Raised(f"{kill_at} was never reached.")


def rest(passes: Passes, killed_at: str) -> Passes:
    """What is to be run after a kill: the planning only if nothing can have been approved yet."""
    if not killed_at or killed_at.startswith(PLANNING):
        return passes
    return {APPLYING: passes[APPLYING]}


def _walk(operator: Operator, passes: Passes, points: Points, without: set[str]) -> Any:
    """Runs steps with the digest of the plan that was shown last."""
    # What this account has done, it shows at once.
    undo.LATE, endpoint.TIME_LIMIT, bucket.TIME_LIMIT = timedelta(0), 20, 20
    with points.watching():
        for name, steps in passes.items():
            for step in steps:
                points.step = f"{name} {step}"
                if points.step not in without:
                    operator.run(step, operator.shown().digest if name == APPLYING else "")
            if steps == (UNDO,) and not operator.shown().changes:
                break
    return {"passed": points.passed, "printed": operator.printed}


@dataclass
class Trials:
    """One account, in which one case is tried after the other."""

    account: rehearsal.Account
    folder: Path
    eye: Eye
    before: Snapshot
    applied: Snapshot
    printed: dict[str, str]
    points: dict[str, list[list[str]]]

    @classmethod
    def of(cls, account: rehearsal.Account, folder: Path) -> Trials:
        """Does change and undoing once without a kill, and finds what there is to be killed."""
        eye = Eye(account)
        before = eye.snapshot()
        operator = Operator(folder / "whole", probing=True)
        points = {"change": passed(operator, CHANGE)}
        applied = eye.snapshot()
        points["undo"] = passed(operator, BACK)
        found = unlike(before, eye.snapshot())
        assert not found, found
        return cls(account, folder, eye, before, applied, operator.printed, points)

    def try_again(self, operator: Operator, case: Case) -> Iterator[str]:
        """Kills a change, runs it again, kills its undoing, and runs that again."""
        if case.killed_at:
            run(operator, CHANGE, case.killed_at)
            yield from self._after_a_kill(operator)
        run(operator, rest(CHANGE, case.killed_at), checking=case.checking)
        yield from self.eye.lies(operator)
        yield from unlike(self.applied, self.eye.snapshot())
        yield from _not_said("was applied, and found in place", operator)
        if not operator.left():
            yield "nothing is kept for a later audit"
        if case.then:
            run(operator, BACK, case.then)
            yield from self._after_a_kill(operator)
        run(operator, rest(BACK, case.then))
        yield from _not_said("The change was undone", operator)

    def try_undo(self, operator: Operator, killed_at: str) -> Iterator[str]:
        """Kills a change and takes it back."""
        run(operator, CHANGE, killed_at)
        yield from self._after_a_kill(operator)
        run(operator, BACK)
        undone = "The change was undone" if operator.shown().changes else "Nothing to undo"
        yield from _not_said(undone, operator)

    def _after_a_kill(self, operator: Operator) -> list[str]:
        return [*self.eye.lies(operator), *self.eye.dangling()]

    def trouble(self, case: Case) -> list[str]:
        """What is not as it should be in a case; the account is then as it was before."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        operator = Operator(folder, printed=self.printed, probing=case.probing)
        try:
            found = [*(case.trial(self, operator))]
            found += unlike(self.before, self.eye.snapshot())
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        if found:
            self.eye.reset(self.before["bucket"]["text of the policy"])
        shutil.rmtree(folder)
        return found


@dataclass(frozen=True)
class Case:
    """Where to kill a change, whether it is then run `again` or undone, where to kill the undo."""

    killed_at: str
    again: bool
    then: str = ""
    probing: bool = False
    checking: bool = True

    def trial(self, trials: Trials, operator: Operator) -> Iterator[str]:
        if self.again:
            return trials.try_again(operator, self)
        return trials.try_undo(operator, self.killed_at)


def _not_said(expected: str, operator: Operator) -> list[str]:
    sentences = operator.status().sentences
    if any(expected in sentence for sentence in sentences):
        return []
    return [f"status does not say: {expected}, but: {' '.join(sentences)}"]


def cases(points: dict[str, list[list[str]]], every: bool) -> list[Case]:
    """Each point of the change in both ways; those of its undoing are spread over them."""
    change, back = (_different(points[name], every) for name in ("change", "undo"))
    pairs = enumerate(itertools.zip_longest(change, back, fillvalue=""))
    in_work = f"{APPLYING} {CHECK}: after SendCommand #1"
    return [
        *(Case(in_work, again, probing=True) for again in (True, False)),
        *(Case(point, True, then, checking=_checks(n, point)) for n, (point, then) in pairs),
        *(Case(point, False) for point in change),
    ]


def _checks(number: int, killed_at: str) -> bool:
    """Whether the check from the instance is in a case: where it was killed, and in some more."""
    return CHECK in killed_at or number % 5 == 0


def _different(points: list[list[str]], every: bool) -> list[str]:
    """The first of those points that leave the same; of files that nobody reads, one a step."""
    seen: set[str] = set()
    result = []
    for name, leaves in points:
        again = re.search(r"draft of (\d\d_|journal)", name) and not name.endswith("#1")
        if every or not (leaves in seen or again):
            result.append(name)
        seen.add(leaves)
    return result


def work(account: rehearsal.Account, number: int, every: bool, only: str) -> list[Any]:
    """Tries a worker's share of the cases."""
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials.of(account, Path(folder))
        tried = []
        chosen = [case for case in cases(trials.points, every) if re.search(only, str(case))]
        for case in chosen[number::WORKERS]:
            begun = time.monotonic()
            tried.append({**asdict(case), "trouble": trials.trouble(case)})
            print(f"{time.monotonic() - begun:5.1f} s", tried[-1], file=sys.stderr, flush=True)
        return [{"points": trials.points, "tried": tried, "errors": account.errors()}]


def main(every: bool, only: str) -> None:
    started = time.monotonic()
    driving.prepare()
    gave = driving.in_parallel(WORKERS, partial(work, every=every, only=only))
    points, *others = ({k: [p[0] for p in of] for k, of in one["points"].items()} for one in gave)
    assert all(other == points for other in others), "the workers have not passed the same points"
    tried = [case for one in gave for case in one["tried"]]
    errors = [error for one in gave for error in one["errors"]]
    seconds = round(time.monotonic() - started)
    print(json.dumps({"points": points, "tried": tried, "errors": errors, "seconds": seconds}))


if __name__ == "__main__":
    patterns = [argument for argument in sys.argv[1:] if argument != "--every"]
    main("--every" in sys.argv, *patterns or [""])
