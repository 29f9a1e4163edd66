"""Runs the committed notebooks, as they are, in an emulated account, and writes their outputs.

Also the example of a whole change, if a run of it tells something else than the one that is there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

import rehearsal
from tests import PROJECT
from tests.support import example

NOTEBOOKS = PROJECT / "notebooks"


def execute(path: Path, folder: Path) -> NotebookNode:
    """The notebook with the outputs that it gives in `folder`, without times and the like."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def main() -> None:
    os.chdir(PROJECT)
    os.environ.pop("AWS_PROFILE", None)
    write_outputs()
    with rehearsal.start() as account:
        os.environ.update(account.environment())
        print(
            example.EXAMPLE.parent.relative_to(PROJECT), "written" if example.refresh() else "stays"
        )


def write_outputs() -> None:
    """Puts the outputs of a new account into the committed notebooks."""
    with tempfile.TemporaryDirectory() as project, rehearsal.start() as account:
        os.environ.update(account.environment())
        folder = Path(project) / "notebooks"
        folder.mkdir()
        # Each notebook says which step of which runbook it is.
        shutil.copytree(PROJECT / "runbooks", Path(project) / "runbooks")
        for path in sorted(NOTEBOOKS.glob("*.ipynb")):
            print(path.name)
            nbformat.write(execute(path, folder), path)


if __name__ == "__main__":
    main()
