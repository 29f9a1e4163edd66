"""Runs the committed notebooks, as they are, in an emulated account, and writes their outputs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

import rehearsal

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


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
    with tempfile.TemporaryDirectory() as project, rehearsal.start() as account:
        os.environ.pop("AWS_PROFILE", None)
        os.environ.update(account.environment())
        folder = Path(project) / "notebooks"
        folder.mkdir()
        for path in sorted(NOTEBOOKS.glob("*.ipynb")):
            print(path.name)
            nbformat.write(execute(path, folder), path)


if __name__ == "__main__":
    main()
