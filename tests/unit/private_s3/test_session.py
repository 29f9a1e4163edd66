"""The copies of a session: filled in, never changed once sealed, and gone if nothing was run."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from tornado.web import HTTPError

from private_s3 import runs
from private_s3.evidence import executed, manifest
from private_s3.parameters import Parameters
from private_s3.session import command, copies, jupyterlab
from private_s3.session.contents import PARAMETERS, Contents
from tests.support import readings as worlds
from tests.unit.private_s3.test_steps import ALL, BACK, ENDPOINT, FIND, POLICY, approved, ran

AWKWARD = {
    "note": 'a "quoted" one  # with a comment,\nand 日本語 \\ \u2028',
    "must_work": ["i-0123456789abcdef0"],
    "force": True,
    "settle_seconds": 7,
    "endpoint_policy": "policies/{one}.json",
}


@pytest.fixture
def parameters(tmp_path: Path) -> Parameters:
    return worlds.parameters(changes_dir=str(tmp_path))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports take a browser seconds, and are not looked at here."""
    monkeypatch.setattr(manifest.report, "write", lambda folder: (folder / "report.html").touch())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "rehearsal"


@pytest.fixture
def contents(
    folder: Path, parameters: Parameters, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Contents:
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv(PARAMETERS, json.dumps(parameters.model_dump()))
    return Contents(root_dir=str(folder))  # type: ignore[no-untyped-call]


def get(contents: Contents, path: str) -> Any:
    return asyncio.run(contents.get(path))


def run(path: Path) -> None:
    """Makes a copy one in which something was run."""
    notebook = json.loads(path.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    code[0]["execution_count"] = 1
    path.write_text(json.dumps(notebook))


@pytest.mark.parametrize("step", [*ALL, BACK, "80_audit_drift"])
def test_a_copy_has_the_parameters_filled_in_and_nothing_run(
    folder: Path, parameters: Parameters, step: str
) -> None:
    values = {**parameters.model_dump(), **AWKWARD}
    path = folder / "plan" / f"{step}.ipynb"
    copies.make(path, values)
    assert executed.read(path).parameters == values
    assert executed.read(path).outputs == []
    notebook: Any = nbformat.read(path, as_version=4)
    original: Any = nbformat.read(copies.template(step), as_version=4)
    assert [cell.id for cell in notebook.cells] == [cell.id for cell in original.cells]
    assert len(papermill.inspect_notebook(path)) == len(values)
    changed = [
        (one.source, other.source)
        for one, other in zip(notebook.cells, original.cells, strict=True)
        if one.source != other.source
    ]
    assert len(changed) == 1
    comments = [[line.split("  # ")[-1] for line in text.split("\n")] for text in changed[0]]
    assert comments[0] == comments[1]


def test_a_copy_that_is_there_stays(folder: Path, parameters: Parameters) -> None:
    path = folder / "plan" / f"{FIND}.ipynb"
    copies.make(path, parameters.model_dump())
    text = path.read_text()
    copies.make(path, {**parameters.model_dump(), "note": "another"})
    assert path.read_text() == text


def test_a_copy_in_which_nothing_was_run_or_written_goes(
    folder: Path, parameters: Parameters
) -> None:
    for step in ALL:
        copies.make(folder / "plan" / f"{step}.ipynb", parameters.model_dump())
    run(folder / "plan" / f"{FIND}.ipynb")
    remarked = folder / "plan" / f"{POLICY}.ipynb"
    remarked.write_text(remarked.read_text().replace("# Apply", "# Do not yet apply"))
    copies.remove_unused(folder)
    left = sorted(path.stem for path in folder.rglob("*.ipynb"))
    assert left == [FIND, POLICY]


def test_what_is_sealed_stays_also_if_nothing_was_run_in_it(
    folder: Path, parameters: Parameters
) -> None:
    path = folder / "plan" / f"{FIND}.ipynb"
    copies.make(path, parameters.model_dump())
    manifest.seal(folder)
    copies.remove_unused(folder)
    assert path.exists()
    assert copies.to_run(folder, "plan", FIND).name == f"{FIND}-2.ipynb"


def test_the_tenth_copy_follows_the_ninth(folder: Path) -> None:
    (folder / "plan").mkdir(parents=True)
    for name in ("", *(f"-{number}" for number in range(2, 11))):
        (folder / f"plan/{FIND}{name}.ipynb").write_text("{}")
    manifest.seal(folder)
    assert copies.to_run(folder, "plan", FIND).name == f"{FIND}-11.ipynb"


def test_a_session_lays_out_what_is_not_done(folder: Path, parameters: Parameters) -> None:
    ran(parameters, FIND)
    first, complete = jupyterlab.lay_out(parameters, ALL)
    assert (first, complete) == (folder / "plan" / f"{ENDPOINT}.ipynb", False)
    assert sorted(path.stem for path in folder.rglob("*.ipynb")) == ALL[1:]


def finish(path: Path) -> None:
    """Makes a copy one that was run to its end."""
    notebook = json.loads(path.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, 1):
        cell["execution_count"] = number
    path.write_text(json.dumps(notebook))


@pytest.mark.parametrize(("code", "passed_on"), [(0, 0), (3, 3), (-2, 0)])
def test_a_session_ends_as_jupyterlab_did_unless_a_signal_ended_that(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch, code: int, passed_on: int
) -> None:
    monkeypatch.setattr(jupyterlab, "run", lambda *_: code)
    with pytest.raises(SystemExit) as ended:
        command.session(parameters, runs.RUNBOOK, [], None)
        raise SystemExit(0)
    assert ended.value.code == passed_on


def test_a_step_whose_copy_does_not_show_all_of_it_is_to_be_run_again(
    folder: Path, parameters: Parameters
) -> None:
    ran(parameters, FIND)
    copy = folder / "plan" / f"{FIND}.ipynb"
    copies.make(copy, parameters.model_dump())
    run(copy)
    assert copies.unfinished(folder) == [copy]
    assert jupyterlab.lay_out(parameters, ALL) == (copy, False)
    finish(copy)
    assert copy not in copies.unfinished(folder)
    assert jupyterlab.lay_out(parameters, ALL)[0].stem == ENDPOINT
    copy.write_text(copy.read_text()[:100])
    assert copy in copies.unfinished(folder)
    manifest.seal(folder)
    assert copies.unfinished(folder) == []
    assert jupyterlab.lay_out(parameters, ALL)[0].stem == f"{FIND}-2"


def test_jupyterlab_does_not_take_its_own_saving_for_that_of_somebody_else(
    contents: Contents, folder: Path, parameters: Parameters
) -> None:
    def hash_of(path: str) -> Any:
        return asyncio.run(contents.get(path, content=False, require_hash=True))["hash"]

    path = f"plan/{FIND}.ipynb"
    copies.make(folder / path, parameters.model_dump())
    before = hash_of(path)
    finish(folder / path)
    assert before and hash_of(path) == before


def test_a_copy_comes_when_a_link_asks_for_it(
    contents: Contents, folder: Path, parameters: Parameters
) -> None:
    ran(approved(parameters), FIND)
    model = get(contents, f"apply/{ENDPOINT}.ipynb")
    assert model["writable"]
    values = executed.read(folder / "apply" / f"{ENDPOINT}.ipynb").parameters
    assert values == approved(parameters).model_dump()
    get(contents, f"plan/{BACK}.ipynb")
    undone = executed.read(folder / "plan" / f"{BACK}.ipynb").parameters
    assert undone == parameters.model_dump()


@pytest.mark.parametrize(
    "path",
    [
        "plan/nothing.ipynb",
        f"other/{FIND}.ipynb",
        f"plan/deeper/{FIND}.ipynb",
        f"plan/{FIND}.txt",
        f"{FIND}.ipynb",
        f"plan/../plan/{FIND}.ipynb",
    ],
)
def test_nothing_else_comes(contents: Contents, folder: Path, path: str) -> None:
    with pytest.raises(HTTPError):
        get(contents, path)
    assert [*folder.rglob("*.ipynb")] == []


def test_the_folder_itself_is_listed(contents: Contents) -> None:
    assert get(contents, "")["type"] == "directory"


def test_what_is_sealed_is_read_only_and_says_so(
    contents: Contents, folder: Path, parameters: Parameters
) -> None:
    path = f"plan/{FIND}.ipynb"
    copies.make(folder / path, parameters.model_dump())
    manifest.seal(folder)
    before = (folder / path).read_bytes()
    model = get(contents, path)
    assert not model["writable"]
    assert f"[{FIND}-2.ipynb]({FIND}-2.ipynb)" in model["content"]["cells"][0]["source"]
    for refused in (
        contents.save(model, path),
        contents.delete_file(path),
        contents.rename_file(path, "plan/x.ipynb"),
        contents.rename_file("plan", "other"),
        contents.delete_file("plan"),
    ):
        with pytest.raises(HTTPError, match="is sealed"):
            asyncio.run(refused)
    assert (folder / path).read_bytes() == before
    assert not get(contents, "report.html")["writable"]


def test_what_is_not_sealed_is_saved(
    contents: Contents, folder: Path, parameters: Parameters
) -> None:
    path = f"plan/{FIND}.ipynb"
    model = get(contents, path)
    model["content"]["cells"][0]["source"] = "# A remark"
    asyncio.run(contents.save(model, path))
    assert "# A remark" in (folder / path).read_text()
