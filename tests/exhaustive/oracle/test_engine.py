"""iam_verdict decides as an independent engine does: recorded cases, and fresh ones."""

import json
from collections import Counter

import pytest

from tests.exhaustive.oracle.test_defects import DEFECTS
from tests.support.oracle import corpus, differential
from tests.support.oracle.cases import Case
from tests.support.oracle.engine import version
from tests.support.oracle.exclusions import conditions, excluded
from tests.support.oracle.mutants import MUTANTS

FRESH, FIRST = 4_000, 10**9  # cases of their own: `python -m tests.support.oracle` begins at 0


def test_recorded_cases_are_decided_as_the_engine_did() -> None:
    assert list(corpus.differences()) == []


def test_recorded_cases_are_of_the_pinned_engine_and_have_every_decision() -> None:
    recorded_version, cases = corpus.recorded()
    assert (recorded_version, len(cases)) == (version(), corpus.CASES)
    assert not any(excluded(case) for case, _ in cases)
    shares = Counter(decision for _, decision in cases)
    assert min(shares.values()) > corpus.CASES / 6
    assert shares.keys() == {"allowed", "explicitly denied", "implicitly denied"}


def test_recorded_cases_have_every_operator_caller_and_layer() -> None:
    cases = [case for case, _ in corpus.recorded()[1]]
    used = Counter(
        operator.rpartition(":")[2].removesuffix("IfExists")
        for case in cases
        for operator, _, _ in conditions(case)
    )
    assert (len(used), min(used.values()) >= 20) == (27, True)
    assert len({case["principal"]["kind"] for case in cases}) == 5
    layers = Counter(layer for case in cases for layer in case["policies"])
    assert (len(layers), min(layers.values()) >= 100) == (8, True)


def test_every_planted_fault_has_its_place() -> None:
    for mutant in MUTANTS:
        compile(mutant.mutated(), mutant.fault, "exec")
    assert len({mutant.fault for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.usefixtures("engine")
def test_fresh_cases_are_decided_as_the_engine_does() -> None:
    result = differential.compare(range(FIRST, FIRST + FRESH))
    small = [json.dumps(differential.shrink(case)) for case in result.differences[:2]]
    assert not small, f"python -m tests.support.oracle {FRESH} {FIRST}"
    assert result.cases == FRESH == result.compared + result.excluded.total()
    assert result.compared > FRESH / 2


@pytest.mark.usefixtures("engine")
def test_difference_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differential, "excluded", lambda case: "")
    defect = next(case for name, case, _, _ in DEFECTS if name == "all addresses")
    statement = {"Effect": "Allow", "Action": ["s3:Get*", "s3:Put*"], "Resource": "*"}
    more: Case = defect | {"context": defect["context"] | {"aws:SecureTransport": "true"}}
    more["policies"] = defect["policies"] | {"boundary": {"Statement": [statement] * 3}}
    small = differential.shrink(more)
    assert small["context"] == defect["context"]
    assert small["policies"].keys() == {"identity"}
    assert len(small["policies"]["identity"][0]["Statement"]) == 1
