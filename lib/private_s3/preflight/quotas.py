"""Finds out whether AWS's quotas leave room for what a plan makes or adds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from private_s3 import aws, endpoint, plan
from private_s3.errors import AwsRefused
from private_s3.network import destination
from private_s3.record import Check

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import RouteTableTypeDef

    from private_s3.change import Planned


class Quota(NamedTuple):
    """A quota that an account can have raised: its code, and how much it is at least."""

    code: str
    what: str
    least: int


# Sources: AWS General Reference, "Amazon VPC endpoints and quotas"; PrivateLink Guide, "Quotas".
GATEWAY_ENDPOINTS = Quota("L-1B52E74A", "gateway endpoints in the Region", 20)
# 50 of old, 500 since June 2025; those that were propagated from elsewhere have a quota of their
# own. Source: Amazon VPC User Guide, "Amazon VPC quotas".
ROUTES = Quota("L-93826ACB", "routes in the table", 50)
# These are fixed.
ENDPOINTS_PER_VPC = 255
POLICY_CHARACTERS = 20_480  # of an endpoint policy, white space included


def checks(planned: Planned) -> list[Check]:
    """Whether there is room for each thing that is left of the plan to make or add.

    A listing of the Region's gateway endpoints and a quota, if it makes an endpoint; one more
    quota, if a route table is long. IAM actions: ec2:DescribeVpcEndpoints,
    servicequotas:GetServiceQuota.
    """
    return [*_of_endpoint(planned), *_of_routes(planned), *_of_policy(planned)]


def _of_endpoint(planned: Planned) -> Iterator[Check]:
    if not _makes(planned, "service"):
        return
    vpc_id, title = planned.reading.network.vpc_id, "there is room for one more gateway endpoint"
    attempted = f"list the gateway endpoints in {planned.account.region}"
    try:
        with aws.attempt(attempted, "grant ec2:DescribeVpcEndpoints to the caller"):
            found = aws.pages(
                planned.account.ec2,
                "describe_vpc_endpoints",
                "VpcEndpoints",
                Filters=[{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}],
            )
    except AwsRefused as error:
        yield Check.unread("the gateway endpoints of the Region", error.answer, error.remedy)
        return
    here = [one["VpcId"] for one in found if one["State"].lower() not in ("deleting", "deleted")]
    yield _room(planned, title, len(here), GATEWAY_ENDPOINTS)
    yield Check.of(
        "there is room for it in the VPC",
        here.count(vpc_id) < ENDPOINTS_PER_VPC,
        f"{here.count(vpc_id)} of {ENDPOINTS_PER_VPC} in {vpc_id}",
        "delete one that serves nothing: this quota cannot be raised",
    )


def _of_routes(planned: Planned) -> Iterator[Check]:
    added = {
        change.resource.removeprefix("route-table/")
        for change in _left(planned)
        if change.field == endpoint.S3_ROUTE and change.after and not change.before
    }
    tables = [t for t in planned.reading.network.route_tables if t["RouteTableId"] in added]
    if tables:
        longest = max(tables, key=_routes)
        title = f"there is room for one more route in {longest['RouteTableId']}"
        yield _room(planned, title, _routes(longest), ROUTES)


def _routes(table: RouteTableTypeDef) -> int:
    """Its routes as the quota counts them: those to IPv4, and not the propagated ones."""
    return sum(
        ":" not in destination(route) and route.get("Origin") != "EnableVgwRoutePropagation"
        for route in table["Routes"]
    )


def _of_policy(planned: Planned) -> Iterator[Check]:
    """Of the endpoint; a bucket policy that is too large is never planned."""
    for change in plan.of(_left(planned), ("vpc-endpoint/",)):
        if change.field == "policy" and change.after:
            size = len(change.after)
            yield Check.of(
                "the endpoint policy is no larger than AWS takes",
                size <= POLICY_CHARACTERS,
                f"{size:,} of {POLICY_CHARACTERS:,} characters",
                "say the same in fewer statements: this quota cannot be raised",
            )


def _room(planned: Planned, title: str, used: int, quota: Quota) -> Check:
    """Whether one more goes. A quota is asked for where it may be reached, and always that of
    gateway endpoints, of which AWS gives few.
    """
    region = planned.account.region
    remedy = (
        f"request an increase of the quota {quota.code} ({quota.what}) of VPC in {region}: "
        f"aws service-quotas request-service-quota-increase --service-code vpc "
        f"--quota-code {quota.code} --desired-value {used + 5} --region {region}"
    )
    limit = quota.least
    if quota is GATEWAY_ENDPOINTS or used >= quota.least:
        try:
            limit = value(planned.account, quota)
        except AwsRefused as error:
            detail = f"{used} of at least {limit} {quota.what}; the quota: {error.answer}"
            then = f"{error.remedy}; if there is no room, {remedy}"
            return Check(title, "UNCERTAIN", detail, then)
    return Check.of(title, used < limit, f"{used} of {limit} {quota.what}", remedy)


def value(account: aws.Account, quota: Quota) -> int:
    """How much the account may have; raises AwsRefused. IAM: servicequotas:GetServiceQuota."""
    attempted = f"read the quota {quota.code} of VPC in {account.region}"
    with aws.attempt(attempted, "grant servicequotas:GetServiceQuota to the caller"):
        answer = account.servicequotas.get_service_quota(ServiceCode="vpc", QuotaCode=quota.code)
    return int(answer["Quota"]["Value"])


def _left(planned: Planned) -> list[plan.Change]:
    return [change for change in planned.plan.changes if change not in planned.finished]


def _makes(planned: Planned, field: str) -> bool:
    return any(change.field == field and change.after for change in _left(planned))
