"""Runs the copies of a session as a hand in JupyterLab does: cell by cell, and saved."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from private_s3 import steps
from private_s3.folder import change_folder, now, pass_name
from private_s3.parameters import Parameters
from private_s3.session import copies
from tests.support import in_process


def run(parameters: Parameters, names: Iterable[str], *, kernel: bool = True) -> list[Path]:
    """The copies of these steps in this pass, run from top to bottom."""
    folder = change_folder(parameters)
    done = []
    for step in names:
        path = copies.to_run(folder, pass_name(parameters), step)
        copies.make(path, parameters.model_dump())
        run_copy(path, kernel=kernel)
        done.append(path)
    return done


def run_copy(path: Path, cells: slice = slice(None), *, kernel: bool = True) -> None:
    """Runs the code cells of a copy, in a kernel of its own which is killed at the end, or here."""
    notebook: Any = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    try:
        (_run_in_kernel if kernel else _run_here)(path, notebook, code[cells])
    finally:
        nbformat.write(notebook, path)


def _run_in_kernel(path: Path, notebook: Any, chosen: list[Any]) -> None:
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, kernel_name="python3", resources=resources)
    with client.setup_kernel(env={**os.environ, "JPY_SESSION_NAME": str(path)}):
        for number, cell in enumerate(notebook.cells):
            if cell in chosen:
                client.execute_cell(cell, number)


def _run_here(path: Path, _notebook: Any, chosen: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch, in_process.shell() as shell:
        patch.setenv("JPY_SESSION_NAME", str(path))
        patch.chdir(path.parent)
        for cell in chosen:
            times = cell.metadata.setdefault("execution", {})
            times["iopub.execute_input"] = now()
            done = shell.run(cell)
            times["shell.execute_reply"] = now()
            assert done, cell.outputs


def typed(path: Path, digest: str) -> None:
    """Types a digest into the parameters cell of a copy."""
    text = path.read_text()
    empty = 'approved_plan: str = \\"\\"'
    assert text.count(empty) == 1
    path.write_text(text.replace(empty, f'approved_plan: str = \\"{digest}\\"'))


def carried(parameters: Parameters, step: str) -> Parameters:
    """The parameters that a copy of the apply pass gets."""
    digest = steps.carried(parameters, step)
    return parameters.model_copy(update={"approved_plan": digest})
