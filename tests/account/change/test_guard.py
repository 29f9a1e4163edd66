"""Plans that would lock people out are refused, each by its reason; those that would not, pass."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rehearsal
from private_s3 import statements
from private_s3.errors import CheckFailed, RunbookError
from private_s3.record import require
from tests.support.world import World, enter

BUCKET, ROLE = "rehearsal-private-data", "app-instance"
ARN = f"arn:aws:s3:::{BUCKET}"
ACCOUNT = "123456789012"
CI, AUDITOR, BREAK_GLASS = (
    f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("ci-deployer", "auditor", "break-glass")
)
DATA = ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
OFFICE = {"aws:SourceIp": "203.0.113.0/24"}
Change = Callable[[World], Any]


@pytest.fixture
def world(
    shared: rehearsal.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    s3, iam = shared.client("s3"), shared.client("iam")
    policy = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    block = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    own = iam.get_role_policy(RoleName=ROLE, PolicyName="use-the-buckets")["PolicyDocument"]
    yield enter(shared, tmp_path, monkeypatch)
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy)
    s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=block)
    role_policy(own)(World(shared, tmp_path, {}))
    ec2 = shared.client("ec2")
    gateway = [{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}]
    for found in ec2.describe_vpc_endpoints(Filters=gateway)["VpcEndpoints"]:
        ec2.delete_vpc_endpoints(VpcEndpointIds=[found["VpcEndpointId"]])
    if "PermissionsBoundary" in iam.get_role(RoleName=ROLE)["Role"]:
        iam.delete_role_permissions_boundary(RoleName=ROLE)


def deny(*actions: str, condition: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    made = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": list(actions or DATA)}
    resources = {"Resource": [ARN, f"{ARN}/*"]}
    return {**made, **resources, **({"Condition": condition} if condition else {}), **more}


def bucket_policy(*added: dict[str, Any], version: str = "2012-10-17") -> Change:
    """Somebody else adds statements to the bucket policy."""

    def put(world: World) -> None:
        s3 = world.client("s3")
        policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
        policy = {"Version": version, "Statement": [*policy["Statement"], *added]}
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))

    return put


def public_policy(world: World) -> None:
    """A policy that was put before Block Public Access was turned on."""
    s3 = world.client("s3")
    block = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    s3.put_public_access_block(
        Bucket=BUCKET, PublicAccessBlockConfiguration={**block, "BlockPublicPolicy": False}
    )
    instance = f"arn:aws:ec2:ap-northeast-1:{ACCOUNT}:instance/{world.id('app-1')}"
    condition = {"ArnEquals": {"ec2:SourceInstanceArn": instance}}
    bucket_policy(deny("s3:GetObject", condition=condition, Effect="Allow"))(world)
    s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=block)


def role_policy(document: dict[str, Any]) -> Change:
    """The instance's role gets another policy in place of its own."""

    def put(world: World) -> None:
        world.client("iam").put_role_policy(
            RoleName=ROLE, PolicyName="use-the-buckets", PolicyDocument=json.dumps(document)
        )

    return put


