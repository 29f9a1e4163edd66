"""Condition operators: each with a key that fits, that does not, and that is absent."""

from typing import Any

import pytest

from tests.support.iam_requests import applies, cases

ARN = "arn:aws:ec2:us-east-1:111122223333:instance/i-1"

# Operator, the policy's value, a value for which the condition is true, one for which it is not.
OPERATORS = [
    ("StringEquals", "Red", "Red", "red"),
    ("StringNotEquals", "Red", "red", "Red"),
    ("StringEqualsIgnoreCase", "Red", "rED", "reds"),
    ("StringNotEqualsIgnoreCase", "Red", "reds", "rED"),
    ("StringLike", "r?d*", "rod/and/line", "road"),
    ("StringNotLike", "r?d*", "road", "rod/and/line"),
    ("ArnEquals", "arn:aws:ec2:*:*:instance/*", ARN, ARN.replace("instance", "volume")),
    ("ArnNotEquals", "arn:aws:ec2:*:*:instance/*", ARN.replace("instance", "volume"), ARN),
    ("ArnLike", "arn:aws:ec2:*:*:instance/i-?", ARN, ARN + "0"),
    ("ArnNotLike", "arn:aws:ec2:*:*:instance/i-?", ARN + "0", ARN),
    ("NumericEquals", "10", "10.0", "11"),
    ("NumericNotEquals", "10", "11", "10.0"),
    ("NumericLessThan", "10", "9.5", "10"),
    ("NumericLessThanEquals", "10", "10", "10.1"),
    ("NumericGreaterThan", "10", "100", "10"),
    ("NumericGreaterThanEquals", "10", "10", "9"),
    ("DateEquals", "2026-01-01T00:00:00Z", "1767225600", "1767225601"),
    ("DateNotEquals", "2026-01-01T00:00:00Z", "1767225601", "1767225600"),
    ("DateLessThan", "2026-01-01", "2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z"),
    ("DateLessThanEquals", "1767225600", "2026-01", "2026-01-01T00:00:00.5Z"),
    ("DateGreaterThan", "2026", "2026-01-01T01:00:00Z", "2026-01-01T01:00:00+01:00"),
    ("DateGreaterThanEquals", "2026", "2026-01-01T00:00:00Z", "2025-12-31"),
    ("Bool", "true", "True", "false"),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", "QmluYXJ6"),
    ("IpAddress", "203.0.113.0/24", "203.0.113.9", "203.0.114.9"),
    ("NotIpAddress", "203.0.113.0/24", "203.0.114.9", "203.0.113.9"),
]
NAMES = [row[0] for row in OPERATORS]


def holds(operator: str, value: Any, given: Any = None, **asked: Any) -> bool:
    context = {} if given is None else {"aws:Key": given}
    return applies({"Condition": {operator: {"aws:Key": value}}}, context=context, **asked)


def test_there_are_twenty_six_operators_beside_null() -> None:
    assert len(set(NAMES)) == 26


@pytest.mark.parametrize(("operator", "value", "fitting", "unfitting"), OPERATORS, ids=NAMES)
def test_operator_compares_a_present_key(
    operator: str, value: str, fitting: str, unfitting: str
) -> None:
    for form in ("{}", "{}IfExists", "ForAllValues:{}", "ForAnyValue:{}", "ForAnyValue:{}IfExists"):
        assert holds(form.format(operator), value, fitting)
        assert not holds(form.format(operator), value, unfitting)


@pytest.mark.parametrize(("operator", "value"), [row[:2] for row in OPERATORS], ids=NAMES)
def test_operator_on_an_absent_key_is_true_only_if_negated(operator: str, value: str) -> None:
    assert holds(operator, value) == ("Not" in operator)


@pytest.mark.parametrize(("operator", "value"), [row[:2] for row in OPERATORS], ids=NAMES)
def test_suffix_and_set_operator_decide_on_an_absent_key(operator: str, value: str) -> None:
    assert holds(f"{operator}IfExists", value)
    assert holds(f"ForAllValues:{operator}", value)
    assert holds(f"ForAllValues:{operator}IfExists", value)
    assert not holds(f"ForAnyValue:{operator}", value)
    assert not holds(f"ForAnyValue:{operator}IfExists", value)


