"""Whether a statement is about the request: actions, resources, variables, principals."""

from typing import Any

import pytest

from iam_verdict import Policies, Principal, decide
from tests.support.iam_requests import (
    OBJECT,
    OWNER,
    ROLE,
    SESSION,
    STRANGER,
    USER,
    allow,
    anonymous,
    applies,
    cases,
    deny,
    log_delivery,
    policy,
    reaches,
    request,
    role_session,
    root,
    stranger,
    user,
)

ELEMENTS = [
    ("an action ignores case", {"Action": "S3:getobject"}, True),
    ("an action's star stands anywhere", {"Action": "s3:*Obj?ct"}, True),
    ("a longer action is another", {"Action": "s3:GetObjectAcl"}, False),
    ("one of several actions is enough", {"Action": ["s3:PutObject", "s3:Get*"]}, True),
    ("actions have no variables", {"Action": "s3:${aws:username}"}, False),
    ("NotAction is about all others", {"NotAction": "s3:PutObject"}, True),
    ("NotAction spares each of its actions", {"NotAction": ["s3:Put*", "s3:GET*"]}, False),
    ("a resource's star crosses slashes", {"Resource": "arn:aws:s3:::reports/*.csv"}, True),
    ("a resource is case-sensitive", {"Resource": "arn:aws:s3:::Reports/*"}, False),
    ("the bucket is not its objects", {"Resource": "arn:aws:s3:::reports"}, False),
    ("a dot is a dot", {"Resource": OBJECT.replace(".", "?x")}, False),
    ("a question mark is one character", {"Resource": OBJECT.replace("2026", "202?")}, True),
    ("one of several resources is enough", {"Resource": ["arn:aws:s3:::x", OBJECT]}, True),
    ("NotResource is about all others", {"NotResource": "arn:aws:s3:::other/*"}, True),
    (
        "NotResource spares each of its resources",
        {"NotResource": ["arn:aws:s3:::x", "*.csv"]},
        False,
    ),
]


@pytest.mark.parametrize(("element", "expected"), cases(ELEMENTS))
def test_element(element: dict[str, Any], expected: bool) -> None:
    assert applies(element) is expected


VARIABLES = [
    # case, resource of the policy, context, object asked for, applies
    (
        "a variable stands for the key's value",
        "${aws:username}/*",
        {"aws:username": "ann"},
        "ann/x",
        True,
    ),
    ("its name ignores case", "${AWS:UserName}/*", {"aws:username": "ann"}, "ann/x", True),
    ("it stands for nothing else", "${aws:username}/*", {"aws:username": "ann"}, "bob/x", False),
    ("a star in a value is only a star", "${aws:username}", {"aws:username": "*"}, "ann", False),
    ("a star in a value is a star", "${aws:username}", {"aws:username": "*"}, "*", True),
    (
        "a question mark in a value is only that",
        "${aws:username}",
        {"aws:username": "a?"},
        "ab",
        False,
    ),
    ("without a value nothing matches", "${aws:username}*", {}, "ann", False),
    ("without a value not even the empty text matches", "x${aws:username}", {}, "x", False),
    ("a default stands in", "${aws:username, 'nobody'}", {}, "nobody", True),
    (
        "a default gives way to a value",
        "${aws:username, 'nobody'}",
        {"aws:username": "ann"},
        "nobody",
        False,
    ),
    ("an escaped star is a star", "a${*}", {}, "a*", True),
    ("an escaped star is one character", "a${*}", {}, "a", False),
    ("an escaped star is no wildcard", "a${*}", {}, "abc", False),
    ("an escaped question mark is one", "a${?}", {}, "ab", False),
    ("an escaped dollar is one", "${$}x", {}, "$x", True),
    (
        "a key of several values is no variable",
        "${aws:TagKeys}",
        {"aws:TagKeys": ["a", "b"]},
        "a",
        False,
    ),
]


@pytest.mark.parametrize(("name", "context", "key", "expected"), cases(VARIABLES))
def test_variable(name: str, context: dict[str, Any], key: str, expected: bool) -> None:
    statement = {"Resource": f"arn:aws:s3:::reports/{name}"}
    assert applies(statement, context=context, resource=f"arn:aws:s3:::reports/{key}") is expected


@pytest.mark.parametrize("version", ["2008-10-17", None])
def test_variables_are_plain_text_before_version_2012(version: str | None) -> None:
    statement = {"Resource": "arn:aws:s3:::reports/${aws:username}"}
    context = {"aws:username": "ann"}
    for key, expected in (("ann", False), ("${aws:username}", True)):
        resource = f"arn:aws:s3:::reports/{key}"
        assert applies(statement, version=version, context=context, resource=resource) is expected


def test_not_resource_with_a_variable_without_value_does_not_apply() -> None:
    statement = {"NotResource": ["arn:aws:s3:::x", "arn:aws:s3:::reports/${aws:username}/*"]}
    assert not applies(statement)
    assert applies(statement, context={"aws:username": "ann"})


