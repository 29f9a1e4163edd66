"""Planning the endpoint: create, reuse, extend; and never a second one where one serves."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from private_s3 import endpoint, plan
from private_s3.errors import AwsRefused, BadInput, CheckFailed
from private_s3.network import Network
from private_s3.plan import NEW_ENDPOINT, Change
from private_s3.record import Record
from tests.support import readings as worlds

ROUTE_A, ROUTE_M = ("route-table/rtb-a", "S3 route"), ("route-table/rtb-m", "S3 route")
SERVICE = ("vpc-endpoint/private-s3", "service")
POLICY = ("vpc-endpoint/private-s3", "policy")


def changes(network: Network, **values: Any) -> dict[tuple[str, str], str | None]:
    """What a plan for this network would do."""
    parameters = worlds.parameters(**values)
    now, wanted = endpoint.state(network, parameters), endpoint.wanted(network, parameters)
    return {(c.resource, c.field): c.after for c in plan.between(now, wanted)}


def test_without_an_endpoint_one_is_created_for_the_instances_table_only() -> None:
    planned = changes(worlds.vpc())
    assert set(planned) == {SERVICE, POLICY, ROUTE_A}
    assert planned[ROUTE_A] == NEW_ENDPOINT
    assert planned[SERVICE] == "com.amazonaws.ap-northeast-1.s3 in vpc-1"


def test_an_instance_on_the_main_table_gets_its_route_there() -> None:
    assert set(changes(worlds.vpc(instances=("subnet-b",)))) == {SERVICE, POLICY, ROUTE_M}


def test_a_table_that_is_served_needs_nothing() -> None:
    assert changes(worlds.vpc(worlds.endpoint("vpce-1", "rtb-a"))) == {}


def test_an_endpoint_on_other_tables_is_extended_and_no_second_made() -> None:
    assert changes(worlds.vpc(worlds.endpoint("vpce-1", "rtb-m"))) == {ROUTE_A: "vpce-1"}


def test_the_endpoint_that_serves_one_of_the_tables_is_taken_for_the_others() -> None:
    network = worlds.vpc(
        worlds.endpoint("vpce-1", "rtb-a"),
        worlds.endpoint("vpce-2"),
        instances=("subnet-a", "subnet-b"),
    )
    assert changes(network) == {ROUTE_M: "vpce-1"}


def test_of_several_idle_endpoints_the_name_decides() -> None:
    idle = worlds.vpc(worlds.endpoint("vpce-1", name="x"), worlds.endpoint("vpce-2", name="y"))
    assert changes(idle, endpoint_name="y") == {ROUTE_A: "vpce-2"}
    with pytest.raises(BadInput, match="vpce-1, vpce-2"):
        changes(idle)


def test_a_plan_after_the_apply_is_empty() -> None:
    ours = worlds.endpoint("vpce-1", "rtb-a", change="rehearsal")
    assert changes(worlds.vpc(ours)) == {}


def test_the_endpoint_of_this_change_goes_by_its_symbol() -> None:
    ours = worlds.endpoint("vpce-1", "rtb-a", change="rehearsal")
    state = endpoint.state(worlds.vpc(ours), worlds.parameters())
    assert state[ROUTE_A] == NEW_ENDPOINT
    assert endpoint.created_id(worlds.vpc(ours), "rehearsal") == "vpce-1"
    assert endpoint.created_id(worlds.vpc(ours), "another") == ""


def test_a_symbol_stays_where_no_endpoint_was_made() -> None:
    assert endpoint.resolved(f"to {NEW_ENDPOINT}", "vpce-1") == "to vpce-1"
    assert endpoint.resolved(NEW_ENDPOINT, "") == NEW_ENDPOINT


def test_another_policy_for_the_endpoint_of_this_change_is_planned() -> None:
    ours = worlds.endpoint("vpce-1", "rtb-a", change="rehearsal")
    planned = changes(worlds.vpc(ours), endpoint_policy="bucket-only")
    assert set(planned) == {POLICY}


def test_the_policy_of_an_endpoint_that_others_made_is_left_alone() -> None:
    theirs = worlds.vpc(worlds.endpoint("vpce-1", "rtb-a"))
    assert changes(theirs, endpoint_policy="bucket-only") == {}
    applying = worlds.parameters(endpoint_policy="bucket-only", approved_plan="0" * 12)
    assert [check.state for check in endpoint.checks(theirs, applying)] == ["UNCERTAIN"]


@pytest.mark.parametrize("state", ["Failed", "rejected", "expired", "partial"])
def test_a_broken_endpoint_stops_the_plan(state: str) -> None:
    with pytest.raises(CheckFailed, match="vpce-1"):
        changes(worlds.vpc(worlds.endpoint("vpce-1", State=state)))


@pytest.mark.parametrize("state", ["Available", "pending", "Pending"])
def test_the_case_of_the_state_does_not_matter(state: str) -> None:
    assert changes(worlds.vpc(worlds.endpoint("vpce-1", "rtb-a", State=state))) == {}


def test_bucket_only_names_the_bucket_and_its_objects() -> None:
    policy = endpoint.policy(worlds.parameters(endpoint_policy="bucket-only"))
    assert policy["Statement"][0]["Resource"] == ["arn:aws:s3:::data", "arn:aws:s3:::data/*"]


def test_a_policy_file_is_read_and_a_missing_one_refused(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    document = {"Version": "2012-10-17", "Statement": []}
    (tmp_path / "mine.json").write_text(json.dumps(document))
    assert endpoint.policy(worlds.parameters(endpoint_policy="mine.json")) == document
    with pytest.raises(BadInput, match=r"theirs\.json"):
        endpoint.policy(worlds.parameters(endpoint_policy="theirs.json"))


@pytest.mark.parametrize(
    ("code", "fate"), [("DependencyViolation", "not done"), ("InvalidVpcEndpoint.NotFound", "done")]
)
def test_a_deletion_is_not_done_if_its_answer_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, fate: str
) -> None:
    """AWS answers 200 also then; that the endpoint is gone already is as good as done."""
    failed = {"ResourceId": "vpce-1", "Error": {"Code": code, "Message": "no"}}
    answer = {"ResponseMetadata": {"RequestId": "1"}, "Unsuccessful": [failed]}
    account = worlds.account()
    account.__dict__["ec2"] = None
    account.__dict__["ec2_once"] = SimpleNamespace(delete_vpc_endpoints=lambda **_: answer)
    monkeypatch.setattr(endpoint, "endpoints", lambda *_: [])
    record = Record(worlds.parameters(changes_dir=str(tmp_path), approved_plan="0" * 12), "90_x")
    with pytest.raises(AwsRefused, match=code) if fate == "not done" else nullcontext():
        gone = [Change(*SERVICE, "s3", None)]
        endpoint.apply(account, worlds.vpc(), gone, "vpce-1", record)
    assert [write.fate for write in record.journal.writes()] == [fate]
