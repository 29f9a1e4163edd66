"""Puts together what the access matrix is computed from: account, network, bucket, and the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from private_s3 import aws, bucket, endpoint, network, statements
from private_s3.access import Situation
from private_s3.callers import Callers
from private_s3.errors import RunbookError
from private_s3.matrix import Matrix, in_words
from private_s3.parameters import Parameters, RestrictTo
from private_s3.plan import NEW_ENDPOINT
from private_s3.probes import CHECK_PREFIX
from private_s3.record import Check
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd

    from private_s3.change import Planned

DIAL_COLUMNS = ("restrict_to", "", "shuts_out", "still_gets_through")


def matrix(planned: Planned) -> Matrix:
    """Who can do what with the bucket from where, before and after a plan; four calls to AWS."""
    account, parameters, reading = planned.account, planned.record.parameters, planned.reading
    found, unread = reading.network, list[Check]()
    block = bucket.read_public_access_block(account, parameters.bucket, unread)
    common = account, parameters.bucket, found.vpc_id, endpoint_policies(planned), block
    after = found.predicted(planned.s3_routes(reading))
    callers = Callers(
        account,
        parameters,
        planned.identities,
        found,
        planned.neighbours,
        bucket.read_replication_role(account, parameters.bucket, unread),
        planned.policy_before,
    )
    everybody = callers.all()
    unread += planned.identities.checks()
    return Matrix(
        situation(*common, planned.policy_before, planned.subnets_before),
        situation(*common, planned.policy_after(reading), network.subnets_frame(after)),
        everybody,
        object_of_checks(parameters),
        unread,
    )


def situation(
    account: aws.Account,
    bucket_name: str,
    vpc_id: str,
    endpoints: Mapping[str, str],
    public_access_block: Mapping[str, bool] | None,
    policy: str | None,
    subnets: pd.DataFrame,
) -> Situation:
    """What decides about requests to the bucket; `endpoints` are policies by endpoint id."""
    return Situation(
        bucket_name,
        account.id,
        account.region,
        vpc_id,
        policy,
        dict(zip(subnets["id"], subnets["s3_goes_to"], strict=True)),
        endpoints,
        public_access_block,
    )


def object_of_checks(parameters: Parameters) -> str:
    """Name of the object that checks from outside the VPC put into the bucket, and delete."""
    return f"{CHECK_PREFIX}/{parameters.change_id}/outside"


def dial(planned: Planned) -> pd.DataFrame:
    """One row per level of `restrict_to`: whom it shuts out beyond the one before, and whom not."""
    rows, open_to = [], _at(planned, "none").others
    for level in get_args(RestrictTo):
        chosen = "chosen" if level == planned.record.parameters.restrict_to else ""
        try:
            others = _at(planned, level).others
        except RunbookError as error:
            rows.append((level, chosen, error.answer, "not known"))
            continue
        shut = {who: which for who, which in open_to.items() if which != others.get(who)}
        rows.append((level, chosen, in_words(shut), in_words(others)))
        open_to = others
    return table(rows, DIAL_COLUMNS)


def endpoint_policies(planned: Planned) -> dict[str, str]:
    """Endpoint id to policy, also of the endpoint that the plan makes, by its symbol."""
    endpoints = planned.reading.network.endpoints
    policies = {one["VpcEndpointId"]: one["PolicyDocument"] for one in endpoints}
    made = planned.endpoint_id(planned.reading)
    for change in planned.plan.changes:
        if (
            change.resource.startswith("vpc-endpoint/")
            and change.field == "policy"
            and change.after
        ):
            policies[made or NEW_ENDPOINT] = change.after
    return policies


def _at(planned: Planned, level: RestrictTo) -> Matrix:
    """The matrix as it would be at a level."""
    parameters, found = planned.record.parameters, planned.reading.network
    endpoints = endpoint.wanted(found, parameters)
    fence = bucket.fence(found, parameters, endpoints, planned.identities, level)
    policy = statements.merge(planned.policy_before, fence.statements(level))
    policy = policy and endpoint.resolved(policy, planned.endpoint_id(planned.reading))
    return replace(planned.matrix, after=replace(planned.matrix.after, policy=policy))
