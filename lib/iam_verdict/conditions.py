"""The condition operators: what a value of the request must be.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators".
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address, ip_network
from operator import eq, ge, gt, le, lt
from typing import Any

from iam_verdict.context import Context, Truth, either, every, negate
from iam_verdict.patterns import Dialect, pattern

# Says whether a value of the request fits the one value of the policy that it was made from.
Matcher = Callable[[str, Context], Truth]
# Makes one; the flag says whether the policy has variables. ValueError: the value is malformed.
Compiler = Callable[[str, bool], Matcher]

_OPERATOR = re.compile(r"(?:(ForAllValues|ForAnyValue):)?(\w+?)(IfExists)?")
_DATE = re.compile(
    r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)
_EPOCH = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True)
class Operator:
    """How a condition compares."""

    name: str
    quantifier: str  # "ForAllValues", "ForAnyValue", or "" for a key with one value
    if_exists: bool
    compile: Compiler
    negated: bool

    @staticmethod
    def named(text: str) -> "Operator":
        """The operator as a policy writes it, such as ForAnyValue:StringLikeIfExists.

        ValueError: there is none, or Null comes with a set operator or IfExists.
        """
        found = _OPERATOR.fullmatch(text)
        if not found or found[2] not in _OPERATORS or (found[2] == "Null" and text != "Null"):
            raise ValueError(f'unknown operator "{text}"')
        return Operator(found[2], found[1] or "", bool(found[3]), *_OPERATORS[found[2]])


class Condition:
    """One operator applied to one key: any of the policy's values will do, or none may fit.

    ValueError: a value is not of the form that the operator compares.
    """

    def __init__(self, operator: Operator, key: str, values: tuple[str, ...], variables: bool):
        self.operator = operator
        self.key = key
        self.values = values
        self._matchers = [operator.compile(value, variables) for value in values]
        self._every = operator.quantifier == "ForAllValues" or (
            operator.negated and not operator.quantifier
        )

    def holds(self, context: Context) -> Truth:
        """Whether the request meets the condition.

        The documented rules for an absent key are those of an empty list: "each of none" is true
        (negated operators, ForAllValues), "one of none" is false (all others). IfExists makes it
        true, but not for ForAnyValue: AWS was seen to hold to "one of none" there.
        """
        if not context.knows(self.key):
            return frozenset({self.key})
        given = context.values(self.key)
        if self.operator.name == "Null":
            given = ("false",) if given else ("true",)
        if not given and self.operator.if_exists and self.operator.quantifier != "ForAnyValue":
            return True
        fits = [self._fits(value, context) for value in given]
        return every(fits) if self._every else either(fits)

    def _fits(self, value: str, context: Context) -> Truth:
        found = either(matcher(value, context) for matcher in self._matchers)
        return negate(found) if self.operator.negated else found


def _text(dialect: Dialect, any_case: bool = False) -> Compiler:
    def compile_value(text: str, variables: bool) -> Matcher:
        return pattern(text, dialect, variables=variables, any_case=any_case).match

    return compile_value


def _comparison(
    read: Callable[[str], Any],
    compare: Callable[[Any, Any], bool],
    read_limit: Callable[[str], Any] | None = None,
) -> Compiler:
    """Operators that compare what texts mean. What the request gives malformed fits nothing."""

    def compile_value(text: str, variables: bool) -> Matcher:
        limit = (read_limit or read)(text)

        def matches(given: str, context: Context) -> Truth:
            try:
                return compare(read(given), limit)
            except ValueError:
                return False

        return matches

    return compile_value


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f'"{text}" is no number')
    return number


def _moment(text: str) -> float:
    """Seconds since 1970, from such a number or from a date; four digits are a year."""
    if _DATE.fullmatch(text):
        date = datetime.fromisoformat(text + "-01-01"[len(text) - 4 :] if len(text) < 10 else text)
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    if _EPOCH.fullmatch(text):
        return float(text)
    raise ValueError(f'"{text}" is no date')


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f'"{text}" is neither true nor false')
    return text.lower() == "true"


def _binary(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f'"{text}" is not in base64') from error


def _range(text: str) -> Any:
    """The addresses of a range; an address alone is a range of one."""
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f'"{text}" is no IP address or range') from error


def _within(address: Any, addresses: Any) -> bool:
    return address in addresses  # never, if one is IPv4 and the other IPv6


_ORDERS = {
    "LessThan": lt,
    "LessThanEquals": le,
    "GreaterThan": gt,
    "GreaterThanEquals": ge,
}

# Each operator's way to read a value of the policy, and whether it is negated.
_OPERATORS: dict[str, tuple[Compiler, bool]] = {
    "StringEquals": (_text("exact"), False),
    "StringNotEquals": (_text("exact"), True),
    "StringEqualsIgnoreCase": (_text("exact", any_case=True), False),
    "StringNotEqualsIgnoreCase": (_text("exact", any_case=True), True),
    "StringLike": (_text("wildcard"), False),
    "StringNotLike": (_text("wildcard"), True),
    "ArnEquals": (_text("arn"), False),
    "ArnNotEquals": (_text("arn"), True),
    "ArnLike": (_text("arn"), False),
    "ArnNotLike": (_text("arn"), True),
    "NumericEquals": (_comparison(_number, eq), False),
    "NumericNotEquals": (_comparison(_number, eq), True),
    **{f"Numeric{name}": (_comparison(_number, order), False) for name, order in _ORDERS.items()},
    "DateEquals": (_comparison(_moment, eq), False),
    "DateNotEquals": (_comparison(_moment, eq), True),
    **{f"Date{name}": (_comparison(_moment, order), False) for name, order in _ORDERS.items()},
    "Bool": (_comparison(_boolean, eq), False),
    "BinaryEquals": (_comparison(_binary, eq), False),
    "IpAddress": (_comparison(ip_address, _within, _range), False),
    "NotIpAddress": (_comparison(ip_address, _within, _range), True),
    "Null": (_comparison(_boolean, eq), False),
}
