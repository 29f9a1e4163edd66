"""The processes of this machine: what goes on by itself is nobody's child any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psutil


def until(happens: Callable[[], Any], seconds: float = 10) -> bool:
    """Whether it happens in this time."""
    end = time.monotonic() + seconds
    while not (done := happens()) and time.monotonic() < end:
        time.sleep(0.02)
    return bool(done)


def running(words: str) -> list[str]:
    """The command lines of all processes that have these words in theirs."""
    found = []
    for one in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(one.info["cmdline"] or ())
        if words in line and one.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(line)
    return found


def gone(words: str, seconds: float = 5) -> bool:
    """Whether none of them is left; who is killed takes a moment to go."""
    return until(lambda: not running(words), seconds)