def allow(action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def document(*content: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(content)}


def boundary(world: World) -> None:
    """Somebody bounds the role to one other service."""
    iam = world.client("iam")
    found = {one["PolicyName"]: one["Arn"] for one in iam.list_policies(Scope="Local")["Policies"]}
    arn = (
        found.get("no-s3")
        or iam.create_policy(
            PolicyName="no-s3", PolicyDocument=json.dumps(document(allow("ssm:*", "*")))
        )["Policy"]["Arn"]
    )
    iam.put_role_permissions_boundary(RoleName=ROLE, PermissionsBoundary=arn)


def no_role(world: World) -> None:
    """The instance loses its instance profile; the account is of no use to others after that."""
    ec2 = world.client("ec2")
    by_instance = [{"Name": "instance-id", "Values": [world.id("app-1")]}]
    found = ec2.describe_iam_instance_profile_associations(Filters=by_instance)
    association = found["IamInstanceProfileAssociations"][0]["AssociationId"]
    ec2.disassociate_iam_instance_profile(AssociationId=association)


def give_a_way(world: World, name: str) -> str:
    """An endpoint that an instance comes through today already; the id of the instance."""
    world.client("ec2").create_vpc_endpoint(
        VpcId=world.id("rehearsal"),
        ServiceName="com.amazonaws.ap-northeast-1.s3",
        RouteTableIds=[world.id("private-a")],
    )
    return world.id(name)


def nothing(world: World) -> None:
    """The account as it is."""


def endpoint_policy(world: World) -> dict[str, Any]:
    """Parameters with an endpoint policy that lets things be read only."""
    path = world.folder.parent / "narrow.json"
    path.write_text(json.dumps(document({**allow("s3:GetObject", "*"), "Principal": "*"})))
    return {"endpoint_policy": str(path)}


def elsewhere(endpoint: str, *actions: str, **more: Any) -> dict[str, Any]:
    return deny(*actions, condition={"StringNotEquals": {"aws:SourceVpce": endpoint}, **more})


# What somebody did or asks for, the parameters, and the words of the refusal: row, statement.
HOSTILE: list[tuple[str, Change, dict[str, Any], tuple[str, ...]]] = [
    (
        "nobody but root could repair the policy",
        bucket_policy(
            deny(
                "s3:PutBucketPolicy", "s3:DeleteBucketPolicy", Sid="NoMore", Resource=ARN,
                condition={"ArnNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:root"}},
            )
        ),
        {},
        ("somebody outside can repair the policy", "role break-glass: Deny by NoMore"),
    ),
    (
        "the break-glass role is misspelt",
        nothing,
        {"break_glass_role": f"arn:aws:iam::{ACCOUNT}:role/brake-glass"},
        ("break_glass_role exists", "role brake-glass (does not exist)"),
    ),
    (
        "the pipeline outside must work",
        nothing,
        {"must_work": [CI]},
        ("role ci-deployer keeps working", "PrivateS3DenyOutsideEndpoint", "list, read, write"),
    ),
    (
        "the auditors outside must work",
        nothing,
        {"must_work": [AUDITOR], "restrict_to": "instance"},
        ("role auditor keeps working", "PrivateS3DenyOutsideEndpoint"),
    ),
    (
        "a neighbour must work",
        bucket_policy(),
        {"must_work": ["reporter-1"], "restrict_to": "role"},
        ("reporter-1 i-08756ea7a85bb4fc2 keeps working", "PrivateS3DenyOtherRoles"),
    ),
    (
        "who must work is misspelt",
        nothing,
        {"must_work": [f"{CI}s"]},
        ("ci-deployers keeps working", "nobody of this name"),
    ),
    (
        "a statement names the endpoint that was deleted",
        bucket_policy(elsewhere("vpce-0123456789abcdef0")),
        {"restrict_to": "none"},
        ("app-1 i-0fa19c86cefac009f will reach the data", "Deny by Theirs of bucket policy"),
    ),
    (
        "a statement denies other addresses than the office's",
        bucket_policy(deny(condition={"NotIpAddress": OFFICE})),
        {"restrict_to": "none"},
        ("no statement by aws:SourceIp stops matching", "app-1", "Deny by Theirs"),
    ),
    (
        "the role is allowed from an address only",
        role_policy(
            document(allow(DATA, [ARN, f"{ARN}/*"], Condition={"IpAddress": OFFICE}))
        ),
        {},
        ("no statement by aws:SourceIp stops matching", "no identity-based policy allows it"),
    ),
    (
        "the policy is public",
        public_policy,
        {},
        ("the policy is not public", "Theirs: BlockPublicPolicy"),
    ),
    (
        "the role may list only what is no bucket",
        role_policy(document(allow(DATA, f"{ARN}/*"))),
        {},
        ("will reach the data", "list: no identity-based policy allows it"),
    ),
    (
        "the role is bounded",
        boundary,
        {},
        ("will reach the data", "no permissions boundary allows it"),
    ),
    (
        "a set operator never denies an absent key",
        bucket_policy(),
        {"restrict_to": "endpoint", "plant": ("ForAnyValue:StringNotEquals", "aws:SourceVpce")},
        ("endpoint shuts out who it should", "role ci-deployer from outside: list, Allow by"),
    ),
    (
        "an operator is misspelt",
        bucket_policy(),
        {"restrict_to": "role", "plant": ("ArnNotEqual", "aws:PrincipalArn")},
        ("S3 will take the policy", "ArnNotEqual"),
    ),
]  # fmt: skip


def refusal(world: World, **parameters: Any) -> RunbookError:
    with pytest.raises(RunbookError) as refused:
        require("Refused.", world.planned(**parameters).guard)
    assert str(refused.value).count("\n") == 2
    assert world.writes() == []
    return refused.value


