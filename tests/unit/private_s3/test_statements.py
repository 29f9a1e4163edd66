"""Policies: what is made, what is merged, what is kept, and what counts as the same."""

from __future__ import annotations

import json
import random
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

import pytest

from private_s3 import s3_names, statements
from private_s3.errors import BadInput
from private_s3.parameters import RestrictTo

LEVELS: tuple[RestrictTo, ...] = ("none", "endpoint", "role", "instance", "instance-origin")
BREAK_GLASS = "arn:aws:iam::123456789012:role/break-glass"
ROLES = ["arn:aws:iam::123456789012:role/app", "arn:aws:iam::123456789012:role/batch"]
INSTANCES = [f"arn:aws:ec2:eu-central-1:123456789012:instance/i-{n}" for n in (1, 2)]
THEIRS: dict[str, Any] = {
    "Sid": "AuditorsMayList",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::123456789012:role/auditor"},
    "Action": "s3:ListBucket",
    "Resource": "arn:aws:s3:::data",
}
OTHERS: dict[str, Any] = {
    "Sid": "DenyInsecureTransport",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::data", "arn:aws:s3:::data/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
# What must stay possible so that a policy can be repaired, and a bucket be looked after.
ADMINISTRATION = (
    *("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:DeleteBucket"),
    *("s3:GetBucketAcl", "s3:PutBucketAcl", "s3:GetBucketLocation", "s3:ListAllMyBuckets"),
    *("s3:GetBucketPublicAccessBlock", "s3:PutBucketPublicAccessBlock", "s3:PutLifecycle"),
    *("s3:PutEncryptionConfiguration", "s3:PutReplicationConfiguration", "s3:PutBucketVersioning"),
)
every_level = pytest.mark.parametrize("level", LEVELS)


def fence(**changes: Any) -> statements.Fence:
    given = {
        "bucket": "data",
        "endpoint_ids": ["vpce-1", "vpce-2"],
        "role_arns": ROLES,
        "instance_arns": INSTANCES,
        "break_glass_role": BREAK_GLASS,
        "allow_services": True,
    }
    return statements.Fence(**{**given, **changes})


OURS = fence().statements("endpoint")[0]


def text(*items: dict[str, object], version: str | None = "2012-10-17") -> str:
    return json.dumps({**({"Version": version} if version else {}), "Statement": list(items)})


def merged(policy: str | None, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    result = statements.merge(policy, wanted)
    assert result is not None
    document: list[dict[str, Any]] = json.loads(result)["Statement"]
    return document


# -- the levels -----------------------------------------------------------------------------------


def test_each_level_has_the_statements_of_the_level_below_and_its_own() -> None:
    made = [fence().statements(level) for level in LEVELS]
    assert [len(level) for level in made] == [0, 1, 2, 3, 5]
    for lower, upper in pairwise(made):
        assert upper[: len(lower)] == lower


def test_every_statement_is_a_deny_of_data_actions_on_this_bucket() -> None:
    for statement in fence().statements("instance-origin"):
        assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
        assert statement["Resource"] == ["arn:aws:s3:::data", "arn:aws:s3:::data/*"]
        touched = [a for a in ADMINISTRATION for p in statement["Action"] if fnmatchcase(a, p)]
        assert touched == []


def test_every_action_on_objects_is_denied_but_these() -> None:
    about = s3_names.actions()
    shut = {a for a in about for p in statements.DATA_ACTIONS if fnmatchcase(f"s3:{a}", p)}
    lists = {"ListBucket", "ListBucketVersions", "ListBucketMultipartUploads"}
    assert {action for action in shut if about[action] != "object"} == lists
    assert {action for action, what in about.items() if what == "object"} - shut == {
        *("BypassGovernanceRetention", "InitiateReplication", "ObjectOwnerOverrideToBucketOwner"),
        *("ListObjectAnnotations", "ListObjectVersionAnnotations", "ReplicateObjectAnnotation"),
        *("ReplicateTags", "UpdateObjectEncryption"),
    }


def test_the_conditions_say_what_a_level_demands() -> None:
    made = {one["Sid"]: one["Condition"] for one in fence().statements("instance-origin")}
    services = {"aws:PrincipalIsAWSService": "false", "aws:ViaAWSService": "false"}
    spared = {"aws:PrincipalArn": [BREAK_GLASS]}
    of_an_instance = {"ec2:SourceInstanceArn": "false"}
    assert made == {
        "PrivateS3DenyOutsideEndpoint": {
            "StringNotEquals": {"aws:SourceVpce": ["vpce-1", "vpce-2"]},
            "ArnNotEquals": spared,
            "BoolIfExists": services,
        },
        "PrivateS3DenyOtherRoles": {
            "ArnNotEquals": {"aws:PrincipalArn": [*ROLES, BREAK_GLASS]},
            "BoolIfExists": services,
        },
        "PrivateS3DenyOtherInstances": {
            "ArnNotEquals": {"ec2:SourceInstanceArn": INSTANCES, **spared},
            "BoolIfExists": services,
        },
        "PrivateS3DenyOtherAddresses": {
            "StringNotEquals": {"aws:Ec2InstanceSourcePrivateIPv4": "${aws:VpcSourceIp}"},
            "Null": of_an_instance,
            "ArnNotEquals": spared,
            "BoolIfExists": services,
        },
        "PrivateS3DenyOtherVpcs": {
            "StringNotEquals": {"aws:Ec2InstanceSourceVpc": "${aws:SourceVpc}"},
            "Null": of_an_instance,
            "ArnNotEquals": spared,
            "BoolIfExists": services,
        },
    }


def test_an_exemption_that_is_not_asked_for_is_not_given() -> None:
    bare = fence(break_glass_role="", allow_services=False).statements("instance-origin")
    assert "break-glass" not in json.dumps(bare) and "AWSService" not in json.dumps(bare)
    assert bare[0]["Condition"] == {"StringNotEquals": {"aws:SourceVpce": ["vpce-1", "vpce-2"]}}


# -- the merge ------------------------------------------------------------------------------------


def test_the_statements_of_others_keep_their_place_and_content() -> None:
    assert merged(text(THEIRS, OTHERS), [OURS]) == [THEIRS, OTHERS, OURS]


def test_our_earlier_statement_is_replaced_and_not_added_again() -> None:
    earlier = fence(endpoint_ids=["vpce-0"], break_glass_role="").statements("endpoint")
    assert merged(text(THEIRS, *earlier, OTHERS), [OURS]) == [THEIRS, OTHERS, OURS]


def test_a_policy_that_already_means_it_is_returned_byte_for_byte() -> None:
    spaced = json.dumps(json.loads(text(THEIRS, OURS)), indent=3)
    assert statements.merge(spaced, [OURS]) == spaced


def test_no_policy_and_nothing_wanted_is_no_policy() -> None:
    assert statements.merge(None, []) is None


@every_level
def test_without_a_policy_ours_is_made_and_taken_away_again(level: RestrictTo) -> None:
    wanted = fence().statements(level)
    made = statements.merge(None, wanted)
    expected = {"Version": "2012-10-17", "Statement": wanted} if wanted else None
    assert (made and json.loads(made)) == expected
    assert statements.merge(made, wanted) == made
    assert statements.merge(made, []) is None


def test_the_policies_for_an_endpoint_let_everything_or_the_bucket_through() -> None:
    allow = {"Effect": "Allow", "Principal": "*"}
    bucket = {"Action": "s3:*", "Resource": ["arn:aws:s3:::data", "arn:aws:s3:::data/*"]}
    only = {"Version": "2012-10-17", "Statement": [{**allow, **bucket}]}
    assert statements.bucket_only("data") == only
    everything = {"Version": "2008-10-17", "Statement": [{**allow, "Action": "*", "Resource": "*"}]}
    assert statements.full_access() == everything


def test_taking_our_only_statement_away_leaves_no_policy() -> None:
    assert statements.merge(text(OURS), []) is None


ODD = (
    '{"Sid" :"K\\u00e4the \\"{[,:]}\\"", "Effect":"Deny","Principal":{"AWS":["*"]},\n'
    '\t"Action":[ "s3:DeleteObject" ],"Resource":"arn:aws:s3:::data/a,b}]*",'
    '"Condition":{"NumericLessThan":{"s3:max-keys":1.0}} }'
)


@pytest.mark.parametrize(
    "policy",
    [
        f'{{"Version":"2012-10-17","Statement":[{ODD},{json.dumps(THEIRS)}]}}',
        f' {{ "Statement" : [ {ODD} ] , "Version" : "2012-10-17", "Id" : "a, [b]" }}\n',
        f'{{"Id":"x","Statement":{ODD},"Version":"2012-10-17"}}',
    ],
)
@every_level
def test_others_keep_every_byte_and_everything_around_them(policy: str, level: RestrictTo) -> None:
    raised = statements.merge(policy, fence().statements(level))
    assert raised is not None and ODD in raised
    assert {k: v for k, v in json.loads(raised).items() if k != "Statement"} == {
        k: v for k, v in json.loads(policy).items() if k != "Statement"
    }
    assert statements.merge(raised, fence().statements(level)) == raised
    lowered = statements.merge(raised, [])
    assert lowered is not None and ODD in lowered
    assert statements.same(policy, lowered)


VARIABLE = {**THEIRS, "Resource": "arn:aws:s3:::data/${home}/*", "Action": "s3:GetObject"}


@every_level
@pytest.mark.parametrize("version", [None, "2008-10-17", "2012-10-17"])
def test_each_level_comes_back_to_none_from_each_version(
    version: str | None, level: RestrictTo
) -> None:
    policy = text(THEIRS, OTHERS, version=version)
    raised = statements.merge(policy, fence().statements(level))
    assert raised is not None
    needs_variables = level == "instance-origin"
    expected = statements.WITH_VARIABLES if needs_variables else version
    assert json.loads(raised).get("Version") == expected
    lowered = statements.merge(raised, [])
    assert lowered is not None and statements.same(policy, lowered)


@every_level
@pytest.mark.parametrize("version", [None, "2008-10-17"])
@pytest.mark.parametrize("escape", ["$", "\\u0024"])
def test_a_version_in_which_variables_are_text_is_never_raised(
    escape: str, version: str | None, level: RestrictTo
) -> None:
    policy = text(THEIRS, VARIABLE, version=version).replace("$", escape)
    if level == "instance-origin":
        with pytest.raises(BadInput, match="would change its meaning"):
            statements.merge(policy, fence().statements(level))
    else:
        raised = statements.merge(policy, fence().statements(level))
        assert raised is not None and json.loads(raised).get("Version") == version


@pytest.mark.parametrize(
    "other",
    [
        {**THEIRS, "Sid": OURS["Sid"]},
        {**OURS, "Effect": "Allow"},
        {**OURS, "Principal": "*", "NotAction": "s3:Get*"},
        {**OURS, "Action": ["s3:*", "kms:Decrypt"]},
        {**OURS, "Condition": {}},
        {**OURS, "Condition": {**OURS["Condition"], "StringLike": {"aws:userid": "me"}}},
        {k: v for k, v in OURS.items() if k != "Condition"},
        {**OURS, "Principal": {"AWS": BREAK_GLASS}},
        {**OURS, "Resource": "arn:aws:s3:::data/*"},
        {**OURS, "Resource": ["arn:aws:s3:::data", "arn:aws:s3:::data/secret/*"]},
    ],
)
def test_a_statement_that_only_has_our_sid_is_not_taken_away(other: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        statements.merge(text(THEIRS, other), [])
    tried, answer, remedy = str(caught.value).splitlines()
    assert OURS["Sid"] in tried and answer.endswith("somebody changed it.")
    assert remedy.startswith("Next: rename its Sid")


def test_our_statement_is_known_again_as_s3_may_write_it() -> None:
    rewritten = {**OURS, "Principal": {"AWS": ["*"]}, "Action": "s3:GetObject"}
    rewritten["Resource"] = list(reversed(OURS["Resource"]))
    condition = {"StringNotEquals": {"AWS:sourcevpce": "vpce-1"}}
    assert statements.is_ours({**rewritten, "Condition": condition})
    assert merged(text(THEIRS, {**rewritten, "Condition": condition}), []) == [THEIRS]


def test_a_policy_beyond_the_size_limit_is_refused() -> None:
    long = [{**THEIRS, "Sid": f"{number:0200}"} for number in range(80)]
    with pytest.raises(BadInput, match="20480"):
        statements.merge(text(*long), [OURS])


@pytest.mark.parametrize(
    "policy",
    [
        "not json",
        "[]",
        "{}",
        '{"Statement": [{"Sid": "a", "Sid": "b", "Effect": "Allow"}]}',
    ],
)
def test_a_policy_that_cannot_be_read_without_loss_is_refused(policy: str) -> None:
    with pytest.raises(BadInput):
        statements.merge(policy, [OURS])


def some_policy(draw: random.Random) -> tuple[str, list[str]]:
    """A policy in odd spelling, and the text of each of its statements."""
    texts = []
    for number in range(draw.randint(1, 4)):
        chosen = {**draw.choice([THEIRS, OTHERS]), "Sid": f"{number} {draw.choice('{}[],:é')}"}
        if draw.random() < 0.3:
            chosen["Condition"] = {
                "StringEquals": {"aws:userid": draw.choice(["a]", 'b"}', "c\\"])}
            }
        names = list(chosen)
        draw.shuffle(names)
        ordered = {name: chosen[name] for name in names}
        texts.append(
            json.dumps(ordered, indent=draw.choice([None, 1]), ensure_ascii=draw.random() < 0.5)
        )
    value = texts[0] if len(texts) == 1 and draw.random() < 0.5 else f"[ {' , '.join(texts)}]"
    parts = [f'"Statement" : {value}']
    parts += draw.sample(['"Version": "2012-10-17"', '"Id":"Statement"'], draw.randint(0, 2))
    draw.shuffle(parts)
    return "{" + ",\n".join(parts) + "}", texts


def test_many_policies_go_up_to_a_level_and_come_back() -> None:
    draw = random.Random(7)
    for _ in range(300):
        policy, texts = some_policy(draw)
        wanted = fence().statements(draw.choice(LEVELS))
        raised = statements.merge(policy, wanted)
        assert raised is not None
        assert json.loads(raised)["Statement"] == [*map(json.loads, texts), *wanted] or not wanted
        assert statements.merge(raised, wanted) == raised
        lowered = statements.merge(raised, [])
        assert lowered is not None and statements.same(policy, lowered)
        assert all(one in raised and one in lowered for one in texts)


# -- what counts as the same ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {**OTHERS, "Action": ["s3:*"]},
        {**OTHERS, "Action": ["S3:*", "s3:*"]},
        {**OTHERS, "Resource": OTHERS["Resource"] * 2},
        {**OTHERS, "Principal": {"AWS": "*"}},
        {**OTHERS, "Principal": {"AWS": ["*"]}},
        {**OTHERS, "Resource": ["arn:aws:s3:::data/*", "arn:aws:s3:::data"]},
        {**OTHERS, "Condition": {"Bool": {"AWS:secureTransport": ["false"]}}},
        {**OTHERS, "Condition": {"Bool": {"aws:SecureTransport": False}}},
    ],
)
def test_spellings_that_s3_may_return_mean_the_same(other: dict[str, object]) -> None:
    assert statements.same(text(OTHERS), text(other))


@pytest.mark.parametrize(
    "other",
    [
        {**OTHERS, "Effect": "Allow"},
        {**OTHERS, "Action": "s3:GetObject"},
        {**OTHERS, "Resource": ["arn:aws:s3:::data"]},
        {**OTHERS, "Resource": ["arn:aws:s3:::DATA", "arn:aws:s3:::data/*"]},
        {**OTHERS, "Condition": {"BoolIfExists": {"aws:SecureTransport": "false"}}},
        {**OTHERS, "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        {**{k: v for k, v in OTHERS.items() if k != "Principal"}, "NotPrincipal": "*"},
    ],
)
def test_a_real_difference_is_seen(other: dict[str, object]) -> None:
    assert not statements.same(text(OTHERS), text(other))


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_an_account_id_and_its_root_arn_mean_the_same(partition: str) -> None:
    one = {**THEIRS, "Principal": {"AWS": "123456789012"}}
    other = {**THEIRS, "Principal": {"AWS": f"arn:{partition}:iam::123456789012:root"}}
    assert statements.same(text(one), text(other))


def test_the_version_matters_only_where_something_could_be_a_variable() -> None:
    assert statements.same(text(THEIRS, version="2008-10-17"), text(THEIRS))
    assert statements.same(text(VARIABLE, version=None), text(VARIABLE, version="2008-10-17"))
    assert not statements.same(text(VARIABLE, version="2008-10-17"), text(VARIABLE))


def test_the_order_of_statements_carries_no_meaning() -> None:
    assert statements.same(text(THEIRS, OTHERS), text(OTHERS, THEIRS))


@pytest.mark.parametrize("element", ["NotAction", "NotResource"])
def test_the_order_in_a_negated_element_carries_no_meaning(element: str) -> None:
    one, other = ({**THEIRS, element: names} for names in (["a", "b"], ["b", "a", "a"]))
    assert statements.same(text(one), text(other))
    assert not statements.same(text(one), text({**one, element: ["a"]}))


def test_an_empty_sid_is_none_but_another_sid_is_a_difference() -> None:
    bare = {key: value for key, value in THEIRS.items() if key != "Sid"}
    assert statements.same(text(bare), text({**bare, "Sid": ""}))
    assert not statements.same(text(bare), text(THEIRS))


def test_the_id_of_a_policy_is_a_difference() -> None:
    assert not statements.same(text(THEIRS), text(THEIRS).replace("{", '{"Id": "x", ', 1))


def test_a_statement_given_twice_is_not_the_same_as_once() -> None:
    assert not statements.same(text(THEIRS, THEIRS), text(THEIRS))
