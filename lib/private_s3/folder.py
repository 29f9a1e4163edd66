"""Where a change folder is, and how its files are written: whole or not at all."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from private_s3.clean import secrets
from private_s3.errors import BadInput, CheckFailed
from private_s3.parameters import Parameters


def change_folder(parameters: Parameters) -> Path:
    """The folder of the change; a relative changes_dir counts from the project's top."""
    return project_directory() / parameters.changes_dir / parameters.change_id


def pass_name(parameters: Parameters) -> str:
    """Which of the two passes this is, as the change folder calls it."""
    return "apply" if parameters.applying else "plan"


def facts_path(parameters: Parameters, step: str) -> Path:
    """The file of what a step finds in this pass."""
    return change_folder(parameters) / "facts" / pass_name(parameters) / f"{step}.json"


def project_directory() -> Path:
    """The nearest folder upwards that holds the notebooks, else where this was installed from.

    JupyterLab runs a notebook in its own folder, papermill in the caller's; both must find the
    same change folder.
    """
    here = Path.cwd()
    folders = (here, *here.parents, Path(__file__).parent.parent.parent)
    return next((folder for folder in folders if (folder / "notebooks").is_dir()), here)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it; raises BadInput where it may not be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise BadInput(
            f"Could not make the folder {path}; AWS was not asked for anything.",
            str(refused),
            "set changes_dir to a folder that can be written",
        ) from refused


def now() -> str:
    """This moment in UTC, as every file of a change folder writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all; raises CheckFailed if there is a secret in it."""
    text = json.dumps(value, indent=2, sort_keys=True) + "\n"
    if found := secrets(text):
        raise CheckFailed(
            f"Could not keep {path.parent.name}/{path.name}; it was not written.",
            f"What AWS says holds what looks like a secret (not shown here): {', '.join(found)}.",
            "take it out of the policy or tag that it stands in, and make it worthless: whoever "
            "can read that has it",
        )
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
