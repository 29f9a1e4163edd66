"""The audit without an account: two snapshots, two matrices, and what is told of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from private_s3 import access_drift, audit
from private_s3.access import COLUMNS
from private_s3.audit import Audit
from private_s3.callers import OUTSIDE, SERVICE, Caller
from private_s3.drift import ASK, BLOCK, Drift, Finding
from private_s3.matrix import Matrix
from private_s3.record import Record
from tests.support.readings import (
    FENCED,
    VPCE,
    account,
    bucket_policy,
    one,
    parameters,
    people,
    policy,
    role,
    situation,
    statement,
)

TABLE, MAIN, SUBNET, APP = "rtb-a", "rtb-m", "subnet-a", "instance/i-1"
ALLOW = bucket_policy(statement("Allow"))
ON = {"BlockPublicAcls": True, "BlockPublicPolicy": True}


def snapshot(**changes: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """What a change has left, with other fields, or without a resource; `_` stands for `/`."""
    left: dict[str, dict[str, Any]] = {
        f"route-table/{TABLE}": {
            "route 10.0.0.0/16": "local active",
            "route pl-1": f"{VPCE} active",
        },
        f"route-table/{MAIN}": {"route 10.0.0.0/16": "local active"},
        f"subnet/{SUBNET}": {"route table": TABLE},
        "subnet/subnet-b": {"route table": MAIN},
        f"vpc-endpoint/{VPCE}": {"state": "available", "policy": ALLOW, "route tables": [TABLE]},
        APP: {"name": "app", "state": "running", "subnet": SUBNET, "role": "app"},
        "prefix-list/pl-1": {"addresses": ["192.0.2.0/25"]},
        "bucket/data": {"policy": FENCED, BLOCK: ON},
    }
    for name, fields in changes.items():
        resource = next(key for key in left if key.startswith(name.replace("_", "-")))
        left[resource] = {**left[resource], **fields} if fields is not None else {}
    return {resource: fields for resource, fields in left.items() if fields}


def drift(now: dict[str, dict[str, Any]], left: Any = None, **more: Any) -> dict[str, Finding]:
    """What is not as it was left, by name."""
    found = Drift("vpc-1", left or snapshot(), now, parameters(**more)).findings()
    return {one.name: one for one in found if one.verdict != "as left"}


def test_the_same_is_as_left() -> None:
    assert drift(snapshot()) == {}
    found = [*Drift("vpc-1", snapshot(), snapshot(), parameters()).findings()]
    assert [one.name for one in found] == [
        f"endpoint {VPCE}",
        f"route table of {SUBNET}",
        f"routes of {TABLE}",
        "instance app i-1",
        "bucket policy",
        "Block Public Access",
    ]


# -- the network ----------------------------------------------------------------------------------


def test_a_vpc_that_is_gone_is_one_finding() -> None:
    bare = {key: snapshot()[key] for key in ("prefix-list/pl-1", "bucket/data")}
    assert list(drift(bare)) == ["VPC vpc-1"]


def test_a_failed_endpoint_is_named_with_the_call_that_says_why() -> None:
    (found,) = drift(snapshot(vpc_endpoint={"state": "failed"})).values()
    assert (found.name, found.was, found.now) == (
        f"state of endpoint {VPCE}",
        "available",
        "failed",
    )
    assert f"aws ec2 describe-vpc-endpoints --region ap-northeast-1 --vpc-endpoint-ids {VPCE}" in (
        found.remedy
    )


def test_an_endpoint_that_was_pending_and_is_available_is_as_left() -> None:
    assert drift(snapshot(), snapshot(vpc_endpoint={"state": "pending"})) == {}


def test_an_endpoint_policy_in_other_words_is_as_left() -> None:
    spelt = json.dumps(json.loads(ALLOW) | {"Statement": [statement("Allow", Principal="*")]})
    assert drift(snapshot(vpc_endpoint={"policy": spelt})) == {}


@pytest.mark.parametrize(
    ("left", "now", "states", "option"),
    [
        ([TABLE], [TABLE, MAIN], ("not served", "served"), "--remove-route-table-ids"),
        ([TABLE, MAIN], [TABLE], ("served", "not served"), "--add-route-table-ids"),
    ],
)
def test_other_route_tables_of_the_endpoint_are_named_with_the_call_that_undoes_it(
    left: list[str], now: list[str], states: tuple[str, str], option: str
) -> None:
    served = (snapshot(vpc_endpoint={"route tables": one}) for one in (now, left))
    (found,) = drift(*served).values()
    assert (found.name, found.verdict) == (f"{MAIN} at endpoint {VPCE}", "drift")
    assert (found.was, found.now) == states
    assert found.remedy.endswith(f"--vpc-endpoint-id {VPCE} {option} {MAIN}")


def test_a_table_of_ours_that_is_taken_away_is_named_by_its_route_alone() -> None:
    now = snapshot(vpc_endpoint={"route tables": []}, route_table={"route pl-1": None})
    assert list(drift(now)) == [f"route pl-1 of {TABLE}"]


def test_the_route_of_an_endpoint_that_is_gone_is_not_named_twice() -> None:
    routes = {"route pl-1": None}
    now = snapshot(vpc_endpoint=None, route_table=routes)
    assert list(drift(now)) == [f"endpoint {VPCE}"]


def test_the_s3_route_to_another_endpoint_is_drift() -> None:
    (found,) = drift(snapshot(route_table={"route pl-1": "vpce-2 active"})).values()
    assert (found.name, found.was, found.now) == (
        f"route pl-1 of {TABLE}",
        f"{VPCE} active",
        "vpce-2 active",
    )
    assert "the plan puts it back" in found.remedy


@pytest.mark.parametrize("now", [f"{VPCE} blackhole", None])
def test_an_s3_route_that_leads_nowhere_is_drift(now: str | None) -> None:
    (found,) = drift(snapshot(route_table={"route pl-1": now})).values()
    assert (found.verdict, found.now) == ("drift", now or "gone")


@pytest.mark.parametrize(
    ("way", "verdict"),
    [
        (f"{VPCE} active", "by AWS itself"),
        (f"{VPCE} blackhole", "drift"),
        ("vpce-0fffffffffffffff0 active", "drift"),
    ],
)
def test_a_second_prefix_list_is_aws_s_own_only_by_the_same_endpoint(
    way: str, verdict: str
) -> None:
    (found,) = drift(snapshot(route_table={"route pl-2": way})).values()
    assert (found.name, found.verdict) == (f"route pl-2 of {TABLE}", verdict)


@pytest.mark.parametrize(
    ("destination", "way", "option"),
    [
        ("0.0.0.0/0", "igw-1 active", "--destination-cidr-block 0.0.0.0/0"),
        ("0.0.0.0/0", "nat-1 active", "--destination-cidr-block 0.0.0.0/0"),
        ("::/0", "eigw-1 active", "--destination-ipv6-cidr-block ::/0"),
        ("pl-2", "nat-1 active", "--destination-prefix-list-id pl-2"),
    ],
)
def test_a_route_to_the_internet_is_named_as_such(destination: str, way: str, option: str) -> None:
    (found,) = drift(snapshot(route_table={f"route {destination}": way})).values()
    assert (found.verdict, found.now) == ("drift", f"{way}: leads to the internet")
    assert found.remedy == (
        f"aws ec2 delete-route --region ap-northeast-1 --route-table-id {TABLE} {option}"
    )


def test_a_route_whose_nat_gateway_is_gone_leads_nowhere() -> None:
    left = snapshot(route_table={"route 0.0.0.0/0": "nat-1 active"})
    (found,) = drift(snapshot(route_table={"route 0.0.0.0/0": "nat-1 blackhole"}), left).values()
    assert (found.now, found.remedy) == ("nat-1 blackhole", ASK)


def test_a_subnet_that_follows_another_table_says_if_that_leads_to_the_internet() -> None:
    now = snapshot(subnet={"route table": MAIN})
    now[f"route-table/{MAIN}"]["route 0.0.0.0/0"] = "igw-1 active"
    found = drift(now)[f"route table of {SUBNET}"]
    assert (found.was, found.verdict) == (TABLE, "drift")
    assert found.now == f"{MAIN}, which leads to the internet: 0.0.0.0/0 to igw-1 active"


def test_a_subnet_that_is_gone_is_named() -> None:
    now = snapshot()
    del now[f"subnet/{SUBNET}"]
    assert drift(now)[f"route table of {SUBNET}"].now == "gone"


# -- the instances --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "verdict"),
    [
        ("state", "stopped", "drift"),
        ("state", "stopping", "drift"),
        ("state", "pending", ""),
        ("name", "renamed", ""),
        ("role", "other", "drift"),
        ("subnet", "subnet-b", "drift"),
    ],
)
def test_of_an_instance_state_role_and_subnet_count(field: str, value: str, verdict: str) -> None:
    found = drift(snapshot(instance={field: value}))
    assert [one.verdict for one in found.values()] == [verdict] * bool(verdict)
    assert all(field == "state" or name.startswith(field) for name in found)


def test_an_instance_that_was_stopped_when_it_was_left_may_be_so() -> None:
    stopped = snapshot(instance={"state": "stopped"})
    assert drift(stopped, stopped) == {} == drift(snapshot(), stopped)


@pytest.mark.parametrize("level", ["none", "role", "instance", "instance-origin"])
def test_a_replaced_instance_is_shut_out_by_the_levels_that_name_it(level: str) -> None:
    now = snapshot(instance=None)
    now["instance/i-2"] = snapshot()[APP]
    now["instance/i-3"] = {**snapshot()[APP], "name": "other"}
    (found,) = drift(now, restrict_to=level).values()
    assert (found.name, found.now) == ("instance app i-1", "replaced by i-2")
    assert ("shuts it out" in found.remedy) == ("instance" in level)


def test_an_instance_that_was_there_before_has_replaced_nobody() -> None:
    left = {**snapshot(), "instance/i-2": snapshot()[APP]}
    now = {key: fields for key, fields in left.items() if key != APP}
    (found,) = drift(now, left).values()
    assert (found.name, found.now) == ("instance app i-1", "gone")


def test_instances_without_a_name_do_not_replace_each_other() -> None:
    unnamed = snapshot(instance={"name": ""})
    now = {**snapshot(instance=None), "instance/i-2": unnamed[APP]}
    (found,) = drift(now, unnamed).values()
    assert found.now == "gone"


# -- the bucket -----------------------------------------------------------------------------------


def test_a_prefix_list_may_grow_and_shrink() -> None:
    (found,) = drift(snapshot(prefix_list={"addresses": ["a", "b"]})).values()
    assert found.verdict == "by AWS itself"
    assert found.now.startswith("2 address ranges, 2 new and 1 gone; ")


def test_a_policy_in_other_words_is_aws_s_own() -> None:
    left = bucket_policy(statement("Allow", Sid="A"), statement("Deny", Sid="B", Action=["s3:x"]))
    now = bucket_policy(statement("Deny", "s3:x", Sid="B"), statement("Allow", Sid="A"))
    (found,) = drift(snapshot(bucket={"policy": now}), snapshot(bucket={"policy": left})).values()
    assert (found.name, found.verdict, found.remedy) == ("bucket policy", "by AWS itself", "")


@pytest.mark.parametrize("is_", ["gone", "added"])
def test_statements_are_named_by_sid_and_by_whose_they_are(is_: str) -> None:
    ours = statement("Deny", Sid="PrivateS3DenyOutsideEndpoint")
    many = bucket_policy(statement("Allow"), statement("Deny", Sid="B"), ours)
    states = snapshot(bucket={"policy": many}), snapshot(bucket={"policy": None})
    left, now = states if is_ == "gone" else states[::-1]
    assert list(drift(now, left)) == [
        f"statement B (somebody else's) {is_}",
        f"statement PrivateS3DenyOutsideEndpoint (ours) {is_}",
        f"statement without a Sid (somebody else's) {is_}",
    ]


def test_our_sid_in_another_form_is_drift_that_a_plan_alone_cannot_put_back() -> None:
    name = "PrivateS3DenyOutsideEndpoint"
    now = bucket_policy(statement("Allow", Sid=name))
    left = bucket_policy(statement("Deny", Sid=name))
    (found,) = drift(snapshot(bucket={"policy": now}), snapshot(bucket={"policy": left})).values()
    assert found.name == f"statement {name} (ours) changed"
    assert found.remedy.startswith("rename its Sid") and "plan again" in found.remedy


def test_the_id_of_a_policy_means_nothing() -> None:
    left = bucket_policy(statement("Allow", Sid="A"))
    now = json.dumps({**json.loads(left), "Id": "by-the-console"})
    (found,) = drift(snapshot(bucket={"policy": now}), snapshot(bucket={"policy": left})).values()
    assert found.verdict == "by AWS itself"


def test_a_variable_that_becomes_plain_text_is_a_change() -> None:
    with_variable = {"StringEquals": {"aws:PrincipalTag/x": "${aws:username}"}}
    left = bucket_policy(statement("Deny", Sid="A", Condition=with_variable))
    now = left.replace("2012-10-17", "2008-10-17")
    found = drift(snapshot(bucket={"policy": now}), snapshot(bucket={"policy": left}))
    assert list(found) == ["statement A (somebody else's) changed"]


@pytest.mark.parametrize(
    ("left", "now", "verdict", "remedy"),
    [
        (ON, {**ON, "IgnorePublicAcls": False}, "", ""),
        (ON, {}, "drift", "BlockPublicAcls=true,BlockPublicPolicy=true"),
        (ON, {**ON, "IgnorePublicAcls": True}, "drift", ASK),
        ({}, ON, "drift", ASK),
        (None, ON, "not known", "grant s3:GetBucketPublicAccessBlock on data"),
        (ON, None, "not known", "grant s3:GetBucketPublicAccessBlock on data"),
    ],
)
def test_block_public_access_is_compared_setting_by_setting(
    left: Any, now: Any, verdict: str, remedy: str
) -> None:
    found = drift(snapshot(bucket={BLOCK: now}), snapshot(bucket={BLOCK: left}))
    assert [one.verdict for one in found.values()] == [verdict] * bool(verdict)
    assert all(remedy in one.remedy for one in found.values())


# -- who can do what ------------------------------------------------------------------------------


def matrix(present: str | None = None, *callers: Caller, **changes: Any) -> Matrix:
    everybody = callers or tuple(people(present).all())
    state = situation(present, **changes)
    return Matrix(state, state, everybody, "x")


def access(left: Matrix, now: Matrix, *told: str, **how: Any) -> list[Finding]:
    """What is told of the access now, beside the rows that are kept of a matrix."""
    rows = json.loads(json.dumps(left.facts()))
    how = {"follows": False, "unread": "", **how}
    return access_drift.between(rows, now, told, **how).findings()


def test_the_same_matrix_is_as_left() -> None:
    (found,) = access(matrix(FENCED), matrix(FENCED))
    assert (found.name, found.verdict) == ("who can do what", "as left")
    assert found.now == "12 callers, cell by cell"


def test_cells_that_change_are_told_with_what_decides_now() -> None:
    caller = replace(one(people(), "role ci-1"), part="other")
    (found,) = access(matrix(None, caller), matrix(FENCED, caller))
    assert found == Finding(
        "who can do what: role ci-1 from outside (list, read, write, delete, administer)",
        "drift",
        "allowed",
        "denied: Deny by Fence of bucket policy",
        access_drift.REMEDY,
    )
    (found,) = access(matrix(None, caller), matrix(FENCED, caller), follows=True)
    assert found.remedy == access_drift.ABOVE


def test_somebody_who_was_left_with_access_and_has_none_is_not_gone() -> None:
    """A row of somebody who may do nothing is not shown; still the caller is there."""
    (caller,) = [c for c in people().all() if c.who == "role ci-1"]
    assert caller.part == "incidental"
    (found,) = access(matrix(None, caller), matrix(FENCED, caller))
    assert found.verdict == "drift" and found.now.startswith("denied")


def test_closed_for_one_reason_or_another_is_no_drift() -> None:
    (target,) = people().targets()
    shut = bucket_policy(statement("Deny"))
    (found,) = access(matrix(shut, target), matrix(shut, target, ways={}))
    assert found.verdict == "as left"


def test_the_object_that_was_spoken_of_is_asked_for_again() -> None:
    """Also if the caller may now do something with another one."""
    caller = replace(one(people(), "role ci-1"), part="other")
    other = {"one": policy(statement("Allow", Resource="arn:aws:s3:::data/other/*"))}
    (found,) = access(matrix(None, caller), matrix(None, replace(caller, policies=other)))
    assert found.name.endswith("(list, read, write, delete, administer)")


def test_what_depends_is_not_known_and_reasons_are_counted() -> None:
    callers = [
        replace(one(people(), "role ci-1"), who=f"role r{n}", part="other") for n in range(5)
    ]
    callers = [
        replace(c, principal=replace(c.principal, arn=role(c.who[5:])), policies={"p": text})
        for c, text in (
            (c, policy(statement("Allow", Condition={"StringEquals": {f"aws:x{n}": "1"}})))
            for n, c in enumerate(callers)
        )
    ]
    plain = [replace(c, policies={"p": policy(statement("Allow"))}) for c in callers]
    (found,) = access(matrix(None, *plain), matrix(None, *callers))
    assert (found.verdict, found.remedy) == ("not known", access_drift.NOT_KNOWN)
    assert found.now == "depends: aws:x0; aws:x1; aws:x2 and 2 more"


def test_a_new_caller_is_drift_if_the_data_is_open_to_it() -> None:
    old, new = (one(people(), name) for name in ("role ci-1", "role ci-2"))
    (found,) = access(matrix(None, old), matrix(None, old, new))
    assert (found.name[:27], found.verdict) == ("new callers: role ci-2 from", "drift")
    repair = {"p": policy(statement("Allow", "s3:*BucketPolicy"))}
    (found,) = access(matrix(None, old), matrix(None, old, replace(new, policies=repair)))
    assert (found.verdict, found.remedy) == ("not ours", "")
    (found,) = access(matrix(None, old), matrix(None, old, replace(new, policies={})))
    assert found.verdict == "as left"


def test_keys_that_are_copied_from_another_instance_are_nobody_new() -> None:
    old, new = (replace(one(people(), "role ci-1"), part=part) for part in ("other", "copied"))
    new = replace(new, who="keys copied from i-0123456789abcdef0", place="", subnet="subnet-a")
    (found,) = access(matrix(None, old), matrix(None, old, new))
    assert found.verdict == "as left"


def test_a_caller_who_is_gone_is_named_and_no_drift() -> None:
    old, other = (one(people(), name) for name in ("role ci-1", "role ci-2"))
    (found,) = access(matrix(None, old, other), matrix(None, other))
    assert found.name.startswith("callers: role ci-1 from outside (list")
    assert (found.verdict, found.now) == ("not ours", "gone")


def test_without_a_listing_of_the_account_nobody_is_said_to_be_gone_or_new() -> None:
    refused = people(refused="AWS answered AccessDenied: no")
    blind = matrix(None, *refused.all())
    found = access(matrix(), blind, unread="AWS answered AccessDenied: no")
    assert {one.verdict for one in found} == {"not known"}
    assert any(one.now == "AWS answered AccessDenied: no" for one in found)
    assert {one.verdict for one in access(blind, matrix())} == {"not known"}


def test_instances_that_are_told_of_already_are_left_out() -> None:
    (target,) = people().targets()
    id_ = target.instances[0]
    (found,) = access(matrix(None, target), matrix(FENCED, target, ways={}), id_)
    assert found.verdict == "as left"


def test_the_role_of_copied_keys_is_nobody_new_because_a_policy_names_it() -> None:
    callers = people().all()
    named = replace(one(people(), "keys copied from 0000000000000000a i-0000000000000000a"))
    named = replace(named, who="role app", part="other")
    for left, now in (((), (named,)), ((named,), ())):
        (found,) = access(matrix(None, *callers, *left), matrix(None, *callers, *now))
        assert found.verdict == "as left"


@pytest.mark.parametrize(
    ("who", "place", "key"),
    [
        ("you (operator)", OUTSIDE, "role operator"),
        ("you (gone) (does not exist)", OUTSIDE, "role gone"),
        ("you (user ann)", OUTSIDE, "user ann"),
        ("role gone (does not exist)", OUTSIDE, "role gone"),
        ("my app i-0123456789abcdef0", "in the VPC", "i-0123456789abcdef0"),
        ("i-0123456789abcdef0", "in the VPC", "i-0123456789abcdef0"),
        ("keys copied from app i-01234567", OUTSIDE, "keys copied from i-01234567"),
        ("role i-01234567-x", SERVICE, "role i-01234567-x"),
    ],
)
def test_a_caller_is_known_again_by_what_never_changes(who: str, place: str, key: str) -> None:
    assert access_drift._key(who, place) == (key, place)


# -- the whole ------------------------------------------------------------------------------------


def test_every_verdict_has_its_state_and_its_words() -> None:
    assert audit.STATES.keys() == audit.WORDS.keys()
    findings = [Finding("a thing", verdict) for verdict in audit.STATES]
    assert [check.state for check in Audit(findings).findings()] == [*audit.STATES.values()]
    assert Audit(findings).sentence() == (
        "1 drifted, 1 changed by AWS itself, 1 not of this change, 1 not known, "
        "1 not compared, 1 as left."
    )


def test_the_table_has_a_row_for_each_finding() -> None:
    table = Audit([Finding("a", "as left"), Finding("b", "drift", "1", "2", "do it")]).table()
    assert tuple(table.columns) == audit.FINDING_COLUMNS
    assert table.to_numpy().tolist() == [
        ["a", "as left", "-", "-", "-"],
        ["b", "drift", "1", "2", "do it"],
    ]


def test_nothing_that_was_left_asks_nothing_of_aws(tmp_path: Path) -> None:
    asked = account()
    made = audit.read(asked, Record(parameters(changes_dir=str(tmp_path)), "80_audit_drift"))
    assert [check.state for check in made.findings()] == ["SKIPPED"]
    assert not asked.calls


def test_the_columns_that_are_compared_are_those_of_the_matrix() -> None:
    (row,) = matrix(None, one(people(), "role ci-1")).facts()
    assert [*row["after"]] == [*COLUMNS]
