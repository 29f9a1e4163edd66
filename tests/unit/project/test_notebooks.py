"""The committed notebooks: their shape and their words."""

from __future__ import annotations

import ast
import platform
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import nbformat
import pytest
import yaml

from private_s3.parameters import Parameters
from tests import PROJECT

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
CHANGE = yaml.safe_load((PROJECT / "runbooks/open_private_path.yaml").read_text())["notebooks"]
DIAGNOSIS, AUDIT = "70_diagnose", "80_audit_drift"
AFTERWARDS = [DIAGNOSIS, AUDIT, "90_roll_back"]
ROWS = ["Changes", "Needs", "Undo", "Takes", "Leaves behind"]
REHEARSAL_ACCOUNT = "123456789012"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
FIRST = ["title", "parameters", "note", "begin", "bind", "account"]
LAST = ["result", "results", "undo", "next-text", "next"]
KINDS = dict.fromkeys(["parameters", "begin", "account", "results", "next"], "code")
# What belongs into the library, where it is tested.
REFUSED = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.Try, ast.TryStar),
    *(ast.For, ast.While, ast.If, ast.IfExp, ast.Match, ast.comprehension, ast.With, ast.Raise),
)
# By the library each output is the same in every run, and on every machine.
OF_ONE_RUN = {
    "a home directory": r"/(home|root|Users)\b",
    "a temporary file": r"/tmp\b|/var/folders\b",
    "a time": r"\d{4}-\d\d-\d\d|\b\d\d:\d\d\b",
    "a duration": r"\b\d+(\.\d+)? (m?s|seconds)\b",
    "this machine": rf"localhost|127\.0\.0\.1|\b{re.escape(platform.node() or 'localhost')}\b",
    "an address in memory": r"\b0x[0-9a-f]{6,}",
}

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str = "") -> list[Any]:
    """The cells of a notebook, or those of one kind."""
    found = nbformat.read(path, as_version=4).cells
    return [cell for cell in found if kind in ("", cell.cell_type)]


def source(path: Path, name: str) -> str:
    """What stands in the cell of this id."""
    (found,) = (cell.source for cell in cells(path) if cell.id == name)
    return str(found)


def heading(name: str) -> str:
    """Number and title of a notebook, as links to it say them."""
    title = source(PROJECT / f"notebooks/{name}.ipynb", "title").splitlines()[0]
    return f"{name[:2]} {title.removeprefix('# ')}"


def parameters(path: Path) -> dict[str, tuple[str, Any]]:
    """The parameters cell, read as what it is: literals with their types, one to a line."""
    found = {}
    for node in ast.parse(source(path, "parameters")).body:
        assert isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
        found[node.target.id] = ast.unparse(node.annotation), ast.literal_eval(node.value)
    return found


def links(path: Path) -> Iterator[tuple[str, str]]:
    """Text and target of every link in the prose."""
    for cell in cells(path, "markdown"):
        yield from re.findall(r"\[([^\]]*)\]\(([^)]*)\)", cell.source)


def said(path: Path) -> str:
    """All that the outputs say, but for the bytes of pictures; a line for each text in them."""
    outputs = [output for cell in cells(path, "code") for output in cell.outputs]
    for output in outputs:
        output.get("data", {}).pop("image/png", None)
    return "\n".join(_texts(outputs))


def _texts(value: Any) -> Iterator[str]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    for part in parts:
        yield from _texts(part)
    if isinstance(value, str):
        yield value


# -- the set --------------------------------------------------------------------------------------


def test_each_notebook_is_a_step_of_one_runbook() -> None:
    runbooks = (PROJECT / "runbooks").glob("*.yaml")
    names = [name for path in runbooks for name in yaml.safe_load(path.read_text())["notebooks"]]
    assert sorted(names) == [path.stem for path in NOTEBOOKS] == [*CHANGE, *AFTERWARDS]


@pytest.mark.parametrize("name", ["parameters", "note", "bind", "account", "result", "results"])
def test_what_all_notebooks_have_reads_the_same_in_each(name: str) -> None:
    assert len({source(path, name) for path in NOTEBOOKS}) == 1


# -- the order of the cells -----------------------------------------------------------------------


@every_notebook
def test_it_begins_and_ends_with_what_every_notebook_has(path: Path) -> None:
    found = cells(path)
    names = [cell.id for cell in found]
    assert (names[: len(FIRST)], names[-len(LAST) :]) == (FIRST, LAST)
    for cell in (*found[: len(FIRST)], *found[-len(LAST) :]):
        assert cell.cell_type == KINDS.get(cell.id, "markdown")
    assert source(path, "note").startswith("**Operator's note.**")
    assert source(path, "begin").endswith(f'"{path.stem}")\nrecord.note()')
    assert source(path, "account").endswith("\nrecord.bind(account)")
    assert source(path, "results") == "record.results(account)"
    assert source(path, "next") == "record.next()"


@every_notebook
def test_its_headings_are_the_steps_that_its_first_cell_lists(path: Path) -> None:
    listed = re.findall(r"^\d\. .+$", source(path, "title"), re.MULTILINE)
    texts = [cell.source for cell in cells(path, "markdown")][1:]
    headings = [found for text in texts for found in re.findall(r"^#+ .*$", text, re.MULTILINE)]
    steps = [f"## {step}" for step in listed]
    assert steps[0] == "## 1. Bind to the account"
    assert headings == [*steps, "## Result", "## Undo", "## Next"]
    assert [step[0] for step in listed] == [str(n + 1) for n in range(len(listed))]


