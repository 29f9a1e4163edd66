"""Finds what a bucket policy does besides: services that it forgets, a Deny that never applies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from iam_verdict.patterns import pattern
from private_s3 import s3_names, statements
from private_s3.access import ON_THE_BUCKET, Situation
from private_s3.callers import SERVICE, Caller
from private_s3.doctor.refusals import BY_ENDPOINT, NOTHING, SOURCE_IP, keys_of, named

# By these a statement tells networks apart; services come from AWS's own, which has none of them.
_BY_NETWORK = frozenset({*BY_ENDPOINT, SOURCE_IP, "aws:vpcsourceip", "aws:vpceaccount"})
# Keys with several values, for which ForAnyValue is made.
# Source: IAM User Guide, "Single-valued vs. multivalued context keys".
_MULTIVALUED = frozenset(
    {
        "aws:calledvia",
        "aws:principalorgpaths",
        "aws:principalservicenameslist",
        "aws:resourceorgpaths",
        "aws:tagkeys",
        "aws:vpceorgpaths",
    }
)
# What S3 asks of a bucket from which it replicates, with the role that it was given for it.
_TO_REPLICATE = "s3:GetObjectVersionForReplication"
_WILD = re.compile(r"[*?]+")


class Forgotten(NamedTuple):
    """A Deny statement that keeps a service from what it is to do, and why it is to do that."""

    statement: str
    service: str
    action: str
    wanted_by: str


class Idle(NamedTuple):
    """A Deny statement that does not apply to a request without the key that it goes by."""

    statement: str
    operator: str
    key: str


def forgotten(situation: Situation, callers: Iterable[Caller]) -> list[Forgotten]:
    """The services with work at the bucket that a Deny by networks keeps from it."""
    deny = [*named(situation.policy)]
    found = []
    for caller in (one for one in callers if one.place == SERVICE):
        for action, key, wanted_by in _tasks(situation, caller):
            verdict = situation.verdict(caller, action, key)
            decides = verdict.statement if verdict.layer == "resource-based policy" else None
            if verdict.decision == "explicitly denied" and decides:
                title, statement = deny[decides.index]
                if not keys_of(statement).isdisjoint(_BY_NETWORK):
                    found.append(Forgotten(title, caller.who, action, wanted_by))
                    break
    return found


def idle(policy: str | None) -> list[Idle]:
    """The Deny statements that say ForAnyValue of a key which others' requests do not have."""
    return [
        Idle(title, operator, key)
        for title, statement in named(policy)
        if statement["Effect"] == "Deny"
        for operator, tests in statement.get("Condition", {}).items()
        if operator.startswith("ForAnyValue:") and "Not" in operator
        for key in tests
        if key.lower() not in _MULTIVALUED
    ]


def _tasks(situation: Situation, caller: Caller) -> Iterator[tuple[str, str, str]]:
    """What a service is to do with the bucket: an action, on which key, and who wants it so."""
    if caller.principal.kind != "service":
        yield _TO_REPLICATE, "x", "the replication of the bucket"
        return
    for title, statement in named(situation.policy):
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        if statement["Effect"] == "Allow" and caller.who in statements.as_list(services):
            for action in _actions(statement):
                for key in _keys(statement):
                    yield action, key, title


def _actions(statement: statements.Statement) -> Iterator[str]:
    """The actions on objects, or that list them, of an Allow."""
    texts: list[Any] = statements.as_list(statement.get("Action", []))
    patterns = [pattern(text, "wildcard", variables=False, any_case=True) for text in texts]
    known = {f"s3:{name}": about for name, about in s3_names.actions().items()}
    for action in (a for a, about in known.items() if about == "object" or a in ON_THE_BUCKET):
        if any(one.match(action, NOTHING) for one in patterns):
            yield action


def _keys(statement: statements.Statement) -> Iterator[str]:
    """A key for each resource of an Allow."""
    for resource in statements.as_list(statement.get("Resource", [])):
        yield _WILD.sub("x", str(resource).partition("/")[2]) or "x"
