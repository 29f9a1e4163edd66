"""Each notebook alone with plain papermill, without the command line of the project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from papermill.cli import papermill

from tests import PROJECT
from tests.support.notebook_runs import FIND
from tests.support.world import World

RUN = ("-f", "params/rehearsal.yaml")


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_each_step_runs_alone_with_plain_papermill(
    world: World, in_process: None, path: Path
) -> None:
    done = CliRunner().invoke(papermill, arguments(world, path, *RUN))
    assert done.exit_code == 0, done.output
    # The plan passes of steps 50 and 90, which ask and change nothing.
    asks = path.stem.startswith(("50", "90"))
    assert world.writes() == (["SendCommand"] if asks else [])


def test_plain_papermill_runs_a_step_in_a_kernel(world: World) -> None:
    done = in_kernel(world, PROJECT / f"notebooks/{FIND}.ipynb", *RUN)
    assert done.returncode == 0, done.stderr
    assert world.writes() == []


def test_plain_papermill_with_a_misspelt_parameter_is_refused(world: World) -> None:
    done = in_kernel(world, PROJECT / f"notebooks/{FIND}.ipynb", "-p", "buckett", "data")
    assert done.returncode == 1
    assert "BadInput" in done.stderr and "buckett is not a parameter" in done.stderr
    assert world.account.calls() == []


def in_kernel(world: World, notebook: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs plain papermill, as somebody would who does not know the command line of the project."""
    command = [sys.executable, "-m", "papermill", *arguments(world, notebook, *options)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def arguments(world: World, notebook: Path, *options: str) -> list[str]:
    given = ["-p", "changes_dir", str(world.folder), "--no-progress-bar", *options]
    return [str(notebook), str(world.folder.parent / notebook.name), *given]
