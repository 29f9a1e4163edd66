"""The example beside the runbooks is what a run of today leaves, also one by hand."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from private_s3.evidence import manifest
from private_s3.evidence.verify import ok, verify
from private_s3.folder import change_folder
from private_s3.runbook import Runbook, facts
from tests import PROJECT
from tests.support import by_hand, example
from tests.support.accounts import Accounts
from tests.support.world import World, enter


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory, accounts: Accounts) -> Iterator[Path]:
    """The folder of the same change, done by hand in a new account, and sealed."""
    top = tmp_path_factory.mktemp("by-hand")
    with accounts.fresh() as account, pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest.report.browser, "find", lambda: None)
        world = enter(account, top, patch)
        yield _by_hand(World(account, world.folder, {}))
        assert account.errors() == []


def _by_hand(world: World) -> Path:
    parameters = world.parameters()
    path = PROJECT / "runbooks/open_private_path.yaml"
    names = [notebook.stem for notebook in Runbook.load(path).notebooks]
    by_hand.run(parameters, names, kernel=False)
    digest = facts(parameters, names[1])["plan"]
    assert (
        world.cli(
            "approve", digest, "--by", "approver@example.com", "-f", "params/rehearsal.yaml"
        ).exit_code
        == 0
    )
    first, *rest = names
    folder = change_folder(parameters)
    copy = folder / "apply" / f"{first}.ipynb"
    by_hand.copies.make(copy, parameters.model_dump())
    by_hand.typed(copy, digest)
    by_hand.run_copy(copy, kernel=False)
    for step in rest:
        by_hand.run(by_hand.carried(parameters, step), [step], kernel=False)
    manifest.seal(folder)
    return folder


def test_the_example_verifies() -> None:
    findings = verify(example.EXAMPLE, None)
    assert ok(findings), findings


def test_a_run_by_hand_verifies(hand: Path) -> None:
    findings = verify(hand, None)
    assert ok(findings), findings


def test_the_example_has_no_trace_of_the_machine_that_made_it() -> None:
    for path in example.EXAMPLE.rglob("*"):
        if path.is_file():
            found = re.search(r"/(home|root|tmp|work|Users)/", path.read_text())
            assert not found, (path, found)


def test_a_fresh_run_by_hand_tells_what_the_example_tells(hand: Path) -> None:
    """Facts, plans and journal are equal; so are the texts that the notebooks show, but for links
    that lead on in JupyterLab and commands that do elsewhere.
    """
    told, fresh = example.told(example.EXAMPLE), example.told(hand)
    assert [*told] == [*fresh]
    for name, value in told.items():
        if name.endswith(".ipynb"):
            assert _results(value) == _results(fresh[name]), name
        else:
            assert value == fresh[name], name


def _results(outputs: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    return [(cell, texts) for cell, texts in outputs if cell not in ("next", "begin")]


def test_a_difference_would_be_seen(tmp_path: Path) -> None:
    copy = shutil.copytree(example.EXAMPLE, tmp_path / "rehearsal")
    path = copy / "facts/apply/50_check_from_instance.json"
    text = path.read_text()
    assert '"outcome": "succeeded"' in text
    path.write_text(text.replace('"outcome": "succeeded"', '"outcome": "timeout"', 1))
    assert example.told(copy) != example.told(example.EXAMPLE)
