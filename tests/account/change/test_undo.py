"""An undo brings back what was there before a change, and touches nothing of anybody else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import rehearsal
from private_s3 import approval, aws, bucket, change, endpoint, status, undo
from private_s3.errors import AwsRefused, BadInput, PlanChanged, RunbookError
from private_s3.journal import Journal
from tests.support.world import World, enter

BUCKET = "rehearsal-private-data"
ARN = f"arn:aws:s3:::{BUCKET}"
S3 = "com.amazonaws.ap-northeast-1.s3"
NUMBERS = count(1)
# With spaces, an escape, a list of one and an order of its own: it must come back byte for byte.
PRESENT = (
    '{ "Statement" : [ {"Sid":"K\\u00e4the", "Effect":"Deny","Principal":"*",\n'
    f'"Action":["s3:DeleteBucket"], "Resource":"{ARN}"}},{{"Effect":"Allow","Principal":{{"AWS":'
    f'"arn:aws:iam::123456789012:role/auditor"}},"Action":"s3:ListBucket","Resource":["{ARN}"]}}]'
    ' ,"Version":"2012-10-17"}'
)
THEIRS = {
    "Sid": "AddedSince",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:DeleteObject",
    "Resource": f"{ARN}/keep/*",
}
OPEN = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
NARROW = json.dumps({"Version": "2012-10-17", "Statement": [{**OPEN, "Action": "s3:*"}]})
LEVELS = ("none", "endpoint", "role", "instance", "instance-origin")
MADE = ["CreateVpcEndpoint", "PutBucketPolicy"]
UNMADE = ["PutBucketPolicy", "DeleteVpcEndpoints"]


@pytest.fixture
def world(
    shared: rehearsal.Account,
    bound: aws.Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    # A name of its own for each change: AWS remembers the tokens by which endpoints were made.
    named = {"change_id": f"c-{next(NUMBERS)}"}
    world = replace(enter(shared, tmp_path, monkeypatch), values=named)
    monkeypatch.setattr(aws, "connect", lambda _: bound)
    for module in (endpoint, bucket):
        monkeypatch.setattr(module, "TIME_LIMIT", 3)
    put(world, PRESENT)
    yield world
    ec2 = world.client("ec2")
    shared.unplant()
    for found in endpoints(world):
        ec2.delete_vpc_endpoints(VpcEndpointIds=[found["VpcEndpointId"]])


# -- what others see and do -----------------------------------------------------------------------


def put(world: World, policy: str | None) -> None:
    s3 = world.client("s3")
    if policy is None:
        s3.delete_bucket_policy(Bucket=BUCKET)
    else:
        s3.put_bucket_policy(Bucket=BUCKET, Policy=policy)


def policy(world: World) -> str | None:
    s3 = world.client("s3")
    try:
        text: str = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    except s3.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchBucketPolicy"
        return None
    return text


def statements_of(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(policy(world) or '{"Statement": []}')["Statement"]
    return found


def edit(world: World, change_it: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Somebody else edits the statements of the bucket policy in place."""
    document = json.loads(policy(world) or "")
    change_it(document["Statement"])
    put(world, json.dumps(document))


def add(statement: dict[str, Any]) -> Callable[[World], None]:
    return lambda world: edit(world, lambda statements: statements.append(statement))


def endpoints(world: World) -> list[dict[str, Any]]:
    gateways = [{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}]
    found = world.client("ec2").describe_vpc_endpoints(Filters=gateways)["VpcEndpoints"]
    return [one for one in found if one["State"] == "available"]


def made(world: World) -> str:
    """Id of the one endpoint there is."""
    (found,) = endpoints(world)
    return str(found["VpcEndpointId"])


def foreign(world: World, *tables: str) -> str:
    """Somebody else's endpoint."""
    request = {"VpcId": world.id("rehearsal"), "ServiceName": S3, "PolicyDocument": NARROW}
    ids = [world.id(table) for table in tables]
    answer = world.client("ec2").create_vpc_endpoint(**request, RouteTableIds=ids)
    return str(answer["VpcEndpoint"]["VpcEndpointId"])


def modify(world: World, endpoint_id: str, **request: Any) -> None:
    world.client("ec2").modify_vpc_endpoint(VpcEndpointId=endpoint_id, **request)


