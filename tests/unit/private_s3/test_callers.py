"""Who may come to the bucket, and what AWS knows of each."""

from __future__ import annotations

from typing import Any

import pytest

from private_s3.callers import LOG_DELIVERY, OUTSIDE, SERVICE, Caller, Callers
from private_s3.identities import unread
from tests.support.readings import (
    ACCOUNT,
    CI,
    OTHER,
    TARGET,
    VPCE,
    bucket_policy,
    one,
    people,
    policy,
    role,
    situation,
    statement,
)

USER, ROOT = f"arn:aws:iam::{ACCOUNT}:user/ann", f"arn:aws:iam::{ACCOUNT}:root"
OAI = "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E1"


def who(callers: Callers) -> list[str]:
    return [one.who for one in callers.all()]


def test_s3_delivers_logs_as_a_service_of_this_name() -> None:
    # Source: Amazon S3 User Guide, "Enabling Amazon S3 server access logging".
    assert LOG_DELIVERY == "logging.s3.amazonaws.com"


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


def test_neighbours_with_another_role_or_in_another_subnet_stand_apart() -> None:
    callers = people()
    profile = {"Arn": f"arn:aws:iam::{ACCOUNT}:instance-profile/other"}
    callers.neighbours[2]["IamInstanceProfile"] = profile  # type: ignore[typeddict-item]
    groups = [one.instances for one in callers.others_in_the_vpc()]
    assert groups == [(f"i-0000000000000000{letter}",) for letter in "bdc"]


def test_keys_that_were_copied_are_used_from_another_address() -> None:
    target, inside, outside = (c for c in people().all() if TARGET in c.who)
    assert target.address == "10.0.0.4" == inside.keys["aws:Ec2InstanceSourcePrivateIPv4"]
    assert (inside.subnet, inside.address) == ("subnet-a", "10.0.0.254")
    assert (outside.subnet, outside.place) == ("", OUTSIDE)


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ("", ("you (operator)", role("ops/operator"), "AROAOPS:night")),
        (USER, ("you (user ann)", "user/ann", "AIDAANN")),
        (ROOT, ("root", ":root", ACCOUNT)),
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
        ({"Principal": {"AWS": USER}}, "user ann"),
        ({"Principal": {"AWS": OTHER}}, f"account {OTHER}"),
        ({"Principal": {"AWS": [f"arn:aws:iam::{OTHER}:root"]}}, f"account {OTHER}"),
        ({"Principal": {"AWS": f"arn:aws:iam::{OTHER}:role/x/guest"}}, f"role guest of {OTHER}"),
        ({"Principal": {"AWS": f"arn:aws:iam::{OTHER}:role/ci-1"}}, f"role ci-1 of {OTHER}"),
        ({"Principal": {"AWS": f"arn:aws:iam::{OTHER}:user/x/ben"}}, f"user ben of {OTHER}"),
        ({"Principal": {"AWS": OAI}}, "user CloudFront Origin Access Identity E1 of cloudfront"),
        ({"NotPrincipal": {"AWS": [role("spared"), ACCOUNT]}}, "role spared"),
        ({"Principal": {"Service": [LOG_DELIVERY, LOG_DELIVERY]}}, LOG_DELIVERY),
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
    assert len(found) <= len(who(people())) + 1


def test_a_session_that_is_named_is_one_of_the_role_with_its_path() -> None:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/app/deploy"
    for present in (policy(statement("Allow", Principal={"AWS": arn})), None):
        found = [c.principal for c in people(present).all() if c.principal.session_arn == arn]
        assert [one.arn for one in found] == [role("team/app")] * bool(present)
    foreign = policy(statement("Allow", Principal={"AWS": arn.replace(ACCOUNT, OTHER)}))
    principal = one(people(foreign), f"role app of {OTHER}").principal
    assert (principal.arn, principal.account) == (f"arn:aws:iam::{OTHER}:role/app", OTHER)


def test_an_account_stands_for_anybody_in_it_whose_policies_are_not_known() -> None:
    found = one(people(policy(statement("Allow", Principal={"AWS": OTHER}))), f"account {OTHER}")
    assert (found.principal.account, found.exists) == (OTHER, True)
    assert found.policies == {"unread": unread(f"account {OTHER}")}


