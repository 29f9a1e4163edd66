"""What is asked of the instances, what is expected of them, and what is made of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from private_s3 import instance
from private_s3.errors import BadInput, CheckFailed
from private_s3.instance import Answers
from private_s3.probes import Observation
from private_s3.ways_in.way import Heard, Silence

ONE, TWO, THREE = "i-0123456789abcdef0", "i-0fedcba9876543210", "i-00000000000000003"


def rows(observations: list[Observation], expected: instance.Expected) -> list[list[Any]]:
    frame = instance.frame(observations, expected)
    assert tuple(frame.columns) == instance.PROBE_COLUMNS
    return [list(row) for row in frame.itertuples(index=False)]


def test_the_frame_holds_expected_against_observed() -> None:
    observations = [
        Observation(TWO, "list", "denied", "Access Denied", 1),
        Observation(ONE, "internet", "timeout", "", 3),
        Observation(ONE, "list", "succeeded", "keys: 2", 1),
    ]
    expected = {"internet": "unreachable", "list": "succeeded"}
    assert rows(observations, {ONE: expected, TWO: expected}) == [
        [ONE, "list", "succeeded", "succeeded", "keys: 2"],
        [ONE, "internet", "unreachable", "timeout", ""],
        [TWO, "list", "succeeded", "denied", "Access Denied"],
        [TWO, "internet", "unreachable", "not run", ""],
    ]


def test_the_frame_keeps_its_columns_when_nothing_was_seen() -> None:
    assert rows([], {}) == []


def test_an_observation_that_nobody_expected_is_shown() -> None:
    assert rows([Observation(ONE, "list", "timeout", "", 3)], {}) == [
        [ONE, "list", "", "timeout", ""]
    ]


# -- the answers ----------------------------------------------------------------------------------


@dataclass
class Way:
    """A way onto the instances that brings back what a test says."""

    heard: Heard | CheckFailed = field(default_factory=lambda: Heard([], {}))
    asked: list[Any] = field(default_factory=list)

    def ask(
        self,
        script: str,
        probes: Sequence[str],
        instance_ids: Sequence[str],
        optional: Sequence[str],
    ) -> Heard:
        self.asked.append((script, [*probes], [*instance_ids], [*optional]))
        if isinstance(self.heard, CheckFailed):
            raise self.heard
        return self.heard


def ask(way: Way, *ids: str, applying: bool, bucket: str = "example-bucket") -> Answers:
    return instance.ask(
        way,
        ids or [ONE],
        neighbours=[TWO],
        bucket=bucket,
        region="us-east-1",
        change_id="change-1",
        applying=applying,
    )


def told(found: Answers) -> list[tuple[str, str, str]]:
    return [(check.name, check.state, check.detail) for check in found.checks()]


def test_nobody_who_can_be_asked_is_no_failure_before_anything_is_done() -> None:
    way = Way(CheckFailed("Could not.", f"{ONE} is ConnectionLost", "connect it"))
    found = ask(way, applying=False)
    assert told(found) == [(f"{ONE} can be asked", "UNCERTAIN", f"{ONE} is ConnectionLost")]
    assert found.unasked == dict.fromkeys((ONE, TWO), f"{ONE} is ConnectionLost")
    with pytest.raises(CheckFailed, match=f"{ONE} is ConnectionLost"):
        ask(way, applying=True)


def test_one_instance_that_was_not_asked_hides_no_other_while_planning() -> None:
    seen = [Observation(ONE, probe, "timeout", "", 3) for probe in ("list", "internet")]
    way = Way(Heard(seen, {THREE: Silence("no key", "get one"), TWO: Silence("gone", "-")}))
    found = ask(way, ONE, THREE, applying=False)
    assert told(found) == [
        (f"identity from {ONE}", "FAIL", "not run"),
        (f"list from {ONE}", "SKIPPED", "timeout"),
        (f"internet from {ONE}", "SKIPPED", "timeout"),
        (f"other-region from {ONE}", "FAIL", "not run"),
        (f"{THREE} can be asked", "UNCERTAIN", "no key"),
    ]
    assert found.unasked == {THREE: "no key", TWO: "gone"}


def test_once_applied_each_instance_that_was_not_asked_is_named_with_what_to_do() -> None:
    silent = {THREE: Silence("no key", "get one"), ONE: Silence("no name", "give one")}
    with pytest.raises(CheckFailed) as caught:
        ask(Way(Heard([], silent)), ONE, THREE, applying=True)
    assert caught.value.attempted == f"Could not run the checks on {ONE}, {THREE}."
    assert caught.value.answer == f"{ONE}: no name; {THREE}: no key"
    assert caught.value.remedy == "give one; get one"


def test_a_neighbour_that_was_not_asked_is_no_failure() -> None:
    found = ask(Way(Heard([], {TWO: Silence("no key", "get one")})), applying=True)
    assert found.unasked == {TWO: "no key"}


@pytest.mark.parametrize("applying", [True, False])
def test_writes_are_sent_and_expected_only_while_applying(applying: bool) -> None:
    way = Way()
    found = ask(way, applying=applying)
    ((script, probes, ids, optional),) = way.asked
    assert (ids, optional) == ([ONE], [TWO])
    assert f"writes={'yes' if applying else 'no'}\n" in script
    assert "other_region=us-west-2\n" in script  # not the bucket's own
    assert list(found.expected) == [ONE]  # nothing is demanded of a neighbour
    assert probes == [*found.expected[ONE]]
    assert found.expected[ONE].keys() >= {"identity", "list", "internet", "other-region"}
    assert ({"write", "read", "delete"} <= found.expected[ONE].keys()) is applying


@pytest.mark.parametrize("applying", [True, False])
def test_what_is_unsafe_to_put_into_a_script_is_refused_in_either_pass(applying: bool) -> None:
    way = Way()
    with pytest.raises(BadInput, match="does not match"):
        ask(way, applying=applying, bucket="a;reboot")
    assert not way.asked


@pytest.mark.parametrize(
    ("seen", "applying", "state", "detail"),
    [
        ([("list", "succeeded", "keys: 1")], True, "PASS", "succeeded: keys: 1"),
        ([("list", "timeout", "")], True, "FAIL", "timeout; expected: succeeded"),
        ([("list", "timeout", "")], False, "SKIPPED", "timeout"),
        ([], True, "FAIL", "not run"),
        ([("write", "succeeded", "")], False, "FAIL", "not run"),
    ],
)
def test_an_answer_is_checked_against_what_is_expected(
    seen: list[tuple[str, str, str]], applying: bool, state: str, detail: str
) -> None:
    observations = [Observation(ONE, *one, 1) for one in seen]
    observations += [Observation(TWO, "list", "denied", "", 1)]
    answers = Answers(observations, {ONE: {"list": "succeeded"}}, applying)
    (check,) = answers.checks()
    assert (check.name, check.state, check.detail) == (f"list from {ONE}", state, detail)


def test_a_wrong_answer_says_how_it_is_asked_again() -> None:
    wrong = [Observation(ONE, "list", "timeout", "", 1)]
    answers = Answers(wrong, {ONE: {"list": "succeeded", "write": "succeeded"}}, True, again="redo")
    assert [check.remedy for check in answers.checks()] == ["redo", "redo"]
