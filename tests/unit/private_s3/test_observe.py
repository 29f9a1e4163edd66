"""What was observed, beside what was predicted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from private_s3 import observe
from private_s3.access import COLUMNS, Cell, Row
from private_s3.instance import Answers
from private_s3.observe import Comparison
from private_s3.probes import Observation
from private_s3.record import Check, Record
from tests.support.readings import CI, TARGET, account, one, parameters, people


def row(**states: Any) -> Row:
    cells = {c: Cell(states.get(c, "denied"), "why") for c in ("list", "read", "administer")}
    rest = {c: Cell("denied", "why") for c in ("write", "delete")}
    both = {**cells, **rest}
    return Row("app-1", "through the endpoint", both, both, "x", "through nat-1")


@pytest.mark.parametrize(
    ("seen", "applying", "state", "detail"),
    [
        ({"list": ("allowed", "ok")}, True, "PASS", "1 of 1 cells"),
        ({"list": ("denied", "no")}, True, "FAIL", "0 of 1 cells; app-1 through the endpoint, list:"
         " predicted allowed (why), observed denied (no)"),
        ({"list": ("denied", "no")}, False, "UNCERTAIN", "0 of 1 cells; app-1 through nat-1, list:"
         " predicted allowed (why), observed denied (no)"),
        ({"read": ("allowed", "ok")}, True, "PASS", "0 of 1 cells"),  # depends: nothing to hold
        ({"read": ("denied", "no")}, False, "PASS", "0 of 1 cells"),
        ({"read": ("denied", ""), "list": ("allowed", "")}, True, "PASS", "1 of 2 cells"),
        ({"read": ("denied", ""), "list": ("denied", "")}, True, "FAIL", "0 of 2 cells; "),
        ({"list": ("wrong region", "")}, True, "FAIL", "observed wrong region"),
    ],
)  # fmt: skip
def test_one_difference_fails_and_names_both_sides(
    seen: dict[str, tuple[str, str]], applying: bool, state: str, detail: str
) -> None:
    comparison = Comparison([(row(list="allowed", read="depends"), seen)], [], applying)
    (check,) = comparison.checks()
    assert check.state == state and detail in check.detail


def test_while_planning_the_present_is_compared_and_then_what_was_planned() -> None:
    changing = replace(row(), before=row(list="allowed").before)
    seen = {"list": ("allowed", "ok")}
    planning, applying = (Comparison([(changing, seen)], [], now) for now in (False, True))
    assert [one.checks()[0].state for one in (planning, applying)] == ["PASS", "FAIL"]


def test_the_table_shows_what_was_not_asked_and_what_was_not_predicted() -> None:
    seen = {"list": ("denied", "no"), "read": ("denied", "no")}
    comparison = Comparison([(row(list="allowed"), seen)], [], True)
    (shown,) = comparison.table().itertuples(index=False)
    assert list(shown[2:]) == ["denied, predicted allowed", "denied", "-", "-", "-"]
    facts = comparison.facts()
    assert [one["request"] for one in facts] == ["list", "read"]
    assert facts[0]["predicted"] == {"state": "allowed", "reason": "why"}


def test_a_cell_that_nobody_could_predict_shows_what_was_seen_and_that() -> None:
    comparison = Comparison([(row(read="depends"), {"read": ("allowed", "ok")})], [], True)
    (shown,) = comparison.table().itertuples(index=False)
    assert shown[3] == "allowed, predicted depends"
    assert tuple(comparison.table().columns) == ("who", "where", *COLUMNS)


def test_where_a_caller_is_follows_the_pass() -> None:
    asked = [(row(), {"list": ("denied", "no")})]
    for applying, where in ((True, "through the endpoint"), (False, "through nat-1")):
        comparison = Comparison(asked, [], applying)
        assert comparison.table()["where"].tolist() == [where]
        assert [fact["where"] for fact in comparison.facts()] == [where]
        observed = {"state": "denied", "answer": "no"}
        assert [fact["observed"] for fact in comparison.facts()] == [observed]


def test_who_was_not_asked_is_told_after_the_comparison() -> None:
    silent = Check("app-2 can be asked", "UNCERTAIN", "no answer")
    assert [one.name for one in Comparison([], [silent], True).checks()] == [
        "predicted equals observed",
        "app-2 can be asked",
    ]


def answered(*ids: str) -> Answers:
    seen = [Observation(i, "list", "denied", "no", 1) for i in ids]
    seen += [Observation(i, "internet", "timeout", "", 3) for i in ids]
    return Answers(seen, {}, True)


@pytest.mark.parametrize("also", [[], ["neighbours"]])
def test_an_instance_is_compared_with_its_row_and_missed_if_it_was_to_be_asked(
    tmp_path: Path, also: list[str]
) -> None:
    values = parameters(changes_dir=str(tmp_path), approved_plan="0" * 12, check_also=also)
    target = replace(one(people(), TARGET, ""), instances=("i-1", "i-2"))
    neighbour = replace(target, part="neighbour", instances=("i-3", "i-4"))
    found = observe.compare(
        account(),
        Record(values, "50"),
        [(target, row()), (neighbour, replace(row(), who="app-3")), (one(people(), CI), row())],
        answered("i-1", "i-3"),
        writes=False,
    )
    assert [(r.who, seen) for r, seen in found.asked] == [
        ("app-1", {"list": ("denied", "denied: no")}),
        ("app-3", {"list": ("denied", "denied: no")}),
    ]
    missed = [("app-1 can be asked", "nothing was heard of i-2")]
    missed += [("app-3 can be asked", "nothing was heard of i-4")] if also else []
    assert [(check.name, check.detail) for check in found.unasked] == missed
    assert {check.state for check in found.unasked} == {"UNCERTAIN"}
    assert found.applying


def test_why_nobody_was_asked_is_told_for_each_instance(tmp_path: Path) -> None:
    values = parameters(changes_dir=str(tmp_path))
    target = replace(one(people(), TARGET, ""), instances=("i-1",))
    silent = Answers([], {}, True, {"i-1": "not managed"})
    record = Record(values, "50")
    found = observe.compare(account(), record, [(target, row())], silent, writes=False)
    assert [check.detail for check in found.unasked] == ["not managed"]
    assert not found.applying and not found.asked
