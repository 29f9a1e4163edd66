"""Holds the files of a change folder, and the lines of its journal, against its manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from private_s3.errors import CheckFailed
from private_s3.evidence.finding import Finding, fail
from private_s3.evidence.manifest import line_hashes
from private_s3.journal import Journal

JOURNAL = "journal.jsonl"
Files = Mapping[str, Mapping[str, Any]]  # SHA-256 and size, by path


def irregular(folder: Path) -> Iterator[Finding]:
    """What no change folder holds: links, and what is neither file nor folder."""
    for path in sorted(folder.rglob("*")):
        where = path.relative_to(folder).as_posix()
        if path.is_symlink():
            yield fail(where, f"is a link, to {path.readlink()}")
        elif not (path.is_file() or path.is_dir()):
            yield fail(where, "is neither a file nor a folder")


def of_files(sealed: Files, there: Files) -> Iterator[Finding]:
    """Every file that is not as it was sealed, and every one that was not sealed."""
    missing, added = sealed.keys() - there.keys(), there.keys() - sealed.keys()
    for name in sorted(missing):
        moved = sorted(one for one in added if there[one] == sealed[name])
        yield fail(name, f"missing; {moved[0]} has its content" if moved else "missing")
    for name in sorted(added):
        twins = sorted(one for one in sealed if there[name] == sealed[one])
        yield fail(name, "was not sealed" + (f"; has the content of {twins[0]}" if twins else ""))
    for name in sorted(sealed.keys() & there.keys()):
        if there[name] != sealed[name]:
            yield fail(name, _altered(name, sealed, there))


def _altered(name: str, sealed: Files, there: Files) -> str:
    now, then = there[name], sealed[name]
    others = [other for other, about in sealed.items() if about == now and now["size"]]
    for other in others:
        if there.get(other) == then:
            return f"exchanged with {other}"
    if others:
        return f"replaced by the content of {others[0]}"
    if now["size"] == then["size"]:
        return f"altered: other content in the same {now['size']} bytes"
    return f"altered: {now['size']} bytes instead of {then['size']}"


def of_lines(folder: Path, sealed: Sequence[str]) -> Iterator[Finding]:
    """Every line of the journal that is not as it was sealed, and faults of its chain."""
    there = line_hashes(folder)
    if sorted(there) == sorted(sealed):
        yield from _in_another_order(sealed, there)
    else:
        matcher = SequenceMatcher(None, sealed, there, autojunk=False)
        for _, a, b, c, d in (code for code in matcher.get_opcodes() if code[0] != "equal"):
            both = min(b - a, d - c)
            if both:
                yield fail(_lines(a, a + both), "altered")
            if b - a > both:
                yield fail(_lines(a + both, b), "missing")
            elif d - c > both:
                count = d - c - both
                words = "1 line was" if count == 1 else f"{count} lines were"
                yield fail(f"{JOURNAL} after line {a + both}", f"{words} added")
    try:
        Journal(folder).lines()
    except CheckFailed as error:
        yield fail(JOURNAL, error.answer)


def _in_another_order(sealed: Sequence[str], there: Sequence[str]) -> Iterator[Finding]:
    pairs = enumerate(zip(sealed, there, strict=True), 1)
    moved = [number for number, (then, now) in pairs if then != now]
    if len(moved) == 2:
        yield fail(f"{JOURNAL} lines {moved[0]} and {moved[1]}", "exchanged")
    elif moved:
        yield fail(_lines(moved[0] - 1, moved[-1]), "in another order")


def _lines(begin: int, end: int) -> str:
    """Lines by their numbers, from indices as of a slice."""
    return f"{JOURNAL} line {end}" if end - begin == 1 else f"{JOURNAL} lines {begin + 1} to {end}"
