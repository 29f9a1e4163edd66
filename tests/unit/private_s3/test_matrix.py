"""The matrix: who is shown, who is one with others, and what is read off it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from private_s3.access import COLUMNS, Situation
from private_s3.callers import Caller
from private_s3.identities import unread
from private_s3.matrix import Matrix, in_words
from tests.support.readings import (
    ACCOUNT,
    BUCKET,
    CI,
    EVERYTHING,
    FENCED,
    TARGET,
    VPCE,
    bucket_policy,
    one,
    people,
    policy,
    situation,
    statement,
)

HOME = f"arn:aws:s3:::{BUCKET}/home/"
LISTS = {"lists": policy(statement("Allow", "s3:ListBucket"))}
FENCED_READS = FENCED.replace("s3:*", "s3:GetObject")


def matrix(before: Situation, after: Situation) -> Matrix:
    return Matrix(before, after, people(before.policy).all(), "check")


def limited_to(resource: str) -> dict[str, str]:
    return {"p": policy(statement("Allow", "s3:GetObject") | {"Resource": resource})}


def incidental(name: str, *, exempt: bool = False) -> Caller:
    caller = replace(one(people(), CI), who=name)
    return replace(caller, keys={**caller.keys, "aws:SourceVpce": VPCE}) if exempt else caller


def test_others_who_fare_alike_are_one_row_and_who_may_nothing_is_none() -> None:
    rows = [row.who for row in matrix(situation(), situation(FENCED)).rows]
    assert rows[-1] == "role ci-1, role ci-2, user ann"
    assert "role nobody" not in rows


def test_losers_others_and_causes_are_read_off_the_rows() -> None:
    found = matrix(situation(), situation(FENCED))
    data = ["list", "read", "write", "delete"]
    everything = [*data, "administer"]
    copied = f"keys copied from {TARGET} from outside"
    assert found.losers[copied] == everything
    assert f"{TARGET} through the endpoint" not in found.losers
    assert found.losers["root from outside"] == data
    assert f"{TARGET} through the endpoint" not in found.others
    assert "root from outside" not in found.others
    assert found.others[f"keys copied from {TARGET} through the endpoint"] == data
    cause = ["Deny by Fence of bucket policy", "allowed", "denied"]
    (whose,) = [row[3] for row in found.causes().itertuples(index=False) if list(row[:3]) == cause]
    assert "root from outside (list, read, write, delete)" in whose
    nowhere = replace(situation(), ways={"subnet-a": "nowhere", "subnet-b": "nowhere"})
    opened = matrix(nowhere, situation(FENCED)).causes()
    cause = ["Allow by statement 1 of policy all", "no way", "allowed"]
    assert cause in [list(row[:3]) for row in opened.itertuples(index=False)]
    table = found.consequences().set_index("after the change")["who"]
    assert copied in table["loses by the change"]
    assert table["can repair the policy"].endswith("root from outside")
    assert in_words({}) == "nobody"


def test_the_object_that_is_spoken_of_is_one_that_the_caller_may_have() -> None:
    caller = replace(one(people(), CI), policies=limited_to(f"{HOME}*/out-?"))
    (_, row), *_ = Matrix(situation(), situation(FENCED), [caller], "check").by_caller
    assert row.key == "home/x/out-x"
    assert (row.before["read"].state, row.after["read"].state) == ("allowed", "denied")


@pytest.mark.parametrize(
    ("policies", "present", "key"),
    [
        (EVERYTHING, None, "check"),
        (limited_to(HOME + "${AWS:PrincipalAccount}/*"), None, f"home/{ACCOUNT}/x"),
        (limited_to(HOME + "${aws:username, 'none'}/*"), None, "check"),
        (
            limited_to(f"arn:aws:s3:::{BUCKET}/a/*")
            | {"q": EVERYTHING["all"].replace("s3:*", "s3:ListBucket")},
            None,
            "a/x",
        ),
        ({}, bucket_policy(statement("Allow") | {"Resource": f"arn:aws:s3:::{BUCKET}/b"}), "b"),
        (limited_to("arn:aws:s3:::another/a/*"), None, "check"),
        ({}, None, "check"),
        ({"unread": unread("somebody")}, None, "check"),
        (limited_to(f"arn:aws:s3:::{BUCKET}/a") | EVERYTHING, None, "check"),
    ],
)
def test_an_object_is_singled_out_only_if_the_usual_one_will_not_do(
    policies: dict[str, str], present: str | None, key: str
) -> None:
    caller = replace(one(people(), CI), policies=policies, part="other")
    (row,) = Matrix(situation(present), situation(FENCED), [caller], "check").rows
    assert row.key == key


def test_only_who_fares_alike_is_folded_and_the_rest_is_counted() -> None:
    alike = [incidental(f"role r{n}") for n in range(5)]
    callers = [alike[0], incidental("role inside", exempt=True), *alike[1:]]
    folded = [row.who for row in Matrix(situation(), situation(FENCED), callers, "x").rows]
    assert folded == ["role r0, role r1, role r2 and 2 more", "role inside"]
    named = [replace(caller, part="other") for caller in callers[:3]]
    apart = Matrix(situation(), situation(FENCED), [*callers[3:], *named], "x").rows
    assert [row.who for row in apart[:3]] == ["role r0", "role inside", "role r1"]
    assert apart[3].who == "role r2, role r3, role r4"


def test_one_more_than_are_named_is_counted_too() -> None:
    callers = [incidental(f"role r{n}") for n in range(4)]
    (row,) = Matrix(situation(), situation(), callers, "x").rows
    assert row.who == "role r0, role r1, role r2 and 1 more"


def test_who_only_gets_access_by_the_change_matters_too() -> None:
    nobody = replace(one(people(), "role nobody"), part="incidental")
    opened = situation(bucket_policy(statement("Allow", "s3:GetObject")))
    for before, after in ((situation(), opened), (opened, situation())):
        assert [row.who for row in Matrix(before, after, [nobody], "x").rows] == ["role nobody"]


def test_who_perhaps_may_something_matters_too() -> None:
    doubt = {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}
    perhaps = situation(bucket_policy(statement("Allow", "s3:GetObject", Condition=doubt)))
    nobody = replace(one(people(), "role nobody"), part="incidental")
    assert [row.who for row in Matrix(perhaps, perhaps, [nobody], "x").rows] == ["role nobody"]


def test_who_may_nothing_is_shown_if_somebody_speaks_of_them() -> None:
    nobody = one(people(), "role nobody")
    for caller, shown in ((nobody, []), (replace(nobody, part="other"), ["role nobody"])):
        assert [row.who for row in Matrix(situation(), situation(), [caller], "x").rows] == shown


def test_an_arrow_marks_what_changes() -> None:
    callers = [replace(incidental("role r"), part="other")]
    found = Matrix(situation(), situation(FENCED_READS), callers, "x")
    (shown,) = found.table().itertuples(index=False)
    still = ["allowed", "allowed → denied", "allowed", "allowed", "allowed"]
    assert list(shown) == ["role r", "from outside", *still]
    assert tuple(found.table().columns) == ("who", "where", *COLUMNS)


def test_a_cause_is_told_once_with_everybody_it_holds_for() -> None:
    callers = [replace(incidental(f"role r{n}"), part="other") for n in (1, 2)]
    causes = Matrix(situation(), situation(FENCED_READS), callers, "x").causes()
    whose = "role r1 from outside (read); role r2 from outside (read)"
    expected = ["Deny by Fence of bucket policy", "allowed", "denied", whose]
    assert causes.to_numpy().tolist() == [expected]
    assert list(causes.columns) == ["decided_by", "before", "after", "whose_requests"]


def test_a_doubt_that_does_not_change_has_a_cause_too() -> None:
    doubt = {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}
    perhaps = situation(bucket_policy(statement("Deny", "s3:PutObject", Condition=doubt)))
    causes = Matrix(perhaps, perhaps, [replace(incidental("r"), part="other")], "x").causes()
    expected = ["aws:PrincipalOrgID", "depends", "depends", "r from outside (write)"]
    assert causes.to_numpy().tolist() == [expected]


def test_a_row_says_where_its_caller_came_from_before() -> None:
    target = one(people(), TARGET, "")
    (row,) = Matrix(situation(ways={"subnet-a": "nat-1"}), situation(), [target], "x").rows
    assert (row.where_before, row.where) == ("through nat-1", "through the endpoint")


def test_the_facts_are_every_row_in_full() -> None:
    callers = [replace(incidental("role r"), part="other")]
    (fact,) = Matrix(situation(), situation(FENCED_READS), callers, "x").facts()
    assert (fact["who"], fact["key"]) == ("role r", "x")
    denied = {"state": "denied", "reason": "Deny by Fence of bucket policy"}
    assert fact["after"]["read"] == denied and json.loads(json.dumps(fact)) == fact


def test_nobody_is_said_if_nobody_can_repair_the_policy() -> None:
    shut = situation(bucket_policy(statement("Deny", "s3:PutBucketPolicy")))
    callers = [replace(incidental("role r"), part="other")]
    told = Matrix(situation(), shut, callers, "x").consequences().to_numpy().tolist()
    assert told == [
        ["loses by the change", "role r from outside (administer)"],
        [
            "gets at the data besides the instances",
            "role r from outside (list, read, write, delete)",
        ],
        ["can repair the policy", "nobody"],
    ]
