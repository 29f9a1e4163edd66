"""What an undo goes back to: computed from hand-made states, without any account."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from private_s3 import statements, undo
from private_s3.bucket import Bucket
from private_s3.change import Reading
from private_s3.errors import BadInput
from private_s3.parameters import RestrictTo
from private_s3.plan import NEW_ENDPOINT, Change, Plan
from private_s3.record import Record
from private_s3.snapshot import Difference
from private_s3.statements import Fence, Statement
from tests.support import readings as worlds
from tests.support.histories import (
    CREATES,
    MADE,
    OPEN,
    POLICY,
    ROUTE,
    SERVED,
    SERVICE,
    History,
    back,
    plan,
)

THEIRS: Statement = {
    "Sid": "Theirs",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:DeleteBucket",
    "Resource": "arn:aws:s3:::data",
}
# With spaces, an escape and an order of its own: an undo must give it back byte for byte.
PRESENT = '{ "Statement" : [{"Sid": "K\\u00e4the","Effect":"Deny", "Principal":{"AWS":["*"]},\n' + (
    '"Action":["s3:DeleteBucket"],"Resource":"arn:aws:s3:::data"} ],"Version":"2012-10-17" }'
)


def ours(level: RestrictTo = "endpoint", endpoint_id: str = NEW_ENDPOINT) -> list[Statement]:
    arn = f"arn:aws:ec2:x:{worlds.ACCOUNT}:instance/i-1"
    return Fence("data", [endpoint_id], ["arn:r"], [arn], "", True).statements(level)


def fenced(policy: str | None, level: RestrictTo = "endpoint") -> str:
    return statements.merge(policy, ours(level)) or ""


def with_statement(policy: str | None, *added: Statement) -> str:
    document: dict[str, Any] = json.loads(policy) if policy else {"Statement": []}
    return json.dumps({**document, "Statement": [*document["Statement"], *added]})


# -- the policy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["endpoint", "role", "instance", "instance-origin"])
@pytest.mark.parametrize("before", [None, PRESENT, PRESENT.replace("2012-10-17", "2008-10-17")])
def test_a_policy_that_nobody_else_has_changed_comes_back_byte_for_byte(
    before: str | None, level: RestrictTo
) -> None:
    now = fenced(before, level)
    assert now != before
    assert undo._without_ours(now, before) == before
    # also when S3 gives it in other words
    reworded = json.dumps(json.loads(now), indent=1)
    assert undo._without_ours(reworded, before) == before


def test_what_others_have_added_since_stays_and_ours_go() -> None:
    now = with_statement(fenced(PRESENT), THEIRS)
    left = undo._without_ours(now, PRESENT)
    assert left and json.loads(left)["Statement"] == [*json.loads(PRESENT)["Statement"], THEIRS]


def test_what_others_have_taken_away_since_stays_away() -> None:
    now = json.dumps({"Version": "2012-10-17", "Statement": [THEIRS, *ours()]})
    left = undo._without_ours(now, PRESENT)
    assert left and json.loads(left)["Statement"] == [THEIRS]


def test_a_bucket_without_a_policy_before_has_none_after_unless_others_have_added_to_it() -> None:
    assert undo._without_ours(fenced(None), None) is None
    left = undo._without_ours(with_statement(fenced(None), THEIRS), None)
    assert left and json.loads(left)["Statement"] == [THEIRS]


@pytest.mark.parametrize("before", [None, PRESENT])
def test_a_policy_that_somebody_has_deleted_since_stays_deleted(before: str | None) -> None:
    assert undo._without_ours(None, before) is None


def test_statements_of_ours_that_were_there_before_come_back_as_they_were() -> None:
    before = fenced(PRESENT, "endpoint")
    now = with_statement(fenced(before, "instance"), THEIRS)
    left = undo._without_ours(now, before)
    sids = [one["Sid"] for one in json.loads(left or "")["Statement"]]
    assert sids == ["Käthe", "Theirs", "PrivateS3DenyOutsideEndpoint"]
    assert undo._without_ours(fenced(before, "instance"), before) == before


def test_a_statement_that_only_has_our_sid_is_not_taken_away_unseen() -> None:
    theirs = {**THEIRS, "Sid": "PrivateS3DenyOutsideEndpoint"}
    with pytest.raises(BadInput, match="somebody changed it"):
        undo._without_ours(with_statement(PRESENT, theirs), PRESENT)


# -- what leads back ------------------------------------------------------------------------------

WHOLE = plan(*CREATES, Change(*POLICY, PRESENT, fenced(PRESENT)))
APPLIED = {(c.resource, c.field): c.after for c in WHOLE.changes}
START = {(c.resource, c.field): c.before for c in WHOLE.changes}


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History.within(tmp_path)


def leads_back(history: History, state: dict[tuple[str, str], str | None]) -> tuple[Change, ...]:
    return undo._back(Record(history.parameters, "90_x"), state)


def test_the_undo_of_a_whole_change_is_its_mirror(history: History) -> None:
    history.wrote(WHOLE)
    assert leads_back(history, APPLIED) == back(WHOLE).changes


def test_only_what_was_made_is_taken_back(history: History) -> None:
    history.wrote(WHOLE, *MADE)
    state = {**APPLIED, POLICY: with_statement(PRESENT, THEIRS)}  # somebody else's business
    assert leads_back(history, state) == back(plan(*CREATES)).changes


def test_what_is_as_before_already_needs_nothing(history: History) -> None:
    history.wrote(WHOLE)
    assert leads_back(history, START) == ()
    assert leads_back(history, {**APPLIED, POLICY: PRESENT}) == back(plan(*CREATES)).changes


def test_an_endpoint_that_is_gone_leaves_the_policy_to_be_undone(history: History) -> None:
    history.wrote(WHOLE)
    assert leads_back(history, {POLICY: APPLIED[POLICY]}) == tuple(
        change for change in back(WHOLE).changes if change.resource == "bucket/data"
    )


def test_a_change_that_made_nothing_is_undone_by_nothing(history: History) -> None:
    history.wrote(WHOLE, fate="not done")
    assert leads_back(history, START) == ()


# -- what hangs on the endpoint -------------------------------------------------------------------

GOES = back(WHOLE).changes
TABLE = ("route-table/rtb-theirs", "S3 route")


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, []),
        ({TABLE: "vpce-foreign"}, []),
        ({TABLE: NEW_ENDPOINT}, [Difference(*TABLE, "nothing", NEW_ENDPOINT)]),
        ({ROUTE: None}, []),
    ],
)
def test_a_route_table_of_others_hangs_on_an_endpoint_that_goes(
    changed: dict[tuple[str, str], str | None], found: list[Difference]
) -> None:
    assert undo._hanging({**APPLIED, **changed}, GOES) == found
    assert undo._hanging({**APPLIED, **changed}, ()) == []  # nothing goes


def test_a_table_that_the_plan_names_is_not_left_hanging() -> None:
    named = (*GOES, Change(*TABLE, NEW_ENDPOINT, None))
    assert undo._hanging({**APPLIED, TABLE: NEW_ENDPOINT}, named) == []


def test_a_statement_of_others_hangs_on_the_endpoint_that_it_names() -> None:
    theirs = {**THEIRS, "Condition": {"StringNotEquals": {"aws:SourceVpce": NEW_ENDPOINT}}}
    keeps = with_statement(PRESENT, theirs)
    goes = tuple(
        Change(*POLICY, change.before, keeps) if change.resource == "bucket/data" else change
        for change in GOES
    )
    (found,) = undo._hanging({**APPLIED, POLICY: with_statement(fenced(PRESENT), theirs)}, goes)
    assert found[:3] == (*POLICY, "nothing that names the endpoint")
    assert json.loads(str(found.now)) == theirs
    # as well if nothing of ours is in the policy
    endpoint_only = tuple(change for change in GOES if change.resource != "bucket/data")
    assert undo._hanging({**APPLIED, POLICY: keeps}, endpoint_only) == [found]
    assert undo._hanging({**APPLIED, POLICY: PRESENT}, endpoint_only) == []


def test_a_service_that_stays_has_nothing_hanging_on_it() -> None:
    stays = (Change(*ROUTE, NEW_ENDPOINT, None), Change(*POLICY, fenced(PRESENT), PRESENT))
    assert undo._hanging({**APPLIED, TABLE: NEW_ENDPOINT}, stays) == []
    other = (Change(*SERVICE, SERVED, f"{SERVED}x"),)
    assert undo._hanging({**APPLIED, TABLE: NEW_ENDPOINT}, other) == []


# -- what others have changed ---------------------------------------------------------------------


def reading(policy: str | None, *tables: str, document: str = OPEN) -> Reading:
    """An account in which this change has its endpoint, with these route tables."""
    made = worlds.endpoint(
        worlds.VPCE, *tables, name="private-s3", change="rehearsal", PolicyDocument=document
    )
    text = policy and policy.replace(NEW_ENDPOINT, worlds.VPCE)
    return Reading(worlds.vpc(made), Bucket("data", text))


def found(history: History, now: Reading) -> list[tuple[str, str]]:
    record = Record(history.parameters, "90_x")
    differences = undo.changed(record, now)
    frame = undo.changed_frame(record, now)
    assert list(frame["resource"]) == [one.resource for one in differences]
    return [(one.resource, one.field) for one in differences]


def test_what_is_as_this_change_has_left_it_was_changed_by_nobody(history: History) -> None:
    history.wrote(WHOLE, endpoint_id=worlds.VPCE)
    assert found(history, reading(APPLIED[POLICY], "rtb-a")) == []
    assert found(history, reading(PRESENT)) == []  # nor is what is as before


@pytest.mark.parametrize(
    ("now", "names"),
    [
        (reading(with_statement(fenced(PRESENT), THEIRS), "rtb-a"), [POLICY]),
        (reading(None, "rtb-a"), [POLICY]),
        (reading(APPLIED[POLICY], "rtb-a", "rtb-m"), [("route-table/rtb-m", "S3 route")]),
        (
            reading(APPLIED[POLICY], "rtb-a", document=OPEN.replace("Allow", "Deny")),
            [("vpc-endpoint/private-s3", "policy")],
        ),
    ],
)
def test_what_others_have_changed_is_named_with_both_versions(
    history: History, now: Reading, names: list[tuple[str, str]]
) -> None:
    history.wrote(WHOLE, endpoint_id=worlds.VPCE)
    assert found(history, now) == names


def test_the_difference_in_the_policy_shows_only_what_others_have_done(history: History) -> None:
    history.wrote(WHOLE, endpoint_id=worlds.VPCE)
    record = Record(history.parameters, "90_x")
    shown = undo.policy_difference(record, reading(with_statement(fenced(PRESENT), THEIRS)))
    assert [(mark, sid) for mark, sid in zip(shown[""], shown["sid"], strict=True) if mark] == [
        ("+", "Theirs")
    ]
    same = undo.policy_difference(record, reading(fenced(PRESENT)))
    assert set(same[""]) == {""}


@pytest.mark.parametrize(
    ("values", "vpc", "names"),
    [
        ({"endpoint_name": "another"}, "vpc-1", "vpc-endpoint/private-s3, which"),
        ({"bucket": "other"}, "vpc-1", "bucket/data, which"),
        ({}, "vpc-2", r"vpc-endpoint/private-s3 \(com.amazonaws.ap-northeast-1.s3 in vpc-1\)"),
    ],
)
@pytest.mark.parametrize("approved", ["", "0123456789ab"])
def test_parameters_of_something_else_are_refused_before_anything_is_planned(
    history: History, values: dict[str, str], vpc: str, names: str, approved: str
) -> None:
    """Else the endpoint would not be found by its name, and be left behind without a word."""
    history.wrote(WHOLE, endpoint_id=worlds.VPCE)
    other = history.parameters.model_copy(update={**values, "approved_plan": approved})
    now = reading(APPLIED[POLICY], "rtb-a")
    moved = Reading(replace(now.network, vpc_id=vpc), Bucket(other.bucket, now.bucket.policy))
    with pytest.raises(BadInput, match=names):
        undo.planned(worlds.account(), Record(other, "90_x"), moved)


def test_a_plan_to_undo_says_what_it_is() -> None:
    empty = Plan("rehearsal", worlds.ACCOUNT, worlds.REGION, (), undo=True)
    assert empty.sentence().startswith("Nothing to undo")
    assert back(WHOLE).doing == "undo" and WHOLE.doing == "apply"
    assert f"approved_plan={back(WHOLE).digest}" in back(WHOLE).sentence()
