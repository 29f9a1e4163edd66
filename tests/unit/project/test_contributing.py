"""CONTRIBUTING.md names the folders of the tests, their minutes, and every sample."""

from __future__ import annotations

import re

from tests import PROJECT
from tests.exhaustive.__main__ import FILES
from tests.support.summary import BUDGET

TESTS = PROJECT / "tests"
TEXT = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SAMPLE = re.compile(r"^\| `PART=(\w+)` \|", re.MULTILINE)


def test_each_folder_of_tests_has_its_minutes() -> None:
    folders = {f"tests/{path.relative_to(TESTS).parts[0]}" for path in TESTS.rglob("test_*.py")}
    assert {name for name, _ in BUDGET.findall(TEXT)} == folders


def test_the_minutes_of_all_folders_fit_into_fifteen_on_two_processors() -> None:
    assert sum(float(minutes) for _, minutes in BUDGET.findall(TEXT)) <= 2 * 15


def test_each_enumeration_that_is_sampled_is_named() -> None:
    sampling = {name for name, path in FILES.items() if "sampled(" in path.read_text("utf-8")}
    assert sampling and {*SAMPLE.findall(TEXT)} == sampling
