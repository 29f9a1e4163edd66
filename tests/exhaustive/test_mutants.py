"""A fault in iam_verdict is found by the recorded cases of the engine, or by the unit tests."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.oracle.mutants import MUTANTS, RECORDED, UNIT_TESTS, Mutant, is_found
from tests.support.sampling import sampled


def kinds(mutant: Mutant) -> list[tuple[str, str]]:
    return [(mutant.module, mutant.judge)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "mutant" in metafunc.fixturenames:
        chosen = sampled(metafunc.config, "planted faults", MUTANTS, kinds, at_least=30)
        metafunc.parametrize("mutant", chosen, ids=str)


def test_a_planted_fault_is_found(mutant: Mutant, tmp_path: Path) -> None:
    assert is_found(mutant.judge, mutant.module, mutant.mutated(), tmp_path)


@pytest.mark.parametrize("judge", [RECORDED, UNIT_TESTS])
def test_without_a_fault_none_is_found(judge: str, tmp_path: Path) -> None:
    mutant = MUTANTS[0]
    assert not is_found(judge, mutant.module, mutant.original(), tmp_path)


def test_every_planted_fault_has_its_place() -> None:
    for mutant in MUTANTS:
        compile(mutant.mutated(), mutant.fault, "exec")
    assert max(Counter(mutant.fault for mutant in MUTANTS).values()) == 1
