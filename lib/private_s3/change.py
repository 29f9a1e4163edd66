"""The change as a whole: what it reads, its plan, and whether the account still fits that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from private_s3 import (
    aws,
    bucket,
    endpoint,
    guard,
    instance,
    network,
    observe,
    plan,
    prediction,
    snapshot,
)
from private_s3.bucket import Bucket
from private_s3.errors import PlanChanged
from private_s3.identities import Identities
from private_s3.journal import lock
from private_s3.matrix import Matrix, in_words
from private_s3.network import Network, Route
from private_s3.parameters import Parameters
from private_s3.plan import NEW_ENDPOINT, Change, Plan, State
from private_s3.record import Check, Record, require
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd
    from mypy_boto3_ec2.type_defs import InstanceTypeDef


@dataclass(frozen=True)
class Reading:
    """The account as one reading found it: the VPC of the instances, and the bucket."""

    network: Network
    bucket: Bucket

    def state(self, parameters: Parameters) -> State:
        """What the account holds of what the plan may change."""
        return {
            **endpoint.state(self.network, parameters),
            **bucket.state(self.bucket, self.network, parameters),
        }

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """What the account holds of the path to the bucket, field by field."""
        return snapshot.take(self.network, self.bucket.name, self.bucket.policy)


class Part(Protocol):
    """One of the two parts of a plan that are carried out by themselves: endpoint, bucket."""

    PARTS: tuple[str, ...]

    def apply(
        self,
        account: aws.Account,
        network: Network,
        todo: list[Change],
        endpoint_id: str,
        record: Record,
        /,
    ) -> None:
        """Carries out the changes, and waits to see them."""


SomePlanned = TypeVar("SomePlanned", bound="Planned")


@dataclass(frozen=True)
class Planned:
    """The plan to go by, what of it is done already, and what its maker saw."""

    account: aws.Account
    record: Record
    reading: Reading
    plan: Plan
    finished: frozenset[Change]
    seen: Mapping[str, Any]
    identities: Identities = field(repr=False)

    def sentence(self) -> str:
        """What the plan amounts to, and either the digest to approve or how far it is applied."""
        known = ""
        if made := self.endpoint_id(self.reading):
            known = f"\n{NEW_ENDPOINT} is {made}."
        if not (self.record.parameters.applying and self.plan.changes):
            return self.plan.sentence() + known
        done = f"{len(self.finished)} of {len(self.plan.changes)} changes done"
        return f"Plan {self.plan.digest}, approved: {done}.{known}"

    def read_again(self) -> Reading:
        """The account after this step; as it was read before, if nothing can have changed.

        Once everything of the plan is in place, the journal says so and keeps what there is.
        """
        parameters = self.record.parameters
        if not parameters.applying:
            return self.reading
        reading = self._read() if self._todo else self.reading
        in_place = self.fit(self.state(reading)) == {*self.plan.changes}
        # An empty plan takes the account as it is, each time anew; any other stays what it left.
        if in_place and not (self.plan.changes and self.record.is_complete(self.plan)):
            self.record.complete(self.plan, self._left(reading))
        return reading

    def _read(self) -> Reading:
        return read(self.account, self.record.parameters)

    def _left(self, reading: Reading) -> dict[str, Any]:
        """What the change leaves, for a later audit to be held against."""
        left = reading.snapshot()
        about = left[f"bucket/{reading.bucket.name}"]
        about["public access block"] = self.matrix.after.public_access_block
        return {
            "snapshot": left,
            "vpc": reading.network.vpc_id,
            "access": self.matrix.facts(),
        }

    def state(self, reading: Reading) -> State:
        """What a reading holds of what the plan may change, as plans say it."""
        return reading.state(self.record.parameters)

    def fit(self, state: State) -> frozenset[Change]:
        """The changes that are done already; raises PlanChanged unless the account fits."""
        return plan.done(self.plan, state)

    def endpoint_id(self, reading: Reading) -> str:
        """Id of the endpoint that this change has made; empty if it has made none."""
        return endpoint.created_id(reading.network, self.plan.change_id)

    def apply_endpoint(self) -> pd.DataFrame:
        """Carries out the plan for endpoint and routes, if it is approved; one row per change."""
        return self._apply(endpoint, unsteady=endpoint.waiting(self.reading.network))

    def apply_bucket_policy(self) -> pd.DataFrame:
        """Carries out the plan for the bucket policy, if it is approved; one row per change."""
        return self._apply(bucket)

    def _apply(self, part: Part, *, unsteady: bool = False) -> pd.DataFrame:
        applying = self.record.parameters.applying
        if applying and (plan.of(self._todo, part.PARTS) or unsteady):
            require(f"Refused plan {self.plan.digest}; nothing was written.", self.guard)
            doing = f"{self.plan.doing} plan {self.plan.digest}"
            with lock(self.record.folder, "write.lock", doing):
                aws.again(lambda: self._write(part))
        return plan.outcomes(self.plan, self.finished, part.PARTS, applied=applying)

    def _write(self, part: Part) -> None:
        """Compares and sets: reads once more what the plan may change, a moment before it does.

        S3 has no precondition for a policy: between this reading and the write somebody else's
        edit can still be lost, but not before or after it.
        """
        live = self._read_once_more(part)
        state, made = self.state(live), self.endpoint_id(live)
        self.record.settle(state, made)
        finished = self.fit(state)
        todo = [change for change in self.plan.changes if change not in finished]
        first, second = (bucket, endpoint) if self.plan.undo else (endpoint, bucket)
        if part.PARTS == second.PARTS and (before := plan.of(todo, first.PARTS)):
            raise PlanChanged(
                f"Could not {self.plan.doing} this part of plan {self.plan.digest} yet. "
                "Nothing was written now.",
                f"{before[0].field} of {before[0].resource} comes first, and is not done.",
                f"run the steps in their order: private-s3 {self.plan.doing} {self.plan.digest} "
                "-f PARAMETERS",
            )
        part.apply(self.account, live.network, plan.of(todo, part.PARTS), made, self.record)

    def _read_once_more(self, part: Part) -> Reading:
        """What the plan may change; last of it what the part writes, the moment before it does."""
        found, of_bucket = self.reading.network, self.reading.bucket

        def read_policy() -> Bucket:
            return replace(of_bucket, policy=bucket.read_policy(self.account, of_bucket.name))

        if part.PARTS == endpoint.PARTS:
            of_bucket = read_policy()
        endpoints = network.endpoints(self.account.ec2, found.vpc_id, found.service_name)
        if part.PARTS == bucket.PARTS:
            of_bucket = read_policy()
        return Reading(replace(found, endpoints=endpoints), of_bucket)

    @property
    def _todo(self) -> frozenset[Change]:
        return frozenset(self.plan.changes) - self.finished

    @cached_property
    def neighbours(self) -> list[InstanceTypeDef]:
        """Every instance of the VPC, those of the change too; one call to AWS."""
        return network.neighbours(self.account.ec2, self.reading.network.vpc_id)

    @cached_property
    def matrix(self) -> Matrix:
        """Who can do what with the bucket from where, before and after; four calls to AWS.

        It is kept with the facts of this step.
        """
        matrix = prediction.matrix(self)
        self.record.fact("access", matrix.facts())
        self.record.fact("loses", in_words(matrix.losers))
        return matrix

    def dial(self) -> pd.DataFrame:
        """Whom each level of `restrict_to` shuts out beyond the one before, in this account."""
        return prediction.dial(self)

    @cached_property
    def guard(self) -> list[Check]:
        """Whether the plan may be carried out: nobody locked out, and nothing that must work."""
        changes_policy = any(c.resource.startswith(bucket.PARTS) for c in self.plan.changes)
        return guard.checks(self.matrix, self.record.parameters, changes_policy=changes_policy)

    @property
    def routes_before(self) -> list[Route]:
        """Every route of the VPC when the plan was made."""
        return sorted(
            Route(resource.removeprefix("route-table/"), field.removeprefix("route "), *way.split())
            for resource, fields in self.seen["snapshot"].items()
            if resource.startswith("route-table/")
            for field, way in fields.items()
        )

    @property
    def subnets_before(self) -> pd.DataFrame:
        """The subnets and where their S3 traffic went when the plan was made."""
        return table(self.seen["subnets"], network.SUBNET_COLUMNS)

    @property
    def policy_before(self) -> str | None:
        """The bucket policy when the plan was made."""
        of_bucket = self.seen["snapshot"][f"bucket/{self.record.parameters.bucket}"]
        policy: str | None = of_bucket["policy"]
        return policy

    def policy_after(self, reading: Reading) -> str | None:
        """The bucket policy as the plan has it, or the present one if it is not to change."""
        planned = (c.after for c in self.plan.changes if c.resource.startswith(bucket.PARTS))
        text = next(planned, reading.bucket.policy)
        return text and endpoint.resolved(text, self.endpoint_id(reading))

    def s3_routes(self, reading: Reading) -> dict[str, str | None]:
        """The planned S3 routes by route table id: endpoint id (its symbol if not yet made)."""
        made = self.endpoint_id(reading)
        return {
            c.resource.removeprefix("route-table/"): c.after and endpoint.resolved(c.after, made)
            for c in self.plan.changes
            if c.field == endpoint.S3_ROUTE
        }

    def network_after(self, reading: Reading) -> Network:
        """The network after the change: predicted while planning, as read once applied."""
        if self.record.parameters.applying:
            return reading.network
        return reading.network.predicted(self.s3_routes(reading))

    def route_checks(self, reading: Reading) -> list[Check]:
        """Whether exactly the planned routes appeared, and nothing else of the VPC's routing."""
        names = (
            "exactly the planned routes appeared",
            "no other route changed",
            "every subnet follows the route table that it did",
        )
        if not self.record.parameters.applying:
            return [Check(name, "SKIPPED", "nothing was applied") for name in names]
        prefix_list = reading.network.prefix_list_id
        planned = {
            Route(table_id, prefix_list, endpoint_id, "active")
            for table_id, endpoint_id in self.s3_routes(reading).items()
            if endpoint_id
        }
        before, after = set(self.routes_before), set(reading.network.routes())
        was, now = _tables(self.subnets_before), _tables(network.subnets_frame(reading.network))
        moved = [
            f"{subnet} went from {was[subnet]} to {now[subnet]}"
            for subnet in sorted(was.keys() & now.keys())
            if was[subnet] != now[subnet]
        ]
        return [
            Check.of(names[0], planned <= after, _routes(planned - after, "missing")),
            Check.of(
                names[1],
                before ^ (after - planned) == set(),
                _routes(before ^ (after - planned), "not planned"),
            ),
            Check.of(
                names[2],
                not moved,
                "; ".join(moved) or "none moved",
                "find out who has moved it: the change associates no subnet",
            ),
        ]

    def endpoint_checks(self, reading: Reading) -> list[Check]:
        """Whether the endpoint is available, with the policy that was asked for."""
        return endpoint.checks(reading.network, self.record.parameters)

    def policy_checks(self, reading: Reading) -> list[Check]:
        """Whether the policy is the planned one, with every statement of others in its place."""
        now = reading.bucket.policy
        theirs = bucket.kept(self.policy_before, now)
        if not self.record.parameters.applying:
            return [Check("the policy is as planned", "SKIPPED", "nothing was applied"), theirs]
        same = Change("bucket", "policy", None, None).same(now, self.policy_after(reading))
        return [Check.of("the policy is as planned", same, "compared by content"), theirs]

    def observe(self) -> tuple[instance.Answers, observe.Comparison]:
        """What the instances see, and that beside what was predicted; kept with the facts."""
        return observe.observe(self)


