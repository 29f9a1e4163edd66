"""One thing that was found in a sealed change folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from private_s3.clean import clean


@dataclass(frozen=True)
class Finding:
    """FAIL: not as it was sealed, or it contradicts itself. NOTE: what a reader should know."""

    state: Literal["FAIL", "NOTE"]
    where: str
    what: str

    def __str__(self) -> str:
        line = clean(f"{self.state} {self.where}: {self.what}")
        # Names of files may hold bytes that are no text, or more lines than one.
        return line.encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")


def fail(where: str, what: str) -> Finding:
    """Something that must not be."""
    return Finding("FAIL", where, what)


def note(where: str, what: str) -> Finding:
    """Something that a reader should know, and that contradicts nothing."""
    return Finding("NOTE", where, what)
