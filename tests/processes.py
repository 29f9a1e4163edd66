"""The processes of this machine: what goes on by itself is nobody's child any more."""

from __future__ import annotations

import psutil


def running(words: str) -> list[str]:
    """The command lines of all processes that have these words in theirs."""
    found = []
    for one in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(one.info["cmdline"] or ())
        if words in line and one.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(line)
    return found
