"""Killed anywhere, a change is finished by running it again, or taken back whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from private_s3.evidence.verify import verify
from private_s3.folder import change_folder
from private_s3.journal import Journal
from tests import PROJECT
from tests.support.notebook_runs import Eye, told_by
from tests.support.world import World

# Everything that the operator does to the account, or asks to be done there.
WRITES = {
    "change": ("CreateVpcEndpoint", "PutBucketPolicy", "SendCommand", "PutObject", "DeleteObject"),
    "undo": ("PutBucketPolicy", "DeleteVpcEndpoints", "SendCommand"),
}
PRIVATE_S3 = str(Path(sys.executable).with_name("private-s3"))


@pytest.fixture(scope="module")
def killed() -> Any:
    """What became of a change that was killed wherever it can be: see tests/crash.py."""
    found = told_by("tests.support.crash")
    points = {name: len(of) for name, of in found["points"].items()}
    print(f"{points} points in {len(found['tried'])} cases, {found['seconds']} s")
    return found


@pytest.mark.parametrize("run", WRITES)
def test_each_write_and_each_line_about_it_is_a_point(killed: Any, run: str) -> None:
    points = [point.partition(": ")[2] for point in killed["points"][run]]
    for operation in WRITES[run]:
        for point in (
            f"before line intent {operation} #1",
            f"after line intent {operation} #1",
            f"before {operation} #1",
            f"after {operation} #1",
        ):
            assert point in points
    for event in ("planned", "complete"):
        assert {f"before line {event} #1", f"after line {event} #1"} <= {*points}
    assert {"within journal.jsonl #1", "after journal.jsonl #1"} <= {*points}
    assert {"within draft of left #1", "within draft of plans #1"} <= {*points}


def test_each_call_of_a_whole_change_is_a_point_before_and_after(killed: Any) -> None:
    for points in killed["points"].values():
        before = [point for point in points if ": before " in point]
        assert {*points} >= {point.replace(": before ", ": after ") for point in before}
    assert len(killed["points"]["change"]) > 500 and len(killed["points"]["undo"]) > 250
    assert len(killed["tried"]) > 150


def test_a_change_that_was_killed_anywhere_is_finished_by_running_it_again(killed: Any) -> None:
    """The same account, and a status that says so; before that, one that says what is so."""
    assert trouble(killed, lambda case: case["again"] and not case["then"]) == []


def test_an_undo_that_was_killed_anywhere_is_finished_by_running_it_again(killed: Any) -> None:
    """Each after a change that was killed and run again: the account is as before both."""
    assert trouble(killed, lambda case: case["again"] and case["then"]) == []


def test_a_change_that_was_killed_anywhere_can_be_undone(killed: Any) -> None:
    """The account is as before, field by field, and the bucket policy byte for byte."""
    assert trouble(killed, lambda case: not case["again"]) == []


def test_the_account_itself_had_no_error(killed: Any) -> None:
    assert killed["errors"] == []


def trouble(killed: Any, which: Callable[[Any], Any]) -> list[str]:
    """What is wrong in the cases in question, each with its points."""
    cases = [case for case in killed["tried"] if which(case)]
    assert cases
    return [
        f"killed at {case['killed_at'] or 'no point'}"
        + (f", its undo at {case['then']}" if case["then"] else "")
        + f": {what}"
        for case in cases
        for what in case["trouble"]
    ]


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
