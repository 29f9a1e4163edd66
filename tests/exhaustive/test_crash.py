"""Killed anywhere, a change is finished by running it again, or taken back whole."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from private_s3.evidence.verify import verify
from private_s3.folder import change_folder
from private_s3.journal import Journal
from tests import PROJECT
from tests.support.accounts import Accounts
from tests.support.crash import POINTS as LIST
from tests.support.crash import WRITE, Case, cases, read_points
from tests.support.helper import Helper
from tests.support.notebook_runs import BACK, CHANGE, Eye
from tests.support.sampling import sampled
from tests.support.stages import PRINTED
from tests.support.world import World

PRIVATE_S3 = str(Path(sys.executable).with_name("private-s3"))
POINTS = read_points()
CASES = cases([*POINTS])
# Everything that the operator does to the account, or asks to be done there.
WRITES = {
    CHANGE: ("CreateVpcEndpoint", "PutBucketPolicy", "SendCommand", "PutObject", "DeleteObject"),
    BACK: ("PutBucketPolicy", "DeleteVpcEndpoints", "SendCommand"),
}
# By the first of the points that leave the same: all of them. Killed at any of them, a process
# leaves one state of the account and of the change folder, and a case stands for them all.
SAME: dict[str, list[str]] = {}
for name, first in POINTS.items():
    SAME.setdefault(first, []).append(name)


def classes(case: Case) -> Iterator[Hashable]:
    """What a case is an example of, so that the sample has an example of everything."""
    yield "real probes", case.probing
    for killed_at, way in ((case.killed_at, case.again), (case.then, "undo")):
        for point in SAME[POINTS[killed_at]] if killed_at else []:
            step, _, what = point.rpartition(" #")[0].partition(": ")
            kind = re.sub(r"\d\d_\w+\.json", "facts", what)
            is_file = kind != what or re.search("plans|left|journal", what)
            yield kind if is_file else (step.split()[0], "90" in step, kind)
            yield step, way
            if any(one in what for one in ("CreateVpcEndpoint", "PutBucketPolicy")):
                yield what, way


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every case with `--every`, and else one of each class."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", sampled(metafunc.config, "crash", CASES, classes), ids=str)


@pytest.fixture(scope="module")
def driver(accounts: Accounts) -> Iterator[Helper]:
    """The process that kills its children: see tests/support/crash.py."""
    with Helper("tests.support.crash") as helper:
        yield helper


def test_a_killed_change_is_finished_by_another_run_or_undone(driver: Helper, case: Case) -> None:
    """The same account in the end, and at each moment a status that says what is so."""
    assert driver.ask(case=asdict(case)) == []


def test_a_whole_run_passes_the_points_of_the_list_and_no_others(driver: Helper) -> None:
    whole_run = driver.ask()
    listed = [line for line in LIST.read_text("utf-8").splitlines() if not line.startswith("# ")]
    again = f"write the lists again: {WRITE}"
    assert whole_run["points"] == listed, again
    assert whole_run["printed"] == json.loads(PRINTED.read_text("utf-8")), again


@pytest.mark.parametrize("run", WRITES, ids=["change", "undo"])
def test_each_write_and_each_line_about_it_is_a_point(run: tuple[str, ...]) -> None:
    points = {point.partition(": ")[2] for point in POINTS if point.startswith(run)}
    for operation in WRITES[run]:
        for point in (
            f"before line intent {operation} #1",
            f"after line intent {operation} #1",
            f"before {operation} #1",
            f"after {operation} #1",
        ):
            assert point in points
    for event in ("planned", "complete"):
        assert {f"before line {event} #1", f"after line {event} #1"} <= points
    assert {"within journal.jsonl #1", "after journal.jsonl #1"} <= points
    assert {"within draft of left #1", "within draft of plans #1"} <= points


def test_each_call_of_a_whole_change_is_a_point_before_and_after() -> None:
    before = [point for point in POINTS if ": before " in point]
    assert {*POINTS} >= {point.replace(": before ", ": after ") for point in before}


def test_each_point_is_in_a_case_and_each_of_the_change_is_in_one_of_both_ways() -> None:
    change = {point for point in POINTS if point.startswith(CHANGE)}
    for again in (True, False):
        assert {case.killed_at for case in CASES if case.again is again} == change
    assert {case.then for case in CASES} - {""} == {*POINTS} - change
    assert len(change) > 500 and len(POINTS) - len(change) > 250 and len(SAME) > 150


# -- the real notebooks ----------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_run_of_the_notebooks_that_is_killed_within_a_write_is_finished_by_another(
    world: World,
) -> None:
    """The command line, papermill, the kernel: all are gone while S3 still works on the policy."""
    eye = Eye(world.account)
    digest = world.plan()
    world.account.plant("PutBucketPolicy", delay=8, who="operator")
    run = start(world, "apply", digest)
    journal = Journal(change_folder(world.parameters()))
    wait_for(lambda: "PutBucketPolicy" in [w.operation for w in journal.writes()], run)
    time.sleep(2)  # the intent comes before the request, which must be on its way
    kill(run)
    # It may be carried out though nobody is there to hear of it.
    said = world.cli("status", "-f", "params/rehearsal.yaml")
    assert "was begun, and is not applied in full" in said.output
    assert "Perhaps done, the answer never came (the next run reads the account): policy of" in (
        said.output
    )
    assert f"private-s3 apply {digest}" in said.output
    wait_for(lambda: "PutBucketPolicy" in world.writes())
    resumed = start(world, "apply", digest)
    output, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, output
    assert world.writes().count("PutBucketPolicy") == 1
    assert world.writes().count("CreateVpcEndpoint") == 1
    assert {"found": "done"}.items() <= settled(journal).items()
    said = world.cli("status", "-f", "params/rehearsal.yaml")
    assert f"Plan {digest} was applied, and found in place" in said.output
    assert eye.policy() and "vpce-" in str(eye.policy())
    assert [
        str(one) for one in verify(change_folder(world.parameters())) if one.state == "FAIL"
    ] == []


def settled(journal: Journal) -> dict[str, Any]:
    """The line that says what had become of the write."""
    (line,) = [line for line in journal.lines() if line["event"] == "settled"]
    return line


def start(world: World, *command: str) -> subprocess.Popen[str]:
    """The command line as a process with a session of its own."""
    return subprocess.Popen(
        [
            *(PRIVATE_S3, *command, "-f", "params/rehearsal.yaml"),
            *("-p", f"changes_dir={world.folder}", "-p", "check_also=[]"),
        ],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(happened: Callable[[], bool], run: subprocess.Popen[str] | None = None) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < end
        assert run is None or run.poll() is None, run.stdout and run.stdout.read()
        time.sleep(0.05)


def kill(run: subprocess.Popen[str]) -> None:
    """Kills a process, its group, and the kernels of its notebooks, which have their own."""
    descendants = [*_descendants(run.pid)]
    assert any("ipykernel_launcher" in _command(pid) for pid in descendants)
    os.killpg(run.pid, signal.SIGKILL)
    for pid in descendants:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    run.communicate(timeout=60)


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from _descendants(child)