def test_who_must_work_is_there_once_also_if_named_twice() -> None:
    names = [role("ci-1"), USER]
    present = policy(statement("Allow", Principal={"AWS": names}))
    assert sorted(who(people(present, must_work=names))) == sorted(who(people()))
    parts = {c.who: c.part for c in people(must_work=names).all()}
    assert (parts["role ci-1"], parts["user ann"], parts["role ci-2"]) == (
        *("other", "other"),
        "incidental",
    )


def test_s3_replicates_from_its_own_network_with_a_role_of_the_account() -> None:
    found = people(replicas=role("ci-1"))
    replica, person = one(found, "role ci-1", SERVICE), one(found, "role ci-1")
    assert replica.keys == person.keys and replica.keys["aws:PrincipalIsAWSService"] == "false"
    assert [kind_of(c, "aws:SourceIp") for c in (replica, person)] == ["absent", "unknown"]


def test_an_instance_without_a_role_signs_nothing() -> None:
    callers = people()
    callers.network.instances[0].pop("IamInstanceProfile")
    target = callers.targets()[0]
    assert (target.principal.kind, target.policies) == ("anonymous", {})
    assert target.instances == ("i-0000000000000000a",)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("aws:PrincipalArn", "true"),
        ("aws:PrincipalArn", True),
        ("aws:PrincipalArn", "*"),
        ("aws:PrincipalArn", role("*")),
        ("aws:PrincipalArn", role("${aws:PrincipalTag/team}")),
        ("aws:SourceArn", role("other")),
    ],
)
def test_a_condition_that_names_nobody_adds_nobody(key: str, value: Any) -> None:
    present = bucket_policy(statement("Deny", Condition={"Null": {key: value}}))
    assert who(people(present)) == who(people())


