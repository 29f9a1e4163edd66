"""Rehearsal accounts of which a part is another, as their processes are started."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import rehearsal


def alter(monkeypatch: pytest.MonkeyPatch, folder: Path, change: str) -> None:
    """Lets each account that is started from now on run these statements first."""
    program, python = folder / "program.py", folder / "python"
    program.write_text(f"{change}\nfrom rehearsal import __main__\n__main__.main()\n")
    python.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {program} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(rehearsal, "sys", SimpleNamespace(executable=str(python)))
