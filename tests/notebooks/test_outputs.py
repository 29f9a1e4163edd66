"""The outputs of the committed notebooks come again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

import rehearsal
from tests import PROJECT


def test_the_outputs_come_again(tmp_path: Path, account: rehearsal.Account) -> None:
    """nbval compares each output strictly; the notebooks run with nothing set.

    It needs no file that says what to overlook: every output is the same in each run. In the end
    each could be run again in its kernel, which finds no more parameters there than at first.
    """
    for name in ("notebooks", "runbooks"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    for path in (tmp_path / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        again = "assert Parameters.from_notebook(globals()) == parameters"
        notebook.cells.append(nbformat.v4.new_code_cell(again, id="run-again"))
        nbformat.write(notebook, path)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q"),
            *("-p", "no:cacheprovider", tmp_path / "notebooks"),
        ],
        env={**os.environ, **account.environment()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
