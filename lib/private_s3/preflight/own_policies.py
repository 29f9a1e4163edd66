"""Predicts what a caller's own policies make of a request to any service but S3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from iam_verdict import Document, Policies, Request, Verdict, decide
from private_s3.callers import Caller

# By the decision, from what is worst for the caller.
WORST = ("explicitly denied", "implicitly denied", "depends", "allowed")


class Asked(NamedTuple):
    """One action on a resource, with the condition keys and the tags that are known of it."""

    action: str
    resource: str
    keys: Mapping[str, str] = {}
    tags: Mapping[str, str] | None = None  # None: not known
    absent: tuple[str, ...] = ()  # keys that it surely lacks, by how they begin, in small letters


def verdict(
    caller: Caller,
    asked: Asked,
    account_id: str,
    region: str,
    resource_policy: Document | None = None,
    *,
    both_must_allow: bool = False,
) -> Verdict:
    """What AWS would decide, as far as these policies say it; PolicyError if they say nothing.

    Of a key that is neither given nor surely absent nobody knows: the verdict may depend on it.
    `both_must_allow`, the caller's policies and that of the resource, as across accounts.
    """
    owner = "another account" if both_must_allow else account_id
    keys = {
        "aws:SecureTransport": "true",
        "aws:RequestedRegion": region,
        "aws:ViaAWSService": "false",
        "aws:ResourceAccount": account_id,
        **caller.keys,
        **_tag_keys(asked),
        **asked.keys,
    }
    policies = Policies(
        identity=tuple(caller.policies.values()),
        resource=resource_policy,
        boundary=caller.boundary,
    )
    unknown = frozenset[str]()
    while True:
        request = Request(caller.principal, asked.action, asked.resource, owner, keys, unknown)
        found = decide(request, policies)
        doubtful = {key for key in found.missing if not _lacks(caller, asked, key.lower())}
        if doubtful <= unknown:
            return found
        unknown |= doubtful


def _lacks(caller: Caller, asked: Asked, key: str) -> bool:
    """Whether the request surely has no such key."""
    if "resourcetag/" in key:
        return asked.tags is not None
    service = asked.action.partition(":")[0]
    of_the_service = key.startswith(f"{service}:") and service != "ec2"
    return key.startswith(asked.absent) or (caller.lacks(key) and not of_the_service)


def _tag_keys(asked: Asked) -> dict[str, str]:
    """The tags of a resource as condition keys, under both of their names."""
    services = ("aws", asked.action.partition(":")[0])
    tags = asked.tags or {}
    return {f"{one}:ResourceTag/{key}": value for one in services for key, value in tags.items()}
