"""A change folder of an earlier version is verified, and has the status, that it had then."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.formats import Kept, kept, status_of, verify_result

each_kept = pytest.mark.parametrize("folder", kept(), ids=str)


@each_kept
def test_verify_finds_what_it_found_then(folder: Kept, tmp_path: Path) -> None:
    unpacked = folder.unpack(tmp_path)
    assert verify_result(unpacked, folder.allowed_signers) == folder.then["verify"]


@each_kept
def test_status_says_what_it_said_then(folder: Kept, tmp_path: Path) -> None:
    folder.unpack(tmp_path)
    assert status_of(folder.parameters(tmp_path)) == folder.then["status"], (
        "If only its words are others now: python -m tests.support.write_formats --words"
    )
