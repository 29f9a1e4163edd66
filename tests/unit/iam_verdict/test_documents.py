"""Policy documents that have no clear meaning are refused, naming the place."""

import json
from typing import Any

import pytest

from iam_verdict import PolicyError, parse
from tests.support.iam_requests import allow, cases, deny, policy


def where(operator: str, value: Any) -> dict[str, Any]:
    return policy(allow(), allow(Condition={operator: {"aws:Key": value}}))


KEY = "Statement[1].Condition.{}.aws:Key: {}"
NO_VALUE = "is neither a text, a number, true or false, nor a list of these"

REFUSED = [
    ("an array", [], "Document: is not an object"),
    ("a list of Sids", policy(allow(Sid=["One"])), "Statement[0].Sid: is no text"),
    ("an unknown element", {"Statment": []}, 'Document: unknown element "Statment"'),
    ("no statement", {"Version": "2012-10-17"}, "Statement: is missing or empty"),
    (
        "a version that is none",
        policy(allow(), version="2012-10-18"),
        'Version: "2012-10-18" is neither "2008-10-17" nor "2012-10-17"',
    ),
    ("a statement that is none", {"Statement": ["x"]}, "Statement[0]: is not an object"),
    (
        "a lower-case element",
        policy(allow(condition={})),
        'Statement[0]: unknown element "condition"',
    ),
    ("no effect", policy({}), 'Statement[0].Effect: is neither "Allow" nor "Deny"'),
    (
        "a lower-case effect",
        policy({"Effect": "deny"}),
        'Statement[0].Effect: is neither "Allow" nor "Deny"',
    ),
    (
        "no action",
        {"Statement": {"Effect": "Allow", "Resource": "*"}},
        "Statement[0]: needs one of Action and NotAction, has none",
    ),
    (
        "both resources",
        {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "NotResource": "*"}},
        "Statement[0]: needs one of Resource and NotResource, has 2",
    ),
    (
        "both principals",
        policy(deny(Principal="*", NotPrincipal="*")),
        "Statement[0]: needs one of Principal and NotPrincipal, has 2",
    ),
    (
        "NotPrincipal that allows",
        policy(allow(NotPrincipal="*")),
        "Statement[0]: NotPrincipal is for Deny only",
    ),
    (
        "an action without a service",
        policy(allow(Action="GetObject")),
        'Statement[0].Action: "GetObject" is no action such as s3:GetObject',
    ),
    ("an empty list of actions", policy(allow(Action=[])), f"Statement[0].Action: {NO_VALUE}"),
    (
        "a resource that is no ARN",
        policy(allow(Resource="reports/*")),
        'Statement[0].Resource: "reports/*" is neither an ARN nor "*"',
    ),
    (
        "a variable that is none",
        policy(allow(Resource="arn:aws:s3:::${aws:username")),
        'Statement[0].Resource: "${aws:username" is no variable',
    ),
    (
        "a principal that is a text",
        policy(allow(Principal="111122223333")),
        'Statement[0].Principal: is neither "*" nor an object such as {"AWS": ...}',
    ),
    (
        "an unknown type of principal",
        policy(allow(Principal={"Aws": "*"})),
        'Statement[0].Principal: unknown type of principal "Aws"',
    ),
    (
        "a principal with a wildcard",
        policy(allow(Principal={"AWS": "arn:aws:iam::111122223333:role/*"})),
        'Statement[0].Principal: "arn:aws:iam::111122223333:role/*" is no principal',
    ),
    (
        "an unknown operator",
        where("StringNotEqual", "x"),
        'Statement[1].Condition: unknown operator "StringNotEqual"',
    ),
    (
        "an operator in another case",
        where("stringEquals", "x"),
        'Statement[1].Condition: unknown operator "stringEquals"',
    ),
    (
        "Null with IfExists",
        where("NullIfExists", "true"),
        'Statement[1].Condition: unknown operator "NullIfExists"',
    ),
    (
        "Null with a set operator",
        where("ForAnyValue:Null", "true"),
        'Statement[1].Condition: unknown operator "ForAnyValue:Null"',
    ),
    (
        "an unknown set operator",
        where("ForEachValue:StringEquals", "x"),
        'Statement[1].Condition: unknown operator "ForEachValue:StringEquals"',
    ),
    ("a null value", where("StringEquals", None), KEY.format("StringEquals", NO_VALUE)),
    ("no value", where("StringEquals", []), KEY.format("StringEquals", NO_VALUE)),
    (
        "an ARN that is none",
        where("ArnLike", "arn:aws:s3*"),
        KEY.format("ArnLike", '"arn:aws:s3*" is no ARN: it needs six parts, separated by colons'),
    ),
    (
        "a range that is none",
        where("IpAddress", "10.0.0.0/33"),
        KEY.format("IpAddress", '"10.0.0.0/33" is no IP address or range'),
    ),
    (
        "a number that is none",
        where("NumericLessThan", "ten"),
        KEY.format("NumericLessThan", '"ten" is no number'),
    ),
    (
        "a date that is none",
        where("DateLessThan", "01/02/2026"),
        KEY.format("DateLessThan", '"01/02/2026" is no date'),
    ),
    (
        "a truth that is none",
        where("Bool", "yes"),
        KEY.format("Bool", '"yes" is neither true nor false'),
    ),
    (
        "variables where none are",
        where("Bool", "${aws:SecureTransport}"),
        KEY.format("Bool", '"${aws:SecureTransport}" is neither true nor false'),
    ),
    (
        "a binary that is none",
        where("BinaryEquals", "*"),
        KEY.format("BinaryEquals", '"*" is not in base64'),
    ),
]


