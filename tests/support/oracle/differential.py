"""Compares iam_verdict with the independent engine, case by case."""

import copy
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from iam_verdict import PolicyError
from tests.support.oracle.cases import Case, case_of, verdict
from tests.support.oracle.engine import Engine
from tests.support.oracle.exclusions import excluded


@dataclass
class Comparison:
    """What came of many cases."""

    cases: int = 0
    excluded: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    differences: list[Case] = field(default_factory=list)

    @property
    def compared(self) -> int:
        """How many cases both had to decide alike."""
        return self.verdicts.total()


def compare(engine: Engine, numbers: Iterable[int]) -> Comparison:
    """What comes of the cases with these numbers."""
    result = Comparison()

    def comparable() -> Iterator[Case]:
        for case in map(case_of, numbers):
            result.cases += 1
            if name := excluded(case):
                result.excluded[name] += 1
            else:
                yield case

    for case, answer in engine.answers(comparable()):
        decision = verdict(case).decision
        result.verdicts[decision] += 1
        if decision != answer:
            result.differences.append(case)
    return result


def shrink(engine: Engine, case: Case) -> Case:
    """A small case on which both still differ: no part of it can be left out."""
    while smaller := next(_differing(engine, _without_one_part(case)), None):
        case = smaller
    return case


def _differing(engine: Engine, cases: Iterable[Case]) -> Iterator[Case]:
    comparable = [case for case in cases if _has_meaning(case) and not excluded(case)]
    for case, answer in engine.answers(comparable):
        if not answer.startswith("{") and verdict(case).decision != answer:
            yield case


def _has_meaning(case: Case) -> bool:
    try:
        verdict(case)
    except PolicyError:
        return False
    return True


def _without_one_part(case: Case) -> Iterator[Case]:
    for name in ("policies", "context"):
        for path in _paths(case[name]):
            candidate = copy.deepcopy(case)
            place = candidate[name]
            for step in path[:-1]:
                place = place[step]
            del place[path[-1]]
            yield candidate


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    """Where the parts of a JSON value are, larger parts first."""
    inner = [*value] if isinstance(value, dict) else range(len(value))
    yield from ((step,) for step in inner if step != "Version")
    for step in inner:
        if isinstance(value[step], dict | list):
            yield from ((step, *path) for path in _paths(value[step]))
