"""What a change has made of the account so far, over every order of applying and undoing."""

from __future__ import annotations

from pathlib import Path

import pytest

from private_s3.errors import PlanChanged
from private_s3.journal import Fate
from private_s3.plan import NEW_ENDPOINT, Change
from tests.support.histories import (
    DOCUMENT,
    FIRST,
    MADE,
    OPEN,
    P0,
    P1,
    P2,
    POLICY,
    ROUTE,
    SECOND,
    SERVED,
    SERVICE,
    History,
    back,
    plan,
    policy,
)

Net = dict[tuple[str, str], Change]
ALL: Net = {(c.resource, c.field): c for c in FIRST.changes}


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History.within(tmp_path)


def test_nothing_was_made_by_nobody(history: History) -> None:
    assert history.effect.net == {} and history.effect.origin == ""
    assert history.effect.endpoint_ids == []


def test_what_one_plan_has_made_is_its_changes(history: History) -> None:
    history.wrote(FIRST, *MADE, endpoint_id="vpce-1")
    assert history.effect.net == {key: ALL[key] for key in MADE}
    history.wrote(FIRST, POLICY)
    assert history.effect.net == ALL
    assert history.effect.origin == FIRST.digest
    assert history.effect.endpoint_ids == ["vpce-1"]


def test_of_two_plans_the_first_says_what_was_before_and_the_last_what_is(
    history: History,
) -> None:
    history.wrote(FIRST)
    history.wrote(SECOND)
    assert history.effect.net == {**ALL, POLICY: Change(*POLICY, P0, P2)}
    assert history.effect.origin == FIRST.digest


def test_what_was_undone_is_gone(history: History) -> None:
    history.wrote(FIRST)
    history.wrote(back(FIRST), POLICY)
    assert history.effect.net == {key: ALL[key] for key in MADE}
    assert history.effect.origin == FIRST.digest
    history.wrote(back(FIRST), *MADE)
    assert history.effect.net == {} and history.effect.origin == ""


def test_after_an_undo_it_begins_anew(history: History) -> None:
    later = plan(Change(*POLICY, P2, P1))  # the world went on meanwhile
    history.wrote(FIRST, endpoint_id="vpce-1")
    history.wrote(back(FIRST))
    history.wrote(later)
    assert history.effect.net == {POLICY: later.changes[0]}
    assert history.effect.origin == later.digest
    history.wrote(FIRST, *MADE, endpoint_id="vpce-2")
    assert history.effect.origin == later.digest
    assert history.effect.endpoint_ids == ["vpce-1", "vpce-2"]


def test_what_a_later_plan_has_put_back_is_nothing_to_undo(history: History) -> None:
    history.wrote(FIRST, POLICY)
    history.wrote(plan(Change(*POLICY, P1, policy("One"))))
    assert set(history.effect.net) == {POLICY}
    in_other_words = P0.replace('"Resource": "*"', '"Resource": ["*"]')
    history.wrote(plan(Change(*POLICY, policy("One"), in_other_words)))
    assert history.effect.net == {} and history.effect.origin == ""


def test_the_plan_of_what_is_left_is_the_origin_whatever_came_before(history: History) -> None:
    history.wrote(FIRST, *MADE)
    history.wrote(SECOND)
    history.wrote(back(FIRST), *MADE)
    assert history.effect.net == {POLICY: SECOND.changes[0]}
    assert history.effect.origin == SECOND.digest


@pytest.mark.parametrize(
    ("fate", "counts"), [("done", True), ("unknown", True), (None, True), ("not done", False)]
)
def test_a_write_counts_unless_it_was_surely_not_done(
    history: History, fate: Fate | None, counts: bool
) -> None:
    history.wrote(FIRST, POLICY, fate=fate)
    assert history.effect.net == ({POLICY: ALL[POLICY]} if counts else {})
    assert history.effect.origin == (FIRST.digest if counts else "")