def read(account: aws.Account, parameters: Parameters) -> Reading:
    """One reading of the account: seven calls, whatever else it holds.

    The policy is read before the endpoints: while another run makes first the one and then the
    policy that names it, no policy is seen here that names an endpoint which is not there yet.
    """
    instances = network.find_instances(account.ec2, parameters)
    of_bucket = bucket.read(account, parameters)
    vpc_id = instances[0]["VpcId"]
    return Reading(network.read(account.ec2, vpc_id, instances, account.region), of_bucket)


def planned(account: aws.Account, record: Record, reading: Reading) -> Planned:
    """The approved plan, else one made now; raises PlanChanged unless the account fits it."""
    parameters = record.parameters
    now = reading.state(parameters)
    endpoints = endpoint.wanted(reading.network, parameters)
    identities = Identities(account)
    policies = bucket.wanted(reading.bucket, reading.network, parameters, endpoints, identities)
    changes = plan.between(now, {**endpoints, **policies})
    fresh = Plan(parameters.change_id, account.id, account.region, changes)
    return go_by(Planned, account, record, reading, fresh, seen_in(reading), identities)


def seen_in(reading: Reading) -> dict[str, Any]:
    """What the maker of a plan saw, to be kept with it."""
    return {
        "vpc": reading.network.vpc_id,
        "snapshot": reading.snapshot(),
        "subnets": network.subnets_frame(reading.network).to_numpy().tolist(),
    }


def go_by(
    kind: type[SomePlanned],
    account: aws.Account,
    record: Record,
    reading: Reading,
    fresh: Plan,
    seen: Mapping[str, Any],
    identities: Identities,
) -> SomePlanned:
    """The approved plan or the fresh one, held against the account; settles what is unknown."""
    record.caller = account.arn
    chosen, kept = record.approved(fresh, seen)
    record.fact("plan", chosen.digest)
    result = kind(account, record, reading, chosen, frozenset(), kept, identities)
    record.fact("sentence", result.sentence())
    state = result.state(reading)
    if record.parameters.applying:
        record.settle(state, result.endpoint_id(reading))
    return replace(result, finished=result.fit(state))


def _tables(subnets: pd.DataFrame) -> dict[str, str]:
    """By subnet id the route table that it follows, as a frame of subnets has it."""
    return dict(zip(subnets["id"], subnets["route_table"], strict=True))


def _routes(routes: set[Route], what: str) -> str:
    found = "; ".join(f"{r.destination} to {r.target} in {r.route_table}" for r in sorted(routes))
    return f"{what}: {found}" if found else f"none {what}"