@pytest.mark.parametrize("operator", ["StringEquals", "StringLike", "ArnLike"])
def test_variable_without_value_fits_no_operator_but_the_negated_ones(operator: str) -> None:
    given = "arn:aws:s3:::x"
    condition = {"aws:Key": "arn:aws:s3:::${aws:Other}"}
    negated = operator.replace("String", "StringNot").replace("Arn", "ArnNot")
    assert not applies({"Condition": {operator: condition}}, context={"aws:Key": given})
    assert applies({"Condition": {negated: condition}}, context={"aws:Key": given})


def test_two_keys_are_compared_through_a_variable() -> None:
    statement = {"Condition": {"StringEquals": {"aws:A": "${aws:B}"}}}
    assert applies(statement, context={"aws:A": "10.0.0.4", "aws:B": "10.0.0.4"})
    assert not applies(statement, context={"aws:A": "10.0.0.4", "aws:B": "10.0.0.5"})


in_path = Principal("role-session", f"arn:aws:iam::{OWNER}:role/team/application", SESSION, OWNER)

PRINCIPALS = [
    ("a star is everyone", "*", anonymous, True),
    ("so is a star among AWS principals", {"AWS": "*"}, anonymous, True),
    ("a star is a service, too", "*", log_delivery, True),
    ("a role is its sessions", {"AWS": ROLE}, role_session, True),
    ("a role with a path is its sessions", {"AWS": in_path.arn}, in_path, True),
    ("a role without path is another", {"AWS": ROLE}, in_path, False),
    ("a session is itself", {"AWS": SESSION}, role_session, True),
    ("another session is not", {"AWS": SESSION[:-1] + "1"}, role_session, False),
    ("a user is itself", {"AWS": USER}, user, True),
    ("a user is no other", {"AWS": USER + "s"}, user, False),
    ("one of several is enough", {"AWS": [ROLE, USER]}, user, True),
    ("twelve digits are all of an account", {"AWS": OWNER}, user, True),
    ("root's ARN is all of an account", {"AWS": f"arn:aws:iam::{OWNER}:root"}, role_session, True),
    ("an account is its root", {"AWS": OWNER}, root, True),
    ("an account is nobody else", {"AWS": STRANGER}, user, False),
    ("an account is not anonymous", {"AWS": [OWNER, STRANGER]}, anonymous, False),
    ("a service is itself", {"Service": "logging.s3.amazonaws.com"}, log_delivery, True),
    ("a service is no other", {"Service": "s3.amazonaws.com"}, log_delivery, False),
    ("a deleted role's id is nobody", {"AWS": "AROAEXAMPLEEXAMPLE123"}, role_session, False),
    ("a federated identity is nobody here", {"Federated": "graph.facebook.com"}, user, False),
]


@pytest.mark.parametrize(("element", "principal", "expected"), cases(PRINCIPALS))
def test_principal(element: Any, principal: Principal, expected: bool) -> None:
    assert reaches({"Principal": element}, principal) is expected


NOT_PRINCIPALS = [
    ("a user listed with its account is spared", [USER, OWNER], user, False),
    ("a user listed alone is not spared", [USER], user, True),
    ("an account alone spares its root only", [OWNER], user, True),
    ("an account spares its root", [OWNER], root, False),
    ("a session listed in full is spared", [OWNER, ROLE, SESSION], role_session, False),
    ("a session listed without its role is not", [OWNER, SESSION], role_session, True),
    ("a role listed without the session is not", [OWNER, ROLE], role_session, True),
    ("who is not listed is not spared", [OWNER, ROLE, SESSION], stranger, True),
    ("anonymous is never listed", [OWNER, USER], anonymous, True),
    ("a star spares everyone", ["*"], anonymous, False),
]


@pytest.mark.parametrize(("names", "principal", "expected"), cases(NOT_PRINCIPALS))
def test_not_principal(names: list[str], principal: Principal, expected: bool) -> None:
    assert reaches({"NotPrincipal": {"AWS": names}}, principal) is expected


def test_not_principal_spares_a_listed_service() -> None:
    assert not reaches({"NotPrincipal": {"Service": log_delivery.service}}, log_delivery)
    assert reaches({"NotPrincipal": {"Service": "s3.amazonaws.com"}}, log_delivery)


def test_not_principal_spares_nobody_with_a_permissions_boundary() -> None:
    bucket = policy(deny(NotPrincipal={"AWS": [USER, OWNER]}))
    everything = policy(allow())
    policies = Policies(identity=[everything], resource=bucket, boundary=everything)
    assert decide(request(user), policies).decision == "explicitly denied"


def test_boundary_of_nobody_leaves_not_principal_as_it_is() -> None:
    bucket = policy(deny(NotPrincipal={"AWS": [OWNER]}))
    policies = Policies(resource=bucket, boundary=policy(allow()))
    assert decide(request(root), policies).allowed


@pytest.mark.parametrize(
    "wrong", [("user", USER), ("service",), ("anonymous", "", "", OWNER), ("root", "", "", OWNER)]
)
def test_principal_without_what_its_kind_has_is_refused(wrong: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="lacks what its kind has"):
        Principal(*wrong)
