"""What would stop a change half-way is seen before: each check passes, fails, and is uncertain."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import rehearsal
from private_s3 import aws, change, preflight, undo
from private_s3.change import Planned
from private_s3.errors import AwsRefused
from private_s3.parameters import Parameters
from private_s3.preflight import keys, permissions, quotas
from private_s3.record import Check, Record
from tests import PROJECT
from tests.support.asking import run
from tests.support.readings import policy, role, statement
from tests.support.world import enter

BUCKET, S3 = "rehearsal-private-data", "com.amazonaws.ap-northeast-1.s3"
ACCOUNT, REGION = "123456789012", "ap-northeast-1"
CREATE, DELETE = "you may create the endpoint", "you may delete the endpoint again"
PUT = "you may change the bucket policy, by the policies that could be read"
PUT_BACK = "you may put the bucket policy back, by the policies that could be read"
RUN = "you may run the checks of step 50, by the policies that could be read"
ROOM, VPC_ROOM = "there is room for one more gateway endpoint", "there is room for it in the VPC"
NAMES, OWNERSHIP = (
    "the names of S3 lead to the gateway endpoint",
    "policies alone decide about the objects",
)
CLI = "the AWS CLI is on the instances"


class Seat:
    """The operator's seat in the shared account, and root, who changes what the operator finds."""

    def __init__(self, account: rehearsal.Account, bound: aws.Account, folder: Path) -> None:
        self.account, self.bound, self.folder = account, bound, folder
        self.ids = account.ids

    def root(self, service: str) -> Any:
        return self.account.client(service)

    def planned(self, **changes: Any) -> Planned:
        asked = Parameters.load(
            PROJECT / "params/rehearsal.yaml", {"changes_dir": str(self.folder), **changes}
        )
        reading = change.read(self.bound, asked)
        return change.planned(self.bound, Record(asked, "test"), reading)

    def applying(self, **changes: Any) -> Planned:
        digest = self.planned(**changes).plan.digest
        return self.planned(**changes, approved_plan=digest)

    def checks(self, planned: Planned | None = None, **changes: Any) -> dict[str, Check]:
        found = preflight.checks(planned or self.planned(**changes))
        assert len({check.name for check in found}) == len(found)
        assert all(check.remedy for check in found if check.state in ("FAIL", "UNCERTAIN"))
        return {check.name: check for check in found}

    @contextmanager
    def role_policy(self, *content: Any, who: str = "operator") -> Iterator[None]:
        """A role has one policy more."""
        iam, named = self.root("iam"), {"RoleName": who, "PolicyName": "more"}
        iam.put_role_policy(**named, PolicyDocument=policy(*content))
        try:
            yield
        finally:
            iam.delete_role_policy(**named)

    def deny(self, *actions: str, who: str = "operator", **more: Any) -> Any:
        return self.role_policy({**statement("Deny"), "Action": [*actions], **more}, who=who)

    @contextmanager
    def endpoints(self, *asked: dict[str, Any]) -> Iterator[list[str]]:
        """Somebody else has made endpoints."""
        ec2, made = self.root("ec2"), []
        try:
            for one in asked:
                given = {"VpcId": self.ids["rehearsal"], "ServiceName": S3, **one}
                made.append(ec2.create_vpc_endpoint(**given)["VpcEndpoint"]["VpcEndpointId"])
            yield made
        finally:
            if made:
                ec2.delete_vpc_endpoints(VpcEndpointIds=made)


@pytest.fixture
def seat(
    shared: rehearsal.Account,
    bound: aws.Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Seat]:
    enter(shared, tmp_path, monkeypatch)
    # Nothing is gained by waiting for what is planted to stay.
    clock = SimpleNamespace(sleep=lambda seconds: None, monotonic=time.monotonic)
    monkeypatch.setattr(aws, "time", clock)
    yield Seat(shared, bound, tmp_path / "changes")
    shared.unplant()


def states(found: dict[str, Check]) -> dict[str, str]:
    return {name: check.state for name, check in found.items()}


# -- all of it ------------------------------------------------------------------------------------


def test_a_healthy_account_has_nothing_in_the_way(seat: Seat) -> None:
    found = seat.checks()
    assert {name: s for name, s in states(found).items() if s != "PASS"} == {CLI: "SKIPPED"}
    assert len(found) == 14
    applying = seat.checks(seat.applying())  # in which step 50 asks for the AWS CLI itself
    assert states(applying) == {name: s for name, s in states(found).items() if name != CLI}


CALLS = {
    "CreateVpcEndpoint (dry run)": 1,
    "DeleteVpcEndpoints (dry run)": 1,
    "DescribeInstanceInformation": 1,
    "DescribeVpcEndpoints": 1,
    "GetBucketEncryption": 1,
    "GetBucketOwnershipControls": 1,
    "GetServiceQuota": 1,
}