def attach_main(world: World) -> None:
    """Somebody else adds a route table to the endpoint of the change."""
    modify(world, made(world), AddRouteTableIds=[world.id("main")])


def move_table(world: World) -> None:
    """Somebody else takes the route table from the endpoint, and gives it to one of their own."""
    modify(world, made(world), RemoveRouteTableIds=[world.id("private-a")])
    foreign(world, "private-a")


def delete_endpoint(world: World) -> None:
    world.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[made(world)])


def snapshot(world: World) -> dict[str, dict[str, Any]]:
    parameters = world.parameters()
    return change.read(aws.connect(parameters), parameters).snapshot()


def refused(
    world: World, attempt: Callable[[], Any], kind: type[RunbookError] = PlanChanged
) -> RunbookError:
    """The refusal of something that must not write."""
    before = world.writes(), policy(world), endpoints(world)
    with pytest.raises(kind) as caught:
        attempt()
    assert (world.writes(), policy(world), endpoints(world)) == before
    assert "othing was written" in str(caught.value)
    status.of(world.parameters())
    return caught.value


def writes_of(world: World, act: Callable[[], Any]) -> list[str]:
    """The writes by which something was done."""
    before = len(world.writes())
    act()
    return world.writes()[before:]


# -- the way back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("present", [PRESENT, None])
def test_an_undo_brings_everything_back_at_each_level(
    world: World, level: str, present: str | None
) -> None:
    put(world, present)
    before = snapshot(world)
    writes = writes_of(world, lambda: world.apply(restrict_to=level))
    assert writes == (MADE if level != "none" else MADE[:1])
    assert snapshot(world) != before
    planned = world.undo_planned(restrict_to=level)
    assert f"approved_plan={planned.plan.digest}" in planned.sentence()
    writes = writes_of(world, lambda: world.undo(planned.plan.digest, restrict_to=level))
    of_policy = "PutBucketPolicy" if present else "DeleteBucketPolicy"
    assert writes == ([of_policy, UNMADE[1]] if level != "none" else UNMADE[1:])
    assert policy(world) == present
    assert snapshot(world) == before
    done = world.undo_planned(restrict_to=level, approved_plan=planned.plan.digest)
    assert done.restored(done.reading) == []
    assert [check.state for check in done.restored_checks(done.reading)] == ["PASS", "PASS"]
    assert status.of(world.parameters()).sentences[0].startswith("The change was undone at ")


def test_the_undo_is_the_mirror_of_the_plan(world: World) -> None:
    forth = world.planned().plan
    world.apply(forth.digest)
    back = world.undo_planned().plan
    assert [(c.resource, c.field) for c in back.changes] == [
        (c.resource, c.field) for c in forth.changes
    ]
    for there, here in zip(forth.changes, back.changes, strict=True):
        assert here.after == there.before and here.same(here.before, there.after)


def test_of_a_change_that_was_interrupted_only_what_was_made_is_undone(world: World) -> None:
    digest = world.plan()
    world.planned(approved_plan=digest).apply_endpoint()
    planned = world.undo_planned()
    assert not any(c.resource.startswith("bucket/") for c in planned.plan.changes)
    assert writes_of(world, world.undo) == ["DeleteVpcEndpoints"]
    assert policy(world) == PRESENT and endpoints(world) == []


def test_of_somebody_elses_endpoint_only_the_added_table_goes(world: World) -> None:
    theirs = foreign(world, "main")
    before, endpoint_before = snapshot(world), endpoints(world)
    assert writes_of(world, world.apply) == ["ModifyVpcEndpoint", "PutBucketPolicy"]
    assert made(world) == theirs
    assert writes_of(world, world.undo) == ["PutBucketPolicy", "ModifyVpcEndpoint"]
    assert (snapshot(world), endpoints(world), policy(world)) == (before, endpoint_before, PRESENT)


