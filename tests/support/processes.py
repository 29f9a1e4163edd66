"""The processes of this machine: what goes on by itself is nobody's child any more."""

from __future__ import annotations

import time

import psutil


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
    end = time.monotonic() + seconds
    while running(words):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
