"""What an executed notebook says of its own run, whether papermill has run it or a hand."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Executed:
    """When a notebook was run, with what, and what it shows.

    `started` and `ended` are moments in UTC, empty where they are not known; `parameters` is None
    where there are none. `whole`: it came to its end, each cell once and from top to bottom.
    """

    by_hand: bool
    started: str
    ended: str
    parameters: dict[str, Any] | None
    whole: bool
    outputs: list[dict[str, Any]]


def read(path: Path) -> Executed:
    """An executed notebook; raises ValueError, LookupError, TypeError or AttributeError for others.

    papermill keeps times and parameters in the notebook's metadata, JupyterLab times in each cell.
    """
    notebook = json.loads(path.read_bytes())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    about = notebook["metadata"].get("papermill")
    if about is not None:
        started, ended = (str(about.get(name) or "") for name in ("start_time", "end_time"))
        return Executed(False, started, ended, about.get("parameters"), bool(ended), outputs)
    times = [cell["metadata"].get("execution", {}) for cell in cells]
    counts = [cell.get("execution_count") for cell in cells]
    whole = None not in counts and counts == sorted(set(counts))
    return Executed(
        True,
        min((t["iopub.execute_input"] for t in times if "iopub.execute_input" in t), default=""),
        max((t["shell.execute_reply"] for t in times if "shell.execute_reply" in t), default=""),
        _parameters(cells),
        whole,
        outputs,
    )


def _parameters(cells: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The values of the parameters cell, and of what papermill has put beneath it."""
    found: dict[str, Any] = {}
    for cell in cells:
        if {"parameters", "injected-parameters"} & set(cell["metadata"].get("tags", ())):
            for node in ast.parse("".join(cell["source"])).body:
                match node:
                    case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                        found[name] = ast.literal_eval(value)
                    case ast.Assign(targets=[ast.Name(id=name)], value=value):
                        found[name] = ast.literal_eval(value)
    return found or None
