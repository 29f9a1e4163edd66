"""The committed notebooks: their shape, their parameters, and that their outputs come again."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from private_s3.parameters import Parameters

PROJECT = Path(__file__).parent.parent
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
ROWS = ("Changes", "Needs", "Undo", "Takes", "Leaves behind")
REHEARSAL_ACCOUNT = "123456789012"

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def parameters(path: Path) -> dict[str, Any]:
    """The parameters cell, read as what it is: literals, one to a line."""
    assignments = ast.parse(cells(path, "code")[0].source).body
    assert all(isinstance(node, ast.AnnAssign) for node in assignments)
    return {node.target.id: ast.literal_eval(node.value) for node in assignments}  # type: ignore[attr-defined]


def test_each_notebook_is_a_step_of_one_runbook() -> None:
    runbooks = (PROJECT / "runbooks").glob("*.yaml")
    names = [name for path in runbooks for name in yaml.safe_load(path.read_text())["notebooks"]]
    assert sorted(names) == [path.stem for path in NOTEBOOKS]


@every_notebook
def test_it_begins_with_what_it_does_and_the_parameters(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    title = notebook.cells[0].source
    assert title.startswith("# ")
    assert re.findall(r"^\| \*\*(.+?)\*\*", title, re.MULTILINE) == list(ROWS)
    assert notebook.cells[1].metadata["tags"] == ["parameters"]
    assert notebook.metadata["kernelspec"]["name"] == "python3"


@every_notebook
def test_its_headings_are_the_steps_that_its_first_cell_lists(path: Path) -> None:
    title, *others = (cell.source for cell in cells(path, "markdown"))
    listed = re.findall(r"^\d\. .+$", title, re.MULTILINE)
    headings = [re.match(r"## (\d\. .+)", text) for text in others]
    assert [heading[1] for heading in headings if heading] == listed


@every_notebook
def test_its_parameters_are_those_of_the_model_with_the_rehearsal_values(path: Path) -> None:
    rehearsal = yaml.safe_load((PROJECT / "params/rehearsal.yaml").read_text())
    values = parameters(path)
    assert list(values) == list(Parameters.model_fields)
    assert {**values, "note": rehearsal["note"]} == rehearsal


@every_notebook
def test_papermill_understands_every_parameter(path: Path) -> None:
    import papermill

    found = papermill.inspect_notebook(path)
    assert list(found) == list(Parameters.model_fields)
    assert all(parameter["help"] for parameter in found.values())


@every_notebook
def test_its_code_is_short_and_calls_the_library(path: Path) -> None:
    code, prose = cells(path, "code"), cells(path, "markdown")
    assert len(prose) >= len(code)
    for cell in code[1:]:
        assert len(cell.source.splitlines()) <= 12
        tree = ast.parse(cell.source)
        refused = (ast.FunctionDef, ast.ClassDef, ast.Try, ast.For, ast.While, ast.If)
        assert not [node for node in ast.walk(tree) if isinstance(node, refused)]
        assert "input(" not in cell.source


@every_notebook
def test_it_holds_outputs_of_the_rehearsal_account_only(path: Path) -> None:
    text = path.read_text()
    assert set(re.findall(r"(?<![\w.])\d{12}(?![\w.])", text)) == {REHEARSAL_ACCOUNT}
    assert "injected-parameters" not in text
    assert all(cell.execution_count for cell in cells(path, "code"))


def test_the_outputs_come_again(tmp_path: Path, account: Any) -> None:
    """nbval compares each output strictly; the notebooks run with nothing set."""
    shutil.copytree(PROJECT / "notebooks", tmp_path / "notebooks")
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
