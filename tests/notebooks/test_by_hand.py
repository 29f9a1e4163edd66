"""Notebooks that a hand runs in JupyterLab: a kernel that dies between two cells loses nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from private_s3.evidence import manifest, shown
from private_s3.evidence.story import Story
from private_s3.folder import change_folder
from private_s3.runbook import facts
from tests.support import by_hand
from tests.support.notebook_runs import ENDPOINT, FIND, POLICY
from tests.support.world import World

CHANGES = ("CreateVpcEndpoint", "PutBucketPolicy", "ModifyVpcEndpoint")


def code(path: Path) -> list[str]:
    notebook: Any = nbformat.read(path, as_version=4)
    return [cell.id for cell in notebook.cells if cell.cell_type == "code"]


def test_a_kernel_killed_between_cells_does_nothing_twice(world: World) -> None:
    """From the cell before the write on: each time from the top, one cell further than before."""
    digest = world.plan()
    parameters = world.parameters(approved_plan=digest)
    folder = change_folder(parameters)
    for step in (ENDPOINT, POLICY):
        copy = folder / "apply" / f"{step}.ipynb"
        by_hand.copies.make(copy, parameters.model_dump())
        cells = code(copy)
        for count in range(cells.index("applied"), len(cells) + 1):
            # A real kernel is killed right after the write; otherwise its names are forgotten.
            killed = count == cells.index("applied") + 1
            by_hand.run_copy(copy, slice(count), kernel=killed)
    done = Counter(name for name in world.writes() if name in CHANGES)
    assert done == {"CreateVpcEndpoint": 1, "PutBucketPolicy": 1}
    manifest.seal(folder)
    assert [one for one in shown.contradictions(Story(folder)) if one.state == "FAIL"] == []


def test_an_error_is_kept_until_the_step_comes_to_its_end(world: World) -> None:
    wrong = world.parameters(vpc_id="vpc-0123456789abcdef0")
    with pytest.raises(CellExecutionError):
        by_hand.run(wrong, [FIND])
    told = facts(wrong, FIND)["error"]
    assert told["kind"] == "BadInput"
    assert len(told["lines"]) == 3
    folder = change_folder(wrong)
    assert [one for one in shown.contradictions(Story(folder)) if one.state == "FAIL"] == []
    copy = folder / "plan" / f"{FIND}.ipynb"
    copy.write_text(copy.read_text().replace("vpc-0123456789abcdef0", ""))
    by_hand.run_copy(copy, kernel=False)
    assert "error" not in facts(wrong, FIND)
    assert [*shown.contradictions(Story(folder))] == []


def test_a_copy_that_shows_something_else_than_its_facts_is_found(world: World) -> None:
    (copy,) = by_hand.run(world.parameters(), [FIND], kernel=False)
    story = Story(copy.parent.parent)
    assert [*shown.contradictions(story)] == []
    text = copy.read_text()
    for old, new, finding in (
        ("every instance is running", "every instance is gone", "shows other checks"),
        ('bucket: str = \\"rehearsal', 'bucket: str = \\"other', "other parameters"),
    ):
        assert old in text
        copy.write_text(text.replace(old, new))
        assert finding in str([*shown.contradictions(Story(copy.parent.parent))])