@pytest.mark.parametrize(
    ("fate", "gone"), [("done", True), ("unknown", False), (None, False), ("not done", False)]
)
def test_an_undoing_counts_only_if_it_was_surely_done(
    history: History, fate: Fate | None, gone: bool
) -> None:
    """Else what it was to take away would be left behind, and nobody know whose it is."""
    history.wrote(FIRST, POLICY)
    history.wrote(back(FIRST), POLICY, fate=fate)
    assert history.effect.net == ({} if gone else {POLICY: ALL[POLICY]})


def test_what_was_refused_first_and_done_then_is_done(history: History) -> None:
    for fate in ("not done", "unknown", "done"):
        history.wrote(FIRST, POLICY, fate=fate)  # type: ignore[arg-type]
    assert history.effect.net == {POLICY: ALL[POLICY]}


def test_an_undo_with_force_empties_what_it_names_and_no_more(history: History) -> None:
    foreign = ("route-table/rtb-theirs", "S3 route")
    history.wrote(FIRST)
    forced = plan(
        Change(*foreign, NEW_ENDPOINT, None),
        *(Change(*key, ALL[key].after, None) for key in MADE),
        undo=True,
    )
    history.wrote(forced)
    assert history.effect.net == {POLICY: ALL[POLICY]}


def test_what_was_written_for_no_change_makes_nothing(history: History) -> None:
    history.journal.append(
        "intent", step="50_x", plan="", operation="PutObject", request={}, changes=[]
    )
    history.wrote(FIRST, POLICY)
    assert [write.changes for write in history.effect.writes] == [(POLICY,)]


def test_a_plan_that_is_no_longer_there_is_missed(history: History) -> None:
    history.wrote(FIRST)
    (history.folder / "plans" / f"{FIRST.digest}.json").unlink()
    with pytest.raises(PlanChanged, match=FIRST.digest):
        _ = history.effect.net


# -- what the account tells of a write without an answer ------------------------------------------

BEFORE = {SERVICE: None, DOCUMENT: None, ROUTE: None, POLICY: P0}


@pytest.mark.parametrize(
    ("live", "fate"),
    [
        ({}, "not done"),
        ({SERVICE: SERVED, DOCUMENT: OPEN, ROUTE: NEW_ENDPOINT}, "done"),
        ({SERVICE: SERVED, DOCUMENT: OPEN}, "done"),  # its route is not yet to be seen
        ({SERVICE: SERVED, DOCUMENT: OPEN, ROUTE: "vpce-foreign"}, "done"),
        ({ROUTE: "vpce-foreign"}, "unknown"),
        ({POLICY: P2}, "not done"),  # of another write
    ],
)
def test_one_new_value_tells_that_the_endpoint_was_made(
    history: History, live: dict[tuple[str, str], str], fate: Fate
) -> None:
    history.wrote(FIRST, *MADE, fate="unknown")
    effect = history.effect
    assert effect.fate(effect.writes[0], {**BEFORE, **live}) == fate


@pytest.mark.parametrize(
    ("now", "fate"),
    [
        (P0, "not done"),
        (P1, "done"),
        (P1.replace('"Action": "s3:DeleteBucket"', '"Action": ["s3:DeleteBucket"]'), "done"),
        (P0.replace('"s3:DeleteBucket"', '["s3:DeleteBucket"]'), "not done"),
        (P2, "unknown"),
        (None, "unknown"),
    ],
)
def test_a_policy_tells_by_what_it_means(history: History, now: str | None, fate: Fate) -> None:
    history.wrote(FIRST, POLICY, fate="unknown")
    effect = history.effect
    assert effect.fate(effect.writes[0], {**BEFORE, POLICY: now}) == fate


def test_what_the_account_does_not_know_of_is_nothing(history: History) -> None:
    history.wrote(FIRST, ROUTE, fate="unknown")
    effect = history.effect
    assert effect.fate(effect.writes[0], {}) == "not done"
