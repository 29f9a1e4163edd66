"""What the runbook costs in AWS calls does not grow with the account."""

from __future__ import annotations

import json

import pytest

from tests.support.growth import VPCS
from tests.support.notebook_runs import told_by


@pytest.fixture(scope="module")
def calls() -> dict[str, dict[str, int]]:
    """By the number of other VPCs, each with ten route tables, the calls of notebook 10."""
    told: dict[str, dict[str, int]] = told_by("tests.support.growth")
    return told


def test_notebook_10_makes_the_same_calls_among_1_10_and_100_vpcs(
    calls: dict[str, dict[str, int]],
) -> None:
    few, some, many = (calls[str(number)] for number in VPCS)
    assert few == some == many, json.dumps(calls, indent=1)
    assert few["DescribeRouteTables"] == 1