def test_two_plans_are_undone_together_to_what_was_before_the_first(world: World) -> None:
    before = snapshot(world)
    world.apply(restrict_to="endpoint")
    assert writes_of(world, lambda: world.apply(restrict_to="role")) == ["PutBucketPolicy"]
    ids = sorted([world.id("app-1"), world.id("sibling-1")])
    writes = writes_of(world, lambda: world.apply(restrict_to="role", instance_ids=ids))
    assert writes == ["ModifyVpcEndpoint"]  # one more route table
    assert writes_of(world, world.undo) == UNMADE
    assert (snapshot(world), policy(world)) == (before, PRESENT)


def test_a_second_undo_and_a_second_apply_write_nothing(world: World) -> None:
    digest = world.apply()
    assert writes_of(world, lambda: world.apply(digest)) == []
    back = world.undo()
    assert writes_of(world, lambda: world.undo(back)) == []
    assert world.undo_planned().plan.changes == ()
    assert writes_of(world, world.undo) == []  # the empty plan, carried out


def test_after_an_undo_the_plan_is_the_first_one_again(world: World) -> None:
    digest = world.apply()
    world.undo()
    assert world.plan() == digest


def test_what_was_undone_can_be_applied_again_with_a_new_endpoint(world: World) -> None:
    digest = world.apply()
    first = made(world)
    back = world.undo()
    assert writes_of(world, lambda: world.apply(digest)) == MADE
    second = made(world)
    assert second != first and second in str(policy(world)) and first not in str(policy(world))
    assert world.undo_planned().plan.digest == back  # the mirror is the same, too
    assert writes_of(world, world.undo) == UNMADE
    assert policy(world) == PRESENT and endpoints(world) == []


def test_a_change_that_made_nothing_has_an_empty_undo(world: World) -> None:
    planned = world.undo_planned()
    assert planned.plan.changes == () and planned.sentence().startswith("Nothing to undo")
    world.apply(restrict_to="none")
    world.undo(restrict_to="none")
    assert world.undo_planned(restrict_to="none").plan.changes == ()


def test_the_endpoint_is_not_undone_while_the_policy_names_it(world: World) -> None:
    world.apply()
    digest = world.undo_planned().plan.digest
    planned = world.undo_planned(approved_plan=digest)
    error = refused(world, planned.apply_endpoint)
    assert f"policy of bucket/{BUCKET} comes first" in error.answer
    assert f"private-s3 undo {digest}" in error.remedy


def test_a_digest_of_the_other_direction_is_refused_with_its_command(world: World) -> None:
    digest = world.plan()
    error = refused(world, lambda: world.undo(digest))
    assert f"private-s3 apply {digest}" in error.remedy
    world.apply(digest)
    back = world.undo_planned().plan.digest
    error = refused(world, lambda: world.apply(back))
    assert f"private-s3 undo {back}" in error.remedy


def test_a_change_folder_can_be_moved_between_any_two_steps(world: World, tmp_path: Path) -> None:
    def moved(before: World, name: str) -> World:
        shutil.copytree(before.folder, tmp_path / name)
        shutil.rmtree(before.folder)
        return replace(before, folder=tmp_path / name)

    digest = world.plan()
    second = moved(world, "second")
    second.planned(approved_plan=digest).apply_endpoint()
    third = moved(second, "third")
    third.apply(digest)
    assert third.writes()[-2:] == MADE
    fourth = moved(third, "fourth")
    assert writes_of(fourth, fourth.undo) == UNMADE
    assert policy(fourth) == PRESENT


def test_an_undo_has_to_be_approved_where_approvals_are_recorded(world: World) -> None:
    world.apply()
    back = world.undo_planned().plan.digest
    error = refused(world, lambda: world.undo(back, approval_valid_hours=1))
    assert "Nobody is recorded to have approved it" in error.answer and error.exit_code == 3
    approval.approve(world.parameters(), back, "Ann")
    assert writes_of(world, lambda: world.undo(back, approval_valid_hours=1)) == UNMADE


# -- what others have done since ------------------------------------------------------------------


