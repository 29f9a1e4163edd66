"""A long wait is displayed in JupyterLab, and leaves no output in a headless run."""

from __future__ import annotations

import os
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

# A wait that is long by its own measure.
SLOW = """
import time
from private_s3 import progress
progress.AFTER = 0.1
with progress.waiting("the answers of 4 instances", 340) as tick:
    time.sleep(0.2)
    tick("1 of 4 answered")
"""


@pytest.mark.parametrize("session", [False, True])
def test_a_headless_run_has_no_output_of_it_even_if_started_from_jupyterlab(
    monkeypatch: pytest.MonkeyPatch, session: bool
) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    if session:
        monkeypatch.setenv("JPY_SESSION_NAME", "notebook.ipynb")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SLOW)])
    NotebookClient(notebook, kernel_name="python3").execute()
    assert notebook.cells[0].outputs == []


@pytest.mark.parametrize("session", [False, True])
def test_a_person_sees_it_in_jupyterlab_alone(session: bool) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "JPY_SESSION_NAME"}
    environment |= {"JPY_SESSION_NAME": "notebook.ipynb"} if session else {}
    manager, client = start_new_kernel(kernel_name="python3", env=environment)
    shown: list[dict[str, Any]] = []
    try:
        client.execute_interactive(
            SLOW, allow_stdin=True, output_hook=lambda message: shown.append(message)
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    told = [(one["msg_type"], one["content"]["data"]) for one in shown if "data" in one["content"]]
    kinds = ["display_data", "update_display_data"] if session else []
    assert [kind for kind, _ in told] == kinds
    if session:
        assert "<progress" in told[0][1]["text/html"]
        assert told[1][1] == {"text/plain": "Waited 0 s for the answers of 4 instances."}