@every_notebook
def test_its_first_cell_says_purpose_place_and_five_rows_before_the_steps(path: Path) -> None:
    title, purpose, place, table, steps = source(path, "title").split("\n\n")
    assert title.startswith("# ") and "\n" not in title + purpose + place
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \|$", table, re.MULTILINE)
    assert [name for name, _ in rows] == ROWS
    assert table.startswith("| | |\n|---|---|\n") and len(table.splitlines()) == 2 + len(ROWS)
    assert steps.startswith("1. ")
    assert place == where(path.stem)


def where(step: str) -> str:
    """The line that says where in its runbook a notebook is."""

    def one(name: str) -> str:
        return f"**{heading(name)}**" if name == step else f"[{heading(name)}]({name}.ipynb)"

    if step in CHANGE:
        return " \u203a ".join(map(one, CHANGE))
    first, last = one(CHANGE[0]), one(CHANGE[-1])
    when = "Can be run at any time, beside" if step == DIAGNOSIS else "Comes after"
    return f"{when} {first} to {last}: {' · '.join(map(one, AFTERWARDS))}"


@every_notebook
def test_its_end_leads_to_the_next_notebook(path: Path) -> None:
    after = dict(zip(CHANGE, [*CHANGE[1:], AUDIT], strict=True))
    follows = after.get(path.stem, CHANGE[0])
    assert f"[{heading(follows)}]({follows}.ipynb)" in source(path, "next-text")


@every_notebook
def test_every_link_leads_somewhere_and_says_where(path: Path) -> None:
    for text, target in links(path):
        assert (path.parent / target).is_file(), target
        assert text == heading(Path(target).stem)


# -- parameters -----------------------------------------------------------------------------------


@every_notebook
def test_its_parameters_are_those_of_the_model_with_the_rehearsal_values(path: Path) -> None:
    rehearsal = yaml.safe_load((PROJECT / "params/rehearsal.yaml").read_text())
    found = parameters(path)
    # papermill understands neither Literal nor what is in a list.
    of_model = {
        name: {list: "list", None: getattr(field.annotation, "__name__", "")}.get(origin, "str")
        for name, field in Parameters.model_fields.items()
        for origin in [get_origin(field.annotation)]
    }
    assert [*((name, kind) for name, (kind, _) in found.items())] == [*of_model.items()]
    values = {name: value for name, (_, value) in found.items()}
    assert {**values, "note": rehearsal["note"]} == rehearsal
    assert values["approved_plan"] == "" and values["force"] is False
    assert all(type(value).__name__ == kind for kind, value in found.values())


@every_notebook
def test_papermill_understands_every_parameter(path: Path) -> None:
    import papermill

    (tagged,) = (cell for cell in cells(path) if cell.metadata)
    assert (tagged.id, tagged.metadata) == ("parameters", {"tags": ["parameters"]})
    found = papermill.inspect_notebook(path)
    assert list(found) == list(Parameters.model_fields)
    assert all(parameter["help"] for parameter in found.values())


# -- code and prose -------------------------------------------------------------------------------


@every_notebook
def test_its_code_is_short_and_calls_the_library(path: Path) -> None:
    sizes = []
    for cell in cells(path, "code"):
        tree = ast.parse(cell.source)  # which knows no magics and no shell
        assert not [node for node in ast.walk(tree) if isinstance(node, REFUSED)], cell.id
        assert not re.search(r"\b(input|exec|eval|get_ipython)\(|\bos\.|subprocess", cell.source)
        if cell.id != "parameters":
            sizes.append(len(cell.source.splitlines()))
    assert max(sizes) <= 8 and statistics.median(sizes) <= 3


@every_notebook
def test_it_is_mostly_prose(path: Path) -> None:
    code, prose = cells(path, "code"), cells(path, "markdown")
    # The audit is the shortest, the roll back with its nine steps the longest.
    assert 18 <= len(code) + len(prose) <= 36
    assert len(prose) >= len(code)
    words = sum(len(re.findall(r"\w[\w'-]*", cell.source)) for cell in prose)
    assert words > 8 * sum(len(cell.source.splitlines()) for cell in code)


# -- as files -------------------------------------------------------------------------------------


@every_notebook
def test_its_cells_have_words_for_ids(path: Path) -> None:
    names = [cell.id for cell in cells(path)]
    assert len({*names}) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z-]*", name)] == []


@every_notebook
def test_it_is_written_as_nbformat_writes_it_and_holds_no_more_than_it_needs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert path.read_bytes().decode() == f"{nbformat.writes(notebook)}\n"
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata == METADATA
    assert [cell.id for cell in notebook.cells if cell.metadata] == ["parameters"]
    counts = [cell.execution_count for cell in cells(path, "code")]
    assert counts == [*range(1, len(counts) + 1)]


@every_notebook
def test_it_holds_outputs_of_the_rehearsal_account_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"(?<![\w.])\d{12}(?![\w.])", text)) == {REHEARSAL_ACCOUNT}
    assert '"output_type": "error"' not in text and '"name": "stderr"' not in text
    assert [what for what, form in OF_ONE_RUN.items() if re.search(form, said(path))] == []
