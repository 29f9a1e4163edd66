"""Each headless run of a notebook has a kernel of its own, which leaves nothing behind."""

import re
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest

from private_s3.runbook import Runbook
from tests.support import readings as worlds


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