@pytest.mark.parametrize(("document", "message"), cases(REFUSED))
def test_refuses(document: Any, message: str) -> None:
    for form in (document, json.dumps(document)):
        with pytest.raises(PolicyError) as caught:
            parse(form)
        assert str(caught.value) == message
        assert message == f"{caught.value.place}: {caught.value.problem}"


@pytest.mark.parametrize("text", ["", "{", '{"Version": "2012-10-17",}', "[" * 100_000])
def test_refuses_what_is_not_json(text: str) -> None:
    with pytest.raises(PolicyError, match="Document: is not JSON"):
        parse(text)


def test_refuses_an_object_that_cannot_be_json() -> None:
    with pytest.raises(PolicyError, match="Document: is not JSON"):
        parse({"Statement": {1, 2}})


def test_refuses_a_key_that_is_written_twice() -> None:
    text = '{"Statement": {"Effect": "Allow", "Effect": "Deny", "Action": "*", "Resource": "*"}}'
    with pytest.raises(PolicyError, match='Document: "Effect" appears twice in one object'):
        parse(text)


def test_statement_may_be_an_object_or_a_list_of_them() -> None:
    listed = policy(allow(Sid="One"))
    alone = listed | {"Statement": listed["Statement"][0]}
    for document in (listed, alone, json.dumps(alone)):
        (statement,) = parse(document).statements
        assert (statement.index, statement.sid, statement.effect) == (0, "One", "Allow")


def test_version_is_the_older_one_where_none_is_given() -> None:
    assert parse(policy(allow(), version=None)).version == "2008-10-17"


def test_principals_may_be_demanded_or_forbidden() -> None:
    with pytest.raises(PolicyError, match=r"Statement\[1\]: Principal is missing"):
        parse(policy(allow(Principal="*"), allow()), names_principals=True)
    with pytest.raises(PolicyError, match=r"Statement\[1\]: Principal does not belong"):
        parse(policy(allow(), allow(Principal="*")), names_principals=False)


def test_parsed_policy_is_parsed_again_at_no_cost() -> None:
    document = policy(allow())
    assert parse(document) is parse(json.dumps(document)) is parse(parse(document))


def test_changed_document_is_read_anew() -> None:
    document = policy(allow())
    parse(document)
    document["Statement"][0]["Effect"] = "Deny"
    assert parse(document).statements[0].effect == "Deny"
