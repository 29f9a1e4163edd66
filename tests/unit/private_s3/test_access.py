"""What becomes of each caller's requests, and what decides that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from private_s3.access import COLUMNS, DATA, Cell, Row, State
from private_s3.callers import LOG_DELIVERY, OUTSIDE
from private_s3.identities import unread
from tests.support.readings import (
    ACCOUNT,
    BUCKET,
    CI,
    EVERYTHING,
    FENCED,
    REGION,
    TARGET,
    VPCE,
    bucket_policy,
    one,
    people,
    policy,
    situation,
    statement,
)


def cell(name: str, column: str = "read", place: str = OUTSIDE, **changes: Any) -> Cell:
    here = situation(**changes)
    found = [c for c in people(here.policy).all() if c.who == name and place in ("", c.place)]
    return here.cell(found[0], column, "x")


@pytest.mark.parametrize(
    ("name", "column", "changes", "expected"),
    [
        (TARGET, "read", {"present": FENCED}, ("allowed", "Allow by statement 1 of policy all")),
        (CI, "read", {"present": FENCED}, ("denied", "Deny by Fence of bucket policy")),
        (CI, "list", {}, ("allowed", "Allow by statement 1 of policy all")),
        ("role nobody", "list", {}, ("denied", "no identity-based policy allows it")),
        ("anybody, unsigned", "read", {}, ("denied", "no bucket policy allows it")),
        ("root", "read", {}, ("allowed", "root needs no policy")),
        ("root", "administer", {"present": FENCED}, ("allowed", "root needs no policy")),
        (
            "role nobody",
            "administer",
            {"present": bucket_policy(statement("Allow", "s3:GetBucketPolicy", Sid="See"))},
            ("denied", "no identity-based policy allows it"),
        ),
        (
            CI,
            "read",
            {"present": bucket_policy(statement("Deny", Condition={
                "StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}))},
            ("depends", "aws:PrincipalOrgID"),
        ),
        (
            CI,
            "read",
            {"present": bucket_policy(statement("Deny", Condition={
                "NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}))},
            ("depends", "aws:SourceIp"),
        ),
        (
            TARGET,
            "read",
            {"present": bucket_policy(statement("Deny", Condition={
                "NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}))},
            ("denied", "Deny by statement 1 of bucket policy"),
        ),
        (
            TARGET,
            "write",
            {"endpoints": {VPCE: bucket_policy(statement("Allow", "s3:Get*"))}},
            ("denied", "no endpoint policy allows it"),
        ),
        (TARGET, "read", {"ways": {"subnet-a": "nowhere"}}, ("no way", "no route leads to S3")),
        (
            TARGET,
            "read",
            {"present": FENCED, "ways": {"subnet-a": "nat-1"}},
            ("denied", "Deny by Fence of bucket policy"),
        ),
        (
            TARGET,
            "read",
            {"present": FENCED, "ways": {"subnet-a": "tgw-1"}},
            ("depends", "aws:SourceVpce"),
        ),
        (
            "anybody, unsigned",
            "read",
            {
                "present": bucket_policy(statement("Allow", Sid="Open")),
                "public_access_block": {"RestrictPublicBuckets": True},
            },
            ("denied", "Deny by Open of Block Public Access"),
        ),
        (
            CI,
            "read",
            {"present": bucket_policy(statement("Deny", Condition={"Odd": {"a": "b"}}))},
            ("depends", "a policy that cannot be understood: "
             'Statement[0].Condition: unknown operator "Odd"'),
        ),
    ],
)  # fmt: skip
def test_a_cell_says_what_is_decided_and_by_what(
    name: str, column: str, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    found = cell(name, column, place="" if name == TARGET else OUTSIDE, **changes)
    assert (found.state, found.reason) == expected


def test_every_key_that_a_cell_depends_on_is_named_in_order() -> None:
    doubts = {"aws:SourceIp": "203.0.113.0/24"}, {"aws:PrincipalOrgID": "o-1"}
    conditions = [{"NotIpAddress": doubts[0]}, {"StringNotEquals": doubts[1]}]
    present = bucket_policy(*(statement("Deny", Condition=one) for one in conditions))
    assert cell(CI, present=present) == Cell("depends", "aws:PrincipalOrgID, aws:SourceIp")


def test_what_could_not_be_read_is_named_and_never_a_guess() -> None:
    callers = people(refused="AWS answered AccessDenied: no")
    found = {c.who: situation().cell(c, "read", "x") for c in callers.all()}
    assert found["you (operator)"] == Cell("depends", "the policies of you (operator)")
    assert found[TARGET] == Cell("depends", f"the policies of {TARGET}")
    assert found["root"].state == "allowed"
    fenced = situation(FENCED).cell(one(callers, "role break-glass"), "read", "x")
    assert fenced.state == "denied"  # whatever the unread policies say


def test_a_policy_that_could_not_be_read_alone_leaves_the_others_to_decide() -> None:
    caller = one(people(), CI)
    doubtful = replace(caller, policies={**caller.policies, "x": unread("the policy x")})
    assert situation().cell(doubtful, "read", "x") == Cell("depends", "the policy x")
    bounded = replace(caller, boundary=unread("the boundary"))
    assert situation().cell(bounded, "read", "x") == Cell("depends", "the boundary")


POLICY_ACTIONS = ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"]


@pytest.mark.parametrize("action", POLICY_ACTIONS)
def test_who_lacks_one_means_of_repair_cannot_administer(action: str) -> None:
    on_bucket = {"Resource": f"arn:aws:s3:::{BUCKET}"}
    shut = bucket_policy(statement("Deny", action, Sid="Shut") | on_bucket)
    assert cell(CI, "administer", present=shut) == Cell("denied", "Deny by Shut of bucket policy")
    assert cell("root", "administer", present=shut).state == "allowed"
    doubt = {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}
    perhaps = statement("Deny", action, Condition=doubt)
    assert cell(CI, "administer", present=bucket_policy(perhaps)).state == "depends"
    other = next(one for one in POLICY_ACTIONS if one != action)
    both = bucket_policy(perhaps, statement("Deny", other))
    assert cell(CI, "administer", present=both).state == "denied"


@pytest.mark.parametrize(
    ("column", "action", "resource"),
    [
        ("list", "s3:ListBucket", ""),
        ("read", "s3:GetObject", "/x"),
        ("write", "s3:PutObject", "/x"),
        ("delete", "s3:DeleteObject", "/x"),
    ],
)
def test_each_column_is_one_action_on_the_bucket_or_on_its_object(
    column: str, action: str, resource: str
) -> None:
    exactly = statement("Deny", action) | {"Resource": f"arn:aws:s3:::{BUCKET}{resource}"}
    states = {c: cell(CI, c, present=bucket_policy(exactly)).state for c in COLUMNS}
    assert [c for c, state in states.items() if state == "denied"] == [column]


def test_root_is_let_in_by_its_policy_alone_but_not_past_a_deny() -> None:
    denied = Cell("denied", "Deny by Fence of bucket policy")
    assert [cell("root", column, present=FENCED) for column in DATA] == [denied] * len(DATA)


def test_a_boundary_is_named_when_it_decides() -> None:
    bounded = replace(one(people(), CI), boundary=policy(statement("Allow", "s3:List*")))
    found = situation().cell(bounded, "read", "x")
    assert found == Cell("denied", "no permissions boundary allows it")
    assert situation().cell(bounded, "list", "x").state == "allowed"


def test_the_second_policy_of_a_caller_is_called_by_its_name() -> None:
    policies = {"none": policy(statement("Allow", "s3:List*")), "reads": EVERYTHING["all"]}
    caller = replace(one(people(), CI), policies=policies)
    found = situation().cell(caller, "read", "x")
    assert found == Cell("allowed", "Allow by statement 1 of policy reads")


def test_where_is_the_way_or_the_place() -> None:
    target = one(people(), TARGET, "")
    ways = {VPCE: "through the endpoint", "nat-1": "through nat-1", "nowhere": "no way to S3"}
    for way, words in ways.items():
        assert situation(ways={"subnet-a": way}).where(target) == words
    assert situation(ways={}).where(target) == "no way to S3"  # of a subnet that came later
    assert situation(ways={}).cell(target, "read", "x").state == "no way"
    assert situation().where(one(people(), CI)) == OUTSIDE


OPEN = bucket_policy(statement("Allow", Sid="Open"))


@pytest.mark.parametrize(
    ("block", "name", "expected"),
    [
        ({}, "anybody, unsigned", Cell("allowed", "Allow by Open of bucket policy")),
        (None, "anybody, unsigned", Cell("depends", "Block Public Access of the bucket")),
        (None, CI, Cell("allowed", "Allow by Open of bucket policy")),
        (None, "role nobody", Cell("allowed", "Allow by Open of bucket policy")),
        (None, LOG_DELIVERY, Cell("allowed", "Allow by Open of bucket policy")),
        ({"BlockPublicPolicy": True}, "anybody, unsigned", Cell("allowed", "Allow by Open of "
         "bucket policy")),
    ],
)  # fmt: skip
def test_a_public_policy_serves_strangers_if_nothing_restricts_it(
    block: dict[str, bool] | None, name: str, expected: Cell
) -> None:
    assert cell(name, place="", present=OPEN, public_access_block=block) == expected


def test_who_is_denied_anyway_does_not_depend_on_block_public_access() -> None:
    found = cell("anybody, unsigned", present=FENCED, public_access_block=None)
    assert found == Cell("denied", "Deny by Fence of bucket policy")


def test_all_columns_but_the_last_are_about_data() -> None:
    assert DATA == ("list", "read", "write", "delete")
    assert (*DATA, "administer") == COLUMNS


def test_block_public_access_is_off_as_far_as_is_known() -> None:
    for block, on in (({"BlockPublicPolicy": True}, True), ({}, False), (None, False)):
        assert situation(public_access_block=block).blocks("BlockPublicPolicy") is on


def states(**given: State) -> dict[str, Cell]:
    return {column: Cell(given.get(column, "no way"), "") for column in COLUMNS}


def test_a_row_loses_what_was_open_or_may_have_been_and_will_be_denied() -> None:
    row = Row(
        "somebody",
        "somewhere",
        states(list="allowed", read="depends", write="allowed", delete="denied"),
        states(list="denied", read="denied", write="depends", delete="denied", administer="denied"),
    )
    assert row.loses == ["list", "read"]
    assert [column for column in COLUMNS if row.changed(column)] == [
        *("list", "read", "write"),
        "administer",
    ]
    assert row.name == "somebody somewhere"


def test_a_row_keeps_what_is_surely_open_of_the_data() -> None:
    after = states(list="allowed", read="depends", write="denied", administer="allowed")
    assert Row("somebody", "somewhere", states(), after).keeps == ["list"]


OF_EVERY_REQUEST = [
    {"StringEquals": {"aws:RequestedRegion": REGION, "aws:ResourceAccount": ACCOUNT}},
    {"StringEquals": {"s3:ResourceAccount": ACCOUNT, "s3:authType": "REST-HEADER"}},
    {"StringEquals": {"s3:signatureversion": "AWS4-HMAC-SHA256"}},
    {"Bool": {"aws:SecureTransport": "true", "aws:ViaAWSService": "false"}},
    {"DateGreaterThan": {"aws:CurrentTime": "2024-01-01T00:00:00Z"}},
    {"NumericGreaterThan": {"aws:EpochTime": "1700000000"}},
]


@pytest.mark.parametrize("condition", OF_EVERY_REQUEST, ids=lambda c: next(iter(c)))
def test_what_every_request_says_of_itself_is_known(condition: dict[str, Any]) -> None:
    only = bucket_policy(statement("Allow", Condition=condition))
    assert cell("role nobody", present=only).state == "allowed"


def test_a_region_or_account_that_is_another_one_is_not_ours() -> None:
    for key in ("aws:RequestedRegion", "aws:ResourceAccount", "aws:PrincipalAccount"):
        elsewhere = statement("Deny", Condition={"StringNotEquals": {key: "elsewhere"}})
        assert cell(CI, present=bucket_policy(elsewhere)).state == "denied"


def test_who_comes_through_the_endpoint_is_known_by_vpc_and_account() -> None:
    vpc = f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/vpc-1"
    inside = {"aws:SourceVpc": "vpc-1", "aws:SourceVpcArn": vpc, "aws:VpceAccount": ACCOUNT}
    own = {**inside, "aws:SourceVpce": VPCE, "aws:VpcSourceIp": "10.0.0.4"}
    for key, value in own.items():
        present = bucket_policy(statement("Deny", Condition={"StringNotEquals": {key: value}}))
        assert cell(TARGET, place="", present=present).state == "allowed"
        assert cell(CI, present=present).state == "denied"
