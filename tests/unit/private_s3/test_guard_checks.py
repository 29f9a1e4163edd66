"""The guard on a small hand-made account: what is refused, and what is only uncertain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from private_s3 import guard
from private_s3.access import Situation
from private_s3.callers import Caller
from private_s3.matrix import Matrix
from private_s3.record import Check
from tests.support.readings import (
    CI,
    FENCE,
    FENCED,
    TARGET,
    VPCE,
    bucket_policy,
    parameters,
    people,
    role,
    situation,
    statement,
)

OFFICE = {"aws:SourceIp": "203.0.113.0/24"}
NOT_FROM_OFFICE = bucket_policy(statement("Deny", Sid="Office", Condition={"NotIpAddress": OFFICE}))
BY_NAT = {"subnet-a": "nat-1", "subnet-b": "nowhere"}
NEIGHBOURS = "0000000000000000b i-0000000000000000b, 0000000000000000c i-0000000000000000c"


def checks(
    before: Situation, after: Situation, callers: list[Caller] | None = None, **more: Any
) -> dict[str, Check]:
    asked = {"break_glass_role": role("break-glass"), "bucket": "data", **more}
    given = parameters(**asked)
    everybody = callers or people(before.policy, **more).all()
    made = guard.checks(Matrix(before, after, everybody, "check"), given, changes_policy=True)
    return {check.name: check for check in made}


def test_who_came_by_nat_from_the_office_is_not_cut_off_unseen() -> None:
    """Traffic that turns to the endpoint loses its public address."""
    found = checks(situation(NOT_FROM_OFFICE, ways=BY_NAT), situation(NOT_FROM_OFFICE))
    check = found["no statement by aws:SourceIp stops matching"]
    assert check.state == "FAIL" and "aws:VpcSourceIp" in check.remedy
    for who in (TARGET, NEIGHBOURS):
        assert f"{who} (list, read, write, delete" in check.detail
    assert check.detail.count("): Deny by Office of bucket policy") == 3  # copied keys as well


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # They come through the endpoint already: nothing changes for them.
        (situation(NOT_FROM_OFFICE), situation(NOT_FROM_OFFICE)),
        # What is lost is lost by something else.
        (situation(ways=BY_NAT), situation(bucket_policy(statement("Deny", Sid="Shut")))),
        (situation(ways=BY_NAT), situation()),
    ],
)
def test_an_address_is_not_blamed_for_what_it_does_not_decide(
    before: Situation, after: Situation
) -> None:
    assert checks(before, after)["no statement by aws:SourceIp stops matching"].state == "PASS"


def test_somebody_must_be_able_to_repair_it_who_is_not_root() -> None:
    locked = situation(bucket_policy(statement("Deny", "s3:PutBucketPolicy", Sid="Lock")))
    check = checks(situation(), locked)["somebody outside can repair the policy"]
    assert check.state == "FAIL"
    assert "role break-glass: Deny by Lock of bucket policy" in check.detail


def test_only_an_instance_that_can_repair_it_is_not_enough() -> None:
    """Somebody outside must be able to, when the instances are what is broken."""
    spared = {"StringNotEquals": {"aws:SourceVpce": VPCE}}
    locked = bucket_policy(statement("Deny", "s3:PutBucketPolicy", Condition=spared))
    name = "somebody outside can repair the policy"
    assert checks(situation(), situation(locked))[name].state == "FAIL"


def test_a_role_that_is_not_there_can_repair_nothing() -> None:
    spared = {"ArnNotEquals": {"aws:PrincipalArn": role("break-glass")}}
    locked = bucket_policy(statement("Deny", "s3:PutBucketPolicy", Condition=spared))
    everybody = people().all()
    gone = [replace(c, exists=c.part != "break-glass") for c in everybody]
    name = "somebody outside can repair the policy"
    for callers, state in ((everybody, "PASS"), (gone, "FAIL")):
        assert checks(situation(), situation(locked), callers)[name].state == state


def test_what_nobody_could_read_is_uncertain() -> None:
    unread = people(refused="no").all()
    found = checks(situation(), situation(), unread)
    assert found["somebody outside can repair the policy"].state == "UNCERTAIN"
    assert found[f"{TARGET} will reach the data"].state == "UNCERTAIN"
    assert found["break_glass_role exists"].state == "PASS"  # as far as anybody knows


def test_the_level_must_shut_out_whom_it_is_for() -> None:
    open_still = checks(situation(), situation(), restrict_to="endpoint")
    check = open_still["endpoint shuts out who it should"]
    assert check.state == "FAIL"
    assert f"{CI} from outside: list, Allow by statement 1 of policy all" in check.detail
    assert "role break-glass" not in check.detail
    fenced = checks(situation(), situation(FENCED), restrict_to="endpoint")
    assert fenced["endpoint shuts out who it should"].state == "PASS"


@pytest.mark.parametrize(
    ("level", "state", "named"),
    [("role", "PASS", ""), ("instance", "FAIL", NEIGHBOURS), ("instance-origin", "FAIL", "copied")],
)
def test_each_level_asks_more(level: str, state: str, named: str) -> None:
    """With the fence of the lowest level alone; all instances here have one role."""
    check = checks(situation(), situation(FENCED), restrict_to=level)[
        f"{level} shuts out who it should"
    ]
    assert (check.state, named in check.detail) == (state, True)


@pytest.mark.parametrize(
    ("block", "state"),
    [({"BlockPublicPolicy": True}, "FAIL"), (None, "UNCERTAIN"), ({}, None)],
)
def test_a_public_policy_is_refused_where_s3_refuses_it(
    block: dict[str, bool] | None, state: str | None
) -> None:
    public = bucket_policy(statement("Allow", "s3:GetObject", Sid="Open"))
    after = replace(situation(public), public_access_block=block)
    check = checks(situation(), after).get("the policy is not public")
    assert (check and check.state) == state
    assert check is None or check.detail.startswith("Open: BlockPublicPolicy")


def test_who_must_work_keeps_what_they_could_do() -> None:
    name = f"{CI} keeps working"
    must = {"must_work": [role("ci-1")]}
    assert checks(situation(), situation(FENCED), **must)[name].state == "FAIL"
    assert checks(situation(), situation(), **must)[name].state == "PASS"
    shut = bucket_policy(statement("Deny", Sid="Shut"))
    assert (
        checks(situation(shut), situation(shut), **must)[name].detail == "could do nothing before"
    )


def test_an_instance_without_a_way_is_refused() -> None:
    stranded = situation(ways={"subnet-a": "nowhere", "subnet-b": "nowhere"})
    check = checks(situation(), stranded)[f"{TARGET} will reach the data"]
    assert (check.state, check.detail[-20:]) == ("FAIL", "no route leads to S3")


def test_the_level_role_shuts_out_an_instance_with_another_role() -> None:
    everybody = people().all()
    neighbour = next(c for c in everybody if c.part == "neighbour")
    other = replace(neighbour.principal, arn=role("other"))
    others = [replace(c, principal=other) if c is neighbour else c for c in everybody]
    name = "role shuts out who it should"
    assert checks(situation(), situation(FENCED), others, restrict_to="role")[name].state == "FAIL"


def test_the_level_instance_lets_keys_pass_that_were_copied_to_a_neighbour() -> None:
    only = {
        "ArnNotEquals": {"ec2:SourceInstanceArn": f"arn:aws:ec2:*:*:instance/{TARGET.split()[1]}"}
    }
    fence, named = (statement("Deny", Condition=condition) for condition in (FENCE, only))
    after = situation(bucket_policy(fence, named))
    for level, state in (("instance", "PASS"), ("instance-origin", "FAIL")):
        check = checks(situation(), after, restrict_to=level)[f"{level} shuts out who it should"]
        assert check.state == state, check


def test_a_role_that_must_work_is_no_excuse_for_copied_keys_and_must_be_there() -> None:
    names: dict[str, Any] = {"must_work": [role("team/app"), role("gone")]}
    found = checks(situation(), situation(FENCED), **names)
    assert [name for name in found if "copied" in name] == []
    assert found["role app keeps working"].state == "FAIL"
    assert found[f"{role('gone')} keeps working"].state == "FAIL"
