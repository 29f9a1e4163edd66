"""Follows the instances of a change to S3: as the account is now, and as a plan will leave it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from private_s3 import aws, path
from private_s3.callers import Callers
from private_s3.change import Planned, Reading
from private_s3.identities import Identities
from private_s3.network import Network
from private_s3.parameters import Parameters
from private_s3.path import surroundings
from private_s3.path.walk import Hop
from private_s3.prediction import endpoint_policies
from private_s3.record import Check

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def now(
    account: aws.Account, parameters: Parameters, reading: Reading, identities: Identities
) -> tuple[Hop, ...]:
    """Every hop of every instance, as the account was read; four calls to AWS, in most accounts.

    What may not be read makes a hop uncertain. IAM actions: see surroundings.read.
    """
    return _hops(account, parameters, reading, identities, reading.network, {})


def predicted(planned: Planned) -> tuple[Hop, ...]:
    """The same with the routes of the plan, whether they are there already or not."""
    reading = planned.reading
    return after(planned, reading.network.predicted(planned.s3_routes(reading)))


def after(planned: Planned, found: Network) -> tuple[Hop, ...]:
    """The same with the network as it is after the change, read or predicted."""
    policies = endpoint_policies(planned)
    parameters = planned.record.parameters
    return _hops(planned.account, parameters, planned.reading, planned.identities, found, policies)


def certified(planned: Planned, hops: Sequence[Hop]) -> list[Check]:
    """Whether the way of each instance is open now; SKIPPED while nothing is applied."""
    checks = path.checks(hops)
    if planned.record.parameters.applying:
        return checks
    return [Check(check.name, "SKIPPED", "nothing was applied") for check in checks]


def _hops(
    account: aws.Account,
    parameters: Parameters,
    reading: Reading,
    identities: Identities,
    found: Network,
    policies: Mapping[str, str],
) -> tuple[Hop, ...]:
    callers = Callers(account, parameters, identities, found, [], "", reading.bucket.policy)
    # No list: a notebook that is run again would take that for a parameter.
    found_hops = path.hops(
        found,
        surroundings.read(account.ec2, found),
        bucket=parameters.bucket,
        bucket_region=account.region,  # else the reading would have been refused
        account_id=account.id,
        callers=callers.targets(),
        endpoint_policies=policies,
    )
    return tuple(found_hops)