@pytest.mark.parametrize(
    ("change", "parameters", "words"), [c[1:] for c in HOSTILE], ids=[c[0] for c in HOSTILE]
)
def test_a_plan_is_refused_when(
    world: World,
    change: Change,
    parameters: dict[str, Any],
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change(world)
    parameters = dict(parameters)
    if parameters.get("must_work") == ["reporter-1"]:
        parameters["must_work"] = [give_a_way(world, "reporter-1")]
    if plant := parameters.pop("plant", None):
        (sid,) = statements.SIDS[parameters["restrict_to"]]
        ((_, _, value),) = statements.REQUIREMENTS[sid]
        monkeypatch.setitem(statements.REQUIREMENTS, sid, [(*plant, value)])
    error = refusal(world, **parameters)
    assert type(error) is CheckFailed
    assert all(word in error.answer for word in words), error
    assert error.remedy and "the tables above" not in error.remedy


# Refused already when the plan is made.
REFUSED: list[tuple[str, Change, dict[str, Any], str]] = [
    (
        "a statement of somebody else has our Sid",
        bucket_policy(deny("s3:DeleteObject", Sid="PrivateS3DenyOutsideEndpoint")),
        {},
        "somebody changed it",
    ),
    (
        "variables would begin to mean something",
        bucket_policy(deny("s3:DeleteObject", Resource=f"{ARN}/${{home}}/*"), version="2008-10-17"),
        {"restrict_to": "instance-origin"},
        "Its version is 2008-10-17",
    ),
    (
        "the policy would be too long",
        bucket_policy(*[deny("s3:DeleteObject", Sid=f"{n:0190}") for n in range(48)]),
        {"restrict_to": "instance-origin"},
        "S3 takes 20480",
    ),
]


@pytest.mark.parametrize(
    ("change", "parameters", "words"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_no_plan_is_made_when(
    world: World, change: Change, parameters: dict[str, Any], words: str
) -> None:
    change(world)
    assert words in refusal(world, **parameters).answer


def test_an_endpoint_policy_that_is_too_narrow_is_refused(world: World) -> None:
    answer = refusal(world, **endpoint_policy(world)).answer
    assert "will reach the data (list, write, delete: no endpoint policy allows it" in answer


# Plans that somebody may well make.
LEGITIMATE: list[tuple[str, Change, dict[str, Any]]] = [
    *[(f"the level is {level}", nothing, {"restrict_to": level}) for level in (
        "none", "endpoint", "role", "instance", "instance-origin"
    )],
    ("the bucket has no policy", lambda w: w.client("s3").delete_bucket_policy(Bucket=BUCKET), {}),
    ("nobody is exempt, no service either", nothing, {
        "break_glass_role": "", "allow_services": False
    }),
    ("the pipeline must work and nothing is closed", nothing, {
        "must_work": [CI], "restrict_to": "none"
    }),
    ("the break-glass role must work", nothing, {"must_work": [BREAK_GLASS]}),
    ("the endpoint lets one bucket through", nothing, {"endpoint_policy": "bucket-only"}),
    ("auditors come from the office only", bucket_policy(deny(
        condition={"NotIpAddress": OFFICE, "ArnEquals": {"aws:PrincipalArn": AUDITOR}}
    )), {"restrict_to": "none"}),
    ("other addresses are denied, but not through an endpoint", bucket_policy(deny(
        condition={"NotIpAddress": OFFICE, "Null": {"aws:SourceVpce": "true"}}
    )), {"restrict_to": "none"}),
    ("a statement for everybody names a fixed endpoint", bucket_policy(deny(
        "s3:GetObject", Effect="Allow",
        condition={"StringEquals": {"aws:SourceVpce": "vpce-0123456789abcdef0"}}
    )), {}),
    ("old statements have variables as plain text", bucket_policy(
        deny("s3:DeleteObject", Resource=f"{ARN}/${{home}}/*"), version="2008-10-17"
    ), {"restrict_to": "instance"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "parameters"), [c[1:] for c in LEGITIMATE], ids=[c[0] for c in LEGITIMATE]
)
def test_a_plan_passes_when(world: World, change: Change, parameters: dict[str, Any]) -> None:
    change(world)
    checks = world.planned(**parameters).guard
    require("Refused.", checks)
    assert {check.state for check in checks} == {"PASS"}


def test_two_instances_are_let_in_together(world: World) -> None:
    both = [world.id("app-1"), world.id("neighbour-1")]
    planned = world.planned(instance_ids=both, restrict_to="instance-origin")
    require("Refused.", planned.guard)
    rows = {row.who: row for caller, row in planned.matrix.by_caller if caller.part == "target"}
    assert len(rows) == 2 and all(row.keeps == list(rows[one].keeps) for one, row in rows.items())
    assert all(len(row.keeps) == 4 for row in rows.values())


def test_what_may_not_be_read_is_uncertain_and_never_passes(world: World) -> None:
    world.account.plant("GetAccountAuthorizationDetails", code="AccessDenied", status=403, times=1)
    world.account.plant("GetPublicAccessBlock", code="AccessDenied", status=403, times=1)
    planned = world.planned()
    states = {check.name: check.state for check in planned.guard}
    assert states["somebody outside can repair the policy"] == "UNCERTAIN"
    assert next(s for n, s in states.items() if n.endswith("will reach the data")) == "UNCERTAIN"
    assert "depends" in planned.matrix.table().to_string()
    assert "the policies of you (operator)" in planned.matrix.causes().to_string()


def test_a_level_that_names_roles_needs_to_read_them(world: World) -> None:
    world.account.plant("GetAccountAuthorizationDetails", code="AccessDenied", status=403, times=1)
    with pytest.raises(RunbookError, match="grant iam:GetAccountAuthorizationDetails"):
        world.planned(restrict_to="role")


def test_the_guard_cannot_be_gone_around(world: World) -> None:
    """Neither by an approved digest: whoever skips the guard's cell is refused at the write."""
    digest = world.plan(must_work=[CI])
    with pytest.raises(CheckFailed, match="role ci-deployer keeps working"):
        world.planned(must_work=[CI], approved_plan=digest).apply_endpoint()
    assert world.writes() == []


def test_an_instance_without_a_role_cannot_be_named_by_it(world: World) -> None:
    """The last of this account, which loses a role for good."""
    no_role(world)
    with pytest.raises(RunbookError, match="gives no role"):
        world.planned(restrict_to="role")