def own(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return next(one for one in statements if one.get("Sid") == "PrivateS3DenyOutsideEndpoint")


def widen_ours(world: World) -> None:
    edit(world, lambda statements: own(statements)["Action"].append("s3:GetBucketAcl"))


def drop_ours(world: World) -> None:
    edit(world, lambda statements: statements.remove(own(statements)))


def name_the_endpoint(world: World) -> None:
    """Somebody else makes the endpoint of the change theirs."""
    condition = {"StringNotEquals": {"aws:SourceVpce": made(world)}}
    add({**THEIRS, "Condition": condition})(world)


def narrow_endpoint(world: World) -> None:
    modify(world, made(world), PolicyDocument=NARROW)


@pytest.mark.parametrize(
    ("act", "names"),
    [
        (add(THEIRS), f"policy of bucket/{BUCKET}: left nothing, now "),
        (widen_ours, f"policy of bucket/{BUCKET}: left "),
        (lambda world: put(world, None), "now nothing"),
        (name_the_endpoint, f"policy of bucket/{BUCKET}: left "),
        (attach_main, ": left nothing, now vpce-"),
        (move_table, ": left vpce-"),
        (narrow_endpoint, "policy of vpc-endpoint/private-s3: left "),
    ],
)
def test_what_somebody_has_changed_since_stops_the_undo_at_any_time(
    world: World, act: Callable[[World], None], names: str
) -> None:
    world.apply()
    approved = world.undo_planned().plan.digest
    act(world)
    error = refused(world, world.undo_planned)
    assert names in error.answer and error.exit_code == 3
    assert "force=true" in error.remedy
    refused(world, lambda: world.undo(approved))


def test_between_two_steps_of_an_undo_others_may_stop_it_too(world: World) -> None:
    world.apply()
    planned = world.undo_planned(approved_plan=world.undo_planned().plan.digest)
    planned.apply_bucket_policy()
    attach_main(world)
    error = refused(world, planned.apply_endpoint)
    assert f"S3 route of route-table/{world.id('main')}: left nothing" in error.answer
    modify(world, made(world), RemoveRouteTableIds=[world.id("main")])
    name_the_endpoint(world)
    assert "is not as it was planned from" in refused(world, planned.apply_endpoint).attempted
    error = refused(world, world.undo_planned)
    assert f"policy of bucket/{BUCKET}: left nothing that names the endpoint" in error.answer


def test_of_a_policy_both_versions_of_what_differs_are_in_the_message(world: World) -> None:
    world.apply()
    add(THEIRS)(world)
    widen_ours(world)
    left, now = refused(world, world.undo_planned).answer.split(", now ")
    for version, wide in ((left, False), (now, True)):
        assert "PrivateS3DenyOutsideEndpoint" in version and made(world) in version
        assert ("s3:GetBucketAcl" in version, "AddedSince" in version) == (wide, wide)
        assert "K\u00e4the" not in version  # what is the same in both


def test_with_force_their_statement_stays_and_ours_go(world: World) -> None:
    world.apply()
    edit(world, lambda statements: statements.insert(1, THEIRS))
    assert writes_of(world, lambda: world.undo(force=True)) == UNMADE
    first, last = json.loads(PRESENT)["Statement"]
    assert statements_of(world) == [first, THEIRS, last]
    assert endpoints(world) == []
    done = world.undo_planned(force=True)
    assert done.plan.changes == ()
    assert [(d.resource, d.field) for d in done.restored(done.reading)] == []


def test_what_others_have_changed_is_told_of_after_an_undo_with_force(world: World) -> None:
    world.apply()
    add(THEIRS)(world)
    digest = world.undo(force=True)
    done = world.undo_planned(force=True, approved_plan=digest)
    nothing_left, as_before = done.restored_checks(done.reading)
    assert (nothing_left.state, as_before.state) == ("PASS", "UNCERTAIN")
    assert f"policy of bucket/{BUCKET} is not" in as_before.detail


def test_with_force_a_statement_of_ours_that_somebody_edited_goes(world: World) -> None:
    world.apply()
    widen_ours(world)
    world.undo(force=True)
    assert policy(world) == PRESENT


def test_a_statement_that_is_ours_by_its_sid_only_is_never_taken_away(world: World) -> None:
    world.apply()
    edit(world, lambda statements: own(statements).pop("Condition"))
    for force in (False, True):
        attempt = lambda force=force: world.undo_planned(force=force)  # noqa: E731
        error = refused(world, attempt, BadInput)
        assert "rename its Sid" in error.remedy


def test_with_force_a_statement_of_ours_that_somebody_deleted_stays_away(world: World) -> None:
    world.apply()
    drop_ours(world)
    # That is what an undo would have made of it: nobody is in its way.
    assert writes_of(world, world.undo) == ["DeleteVpcEndpoints"]
    assert json.loads(policy(world) or "") == json.loads(PRESENT)


def test_force_takes_a_table_of_others_away_and_the_plan_names_it(world: World) -> None:
    before = snapshot(world)
    world.apply()
    attach_main(world)
    plan = world.undo_planned(force=True).plan
    (named,) = [c for c in plan.changes if c.resource == f"route-table/{world.id('main')}"]
    assert (named.field, named.after) == (endpoint.S3_ROUTE, None)
    assert writes_of(world, lambda: world.undo(plan.digest, force=True)) == UNMADE
    assert snapshot(world) == before


def test_force_takes_away_no_table_that_the_approved_plan_does_not_name(world: World) -> None:
    world.apply()
    digest = world.undo_planned(force=True).plan.digest
    attach_main(world)
    error = refused(world, lambda: world.undo(digest, force=True))
    assert world.id("main") in error.answer
    add({**THEIRS, "Sid": "Later"})(world)
    refused(world, lambda: world.undo(digest, force=True))


def test_with_force_a_table_that_others_have_given_to_their_endpoint_stays_there(
    world: World,
) -> None:
    world.apply()
    move_table(world)
    theirs = [one for one in endpoints(world) if one["PolicyDocument"] == NARROW]
    assert writes_of(world, lambda: world.undo(force=True)) == UNMADE
    assert endpoints(world) == theirs
    assert theirs[0]["RouteTableIds"] == [world.id("private-a")]
    assert policy(world) == PRESENT


def test_with_force_a_statement_that_names_the_endpoint_stays_as_it_is(world: World) -> None:
    world.apply()
    name_the_endpoint(world)
    theirs = statements_of(world)[-1]
    digest = world.undo(force=True)
    assert statements_of(world) == [*json.loads(PRESENT)["Statement"], theirs]
    assert endpoints(world) == []
    assert writes_of(world, lambda: world.undo(digest, force=True)) == []


def test_a_statement_that_names_an_endpoint_which_is_gone_keeps_its_id(world: World) -> None:
    world.apply()
    name_the_endpoint(world)
    theirs = statements_of(world)[-1]
    delete_endpoint(world)
    assert writes_of(world, lambda: world.undo(force=True)) == ["PutBucketPolicy"]
    assert statements_of(world) == [*json.loads(PRESENT)["Statement"], theirs]


def test_a_statement_that_names_an_endpoint_long_gone_is_in_nobodys_way(world: World) -> None:
    world.apply()
    name_the_endpoint(world)
    theirs = statements_of(world)[-1]
    delete_endpoint(world)
    world.apply()
    assert theirs in statements_of(world)
    world.undo()
    assert statements_of(world) == [*json.loads(PRESENT)["Statement"], theirs]
    assert endpoints(world) == []


def test_an_endpoint_that_somebody_deleted_leaves_a_policy_that_is_undone_all_the_same(
    world: World,
) -> None:
    world.apply()
    delete_endpoint(world)
    assert writes_of(world, world.undo) == ["PutBucketPolicy"]
    assert policy(world) == PRESENT


def test_an_endpoint_that_was_deleted_is_made_again_by_the_same_plan(world: World) -> None:
    digest = world.apply(restrict_to="none")
    first = made(world)
    delete_endpoint(world)
    assert writes_of(world, lambda: world.apply(digest, restrict_to="none")) == MADE[:1]
    assert made(world) != first
    assert writes_of(world, lambda: world.undo(restrict_to="none")) == UNMADE[1:]


def test_parameters_of_another_endpoint_are_refused_instead_of_leaving_it_behind(
    world: World,
) -> None:
    world.apply()
    error = refused(world, lambda: world.undo_planned(endpoint_name="renamed"), BadInput)
    assert "vpc-endpoint/private-s3" in error.answer
    assert writes_of(world, world.undo) == UNMADE


def test_after_a_change_of_the_endpoints_name_the_endpoint_is_still_found(world: World) -> None:
    """Its Name tag is for people; it is known by the tag of its change."""
    world.apply()
    tag = [{"Key": "Name", "Value": "renamed"}]
    world.client("ec2").create_tags(Resources=[made(world)], Tags=tag)
    assert writes_of(world, world.undo) == UNMADE


# -- who is gone ---------------------------------------------------------------------------------


def test_a_change_is_undone_when_its_instance_is_gone(
    account: rehearsal.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account of its own, since the instance does not come back."""
    world = enter(account, tmp_path, monkeypatch)
    before = policy(world)
    digest = world.apply()
    world.client("ec2").terminate_instances(InstanceIds=[world.id("app-1")])
    with pytest.raises(BadInput, match="Found none"):
        world.planned(approved_plan=digest)
    undone = world.undo()
    assert policy(world) == before and endpoints(world) == []
    again = world.undo_planned(approved_plan=undone)
    told = {check.name: check for check in again.restored_checks(again.reading)}
    assert told["nothing of this change is left"].state == "PASS"
    gone = told["the account is as it was before"]
    assert gone.state == "UNCERTAIN" and f"state of instance/{world.id('app-1')}" in gone.detail
    answers, comparison = again.observe()
    assert answers.observations and answers.checks() == []  # its neighbours are there yet
    assert {check.state for check in comparison.checks()} == {"PASS"}
    assert account.errors() == []


def test_the_journal_names_whoever_has_written(world: World) -> None:
    digest = world.apply()
    world.planned(approved_plan=digest).observe()
    lines = Journal(world.folder / world.values["change_id"]).lines()
    callers = {
        (line["operation"], line["caller"].rsplit(":", 1)[1])
        for line in lines
        if line["event"] == "intent"
    }
    operator, break_glass = "assumed-role/operator/rehearsal", "role/break-glass"
    assert callers == {
        ("CreateVpcEndpoint", operator),
        ("PutBucketPolicy", operator),
        ("SendCommand", operator),
        ("PutObject", operator),
        ("DeleteObject", operator),
        ("PutObject", break_glass),
        ("DeleteObject", break_glass),
    }


# -- what is not known ----------------------------------------------------------------------------


def test_an_undoing_without_an_answer_that_was_not_done_is_planned_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "ATTEMPTS", 1)
    monkeypatch.setattr(undo, "LATE", timedelta(0))
    world.apply()
    world.account.plant("DeleteVpcEndpoints", do="drop", who="operator")
    with pytest.raises(AwsRefused):
        world.undo()
    planned = world.undo_planned()
    assert f"route-table/{world.id('private-a')}" in {c.resource for c in planned.plan.changes}
    assert writes_of(world, lambda: world.undo(planned.plan.digest)) == ["DeleteVpcEndpoints"]
    assert endpoints(world) == []


def test_an_undoing_without_an_answer_that_was_done_is_seen_to_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "ATTEMPTS", 1)
    world.apply()
    world.account.plant("DeleteVpcEndpoints", do="drop answer", who="operator")
    with pytest.raises(AwsRefused):
        world.undo()
    assert "Perhaps done" in " ".join(status.of(world.parameters()).sentences)
    assert world.undo_planned().plan.changes == ()
    # The plan pass has looked, and says so.
    assert "Perhaps done" not in " ".join(status.of(world.parameters()).sentences)
    assert policy(world) == PRESENT and endpoints(world) == []


# -- what is kept of it ---------------------------------------------------------------------------


def test_no_key_token_or_home_is_in_what_a_change_leaves_behind(world: World) -> None:
    world.account.plant("CreateVpcEndpoint", code="UnauthorizedOperation", status=403)
    with pytest.raises(AwsRefused):
        world.apply()
    world.apply()
    world.undo()
    folder = world.folder / world.values["change_id"]
    events = [line["event"] for line in Journal(folder).lines()]
    assert {"planned", "intent", "outcome", "refused", "complete"} <= set(events)
    kept = "\n".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    keys = world.account.people["operator"]
    secrets = [*keys.values(), world.account.secret, str(Path.home())]
    assert len(secrets) > 4 and all(len(secret) > 4 for secret in secrets)
    assert [secret for secret in secrets if secret in kept] == []
