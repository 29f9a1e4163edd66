"""What S3 Block Public Access takes for a public bucket policy.

Source: Amazon S3 User Guide, "Blocking public access to your Amazon S3 storage", "The meaning of
'public'". What the page does not list is taken to be public.
"""

from ipaddress import ip_network

from iam_verdict.conditions import Condition
from iam_verdict.documents import Document, Statement, parse

# The keys that limit who is meant, if their values are fixed.
_LIMITING_KEYS = {
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
}
_LIMITING_OPERATORS = {
    "StringEquals",
    "StringEqualsIgnoreCase",
    "StringLike",
    "ArnEquals",
    "ArnLike",
    "IpAddress",
}


def is_public(document: Document) -> bool:
    """Whether a bucket policy is public; one public statement makes it so."""
    return bool(public_statements(document))


def public_statements(document: Document) -> tuple[Statement, ...]:
    """The statements that make a bucket policy public."""
    statements = parse(document, names_principals=True).statements
    return tuple(statement for statement in statements if _is_public(statement))


def _is_public(statement: Statement) -> bool:
    named = statement.principals
    if statement.effect == "Deny" or not named or not (named.everyone or named.federated):
        return False
    return not any(_limits(condition) for condition in statement.conditions)


def _limits(condition: Condition) -> bool:
    """Whether the condition can only hold for a fixed set of callers."""
    operator = condition.operator
    if operator.if_exists or operator.quantifier == "ForAllValues":
        return False  # these hold for a request without the key as well
    if operator.name not in _LIMITING_OPERATORS or condition.key.lower() not in _LIMITING_KEYS:
        return False
    return all(_is_fixed(condition, value) for value in condition.values)


def _is_fixed(condition: Condition, value: str) -> bool:
    key = condition.key.lower()
    if (key == "aws:sourceip") != (condition.operator.name == "IpAddress"):
        return False
    if key == "aws:sourceip":
        addresses = ip_network(value, strict=False)
        return addresses.prefixlen >= (8 if addresses.version == 4 else 32)
    if key == "s3:dataaccesspointarn":  # any access point, if the account is fixed
        value = ":".join(value.split(":")[:5])
    return not any(sign in value for sign in ("*", "?", "${"))
