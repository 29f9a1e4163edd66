"""iam_verdict decides as an independent engine does: recorded cases, and fresh ones."""

import json
from collections import Counter

import pytest

from tests.exhaustive.test_oracle_defects import DEFECTS
from tests.support.oracle import corpus, differential
from tests.support.oracle.cases import Case
from tests.support.oracle.engine import Engine, version
from tests.support.oracle.exclusions import conditions, excluded
from tests.support.sampling import sampled

# Those that are recorded have small numbers.
FRESH, TOGETHER, FIRST = 250_000, 2_000, 10**9
BATCHES = [range(FIRST + n, FIRST + n + TOGETHER) for n in range(0, FRESH, TOGETHER)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The batches are alike: each has every kind of case in it."""
    if "batch" in metafunc.fixturenames:
        batches = sampled(metafunc.config, "batches of verdicts", BATCHES, lambda _: (), at_least=2)
        metafunc.parametrize("batch", batches, ids=lambda batch: f"{batch[0]}-{batch[-1]}")


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


def test_fresh_cases_are_decided_as_the_engine_does(engine: Engine, batch: range) -> None:
    result = differential.compare(engine, batch)
    small = [json.dumps(differential.shrink(engine, case)) for case in result.differences[:2]]
    assert not small
    assert result.cases == len(batch) == result.compared + result.excluded.total()
    assert result.compared > 0.8 * len(batch)
    assert len(result.verdicts) == 3 and min(result.verdicts.values()) > len(batch) / 20


def test_difference_is_found_and_made_small(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differential, "excluded", lambda case: "")
    defect = next(case for name, case, _, _ in DEFECTS if name == "all addresses")
    statement = {"Effect": "Allow", "Action": ["s3:Get*", "s3:Put*"], "Resource": "*"}
    more: Case = defect | {"context": defect["context"] | {"aws:SecureTransport": "true"}}
    more["policies"] = defect["policies"] | {"boundary": {"Statement": [statement] * 3}}
    small = differential.shrink(engine, more)
    assert small["context"] == defect["context"]
    assert small["policies"].keys() == {"identity"}
    assert len(small["policies"]["identity"][0]["Statement"]) == 1
