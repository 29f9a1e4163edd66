"""Goes on where a run of many tests was broken off: `--resume FILE` keeps those that passed there.

The file is about one state of the project: with any other, all is run again.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests import PROJECT

_MADE = re.compile(r"/(__pycache__|node_modules|[^/]+\.egg-info|\.ipynb_checkpoints)/")


class Resuming:
    """Leaves out the tests that the file names, and adds each that passes."""

    def __init__(self, file: Path, *, writes: bool) -> None:
        self._file, self._writes = file, writes
        self._going_well: set[str] = set()
        first, *self._passed = file.read_text("utf-8").splitlines() if file.exists() else [""]
        if first != (state := project_state()):
            self._passed = []
            if writes:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{state}\n", "utf-8")

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leaves out what has passed."""
        passed = {*self._passed}
        if gone := [item for item in items if item.nodeid in passed]:
            config.hook.pytest_deselected(items=gone)
            items[:] = [item for item in items if item.nodeid not in passed]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps what has passed, and was tidied up after."""
        if report.when == "call" and report.passed:
            self._going_well.add(report.nodeid)
        elif report.when == "teardown" and report.passed and report.nodeid in self._going_well:
            self._keep(report.nodeid)

    def _keep(self, name: str) -> None:
        if self._writes:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{name}\n")


def project_state() -> str:
    """A digest of all that a test can depend on within the project."""
    digest = hashlib.sha256()
    for folder in ("lib", "notebooks", "params", "runbooks", "tests"):
        for path in sorted((PROJECT / folder).rglob("*")):
            if path.is_file() and not _MADE.search(str(path)):
                digest.update(f"{path.relative_to(PROJECT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