def test_it_takes_seven_calls_whatever_the_account_holds_and_writes_nothing(seat: Seat) -> None:
    def calls() -> dict[str, int]:
        planned = seat.planned()
        assert planned.guard
        seat.bound.calls.clear()
        preflight.checks(planned)
        return dict(seat.bound.calls)

    before = len(seat.account.calls())
    assert calls() == CALLS
    elsewhere = {"VpcId": seat.ids["shared"]}
    with seat.endpoints(*[elsewhere] * 15):
        assert calls() == CALLS
    of_operator = [c for c in seat.account.calls()[before:] if c["who"] == "operator"]
    assert not [call for call in of_operator if call["write"]]
    # Nor is there anything in the journal but that plans were shown.
    (journal,) = seat.folder.glob("*/journal.jsonl")
    events = [json.loads(line)["event"] for line in journal.read_text().splitlines()]
    assert {*events} == {"planned"}


def test_a_plan_that_is_in_place_needs_no_permission_and_no_room(seat: Seat) -> None:
    table = seat.ids["private-a"]
    with (
        seat.endpoints({"RouteTableIds": [table]}),
        seat.deny("ec2:CreateVpcEndpoint", "s3:PutBucketPolicy"),
    ):
        found = seat.checks(restrict_to="none")
    assert [*found] == [RUN, NAMES, OWNERSHIP, KEY, SSM.format(seat.ids["app-1"]), CLI]


def test_what_is_done_already_is_not_asked_for_again(seat: Seat) -> None:
    planned = seat.applying()
    planned.apply_endpoint()
    digest = planned.plan.digest
    made = planned.read_again().network.endpoints[0]["VpcEndpointId"]
    try:
        found = seat.checks(seat.planned(approved_plan=digest))
    finally:
        seat.root("ec2").delete_vpc_endpoints(VpcEndpointIds=[made])
    # Nor is the AWS CLI spoken of any more: step 50 follows in this very pass.
    assert not {CREATE, DELETE, ROOM, CLI} & {*found} and found[PUT].state == "PASS"


# -- the operator's permissions -------------------------------------------------------------------


@pytest.mark.parametrize("action", ["ec2:CreateVpcEndpoint", "ec2:CreateTags"])
def test_ec2_itself_says_whether_the_endpoint_may_be_made(seat: Seat, action: str) -> None:
    with seat.deny(action):
        planning, applying = seat.checks()[CREATE], seat.checks(seat.applying())[CREATE]
    # Who plans need not be who applies.
    assert (planning.state, applying.state) == ("UNCERTAIN", "FAIL")
    assert applying.detail.startswith(f"{action}: AWS answered UnauthorizedOperation")
    assert applying.remedy.startswith(f"grant {action} to {seat.bound.arn};")
    assert planning.remedy.startswith(f"grant {action} to whoever applies this;")
    passed = seat.checks()[CREATE]
    assert (passed.state, passed.detail) == ("PASS", "CreateVpcEndpoint: DryRunOperation")


