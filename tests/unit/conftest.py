"""Fails each test of this folder that starts a rehearsal account, a Jupyter kernel or a browser."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from private_s3.evidence.report import browser

BROWSER = browser.find()
SHELF = Path(__file__).parent
# By what stands in the command of the process.
ELSEWHERE = {
    ("-m", "rehearsal"): "a rehearsal account: tests/account is for that",
    ("-m", "ipykernel_launcher"): "a kernel: tests/notebooks is for that",
    ("run-driver",): "a browser: tests/notebooks is for that",  # of playwright
    **({(BROWSER,): "a browser: tests/notebooks is for that"} if BROWSER else {}),
}
_start: Any = subprocess.Popen.__init__
_refused: list[str] = []


def _start_unless_elsewhere(process: Any, args: Any, *more: Any, **options: Any) -> None:
    command = [args] if isinstance(args, (str, bytes, os.PathLike)) else [*args]
    words = {os.fsdecode(word) for word in command}
    for marks, reason in ELSEWHERE.items():
        if words.issuperset(marks):
            _refused.append(f"a test of tests/unit starts {reason}")
            raise RuntimeError(_refused[-1])
    _start(process, args, *more, **options)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Puts the check around the fixtures too, whatever their scope."""
    with pytest.MonkeyPatch.context() as patch:
        if item.path.is_relative_to(SHELF):
            patch.setattr(subprocess.Popen, "__init__", _start_unless_elsewhere)
        return (yield)


@pytest.fixture(autouse=True)
def starts_nothing_big() -> Iterator[None]:
    """Fails the test also when what it tests has caught the error."""
    yield
    refused = [*_refused]
    _refused.clear()
    assert not refused
