"""The change as a whole: what it reads, its plan, and whether the account still fits that."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from private_s3 import aws, bucket, endpoint, guard, instance, network, observe, plan, prediction
from private_s3.bucket import Bucket
from private_s3.identities import Identities
from private_s3.matrix import Matrix, in_words
from private_s3.network import Network, Route
from private_s3.parameters import Parameters
from private_s3.plan import NEW_ENDPOINT, Change, Plan, State
from private_s3.record import Check, Record, require
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd


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
        if not (self.record.parameters.applying and self.plan.changes):
            return self.plan.sentence()
        count = len(self.plan.changes)
        return f"Plan {self.plan.digest}, approved: {len(self.finished)} of {count} changes done."

    def read_again(self) -> Reading:
        """The account after this step; as it was read before, if nothing can have changed."""
        parameters = self.record.parameters
        applying = parameters.applying and len(self.finished) < len(self.plan.changes)
        return read(self.account, parameters) if applying else self.reading

    def apply_endpoint(self) -> pd.DataFrame:
        """Makes the endpoint and its routes, if the plan is approved; one row per change."""
        return self._apply(endpoint.PARTS, endpoint.apply)

    def apply_bucket_policy(self) -> pd.DataFrame:
        """Puts the bucket policy, if the plan is approved; one row per change."""
        return self._apply(bucket.PARTS, bucket.apply)

    def _apply(self, parts: tuple[str, ...], apply: Any) -> pd.DataFrame:
        applying = self.record.parameters.applying
        if applying and any(c.resource.startswith(parts) for c in self._todo):
            require(f"Refused plan {self.plan.digest}; nothing was written.", self.guard)
            apply(self.account, self.reading.network, self.plan, self.finished, self.record)
        return plan.outcomes(self.plan, self.finished, parts, applied=applying)

    @property
    def _todo(self) -> frozenset[Change]:
        return frozenset(self.plan.changes) - self.finished

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
        return [Route(*route) for route in self.seen["routes"]]

    @property
    def subnets_before(self) -> pd.DataFrame:
        """The subnets and where their S3 traffic went when the plan was made."""
        return table(self.seen["subnets"], network.SUBNET_COLUMNS)

    @property
    def policy_before(self) -> str | None:
        """The bucket policy when the plan was made."""
        policy: str | None = self.seen["policy"]
        return policy

    def policy_after(self, reading: Reading) -> str | None:
        """The bucket policy as the plan has it, or the present one if it is not to change."""
        planned = (c.after for c in self.plan.changes if c.resource.startswith(bucket.PARTS))
        text = next(planned, reading.bucket.policy)
        return text and endpoint.resolved(text, reading.network, self.plan.change_id)

    def s3_routes(self, reading: Reading) -> dict[str, str]:
        """The planned S3 routes: route table id to endpoint id, by symbol if not yet made."""
        return {
            c.resource.removeprefix("route-table/"): endpoint.resolved(
                str(c.after), reading.network, self.plan.change_id
            )
            for c in self.plan.changes
            if c.field == endpoint.S3_ROUTE
        }

    def network_after(self, reading: Reading) -> Network:
        """The network after the change: predicted while planning, as read once applied."""
        if self.record.parameters.applying:
            return reading.network
        return reading.network.predicted(self.s3_routes(reading))

    def route_checks(self, reading: Reading) -> list[Check]:
        """Whether exactly the planned routes appeared, and nothing else changed."""
        names = ("exactly the planned routes appeared", "no other route changed")
        if not self.record.parameters.applying:
            return [Check(name, "SKIPPED", "nothing was applied") for name in names]
        prefix_list = reading.network.prefix_list_id
        planned = {
            Route(table_id, prefix_list, endpoint_id, "active")
            for table_id, endpoint_id in self.s3_routes(reading).items()
        }
        before, after = set(self.routes_before), set(reading.network.routes())
        return [
            Check.of(names[0], planned <= after, _routes(planned - after, "missing")),
            Check.of(
                names[1],
                before ^ (after - planned) == set(),
                _routes(before ^ (after - planned), "not planned"),
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

    def ask_instances(self) -> instance.Answers:
        """What the instances see; every answer is kept with the facts of this step, in full.

        While planning nothing is written, and instances that cannot be asked are no failure.
        """
        parameters, found = self.record.parameters, self.reading.network.instances
        others = (c.instances for c, _ in self.matrix.by_caller if c.part == "neighbour")
        neighbours = [instance_id for group in others for instance_id in group]
        answers = instance.ask(
            self.account.ssm,
            [one["InstanceId"] for one in found],
            neighbours=neighbours if "neighbours" in parameters.check_also else [],
            bucket=parameters.bucket,
            region=parameters.region,
            change_id=parameters.change_id,
            applying=parameters.applying,
        )
        self.record.fact("observations", [asdict(one) for one in answers.observations])
        return answers

    def compare(self, answers: instance.Answers) -> observe.Comparison:
        """What was observed beside what was predicted; kept with the facts of this step."""
        comparison = observe.compare(self.account, self.record, self.matrix.by_caller, answers)
        self.record.fact("compared", comparison.facts())
        return comparison

    def undo_endpoint(self, reading: Reading) -> str:
        """The commands that take away what this change made of the endpoint."""
        ours = endpoint.created(reading.network, self.plan.change_id)
        command = f"aws ec2 {{}} --region {self.account.region} {{}}"
        if any(c.field == "service" for c in self.plan.changes):
            endpoint_id = ours["VpcEndpointId"] if ours else NEW_ENDPOINT
            return command.format("delete-vpc-endpoints", f"--vpc-endpoint-ids {endpoint_id}")
        routes = self.s3_routes(reading)
        commands = [
            command.format(
                "modify-vpc-endpoint",
                f"--vpc-endpoint-id {endpoint_id} --remove-route-table-ids {table_id}",
            )
            for table_id, endpoint_id in routes.items()
        ]
        return "\n".join(commands) or "The plan changes nothing of the endpoint."

    def undo_bucket_policy(self) -> str:
        """The command that puts the bucket policy back, byte for byte, from the change folder."""
        if not any(c.resource.startswith(bucket.PARTS) for c in self.plan.changes):
            return "The plan does not change the bucket policy."
        parameters = self.record.parameters
        command = (
            f"aws s3api {{}} --region {self.account.region} --bucket {parameters.bucket} "
            f"--expected-bucket-owner {self.account.id}"
        )
        if self.policy_before is None:
            return command.format("delete-bucket-policy")
        path = self.record.keep_text(f"plans/{self.plan.digest}-policy.json", self.policy_before)
        return f"{command.format('put-bucket-policy')} --policy {shlex.quote(f'file://{path}')}"


def read(account: aws.Account, parameters: Parameters) -> Reading:
    """One reading of the account: seven calls, whatever else it holds."""
    instances = network.find_instances(account.ec2, parameters)
    return Reading(
        network.read(account.ec2, instances, account.region), bucket.read(account, parameters)
    )


def planned(account: aws.Account, record: Record, reading: Reading) -> Planned:
    """The approved plan, else one made now; raises PlanChanged unless the account fits it."""
    parameters = record.parameters
    now = reading.state(parameters)
    endpoints = endpoint.wanted(reading.network, parameters)
    identities = Identities(account)
    policies = bucket.wanted(reading.bucket, reading.network, parameters, endpoints, identities)
    changes = plan.between(now, {**endpoints, **policies})
    fresh = Plan(parameters.change_id, account.id, account.region, changes)
    seen = {
        "routes": reading.network.routes(),
        "subnets": network.subnets_frame(reading.network).to_numpy().tolist(),
        "policy": reading.bucket.policy,
    }
    chosen, kept = record.approved(fresh, seen)
    record.fact("plan", chosen.digest)
    return Planned(account, record, reading, chosen, plan.done(chosen, now), kept, identities)


def _routes(routes: set[Route], what: str) -> str:
    found = "; ".join(f"{r.destination} to {r.target} in {r.route_table}" for r in sorted(routes))
    return f"{what}: {found}" if found else f"none {what}"
