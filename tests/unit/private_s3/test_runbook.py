"""Running notebooks headless: what is refused before a kernel starts, and what an error becomes."""

import re
import warnings
from pathlib import Path
from typing import Any

import nbformat
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


def test_each_run_has_its_kernel_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs from one folder must not meet at the same socket."""
    form: Any = nbformat
    tell = (
        "import os, stat\n"
        "own = os.path.dirname(get_ipython().config.IPKernelApp.connection_file)\n"
        "raise ValueError(own, sorted(os.listdir(own)), oct(stat.S_IMODE(os.stat(own).st_mode)))"
    )
    path = tmp_path / "10_find_vpc.ipynb"
    language = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [form.v4.new_code_cell(tell)]
    form.write(form.v4.new_notebook(cells=cells, metadata={"kernelspec": language}), path)
    monkeypatch.chdir(tmp_path)
    parameters = worlds.parameters(changes_dir=str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the small notebook has no parameters
        steps = [next(Runbook("one", (path,)).run(parameters)) for _ in range(2)]
    answers = [str(step.error.answer) if step.error else "" for step in steps]
    owns = {re.findall(r"'(/.+?)'", answer)[0] for answer in answers}
    assert len(owns) == 2
    assert all("kernel-ipc" in answer and "700')" in answer for answer in answers)
    assert not any(Path(own).exists() for own in owns)
    assert not [*tmp_path.glob("kernel-ipc*")]


def test_evidence_of_an_earlier_run_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "10.ipynb"
    assert runbook._unused(path) == path
    path.touch()
    (tmp_path / "10-2.ipynb").touch()
    assert runbook._unused(path) == tmp_path / "10-3.ipynb"
