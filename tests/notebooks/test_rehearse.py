"""The one command: the whole change in an emulated account, the same each time, and gone after."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

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


def rehearse(folder: Path, *options: str) -> str:
    done = subprocess.run(
        [*COMMAND, "-p", f"changes_dir={folder}", *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def outputs(path: Path, folder: Path) -> list[Any]:
    """All that the notebook shows, but for the name of the folder that it was given."""
    notebook = nbformat.read(path, as_version=4)
    shown = [joined(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]
    return list(json.loads(json.dumps(shown).replace(str(folder), "FOLDER")))


def test_two_rehearsals_say_the_same_and_leave_the_same_evidence(tmp_path: Path) -> None:
    first, second = (rehearse(tmp_path / name) for name in ("first", "second"))
    for said in (first, second):
        assert {step: said.count(f"  {step} ") for step in PASSES} == PASSES
        assert "Loses by it: keys copied from app-1" in said
        assert "Loses by it: app-1" in said  # by the undo
        assert re.search(r"Every check passed, in \d+ s with \d+ AWS calls", said)
    for notebook in sorted((tmp_path / "first").rglob("*.ipynb")):
        other = tmp_path / "second" / notebook.relative_to(tmp_path / "first")
        assert outputs(notebook, tmp_path / "first") == outputs(other, tmp_path / "second")
    notebooks = [*(tmp_path / "second").rglob("*.ipynb")]
    assert len(notebooks) == sum(PASSES.values())


def test_the_mode_is_named_in_the_output_and_in_the_evidence(tmp_path: Path) -> None:
    said = rehearse(tmp_path)
    (mode,) = re.findall(r"is up in (\w+) mode", said)
    notebook = (tmp_path / "rehearsal/apply/50_check_from_instance.ipynb").read_text()
    assert f"Rehearsal in an emulated account, {mode} mode." in notebook
    facts = json.loads((tmp_path / "rehearsal/facts/apply/50_check_from_instance.json").read_text())
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
        for _ in range(10):
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.communicate(timeout=6)
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
