"""Policies: what is merged, what is kept, and what counts as the same."""

import json

import pytest

from private_s3 import statements
from private_s3.errors import BadInput

THEIRS = {
    "Sid": "AuditorsMayList",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::123456789012:role/auditor"},
    "Action": "s3:ListBucket",
    "Resource": "arn:aws:s3:::data",
}
OTHERS = {
    "Sid": "DenyInsecureTransport",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::data", "arn:aws:s3:::data/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
OURS = statements.outside_endpoint(
    "data", ["vpce-1"], "arn:aws:iam::123456789012:role/break-glass", allow_services=True
)


def text(*items: dict[str, object], version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(items)})


def merged(policy: str | None, wanted: list[dict[str, object]]) -> list[dict[str, object]]:
    result = statements.merge(policy, wanted)
    assert result is not None
    document: list[dict[str, object]] = json.loads(result)["Statement"]
    return document


def test_the_statements_of_others_keep_their_place_and_content() -> None:
    assert merged(text(THEIRS, OTHERS), [OURS]) == [THEIRS, OTHERS, OURS]


def test_our_earlier_statement_is_replaced_and_not_added_again() -> None:
    earlier = statements.outside_endpoint("data", ["vpce-0"], "", allow_services=False)
    assert merged(text(THEIRS, earlier, OTHERS), [OURS]) == [THEIRS, OTHERS, OURS]


def test_a_policy_that_already_means_it_is_returned_byte_for_byte() -> None:
    spaced = json.dumps(json.loads(text(THEIRS, OURS)), indent=3)
    assert statements.merge(spaced, [OURS]) == spaced


def test_no_policy_and_nothing_wanted_is_no_policy() -> None:
    assert statements.merge(None, []) is None


def test_taking_our_only_statement_away_leaves_no_policy() -> None:
    assert statements.merge(text(OURS), []) is None


def test_an_old_version_is_not_raised() -> None:
    result = statements.merge(text(THEIRS, version="2008-10-17"), [OURS])
    assert result is not None and json.loads(result)["Version"] == "2008-10-17"


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


@pytest.mark.parametrize(
    "other",
    [
        {**OTHERS, "Action": ["s3:*"]},
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


def test_an_account_id_and_its_root_arn_mean_the_same() -> None:
    one = {**THEIRS, "Principal": {"AWS": "123456789012"}}
    other = {**THEIRS, "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}
    assert statements.same(text(one), text(other))


def test_the_order_of_statements_carries_no_meaning() -> None:
    assert statements.same(text(THEIRS, OTHERS), text(OTHERS, THEIRS))


def test_a_statement_given_twice_is_not_the_same_as_once() -> None:
    assert not statements.same(text(THEIRS, THEIRS), text(THEIRS))


def test_our_deny_touches_no_action_that_administers_the_policy() -> None:
    administer = ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy")
    patterns = [action.lower().rstrip("*") for action in OURS["Action"]]
    assert not [a for a in administer for p in patterns if a.lower().startswith(p)]


def test_an_exemption_that_is_not_asked_for_is_not_given() -> None:
    bare = statements.outside_endpoint("data", ["vpce-1"], "", allow_services=False)
    assert bare["Condition"] == {"StringNotEquals": {"aws:SourceVpce": ["vpce-1"]}}
