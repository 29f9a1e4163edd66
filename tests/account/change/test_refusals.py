"""What the command line refuses: three lines, an exit code, and nothing written."""

from __future__ import annotations

import pytest

from tests.support.world import World, expect

pytestmark = pytest.mark.usefixtures("in_process", "unprinted")


@pytest.mark.parametrize(
    ("parameter", "code", "words"),
    [
        ("buckett=data", 2, "buckett is not a parameter"),
        ("bucket=Data", 2, "bucket = 'Data'"),
        ("instance_ids=[i-xyz]", 2, "instance_ids.0 = 'i-xyz'"),
        ("instance_ids=[i-0123456789abcdef0]", 2, "InvalidInstanceID.NotFound"),
        ("instance_name=nobody", 2, "Found none"),
        ("bucket=nobody-has-this-bucket", 2, "NoSuchBucket"),
        ("vpc_id=vpc-0123456789abcdef0", 2, "They must be in one VPC (vpc-0123456789abcdef0)"),
        ("bucket", 2, "It has no `=`"),
    ],
)
def test_bad_input_ends_with_three_lines_and_writes_nothing(
    world: World, parameter: str, code: int, words: str
) -> None:
    result = world.cli("plan", "-f", "params/rehearsal.yaml", "-p", parameter)
    expect(result, code, words)
    assert world.writes() == []


def test_instances_of_two_vpcs_are_refused(world: World) -> None:
    both = f"instance_ids=[{world.id('app-1')}, {world.id('worker-1')}]"
    result = world.cli("plan", "-f", "params/rehearsal.yaml", "-p", both)
    expect(result, 2, "make one change for each VPC")


def test_no_credentials_is_said_as_such(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    result = world.cli("plan", "-f", "params/rehearsal.yaml")
    expect(result, 4, "No credentials")


def test_an_unreachable_aws_is_said_as_such(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    result = world.cli("plan", "-f", "params/rehearsal.yaml")
    expect(result, 4, "AWS could not be reached")


def test_a_wrong_digest_has_the_exit_code_of_an_unapproved_plan(world: World) -> None:
    result = world.cli("apply", "0123456789ab", "-f", "params/rehearsal.yaml")
    expect(result, 3, "No such plan was shown")