def test_who_was_deleted_and_who_is_everybody_is_nobody_in_particular() -> None:
    names = {"AWS": ["AROAAAAAAAAAAAAAAAAAA", "AIDAAAAAAAAAAAAAAAAAA", "*", ACCOUNT]}
    condition = {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/*"}}
    assert who(people(policy(statement("Allow", Principal=names, Condition=condition)))) == who(
        people()
    )


# -- what is known of them ------------------------------------------------------------------------

NETWORK_KEYS = ["aws:SourceVpce", "aws:SourceVpc", "aws:VpcSourceIp"]
FROM_INSTANCE = [
    *("ec2:SourceInstanceArn", "ec2:RoleDelivery"),
    *("aws:Ec2InstanceSourceVpc", "aws:Ec2InstanceSourcePrivateIPv4"),
]
OF_SERVICE = [
    *("aws:PrincipalServiceName", "aws:PrincipalServiceNamesList"),
    *("aws:SourceAccount", "aws:SourceArn", "aws:SourceOrgID"),
]
NOT_ASKED = [  # of a plain request, whoever makes it
    *("aws:RequestTag/x", "aws:TagKeys", "aws:CalledViaFirst", "aws:AssumedRoot"),
    *("ssm:SourceInstanceARN", "s3:x-amz-acl", "s3:prefix"),
]
OF_S3 = [
    *("s3:ExistingObjectTag/x", "s3:TlsVersion", "s3:signatureAge", "s3:x-amz-content-sha256"),
]
CONTEXT = [  # caller, keys that are there, keys that are absent, keys that nobody knows
    (
        TARGET,
        [*NETWORK_KEYS, *set(FROM_INSTANCE) - {"ec2:RoleDelivery"}, "aws:PrincipalArn"],
        ["aws:SourceIp", "aws:username", "aws:PrincipalTag/x", *OF_SERVICE, *NOT_ASKED],
        ["aws:PrincipalOrgID", "aws:VpceOrgID", "ec2:RoleDelivery", *OF_S3],
    ),
    (
        CI,
        ["aws:PrincipalArn", "aws:PrincipalIsAWSService", "aws:SecureTransport", "aws:userid"],
        ["aws:username", *NETWORK_KEYS, *FROM_INSTANCE, *OF_SERVICE, *NOT_ASKED],
        ["aws:SourceIp", "aws:PrincipalOrgID", "aws:PrincipalTag/x", "aws:MultiFactorAuthPresent"],
    ),
    (
        "user ann",
        ["aws:username", "aws:userid", "aws:PrincipalType", "s3:authType"],
        [*NETWORK_KEYS, *FROM_INSTANCE, *OF_SERVICE, "aws:VpceAccount"],
        ["aws:SourceIp", *OF_S3],
    ),
    (
        "root",
        ["aws:PrincipalArn", "aws:userid", "aws:PrincipalAccount"],
        ["aws:username", *NETWORK_KEYS, *FROM_INSTANCE],
        ["aws:SourceIp"],
    ),
    (
        LOG_DELIVERY,
        ["aws:PrincipalIsAWSService", "aws:PrincipalServiceName", "aws:SourceAccount"],
        ["aws:PrincipalArn", "aws:PrincipalOrgID", "aws:SourceIp", "aws:username", *NETWORK_KEYS],
        ["aws:SourceArn", "aws:SourceOrgID", "aws:PrincipalServiceNamesList"],
    ),
    (
        "anybody, unsigned",
        ["aws:SecureTransport", "aws:PrincipalType", "aws:userid"],
        ["aws:PrincipalArn", "aws:PrincipalAccount", "aws:PrincipalIsAWSService", "aws:username"],
        ["aws:SourceIp"],
    ),
]


def kind_of(caller: Caller, key: str, **changes: Any) -> str:
    """Whether a request has a key, by what a policy that asks for it decides."""
    absent = statement("Deny", Condition={"Null": {key: "true"}})
    verdict = situation(bucket_policy(statement("Allow"), absent), **changes).verdict(
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


def test_tags_of_a_role_are_known_only_if_it_was_read() -> None:
    tag = "aws:PrincipalTag/team"
    assert kind_of(one(people(), TARGET, ""), tag) == "present"
    refused = one(people(refused="AWS answered AccessDenied: no"), TARGET, "")
    present = situation(bucket_policy(statement("Deny", Condition={"Null": {tag: "true"}})))
    assert present.cell(refused, "read", "x").state == "depends"


def test_the_network_keys_follow_the_way_that_traffic_takes() -> None:
    target = one(people(), TARGET, "")
    expected = {VPCE: "present", "nat-1": "absent", "igw-1": "absent", "tgw-1": "unknown"}
    for way, kind in expected.items():
        found = {kind_of(target, key, ways={"subnet-a": way}) for key in NETWORK_KEYS}
        assert found == {kind}
        address = kind_of(target, "aws:SourceIp", ways={"subnet-a": way})
        assert address == ("absent" if way == VPCE else "unknown")


@pytest.mark.parametrize(
    ("name", "kind", "keys"),
    [
        (CI, "role-session", {"Type": "AssumedRole", "Arn": role("ci-1"), "Account": ACCOUNT}),
        ("user ann", "user", {"Type": "User", "Arn": USER, "Account": ACCOUNT}),
        ("root", "root", {"Type": "Account", "Arn": ROOT, "Account": ACCOUNT}),
        ("anybody, unsigned", "anonymous", {"Type": "Anonymous"}),
        (LOG_DELIVERY, "service", {"IsAWSService": "true", "ServiceName": LOG_DELIVERY}),
    ],
)
def test_each_kind_of_caller_is_known_by_what_aws_says_of_it(
    name: str, kind: str, keys: dict[str, str]
) -> None:
    caller = next(c for c in people().all() if c.who == name)
    assert (caller.principal.kind, caller.exists) == (kind, True)
    known = {"IsAWSService": "false"} if kind in ("role-session", "user", "root") else {}
    expected = {f"aws:Principal{key}": value for key, value in {**known, **keys}.items()}
    assert {k: v for k, v in caller.keys.items() if "Principal" in k} == expected


@pytest.mark.parametrize(
    ("name", "user_id"),
    [
        (CI, "AROACI1:a-session"),
        ("user ann", "AIDAANN"),
        ("anybody, unsigned", "anonymous"),
        (TARGET, "AROAAPP:i-0000000000000000a"),
    ],
)
def test_each_caller_has_the_id_that_aws_gives(name: str, user_id: str) -> None:
    caller = next(c for c in people().all() if c.who == name)
    assert caller.keys["aws:userid"] == user_id


def test_the_name_of_a_user_who_could_not_be_read_is_not_taken_for_absent() -> None:
    caller = next(c for c in people(refused="no", must_work=[USER]).all() if c.who == "user ann")
    assert kind_of(caller, "aws:username") == "unknown"


def test_the_case_of_a_key_does_not_matter() -> None:
    caller = one(people(), CI)
    assert caller.lacks("AWS:UserName") and caller.lacks("aws:username")
    assert not caller.lacks("S3:TLSVersion")
