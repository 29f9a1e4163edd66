"""What `make test` runs of an enumeration that `make exhaustive` runs in full.

The sample has each class of cases in it, is the same in each run, and is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from hashlib import sha256
from typing import TypeVar

import pytest

Case = TypeVar("Case")
COUNTS = pytest.StashKey[dict[str, tuple[int, int]]]()  # by enumeration: so many of so many


def sampled(
    config: pytest.Config,
    name: str,
    cases: Sequence[Case],
    classes: Callable[[Case], Iterable[Hashable]],
    *,
    at_least: int = 0,
) -> list[Case]:
    """Cases in their order: all with `--every`, else so few that each class is in one of them.

    `classes` gives the classes of a case, `at_least` how many cases there must be in any event.
    """
    chosen = {*range(len(cases))} if config.getoption("every") else _cover(cases, classes, at_least)
    config.stash.setdefault(COUNTS, {})[name] = len(chosen), len(cases)
    return [case for number, case in enumerate(cases) if number in chosen]


def _cover(
    cases: Sequence[Case], classes: Callable[[Case], Iterable[Hashable]], at_least: int
) -> set[int]:
    """A case for each class, those first that are in most; then others, as if by lot."""
    by_lot = sorted(range(len(cases)), key=lambda n: sha256(str(cases[n]).encode()).digest())
    held = {number: {*classes(cases[number])} for number in by_lot}
    missing: set[Hashable] = set().union(*held.values())
    chosen: set[int] = set()
    while missing:
        best = max(by_lot, key=lambda number: len(held[number] & missing))
        chosen.add(best)
        missing -= held[best]
    for number in by_lot:
        if len(chosen) >= at_least:
            break
        chosen.add(number)
    return chosen
