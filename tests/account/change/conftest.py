"""What tests of the ways onto the instances share."""

from __future__ import annotations

from pathlib import Path

import pytest

import rehearsal
from private_s3.evidence import manifest
from tests.support.world import World, enter


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reports take seconds; what stands in for them is a file as good as any other."""
    write = Path.write_text
    monkeypatch.setattr(manifest.report, "write", lambda top: write(top / "report.html", "<html>"))


@pytest.fixture
def asking(shared: rehearsal.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The shared account, as it is at its start, and the operator who asks only app-1."""
    entered = enter(shared, tmp_path, monkeypatch)
    values = {**entered.values, "check_also": []}
    return World(entered.account, entered.folder, values)
