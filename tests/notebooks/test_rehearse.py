"""The one command: the whole change in an emulated account, the same each time, and gone after."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner

from private_s3.cli import main
from rehearsal import Account
from tests import PROJECT
from tests.support.example import joined

COMMAND = [str(Path(sys.executable).with_name("private-s3")), "rehearse"]
PASSES = {
    "10_find_vpc": 2,
    "20_create_gateway_endpoint": 2,
    "30_inspect_route_diff": 2,
    "40_apply_bucket_policy": 2,
    "50_check_from_instance": 2,
    "80_audit_drift": 1,
    "90_roll_back": 2,
}


@dataclass(frozen=True)
class Rehearsed:
    """The folder of a rehearsal, and what it has said."""

    folder: Path
    said: str

    def outputs(self) -> dict[str, list[Any]]:
        """All that each notebook shows, but for the name of the folder that it was given."""
        found = {}
        for path in sorted(self.folder.rglob("*.ipynb")):
            cells = nbformat.read(path, as_version=4).cells
            shown = json.dumps([joined(cell.outputs) for cell in cells if "outputs" in cell])
            name = path.relative_to(self.folder).as_posix()
            found[name] = json.loads(shown.replace(str(self.folder), "FOLDER"))
        return found


@pytest.fixture(scope="module")
def by_command(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    """A rehearsal as `make rehearse` does it, with kernels and an account of its own."""
    folder = tmp_path_factory.mktemp("command")
    command = [*COMMAND, "-p", f"changes_dir={folder}"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Rehearsed(folder, done.stdout)


@pytest.fixture
def here(tmp_path: Path, started: Account, in_process: None, unprinted: None) -> Rehearsed:
    """One in this process, in an account that was used before."""
    done = CliRunner().invoke(main, ["rehearse", "-p", f"changes_dir={tmp_path}"])
    assert done.exit_code == 0, done.output
    return Rehearsed(tmp_path, done.output)


def test_two_rehearsals_say_the_same_and_leave_the_same_evidence(
    by_command: Rehearsed, here: Rehearsed
) -> None:
    """Also where one of them has no kernels, as most other tests have none."""
    for one in (by_command, here):
        assert {step: one.said.count(f"  {step} ") for step in PASSES} == PASSES
        assert "Loses by it: keys copied from app-1" in one.said
        assert "Loses by it: app-1" in one.said  # by the undo
        assert re.search(r"Every check passed, in \d+ s with \d+ AWS calls", one.said)
    outputs = by_command.outputs()
    assert len(outputs) == sum(PASSES.values())
    assert outputs == here.outputs()


def test_the_mode_is_named_in_the_output_and_in_the_evidence(by_command: Rehearsed) -> None:
    (mode,) = re.findall(r"is up in (\w+) mode", by_command.said)
    folder = by_command.folder / "rehearsal"
    notebook = (folder / "apply/50_check_from_instance.ipynb").read_text()
    assert f"Rehearsal in an emulated account, {mode} mode." in notebook
    facts = json.loads((folder / "facts/apply/50_check_from_instance.json").read_text())
    assert {check["state"] for check in facts["checks"]} == {"PASS"}


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_an_interrupt_leaves_nothing_running(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "-p", f"changes_dir={tmp_path}"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "REHEARSAL_TEST": str(tmp_path)},
    )
    with process:
        assert process.stdout
        for line in process.stdout:
            if "10_find_vpc" in line:
                break
        assert started_by(tmp_path)
        for _ in range(30):
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.communicate(timeout=2)
                break
            except subprocess.TimeoutExpired:
                # nbclient takes an interrupt for itself while a kernel starts: ask again.
                continue
    assert process.returncode != 0
    end = time.monotonic() + 10
    while started_by(tmp_path) and time.monotonic() < end:
        time.sleep(0.1)
    assert started_by(tmp_path) == []


def started_by(mark: Path) -> list[str]:
    """The processes that inherited the environment of this test's command."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"REHEARSAL_TEST={mark}".encode() in environ.read_bytes():
                found.append(environ.parent.name)
        except OSError:  # it has ended meanwhile, or is somebody else's
            continue
    return found
