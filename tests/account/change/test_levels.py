"""Each level of `restrict_to`: what was predicted is what is observed, and it can be taken back."""

from __future__ import annotations

import json
import shlex
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from private_s3 import callers, change, statements
from private_s3.errors import CheckFailed
from tests.account.change.test_guard import ARN, BUCKET, bucket_policy, deny
from tests.support.asking import run
from tests.support.world import World

LEVELS = ("none", "endpoint", "role", "instance", "instance-origin")
KEYS = """
base=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
base=${base%/}/latest
token=$(curl --silent --noproxy '*' -X PUT \
    -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $base/api/token)
curl --silent --noproxy '*' -H "X-aws-ec2-metadata-token: $token" \
    $base/meta-data/iam/security-credentials/app-instance
"""
TRY = """
try() {
    name=$1; shift
    said=$(AWS_MAX_ATTEMPTS=1 aws --region ap-northeast-1 --cli-connect-timeout 3 \\
        s3api "$@" --bucket BUCKET 2>&1)
    case $said in
        *AccessDenied*) echo $name denied ;;
        *timeout*) echo $name no way ;;
        *rror*) echo $name "$said" ;;
        *) echo $name allowed ;;
    esac
}
try list list-objects-v2
try read get-object --key readme.txt got
try write put-object --key copied
try delete delete-object --key copied
"""
every_level = pytest.mark.parametrize("level", LEVELS)


def keys_of(world: World, name: str) -> dict[str, str]:
    """The keys that an instance has from its metadata."""
    given = json.loads(run(world.account, KEYS, name)["StandardOutputContent"])
    return {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["Token"],
    }


def behind_the_endpoint(world: World, keys: dict[str, str]) -> dict[str, str]:
    """What keys that were copied to a neighbour can do from there."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in keys.items())
    said = run(world.account, exports + TRY.replace("BUCKET", BUCKET), "neighbour-1")
    return dict(line.split(" ", 1) for line in said["StandardOutputContent"].splitlines())


def outside(world: World, keys: dict[str, str]) -> dict[str, str]:
    """What they can do from outside."""
    make: Any = boto3.client
    signed = {name.lower(): value for name, value in keys.items()}
    s3 = make("s3", world.account.region, endpoint_url=world.account.endpoint_url, **signed)
    calls = {
        "list": lambda: s3.list_objects_v2(Bucket=BUCKET),
        "read": lambda: s3.get_object(Bucket=BUCKET, Key="readme.txt"),
        "write": lambda: s3.put_object(Bucket=BUCKET, Key="copied"),
        "delete": lambda: s3.delete_object(Bucket=BUCKET, Key="copied"),
    }
    return {name: _state(call) for name, call in calls.items()}


def _state(call: Any) -> str:
    try:
        call()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied"
        return "denied"
    return "allowed"


def observed(planned: change.Planned) -> int:
    """How many cells were observed as predicted, from everybody who can be asked."""
    _, comparison = planned.observe()
    assert [check.state for check in comparison.checks()] == ["PASS"]
    cells = comparison.facts()
    assert all(cell["predicted"]["state"] == cell["observed"]["state"] for cell in cells)
    who = {cell["who"].split()[0] for cell in cells}
    assert who == {"app-1", "neighbour-1", "sibling-1", "reporter-1", "you", "role"}
    return len(cells)


@every_level
def test_what_was_predicted_is_what_is_observed(world: World, level: str) -> None:
    before = world.planned(restrict_to=level)
    assert observed(before) == 10  # without the change, and without writing
    digest = world.apply(before.plan.digest, restrict_to=level)
    planned = world.planned(restrict_to=level, approved_plan=digest)
    assert observed(planned) == 26
    predicted = {
        (row.who.partition(" i-")[0], row.where): {c: cell.state for c, cell in row.after.items()}
        for row in planned.matrix.rows
    }
    keys, copied = keys_of(world, "app-1"), "keys copied from app-1"
    for where, seen in (
        ("through the endpoint", behind_the_endpoint(world, keys)),
        ("from outside", outside(world, keys)),
    ):
        row = predicted[copied, where]
        assert seen == {column: row[column] for column in seen}
        assert set(seen) == {"list", "read", "write", "delete"}


@every_level
def test_a_level_can_be_taken_back_to_none(world: World, level: str) -> None:
    bucket_policy(deny("s3:DeleteObject", Resource=f"{ARN}/keep/*", Sid="Käthe's"))(world)
    s3 = world.client("s3")
    before = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    world.apply(restrict_to=level)
    during = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    world.apply(restrict_to="none")
    after = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    assert statements.same(before, after)
    assert (before == during) == (level == "none")
    for theirs in json.loads(before)["Statement"]:
        text = before[before.index('"Sid": ' + json.dumps(theirs["Sid"])) - 1 :]
        text = text[: json.JSONDecoder().raw_decode(text)[1]]
        assert text in during and text in after


def test_a_difference_from_the_prediction_fails_and_names_both_sides(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = world.apply(restrict_to="instance")
    planned = world.planned(restrict_to="instance", approved_plan=digest)
    # As if neighbours were taken for the instance itself.
    monkeypatch.setattr(callers, "instance_arn", lambda *_: f"{instance_arn(world)}")
    _, comparison = planned.observe()
    with pytest.raises(CheckFailed) as failed:
        planned.record.require(comparison.checks())
    where = f"neighbour-1 {world.id('neighbour-1')} through the endpoint, list: predicted allowed"
    assert where in failed.value.answer
    assert "observed denied (denied: explicit deny in a resource-based policy)" in str(failed.value)
    assert "denied, predicted allowed" in comparison.table().to_string()


def instance_arn(world: World) -> str:
    return f"arn:aws:ec2:ap-northeast-1:123456789012:instance/{world.id('app-1')}"


def test_a_level_can_be_raised_and_lowered_step_by_step(world: World) -> None:
    for level in ("instance", "endpoint", "instance-origin", "role"):
        world.apply(restrict_to=level)
        policy = json.loads(world.client("s3").get_bucket_policy(Bucket=BUCKET)["Policy"])
        ours = [one["Sid"] for one in policy["Statement"] if one["Sid"] in statements.REQUIREMENTS]
        expected = LEVELS[1 : LEVELS.index(level) + 1]
        assert ours == [sid for name in expected for sid in statements.SIDS[name]]
        assert world.planned(restrict_to=level).plan.changes == ()