CASES = [
    # operator, policy value(s), request value(s), holds
    ("any of several values will do", "StringEquals", ["a", "b"], "b", True),
    (
        "none of several values may fit a negated operator",
        "StringNotEquals",
        ["a", "b"],
        "b",
        False,
    ),
    ("wildcards are plain characters to StringEquals", "StringEquals", "a*", "abc", False),
    ("a pattern must fit the whole text", "StringLike", "b", "abc", False),
    ("a pattern's star fits the empty text", "StringLike", "a*", "a", True),
    ("a star crosses line ends", "StringLike", "a*b", "a\nb", True),
    ("a JSON true is the text true", "StringEquals", True, "true", True),
    ("a JSON number is the text it is written as", "StringEquals", 10, "10", True),
    ("Bool ignores case", "Bool", "FALSE", "False", True),
    ("Bool takes a JSON false", "Bool", False, "false", True),
    ("Bool true does not fit any other text", "Bool", "true", "1", False),
    ("numbers compare as numbers", "NumericLessThan", "9", "10", False),
    ("a text is no number", "NumericEquals", "10", "ten", False),
    ("a text differs from every number", "NumericNotEquals", "10", "ten", True),
    ("an infinite number is none", "NumericGreaterThan", "10", "Infinity", False),
    (
        "a date with offset is a moment",
        "DateEquals",
        "2026-01-01T00:00:00Z",
        "2026-01-01T09:00:00+09:00",
        True,
    ),
    ("a text is no date", "DateLessThan", "2026-01-01", "yesterday", False),
    ("an address alone is a range of one", "IpAddress", "203.0.113.9", "203.0.113.10", False),
    ("an address alone fits itself", "IpAddress", "203.0.113.9", "203.0.113.9", True),
    ("host bits of a range do not count", "IpAddress", "203.0.113.9/24", "203.0.113.77", True),
    ("an IPv6 range holds IPv6 addresses", "IpAddress", "2001:db8::/32", "2001:DB8:1::1", True),
    ("IPv4 is in no IPv6 range", "IpAddress", "::/0", "203.0.113.9", False),
    ("IPv6 is in no IPv4 range", "IpAddress", "0.0.0.0/0", "2001:db8::1", False),
    ("IPv6 is outside every IPv4 range", "NotIpAddress", "0.0.0.0/0", "2001:db8::1", True),
    ("IPv6 is not a bare IPv4 address", "NotIpAddress", "203.0.113.9", "2001:db8::1", True),
    ("what is no address is in no range", "IpAddress", "0.0.0.0/0", "AWS Internal", False),
    ("a star does not cross into the account", "ArnLike", "arn:aws:ec2:*:instance/*:*", ARN, False),
    (
        "a star in the last part crosses colons",
        "ArnEquals",
        "arn:aws:logs:*:*:group:*",
        "arn:aws:logs:us-east-1:111122223333:group:a:b",
        True,
    ),
    (
        "a star for the whole last part crosses colons",
        "ArnLike",
        "arn:aws:logs:*:*:*",
        "arn:aws:logs:us-east-1:111122223333:group:a:b",
        True,
    ),
    (
        "an ARN's last part crosses slashes",
        "ArnLike",
        "arn:aws:s3:::b/*",
        "arn:aws:s3:::b/c/d",
        True,
    ),
    ("ARNs are case-sensitive", "ArnLike", "arn:aws:s3:::B", "arn:aws:s3:::b", False),
    (
        "every value must fit for ForAllValues",
        "ForAllValues:StringEquals",
        ["a", "b"],
        ["a", "c"],
        False,
    ),
    ("all values fit ForAllValues", "ForAllValues:StringEquals", ["a", "b", "c"], ["a", "b"], True),
    (
        "one fitting value is enough for ForAnyValue",
        "ForAnyValue:StringEquals",
        ["a"],
        ["c", "a"],
        True,
    ),
    ("no value fits ForAnyValue", "ForAnyValue:StringEquals", ["a"], ["c", "d"], False),
    (
        "one differing value is enough for a negated ForAnyValue",
        "ForAnyValue:StringNotEquals",
        ["a"],
        ["a", "c"],
        True,
    ),
    (
        "no value may fit a negated ForAllValues",
        "ForAllValues:StringNotEquals",
        ["a"],
        ["a", "c"],
        False,
    ),
    ("a key with an empty list is absent", "ForAllValues:StringEquals", ["a"], [], True),
    ("a key with an empty text is present", "StringEquals", "", "", True),
    ("Null true wants the key absent", "Null", "true", "x", False),
    ("Null false wants the key present", "Null", "false", "x", True),
    ("Null takes a JSON true", "Null", True, None, True),
    ("Null false fails without the key", "Null", "false", None, False),
]


@pytest.mark.parametrize(("operator", "value", "given", "expected"), cases(CASES))
def test_condition(operator: str, value: Any, given: Any, expected: bool) -> None:
    assert holds(operator, value, given) is expected


def test_operators_and_keys_are_anded() -> None:
    condition = {"StringEquals": {"aws:A": "1", "aws:B": "2"}, "Bool": {"aws:C": "true"}}
    fitting = {"aws:A": "1", "aws:B": "2", "aws:C": "true"}
    assert applies({"Condition": condition}, context=fitting)
    for key in fitting:
        assert not applies({"Condition": condition}, context=fitting | {key: "wrong"})


def test_key_names_ignore_case() -> None:
    condition = {"StringEquals": {"AWS:sourcevpce": "vpce-1"}}
    assert applies({"Condition": condition}, context={"aws:SourceVpce": "vpce-1"})
