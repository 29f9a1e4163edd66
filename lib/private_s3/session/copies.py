"""The copies of the notebooks in a change folder: parameters filled in, one for each run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from private_s3.evidence import executed, manifest
from private_s3.evidence.story import PASSES, named, notebooks
from private_s3.folder import make_folder, project_directory, write_text


def template(step: str) -> Path:
    """The notebook of the project that a step is a copy of."""
    return project_directory() / "notebooks" / f"{step}.ipynb"


def sealed(folder: Path) -> frozenset[str]:
    """The files of a change folder that its seal lists."""
    found = manifest.load(folder) if folder.is_dir() else None
    return frozenset(found["files"] if found else ())


def to_run(folder: Path, pass_name: str, step: str) -> Path:
    """The copy in which a step is run next: the last one, or one more once that is sealed."""
    found = notebooks(folder, pass_name, step)
    if not found:
        return folder / pass_name / f"{step}.ipynb"
    if found[-1].relative_to(folder).as_posix() not in sealed(folder):
        return found[-1]
    _, number = named(found[-1])
    return found[-1].with_name(f"{step}-{number + 1}.ipynb")


def make(path: Path, values: Mapping[str, Any]) -> None:
    """Puts a copy where none is, with the parameters filled in and nothing run."""
    if path.exists():
        return
    import nbformat  # takes over a second, and most kernels make no copy

    form: Any = nbformat  # which says nothing of its types
    notebook = form.read(template(named(path)[0]), as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source = filled(cell.source, values)
    make_folder(path.parent)
    write_text(path, f"{form.writes(notebook)}\n")


def filled(source: str, values: Mapping[str, Any]) -> str:
    """A parameters cell with these values; names, types and explanations stay."""

    def line(text: str) -> str:
        found = re.fullmatch(r"((\w+): \w+ = )(.*?)(  # .*)", text)
        if not found or found[2] not in values:
            return text
        return f"{found[1]}{_literal(values[found[2]])}{found[4]}"

    return "\n".join(map(line, source.split("\n")))


def _literal(value: Any) -> str:
    """As Python writes it, and its formatter likes it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(value)


def is_whole(folder: Path, pass_name: str, step: str) -> bool:
    """Whether the last copy of a step shows all of its run; also if there is no copy.

    JupyterLab may not have saved what came last: also not what comes while it saves by itself.
    """
    found = notebooks(folder, pass_name, step)
    return not found or _is_whole(found[-1])


def _is_whole(path: Path) -> bool:
    try:
        return executed.read(path).whole
    except (AttributeError, LookupError, OSError, TypeError, ValueError):  # cut short by a kill
        return False


def unfinished(folder: Path) -> list[Path]:
    """The copies that are not sealed and do not show all of a run."""
    listed = sealed(folder)
    paths = [path for name in PASSES for path in notebooks(folder, name)]
    found = [path for path in paths if path.relative_to(folder).as_posix() not in listed]
    return [path for path in found if not _is_whole(path)]


def remove_unused(folder: Path) -> None:
    """Takes away the copies in which nothing was run or written: they tell nothing."""
    listed = sealed(folder)
    for pass_name in PASSES:
        for path in notebooks(folder, pass_name):
            if path.relative_to(folder).as_posix() not in listed and _is_unused(path):
                path.unlink()


def _is_unused(path: Path) -> bool:
    try:
        cells = json.loads(path.read_bytes())["cells"]
        if any(cell.get("execution_count") or cell.get("outputs") for cell in cells):
            return False
        return _sources(cells) == _sources(_template_cells(template(named(path)[0])))
    except (OSError, ValueError, LookupError, TypeError):
        return False


@cache
def _template_cells(path: Path) -> Any:
    return json.loads(path.read_bytes())["cells"]


def _sources(cells: Any) -> list[str]:
    """The texts of all cells but that of the parameters."""
    return [
        "".join(cell["source"])
        for cell in cells
        if "parameters" not in cell["metadata"].get("tags", ())
    ]
