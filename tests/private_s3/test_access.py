"""What becomes of each caller's requests, and who the callers are, in a small hand-made account."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import boto3
import pytest

from private_s3 import aws
from private_s3.access import Cell, Row, Situation
from private_s3.callers import LOG_DELIVERY, OUTSIDE, Caller, Callers
from private_s3.identities import Identities, Identity, unread
from private_s3.instance import Answers, Observation
from private_s3.matrix import Matrix, in_words
from private_s3.observe import Comparison
from private_s3.parameters import Parameters

from .worlds import ACCOUNT, REGION, VALUES, vpc

BUCKET = "data"
PROFILE = f"arn:aws:iam::{ACCOUNT}:instance-profile/app"
VPCE, OTHER = "vpce-0123456789abcdef0", "210987654321"
FENCE = {"StringNotEquals": {"aws:SourceVpce": VPCE}}


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def statement(effect: str, action: str = "s3:*", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": "*", **more}


def policy(*content: dict[str, Any], **more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(content), **more})


def bucket_policy(*content: dict[str, Any]) -> str:
    return policy(*({"Principal": "*", **one} for one in content))


EVERYTHING = {"all": policy(statement("Allow"))}
IDENTITIES = (
    Identity(role("team/app"), "AROAAPP", EVERYTHING, profiles=(PROFILE,), tags={"team": "blue"}),
    Identity(role("ops/operator"), "AROAOPS", EVERYTHING),
    Identity(role("break-glass"), "AROAGLASS", EVERYTHING),
    Identity(role("ci-1"), "AROACI1", EVERYTHING),
    Identity(role("ci-2"), "AROACI2", EVERYTHING),
    Identity(role("nobody"), "AROANOBODY", {}),
    Identity(role("aws-service-role/x/linked"), "AROALINKED", EVERYTHING),
    Identity(f"arn:aws:iam::{ACCOUNT}:user/ann", "AIDAANN", EVERYTHING),
)


def instance(id_: str, subnet: str = "subnet-a", profile: str = PROFILE) -> Any:
    return {
        "InstanceId": id_,
        "SubnetId": subnet,
        "PrivateIpAddress": "10.0.0.4",
        "Tags": [{"Key": "Name", "Value": id_.removeprefix("i-")}],
        **({"IamInstanceProfile": {"Arn": profile}} if profile else {}),
    }


def account(arn: str = "") -> aws.Account:
    session = boto3.Session("key", "secret", region_name=REGION)
    own = f"arn:aws:sts::{ACCOUNT}:assumed-role/operator/night"
    return aws.Account(session, ACCOUNT, arn or own)


def people(
    present: str | None = None, *, caller: str = "", refused: str = "", **more: Any
) -> Callers:
    bound = account(caller)
    identities = Identities(bound)
    identities.unread = refused
    identities.__dict__["by_arn"] = {} if refused else {one.arn: one for one in IDENTITIES}
    network = replace(
        vpc(instances=()),
        instances=[instance("i-0000000000000000a")],
        subnets=[
            {"SubnetId": name, "CidrBlock": "10.0.0.0/24"} for name in ("subnet-a", "subnet-b")
        ],
    )
    neighbours = [
        instance("i-0000000000000000a"),
        instance("i-0000000000000000b"),
        instance("i-0000000000000000c"),
        instance("i-0000000000000000d", "subnet-b"),
        instance("i-0000000000000000e", profile=""),
    ]
    parameters = Parameters.of({**VALUES, "break_glass_role": role("break-glass"), **more})
    return Callers(bound, parameters, identities, network, neighbours, "", present)


def who(callers: Callers) -> list[str]:
    return [one.who for one in callers.all()]


def one(callers: Callers, name: str, place: str = OUTSIDE) -> Caller:
    (found,) = [c for c in callers.all() if c.who == name and c.place == place]
    return found


def situation(present: str | None = None, **changes: Any) -> Situation:
    given: dict[str, Any] = {
        "bucket": BUCKET,
        "account": ACCOUNT,
        "region": REGION,
        "vpc": "vpc-1",
        "policy": present,
        "ways": {"subnet-a": VPCE, "subnet-b": "nowhere"},
        "endpoints": {VPCE: bucket_policy(statement("Allow"))},
        "public_access_block": {},
    }
    return Situation(**{**given, **changes})


TARGET, APP, CI = "0000000000000000a i-0000000000000000a", "keys copied from ", "role ci-1"


# -- who there is ---------------------------------------------------------------------------------


def test_everybody_is_there_once_and_in_order() -> None:
    assert who(people()) == [
        TARGET,
        "0000000000000000b i-0000000000000000b, 0000000000000000c i-0000000000000000c",
        "0000000000000000d i-0000000000000000d",
        f"keys copied from {TARGET}",
        f"keys copied from {TARGET}",
        "you (operator)",
        "role break-glass",
        "root",
        LOG_DELIVERY,
        "role ci-1",
        "role ci-2",
        "role nobody",
        "user ann",
        "anybody, unsigned",
    ]


def test_a_neighbour_that_is_named_stands_alone() -> None:
    named = people(must_work=["i-0000000000000000c"])
    assert "0000000000000000c i-0000000000000000c" in who(named)


def test_keys_that_were_copied_are_used_from_another_address() -> None:
    target, inside, outside = (c for c in people().all() if TARGET in c.who)
    assert target.address == "10.0.0.4" == inside.keys["aws:Ec2InstanceSourcePrivateIPv4"]
    assert (inside.subnet, inside.address) == ("subnet-a", "10.0.0.254")
    assert (outside.subnet, outside.place) == ("", OUTSIDE)


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ("", ("you (operator)", role("ops/operator"), "AROAOPS:night")),
        (f"arn:aws:iam::{ACCOUNT}:user/ann", ("you (the operator)", "user/ann", "AIDAANN")),
        (f"arn:aws:iam::{ACCOUNT}:root", ("root", ":root", ACCOUNT)),
    ],
)
def test_the_operator_is_known_by_the_credentials(caller: str, expected: tuple[str, ...]) -> None:
    (operator,) = [c for c in people(caller=caller).all() if c.part == "operator"]
    assert operator.who == expected[0] and operator.principal.arn.endswith(expected[1])
    assert operator.keys["aws:userid"] == expected[2]


def test_a_role_that_is_not_there_is_said_not_to_exist() -> None:
    missing = one(people(break_glass_role=role("glass")), "role glass (does not exist)")
    assert not missing.exists and missing.policies == {}
    assert one(people(refused="no", break_glass_role=role("glass")), "role glass").exists


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"Principal": {"AWS": role("ci-2")}}, "role ci-2"),
        ({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/ann"}}, "user ann"),
        ({"Principal": {"AWS": OTHER}}, f"account {OTHER}"),
        ({"Principal": {"AWS": [f"arn:aws:iam::{OTHER}:root"]}}, f"account {OTHER}"),
        ({"Principal": {"AWS": f"arn:aws:iam::{OTHER}:role/x/guest"}}, "role guest"),
        ({"Principal": {"Service": "delivery.logs.amazonaws.com"}}, "delivery.logs.amazonaws.com"),
        ({"Principal": "*", "Condition": {"ArnLike": {"AWS:principalarn": role("z")}}}, "role z"),
        (
            {"Principal": {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/app/i-9"}},
            "role app",
        ),
    ],
)
def test_whom_the_present_policy_names_is_there(named: dict[str, Any], expected: str) -> None:
    found = who(people(policy(statement("Allow", **named))))
    assert len([name for name in found if name.split(" (")[0] == expected]) == 1


def test_who_was_deleted_and_who_is_everybody_is_nobody_in_particular() -> None:
    names = {"AWS": ["AROAAAAAAAAAAAAAAAAAA", "*", ACCOUNT]}
    condition = {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/*"}}
    assert who(people(policy(statement("Allow", Principal=names, Condition=condition)))) == who(
        people()
    )


# -- what is known of them ------------------------------------------------------------------------

NETWORK_KEYS = ["aws:SourceVpce", "aws:SourceVpc", "aws:VpcSourceIp"]
CONTEXT = [  # caller, keys that are there, keys that are absent, keys that nobody knows
    (
        TARGET,
        ["aws:PrincipalArn", "aws:userid", "ec2:SourceInstanceArn", *NETWORK_KEYS],
        ["aws:SourceIp", "aws:username", "aws:PrincipalTag/x", "aws:PrincipalServiceName"],
        ["aws:PrincipalOrgID", "aws:VpceOrgID", "ec2:RoleDelivery"],
    ),
    (
        CI,
        ["aws:PrincipalArn", "aws:PrincipalIsAWSService", "aws:SecureTransport"],
        ["aws:username", "ec2:SourceInstanceArn", *NETWORK_KEYS, "s3:x-amz-acl", "aws:SourceArn"],
        ["aws:SourceIp", "aws:PrincipalOrgID", "aws:PrincipalTag/x", "aws:MultiFactorAuthPresent"],
    ),
    ("user ann", ["aws:username"], NETWORK_KEYS, ["aws:SourceIp"]),
    ("root", ["aws:PrincipalArn", "aws:userid"], ["aws:username"], ["aws:SourceIp"]),
    (
        LOG_DELIVERY,
        ["aws:PrincipalIsAWSService", "aws:PrincipalServiceName", "aws:SourceAccount"],
        ["aws:PrincipalArn", "aws:SourceIp", *NETWORK_KEYS],
        ["aws:SourceArn"],
    ),
    (
        "anybody, unsigned",
        ["aws:SecureTransport", "aws:PrincipalType", "aws:userid"],
        ["aws:PrincipalArn", "aws:PrincipalAccount", "aws:PrincipalIsAWSService", "aws:username"],
        ["aws:SourceIp"],
    ),
]


def kind_of(caller: Caller, key: str) -> str:
    """Whether a request has a key, by what a policy that asks for it decides."""
    absent = statement("Deny", Condition={"Null": {key: "true"}})
    verdict = situation(bucket_policy(statement("Allow"), absent)).verdict(
        caller, "s3:GetObject", "x"
    )
    return {"allowed": "present", "depends": "unknown"}.get(verdict.decision, "absent")


@pytest.mark.parametrize(
    ("name", "present", "absent", "unknown"), CONTEXT, ids=lambda v: str(v)[:9]
)
def test_a_key_is_there_or_absent_or_unknown(
    name: str, present: list[str], absent: list[str], unknown: list[str]
) -> None:
    caller = next(c for c in people().all() if c.who == name)
    assert {key: kind_of(caller, key) for key in present} == dict.fromkeys(present, "present")
    assert {key: kind_of(caller, key) for key in absent} == dict.fromkeys(absent, "absent")
    assert {key: kind_of(caller, key) for key in unknown} == dict.fromkeys(unknown, "unknown")


# -- what is decided ------------------------------------------------------------------------------


def cell(name: str, column: str = "read", place: str = OUTSIDE, **changes: Any) -> Cell:
    here = situation(**changes)
    found = [c for c in people(here.policy).all() if c.who == name and place in ("", c.place)]
    return here.cell(found[0], column, "x")


FENCED = bucket_policy(statement("Deny", Sid="Fence", Condition=FENCE))


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


# -- the matrix -----------------------------------------------------------------------------------


def matrix(before: Situation, after: Situation) -> Matrix:
    return Matrix(before, after, people(before.policy).all(), "check")


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
    assert found.losers["root from outside"] == data
    assert f"{TARGET} through the endpoint" not in found.others
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
    limited = {"p": policy(statement("Allow", "s3:GetObject") | {
        "Resource": f"arn:aws:s3:::{BUCKET}/builds/*/out-?"})}  # fmt: skip
    caller = replace(one(people(), CI), policies=limited)
    (_, row), *_ = Matrix(situation(), situation(FENCED), [caller], "check").by_caller
    assert row.key == "builds/x/out-x"
    assert (row.before["read"].state, row.after["read"].state) == ("allowed", "denied")


# -- predicted and observed -----------------------------------------------------------------------


def row(**states: Any) -> Row:
    cells = {c: Cell(states.get(c, "denied"), "why") for c in ("list", "read", "administer")}
    rest = {c: Cell("denied", "why") for c in ("write", "delete")}
    return Row("app-1", "through the endpoint", {**cells, **rest}, {**cells, **rest})


@pytest.mark.parametrize(
    ("seen", "applying", "state", "detail"),
    [
        ({"list": ("allowed", "ok")}, True, "PASS", "1 of 1 cells"),
        ({"list": ("denied", "no")}, True, "FAIL", "0 of 1 cells; app-1 through the endpoint, list:"
         " predicted allowed (why), observed denied (no)"),
        ({"list": ("denied", "no")}, False, "UNCERTAIN", "observed denied"),
        ({"read": ("allowed", "ok")}, True, "PASS", "0 of 1 cells"),  # depends: nothing to hold
        ({"list": ("wrong region", "")}, True, "FAIL", "observed wrong region"),
    ],
)  # fmt: skip
def test_one_difference_fails_and_names_both_sides(
    seen: dict[str, tuple[str, str]], applying: bool, state: str, detail: str
) -> None:
    comparison = Comparison([(row(list="allowed", read="depends"), seen)], [], applying)
    (check,) = comparison.checks()
    assert check.state == state and detail in check.detail


def test_while_planning_the_present_is_compared_and_then_what_was_planned() -> None:
    changing = replace(row(), before=row(list="allowed").before)
    seen = {"list": ("allowed", "ok")}
    planning, applying = (Comparison([(changing, seen)], [], now) for now in (False, True))
    assert [one.checks()[0].state for one in (planning, applying)] == ["PASS", "FAIL"]


def test_the_table_shows_what_was_not_asked_and_what_was_not_predicted() -> None:
    seen = {"list": ("denied", "no"), "read": ("denied", "no")}
    comparison = Comparison([(row(list="allowed"), seen)], [], True)
    (shown,) = comparison.table().itertuples(index=False)
    assert list(shown[2:]) == ["denied, predicted allowed", "denied", "-", "-", "-"]
    facts = comparison.facts()
    assert [one["request"] for one in facts] == ["list", "read"]
    assert facts[0]["predicted"] == {"state": "allowed", "reason": "why"}


def test_answers_of_instances_are_checked_as_promised() -> None:
    seen = [
        Observation("i-1", "list", "timeout", "", 3),
        Observation("i-2", "list", "denied", "", 1),
    ]
    answers = Answers(seen, {"i-1": {"list": "succeeded"}}, applying=True)
    (check,) = answers.checks()
    assert (check.name, check.state) == ("list from i-1", "FAIL")