def test_the_dry_run_is_the_very_request_that_will_be_sent(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a permission that goes by tags, by service or by route table is asked for as it is."""
    sent: list[dict[str, Any]] = []
    client = seat.bound.ec2_once
    real = client.create_vpc_endpoint

    def spy(**request: Any) -> Any:
        sent.append(request)
        return real(**request)

    monkeypatch.setattr(client, "create_vpc_endpoint", spy)
    planned = seat.applying()
    preflight.checks(planned)
    planned.apply_endpoint()
    tried, written = sent
    made = planned.read_again().network.endpoints[0]["VpcEndpointId"]
    seat.root("ec2").delete_vpc_endpoints(VpcEndpointIds=[made])
    assert tried.pop("DryRun") is True and written.pop("ClientToken")
    assert tried == written and len(written["TagSpecifications"][0]["Tags"]) == 2


def test_a_long_message_for_administrators_is_not_shown(seat: Seat) -> None:
    message = "You are not authorized. Encoded authorization failure message: " + "x" * 500
    seat.account.plant(
        "CreateVpcEndpoint (dry run)", code="UnauthorizedOperation", message=message, status=403
    )
    check = seat.checks(seat.applying())[CREATE]
    assert check.state == "FAIL" and check.detail.endswith("You are not authorized.")
    assert check.remedy.startswith("grant ec2:CreateVpcEndpoint to")


def test_what_passes_is_tried_again_and_what_stays_is_uncertain(seat: Seat) -> None:
    tried = "CreateVpcEndpoint (dry run)"
    limit = {"code": "RequestLimitExceeded", "message": "slow down", "status": 503}
    seat.account.plant(tried, **limit, times=aws.ATTEMPTS - 1)
    assert seat.checks()[CREATE].state == "PASS"
    seat.account.plant(tried, **limit, times=0)
    seat.bound.calls.clear()
    check = seat.checks(seat.applying())[CREATE]
    assert check.state == "UNCERTAIN" and "RequestLimitExceeded: slow down" in check.detail
    assert seat.bound.calls[tried] == aws.ATTEMPTS  # botocore itself repeats none
    seat.account.unplant()
    seat.account.plant(tried, code="InvalidParameter", message="odd", status=400)
    seat.bound.calls.clear()
    check = seat.checks(seat.applying())[CREATE]
    assert check.state == "UNCERTAIN" and "InvalidParameter: odd" in check.detail
    assert seat.bound.calls[tried] == 1


def test_the_undo_is_tried_and_where_that_says_no_the_policies_are_asked(seat: Seat) -> None:
    """A permission may go by the tags that the endpoint will have, which a dry run cannot show."""
    tried = seat.checks()[DELETE]
    assert (tried.state, tried.detail) == ("PASS", "DeleteVpcEndpoints: DryRunOperation")
    by_policies = f"{DELETE}, {permissions.BY_POLICIES}"
    refusal = {"code": "UnauthorizedOperation", "message": "no tags", "status": 403}
    seat.account.plant("DeleteVpcEndpoints (dry run)", **refusal, times=0)
    found = seat.checks(seat.applying())
    assert DELETE not in found and found[by_policies].state == "PASS"
    by_tag = {"StringNotEquals": {"aws:ResourceTag/private-s3:change": "rehearsal"}}
    with seat.deny("ec2:DeleteVpcEndpoints", Condition=by_tag):
        assert seat.checks(seat.applying())[by_policies].state == "PASS"
        other = seat.checks(seat.applying(change_id="other"))[by_policies]
    assert other.state == "FAIL"
    assert "Deny by statement 1 of policy more" in other.detail
    with seat.deny("ec2:DeleteVpcEndpoints"):
        assert seat.checks()[by_policies].state == "UNCERTAIN"
    seat.account.plant("GetAccountAuthorizationDetails", code="AccessDenied", status=403)
    unread = seat.checks(seat.applying())[by_policies]
    assert unread.state == "UNCERTAIN" and "the policies of you (operator)" in unread.detail


def test_to_extend_an_endpoint_of_others_is_another_permission(seat: Seat) -> None:
    with seat.endpoints({"RouteTableIds": [seat.ids["main"]]}) as (theirs,):
        title = f"you may modify {theirs}, and back"
        found = seat.checks()
        assert found[title].state == "PASS"
        assert not {CREATE, DELETE, ROOM} & {*found}
        with seat.deny("ec2:ModifyVpcEndpoint"):
            assert seat.checks(seat.applying())[title].state == "FAIL"


def test_an_undo_is_judged_as_what_it_is(seat: Seat) -> None:
    applied = seat.applying(restrict_to="none")
    applied.apply_endpoint()
    made = applied.endpoint_id(applied.read_again())
    asked = applied.record.parameters.model_copy(update={"approved_plan": ""})
    record = Record(asked, "undo")
    planned = undo.planned(seat.bound, record, undo.read(seat.bound, record))
    title = f"you may delete {made}"
    assert seat.checks(planned)[title].state == "PASS"
    with seat.deny("ec2:DeleteVpcEndpoints"):
        check = seat.checks(planned)[title]
    assert check.state == "UNCERTAIN" and "ec2:DeleteVpcEndpoints" in check.remedy
    seat.root("ec2").delete_vpc_endpoints(VpcEndpointIds=[made])


def test_the_bucket_policy_has_no_dry_run_so_policies_are_judged(seat: Seat) -> None:
    found = seat.checks()
    assert (found[PUT].detail, found[PUT_BACK].detail) == ("s3:PutBucketPolicy",) * 2
    with seat.deny("s3:PutBucketPolicy"):
        planning, applying = seat.checks()[PUT], seat.checks(seat.applying())[PUT]
    assert (planning.state, applying.state) == ("UNCERTAIN", "FAIL")
    assert applying.detail == "s3:PutBucketPolicy: Deny by statement 1 of policy more"
    seat.account.plant("GetAccountAuthorizationDetails", code="AccessDenied", status=403)
    unread = seat.checks(seat.applying())[PUT]
    assert unread.state == "UNCERTAIN" and "the policies of you (operator)" in unread.detail


def test_to_put_back_no_policy_is_to_delete_it(seat: Seat) -> None:
    s3 = seat.root("s3")
    before = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    s3.delete_bucket_policy(Bucket=BUCKET)
    try:
        found = seat.checks()
    finally:
        s3.put_bucket_policy(Bucket=BUCKET, Policy=before)
    assert (found[PUT].detail, found[PUT_BACK].detail) == (
        "s3:PutBucketPolicy",
        "s3:DeleteBucketPolicy",
    )


def test_to_send_the_checks_needs_the_document_and_every_instance(seat: Seat) -> None:
    assert seat.checks()[RUN].detail == "ssm:SendCommand, ssm:GetCommandInvocation"
    instances = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*"
    document = f"arn:aws:ssm:{REGION}::document/*"
    for resource in (instances, document):
        with seat.deny("ssm:SendCommand", Resource=resource):
            check = seat.checks(seat.applying())[RUN]
        assert check.state == "FAIL" and check.detail.startswith("ssm:SendCommand: Deny by")
    with seat.deny("ssm:GetCommandInvocation"):
        check = seat.checks(seat.applying())[RUN]
    assert check.state == "FAIL" and check.remedy.startswith("grant ssm:GetCommandInvocation")
    # By tags: those of the instance are known, and that it has no other.
    for tag, expected in (("Name", "FAIL"), ("team", "PASS")):
        by_tag = {"StringLike": {f"ssm:resourceTag/{tag}": "*"}}
        with seat.deny("ssm:SendCommand", Resource=instances, Condition=by_tag):
            assert seat.checks(seat.applying())[RUN].state == expected
    # Of keys that nobody can know here, and of the tags of AWS's document.
    for key, value in (
        ("aws:MultiFactorAuthPresent", "false"),
        ("ssm:SessionDocumentAccessCheck", "true"),
        ("aws:ResourceTag/team", "blue"),
    ):
        by_key = {"StringEquals": {key: value}}
        with seat.deny("ssm:SendCommand", Resource=document, Condition=by_key):
            check = seat.checks(seat.applying())[RUN]
        assert check.state == "UNCERTAIN" and key in check.detail


# -- quotas ---------------------------------------------------------------------------------------


def test_a_region_that_is_full_of_gateway_endpoints_has_no_room(seat: Seat) -> None:
    with seat.endpoints(*[{"VpcId": seat.ids["shared"]}] * 19):
        assert seat.checks()[ROOM].detail == "19 of 20 gateway endpoints in the Region"
        refused = {"code": "AccessDeniedException", "message": "no", "status": 400}
        seat.account.plant("GetServiceQuota", **refused)
        # It is 20 at least, so that there is room; yet it was not read.
        check = seat.checks()[ROOM]
        assert check.state == "UNCERTAIN" and "19 of at least 20 gateway" in check.detail
        with seat.endpoints({"VpcId": seat.ids["shared"]}):
            full = seat.checks()[ROOM]
            seat.account.plant("GetServiceQuota", **refused)
            unread = seat.checks()[ROOM]
    assert (full.state, full.detail) == ("FAIL", "20 of 20 gateway endpoints in the Region")
    assert "--quota-code L-1B52E74A --desired-value 25" in full.remedy
    assert unread.state == "UNCERTAIN" and "AccessDeniedException" in unread.detail
    assert "servicequotas:GetServiceQuota" in unread.remedy
    assert seat.checks()[VPC_ROOM].state == "PASS"


def test_a_listing_that_is_refused_leaves_the_room_uncertain(seat: Seat) -> None:
    planned = seat.planned()
    assert planned.guard
    seat.account.plant("DescribeVpcEndpoints", code="UnauthorizedOperation", status=403)
    found = seat.checks(planned)
    check = found["the gateway endpoints of the Region can be read"]
    assert check.state == "UNCERTAIN" and "UnauthorizedOperation" in check.detail
    assert ROOM not in found


def test_the_quota_of_a_vpc_is_counted_apart(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "ENDPOINTS_PER_VPC", 2)
    dynamodb = {"ServiceName": S3.replace("s3", "dynamodb")}
    with seat.endpoints(dynamodb, {"VpcId": seat.ids["shared"]}):
        check = seat.checks()[VPC_ROOM]
        assert (check.state, check.detail) == ("PASS", f"1 of 2 in {seat.ids['rehearsal']}")
    with seat.endpoints(dynamodb, dynamodb):
        assert seat.checks()[VPC_ROOM].state == "FAIL"


def test_a_long_route_table_makes_the_quota_be_asked_for(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    title = f"there is room for one more route in {seat.ids['private-a']}"
    assert seat.checks()[title].detail == "1 of 50 routes in the table"
    monkeypatch.setattr(quotas, "ROUTES", quotas.ROUTES._replace(least=1))
    asked = seat.checks()[title]
    assert (asked.state, asked.detail) == ("PASS", "1 of 500 routes in the table")
    # The first is about gateway endpoints.
    refused = {"code": "AccessDeniedException", "status": 400}
    seat.account.plant("GetServiceQuota", **refused, skip=1)
    assert seat.checks()[title].state == "UNCERTAIN"
    monkeypatch.setattr(quotas, "value", lambda account, quota: 1)
    full = seat.checks()[title]
    assert full.state == "FAIL" and "L-93826ACB" in full.remedy


def test_routes_to_ipv6_and_propagated_ones_are_not_counted(seat: Seat) -> None:
    planned = seat.planned()
    network = planned.reading.network
    tables = [{**table} for table in network.route_tables]
    for table in tables:
        table["Routes"] = [
            {"DestinationCidrBlock": "10.20.0.0/16", "GatewayId": "local"},
            {"DestinationIpv6CidrBlock": "::/0", "EgressOnlyInternetGatewayId": "eigw-1"},
            {"DestinationCidrBlock": "10.99.0.0/16", "Origin": "EnableVgwRoutePropagation"},
            {"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-0"},
        ]
    found = replace(network, route_tables=tables)
    altered = replace(planned, reading=replace(planned.reading, network=found))
    (check,) = [c for c in quotas.checks(altered) if "route" in c.name]
    assert check.detail == "2 of 50 routes in the table"


@pytest.mark.parametrize(("excess", "state"), [(0, "PASS"), (1, "FAIL")])
def test_an_endpoint_policy_is_counted_in_characters(
    seat: Seat, tmp_path: Path, excess: int, state: str
) -> None:
    made = {"Version": "2012-10-17", "Statement": [{**statement("Allow"), "Principal": "*"}]}
    made["Statement"][0]["Sid"] = ""  # type: ignore[index]
    missing = quotas.POLICY_CHARACTERS - len(json.dumps(made, sort_keys=True)) + excess
    made["Statement"][0]["Sid"] = "x" * missing  # type: ignore[index]
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(made))
    check = seat.checks(endpoint_policy=str(path))[
        "the endpoint policy is no larger than AWS takes"
    ]
    assert (check.state, check.detail) == (
        state,
        f"{20_480 + excess:,} of 20,480 characters",
    )


# -- where names lead -----------------------------------------------------------------------------


def interface(seat: Seat, *, private_dns: bool) -> dict[str, Any]:
    return {
        "VpcEndpointType": "Interface",
        "SubnetIds": [seat.ids["app-a"]],
        "SecurityGroupIds": [seat.ids["endpoints"]],
        "PrivateDnsEnabled": private_dns,
    }


def test_an_interface_endpoint_with_private_dns_takes_the_names_of_s3(seat: Seat) -> None:
    with seat.endpoints(interface(seat, private_dns=True)) as (taker,):
        check = seat.checks()[NAMES]
    assert check.state == "UNCERTAIN" and f"private DNS leads them to {taker}" in check.detail
    with seat.endpoints(interface(seat, private_dns=False)) as (other,):
        check = seat.checks()[NAMES]
    assert check.state == "PASS" and check.detail == f"{other} has no private DNS in the VPC"
    assert seat.checks()[NAMES].detail == "none takes them"


def test_one_for_inbound_resolvers_takes_none_but_keeps_the_endpoint(seat: Seat) -> None:
    planned = seat.planned()
    inbound = {"PrivateDnsOnlyForInboundResolverEndpoint": True}
    one: Any = {"VpcEndpointId": "vpce-9", "PrivateDnsEnabled": True, "DnsOptions": inbound}
    network = replace(planned.reading.network, interface_endpoints=[one])
    found = seat.checks(replace(planned, reading=replace(planned.reading, network=network)))
    assert found[NAMES].state == "PASS"
    kept = found["the endpoint can be deleted again"]
    assert kept.state == "UNCERTAIN" and "not while vpce-9 has private DNS" in kept.detail


# -- the bucket -----------------------------------------------------------------------------------


def test_where_acls_count_too_a_person_must_look(seat: Seat) -> None:
    s3 = seat.root("s3")

    def put(ownership: str) -> None:
        rules = {"Rules": [{"ObjectOwnership": ownership}]}
        s3.put_bucket_ownership_controls(Bucket=BUCKET, OwnershipControls=rules)

    assert seat.checks()[OWNERSHIP].state == "PASS"
    try:
        for ownership in ("BucketOwnerPreferred", "ObjectWriter"):
            put(ownership)
            check = seat.checks()[OWNERSHIP]
            assert check.state == "UNCERTAIN" and f"Ownership is {ownership}" in check.detail
        seat.account.plant(
            "GetBucketOwnershipControls", code="OwnershipControlsNotFoundError", status=404
        )
        assert "ObjectWriter" in seat.checks()[OWNERSHIP].detail
    finally:
        put("BucketOwnerEnforced")
    with seat.deny("s3:GetBucketOwnershipControls"):
        check = seat.checks()["Object Ownership can be read"]
    assert check.state == "UNCERTAIN" and "s3:GetBucketOwnershipControls" in check.remedy


# -- the key --------------------------------------------------------------------------------------

KEY = "the instances may use the key of the bucket"
BY_ROLE = "app-instance may use the key of the bucket"
USE = ["kms:Decrypt", "kms:GenerateDataKey"]
DELEGATES = {
    **statement("Allow", "kms:*", Sid="Account"),
    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
}
# Whoever is let by the account may look after a key; that says nothing of its use.
ADMINISTERS = {
    **DELEGATES,
    "Sid": "Administration",
    "Action": [f"kms:{verb}*" for verb in ("Create", "Describe", "Disable", "Get", "List", "Put")],
}
TO_ROLE = {
    "Sid": "App",
    "Effect": "Allow",
    "Principal": {"AWS": role("app-instance")},
    "Action": USE,
    "Resource": "*",
}
IN_IDENTITY = {"Effect": "Allow", "Action": USE, "Resource": "*"}


@contextmanager
def encrypted(
    seat: Seat,
    *key_policy: Any,
    by_bucket: bool = False,
    algorithm: str = "aws:kms",
    name: str = "",
) -> Iterator[str]:
    """The bucket has a key of KMS with this policy, or the key of this name."""
    s3, kms = seat.root("s3"), seat.root("kms")
    before = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]
    key = name or kms.create_key(Policy=policy(ADMINISTERS, *key_policy))["KeyMetadata"]["Arn"]
    default = {"SSEAlgorithm": algorithm, "KMSMasterKeyID": key}
    if name == "-":
        del default["KMSMasterKeyID"]
    rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": by_bucket}
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
    try:
        yield key
    finally:
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=before)


def key_check(seat: Seat) -> Check:
    (found,) = [c for n, c in seat.checks().items() if n.endswith("key of the bucket")]
    assert keys.OTHERS in found.detail
    return found


def test_without_a_key_of_kms_there_is_nothing_to_ask(seat: Seat) -> None:
    assert seat.checks()[KEY].detail == f"SSE-S3 needs none; {keys.OTHERS}"
    with encrypted(seat, name="-"):
        seat.bound.calls.clear()
        check = key_check(seat)
        assert check.state == "PASS" and "aws/s3 is for all whom S3 lets in" in check.detail
    assert not {"DescribeKey", "GetKeyPolicy"} & seat.bound.calls.keys()
    code = "ServerSideEncryptionConfigurationNotFoundError"
    seat.account.plant("GetBucketEncryption", code=code, status=404)
    assert seat.checks()[KEY].state == "PASS"


# Policies of the key besides the administrators', statements of the role, and what is predicted.
KEY_CASES: list[tuple[list[Any], list[Any], str, str]] = [
    ([TO_ROLE], [], "PASS", "kms:Decrypt, kms:GenerateDataKey on arn:aws:kms:"),
    ([DELEGATES], [IN_IDENTITY], "PASS", "kms:Decrypt, kms:GenerateDataKey on"),
    # The account may be let decide, and has not; or it has, but is not let.
    ([DELEGATES], [], "FAIL", "no identity-based policy allows it"),
    (
        [{**TO_ROLE, "Principal": {"AWS": role("auditor")}}],
        [IN_IDENTITY],
        "FAIL",
        "no policy of the key allows it",
    ),
    ([{**TO_ROLE, "Action": "kms:Decrypt"}], [], "FAIL", "kms:GenerateDataKey on"),
    (
        [TO_ROLE, {**TO_ROLE, "Sid": "No", "Effect": "Deny", "Action": "kms:Decrypt"}],
        [],
        "FAIL",
        "Deny by No of policy of the key",
    ),
    (
        [TO_ROLE],
        [{**IN_IDENTITY, "Sid": "Mine", "Effect": "Deny"}],
        "FAIL",
        "Deny by Mine of policy more",
    ),
    # S3 asks on behalf of the instance: what AWS knows of its way stays behind.
    (
        [{**TO_ROLE, "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}}],
        [],
        "FAIL",
        "no identity-based policy allows it",
    ),
    (
        [
            TO_ROLE,
            {
                **TO_ROLE,
                "Sid": "OnlyByOurEndpoint",
                "Effect": "Deny",
                "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}},
            },
        ],
        [],
        "FAIL",
        "Deny by OnlyByOurEndpoint of policy of the key",
    ),
    (
        [
            {
                **TO_ROLE,
                "Condition": {
                    "StringEquals": {
                        "kms:ViaService": f"s3.{REGION}.amazonaws.com",
                        "kms:CallerAccount": ACCOUNT,
                    },
                    "Bool": {"aws:ViaAWSService": "true"},
                    "StringLike": {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{BUCKET}/*"},
                },
            }
        ],
        [],
        "PASS",
        "kms:Decrypt",
    ),
    (
        [{**TO_ROLE, "Condition": {"StringEquals": {"kms:ViaService": "ec2.amazonaws.com"}}}],
        [],
        "FAIL",
        "no identity-based policy allows it",
    ),
    (
        [{**TO_ROLE, "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}],
        [],
        "UNCERTAIN",
        "aws:SourceIp",
    ),
]


@pytest.mark.parametrize(("key_policy", "own", "state", "told"), KEY_CASES)
def test_the_role_must_be_let_use_the_key_through_s3(
    seat: Seat, key_policy: list[Any], own: list[Any], state: str, told: str
) -> None:
    more = seat.role_policy(*own, who="app-instance") if own else nullcontext()
    with encrypted(seat, *key_policy) as key, more:
        check = key_check(seat)
    assert (check.name, check.state) == (BY_ROLE, state), check.detail
    assert told in check.detail and key in check.detail
    if state != "PASS":
        assert "kms:ViaService s3.ap-northeast-1.amazonaws.com" in check.remedy


PUT_AND_GET = f"""
export AWS_DEFAULT_REGION={REGION}
for verb in put get; do
    file=$(mktemp)
    case $verb in put) set -- --body "$file" ;; get) set -- "$file" ;; esac
    aws s3api $verb-object --bucket {BUCKET} --key by-key "$@" > /dev/null || exit 1
