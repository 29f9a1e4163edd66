"""Headless runs: bad input is refused before a kernel starts, and errors keep their type."""

from pathlib import Path

import pytest

from private_s3 import runbook
from private_s3.errors import BadInput, CheckFailed, PlanChanged
from private_s3.runbook import Runbook
from tests.support import readings as worlds


def test_a_change_folder_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    parameters = worlds.parameters(changes_dir=str(tmp_path / "file"))
    with pytest.raises(BadInput, match="set changes_dir"):
        next(Runbook("one", (tmp_path / "10_find_vpc.ipynb",)).run(parameters))


@pytest.mark.parametrize(
    "content", ["", "- a list", "title: x", "title: x\nnotebooks: [99_nowhere]", "a: [", "a: b: c"]
)
def test_a_runbook_that_cannot_be_read_is_bad_input(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(BadInput, match="Could not read the runbook"):
        Runbook.load(path)


def test_an_error_of_ours_comes_out_of_a_notebook_as_it_went_in() -> None:
    went_in = PlanChanged("Could not apply.", "It changed.", "plan again")
    came_out = runbook._runbook_error("PlanChanged", str(went_in), Path("20.ipynb"))
    assert type(came_out) is PlanChanged and str(came_out) == str(went_in)


def test_any_other_error_is_called_a_defect() -> None:
    error = runbook._runbook_error("KeyError", "'x'\nmore", Path("20.ipynb"))
    assert type(error) is CheckFailed and "KeyError: 'x'" in error.answer


def test_evidence_of_an_earlier_run_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "10.ipynb"
    assert runbook._unused(path) == path
    path.touch()
    (tmp_path / "10-2.ipynb").touch()
    assert runbook._unused(path) == tmp_path / "10-3.ipynb"
