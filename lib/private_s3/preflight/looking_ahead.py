"""Looks, before anything is written, for what would stop the change or its checks half-way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from private_s3 import aws
from private_s3.callers import Caller
from private_s3.errors import AwsRefused
from private_s3.prediction import object_of_checks
from private_s3.preflight import keys, management, permissions, quotas
from private_s3.record import Check

if TYPE_CHECKING:
    from private_s3.change import Planned

ENFORCED = "BucketOwnerEnforced"
NO_CONTROLS = "OwnershipControlsNotFoundError"


def checks(planned: Planned) -> list[Check]:
    """What must hold before anything is written; each with its exact remedy.

    What needs no AWS call of its own comes from the reading and the access matrix. Besides those:
    two dry runs, the Region's gateway endpoints, their quota, what SSM manages, the bucket's
    encryption and its Object Ownership. A key of KMS takes two more, instances that SSM does not
    reach seven, a long route table one, and a role that its key does not let in one.
    """
    parameters = planned.record.parameters
    return [
        *permissions.checks(planned),
        *quotas.checks(planned),
        *_interface_endpoints(planned),
        *_ownership(planned.account, parameters.bucket),
        *keys.checks(
            planned.account,
            keys.read(planned.account, parameters.bucket),
            _targets(planned),
            object_of_checks(parameters),
        ),
        *_way_onto_the_instances(planned),
    ]


def _targets(planned: Planned) -> list[Caller]:
    """The sessions of the instances of the change."""
    return [caller for caller in planned.matrix.callers if caller.part == "target"]


def _way_onto_the_instances(planned: Planned) -> Iterator[Check]:
    """Whether step 50 can ask the instances, and by what."""
    check_by, instances = planned.record.parameters.check_by, planned.reading.network.instances
    if check_by == "ssm":
        reached = management.read(planned.account, planned.reading.network)
        yield from management.checks(reached, _targets(planned))
    else:
        detail = f"not needed: check_by is {check_by}"
        yield Check("Systems Manager reaches the instances", "SKIPPED", detail)
    if instances and not planned.record.parameters.applying:
        yield Check(
            "the AWS CLI is on the instances", "SKIPPED", "only they can say: step 50 asks them"
        )


def _interface_endpoints(planned: Planned) -> Iterator[Check]:
    """Where the names of S3 lead, and whether an interface endpoint would keep the undo back.

    Sources: AWS PrivateLink Guide, "Gateway endpoints for Amazon S3"; Amazon S3 User Guide,
    "AWS PrivateLink for Amazon S3".
    """
    title = "the names of S3 lead to the gateway endpoint"
    found = planned.reading.network.interface_endpoints
    private = [one for one in found if one.get("PrivateDnsEnabled")]
    inbound = [
        one["VpcEndpointId"]
        for one in private
        if one.get("DnsOptions", {}).get("PrivateDnsOnlyForInboundResolverEndpoint")
    ]
    taken = [one["VpcEndpointId"] for one in private if one["VpcEndpointId"] not in inbound]
    if taken:
        yield Check(
            title,
            "UNCERTAIN",
            f"private DNS leads them to {', '.join(taken)} in {planned.reading.network.vpc_id}",
            "have these limit private DNS to inbound resolvers (once there is a gateway endpoint), "
            "or let the instances go on by them and do without this change: policies must then "
            "name their ids",
        )
    else:
        others = [one["VpcEndpointId"] for one in found]
        told = f"{', '.join(others)} has no private DNS in the VPC" if others else "none takes them"
        yield Check(title, "PASS", told)
    makes = any(change.field == "service" and change.after for change in planned.plan.changes)
    if inbound and makes:
        yield Check(
            "the endpoint can be deleted again",
            "UNCERTAIN",
            f"not while {', '.join(inbound)} has private DNS for inbound resolvers alone",
            "before an undo, have private DNS of that one turned off",
        )


def _ownership(account: aws.Account, bucket: str) -> Iterator[Check]:
    """Whether the bucket's owner owns whatever is in it, so that policies alone decide.

    Source: Amazon S3 User Guide, "Controlling ownership of objects". IAM action:
    s3:GetBucketOwnershipControls.
    """
    title = "policies alone decide about the objects"
    remedy = f"grant s3:GetBucketOwnershipControls on {bucket} to the caller"
    try:
        with aws.attempt(f"read the Object Ownership of {bucket}", remedy):
            answer = account.s3.get_bucket_ownership_controls(
                Bucket=bucket, ExpectedBucketOwner=account.id
            )
        ownership: str = answer["OwnershipControls"]["Rules"][0]["ObjectOwnership"]
    except AwsRefused as error:
        if error.code != NO_CONTROLS:
            yield Check.unread("Object Ownership", error.answer, error.remedy)
            return
        ownership = "ObjectWriter"  # what a bucket has that was never given any
    if ownership == ENFORCED:
        yield Check(title, "PASS", f"Object Ownership is {ENFORCED}")
    else:
        yield Check(
            title,
            "UNCERTAIN",
            f"Object Ownership is {ownership}: ACLs count too, and an object that somebody else "
            "owns is opened by its owner, not by the bucket policy",
            f"look who writes to {bucket}; to turn ACLs off: aws s3api "
            f"put-bucket-ownership-controls --bucket {bucket} --ownership-controls "
            f"Rules=[{{ObjectOwnership={ENFORCED}}}]",
        )