done
"""


@pytest.mark.parametrize("number", [0, 1, 2, 4, 5, 8, 9])
def test_what_is_predicted_of_a_key_is_what_s3_then_says(seat: Seat, number: int) -> None:
    key_policy, own, state, _ = KEY_CASES[number]
    more = seat.role_policy(*own, who="app-instance") if own else nullcontext()
    table = {"RouteTableIds": [seat.ids["private-a"]]}
    with encrypted(seat, *key_policy), more, seat.endpoints(table):
        done = run(seat.account, PUT_AND_GET)
        assert key_check(seat).state == state
    assert done["Status"] == ("Success" if state == "PASS" else "Failed"), done
    assert state == "PASS" or "AccessDenied" in done["StandardErrorContent"]


def test_a_key_of_the_bucket_has_the_bucket_for_its_context(seat: Seat) -> None:
    arn = f"arn:aws:s3:::{BUCKET}"
    by_bucket = {"StringEquals": {"kms:EncryptionContext:aws:s3:arn": arn}}
    for given, state in ((True, "PASS"), (False, "FAIL")):
        with encrypted(seat, {**TO_ROLE, "Condition": by_bucket}, by_bucket=given):
            assert key_check(seat).state == state


def test_what_cannot_be_read_of_a_key_is_uncertain(seat: Seat) -> None:
    foreign = f"arn:aws:kms:{REGION}:210987654321:key/11111111-2222-3333-4444-555555555555"
    with encrypted(seat, name=foreign):
        seat.bound.calls.clear()
        check = key_check(seat)
        assert check.state == "UNCERTAIN" and "is of account 210987654321" in check.detail
        assert "DescribeKey" not in seat.bound.calls
    for action in ("kms:GetKeyPolicy", "kms:DescribeKey"):
        with encrypted(seat, TO_ROLE), seat.deny(action):
            check = seat.checks()["the key of the bucket can be read"]
        assert check.state == "UNCERTAIN" and action in check.remedy
    with seat.deny("s3:GetEncryptionConfiguration"):
        check = seat.checks()["the encryption of the bucket can be read"]
    assert check.state == "UNCERTAIN" and "s3:GetEncryptionConfiguration" in check.remedy


def test_a_key_that_is_turned_off_opens_nothing(seat: Seat) -> None:
    with encrypted(seat, TO_ROLE) as key:
        seat.root("kms").disable_key(KeyId=key)
        check = key_check(seat)
    assert check.state == "FAIL" and f"{key} is Disabled" in check.detail
    assert "enable-key" in check.remedy


def test_an_alias_is_followed(seat: Seat) -> None:
    with encrypted(seat, TO_ROLE) as key:
        seat.root("kms").create_alias(AliasName="alias/data", TargetKeyId=key)
        with encrypted(seat, name="alias/data"):
            check = key_check(seat)
    assert check.state == "PASS" and key in check.detail


def test_a_grant_may_let_the_role_after_all(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    def pages(client: Any, operation: str, key: str, **request: Any) -> list[Any]:
        if operation != "list_grants":
            return real(client, operation, key, **request)
        assert request["GranteePrincipal"] == role("app-instance")
        if isinstance(answer, AwsRefused):
            raise answer
        return answer

    real = aws.pages
    monkeypatch.setattr(aws, "pages", pages)
    with encrypted(seat, DELEGATES):
        answer: Any = [{"Operations": ["Decrypt", "GenerateDataKey"]}]
        let = key_check(seat)
        answer = AwsRefused(
            "-", "AWS answered AccessDenied", "grant kms:ListGrants", "AccessDenied"
        )
        unread = key_check(seat)
        answer = []
        denied = key_check(seat)
    assert (let.state, unread.state, denied.state) == ("UNCERTAIN", "UNCERTAIN", "FAIL")
    assert "grants let it kms:Decrypt, kms:GenerateDataKey" in let.detail
    assert "could not be read: AWS answered AccessDenied" in unread.detail


# -- the way onto the instances -------------------------------------------------------------------

SSM = "Systems Manager reaches {}"


def reached(seat: Seat, name: str = "app-1") -> Check:
    return seat.checks(instance_name=name)[SSM.format(seat.ids[name])]


@contextmanager
def instead(do: Callable[[], Any], back: Callable[[], Any]) -> Iterator[None]:
    do()
    try:
        yield
    finally:
        back()


def test_who_is_online_is_reached_whatever_else_there_is(seat: Seat) -> None:
    check = reached(seat)
    assert (check.state, check.detail) == ("PASS", "Online, agent 3.3.40.0")


def test_if_step_50_goes_another_way_nobody_need_be_managed(seat: Seat) -> None:
    for way in ("ssh", "manual"):
        found = seat.checks(check_by=way)
        skipped = found["Systems Manager reaches the instances"]
        assert (skipped.state, skipped.detail) == ("SKIPPED", f"not needed: check_by is {way}")
        assert RUN not in found and SSM.format(seat.ids["app-1"]) not in found


def test_what_ssm_manages_may_not_be_readable(seat: Seat) -> None:
    with seat.deny("ssm:DescribeInstanceInformation"):
        check = seat.checks()["what SSM manages can be read"]
    assert check.state == "UNCERTAIN" and "ssm:DescribeInstanceInformation" in check.remedy


def test_a_role_that_may_not_report_is_named(seat: Seat) -> None:
    with seat.deny("ssm:UpdateInstanceInformation", who="app-instance"):
        check = reached(seat)
    assert check.state == "FAIL"
    cause = "ssm:UpdateInstanceInformation: Deny by statement 1 of policy more"
    assert check.detail == f"not managed; {cause}"
    assert "AmazonSSMManagedInstanceCore" in check.remedy and "set check_by" in check.remedy


def test_a_missing_endpoint_is_named_and_takes_no_more_than_seven_calls(seat: Seat) -> None:
    ec2, lost = seat.root("ec2"), seat.ids["ssmmessages"]
    asked = ec2.describe_vpc_endpoints(VpcEndpointIds=[lost])["VpcEndpoints"][0]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[lost])
    try:
        seat.bound.calls.clear()
        planned = seat.planned()
        assert planned.guard
        seat.bound.calls.clear()
        check = seat.checks(planned)[SSM.format(seat.ids["app-1"])]
        more = {name: n - CALLS.get(name, 0) for name, n in seat.bound.calls.items()}
        assert sum(more.values()) <= 7
    finally:
        made = ec2.create_vpc_endpoint(
            VpcEndpointType="Interface",
            VpcId=seat.ids["rehearsal"],
            ServiceName=asked["ServiceName"],
            SubnetIds=asked["SubnetIds"],
            SecurityGroupIds=[group["GroupId"] for group in asked["Groups"]],
            PrivateDnsEnabled=True,
        )
        seat.ids["ssmmessages"] = made["VpcEndpoint"]["VpcEndpointId"]
    assert check.state == "FAIL"
    vpc = seat.ids["rehearsal"]
    assert check.detail == (
        f"not managed; {vpc} has no interface endpoint for ssmmessages, and no other way leads out"
    )
    assert f"com.amazonaws.{REGION}.ssmmessages in {vpc}" in check.remedy
    assert reached(seat).state == "PASS"


def test_a_group_that_lets_nothing_in_is_named(seat: Seat) -> None:
    ec2, group = seat.root("ec2"), seat.ids["endpoints"]
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    let = {"GroupId": group, "IpPermissions": [{**rule, "IpRanges": [{"CidrIp": "10.20.0.0/16"}]}]}
    with instead(
        lambda: ec2.revoke_security_group_ingress(**let),
        lambda: ec2.authorize_security_group_ingress(**let),
    ):
        check = reached(seat)
    assert check.state == "FAIL" and f"{group} of {seat.ids['ssm']} let no tcp 443" in check.detail
    assert f"authorize-security-group-ingress --group-id {group}" in check.remedy


def test_a_group_that_lets_nothing_out_is_named(seat: Seat) -> None:
    ec2, group = seat.root("ec2"), seat.ids["app"]
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    let = {"GroupId": group, "IpPermissions": [{**rule, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]}
    with instead(
        lambda: ec2.revoke_security_group_egress(**let),
        lambda: ec2.authorize_security_group_egress(**let),
    ):
        check = reached(seat)
    assert check.state == "FAIL" and "no rule lets tcp 443 out" in check.detail
    assert f"authorize-security-group-egress --group-id {group}" in check.remedy


def test_a_way_through_nat_does_as_well(seat: Seat) -> None:
    assert reached(seat, "worker-1").state == "PASS"
