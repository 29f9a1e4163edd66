"""Runs the notebooks of a runbook headless, one pass over all of them, with papermill."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from private_s3 import errors
from private_s3.clean import cleaned
from private_s3.errors import BadInput, CheckFailed, RunbookError
from private_s3.folder import (
    change_folder,
    facts_path,
    make_folder,
    now,
    pass_name,
    project_directory,
    write_json,
)
from private_s3.journal import lock
from private_s3.parameters import Parameters


@dataclass(frozen=True)
class Step:
    """One executed notebook: where it is, what it cost, and the error that ended it, if any.

    A step that did not get to its results does not know its AWS calls.
    """

    name: str
    notebook: Path
    seconds: float
    aws_calls: int | None
    error: RunbookError | None = None


@dataclass(frozen=True)
class Runbook:
    """Which notebooks, in which order."""

    title: str
    notebooks: tuple[Path, ...]

    @classmethod
    def load(cls, path: Path) -> Runbook:
        """The runbook of a YAML file; raises BadInput if a notebook of it is not there."""
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            names = content["notebooks"]
            folder = project_directory() / "notebooks"
            notebooks = tuple(folder / f"{name}.ipynb" for name in names)
            missing = [str(notebook) for notebook in notebooks if not notebook.is_file()]
            if missing:
                raise FileNotFoundError(f"no such notebook: {', '.join(missing)}")
            return cls(content["title"], notebooks)
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise BadInput(
                f"Could not read the runbook {path}.",
                " ".join(str(error).split()),
                "run this in the folder of the project, with one of its runbooks/*.yaml",
            ) from error

    def run(self, parameters: Parameters) -> Generator[Step]:
        """Executes the notebooks one after the other, and ends after the first that fails."""
        with lock(change_folder(parameters), "run.lock", f"run the {pass_name(parameters)} pass"):
            for notebook in self.notebooks:
                step = _execute(notebook, parameters)
                yield step
                if step.error:
                    return


def facts(parameters: Parameters, step: str) -> dict[str, Any]:
    """What a step has found when it was run last in this pass; nothing if it never was."""
    path = facts_path(parameters, step)
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def _execute(notebook: Path, parameters: Parameters) -> Step:
    # What an earlier run has found must not be taken for what this one finds.
    facts_path(parameters, notebook.stem).unlink(missing_ok=True)
    # Imported here: papermill takes over a second to import.
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from traitlets.config import Config

    output = _unused(change_folder(parameters) / pass_name(parameters) / notebook.name)
    make_folder(output.parent)
    began, started, error = now(), time.monotonic(), None
    try:
        with TemporaryDirectory(prefix="private-s3-") as own:
            # No other user of this machine can read or drive the kernel, and no other run meets it.
            kernel = {"transport": "ipc", "connection_file": f"{own}/kernel.json"}
            papermill.execute_notebook(
                notebook,
                output,
                parameters.model_dump(),
                kernel_name="python3",
                progress_bar=False,
                autosave_cell_every=5,
                config=Config({"KernelManager": kernel}),
            )
    except papermill.PapermillExecutionError as raised:
        error = _runbook_error(raised.ename, raised.evalue, output)
    except (DeadKernelError, CellTimeoutError) as raised:
        error = _runbook_error(type(raised).__name__, str(raised), output)
    if error:
        _keep_error(parameters, notebook.stem, began, error)
    return Step(
        notebook.stem,
        output,
        time.monotonic() - started,
        None if error else _aws_calls(parameters, notebook.stem),
        error,
    )


def _keep_error(parameters: Parameters, step: str, began: str, error: RunbookError) -> None:
    """Adds to the facts of a step what ended it."""
    found = facts(parameters, step) or {"checks": [], "run": {"started": began}}
    found["run"]["ended"] = now()
    told = {"kind": type(error).__name__, "lines": str(error).split("\n")}
    write_json(facts_path(parameters, step), cleaned({**found, "error": told}))


def _runbook_error(name: str, value: str, output: Path) -> RunbookError:
    """The error that a notebook ended with; one that is not ours is shown as what it is."""
    lines = value.split("\n")
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, RunbookError) and len(lines) == 3:
        return kind(lines[0], lines[1], lines[2].removeprefix("Next: "))
    return CheckFailed(
        f"Could not run {output.stem} to its end.",
        f"{name}: {lines[0]}",
        f"read the traceback in {output.parent.name}/{output.name} of the change folder; this is a "
        "defect of the runbook",
    )


def _aws_calls(parameters: Parameters, step: str) -> int:
    calls: dict[str, int] = facts(parameters, step)["aws_calls"]
    return sum(calls.values())


def _unused(path: Path) -> Path:
    """The path, or the next numbered one beside it: no evidence of an earlier run is lost."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
