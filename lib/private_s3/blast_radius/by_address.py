"""Finds statements about S3 by aws:SourceIp, and says what becomes of them behind an endpoint.

A request that comes through a gateway endpoint has no aws:SourceIp: a test of it fails, a negated
one holds. Sources: AWS PrivateLink Guide, "Gateway endpoints for Amazon S3"; IAM User Guide,
"Condition operators".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from iam_verdict import PolicyError, Statement, parse
from iam_verdict.context import Context, Truth, every
from private_s3 import s3_names, statements
from private_s3.callers import Caller

SOURCE_IP = "aws:sourceip"
BUCKET_POLICY = "bucket policy"
_NO_CONTEXT = Context({})
# By effect, and by whether the statement applies at the endpoint.
_BECOMES = {
    ("Allow", True): "allows, whatever the address",
    ("Allow", False): "allows no more",
    ("Deny", True): "denies, whatever the address",
    ("Deny", False): "denies no more",
}


class ByAddress(NamedTuple):
    """One statement, and what becomes of it; `about` names those behind the route tables."""

    policy: str
    statement: str
    carried_by: tuple[str, ...]
    about: tuple[str, ...]
    becomes: str


def found(
    bucket_policy: str | None, comers: Sequence[Caller], others: Sequence[Caller] = ()
) -> list[ByAddress]:
    """Every statement that means something else for who comes through the endpoint.

    `comers` will, with the keys that they have there; of `others` nobody knows. Statements of
    policies that go by one name, with one fate, are one.
    """
    alike: dict[tuple[str, str, str], ByAddress] = {}
    seen = {comer.who for comer in comers}
    for one in _all(bucket_policy, [*comers, *others]):
        key = one.policy, one.statement, one.becomes
        first = alike.get(key, one)
        carried_by = dict.fromkeys((*first.carried_by, *one.carried_by))
        about = dict.fromkeys(who for who in (*first.about, *one.about) if who in seen)
        alike[key] = one._replace(carried_by=tuple(carried_by), about=tuple(about))
    return [*alike.values()]


def _all(bucket_policy: str | None, callers: Sequence[Caller]) -> Iterator[ByAddress]:
    if bucket_policy:
        yield from _of_policy(BUCKET_POLICY, bucket_policy, callers, "the bucket", named=True)
    for caller in callers:
        boundary = {"permissions boundary": caller.boundary} if caller.boundary else {}
        for name, text in {**caller.policies, **boundary}.items():
            yield from _of_policy(name, text, [caller], _carrier(caller), named=False)


def _carrier(caller: Caller) -> str:
    kind = "role" if caller.principal.kind == "role-session" else caller.principal.kind
    return f"{kind} {caller.principal.arn.rsplit('/', 1)[-1]}"


def _of_policy(
    name: str, text: str, callers: Sequence[Caller], carried_by: str, *, named: bool
) -> Iterator[ByAddress]:
    if SOURCE_IP not in text.lower():
        return
    try:
        parsed = parse(text, names_principals=named).statements
    except PolicyError as error:
        about = tuple(caller.who for caller in callers)
        yield ByAddress(name, error.place, (carried_by,), about, "cannot be understood")
        return
    contents = statements.as_list(statements.parse(text)["Statement"])
    for statement, content in zip(parsed, contents, strict=True):
        if _is_by_address(statement) and _is_about_s3(statement, content):
            title = statement.sid or f"statement {statement.index + 1}"
            for becomes, whom in _fates(statement, callers).items():
                yield ByAddress(name, title, (carried_by,), tuple(whom), becomes)


def _fates(statement: Statement, callers: Sequence[Caller]) -> dict[str, list[str]]:
    """What becomes of the statement and for whom; nothing, where the address decides nothing."""
    fates: dict[str, list[str]] = {}
    for caller in callers:
        bounded, whom = caller.boundary is not None, statement.principals
        if whom and not whom.match(caller.principal, bounded):
            continue
        if _applies(statement, caller, {SOURCE_IP}) is not False:
            becomes = _becomes(statement, _applies(statement, caller, set()))
            fates.setdefault(becomes, []).append(caller.who)
    return fates


def _applies(statement: Statement, caller: Caller, unknown: set[str]) -> Truth:
    """Whether the conditions hold; the address is absent unless it is said to be unknown."""
    while True:
        context = Context(caller.keys, unknown)
        truth = every([condition.holds(context) for condition in statement.conditions])
        missing = {key.lower() for key in context.missing} - {SOURCE_IP}
        # Of S3's own keys a request has those that belong to it, and there are all sorts here.
        doubtful = {key for key in missing if key.startswith("s3:") or not caller.lacks(key)}
        if doubtful <= unknown:
            return truth
        unknown = unknown | doubtful


def _becomes(statement: Statement, truth: Truth) -> str:
    if isinstance(truth, bool):
        return _BECOMES[statement.effect, truth]
    return f"may {statement.effect.lower()}, depending on {', '.join(sorted(truth))}"


def _is_by_address(statement: Statement) -> bool:
    return any(condition.key.lower() == SOURCE_IP for condition in statement.conditions)


def _is_about_s3(statement: Statement, content: Mapping[str, Any]) -> bool:
    actions = (f"s3:{name}" for name in s3_names.actions())
    if not any(statement.actions.match(action, _NO_CONTEXT) for action in actions):
        return False
    # One that names what it is not about would have to name all of S3.
    resources = statements.as_list(content.get("Resource", "*"))
    return any(map(_may_be_of_s3, resources))


def _may_be_of_s3(resource: str) -> bool:
    """Whether an ARN, perhaps with wildcards, can name something of S3."""
    parts = resource.split(":")
    return len(parts) < 3 or parts[2] in ("s3", "") or any(sign in parts[2] for sign in "*?")
